//! The exchange that the running script is about: in each thread a stack, since
//! a script may enter the event loop, where another request is served. What
//! else is called there, such as the callback of a channel, is about none.

use super::exchange::Exchange;
use crate::connchan::home;
use std::cell::RefCell;

/// An exchange, and how deep in slices of the home its script was called.
struct Entry {
    depth: usize,
    exchange: Box<Exchange>,
}

thread_local!(static STACK: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) });

/// From now on scripts are about `exchange`.
pub fn push(exchange: Box<Exchange>) {
    let entry = Entry { depth: home::depth(), exchange };
    STACK.with_borrow_mut(|stack| stack.push(entry));
}

/// What `push` has begun ends.
pub fn pop() -> Option<Box<Exchange>> {
    STACK.with_borrow_mut(Vec::pop).map(|entry| entry.exchange)
}

/// Runs `work` with the exchange that the running script is about. No script
/// may run meanwhile.
pub fn with<T>(work: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
    STACK.with_borrow_mut(|stack| {
        let entry = stack.last_mut().filter(|entry| entry.depth == home::depth())?;
        Some(work(&mut entry.exchange))
    })
}

/// Whether there is one.
pub fn is_some() -> bool {
    STACK.with_borrow(|stack| stack.last().is_some_and(|entry| entry.depth == home::depth()))
}
