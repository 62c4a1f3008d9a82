//! `nsv_dict`: dicts as values of shared variables (spec/support.md 4.4). Each
//! subcommand is one step for all other threads.

use super::nsv::{append_element, fits, kept, shown, text, ARRAY, KEY};
use crate::base::{Error, Result};
use crate::shared::nsv;
use crate::tcl::args::{word, Kind, Opt, Rest, Syntax};
use crate::tcl::dict::Dict;
use crate::tcl::subcommand;
use crate::tcl::{Interp, Obj, Outcome};

type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Result<Obj>;

const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("append", append),
    ("exists", exists),
    ("get", get),
    ("getdef", getdef),
    ("getwithdefault", getdef),
    ("incr", incr),
    ("keys", keys),
    ("lappend", lappend),
    ("set", set),
    ("size", size),
    ("unset", unset),
];

/// The command `nsv_dict`.
pub(super) fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let found = subcommand::prefix(words, SUBCOMMANDS)?;
    interp.set_result(&(found.entry)(interp, &found.name, &words[2..])?);
    Ok(())
}

const ONE: Syntax<0, 2> = Syntax { options: [], ends_options: false, words: [ARRAY, KEY], required: 2 };
const ONE_KEY: Syntax<0, 3> =
    Syntax { options: [], ends_options: false, words: [ARRAY, KEY, word("dictkey", Kind::Any)], required: 3 };
const READING: Syntax<1, 2> = Syntax {
    options: [Opt::valued("-varname", Kind::Any, "value")],
    ends_options: true,
    words: [ARRAY, KEY],
    required: 2,
};

/// Changes a dict, which is made when it does not exist, and returns it.
fn change(array: &Obj, key: &Obj, change: impl FnOnce(&mut Dict) -> Result<()>) -> Result<Obj> {
    let key = key.raw_text();
    nsv::with_made(array.raw_text(), |found| {
        let old = found.get(key).map(text);
        let mut dict = Dict::from_raw(old.as_deref())?;
        change(&mut dict)?;
        let changed = dict.into_obj();
        nsv::put(found, key, kept(&changed));
        Ok(changed)
    })
}

/// A copy of the dict of a key; `Ok(None)` where there is no such key.
fn copied(array: &Obj, key: &Obj) -> Result<Option<Obj>> {
    nsv::with(array.raw_text(), |found| Ok(found.get(key.raw_text()).map(shown)))
}

/// The dict of a key that must be there.
fn existing(array: &Obj, key: &Obj) -> Result<Dict> {
    let value = copied(array, key)?.ok_or_else(|| nsv::no_such_key(key.raw_text()))?;
    Dict::of(&value)
}

fn set(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    const REST: Rest = Rest { name: "arg", required: true };
    let (parsed, rest) = ONE_KEY.parse_with_rest(interp, name, args, &REST)?;
    let (value, path) = rest.split_last().unwrap_or_else(|| unreachable!("one is required"));
    let mut whole = vec![parsed.word(2).obj.clone()];
    whole.extend_from_slice(path);
    change(parsed.word(0).obj, parsed.word(1).obj, |dict| dict.set_path(&whole, value))
}

fn unset(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    const REST: Rest = Rest { name: "dictkey", required: true };
    let (parsed, path) = ONE.parse_with_rest(interp, name, args, &REST)?;
    let (array, key) = (parsed.word(0).obj, parsed.word(1).obj);
    existing(array, key)?;
    change(array, key, |dict| dict.remove_path(path))
}

fn not_known(key: &Obj) -> Error {
    let text = key.text();
    Error::with_code(format!("key \"{text}\" not known in dictionary"), &["TCL", "LOOKUP", "DICT", &text])
}

/// Sets the variable of `-varname` and says whether the value was there, or
/// returns the value.
fn answer(interp: Interp, variable: Option<&Obj>, value: &Obj, there: bool) -> Result<Obj> {
    let Some(variable) = variable else { return Ok(value.clone()) };
    interp.set_variable(variable, value)?;
    Ok(Obj::from_int(i64::from(there)))
}

