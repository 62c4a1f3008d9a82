//! Moving bytes: what `read` and `write` do to a channel, plain or TLS
//! (spec/ns_connchan.md section 4).
//!
//! An attempt to receive or send is made under the channel's lock and never
//! waits; waiting is done between attempts, without the lock. How readiness is
//! kept up: see `reactor::Readiness`.

use super::channel::{Channel, Endpoint, Io, CONFIG_SECTION, READ_SIZE, TRUNCATED};
use super::connecting::Ended;
use super::send_buffer::SendBuffer;
use crate::base::time_value::TimeValue;
use crate::base::{config, errno, log, Error, Result};
use crate::net::tls::{Failure, Session, Stop};
use crate::net::wait::{wait, Direction};
use crate::reactor::{CROSSED, HANGUP, MAYBE_READABLE, READABLE, URGENT, WRITABLE};
use socket2::Socket;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Instant;

/// How long `read` waits when no receive timeout is set; parameter
/// `connchanrecvwait`.
const DEFAULT_RECEIVE_WAIT: TimeValue = TimeValue::from_secs(30);

/// Bytes that may wait in a send buffer before further writes are refused;
/// parameter `connchanmaxsendbuffer`, 0 for no limit.
const DEFAULT_MAX_SEND_BUFFER: u64 = 256 << 20;

/// The most that one record of TLS holds (RFC 8446, section 5.1).
const RECORD: usize = 1 << 14;

/// Where received bytes arrive: one more than a read returns.
pub type Buffer = [u8; READ_SIZE + 1];

/// What one attempt to receive gave.
enum Received {
    /// So many bytes; none at the end of file.
    Bytes(usize),
    /// The connection is still being made: who tells of its end, and how long
    /// to wait for that.
    Connecting(Arc<Ended>, TimeValue),
    /// Nothing yet: what to wait for, and how long.
    Nothing(Arc<Socket>, Direction, TimeValue),
}

/// What a send waits for.
pub(crate) struct Room {
    pub(super) socket: Arc<Socket>,
    /// Bytes that wait to be sent.
    pub pending: usize,
    pub(crate) direction: Direction,
    timeout: TimeValue,
}

/// Why an attempt to send did not take everything.
enum Unsent {
    /// The socket has to become ready first.
    Later(Direction),
    /// The connection is of no use.
    Failed(Failure),
}

