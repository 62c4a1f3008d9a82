//! `ns_after`, `ns_schedule_proc` and its siblings (spec/support.md 6.2), and
//! `ns_sleep` (4.16).

use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::jobs::timetable::{self, When, Words};
use crate::jobs::{self, strand};
use crate::tcl::args::{word, Kind, Opt, Rest, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{Interp, Obj, Outcome};

/// The commands of this file.
pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_after", ns_after),
    ("ns_cancel", ns_unschedule_proc),
    ("ns_pause", ns_pause),
    ("ns_resume", ns_resume),
    ("ns_schedule_daily", ns_schedule_daily),
    ("ns_schedule_proc", ns_schedule_proc),
    ("ns_schedule_weekly", ns_schedule_weekly),
    ("ns_sleep", ns_sleep),
    ("ns_unschedule_proc", ns_unschedule_proc),
];

const ARGS: Rest = Rest { name: "arg", required: false };
const ONCE: Opt = Opt::flag("-once");
const THREAD: Opt = Opt::flag("-thread");

/// A time value from `least` on; `name` stands in the error.
fn time(value: &Obj, name: &str, least: TimeValue) -> Result<TimeValue> {
    let text = value.text();
    let time = TimeValue::parse(&text)?;
    if time >= least {
        return Ok(time);
    }
    let from = if least.is_zero() { "0".to_owned() } else { least.dotted() };
    Err(Error::new(format!("expected time value in range [{from}s, MAX], for '{name}', but got {text}")))
}

/// `ns_sleep duration`: blocks the thread.
fn ns_sleep(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("duration", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let duration = time(parsed.word(0).obj, "duration", TimeValue::ZERO)?;
    std::thread::sleep(duration.as_duration());
    Ok(())
}

/// What is to run: the script, and the words behind it.
fn script(script: &Obj, rest: &[Obj]) -> Words {
    let text = |value: &Obj| value.text().into_owned();
    Words { script: text(script), args: rest.iter().map(text).collect() }
}

fn enter(interp: Interp, when: When, once: bool, thread: bool, words: Words) -> Outcome {
    let desk = jobs::desk_of(interp)?;
    let spawn: Option<timetable::Spawn> = if thread { Some(strand::spawn) } else { None };
    let id = timetable::add(desk, when, once, spawn, words)?;
    interp.set_result(&Obj::from_count(id));
    Ok(())
}

/// `ns_after interval script ?arg ...?`.
fn ns_after(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("interval", Kind::Any), word("script", Kind::Any)],
        required: 2,
    };
    let (parsed, rest) = SYNTAX.parse_with_rest(interp, &words[..1], &words[1..], &ARGS)?;
    let interval = time(parsed.word(0).obj, "interval", TimeValue::ZERO)?;
    enter(interp, When::After(interval.as_duration()), true, false, script(parsed.word(1).obj, rest))
}

/// `ns_schedule_proc ?-once? ?-thread? interval script ?arg ...?`.
fn ns_schedule_proc(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 2> = Syntax {
        options: [ONCE, THREAD],
        ends_options: true,
        words: [word("interval", Kind::Any), word("script", Kind::Any)],
        required: 2,
    };
    let (parsed, rest) = SYNTAX.parse_with_rest(interp, &words[..1], &words[1..], &ARGS)?;
    let once = parsed.has(0);
    let least = if once { TimeValue::ZERO } else { TimeValue::from_micros(1) };
    let interval = time(parsed.word(0).obj, "interval", least)?.as_duration();
    let when = if once { When::After(interval) } else { When::Every(interval) };
    enter(interp, when, once, parsed.has(1), script(parsed.word(1).obj, rest))
}

/// `ns_schedule_daily ?-once? ?-thread? hour minute script ?arg ...?`.
fn ns_schedule_daily(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 3> = Syntax {
        options: [ONCE, THREAD],
        ends_options: true,
        words: [
            word("hour[0,23]", Kind::Range("hour", 0, 23)),
            word("minute[0,59]", Kind::Range("minute", 0, 59)),
            word("script", Kind::Any),
        ],
        required: 3,
    };
    let (parsed, rest) = SYNTAX.parse_with_rest(interp, &words[..1], &words[1..], &ARGS)?;
    let number = |index: usize| parsed.word(index).number() as u8;
    let when = When::Daily { day: None, hour: number(0), minute: number(1) };
    enter(interp, when, parsed.has(0), parsed.has(1), script(parsed.word(2).obj, rest))
}

/// `ns_schedule_weekly ?-once? ?-thread? day hour minute script ?arg ...?`.
fn ns_schedule_weekly(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 4> = Syntax {
        options: [ONCE, THREAD],
        ends_options: true,
        words: [
            word("day[0,6]", Kind::Range("day", 0, 6)),
            word("hour[0,23]", Kind::Range("hour", 0, 23)),
            word("minute[0,59]", Kind::Range("minute", 0, 59)),
            word("script", Kind::Any),
        ],
        required: 4,
    };
    let (parsed, rest) = SYNTAX.parse_with_rest(interp, &words[..1], &words[1..], &ARGS)?;
    let number = |index: usize| parsed.word(index).number() as u8;
    let when = When::Daily { day: Some(number(0)), hour: number(1), minute: number(2) };
    enter(interp, when, parsed.has(0), parsed.has(1), script(parsed.word(3).obj, rest))
}

/// The commands that take an id: whether what they do was done.
fn on_id(interp: Interp, words: &[Obj], action: fn(u64) -> bool) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("id", Kind::Int)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let done = u64::try_from(parsed.word(0).number()).is_ok_and(action);
    interp.set_result(&Obj::from_int(i64::from(done)));
    Ok(())
}

/// `ns_unschedule_proc id`, `ns_cancel id`.
fn ns_unschedule_proc(interp: Interp, words: &[Obj]) -> Outcome {
    on_id(interp, words, timetable::remove)
}

/// `ns_pause id`.
fn ns_pause(interp: Interp, words: &[Obj]) -> Outcome {
    on_id(interp, words, timetable::pause)
}

/// `ns_resume id`.
fn ns_resume(interp: Interp, words: &[Obj]) -> Outcome {
    on_id(interp, words, timetable::resume)
}
