//! Properties of the parsers here, tried with random texts from a seed: none of
//! them panics, and what is taken apart and put together again stays the same.

use super::percent::{self, Part};
use super::url::{self, Location, Url};
use super::{charset, date, fields, html};
use crate::base::base64::{self, Alphabet};
use crate::base::set::NsSet;
use crate::base::{memory_size, path};

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A text of pieces that mean something to one of the parsers.
    fn text(&mut self) -> String {
        const PIECES: [&str; 44] = [
            "a",
            "b",
            "http",
            "unix",
            ":",
            "//",
            "/",
            "?",
            "#",
            "@",
            "[",
            "]",
            "::1",
            "80",
            "99999",
            "..",
            ".",
            "%",
            "%4",
            "%41",
            "%c3%a4",
            "+",
            "&",
            "amp;",
            "#x41;",
            "#65;",
            "<",
            ">",
            "<!--",
            "-->",
            "=",
            ";",
            "charset=",
            "text/",
            "\r\n",
            "\n",
            " ",
            "\t",
            "\u{e4}",
            "\u{20ac}",
            "\u{1f600}",
            "\0",
            "kB",
            "GMT",
        ];
        (0..self.below(12)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }
}

const ROUNDS: usize = 30_000;

#[test]
fn urls() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..ROUNDS {
        let (text, other) = (random.text(), random.text());
        let _ = Url::parse_absolute(&text);
        let _ = url::host_and_port(&text, random.below(2) == 0);
        let _ = url::absolute(&text, &other);
        let Ok(location) = Location::parse(&text, false) else { continue };
        // Put together it may read differently ("a" becomes "/a"), but only once.
        let joined = location.join();
        if let Ok(again) = Location::parse(&joined, false) {
            assert_eq!(again.join(), joined, "{text:?}");
        }
        if location.host.is_some_and(|host| !host.contains(':')) && location.port.is_some() {
            assert_eq!(Location::parse(&joined, false), Ok(location), "{text:?}");
        }
    }
}

#[test]
fn encodings_come_back() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS {
        let text = random.text();
        for part in [Part::Query, Part::Path, Part::FullPath, Part::Fragment, Part::Cookie, Part::OAuth1] {
            let mut encoded = String::new();
            percent::encode_into(&mut encoded, part, text.as_bytes(), random.below(2) == 0);
            assert!(encoded.is_ascii());
            assert_eq!(percent::decode(part, &encoded), text.as_bytes(), "{part:?} {text:?}");
            percent::decode(part, &text);
        }
        let _ = percent::parse_query(&text);
        assert_eq!(html::unquote(&html::quote(&text)), text);
        html::unquote(&text);
        html::strip(&text);
        for alphabet in [Alphabet::Standard, Alphabet::Url] {
            let encoded = base64::encode(alphabet, text.as_bytes());
            assert_eq!(base64::decode(alphabet, &encoded, true).as_deref(), Ok(text.as_bytes()));
            let _ = base64::decode(alphabet, &text, random.below(2) == 0);
        }
    }
}

#[test]
fn messages_and_small_ones() {
    let mut random = Random(0xd1b5_4a32_d192_ed03);
    let mut set = NsSet::default();
    for _ in 0..ROUNDS {
        let text = random.text();
        if let Ok(message) = fields::parse_message(text.as_bytes(), base64::text_of) {
            assert!(text.as_bytes().ends_with(message.body));
        }
        let before = set.size();
        match fields::add_line(&mut set, "", &text) {
            Ok(index) => assert!(index + 1 == set.size() && set.size() <= before + 1),
            Err(_) => assert_eq!(set.size(), before),
        }
        charset::encoding_of_type(&text);
        let _ = date::parse(&text, 0);
        let _ = memory_size::parse(&text);
        let normal = path::normalize(&text);
        assert!(normal.starts_with('/') && path::normalize(&normal) == normal);
        assert!(!normal.split('/').any(|segment| segment == ".."));
    }
}
