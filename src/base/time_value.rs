//! Time values: what every `-timeout` takes and every time stamp prints.
//!
//! The accepted forms are those of NaviServer (`5`, `0.5`, `1:500000`,
//! `250ms`, `2m`). Where it would guess, by taking unknown trailing text for
//! seconds or by overflowing, this reports an error.

use super::error::{Error, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// The units a number may carry, with their length in microseconds.
/// The Greek letter mu and the micro sign look alike, and both get typed.
const UNITS: [(&str, i64); 9] = [
    ("s", SECOND),
    ("ms", 1_000),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
    ("d", 86_400 * SECOND),
    ("w", 7 * 86_400 * SECOND),
    ("y", 365 * 86_400 * SECOND),
    ("\u{3bc}s", 1),
    ("\u{b5}s", 1),
];

/// Digits of a fraction that are looked at: a year has 14 digits in
/// microseconds, so that any further ones make no difference.
const FRACTION_DIGITS: usize = 18;

/// A span of time in whole microseconds, possibly negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeValue {
    micros: i64,
}

impl TimeValue {
    /// No time at all, which most options read as "no limit".
    pub const ZERO: TimeValue = TimeValue { micros: 0 };

    /// A number of whole seconds; at most some 292,000 years.
    pub const fn from_secs(secs: i64) -> TimeValue {
        TimeValue { micros: secs.saturating_mul(SECOND) }
    }

    /// A number of milliseconds.
    pub const fn from_millis(millis: i64) -> TimeValue {
        TimeValue { micros: millis.saturating_mul(1_000) }
    }

    /// A number of microseconds.
    pub const fn from_micros(micros: i64) -> TimeValue {
        TimeValue { micros }
    }

    /// The value in microseconds.
    pub const fn as_micros(self) -> i64 {
        self.micros
    }

    /// The value as a duration; a negative value is an empty one.
    pub fn as_duration(self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros).unwrap_or(0))
    }

    /// Whether the value is exactly zero.
    pub const fn is_zero(self) -> bool {
        self.micros == 0
    }

    /// Whether the value is below zero.
    pub const fn is_negative(self) -> bool {
        self.micros < 0
    }

    /// Reads a time value as a script writes it:
    ///
    /// * `secs`, `secs.fraction`, either with a unit out of `μs ms s m h d w y`,
    ///   before which there may be blanks. The seconds may be left out before a
    ///   dot. A fraction finer than a microsecond is cut off in seconds and
    ///   rounded in every other unit.
    /// * `secs:microseconds`, the seconds may be left out.
    ///
    /// A sign counts for the whole value. Units are case-sensitive.
    ///
    /// # Errors
    ///
    /// `expected time value but got "..."` for everything else, a value that
    /// does not fit included.
    pub fn parse(text: &str) -> Result<TimeValue> {
        plain_seconds(text)
            .or_else(|| parse_micros(text.trim_matches(is_blank)))
            .map(TimeValue::from_micros)
            .ok_or_else(|| Error::new(format!("expected time value but got \"{text}\"")))
    }

    /// Prints whole seconds bare, others as `secs:microseconds`; what a sign in
    /// front says counts for both (`-2:500000`). `parse` reads it back.
    pub fn colon(self) -> String {
        let sign = if self.is_negative() { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        let second = SECOND.unsigned_abs();
        match micros % second {
            0 => format!("{sign}{}", micros / second),
            rest => format!("{sign}{}:{rest}", micros / second),
        }
    }

    /// Prints decimal seconds without zeros at the end: `5.1`.
    pub fn decimal(self) -> String {
        let dotted = self.dotted();
        dotted.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// Prints seconds, a dot and six digits: `0.500000`.
    pub fn dotted(self) -> String {
        let sign = if self.is_negative() { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        let second = SECOND.unsigned_abs();
        format!("{sign}{}.{:06}", micros / second, micros % second)
    }
}

/// Prints a point in time as seconds since 1970, a dot and six digits:
/// `1795309096.473198`.
pub fn system_time_dotted(time: SystemTime) -> String {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let since_epoch = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => micros(after),
        Err(before) => -micros(before.duration()),
    };
    TimeValue::from_micros(since_epoch).dotted()
}

/// The microseconds of a few plain digits, which is what most callers pass.
fn plain_seconds(text: &str) -> Option<i64> {
    let digits = text.as_bytes();
    // Nine digits of seconds are far from overflowing.
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let secs = digits.iter().fold(0, |secs, digit| secs * 10 + i64::from(digit - b'0'));
    Some(secs * SECOND)
}

/// The microseconds of `text` in any of the accepted forms; `None` for a
/// malformed or too large one.
fn parse_micros(text: &str) -> Option<i64> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (whole, rest) = split_digits(unsigned);
    // A sign wants digits behind it: `-.5` and `-:5` are errors.
    if whole.is_empty() && unsigned.len() < text.len() {
        return None;
    }
    let micros = match rest.strip_prefix(':') {
        Some(micros) => colon_form(whole, micros)?,
        None => unit_form(whole, rest)?,
    };
    i64::try_from(sign * micros).ok()
}

