//! Accepting: every connection that waits becomes a channel, and the script
//! says whether it is kept (spec/ns_connchan.md 6.3, R-16).

use super::channel::{Channel, Driver, Endpoint, Peer};
use super::home::{log_script_error, Bound};
use crate::base::{errno, log};
use crate::net::descriptor::{is_exhausted, raise_limit};
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
    /// Nothing.
    None,
    /// Something, but no descriptor for it: to be tried again after this time.
    Pause(Duration),
}

/// Takes the next connection.
pub(super) fn next(listening: &Channel) -> Next {
    loop {
        let Some(listener) = listening.listener() else { return Next::None };
        match listener.accept() {
            Ok(Some(accepted)) => {
                let peer = accepted.peer.map_or(Peer::Unknown, Peer::Ip);
                let endpoint = Endpoint::Stream(Arc::new(accepted.socket));
                let channel = Channel::create(endpoint, Driver::Plain, peer);
                let handle = Obj::from_str(&channel.name());
                handle.cache(Arc::clone(&channel));
                return Next::Channel(channel, handle);
            }
            Ok(None) => {
                // The next connection is a new edge, which this thread has
                // still to hear.
                listening.readiness.clear(READABLE);
                return Next::None;
            }
            Err(error) if is_exhausted(&error) && raise_limit() => {}
            Err(error) => {
                complain(listening, &error);
                listening.readiness.clear(READABLE);
                return Next::Pause(PAUSE);
            }
        }
    }
}

/// Whether the accept script wants the connection.
pub(super) fn is_kept(completion: Completion, bound: &Bound, channel: &Channel) -> bool {
    match completion {
        Completion::Ok(result) => result.boolean().unwrap_or_else(|| {
            let (name, command) = (channel.name(), bound.script().command_name());
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

/// Says at most once a second that accepting failed.
fn complain(listening: &Channel, error: &std::io::Error) {
    thread_local!(static LAST: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = Instant::now();
    if LAST.get().is_none_or(|last| now - last >= Duration::from_secs(1)) {
        LAST.set(Some(now));
        let reason = error.raw_os_error().map_or_else(|| error.to_string(), errno::message);
        log::write(log::WARNING, &format!("{}: cannot accept connections: {reason}", listening.name()));
    }
}
