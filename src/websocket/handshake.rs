//! The upgrade from HTTP (RFC 6455, section 4): what is asked, what is
//! answered, and the checks of both ends. Headers are pairs of name and value,
//! in the order in which they came.

use super::extension::is_token;
use crate::base::{Error, Result};
use openssl::hash::{hash, MessageDigest};

/// What a server appends to the client's key (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The version of the protocol.
const VERSION: &str = "13";

/// A key for a client's request: sixteen random bytes in base64.
///
/// # Errors
///
/// When OpenSSL's generator cannot deliver.
pub fn new_key() -> Result<String> {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes)
        .map_err(|cause| Error::new(format!("cannot make a WebSocket key: {cause}")))?;
    Ok(openssl::base64::encode_block(&bytes))
}

/// The `Sec-WebSocket-Accept` that proves that a key was understood.
///
/// # Errors
///
/// When OpenSSL refuses SHA-1.
pub fn accept_value(key: &str) -> Result<String> {
    let digest = hash(MessageDigest::sha1(), format!("{key}{GUID}").as_bytes())
        .map_err(|cause| Error::new(format!("cannot answer a WebSocket key: {cause}")))?;
    Ok(openssl::base64::encode_block(&digest))
}

/// A request for an upgrade that is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept` to answer with.
    pub accept: String,
    /// The subprotocols that the client speaks, the best first.
    pub protocols: Vec<String>,
    /// The value of all `Sec-WebSocket-Extensions`, empty without.
    pub extensions: String,
    /// The page from which a browser connects.
    pub origin: Option<String>,
}

/// Why a request is no upgrade, and how to say so in HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 405, 426 or 505. An answer with 426 has to carry
    /// `Sec-WebSocket-Version: 13` and `Upgrade: websocket`.
    pub status: u16,
    /// What is wrong.
    pub reason: String,
}

fn refuse<T>(status: u16, reason: impl Into<String>) -> std::result::Result<T, Refusal> {
    Err(Refusal { status, reason: reason.into() })
}

/// Checks a client's request. `version` is that of HTTP, `1.1`.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_request<N: AsRef<str>, V: AsRef<str>>(
    method: &str,
    version: &str,
    headers: &[(N, V)],
) -> std::result::Result<Upgrade, Refusal> {
    if method != "GET" {
        return refuse(405, format!("method is {method} instead of GET"));
    }
    if !matches!(version.split_once('.'), Some(("1", minor)) if minor != "0") {
        return refuse(505, format!("HTTP version is {version} instead of 1.1"));
    }
    let headers = Headers(headers);
    if headers.count("Host") != 1 {
        return refuse(400, "request needs one Host header");
    }
    if !headers.has_token("Upgrade", "websocket") {
        return refuse(426, "no header \"Upgrade: websocket\"");
    }
    if !headers.has_token("Connection", "upgrade") {
        return refuse(400, "no header \"Connection: Upgrade\"");
    }
    match headers.single("Sec-WebSocket-Version") {
        Ok(Some(VERSION)) => {}
        Ok(Some(other)) => return refuse(426, format!("WebSocket version is {other} instead of {VERSION}")),
        Ok(None) => return refuse(426, "no header Sec-WebSocket-Version"),
        Err(reason) => return refuse(400, reason),
    }
    let key = match headers.single("Sec-WebSocket-Key") {
        Ok(Some(key)) => key,
        Ok(None) => return refuse(400, "no header Sec-WebSocket-Key"),
        Err(reason) => return refuse(400, reason),
    };
    if !is_key(key) {
        return refuse(400, format!("Sec-WebSocket-Key \"{key}\" is not 16 bytes in base64"));
    }
    let protocols: Vec<String> = headers.elements("Sec-WebSocket-Protocol").map(str::to_string).collect();
    for (index, protocol) in protocols.iter().enumerate() {
        if !protocol.chars().all(is_token) || protocols[..index].contains(protocol) {
            return refuse(400, format!("bad or repeated subprotocol \"{protocol}\""));
        }
    }
    let accept = match accept_value(key) {
        Ok(accept) => accept,
        Err(error) => return refuse(500, error.message),
    };
    Ok(Upgrade {
        accept,
        protocols,
        extensions: headers.joined("Sec-WebSocket-Extensions"),
        origin: headers.values("Origin").next().map(str::to_string),
    })
}

