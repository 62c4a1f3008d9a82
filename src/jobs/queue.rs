//! Job queues: what waits, what runs, what has ended and is waited for
//! (`ns_job`, spec/support.md 4.15). The threads are in `crew`.
//!
//! One lock guards all queues; it is held neither while a script runs nor while
//! a thread is started.

use super::{crew, Outcome};
use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::tcl::interp::ScriptError;
use crate::tcl::Interp;
use crate::threads::Worker;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

/// Jobs that run at the same time when a queue does not say.
pub const DEFAULT_THREADS: usize = 4;

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for a thread.
    Scheduled,
    /// A thread does it.
    Running,
    /// It has ended.
    Done,
}

/// A job.
pub struct Job {
    /// Its id, unique in its queue.
    pub id: String,
    /// What it evaluates.
    pub script: String,
    /// Nobody waits for it.
    pub detached: bool,
    /// Where it is.
    pub state: State,
    /// How it has ended.
    pub outcome: Option<Outcome>,
    /// Somebody waits for it.
    pub awaited: bool,
    /// It was cancelled.
    pub cancelled: bool,
    /// Name of the thread that does it or has done it.
    pub thread: String,
    /// When it was queued, begun and ended.
    pub queued: SystemTime,
    /// When it was begun.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub ended: Option<SystemTime>,
    /// Who does it.
    pub(super) worker: Option<Worker>,
}

/// A queue.
pub struct Queue {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Jobs that may run at the same time.
    pub max_threads: usize,
    /// Jobs that run now.
    pub running: usize,
    /// It goes when its jobs are done.
    pub deleted: bool,
    /// In the order in which they are to be done.
    pub jobs: VecDeque<Job>,
}

impl Queue {
    /// Whether there is a job of that id.
    fn has(&self, id: &str) -> bool {
        self.jobs.iter().any(|job| job.id == id)
    }
}

/// What `ns_job configure` sets.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Jobs after which a thread is replaced; 0 for never.
    pub jobs_per_thread: usize,
    /// How long a thread may be idle.
    pub timeout: TimeValue,
    /// Longer jobs are noted in the log.
    pub log_min_duration: TimeValue,
}

/// All queues.
pub struct Queues {
    /// In the order in which they were made.
    pub list: Vec<Queue>,
    serial: u64,
    names: u64,
    /// What `configure` has set.
    pub settings: Settings,
    /// The threads.
    pub(super) crew: crew::Crew,
}

static QUEUES: Mutex<Queues> = Mutex::new(Queues {
    list: Vec::new(),
    serial: 0,
    names: 0,
    settings: Settings {
        jobs_per_thread: 0,
        timeout: TimeValue::from_secs(300),
        log_min_duration: TimeValue::from_secs(1),
    },
    crew: crew::Crew::new(),
});

/// Told when a job has ended.
static ENDED: Condvar = Condvar::new();

/// All queues, while no thread changes them.
pub fn queues() -> MutexGuard<'static, Queues> {
    QUEUES.lock()
}

fn no_queue(name: &str) -> Error {
    Error::new(format!("no such queue: {name}"))
}

fn no_job(id: &str) -> Error {
    Error::new(format!("no such job: {id}"))
}

impl Queues {
    /// Makes a queue.
    ///
    /// # Errors
    /// There is one of that name, perhaps one that goes when its jobs are done.
    pub fn create(&mut self, name: &str, description: &str, max_threads: usize) -> Result<()> {
        if self.list.iter().any(|queue| queue.name == name) {
            return Err(Error::new(format!("queue already exists: {name}")));
        }
        self.list.push(Queue {
            name: name.into(),
            description: description.into(),
            max_threads,
            running: 0,
            deleted: false,
            jobs: VecDeque::new(),
        });
        Ok(())
    }

    /// The queue of that name.
    ///
    /// # Errors
    /// There is none, or it is being deleted.
    pub fn queue(&mut self, name: &str) -> Result<&mut Queue> {
        let found = self.list.iter_mut().find(|queue| queue.name == name);
        found.ok_or_else(|| no_queue(name))
    }

    /// An id that no job of a queue has, also none that a script has named so.
    ///
    /// # Errors
    /// There is no such queue.
    fn next_id(&mut self, queue: &str) -> Result<String> {
        loop {
            let id = format!("job{}", self.serial);
            self.serial += 1;
            if !self.queue(queue)?.has(&id) {
                return Ok(id);
            }
        }
    }

