//! A handle: the slot of a pool that one caller owns at a time, and what its
//! worker is doing (spec/ns_proxy.md section 6).
//!
//! The owner sends, waits and receives, one thing at a time. Other threads may
//! look, and may stop the worker. Nothing is locked while waiting.

use super::fault::{Fault, Problem};
use super::pool::Pool;
use super::reaper;
use super::settings::Settings;
use super::worker::{Answer, OwnProgram, ReceiveError, Script, SendError, Wait, Worker};
use crate::base::time_value::TimeValue;
use crate::net::receive::Body;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How much of a script is kept for `active`.
const KEPT: usize = 64 * 1024;

/// Finds out how to start a worker of our own. Asked only when one is started.
pub type Own<'a> = &'a dyn Fn() -> OwnProgram;

/// What a handle is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing.
    Idle,
    /// A script was sent.
    Busy,
    /// Its result was waited for.
    Done,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Busy => "busy",
            State::Done => "done",
        }
    }
}

/// What others may see of a script: the beginning of a long one.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Text.
    Text(Vec<u8>),
    /// The words of a command.
    Words(Vec<Vec<u8>>),
}

/// A script that was sent.
#[derive(Clone, Debug)]
struct Sent {
    script: Kept,
    started: SystemTime,
    at: Instant,
}

struct Inner {
    worker: Option<Arc<Worker>>,
    state: State,
    /// The worker was stopped while it had a script.
    stopped: bool,
    sent: Option<Sent>,
    /// Settings when the handle was got.
    settings: Arc<Settings>,
    /// Who owns it; 0 for nobody.
    owner: u64,
    /// When it became free.
    free_since: Instant,
    /// Processes that were started.
    created: u32,
}

/// A handle.
pub struct Handle {
    name: String,
    pool: &'static Pool,
    inner: Mutex<Inner>,
}

/// What is shown of a handle by `workers`, `pids` and `active`.
pub struct View {
    /// Process id, 0 for none.
    pub pid: i32,
    /// Scripts that the process was sent.
    pub runs: u32,
    /// Processes started so far.
    pub created: u32,
    /// What it is doing.
    pub state: State,
    /// When it was sent its script, and that script.
    pub active: Option<(SystemTime, Kept)>,
}

/// Why there is no worker.
enum StartError {
    Answer(ReceiveError),
    Init { message: Vec<u8>, info: Vec<u8> },
}

