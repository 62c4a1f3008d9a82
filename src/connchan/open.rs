//! Making channels: `connect` and `open` (spec/ns_connchan.md section 7).

use super::background;
use super::channel::{Channel, Endpoint, Listening, Peer, CONFIG_SECTION};
use super::connecting::{wait_for, Goal};
use super::driver::Driver;
use super::home;
use crate::base::time_value::TimeValue;
use crate::base::{config, Error, Result};
use crate::http::request::request_block;
use crate::http::url::Url;
use crate::net::address;
use crate::net::connect::Connector;
use crate::net::dial::Dial;
use crate::net::listen::Listener;
use crate::net::tls::{ClientSettings, Server, ServerSettings, Target};
use std::path::Path;
use std::sync::Arc;

/// What `connect` and `open` wait when no timeout is given.
pub const DEFAULT_TIMEOUT: TimeValue = TimeValue::from_secs(1);

/// The least that a connect that waits is given, as in the reference.
const LEAST_TIMEOUT: TimeValue = TimeValue::from_millis(100);

/// How long connecting without waiting may take in all; parameter
/// `connchanconnectwait`.
const DEFAULT_CONNECT_WAIT: TimeValue = TimeValue::from_secs(120);

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

/// Connects to a host over TCP, and by TLS when there are settings for it. A
/// timeout of 0 does not wait (spec/async-connect.md).
pub fn connect(host: &str, port: u16, tls: Option<TlsOptions>, timeout: TimeValue) -> Result<Arc<Channel>> {
    let goal = goal(host, port, timeout);
    let addresses = address::resolve(host, port).map_err(|e| goal.failed(&e))?;
    let driver = if tls.is_some() { Driver::TLS } else { Driver::PLAIN };
    make(goal, Connector::new(addresses), host, driver, tls, timeout.is_zero(), &[])
}

/// Where a connection without a handle leads.
pub enum Destination<'a> {
    /// A host and a port.
    Host(&'a str, u16),
    /// The path of a unix socket, and the name to verify when TLS is spoken.
    Unix(&'a str, &'a str),
}

/// Connects for a protocol of the library's own: the channel has no handle and
/// is not listed, so that no script can reach it. Waits at most `timeout`.
pub fn connect_unlisted(
    to: &Destination,
    tls: Option<TlsOptions>,
    timeout: TimeValue,
) -> Result<Arc<Channel>> {
    let (goal, connector, host) = match *to {
        Destination::Host(host, port) => {
            let goal = Goal::new(host, port, timeout);
            let addresses = address::resolve(host, port).map_err(|e| goal.failed(&e))?;
            (goal, Connector::new(addresses), host)
        }
        Destination::Unix(path, host) => {
            let goal = Goal::new(path, 0, timeout);
            let connector = Connector::unix(Path::new(path)).map_err(|e| goal.failed(&e))?;
            (goal, connector, host)
        }
    };
    let driver = if tls.is_some() { Driver::TLS } else { Driver::PLAIN };
    let tls = with_target(tls, &goal, host);
    let (endpoint, peer) = wait_for(&goal, Dial::new(connector, tls))?;
    Ok(Channel::unlisted(endpoint, driver, peer))
}

fn goal(host: &str, port: u16, timeout: TimeValue) -> Goal {
    let time = if timeout.is_zero() {
        config::get_time(CONFIG_SECTION, "connchanconnectwait", DEFAULT_CONNECT_WAIT)
    } else {
        timeout.max(LEAST_TIMEOUT)
    };
    // Messages tell the time that was asked for.
    Goal { timeout: if timeout.is_zero() { time } else { timeout }, ..Goal::new(host, port, time) }
}

/// The channel for what `connector` reaches; `host` is the name to verify
/// unless another was given, `greeting` what is sent at once.
fn make(
    goal: Goal,
    connector: Connector,
    host: &str,
    driver: Driver,
    tls: Option<TlsOptions>,
    in_background: bool,
    greeting: &[u8],
) -> Result<Arc<Channel>> {
    let tls = with_target(tls, &goal, host);
    if in_background {
        if let Some((settings, _)) = &tls {
            // What is wrong with them is known at once.
            settings.check()?;
        }
        let channel = Channel::connecting(goal, Dial::new(connector, tls), driver);
        // Written before anything can fail in the background: a failure is
        // told by the channel, never by this call.
        return or_close(channel, |channel| {
            channel.write(greeting)?;
            background::connect(channel)
        });
    }
    let (endpoint, peer) = wait_for(&goal, Dial::new(connector, tls))?;
    // What the socket does not take at once waits in the send buffer.
    or_close(Channel::create(endpoint, driver, peer), |channel| channel.write(greeting).map(drop))
}

/// Settings with the configured defaults, and whom to verify: `host`, unless
/// another name was given.
fn with_target(tls: Option<TlsOptions>, goal: &Goal, host: &str) -> Option<(ClientSettings, Target)> {
    tls.map(|options| {
        let section = format!("ns/server/{}/httpclient", config::server_name());
        let name = options.hostname.filter(|h| !h.is_empty()).unwrap_or_else(|| host.to_owned());
        let target = Target { name, place: format!("{} {}", goal.host, goal.port) };
        (options.settings.with_defaults(&section), target)
    })
}

/// The channel, unless what is done with it fails: then it is closed.
fn or_close(channel: Arc<Channel>, action: impl FnOnce(&Arc<Channel>) -> Result<()>) -> Result<Arc<Channel>> {
    match action(&channel) {
        Ok(()) => Ok(channel),
        Err(error) => {
            home::close(&channel);
            Err(error)
        }
    }
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
    match request.unix_socket {
        Some(path) => {
            let goal = goal(path, 0, request.timeout);
            let connector = Connector::unix(Path::new(path)).map_err(|e| goal.failed(&e))?;
            make(goal, connector, &url.host, driver, tls, request.timeout.is_zero(), &block)
        }
        None => {
            let goal = goal(&url.host, port, request.timeout);
            let addresses = address::resolve(&url.host, port).map_err(|e| goal.failed(&e))?;
            let connector = Connector::new(addresses);
            make(goal, connector, &url.host, driver, tls, request.timeout.is_zero(), &block)
        }
    }
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
