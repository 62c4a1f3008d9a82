//! The WebSocket protocol (RFC 6455) and its compression (RFC 7692) as bytes
//! in and bytes out: no sockets, no Tcl.
//!
//! ```text
//!              handshake ── extension: what both ends agree on
//!                                │ Params
//!   received bytes ─► decoder ───┼─► Event: text, binary, ping, pong, close
//!        header, mask, utf8, inflate          or Violation: code and reason
//!   message ───────► encoder ─── deflate, frame, mask ─► bytes to send
//! ```
//!
//! Whoever owns a connection keeps the received bytes himself and shows them to
//! the [`Decoder`], which unmasks them where they lie and lends the payload out
//! of them. [`frame`] is below all that: a frame from its parts, unchecked.
#![forbid(unsafe_code)]

pub mod close;
pub mod decoder;
pub mod deflate;
pub mod encoder;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod header;
pub mod inflate;
pub mod mask;
pub mod utf8;

#[cfg(test)]
mod property_tests;

pub use close::{Close, Violation};
pub use decoder::{Config, Decoder, Event, Role, Step};
pub use encoder::Encoder;
pub use frame::{encode, random_key, Opcode};
pub use mask::apply_mask;
