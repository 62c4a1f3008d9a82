//! `ns_log`, `ns_logctl` and `ns_logroll` (spec/support.md 4.1, 4.2).

use crate::base::time_value::TimeValue;
use crate::base::{errno, log, log_file, Error, Result};
use crate::tcl::args::{word, Kind, Opt, Rest, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{evaluating, lifetime, subcommand, Interp, Obj, Outcome};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const COMMANDS: &[(&str, CommandProc)] =
    &[("ns_log", ns_log), ("ns_logctl", ns_logctl), ("ns_logroll", ns_logroll)];

/// `ns_log severity message ...`: one line to the log.
fn ns_log(interp: Interp, words: &[Obj]) -> Outcome {
    let [_, severity, message @ ..] = words else { return Err(usage(words).into()) };
    if message.is_empty() {
        return Err(usage(words).into());
    }
    let severity = log::lookup(&severity.text())?;
    if log::enabled(severity) {
        let words: Vec<_> = message.iter().map(Obj::text).collect();
        let text = words.join(" ");
        log::write(severity, &text);
        tell_listeners(interp, severity, &text);
    }
    Ok(())
}

fn usage(words: &[Obj]) -> Error {
    Error::usage(&format!("{} /severity/ /message .../", words[0].text()))
}

/// Scripts that an interpreter has called for the lines that it logs.
#[derive(Default)]
struct Listeners {
    made: Cell<u64>,
    all: RefCell<Vec<(String, Rc<[Obj]>)>>,
    /// One is being called: what it logs is for nobody.
    busy: Cell<bool>,
}

fn tell_listeners(interp: Interp, severity: log::Severity, text: &str) {
    let listeners = lifetime::state::<Listeners>(interp);
    if listeners.all.borrow().is_empty() || listeners.busy.replace(true) {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = TimeValue::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    let line = [log::name_of(severity), now.colon(), text.to_owned()].map(|word| Obj::from_str(&word));
    let scripts: Vec<Rc<[Obj]>> = listeners.all.borrow().iter().map(|(_, script)| script.clone()).collect();
    for script in scripts {
        let mut words = script[0].elements().unwrap_or_else(|| vec![script[0].clone()]);
        words.extend(line.iter().cloned());
        words.extend(script[1..].iter().cloned());
        if let Err(error) = evaluating::call(interp, &words) {
            log::write(log::ERROR, &format!("script registered by ns_logctl: {}", error.message));
        }
    }
    listeners.busy.set(false);
    interp.reset_result();
}

type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Result<Option<Obj>>;

const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("count", |interp, name, args| {
        plain(interp, name, args, || Some(Obj::from_count(log_file::held_count() as u64)))
    }),
    ("flush", |interp, name, args| quiet(interp, name, args, log_file::flush)),
    ("get", |interp, name, args| plain(interp, name, args, || Some(Obj::from_str(&log_file::take())))),
    ("grep", grep),
    ("hold", |interp, name, args| quiet(interp, name, args, log_file::hold)),
    ("peek", |interp, name, args| plain(interp, name, args, || Some(Obj::from_str(&log_file::peek())))),
    ("register", register),
    ("release", |interp, name, args| quiet(interp, name, args, log_file::release)),
    ("severities", |interp, name, args| {
        plain(interp, name, args, || {
            Some(Obj::from_list(&log::names().iter().map(|name| Obj::from_str(name)).collect::<Vec<_>>()))
        })
    }),
    ("severity", severity),
    ("stats", |interp, name, args| {
        plain(interp, name, args, || {
            let counts = log::counts();
            let pairs = counts.iter().map(|(name, count)| (name.as_str(), Obj::from_count(*count)));
            Some(Obj::from_pairs(pairs))
        })
    }),
    ("truncate", truncate),
    ("unregister", unregister),
];

/// `ns_logctl subcommand ...`.
fn ns_logctl(interp: Interp, words: &[Obj]) -> Outcome {
    let found = subcommand::prefix(words, SUBCOMMANDS)?;
    if let Some(result) = (found.entry)(interp, &found.name, &words[2..])? {
        interp.set_result(&result);
    }
    Ok(())
}

/// A subcommand without arguments.
fn plain(
    interp: Interp,
    name: &[Obj],
    args: &[Obj],
    run: impl FnOnce() -> Option<Obj>,
) -> Result<Option<Obj>> {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, name, args)?;
    Ok(run())
}

