//! The server's side: contexts made from the configuration of a driver,
//! certificates chosen by the name that the client asks for (SNI), and files
//! that are taken up anew when they change.
//!
//! One `Server` serves a listener; its contexts are shared by all connections
//! and replaced as a whole, so that a connection never sees half a change.

use super::failure::{first_line, system_line};
use super::files::{host_names, identity, trust, Stamp};
use super::{alpn_wire, common, Session};
use crate::base::time_value::TimeValue;
use crate::base::{config, log, Error, Result};
use openssl::error::ErrorStack;
use openssl::ssl::{
    select_next_proto, AlpnError, NameType, SniError, Ssl, SslContext, SslContextBuilder, SslMethod,
    SslOptions, SslSessionCacheMode, SslVerifyMode,
};
use openssl::x509::X509Name;
use parking_lot::Mutex;
use socket2::Socket;
use std::fs;
use std::sync::Arc;

/// How long a peer may take for its handshake: parameter `handshaketimeout`.
const DEFAULT_HANDSHAKE_TIMEOUT: TimeValue = TimeValue::from_secs(10);

/// What is asked of clients: parameter `verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    /// No certificate.
    Off,
    /// One that is good, if any.
    Optional,
    /// A good one.
    Required,
}

/// The settings of a TLS driver (section `ns/module/nsssl`, and those of other
/// names).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Certificate files with the files of their keys; the first is for
    /// clients that ask for no name, or for an unknown one.
    certificates: Vec<(String, Option<String>)>,
    chain: Option<String>,
    /// Directory with more certificates, `*.pem`.
    directory: Option<String>,
    protocols: [bool; 2],
    ciphers: Option<String>,
    ciphersuites: Option<String>,
    verify: Verify,
    ca_file: Option<String>,
    ca_path: Option<String>,
    alpn: Vec<String>,
    /// How long a handshake may take.
    pub handshake_timeout: TimeValue,
}

impl ServerSettings {
    /// Reads the section of a driver.
    ///
    /// # Errors
    /// No certificate; protocols or a `verify` that are not understood.
    pub fn configured(section: &str) -> Result<ServerSettings> {
        let get = |key: &str| config::get(section, key).filter(|v| !v.is_empty());
        let keys = config::all(section, "key");
        let certificates: Vec<_> = config::all(section, "certificate")
            .into_iter()
            .enumerate()
            .map(|(index, file)| (file, keys.get(index).filter(|k| !k.is_empty()).cloned()))
            .filter(|(file, _)| !file.is_empty())
            .collect();
        if certificates.is_empty() {
            return Err(Error::with_code(
                format!(
                    "no certificate configured: parameter \"certificate\" of section {section} is missing"
                ),
                &["TLS", "CONFIG", "certificate"],
            ));
        }
        let wrong = |key: &str, fault: String| {
            Error::with_code(
                format!("parameter \"{key}\" of section {section}: {fault}"),
                &["TLS", "CONFIG", key],
            )
        };
        let protocols =
            protocols(&get("protocols").unwrap_or_default()).map_err(|f| wrong("protocols", f))?;
        let verify = match get("verify").unwrap_or_default().to_ascii_lowercase().as_str() {
            "" | "0" | "false" | "no" | "off" => Verify::Off,
            "1" | "true" | "yes" | "on" => Verify::Required,
            "optional" => Verify::Optional,
            other => {
                return Err(wrong(
                    "verify",
                    format!("expected boolean value or \"optional\" but got \"{other}\""),
                ))
            }
        };
        Ok(ServerSettings {
            certificates,
            chain: get("chain"),
            directory: get("vhostcertificates"),
            protocols,
            ciphers: get("ciphers"),
            ciphersuites: get("ciphersuites"),
            verify,
            ca_file: get("cafile"),
            ca_path: get("capath"),
            alpn: get("alpn").map(|l| l.split_whitespace().map(str::to_owned).collect()).unwrap_or_default(),
            handshake_timeout: config::get_time(section, "handshaketimeout", DEFAULT_HANDSHAKE_TIMEOUT),
        })
    }

    /// Every certificate file with its key file, those of the directory in
    /// alphabetical order.
    fn identities(&self) -> Vec<(String, Option<String>)> {
        let mut all = self.certificates.clone();
        if let Some(directory) = &self.directory {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.path());
            let mut more: Vec<String> = entries
                .filter(|p| p.extension().is_some_and(|e| e == "pem"))
                .map(|p| p.to_string_lossy().into_owned())
                .collect();
            more.sort_unstable();
            all.extend(more.into_iter().map(|file| (file, None)));
        }
        all
    }

    /// What all files look like now.
    fn stamps(&self) -> Vec<Stamp> {
        let mut paths: Vec<String> = Vec::new();
        for (certificate, key) in self.identities() {
            paths.push(certificate);
            paths.extend(key);
        }
        paths.extend(
            [&self.chain, &self.directory, &self.ca_file, &self.ca_path].into_iter().flatten().cloned(),
        );
        paths.iter().map(|p| Stamp::of(p)).collect()
    }
}

