//! Times of `ns_proxy`: a bare number is a number of milliseconds; any other
//! form (`500ms`, `2s`, `1:500000`) is that of all time values.

use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};

/// Reads a time.
///
/// # Errors
/// `expected time value but got "..."`.
pub fn parse(text: &str) -> Result<TimeValue> {
    let trimmed = text.trim();
    let bare = trimmed.bytes().next_back().is_some_and(|b| b.is_ascii_digit()) && !trimmed.contains(':');
    let parsed = if bare { TimeValue::parse(&format!("{trimmed}ms")) } else { TimeValue::parse(text) };
    parsed.map_err(|_| Error::new(format!("expected time value but got \"{text}\"")))
}

/// Prints a time so that `parse` reads the same from it: whole milliseconds as
/// a bare number, anything else as `seconds:microseconds`.
pub fn print(time: TimeValue) -> String {
    let micros = time.as_micros();
    if micros % 1_000 == 0 {
        (micros / 1_000).to_string()
    } else {
        let sign = if micros < 0 { "-" } else { "" };
        let micros = micros.unsigned_abs();
        format!("{sign}{}:{}", micros / 1_000_000, micros % 1_000_000)
    }
}

/// A span as decimal seconds without trailing zeros: `0.300536`, `2`, `0`.
pub fn decimal_seconds(micros: u64) -> String {
    let text = TimeValue::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)).dotted();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_numbers_are_milliseconds() {
        for (text, micros) in [
            ("0", 0),
            ("1", 1_000),
            ("20000", 20_000_000),
            ("-1", -1_000),
            ("1.5", 1_500),
            (".5", 500),
            (" 7 ", 7_000),
            ("500ms", 500_000),
            ("2s", 2_000_000),
            ("2 s", 2_000_000),
            ("1m", 60_000_000),
            ("1:500000", 1_500_000),
            ("250\u{3bc}s", 250),
        ] {
            assert_eq!(parse(text).map(TimeValue::as_micros), Ok(micros), "{text}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in ["", " ", "abc", "dummy", "5x", "0x10", "1e3", "100us", "1:2:3", "5min"] {
            let error = parse(text).expect_err(text);
            assert_eq!(error, Error::new(format!("expected time value but got \"{text}\"")));
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for (micros, text) in [
            (0, "0"),
            (5_000_000, "5000"),
            (500_000, "500"),
            (1_000_001, "1:1"),
            (1_500, "0:1500"),
            (-1_500, "-0:1500"),
        ] {
            let time = TimeValue::from_micros(micros);
            assert_eq!(print(time), text);
            assert_eq!(parse(text), Ok(time), "{text}");
        }
    }

    #[test]
    fn seconds_without_trailing_zeros() {
        assert_eq!(decimal_seconds(0), "0");
        assert_eq!(decimal_seconds(2_000_000), "2");
        assert_eq!(decimal_seconds(300_536), "0.300536");
        assert_eq!(decimal_seconds(10_500_000), "10.5");
    }
}
