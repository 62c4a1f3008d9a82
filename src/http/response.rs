//! The body of a response: how it is delimited (RFC 9112, section 6), and its
//! content taken out of the bytes that arrive.
//!
//! A `Body` is fed with what was received and gives out the content piece by
//! piece, borrowed from there. What a peer may send beside content (chunk
//! extensions, trailers) is limited.

use super::head::ResponseHead;
use crate::base::{Error, Result};

/// The longest line with the size of a chunk, extensions included.
const MAX_CHUNK_LINE: usize = 4096;

/// All trailer fields together.
const MAX_TRAILERS: usize = 64 << 10;

/// A body being received.
#[derive(Debug)]
pub struct Body {
    state: State,
    /// The beginning of a line that has not come whole.
    line: Vec<u8>,
    /// Bytes of trailer fields so far.
    trailers: usize,
    chunked: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of content are missing.
    Length(u64),
    /// Content lasts to the end of the connection.
    ToEnd,
    /// The line with the size of the next chunk.
    ChunkSize,
    /// So many bytes of the present chunk are missing.
    ChunkData(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// Fields behind the last chunk, up to an empty line.
    Trailers,
    Complete,
}

impl Body {
    /// The body that follows `head`, the answer to a request with this method.
    ///
    /// # Errors
    /// A content length that is none, or two that differ; a transfer coding
    /// other than chunked.
    pub fn new(method: &str, head: &ResponseHead) -> Result<Body> {
        let state =
            if method.eq_ignore_ascii_case("HEAD") || head.status < 200 || matches!(head.status, 204 | 304) {
                State::Complete
            } else {
                match transfer_coding(head)? {
                    Some(chunked) if chunked => State::ChunkSize,
                    Some(_) => State::ToEnd,
                    None => match content_length(head)? {
                        Some(0) => State::Complete,
                        Some(length) => State::Length(length),
                        None => State::ToEnd,
                    },
                }
            };
        let chunked = state == State::ChunkSize;
        Ok(Body { state, line: Vec::new(), trailers: 0, chunked })
    }

    /// Whether it comes in chunks.
    pub fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// Whether everything has been received.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// How many bytes of content are still to come, as far as is known.
    pub fn missing(&self) -> Option<u64> {
        match self.state {
            State::Length(missing) => Some(missing),
            State::Complete => Some(0),
            _ => None,
        }
    }

