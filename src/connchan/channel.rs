//! The channel: a socket, its counters and errors, its send buffer, and what
//! others may know of its callback.
//!
//! One mutex guards the socket and its state, another the registration; they
//! are never held together except in that order, and neither is held while
//! waiting or while a script runs. Waiting readers hold the socket itself, so
//! that its descriptor cannot be taken by another while they do.

use super::send_buffer::SendBuffer;
use super::table;
use crate::base::time_value::TimeValue;
use crate::base::{config, errno, log, Error, Result};
use crate::net::listen::Listener;
use crate::net::wait::{wait, Direction};
use crate::reactor::{Key, Mailbox, Readiness, ERROR, HANGUP, MAYBE_READABLE, READABLE, URGENT, WRITABLE};
use parking_lot::Mutex;
use socket2::Socket;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// The most that one `read` returns (spec/ns_connchan.md 4.1).
pub const READ_SIZE: usize = 16384;

/// Section of the settings below.
pub const CONFIG_SECTION: &str = "ns/parameters";

/// How long `read` waits when no receive timeout is set; parameter
/// `connchanrecvwait`.
const DEFAULT_RECEIVE_WAIT: TimeValue = TimeValue::from_secs(30);

/// Bytes that may wait in a send buffer before further writes are refused;
/// parameter `connchanmaxsendbuffer`, 0 for no limit.
const DEFAULT_MAX_SEND_BUFFER: i64 = 256 << 20;

/// The driver under which a channel is listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    /// Plain sockets.
    Plain,
}

impl Driver {
    /// The module name of the reference's driver.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Plain => "nssock",
        }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub enum Peer {
    /// Nobody: a listening handle.
    Listening,
    /// A host.
    Ip(IpAddr),
    /// A unix socket without a name, or a peer that has already gone.
    Unknown,
}

impl Peer {
    /// As shown by `list` and `status`.
    pub fn text(&self) -> String {
        match self {
            Peer::Listening => "0.0.0.0".into(),
            Peer::Ip(ip) => ip.to_string(),
            Peer::Unknown => String::new(),
        }
    }
}

/// What a channel's descriptor is.
pub enum Endpoint {
    /// A connected socket.
    Stream(Arc<Socket>),
    /// A listening socket.
    Listener(Arc<Listener>),
}

impl Endpoint {
    fn fd(&self) -> RawFd {
        match self {
            Endpoint::Stream(socket) => socket.as_raw_fd(),
            Endpoint::Listener(listener) => listener.socket.as_raw_fd(),
        }
    }
}

/// The reasons for which a script wants to be called: letters of `rwex`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Condition(u8);

impl Condition {
    const SHUTDOWN: u8 = 128;

    /// Parses the `when` argument of `callback`.
    pub fn parse(when: &str) -> Result<Condition> {
        let mut bits = 0;
        for letter in when.chars() {
            bits |= match letter {
                'r' => READABLE,
                'w' => WRITABLE,
                'e' => ERROR,
                'x' => Condition::SHUTDOWN,
                _ => 0,
            };
        }
        if when.is_empty() || when.len() > 4 || !when.bytes().all(|b| b"rwex".contains(&b)) {
            return Err(Error::new(format!(
                "invalid when specification: \"{when}\": should be one/more of r, w, e, or x"
            )));
        }
        Ok(Condition(bits))
    }

    /// The letters, in the order `rwex`.
    pub fn letters(self) -> String {
        let all = [(READABLE, 'r'), (WRITABLE, 'w'), (ERROR, 'e'), (Condition::SHUTDOWN, 'x')];
        all.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, letter)| letter).collect()
    }

    /// The part that a reactor watches.
    pub fn interest(self) -> u8 {
        self.0 & (READABLE | WRITABLE | ERROR)
    }

    /// Whether the script wants to hear of the end of its interpreter.
    pub fn wants_shutdown(self) -> bool {
        self.0 & Condition::SHUTDOWN != 0
    }
}

/// What other threads may know of a registered callback.
pub struct Registration {
    /// The script, as text.
    pub script: Box<str>,
    /// Its condition.
    pub condition: Condition,
}

