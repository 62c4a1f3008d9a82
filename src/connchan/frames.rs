//! WebSocket frames of a channel: what `read -websocket` has received and not
//! yet given out (spec/ns_connchan.md 5).
//!
//! A channel has none of this before the first such read, and holds bytes only
//! while a frame is incomplete or waits for the next call: what arrives whole is
//! decoded where the socket put it.

use super::channel::{Channel, CONFIG_SECTION, READ_SIZE};
use crate::base::{config, Error, Result};
use crate::websocket::decoder::{DEFAULT_MAX_FRAME, DEFAULT_MAX_MESSAGE};
use crate::websocket::{Config, Decoder, Role, Step, Violation};
use parking_lot::Mutex;

/// A channel's place for them, empty until it is needed.
pub(super) type Slot = Mutex<Option<Box<Frames>>>;

/// What one call has found.
#[derive(Debug, PartialEq, Eq)]
pub struct FrameRead<T> {
    /// The frame, or that there is none.
    pub frame: Frame<T>,
    /// Bytes that the call has taken from the network.
    pub received: usize,
    /// Bytes that are left for later calls.
    pub unprocessed: usize,
    /// Bytes of the fragments so far.
    pub fragments: usize,
    /// The next call has something to say without receiving anything.
    pub have_data: bool,
}

/// At most one frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<T> {
    /// The last frame of a message, with all of the message, or a control
    /// frame.
    Message {
        /// That of the message's first frame, as on the wire.
        opcode: u8,
        /// What the caller has made of the payload.
        payload: T,
    },
    /// A fragment that others follow.
    Fragment,
    /// Not yet a whole frame; with no bytes received, the end of file.
    Incomplete,
    /// The peer has broken the protocol.
    Exception(Violation),
}

/// Received bytes that no call has given out, and what is known of them.
#[derive(Debug)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    start: usize,
    decoder: Decoder,
    /// The next call does not receive.
    ready: bool,
    /// A violation was reported.
    told: bool,
}

impl Frames {
    fn new(config: Config) -> Frames {
        Frames { bytes: Vec::new(), start: 0, decoder: Decoder::new(config), ready: false, told: false }
    }

    /// Decodes the next frame of what was kept and what is fresh.
    fn next<T>(&mut self, fresh: &mut [u8], keep: impl FnOnce(&[u8]) -> T) -> FrameRead<T> {
        let received = fresh.len();
        let direct = self.bytes.is_empty();
        if !direct {
            self.push(fresh);
        }
        let input = if direct { &mut *fresh } else { &mut self.bytes[self.start..] };
        let all = input.len();
        let (used, frame) = match self.decoder.decode(input) {
            Ok(Step { used: 0, .. }) => (0, Frame::Incomplete),
            Ok(Step { used, event: None }) => (used, Frame::Fragment),
            Ok(Step { used, event: Some(event) }) => {
                (used, Frame::Message { opcode: event.opcode() as u8, payload: keep(event.payload()) })
            }
            // What comes behind a violation means nothing; the end of the
            // connection does.
            Err(_) if self.told && received == 0 => (all, Frame::Incomplete),
            Err(violation) => (all, Frame::Exception(violation)),
        };
        self.told |= matches!(frame, Frame::Exception(_));
        let rest = &mut input[used..];
        let unprocessed = rest.len();
        self.ready = used > 0 && !self.told && self.decoder.is_ready(rest);
        if !self.ready {
            self.decoder.release();
        }
        if direct {
            self.bytes.extend_from_slice(&fresh[used..]);
        } else if unprocessed == 0 {
            self.bytes = Vec::new();
            self.start = 0;
        } else {
            self.start += used;
        }
        let fragments = self.decoder.collected();
        FrameRead { frame, received, unprocessed, fragments, have_data: self.ready }
    }

    fn push(&mut self, fresh: &[u8]) {
        // Moves the rest to the front when that at least halves the space, so
        // that every byte is moved a bounded number of times.
        if self.start >= self.bytes.len() / 2 && fresh.len() > self.bytes.capacity() - self.bytes.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(fresh);
    }
}

