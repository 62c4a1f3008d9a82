//! Commands that stand for an object of ours: they carry it, and tell it when
//! they are deleted, by whatever means.

use super::command::{complete, panic_error, respell};
use super::{Interp, Obj, Outcome};
use crate::base::log;
use crate::tcl_sys as sys;
use libc::{c_int, c_void};
use std::ffi::CString;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

/// An object that has a command.
pub trait Target {
    /// The command is called.
    fn call(&self, interp: Interp, words: &[Obj]) -> Outcome;
    /// The command is gone: deleted, redefined, or its interpreter deleted.
    fn deleted(&self);
}

/// Names a command, whatever it is called by now. Valid until `deleted`.
#[derive(Clone, Copy)]
pub struct Token(sys::Tcl_Command);

/// Makes a command, in place of one of that name. None when the interpreter is
/// being deleted or the name cannot be one.
pub fn create(interp: Interp, name: &str, target: Rc<dyn Target>) -> Option<Token> {
    let name = CString::new(name).ok()?;
    let data = Box::into_raw(Box::new(target));
    // SAFETY: a live interpreter; the box is freed when the command is deleted,
    // or here when there is none.
    unsafe {
        let token = sys::Tcl_CreateObjCommand(
            interp.as_ptr(),
            name.as_ptr(),
            call_target,
            data.cast(),
            Some(target_deleted),
        );
        if token.is_null() {
            drop(Box::from_raw(data));
            return None;
        }
        Some(Token(token))
    }
}

/// Deletes a command, by the name that it has by now.
pub fn delete(interp: Interp, token: Token) {
    // SAFETY: a live interpreter; the caller forgets tokens when `deleted`.
    unsafe { sys::Tcl_DeleteCommandFromToken(interp.as_ptr(), token.0) };
}

unsafe extern "C" fn call_target(
    client_data: *mut c_void,
    interp: *mut sys::Tcl_Interp,
    objc: c_int,
    objv: *const *mut sys::Tcl_Obj,
) -> c_int {
    // The command may be deleted while it runs: the target is kept.
    // SAFETY: `create` put the box there, which lives as long as the command.
    let target = unsafe { Rc::clone(&*client_data.cast::<Rc<dyn Target>>()) };
    // SAFETY: Tcl calls with the interpreter that the command lives in ...
    let interp = unsafe { Interp::from_ptr(interp) };
    // SAFETY: ... and with words that it holds during the call.
    let words = unsafe { Obj::slice(objc as usize, objv) };
    complete(interp, || target.call(interp, words).map_err(|failure| respell(interp, words, failure)))
}

unsafe extern "C" fn target_deleted(client_data: *mut c_void) {
    // SAFETY: Tcl calls this once, with what `create` gave it.
    let target = unsafe { Box::from_raw(client_data.cast::<Rc<dyn Target>>()) };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target.deleted())) {
        log::write(log::BUG, &panic_error(&*panic).message);
    }
}
