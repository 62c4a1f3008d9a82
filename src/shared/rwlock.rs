//! Locks for many readers or one writer: `ns_rwlock` (spec/support.md 6.1).
//!
//! A writer that waits goes before readers that come after it; a thread that
//! reads already may read again. A thread that would wait for itself is told.

use super::thread::{self, Held, ThreadId};
use crate::base::{Error, Result};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// A lock for readers and writers.
pub struct RwLock {
    own: Weak<RwLock>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    writer: Option<ThreadId>,
    /// How often each thread reads.
    readers: HashMap<ThreadId, usize>,
    waiting_writers: usize,
    waiting_readers: usize,
}

fn held_already() -> Error {
    Error::new("rwlock is already locked by this thread")
}

impl RwLock {
    /// A lock that nobody holds.
    pub fn new() -> Arc<RwLock> {
        Arc::new_cyclic(|own| RwLock { own: own.clone(), state: Mutex::default(), changed: Condvar::new() })
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Waits until the calling thread may read.
    ///
    /// # Errors
    /// It is the writer.
    pub fn read_lock(&self) -> Result<()> {
        let own = thread::current();
        let mut state = self.state.lock();
        if state.writer == Some(own) {
            return Err(held_already());
        }
        if !state.readers.contains_key(&own) {
            while state.writer.is_some() || state.waiting_writers > 0 {
                state.waiting_readers += 1;
                self.changed.wait(&mut state);
                state.waiting_readers -= 1;
            }
            thread::holds(self.key(), self.own.clone());
        }
        *state.readers.entry(own).or_default() += 1;
        Ok(())
    }

    /// Waits until the calling thread may write.
    ///
    /// # Errors
    /// It reads or writes already.
    pub fn write_lock(&self) -> Result<()> {
        let own = thread::current();
        let mut state = self.state.lock();
        if state.writer == Some(own) || state.readers.contains_key(&own) {
            return Err(held_already());
        }
        while state.writer.is_some() || !state.readers.is_empty() {
            state.waiting_writers += 1;
            self.changed.wait(&mut state);
            state.waiting_writers -= 1;
        }
        state.writer = Some(own);
        thread::holds(self.key(), self.own.clone());
        Ok(())
    }

    /// Ends the reading (once) or writing of the calling thread.
    ///
    /// # Errors
    /// It does neither.
    pub fn unlock(&self) -> Result<()> {
        let own = thread::current();
        let mut state = self.state.lock();
        if state.writer == Some(own) {
            state.writer = None;
        } else {
            let Some(times) = state.readers.get_mut(&own) else {
                return Err(Error::new("rwlock is not locked by this thread"));
            };
            *times -= 1;
            if *times > 0 {
                return Ok(());
            }
            state.readers.remove(&own);
        }
        thread::gave_back(self.key());
        self.tell(&state);
        Ok(())
    }

    fn tell(&self, state: &State) {
        if state.waiting_readers + state.waiting_writers > 0 {
            self.changed.notify_all();
        }
    }

    /// Whether the calling thread reads or writes.
    pub fn is_own(&self) -> bool {
        let (state, own) = (self.state.lock(), thread::current());
        state.writer == Some(own) || state.readers.contains_key(&own)
    }

    /// Whether nobody holds the lock or waits for it.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.writer.is_none()
            && state.readers.is_empty()
            && state.waiting_readers + state.waiting_writers == 0
    }
}

impl Held for RwLock {
    fn release(&self, thread: ThreadId) {
        let mut state = self.state.lock();
        state.readers.remove(&thread);
        if state.writer == Some(thread) {
            state.writer = None;
        }
        self.tell(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread as threads;

    #[test]
    fn readers_share_and_writers_do_not() {
        let lock = RwLock::new();
        lock.read_lock().unwrap();
        lock.read_lock().unwrap();
        assert!(lock.write_lock().is_err());
        let other = Arc::clone(&lock);
        let reads = threads::spawn(move || (other.read_lock(), other.unlock(), other.unlock().is_err()));
        assert_eq!(reads.join().unwrap(), (Ok(()), Ok(()), true));

        let other = Arc::clone(&lock);
        let (told, heard) = mpsc::channel();
        let writer = threads::spawn(move || {
            other.write_lock().unwrap();
            told.send("writes").unwrap();
            other.unlock().unwrap();
        });
        while lock.state.lock().waiting_writers == 0 {
            threads::yield_now();
        }
        // One who reads may do so again although a writer waits.
        lock.read_lock().unwrap();
        for _ in 0..3 {
            assert!(heard.try_recv().is_err());
            lock.unlock().unwrap();
        }
        assert_eq!(heard.recv(), Ok("writes"));
        writer.join().unwrap();
        lock.write_lock().unwrap();
        assert!(lock.read_lock().is_err() && lock.is_own());
        lock.unlock().unwrap();
        assert!(lock.is_idle());
    }

    #[test]
    fn the_end_of_a_thread_gives_it_back() {
        let lock = RwLock::new();
        let other = Arc::clone(&lock);
        threads::spawn(move || {
            other.read_lock().unwrap();
            other.read_lock().unwrap();
            thread::release_all()
        })
        .join()
        .unwrap();
        lock.write_lock().unwrap();
        lock.unlock().unwrap();
    }
}
