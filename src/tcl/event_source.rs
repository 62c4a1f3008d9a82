//! A thread's own source of events in Tcl's event loop (Tcl_CreateEventSource).
//!
//! One descriptor stands for everything behind it: Tcl waits for that one,
//! whatever its notifier can do (8.6 uses select). When it becomes readable,
//! or when the source says so, the source's scripts are evaluated from the
//! event loop: `next_call` names one, a bare frame here evaluates it, and
//! `finished` hears how it ended, until there is none. So no frame of ours
//! that holds or catches anything is on the stack while a script runs, which
//! may enter the event loop again, or end its thread.

use crate::base::log;
use crate::tcl::command::panic_error;
use crate::tcl::script::Call;
use crate::tcl_sys as sys;
use libc::{c_int, c_long, c_void};
use std::cell::Cell;
use std::os::fd::RawFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

/// What a thread's event loop asks of its source. All calls come from the
/// thread that installed it.
pub trait EventSource {
    /// The descriptor that becomes readable when there is work.
    fn descriptor(&self) -> RawFd;
    /// Called before the loop waits: the longest time it may wait, `None`
    /// for as long as it likes.
    fn longest_wait(&self) -> Option<Duration>;
    /// Called after the wait: whether there is something to serve although
    /// the descriptor may not be readable, for timers and work left over.
    fn has_work(&self) -> bool;
    /// A slice of work begins; a script in it may begin another one.
    fn begin(&self);
    /// The next script of the innermost slice. `None` ends that slice. The
    /// call stays valid until `finished`.
    fn next_call(&self) -> Option<Call>;
    /// Whether, after the slice that has just ended, idle callbacks are to be
    /// called. Tcl calls them only when no event is waiting, which under load
    /// would be never.
    fn idle_is_due(&self) -> bool;
    /// The script that `next_call` named has ended with this completion code.
    fn finished(&self, code: c_int);
}

/// The highest descriptor, plus one, that the select of Tcl 8.6 can watch.
pub const SELECT_LIMIT: RawFd = libc::FD_SETSIZE as RawFd;

/// Whether this Tcl waits by select and so cannot use descriptors from
/// `SELECT_LIMIT` on.
pub fn tcl_uses_select() -> bool {
    sys::stubs().major == 8
}

struct Shared {
    source: Rc<dyn EventSource>,
    /// An event of ours is in Tcl's queue.
    queued: Cell<bool>,
}

/// An installed source; dropping it takes it out of the event loop.
pub struct Installed {
    shared: *mut Shared,
    descriptor: RawFd,
}

/// Installs `source` in the event loop of the calling thread.
pub fn install(source: Rc<dyn EventSource>) -> Installed {
    let descriptor = source.descriptor();
    let shared = Box::into_raw(Box::new(Shared { source, queued: Cell::new(false) }));
    // SAFETY: `shared` lives until `Installed` is dropped, which removes both
    // registrations first.
    unsafe {
        sys::Tcl_CreateEventSource(setup, check, shared.cast());
        sys::Tcl_CreateFileHandler(descriptor, sys::TCL_READABLE, readable, shared.cast());
    }
    Installed { shared, descriptor }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // SAFETY: installed by `install` in this thread; afterwards Tcl knows
        // `shared` no more, and the box is freed once.
        unsafe {
            sys::Tcl_DeleteFileHandler(self.descriptor);
            sys::Tcl_DeleteEventSource(setup, check, self.shared.cast());
            sys::Tcl_DeleteEvents(is_ours, self.shared.cast());
            drop(Box::from_raw(self.shared));
        }
    }
}

#[repr(C)]
struct Event {
    head: sys::Tcl_Event,
    shared: *mut Shared,
}

/// Runs `body`; a panic is logged, since there is nobody to tell.
fn guarded<T>(default: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        log::write(log::BUG, &panic_error(&*panic).message);
        default
    })
}

