//! Text in HTML, base64, character sets (spec/support.md 5.5, 6.4).

use super::bytes::input;
use crate::base::base64::{self, Alphabet};
use crate::http::{charset, html};
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{Interp, Obj, Outcome};

pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_base64decode", |interp, words| decode(interp, words, Alphabet::Standard)),
    ("ns_base64encode", encode_in_lines),
    ("ns_base64urldecode", |interp, words| decode(interp, words, Alphabet::Url)),
    ("ns_base64urlencode", encode_for_urls),
    ("ns_charsets", charsets),
    ("ns_encodingforcharset", |interp, words| {
        on_text(interp, words, "charset", |name| charset::encoding(name).unwrap_or_default().to_owned())
    }),
    ("ns_encodingfortype", |interp, words| {
        on_text(interp, words, "mimetype", |kind| {
            charset::encoding_of_type(kind).unwrap_or_default().to_owned()
        })
    }),
    ("ns_quotehtml", |interp, words| on_text(interp, words, "html", html::quote)),
    ("ns_striphtml", |interp, words| on_text(interp, words, "html", html::strip)),
    ("ns_unquotehtml", |interp, words| on_text(interp, words, "html", html::unquote)),
    ("ns_uudecode", |interp, words| decode(interp, words, Alphabet::Standard)),
    ("ns_uuencode", encode_in_lines),
];

/// Characters in a line of `ns_base64encode`.
const LINE: usize = 60;

/// A command of one word, whose text becomes another.
fn on_text(interp: Interp, words: &[Obj], label: &'static str, change: impl Fn(&str) -> String) -> Outcome {
    let syntax: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word(label, Kind::Any)], required: 1 };
    let parsed = syntax.parse(interp, &words[..1], &words[1..])?;
    interp.set_result(&Obj::from_str(&change(&parsed.word(0).obj.text())));
    Ok(())
}

fn encode(interp: Interp, words: &[Obj], encode: impl Fn(&[u8]) -> String) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::flag("-binary")],
        ends_options: true,
        words: [word("string", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    interp.set_result(&Obj::from_str(&encode(&input(parsed.word(0).obj, parsed.has(0))?)));
    Ok(())
}

/// `ns_base64encode ?-binary? string`.
fn encode_in_lines(interp: Interp, words: &[Obj]) -> Outcome {
    encode(interp, words, |bytes| base64::encode_lines(bytes, LINE))
}

/// `ns_base64urlencode ?-binary? string`.
fn encode_for_urls(interp: Interp, words: &[Obj]) -> Outcome {
    encode(interp, words, |bytes| base64::encode(Alphabet::Url, bytes))
}

/// `ns_base64decode ?-binary? ?-strict? string` and its siblings.
fn decode(interp: Interp, words: &[Obj], alphabet: Alphabet) -> Outcome {
    const SYNTAX: Syntax<2, 1> = Syntax {
        options: [Opt::flag("-binary"), Opt::flag("-strict")],
        ends_options: true,
        words: [word("string", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let bytes = base64::decode(alphabet, &parsed.word(0).obj.text(), parsed.has(1))?;
    interp.set_result(&if parsed.has(0) {
        Obj::from_bytes(&bytes)
    } else {
        Obj::from_str(&base64::text_of(&bytes))
    });
    Ok(())
}

/// `ns_charsets`: the names of all that are known.
fn charsets(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, &words[..1], &words[1..])?;
    interp.set_result(&Obj::from_list(&charset::names().map(Obj::from_str).collect::<Vec<_>>()));
    Ok(())
}
