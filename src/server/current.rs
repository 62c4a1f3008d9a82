//! The exchange that the running script is about: in each thread a stack, since
//! a script may enter the event loop, where another request is served.

use super::exchange::Exchange;
use std::cell::RefCell;

thread_local! {
    /// Boxed as they come and go: an exchange is larger than it is worth moving.
    #[allow(clippy::vec_box)]
    static STACK: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// From now on scripts are about `exchange`.
pub fn push(exchange: Box<Exchange>) {
    STACK.with_borrow_mut(|stack| stack.push(exchange));
}

/// What `push` has begun ends.
pub fn pop() -> Option<Box<Exchange>> {
    STACK.with_borrow_mut(Vec::pop)
}

/// Runs `work` with the exchange that the running script is about. No script
/// may run meanwhile.
pub fn with<T>(work: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
    STACK.with_borrow_mut(|stack| stack.last_mut().map(|exchange| work(exchange)))
}

/// Whether there is one.
pub fn is_some() -> bool {
    STACK.with_borrow(|stack| !stack.is_empty())
}
