//! Dispatchers of the reference: commands whose first word names what they do
//! (spec/support.md 2.1). There are two kinds, which differ in abbreviations
//! and in their errors.

use super::args::bad_option;
use super::Obj;
use crate::base::{Error, Result};

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

/// Finds the entry of which the word behind the command's name is a unique
/// abbreviation.
///
/// # Errors
/// `bad subcommand "x": must be a, b, or c` or `ambiguous subcommand ...`,
/// errorCode `TCL LOOKUP INDEX subcommand x`; the usage when there is no word.
pub fn prefix<'t, T>(words: &[Obj], table: &'t [(&'static str, T)]) -> Result<&'t T> {
    let Some(given) = words.get(1) else {
        return Err(Error::usage(&format!("{} /subcommand/ ?/arg .../?", words[0].text())));
    };
    Ok(&abbreviated(given, table)?.1)
}

/// Finds the entry, with its name, of which a word is a unique abbreviation.
///
/// # Errors
/// As those of `prefix`. The empty word abbreviates everything, as in Tcl's own tables.
pub fn abbreviated<'t, T>(given: &Obj, table: &'t [(&'static str, T)]) -> Result<&'t (&'static str, T)> {
    let text = given.raw_text();
    if let Some(found) = table.iter().find(|(name, _)| name.as_bytes() == text) {
        return Ok(found);
    }
    let mut matching = table.iter().filter(|(name, _)| name.as_bytes().starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(found), None) if !text.is_empty() => Ok(found),
        (first, _) => {
            let how = if first.is_some() { "ambiguous" } else { "bad" };
            Err(bad_index(how, "subcommand", &given.text(), &names(table)))
        }
    }
}

/// The error of Tcl's own tables, `bad WHAT "x": must be a, b, or c`: with no
/// comma between two alternatives.
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