/// `secs:microseconds`. The microseconds may exceed a second.
fn colon_form(secs: &str, micros: &str) -> Option<i128> {
    let (micros, trailing) = split_digits(micros);
    if micros.is_empty() || !trailing.is_empty() {
        return None;
    }
    Some(number(secs)? * i128::from(SECOND) + number(micros)?)
}

/// A number, a dot and a fraction (or neither), blanks, and a unit (or none).
fn unit_form(whole: &str, rest: &str) -> Option<i128> {
    let (fraction, unit) = match rest.strip_prefix('.') {
        Some(fraction) => split_digits(fraction),
        None => ("", rest),
    };
    let wants_fraction = rest.starts_with('.') || whole.is_empty();
    if wants_fraction && fraction.is_empty() {
        return None;
    }
    let unit = match unit.trim_start_matches(is_blank) {
        "" => SECOND,
        name => UNITS.iter().find(|(known, _)| *known == name)?.1,
    };
    Some(number(whole)? * i128::from(unit) + scaled_fraction(fraction, unit)?)
}

/// `0.FRACTION` of a unit that is `unit` microseconds long.
fn scaled_fraction(fraction: &str, unit: i64) -> Option<i128> {
    let digits = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let scale = digits.bytes().fold(1_i128, |scale, _| scale * 10);
    // 1.9999999 stays below two seconds, yet 0.5μs is one microsecond: so does
    // the reference.
    let rounding = if unit == SECOND { 0 } else { scale / 2 };
    Some((number(digits)? * i128::from(unit) + rounding) / scale)
}

/// The value of a run of digits, zero for an empty one. It fits 64 bits, so
/// that multiplying it by any unit cannot overflow 128.
fn number(digits: &str) -> Option<i128> {
    if digits.is_empty() {
        return Some(0);
    }
    digits.parse::<u64>().ok().map(i128::from)
}

