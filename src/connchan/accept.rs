//! Accepting: every connection that waits becomes a channel, and the script
//! says whether it is kept (spec/ns_connchan.md 6.3, R-16). Of a TLS listener
//! the script hears when the handshake is done.

use super::channel::{Channel, Endpoint, Peer};
use super::home::{close, hand_over, log_script_error, shake_hands, Action, Arrival, Bound, Home};
use super::slice::Serving;
use super::socks;
use crate::base::{errno, log};
use crate::net::descriptor::{is_exhausted, raise_limit};
use crate::net::tls::{self, Stop};
use crate::net::wait::Direction;
use crate::reactor::{Key, Readiness, MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::script::Completion;
use crate::tcl::Obj;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a listener rests when there is no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What waited at a listener.
pub(super) enum Accept {
    /// A connection; the handle for the script.
    Script(Obj),
    /// A connection whose handshake has begun, or that another thread has.
    Passed,
    /// Nothing more, for now.
    Nothing,
}

/// What waits at a listening channel.
enum Next {
    /// A connection, as a channel without a name yet.
    Channel(Arc<Channel>),
    /// A connection without a name yet, whose TLS handshake has to be made in
    /// this time.
    Handshake(Arc<Channel>, Duration),
    /// Nothing.
    None,
    /// Something, but no descriptor for it: to be tried again after this time.
    Pause(Duration),
}

/// What waits at a listening channel that a protocol serves.
pub(crate) enum Taken {
    /// A connection without a name; of TLS, the handshake is still to be made, in
    /// this time.
    Connection(Arc<Channel>, Duration),
    /// Nothing.
    None,
    /// Something, but no descriptor for it: to be tried again after this time.
    Pause(Duration),
}

/// Takes the next connection, for a protocol.
pub(crate) fn take(listening: &Channel) -> Taken {
    let taken = match next(listening) {
        Next::Channel(channel) => return Taken::Connection(channel, Duration::ZERO),
        Next::Handshake(channel, timeout) => return Taken::Connection(channel, timeout),
        Next::None => Taken::None,
        Next::Pause(pause) => Taken::Pause(pause),
    };
    // The next connection is a new edge, which this thread has still to hear.
    listening.readiness.clear(READABLE);
    taken
}

/// Takes the next connection.
fn next(listening: &Channel) -> Next {
    loop {
        let Some(socket) = listening.listening() else { return Next::None };
        match socket.listener.accept() {
            Ok(Some(accepted)) => {
                let peer = accepted.peer.map_or(Peer::Unknown, Peer::Ip);
                let stream = Arc::new(accepted.socket);
                let Some(server) = &socket.tls else {
                    let channel = Channel::unlisted(Endpoint::Stream(stream), listening.driver(), peer);
                    return Next::Channel(channel);
                };
                match server.begin(stream) {
                    Ok(session) => {
                        let endpoint = Endpoint::Tls(Box::new(session));
                        let channel = Channel::unlisted(endpoint, listening.driver(), peer);
                        return Next::Handshake(channel, server.handshake_timeout().as_duration());
                    }
                    Err(error) => complain(&format!("{}: cannot use TLS: {error}", listening.name())),
                }
            }
            Ok(None) => return Next::None,
            Err(_) if listening.is_closed() => return Next::None,
            Err(error) if is_exhausted(&error) && raise_limit() => {}
            Err(error) => {
                let reason = error.raw_os_error().map_or_else(|| error.to_string(), errno::message);
                complain(&format!("{}: cannot accept connections: {reason}", listening.name()));
                return Next::Pause(PAUSE);
            }
        }
    }
}

/// Gives a connection its name; the handle.
fn introduce(channel: &Arc<Channel>) -> Obj {
    channel.enlist();
    let handle = Obj::from_str(&channel.name());
    handle.cache(Arc::clone(channel));
    handle
}

/// Says that a handshake was not finished, and why.
pub(crate) fn refuse(channel: &Channel, stop: &tls::Stop) {
    let reason = match stop {
        tls::Stop::Failed(failure) => failure.of_handshake("accept").message,
        _ => "ssl accept failed: timeout".to_owned(),
    };
    complain(&format!("connection from {}: {reason}", channel.status().peer));
}

/// Whether the accept script wants the connection.
pub(super) fn is_kept(completion: Completion, bound: &Bound, channel: &Channel) -> bool {
    match completion {
        Completion::Ok(result) => result.boolean().unwrap_or_else(|| {
            let (name, command) = (channel.name(), bound.command_name());
            let text = result.text();
            log::write(
                log::ERROR,
                &format!("{name} accept script {command} returned '{text}' (must be a boolean value)"),
            );
            false
        }),
        Completion::Error(message) => {
            log_script_error(bound.interp, &message, "connchan accept proc");
            false
        }
    }
}

impl Home {
    /// Changes what is remembered of a listener's readiness.
    pub(super) fn set_own(&self, key: Key, change: impl FnOnce(&Readiness)) {
        if let Some(own) = self.reactor.borrow().payload(key).and_then(|binding| binding.own.as_ref()) {
            change(own);
        }
    }

    /// The listener's entry here, for a connection that another thread has
    /// accepted; a TLS handshake is begun.
    pub(super) fn arrived(&self, arrival: Arrival) -> Option<Serving> {
        let Arrival { listener, accepted, handshake, .. } = arrival;
        let key = listener.key_at(self.reactor.borrow().mailbox());
        let serving = key.and_then(|key| self.serving(key));
        let serving = serving.filter(|entry| {
            matches!(entry.bound.action, Action::Accept(..)) && !entry.bound.interp.is_deleted()
        });
        let Some(mut entry) = serving else {
            // Others may have taken over. Else nobody listens any more.
            let taken = listener.is_shared()
                && listener.members().iter().any(|other| hand_over(other, &listener, &accepted, handshake));
            if !taken {
                close(&accepted);
            }
            return None;
        };
        if let Some(timeout) = handshake {
            if shake_hands(&entry.bound, &entry.channel, &accepted, timeout).is_err() {
                close(&accepted);
            }
            return None;
        }
        entry.accepted = Some(accepted);
        Some(entry)
    }

    /// Gives a connection that has arrived its name; the handle.
    pub(super) fn introduce(&self, entry: &Serving) -> Option<Obj> {
        entry.accepted.as_ref().map(introduce)
    }

    /// Accepts the next connection of a listener.
    pub(super) fn accept(&self, entry: &mut Serving) -> Accept {
        // Asked anew each time: the script may close the listener, or give it
        // a callback.
        let still = self.refresh(entry) && matches!(entry.bound.action, Action::Accept(..));
        if !still || entry.bound.interp.is_deleted() {
            return Accept::Nothing;
        }
        match next(&entry.channel) {
            Next::Channel(accepted) => {
                if self.pass_on(entry, &accepted, None) {
                    return Accept::Passed;
                }
                let handle = introduce(&accepted);
                entry.accepted = Some(accepted);
                Accept::Script(handle)
            }
            Next::Handshake(accepted, timeout) => {
                let passed = self.pass_on(entry, &accepted, Some(timeout));
                if !passed && shake_hands(&entry.bound, &entry.channel, &accepted, timeout).is_err() {
                    close(&accepted);
                }
                Accept::Passed
            }
            Next::None => {
                // The next connection is a new edge, which this thread has
                // still to hear.
                self.set_own(entry.key, |own| own.clear(READABLE));
                Accept::Nothing
            }
            Next::Pause(pause) => {
                self.set_own(entry.key, |own| own.clear(READABLE));
                self.reactor.borrow_mut().set_deadline(entry.key, Some(Instant::now() + pause));
                Accept::Nothing
            }
        }
    }

    /// Gives a connection to another reactor thread that has fewer. Whether one
    /// has taken it.
    fn pass_on(&self, entry: &Serving, accepted: &Arc<Channel>, handshake: Option<Duration>) -> bool {
        let Action::Accept(_, Some(fellows)) = &entry.bound.action else { return false };
        let Some((me, _)) = self.member.get() else { return false };
        socks::better_placed(fellows, me)
            .is_some_and(|other| hand_over(&other, &entry.channel, accepted, handshake))
    }

    /// Goes on with a TLS handshake. When it is done, and there is still
    /// someone who listens: the handle for the accept script.
    pub(super) fn handshake(&self, entry: &mut Serving) -> Option<Obj> {
        let (key, channel) = (entry.key, &entry.channel);
        let waits_for = match channel.handshake() {
            Ok(()) => 0,
            Err(Stop::Wait(Direction::Readable)) => READABLE,
            Err(Stop::Wait(Direction::Writable)) => WRITABLE,
            Err(stop) => {
                refuse(channel, &stop);
                close(channel);
                return None;
            }
        };
        let mut reactor = self.reactor.borrow_mut();
        if waits_for != 0 {
            // Edges are heard in this thread only, so none is lost here.
            channel.readiness.clear(waits_for | MAYBE_READABLE);
            reactor.set_interest(key, waits_for);
            return None;
        }
        reactor.set_interest(key, 0);
        reactor.set_deadline(key, None);
        // Data may have come with the end of the handshake.
        channel.readiness.set(MAYBE_READABLE | WRITABLE);
        let Action::Handshake(_, listener) = &entry.bound.action else { return None };
        let accept = listener.key_at(reactor.mailbox()).and_then(|key| reactor.payload(key));
        let accept = accept.map(|binding| Rc::clone(&binding.bound));
        drop(reactor);
        let is_wanted = match &accept {
            Some(bound) => matches!(bound.action, Action::Accept(..)),
            // Other threads accept for it by now.
            None => listener.is_shared() && !listener.is_closed(),
        };
        if !is_wanted || entry.bound.interp.is_deleted() {
            close(channel);
            return None;
        }
        entry.accepted = Some(Arc::clone(channel));
        let handle = introduce(channel);
        if let Some(bound) = accept {
            entry.bound = bound;
        }
        Some(handle)
    }
}

/// Says at most once a second that accepting failed: peers shall not be able
/// to fill the log.
fn complain(text: &str) {
    thread_local!(static LAST: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = Instant::now();
    if LAST.get().is_none_or(|last| now - last >= Duration::from_secs(1)) {
        LAST.set(Some(now));
        log::write(log::WARNING, text);
    }
}
