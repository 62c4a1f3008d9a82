//! A script that is nothing but one command in literal words, such as
//! `process {a large text}`: it can travel in these words, as a list does, and
//! the worker needs not parse it, nor make a literal of each word.
//!
//! What is not seen at a glance to be so is left to Tcl.

use memchr::{memchr, memchr2, memchr3};

/// The words of a script that is one command without substitutions, at most
/// `most` of them.
pub fn command(script: &[u8], most: usize) -> Option<Vec<&[u8]>> {
    let mut rest = script.trim_ascii();
    if rest.first() == Some(&b'#') {
        return None;
    }
    let mut words = Vec::new();
    while let Some(first) = rest.first() {
        let (word, end) = match first {
            b'{' => braced(rest)?,
            b'"' => quoted(rest)?,
            _ => bare(rest)?,
        };
        let behind = &rest[end..];
        let blanks = behind.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        // Anything else would belong to the word, or begin another command.
        if words.len() == most || blanks == 0 && !behind.is_empty() {
            return None;
        }
        words.push(word);
        rest = &behind[blanks..];
    }
    (!words.is_empty()).then_some(words)
}

/// A word in braces, and how long it is with them.
fn braced(text: &[u8]) -> Option<(&[u8], usize)> {
    let (mut depth, mut at) = (1_usize, 1);
    while depth > 0 {
        at += memchr2(b'{', b'}', &text[at..])?;
        depth = if text[at] == b'{' { depth + 1 } else { depth - 1 };
        at += 1;
    }
    let word = &text[1..at - 1];
    // A backslash may hide a brace, or join lines.
    memchr(b'\\', word).is_none().then_some((word, at))
}

/// A word in quotes, and how long it is with them.
fn quoted(text: &[u8]) -> Option<(&[u8], usize)> {
    let end = 1 + memchr(b'"', &text[1..])?;
    let word = &text[1..end];
    memchr3(b'\\', b'$', b'[', word).is_none().then_some((word, end + 1))
}

/// A word without either.
fn bare(text: &[u8]) -> Option<(&[u8], usize)> {
    /// So many are looked at together.
    const BLOCK: usize = 256;
    let plain = text.chunks(BLOCK).take_while(|block| !block.iter().fold(false, |any, b| any | ends(*b)));
    let begin: usize = plain.map(<[u8]>::len).sum();
    let end = text[begin..].iter().position(|b| ends(*b)).map_or(text.len(), |at| begin + at);
    (end > 0).then_some((&text[..end], end))
}

/// Whether a byte ends a bare word, or makes it more than that. (Some that are
/// harmless are among them, so that there are few ranges.)
fn ends(byte: u8) -> bool {
    (byte <= b' ')
        | (byte == b'"')
        | (byte == b'$')
        | (byte == b';')
        | (byte.wrapping_sub(b'[') <= 2)
        | (byte.wrapping_sub(b'{') <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Option<Vec<&str>> {
        let words = command(script.as_bytes(), 4)?;
        Some(words.into_iter().map(|word| std::str::from_utf8(word).unwrap()).collect())
    }

    #[test]
    fn literal_words() {
        assert_eq!(words("pid"), Some(vec!["pid"]));
        assert_eq!(words("set a\t b"), Some(vec!["set", "a", "b"]));
        assert_eq!(words("\n  set a {b c}\n "), Some(vec!["set", "a", "b c"]));
        assert_eq!(words("set {a} \"b; {c\""), Some(vec!["set", "a", "b; {c"]));
        assert_eq!(words("proc f {} {set x {$y}; [z]\n}"), Some(vec!["proc", "f", "", "set x {$y}; [z]\n"]));
        assert_eq!(words("list {*} {#} ä€"), Some(vec!["list", "*", "#", "ä€"]));
        let long = format!("string length {}", "x".repeat(1000));
        assert_eq!(words(&long).unwrap()[2].len(), 1000);
        assert_eq!(words(&format!("{}y", "x".repeat(256))).unwrap()[0].len(), 257);
    }

    #[test]
    fn whatever_is_more_is_left_to_tcl() {
        for script in [
            "",
            "  ",
            "# comment",
            "a; b",
            "a\nb",
            "a $b",
            "a [b]",
            "a \"$b\"",
            "a \"[b]\"",
            "a b\\ c",
            "a {b\\}c}",
            "a \"b\\nc\"",
            "a {b",
            "a \"b",
            "a {b}c",
            "a \"b\"c",
            "a {*}{b c}",
            "a {*}b",
            "a b{c",
            "a b\"c",
            "a }",
            "1 2 3 4 5",
            "a {b} ; c",
            "a {b};",
            "a ]",
            "a\rb",
            "a \u{b} b",
        ] {
            assert_eq!(words(script), None, "{script:?}");
        }
    }
}