/// Splits `text` behind its leading ASCII digits.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// What C's `isspace` calls white space.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<i64> {
        TimeValue::parse(text).ok().map(TimeValue::as_micros)
    }

    #[test]
    fn documented_forms() {
        for (text, secs, usecs) in [
            ("1", 1, 0),
            ("010", 10, 0),
            ("1:500000", 1, 500_000),
            ("1:5", 1, 5),
            (":5", 0, 5),
            ("500ms", 0, 500_000),
            ("5  ms", 0, 5_000),
            ("2m", 120, 0),
            ("1w", 604_800, 0),
            ("1y", 31_536_000, 0),
            ("1.5", 1, 500_000),
            (".5", 0, 500_000),
            ("1.5s", 1, 500_000),
            ("1.5ms", 0, 1_500),
            ("1.25m", 75, 0),
            ("250\u{3bc}s", 0, 250),
            ("250\u{b5}s", 0, 250),
            ("0.1ms", 0, 100),
            ("1.9999999", 1, 999_999),
            ("1.9999999s", 1, 999_999),
            ("0.5\u{3bc}s", 0, 1),
            ("3000000000s", 3_000_000_000, 0),
            ("0:50000", 0, 50_000),
            ("10.0s", 10, 0),
            ("0", 0, 0),
            ("1h", 3_600, 0),
            ("1d", 86_400, 0),
            ("+5", 5, 0),
            (" 5 ", 5, 0),
            ("1:2000000", 3, 0),
            ("2147483648:0", 2_147_483_648, 0),
            ("999999999", 999_999_999, 0),
            ("9999999999", 9_999_999_999, 0),
            ("0.00000000000000000000000000000000001y", 0, 0),
        ] {
            assert_eq!(micros(text), Some(secs * SECOND + usecs), "{text}");
        }
    }

    #[test]
    fn a_sign_counts_for_the_whole_value() {
        assert_eq!(micros("-1"), Some(-1_000_000));
        assert_eq!(micros("-0.5"), Some(-500_000));
        assert_eq!(micros("-2:500000"), Some(-2_500_000));
        assert_eq!(micros("-5ms"), Some(-5_000));
    }

    #[test]
    fn malformed_values_are_errors() {
        for text in [
            "", " ", "abc", "s", "ms", ".", "1.", "1.x", "1:", ":", "1:2:3", "1.5:3", "1ms:3", "-.5", "+.5",
            "-:5", "-", "5x", "5min", "5S", "1e3", "0x10", "1,5", "12abc", "1us", "10us", "1.5.2", "1:5ms",
            "1:-5", "1: 5", "--1", "- 1", "1 5", "\u{661}", "1\u{3bc}", ".ms", "5.ms",
        ] {
            let error = TimeValue::parse(text).expect_err(text);
            assert_eq!(error, Error::new(format!("expected time value but got \"{text}\"")));
        }
    }

    #[test]
    fn values_that_do_not_fit_are_errors() {
        assert_eq!(micros("9223372036854.775807"), Some(i64::MAX));
        assert_eq!(micros("9223372036854.775808"), None);
        assert_eq!(micros("-9223372036854.775808"), Some(i64::MIN));
        assert_eq!(micros("18446744073709551615y"), None);
        assert_eq!(micros("18446744073709551616"), None);
        assert_eq!(micros("1:99999999999999999999999"), None);
    }

    #[test]
    fn conversions() {
        assert_eq!(TimeValue::from_secs(2), TimeValue::from_millis(2_000));
        assert_eq!(TimeValue::from_secs(i64::MAX).as_micros(), i64::MAX);
        assert_eq!(TimeValue::from_millis(1_500).as_duration(), Duration::from_millis(1_500));
        assert_eq!(TimeValue::from_secs(-1).as_duration(), Duration::ZERO);
        assert!(TimeValue::ZERO.is_zero() && !TimeValue::ZERO.is_negative());
        assert!(TimeValue::from_micros(-1).is_negative());
        assert!(TimeValue::from_micros(-1) < TimeValue::ZERO);
    }

    #[test]
    fn colon_and_decimal_forms() {
        for (micros, colon, decimal) in [
            (5_000_000, "5", "5"),
            (5_100_000, "5:100000", "5.1"),
            (5_000_100, "5:100", "5.0001"),
            (-2_500_000, "-2:500000", "-2.5"),
            (-500_000, "-0:500000", "-0.5"),
            (0, "0", "0"),
            (10_000_000, "10", "10"),
        ] {
            let value = TimeValue::from_micros(micros);
            assert_eq!((value.colon().as_str(), value.decimal().as_str()), (colon, decimal));
            assert_eq!(TimeValue::parse(&value.colon()), Ok(value));
        }
    }

    #[test]
    fn dotted_form() {
        for (micros, text) in [
            (500_000, "0.500000"),
            (1_795_309_096_473_198, "1795309096.473198"),
            (0, "0.000000"),
            (-500_000, "-0.500000"),
            (-1_000_001, "-1.000001"),
            (i64::MIN, "-9223372036854.775808"),
        ] {
            assert_eq!(TimeValue::from_micros(micros).dotted(), text);
        }
        let time = UNIX_EPOCH + Duration::from_micros(1_795_309_096_473_198);
        assert_eq!(system_time_dotted(time), "1795309096.473198");
        assert_eq!(system_time_dotted(UNIX_EPOCH - Duration::from_millis(1_500)), "-1.500000");
    }
}
