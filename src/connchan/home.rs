//! A thread's home: its reactor, driven by the event loop of the thread's
//! interpreters, and the scripts of the channels that live there.
//!
//! Here a home is made, entered and closed down; `slice` serves it.
//!
//! Everything happens in one thread. Nothing is borrowed while a script runs,
//! so scripts may do anything, also enter the event loop again, close any
//! channel, or delete their interpreter. A callback in progress keeps its
//! script and channel; what it returns counts only for the registration that
//! was called (spec/ns_connchan.md 3.5, R-6, R-7).

use super::channel::{here, Channel, Condition, Place, Registration};
use super::native::Native;
use super::slice::Slice;
use crate::base::{log, Error, Result};
use crate::reactor::{Key, Message, Payload, Reactor, Readiness, READABLE, WRITABLE};
use crate::tcl::event_source::{self, EventSource, Installed};
use crate::tcl::interp::Preserved;
use crate::tcl::lifetime;
use crate::tcl::script::{Completion, Prepared, Script};
use crate::tcl::{Interp, Obj};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What happens when an entry's time comes.
pub(super) enum Action {
    /// `ns_connchan callback`: the script hears the reason.
    Callback(Rc<Script>),
    /// `ns_connchan listen`: the script hears the handle of each connection.
    Accept(Rc<Script>),
    /// A TLS handshake, after which the accept script of the listener under
    /// this key is called.
    Handshake(Rc<Script>, Key),
    /// A protocol that is spoken here.
    Native(Rc<dyn Native>),
}

/// An action and the interpreter it runs in.
pub(super) struct Bound {
    pub(super) interp: Interp,
    pub(super) action: Action,
}

impl Bound {
    /// The script that is called with one word. None of a native protocol,
    /// which has its own.
    pub(super) fn script(&self) -> Option<&Rc<Script>> {
        match &self.action {
            Action::Callback(script) | Action::Accept(script) | Action::Handshake(script, _) => Some(script),
            Action::Native(_) => None,
        }
    }

    /// The name of the script's command, for messages.
    pub(super) fn command_name(&self) -> String {
        self.script().map(|script| script.command_name()).unwrap_or_default()
    }
}

/// The reactor's payload: a channel and what to do for it.
pub(super) struct Binding {
    pub(super) channel: Arc<Channel>,
    pub(super) bound: Rc<Bound>,
    /// Counts the registrations of this entry.
    pub(super) generation: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) wants_shutdown: bool,
}

impl Payload for Binding {
    fn readiness(&self) -> &Readiness {
        &self.channel.readiness
    }
}

/// The reason words, made once a thread.
pub(super) struct Reasons {
    r: Obj,
    w: Obj,
    e: Obj,
    x: Obj,
    pub(super) t: Obj,
}

/// A thread's home.
pub struct Home {
    pub(super) reactor: RefCell<Reactor<Binding>>,
    pub(super) reasons: Reasons,
    /// Where native protocols receive; none of it is kept between calls.
    pub(super) native_buffer: RefCell<Box<[u8]>>,
    /// A slice ended with work left: others come first, once.
    pub(super) give_way: Cell<bool>,
    /// Interpreters held while their scripts run, until the outermost slice
    /// ends: holding them for each call would cost a process-wide lock.
    held: RefCell<Vec<Preserved>>,
    /// Since when idle callbacks may have had no chance.
    pub(super) busy_since: Cell<Option<Instant>>,
    /// When the last slice ended.
    pub(super) last_slice: Cell<Option<Instant>>,
    /// Slices in progress, the innermost last.
    pub(super) slices: RefCell<Vec<Slice>>,
    /// Their number, to be asked at any time.
    pub(super) depth: Cell<usize>,
    /// Slices to be used again.
    pub(super) spare_slices: RefCell<Vec<Slice>>,
}

impl Reasons {
    /// The word for a readiness bit.
    pub(super) fn word(&self, reason: u8) -> &Obj {
        match reason {
            READABLE => &self.r,
            WRITABLE => &self.w,
            _ => &self.e,
        }
    }
}

