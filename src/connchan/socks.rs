//! Reactor threads: which there are, and which of them a channel goes to.
//!
//! A `Member` is one of them as others see it: the letter box of its home, its
//! load, its figures. The thread itself is a `threads::Worker` whose interpreter
//! evaluates the callbacks. Members that were replaced stay until the last of
//! their channels has gone; they get no new ones.

use super::channel::{here, Channel};
use super::{home, table};
use crate::base::{Error, Result};
use crate::reactor::Mailbox;
use crate::tcl::interp::ScriptError;
use crate::tcl::Interp;
use crate::threads::{self, Evaluated, Setup, Worker};
use parking_lot::{Mutex, RwLock};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Weak};
use std::time::{Duration, Instant};

/// The most reactor threads.
pub const MAX_THREADS: usize = 256;

/// How many channels more than another a thread may have before it hands a
/// connection that it has accepted over to that one.
const SLACK: usize = 2;

/// A thread that has not looked at its mail for so long, or has been in one
/// script for so long, gets no connections when others can have them.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long `configure` waits for threads without channels to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// A reactor thread as other threads see it.
pub struct Member {
    name: Arc<str>,
    mailbox: Arc<Mailbox>,
    thread: usize,
    /// Channels that are at home here, or on their way.
    load: AtomicUsize,
    events: AtomicU64,
    /// Nanoseconds.
    busy: AtomicU64,
    longest: AtomicU64,
    made: Instant,
    /// Since when a script runs, in nanoseconds after `made`; 0 when none does.
    in_script: AtomicU64,
}

