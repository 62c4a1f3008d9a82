//! Character sets by their names in HTTP, as Tcl calls them, and which of them
//! belongs to a media type (`ns_encodingforcharset`, `ns_encodingfortype`;
//! spec/support.md 5.5, 6.4; for text responses spec/http.md 3.4).

use std::borrow::Cow;

/// Charset, and Tcl's name of its encoding.
const CHARSETS: [(&str, &str); 76] = [
    ("ansi_x3.4-1968", "ascii"),
    ("ascii", "ascii"),
    ("big5", "big5"),
    ("cp1250", "cp1250"),
    ("cp1251", "cp1251"),
    ("cp1252", "cp1252"),
    ("cp437", "cp437"),
    ("cp850", "cp850"),
    ("cp852", "cp852"),
    ("cp866", "cp866"),
    ("euc-cn", "euc-cn"),
    ("euc-jp", "euc-jp"),
    ("euc-kr", "euc-kr"),
    ("gb12345", "gb12345"),
    ("gb2312", "euc-cn"),
    ("gbk", "cp936"),
    ("ibm437", "cp437"),
    ("ibm850", "cp850"),
    ("ibm852", "cp852"),
    ("ibm866", "cp866"),
    ("iso-2022-jp", "iso2022-jp"),
    ("iso-2022-kr", "iso2022-kr"),
    ("iso-8859-1", "iso8859-1"),
    ("iso-8859-10", "iso8859-10"),
    ("iso-8859-13", "iso8859-13"),
    ("iso-8859-14", "iso8859-14"),
    ("iso-8859-15", "iso8859-15"),
    ("iso-8859-16", "iso8859-16"),
    ("iso-8859-2", "iso8859-2"),
    ("iso-8859-3", "iso8859-3"),
    ("iso-8859-4", "iso8859-4"),
    ("iso-8859-5", "iso8859-5"),
    ("iso-8859-6", "iso8859-6"),
    ("iso-8859-7", "iso8859-7"),
    ("iso-8859-8", "iso8859-8"),
    ("iso-8859-9", "iso8859-9"),
    ("iso2022-jp", "iso2022-jp"),
    ("iso2022-kr", "iso2022-kr"),
    ("iso8859-1", "iso8859-1"),
    ("iso8859-15", "iso8859-15"),
    ("iso8859-2", "iso8859-2"),
    ("iso8859-3", "iso8859-3"),
    ("iso8859-4", "iso8859-4"),
    ("iso8859-5", "iso8859-5"),
    ("iso8859-6", "iso8859-6"),
    ("iso8859-7", "iso8859-7"),
    ("iso8859-8", "iso8859-8"),
    ("iso8859-9", "iso8859-9"),
    ("jis_x0201", "jis0201"),
    ("koi8-r", "koi8-r"),
    ("koi8-u", "koi8-u"),
    ("ks_c_5601-1987", "euc-kr"),
    ("latin1", "iso8859-1"),
    ("latin2", "iso8859-2"),
    ("macintosh", "macRoman"),
    ("shift_jis", "shiftjis"),
    ("shiftjis", "shiftjis"),
    ("sjis", "shiftjis"),
    ("tis-620", "tis-620"),
    ("unicode", "unicode"),
    ("us-ascii", "ascii"),
    ("utf-8", "utf-8"),
    ("utf8", "utf-8"),
    ("windows-1250", "cp1250"),
    ("windows-1251", "cp1251"),
    ("windows-1252", "cp1252"),
    ("windows-1253", "cp1253"),
    ("windows-1254", "cp1254"),
    ("windows-1255", "cp1255"),
    ("windows-1256", "cp1256"),
    ("windows-1257", "cp1257"),
    ("windows-1258", "cp1258"),
    ("windows-31j", "cp932"),
    ("windows-874", "cp874"),
    ("windows-936", "cp936"),
    ("x-sjis", "shiftjis"),
];

/// The names of all known charsets, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHARSETS.iter().map(|(name, _)| *name)
}

