//! The reaper: one thread, started with the first worker, that hears of the
//! end of every process, brings about the end of those that are to end, and
//! expires workers that nobody has used for a while.
//!
//! A worker that is to end is told so by the end of its line; when it is
//! still there after a while, by SIGTERM, and then by SIGKILL
//! (spec/ns_proxy.md section 14). Nobody but this thread waits for processes,
//! and it never waits for one alone.

use super::handle::Handle;
use super::pool;
use super::worker::Worker;
use crate::base::log;
use crate::net::process;
use crate::net::wait::{wait_any, Direction};
use parking_lot::Mutex;
use socket2::Socket;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often processes are looked at whose end the kernel does not report.
const TICK: Duration = Duration::from_millis(100);

/// Where a process is on its way to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It is to live.
    Living,
    /// Its line was closed.
    Closed,
    /// It was sent SIGTERM.
    Terminated,
    /// It was sent SIGKILL.
    Killed,
}

/// A process that has not been waited for.
struct Entry {
    worker: Arc<Worker>,
    handle: Weak<Handle>,
    phase: Phase,
    /// When the next step is due, and how long each is given.
    due: Option<Instant>,
    patience: Duration,
}

/// Whether the thread sleeps, and until when at the latest.
enum Sleep {
    /// It is about to look at everything; `again` says that something has
    /// changed since it began.
    Awake { again: bool },
    /// Until then, or until it is woken.
    Until(Option<Instant>),
}

struct Shared {
    generation: u32,
    entries: Mutex<Vec<Entry>>,
    sleep: Mutex<Sleep>,
    /// A byte here wakes the thread.
    bell: Socket,
}

static REAPER: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// The reaper of this process, if it has been started.
fn running() -> Option<Arc<Shared>> {
    let generation = process::generation();
    REAPER.lock().as_ref().filter(|r| r.generation == generation).cloned()
}

/// The reaper of this process. A fork needs one of its own.
fn started() -> io::Result<Arc<Shared>> {
    let mut reaper = REAPER.lock();
    let generation = process::generation();
    if let Some(running) = reaper.as_ref().filter(|r| r.generation == generation) {
        return Ok(Arc::clone(running));
    }
    let (bell, ear) = process::socket_pair()?;
    bell.set_nonblocking(true)?;
    ear.set_nonblocking(true)?;
    let bell = crate::net::descriptor::settle(bell);
    let ear = crate::net::descriptor::settle(ear);
    let shared = Arc::new(Shared {
        generation,
        entries: Mutex::default(),
        sleep: Mutex::new(Sleep::Awake { again: false }),
        bell,
    });
    let for_thread = Arc::clone(&shared);
    std::thread::Builder::new().name("nsproxy reaper".into()).stack_size(256 * 1024).spawn(move || {
        process::block_signals();
        for_thread.run(&ear);
    })?;
    *reaper = Some(Arc::clone(&shared));
    Ok(shared)
}

/// Makes sure that there is a reaper, before a process is started.
pub fn start() -> io::Result<()> {
    started().map(|_| ())
}

/// Enters a new process, that of `handle`.
pub fn watch(worker: &Arc<Worker>, handle: &Arc<Handle>) {
    let Some(reaper) = running() else { return };
    reaper.entries.lock().push(Entry {
        worker: Arc::clone(worker),
        handle: Arc::downgrade(handle),
        phase: Phase::Living,
        due: None,
        patience: Duration::ZERO,
    });
    reaper.wake();
}

/// Closes the line of a worker, and brings about its end; each step is given
/// the time `patience`. Waits for nothing.
pub fn retire(worker: &Arc<Worker>, patience: Duration) {
    if worker.is_foreign() {
        return;
    }
    worker.close();
    let Some(reaper) = running() else { return };
    {
        let mut entries = reaper.entries.lock();
        let Some(entry) = entries.iter_mut().find(|e| Arc::ptr_eq(&e.worker, worker)) else { return };
        if entry.phase == Phase::Living {
            entry.phase = Phase::Closed;
            entry.patience = patience;
            entry.due = Instant::now().checked_add(patience);
        }
    }
    reaper.wake();
}

/// A worker may have to expire at that time.
pub fn consider(at: Instant) {
    let Some(reaper) = running() else { return };
    let mut sleep = reaper.sleep.lock();
    match &mut *sleep {
        Sleep::Awake { again } => *again = true,
        Sleep::Until(Some(planned)) if *planned <= at => {}
        Sleep::Until(_) => {
            *sleep = Sleep::Awake { again: false };
            drop(sleep);
            reaper.ring();
        }
    }
}

