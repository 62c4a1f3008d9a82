//! Opening many connections to the server, at a pace that it can follow.
//!
//! A server that accepts slowly must not lose connection attempts (a lost one is only repeated after a
//! second), so they are made in steps, and after each step the server has to show by an echo that it has
//! taken them all.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use crate::Result;

/// How many connections may wait for the server at once. Tcl's own listening sockets allow for at least 100.
const STEP: usize = 100;
/// How long an answer may take before the server counts as broken.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How many connections are made from one source address, of the 28,000 or so ports that each has by default.
pub const PER_SOURCE: usize = 25_000;

/// Which connections of a step exchange a byte with the server.
#[derive(Clone, Copy, PartialEq)]
pub enum Greet {
    /// The last one: connections are accepted in the order in which they were made.
    Last,
    /// Each: the server has then run its callback for each.
    Each,
    /// None: making the connection has proved enough.
    None,
}

/// A connection: plain, TLS or WebSocket.
pub trait Wire {
    /// What is sent to see whether the server is there.
    const GREETING: &'static [u8] = b"?";
    /// The server's answer to that.
    const WELCOME: &'static [u8] = b"?";

    /// Whether what [`Wire::receive`] puts into the buffer is right also where nobody asks for the content.
    const LOOKS_AT_ALL: bool;

    /// The socket below.
    fn socket(&mut self) -> &mut TcpStream;
    /// Sends some of the bytes, and returns how many.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Receives what is there; the end is an error. `content` says whether the bytes themselves are wanted,
    /// or only their number.
    fn receive(&mut self, buffer: &mut [u8], content: bool) -> io::Result<Received>;
}

/// What a call of [`Wire::receive`] brought.
pub struct Received {
    /// So many bytes of the peer's, possibly none.
    pub length: usize,
    /// Whether there may be more.
    pub more: bool,
}

impl Wire for TcpStream {
    const LOOKS_AT_ALL: bool = true;

    fn socket(&mut self) -> &mut TcpStream {
        self
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8], _content: bool) -> io::Result<Received> {
        match self.read(buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            length => Ok(Received { length, more: length == buffer.len() }),
        }
    }
}

/// Makes connections to one server, from as many source addresses as their number needs.
pub struct Connector<W> {
    /// Makes of a connected, blocking socket what is wanted.
    wrap: W,
    server: SocketAddr,
    per_source: usize,
    made: usize,
}

impl<S: Wire, W: Fn(TcpStream) -> Result<S>> Connector<W> {
    /// For the server on 127.0.0.1 and this port.
    pub fn new(port: u16, per_source: usize, wrap: W) -> Connector<W> {
        Connector {
            wrap,
            server: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            per_source: per_source.max(1),
            made: 0,
        }
    }

    /// Makes `count` connections; on return the server has accepted them. They are blocking ones, and closing
    /// them resets them, so that their ports are free again at once.
    pub fn open(&mut self, count: usize, greet: Greet) -> Result<Vec<S>> {
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            let begin = streams.len();
            let mut sockets = Vec::with_capacity(STEP);
            for _ in begin..count.min(begin + STEP) {
                let number = self.made + 1;
                sockets.push(self.connect().map_err(|error| format!("connection {number}: {error}"))?);
            }
            for socket in sockets {
                streams.push((self.wrap)(socket)?);
            }
            let greeting = match greet {
                Greet::Each => begin,
                Greet::Last => streams.len() - 1,
                Greet::None => streams.len(),
            };
            exchange_a_byte(&mut streams[greeting..])?;
        }
        Ok(streams)
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let source = self.made / self.per_source;
        if source > 0 {
            let host =
                u8::try_from(source + 1).map_err(|_| io::Error::other("more than 255 source addresses"))?;
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into())?;
        }
        socket.set_linger(Some(Duration::ZERO))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(&self.server.into())?;
        self.made += 1;
        Ok(TcpStream::from_std(socket.into()))
    }
}

fn exchange_a_byte<S: Wire>(streams: &mut [S]) -> Result<()> {
    for stream in streams.iter_mut() {
        stream.send(S::GREETING)?;
    }
    let mut buffer = [0; 4096];
    for stream in streams.iter_mut() {
        let waiting = |error| format!("waiting for a new connection's echo: {error}");
        let mut length = 0;
        while length < S::WELCOME.len() {
            length += stream.receive(&mut buffer[length..], true).map_err(waiting)?.length;
        }
        if buffer[..length] != *S::WELCOME {
            return Err("a new connection's echo is not what was sent".into());
        }
    }
    Ok(())
}
