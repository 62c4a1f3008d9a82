//! Connections that live in the reactor of an interpreter's event loop
//! (`ns_serve -threads 0`): requests are read and parsed without a script, then
//! the handler is called in place.

use super::connection::{Connection, Progress};
use super::current;
use super::driver::Driver;
use super::exchange::{Exchange, State};
use super::pages::fault_response;
use super::pipeline::{Pipeline, Run};
use super::reader::Reader;
use super::request::Request;
use super::scripts::{self, InInterp};
use crate::base::log;
use crate::connchan::accept::{self, Taken};
use crate::connchan::home;
use crate::connchan::native::{Native, Turn};
use crate::connchan::Channel;
use crate::http::request_head::Fault;
use crate::net::tls::Stop;
use crate::reactor::{MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::script::{Completion, Prepared};
use crate::tcl::{Interp, Obj};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

/// Receives of one turn, before others have theirs.
const RECEIVES: usize = 16;

/// Bytes of an unread rest that are drained from a connection that is closed.
const MAX_DRAINED: u64 = 4 << 20;

/// A driver's listening channel.
pub struct Listening {
    driver: Arc<Driver>,
    interp: Interp,
    script: Obj,
    hooks: Hooks,
}

/// What the commands have to do with an exchange beyond their own call.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// A script has ended: what it has left in sets of its interpreter is taken
    /// over into the exchange.
    pub sync: fn(Interp, &mut Exchange),
    /// The exchange is over: what it has in its interpreter goes.
    pub cleanup: fn(Interp, &mut Exchange),
}

impl Listening {
    /// For a driver whose handlers run in `interp`.
    pub fn new(driver: Arc<Driver>, interp: Interp, hooks: Hooks) -> Listening {
        Listening { driver, interp, script: Obj::from_str("ns_serve"), hooks }
    }

    fn accepted(&self, channel: Arc<Channel>, handshake: Duration) {
        let Some(connection) = self.driver.enter(&channel) else {
            home::close(&channel);
            return;
        };
        let phase = if channel.is_tls() { Phase::Handshake } else { Phase::Reading };
        let wait = if channel.is_tls() { handshake } else { self.driver.settings.receive_wait };
        let attached = Attached {
            driver: Arc::clone(&self.driver),
            connection,
            interp: self.interp,
            hooks: self.hooks,
            inner: RefCell::new(Inner {
                phase,
                reader: Reader::default(),
                pipeline: Pipeline::default(),
                exchange: None,
                run: None,
                deadline: deadline(Instant::now(), wait),
                unread: false,
                late: false,
                drained: 0,
            }),
        };
        if home::register_native(self.interp, &channel, &self.script, Rc::new(attached)).is_err() {
            home::close(&channel);
        }
    }
}

fn deadline(now: Instant, wait: Duration) -> Option<Instant> {
    (!wait.is_zero()).then(|| now + wait)
}

impl Native for Listening {
    fn turn(&self, channel: &Arc<Channel>, _: &mut [u8], _: &mut Vec<Obj>, now: Instant) -> Turn {
        channel.readiness.clear(MAYBE_READABLE | WRITABLE);
        for _ in 0..ACCEPTS {
            match accept::take(channel) {
                Taken::Connection(accepted, handshake) => self.accepted(accepted, handshake),
                Taken::None => return Turn::Rest(None),
                Taken::Pause(pause) => return Turn::Rest(Some(now + pause)),
            }
        }
        channel.readiness.set(READABLE);
        Turn::Rest(None)
    }

    fn finished(&self, _: &Arc<Channel>, _: Interp, _: Completion, _: i32) {}

    fn farewell(&self, _: &Arc<Channel>) {}
}

