//! Waiting for sockets by poll(2), in the calling thread only, with deadlines
//! on the monotonic clock.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Data, end of file, or an error.
    Readable,
    /// Room to write, or an error.
    Writable,
}

/// Waits until `fd` is ready or `deadline` has passed (`None`: no deadline).
/// True when ready.
pub fn wait(fd: RawFd, direction: Direction, deadline: Option<Instant>) -> io::Result<bool> {
    wait_any(&[(fd, direction)], deadline)
}

/// Waits until one of `fds` is ready or `deadline` has passed. True when one is.
pub fn wait_any(fds: &[(RawFd, Direction)], deadline: Option<Instant>) -> io::Result<bool> {
    let events = |direction| match direction {
        Direction::Readable => libc::POLLIN,
        Direction::Writable => libc::POLLOUT,
    };
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|&(fd, direction)| libc::pollfd { fd, events: events(direction), revents: 0 })
        .collect();
    loop {
        let timeout = match deadline {
            None => -1,
            Some(deadline) => millis_up(deadline.saturating_duration_since(Instant::now())),
        };
        // SAFETY: pointer and length describe `polled`.
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
        match ready {
            0 if deadline.is_none_or(|d| Instant::now() < d) => continue, // woke early
            0 => return Ok(false),
            n if n > 0 => return Ok(true),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Whether data, end of file or an error waits at `fd` right now.
pub fn is_readable(fd: RawFd) -> bool {
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd; a timeout of 0 does not wait.
    unsafe { libc::poll(&mut polled, 1, 0) > 0 }
}

/// Milliseconds for poll(2), rounded up so that it never wakes too early.
fn millis_up(duration: Duration) -> libc::c_int {
    duration.as_nanos().div_ceil(1_000_000).min(libc::c_int::MAX as u128) as libc::c_int
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn deadlines_round_up() {
        assert_eq!(millis_up(Duration::ZERO), 0);
        assert_eq!(millis_up(Duration::from_nanos(1)), 1);
        assert_eq!(millis_up(Duration::from_micros(1500)), 2);
        assert_eq!(millis_up(Duration::MAX), libc::c_int::MAX);
    }

    #[test]
    fn tells_ready_from_expired() {
        let (a, mut b) = UnixStream::pair().unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(5));
        assert!(!wait(a.as_raw_fd(), Direction::Readable, soon()).unwrap());
        assert!(wait(a.as_raw_fd(), Direction::Writable, soon()).unwrap());
        assert!(!is_readable(a.as_raw_fd()));
        b.write_all(b"x").unwrap();
        assert!(wait(a.as_raw_fd(), Direction::Readable, None).unwrap());
        assert!(is_readable(a.as_raw_fd()));
    }
}
