//! The sources of the WebSocket codec and of the HTTP parsers, compiled into an ordinary library: the package
//! itself is only what Tcl loads. The targets are in `src/bin`, what they found
//! interesting so far in `corpus`.

pub mod base;
pub mod http;

#[path = "../../src/websocket/mod.rs"]
pub mod websocket;