/// Tcl's name of the encoding of a charset, which is written in any case.
pub fn encoding(charset: &str) -> Option<&'static str> {
    let wanted = charset.trim().to_ascii_lowercase();
    CHARSETS.binary_search_by(|(name, _)| (*name).cmp(&wanted)).ok().map(|index| CHARSETS[index].1)
}

/// Tcl's name of the encoding of a media type: that of its `charset`, if it has
/// one, else UTF-8 for text and `binary` for all else. `None` when the charset
/// is unknown.
pub fn encoding_of_type(media_type: &str) -> Option<&'static str> {
    let mut parts = media_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset {
        Some(charset) => encoding(charset),
        None if kind.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/")) => Some("utf-8"),
        None => Some("binary"),
    }
}

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

/// Tcl's name of the encoding of a charset; where it is unknown, one made by the
/// rules that such names follow.
pub fn encoding_name(charset: &str) -> String {
    if let Some(name) = encoding(charset) {
        return name.to_owned();
    }
    let lower = charset.to_ascii_lowercase();
    let known = match lower.as_str() {
        "iso-ir-6" | "iso646-us" => "ascii",
        "iso_8859-1" | "l1" => "iso8859-1",
        "shift-jis" => "shiftjis",
        "gb_2312-80" => "gb2312",
        "macroman" | "x-mac-roman" => "macRoman",
        other => {
            let number = |prefix| other.strip_prefix(prefix);
            return match (number("iso-8859-"), number("windows-").or_else(|| number("ibm"))) {
                (Some(number), _) => format!("iso8859-{number}"),
                (_, Some(number)) => format!("cp{number}"),
                _ => lower,
            };
        }
    };
    known.to_owned()
}

/// The charset's name for `ns_conn encoding` and `content-type`: that of IANA.
pub fn charset_name(encoding: &str) -> String {
    let lower = encoding.to_ascii_lowercase();
    let name = match lower.as_str() {
        "ascii" => "us-ascii",
        "cp874" => "windows-874",
        "cp932" => "windows-31j",
        "cp936" => "gbk",
        "euc-cn" => "gb2312",
        "iso2022-jp" => "iso-2022-jp",
        "iso2022-kr" => "iso-2022-kr",
        "jis0201" => "jis_x0201",
        "macroman" => "macintosh",
        "shiftjis" => "shift_jis",
        other => {
            let number = |prefix| other.strip_prefix(prefix);
            return match (number("iso8859-"), number("cp125")) {
                (Some(number), _) => format!("iso-8859-{number}"),
                (_, Some(digit)) => format!("windows-125{digit}"),
                _ => lower,
            };
        }
    };
    name.to_owned()
}

/// The name by which `charset_name` calls a charset that goes by several.
pub fn usual_name(charset: &str) -> String {
    charset_name(&encoding_name(charset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(CHARSETS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn encodings() {
        assert_eq!(encoding("UTF-8"), Some("utf-8"));
        assert_eq!(encoding("ISO-8859-1"), Some("iso8859-1"));
        assert_eq!(encoding("bogus"), None);
        for (media_type, name) in [
            ("text/html", Some("utf-8")),
            ("TEXT/plain; charset=iso-8859-1", Some("iso8859-1")),
            ("text/html; Charset=\"utf-8\"; x=y", Some("utf-8")),
            ("text/html; charset=bogus", None),
            ("application/json", Some("binary")),
            ("application/json;charset=utf-8", Some("utf-8")),
            ("application/x-www-form-urlencoded", Some("binary")),
            ("", Some("binary")),
        ] {
            assert_eq!(encoding_of_type(media_type), name, "{media_type}");
        }
    }

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
        assert_eq!(encoding_name("ISO-2022-JP"), "iso2022-jp");
        assert_eq!(encoding_name("l1"), "iso8859-1");
        assert_eq!(encoding_name("windows-9999"), "cp9999");
        assert_eq!(charset_name("iso8859-1"), "iso-8859-1");
        assert_eq!(usual_name("Latin1"), "iso-8859-1");
        assert_eq!(usual_name("euc-cn"), "gb2312");
        for (charset, encoding) in CHARSETS {
            assert_eq!(encoding_name(&usual_name(charset)), encoding, "{charset}");
        }
    }
}
