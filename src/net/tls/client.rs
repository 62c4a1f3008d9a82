//! The client's side: contexts made from settings, who is verified under which
//! name, and sessions that are resumed.
//!
//! A context is expensive (it holds every trusted certificate), so contexts
//! are kept for the settings they were made from, until one of their files
//! changes. Each has the sessions that its peers have handed out: they were
//! verified by its rules, and are of no use to another.

use super::files::{identity, trust, Stamp};
use super::{alpn_wire, common, Session};
use crate::base::{config, Error, Result};
use once_cell::sync::{Lazy, OnceCell};
use openssl::ex_data::Index;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslSession, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::verify::X509CheckFlags;
use parking_lot::Mutex;
use socket2::Socket;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Contexts kept: one for each combination of settings in use.
const CONTEXTS: usize = 32;
/// Peers whose sessions a context keeps.
const PEERS: usize = 256;
/// Sessions kept for a peer: each of TLS 1.3 is used once.
const SESSIONS: usize = 4;

/// How a client authenticates its peers, and itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientSettings {
    /// File with trusted certificates (`-cafile`), beside the system's.
    pub ca_file: Option<String>,
    /// Hashed directory with trusted certificates (`-capath`).
    pub ca_path: Option<String>,
    /// Own certificate with its chain (`-cert`).
    pub certificate: Option<String>,
    /// Its key (`-key`); by default it is in the same file.
    pub key: Option<String>,
    /// Verify nothing (`-insecure`).
    pub insecure: bool,
    /// Protocols to offer, the preferred first (RFC 7301).
    pub alpn: Vec<String>,
}

impl ClientSettings {
    /// Fills in what was not given from the section `section`, and from the
    /// directory `home` of parameter `home` in `ns/parameters`: the files
    /// `ca-bundle.crt` and `certificates` there, if they exist. Empty names
    /// count as not given.
    pub fn with_defaults(mut self, section: &str) -> ClientSettings {
        let configured = |key: &str| config::get(section, key).filter(|v| !v.is_empty());
        let home = config::get("ns/parameters", "home");
        let at_home = |name: &str| {
            let path = Path::new(home.as_deref()?).join(name);
            path.exists().then(|| path.to_string_lossy().into_owned())
        };
        let given = |value: Option<String>| value.filter(|v| !v.is_empty());
        self.ca_file =
            given(self.ca_file).or_else(|| configured("cafile")).or_else(|| at_home("ca-bundle.crt"));
        self.ca_path =
            given(self.ca_path).or_else(|| configured("capath")).or_else(|| at_home("certificates"));
        let own_key = given(self.key);
        self.certificate = given(self.certificate);
        // A configured certificate comes with the configured key.
        (self.certificate, self.key) = match (self.certificate, own_key) {
            (None, None) => match configured("cert") {
                Some(certificate) => (Some(certificate), configured("key")),
                None => (None, None),
            },
            own => own,
        };
        self.insecure = self.insecure || config::get_bool(section, "insecure", false);
        if self.alpn.is_empty() {
            self.alpn = configured("alpn")
                .map(|list| list.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default();
        }
        self
    }

    /// Looks at the files.
    ///
    /// # Errors
    /// As for `Session::client`.
    pub fn check(&self) -> Result<()> {
        context(self).map(drop)
    }

    fn stamps(&self) -> [Stamp; 4] {
        let stamp = |path: &Option<String>| path.as_deref().map(Stamp::of).unwrap_or_default();
        [stamp(&self.ca_file), stamp(&self.ca_path), stamp(&self.certificate), stamp(&self.key)]
    }
}

/// Whom a client wants to speak to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name that the certificate must carry, and that is sent to the
    /// server (SNI); of a numeric address the certificate is checked for it,
    /// and no name is sent (RFC 6066, section 3).
    pub name: String,
    /// What the connection leads to, for resuming sessions.
    pub place: String,
}

struct Context {
    settings: ClientSettings,
    stamps: [Stamp; 4],
    context: SslContext,
    sessions: Arc<Mutex<Sessions>>,
}

/// Sessions by peer.
#[derive(Default)]
struct Sessions {
    by_peer: HashMap<Arc<str>, VecDeque<SslSession>>,
    /// Peers, the one that was heard of longest ago first.
    order: VecDeque<Arc<str>>,
}

impl Sessions {
    fn keep(&mut self, peer: &Arc<str>, session: SslSession) {
        if !self.by_peer.contains_key(peer) {
            while self.order.len() >= PEERS {
                if let Some(oldest) = self.order.pop_front() {
                    self.by_peer.remove(&oldest);
                }
            }
            self.order.push_back(Arc::clone(peer));
        }
        let kept = self.by_peer.entry(Arc::clone(peer)).or_default();
        if session.protocol_version() != SslVersion::TLS1_3 {
            // These may be used any number of times: the latest is enough.
            kept.clear();
        }
        kept.push_back(session);
        if kept.len() > SESSIONS {
            kept.pop_front();
        }
    }

    fn take(&mut self, peer: &str) -> Option<SslSession> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let kept = self.by_peer.get_mut(peer)?;
        #[allow(clippy::useless_conversion)] // time_t differs between systems
        kept.retain(|s| i64::from(s.time()) + s.timeout() > now);
        let session = kept.pop_back()?;
        if session.protocol_version() != SslVersion::TLS1_3 {
            kept.push_back(session.clone());
        }
        Some(session)
    }
}

static CACHE: Lazy<Mutex<VecDeque<Arc<Context>>>> = Lazy::new(Default::default);

/// Where a connection's key into the sessions is kept.
fn peer_index() -> Result<Index<Ssl, Arc<str>>> {
    static INDEX: OnceCell<Index<Ssl, Arc<str>>> = OnceCell::new();
    INDEX.get_or_try_init(Ssl::new_ex_index).copied().map_err(internal)
}

