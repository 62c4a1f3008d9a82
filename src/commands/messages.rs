//! `ns_parseheader` and `ns_parsemessage` (spec/support.md 4.8, 5.4).

use super::ns_set;
use crate::base::base64::text_of;
use crate::http::fields;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{Interp, Obj, Outcome};

pub(super) const COMMANDS: &[(&str, CommandProc)] =
    &[("ns_parseheader", parse_header), ("ns_parsemessage", parse_message)];

/// `ns_parseheader ?-prefix prefix? set headerline`.
fn parse_header(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 2> = Syntax {
        options: [Opt::valued("-prefix", Kind::Any, "value")],
        ends_options: false,
        words: [word("set", Kind::Checked(ns_set::check)), word("headerline", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (line, prefix) = (parsed.word(1).obj.text(), parsed.text(0).unwrap_or_default());
    let index = ns_set::change(interp, parsed.word(0).obj, |set| fields::add_line(set, &prefix, &line))?;
    interp.set_result(&Obj::from_count(index as u64));
    Ok(())
}

/// `ns_parsemessage message`: a dict of first line, headers and body. Of bytes
/// the body is bytes.
fn parse_message(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("message", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let given = parsed.word(0).obj;
    let is_bytes = given.is_pure_bytes();
    let (line, headers, body) = if is_bytes {
        let message = fields::parse_message(given.bytes()?, text_of)?;
        (text_of(message.first_line), message.headers, Obj::from_bytes(message.body))
    } else {
        let text = given.text();
        let message = fields::parse_message(text.as_bytes(), text_of)?;
        (text_of(message.first_line), message.headers, Obj::from_str(&text_of(message.body)))
    };
    let headers = ns_set::create(interp, headers);
    interp.set_result(&Obj::from_pairs([
        ("firstline", Obj::from_str(&line)),
        ("headers", headers),
        ("body", body),
    ]));
    Ok(())
}
