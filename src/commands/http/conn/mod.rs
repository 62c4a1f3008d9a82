//! `ns_conn`: what a handler asks about its request, and sets for its response
//! (spec/http.md section 2).
//!
//! `request` has the subcommands about the request, `content` those about its
//! body and form, `transport` those about the connection.

mod content;
mod request;
mod transport;

pub(super) use content::{form_handle, form_of};

use super::{detached, with_exchange};
use crate::base::{Error, Result};
use crate::server::exchange::{Exchange, State};
use crate::tcl::args::Syntax;
use crate::tcl::{subcommand, Interp, Obj, Outcome};

/// A subcommand: interpreter, the words that name it, its arguments.
type Subcommand = fn(&Call) -> Result<Obj>;

/// A subcommand being called.
pub(super) struct Call<'a> {
    interp: Interp,
    name: &'a [Obj],
    args: &'a [Obj],
}

const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("acceptedcompression", transport::accepted_compression),
    ("auth", request::auth),
    ("authpassword", request::auth_password),
    ("authuser", request::auth_user),
    ("channel", transport::channel),
    ("clientcert", transport::client_cert),
    ("clientdata", transport::client_data),
    ("close", transport::close),
    ("compress", transport::compress),
    ("content", content::content),
    ("contentfile", content::content_file),
    ("contentlength", content::content_length),
    ("contentsentlength", transport::content_sent_length),
    ("contenttype", content::content_type),
    ("copy", content::copy),
    ("currentaddr", transport::current_addr),
    ("currentport", transport::current_port),
    ("details", transport::details),
    ("driver", transport::driver),
    ("encoding", transport::encoding),
    ("fileheaders", content::file_headers),
    ("filelength", content::file_length),
    ("fileoffset", content::file_offset),
    ("files", content::files),
    ("flags", transport::flags),
    ("form", content::form),
    ("fragment", request::fragment),
    ("headerlength", request::header_length),
    ("headers", request::headers),
    ("host", request::host),
    ("id", transport::id),
    ("isconnected", transport::is_connected),
    ("keepalive", transport::keep_alive),
    ("location", transport::location),
    ("method", request::method),
    ("outputheaders", transport::output_headers),
    ("partialtimes", transport::partial_times),
    ("peeraddr", transport::peer_addr),
    ("peerport", transport::peer_port),
    ("pool", transport::pool),
    ("port", request::port),
    ("privacy", transport::privacy),
    ("protocol", transport::protocol),
    ("query", request::query),
    ("ratelimit", transport::rate_limit),
    ("request", request::request),
    ("server", transport::server),
    ("sock", transport::sock),
    ("start", transport::start),
    ("status", transport::status),
    ("target", request::target),
    ("timeout", transport::timeout),
    ("url", request::url),
    ("urlc", request::urlc),
    ("urldict", request::urldict),
    ("urlencoding", transport::url_encoding),
    ("urlv", request::urlv),
    ("version", request::version),
    ("zipaccepted", transport::zip_accepted),
];

/// The command `ns_conn`. Unique abbreviations of subcommands work.
pub(super) fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let Some(given) = words.get(1) else {
        return Err(Error::usage(&format!("{} /subcommand/", words[0].text())).into());
    };
    // In order, and there are many.
    if let Ok(index) = SUBCOMMANDS.binary_search_by(|(name, _)| name.as_bytes().cmp(given.raw_text())) {
        return run(interp, &SUBCOMMANDS[index].1, &words[..2], &words[2..]);
    }
    let found = subcommand::prefix(words, SUBCOMMANDS)?;
    run(interp, found.entry, &found.name, &words[2..])
}

fn run(interp: Interp, subcommand: &Subcommand, name: &[Obj], args: &[Obj]) -> Outcome {
    let result = subcommand(&Call { interp, name, args })?;
    interp.set_result(&result);
    Ok(())
}

const NOTHING: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };

fn text(value: &str) -> Obj {
    Obj::from_str(value)
}

fn number(value: i64) -> Obj {
    Obj::from_int(value)
}

impl Call<'_> {
    /// A subcommand without arguments, about the request.
    fn plain(&self, work: impl FnOnce(&mut Exchange) -> Obj) -> Result<Obj> {
        NOTHING.parse(self.interp, self.name, self.args)?;
        with_exchange(|exchange| Ok(work(exchange)))
    }

    /// The same, that needs the socket.
    fn on_socket(&self, work: impl FnOnce(&mut Exchange) -> Obj) -> Result<Obj> {
        NOTHING.parse(self.interp, self.name, self.args)?;
        with_exchange(|exchange| {
            check_socket(exchange)?;
            Ok(work(exchange))
        })
    }

    /// The same, that needs an open connection.
    fn on_open(&self, work: impl FnOnce(&mut Exchange) -> Obj) -> Result<Obj> {
        NOTHING.parse(self.interp, self.name, self.args)?;
        with_exchange(|exchange| {
            check_open(exchange)?;
            Ok(work(exchange))
        })
    }
}

/// Refuses what needs the socket when that was given away.
fn check_socket(exchange: &Exchange) -> Result<()> {
    match exchange.state() {
        State::Complete | State::Detached => Err(detached()),
        _ => Ok(()),
    }
}

/// Refuses what needs an open connection when it is closed.
fn check_open(exchange: &Exchange) -> Result<()> {
    match exchange.state() {
        State::Complete | State::Detached => Err(Error::new("connection already closed")),
        _ => Ok(()),
    }
}