/// The process ends: whoever is idle sees the end of its line, the others are
/// hurried along. There is no time to wait for any of them.
pub fn shutdown() {
    let Some(reaper) = running() else { return };
    // Handles are asked first: their lock is never taken within ours.
    let all: Vec<_> =
        reaper.entries.lock().iter().map(|e| (Arc::clone(&e.worker), e.handle.clone())).collect();
    let working: Vec<Arc<Worker>> = all
        .into_iter()
        .filter(|(worker, handle)| handle.upgrade().is_some_and(|h| h.is_working_with(worker)))
        .map(|(worker, _)| worker)
        .collect();
    for entry in reaper.entries.lock().iter() {
        entry.worker.close();
        match entry.phase {
            Phase::Living if !working.iter().any(|w| Arc::ptr_eq(w, &entry.worker)) => {}
            Phase::Living | Phase::Closed => entry.worker.process().signal(libc::SIGTERM),
            Phase::Terminated | Phase::Killed => entry.worker.process().signal(libc::SIGKILL),
        }
    }
}

impl Shared {
    fn ring(&self) {
        // When it cannot take a byte, others have rung.
        let _ = self.bell.send_with_flags(&[1], libc::MSG_NOSIGNAL);
    }

    fn wake(&self) {
        let was_asleep = {
            let mut sleep = self.sleep.lock();
            match &mut *sleep {
                Sleep::Awake { again } => {
                    *again = true;
                    false
                }
                Sleep::Until(_) => {
                    *sleep = Sleep::Awake { again: false };
                    true
                }
            }
        };
        if was_asleep {
            self.ring();
        }
    }

    fn run(&self, ear: &Socket) {
        let mut bytes = [MaybeUninit::uninit(); 64];
        loop {
            *self.sleep.lock() = Sleep::Awake { again: false };
            while ear.recv(&mut bytes).is_ok_and(|n| n == bytes.len()) {}
            self.collect();
            let now = Instant::now();
            let mut next = earliest(self.take_steps(now), pool::expire_all(now));
            let mut watched: Vec<(RawFd, Direction)> = vec![(ear.as_raw_fd(), Direction::Readable)];
            for entry in self.entries.lock().iter() {
                match entry.worker.process().handle() {
                    Some(handle) => watched.push((handle, Direction::Readable)),
                    None => next = earliest(next, Some(now + TICK)),
                }
            }
            {
                let mut sleep = self.sleep.lock();
                if matches!(*sleep, Sleep::Awake { again: true }) {
                    continue;
                }
                *sleep = Sleep::Until(next);
            }
            // The descriptors stay open meanwhile: only `collect` takes
            // entries out.
            if let Err(error) = wait_any(&watched, next) {
                log::write(log::ERROR, &format!("nsproxy: reaper cannot wait: {error}"));
                std::thread::sleep(TICK);
            }
        }
    }

    /// Takes out the processes that have ended.
    fn collect(&self) {
        let mut ended = Vec::new();
        self.entries.lock().retain(|entry| match entry.worker.process().ended() {
            None => true,
            Some(status) => {
                ended.push((Arc::clone(&entry.worker), entry.handle.clone(), status));
                false
            }
        });
        for (worker, handle, status) in ended {
            worker.mark_ended();
            if let Some(handle) = handle.upgrade() {
                handle.forget(&worker);
            }
            if log::enabled(log::DEBUG_TASK) {
                let how = status.map_or("ended".to_owned(), |s| s.to_string());
                log::write(log::DEBUG_TASK, &format!("nsproxy: process {}: {how}", worker.pid()));
            }
        }
    }

    /// Takes the steps that are due; when the next one is.
    fn take_steps(&self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for entry in self.entries.lock().iter_mut() {
            if entry.due.is_some_and(|due| due <= now) {
                let (phase, signal) = match entry.phase {
                    Phase::Closed => (Phase::Terminated, Some(libc::SIGTERM)),
                    Phase::Terminated => (Phase::Killed, Some(libc::SIGKILL)),
                    phase => (phase, None),
                };
                entry.phase = phase;
                entry.due = if phase == Phase::Killed { None } else { now.checked_add(entry.patience) };
                if let Some(signal) = signal {
                    log::write(
                        log::DEBUG_TASK,
                        &format!(
                            "nsproxy: process {} does not end, sending signal {signal}",
                            entry.worker.pid()
                        ),
                    );
                    entry.worker.process().signal(signal);
                }
            }
            next = earliest(next, entry.due);
        }
        next
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
