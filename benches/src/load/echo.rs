//! `load echo`: round trips a second, and how long each takes, over some active connections among idle ones.
//!
//! Each active connection sends a message, waits until as many bytes came back, and repeats. At the end of
//! each slice every outstanding answer is waited for: a server that loses one fails the measurement.
//!
//! With the word `tls` the connections, active and idle, speak TLS; with `ws` or `wstext` they speak WebSocket, and
//! the messages are binary ones or text.

use mio::net::TcpStream;

use super::connect::{Connector, Greet, Wire, PER_SOURCE};
use super::rounds::{Exchange, Rounds};
use super::slices::{Measured, Plan};
use super::tls;
use super::ws::{self, Opcode};
use super::Results;
use crate::args::Args;
use crate::{sys, Result};

/// Messages differ by the place in the pattern where they begin; so many places are in use.
const PLACES: usize = 251;
/// Of a larger piece of an answer only so many bytes at each end are compared while the time counts.
const COMPARED_ENDS: usize = 64;
/// Bytes of frames that are made before, about.
const FRAMES_SIZE: usize = 128 << 10;

pub fn main(arguments: &[String]) -> Result<Vec<Results>> {
    let keys = [&Plan::KEYS[..], &["conns", "size", "idle", "per_source"]].concat();
    let args = Args::parse(arguments, &keys, &["tls", "ws", "wstext"])?;
    let plan = Plan::from_args(&args)?;
    let active: usize = args.require("conns")?;
    let size: usize = args.require("size")?;
    let per_source = args.get("per_source")?.unwrap_or(PER_SOURCE);
    if active == 0 || size == 0 {
        return Err("conns and size must be at least 1".into());
    }
    let wanted = idle_of_each(&plan, args.list("idle")?)?;
    let idle = idle_possible(&plan, active, &wanted)?;
    let counts = Counts { active, idle: &idle, per_source, size };
    let measured = if args.has("tls") {
        let identity = tls::Identity::new()?;
        measure(&plan, &counts, Message::new, |socket| tls::connect(&identity, socket))?
    } else if args.has("ws") || args.has("wstext") {
        let opcode = if args.has("ws") { Opcode::Binary } else { Opcode::Text };
        measure(&plan, &counts, |size| Message::framed(opcode, size), |socket| ws::connect(socket, "/"))?
    } else {
        measure(&plan, &counts, Message::new, Ok)?
    };
    let mut lines = Vec::new();
    for (number, measured) in measured.into_iter().enumerate() {
        let mut results = measured.results("requests_per_second");
        if idle[number] < wanted[number] {
            results.add_number("conns_reduced", active + idle[number]);
        }
        lines.push(results);
    }
    Ok(lines)
}

struct Counts<'a> {
    active: usize,
    idle: &'a [usize],
    per_source: usize,
    size: usize,
}

fn measure<S: Wire>(
    plan: &Plan,
    counts: &Counts,
    message: impl Fn(usize) -> Message,
    wrap: impl Fn(TcpStream) -> Result<S>,
) -> Result<Vec<Measured>> {
    let mut idle_streams = Vec::new();
    let mut loads = Vec::new();
    for (&port, &idle) in plan.ports.iter().zip(counts.idle) {
        // The idle ones are first: the answers to the active ones prove that the server has taken all.
        let mut connector = Connector::new(port, counts.per_source, &wrap);
        idle_streams.push(connector.open(idle, Greet::Last)?);
        loads.push(Rounds::new(message(counts.size), connector.open(counts.active, Greet::Last)?)?);
    }
    plan.run(&mut loads)
}

/// The idle connections of each server: one number is for all, none means none.
fn idle_of_each(plan: &Plan, mut list: Vec<usize>) -> Result<Vec<usize>> {
    if list.len() <= 1 {
        list = vec![list.first().copied().unwrap_or(0); plan.ports.len()];
    }
    if list.len() != plan.ports.len() {
        return Err("idle=… must be one number, or one for each port".into());
    }
    Ok(list)
}

/// What the limits of open files, ours and the servers', leave of the idle connections.
fn idle_possible(plan: &Plan, active: usize, wanted: &[usize]) -> Result<Vec<usize>> {
    let mut idle = Vec::new();
    for (number, &wanted) in wanted.iter().enumerate() {
        let possible = sys::connections_possible(active + wanted, plan.pid(number))?;
        idle.push(possible.checked_sub(active).ok_or("the limit of open files is too low")?);
    }
    let total = idle.iter().sum::<usize>() + active * idle.len();
    // Ours is shared by all servers: what it lacks is taken from the one with the most.
    let lacking = total - sys::connections_possible(total, None)?;
    if let Some(most) = idle.iter_mut().max() {
        *most = most.checked_sub(lacking).ok_or("the limit of open files is too low")?;
    }
    Ok(idle)
}

