//! Percent-encoding: which bytes stay as they are in which part of a url, or
//! in a cookie (spec/support.md 6.4).

use crate::base::{Error, Result};

/// What is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Name or value of a query: a blank is a plus sign.
    Query,
    /// One segment of a path.
    Path,
    /// A path with its slashes.
    FullPath,
    /// A fragment.
    Fragment,
    /// A value of a cookie (RFC 6265).
    Cookie,
    /// As OAuth 1.0 wants it (RFC 5849, 3.6): upper-case digits.
    OAuth1,
}

/// The bytes besides letters and digits that a part keeps.
fn kept(part: Part) -> &'static [u8] {
    match part {
        Part::Query => b"~!@$*()_-:'?./",
        Part::Path => b"-._~!$&'()*+,=:@",
        Part::FullPath => b"-._~!$&'()*+,=:@/",
        Part::Fragment => b"-._~!$&'()*+,;=:@/?",
        // cookie-octet without the percent sign.
        Part::Cookie => b"!#$&'()*+-./:<=>?@[]^_`{|}~",
        Part::OAuth1 => b"-._~",
    }
}

/// For each byte whether a part keeps it.
type Table = [bool; 256];

const PARTS: [Part; 6] =
    [Part::Query, Part::Path, Part::FullPath, Part::Fragment, Part::Cookie, Part::OAuth1];

fn table(part: Part) -> &'static Table {
    static TABLES: std::sync::OnceLock<[Table; 6]> = std::sync::OnceLock::new();
    let make = |part: Part| {
        let mut table = [false; 256];
        for (byte, keeps) in (0..=255u8).zip(&mut table) {
            *keeps = byte.is_ascii_alphanumeric() || kept(part).contains(&byte);
        }
        table
    };
    &TABLES.get_or_init(|| PARTS.map(make))[part as usize]
}

/// Encodes bytes into `out`; hexadecimal digits are lower case unless
/// `uppercase`.
pub fn encode_into(out: &mut String, part: Part, bytes: &[u8], uppercase: bool) {
    let table = table(part);
    let digits: &[u8; 16] =
        if uppercase || part == Part::OAuth1 { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    out.reserve(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let plain = rest.iter().position(|byte| !table[usize::from(*byte)]).unwrap_or(rest.len());
        let (kept, others) = rest.split_at(plain);
        // What is kept is ASCII.
        out.push_str(std::str::from_utf8(kept).unwrap_or_default());
        let Some((byte, tail)) = others.split_first() else { break };
        if *byte == b' ' && part == Part::Query {
            out.push('+');
        } else {
            out.push('%');
            out.push(char::from(digits[usize::from(byte >> 4)]));
            out.push(char::from(digits[usize::from(byte & 15)]));
        }
        rest = tail;
    }
}

/// Appends a path, or part of one, as [`Part::FullPath`].
pub fn encode_path(out: &mut String, path: &[u8]) {
    encode_into(out, Part::FullPath, path, false);
}

/// Encodes several components: names and values of a query as `a=b&c=d`, the
/// segments of a path with slashes between them.
///
/// # Errors
/// `query encoding with multiple arguments requires name/value pairs`.
pub fn encode(part: Part, components: &[Vec<u8>], uppercase: bool) -> Result<String> {
    let is_path = matches!(part, Part::Path | Part::FullPath);
    if components.len() > 1 && components.len() % 2 == 1 && !is_path {
        return Err(Error::new("query encoding with multiple arguments requires name/value pairs"));
    }
    let mut out = String::new();
    for (index, component) in components.iter().enumerate() {
        if index > 0 {
            out.push(match (is_path, index % 2) {
                (true, _) => '/',
                (false, 1) => '=',
                (false, _) => '&',
            });
        }
        encode_into(&mut out, part, component, uppercase);
    }
    Ok(out)
}

/// The bytes that an encoded text stands for. A percent sign without two
/// hexadecimal digits behind it stands for itself.
pub fn decode(part: Part, text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        index += 1;
        match byte {
            b'+' if part == Part::Query => out.push(b' '),
            b'%' => match (digit(bytes.get(index)), digit(bytes.get(index + 1))) {
                (Some(high), Some(low)) => {
                    out.push((high << 4 | low) as u8);
                    index += 2;
                }
                _ => out.push(b'%'),
            },
            byte => out.push(*byte),
        }
    }
    out
}

