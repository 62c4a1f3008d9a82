//! Byte ranges (RFC 9110, section 14): which parts of a representation a
//! `Range` field asks for, and the bytes around the parts of a
//! `multipart/byteranges` body.
//!
//! Ranges that overlap or touch are sent as one, and no more than
//! [`MAX_RANGES`] are looked at: whatever is asked for, no byte is sent twice.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::Range;

/// Ranges that one request may name; further ones are left out, as section
/// 15.3.7 allows.
pub const MAX_RANGES: usize = 32;

/// What a `Range` field selects. Positions are from the first byte wanted to
/// the one after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The field is to be ignored.
    Whole,
    /// One range: 206.
    Part(Range<u64>),
    /// Several ranges in the order of the request: 206, multipart.
    Parts(Vec<Range<u64>>),
    /// No byte is there that was asked for: 416.
    Unsatisfiable,
}

/// What the value of a `Range` field selects of `length` bytes. A value that is
/// malformed, or of another unit than bytes, selects everything.
pub fn select(value: &str, length: u64) -> Selection {
    let Some((unit, set)) = value.split_once('=') else { return Selection::Whole };
    if !unit.trim_matches(BLANKS).eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut seen = 0;
    for member in set.split(',').map(|member| member.trim_matches(BLANKS)) {
        // An empty member of a list is no fault (section 5.6.1).
        if member.is_empty() {
            continue;
        }
        let Some(spec) = Spec::parse(member) else { return Selection::Whole };
        seen += 1;
        if seen > MAX_RANGES {
            continue;
        }
        match spec.resolve(length) {
            Resolved::Bytes(range) => add(&mut parts, range),
            Resolved::Nothing => {}
            Resolved::Whole => return Selection::Whole,
        }
    }
    match parts.len() {
        0 if seen == 0 => Selection::Whole,
        0 => Selection::Unsatisfiable,
        1 => Selection::Part(parts.remove(0)),
        _ => Selection::Parts(parts),
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// One member of the set.
enum Spec {
    /// `first-` or `first-last`.
    From(u64, Option<u64>),
    /// `-count`: the last bytes.
    Last(u64),
}

/// What a member is, for a certain length.
enum Resolved {
    Bytes(Range<u64>),
    Nothing,
    Whole,
}

impl Spec {
    fn parse(text: &str) -> Option<Spec> {
        let (first, last) = text.split_once('-')?;
        match (first, last) {
            ("", count) => number(count).map(Spec::Last),
            (first, "") => number(first).map(|first| Spec::From(first, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Spec::From(first, Some(last)))
            }
        }
    }

    fn resolve(self, length: u64) -> Resolved {
        match self {
            Spec::From(first, _) if first >= length => Resolved::Nothing,
            Spec::From(first, None) => Resolved::Bytes(first..length),
            Spec::From(first, Some(last)) => Resolved::Bytes(first..last.saturating_add(1).min(length)),
            Spec::Last(0) => Resolved::Nothing,
            // The last bytes of nothing: no Content-Range could tell of them.
            Spec::Last(_) if length == 0 => Resolved::Whole,
            Spec::Last(count) => Resolved::Bytes(length.saturating_sub(count)..length),
        }
    }
}

/// A number of digits; one that is too large stands for the largest.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Adds a range. What it overlaps or touches becomes one with it, at the place
/// of the first of them.
fn add(parts: &mut Vec<Range<u64>>, mut range: Range<u64>) {
    let mut place = parts.len();
    // Growing, it may reach another one: begin again until nothing is added.
    while let Some(index) = parts.iter().position(|part| range.start <= part.end && part.start <= range.end) {
        let part = parts.remove(index);
        range = range.start.min(part.start)..range.end.max(part.end);
        place = place.min(index);
    }
    parts.insert(place.min(parts.len()), range);
}

/// The value of `Content-Range` for one part.
pub fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1))
}

/// The value of `Content-Range` for 416.
pub fn unsatisfied(length: u64) -> String {
    format!("bytes */{length}")
}

