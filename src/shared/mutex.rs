//! Mutual exclusion between threads: `ns_mutex` (spec/support.md 4.5) and,
//! recursive, `ns_critsec` (6.1).
//!
//! Unlike a mutex of the language it is held by a thread, not by a value, and
//! says so instead of waiting for itself. A thread that ends gives it back.

use super::thread::{self, Held, ThreadId};
use crate::base::{Error, Result};
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, Weak};

/// A lock that one thread at a time holds.
pub struct Lock {
    own: Weak<Lock>,
    /// What it is called in messages.
    kind: &'static str,
    recursive: bool,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    owner: Option<ThreadId>,
    /// How often the owner has locked it.
    depth: usize,
    waiting: usize,
}

impl Lock {
    /// A lock that nobody holds.
    pub fn new(kind: &'static str, recursive: bool) -> Arc<Lock> {
        Arc::new_cyclic(|own| Lock {
            own: own.clone(),
            kind,
            recursive,
            state: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn take(&self, state: &mut State, thread: ThreadId) {
        state.owner = Some(thread);
        state.depth = 1;
        thread::holds(self.key(), self.own.clone());
    }

    /// Waits until the calling thread holds the lock.
    ///
    /// # Errors
    /// It holds it already, and the lock is not recursive.
    pub fn lock(&self) -> Result<()> {
        let own = thread::current();
        let mut state = self.state.lock();
        if state.owner == Some(own) {
            if !self.recursive {
                return Err(Error::new(format!("{} is already locked by this thread", self.kind)));
            }
            state.depth += 1;
            return Ok(());
        }
        while state.owner.is_some() {
            state.waiting += 1;
            self.freed.wait(&mut state);
            state.waiting -= 1;
        }
        self.take(&mut state, own);
        Ok(())
    }

    /// Takes the lock if nobody holds it; the answer is whether it did.
    pub fn try_lock(&self) -> bool {
        let own = thread::current();
        let mut state = self.state.lock();
        match state.owner {
            None => self.take(&mut state, own),
            Some(owner) if owner == own && self.recursive => state.depth += 1,
            Some(_) => return false,
        }
        true
    }

    /// Gives the lock back (once, if it was locked more often).
    ///
    /// # Errors
    /// The calling thread does not hold it.
    pub fn unlock(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.owner != Some(thread::current()) {
            return Err(Error::new(format!("{} is not locked by this thread", self.kind)));
        }
        state.depth -= 1;
        if state.depth == 0 {
            state.owner = None;
            thread::gave_back(self.key());
            if state.waiting > 0 {
                self.freed.notify_one();
            }
        }
        Ok(())
    }

    /// Whether the calling thread holds the lock.
    pub fn is_own(&self) -> bool {
        self.state.lock().owner == Some(thread::current())
    }

    /// Whether nobody holds the lock or waits for it.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.owner.is_none() && state.waiting == 0
    }
}

impl Held for Lock {
    fn release(&self, thread: ThreadId) {
        let mut state = self.state.lock();
        if state.owner == Some(thread) {
            *state = State { owner: None, depth: 0, waiting: state.waiting };
            self.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread as threads;

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let lock = Lock::new("mutex", false);
        assert_eq!(lock.lock(), Ok(()));
        assert_eq!(lock.lock(), Err(Error::new("mutex is already locked by this thread")));
        assert!(!lock.try_lock() && lock.is_own() && !lock.is_idle());
        assert_eq!(lock.unlock(), Ok(()));
        assert_eq!(lock.unlock(), Err(Error::new("mutex is not locked by this thread")));
        assert!(lock.is_idle());
    }

    #[test]
    fn a_recursive_one_counts() {
        let lock = Lock::new("critical section", true);
        assert_eq!(lock.lock(), Ok(()));
        assert!(lock.try_lock());
        let other = Arc::clone(&lock);
        let there = move || (other.try_lock(), other.unlock().is_err());
        assert_eq!(threads::spawn(there).join().unwrap(), (false, true));
        assert_eq!((lock.unlock(), lock.is_own()), (Ok(()), true));
        assert_eq!((lock.unlock(), lock.is_own()), (Ok(()), false));
    }

    #[test]
    fn only_one_at_a_time() {
        let lock = Lock::new("mutex", false);
        let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (lock, count) = (Arc::clone(&lock), Arc::clone(&count));
                threads::spawn(move || {
                    for _ in 0..2000 {
                        lock.lock().unwrap();
                        // Not one step: lost updates show a lock that does not lock.
                        let seen = count.load(std::sync::atomic::Ordering::Relaxed);
                        std::hint::spin_loop();
                        count.store(seen + 1, std::sync::atomic::Ordering::Relaxed);
                        lock.unlock().unwrap();
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 8000);
    }

    #[test]
    fn the_end_of_a_thread_gives_it_back() {
        let lock = Lock::new("mutex", false);
        let other = Arc::clone(&lock);
        let held = threads::spawn(move || {
            other.lock().unwrap();
            (thread::release_all(), thread::release_all())
        });
        assert_eq!(held.join().unwrap(), (1, 0));
        assert_eq!(lock.lock(), Ok(()));
        assert_eq!(lock.unlock(), Ok(()));
    }
}