    /// How many threads do jobs, and how many of them wait for one.
    pub fn threads(&self) -> (usize, usize) {
        (self.crew.threads(), self.crew.idle())
    }

    /// A name that no queue has.
    pub fn generate_name(&mut self) -> String {
        self.names += 1;
        format!("queue_id_{:x}_{:x}", self.names, std::process::id())
    }

    /// Deletes a queue, at the latest when its jobs are done.
    ///
    /// # Errors
    /// There is none.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        self.queue(name)?.deleted = true;
        self.sweep();
        Ok(())
    }

    /// Removes deleted queues in which nothing is left to do.
    fn sweep(&mut self) {
        self.list.retain(|queue| {
            !queue.deleted || queue.jobs.iter().any(|job| job.state != State::Done || job.awaited)
        });
    }

    /// Takes the next job that may run, for `worker`; the queue's name, the id
    /// and the script.
    pub(super) fn next(&mut self, worker: &Worker) -> Option<(String, String, String)> {
        for queue in self.list.iter_mut().filter(|queue| queue.running < queue.max_threads) {
            let Some(job) = queue.jobs.iter_mut().find(|job| job.state == State::Scheduled) else { continue };
            job.state = State::Running;
            job.started = Some(SystemTime::now());
            job.worker = Some(worker.clone());
            queue.running += 1;
            job.thread = format!("-nsjob:{}:{}-", queue.name, worker_number(worker));
            return Some((queue.name.clone(), job.id.clone(), job.script.clone()));
        }
        None
    }

    /// How many jobs could be begun if there were threads for them.
    pub(super) fn startable(&self) -> usize {
        let of = |queue: &Queue| {
            let waiting = queue.jobs.iter().filter(|job| job.state == State::Scheduled).count();
            waiting.min(queue.max_threads.saturating_sub(queue.running))
        };
        self.list.iter().map(of).sum()
    }

    /// How many jobs may be done at once, by all queues together.
    pub fn most_at_once(&self) -> usize {
        self.list.iter().map(|queue| queue.max_threads).sum()
    }

    /// Notes how a job has ended. Of a detached one the outcome is returned,
    /// and how long it took.
    pub(super) fn finish(
        &mut self,
        name: &str,
        id: &str,
        outcome: Outcome,
    ) -> Option<(Outcome, bool, Duration)> {
        let queue = self.list.iter_mut().find(|queue| queue.name == name)?;
        queue.running = queue.running.saturating_sub(1);
        let position = queue.jobs.iter().position(|job| job.id == id && job.state == State::Running)?;
        let job = &mut queue.jobs[position];
        job.state = State::Done;
        job.worker = None;
        job.ended = Some(SystemTime::now());
        let begun = job.started.unwrap_or(job.queued);
        let duration = SystemTime::now().duration_since(begun).unwrap_or_default();
        let detached = job.detached;
        let told = outcome.clone();
        job.outcome = Some(if job.cancelled { Err(job_cancelled().into()) } else { outcome });
        if detached {
            queue.jobs.remove(position);
        }
        self.sweep();
        ENDED.notify_all();
        Some((told, detached, duration))
    }
}

/// The number at the end of a thread's first name.
fn worker_number(worker: &Worker) -> &str {
    worker.name().trim_matches('-').rsplit(':').next().unwrap_or_default()
}

fn job_cancelled() -> Error {
    Error::new("Job cancelled.")
}

/// How a job is queued.
#[derive(Default)]
pub struct Request<'a> {
    /// The queue's name.
    pub queue: &'a str,
    /// What it evaluates.
    pub script: &'a str,
    /// The id, unless one is to be made up.
    pub id: Option<&'a str>,
    /// Nobody will wait for it.
    pub detached: bool,
    /// Before all that wait.
    pub at_head: bool,
}

