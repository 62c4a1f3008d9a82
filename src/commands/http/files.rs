//! Responses whose body is a file or a Tcl channel, and the script side of
//! serving files (spec/http.md 3.6 to 3.8 and section 4).

use super::respond::STATUS;
use super::status::{return_status, run_here};
use super::{adp, may_send, send, sender, with_exchange, Sender};
use crate::base::{log, Error, Result};
use crate::files::listing::Page;
use crate::files::settings::Listing;
use crate::files::{refresh, variant, Settings, Source, Stop};
use crate::server::connection::Piece;
use crate::server::exchange::{Exchange, Prepared, State};
use crate::server::fastpath::{self, Refresh, Step};
use crate::server::pipeline::{self, Run};
use crate::server::response::Payload;
use crate::tcl::args::{word, Kind, Syntax};
use crate::tcl::channel_source as channel;
use crate::tcl::{Interp, Obj, Outcome};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a channel that are streamed at a time, as in the reference.
const CHUNK: u64 = 8192;

/// Bytes of a channel that are read at a time for a complete response.
const BLOCK: u64 = 64 << 10;

/// `ns_returnfile status mimetype filename`: a file as the response.
pub(super) fn ns_returnfile(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [STATUS, word("mimetype", Kind::Any), word("filename", Kind::Any)],
        required: 3,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (media_type, path) = (parsed.word(1).obj.text(), parsed.word(2).obj.text());
    Ok(respond_file(interp, parsed.word(0).number() as u16, &media_type, &path)?)
}

/// Sends a file as the response.
pub(super) fn respond_file(interp: Interp, status: u16, media_type: &str, path: &str) -> Result<()> {
    if !may_send(interp)? {
        return Ok(());
    }
    let settings = Settings::current();
    let source = Source::anywhere(Path::new(path));
    let mut may_refresh = true;
    loop {
        let answered = with_exchange(|exchange| {
            Ok(fastpath::respond_file(exchange, status, &source, media_type, &settings, may_refresh))
        })?;
        match answered {
            Ok(sent) => {
                interp.set_result(&Obj::from_int(i64::from(sent)));
                return Ok(());
            }
            Err(Stop::Refresh(coding)) => {
                make_anew(interp, &fastpath::refresh(&source, coding));
                may_refresh = false;
            }
            Err(Stop::Missing | Stop::Directory) => return return_status(interp, 404),
        }
    }
}

/// Makes a compressed sibling anew, if it is our turn. A failure is logged: the
/// file itself is sent then.
fn make_anew(interp: Interp, what: &Refresh) {
    let Some(turn) = refresh::begin(&what.target) else { return };
    let words = [what.coding.command(), &what.source, &what.target].map(Obj::from_str);
    let saved = interp.result();
    let code = interp.call(&words);
    let result = interp.result();
    interp.set_result(&saved);
    if code != 0 {
        log::write(log::WARNING, &format!("{} returned: {}", what.coding.command(), result.text()));
    } else if variant::is_up_to_date(&what.source, &what.target) {
        turn.done();
    }
}

