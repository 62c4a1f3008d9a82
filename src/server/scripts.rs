//! Scripts of handlers and filters as a thread keeps them, compiled, and how
//! they have ended.

use super::pipeline::{Code, Ended, Run};
use crate::tcl::script::{Completion, Script};
use crate::tcl::{Interp, Obj};
use std::cell::RefCell;
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::rc::Rc;

thread_local! {
    /// By the numbers of handlers and filters. Without a destructor: values of
    /// Tcl's cannot be given back when Tcl has gone.
    static SCRIPTS: RefCell<ManuallyDrop<Vec<Option<Rc<Script>>>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    /// The same as values, in connection threads.
    static OBJECTS: RefCell<ManuallyDrop<Vec<Option<Obj>>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

/// The script to be evaluated.
pub fn get(run: &Run) -> Rc<Script> {
    let make = || Rc::new(Script::new(&Obj::from_str(run.text())));
    if let Run::Closing(_) = run {
        return make();
    }
    // That for files has the place of number 0.
    let index = run.id().map_or(0, |id| id as usize + 1);
    SCRIPTS.with_borrow_mut(|scripts| {
        if scripts.len() <= index {
            scripts.resize(index + 1, None);
        }
        Rc::clone(scripts[index].get_or_insert_with(make))
    })
}

/// The same as a value. Compiled by whoever evaluates it.
pub fn object(run: &Run) -> Obj {
    if let Run::Closing(script) = run {
        return Obj::from_str(script);
    }
    let index = run.id().map_or(0, |id| id as usize + 1);
    OBJECTS.with_borrow_mut(|objects| {
        if objects.len() <= index {
            objects.resize(index + 1, None);
        }
        objects[index].get_or_insert_with(|| Obj::from_str(run.text())).clone()
    })
}

/// Gives back what this thread has kept: its interpreter is deleted.
pub fn forget(_: Interp) {
    let kept = SCRIPTS.with_borrow_mut(|scripts| std::mem::take(&mut **scripts));
    let objects = OBJECTS.with_borrow_mut(|objects| std::mem::take(&mut **objects));
    drop((kept, objects));
}

/// How a script has ended that was evaluated in an interpreter.
pub struct InInterp {
    interp: Interp,
    code: i32,
    completion: Completion,
    /// The first word of the error code, where it is known already.
    class: Option<String>,
}

impl InInterp {
    /// The end of a script, before another one is evaluated.
    pub fn new(interp: Interp, code: i32, completion: Completion) -> InInterp {
        const TCL_RETURN: i32 = 2;
        if code != TCL_RETURN || interp.is_deleted() {
            return InInterp { interp, code, completion, class: None };
        }
        // What the script has returned with: `return -code error` is an error.
        let options = interp.return_options(code);
        let option = |name: &str| {
            options.chunks_exact(2).find(|pair| pair[0].is_word(name)).map(|pair| pair[1].clone())
        };
        let code = option("-code").and_then(|c| c.small_int()).unwrap_or(0);
        let class = option("-errorcode")
            .and_then(|c| c.elements())
            .and_then(|words| words.first().map(|w| w.text().into_owned()));
        InInterp { interp, code, completion, class }
    }

    fn global(&self, name: &CStr) -> Option<Obj> {
        (!self.interp.is_deleted()).then(|| self.interp.global(name)).flatten()
    }
}

impl Ended for InInterp {
    fn code(&self) -> Code {
        match self.code {
            0 | 2 => Code::Ok,
            1 => Code::Error,
            3 => Code::Break,
            4 => Code::Continue,
            other => Code::Other(other),
        }
    }

    fn result(&self) -> String {
        match &self.completion {
            Completion::Ok(result) => result.text().into_owned(),
            Completion::Error(message) => message.clone(),
        }
    }

    fn trace(&self) -> String {
        let message = self.result();
        let trace = self.global(c"errorInfo").map(|t| t.text().into_owned());
        trace.filter(|t| t.starts_with(&message)).unwrap_or(message)
    }

    fn error_class(&self) -> String {
        if let Some(class) = &self.class {
            return class.clone();
        }
        let code = self.global(c"errorCode").and_then(|c| c.elements());
        code.and_then(|words| words.first().map(|w| w.text().into_owned())).unwrap_or_default()
    }
}
