//! What all threads of the process share: variables (`nsv`) and the objects by
//! which threads wait for each other (`mutex`, `cond`, `rwlock`, `sema`, found
//! by name in `registry`). Nothing here knows of Tcl.
#![forbid(unsafe_code)]

pub mod cond;
pub mod mutex;
pub mod nsv;
pub mod registry;
pub mod rwlock;
pub mod sema;
pub mod thread;
