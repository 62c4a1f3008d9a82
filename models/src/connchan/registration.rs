//! How a channel is handed to another thread, closed and registered anew at the
//! same time. The steps are those of `home::assign`, `home::adopt`,
//! `Channel::close` and `Slice::next_reason`: flags that are looked at without
//! the lock, and a lock under which they are changed.

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

#[derive(Default)]
struct Callback {
    /// The number of the registration that has an entry.
    entry: Option<usize>,
    /// Letters on their way to the home.
    letters: Vec<usize>,
    /// Entries that were told to go.
    removed: usize,
}

struct Channel {
    closed: AtomicBool,
    generation: AtomicUsize,
    callback: Mutex<Callback>,
}

impl Channel {
    fn new() -> Arc<Channel> {
        Arc::new(Channel {
            closed: AtomicBool::new(false),
            generation: AtomicUsize::new(0),
            callback: Mutex::new(Callback::default()),
        })
    }

    /// `home::assign`, in any thread.
    fn assign(&self) -> bool {
        let mut callback = self.callback.lock().unwrap();
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        let generation = self.generation.load(Ordering::Acquire) + 1;
        self.generation.store(generation, Ordering::Release);
        callback.letters.push(generation);
        true
    }

    /// `home::adopt` for all letters, in the home.
    fn read_mail(&self) {
        let letters = std::mem::take(&mut self.callback.lock().unwrap().letters);
        for letter in letters {
            if self.closed.load(Ordering::Acquire) || self.generation.load(Ordering::Acquire) != letter {
                continue;
            }
            let mut callback = self.callback.lock().unwrap();
            if !self.closed.load(Ordering::Acquire) && self.generation.load(Ordering::Acquire) == letter {
                callback.entry = Some(letter);
            }
        }
    }

    /// `Channel::close`, in any thread.
    fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            let mut callback = self.callback.lock().unwrap();
            if callback.entry.take().is_some() {
                callback.removed += 1;
            }
        }
    }
}

#[test]
fn a_channel_that_is_closed_leaves_no_entry() {
    loom::model(|| {
        let channel = Channel::new();
        assert!(channel.assign());
        let closing = Arc::clone(&channel);
        let closer = thread::spawn(move || closing.close());
        channel.read_mail();
        closer.join().unwrap();
        channel.read_mail();
        assert_eq!(channel.callback.lock().unwrap().entry, None);
        assert!(!channel.assign());
    });
}

#[test]
fn the_last_registration_is_the_one_that_is_called() {
    loom::model(|| {
        let channel = Channel::new();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let channel = Arc::clone(&channel);
                thread::spawn(move || assert!(channel.assign()))
            })
            .collect();
        channel.read_mail();
        for other in others {
            other.join().unwrap();
        }
        channel.read_mail();
        let last = channel.generation.load(Ordering::Acquire);
        assert_eq!((last, channel.callback.lock().unwrap().entry), (2, Some(2)));
    });
}
