//! Base64 (RFC 4648), and text made of bytes that were meant to be text.

use super::{Error, Result};

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Which alphabet and form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Section 4, with padding.
    Standard,
    /// Section 5, for urls and file names, without padding.
    Url,
}

/// Encodes bytes in one line.
pub fn encode(alphabet: Alphabet, bytes: &[u8]) -> String {
    let digits = if alphabet == Alphabet::Url { URL } else { STANDARD };
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=group.len()].copy_from_slice(group);
        let word = u32::from_be_bytes(word);
        for index in 0..=group.len() {
            out.push(char::from(digits[(word >> (18 - 6 * index) & 63) as usize]));
        }
        if alphabet == Alphabet::Standard {
            (group.len()..3).for_each(|_| out.push('='));
        }
    }
    out
}

/// Encodes bytes in lines of that many characters, with a line feed between
/// them and none at the end.
pub fn encode_lines(bytes: &[u8], width: usize) -> String {
    let encoded = encode(Alphabet::Standard, bytes);
    let lines = encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Decodes a text. What does not belong to the alphabet is skipped, and padding
/// may be missing; `strict` refuses both, white space aside.
///
/// # Errors
/// With `strict`, what is wrong.
pub fn decode(alphabet: Alphabet, text: &str, strict: bool) -> Result<Vec<u8>> {
    let value = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' if alphabet == Alphabet::Standard => 62,
            b'/' if alphabet == Alphabet::Standard => 63,
            b'-' if alphabet == Alphabet::Url => 62,
            b'_' if alphabet == Alphabet::Url => 63,
            _ => return None,
        })
    };
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut word, mut digits, mut padding) = (0u32, 0usize, 0usize);
    for byte in text.bytes() {
        let Some(value) = value(byte) else {
            padding += usize::from(byte == b'=');
            if strict && byte != b'=' && !byte.is_ascii_whitespace() {
                let shown =
                    text.chars().find(|c| !c.is_ascii() || *c == char::from(byte)).unwrap_or_default();
                return Err(Error::new(format!("invalid character \"{shown}\" in base64 text")));
            }
            continue;
        };
        if strict && padding > 0 {
            return Err(Error::new("base64 text goes on behind its padding"));
        }
        word = word << 6 | u32::from(value);
        digits += 1;
        if digits % 4 == 0 {
            out.extend_from_slice(&word.to_be_bytes()[1..]);
            word = 0;
        }
    }
    let left = digits % 4;
    let complete = match alphabet {
        Alphabet::Standard => (digits + padding) % 4 == 0 && padding < 3,
        Alphabet::Url => padding == 0 || (digits + padding) % 4 == 0,
    };
    if strict && (left == 1 || !complete) {
        return Err(Error::new("base64 text is incomplete"));
    }
    if left > 1 {
        word <<= 6 * (4 - left);
        out.extend_from_slice(&word.to_be_bytes()[1..left]);
    }
    Ok(out)
}

/// UTF-8 as text; bytes that are not valid stand each for the character of
/// that number, as in ISO 8859-1.
pub fn text_of(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(Alphabet::Standard, bytes.as_bytes()), text);
            let unpadded = text.trim_end_matches('=');
            assert_eq!(encode(Alphabet::Url, bytes.as_bytes()), unpadded);
            for strict in [false, true] {
                assert_eq!(decode(Alphabet::Standard, text, strict), Ok(bytes.into()));
                assert_eq!(decode(Alphabet::Url, unpadded, strict), Ok(bytes.into()));
            }
            assert_eq!(decode(Alphabet::Standard, unpadded, false), Ok(bytes.into()));
        }
        assert_eq!(encode(Alphabet::Standard, &[0xfb, 0xff]), "+/8=");
        assert_eq!(encode(Alphabet::Url, &[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn all_lengths_there_and_back() {
        let bytes: Vec<u8> = (0..=255).rev().collect();
        for length in 0..bytes.len() {
            for alphabet in [Alphabet::Standard, Alphabet::Url] {
                let text = encode(alphabet, &bytes[..length]);
                assert_eq!(decode(alphabet, &text, true).as_deref(), Ok(&bytes[..length]));
            }
        }
    }

    #[test]
    fn lines() {
        let text = encode_lines(&[0; 90], 60);
        assert_eq!(text, format!("{}\n{}", "A".repeat(60), "A".repeat(60)));
        assert_eq!(encode_lines(b"", 60), "");
    }

    #[test]
    fn rubbish_is_skipped_unless_strict() {
        assert_eq!(decode(Alphabet::Standard, " Zm\n9v*Yg", false), Ok(b"foob".to_vec()));
        for text in ["Zm9v*", "Zm9vY", "Zm9vYg", "Zg==Zg==", "Zm9v\u{e4}", "Zm9v===="] {
            assert!(decode(Alphabet::Standard, text, true).is_err(), "{text}");
        }
        assert_eq!(decode(Alphabet::Standard, "Zm9v\r\nYg==\n", true), Ok(b"foob".to_vec()));
    }

    #[test]
    fn bytes_as_text() {
        assert_eq!(text_of("a\u{e4}".as_bytes()), "a\u{e4}");
        assert_eq!(text_of(b"a\xe9b\xff"), "a\u{e9}b\u{ff}");
    }
}