/// The head of a server's answer that accepts. `protocol` and `extensions` are
/// what was chosen; `extra` are further header lines, which the caller has
/// checked.
pub fn answer(
    upgrade: &Upgrade,
    protocol: Option<&str>,
    extensions: Option<&str>,
    extra: &[(String, String)],
) -> String {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        upgrade.accept
    );
    let chosen = [("Sec-WebSocket-Protocol", protocol), ("Sec-WebSocket-Extensions", extensions)];
    let chosen = chosen.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
    for (name, value) in chosen.chain(extra.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

/// What a server has agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The subprotocol that it chose.
    pub protocol: Option<String>,
    /// The value of all `Sec-WebSocket-Extensions`, for
    /// [`check_answer`](super::extension::check_answer).
    pub extensions: String,
}

/// Checks a server's answer to a request with `key` and the subprotocols
/// `offered`.
///
/// # Errors
///
/// What is wrong with it: this is no WebSocket connection.
pub fn check_answer<N: AsRef<str>, V: AsRef<str>>(
    status: u16,
    headers: &[(N, V)],
    key: &str,
    offered: &[&str],
) -> Result<Accepted> {
    let refuse = |reason: String| Err(Error::new(format!("WebSocket handshake failed: {reason}")));
    if status != 101 {
        return refuse(format!("the server answered with status {status}"));
    }
    let headers = Headers(headers);
    let upgrades = headers.elements("Upgrade").count();
    if upgrades != 1 || !headers.has_token("Upgrade", "websocket") {
        return refuse("the answer has no header \"Upgrade: websocket\"".into());
    }
    if !headers.has_token("Connection", "upgrade") {
        return refuse("the answer has no header \"Connection: Upgrade\"".into());
    }
    match headers.single("Sec-WebSocket-Accept") {
        Ok(Some(accept)) if accept == accept_value(key)? => {}
        Ok(Some(other)) => return refuse(format!("Sec-WebSocket-Accept \"{other}\" does not fit the key")),
        Ok(None) => return refuse("the answer has no header Sec-WebSocket-Accept".into()),
        Err(reason) => return refuse(reason),
    }
    let protocol = match headers.single("Sec-WebSocket-Protocol") {
        Ok(None) => None,
        Ok(Some(chosen)) if offered.contains(&chosen) => Some(chosen.to_string()),
        Ok(Some(other)) => return refuse(format!("the subprotocol \"{other}\" was not offered")),
        Err(reason) => return refuse(reason),
    };
    Ok(Accepted { protocol, extensions: headers.joined("Sec-WebSocket-Extensions") })
}

/// 24 characters of base64 that stand for 16 bytes.
fn is_key(key: &str) -> bool {
    let digits = key.strip_suffix("==").unwrap_or_default();
    digits.len() == 22 && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

struct Headers<'a, N, V>(&'a [(N, V)]);

impl<'a, N: AsRef<str>, V: AsRef<str>> Headers<'a, N, V> {
    fn values(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.0.iter().filter(move |(own, _)| own.as_ref().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_ref().trim_matches([' ', '\t']))
    }

    fn count(&self, name: &'a str) -> usize {
        self.values(name).count()
    }

    /// The value of a header that may occur once.
    fn single(&self, name: &'a str) -> std::result::Result<Option<&'a str>, String> {
        let mut values = self.values(name);
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => Err(format!("more than one header {name}")),
        }
    }

    fn joined(&self, name: &'a str) -> String {
        self.values(name).collect::<Vec<_>>().join(", ")
    }

    /// The elements of all headers of the name.
    fn elements(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let elements = self.values(name).flat_map(|value| value.split(','));
        elements.map(|element| element.trim_matches([' ', '\t'])).filter(|element| !element.is_empty())
    }

