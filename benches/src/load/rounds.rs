//! Requests on connections that are kept: each connection sends one, waits until its answer is complete, and
//! repeats. What is sent, and what an answer is, an [`Exchange`] knows.

use std::io::ErrorKind;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use super::connect::{Received, Wire, PATIENCE};
use super::slices::{Target, Work};
use crate::Result;

/// What is said on the connections to a server.
pub trait Exchange {
    /// How much is read at once.
    const READ_SIZE: usize;
    /// What an answer is called when it is missing.
    const ANSWERS: &'static str;
    /// Where a connection is in it.
    type Place;

    /// The place of a new connection, of which this is the number.
    fn place(&self, number: usize) -> Self::Place;
    /// A run begins.
    fn begin_run(&mut self, counting: bool);
    /// The next request of a connection begins.
    fn begin(&self, place: &mut Self::Place);
    /// What is sent.
    fn request(&self, place: &Self::Place) -> &[u8];
    /// Whether the next bytes of the answer are looked at, rather than counted.
    fn looks(&self, place: &Self::Place) -> bool;
    /// Takes what has come of the answer, of which the bytes are right when they were `seen`; true when it is
    /// complete.
    fn take(&mut self, place: &mut Self::Place, data: &[u8], seen: bool) -> Result<bool>;
    /// What counts of a run that brought so many answers.
    fn count(&self, answers: usize) -> usize {
        answers
    }
}

/// The connections to one server.
pub struct Rounds<S, E: Exchange> {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    clients: Vec<Client<S, E::Place>>,
    exchange: E,
    /// Whether an answer is followed by the next request.
    sending: bool,
    /// How many answers are awaited.
    outstanding: usize,
    /// Nanoseconds of each answer of this run.
    latencies: Vec<u64>,
}

struct Client<S, P> {
    stream: S,
    place: P,
    sent: usize,
    started: Instant,
}

impl<S: Wire, E: Exchange> Target for Rounds<S, E> {
    fn begin(&mut self) -> Result<()> {
        for client in &mut self.clients {
            client.begin(&self.exchange, Instant::now())?;
        }
        self.sending = true;
        self.outstanding = self.clients.len();
        Ok(())
    }

    fn run(&mut self, end: Instant, counting: bool) -> Result<Work> {
        self.exchange.begin_run(counting);
        self.latencies.clear();
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(Work { count: self.exchange.count(self.latencies.len()), latencies: self.latencies.clone() })
    }

    fn finish(&mut self) -> Result<()> {
        self.sending = false;
        let end = Instant::now() + PATIENCE;
        while self.outstanding > 0 {
            if Instant::now() > end {
                return Err(format!("{} {} are missing", self.outstanding, E::ANSWERS).into());
            }
            self.turn()?;
        }
        Ok(())
    }
}

impl<S: Wire, E: Exchange> Rounds<S, E> {
    /// Over these connections, which are blocking ones so far.
    pub fn new(exchange: E, streams: Vec<S>) -> Result<Rounds<S, E>> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(streams.len());
        for (number, mut stream) in streams.into_iter().enumerate() {
            watch(&poll, &mut stream, number, Interest::READABLE | Interest::WRITABLE)?;
            clients.push(Client { stream, place: exchange.place(number), sent: 0, started: Instant::now() });
        }
        Ok(Rounds {
            poll,
            events: Events::with_capacity(1024),
            buffer: vec![0; E::READ_SIZE],
            clients,
            exchange,
            sending: false,
            outstanding: 0,
            latencies: Vec::new(),
        })
    }

    /// Waits for events once and handles them.
    fn turn(&mut self) -> Result<()> {
        wait(&mut self.poll, &mut self.events)?;
        for event in &self.events {
            let client = &mut self.clients[event.token().0];
            if event.is_writable() {
                client.send(&self.exchange)?;
            }
            if !client.receive(&mut self.exchange, &mut self.buffer)? {
                continue;
            }
            let now = Instant::now();
            self.latencies.push(now.duration_since(client.started).as_nanos() as u64);
            if self.sending {
                client.begin(&self.exchange, now)?;
            } else {
                self.outstanding -= 1;
            }
        }
        Ok(())
    }
}

impl<S: Wire, P> Client<S, P> {
    /// Sends the next request.
    fn begin<E: Exchange<Place = P>>(&mut self, exchange: &E, now: Instant) -> Result<()> {
        self.started = now;
        self.sent = 0;
        exchange.begin(&mut self.place);
        self.send(exchange)
    }

    /// Sends what the socket takes of the rest of the request.
    fn send<E: Exchange<Place = P>>(&mut self, exchange: &E) -> Result<()> {
        let bytes = exchange.request(&self.place);
        while self.sent < bytes.len() {
            match self.stream.send(&bytes[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("sending: {error}").into()),
            }
        }
        Ok(())
    }

    /// Receives what is there; true when the answer is complete.
    fn receive<E: Exchange<Place = P>>(&mut self, exchange: &mut E, buffer: &mut [u8]) -> Result<bool> {
        loop {
            let looks = exchange.looks(&self.place);
            let Some(Received { length, more }) = receive(&mut self.stream, buffer, looks)? else {
                return Ok(false);
            };
            let seen = looks || S::LOOKS_AT_ALL;
            if length > 0 && exchange.take(&mut self.place, &buffer[..length], seen)? {
                return Ok(true);
            }
            if !more {
                return Ok(false);
            }
        }
    }
}

/// Has a connection report to a poll set under its number.
pub fn watch<S: Wire>(poll: &Poll, stream: &mut S, number: usize, interest: Interest) -> Result<()> {
    SockRef::from(&*stream.socket()).set_nonblocking(true)?;
    Ok(poll.registry().register(stream.socket(), Token(number), interest)?)
}

/// Waits for events once, as long as a server may be silent.
pub fn wait(poll: &mut Poll, events: &mut Events) -> Result<()> {
    match poll.poll(events, Some(PATIENCE)) {
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            events.clear();
            return Ok(());
        }
        result => result?,
    }
    if events.is_empty() {
        return Err(format!("the server sent nothing for {} s", PATIENCE.as_secs()).into());
    }
    Ok(())
}

/// [`Wire::receive`], where nothing is no error.
pub fn receive<S: Wire>(stream: &mut S, buffer: &mut [u8], content: bool) -> Result<Option<Received>> {
    loop {
        return match stream.receive(buffer, content) {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err("the server closed a connection".into())
            }
            Err(error) => Err(format!("receiving: {error}").into()),
        };
    }
}
