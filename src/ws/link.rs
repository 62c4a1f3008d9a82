//! A connection as any thread may use it: sending, closing, its topics.
//!
//! Frames are made and handed to the channel under one lock, so that they go
//! out whole and in order, whoever sends. What the socket does not take waits
//! in the channel's send buffer, and the channel's home sends it on.

use super::settings::Settings;
use super::topics;
use crate::base::{Error, Result};
use crate::connchan::Channel;
use crate::websocket::extension::Params;
use crate::websocket::{Decoder, Encoder, Opcode};
use parking_lot::{Mutex, MutexGuard};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A frame buffer of this size is kept by each thread.
const KEPT_FRAME: usize = 256 << 10;

/// A payload of this size is sent from where it lies; to copy a smaller one
/// behind its header is cheaper than to tell the kernel of two places. (Over
/// TLS both are put into one record, which copies them all the same.)
const UNCOPIED: usize = 2048;

/// How long a waiting client waits for its peer to take a message.
const SEND_WAIT: Duration = Duration::from_secs(30);

thread_local! {
    /// Where frames are made.
    static FRAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The opening handshake is not done.
    Opening,
    /// Messages may be sent.
    Open,
    /// Our close frame is sent: nothing may follow it.
    Closing,
}

/// The sending half.
struct Sender {
    state: State,
    encoder: Encoder,
    /// More bytes waited than the high-water mark allows: the script is told
    /// when they have gone.
    above: bool,
    /// Why it is to be dropped.
    dropped: Option<Dropped>,
}

/// Why a connection is to be dropped.
#[derive(Clone, Copy)]
enum Dropped {
    Unsendable,
    SlowPeer,
}

/// The receiving half.
pub struct Receiver {
    /// The decoder.
    pub decoder: Decoder,
    /// What was received and is not decoded yet.
    pub inbox: Vec<u8>,
    /// How the connection ended, as a waiting client has been told.
    pub ended: Option<Box<(u16, String)>>,
}

/// A WebSocket connection on a channel.
pub struct Link {
    settings: Arc<Settings>,
    /// A home receives for it. Without one it is a waiting client's.
    homed: AtomicBool,
    sender: Mutex<Sender>,
    receiver: Mutex<Receiver>,
    pub(super) topics: Mutex<Vec<Arc<str>>>,
    /// The sender is closing, or to be dropped: set under its lock, and looked
    /// at without it for each message.
    disturbed: AtomicBool,
}

impl Link {
    /// Makes a connection of a channel; its opening handshake is still to be
    /// made.
    ///
    /// # Errors
    /// It is one already.
    pub fn attach(channel: &Channel, settings: Arc<Settings>) -> Result<Arc<Link>> {
        let sender = Sender {
            state: State::Opening,
            encoder: Encoder::new(settings.role),
            above: false,
            dropped: None,
        };
        let decoder = Decoder::new(settings.decoder());
        let receiver = Receiver { decoder, inbox: Vec::new(), ended: None };
        let link = Arc::new(Link {
            settings,
            homed: AtomicBool::new(false),
            sender: Mutex::new(sender),
            receiver: Mutex::new(receiver),
            topics: Mutex::default(),
            disturbed: AtomicBool::new(false),
        });
        if channel.set_companion(link.clone()) {
            Ok(link)
        } else {
            Err(wrong_state(channel, "is a WebSocket already"))
        }
    }

    /// The connection of a channel.
    ///
    /// # Errors
    /// It is none.
    pub fn of(channel: &Channel) -> Result<Arc<Link>> {
        channel.companion().ok_or_else(|| wrong_state(channel, "is no WebSocket"))
    }

    /// The same, borrowed.
    ///
    /// # Errors
    /// It is none.
    pub fn on(channel: &Channel) -> Result<&Link> {
        channel.companion_ref().ok_or_else(|| wrong_state(channel, "is no WebSocket"))
    }

