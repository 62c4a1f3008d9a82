//! A connection as a state machine: handshake, requests one after the other,
//! sending, the orderly end. It reads and parses by itself, never waits, and
//! hands out each complete request; whoever drives it (the reactor of an event
//! loop, or one in a thread of its own) has it answered and says when it is.

use super::connection::{Connection, Progress};
use super::driver::Driver;
use super::exchange::{Exchange, Outcome, State};
use super::pages::fault_response;
use super::reader::Reader;
use super::request::Request;
use crate::base::log;
use crate::connchan::accept;
use crate::connchan::Channel;
use crate::http::request_head::Fault;
use crate::net::tls::Stop;
use crate::reactor::{MAYBE_READABLE, READABLE, WRITABLE};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Receives of one turn, before others have theirs.
const RECEIVES: usize = 16;

/// Bytes of an unread rest that are drained from a connection that is closed.
const MAX_DRAINED: u64 = 4 << 20;

/// What a connection wants next.
pub enum Step {
    /// Answer this.
    Serve(Box<Exchange>),
    /// Nothing, until there is news; or until this time.
    Rest(Option<Instant>),
    /// The channel is somebody else's: forget it.
    Leave,
    /// Close the channel.
    Close,
}

fn deadline(now: Instant, wait: Duration) -> Option<Instant> {
    (!wait.is_zero()).then(|| now + wait)
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The TLS handshake is being made.
    Handshake,
    /// A request is awaited, or being received.
    Reading,
    /// A request is being answered.
    Serving,
    /// The response is being sent; then the next request.
    Sending,
    /// The response is being sent; then the end.
    Finishing,
    /// All is sent, and the peer knows. What still comes in is dropped.
    Lingering,
    /// The channel is somebody else's.
    GivenAway,
    /// Nothing is left to do.
    Over,
}

/// A connection.
pub struct Machine {
    driver: Arc<Driver>,
    connection: Arc<Connection>,
    phase: Phase,
    reader: Reader,
    /// When the phase is over.
    deadline: Option<Instant>,
    /// There was something to read that was left for later.
    unread: bool,
    /// The time of a head runs: it is not to be moved.
    late: bool,
    /// Bytes dropped while lingering.
    drained: u64,
}

impl Machine {
    /// A connection that has just been accepted; of TLS the handshake has to be
    /// made in `handshake`.
    pub fn new(connection: Arc<Connection>, handshake: Duration) -> Machine {
        let driver = Arc::clone(&connection.driver);
        let tls = connection.channel.is_tls();
        let wait = if tls { handshake } else { driver.settings.receive_wait };
        Machine {
            driver,
            connection,
            phase: if tls { Phase::Handshake } else { Phase::Reading },
            reader: Reader::default(),
            deadline: deadline(Instant::now(), wait),
            unread: false,
            late: false,
            drained: 0,
        }
    }

