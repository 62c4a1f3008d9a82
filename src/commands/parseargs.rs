//! `ns_parseargs`: the arguments of a procedure, taken apart by a
//! specification (spec/support.md 6.5).

use crate::base::{Error, Result};
use crate::tcl::args::{word, Kind, Rest, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{Interp, Obj, Outcome};

pub(super) const COMMANDS: &[(&str, CommandProc)] = &[("ns_parseargs", parse_args)];

/// What a specification says of one argument.
struct Item {
    /// As it is written, an option with its dash.
    name: String,
    default: Option<Obj>,
}

/// A specification, sorted.
struct Spec {
    options: Vec<Item>,
    ends_options: bool,
    words: Vec<Item>,
    takes_rest: bool,
}

impl Spec {
    fn of(spec: &Obj) -> Result<Spec> {
        let bad = || Error::new(format!("invalid argument specification: {}", spec.text()));
        let elements = spec.elements().ok_or_else(bad)?;
        let mut sorted = Spec { options: vec![], ends_options: false, words: vec![], takes_rest: false };
        for (index, element) in elements.iter().enumerate() {
            let parts = element.elements().ok_or_else(bad)?;
            let (name, default) = match parts.as_slice() {
                [name] => (name.text().into_owned(), None),
                [name, default] => (name.text().into_owned(), Some(default.clone())),
                _ => return Err(bad()),
            };
            match name.as_str() {
                "--" => sorted.ends_options = true,
                "args" if index + 1 == elements.len() && default.is_none() => sorted.takes_rest = true,
                option if option.starts_with('-') && option.len() > 1 => {
                    sorted.options.push(Item { name, default });
                }
                _ => sorted.words.push(Item { name, default }),
            }
        }
        Ok(sorted)
    }

    fn usage(&self) -> Error {
        let mut parts = Vec::new();
        parts.extend(self.options.iter().map(|option| format!("?{} /{}/?", option.name, &option.name[1..])));
        if self.ends_options {
            parts.push("?--?".to_owned());
        }
        parts.extend(self.words.iter().map(|word| match word.default {
            None => format!("/{}/", word.name),
            Some(_) => format!("?/{}/?", word.name),
        }));
        if self.takes_rest {
            parts.push("?/arg .../?".to_owned());
        }
        Error::usage(&parts.join(" "))
    }
}

/// `ns_parseargs argspec ?arg ...?`: sets variables of the caller.
fn parse_args(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("argspec", Kind::Any)], required: 1 };
    const REST: Rest = Rest { name: "arg", required: false };
    let (parsed, mut rest) = SYNTAX.parse_with_rest(interp, &words[..1], &words[1..], &REST)?;
    let spec = Spec::of(parsed.word(0).obj)?;
    let set = |name: &str, value: &Obj| interp.set_variable(&Obj::from_str(name), value);
    for option in &spec.options {
        option.default.as_ref().map_or(Ok(()), |default| set(&option.name[1..], default))?;
    }
    while let Some((first, tail)) = rest.split_first() {
        if spec.ends_options && first.is_word("--") {
            rest = tail;
            break;
        }
        let Some(option) = spec.options.iter().find(|option| first.is_word(&option.name)) else { break };
        let (value, tail) =
            tail.split_first().ok_or_else(|| Error::new(format!("missing argument to {}", option.name)))?;
        set(&option.name[1..], value)?;
        rest = tail;
    }
    for item in &spec.words {
        match (rest.split_first(), &item.default) {
            (Some((value, tail)), _) => {
                set(&item.name, value)?;
                rest = tail;
            }
            (None, Some(default)) => set(&item.name, default)?,
            (None, None) => return Err(spec.usage().into()),
        }
    }
    if spec.takes_rest {
        set("args", &Obj::from_list(rest))?;
    } else if !rest.is_empty() {
        return Err(spec.usage().into());
    }
    Ok(())
}
