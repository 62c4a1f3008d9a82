//! How other threads speak to a reactor: messages in a list, and a wake-up
//! for the first of them.

use super::Key;
use mio::{Registry, Token, Waker};
use parking_lot::Mutex;
use std::io;

/// What other threads have to say about an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// The entry's descriptor was closed, or is at home elsewhere now.
    Remove(Key),
    /// The entry's readiness may have changed.
    Nudge(Key),
    /// The entry had no descriptor, and has perhaps one now.
    Attach(Key),
}

/// The letter box of one reactor. Lives as long as anyone holds it; letters
/// to a reactor that has gone are never read.
pub struct Mailbox {
    waker: Waker,
    messages: Mutex<Vec<Message>>,
}

impl Mailbox {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Mailbox> {
        Ok(Mailbox { waker: Waker::new(registry, token)?, messages: Mutex::default() })
    }

    /// Leaves a message and wakes the reactor.
    pub fn send(&self, message: Message) {
        let mut messages = self.messages.lock();
        messages.push(message);
        let first = messages.len() == 1;
        drop(messages);
        if first {
            // Fails only when the reactor's poll descriptor is gone.
            let _ = self.waker.wake();
        }
    }

    /// Takes the messages out.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.messages.lock())
    }
}
