//! The safe layer over the Tcl C API.
//!
//! Everything above this room sees `Interp` and `Obj`, never a raw pointer.
//! Calls from Tcl enter by one of the trampolines here (`command`,
//! `evaluating`, `event_source`, `lifetime`), each of which catches panics; calls into Tcl
//! leave by the methods of `Interp` and `Obj`. Both types are bound to the
//! thread that made them: neither is `Send`.

pub mod args;
pub mod channel;
pub mod command;
pub mod dict;
pub mod evaluating;
pub mod event_source;
pub mod interp;
pub mod lifetime;
pub mod obj;
pub mod script;
pub mod subcommand;
pub mod thread;

pub use command::{Failure, Outcome};
pub use interp::Interp;
pub use obj::Obj;

use crate::base::Error;
use crate::tcl_sys as sys;
use libc::c_int;

/// The door by which Tcl loads the library: finds the stub table, or says why
/// it cannot be used, then runs `install`.
///
/// # Safety
/// Called by Tcl's `load` with a live interpreter, in its thread.
pub unsafe fn load(interp: *mut sys::Tcl_Interp, install: fn(Interp) -> Outcome) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { sys::init(interp) } {
        Ok(()) => {
            // SAFETY: the caller's promise.
            let interp = unsafe { Interp::from_ptr(interp) };
            command::complete(interp, || install(interp))
        }
        Err(sys::InitError::Unsupported(major, minor)) => {
            let message = format!("ns_connchan needs Tcl 8.6 or 9, this is Tcl {major}.{minor}");
            // SAFETY: `init` has just said so of this interpreter.
            unsafe { sys::report_unsupported(interp, &message) };
            sys::TCL_ERROR
        }
        Err(sys::InitError::Missing(name)) => {
            let message = format!("ns_connchan cannot use this Tcl: it lacks {name}");
            // SAFETY: `init` knew the table's magic.
            unsafe { sys::report_unsupported(interp, &message) };
            sys::TCL_ERROR
        }
        // Nothing of Tcl can be called: the bare code has to do.
        Err(sys::InitError::NotTcl) => sys::TCL_ERROR,
    }
}

/// Whether this process runs Tcl 9.
pub fn is_tcl_9() -> bool {
    sys::stubs().major == 9
}

/// The error for an interpreter that may not have the package.
pub fn refusal(message: &str) -> Failure {
    Failure::Error(Error::with_code(message, &["NS_CONNCHAN", "SAFE"]))
}
