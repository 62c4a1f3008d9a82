//! The head of a request as a server reads it (RFC 9112, sections 2 to 5).
//!
//! The head is copied once, into a buffer that the request keeps, and taken
//! apart in place: method, target and fields are spans of that buffer. What is
//! malformed is refused with the status that says so, never guessed at; what a
//! peer may send too much of has a limit. `End` finds out where a head ends
//! while it arrives, looking at each byte once.

use std::ops::Range;

/// What a head may be at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the request line, or of one field line.
    pub line: usize,
    /// Number of fields.
    pub fields: usize,
    /// Bytes of the whole head.
    pub head: usize,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The status to answer with.
    pub status: u16,
    /// What is wrong, for the log.
    pub reason: &'static str,
}

impl Fault {
    /// A fault that is answered with `status`.
    pub const fn new(status: u16, reason: &'static str) -> Fault {
        Fault { status, reason }
    }
}

const fn bad(reason: &'static str) -> Fault {
    Fault::new(400, reason)
}

/// A part of a head, by its place in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// The bytes of `buffer` that it stands for.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.end as usize]
    }

    /// The same as text: of what the parser has found to be text.
    pub fn text(self, buffer: &[u8]) -> &str {
        std::str::from_utf8(self.of(buffer)).unwrap_or_default()
    }
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name, as sent.
    pub name: Span,
    /// Its value, without the blanks around it.
    pub value: Span,
}

/// How long the body is (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// As its chunks say.
    Chunked,
}

/// The parts of a head.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The request line, without its end.
    pub line: Span,
    /// The method.
    pub method: Span,
    /// The request target.
    pub target: Span,
    /// HTTP/1.`minor`.
    pub minor: u8,
    /// The fields, in their order.
    pub fields: Vec<Field>,
    /// What follows.
    pub framing: Framing,
    /// The peer waits for a `100 Continue`.
    pub expects_continue: bool,
    /// What the `Connection` field says: `close`, `keep-alive`.
    pub close: bool,
    /// See `close`.
    pub keep_alive: bool,
}

/// Looks for the end of a head that arrives in pieces.
#[derive(Debug, Clone, Copy, Default)]
pub struct End {
    /// Bytes that have been looked at.
    seen: usize,
    /// Where the line begins that was looked at last.
    line: usize,
    /// Lines that have ended.
    lines: usize,
}

impl End {
    /// The length of the head at the front of `bytes`, or `None` while it is
    /// incomplete. Each call gets the bytes of the one before, and more.
    ///
    /// # Errors
    /// 414 and 431 for what is too long.
    pub fn find(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
        while let Some(at) = position(&bytes[self.seen..], b'\n') {
            let end = self.seen + at;
            let has_cr = end > self.line && bytes[end - 1] == b'\r';
            self.check_line(end - usize::from(has_cr), limits)?;
            let is_empty = end == self.line || end == self.line + 1 && bytes[self.line] == b'\r';
            self.seen = end + 1;
            if is_empty && self.lines > 0 {
                return if self.seen > limits.head { Err(TOO_LONG) } else { Ok(Some(self.seen)) };
            }
            self.line = self.seen;
            // One empty line before the request is passed over (RFC 9112,
            // section 2.2).
            self.lines += usize::from(!is_empty);
            if is_empty && self.seen > 2 {
                return Err(bad("empty lines before the request"));
            }
        }
        self.seen = bytes.len();
        // Its last byte may be the CR of its end.
        let has_cr = self.seen > self.line && bytes[self.seen - 1] == b'\r';
        self.check_line(self.seen - usize::from(has_cr), limits)?;
        if self.seen > limits.head {
            return Err(TOO_LONG);
        }
        Ok(None)
    }

    /// Whether anything but an empty line has come.
    pub fn has_begun(&self) -> bool {
        self.seen > 2
    }

    fn check_line(&self, end: usize, limits: &Limits) -> Result<(), Fault> {
        match end - self.line > limits.line {
            true if self.lines == 0 => Err(Fault::new(414, "request line is too long")),
            true => Err(Fault::new(431, "header line is too long")),
            false => Ok(()),
        }
    }
}

const TOO_LONG: Fault = Fault::new(431, "request head is too long");

/// Where `byte` is first in `bytes`.
fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    memchr::memchr(byte, bytes)
}

/// Bytes of a token (RFC 9110, section 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        i += 1;
    }
    table
};

