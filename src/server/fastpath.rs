//! Files as responses: for requests that no handler answers, and for the
//! commands that name a file (spec/http.md 3.7 and section 4).
//!
//! What needs no script is done in the reactor, as soon as the request is
//! there. `step` goes one step; `attempt` goes as far as that leads without a
//! script, and the command `::ns_connchan::fastpath` all the way.

use super::exchange::Exchange;
use super::handlers::Action;
use super::pages;
use super::pipeline;
use super::response::Payload;
use crate::files::variant::Coding;
use crate::files::{answer, media, Answer, Asked, Settings, Source, Stop};
use crate::http::conditional::Conditions;
use crate::http::html::quote;
use crate::http::percent::encode_path;
use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a step has come to.
pub enum Step {
    /// The response was handed over; false when it could not be sent.
    Sent(bool),
    /// There is no such file: the page for 404 is due.
    Missing,
    /// The exchange was turned to the index file of a directory: whatever
    /// handles that is to be found.
    Turned,
    /// A compressed sibling is to be made anew first.
    Refresh(Refresh),
    /// A directory without index file: the directory procedure has the word.
    Directory(Arc<Settings>),
}

/// What is to be compressed.
#[derive(Debug)]
pub struct Refresh {
    /// How.
    pub coding: Coding,
    /// The file.
    pub source: String,
    /// Its sibling.
    pub target: String,
}

/// What an attempt without a script has come to.
pub enum Attempt {
    /// The request is answered.
    Answered,
    /// The exchange was turned to another path: look for its handler.
    Turned,
    /// It takes a script.
    Script,
}

/// Answers a request for a file, unless that takes a script.
pub fn attempt(exchange: &mut Exchange) -> Attempt {
    match step(exchange, true) {
        Step::Sent(_) => Attempt::Answered,
        Step::Turned => Attempt::Turned,
        Step::Missing if !has_page(exchange, 404) => {
            exchange.respond_status(404);
            Attempt::Answered
        }
        Step::Missing | Step::Refresh(_) | Step::Directory(_) => Attempt::Script,
    }
}

fn has_page(exchange: &Exchange, status: u16) -> bool {
    exchange.connection.driver.settings.redirects.iter().any(|(code, _)| *code == status)
}

/// One step on the way from a path to a file. `may_refresh` allows the answer that a
/// sibling is to be made anew.
pub fn step(exchange: &mut Exchange, may_refresh: bool) -> Step {
    let settings = Settings::current();
    let Ok(source) = page_source(exchange, &settings) else { return Step::Missing };
    let media_type = media::type_of(&settings, exchange.path().trim_end_matches('/'));
    match respond_file(exchange, 200, &source, media_type, &settings, may_refresh) {
        Ok(sent) => Step::Sent(sent),
        Err(Stop::Missing) => Step::Missing,
        Err(Stop::Refresh(coding)) => Step::Refresh(refresh(&source, coding)),
        Err(Stop::Directory) => directory(exchange, &source, settings),
    }
}

/// What is to be done for `Stop::Refresh`.
pub fn refresh(source: &Source, coding: Coding) -> Refresh {
    Refresh { coding, source: source.text(""), target: source.text(coding.suffix()) }
}

/// Where the path of an exchange leads in the page directory.
///
/// # Errors
/// The system's: there is no page directory; or the name is hidden.
pub fn page_source(exchange: &Exchange, settings: &Settings) -> io::Result<Source> {
    let path = exchange.path();
    if !settings.serve_dot_files && is_hidden(path) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Source::page(page_directory(exchange, settings), path, settings.links)
}

/// The page directory: that of the driver, or the one that is configured.
pub fn page_directory<'a>(exchange: &'a Exchange, settings: &'a Settings) -> &'a Path {
    exchange.connection.driver.page_dir.as_deref().unwrap_or(&settings.pagedir)
}

/// Whether a component of a path begins with a dot. `.well-known` is there to be
/// found (RFC 8615).
fn is_hidden(path: &str) -> bool {
    let path = path
        .strip_prefix("/.well-known")
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path);
    path.contains("/.")
}

/// A directory: its index file, if it has one.
fn directory(exchange: &mut Exchange, source: &Source, settings: Arc<Settings>) -> Step {
    let is_file = |name: &&String| {
        let file = source.child(name).open("");
        file.and_then(|file| crate::net::beneath::stamp(&file)).is_ok_and(|stamp| stamp.is_file())
    };
    let Some(index) = settings.directory_file.iter().find(is_file) else { return Step::Directory(settings) };
    if !exchange.path().ends_with('/') {
        return Step::Sent(to_directory(exchange));
    }
    let mut location = String::new();
    encode_path(&mut location, exchange.path().as_bytes());
    encode_path(&mut location, index.as_bytes());
    if exchange.redirects >= pipeline::MAX_REDIRECTS || exchange.redirect(&location, None).is_err() {
        return Step::Missing;
    }
    Step::Turned
}

/// Redirects to the same path with a slash; the query stays. The location is relative to
/// the server, and made of the path in its normal form: one that begins with two slashes
/// would lead to another server.
pub fn to_directory(exchange: &mut Exchange) -> bool {
    let mut location = String::new();
    encode_path(&mut location, exchange.path().as_bytes());
    location.push('/');
    if !exchange.query().is_empty() {
        location.push('?');
        location.push_str(exchange.query());
    }
    let message = format!("<a href=\"{}\">The requested URL has moved here.</a>", quote(&location));
    exchange.respond_page(302, "Found", &message, &[("location", &location)])
}

