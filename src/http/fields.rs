//! Header lines as scripts hand them over, and messages made of them
//! (`ns_parseheader`, `ns_parsemessage`; spec/support.md 4.8, 5.4).
//!
//! More lenient than `head`, which is for what comes from a peer: line ends may
//! be LF alone, lines may be continued, and names are not looked at.

use crate::base::set::NsSet;
use crate::base::{Error, Result};

/// Adds a header line to a set; one that begins with white space continues the
/// last field. The answer is the index of the field.
///
/// # Errors
/// `invalid header: LINE`.
pub fn add_line(set: &mut NsSet, prefix: &str, line: &str) -> Result<usize> {
    let invalid = || Error::new(format!("invalid header: {line}"));
    if line.starts_with([' ', '\t']) {
        let last = set.size().checked_sub(1).ok_or_else(invalid)?;
        set.extend_value(last, &format!(" {}", line.trim_start_matches([' ', '\t'])));
        return Ok(last);
    }
    let (name, value) = line.split_once(':').ok_or_else(invalid)?;
    Ok(set.put(&format!("{prefix}{name}"), value.trim_start_matches([' ', '\t'])))
}

/// A message taken apart.
#[derive(Debug)]
pub struct Message<'a> {
    /// Without its line end.
    pub first_line: &'a [u8],
    /// A set named `headers` that disregards case.
    pub headers: NsSet,
    /// All that follows the empty line.
    pub body: &'a [u8],
}

/// Takes an HTTP message apart. `text` makes text of a header line.
///
/// A line that is no header ends the headers, and belongs to the body.
///
/// # Errors
/// `ns_parsemessage: provided HTTP message is not well-formed` when there is
/// no first line.
pub fn parse_message<'a>(message: &'a [u8], text: impl Fn(&[u8]) -> String) -> Result<Message<'a>> {
    let (first_line, mut rest) = cut_line(message)
        .ok_or_else(|| Error::new("ns_parsemessage: provided HTTP message is not well-formed"))?;
    let mut headers = NsSet::new(Some("headers".to_owned()), true);
    while let Some((line, behind)) = cut_line(rest) {
        if line.is_empty() {
            rest = behind;
            break;
        }
        if add_line(&mut headers, "", &text(line)).is_err() {
            break;
        }
        rest = behind;
    }
    Ok(Message { first_line, headers, body: rest })
}

/// The first line, without its CRLF or LF, and what is behind it.
fn cut_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(set: &NsSet) -> Vec<(&str, &str)> {
        set.fields().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    #[test]
    fn lines() {
        let mut set = NsSet::default();
        assert_eq!(add_line(&mut set, "", " x"), Err(Error::new("invalid header:  x")));
        assert_eq!(add_line(&mut set, "", "Key: \t value \r"), Ok(0));
        assert_eq!(add_line(&mut set, "", "B:"), Ok(1));
        assert_eq!(add_line(&mut set, "", "\t  more"), Ok(1));
        assert_eq!(add_line(&mut set, "x-", "Key :a:b"), Ok(2));
        assert_eq!(add_line(&mut set, "", "<html>"), Err(Error::new("invalid header: <html>")));
        assert_eq!(fields(&set), [("Key", "value \r"), ("B", " more"), ("x-Key ", "a:b")]);
    }

    fn parsed(bytes: &[u8]) -> (String, Vec<(String, String)>, String) {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let message = parse_message(bytes, lossy).expect("well-formed");
        (lossy(message.first_line), message.headers.fields().to_vec(), lossy(message.body))
    }

    #[test]
    fn messages() {
        let (line, headers, body) = parsed(b"HTTP/1.1 200 OK\r\nA: 1\n b\r\nA: 2 \r\n\r\nbody\r\n\r\n");
        assert_eq!((line.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "body\r\n\r\n"));
        assert_eq!(headers, [("a".into(), "1 b".into()), ("a".into(), "2 ".into())]);
        for (bytes, count, body) in [
            (&b"x\n"[..], 0, ""),
            (b"x\n\n", 0, ""),
            (b"x\nA: 1", 0, "A: 1"),
            (b"x\nA: 1\nno header\nB: 2\n\nbody", 1, "no header\nB: 2\n\nbody"),
        ] {
            let (_, headers, rest) = parsed(bytes);
            assert_eq!((headers.len(), rest.as_str()), (count, body));
        }
        assert!(parse_message(b"", |_| String::new()).is_err());
        assert!(parse_message(b"GET / HTTP/1.0", |_| String::new()).is_err());
    }
}
