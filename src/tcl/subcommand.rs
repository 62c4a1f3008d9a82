//! Dispatchers of the reference: commands whose first word names what they do
//! (spec/support.md 2.1). There are two kinds, which differ in abbreviations
//! and in their errors.

use super::args::bad_option;
use super::Obj;
use crate::base::{Error, Result};
use std::borrow::Cow;

/// Finds the entry whose name is exactly the word behind the command's name.
///
/// # Errors
/// `CMD: bad subcommand "x": must be a, b, or c`; the usage of `CMD a|b|c` when
/// there is no word.
pub fn exact<'t, T>(words: &[Obj], table: &'t [(&'static str, T)]) -> Result<&'t T> {
    let Some(given) = words.get(1) else { return Err(missing(words, table)) };
    let found = table.iter().find(|(name, _)| name.as_bytes() == given.raw_text());
    found.map(|(_, entry)| entry).ok_or_else(|| {
        let prefix = format!("{}: ", words[0].text());
        bad_option(&prefix, "subcommand", &given.text(), &names(table))
    })
}

/// An entry that `prefix` has found.
pub struct Found<'w, 't, T> {
    /// The two words of its usage texts: the command's name, and its own name
    /// in full, as Tcl shows it even where it was abbreviated.
    pub name: Cow<'w, [Obj]>,
    /// The entry.
    pub entry: &'t T,
}

/// Finds the entry of which the word behind the command's name is a unique
/// abbreviation.
///
/// # Errors
/// Those of [`index`]; the usage when there is no word.
pub fn prefix<'w, 't, T>(words: &'w [Obj], table: &'t [(&'static str, T)]) -> Result<Found<'w, 't, T>> {
    let Some(given) = words.get(1) else {
        return Err(Error::usage(&format!("{} /subcommand/ ?/arg .../?", words[0].text())));
    };
    if let Some((_, entry)) = table.iter().find(|(name, _)| name.as_bytes() == given.raw_text()) {
        return Ok(Found { name: Cow::Borrowed(&words[..2]), entry });
    }
    let (name, entry) = &table[index(&given.text(), "subcommand", &names(table))?];
    Ok(Found { name: Cow::Owned(vec![words[0].clone(), Obj::from_str(name)]), entry })
}

/// Finds the word of Tcl's own tables that was given in full, or by a beginning
/// that no other has. An empty word is the beginning of all of them, and never
/// means one.
///
/// # Errors
/// `bad WHAT "x": must be a, b, or c` or `ambiguous WHAT ...`, errorCode
/// `TCL LOOKUP INDEX WHAT x`.
pub fn index(given: &str, what: &str, names: &[&str]) -> Result<usize> {
    if let Some(index) = names.iter().position(|name| *name == given) {
        return Ok(index);
    }
    let mut matching = names.iter().enumerate().filter(|(_, name)| name.starts_with(given));
    match (matching.next(), matching.next()) {
        (Some((index, _)), None) if !given.is_empty() => Ok(index),
        (_, second) => {
            let how = if second.is_some() { "ambiguous" } else { "bad" };
            Err(bad_index(how, what, given, names))
        }
    }
}

/// The error of `index`: with no comma between two alternatives.
fn bad_index(how: &str, what: &str, given: &str, names: &[&str]) -> Error {
    let list = match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first, second] => format!("{first} or {second}"),
        [most @ .., last] => format!("{}, or {last}", most.join(", ")),
    };
    Error::with_code(
        format!("{how} {what} \"{given}\": must be {list}"),
        &["TCL", "LOOKUP", "INDEX", what, given],
    )
}

fn names<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(name, _)| *name).collect()
}

fn missing<T>(words: &[Obj], table: &[(&'static str, T)]) -> Error {
    Error::usage(&format!("{} {} ?/arg .../", words[0].text(), names(table).join("|")))
}
