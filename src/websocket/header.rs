//! The header of a received frame (RFC 6455, section 5.2), refused as early as
//! its bytes allow.

use super::close::Violation;
use super::frame::Opcode;

/// The first bit of a frame: it is the last of its message.
pub const FIN: u8 = 0x80;
/// The second bit: the message is compressed (RFC 7692).
pub const RSV1: u8 = 0x40;
/// The two bits that no extension of ours uses.
const RSV23: u8 = 0x30;
/// The first bit of a frame's second byte: a mask key follows the length.
pub const MASKED: u8 = 0x80;
/// The longest header: two bytes, a length of eight, a key of four.
pub const MAX_HEADER: usize = 14;
/// The longest payload of a control frame.
pub const MAX_CONTROL: usize = 125;

/// What may come next on a connection.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether frames are masked: those of clients are, those of servers are
    /// not. `None` takes both.
    pub masked: Option<bool>,
    /// Whether messages may be compressed.
    pub compressed: bool,
    /// Whether a fragmented message is under way, so that data frames have to
    /// continue it.
    pub in_message: bool,
    /// The longest payload of a data frame.
    pub max_payload: u64,
}

/// A header that is whole and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The frame is the last of its message.
    pub fin: bool,
    /// The message that begins with this frame is compressed.
    pub compressed: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The key of a masked frame.
    pub mask: Option<[u8; 4]>,
    /// Length of the header itself.
    pub size: usize,
    /// Length of the payload.
    pub length: usize,
}

impl Header {
    /// Reads the header at the beginning of `input`; `None` while it is not
    /// all there.
    ///
    /// # Errors
    ///
    /// Whatever the rules forbid, as soon as the byte is there that shows it.
    #[inline]
    pub fn parse(input: &[u8], rules: &Rules) -> Result<Option<Header>, Violation> {
        let Some(first) = input.first() else {
            return Ok(None);
        };
        let (fin, opcode) = first_byte(*first, rules)?;
        let Some(second) = input.get(1) else {
            return Ok(None);
        };
        let masked = second & MASKED != 0;
        if rules.masked.is_some_and(|wanted| wanted != masked) {
            return Err(Violation::protocol(if masked {
                "masked frame from a server"
            } else {
                "unmasked frame from a client"
            }));
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err(Violation::protocol("control frame of more than 125 bytes"));
        }
        let (length, before_key) = match (short, input.get(2..)) {
            (126, Some([a, b, ..])) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            (127, Some(rest)) if rest.len() >= 8 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&rest[..8]);
                (u64::from_be_bytes(bytes), 10)
            }
            // The most significant bit needs no other byte to be wrong.
            (127, Some([top, ..])) if top & 0x80 != 0 => return Err(TOP_BIT),
            (126 | 127, _) => return Ok(None),
            _ => (u64::from(short), 2),
        };
        if length > i64::MAX as u64 {
            return Err(TOP_BIT);
        }
        if before_key == 4 && length < 126 || before_key == 10 && length <= 0xffff {
            return Err(Violation::protocol("frame length is not in its shortest form"));
        }
        if length > rules.max_payload && !opcode.is_control() {
            return Err(Violation::too_big("frame is too big"));
        }
        let length = length as usize;
        let (mask, size) = match (masked, input.get(before_key..)) {
            (false, _) => (None, before_key),
            (true, Some([a, b, c, d, ..])) => (Some([*a, *b, *c, *d]), before_key + 4),
            (true, _) => return Ok(None),
        };
        Ok(Some(Header { fin, compressed: first & RSV1 != 0, opcode, mask, size, length }))
    }

    /// Length of the whole frame.
    pub fn total(&self) -> usize {
        self.size + self.length
    }
}

const TOP_BIT: Violation = Violation::protocol("frame length has its most significant bit set");

