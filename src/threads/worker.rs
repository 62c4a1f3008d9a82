//! `Worker`: one thread with an interpreter, and its queue.
//!
//! Its life: *starting* while the interpreter is made and the init script runs,
//! *running*, *ending* when somebody has asked for it, *over*. Jobs wait in a
//! queue behind the lock that also guards the stage; the thread is woken by an
//! event of Tcl's, so it waits as every thread of Tcl's does.

use super::job::{evaluation, Evaluated, Job, Task};
use super::pool::Queue;
use super::{give_way_to_exit, gone, is_exiting, remember, HOOKS};
use crate::base::{log, Error, Result};
use crate::tcl::interp::{Canceller, Preserved, ScriptError};
use crate::tcl::script::{Call, Completion, Whole};
use crate::tcl::thread::{self, Body, ThreadId};
use crate::tcl::{lifetime, Failure, Interp, Obj};
use parking_lot::{Condvar, Mutex};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::{mpsc, Arc};
use std::time::Instant;

/// Has `unknown` load the package ws when one of its commands is called.
const AUTO_INDEX: &str = "foreach name {Accept listen handshake send ping close subscribe unsubscribe \
    subscribers topics multicast client::open client::send client::receive client::close} {\n\
    set ::auto_index(::ws::$name) {package require ws}\n}\nunset name";

/// How a worker begins.
#[derive(Clone, Default)]
pub struct Setup {
    /// The thread's name, in the log and elsewhere.
    pub name: String,
    /// Evaluated in its interpreter before anything else.
    pub init: String,
    /// Its `auto_path`, unless that of a fresh interpreter shall do.
    pub auto_path: Option<String>,
    /// Called in the thread before the init script.
    pub prepare: Option<Arc<dyn Fn(Interp) -> Result<()> + Send + Sync>>,
    /// A thread that was told to `retire` ends when this says so. It is asked
    /// after each event.
    pub may_retire: Option<fn() -> bool>,
}

impl Setup {
    /// A thread called `name`, which finds packages where `interp` does.
    pub fn new(interp: Interp, name: impl Into<String>, init: impl Into<String>) -> Setup {
        Setup {
            name: name.into(),
            init: init.into(),
            auto_path: interp.global(c"auto_path").map(|path| path.text().into_owned()),
            ..Setup::default()
        }
    }
}

/// Where a worker is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Starting,
    Running,
    /// It ends when what it does allows it.
    Retiring,
    /// It ends when the job is done that it does.
    Ending,
    /// It has left its event loop for good, or waits for the process to end.
    Over,
}

struct State {
    stage: Stage,
    jobs: VecDeque<Job>,
    thread: Option<ThreadId>,
    /// While scripts can run.
    canceller: Option<Canceller>,
    /// Why it could not be started.
    failure: Option<ScriptError>,
    /// Over, and to be joined by whoever takes this away.
    to_join: bool,
}

/// What a worker shares with those who know it.
pub(super) struct Shared {
    name: String,
    state: Mutex<State>,
    /// Told when the stage changes.
    changed: Condvar,
    queue: Option<Arc<Queue>>,
}

/// A handle of a thread with an interpreter. The thread goes on when the last
/// handle is dropped.
#[derive(Clone)]
pub struct Worker(Arc<Shared>);

