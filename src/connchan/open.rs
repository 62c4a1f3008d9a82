//! Making channels: `connect` and `open` (spec/ns_connchan.md section 7).

use super::channel::{Channel, Driver, Endpoint, Peer};
use super::home;
use crate::base::time_value::TimeValue;
use crate::base::{errno, Error, Result};
use crate::http::request::request_block;
use crate::http::url::Url;
use crate::net::{address, connect, listen::Listener};
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
    /// Limit for connecting.
    pub timeout: TimeValue,
}

/// Connects to a host over TCP.
pub fn connect_tcp(host: &str, port: u16, timeout: TimeValue) -> Result<Arc<Channel>> {
    let addresses = address::resolve(host, port).map_err(|e| cannot_connect(host, port, &e))?;
    match connect::connect(addresses, deadline(timeout)) {
        Ok(Some((socket, peer))) => {
            let peer = Peer::Ip(address::canonical(peer.ip()));
            Ok(Channel::create(Endpoint::Stream(Arc::new(socket)), Driver::Plain, peer))
        }
        Ok(None) => Err(timed_out(host, port, timeout)),
        Err(error) => Err(cannot_connect(host, port, &error)),
    }
}

fn connect_unix(path: &str, timeout: TimeValue) -> Result<Arc<Channel>> {
    match connect::connect_unix(Path::new(path), deadline(timeout)) {
        Ok(Some(socket)) => {
            Ok(Channel::create(Endpoint::Stream(Arc::new(socket)), Driver::Plain, Peer::Unknown))
        }
        Ok(None) => Err(timed_out(path, 0, timeout)),
        Err(error) => Err(cannot_connect(path, 0, &error)),
    }
}

fn deadline(timeout: TimeValue) -> Instant {
    Instant::now() + timeout.max(LEAST_TIMEOUT).as_duration()
}

fn timed_out(host: &str, port: u16, timeout: TimeValue) -> Error {
    Error::timeout(format!("timeout while connecting to {host} port {port} after {}s", timeout.dotted()))
}

/// `can't connect to HOST port PORT: REASON`, with the errno when there is
/// one; what the resolver says has the errorCode `RESOLVE HOST {text}`.
fn cannot_connect(host: &str, port: u16, error: &io::Error) -> Error {
    let prefix = format!("can't connect to {host} port {port}: ");
    match error.raw_os_error() {
        Some(code) => Error::posix(prefix + &errno::message(code), code),
        // A path that does not fit a unix socket's address.
        None if error.kind() == io::ErrorKind::InvalidInput => {
            Error::posix(prefix + &errno::message(libc::ENAMETOOLONG), libc::ENAMETOOLONG)
        }
        None => {
            let text = error.to_string();
            Error::with_code(prefix + &text, &["RESOLVE", host, &text])
        }
    }
}

/// Connects to the host of a URL and sends a request, with the given header
/// fields and no others.
pub fn open(request: &Request) -> Result<Arc<Channel>> {
    let url = Url::parse_absolute(request.url)?;
    // A unix socket is spoken to in plain text, whatever the scheme says.
    let scheme = if request.unix_socket.is_some() && url.scheme == "https" { "http" } else { &url.scheme };
    check_driver(scheme, request.driver)?;
    let block = request_block(request.method, &url.target, request.version, request.headers)?;
    let channel = match request.unix_socket {
        Some(path) => connect_unix(path, request.timeout)?,
        None => connect_tcp(&url.host, url.port.unwrap_or(80), request.timeout)?,
    };
    // What the socket does not take at once waits in the send buffer.
    if let Err(error) = channel.write(&block) {
        home::close(&channel);
        return Err(error);
    }
    Ok(channel)
}

/// Which scheme goes with which driver.
fn check_driver(scheme: &str, driver: Option<&str>) -> Result<()> {
    if scheme != "http" {
        let named = driver.map(|d| format!(" & driver name '{d}'")).unwrap_or_default();
        return Err(Error::new(format!("no driver for protocol '{scheme}'{named} found.")));
    }
    check_plain_driver(driver)
}

fn check_plain_driver(driver: Option<&str>) -> Result<()> {
    match driver {
        Some(name) if name != Driver::Plain.name() => {
            Err(Error::new(format!("no driver for protocol 'http' & driver name '{name}' found.")))
        }
        _ => Ok(()),
    }
}

/// Makes a listening channel. Whatever keeps it from listening is the
/// reference's one error for that (spec/ns_connchan.md 6.2).
pub fn listen(host: &str, port: u16, bind: bool, driver: Option<&str>) -> Result<Arc<Channel>> {
    check_plain_driver(driver)?;
    let listener = Listener::open(host, port, bind).map_err(|_| Error::new("could not register callback"))?;
    Ok(Channel::create(Endpoint::Listener(Arc::new(listener)), Driver::Plain, Peer::Listening))
}