/// What is sent: `size` bytes of a fixed pattern, from a place that changes from message to message.
struct Message {
    size: usize,
    pattern: Vec<u8>,
    /// Of WebSocket connections the frames that are sent, in the order of the places, and those that are awaited.
    frames: Vec<(Vec<u8>, Vec<u8>)>,
    compare_all: bool,
}

/// Where a connection is.
struct Place {
    /// In the pattern.
    message: usize,
    received: usize,
}

impl Exchange for Message {
    /// Larger than the messages, so that a read that brings a whole answer is a short one.
    const READ_SIZE: usize = 65_536;
    const ANSWERS: &'static str = "answers";
    type Place = Place;

    fn place(&self, number: usize) -> Place {
        Place { message: number % PLACES, received: 0 }
    }

    fn begin_run(&mut self, counting: bool) {
        self.compare_all = !counting;
    }

    fn begin(&self, place: &mut Place) {
        *place = Place { message: (place.message + 1) % PLACES, received: 0 };
    }

    fn request(&self, place: &Place) -> &[u8] {
        self.bytes(place.message)
    }

    fn looks(&self, _: &Place) -> bool {
        self.compare_all
    }

    fn take(&mut self, place: &mut Place, data: &[u8], seen: bool) -> Result<bool> {
        let awaited = &self.answer(place.message)[place.received..];
        if data.len() > awaited.len() {
            return Err("the server sent more than it got".into());
        }
        if seen && !self.agrees(&awaited[..data.len()], data) {
            return Err("the server sent other bytes than it got".into());
        }
        let complete = data.len() == awaited.len();
        place.received += data.len();
        Ok(complete)
    }
}

impl Message {
    fn new(size: usize) -> Message {
        // A linear congruential generator: all that is needed is that different places look different.
        let mut state = 1_u32;
        let pattern = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        Message {
            size,
            pattern: pattern.take(size + PLACES).collect(),
            frames: Vec::new(),
            compare_all: true,
        }
    }

    /// In frames; of text the characters are ASCII.
    fn framed(opcode: Opcode, size: usize) -> Message {
        let mut message = Message::new(size);
        if opcode == Opcode::Text {
            message.pattern.iter_mut().for_each(|byte| *byte = b' ' + *byte % 95);
        }
        // All frames together shall not push everything else out of the processor's caches.
        let places = (FRAMES_SIZE / size).clamp(2, PLACES);
        let frames = (0..places).map(|place| {
            let payload = &message.pattern[place..place + size];
            (ws::masked_frame(opcode, payload), ws::frame(opcode, payload))
        });
        message.frames = frames.collect();
        message
    }

    /// What is sent.
    fn bytes(&self, place: usize) -> &[u8] {
        match self.frames.len() {
            0 => &self.pattern[place..place + self.size],
            number => &self.frames[place % number].0,
        }
    }

    /// What comes back.
    fn answer(&self, place: usize) -> &[u8] {
        match self.frames.len() {
            0 => &self.pattern[place..place + self.size],
            number => &self.frames[place % number].1,
        }
    }

    /// Whether a piece of an answer is what was sent.
    fn agrees(&self, sent: &[u8], answer: &[u8]) -> bool {
        if self.compare_all || answer.len() <= 2 * COMPARED_ENDS {
            return sent == answer;
        }
        let tail = answer.len() - COMPARED_ENDS;
        sent[..COMPARED_ENDS] == answer[..COMPARED_ENDS] && sent[tail..] == answer[tail..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_differ_by_place() {
        let message = Message::new(64);
        assert!((1..PLACES).all(|place| message.bytes(place) != message.bytes(place - 1)));
    }

    #[test]
    fn frames_hold_the_pattern_and_differ() {
        let message = Message::framed(Opcode::Text, 64);
        assert_eq!(message.answer(3), [b"\x81\x40", &message.pattern[3..67]].concat());
        assert!((1..PLACES).all(|place| message.bytes(place) != message.bytes(place - 1)));
        let message = Message::framed(Opcode::Binary, 16_384);
        assert_eq!(message.bytes(0).len(), 16_392);
        assert!((1..PLACES).all(|place| message.answer(place) != message.answer(place - 1)));
    }

    #[test]
    fn pieces_are_compared_in_full_or_at_their_ends() {
        let mut message = Message::new(1000);
        let sent = message.bytes(0).to_vec();
        let with_error_at = |index: usize| {
            let mut answer = sent.clone();
            answer[index] ^= 1;
            answer
        };
        assert!(message.agrees(&sent, &sent));
        assert!(!message.agrees(&sent, &with_error_at(500)));
        message.compare_all = false;
        assert!(message.agrees(&sent, &sent));
        assert!(message.agrees(&sent, &with_error_at(500)));
        assert!(!message.agrees(&sent, &with_error_at(0)));
        assert!(!message.agrees(&sent, &with_error_at(999)));
        assert!(!message.agrees(&sent[..100], &with_error_at(50)[..100]));
    }
}
