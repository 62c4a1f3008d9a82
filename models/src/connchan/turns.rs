//! `Claim`: one thread calls a channel's callback at a time, and who had to wait
//! is told.

use super::claim::Claim;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::Arc;
use loom::thread;

/// What the threads of a model share.
struct Shared {
    claim: Claim,
    /// Callbacks that run.
    inside: AtomicUsize,
    calls: AtomicUsize,
    /// The letter that has the home look again.
    nudged: AtomicBool,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            claim: Claim::default(),
            inside: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            nudged: AtomicBool::new(false),
        })
    }

    /// A home finds the channel ready. Whether it could call.
    fn call(&self) -> bool {
        if !self.claim.take() {
            return false;
        }
        assert_eq!(self.inside.fetch_add(1, Ordering::Relaxed), 0, "two callbacks at once");
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inside.fetch_sub(1, Ordering::Relaxed);
        if self.claim.release() {
            self.nudged.store(true, Ordering::Release);
        }
        true
    }
}

#[test]
fn never_two_at_once_and_nobody_waits_for_ever() {
    loom::model(|| {
        let shared = Shared::new();
        let other = Arc::clone(&shared);
        let there = thread::spawn(move || other.call());
        let here = shared.call();
        let there = there.join().unwrap();
        assert!(here || there, "neither could");
        // Who could not is told.
        assert!(here && there || shared.nudged.load(Ordering::Acquire), "nobody looks again");
        assert!(!shared.claim.is_taken());
    });
}

#[test]
fn three_homes() {
    loom::model(|| {
        let shared = Shared::new();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.call())
            })
            .collect();
        let mut could = usize::from(shared.call());
        for other in others {
            could += usize::from(other.join().unwrap());
        }
        assert_eq!(shared.calls.load(Ordering::Relaxed), could);
        assert!(could == 3 || shared.nudged.load(Ordering::Acquire));
    });
}
