//! HTTP requests to other servers, for `ns_http` (spec/support.md 5.6).
//!
//! `exchange` makes one request over a connection of its own, waiting in the
//! calling thread; `sink` is where the content goes; `task` runs exchanges in
//! threads without an interpreter. Nothing here knows of Tcl.

pub mod exchange;
pub mod sink;
pub mod task;

pub use exchange::{exchange, Failed, Limits, Reply, Request};
pub use sink::Output;
