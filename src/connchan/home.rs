//! A thread's home: its reactor, driven by the event loop of the thread's
//! interpreters, and the scripts of the channels that live there.
//!
//! Here a home is made, entered and closed down; `slice` serves it.
//!
//! What another thread registers here comes as a letter: the channel and the
//! script as text. Everything else happens in one thread. Nothing is borrowed while a script runs,
//! so scripts may do anything, also enter the event loop again, close any
//! channel, or delete their interpreter. A callback in progress keeps its
//! script and channel; what it returns counts only for the registration that
//! was called (spec/ns_connchan.md 3.5, R-6, R-7).

use super::channel::{here, Callback, Channel, Condition, Place, Registration};
use super::native::Native;
use super::slice::Slice;
use super::socks::{self, Member, Seat};
use super::warm::Warm;
use crate::base::{log, Error, Result};
use crate::reactor::{Key, Message, Payload, Reactor, Readiness, MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::event_source::{self, EventSource, Installed};
use crate::tcl::interp::Preserved;
use crate::tcl::lifetime;
use crate::tcl::script::{Completion, Prepared, Script};
use crate::tcl::{Interp, Obj};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What happens when an entry's time comes.
pub(super) enum Action {
    /// `ns_connchan callback`: the script hears the reason.
    Callback(Rc<Script>),
    /// `ns_connchan listen`: the script hears the handle of each connection. The
    /// reactor threads that accept from the same listener, if these do.
    Accept(Rc<Script>, Option<Arc<[Arc<Member>]>>),
    /// A TLS handshake, after which the accept script of this listener is called.
    Handshake(Rc<Script>, Arc<Channel>),
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
            Action::Callback(script) | Action::Accept(script, _) | Action::Handshake(script, _) => {
                Some(script)
            }
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
    /// What this reactor has heard of a listener: others hear for themselves.
    pub(super) own: Option<Readiness>,
    /// Counts it to the load of a reactor thread.
    _seat: Option<Seat>,
}

impl Payload for Binding {
    fn readiness(&self) -> &Readiness {
        self.own.as_ref().unwrap_or(&self.channel.readiness)
    }

    fn has_moved(&self) -> bool {
        self.channel.is_home_elsewhere()
    }
}

/// A registration as it is entered into a home.
struct Entering {
    bound: Rc<Bound>,
    /// The channel's descriptor, looked up before: that takes another lock.
    fd: Option<RawFd>,
    condition: Condition,
    timeout: Option<Duration>,
    seat: Option<Seat>,
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
    /// TLS connections that keep their buffers.
    pub(super) warm: RefCell<Warm>,
    /// The thread's name.
    name: Arc<str>,
    /// As what other threads know it, and the interpreter for their scripts, when
    /// it is the home of a reactor thread.
    pub(super) member: OnceCell<(Arc<Member>, Interp)>,
    /// Connections that other reactor threads have accepted.
    pub(super) arrivals: RefCell<VecDeque<Arrival>>,
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
        warm: RefCell::default(),
        name: log::thread_name().into(),
        member: OnceCell::new(),
        arrivals: RefCell::default(),
    });
    let installed = event_source::install(Rc::clone(&home) as Rc<dyn EventSource>);
    HOME.with(|slot| slot.replace(Some((home, installed))));
    lifetime::at_thread_exit(close_down);
    Ok(())
}

fn current() -> Option<Rc<Home>> {
    HOME.with(|slot| slot.borrow().as_ref().map(|(home, _)| Rc::clone(home)))
}

/// Registers a callback script, replacing the channel's present one. The
/// channel's home is a reactor thread, if there are any, else the calling thread.
pub fn register(
    interp: Interp,
    channel: &Arc<Channel>,
    script: &Obj,
    condition: Condition,
    timeout: Option<Duration>,
) -> Result<()> {
    let registration = Registration { script: script.text().into(), condition };
    let timeout = timeout.filter(|t| !t.is_zero());
    let errand = || Errand::Callback(script.text().into());
    if assign(channel, errand, condition, timeout, &registration)? {
        return Ok(());
    }
    let bound = Bound { interp, action: Action::Callback(Rc::new(Script::new(script))) };
    enter(channel, bound, condition, timeout, Some(registration))
}

/// Hands a channel over to a protocol, in the calling thread; `script`, as text,
/// is what `status` shows for it.
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

/// Makes a protocol, in the channel's home.
pub type NativeMaker = Box<dyn FnOnce(&Arc<Channel>) -> Result<Rc<dyn Native>> + Send>;