    /// The next piece of content; `input` is advanced behind what was used.
    /// `None` when more has to be received, or the body is complete.
    ///
    /// # Errors
    /// Chunks that are malformed.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>> {
        loop {
            match self.state {
                State::Complete => return Ok(None),
                _ if input.is_empty() => return Ok(None),
                State::ToEnd => return Ok(Some(take(input, usize::MAX))),
                State::Length(missing) => {
                    let piece = take(input, clamp(missing));
                    let missing = missing - piece.len() as u64;
                    self.state = if missing == 0 { State::Complete } else { State::Length(missing) };
                    return Ok(Some(piece));
                }
                State::ChunkData(missing) => {
                    let piece = take(input, clamp(missing));
                    let missing = missing - piece.len() as u64;
                    self.state = if missing == 0 { State::ChunkEnd } else { State::ChunkData(missing) };
                    return Ok(Some(piece));
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let Some(line) = self.line(input)? else { return Ok(None) };
                    self.state = match self.state {
                        State::ChunkEnd if line.is_empty() => State::ChunkSize,
                        State::ChunkEnd => return Err(malformed("a chunk is longer than its size")),
                        State::Trailers if line.is_empty() => State::Complete,
                        State::Trailers => State::Trailers,
                        _ => match chunk_size(&line)? {
                            0 => State::Trailers,
                            size => State::ChunkData(size),
                        },
                    };
                }
            }
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// Content is missing.
    pub fn end(&mut self) -> Result<()> {
        match self.state {
            State::ToEnd | State::Complete => {
                self.state = State::Complete;
                Ok(())
            }
            State::Length(missing) => {
                Err(malformed(&format!("connection closed with {missing} bytes of the body missing")))
            }
            _ => Err(malformed("connection closed before the last chunk")),
        }
    }

    /// The next line without its end, when it has come whole.
    fn line(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>> {
        let end = input.iter().position(|b| *b == b'\n');
        let part = take(input, end.map_or(usize::MAX, |end| end + 1));
        self.line.extend_from_slice(part);
        if self.state == State::Trailers {
            self.trailers += part.len();
            if self.trailers > MAX_TRAILERS {
                return Err(malformed("too many trailer fields"));
            }
        } else if self.line.len() > MAX_CHUNK_LINE {
            return Err(malformed("a chunk's size is too long"));
        }
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

/// At most `most` bytes off the front.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (piece, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    piece
}

fn clamp(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// The error for a response that breaks the rules.
pub fn malformed(reason: &str) -> Error {
    Error::with_code(format!("malformed response: {reason}"), &["NS_HTTP", "MALFORMED", reason])
}

fn values<'a>(head: &'a ResponseHead, name: &'a str) -> impl Iterator<Item = &'a str> {
    head.fields
        .iter()
        .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// Whether there is a transfer coding, and whether it is chunked.
fn transfer_coding(head: &ResponseHead) -> Result<Option<bool>> {
    let mut chunked = None;
    for coding in values(head, "transfer-encoding") {
        if chunked == Some(true) {
            return Err(malformed("a transfer coding behind chunked"));
        }
        chunked = match coding {
            coding if coding.eq_ignore_ascii_case("chunked") => Some(true),
            coding if coding.eq_ignore_ascii_case("identity") => Some(false),
            _ => return Err(malformed("unknown transfer coding")),
        };
    }
    Ok(chunked)
}

fn content_length(head: &ResponseHead) -> Result<Option<u64>> {
    let mut length = None;
    for value in values(head, "content-length") {
        let digits = value.bytes().all(|b| b.is_ascii_digit());
        let number = value.parse::<u64>().ok().filter(|_| digits);
        let number = number.ok_or_else(|| malformed("invalid content length"))?;
        if length.is_some_and(|known| known != number) {
            return Err(malformed("two content lengths"));
        }
        length = Some(number);
    }
    Ok(length)
}

fn chunk_size(line: &[u8]) -> Result<u64> {
    let end = line.iter().position(|b| matches!(b, b';' | b' ' | b'\t')).unwrap_or(line.len());
    let text = std::str::from_utf8(&line[..end]).unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    let size = u64::from_str_radix(text, 16).ok().filter(|_| digits);
    size.ok_or_else(|| malformed("invalid chunk size"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head;

    fn body(method: &str, fields: &str) -> Result<Body> {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let (head, _) = head::response(text.as_bytes())?.expect("a whole head");
        Body::new(method, &head)
    }

    /// Feeds pieces of `size` bytes; the content, and whether it was complete.
    fn feed(fields: &str, bytes: &[u8], size: usize) -> Result<(Vec<u8>, bool)> {
        let mut body = body("GET", fields)?;
        let mut content = Vec::new();
        for part in bytes.chunks(size) {
            let mut input = part;
            while let Some(piece) = body.next(&mut input)? {
                content.extend_from_slice(piece);
            }
        }
        let complete = body.is_complete();
        body.end()?;
        Ok((content, complete))
    }

    #[test]
    fn however_it_is_cut() {
        for (fields, bytes, content, complete) in [
            ("Content-Length: 5\r\n", "hello", "hello", true),
            ("Content-Length: 5, 5\r\n", "hello, and more", "hello", true),
            ("", "to the end", "to the end", false),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello", true),
            (
                "Transfer-Encoding: Chunked\r\n",
                "1;x=y\r\na\r\nA \r\n0123456789\r\n00\r\nT: x\r\n\r\n",
                "a0123456789",
                true,
            ),
            ("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "3\nabc\n0\n\n", "abc", true),
        ] {
            for size in 1..=bytes.len() {
                let expected = Ok((content.as_bytes().to_vec(), complete));
                assert_eq!(feed(fields, bytes.as_bytes(), size), expected, "{bytes:?} by {size}");
            }
        }
    }

    #[test]
    fn what_has_no_body() {
        assert!(body("HEAD", "Content-Length: 5\r\n").unwrap().is_complete());
        assert!(body("GET", "Content-Length: 0\r\n").unwrap().is_complete());
        for status in [100, 101, 204, 304] {
            let head = ResponseHead { status, ..ResponseHead::default() };
            assert!(Body::new("GET", &head).unwrap().is_complete());
        }
    }

    #[test]
    fn what_is_refused() {
        for fields in [
            "Content-Length: -1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1x\r\n",
            "Content-Length: 99999999999999999999999\r\n",
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
        ] {
            assert!(body("GET", fields).is_err(), "{fields}");
        }
        let chunked = "Transfer-Encoding: chunked\r\n";
        for bytes in [
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "10000000000000000\r\n",
            "5\r\nhel",
            "5\r\nhello\r\n",
        ] {
            for size in 1..=bytes.len() {
                assert!(feed(chunked, bytes.as_bytes(), size).is_err(), "{bytes:?} by {size}");
            }
        }
        assert!(feed("Content-Length: 9\r\n", b"hello", 2).is_err());
    }

    #[test]
    fn what_a_peer_may_send_beside_content_is_limited() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        assert!(feed(chunked, &[b'1'; MAX_CHUNK_LINE + 1], 100).is_err());
        let mut trailers = b"0\r\n".to_vec();
        trailers.extend(b"T: x\r\n".repeat(MAX_TRAILERS / 6 + 1));
        assert!(feed(chunked, &trailers, 1000).is_err());
    }
}
