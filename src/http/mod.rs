//! HTTP as bytes, and what goes with it: messages, urls, percent-encoding, text
//! in HTML, character sets, dates. Nothing here opens a socket or knows of Tcl.
#![forbid(unsafe_code)]

pub mod charset;
pub mod chunked;
pub mod date;
mod entities;
pub mod fields;
pub mod form;
pub mod head;
pub mod html;
pub mod percent;
#[cfg(test)]
mod property_tests;
pub mod request;
pub mod request_head;
pub mod response;
pub mod status;
pub mod target;
pub mod url;

/// Whether `c` is one of the control characters that have no place in a url or
/// a message head: it could end a line there, or a string elsewhere.
fn is_control(c: char) -> bool {
    c.is_ascii_control()
}

/// `text` in quotes for an error message, control characters as `\x0d`, so that
/// what was refused as a line break does not become one in a log.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if is_control(c) {
            quoted.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            quoted.push(c);
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_shows_control_characters() {
        assert_eq!(quoted("a\r\nb\u{7f}ä"), "\"a\\x0d\\x0ab\\x7fä\"");
    }
}