    /// Its settings.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.sender.lock().state
    }

    /// A home receives from now on.
    pub(super) fn settle(&self) {
        self.homed.store(true, Ordering::Release);
    }

    /// Whether a home receives.
    pub(super) fn is_homed(&self) -> bool {
        self.homed.load(Ordering::Acquire)
    }

    /// The receiving half, for whoever receives.
    pub(super) fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.receiver.lock()
    }

    /// The same, unless another thread has it until `deadline`.
    pub(super) fn receiver_until(&self, deadline: Instant) -> Option<MutexGuard<'_, Receiver>> {
        self.receiver.try_lock_until(deadline)
    }

    /// The opening handshake is done, with this compression. Somebody may have
    /// closed the connection meanwhile; then it stays closed.
    pub(super) fn open(&self, compression: Option<&Params>, receiver: &mut Receiver) {
        let settings = &self.settings;
        let mut sender = self.sender.lock();
        if let Some(params) = compression {
            receiver.decoder = Decoder::with_compression(settings.decoder(), params);
            sender.encoder =
                Encoder::with_compression(settings.role, params, settings.level, settings.threshold);
        }
        if sender.state == State::Opening {
            sender.state = State::Open;
        }
    }

    /// Sends a message; the length of its frame. On a connection without a
    /// home, which nobody would send on for, this waits until the socket has
    /// taken all of it.
    ///
    /// # Errors
    /// The connection is not open, or has failed; it takes too long.
    pub fn send(&self, channel: &Channel, opcode: Opcode, payload: &[u8]) -> Result<usize> {
        let length = self.post(channel, opcode, payload)?;
        if !self.is_homed() && !channel.flush_until(Instant::now() + SEND_WAIT)? {
            return Err(Error::timeout(format!("channel \"{}\": timeout while sending", channel.name())));
        }
        Ok(length)
    }

    /// Sends a message as far as the socket takes it; the length of its frame.
    ///
    /// # Errors
    /// As for `send`, without waiting.
    pub(super) fn post(&self, channel: &Channel, opcode: Opcode, payload: &[u8]) -> Result<usize> {
        if payload.len() >= UNCOPIED && !channel.is_tls() {
            let mut sender = self.sender.lock();
            self.check(channel, &sender)?;
            if let Some(head) = sender.encoder.plain_message(opcode, payload) {
                self.hand_over(channel, &mut sender, [head.as_bytes(), payload])?;
                return Ok(head.as_bytes().len() + payload.len());
            }
        }
        self.transmit(channel, |encoder, out| encoder.message(opcode, payload, out))
    }

    /// Sends a ping or pong; the length of its frame.
    ///
    /// # Errors
    /// As for `send`; a payload of more than 125 bytes.
    pub fn send_control(&self, channel: &Channel, opcode: Opcode, payload: &[u8]) -> Result<usize> {
        self.transmit(channel, |encoder, out| encoder.control(opcode, payload, out))
    }

    /// Sends a frame that is made already, unmasked and uncompressed.
    ///
    /// # Errors
    /// As for `send`.
    pub(super) fn send_frame(&self, channel: &Channel, frame: &[u8]) -> Result<()> {
        let mut sender = self.sender.lock();
        self.check(channel, &sender)?;
        self.hand_over(channel, &mut sender, [frame, &[]])
    }

    /// Begins to close the connection, with a code and a reason or with
    /// neither; one that is not open yet is given up. It leaves its topics.
    /// False when that has been done already.
    ///
    /// # Errors
    /// A code that may not be sent, a reason longer than 123 bytes.
    pub fn close(&self, channel: &Channel, code: Option<u16>, reason: &str) -> Result<bool> {
        let mut sender = self.sender.lock();
        let mut frame = Vec::new();
        sender.encoder.close(code, reason, &mut frame)?;
        self.disturbed.store(true, Ordering::Release);
        match std::mem::replace(&mut sender.state, State::Closing) {
            State::Closing => return Ok(false),
            State::Opening => {}
            // A connection that cannot send it is lost, which its home will see.
            State::Open => drop(channel.send_now(&frame)),
        }
        drop(sender);
        topics::leave_all(channel.id(), self);
        channel.nudge_home();
        Ok(true)
    }

    fn transmit(
        &self,
        channel: &Channel,
        encode: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<()>,
    ) -> Result<usize> {
        FRAME.with_borrow_mut(|frame| {
            frame.clear();
            let mut sender = self.sender.lock();
            self.check(channel, &sender)?;
            encode(&mut sender.encoder, frame)?;
            self.hand_over(channel, &mut sender, [frame, &[]])?;
            let length = frame.len();
            if frame.capacity() > KEPT_FRAME {
                *frame = Vec::new();
            }
            Ok(length)
        })
    }

    /// Whether it may enter a topic.
    ///
    /// # Errors
    /// It is closing.
    pub(super) fn check_joins(&self, channel: &Channel) -> Result<()> {
        match self.state() {
            State::Opening | State::Open => Ok(()),
            State::Closing => Err(wrong_state(channel, "is closing")),
        }
    }

    fn check(&self, channel: &Channel, sender: &Sender) -> Result<()> {
        match sender.state {
            _ if sender.dropped.is_some() => Err(wrong_state(channel, "has been dropped")),
            State::Open => Ok(()),
            State::Opening => Err(wrong_state(channel, "is not open yet")),
            State::Closing => Err(wrong_state(channel, "is closing")),
        }
    }

    fn hand_over(&self, channel: &Channel, sender: &mut Sender, parts: [&[u8]; 2]) -> Result<()> {
        let room = match channel.send_parts_now(parts) {
            Ok((_, room)) => room,
            Err(error) => {
                // The peer's decompressor may depend on what it does not get.
                sender.dropped = Some(Dropped::Unsendable);
                self.disturbed.store(true, Ordering::Release);
                channel.nudge_home();
                return Err(error);
            }
        };
        let waiting = room.map_or(0, |room| room.pending);
        if waiting > self.settings.high_water {
            sender.above = true;
            // What counts is what waited before: a single long message is no
            // sign of a slow reader.
            let new = parts[0].len() + parts[1].len();
            if waiting.saturating_sub(new) > self.settings.max_pending {
                sender.dropped = Some(Dropped::SlowPeer);
                self.disturbed.store(true, Ordering::Release);
                channel.nudge_home();
            }
        }
        Ok(())
    }

    /// Sends what waits. True when the script is to be told that it has gone.
    pub(super) fn flush(&self, channel: &Channel) -> bool {
        // An error is one of the connection, which reading will meet as well.
        let all_sent = !matches!(channel.send_now(&[]), Ok((_, Some(_))));
        all_sent && std::mem::take(&mut self.sender.lock().above)
    }

    /// Whether there is reason to look at `state` and `dropped`: always when a
    /// connection was closed from this side, or cannot go on.
    pub(super) fn is_disturbed(&self) -> bool {
        self.disturbed.load(Ordering::Acquire)
    }

    /// Why it is to be dropped, if it is.
    pub(super) fn dropped(&self) -> Option<&'static str> {
        self.sender.lock().dropped.map(|dropped| match dropped {
            Dropped::Unsendable => "a message could not be sent",
            Dropped::SlowPeer => "the peer reads too slowly",
        })
    }

    /// The connection, of the channel with that number, is over: it leaves its
    /// topics.
    pub(super) fn over(&self, id: u64) {
        self.sender.lock().state = State::Closing;
        self.disturbed.store(true, Ordering::Release);
        topics::leave_all(id, self);
    }
}

fn wrong_state(channel: &Channel, what: &str) -> Error {
    Error::with_code(format!("channel \"{}\" {what}", channel.name()), &["WEBSOCKET", "STATE", what])
}
