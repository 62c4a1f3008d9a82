//! Names and texts of operating system errors, as Tcl itself spells them.
//!
//! A script compares `errorCode` words and messages with what Tcl's own
//! `socket` and `open` would give, so both are Tcl's and not the C library's:
//! errno 107 is "socket is not connected" here. Tcl 9 took over some of the C
//! library's texts; ours stay those of Tcl 8.6 under both, so that a script
//! sees one text.

use std::io;

/// Expands the table below to a function from an errno to its name and text.
macro_rules! table {
    ($($name:ident => $text:literal,)*) => {
        fn entry(errno: i32) -> Option<(&'static str, &'static str)> {
            match errno {
                $(libc::$name => Some((stringify!($name), $text)),)*
                _ => None,
            }
        }
    };
}

// `Tcl_ErrnoId` and `Tcl_ErrnoMsg` of Tcl 8.6.13 on Linux, all that it knows.
table! {
    EPERM => "not owner",
    ENOENT => "no such file or directory",
    ESRCH => "no such process",
    EINTR => "interrupted system call",
    EIO => "I/O error",
    ENXIO => "no such device or address",
    E2BIG => "argument list too long",
    ENOEXEC => "exec format error",
    EBADF => "bad file number",
    ECHILD => "no children",
    EAGAIN => "resource temporarily unavailable",
    ENOMEM => "not enough memory",
    EACCES => "permission denied",
    EFAULT => "bad address in system call argument",
    ENOTBLK => "block device required",
    EBUSY => "file busy",
    EEXIST => "file already exists",
    EXDEV => "cross-domain link",
    ENODEV => "no such device",
    ENOTDIR => "not a directory",
    EISDIR => "illegal operation on a directory",
    EINVAL => "invalid argument",
    ENFILE => "file table overflow",
    EMFILE => "too many open files",
    ENOTTY => "inappropriate device for ioctl",
    ETXTBSY => "text file or pseudo-device busy",
    EFBIG => "file too large",
    ENOSPC => "no space left on device",
    ESPIPE => "invalid seek",
    EROFS => "read-only file system",
    EMLINK => "too many links",
    EPIPE => "broken pipe",
    EDOM => "math argument out of range",
    ERANGE => "math result unrepresentable",
    EDEADLK => "resource deadlock avoided",
    ENAMETOOLONG => "file name too long",
    ENOLCK => "no locks available",
    ENOSYS => "function not implemented",
    ENOTEMPTY => "directory not empty",
    ELOOP => "too many levels of symbolic links",
    ENOMSG => "no message of desired type",
    EIDRM => "identifier removed",
    ECHRNG => "channel number out of range",
    EL2NSYNC => "level 2 not synchronized",
    EL3HLT => "level 3 halted",
    EL3RST => "level 3 reset",
    ELNRNG => "link number out of range",
    EUNATCH => "protocol driver not attached",
    ENOCSI => "no CSI structure available",
    EL2HLT => "level 2 halted",
    EBADE => "bad exchange descriptor",
    EBADR => "bad request descriptor",
    EXFULL => "message tables full",
    ENOANO => "anode table overflow",
    EBADRQC => "bad request code",
    EBADSLT => "invalid slot",
    EBFONT => "bad font file format",
    ENOSTR => "not a stream device",
    ENODATA => "no data available",
    ETIME => "timer expired",
    ENOSR => "out of stream resources",
    ENONET => "machine is not on the network",
    ENOPKG => "package not installed",
    EREMOTE => "pathname hit remote file system",
    ENOLINK => "link has been severed",
    EADV => "advertise error",
    ESRMNT => "srmount error",
    ECOMM => "communication error on send",
    EPROTO => "protocol error",
    EMULTIHOP => "multihop attempted",
    EDOTDOT => "cross mount point",
    EBADMSG => "not a data message",
    EOVERFLOW => "file too big",
    ENOTUNIQ => "name not unique on network",
    EBADFD => "file descriptor in bad state",
    EREMCHG => "remote address changed",
    ELIBACC => "cannot access a needed shared library",
    ELIBBAD => "accessing a corrupted shared library",
    ELIBSCN => ".lib section in a.out corrupted",
    ELIBMAX => "attempting to link in more shared libraries than system limit",
    ELIBEXEC => "cannot exec a shared library directly",
    EILSEQ => "illegal byte sequence",
    EUSERS => "too many users",
    ENOTSOCK => "socket operation on non-socket",
    EDESTADDRREQ => "destination address required",
    EMSGSIZE => "message too long",
    EPROTOTYPE => "protocol wrong type for socket",
    ENOPROTOOPT => "bad protocol option",
    EPROTONOSUPPORT => "protocol not supported",
    ESOCKTNOSUPPORT => "socket type not supported",
    ENOTSUP => "operation not supported",
    EPFNOSUPPORT => "protocol family not supported",
    EAFNOSUPPORT => "address family not supported by protocol",
    EADDRINUSE => "address already in use",
    EADDRNOTAVAIL => "cannot assign requested address",
    ENETDOWN => "network is down",
    ENETUNREACH => "network is unreachable",
    ENETRESET => "network dropped connection on reset",
    ECONNABORTED => "software caused connection abort",
    ECONNRESET => "connection reset by peer",
    ENOBUFS => "no buffer space available",
    EISCONN => "socket is already connected",
    ENOTCONN => "socket is not connected",
    ESHUTDOWN => "cannot send after socket shutdown",
    ETOOMANYREFS => "too many references: cannot splice",
    ETIMEDOUT => "connection timed out",
    ECONNREFUSED => "connection refused",
    EHOSTDOWN => "host is down",
    EHOSTUNREACH => "host is unreachable",
    EALREADY => "operation already in progress",
    EINPROGRESS => "operation now in progress",
    ESTALE => "stale remote file handle",
    EUCLEAN => "structure needs cleaning",
    ENOTNAM => "not a name file",
    ENAVAIL => "not available",
    EREMOTEIO => "remote i/o error",
    EDQUOT => "disk quota exceeded",
    ECANCELED => "operation canceled",
    EOWNERDEAD => "owner died",
    ENOTRECOVERABLE => "state not recoverable",
}

