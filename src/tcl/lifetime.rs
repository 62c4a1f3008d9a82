//! When interpreters, threads and the process end, and what is kept for each.
//!
//! `state` is an interpreter's own data of any type, gone with it. The hooks
//! tell whoever holds an interpreter beyond a command's end: `on_delete` when
//! its scripts cannot run any more, `before_delete` while they still can, and
//! `at_process_exit` / `at_thread_exit`. An `Event` is the call of a script for
//! something that has happened; what lives no longer than that is told by
//! `at_event_end`.

use super::command::panic_error;
use super::Interp;
use crate::base::log;
use crate::tcl_sys as sys;
use libc::{c_char, c_int, c_void};
use parking_lot::Mutex;
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

const ASSOC_KEY: &CStr = c"ns_connchan";

/// A hook that is told of an interpreter.
pub type InterpHook = fn(Interp);

#[derive(Default)]
struct PerInterp {
    /// A few entries, found faster by looking at each than by hashing.
    state: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
    on_delete: RefCell<Vec<InterpHook>>,
}

/// Whether the library has been loaded into this interpreter.
pub fn is_attached(interp: Interp) -> bool {
    per_interp(interp).is_some()
}

thread_local! {
    /// The interpreter that was asked for last, and its data: a deleted one is
    /// taken out by `interp_deleted`, before its address can be used again.
    static LAST_ASKED: Cell<Option<(Interp, &'static PerInterp)>> = const { Cell::new(None) };
}

fn per_interp(interp: Interp) -> Option<&'static PerInterp> {
    if let Some((_, data)) = LAST_ASKED.get().filter(|(last, _)| *last == interp) {
        return Some(data);
    }
    let found = look_up(interp);
    LAST_ASKED.set(found.map(|data| (interp, data)));
    found
}

fn look_up(interp: Interp) -> Option<&'static PerInterp> {
    // SAFETY: a live interpreter; the pointer is the box that `attach` made,
    // which lives until `interp_deleted`, after the last use of the reference
    // (each use ends within the call that made it).
    unsafe {
        sys::Tcl_GetAssocData(interp.as_ptr(), ASSOC_KEY.as_ptr(), null_mut()).cast::<PerInterp>().as_ref()
    }
}

fn attach(interp: Interp) -> &'static PerInterp {
    if let Some(data) = per_interp(interp) {
        return data;
    }
    let data = Box::into_raw(Box::<PerInterp>::default());
    // SAFETY: a live interpreter; the box is freed by `interp_deleted` alone.
    unsafe {
        sys::Tcl_SetAssocData(interp.as_ptr(), ASSOC_KEY.as_ptr(), Some(interp_deleted), data.cast());
        &*data
    }
}

/// The interpreter's own `T`, made on first use.
pub fn state<T: Any + Default>(interp: Interp) -> Rc<T> {
    let mut all = attach(interp).state.borrow_mut();
    let wanted = TypeId::of::<T>();
    let any = match all.iter().find(|(kind, _)| *kind == wanted) {
        Some((_, found)) => Rc::clone(found),
        None => {
            let fresh: Rc<dyn Any> = Rc::new(T::default());
            all.push((wanted, Rc::clone(&fresh)));
            fresh
        }
    };
    any.downcast::<T>().unwrap_or_else(|_| unreachable!("the map is keyed by type"))
}

/// Calls `hook` when the interpreter is deleted; its scripts can then run no
/// more.
pub fn on_delete(interp: Interp, hook: InterpHook) {
    attach(interp).on_delete.borrow_mut().push(hook);
}

unsafe extern "C" fn interp_deleted(client_data: *mut c_void, interp: *mut sys::Tcl_Interp) {
    // SAFETY: Tcl calls this once, with what `attach` gave it; the key is
    // already gone, so nobody finds the box any more.
    let (data, interp) =
        unsafe { (Box::from_raw(client_data.cast::<PerInterp>()), Interp::from_ptr(interp)) };
    // A thread may end with its thread-local values already gone.
    let _ = LAST_ASKED.try_with(|last| last.set(None));
    for hook in data.on_delete.take() {
        guarded(|| hook(interp));
    }
    let _ = LAST_ASKED.try_with(|last| last.set(None));
}

/// Calls `hook` while scripts still run in a child interpreter that its
/// parent is about to delete. Interpreters without a parent, and deletions
/// that do not begin with the parent's command, are not told.
pub fn before_delete(interp: Interp, hook: InterpHook) {
    // SAFETY: a live interpreter; null when it has no parent.
    let parent = unsafe { sys::Tcl_GetParent(interp.as_ptr()) };
    if parent.is_null() {
        return;
    }
    // SAFETY: the parent is a live interpreter of this thread; the path of a
    // direct child is a list of one element, the name of its command.
    let parent = unsafe { Interp::from_ptr(parent) };
    let saved = parent.result();
    // SAFETY: two live interpreters, the second a child of the first.
    let path = (unsafe { sys::Tcl_GetInterpPath(parent.as_ptr(), interp.as_ptr()) } == sys::TCL_OK)
        .then(|| parent.result());
    parent.set_result(&saved);
    let Some(name) = path.and_then(|p| p.elements()).and_then(|e| e.last().map(|n| n.text().into_owned()))
    else {
        return;
    };
    let Ok(name) = CString::new(name) else { return };
    let data = Box::into_raw(Box::new(ChildTrace { child: interp, hook }));
    // SAFETY: the trace is called once, when the command goes, and frees the
    // box; when it cannot be set, the box is freed here.
    unsafe {
        let status = sys::Tcl_TraceCommand(
            parent.as_ptr(),
            name.as_ptr(),
            sys::TCL_TRACE_DELETE,
            child_command_deleted,
            data.cast(),
        );
        if status != sys::TCL_OK {
            drop(Box::from_raw(data));
        }
    }
}

