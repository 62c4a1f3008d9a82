//! The reactor: descriptors, timers and their readiness over mio. It knows
//! neither Tcl nor channels; whoever drives it decides what an entry means.
//!
//! A `Reactor` belongs to one thread. Other threads speak to it through its
//! `Mailbox`. The driver's loop is: `poll`, then `take_expired` until `None`,
//! then `take_ready` for as long as it likes.
//!
//! mio is edge-triggered and the interface above level-triggered, so
//! readiness is remembered (`Readiness`), cleared by whoever reads or writes
//! without using up what he was offered, and set again by the next edge. Each
//! descriptor is registered once, for both directions: changing what a script
//! waits for needs no system call.

mod mailbox;
mod readiness;
mod timers;

/// The atomics of `readiness`; its model test has others.
mod sync {
    pub use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
}

pub use mailbox::{Mailbox, Message};
pub use readiness::{Readiness, CROSSED, ERROR, HANGUP, MAYBE_READABLE, READABLE, URGENT, WRITABLE};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use timers::Timers;

/// Events taken from the kernel at once.
const EVENTS: usize = 512;

/// The token of the mailbox's waker; entry tokens never have this value.
const WAKER: Token = Token(usize::MAX);

/// Names an entry; a key that was removed is never taken for a later one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Key {
    index: u32,
    serial: u32,
}

impl Key {
    fn token(self) -> Token {
        Token((self.serial as usize) << 32 | self.index as usize)
    }

    fn from_token(token: Token) -> Key {
        Key { index: token.0 as u32, serial: (token.0 >> 32) as u32 }
    }
}

/// What the driver attaches to a descriptor.
pub trait Payload {
    /// Where the descriptor's readiness is remembered.
    fn readiness(&self) -> &Readiness;

    /// Whether the descriptor is another reactor's by now: what this one still
    /// hears of it may be outdated there.
    fn has_moved(&self) -> bool {
        false
    }
}

struct Entry<P> {
    serial: u32,
    /// It has its descriptor.
    attached: bool,
    /// In the ready queue.
    queued: bool,
    /// Which of READABLE, WRITABLE, ERROR are waited for.
    interest: u8,
    deadline: Option<Instant>,
    /// The earliest timer set for this entry, if any.
    armed: Option<Instant>,
    payload: P,
}

/// A thread's descriptors, timers and ready queue.
pub struct Reactor<P> {
    poll: Poll,
    events: Events,
    mailbox: Arc<Mailbox>,
    entries: Slab<Entry<P>>,
    next_serial: u32,
    ready: VecDeque<Key>,
    timers: Timers,
}

impl<P: Payload> Reactor<P> {
    /// A reactor with a fresh epoll descriptor.
    pub fn new() -> io::Result<Reactor<P>> {
        let poll = Poll::new()?;
        let mailbox = Arc::new(Mailbox::new(poll.registry(), WAKER)?);
        Ok(Reactor {
            poll,
            events: Events::with_capacity(EVENTS),
            mailbox,
            entries: Slab::new(),
            next_serial: 1,
            ready: VecDeque::new(),
            timers: Timers::default(),
        })
    }

    /// The descriptor that is readable when `poll` would find something.
    pub fn descriptor(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    /// Where other threads leave messages.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes an entry, for a descriptor unless it gets that later (`attach`).
    /// Its present readiness arrives with the next `poll`.
    pub fn add(&mut self, fd: Option<RawFd>, interest: u8, payload: P) -> io::Result<Key> {
        // Serials skip the waker's token by never reaching u32::MAX.
        self.next_serial = if self.next_serial >= u32::MAX - 1 { 1 } else { self.next_serial + 1 };
        let slot = self.entries.vacant_entry();
        let key = Key { index: slot.key() as u32, serial: self.next_serial };
        if let Some(fd) = fd {
            register(self.poll.registry(), fd, key)?;
        }
        slot.insert(Entry {
            serial: key.serial,
            attached: fd.is_some(),
            queued: false,
            interest,
            deadline: None,
            armed: None,
            payload,
        });
        Ok(key)
    }

    /// Gives an entry its descriptor, unless it has it.
    pub fn attach(&mut self, key: Key, fd: RawFd) -> io::Result<()> {
        if self.get(key).is_some_and(|e| !e.attached) {
            register(self.poll.registry(), fd, key)?;
            if let Some(entry) = self.get_mut(key) {
                entry.attached = true;
            }
        }
        Ok(())
    }

    /// Forgets an entry and hands its payload back. The descriptor is taken
    /// out of the poll set when it is still open (`fd`); a closed one is out
    /// of it already.
    pub fn remove(&mut self, key: Key, fd: Option<RawFd>) -> Option<P> {
        self.get(key)?;
        if let Some(fd) = fd {
            // Fails only when the descriptor is in no poll set any more.
            let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        }
        Some(self.entries.remove(key.index as usize).payload)
    }

    fn get(&self, key: Key) -> Option<&Entry<P>> {
        self.entries.get(key.index as usize).filter(|e| e.serial == key.serial)
    }

    fn get_mut(&mut self, key: Key) -> Option<&mut Entry<P>> {
        self.entries.get_mut(key.index as usize).filter(|e| e.serial == key.serial)
    }

    /// The payload of an entry.
    pub fn payload(&self, key: Key) -> Option<&P> {
        Some(&self.get(key)?.payload)
    }

    /// The payload of an entry, to be changed.
    pub fn payload_mut(&mut self, key: Key) -> Option<&mut P> {
        Some(&mut self.get_mut(key)?.payload)
    }

    /// Every entry.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &P)> {
        self.entries.iter().map(|(index, e)| (Key { index: index as u32, serial: e.serial }, &e.payload))
    }