unsafe extern "C" fn setup(client_data: *mut c_void, flags: c_int) {
    if flags & sys::TCL_FILE_EVENTS == 0 {
        return;
    }
    // SAFETY: `install` registered it, and `Installed` removes it before freeing.
    let shared = unsafe { &*client_data.cast::<Shared>() };
    if let Some(wait) = guarded(None, || shared.source.longest_wait()) {
        // Rounded up, so that a deadline has passed when the wait ends.
        let micros = wait.as_nanos().div_ceil(1000);
        let time = sys::Tcl_Time {
            sec: (micros / 1_000_000).min(c_long::MAX as u128) as c_long,
            usec: (micros % 1_000_000) as c_long,
        };
        // SAFETY: Tcl copies the time.
        unsafe { sys::Tcl_SetMaxBlockTime(&time) }
    }
}

unsafe extern "C" fn check(client_data: *mut c_void, flags: c_int) {
    if flags & sys::TCL_FILE_EVENTS == 0 {
        return;
    }
    // SAFETY: as in `setup`.
    let shared = unsafe { &*client_data.cast::<Shared>() };
    if shared.queued.get() || !guarded(false, || shared.source.has_work()) {
        return;
    }
    shared.queued.set(true);
    // SAFETY: the event is allocated as Tcl wants it and owned by the queue
    // from here on; it is deleted with the source.
    unsafe {
        let event = sys::Tcl_Alloc(std::mem::size_of::<Event>()).cast::<Event>();
        event.write(Event {
            head: sys::Tcl_Event { proc_: Some(serve), nextPtr: std::ptr::null_mut() },
            shared: client_data.cast(),
        });
        sys::Tcl_QueueEvent(event.cast(), sys::TCL_QUEUE_TAIL);
    }
}

/// Serves one slice.
///
/// This frame is on the stack while scripts run. It owns nothing and catches
/// nothing: a script that ends its thread tears it down by force. When the
/// thread ends the source is taken out of the loop, and nobody returns here.
///
/// # Safety
/// `shared` is installed.
unsafe fn work(shared: *const Shared) {
    // SAFETY: the caller's promise, here and in the loop: scripts cannot take
    // the source out of the loop other than by ending the thread.
    let source: *const dyn EventSource = unsafe { Rc::as_ptr(&(*shared).source) };
    // SAFETY: as above.
    guarded((), || unsafe { &*source }.begin());
    // SAFETY: as above.
    while let Some(call) = guarded(None, || unsafe { &*source }.next_call()) {
        // SAFETY: the source keeps what it called until it is finished.
        let code = unsafe { call.evaluate() };
        // SAFETY: as above.
        guarded((), || unsafe { &*source }.finished(code));
    }
    // SAFETY: as above.
    if guarded(false, || unsafe { &*source }.idle_is_due()) {
        // SAFETY: serves idle callbacks and returns; scripts run as above.
        unsafe { sys::Tcl_DoOneEvent(sys::TCL_IDLE_EVENTS | sys::TCL_DONT_WAIT) };
    }
}

unsafe extern "C-unwind" fn readable(client_data: *mut c_void, _mask: c_int) {
    // Tcl calls file handlers from its queue, as it calls `serve`: scripts may
    // run here.
    // SAFETY: as in `setup`.
    unsafe { work(client_data.cast()) }
}

unsafe extern "C-unwind" fn serve(event: *mut sys::Tcl_Event, flags: c_int) -> c_int {
    if flags & sys::TCL_FILE_EVENTS == 0 {
        return 0; // stays in the queue
    }
    // SAFETY: an event that `check` queued.
    let shared = unsafe { &*(*event.cast::<Event>()).shared };
    shared.queued.set(false);
    // SAFETY: events of a source that is taken out are deleted with it.
    unsafe { work(shared) };
    1
}

unsafe extern "C" fn is_ours(event: *mut sys::Tcl_Event, client_data: *mut c_void) -> c_int {
    // SAFETY: Tcl calls with each queued event; `proc_` tells ours.
    unsafe {
        let ours = (*event).proc_.is_some_and(|p| std::ptr::fn_addr_eq(p, serve as sys::Tcl_EventProc))
            && (*event.cast::<Event>()).shared.cast::<c_void>() == client_data;
        c_int::from(ours)
    }
}
