//! `Interp`: an interpreter of this thread, and what a command does with it.

use super::obj::Obj;
use crate::base::{Error, Result};
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
        // SAFETY: a live interpreter; null when the variable does not exist.
        let code = unsafe {
            let value = sys::Tcl_GetVar2Ex(self.0, c"errorCode".as_ptr(), null(), sys::TCL_GLOBAL_ONLY);
            (!value.is_null()).then(|| Obj::retain(value))
        };
        let words = code.and_then(|code| code.elements()).unwrap_or_default();
        let words: Vec<_> = words.iter().map(Obj::text).collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).filter(|word| *word != "NONE").collect();
        Error::with_code(message.text(), &words)
    }

    /// Evaluates a script in the caller's frame.
    pub fn eval_here(self, script: &Obj) -> c_int {
        // SAFETY: live interpreter and value.
        unsafe { sys::Tcl_EvalObjEx(self.0, script.as_ptr(), 0) }
    }

    /// The stack trace of the last error.
    pub fn error_info(self) -> Option<Obj> {
        // SAFETY: a live interpreter; null when the variable does not exist.
        unsafe {
            let value = sys::Tcl_GetVar2Ex(self.0, c"errorInfo".as_ptr(), null(), sys::TCL_GLOBAL_ONLY);
            (!value.is_null()).then(|| Obj::retain(value))
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
