//! The stub table: which slot holds which function, in 8.6 and in 9.0.
//!
//! The functions are declared "C-unwind": a script that ends its thread tears
//! down the stack by force, through Tcl and through us.
//!
//! `init` copies the needed slots into a `Stubs` once a process and checks
//! that none is empty; after that a call costs one load and an indirect jump.
//! `slots_test` compares the numbers with `tclDecls.h` of both versions
//! where those headers are installed.

use super::types::*;
use libc::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Magic number at the head of the table, by Tcl's major version (64 bits).
const MAGIC_8: u32 = 0xfca3_bacf;
const MAGIC_9: u32 = 0xfca3_bad3;

/// Offset in `Interp` of the pointer to the table: behind two pointers and
/// an int, in both versions.
const INTERP_STUB_TABLE: usize = 24;

/// Offset in the table of slot 0: behind the magic (padded) and a pointer.
const FIRST_SLOT: usize = 16;

/// One more than the highest slot of Tcl 8.6 that `init` may look at.
/// (Every 8.6 release has slots up to 630.)
const SLOTS_IN_86: usize = 631;

/// Marks a function that one of the versions has no need of.
const ABSENT: usize = usize::MAX;

macro_rules! stubs {
    ($( fn $name:ident [$slot8:expr, $slot9:expr] ( $($arg:ident : $ty:ty),* ) $(-> $ret:ty)? ; )*) => {
        /// The resolved functions, one field each.
        pub struct Stubs {
            /// Major version of the Tcl that loaded us: 8 or 9.
            pub major: c_int,
            $( $name: Option<unsafe extern "C-unwind" fn($($ty),*) $(-> $ret)?>, )*
        }

        /// Name, slot in 8.6 and slot in 9.0 of every function; `None` where
        /// that version is not asked for it.
        pub const SLOTS: &[(&str, Option<usize>, Option<usize>)] =
            &[ $( (stringify!($name), present($slot8), present($slot9)), )* ];

        impl Stubs {
            /// Reads the slots. The error names the first empty one.
            ///
            /// # Safety
            /// `table` points at the stub table of a Tcl of version `major`.
            unsafe fn resolve(table: *const u8, major: c_int) -> Result<Stubs, &'static str> {
                Ok(Stubs {
                    major,
                    $( $name: {
                        let slot = if major == 8 { $slot8 } else { $slot9 };
                        // SAFETY: the slot lies inside the table and holds null or a
                        // function of this signature (see `SLOTS` and its test).
                        match unsafe { read_slot(table, slot, major) } {
                            Slot::Absent => None,
                            Slot::Empty => return Err(stringify!($name)),
                            // SAFETY: as above; a non-null function pointer.
                            Slot::Function(f) => Some(unsafe {
                                std::mem::transmute::<*const c_void, unsafe extern "C-unwind" fn($($ty),*) $(-> $ret)?>(f)
                            }),
                        }
                    }, )*
                })
            }
        }

        $(
            /// Stub of the Tcl C function of this name.
            ///
            /// # Safety
            /// As the Tcl manual page of the function demands; `init` has succeeded.
            #[inline(always)]
            pub unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
                // `init` refuses a Tcl that lacks a function of its version, so
                // `None` is only a call that the caller reserved for the other.
                let f = stubs().$name.expect(concat!(stringify!($name), " is not in this Tcl"));
                // SAFETY: promised by the caller.
                unsafe { f($($arg),*) }
            }
        )*
    };
}

const fn present(slot: usize) -> Option<usize> {
    if slot == ABSENT {
        None
    } else {
        Some(slot)
    }
}

