//! Messages on their way out, compressed (RFC 7692, section 7.2.1).

use crate::base::{Error, Result};
use flate2::{Compress, Compression, FlushCompress};
use std::cell::RefCell;

/// States that a thread keeps for the next message, all of them reset.
const MAX_IDLE: usize = 4;

thread_local! {
    static IDLE: RefCell<Vec<(Shape, Compress)>> = const { RefCell::new(Vec::new()) };
}

/// The level for who has no wish: of typical text it makes as little as the
/// higher ones, in half their time.
pub const DEFAULT_LEVEL: u8 = 2;

/// The shortest message that is compressed, for who has no wish: below it,
/// there is little to gain.
pub const DEFAULT_THRESHOLD: usize = 64;

/// How zlib is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    window_bits: u8,
    level: u8,
}

/// What every message ends with after a flush, and what is left out.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Deflates the messages of one direction of a connection.
///
/// The state of zlib, some hundred kilobytes or more, is there from the first
/// compressed message on; without context takeover only while a message is
/// being compressed, and then borrowed from the thread.
#[derive(Debug)]
pub struct Deflater {
    state: Option<Compress>,
    shape: Shape,
    takeover: bool,
}

impl Deflater {
    /// For a window of that many bits (8 to 15), which is kept from message to
    /// message if `takeover`; `level` is zlib's, 1 to 9.
    pub fn new(window_bits: u8, takeover: bool, level: u8) -> Deflater {
        // zlib makes no window of 8 bits. Its matches reach back no further
        // than the window less 262 bytes, though, which for 9 bits is within
        // the 256 of 8 bits.
        let shape = Shape { window_bits: window_bits.clamp(9, 15), level: level.clamp(1, 9) };
        Deflater { state: None, shape, takeover }
    }

    /// Whether what one message leaves behind helps to compress the next, so
    /// that a message that was compressed has to be sent as such.
    pub fn takes_over(&self) -> bool {
        self.takeover
    }

    /// Appends the compressed form of `message`, which must not be empty, to
    /// `out`.
    ///
    /// # Errors
    ///
    /// When zlib fails, which it does not in normal operation.
    pub fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let shape = self.shape;
        let state =
            self.state.get_or_insert_with(|| if self.takeover { make(shape) } else { borrowed(shape) });
        run(state, message, out)?;
        if !self.takeover {
            if let Some(state) = self.state.take() {
                keep(shape, state);
            }
        }
        Ok(())
    }
}

fn run(state: &mut Compress, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let failed = |what: &dyn std::fmt::Display| Error::new(format!("cannot compress a message: {what}"));
    // What zlib may need at most: so one call does, and the flush is whole.
    out.reserve(message.len() + message.len() / 8 + 64);
    let mut rest = message;
    loop {
        let taken = state.total_in();
        state.compress_vec(rest, out, FlushCompress::Sync).map_err(|error| failed(&error))?;
        rest = &rest[(state.total_in() - taken) as usize..];
        if rest.is_empty() && out.len() < out.capacity() {
            break;
        }
        out.reserve(64 + rest.len());
    }
    if !out.ends_with(&TAIL) {
        return Err(failed(&"the end is missing"));
    }
    out.truncate(out.len() - TAIL.len());
    Ok(())
}

fn make(shape: Shape) -> Compress {
    Compress::new_with_window_bits(Compression::new(u32::from(shape.level)), false, shape.window_bits)
}

fn borrowed(shape: Shape) -> Compress {
    IDLE.with_borrow_mut(|idle| {
        let found = idle.iter().position(|(own, _)| *own == shape);
        found.map(|index| idle.swap_remove(index).1)
    })
    .unwrap_or_else(|| make(shape))
}

fn keep(shape: Shape, mut state: Compress) {
    IDLE.with_borrow_mut(|idle| {
        if idle.len() == MAX_IDLE {
            idle.remove(0);
        }
        state.reset();
        idle.push((shape, state));
    });
}

#[cfg(test)]
mod tests {
    use super::super::inflate::Inflater;
    use super::*;

    fn deflate(deflater: &mut Deflater, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        deflater.deflate(message, &mut out).expect("deflates");
        out
    }

    /// Bytes that do not compress by themselves.
    fn noise(length: usize) -> Vec<u8> {
        let mut seed = 1_u32;
        let next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn what_is_deflated_inflates() {
        for window_bits in 8..=15 {
            for takeover in [false, true] {
                for level in [1, 6, 9] {
                    let mut deflater = Deflater::new(window_bits, takeover, level);
                    let mut inflater = Inflater::new(window_bits, takeover);
                    for length in [1, 2, 5, 100, 5000, 70_000] {
                        for message in
                            [noise(length), vec![b'a'; length], b"Hello, hello. ".repeat(length / 14 + 1)]
                        {
                            let mut out = b"kept".to_vec();
                            inflater
                                .inflate(&deflate(&mut deflater, &message), true, &mut out, 1 << 20)
                                .expect("inflates");
                            assert!(out[4..] == message, "{length} bytes, window {window_bits}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn takeover_makes_the_next_message_smaller() {
        let message = noise(500);
        let mut deflater = Deflater::new(15, true, 6);
        assert!(deflate(&mut deflater, &message).len() >= 500);
        assert!(deflate(&mut deflater, &message).len() < 50);
        let mut deflater = Deflater::new(15, false, 6);
        assert_eq!(deflate(&mut deflater, &message), deflate(&mut deflater, &message));
        assert!(deflater.state.is_none());
    }

    #[test]
    fn matches_stay_within_the_window_asked_for() {
        for window_bits in 8..=12_u8 {
            let window = 1 << window_bits;
            for level in 1..=9 {
                // What repeats further back than the window must not be found.
                let block = noise(window + 1);
                let message = [&block[..], &block[..]].concat();
                let deflated = deflate(&mut Deflater::new(window_bits, true, level), &message);
                assert!(deflated.len() > message.len() - 10, "window {window_bits}, level {level}");
            }
        }
    }
}
