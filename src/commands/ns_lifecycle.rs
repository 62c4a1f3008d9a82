//! `ns_atstartup` and its siblings, `ns_runonce`, `ns_shutdown`
//! (spec/support.md 4.14, 6.7).

use crate::base::time_value::TimeValue;
use crate::jobs;
use crate::jobs::lifecycle::{self, Moment};
use crate::jobs::timetable::{self, When, Words};
use crate::tcl::args::{word, Kind, Opt, Rest, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::evaluating::{pass_on, EvaluatingProc, Step};
use crate::tcl::{Failure, Interp, Obj, Outcome};
use parking_lot::Mutex;
use std::collections::BTreeSet;

/// The commands of this file.
pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_atexit", ns_atexit),
    ("ns_atprestartup", ns_atprestartup),
    ("ns_atshutdown", ns_atshutdown),
    ("ns_atsignal", ns_atsignal),
    ("ns_atstartup", ns_atstartup),
    ("ns_shutdown", ns_shutdown),
];

/// Those that evaluate a script.
pub(super) const EVALUATING: &[(&str, EvaluatingProc)] = &[("ns_runonce", ns_runonce)];

fn register(interp: Interp, words: &[Obj], moment: Moment) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("script", Kind::Any)], required: 1 };
    const ARGS: Rest = Rest { name: "arg", required: false };
    let (parsed, rest) = SYNTAX.parse_with_rest(interp, &words[..1], &words[1..], &ARGS)?;
    let text = |value: &Obj| value.text().into_owned();
    let script = Words { script: text(parsed.word(0).obj), args: rest.iter().map(text).collect() };
    Ok(lifecycle::register(interp, moment, script)?)
}

/// `ns_atprestartup script ?arg ...?`.
fn ns_atprestartup(interp: Interp, words: &[Obj]) -> Outcome {
    register(interp, words, Moment::PreStartup)
}

/// `ns_atstartup script ?arg ...?`.
fn ns_atstartup(interp: Interp, words: &[Obj]) -> Outcome {
    register(interp, words, Moment::Startup)
}

/// `ns_atshutdown script ?arg ...?`.
fn ns_atshutdown(interp: Interp, words: &[Obj]) -> Outcome {
    register(interp, words, Moment::Shutdown)
}

/// `ns_atexit script ?arg ...?`.
fn ns_atexit(interp: Interp, words: &[Obj]) -> Outcome {
    register(interp, words, Moment::Exit)
}

/// `ns_atsignal script ?arg ...?`.
fn ns_atsignal(interp: Interp, words: &[Obj]) -> Outcome {
    register(interp, words, Moment::Signal)
}

/// Texts that `ns_runonce` has evaluated, and whether it was with `-global`.
static RUN: Mutex<BTreeSet<(bool, String)>> = Mutex::new(BTreeSet::new());

/// `ns_runonce ?-global? script`: evaluates it unless that has happened for this
/// server, or with `-global` for this process. There is one server, but what was
/// done for the one is not done for the other.
fn ns_runonce(interp: Interp, words: &[Obj]) -> Result<Step, Failure> {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::flag("-global")],
        ends_options: true,
        words: [word("script", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let script = parsed.word(0).obj;
    if RUN.lock().insert((parsed.has(0), script.text().into_owned())) {
        Ok(Step::Eval(script.clone(), Box::new(|_, code| pass_on(code))))
    } else {
        Ok(Step::Done)
    }
}

/// `ns_shutdown ?timeout?`: ends the process from the event loop, by Tcl's
/// `exit`. What still runs is given a limited time, whatever the timeout.
fn ns_shutdown(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::flag("-restart")],
        ends_options: true,
        words: [word("timeout", Kind::Time)],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let timeout = parsed.words[0].map_or(TimeValue::from_secs(20), |value| value.time());
    let exit = Words { script: "::exit".into(), args: vec!["0".into()] };
    timetable::add(jobs::desk_of(interp)?, When::After(std::time::Duration::ZERO), true, None, exit)?;
    interp.set_result(&Obj::from_int(timeout.as_micros() / 1_000_000));
    Ok(())
}
