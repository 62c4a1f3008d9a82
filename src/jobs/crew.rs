//! The threads that do jobs. Each takes the next job that may run, of whichever
//! queue; when there is none it waits, and ends when that takes too long.

use super::queue::{queues, Queues};
use super::{blueprint, outcome, Outcome};
use crate::base::{log, Error, Result};
use crate::tcl::interp::ScriptError;
use crate::tcl::script::Completion;
use crate::tcl::{Interp, Obj};
use crate::threads::{is_exiting, Setup, Task, Worker};
use std::time::{Duration, Instant};

/// Evaluated after each job: what it has left behind goes (spec/support.md 2.5).
const CLEANUP: &str = "::ns_connchan::cleanup";

/// The threads.
pub struct Crew {
    /// Those that wait, and since when; the last is the one that was busy last.
    idle: Vec<(Worker, Instant)>,
    /// All that live.
    pub(super) threads: usize,
    /// Those that were called to work and have not looked for a job yet.
    coming: usize,
    /// Somebody is going to look for those that wait too long.
    watched: bool,
    serial: u64,
}

impl Crew {
    pub(super) const fn new() -> Crew {
        Crew { idle: Vec::new(), threads: 0, coming: 0, watched: false, serial: 0 }
    }

    /// How many wait.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How many there are.
    pub fn threads(&self) -> usize {
        self.threads
    }
}

/// Sees to it that a job which may run does: by a thread that waits, or else by
/// a new one.
///
/// # Errors
/// No thread can be started.
pub(super) fn engage(interp: Interp) -> Result<()> {
    engage_with(|name| blueprint::setup(interp, name))
}

fn engage_with(setup: impl FnOnce(&str) -> Result<Setup>) -> Result<()> {
    let mut all = queues();
    dismiss(&mut all);
    if all.startable() <= all.crew.coming {
        return Ok(());
    }
    all.crew.coming += 1;
    while let Some((worker, _)) = all.crew.idle.pop() {
        if worker.post(Box::new(move |interp| Some(Box::new(Shift::new(interp))))) {
            return Ok(());
        }
        all.crew.threads = all.crew.threads.saturating_sub(1);
    }
    if all.crew.threads >= all.most_at_once() {
        // One of them is done with its job and about to look for the next. It is
        // the better one: its namespaces know what earlier jobs have left there.
        all.crew.coming -= 1;
        return Ok(());
    }
    all.crew.serial += 1;
    all.crew.threads += 1;
    let name = format!("-nsjob:{}-", all.crew.serial);
    drop(all);
    let known = blueprint::replays();
    let started = setup(&name).and_then(|setup| start(setup, known));
    if started.is_err() {
        let mut all = queues();
        all.crew.threads -= 1;
        all.crew.coming = all.crew.coming.saturating_sub(1);
    }
    started
}

/// The same in place of a thread that goes, from a thread that nobody waits
/// for: whoever made it may be waiting for the very job.
fn engage_another() {
    let engage = || {
        let setup = |name: &str| {
            blueprint::setup_again(name).ok_or_else(|| Error::new("no thread was started before"))
        };
        if let Err(error) = engage_with(setup) {
            if !is_exiting() {
                log::write(log::ERROR, &format!("cannot start a thread for a job: {error}"));
            }
        }
    };
    // Without threads there will be none for the job, either.
    let _ = std::thread::Builder::new().spawn(engage);
}

fn start(setup: Setup, known: usize) -> Result<()> {
    let worker = Worker::start(setup).map_err(|error| Error::new(error.message))?;
    let begin = move |interp: Interp| {
        let mut shift = Shift::new(interp);
        shift.replayed = known;
        Some(Box::new(shift) as Box<dyn Task>)
    };
    match worker.post(Box::new(begin)) {
        true => Ok(()),
        false => Err(Error::new("the thread for the job has ended")),
    }
}

/// Has threads end that wait too long, when that time has come.
fn watch_idle() {
    /// Not at once when the time is over: others may be about to wait.
    const SLACK: Duration = Duration::from_millis(100);
    let timeout = queues().settings.timeout.as_duration();
    let Some(time) = Instant::now().checked_add(timeout + SLACK) else { return };
    super::ask_office_at(time, |_| {
        let mut all = queues();
        dismiss(&mut all);
        all.crew.watched = !all.crew.idle.is_empty();
        let again = all.crew.watched;
        drop(all);
        if again {
            watch_idle();
        }
    });
}

/// Ends threads that have waited too long.
pub fn dismiss(all: &mut Queues) {
    let timeout = all.settings.timeout.as_duration();
    let now = Instant::now();
    let stays = |since: &Instant| now.duration_since(*since) <= timeout;
    let crew = &mut all.crew;
    let before = crew.idle.len();
    crew.idle.retain(|(worker, since)| {
        let stays = stays(since);
        if !stays {
            worker.end();
        }
        stays
    });
    crew.threads = crew.threads.saturating_sub(before - crew.idle.len());
}

/// What a thread does between two times of waiting.
struct Shift {
    step: Step,
    /// What it does: queue and id.
    job: Option<(String, String)>,
    replayed: usize,
    /// It has looked for a job.
    arrived: bool,
    /// The thread has gone idle, or is no longer counted.
    settled: bool,
    /// What the job has left behind was to be removed, and that failed.
    unclean: bool,
}

