//! Receiving straight into memory that nobody has filled in before.
//!
//! A `Body` is such memory. What `receive` or `copy` has put there is proven
//! by a `Filled`, which nothing else can make; so a body can count on it.

use socket2::Socket;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// Memory of a known size that is filled from its beginning to its end.
pub trait Body: Sized {
    /// Room for `length` bytes; `None` when there is no memory.
    fn with_length(length: usize) -> Option<Self>;
    /// The part that is not filled yet.
    fn spare(&mut self) -> &mut [MaybeUninit<u8>];
    /// Takes note of what was put at the beginning of the spare part.
    fn accept(&mut self, filled: Filled);
}

/// Bytes that were put somewhere: where they begin, and how many.
#[derive(Debug)]
pub struct Filled {
    start: *const u8,
    length: usize,
}

impl Filled {
    /// How many bytes begin at `start`.
    ///
    /// # Panics
    /// When they are not there: it was made for something else.
    pub fn at(&self, start: *const u8) -> usize {
        assert!(self.length == 0 || std::ptr::eq(start, self.start), "bytes of another buffer");
        self.length
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Reads what there is at a descriptor (waiting for it, unless that is not to
/// be), into `spare`. Nothing means the end of the stream.
pub fn read(fd: &impl AsRawFd, spare: &mut [MaybeUninit<u8>]) -> io::Result<Filled> {
    // SAFETY: pointer and length are those of `spare`.
    fill(spare, |start, length| unsafe { libc::read(fd.as_raw_fd(), start, length) })
}

/// The same without waiting, of a socket.
pub fn receive(socket: &Socket, spare: &mut [MaybeUninit<u8>]) -> io::Result<Filled> {
    let fd = socket.as_raw_fd();
    // SAFETY: pointer and length are those of `spare`.
    fill(spare, |start, length| unsafe { libc::recv(fd, start, length, libc::MSG_DONTWAIT) })
}

/// Calls `call`, which puts something at the beginning of `spare` and returns
/// how much, until it is not interrupted.
fn fill(
    spare: &mut [MaybeUninit<u8>],
    call: impl Fn(*mut libc::c_void, usize) -> isize,
) -> io::Result<Filled> {
    loop {
        let n = call(spare.as_mut_ptr().cast(), spare.len());
        if let Ok(length) = usize::try_from(n) {
            return Ok(Filled { start: spare.as_ptr().cast(), length });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Copies as much of `bytes` as there is room for.
pub fn copy(bytes: &[u8], spare: &mut [MaybeUninit<u8>]) -> Filled {
    let length = bytes.len().min(spare.len());
    // SAFETY: both are at least so long, and borrowed apart.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), spare.as_mut_ptr().cast(), length) };
    Filled { start: spare.as_ptr().cast(), length }
}

impl Body for Vec<u8> {
    fn with_length(length: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).ok()?;
        // A vector may have got more than it asked for.
        bytes.truncate(length);
        Some(bytes)
    }

    fn spare(&mut self) -> &mut [MaybeUninit<u8>] {
        self.spare_capacity_mut()
    }

    fn accept(&mut self, filled: Filled) {
        let count = filled.at(self.spare_capacity_mut().as_ptr().cast());
        // SAFETY: so many bytes behind the present ones have been filled in.
        unsafe { self.set_len(self.len() + count) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn pieces_are_put_together() {
        let (ours, mut theirs) = super::super::process::socket_pair().unwrap();
        let mut bytes = Vec::with_length(10).unwrap();
        let filled = copy(b"head:", bytes.spare());
        bytes.accept(filled);
        theirs.write_all(b"body").unwrap();
        let filled = read(&ours, bytes.spare()).unwrap();
        assert_eq!(filled.len(), 4);
        bytes.accept(filled);
        assert_eq!(bytes, b"head:body");
        let error = receive(&ours, bytes.spare()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(theirs);
        assert!(read(&ours, &mut [MaybeUninit::uninit(); 4]).unwrap().is_empty());
    }

    #[test]
    #[should_panic(expected = "another buffer")]
    fn bytes_of_another_buffer_are_no_proof() {
        let mut other = Vec::with_length(3).unwrap();
        let filled = copy(b"abc", other.spare());
        Vec::with_length(3).unwrap().accept(filled);
    }
}