/// `ns_returnfp status mimetype channel length`: bytes of a channel as the
/// response.
pub(super) fn ns_returnfp(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 4> = Syntax {
        options: [],
        ends_options: false,
        words: [
            STATUS,
            word("mimetype", Kind::Any),
            word("channel", Kind::Any),
            word("length[0,MAX]", Kind::Range("length", 0, i64::MAX)),
        ],
        required: 4,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (status, length) = (parsed.word(0).number() as u16, parsed.word(3).number() as u64);
    Ok(respond_channel(interp, status, &parsed.word(1).obj.text(), parsed.word(2).obj, length)?)
}

/// Sends the next `length` bytes of a Tcl channel as the response. When there are
/// fewer the result is 0, and the connection ends.
pub(super) fn respond_channel(
    interp: Interp,
    status: u16,
    media_type: &str,
    name: &Obj,
    length: u64,
) -> Result<()> {
    if !may_send(interp)? {
        return Ok(());
    }
    let source = channel::Source::find(interp, name)?;
    let fields = [("content-type", media_type)];
    if let Some((file, position)) = source.file() {
        let there = file.metadata().map_or(0, |data| data.len()).saturating_sub(position);
        let piece = Piece::File { file: Arc::new(file), offset: position, length };
        let pieces = if length == 0 { Vec::new() } else { vec![piece] };
        source.seek(position + length.min(there))?;
        return send(interp, |exchange| {
            expect_end(exchange, length > there);
            exchange.respond(status, &fields, Payload::Pieces(pieces, length)) && length <= there
        });
    }
    let bytes = source.bytes()?;
    let mut pieces = Vec::new();
    let mut missing = length;
    while missing > 0 {
        let block = bytes.read(missing.min(BLOCK))?;
        let block = block.bytes()?;
        if block.is_empty() {
            break;
        }
        missing -= block.len() as u64;
        pieces.push(Piece::Bytes(block.to_vec()));
    }
    drop(bytes);
    send(interp, |exchange| {
        expect_end(exchange, missing > 0);
        exchange.respond(status, &fields, Payload::Pieces(pieces, length)) && missing == 0
    })
}

/// Closes the connection behind a response that will lack bytes. Known before it is sent: with
/// the response, its connection may be another thread's again.
fn expect_end(exchange: &mut Exchange, lacks_bytes: bool) {
    if lacks_bytes {
        log::write(log::WARNING, "the channel has fewer bytes than were promised: connection closed");
        exchange.keep_alive = Some(false);
    }
}

/// `ns_writefp channel ?nbytes?`: streams the rest of a channel, or a part.
pub(super) fn ns_writefp(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("channelId", Kind::Any), word("nbytes", Kind::Int)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let most = match parsed.words[1].map_or(-1, |value| value.number()) {
        -1 => u64::MAX,
        most => most.max(0) as u64,
    };
    let source = channel::Source::find(interp, parsed.word(0).obj)?;
    match sender(interp)? {
        Sender::Ready => {}
        Sender::Refused => return Err(failed().into()),
        Sender::Ignored => return Ok(()),
    }
    with_exchange(|exchange| {
        if exchange.state() == State::Open && exchange.prepared.is_none() {
            exchange.prepared = Some(Prepared::default());
        }
        Ok(())
    })?;
    copy(interp, &source, most, CHUNK)?;
    Ok(())
}

fn failed() -> Error {
    Error::new("I/O failed")
}

/// Streams bytes of a channel; how many there were.
fn copy(interp: Interp, source: &channel::Source, most: u64, chunk: u64) -> Result<u64> {
    let bytes = source.bytes()?;
    let mut copied = 0;
    while copied < most {
        let block = bytes.read((most - copied).min(chunk))?;
        let block = block.bytes()?;
        if block.is_empty() {
            break;
        }
        if !with_exchange(|exchange| Ok(exchange.is_open() && exchange.stream(block)))? {
            return Err(failed());
        }
        copied += block.len() as u64;
        super::serve::wait_for_room();
    }
    let _ = interp;
    Ok(copied)
}

/// `ns_connsendfp channel length`: bytes of a channel without any head.
pub(super) fn ns_connsendfp(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("channel", Kind::Any), word("length[0,MAX]", Kind::Range("length", 0, i64::MAX))],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (name, length) = (parsed.word(0).obj, parsed.word(1).number() as u64);
    match sender(interp)? {
        Sender::Ready => {}
        Sender::Refused => return Err(failed().into()),
        Sender::Ignored => return Ok(()),
    }
    let source = channel::Source::find(interp, name)?;
    with_exchange(|exchange| {
        if exchange.state() == State::Open {
            exchange.prepared = None;
            exchange.start_raw();
        }
        Ok(())
    })?;
    let copied = copy(interp, &source, length, BLOCK)?;
    if copied < length {
        let message = format!("could not send {length} bytes from channel {}", name.text());
        return Err(Error::new(message).into());
    }
    Ok(())
}

