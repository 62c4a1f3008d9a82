//! `load accept`: connections a second, each one made, greeted with a byte, answered with it, and closed.
//!
//! Making a connection costs the client more than accepting it costs the server, and here both have one
//! processor each. So this does without epoll: the connections in flight are answered in about the order in
//! which they were made, and waiting for the oldest one is enough. Closing resets the connection (a linger
//! time of 0), lest ports stay in TIME_WAIT.
//!
//! With `path=P` it is an HTTP request in place of the byte, and a response that the server ends by closing.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::slices::{Plan, Target, Work};
use super::{watchdog, Results};
use crate::args::Args;
use crate::{sys, Result};

pub fn main(arguments: &[String]) -> Result<Vec<Results>> {
    let keys = [&Plan::KEYS[..], &["parallel", "path"]].concat();
    let args = Args::parse(arguments, &keys, &[])?;
    let plan = Plan::from_args(&args)?;
    let parallel: usize = args.require("parallel")?;
    if parallel == 0 {
        return Err("parallel must be at least 1".into());
    }
    let request = args.get::<String>("path")?.map(|path| {
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").into_bytes()
    });
    let mut flights = Vec::new();
    for (number, &port) in plan.ports.iter().enumerate() {
        let parallel = sys::connections_possible(parallel, plan.pid(number))?;
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into();
        let (waiting, request) = (VecDeque::with_capacity(parallel), request.clone());
        flights.push(Flight { server, parallel, waiting, next_byte: 0, request });
    }
    watchdog::start();

    let measured = plan.run(&mut flights)?;
    let mut lines = Vec::new();
    for (number, flight) in flights.iter().enumerate() {
        let mut results = measured[number].results("accepts_per_second");
        if flight.parallel < parallel {
            results.add_number("conns_reduced", flight.parallel);
        }
        lines.push(results);
    }
    Ok(lines)
}

/// The connections in flight to one server.
struct Flight {
    server: SockAddr,
    parallel: usize,
    /// Connections whose answer is awaited, with the byte that they sent.
    waiting: VecDeque<(Socket, u8)>,
    next_byte: u8,
    /// What is sent in place of the byte.
    request: Option<Vec<u8>>,
}

impl Target for Flight {
    fn begin(&mut self) -> Result<()> {
        for _ in 0..self.parallel {
            self.launch()?;
        }
        Ok(())
    }

    fn run(&mut self, end: Instant, _counting: bool) -> Result<Work> {
        let mut count = 0;
        while Instant::now() < end {
            self.land()?;
            self.launch()?;
            count += 1;
        }
        Ok(Work { count, latencies: Vec::new() })
    }

    fn finish(&mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            self.land()?;
        }
        Ok(())
    }
}

impl Flight {
    fn launch(&mut self) -> Result<()> {
        let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_linger(Some(Duration::ZERO))?;
        socket.connect(&self.server).map_err(|error| format!("connecting: {error}"))?;
        match &self.request {
            Some(request) => socket.write_all(request)?,
            None => socket.write_all(&[self.next_byte])?,
        }
        self.waiting.push_back((socket, self.next_byte));
        self.next_byte = self.next_byte.wrapping_add(1);
        Ok(())
    }

    fn land(&mut self) -> Result<()> {
        let Some((mut socket, byte)) = self.waiting.pop_front() else { return Ok(()) };
        if self.request.is_some() {
            let mut response = Vec::new();
            socket.read_to_end(&mut response).map_err(|error| format!("waiting for a response: {error}"))?;
            if !response.starts_with(b"HTTP/1.") || response.get(8..13) != Some(b" 200 ") {
                return Err("not the response that is wanted".into());
            }
            watchdog::answered();
            return Ok(());
        }
        let mut answer = [0];
        socket.read_exact(&mut answer).map_err(|error| format!("waiting for an echo: {error}"))?;
        if answer[0] != byte {
            return Err("the server sent another byte than it got".into());
        }
        watchdog::answered();
        Ok(())
    }
}
