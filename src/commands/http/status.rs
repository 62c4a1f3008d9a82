//! The commands for statuses, redirects, and what serves files
//! (spec/http.md 3.10, 3.11).

use super::respond::{return_text, STATUS};
use super::{may_send, send, sender, with_exchange, Sender};
use crate::base::{log, Result};
use crate::http::html::quote;
use crate::http::request_head::Fault;
use crate::server::pages;
use crate::server::pipeline::{self, Run, MAX_REDIRECTS};
use crate::server::scripts::{self, InInterp};
use crate::tcl::args::{word, Kind, Syntax};
use crate::tcl::script::Prepared;
use crate::tcl::{Interp, Obj, Outcome};

const NOTHING: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };

const LOCATION: Syntax<0, 1> =
    Syntax { options: [], ends_options: false, words: [word("location", Kind::Any)], required: 1 };

/// Sends the page for a status, or what is configured in its place
/// (`redirects`).
pub(super) fn return_status(interp: Interp, status: u16) -> Result<()> {
    if !run_configured(interp, status)? {
        send(interp, |exchange| exchange.respond_status(status))?;
    }
    Ok(())
}

/// Runs the page that is configured for a status. False when there is none.
fn run_configured(interp: Interp, status: u16) -> Result<bool> {
    let Sender::Ready = sender(interp)? else { return Ok(false) };
    let action = with_exchange(|exchange| Ok(pipeline::configured_page(exchange, status)))?;
    let Some(action) = action else { return Ok(false) };
    run_here(interp, &Run::Handler(action))?;
    interp.set_result(&Obj::from_int(1));
    Ok(true)
}

/// Runs a handler within another one, for the same exchange.
pub(super) fn run_here(interp: Interp, run: &Run) -> Result<()> {
    let script = scripts::get(run);
    let (completion, code) = Prepared::run_alone(interp, &script);
    let ended = InInterp::new(interp, code, completion);
    let page = with_exchange(|exchange| {
        super::sync(interp, exchange);
        let failed = pipeline::Ended::code(&ended) != pipeline::Code::Ok;
        Ok(failed.then(|| pipeline::handler_failed(exchange, run, &ended)).flatten())
    })?;
    if let Some(status) = page {
        return_status(interp, status)?;
    }
    interp.reset_result();
    Ok(())
}

macro_rules! status_commands {
    ($($(#[$doc:meta])* $name:ident = $status:expr;)*) => {
        $($(#[$doc])*
        pub(super) fn $name(interp: Interp, words: &[Obj]) -> Outcome {
            NOTHING.parse(interp, &words[..1], &words[1..])?;
            Ok(return_status(interp, $status)?)
        })*
    };
}

status_commands! {
    /// `ns_returnunauthorized`.
    ns_returnunauthorized = 401;
    /// `ns_returnforbidden`.
    ns_returnforbidden = 403;
    /// `ns_returnnotfound`.
    ns_returnnotfound = 404;
    /// `ns_returnunavailable`.
    ns_returnunavailable = 503;
}

/// `ns_returnok`: an empty text.
pub(super) fn ns_returnok(interp: Interp, words: &[Obj]) -> Outcome {
    NOTHING.parse(interp, &words[..1], &words[1..])?;
    Ok(return_text(interp, 200, "text/plain", &Obj::empty(), None)?)
}

/// `ns_returnbadrequest reason`; the reason is HTML.
pub(super) fn ns_returnbadrequest(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("reason", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    if !run_configured(interp, 400)? {
        let reason = parsed.word(0).obj.text();
        let message = format!("<p>The HTTP request presented by your browser is invalid.<p>\n{reason}");
        send(interp, |exchange| exchange.respond_page(400, pages::text(400).0, &message, &[]))?;
    }
    Ok(())
}

/// `ns_returnerror status message`; the message is HTML.
pub(super) fn ns_returnerror(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> =
        Syntax { options: [], ends_options: false, words: [STATUS, word("message", Kind::Any)], required: 2 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (status, message) = (parsed.word(0).number() as u16, parsed.word(1).obj.text());
    Ok(send(interp, |exchange| exchange.respond_page(status, "Request Error", &message, &[]))?)
}

/// `ns_returnnotice status title message`: the title is text, the message HTML.
pub(super) fn ns_returnnotice(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [STATUS, word("title", Kind::Any), word("message", Kind::Any)],
        required: 3,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let status = parsed.word(0).number() as u16;
    let (title, message) = (parsed.word(1).obj.text(), parsed.word(2).obj.text());
    Ok(send(interp, |exchange| exchange.respond_page(status, &title, &message, &[]))?)
}

/// `ns_returnredirect location`.
pub(super) fn ns_returnredirect(interp: Interp, words: &[Obj]) -> Outcome {
    let parsed = LOCATION.parse(interp, &words[..1], &words[1..])?;
    Ok(redirect(interp, 302, "Found", "The requested URL has moved here.", &parsed.word(0).obj.text())?)
}

/// `ns_returnmoved location`.
pub(super) fn ns_returnmoved(interp: Interp, words: &[Obj]) -> Outcome {
    let parsed = LOCATION.parse(interp, &words[..1], &words[1..])?;
    let (title, text) = ("Moved Permanently", "The requested URL has moved permanently here.");
    Ok(redirect(interp, 301, title, text, &parsed.word(0).obj.text())?)
}

/// Sends the peer elsewhere; the location goes out as it is.
pub(super) fn redirect(interp: Interp, status: u16, title: &str, text: &str, location: &str) -> Result<()> {
    if location.chars().any(|c| c.is_ascii_control() || matches!(c, ' ' | '"' | '<' | '>' | '\\')) {
        log::write(log::WARNING, &format!("redirect to a location that is no proper URL: {location:?}"));
    }
    let message = format!("<a href=\"{}\">{text}</a>", quote(location));
    send(interp, |exchange| exchange.respond_page(status, title, &message, &[("location", location)]))
}

/// `ns_internalredirect location`: another handler answers, without filters.
pub(super) fn ns_internalredirect(interp: Interp, words: &[Obj]) -> Outcome {
    let parsed = LOCATION.parse(interp, &words[..1], &words[1..])?;
    internal_redirect(interp, &parsed.word(0).obj.text())?;
    Ok(())
}

/// The same, for other commands.
pub(super) fn internal_redirect(interp: Interp, location: &str) -> Result<()> {
    if !may_send(interp)? {
        return Ok(());
    }
    let found = with_exchange(|exchange| {
        if exchange.redirects >= MAX_REDIRECTS {
            log::write(
                log::ERROR,
                &format!(
                    "return: failed to redirect '{location}': exceeded recursion limit of {MAX_REDIRECTS}"
                ),
            );
            return Ok(Err(500));
        }
        let turned = exchange.redirect(location, None);
        Ok(turned.map_err(|_: Fault| 500).and_then(|()| pipeline::find(exchange)))
    })?;
    match found {
        Ok(action) => run_here(interp, &Run::Handler(action))?,
        Err(status) => return_status(interp, status)?,
    }
    interp.set_result(&Obj::from_int(1));
    Ok(())
}
