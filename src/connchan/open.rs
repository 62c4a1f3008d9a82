//! Making channels: `connect` and `open` (spec/ns_connchan.md section 7).

use super::channel::{Channel, Endpoint, Listening, Peer};
use super::driver::Driver;
use super::home;
use crate::base::time_value::TimeValue;
use crate::base::{config, errno, Error, Result};
use crate::http::request::request_block;
use crate::http::url::Url;
use crate::net::listen::Listener;
use crate::net::tls::{ClientSettings, Server, ServerSettings, Session, Stop, Target};
use crate::net::wait::wait;
use crate::net::{address, connect};
use socket2::Socket;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// What `connect` and `open` wait when no timeout is given.
pub const DEFAULT_TIMEOUT: TimeValue = TimeValue::from_secs(1);

/// The least that a connect is given, as in the reference: a timeout of 0
/// would otherwise fail before an answer could come.
const LEAST_TIMEOUT: TimeValue = TimeValue::from_millis(100);

/// What `open` sends and how.
pub struct Request<'a> {
    /// The absolute URL.
    pub url: &'a str,
    /// The method, in any case.
    pub method: &'a str,
    /// The HTTP version, as text.
    pub version: &'a str,
    /// The header fields, all of them.
    pub headers: &'a [(String, String)],
    /// Driver name that must fit the URL's scheme.
    pub driver: Option<&'a str>,
    /// Path of the unix socket to connect to in place of the URL's host.
    pub unix_socket: Option<&'a str>,
    /// TLS settings, for `https`.
    pub tls: TlsOptions,
    /// Limit for connecting.
    pub timeout: TimeValue,
}

/// The TLS options of `connect` and `open`.
#[derive(Default)]
pub struct TlsOptions {
    /// How the peer is verified; what was not given comes from the
    /// configuration.
    pub settings: ClientSettings,
    /// The name to verify and to send, in place of the host (`-hostname`).
    pub hostname: Option<String>,
}

/// Where to connect to, and until when.
struct Goal<'a> {
    /// A host, or the path of a unix socket.
    host: &'a str,
    /// The port; 0 of a unix socket.
    port: u16,
    timeout: TimeValue,
    deadline: Instant,
}

