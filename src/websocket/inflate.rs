//! Compressed messages on their way in (RFC 7692, section 7.2.2), with a limit
//! on what they may become.

use super::close::Violation;
use flate2::{Decompress, FlushDecompress, Status};
use std::cell::RefCell;

/// The window for states that several connections share: large enough for any
/// peer.
const FULL_WINDOW: u8 = 15;

/// States that a thread keeps for the next message, all of them reset.
const MAX_IDLE: usize = 4;

thread_local! {
    static IDLE: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
}

/// What a sender leaves out at the end of each message.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Inflates the messages of one direction of a connection.
///
/// The state of zlib, some forty kilobytes, is there from the first compressed
/// message on; when the peer starts every message afresh, only while a message
/// is being received, and then borrowed from the thread.
#[derive(Debug)]
pub struct Inflater {
    state: Option<Decompress>,
    window_bits: u8,
    takeover: bool,
    /// The current message had a final block, behind which zlib starts anew.
    ended: bool,
}

impl Inflater {
    /// For a peer that compresses with that window, and keeps it from message
    /// to message if `takeover`.
    pub fn new(window_bits: u8, takeover: bool) -> Inflater {
        Inflater { state: None, window_bits, takeover, ended: false }
    }

    /// Inflates a piece of a message and appends the result to `out`, which may
    /// become `limit` bytes long. `last` is for the last piece.
    ///
    /// # Errors
    ///
    /// 1007 for what is no deflated data, 1009 beyond the limit. Either way
    /// the connection cannot go on.
    pub fn inflate(
        &mut self,
        piece: &[u8],
        last: bool,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Violation> {
        self.push(piece, out, limit)?;
        if !last {
            return Ok(());
        }
        self.push(&TAIL, out, limit)?;
        if std::mem::take(&mut self.ended) {
            // Behind a final block the tail may have begun a block that has
            // no end.
            self.state = None;
        }
        if !self.takeover {
            if let Some(state) = self.state.take() {
                keep(state);
            }
        }
        Ok(())
    }

    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Violation> {
        let state = self.state.get_or_insert_with(|| {
            if self.takeover {
                // zlib knows no window of 8 bits; one of 9 holds it.
                Decompress::new_with_window_bits(false, self.window_bits.clamp(9, FULL_WINDOW))
            } else {
                borrowed()
            }
        });
        let mut piece = piece;
        loop {
            if out.len() == out.capacity() {
                let wanted = piece.len().saturating_mul(3).clamp(64, 1 << 16);
                out.reserve(wanted.min(limit.saturating_sub(out.len()).saturating_add(1)));
            }
            let (taken, made) = (state.total_in(), out.len());
            let status = state.decompress_vec(piece, out, FlushDecompress::Sync).map_err(|_| BAD_DATA)?;
            let taken = (state.total_in() - taken) as usize;
            piece = &piece[taken..];
            if out.len() > limit {
                return Err(Violation::too_big("message is too big"));
            }
            if status == Status::StreamEnd {
                // A final block, which RFC 7692 allows: its sender begins
                // afresh behind it.
                state.reset(false);
                self.ended = true;
            }
            // With room left, everything that could be made of the piece was.
            let exhausted = out.len() < out.capacity() || status == Status::StreamEnd;
            if exhausted && piece.is_empty() {
                return Ok(());
            }
            if exhausted && taken == 0 && out.len() == made && status != Status::StreamEnd {
                return Err(BAD_DATA);
            }
        }
    }
}

const BAD_DATA: Violation = Violation::data("message is no valid compressed data");

fn borrowed() -> Decompress {
    IDLE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Decompress::new_with_window_bits(false, FULL_WINDOW))
}

fn keep(mut state: Decompress) {
    IDLE.with_borrow_mut(|idle| {
        if idle.len() < MAX_IDLE {
            state.reset(false);
            idle.push(state);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::deflate::Deflater;
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
    }

    fn inflate(inflater: &mut Inflater, message: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        inflater.inflate(message, true, &mut out, LIMIT)?;
        Ok(out)
    }

    #[test]
    fn the_examples_of_rfc_7692() {
        // 7.2.3.1 to 7.2.3.5: one block, the same again over the kept window,
        // stored, final, two blocks.
        let mut inflater = Inflater::new(15, true);
        for message in [
            "f248cdc9c90700",
            "f200110000",
            "000500faff48656c6c6f00",
            "f248050000 00ffffcac9c90700",
            "f348cdc9c9070000",
        ] {
            assert_eq!(
                inflate(&mut inflater, &hex(&message.replace(' ', ""))),
                Ok(b"Hello".to_vec()),
                "{message}"
            );
        }
        assert_eq!(inflate(&mut inflater, &hex("f248cdc9c90700")), Ok(b"Hello".to_vec()));
    }

    #[test]
    fn a_final_block_without_the_empty_one_behind_it() {
        let mut inflater = Inflater::new(15, true);
        for _ in 0..2 {
            assert_eq!(inflate(&mut inflater, &hex("f348cdc9c90700")), Ok(b"Hello".to_vec()));
        }
        assert_eq!(inflate(&mut inflater, &hex("f348cdc9c907")), Ok(b"Hello".to_vec()));
        assert_eq!(inflate(&mut inflater, &hex("f248cdc9c90700")), Ok(b"Hello".to_vec()));
    }

    #[test]
    fn without_takeover_nothing_is_kept() {
        let mut inflater = Inflater::new(15, false);
        assert_eq!(inflate(&mut inflater, &hex("f248cdc9c90700")), Ok(b"Hello".to_vec()));
        assert!(inflater.state.is_none());
        // Reaches back to the message before, which is forgotten.
        assert_eq!(inflate(&mut inflater, &hex("f200110000")).map_err(|v| v.code), Err(1007));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let mut bomb = Vec::new();
        Deflater::new(15, true, 9).deflate(&vec![0; 4 << 20], &mut bomb).expect("deflates");
        assert!(bomb.len() < 8 << 10, "{}", bomb.len());
        for limit in [0, 1, 63, 64, 65, 100_000, (4 << 20) - 1] {
            let mut out = Vec::new();
            let result = Inflater::new(15, true).inflate(&bomb, true, &mut out, limit);
            assert_eq!(result.map_err(|v| v.code), Err(1009));
            assert!(out.capacity() <= 2 * limit + 64, "{} of {limit}", out.capacity());
        }
        let mut out = Vec::new();
        assert_eq!(Inflater::new(15, true).inflate(&bomb, true, &mut out, 4 << 20), Ok(()));
        assert_eq!(out.len(), 4 << 20);
    }

    #[test]
    fn pieces_of_any_size() {
        let text: Vec<u8> = (0..5000_u32).flat_map(|i| (i * i).to_string().into_bytes()).collect();
        let mut message = Vec::new();
        Deflater::new(12, true, 6).deflate(&text, &mut message).expect("deflates");
        for size in [1, 2, 7, 1000, message.len()] {
            let (mut inflater, mut out) = (Inflater::new(12, true), Vec::new());
            for piece in message.chunks(size) {
                inflater.inflate(piece, false, &mut out, LIMIT).expect("inflates");
            }
            inflater.inflate(&[], true, &mut out, LIMIT).expect("inflates");
            assert!(out == text, "pieces of {size}");
        }
    }

    #[test]
    fn garbage() {
        for message in ["ff", "07", "ffffffffffff"] {
            assert_eq!(inflate(&mut Inflater::new(15, true), &hex(message)).map_err(|v| v.code), Err(1007));
        }
    }
}
