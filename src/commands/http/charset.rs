//! Text of requests and responses in their charsets, by Tcl's encodings
//! (spec/http.md 3.4).

use crate::http::charset::{self, encoding_name};
pub use crate::http::charset::{of_type, with_charset};
use crate::tcl::{Interp, Obj};
use std::borrow::Cow;

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

/// The usual name of a charset, under which a connection has it; that of UTF-8 for one that is
/// unknown, since text is sent so then.
pub fn usual_name(interp: Interp, charset: &str) -> Cow<'static, str> {
    if charset.eq_ignore_ascii_case("utf-8") || !is_known(interp, charset) {
        return Cow::Borrowed("utf-8");
    }
    Cow::Owned(charset::usual_name(charset))
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
