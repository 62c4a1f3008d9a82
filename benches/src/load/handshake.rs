//! `load handshake`: new TLS connections a second, each one made with a full handshake, used for one round trip
//! of 64 bytes, and closed.
//!
//! The round trip is there because a server has not finished the handshake when its client has: the answer
//! shows that the script got the connection. The first message goes with the end of the handshake, the tickets
//! come with the answer, and a close_notify announces the end, so that the server sees an orderly one. The
//! connection is then reset, lest ports stay in TIME_WAIT.
//!
//! As in `accept.rs` there is no epoll: of the connections in flight, half wait for the server's part of the
//! handshake and half for their answer, and waiting for the oldest of each is enough.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::{Domain, SockAddr, Socket, Type};

use super::connect::Wire;
use super::slices::{Plan, Target, Work};
use super::tls::{Hello, Identity, TlsWire};
use super::{watchdog, Results};
use crate::args::Args;
use crate::{sys, Result};

const MESSAGE: [u8; 64] = *b"sixty-four bytes, as in the smaller one of the echo measurements";

pub fn main(arguments: &[String]) -> Result<Vec<Results>> {
    let keys = [&Plan::KEYS[..], &["parallel"]].concat();
    let args = Args::parse(arguments, &keys, &[])?;
    let plan = Plan::from_args(&args)?;
    let parallel: usize = args.require("parallel")?;
    if parallel < 2 {
        return Err("parallel must be at least 2".into());
    }
    let identity = Identity::new()?;
    let mut flights = Vec::new();
    for (number, &port) in plan.ports.iter().enumerate() {
        if sys::connections_possible(parallel, plan.pid(number))? < parallel {
            return Err("the limit of open files is too low".into());
        }
        flights.push(Flight {
            identity: &identity,
            server: SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into(),
            parallel,
            hellos: VecDeque::new(),
            waiting: VecDeque::new(),
            buffer: vec![0; 16_384],
        });
    }
    watchdog::start();
    let measured = plan.run(&mut flights)?;
    Ok(measured.iter().map(|measured| measured.results("handshakes_per_second")).collect())
}

/// The connections in flight to one server.
struct Flight<'a> {
    identity: &'a Identity,
    server: SockAddr,
    parallel: usize,
    /// Connections that wait for the server's part of the handshake.
    hellos: VecDeque<Hello>,
    /// Connections that wait for the answer to their message.
    waiting: VecDeque<TlsWire>,
    buffer: Vec<u8>,
}

impl Target for Flight<'_> {
    fn begin(&mut self) -> Result<()> {
        for _ in 0..self.parallel {
            self.launch()?;
        }
        for _ in 0..self.parallel / 2 {
            self.finish_handshake()?;
        }
        Ok(())
    }

    fn run(&mut self, end: Instant, _counting: bool) -> Result<Work> {
        let mut count = 0;
        while Instant::now() < end {
            self.land()?;
            self.finish_handshake()?;
            self.launch()?;
            count += 1;
        }
        Ok(Work { count, latencies: Vec::new() })
    }

    fn finish(&mut self) -> Result<()> {
        while !self.hellos.is_empty() {
            self.finish_handshake()?;
        }
        while !self.waiting.is_empty() {
            self.land()?;
        }
        Ok(())
    }
}

impl Flight<'_> {
    fn launch(&mut self) -> Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_linger(Some(Duration::ZERO))?;
        socket.set_tcp_nodelay(true)?;
        socket.connect(&self.server).map_err(|error| format!("connecting: {error}"))?;
        self.hellos.push_back(Hello::send(self.identity, TcpStream::from_std(socket.into()))?);
        Ok(())
    }

    fn finish_handshake(&mut self) -> Result<()> {
        if let Some(hello) = self.hellos.pop_front() {
            self.waiting.push_back(hello.finish(self.identity, &MESSAGE)?);
        }
        Ok(())
    }

    fn land(&mut self) -> Result<()> {
        let Some(mut wire) = self.waiting.pop_front() else { return Ok(()) };
        let mut length = 0;
        while length < MESSAGE.len() {
            let received = wire.receive(&mut self.buffer[length..], true);
            length += received.map_err(|error| format!("waiting for an echo: {error}"))?.length;
        }
        if self.buffer[..length] != MESSAGE {
            return Err("the server sent other bytes than it got".into());
        }
        watchdog::answered();
        wire.say_goodbye()
    }
}
