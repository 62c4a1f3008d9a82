//! Lists in Tcl's notation, where there is no Tcl: values of the configuration.

/// The elements of a list. Those in braces are taken as they are, quotes hold blanks together,
/// and a backslash takes the meaning of the character behind it. What Tcl would refuse, such as
/// a brace that is never closed, goes up to the end.
pub fn elements(list: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut rest = list.trim_start();
    while let Some(first) = rest.chars().next() {
        let (element, tail) = match first {
            '{' => braced(rest),
            '"' => bare(&rest[1..], |c| c == '"'),
            _ => bare(rest, char::is_whitespace),
        };
        elements.push(element);
        rest = tail.trim_start();
    }
    elements
}

/// An element that begins with a brace, and what follows it.
fn braced(text: &str) -> (String, &str) {
    let (mut depth, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                continue;
            }
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (text[1..at].to_owned(), &text[at + 1..]);
        }
    }
    (text[1..].to_owned(), "")
}

/// An element up to the character that ends it, which is no part of what follows.
fn bare(text: &str, ends: impl Fn(char) -> bool) -> (String, &str) {
    let mut element = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if ends(c) {
            return (element, &text[at + c.len_utf8()..]);
        }
        element.push(match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, 'r')) => '\r',
                Some((_, other)) => other,
                None => c,
            },
            _ => c,
        });
    }
    (element, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (list, expected) in [
            ("", &[][..]),
            (" \n", &[]),
            ("index.html {b} \"c\"\n\td", &["index.html", "b", "c", "d"]),
            ("{my index.html} x", &["my index.html", "x"]),
            ("x-a 1  X-B {a b {c}} c \"d e\"", &["x-a", "1", "X-B", "a b {c}", "c", "d e"]),
            ("a\\ b \\{ {\\{} \"x\\\"y\" {} \"\"", &["a b", "{", "\\{", "x\"y", "", ""]),
            ("{a b", &["a b"]),
            ("\"a b", &["a b"]),
            ("\u{e4} {\u{e4} \u{e4}}", &["\u{e4}", "\u{e4} \u{e4}"]),
            ("a\\", &["a\\"]),
        ] {
            assert_eq!(elements(list), expected, "{list}");
        }
    }
}