impl PartialEq for Worker {
    fn eq(&self, other: &Worker) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Worker {
    pub(super) fn from_shared(shared: &Arc<Shared>) -> Worker {
        Worker(Arc::clone(shared))
    }

    /// Starts a thread, and waits until its init script was evaluated.
    ///
    /// # Errors
    /// That of the init script, with its stack trace; no thread is left then.
    pub fn start(setup: Setup) -> std::result::Result<Worker, ScriptError> {
        Worker::start_for(setup, None)
    }

    pub(super) fn start_for(
        setup: Setup,
        queue: Option<Arc<Queue>>,
    ) -> std::result::Result<Worker, ScriptError> {
        if is_exiting() {
            return Err(Error::new("cannot start a thread: the process ends").into());
        }
        let shared = Arc::new(Shared {
            name: setup.name.clone(),
            state: Mutex::new(State {
                stage: Stage::Starting,
                jobs: VecDeque::new(),
                thread: None,
                canceller: None,
                failure: None,
                to_join: false,
            }),
            changed: Condvar::new(),
            queue,
        });
        remember(&shared);
        let theirs = Arc::clone(&shared);
        let started = thread::start(Box::new(move || Local::make(theirs, setup)));
        let worker = Worker(shared);
        let mut state = worker.0.state.lock();
        let Some(id) = started else {
            state.stage = Stage::Over;
            let name = &worker.0.name;
            let reason = "this Tcl has no threads, or the system has none left";
            return Err(Error::new(format!("cannot start thread \"{name}\": {reason}")).into());
        };
        state.thread = Some(id);
        while state.stage == Stage::Starting {
            worker.0.changed.wait(&mut state);
        }
        let ended = matches!(state.stage, Stage::Ending | Stage::Over);
        let failure = state.failure.take().or_else(|| ended.then(|| gone(&worker.0.name)));
        drop(state);
        match failure {
            Some(error) => {
                worker.wait(None);
                Err(error)
            }
            None => Ok(worker),
        }
    }

    /// The worker that the calling thread is.
    pub fn current() -> Option<Worker> {
        local().map(|local| Worker(Arc::clone(&local.shared)))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Gives it a job, to be done after those that wait already. False, and the
    /// job is dropped, when it has ended or is about to.
    pub fn post(&self, job: Job) -> bool {
        let mut state = self.0.state.lock();
        if matches!(state.stage, Stage::Ending | Stage::Over) {
            drop(state);
            drop(job);
            return false;
        }
        state.jobs.push_back(job);
        let thread = state.thread;
        drop(state);
        wake(thread);
        true
    }

    /// Evaluates a script in its interpreter and waits for the outcome. In the
    /// worker itself that is done at once; a worker that waits for another one
    /// goes on with its own jobs meanwhile, so that two may wait for each other.
    ///
    /// # Errors
    /// That of the script, or the thread has ended before.
    pub fn evaluate(&self, script: &str) -> Evaluated {
        self.begin_evaluation(script).wait()
    }

    /// Begins what `evaluate` does.
    pub fn begin_evaluation(&self, script: &str) -> Evaluating {
        let (reply, outcome) = mpsc::channel();
        let here = local().filter(|local| Arc::ptr_eq(&local.shared, &self.0));
        if let Some(interp) = here.and_then(|local| local.interp()) {
            let code = interp.eval_global(&Obj::from_str(script));
            let _ = reply.send(outcome_of(interp, code));
        } else {
            self.post(evaluation(script.to_owned(), move |outcome| {
                // Nobody waits any more: nobody wants to know.
                let _ = reply.send(outcome);
            }));
        }
        Evaluating { worker: self.clone(), outcome }
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().jobs.len()
    }

    /// Whether it has ended, or is about to.
    pub fn is_ending(&self) -> bool {
        matches!(self.0.state.lock().stage, Stage::Ending | Stage::Over)
    }

    /// Asks the thread to end, when the job is done that it does. Those that
    /// still wait are dropped.
    pub fn end(&self) {
        self.leave_for(Stage::Ending);
    }

    /// Asks the thread to end as soon as `Setup::may_retire` allows it, without
    /// that at once. Until then it goes on as before.
    pub fn retire(&self) {
        self.leave_for(Stage::Retiring);
    }

    fn leave_for(&self, stage: Stage) {
        let mut state = self.0.state.lock();
        let goes_on = match state.stage {
            Stage::Starting | Stage::Running => true,
            Stage::Retiring => stage == Stage::Ending,
            Stage::Ending | Stage::Over => false,
        };
        if goes_on {
            state.stage = stage;
            let dropped =
                if stage == Stage::Ending { std::mem::take(&mut state.jobs) } else { VecDeque::new() };
            let thread = state.thread;
            self.0.changed.notify_all();
            drop(state);
            // Not under the lock: who waits for a job may have its own.
            drop(dropped);
            wake(thread);
        }
    }

    /// Has the script that the thread evaluates unwind, past every `catch`.
    pub fn cancel(&self) {
        if let Some(canceller) = &self.0.state.lock().canceller {
            canceller.cancel();
        }
    }

    /// Waits until the thread has ended, at most until then. Whether it has.
    pub fn wait(&self, until: Option<Instant>) -> bool {
        let mut state = self.0.state.lock();
        while state.stage != Stage::Over {
            match until {
                None => self.0.changed.wait(&mut state),
                Some(until) => {
                    if self.0.changed.wait_until(&mut state, until).timed_out() {
                        break;
                    }
                }
            }
        }
        let over = state.stage == Stage::Over;
        drop(state);
        if over {
            self.join();
        }
        over
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.state.lock().stage == Stage::Over
    }

    /// Joins the thread, which is over, if nobody has.
    pub(super) fn join(&self) {
        let mut state = self.0.state.lock();
        let thread = if std::mem::take(&mut state.to_join) { state.thread } else { None };
        drop(state);
        if let Some(thread) = thread.filter(|thread| *thread != ThreadId::current()) {
            thread.join();
        }
    }

    /// The calling thread will do nothing any more, and never return.
    pub(super) fn park(&self) {
        self.0.conclude(false);
    }

    pub(super) fn wake(&self) {
        let thread = self.0.state.lock().thread;
        wake(thread);
    }
}

fn wake(thread: Option<ThreadId>) {
    // Of one that is still being started: it looks when it has begun.
    if let Some(thread) = thread {
        thread.wake();
    }
}

/// An evaluation that was begun.
pub struct Evaluating {
    worker: Worker,
    outcome: mpsc::Receiver<Evaluated>,
}

impl Evaluating {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// That of the script, or the thread has ended before.
    pub fn wait(self) -> Evaluated {
        let ended = || gone(self.worker.name());
        match local() {
            None => self.outcome.recv().unwrap_or_else(|_| Err(ended())),
            Some(local) => loop {
                match self.outcome.recv_timeout(OWN_JOBS) {
                    Ok(outcome) => return outcome,
                    Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ended()),
                    Err(mpsc::RecvTimeoutError::Timeout) => local.work_while_waiting(),
                }
            },
        }
    }
}

/// How often a worker that waits for another one looks at its own queue.
const OWN_JOBS: std::time::Duration = std::time::Duration::from_millis(5);

impl Shared {
    /// The thread is over.
    fn conclude(&self, to_join: bool) {
        let mut state = self.state.lock();
        if state.stage == Stage::Over {
            return;
        }
        if state.stage == Stage::Starting && state.failure.is_none() {
            state.failure = Some(gone(&self.name));
        }
        state.stage = Stage::Over;
        state.to_join = to_join;
        state.canceller = None;
        let dropped = std::mem::take(&mut state.jobs);
        self.changed.notify_all();
        drop(state);
        drop(dropped);
    }

