//! `Readiness`: no edge is lost, whoever reads and whoever hears it.
//!
//! The kernel is an atomic counter of bytes that wait; what the reactor hears of
//! it comes later, by `hear`, in the home's thread.

use super::readiness::{Readiness, MAYBE_READABLE, READABLE, WRITABLE};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::Arc;
use loom::thread;

struct Shared {
    readiness: Readiness,
    /// Bytes that wait to be read.
    waiting: AtomicUsize,
    /// Room to write.
    room: AtomicBool,
    /// A letter has the home look again.
    nudged: AtomicBool,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            readiness: Readiness::default(),
            waiting: AtomicUsize::new(0),
            room: AtomicBool::new(true),
            nudged: AtomicBool::new(false),
        })
    }

    fn read(&self) -> usize {
        self.waiting.swap(0, Ordering::AcqRel)
    }

    /// `Channel::read` in a thread that is not the home.
    fn read_elsewhere(&self) {
        self.readiness.clear(READABLE);
        self.readiness.set(MAYBE_READABLE);
        self.read();
        self.nudged.store(true, Ordering::Release);
    }

    /// `Channel::read` in the home, which hears all edges itself: a read that
    /// finds nothing clears the bits.
    fn read_at_home(&self) {
        if self.read() == 0 {
            self.readiness.clear(READABLE | MAYBE_READABLE);
        }
    }

    /// `slice::is_due`: whether a script shall be told to read. In doubt the
    /// kernel is asked.
    fn is_due(&self) -> bool {
        let bits = self.readiness.get();
        if bits & MAYBE_READABLE != 0 {
            self.readiness.clear(READABLE | MAYBE_READABLE);
            let readable = self.waiting.load(Ordering::Acquire) > 0;
            if readable {
                self.readiness.set(READABLE);
            }
            return readable;
        }
        bits & READABLE != 0
    }
}

#[test]
fn data_that_is_not_read_is_told_of() {
    loom::model(|| {
        let shared = Shared::new();
        let (kernel, other) = (Arc::clone(&shared), Arc::clone(&shared));
        let reader = thread::spawn(move || other.read_elsewhere());
        // The home: data comes, the edge is heard, a script may be called.
        kernel.waiting.fetch_add(1, Ordering::AcqRel);
        kernel.readiness.hear(READABLE);
        if kernel.is_due() {
            kernel.read_at_home();
        }
        reader.join().unwrap();
        if shared.waiting.load(Ordering::Acquire) > 0 {
            assert!(shared.readiness.wants(READABLE), "data waits, and nobody knows");
        }
    });
}

#[test]
fn data_that_comes_while_another_thread_reads() {
    loom::model(|| {
        let shared = Shared::new();
        let other = Arc::clone(&shared);
        shared.waiting.store(1, Ordering::Release);
        shared.readiness.hear(READABLE);
        let reader = thread::spawn(move || other.read_elsewhere());
        // The home looks, twice, with an edge in between.
        if shared.is_due() {
            shared.read_at_home();
        }
        shared.waiting.fetch_add(1, Ordering::AcqRel);
        shared.readiness.hear(READABLE);
        reader.join().unwrap();
        if shared.waiting.load(Ordering::Acquire) > 0 {
            assert!(shared.is_due(), "data waits, and no script is called");
        }
    });
}

#[test]
fn room_is_told_of() {
    loom::model(|| {
        let shared = Shared::new();
        let other = Arc::clone(&shared);
        shared.room.store(false, Ordering::Release);
        // `Channel::send_some` in another thread: cleared before, set after.
        let sender = thread::spawn(move || {
            other.readiness.clear(WRITABLE);
            if other.room.load(Ordering::Acquire) {
                other.readiness.set(WRITABLE);
                other.nudged.store(true, Ordering::Release);
            }
        });
        shared.room.store(true, Ordering::Release);
        shared.readiness.hear(WRITABLE);
        sender.join().unwrap();
        assert!(shared.readiness.wants(WRITABLE), "there is room, and nobody knows");
    });
}

#[test]
fn what_an_old_home_hears_is_no_promise() {
    loom::model(|| {
        let shared = Shared::new();
        let moved = Arc::new(AtomicBool::new(false));
        let (other, has_moved) = (Arc::clone(&shared), Arc::clone(&moved));
        shared.waiting.store(1, Ordering::Release);
        // `Reactor::poll` in the old home.
        let old = thread::spawn(move || {
            if has_moved.load(Ordering::Acquire) {
                return;
            }
            other.readiness.hear(READABLE);
            if has_moved.load(Ordering::Acquire) {
                other.readiness.doubt();
            }
        });
        // The new home: it hears the same edge, and reads everything.
        moved.store(true, Ordering::Release);
        shared.readiness.hear(READABLE);
        shared.read();
        shared.read_at_home();
        old.join().unwrap();
        shared.waiting.fetch_add(1, Ordering::AcqRel);
        shared.readiness.hear(READABLE);
        assert!(shared.is_due(), "data waits, and no script is called");
    });
}
