//! `ns_proxy configure`: the options of a pool.

use super::{time_of, wrong_args};
use crate::base::set::NsSet;
use crate::base::{Error, Result};
use crate::commands::ns_set;
use crate::proxy::settings::{Settings, MIN_IDLE};
use crate::proxy::{pool, time};
use crate::tcl::{subcommand, Interp, Obj, Outcome};

const USAGE: &str = "/pool/ ?-env /setId/? ?-evaltimeout /time/? ?-exec /value/? ?-gettimeout /time/? \
    ?-idletimeout /time/? ?-init /value/? ?-logminduration /time/? ?-maxruns /integer/? \
    ?-maxslaves /integer/? ?-maxworkers /integer/? ?-recvtimeout /time/? ?-reinit /value/? \
    ?-sendtimeout /time/? ?-waittimeout /time/?";

/// In the order of the `must be` list.
const OPTIONS: [&str; 14] = [
    "-init",
    "-reinit",
    "-maxslaves",
    "-exec",
    "-env",
    "-gettimeout",
    "-evaltimeout",
    "-sendtimeout",
    "-recvtimeout",
    "-waittimeout",
    "-idletimeout",
    "-logminduration",
    "-maxruns",
    "-maxworkers",
];

/// In the order of the listing.
const LISTED: [&str; 13] = [
    "-env",
    "-exec",
    "-init",
    "-reinit",
    "-maxworkers",
    "-maxruns",
    "-gettimeout",
    "-evaltimeout",
    "-sendtimeout",
    "-recvtimeout",
    "-waittimeout",
    "-idletimeout",
    "-logminduration",
];

/// A change that was checked.
type Change = Box<dyn FnOnce(&mut Settings)>;

/// `ns_proxy configure pool ?option? ?value? ?option value ...?`
pub fn configure(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let [pool, options @ ..] = args else { return Err(wrong_args(name, USAGE)) };
    let option = |given: &Obj| subcommand::index(&given.text(), "flags", &OPTIONS).map(|i| OPTIONS[i]);
    if options.len() > 1 && options.len() % 2 == 1 {
        return Err(wrong_args(name, USAGE));
    }
    let pool = pool::named(&pool.text());
    match options {
        [] => {
            let settings = pool.settings();
            let pairs: Vec<Obj> = LISTED
                .iter()
                .flat_map(|option| [Obj::from_str(option), value(interp, &settings, option)])
                .collect();
            interp.set_result(&Obj::from_list(&pairs));
        }
        [one] => interp.set_result(&value(interp, &pool.settings(), option(one)?)),
        pairs => {
            let changes = pairs
                .chunks_exact(2)
                .map(|pair| change(interp, option(&pair[0])?, &pair[1]))
                .collect::<Result<Vec<Change>>>()?;
            pool.configure(|settings| changes.into_iter().for_each(|change| change(settings)));
            if let [_, value] = pairs {
                interp.set_result(value);
            }
        }
    }
    Ok(())
}

/// A setting as it is shown.
fn value(interp: Interp, settings: &Settings, option: &str) -> Obj {
    let time = |time| Obj::from_str(&time::print(time));
    match option {
        "-env" => environment(interp, settings),
        "-exec" => Obj::from_str(&settings.exec),
        "-init" => Obj::from_raw_text(&settings.init),
        "-reinit" => Obj::from_raw_text(&settings.reinit),
        "-maxslaves" | "-maxworkers" => Obj::from_int(settings.maxworkers.into()),
        "-maxruns" => Obj::from_int(settings.maxruns.into()),
        "-gettimeout" => time(settings.gettimeout),
        "-evaltimeout" => time(settings.evaltimeout),
        "-sendtimeout" => time(settings.sendtimeout),
        "-recvtimeout" => time(settings.recvtimeout),
        "-waittimeout" => time(settings.waittimeout),
        "-idletimeout" => time(settings.idletimeout),
        _ => time(settings.logminduration),
    }
}

/// The environment: a set of the interpreter's own with a copy of it, or a list
/// where there is no `ns_set`.
fn environment(interp: Interp, settings: &Settings) -> Obj {
    let Some(pairs) = &settings.env else { return Obj::empty() };
    if crate::commands::is_complete(interp) {
        let mut set = NsSet::new(Some("env".to_owned()), false);
        for (key, value) in pairs {
            set.put(key, value);
        }
        return ns_set::create(interp, set);
    }
    let words: Vec<Obj> = pairs.iter().flat_map(|(k, v)| [Obj::from_str(k), Obj::from_str(v)]).collect();
    Obj::from_list(&words)
}

/// The pairs that a value stands for: those of a set, or its elements.
fn pairs_of(interp: Interp, value: &Obj) -> Result<Option<Vec<(String, String)>>> {
    let text = value.text();
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(fields) = ns_set::fields(interp, &text) {
        return Ok(Some(fields));
    }
    match value.elements() {
        Some(words) if words.len() % 2 == 0 && !words.is_empty() => {
            let text = |word: &Obj| word.text().into_owned();
            Ok(Some(words.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()))
        }
        _ => Err(Error::new(format!("no such set: '{text}'"))),
    }
}

/// What setting an option changes.
fn change(interp: Interp, option: &'static str, value: &Obj) -> Result<Change> {
    let number = || {
        let number = value.int()?;
        if number < 0 {
            return Err(Error::new(format!("invalid {option}: {number}")));
        }
        Ok(number)
    };
    let time = || {
        let time = time_of(value)?;
        if time.is_negative() {
            return Err(Error::new(format!("expected time value but got \"{}\"", value.text())));
        }
        Ok(time)
    };
    Ok(match option {
        "-env" => {
            let pairs = pairs_of(interp, value)?;
            Box::new(move |s| s.env = pairs)
        }
        "-exec" => {
            let program = value.text().into_owned();
            Box::new(move |s| s.exec = program)
        }
        "-init" | "-reinit" => {
            let script = value.raw_text().to_vec();
            Box::new(move |s| *(if option == "-init" { &mut s.init } else { &mut s.reinit }) = script)
        }
        "-maxslaves" | "-maxworkers" => {
            let number = number()?;
            Box::new(move |s| s.maxworkers = number)
        }
        "-maxruns" => {
            let number = number()?;
            Box::new(move |s| s.maxruns = number)
        }
        _ => {
            let time = time()?;
            Box::new(move |s| {
                let place = match option {
                    "-gettimeout" => &mut s.gettimeout,
                    "-evaltimeout" => &mut s.evaltimeout,
                    "-sendtimeout" => &mut s.sendtimeout,
                    "-recvtimeout" => &mut s.recvtimeout,
                    "-waittimeout" => &mut s.waittimeout,
                    "-idletimeout" => &mut s.idletimeout,
                    _ => &mut s.logminduration,
                };
                *place = if option == "-idletimeout" { time.max(MIN_IDLE) } else { time };
            })
        }
    })
}
