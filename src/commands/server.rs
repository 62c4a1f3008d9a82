//! The one virtual server of a plain tclsh, and the checks of `-server`.

use crate::base::{config, Error, Result};
use crate::tcl::{Interp, Obj};

/// Refuses the name of any other server.
pub fn check(_interp: Interp, given: &Obj) -> Result<()> {
    let text = given.text();
    if text == config::server_name() {
        Ok(())
    } else {
        Err(Error::new(format!("invalid server: '{text}'")))
    }
}
