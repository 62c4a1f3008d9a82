//! Threads with interpreters of their own, for whoever evaluates scripts
//! elsewhere than in the caller: reactor threads, connection threads, jobs.
//!
//! `Worker` is one such thread: it has an interpreter in which the package is
//! loaded and an init script was evaluated, lives in Tcl's event loop, and does
//! the jobs that other threads give it, one at a time. `Pool` is several that
//! share a queue. What crosses threads is owned text and closures; a Tcl value
//! never does.
//!
//! At the end of the process `end_all` asks every worker to end and waits for
//! it, for a limited time.

mod job;
mod pool;
mod worker;

pub use job::{evaluation, Evaluated, Job, Task};
pub use pool::{Counts, Pool};
pub use worker::{Setup, Worker};

use crate::tcl::interp::ScriptError;
use crate::tcl::{Interp, Outcome};
use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use worker::Shared;

/// How long the scripts that run may go on when the process ends.
const GRACE: Duration = Duration::from_millis(500);

/// How long they may then take to unwind, after they were cancelled.
const UNWIND: Duration = Duration::from_millis(1500);

/// Who comes second to end the process waits this long for the first.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done in each worker by those who know more than this room.
struct Hooks {
    install: fn(Interp) -> Outcome,
    farewell: fn(),
}

static HOOKS: OnceCell<Hooks> = OnceCell::new();

/// The thread that ends the process, by the kernel's number; 0 while none does.
static EXITING: AtomicI64 = AtomicI64::new(0);

/// Every worker that has not been joined yet.
static ALL: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

/// Says how the package is put into the interpreter of a worker, and what is
/// done in its thread while scripts can still run, before it is deleted.
pub fn set_hooks(install: fn(Interp) -> Outcome, farewell: fn()) {
    let _ = HOOKS.set(Hooks { install, farewell });
}

/// The error of an attempt to use a thread that has ended.
pub(crate) fn gone(name: &str) -> ScriptError {
    crate::base::Error::new(format!("thread \"{name}\" has ended")).into()
}

/// The process ends: workers get no new jobs, and end when what they do is
/// done. To be called by the thread that ends it, before `finish_all`.
pub fn end_all() {
    let here = crate::net::sys::thread_id();
    let _ = EXITING.compare_exchange(0, here, Ordering::AcqRel, Ordering::Acquire);
    for worker in all() {
        worker.end();
    }
}

/// Waits for the workers' end. Scripts that take too long are cancelled; those
/// that cannot be are left behind.
pub fn finish_all() {
    let here = Worker::current();
    let others: Vec<Worker> = all().into_iter().filter(|w| here.as_ref() != Some(w)).collect();
    let begin = Instant::now();
    for worker in &others {
        worker.wait(Some(begin + GRACE));
    }
    for worker in &others {
        worker.cancel();
    }
    for worker in &others {
        worker.wait(Some(begin + GRACE + UNWIND));
    }
}

/// The workers that live, and those that have ended and were not joined yet.
pub fn workers() -> Vec<Worker> {
    all()
}

fn all() -> Vec<Worker> {
    ALL.lock().clone()
}

/// Joins the workers that have ended by themselves.
fn reap() {
    let mut ended = Vec::new();
    ALL.lock().retain(|worker| {
        let over = worker.is_over();
        if over {
            ended.push(worker.clone());
        }
        !over
    });
    for worker in ended {
        worker.join();
    }
}

/// Whether the calling thread is the process's first.
pub fn is_first_thread() -> bool {
    crate::net::sys::thread_id() == i64::from(std::process::id())
}

/// Whether the process is about to end.
pub fn is_exiting() -> bool {
    EXITING.load(Ordering::Acquire) != 0
}

/// A thread that ends while another one ends the process leaves that to it: two
/// at once would tear down the same things. To be called by the exit handler
/// of threads that end only with the process, or by their own `exit`.
pub fn give_way_to_exit() {
    static NEVER: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    let exiting = EXITING.load(Ordering::Acquire);
    if exiting != 0 && exiting != crate::net::sys::thread_id() {
        if let Some(worker) = Worker::current() {
            worker.park();
        }
        let mut guard = NEVER.0.lock();
        let until = Instant::now() + PATIENCE;
        while !NEVER.1.wait_until(&mut guard, until).timed_out() {}
    }
}

/// Remembers a worker until it is joined.
fn remember(shared: &std::sync::Arc<Shared>) {
    reap();
    ALL.lock().push(Worker::from_shared(shared));
}