/// A home and its place in the event loop.
type Installation = (Rc<Home>, Installed);

thread_local! {
    /// Left without a destructor: `close_down` empties it while Tcl still
    /// works, and after that nothing may call Tcl any more.
    static HOME: std::mem::ManuallyDrop<RefCell<Option<Installation>>> =
        const { std::mem::ManuallyDrop::new(RefCell::new(None)) };
}

/// Gives the calling thread a home, if it has none.
pub fn settle(interp: Interp) -> Result<()> {
    lifetime::on_delete(interp, forget_interp);
    lifetime::before_delete(interp, shutdown_interp);
    if current().is_some() {
        return Ok(());
    }
    let reactor = Reactor::new().map_err(|e| Error::new(format!("cannot create an event queue: {e}")))?;
    if event_source::tcl_uses_select() && reactor.descriptor() >= event_source::SELECT_LIMIT {
        return Err(Error::new(format!(
            "cannot load ns_connchan: this Tcl waits by select, which cannot watch descriptor {}",
            reactor.descriptor()
        )));
    }
    let word = Obj::from_str;
    let reasons = Reasons { r: word("r"), w: word("w"), e: word("e"), x: word("x"), t: word("t") };
    let home = Rc::new(Home {
        reactor: RefCell::new(reactor),
        reasons,
        native_buffer: RefCell::default(),
        give_way: Cell::new(false),
        held: RefCell::default(),
        busy_since: Cell::new(None),
        last_slice: Cell::new(None),
        slices: RefCell::default(),
        depth: Cell::new(0),
        spare_slices: RefCell::default(),
    });
    let installed = event_source::install(Rc::clone(&home) as Rc<dyn EventSource>);
    HOME.with(|slot| slot.replace(Some((home, installed))));
    lifetime::at_thread_exit(close_down);
    Ok(())
}

fn current() -> Option<Rc<Home>> {
    HOME.with(|slot| slot.borrow().as_ref().map(|(home, _)| Rc::clone(home)))
}

/// Registers a callback script, replacing the channel's present one; the
/// calling thread becomes the channel's home.
pub fn register(
    interp: Interp,
    channel: &Arc<Channel>,
    script: &Obj,
    condition: Condition,
    timeout: Option<Duration>,
) -> Result<()> {
    let registration = Registration { script: script.text().into(), condition };
    let bound = Bound { interp, action: Action::Callback(Rc::new(Script::new(script))) };
    let timeout = timeout.filter(|t| !t.is_zero());
    enter(channel, bound, condition, timeout, Some(registration))
}

/// Hands a channel over to a protocol; `script`, as text, is what `status` shows
/// for it.
pub fn register_native(
    interp: Interp,
    channel: &Arc<Channel>,
    script: &Obj,
    native: Rc<dyn Native>,
) -> Result<()> {
    let condition = Condition::parse("rw")?;
    let registration = Registration { script: script.text().into(), condition };
    let bound = Bound { interp, action: Action::Native(native) };
    enter(channel, bound, condition, None, Some(registration))?;
    // It may find something at once, without an edge: bytes that were read
    // ahead, or nothing to read and something to send.
    channel.nudge_home();
    Ok(())
}

/// The protocol `native` is done with a channel of this thread; the channel
/// lives on, and waits for a callback. Nothing is done when another protocol
/// has taken over already.
pub fn release<N: Native>(channel: &Channel, native: &N) {
    let (Some(home), Some(place)) = (current(), channel.place()) else { return };
    let mut reactor = home.reactor.borrow_mut();
    let is_native = |b: &Binding| match &b.bound.action {
        Action::Native(bound) => std::ptr::addr_eq(Rc::as_ptr(bound), native),
        _ => false,
    };
    if Arc::ptr_eq(&place.mailbox, reactor.mailbox()) && reactor.payload(place.key).is_some_and(is_native) {
        reactor.set_interest(place.key, 0);
        reactor.set_deadline(place.key, None);
    }
}

