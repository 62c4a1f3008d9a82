//! Properties of the codec as a whole, tried with random messages from a seed:
//! what one end encodes the other decodes, however it is cut; nothing that is
//! received makes the decoder panic, and how it is cut changes nothing.

use super::close::Violation;
use super::extension::Params;
use super::header::FIN;
use super::{encode, Config, Decoder, Encoder, Event, Opcode, Role};

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn text(&mut self, length: usize) -> String {
        const CHARS: [char; 8] = ['a', 'b', ' ', 'ö', '€', '😀', '\0', 'x'];
        (0..length).map(|_| CHARS[self.below(CHARS.len())]).collect()
    }

    fn length(&mut self) -> usize {
        match self.below(10) {
            0 => 0,
            1 => 120 + self.below(20),
            2 => 65_530 + self.below(20),
            3 => self.below(5000),
            _ => self.below(60),
        }
    }
}

/// An event that owns its payload.
type Owned = (Opcode, Vec<u8>);

/// Feeds `bytes` in pieces that end at the given cuts, as a caller does.
fn feed(decoder: &mut Decoder, bytes: &[u8], cuts: &[usize]) -> (Vec<Owned>, Option<Violation>) {
    let mut events = Vec::new();
    let mut buffer = Vec::new();
    let mut given = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        buffer.extend_from_slice(&bytes[given..cut]);
        given = cut;
        loop {
            // Half of the callers ask first.
            if cut % 2 == 0 && !decoder.is_ready(&mut buffer) {
                break;
            }
            match decoder.decode(&mut buffer) {
                Ok(step) => {
                    if let Some(event) = step.event {
                        events.push((event.opcode(), event.payload().to_vec()));
                    }
                    if step.used == 0 {
                        break;
                    }
                    let used = step.used;
                    buffer.drain(..used);
                }
                Err(violation) => return (events, Some(violation)),
            }
        }
    }
    (events, None)
}

fn cuts(random: &mut Random, length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = match random.below(4) {
        0 => Vec::new(),
        1 if length < 3000 => (0..length).collect(),
        _ => (0..random.below(20)).map(|_| random.below(length + 1)).collect(),
    };
    cuts.sort_unstable();
    cuts
}

/// A message in frames of random size, with control frames in between.
fn fragmented(random: &mut Random, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> Vec<Owned> {
    let mut controls = Vec::new();
    let (mut opcode, mut rest) = (opcode, payload);
    for _ in 0..random.below(5) {
        let (piece, behind) = rest.split_at(random.below(rest.len() + 1));
        let mask = (random.below(2) == 0).then(|| random.next().to_le_bytes()[..4].try_into().expect("four"));
        encode(false, opcode, mask, piece, out);
        (opcode, rest) = (Opcode::Continue, behind);
        if random.below(2) == 0 {
            let length = random.below(126);
            let ping = random.text(length).into_bytes();
            let ping = ping[..ping.len().min(125)].to_vec();
            encode(true, Opcode::Ping, mask, &ping, out);
            controls.push((Opcode::Ping, ping));
        }
    }
    encode(true, opcode, None, rest, out);
    controls
}

#[test]
fn any_message_cut_at_any_points_decodes_to_itself() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3000 {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..random.below(6) {
            let length = random.length();
            let (opcode, payload) = match random.below(2) {
                0 => (Opcode::Text, random.text(length).into_bytes()),
                _ => (Opcode::Binary, (0..length).map(|_| random.next() as u8).collect()),
            };
            expected.extend(fragmented(&mut random, opcode, &payload, &mut bytes));
            expected.push((opcode, payload));
        }
        let mut decoder = Decoder::new(Config::new(Role::Either));
        let cuts = cuts(&mut random, bytes.len());
        let (events, violation) = feed(&mut decoder, &bytes, &cuts);
        assert_eq!(violation, None);
        assert!(events == expected, "cuts {cuts:?}");
        decoder.release();
        assert_eq!(decoder.collected(), 0);
    }
}

