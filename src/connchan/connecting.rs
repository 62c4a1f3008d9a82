//! A connection that is still being made: what a channel is until then, and
//! what it is when that has failed (spec/async-connect.md, and section 7.3 of
//! spec/ns_connchan.md for the words).

use super::channel::{Channel, Endpoint, Io, Peer};
use super::driver::Driver;
use crate::base::time_value::TimeValue;
use crate::base::{errno, Error, Result};
use crate::net::address::canonical;
use crate::net::dial::{Dial, Fault, Step, Stream};
use crate::net::wait::{wait_any, Direction};
use crate::reactor::{Message, MAYBE_READABLE};
use parking_lot::{Condvar, Mutex};
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

/// Where to connect to, and until when.
pub(super) struct Goal {
    /// A host, or the path of a unix socket.
    pub host: String,
    /// The port; 0 of a unix socket.
    pub port: u16,
    /// The time it may take, for messages.
    pub timeout: TimeValue,
    /// When that is over.
    pub deadline: Instant,
}

impl Goal {
    pub fn new(host: &str, port: u16, timeout: TimeValue) -> Goal {
        Goal { host: host.to_owned(), port, timeout, deadline: Instant::now() + timeout.as_duration() }
    }

    pub fn timed_out(&self) -> Error {
        let Goal { host, port, timeout, .. } = self;
        Error::timeout(format!("timeout while connecting to {host} port {port} after {}s", timeout.dotted()))
    }

    /// `can't connect to HOST port PORT: REASON`, with the errno when there is
    /// one; what the resolver says has the errorCode `RESOLVE HOST {text}`.
    pub fn failed(&self, error: &io::Error) -> Error {
        let prefix = format!("can't connect to {} port {}: ", self.host, self.port);
        match error.raw_os_error() {
            Some(code) => Error::posix(prefix + &errno::message(code), code),
            // A path that does not fit a unix socket's address.
            None if error.kind() == io::ErrorKind::InvalidInput => {
                Error::posix(prefix + &errno::message(libc::ENAMETOOLONG), libc::ENAMETOOLONG)
            }
            None => {
                let text = error.to_string();
                Error::with_code(prefix + &text, &["RESOLVE", &self.host, &text])
            }
        }
    }

    /// The error when the time is over: what an address has answered, else
    /// that none did in time.
    fn out_of_time(&self, dial: &mut Dial) -> Error {
        dial.answer().map_or_else(|| self.timed_out(), |fault| self.fault(fault))
    }

    fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::Connect(error) => self.failed(&error),
            Fault::Tls(error) => error,
        }
    }
}

/// Drives a connection to its end in the calling thread, waiting until the
/// goal's deadline.
pub(super) fn wait_for(goal: &Goal, mut dial: Dial) -> Result<(Endpoint, Peer)> {
    loop {
        let now = Instant::now();
        let again = match dial.step(now) {
            Step::Done(stream, address) => return Ok((endpoint(stream), peer(address))),
            Step::Failed(fault) => return Err(goal.fault(fault)),
            // Asked of the clock and not of the wait: a peer that drips its
            // part of a handshake always has something to be waited for.
            Step::Pending(_) if now >= goal.deadline => return Err(goal.out_of_time(&mut dial)),
            Step::Pending(again) => again,
        };
        let until = again.map_or(goal.deadline, |again| again.min(goal.deadline));
        let waits: Vec<(RawFd, Direction)> = dial.waits().into_iter().map(|(_, fd, d)| (fd, d)).collect();
        wait_any(&waits, Some(until)).map_err(|e| goal.failed(&e))?;
    }
}

fn endpoint(stream: Stream) -> Endpoint {
    match stream {
        Stream::Plain(socket) => Endpoint::Stream(socket),
        Stream::Tls(session) => Endpoint::Tls(session),
    }
}

fn peer(address: Option<SocketAddr>) -> Peer {
    address.map_or(Peer::Unknown, |a| Peer::Ip(canonical(a.ip())))
}

/// A connection in the making, as a channel's endpoint.
pub struct Connecting {
    goal: Goal,
    dial: Dial,
    ended: Arc<Ended>,
}

/// Tells those who wait for the end of connecting.
#[derive(Default)]
pub(super) struct Ended {
    over: Mutex<bool>,
    changed: Condvar,
}

impl Ended {
    /// Waits until connecting is over, or the deadline has passed (false).
    pub fn wait(&self, deadline: Instant) -> bool {
        let mut over = self.over.lock();
        while !*over {
            if self.changed.wait_until(&mut over, deadline).timed_out() {
                return *over;
            }
        }
        true
    }
}

impl Connecting {
    pub(super) fn ended(&self) -> &Arc<Ended> {
        &self.ended
    }
}

/// However it ends, also by being dropped when the channel is closed.
impl Drop for Connecting {
    fn drop(&mut self) {
        *self.ended.over.lock() = true;
        self.ended.changed.notify_all();
    }
}

/// What is left of a connection that could not be made.
pub struct Unconnected {
    /// Why, as the waiting `connect` would have raised it.
    pub error: Error,
}

