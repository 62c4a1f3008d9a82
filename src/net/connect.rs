//! Connecting to the first address that answers (RFC 8305, "happy eyeballs"),
//! and to unix sockets.
//!
//! `Connector` is the state of one attempt at all addresses of a name: the
//! next address is started when the one before has failed, or after 250 ms;
//! the first to connect wins and the others are closed. It never waits
//! itself, so that it can be driven by a waiting call as well as by a reactor.

use super::address::interleave;
use super::descriptor::{retry_at_limit, settle};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// RFC 8305 section 5: "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long a unix socket with a full backlog is left alone at first, and at
/// most: such sockets have no connect in progress, and nothing to wait for but
/// time.
const UNIX_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// An attempt at all addresses of a name, or at a unix socket.
pub struct Connector {
    untried: VecDeque<SocketAddr>,
    attempts: Vec<Attempt>,
    unix: Option<Unix>,
    next_start: Instant,
    next_serial: u64,
    failure: Option<io::Error>,
}

struct Attempt {
    serial: u64,
    socket: Socket,
    address: SocketAddr,
}

/// A socket that is connected.
#[derive(Debug)]
pub struct Connected {
    /// The socket.
    pub socket: Socket,
    /// To where, if that is an address of the network.
    pub address: Option<SocketAddr>,
    /// Its number among the connector's descriptors.
    pub serial: u64,
}

struct Unix {
    address: SockAddr,
    socket: Socket,
    pause: Duration,
}

/// Where a connector stands after a step.
pub enum Progress {
    /// One has answered.
    Connected(Connected),
    /// Not yet; look again when an attempt becomes writable, or at this time
    /// when there is one.
    Pending(Option<Instant>),
    /// Every address has failed; the most telling error.
    Failed(io::Error),
}

impl Connector {
    /// A connector over `addresses`; nothing happens before the first `step`.
    pub fn new(addresses: Vec<SocketAddr>) -> Connector {
        Connector {
            untried: interleave(addresses).into(),
            attempts: Vec::new(),
            unix: None,
            next_start: Instant::now(),
            next_serial: 0,
            failure: None,
        }
    }

    /// A connector to the unix stream socket at `path`.
    ///
    /// # Errors
    /// A path that does not fit into a socket's address; no descriptor left.
    pub fn unix(path: &Path) -> io::Result<Connector> {
        let address = SockAddr::unix(path)?;
        let socket = retry_at_limit(|| Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None))?;
        let unix = Unix { address, socket: settle(socket), pause: UNIX_PAUSE.0 };
        Ok(Connector { unix: Some(unix), ..Connector::new(Vec::new()) })
    }

    /// Looks at every attempt, and starts the next one when it is time.
    pub fn step(&mut self, now: Instant) -> Progress {
        if self.unix.is_some() {
            return self.step_unix(now);
        }
        let mut index = 0;
        while index < self.attempts.len() {
            match outcome(&self.attempts[index].socket) {
                None => index += 1,
                Some(Ok(())) => {
                    let Attempt { socket, address, serial } = self.attempts.remove(index);
                    return self.won(socket, address, serial);
                }
                Some(Err(error)) => {
                    self.attempts.remove(index);
                    self.failed(error);
                    self.next_start = now;
                }
            }
        }
        while now >= self.next_start || self.attempts.is_empty() {
            let Some(address) = self.untried.pop_front() else { break };
            match begin(address) {
                Ok((socket, true)) => {
                    self.next_serial += 1;
                    return self.won(socket, address, self.next_serial);
                }
                Ok((socket, false)) => {
                    self.next_serial += 1;
                    self.attempts.push(Attempt { serial: self.next_serial, socket, address });
                    self.next_start = now + ATTEMPT_DELAY;
                }
                Err(error) => self.failed(error),
            }
        }
        if self.attempts.is_empty() {
            let none = || io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
            return Progress::Failed(self.failure.take().unwrap_or_else(none));
        }
        Progress::Pending((!self.untried.is_empty()).then_some(self.next_start))
    }

    /// The others are closed. Their addresses stay at hand, for the case that
    /// the winner turns out to be of no use (`resume`).
    fn won(&mut self, socket: Socket, address: SocketAddr, serial: u64) -> Progress {
        for loser in self.attempts.drain(..).rev() {
            self.untried.push_front(loser.address);
        }
        Progress::Connected(Connected { socket, address: Some(address), serial })
    }

    /// The winner was of no use: the next `step` goes on with the addresses
    /// that are left. False when there are none.
    pub fn resume(&mut self) -> bool {
        self.next_start = Instant::now();
        !self.untried.is_empty()
    }

    /// What a host has answered, if one has.
    pub fn answer(&mut self) -> Option<io::Error> {
        self.failure.take().filter(|error| stage(error) == ANSWERED)
    }

    fn step_unix(&mut self, now: Instant) -> Progress {
        if now < self.next_start {
            return Progress::Pending(Some(self.next_start));
        }
        let Some(mut unix) = self.unix.take() else { return Progress::Pending(None) };
        loop {
            match unix.socket.connect(&unix.address) {
                Ok(()) => {
                    return Progress::Connected(Connected { socket: unix.socket, address: None, serial: 0 })
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.next_start = now + unix.pause;
                    unix.pause = (unix.pause * 2).min(UNIX_PAUSE.1);
                    self.unix = Some(unix);
                    return Progress::Pending(Some(self.next_start));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Progress::Failed(error),
            }
        }
    }

    /// The descriptors whose writability is progress, each with a number that
    /// no other of this connector has.
    pub fn descriptors(&self) -> impl Iterator<Item = (u64, RawFd)> + '_ {
        self.attempts.iter().map(|a| (a.serial, a.socket.as_raw_fd()))
    }

    /// Keeps the error of the later stage: one that a host sent says more
    /// than one of the way to it, which says more than a local one.
    fn failed(&mut self, error: io::Error) {
        if self.failure.as_ref().is_none_or(|kept| stage(&error) >= stage(kept)) {
            self.failure = Some(error);
        }
    }
}

