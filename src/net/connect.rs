//! Connecting to the first address that answers (RFC 8305, "happy eyeballs"),
//! and to unix sockets.
//!
//! `Connector` is the state of one attempt at all addresses of a name: the
//! next address is started when the one before has failed, or after 250 ms;
//! the first to connect wins and the others are closed. It never waits
//! itself, so that it can be driven by a waiting call as well as by a reactor.

use super::address::interleave;
use super::descriptor::{retry_at_limit, settle};
use super::wait::{wait_any, Direction};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// RFC 8305 section 5: "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// An attempt at all addresses of a name.
pub struct Connector {
    untried: VecDeque<SocketAddr>,
    attempts: Vec<(Socket, SocketAddr)>,
    next_start: Instant,
    failure: Option<io::Error>,
}

/// Where a connector stands after a step.
pub enum Progress {
    /// Connected, to this address.
    Connected(Socket, SocketAddr),
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
            next_start: Instant::now(),
            failure: None,
        }
    }

    /// Looks at every attempt, and starts the next one when it is time.
    pub fn step(&mut self, now: Instant) -> Progress {
        let mut index = 0;
        while index < self.attempts.len() {
            match outcome(&self.attempts[index].0) {
                None => index += 1,
                Some(Ok(())) => {
                    let (socket, address) = self.attempts.swap_remove(index);
                    return Progress::Connected(socket, address);
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
                Ok((socket, true)) => return Progress::Connected(socket, address),
                Ok((socket, false)) => {
                    self.attempts.push((socket, address));
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

    /// The descriptors whose writability is progress.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.attempts.iter().map(|(socket, _)| socket.as_raw_fd()).collect()
    }

    /// Keeps the error of the later stage: one that a host sent says more
    /// than one of the way to it, which says more than a local one.
    fn failed(&mut self, error: io::Error) {
        if self.failure.as_ref().is_none_or(|kept| stage(&error) >= stage(kept)) {
            self.failure = Some(error);
        }
    }
}

fn stage(error: &io::Error) -> u8 {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ECONNRESET) => 3,
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

/// Connects to the first of `addresses` that answers, waiting up to
/// `deadline`. `Ok(None)` when that has passed.
pub fn connect(addresses: Vec<SocketAddr>, deadline: Instant) -> io::Result<Option<(Socket, SocketAddr)>> {
    let mut connector = Connector::new(addresses);
    loop {
        match connector.step(Instant::now()) {
            Progress::Connected(socket, address) => return Ok(Some((socket, address))),
            Progress::Failed(error) => return Err(error),
            Progress::Pending(again) => {
                let until = again.map_or(deadline, |again| again.min(deadline));
                if !wait_any(&connector.descriptors(), Direction::Writable, Some(until))?
                    && Instant::now() >= deadline
                {
                    return Ok(None);
                }
            }
        }
    }
}

/// Connects to the unix stream socket at `path`, waiting up to `deadline`
/// while its backlog is full. `Ok(None)` when that has passed.
pub fn connect_unix(path: &Path, deadline: Instant) -> io::Result<Option<Socket>> {
    let address = SockAddr::unix(path)?;
    let socket = retry_at_limit(|| Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None))?;
    let socket = settle(socket);
    let mut pause = Duration::from_millis(1);
    loop {
        match socket.connect(&address) {
            Ok(()) => return Ok(Some(socket)),
            // A full backlog: unix sockets have no connect in progress, and
            // nothing to wait for but time.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(None);
                }
                std::thread::sleep(pause.min(left));
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn the_first_that_answers_wins() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let bad: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let (_, address) = connect(vec![bad, good], soon()).unwrap().unwrap();
        assert_eq!(address, good);
    }

    #[test]
    fn the_most_telling_error_is_reported() {
        let refused: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let broadcast: SocketAddr = "255.255.255.255:80".parse().unwrap();
        for addresses in [vec![refused, broadcast], vec![broadcast, refused]] {
            let error = connect(addresses, soon()).err().unwrap();
            assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
        }
        assert!(connect(vec![broadcast], soon()).is_err());
        assert!(connect(Vec::new(), soon()).is_err());
    }

    #[test]
    fn missing_unix_sockets_are_errors() {
        let error = connect_unix(Path::new("/nonexistent/socket"), soon()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert!(connect_unix(Path::new(&"x".repeat(200)), soon()).is_err());
    }
}