stubs! {
    fn Tcl_PkgProvideEx[0, 0](interp: *mut Tcl_Interp, name: *const c_char, version: *const c_char, clientData: *const c_void) -> c_int;
    fn Tcl_Alloc[3, 3](size: usize) -> *mut c_void;
    fn Tcl_Free[4, 4](memory: *mut c_void);
    fn Tcl_CreateFileHandler[9, 9](fd: c_int, mask: c_int, proc_: Tcl_FileProc, clientData: *mut c_void);
    fn Tcl_DeleteFileHandler[10, 10](fd: c_int);
    fn TclFreeObj[30, 30](obj: *mut Tcl_Obj);
    fn Tcl_GetBooleanFromObj[32, 32](interp: *mut Tcl_Interp, obj: *mut Tcl_Obj, value: *mut c_int) -> c_int;
    fn Tcl_GetByteArrayFromObj[33, ABSENT](obj: *mut Tcl_Obj, length: *mut isize) -> *mut u8;
    fn Tcl_GetBytesFromObj[ABSENT, 650](interp: *mut Tcl_Interp, obj: *mut Tcl_Obj, length: *mut isize) -> *mut u8;
    fn Tcl_GetIntFromObj[38, 38](interp: *mut Tcl_Interp, obj: *mut Tcl_Obj, value: *mut c_int) -> c_int;
    fn Tcl_GetStringFromObj[41, 651](obj: *mut Tcl_Obj, length: *mut isize) -> *mut c_char;
    fn Tcl_ListObjAppendElement[44, 44](interp: *mut Tcl_Interp, list: *mut Tcl_Obj, obj: *mut Tcl_Obj) -> c_int;
    fn Tcl_ListObjGetElements[45, 661](interp: *mut Tcl_Interp, list: *mut Tcl_Obj, objc: *mut isize, objv: *mut *mut *mut Tcl_Obj) -> c_int;
    fn Tcl_NewByteArrayObj[50, 50](bytes: *const u8, length: isize) -> *mut Tcl_Obj;
    fn Tcl_NewDoubleObj[51, 51](value: f64) -> *mut Tcl_Obj;
    fn Tcl_NewListObj[53, 53](objc: isize, objv: *const *mut Tcl_Obj) -> *mut Tcl_Obj;
    fn Tcl_NewObj[55, 55]() -> *mut Tcl_Obj;
    fn Tcl_NewStringObj[56, 56](bytes: *const c_char, length: isize) -> *mut Tcl_Obj;
    fn Tcl_AllowExceptions[68, 68](interp: *mut Tcl_Interp);
    fn Tcl_CreateEventSource[92, 92](setup: Tcl_EventSetupProc, check: Tcl_EventCheckProc, clientData: *mut c_void);
    fn Tcl_CreateExitHandler[93, 93](proc_: Tcl_ExitProc, clientData: *mut c_void);
    fn Tcl_CreateInterp[94, 94]() -> *mut Tcl_Interp;
    fn Tcl_CreateObjCommand[96, 96](interp: *mut Tcl_Interp, name: *const c_char, proc_: Tcl_ObjCmdProc, clientData: *mut c_void, delete: Option<Tcl_CmdDeleteProc>) -> Tcl_Command;
    fn Tcl_DeleteCommandFromToken[104, 104](interp: *mut Tcl_Interp, command: Tcl_Command) -> c_int;
    fn Tcl_DeleteEvents[105, 105](proc_: Tcl_EventDeleteProc, clientData: *mut c_void);
    fn Tcl_DeleteEventSource[106, 106](setup: Tcl_EventSetupProc, check: Tcl_EventCheckProc, clientData: *mut c_void);
    fn Tcl_DeleteExitHandler[107, 107](proc_: Tcl_ExitProc, clientData: *mut c_void);
    fn Tcl_DeleteInterp[110, 110](interp: *mut Tcl_Interp);
    fn Tcl_DoOneEvent[115, 115](flags: c_int) -> c_int;
    fn Tcl_GetAssocData[150, 150](interp: *mut Tcl_Interp, name: *const c_char, proc_: *mut Option<Tcl_InterpDeleteProc>) -> *mut c_void;
    fn Tcl_GetChannel[151, 151](interp: *mut Tcl_Interp, name: *const c_char, mode: *mut c_int) -> *mut c_void;
    fn Tcl_GetChannelHandle[153, 153](channel: *mut c_void, direction: c_int, handle: *mut *mut c_void) -> c_int;
    fn Tcl_GetChannelName[156, 156](channel: *mut c_void) -> *const c_char;
    fn Tcl_GetInterpPath[163, 163](interp: *mut Tcl_Interp, child: *mut Tcl_Interp) -> c_int;
    // Called Tcl_GetMaster in 8.6.
    fn Tcl_GetParent[164, 164](interp: *mut Tcl_Interp) -> *mut Tcl_Interp;
    fn Tcl_GetObjResult[166, 166](interp: *mut Tcl_Interp) -> *mut Tcl_Obj;
    fn Tcl_Init[180, 180](interp: *mut Tcl_Interp) -> c_int;
    fn Tcl_InterpDeleted[184, 184](interp: *mut Tcl_Interp) -> c_int;
    fn Tcl_MakeTcpClientChannel[191, 191](socket: *mut c_void) -> *mut c_void;
    fn Tcl_ObjSetVar2[196, 196](interp: *mut Tcl_Interp, part1: *mut Tcl_Obj, part2: *mut Tcl_Obj, value: *mut Tcl_Obj, flags: c_int) -> *mut Tcl_Obj;
    fn Tcl_Preserve[201, 201](data: *mut c_void);
    fn Tcl_QueueEvent[205, 205](event: *mut Tcl_Event, position: c_int);
    fn Tcl_RegisterChannel[210, 210](interp: *mut Tcl_Interp, channel: *mut c_void);
    fn Tcl_Release[216, 216](data: *mut c_void);
    fn Tcl_ResetResult[217, 217](interp: *mut Tcl_Interp);
    fn Tcl_SetAssocData[223, 223](interp: *mut Tcl_Interp, name: *const c_char, proc_: Option<Tcl_InterpDeleteProc>, clientData: *mut c_void);
    fn Tcl_SetChannelOption[225, 225](interp: *mut Tcl_Interp, channel: *mut c_void, name: *const c_char, value: *const c_char) -> c_int;
    fn Tcl_SetMaxBlockTime[229, 229](time: *const Tcl_Time);
    fn Tcl_SetObjErrorCode[234, 234](interp: *mut Tcl_Interp, code: *mut Tcl_Obj);
    fn Tcl_SetObjResult[235, 235](interp: *mut Tcl_Interp, result: *mut Tcl_Obj);
    // Both return an int in 8.6 and a Tcl_Size in 9.0: the low half is right.
    fn Tcl_Ungets[250, 250](channel: *mut c_void, bytes: *const c_char, length: isize, at_head: c_int) -> c_int;
    fn Tcl_Write[263, 263](channel: *mut c_void, bytes: *const c_char, length: isize) -> c_int;
    fn Tcl_WrongNumArgs[264, 264](interp: *mut Tcl_Interp, objc: isize, objv: *const *mut Tcl_Obj, message: *const c_char);
    fn Tcl_GetVersion[279, 279](major: *mut c_int, minor: *mut c_int, patch: *mut c_int, release: *mut c_int);
    fn Tcl_GetStackedChannel[283, 283](channel: *mut c_void) -> *mut c_void;
    fn Tcl_CreateThreadExitHandler[288, 288](proc_: Tcl_ExitProc, clientData: *mut c_void);
    fn Tcl_EvalObjv[292, 292](interp: *mut Tcl_Interp, objc: isize, objv: *const *mut Tcl_Obj, flags: c_int) -> c_int;
    fn Tcl_EvalObjEx[293, 293](interp: *mut Tcl_Interp, obj: *mut Tcl_Obj, flags: c_int) -> c_int;
    fn Tcl_FinalizeThread[297, 297]();
    fn Tcl_GetCurrentThread[300, 300]() -> Tcl_ThreadId;
    fn Tcl_GetVar2Ex[306, 306](interp: *mut Tcl_Interp, part1: *const c_char, part2: *const c_char, flags: c_int) -> *mut Tcl_Obj;
    fn Tcl_SetVar2Ex[317, 317](interp: *mut Tcl_Interp, part1: *const c_char, part2: *const c_char, value: *mut Tcl_Obj, flags: c_int) -> *mut Tcl_Obj;
    fn Tcl_ThreadAlert[318, 318](thread: Tcl_ThreadId);
    fn Tcl_ThreadQueueEvent[319, 319](thread: Tcl_ThreadId, event: *mut Tcl_Event, position: c_int);
    fn Tcl_StringCaseMatch[371, 371](string: *const c_char, pattern: *const c_char, flags: c_int) -> c_int;
    // The size of the stack is an `int` in 8.6 and a `size_t` in 9.0.
    fn Tcl_CreateThread[393, 393](id: *mut Tcl_ThreadId, proc_: Tcl_ThreadCreateProc, clientData: *mut c_void, stackSize: usize, flags: c_int) -> c_int;
    fn Tcl_JoinThread[412, 412](thread: Tcl_ThreadId, result: *mut c_int) -> c_int;
    fn Tcl_TraceCommand[426, 426](interp: *mut Tcl_Interp, name: *const c_char, flags: c_int, proc_: Tcl_CommandTraceProc, clientData: *mut c_void) -> c_int;
    fn Tcl_AttemptAlloc[428, 428](size: usize) -> *mut c_void;
    fn Tcl_GetWideIntFromObj[487, 487](interp: *mut Tcl_Interp, obj: *mut Tcl_Obj, value: *mut i64) -> c_int;
    fn Tcl_NewWideIntObj[488, 488](value: i64) -> *mut Tcl_Obj;
    fn Tcl_DictObjPut[494, 494](interp: *mut Tcl_Interp, dict: *mut Tcl_Obj, key: *mut Tcl_Obj, value: *mut Tcl_Obj) -> c_int;
    fn Tcl_DictObjGet[495, 495](interp: *mut Tcl_Interp, dict: *mut Tcl_Obj, key: *mut Tcl_Obj, value: *mut *mut Tcl_Obj) -> c_int;
    fn Tcl_DictObjRemove[496, 496](interp: *mut Tcl_Interp, dict: *mut Tcl_Obj, key: *mut Tcl_Obj) -> c_int;
    fn Tcl_DictObjSize[497, 663](interp: *mut Tcl_Interp, dict: *mut Tcl_Obj, size: *mut isize) -> c_int;
    fn Tcl_NewDictObj[503, 503]() -> *mut Tcl_Obj;
    fn Tcl_SetReturnOptions[538, 538](interp: *mut Tcl_Interp, options: *mut Tcl_Obj) -> c_int;
    fn Tcl_GetReturnOptions[539, 539](interp: *mut Tcl_Interp, code: c_int) -> *mut Tcl_Obj;
    fn Tcl_AppendObjToErrorInfo[574, 574](interp: *mut Tcl_Interp, obj: *mut Tcl_Obj);
    fn Tcl_CancelEval[580, 580](interp: *mut Tcl_Interp, result: *mut Tcl_Obj, clientData: *mut c_void, flags: c_int) -> c_int;
    fn Tcl_NRCreateCommand[583, 583](interp: *mut Tcl_Interp, name: *const c_char, proc_: Tcl_NrObjCmdProc, nre: Tcl_NrObjCmdProc, clientData: *mut c_void, delete: Option<Tcl_CmdDeleteProc>) -> Tcl_Command;
    fn Tcl_NREvalObj[584, 584](interp: *mut Tcl_Interp, obj: *mut Tcl_Obj, flags: c_int) -> c_int;
    fn Tcl_NRAddCallback[587, 587](interp: *mut Tcl_Interp, proc_: Tcl_NRPostProc, data0: *mut c_void, data1: *mut c_void, data2: *mut c_void, data3: *mut c_void);
    fn Tcl_NRCallObjProc[588, 588](interp: *mut Tcl_Interp, proc_: Tcl_NrObjCmdProc, clientData: *mut c_void, objc: isize, objv: *const *mut Tcl_Obj) -> c_int;
}

