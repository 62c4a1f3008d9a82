//! Frames on their way out: header, masking, mask keys (RFC 6455, section 5).
//!
//! Nothing is checked but what the types rule out. A script may want a ping
//! that is not final or a close frame of its own making, to test its peer.

use super::header::{FIN, MASKED, MAX_HEADER, RSV1};
use super::mask::apply_mask;
use crate::base::{Error, Result};
use std::cell::RefCell;

/// What a frame is for. The numbers are those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message that the last data frame began.
    Continue = 0,
    /// A text message, or its beginning.
    Text = 1,
    /// A binary message, or its beginning.
    Binary = 2,
    /// The end of the connection.
    Close = 8,
    /// A question whether the peer is still there.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl Opcode {
    /// All opcodes with their names, in the order in which `ns_connchan
    /// wsencode` lists them.
    pub const NAMED: [(&'static str, Opcode); 6] = [
        ("continue", Opcode::Continue),
        ("text", Opcode::Text),
        ("binary", Opcode::Binary),
        ("close", Opcode::Close),
        ("ping", Opcode::Ping),
        ("pong", Opcode::Pong),
    ];

    /// The opcode of a name, which has to be exact.
    pub fn from_name(name: &str) -> Option<Opcode> {
        Opcode::NAMED.iter().find(|(own, _)| *own == name).map(|(_, opcode)| *opcode)
    }

    /// The opcode of a number on the wire; the others are reserved.
    #[inline]
    pub fn from_number(number: u8) -> Option<Opcode> {
        match number {
            0 => Some(Opcode::Continue),
            1 => Some(Opcode::Text),
            2 => Some(Opcode::Binary),
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => None,
        }
    }

    /// Whether such frames are about the connection and no part of a message.
    #[inline]
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The header of a frame to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; MAX_HEADER],
    size: u8,
}

impl Head {
    /// The header of a frame with a payload of that length. `compressed` is
    /// for the first frame of a compressed message.
    pub fn new(fin: bool, compressed: bool, opcode: Opcode, mask: Option<[u8; 4]>, length: usize) -> Head {
        let mut bytes = [0; MAX_HEADER];
        bytes[0] = opcode as u8 | if fin { FIN } else { 0 } | if compressed { RSV1 } else { 0 };
        let masked = if mask.is_some() { MASKED } else { 0 };
        // The shortest of the three forms of a length is the only correct one.
        let mut size = match length {
            0..=125 => {
                bytes[1] = masked | length as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = masked | 126;
                bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = masked | 127;
                bytes[2..10].copy_from_slice(&(length as u64).to_be_bytes());
                10
            }
        };
        if let Some(key) = mask {
            bytes[size..size + 4].copy_from_slice(&key);
            size += 4;
        }
        Head { bytes, size: size as u8 }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

/// Appends a frame to `out`. With a key in `mask` the payload is masked by it.
pub fn encode(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    let head = Head::new(fin, false, opcode, mask, payload.len());
    out.reserve(MAX_HEADER + payload.len());
    out.extend_from_slice(head.as_bytes());
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        apply_mask(key, 0, &mut out[start..]);
    }
}

/// A key from the cryptographic random generator, as RFC 6455 section 10.3
/// wants it: a peer must not be able to foresee the bytes on the wire.
///
/// # Errors
///
/// When OpenSSL's generator cannot deliver.
pub fn random_key() -> Result<[u8; 4]> {
    thread_local!(static KEYS: RefCell<Keys> = const { RefCell::new(Keys { bytes: [0; KEYS_AT_ONCE], used: KEYS_AT_ONCE }) });
    KEYS.with_borrow_mut(Keys::next)
}

/// Random bytes that are fetched at a time: a call of the generator costs far
/// more than its bytes.
const KEYS_AT_ONCE: usize = 256;

struct Keys {
    bytes: [u8; KEYS_AT_ONCE],
    used: usize,
}

impl Keys {
    fn next(&mut self) -> Result<[u8; 4]> {
        if self.used == KEYS_AT_ONCE {
            openssl::rand::rand_bytes(&mut self.bytes)
                .map_err(|cause| Error::new(format!("cannot make a WebSocket mask key: {cause}")))?;
            self.used = 0;
        }
        let mut key = [0; 4];
        // A key is used once and forgotten.
        key.swap_with_slice(&mut self.bytes[self.used..self.used + 4]);
        self.used += 4;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::Opcode::{Binary, Close, Continue, Ping, Pong, Text};
    use super::*;

    const KEY: [u8; 4] = [0x6e, 0x28, 0x83, 0x16];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn frame(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(fin, opcode, mask, payload, &mut out);
        out
    }

    /// What masking means, byte by byte.
    fn naive_mask(key: [u8; 4], offset: usize, data: &[u8]) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ key[(offset + i) % 4]).collect()
    }

