//! A driver whose requests are answered in connection threads (`ns_serve
//! -threads n`): a thread of its own, without an interpreter, accepts, reads
//! and parses, and finishes responses that peers read slowly.
//!
//! An exchange goes to the queue; as soon as its response is complete whoever
//! answers it leaves the outcome with the connection and nudges this thread.

use super::driver::Driver;
use super::exchange::{Exchange, Outcome};
use super::machine::{Machine, Step};
use super::pipeline;
use crate::base::{log, Error, Result};
use crate::connchan::accept::{self, Taken};
use crate::connchan::{foreign, Channel};
use crate::reactor::{
    Key, Mailbox, Message, Payload, Reactor, Readiness, MAYBE_READABLE, READABLE, WRITABLE,
};
use crate::tcl::command::panic_error;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

/// What is received at once.
const BUFFER: usize = 64 << 10;

/// The longest wait: nothing depends on it.
const LONG: Duration = Duration::from_secs(3600);

/// Where exchanges go to be answered.
pub trait Dispatcher: Send {
    /// Has the exchange answered. It comes back when there is no room for it.
    fn submit(&self, exchange: Box<Exchange>) -> Option<Box<Exchange>>;
    /// There will be no more.
    fn end(&self);
}

enum Role {
    Listener,
    Connection(Box<RefCell<Machine>>),
}

struct Entry {
    channel: Arc<Channel>,
    role: Role,
}

impl Payload for Entry {
    fn readiness(&self) -> &Readiness {
        &self.channel.readiness
    }
}

/// The reactor of a driver.
struct Loop {
    driver: Arc<Driver>,
    reactor: Reactor<Entry>,
    mailbox: Arc<Mailbox>,
    dispatcher: Box<dyn Dispatcher>,
    buffer: Box<[u8]>,
    /// The listening channel was closed.
    stopped: bool,
}

