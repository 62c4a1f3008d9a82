//! Connection channels: the table of names, the channel itself with its send
//! buffer and counters, and the life cycle of its callback.
//!
//! Who holds a channel: the table (while it is open), every Tcl value that
//! names it, and the home reactor's entry while a callback is registered. Any
//! thread may read, write, query or close it; its callback runs only in its
//! home: the thread that registered it, or a reactor thread (`socks`). `channel`, `transfer`, `frames`, `driver`,
//! `send_buffer` and `table` know nothing of Tcl; `home` and `slice` run the scripts, `desk` those that
//! threads without one leave.

pub mod accept;
pub mod background;
pub mod channel;
mod claim;
mod connecting;
pub mod desk;
mod detached;
pub mod driver;
pub mod foreign;
pub mod frames;
pub mod home;
pub mod native;
pub mod open;
mod send_buffer;
mod slice;
pub mod socks;
pub mod table;
mod transfer;
mod warm;

/// The atomics of `claim`; its model test has others.
mod sync {
    pub use std::sync::atomic::{AtomicU8, Ordering};
}

pub use channel::{Channel, Condition, Endpoint, Peer};
pub use driver::Driver;
