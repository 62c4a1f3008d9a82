//! Threads of a script's own: `ns_thread` (spec/support.md 4.17), and those that
//! scheduled scripts run in.

use super::timetable::Words;
use super::{blueprint, outcome, Outcome};
use crate::base::{log, Error, Result};
use crate::tcl::interp::ScriptError;
use crate::tcl::script::Completion;
use crate::tcl::{Interp, Obj};
use crate::threads::{is_exiting, Task, Worker};
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread that can be waited for: its outcome once it has one, and whether
/// somebody waits.
#[derive(Default)]
struct Strand {
    outcome: Option<Outcome>,
    awaited: bool,
}

static STRANDS: Mutex<BTreeMap<u64, Strand>> = Mutex::new(BTreeMap::new());

/// Told when one has ended.
static ENDED: Condvar = Condvar::new();

/// Handles are numbers that look like the addresses of the reference.
static SERIAL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The handle of the calling thread, once it has one.
    static OWN: Cell<u64> = const { Cell::new(0) };
}

fn next_handle() -> u64 {
    const FIRST: u64 = 0x1000;
    FIRST + 0x10 * SERIAL.fetch_add(1, Ordering::Relaxed)
}

fn written(handle: u64) -> String {
    format!("0x{handle:x}")
}

/// The handle of the calling thread.
pub fn own_handle() -> String {
    OWN.with(|own| {
        if own.get() == 0 {
            own.set(next_handle());
        }
        written(own.get())
    })
}

/// Starts a thread that evaluates a script and ends; its handle, unless it is
/// detached.
///
/// # Errors
/// The thread cannot be started.
pub fn create(interp: Interp, name: &str, script: &str, detached: bool) -> Result<Option<String>> {
    let handle = next_handle();
    let number = (handle - 0x1000) / 0x10;
    let name = if name.is_empty() { format!("-tcl:{number}-") } else { format!("-tcl-{name}:{number}-") };
    let setup = blueprint::setup(interp, &name)?;
    if !detached {
        STRANDS.lock().insert(handle, Strand::default());
    }
    let begun = Worker::start(setup).map_err(|error| Error::new(error.message)).and_then(|worker| {
        let script = script.to_owned();
        let run = Run { script: Some(script), handle, detached, told: false };
        let posted = worker.post(Box::new(move |_| {
            OWN.with(|own| own.set(run.handle));
            Some(Box::new(run) as Box<dyn Task>)
        }));
        posted.then_some(()).ok_or_else(|| Error::new(format!("thread \"{name}\" has ended")))
    });
    if let Err(error) = begun {
        STRANDS.lock().remove(&handle);
        return Err(error);
    }
    Ok((!detached).then(|| written(handle)))
}

/// Runs a scheduled script in a thread of its own.
pub fn spawn(interp: Interp, words: &Words) -> Result<()> {
    create(interp, "schedule", &words.joined(), true).map(drop)
}

/// Waits for the end of a thread; what its script has come to.
///
/// # Errors
/// The handle is none, or was waited for.
pub fn wait(handle: &str) -> Result<Outcome> {
    let invalid = || Error::new(format!("invalid address \"{handle}\""));
    let number = handle.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let number = number.filter(|number| written(*number) == handle).ok_or_else(invalid)?;
    let mut strands = STRANDS.lock();
    let strand = strands.get_mut(&number).filter(|strand| !strand.awaited).ok_or_else(invalid)?;
    strand.awaited = true;
    loop {
        let strand = strands.get_mut(&number).ok_or_else(invalid)?;
        if let Some(outcome) = strand.outcome.take() {
            strands.remove(&number);
            return Ok(outcome);
        }
        ENDED.wait(&mut strands);
    }
}

/// The one task of such a thread.
struct Run {
    script: Option<String>,
    handle: u64,
    detached: bool,
    told: bool,
}

impl Run {
    fn tell(&mut self, outcome: Outcome) {
        self.told = true;
        match &outcome {
            // One that the end of the process has cut short is no failure.
            Err(error) if !is_exiting() => log::write(log::ERROR, &error.info),
            _ => {}
        }
        if let Some(strand) = STRANDS.lock().get_mut(&self.handle).filter(|_| !self.detached) {
            strand.outcome = Some(outcome);
        }
        ENDED.notify_all();
    }
}

impl Task for Run {
    fn next(&mut self, _interp: Interp) -> Option<Obj> {
        let script = self.script.take();
        if script.is_none() {
            if let Some(worker) = Worker::current() {
                worker.end();
            }
        }
        script.map(|script| Obj::from_str(&script))
    }

    fn finished(&mut self, interp: Interp, completion: Completion) {
        self.tell(outcome(interp, completion));
    }
}

/// The script has ended its thread, or the process ends.
impl Drop for Run {
    fn drop(&mut self) {
        if !self.told {
            self.told = true;
            let error = ScriptError::from(Error::new("the script has ended its thread"));
            if let Some(strand) = STRANDS.lock().get_mut(&self.handle) {
                strand.outcome = Some(Err(error));
            }
            ENDED.notify_all();
        }
    }
}
