//! The channel: a socket, its counters and errors, its send buffer, and what
//! others may know of its callback. Reading and writing: see `transfer`.
//!
//! One mutex guards the socket and its state, another the registration; they
//! are never held together except in that order, and neither is held while
//! waiting or while a script runs. Waiting readers hold the socket itself, so
//! that its descriptor cannot be taken by another while they do.

use super::background;
use super::claim::Claim;
use super::connecting::{Connecting, Unconnected};
use super::detached::Origin;
use super::driver::Driver;
use super::frames;
use super::send_buffer::SendBuffer;
use super::socks::Member;
use super::table;
use crate::base::rare_vec::RareVec;
use crate::base::time_value::TimeValue;
use crate::base::{errno, log, Error, Result};
use crate::net::listen::Listener;
use crate::net::tls;
use crate::reactor::{Key, Mailbox, Message, Readiness, ERROR, MAYBE_READABLE, READABLE, WRITABLE};
use parking_lot::Mutex;
use socket2::Socket;
use std::any::Any;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// The most that one `read` returns (spec/ns_connchan.md 4.1).
pub const READ_SIZE: usize = 16384;

/// Section of the settings below.
pub const CONFIG_SECTION: &str = "ns/parameters";

/// In place of an errno: a TLS connection ended without close_notify.
pub(super) const TRUNCATED: i32 = -1;

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

/// A listening socket, and what its connections shall speak.
pub struct Listening {
    /// The socket.
    pub listener: Listener,
    /// TLS, when they shall.
    pub tls: Option<tls::Server>,
}

/// What a channel's descriptor is.
pub enum Endpoint {
    /// A connected socket.
    Stream(Arc<Socket>),
    /// A TLS connection over a connected socket.
    Tls(Box<tls::Session>),
    /// A listening socket.
    Listener(Arc<Listening>),
    /// A connection in the making.
    Connecting(Box<Connecting>),
    /// One that could not be made.
    Unconnected(Box<Unconnected>),
}

impl Endpoint {
    /// The descriptor, if it is one.
    pub(super) fn fd(&self) -> Option<RawFd> {
        match self {
            Endpoint::Stream(socket) => Some(socket.as_raw_fd()),
            Endpoint::Tls(session) => Some(session.fd()),
            Endpoint::Listener(listening) => Some(listening.listener.socket.as_raw_fd()),
            Endpoint::Connecting(_) | Endpoint::Unconnected(_) => None,
        }
    }

    /// The connected socket.
    pub(super) fn socket(&self) -> Option<&Arc<Socket>> {
        match self {
            Endpoint::Stream(socket) => Some(socket),
            Endpoint::Tls(session) => Some(session.socket()),
            Endpoint::Listener(_) | Endpoint::Connecting(_) | Endpoint::Unconnected(_) => None,
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
    /// The entry; `None` while it is still on its way there.
    pub key: Option<Key>,
    /// The thread, as `here` counts them.
    pub thread: usize,
    /// The thread's name.
    pub name: Arc<str>,
    /// The reactor thread, if it is one.
    pub member: Option<Arc<Member>>,
}

impl Place {
    /// Leaves a message about the entry, if it is there.
    pub fn tell(&self, message: fn(Key) -> Message) {
        if let Some(key) = self.key {
            self.mailbox.send(message(key));
        }
    }

    fn is_at(&self, mailbox: &Arc<Mailbox>) -> bool {
        Arc::ptr_eq(&self.mailbox, mailbox)
    }
}

/// Registration and place, behind one lock.
#[derive(Default)]
pub struct Callback {
    /// The callback as `list` and `status` show it.
    pub registration: Option<Registration>,
    /// The entry in a reactor; a listener has one without a registration.
    pub place: Option<Place>,
    /// The entries in further reactors, of a listener that several accept from.
    pub fellows: RareVec<Place>,
}

impl Callback {
    /// Every entry.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.place.iter().chain(self.fellows.iter())
    }

    /// The entry in this reactor.
    pub fn place_at(&mut self, mailbox: &Arc<Mailbox>) -> Option<&mut Place> {
        self.place.iter_mut().chain(self.fellows.iter_mut()).find(|place| place.is_at(mailbox))
    }

    /// Takes out all entries but that in this reactor.
    pub fn take_others(&mut self, mailbox: &Arc<Mailbox>) -> Vec<Place> {
        let all = self.place.take().into_iter().chain(self.fellows.take());
        let (here, others) = all.partition::<Vec<Place>, _>(|place| place.is_at(mailbox));
        self.place = here.into_iter().next();
        others
    }
}

/// The socket and its state.
pub(super) struct Io {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) peer: Peer,
    pub(super) pending: SendBuffer,
    /// What was received before the channel was detached; read first.
    pub(super) early: RareVec<u8>,
    /// A byte that was received but did not fit the last read.
    pub(super) read_ahead: Option<u8>,
    /// errno of a failure behind that byte, 0 for none.
    pub(super) late_error: i32,
    /// More is sent at once behind what is sent now, so that the system need not make a
    /// packet of this alone.
    pub(super) more_follows: bool,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// errno of the last failed operation, or `TRUNCATED`; 0 when there was
    /// none.
    pub(super) send_error: i32,
    pub(super) receive_error: i32,
    /// Bytes that the background was to send are lost, for this reason: every
    /// write tells it, since nobody has heard of it yet.
    pub(super) flush_error: Option<Box<Error>>,
    pub(super) receive_timeout: TimeValue,
    pub(super) send_timeout: TimeValue,
    /// Where output is recorded, at debug level 2.
    pub(super) output: Option<Box<File>>,
}