/// Where a channel's entry is: in whose reactor, under which key.
#[derive(Clone)]
pub struct Place {
    /// The letter box of the home reactor.
    pub mailbox: Arc<Mailbox>,
    /// The entry.
    pub key: Key,
    /// The thread, as `here` counts them.
    pub thread: usize,
}

/// Registration and place, behind one lock.
#[derive(Default)]
pub struct Callback {
    /// The callback as `list` and `status` show it.
    pub registration: Option<Registration>,
    /// The entry in a reactor; a listener has one without a registration.
    pub place: Option<Place>,
}

/// What one attempt to receive gave.
enum Received {
    /// So many bytes; none at the end of file.
    Bytes(usize),
    /// Nothing yet: what to wait for, and how long.
    Nothing(Arc<Socket>, TimeValue),
}

struct Io {
    endpoint: Option<Endpoint>,
    pending: SendBuffer,
    /// A byte that was received but did not fit the last read.
    read_ahead: Option<u8>,
    /// errno of a failure behind that byte, 0 for none.
    late_error: i32,
    sent: u64,
    received: u64,
    /// errno of the last failed operation; 0 when there was none.
    send_error: i32,
    receive_error: i32,
    receive_timeout: TimeValue,
    send_timeout: TimeValue,
    /// Where output is recorded, at debug level 2.
    output: Option<Box<File>>,
}

/// A connection channel.
pub struct Channel {
    id: u64,
    started: SystemTime,
    driver: Driver,
    peer: Peer,
    /// What the home reactor knows of the descriptor.
    pub readiness: Readiness,
    closed: AtomicBool,
    /// A callback is running, in whichever thread.
    running: AtomicBool,
    /// A callback was registered at some time.
    had_callback: AtomicBool,
    debug: AtomicI32,
    /// Thread of the home reactor, 0 for none.
    home_thread: AtomicUsize,
    io: Mutex<Io>,
    callback: Mutex<Callback>,
}

/// A snapshot for `status` and `list`.
pub struct Status {
    /// When the channel was made.
    pub started: SystemTime,
    /// Its driver.
    pub driver: &'static str,
    /// Its peer.
    pub peer: String,
    /// Name of the thread that runs its callbacks; empty before the first.
    pub thread: &'static str,
    /// Bytes sent and received.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes that wait to be sent.
    pub send_buffer: usize,
    /// Symbolic errno of the last failure to send, or empty.
    pub send_error: String,
    /// Symbolic errno of the last failure to receive, or empty.
    pub receive_error: String,
    /// Script and condition letters.
    pub callback: Option<(String, String)>,
}

/// A number for the calling thread, never 0 and unique among those that live.
pub fn here() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}

impl Channel {
    /// Makes a channel and enters it into the table.
    pub fn create(endpoint: Endpoint, driver: Driver, peer: Peer) -> Arc<Channel> {
        let channel = Arc::new(Channel {
            id: table::next_id(),
            started: SystemTime::now(),
            driver,
            peer,
            readiness: Readiness::default(),
            closed: AtomicBool::new(false),
            running: AtomicBool::new(false),
            had_callback: AtomicBool::new(false),
            debug: AtomicI32::new(0),
            home_thread: AtomicUsize::new(0),
            io: Mutex::new(Io {
                endpoint: Some(endpoint),
                pending: SendBuffer::default(),
                read_ahead: None,
                late_error: 0,
                sent: 0,
                received: 0,
                send_error: 0,
                receive_error: 0,
                receive_timeout: TimeValue::ZERO,
                send_timeout: TimeValue::ZERO,
                output: None,
            }),
            callback: Mutex::default(),
        });
        table::insert(&channel);
        channel
    }