impl Handle {
    /// A handle that nobody owns, without a process.
    pub(super) fn new(name: String, pool: &'static Pool, settings: Arc<Settings>) -> Arc<Handle> {
        Arc::new(Handle {
            name,
            pool,
            inner: Mutex::new(Inner {
                worker: None,
                state: State::Idle,
                stopped: false,
                sent: None,
                settings,
                owner: 0,
                free_since: Instant::now(),
                created: 0,
            }),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pool.
    pub fn pool(&self) -> &'static Pool {
        self.pool
    }

    /// Whether it belongs to that owner.
    pub fn is_owned_by(&self, owner: u64) -> bool {
        self.inner.lock().owner == owner
    }

    /// Gives it to an owner, with the settings of now.
    pub(super) fn hand_out(&self, owner: u64, settings: Arc<Settings>) {
        let mut inner = self.inner.lock();
        inner.owner = owner;
        inner.settings = settings;
    }

    /// Takes it from its owner. When it became free.
    pub(super) fn take_back(&self) -> (Instant, bool) {
        let mut inner = self.inner.lock();
        inner.owner = 0;
        inner.state = State::Idle;
        inner.stopped = false;
        inner.sent = None;
        inner.free_since = Instant::now();
        (inner.free_since, inner.worker.is_some())
    }

    /// What there is to show.
    pub fn view(&self) -> View {
        let inner = self.inner.lock();
        View {
            pid: inner.worker.as_ref().map_or(0, |w| w.pid()),
            runs: inner.worker.as_ref().map_or(0, |w| w.runs()),
            created: inner.created,
            state: inner.state,
            active: inner.sent.as_ref().map(|sent| (sent.started, sent.script.clone())),
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.inner.lock().state
    }

    /// Whether it has a process.
    pub fn has_process(&self) -> bool {
        self.inner.lock().worker.is_some()
    }

    /// Whether scripts may be sent to it in words.
    pub fn takes_words(&self) -> bool {
        self.worker().is_some_and(|w| w.takes_words()) && self.pool.settings().exec.is_empty()
    }

    /// Its worker.
    pub fn worker(&self) -> Option<Arc<Worker>> {
        self.inner.lock().worker.clone()
    }

    pub(super) fn is_working_with(&self, worker: &Arc<Worker>) -> bool {
        let inner = self.inner.lock();
        inner.state == State::Busy && inner.worker.as_ref().is_some_and(|w| Arc::ptr_eq(w, worker))
    }

    /// The process of `worker` has ended: an idle handle lets go of it. One
    /// that is waiting hears of it by its line.
    pub(super) fn forget(&self, worker: &Arc<Worker>) {
        let mut inner = self.inner.lock();
        if inner.owner == 0 && inner.worker.as_ref().is_some_and(|w| Arc::ptr_eq(w, worker)) {
            inner.worker = None;
        }
    }

    fn patience(&self) -> Duration {
        self.inner.lock().settings.waittimeout.as_duration()
    }

    fn retire(&self, worker: &Arc<Worker>) {
        reaper::retire(worker, self.patience());
    }

    /// Ends the worker of a handle that was sent a script.
    pub fn stop(&self) {
        let worker = {
            let mut inner = self.inner.lock();
            if inner.state == State::Idle {
                return;
            }
            inner.stopped = true;
            inner.worker.take()
        };
        if let Some(worker) = worker {
            self.retire(&worker);
        }
    }

    /// Ends its worker, of which nothing is expected any more.
    pub fn discard(&self) {
        let worker = self.inner.lock().worker.take();
        if let Some(worker) = worker {
            self.retire(&worker);
        }
    }

    /// Ends the worker of a handle that has been free since before `before`;
    /// else since when it has been.
    pub(super) fn expire(&self, now: Instant, idle: Duration) -> Option<Instant> {
        let worker = {
            let mut inner = self.inner.lock();
            if inner.owner != 0 || inner.worker.is_none() {
                return None;
            }
            let due = inner.free_since.checked_add(idle)?;
            if due > now {
                return Some(due);
            }
            inner.worker.take()
        };
        if let Some(worker) = worker {
            self.retire(&worker);
        }
        None
    }

    /// Starts a process, unless there is one that is ready. True when it has
    /// yet to answer.
    pub fn begin(self: &Arc<Self>, own: Own) -> Result<bool, Problem> {
        if let Some(worker) = self.worker() {
            if worker.is_ready() {
                return Ok(false);
            }
            self.discard();
        }
        self.spawn(own).map(|_| true).map_err(|e| Fault::Exec.allocating(self.pool.name()).because(&e))
    }

    /// Says the first word to a process that `begin` has started.
    pub fn greet(&self, own: Own) -> Result<(), Problem> {
        self.step(|worker| self.say_hello(worker, own))
    }

    /// Waits until it answers, and sends the init script. True if there is one.
    pub fn begin_init(&self) -> Result<bool, Problem> {
        self.step(|worker| self.send_init(worker))
    }

    /// Waits for the end of the init script.
    pub fn end_init(&self) -> Result<(), Problem> {
        self.step(|worker| self.await_init(worker))
    }

    /// A step in starting a worker on behalf of `get`; when it fails the worker
    /// is discarded.
    fn step<T: Default>(
        &self,
        step: impl FnOnce(&Arc<Worker>) -> Result<T, StartError>,
    ) -> Result<T, Problem> {
        let Some(worker) = self.worker() else { return Ok(T::default()) };
        step(&worker).map_err(|error| {
            self.discard();
            match error {
                StartError::Init { message, info } => Problem::of_init(message, info),
                StartError::Answer(error) => self.no_answer(&error),
            }
        })
    }

    fn spawn(self: &Arc<Self>, own: Own) -> std::io::Result<Arc<Worker>> {
        reaper::start()?;
        let settings = self.pool.settings();
        let worker = Arc::new(Worker::spawn(self.pool.name(), &self.name, &settings, &own())?);
        reaper::watch(&worker, self);
        let mut inner = self.inner.lock();
        inner.created += 1;
        inner.worker = Some(Arc::clone(&worker));
        Ok(worker)
    }

    /// The first exchanges with a new worker.
    fn initialize(&self, worker: &Arc<Worker>, own: Own) -> Result<(), StartError> {
        self.say_hello(worker, own)?;
        if self.send_init(worker)? {
            self.await_init(worker)?;
        }
        Ok(())
    }

    fn say_hello(&self, worker: &Arc<Worker>, own: Own) -> Result<(), StartError> {
        let limit = self.pool.settings().sendtimeout.as_duration();
        let hello = if worker.takes_words() { own().prelude } else { Vec::new() };
        worker.send(Script::Text(&hello), limit).map_err(|_| StartError::Answer(ReceiveError::Lost))
    }

    /// What a new worker answers; a failure is one of its initialisation.
    fn hear(&self, worker: &Arc<Worker>, time: TimeValue) -> Result<(), StartError> {
        let limit = self.pool.settings().recvtimeout.as_duration();
        let answer: Answer<Vec<u8>> =
            worker.receive(Wait::lasting(time), limit).map_err(StartError::Answer)?;
        if matches!(answer.code, 0 | 2) {
            Ok(())
        } else {
            Err(StartError::Init { message: answer.result, info: answer.error_info })
        }
    }

    fn send_init(&self, worker: &Arc<Worker>) -> Result<bool, StartError> {
        let settings = self.pool.settings();
        self.hear(worker, settings.starttimeout)?;
        if settings.init.is_empty() {
            return Ok(false);
        }
        worker
            .send(Script::Text(&settings.init), settings.sendtimeout.as_duration())
            .map_err(|_| StartError::Answer(ReceiveError::Lost))?;
        Ok(true)
    }

    fn await_init(&self, worker: &Arc<Worker>) -> Result<(), StartError> {
        self.hear(worker, self.pool.settings().evaltimeout)
    }

    /// A worker in place of one that is lost or has served its time, ready to
    /// work.
    fn replace(self: &Arc<Self>, own: Own, script: &Script) -> Result<Arc<Worker>, Problem> {
        self.discard();
        let shown = || shown(script);
        let worker = self.spawn(own).map_err(|e| Fault::Exec.sending(&shown(), &self.name).because(&e))?;
        match self.initialize(&worker, own) {
            Ok(()) => Ok(worker),
            Err(error) => {
                self.discard();
                Err(match error {
                    StartError::Answer(error) => self.no_answer(&error),
                    StartError::Init { info, .. } => {
                        let mut problem = Fault::Init.sending(&shown(), &self.name);
                        let message = &problem.error.message;
                        problem.info = Some([message.as_bytes(), b"\n    while starting: ", &info].concat());
                        problem
                    }
                })
            }
        }
    }

    fn no_answer(&self, error: &ReceiveError) -> Problem {
        match error {
            ReceiveError::Timeout => Fault::EvalTimeout.waiting(&self.name),
            ReceiveError::Lost => Fault::Recv.receiving(&self.name),
            ReceiveError::Malformed => Fault::Import.receiving(&self.name),
        }
    }

    /// Sends a script of the owner's. A worker that has died meanwhile, or has
    /// served its time, is replaced first.
    pub fn send(self: &Arc<Self>, mut script: Script, own: Own) -> Result<(), Problem> {
        let given = script;
        let fault = |fault: Fault| fault.sending(&shown(&given), &self.name);
        let (worker, maxruns, limit) = {
            let inner = self.inner.lock();
            match (inner.state, &inner.worker) {
                (State::Idle, Some(worker)) => {
                    (Arc::clone(worker), inner.settings.maxruns, inner.settings.sendtimeout.as_duration())
                }
                (State::Idle, None) => return Err(fault(Fault::Dead)),
                _ if inner.stopped => return Err(fault(Fault::Dead)),
                _ => return Err(fault(Fault::Busy)),
            }
        };
        if worker.is_foreign() {
            return Err(fault(Fault::Dead));
        }
        let is_spent = maxruns > 0 && i64::from(worker.runs()) >= i64::from(maxruns);
        let (mut worker, mut is_new) = (worker, false);
        if is_spent || !worker.is_ready() {
            (worker, is_new) = (self.replace(own, &script)?, true);
        }
        loop {
            if !worker.takes_words() {
                // The program was changed while this script was made ready.
                match script {
                    Script::Command(text, _) => script = Script::Text(text),
                    Script::Words(_) => return Err(fault(Fault::Send)),
                    Script::Text(_) => {}
                }
            }
            worker.count_run();
            self.enter_busy(&script);
            match worker.send(script, limit) {
                Ok(()) => return Ok(()),
                Err(SendError::Gone) if !is_new && !self.was_stopped() => {
                    self.leave_busy();
                    (worker, is_new) = (self.replace(own, &script)?, true);
                }
                Err(error) => {
                    self.leave_busy();
                    self.discard();
                    let problem = fault(Fault::Send);
                    return Err(match error {
                        SendError::Failed(reason) => problem.because(&reason),
                        SendError::Gone => problem,
                    });
                }
            }
        }
    }

    fn enter_busy(&self, script: &Script) {
        let sent = Sent { script: keep(script), started: SystemTime::now(), at: Instant::now() };
        let mut inner = self.inner.lock();
        inner.state = State::Busy;
        inner.sent = Some(sent);
    }

    /// Back to idle; when its script was sent.
    fn leave_busy(&self) -> Option<Instant> {
        let mut inner = self.inner.lock();
        inner.state = State::Idle;
        inner.stopped = false;
        inner.sent.take().map(|sent| sent.at)
    }

    fn was_stopped(&self) -> bool {
        self.inner.lock().stopped
    }

    /// Waits for the result of the script that was sent; `timeout` not
    /// positive means that of the handle.
    pub fn wait(&self, timeout: TimeValue) -> Result<(), Problem> {
        let worker = {
            let inner = self.inner.lock();
            match inner.state {
                State::Idle => return Err(Fault::Idle.waiting(&self.name)),
                _ if inner.stopped => return Err(Fault::Dead.waiting(&self.name)),
                State::Done => return Ok(()),
                State::Busy => inner.worker.clone(),
            }
        };
        let Some(worker) = worker.filter(|w| !w.is_foreign()) else {
            return Err(Fault::Dead.waiting(&self.name));
        };
        if !worker.await_answer(self.patience_of_evaluation(timeout)) {
            return Err(Fault::EvalTimeout.waiting(&self.name));
        }
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Err(Fault::Dead.waiting(&self.name));
        }
        inner.state = State::Done;
        Ok(())
    }

    /// Whether there is something to receive: an answer, or the news that
    /// there will be none. Waits for nothing.
    pub fn has_news(&self) -> bool {
        let worker = {
            let inner = self.inner.lock();
            match inner.state {
                State::Busy if !inner.stopped => inner.worker.clone(),
                _ => None,
            }
        };
        let is_there = worker.is_none_or(|w| w.is_foreign() || w.await_answer(Wait::Until(Instant::now())));
        let mut inner = self.inner.lock();
        if is_there && inner.state == State::Busy {
            inner.state = State::Done;
        }
        is_there
    }

    fn patience_of_evaluation(&self, timeout: TimeValue) -> Wait {
        if timeout > TimeValue::ZERO {
            Wait::lasting(timeout)
        } else {
            Wait::lasting(self.inner.lock().settings.evaltimeout)
        }
    }

    /// Receives the result that was waited for.
    pub fn receive<B: Body>(&self) -> Result<Answer<B>, Problem> {
        let worker = {
            let inner = self.inner.lock();
            match inner.state {
                State::Idle => return Err(Fault::Idle.receiving(&self.name)),
                State::Busy => return Err(Fault::NoWait.receiving(&self.name)),
                State::Done => inner.worker.clone(),
            }
        };
        // Something is there: the wait has seen it.
        self.fetch(worker.as_ref(), Wait::lasting(TimeValue::from_secs(1)))
    }

    /// Sends a script, waits, and receives.
    pub fn evaluate<B: Body>(
        self: &Arc<Self>,
        script: Script,
        timeout: TimeValue,
        own: Own,
    ) -> Result<Answer<B>, Problem> {
        self.send(script, own)?;
        let worker = self.worker();
        self.fetch(worker.as_ref(), self.patience_of_evaluation(timeout))
    }

    /// Receives an answer, and counts the script as done or failed.
    fn fetch<B: Body>(&self, worker: Option<&Arc<Worker>>, first: Wait) -> Result<Answer<B>, Problem> {
        let limit = self.inner.lock().settings.recvtimeout.as_duration();
        let received = match worker.filter(|w| !w.is_foreign()) {
            Some(worker) => worker.receive(first, limit),
            None => Err(ReceiveError::Lost),
        };
        if matches!(received, Err(ReceiveError::Timeout)) && !self.was_stopped() {
            return Err(Fault::EvalTimeout.waiting(&self.name));
        }
        if let Some(since) = self.leave_busy() {
            self.pool.count(since.elapsed());
        }
        received.map_err(|error| {
            self.discard();
            match error {
                ReceiveError::Timeout => Fault::Recv.receiving(&self.name),
                error => self.no_answer(&error),
            }
        })
    }

    /// Exchanges an empty script. A handle without a worker gets one.
    pub fn ping(self: &Arc<Self>, own: Own) -> Result<(), Problem> {
        let fault = |fault: Fault| fault.sending("", &self.name);
        let (worker, settings) = {
            let inner = self.inner.lock();
            match inner.state {
                State::Idle => (inner.worker.clone(), Arc::clone(&inner.settings)),
                _ if inner.stopped => return Err(fault(Fault::Dead)),
                _ => return Err(fault(Fault::Busy)),
            }
        };
        let empty = Script::Text(b"");
        let Some(worker) = worker.filter(|w| w.is_ready()) else {
            return self.replace(own, &empty).map(|_| ());
        };
        let patience =
            if settings.evaltimeout > TimeValue::ZERO { settings.evaltimeout } else { settings.starttimeout };
        let sent = worker.send(empty, settings.sendtimeout.as_duration());
        if sent.is_err() {
            return self.replace(own, &empty).map(|_| ());
        }
        let answer = worker.receive::<Vec<u8>>(Wait::lasting(patience), settings.recvtimeout.as_duration());
        match answer {
            Ok(answer) if answer.code == 0 && answer.result.is_empty() => Ok(()),
            Ok(_) => {
                self.discard();
                Err(Fault::Import.receiving(&self.name))
            }
            Err(error) => {
                self.discard();
                Err(self.no_answer(&error))
            }
        }
    }

    /// What the pool's `reinit` script answers, before an idle handle is
    /// released. Without an answer its worker is discarded.
    pub fn reinitialize(&self) -> Result<Option<Answer<Vec<u8>>>, Problem> {
        let settings = self.pool.settings();
        let (state, worker) = {
            let inner = self.inner.lock();
            (inner.state, inner.worker.clone())
        };
        let Some(worker) = worker.filter(|w| w.is_ready() && !settings.reinit.is_empty()) else {
            return Ok(None);
        };
        if state != State::Idle {
            return Ok(None);
        }
        let sent = worker.send(Script::Text(&settings.reinit), settings.sendtimeout.as_duration());
        let limit = settings.recvtimeout.as_duration();
        let answer = match sent {
            Ok(()) => worker.receive(Wait::lasting(settings.evaltimeout), limit),
            Err(_) => Err(ReceiveError::Lost),
        };
        match answer {
            Ok(answer) => {
                if !matches!(answer.code, 0 | 2) {
                    // Nobody shall get what was only half cleaned up.
                    self.discard();
                }
                Ok(Some(answer))
            }
            Err(error) => {
                self.discard();
                Err(self.no_answer(&error))
            }
        }
    }

    /// Gives the handle back. A worker that is not idle is discarded: whatever
    /// it does is lost. Waits for nothing.
    pub fn release(self: &Arc<Self>) {
        let (state, worker, maxruns) = {
            let inner = self.inner.lock();
            (inner.state, inner.worker.clone(), inner.settings.maxruns)
        };
        let is_spent = worker
            .as_ref()
            .is_some_and(|w| maxruns > 0 && i64::from(w.runs()) >= i64::from(maxruns) || w.is_foreign());
        if state != State::Idle {
            if let Some(since) = self.leave_busy() {
                self.pool.count(since.elapsed());
            }
        }
        if state != State::Idle || is_spent {
            self.discard();
        }
        self.pool.put_back(self);
    }
}

/// The beginning of a script, as text for messages.
fn shown(script: &Script) -> String {
    const ENOUGH: usize = 1024;
    match script {
        Script::Text(text) | Script::Command(text, _) => {
            String::from_utf8_lossy(&text[..text.len().min(ENOUGH)]).into_owned()
        }
        Script::Words(words) => {
            let words: Vec<_> =
                words.iter().map(|w| String::from_utf8_lossy(&w[..w.len().min(ENOUGH)])).collect();
            words.join(" ")
        }
    }
}

/// The beginning of a script, kept for `active`.
fn keep(script: &Script) -> Kept {
    let mut room = KEPT;
    let mut cut = |text: &[u8]| {
        if text.len() <= room {
            room -= text.len();
            return text.to_vec();
        }
        let mut end = room;
        while end > 0 && text[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        room = 0;
        [&text[..end], b" ..."].concat()
    };
    match script {
        Script::Text(text) | Script::Command(text, _) => Kept::Text(cut(text)),
        Script::Words(words) => Kept::Words(words.iter().map(|word| cut(word)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_script_the_beginning_is_kept() {
        let long = "ä".repeat(KEPT);
        let Kept::Text(kept) = keep(&Script::Text(long.as_bytes())) else { unreachable!() };
        assert_eq!(kept, format!("{} ...", "ä".repeat(KEPT / 2)).into_bytes());
        let Kept::Words(kept) = keep(&Script::Words(&[b"puts", long.as_bytes(), b"x"])) else {
            unreachable!()
        };
        assert_eq!((kept.len(), &kept[0][..], kept[2].len()), (3, &b"puts"[..], 4));
        assert_eq!(kept[1].len(), KEPT - 4 + 4);
    }
}
