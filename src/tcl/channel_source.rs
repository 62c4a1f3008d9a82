//! Tcl channels, as sources of bytes.
//!
//! A script names a channel; from here comes what is in it, byte by byte,
//! whatever encoding and line ends the script has set. Of a plain file the
//! descriptor can be had, so that its bytes need not pass through here at all.

use super::channel::{find, Channel, Mode};
use super::{Interp, Obj};
use crate::base::{Error, Result};
use crate::tcl_sys as sys;
use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::null_mut;

/// A channel that a script has named, open for reading.
pub struct Source<'a> {
    interp: Interp,
    name: &'a Obj,
    channel: Channel,
}

impl<'a> Source<'a> {
    /// Finds a channel.
    ///
    /// # Errors
    /// Those of [`find`].
    pub fn find(interp: Interp, name: &'a Obj) -> Result<Source<'a>> {
        Ok(Source { interp, name, channel: find(interp, name, Mode::Read)? })
    }

    /// The file behind it, with a descriptor of its own, and the present position: when it is a regular
    /// file without anything in between that would change its bytes.
    pub fn file(&self) -> Option<(File, u64)> {
        let mut handle = null_mut();
        // SAFETY: the channel was found just now, and no script has run since
        // that could have closed it.
        let fd = unsafe {
            if !sys::Tcl_GetStackedChannel(self.channel.as_ptr()).is_null() {
                return None;
            }
            if sys::Tcl_GetChannelHandle(self.channel.as_ptr(), sys::TCL_READABLE, &mut handle) != sys::TCL_OK
            {
                return None;
            }
            handle as RawFd
        };
        if fd < 0 {
            return None;
        }
        // SAFETY: Tcl holds it open during this call.
        let file = File::from(unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned().ok()?);
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        // Brings Tcl's buffers and the file into line.
        self.run(&["::seek", "", "0", "current"]).ok()?;
        let position = self.run(&["::tell", ""]).ok()?.wide().ok()?;
        Some((file, u64::try_from(position).ok()?))
    }

    /// Moves the position.
    ///
    /// # Errors
    /// Tcl's.
    pub fn seek(&self, position: u64) -> Result<()> {
        self.run(&["::seek", "", &position.to_string()]).map(drop)
    }

    /// Begins to read bytes.
    ///
    /// # Errors
    /// Tcl's.
    pub fn bytes(&self) -> Result<Bytes<'_>> {
        let mut settings = Vec::new();
        for option in ["-translation", "-encoding", "-eofchar", "-profile"] {
            // Tcl 8.6 knows no profiles.
            if let Ok(value) = self.run(&["::fconfigure", "", option]) {
                settings.push((option, value));
            }
        }
        self.run(&["::fconfigure", "", "-translation", "binary"])?;
        Ok(Bytes { source: self, settings })
    }

    /// Runs a command about the channel: the second word stands for its name.
    fn run(&self, words: &[&str]) -> Result<Obj> {
        self.run_with(words, &[])
    }

    fn run_with(&self, words: &[&str], more: &[Obj]) -> Result<Obj> {
        let saved = self.interp.result();
        let mut all: Vec<Obj> = words.iter().map(|word| Obj::from_str(word)).collect();
        all[1] = self.name.clone();
        all.extend_from_slice(more);
        let code = self.interp.call(&all);
        let result = self.interp.result();
        self.interp.set_result(&saved);
        if code == sys::TCL_OK {
            Ok(result)
        } else {
            Err(Error::new(result.text().into_owned()))
        }
    }
}

/// A channel whose bytes are being read; its settings come back at the end.
pub struct Bytes<'a> {
    source: &'a Source<'a>,
    settings: Vec<(&'static str, Obj)>,
}

impl Bytes<'_> {
    /// Reads at most `count` bytes; fewer only at the end, or when a channel that
    /// does not wait has no more.
    ///
    /// # Errors
    /// Tcl's.
    pub fn read(&self, count: u64) -> Result<Obj> {
        self.source.run(&["::read", "", &count.min(i32::MAX as u64).to_string()])
    }
}

impl Drop for Bytes<'_> {
    fn drop(&mut self) {
        let source = self.source;
        let ended = source.run(&["::eof", ""]).is_ok_and(|eof| eof.is_word("1"));
        for (option, value) in &self.settings {
            // What a script can set by itself can be set again.
            let _ = source.run_with(&["::fconfigure", "", option], std::slice::from_ref(value));
        }
        if ended {
            // With its settings a channel has forgotten that it is at its end, which scripts ask for.
            let position = source.run(&["::tell", ""]).and_then(|place| place.wide());
            let more = source.run(&["::read", "", "1"]);
            if let (Ok(position @ 0..), Ok(more)) = (position, more) {
                if !more.text().is_empty() {
                    let _ = source.seek(position as u64);
                }
            }
        }
    }
}
