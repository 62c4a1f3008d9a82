//! Making a connection, from the first attempt at an address to the end of the
//! TLS handshake.
//!
//! A `Dial` never waits: `step` does what can be done, `waits` says for which
//! descriptors to wait. The waiting `connect` drives one, and so does the
//! background (spec/async-connect.md). An address that connects but fails in
//! the handshake counts as failed, and the next has its turn.

use super::connect::{Connected, Connector, Progress};
use super::tls::{ClientSettings, Session, Stop, Target};
use super::wait::Direction;
use crate::base::Error;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

/// A connection in the making.
pub struct Dial {
    connector: Connector,
    /// Settings and target of the handshake, when there is to be one.
    tls: Option<(ClientSettings, Target)>,
    handshake: Option<Handshake>,
    /// What went wrong with an address that had connected.
    refusal: Option<Error>,
}

struct Handshake {
    session: Session,
    address: Option<SocketAddr>,
    serial: u64,
    waits_for: Direction,
}

/// What a connection speaks.
pub enum Stream {
    /// Bytes as they are.
    Plain(Arc<Socket>),
    /// TLS, with its handshake done.
    Tls(Box<Session>),
}

/// Why no connection was made.
#[derive(Debug)]
pub enum Fault {
    /// No address could be connected to.
    Connect(io::Error),
    /// The TLS handshake, or the settings for it.
    Tls(Error),
}

/// Where it stands after a step.
pub enum Step {
    /// Done; the address that was reached, if it has one.
    Done(Stream, Option<SocketAddr>),
    /// Not yet: see `waits`, or look again at this time.
    Pending(Option<Instant>),
    /// Everything has failed.
    Failed(Fault),
}

impl Dial {
    /// A connection over what `connector` reaches.
    pub fn new(connector: Connector, tls: Option<(ClientSettings, Target)>) -> Dial {
        Dial { connector, tls, handshake: None, refusal: None }
    }

    /// Goes on as far as possible.
    pub fn step(&mut self, now: Instant) -> Step {
        loop {
            if let Some(handshake) = &mut self.handshake {
                match handshake.session.handshake() {
                    Ok(()) => {
                        if let Some(Handshake { session, address, .. }) = self.handshake.take() {
                            return Step::Done(Stream::Tls(Box::new(session)), address);
                        }
                    }
                    Err(Stop::Wait(direction)) => {
                        handshake.waits_for = direction;
                        return Step::Pending(None);
                    }
                    Err(Stop::Failed(failure)) => self.refuse(failure.of_handshake("connect")),
                    Err(Stop::End { .. }) => {
                        self.refuse(Error::new("ssl connect failed: connection closed"));
                    }
                }
                if !self.connector.resume() {
                    return Step::Failed(self.fault(None));
                }
            }
            match self.connector.step(now) {
                Progress::Connected(Connected { socket, address, serial }) => {
                    let socket = Arc::new(socket);
                    let Some((settings, target)) = &self.tls else {
                        return Step::Done(Stream::Plain(socket), address);
                    };
                    match Session::client(settings, target, socket) {
                        Ok(session) => {
                            let waits_for = Direction::Writable;
                            self.handshake = Some(Handshake { session, address, serial, waits_for });
                        }
                        // The same for every address.
                        Err(error) => return Step::Failed(Fault::Tls(error)),
                    }
                }
                Progress::Pending(again) => return Step::Pending(again),
                Progress::Failed(error) => return Step::Failed(self.fault(Some(error))),
            }
        }
    }

    fn refuse(&mut self, error: Error) {
        self.handshake = None;
        self.refusal = Some(error);
    }

    /// The most telling of the errors: a handshake came further than a connect.
    fn fault(&mut self, error: Option<io::Error>) -> Fault {
        match (self.refusal.take(), error) {
            (Some(refusal), _) => Fault::Tls(refusal),
            (None, Some(error)) => Fault::Connect(error),
            (None, None) => Fault::Connect(io::Error::from_raw_os_error(libc::ENOTCONN)),
        }
    }

    /// What an address has answered so far, if that says more than that the
    /// others are silent: to be told when the time is over.
    pub fn answer(&mut self) -> Option<Fault> {
        if let Some(refusal) = self.refusal.take() {
            return Some(Fault::Tls(refusal));
        }
        // One that is in its handshake has come further than those that failed.
        if self.handshake.is_some() {
            return None;
        }
        self.connector.answer().map(Fault::Connect)
    }

    /// The descriptors to wait for and in which direction, each with a number
    /// that no other of this connection has.
    pub fn waits(&self) -> Vec<(u64, RawFd, Direction)> {
        match &self.handshake {
            Some(h) => vec![(h.serial, h.session.fd(), h.waits_for)],
            None => {
                self.connector.descriptors().map(|(serial, fd)| (serial, fd, Direction::Writable)).collect()
            }
        }
    }
}
