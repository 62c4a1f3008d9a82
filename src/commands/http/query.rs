//! `ns_queryget` and its siblings: variables of the request's form, which need
//! no connection (spec/support.md 4.18). They are procedures in the reference,
//! hence their usages; the case of a name does not matter to them, and an empty
//! value counts as none.

use super::conn::form_of;
use crate::base::{Error, Result};
use crate::server::current;
use crate::tcl::{Interp, Obj, Outcome};

/// All values of a variable; none without a connection.
fn values(name: &str) -> Vec<String> {
    let form = current::with(form_of);
    let fields = form.iter().flat_map(|form| &form.fields);
    let wanted = name.to_lowercase();
    fields.filter(|(own, _)| own.to_lowercase() == wanted).map(|(_, value)| value.clone()).collect()
}

/// A key, and perhaps a value that stands for what is missing.
fn parse<'a>(words: &'a [Obj], usage: &str) -> Result<(&'a Obj, Option<&'a Obj>)> {
    match words {
        [_, key] => Ok((key, None)),
        [_, key, default] => Ok((key, Some(default))),
        _ => Err(Error::usage(&format!("{} {usage}", words[0].text()))),
    }
}

/// `ns_queryget key ?value?`: the first value of a variable.
pub(super) fn ns_queryget(interp: Interp, words: &[Obj]) -> Outcome {
    let (key, default) = parse(words, "key ?value?")?;
    match (values(&key.text()).first().filter(|value| !value.is_empty()), default) {
        (Some(value), _) => interp.set_result(&Obj::from_str(value)),
        (None, Some(default)) => interp.set_result(default),
        (None, None) => {}
    }
    Ok(())
}

/// `ns_querygetall key ?def_result?`: all values of a variable.
pub(super) fn ns_querygetall(interp: Interp, words: &[Obj]) -> Outcome {
    let (key, default) = parse(words, "key ?def_result?")?;
    let values = values(&key.text());
    let values: Vec<Obj> = values.iter().filter(|v| !v.is_empty()).map(|v| Obj::from_str(v)).collect();
    match default {
        Some(default) if values.is_empty() => interp.set_result(default),
        _ => interp.set_result(&Obj::from_list(&values)),
    }
    Ok(())
}

/// `ns_queryexists key`: whether there is such a variable.
pub(super) fn ns_queryexists(interp: Interp, words: &[Obj]) -> Outcome {
    let [_, key] = words else { return Err(Error::usage(&format!("{} key", words[0].text())).into()) };
    let exists = !values(&key.text()).is_empty();
    interp.set_result(&Obj::from_int(i64::from(exists)));
    Ok(())
}

/// `ns_getform`: the set of `ns_conn form`; empty without a connection.
pub(super) fn ns_getform(interp: Interp, words: &[Obj]) -> Outcome {
    if words.len() > 2 {
        return Err(Error::usage(&format!("{} ?charset?", words[0].text())).into());
    }
    if current::is_some() {
        interp.set_result(&super::conn::form_handle(interp)?);
    }
    Ok(())
}