    fn next_job(self: &Arc<Shared>, is_idle: bool) -> Option<Job> {
        let mut state = self.state.lock();
        if matches!(state.stage, Stage::Ending | Stage::Over) {
            return None;
        }
        if let Some(job) = state.jobs.pop_front() {
            return Some(job);
        }
        let is_running = state.stage == Stage::Running;
        drop(state);
        let queue = self.queue.as_ref().filter(|_| is_running && is_idle)?;
        queue.take(self)
    }
}

/// The thread's own side.
struct Local {
    shared: Arc<Shared>,
    setup: Setup,
    interp: RefCell<Option<Preserved>>,
    /// What is being done.
    task: RefCell<Option<Box<dyn Task>>>,
    /// The script that is being evaluated.
    script: RefCell<Option<Whole>>,
    /// A job is being done, perhaps between two of its scripts.
    busy: Cell<bool>,
    /// The init script has ended.
    initialized: Cell<bool>,
    /// It ends in an orderly way, of its own accord.
    leaving: Cell<bool>,
}

thread_local! {
    static LOCAL: RefCell<Weak<Local>> = const { RefCell::new(Weak::new()) };
}

fn local() -> Option<Rc<Local>> {
    LOCAL.try_with(|slot| slot.borrow().upgrade()).ok().flatten()
}

fn outcome_of(interp: Interp, code: i32) -> Evaluated {
    match crate::tcl::script::completion(interp, code) {
        Completion::Ok(result) => Ok(result.text().into_owned()),
        Completion::Error(message) => Err(interp.script_error(message)),
    }
}

impl Local {
    fn make(shared: Arc<Shared>, setup: Setup) -> Rc<dyn Body> {
        let local = Rc::new(Local {
            shared,
            setup,
            interp: RefCell::default(),
            task: RefCell::default(),
            script: RefCell::default(),
            busy: Cell::new(false),
            initialized: Cell::new(false),
            leaving: Cell::new(false),
        });
        LOCAL.with(|slot| slot.replace(Rc::downgrade(&local)));
        local
    }

    fn interp(&self) -> Option<Interp> {
        self.interp.borrow().as_ref().map(Preserved::interp)
    }

    /// Makes the interpreter; all that comes before the init script.
    fn prepare(&self) -> std::result::Result<(), ScriptError> {
        let interp = Interp::create()?;
        self.interp.replace(Some(interp.preserve()));
        if let Some(path) = &self.setup.auto_path {
            interp.set_global(c"auto_path", &Obj::from_str(path));
        }
        // Commands of the package that are written in Tcl are found when used.
        interp.eval_global(&Obj::from_str(AUTO_INDEX));
        if let Some(hooks) = HOOKS.get() {
            (hooks.install)(interp).map_err(|failure| match failure {
                Failure::Error(error) => error.into(),
                Failure::Code(_) => interp.script_error(interp.result().text().into_owned()),
            })?;
        }
        if let Some(prepare) = &self.setup.prepare {
            prepare(interp)?;
        }
        self.shared.state.lock().canceller = Some(interp.canceller());
        Ok(())
    }