struct ChildTrace {
    child: Interp,
    hook: InterpHook,
}

unsafe extern "C" fn child_command_deleted(
    client_data: *mut c_void,
    _interp: *mut sys::Tcl_Interp,
    _old_name: *const c_char,
    _new_name: *const c_char,
    _flags: c_int,
) {
    // SAFETY: Tcl calls a delete trace once, with what `before_delete` gave it.
    let trace = unsafe { Box::from_raw(client_data.cast::<ChildTrace>()) };
    // The child's memory outlives its command; deleted already means that the
    // deletion did not begin with the command.
    if !trace.child.is_deleted() {
        guarded(|| (trace.hook)(trace.child));
    }
}

/// Hooks of `at_process_exit`.
static EXIT_HOOKS: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Calls `hook` when the process ends by Tcl's exit, in the thread that
/// called it, with its interpreters still alive.
pub fn at_process_exit(hook: fn()) {
    EXIT_HOOKS.lock().push(hook);
    // SAFETY: the client data is a function pointer that `exiting` turns back.
    unsafe { sys::Tcl_CreateExitHandler(exiting, hook as *mut c_void) }
}

/// Has these hooks called before the exit handlers of other libraries that were
/// registered since. Some (nsf's) take interpreters of other threads apart,
/// which must have ended by then.
pub fn come_first_at_process_exit() {
    for hook in EXIT_HOOKS.lock().iter() {
        // SAFETY: as in `at_process_exit`; deleting a handler that has been
        // called already does nothing.
        unsafe {
            sys::Tcl_DeleteExitHandler(exiting, *hook as *mut c_void);
            if !EXITING.load(Ordering::Acquire) {
                sys::Tcl_CreateExitHandler(exiting, *hook as *mut c_void);
            }
        }
    }
}

/// A hook of `at_process_exit` has been called.
static EXITING: AtomicBool = AtomicBool::new(false);

/// Calls `hook` when the calling thread ends, its interpreters being gone.
pub fn at_thread_exit(hook: fn()) {
    // SAFETY: the client data is a function pointer that `ending` turns back.
    unsafe { sys::Tcl_CreateThreadExitHandler(ending, hook as *mut c_void) }
}

unsafe extern "C" fn exiting(client_data: *mut c_void) {
    EXITING.store(true, Ordering::Release);
    // SAFETY: passed on.
    unsafe { ending(client_data) }
}

unsafe extern "C" fn ending(client_data: *mut c_void) {
    // SAFETY: put there by `at_process_exit` or `at_thread_exit`.
    let hook = unsafe { std::mem::transmute::<*mut c_void, fn()>(client_data) };
    guarded(hook);
}

thread_local! {
    /// The innermost event of this thread, 0 for none, and the last number given.
    static EVENT: Cell<u64> = const { Cell::new(0) };
    static LAST_EVENT: Cell<u64> = const { Cell::new(0) };
    static AT_EVENT_END: RefCell<Vec<EndHook>> = const { RefCell::new(Vec::new()) };
}

/// The number of an event, and what is done at its end.
type EndHook = (u64, Box<dyn FnOnce()>);

/// The call of a script for an event, from before it until after it. Events of
/// a thread nest.
pub struct Event {
    own: u64,
    outer: u64,
}

impl Event {
    /// The script is about to be called.
    pub fn begin() -> Event {
        let own = LAST_EVENT.get() + 1;
        LAST_EVENT.set(own);
        Event { own, outer: EVENT.replace(own) }
    }

    /// The script has returned. (So it has when an event is dropped.)
    pub fn end(self) {}
}

impl Drop for Event {
    fn drop(&mut self) {
        // Not when an outer event has ended before: then there is none left.
        if EVENT.get() >= self.own {
            EVENT.set(self.outer);
        }
        loop {
            // Those of inner events that were never ended are due, too.
            let due = AT_EVENT_END.try_with(|hooks| {
                let mut hooks = hooks.borrow_mut();
                let is_due = hooks.last().is_some_and(|(event, _)| *event >= self.own);
                is_due.then(|| hooks.pop()).flatten()
            });
            let Ok(Some((_, hook))) = due else { break };
            guarded(hook);
        }
    }
}

/// The number of the event for which a script is being called in this thread.
pub fn current_event() -> Option<u64> {
    Some(EVENT.get()).filter(|event| *event != 0)
}

/// Calls `hook` at the end of the innermost event; not at all without one.
pub fn at_event_end(hook: impl FnOnce() + 'static) {
    if let Some(event) = current_event() {
        AT_EVENT_END.with_borrow_mut(|hooks| hooks.push((event, Box::new(hook))));
    }
}

fn guarded(body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
        log::write(log::BUG, &panic_error(&*panic).message);
    }
}