#[inline]
fn first_byte(byte: u8, rules: &Rules) -> Result<(bool, Opcode), Violation> {
    let fin = byte & FIN != 0;
    let Some(opcode) = Opcode::from_number(byte & 0x0f) else {
        return Err(Violation::protocol("unknown opcode"));
    };
    let begins_data = matches!(opcode, Opcode::Text | Opcode::Binary);
    if byte & RSV23 != 0 || byte & RSV1 != 0 && !(rules.compressed && begins_data) {
        return Err(Violation::protocol("reserved bits are set"));
    }
    if opcode.is_control() && !fin {
        return Err(Violation::protocol("fragmented control frame"));
    }
    if opcode == Opcode::Continue && !rules.in_message {
        return Err(Violation::protocol("continuation without a message to continue"));
    }
    if begins_data && rules.in_message {
        return Err(Violation::protocol("new message within a fragmented one"));
    }
    Ok((fin, opcode))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Rules = Rules { masked: None, compressed: false, in_message: false, max_payload: 1 << 20 };

    fn reason(input: &[u8], rules: Rules) -> &'static str {
        Header::parse(input, &rules).expect_err("a violation").reason
    }

    #[test]
    fn lengths() {
        for (bytes, size, length) in [
            (&b"\x82\x00"[..], 2, 0),
            (b"\x82\x7d", 2, 125),
            (b"\x82\x7e\x00\x7e", 4, 126),
            (b"\x82\x7e\xff\xff", 4, 65_535),
            (b"\x82\x7f\0\0\0\0\0\x01\0\0", 10, 65_536),
            (b"\x82\x80abcd", 6, 0),
            (b"\x82\xfe\x00\x7eabcd", 8, 126),
            (b"\x82\xff\0\0\0\0\0\x01\0\0abcd", 14, 65_536),
        ] {
            let header = Header::parse(bytes, &ANY).expect("valid").expect("whole");
            assert_eq!((header.size, header.length), (size, length));
            assert_eq!(header.mask, (bytes[1] & MASKED != 0).then_some(*b"abcd"));
            // No part of it is taken for more than it is.
            for end in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..end], &ANY), Ok(None), "{end} bytes of {bytes:x?}");
            }
        }
    }

    #[test]
    fn bad_lengths() {
        assert!(reason(b"\x82\x7e\x00\x7d", ANY).contains("shortest form"));
        assert!(reason(b"\x82\x7f\0\0\0\0\0\0\xff\xff", ANY).contains("shortest form"));
        assert!(reason(b"\x82\x7f\x80\0\0\0\0\0\0\0", ANY).contains("most significant bit"));
        assert!(reason(b"\x82\x7f\xff", ANY).contains("most significant bit"));
        assert_eq!(
            Header::parse(b"\x82\x7f\0\0\0\0\x80\0\0\0", &ANY),
            Err(Violation::too_big("frame is too big"))
        );
        let unlimited = Rules { max_payload: u64::MAX, ..ANY };
        assert!(Header::parse(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", &unlimited).is_ok());
    }

    #[test]
    fn bad_first_bytes_are_refused_alone() {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(reason(&[FIN | opcode], ANY), "unknown opcode");
        }
        for bits in [0x10, 0x20, 0x40, 0x70] {
            assert_eq!(reason(&[FIN | bits | 1], ANY), "reserved bits are set");
        }
        for opcode in [8, 9, 10] {
            assert_eq!(reason(&[opcode], ANY), "fragmented control frame");
        }
        assert_eq!(reason(b"\x80", ANY), "continuation without a message to continue");
        assert_eq!(reason(b"\x01", Rules { in_message: true, ..ANY }), "new message within a fragmented one");
    }

    #[test]
    fn compression_is_marked_on_the_first_data_frame_only() {
        let rules = Rules { compressed: true, ..ANY };
        let header = Header::parse(b"\xc1\x00", &rules).expect("valid").expect("whole");
        assert!(header.compressed);
        for byte in [0xc8, 0xc9, 0xca, 0xe1, 0xd1] {
            assert_eq!(reason(&[byte], rules), "reserved bits are set");
        }
        assert_eq!(reason(b"\xc0", Rules { in_message: true, ..rules }), "reserved bits are set");
    }

    #[test]
    fn masks_and_control_lengths_are_refused_with_the_second_byte() {
        let server = Rules { masked: Some(true), ..ANY };
        let client = Rules { masked: Some(false), ..ANY };
        assert_eq!(reason(b"\x81\x05", server), "unmasked frame from a client");
        assert_eq!(reason(b"\x81\x85", client), "masked frame from a server");
        assert_eq!(reason(b"\x89\x7e", ANY), "control frame of more than 125 bytes");
        assert_eq!(reason(b"\x89\xff", ANY), "control frame of more than 125 bytes");
        assert_eq!(Header::parse(b"\x89\x7d", &ANY).map(|h| h.map(|h| h.length)), Ok(Some(125)));
    }
}
