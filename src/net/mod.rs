//! Sockets: addresses, connecting, listening, waiting, descriptor numbers.
//! Knows nothing of Tcl, nor of channels.
//!
//! Every socket made here is non-blocking and close-on-exec; whoever wants to
//! wait does so by `wait`, with a deadline.

pub mod address;
pub mod connect;
pub mod descriptor;
pub mod dial;
pub mod listen;
pub mod send_file;
pub mod signal;
pub mod sys;
pub mod tls;
pub mod wait;
