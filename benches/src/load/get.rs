//! `load get`: HTTP requests a second, and how long each takes, over some connections that are kept.
//!
//! Each connection asks for the same path, waits until as many bytes came as `content-length` has promised, and
//! repeats. A response that has another status than 200, or no length, fails the measurement; so does one that is
//! missing at the end of a slice. With `bytes` the figures count pieces of 64 KiB rather than responses: of large
//! files only a few are complete within a slice. `accept=gzip` asks for that coding. With `tls` it is https.

use std::io::ErrorKind;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use super::connect::{Connector, Greet, Received, Wire, PATIENCE, PER_SOURCE};
use super::slices::{Plan, Target, Work};
use super::tls;
use super::Results;
use crate::args::Args;
use crate::Result;

const READ_SIZE: usize = 256 << 10;
/// What is counted with `bytes`.
const PIECE: u64 = 64 << 10;
/// No head is longer.
const MAX_HEAD: usize = 8 << 10;

pub fn main(arguments: &[String]) -> Result<Vec<Results>> {
    let keys = [&Plan::KEYS[..], &["conns", "path", "accept"]].concat();
    let args = Args::parse(arguments, &keys, &["tls", "bytes"])?;
    let plan = Plan::from_args(&args)?;
    let conns: usize = args.require("conns")?;
    let path: String = args.require("path")?;
    let accept = match args.get::<String>("accept")? {
        Some(coding) => format!("Accept-Encoding: {coding}\r\n"),
        None => String::new(),
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n").into_bytes();
    let measured = if args.has("tls") {
        let identity = tls::Identity::new()?;
        measure(&plan, conns, &request, args.has("bytes"), |socket| tls::connect(&identity, socket))?
    } else {
        measure(&plan, conns, &request, args.has("bytes"), Ok)?
    };
    Ok(measured.into_iter().map(|measured| measured.results("requests_per_second")).collect())
}

fn measure<S: Wire>(
    plan: &Plan,
    conns: usize,
    request: &[u8],
    count_bytes: bool,
    wrap: impl Fn(TcpStream) -> Result<S>,
) -> Result<Vec<super::slices::Measured>> {
    let mut loads = Vec::new();
    for &port in &plan.ports {
        let streams = Connector::new(port, PER_SOURCE, &wrap).open(conns, Greet::None)?;
        loads.push(Load::new(request, count_bytes, streams)?);
    }
    plan.run(&mut loads)
}

/// The connections to one server.
struct Load<S> {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    clients: Vec<Client<S>>,
    request: Vec<u8>,
    count_bytes: bool,
    /// Whether a response is followed by the next request.
    sending: bool,
    outstanding: usize,
    /// Bytes of bodies in this run.
    bytes: u64,
    /// Nanoseconds of each response of this run.
    latencies: Vec<u64>,
}

/// How much of a response has come.
enum Progress {
    /// These bytes of its head.
    Head(Vec<u8>),
    /// So many bytes of its body are missing.
    Body(u64),
}

struct Client<S> {
    stream: S,
    sent: usize,
    progress: Progress,
    started: Instant,
}

impl<S: Wire> Target for Load<S> {
    fn begin(&mut self) -> Result<()> {
        for client in &mut self.clients {
            client.begin(&self.request, Instant::now())?;
        }
        self.sending = true;
        self.outstanding = self.clients.len();
        Ok(())
    }

    fn run(&mut self, end: Instant, _counting: bool) -> Result<Work> {
        self.latencies.clear();
        self.bytes = 0;
        while Instant::now() < end {
            self.turn()?;
        }
        let count = if self.count_bytes { (self.bytes / PIECE) as usize } else { self.latencies.len() };
        Ok(Work { count, latencies: self.latencies.clone() })
    }

    fn finish(&mut self) -> Result<()> {
        self.sending = false;
        let end = Instant::now() + PATIENCE;
        while self.outstanding > 0 {
            if Instant::now() > end {
                return Err(format!("{} responses are missing", self.outstanding).into());
            }
            self.turn()?;
        }
        Ok(())
    }
}

impl<S: Wire> Load<S> {
    fn new(request: &[u8], count_bytes: bool, streams: Vec<S>) -> Result<Load<S>> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(streams.len());
        for (number, mut stream) in streams.into_iter().enumerate() {
            SockRef::from(&*stream.socket()).set_nonblocking(true)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(stream.socket(), Token(number), both)?;
            let progress = Progress::Head(Vec::new());
            clients.push(Client { stream, sent: 0, progress, started: Instant::now() });
        }
        Ok(Load {
            poll,
            events: Events::with_capacity(1024),
            buffer: vec![0; READ_SIZE],
            clients,
            request: request.to_vec(),
            count_bytes,
            sending: false,
            outstanding: 0,
            bytes: 0,
            latencies: Vec::new(),
        })
    }

    /// Waits for events once and handles them.
    fn turn(&mut self) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(PATIENCE)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        if self.events.is_empty() {
            return Err(format!("the server sent nothing for {} s", PATIENCE.as_secs()).into());
        }
        for event in &self.events {
            let client = &mut self.clients[event.token().0];
            if event.is_writable() {
                client.send(&self.request)?;
            }
            // Of a large response one gulp at a time, so that the end of the slice is heard in time.
            if !client.receive(&mut self.buffer, &mut self.bytes)? {
                continue;
            }
            let now = Instant::now();
            self.latencies.push(now.duration_since(client.started).as_nanos() as u64);
            if self.sending {
                client.begin(&self.request, now)?;
            } else {
                self.outstanding -= 1;
            }
        }
        Ok(())
    }
}

