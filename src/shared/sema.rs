//! Counting semaphores: `ns_sema` (spec/support.md 6.1).

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

/// A semaphore.
pub struct Sema {
    state: Mutex<(u64, usize)>,
    raised: Condvar,
}

impl Sema {
    /// A semaphore with that count.
    pub fn new(count: u64) -> Arc<Sema> {
        Arc::new(Sema { state: Mutex::new((count, 0)), raised: Condvar::new() })
    }

    /// Waits until the count is above zero, and lowers it by one.
    pub fn wait(&self) {
        let mut state = self.state.lock();
        while state.0 == 0 {
            state.1 += 1;
            self.raised.wait(&mut state);
            state.1 -= 1;
        }
        state.0 -= 1;
    }

    /// Raises the count, which lets so many go on.
    pub fn release(&self, by: u64) {
        let mut state = self.state.lock();
        state.0 = state.0.saturating_add(by);
        self.raised.notify_all();
    }

    /// Whether nobody waits.
    pub fn is_idle(&self) -> bool {
        self.state.lock().1 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_go_on_as_are_let() {
        let sema = Sema::new(1);
        sema.wait();
        let other = Arc::clone(&sema);
        let waiter = std::thread::spawn(move || {
            other.wait();
            other.wait();
        });
        while sema.is_idle() {
            std::thread::yield_now();
        }
        sema.release(3);
        waiter.join().unwrap();
        sema.wait();
        assert_eq!(*sema.state.lock(), (0, 0));
    }
}