/// Queues a job, and sees to it that there is a thread for it; its id.
///
/// # Errors
/// There is no such queue, or a job of that id; a thread cannot be started.
pub fn post(interp: Interp, request: &Request) -> Result<String> {
    let mut queues = QUEUES.lock();
    if queues.queue(request.queue)?.deleted {
        return Err(Error::new("The specified queue is being deleted or the system is stopping."));
    }
    let id = match request.id.filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None => queues.next_id(request.queue)?,
    };
    let queue = queues.queue(request.queue)?;
    if queue.has(&id) {
        return Err(Error::new(format!("Job {id} already exists")));
    }
    let job = Job {
        id: id.clone(),
        script: request.script.into(),
        detached: request.detached,
        state: State::Scheduled,
        outcome: None,
        awaited: false,
        cancelled: false,
        thread: String::new(),
        queued: SystemTime::now(),
        started: None,
        ended: None,
        worker: None,
    };
    if request.at_head {
        queue.jobs.push_front(job);
    } else {
        queue.jobs.push_back(job);
    }
    drop(queues);
    if let Err(error) = crew::engage(interp) {
        let mut queues = QUEUES.lock();
        let queue = queues.queue(request.queue)?;
        let before = queue.jobs.len();
        queue.jobs.retain(|job| job.id != id || job.state != State::Scheduled);
        if queue.jobs.len() < before {
            return Err(error);
        }
    }
    Ok(id)
}

/// Waits for a job; its outcome. The job is gone afterwards.
///
/// # Errors
/// There is none, it is detached or waited for already, or it takes longer than
/// `timeout`.
pub fn wait(queue: &str, id: &str, timeout: Option<Duration>) -> Result<Outcome> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut queues = QUEUES.lock();
    let job = find(queues.queue(queue)?, id)?;
    if job.detached {
        return Err(Error::new(format!("can't wait on detached job: {id}")));
    }
    if job.awaited {
        return Err(Error::new(format!("can't wait on waited job: {id}")));
    }
    job.awaited = true;
    loop {
        let own = queues.queue(queue)?;
        let job = find(own, id)?;
        if job.state == State::Done {
            let outcome = job.outcome.take();
            own.jobs.retain(|job| job.id != id);
            queues.sweep();
            return Ok(outcome.unwrap_or_else(|| Err(job_cancelled().into())));
        }
        let late = match deadline {
            None => {
                ENDED.wait(&mut queues);
                false
            }
            Some(deadline) => ENDED.wait_until(&mut queues, deadline).timed_out(),
        };
        let job = find(queues.queue(queue)?, id)?;
        if late && job.state != State::Done {
            job.awaited = false;
            return Err(Error::timeout("Wait timed out."));
        }
    }
}

fn find<'a>(queue: &'a mut Queue, id: &str) -> Result<&'a mut Job> {
    queue.jobs.iter_mut().find(|job| job.id == id).ok_or_else(|| no_job(id))
}

/// Waits until some job of the queue has ended; at once when there is none.
///
/// # Errors
/// There is no such queue; it takes longer than `timeout`.
pub fn wait_any(queue: &str, timeout: Option<Duration>) -> Result<()> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut queues = QUEUES.lock();
    // Detached jobs leave when they are done.
    let mut before = queues.queue(queue)?.jobs.len();
    loop {
        let jobs = &queues.queue(queue)?.jobs;
        if jobs.len() < before || jobs.iter().all(|job| job.state == State::Done) {
            return Ok(());
        }
        if jobs.iter().any(|job| job.state == State::Done) {
            return Ok(());
        }
        before = before.max(jobs.len());
        match deadline {
            None => ENDED.wait(&mut queues),
            Some(deadline) => {
                if ENDED.wait_until(&mut queues, deadline).timed_out() {
                    return Err(Error::timeout("Wait timed out."));
                }
            }
        }
    }
}

/// Cancels a job. True when it runs: its script is made to end, as soon as it
/// can be.
///
/// # Errors
/// There is none.
pub fn cancel(queue: &str, id: &str) -> Result<bool> {
    let mut queues = QUEUES.lock();
    let queue = queues.queue(queue)?;
    let job = find(queue, id)?;
    job.cancelled = true;
    match job.state {
        State::Running => {
            if let Some(worker) = &job.worker {
                worker.cancel();
            }
            Ok(true)
        }
        State::Done => Ok(false),
        State::Scheduled => {
            job.state = State::Done;
            job.ended = Some(SystemTime::now());
            job.outcome = Some(Err(ScriptError::from(job_cancelled())));
            if job.detached {
                queue.jobs.retain(|job| job.id != id);
            }
            ENDED.notify_all();
            Ok(false)
        }
    }
}