/// A connection channel.
pub struct Channel {
    /// The number in its handle, given out when it is entered into the table.
    id: AtomicU64,
    started: SystemTime,
    driver: Driver,
    tls: bool,
    /// What the home reactor knows of the descriptor.
    pub readiness: Readiness,
    closed: AtomicBool,
    /// Its connection could not be made.
    failed: AtomicBool,
    /// OpenSSL keeps its buffers (see `warm`).
    keeps_buffers: AtomicBool,
    /// The background holds it.
    in_background: AtomicBool,
    /// Held while a callback is running, in whichever thread.
    claim: Claim,
    /// Counts registrations; changed under the lock of `callback`.
    generation: AtomicU32,
    /// A listener that several reactors accept from.
    shared: AtomicBool,
    /// A callback was registered at some time.
    had_callback: AtomicBool,
    debug: AtomicI32,
    /// Thread of the home reactor, 0 for none.
    home_thread: AtomicUsize,
    io: Mutex<Io>,
    /// What `read -websocket` keeps.
    pub(super) frames: frames::Slot,
    callback: Mutex<Callback>,
    /// Of a detached channel: what it was before.
    pub(super) origin: OnceLock<Box<Origin>>,
    /// What a protocol keeps with it.
    companion: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// A snapshot for `status` and `list`.
pub struct Status {
    /// When the channel was made.
    pub started: SystemTime,
    /// Its driver.
    pub driver: &'static str,
    /// Its peer.
    pub peer: String,
    /// Name of the thread that runs its callbacks, as the reference has it;
    /// empty before the first.
    pub thread: Arc<str>,
    /// Names of the threads where it is at home.
    pub homes: Vec<Arc<str>>,
    /// Bytes sent and received.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes of WebSocket frames that were received and not given out.
    pub frame_buffer: usize,
    /// Bytes that wait to be sent.
    pub send_buffer: usize,
    /// What `ns_conn clientdata` has set before it was detached.
    pub client_data: String,
    /// Bytes of the fragments of a WebSocket message.
    pub fragments: usize,
    /// Symbolic errno of the last failure to send, or empty.
    pub send_error: String,
    /// Symbolic errno of the last failure to receive, or empty.
    pub receive_error: String,
    /// Script and condition letters.
    pub callback: Option<(String, String)>,
    /// Whether its connection is still being made.
    pub connecting: bool,
    /// Why it could not be made.
    pub error: Option<Error>,
}

/// A number for the calling thread, never 0 and unique among those that live.
pub fn here() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}

impl Channel {
    /// Makes a channel and enters it into the table.
    pub fn create(endpoint: Endpoint, driver: Driver, peer: Peer) -> Arc<Channel> {
        let channel = Channel::unlisted(endpoint, driver, peer);
        channel.enlist();
        channel
    }

