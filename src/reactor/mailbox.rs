//! How other threads speak to a reactor: messages in a list, and a wake-up
//! for the first of them.

use super::Key;
use mio::{Registry, Token, Waker};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// What other threads have to say about an entry.
pub enum Message {
    /// The entry's descriptor was closed, or is at home elsewhere now.
    Remove(Key),
    /// The entry's readiness may have changed.
    Nudge(Key),
    /// The entry had no descriptor, and has perhaps one now.
    Attach(Key),
    /// To be done in the reactor's thread.
    Run(Box<dyn FnOnce() + Send>),
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Remove(key) => write!(f, "Remove({key:?})"),
            Message::Nudge(key) => write!(f, "Nudge({key:?})"),
            Message::Attach(key) => write!(f, "Attach({key:?})"),
            Message::Run(_) => f.write_str("Run"),
        }
    }
}

#[derive(Default)]
struct Letters {
    messages: Vec<Message>,
    /// When the first of them came.
    since: Option<Instant>,
    /// Nobody reads them any more.
    closed: bool,
}

/// The letter box of one reactor. Lives as long as anyone holds it; letters
/// to a reactor that has gone are never read.
pub struct Mailbox {
    waker: Waker,
    letters: Mutex<Letters>,
}

impl Mailbox {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Mailbox> {
        Ok(Mailbox { waker: Waker::new(registry, token)?, letters: Mutex::default() })
    }

    /// Leaves a message and wakes the reactor. One that has gone needs none.
    pub fn send(&self, message: Message) {
        drop(self.offer(message));
    }

    /// The same; the message comes back when the box was closed.
    pub fn offer(&self, message: Message) -> Result<(), Message> {
        let mut letters = self.letters.lock();
        if letters.closed {
            return Err(message);
        }
        letters.messages.push(message);
        let first = letters.messages.len() == 1;
        if first {
            letters.since = Some(Instant::now());
        }
        drop(letters);
        if first {
            // Fails only when the reactor's poll descriptor is gone.
            let _ = self.waker.wake();
        }
        Ok(())
    }

    /// Takes the messages out.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.letters.lock().messages)
    }

    /// Takes the last messages out: there will be no more.
    pub fn close(&self) -> Vec<Message> {
        let mut letters = self.letters.lock();
        letters.closed = true;
        std::mem::take(&mut letters.messages)
    }

    /// Closes the box, unless messages wait in it. Whether it is closed.
    pub fn close_if_empty(&self) -> bool {
        let mut letters = self.letters.lock();
        letters.closed |= letters.messages.is_empty();
        letters.closed
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.letters.lock().closed
    }

    /// For how long messages have been waiting.
    pub fn delay(&self) -> Duration {
        let letters = self.letters.lock();
        letters.since.filter(|_| !letters.messages.is_empty()).map_or(Duration::ZERO, |since| since.elapsed())
    }
}
