//! The door by which Tcl calls commands: one trampoline for all of them.
//!
//! A command is a plain function. Its error becomes message and errorCode; a
//! panic inside becomes a Tcl error too and never crosses into C.

use super::{Interp, Obj};
use crate::base::Error;
use crate::tcl_sys as sys;
use libc::{c_int, c_void};
use std::ffi::CString;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// How a command ends other than well.
#[derive(Debug)]
pub enum Failure {
    /// An error of ours, still to be put into the interpreter.
    Error(Error),
    /// A completion code of Tcl, its result already in the interpreter: a
    /// script that the command evaluated ended so.
    Code(c_int),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

/// What a command returns; its result, if any, is set in the interpreter.
pub type Outcome = std::result::Result<(), Failure>;

/// A command: interpreter and words, the command's own name first.
pub type CommandProc = fn(Interp, &[Obj]) -> Outcome;

/// Registers `proc_` under `name`, replacing what was there.
pub fn create(interp: Interp, name: &str, proc_: CommandProc) {
    let name = CString::new(name).expect("command names are literals without NUL");
    // SAFETY: a live interpreter; the client data is a function pointer that
    // `trampoline` turns back.
    unsafe {
        sys::Tcl_CreateObjCommand(interp.as_ptr(), name.as_ptr(), trampoline, proc_ as *mut c_void, None);
    }
}

unsafe extern "C" fn trampoline(
    client_data: *mut c_void,
    interp: *mut sys::Tcl_Interp,
    objc: c_int,
    objv: *const *mut sys::Tcl_Obj,
) -> c_int {
    // SAFETY: `create` put a CommandProc there.
    let proc_ = unsafe { std::mem::transmute::<*mut c_void, CommandProc>(client_data) };
    // SAFETY: Tcl calls with the interpreter that the command lives in ...
    let interp = unsafe { Interp::from_ptr(interp) };
    // SAFETY: ... and with words that it holds during the call.
    let words = unsafe { Obj::slice(objc as usize, objv) };
    complete(interp, || proc_(interp, words).map_err(|failure| respell(interp, words, failure)))
}

/// A usage error in the words of whoever has called: behind an alias or in an
/// ensemble they are not the command's own, and Tcl knows which they were.
#[cold]
pub(super) fn respell(interp: Interp, words: &[Obj], failure: Failure) -> Failure {
    let Failure::Error(error) = &failure else { return failure };
    let Some(usage) = error.usage_text() else { return failure };
    // It begins with the one or two words that name the command.
    let behind = |count: usize| {
        let name = words.get(..count)?.iter().map(Obj::text).collect::<Vec<_>>().join(" ");
        let rest = usage.strip_prefix(&*name)?;
        if rest.is_empty() {
            return Some((count, None));
        }
        Some((count, Some(CString::new(rest.strip_prefix(' ')?).ok()?)))
    };
    let Some((count, rest)) = behind(2).or_else(|| behind(1)) else { return failure };
    let rest = rest.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: a live interpreter and words; Tcl copies the text.
    unsafe { sys::Tcl_WrongNumArgs(interp.as_ptr(), count as isize, words.as_ptr().cast(), rest) };
    Failure::Code(sys::TCL_ERROR)
}

/// Runs `body`, and turns error and panic into Tcl's completion code.
pub fn complete(interp: Interp, body: impl FnOnce() -> Outcome) -> c_int {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return sys::TCL_OK,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::Error(panic_error(&*panic)),
    };
    match failure {
        Failure::Code(code) => code,
        Failure::Error(error) => {
            interp.set_error(&error);
            sys::TCL_ERROR
        }
    }
}

/// The Tcl error that stands for a caught panic.
pub fn panic_error(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::with_code(format!("internal error in ns_connchan: {text}"), &["NS_CONNCHAN", "PANIC"])
}
