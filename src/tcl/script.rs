//! A callback script: a prefix to which an event's word is appended.
//!
//! The reference appends a blank and the word to the text and evaluates that
//! (spec/ns_connchan.md 2.1 and R-32). The outcome is the same, and much
//! faster, when a script that is plainly one command is kept as its words and
//! called with the new word behind them: procs then run as bytecode and
//! command look-ups are cached. Scripts of any other shape are evaluated as
//! text, compiled once for each word.
//!
//! A call is prepared and completed by Rust but evaluated by a bare frame
//! (`Call::evaluate`) without anything to clean up: a script may end its
//! thread, and then every frame on the stack is torn down by force, which
//! must not meet a frame that catches panics.

use super::interp::Preserved;
use super::lifetime::Event;
use super::{Interp, Obj};
use crate::tcl_sys as sys;
use libc::c_int;
use std::cell::RefCell;
use std::rc::Rc;

/// How a script ended.
pub enum Completion {
    /// Normally, or by a `return`: its result.
    Ok(Obj),
    /// By an error: the message. The interpreter holds the stack trace.
    Error(String),
}

/// A script to be called with one more word.
pub struct Script {
    form: Form,
}

enum Form {
    /// One command without any substitution.
    Words(Box<[Obj]>),
    /// Anything else; the texts with a word appended that were used so far.
    Text { prefix: Obj, extended: RefCell<Vec<(Obj, Obj)>> },
}

/// Texts kept compiled for each script: reasons of a channel callback are
/// five. Words that never repeat (handles) are not worth keeping.
const MAX_EXTENDED: usize = 5;

impl Script {
    /// Takes over a script as it was given to a command.
    pub fn new(script: &Obj) -> Script {
        let plain = script.is_pure_list() || is_plain_command(&script.text());
        let words = if plain { script.elements() } else { None };
        let form = match words {
            Some(words) if !words.is_empty() => Form::Words(words.into_boxed_slice()),
            _ => Form::Text { prefix: script.clone(), extended: RefCell::default() },
        };
        Script { form }
    }

    /// The name of the command that is called, for messages.
    pub fn command_name(&self) -> String {
        match &self.form {
            Form::Words(words) => words[0].text().into_owned(),
            Form::Text { prefix, .. } => first_word(prefix),
        }
    }
}

/// A call of a script: everything it needs, kept until it is completed.
#[derive(Default)]
pub struct Prepared {
    /// What is being called; `None` between calls.
    target: Option<(Interp, Rc<Script>)>,
    word: Option<Obj>,
    words: Vec<Obj>,
    /// The words of the call, borrowed from `target` and `word`.
    argv: Vec<*mut sys::Tcl_Obj>,
    /// The text, for scripts that are no plain command.
    text: Option<Obj>,
    /// What the call is for, from its preparation to its completion.
    event: Option<Event>,
}

/// Plain pointers into a `Prepared`, for the frame that evaluates.
#[derive(Clone, Copy)]
pub struct Call {
    interp: *mut sys::Tcl_Interp,
    argc: isize,
    argv: *const *mut sys::Tcl_Obj,
    text: *mut sys::Tcl_Obj,
}

impl Prepared {
    /// Prepares the call of `script` with `word` appended, at global level.
    /// `keep` says whether the same word will come again. The caller has
    /// preserved the interpreter, which the script may delete.
    pub fn prepare(&mut self, interp: Interp, script: &Rc<Script>, word: &Obj, keep: bool) {
        self.argv.clear();
        self.text = None;
        match &script.form {
            Form::Words(words) => self.argv.extend(words.iter().chain([word]).map(Obj::as_ptr)),
            Form::Text { prefix, extended } => self.text = Some(extend(prefix, extended, word, keep)),
        }
        self.word = Some(word.clone());
        self.aim(interp, script);
    }

    /// Prepares the call of `script` with several words appended, likewise.
    /// The words are taken: nobody else keeps them longer than the call.
    pub fn prepare_words(&mut self, interp: Interp, script: &Rc<Script>, words: &mut Vec<Obj>) {
        self.argv.clear();
        self.text = None;
        self.words.clear();
        match &script.form {
            Form::Words(own) => {
                self.words.append(words);
                self.argv.extend(own.iter().chain(&self.words).map(Obj::as_ptr));
            }
            // As it is: compiled once.
            Form::Text { prefix, .. } if words.is_empty() => self.text = Some(prefix.clone()),
            Form::Text { prefix, .. } => {
                let text = format!("{} {}", prefix.text(), Obj::from_list(words).text());
                self.text = Some(Obj::from_str(&text));
                words.clear();
            }
        }
        self.aim(interp, script);
    }

    fn aim(&mut self, interp: Interp, script: &Rc<Script>) {
        self.target = Some((interp, Rc::clone(script)));
        self.event = Some(Event::begin());
    }

    /// The call, valid until `self` is prepared or completed again.
    pub fn call(&self) -> Option<Call> {
        let (interp, _) = self.target.as_ref()?;
        Some(Call {
            interp: interp.as_ptr(),
            argc: self.argv.len() as isize,
            argv: self.argv.as_ptr(),
            text: self.text.as_ref().map_or(std::ptr::null_mut(), Obj::as_ptr),
        })
    }

    /// What the evaluation has come to.
    pub fn complete(&mut self, code: c_int) -> Completion {
        self.word = None;
        self.words.clear();
        let Some((interp, _)) = self.target.take() else {
            return Completion::Error("nothing was called".into());
        };
        if let Some(event) = self.event.take() {
            event.end();
        }
        completion(interp, code)
    }

