//! The chunked transfer coding (RFC 9112, section 7.1): decoding what arrives
//! in pieces. Chunk extensions and trailer fields are read and dropped. A line
//! ends with CR and LF, both of them: a program in front that takes a lone LF
//! for data would see other requests than we do.

use super::request_head::Fault;

/// Bytes that one line of the coding may have: a size with its extensions, or
/// a trailer field.
const MAX_LINE: usize = 4096;

/// Bytes of all trailer fields.
const MAX_TRAILER: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The digits of a chunk's size; whether there was one.
    Size(bool),
    /// What follows the size in its line.
    Extension,
    /// The line feed behind a carriage return; then data.
    SizeEnd,
    /// So many bytes of data.
    Data,
    /// The end of line behind the data.
    DataEnd,
    /// The same, behind its carriage return.
    DataEndLf,
    /// The begin of a trailer line, or of the empty line at the end.
    Trailer,
    /// Within a trailer line.
    TrailerLine,
    /// The line feed behind its carriage return.
    TrailerLf,
    /// The line feed of the last line.
    LastLf,
    /// It was the end.
    Done,
}

/// A decoder of one body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    left: u64,
    line: usize,
    trailer: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { state: State::Size(false), left: 0, line: 0, trailer: 0 }
    }
}

const fn bad(reason: &'static str) -> Fault {
    Fault::new(400, reason)
}

impl Decoder {
    /// Whether the end was seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of the present chunk that are still to come.
    pub fn announced(&self) -> u64 {
        match self.state {
            State::Data => self.left,
            _ => 0,
        }
    }

    /// Decodes from the front of `input`, handing data to `data`; how many
    /// bytes of it were used. Stops at the end of the body.
    ///
    /// # Errors
    /// 400 for what is no chunk, 431 for trailers that are too long, and
    /// whatever `data` returns.
    pub fn decode(
        &mut self,
        input: &[u8],
        mut data: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let count = self.left.min((input.len() - at) as u64) as usize;
                data(&input[at..at + count])?;
                at += count;
                self.left -= count as u64;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
                continue;
            }
            self.state = self.step(input[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(bad("chunk line is too long"));
        }
        Ok(match (self.state, byte) {
            (State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                // The top digit must be free for another one.
                if self.left >> 59 != 0 {
                    return Err(bad("chunk size out of range"));
                }
                self.left = self.left << 4 | u64::from(digit);
                State::Size(true)
            }
            (State::Size(true), b'\r') => State::SizeEnd,
            (State::Size(true), b';' | b' ' | b'\t') => State::Extension,
            (State::Size(_), _) => return Err(bad("malformed chunk size")),
            (State::Extension, b'\r') => State::SizeEnd,
            (State::SizeEnd, b'\n') => self.sized(),
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => State::Extension,
            (State::DataEnd, b'\r') => State::DataEndLf,
            (State::DataEndLf, b'\n') => {
                self.line = 0;
                State::Size(false)
            }
            (State::DataEnd | State::DataEndLf, _) => return Err(bad("chunk longer than its size")),
            (State::Trailer, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => State::Done,
            (State::TrailerLine, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => {
                self.trailer += self.line;
                if self.trailer > MAX_TRAILER {
                    return Err(Fault::new(431, "trailer fields are too long"));
                }
                self.line = 0;
                State::Trailer
            }
            (State::Trailer | State::TrailerLine, b'\t' | b' '..=b'~' | 0x80..) => State::TrailerLine,
            _ => return Err(bad("malformed chunk")),
        })
    }

    /// A size line has ended.
    fn sized(&mut self) -> State {
        self.line = 0;
        if self.left == 0 {
            State::Trailer
        } else {
            State::Data
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes whole and byte by byte; data, bytes used and whether it ended.
    fn read(input: &[u8]) -> Result<(Vec<u8>, usize, bool), u16> {
        let decode = |sizes: usize| {
            let (mut decoder, mut out, mut used) = (Decoder::default(), Vec::new(), 0);
            for piece in input.chunks(sizes) {
                let count = decoder.decode(piece, |data| {
                    out.extend_from_slice(data);
                    Ok(())
                });
                used += count.map_err(|f| f.status)?;
            }
            Ok((out, used, decoder.is_done()))
        };
        let whole = decode(input.len().max(1));
        assert_eq!(whole, decode(1));
        whole
    }

    #[test]
    fn bodies() {
        assert_eq!(read(b"5\r\nhello\r\n0\r\n\r\nGET"), Ok((b"hello".to_vec(), 15, true)));
        assert_eq!(read(b"0\r\n\r\n"), Ok((Vec::new(), 5, true)));
        assert_eq!(
            read(b"3;a=\"b\"\r\nabc\r\nA\r\n0123456789\r\n000\r\nX: y\r\n\r\n").unwrap().0,
            b"abc0123456789"
        );
        assert_eq!(read(b"5\r\nhel"), Ok((b"hel".to_vec(), 6, false)));
    }

    #[test]
    fn faults() {
        for input in [
            &b"zz\r\n"[..],
            b"-5\r\n",
            b"+5\r\n",
            b"0x5\r\n",
            b"\r\n",
            b"5\r\nhelloX",
            b"fffffffffffffffff\r\n",
            b"8000000000000000f\r\n",
            b"5;a\0b\r\n",
            b"5\rhello",
            b"3\nabc\r\n0\r\n\r\n",
            b"3;a\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3\r\nab\r\n0\r\n\r\n",
            b"0\r\n\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\nX: y\rz\r\n\r\n",
        ] {
            assert_eq!(read(input), Err(400), "{:?}", String::from_utf8_lossy(input));
        }
        assert_eq!(
            read(&[b'5', b';'].iter().chain([b'a'; 5000].iter()).copied().collect::<Vec<_>>()),
            Err(400)
        );
    }
}