/// Hands a channel over to a protocol that is made in the reactor thread which
/// becomes the channel's home. `None` when it is done; else the calling thread
/// shall be the home, and the maker comes back.
pub fn assign_native(
    channel: &Arc<Channel>,
    script: &Obj,
    maker: NativeMaker,
) -> Result<Option<NativeMaker>> {
    let condition = Condition::parse("rw")?;
    let registration = Registration { script: script.text().into(), condition };
    let mut maker = Some(maker);
    let mut errand = || Errand::Native(maker.take().expect("asked for once"));
    let done = assign(channel, &mut errand, condition, None, &registration)?;
    Ok(if done { None } else { maker })
}

/// The protocol `native` is done with a channel of this thread; the channel
/// lives on, and waits for a callback. Nothing is done when another protocol
/// has taken over already.
pub fn release<N: Native>(channel: &Channel, native: &N) {
    let (Some(home), Some(place)) = (current(), channel.place()) else { return };
    let Some(key) = place.key else { return };
    let mut reactor = home.reactor.borrow_mut();
    let is_native = |b: &Binding| match &b.bound.action {
        Action::Native(bound) => std::ptr::addr_eq(Rc::as_ptr(bound), native),
        _ => false,
    };
    if Arc::ptr_eq(&place.mailbox, reactor.mailbox()) && reactor.payload(key).is_some_and(is_native) {
        reactor.set_interest(key, 0);
        reactor.set_deadline(key, None);
    }
}

/// Registers the accept script of a listening channel: in each reactor thread,
/// if there are any, else in the calling thread.
pub fn listen(interp: Interp, channel: &Arc<Channel>, script: &Obj) -> Result<()> {
    if socks::destination(channel).is_some() || member().is_some() {
        let members = socks::members();
        if !members.is_empty() {
            return share(channel, &script.text(), members, None);
        }
    }
    let bound = Bound { interp, action: Action::Accept(Rc::new(Script::new(script)), None) };
    enter(channel, bound, Condition::parse("r")?, None, None)
}

/// Enters a connection whose TLS handshake is to be made in `timeout`, for a
/// listener.
pub(super) fn shake_hands(
    accept: &Bound,
    listener: &Arc<Channel>,
    channel: &Arc<Channel>,
    timeout: Duration,
) -> Result<()> {
    let Some(script) = accept.script() else { return Err(refused()) };
    let action = Action::Handshake(Rc::clone(script), Arc::clone(listener));
    let bound = Bound { interp: accept.interp, action };
    let timeout = Some(timeout).filter(|t| !t.is_zero());
    enter(channel, bound, Condition::parse("r")?, timeout, None)
}

fn refused() -> Error {
    Error::new("could not register callback")
}

fn enter(
    channel: &Arc<Channel>,
    bound: Bound,
    condition: Condition,
    timeout: Option<Duration>,
    registration: Option<Registration>,
) -> Result<()> {
    let home = current().ok_or_else(refused)?;
    let entering = Entering { bound: Rc::new(bound), fd: channel.fd(), condition, timeout, seat: None };
    let (key, moved) = channel.change_registration(|callback, generation| {
        let others = callback.take_others(home.reactor.borrow().mailbox());
        let key = home.place(channel, callback, entering, generation)?;
        callback.registration = registration;
        others.iter().for_each(|place| place.tell(Message::Remove));
        Ok((key, !others.is_empty()))
    })?;
    home.settle_in(channel, key);
    if moved {
        // An older entry from the time when it was at home here goes now.
        home.read_mail();
    }
    Ok(())
}

/// What a reactor thread is to do for a channel. The script comes as text.
enum Errand {
    Callback(Box<str>),
    Accept(Box<str>, Arc<[Arc<Member>]>),
    Native(NativeMaker),
}

/// A registration on its way to the channel's home.
struct Letter {
    channel: Arc<Channel>,
    generation: u32,
    errand: Errand,
    condition: Condition,
    timeout: Option<Duration>,
    /// Counts it to the load of that thread already.
    seat: Option<Seat>,
}

impl Letter {
    fn send(self, member: &Arc<Member>) -> std::result::Result<(), Message> {
        member.mailbox().offer(Message::Run(Box::new(move || adopt(self))))
    }
}

/// Where a channel will be at home in a reactor thread.
fn place_in(member: &Arc<Member>) -> Place {
    Place {
        mailbox: Arc::clone(member.mailbox()),
        key: None,
        thread: member.thread(),
        name: Arc::clone(member.name()),
        member: Some(Arc::clone(member)),
    }
}

