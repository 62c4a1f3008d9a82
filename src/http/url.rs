//! Full urls, as `ns_connchan open` takes them.
//!
//! The parts come out ready for use: the host without brackets for the
//! resolver, path and query in the form that goes into the request line. What
//! could not be sent in one piece is refused here, by an error that names the
//! url and its fault.

use super::{is_control, quoted};
use crate::base::{Error, Result};
use std::net::Ipv6Addr;

/// The parts of a url that matter for a request. User information is dropped,
/// and so is the fragment, which is no business of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The scheme as typed, whatever it is.
    pub scheme: String,
    /// A name or address; an IPv6 address is without its brackets.
    pub host: String,
    /// The port, where the url tells one.
    pub port: Option<u16>,
    /// Path and query for the request line, `/` at least. Blanks are encoded as
    /// `%20`, all other characters are those of the url.
    pub target: String,
}

impl Url {
    /// Takes a url of the form `scheme://[userinfo@]host[:port][/path][?query]`
    /// apart; the host may be an IPv6 address in brackets.
    ///
    /// As in the reference, of several slashes before the path one is lost:
    /// `http://h//x` asks for `/x`.
    ///
    /// # Errors
    ///
    /// `invalid URL "...": ` and what is wrong with it.
    pub fn parse_absolute(url: &str) -> Result<Url> {
        parse(url).map_err(|fault| Error::new(format!("invalid URL {}: {fault}", quoted(url))))
    }
}

/// The parts of `url`, or what is wrong with it.
fn parse(url: &str) -> std::result::Result<Url, String> {
    if url.contains(is_control) {
        return Err("it contains a control character".to_string());
    }
    let (scheme, rest) = url.split_once("://").ok_or("it does not start with a scheme and \"://\"")?;
    if !is_scheme(scheme) {
        return Err(format!("\"{scheme}\" is not a scheme"));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // The last @ counts: whatever stands before it cannot pass for the host.
    let host_port = authority.rsplit_once('@').map_or(authority, |(_userinfo, host_port)| host_port);
    let (host, port) = split_port(host_port)?;
    Ok(Url {
        scheme: scheme.to_string(),
        host: parse_host(host)?,
        port: parse_port(port)?,
        target: target(path),
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Splits `host:port`; a missing port comes out empty, brackets stay on the
/// host.
fn split_port(host_port: &str) -> std::result::Result<(&str, &str), String> {
    let host_end = match host_port.find(']') {
        Some(bracket) if host_port.starts_with('[') => bracket + 1,
        _ => host_port.find(':').unwrap_or(host_port.len()),
    };
    let (host, port) = host_port.split_at(host_end);
    match port.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if port.is_empty() => Ok((host, port)),
        None => Err(format!("\"{port}\" after the host is not a port")),
    }
}

fn parse_host(host: &str) -> std::result::Result<String, String> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').ok_or("a bracket is not closed")?;
        // fe80::1%eth0: the resolver knows zones, the address parser does not.
        let without_zone = address.split_once('%').map_or(address, |(address, _zone)| address);
        return match without_zone.parse::<Ipv6Addr>() {
            Ok(_) if !address.contains(' ') => Ok(address.to_string()),
            _ => Err(format!("\"{address}\" is not an IPv6 address")),
        };
    }
    if host.is_empty() {
        return Err("it has no host".to_string());
    }
    if host.starts_with('.') || host.contains(is_no_host_character) {
        return Err(format!("\"{host}\" is not a host name"));
    }
    Ok(host.to_string())
}

/// Characters that RFC 3986 allows nowhere in a url, and the brackets. Others
/// are left to the resolver to judge.
fn is_no_host_character(c: char) -> bool {
    matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | '[' | ']')
}

fn parse_port(port: &str) -> std::result::Result<Option<u16>, String> {
    if port.is_empty() {
        return Ok(None);
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("port \"{port}\" is not a number"));
    }
    port.parse().map(Some).map_err(|_| format!("port {port} is out of range"))
}