/// `::ns_connchan::fastpath`: what answers a request that no script does, where that
/// takes a script after all.
pub(super) fn fastpath(interp: Interp, words: &[Obj]) -> Outcome {
    NOTHING.parse(interp, &words[..1], &words[1..])?;
    if !may_send(interp)? {
        return Ok(());
    }
    let mut may_refresh = true;
    loop {
        match with_exchange(|exchange| Ok(fastpath::step(exchange, may_refresh)))? {
            Step::Sent(sent) => {
                interp.set_result(&Obj::from_int(i64::from(sent)));
                return Ok(());
            }
            Step::Missing => return Ok(return_status(interp, 404)?),
            Step::Turned => match with_exchange(|exchange| Ok(pipeline::find(exchange)))? {
                Ok(action) if fastpath::is_fastpath(&action) => {}
                Ok(action) => return Ok(run_here(interp, &Run::Handler(action))?),
                Err(status) => return Ok(return_status(interp, status)?),
            },
            Step::Refresh(what) => {
                make_anew(interp, &what);
                may_refresh = false;
            }
            Step::Directory(settings) => return directory(interp, &settings),
        }
    }
}

const NOTHING: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };

/// A directory without index file: the page or the procedure for such.
fn directory(interp: Interp, settings: &Settings) -> Outcome {
    if !settings.directory_adp.is_empty() {
        return Ok(adp::show(interp, &settings.directory_adp)?);
    }
    if settings.directory_proc.is_empty() {
        return Ok(return_status(interp, 404)?);
    }
    match interp.eval_here(&Obj::from_str(&settings.directory_proc)) {
        0 => Ok(()),
        code => Err(crate::tcl::Failure::Code(code)),
    }
}

/// `_ns_dirlist`: the directory of the request as a page, as
/// `directorylisting` says.
pub(super) fn dirlist(interp: Interp, words: &[Obj]) -> Outcome {
    NOTHING.parse(interp, &words[..1], &words[1..])?;
    let settings = Settings::current();
    if with_exchange(|exchange| Ok(!exchange.path().ends_with('/')))? {
        return Ok(send(interp, fastpath::to_directory)?);
    }
    if settings.listing == Listing::None {
        return Ok(return_status(interp, 404)?);
    }
    let page = with_exchange(|exchange| Ok(listing(exchange, &settings)))?;
    match page {
        Some((title, html)) => Ok(send(interp, |exchange| exchange.respond_page(200, &title, &html, &[]))?),
        None => Ok(return_status(interp, 404)?),
    }
}

/// Title and body of the page for the directory of an exchange.
fn listing(exchange: &Exchange, settings: &Settings) -> Option<(String, String)> {
    let source = fastpath::page_source(exchange, settings).ok()?;
    let location = exchange.connection.driver.location();
    let url = exchange.path();
    let page = Page {
        url,
        location: &location,
        has_parent: url != "/",
        hide_dot_files: settings.hide_dot_files || !settings.serve_dot_files,
    };
    Some((url.to_owned(), page.html(settings.listing, source.entries().ok()?)))
}

/// `ns_url2file url`: the file that a url means, as `ns_conn url` tells it: nothing is decoded.
pub(super) fn ns_url2file(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("url", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let url = parsed.word(0).obj.text();
    let rooted = if url.starts_with('/') { url.to_string() } else { format!("/{url}") };
    let failed = || Error::new(format!("url2file lookup failed for {url}"));
    let path = crate::http::target::resolve(&rooted).map_err(|_| failed())?;
    let settings = Settings::current();
    let driver =
        crate::server::current::with(|exchange| exchange.connection.driver.page_dir.clone()).flatten();
    let root = driver.unwrap_or_else(|| settings.pagedir.clone());
    let file = root.join(path.trim_matches('/'));
    let text = file.to_str().ok_or_else(failed)?;
    interp.set_result(&Obj::from_str(text.trim_end_matches('/')));
    Ok(())
}
