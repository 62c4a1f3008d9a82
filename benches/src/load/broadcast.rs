//! `load broadcast`: how many copies of a message a server delivers in a second to all its receivers.
//!
//! One connection, for the path `/control`, sends the messages; each of those for `/room` has to get every one of
//! them, in order. The next message is sent while the one before is still being delivered, so that the server never
//! waits for us.

use std::io::Write;
use std::time::Instant;

use mio::{Events, Interest, Poll};

use super::connect::{Connector, Greet, Received, Wire, PATIENCE, PER_SOURCE};
use super::rounds::{receive, wait, watch};
use super::slices::{Plan, Target, Work};
use super::ws::{self, Opcode};
use super::Results;
use crate::args::Args;
use crate::{sys, Result};

/// Messages that are under way at once.
const AHEAD: usize = 2;
/// Messages that differ from each other.
const MESSAGES: usize = 61;
const READ_SIZE: usize = 16_384;

pub fn main(arguments: &[String]) -> Result<Vec<Results>> {
    let keys = [&Plan::KEYS[..], &["receivers", "size", "per_source"]].concat();
    let args = Args::parse(arguments, &keys, &[])?;
    let plan = Plan::from_args(&args)?;
    let wanted: usize = args.require("receivers")?;
    let size: usize = args.require("size")?;
    let per_source = args.get("per_source")?.unwrap_or(PER_SOURCE);
    if wanted == 0 || size == 0 {
        return Err("receivers and size must be at least 1".into());
    }
    // A server may need a second descriptor for each while it connects.
    let mut receivers = sys::connections_possible(plan.ports.len() * wanted, None)? / plan.ports.len();
    for number in 0..plan.ports.len() {
        receivers = receivers.min(sys::connections_possible(wanted, plan.pid(number))?);
    }
    let mut rooms = Vec::new();
    for &port in &plan.ports {
        let connect = |path| move |socket| ws::connect(socket, path);
        let members = Connector::new(port, per_source, connect("/room")).open(receivers, Greet::None)?;
        let control = Connector::new(port, per_source, connect("/control")).open(1, Greet::None)?;
        rooms.push(Room::new(size, members, control)?);
    }
    let measured = plan.run(&mut rooms)?;
    let mut lines = Vec::new();
    for measured in measured {
        let mut results = measured.results("deliveries_per_second");
        if receivers < wanted {
            results.add_number("conns_reduced", receivers);
        }
        lines.push(results);
    }
    Ok(lines)
}

/// The connections to one server.
struct Room {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    control: ws::Stream,
    receivers: Vec<Receiver>,
    /// The messages in turn: as they are sent, and as they arrive.
    messages: Vec<(Vec<u8>, Vec<u8>)>,
    sending: bool,
    sent: usize,
    delivered: usize,
}

struct Receiver {
    stream: ws::Stream,
    place: Place,
}

/// How far a receiver is: whole messages, and bytes of the next one.
#[derive(Default)]
struct Place {
    count: usize,
    received: usize,
}

impl Target for Room {
    fn begin(&mut self) -> Result<()> {
        self.sending = true;
        self.send_ahead()
    }

    fn run(&mut self, end: Instant, _counting: bool) -> Result<Work> {
        let before = self.delivered;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(Work { count: self.delivered - before, latencies: Vec::new() })
    }

    fn finish(&mut self) -> Result<()> {
        self.sending = false;
        let end = Instant::now() + PATIENCE;
        while self.delivered < self.sent * self.receivers.len() {
            if Instant::now() > end {
                return Err(format!(
                    "{} of {} deliveries came",
                    self.delivered,
                    self.sent * self.receivers.len()
                )
                .into());
            }
            self.turn()?;
        }
        Ok(())
    }
}

impl Room {
    fn new(size: usize, members: Vec<ws::Stream>, control: Vec<ws::Stream>) -> Result<Room> {
        let control = control.into_iter().next().ok_or("no connection to send on")?;
        let poll = Poll::new()?;
        let mut receivers = Vec::with_capacity(members.len());
        for (number, mut stream) in members.into_iter().enumerate() {
            watch(&poll, &mut stream, number, Interest::READABLE)?;
            receivers.push(Receiver { stream, place: Place::default() });
        }
        Ok(Room {
            poll,
            events: Events::with_capacity(1024),
            buffer: vec![0; READ_SIZE],
            control,
            receivers,
            messages: (0..MESSAGES).map(|number| message(number, size)).collect(),
            sending: false,
            sent: 0,
            delivered: 0,
        })
    }

    /// Sends as long as there are not enough messages under way.
    fn send_ahead(&mut self) -> Result<()> {
        let room = self.receivers.len();
        while self.sending && self.sent * room - self.delivered <= (AHEAD - 1) * room {
            // So little fits a socket that takes anything at all.
            self.control.socket().write_all(&self.messages[self.sent % MESSAGES].0)?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Waits for events once and handles them.
    fn turn(&mut self) -> Result<()> {
        wait(&mut self.poll, &mut self.events)?;
        for event in &self.events {
            let receiver = &mut self.receivers[event.token().0];
            self.delivered += receiver.receive(&self.messages, &mut self.buffer)?;
        }
        self.send_ahead()
    }
}

impl Receiver {
    /// Receives what is there; the number of messages that are whole now.
    fn receive(&mut self, messages: &[(Vec<u8>, Vec<u8>)], buffer: &mut [u8]) -> Result<usize> {
        let before = self.place.count;
        while let Some(Received { length, more }) = receive(&mut self.stream, buffer, true)? {
            self.place.take(messages, &buffer[..length])?;
            if !more {
                break;
            }
        }
        Ok(self.place.count - before)
    }
}

impl Place {
    /// Compares what has come with what was sent.
    fn take(&mut self, messages: &[(Vec<u8>, Vec<u8>)], mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let awaited = &messages[self.count % messages.len()].1[self.received..];
            let length = awaited.len().min(bytes.len());
            if bytes[..length] != awaited[..length] {
                return Err("the server sent other bytes than it got".into());
            }
            self.received += length;
            if length == awaited.len() {
                self.count += 1;
                self.received = 0;
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

/// A message of `size` letters, as it is sent and as it arrives.
fn message(number: usize, size: usize) -> (Vec<u8>, Vec<u8>) {
    let text: Vec<u8> = (0..size).map(|index| b'0' + ((number + index) % MESSAGES) as u8).collect();
    (ws::masked_frame(Opcode::Text, &text), ws::frame(Opcode::Text, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_counted_however_they_are_cut() {
        let messages: Vec<_> = (0..3).map(|number| message(number, 100)).collect();
        let stream: Vec<u8> = (0..6).flat_map(|number| messages[number % 3].1.clone()).collect();
        for cut in [1, 7, 102, 103, 500] {
            let mut place = Place::default();
            for piece in stream.chunks(cut) {
                place.take(&messages, piece).unwrap();
            }
            assert_eq!((place.count, place.received), (6, 0));
            // The one after the last is the first again.
            assert!(place.take(&messages, &messages[1].1).is_err());
        }
    }
}
