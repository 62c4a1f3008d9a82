//! From received bytes to requests: what is incomplete is kept, what follows a
//! request (pipelining) too.
//!
//! In the common case, a request that arrives alone and whole, nothing is
//! copied but its head, into a buffer that the request before has given back.

use super::request::{Body, Request, TOO_LARGE};
use super::settings::Settings;
use crate::http::chunked::Decoder;
use crate::http::request_head::{self, End, Fault, Field, Framing};

/// What is being received.
enum Phase {
    Head,
    /// A body with its length: so many bytes are missing.
    Length(Box<Request>, u64),
    Chunked(Box<Request>, Decoder),
}

/// The receiving side of one connection.
pub struct Reader {
    /// Received and not used, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    end: End,
    phase: Phase,
    /// A `100 Continue` is to be sent.
    wants_continue: bool,
    /// Of an earlier request, to be used again.
    spare: Option<(Vec<u8>, Vec<Field>)>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            buffer: Vec::new(),
            start: 0,
            end: End::default(),
            phase: Phase::Head,
            wants_continue: false,
            spare: None,
        }
    }
}

impl Reader {
    /// Whether something of a request has been received that is not complete.
    pub fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Head) || self.end.has_begun() || self.unread() > 2
    }

    /// Whether a body is being received.
    pub fn is_in_body(&self) -> bool {
        !matches!(self.phase, Phase::Head)
    }

    /// Bytes that wait to be looked at.
    pub fn unread(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether the peer is to be told that its body is welcome; once.
    pub fn take_continue(&mut self) -> bool {
        std::mem::take(&mut self.wants_continue)
    }

    /// Gives back the memory of a request that is over.
    pub fn recycle(&mut self, request: Request) {
        let Request { raw, head, body } = request;
        drop(body);
        if raw.capacity() <= 4096 {
            self.spare = Some((raw, head.fields));
        }
    }

    /// Takes what was received and not used: the first bytes of whoever gets
    /// the connection.
    pub fn take_unread(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.drain(..self.start);
        self.start = 0;
        bytes
    }

    /// Takes back what `take_unread` gave, before anything else is fed.
    pub fn give_back(&mut self, bytes: Vec<u8>) {
        self.buffer = bytes;
        self.start = 0;
    }

    /// Looks at `input`, which was received; the next request, if that
    /// completes one. What follows the request is kept.
    ///
    /// # Errors
    /// The answer to give; the connection is of no use then.
    pub fn feed(&mut self, input: &[u8], settings: &Settings) -> Result<Option<Request>, Fault> {
        if self.unread() > 0 {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            self.buffer.extend_from_slice(input);
            return self.resume(settings);
        }
        let mut used = 0;
        let found = self.take(input, &mut used, settings)?;
        self.buffer.clear();
        self.start = 0;
        self.buffer.extend_from_slice(&input[used..]);
        Ok(found)
    }

    /// The same for what is here already.
    ///
    /// # Errors
    /// As `feed`.
    pub fn resume(&mut self, settings: &Settings) -> Result<Option<Request>, Fault> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut used = 0;
        let found = self.take(&buffer[self.start..], &mut used, settings);
        self.buffer = buffer;
        self.start += used;
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            // A connection that waits keeps no memory for it.
            if self.buffer.capacity() > 16384 {
                self.buffer = Vec::new();
            }
        }
        found
    }

    fn take(
        &mut self,
        input: &[u8],
        used: &mut usize,
        settings: &Settings,
    ) -> Result<Option<Request>, Fault> {
        if let Phase::Head = self.phase {
            let Some(length) = self.end.find(input, &settings.head)? else { return Ok(None) };
            self.end = End::default();
            *used = length;
            let (mut raw, fields) = self.spare.take().unwrap_or_default();
            raw.clear();
            raw.extend_from_slice(&input[..length]);
            let head = request_head::parse(&mut raw, &settings.head, fields)?;
            let request = Request { raw, head, body: Body::default() };
            let expects_continue = request.head.expects_continue;
            match request.head.framing {
                Framing::None | Framing::Length(0) => return Ok(Some(request)),
                Framing::Length(length) if length > settings.max_input => return Err(TOO_LARGE),
                Framing::Length(length) => self.phase = Phase::Length(Box::new(request), length),
                Framing::Chunked => self.phase = Phase::Chunked(Box::new(request), Decoder::default()),
            }
            // Whose body is here already needs no invitation.
            self.wants_continue = expects_continue && *used == input.len();
        }
        let rest = &input[*used..];
        let is_complete = match &mut self.phase {
            Phase::Head => false,
            Phase::Length(request, missing) => {
                let count = (*missing).min(rest.len() as u64) as usize;
                request.body.push(&rest[..count], settings)?;
                *missing -= count as u64;
                *used += count;
                *missing == 0
            }
            Phase::Chunked(request, decoder) => {
                *used += decoder.decode(rest, |data| request.body.push(data, settings))?;
                // What is too much as announced need not be awaited.
                if request.body.len().saturating_add(decoder.announced()) > settings.max_input {
                    return Err(TOO_LARGE);
                }
                decoder.is_done()
            }
        };
        if !is_complete {
            return Ok(None);
        }
        match std::mem::replace(&mut self.phase, Phase::Head) {
            Phase::Head => Ok(None),
            Phase::Length(mut request, _) | Phase::Chunked(mut request, _) => {
                self.wants_continue = false;
                request.body.complete(settings);
                Ok(Some(*request))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { max_input: 40, read_ahead: 10, ..Settings::read("test/reader") }
    }

    /// All requests of `input`, which arrives in pieces of `size`.
    fn requests(input: &[u8], size: usize) -> (Vec<(String, Vec<u8>)>, Option<u16>) {
        let (settings, mut reader, mut out) = (settings(), Reader::default(), Vec::new());
        for piece in input.chunks(size) {
            let mut found = reader.feed(piece, &settings);
            loop {
                match found {
                    Err(fault) => return (out, Some(fault.status)),
                    Ok(None) => break,
                    Ok(Some(request)) => {
                        let body = request.body.all().unwrap().into_owned();
                        out.push((request.target().to_owned(), body));
                        reader.recycle(request);
                        found = reader.resume(&settings);
                    }
                }
            }
        }
        (out, None)
    }

    #[test]
    fn pipelined_requests_however_they_are_cut() {
        let input = b"GET /1 HTTP/1.0\r\n\r\nPOST /2 HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello\
            POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nc\r\n0123456789ab\r\n0\r\n\r\n\
            POST /4 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /5 HTTP/1.0\r\n\r\n";
        let expected: Vec<(String, Vec<u8>)> =
            [("/1", ""), ("/2", "hello"), ("/3", "abc0123456789ab"), ("/4", ""), ("/5", "")]
                .map(|(target, body)| (target.to_owned(), body.as_bytes().to_vec()))
                .to_vec();
        for size in [1, 2, 3, 7, 19, 64, 1000] {
            assert_eq!(requests(input, size), (expected.clone(), None), "{size}");
        }
    }

    #[test]
    fn bodies_have_a_limit() {
        let too_long = b"POST / HTTP/1.0\r\nContent-Length: 41\r\n\r\n";
        assert_eq!(requests(too_long, 1000).1, Some(413));
        let chunked = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
            14\r\n01234567890123456789\r\n15\r\n012345678901234567890\r\n";
        assert_eq!(requests(chunked, 5).1, Some(413));
    }

    #[test]
    fn an_invitation_is_given_once_and_only_when_needed() {
        let (settings, mut reader) = (settings(), Reader::default());
        let head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        assert!(reader.feed(head, &settings).unwrap().is_none());
        assert!(reader.take_continue() && !reader.take_continue());
        assert_eq!(reader.feed(b"ab", &settings).unwrap().unwrap().body.len(), 2);
        let whole = [head, &b"ab"[..]].concat();
        assert!(reader.feed(&whole, &settings).unwrap().is_some());
        assert!(!reader.take_continue());
    }
}
