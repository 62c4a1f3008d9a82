//! Urls taken apart, put together, resolved and encoded: `ns_parseurl` and its
//! siblings, `ns_urlencode` and its family (spec/support.md 4.7, 6.4).

use super::ns_set;
use crate::base::set::NsSet;
use crate::base::{Error, Result};
use crate::http::charset;
use crate::http::percent::{self, Part};
use crate::http::url::{self, Location};
use crate::tcl::args::{word, Kind, Opt, Parsed, Rest, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::dict::Dict;
use crate::tcl::{evaluating, Interp, Obj, Outcome};

pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_absoluteurl", absolute_url),
    ("ns_joinurl", join_url),
    ("ns_parsehostport", parse_host_port),
    ("ns_parsequery", parse_query),
    ("ns_parseurl", parse_url),
    ("ns_percentdecode", percent_decode),
    ("ns_percentencode", percent_encode),
    ("ns_urldecode", url_decode),
    ("ns_urlencode", url_encode),
];

const STRICT: Opt = Opt::flag("-strict");

thread_local! {
    /// The keys of the dict that `ns_parseurl` returns.
    static PARTS: [Obj; 8] = Location::NAMES.map(Obj::from_str);
}

/// `ns_parseurl ?-strict? url`.
fn parse_url(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> =
        Syntax { options: [STRICT], ends_options: true, words: [word("url", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let text = parsed.word(0).obj.text();
    let location = Location::parse(&text, parsed.has(0))?;
    let result = PARTS.with(|names| {
        let there = names.iter().zip(location.parts());
        Obj::from_shared_pairs(there.filter_map(|(name, part)| Some((name, Obj::from_str(part?)))))
    });
    interp.set_result(&result);
    Ok(())
}

/// `ns_joinurl dict`.
fn join_url(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("dict", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let dict = parsed.word(0).obj;
    let entries = Dict::of(dict)
        .map_err(|_| Error::new(format!("the provided argument is not a dict: {}", dict.text())))?
        .entries();
    let entries: Vec<_> = entries.iter().map(|(key, value)| (key.text(), value.text())).collect();
    let mut parts = [None; 8];
    for (key, value) in &entries {
        let index = Location::NAMES
            .iter()
            .position(|name| name == key)
            .ok_or_else(|| Error::new(format!("the provided dict contains invalid key: {key}")))?;
        parts[index] = Some(&**value);
    }
    interp.set_result(&Obj::from_str(&Location::from_parts(parts).join()));
    Ok(())
}

/// `ns_absoluteurl partialurl baseurl`.
fn absolute_url(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("partialurl", Kind::Any), word("baseurl", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let result = url::absolute(&parsed.word(0).obj.text(), &parsed.word(1).obj.text())?;
    interp.set_result(&Obj::from_str(&result));
    Ok(())
}

/// `ns_parsehostport ?-strict? hostport`.
fn parse_host_port(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> =
        Syntax { options: [STRICT], ends_options: true, words: [word("hostport", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let text = parsed.word(0).obj.text();
    let (host, port) = url::host_and_port(&text, parsed.has(0))?;
    let parts = [("host", Some(host)), ("port", port)];
    let there = parts.into_iter().filter_map(|(name, part)| Some((name, Obj::from_str(part?))));
    interp.set_result(&Obj::from_pairs(there));
    Ok(())
}

/// `ns_parsequery query`: a set of the names and values.
fn parse_query(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("query", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let mut set = NsSet::default();
    set.append(percent::parse_query(&parsed.word(0).obj.text())?);
    interp.set_result(&ns_set::create(interp, set));
    Ok(())
}

/// The words of `-part` and what they mean, in the same order.
const PART_WORDS: &[&str] = &["query", "path", "fullpath", "fragment", "cookie", "oauth1"];
const PARTS_BY_WORD: [Part; 6] =
    [Part::Query, Part::Path, Part::FullPath, Part::Fragment, Part::Cookie, Part::OAuth1];
/// The same for `-scheme`.
const SCHEME_WORDS: &[&str] = &["query", "path", "cookie", "oauth1"];
const SCHEMES_BY_WORD: [Part; 4] = [Part::Query, Part::Path, Part::Cookie, Part::OAuth1];

const CHARSET: Opt = Opt::valued("-charset", Kind::Any, "value");
const FALLBACK: Opt = Opt::valued("-fallbackcharset", Kind::Any, "value");
const PART: Opt = Opt::valued("-part", Kind::OneOf(PART_WORDS), "");
const SCHEME: Opt = Opt::valued("-scheme", Kind::OneOf(SCHEME_WORDS), "");
const UPPERCASE: Opt = Opt::flag("-uppercase");

fn part<const O: usize, const W: usize>(parsed: &Parsed<O, W>, option: usize, by_word: &[Part]) -> Part {
    parsed.options[option].map_or(Part::Query, |v| by_word[v.number() as usize])
}

/// Tcl's encoding of a charset; `None` is UTF-8, which needs none.
fn encoding(charset: Option<String>) -> Result<Option<&'static str>> {
    let Some(name) = charset else { return Ok(None) };
    let encoding =
        charset::encoding(&name).ok_or_else(|| Error::new(format!("unknown charset \"{name}\"")))?;
    Ok(Some(encoding).filter(|encoding| *encoding != "utf-8"))
}

/// Has Tcl's `encoding` convert a value, `to` or `from` an encoding.
fn convert(interp: Interp, direction: &str, encoding: &str, value: &Obj) -> Result<Obj> {
    let mut words = vec![Obj::from_str("::encoding"), Obj::from_str(direction)];
    if crate::tcl::is_tcl_9() {
        // As 8.6 does it: what cannot be converted is no error.
        words.extend([Obj::from_str("-profile"), Obj::from_str("replace")]);
    }
    words.extend([Obj::from_str(encoding), value.clone()]);
    evaluating::call(interp, &words)
}

/// The bytes of a text in an encoding.
fn bytes_in(interp: Interp, value: &Obj, encoding: Option<&str>) -> Result<Vec<u8>> {
    match encoding {
        None => Ok(value.text().into_owned().into_bytes()),
        Some(encoding) => Ok(convert(interp, "convertto", encoding, value)?.bytes()?.to_vec()),
    }
}

/// The text that an encoded text stands for.
fn text_from(
    interp: Interp,
    given: &Obj,
    part: Part,
    charset: Option<String>,
    fallback: Option<String>,
) -> Result<Obj> {
    let given = given.text();
    let bytes = percent::decode(part, &given);
    if let Some(encoding) = encoding(charset)? {
        return convert(interp, "convertfrom", encoding, &Obj::from_bytes(&bytes));
    }
    match (std::str::from_utf8(&bytes), encoding(fallback)?) {
        (Ok(text), _) => Ok(Obj::from_str(text)),
        (Err(_), Some(encoding)) => convert(interp, "convertfrom", encoding, &Obj::from_bytes(&bytes)),
        (Err(_), None) => Err(percent::not_utf8(&given)),
    }
}

/// `ns_urlencode ?options? component ...`.
fn url_encode(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 0> =
        Syntax { options: [CHARSET, PART, UPPERCASE], ends_options: true, words: [], required: 0 };
    const REST: Rest = Rest { name: "component", required: true };
    let (parsed, components) = SYNTAX.parse_with_rest(interp, &words[..1], &words[1..], &REST)?;
    let encoding = encoding(parsed.text(0))?;
    let (part, uppercase) = (part(&parsed, 1, &PARTS_BY_WORD), parsed.has(2));
    let result = match components {
        [only] if encoding.is_none() => {
            let mut out = String::new();
            percent::encode_into(&mut out, part, only.text().as_bytes(), uppercase);
            out
        }
        several => {
            let bytes = several.iter().map(|component| bytes_in(interp, component, encoding));
            percent::encode(part, &bytes.collect::<Result<Vec<_>>>()?, uppercase)?
        }
    };
    interp.set_result(&Obj::from_str(&result));
    Ok(())
}

/// `ns_urldecode ?options? string`.
fn url_decode(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 1> = Syntax {
        options: [CHARSET, FALLBACK, PART],
        ends_options: true,
        words: [word("string", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let part = part(&parsed, 2, &PARTS_BY_WORD);
    let result = text_from(interp, parsed.word(0).obj, part, parsed.text(0), parsed.text(1))?;
    interp.set_result(&result);
    Ok(())
}

/// `ns_percentencode ?options? string`.
fn percent_encode(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 1> = Syntax {
        options: [CHARSET, SCHEME, UPPERCASE],
        ends_options: true,
        words: [word("string", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let bytes = bytes_in(interp, parsed.word(0).obj, encoding(parsed.text(0))?)?;
    let mut out = String::new();
    percent::encode_into(&mut out, part(&parsed, 1, &SCHEMES_BY_WORD), &bytes, parsed.has(2));
    interp.set_result(&Obj::from_str(&out));
    Ok(())
}

/// `ns_percentdecode ?options? string`.
fn percent_decode(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 1> = Syntax {
        options: [CHARSET, FALLBACK, SCHEME],
        ends_options: true,
        words: [word("string", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let part = part(&parsed, 2, &SCHEMES_BY_WORD);
    let result = text_from(interp, parsed.word(0).obj, part, parsed.text(0), parsed.text(1))?;
    interp.set_result(&result);
    Ok(())
}
