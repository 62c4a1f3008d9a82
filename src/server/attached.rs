//! Connections that live in the reactor of an interpreter's event loop
//! (`ns_serve -threads 0`): requests are read and parsed without a script, then
//! the handler is called in place.

use super::current;
use super::driver::Driver;
use super::exchange::{Exchange, State};
use super::machine::{Machine, Step};
use super::pipeline::{Pipeline, Run};
use super::scripts::{self, InInterp};
use crate::connchan::accept::{self, Taken};
use crate::connchan::home;
use crate::connchan::native::{Native, Turn};
use crate::connchan::Channel;
use crate::reactor::{MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::script::{Completion, Prepared};
use crate::tcl::{Interp, Obj};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

/// What the commands have to do with an exchange beyond their own call.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// A script has ended: what it has left in sets of its interpreter is taken
    /// over into the exchange.
    pub sync: fn(Interp, &mut Exchange),
    /// The exchange is over: what it has in its interpreter goes.
    pub cleanup: fn(Interp, &mut Exchange),
}

/// A driver's listening channel.
pub struct Listening {
    driver: Arc<Driver>,
    interp: Interp,
    script: Obj,
    hooks: Hooks,
}

impl Listening {
    /// For a driver whose handlers run in `interp`.
    pub fn new(driver: Arc<Driver>, interp: Interp, hooks: Hooks) -> Listening {
        Listening { driver, interp, script: Obj::from_str("ns_serve"), hooks }
    }

    fn accepted(&self, channel: Arc<Channel>, handshake: Duration) {
        let Some(connection) = self.driver.enter(&channel) else {
            home::close(&channel);
            return;
        };
        let attached = Attached {
            interp: self.interp,
            hooks: self.hooks,
            inner: RefCell::new(Inner {
                machine: Machine::new(connection, handshake),
                pipeline: Pipeline::default(),
                exchange: None,
                run: None,
            }),
        };
        if home::register_native(self.interp, &channel, &self.script, Rc::new(attached)).is_err() {
            home::close(&channel);
        }
    }
}

impl Native for Listening {
    fn turn(&self, channel: &Arc<Channel>, _: &mut [u8], _: &mut Vec<Obj>, now: Instant) -> Turn {
        channel.readiness.clear(MAYBE_READABLE | WRITABLE);
        for _ in 0..ACCEPTS {
            match accept::take(channel) {
                Taken::Connection(accepted, handshake) => self.accepted(accepted, handshake),
                Taken::None => return Turn::Rest(None),
                Taken::Pause(pause) => return Turn::Rest(Some(now + pause)),
            }
        }
        channel.readiness.set(READABLE);
        Turn::Rest(None)
    }

    fn finished(&self, _: &Arc<Channel>, _: Interp, _: Completion, _: i32) {}

    fn farewell(&self, _: &Arc<Channel>) {}
}

/// The listening channel was closed.
impl Drop for Listening {
    fn drop(&mut self) {
        self.driver.stop();
    }
}

struct Inner {
    machine: Machine,
    pipeline: Pipeline,
    /// The exchange, between scripts.
    exchange: Option<Box<Exchange>>,
    /// The script that runs.
    run: Option<Run>,
}

/// A connection.
struct Attached {
    interp: Interp,
    hooks: Hooks,
    inner: RefCell<Inner>,
}

impl Attached {
    /// The next script of the exchange, or what follows it.
    fn serve(&self, inner: &mut Inner, now: Instant) -> Option<Step> {
        let mut exchange = inner.exchange.take()?;
        if let Some(run) = inner.pipeline.next(&mut exchange) {
            inner.run = Some(run);
            inner.exchange = Some(exchange);
            return None;
        }
        (self.hooks.cleanup)(self.interp, &mut exchange);
        let outcome = exchange.outcome();
        inner.machine.recycle(exchange.take_request());
        inner.machine.over(outcome, now)
    }
}