    /// Makes a channel that has no name yet: no script can reach it.
    pub(crate) fn unlisted(endpoint: Endpoint, driver: Driver, peer: Peer) -> Arc<Channel> {
        // What came with the end of a handshake is in OpenSSL's buffer, and no
        // edge will tell of it.
        let suspected = if matches!(endpoint, Endpoint::Tls(_)) { MAYBE_READABLE } else { 0 };
        let channel = Arc::new(Channel {
            id: AtomicU64::new(u64::MAX),
            started: SystemTime::now(),
            driver,
            tls: driver.is_tls() && !matches!(endpoint, Endpoint::Listener(_)),
            readiness: Readiness::default(),
            closed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            keeps_buffers: AtomicBool::new(false),
            in_background: AtomicBool::new(false),
            claim: Claim::default(),
            generation: AtomicU32::new(0),
            shared: AtomicBool::new(false),
            had_callback: AtomicBool::new(false),
            debug: AtomicI32::new(0),
            home_thread: AtomicUsize::new(0),
            io: Mutex::new(Io {
                endpoint: Some(endpoint),
                peer,
                pending: SendBuffer::default(),
                early: RareVec::default(),
                more_follows: false,
                read_ahead: None,
                late_error: 0,
                sent: 0,
                received: 0,
                send_error: 0,
                receive_error: 0,
                flush_error: None,
                receive_timeout: TimeValue::ZERO,
                send_timeout: TimeValue::ZERO,
                output: None,
            }),
            frames: Mutex::default(),
            callback: Mutex::default(),
            origin: OnceLock::new(),
            companion: OnceLock::new(),
        });
        channel.readiness.set(suspected);
        channel
    }

    /// Makes a channel without a socket or a name: a place in a home for a
    /// protocol that waits only for times and nudges.
    pub(super) fn bare() -> Arc<Channel> {
        let error = Error::new("it has no socket");
        let endpoint = Endpoint::Unconnected(Box::new(Unconnected { error }));
        Channel::unlisted(endpoint, Driver::PLAIN, Peer::Unknown)
    }

    /// Gives a channel its name and enters it into the table.
    pub(super) fn enlist(self: &Arc<Channel>) {
        self.id.store(table::next_id(), Ordering::Relaxed);
        table::insert(self);
    }

    /// The number in its handle.
    pub fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// Its handle.
    pub fn name(&self) -> String {
        format!("conn{}", self.id())
    }

