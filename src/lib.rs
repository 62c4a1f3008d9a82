//! `ns_connchan` for every plain tclsh: what the shared library exports.
//!
//! Tcl calls `Ns_connchan_Init` when a script says `package require
//! ns_connchan` or `load libns_connchan.so`. The rooms, in reading order, are
//! described in ARCHITECTURE.md.

pub mod base;
pub mod client;
pub mod commands;
pub mod connchan;
pub mod crypto;
pub mod http;
pub mod jobs;
pub mod net;
pub mod reactor;
pub mod server;
pub mod shared;
pub mod tcl;
pub mod tcl_sys;
pub mod threads;
pub mod websocket;
pub mod ws;

use libc::c_int;
use tcl_sys::Tcl_Interp;

/// Loads the package into an interpreter (called by Tcl's `load`).
///
/// # Safety
/// Called by Tcl with a live interpreter, in its thread.
#[no_mangle]
pub unsafe extern "C" fn Ns_connchan_Init(interp: *mut Tcl_Interp) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { tcl::load(interp, commands::install) }
}

/// Refuses to load into a safe interpreter, with the reason.
///
/// # Safety
/// As for `Ns_connchan_Init`.
#[no_mangle]
pub unsafe extern "C" fn Ns_connchan_SafeInit(interp: *mut Tcl_Interp) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { tcl::load(interp, commands::refuse_safe) }
}
