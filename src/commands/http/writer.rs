//! `ns_writer`: the rest of a response, sent while the handler goes on
//! (spec/support.md 5.6). The connection's reactor sends what the peer does not
//! take at once.

use super::respond::connection_charset;
use super::{charset, sender, with_exchange, Sender};
use crate::base::{errno, memory_size, Error, Result};
use crate::files::{media, Settings};
use crate::net::beneath;
use crate::server::connection::Piece;
use crate::server::exchange::{Prepared, State};
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::subcommand;
use crate::tcl::{Interp, Obj, Outcome};
use std::ffi::CString;
use std::fs::File;
use std::sync::Arc;

/// `ns_writer`.
pub(super) fn command(interp: Interp, words: &[Obj]) -> Outcome {
    type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Result<()>;
    const SUBCOMMANDS: &[(&str, Subcommand)] = &[("submit", submit), ("submitfile", submit_file)];
    let (name, args) = words.split_at(words.len().min(2));
    Ok(subcommand::exact(words, SUBCOMMANDS)?(interp, name, args)?)
}

/// `ns_writer submit data`: bytes as they are, text as `ns_write` does.
fn submit(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<()> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("data", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    if !ready(interp)? {
        return Ok(());
    }
    let data = parsed.word(0).obj;
    let bytes = if super::write::encodes() && !data.is_pure_bytes() {
        let name = with_exchange(|exchange| Ok(connection_charset(exchange)))?;
        charset::encode(interp, name.as_deref().unwrap_or("utf-8"), data).into_owned()
    } else {
        data.bytes()?.to_vec()
    };
    let length = bytes.len() as u64;
    hand_over(interp, vec![Piece::Bytes(bytes)], length)
}

/// `ns_writer submitfile ?-headers? ?-offset n? ?-size n? filename`: a file, or a
/// part of it.
fn submit_file(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<()> {
    const SYNTAX: Syntax<3, 1> = Syntax {
        options: [
            Opt::flag("-headers"),
            Opt::valued("-offset", Kind::Checked(check_size), "memory-size"),
            Opt::valued("-size", Kind::Checked(check_size), "memory-size"),
        ],
        ends_options: true,
        words: [word("filename", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let given = |index: usize| parsed.text(index).map(|text| memory_size::parse(&text)).transpose();
    let (offset, length) = (given(1)?.unwrap_or(0), given(2)?);
    if !ready(interp)? {
        return Ok(());
    }
    let path = parsed.word(0).obj.text();
    let (file, there) = open(&path)?;
    let left = there.checked_sub(offset).filter(|left| length.is_none_or(|length| length <= *left));
    let Some(left) = left else {
        return Err(Error::new(format!("the file has {there} bytes only: {path}")));
    };
    let length = length.unwrap_or(left);
    if parsed.has(0) {
        let content_type = media::type_of(&Settings::current(), &path).to_owned();
        with_exchange(|exchange| {
            if exchange.state() == State::Open {
                let content_type = Some(content_type);
                exchange.prepared =
                    Some(Prepared { content_type, length: Some(length), ..Prepared::default() });
            }
            Ok(())
        })?;
    }
    hand_over(interp, vec![Piece::File { file: Arc::new(file), offset, length }], length)
}

fn check_size(_interp: Interp, value: &Obj) -> Result<()> {
    memory_size::parse(&value.text()).map(drop)
}

/// Opens a file; its length comes with it.
fn open(path: &str) -> Result<(File, u64)> {
    let failed = |error: std::io::Error| {
        let number = error.raw_os_error().unwrap_or(libc::EINVAL);
        Error::posix(format!("couldn't open \"{path}\": {}", errno::message(number)), number)
    };
    let name = CString::new(path).map_err(|error| failed(error.into()))?;
    let file = beneath::open(&name).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::new(format!("no regular file: {path}")));
    }
    Ok((file, metadata.len()))
}

/// Whether something can be sent; if not, the result is set.
fn ready(interp: Interp) -> Result<bool> {
    match sender(interp)? {
        Sender::Ready => return Ok(true),
        Sender::Refused => interp.set_result(&Obj::from_int(-1)),
        Sender::Ignored => {}
    }
    Ok(false)
}

/// Gives pieces to the connection. The result is 0, or -1 when nothing can be
/// sent any more.
fn hand_over(interp: Interp, pieces: Vec<Piece>, length: u64) -> Result<()> {
    let pieces = if length == 0 { Vec::new() } else { pieces };
    let sent = with_exchange(|exchange| Ok(exchange.stream_rest(pieces, length)))?;
    interp.set_result(&Obj::from_int(if sent { 0 } else { -1 }));
    Ok(())
}