impl Goal<'_> {
    fn new(host: &str, port: u16, timeout: TimeValue) -> Goal<'_> {
        let deadline = Instant::now() + timeout.max(LEAST_TIMEOUT).as_duration();
        Goal { host, port, timeout, deadline }
    }

    fn connect_tcp(&self) -> Result<(Socket, Peer)> {
        let addresses = address::resolve(self.host, self.port).map_err(|e| self.failed(&e))?;
        match connect::connect(addresses, self.deadline) {
            Ok(Some((socket, peer))) => Ok((socket, Peer::Ip(address::canonical(peer.ip())))),
            Ok(None) => Err(self.timed_out()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn connect_unix(&self) -> Result<(Socket, Peer)> {
        match connect::connect_unix(Path::new(self.host), self.deadline) {
            Ok(Some(socket)) => Ok((socket, Peer::Unknown)),
            Ok(None) => Err(self.timed_out()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Makes the TLS handshake over a connected socket, within what is left
    /// of the time.
    fn secure(&self, socket: Socket, name: &str, settings: &ClientSettings) -> Result<Session> {
        let target = Target { name: name.to_owned(), place: format!("{} {}", self.host, self.port) };
        let mut session = Session::client(settings, &target, Arc::new(socket))?;
        loop {
            let direction = match session.handshake() {
                Ok(()) => return Ok(session),
                Err(Stop::Wait(direction)) => direction,
                Err(Stop::Failed(failure)) => return Err(failure.of_handshake("connect")),
                Err(Stop::End { .. }) => return Err(Error::new("ssl connect failed: connection closed")),
            };
            match wait(session.fd(), direction, Some(self.deadline)) {
                Ok(true) => {}
                Ok(false) => return Err(self.timed_out()),
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    fn timed_out(&self) -> Error {
        let Goal { host, port, timeout, .. } = self;
        Error::timeout(format!("timeout while connecting to {host} port {port} after {}s", timeout.dotted()))
    }

    /// `can't connect to HOST port PORT: REASON`, with the errno when there is
    /// one; what the resolver says has the errorCode `RESOLVE HOST {text}`.
    fn failed(&self, error: &io::Error) -> Error {
        let prefix = format!("can't connect to {} port {}: ", self.host, self.port);
        match error.raw_os_error() {
            Some(code) => Error::posix(prefix + &errno::message(code), code),
            // A path that does not fit a unix socket's address.
            None if error.kind() == io::ErrorKind::InvalidInput => {
                Error::posix(prefix + &errno::message(libc::ENAMETOOLONG), libc::ENAMETOOLONG)
            }
            None => {
                let text = error.to_string();
                Error::with_code(prefix + &text, &["RESOLVE", self.host, &text])
            }
        }
    }
}

/// Connects to a host over TCP, and by TLS when there are settings for it.
pub fn connect(host: &str, port: u16, tls: Option<TlsOptions>, timeout: TimeValue) -> Result<Arc<Channel>> {
    let goal = Goal::new(host, port, timeout);
    let (socket, peer) = goal.connect_tcp()?;
    let driver = if tls.is_some() { Driver::TLS } else { Driver::PLAIN };
    finish(&goal, host, socket, peer, driver, tls)
}

/// The channel for a connected socket; `host` is the name to verify unless
/// another was given.
fn finish(
    goal: &Goal,
    host: &str,
    socket: Socket,
    peer: Peer,
    driver: Driver,
    tls: Option<TlsOptions>,
) -> Result<Arc<Channel>> {
    let endpoint = match tls {
        None => Endpoint::Stream(Arc::new(socket)),
        Some(options) => {
            let section = format!("ns/server/{}/httpclient", config::server_name());
            let settings = options.settings.with_defaults(&section);
            let name = options.hostname.filter(|h| !h.is_empty()).unwrap_or_else(|| host.to_owned());
            Endpoint::Tls(Box::new(goal.secure(socket, &name, &settings)?))
        }
    };
    Ok(Channel::create(endpoint, driver, peer))
}

/// Connects to the host of a URL and sends a request, with the given header
/// fields and no others.
pub fn open(request: Request) -> Result<Arc<Channel>> {
    let url = Url::parse_absolute(request.url)?;
    let driver = Driver::for_scheme(&url.scheme, request.driver)
        .ok_or_else(|| no_driver(&url.scheme, request.driver))?;
    let block = request_block(request.method, &url.target, request.version, request.headers)?;
    let tls = driver.is_tls().then_some(request.tls);
    let port = url.port.unwrap_or(if driver.is_tls() { 443 } else { 80 });
    let goal = Goal::new(request.unix_socket.unwrap_or(&url.host), port, request.timeout);
    let (socket, peer) = match request.unix_socket {
        Some(_) => Goal { port: 0, ..goal }.connect_unix()?,
        None => goal.connect_tcp()?,
    };
    let channel = finish(&goal, &url.host, socket, peer, driver, tls)?;
    // What the socket does not take at once waits in the send buffer.
    if let Err(error) = channel.write(&block) {
        home::close(&channel);
        return Err(error);
    }
    Ok(channel)
}

fn no_driver(scheme: &str, driver: Option<&str>) -> Error {
    let named = driver.map(|d| format!(" & driver name '{d}'")).unwrap_or_default();
    Error::new(format!("no driver for protocol '{scheme}'{named} found."))
}

/// Makes a listening channel. Whatever keeps it from listening is the
/// reference's one error for that (spec/ns_connchan.md 6.2).
pub fn listen(host: &str, port: u16, bind: bool, driver: Option<&str>) -> Result<Arc<Channel>> {
    let driver = match driver {
        None => Driver::PLAIN,
        Some(name) => Driver::find(name).ok_or_else(|| no_driver("http", driver))?,
    };
    let tls = match driver.is_tls() {
        true => Some(Server::new(ServerSettings::configured(&driver.section())?)?),
        false => None,
    };
    let listener = Listener::open(host, port, bind).map_err(|_| Error::new("could not register callback"))?;
    let listening = Listening { listener, tls };
    Ok(Channel::create(Endpoint::Listener(Arc::new(listening)), driver, Peer::Listening))
}