#[test]
fn what_one_end_encodes_the_other_decodes() {
    let mut random = Random(42);
    for round in 0..600 {
        let params = Params {
            server_no_context_takeover: round & 1 != 0,
            client_no_context_takeover: round & 2 != 0,
            server_max_window_bits: 8 + random.below(8) as u8,
            client_max_window_bits: 8 + random.below(8) as u8,
        };
        let (from, to) =
            if round & 4 == 0 { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let threshold = random.below(100);
        let mut encoder = Encoder::with_compression(from, &params, 1 + random.below(9) as u8, threshold);
        let mut decoder = Decoder::with_compression(Config::new(to), &params);
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..1 + random.below(6) {
            let length = random.length();
            let text = random.text(length);
            encoder.message(Opcode::Text, text.as_bytes(), &mut bytes).expect("encodes");
            expected.push((Opcode::Text, text.into_bytes()));
            encoder.control(Opcode::Pong, b"here", &mut bytes).expect("encodes");
            expected.push((Opcode::Pong, b"here".to_vec()));
        }
        encoder.close(Some(1000), "bye", &mut bytes).expect("encodes");
        expected.push((Opcode::Close, b"\x03\xe8bye".to_vec()));
        let cuts = cuts(&mut random, bytes.len());
        let (events, violation) = feed(&mut decoder, &bytes, &cuts);
        assert_eq!(violation, None, "{params:?}");
        assert!(events == expected, "{params:?}, cuts {cuts:?}");
    }
}

#[test]
fn nothing_received_makes_it_panic_and_cuts_change_nothing() {
    let mut random = Random(7);
    let params = Params::default();
    for round in 0..20_000 {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::with_compression(Role::Server, &params, 6, 10);
        for _ in 0..random.below(4) {
            let length = random.below(300);
            let text = random.text(length).into_bytes();
            if random.below(2) == 0 {
                encoder.message(Opcode::Text, &text, &mut bytes).expect("encodes");
            } else {
                fragmented(&mut random, Opcode::Text, &text, &mut bytes);
            }
        }
        for _ in 0..1 + random.below(4) {
            match (random.below(3), bytes.len()) {
                (_, 0) | (0, _) => bytes.insert(random.below(bytes.len() + 1), random.next() as u8),
                (1, length) => bytes[random.below(length)] ^= 1 << random.below(8),
                (_, length) => drop(bytes.remove(random.below(length))),
            }
        }
        let config = Config { max_frame: 2000, max_message: 3000, ..Config::new(Role::Either) };
        let decoder = || match round % 2 {
            0 => Decoder::new(config),
            _ => Decoder::with_compression(config, &params),
        };
        let cuts = cuts(&mut random, bytes.len());
        let whole = feed(&mut decoder(), &bytes, &[]);
        let cut = feed(&mut decoder(), &bytes, &cuts);
        assert!(whole.0 == cut.0, "cuts {cuts:?}, bytes {bytes:x?}");
        // Of a compressed frame with two faults the one is found first whose
        // byte comes first, if the cut shows it alone.
        if whole.1 != cut.1 {
            assert!(round % 2 == 1 && whole.1.is_some() && cut.1.is_some(), "{:?} and {:?}", whole.1, cut.1);
        }
    }
}

#[test]
fn every_text_fails_at_its_first_impossible_byte() {
    let text = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
    for masked in [false, true] {
        for first in 0..=text.len() {
            // In two fragments, byte by byte: the byte F4 may still become
            // something, 90 behind it cannot.
            let mut bytes = Vec::new();
            let mask = masked.then_some([1, 2, 3, 4]);
            encode(false, Opcode::Text, mask, &text[..first], &mut bytes);
            encode(true, Opcode::Continue, mask, &text[first..], &mut bytes);
            let header = bytes.len() / 2 - text.len() / 2;
            let expected = 12 + if first < 13 { 2 * header } else { header };
            let mut decoder = Decoder::new(Config::new(Role::Either));
            let all: Vec<usize> = (1..bytes.len()).collect();
            let failed = all.iter().position(|end| {
                let mut decoder = Decoder::new(Config::new(Role::Either));
                feed(&mut decoder, &bytes[..*end], &all[..end - 1]).1.is_some()
            });
            assert_eq!(failed, Some(expected), "cut at {first}, masked {masked}");
            assert_eq!(feed(&mut decoder, &bytes, &all).1.map(|v| v.code), Some(1007));
        }
    }
    assert!(matches!(
        Decoder::new(Config::new(Role::Server)).decode(&mut [FIN | 1, 0x80, 0, 0, 0, 0]),
        Ok(super::Step { used: 6, event: Some(Event::Text(b"")) })
    ));
}
