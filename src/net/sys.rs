//! Questions to the C library that the standard library has no answer for: the
//! local time, the kernel's thread number, and where this library's file is.

use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

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

/// The file that this code was loaded from, as an absolute path.
pub fn library_file() -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let address: *const libc::c_void = (library_file as fn() -> Option<PathBuf>) as *const libc::c_void;
    // SAFETY: any address may be asked for; `info` is filled in when it is known.
    let known = unsafe { libc::dladdr(address, info.as_mut_ptr()) } != 0;
    // SAFETY: zeroes are valid, and dladdr has filled it in if it said so.
    let name = unsafe { info.assume_init() }.dli_fname;
    if !known || name.is_null() {
        return None;
    }
    // SAFETY: a string that lives as long as the library is loaded.
    let name = unsafe { CStr::from_ptr(name) };
    std::path::absolute(OsStr::from_bytes(name.to_bytes())).ok()
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
    fn the_own_file_is_known() {
        assert!(library_file().is_some_and(|file| file.is_absolute() && file.exists()));
    }

    #[test]
    fn threads_differ() {
        let here = thread_id();
        let there = std::thread::spawn(thread_id).join().expect("the thread only asks its number");
        assert!(here > 0 && there > 0 && here != there);
    }
}
