//! `ns_return` and `ns_respond`: complete responses (spec/http.md 3.5, 3.6).

use super::{charset, may_send, send, with_exchange};
use crate::base::set::NsSet;
use crate::base::{log, Error, Result};
use crate::commands::ns_set;
use crate::server::current;
use crate::server::exchange::Exchange;
use crate::tcl::args::{word, Kind, Opt, Syntax, Word};
use crate::tcl::{Interp, Obj, Outcome};
use std::borrow::Cow;

/// The status of a response.
pub(super) const STATUS: Word = word("status[100,599]", Kind::Range("status", 100, 599));

/// `ns_return ?-binary? status mimetype data`.
pub(super) fn ns_return(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 3> = Syntax {
        options: [Opt::flag("-binary")],
        ends_options: false,
        words: [STATUS, word("mimetype", Kind::Any), word("data", Kind::Any)],
        required: 3,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let status = parsed.word(0).number() as u16;
    let (mime_type, data) = (parsed.word(1).obj.text(), parsed.word(2).obj);
    if parsed.has(0) || data.is_pure_bytes() {
        let bytes = data.bytes()?;
        send(interp, |exchange| exchange.respond_data(status, &mime_type, bytes))?;
    } else {
        return_text(interp, status, &mime_type, data, None)?;
    }
    Ok(())
}

/// Sends text, in the charset of its type or of the connection; `most` limits
/// its encoded length.
pub(super) fn return_text(
    interp: Interp,
    status: u16,
    mime_type: &str,
    text: &Obj,
    most: Option<u64>,
) -> Result<()> {
    // Encoding may be Tcl's business: before anything is borrowed.
    let default = current::with(|exchange| connection_charset(exchange)).flatten();
    let (content_type, name) = charset::with_charset(mime_type, default.as_deref().unwrap_or("utf-8"));
    let named = matches!(content_type, Cow::Borrowed(_)).then(|| charset::usual_name(interp, name));
    let body = charset::encode(interp, name, text);
    let length = most.map_or(body.len(), |most| character_end(&body, most.min(body.len() as u64) as usize));
    send(interp, |exchange| {
        exchange.use_charset(named);
        exchange.respond_text(status, &content_type, &body[..length])
    })
}

/// Where the last character ends that is whole within the first `most` bytes
/// of UTF-8; other bytes are cut anywhere.
fn character_end(bytes: &[u8], most: usize) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(text) => (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0),
        Err(_) => most,
    }
}

/// The charset of a connection, unless it is UTF-8.
pub(super) fn connection_charset(exchange: &Exchange) -> Option<String> {
    let name = exchange.charset();
    (name != "utf-8").then(|| name.to_owned())
}

/// `ns_respond` with all its options.
pub(super) fn ns_respond(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<9, 0> = Syntax {
        options: [
            Opt::valued("-status", Kind::Range("-status", 100, 599), "integer[100,599]"),
            Opt::valued("-type", Kind::Any, "value"),
            Opt::valued("-length", Kind::Range("-length", 0, i64::MAX), "integer[0,MAX]"),
            Opt::valued("-headers", Kind::Checked(ns_set::check), "setId"),
            Opt::valued("-string", Kind::Any, "value"),
            Opt::valued("-file", Kind::Any, "value"),
            Opt::valued("-fileid", Kind::Any, "value"),
            Opt::valued("-data", Kind::Any, "data"),
            Opt::valued("-binary", Kind::Any, "data"),
        ],
        ends_options: false,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let status = parsed.options[0].map_or(200, |v| v.number() as u16);
    let mime_type = parsed.text(1).unwrap_or_else(|| "*/*".to_owned());
    let length = parsed.options[2].map(|v| v.number() as u64);
    if parsed.has(8) {
        log::write(log::DEPRECATED, "ns_respond: '-binary' is deprecated; use '-data'");
    }
    let data = parsed.options[7].or(parsed.options[8]);
    let bodies = [parsed.options[4], parsed.options[5], parsed.options[6], data];
    if !may_send(interp)? {
        return Ok(());
    }
    if bodies.iter().flatten().count() != 1 {
        return Err(Error::new("must specify only one of -string, -file, -data or -fileid").into());
    }
    if let Some(set) = parsed.options[3] {
        replace_output(interp, set.obj)?;
    }
    match bodies {
        [Some(text), ..] => return_text(interp, status, &mime_type, text.obj, length)?,
        [_, Some(file), ..] => super::files::respond_file(interp, status, &mime_type, &file.obj.text())?,
        [_, _, Some(channel), _] => {
            let length = length.ok_or_else(|| Error::new("length required when -fileid is used"))?;
            super::files::respond_channel(interp, status, &mime_type, channel.obj, length)?;
        }
        [.., Some(data)] => {
            let bytes = data.obj.bytes()?;
            let most = length.unwrap_or(u64::MAX).min(bytes.len() as u64) as usize;
            send(interp, |exchange| exchange.respond_data(status, &mime_type, &bytes[..most]))?;
        }
        _ => {}
    }
    Ok(())
}

/// The fields of a set take the place of all that were prepared, in their
/// spelling.
fn replace_output(interp: Interp, handle: &Obj) -> Result<()> {
    let fields = ns_set::fields(interp, &handle.text())?;
    with_exchange(|exchange| {
        if exchange.handles[1].as_deref() == Some(&*handle.text()) {
            log::write(log::WARNING, "ns_respond: -headers is the set of output headers itself");
            return Ok(());
        }
        // No longer those of the set that scripts may have.
        exchange.fixed_output = true;
        exchange.output = NsSet::new(None, false);
        exchange.output.append(fields);
        Ok(())
    })
}