/// The value of `Content-Type` for several parts.
pub fn multipart_type(boundary: &str) -> String {
    format!("multipart/byteranges; boundary={boundary}")
}

/// A boundary that no body can have guessed.
pub fn boundary() -> String {
    let mut bytes = [0u8; 18];
    if openssl::rand::rand_bytes(&mut bytes).is_err() {
        // The keys of the standard library's hashes are random, too.
        let halves = [0, 1].map(|half| RandomState::new().hash_one(half).to_le_bytes());
        bytes[..16].copy_from_slice(halves.as_flattened());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands before the bytes of part number `index` (from 0).
pub fn part_head(index: usize, boundary: &str, media_type: &str, range: &Range<u64>, length: u64) -> Vec<u8> {
    let before = if index == 0 { "" } else { "\r\n" };
    let range = content_range(range, length);
    format!("{before}--{boundary}\r\ncontent-type: {media_type}\r\ncontent-range: {range}\r\n\r\n")
        .into_bytes()
}

/// What stands after the bytes of the last part.
pub fn part_end(boundary: &str) -> Vec<u8> {
    format!("\r\n--{boundary}--\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The selection of ten bytes, as one writes it.
    fn of_ten(value: &str) -> String {
        let shown = |range: &Range<u64>| format!("{}-{}", range.start, range.end - 1);
        match select(value, 10) {
            Selection::Whole => "whole".to_owned(),
            Selection::Part(range) => shown(&range),
            Selection::Parts(parts) => parts.iter().map(shown).collect::<Vec<_>>().join(","),
            Selection::Unsatisfiable => "416".to_owned(),
        }
    }

    #[test]
    fn one_range() {
        for (value, expected) in [
            ("bytes=0-4", "0-4"),
            ("bytes=5-", "5-9"),
            ("bytes=-3", "7-9"),
            ("bytes=0-100", "0-9"),
            ("bytes=-100", "0-9"),
            ("bytes=9-", "9-9"),
            ("bytes=0-0", "0-0"),
            ("bytes=0-99999999999999999999", "0-9"),
            ("bytes=-99999999999999999999", "0-9"),
            ("bytes=-0", "416"),
            ("bytes=10-", "416"),
            ("bytes=10-10", "416"),
            ("bytes=99999999999999999999-", "416"),
            ("BYTES=0-1", "0-1"),
            ("bytes = 0-1", "0-1"),
        ] {
            assert_eq!(of_ten(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_malformed_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes= ",
            "bytes=,",
            "bytes=a-b",
            "bytes=3-2",
            "bytes=0-4;x",
            "bytes 0-1",
            "items=0-1",
            "foo bytes=0-1",
            "bytes=0",
            "bytes=-",
            "bytes=--1",
            "bytes=0-1-2",
            "bytes=+1-2",
            "bytes=0 -1",
            "bytes=0-1,x",
            "bytes=0-1,4-3",
            "bytes=0-1=2-3",
        ] {
            assert_eq!(of_ten(value), "whole", "{value}");
        }
    }

    #[test]
    fn several_ranges() {
        for (value, expected) in [
            ("bytes=0-1,5-6", "0-1,5-6"),
            ("bytes=0-1, 3-4", "0-1,3-4"),
            ("bytes=,0-1,,3-4,", "0-1,3-4"),
            ("bytes=7-9,0-2", "7-9,0-2"),
            ("bytes=0-1,20-30", "0-1"),
            ("bytes=20-30,0-1,-0", "0-1"),
            ("bytes=20-30,40-", "416"),
            ("bytes=0-2,3-5", "0-5"),
            ("bytes=0-5,3-7", "0-7"),
            ("bytes=2-8,1-6,4-9", "1-9"),
            ("bytes=0-1,5-6,2-4", "0-6"),
            ("bytes=0-1,8-9,4-5,0-0", "0-1,8-9,4-5"),
            ("bytes=8-9,0-1,1-8", "0-9"),
            ("bytes=0-,-1", "0-9"),
        ] {
            assert_eq!(of_ten(value), expected, "{value}");
        }
    }

    #[test]
    fn an_empty_representation() {
        assert_eq!(select("bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-0", 0), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-1", 0), Selection::Whole);
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let many = |count: u64| {
            let members: Vec<String> = (0..count).map(|i| format!("{0}-{0}", 2 * i)).collect();
            format!("bytes={}", members.join(","))
        };
        let Selection::Parts(parts) = select(&many(1000), 1 << 20) else { panic!("no parts") };
        assert_eq!(parts.len(), MAX_RANGES);
        assert_eq!(parts.last(), Some(&(62..63)));
        // A fault is one wherever it stands.
        assert_eq!(select(&format!("{},x", many(1000)), 1 << 20), Selection::Whole);
    }

    #[test]
    fn the_largest_lengths() {
        assert_eq!(select("bytes=18446744073709551614-", u64::MAX), Selection::Part(u64::MAX - 1..u64::MAX));
        assert_eq!(select("bytes=18446744073709551615-", u64::MAX), Selection::Unsatisfiable);
        assert_eq!(select("bytes=0-18446744073709551615", u64::MAX), Selection::Part(0..u64::MAX));
    }

    /// Numbers that differ from run to run only where a test asks for it.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    /// Whatever is asked for: each byte that a member names is sent, once, and
    /// no other; and parts neither overlap nor touch.
    #[test]
    fn selections_hold_the_bytes_asked_for() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..20_000 {
            let length = numbers.below(60);
            let mut wanted = vec![false; length as usize];
            let members: Vec<String> = (0..1 + numbers.below(6))
                .map(|_| {
                    let first = numbers.below(70);
                    let last = first + numbers.below(30);
                    let (text, from, to) = match numbers.below(3) {
                        0 => (format!("{first}-{last}"), first, last + 1),
                        1 => (format!("{first}-"), first, length),
                        _ => (format!("-{first}"), length.saturating_sub(first), length),
                    };
                    for at in from..to.min(length) {
                        wanted[at as usize] = true;
                    }
                    text
                })
                .collect();
            let value = format!("bytes={}", members.join(", "));
            let mut sent = vec![0u8; length as usize];
            let parts = match select(&value, length) {
                Selection::Whole => {
                    assert_eq!(length, 0, "{value} of {length}");
                    continue;
                }
                Selection::Unsatisfiable => Vec::new(),
                Selection::Part(part) => vec![part],
                Selection::Parts(parts) => {
                    assert!(parts.len() > 1);
                    parts
                }
            };
            for (index, part) in parts.iter().enumerate() {
                assert!(part.start < part.end && part.end <= length, "{value} of {length}");
                part.clone().for_each(|at| sent[at as usize] += 1);
                for other in &parts[..index] {
                    assert!(part.end < other.start || other.end < part.start, "{value} of {length}");
                }
            }
            for (at, &count) in sent.iter().enumerate() {
                assert_eq!(count, u8::from(wanted[at]), "byte {at} of {value} of {length}");
            }
        }
    }

    #[test]
    fn the_layout_of_a_multipart_body() {
        let data = b"0123456789";
        let parts = [0..2, 5..7];
        let mut body = Vec::new();
        for (index, range) in parts.iter().enumerate() {
            body.extend(part_head(index, "NaviServerNaviServerNaviServer", "text/plain", range, 10));
            body.extend(&data[range.start as usize..range.end as usize]);
        }
        body.extend(part_end("NaviServerNaviServerNaviServer"));
        let expected = "--NaviServerNaviServerNaviServer\r\n\
            content-type: text/plain\r\ncontent-range: bytes 0-1/10\r\n\r\n01\r\n\
            --NaviServerNaviServerNaviServer\r\n\
            content-type: text/plain\r\ncontent-range: bytes 5-6/10\r\n\r\n56\r\n\
            --NaviServerNaviServerNaviServer--\r\n";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        assert_eq!(expected.len(), 226);
    }
}
