//! `ns_log` (spec/support.md 4.1).

use crate::base::{log, Error};
use crate::tcl::{Interp, Obj, Outcome};

/// `ns_log severity message ...`: one line to the log.
pub(super) fn ns_log(_interp: Interp, words: &[Obj]) -> Outcome {
    let [_, severity, message @ ..] = words else { return Err(usage(words).into()) };
    if message.is_empty() {
        return Err(usage(words).into());
    }
    let severity = log::lookup(&severity.text())?;
    if log::enabled(severity) {
        let words: Vec<_> = message.iter().map(Obj::text).collect();
        log::write(severity, &words.join(" "));
    }
    Ok(())
}

fn usage(words: &[Obj]) -> Error {
    Error::usage(&format!("{} /severity/ /message .../", words[0].text()))
}