    #[test]
    fn short_frames() {
        for (fin, opcode, payload, expected) in [
            (true, Text, "Hello".as_bytes(), "810548656c6c6f"),
            (true, Text, b"", "8100"),
            (true, Text, "Hello Wörld".as_bytes(), "810c48656c6c6f2057c3b6726c64"),
            (true, Text, "€".as_bytes(), "8103e282ac"),
            (true, Text, b"a\0b", "8103610062"),
            (true, Text, b"\x00\xff\x80\xc3", "810400ff80c3"),
            (true, Binary, b"Hello World", "820b48656c6c6f20576f726c64"),
            (false, Binary, b"Hello World", "020b48656c6c6f20576f726c64"),
            (true, Binary, b"\xf6", "8201f6"),
            (true, Binary, b"\xf6\xac\xe4", "8203f6ace4"),
            (true, Text, b"\xf6", "8101f6"),
            (true, Continue, "ö".as_bytes(), "8002c3b6"),
            (true, Continue, b"\xf6", "8001f6"),
            (false, Continue, b"\xf6", "0001f6"),
            (false, Text, b"x", "010178"),
            (true, Close, b"", "8800"),
            (true, Close, b"\x03\xe8", "880203e8"),
            (true, Close, b"\x03\xe8bye", "880503e8627965"),
            (true, Ping, b"hi", "89026869"),
            (true, Pong, b"hi", "8a026869"),
            (false, Ping, b"hi", "09026869"),
            (true, Text, b"-mask", "81052d6d61736b"),
            (true, Text, b"--", "81022d2d"),
            (true, Text, b"-opcode", "81072d6f70636f6465"),
        ] {
            assert_eq!(hex(&frame(fin, opcode, None, payload)), expected);
        }
    }

    #[test]
    fn lengths() {
        for (length, opcode, header) in [
            (125, Text, "817d"),
            (126, Text, "817e007e"),
            (127, Text, "817e007f"),
            (65_535, Text, "817effff"),
            (65_536, Text, "817f0000000000010000"),
            (65_536, Binary, "827f0000000000010000"),
        ] {
            let frame = frame(true, opcode, None, &vec![b'a'; length]);
            let (start, payload) = frame.split_at(frame.len() - length);
            assert_eq!(hex(start), header);
            assert!(payload.iter().all(|byte| *byte == b'a'));
        }
        assert!(hex(&frame(true, Text, None, "ö".repeat(63).as_bytes())).starts_with("817e007ec3b6"));
    }

    #[test]
    fn masked_frames() {
        assert_eq!(hex(&frame(true, Text, Some(KEY), b"Hello")), "81856e288316264def7a01");
        assert_eq!(hex(&frame(true, Text, Some(KEY), b"")), "81806e288316");
        assert_eq!(hex(&frame(false, Ping, Some(KEY), b"ab")), "09826e2883160f4a");
        for (length, start, total) in [
            (125, "81fd6e288316", 131),
            (126, "81fe007e6e288316", 134),
            (65_536, "81ff00000000000100006e288316", 65_550),
        ] {
            let payload = vec![b'a'; length];
            let frame = frame(true, Text, Some(KEY), &payload);
            assert_eq!(frame.len(), total);
            let (header, masked) = frame.split_at(total - length);
            assert_eq!(hex(header), start);
            assert_eq!(naive_mask(KEY, 0, masked), payload);
        }
    }

    #[test]
    fn frames_are_appended_in_one_allocation() {
        let mut out = b"before".to_vec();
        encode(true, Text, Some(KEY), b"a", &mut out);
        encode(true, Text, None, b"b", &mut out);
        assert_eq!(hex(&out), format!("{}81816e2883160f810162", hex(b"before")));

        let mut out = Vec::with_capacity(MAX_HEADER + 70_000);
        let capacity = out.capacity();
        encode(true, Binary, Some(KEY), &[0; 70_000], &mut out);
        assert_eq!(out.capacity(), capacity);
    }

    #[test]
    fn numbers_of_opcodes() {
        for (_, opcode) in Opcode::NAMED {
            assert_eq!(Opcode::from_number(opcode as u8), Some(opcode));
        }
        assert_eq!((0..=255).filter_map(Opcode::from_number).count(), Opcode::NAMED.len());
    }

    #[test]
    fn names_of_opcodes() {
        assert_eq!(Opcode::from_name("text"), Some(Text));
        assert_eq!(Opcode::from_name("pong"), Some(Pong));
        for name in ["tex", "TEXT", "1", ""] {
            assert_eq!(Opcode::from_name(name), None);
        }
        let names = Opcode::NAMED.map(|(name, _)| name);
        assert_eq!(names, ["continue", "text", "binary", "close", "ping", "pong"]);
    }

    #[test]
    fn random_keys_differ() {
        // More than are fetched at a time.
        let mut keys: Vec<_> = (0..200).map(|_| random_key().expect("the generator works")).collect();
        keys.sort_unstable();
        keys.dedup();
        assert!(keys.len() > 190, "{keys:?}");
    }
}