    /// What an entry waits for.
    pub fn interest(&self, key: Key) -> u8 {
        self.get(key).map_or(0, |e| e.interest)
    }

    /// Changes what an entry waits for, and queues it if that is there already.
    pub fn set_interest(&mut self, key: Key, interest: u8) {
        if let Some(entry) = self.get_mut(key) {
            entry.interest = interest;
            self.queue_if_ready(key);
        }
    }

    /// Sets or clears the entry's timer.
    pub fn set_deadline(&mut self, key: Key, deadline: Option<Instant>) {
        let Some(entry) = self.get_mut(key) else { return };
        entry.deadline = deadline;
        // A timer that is already set for an earlier time is moved when it
        // expires, so that an active channel does not touch the heap.
        if let Some(at) = deadline.filter(|at| entry.armed.is_none_or(|armed| *at < armed)) {
            entry.armed = Some(at);
            self.timers.push(at, key);
            self.forget_outdated_timers();
        }
    }

    /// Timers of entries that have gone stay until their time; when they are
    /// more than the others they are swept out.
    fn forget_outdated_timers(&mut self) {
        const FEW: usize = 64;
        if self.timers.len() > FEW + 2 * self.entries.len() {
            let entries = &self.entries;
            self.timers.retain(|at, key| {
                entries.get(key.index as usize).is_some_and(|e| e.serial == key.serial && e.armed == Some(at))
            });
        }
    }

    /// Queues an entry when something that it waits for is there.
    pub fn queue_if_ready(&mut self, key: Key) {
        if let Some(entry) = self.get_mut(key) {
            if !entry.queued && entry.payload.readiness().wants(entry.interest) {
                entry.queued = true;
                self.ready.push_back(key);
            }
        }
    }

    /// Collects what the kernel has, waiting at most `timeout` (zero: not at
    /// all). True when other threads have left messages in the mailbox.
    pub fn poll(&mut self, timeout: Duration) -> io::Result<bool> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut mail = false;
        for event in self.events.iter() {
            if event.token() == WAKER {
                mail = true;
                continue;
            }
            let key = Key::from_token(event.token());
            let Some(entry) = self.entries.get_mut(key.index as usize).filter(|e| e.serial == key.serial)
            else {
                continue;
            };
            if entry.payload.has_moved() {
                continue;
            }
            entry.payload.readiness().hear(bits(event));
            if entry.payload.has_moved() {
                // Just now: the other one shall look itself.
                entry.payload.readiness().doubt();
                continue;
            }
            if !entry.queued && entry.payload.readiness().wants(entry.interest) {
                entry.queued = true;
                self.ready.push_back(key);
            }
        }
        Ok(mail)
    }

    /// The next entry whose deadline has passed; its timer is then cleared.
    pub fn take_expired(&mut self, now: Instant) -> Option<Key> {
        while let Some((at, key)) = self.timers.pop_due(now) {
            let Some(entry) = self.get_mut(key) else { continue };
            if entry.armed != Some(at) {
                continue; // an earlier one took its place
            }
            entry.armed = None;
            match entry.deadline {
                Some(deadline) if deadline <= now => {
                    entry.deadline = None;
                    return Some(key);
                }
                Some(deadline) => {
                    entry.armed = Some(deadline);
                    self.timers.push(deadline, key);
                }
                None => {}
            }
        }
        None
    }

    /// The next entry that has something it waits for.
    pub fn take_ready(&mut self) -> Option<Key> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(entry) = self.get_mut(key) {
                entry.queued = false;
                if entry.payload.readiness().wants(entry.interest) {
                    return Some(key);
                }
            }
        }
        None
    }

    /// How many entries `take_ready` may find.
    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Whether the entry's timer is set.
    pub fn has_deadline(&self, key: Key) -> bool {
        self.get(key).is_some_and(|e| e.deadline.is_some())
    }

    /// When the next timer may expire.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }
}

fn register(registry: &Registry, fd: RawFd, key: Key) -> io::Result<()> {
    let mut source = SourceFd(&fd);
    let directions = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
    match registry.register(&mut source, key.token(), directions) {
        // An older entry for it waits to be removed: this one is heard now.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            registry.reregister(&mut source, key.token(), directions)
        }
        result => result,
    }
}

/// The readiness that an event of the kernel stands for.
fn bits(event: &mio::event::Event) -> u8 {
    let mut bits = 0;
    if event.is_priority() {
        // Urgent data alone is nothing to read, and a read stops where it was.
        bits |= URGENT | MAYBE_READABLE;
    } else if event.is_readable() {
        bits |= READABLE;
    }
    if event.is_writable() {
        bits |= WRITABLE;
    }
    if event.is_error() {
        bits |= ERROR | READABLE | WRITABLE;
    }
    if event.is_read_closed() {
        bits |= HANGUP | READABLE;
    }
    bits
}

#[cfg(test)]
mod tests;