/// Whether `bytes` is a token.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| TOKEN[usize::from(*b)])
}

/// Bytes that have no place in a field's value (RFC 9110, section 5.5).
fn is_bad_in_value(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

/// Fields of which a request may have one only: two of them would mean
/// different things to different readers.
fn is_single(name: &[u8]) -> bool {
    const NAMES: [&str; 10] = [
        "authorization",
        "content-length",
        "content-type",
        "expect",
        "host",
        "origin",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "range",
    ];
    name.len() > 3 && name[..3].eq_ignore_ascii_case(b"if-")
        || NAMES.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// Takes apart the head that is the whole of `bytes`, as `End::find` has found
/// it. `fields` is an empty list to be used; continuation lines are joined to
/// their fields in place.
///
/// # Errors
/// The answer to give: 400, 431, 505.
pub fn parse(bytes: &mut [u8], limits: &Limits, mut fields: Vec<Field>) -> Result<Head, Fault> {
    fields.clear();
    let mut at = 0;
    while matches!(bytes.get(at), Some(b'\r' | b'\n')) {
        at += 1;
    }
    let line = line(bytes, &mut at);
    let (method, target, minor) = request_line(bytes, line.clone())?;
    let mut head =
        Head { line: Span::new(line.start, line.end), method, target, minor, fields, ..Head::default() };
    let mut hosts = 0;
    loop {
        let mut span = self::line(bytes, &mut at);
        if span.is_empty() {
            break;
        }
        if matches!(bytes[span.start], b' ' | b'\t') {
            return Err(bad("continuation line before the first header field"));
        }
        while matches!(bytes.get(at), Some(b' ' | b'\t')) {
            span = unfold(bytes, span, &mut at);
        }
        if head.fields.len() >= limits.fields {
            return Err(Fault::new(431, "too many header fields"));
        }
        let field = field(bytes, span)?;
        note(bytes, &mut head, field, &mut hosts)?;
        head.fields.push(field);
    }
    if hosts == 0 && head.minor > 0 {
        return Err(bad("no Host field"));
    }
    if head.framing == Framing::Chunked && head.minor == 0 {
        return Err(bad("Transfer-Encoding in HTTP/1.0"));
    }
    Ok(head)
}

/// The line that begins at `at`, without its end.
fn line(bytes: &[u8], at: &mut usize) -> Range<usize> {
    let start = *at;
    let length = position(&bytes[start..], b'\n').unwrap_or(bytes.len() - start);
    *at = (start + length + 1).min(bytes.len());
    let end = start + length;
    let end = if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end };
    start..end
}

/// Joins the continuation line at `at` to the line `span`, by one blank.
fn unfold(bytes: &mut [u8], span: Range<usize>, at: &mut usize) -> Range<usize> {
    let more = line(bytes, at);
    let blank = bytes[more.clone()].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let text = more.start + blank..more.end;
    let length = text.len();
    bytes[span.end] = b' ';
    bytes.copy_within(text, span.end + 1);
    span.start..span.end + 1 + length
}

/// Method, target and minor version. Tokens are parted by blanks, also more
/// than one.
fn request_line(bytes: &[u8], line: Range<usize>) -> Result<(Span, Span, u8), Fault> {
    let text = &bytes[line.clone()];
    let method = position(text, b' ').ok_or(bad("malformed request line"))?;
    if !is_token(&text[..method]) {
        return Err(bad("malformed method"));
    }
    let end = text.iter().rposition(|b| *b != b' ').map_or(0, |i| i + 1);
    let version = text[..end].iter().rposition(|b| *b == b' ').map_or(0, |i| i + 1);
    let target = method + text[method..].iter().take_while(|b| **b == b' ').count();
    if version <= target {
        return Err(bad("no HTTP version in the request line"));
    }
    let target_end = target + text[target..version].iter().rposition(|b| *b != b' ').map_or(0, |i| i + 1);
    let minor = match &text[version..end] {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" | b"HTTP/1" => 0,
        other => minor_version(other)?,
    };
    if text[target..target_end].iter().any(|b| *b < b' ' || *b == 0x7f) {
        return Err(bad("control character in the request target"));
    }
    if std::str::from_utf8(&text[target..target_end]).is_err() {
        return Err(bad("request target is no UTF-8"));
    }
    let offset = line.start;
    Ok((Span::new(offset, offset + method), Span::new(offset + target, offset + target_end), minor))
}

#[cold]
fn minor_version(text: &[u8]) -> Result<u8, Fault> {
    let number = text.strip_prefix(b"HTTP/").ok_or(bad("no HTTP version in the request line"))?;
    let mut parts = number.splitn(2, |b| *b == b'.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or(b"0"));
    let is_number = |n: &[u8]| !n.is_empty() && n.len() <= 3 && n.iter().all(u8::is_ascii_digit);
    match is_number(major) && is_number(minor) {
        false => Err(bad("malformed HTTP version")),
        // A higher minor version is one that 1.1 can answer (RFC 9110, 6.2).
        true if major == b"1" => Ok(u8::from(minor.iter().any(|b| *b != b'0'))),
        true => Err(Fault::new(505, "HTTP version not supported")),
    }
}

fn field(bytes: &[u8], span: Range<usize>) -> Result<Field, Fault> {
    let text = &bytes[span.clone()];
    let colon = position(text, b':').ok_or(bad("header line without a colon"))?;
    if !is_token(&text[..colon]) {
        return Err(bad("malformed header name"));
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let value = &text[colon + 1..];
    let start = value.iter().take_while(|b| blank(b)).count();
    let end = value.len() - value[start..].iter().rev().take_while(|b| blank(b)).count();
    if value[start..end].iter().any(|b| is_bad_in_value(*b)) {
        return Err(bad("control character in a header value"));
    }
    let offset = span.start;
    Ok(Field {
        name: Span::new(offset, offset + colon),
        value: Span::new(offset + colon + 1 + start, offset + colon + 1 + end),
    })
}

/// Takes note of a field that says something about the message.
fn note(bytes: &[u8], head: &mut Head, field: Field, hosts: &mut usize) -> Result<(), Fault> {
    let (name, value) = (field.name.of(bytes), field.value.of(bytes));
    // By length first: most fields are none of these.
    match name.len() {
        4 if name.eq_ignore_ascii_case(b"host") => {
            *hosts += 1;
            if value.iter().any(|b| matches!(b, b' ' | b'\t' | b'/' | b'\\' | b'@' | b'?' | b'#' | b',')) {
                return Err(bad("malformed Host field"));
            }
        }
        6 if name.eq_ignore_ascii_case(b"expect") => {
            head.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        }
        10 if name.eq_ignore_ascii_case(b"connection") => {
            for token in value.split(|b| *b == b',') {
                let token = token.trim_ascii();
                head.close |= token.eq_ignore_ascii_case(b"close");
                head.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        14 if name.eq_ignore_ascii_case(b"content-length") => {
            if head.framing == Framing::Chunked {
                return Err(bad("both Content-Length and Transfer-Encoding"));
            }
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(bad("malformed Content-Length"));
            }
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            head.framing = Framing::Length(length.ok_or(bad("Content-Length out of range"))?);
        }
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
            if head.framing != Framing::None {
                return Err(bad("both Content-Length and Transfer-Encoding"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(bad("unknown Transfer-Encoding"));
            }
            head.framing = Framing::Chunked;
        }
        _ => {}
    }
    let repeated = |other: &Field| other.name.of(bytes).eq_ignore_ascii_case(name);
    if is_single(name) && head.fields.iter().any(repeated) {
        return Err(bad("repeated header field"));
    }
    Ok(())
}

/// Whether a comma separated list has `token`, in any case.
pub fn has_token(list: &str, token: &str) -> bool {
    list.split(',').any(|t| t.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { line: 64, fields: 4, head: 200 };

    /// Parses `text` whole and byte by byte, and wants the same from both.
    fn read(text: &[u8]) -> Result<Option<(Head, Vec<u8>)>, Fault> {
        let whole = End::default().find(text, &LIMITS);
        let mut end = End::default();
        let mut piecemeal = Ok(None);
        for length in 0..=text.len() {
            piecemeal = end.find(&text[..length], &LIMITS);
            if !matches!(piecemeal, Ok(None)) {
                break;
            }
        }
        assert_eq!(whole, piecemeal, "{:?}", String::from_utf8_lossy(text));
        let Some(length) = whole? else { return Ok(None) };
        let mut bytes = text[..length].to_vec();
        parse(&mut bytes, &LIMITS, Vec::new()).map(|head| Some((head, bytes)))
    }

    fn good(text: &[u8]) -> (Head, Vec<u8>) {
        read(text).unwrap_or_else(|f| panic!("{f:?}: {}", String::from_utf8_lossy(text))).expect("complete")
    }

    #[test]
    fn a_plain_head() {
        let (head, bytes) = good(b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-Y:  a b \t\r\n\r\nmore");
        assert_eq!((head.method.text(&bytes), head.target.text(&bytes), head.minor), ("GET", "/a?b", 1));
        let fields: Vec<_> =
            head.fields.iter().map(|f| (f.name.text(&bytes), f.value.text(&bytes))).collect();
        assert_eq!(fields, [("Host", "h"), ("X-Y", "a b")]);
        assert_eq!(head.framing, Framing::None);
        assert_eq!(head.line.text(&bytes), "GET /a?b HTTP/1.1");
    }

    #[test]
    fn what_is_served_although_unusual() {
        for text in [
            &b"GET  /a   HTTP/1.1\nHost: h\n\n"[..],
            b"\r\nGET /a HTTP/1.1\r\nHost:\r\n\r\n",
            b"GET /a HTTP/1.2\r\nHost: h\r\n\r\n",
            b"GET /a HTTP/1\r\n\r\n",
            b"GET /a HTTP/1.0\r\n\r\n",
            b"GET /a b HTTP/1.0\r\n\r\n",
            "GET /ä HTTP/1.0\r\n\r\n".as_bytes(),
        ] {
            let (head, bytes) = good(text);
            assert!(head.target.text(&bytes).starts_with('/'));
        }
        let (head, bytes) = good(b"GET / HTTP/1.0\r\nA: b\r\n \t c\r\n\td\r\nE: f\r\n\r\n");
        let values: Vec<_> = head.fields.iter().map(|f| f.value.text(&bytes)).collect();
        assert_eq!(values, ["b c d", "f"]);
    }

    #[test]
    fn what_is_refused() {
        for (status, text) in [
            (400, &b"garbage\r\n\r\n"[..]),
            (400, b"GET /a\r\n\r\n"),
            (400, b"GET /a HTTP/x.y\r\n\r\n"),
            (400, b"GET /a FOO/1.1\r\n\r\n"),
            (505, b"GET /a HTTP/2.0\r\n\r\n"),
            (505, b"PRI * HTTP/2.0\r\n\r\n"),
            (505, b"GET /a HTTP/0.9\r\n\r\n"),
            (400, b"GET\t/a\tHTTP/1.0\r\n\r\n"),
            (400, b"\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a b c\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nfoo : b\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\n: b\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nfoo\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\n foo: b\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\na: b\rc\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\na: b\0c\r\n\r\n"),
            (400, b"GET /\0 HTTP/1.0\r\n\r\n"),
            (400, b"GET /\xff HTTP/1.0\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nContent-Length: -1\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nContent-Length: +5\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nContent-Length:\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nContent-Length: 5, 5\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
            (400, b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (431, b"GET / HTTP/1.0\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\n\r\n"),
        ] {
            let fault = read(text).expect_err(&String::from_utf8_lossy(text));
            assert_eq!(fault.status, status, "{}: {}", String::from_utf8_lossy(text), fault.reason);
        }
    }

    #[test]
    fn limits_hold_before_the_line_ends() {
        let long = vec![b'x'; 65];
        assert_eq!(read(&long).unwrap_err().status, 414);
        let mut text = b"GET / HTTP/1.0\r\n".to_vec();
        text.extend_from_slice(&long);
        assert_eq!(read(&text).unwrap_err().status, 431);
        let mut text = b"GET / HTTP/1.0\r\n".to_vec();
        for _ in 0..4 {
            text.extend_from_slice(b"a: ");
            text.extend_from_slice(&long[..60]);
            text.extend_from_slice(b"\r\n");
        }
        assert_eq!(read(&text).unwrap_err().status, 431);
    }

    #[test]
    fn connection_tokens() {
        let (head, _) = good(b"GET / HTTP/1.0\r\nConnection: foo, Close\r\n\r\n");
        assert!(head.close && !head.keep_alive);
        let (head, _) = good(b"GET / HTTP/1.0\r\nConnection: Keep-Alive,Upgrade\r\n\r\n");
        assert!(!head.close && head.keep_alive);
    }
}
