//! A connection of a driver: its channel, and what is still to be sent to it.
//!
//! Any thread may send; what the socket does not take at once is kept and goes
//! out when the connection's reactor says so (`pump`). Bytes are kept by the
//! channel; behind them wait pieces, such as parts of files, which are read
//! only when there is room.

use super::driver::Driver;
use super::exchange::Outcome;
use crate::connchan::Channel;
use crate::net::descriptor;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What one call of `pump` sends at most, before others have their turn.
const TURN: u64 = 1 << 20;

/// A part of a body that is not in memory yet, or waits behind one.
pub enum Piece {
    /// Bytes.
    Bytes(Vec<u8>),
    /// A part of a file. The file shall not change while it is sent: one that
    /// is cut ends the connection, since its length was promised.
    File {
        /// The file.
        file: Arc<File>,
        /// Where the part begins.
        offset: u64,
        /// Its length.
        length: u64,
    },
}

impl Piece {
    /// How many bytes it is.
    pub fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::File { length, .. } => *length,
        }
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is to be sent behind the channel's own buffer.
#[derive(Default)]
struct Output {
    pieces: VecDeque<Piece>,
    /// Bytes of `Piece::Bytes` among them.
    bytes: u64,
    /// Nothing can be sent any more.
    failed: bool,
}

/// How far sending has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// All is sent.
    Done,
    /// The socket takes no more, for now.
    Waiting,
    /// There is more, and the socket might take it.
    More,
    /// Nothing can be sent any more.
    Failed,
}

/// Local and remote address.
pub type Addresses = (Option<SocketAddr>, Option<SocketAddr>);

/// A connection.
pub struct Connection {
    /// Its channel, which has no name unless the connection is detached.
    pub channel: Arc<Channel>,
    /// Whose it is.
    pub driver: Arc<Driver>,
    /// Its place in the driver's list.
    pub(super) index: AtomicUsize,
    output: Mutex<Output>,
    /// Something may wait to be sent.
    pending: AtomicBool,
    /// The channel was given away, or its socket: nothing here is to be sent.
    given_away: AtomicBool,
    addresses: OnceLock<Addresses>,
    /// Of a connection whose requests are answered in other threads: how the last
    /// one has ended, until its reactor looks.
    outcome: Mutex<Option<Outcome>>,
    remote: bool,
}

impl Connection {
    /// A connection of `driver`, not entered in its list.
    pub(super) fn new(channel: Arc<Channel>, driver: Arc<Driver>) -> Connection {
        Connection {
            remote: driver.is_remote(),
            outcome: Mutex::new(None),
            channel,
            driver,
            index: AtomicUsize::new(usize::MAX),
            output: Mutex::default(),
            pending: AtomicBool::new(false),
            given_away: AtomicBool::new(false),
            addresses: OnceLock::new(),
        }
    }

    /// Whether its requests are answered in other threads.
    pub fn is_remote(&self) -> bool {
        self.remote
    }

    /// Leaves the outcome of an exchange for the connection's reactor.
    pub(super) fn answered(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.channel.nudge_home();
    }

    /// What was left, if anything.
    pub(super) fn take_outcome(&self) -> Option<Outcome> {
        self.outcome.lock().take()
    }

    /// Nothing more can be sent: the peer does not read.
    pub(crate) fn give_up(&self) {
        self.fail(&mut self.output.lock());
    }

    /// Its addresses, as they were when first asked for.
    pub fn addresses(&self) -> Addresses {
        *self.addresses.get_or_init(|| self.channel.addresses())
    }

    /// The address of the peer.
    pub fn peer(&self) -> Option<IpAddr> {
        self.addresses().1.map(|a| a.ip().to_canonical())
    }

    /// The same as text; empty for a unix socket.
    pub fn peer_text(&self) -> String {
        self.peer().map(|ip| ip.to_string()).unwrap_or_default()
    }

    /// Nothing more is sent from here: somebody else has the channel.
    pub(super) fn give_away(&self) {
        self.given_away.store(true, Ordering::Release);
        self.driver.leave(self);
    }

    /// Whether somebody else has the channel.
    pub fn is_given_away(&self) -> bool {
        self.given_away.load(Ordering::Acquire)
    }

    /// Sends two parts, one behind the other, and keeps what does not go at
    /// once. False when nothing can be sent any more, or when too much waits.
    pub fn send(&self, head: &[u8], body: &[u8]) -> bool {
        // Of two parts the second may be missing, not the first.
        let (head, body) = if head.is_empty() { (body, head) } else { (head, body) };
        let mut output = self.output.lock();
        if output.failed || self.is_given_away() {
            return false;
        }
        if !output.pieces.is_empty() {
            let count = (head.len() + body.len()) as u64;
            if output.bytes + count > self.driver.settings.max_send_queue {
                return self.fail(&mut output);
            }
            output.bytes += count;
            output.pieces.push_back(Piece::Bytes([head, body].concat()));
            return true;
        }
        match self.channel.send_parts_now([head, body]) {
            Ok((_, None)) => true,
            Ok((_, Some(room))) => {
                if !self.pending.swap(true, Ordering::AcqRel) && self.remote {
                    // Its reactor has to know, for the time that this may take.
                    self.channel.nudge_home();
                }
                // One response may be larger than the limit: it is there
                // already. What is added to a queue that is full may not.
                let added = (head.len() + body.len()) as u64;
                let before = (room.pending as u64).saturating_sub(added);
                if before > self.driver.settings.max_send_queue {
                    return self.fail(&mut output);
                }
                true
            }
            Err(_) => self.fail(&mut output),
        }
    }