impl<S: Wire> Client<S> {
    fn begin(&mut self, request: &[u8], now: Instant) -> Result<()> {
        self.started = now;
        self.sent = 0;
        self.progress = Progress::Head(Vec::new());
        self.send(request)
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        while self.sent < request.len() {
            match self.stream.send(&request[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("sending: {error}").into()),
            }
        }
        Ok(())
    }

    /// Receives what is there; true when the response is complete.
    fn receive(&mut self, buffer: &mut [u8], bytes: &mut u64) -> Result<bool> {
        loop {
            let content = matches!(self.progress, Progress::Head(_));
            let Received { length, more } = match self.stream.receive(buffer, content) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err("the server closed a connection".into())
                }
                Err(error) => return Err(format!("receiving: {error}").into()),
            };
            if self.take(&buffer[..length], bytes)? {
                return Ok(true);
            }
            if !more {
                return Ok(false);
            }
        }
    }

    fn take(&mut self, mut data: &[u8], bytes: &mut u64) -> Result<bool> {
        if let Progress::Head(head) = &mut self.progress {
            let before = head.len();
            head.extend_from_slice(&data[..data.len().min(MAX_HEAD)]);
            let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
                if head.len() >= MAX_HEAD {
                    return Err("the head of a response does not end".into());
                }
                return Ok(false);
            };
            data = &data[end - before..];
            self.progress = Progress::Body(promised(&head[..end])?);
        }
        let Progress::Body(missing) = &mut self.progress else { return Ok(false) };
        *missing = missing.checked_sub(data.len() as u64).ok_or("the server sent more than it promised")?;
        *bytes += data.len() as u64;
        Ok(*missing == 0)
    }
}

/// The length that a head promises.
fn promised(head: &[u8]) -> Result<u64> {
    let head = std::str::from_utf8(head)?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(format!("not what was asked for: {}", head.lines().next().unwrap_or_default()).into());
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    Ok(length.ok_or("a response without content-length")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::promised;

    #[test]
    fn heads() {
        assert_eq!(promised(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").unwrap(), 12);
        assert!(promised(b"HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\n\r\n").is_err());
        assert!(promised(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
