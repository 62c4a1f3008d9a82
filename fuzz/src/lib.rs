//! The codec's own sources, compiled into an ordinary library: the package
//! itself is only what Tcl loads. The targets are in `src/bin`, what they found
//! interesting so far in `corpus`.

pub mod base;

#[path = "../../src/websocket/mod.rs"]
pub mod websocket;