impl Channel {
    /// Gives out the next WebSocket frame: one that was kept, else from what a
    /// single receive gives, which waits as `read` does. `keep` makes what the
    /// caller wants of the payload.
    ///
    /// # Errors
    /// Those of `read`; a connection that is still being made and may not, or
    /// not any longer, be waited for: that is no end of file.
    pub fn read_frame<T>(
        &self,
        buffer: &mut [u8; READ_SIZE + 1],
        in_callback: bool,
        keep: impl FnOnce(&[u8]) -> T,
    ) -> Result<FrameRead<T>> {
        let ready = self.frames.lock().as_ref().is_some_and(|frames| frames.ready);
        // Not held while waiting.
        let received = if ready { 0 } else { self.read(buffer, in_callback)?.len() };
        if received == 0 && !ready && self.is_connecting() {
            let message = format!("channel \"{}\" is still connecting", self.name());
            return Err(Error::posix(message, libc::EAGAIN));
        }
        let mut slot = self.frames.lock();
        let frames = slot.get_or_insert_with(|| Box::new(Frames::new(settings())));
        Ok(frames.next(&mut buffer[..received], keep))
    }

    /// Bytes of frames that no call has given out, and of fragments.
    pub(super) fn frame_bytes(&self) -> (usize, usize) {
        self.frames
            .lock()
            .as_ref()
            .map_or((0, 0), |frames| (frames.bytes.len() - frames.start, frames.decoder.collected()))
    }
}

/// A channel may be either end of a connection, so masked and unmasked frames
/// are taken. The limits may be 0 for none.
fn settings() -> Config {
    let limit = |key, default: usize| match config::get_size(CONFIG_SECTION, key, default as u64) {
        0 => usize::MAX,
        bytes => bytes as usize,
    };
    Config {
        role: Role::Either,
        max_frame: limit("connchanmaxframe", DEFAULT_MAX_FRAME),
        max_message: limit("connchanmaxmessage", DEFAULT_MAX_MESSAGE),
        check_utf8: config::get_bool(CONFIG_SECTION, "connchancheckutf8", true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::{encode, Opcode};

    fn frames() -> Frames {
        Frames::new(Config::new(Role::Either))
    }

    fn next(frames: &mut Frames, fresh: &[u8]) -> FrameRead<Vec<u8>> {
        frames.next(&mut fresh.to_vec(), <[u8]>::to_vec)
    }

    #[test]
    fn small_frames_do_not_move_the_rest_each_time() {
        let mut bytes = Vec::new();
        for _ in 0..5000 {
            encode(true, Opcode::Text, None, b"x", &mut bytes);
        }
        bytes.push(0x81);
        let mut frames = frames();
        let mut read = next(&mut frames, &bytes);
        let place = frames.bytes.as_ptr();
        let mut count = 1;
        while read.have_data {
            read = next(&mut frames, &[]);
            count += 1;
        }
        assert_eq!((count, read.unprocessed), (5000, 1));
        assert_eq!(frames.bytes.as_ptr(), place);
        // What is left of them goes with the next bytes that need room.
        next(&mut frames, &[0x00]);
        assert!(frames.bytes.is_empty() && frames.bytes.capacity() == 0);
    }

    #[test]
    fn a_large_frame_in_pieces_with_a_mask() {
        let payload: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        let mut bytes = Vec::new();
        encode(true, Opcode::Binary, Some([1, 2, 3, 4]), &payload, &mut bytes);
        let mut frames = frames();
        let (last, first) = bytes
            .chunks(READ_SIZE)
            .rev()
            .collect::<Vec<_>>()
            .split_first()
            .map(|(l, f)| (*l, f.to_vec()))
            .expect("chunks");
        for chunk in first.iter().rev() {
            assert_eq!(next(&mut frames, chunk).frame, Frame::Incomplete);
        }
        let read = next(&mut frames, last);
        assert_eq!(read.frame, Frame::Message { opcode: 2, payload });
        assert_eq!(frames.bytes.capacity(), 0);
    }

    #[test]
    fn a_violation_behind_a_frame_is_told_without_receiving_and_then_the_end() {
        let mut frames = frames();
        let read = next(&mut frames, b"\x81\x01a\x83");
        assert!(read.have_data && read.unprocessed == 1);
        let read = next(&mut frames, b"");
        assert!(matches!(read.frame, Frame::Exception(Violation { code: 1002, .. })), "{read:?}");
        assert_eq!((read.unprocessed, read.have_data), (0, false));
        assert!(matches!(next(&mut frames, b"\x81\x01a").frame, Frame::Exception(_)));
        assert_eq!(next(&mut frames, b"").frame, Frame::Incomplete);
    }
}