enum Slot {
    Absent,
    Empty,
    Function(*const c_void),
}

/// # Safety
/// `table` points at the stub table of a Tcl of version `major`.
unsafe fn read_slot(table: *const u8, slot: usize, major: c_int) -> Slot {
    if slot == ABSENT {
        return Slot::Absent;
    }
    debug_assert!(major != 8 || slot < SLOTS_IN_86);
    // SAFETY: the caller's promise, and no slot above 8.6's last is asked of 8.6.
    let f = unsafe { *table.add(FIRST_SLOT + slot * std::mem::size_of::<usize>()).cast::<*const c_void>() };
    if f.is_null() {
        Slot::Empty
    } else {
        Slot::Function(f)
    }
}

static STUBS: AtomicPtr<Stubs> = AtomicPtr::new(std::ptr::null_mut());

/// The resolved table.
///
/// # Panics
/// When no interpreter has loaded the library yet.
#[inline(always)]
pub fn stubs() -> &'static Stubs {
    // SAFETY: null, or a leaked box that `init` has published; never freed.
    unsafe { STUBS.load(Ordering::Acquire).as_ref() }
        .expect("ns_connchan is not loaded into a Tcl interpreter")
}

/// Whether `init` has succeeded in this process.
pub fn is_initialized() -> bool {
    !STUBS.load(Ordering::Acquire).is_null()
}

