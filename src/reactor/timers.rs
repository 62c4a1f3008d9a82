//! Deadlines in the order of time. An entry that is outdated is recognised
//! and passed over when its time comes (see `Reactor::take_expired`).

use super::Key;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

#[derive(Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, u32, u32)>>,
}

impl Timers {
    pub fn push(&mut self, at: Instant, key: Key) {
        self.heap.push(Reverse((at, key.index, key.serial)));
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn retain(&mut self, keep: impl Fn(Instant, Key) -> bool) {
        self.heap.retain(|Reverse((at, index, serial))| keep(*at, Key { index: *index, serial: *serial }));
    }

    /// Takes the earliest timer if its time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, Key)> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse((at, index, serial))| (at, Key { index, serial }))
    }

    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }
}
