//! Work that a script leaves for later, or for others: what is scheduled, job
//! queues with their threads, and threads of a script's own
//! (spec/support.md 4.14 to 4.17, 6.2).
//!
//! `blueprint` says what a thread's interpreter begins with, `timetable` what
//! runs when, `queue` and `crew` are `ns_job`, `strand` is `ns_thread`,
//! `lifecycle` the scripts that run at the begin and at the end.

pub mod blueprint;
pub mod crew;
pub mod lifecycle;
pub mod queue;
pub mod strand;
pub mod timetable;

use crate::base::Result;
use crate::connchan::desk::{self, Desk};
use crate::tcl::interp::ScriptError;
use crate::tcl::script::Completion;
use crate::tcl::{Interp, Obj};
use crate::threads::Worker;
use parking_lot::Mutex;
use std::time::Instant;

/// The desk of the interpreter that threads are made from: what their scripts
/// schedule runs there, since they may end.
static OFFICE: Mutex<Option<Desk>> = Mutex::new(None);

/// Where the scripts run that `interp` schedules: there, or, of a thread made
/// by the library, where that thread comes from.
///
/// # Errors
/// The interpreter is being deleted.
pub fn desk_of(interp: Interp) -> Result<Desk> {
    if Worker::current().is_some() {
        if let Some(office) = OFFICE.lock().clone().filter(|desk| !desk.is_closed()) {
            return Ok(office);
        }
    }
    desk::of(interp)
}

/// The package was loaded into an interpreter. The first that is none of a thread
/// of the library's own is where threads come from, until one of them makes some.
///
/// # Errors
/// The thread has no home.
pub fn loaded(interp: Interp) -> Result<()> {
    let is_open = OFFICE.lock().as_ref().is_some_and(|desk| !desk.is_closed());
    if is_open {
        Ok(())
    } else {
        open_office(interp)
    }
}

/// Notes that threads are made from this interpreter.
fn open_office(interp: Interp) -> Result<()> {
    if Worker::current().is_none() {
        let desk = desk::of(interp)?;
        OFFICE.lock().replace(desk);
    }
    Ok(())
}

/// Has the interpreter that threads are made from do something, when it comes
/// to its event loop. Nothing is done when it has gone.
fn ask_office(action: impl FnOnce(Interp) + Send + 'static) {
    let make = Box::new(|interp| {
        action(interp);
        None
    });
    ask_office_to_call(desk::Letter { make, done: Box::new(|_, _| ()) });
}

/// The same at a time to come.
fn ask_office_at(time: Instant, action: impl FnOnce(Interp) + Send + 'static) {
    let office = OFFICE.lock().clone();
    if let Some(office) = office {
        let make = Box::new(|interp| {
            action(interp);
            None
        });
        let _ = office.post_at(time, desk::Letter { make, done: Box::new(|_, _| ()) });
    }
}

/// Likewise for a script.
pub fn ask_office_to_call(letter: desk::Letter) {
    let office = OFFICE.lock().clone();
    // When it has gone nobody is left who would have to know.
    if let Some(office) = office {
        let _ = office.post(letter);
    }
}

/// What a script has come to, as it crosses threads.
#[derive(Debug, Clone)]
pub enum Value {
    /// A value that was bytes.
    Bytes(Vec<u8>),
    /// Any other.
    Text(String),
}

impl Value {
    fn of(value: &Obj) -> Value {
        match value.bytes() {
            Ok(bytes) if value.is_pure_bytes() => Value::Bytes(bytes.to_vec()),
            _ => Value::Text(value.text().into_owned()),
        }
    }

    /// The value in an interpreter.
    pub fn to_obj(&self) -> Obj {
        match self {
            Value::Bytes(bytes) => Obj::from_bytes(bytes),
            Value::Text(text) => Obj::from_str(text),
        }
    }
}

/// How a script has ended, as it crosses threads.
pub type Outcome = std::result::Result<Value, ScriptError>;

fn outcome(interp: Interp, completion: Completion) -> Outcome {
    match completion {
        Completion::Ok(value) => Ok(Value::of(&value)),
        Completion::Error(message) => Err(interp.script_error(message)),
    }
}