    fn has_token(&self, name: &'a str, token: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    const REQUEST: &[(&str, &str)] = &[
        ("Host", "localhost"),
        ("upgrade", "WebSocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("sec-websocket-key", KEY),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Protocol", "v2"),
        ("Sec-WebSocket-Extensions", "a"),
        ("Sec-WebSocket-Extensions", "b; c"),
        ("Origin", "http://localhost"),
    ];

    const ANSWER: &[(&str, &str)] =
        &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)];

    /// The headers with one of them changed, added or, without a value, left
    /// out.
    fn with<'a>(
        headers: &[(&'a str, &'a str)],
        name: &'a str,
        value: Option<&'a str>,
    ) -> Vec<(&'a str, &'a str)> {
        let mut changed: Vec<_> =
            headers.iter().filter(|(own, _)| !own.eq_ignore_ascii_case(name)).copied().collect();
        changed.extend(value.map(|value| (name, value)));
        changed
    }

    #[test]
    fn a_request_in_order() {
        let upgrade = check_request("GET", "1.1", REQUEST).expect("in order");
        assert_eq!(
            upgrade,
            Upgrade {
                accept: ACCEPT.into(),
                protocols: ["chat", "superchat", "v2"].map(String::from).to_vec(),
                extensions: "a, b; c".into(),
                origin: Some("http://localhost".into()),
            }
        );
        let head = answer(&upgrade, Some("chat"), None, &[("Server".into(), "x".into())]);
        assert_eq!(
            head,
            format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: chat\r\nServer: x\r\n\r\n")
        );
    }

    #[test]
    fn requests_that_are_refused() {
        for (name, value, status) in [
            ("Host", None, 400),
            ("Upgrade", None, 426),
            ("Upgrade", Some("h2c"), 426),
            ("Connection", None, 400),
            ("Connection", Some("keep-alive"), 400),
            ("Sec-WebSocket-Version", None, 426),
            ("Sec-WebSocket-Version", Some("8"), 426),
            ("Sec-WebSocket-Key", None, 400),
            ("Sec-WebSocket-Key", Some("short"), 400),
            ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQ"), 400),
            ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZTE="), 400),
            ("Sec-WebSocket-Protocol", Some("a, a"), 400),
            ("Sec-WebSocket-Protocol", Some("a b"), 400),
        ] {
            let refusal = check_request("GET", "1.1", &with(REQUEST, name, value)).expect_err(name);
            assert_eq!(refusal.status, status, "{name} {value:?}");
        }
        let twice = [REQUEST, &[("Sec-WebSocket-Key", KEY)]].concat();
        assert_eq!(check_request("GET", "1.1", &twice).map_err(|r| r.status), Err(400));
        assert_eq!(check_request("POST", "1.1", REQUEST).map_err(|r| r.status), Err(405));
        assert_eq!(check_request("GET", "1.0", REQUEST).map_err(|r| r.status), Err(505));
    }

    #[test]
    fn answers() {
        assert_eq!(
            check_answer(101, ANSWER, KEY, &[]),
            Ok(Accepted { protocol: None, extensions: String::new() })
        );
        let chosen = with(ANSWER, "Sec-WebSocket-Protocol", Some("b"));
        assert_eq!(check_answer(101, &chosen, KEY, &["a", "b"]).map(|a| a.protocol), Ok(Some("b".into())));
        assert!(check_answer(101, &chosen, KEY, &["a"]).is_err());
        assert!(check_answer(200, ANSWER, KEY, &[]).is_err());
        for (name, value) in [
            ("Upgrade", None),
            ("Upgrade", Some("websocket, h2c")),
            ("Connection", Some("close")),
            ("Sec-WebSocket-Accept", None),
            ("Sec-WebSocket-Accept", Some("s3pplmbitxaq9kygzzhzrbk+xoo=")),
        ] {
            assert!(check_answer(101, &with(ANSWER, name, value), KEY, &[]).is_err(), "{name} {value:?}");
        }
    }

    #[test]
    fn keys() {
        let key = new_key().expect("the generator works");
        assert!(is_key(&key), "{key}");
        assert_ne!(key, new_key().expect("the generator works"));
        assert_eq!(accept_value(KEY).as_deref(), Ok(ACCEPT));
    }
}
