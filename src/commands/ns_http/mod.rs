//! `ns_http`: requests to other servers (spec/support.md 5.6).
//!
//! `run` waits in the calling thread; `queue` leaves a request to a thread of
//! `client::task`. Callbacks run in the interpreter that made the request:
//! those of `run` at once, those of `queue` when it enters its event loop.

mod callback;
mod options;
mod report;

use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::client::exchange::{exchange, Hooks, Reply};
use crate::client::task::Task;
use crate::client::Output;
use crate::http::head::ResponseHead;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{evaluating, lifetime, subcommand, Interp, Obj, Outcome};
use options::{Asked, Report};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The commands of this room.
pub(super) const COMMANDS: &[(&str, CommandProc)] = &[("ns_http", command)];

/// The requests of an interpreter that run in the background, or are over and
/// not waited for.
#[derive(Default)]
struct Requests {
    serial: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, (Arc<Task>, Report)>>,
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.tasks.take().values().for_each(|(task, _)| task.cancel());
    }
}

type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Outcome;

const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("cancel", cancel),
    ("cleanup", cleanup),
    ("list", list),
    ("queue", queue),
    ("run", run),
    ("stats", stats),
    ("wait", wait),
];

/// The command `ns_http`.
fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let run = subcommand::exact(words, SUBCOMMANDS)?;
    run(interp, &words[..2], &words[2..])
}

fn run(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let Asked { request, report, header_callback, done_callback, .. } = options::parse(interp, name, args)?;
    let mut head = |head: &ResponseHead| match &header_callback {
        Some(script) => callback::header(interp, script, head, &report),
        None => Ok(()),
    };
    let mut piece = |bytes: &[u8]| report::put(interp, &report, bytes);
    let piece: &mut dyn FnMut(&[u8]) -> Result<()> = &mut piece;
    let outcome = if report.to_tcl_channel {
        let channel = Obj::from_str(report.channel.as_deref().unwrap_or_default());
        with_binary_channel(interp, &channel, |_| {
            Ok(exchange(request, Hooks { head: Some(&mut head), piece: Some(piece), stop: None }))
        })?
    } else {
        exchange(request, Hooks { head: Some(&mut head), piece: None, stop: None })
    };
    let result = report::result(interp, outcome, &report);
    if let Some(script) = done_callback {
        callback::done(interp, &script, &result);
    }
    interp.set_result(&result?);
    Ok(())
}

fn queue(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let Asked { mut request, url, report, header_callback, done_callback } =
        options::parse(interp, name, args)?;
    if report.to_tcl_channel {
        // Written when the script hears of the end, in the channel's thread.
        request.output = Output::Memory(None);
    }
    let requests = lifetime::state::<Requests>(interp);
    let serial = requests.serial.get();
    let head = header_callback.map(|script| callback::head_hook(interp, &script, &report)).transpose()?;
    let waits = done_callback.is_none();
    let then =
        done_callback.map(|script| callback::done_hook(interp, &script, &report, serial)).transpose()?;
    let task = Task::start(&url, request, head, then)?;
    requests.serial.set(serial + 1);
    requests.tasks.borrow_mut().insert(serial, (task, report));
    if waits {
        interp.set_result(&Obj::from_str(&format!("http{serial}")));
    }
    Ok(())
}

/// Forgets a request that has told of its end.
fn forget(interp: Interp, serial: u64) {
    lifetime::state::<Requests>(interp).tasks.borrow_mut().remove(&serial);
}

/// The request that a word names.
fn find(interp: Interp, id: &Obj) -> Result<(u64, Arc<Task>, Report)> {
    let text = id.text();
    let requests = lifetime::state::<Requests>(interp);
    let serial = text.strip_prefix("http").and_then(|digits| digits.parse::<u64>().ok());
    let tasks = requests.tasks.borrow();
    let found =
        serial.filter(|serial| text == format!("http{serial}")).and_then(|s| Some((s, tasks.get(&s)?)));
    let (serial, (task, report)) = found.ok_or_else(|| Error::new(format!("no such request: {text}")))?;
    Ok((serial, Arc::clone(task), report.clone()))
}

