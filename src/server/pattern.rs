//! Patterns of `string match`, for filters and constraints: `*`, `?`, `[a-z]` and
//! `\x`.

/// Whether `text` matches `pattern`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows a star does not match.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p, t));
            p += 1;
            continue;
        }
        if let Some(next) = one(&pattern, p, text[t]) {
            p = next;
            t += 1;
            continue;
        }
        let Some((star, from)) = retry else { return false };
        retry = Some((star, from + 1));
        p = star + 1;
        t = from + 1;
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Matches one character; where the pattern goes on.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match *pattern.get(at)? {
        '?' => Some(at + 1),
        '\\' => (*pattern.get(at + 1)? == c).then_some(at + 2),
        '[' => {
            let close = at + 1 + pattern[at + 1..].iter().position(|x| *x == ']')?;
            let set = &pattern[at + 1..close];
            let mut i = 0;
            let mut found = false;
            while i < set.len() {
                if set.get(i + 1) == Some(&'-') && i + 2 < set.len() {
                    let (low, high) = (set[i].min(set[i + 2]), set[i].max(set[i + 2]));
                    found |= (low..=high).contains(&c);
                    i += 3;
                } else {
                    found |= set[i] == c;
                    i += 1;
                }
            }
            found.then_some(close + 1)
        }
        literal => (literal == c).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn as_string_match() {
        for (pattern, text, result) in [
            ("*", "", true),
            ("/f4", "/f4/", false),
            ("/a/*", "/a/b/c", true),
            ("*.t?p", "x.tcp", true),
            ("[a-c]x[0-9]", "bx7", true),
            ("[a-c]x", "dx", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b", "xaybzb", true),
            ("*a*b", "xaybz", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), result, "{pattern} {text}");
        }
    }
}