/// The same, without a result.
fn quiet(interp: Interp, name: &[Obj], args: &[Obj], run: fn()) -> Result<Option<Obj>> {
    plain(interp, name, args, || {
        run();
        None
    })
}

/// `ns_logctl severity name ?-color color? ?-intensity intensity? ?bool?`: the
/// former state. Colours are for terminals, which are not written to in colour
/// here.
fn severity(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Option<Obj>> {
    const COLORS: &[&str] =
        &["black", "red", "green", "yellow", "blue", "magenta", "cyan", "gray", "default"];
    const SYNTAX: Syntax<2, 1> = Syntax {
        options: [
            Opt::valued("-color", Kind::OneOf(COLORS), ""),
            Opt::valued("-intensity", Kind::OneOf(&["normal", "bright"]), ""),
        ],
        ends_options: false,
        words: [word("true|false", Kind::Any)],
        required: 0,
    };
    let usage = || {
        let text = "/severity/ ?-color COLOR? ?-intensity normal|bright? ?true|false?";
        Error::usage(&format!("{} {} {text}", name[0].text(), name[1].text()))
    };
    let (severity, rest) = args.split_first().ok_or_else(usage)?;
    let parsed = SYNTAX.parse(interp, name, rest).map_err(|error| {
        // The usage has the options behind the severity.
        if error.code.last().is_some_and(|word| word == "WRONGARGS") {
            usage()
        } else {
            error
        }
    })?;
    let severity = severity.text();
    let was = match parsed.words[0] {
        None => log::enabled(log::lookup(&severity)?),
        Some(value) => {
            let on = value.obj.boolean().ok_or_else(|| {
                Error::with_code(
                    format!("expected boolean value but got \"{}\"", value.obj.text()),
                    &["TCL", "VALUE", "NUMBER"],
                )
            })?;
            log::set_state(&severity, on)?
        }
    };
    Ok(Some(Obj::from_int(i64::from(was))))
}

/// `ns_logctl truncate ?n?`: drops the lines that are held back but the first n.
fn truncate(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Option<Obj>> {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("count[0,MAX]", Kind::Natural("count"))],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    log_file::truncate(parsed.words[0].map_or(0, |v| v.number() as usize));
    Ok(None)
}

/// `ns_logctl register script ?arg ...?`: has the script called for each line.
fn register(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Option<Obj>> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("script", Kind::Any)], required: 1 };
    const REST: Rest = Rest { name: "arg", required: false };
    SYNTAX.parse_with_rest(interp, name, args, &REST)?;
    let listeners = lifetime::state::<Listeners>(interp);
    let number = listeners.made.replace(listeners.made.get() + 1);
    let handle = format!("ns:logfilter:tcl:{number}");
    listeners.all.borrow_mut().push((handle.clone(), args.into()));
    Ok(Some(Obj::from_str(&handle)))
}

/// `ns_logctl unregister handle`.
fn unregister(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Option<Obj>> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("handle", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let handle = parsed.word(0).obj.text();
    let listeners = lifetime::state::<Listeners>(interp);
    let mut all = listeners.all.borrow_mut();
    let index = all.iter().position(|(own, _)| *own == *handle);
    let index = index.ok_or_else(|| Error::new(format!("invalid address \"{handle}\"")))?;
    all.remove(index);
    Ok(None)
}

fn posix(what: &str, error: &std::io::Error) -> Error {
    let code = error.raw_os_error().unwrap_or_default();
    Error::posix(format!("{what}: {}", errno::message(code)), code)
}

/// `ns_logctl grep ?-filename file? text`: the lines of the log that contain it.
fn grep(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Option<Obj>> {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::valued("-filename", Kind::Any, "filename")],
        ends_options: true,
        words: [word("string", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let Some(path) = parsed.text(0).or_else(log_file::path) else { return Ok(None) };
    let lines = log_file::grep(&path, &parsed.word(0).obj.text())
        .map_err(|error| posix(&format!("couldn't read \"{path}\""), &error))?;
    Ok(Some(Obj::from_str(&lines.join("\n"))))
}

/// `ns_logroll`: the log goes on in a new file.
fn ns_logroll(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, &words[..1], &words[1..])?;
    log_file::roll().map_err(|error| posix("could not roll the log", &error))?;
    Ok(())
}
