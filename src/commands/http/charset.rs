//! Charsets of text responses (spec/http.md 3.4).

use crate::tcl::{Interp, Obj};
use std::borrow::Cow;

/// The charset that a MIME type names.
pub fn of_type(mime_type: &str) -> Option<&str> {
    if !mime_type.contains('=') {
        return None;
    }
    let lower = mime_type.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find("charset") {
        let after = from + at + "charset".len();
        let rest = mime_type[after..].trim_start();
        if let Some(value) = rest.strip_prefix('=') {
            let value = value.trim_start();
            let quoted = value.strip_prefix('"').and_then(|v| v.split_once('"')).map(|(v, _)| v);
            let end = value.find(|c: char| c == ';' || c.is_whitespace()).unwrap_or(value.len());
            return Some(quoted.unwrap_or(&value[..end])).filter(|v| !v.is_empty());
        }
        from = after;
    }
    None
}

/// The MIME type of a text response, with the charset, and the charset.
pub fn with_charset<'a>(mime_type: &'a str, default: &'a str) -> (Cow<'a, str>, &'a str) {
    match of_type(mime_type) {
        Some(charset) => (Cow::Borrowed(mime_type), charset),
        None => (Cow::Owned([mime_type, "; charset=", default].concat()), default),
    }
}

/// Tcl's name of a charset.
pub fn encoding_name(charset: &str) -> String {
    let lower = charset.to_ascii_lowercase();
    let known = match lower.as_str() {
        "utf8" | "utf-8" => "utf-8",
        "us-ascii" | "ascii" | "iso-ir-6" | "iso646-us" => "ascii",
        "latin1" | "iso_8859-1" | "l1" => "iso8859-1",
        "shift_jis" | "shift-jis" | "sjis" | "x-sjis" => "shiftjis",
        "gb_2312-80" | "gb2312" => "gb2312",
        "ks_c_5601-1987" => "ksc5601",
        "x-mac-roman" | "macintosh" => "macRoman",
        "big5" => "big5",
        other => {
            return if let Some(number) = other.strip_prefix("iso-8859-") {
                format!("iso8859-{number}")
            } else if let Some(number) = other.strip_prefix("windows-") {
                format!("cp{number}")
            } else if let Some(number) = other.strip_prefix("ibm") {
                format!("cp{number}")
            } else {
                other.to_owned()
            };
        }
    };
    known.to_owned()
}

/// The charset's name for `ns_conn encoding` and `content-type`: that of IANA.
pub fn charset_name(encoding: &str) -> String {
    let lower = encoding.to_ascii_lowercase();
    match lower.as_str() {
        "ascii" => "us-ascii".to_owned(),
        "shiftjis" => "shift_jis".to_owned(),
        other => match other.strip_prefix("iso8859-") {
            Some(number) => format!("iso-8859-{number}"),
            None => match other.strip_prefix("cp125") {
                Some(digit) => format!("windows-125{digit}"),
                None => lower,
            },
        },
    }
}

/// Whether Tcl knows the encoding of a charset.
pub fn is_known(interp: Interp, charset: &str) -> bool {
    let name = encoding_name(charset);
    matches!(name.as_str(), "utf-8" | "ascii" | "iso8859-1") || {
        let saved = interp.result();
        let words = ["::encoding", "names"].map(Obj::from_str);
        let names = (interp.call(&words) == 0).then(|| interp.result()).and_then(|r| r.elements());
        interp.set_result(&saved);
        names.unwrap_or_default().iter().any(|n| n.is_word(&name))
    }
}

/// Text in a charset. What that does not have becomes `?`; in a charset that is
/// unknown, text is UTF-8.
pub fn encode<'a>(interp: Interp, charset: &str, text: &'a Obj) -> Cow<'a, [u8]> {
    if charset.eq_ignore_ascii_case("utf-8") {
        return utf8(text);
    }
    let name = encoding_name(charset);
    let narrow = |limit: u32| {
        let byte = |c: char| if u32::from(c) < limit { u32::from(c) as u8 } else { b'?' };
        Cow::Owned(text.text().chars().map(byte).collect())
    };
    match name.as_str() {
        "utf-8" => utf8(text),
        "ascii" => narrow(0x80),
        "iso8859-1" => narrow(0x100),
        _ => {
            let saved = interp.result();
            let profile = crate::tcl::event_source::tcl_uses_select();
            let mut words = vec![Obj::from_str("::encoding"), Obj::from_str("convertto")];
            if !profile {
                // Tcl 9: as 8.6 does it.
                words.extend([Obj::from_str("-profile"), Obj::from_str("tcl8")]);
            }
            words.extend([Obj::from_str(&name), text.clone()]);
            let encoded = (interp.call(&words) == 0).then(|| interp.result());
            interp.set_result(&saved);
            match encoded.as_ref().map(|o| o.bytes().map(<[u8]>::to_vec)) {
                Some(Ok(bytes)) => Cow::Owned(bytes),
                _ => utf8(text),
            }
        }
    }
}

fn utf8(text: &Obj) -> Cow<'_, [u8]> {
    match text.text() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Bytes as text in a charset: UTF-8 where that is unknown. What is no text in
/// it is taken byte by byte.
pub fn decode(interp: Interp, charset: &str, bytes: &[u8]) -> Obj {
    match encoding_name(charset).as_str() {
        "iso8859-1" => latin1(bytes),
        "utf-8" | "ascii" => decode_utf8(bytes),
        name => {
            let saved = interp.result();
            let mut words = vec![Obj::from_str("::encoding"), Obj::from_str("convertfrom")];
            if !crate::tcl::event_source::tcl_uses_select() {
                words.extend([Obj::from_str("-profile"), Obj::from_str("tcl8")]);
            }
            words.extend([Obj::from_str(name), Obj::from_bytes(bytes)]);
            let decoded = (interp.call(&words) == 0).then(|| interp.result());
            interp.set_result(&saved);
            decoded.unwrap_or_else(|| decode_utf8(bytes))
        }
    }
}

fn latin1(bytes: &[u8]) -> Obj {
    Obj::from_str(&bytes.iter().map(|b| char::from(*b)).collect::<String>())
}

fn decode_utf8(bytes: &[u8]) -> Obj {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Obj::from_str(text);
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|b| char::from(*b)));
    }
    Obj::from_str(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_of_types() {
        for (mime_type, charset) in [
            ("text/plain", None),
            ("text/plain; charset=iso-8859-1", Some("iso-8859-1")),
            ("text/plain; Charset = \"utf-8\"; x=y", Some("utf-8")),
            ("text/plain;charset=koi8-r;x", Some("koi8-r")),
            ("text/charset", None),
            ("a; charset=", None),
        ] {
            assert_eq!(of_type(mime_type), charset, "{mime_type}");
        }
        assert_eq!(with_charset("image/png", "utf-8").0, "image/png; charset=utf-8");
    }

    #[test]
    fn names() {
        assert_eq!(encoding_name("ISO-8859-2"), "iso8859-2");
        assert_eq!(encoding_name("windows-1252"), "cp1252");
        assert_eq!(charset_name("iso8859-1"), "iso-8859-1");
    }
}
