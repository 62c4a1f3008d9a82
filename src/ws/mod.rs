//! WebSocket connections: the codec of `websocket` on a channel, with what a
//! program wants of it (messages, back-pressure, keepalive, an orderly end).
//!
//! `link` is what all threads may do with a connection: send, close, join
//! topics. `topics` sends one message to many. `settings` is what may be chosen,
//! `greeting` the opening handshake. None of these knows Tcl. `talk` is the
//! receiving side in the channel's home and calls the scripts; `client` opens
//! and receives by waiting, for programs without an event loop.

pub mod client;
pub mod greeting;
pub mod link;
pub mod settings;
pub mod talk;
pub mod topics;
