//! How a home serves what is ready: a slice of scripts at a time.
//!
//! A slice is a small state machine, since the script itself is evaluated by
//! a frame outside (see `tcl::event_source`): `next_call` looks for the next
//! script and notes in the slice what it was for, `finished` applies the
//! outcome. Slices nest when a script enters the event loop.

use super::accept::{self, Next};
use super::channel::Channel;
use super::home::{close, log_script_error, Action, Bound, Home};
use crate::base::log;
use crate::reactor::{Key, Message, ERROR, HUNG_UP, MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::event_source::EventSource;
use crate::tcl::script::{Call, Completion, Prepared};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a home works before it lets timers, file events and idle
/// callbacks of the same interpreter have their turn.
const LENGTH: Duration = Duration::from_millis(2);

/// How long a busy home looks for more before it goes back to Tcl's event
/// loop, whose own way of waiting costs about as much (a change of threads
/// and back under 8.6).
const LINGER: Duration = Duration::from_micros(40);

/// A home is busy when its last slice ended this recently.
const BUSY: Duration = Duration::from_micros(200);

/// Connections accepted before other channels have their turn.
const ACCEPTS: usize = 64;

/// The order in which a channel's reasons are served.
const REASONS: [u8; 3] = [READABLE, WRITABLE, ERROR];

/// A slice in progress.
pub(super) struct Slice {
    end: Instant,
    /// Entries left of this round, those that were ready when it began.
    left: usize,
    /// Whether to look for more when nothing is ready.
    linger: bool,
    step: Step,
    call: Prepared,
}

/// What a slice is at.
enum Step {
    /// Between entries.
    Idle,
    /// An entry's reasons, from this index of `REASONS` on.
    Reasons { key: Key, channel: Arc<Channel>, next: usize },
    /// An expired deadline of this entry.
    Expired { key: Key },
    /// A listener, and how many connections it may still take.
    Accept { key: Key, listening: Arc<Channel>, left: usize },
    /// The script of a callback runs; what comes after it.
    Running { key: Key, channel: Arc<Channel>, bound: Rc<Bound>, generation: u32, then: Then },
    /// The accept script runs for this connection.
    Accepting { key: Key, listening: Arc<Channel>, bound: Rc<Bound>, accepted: Arc<Channel>, left: usize },
}

/// What a slice does after a callback.
#[derive(Clone, Copy)]
enum Then {
    /// The reasons from this index on.
    Reasons(usize),
    /// Nothing: the registration had expired.
    Nothing,
}

/// What becomes of a registration after its script was called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    Suspend,
    Close,
}

impl EventSource for Home {
    fn descriptor(&self) -> RawFd {
        self.reactor.borrow().descriptor()
    }

    fn longest_wait(&self) -> Option<Duration> {
        let reactor = self.reactor.borrow();
        if reactor.ready_count() > 0 {
            return Some(Duration::ZERO);
        }
        reactor.next_timer().map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn has_work(&self) -> bool {
        if self.give_way.take() {
            return false;
        }
        let reactor = self.reactor.borrow();
        reactor.ready_count() > 0 || reactor.next_timer().is_some_and(|at| at <= Instant::now())
    }

    fn begin(&self) {
        let mut slice = self.spare_slices.borrow_mut().pop().unwrap_or_else(|| Slice {
            end: Instant::now(),
            left: 0,
            linger: false,
            step: Step::Idle,
            call: Prepared::default(),
        });
        let now = Instant::now();
        slice.end = now + LENGTH;
        slice.left = 0;
        slice.linger = self.last_slice.get().is_some_and(|last| now - last < BUSY);
        self.slices.borrow_mut().push(slice);
    }

    fn next_call(&self) -> Option<Call> {
        let mut slice = self.slices.borrow_mut().pop()?;
        if self.advance(&mut slice) {
            let call = slice.call.call();
            self.slices.borrow_mut().push(slice);
            return call;
        }
        self.spare_slices.borrow_mut().push(slice);
        self.last_slice.set(Some(Instant::now()));
        self.release();
        None
    }

    fn finished(&self, code: i32) {
        let Some(mut slice) = self.slices.borrow_mut().pop() else { return };
        let completion = slice.call.complete(code);
        slice.step = match std::mem::replace(&mut slice.step, Step::Idle) {
            Step::Running { key, channel, bound, generation, then } => {
                let verdict = judge(completion, &bound, &channel);
                self.apply(key, &channel, generation, verdict, then);
                match then {
                    Then::Reasons(next) => Step::Reasons { key, channel, next },
                    Then::Nothing => Step::Idle,
                }
            }
            Step::Accepting { key, listening, bound, accepted, left } => {
                if !accept::is_kept(completion, &bound, &accepted) {
                    close(&accepted);
                }
                Step::Accept { key, listening, left }
            }
            other => other,
        };
        self.slices.borrow_mut().push(slice);
    }
}

impl Home {
    /// Goes on until a script is to be called (true) or the slice is over.
    fn advance(&self, slice: &mut Slice) -> bool {
        loop {
            slice.step = match std::mem::replace(&mut slice.step, Step::Idle) {
                Step::Idle => match self.next_entry(slice) {
                    Some(step) => step,
                    None => return false,
                },
                Step::Reasons { key, next, .. } if next == REASONS.len() => {
                    self.reactor.borrow_mut().queue_if_ready(key);
                    Step::Idle
                }
                Step::Reasons { key, channel, next } => match self.claim(key, &channel, REASONS[next]) {
                    Some((bound, generation)) => {
                        self.prepare(slice, &bound, self.reasons.word(REASONS[next]));
                        Step::Running { key, channel, bound, generation, then: Then::Reasons(next + 1) }
                    }
                    None => Step::Reasons { key, channel, next: next + 1 },
                },
                Step::Expired { key } => match self.expire(key) {
                    Some((channel, bound, generation)) => {
                        self.prepare(slice, &bound, &self.reasons.t);
                        Step::Running { key, channel, bound, generation, then: Then::Nothing }
                    }
                    None => Step::Idle,
                },
                Step::Accept { key, listening, left } => self.accept(slice, key, listening, left),
                running => {
                    slice.step = running;
                    return true;
                }
            };
        }
    }

