//! `ns_socks`: reactor threads, that evaluate callbacks. See docs/ns_socks.n.

use crate::base::{Error, Result};
use crate::connchan::socks::{self, Change, Figures};
use crate::tcl::args::{bad_option, word, Kind, Opt, Syntax};
use crate::tcl::{Interp, Obj, Outcome};
use std::sync::Arc;
use std::time::Duration;

/// A subcommand: interpreter, the two words that name it, and its arguments.
type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Outcome;

const SUBCOMMANDS: &[(&str, Subcommand)] =
    &[("configure", configure), ("eval", eval), ("join", join), ("stats", stats)];

/// The command `ns_socks`.
pub(super) fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let names: Vec<&str> = SUBCOMMANDS.iter().map(|(name, _)| *name).collect();
    let name = words.first().map(|word| word.text().into_owned()).unwrap_or_default();
    let Some(subcommand) = words.get(1) else {
        return Err(Error::usage(&format!("{name} {} ?/arg .../?", names.join("|"))).into());
    };
    match SUBCOMMANDS.iter().find(|(name, _)| subcommand.is_word(name)) {
        Some((_, run)) => run(interp, &words[..2], &words[2..]),
        None => Err(bad_option(&format!("{name}: "), "subcommand", &subcommand.text(), &names).into()),
    }
}

/// `ns_socks configure`: the number of threads and the init script, after
/// having changed them.
fn configure(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 0> = Syntax {
        options: [
            Opt::valued("-threads", Kind::Natural("threads"), "integer"),
            Opt::valued("-init", Kind::Any, "script"),
        ],
        ends_options: false,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let threads = parsed.options[0].map(|value| value.number() as usize);
    if let Some(count) = threads.filter(|count| *count > socks::MAX_THREADS) {
        return Err(Error::new(format!("value {count} out of range (0..{})", socks::MAX_THREADS)).into());
    }
    let change = Change { threads, init: parsed.text(1) };
    if change.threads.is_some() || change.init.is_some() {
        socks::configure(interp, change).map_err(|error| interp.raise(&error))?;
    }
    let (threads, init) = socks::configuration();
    interp.set_result(&Obj::from_pairs([
        ("threads", Obj::from_count(threads as u64)),
        ("init", Obj::from_str(&init)),
    ]));
    Ok(())
}

/// `ns_socks eval script`: evaluates it in each thread; the results.
fn eval(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("script", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let outcomes = socks::evaluate(&parsed.word(0).obj.text());
    let mut results = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        match outcome {
            Ok(result) => results.push(Obj::from_str(&result)),
            Err(error) => return Err(interp.raise(&error)),
        }
    }
    interp.set_result(&Obj::from_list(&results));
    Ok(())
}

/// `ns_socks join ?boolean?`: whether what is registered in the calling thread
/// goes to the reactor threads, after having changed that.
fn join(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("boolean", Kind::Any)], required: 0 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    if let Some(value) = parsed.words[0] {
        socks::join(boolean(value.obj)?);
    }
    interp.set_result(&Obj::from_int(i64::from(socks::is_joined())));
    Ok(())
}

fn boolean(value: &Obj) -> Result<bool> {
    value.boolean().ok_or_else(|| {
        Error::with_code(
            format!("expected boolean value but got \"{}\"", value.text()),
            &["TCL", "VALUE", "NUMBER"],
        )
    })
}

/// `ns_socks stats`: what the threads have done, together and each.
fn stats(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, name, args)?;
    let (threads, retired) = socks::figures();
    let mut total = Figures::default();
    for (_, one) in threads.iter().chain(&retired) {
        total.channels += one.channels;
        total.events += one.events;
        total.busy += one.busy;
        total.longest = total.longest.max(one.longest);
    }
    let each = |threads: &[(Arc<str>, Figures)]| {
        Obj::from_pairs(threads.iter().map(|(name, one)| (&**name, Obj::from_pairs(figures(one)))))
    };
    let mut pairs = vec![("threads", Obj::from_count(threads.len() as u64))];
    pairs.extend(figures(&total));
    pairs.push(("each", each(&threads)));
    pairs.push(("retired", each(&retired)));
    interp.set_result(&Obj::from_pairs(pairs));
    Ok(())
}

fn figures(of: &Figures) -> [(&'static str, Obj); 4] {
    [
        ("channels", Obj::from_count(of.channels as u64)),
        ("events", Obj::from_count(of.events)),
        ("busy", seconds(of.busy)),
        ("longest", seconds(of.longest)),
    ]
}

fn seconds(time: Duration) -> Obj {
    Obj::from_str(&format!("{:.6}", time.as_secs_f64()))
}
