//! Dates of HTTP (RFC 9110, 5.6.7) and the calendar behind them.

use crate::base::{Error, Result};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;

/// Days since 1970 of a date in the Gregorian calendar (months from 1), by
/// counting in years that begin in March: the leap day is then the last one.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date, months from 1, of so many days since 1970.
fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = (shifted + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Seconds since 1970 as the date of a header: `Thu, 01 Jan 1970 00:00:00 GMT`.
pub fn format(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date_from_days(days);
    let weekday = DAYS[(days + 4).rem_euclid(7) as usize];
    let month = MONTHS[(month - 1) as usize];
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// The seconds since 1970 of a date in that form; the day of the week is not
/// held against the date.
///
/// # Errors
/// `invalid time: ...`.
pub fn parse(text: &str) -> Result<i64> {
    seconds(text.trim()).ok_or_else(|| Error::new(format!("invalid time: {text}")))
}

fn seconds(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let &[weekday, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    DAYS.iter().find(|name| weekday.strip_suffix(',') == Some(**name))?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let number = |text: &str, digits: usize, most: i64| {
        let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| fits && *number <= most)
    };
    let year: i64 = number(year, 4, 9999)?;
    let day = number(day, 2, 31).filter(|day| *day > 0)?;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>().try_into().ok()?;
    // A leap second may be written.
    let (hour, minute, second) = (number(hour, 2, 23)?, number(minute, 2, 59)?, number(second, 2, 60)?);
    let days = days_from_date(year, month, day);
    // 31 February and its like become another date.
    (date_from_days(days) == (year, month, day)).then_some(days * DAY + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_309_096, "Sun, 22 Nov 2026 00:58:16 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        ] {
            assert_eq!(format(seconds), text);
            assert_eq!(parse(text), Ok(seconds));
        }
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = date_from_days(days);
            assert_eq!(days_from_date(year, month, day), days);
        }
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "0",
            "Thu, 01 Jan 1970",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Thu, 31 Feb 1970 00:00:00 GMT",
            "Thu, 01 Foo 1970 00:00:00 GMT",
            "Thu, 01 Jan 1970 24:00:00 GMT",
            "Thu, 1 Jan 1970 00:00:00 GMT",
            "Thu, 01 Jan 1970 00:00:00 CET",
            "Thu 01 Jan 1970 00:00:00 GMT",
        ] {
            assert_eq!(parse(text), Err(Error::new(format!("invalid time: {text}"))));
        }
    }
}
