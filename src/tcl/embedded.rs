//! An interpreter of our own making, in a program that links libtcl. The
//! library does not: it finds what it needs in the program.

use super::{command, Interp, Outcome};
use crate::tcl_sys as sys;
use libc::{c_char, c_int, c_void};
use std::ffi::CStr;
use std::ptr::null_mut;

/// Tcl_AppInitProc: prepares an interpreter.
pub type AppInit = unsafe extern "C" fn(interp: *mut sys::Tcl_Interp) -> c_int;

type FindExecutable = unsafe extern "C" fn(argv0: *const c_char) -> *const c_char;
type CreateInterp = unsafe extern "C" fn() -> *mut sys::Tcl_Interp;

/// A function of the program or of the libraries that it has loaded.
fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: looks a name up among all loaded objects.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// Makes an interpreter, has `init` prepare it, and runs `main` in it. The
/// exit status of the program; what goes wrong is told on standard error, as
/// is how a worker is started, to whoever starts one by hand.
///
/// # Safety
/// `argv` has `argc` strings, and `init` is a Tcl_AppInitProc.
pub unsafe fn run(
    argc: c_int,
    argv: *const *mut c_char,
    init: Option<AppInit>,
    main: fn(Interp) -> Outcome,
) -> c_int {
    if !(3..=4).contains(&argc) {
        // SAFETY: the caller's promise.
        let name = if argc > 0 { unsafe { CStr::from_ptr(*argv) }.to_string_lossy() } else { "".into() };
        eprintln!("usage: {} pool id ?command?", name.rsplit('/').next().unwrap_or_default());
        return 1;
    }
    let (Some(find), Some(create), Some(tcl_init)) =
        (symbol(c"Tcl_FindExecutable"), symbol(c"Tcl_CreateInterp"), symbol(c"Tcl_Init"))
    else {
        eprintln!("Ns_ProxyMain: this program is not linked with Tcl");
        return 1;
    };
    // SAFETY: the functions of these names have these types in Tcl 8.6 and 9
    // (what Tcl_FindExecutable returns is ignored); the caller's promise.
    unsafe {
        let find = std::mem::transmute::<*mut c_void, FindExecutable>(find);
        let create = std::mem::transmute::<*mut c_void, CreateInterp>(create);
        let tcl_init = std::mem::transmute::<*mut c_void, AppInit>(tcl_init);
        find(if argc > 0 { *argv } else { null_mut() });
        let interp = create();
        let mut code = tcl_init(interp);
        if code == sys::TCL_OK {
            code = super::load(interp, |_| Ok(()));
        }
        if !sys::is_initialized() {
            eprintln!("Ns_ProxyMain: this Tcl cannot be used");
            return 1;
        }
        if let (sys::TCL_OK, Some(init)) = (code, init) {
            code = init(interp);
        }
        let interp = Interp::from_ptr(interp);
        if code == sys::TCL_OK {
            code = command::complete(interp, || main(interp));
        }
        if code != sys::TCL_OK {
            eprintln!("{}", interp.result().text());
            return 1;
        }
        0
    }
}