/// Counts a channel to the load of a thread while it is held.
pub(super) struct Seat(Arc<Member>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Member {
    /// The calling thread, as a reactor thread.
    pub(super) fn of_this_thread(mailbox: &Arc<Mailbox>) -> Arc<Member> {
        Arc::new(Member {
            name: crate::base::log::thread_name().into(),
            mailbox: Arc::clone(mailbox),
            thread: here(),
            load: AtomicUsize::new(0),
            events: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            made: Instant::now(),
            in_script: AtomicU64::new(0),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(super) fn thread(&self) -> usize {
        self.thread
    }

    pub(super) fn seat(self: &Arc<Member>) -> Seat {
        self.load.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(self))
    }

    /// A script is called now.
    pub(super) fn begin_script(&self, now: Instant) {
        self.in_script.store((now - self.made).as_nanos() as u64, Ordering::Relaxed);
    }

    /// Whether it does what it is asked for in good time.
    fn keeps_up(&self) -> bool {
        let since = Duration::from_nanos(self.in_script.load(Ordering::Relaxed));
        (since.is_zero() || self.made.elapsed().saturating_sub(since) < PATIENCE)
            && self.mailbox.delay() < PATIENCE
    }

    /// A script has been called that took so long.
    pub(super) fn count(&self, took: Duration) {
        self.in_script.store(0, Ordering::Relaxed);
        let nanos = took.as_nanos() as u64;
        // Written by its own thread alone.
        self.events.store(self.events.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.store(nanos, Ordering::Relaxed);
        }
    }

    /// A slice has taken so long.
    pub(super) fn count_busy(&self, took: Duration) {
        self.busy.store(self.busy.load(Ordering::Relaxed) + took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Its figures.
    pub fn figures(&self) -> Figures {
        Figures {
            channels: self.load.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy.load(Ordering::Relaxed)),
            longest: Duration::from_nanos(self.longest.load(Ordering::Relaxed)),
        }
    }
}

/// What a thread has done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Channels, listeners among them.
    pub channels: usize,
    /// Scripts that were called.
    pub events: u64,
    /// Time spent on events.
    pub busy: Duration,
    /// The longest time that a script has taken.
    pub longest: Duration,
}

/// Figures of several threads, by name.
pub type NamedFigures = Vec<(Arc<str>, Figures)>;

struct Thread {
    worker: Worker,
    member: Arc<Member>,
}

#[derive(Default)]
struct State {
    threads: Vec<Thread>,
    /// They go when the last of their channels does.
    retired: Vec<Thread>,
    init: String,
}

static STATE: Mutex<State> =
    Mutex::new(State { threads: Vec::new(), retired: Vec::new(), init: String::new() });

/// The members of `State::threads`, for those who look for one.
static MEMBERS: RwLock<Option<Arc<[Arc<Member>]>>> = RwLock::new(None);

/// Whether there are any, or were.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// A listener that the threads accept from: its accept script, and the number
/// of the registration.
struct Shared {
    listener: Weak<Channel>,
    script: Arc<str>,
    generation: u32,
}

/// Those that move on when the threads change.
static SHARED: Mutex<Vec<Shared>> = Mutex::new(Vec::new());

/// Held while threads are started and ended.
static CONFIGURING: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether channels that are registered in this thread go to the reactor
    /// threads.
    static JOINED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Whether registrations of the calling thread go to the reactor threads: those
/// of the process's first thread and of our own do; those of other threads,
/// which have an event loop of their own, when they were told to.
pub fn is_joined() -> bool {
    JOINED.get().unwrap_or_else(|| {
        let joined = threads::is_first_thread() || Worker::current().is_some();
        JOINED.set(Some(joined));
        joined
    })
}

/// Says whether those of the calling thread do.
pub fn join(joined: bool) {
    JOINED.set(Some(joined));
}

/// The reactor threads that get channels; empty when callbacks run in the
/// threads that register them.
pub fn members() -> Arc<[Arc<Member>]> {
    MEMBERS.read().clone().unwrap_or_else(|| Arc::new([]))
}

/// What shall be changed.
#[derive(Default)]
pub struct Change {
    /// The number of threads.
    pub threads: Option<usize>,
    /// The init script. Given, all threads are started anew.
    pub init: Option<String>,
}

/// The number of threads and the init script.
pub fn configuration() -> (usize, String) {
    let state = STATE.lock();
    (state.threads.len(), state.init.clone())
}

/// Changes number and init script.
///
/// # Errors
/// That of the init script, or no thread can be started: all is as before then.
pub fn configure(interp: Interp, change: Change) -> std::result::Result<(), ScriptError> {
    let Some(_configuring) = CONFIGURING.try_lock() else {
        return Err(Error::new("the reactor threads are being configured already").into());
    };
    forget_ended();
    let state = STATE.lock();
    let anew = change.init.is_some();
    let count = change.threads.unwrap_or(state.threads.len());
    let init = change.init.unwrap_or_else(|| state.init.clone());
    let kept = if anew { 0 } else { state.threads.len().min(count) };
    let mut taken: Vec<String> =
        state.threads.iter().chain(&state.retired).map(|t| t.worker.name().to_owned()).collect();
    drop(state);
    let mut fresh = Vec::new();
    while kept + fresh.len() < count {
        let name = (0..).map(|n| format!("-socks-{n}")).find(|name| !taken.contains(name));
        let name = name.unwrap_or_default();
        taken.push(name.clone());
        match start(Setup::new(interp, name, init.clone())) {
            Ok(thread) => fresh.push(thread),
            Err(error) => {
                for thread in &fresh {
                    thread.worker.end();
                }
                for thread in &fresh {
                    thread.worker.wait(Some(Instant::now() + FAREWELL));
                }
                return Err(error);
            }
        }
    }
    if count > 0 {
        join(true);
        IN_USE.store(true, Ordering::Release);
    }
    let mut state = STATE.lock();
    state.init = init;
    let retired: Vec<Thread> = state.threads.drain(kept..).collect();
    let has_fresh = !fresh.is_empty();
    state.threads.extend(fresh);
    publish(&state);
    drop(state);
    if has_fresh || !retired.is_empty() {
        share_again();
    }
    let leaving: Vec<Worker> = retired.iter().map(|thread| thread.worker.clone()).collect();
    let inhabited: Vec<Arc<Member>> = table::all().iter().flat_map(|channel| channel.members()).collect();
    let is_vacant = |t: &&Thread| !inhabited.iter().any(|member| Arc::ptr_eq(member, &t.member));
    let vacant: Vec<Worker> = retired.iter().filter(is_vacant).map(|t| t.worker.clone()).collect();
    STATE.lock().retired.extend(retired);
    for worker in &leaving {
        worker.retire();
    }
    let until = Instant::now() + FAREWELL;
    for worker in vacant.iter().filter(|worker| Worker::current().as_ref() != Some(*worker)) {
        worker.wait(Some(until));
    }
    forget_ended();
    Ok(())
}

/// Remembers a listener from which the threads accept.
pub(super) fn remember(listener: &Arc<Channel>, script: &str, generation: u32) {
    let mut shared = SHARED.lock();
    shared.retain(|one| one.listener.upgrade().is_some_and(|c| !c.is_closed() && !Arc::ptr_eq(&c, listener)));
    shared.push(Shared { listener: Arc::downgrade(listener), script: script.into(), generation });
}

/// The threads have changed: those that there are now accept from now on.
fn share_again() {
    let members = members();
    if members.is_empty() {
        return;
    }
    let all = std::mem::take(&mut *SHARED.lock());
    for one in all {
        if let Some(listener) = one.listener.upgrade() {
            // Refused when it was closed, or has got a callback.
            let _ = home::share(&listener, &one.script, Arc::clone(&members), Some(one.generation));
        }
    }
}

fn publish(state: &State) {
    let members: Vec<Arc<Member>> = state.threads.iter().map(|t| Arc::clone(&t.member)).collect();
    *MEMBERS.write() = Some(members.into());
}

fn start(setup: Setup) -> std::result::Result<Thread, ScriptError> {
    let (sender, receiver) = mpsc::channel();
    let prepare = move |interp: Interp| -> Result<()> {
        let _ = sender.send(home::enlist(interp)?);
        Ok(())
    };
    let setup = Setup { prepare: Some(Arc::new(prepare)), may_retire: Some(home::vacate), ..setup };
    let worker = Worker::start(setup)?;
    match receiver.recv() {
        Ok(member) => Ok(Thread { worker, member }),
        Err(_) => Err(threads::gone(worker.name())),
    }
}

/// Forgets threads that have ended, in whatever way.
fn forget_ended() {
    let mut state = STATE.lock();
    let before = state.threads.len();
    state.threads.retain(|thread| !thread.worker.is_ending());
    state.retired.retain(|thread| !thread.worker.is_ending());
    if state.threads.len() != before {
        publish(&state);
    }
}

/// The figures of all threads, by name: of those that get channels, and of those
/// that keep the ones they have.
pub fn figures() -> (NamedFigures, NamedFigures) {
    forget_ended();
    let state = STATE.lock();
    let of = |threads: &[Thread]| {
        threads.iter().map(|t| (Arc::clone(&t.member.name), t.member.figures())).collect()
    };
    (of(&state.threads), of(&state.retired))
}

/// Evaluates a script in each thread, in all of them at once; the outcomes, in
/// the order of the threads.
pub fn evaluate(script: &str) -> Vec<Evaluated> {
    forget_ended();
    let workers: Vec<Worker> = STATE.lock().threads.iter().map(|t| t.worker.clone()).collect();
    let own = Worker::current();
    // The caller's own last: the others begin before.
    let begun: Vec<_> = workers
        .iter()
        .map(|worker| (own.as_ref() != Some(worker)).then(|| worker.begin_evaluation(script)))
        .collect();
    let own = own.filter(|own| workers.contains(own)).map(|own| own.begin_evaluation(script));
    let mut own = own.into_iter();
    begun.into_iter().filter_map(|one| one.or_else(|| own.next())).map(|one| one.wait()).collect()
}

/// The thread that gets a registration of the calling thread, when that is
/// another one: a channel stays with its home, and a new one goes to the thread
/// that has least.
pub(super) fn destination(channel: &Channel) -> Option<Arc<Member>> {
    if !IN_USE.load(Ordering::Acquire) || !is_joined() {
        return None;
    }
    let members = members();
    let home = channel.place().and_then(|place| place.member);
    if let Some(me) = home::member() {
        // One that the script of a reactor thread makes stays in this thread.
        return home.filter(|home| !Arc::ptr_eq(home, &me));
    }
    match home {
        Some(home) if members.iter().any(|m| Arc::ptr_eq(m, &home)) => Some(home),
        _ => lightest(&members),
    }
}

/// The thread that has least to do, of those that keep up with their mail.
fn lightest(members: &[Arc<Member>]) -> Option<Arc<Member>> {
    let load = |member: &&Arc<Member>| member.load.load(Ordering::Relaxed);
    let alive = || members.iter().filter(|member| !member.mailbox.is_closed());
    alive().filter(|member| member.keeps_up()).min_by_key(load).or_else(|| alive().min_by_key(load)).cloned()
}

/// Who shall have a connection that `me` has accepted: another thread, when that
/// one has less and keeps up with its mail. Nobody is asked who is busy.
pub(super) fn better_placed(members: &[Arc<Member>], me: &Arc<Member>) -> Option<Arc<Member>> {
    let mine = me.load.load(Ordering::Relaxed);
    members
        .iter()
        .filter(|other| other.load.load(Ordering::Relaxed) + SLACK < mine)
        .filter(|other| !Arc::ptr_eq(other, me) && other.keeps_up())
        .min_by_key(|other| other.load.load(Ordering::Relaxed))
        .cloned()
}
