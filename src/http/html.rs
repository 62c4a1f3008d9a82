//! Text in HTML: quoted, unquoted, and taken out of its tags
//! (spec/support.md 5.5, 6.4).

use super::entities::ENTITIES;

/// Quotes what means something in HTML: `& < > " '`. All else stays.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    while let Some(index) = rest.find(['&', '<', '>', '"', '\'']) {
        out.push_str(&rest[..index]);
        out.push_str(match rest.as_bytes()[index] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&#34;",
            _ => "&#39;",
        });
        rest = &rest[index + 1..];
    }
    out.push_str(rest);
    out
}

/// Resolves character references, named and numeric. What is unknown or has no
/// semicolon stays.
pub fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(index) = rest.find('&') {
        out.push_str(&rest[..index]);
        rest = &rest[index..];
        match reference(rest) {
            Some((character, length)) => {
                out.push(character);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character that the reference at the front stands for, and its length.
fn reference(text: &str) -> Option<(char, usize)> {
    // No name is longer than eight letters, no number than that many digits.
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = text.get(1..end)?;
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let (digits, radix) = match number.strip_prefix(['x', 'X']) {
                Some(digits) => (digits, 16),
                None => (number, 10),
            };
            // from_str_radix would take a sign.
            let all_digits = digits.chars().all(|c| c.is_digit(radix));
            let code = u32::from_str_radix(digits, radix).ok().filter(|code| all_digits && *code != 0)?;
            char::from_u32(code)?
        }
        None => {
            let index = ENTITIES.binary_search_by(|(own, _)| (*own).cmp(name)).ok()?;
            char::from_u32(u32::from(ENTITIES[index].1))?
        }
    };
    Some((character, end + 1))
}

/// The text without tags and comments, its references resolved. A tag that is
/// not closed reaches to the end.
pub fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(index) = rest.find('<') {
        out.push_str(&rest[..index]);
        let end = if rest[index..].starts_with("<!--") { "-->" } else { ">" };
        rest = rest[index..].split_once(end).map_or("", |(_, behind)| behind);
    }
    out.push_str(rest);
    unquote(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        assert_eq!(
            quote("<a href=\"x\">&'\u{1}\u{e4}</a>"),
            "&lt;a href=&#34;x&#34;&gt;&amp;&#39;\u{1}\u{e4}&lt;/a&gt;"
        );
        assert_eq!(unquote(&quote("<>&\"'")), "<>&\"'");
    }

    #[test]
    fn references() {
        for (text, result) in [
            ("&amp;&lt;&gt;&quot;&apos;&nbsp;&euro;&Auml;&auml;", "&<>\"'\u{a0}\u{20ac}\u{c4}\u{e4}"),
            ("&#65;&#x42;&#X43;&#128512;", "ABC\u{1f600}"),
            (
                "&bogus;&lt &;&#;&#x;&#0;&#xd800;&#x110000;&#+65;",
                "&bogus;&lt &;&#;&#x;&#0;&#xd800;&#x110000;&#+65;",
            ),
            ("a&b;c&", "a&b;c&"),
            ("&\u{e4};", "&\u{e4};"),
            ("&&amp;amp;", "&&amp;"),
        ] {
            assert_eq!(unquote(text), result, "{text}");
        }
    }

    #[test]
    fn tags() {
        assert_eq!(strip("<p class='x'>a &lt;b&gt;<br>c<!-- <b> -->d</p>"), "a <b>cd");
        assert_eq!(strip("a<b"), "a");
        assert_eq!(strip("a<!-- > b"), "a");
        assert_eq!(strip("plain"), "plain");
    }
}
