//! Pools: named sets of handles, one table of them for the process, and who
//! waits for handles (spec/ns_proxy.md sections 5, 7 and 13).
//!
//! Locks: a pool's, then a handle's, then the reaper's.

use super::fault::{Fault, Problem};
use super::handle::{Handle, State};
use super::reaper;
use super::settings::Settings;
use crate::base::time_value::TimeValue;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A pool. There is no way to delete one, so that references to it are for
/// ever.
pub struct Pool {
    name: String,
    handles: Mutex<Handles>,
    /// Handles became free, or settings have changed.
    changed: Condvar,
    requests: AtomicU64,
    runtime: AtomicU64,
}

struct Handles {
    settings: Arc<Settings>,
    /// All that there are.
    all: Vec<Arc<Handle>>,
    /// Those that nobody owns; the last one is the next to be handed out.
    free: Vec<Arc<Handle>>,
    /// Handles made so far.
    made: u64,
    /// Who waits, in order.
    waiters: VecDeque<u64>,
    next_ticket: u64,
}

/// What `stats` shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Stats {
    /// Handles made so far.
    pub proxies: u64,
    /// Callers that wait for handles.
    pub waiting: usize,
    /// Handles that there are to be.
    pub maxworkers: i32,
    /// Handles that nobody owns.
    pub free: usize,
    /// Handles that are owned.
    pub used: usize,
    /// Scripts that have ended in a result or a failure.
    pub requests: u64,
    /// Processes.
    pub processes: usize,
    /// Microseconds from sending to the result, of all scripts.
    pub runtime: u64,
}

static POOLS: Mutex<Vec<&'static Pool>> = Mutex::new(Vec::new());
static DISABLED: AtomicBool = AtomicBool::new(false);

/// The pool of that name, made when it is named for the first time.
pub fn named(name: &str) -> &'static Pool {
    let mut pools = POOLS.lock();
    if let Some(pool) = pools.iter().find(|p| p.name == name) {
        return pool;
    }
    let settings = Arc::new(Settings::configured());
    let pool: &'static Pool = Box::leak(Box::new(Pool {
        name: name.to_owned(),
        handles: Mutex::new(Handles {
            settings: Arc::clone(&settings),
            all: Vec::new(),
            free: Vec::new(),
            made: 0,
            waiters: VecDeque::new(),
            next_ticket: 0,
        }),
        changed: Condvar::new(),
        requests: AtomicU64::new(0),
        runtime: AtomicU64::new(0),
    }));
    pool.fit(&mut pool.handles.lock());
    pools.push(pool);
    pool
}

/// The names of all pools.
pub fn names() -> Vec<&'static str> {
    POOLS.lock().iter().map(|pool| pool.name.as_str()).collect()
}

/// From now on no handle is given out.
pub(super) fn disable_all() {
    DISABLED.store(true, Ordering::Release);
}

/// Ends the workers that nobody has used for long enough; when the next one
/// is due.
pub(super) fn expire_all(now: Instant) -> Option<Instant> {
    let pools = POOLS.lock().clone();
    pools.iter().filter_map(|pool| pool.expire(now)).min()
}

