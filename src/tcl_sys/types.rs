//! Types and constants of `tcl.h`, in the layout that 8.6 and 9.0 share on
//! 64-bit little-endian machines.

use libc::{c_char, c_int, c_long, c_void};

/// An interpreter; only its first fields are looked at, when the library is
/// loaded (see `stubs::init`).
#[repr(C)]
pub struct Tcl_Interp {
    _opaque: [u8; 0],
}

/// `Tcl_Obj`. 8.6 declares `refCount` and `length` as `int`, 9.0 as
/// `Tcl_Size`; the offsets are the same.
#[repr(C)]
pub struct Tcl_Obj {
    _ref_count: isize,
    /// The string representation, or null when there is none.
    pub bytes: *mut c_char,
    _length: isize,
    /// Type of the internal representation, or null.
    pub typePtr: *const Tcl_ObjType,
    /// `internalRep.twoPtrValue`.
    pub internalRep: [*mut c_void; 2],
}

pub type Tcl_FreeInternalRepProc = unsafe extern "C" fn(obj: *mut Tcl_Obj);
pub type Tcl_DupInternalRepProc = unsafe extern "C" fn(src: *mut Tcl_Obj, dup: *mut Tcl_Obj);
pub type Tcl_UpdateStringProc = unsafe extern "C" fn(obj: *mut Tcl_Obj);
pub type Tcl_SetFromAnyProc = unsafe extern "C" fn(interp: *mut Tcl_Interp, obj: *mut Tcl_Obj) -> c_int;

/// `Tcl_ObjType`. 8.6 ends after `setFromAnyProc`; 9.0 reads `version`,
/// where 0 (TCL_OBJTYPE_V0) says that nothing follows.
#[repr(C)]
pub struct Tcl_ObjType {
    pub name: *const c_char,
    pub freeIntRepProc: Option<Tcl_FreeInternalRepProc>,
    pub dupIntRepProc: Option<Tcl_DupInternalRepProc>,
    pub updateStringProc: Option<Tcl_UpdateStringProc>,
    pub setFromAnyProc: Option<Tcl_SetFromAnyProc>,
    pub version: usize,
}

// SAFETY: immutable after construction; the name is a static C string.
unsafe impl Sync for Tcl_ObjType {}

/// `Tcl_Event`, the head of every queued event; Tcl frees it with `Tcl_Free`.
#[repr(C)]
pub struct Tcl_Event {
    pub proc_: Option<Tcl_EventProc>,
    pub nextPtr: *mut Tcl_Event,
}

/// `Tcl_Time`: seconds and microseconds.
#[repr(C)]
pub struct Tcl_Time {
    /// `long` in 8.6, `long long` in 9.0: the same on 64-bit Linux.
    pub sec: c_long,
    pub usec: c_long,
}

pub type Tcl_Command = *mut c_void;
pub type Tcl_ThreadId = *mut c_void;
pub type Tcl_ThreadCreateProc = unsafe extern "C-unwind" fn(clientData: *mut c_void);
pub type Tcl_ObjCmdProc = unsafe extern "C" fn(
    clientData: *mut c_void,
    interp: *mut Tcl_Interp,
    objc: c_int,
    objv: *const *mut Tcl_Obj,
) -> c_int;
pub type Tcl_CmdDeleteProc = unsafe extern "C" fn(clientData: *mut c_void);
/// A `Tcl_ObjCmdProc` that scripts are evaluated below: one that ends its thread unwinds through it.
pub type Tcl_NrObjCmdProc = unsafe extern "C-unwind" fn(
    clientData: *mut c_void,
    interp: *mut Tcl_Interp,
    objc: c_int,
    objv: *const *mut Tcl_Obj,
) -> c_int;
pub type Tcl_NRPostProc =
    unsafe extern "C" fn(data: *mut *mut c_void, interp: *mut Tcl_Interp, result: c_int) -> c_int;
pub type Tcl_InterpDeleteProc = unsafe extern "C" fn(clientData: *mut c_void, interp: *mut Tcl_Interp);
pub type Tcl_ExitProc = unsafe extern "C" fn(clientData: *mut c_void);
pub type Tcl_FileProc = unsafe extern "C-unwind" fn(clientData: *mut c_void, mask: c_int);
pub type Tcl_EventProc = unsafe extern "C-unwind" fn(event: *mut Tcl_Event, flags: c_int) -> c_int;
pub type Tcl_EventDeleteProc = unsafe extern "C" fn(event: *mut Tcl_Event, clientData: *mut c_void) -> c_int;
pub type Tcl_EventSetupProc = unsafe extern "C" fn(clientData: *mut c_void, flags: c_int);
pub type Tcl_EventCheckProc = unsafe extern "C" fn(clientData: *mut c_void, flags: c_int);
pub type Tcl_CommandTraceProc = unsafe extern "C" fn(
    clientData: *mut c_void,
    interp: *mut Tcl_Interp,
    oldName: *const c_char,
    newName: *const c_char,
    flags: c_int,
);

pub const TCL_OK: c_int = 0;
pub const TCL_ERROR: c_int = 1;
pub const TCL_RETURN: c_int = 2;
pub const TCL_BREAK: c_int = 3;
pub const TCL_CONTINUE: c_int = 4;

pub const TCL_READABLE: c_int = 1 << 1;
pub const TCL_WRITABLE: c_int = 1 << 2;
pub const TCL_DONT_WAIT: c_int = 1 << 1;
pub const TCL_IDLE_EVENTS: c_int = 1 << 5;
pub const TCL_FILE_EVENTS: c_int = 1 << 3;
pub const TCL_QUEUE_TAIL: c_int = 0;
pub const TCL_EVAL_GLOBAL: c_int = 0x20000;
pub const TCL_GLOBAL_ONLY: c_int = 1;
pub const TCL_CANCEL_UNWIND: c_int = 0x100000;
pub const TCL_THREAD_JOINABLE: c_int = 1;
pub const TCL_LEAVE_ERR_MSG: c_int = 0x200;
pub const TCL_TRACE_DELETE: c_int = 0x4000;
