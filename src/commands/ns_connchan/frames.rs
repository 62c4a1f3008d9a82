//! `ns_connchan wsencode` (spec/ns_connchan.md 5.3).

use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::{Interp, Obj, Outcome};
use crate::websocket::frame::{encode, random_key, Opcode};
use std::borrow::Cow;

const OPCODES: &[&str] = &["continue", "text", "binary", "close", "ping", "pong"];

pub(super) fn wsencode(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<4, 1> = Syntax {
        options: [
            Opt::flag("-binary"),
            Opt::valued("-fin", Kind::OneOf(&["0", "1"]), ""),
            Opt::flag("-mask"),
            Opt::valued("-opcode", Kind::OneOf(OPCODES), ""),
        ],
        ends_options: true,
        words: [word("message", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let fin = parsed.options[1].is_none_or(|v| v.number() == 1);
    let opcode = parsed.options[3].map_or(Opcode::Text, |v| Opcode::NAMED[v.number() as usize].1);
    let mask = if parsed.has(2) { Some(random_key()?) } else { None };
    let message = parsed.word(0).obj;
    // Bytes that a script has encoded itself are sent as they are; the rule is
    // the reference's, and scripts rely on it.
    let payload: Cow<[u8]> = if parsed.has(0) || opcode == Opcode::Binary || message.is_pure_bytes() {
        Cow::Borrowed(message.bytes()?)
    } else {
        match message.text() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    };
    let mut frame = Vec::new();
    encode(fin, opcode, mask, &payload, &mut frame);
    interp.set_result(&Obj::from_bytes(&frame));
    Ok(())
}
