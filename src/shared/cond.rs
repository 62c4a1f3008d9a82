//! Condition variables: `ns_cond` (spec/support.md 6.1). Who waits gives back
//! a mutex meanwhile; signals wake the longest waiting first and are lost when
//! nobody waits.

use super::mutex::Lock;
use crate::base::Result;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// A condition variable.
#[derive(Default)]
pub struct Cond {
    waiting: Mutex<VecDeque<Arc<Waiter>>>,
}

#[derive(Default)]
struct Waiter {
    signalled: Mutex<bool>,
    changed: Condvar,
}

impl Cond {
    /// A condition nobody waits for.
    pub fn new() -> Arc<Cond> {
        Arc::default()
    }

    /// Gives back `mutex`, waits for a signal until `deadline` (for ever
    /// without one), and takes `mutex` again. True when there was a signal.
    ///
    /// # Errors
    /// The calling thread does not hold the mutex; then it has not waited.
    pub fn wait(&self, mutex: &Lock, deadline: Option<Instant>) -> Result<bool> {
        let waiter = Arc::new(Waiter::default());
        {
            // Under this lock no signal comes between giving back and waiting.
            let mut waiting = self.waiting.lock();
            mutex.unlock()?;
            waiting.push_back(Arc::clone(&waiter));
        }
        let mut signalled = waiter.signalled.lock();
        while !*signalled {
            match deadline {
                None => waiter.changed.wait(&mut signalled),
                Some(deadline) => {
                    if waiter.changed.wait_until(&mut signalled, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        drop(signalled);
        let mut waiting = self.waiting.lock();
        waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
        drop(waiting);
        // A signal that came just now has chosen this waiter, and nobody else.
        let woken = *waiter.signalled.lock();
        mutex.lock()?;
        Ok(woken)
    }

    /// Wakes the one that has waited longest.
    pub fn signal(&self) {
        if let Some(waiter) = self.waiting.lock().pop_front() {
            waiter.wake();
        }
    }

    /// Wakes all.
    pub fn broadcast(&self) {
        for waiter in self.waiting.lock().drain(..) {
            waiter.wake();
        }
    }

    /// Whether nobody waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}

impl Waiter {
    fn wake(&self) {
        *self.signalled.lock() = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn without_a_signal_time_ends_the_wait() {
        let (cond, mutex) = (Cond::new(), Lock::new("mutex", false));
        assert!(cond.wait(&mutex, None).is_err(), "the mutex is not held");
        mutex.lock().unwrap();
        cond.signal();
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(cond.wait(&mutex, Some(deadline)), Ok(false));
        assert!(mutex.is_own() && cond.is_idle());
        mutex.unlock().unwrap();
    }

    #[test]
    fn signals_wake_one_and_broadcasts_all() {
        let (cond, mutex) = (Cond::new(), Lock::new("mutex", false));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (cond, mutex) = (Arc::clone(&cond), Arc::clone(&mutex));
                thread::spawn(move || {
                    mutex.lock().unwrap();
                    let woken = cond.wait(&mutex, None);
                    mutex.unlock().unwrap();
                    woken
                })
            })
            .collect();
        let wait_for = |number: usize| {
            while cond.waiting.lock().len() != number {
                thread::yield_now();
            }
        };
        wait_for(3);
        cond.signal();
        wait_for(2);
        cond.broadcast();
        for worker in workers {
            assert_eq!(worker.join().unwrap(), Ok(true));
        }
    }
}
