//! `ns_section`, `ns_param`, `ns_config` and their family: settings by script
//! (spec/support.md 4.9). They work at any time, not only during start-up.

use super::ns_set;
use crate::base::set::NsSet;
use crate::base::{config, Error};
use crate::server::current;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::evaluating::{pass_on, EvaluatingProc, Evaluation, Step};
use crate::tcl::{lifetime, Interp, Obj, Outcome};
use std::cell::RefCell;
use std::collections::HashMap;

pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_config", ns_config),
    ("ns_configsection", ns_configsection),
    ("ns_configsections", ns_configsections),
    ("ns_driversection", ns_driversection),
    ("ns_param", ns_param),
];

pub(super) const EVALUATING: &[(&str, EvaluatingProc)] = &[("ns_section", ns_section)];

/// The section that `ns_param` adds to, for each interpreter, and whether it
/// replaces what is there (`-update`).
#[derive(Default)]
struct Selected(RefCell<Option<(String, bool)>>);

/// How a parameter enters its section.
fn adder(update: bool) -> fn(&str, &str, &str) {
    if update {
        config::update
    } else {
        config::add
    }
}

/// `ns_section name ?block?`: selects a section, made when it does not exist.
fn ns_section(interp: Interp, words: &[Obj]) -> Evaluation {
    const SYNTAX: Syntax<3, 2> = Syntax {
        options: [
            Opt::flag("-update"),
            Opt::valued("-from", Kind::Any, "value"),
            Opt::valued("-set", Kind::Checked(ns_set::check), "setId"),
        ],
        ends_options: true,
        words: [word("sectionname", Kind::Any), word("block", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let name = parsed.word(0).obj.text().trim().to_owned();
    let update = parsed.has(0);
    let add = adder(update);
    // What may fail comes before anything is made.
    let mut pairs = Vec::new();
    if let Some(from) = parsed.text(1) {
        pairs = config::pairs(&from).ok_or_else(|| Error::new(format!("no such section: '{from}'")))?;
    }
    if let Some(set) = parsed.options[2] {
        pairs.extend(ns_set::fields(interp, &set.obj.text())?);
    }
    config::add_section(&name);
    pairs.iter().for_each(|(key, value)| add(&name, key, value));
    lifetime::state::<Selected>(interp).0.replace(Some((name, update)));
    match parsed.words[1] {
        None => Ok(Step::Done),
        Some(block) => Ok(Step::Eval(
            block.obj.clone(),
            Box::new(|interp, code| {
                pass_on(code)?;
                interp.reset_result();
                Ok(())
            }),
        )),
    }
}

/// `ns_param name value`: adds a parameter to the selected section.
fn ns_param(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("name", Kind::Any), word("value", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let name = parsed.word(0).obj.text();
    let section = lifetime::state::<Selected>(interp).0.borrow().clone();
    let (section, update) = section
        .ok_or_else(|| Error::new(format!("parameter {name} not preceded by an ns_section command")))?;
    adder(update)(&section, &name, &parsed.word(1).obj.text());
    Ok(())
}

/// `ns_config section key ?default?`: the value of a parameter.
fn ns_config(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<7, 3> = Syntax {
        options: [
            Opt::flag("-all"),
            Opt::flag("-bool"),
            Opt::flag("-int"),
            Opt::valued("-min", Kind::Range("-min", i64::MIN, i64::MAX), "integer"),
            Opt::valued("-max", Kind::Range("-max", i64::MIN, i64::MAX), "integer"),
            Opt::flag("-exact"),
            Opt::flag("-set"),
        ],
        ends_options: true,
        words: [word("section", Kind::Any), word("key", Kind::Any), word("default", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (section, key) = (parsed.word(0).obj.text(), parsed.word(1).obj.text());
    let default = parsed.words[2].map(|v| v.obj);
    if parsed.has(0) {
        let values: Vec<Obj> = config::all(&section, &key).iter().map(|v| Obj::from_str(v)).collect();
        match default {
            Some(default) if values.is_empty() => interp.set_result(default),
            _ => interp.set_result(&Obj::from_list(&values)),
        }
        return Ok(());
    }
    let found = config::get(&section, &key).or_else(|| built_in(&section, &key));
    let Some(value) = found.as_deref().map(Obj::from_str).or_else(|| default.cloned()) else { return Ok(()) };
    let range = |index: usize, open: i64| parsed.options[index].map_or(open, |v| v.number());
    // A default is checked, but returned as written.
    let checked = |number: i64| if found.is_some() { Obj::from_int(number) } else { value.clone() };
    if parsed.has(1) {
        interp.set_result(&checked(i64::from(boolean(&value)?)));
    } else if parsed.has(2) || parsed.has(3) || parsed.has(4) {
        let number = value.wide()?;
        if !(range(3, i64::MIN)..=range(4, i64::MAX)).contains(&number) {
            return Err(Error::new(format!("value '{number}' out of range")).into());
        }
        interp.set_result(&checked(number));
    } else {
        interp.set_result(&value);
    }
    Ok(())
}

/// What scripts ask for without having set it: the directory for temporary
/// files.
fn built_in(section: &str, key: &str) -> Option<String> {
    let asked = section.eq_ignore_ascii_case("ns/parameters") && key.eq_ignore_ascii_case("tmpdir");
    asked.then(|| config::temp_dir().to_string_lossy().into_owned())
}

/// The reference takes the words only, and 1 and 0.
fn boolean(value: &Obj) -> Result<bool, Error> {
    let text = value.text();
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Error::with_code(
            format!("expected boolean value but got \"{text}\""),
            &["TCL", "VALUE", "BOOLEAN"],
        )),
    }
}

/// The handles under which an interpreter knows sections.
#[derive(Default)]
struct SectionSets(RefCell<HashMap<String, String>>);

/// The handle of a set with what a section holds now, named by it and with keys
/// in any case. Asking again gives the same one.
fn section_set(interp: Interp, name: &str, pairs: Vec<(String, String)>) -> Obj {
    let mut set = NsSet::new(Some(name.to_owned()), true);
    set.append(pairs);
    let sets = lifetime::state::<SectionSets>(interp);
    let mut known = sets.0.borrow_mut();
    let handle = match known.get(name) {
        Some(handle) if ns_set::replace_owned(interp, handle, &set) => handle.clone(),
        _ => {
            let handle = ns_set::create_owned(interp, set);
            known.insert(name.to_owned(), handle.clone());
            handle
        }
    };
    Obj::from_str(&handle)
}

/// `ns_configsections`: the sets of all sections.
fn ns_configsections(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let names = config::sections();
    let sets = names.iter().filter_map(|name| Some(section_set(interp, name, config::pairs(name)?)));
    interp.set_result(&Obj::from_list(&sets.collect::<Vec<_>>()));
    Ok(())
}

/// `ns_configsection ?-filter how? section`: the set of a section, or nothing.
///
/// Which parameters were read, and which defaults were asked for, is not noted:
/// `unread` is all there is, the other two are empty.
fn ns_configsection(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::valued("-filter", Kind::OneOf(&["unread", "defaulted", "defaults"]), "")],
        ends_options: true,
        words: [word("section", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let name = parsed.word(0).obj.text();
    let Some(pairs) = config::pairs(&name) else { return Ok(()) };
    let own_name = config::sections().into_iter().find(|own| own.eq_ignore_ascii_case(&name));
    let own_name = own_name.unwrap_or_else(|| name.into_owned());
    let result = match parsed.options[0].map(|v| v.number()) {
        None => section_set(interp, &own_name, pairs),
        Some(filter) => {
            let mut set = NsSet::new(Some(own_name), true);
            set.append(if filter == 0 { pairs } else { Vec::new() });
            ns_set::create(interp, set)
        }
    };
    interp.set_result(&result);
    Ok(())
}

/// `ns_driversection ?-server server? ?-driver driver?`: where the settings of a
/// driver are, by default of the one of the current request. A procedure in the
/// reference, by `ns_parseargs`: hence a usage without the command, and a server
/// of any name.
fn ns_driversection(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 0> = Syntax {
        options: [Opt::valued("-server", Kind::Any, "server"), Opt::valued("-driver", Kind::Any, "driver")],
        ends_options: false,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, &[], &words[1..])?;
    let server = parsed.text(0).unwrap_or_else(config::server_name);
    let of_request = || current::with(|exchange| exchange.connection.driver.name.to_owned());
    let driver = parsed.text(1).or_else(of_request).unwrap_or_else(|| "nssock".to_owned());
    let section = if config::get("ns/modules", &driver).is_some() {
        format!("ns/module/{driver}")
    } else if config::get(&format!("ns/server/{server}/modules"), &driver).is_some() {
        format!("ns/server/{server}/module/{driver}")
    } else {
        String::new()
    };
    interp.set_result(&Obj::from_str(&section));
    Ok(())
}
