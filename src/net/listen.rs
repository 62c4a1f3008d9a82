//! Listening sockets: how they are bound, and accepting from them.

use super::address::{canonical, resolve};
use super::connect::prepare;
use super::descriptor::{retry_at_limit, settle};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Connections that may wait to be accepted; the kernel caps it at
/// net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// A listening socket.
pub struct Listener {
    /// The socket.
    pub socket: Socket,
    /// Where it is really bound.
    pub address: SocketAddr,
    /// When set, only connections to this local address are served; the
    /// socket itself listens on the wildcard.
    only: Option<IpAddr>,
}

/// A connection as it was accepted.
pub struct Accepted {
    /// The socket.
    pub socket: Socket,
    /// The address of the peer.
    pub peer: Option<IpAddr>,
}

impl Listener {
    /// Listens on `host` and `port` (0: the system chooses one).
    ///
    /// With `bind`, the socket is bound to exactly that address. Without, the
    /// address is tried but the socket listens on the wildcard, IPv6 and IPv4,
    /// and serves only what arrives at the address. `*` means every address,
    /// either way (spec/ns_connchan.md 6.1).
    pub fn open(host: &str, port: u16, bind: bool) -> io::Result<Listener> {
        if host == "*" {
            return Listener::wildcard(port, None);
        }
        let addresses = resolve(host, port)?;
        let mut result = Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
        for address in addresses {
            result = if bind { Listener::bound(address, false) } else { Listener::checked(address) };
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Listens on a unix socket. A file that is left from a listener that has
    /// gone is replaced; one that somebody listens on is not.
    pub fn unix(path: &Path) -> io::Result<Listener> {
        let address = SockAddr::unix(path)?;
        let open =
            || retry_at_limit(|| Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)).map(settle);
        let socket = open()?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
                let refused =
                    open()?.connect(&address).is_err_and(|e| e.raw_os_error() == Some(libc::ECONNREFUSED));
                if !is_socket || !refused {
                    return Err(error);
                }
                std::fs::remove_file(path)?;
                socket.bind(&address)?;
            }
            other => other?,
        }
        socket.listen(BACKLOG)?;
        let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Ok(Listener { socket, address, only: None })
    }

    /// A wildcard listener that serves one address, which must be one of this
    /// machine.
    fn checked(address: SocketAddr) -> io::Result<Listener> {
        // Tried on a port of the system's choice: only the address is in question.
        new_socket(address)?.bind(&SocketAddr::new(address.ip(), 0).into())?;
        let only = (!address.ip().is_unspecified()).then(|| canonical(address.ip()));
        Listener::wildcard(address.port(), only)
    }

    fn wildcard(port: u16, only: Option<IpAddr>) -> io::Result<Listener> {
        let any6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let any4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let listener = match Listener::bound(any6, true) {
            // A machine without IPv6.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
                Listener::bound(any4, true)?
            }
            other => other?,
        };
        Ok(Listener { only, ..listener })
    }

    fn bound(address: SocketAddr, dual_stack: bool) -> io::Result<Listener> {
        let socket = new_socket(address)?;
        if address.is_ipv6() {
            // `::` serves both families; a proper IPv6 address has only one.
            socket.set_only_v6(!(dual_stack || address.ip().is_unspecified()))?;
        }
        // Also for a port that the system chooses: it may be asked for by its
        // number once this listener is closed, with connections still open.
        socket.set_reuse_address(true)?;
        // Linux hands both options on to the sockets that are accepted.
        prepare(&socket);
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Listener { socket, address, only: None })
    }

    /// Takes the next waiting connection, `None` when there is none. A
    /// connection to an address that is not served is closed and passed over.
    pub fn accept(&self) -> io::Result<Option<Accepted>> {
        loop {
            let (socket, peer) = match accept_raw(&self.socket) {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // The peer was gone before we came, or the network sends an
                // error of its own: of no concern to the others (accept(2)).
                Err(error) if is_connection_error(&error) => continue,
                Err(error) => return Err(error),
            };
            if let Some(only) = self.only {
                let local = socket.local_addr().ok().and_then(|a| a.as_socket());
                if local.map(|a| canonical(a.ip())) != Some(only) {
                    continue;
                }
            }
            let socket = settle(socket);
            return Ok(Some(Accepted { socket, peer: peer.as_socket().map(|a| canonical(a.ip())) }));
        }
    }
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    retry_at_limit(|| Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))).map(settle)
}

/// accept4(2) with both flags; one system call where the portable way needs
/// three.
fn accept_raw(socket: &Socket) -> io::Result<(Socket, SockAddr)> {
    use std::os::fd::{AsRawFd, FromRawFd};
    // SAFETY: try_init hands out storage for any address; accept4 fills it and
    // its length; the descriptor is fresh and owned by nobody else.
    unsafe {
        SockAddr::try_init(|storage, length| {
            let fd = libc::accept4(
                socket.as_raw_fd(),
                storage.cast(),
                length,
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            );
            if fd < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(Socket::from_raw_fd(fd))
            }
        })
    }
}

fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use super::super::wait::{wait, Direction};
    use super::*;
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    fn next(listener: &Listener) -> Option<Accepted> {
        let deadline = Some(Instant::now() + Duration::from_secs(5));
        assert!(wait(listener.socket.as_raw_fd(), Direction::Readable, deadline).unwrap());
        listener.accept().unwrap()
    }

    #[test]
    fn bound_listeners_serve_their_address() {
        let listener = Listener::open("127.0.0.1", 0, true).unwrap();
        assert_eq!(listener.address.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
        let _peer = TcpStream::connect(listener.address).unwrap();
        let accepted = next(&listener).unwrap();
        assert_eq!(accepted.peer, Some(Ipv4Addr::LOCALHOST.into()));
        assert!(accepted.socket.tcp_nodelay().unwrap() && accepted.socket.keepalive().unwrap());
        assert!(listener.accept().unwrap().is_none());
    }

    #[test]
    fn unbound_listeners_pass_over_other_addresses() {
        let listener = Listener::open("127.0.0.1", 0, false).unwrap();
        assert!(listener.address.ip().is_unspecified());
        let port = listener.address.port();
        let _other = TcpStream::connect(("127.0.0.2", port)).unwrap();
        assert!(next(&listener).is_none());
        let _served = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(next(&listener).is_some());
    }

    #[test]
    fn foreign_and_taken_addresses_are_errors() {
        assert!(Listener::open("203.0.113.1", 0, true).is_err());
        assert!(Listener::open("203.0.113.1", 0, false).is_err());
        assert!(Listener::open("", 0, true).is_err());
        let first = Listener::open("127.0.0.1", 0, true).unwrap();
        assert!(Listener::open("127.0.0.1", first.address.port(), true).is_err());
    }
}
