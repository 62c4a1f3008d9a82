//! Questions to the C library that the standard library has no answer for: the
//! local time and its text, the kernel's thread number, signals to other
//! processes, the names of addresses and of this machine, and where this library's
//! file is.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
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

/// What `tm` holds: seconds, minutes, hours, day of the month, month from 0,
/// years since 1900, day of the week from Sunday, day of the year from 0, and
/// whether it is summer time. `None` for a time beyond all years.
pub fn calendar(secs: i64, local: bool) -> Option<[i32; 9]> {
    let tm = broken_down(secs, local)?;
    Some([
        tm.tm_sec,
        tm.tm_min,
        tm.tm_hour,
        tm.tm_mday,
        tm.tm_mon,
        tm.tm_year,
        tm.tm_wday,
        tm.tm_yday,
        tm.tm_isdst,
    ])
}

fn broken_down(secs: i64, local: bool) -> Option<libc::tm> {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live variables of the types asked for.
    let filled = unsafe {
        if local {
            libc::localtime_r(&secs, parts.as_mut_ptr())
        } else {
            libc::gmtime_r(&secs, parts.as_mut_ptr())
        }
    };
    // SAFETY: a `tm` of zero bytes is valid, and the call has filled it in.
    (!filled.is_null()).then(|| unsafe { parts.assume_init() })
}

/// The local time as text by a format of strftime. `None` when the time is
/// beyond all years, the format holds a NUL, or the text is longer than 4 KiB.
pub fn format_local_time(secs: i64, format: &str) -> Option<Vec<u8>> {
    if format.is_empty() {
        return Some(Vec::new());
    }
    let tm = broken_down(secs, true)?;
    // With a byte in front an empty text can be told from one that is too long.
    let format = CString::new(format!(" {format}")).ok()?;
    let mut text = vec![0u8; 4096];
    // SAFETY: the buffer has the length that is told; format and tm are live.
    let length = unsafe { libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &tm) };
    text.truncate(length);
    (length > 0).then(|| text.split_off(1))
}

/// Sends a signal to a process.
///
/// # Errors
/// The system's: no such process, no permission, no such signal.
pub fn send_signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes plain numbers and touches no memory of ours.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The name of an address, by the resolver. Waits for it. `None` when it has
/// none.
pub fn name_of_address(address: IpAddr) -> Option<String> {
    let address = socket2::SockAddr::from(std::net::SocketAddr::new(address, 0));
    let mut name = [0u8; libc::NI_MAXHOST as usize];
    // SAFETY: address and buffer are live and have the lengths that are told.
    let status = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            name.as_mut_ptr().cast(),
            name.len() as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    let length = name.iter().position(|byte| *byte == 0)?;
    (status == 0).then(|| String::from_utf8_lossy(&name[..length]).into_owned())
}

/// The first time after `secs` (seconds since 1970) at which local clocks show
/// this hour and minute, on this day of the week (0 is Sunday) if one is given.
/// A time that the change to summer time skips is that of the clock before it.
pub fn next_local_time(secs: i64, weekday: Option<u8>, hour: u8, minute: u8) -> i64 {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: as in `local_time`; a `tm` of zero bytes is valid.
    let today = unsafe {
        libc::localtime_r(&secs, parts.as_mut_ptr());
        parts.assume_init()
    };
    // Eight days: today's time may be over, on the only day of the week.
    for days in 0..=8 {
        let mut tm = libc::tm {
            tm_sec: 0,
            tm_min: i32::from(minute),
            tm_hour: i32::from(hour),
            tm_mday: today.tm_mday + days,
            tm_mon: today.tm_mon,
            tm_year: today.tm_year,
            tm_isdst: -1,
            ..today
        };
        // SAFETY: a live `tm`, whose fields mktime puts into their ranges.
        let at = unsafe { libc::mktime(&mut tm) };
        if at > secs && weekday.is_none_or(|day| i32::from(day) == tm.tm_wday) {
            return at;
        }
    }
    secs + 86_400
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

/// The name of this machine.
pub fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: pointer and length describe `name`, which ends in NUL whatever
    // happens, since its last byte is not offered.
    unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&name[..end]).into_owned()
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
    fn the_next_time_of_the_day_is_within_a_day_and_of_the_week_within_a_week() {
        let now = 1_795_309_096;
        for hour in [0, 11, 23] {
            let at = next_local_time(now, None, hour, 30);
            assert!(at > now && at <= now + 90_000, "{hour}: {at}");
            let (_, _, _, own_hour, own_minute, second) = local_time(at);
            assert_eq!((own_hour, own_minute, second), (i32::from(hour), 30, 0));
            assert!(next_local_time(at, None, hour, 30) > at);
        }
        let days: Vec<i64> = (0..7).map(|day| next_local_time(now, Some(day), 12, 0)).collect();
        assert!(days.iter().all(|at| *at > now && *at <= now + 8 * 86_400));
        let mut different = days.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 7);
    }

    #[test]
    fn threads_differ() {
        let here = thread_id();
        let there = std::thread::spawn(thread_id).join().expect("the thread only asks its number");
        assert!(here > 0 && there > 0 && here != there);
    }

    #[test]
    fn calendars() {
        assert_eq!(calendar(0, false), Some([0, 0, 0, 1, 0, 70, 4, 0, 0]));
        assert_eq!(calendar(i64::MAX, false), None);
    }

    #[test]
    fn local_time_as_text() {
        assert_eq!(format_local_time(0, ""), Some(Vec::new()));
        assert_eq!(format_local_time(0, "%%"), Some(b"%".to_vec()));
        assert_eq!(format_local_time(1_795_309_096, "%Y"), Some(b"2026".to_vec()));
        assert_eq!(format_local_time(0, &"%Y".repeat(2000)), None);
    }

    #[test]
    fn signals() {
        assert!(send_signal(std::process::id() as i32, 0).is_ok());
        assert!(send_signal(std::process::id() as i32, 9999).is_err());
    }
}
