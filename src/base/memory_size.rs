//! Memory sizes as they stand in a configuration: `8KB`, `1.5 MiB`, `1024`.
//!
//! All units count by 1024, whatever they are called, as in the reference
//! (spec/support.md, memory size).

use super::{Error, Result};

/// Units, as they are told in an error, and bytes in one. Case does not matter.
const UNITS: [(&str, u64); 6] =
    [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30), ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30)];

/// The number of bytes that a text stands for.
///
/// # Errors
/// A malformed or negative number, an unknown unit, or a size beyond `i64::MAX`.
pub fn parse(text: &str) -> Result<u64> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = (&trimmed[..digits], trimmed[digits..].trim_start());
    let factor = match UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None if number.is_empty() => return Err(malformed(text)),
        None => {
            return Err(Error::new(format!(
                "invalid memory unit '{unit}'; valid units kB, MB, GB, KiB, MiB, and GiB"
            )))
        }
    };
    let bytes = match number.split_once('.') {
        None => number.parse::<u64>().ok().and_then(|whole| whole.checked_mul(factor)),
        Some((whole, _)) if !whole.is_empty() && number != "." => {
            // Whole bytes only: what is left of one is dropped.
            number.parse::<f64>().ok().map(|size| (size * factor as f64) as u64)
        }
        Some(_) => None,
    };
    bytes.filter(|&bytes| bytes <= i64::MAX as u64).ok_or_else(|| malformed(text))
}

fn malformed(text: &str) -> Error {
    Error::new(format!("invalid memory size: '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("8KB", 8192),
            ("10kB", 10_240),
            ("10KiB", 10_240),
            ("1MB", 1 << 20),
            ("1.5GB", 3 << 29),
            ("1.5 MiB", 3 << 19),
            (" 2 gb ", 2 << 30),
            ("0.5", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size() {
        for text in [
            "",
            "x",
            "-1",
            "MB",
            "1..5",
            ".",
            ".5MB",
            "1.5.2",
            "99999999999999999999",
            "9999999999GB",
            "1e3x y",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let message = parse("5foo").unwrap_err().message;
        assert_eq!(message, "invalid memory unit 'foo'; valid units kB, MB, GB, KiB, MiB, and GiB");
    }
}