/// Which of TLS 1.2 and 1.3 are spoken: `TLSv1.2, TLSv1.3` names those, and
/// `!TLSv1.2` all others. Older ones may be excluded, which they are anyway.
fn protocols(list: &str) -> std::result::Result<[bool; 2], String> {
    let (mut wanted, mut excluded) = ([false; 2], [false; 2]);
    for word in list.split([' ', ',', ':', '\t', '\n']).filter(|w| !w.is_empty()) {
        let (name, negated) = match word.strip_prefix(['!', '-']) {
            Some(name) => (name, true),
            None => (word.strip_prefix('+').unwrap_or(word), false),
        };
        let set = if negated { &mut excluded } else { &mut wanted };
        match name {
            "TLSv1.2" => set[0] = true,
            "TLSv1.3" => set[1] = true,
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.0" | "TLSv1.1" if negated => {}
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.0" | "TLSv1.1" => {
                return Err(format!("{name} is not supported: TLSv1.2 and TLSv1.3 are"))
            }
            _ => return Err(format!("unknown protocol \"{name}\": must be TLSv1.2 or TLSv1.3")),
        }
    }
    if wanted == [false; 2] {
        wanted = [true; 2];
    }
    let left = [wanted[0] && !excluded[0], wanted[1] && !excluded[1]];
    if left == [false; 2] {
        return Err("no protocol is left".to_owned());
    }
    Ok(left)
}

struct Contexts {
    default: SslContext,
    stamps: Vec<Stamp>,
}

/// The TLS of a listener.
pub struct Server {
    settings: ServerSettings,
    contexts: Mutex<Contexts>,
    /// What the files looked like at the last attempt that failed.
    refused: Mutex<Vec<Stamp>>,
}

impl Server {
    /// Loads all files.
    ///
    /// # Errors
    /// A file that is missing or of no use, by its name.
    pub fn new(settings: ServerSettings) -> Result<Server> {
        let stamps = settings.stamps();
        let default = build(&settings)?;
        Ok(Server { settings, contexts: Mutex::new(Contexts { default, stamps }), refused: Mutex::default() })
    }

    /// How long a handshake may take.
    pub fn handshake_timeout(&self) -> TimeValue {
        self.settings.handshake_timeout
    }

    /// Begins a session with a client; the handshake is still to be made.
    /// Files that have changed are taken up first; while they cannot be used,
    /// those before go on to serve.
    pub fn begin(&self, socket: Arc<Socket>) -> std::result::Result<Session, ErrorStack> {
        self.renew();
        let mut ssl = Ssl::new(&self.contexts.lock().default)?;
        ssl.set_accept_state();
        Session::new(ssl, socket)
    }

    fn renew(&self) {
        let stamps = self.settings.stamps();
        if self.contexts.lock().stamps == stamps || *self.refused.lock() == stamps {
            return;
        }
        match build(&self.settings) {
            Ok(default) => {
                *self.contexts.lock() = Contexts { default, stamps };
                log::write(log::NOTICE, &format!("nsssl: certificate '{}' loaded anew", self.name()));
            }
            Err(error) => {
                log::write(log::WARNING, &format!("nsssl: the certificate in use stays: {error}"));
                *self.refused.lock() = stamps;
            }
        }
    }

    fn name(&self) -> &str {
        self.settings.certificates.first().map_or("", |(file, _)| file)
    }
}

/// One context for each certificate; the first knows how to find the others.
fn build(settings: &ServerSettings) -> Result<SslContext> {
    if let Some(directory) = &settings.directory {
        // Without it, all names would quietly get the first certificate.
        fs::read_dir(directory).map_err(|error| {
            let tail = system_line(error.raw_os_error().unwrap_or(libc::EIO));
            Error::new(format!("cannot read directory '{directory}' of certificates: {tail}"))
        })?;
    }
    let mut named: Vec<(Vec<String>, SslContext)> = Vec::new();
    let mut first: Option<(Vec<String>, SslContextBuilder)> = None;
    for (certificate, key) in settings.identities() {
        let (builder, mut names) = context(settings, &certificate, key.as_deref())?;
        if settings.directory.is_some() {
            // A file may also be called by the name it is for.
            let stem = std::path::Path::new(&certificate).file_stem().and_then(|s| s.to_str());
            names.extend(stem.map(str::to_ascii_lowercase));
        }
        match first {
            None => first = Some((names, builder)),
            Some(_) => named.push((names, builder.build())),
        }
    }
    let Some((own_names, mut builder)) = first else { return Err(Error::new("no certificate configured")) };
    if !named.is_empty() {
        builder.set_servername_callback(move |ssl, _| {
            let Some(asked) = ssl.servername(NameType::HOST_NAME).map(str::to_ascii_lowercase) else {
                return Ok(());
            };
            if own_names.contains(&asked) {
                return Ok(());
            }
            let exact = named.iter().find(|(names, _)| names.contains(&asked));
            let found =
                exact.or_else(|| named.iter().find(|(names, _)| names.iter().any(|n| covers(n, &asked))));
            match found {
                Some((_, context)) => ssl.set_ssl_context(context).map_err(|_| SniError::ALERT_FATAL),
                None => Ok(()),
            }
        });
    }
    Ok(builder.build())
}