impl Channel {
    /// Receives what is there, at most `READ_SIZE` bytes; empty is the end of
    /// file. Waits for data up to the receive timeout.
    ///
    /// The bytes arrive in `buffer`, which is one larger: a receive that leaves
    /// room in it has taken everything, so that nobody needs to ask whether
    /// there is more. The byte too many is kept for the next read.
    ///
    /// While the connection is still being made that is waited for, unless
    /// `in_callback`; the result is empty when it takes too long
    /// (spec/async-connect.md).
    pub fn read<'a>(&self, buffer: &'a mut Buffer, in_callback: bool) -> Result<&'a [u8]> {
        let mut deadline = None;
        let mut until =
            |timeout: TimeValue| *deadline.get_or_insert_with(|| Instant::now() + timeout.as_duration());
        loop {
            let (socket, direction, timeout) = match self.receive(buffer)? {
                Received::Bytes(count) => {
                    self.trace(|| format!("received {count} bytes"));
                    return Ok(&buffer[..count]);
                }
                Received::Nothing(socket, direction, timeout) => (socket, direction, timeout),
                Received::Connecting(ended, timeout) => {
                    if in_callback || !ended.wait(until(timeout)) {
                        return Ok(&[]);
                    }
                    continue;
                }
            };
            match wait(socket.as_raw_fd(), direction, Some(until(timeout))) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(Error::timeout(format!(
                        "channel {} timeout on receive operation ({})",
                        self.name(),
                        timeout.dotted()
                    )))
                }
                Err(error) => return Err(receive_failed(error.raw_os_error().unwrap_or(libc::EIO))),
            }
        }
    }

    /// `read` without waiting, into a buffer of any size of which the last byte
    /// is not used for what is returned. `None` when there is nothing, 0 at the
    /// end of file.
    pub(crate) fn receive_now(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        Ok(match self.receive(buffer)? {
            Received::Bytes(count) => Some(count),
            Received::Nothing(..) | Received::Connecting(..) => None,
        })
    }

    /// The same, waiting for something until `deadline`.
    pub(crate) fn receive_until(&self, buffer: &mut [u8], deadline: Instant) -> Result<Option<usize>> {
        loop {
            match self.receive(buffer)? {
                Received::Bytes(count) => return Ok(Some(count)),
                Received::Connecting(ended, _) => {
                    if !ended.wait(deadline) {
                        return Ok(None);
                    }
                }
                Received::Nothing(socket, direction, _) => {
                    let ready = wait(socket.as_raw_fd(), direction, Some(deadline));
                    if !ready.map_err(|e| receive_failed(e.raw_os_error().unwrap_or(libc::EIO)))? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// One attempt to receive, without waiting.
    fn receive(&self, buffer: &mut [u8]) -> Result<Received> {
        let most = buffer.len() - 1;
        let mut io = self.io().lock();
        let io = &mut *io;
        if !io.early.is_empty() && io.endpoint.is_some() {
            return Ok(Received::Bytes(self.receive_early(io, &mut buffer[..most])));
        }
        let socket = match &io.endpoint {
            Some(Endpoint::Stream(socket)) => socket,
            Some(Endpoint::Tls(_)) => return self.receive_tls(io, buffer),
            Some(Endpoint::Listener(_)) => return Err(receive_failed(libc::ENOTCONN)),
            Some(Endpoint::Connecting(connecting)) => {
                let timeout = receive_wait(io.receive_timeout);
                return Ok(Received::Connecting(Arc::clone(connecting.ended()), timeout));
            }
            Some(Endpoint::Unconnected(unconnected)) => return Err(unconnected.refusal(&self.name())),
            None => return Err(self.gone()),
        };
        if io.late_error != 0 {
            return Err(receive_failed(std::mem::take(&mut io.late_error)));
        }
        let elsewhere = self.begin_receive();
        let kept = usize::from(io.read_ahead.is_some());
        buffer[0] = io.read_ahead.unwrap_or_default();
        let (count, ended) = loop {
            match (&**socket).read(&mut buffer[kept..]) {
                Ok(received) => break (kept + received, received == 0 || self.readiness.get() & HANGUP != 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && kept > 0 => break (kept, false),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !elsewhere {
                        self.readiness.clear(READABLE | MAYBE_READABLE);
                    }
                    let timeout = receive_wait(io.receive_timeout);
                    return Ok(Received::Nothing(Arc::clone(socket), Direction::Readable, timeout));
                }
                Err(error) => {
                    let code = error.raw_os_error().unwrap_or(libc::EIO);
                    io.receive_error = code;
                    self.readiness.set(READABLE);
                    if kept == 0 {
                        return Err(receive_failed(code));
                    }
                    // What was read ahead goes first.
                    io.late_error = code;
                    break (kept, true);
                }
            }
        };
        io.read_ahead = (count > most).then(|| buffer[most]);
        let kept_back = io.read_ahead.is_some();
        self.end_receive(elsewhere, ended || kept_back, kept_back);
        let count = count.min(most);
        io.received += count as u64;
        Ok(Received::Bytes(count))
    }

    fn receive_tls(&self, io: &mut Io, buffer: &mut [u8]) -> Result<Received> {
        let most = buffer.len() - 1;
        let Some(Endpoint::Tls(session)) = &mut io.endpoint else { return Err(self.gone()) };
        let elsewhere = self.begin_receive();
        match session.read(&mut buffer[..most], self.readiness.take_news()) {
            Ok(count) => {
                let inside = session.may_have_more();
                self.end_receive(elsewhere, inside || self.readiness.get() & HANGUP != 0, inside);
                io.received += count as u64;
                Ok(Received::Bytes(count))
            }
            Err(Stop::Wait(direction)) => {
                if !elsewhere {
                    self.readiness.clear(READABLE | MAYBE_READABLE);
                }
                if direction == Direction::Writable {
                    self.readiness.set(CROSSED);
                }
                let timeout = receive_wait(io.receive_timeout);
                Ok(Received::Nothing(Arc::clone(session.socket()), direction, timeout))
            }
            Err(Stop::End { clean }) => {
                if !clean && io.receive_error == 0 {
                    io.receive_error = TRUNCATED;
                }
                self.end_receive(elsewhere, true, true);
                Ok(Received::Bytes(0))
            }
            Err(Stop::Failed(failure)) => {
                io.receive_error = failure.errno();
                self.end_receive(elsewhere, true, true);
                Err(failure.of_transfer(""))
            }
        }
    }

    /// Hands out what was received before the channel was detached.
    fn receive_early(&self, io: &mut Io, buffer: &mut [u8]) -> usize {
        let count = io.early.len().min(buffer.len());
        buffer[..count].copy_from_slice(&io.early[..count]);
        io.early.edit(|early| drop(early.drain(..count)));
        io.received += count as u64;
        // No edge tells of the rest, nor again of what the socket has.
        self.readiness.set(MAYBE_READABLE);
        if !self.is_running() || !self.is_home_here() {
            self.nudge();
        }
        count
    }

    /// Notes that a receive begins. True when the calling thread is not the
    /// channel's home.
    fn begin_receive(&self) -> bool {
        let elsewhere = !self.is_home_here();
        if elsewhere {
            // The home reactor may hear an edge for what is read here: it
            // shall look before it calls a script.
            self.readiness.clear(READABLE);
            self.readiness.set(MAYBE_READABLE);
        }
        elsewhere
    }

    /// Notes what a receive has left: `more` to read, part of it perhaps held
    /// `back` on our side of the socket, where no edge tells of it.
    fn end_receive(&self, elsewhere: bool, more: bool, back: bool) {
        if more {
            self.readiness.set(READABLE);
        } else if !elsewhere {
            // Nothing is left. The next edge is one that this thread, the
            // home, has still to hear.
            self.readiness.clear(READABLE | MAYBE_READABLE);
            if self.readiness.get() & URGENT != 0 {
                self.readiness.set(MAYBE_READABLE);
            }
        }
        // After a callback its home looks by itself.
        if elsewhere || back && !self.is_running() {
            self.nudge();
        }
    }

    /// Whether a read would find something right now: asked of the kernel, and
    /// of OpenSSL, since a readable socket may hold less than a record.
    pub(super) fn is_readable(&self) -> bool {
        let mut io = self.io().lock();
        if !io.early.is_empty() || io.read_ahead.is_some() || io.late_error != 0 {
            return true;
        }
        match &mut io.endpoint {
            Some(Endpoint::Tls(session)) => match session.peek(self.readiness.take_news()) {
                Ok(()) => true,
                Err(direction) => {
                    if direction == Direction::Writable {
                        self.readiness.set(CROSSED);
                    }
                    false
                }
            },
            Some(Endpoint::Unconnected(_)) => true,
            Some(other) => other.fd().is_some_and(crate::net::wait::is_readable),
            None => false,
        }
    }

    /// Sends what the socket takes: first what was kept, then `data`; keeps
    /// the rest. Returns the number of bytes sent by this call. With a send
    /// timeout it waits for room until all is sent, each wait at most that
    /// long; what a timeout leaves unsent stays in the buffer.
    pub fn write(&self, data: &[u8]) -> Result<u64> {
        let (mut total, mut left) = self.send_now(data)?;
        while let Some(Room { socket, direction, timeout, .. }) = left.filter(|room| !room.timeout.is_zero())
        {
            let until = Instant::now() + timeout.as_duration();
            if !wait(socket.as_raw_fd(), direction, Some(until)).unwrap_or(true) {
                return Err(Error::timeout(format!(
                    "channel {} timeout on send operation ({})",
                    self.name(),
                    timeout.dotted()
                )));
            }
            let (count, room) = self.send_now(&[])?;
            (total, left) = (total + count, room);
        }
        Ok(total)
    }

    /// `write` without waiting: the bytes sent, and what to wait for when that
    /// was not all.
    pub(crate) fn send_now(&self, data: &[u8]) -> Result<(u64, Option<Room>)> {
        self.send_parts_now([data, &[]])
    }

    /// The same, of data that lies in two places.
    pub(crate) fn send_parts_now(&self, parts: [&[u8]; 2]) -> Result<(u64, Option<Room>)> {
        let mut io = self.io().lock();
        let io = &mut *io;
        if let Some(error) = &io.flush_error {
            return Err((**error).clone());
        }
        let mut total = 0;
        if parts != [&[] as &[u8]; 2] && is_full(io.pending.len()) {
            // What is waiting has its chance to go.
            total = self.send_some(io, [&[], &[]])?.0;
            if is_full(io.pending.len()) {
                return Err(self.send_buffer_full(io.pending.len()));
            }
        }
        let (count, room) = self.send_some(io, parts)?;
        Ok((total + count, room))
    }

    /// Sends what was kept and two parts of what is new.
    pub(super) fn send_some(&self, io: &mut Io, parts: [&[u8]; 2]) -> Result<(u64, Option<Room>)> {
        // In its home the edge for new room is heard after this call,
        // elsewhere perhaps during it.
        let elsewhere = !self.is_home_here();
        let (count, unsent) = match &mut io.endpoint {
            None => return Err(self.gone()),
            Some(Endpoint::Listener(_)) => return Err(self.send_failed(&Failure::Os(libc::EPIPE))),
            Some(Endpoint::Unconnected(unconnected)) => return Err(unconnected.refusal(&self.name())),
            Some(Endpoint::Connecting(_)) => {
                // The background sends it once there is a connection.
                parts.into_iter().for_each(|part| io.pending.push(part));
                return Ok((0, None));
            }
            Some(_) if parts == [&[] as &[u8]; 2] && io.pending.is_empty() => return Ok((0, None)),
            Some(Endpoint::Tls(session)) => {
                self.begin_send(elsewhere);
                send_tls(session, [io.pending.pending(), parts[0], parts[1]])
            }
            Some(Endpoint::Stream(socket)) => {
                self.begin_send(elsewhere);
                send(socket, &io.pending, parts, io.more_follows)
            }
        };
        let direction = match unsent {
            Some(Unsent::Failed(failure)) => {
                io.pending.clear();
                io.send_error = failure.errno();
                self.readiness.set(WRITABLE);
                if elsewhere {
                    // The home may have looked while the bit was cleared.
                    self.nudge();
                }
                return Err(self.send_failed(&failure));
            }
            Some(Unsent::Later(direction)) => direction,
            None => Direction::Writable,
        };
        io.sent += count as u64;
        if count > 0 {
            self.record_output(&mut io.output, [io.pending.pending(), parts[0], parts[1]], count);
        }
        let from_buffer = count.min(io.pending.len());
        io.pending.consume(from_buffer);
        let mut sent = count - from_buffer;
        for part in parts {
            let of_part = sent.min(part.len());
            sent -= of_part;
            io.pending.push(&part[of_part..]);
        }
        if io.pending.is_empty() {
            io.send_error = 0;
            if elsewhere {
                self.readiness.set(WRITABLE);
                self.nudge();
            }
            return Ok((count as u64, None));
        }
        io.send_error = libc::EAGAIN;
        if !elsewhere {
            self.readiness.clear(WRITABLE);
        }
        if direction == Direction::Readable {
            self.readiness.set(CROSSED);
        }
        self.trace(|| format!("sent {count} bytes, {} kept", io.pending.len()));
        let room = io.endpoint.as_ref().and_then(Endpoint::socket).map(|socket| Room {
            socket: Arc::clone(socket),
            pending: io.pending.len(),
            direction,
            timeout: io.send_timeout,
        });
        Ok((count as u64, room))
    }

    /// Sends what waits, waiting for room until `deadline`. False when that was
    /// not enough.
    pub(crate) fn flush_until(&self, deadline: Instant) -> Result<bool> {
        loop {
            let (_, room) = self.send_now(&[])?;
            let Some(Room { socket, direction, .. }) = room else { return Ok(true) };
            let ready = wait(socket.as_raw_fd(), direction, Some(deadline));
            if !ready.map_err(|e| receive_failed(e.raw_os_error().unwrap_or(libc::EIO)))? {
                return Ok(false);
            }
        }
    }

    /// Tells the peer that nothing follows, once everything has been sent; the
    /// receiving side stays open. False while something still waits.
    pub(crate) fn finish_sending(&self) -> bool {
        let mut io = self.io().lock();
        if !io.pending.is_empty() {
            return false;
        }
        if let Some(Endpoint::Tls(session)) = &mut io.endpoint {
            session.close(true);
        }
        if let Some(socket) = io.endpoint.as_ref().and_then(Endpoint::socket) {
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
        true
    }

    /// Notes that a send begins.
    fn begin_send(&self, elsewhere: bool) {
        if elsewhere {
            self.readiness.clear(WRITABLE);
        }
    }

    fn send_buffer_full(&self, pending: usize) -> Error {
        Error::with_code(
            format!("channel {} send buffer is full ({pending} bytes)", self.name()),
            &["NS_CONNCHAN", "SENDBUFFER"],
        )
    }

    fn send_failed(&self, failure: &Failure) -> Error {
        failure.of_transfer(&format!("channel {} send operation failed: ", self.name()))
    }

    /// At debug level 2 and above, appends what was sent to a file of the
    /// channel's own in the temporary directory.
    fn record_output(&self, output: &mut Option<Box<File>>, parts: [&[u8]; 3], count: usize) {
        if self.debug(-1) < 1 {
            return;
        }
        self.trace(|| format!("sent {count} bytes"));
        if self.debug(-1) < 2 {
            return;
        }
        let written = self.output_file(output).and_then(|file| {
            let mut left = count;
            parts.into_iter().try_for_each(|part| {
                let sent = left.min(part.len());
                left -= sent;
                file.write_all(&part[..sent])
            })
        });
        if let Err(error) = written {
            log::write(log::WARNING, &format!("connchan {}: cannot record output: {error}", self.name()));
        }
    }

    /// The file of `record_output`: a new one, readable by its owner alone,
    /// under a name that nobody can guess.
    fn output_file<'a>(&self, output: &'a mut Option<Box<File>>) -> io::Result<&'a mut File> {
        if output.is_none() {
            let mut suffix = [0; 6];
            openssl::rand::rand_bytes(&mut suffix).map_err(io::Error::other)?;
            let suffix: String = suffix.iter().map(|b| format!("{b:02x}")).collect();
            let path = std::env::temp_dir().join(format!("OUT-{}-{suffix}", self.name()));
            let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
            *output = Some(Box::new(file));
        }
        output.as_deref_mut().ok_or_else(|| io::Error::other("no file"))
    }
}

fn receive_failed(code: i32) -> Error {
    Error::posix(errno::message(code), code)
}

/// One system call for what was kept and what is new: bytes sent, and why they
/// may be fewer than all.
fn send(socket: &Socket, kept: &SendBuffer, new: [&[u8]; 2], more: bool) -> (usize, Option<Unsent>) {
    let flags = if more { libc::MSG_NOSIGNAL | libc::MSG_MORE } else { libc::MSG_NOSIGNAL };
    loop {
        let result = if kept.is_empty() && new[1].is_empty() {
            socket.send_with_flags(new[0], flags)
        } else {
            let all = [IoSlice::new(kept.pending()), IoSlice::new(new[0]), IoSlice::new(new[1])];
            socket.send_vectored_with_flags(&all, flags)
        };
        return match result {
            Ok(count) => (count, None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                (0, Some(Unsent::Later(Direction::Writable)))
            }
            Err(error) => (0, Some(Unsent::Failed(Failure::Os(error.raw_os_error().unwrap_or(libc::EIO))))),
        };
    }
}

/// The same over TLS, record by record, of which several parts are put into one where
/// that makes fewer. A failure behind a success is met again by the next call.
fn send_tls(session: &mut Session, parts: [&[u8]; 3]) -> (usize, Option<Unsent>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let records = |length: usize| length.div_ceil(RECORD);
    let joined = records(length) < parts.iter().map(|part| records(part.len())).sum();
    let mut place = Vec::new();
    let mut total = 0;
    while total < length {
        let rest = skip(parts, total);
        let next = rest.iter().copied().find(|part| !part.is_empty()).unwrap_or_default();
        let next =
            if joined && next.len() < RECORD.min(length - total) { gather(rest, &mut place) } else { next };
        match session.write(next) {
            Ok(count) => total += count,
            Err(Stop::Wait(direction)) => return (total, Some(Unsent::Later(direction))),
            Err(Stop::Failed(_) | Stop::End { .. }) if total > 0 => return (total, None),
            Err(Stop::Failed(failure)) => return (0, Some(Unsent::Failed(failure))),
            Err(Stop::End { .. }) => return (0, Some(Unsent::Failed(Failure::Os(libc::EPIPE)))),
        }
    }
    (total, None)
}

/// What is left of the parts behind the first `count` bytes.
fn skip(mut parts: [&[u8]; 3], mut count: usize) -> [&[u8]; 3] {
    for part in &mut parts {
        let gone = count.min(part.len());
        count -= gone;
        *part = &part[gone..];
    }
    parts
}

/// As much of the parts as one record holds, in one piece.
fn gather<'a>(parts: [&[u8]; 3], place: &'a mut Vec<u8>) -> &'a [u8] {
    place.clear();
    place.reserve_exact(RECORD);
    for part in parts {
        place.extend_from_slice(&part[..part.len().min(RECORD - place.len())]);
    }
    place
}

/// Whether so many waiting bytes are enough: the peer does not read, and the
/// buffer must not grow for ever.
fn is_full(pending: usize) -> bool {
    if pending == 0 {
        return false;
    }
    let limit = config::get_size(CONFIG_SECTION, "connchanmaxsendbuffer", DEFAULT_MAX_SEND_BUFFER);
    limit > 0 && pending as u64 >= limit
}

fn receive_wait(timeout: TimeValue) -> TimeValue {
    if timeout.is_zero() {
        config::get_time(CONFIG_SECTION, "connchanrecvwait", DEFAULT_RECEIVE_WAIT)
    } else {
        timeout
    }
}
