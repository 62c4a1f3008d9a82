//! The signal HUP as news: a thread that waits for it hears of it.

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the handler writes; -1 while nobody listens.
static WRITE_END: AtomicI32 = AtomicI32::new(-1);

extern "C" fn heard(_signal: libc::c_int) {
    // SAFETY: write(2) may be called in a handler; the byte is live, and the
    // descriptor is never closed. errno is put back for whoever was interrupted.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        libc::write(WRITE_END.load(Ordering::Relaxed), b"x".as_ptr().cast(), 1);
        *errno = saved;
    }
}

/// From now on HUP does not end the process: `tell` is called, in a thread of
/// its own; once for several that come at the same time. To be called once.
///
/// # Errors
/// There are no descriptors or threads left.
pub fn on_hangup(tell: impl Fn() + Send + 'static) -> io::Result<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    // A handler must not wait; what does not fit was told already.
    theirs.set_nonblocking(true)?;
    std::thread::Builder::new().spawn(move || {
        let mut news = [0; 64];
        while ours.read(&mut news).is_ok_and(|count| count > 0) {
            tell();
        }
    })?;
    WRITE_END.store(theirs.into_raw_fd(), Ordering::Relaxed);
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a sigaction of zero bytes is valid; its fields are set before it
    // is used, and the handler does only what handlers may.
    unsafe {
        let action = action.assume_init_mut();
        action.sa_sigaction = heard as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        match libc::sigaction(libc::SIGHUP, action, null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn each_signal_is_told() {
        let (sender, receiver) = mpsc::channel();
        on_hangup(move || {
            let _ = sender.send(());
        })
        .unwrap();
        for _ in 0..3 {
            // SAFETY: raise takes a plain number.
            assert_eq!(unsafe { libc::raise(libc::SIGHUP) }, 0);
            receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }
}
