//! The reactor over real sockets.

use super::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

#[derive(Clone, Default)]
struct Probe(Rc<Readiness>);

impl Payload for Probe {
    fn readiness(&self) -> &Readiness {
        &self.0
    }
}

const SOON: Duration = Duration::from_secs(5);

fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    (a, b)
}

#[test]
fn readiness_is_remembered_until_it_is_cleared() {
    let mut reactor = Reactor::new().unwrap();
    let (mut a, mut b) = pair();
    let probe = Probe::default();
    let key = reactor.add(Some(a.as_raw_fd()), READABLE, probe.clone()).unwrap();
    reactor.poll(Duration::ZERO).unwrap();
    assert_eq!(reactor.take_ready(), None, "only writable");
    assert_eq!(probe.0.get(), WRITABLE);
    b.write_all(b"hello").unwrap();
    reactor.poll(SOON).unwrap();
    assert_eq!(reactor.take_ready(), Some(key));
    assert_eq!(reactor.take_ready(), None);
    // Not read: still ready, without a new edge.
    reactor.queue_if_ready(key);
    assert_eq!(reactor.take_ready(), Some(key));
    probe.0.clear(READABLE);
    assert_eq!(a.read(&mut [0; 16]).unwrap(), 5);
    reactor.queue_if_ready(key);
    assert_eq!(reactor.take_ready(), None);
    drop(b);
    reactor.poll(SOON).unwrap();
    assert_eq!(reactor.take_ready(), Some(key));
    assert_ne!(probe.0.get() & HANGUP, 0);
}

#[test]
fn interest_changes_take_effect_at_once() {
    let mut reactor = Reactor::new().unwrap();
    let (a, _b) = pair();
    let key = reactor.add(Some(a.as_raw_fd()), 0, Probe::default()).unwrap();
    reactor.poll(Duration::ZERO).unwrap();
    assert_eq!(reactor.ready_count(), 0);
    reactor.set_interest(key, WRITABLE);
    assert_eq!(reactor.take_ready(), Some(key));
    reactor.set_interest(key, READABLE);
    assert_eq!(reactor.take_ready(), None);
}

#[test]
fn removed_keys_stay_dead() {
    let mut reactor = Reactor::new().unwrap();
    let (a, _b) = pair();
    let old = reactor.add(Some(a.as_raw_fd()), WRITABLE, Probe::default()).unwrap();
    reactor.poll(Duration::ZERO).unwrap();
    assert!(reactor.remove(old, Some(a.as_raw_fd())).is_some());
    let new = reactor.add(Some(a.as_raw_fd()), READABLE, Probe::default()).unwrap();
    assert_ne!(old, new);
    assert!(reactor.remove(old, None).is_none());
    assert_eq!(reactor.take_ready(), None);
    reactor.set_deadline(old, Some(Instant::now()));
    assert_eq!(reactor.take_expired(Instant::now() + SOON), None);
    assert_eq!(reactor.len(), 1);
}

#[test]
fn deadlines_move_without_touching_the_heap() {
    let mut reactor = Reactor::new().unwrap();
    let (a, _b) = pair();
    let key = reactor.add(Some(a.as_raw_fd()), 0, Probe::default()).unwrap();
    let start = Instant::now();
    let at = |s| start + Duration::from_secs(s);
    reactor.set_deadline(key, Some(at(1)));
    reactor.set_deadline(key, Some(at(10)));
    assert_eq!(reactor.next_timer(), Some(at(1)));
    assert_eq!(reactor.take_expired(at(5)), None);
    assert_eq!(reactor.next_timer(), Some(at(10)));
    assert_eq!(reactor.take_expired(at(10)), Some(key));
    assert_eq!(reactor.take_expired(at(100)), None);
    // A shorter one goes first, and the longer leaves no ghost.
    reactor.set_deadline(key, Some(at(30)));
    reactor.set_deadline(key, Some(at(20)));
    assert_eq!(reactor.take_expired(at(20)), Some(key));
    assert_eq!(reactor.take_expired(at(100)), None);
    reactor.set_deadline(key, Some(at(40)));
    reactor.set_deadline(key, None);
    assert_eq!(reactor.take_expired(at(100)), None);
}

#[test]
fn other_threads_wake_the_reactor() {
    let mut reactor = Reactor::<Probe>::new().unwrap();
    let (a, _b) = pair();
    let key = reactor.add(Some(a.as_raw_fd()), 0, Probe::default()).unwrap();
    let mailbox = Arc::clone(reactor.mailbox());
    let sender = std::thread::spawn(move || {
        mailbox.send(Message::Nudge(key));
        mailbox.send(Message::Remove(key));
    });
    let mut messages = Vec::new();
    let end = Instant::now() + SOON;
    while messages.len() < 2 && Instant::now() < end {
        reactor.poll(SOON).unwrap();
        messages.extend(reactor.mailbox().take());
    }
    sender.join().unwrap();
    assert!(matches!(messages[..], [Message::Nudge(a), Message::Remove(b)] if a == key && b == key));
    assert!(reactor.mailbox().close_if_empty() && reactor.mailbox().delay().is_zero());
    assert!(reactor.mailbox().offer(Message::Nudge(key)).is_err());
}

#[test]
fn timers_of_entries_that_have_gone_do_not_pile_up() {
    let mut reactor = Reactor::new().unwrap();
    let (a, _b) = pair();
    let far = Instant::now() + Duration::from_secs(3600);
    let stays = reactor.add(Some(_b.as_raw_fd()), 0, Probe::default()).unwrap();
    reactor.set_deadline(stays, Some(far));
    for _ in 0..1000 {
        let key = reactor.add(Some(a.as_raw_fd()), 0, Probe::default()).unwrap();
        reactor.set_deadline(key, Some(far));
        reactor.remove(key, Some(a.as_raw_fd()));
    }
    assert!(reactor.timers.len() < 100, "{}", reactor.timers.len());
    assert_eq!(reactor.take_expired(far), Some(stays));
}