impl Native for Attached {
    fn turn(&self, channel: &Arc<Channel>, buffer: &mut [u8], _: &mut Vec<Obj>, now: Instant) -> Turn {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let mut step = None;
        loop {
            if inner.exchange.is_some() {
                if self.interp.is_deleted() {
                    return Turn::Close;
                }
                step = self.serve(inner, now);
                if let Some(run) = &inner.run {
                    let script = scripts::get(run);
                    if let Some(exchange) = inner.exchange.take() {
                        current::push(exchange);
                    }
                    return Turn::Call(script);
                }
            }
            match step.take().unwrap_or_else(|| inner.machine.turn(channel, buffer, now)) {
                Step::Serve(exchange) => {
                    inner.exchange = Some(exchange);
                    inner.pipeline = Pipeline::default();
                }
                Step::Rest(deadline) => return Turn::Rest(deadline),
                Step::Leave => {
                    home::release(channel, self);
                    return Turn::Rest(None);
                }
                Step::Close => return Turn::Close,
            }
        }
    }

    fn finished(&self, channel: &Arc<Channel>, interp: Interp, completion: Completion, code: i32) {
        let exchange = current::pop();
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.exchange = exchange;
        let ended = InInterp::new(interp, code, completion);
        if let (Some(exchange), Some(run)) = (&mut inner.exchange, inner.run.take()) {
            (self.hooks.sync)(interp, exchange);
            inner.pipeline.finished(exchange, &run, &ended);
        }
        if inner.exchange.as_ref().is_some_and(|e| e.state() == State::Detached) {
            // From now on the home calls the channel's own callback, if it has
            // one: what is still to run for the exchange runs now.
            home::release(channel, self);
            let Some(exchange) = inner.exchange.take() else { return };
            inner.machine.over(exchange.outcome_detached(), Instant::now());
            rest(interp, exchange, std::mem::take(&mut inner.pipeline), self.hooks);
        }
    }

    fn farewell(&self, _: &Arc<Channel>) {}
}

/// An exchange whose connection was given away, with traces that have still to
/// run, the first of them.
struct Rest {
    interp: Interp,
    exchange: Box<Exchange>,
    pipeline: Pipeline,
    run: Run,
    hooks: Hooks,
}

thread_local!(static RESTS: RefCell<Vec<Rest>> = const { RefCell::new(Vec::new()) });

/// The command that runs them: `run_rests`.
pub const RESTS_COMMAND: &str = "::ns_connchan::traces";

/// Sees to what is left of an exchange whose connection was given away.
fn rest(interp: Interp, mut exchange: Box<Exchange>, mut pipeline: Pipeline, hooks: Hooks) {
    match pipeline.next(&mut exchange) {
        None => (hooks.cleanup)(interp, &mut exchange),
        Some(run) => {
            // Not now: the home is in the middle of a slice.
            RESTS.with_borrow_mut(|rests| rests.push(Rest { interp, exchange, pipeline, run, hooks }));
            let saved = interp.result();
            interp.call(&["::after", "0", RESTS_COMMAND].map(Obj::from_str));
            interp.set_result(&saved);
        }
    }
}

/// Runs the traces that have still to run in an interpreter.
pub fn run_rests(interp: Interp) {
    loop {
        let next = RESTS.with_borrow_mut(|rests| {
            let index = rests.iter().position(|rest| rest.interp == interp)?;
            Some(rests.remove(index))
        });
        let Some(Rest { mut exchange, mut pipeline, run, hooks, .. }) = next else { return };
        let mut next = Some(run);
        while let Some(run) = next {
            let script = scripts::get(&run);
            current::push(exchange);
            let (completion, code) = Prepared::run_alone(interp, &script);
            let Some(back) = current::pop() else { return };
            exchange = back;
            (hooks.sync)(interp, &mut exchange);
            pipeline.finished(&mut exchange, &run, &InInterp::new(interp, code, completion));
            next = pipeline.next(&mut exchange);
        }
        (hooks.cleanup)(interp, &mut exchange);
    }
}
