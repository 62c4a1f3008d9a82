//! `ns_connchan` for every plain tclsh: what the shared library exports.
//!
//! Tcl calls `Ns_connchan_Init` when a script says `package require
//! ns_connchan` or `load libns_connchan.so`, and `Nsproxy_Init` for `package
//! require nsproxy` or `load libns_connchan.so Nsproxy`. Programs that embed Tcl
//! enter the loop of a worker by `Ns_ProxyMain`. The rooms, in reading order, are
//! described in ARCHITECTURE.md.

pub mod base;
pub mod client;
pub mod commands;
pub mod connchan;
pub mod crypto;
pub mod files;
pub mod http;
pub mod jobs;
pub mod net;
pub mod proxy;
pub mod reactor;
pub mod server;
pub mod shared;
pub mod tcl;
pub mod tcl_sys;
pub mod threads;
pub mod websocket;
pub mod ws;

use libc::{c_char, c_int};
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

/// Loads `ns_proxy` alone into an interpreter.
///
/// # Safety
/// As for `Ns_connchan_Init`.
#[no_mangle]
pub unsafe extern "C" fn Nsproxy_Init(interp: *mut Tcl_Interp) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { tcl::load(interp, commands::install_nsproxy) }
}

/// Refuses to load into a safe interpreter, with the reason.
///
/// # Safety
/// As for `Ns_connchan_Init`.
#[no_mangle]
pub unsafe extern "C" fn Nsproxy_SafeInit(interp: *mut Tcl_Interp) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { tcl::load(interp, commands::refuse_safe) }
}

/// The main of a worker program in C that links libtcl: makes an interpreter,
/// calls `init` (which may be null), and serves the process that started it
/// until that closes the line. Returns the exit status.
///
/// # Safety
/// `argv` has `argc` strings, as those of a C program's `main`, and `init` is a
/// Tcl_AppInitProc. Called from the program's first thread.
#[no_mangle]
pub unsafe extern "C" fn Ns_ProxyMain(
    argc: c_int,
    argv: *const *mut c_char,
    init: Option<tcl::embedded::AppInit>,
) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { tcl::embedded::run(argc, argv, init, commands::worker_main) }
}