/// Registers the accept script of a listening channel.
pub fn listen(interp: Interp, channel: &Arc<Channel>, script: &Obj) -> Result<()> {
    let bound = Bound { interp, action: Action::Accept(Rc::new(Script::new(script))) };
    enter(channel, bound, Condition::parse("r")?, None, None)
}

/// Enters a connection whose TLS handshake is to be made in `timeout`, for the
/// listener under the key `listener`.
pub(super) fn shake_hands(
    accept: &Bound,
    listener: Key,
    channel: &Arc<Channel>,
    timeout: Duration,
) -> Result<()> {
    let Some(script) = accept.script() else { return Err(Error::new("could not register callback")) };
    let action = Action::Handshake(Rc::clone(script), listener);
    let bound = Bound { interp: accept.interp, action };
    let timeout = Some(timeout).filter(|t| !t.is_zero());
    enter(channel, bound, Condition::parse("r")?, timeout, None)
}

fn enter(
    channel: &Arc<Channel>,
    bound: Bound,
    condition: Condition,
    timeout: Option<Duration>,
    registration: Option<Registration>,
) -> Result<()> {
    let refused = || Error::new("could not register callback");
    let home = current().ok_or_else(refused)?;
    let fd = channel.fd();
    let bound = Rc::new(bound);
    if channel.has_failed() {
        // Whoever comes late hears of it, too.
        channel.fail();
    }
    let (key, moved) = channel.change_callback(|callback| {
        let mut moved = false;
        let mut reactor = home.reactor.borrow_mut();
        let key = match &callback.place {
            Some(place) if Arc::ptr_eq(&place.mailbox, reactor.mailbox()) => {
                let binding = reactor.payload_mut(place.key).ok_or_else(refused)?;
                binding.bound = bound;
                binding.generation = binding.generation.wrapping_add(1);
                binding.timeout = timeout;
                binding.wants_shutdown = condition.wants_shutdown();
                let key = place.key;
                reactor.set_interest(key, condition.interest());
                key
            }
            elsewhere => {
                let binding = Binding {
                    channel: Arc::clone(channel),
                    bound,
                    generation: 0,
                    timeout,
                    wants_shutdown: condition.wants_shutdown(),
                };
                let key = reactor.add(fd, condition.interest(), binding).map_err(|_| refused())?;
                if let Some(old) = elsewhere {
                    moved = true;
                    old.mailbox.send(Message::Remove(old.key));
                }
                let mailbox = Arc::clone(reactor.mailbox());
                callback.place = Some(Place { mailbox, key, thread: here() });
                key
            }
        };
        reactor.set_deadline(key, timeout.map(|t| Instant::now() + t));
        // What is known of a channel's readiness already is no edge any more.
        reactor.queue_if_ready(key);
        callback.registration = registration;
        Ok((key, moved))
    })?;
    if fd.is_none() {
        // It may have been connected since it was looked at, before there was
        // anybody to tell.
        home.attach(key);
    }
    if moved {
        // An older entry from the time when it was at home here goes now.
        home.read_mail();
    }
    Ok(())
}

/// Whether the calling thread is inside a callback: what waits there makes all
/// its channels wait.
pub fn in_callback() -> bool {
    current().is_some_and(|home| !home.slices.borrow().is_empty())
}

/// How many slices of the calling thread are in progress: more than one when a
/// script has entered the event loop, in which another one is called.
pub fn depth() -> usize {
    HOME.with(|slot| slot.borrow().as_ref().map_or(0, |(home, _)| home.depth.get()))
}

/// Closes a channel and removes its entry, wherever that is.
pub fn close(channel: &Channel) {
    let Some(place) = channel.close() else { return };
    if place.thread == here() {
        if let Some(home) = current() {
            let removed = home.reactor.borrow_mut().remove(place.key, None);
            drop(removed); // gives back Tcl values: not under the borrow
        }
    } else {
        place.mailbox.send(Message::Remove(place.key));
    }
}

/// Calls the scripts of this thread that asked for `x`, and closes every
/// channel that is at home here: the process is about to end.
pub fn shutdown() {
    if let Some(home) = current() {
        home.shut(|_| true, true);
    }
}