/// A thread's memory between shifts.
#[derive(Default)]
struct Memory {
    replayed: std::cell::Cell<usize>,
    jobs: std::cell::Cell<usize>,
}

enum Step {
    /// To look for a job.
    Look,
    /// To evaluate it, after what everybody was told meanwhile.
    Begin(String),
    /// It is being evaluated.
    Job,
    /// To clean up.
    Clean,
    /// The thread is to end.
    Leave,
}

impl Shift {
    fn new(interp: Interp) -> Shift {
        let memory = crate::tcl::lifetime::state::<Memory>(interp);
        Shift {
            step: Step::Look,
            job: None,
            replayed: memory.replayed.get(),
            arrived: false,
            settled: false,
            unclean: false,
        }
    }

    /// Takes a job, or goes idle.
    fn look(&mut self) -> Option<String> {
        let worker = Worker::current()?;
        let mut all = queues();
        if !std::mem::replace(&mut self.arrived, true) {
            all.crew.coming = all.crew.coming.saturating_sub(1);
        }
        match all.next(&worker) {
            Some((queue, id, script)) => {
                self.job = Some((queue, id));
                self.unclean = false;
                Some(script)
            }
            None => {
                self.settled = true;
                all.crew.idle.push((worker, Instant::now()));
                let watch = !std::mem::replace(&mut all.crew.watched, true);
                drop(all);
                if watch {
                    watch_idle();
                }
                None
            }
        }
    }

    fn finish(&mut self, interp: Interp, completion: Completion) {
        let Some((queue, id)) = self.job.take() else { return };
        report(&queue, &id, outcome(interp, completion));
    }
}

/// Tells how a job has ended.
fn report(queue: &str, id: &str, outcome: Outcome) {
    let mut all = queues();
    let least = all.settings.log_min_duration.as_duration();
    let Some((outcome, detached, duration)) = all.finish(queue, id, outcome) else { return };
    drop(all);
    // One that the end of the process has cut short is no failure.
    if let (true, false, Err(error)) = (detached, is_exiting(), &outcome) {
        log::write(log::ERROR, &format!("{}\n    (context: detached job)", error.info));
    }
    if duration > least && least > Duration::ZERO {
        let seconds = duration.as_secs_f64();
        log::write(log::NOTICE, &format!("ns_job: job {id} of queue {queue} took {seconds:.3}s"));
    }
}

impl Task for Shift {
    fn next(&mut self, interp: Interp) -> Option<Obj> {
        if matches!(self.step, Step::Look) {
            self.step = Step::Begin(self.look()?);
        }
        match std::mem::replace(&mut self.step, Step::Leave) {
            Step::Begin(script) => match blueprint::replays_since(self.replayed) {
                Some((replays, count)) => {
                    self.replayed = count;
                    self.step = Step::Begin(script);
                    Some(Obj::from_str(&replays))
                }
                None => {
                    if let (Some((queue, _)), Some(worker)) = (&self.job, Worker::current()) {
                        let number =
                            worker.name().trim_matches('-').rsplit(':').next().unwrap_or_default().to_owned();
                        log::set_thread_name(&format!("-nsjob:{queue}:{number}-"));
                    }
                    self.step = Step::Job;
                    Some(Obj::from_str(&script))
                }
            },
            Step::Clean => {
                self.step = Step::Look;
                let memory = crate::tcl::lifetime::state::<Memory>(interp);
                memory.replayed.set(self.replayed);
                let most = queues().settings.jobs_per_thread;
                if most > 0 && memory.jobs.get() >= most {
                    self.step = Step::Leave;
                }
                Some(Obj::from_str(CLEANUP))
            }
            Step::Leave => {
                self.settled = true;
                leave();
                None
            }
            Step::Look | Step::Job => None,
        }
    }

    fn finished(&mut self, interp: Interp, completion: Completion) {
        match self.step {
            Step::Job => {
                // It may have loaded libraries.
                crate::tcl::lifetime::come_first_at_process_exit();
                self.finish(interp, completion);
                let jobs = &crate::tcl::lifetime::state::<Memory>(interp).jobs;
                jobs.set(jobs.get() + 1);
                self.step = Step::Clean;
            }
            // The job was cancelled when it had just ended: that has hit this script.
            Step::Look | Step::Leave if matches!(completion, Completion::Error(_)) && !self.unclean => {
                self.unclean = true;
                self.step = Step::Clean;
            }
            _ => {
                if let Completion::Error(message) = completion {
                    crate::connchan::home::log_script_error(interp, &message, "job thread");
                }
            }
        }
    }
}

/// The thread is used up: another takes over what waits.
fn leave() {
    queues().crew.threads -= 1;
    engage_another();
    if let Some(worker) = Worker::current() {
        worker.end();
    }
}

/// The script has ended its thread.
impl Drop for Shift {
    fn drop(&mut self) {
        if !self.arrived {
            let mut all = queues();
            all.crew.coming = all.crew.coming.saturating_sub(1);
        }
        if let Some((queue, id)) = self.job.take() {
            report(&queue, &id, Err(ScriptError::from(Error::new("the job has ended its thread"))));
        }
        if !self.settled {
            let mut all = queues();
            all.crew.threads = all.crew.threads.saturating_sub(1);
            let waits = all.startable() > 0;
            drop(all);
            if waits {
                engage_another();
            }
        }
    }
}
