//! Commands that evaluate a script given to them, such as `ns_mutex eval`.
//!
//! Tcl evaluates the script after our procedure has returned, and calls us
//! back when it is done (its "NRE"). So no frame of ours is on the stack
//! meanwhile that holds or catches anything: the script may end its thread,
//! which tears down the stack by force, may `yield`, and may be nested deeply.

use super::command::{complete, panic_error};
use super::{Failure, Interp, Obj, Outcome};
use crate::base::Error;
use crate::tcl_sys as sys;
use libc::{c_int, c_void};
use std::ffi::CString;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null_mut;

/// What is done when the script has ended: it is told Tcl's completion code,
/// whose result is in the interpreter, and passes on that or fails itself.
pub type After = Box<dyn FnOnce(Interp, c_int) -> Outcome>;

/// How such a command goes on.
pub enum Step {
    /// It is done; its result is in the interpreter.
    Done,
    /// The script is evaluated in the caller's frame, then the procedure is
    /// called.
    Eval(Obj, After),
}

/// What such a command returns.
pub type Evaluation = Result<Step, Failure>;

/// A command that may evaluate a script: interpreter and words, its own name
/// first.
pub type EvaluatingProc = fn(Interp, &[Obj]) -> Evaluation;

/// Passes on how a script ended.
///
/// # Errors
/// Any completion code but TCL_OK.
pub fn pass_on(code: c_int) -> Outcome {
    match code {
        sys::TCL_OK => Ok(()),
        code => Err(Failure::Code(code)),
    }
}

struct Pending {
    /// Held until it has been evaluated.
    _script: Obj,
    after: After,
}

/// Registers `proc_` under `name`, replacing what was there.
pub fn create(interp: Interp, name: &str, proc_: EvaluatingProc) {
    let name = CString::new(name).expect("command names are literals without NUL");
    // SAFETY: a live interpreter; the client data is a function pointer that
    // `begin` turns back.
    unsafe {
        sys::Tcl_NRCreateCommand(
            interp.as_ptr(),
            name.as_ptr(),
            from_outside,
            begin,
            proc_ as *mut c_void,
            None,
        );
    }
}

/// Called where Tcl does not evaluate by NRE: has it do so.
unsafe extern "C-unwind" fn from_outside(
    client_data: *mut c_void,
    interp: *mut sys::Tcl_Interp,
    objc: c_int,
    objv: *const *mut sys::Tcl_Obj,
) -> c_int {
    // SAFETY: passed on as Tcl gave it.
    unsafe { sys::Tcl_NRCallObjProc(interp, begin, client_data, objc as isize, objv) }
}

unsafe extern "C-unwind" fn begin(
    client_data: *mut c_void,
    interp: *mut sys::Tcl_Interp,
    objc: c_int,
    objv: *const *mut sys::Tcl_Obj,
) -> c_int {
    // SAFETY: `create` put an EvaluatingProc there.
    let proc_ = unsafe { std::mem::transmute::<*mut c_void, EvaluatingProc>(client_data) };
    // SAFETY: Tcl calls with the interpreter that the command lives in ...
    let interp = unsafe { Interp::from_ptr(interp) };
    // SAFETY: ... and with words that it holds during the call.
    let words = unsafe { Obj::slice(objc as usize, objv) };
    let step = match catch_unwind(AssertUnwindSafe(|| proc_(interp, words))) {
        Ok(step) => step,
        Err(panic) => Err(Failure::Error(panic_error(&*panic))),
    };
    match step {
        Ok(Step::Done) => sys::TCL_OK,
        Ok(Step::Eval(script, after)) => {
            let target = script.as_ptr();
            let pending = Box::into_raw(Box::new(Pending { _script: script, after }));
            // SAFETY: a live interpreter and value; `finish` takes the box back,
            // once. The script is only scheduled here.
            unsafe {
                sys::Tcl_NRAddCallback(
                    interp.as_ptr(),
                    finish,
                    pending.cast(),
                    null_mut(),
                    null_mut(),
                    null_mut(),
                );
                sys::Tcl_NREvalObj(interp.as_ptr(), target, 0)
            }
        }
        Err(failure) => complete(interp, || Err(failure)),
    }
}

unsafe extern "C" fn finish(data: *mut *mut c_void, interp: *mut sys::Tcl_Interp, result: c_int) -> c_int {
    // SAFETY: the first word is the box that `begin` made; Tcl calls once.
    let pending = unsafe { Box::from_raw((*data).cast::<Pending>()) };
    // SAFETY: the interpreter in which the script was evaluated.
    let interp = unsafe { Interp::from_ptr(interp) };
    complete(interp, || (pending.after)(interp, result))
}

/// Evaluates a script of our own making, which ends no thread, and returns its
/// result.
///
/// # Errors
/// The script's, with message and errorCode.
pub fn call(interp: Interp, words: &[Obj]) -> Result<Obj, Error> {
    // SAFETY: a live interpreter and live words.
    let code = unsafe { sys::Tcl_EvalObjv(interp.as_ptr(), words.len() as isize, words.as_ptr().cast(), 0) };
    let result = interp.result();
    if code == sys::TCL_ERROR {
        return Err(interp.error_of(&result));
    }
    Ok(result)
}
