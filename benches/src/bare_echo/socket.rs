//! A socket that remembers whether it can be read.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Event;
use mio::net::TcpStream;

use super::Stream;

/// A non-blocking socket. Reading it makes no system call that must fail: after a read that was shorter than
/// its buffer, the next one says would-block without asking the kernel, until an event comes.
pub struct Socket {
    stream: TcpStream,
    /// Whether a read may yield something. Cleared by a short read and by would-block.
    readable: bool,
    /// The peer has closed or failed: only the read that says so ends the reading, a short one does not.
    closing: bool,
}

impl Socket {
    /// Nothing is known of it before the first event.
    pub fn new(stream: TcpStream) -> Socket {
        Socket { stream, readable: false, closing: false }
    }

    /// Remembers what an event tells.
    pub fn on_event(&mut self, event: &Event) {
        self.closing |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.closing;
    }

    /// Whether a read may yield something.
    pub fn is_readable(&self) -> bool {
        self.readable
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.readable {
            return Err(ErrorKind::WouldBlock.into());
        }
        let result = self.stream.read(buffer);
        match &result {
            Ok(length) => self.readable = *length == buffer.len() || self.closing,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(_) => {}
        }
        result
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn socket(&mut self) -> &mut Socket {
        self
    }

    fn holds_more(&self) -> bool {
        false
    }

    fn say_goodbye(&mut self) {}
}
