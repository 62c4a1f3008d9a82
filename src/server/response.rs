//! Sending responses: the head with its fields in the reference's order, the
//! framing, whether the connection is kept (spec/http.md 3.2, 3.3).
//!
//! A small response is one buffer and one system call. What the socket does
//! not take is kept by the connection, whose reactor sends it on.

use super::clock::push_date;
use super::connection::Piece;
use super::exchange::{Exchange, State};
use crate::base::log;
use crate::http::request_head::{has_token, is_token};
use crate::http::status::{is_bodyless, reason};
use std::cell::RefCell;
use std::os::unix::fs::FileExt;

/// A body up to this size is copied behind its head.
const SMALL: usize = 8 << 10;

/// Memory that a thread keeps for making heads.
const KEPT: usize = 64 << 10;

/// The body of a complete response.
pub enum Payload<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// Pieces, with the number of bytes that they are in all.
    Pieces(Vec<Piece>, u64),
}

impl Payload<'_> {
    /// Its length.
    pub fn len(&self) -> u64 {
        match self {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::Pieces(_, length) => *length,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes of a file that are read at once where they cannot be sent as they are.
const BLOCK: usize = 64 << 10;

/// Fields that are the server's alone, whatever the application sets; `server` unless
/// that is not told (`stealthmode`).
const OWN: [&str; 3] = ["content-length", "date", "server"];

/// How the end of a body is marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    Length(u64),
    Chunked,
    /// By the end of the connection.
    Eof,
    /// There is no body, whatever.
    None,
}

thread_local!(static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });

/// Runs `work` with an empty buffer of the thread's.
fn with_buffer<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut buffer = BUFFER.take();
    buffer.clear();
    let result = work(&mut buffer);
    if buffer.capacity() <= KEPT {
        BUFFER.set(buffer);
    }
    result
}

/// Leaves the first `length` bytes of pieces.
fn cut(pieces: &mut Vec<Piece>, mut length: u64) {
    for piece in &mut *pieces {
        match piece {
            Piece::Bytes(bytes) => {
                bytes.truncate(length.min(bytes.len() as u64) as usize);
                length -= bytes.len() as u64;
            }
            Piece::File { length: own, .. } => {
                *own = length.min(*own);
                length -= *own;
            }
        }
    }
    pieces.retain(|piece| !matches!(piece, Piece::File { length: 0, .. }));
}

