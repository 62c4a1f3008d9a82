//! The head of a request as bytes for the wire.
//!
//! Whoever calls decides on every header; none is added. What would turn the
//! head into something other than what was asked for (a line break in a value,
//! a blank in a method) is refused.

use super::{is_control, quoted};
use crate::base::{Error, Result};

/// Request line, header lines and the empty line. The method is sent in upper
/// case, headers in the given order and spelling, text as UTF-8.
///
/// # Errors
///
/// * a method that is not a token of RFC 9110;
/// * a target or version with control characters or blanks;
/// * a header name that is empty, or has control characters, blanks or colons;
/// * a header value with CR, LF or NUL.
pub fn request_block(
    method: &str,
    target: &str,
    version: &str,
    headers: &[(String, String)],
) -> Result<Vec<u8>> {
    if !is_token(method) {
        return Err(Error::new(format!("invalid method {}", quoted(method))));
    }
    if target.contains(is_control_or_blank) {
        return Err(Error::new(format!("invalid request target {}", quoted(target))));
    }
    if version.contains(is_control_or_blank) {
        return Err(Error::new(format!("invalid HTTP version {}", quoted(version))));
    }
    let header_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let line_bytes = method.len() + target.len() + version.len() + " ".len() + " HTTP/\r\n".len();
    let mut block = String::with_capacity(line_bytes + header_bytes + "\r\n".len());
    for part in [method.to_ascii_uppercase().as_str(), " ", target, " HTTP/", version, "\r\n"] {
        block.push_str(part);
    }
    for (name, value) in headers {
        check_header(name, value)?;
        for part in [name, ": ", value, "\r\n"] {
            block.push_str(part);
        }
    }
    block.push_str("\r\n");
    Ok(block.into_bytes())
}

fn check_header(name: &str, value: &str) -> Result<()> {
    if name.is_empty() || name.contains(|c| c == ':' || is_control_or_blank(c)) {
        return Err(Error::new(format!("invalid header name {}", quoted(name))));
    }
    if value.contains(['\r', '\n', '\0']) {
        return Err(Error::new(format!("invalid value of header {}: {}", quoted(name), quoted(value))));
    }
    Ok(())
}

fn is_control_or_blank(c: char) -> bool {
    c == ' ' || is_control(c)
}

/// Whether `text` is a `token` in the sense of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(method: &str, target: &str, version: &str, headers: &[(&str, &str)]) -> Result<String> {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let bytes = request_block(method, target, version, &headers)?;
        Ok(String::from_utf8(bytes).expect("made of strings"))
    }

    fn refused(method: &str, target: &str, version: &str, headers: &[(&str, &str)]) -> String {
        block(method, target, version, headers).expect_err("should be refused").message
    }

    #[test]
    fn no_headers_are_added() {
        assert_eq!(block("GET", "/", "1.0", &[]), Ok("GET / HTTP/1.0\r\n\r\n".to_string()));
    }

    #[test]
    fn methods_are_sent_in_upper_case() {
        assert_eq!(block("post", "/x", "1.0", &[]), Ok("POST /x HTTP/1.0\r\n\r\n".to_string()));
    }

    #[test]
    fn versions_and_targets_are_sent_as_they_are() {
        assert_eq!(block("GET", "/ä?b", "1.1", &[]), Ok("GET /ä?b HTTP/1.1\r\n\r\n".to_string()));
        assert_eq!(block("GET", "/", "x(1)", &[]), Ok("GET / HTTP/x(1)\r\n\r\n".to_string()));
    }

    #[test]
    fn headers_keep_order_spelling_and_duplicates() {
        let headers =
            [("Host", "example.com"), ("X-A", "1"), ("x-a", "2"), ("Empty", ""), ("T", "a\tb: c ä")];
        assert_eq!(
            block("GET", "/", "1.0", &headers),
            Ok("GET / HTTP/1.0\r\nHost: example.com\r\nX-A: 1\r\nx-a: 2\r\nEmpty: \r\nT: a\tb: c ä\r\n\r\n"
                .to_string())
        );
    }

    #[test]
    fn the_request_line_cannot_be_broken() {
        for method in ["", "GET /", "G\r\nET", "GÄT", "GET:", "G\0"] {
            assert_eq!(refused(method, "/", "1.0", &[]), format!("invalid method {}", quoted(method)));
        }
        assert_eq!(refused("GET", "/ HTTP/1.1", "1.0", &[]), "invalid request target \"/ HTTP/1.1\"");
        assert_eq!(refused("GET", "/\n", "1.0", &[]), "invalid request target \"/\\x0a\"");
        assert_eq!(refused("GET", "/", "1.0\r\nX: y", &[]), "invalid HTTP version \"1.0\\x0d\\x0aX: y\"");
        assert_eq!(refused("GET", "/", "1 0", &[]), "invalid HTTP version \"1 0\"");
    }

    #[test]
    fn headers_cannot_be_injected() {
        for name in ["", "a b", "a:b", "a\r\nb", "a\0", "a\t"] {
            let expected = format!("invalid header name {}", quoted(name));
            assert_eq!(refused("GET", "/", "1.0", &[("ok", "1"), (name, "2")]), expected);
        }
        for value in ["a\rb", "a\nb", "a\0b"] {
            let expected = format!("invalid value of header \"X\": {}", quoted(value));
            assert_eq!(refused("GET", "/", "1.0", &[("X", value)]), expected);
        }
    }
}
