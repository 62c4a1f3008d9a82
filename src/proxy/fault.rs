//! What can go wrong between two processes: the errorCodes `NSPROXY ...` and
//! the messages that go with them (spec/ns_proxy.md section 4).

use crate::base::Error;
use std::io;

/// A failure, named as in errorCode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A script was sent and its result not yet received.
    Busy,
    /// There is no process.
    Dead,
    /// Handles of the pool are owned already.
    Deadlock,
    /// The program could not be started.
    Exec,
    /// No handle became free in time.
    GetTimeout,
    /// No script was sent.
    Idle,
    /// The answer was malformed.
    Import,
    /// The init script failed.
    Init,
    /// More handles were asked for than the pool has.
    Range,
    /// The answer did not come, or not whole.
    Recv,
    /// The script could not be sent.
    Send,
    /// The result was not waited for.
    NoWait,
    /// The result did not come in time.
    EvalTimeout,
}

/// How much of a script stands in a message.
const SHOWN: usize = 200;

impl Fault {
    /// The word in errorCode, and the text of it.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Fault::Busy => ("EBusy", "currently evaluating a script"),
            Fault::Dead => ("EDead", "child process died"),
            Fault::Deadlock => ("EDeadlock", "allocation deadlock"),
            Fault::Exec => ("EExec", "could not create child process"),
            Fault::GetTimeout => ("EGetTimeout", "timeout waiting for handle"),
            Fault::Idle => ("EIdle", "no script evaluating"),
            Fault::Import => ("EImport", "invalid response"),
            Fault::Init => ("EInit", "init script failed"),
            Fault::Range => ("ERange", "insufficient handles"),
            Fault::Recv => ("ERecv", "result recv failed"),
            Fault::Send => ("ESend", "script send failed"),
            Fault::NoWait => ("ENoWait", "no wait for script result"),
            Fault::EvalTimeout => ("EEvalTimeout", "timeout waiting for evaluation"),
        }
    }

    fn error(self, what: &str) -> Error {
        let (code, text) = self.words();
        Error::with_code(format!("{what}: {text}"), &["NSPROXY", code, text])
    }

    /// The error of `get`.
    pub fn allocating(self, pool: &str) -> Problem {
        self.error(&format!("could not allocate from pool \"{pool}\"")).into()
    }

    /// The error of `send`, `eval` and `ping`, whose script is empty. Of a
    /// long script the beginning has to do.
    pub fn sending(self, script: &str, handle: &str) -> Problem {
        self.error(&format!("could not send script \"{}\" to proxy \"{handle}\"", shortened(script))).into()
    }

    /// The error of `wait`, also within `eval`.
    pub fn waiting(self, handle: &str) -> Problem {
        self.error(&format!("could not wait for proxy \"{handle}\"")).into()
    }

    /// The error of `recv`, also within `eval`.
    pub fn receiving(self, handle: &str) -> Problem {
        self.error(&format!("could not receive from proxy \"{handle}\"")).into()
    }
}

/// A script as it stands in messages and in the log: at most 200 characters
/// of it, since it may be large.
pub fn shortened(script: &str) -> String {
    match script.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &script[..end]),
        None => script.to_owned(),
    }
}

/// An error on the way to a script, with what there is to know beyond message
/// and errorCode. Texts that come from a worker are bytes in its encoding.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Message and errorCode.
    pub error: Error,
    /// The message in the worker's words, in place of that of `error`.
    pub message: Option<Vec<u8>>,
    /// errorInfo to begin with, the message included.
    pub info: Option<Vec<u8>>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem { error, message: None, info: None }
    }
}

impl Problem {
    /// Adds the system's reason, which shows in errorInfo.
    pub fn because(mut self, reason: &io::Error) -> Problem {
        let reason = match reason.raw_os_error() {
            Some(errno) => crate::base::errno::message(errno),
            None => reason.to_string(),
        };
        self.info = Some(format!("{}\n    ({reason})", self.error.message).into_bytes());
        self
    }

    /// The failure of an init script: its own words, under our code.
    pub fn of_init(message: Vec<u8>, info: Vec<u8>) -> Problem {
        let (code, text) = Fault::Init.words();
        let error = Error::with_code(String::from_utf8_lossy(&message), &["NSPROXY", code, text]);
        let info = if info.is_empty() { None } else { Some(info) };
        Problem { error, message: Some(message), info }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_codes() {
        let problem = Fault::Busy.sending("expr 1+1", "p-0");
        assert_eq!(
            problem.error.message,
            "could not send script \"expr 1+1\" to proxy \"p-0\": currently evaluating a script"
        );
        assert_eq!(problem.error.code, ["NSPROXY", "EBusy", "currently evaluating a script"]);
        assert_eq!(
            Fault::Range.allocating("p").error.message,
            "could not allocate from pool \"p\": insufficient handles"
        );
    }

    #[test]
    fn a_long_script_is_cut_at_a_character() {
        let long = "ä".repeat(300);
        assert_eq!(shortened(&long), format!("{}...", "ä".repeat(200)));
        assert_eq!(shortened(&"x".repeat(200)), "x".repeat(200));
    }

    #[test]
    fn the_reason_stands_below_the_message() {
        let problem = Fault::Exec.allocating("p").because(&io::Error::from_raw_os_error(libc::ENOENT));
        let info = String::from_utf8(problem.info.unwrap()).unwrap();
        assert_eq!(
            info,
            "could not allocate from pool \"p\": could not create child process\n    (no such file or directory)"
        );
    }
}