/// Appends a decimal number.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a field. What would end the line becomes a blank (RFC 9110, section
/// 5.5).
fn push_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    for byte in &mut out[start..] {
        if matches!(*byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Fields that stay as the application has set them, although the response has
/// one of its own.
fn application_wins(name: &str) -> bool {
    ["last-modified", "accept-ranges", "www-authenticate"].iter().any(|n| n.eq_ignore_ascii_case(name))
}

impl Exchange {
    /// Sends a complete response: head, the fields of the command in their
    /// order, `content-length`, body. Afterwards the socket is the driver's.
    /// False when it cannot be sent.
    ///
    /// After a response that is being streamed has begun, the body is its last
    /// piece.
    pub fn respond(&mut self, status: u16, fields: &[(&str, &str)], body: Payload<'_>) -> bool {
        self.set_status(status);
        if self.has_begun() {
            if let Payload::Pieces(pieces, _) = body {
                // Those of a channel may be fewer bytes than it should have had.
                let length = pieces.iter().map(Piece::len).sum();
                return self.stream_rest(pieces, length);
            }
            let Payload::Bytes(bytes) = body else { return false };
            let sent = self.stream(bytes);
            return self.finish() && sent;
        }
        let status = self.status();
        let framing = match status {
            status if is_bodyless(status) && status != 304 => Framing::None,
            205 => Framing::Length(0),
            _ => Framing::Length(body.len()),
        };
        let has_body = !self.is_head() && !is_bodyless(status) && status != 205;
        self.body_sent = if has_body { body.len() } else { 0 };
        let sent = with_buffer(|out| {
            self.push_head(out, fields, framing);
            match body {
                Payload::Bytes(bytes) if has_body && bytes.len() > SMALL => self.connection.send(out, bytes),
                Payload::Bytes(bytes) => {
                    if has_body {
                        out.extend_from_slice(bytes);
                    }
                    self.connection.send(out, &[])
                }
                Payload::Pieces(pieces, _) => {
                    let pieces = if has_body { pieces } else { Vec::new() };
                    self.connection.send_with_pieces(out, pieces)
                }
            }
        });
        self.completed(sent)
    }

    fn completed(&mut self, sent: bool) -> bool {
        self.state = State::Complete;
        if !sent {
            self.close = true;
            self.aborted = true;
        }
        if self.close && !self.connection.has_output() {
            // The peer may wait for the end: not for that of the handler.
            self.connection.channel.finish_sending();
        }
        self.tell();
        sent
    }

    /// Sends a piece of a body, behind the head that was prepared, or as it is
    /// when none was. Nothing is sent of an empty piece. False when it cannot be
    /// sent.
    pub fn stream(&mut self, data: &[u8]) -> bool {
        if self.state == State::Open {
            self.begin_compression();
        }
        let Some(mut transform) = self.transform.take() else { return self.stream_piece(data) };
        let data = transform(data, false);
        self.transform = Some(transform);
        self.stream_piece(&data)
    }

    fn stream_piece(&mut self, data: &[u8]) -> bool {
        let is_first = self.state == State::Open;
        if is_first && self.prepared.is_none() {
            self.state = State::Raw;
            self.close = true;
        }
        if self.state == State::Raw {
            self.body_sent += data.len() as u64;
            return data.is_empty() || self.connection.send(data, &[]);
        }
        if data.is_empty() && !is_first {
            return true;
        }
        with_buffer(|out| {
            if is_first {
                self.push_prepared_head(out);
            }
            let mut data = data;
            if let Some(missing) = &mut self.missing {
                // More than was promised would be taken for the next response.
                if data.len() as u64 > *missing {
                    log::write(log::WARNING, "more bytes than the content-length: cut");
                    data = &data[..*missing as usize];
                }
                *missing -= data.len() as u64;
            }
            if self.is_head() || is_bodyless(self.status()) {
                return out.is_empty() || self.connection.send(out, &[]);
            }
            self.body_sent += data.len() as u64;
            if self.chunked && !data.is_empty() {
                let size = format!("{:x}\r\n", data.len());
                out.extend_from_slice(size.as_bytes());
                if data.len() > SMALL {
                    return self.connection.send(out, data) && self.connection.send(b"\r\n", &[]);
                }
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
                return self.connection.send(out, &[]);
            }
            (out.is_empty() && data.is_empty()) || self.connection.send(out, data)
        })
    }

    /// Sends pieces, which are `length` bytes, behind what was sent or prepared,
    /// and ends the response: the connection goes on sending by itself. False when
    /// they cannot be sent.
    pub fn stream_rest(&mut self, mut pieces: Vec<Piece>, mut length: u64) -> bool {
        if let (State::Streaming, Some(_)) = (self.state, &self.transform) {
            let sent = pieces.into_iter().all(|piece| self.stream_whole(piece));
            return self.finish() && sent;
        }
        let is_first = self.state == State::Open;
        if is_first {
            match &mut self.prepared {
                Some(prepared) => {
                    prepared.length.get_or_insert(length);
                }
                None => {
                    self.state = State::Raw;
                    self.close = true;
                }
            }
        }
        let sent = with_buffer(|out| {
            if is_first && self.prepared.is_some() {
                self.push_prepared_head(out);
            }
            if let Some(missing) = self.missing.filter(|missing| *missing < length) {
                log::write(log::WARNING, "more bytes than the content-length: cut");
                cut(&mut pieces, missing);
                length = missing;
            }
            if let Some(missing) = &mut self.missing {
                *missing -= length;
            }
            if self.state != State::Raw && (self.is_head() || is_bodyless(self.status())) {
                return out.is_empty() || self.connection.send(out, &[]);
            }
            self.body_sent += length;
            if self.chunked {
                let end: &[u8] = if length > 0 {
                    out.extend_from_slice(format!("{length:x}\r\n").as_bytes());
                    b"\r\n0\r\n\r\n"
                } else {
                    b"0\r\n\r\n"
                };
                // Behind the pieces: not by `finish`, for which the queue may be full.
                pieces.push(Piece::Bytes(end.to_vec()));
                self.chunked = false;
            }
            self.connection.send_with_pieces(out, pieces)
        });
        self.finish() && sent
    }

    /// Streams a piece block by block, for what has to be looked at on its way.
    fn stream_whole(&mut self, piece: Piece) -> bool {
        let (file, mut offset, mut length) = match piece {
            Piece::Bytes(bytes) => return self.stream(&bytes),
            Piece::File { file, offset, length } => (file, offset, length),
        };
        let mut block = vec![0; BLOCK];
        while length > 0 {
            let most = length.min(BLOCK as u64) as usize;
            match file.read_at(&mut block[..most], offset) {
                Ok(count) if count > 0 && self.stream(&block[..count]) => {
                    offset += count as u64;
                    length -= count as u64;
                }
                _ => return false,
            }
        }
        true
    }

    /// Sends the head that was prepared, if it was not sent yet.
    pub fn start_stream(&mut self) -> bool {
        if self.state != State::Open || self.prepared.is_none() {
            return true;
        }
        with_buffer(|out| {
            self.push_prepared_head(out);
            self.connection.send(out, &[])
        })
    }

    fn push_prepared_head(&mut self, out: &mut Vec<u8>) {
        let prepared = self.prepared.take().unwrap_or_default();
        self.state = State::Streaming;
        self.missing = prepared.length;
        let framing = match prepared.length {
            _ if is_bodyless(self.status()) => Framing::None,
            Some(length) => Framing::Length(length),
            // Whoever wants no keep-alive gets the plain form.
            None if self.request.minor_version() > 0 && self.keep_alive != Some(false) => Framing::Chunked,
            None => Framing::Eof,
        };
        self.chunked = framing == Framing::Chunked;
        let all = [
            ("content-type", prepared.content_type.as_deref()),
            ("vary", prepared.vary.as_deref()),
            ("content-encoding", prepared.coding),
        ];
        let fields: Vec<(&str, &str)> =
            all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.push_head(out, &fields, framing);
    }

    /// Ends a response that was streamed; with a head that was only prepared,
    /// sends that. False when it cannot be sent.
    pub fn finish(&mut self) -> bool {
        if !self.is_open() {
            return true;
        }
        let mut sent = true;
        if self.state == State::Open && self.prepared.is_some() {
            // Nothing was written: the body is empty.
            let prepared = self.prepared.take().unwrap_or_default();
            let fields: Vec<(&str, &str)> =
                prepared.content_type.iter().map(|t| ("content-type", t.as_str())).collect();
            let status = self.status();
            let short = prepared.length.is_some_and(|l| l > 0) && !self.is_head();
            let sent = self.respond(status, &fields, Payload::Bytes(&[]));
            if short {
                log::write(log::WARNING, "ns_headers: nothing was written of the promised content-length");
            }
            return sent;
        }
        if let Some(mut transform) = self.transform.take() {
            let last = transform(&[], true);
            sent = self.stream_piece(&last);
        }
        if self.chunked && !self.is_head() {
            sent = sent && self.connection.send(b"0\r\n\r\n", &[]);
        }
        if self.missing.is_some_and(|missing| missing > 0) && !self.is_head() {
            log::write(log::WARNING, "the response is shorter than its content-length: connection closed");
            self.close = true;
        }
        self.completed(sent)
    }

    /// Ends a response that has failed halfway, so that the peer notices: no
    /// last chunk, the connection is closed.
    pub fn abort(&mut self) {
        self.close = true;
        self.aborted = true;
        self.state = State::Complete;
        self.tell();
    }

    /// Whether the connection is kept (spec/http.md 3.3, 6.22).
    fn keeps(&self, framing: Framing) -> bool {
        let settings = &self.connection.driver.settings;
        let (asks_close, asks_keep) = self.request.connection_tokens();
        if settings.keep_wait.is_zero() || framing == Framing::Eof || self.connection.driver.is_stopping() {
            return false;
        }
        if let Some(keep) = self.keep_alive {
            return keep;
        }
        if self.output_field("connection").is_some_and(|value| has_token(value, "close")) {
            return false;
        }
        let by_version = if self.request.minor_version() == 0 { asks_keep } else { !asks_close };
        let within = |length: u64, limit: u64| limit == 0 || length <= limit;
        let is_short = match framing {
            Framing::Length(length) => within(length, settings.keep_max_download),
            _ => true,
        };
        by_version && is_short && within(self.request.body.len(), settings.keep_max_upload)
    }

    /// Appends the head, and decides on what follows the response.
    fn push_head(&mut self, out: &mut Vec<u8>, fields: &[(&str, &str)], framing: Framing) {
        let status = self.status();
        let keep = self.keeps(framing);
        self.close = !keep;
        let start = out.len();
        out.extend_from_slice(if self.request.minor_version() == 0 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        push_number(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        let drops_type = matches!(status, 204);
        let skip = |name: &str| drops_type && name.eq_ignore_ascii_case("content-type");
        let mut tokens = String::new();
        // Those of the server that have taken the place of the application's.
        let mut placed = [false; OWN.len()];
        if self.output.size() == 0 {
            for (name, value) in fields.iter().filter(|(name, _)| !skip(name)) {
                push_field(out, name, value);
            }
        } else {
            tokens = self.push_all_fields(out, fields, framing, &mut placed, skip);
        }
        if !placed[0] {
            self.push_own(out, 0, framing);
        }
        out.extend_from_slice(b"connection: ");
        if !tokens.is_empty() {
            out.extend_from_slice(tokens.as_bytes());
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(if keep { b"keep-alive\r\n" } else { b"close\r\n" });
        if framing == Framing::Chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        for (index, _) in placed.iter().enumerate().skip(1).filter(|(_, placed)| !**placed) {
            self.push_own(out, index, framing);
        }
        let settings = &self.connection.driver.settings;
        for (name, value) in &settings.extra_headers {
            let is_there = self.output_field(name).is_some()
                || name == "server" && settings.server_header.is_some()
                || fields.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
            if !is_there {
                push_field(out, name, value);
            }
        }
        if !self.told {
            // Else no script comes to see it.
            self.head = out[start..].to_vec();
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The fields of the head that was sent, if one was.
    pub fn sent_fields(&self) -> Option<Vec<(String, String)>> {
        let text = String::from_utf8_lossy(&self.head);
        let mut lines = text.split_terminator("\r\n");
        lines.next()?;
        let field =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(lines.filter_map(field).collect())
    }

    /// Appends one of the fields in `OWN`.
    fn push_own(&self, out: &mut Vec<u8>, index: usize, framing: Framing) {
        match (OWN[index], framing, &self.connection.driver.settings.server_header) {
            ("content-length", Framing::Length(length), _) => {
                out.extend_from_slice(b"content-length: ");
                push_number(out, length);
                out.extend_from_slice(b"\r\n");
            }
            ("date", ..) => {
                out.extend_from_slice(b"date: ");
                push_date(out);
                out.extend_from_slice(b"\r\n");
            }
            ("server", _, Some(server)) => push_field(out, "server", server),
            _ => {}
        }
    }

    /// The fields of the application in their order, those of the command and of
    /// the server in their place or behind. Returns what else `connection` is to say.
    fn push_all_fields(
        &self,
        out: &mut Vec<u8>,
        fields: &[(&str, &str)],
        framing: Framing,
        placed: &mut [bool],
        skip: impl Fn(&str) -> bool,
    ) -> String {
        let mut used = vec![false; fields.len()];
        let mut tokens: Vec<&str> = Vec::new();
        for (name, value) in self.output.fields() {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if is("connection") {
                let other = |t: &&str| {
                    !t.is_empty() && !t.eq_ignore_ascii_case("close") && !t.eq_ignore_ascii_case("keep-alive")
                };
                tokens.extend(value.split(',').map(str::trim).filter(other));
                continue;
            }
            let is_free = self.connection.driver.settings.server_header.is_none() && is("server");
            if let Some(index) = OWN.iter().position(|own| is(own) && !is_free) {
                if !std::mem::replace(&mut placed[index], true) {
                    self.push_own(out, index, framing);
                }
                continue;
            }
            if is("transfer-encoding") || skip(name) {
                continue;
            }
            if !is_token(name.as_bytes()) {
                log::write(log::WARNING, &format!("header field with a malformed name left out: {name:?}"));
                continue;
            }
            match fields.iter().position(|(own, _)| is(own)) {
                Some(index) if application_wins(name) => {
                    used[index] = true;
                    push_field(out, name, value);
                }
                Some(index) if !used[index] => {
                    used[index] = true;
                    push_field(out, name, fields[index].1);
                }
                _ => push_field(out, name, value),
            }
        }
        for (index, (name, value)) in fields.iter().enumerate() {
            if !used[index] && !skip(name) {
                push_field(out, name, value);
            }
        }
        let mut text = tokens.join(", ");
        text.retain(|c| !c.is_control());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_fields() {
        let mut out = Vec::new();
        for number in [0, 7, 10, 12345, u64::MAX] {
            push_number(&mut out, number);
            out.push(b' ');
        }
        assert_eq!(out, b"0 7 10 12345 18446744073709551615 ");
        out.clear();
        push_field(&mut out, "a", "b\r\nSet-Cookie: x\0");
        assert_eq!(out, b"a: b  Set-Cookie: x \r\n");
    }
}
