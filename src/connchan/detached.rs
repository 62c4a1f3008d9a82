//! What a channel is asked for by whoever served its connection before it got
//! a name: addresses, parts of files, and the step to a channel of scripts
//! (`ns_connchan detach`, spec/ns_connchan.md 2.4).

use super::channel::{Channel, Endpoint, Io, Peer};
use crate::base::{errno, Error, Result};
use crate::net::send_file::send_file;
use crate::reactor::{MAYBE_READABLE, WRITABLE};
use socket2::Socket;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

/// What is read of a file at once when it cannot go directly to the socket.
const FILE_CHUNK: usize = 64 << 10;

/// What sendfile is asked for at once.
const FILE_TURN: u64 = 1 << 20;

/// What a detached channel was before.
pub(super) struct Origin {
    /// When its request began.
    pub(super) started: SystemTime,
    /// What `ns_conn clientdata` has set.
    pub(super) client_data: String,
}

impl Channel {
    /// Local and remote address of the socket.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let io = self.io().lock();
        let Some(socket) = io.endpoint.as_ref().and_then(Endpoint::socket) else { return (None, None) };
        let address = |a: io::Result<socket2::SockAddr>| a.ok().and_then(|a| a.as_socket());
        (address(socket.local_addr()), address(socket.peer_addr()))
    }

    /// Bytes that wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.io().lock().pending.len()
    }

    /// The connected socket, and whether it carries nothing but what is sent:
    /// neither TLS nor bytes that still wait.
    pub(crate) fn plain_socket(&self) -> Option<Arc<Socket>> {
        match &self.io().lock().endpoint {
            Some(Endpoint::Stream(socket)) => Some(Arc::clone(socket)),
            _ => None,
        }
    }

    /// From now on, or no longer: what is sent is followed by more at once.
    pub(crate) fn set_more_follows(&self, more: bool) {
        self.io().lock().more_follows = more;
    }

    /// Sends a part of a file, without waiting: how much of it went, or was
    /// read and is kept. `None` when the socket takes nothing.
    ///
    /// # Errors
    /// The connection's, or the file's: it ends before its promised length.
    pub(crate) fn send_file_now(&self, file: &File, offset: u64, length: u64) -> Result<Option<u64>> {
        let mut io = self.io().lock();
        let io = &mut *io;
        if !io.pending.is_empty() {
            return Ok(None);
        }
        let plain: Option<RawFd> = match &io.endpoint {
            Some(Endpoint::Stream(socket)) => Some(socket.as_raw_fd()),
            Some(Endpoint::Tls(_)) => None,
            _ => return Err(self.gone()),
        };
        if let Some(fd) = plain {
            let elsewhere = !self.is_home_here();
            // The bit is cleared before the call, so that no edge is lost.
            self.readiness.clear(WRITABLE);
            return match send_file(fd, file, offset, length.min(FILE_TURN)) {
                Ok(count) => {
                    io.sent += count;
                    Ok(Some(count))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if elsewhere {
                        self.nudge();
                    }
                    Ok(None)
                }
                Err(error) => Err(file_failed(error)),
            };
        }
        self.send_chunk(io, &[], file, offset, length).map(Some)
    }

    /// Over TLS, where that saves a record: sends a head and what is behind it in a file,
    /// without waiting: how much of the file went, or was read and is kept. `None`, and
    /// nothing is sent, over anything else or when bytes still wait.
    ///
    /// # Errors
    /// As for `send_file_now`.
    pub(crate) fn send_head_and_file_now(
        &self,
        head: &[u8],
        file: &File,
        offset: u64,
        length: u64,
    ) -> Result<Option<u64>> {
        let mut io = self.io().lock();
        let io = &mut *io;
        if !io.pending.is_empty() || !matches!(io.endpoint, Some(Endpoint::Tls(_))) {
            return Ok(None);
        }
        self.send_chunk(io, head, file, offset, length).map(Some)
    }

    /// Reads a chunk of a file and sends it behind a head.
    fn send_chunk(&self, io: &mut Io, head: &[u8], file: &File, offset: u64, length: u64) -> Result<u64> {
        thread_local!(static CHUNK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        CHUNK.with_borrow_mut(|buffer| {
            buffer.resize(FILE_CHUNK, 0);
            // Both together fill whole records.
            let room = FILE_CHUNK.saturating_sub(head.len()).max(1);
            let chunk = &mut buffer[..length.min(room as u64) as usize];
            file.read_exact_at(chunk, offset).map_err(file_failed)?;
            self.send_some(io, [head, chunk])?;
            Ok(chunk.len() as u64)
        })
    }

    /// Becomes a channel of scripts: gets its name, begins to count anew, and
    /// has `early` to be read first.
    pub(crate) fn detach(
        self: &Arc<Channel>,
        started: SystemTime,
        client_data: String,
        peer: Peer,
        early: Vec<u8>,
    ) {
        {
            let mut io = self.io().lock();
            (io.sent, io.received) = (0, 0);
            io.early = early.into();
            io.peer = peer;
        }
        let _ = self.origin.set(Box::new(Origin { started, client_data }));
        self.forget_callback();
        self.readiness.set(MAYBE_READABLE | WRITABLE);
        self.enlist();
    }
}

fn file_failed(error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(code) => Error::posix(errno::message(code), code),
        None => Error::new(error.to_string()),
    }
}
