//! Conditional requests (RFC 9110, section 13): whether a method is performed,
//! given what a client knows of the representation.

use super::date;

/// What tells this version of a representation from others.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// The value of `Last-Modified`, in seconds since 1970.
    pub modified: i64,
    /// The entity tag with its quotes; `W/` before it when it is weak.
    pub etag: &'a str,
}

/// The fields of a request that make it conditional, as sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<&'a str>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<&'a str>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What the method says.
    Perform,
    /// 304: the client has it already.
    NotModified,
    /// 412.
    Failed,
}

impl Conditions<'_> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none()
            && self.if_none_match.is_none()
            && self.if_modified_since.is_none()
            && self.if_unmodified_since.is_none()
    }

    /// Evaluates the conditions in the order of section 13.2.2. `reading` says
    /// that the method is GET or HEAD; a date that is none is ignored.
    pub fn evaluate(&self, current: Validators, reading: bool, now: i64) -> Verdict {
        if let Some(tags) = self.if_match {
            if !matches(tags, current.etag, strongly_equal) {
                return Verdict::Failed;
            }
        } else if let Some(since) = self.if_unmodified_since.and_then(|text| date::parse(text, now)) {
            if current.modified > since {
                return Verdict::Failed;
            }
        }
        if let Some(tags) = self.if_none_match {
            if matches(tags, current.etag, weakly_equal) {
                return if reading { Verdict::NotModified } else { Verdict::Failed };
            }
        } else if let Some(since) = self.if_modified_since.and_then(|text| date::parse(text, now)) {
            if reading && current.modified <= since {
                return Verdict::NotModified;
            }
        }
        Verdict::Perform
    }
}

/// Whether a `Range` field counts, given the value of `If-Range` (section
/// 13.1.5): only when it names exactly the version that there is.
pub fn range_counts(if_range: Option<&str>, current: Validators, now: i64) -> bool {
    let Some(value) = if_range.map(|value| value.trim_matches([' ', '\t'])) else { return true };
    if value.starts_with('"') || value.starts_with("W/") {
        return strongly_equal(value, current.etag);
    }
    date::parse(value, now) == Some(current.modified)
}

/// Whether a list of entity tags, or `*`, has one that equals `current`.
fn matches(list: &str, current: &str, equal: fn(&str, &str) -> bool) -> bool {
    list.trim_matches([' ', '\t']) == "*" || tags(list).any(|tag| equal(tag, current))
}

/// The entity tags of a list; what follows something else is not looked at.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let quote = if rest.starts_with("W/\"") { 2 } else { 0 };
        let end = rest.get(quote..)?.strip_prefix('"')?.find('"')? + quote + 2;
        let (tag, tail) = rest.split_at(end);
        rest = tail;
        Some(tag)
    })
}

/// Section 8.8.3.2: both strong, and the same.
fn strongly_equal(a: &str, b: &str) -> bool {
    a == b && !a.starts_with("W/")
}

/// The same but for weakness.
fn weakly_equal(a: &str, b: &str) -> bool {
    a.strip_prefix("W/").unwrap_or(a) == b.strip_prefix("W/").unwrap_or(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Failed, NotModified, Perform};

    const NOW: i64 = 1_795_309_096;
    const CURRENT: Validators = Validators { modified: 1_700_000_000, etag: "\"a-1\"" };
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const SAME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

    fn verdict(set: impl Fn(&mut Conditions<'static>)) -> (Verdict, Verdict) {
        let mut conditions = Conditions::default();
        assert!(conditions.is_empty());
        set(&mut conditions);
        assert!(!conditions.is_empty());
        (conditions.evaluate(CURRENT, true, NOW), conditions.evaluate(CURRENT, false, NOW))
    }

    #[test]
    fn if_modified_since() {
        for (date, expected) in
            [(BEFORE, Perform), (SAME, NotModified), (AFTER, NotModified), ("junk", Perform)]
        {
            assert_eq!(verdict(|c| c.if_modified_since = Some(date)), (expected, Perform), "{date}");
        }
    }

    #[test]
    fn if_unmodified_since() {
        for (date, expected) in [(BEFORE, Failed), (SAME, Perform), (AFTER, Perform), ("junk", Perform)] {
            assert_eq!(verdict(|c| c.if_unmodified_since = Some(date)), (expected, expected), "{date}");
        }
    }

    #[test]
    fn if_none_match() {
        for (tags, hit) in [
            ("\"a-1\"", true),
            ("W/\"a-1\"", true),
            ("\"x\", \"a-1\"", true),
            ("\"x,\",,W/\"a-1\" ", true),
            ("*", true),
            ("\"x\"", false),
            ("a-1", false),
            ("", false),
            ("\"a-1", false),
            ("\"x\" junk \"a-1\"", false),
        ] {
            let expected = if hit { (NotModified, Failed) } else { (Perform, Perform) };
            assert_eq!(verdict(|c| c.if_none_match = Some(tags)), expected, "{tags}");
        }
    }

    #[test]
    fn if_match() {
        for (tags, hit) in [
            ("\"a-1\"", true),
            ("\"x\", \"a-1\"", true),
            ("*", true),
            ("W/\"a-1\"", false),
            ("\"x\"", false),
            ("", false),
        ] {
            let expected = if hit { Perform } else { Failed };
            assert_eq!(verdict(|c| c.if_match = Some(tags)), (expected, expected), "{tags}");
        }
    }

    #[test]
    fn tags_stand_before_dates() {
        let both = verdict(|c| {
            c.if_none_match = Some("\"x\"");
            c.if_modified_since = Some(AFTER);
        });
        assert_eq!(both, (Perform, Perform));
        let both = verdict(|c| {
            c.if_match = Some("\"a-1\"");
            c.if_unmodified_since = Some(BEFORE);
        });
        assert_eq!(both, (Perform, Perform));
    }

    #[test]
    fn failing_stands_before_not_modified() {
        let both = verdict(|c| {
            c.if_unmodified_since = Some(BEFORE);
            c.if_modified_since = Some(AFTER);
        });
        assert_eq!(both, (Failed, Failed));
    }

    #[test]
    fn if_range() {
        for (value, expected) in [
            (None, true),
            (Some(SAME), true),
            (Some(BEFORE), false),
            (Some(AFTER), false),
            (Some("\"a-1\""), true),
            (Some("W/\"a-1\""), false),
            (Some("\"x\""), false),
            (Some("junk"), false),
            (Some(""), false),
        ] {
            assert_eq!(range_counts(value, CURRENT, NOW), expected, "{value:?}");
        }
        let weak = Validators { etag: "W/\"a-1\"", ..CURRENT };
        assert!(!range_counts(Some("W/\"a-1\""), weak, NOW));
    }
}
