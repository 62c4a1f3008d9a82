//! `Interp`: an interpreter of this thread, and what a command does with it.

use super::obj::Obj;
use super::Failure;
use crate::base::{Error, Result};
use crate::tcl_sys as sys;
use libc::c_int;
use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};

/// An interpreter. Copied freely; stays in its thread. That it is still alive
/// is guaranteed inside a command and while a `Preserved` is held; elsewhere
/// `lifetime` tells when one goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interp(*mut sys::Tcl_Interp);

impl Interp {
    /// # Safety
    /// `ptr` is a live interpreter of this thread, and is not used through
    /// the result after it was freed.
    pub(crate) unsafe fn from_ptr(ptr: *mut sys::Tcl_Interp) -> Interp {
        Interp(ptr)
    }

    pub(super) fn as_ptr(self) -> *mut sys::Tcl_Interp {
        self.0
    }

    /// Keeps the interpreter's memory while scripts run in it that may
    /// delete it.
    pub fn preserve(self) -> Preserved {
        // SAFETY: a live interpreter.
        unsafe { sys::Tcl_Preserve(self.0.cast()) };
        Preserved(self)
    }

    /// Whether the interpreter is being deleted: no script can run in it.
    pub fn is_deleted(self) -> bool {
        // SAFETY: a live or preserved interpreter.
        unsafe { sys::Tcl_InterpDeleted(self.0) != 0 }
    }

    /// The result that the last command left.
    pub fn result(self) -> Obj {
        // SAFETY: a live interpreter; its result is a live value.
        unsafe { Obj::retain(sys::Tcl_GetObjResult(self.0)) }
    }

    /// Sets the result of the running command.
    pub fn set_result(self, value: &Obj) {
        // SAFETY: live interpreter and value; Tcl takes its own reference.
        unsafe { sys::Tcl_SetObjResult(self.0, value.as_ptr()) }
    }

    /// Empties result and error state.
    pub fn reset_result(self) {
        // SAFETY: a live interpreter.
        unsafe { sys::Tcl_ResetResult(self.0) }
    }

    /// Sets message and errorCode of an error that the command returns.
    pub fn set_error(self, error: &Error) {
        self.set_result(&Obj::from_str(&error.message));
        let words: Vec<Obj> = match error.code.as_slice() {
            [] => vec![Obj::from_str("NONE")],
            words => words.iter().map(|w| Obj::from_str(w)).collect(),
        };
        // SAFETY: live interpreter and value; Tcl takes its own reference.
        unsafe { sys::Tcl_SetObjErrorCode(self.0, Obj::from_list(&words).as_ptr()) }
    }

    /// Sets a variable in the frame of the running command's caller.
    ///
    /// # Errors
    /// Tcl's own, for instance that the name is that of an array.
    pub fn set_variable(self, name: &Obj, value: &Obj) -> Result<()> {
        // SAFETY: live interpreter and values; Tcl takes references of its own.
        let set = unsafe {
            sys::Tcl_ObjSetVar2(
                self.0,
                name.as_ptr(),
                std::ptr::null_mut(),
                value.as_ptr(),
                sys::TCL_LEAVE_ERR_MSG,
            )
        };
        if set.is_null() {
            return Err(self.error_of(&self.result()));
        }
        Ok(())
    }

