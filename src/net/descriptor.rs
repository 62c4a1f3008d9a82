//! Descriptor numbers: keeping the low ones free, and the process's limit.
//!
//! Tcl 8.6 waits by select(2) and can watch no descriptor from 1,024 on; a
//! process that holds thousands of our sockets would leave none for its own
//! files, pipes and channels. So under 8.6 our sockets move up: `settle`
//! duplicates each to a number of 1,024 or more. The soft limit of open files
//! is raised to the hard one when, and only when, a socket needs it.

use crate::base::log;
use socket2::Socket;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Sockets go to numbers from this one on; 0 leaves them where they are.
static LOWEST: AtomicI32 = AtomicI32::new(0);

/// From now on keeps descriptors below `lowest` free of our sockets.
pub fn keep_free_below(lowest: i32) {
    LOWEST.store(lowest, Ordering::Relaxed);
}

/// Moves a fresh socket to a number that others do not need. When there is no
/// such number the socket stays where it is.
pub fn settle(socket: Socket) -> Socket {
    let lowest = LOWEST.load(Ordering::Relaxed);
    if lowest == 0 || socket.as_raw_fd() >= lowest {
        return socket;
    }
    duplicate_from(&socket, lowest)
        .or_else(|error| if raise_limit() { duplicate_from(&socket, lowest) } else { Err(error) })
        .unwrap_or(socket)
}

/// The same for a file that stays open for a while: one at such a number. `None` when it is there
/// already, or there is none.
pub fn settle_file(file: &File) -> Option<File> {
    let lowest = LOWEST.load(Ordering::Relaxed);
    if lowest == 0 || file.as_raw_fd() >= lowest {
        return None;
    }
    duplicate_from(file, lowest)
        .or_else(|error| if raise_limit() { duplicate_from(file, lowest) } else { Err(error) })
        .ok()
}

fn duplicate_from<T: AsRawFd + From<OwnedFd>>(what: &T, lowest: i32) -> io::Result<T> {
    // SAFETY: duplicates an open descriptor; no memory is involved.
    let fd = unsafe { libc::fcntl(what.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(T::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Raises the soft limit of open files to the hard one. False when it is
/// there already, or the system refuses.
pub fn raise_limit() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit fills the struct, setrlimit reads it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 || limit.rlim_cur >= limit.rlim_max {
            return false;
        }
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
            return false;
        }
    }
    log::write(log::DEBUG_CONNCHAN, &format!("limit of open files raised to {}", limit.rlim_cur));
    true
}

/// Whether an error says that no descriptor is left.
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Calls `make`, and once more after raising the limit when it failed for
/// lack of descriptors.
pub fn retry_at_limit<T>(mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    make().or_else(|error| {
        if error.raw_os_error() == Some(libc::EMFILE) && raise_limit() {
            make()
        } else {
            Err(error)
        }
    })
}
