//! The two questions to the C library that the log asks and the standard
//! library has no answer for: the local time and the kernel's thread number.

use std::mem::MaybeUninit;

/// The local time of a point in time given as seconds since 1970: year, month
/// (January is 0), day of the month, hour, minute, second.
///
/// A year that does not fit the C library's numbers gives the epoch's date.
pub fn local_time(secs: i64) -> (i32, i32, i32, i32, i32, i32) {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live variables of the types asked for.
    let filled = unsafe { libc::localtime_r(&secs, parts.as_mut_ptr()) };
    if filled.is_null() {
        return (1970, 0, 1, 0, 0, 0);
    }
    // SAFETY: a `tm` of zero bytes is valid, and localtime_r has filled it in.
    let tm = unsafe { parts.assume_init() };
    (tm.tm_year + 1900, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec)
}

/// The kernel's number of the calling thread; of a process's first thread it is
/// the process id.
pub fn thread_id() -> i64 {
    // SAFETY: gettid takes nothing, cannot fail and touches no memory of ours.
    i64::from(unsafe { libc::gettid() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_is_within_a_day_of_utc() {
        let (year, month, day, ..) = local_time(1_795_309_096); // 22 Nov 2026 UTC
        assert_eq!((year, month), (2026, 10));
        assert!((21..=23).contains(&day), "{day}");
    }

    #[test]
    fn a_time_beyond_all_years_is_answered() {
        assert_eq!(local_time(i64::MAX), (1970, 0, 1, 0, 0, 0));
    }

    #[test]
    fn threads_differ() {
        let here = thread_id();
        let there = std::thread::spawn(thread_id).join().expect("the thread only asks its number");
        assert!(here > 0 && there > 0 && here != there);
    }
}
