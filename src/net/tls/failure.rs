//! What goes wrong in a session, and its words (spec/ns_connchan.md 4.1, 7.4).

use crate::base::{errno, Error};
use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, SslRef};
use openssl::x509::X509VerifyResult;
use std::io;

/// Library and reason of "unexpected eof while reading": ERR_LIB_SSL, and
/// SSL_R_UNEXPECTED_EOF_WHILE_READING.
const UNEXPECTED_EOF: (i32, i32) = (20, 294);

/// Why a session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The connection below: an errno.
    Os(i32),
    /// The protocol, in OpenSSL's words: the code as `error:0A00010B:SSL
    /// routines::wrong version number`, and the reason alone.
    Protocol {
        /// The whole line.
        code: String,
        /// The reason.
        reason: String,
    },
    /// The peer's certificate was refused.
    Verify {
        /// The line that OpenSSL has for it.
        code: String,
        /// The number of the X.509 reason (X509_V_ERR_...).
        number: i32,
        /// The reason in words.
        text: String,
    },
}

impl Failure {
    /// The failure behind an error that is neither a wish to wait nor an end.
    pub(super) fn of(error: openssl::ssl::Error, ssl: &SslRef) -> Failure {
        if let Some(os) = error.io_error() {
            return Failure::Os(os.raw_os_error().unwrap_or(libc::EIO));
        }
        // Since OpenSSL 3.2 the errno of a failed write is in the error queue.
        const SYSTEM: u64 = 0x8000_0000;
        let system = error.ssl_error().and_then(|stack| stack.errors().first()).map(|e| e.code());
        if let Some(code) = system.filter(|code| code & SYSTEM != 0) {
            return Failure::Os((code & !SYSTEM) as i32);
        }
        let verdict = ssl.verify_result();
        let code = error.ssl_error().map(first_line);
        let refused = error.ssl_error().is_some_and(|stack| {
            stack.errors().iter().any(|e| e.reason().is_some_and(|r| r == "certificate verify failed"))
        });
        match code {
            Some(code) if refused && verdict != X509VerifyResult::OK => {
                Failure::Verify { code, number: verdict.as_raw(), text: verdict.error_string().to_owned() }
            }
            Some(code) => Failure::Protocol { reason: reason_of(&code), code },
            // The peer closed the connection, or reset it, in the handshake.
            None => {
                let code = "error:0A000126:SSL routines::unexpected eof while reading".to_owned();
                Failure::Protocol { reason: reason_of(&code), code }
            }
        }
    }

    /// The error of a failed handshake; `what` is `connect` or `accept`.
    pub fn of_handshake(&self, what: &str) -> Error {
        match self {
            Failure::Os(errno) => {
                Error::posix(format!("ssl {what} failed: {}", errno::message(*errno)), *errno)
            }
            Failure::Protocol { code, .. } => {
                Error::with_code(format!("ssl {what} failed: {code}"), &["OPENSSL", code])
            }
            Failure::Verify { code, number, text } => Error::with_code(
                format!("ssl {what} failed: {code} (reason {number}: {text})"),
                &["TLS", "VERIFY", symbol(*number), text],
            ),
        }
    }

    /// The error of a read or write; `prefix` stands before the reason.
    pub fn of_transfer(&self, prefix: &str) -> Error {
        match self {
            Failure::Os(errno) => Error::posix(format!("{prefix}{}", errno::message(*errno)), *errno),
            Failure::Protocol { code, reason } => {
                Error::with_code(format!("{prefix}{reason}"), &["OPENSSL", code])
            }
            Failure::Verify { .. } => {
                let error = self.of_handshake("read");
                Error { message: format!("{prefix}{}", error.message), code: error.code }
            }
        }
    }

    /// The errno under which `status` shows it.
    pub fn errno(&self) -> i32 {
        match self {
            Failure::Os(errno) => *errno,
            Failure::Protocol { .. } | Failure::Verify { .. } => libc::EPROTO,
        }
    }
}

/// Whether an error is a connection that ended without close_notify.
pub(super) fn is_truncation(error: &openssl::ssl::Error) -> bool {
    match error.code() {
        ErrorCode::SYSCALL => error.io_error().is_none() && error.ssl_error().is_none(),
        ErrorCode::SSL => error.ssl_error().is_some_and(|stack| {
            stack.errors().iter().any(|e| (e.library_code(), e.reason_code()) == UNEXPECTED_EOF)
        }),
        _ => false,
    }
}

/// The oldest error of a stack, as ERR_error_string(3) writes it.
pub(super) fn first_line(stack: &ErrorStack) -> String {
    let Some(error) = stack.errors().first() else { return "error:00000000:lib(0)::reason(0)".to_owned() };
    let code = error.code();
    // In OpenSSL 3 the top bit says that the rest is an errno.
    const SYSTEM: u64 = 0x8000_0000;
    #[allow(clippy::unnecessary_cast)] // c_ulong differs between systems
    let code = code as u64;
    if code & SYSTEM != 0 {
        return system_line((code & !SYSTEM) as i32);
    }
    format!(
        "error:{code:08X}:{}::{}",
        error.library().unwrap_or("lib(0)"),
        error.reason().unwrap_or("reason(0)")
    )
}

/// An errno as OpenSSL writes it.
pub(super) fn system_line(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_owned();
    format!("error:{:08X}:system library::{text}", 0x8000_0000_u32 | errno as u32)
}

/// What stands behind the last colon.
fn reason_of(line: &str) -> String {
    line.rsplit_once("::").map_or(line, |(_, reason)| reason).to_owned()
}

/// A word for the reasons that scripts tell apart, from the X509_V_ERR_...
/// numbers of X509_STORE_CTX_get_error(3).
fn symbol(number: i32) -> &'static str {
    match number {
        9 => "NOTYETVALID",
        10 => "EXPIRED",
        18 => "SELFSIGNED",
        2 | 19 | 20 | 21 | 27 => "UNKNOWNCA",
        23 => "REVOKED",
        62..=64 => "HOSTNAME",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_look_like_openssls() {
        assert_eq!(system_line(libc::ENOENT), "error:80000002:system library::No such file or directory");
    }

    #[test]
    fn failures_have_message_and_code() {
        let code = "error:0A00010B:SSL routines::wrong version number".to_owned();
        let failure = Failure::Protocol { reason: reason_of(&code), code: code.clone() };
        let error = failure.of_transfer("");
        assert_eq!(error.message, "wrong version number");
        assert_eq!(error.code, ["OPENSSL", &code]);
        assert_eq!(failure.of_handshake("connect").message, format!("ssl connect failed: {code}"));

        let code = "error:0A000086:SSL routines::certificate verify failed".to_owned();
        let failure = Failure::Verify { code, number: 10, text: "certificate has expired".into() };
        let error = failure.of_handshake("connect");
        assert!(error.message.ends_with("(reason 10: certificate has expired)"), "{}", error.message);
        assert_eq!(error.code, ["TLS", "VERIFY", "EXPIRED", "certificate has expired"]);
        assert_eq!(Failure::Os(libc::EPIPE).of_transfer("x: ").code[1], "EPIPE");
    }
}
