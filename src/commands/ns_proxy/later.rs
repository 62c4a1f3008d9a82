//! `nsproxy::callback`: waiting for a result in the event loop.
//!
//! What waits is a channel without a name in the thread's home, on a duplicate
//! of the worker's line. It only ever looks whether something is there.

use super::owner::{Owned, Owner};
use super::{fail, time_of, wrong_args};
use crate::base::Error;
use crate::connchan::channel::{Endpoint, Peer};
use crate::connchan::driver::Driver;
use crate::connchan::native::{Native, Turn};
use crate::connchan::{home, Channel};
use crate::proxy::handle::State;
use crate::proxy::Fault;
use crate::reactor::{MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::script::{Completion, Script};
use crate::tcl::{Interp, Obj, Outcome};
use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

/// `nsproxy::callback proxyId command ?timeout?`
pub fn callback(interp: Interp, words: &[Obj]) -> Outcome {
    let (id, command, timeout) = match words {
        [_, id, command] => (id, command, None),
        [_, id, command, timeout] => (id, command, Some(timeout)),
        _ => return Err(wrong_args(&words[..1], "/proxyId/ /command/ ?/timeout/?")),
    };
    let owned = Owner::of(interp).find(id)?;
    let timeout = timeout.map(time_of).transpose()?.filter(|time| time.as_micros() > 0);
    if command.raw_text().is_empty() {
        owned.unwatch();
        return Ok(());
    }
    let handle = &owned.handle;
    let worker = handle.worker().filter(|worker| !worker.is_foreign());
    let worker = match (handle.state(), worker) {
        (State::Idle, _) => return Err(fail(interp, Fault::Idle.waiting(handle.name()))),
        (_, None) => return Err(fail(interp, Fault::Dead.waiting(handle.name()))),
        (_, Some(worker)) => worker,
    };
    let line = worker
        .line()
        .try_clone()
        .map_err(|e| Error::posix("could not wait in the event loop", e.raw_os_error().unwrap_or(0)))?;
    let line = crate::net::descriptor::settle(line);
    let channel = Channel::unlisted(Endpoint::Stream(Arc::new(line)), Driver::PLAIN, Peer::Unknown);
    let watch = Watch {
        owned: Rc::downgrade(&owned),
        script: Rc::new(Script::new(command)),
        deadline: timeout.and_then(|t| Instant::now().checked_add(t.as_duration())),
        told: Cell::new(false),
    };
    home::register_native(interp, &channel, command, Rc::new(watch))?;
    owned.watch(Some(channel));
    Ok(())
}

/// Who waits for an answer.
struct Watch {
    owned: Weak<Owned>,
    script: Rc<Script>,
    deadline: Option<Instant>,
    told: Cell<bool>,
}

impl Native for Watch {
    fn turn(&self, channel: &Arc<Channel>, _buffer: &mut [u8], words: &mut Vec<Obj>, now: Instant) -> Turn {
        let Some(owned) = self.owned.upgrade().filter(|_| !self.told.get()) else { return Turn::Close };
        // Before looking, so that what comes afterwards is an edge.
        channel.readiness.clear(READABLE | MAYBE_READABLE | WRITABLE);
        let reason = if owned.handle.has_news() {
            "r"
        } else if self.deadline.is_some_and(|deadline| deadline <= now) {
            "t"
        } else {
            return Turn::Rest(self.deadline);
        };
        self.told.set(true);
        owned.forget_watch(channel);
        words.push(Obj::from_str(reason));
        Turn::Call(Rc::clone(&self.script))
    }

    fn finished(&self, _channel: &Arc<Channel>, interp: Interp, completion: Completion, _code: i32) {
        if let Completion::Error(message) = completion {
            home::log_script_error(interp, &message, "nsproxy callback");
        }
    }

    fn farewell(&self, _channel: &Arc<Channel>) {}
}