impl Pool {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.handles.lock().settings)
    }

    /// Changes its settings. Handles are added or taken away at once, as far
    /// as they are free; whoever waits looks again.
    pub fn configure(&'static self, change: impl FnOnce(&mut Settings)) {
        let surplus = {
            let mut handles = self.handles.lock();
            let mut settings = (*handles.settings).clone();
            change(&mut settings);
            handles.settings = Arc::new(settings);
            self.fit(&mut handles)
        };
        for handle in surplus {
            handle.discard();
        }
        self.changed.notify_all();
        reaper::consider(Instant::now());
    }

    /// Makes as many handles as there are to be; returns those that were one
    /// too many.
    fn fit(&'static self, handles: &mut Handles) -> Vec<Arc<Handle>> {
        let wanted = usize::try_from(handles.settings.maxworkers).unwrap_or(0);
        while handles.all.len() < wanted {
            let name = format!("{}-{}", self.name, handles.made);
            handles.made += 1;
            let handle = Handle::new(name, self, Arc::clone(&handles.settings));
            handles.all.push(Arc::clone(&handle));
            handles.free.push(handle);
        }
        let mut surplus = Vec::new();
        while handles.all.len() > wanted {
            let Some(handle) = handles.free.pop() else { break };
            handles.all.retain(|h| !Arc::ptr_eq(h, &handle));
            surplus.push(handle);
        }
        surplus
    }

    /// Gets handles for an owner, none of which has been looked at. Waits for
    /// them in turn; not positive means not at all.
    pub fn allocate(
        &self,
        count: usize,
        timeout: Option<TimeValue>,
        owner: u64,
    ) -> Result<Vec<Arc<Handle>>, Problem> {
        let mut handles = self.handles.lock();
        let timeout = timeout.unwrap_or(handles.settings.gettimeout);
        let deadline = Instant::now().checked_add(timeout.as_duration());
        let ticket = handles.next_ticket;
        handles.next_ticket += 1;
        handles.waiters.push_back(ticket);
        let outcome = loop {
            let enough = usize::try_from(handles.settings.maxworkers).unwrap_or(0);
            if count > enough || DISABLED.load(Ordering::Acquire) {
                break Err(Fault::Range);
            }
            if handles.waiters.front() == Some(&ticket) && handles.free.len() >= count {
                let first = handles.free.len() - count;
                break Ok(handles.free.split_off(first));
            }
            let timed_out = match deadline {
                Some(deadline) => self.changed.wait_until(&mut handles, deadline).timed_out(),
                None => {
                    self.changed.wait(&mut handles);
                    false
                }
            };
            if timed_out {
                let is_served = handles.waiters.front() == Some(&ticket) && handles.free.len() >= count;
                if !is_served {
                    break Err(Fault::GetTimeout);
                }
            }
        };
        handles.waiters.retain(|t| *t != ticket);
        let settings = Arc::clone(&handles.settings);
        if let Ok(taken) = &outcome {
            for handle in taken {
                handle.hand_out(owner, Arc::clone(&settings));
            }
        }
        let others_wait = !handles.waiters.is_empty();
        drop(handles);
        if others_wait {
            self.changed.notify_all();
        }
        outcome.map_err(|fault| fault.allocating(&self.name))
    }

    /// A handle comes back from its owner.
    pub(super) fn put_back(&self, handle: &Arc<Handle>) {
        let mut handles = self.handles.lock();
        let (since, has_worker) = handle.take_back();
        let wanted = usize::try_from(handles.settings.maxworkers).unwrap_or(0);
        let idle = handles.settings.idletimeout.as_duration();
        if handles.all.len() > wanted {
            handles.all.retain(|h| !Arc::ptr_eq(h, handle));
            drop(handles);
            handle.discard();
            return;
        }
        handles.free.push(Arc::clone(handle));
        let someone_waits = !handles.waiters.is_empty();
        drop(handles);
        if someone_waits {
            self.changed.notify_all();
        }
        if let Some(due) = since.checked_add(idle).filter(|_| has_worker) {
            reaper::consider(due);
        }
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let (free, idle) = {
            let handles = self.handles.lock();
            (handles.free.clone(), handles.settings.idletimeout.as_duration())
        };
        free.iter().filter_map(|handle| handle.expire(now, idle)).min()
    }

    /// All handles, in the order in which they were made.
    pub fn all(&self) -> Vec<Arc<Handle>> {
        self.handles.lock().all.clone()
    }

    /// The handles that nobody owns, the next to be handed out first.
    pub fn free(&self) -> Vec<Arc<Handle>> {
        self.handles.lock().free.iter().rev().cloned().collect()
    }

    /// The handles that were sent a script, the newest script first.
    pub fn active(&self) -> Vec<(Arc<Handle>, super::handle::View)> {
        let mut active: Vec<_> = self
            .all()
            .into_iter()
            .map(|handle| (handle.view(), handle))
            .filter(|(view, _)| view.active.is_some())
            .map(|(view, handle)| (handle, view))
            .collect();
        active.sort_by_key(|(_, view)| std::cmp::Reverse(view.active.as_ref().map(|(started, _)| *started)));
        active
    }

    /// Ends the workers of handles that were sent a script: of one, or all.
    pub fn stop(&self, only: Option<&str>) {
        for handle in self.all() {
            if only.is_none_or(|name| name == handle.name()) {
                handle.stop();
            }
        }
    }

    /// Ends the workers of handles that nobody owns: of one, or all.
    pub fn clear(&self, only: Option<&str>) {
        let handles = self.handles.lock();
        for handle in handles.free.iter().filter(|h| only.is_none_or(|name| name == h.name())) {
            // Under the lock, so that none of them is handed out meanwhile.
            handle.discard();
        }
    }

    /// Counts a script that has ended.
    pub(super) fn count(&self, runtime: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(runtime.as_micros()).unwrap_or(u64::MAX);
        self.runtime.fetch_add(micros, Ordering::Relaxed);
    }

    /// What there is to count.
    pub fn stats(&self) -> Stats {
        let handles = self.handles.lock();
        Stats {
            proxies: handles.made,
            waiting: handles.waiters.len(),
            maxworkers: handles.settings.maxworkers,
            free: handles.free.len(),
            used: handles.all.len() - handles.free.len(),
            requests: self.requests.load(Ordering::Relaxed),
            processes: handles.all.iter().filter(|h| h.has_process()).count(),
            runtime: self.runtime.load(Ordering::Relaxed),
        }
    }

    /// Whether any handle is at work.
    pub fn is_active(&self) -> bool {
        self.all().iter().any(|handle| handle.state() != State::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(handles: &[Arc<Handle>]) -> Vec<&str> {
        handles.iter().map(|h| h.name()).collect()
    }

    fn pool(name: &str, maxworkers: i32) -> &'static Pool {
        let pool = named(name);
        pool.configure(|s| s.maxworkers = 0);
        pool.configure(|s| s.maxworkers = maxworkers);
        pool
    }

    fn code(outcome: Result<Vec<Arc<Handle>>, Problem>) -> String {
        outcome.err().map(|p| p.error.code[1].clone()).unwrap_or_default()
    }

    #[test]
    fn last_in_first_out() {
        let pool = pool("t-order", 3);
        let free = pool.free();
        let names: Vec<String> = free.iter().map(|h| h.name().to_owned()).collect();
        let taken = pool.allocate(2, None, 1).unwrap();
        // The order in which they are returned is that of their numbers.
        assert_eq!(names_of(&taken), [names[1].as_str(), names[0].as_str()]);
        taken.iter().for_each(Handle::release);
        assert_eq!(names_of(&pool.free())[..2], [names[0].as_str(), names[1].as_str()]);
    }

    #[test]
    fn more_than_there_are() {
        let pool = pool("t-range", 2);
        assert_eq!(code(pool.allocate(3, None, 1)), "ERange");
        pool.configure(|s| s.maxworkers = 0);
        assert_eq!(code(pool.allocate(1, None, 1)), "ERange");
    }

    #[test]
    fn waiting_is_limited() {
        let pool = pool("t-wait", 1);
        let taken = pool.allocate(1, None, 1).unwrap();
        assert_eq!(code(pool.allocate(1, Some(TimeValue::ZERO), 2)), "EGetTimeout");
        assert_eq!(code(pool.allocate(1, Some(TimeValue::from_millis(20)), 2)), "EGetTimeout");
        assert_eq!(pool.stats().waiting, 0);
        taken[0].release();
        assert!(pool.allocate(1, Some(TimeValue::ZERO), 2).is_ok());
    }

    fn waiter(pool: &'static Pool, count: usize) -> std::thread::JoinHandle<String> {
        let before = pool.stats().waiting;
        let thread = std::thread::spawn(move || {
            let outcome = pool.allocate(count, Some(TimeValue::from_secs(20)), 2);
            if let Ok(handles) = &outcome {
                handles.iter().for_each(Handle::release);
            }
            code(outcome)
        });
        while pool.stats().waiting == before && !thread.is_finished() {
            std::thread::yield_now();
        }
        thread
    }

    #[test]
    fn waiters_are_woken_in_order() {
        let pool = pool("t-wake", 2);
        let taken = pool.allocate(2, None, 1).unwrap();
        let both = waiter(pool, 2);
        let one = waiter(pool, 1);
        taken[0].release();
        // One is free, but whoever came first waits for two.
        assert_eq!(pool.stats().waiting, 2);
        taken[1].release();
        assert_eq!((both.join().unwrap(), one.join().unwrap()), (String::new(), String::new()));
    }

    #[test]
    fn waiters_hear_of_changed_settings() {
        let pool = pool("t-change", 1);
        let taken = pool.allocate(1, None, 1).unwrap();
        let thread = waiter(pool, 1);
        pool.configure(|s| s.maxworkers = 2);
        assert_eq!(thread.join().unwrap(), "");
        pool.configure(|s| s.maxworkers = 1);
        let thread = waiter(pool, 1);
        pool.configure(|s| s.maxworkers = 0);
        assert_eq!(thread.join().unwrap(), "ERange");
        taken[0].release();
        let stats = pool.stats();
        assert_eq!((stats.free, stats.used), (0, 0));
    }

    #[test]
    fn fewer_and_more_handles() {
        let pool = pool("t-size", 3);
        let made = pool.stats().proxies;
        let taken = pool.allocate(2, None, 1).unwrap();
        pool.configure(|s| s.maxworkers = 1);
        assert_eq!((pool.stats().free, pool.stats().used), (0, 2));
        taken[0].release();
        assert_eq!((pool.stats().free, pool.stats().used), (0, 1));
        taken[1].release();
        assert_eq!((pool.stats().free, pool.stats().used), (1, 0));
        pool.configure(|s| s.maxworkers = 2);
        assert_eq!(pool.stats().proxies, made + 1);
        assert_eq!(pool.free()[0].name(), format!("t-size-{made}"));
    }
}
