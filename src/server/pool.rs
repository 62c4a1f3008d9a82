//! The connection threads of a driver: a queue of exchanges with a limit, and
//! what a thread does with one.

use super::attached::Hooks;
use super::current;
use super::exchange::Exchange;
use super::pipeline::{Pipeline, Run};
use super::remote::Dispatcher;
use super::scripts::{self, InInterp};
use crate::base::log;
use crate::jobs::blueprint;
use crate::tcl::script::Completion;
use crate::tcl::{Interp, Obj};
use crate::threads::{Job, Pool, Task};
use std::cell::Cell;

thread_local! {
    /// The thread is one of a driver's: it may wait for peers.
    static IS_CONNECTION_THREAD: Cell<bool> = const { Cell::new(false) };
    /// Scripts of `ns_eval` that this thread has evaluated.
    static TOLD: Cell<usize> = const { Cell::new(0) };
}

/// Whether the calling thread answers requests and nothing else.
pub fn is_connection_thread() -> bool {
    IS_CONNECTION_THREAD.get()
}

/// Gives exchanges to the threads of a pool.
pub struct Queue {
    pool: Pool,
    /// Requests that may wait.
    limit: usize,
    hooks: Hooks,
}

impl Queue {
    /// A queue for the threads of `pool`.
    pub fn new(pool: Pool, limit: usize, hooks: Hooks) -> Queue {
        Queue { pool, limit, hooks }
    }
}

impl Dispatcher for Queue {
    fn submit(&self, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        let counts = self.pool.counts();
        if counts.threads == 0 || counts.waiting >= self.limit {
            return Some(exchange);
        }
        let hooks = self.hooks;
        let job: Job = Box::new(move |_| {
            IS_CONNECTION_THREAD.set(true);
            Some(Box::new(Answering {
                exchange: Some(exchange),
                pipeline: Pipeline::default(),
                run: None,
                telling: false,
                hooks,
            }))
        });
        // A pool that has ended drops it, and its connection hears of that.
        self.pool.post(job);
        None
    }

    fn end(&self) {
        self.pool.end();
    }
}

/// An exchange that is being answered.
struct Answering {
    /// Between scripts.
    exchange: Option<Box<Exchange>>,
    pipeline: Pipeline,
    /// The script that runs.
    run: Option<Run>,
    /// What runs is what `ns_eval` has told all threads.
    telling: bool,
    hooks: Hooks,
}

impl Task for Answering {
    fn next(&mut self, interp: Interp) -> Option<Obj> {
        let mut exchange = self.exchange.take()?;
        if let Some((script, count)) = blueprint::replays_since(TOLD.get()) {
            TOLD.set(count);
            self.telling = true;
            self.exchange = Some(exchange);
            return Some(Obj::from_str(&script));
        }
        match self.pipeline.next(&mut exchange) {
            Some(run) => {
                let script = scripts::object(&run);
                self.run = Some(run);
                current::push(exchange);
                // It means something for filters.
                interp.allow_exceptions();
                Some(script)
            }
            None => {
                (self.hooks.cleanup)(interp, &mut exchange);
                None
            }
        }
    }

    fn finished(&mut self, interp: Interp, completion: Completion) {
        // A worker calls `ended`.
        self.ended(interp, completion, 0);
    }

    fn ended(&mut self, interp: Interp, completion: Completion, code: i32) {
        if std::mem::take(&mut self.telling) {
            if let Completion::Error(message) = completion {
                let error = interp.script_error(message);
                log::write(log::ERROR, &format!("{}\n    (context: ns_eval)", error.info));
            }
            return;
        }
        let Some(mut exchange) = current::pop() else { return };
        (self.hooks.sync)(interp, &mut exchange);
        if let Some(run) = self.run.take() {
            // Whoever answers does nothing else meanwhile (`Local::next_job`).
            self.pipeline.finished(&mut exchange, &run, &InInterp::outermost(interp, code, completion));
        }
        self.exchange = Some(exchange);
    }
}

/// The task goes while its script runs: the script has ended its thread.
impl Drop for Answering {
    fn drop(&mut self) {
        if self.run.is_some() {
            drop(current::pop());
        }
    }
}