/// The stage of errors that the host itself has sent.
const ANSWERED: u8 = 3;

fn stage(error: &io::Error) -> u8 {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ECONNRESET) => ANSWERED,
        Some(libc::ETIMEDOUT | libc::EHOSTUNREACH | libc::EACCES | libc::EPERM) => 2,
        Some(libc::ENETUNREACH) => 1,
        _ => 0,
    }
}

/// Starts to connect; true when it succeeded at once.
fn begin(address: SocketAddr) -> io::Result<(Socket, bool)> {
    let socket = tcp_socket(Domain::for_address(address))?;
    match socket.connect(&address.into()) {
        Ok(()) => Ok((socket, true)),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket, false)),
        Err(error) => Err(error),
    }
}

/// The outcome of a connect in progress, `None` while there is none.
fn outcome(socket: &Socket) -> Option<io::Result<()>> {
    match socket.take_error() {
        Ok(Some(error)) | Err(error) => Some(Err(error)),
        // Without an error: done when there is a peer.
        Ok(None) => socket.peer_addr().is_ok().then_some(Ok(())),
    }
}

/// A fresh TCP socket as all channels have it.
pub(super) fn tcp_socket(domain: Domain) -> io::Result<Socket> {
    let socket = retry_at_limit(|| Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP)))?;
    let socket = settle(socket);
    prepare(&socket);
    Ok(socket)
}

/// Options of every TCP channel: keepalive, and no delay of what a write call
/// has finished. Failing to set one is no reason to refuse a connection.
pub fn prepare(socket: &Socket) {
    let _ = socket.set_keepalive(true);
    let _ = socket.set_tcp_nodelay(true);
}

#[cfg(test)]
mod tests {
    use super::super::wait::{wait_any, Direction};
    use super::*;
    use std::net::TcpListener;

    /// Drives a connector to its end, which must come within some seconds.
    fn connect(mut connector: Connector) -> io::Result<Connected> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match connector.step(Instant::now()) {
                Progress::Connected(connected) => return Ok(connected),
                Progress::Failed(error) => return Err(error),
                Progress::Pending(again) => {
                    let fds: Vec<_> =
                        connector.descriptors().map(|(_, fd)| (fd, Direction::Writable)).collect();
                    let until = again.map_or(deadline, |again| again.min(deadline));
                    wait_any(&fds, Some(until)).unwrap();
                    assert!(Instant::now() < deadline, "no end");
                }
            }
        }
    }

    #[test]
    fn after_a_winner_of_no_use_the_others_have_their_turn() {
        let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [first, second] = listeners.each_ref().map(|l| l.local_addr().unwrap());
        let mut connector = Connector::new(vec![first, second]);
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut winner = || loop {
            match connector.step(Instant::now()) {
                Progress::Connected(connected) => {
                    let more = connector.resume();
                    return (connected.address, more);
                }
                Progress::Pending(_) => {
                    let fds: Vec<_> =
                        connector.descriptors().map(|(_, fd)| (fd, Direction::Writable)).collect();
                    assert!(wait_any(&fds, Some(deadline)).unwrap());
                }
                Progress::Failed(error) => panic!("{error}"),
            }
        };
        assert_eq!(winner(), (Some(first), true));
        assert_eq!(winner(), (Some(second), false));
    }

    #[test]
    fn the_first_that_answers_wins() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let bad: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let connected = connect(Connector::new(vec![bad, good])).unwrap();
        assert_eq!(connected.address, Some(good));
    }

    #[test]
    fn the_most_telling_error_is_reported() {
        let refused: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let broadcast: SocketAddr = "255.255.255.255:80".parse().unwrap();
        for addresses in [vec![refused, broadcast], vec![broadcast, refused]] {
            let error = connect(Connector::new(addresses)).err().unwrap();
            assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
        }
        assert!(connect(Connector::new(vec![broadcast])).is_err());
        assert!(connect(Connector::new(Vec::new())).is_err());
    }

    #[test]
    fn missing_unix_sockets_are_errors() {
        let connector = Connector::unix(Path::new("/nonexistent/socket")).unwrap();
        assert_eq!(connect(connector).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert!(Connector::unix(Path::new(&"x".repeat(200))).is_err());
    }
}