impl Unconnected {
    /// What a read or write of such a channel raises.
    pub(super) fn refusal(&self, name: &str) -> Error {
        let message = &self.error.message;
        let reason = match message.split_once("can't connect to ") {
            Some(("", rest)) => rest.rsplit_once(": ").map_or(rest, |(_, reason)| reason),
            _ => message,
        };
        Error::posix(format!("channel \"{name}\" is not connected: {reason}"), libc::ENOTCONN)
    }
}

/// What a step in the background has led to.
pub(super) enum Advance {
    /// To be looked at again when a descriptor becomes ready, or at this time.
    Pending(Instant),
    /// Connected: the callback's home has to hear of it. Bytes may wait to be
    /// sent.
    Connected,
    /// It has failed: likewise.
    Failed,
    /// It is over, or the channel was closed.
    Over,
}

impl Channel {
    /// Makes a channel whose connection is made by `dial`.
    pub(super) fn connecting(goal: Goal, dial: Dial, driver: Driver) -> Arc<Channel> {
        let connecting = Connecting { goal, dial, ended: Arc::default() };
        Channel::create(Endpoint::Connecting(Box::new(connecting)), driver, Peer::Unknown)
    }

    /// Whether the connection is still being made.
    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.io().lock().endpoint, Some(Endpoint::Connecting(_)))
    }

    /// Goes on with connecting; the background calls. `watch` hears what to
    /// wait for, descriptors with their numbers, while none of them can be
    /// closed and its number become another's.
    pub(super) fn advance(&self, now: Instant, watch: impl FnOnce(Vec<(u64, RawFd)>)) -> Advance {
        let mut io = self.io().lock();
        let Some(Endpoint::Connecting(connecting)) = &mut io.endpoint else { return Advance::Over };
        let outcome = match connecting.dial.step(now) {
            Step::Done(stream, address) => Ok((stream, address)),
            Step::Failed(fault) => Err(connecting.goal.fault(fault)),
            Step::Pending(_) if now >= connecting.goal.deadline => {
                Err(connecting.goal.out_of_time(&mut connecting.dial))
            }
            Step::Pending(again) => {
                watch(connecting.dial.waits().into_iter().map(|(serial, fd, _)| (serial, fd)).collect());
                let deadline = connecting.goal.deadline;
                return Advance::Pending(again.map_or(deadline, |again| again.min(deadline)));
            }
        };
        match outcome {
            Ok((stream, address)) => {
                if matches!(stream, Stream::Tls(_)) {
                    self.readiness.set(MAYBE_READABLE);
                }
                io.peer = peer(address);
                io.endpoint = Some(endpoint(stream));
                Advance::Connected
            }
            Err(error) => {
                self.become_unconnected(&mut io, error);
                Advance::Failed
            }
        }
    }

    fn become_unconnected(&self, io: &mut Io, error: Error) {
        io.pending.clear();
        io.endpoint = Some(Endpoint::Unconnected(Box::new(Unconnected { error })));
        self.fail();
    }

    /// Nobody goes on with connecting: it has failed, if it was not over.
    pub(super) fn give_up(&self, reason: &str) {
        let mut io = self.io().lock();
        if matches!(io.endpoint, Some(Endpoint::Connecting(_))) {
            self.become_unconnected(&mut io, Error::new(reason.to_owned()));
            drop(io);
            self.tell_home();
        }
    }

    /// Sends what was kept while there was no connection. The socket to wait
    /// for when that is not all.
    pub(super) fn flush_kept(&self) -> Option<Arc<Socket>> {
        let mut io = self.io().lock();
        match self.send_some(&mut io, [&[], &[]]) {
            Ok((_, room)) => room.map(|room| room.socket),
            Err(_) if io.endpoint.is_none() => None,
            Err(error) => {
                io.flush_error = Some(Box::new(error));
                None
            }
        }
    }

    /// Tells the home of the channel's callback that connecting is over.
    pub(super) fn tell_home(&self) {
        if let Some(place) = self.place() {
            place.tell(Message::Attach);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told_without_what_stands_before() {
        let goal = Goal::new("h", 1, TimeValue::from_secs(1));
        let error = goal.failed(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        let refusal = Unconnected { error }.refusal("conn1");
        assert_eq!(refusal.message, "channel \"conn1\" is not connected: connection refused");
        assert_eq!(refusal.code[..2], ["POSIX", "ENOTCONN"]);
        let refusal = Unconnected { error: Error::new("ssl connect failed: x: y") }.refusal("conn1");
        assert!(refusal.message.ends_with("not connected: ssl connect failed: x: y"));
        let goal = Goal::new("/tmp/odd: name", 0, TimeValue::from_secs(1));
        let error = goal.failed(&io::Error::from_raw_os_error(libc::ENOENT));
        let refusal = Unconnected { error }.refusal("conn1");
        assert_eq!(refusal.message, "channel \"conn1\" is not connected: no such file or directory");
    }

    #[test]
    fn who_waits_hears_of_the_end() {
        let ended = Arc::new(Ended::default());
        assert!(!ended.wait(Instant::now()));
        *ended.over.lock() = true;
        assert!(ended.wait(Instant::now()));
    }
}
