//! The remembered readiness of one descriptor.
//!
//! Shared by the reactor that hears the edges and by every thread that reads
//! or writes. The rule that keeps an edge from being lost: whoever reads or
//! writes clears the bit *before* the system call and sets it again after it
//! when there is reason to; an edge that arrives in between sets it too.

use super::sync::{AtomicBool, AtomicU8, Ordering};

/// Data, end of file or an error waits: a read will not block.
pub const READABLE: u8 = 1;
/// There is room: a write will take something.
pub const WRITABLE: u8 = 2;
/// An error condition came up.
pub const ERROR: u8 = 4;
/// The peer has closed its side: the next read that finds nothing is the end.
pub const HANGUP: u8 = 8;
/// Perhaps there is more to read: whoever acts on it asks the kernel first.
pub const MAYBE_READABLE: u8 = 16;

/// The error condition was told: the kernel may report one reset twice.
/// Never cleared, as a socket does not recover from it.
const ERROR_TOLD: u8 = 32;
/// Urgent data has come at some time: a short read may have stopped at its
/// mark, with more behind it. Never cleared.
pub const URGENT: u8 = 64;

/// What was to be done in one direction has to wait for the other (TLS): the
/// next edge, of whichever, is one for both.
pub const CROSSED: u8 = 128;

/// Readiness bits of a descriptor, and whether an edge of data has been heard that
/// nobody has asked the kernel about.
#[derive(Debug)]
pub struct Readiness(AtomicU8, AtomicBool);

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness(AtomicU8::new(0), AtomicBool::new(false))
    }
}

impl Readiness {
    /// The bits.
    pub fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    /// Adds bits.
    pub fn set(&self, bits: u8) {
        self.0.fetch_or(bits, Ordering::AcqRel);
    }

    /// Adds what the kernel reports.
    pub(super) fn hear(&self, bits: u8) {
        let before = self.get();
        let mut bits = if before & ERROR_TOLD != 0 { bits & !ERROR } else { bits };
        if before & CROSSED != 0 && bits & (READABLE | WRITABLE) != 0 {
            self.clear(CROSSED);
            bits |= WRITABLE | MAYBE_READABLE;
        }
        if bits & (READABLE | MAYBE_READABLE) != 0 {
            self.1.store(true, Ordering::Release);
        }
        self.set(bits);
    }

    /// Whether an edge of data has been heard since this was asked last: for whoever keeps
    /// data on this side of the kernel, and need not ask it before they are used up.
    pub fn take_news(&self) -> bool {
        self.1.load(Ordering::Relaxed) && self.1.swap(false, Ordering::AcqRel)
    }

    /// What was heard last may be outdated: whoever acts on it asks first.
    pub(super) fn doubt(&self) {
        self.set(MAYBE_READABLE);
        self.clear(READABLE);
    }

    /// Takes note that a script is being told of the error condition.
    pub fn tell_error(&self) {
        self.set(ERROR_TOLD);
        self.clear(ERROR);
    }

    /// Takes bits away.
    pub fn clear(&self, bits: u8) {
        self.0.fetch_and(!bits, Ordering::AcqRel);
    }

    /// Whether something of `interest` is there, or perhaps there.
    pub fn wants(&self, interest: u8) -> bool {
        let bits = self.get();
        bits & interest != 0 || interest & READABLE != 0 && bits & MAYBE_READABLE != 0
    }
}
