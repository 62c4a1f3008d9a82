//! Responses piece by piece: `ns_headers`, `ns_write`, `ns_startcontent`
//! (spec/http.md 3.9).

use super::respond::{connection_charset, STATUS};
use super::{charset, send, sender, with_exchange, Sender};
use crate::base::{Error, Result};
use crate::server::current;
use crate::server::exchange::{Exchange, Prepared, State};
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::{Interp, Obj, Outcome};

/// `ns_headers ?-binary? ?--? status ?mimetype? ?length?`: prepares the head; it
/// is sent with the first piece, or at the end.
pub(super) fn ns_headers(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 3> = Syntax {
        options: [Opt::flag("-binary")],
        ends_options: true,
        words: [
            STATUS,
            word("mimetype", Kind::Any),
            word("length[0,MAX]", Kind::Range("length", 0, i64::MAX)),
        ],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let binary = parsed.has(0);
    let status = parsed.word(0).number() as u16;
    let mime_type = parsed.words[1].map(|v| v.obj.text());
    let length = parsed.words[2].map(|v| v.number() as u64);
    send(interp, |exchange| {
        exchange.set_status(status);
        let content_type = mime_type.as_deref().filter(|t| !t.is_empty()).map(|mime_type| {
            if binary {
                return mime_type.to_owned();
            }
            let (content_type, name) = charset::with_charset(mime_type, exchange.charset());
            let (content_type, name) = (content_type.into_owned(), name.to_owned());
            exchange.charset = Some(name.to_ascii_lowercase());
            content_type
        });
        if exchange.state() == State::Open {
            exchange.prepared = Some(Prepared { content_type, length, ..Prepared::default() });
        }
        exchange.encode_stream = !binary;
        true
    })?;
    Ok(())
}

/// Whether text that is sent now is encoded.
pub(super) fn encodes() -> bool {
    current::with(|e| e.encode_stream && e.state() != State::Raw && has_head(e)).unwrap_or(false)
}

/// `ns_write data ...`: sends a piece. Bytes as they are; text in the charset of
/// the connection after `ns_headers`, else the low byte of each character.
pub(super) fn ns_write(interp: Interp, words: &[Obj]) -> Outcome {
    let [_, data @ ..] = words else { return Ok(()) };
    if data.is_empty() {
        return Err(Error::usage(&format!("{} /data .../", words[0].text())).into());
    }
    let bytes = if encodes() {
        let binary = data.iter().any(Obj::is_pure_bytes);
        let name = current::with(|exchange| connection_charset(exchange)).flatten();
        let name = if binary { None } else { name };
        encoded(interp, name.as_deref().unwrap_or("utf-8"), data)?
    } else {
        let mut bytes = Vec::new();
        for part in data {
            bytes.extend_from_slice(part.bytes()?);
        }
        bytes
    };
    send(interp, |exchange| exchange.stream(&bytes))?;
    super::serve::wait_for_room();
    Ok(())
}

/// Whether a head was prepared or sent.
fn has_head(exchange: &Exchange) -> bool {
    exchange.prepared.is_some() || exchange.state() == State::Streaming
}

fn encoded(interp: Interp, name: &str, data: &[Obj]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in data {
        if part.is_pure_bytes() {
            bytes.extend_from_slice(part.bytes()?);
        } else {
            bytes.extend_from_slice(&charset::encode(interp, name, part));
        }
    }
    Ok(bytes)
}

/// `ns_startcontent ?-charset c? ?-type t? ?--?`: the head was sent by the
/// script itself; what follows is text in that charset.
pub(super) fn ns_startcontent(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 0> = Syntax {
        options: [Opt::valued("-charset", Kind::Any, "value"), Opt::valued("-type", Kind::Any, "value")],
        ends_options: true,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (name, mime_type) = (parsed.text(0), parsed.text(1));
    if name.is_some() && mime_type.is_some() {
        return Err(Error::new("only one of -charset or -type may be specified").into());
    }
    let name = name.or_else(|| mime_type.as_deref().and_then(charset::of_type).map(str::to_owned));
    if let Some(name) = name.as_deref().filter(|name| !charset::is_known(interp, name)) {
        return Err(Error::new(format!("no encoding for charset: {name}")).into());
    }
    if let Sender::Ready = sender(interp)? {
        with_exchange(|exchange| {
            if let Some(name) = name {
                exchange.charset = Some(name.to_ascii_lowercase());
            }
            exchange.start_raw();
            Ok(())
        })?;
    }
    Ok(())
}
