//! Which thread holds what: numbers that are never used again, and the locks
//! that a thread still holds when it ends.
//!
//! A script that ends its thread, or is broken off, leaves its locks held, and
//! whoever wants one would wait for ever. So each thread keeps a list of what
//! it holds, and the end of the thread gives it back (`release_all`).

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Weak;

/// A thread of this process; the number of one that has ended comes to no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadId(u64);

/// Something that a thread can hold.
pub trait Held: Send + Sync {
    /// Gives it back completely, if this thread holds it.
    fn release(&self, thread: ThreadId);
}

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(0) };
    static HELD: RefCell<Vec<(usize, Weak<dyn Held>)>> = const { RefCell::new(Vec::new()) };
}

/// The calling thread.
pub fn current() -> ThreadId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut own = OWN.get();
    if own == 0 {
        own = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        OWN.set(own);
    }
    ThreadId(own)
}

/// Notes that the calling thread holds something; `key` tells it from others.
pub fn holds(key: usize, what: Weak<dyn Held>) {
    HELD.with_borrow_mut(|held| held.push((key, what)));
}

/// Notes that it does not hold it any more.
pub fn gave_back(key: usize) {
    HELD.with_borrow_mut(|held| {
        if let Some(index) = held.iter().rposition(|(own, _)| *own == key) {
            held.swap_remove(index);
        }
    });
}

/// Gives back all that the calling thread holds; the answer is how much it was.
pub fn release_all() -> usize {
    let held = HELD.take();
    let thread = current();
    held.iter().filter_map(|(_, what)| what.upgrade()).map(|what| what.release(thread)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_differ_and_stay_the_same() {
        let there = std::thread::spawn(current).join().expect("the thread only asks its number");
        assert!(current() != there && current() == current());
    }
}
