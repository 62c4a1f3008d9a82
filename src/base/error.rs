//! The one error type of the library: a message and a Tcl `errorCode`.
//!
//! Layers that know nothing of Tcl (`net`, `http`, `websocket`, `connchan`)
//! make these; `tcl` turns them into an interpreter's result. The words of a
//! code become the elements of the `errorCode` list.

use super::errno;
use std::fmt;

/// Shorthand for results of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// An error as a script sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What `catch` puts into its variable.
    pub message: String,
    /// The elements of `errorCode`; empty means `NONE`.
    pub code: Vec<String>,
}

/// How the message of a usage error begins.
const USAGE: &str = "wrong # args: should be \"";

impl Error {
    /// An error with errorCode `NONE`.
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), code: Vec::new() }
    }

    /// An error whose errorCode is the list of `words`.
    pub fn with_code(message: impl Into<String>, words: &[&str]) -> Error {
        Error { message: message.into(), code: words.iter().map(|w| w.to_string()).collect() }
    }

    /// The usage error of a command; `usage` is the text between the quotes.
    pub fn usage(usage: &str) -> Error {
        Error::with_code(format!("{USAGE}{usage}\""), &["TCL", "WRONGARGS"])
    }

    /// What `usage` was given, if it has made this.
    pub fn usage_text(&self) -> Option<&str> {
        let is_usage = self.code == ["TCL", "WRONGARGS"];
        self.message.strip_prefix(USAGE).filter(|_| is_usage)?.strip_suffix('"')
    }

    /// An operating system error: `message` as given, errorCode
    /// `POSIX EPIPE {broken pipe}` and the like.
    pub fn posix(message: impl Into<String>, errno: i32) -> Error {
        Error::with_code(message, &["POSIX", &errno::name(errno), &errno::message(errno)])
    }

    /// An expired deadline: errorCode is the single word `NS_TIMEOUT`.
    pub fn timeout(message: impl Into<String>) -> Error {
        Error::with_code(message, &["NS_TIMEOUT"])
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
