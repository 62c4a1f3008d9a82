//! Small commands about the machine and the process: paths, the environment,
//! signals, names of hosts (spec/support.md 5.5, 6.7).

use crate::base::{errno, log, path, Error, Result};
use crate::net::sys;
use crate::tcl::args::{word, Kind, Opt, Syntax, MAX_INT};
use crate::tcl::command::CommandProc;
use crate::tcl::{evaluating, subcommand, Interp, Obj, Outcome};
use std::net::{IpAddr, ToSocketAddrs};

pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_addrbyhost", address_by_host),
    ("ns_deprecated", deprecated),
    ("ns_env", env),
    ("ns_hostbyaddr", host_by_address),
    ("ns_kill", kill),
    ("ns_normalizepath", normalize_path),
];

/// `ns_normalizepath ?-noslash? path`.
fn normalize_path(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::flag("-noslash")],
        ends_options: true,
        words: [word("path", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let normal = path::normalize(&parsed.word(0).obj.text());
    interp.set_result(&Obj::from_str(if parsed.has(0) { &normal[1..] } else { &normal }));
    Ok(())
}

/// `ns_kill ?-nocomplain? pid signal`.
fn kill(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 2> = Syntax {
        options: [Opt::flag("-nocomplain")],
        ends_options: true,
        words: [
            word("pid", Kind::Range("pid", i32::MIN as i64, MAX_INT)),
            word("signal", Kind::Range("signal", i32::MIN as i64, MAX_INT)),
        ],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let (pid, signal) = (parsed.word(0).number() as i32, parsed.word(1).number() as i32);
    if let (Err(error), false) = (sys::send_signal(pid, signal), parsed.has(0)) {
        let code = error.raw_os_error().unwrap_or_default();
        let message = format!("kill ({pid},{signal}) failed: {}", errno::message(code));
        return Err(Error::posix(message, code).into());
    }
    Ok(())
}

/// `ns_env exists|get|names|set|unset`: the environment, as `env` shows it.
fn env(interp: Interp, words: &[Obj]) -> Outcome {
    type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Result<Obj>;
    const SUBCOMMANDS: &[(&str, Subcommand)] = &[
        ("exists", |interp, name, args| {
            let (variable, _) = variable(interp, name, args)?;
            evaluating::call(interp, &[Obj::from_str("::info"), Obj::from_str("exists"), variable])
        }),
        ("get", |interp, name, args| {
            let (variable, quiet) = variable(interp, name, args)?;
            existing(interp, variable, quiet, |interp, variable| {
                evaluating::call(interp, &[Obj::from_str("::set"), variable])
            })
        }),
        ("names", |interp, name, args| {
            const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
            SYNTAX.parse(interp, name, args)?;
            let words = ["::array", "names", "::env"].map(Obj::from_str);
            evaluating::call(interp, &words)
        }),
        ("set", |interp, name, args| {
            const SYNTAX: Syntax<0, 2> = Syntax {
                options: [],
                ends_options: false,
                words: [word("name", Kind::Any), word("value", Kind::Any)],
                required: 2,
            };
            let parsed = SYNTAX.parse(interp, name, args)?;
            let variable = element(parsed.word(0).obj);
            evaluating::call(interp, &[Obj::from_str("::set"), variable, parsed.word(1).obj.clone()])
        }),
        ("unset", |interp, name, args| {
            let (variable, quiet) = variable(interp, name, args)?;
            existing(interp, variable, quiet, |interp, variable| {
                evaluating::call(interp, &[Obj::from_str("::unset"), variable])
            })
        }),
    ];
    interp.set_result(&subcommand::prefix(words, SUBCOMMANDS)?(interp, &words[..2], &words[2..])?);
    Ok(())
}

fn element(name: &Obj) -> Obj {
    Obj::from_str(&format!("::env({})", name.text()))
}

/// Parses `?-nocomplain? name`; the variable, and whether nothing is an error.
fn variable(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<(Obj, bool)> {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::flag("-nocomplain")],
        ends_options: true,
        words: [word("name", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    Ok((element(parsed.word(0).obj), parsed.has(0)))
}

/// Does something with a variable that exists.
fn existing(
    interp: Interp,
    variable: Obj,
    quiet: bool,
    use_it: impl FnOnce(Interp, Obj) -> Result<Obj>,
) -> Result<Obj> {
    let there =
        evaluating::call(interp, &[Obj::from_str("::info"), Obj::from_str("exists"), variable.clone()])?;
    if there.small_int() == Some(1) {
        return use_it(interp, variable);
    }
    if quiet {
        return Ok(Obj::empty());
    }
    let text = variable.text();
    let name = text.trim_start_matches("::env(").trim_end_matches(')');
    Err(Error::new(format!("no such environment variable: {name}")))
}

/// `ns_addrbyhost ?-all? hostname`. Waits for the resolver.
fn address_by_host(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::flag("-all")],
        ends_options: true,
        words: [word("hostname", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let name = parsed.word(0).obj.text();
    let found = (&*name, 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let mut addresses: Vec<String> = Vec::new();
    for address in found.iter().map(|address| address.ip().to_string()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let first = addresses.first().ok_or_else(|| Error::new(format!("could not lookup {name}")))?;
    interp.set_result(&if parsed.has(0) {
        Obj::from_list(&addresses.iter().map(|address| Obj::from_str(address)).collect::<Vec<_>>())
    } else {
        Obj::from_str(first)
    });
    Ok(())
}

/// `ns_hostbyaddr address`. Waits for the resolver.
fn host_by_address(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("address", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let text = parsed.word(0).obj.text();
    let name = text.parse::<IpAddr>().ok().and_then(sys::name_of_address);
    let name = name.ok_or_else(|| Error::new(format!("could not lookup {text}")))?;
    interp.set_result(&Obj::from_str(&name));
    Ok(())
}

/// `ns_deprecated ?alternative? ?explanation?`: a warning about the procedure
/// that calls it. A procedure in the reference, hence its usage.
fn deprecated(interp: Interp, words: &[Obj]) -> Outcome {
    let [command, args @ ..] = words else { return Ok(()) };
    if args.len() > 2 {
        return Err(Error::usage(&format!("{} ?alternative? ?explanation?", command.text())).into());
    }
    let call = evaluating::call(interp, &["::info", "level", "0"].map(Obj::from_str))?;
    let mut warning = format!("{} is deprecated.", call.text());
    let given = |index: usize| {
        args.get(index).map(|word| word.text().into_owned()).filter(|text: &String| !text.is_empty())
    };
    if let Some(alternative) = given(0) {
        warning.push_str(&format!(" Use '{alternative}' instead!"));
    }
    if let Some(explanation) = given(1) {
        warning.push_str(&format!(" {explanation}"));
    }
    log::write(log::WARNING, &warning);
    interp.reset_result();
    Ok(())
}
