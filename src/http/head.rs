//! Message heads as they arrive: request line or status line, and fields
//! (RFC 9112). What is malformed is refused, never guessed at.

use crate::base::{Error, Result};

/// Fields that a head may have.
const MAX_FIELDS: usize = 100;

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestHead {
    /// As sent.
    pub method: String,
    /// The request target, as sent.
    pub target: String,
    /// `1.0` or `1.1`.
    pub version: &'static str,
    /// Names as sent, values without the blanks around them.
    pub fields: Vec<(String, String)>,
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The reason phrase, often empty.
    pub phrase: String,
    /// Names as sent, values without the blanks around them.
    pub fields: Vec<(String, String)>,
}

/// Reads the head at the front of `bytes`, and says how long it is. `None`
/// while it is incomplete.
///
/// # Errors
/// Anything that is no request of HTTP/1.0 or 1.1.
pub fn request(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let used = match head.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Error::new(format!("malformed request: {error}"))),
    };
    let version = if head.version == Some(0) { "1.0" } else { "1.1" };
    let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
    let head =
        RequestHead { method: method.into(), target: target.into(), version, fields: owned(head.headers) };
    Ok(Some((head, used)))
}

/// The same for a response.
///
/// # Errors
/// Anything that is no response of HTTP/1.0 or 1.1.
pub fn response(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => {
            let (status, phrase) = (head.code.unwrap_or_default(), head.reason.unwrap_or_default());
            Ok(Some((ResponseHead { status, phrase: phrase.into(), fields: owned(head.headers) }, used)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(Error::new(format!("malformed response: {error}"))),
    }
}

fn owned(fields: &[httparse::Header]) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).trim().to_owned()))
        .collect()
}

/// The first field of that name, in any case.
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_whole_or_not_at_all() {
        let bytes = b"GET /a?b HTTP/1.1\r\nHost: h\r\nX:  y \r\n\r\nmore";
        for cut in 0..bytes.len() - 4 {
            assert_eq!(request(&bytes[..cut]), Ok(None), "{cut}");
        }
        let (head, used) = request(bytes).unwrap().unwrap();
        assert_eq!((used, head.version), (bytes.len() - 4, "1.1"));
        assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/a?b"));
        assert_eq!(field(&head.fields, "x"), Some("y"));
        let (head, used) = response(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.status, used), (101, 42));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert!(request(b"\x16\x03\x01\x02\x00\x01").is_err());
        assert!(request(b"GET / HTTP/2.0\r\n\r\n").is_err());
        assert!(request(b"GET / HTTP/1.1\r\nA b: c\r\n\r\n").is_err());
        assert!(response(b"<!DOCTYPE html>").is_err());
    }
}
