//! `ns_connchan read -websocket` and `wsencode` (spec/ns_connchan.md 5).

use crate::connchan::channel::READ_SIZE;
use crate::connchan::frames::{Frame, FrameRead};
use crate::connchan::home;
use crate::connchan::Channel;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::{lifetime, Interp, Obj, Outcome};
use crate::websocket::frame::{encode, random_key, Opcode};
use std::borrow::Cow;

const OPCODES: &[&str] = &["continue", "text", "binary", "close", "ping", "pong"];

/// The words of the result, made once for each interpreter and shared by all
/// dicts, so that a message costs no more values than it has to.
struct Words {
    fin: Obj,
    frame: Obj,
    opcode: Obj,
    payload: Obj,
    bytes: Obj,
    unprocessed: Obj,
    fragments: Obj,
    havedata: Obj,
    complete: Obj,
    incomplete: Obj,
    /// Up to the last opcode.
    numbers: [Obj; 11],
}

impl Default for Words {
    fn default() -> Words {
        Words {
            fin: Obj::from_str("fin"),
            frame: Obj::from_str("frame"),
            opcode: Obj::from_str("opcode"),
            payload: Obj::from_str("payload"),
            bytes: Obj::from_str("bytes"),
            unprocessed: Obj::from_str("unprocessed"),
            fragments: Obj::from_str("fragments"),
            havedata: Obj::from_str("havedata"),
            complete: Obj::from_str("complete"),
            incomplete: Obj::from_str("incomplete"),
            numbers: std::array::from_fn(|number| Obj::from_int(number as i64)),
        }
    }
}

impl Words {
    fn number(&self, number: usize) -> Obj {
        self.numbers.get(number).cloned().unwrap_or_else(|| Obj::from_count(number as u64))
    }

    /// What every result ends with.
    fn counts<T>(&self, read: &FrameRead<T>) -> [(&Obj, Obj); 3] {
        [
            (&self.unprocessed, self.number(read.unprocessed)),
            (&self.fragments, self.number(read.fragments)),
            (&self.havedata, self.number(read.have_data.into())),
        ]
    }
}

/// `read -websocket`: the next frame as a dict.
pub(super) fn read(interp: Interp, channel: &Channel, buffer: &mut [u8; READ_SIZE + 1]) -> Outcome {
    let words = lifetime::state::<Words>(interp);
    let read = channel.read_frame(buffer, home::in_callback(), Obj::from_bytes)?;
    let bytes = (&words.bytes, words.number(read.received));
    let [unprocessed, fragments, havedata] = words.counts(&read);
    let result = match read.frame {
        Frame::Message { opcode, payload } => Obj::from_shared_pairs([
            (&words.fin, words.number(1)),
            (&words.frame, words.complete.clone()),
            (&words.opcode, words.number(opcode.into())),
            (&words.payload, payload),
            bytes,
            unprocessed,
            fragments,
            havedata,
        ]),
        Frame::Fragment => Obj::from_shared_pairs([
            (&words.fin, words.number(0)),
            (&words.frame, words.complete.clone()),
            bytes,
            unprocessed,
            fragments,
            havedata,
        ]),
        Frame::Incomplete => Obj::from_shared_pairs([
            (&words.frame, words.incomplete.clone()),
            bytes,
            unprocessed,
            fragments,
            havedata,
        ]),
        Frame::Exception(violation) => Obj::from_shared_pairs([
            (&words.frame, Obj::from_str("exception")),
            (&words.bytes, Obj::from_int(-1)),
            unprocessed,
            fragments,
            havedata,
            (&Obj::from_str("errorcode"), Obj::from_int(violation.code.into())),
            (&Obj::from_str("error"), Obj::from_str(violation.reason)),
        ]),
    };
    interp.set_result(&result);
    Ok(())
}

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