/// Sends a file as the response, by the conditions and ranges of the request.
/// False when it cannot be sent.
///
/// # Errors
/// Why there is nothing to send.
pub fn respond_file(
    exchange: &mut Exchange,
    status: u16,
    source: &Source,
    media_type: &str,
    settings: &Settings,
    may_refresh: bool,
) -> Result<bool, Stop> {
    exchange.set_status(status);
    let answer = {
        // Behind what was streamed already: all of it, as it is.
        let fields = if exchange.has_begun() { Fields::default() } else { Fields::of(exchange) };
        answer(source, media_type, &fields.asked(exchange, may_refresh), settings)?
    };
    // As in the reference: what was to be sent was not.
    let is_sent = answer.status != 416;
    Ok(send(exchange, answer) && is_sent)
}

fn send(exchange: &mut Exchange, mut answer: Answer) -> bool {
    let body = std::mem::take(&mut answer.body);
    let mut place = [("", ""); answer::MOST_FIELDS];
    let count = answer.fields(&mut place);
    let merged = exchange.merged_vary("accept-encoding");
    if let Some(merged) = &merged {
        // What the script has said of it stays.
        place[..count].iter_mut().filter(|(name, _)| *name == "vary").for_each(|field| field.1 = merged);
    }
    let fields = &place[..count];
    match body.as_slice() {
        [answer::Piece::Shared(data, range)] if answer.length == range.len() as u64 => {
            exchange.respond(answer.status, fields, Payload::Bytes(&data[range.clone()]))
        }
        _ => {
            let pieces = body.into_iter().map(Into::into).collect();
            exchange.respond(answer.status, fields, Payload::Pieces(pieces, answer.length))
        }
    }
}

impl From<answer::Piece> for super::connection::Piece {
    fn from(piece: answer::Piece) -> super::connection::Piece {
        use super::connection::Piece;
        match piece {
            answer::Piece::Own(bytes) => Piece::Bytes(bytes),
            answer::Piece::Shared(data, range) => Piece::Bytes(data[range].to_vec()),
            answer::Piece::File(file, range) => {
                Piece::File { file, offset: range.start, length: range.end - range.start }
            }
        }
    }
}

/// The fields of a request that matter for files.
#[derive(Default)]
pub struct Fields<'a> {
    range: Option<Cow<'a, str>>,
    if_range: Option<Cow<'a, str>>,
    if_match: Option<Cow<'a, str>>,
    if_none_match: Option<Cow<'a, str>>,
    if_modified_since: Option<Cow<'a, str>>,
    if_unmodified_since: Option<Cow<'a, str>>,
    accept_encoding: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    /// Those of the request of an exchange.
    pub fn of(exchange: &'a Exchange) -> Fields<'a> {
        let mut fields = Fields::default();
        for (name, value) in exchange.request.fields() {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let place = match name.len() {
                5 if is("range") => &mut fields.range,
                8 if is("if-range") => &mut fields.if_range,
                8 if is("if-match") => &mut fields.if_match,
                13 if is("if-none-match") => &mut fields.if_none_match,
                15 if is("accept-encoding") => &mut fields.accept_encoding,
                17 if is("if-modified-since") => &mut fields.if_modified_since,
                19 if is("if-unmodified-since") => &mut fields.if_unmodified_since,
                _ => continue,
            };
            // Several fields of a name are one list (RFC 9110, section 5.3).
            *place = Some(match place.take() {
                None => value,
                Some(before) => Cow::Owned(format!("{before}, {value}")),
            });
        }
        fields
    }

    /// `Range`.
    pub fn range(&self) -> Option<&str> {
        self.range.as_deref()
    }

    /// `If-Range`.
    pub fn if_range(&self) -> Option<&str> {
        self.if_range.as_deref()
    }

    /// `Accept-Encoding`.
    pub fn accept_encoding(&self) -> Option<&str> {
        self.accept_encoding.as_deref()
    }

    fn asked(&'a self, exchange: &Exchange, may_refresh: bool) -> Asked<'a> {
        let method = exchange.method();
        // Who has set a coding has compressed by himself.
        let is_coded = exchange.output_field("content-encoding").is_some();
        Asked {
            status: exchange.status(),
            head: exchange.is_head(),
            get: method == "GET" && !exchange.is_head(),
            modern: exchange.request.minor_version() > 0,
            range: self.range(),
            if_range: self.if_range(),
            conditions: Conditions {
                if_match: self.if_match.as_deref(),
                if_none_match: self.if_none_match.as_deref(),
                if_modified_since: self.if_modified_since.as_deref(),
                if_unmodified_since: self.if_unmodified_since.as_deref(),
            },
            accept_encoding: self.accept_encoding().filter(|_| !is_coded),
            now: now(),
            may_refresh,
        }
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// Whether an action is to serve files.
pub fn is_fastpath(action: &Action) -> bool {
    *action == Action::Fastpath
}

/// Title and message of the page for 500, for a directory that cannot be shown.
pub fn server_error() -> (&'static str, &'static str) {
    pages::text(500)
}