    /// What to do next: expired deadlines first (spec/ns_connchan.md 3.2), then
    /// what is ready, round by round. Who becomes ready again waits for the
    /// next round, after those whom the kernel reports meanwhile.
    fn next_entry(&self, slice: &mut Slice) -> Option<Step> {
        loop {
            if Instant::now() >= slice.end {
                self.give_way.set(true);
                return None;
            }
            if slice.left == 0 {
                self.hear();
                slice.left = self.reactor.borrow().ready_count();
                let expired = self.reactor.borrow_mut().take_expired(Instant::now());
                if let Some(key) = expired {
                    slice.left = 0;
                    return Some(Step::Expired { key });
                }
                if slice.left == 0 {
                    if slice.linger && self.linger(slice.end) {
                        continue;
                    }
                    return None;
                }
            }
            slice.left -= 1;
            let Some(key) = self.reactor.borrow_mut().take_ready() else {
                slice.left = 0;
                continue;
            };
            let Some((channel, bound)) = self.peek(key) else { continue };
            if channel.is_home_elsewhere() {
                continue; // its entry here waits to be removed
            }
            return Some(match bound.action {
                Action::Accept(_) => Step::Accept { key, listening: channel, left: ACCEPTS },
                Action::Callback(_) => Step::Reasons { key, channel, next: 0 },
            });
        }
    }

    /// Looks for more for a short time. True when there is something.
    fn linger(&self, end: Instant) -> bool {
        let end = end.min(Instant::now() + LINGER);
        while Instant::now() < end {
            std::thread::yield_now();
            self.hear();
            if self.reactor.borrow().ready_count() > 0 {
                return true;
            }
        }
        false
    }

    /// Collects events and messages, without waiting.
    fn hear(&self) {
        let heard = self.reactor.borrow_mut().poll(Duration::ZERO);
        match heard {
            Ok(true) => self.read_mail(),
            Ok(false) => {}
            Err(error) => log::write(log::ERROR, &format!("connchan: cannot wait for events: {error}")),
        }
    }

    /// Does what other threads have asked for.
    pub(super) fn read_mail(&self) {
        let mailbox = Arc::clone(self.reactor.borrow().mailbox());
        for message in mailbox.take() {
            match message {
                Message::Nudge(key) => self.reactor.borrow_mut().queue_if_ready(key),
                Message::Remove(key) => self.remove(key),
            }
        }
    }

    /// Claims the channel for a callback if `reason` is there and wanted.
    /// Asked anew for each reason: the script before may have changed it all.
    fn claim(&self, key: Key, channel: &Channel, reason: u8) -> Option<(Rc<Bound>, u32)> {
        let interest = self.reactor.borrow().interest(key);
        if !is_due(channel, interest, reason) || channel.is_closed() || !channel.begin_callback() {
            return None;
        }
        if reason == ERROR {
            channel.readiness.clear(ERROR | HUNG_UP);
        }
        self.current(key).or_else(|| {
            channel.end_callback();
            None
        })
    }

    /// A deadline has passed: `t` for a callback, whose registration is thereby
    /// over; for a listener the end of a pause.
    fn expire(&self, key: Key) -> Option<(Arc<Channel>, Rc<Bound>, u32)> {
        let (channel, bound) = self.peek(key)?;
        if matches!(bound.action, Action::Accept(_)) {
            channel.readiness.set(READABLE);
            self.reactor.borrow_mut().queue_if_ready(key);
            return None;
        }
        // While a callback runs, the deadline is set anew when it ends.
        if channel.is_closed() || channel.is_home_elsewhere() || !channel.begin_callback() {
            return None;
        }
        let ended = channel.change_callback(|callback| {
            callback.registration = None;
            self.quiet(key);
            Ok(())
        });
        let current = ended.ok().and_then(|()| self.current(key));
        if current.is_none() {
            channel.end_callback();
        }
        current.map(|(bound, generation)| (channel, bound, generation))
    }