fn get(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    const REST: Rest = Rest { name: "dictkey", required: false };
    let (parsed, path) = READING.parse_with_rest(interp, name, args, &REST)?;
    let (array, key) = (parsed.word(0).obj, parsed.word(1).obj);
    let variable = parsed.options[0].map(|v| v.obj);
    let found = match copied(array, key)? {
        Some(value) => Dict::of(&value)?.get_path(path)?,
        None if variable.is_some() => None,
        None => return Err(nsv::no_such_key(key.raw_text())),
    };
    match (found, variable) {
        (Some(value), _) => answer(interp, variable, &value, true),
        (None, Some(_)) => Ok(Obj::from_int(0)),
        (None, None) => Err(path.last().map_or_else(|| nsv::no_such_key(key.raw_text()), not_known)),
    }
}

fn getdef(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    const REST: Rest = Rest { name: "arg", required: true };
    let (parsed, rest) = READING.parse_with_rest(interp, name, args, &REST)?;
    let (array, key) = (parsed.word(0).obj, parsed.word(1).obj);
    let (default, path) = rest.split_last().unwrap_or_else(|| unreachable!("one is required"));
    let value = nsv::with_any(array.raw_text(), |found| found?.get(key.raw_text()).map(shown));
    let found = match value {
        Some(value) => Dict::of(&value)?.get_path(path)?,
        None => None,
    };
    let variable = parsed.options[0].map(|v| v.obj);
    answer(interp, variable, found.as_ref().unwrap_or(default), found.is_some())
}

fn exists(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    const REST: Rest = Rest { name: "dictkey", required: true };
    let (parsed, path) = ONE.parse_with_rest(interp, name, args, &REST)?;
    let (array, key) = (parsed.word(0).obj, parsed.word(1).obj);
    let value = nsv::with_any(array.raw_text(), |found| found?.get(key.raw_text()).map(shown));
    // What is no dict has no keys.
    let there = value.is_some_and(|value| {
        Dict::of(&value).and_then(|dict| dict.get_path(path)).is_ok_and(|found| found.is_some())
    });
    Ok(Obj::from_int(i64::from(there)))
}

fn keys(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [ARRAY, KEY, word("pattern", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let pattern = parsed.words[2].map(|v| v.obj);
    let entries = existing(parsed.word(0).obj, parsed.word(1).obj)?.entries();
    let keys: Vec<Obj> = entries.into_iter().map(|(key, _)| key).filter(|key| fits(pattern, key)).collect();
    Ok(Obj::from_list(&keys))
}

fn size(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    let parsed = ONE.parse(interp, name, args)?;
    Ok(Obj::from_count(existing(parsed.word(0).obj, parsed.word(1).obj)?.size()? as u64))
}

fn incr(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    const SYNTAX: Syntax<0, 4> = Syntax {
        options: [],
        ends_options: false,
        words: [ARRAY, KEY, word("dictkey", Kind::Any), word("increment", Kind::Int)],
        required: 3,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let by = parsed.words[3].map_or(1, |v| v.number());
    let key = parsed.word(2).obj;
    change(parsed.word(0).obj, parsed.word(1).obj, |dict| {
        let old = dict.get(key).map_or(Ok(0), |value| value.wide())?;
        let sum = old.checked_add(by).ok_or_else(|| Error::new("integer value too large to represent"))?;
        dict.set(key, &Obj::from_int(sum));
        Ok(())
    })
}

fn extend(interp: Interp, name: &[Obj], args: &[Obj], add: impl Fn(&mut Vec<u8>, &Obj)) -> Result<Obj> {
    const REST: Rest = Rest { name: "value", required: false };
    let (parsed, values) = ONE_KEY.parse_with_rest(interp, name, args, &REST)?;
    let key = parsed.word(2).obj;
    change(parsed.word(0).obj, parsed.word(1).obj, |dict| {
        let mut text = dict.get(key).map(|value| value.raw_text().to_vec()).unwrap_or_default();
        values.iter().for_each(|value| add(&mut text, value));
        dict.set(key, &Obj::from_raw_text(&text));
        Ok(())
    })
}

fn append(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    extend(interp, name, args, |text, value| text.extend_from_slice(value.raw_text()))
}

fn lappend(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Obj> {
    extend(interp, name, args, append_element)
}
