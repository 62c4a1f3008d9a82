//! Whose turn it is to call a channel's callback: one thread at a time.
//!
//! A home that finds the channel taken notes that it wanted it; whoever has it
//! then hears so when it lets go, and tells the home. Both are one atomic
//! operation on one byte, so nobody waits for a turn that nobody announces.

use super::sync::{AtomicU8, Ordering};

/// A callback runs.
const TAKEN: u8 = 1;
/// Somebody wanted to call one meanwhile.
const WANTED: u8 = 2;

/// The right to call the callback.
#[derive(Debug)]
pub struct Claim(AtomicU8);

impl Default for Claim {
    fn default() -> Claim {
        Claim(AtomicU8::new(0))
    }
}

impl Claim {
    /// Takes the turn. False when somebody has it, who will hear of this.
    pub fn take(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let taken = now & TAKEN != 0;
            let next = if taken { TAKEN | WANTED } else { TAKEN };
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return !taken,
                Err(other) => now = other,
            }
        }
    }

    /// Lets go. Whether somebody wanted it meanwhile.
    pub fn release(&self) -> bool {
        self.0.swap(0, Ordering::AcqRel) & WANTED != 0
    }

    /// Whether somebody has it.
    pub fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) & TAKEN != 0
    }
}
