//! `Pool`: workers that share a queue. Each job goes to whichever worker is
//! idle, so that a slow one occupies its thread and no other.

use super::job::Job;
use super::worker::{Setup, Shared, Worker};
use crate::tcl::interp::ScriptError;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Those that wait for a job; the one that came last is taken first, since
    /// its memory is warm.
    idle: Vec<Worker>,
    workers: Vec<Worker>,
    ended: bool,
}

/// The queue of a pool.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

impl Queue {
    /// The next job, or `None` after having noted that the worker is idle.
    pub(super) fn take(&self, worker: &Arc<Shared>) -> Option<Job> {
        let mut state = self.0.lock();
        let worker = Worker::from_shared(worker);
        state.idle.retain(|idle| *idle != worker);
        match state.jobs.pop_front() {
            Some(job) => Some(job),
            None => {
                state.idle.push(worker);
                None
            }
        }
    }

    /// A worker ends. One that it was woken for is done by another.
    pub(super) fn leave(&self, worker: &Arc<Shared>) {
        let worker = Worker::from_shared(worker);
        let mut state = self.0.lock();
        state.idle.retain(|idle| *idle != worker);
        state.workers.retain(|one| *one != worker);
        let next = if state.jobs.is_empty() { None } else { state.idle.pop() };
        // Nobody is left who would do them.
        let dropped =
            if state.workers.is_empty() { std::mem::take(&mut state.jobs) } else { VecDeque::new() };
        drop(state);
        drop(dropped);
        if let Some(next) = next {
            next.wake();
        }
    }
}

/// How a pool is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Threads.
    pub threads: usize,
    /// Of these, threads that wait for a job.
    pub idle: usize,
    /// Jobs that wait for a thread.
    pub waiting: usize,
}

/// Workers with a common queue. Dropping the last handle does not end them.
#[derive(Clone, Default)]
pub struct Pool(Arc<Queue>);

impl Pool {
    /// A pool without threads.
    pub fn new() -> Pool {
        Pool::default()
    }

    /// Adds a thread, and waits until its init script was evaluated.
    ///
    /// # Errors
    /// That of the init script; the pool is as before.
    pub fn add(&self, setup: Setup) -> Result<Worker, ScriptError> {
        let worker = Worker::start_for(setup, Some(Arc::clone(&self.0)))?;
        let mut state = self.0 .0.lock();
        if state.ended || worker.is_ending() {
            drop(state);
            worker.end();
            return Err(super::gone(worker.name()));
        }
        state.workers.push(worker.clone());
        drop(state);
        // It looks for a job, now that it belongs to those who do them.
        worker.wake();
        Ok(worker)
    }

    /// Gives a job to a thread that is idle, or to the first that becomes so.
    /// False, and the job is dropped, when the pool has ended.
    pub fn post(&self, job: Job) -> bool {
        let mut state = self.0 .0.lock();
        if state.ended {
            drop(state);
            drop(job);
            return false;
        }
        state.jobs.push_back(job);
        let idle = state.idle.pop();
        drop(state);
        if let Some(idle) = idle {
            idle.wake();
        }
        true
    }

    /// Threads and jobs.
    pub fn counts(&self) -> Counts {
        let state = self.0 .0.lock();
        Counts { threads: state.workers.len(), idle: state.idle.len(), waiting: state.jobs.len() }
    }

    /// Its threads.
    pub fn workers(&self) -> Vec<Worker> {
        self.0 .0.lock().workers.clone()
    }

    /// Ends the threads; each first finishes the job that it does. Jobs that
    /// wait are dropped.
    pub fn end(&self) {
        let mut state = self.0 .0.lock();
        state.ended = true;
        let dropped = std::mem::take(&mut state.jobs);
        let workers = state.workers.clone();
        drop(state);
        drop(dropped);
        for worker in workers {
            worker.end();
        }
    }
}
