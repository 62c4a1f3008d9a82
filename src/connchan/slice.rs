//! How a home serves what is ready: a slice of scripts at a time.
//!
//! A slice is a small state machine, since the script itself is evaluated by
//! a frame outside (see `tcl::event_source`): `next_call` looks for the next
//! script and notes in the slice what it was for, `finished` applies the
//! outcome. Slices nest when a script enters the event loop.

use super::accept::{self, Accept};
use super::channel::Channel;
use super::home::{close, log_script_error, Action, Bound, Home};
use super::native::Turn;
use crate::base::log;
use crate::net::tls::Stop;
use crate::reactor::{Key, Message, ERROR, MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::event_source::EventSource;
use crate::tcl::script::{Call, Completion, Prepared};
use crate::tcl::Obj;
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

/// When a deadline is looked at again that has passed while a callback ran.
const RETRY: Duration = Duration::from_millis(10);

/// Connections accepted before other channels have their turn.
const ACCEPTS: usize = 64;

/// Scripts called for a native protocol before other channels have their turn.
const NATIVE_CALLS: usize = 64;

/// What a native protocol may receive at once.
const NATIVE_BUFFER: usize = 64 << 10;

/// The order in which a channel's reasons are served.
const REASONS: [u8; 3] = [READABLE, WRITABLE, ERROR];

/// A slice in progress.
pub(super) struct Slice {
    end: Instant,
    /// The time when it was last looked at.
    now: Instant,
    /// Entries left of this round, those that were ready when it began.
    left: usize,
    /// Connections left of this round that other threads have accepted.
    arrived: usize,
    /// When it began, when the script that runs was called, and the time spent
    /// on looking for more.
    began: Instant,
    called: Instant,
    lingered: Duration,
    /// `now` was looked at when a script ended, just before.
    fresh: bool,
    /// Whether to look for more when nothing is ready.
    linger: bool,
    step: Step,
    /// The entry that is being served; `None` between entries.
    entry: Option<Serving>,
    call: Prepared,
    /// The words that a native protocol has for its script.
    words: Vec<Obj>,
}

/// An entry that is being served.
pub(super) struct Serving {
    pub(super) key: Key,
    pub(super) channel: Arc<Channel>,
    /// The script that was called last, and its generation.
    pub(super) bound: Rc<Bound>,
    generation: u32,
    /// The connection for which an accept script runs.
    pub(super) accepted: Option<Arc<Channel>>,
}

/// What a slice does next.
#[derive(Clone, Copy)]
enum Step {
    /// Look for an entry.
    Idle,
    /// Serve the entry's reasons, from this index of `REASONS` on.
    Reasons(usize),
    /// Serve the entry's expired deadline.
    Expired,
    /// Accept from the listener, at most so many connections.
    Accept(usize),
    /// Go on with the entry's TLS handshake.
    Handshake,
    /// Call the accept script for a connection that another thread has accepted.
    Arrived,
    /// Let the entry's native protocol go on, so many scripts at most.
    Native(usize),
    /// A script that a protocol has named runs; afterwards so many more.
    RunningNative(usize),
    /// The script of a callback runs; afterwards the reasons from here on.
    Running(usize),
    /// The script runs to which an expired deadline was told.
    RunningExpired,
    /// The accept script runs; afterwards so many connections more.
    Accepting(usize),
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
        if reactor.ready_count() > 0 || !self.arrivals.borrow().is_empty() {
            return Some(Duration::ZERO);
        }
        reactor.next_timer().map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn has_work(&self) -> bool {
        if self.give_way.take() {
            return false;
        }
        let reactor = self.reactor.borrow();
        reactor.ready_count() > 0
            || !self.arrivals.borrow().is_empty()
            || reactor.next_timer().is_some_and(|at| at <= Instant::now())
    }

    fn begin(&self) {
        let now = Instant::now();
        let mut slice = self.spare_slices.borrow_mut().pop().unwrap_or_else(|| Slice {
            end: now,
            now,
            left: 0,
            arrived: 0,
            began: now,
            called: now,
            lingered: Duration::ZERO,
            fresh: false,
            linger: false,
            step: Step::Idle,
            entry: None,
            call: Prepared::default(),
            words: Vec::new(),
        });
        slice.end = now + LENGTH;
        slice.now = now;
        slice.left = 0;
        slice.arrived = 0;
        slice.began = now;
        slice.lingered = Duration::ZERO;
        slice.fresh = false;
        slice.linger = self.last_slice.get().is_some_and(|last| now - last < BUSY);
        if !slice.linger {
            // Since the last slice there was time for idle callbacks.
            self.busy_since.set(Some(now));
        }
        slice.step = Step::Idle;
        self.slices.borrow_mut().push(slice);
        self.depth.set(self.depth.get() + 1);
    }

    fn next_call(&self) -> Option<Call> {
        let mut slices = self.slices.borrow_mut();
        let slice = slices.last_mut()?;
        if self.advance(slice) {
            if let Some((member, _)) = self.member.get() {
                slice.called = slice.now;
                slice.fresh = false;
                member.begin_script(slice.called);
            }
            return slice.call.call();
        }
        slice.entry = None;
        let over = slices.pop();
        let is_outermost = slices.is_empty();
        drop(slices);
        let now = Instant::now();
        if let (Some((member, _)), Some(slice), true) = (self.member.get(), &over, is_outermost) {
            member.count_busy((now - slice.began).saturating_sub(slice.lingered));
        }
        self.depth.set(self.depth.get().saturating_sub(1));
        self.spare_slices.borrow_mut().extend(over);
        self.last_slice.set(Some(now));
        self.release();
        None
    }

    fn idle_is_due(&self) -> bool {
        let due = self
            .last_slice
            .get()
            .zip(self.busy_since.get())
            .is_some_and(|(now, since)| now - since >= LENGTH);
        if due {
            self.busy_since.set(self.last_slice.get());
        }
        due
    }

    fn finished(&self, code: i32) {
        let mut slices = self.slices.borrow_mut();
        let Some(slice) = slices.last_mut() else { return };
        if let Some((member, _)) = self.member.get() {
            slice.now = Instant::now();
            slice.fresh = true;
            member.count(slice.now - slice.called);
        }
        let completion = slice.call.complete(code);
        let Some(entry) = &mut slice.entry else { return };
        slice.step = match slice.step {
            Step::Running(next) => {
                self.apply(entry, judge(completion, entry), true);
                Step::Reasons(next)
            }
            Step::RunningExpired => {
                self.apply(entry, judge(completion, entry), false);
                Step::Idle
            }
            Step::RunningNative(left) => {
                entry.channel.end_callback();
                if let Action::Native(native) = &entry.bound.action {
                    native.finished(&entry.channel, entry.bound.interp, completion, code);
                }
                Step::Native(left)
            }
            Step::Accepting(left) => {
                if let Some(accepted) = entry.accepted.take() {
                    if !accept::is_kept(completion, &entry.bound, &accepted) {
                        close(&accepted);
                    }
                }
                Step::Accept(left)
            }
            other => other,
        };
    }
}

impl Home {
    /// Goes on until a script is to be called (true) or the slice is over.
    fn advance(&self, slice: &mut Slice) -> bool {
        loop {
            slice.step = match (slice.step, &mut slice.entry) {
                (Step::Idle, _) => match self.next_entry(slice) {
                    Some(step) => step,
                    None => return false,
                },
                (Step::Reasons(next), Some(entry)) => match self.next_reason(entry, next) {
                    Some(index) => {
                        self.prepare(&mut slice.call, entry, self.reasons.word(REASONS[index]), true);
                        Step::Running(index + 1)
                    }
                    None => {
                        // While its script runs, whose end will look again.
                        if !entry.channel.is_running() {
                            self.reactor.borrow_mut().queue_if_ready(entry.key);
                        }
                        Step::Idle
                    }
                },
                (Step::Expired, Some(entry)) => {
                    if self.expire(entry) {
                        self.prepare(&mut slice.call, entry, &self.reasons.t, true);
                        Step::RunningExpired
                    } else {
                        Step::Idle
                    }
                }
                (Step::Accept(left), Some(entry)) => {
                    let in_time = left == ACCEPTS || left > 0 && Instant::now() < slice.end;
                    match if in_time { self.accept(entry) } else { Accept::Nothing } {
                        Accept::Script(handle) => {
                            self.prepare(&mut slice.call, entry, &handle, false);
                            Step::Accepting(left - 1)
                        }
                        Accept::Passed => Step::Accept(left - 1),
                        Accept::Nothing => {
                            self.reactor.borrow_mut().queue_if_ready(entry.key);
                            Step::Idle
                        }
                    }
                }
                (Step::Handshake, Some(entry)) => match self.handshake(entry) {
                    Some(handle) => {
                        self.prepare(&mut slice.call, entry, &handle, false);
                        Step::Accepting(0)
                    }
                    None => Step::Idle,
                },
                (Step::Arrived, Some(entry)) => match self.introduce(entry) {
                    Some(handle) => {
                        self.prepare(&mut slice.call, entry, &handle, false);
                        Step::Accepting(0)
                    }
                    None => Step::Idle,
                },
                (Step::Native(left), Some(entry)) => {
                    // Of the first time `next_entry` has just taken note.
                    if left < NATIVE_CALLS && !std::mem::take(&mut slice.fresh) {
                        slice.now = Instant::now();
                    }
                    let in_time = left == NATIVE_CALLS || left > 0 && slice.now < slice.end;
                    if in_time && self.native(&mut slice.call, &mut slice.words, slice.now, entry) {
                        Step::RunningNative(left - 1)
                    } else {
                        // It may have more to say, of which no edge tells.
                        if !in_time {
                            entry.channel.readiness.set(MAYBE_READABLE);
                        }
                        // While its script runs, whose end will look again.
                        if !entry.channel.is_running() {
                            self.reactor.borrow_mut().queue_if_ready(entry.key);
                        }
                        Step::Idle
                    }
                }
                (
                    Step::Running(_) | Step::RunningExpired | Step::Accepting(_) | Step::RunningNative(_),
                    _,
                ) => return true,
                (_, None) => Step::Idle,
            };
        }
    }

    /// What to do next: expired deadlines first (spec/ns_connchan.md 3.2), then
    /// what is ready, round by round. Who becomes ready again waits for the
    /// next round, after those whom the kernel reports meanwhile.
    fn next_entry(&self, slice: &mut Slice) -> Option<Step> {
        loop {
            if !std::mem::take(&mut slice.fresh) {
                slice.now = Instant::now();
            }
            if slice.now >= slice.end {
                self.give_way.set(true);
                return None;
            }
            if slice.arrived > 0 {
                slice.arrived -= 1;
                let arrival = self.arrivals.borrow_mut().pop_front();
                slice.entry = arrival.and_then(|arrival| self.arrived(arrival));
                if slice.entry.is_some() {
                    return Some(Step::Arrived);
                }
                continue;
            }
            if slice.left == 0 {
                self.hear();
                let mut reactor = self.reactor.borrow_mut();
                let expired =
                    if reactor.next_timer().is_some() { reactor.take_expired(Instant::now()) } else { None };
                slice.left = reactor.ready_count();
                drop(reactor);
                slice.arrived = self.arrivals.borrow().len();
                if let Some(key) = expired {
                    (slice.left, slice.arrived) = (0, 0);
                    slice.entry = self.serving(key);
                    return Some(Step::Expired);
                }
                if slice.arrived > 0 {
                    continue;
                }
                if slice.left == 0 {
                    if slice.linger && self.linger(slice) {
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
            slice.entry = self.serving(key);
            match &slice.entry {
                // An entry of a channel that has moved waits to be removed.
                Some(entry) if entry.channel.is_home_elsewhere() => {}
                Some(entry) => {
                    return Some(match entry.bound.action {
                        Action::Accept(..) => Step::Accept(ACCEPTS),
                        Action::Callback(_) => Step::Reasons(0),
                        Action::Handshake(..) => Step::Handshake,
                        Action::Native(_) => Step::Native(NATIVE_CALLS),
                    })
                }
                None => {}
            }
        }
    }

    pub(super) fn serving(&self, key: Key) -> Option<Serving> {
        let reactor = self.reactor.borrow();
        reactor.payload(key).map(|b| Serving {
            key,
            channel: Arc::clone(&b.channel),
            bound: Rc::clone(&b.bound),
            generation: b.generation,
            accepted: None,
        })
    }

    /// Takes note of a new registration. False when the entry is gone.
    pub(super) fn refresh(&self, entry: &mut Serving) -> bool {
        let reactor = self.reactor.borrow();
        let Some(binding) = reactor.payload(entry.key) else { return false };
        if binding.generation != entry.generation {
            entry.generation = binding.generation;
            entry.bound = Rc::clone(&binding.bound);
        }
        true
    }

    /// Looks for more for a short time. True when there is something.
    fn linger(&self, slice: &mut Slice) -> bool {
        let begin = Instant::now();
        let end = slice.end.min(begin + LINGER);
        let mut found = false;
        while !found && Instant::now() < end {
            std::thread::yield_now();
            self.hear();
            found = self.reactor.borrow().ready_count() > 0 || !self.arrivals.borrow().is_empty();
        }
        slice.lingered += begin.elapsed();
        found
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
            self.heed(message);
        }
    }

    pub(super) fn heed(&self, message: Message) {
        match message {
            Message::Nudge(key) => self.reactor.borrow_mut().queue_if_ready(key),
            Message::Remove(key) => self.remove(key),
            Message::Attach(key) => self.attach(key),
            Message::Run(errand) => errand(),
        }
    }

    /// The first reason from `next` on that is there and wanted; the channel is
    /// then claimed for its callback. Each reason is asked for anew: the script
    /// before may have changed it all.
    fn next_reason(&self, entry: &mut Serving, next: usize) -> Option<usize> {
        let interest = self.reactor.borrow().interest(entry.key);
        let channel = &entry.channel;
        let index = (next..REASONS.len()).find(|i| is_due(channel, interest, REASONS[*i]))?;
        if channel.is_closed() || !channel.begin_callback() {
            return None;
        }
        if REASONS[index] == ERROR {
            channel.readiness.tell_error();
        }
        if channel.has_failed() {
            channel.readiness.clear(REASONS[index]);
        }
        // The script before may have handed the channel to a native protocol.
        if !self.refresh(entry)
            || !matches!(entry.bound.action, Action::Callback(_))
            || entry.generation != entry.channel.generation()
        {
            // Or another thread has registered anew, whose letter is on its way.
            entry.channel.end_callback();
            return None;
        }
        if entry.channel.is_tls() {
            self.warm.borrow_mut().serve(&entry.channel);
        }
        Some(index)
    }

    /// A deadline has passed: `t` for a callback, whose registration is thereby
    /// over and which is claimed; for a listener the end of a pause.
    fn expire(&self, entry: &mut Serving) -> bool {
        let (key, channel) = (entry.key, &entry.channel);
        match entry.bound.action {
            Action::Accept(..) => {
                self.set_own(key, |own| own.set(READABLE));
                self.reactor.borrow_mut().queue_if_ready(key);
                return false;
            }
            Action::Handshake(..) => {
                accept::refuse(channel, &Stop::End { clean: false });
                close(channel);
                return false;
            }
            // Its turn comes: it looks at the time itself.
            Action::Native(_) => {
                channel.readiness.set(MAYBE_READABLE);
                self.reactor.borrow_mut().queue_if_ready(key);
                return false;
            }
            Action::Callback(_) => {}
        }
        if channel.is_closed() || channel.is_home_elsewhere() {
            return false;
        }
        if !channel.begin_callback() {
            // While a callback runs, the deadline is set anew when it ends; not
            // when it is one of another thread, where the channel was before.
            self.reactor.borrow_mut().set_deadline(key, Some(Instant::now() + RETRY));
            return false;
        }
        let ended = channel.change_callback(|callback| {
            // Registered anew by another thread: that has a time of its own.
            let is_old = channel.generation() != entry.generation;
            if !is_old {
                callback.registration = None;
                self.quiet(key);
            }
            Ok(!is_old)
        });
        let ended = ended.unwrap_or(false);
        if !ended {
            channel.end_callback();
        }
        ended
    }

    fn prepare(&self, call: &mut Prepared, entry: &Serving, word: &Obj, keep: bool) {
        self.hold(entry.bound.interp);
        if let Some(script) = entry.bound.script() {
            call.prepare(entry.bound.interp, script, word, keep);
        }
    }

    /// Lets a native protocol go on. True when it wants a script to be called;
    /// the channel is then claimed.
    fn native(&self, call: &mut Prepared, words: &mut Vec<Obj>, now: Instant, entry: &mut Serving) -> bool {
        if entry.channel.is_closed() || !entry.channel.begin_callback() {
            return false;
        }
        let is_there = self.refresh(entry);
        let channel = &entry.channel;
        let native = match &entry.bound.action {
            Action::Native(native) if is_there => native,
            _ => {
                channel.end_callback();
                return false;
            }
        };
        if channel.is_tls() {
            self.warm.borrow_mut().serve(channel);
        }
        words.clear();
        let turn = {
            let mut buffer = self.native_buffer.borrow_mut();
            if buffer.is_empty() {
                *buffer = vec![0; NATIVE_BUFFER + 1].into_boxed_slice();
            }
            native.turn(channel, &mut buffer, words, now)
        };
        match turn {
            Turn::Call(script) if !entry.bound.interp.is_deleted() => {
                self.hold(entry.bound.interp);
                call.prepare_words(entry.bound.interp, &script, words);
                return true;
            }
            Turn::Rest(deadline) => self.reactor.borrow_mut().set_deadline(entry.key, deadline),
            Turn::Close | Turn::Call(_) => close(channel),
        }
        channel.end_callback();
        false
    }

    /// Applies what a callback returned, to the registration that was called;
    /// one that had expired does not go on (`lives` false).
    fn apply(&self, entry: &Serving, verdict: Verdict, lives: bool) {
        let (key, channel) = (entry.key, &entry.channel);
        channel.end_callback();
        if verdict == Verdict::Close {
            close(channel);
            return;
        }
        let mut reactor = self.reactor.borrow_mut();
        match reactor.payload(key).map(|b| (b.generation == entry.generation, b.timeout)) {
            Some((true, _)) if verdict == Verdict::Suspend => {
                drop(reactor);
                self.quiet(key);
            }
            Some((true, Some(timeout))) if lives => reactor.set_deadline(key, Some(Instant::now() + timeout)),
            // Registered anew by its own script: that stays as it is. Its
            // deadline may have passed while the script was still running.
            Some((false, Some(_))) if !reactor.has_deadline(key) => {
                reactor.set_deadline(key, Some(Instant::now()));
            }
            _ => {}
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
        // Of TLS a readable socket tells little: perhaps half a record.
        READABLE if bits & MAYBE_READABLE != 0 || bits & READABLE != 0 && channel.is_tls() => {
            readiness.clear(READABLE | MAYBE_READABLE);
            let readable = channel.is_readable();
            if readable {
                readiness.set(READABLE);
            }
            readable
        }
        _ => bits & reason != 0,
    }
}

/// Reads a callback's result (spec/ns_connchan.md 3.3).
fn judge(completion: Completion, entry: &Serving) -> Verdict {
    match completion {
        Completion::Ok(result) => match result.small_int() {
            Some(0) => Verdict::Close,
            Some(2) => Verdict::Suspend,
            Some(_) => Verdict::Keep,
            None => {
                let (name, command) = (entry.channel.name(), entry.bound.command_name());
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
            log_script_error(entry.bound.interp, &message, "connchan proc");
            Verdict::Close
        }
    }
}
