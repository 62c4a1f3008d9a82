//! sendfile(2): bytes of a file to a socket, without passing through here.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Sends at most `count` bytes of `file` from `offset` on; how many went.
///
/// # Errors
/// That of the system; `UnexpectedEof` when the file has no byte there.
pub fn send_file(socket: RawFd, file: &File, offset: u64, count: u64) -> io::Result<u64> {
    let mut at = offset as libc::off_t;
    let count = count.min(0x7fff_f000) as usize;
    loop {
        // SAFETY: two open descriptors; the offset is a live variable.
        let sent = unsafe { libc::sendfile(socket, file.as_raw_fd(), &mut at, count) };
        match sent {
            0 if count > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            0.. => return Ok(sent as u64),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_part_of_a_file() {
        let path = std::env::temp_dir().join(format!("ns_connchan-send-{}", std::process::id()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"0123456789").unwrap();
        let (a, mut b) = UnixStream::pair().unwrap();
        assert_eq!(send_file(a.as_raw_fd(), &file, 3, 4).unwrap(), 4);
        assert_eq!(send_file(a.as_raw_fd(), &file, 8, 100).unwrap(), 2);
        let end = send_file(a.as_raw_fd(), &file, 10, 1).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        drop(a);
        let mut text = String::new();
        b.read_to_string(&mut text).unwrap();
        assert_eq!(text, "345689");
    }
}