    /// Evaluates a script without more words; how it ended, and Tcl's completion
    /// code. For scripts that do not end their thread: see the head of this file.
    pub fn run_alone(interp: Interp, script: &Rc<Script>) -> (Completion, c_int) {
        let _preserved = interp.preserve();
        let mut prepared = Prepared::default();
        prepared.prepare_words(interp, script, &mut Vec::new());
        let Some(call) = prepared.call() else { unreachable!("just prepared") };
        // SAFETY: `prepared` lives until it is completed, after the call.
        let code = unsafe { call.evaluate() };
        (prepared.complete(code), code)
    }

    /// Prepares, evaluates and completes. For scripts that do not end their
    /// thread: see the head of this file.
    pub fn run(interp: Interp, script: &Rc<Script>, word: &Obj) -> Completion {
        Prepared::run_words(interp, script, vec![word.clone()])
    }

    /// The same with several words, or none.
    pub fn run_words(interp: Interp, script: &Rc<Script>, mut words: Vec<Obj>) -> Completion {
        let _preserved = interp.preserve();
        let mut prepared = Prepared::default();
        prepared.prepare_words(interp, script, &mut words);
        let Some(call) = prepared.call() else { unreachable!("just prepared") };
        // SAFETY: `prepared` lives until it is completed, after the call.
        let code = unsafe { call.evaluate() };
        prepared.complete(code)
    }
}

impl Call {
    /// Evaluates the call; the result stays in the interpreter.
    ///
    /// # Safety
    /// The `Prepared` it came from lives and has not been completed.
    pub unsafe fn evaluate(self) -> c_int {
        // SAFETY: live values of a preserved interpreter of this thread, all
        // held by the `Prepared`.
        unsafe {
            if self.text.is_null() {
                sys::Tcl_EvalObjv(self.interp, self.argc, self.argv, sys::TCL_EVAL_GLOBAL)
            } else {
                sys::Tcl_EvalObjEx(self.interp, self.text, sys::TCL_EVAL_GLOBAL)
            }
        }
    }
}

/// A script that is evaluated as it is, kept until that has happened.
pub struct Whole {
    interp: Preserved,
    script: Obj,
}

impl Whole {
    /// `script` in `interp`, at global level.
    pub fn new(interp: Interp, script: Obj) -> Whole {
        Whole { interp: interp.preserve(), script }
    }

    /// The call, valid while `self` is.
    pub fn call(&self) -> Call {
        Call {
            interp: self.interp.interp().as_ptr(),
            argc: 0,
            argv: std::ptr::null(),
            text: self.script.as_ptr(),
        }
    }

    /// The script.
    pub fn script(&self) -> &Obj {
        &self.script
    }

    /// What the evaluation has come to.
    pub fn complete(self, code: c_int) -> Completion {
        completion(self.interp.interp(), code)
    }
}

/// Sorts Tcl's completion codes as its event loop would.
pub fn completion(interp: Interp, code: c_int) -> Completion {
    match code {
        sys::TCL_OK => Completion::Ok(interp.result()),
        // `return -code error` may have come up from further down.
        sys::TCL_RETURN => {
            let returned = interp.returned();
            match returned.code {
                sys::TCL_OK => Completion::Ok(returned.result),
                _ => Completion::Error(returned.result.text().into_owned()),
            }
        }
        sys::TCL_ERROR => Completion::Error(interp.result().text().into_owned()),
        sys::TCL_BREAK => Completion::Error("invoked \"break\" outside of a loop".into()),
        sys::TCL_CONTINUE => Completion::Error("invoked \"continue\" outside of a loop".into()),
        other => Completion::Error(format!("command returned bad code: {other}")),
    }
}

/// The text of a script with a word appended, from those kept when possible.
fn extend(prefix: &Obj, extended: &RefCell<Vec<(Obj, Obj)>>, word: &Obj, keep: bool) -> Obj {
    let known = |(kept, _): &&(Obj, Obj)| std::ptr::eq(kept.as_ptr(), word.as_ptr());
    if let Some((_, text)) = extended.borrow().iter().find(known) {
        return text.clone();
    }
    let element = Obj::from_list(std::slice::from_ref(word));
    let text = Obj::from_str(&format!("{} {}", prefix.text(), element.text()));
    if keep && extended.borrow().len() < MAX_EXTENDED {
        extended.borrow_mut().push((word.clone(), text.clone()));
    }
    text
}

/// Whether a text means as a script what it means as a list: one command, no
/// substitution, no comment, no expansion.
fn is_plain_command(text: &str) -> bool {
    !text.trim_start().starts_with('#')
        && !text.bytes().any(|b| matches!(b, b'$' | b'[' | b']' | b'\\' | b';' | b'\n' | b'\r'))
        && !text.contains("{*}")
}

/// The first word of a script, as `list` shows it: of the list, or up to the
/// first white space when it is none.
pub fn first_word(script: &Obj) -> String {
    let elements = script.elements().and_then(|e| e.first().map(|w| w.text().into_owned()));
    elements.unwrap_or_else(|| script.text().split_whitespace().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::is_plain_command;

    #[test]
    fn only_plain_commands_are_taken_apart() {
        for plain in ["echo conn1", "  echo {a b} x", "a \"b c\"", "::ns::cb 1 2 3", ""] {
            assert!(is_plain_command(plain), "{plain}");
        }
        for other in ["a b; c d", "a $x", "a [b]", "a\nb", "a {*}$l", "# c", "a\\ b", "a {*}{b c}"] {
            assert!(!is_plain_command(other), "{other}");
        }
    }
}
