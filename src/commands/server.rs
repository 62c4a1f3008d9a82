//! The one virtual server of a plain tclsh, and the checks of `-server`.

use crate::base::{config, Error, Result};
use crate::tcl::{Interp, Obj};

/// Name of the server unless parameter `server` of `ns/parameters` gives
/// another.
const DEFAULT: &str = "default";

/// The server's name.
pub fn name() -> String {
    config::get("ns/parameters", "server").unwrap_or_else(|| DEFAULT.to_owned())
}

/// Refuses the name of any other server.
pub fn check(_interp: Interp, given: &Obj) -> Result<()> {
    let text = given.text();
    if text == name() {
        Ok(())
    } else {
        Err(Error::new(format!("invalid server: '{text}'")))
    }
}
