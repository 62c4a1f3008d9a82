//! Work for a thread: made in one, done in another.

use crate::tcl::interp::ScriptError;
use crate::tcl::script::Completion;
use crate::tcl::{Interp, Obj};

/// What a script has come to: its result, or how it failed.
pub type Evaluated = std::result::Result<String, ScriptError>;

/// Work as it crosses threads. It is called in the worker, with its
/// interpreter; what it returns names scripts to evaluate, if there are any. A
/// job that is dropped uncalled was given to a thread that has ended.
pub type Job = Box<dyn FnOnce(Interp) -> Option<Box<dyn Task>> + Send>;

/// Work that needs scripts. All calls come from the worker.
///
/// The scripts are evaluated by the worker rather than by the task, so that they
/// may do anything, also end their thread; the task is then dropped.
pub trait Task {
    /// The next script, to be evaluated at global level. `None`: all is done.
    fn next(&mut self, interp: Interp) -> Option<Obj>;
    /// The script has ended.
    fn finished(&mut self, interp: Interp, completion: Completion);
    /// The same, with Tcl's completion code: for those who tell `break` from an
    /// error. This is what the worker calls.
    fn ended(&mut self, interp: Interp, completion: Completion, code: i32) {
        let _ = code;
        self.finished(interp, completion);
    }
}

/// The evaluation of a script, whose outcome goes to `then`, in the worker.
/// Dropped uncalled, `then` says that the thread has ended before.
pub fn evaluation(script: String, then: impl FnOnce(Evaluated) + Send + 'static) -> Job {
    Box::new(move |_| Some(Box::new(Evaluation { script: Some(script), then: Some(then) })))
}

struct Evaluation<F> {
    script: Option<String>,
    then: Option<F>,
}

impl<F: FnOnce(Evaluated)> Task for Evaluation<F> {
    fn next(&mut self, _interp: Interp) -> Option<Obj> {
        self.script.take().map(|script| Obj::from_str(&script))
    }

    fn finished(&mut self, interp: Interp, completion: Completion) {
        let outcome = match completion {
            Completion::Ok(result) => Ok(result.text().into_owned()),
            Completion::Error(message) => Err(interp.script_error(message)),
        };
        if let Some(then) = self.then.take() {
            then(outcome);
        }
    }
}