/// The symbolic name of `errno`, such as `EPIPE`; `unknown error` for a number
/// that Tcl has no name for.
pub fn name(errno: i32) -> String {
    entry(errno).map_or("unknown error", |(name, _)| name).to_string()
}

/// The text of `errno`, such as `broken pipe`. A number that Tcl has no text
/// for gets the C library's, in lower case at its beginning.
pub fn message(errno: i32) -> String {
    match entry(errno) {
        Some((_, text)) => text.to_string(),
        None => system_text(errno),
    }
}

/// The C library's text of `errno`, without the number that Rust adds.
fn system_text(errno: i32) -> String {
    let mut text = io::Error::from_raw_os_error(errno).to_string();
    if let Some(tail) = text.rfind(" (os error ") {
        text.truncate(tail);
    }
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_those_of_tcl() {
        for (errno, id, text) in [
            (libc::EPIPE, "EPIPE", "broken pipe"),
            (libc::ECONNRESET, "ECONNRESET", "connection reset by peer"),
            (libc::ENOTCONN, "ENOTCONN", "socket is not connected"),
            (libc::ECONNREFUSED, "ECONNREFUSED", "connection refused"),
            (libc::ENOENT, "ENOENT", "no such file or directory"),
            (libc::ENETUNREACH, "ENETUNREACH", "network is unreachable"),
            (libc::EHOSTUNREACH, "EHOSTUNREACH", "host is unreachable"),
            (libc::EMFILE, "EMFILE", "too many open files"),
            (libc::EADDRINUSE, "EADDRINUSE", "address already in use"),
            (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL", "cannot assign requested address"),
            (libc::EAGAIN, "EAGAIN", "resource temporarily unavailable"),
            (libc::EACCES, "EACCES", "permission denied"),
            (libc::ETIMEDOUT, "ETIMEDOUT", "connection timed out"),
            (libc::ECONNABORTED, "ECONNABORTED", "software caused connection abort"),
            (libc::EDEADLK, "EDEADLK", "resource deadlock avoided"),
            (libc::EIO, "EIO", "I/O error"),
        ] {
            assert_eq!((name(errno).as_str(), message(errno).as_str()), (id, text));
        }
    }

    #[test]
    fn a_number_without_an_entry_gets_the_c_librarys_text() {
        assert_eq!(name(libc::ENOKEY), "unknown error");
        assert_eq!(message(libc::ENOKEY), "required key not available");
        assert_eq!(name(9999), "unknown error");
        assert_eq!(message(9999), "unknown error 9999");
        assert_eq!(message(-1), "unknown error -1");
    }
}