/// The listening channel was closed.
impl Drop for Listening {
    fn drop(&mut self) {
        self.driver.stop();
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The TLS handshake is being made.
    Handshake,
    /// A request is awaited, or being received.
    Reading,
    /// A request is being served.
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

struct Inner {
    phase: Phase,
    reader: Reader,
    pipeline: Pipeline,
    /// The exchange, between scripts.
    exchange: Option<Box<Exchange>>,
    /// The script that runs.
    run: Option<Run>,
    /// When the phase is over.
    deadline: Option<Instant>,
    /// There was something to read that was left for later.
    unread: bool,
    /// A deadline of the head runs: it is not to be moved.
    late: bool,
    /// Bytes dropped while lingering.
    drained: u64,
}

/// A connection.
struct Attached {
    driver: Arc<Driver>,
    connection: Arc<Connection>,
    interp: Interp,
    hooks: Hooks,
    inner: RefCell<Inner>,
}

impl Attached {
    /// A time has come.
    fn expire(&self, inner: &mut Inner, now: Instant) {
        inner.deadline = None;
        match inner.phase {
            Phase::Reading if inner.reader.has_begun() => {
                self.refuse(inner, &Fault::new(408, "request was not complete in time"), now);
            }
            Phase::Sending | Phase::Finishing => {
                log::write(log::DEBUG_DRIVER, "connection closed: the peer does not read");
                inner.phase = Phase::Over;
            }
            Phase::Serving | Phase::GivenAway => {}
            _ => inner.phase = Phase::Over,
        }
    }

    /// Answers what is no request; the connection ends.
    fn refuse(&self, inner: &mut Inner, fault: &Fault, now: Instant) {
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
        inner.phase = Phase::Finishing;
        inner.deadline = deadline(now, self.driver.settings.send_wait);
    }

    /// Receives until there is a request. `None` when there is more to do; else
    /// the end of the turn.
    fn read(&self, channel: &Channel, inner: &mut Inner, buffer: &mut [u8], now: Instant) -> Option<Turn> {
        let settings = &self.driver.settings;
        let found = if channel.readiness.get() & (READABLE | MAYBE_READABLE) == 0 {
            return Some(self.wait(inner, now));
        } else {
            match channel.receive_now(buffer) {
                Ok(None) => return Some(self.wait(inner, now)),
                Ok(Some(0)) | Err(_) => {
                    inner.phase = Phase::Over;
                    return None;
                }
                Ok(Some(count)) => inner.reader.feed(&buffer[..count], settings),
            }
        };
        if inner.reader.is_in_body() {
            // Each piece has its time; a head has one in all.
            inner.deadline = deadline(now, settings.receive_wait);
        }
        self.received(inner, found, now);
        None
    }

    /// What the reader has made of what was received.
    fn received(&self, inner: &mut Inner, found: Result<Option<Request>, Fault>, now: Instant) {
        match found {
            Ok(Some(request)) => self.begin(inner, request, now),
            Ok(None) => {
                if inner.reader.take_continue() {
                    self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n", &[]);
                }
                if inner.reader.has_begun() && !inner.late {
                    inner.late = true;
                    inner.deadline = deadline(now, self.driver.settings.receive_wait);
                }
            }
            Err(fault) => self.refuse(inner, &fault, now),
        }
    }

    /// There is nothing to read: the turn is over.
    fn wait(&self, inner: &mut Inner, now: Instant) -> Turn {
        if self.driver.is_stopping() && !inner.reader.has_begun() {
            inner.phase = Phase::Lingering;
            self.connection.channel.finish_sending();
            inner.deadline = deadline(now, self.driver.settings.close_wait);
        }
        Turn::Rest(inner.deadline)
    }

    /// A request is complete.
    fn begin(&self, inner: &mut Inner, request: Request, now: Instant) {
        inner.late = false;
        match Exchange::new(request, Arc::clone(&self.connection)) {
            Ok(exchange) => {
                inner.exchange = Some(Box::new(exchange));
                inner.pipeline = Pipeline::default();
                inner.phase = Phase::Serving;
                inner.deadline = None;
            }
            Err((fault, _)) => self.refuse(inner, &fault, now),
        }
    }

    /// The next script of the exchange, or what follows it.
    fn serve(&self, inner: &mut Inner, now: Instant) -> Option<Turn> {
        let exchange = match &mut inner.exchange {
            Some(exchange) if !self.interp.is_deleted() => exchange,
            _ => {
                inner.phase = Phase::Over;
                return None;
            }
        };
        if let Some(run) = inner.pipeline.next(exchange) {
            let script = scripts::get(&run);
            inner.run = Some(run);
            if let Some(exchange) = inner.exchange.take() {
                current::push(exchange);
            }
            return Some(Turn::Call(script));
        }
        self.take_back_unread(inner);
        let Some(mut exchange) = inner.exchange.take() else { return None };
        (self.hooks.cleanup)(self.interp, &mut exchange);
        self.settle(inner, *exchange, now);
        None
    }

    /// An exchange is over.
    fn settle(&self, inner: &mut Inner, exchange: Exchange, now: Instant) {
        let settings = &self.driver.settings;
        match exchange.state() {
            State::Detached => {
                inner.phase = Phase::GivenAway;
                inner.deadline = None;
                return;
            }
            // The socket is a Tcl channel's, a descriptor of its own.
            State::Channel => {
                inner.phase = Phase::Over;
                return;
            }
            _ => {}
        }
        if exchange.is_aborted() {
            // What was sent so far shall arrive; then the end, unannounced.
            inner.phase = Phase::Finishing;
            inner.deadline = deadline(now, settings.send_wait);
            return;
        }
        let closes = exchange.closes();
        inner.reader.recycle(exchange.request);
        let is_sent = !self.connection.has_output();
        if closes {
            inner.phase = Phase::Finishing;
            inner.deadline = deadline(now, settings.send_wait);
        } else if is_sent {
            self.next_request(inner, now);
        } else {
            inner.phase = Phase::Sending;
            inner.deadline = deadline(now, settings.send_wait);
        }
    }

    /// The response is sent: the next request, which may be here already.
    fn next_request(&self, inner: &mut Inner, now: Instant) {
        inner.phase = Phase::Reading;
        inner.deadline = deadline(now, self.driver.settings.keep_wait);
        if std::mem::take(&mut inner.unread) {
            self.connection.channel.readiness.set(MAYBE_READABLE);
        }
        if inner.reader.unread() > 0 {
            let found = inner.reader.resume(&self.driver.settings);
            self.received(inner, found, now);
        }
    }

    /// Goes on with sending. `None` when there is more to do; else the end of
    /// the turn.
    fn send(&self, channel: &Channel, inner: &mut Inner, now: Instant) -> Option<Turn> {
        match self.connection.pump() {
            Progress::Done if inner.phase == Phase::Sending => self.next_request(inner, now),
            Progress::Done => {
                channel.finish_sending();
                inner.phase = Phase::Lingering;
                inner.deadline = deadline(now, self.driver.settings.close_wait);
                channel.readiness.set(MAYBE_READABLE);
            }
            Progress::Failed => inner.phase = Phase::Over,
            progress => {
                if progress == Progress::More {
                    channel.readiness.set(WRITABLE);
                }
                self.leave_unread(channel, inner);
                return Some(Turn::Rest(inner.deadline));
            }
        }
        None
    }

    /// What the peer sends meanwhile is left where it is.
    fn leave_unread(&self, channel: &Channel, inner: &mut Inner) {
        if channel.readiness.get() & (READABLE | MAYBE_READABLE) != 0 {
            inner.unread = true;
            channel.readiness.clear(READABLE | MAYBE_READABLE);
        }
    }

    /// Reads away what comes after the end, so that the peer gets all of the
    /// answer before the connection is cut (RFC 9112, section 9.6).
    fn drain(&self, channel: &Channel, inner: &mut Inner, buffer: &mut [u8]) -> Turn {
        for _ in 0..RECEIVES {
            match channel.receive_now(buffer) {
                Ok(None) => return Turn::Rest(inner.deadline),
                Ok(Some(0)) | Err(_) => return Turn::Close,
                Ok(Some(count)) => {
                    inner.drained += count as u64;
                    if inner.drained > MAX_DRAINED {
                        return Turn::Close;
                    }
                }
            }
        }
        channel.readiness.set(MAYBE_READABLE);
        Turn::Rest(inner.deadline)
    }

    fn handshake(&self, channel: &Channel, inner: &mut Inner, now: Instant) -> Option<Turn> {
        match channel.handshake() {
            Ok(()) => {
                inner.phase = Phase::Reading;
                inner.deadline = deadline(now, self.driver.settings.receive_wait);
                channel.readiness.set(MAYBE_READABLE);
                None
            }
            Err(Stop::Wait(_)) => {
                // The next edge, in whichever direction, is a new turn.
                channel.readiness.clear(READABLE | MAYBE_READABLE | WRITABLE);
                Some(Turn::Rest(inner.deadline))
            }
            Err(stop) => {
                accept::refuse(channel, &stop);
                inner.phase = Phase::Over;
                None
            }
        }
    }

    /// Whether whoever gets the socket in the middle of an exchange gets the
    /// bytes behind the request with it.
    fn lend_unread(&self, inner: &mut Inner) {
        if inner.reader.unread() > 0 {
            if let Some(exchange) = &mut inner.exchange {
                let bytes = inner.reader.take_unread();
                exchange.set_early(bytes);
            }
        }
    }

    /// Takes back what was lent and not used.
    fn take_back_unread(&self, inner: &mut Inner) {
        let Some(exchange) = &mut inner.exchange else { return };
        let bytes = std::mem::take(&mut exchange.early);
        if !bytes.is_empty() {
            inner.reader.give_back(bytes);
        }
    }
}

impl Native for Attached {
    fn turn(&self, channel: &Arc<Channel>, buffer: &mut [u8], _: &mut Vec<Obj>, now: Instant) -> Turn {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if channel.readiness.get() & WRITABLE != 0 && inner.phase != Phase::Handshake {
            channel.readiness.clear(WRITABLE);
            if matches!(inner.phase, Phase::Serving | Phase::Reading) && self.connection.has_output() {
                if let Progress::More = self.connection.pump() {
                    channel.readiness.set(WRITABLE);
                }
            } else if matches!(inner.phase, Phase::Sending | Phase::Finishing) {
                // There is room: the peer reads.
                inner.deadline = deadline(now, self.driver.settings.send_wait);
            }
        }
        if inner.deadline.is_some_and(|at| at <= now) {
            self.expire(inner, now);
        }
        let mut receives = 0;
        loop {
            let done = match inner.phase {
                Phase::Handshake => self.handshake(channel, inner, now),
                Phase::Reading => {
                    receives += 1;
                    if receives > RECEIVES {
                        channel.readiness.set(MAYBE_READABLE);
                        return Turn::Rest(inner.deadline);
                    }
                    self.read(channel, inner, buffer, now)
                }
                Phase::Serving => {
                    self.lend_unread(inner);
                    self.serve(inner, now)
                }
                Phase::Sending | Phase::Finishing => self.send(channel, inner, now),
                Phase::Lingering => Some(self.drain(channel, inner, buffer)),
                Phase::GivenAway => {
                    home::release(channel);
                    Some(Turn::Rest(None))
                }
                Phase::Over => Some(Turn::Close),
            };
            if let Some(turn) = done {
                return turn;
            }
        }
    }

    fn finished(&self, channel: &Arc<Channel>, interp: Interp, completion: Completion, code: i32) {
        let exchange = current::pop();
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.exchange = exchange;
        let ended = InInterp::new(interp, code, completion);
        if let (Some(exchange), Some(run)) = (&mut inner.exchange, inner.run.take()) {
            (self.hooks.sync)(interp, exchange);
            inner.pipeline.finished(exchange, &run, &ended);
        }
        self.take_back_unread(inner);
        let detached = inner.exchange.as_ref().is_some_and(|e| e.state() == State::Detached);
        if detached {
            // From now on the home calls the channel's own callback, if it has
            // one: what is still to run for the exchange runs now.
            inner.phase = Phase::GivenAway;
            home::release(channel);
            let (Some(exchange), pipeline) = (inner.exchange.take(), std::mem::take(&mut inner.pipeline))
            else {
                return;
            };
            run_rest(interp, exchange, pipeline, self.hooks);
        }
    }

    fn farewell(&self, _: &Arc<Channel>) {}
}

/// Runs what is left of an exchange whose connection was given away: traces.
fn run_rest(interp: Interp, mut exchange: Box<Exchange>, mut pipeline: Pipeline, hooks: Hooks) {
    while let Some(run) = pipeline.next(&mut exchange) {
        let script = scripts::get(&run);
        current::push(exchange);
        let (completion, code) = Prepared::run_alone(interp, &script);
        let Some(back) = current::pop() else { return };
        exchange = back;
        (hooks.sync)(interp, &mut exchange);
        pipeline.finished(&mut exchange, &run, &InInterp::new(interp, code, completion));
    }
    (hooks.cleanup)(interp, &mut exchange);
}