    /// The connection.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Goes on: there may be something to read, room to write, or a time that
    /// has come.
    pub fn turn(&mut self, channel: &Channel, buffer: &mut [u8], now: Instant) -> Step {
        if self.connection.is_given_away() && self.phase != Phase::Serving {
            return self.given_away();
        }
        if channel.readiness.get() & WRITABLE != 0 && self.phase != Phase::Handshake {
            channel.readiness.clear(WRITABLE);
            let sends = self.phase == Phase::Serving && self.deadline.is_some();
            if sends || matches!(self.phase, Phase::Sending | Phase::Finishing) {
                // There is room: the peer reads.
                self.deadline = deadline(now, self.driver.settings.send_wait);
            }
        }
        if self.deadline.is_some_and(|at| at <= now) {
            self.expire(now);
        }
        let mut receives = 0;
        loop {
            let step = match self.phase {
                Phase::Handshake => self.handshake(channel, now),
                Phase::Reading if receives == RECEIVES => {
                    channel.readiness.set(MAYBE_READABLE);
                    Some(Step::Rest(self.deadline))
                }
                Phase::Reading => {
                    receives += 1;
                    self.read(channel, buffer, now)
                }
                Phase::Serving => Some(self.serving(channel, now)),
                Phase::Sending | Phase::Finishing => self.send(channel, now),
                Phase::Lingering => Some(self.drain(channel, buffer)),
                Phase::GivenAway => Some(Step::Leave),
                Phase::Over => Some(Step::Close),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn given_away(&mut self) -> Step {
        match self.phase {
            Phase::Over => Step::Close,
            _ => Step::Leave,
        }
    }

    /// A time has come.
    fn expire(&mut self, now: Instant) {
        self.deadline = None;
        match self.phase {
            Phase::Reading if self.reader.has_begun() => {
                self.refuse(&Fault::new(408, "request was not complete in time"), now);
            }
            Phase::Sending | Phase::Finishing | Phase::Serving => {
                log::write(log::DEBUG_DRIVER, "connection closed: the peer does not read");
                if self.phase == Phase::Serving {
                    // Who still writes hears of it.
                    self.connection.give_up();
                } else {
                    self.phase = Phase::Over;
                }
            }
            Phase::GivenAway => {}
            Phase::Handshake => {
                accept::refuse(&self.connection.channel, &Stop::End { clean: false });
                self.phase = Phase::Over;
            }
            _ => self.phase = Phase::Over,
        }
    }

    /// Answers what is no request; the connection ends.
    fn refuse(&mut self, fault: &Fault, now: Instant) {
        self.driver.statistics.errors.fetch_add(1, Ordering::Relaxed);
        log::write(
            log::WARNING,
            &format!(
                "invalid request: {} ({}) from peer {}",
                fault.status,
                fault.reason,
                self.connection.peer_text()
            ),
        );
        self.connection.send(&fault_response(&self.driver, fault), &[]);
        self.phase = Phase::Finishing;
        self.deadline = deadline(now, self.driver.settings.send_wait);
    }

    /// Receives. `None` when there is more to do.
    fn read(&mut self, channel: &Channel, buffer: &mut [u8], now: Instant) -> Option<Step> {
        if channel.readiness.get() & (READABLE | MAYBE_READABLE) == 0 {
            return Some(self.wait(now));
        }
        let found = match channel.receive_now(buffer) {
            Ok(None) => return Some(self.wait(now)),
            Ok(Some(0)) | Err(_) => {
                self.phase = Phase::Over;
                return None;
            }
            Ok(Some(count)) => self.reader.feed(&buffer[..count], &self.driver.settings),
        };
        if self.reader.is_in_body() {
            // Each piece has its time; a head has one in all.
            self.deadline = deadline(now, self.driver.settings.receive_wait);
        }
        self.received(found, now)
    }

    /// What the reader has made of what was received.
    fn received(&mut self, found: Result<Option<Request>, Fault>, now: Instant) -> Option<Step> {
        match found {
            Ok(Some(request)) => return self.begin(request, now),
            Ok(None) => {
                if self.reader.take_continue() {
                    self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n", &[]);
                }
                if self.reader.has_begun() && !self.late {
                    self.late = true;
                    self.deadline = deadline(now, self.driver.settings.receive_wait);
                }
            }
            Err(fault) => self.refuse(&fault, now),
        }
        None
    }

    /// There is nothing to read: the turn is over.
    fn wait(&mut self, now: Instant) -> Step {
        if self.driver.is_stopping() && !self.reader.has_begun() {
            self.phase = Phase::Lingering;
            self.connection.channel.finish_sending();
            self.deadline = deadline(now, self.driver.settings.close_wait);
        }
        Step::Rest(self.deadline)
    }

    /// A request is complete.
    fn begin(&mut self, request: Request, now: Instant) -> Option<Step> {
        self.late = false;
        match Exchange::new(request, Arc::clone(&self.connection)) {
            Ok(mut exchange) => {
                self.phase = Phase::Serving;
                self.deadline = None;
                // Whoever gets the socket meanwhile gets what came behind the
                // request with it.
                exchange.early = self.reader.take_unread();
                Some(Step::Serve(Box::new(exchange)))
            }
            Err(fault) => {
                self.refuse(&fault, now);
                None
            }
        }
    }

    /// While a request is being answered: what is already there of the response
    /// is sent on.
    fn serving(&mut self, channel: &Channel, now: Instant) -> Step {
        self.leave_unread(channel);
        if self.connection.is_given_away() {
            return Step::Rest(None);
        }
        match self.connection.pump() {
            Progress::More => {
                channel.readiness.set(WRITABLE);
                self.deadline = deadline(now, self.driver.settings.send_wait);
            }
            // As long as nothing moves it is the same time.
            Progress::Waiting if self.deadline.is_none() => {
                self.deadline = deadline(now, self.driver.settings.send_wait);
            }
            Progress::Waiting => {}
            Progress::Done | Progress::Failed => self.deadline = None,
        }
        Step::Rest(self.deadline)
    }

    /// Gives back the memory of a request that is over.
    pub fn recycle(&mut self, request: Request) {
        self.reader.recycle(request);
    }

    /// The request was answered, or its connection given away. What there is to
    /// do next, if that is known at once.
    pub fn over(&mut self, outcome: Outcome, now: Instant) -> Option<Step> {
        let settings = &self.driver.settings;
        if self.phase != Phase::Serving {
            return None;
        }
        match outcome.state {
            State::Detached => {
                self.phase = Phase::GivenAway;
                self.deadline = None;
                return None;
            }
            // The socket is a Tcl channel's, with a descriptor of its own.
            State::Channel => {
                self.phase = Phase::Over;
                return None;
            }
            _ => {}
        }
        self.reader.give_back(outcome.early);
        self.deadline = deadline(now, settings.send_wait);
        if outcome.close || outcome.aborted {
            self.phase = Phase::Finishing;
            return None;
        }
        if self.connection.has_output() {
            self.phase = Phase::Sending;
            return None;
        }
        self.next_request(now)
    }

    /// The response is sent: the next request, which may be here already.
    fn next_request(&mut self, now: Instant) -> Option<Step> {
        self.phase = Phase::Reading;
        self.deadline = deadline(now, self.driver.settings.keep_wait);
        if std::mem::take(&mut self.unread) {
            self.connection.channel.readiness.set(MAYBE_READABLE);
        }
        if self.reader.unread() == 0 {
            return None;
        }
        let found = self.reader.resume(&self.driver.settings);
        self.received(found, now)
    }

    /// Goes on with sending. `None` when there is more to do.
    fn send(&mut self, channel: &Channel, now: Instant) -> Option<Step> {
        match self.connection.pump() {
            Progress::Done if self.phase == Phase::Sending => return self.next_request(now),
            Progress::Done => {
                channel.finish_sending();
                self.phase = Phase::Lingering;
                self.deadline = deadline(now, self.driver.settings.close_wait);
                channel.readiness.set(MAYBE_READABLE);
            }
            Progress::Failed => self.phase = Phase::Over,
            progress => {
                if progress == Progress::More {
                    channel.readiness.set(WRITABLE);
                }
                self.leave_unread(channel);
                return Some(Step::Rest(self.deadline));
            }
        }
        None
    }

    /// What the peer sends meanwhile is left where it is.
    fn leave_unread(&mut self, channel: &Channel) {
        if channel.readiness.get() & (READABLE | MAYBE_READABLE) != 0 {
            self.unread = true;
            channel.readiness.clear(READABLE | MAYBE_READABLE);
            // Its new owner, in another thread, has not to lose an edge by that.
            if self.connection.is_given_away() {
                channel.nudge_home();
            }
        }
    }

    /// Reads away what comes after the end, so that the peer gets all of the
    /// answer before the connection is cut (RFC 9112, section 9.6).
    fn drain(&mut self, channel: &Channel, buffer: &mut [u8]) -> Step {
        for _ in 0..RECEIVES {
            match channel.receive_now(buffer) {
                Ok(None) => return Step::Rest(self.deadline),
                Ok(Some(0)) | Err(_) => return Step::Close,
                Ok(Some(count)) => {
                    self.drained += count as u64;
                    if self.drained > MAX_DRAINED {
                        return Step::Close;
                    }
                }
            }
        }
        channel.readiness.set(MAYBE_READABLE);
        Step::Rest(self.deadline)
    }

    fn handshake(&mut self, channel: &Channel, now: Instant) -> Option<Step> {
        match channel.handshake() {
            Ok(()) => {
                self.phase = Phase::Reading;
                self.deadline = deadline(now, self.driver.settings.receive_wait);
                channel.readiness.set(MAYBE_READABLE);
                None
            }
            Err(Stop::Wait(_)) => {
                // The next edge, in whichever direction, is a new turn.
                channel.readiness.clear(READABLE | MAYBE_READABLE | WRITABLE);
                Some(Step::Rest(self.deadline))
            }
            Err(stop) => {
                accept::refuse(channel, &stop);
                self.phase = Phase::Over;
                None
            }
        }
    }
}