fn wait(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::valued("-timeout", Kind::Time, "time")],
        ends_options: true,
        words: [word("id", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let (serial, task, report) = find(interp, parsed.word(0).obj)?;
    let timeout = parsed.time(0).filter(|timeout| !timeout.is_zero());
    let ended = task.wait(timeout.map(|timeout: TimeValue| Instant::now() + timeout.as_duration()));
    forget(interp, serial);
    if !ended {
        task.cancel();
        return Err(Error::timeout("http request cancelled").into());
    }
    let outcome = task.take().unwrap_or_else(|| Ok(Reply::default()));
    let result = report::result(interp, outcome, &report)?;
    interp.set_result(&result);
    Ok(())
}

/// The syntax of an id that must be there, and of one that may be.
const ID: Syntax<0, 1> =
    Syntax { options: [], ends_options: false, words: [word("id", Kind::Any)], required: 1 };
const OPTIONAL_ID: Syntax<0, 1> =
    Syntax { options: [], ends_options: false, words: [word("id", Kind::Any)], required: 0 };

fn cancel(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let parsed = ID.parse(interp, name, args)?;
    let (serial, task, _) = find(interp, parsed.word(0).obj)?;
    forget(interp, serial);
    task.cancel();
    Ok(())
}

fn cleanup(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, name, args)?;
    let tasks = lifetime::state::<Requests>(interp).tasks.take();
    tasks.values().for_each(|(task, _)| task.cancel());
    Ok(())
}

/// What `show` gives for the request named, or for each.
fn describe(interp: Interp, name: &[Obj], args: &[Obj], show: impl Fn(u64, &Task) -> Obj) -> Outcome {
    let parsed = OPTIONAL_ID.parse(interp, name, args)?;
    let shown = match parsed.words[0] {
        Some(id) => {
            let (serial, task, _) = find(interp, id.obj)?;
            vec![show(serial, &task)]
        }
        None => {
            let requests = lifetime::state::<Requests>(interp);
            let tasks = requests.tasks.borrow();
            tasks.iter().map(|(serial, (task, _))| show(*serial, task)).collect()
        }
    };
    interp.set_result(&Obj::from_list(&shown));
    Ok(())
}

fn list(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    describe(interp, name, args, |serial, task| {
        let words = [format!("http{serial}"), task.url.clone(), task.state().to_owned()];
        Obj::from_list(&words.map(|word| Obj::from_str(&word)))
    })
}

fn stats(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    describe(interp, name, args, |serial, task| {
        let (sent, received, content) = task.bytes();
        let count = Obj::from_count;
        Obj::from_pairs([
            ("task", Obj::from_str(&format!("http{serial}"))),
            ("url", Obj::from_str(&task.url)),
            ("requestlength", count(task.request_bytes)),
            ("replylength", count(content)),
            ("sent", count(sent)),
            ("received", count(received)),
            ("sendbodysize", count(task.request_bytes)),
            ("replybodysize", count(content)),
            ("replysize", count(content)),
        ])
    })
}

/// Runs `action` while a Tcl channel passes bytes as they are.
fn with_binary_channel<T>(
    interp: Interp,
    channel: &Obj,
    action: impl FnOnce(Interp) -> Result<T>,
) -> Result<T> {
    let configure = |words: &[&str]| {
        let mut all = vec![Obj::from_str("::chan"), Obj::from_str("configure"), channel.clone()];
        all.extend(words.iter().map(|word| Obj::from_str(word)));
        evaluating::call(interp, &all)
    };
    let translation = configure(&["-translation"])?;
    let encoding = configure(&["-encoding"])?;
    configure(&["-translation", "binary"])?;
    let result = action(interp);
    // Closed meanwhile, perhaps: then there is nothing to restore.
    let _ = configure(&["-encoding", &encoding.text(), "-translation", &translation.text()]);
    result
}