    /// The number in its handle.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its handle.
    pub fn name(&self) -> String {
        format!("conn{}", self.id)
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The error for a handle that names no open channel.
    pub fn missing(handle: &str) -> Error {
        Error::new(format!("channel \"{handle}\" does not exist"))
    }

    fn gone(&self) -> Error {
        Channel::missing(&self.name())
    }

    /// Closes the socket, drops what was not sent and leaves the table.
    /// Returns where its reactor entry is, for the caller to remove. Closing
    /// a closed channel does nothing.
    pub(super) fn close(&self) -> Option<Place> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return None;
        }
        table::remove(self.id);
        let endpoint = {
            let mut io = self.io.lock();
            io.pending.clear();
            io.endpoint.take()
        };
        if let Some(Endpoint::Stream(socket)) = &endpoint {
            // Someone waits for the socket and keeps it: he and the peer
            // shall notice all the same.
            if Arc::strong_count(socket) > 1 {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
        drop(endpoint);
        let mut callback = self.callback.lock();
        callback.registration = None;
        callback.place.take()
    }

    /// Its descriptor, while it is open.
    pub fn fd(&self) -> Option<RawFd> {
        self.io.lock().endpoint.as_ref().map(Endpoint::fd)
    }

    /// The listening socket, when it is one and open.
    pub(super) fn listener(&self) -> Option<Arc<Listener>> {
        match &self.io.lock().endpoint {
            Some(Endpoint::Listener(listener)) => Some(Arc::clone(listener)),
            _ => None,
        }
    }

    /// Where a listening channel is bound, and its descriptor.
    pub fn listening_at(&self) -> Option<(SocketAddr, RawFd)> {
        let listener = self.listener()?;
        Some((listener.address, listener.socket.as_raw_fd()))
    }

    /// Sets the debug level and returns the one before; -1 only asks.
    pub fn debug(&self, level: i32) -> i32 {
        if level == -1 {
            self.debug.load(Ordering::Relaxed)
        } else {
            self.debug.swap(level, Ordering::Relaxed)
        }
    }

    fn trace(&self, text: impl FnOnce() -> String) {
        if self.debug.load(Ordering::Relaxed) >= 1 {
            log::write(log::NOTICE, &format!("connchan {}: {}", self.name(), text()));
        }
    }

    /// Sets the timeouts that were given; 0 restores the default.
    pub fn set_timeouts(&self, receive: Option<TimeValue>, send: Option<TimeValue>) {
        if receive.is_none() && send.is_none() {
            return;
        }
        let mut io = self.io.lock();
        io.receive_timeout = receive.unwrap_or(io.receive_timeout);
        io.send_timeout = send.unwrap_or(io.send_timeout);
    }

    /// Receives what is there, at most `READ_SIZE` bytes; empty is the end of
    /// file. Waits for data up to the receive timeout.
    ///
    /// The bytes arrive in `buffer`, which is one larger: a receive that leaves
    /// room in it has taken everything, so that nobody needs to ask whether
    /// there is more. The byte too many is kept for the next read.
    pub fn read<'a>(&self, buffer: &'a mut [u8; READ_SIZE + 1]) -> Result<&'a [u8]> {
        let mut deadline = None;
        loop {
            let (socket, timeout) = match self.receive(buffer)? {
                Received::Bytes(count) => {
                    self.trace(|| format!("received {count} bytes"));
                    return Ok(&buffer[..count]);
                }
                Received::Nothing(socket, timeout) => (socket, timeout),
            };
            let until = *deadline.get_or_insert_with(|| Instant::now() + timeout.as_duration());
            match wait(socket.as_raw_fd(), Direction::Readable, Some(until)) {
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

    /// One attempt to receive, without waiting.
    fn receive(&self, buffer: &mut [u8; READ_SIZE + 1]) -> Result<Received> {
        let mut io = self.io.lock();
        let io = &mut *io;
        let socket = match &io.endpoint {
            Some(Endpoint::Stream(socket)) => socket,
            Some(Endpoint::Listener(_)) => return Err(receive_failed(libc::ENOTCONN)),
            None => return Err(self.gone()),
        };
        if io.late_error != 0 {
            return Err(receive_failed(std::mem::take(&mut io.late_error)));
        }
        let elsewhere = !self.is_home_here();
        if elsewhere {
            // The home reactor may hear an edge for what is read here: it
            // shall look before it calls a script.
            self.readiness.clear(READABLE);
            self.readiness.set(MAYBE_READABLE);
        }
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
                    let timeout = if io.receive_timeout.is_zero() {
                        default_receive_wait()
                    } else {
                        io.receive_timeout
                    };
                    return Ok(Received::Nothing(Arc::clone(socket), timeout));
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
        io.read_ahead = (count > READ_SIZE).then(|| buffer[READ_SIZE]);
        if ended || io.read_ahead.is_some() {
            self.readiness.set(READABLE);
        } else if !elsewhere {
            // Nothing is left. The next edge is one that this thread, the
            // home, has still to hear.
            self.readiness.clear(READABLE | MAYBE_READABLE);
            if self.readiness.get() & URGENT != 0 {
                self.readiness.set(MAYBE_READABLE);
            }
        }
        // No edge tells the home of a byte that was read ahead; after a
        // callback it looks by itself.
        if elsewhere || io.read_ahead.is_some() && !self.running.load(Ordering::Acquire) {
            self.nudge();
        }
        let count = count.min(READ_SIZE);
        io.received += count as u64;
        Ok(Received::Bytes(count))
    }

    /// Whether a read would find something right now: asked of the kernel.
    pub(super) fn is_readable(&self) -> bool {
        let io = self.io.lock();
        io.read_ahead.is_some()
            || io.late_error != 0
            || io.endpoint.as_ref().is_some_and(|e| crate::net::wait::is_readable(e.fd()))
    }

    /// Sends what the socket takes: first what was kept, then `data`; keeps
    /// the rest. Returns the number of bytes sent by this call. With a send
    /// timeout it waits for room until all is sent, each wait at most that
    /// long; what a timeout leaves unsent stays in the buffer.
    pub fn write(&self, data: &[u8]) -> Result<u64> {
        let mut total = 0u64;
        let mut data = data;
        loop {
            let (socket, timeout) = {
                let mut io = self.io.lock();
                let io = &mut *io;
                let socket = match &io.endpoint {
                    Some(Endpoint::Stream(socket)) => socket,
                    Some(Endpoint::Listener(_)) => return Err(self.send_failed(libc::EPIPE)),
                    None => return Err(self.gone()),
                };
                let full = !data.is_empty() && is_full(io.pending.len());
                let taken = if full { &[] } else { data };
                if data.is_empty() && io.pending.is_empty() {
                    return Ok(total);
                }
                // In its home the edge for new room is heard after this call,
                // elsewhere perhaps during it.
                let elsewhere = !self.is_home_here();
                if elsewhere {
                    self.readiness.clear(WRITABLE);
                }
                match send(socket, &io.pending, taken) {
                    Ok(count) => {
                        total += count as u64;
                        io.sent += count as u64;
                        self.record_output(&mut io.output, io.pending.pending(), taken, count);
                        let from_buffer = count.min(io.pending.len());
                        io.pending.consume(from_buffer);
                        io.pending.push(&taken[count - from_buffer..]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => io.pending.push(taken),
                    Err(error) => {
                        let code = error.raw_os_error().unwrap_or(libc::EIO);
                        io.pending.clear();
                        io.send_error = code;
                        self.readiness.set(WRITABLE);
                        return Err(self.send_failed(code));
                    }
                }
                if full {
                    // What was waiting has had its chance to go.
                    if is_full(io.pending.len()) {
                        return Err(self.send_buffer_full(io.pending.len()));
                    }
                    continue;
                }
                data = &[];
                if io.pending.is_empty() {
                    io.send_error = 0;
                    if elsewhere {
                        self.readiness.set(WRITABLE);
                        self.nudge();
                    }
                    return Ok(total);
                }
                io.send_error = libc::EAGAIN;
                if !elsewhere {
                    self.readiness.clear(WRITABLE);
                }
                if io.send_timeout.is_zero() {
                    self.trace(|| format!("sent {total} bytes, {} kept", io.pending.len()));
                    return Ok(total);
                }
                (Arc::clone(socket), io.send_timeout)
            };
            let until = Instant::now() + timeout.as_duration();
            if !wait(socket.as_raw_fd(), Direction::Writable, Some(until)).unwrap_or(true) {
                return Err(Error::timeout(format!(
                    "channel {} timeout on send operation ({})",
                    self.name(),
                    timeout.dotted()
                )));
            }
        }
    }

    fn send_buffer_full(&self, pending: usize) -> Error {
        Error::with_code(
            format!("channel {} send buffer is full ({pending} bytes)", self.name()),
            &["NS_CONNCHAN", "SENDBUFFER"],
        )
    }

    fn send_failed(&self, code: i32) -> Error {
        let reason = errno::message(code);
        Error::posix(format!("channel {} send operation failed: {reason}", self.name()), code)
    }

    /// At debug level 2 and above, appends what was sent to a file of the
    /// channel's own in the temporary directory.
    fn record_output(&self, output: &mut Option<Box<File>>, kept: &[u8], new: &[u8], count: usize) {
        if self.debug.load(Ordering::Relaxed) < 1 {
            return;
        }
        self.trace(|| format!("sent {count} bytes"));
        if self.debug.load(Ordering::Relaxed) < 2 {
            return;
        }
        let from_kept = count.min(kept.len());
        let written = self.output_file(output).and_then(|file| {
            file.write_all(&kept[..from_kept])?;
            file.write_all(&new[..count - from_kept])
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

    /// Whether the calling thread is the channel's home.
    fn is_home_here(&self) -> bool {
        self.home_thread.load(Ordering::Acquire) == here()
    }

    /// Whether the home reactor is one of another thread.
    pub(super) fn is_home_elsewhere(&self) -> bool {
        let home = self.home_thread.load(Ordering::Acquire);
        home != 0 && home != here()
    }

    /// Tells the home reactor that readiness may have changed.
    pub(super) fn nudge(&self) {
        if let Some(place) = self.place() {
            place.mailbox.send(crate::reactor::Message::Nudge(place.key));
        }
    }

    /// Where its entry is.
    pub(super) fn place(&self) -> Option<Place> {
        self.callback.lock().place.clone()
    }

    /// Runs `change` on registration and place, unless the channel is closed.
    pub(super) fn change_callback<T>(&self, change: impl FnOnce(&mut Callback) -> Result<T>) -> Result<T> {
        let mut callback = self.callback.lock();
        // `close` sets the flag before it takes this lock.
        if self.is_closed() {
            return Err(self.gone());
        }
        let result = change(&mut callback);
        self.home_thread.store(callback.place.as_ref().map_or(0, |p| p.thread), Ordering::Release);
        if callback.registration.is_some() {
            self.had_callback.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Claims the channel for a callback; false when one is running.
    pub(super) fn begin_callback(&self) -> bool {
        !self.running.swap(true, Ordering::AcqRel)
    }

    /// Ends what `begin_callback` began.
    pub(super) fn end_callback(&self) {
        self.running.store(false, Ordering::Release);
    }

    /// What `status` and `list` show.
    pub fn status(&self) -> Status {
        let io = self.io.lock();
        let symbol = |code| if code == 0 { String::new() } else { errno::name(code) };
        let (sent, received, send_buffer) = (io.sent, io.received, io.pending.len());
        let (send_error, receive_error) = (symbol(io.send_error), symbol(io.receive_error));
        drop(io);
        let callback = self.callback.lock();
        let registration = callback.registration.as_ref();
        Status {
            started: self.started,
            driver: self.driver.name(),
            peer: self.peer.text(),
            thread: if self.had_callback.load(Ordering::Relaxed) { "-socks-" } else { "" },
            sent,
            received,
            send_buffer,
            send_error,
            receive_error,
            callback: registration.map(|r| (r.script.to_string(), r.condition.letters())),
        }
    }
}

fn receive_failed(code: i32) -> Error {
    Error::posix(errno::message(code), code)
}

/// One system call for what was kept and what is new.
fn send(socket: &Socket, kept: &SendBuffer, new: &[u8]) -> io::Result<usize> {
    if kept.is_empty() {
        socket.send_with_flags(new, libc::MSG_NOSIGNAL)
    } else {
        socket
            .send_vectored_with_flags(&[IoSlice::new(kept.pending()), IoSlice::new(new)], libc::MSG_NOSIGNAL)
    }
}

/// Whether so many waiting bytes are enough: the peer does not read, and the
/// buffer must not grow for ever.
fn is_full(pending: usize) -> bool {
    if pending == 0 {
        return false;
    }
    let limit = config::get_int(CONFIG_SECTION, "connchanmaxsendbuffer", DEFAULT_MAX_SEND_BUFFER);
    limit > 0 && pending as u64 >= limit as u64
}

fn default_receive_wait() -> TimeValue {
    config::get_time(CONFIG_SECTION, "connchanrecvwait", DEFAULT_RECEIVE_WAIT)
}
