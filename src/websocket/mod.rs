//! The WebSocket protocol (RFC 6455) as bytes in and bytes out: no sockets, no
//! Tcl.
#![forbid(unsafe_code)]

pub mod frame;

pub use frame::{apply_mask, encode, random_key, Opcode};