/// What goes into the request line for a path, query and fragment.
fn target(path: &str) -> String {
    let path = path.split_once('#').map_or(path, |(path, _fragment)| path);
    // One of two leading slashes is lost, one that is missing gets added.
    let path = if path.starts_with("//") { &path[1..] } else { path };
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{slash}{}", path.replace(' ', "%20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(url: &str) -> String {
        Url::parse_absolute(url).expect(url).target
    }

    #[test]
    fn targets() {
        for (url, target) in [
            ("http://h:80", "/"),
            ("http://h:80/a/b/c.html?x=1&y=2#frag", "/a/b/c.html?x=1&y=2"),
            ("http://h:80?q=1", "/?q=1"),
            ("http://h:80/a/", "/a/"),
            ("http://h:80//x//y", "/x//y"),
            ("http://h:80///x", "//x"),
            ("http://h//", "/"),
            ("http://h:80/ä", "/ä"),
            ("http://user:pw@h:80/x", "/x"),
            ("http://h#frag", "/"),
            ("http://h/#a?b", "/"),
            ("http://h/a b?c d", "/a%20b?c%20d"),
            ("http://h/a%20b", "/a%20b"),
            ("http://h/?u=http://x//y", "/?u=http://x//y"),
            ("http://h/a@b:c", "/a@b:c"),
        ] {
            assert_eq!(target_of(url), target, "{url}");
        }
    }

    #[test]
    fn schemes_hosts_and_ports() {
        for (url, scheme, host, port) in [
            ("http://h", "http", "h", None),
            ("HTTPS://Example.COM:8443/x", "HTTPS", "Example.COM", Some(8443)),
            ("ftp://h", "ftp", "h", None),
            ("http://127.0.0.1:0/", "http", "127.0.0.1", Some(0)),
            ("http://h:65535/", "http", "h", Some(65535)),
            ("http://h:/x", "http", "h", None),
            ("http://[::1]:8080/x", "http", "::1", Some(8080)),
            ("https://[::1]", "https", "::1", None),
            ("http://[fe80::1%eth0]/", "http", "fe80::1%eth0", None),
            ("http://user:pw@h:81/x", "http", "h", Some(81)),
            ("http://u@[::1]:81/", "http", "::1", Some(81)),
            ("http://a@b@c/", "http", "c", None),
            ("http://müller.example/", "http", "müller.example", None),
        ] {
            let parsed = Url::parse_absolute(url).expect(url);
            assert_eq!((parsed.scheme.as_str(), parsed.host.as_str(), parsed.port), (scheme, host, port));
        }
    }

    #[test]
    fn faults_are_named() {
        for (url, fault) in [
            ("foo", "it does not start with a scheme and \"://\""),
            ("", "it does not start with a scheme and \"://\""),
            ("/foo", "it does not start with a scheme and \"://\""),
            ("http:/x", "it does not start with a scheme and \"://\""),
            ("127.0.0.1:80", "it does not start with a scheme and \"://\""),
            ("//h/x", "it does not start with a scheme and \"://\""),
            ("://h", "\"\" is not a scheme"),
            (" http://h", "\" http\" is not a scheme"),
            ("/foo?u=http://h", "\"/foo?u=http\" is not a scheme"),
            ("http://", "it has no host"),
            ("http:///x", "it has no host"),
            ("http://:80/", "it has no host"),
            ("http://u@/", "it has no host"),
            ("http://.foo/x", "\".foo\" is not a host name"),
            ("http://a b/x", "\"a b\" is not a host name"),
            ("http://good.example\\@evil.example\\/", "\"evil.example\\\" is not a host name"),
            ("http://h:99999/", "port 99999 is out of range"),
            ("http://h:65536/", "port 65536 is out of range"),
            ("http://h:99999999999999999999/", "port 99999999999999999999 is out of range"),
            ("http://h:abc/x", "port \"abc\" is not a number"),
            ("http://h:9318x/y", "port \"9318x\" is not a number"),
            ("http://h:-1/", "port \"-1\" is not a number"),
            ("http://h:+1/", "port \"+1\" is not a number"),
            ("http://2001:db8::1/", "port \"db8::1\" is not a number"),
            ("http://[::1", "a bracket is not closed"),
            ("http://[foo]/", "\"foo\" is not an IPv6 address"),
            ("http://[]/", "\"\" is not an IPv6 address"),
            ("http://[::1% x]/", "\"::1% x\" is not an IPv6 address"),
            ("http://[::1]80/", "\"80\" after the host is not a port"),
            ("http://a]b/", "\"a]b\" is not a host name"),
        ] {
            let error = Url::parse_absolute(url).expect_err(url);
            assert_eq!(error, Error::new(format!("invalid URL \"{url}\": {fault}")));
        }
    }

    #[test]
    fn control_characters_are_refused_everywhere() {
        for url in ["http://h/a\r\nX: y", "http://h\0/", "ht\ttp://h/", "http://h/#\u{7f}"] {
            let message = Url::parse_absolute(url).expect_err(url).message;
            assert!(message.ends_with("it contains a control character"), "{message}");
            assert!(!message.contains(is_control), "{message}");
        }
    }
}
