//! Character sets by their names in HTTP, as Tcl calls them, and which of them
//! belongs to a media type (`ns_encodingforcharset`, `ns_encodingfortype`;
//! spec/support.md 5.5, 6.4).

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
}
