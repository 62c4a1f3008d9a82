//! Accepting: every connection that waits becomes a channel, and the script
//! says whether it is kept (spec/ns_connchan.md 6.3, R-16). Of a TLS listener
//! the script hears when the handshake is done.

use super::channel::{Channel, Endpoint, Peer};
use super::home::{log_script_error, Bound};
use crate::base::{errno, log};
use crate::net::descriptor::{is_exhausted, raise_limit};
use crate::net::tls;
use crate::reactor::READABLE;
use crate::tcl::script::Completion;
use crate::tcl::Obj;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a listener rests when there is no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What waits at a listening channel.
pub(super) enum Next {
    /// A connection, as a channel, and its handle.
    Channel(Arc<Channel>, Obj),
    /// A connection without a name yet, whose TLS handshake has to be made in
    /// this time.
    Handshake(Arc<Channel>, Duration),
    /// Nothing.
    None,
    /// Something, but no descriptor for it: to be tried again after this time.
    Pause(Duration),
}

/// What waits at a listening channel, as its connection.
pub(crate) enum Taken {
    /// A connection without a name; of TLS, the handshake is still to be made, in
    /// this time.
    Connection(Arc<Channel>, Duration),
    /// Nothing.
    None,
    /// Something, but no descriptor for it: to be tried again after this time.
    Pause(Duration),
}

/// Takes the next connection.
pub(crate) fn take(listening: &Channel) -> Taken {
    loop {
        let Some(socket) = listening.listening() else { return Taken::None };
        match socket.listener.accept() {
            Ok(Some(accepted)) => {
                let peer = accepted.peer.map_or(Peer::Unknown, Peer::Ip);
                let stream = Arc::new(accepted.socket);
                let Some(server) = &socket.tls else {
                    let channel = Channel::unlisted(Endpoint::Stream(stream), listening.driver(), peer);
                    return Taken::Connection(channel, Duration::ZERO);
                };
                match server.begin(stream) {
                    Ok(session) => {
                        let endpoint = Endpoint::Tls(Box::new(session));
                        let channel = Channel::unlisted(endpoint, listening.driver(), peer);
                        return Taken::Connection(channel, server.handshake_timeout().as_duration());
                    }
                    Err(error) => complain(&format!("{}: cannot use TLS: {error}", listening.name())),
                }
            }
            Ok(None) => {
                // The next connection is a new edge, which this thread has
                // still to hear.
                listening.readiness.clear(READABLE);
                return Taken::None;
            }
            Err(error) if is_exhausted(&error) && raise_limit() => {}
            Err(error) => {
                let reason = error.raw_os_error().map_or_else(|| error.to_string(), errno::message);
                complain(&format!("{}: cannot accept connections: {reason}", listening.name()));
                listening.readiness.clear(READABLE);
                return Taken::Pause(PAUSE);
            }
        }
    }
}

/// The same for a listener with an accept script.
pub(super) fn next(listening: &Channel) -> Next {
    match take(listening) {
        Taken::Connection(channel, timeout) if channel.is_tls() => Next::Handshake(channel, timeout),
        Taken::Connection(channel, _) => {
            let handle = introduce(&channel);
            Next::Channel(channel, handle)
        }
        Taken::None => Next::None,
        Taken::Pause(pause) => Next::Pause(pause),
    }
}

/// Gives a connection its name; the handle.
pub(super) fn introduce(channel: &Arc<Channel>) -> Obj {
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
