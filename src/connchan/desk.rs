//! A desk: where other threads, and times to come, leave scripts for an
//! interpreter to call from its event loop.
//!
//! At a desk sit clerks: channels without a socket in the home of the
//! interpreter's thread, so that these scripts take turns with callbacks. While
//! the script of one runs, which may enter the event loop, another one takes its
//! place. A letter is made into a call only in the interpreter's thread: values
//! do not leave theirs.

use super::channel::Channel;
use super::home;
use super::native::{Native, Turn};
use crate::base::{log, Error, Result};
use crate::reactor::{ERROR, MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::lifetime::{self, Event};
use crate::tcl::script::{Completion, Script};
use crate::tcl::{Interp, Obj};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

/// What is to be called: a script, and words to append to it.
pub type Call = (Rc<Script>, Vec<Obj>);

/// Makes the call, in the interpreter's thread; `None` when it is not wanted
/// any more.
pub type Make = Box<dyn FnOnce(Interp) -> Option<Call> + Send>;

/// Hears how the call has ended. Dropped unused when it was never made.
pub type Done = Box<dyn FnOnce(Interp, Completion) + Send>;

/// A call to be made.
pub struct Letter {
    /// What to call.
    pub make: Make,
    /// Who hears of the end.
    pub done: Done,
}

/// The desk of an interpreter, as any thread holds it.
#[derive(Clone, Default)]
pub struct Desk(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The clerks that have nothing to do.
    free: Mutex<Vec<Arc<Channel>>>,
    mail: Mutex<Mail>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Mail {
    letters: VecDeque<Letter>,
    /// By time, then by number.
    timed: BTreeMap<(Instant, u64), Letter>,
    serial: u64,
}

/// Names a letter that waits for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(Instant, u64);

/// An interpreter's own desk, once it was asked for.
#[derive(Default)]
struct Own(RefCell<Option<Desk>>);

/// The desk of an interpreter of the calling thread, set up at first use.
///
/// # Errors
/// The thread has no home, or it is being closed down.
pub fn of(interp: Interp) -> Result<Desk> {
    let own = lifetime::state::<Own>(interp);
    if let Some(desk) = own.0.borrow().clone().filter(|desk| !desk.is_closed()) {
        return Ok(desk);
    }
    let desk = Desk::default();
    desk.seat(interp)?;
    own.0.replace(Some(desk.clone()));
    Ok(desk)
}

impl Desk {
    /// Whether its interpreter has gone.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Adds a clerk who has nothing to do yet.
    fn seat(&self, interp: Interp) -> Result<()> {
        let channel = Channel::bare();
        let clerk = Rc::new(Clerk { desk: self.clone(), interp, present: RefCell::default() });
        self.0.free.lock().push(Arc::clone(&channel));
        home::register_native(interp, &channel, &Obj::empty(), clerk)
    }

    /// Leaves a letter, to be seen to as soon as the event loop is entered.
    ///
    /// # Errors
    /// The interpreter has gone.
    pub fn post(&self, letter: Letter) -> Result<()> {
        self.0.mail.lock().letters.push_back(letter);
        self.nudge()
    }

    /// Leaves a letter for a time to come.
    ///
    /// # Errors
    /// The interpreter has gone.
    pub fn post_at(&self, time: Instant, letter: Letter) -> Result<Ticket> {
        let mut mail = self.0.mail.lock();
        mail.serial += 1;
        let ticket = Ticket(time, mail.serial);
        mail.timed.insert((time, ticket.1), letter);
        drop(mail);
        self.nudge()?;
        Ok(ticket)
    }

    /// Takes back a letter whose time has not come. False when it was called.
    pub fn take_back(&self, ticket: Ticket) -> bool {
        let taken = self.0.mail.lock().timed.remove(&(ticket.0, ticket.1));
        taken.is_some()
    }

    fn nudge(&self) -> Result<()> {
        if self.is_closed() {
            // Dropped without the lock: letters may hold what they want to be
            // told of.
            let left = std::mem::take(&mut *self.0.mail.lock());
            drop(left);
            return Err(Error::new("the interpreter has gone"));
        }
        let clerk = self.0.free.lock().last().cloned();
        if let Some(clerk) = clerk {
            clerk.nudge_home();
        }
        Ok(())
    }

    /// The next letter that is due, or when there will be one.
    fn next(&self, now: Instant) -> std::result::Result<Letter, Option<Instant>> {
        let mut mail = self.0.mail.lock();
        if let Some(entry) = mail.timed.first_entry() {
            if entry.key().0 <= now {
                return Ok(entry.remove());
            }
        }
        match mail.letters.pop_front() {
            Some(letter) => Ok(letter),
            None => Err(mail.timed.first_key_value().map(|((time, _), _)| *time)),
        }
    }
}

/// One who sits at the desk.
struct Clerk {
    desk: Desk,
    interp: Interp,
    /// Whom to tell of the call that is being made; what is made for it, too,
    /// goes at its end.
    present: RefCell<Option<(Done, Event)>>,
}

impl Clerk {
    /// A script is about to run: another clerk sees to what comes meanwhile.
    fn hand_over(&self, channel: &Arc<Channel>) {
        let mut free = self.desk.0.free.lock();
        free.retain(|clerk| !Arc::ptr_eq(clerk, channel));
        let next = free.last().cloned();
        drop(free);
        match next {
            Some(next) => next.nudge_home(),
            None => {
                if let Err(error) = self.desk.seat(self.interp) {
                    log::write(log::ERROR, &error.message);
                }
            }
        }
    }
}

impl Native for Clerk {
    fn turn(&self, channel: &Arc<Channel>, _buffer: &mut [u8], words: &mut Vec<Obj>, _now: Instant) -> Turn {
        // Cleared before looking: who leaves a letter sets it after that.
        channel.readiness.clear(READABLE | WRITABLE | ERROR | MAYBE_READABLE);
        loop {
            match self.desk.next(Instant::now()) {
                Err(next) => return Turn::Rest(next),
                Ok(Letter { make, done }) => {
                    let event = Event::begin();
                    match make(self.interp) {
                        None => event.end(),
                        Some((script, appended)) => {
                            words.extend(appended);
                            self.present.replace(Some((done, event)));
                            self.hand_over(channel);
                            return Turn::Call(script);
                        }
                    }
                }
            }
        }
    }

    fn finished(&self, channel: &Arc<Channel>, interp: Interp, completion: Completion, _code: i32) {
        self.desk.0.free.lock().push(Arc::clone(channel));
        // There may be more.
        channel.readiness.set(MAYBE_READABLE);
        let present = self.present.take();
        if let Some((done, event)) = present {
            done(interp, completion);
            event.end();
        }
    }

    fn farewell(&self, _channel: &Arc<Channel>) {
        self.desk.0.closed.store(true, Ordering::Release);
        let left = std::mem::take(&mut *self.desk.0.mail.lock());
        self.desk.0.free.lock().clear();
        drop(left);
        if let Some((_, event)) = self.present.take() {
            event.end();
        }
    }
}