fn internal(stack: openssl::error::ErrorStack) -> Error {
    Error::new(format!("cannot use TLS: {}", super::failure::first_line(&stack)))
}

/// The context for these settings, from the cache where its files are as they
/// were.
fn context(settings: &ClientSettings) -> Result<Arc<Context>> {
    let stamps = settings.stamps();
    let known = |c: &Arc<Context>| c.settings == *settings && c.stamps == stamps;
    {
        let mut cache = CACHE.lock();
        if let Some(index) = cache.iter().position(known) {
            let found = cache.remove(index);
            cache.extend(found.clone());
            return found.ok_or_else(|| Error::new("cannot use TLS"));
        }
    }
    // Made without holding the cache: this reads files.
    let sessions = Arc::new(Mutex::new(Sessions::default()));
    let context = build(settings, Arc::clone(&sessions))?;
    let made = Arc::new(Context { settings: settings.clone(), stamps, context, sessions });
    let mut cache = CACHE.lock();
    cache.retain(|c| c.settings != *settings);
    if cache.len() >= CONTEXTS {
        cache.pop_front();
    }
    cache.push_back(Arc::clone(&made));
    Ok(made)
}

fn build(settings: &ClientSettings, sessions: Arc<Mutex<Sessions>>) -> Result<SslContext> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(internal)?;
    common(&mut builder).map_err(internal)?;
    if settings.insecure {
        builder.set_verify(SslVerifyMode::NONE);
    } else {
        builder.set_verify(SslVerifyMode::PEER);
        builder.set_default_verify_paths().map_err(internal)?;
        trust(&mut builder, settings.ca_file.as_deref(), settings.ca_path.as_deref()).map_err(Error::new)?;
    }
    match (&settings.certificate, &settings.key) {
        (Some(certificate), key) => {
            identity(&mut builder, certificate, key.as_deref(), None).map_err(Error::new)?;
        }
        (None, Some(_)) => return Err(Error::new("private key specified without certificate")),
        (None, None) => {}
    }
    if !settings.alpn.is_empty() {
        builder.set_alpn_protos(&alpn_wire(&settings.alpn)).map_err(internal)?;
    }
    // Sessions are kept by peer, here; OpenSSL's own cache would not know whose
    // they are.
    builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    let index = peer_index()?;
    builder.set_new_session_callback(move |ssl, session| {
        if let Some(peer) = ssl.ex_data(index) {
            sessions.lock().keep(peer, session);
        }
    });
    Ok(builder.build())
}

/// As the reference tells an address from a name: a colon, or digits and dots
/// only.
fn is_numeric(host: &str) -> bool {
    host.contains(':') || host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

impl Session {
    /// Begins a client's session with `target` over a connected socket; the
    /// handshake is still to be made.
    ///
    /// # Errors
    /// Files of the settings that are missing or of no use, in the words of
    /// spec/ns_connchan.md 7.4; an empty name.
    pub fn client(settings: &ClientSettings, target: &Target, socket: Arc<Socket>) -> Result<Session> {
        let context = context(settings)?;
        let mut ssl = Ssl::new(&context.context).map_err(internal)?;
        ssl.set_connect_state();
        let name = target.name.trim_end_matches('.');
        if name.is_empty() {
            // OpenSSL would take it for the wish not to look at the name.
            return Err(Error::new(format!("invalid host name \"{}\"", target.name)));
        }
        match name.parse::<IpAddr>() {
            Ok(ip) if !settings.insecure => ssl.param_mut().set_ip(ip).map_err(internal)?,
            Ok(_) => {}
            Err(_) => {
                if !settings.insecure {
                    let param = ssl.param_mut();
                    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
                    param.set_host(name).map_err(internal)?;
                }
                if !is_numeric(name) {
                    // A name that cannot be sent (too long) is one that no
                    // certificate has either.
                    ssl.set_hostname(name).map_err(internal)?;
                }
            }
        }
        let peer: Arc<str> = format!("{}|{name}", target.place).into();
        let session = context.sessions.lock().take(&peer);
        if let Some(session) = session {
            // SAFETY: the session came from a connection of this very context.
            // A session that OpenSSL refuses costs a full handshake.
            let _ = unsafe { ssl.set_session(&session) };
        }
        ssl.set_ex_data(peer_index()?, peer);
        Session::new(ssl, socket).map_err(internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_hosts_are_told_from_names() {
        for host in ["127.0.0.1", "::1", "fe80::1%eth0", "1.2.3"] {
            assert!(is_numeric(host), "{host}");
        }
        for host in ["localhost", "1.example", "a.b"] {
            assert!(!is_numeric(host), "{host}");
        }
    }

    #[test]
    fn a_name_that_is_none_does_not_switch_the_check_off() {
        let (socket, _other) = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let target = Target { name: ".".into(), place: String::new() };
        let error = Session::client(&ClientSettings::default(), &target, Arc::new(socket)).err();
        assert_eq!(error.map(|e| e.message).as_deref(), Some("invalid host name \".\""));
    }

    #[test]
    fn a_key_needs_a_certificate() {
        let settings = ClientSettings { key: Some("/x".into()), insecure: true, ..Default::default() };
        let error = context(&settings).err().expect("is refused");
        assert_eq!(error.message, "private key specified without certificate");
    }

    #[test]
    fn contexts_are_reused() {
        let settings = ClientSettings { alpn: vec!["test/1".into()], insecure: true, ..Default::default() };
        let (first, second) = (context(&settings).unwrap(), context(&settings).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        let other = ClientSettings { alpn: vec!["test/2".into()], ..settings };
        assert!(!Arc::ptr_eq(&first, &context(&other).unwrap()));
    }
}
