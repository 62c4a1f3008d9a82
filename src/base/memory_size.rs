//! Sizes of memory as scripts write them: `10kB`, `1.5GB` (spec/support.md 2.2).

use super::{Error, Result};

/// The units; all are powers of 1024.
const UNITS: [(&str, u32); 6] = [("kB", 10), ("KiB", 10), ("MB", 20), ("MiB", 20), ("GB", 30), ("GiB", 30)];

/// The number of bytes.
///
/// # Errors
/// An unknown unit, a text that does not begin with a number, or a size that
/// does not fit.
pub fn parse(text: &str) -> Result<i64> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = unit.trim_start();
    let no_size = || Error::new(format!("expected memory size but got \"{text}\""));
    let value: f64 = number.parse().map_err(|_| no_size())?;
    let shift = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, shift)) => *shift,
        None if unit.is_empty() => 0,
        None => {
            let message = format!("invalid memory unit '{unit}'; valid units kB, MB, GB, KiB, MiB, and GiB");
            return Err(Error::new(message));
        }
    };
    let bytes = value * f64::from(1u32 << shift);
    // Beyond this a float does not count single bytes.
    if !(0.0..9e15).contains(&bytes) {
        return Err(no_size());
    }
    Ok(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("10", 10),
            ("10kB", 10_240),
            ("10KiB", 10_240),
            ("1MB", 1 << 20),
            ("1.5GB", 3 << 29),
            ("2 MiB", 2 << 20),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        let unit = "invalid memory unit 'foo'; valid units kB, MB, GB, KiB, MiB, and GiB";
        assert_eq!(parse("1foo"), Err(Error::new(unit)));
        for text in ["", "x", "-1", "1.2.3", "kB", "9999999999GB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