    /// An entry's script and generation.
    fn current(&self, key: Key) -> Option<(Rc<Bound>, u32)> {
        let reactor = self.reactor.borrow();
        reactor.payload(key).map(|b| (Rc::clone(&b.bound), b.generation))
    }

    fn prepare(&self, slice: &mut Slice, bound: &Bound, word: &crate::tcl::Obj) {
        self.hold(bound.interp);
        slice.call.prepare(bound.interp, bound.script(), word, true);
    }

    /// Accepts the next connection of a listener.
    fn accept(&self, slice: &mut Slice, key: Key, listening: Arc<Channel>, left: usize) -> Step {
        // Asked anew each time: the script may close the listener, or give it
        // a callback.
        let Some((bound, _)) = self.current(key) else { return Step::Idle };
        let out_of_time = left == 0 || left < ACCEPTS && Instant::now() >= slice.end;
        if out_of_time || bound.interp.is_deleted() || !matches!(bound.action, Action::Accept(_)) {
            self.reactor.borrow_mut().queue_if_ready(key);
            return Step::Idle;
        }
        match accept::next(&listening) {
            Next::Channel(accepted, handle) => {
                self.hold(bound.interp);
                slice.call.prepare(bound.interp, bound.script(), &handle, false);
                Step::Accepting { key, listening, bound, accepted, left: left - 1 }
            }
            Next::None => Step::Idle,
            Next::Pause(pause) => {
                self.reactor.borrow_mut().set_deadline(key, Some(Instant::now() + pause));
                Step::Idle
            }
        }
    }

    /// Applies what a callback returned, to the registration that was called.
    fn apply(&self, key: Key, channel: &Arc<Channel>, generation: u32, verdict: Verdict, then: Then) {
        channel.end_callback();
        if verdict == Verdict::Close {
            close(channel);
            return;
        }
        let mut reactor = self.reactor.borrow_mut();
        match reactor.payload(key).map(|b| (b.generation == generation, b.timeout)) {
            Some((true, _)) if verdict == Verdict::Suspend => {
                drop(reactor);
                self.quiet(key);
            }
            // An expired registration is over, whatever its script says.
            Some((true, timeout)) => {
                if matches!(then, Then::Reasons(_)) {
                    reactor.set_deadline(key, timeout.map(|t| Instant::now() + t));
                }
            }
            // Registered anew by its own script: that stays as it is. Its
            // deadline may have passed while the script was still running.
            Some((false, Some(_))) if !reactor.has_deadline(key) => {
                reactor.set_deadline(key, Some(Instant::now()));
            }
            Some((false, _)) | None => {}
        }
        // Another home that the channel has found meanwhile could not call
        // while we did.
        if channel.is_home_elsewhere() {
            channel.nudge();
        }
    }

    /// Ends a registration: no reason fires any more, nor `t`, nor `x`.
    fn quiet(&self, key: Key) {
        let mut reactor = self.reactor.borrow_mut();
        reactor.set_interest(key, 0);
        reactor.set_deadline(key, None);
        if let Some(binding) = reactor.payload_mut(key) {
            binding.wants_shutdown = false;
        }
    }
}

/// Whether `reason` is there and wanted. Where that is in doubt, the kernel is
/// asked, so that a script is never called to read what is not there.
fn is_due(channel: &Channel, interest: u8, reason: u8) -> bool {
    let readiness = &channel.readiness;
    if interest & reason == 0 {
        return false;
    }
    let bits = readiness.get();
    match reason {
        READABLE if bits & MAYBE_READABLE != 0 => {
            readiness.clear(READABLE | MAYBE_READABLE);
            let readable = channel.fd().is_some_and(crate::net::wait::is_readable);
            if readable {
                readiness.set(READABLE);
            }
            readable
        }
        ERROR => bits & ERROR != 0 || bits & HUNG_UP != 0 && interest & READABLE == 0,
        _ => bits & reason != 0,
    }
}

/// Reads a callback's result (spec/ns_connchan.md 3.3).
fn judge(completion: Completion, bound: &Bound, channel: &Channel) -> Verdict {
    match completion {
        Completion::Ok(result) => match result.small_int() {
            Some(0) => Verdict::Close,
            Some(2) => Verdict::Suspend,
            Some(_) => Verdict::Keep,
            None => {
                let (name, command) = (channel.name(), bound.script().command_name());
                log::write(
                    log::WARNING,
                    &format!(
                        "{name} callback {command} returned unhandled result '{}' (must be 0, 1, or 2)",
                        result.text()
                    ),
                );
                Verdict::Close
            }
        },
        Completion::Error(message) => {
            log_script_error(bound.interp, &message, "connchan proc");
            Verdict::Close
        }
    }
}