    fn fail(&self, error: ScriptError) {
        let mut state = self.shared.state.lock();
        state.failure = Some(error);
        if state.stage == Stage::Starting || state.stage == Stage::Running {
            state.stage = Stage::Ending;
        }
        self.shared.changed.notify_all();
    }

    /// Whether the worker has nothing to do but to wait for jobs.
    fn is_idle(&self) -> bool {
        !self.busy.get() && self.initialized.get()
    }

    /// Does what waits, while another worker is waited for.
    fn work_while_waiting(&self) {
        let Some(interp) = self.interp() else { return };
        while let Some(job) = self.shared.next_job(false) {
            let Some(mut task) = job(interp) else { continue };
            while let Some(script) = task.next(interp) {
                let whole = Whole::new(interp, script);
                let code = interp.eval_global(whole.script());
                task.ended(interp, whole.complete(code), code);
            }
        }
    }
}

impl Body for Local {
    fn begin(&self) {
        log::set_thread_name(&self.shared.name);
        lifetime::at_thread_exit(torn_down);
        match self.prepare() {
            Ok(()) => {
                self.busy.set(true);
                self.task.replace(Some(Box::new(Init(Some(self.setup.init.clone())))));
            }
            Err(error) => self.fail(error),
        }
    }

    fn next_call(&self) -> Option<Call> {
        if self.script.borrow().is_some() {
            return None; // inside a script of a job
        }
        let interp = self.interp().filter(|interp| !interp.is_deleted())?;
        loop {
            // Taken out while it is asked: it may enter the event loop.
            let claim = Claim(&self.busy);
            if let Some(mut task) = self.task.take() {
                if let Some(script) = task.next(interp) {
                    let whole = Whole::new(interp, script);
                    let call = whole.call();
                    self.task.replace(Some(task));
                    self.script.replace(Some(whole));
                    claim.keep();
                    return Some(call);
                }
            } else if self.busy.get() {
                claim.keep();
                return None;
            } else {
                let job = self.shared.next_job(self.is_idle())?;
                self.busy.set(true);
                if let Some(task) = job(interp) {
                    self.task.replace(Some(task));
                    claim.keep();
                }
            }
        }
    }

    fn finished(&self, code: i32) {
        let Some(whole) = self.script.take() else { return };
        let Some(interp) = self.interp() else { return };
        let completion = whole.complete(code);
        let claim = Claim(&self.busy);
        // Taken out meanwhile: it may ask about the worker.
        if let Some(mut task) = self.task.take() {
            task.ended(interp, completion, code);
            self.task.replace(Some(task));
            claim.keep();
        }
    }

    fn goes_on(&self) -> bool {
        let stage = self.shared.state.lock().stage;
        let lives = self.interp().is_some_and(|interp| !interp.is_deleted());
        lives
            && match stage {
                Stage::Starting | Stage::Running => true,
                Stage::Retiring => self.setup.may_retire.is_some_and(|may| !may()),
                Stage::Ending | Stage::Over => false,
            }
    }

    fn end(&self) {
        self.leaving.set(true);
        self.shared.state.lock().stage = Stage::Ending;
        let Some(preserved) = self.interp.borrow().as_ref().map(|p| p.interp().preserve()) else { return };
        let interp = preserved.interp();
        if let Some(hooks) = HOOKS.get() {
            (hooks.farewell)();
        }
        self.shared.state.lock().canceller = None;
        interp.delete();
    }
}

/// Ends the job that is being done, unless it is kept: also by a panic.
struct Claim<'a>(&'a Cell<bool>);

impl Claim<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The init script, as the first task.
struct Init(Option<String>);

impl Task for Init {
    fn next(&mut self, _interp: Interp) -> Option<Obj> {
        self.0.take().map(|script| Obj::from_str(&script))
    }

    fn finished(&mut self, interp: Interp, completion: Completion) {
        let Some(local) = local() else { return };
        match completion {
            Completion::Error(message) => local.fail(interp.script_error(message)),
            Completion::Ok(_) => {
                local.initialized.set(true);
                // The script may have loaded libraries.
                lifetime::come_first_at_process_exit();
                let mut state = local.shared.state.lock();
                if state.stage == Stage::Starting {
                    state.stage = Stage::Running;
                }
                local.shared.changed.notify_all();
            }
        }
    }
}

/// The thread ends, of its own accord or because a script has ended it.
fn torn_down() {
    let Some(local) = local() else { return };
    if !local.leaving.get() {
        give_way_to_exit();
    }
    drop((local.script.take(), local.task.take()));
    drop(local.interp.take());
    if let Some(queue) = &local.shared.queue {
        queue.leave(&local.shared);
    }
    local.shared.conclude(true);
}
