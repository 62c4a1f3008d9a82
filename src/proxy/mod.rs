//! Pools of worker processes, which evaluate scripts on behalf of this one.
//!
//! A `Pool` has handles; a `Handle` is a slot that a caller gets for himself,
//! and has a `Worker`, a process, from its first use on. What travels between
//! the processes is in `wire`. Whatever ends, or is to end, is the `reaper`'s:
//! nobody else waits for a process.
//!
//! What is evaluated are bytes here: this room knows nothing of Tcl.
//! Behaviour: spec/ns_proxy.md; for users docs/ns_proxy.n.

pub mod fault;
pub mod handle;
pub mod pool;
pub mod reaper;
pub mod service;
pub mod settings;
pub mod split;
pub mod time;
pub mod wire;
pub mod worker;

pub use fault::{Fault, Problem};
pub use handle::Handle;
pub use pool::Pool;

/// The process ends: no pool gives out handles any more, and every worker is
/// told to end.
pub fn shutdown() {
    pool::disable_all();
    reaper::shutdown();
}
