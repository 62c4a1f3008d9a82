//! `Interp`: an interpreter of this thread, and what a command does with it.

use super::obj::Obj;
use crate::base::Error;
use crate::tcl_sys as sys;
use libc::c_int;
use std::ffi::CString;
use std::ptr::null;

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

    /// Evaluates a script in the caller's frame.
    pub fn eval_here(self, script: &Obj) -> c_int {
        // SAFETY: live interpreter and value.
        unsafe { sys::Tcl_EvalObjEx(self.0, script.as_ptr(), 0) }
    }

    /// The stack trace of the last error.
    pub fn error_info(self) -> Option<Obj> {
        self.global("errorInfo")
    }

    /// The value of a global variable, if it exists.
    pub fn global(self, name: &str) -> Option<Obj> {
        let name = CString::new(name).ok()?;
        // SAFETY: a live interpreter; null when the variable does not exist.
        unsafe {
            let value = sys::Tcl_GetVar2Ex(self.0, name.as_ptr(), null(), sys::TCL_GLOBAL_ONLY);
            (!value.is_null()).then(|| Obj::retain(value))
        }
    }

    /// Calls a command with these words, at global level; the completion code.
    /// The result stays in the interpreter.
    pub fn call(self, words: &[Obj]) -> c_int {
        // SAFETY: live interpreter and values; `&[Obj]` has the layout of objv.
        unsafe {
            sys::Tcl_EvalObjv(self.0, words.len() as isize, words.as_ptr().cast(), sys::TCL_EVAL_GLOBAL)
        }
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
