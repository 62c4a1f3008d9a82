//! When a compressed sibling is made anew: by one request at a time, and after
//! a failure not again at once.
//!
//! Making it is a script's business (`ns_gzipfile`); this only says who may.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the first failure keeps others from trying.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// And how long the last, each wait being twice the one before.
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// Nobody is told twice within this time that a sibling is outdated.
const QUIET: Duration = Duration::from_secs(60);
/// Files that are remembered; each of them exists in the page directory.
const MOST: usize = 4096;

struct State {
    running: bool,
    /// Not before this time.
    not_before: Option<Instant>,
    wait: Duration,
    complained: Option<Instant>,
}

impl State {
    const NEW: State = State { running: false, not_before: None, wait: FIRST_WAIT, complained: None };
}

static STATES: Mutex<BTreeMap<String, State>> = Mutex::new(BTreeMap::new());

/// Whether the sibling called `target` may be made anew now.
pub fn is_due(target: &str) -> bool {
    STATES.lock().get(target).is_none_or(|state| state.is_due(Instant::now()))
}

impl State {
    fn is_due(&self, now: Instant) -> bool {
        !self.running && self.not_before.is_none_or(|time| time <= now)
    }
}

/// The right to make a sibling anew.
pub struct Turn {
    target: String,
    ended: bool,
}

/// Takes that right; `None` when it is somebody else's, or not yet due.
pub fn begin(target: &str) -> Option<Turn> {
    let mut states = STATES.lock();
    let state = remember(&mut states, target);
    if !state.is_due(Instant::now()) {
        return None;
    }
    state.running = true;
    Some(Turn { target: target.to_owned(), ended: false })
}

impl Turn {
    /// It was made, and is up to date.
    pub fn done(mut self) {
        self.ended = true;
        STATES.lock().remove(&self.target);
    }
}

impl Drop for Turn {
    /// Without `done` it has failed.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some(state) = STATES.lock().get_mut(&self.target) {
            state.running = false;
            state.not_before = Some(Instant::now() + state.wait);
            state.wait = (state.wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// Whether the log should be told that the sibling is outdated.
pub fn complain(target: &str) -> bool {
    let now = Instant::now();
    let mut states = STATES.lock();
    let state = remember(&mut states, target);
    if state.complained.is_some_and(|time| now < time + QUIET) {
        return false;
    }
    state.complained = Some(now);
    true
}

fn remember<'a>(states: &'a mut BTreeMap<String, State>, target: &str) -> &'a mut State {
    if states.len() >= MOST && !states.contains_key(target) {
        states.retain(|_, state| state.running);
    }
    states.entry(target.to_owned()).or_insert(State::NEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        assert!(is_due("/refresh/one.gz"));
        let turn = begin("/refresh/one.gz").unwrap();
        assert!(!is_due("/refresh/one.gz"));
        assert!(begin("/refresh/one.gz").is_none());
        assert!(is_due("/refresh/other.gz"));
        turn.done();
        assert!(begin("/refresh/one.gz").is_some());
    }

    #[test]
    fn a_failure_is_not_repeated_at_once() {
        let waits = |target: &str| STATES.lock()[target].wait;
        drop(begin("/refresh/failed.gz").unwrap());
        assert!(!is_due("/refresh/failed.gz"));
        assert!(begin("/refresh/failed.gz").is_none());
        assert_eq!(waits("/refresh/failed.gz"), 2 * FIRST_WAIT);
        for _ in 0..9 {
            // As if the time had passed.
            STATES.lock().get_mut("/refresh/failed.gz").unwrap().not_before = None;
            drop(begin("/refresh/failed.gz").unwrap());
        }
        assert_eq!(waits("/refresh/failed.gz"), LONGEST_WAIT);
        STATES.lock().get_mut("/refresh/failed.gz").unwrap().not_before = None;
        begin("/refresh/failed.gz").unwrap().done();
        drop(begin("/refresh/failed.gz").unwrap());
        assert_eq!(waits("/refresh/failed.gz"), 2 * FIRST_WAIT);
    }

    #[test]
    fn one_complaint() {
        assert!(complain("/refresh/old.gz"));
        assert!(!complain("/refresh/old.gz"));
        assert!(complain("/refresh/older.gz"));
    }
}
