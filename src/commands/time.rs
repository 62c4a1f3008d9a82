//! `ns_time` and its family (spec/support.md 6.3).

use crate::base::time_value::TimeValue;
use crate::base::{memory_size, Error, Result};
use crate::http::date;
use crate::net::sys;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{subcommand, Interp, Obj, Outcome};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_baseunit", base_unit),
    ("ns_fmttime", format_time),
    ("ns_gmtime", |interp, words| calendar(interp, words, false)),
    ("ns_httptime", http_time),
    ("ns_localtime", |interp, words| calendar(interp, words, true)),
    ("ns_parsehttptime", parse_http_time),
    ("ns_time", time),
];

/// The default of `ns_fmttime`: as C's `%c` in the C locale.
const DEFAULT_FORMAT: &str = "%a %b %e %H:%M:%S %Y";

fn now() -> TimeValue {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeValue::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

fn seconds_now() -> i64 {
    now().as_micros() / 1_000_000
}

fn shown(time: TimeValue) -> Obj {
    match time.as_micros() % 1_000_000 {
        0 => Obj::from_int(time.as_micros() / 1_000_000),
        _ => Obj::from_str(&time.colon()),
    }
}

fn parsed_time(value: &Obj) -> Result<TimeValue> {
    TimeValue::parse(&value.text())
}

/// A time from seconds and microseconds.
fn sum(parts: &[TimeValue]) -> Result<TimeValue> {
    let sum = parts.iter().try_fold(0i64, |sum, part| sum.checked_add(part.as_micros()));
    sum.map(TimeValue::from_micros).ok_or_else(|| Error::new("time value too large to represent"))
}

type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Result<Obj>;

/// `ns_time ?subcommand ...?`.
fn time(interp: Interp, words: &[Obj]) -> Outcome {
    const SUBCOMMANDS: &[(&str, Subcommand)] = &[
        ("adjust", |interp, name, args| on_time(interp, name, args, shown)),
        ("diff", |interp, name, args| {
            const SYNTAX: Syntax<0, 2> = Syntax {
                options: [],
                ends_options: false,
                words: [word("time1", Kind::Any), word("time2", Kind::Any)],
                required: 2,
            };
            let parsed = SYNTAX.parse(interp, name, args)?;
            let (first, second) = (parsed_time(parsed.word(0).obj)?, parsed_time(parsed.word(1).obj)?);
            Ok(shown(sum(&[first, TimeValue::from_micros(-second.as_micros())])?))
        }),
        ("format", |interp, name, args| on_time(interp, name, args, |time| Obj::from_str(&time.decimal()))),
        ("get", |interp, name, args| {
            const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
            SYNTAX.parse(interp, name, args)?;
            Ok(shown(now()))
        }),
        ("incr", |interp, name, args| {
            const SYNTAX: Syntax<0, 3> = Syntax {
                options: [],
                ends_options: false,
                words: [
                    word("time", Kind::Any),
                    word("sec", Kind::Range("sec", i64::MIN, i64::MAX)),
                    word("usec", Kind::Range("usec", i64::MIN, i64::MAX)),
                ],
                required: 2,
            };
            let parsed = SYNTAX.parse(interp, name, args)?;
            let micros = parsed.words[2].map_or(0, |v| v.number());
            let time = parsed_time(parsed.word(0).obj)?;
            let by = [TimeValue::from_secs(parsed.word(1).number()), TimeValue::from_micros(micros)];
            Ok(shown(sum(&[time, by[0], by[1]])?))
        }),
        ("make", |interp, name, args| {
            const SYNTAX: Syntax<0, 2> = Syntax {
                options: [],
                ends_options: false,
                words: [
                    word("sec[0,MAX]", Kind::Range("sec", 0, i64::MAX)),
                    word("usec[0,MAX]", Kind::Range("usec", 0, i64::MAX)),
                ],
                required: 1,
            };
            let parsed = SYNTAX.parse(interp, name, args)?;
            let micros = parsed.words[1].map_or(0, |v| v.number());
            Ok(shown(sum(&[TimeValue::from_secs(parsed.word(0).number()), TimeValue::from_micros(micros)])?))
        }),
        ("microseconds", |interp, name, args| {
            on_time(interp, name, args, |time| Obj::from_int((time.as_micros() % 1_000_000).abs()))
        }),
        ("seconds", |interp, name, args| {
            on_time(interp, name, args, |time| Obj::from_int(time.as_micros() / 1_000_000))
        }),
    ];
    let result = if words.len() == 1 {
        Obj::from_int(seconds_now())
    } else {
        let found = subcommand::prefix(words, SUBCOMMANDS)?;
        (found.entry)(interp, &found.name, &words[2..])?
    };
    interp.set_result(&result);
    Ok(())
}

fn on_time(interp: Interp, name: &[Obj], args: &[Obj], show: impl Fn(TimeValue) -> Obj) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("time", Kind::Any)], required: 1 };
    Ok(show(parsed_time(SYNTAX.parse(interp, name, args)?.word(0).obj)?))
}

/// `ns_httptime time`.
fn http_time(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("time", Kind::Range("time", i64::MIN, i64::MAX))],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    interp.set_result(&Obj::from_str(&date::text(parsed.word(0).number())));
    Ok(())
}

/// `ns_parsehttptime httptime`.
fn parse_http_time(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("httptime", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let text = parsed.word(0).obj.text();
    // Of the forms of a date only the one that is sent.
    let is_sent_form = text.trim().len() == date::LENGTH && text.contains(", ");
    let seconds = is_sent_form.then(|| date::parse(&text, seconds_now())).flatten();
    let seconds = seconds.ok_or_else(|| Error::new(format!("invalid time: {text}")))?;
    interp.set_result(&Obj::from_int(seconds));
    Ok(())
}

/// `ns_fmttime time ?fmt?`: local time by a format of strftime.
fn format_time(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("time[0,MAX]", Kind::Range("time", 0, i64::MAX)), word("fmt", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let format = parsed.words[1].map_or_else(|| DEFAULT_FORMAT.into(), |v| v.obj.text());
    let text = sys::format_local_time(parsed.word(0).number(), &format)
        .ok_or_else(|| Error::new(format!("invalid time: {}", parsed.word(0).obj.text())))?;
    interp.set_result(&Obj::from_str(&String::from_utf8_lossy(&text)));
    Ok(())
}

/// `ns_gmtime`, `ns_localtime`: the current time as a list of its parts.
fn calendar(interp: Interp, words: &[Obj], local: bool) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let parts = sys::calendar(seconds_now(), local).unwrap_or_default();
    interp.set_result(&Obj::from_list(&parts.map(|part| Obj::from_int(i64::from(part)))));
    Ok(())
}

/// `ns_baseunit -size size | -time time`.
fn base_unit(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 0> = Syntax {
        options: [Opt::valued("-size", Kind::Any, "size"), Opt::valued("-time", Kind::Any, "time")],
        ends_options: false,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let result = match (parsed.text(0), parsed.text(1)) {
        (Some(size), _) => Obj::from_int(memory_size::parse(&size)? as i64),
        (None, Some(time)) => {
            let time = TimeValue::parse(&time)?;
            match time.as_micros() % 1_000_000 {
                0 => Obj::from_int(time.as_micros() / 1_000_000),
                _ => Obj::from_str(&time.decimal()),
            }
        }
        (None, None) => return Err(Error::new("either -size or -time must be specified").into()),
    };
    interp.set_result(&result);
    Ok(())
}