/// Starts the thread of a driver that listens on `channel`.
///
/// # Errors
/// The system has no thread or no event queue left.
pub fn start(driver: Arc<Driver>, channel: Arc<Channel>, dispatcher: Box<dyn Dispatcher>) -> Result<()> {
    let (ready, started) = mpsc::channel();
    let name = format!("-driver:{}-", driver.name);
    let body = move || {
        log::set_thread_name(&name);
        match Loop::new(driver, channel, dispatcher) {
            Ok(mut driver) => {
                let _ = ready.send(Ok(()));
                driver.run();
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    };
    let failed = |e: std::io::Error| Error::new(format!("cannot start the thread of a driver: {e}"));
    std::thread::Builder::new().name("ns driver".to_owned()).spawn(body).map_err(failed)?;
    started.recv().unwrap_or_else(|_| Err(Error::new("the thread of the driver has ended")))
}

/// A connection on which we have failed: it is closed, the others go on.
fn broken(panic: &(dyn Any + Send)) -> Step {
    log::write(log::BUG, &panic_error(panic).message);
    Step::Close
}

impl Loop {
    fn new(driver: Arc<Driver>, channel: Arc<Channel>, dispatcher: Box<dyn Dispatcher>) -> Result<Loop> {
        let failed = |e: std::io::Error| Error::new(format!("cannot create an event queue: {e}"));
        let mut reactor = Reactor::new().map_err(failed)?;
        let mailbox = Arc::clone(reactor.mailbox());
        let fd = channel.fd();
        let entry = Entry { channel: Arc::clone(&channel), role: Role::Listener };
        let key = reactor.add(fd, READABLE, entry).map_err(failed)?;
        foreign::settle(&channel, &mailbox, key)?;
        let buffer = vec![0; BUFFER + 1].into_boxed_slice();
        Ok(Loop { driver, reactor, mailbox, dispatcher, buffer, stopped: false })
    }

    /// Serves until the listening channel is closed and every connection gone.
    fn run(&mut self) {
        while !(self.stopped && self.reactor.is_empty()) {
            let wait = if self.reactor.ready_count() > 0 {
                Duration::ZERO
            } else {
                let until = |at: Instant| at.saturating_duration_since(Instant::now());
                self.reactor.next_timer().map_or(LONG, until).min(LONG)
            };
            // Rounded up by the poll: a deadline has passed when it returns.
            match self.reactor.poll(wait) {
                Ok(true) => self.read_mail(),
                Ok(false) => {}
                Err(error) => {
                    log::write(log::ERROR, &format!("{}: cannot wait for events: {error}", self.driver.name));
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            let now = Instant::now();
            while let Some(key) = self.reactor.take_expired(now) {
                self.serve(key, now);
            }
            for _ in 0..self.reactor.ready_count() {
                let Some(key) = self.reactor.take_ready() else { break };
                self.serve(key, Instant::now());
            }
        }
        self.dispatcher.end();
    }

    fn read_mail(&mut self) {
        for message in self.mailbox.take() {
            match message {
                Message::Nudge(key) => self.serve(key, Instant::now()),
                Message::Remove(key) => self.remove(key),
                Message::Attach(_) => {}
            }
        }
    }

    /// A channel was closed, or is at home elsewhere.
    fn remove(&mut self, key: Key) {
        let Some(entry) = self.reactor.payload(key) else { return };
        let is_listener = matches!(entry.role, Role::Listener);
        // A closed one is out of the poll set already.
        let fd = entry.channel.fd();
        drop(self.reactor.remove(key, fd));
        if is_listener {
            self.stopped = true;
            self.driver.stop();
            self.look_at_all();
        }
    }

    /// Has every connection look: the driver is about to end.
    fn look_at_all(&mut self) {
        let keys: Vec<Key> = self.reactor.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.serve(key, Instant::now());
        }
    }

    fn serve(&mut self, key: Key, now: Instant) {
        let Some(entry) = self.reactor.payload(key) else { return };
        let channel = Arc::clone(&entry.channel);
        if let Role::Listener = entry.role {
            self.accept(key, &channel, now);
            return;
        }
        if channel.is_closed() {
            self.reactor.remove(key, None);
            return;
        }
        let step = catch_unwind(AssertUnwindSafe(|| self.advance(key, &channel, now)));
        match step.unwrap_or_else(|panic| broken(&*panic)) {
            Step::Rest(deadline) => {
                self.reactor.set_deadline(key, deadline);
                self.reactor.queue_if_ready(key);
            }
            Step::Close => {
                foreign::close(&channel);
                self.reactor.remove(key, None);
            }
            Step::Leave => {
                foreign::leave(&channel, &self.mailbox);
                self.reactor.remove(key, channel.fd());
                // Its new home shall look, whatever was heard here.
                channel.nudge_home();
            }
            Step::Serve(_) => {}
        }
    }

    /// Lets a connection go on until it rests.
    fn advance(&mut self, key: Key, channel: &Channel, now: Instant) -> Step {
        let Some(Entry { role: Role::Connection(machine), .. }) = self.reactor.payload(key) else {
            return Step::Close;
        };
        let mut machine = machine.borrow_mut();
        let mut step = machine.connection().take_outcome().and_then(|outcome| machine.over(outcome, now));
        loop {
            match step.take().unwrap_or_else(|| machine.turn(channel, &mut self.buffer, now)) {
                Step::Serve(mut exchange) => {
                    if let Some(outcome) = pipeline::answer_at_once(&mut exchange) {
                        machine.recycle(exchange.take_request());
                        step = machine.over(outcome, now);
                        continue;
                    }
                    if let Some(mut refused) = self.dispatcher.submit(exchange) {
                        self.driver.statistics.dropped.fetch_add(1, Ordering::Relaxed);
                        let seconds = self.driver.settings.retry_after.to_string();
                        let (title, message) = super::pages::text(503);
                        refused.keep_alive = Some(false);
                        refused.respond_page(503, title, message, &[("retry-after", &seconds)]);
                        let outcome = machine.connection().take_outcome().unwrap_or(Outcome::broken());
                        step = machine.over(outcome, now);
                    }
                }
                other => return other,
            }
        }
    }

    fn accept(&mut self, key: Key, listening: &Arc<Channel>, now: Instant) {
        listening.readiness.clear(MAYBE_READABLE | WRITABLE);
        for _ in 0..ACCEPTS {
            match accept::take(listening) {
                Taken::Connection(channel, handshake) => self.accepted(channel, handshake, now),
                Taken::None => return,
                Taken::Pause(pause) => {
                    self.reactor.set_deadline(key, Some(now + pause));
                    return;
                }
            }
        }
        listening.readiness.set(READABLE);
        self.reactor.queue_if_ready(key);
    }

    fn accepted(&mut self, channel: Arc<Channel>, handshake: Duration, now: Instant) {
        let Some(connection) = self.driver.enter(&channel) else {
            foreign::close(&channel);
            return;
        };
        let role = Role::Connection(Box::new(RefCell::new(Machine::new(connection, handshake))));
        let entry = Entry { channel: Arc::clone(&channel), role };
        let added = self.reactor.add(channel.fd(), READABLE | WRITABLE, entry);
        match added {
            Ok(key) if foreign::settle(&channel, &self.mailbox, key).is_ok() => {
                channel.readiness.set(MAYBE_READABLE);
                self.serve(key, now);
            }
            Ok(key) => drop(self.reactor.remove(key, None)),
            Err(error) => {
                log::write(log::ERROR, &format!("{}: cannot wait for events: {error}", self.driver.name));
                foreign::close(&channel);
            }
        }
    }
}
