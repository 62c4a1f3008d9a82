//! Tcl's own channels, as far as commands use them: finding one by name,
//! writing bytes to it, and making one from a socket.

use super::{Interp, Obj};
use crate::base::{Error, Result};
use crate::tcl_sys as sys;
use libc::c_int;
use socket2::Socket;
use std::ffi::CString;
use std::os::fd::IntoRawFd;

/// What a channel has to be open for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

/// A channel of an interpreter of this thread. Not to be kept beyond the
/// command that found it.
#[derive(Clone, Copy)]
pub struct Channel(*mut libc::c_void);

/// Finds a channel by its name.
///
/// # Errors
/// There is none of that name, or it is not open for that.
pub fn find(interp: Interp, name: &Obj, mode: Mode) -> Result<Channel> {
    let text = name.text();
    let missing = || {
        Error::with_code(
            format!("can not find channel named \"{text}\""),
            &["TCL", "LOOKUP", "CHANNEL", &text],
        )
    };
    let c_name = CString::new(text.as_bytes()).map_err(|_| missing())?;
    let mut modes: c_int = 0;
    let saved = interp.result();
    // SAFETY: a live interpreter, a C string and a live variable.
    let found = unsafe { sys::Tcl_GetChannel(interp.as_ptr(), c_name.as_ptr(), &mut modes) };
    interp.set_result(&saved);
    if found.is_null() {
        return Err(missing());
    }
    match mode {
        Mode::Read if modes & sys::TCL_READABLE == 0 => {
            Err(Error::new(format!("channel \"{text}\" not open for reading")))
        }
        Mode::Write if modes & sys::TCL_WRITABLE == 0 => {
            Err(Error::new(format!("channel \"{text}\" wasn't opened for writing")))
        }
        _ => Ok(Channel(found)),
    }
}

impl Channel {
    /// Writes bytes as they are.
    ///
    /// # Errors
    /// The channel does not take them.
    pub fn write(self, bytes: &[u8]) -> Result<()> {
        // In pieces whose length an int can hold.
        for piece in bytes.chunks(1 << 24) {
            // SAFETY: the channel was found in this command; pointer and length
            // belong to `piece`.
            let written = unsafe { sys::Tcl_Write(self.0, piece.as_ptr().cast(), piece.len() as isize) };
            if written < 0 {
                return Err(Error::new("could not write to the channel"));
            }
        }
        Ok(())
    }
}

/// Makes a channel of a connected socket and gives it to the interpreter:
/// blocking, with full buffering. `early` was received already and is read first.
/// Its name.
///
/// # Errors
/// Tcl cannot make it.
pub fn from_socket(interp: Interp, socket: Socket, early: &[u8]) -> Result<Obj> {
    let failed = || Error::new("could not make a channel of the socket");
    socket.set_nonblocking(false).map_err(|_| failed())?;
    // SAFETY: an open socket that is Tcl's from here on.
    let channel =
        unsafe { sys::Tcl_MakeTcpClientChannel(socket.into_raw_fd() as usize as *mut libc::c_void) };
    if channel.is_null() {
        return Err(failed());
    }
    // SAFETY: a fresh channel, registered once; the options are C strings; the
    // name lives as long as the channel.
    unsafe {
        sys::Tcl_RegisterChannel(interp.as_ptr(), channel);
        for (name, value) in [(c"-translation", c"auto crlf"), (c"-buffering", c"full")] {
            sys::Tcl_SetChannelOption(interp.as_ptr(), channel, name.as_ptr(), value.as_ptr());
        }
        if !early.is_empty() {
            sys::Tcl_Ungets(channel, early.as_ptr().cast(), early.len() as isize, 0);
        }
        let name = std::ffi::CStr::from_ptr(sys::Tcl_GetChannelName(channel));
        Ok(Obj::from_str(&name.to_string_lossy()))
    }
}