/// Sends a registration to the reactor thread that shall have the channel.
/// False when the calling thread shall.
fn assign(
    channel: &Arc<Channel>,
    errand: impl FnOnce() -> Errand,
    condition: Condition,
    timeout: Option<Duration>,
    registration: &Registration,
) -> Result<bool> {
    let Some(member) = socks::destination(channel) else { return Ok(false) };
    if member.mailbox().is_closed() {
        return Ok(false);
    }
    channel.change_registration(|callback, generation| {
        let known = callback.place_at(member.mailbox()).is_some();
        let letter = Letter {
            channel: Arc::clone(channel),
            generation,
            errand: errand(),
            condition,
            timeout,
            seat: (!known).then(|| member.seat()),
        };
        // Under the lock, so that letters come in the order of registrations.
        letter.send(&member).map_err(|_| Error::new(format!("thread \"{}\" has ended", member.name())))?;
        let others = callback.take_others(member.mailbox());
        callback.place.get_or_insert_with(|| place_in(&member));
        callback.registration =
            Some(Registration { script: registration.script.clone(), condition: registration.condition });
        others.iter().for_each(|place| place.tell(Message::Remove));
        Ok(true)
    })
}

/// Has several reactor threads accept from a listener. With `after`, only if
/// that is still the number of its last registration.
pub(super) fn share(
    channel: &Arc<Channel>,
    script: &str,
    members: Arc<[Arc<Member>]>,
    after: Option<u32>,
) -> Result<()> {
    let condition = Condition::parse("r")?;
    let generation = channel.change_registration(|callback, generation| {
        if after.is_some_and(|after| after.wrapping_add(1) != generation) {
            return Err(refused());
        }
        let old: Vec<Place> = callback.place.take().into_iter().chain(callback.fellows.take()).collect();
        old.iter().for_each(|place| place.tell(Message::Remove));
        for member in members.iter() {
            let letter = Letter {
                channel: Arc::clone(channel),
                generation,
                errand: Errand::Accept(script.into(), Arc::clone(&members)),
                condition,
                timeout: None,
                seat: Some(member.seat()),
            };
            if letter.send(member).is_ok() {
                match callback.place {
                    None => callback.place = Some(place_in(member)),
                    Some(_) => callback.fellows.edit(|fellows| fellows.push(place_in(member))),
                }
            }
        }
        if callback.place.is_some() {
            Ok(generation)
        } else {
            Err(refused())
        }
    })?;
    socks::remember(channel, script, generation);
    Ok(())
}

/// Enters what another thread has registered for this one.
fn adopt(letter: Letter) {
    let Letter { channel, generation, errand, condition, timeout, seat } = letter;
    if channel.is_closed() || channel.generation() != generation {
        return;
    }
    let Some(home) = current() else { return };
    let entered = home.adopted(&channel, errand).and_then(|bound| {
        let entering = Entering { bound: Rc::new(bound), fd: channel.fd(), condition, timeout, seat };
        channel.change_callback(|callback| {
            // A later registration has taken its place.
            if channel.generation() != generation {
                return Ok(None);
            }
            home.place(&channel, callback, entering, generation).map(Some)
        })
    });
    match entered {
        Ok(Some(key)) => home.settle_in(&channel, key),
        Ok(None) => {}
        Err(_) if channel.is_closed() => {}
        Err(error) => {
            log::write(log::ERROR, &format!("{}: {}", channel.name(), error.message));
            close(&channel);
        }
    }
}

/// A connection that one reactor thread has accepted and another shall have.
pub(super) struct Arrival {
    pub(super) listener: Arc<Channel>,
    pub(super) accepted: Arc<Channel>,
    /// The time for its TLS handshake, if there is one to be made.
    pub(super) handshake: Option<Duration>,
    _seat: Seat,
}

/// Hands a connection over. It comes back when that thread has ended.
pub(super) fn hand_over(
    member: &Arc<Member>,
    listener: &Arc<Channel>,
    accepted: &Arc<Channel>,
    handshake: Option<Duration>,
) -> bool {
    let arrival = Arrival {
        listener: Arc::clone(listener),
        accepted: Arc::clone(accepted),
        handshake,
        _seat: member.seat(),
    };
    let arrive = move || match current() {
        Some(home) => home.arrivals.borrow_mut().push_back(arrival),
        None => close(&arrival.accepted),
    };
    member.mailbox().offer(Message::Run(Box::new(arrive))).is_ok()
}

/// Makes the calling thread, which has a home, a reactor thread.
pub fn enlist(interp: Interp) -> Result<Arc<Member>> {
    let home = current().ok_or_else(refused)?;
    let member = Member::of_this_thread(home.reactor.borrow().mailbox());
    let _ = home.member.set((Arc::clone(&member), interp));
    Ok(member)
}

/// The reactor thread that the calling thread is.
pub(super) fn member() -> Option<Arc<Member>> {
    current().and_then(|home| home.member.get().map(|(member, _)| Arc::clone(member)))
}

