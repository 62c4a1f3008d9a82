//! Scripts for the begin and the end: `ns_atprestartup`, `ns_atstartup`,
//! `ns_atshutdown`, `ns_atexit`; and for the signal HUP, `ns_atsignal`
//! (spec/support.md 4.14).
//!
//! The begin is when the interpreter enters its event loop for the first time;
//! what is registered later runs soon after. The end is that of the process.

use super::timetable::Words;
use crate::base::{log, Error, Result};
use crate::connchan::desk::{self, Desk, Letter};
use crate::connchan::home;
use crate::net::signal::on_hangup;
use crate::tcl::script::{Completion, Prepared};
use crate::tcl::{lifetime, Interp};
use crate::threads::Worker;
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::VecDeque;

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before anything is served.
    PreStartup,
    /// When everything is up.
    Startup,
    /// When the process is about to end; the last registered first.
    Shutdown,
    /// At the very end, likewise.
    Exit,
    /// Whenever the process gets the signal HUP.
    Signal,
}

/// Scripts for the signal, in the order in which they were registered, with
/// where they run.
static AT_SIGNAL: Mutex<Vec<(Desk, Words)>> = Mutex::new(Vec::new());

/// The signal has come.
fn signalled() {
    let mut scripts = AT_SIGNAL.lock();
    scripts.retain(|(desk, _)| !desk.is_closed());
    for (desk, words) in scripts.iter() {
        let words = words.clone();
        let letter = Letter {
            make: Box::new(move |_| Some(words.call())),
            done: Box::new(|interp, completion| {
                if let Completion::Error(message) = completion {
                    home::log_script_error(interp, &message, "signal callback");
                }
            }),
        };
        // One that goes just now need not know.
        let _ = desk.post(letter);
    }
}

/// Scripts for the begin, of an interpreter.
#[derive(Default)]
struct Begin {
    before: RefCell<VecDeque<Words>>,
    after: RefCell<VecDeque<Words>>,
}

thread_local! {
    /// Scripts for the end, of the thread's interpreters.
    static END: RefCell<Vec<(Moment, Interp, Words)>> = const { RefCell::new(Vec::new()) };
}

/// Registers a script. In a thread of the library's own it is left to the
/// interpreter that the thread comes from.
///
/// # Errors
/// The interpreter is being deleted.
pub fn register(interp: Interp, moment: Moment, words: Words) -> Result<()> {
    if Worker::current().is_some() {
        super::ask_office(move |interp| {
            if let Err(error) = register_here(interp, moment, words) {
                log::write(log::ERROR, &error.message);
            }
        });
        return Ok(());
    }
    register_here(interp, moment, words)
}

fn register_here(interp: Interp, moment: Moment, words: Words) -> Result<()> {
    let begin = lifetime::state::<Begin>(interp);
    match moment {
        Moment::PreStartup => begin.before.borrow_mut().push_back(words),
        Moment::Startup => begin.after.borrow_mut().push_back(words),
        Moment::Signal => {
            static LISTENING: OnceCell<()> = OnceCell::new();
            LISTENING.get_or_try_init(|| on_hangup(signalled)).map_err(|e| Error::new(e.to_string()))?;
            AT_SIGNAL.lock().push((desk::of(interp)?, words));
            return Ok(());
        }
        Moment::Shutdown | Moment::Exit => {
            let fresh = END.with(|end| {
                let mut end = end.borrow_mut();
                let fresh = !end.iter().any(|(_, own, _)| *own == interp);
                end.push((moment, interp, words));
                fresh
            });
            if fresh {
                lifetime::on_delete(interp, forget);
            }
            return Ok(());
        }
    }
    // One letter a script: each takes the one that is first by then.
    desk::of(interp)?.post(Letter {
        make: Box::new(|interp| {
            let begin = lifetime::state::<Begin>(interp);
            let first = begin.before.borrow_mut().pop_front();
            let words = first.or_else(|| begin.after.borrow_mut().pop_front())?;
            Some(words.call())
        }),
        done: Box::new(|interp, completion| {
            if let Completion::Error(message) = completion {
                home::log_script_error(interp, &message, "startup callback");
            }
        }),
    })
}

fn forget(interp: Interp) {
    // The list may be gone already when the thread ends.
    let _ = END.try_with(|end| end.borrow_mut().retain(|(_, own, _)| *own != interp));
}

/// Runs the scripts of the calling thread for the end of the process.
pub fn run(moment: Moment) {
    loop {
        let next = END.try_with(|end| {
            let mut end = end.borrow_mut();
            let last = end.iter().rposition(|(own, _, _)| *own == moment)?;
            Some(end.remove(last))
        });
        let Ok(Some((_, interp, words))) = next else { return };
        if interp.is_deleted() {
            continue;
        }
        let (script, appended) = words.call();
        if let Completion::Error(message) = Prepared::run_words(interp, &script, appended) {
            home::log_script_error(interp, &message, "exit callback");
        }
    }
}