    /// The error that the interpreter is in, as one of ours.
    pub fn error_of(self, message: &Obj) -> Error {
        // The variable errorCode may still be that of an earlier error; and to
        // ask for the options of an error would begin its stack trace.
        let options = self.return_options(sys::TCL_OK);
        let code = options.chunks_exact(2).find(|pair| pair[0].is_word("-errorcode"));
        let words = code.and_then(|pair| pair[1].elements()).unwrap_or_default();
        let words: Vec<_> = words.iter().map(Obj::text).collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).filter(|word| *word != "NONE").collect();
        Error::with_code(message.text(), &words)
    }

    /// Evaluates a script in the caller's frame.
    pub fn eval_here(self, script: &Obj) -> c_int {
        // SAFETY: live interpreter and value.
        unsafe { sys::Tcl_EvalObjEx(self.0, script.as_ptr(), 0) }
    }

    /// Evaluates a script at global level.
    pub fn eval_global(self, script: &Obj) -> c_int {
        // SAFETY: live interpreter and value.
        unsafe { sys::Tcl_EvalObjEx(self.0, script.as_ptr(), sys::TCL_EVAL_GLOBAL) }
    }

    /// The next script that is evaluated from outside of any may end by `break` or
    /// `continue`: Tcl would make an error of that.
    pub fn allow_exceptions(self) {
        // SAFETY: live interpreter.
        unsafe { sys::Tcl_AllowExceptions(self.0) }
    }

    /// The stack trace of the last error.
    pub fn error_info(self) -> Option<Obj> {
        self.global(c"errorInfo")
    }

    /// The value of a global variable, if there is one.
    pub fn global(self, name: &CStr) -> Option<Obj> {
        // SAFETY: a live interpreter; null when the variable does not exist.
        unsafe {
            let value = sys::Tcl_GetVar2Ex(self.0, name.as_ptr(), null(), sys::TCL_GLOBAL_ONLY);
            (!value.is_null()).then(|| Obj::retain(value))
        }
    }

    /// The return options of an evaluation that has ended with this code, as names
    /// and values in turn.
    pub fn return_options(self, code: c_int) -> Vec<Obj> {
        // SAFETY: a live interpreter; a fresh dict.
        let options = unsafe { Obj::retain(sys::Tcl_GetReturnOptions(self.0, code)) };
        options.elements().unwrap_or_default()
    }

    /// Calls a command with these words, at global level; the completion code.
    /// The result stays in the interpreter.
    pub fn call(self, words: &[Obj]) -> c_int {
        // SAFETY: live interpreter and values; `&[Obj]` has the layout of objv.
        unsafe {
            sys::Tcl_EvalObjv(self.0, words.len() as isize, words.as_ptr().cast(), sys::TCL_EVAL_GLOBAL)
        }
    }

    /// Sets a global variable.
    pub fn set_global(self, name: &CStr, value: &Obj) {
        // SAFETY: live interpreter and value; Tcl takes its own reference.
        unsafe {
            sys::Tcl_SetVar2Ex(self.0, name.as_ptr(), null(), value.as_ptr(), sys::TCL_GLOBAL_ONLY);
        }
    }

    /// The error that the evaluation has left which has just ended, as text.
    /// `message` is the result, or says that it was a `break` or the like.
    pub fn script_error(self, message: String) -> ScriptError {
        let mut error = ScriptError { info: message.clone(), code: "NONE".into(), message };
        if self.result().text() != error.message {
            return error;
        }
        // SAFETY: a live interpreter; the dictionary is a live value, maybe fresh.
        let options = unsafe { Obj::retain(sys::Tcl_GetReturnOptions(self.0, sys::TCL_ERROR)) };
        for pair in options.elements().unwrap_or_default().chunks_exact(2) {
            if pair[0].is_word("-errorinfo") {
                error.info = pair[1].text().into_owned();
            } else if pair[0].is_word("-errorcode") {
                error.code = pair[1].text().into_owned();
            }
        }
        error
    }

    /// Fails with the error that a script had elsewhere.
    pub fn raise(self, error: &ScriptError) -> Failure {
        self.set_result(&Obj::from_str(&error.message));
        let options = Obj::from_pairs([
            ("-code", Obj::from_int(i64::from(sys::TCL_ERROR))),
            ("-level", Obj::from_int(0)),
            ("-errorinfo", Obj::from_str(&error.info)),
            ("-errorcode", Obj::from_str(&error.code)),
            ("-errorstack", Obj::empty()),
        ]);
        // SAFETY: live interpreter and value; Tcl takes its own reference.
        Failure::Code(unsafe { sys::Tcl_SetReturnOptions(self.0, options.as_ptr()) })
    }

    /// A new interpreter of the calling thread, with Tcl's library in it.
    ///
    /// # Errors
    /// Tcl's library was not found; the interpreter is gone again.
    pub fn create() -> Result<Interp> {
        // SAFETY: no preconditions; Tcl ends the process when memory is short.
        let interp = Interp(unsafe { sys::Tcl_CreateInterp() });
        // SAFETY: a live interpreter.
        if unsafe { sys::Tcl_Init(interp.0) } == sys::TCL_OK {
            return Ok(interp);
        }
        let error = Error::new(interp.result().text().into_owned());
        interp.delete();
        Err(error)
    }

    /// Deletes the interpreter, unless that has happened already.
    pub fn delete(self) {
        if !self.is_deleted() {
            // SAFETY: a live interpreter; its memory stays while it is preserved.
            unsafe { sys::Tcl_DeleteInterp(self.0) }
        }
    }

    /// By what other threads may cancel scripts of this interpreter.
    pub fn canceller(self) -> Canceller {
        Canceller(self.0)
    }

    /// Tells Tcl that the package is there.
    pub fn provide(self, name: &str, version: &str) -> c_int {
        let (Ok(name), Ok(version)) = (CString::new(name), CString::new(version)) else {
            return sys::TCL_ERROR;
        };
        // SAFETY: a live interpreter; Tcl copies both strings.
        unsafe { sys::Tcl_PkgProvideEx(self.0, name.as_ptr(), version.as_ptr(), null()) }
    }
}

/// How a script has failed, as text that may go to another thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// The message.
    pub message: String,
    /// The stack trace, errorInfo.
    pub info: String,
    /// The list errorCode.
    pub code: String,
}

impl From<Error> for ScriptError {
    fn from(error: Error) -> ScriptError {
        let words: Vec<Obj> = error.code.iter().map(|word| Obj::from_str(word)).collect();
        let code = if words.is_empty() { "NONE".into() } else { Obj::from_list(&words).text().into_owned() };
        ScriptError { info: error.message.clone(), message: error.message, code }
    }
}

/// Cancels the scripts of an interpreter, from whichever thread.
pub struct Canceller(*mut sys::Tcl_Interp);

// SAFETY: Tcl_CancelEval may be called from every thread, and looks the
// interpreter up under a lock of its own.
unsafe impl Send for Canceller {}

impl Canceller {
    /// Has the script that runs unwind, past every `catch`. Nothing happens when
    /// the interpreter has gone; the caller sees to it that its address cannot
    /// be another's by then.
    pub fn cancel(&self) {
        // SAFETY: see above; no result is handed over.
        unsafe {
            sys::Tcl_CancelEval(self.0, null_mut(), null_mut(), sys::TCL_CANCEL_UNWIND);
        }
    }
}

/// Holds an interpreter's memory, also when a script deletes it meanwhile.
pub struct Preserved(Interp);

impl Preserved {
    /// The interpreter.
    pub fn interp(&self) -> Interp {
        self.0
    }
}

impl Drop for Preserved {
    fn drop(&mut self) {
        // SAFETY: pairs with the Tcl_Preserve of `preserve`.
        unsafe { sys::Tcl_Release(self.0 .0.cast()) }
    }
}
