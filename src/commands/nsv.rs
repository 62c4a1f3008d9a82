//! `nsv_*`: variables that all threads share (spec/support.md 4.4). `nsv_dict`
//! has a file of its own.

use crate::base::{Error, Result};
use crate::shared::nsv::{self, Value};
use crate::tcl::args::{word, Kind, Opt, Rest, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::subcommand;
use crate::tcl::{Interp, Obj, Outcome};
use std::borrow::Cow;

pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("nsv_append", append),
    ("nsv_array", array),
    ("nsv_bucket", bucket),
    ("nsv_dict", super::nsv_dict::command),
    ("nsv_exists", exists),
    ("nsv_get", get),
    ("nsv_incr", incr),
    ("nsv_lappend", lappend),
    ("nsv_names", names),
    ("nsv_set", set),
    ("nsv_unset", unset),
];

pub(super) const ARRAY: crate::tcl::args::Word = word("array", Kind::Any);
pub(super) const KEY: crate::tcl::args::Word = word("key", Kind::Any);
const ARRAY_AND_KEY: Syntax<0, 2> =
    Syntax { options: [], ends_options: false, words: [ARRAY, KEY], required: 2 };

/// A value as a script's.
pub(super) fn shown(value: &Value) -> Obj {
    match value {
        Value::Text(text) => Obj::from_raw_text(text),
        Value::Number(number) => Obj::from_int(*number),
    }
}

/// The text of a value.
pub(super) fn text(value: &Value) -> Cow<'_, [u8]> {
    match value {
        Value::Text(text) => Cow::Borrowed(text),
        Value::Number(number) => Cow::Owned(number.to_string().into_bytes()),
    }
}

/// A script's value as it is kept.
pub(super) fn kept(value: &Obj) -> Value {
    Value::Text(value.raw_text().into())
}

