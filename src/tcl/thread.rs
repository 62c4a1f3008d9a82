//! Threads that have an interpreter of their own and live in Tcl's event loop.
//!
//! `start` makes one; a `Body` says what it does. As in `event_source`, scripts
//! are evaluated by frames that own nothing and catch nothing, since a script
//! may end its thread, which tears the stack down by force: `next_call` names a
//! script, a bare frame evaluates it, `finished` hears how it ended. What the
//! thread owns is kept beside its stack and goes by the thread's exit handler.

use super::command::panic_error;
use super::lifetime;
use super::script::Call;
use crate::base::log;
use crate::tcl_sys as sys;
use libc::{c_int, c_void};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::rc::Rc;

/// Stack of a thread in bytes, as the first thread of a process has it.
const STACK: usize = 8 << 20;

/// What a thread does. All calls come from the thread itself.
pub trait Body {
    /// The thread has begun.
    fn begin(&self);
    /// The next script to evaluate, if there is any now. It is asked for again
    /// when the event loop has served something, also from inside a script that
    /// has entered the event loop. The call stays valid until `finished`.
    fn next_call(&self) -> Option<Call>;
    /// The script that `next_call` named has ended with this completion code.
    fn finished(&self, code: c_int);
    /// Whether to wait for more. Asked when no script of the thread is running.
    fn goes_on(&self) -> bool;
    /// The thread ends in an orderly way.
    fn end(&self);
}

/// Names a thread of this process to Tcl.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadId(sys::Tcl_ThreadId);

// SAFETY: a number in the shape of a pointer, which Tcl never follows.
unsafe impl Send for ThreadId {}
// SAFETY: as above.
unsafe impl Sync for ThreadId {}

impl ThreadId {
    /// The calling thread.
    pub fn current() -> ThreadId {
        // SAFETY: no preconditions.
        ThreadId(unsafe { sys::Tcl_GetCurrentThread() })
    }

    /// Has the thread, one that `start` made, ask its body for a script. Tcl
    /// drops the request when the thread has ended.
    pub fn wake(self) {
        // SAFETY: the event is allocated as Tcl wants it, and Tcl's from here
        // on; it holds nothing.
        unsafe {
            let event = sys::Tcl_Alloc(std::mem::size_of::<sys::Tcl_Event>()).cast::<sys::Tcl_Event>();
            event.write(sys::Tcl_Event { proc_: Some(woken), nextPtr: null_mut() });
            sys::Tcl_ThreadQueueEvent(self.0, event, sys::TCL_QUEUE_TAIL);
            sys::Tcl_ThreadAlert(self.0);
        }
    }

    /// Waits for the end of a thread that is about to end. Once for each that
    /// `start` made.
    pub fn join(self) {
        let mut result = 0;
        // SAFETY: a joinable thread.
        unsafe {
            sys::Tcl_JoinThread(self.0, &mut result);
        }
    }
}

/// Makes the body, in the new thread.
pub type Maker = Box<dyn FnOnce() -> Rc<dyn Body> + Send>;

thread_local! {
    /// Left without a destructor: `leave` empties it while Tcl still works.
    static BODY: ManuallyDrop<RefCell<Option<Rc<dyn Body>>>> = const { ManuallyDrop::new(RefCell::new(None)) };
}

/// Starts a thread, to be joined. `None` when the system has none left.
pub fn start(maker: Maker) -> Option<ThreadId> {
    let data = Box::into_raw(Box::new(maker));
    let mut id = null_mut();
    // SAFETY: `main` takes the box over, or it is freed here.
    unsafe {
        if sys::Tcl_CreateThread(&mut id, main, data.cast(), STACK, sys::TCL_THREAD_JOINABLE) == sys::TCL_OK {
            return Some(ThreadId(id));
        }
        drop(Box::from_raw(data));
    }
    None
}

/// Runs `body`; a panic is logged, since there is nobody to tell.
fn guarded<T>(default: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        log::write(log::BUG, &panic_error(&*panic).message);
        default
    })
}

/// The whole life of a thread. This frame stays free of whatever would have to
/// be cleaned up: see the head of this file.
unsafe extern "C-unwind" fn main(client_data: *mut c_void) {
    let body = guarded(None, || {
        // SAFETY: `start` has handed the box over to this thread.
        let maker = unsafe { Box::from_raw(client_data.cast::<Maker>()) };
        let body = maker();
        let address: *const dyn Body = Rc::as_ptr(&body);
        BODY.with(|slot| slot.replace(Some(Rc::clone(&body))));
        lifetime::at_thread_exit(leave);
        body.begin();
        Some(address)
    });
    if let Some(body) = body {
        // SAFETY: `BODY` holds it until the thread's exit handlers run, which is
        // below, or when a script ends the thread and nobody returns here.
        unsafe {
            loop {
                work(body);
                if !guarded(false, || (*body).goes_on()) {
                    break;
                }
                sys::Tcl_DoOneEvent(0);
            }
            guarded((), || (*body).end());
        }
    }
    // SAFETY: the last call into Tcl of this thread.
    unsafe { sys::Tcl_FinalizeThread() }
}

/// Evaluates what the body names.
///
/// # Safety
/// The body is the one of this thread, and alive.
unsafe fn work(body: *const dyn Body) {
    // SAFETY: the caller's promise; a script cannot take the body away other
    // than by ending the thread, and then nobody returns here.
    unsafe {
        while let Some(call) = guarded(None, || (*body).next_call()) {
            let code = call.evaluate();
            guarded((), || (*body).finished(code));
        }
    }
}

unsafe extern "C-unwind" fn woken(_event: *mut sys::Tcl_Event, flags: c_int) -> c_int {
    if flags & sys::TCL_FILE_EVENTS == 0 {
        return 0; // stays in the queue
    }
    if let Some(body) = BODY.with(|slot| slot.borrow().as_ref().map(Rc::as_ptr)) {
        // SAFETY: it stays in its slot until the thread ends.
        unsafe { work(body) }
    }
    1
}

/// The thread ends, in whatever way.
fn leave() {
    let body = BODY.with(|slot| slot.take());
    drop(body);
}
