//! HTTP dates (RFC 9110, section 5.6.7): the one form that is sent, and the
//! three that are understood.
//!
//! Times are whole seconds since 1970 in UTC. The calendar is the proleptic
//! Gregorian one, computed here: no time zone and no locale takes part.

/// Bytes of a date as it is sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const LENGTH: usize = 29;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The last second that four digits of a year can name.
const LAST: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

/// The time as `IMF-fixdate`. Times before 1970 and after 9999 become the first
/// and the last that can be told.
pub fn format(seconds: i64) -> [u8; LENGTH] {
    let seconds = seconds.clamp(0, LAST);
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days);
    let mut text = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(days + 4) as usize % 7].as_bytes());
    two_digits(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1].as_bytes());
    two_digits(&mut text[12..14], year / 100);
    two_digits(&mut text[14..16], year % 100);
    two_digits(&mut text[17..19], rest / 3600);
    two_digits(&mut text[20..22], rest / 60 % 60);
    two_digits(&mut text[23..25], rest % 60);
    text
}

/// As [`format`], as a string.
pub fn text(seconds: i64) -> String {
    format(seconds).iter().map(|&byte| char::from(byte)).collect()
}

/// The time that a date names, in any of the three forms. `now` decides on the
/// century of a year of two digits: a date that seems to be more than 50 years
/// ahead is one of the past.
///
/// `None` for whatever is no date; RFC 9110 wants the field ignored then.
pub fn parse(text: &str, now: i64) -> Option<i64> {
    let text = text.trim_matches([' ', '\t']);
    match text.split_once(", ") {
        Some((day, rest)) if DAYS.contains(&day) => fixdate(rest),
        Some((day, rest)) if LONG_DAYS.contains(&day) => rfc850(rest, now),
        Some(_) => None,
        None => asctime(text),
    }
}

/// `06 Nov 1994 08:49:37 GMT`.
fn fixdate(text: &str) -> Option<i64> {
    let mut words = text.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let time = words.next()?;
    if words.next()? != "GMT" || words.next().is_some() {
        return None;
    }
    seconds(number(year, 4)?, month, number(day, 2)?, time)
}

/// `06-Nov-94 08:49:37 GMT`.
fn rfc850(text: &str, now: i64) -> Option<i64> {
    let mut words = text.split(' ');
    let mut date = words.next()?.split('-');
    let (day, month, year) = (date.next()?, date.next()?, date.next()?);
    let time = words.next()?;
    if date.next().is_some() || words.next()? != "GMT" || words.next().is_some() {
        return None;
    }
    let this_year = civil(now.clamp(0, LAST) / DAY).0;
    let mut year = this_year - this_year % 100 + number(year, 2)?;
    if year > this_year + 50 {
        year -= 100;
    }
    seconds(year, month, number(day, 2)?, time)
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(text: &str) -> Option<i64> {
    let (weekday, rest) = text.split_once(' ')?;
    let (month, rest) = rest.split_once(' ')?;
    let (day, rest) = rest.split_at_checked(2)?;
    let mut words = rest.strip_prefix(' ')?.split(' ');
    let (time, year) = (words.next()?, words.next()?);
    if !DAYS.contains(&weekday) || words.next().is_some() {
        return None;
    }
    let day = match day.strip_prefix(' ') {
        Some(digit) => number(digit, 1)?,
        None => number(day, 2)?,
    };
    seconds(number(year, 4)?, month, day, time)
}

/// The time of a date and `08:49:37`. A leap second counts as the one before.
fn seconds(year: i64, month: &str, day: i64, time: &str) -> Option<i64> {
    let month = MONTHS.iter().position(|&name| name == month)? as i64 + 1;
    let mut parts = time.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = number(parts.next()?, 2)?;
    let valid = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    if !valid || day < 1 || day > days_in(year, month) {
        return None;
    }
    Some(days_since_1970(year, month, day) * DAY + hour * 3600 + minute * 60 + second.min(59))
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn two_digits(place: &mut [u8], value: i64) {
    place[0] = b'0' + (value / 10 % 10) as u8;
    place[1] = b'0' + (value % 10) as u8;
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date. Years are counted from March, so that the
/// leap day is their last one; 400 of them have 146,097 days.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_309_096; // Sun, 22 Nov 2026 00:58:16 GMT

    #[test]
    fn dates_that_are_known() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_700_000_000, "Tue, 14 Nov 2023 22:13:20 GMT"),
            (NOW, "Sun, 22 Nov 2026 00:58:16 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(text(seconds), date);
            assert_eq!(parse(date, NOW), Some(seconds), "{date}");
        }
    }

    #[test]
    fn every_day_comes_back() {
        let mut seconds = 12_345;
        while seconds < 200 * 366 * DAY {
            assert_eq!(parse(&text(seconds), NOW), Some(seconds));
            seconds += DAY + 1;
        }
    }

    #[test]
    fn what_no_date_can_tell_is_clamped() {
        assert_eq!(text(-1), text(0));
        assert_eq!(text(i64::MIN), text(0));
        assert_eq!(text(i64::MAX), text(LAST));
    }

    #[test]
    fn obsolete_forms_are_understood() {
        assert_eq!(parse("Sunday, 06-Nov-94 08:49:37 GMT", NOW), Some(784_111_777));
        assert_eq!(parse("Sun Nov  6 08:49:37 1994", NOW), Some(784_111_777));
        assert_eq!(parse("Tuesday, 14-Nov-23 22:13:20 GMT", NOW), Some(1_700_000_000));
        assert_eq!(parse("Tue Nov 14 22:13:20 2023", NOW), Some(1_700_000_000));
        // Fifty years ahead is still ahead, fifty-one is past.
        assert_eq!(
            text(parse("Sunday, 01-Jan-76 00:00:00 GMT", NOW).unwrap()),
            "Wed, 01 Jan 2076 00:00:00 GMT"
        );
        assert_eq!(
            text(parse("Sunday, 01-Jan-77 00:00:00 GMT", NOW).unwrap()),
            "Sat, 01 Jan 1977 00:00:00 GMT"
        );
    }

    #[test]
    fn a_leap_second_is_no_fault() {
        assert_eq!(parse("Sat, 31 Dec 2016 23:59:60 GMT", NOW), parse("Sat, 31 Dec 2016 23:59:59 GMT", NOW));
    }

    #[test]
    fn anything_else_is_no_date() {
        for text in [
            "",
            "0",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT; length=10",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Foo, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
            "Sun Növ  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }
}