/// Whether the calling thread has no channel, and none is on its way; then
/// there will be none.
pub fn vacate() -> bool {
    current().is_none_or(|home| {
        home.reactor.borrow().is_empty()
            && home.arrivals.borrow().is_empty()
            && home.reactor.borrow().mailbox().close_if_empty()
    })
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
    let (place, fellows) = channel.close();
    for place in place.iter().chain(&fellows) {
        match (place.key, current().filter(|_| place.thread == here())) {
            (Some(key), Some(home)) => {
                let removed = home.reactor.borrow_mut().remove(key, None);
                drop(removed); // gives back Tcl values: not under the borrow
            }
            // One that is on its way finds the channel closed.
            _ => place.tell(Message::Remove),
        }
    }
}

/// Calls the scripts of this thread that asked for `x`, and closes every
/// channel that is at home here: the process is about to end.
pub fn shutdown() {
    if let Some(home) = current() {
        if home.member.get().is_some() {
            home.take_last_mail();
        }
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
    // What is on its way is entered first, to be closed with the others.
    if let Some(home) = current() {
        home.take_last_mail();
    }
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

    /// Makes an entry, or changes the one that is there. Under the lock of the
    /// channel's registration.
    fn place(
        &self,
        channel: &Arc<Channel>,
        callback: &mut Callback,
        entering: Entering,
        generation: u32,
    ) -> Result<Key> {
        let Entering { bound, fd, condition, timeout, seat } = entering;
        let own = matches!(bound.action, Action::Accept(..)).then(Readiness::default);
        let mut reactor = self.reactor.borrow_mut();
        let known = callback.place_at(reactor.mailbox()).and_then(|place| place.key);
        let key = match known {
            Some(key) => {
                let binding = reactor.payload_mut(key).ok_or_else(refused)?;
                binding.bound = bound;
                binding.generation = generation;
                binding.timeout = timeout;
                binding.wants_shutdown = condition.wants_shutdown();
                if let (Some(own), None) = (binding.own.take(), &own) {
                    // A listener that gets a callback.
                    channel.readiness.set(own.get());
                }
                binding.own = own;
                reactor.set_interest(key, condition.interest());
                key
            }
            None => {
                let seat = seat.or_else(|| self.member.get().map(|(member, _)| member.seat()));
                let binding = Binding {
                    channel: Arc::clone(channel),
                    bound,
                    generation,
                    timeout,
                    wants_shutdown: condition.wants_shutdown(),
                    own,
                    _seat: seat,
                };
                let key = reactor.add(fd, condition.interest(), binding).map_err(|_| refused())?;
                match callback.place_at(reactor.mailbox()) {
                    Some(place) => place.key = Some(key),
                    None => {
                        callback.place = Some(Place {
                            mailbox: Arc::clone(reactor.mailbox()),
                            key: Some(key),
                            thread: here(),
                            name: Arc::clone(&self.name),
                            member: self.member.get().map(|(member, _)| Arc::clone(member)),
                        });
                    }
                }
                key
            }
        };
        reactor.set_deadline(key, timeout.map(|t| Instant::now() + t));
        // What is known of a channel's readiness already is no edge any more.
        reactor.queue_if_ready(key);
        Ok(key)
    }

    /// What else is to be done for an entry that was just made or changed.
    fn settle_in(&self, channel: &Channel, key: Key) {
        if channel.has_failed() {
            // Whoever comes late hears of it, too.
            channel.fail();
            self.reactor.borrow_mut().queue_if_ready(key);
        }
        // Without a descriptor so far: it may have been connected since it was
        // looked at, before there was anybody to tell.
        self.attach(key);
    }

    /// What is to be called for an errand that came from another thread.
    fn adopted(&self, channel: &Arc<Channel>, errand: Errand) -> Result<Bound> {
        let ended = || Error::new("the thread of its callback has ended");
        let interp = self.member.get().map(|(_, interp)| *interp).ok_or_else(ended)?;
        if interp.is_deleted() {
            return Err(ended());
        }
        let script = |text: &str| Rc::new(Script::new(&Obj::from_str(text)));
        let action = match errand {
            Errand::Callback(text) => Action::Callback(script(&text)),
            Errand::Accept(text, fellows) => Action::Accept(script(&text), Some(fellows)),
            Errand::Native(make) => {
                let native = make(channel)?;
                // It may find something at once, without an edge.
                channel.readiness.set(MAYBE_READABLE);
                Action::Native(native)
            }
        };
        Ok(Bound { interp, action })
    }

    /// Does what was asked for until now; nobody can ask for more.
    fn take_last_mail(&self) {
        let mailbox = Arc::clone(self.reactor.borrow().mailbox());
        for message in mailbox.close() {
            self.heed(message);
        }
        for arrival in self.arrivals.take() {
            close(&arrival.accepted);
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
        let is_back = channel.is_at_under_another(reactor.mailbox(), key);
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
            if channel.is_home_elsewhere() || channel.leave(self.reactor.borrow().mailbox()) {
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