/// `nsv_set ?-default? ?-reset? array key ?value?`.
fn set(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 3> = Syntax {
        options: [Opt::flag("-default"), Opt::flag("-reset")],
        ends_options: true,
        words: [ARRAY, KEY, word("value", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (array, key) = (parsed.word(0).obj.raw_text(), parsed.word(1).obj.raw_text());
    let value = parsed.words[2].map(|v| v.obj);
    let result = match (value, parsed.has(0), parsed.has(1)) {
        // The option that does more is the one that counts.
        (Some(value), _, true) => nsv::with_made(array, |found| {
            let old = found.get(key).map(shown);
            nsv::put(found, key, kept(value));
            Ok(old.unwrap_or_else(Obj::empty))
        })?,
        (Some(value), true, false) => nsv::with_made(array, |found| {
            if let Some(old) = found.get(key) {
                return Ok(shown(old));
            }
            nsv::put(found, key, kept(value));
            Ok(value.clone())
        })?,
        (Some(value), false, false) => {
            nsv::set(array, key, kept(value));
            value.clone()
        }
        (None, _, true) => {
            nsv::with(array, |found| Ok(found.remove(key).as_ref().map(shown).unwrap_or_else(Obj::empty)))?
        }
        (None, _, false) => nsv::with(array, |found| value_of(found, key))?,
    };
    interp.set_result(&result);
    Ok(())
}

fn value_of(array: &nsv::Array, key: &[u8]) -> Result<Obj> {
    array.get(key).map(shown).ok_or_else(|| nsv::no_such_key(key))
}

/// `nsv_get array key ?varName?`.
fn get(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [ARRAY, KEY, word("varName", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (array, key) = (parsed.word(0).obj.raw_text(), parsed.word(1).obj.raw_text());
    let Some(variable) = parsed.words[2] else {
        interp.set_result(&nsv::with(array, |found| value_of(found, key))?);
        return Ok(());
    };
    let value = nsv::with(array, |found| Ok(found.get(key).map(shown)))?;
    if let Some(value) = &value {
        interp.set_variable(variable.obj, value)?;
    }
    interp.set_result(&Obj::from_int(i64::from(value.is_some())));
    Ok(())
}

/// `nsv_exists array key`.
fn exists(interp: Interp, words: &[Obj]) -> Outcome {
    let parsed = ARRAY_AND_KEY.parse(interp, &words[..1], &words[1..])?;
    let key = parsed.word(1).obj.raw_text();
    let there = nsv::with_any(parsed.word(0).obj.raw_text(), |found| {
        found.is_some_and(|found| found.contains_key(key))
    });
    interp.set_result(&Obj::from_int(i64::from(there)));
    Ok(())
}

/// `nsv_incr array key ?increment?`.
fn incr(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [ARRAY, KEY, word("increment", Kind::Int)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (array, key) = (parsed.word(0).obj.raw_text(), parsed.word(1).obj.raw_text());
    let by = parsed.words[2].map_or(1, |v| v.number());
    let sum = nsv::incr(array, key, by, |text| Obj::from_raw_text(text).wide().ok())?;
    interp.set_result(&Obj::from_int(sum));
    Ok(())
}

const VALUES: Rest = Rest { name: "value", required: true };

/// Extends the text of a key by what `add` appends for each value.
fn extend(interp: Interp, words: &[Obj], add: impl Fn(&mut Vec<u8>, &Obj)) -> Outcome {
    let (parsed, values) = ARRAY_AND_KEY.parse_with_rest(interp, &words[..1], &words[1..], &VALUES)?;
    let key = parsed.word(1).obj.raw_text();
    let result = nsv::with_made(parsed.word(0).obj.raw_text(), |array| {
        let Some(value) = array.get_mut(key) else {
            let mut fresh = Vec::new();
            values.iter().for_each(|value| add(&mut fresh, value));
            let result = Obj::from_raw_text(&fresh);
            array.insert(key.into(), Value::Text(fresh));
            return Ok(result);
        };
        let mut extended = match std::mem::replace(value, Value::Number(0)) {
            Value::Text(text) => text,
            Value::Number(number) => number.to_string().into_bytes(),
        };
        values.iter().for_each(|value| add(&mut extended, value));
        let result = Obj::from_raw_text(&extended);
        *value = Value::Text(extended);
        Ok(result)
    })?;
    interp.set_result(&result);
    Ok(())
}

/// `nsv_append array key value ...`.
fn append(interp: Interp, words: &[Obj]) -> Outcome {
    extend(interp, words, |text, value| text.extend_from_slice(value.raw_text()))
}

/// `nsv_lappend array key value ...`: what is there is extended, be it a proper
/// list or not.
fn lappend(interp: Interp, words: &[Obj]) -> Outcome {
    extend(interp, words, append_element)
}

/// Appends a list element to the text of a list, as `Tcl_DStringAppendElement`
/// does: whatever the text is, white space and braces that are open at its end
/// stay, and get no blank behind them.
pub(super) fn append_element(list: &mut Vec<u8>, element: &Obj) {
    let blanks = list.iter().rev().take_while(|byte| is_blank(**byte)).count();
    // Behind another element a hash needs no quotes.
    let follows = needs_blank(&list[..list.len() - blanks]);
    if needs_blank(list) {
        list.push(b' ');
    }
    if follows {
        let pair = Obj::from_list(&[Obj::from_str("x"), element.clone()]);
        list.extend_from_slice(&pair.raw_text()["x ".len()..]);
    } else {
        list.extend_from_slice(Obj::from_list(std::slice::from_ref(element)).raw_text());
    }
}

/// Whether an element behind this text has to be set off from it.
fn needs_blank(list: &[u8]) -> bool {
    // Braces that are open at the end begin lists; what is inside begins there.
    let open = list.iter().rev().take_while(|byte| **byte == b'{').count();
    let Some((last, before)) = list[..list.len() - open].split_last() else { return false };
    if !is_blank(*last) {
        return true;
    }
    // A blank behind a backslash is none.
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// What separates the elements of a list.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// `nsv_unset ?-nocomplain? array ?key?`.
fn unset(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 2> =
        Syntax { options: [Opt::flag("-nocomplain")], ends_options: true, words: [ARRAY, KEY], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let array = parsed.word(0).obj.raw_text();
    let removed = match parsed.words[1] {
        None if nsv::remove(array) => Ok(()),
        None => Err(nsv::no_such_array(array)),
        Some(key) => {
            let key = key.obj.raw_text();
            nsv::with(array, |found| found.remove(key).map(|_| ()).ok_or_else(|| nsv::no_such_key(key)))
        }
    };
    if !parsed.has(0) {
        removed?;
    }
    Ok(())
}

/// `nsv_names ?pattern?`.
fn names(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("pattern", Kind::Any)], required: 0 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let pattern = parsed.words[0].map(|v| v.obj);
    let names: Vec<Obj> = nsv::names(|name| fits(pattern, &Obj::from_raw_text(name)))
        .iter()
        .map(|name| Obj::from_raw_text(name))
        .collect();
    interp.set_result(&Obj::from_list(&names));
    Ok(())
}

/// Whether a name matches the pattern, if there is one.
pub(super) fn fits(pattern: Option<&Obj>, name: &Obj) -> bool {
    pattern.is_none_or(|pattern| pattern.is_pattern_of(name))
}

/// `nsv_bucket ?n?`: how arrays are spread is nobody's business.
fn bucket(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("bucketNumber", Kind::Int)], required: 0 };
    SYNTAX.parse(interp, &words[..1], &words[1..])?;
    Ok(())
}

/// `nsv_array exists|get|names|reset|set|size`.
fn array(interp: Interp, words: &[Obj]) -> Outcome {
    type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Result<Obj>;
    const SUBCOMMANDS: &[(&str, Subcommand)] = &[
        ("exists", |interp, name, args| {
            sized(interp, name, args, |size| Obj::from_int(i64::from(size.is_some())))
        }),
        ("get", |interp, name, args| listed(interp, name, args, |key, value| vec![key, shown(value)])),
        ("names", |interp, name, args| listed(interp, name, args, |key, _| vec![key])),
        ("reset", |interp, name, args| filled(interp, name, args, true)),
        ("set", |interp, name, args| filled(interp, name, args, false)),
        ("size", |interp, name, args| {
            sized(interp, name, args, |size| Obj::from_count(size.unwrap_or(0) as u64))
        }),
    ];
    let run = subcommand::prefix(words, SUBCOMMANDS)?;
    interp.set_result(&run(interp, &words[..2], &words[2..])?);
    Ok(())
}

fn sized(interp: Interp, name: &[Obj], args: &[Obj], show: impl Fn(Option<usize>) -> Obj) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> = Syntax { options: [], ends_options: false, words: [ARRAY], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    Ok(nsv::with_any(parsed.word(0).obj.raw_text(), |found| show(found.map(|array| array.len()))))
}

fn listed(interp: Interp, name: &[Obj], args: &[Obj], show: impl Fn(Obj, &Value) -> Vec<Obj>) -> Result<Obj> {
    const SYNTAX: Syntax<0, 2> =
        Syntax { options: [], ends_options: false, words: [ARRAY, word("pattern", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let pattern = parsed.words[1].map(|v| v.obj);
    Ok(nsv::with_any(parsed.word(0).obj.raw_text(), |found| {
        let fields = found.into_iter().flatten().map(|(key, value)| (Obj::from_raw_text(key), value));
        let shown = fields.filter(|(key, _)| fits(pattern, key)).flat_map(|(key, value)| show(key, value));
        Obj::from_list(&shown.collect::<Vec<_>>())
    }))
}

fn filled(interp: Interp, name: &[Obj], args: &[Obj], reset: bool) -> Result<Obj> {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [ARRAY, word("valueList", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let (array, list) = (parsed.word(0).obj, parsed.word(1).obj);
    let elements = list
        .elements()
        .filter(|elements| elements.len() % 2 == 0)
        .ok_or_else(|| Error::new(format!("invalid list: {}", list.text())))?;
    let pairs = elements.chunks_exact(2).map(|pair| (pair[0].raw_text(), kept(&pair[1]))).collect::<Vec<_>>();
    if reset {
        nsv::reset(array.raw_text(), pairs);
    } else {
        nsv::with_made(array.raw_text(), |found| {
            pairs.into_iter().for_each(|(key, value)| nsv::put(found, key, value));
            Ok(())
        })?;
    }
    Ok(Obj::empty())
}