/// Whether a wildcard name (`*.example.com`) stands for `asked`.
fn covers(name: &str, asked: &str) -> bool {
    name.strip_prefix("*.").is_some_and(|domain| {
        asked.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain)
    })
}

fn context(
    settings: &ServerSettings,
    certificate: &str,
    key: Option<&str>,
) -> Result<(SslContextBuilder, Vec<String>)> {
    let internal = |e: ErrorStack| Error::new(format!("cannot use TLS: {}", first_line(&e)));
    let mut builder = SslContextBuilder::new(SslMethod::tls_server()).map_err(internal)?;
    common(&mut builder).map_err(internal)?;
    builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE | SslOptions::PRIORITIZE_CHACHA);
    if !settings.protocols[0] {
        builder.set_options(SslOptions::NO_TLSV1_2);
    }
    if !settings.protocols[1] {
        builder.set_options(SslOptions::NO_TLSV1_3);
    }
    if let Some(ciphers) = &settings.ciphers {
        builder.set_cipher_list(ciphers).map_err(|e| unusable("ciphers", ciphers, &e))?;
    }
    if let Some(suites) = &settings.ciphersuites {
        builder.set_ciphersuites(suites).map_err(|e| unusable("ciphersuites", suites, &e))?;
    }
    let own = identity(&mut builder, certificate, key, settings.chain.as_deref()).map_err(Error::new)?;
    // Sessions live in tickets only, with the client: nothing grows here.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_session_id_context(b"ns_connchan").map_err(internal)?;
    if settings.verify != Verify::Off {
        verify_clients(&mut builder, settings)?;
    }
    if !settings.alpn.is_empty() {
        let ours = alpn_wire(&settings.alpn);
        builder.set_alpn_select_callback(move |_, theirs| {
            // RFC 7301 section 3.2: no protocol in common ends the handshake.
            let chosen = select_next_proto(&ours, theirs).ok_or(AlpnError::ALERT_FATAL)?;
            // What is handed out must be part of the client's list.
            let at = theirs.windows(chosen.len()).position(|w| w == chosen).ok_or(AlpnError::ALERT_FATAL)?;
            Ok(&theirs[at..at + chosen.len()])
        });
    }
    Ok((builder, host_names(&own)))
}

fn unusable(key: &str, value: &str, stack: &ErrorStack) -> Error {
    Error::with_code(
        format!("parameter \"{key}\": cannot use \"{value}\": {}", first_line(stack)),
        &["TLS", "CONFIG", key],
    )
}

fn verify_clients(builder: &mut SslContextBuilder, settings: &ServerSettings) -> Result<()> {
    let mut mode = SslVerifyMode::PEER;
    if settings.verify == Verify::Required {
        mode |= SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    }
    builder.set_verify(mode);
    if settings.ca_file.is_none() && settings.ca_path.is_none() {
        // Only who is named may speak for clients: not every authority that
        // the system trusts for servers.
        return Err(Error::with_code(
            "cannot verify clients: neither \"cafile\" nor \"capath\" is configured",
            &["TLS", "CONFIG", "cafile"],
        ));
    }
    trust(builder, settings.ca_file.as_deref(), settings.ca_path.as_deref()).map_err(Error::new)?;
    if let Some(file) = &settings.ca_file {
        // Tells clients which of their certificates may do.
        if let Ok(names) = X509Name::load_client_ca_file(file) {
            builder.set_client_ca_list(names);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_lists() {
        assert_eq!(protocols(""), Ok([true, true]));
        assert_eq!(protocols("!SSLv2:!SSLv3, !TLSv1.1"), Ok([true, true]));
        assert_eq!(protocols("!TLSv1.2"), Ok([false, true]));
        assert_eq!(protocols("TLSv1.2"), Ok([true, false]));
        assert_eq!(protocols("TLSv1.2 TLSv1.3"), Ok([true, true]));
        assert!(protocols("TLSv1.1").is_err() && protocols("foo").is_err());
        assert!(protocols("!TLSv1.2 !TLSv1.3").is_err());
    }

    #[test]
    fn wildcards_stand_for_one_label() {
        assert!(covers("*.example.com", "www.example.com"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", "a.b.example.com"));
        assert!(!covers("*.example.com", ".example.com"));
        assert!(!covers("example.com", "example.com"));
    }
}