/// The error about decoded bytes that are not UTF-8.
pub fn not_utf8(text: &str) -> Error {
    Error::with_code(format!("input string '{text}' cannot be converted to UTF-8"), &["NS_INVALID_UTF8"])
}

/// The names and values of a query, decoded.
///
/// # Errors
/// One of them is not UTF-8.
pub fn parse_query(query: &str) -> Result<Vec<(String, String)>> {
    let field = |text: &str| String::from_utf8(decode(Part::Query, text)).map_err(|_| not_utf8(text));
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((field(name)?, field(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(part: Part, text: &str) -> String {
        let mut out = String::new();
        encode_into(&mut out, part, text.as_bytes(), false);
        out
    }

    #[test]
    fn parts_differ_in_what_they_keep() {
        let text = "aZ9 ~!@$*()_-:'?./&+,=#%\u{e4}\"";
        for (part, result) in [
            (Part::Query, "aZ9+~!@$*()_-:'?./%26%2b%2c%3d%23%25%c3%a4%22"),
            (Part::Path, "aZ9%20~!@$*()_-:'%3f.%2f&+,=%23%25%c3%a4%22"),
            (Part::FullPath, "aZ9%20~!@$*()_-:'%3f./&+,=%23%25%c3%a4%22"),
            (Part::Fragment, "aZ9%20~!@$*()_-:'?./&+,=%23%25%c3%a4%22"),
            (Part::Cookie, "aZ9%20~!@$*()_-:'?./&+%2c=#%25%c3%a4%22"),
            (Part::OAuth1, "aZ9%20~%21%40%24%2A%28%29_-%3A%27%3F.%2F%26%2B%2C%3D%23%25%C3%A4%22"),
        ] {
            assert_eq!(encoded(part, text), result, "{part:?}");
            assert_eq!(decode(part, result), text.as_bytes(), "{part:?}");
        }
    }

    #[test]
    fn several_components() {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let abcd = words(&["a", "b c", "d", "e"]);
        assert_eq!(encode(Part::Query, &abcd, false).as_deref(), Ok("a=b+c&d=e"));
        assert_eq!(encode(Part::Path, &words(&["a/b", "c d", "e"]), true).as_deref(), Ok("a%2Fb/c%20d/e"));
        assert_eq!(encode(Part::Query, &words(&["a=b"]), true).as_deref(), Ok("a%3Db"));
        assert!(encode(Part::Query, &words(&["a", "b", "c"]), false).is_err());
    }

    #[test]
    fn what_is_broken_is_kept() {
        assert_eq!(decode(Part::Query, "a%zz%4%"), b"a%zz%4%");
        assert_eq!(decode(Part::Query, "%c3%A4+%2b"), "\u{e4} +".as_bytes());
        assert_eq!(decode(Part::Path, "a+b"), b"a+b");
    }

    #[test]
    fn queries() {
        let pairs = |list: &[(&str, &str)]| {
            Ok(list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>())
        };
        assert_eq!(parse_query("a=1&b=2&a=3"), pairs(&[("a", "1"), ("b", "2"), ("a", "3")]));
        assert_eq!(parse_query("a&=x&&b=c=d+e"), pairs(&[("a", ""), ("", "x"), ("b", "c=d e")]));
        assert_eq!(parse_query(""), pairs(&[]));
        assert_eq!(parse_query("a=%e9"), Err(not_utf8("%e9")));
    }

    #[test]
    fn paths() {
        let mut out = String::from("http://h");
        encode_path(&mut out, "/a b/\u{e4}?#%\"<>;[]\\&'~".as_bytes());
        assert_eq!(out, "http://h/a%20b/%c3%a4%3f%23%25%22%3c%3e%3b%5b%5d%5c&'~");
    }
}