    /// Its connection could not be made: every reason is there, to be told
    /// once to each registration.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.readiness.set(READABLE | WRITABLE | ERROR);
    }

    /// Whether its connection could not be made.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn set_in_background(&self, held: bool) {
        self.in_background.store(held, Ordering::Release);
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Keeps something of a protocol's with the channel. False when there is
    /// something already.
    pub(crate) fn set_companion(&self, companion: Arc<dyn Any + Send + Sync>) -> bool {
        self.companion.set(companion).is_ok()
    }

    /// What `set_companion` has kept, if it is of this type.
    pub(crate) fn companion<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.companion.get()?).downcast().ok()
    }

    /// The same, borrowed.
    pub(crate) fn companion_ref<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.companion.get()?.downcast_ref()
    }

    /// Has the home look whether there is something to do.
    pub(crate) fn nudge_home(&self) {
        self.readiness.set(MAYBE_READABLE);
        self.nudge();
    }

    pub(super) fn io(&self) -> &Mutex<Io> {
        &self.io
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The error for a handle that names no open channel.
    pub fn missing(handle: &str) -> Error {
        Error::new(format!("channel \"{handle}\" does not exist"))
    }

    pub(super) fn gone(&self) -> Error {
        Channel::missing(&self.name())
    }

    /// Closes the socket, drops what was not sent and leaves the table.
    /// Returns where its reactor entries are, for the caller to remove. Closing
    /// a closed channel does nothing.
    pub(super) fn close(&self) -> (Option<Place>, Vec<Place>) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return (None, Vec::new());
        }
        table::remove(self.id());
        let endpoint = {
            let mut io = self.io.lock();
            // Whoever lost bytes shall not hear that this was all.
            let complete = io.pending.is_empty() && io.receive_error == 0;
            io.pending.clear();
            let mut endpoint = io.endpoint.take();
            if let Some(Endpoint::Tls(session)) = &mut endpoint {
                session.close(complete);
                session.discard_unread();
            }
            endpoint
        };
        if let Some(socket) = endpoint.as_ref().and_then(Endpoint::socket) {
            // Someone waits for the socket and keeps it: he and the peer
            // shall notice all the same.
            if Arc::strong_count(socket) > 1 {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
        if let Some(Endpoint::Listener(listening)) = &endpoint {
            // Its home may be about to accept from it, or the kernel to look at it for its home's
            // poll set: nobody connects any more all the same.
            let _ = listening.listener.socket.shutdown(std::net::Shutdown::Both);
        }
        drop(endpoint);
        if self.in_background.load(Ordering::Acquire) {
            background::forget(self.id());
        }
        *self.frames.lock() = None;
        let mut callback = self.callback.lock();
        callback.registration = None;
        (callback.place.take(), callback.fellows.take())
    }

    /// Its descriptor, while it is open.
    pub fn fd(&self) -> Option<RawFd> {
        self.io.lock().endpoint.as_ref().and_then(Endpoint::fd)
    }

    /// The listening socket, when it is one and open.
    pub(super) fn listening(&self) -> Option<Arc<Listening>> {
        match &self.io.lock().endpoint {
            Some(Endpoint::Listener(listening)) => Some(Arc::clone(listening)),
            _ => None,
        }
    }

    /// Where a listening channel is bound, and its descriptor.
    pub fn listening_at(&self) -> Option<(SocketAddr, RawFd)> {
        let listening = self.listening()?;
        Some((listening.listener.address, listening.listener.socket.as_raw_fd()))
    }

    /// Sets the debug level and returns the one before; -1 only asks.
    pub fn debug(&self, level: i32) -> i32 {
        if level == -1 {
            self.debug.load(Ordering::Relaxed)
        } else {
            self.debug.swap(level, Ordering::Relaxed)
        }
    }

    pub(super) fn trace(&self, text: impl FnOnce() -> String) {
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

    /// Whether the calling thread is the channel's home.
    pub(super) fn is_home_here(&self) -> bool {
        self.home_thread.load(Ordering::Acquire) == here()
    }

    /// Whether the home reactor is one of another thread.
    pub(super) fn is_home_elsewhere(&self) -> bool {
        let home = self.home_thread.load(Ordering::Acquire);
        home != 0 && home != here() && !self.shared.load(Ordering::Acquire)
    }

    /// Tells the home reactor that readiness may have changed.
    pub(super) fn nudge(&self) {
        if let Some(place) = self.place() {
            place.tell(Message::Nudge);
        }
    }

    /// The reactor threads where it is at home.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        self.callback.lock().places().filter_map(|place| place.member.clone()).collect()
    }

    /// Whether reactor threads accept from it.
    pub(super) fn is_shared(&self) -> bool {
        self.callback.lock().places().any(|place| place.member.is_some())
    }

    /// Its entry in this reactor.
    pub(super) fn key_at(&self, mailbox: &Arc<Mailbox>) -> Option<Key> {
        self.callback.lock().place_at(mailbox)?.key
    }

    /// Whether it is at home in this reactor, but under another key.
    pub(super) fn is_at_under_another(&self, mailbox: &Arc<Mailbox>, key: Key) -> bool {
        let mut callback = self.callback.lock();
        callback.place_at(mailbox).is_some_and(|place| place.key.is_some_and(|other| other != key))
    }

    /// How many registrations there have been.
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// A reactor goes that a listener is at home in. Whether others remain.
    pub(super) fn leave(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut callback = self.callback.lock();
        if !self.shared.load(Ordering::Acquire) || callback.places().all(|place| place.is_at(mailbox)) {
            return false;
        }
        callback.fellows.edit(|fellows| fellows.retain(|place| !place.is_at(mailbox)));
        if callback.place.as_ref().is_some_and(|place| place.is_at(mailbox)) {
            callback.place = callback.fellows.edit(Vec::pop);
        }
        let thread = callback.place.as_ref().map_or(0, |place| place.thread);
        self.home_thread.store(thread, Ordering::Release);
        true
    }

    /// Where its entry is.
    pub(super) fn place(&self) -> Option<Place> {
        self.callback.lock().place.clone()
    }

    /// Runs `register` on registration and place, with the number of the new
    /// registration, unless the channel is closed.
    pub(super) fn change_registration<T>(
        &self,
        register: impl FnOnce(&mut Callback, u32) -> Result<T>,
    ) -> Result<T> {
        self.change_callback(|callback| {
            let before = self.generation();
            self.generation.store(before.wrapping_add(1), Ordering::Release);
            let result = register(callback, before.wrapping_add(1));
            if result.is_err() {
                self.generation.store(before, Ordering::Release);
            }
            result
        })
    }

    /// Runs `change` on registration and place, unless the channel is closed.
    pub(super) fn change_callback<T>(&self, change: impl FnOnce(&mut Callback) -> Result<T>) -> Result<T> {
        let mut callback = self.callback.lock();
        // `close` sets the flag before it takes this lock.
        if self.is_closed() {
            return Err(self.gone());
        }
        let result = change(&mut callback);
        self.shared.store(!callback.fellows.is_empty(), Ordering::Release);
        self.home_thread.store(callback.place.as_ref().map_or(0, |p| p.thread), Ordering::Release);
        if callback.registration.is_some() {
            self.had_callback.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Claims the channel for a callback; false when one is running.
    pub(super) fn begin_callback(&self) -> bool {
        self.claim.take()
    }

    /// No callback was ever registered: what served the channel so far was none.
    pub(super) fn forget_callback(&self) {
        self.callback.lock().registration = None;
        self.had_callback.store(false, Ordering::Relaxed);
    }

    /// Whether a callback is running, in whichever thread.
    pub(super) fn is_running(&self) -> bool {
        self.claim.is_taken()
    }

    /// Ends what `begin_callback` began. A home that found it running, be it
    /// another one by now, looks again.
    pub(super) fn end_callback(&self) {
        if self.claim.release() {
            self.nudge();
        }
    }

    /// Goes on with the handshake of a TLS connection.
    pub(crate) fn handshake(&self) -> std::result::Result<(), tls::Stop> {
        match &mut self.io.lock().endpoint {
            Some(Endpoint::Tls(session)) => session.handshake(),
            _ => Err(tls::Stop::End { clean: true }),
        }
    }

    /// Lets OpenSSL keep the buffers of a TLS connection, or take them back. False
    /// when that is so already.
    pub(super) fn keep_buffers(&self, keep: bool) -> bool {
        if self.keeps_buffers.load(Ordering::Relaxed) == keep {
            return false;
        }
        self.keeps_buffers.store(keep, Ordering::Relaxed);
        if let Some(Endpoint::Tls(session)) = &mut self.io.lock().endpoint {
            session.keep_buffers(keep);
        }
        true
    }

    /// What is known of a TLS connection.
    pub fn tls_info(&self) -> Option<tls::Info> {
        match &self.io.lock().endpoint {
            Some(Endpoint::Tls(session)) => Some(session.info()),
            _ => None,
        }
    }

    /// The driver under which it is listed.
    pub(super) fn driver(&self) -> Driver {
        self.driver
    }

    /// What `status` and `list` show.
    pub fn status(&self) -> Status {
        let (frame_buffer, fragments) = self.frame_bytes();
        let io = self.io.lock();
        let symbol = |code| match code {
            0 => String::new(),
            TRUNCATED => "TRUNCATED".to_owned(),
            code => errno::name(code),
        };
        let (sent, received, send_buffer) = (io.sent, io.received, io.pending.len());
        let (send_error, receive_error) = (symbol(io.send_error), symbol(io.receive_error));
        let peer = io.peer.text();
        let connecting = matches!(io.endpoint, Some(Endpoint::Connecting(_)));
        let error = match &io.endpoint {
            Some(Endpoint::Unconnected(unconnected)) => Some(unconnected.error.clone()),
            _ => None,
        };
        drop(io);
        let callback = self.callback.lock();
        let registration = callback.registration.as_ref();
        let homes: Vec<Arc<str>> = callback.places().map(|place| Arc::clone(&place.name)).collect();
        let thread = match &callback.place {
            _ if !self.had_callback.load(Ordering::Relaxed) => "".into(),
            Some(Place { member: Some(_), name, .. }) => Arc::clone(name),
            _ => "-socks-".into(),
        };
        Status {
            started: self.origin.get().map_or(self.started, |o| o.started),
            client_data: self.origin.get().map(|o| o.client_data.clone()).unwrap_or_default(),
            driver: self.driver.name(),
            peer,
            thread,
            homes,
            sent,
            received,
            frame_buffer,
            send_buffer,
            fragments,
            send_error,
            receive_error,
            callback: registration.map(|r| (r.script.to_string(), r.condition.letters())),
            connecting,
            error,
        }
    }
}