/// Why a Tcl was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum InitError {
    /// The interpreter has no stub table, or one of an unknown layout: no
    /// function of Tcl can be called, not even to set a result.
    NotTcl,
    /// A Tcl outside 8.6 to 9.x: its version. `report` sets the message.
    Unsupported(c_int, c_int),
    /// A function that its version should have is not in the table.
    Missing(&'static str),
}

/// Finds the stub table through `interp` and resolves it, once a process.
///
/// # Safety
/// `interp` is the interpreter that Tcl handed to an `Init` procedure.
pub unsafe fn init(interp: *mut Tcl_Interp) -> Result<(), InitError> {
    if is_initialized() {
        return Ok(());
    }
    // SAFETY: the pointer to the table lies at this offset in every Tcl since 8.0.
    let table = unsafe { *interp.cast::<u8>().add(INTERP_STUB_TABLE).cast::<*const u8>() };
    if table.is_null() {
        return Err(InitError::NotTcl);
    }
    // SAFETY: every stub table begins with its magic.
    let major = match unsafe { *table.cast::<u32>() } {
        MAGIC_8 => 8,
        MAGIC_9 => 9,
        _ => return Err(InitError::NotTcl),
    };
    // SAFETY: Tcl_GetVersion has had this slot and signature since 8.1.
    let (found_major, minor) = unsafe { version(table, major) }.ok_or(InitError::NotTcl)?;
    if !(found_major == 8 && minor >= 6 || found_major == 9) {
        return Err(InitError::Unsupported(found_major, minor));
    }
    // SAFETY: magic and version say that this is the table of such a Tcl.
    let stubs = unsafe { Stubs::resolve(table, found_major) }.map_err(InitError::Missing)?;
    let fresh = Box::into_raw(Box::new(stubs));
    if STUBS.compare_exchange(std::ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // Another thread was first.
        // SAFETY: `fresh` came from Box::into_raw just above and was not published.
        drop(unsafe { Box::from_raw(fresh) });
    }
    Ok(())
}

