//! Sockets: addresses, connecting, listening, waiting, descriptor numbers.
//! Processes: starting, ending, users, and what `ps` shows.
//! Knows nothing of Tcl, nor of channels.
//!
//! Every socket made here is non-blocking and close-on-exec; whoever wants to
//! wait does so by `wait`, with a deadline.

pub mod address;
pub mod beneath;
pub mod connect;
pub mod descriptor;
pub mod dial;
pub mod identity;
pub mod listen;
pub mod process;
pub mod receive;
pub mod send_file;
pub mod signal;
pub mod sys;
pub mod title;
pub mod tls;
pub mod wait;
