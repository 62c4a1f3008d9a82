//! An echo server on mio without Tcl: the limit. What ns_connchan loses against it is the price of Tcl and of
//! the library, since both wait, read and write by the same means. With a certificate it speaks TLS
//! ([`tls`]); [`crate::bare_ws`] serves WebSocket connections by the same loop.
//!
//! It is single threaded and edge-triggered. A connection's readiness is remembered: a read that filled its
//! buffer leaves the connection ready, and it is read again in the next turn, after the others; a shorter one
//! ends the reading without a further system call. What the peer does not take is kept and sent on
//! writability, and until then that peer is not read from. `bare-echo PORT ?CERT KEY?` prints `ready` once it
//! listens on 127.0.0.1.

mod socket;
pub(crate) mod tls;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Socket as AnySocket, Type};

use crate::Result;
pub(crate) use socket::Socket;

/// The most that is read at once, as in `ns_connchan read`. It is also the most that a TLS record holds.
pub(crate) const READ_SIZE: usize = 16_384;
/// How many connections may wait to be accepted; the kernel's own limit (`somaxconn`) is usually the same.
const BACKLOG: i32 = 4096;
const LISTENER: Token = Token(usize::MAX);

/// Runs the server; ends only with an error.
pub fn main(arguments: &[String]) -> Result<()> {
    let (port, certificate) = match arguments {
        [port] => (port, None),
        [port, certificate, key] => (port, Some((certificate, key))),
        _ => return Err("usage: bare-echo PORT ?CERT KEY?".into()),
    };
    let listener = listen(port.parse().map_err(|_| format!("bad port \"{port}\""))?)?;
    crate::sys::raise_open_files(0)?;
    match certificate {
        None => serve(listener, |socket| Ok(Echo::new(socket))),
        Some((certificate, key)) => {
            let wrap = tls::wrapper(certificate.as_ref(), key.as_ref())?;
            serve(listener, |socket| Ok(Echo::new(wrap(socket)?)))
        }
    }
}

/// Serves connections for ever; `wrap` makes them of accepted sockets.
pub(crate) fn serve<C: Connection>(
    listener: TcpListener,
    wrap: impl Fn(Socket) -> io::Result<C>,
) -> Result<()> {
    let mut server = Server::new(listener, wrap)?;
    println!("ready");
    io::stdout().flush()?;
    Ok(server.run()?)
}

pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = AnySocket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// What carries the bytes: the socket itself, or TLS over it.
pub(crate) trait Stream: Read + Write {
    /// The socket, which knows what is ready.
    fn socket(&mut self) -> &mut Socket;
    /// Whether a read may yield something although the socket has nothing.
    fn holds_more(&self) -> bool;
    /// Tells the peer that nothing comes any more.
    fn say_goodbye(&mut self);
}

/// A connection as the loop knows it.
pub(crate) trait Connection {
    /// The socket, which knows what is ready.
    fn socket(&mut self) -> &mut Socket;
    /// Does a piece of work. `buffer` is at its disposal.
    fn serve(&mut self, buffer: &mut [u8; READ_SIZE]) -> Served;
}

struct Server<C, W> {
    poll: Poll,
    listener: TcpListener,
    /// Makes a connection of an accepted socket.
    wrap: W,
    connections: Slab<Entry<C>>,
    /// Connections with more to read for which no event will come, to be served in the next turn.
    again: Vec<usize>,
    buffer: Box<[u8; READ_SIZE]>,
}

struct Entry<C> {
    connection: C,
    /// Whether it stands in `Server::again`.
    queued: bool,
}

/// What a piece of work has left.
#[derive(PartialEq)]
pub(crate) enum Served {
    /// Nothing to do before the next event.
    Waits,
    /// One read was made, and there may be more.
    HasMore,
    /// The connection is over.
    Closed,
}

impl<C: Connection, W: Fn(Socket) -> io::Result<C>> Server<C, W> {
    fn new(mut listener: TcpListener, wrap: W) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Server {
            poll,
            listener,
            wrap,
            connections: Slab::new(),
            again: Vec::new(),
            buffer: Box::new([0; READ_SIZE]),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut turn = Vec::new();
        loop {
            let timeout = if self.again.is_empty() { None } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            std::mem::swap(&mut turn, &mut self.again);
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(id) => self.on_event(id, event),
                }
            }
            for id in turn.drain(..) {
                // One of these may have been closed by its event, and a new connection have got its number.
                if let Some(entry) = self.connections.get_mut(id) {
                    entry.queued = false;
                    self.serve(id);
                }
            }
        }
    }

    /// Accepts until nobody waits any more.
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) =>
                {
                    continue
                }
                Err(error) => return Err(error),
            };
            // A peer that is already gone is not worth an error: its socket just closes.
            if stream.set_nodelay(true).is_ok() {
                self.add(stream)?;
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let entry = self.connections.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(entry.key()), both)?;
        let connection = (self.wrap)(Socket::new(stream))?;
        entry.insert(Entry { connection, queued: false });
        Ok(())
    }

    fn on_event(&mut self, id: usize, event: &Event) {
        let Some(entry) = self.connections.get_mut(id) else { return };
        entry.connection.socket().on_event(event);
        if !entry.queued {
            self.serve(id);
        }
    }

    fn serve(&mut self, id: usize) {
        let entry = &mut self.connections[id];
        match entry.connection.serve(&mut self.buffer) {
            Served::Waits => {}
            Served::HasMore => {
                entry.queued = true;
                self.again.push(id);
            }
            // Dropping the stream closes the socket, which takes it out of epoll.
            Served::Closed => drop(self.connections.remove(id)),
        }
    }
}

/// A connection whose bytes go back as they came.
struct Echo<S> {
    stream: S,
    /// What was read and the peer has not taken yet.
    unsent: Vec<u8>,
}

impl<S: Stream> Connection for Echo<S> {
    fn socket(&mut self) -> &mut Socket {
        self.stream.socket()
    }

    /// Sends what was kept, then makes one read and sends that back.
    fn serve(&mut self, buffer: &mut [u8; READ_SIZE]) -> Served {
        if !self.unsent.is_empty() && self.send_kept().is_err() {
            return Served::Closed;
        }
        if !self.unsent.is_empty() {
            return Served::Waits;
        }
        match self.stream.read(buffer) {
            Ok(0) => {
                self.stream.say_goodbye();
                return Served::Closed;
            }
            Ok(length) => {
                if self.send(&buffer[..length]).is_err() {
                    return Served::Closed;
                }
            }
            // What TLS holds then is the beginning of a record.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::Waits,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Served::Closed,
        }
        if self.unsent.is_empty() && (self.stream.socket().is_readable() || self.stream.holds_more()) {
            Served::HasMore
        } else {
            Served::Waits
        }
    }
}

impl<S: Stream> Echo<S> {
    fn new(stream: S) -> Echo<S> {
        Echo { stream, unsent: Vec::new() }
    }

    /// Sends new bytes; nothing is kept from before. The rest that the socket does not take is kept.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = send_some(&mut self.stream, bytes)?;
        if sent < bytes.len() {
            self.unsent.extend_from_slice(&bytes[sent..]);
        }
        Ok(())
    }

    fn send_kept(&mut self) -> io::Result<()> {
        let sent = send_some(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            // The room for a peer that was slow once is not worth keeping for its whole life.
            self.unsent = Vec::new();
        }
        Ok(())
    }
}

/// Writes until all is written or the socket takes no more; returns how much it took.
pub(crate) fn send_some(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => sent += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