fn shutdown_interp(interp: Interp) {
    if let Some(home) = current() {
        home.shut(|bound| bound.interp == interp, true);
    }
}

fn forget_interp(interp: Interp) {
    if let Some(home) = current() {
        home.shut(|bound| bound.interp == interp, false);
    }
}

/// The thread ends: its channels are closed and the reactor goes.
fn close_down() {
    let taken = HOME.with(|slot| slot.take());
    if let Some((home, installed)) = taken {
        drop(installed);
        home.shut(|_| true, false);
    }
}

impl Home {
    /// Keeps an interpreter's memory until the outermost slice ends.
    pub(super) fn hold(&self, interp: Interp) {
        let mut held = self.held.borrow_mut();
        if !held.iter().any(|h| h.interp() == interp) {
            held.push(interp.preserve());
        }
    }

    /// Lets go of interpreters when the outermost slice has ended.
    pub(super) fn release(&self) {
        if self.slices.borrow().is_empty() {
            // Taken out first: deleting an interpreter closes channels.
            drop(self.held.take());
        }
    }

    /// Gives an entry the descriptor of its channel, if that has one by now.
    pub(super) fn attach(&self, key: Key) {
        let Some((channel, _)) = self.peek(key) else { return };
        let mut reactor = self.reactor.borrow_mut();
        if let Some(fd) = channel.fd() {
            if let Err(error) = reactor.attach(key, fd) {
                log::write(log::ERROR, &format!("{}: cannot wait for events: {error}", channel.name()));
            }
        }
        reactor.queue_if_ready(key);
    }

    /// Takes out an entry whose channel was closed or has moved.
    pub(super) fn remove(&self, key: Key) {
        let Some((channel, _)) = self.peek(key) else { return };
        let mut reactor = self.reactor.borrow_mut();
        // A channel that has come back is registered under another key.
        let is_back =
            channel.place().is_some_and(|p| Arc::ptr_eq(&p.mailbox, reactor.mailbox()) && p.key != key);
        let removed = reactor.remove(key, if is_back { None } else { channel.fd() });
        drop(reactor);
        drop(removed); // gives back Tcl values: not under the borrow
    }

    /// An entry's channel and what it is bound to.
    pub(super) fn peek(&self, key: Key) -> Option<(Arc<Channel>, Rc<Bound>)> {
        let reactor = self.reactor.borrow();
        reactor.payload(key).map(|b| (Arc::clone(&b.channel), Rc::clone(&b.bound)))
    }

    /// Closes the channels of some interpreters, first calling those that
    /// asked for `x` if scripts can still run.
    fn shut(&self, of: impl Fn(&Bound) -> bool, scripts_run: bool) {
        self.read_mail();
        let keys: Vec<Key> =
            self.reactor.borrow().iter().filter(|(_, b)| of(&b.bound)).map(|(key, _)| key).collect();
        for key in keys {
            let Some((channel, bound)) = self.peek(key) else { continue };
            if channel.is_home_elsewhere() {
                self.remove(key);
                continue;
            }
            let asked = self.reactor.borrow().payload(key).is_some_and(|b| b.wants_shutdown);
            if scripts_run && asked && !bound.interp.is_deleted() && channel.begin_callback() {
                // Whatever it returns: the channel is closed.
                if let Some(Completion::Error(message)) =
                    bound.script().map(|script| Prepared::run(bound.interp, script, &self.reasons.x))
                {
                    log_script_error(bound.interp, &message, "connchan proc");
                }
                channel.end_callback();
            }
            if let Action::Native(native) = &bound.action {
                native.farewell(&channel);
            }
            close(&channel);
        }
    }
}

/// Logs the error of a script that was called by an event, with its stack
/// trace and where it came from.
pub fn log_script_error(interp: Interp, message: &str, context: &str) {
    let trace = if interp.is_deleted() { None } else { interp.error_info() };
    let trace = trace.as_ref().map(|t| t.text()).filter(|t| t.starts_with(message));
    log::write(log::ERROR, &format!("{}\n    (context: {context})", trace.as_deref().unwrap_or(message)));
}
