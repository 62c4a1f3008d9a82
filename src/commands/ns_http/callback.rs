//! The callbacks of `ns_http`: at once for `run`, from the event loop for
//! `queue`.

use super::options::Report;
use super::report;
use crate::base::Result;
use crate::client::exchange::cancelled;
use crate::client::task::{HeadHook, Outcome};
use crate::connchan::{desk, home};
use crate::http::head::ResponseHead;
use crate::tcl::lifetime::Event;
use crate::tcl::script::{Completion, Prepared, Script};
use crate::tcl::{Interp, Obj};
use std::rc::Rc;
use std::sync::mpsc;

/// The word that `-response_header_callback` gets.
fn head_word(interp: Interp, head: &ResponseHead, report: &Report) -> Obj {
    let mut pairs = vec![
        ("status", Obj::from_int(i64::from(head.status))),
        ("phrase", Obj::from_str(&head.phrase)),
        ("headers", report::headers(interp, head)),
    ];
    if let Some(channel) = &report.channel {
        pairs.push(("outputchan", Obj::from_str(channel)));
    }
    Obj::from_pairs(pairs)
}

/// The words that `-done_callback` gets.
fn done_words(result: &Result<Obj>) -> Vec<Obj> {
    match result {
        Ok(dict) => vec![Obj::from_int(0), dict.clone()],
        Err(error) => vec![Obj::from_int(1), Obj::from_str(&error.message)],
    }
}

/// Calls the header callback; its error ends the request.
pub(super) fn header(interp: Interp, script: &Obj, head: &ResponseHead, report: &Report) -> Result<()> {
    // The set of the fields goes when it has been looked at.
    let event = Event::begin();
    let word = head_word(interp, head, report);
    let completion = Prepared::run(interp, &Rc::new(Script::new(script)), &word);
    let outcome = match completion {
        Completion::Ok(_) => Ok(()),
        Completion::Error(_) => Err(interp.error_of(&interp.result())),
    };
    event.end();
    outcome
}

/// Calls the done callback; its error is logged.
pub(super) fn done(interp: Interp, script: &Obj, result: &Result<Obj>) {
    let completion = Prepared::run_words(interp, &Rc::new(Script::new(script)), done_words(result));
    told(interp, completion);
}

fn told(interp: Interp, completion: Completion) {
    if let Completion::Error(message) = completion {
        home::log_script_error(interp, &message, "ns_http callback");
    }
}

/// Has a request in the background ask the header callback, and wait for its
/// answer.
pub(super) fn head_hook(interp: Interp, script: &Obj, report: &Report) -> Result<HeadHook> {
    let desk = desk::of(interp)?;
    let script = script.text().into_owned();
    let report = report.clone();
    Ok(Box::new(move |head| {
        let (answer, answered) = mpsc::channel();
        let (script, report, head) = (script.clone(), report.clone(), head.clone());
        desk.post(desk::Letter {
            make: Box::new(move |interp| {
                let script = Rc::new(Script::new(&Obj::from_str(&script)));
                Some((script, vec![head_word(interp, &head, &report)]))
            }),
            done: Box::new(move |interp, completion| {
                let outcome = match completion {
                    Completion::Ok(_) => Ok(()),
                    Completion::Error(_) => Err(interp.error_of(&interp.result())),
                };
                let _ = answer.send(outcome);
            }),
        })?;
        // Ends also when the letter is dropped: the interpreter has gone.
        answered.recv().unwrap_or_else(|_| Err(cancelled()))
    }))
}

/// Has a request in the background call the done callback at its end.
pub(super) fn done_hook(
    interp: Interp,
    script: &Obj,
    report: &Report,
    serial: u64,
) -> Result<Box<dyn FnOnce(Outcome) + Send>> {
    let desk = desk::of(interp)?;
    let script = script.text().into_owned();
    let report = report.clone();
    Ok(Box::new(move |outcome| {
        // Nobody hears of it when the interpreter has gone.
        let _ = desk.post(desk::Letter {
            make: Box::new(move |interp| {
                super::forget(interp, serial);
                let result = report::result(interp, outcome, &report);
                Some((Rc::new(Script::new(&Obj::from_str(&script))), done_words(&result)))
            }),
            done: Box::new(told),
        });
    }))
}