    /// Sends a head and the pieces behind it. False when nothing can be sent any more.
    pub fn send_with_pieces(&self, head: &[u8], mut pieces: Vec<Piece>) -> bool {
        if pieces.is_empty() {
            return self.send(head, &[]);
        }
        if !self.send_with_first(head, &mut pieces) {
            self.channel.set_more_follows(true);
            let sent = self.send(head, &[]);
            self.channel.set_more_follows(false);
            if !sent {
                return false;
            }
        }
        let mut output = self.output.lock();
        if output.failed || self.is_given_away() {
            return false;
        }
        for piece in pieces {
            if let Piece::Bytes(bytes) = &piece {
                output.bytes += bytes.len() as u64;
            }
            output.pieces.push_back(piece);
        }
        self.pending.store(true, Ordering::Release);
        let progress = self.advance(&mut output);
        if matches!(progress, Progress::More | Progress::Waiting) {
            settle(&mut output.pieces);
        }
        if progress == Progress::More {
            // Goes on in the reactor.
            self.channel.nudge_home();
        }
        progress != Progress::Failed
    }

    /// Over TLS, sends a head in one record with the beginning of the file behind it. False,
    /// and nothing is sent, when that is not how it is.
    fn send_with_first(&self, head: &[u8], pieces: &mut [Piece]) -> bool {
        let Some(Piece::File { file, offset, length }) = pieces.first_mut() else { return false };
        let mut output = self.output.lock();
        if output.failed || self.is_given_away() || !output.pieces.is_empty() {
            return false;
        }
        match self.channel.send_head_and_file_now(head, file, *offset, *length) {
            Ok(Some(count)) => {
                *offset += count;
                *length -= count;
                true
            }
            Ok(None) => false,
            // It is told when the rest is to go.
            Err(_) => {
                self.fail(&mut output);
                true
            }
        }
    }

    fn fail(&self, output: &mut Output) -> bool {
        output.failed = true;
        output.pieces.clear();
        output.bytes = 0;
        self.pending.store(true, Ordering::Release);
        false
    }

    /// Whether something waits to be sent, or cannot be.
    pub fn has_output(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Bytes in memory that wait to be sent.
    pub fn waiting(&self) -> u64 {
        if !self.has_output() {
            return 0;
        }
        let output = self.output.lock();
        if output.failed {
            return 0;
        }
        output.bytes + self.channel.unsent() as u64
    }

    /// Sends on.
    pub fn pump(&self) -> Progress {
        if !self.has_output() {
            return Progress::Done;
        }
        let mut output = self.output.lock();
        if output.failed {
            return Progress::Failed;
        }
        self.advance(&mut output)
    }

    fn advance(&self, output: &mut Output) -> Progress {
        let mut sent = 0;
        loop {
            match self.channel.send_now(&[]) {
                Ok((count, None)) => sent += count,
                Ok((_, Some(_))) => return Progress::Waiting,
                Err(_) => {
                    self.fail(output);
                    return Progress::Failed;
                }
            }
            let result = match output.pieces.front_mut() {
                None => {
                    self.pending.store(false, Ordering::Release);
                    return Progress::Done;
                }
                Some(Piece::Bytes(_)) => {
                    let Some(Piece::Bytes(bytes)) = output.pieces.pop_front() else { continue };
                    output.bytes -= bytes.len() as u64;
                    sent += bytes.len() as u64;
                    self.channel.send_now(&bytes).map(|_| true).map_err(|_| ())
                }
                Some(Piece::File { length: 0, .. }) => {
                    output.pieces.pop_front();
                    Ok(true)
                }
                Some(Piece::File { file, offset, length }) => {
                    match self.channel.send_file_now(file, *offset, *length) {
                        Ok(Some(count)) => {
                            *offset += count;
                            *length -= count;
                            sent += count;
                            Ok(true)
                        }
                        Ok(None) => Ok(false),
                        Err(_) => Err(()),
                    }
                }
            };
            match result {
                Ok(true) if sent < TURN => {}
                Ok(true) => return Progress::More,
                Ok(false) => return Progress::Waiting,
                Err(()) => {
                    self.fail(output);
                    return Progress::Failed;
                }
            }
        }
    }
}

/// Files that wait stay open for a while: their descriptors move to where others do not need
/// the numbers.
fn settle(pieces: &mut VecDeque<Piece>) {
    let mut settled: Option<(Arc<File>, Arc<File>)> = None;
    for piece in pieces {
        let Piece::File { file, .. } = piece else { continue };
        // The parts of a file share it.
        match &settled {
            Some((before, after)) if Arc::ptr_eq(before, file) => *file = Arc::clone(after),
            _ => {
                let Some(moved) = descriptor::settle_file(file) else { continue };
                let moved = Arc::new(moved);
                settled = Some((std::mem::replace(file, Arc::clone(&moved)), moved));
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.leave(self);
    }
}