/// Asks `Tcl_GetVersion` of the table for (major, minor).
///
/// # Safety
/// `table` is a stub table with a known magic.
unsafe fn version(table: *const u8, major: c_int) -> Option<(c_int, c_int)> {
    const GET_VERSION: usize = 279;
    // SAFETY: promised by the caller.
    let Slot::Function(f) = (unsafe { read_slot(table, GET_VERSION, major) }) else { return None };
    // SAFETY: slot 279 is Tcl_GetVersion in every Tcl since 8.1.
    let get = unsafe {
        std::mem::transmute::<
            *const c_void,
            unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int, *mut c_int),
        >(f)
    };
    let (mut major, mut minor) = (0, 0);
    // SAFETY: null pointers are allowed for what is not wanted.
    unsafe { get(&mut major, &mut minor, std::ptr::null_mut(), std::ptr::null_mut()) };
    Some((major, minor))
}

/// Sets `message` as the result of an interpreter of a Tcl that `init`
/// refused as `Unsupported`, with functions that every stub-era Tcl has.
///
/// # Safety
/// `interp` is the one for which `init` has just returned `Unsupported`.
pub unsafe fn report_unsupported(interp: *mut Tcl_Interp, message: &str) {
    const NEW_STRING_OBJ: usize = 56;
    const SET_OBJ_RESULT: usize = 235;
    // SAFETY: `init` found the table there and knew its magic; both slots have
    // had their number and signature since Tcl 8.1.
    unsafe {
        let table = *interp.cast::<u8>().add(INTERP_STUB_TABLE).cast::<*const u8>();
        let (Slot::Function(new), Slot::Function(set)) =
            (read_slot(table, NEW_STRING_OBJ, 8), read_slot(table, SET_OBJ_RESULT, 8))
        else {
            return;
        };
        let new = std::mem::transmute::<
            *const c_void,
            unsafe extern "C" fn(*const c_char, isize) -> *mut Tcl_Obj,
        >(new);
        let set =
            std::mem::transmute::<*const c_void, unsafe extern "C" fn(*mut Tcl_Interp, *mut Tcl_Obj)>(set);
        set(interp, new(message.as_ptr().cast(), message.len() as isize));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fake interpreter whose table has the given magic and version.
    fn fake_table(magic: u32, get_version: *const c_void) -> Vec<usize> {
        let mut table = vec![0usize; 2 + 700];
        table[0] = magic as usize;
        table[2 + 279] = get_version as usize;
        table
    }

    fn fake_interp(table: &[usize]) -> Vec<usize> {
        vec![0, 0, 0, table.as_ptr() as usize]
    }

    unsafe extern "C" fn tcl_85(major: *mut c_int, minor: *mut c_int, _: *mut c_int, _: *mut c_int) {
        // SAFETY: called by `version` with valid pointers.
        unsafe { (*major, *minor) = (8, 5) }
    }

    unsafe extern "C" fn tcl_90(major: *mut c_int, minor: *mut c_int, _: *mut c_int, _: *mut c_int) {
        // SAFETY: called by `version` with valid pointers.
        unsafe { (*major, *minor) = (9, 0) }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let no_table = vec![0usize; 4];
        let table = fake_table(0x1234, std::ptr::null());
        let unknown_magic = fake_interp(&table);
        let old_table = fake_table(MAGIC_8, tcl_85 as *const c_void);
        let too_old = fake_interp(&old_table);
        let bare_table = fake_table(MAGIC_9, tcl_90 as *const c_void);
        let incomplete = fake_interp(&bare_table);
        let try_init = |interp: &[usize]| {
            // SAFETY: the fakes have a pointer at the offset that `init` reads.
            unsafe { init(interp.as_ptr() as *mut Tcl_Interp) }
        };
        assert_eq!(try_init(&no_table), Err(InitError::NotTcl));
        assert_eq!(try_init(&unknown_magic), Err(InitError::NotTcl));
        assert_eq!(try_init(&too_old), Err(InitError::Unsupported(8, 5)));
        assert_eq!(try_init(&incomplete), Err(InitError::Missing("Tcl_PkgProvideEx")));
        assert!(!is_initialized());
    }

    #[test]
    fn slots_lie_inside_the_tables() {
        for (name, in8, in9) in SLOTS {
            assert!(in8.is_none_or(|s| s < SLOTS_IN_86), "{name}");
            assert!(in8.is_some() || in9.is_some(), "{name}");
        }
    }
}
