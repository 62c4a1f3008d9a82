//! Urls: taken apart (RFC 3986), put together, and resolved.
//!
//! `split` is where every url is cut; what follows from it differs. `Url` is a
//! full url as `ns_connchan open` takes it, its parts ready for use: the host
//! without brackets for the resolver, path and query in the form that goes into
//! the request line. What could not be sent in one piece is refused there, by
//! an error that names the url and its fault. `Location` is any url or part of
//! one as `ns_parseurl` shows it, everything as it was written
//! (spec/support.md 4.7).

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
    let parts = split(url);
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(match url.split_once("://") {
            Some((start, _)) => format!("\"{start}\" is not a scheme"),
            None => "it does not start with a scheme and \"://\"".to_string(),
        });
    };
    let (_userinfo, host_port) = split_userinfo(authority);
    let (host, port) = split_port(host_port)?;
    Ok(Url {
        scheme: scheme.to_string(),
        host: parse_host(host)?,
        port: parse_port(port)?,
        target: target(parts.path, parts.query),
    })
}

/// The five parts of any url, by RFC 3986, appendix B. Delimiters belong to no
/// part, but for the slash at the start of a path.
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

fn split(url: &str) -> Parts<'_> {
    let (rest, fragment) = split_off(url, '#');
    let (rest, query) = split_off(rest, '?');
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, rest),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(authority), path)
        }
        None => (None, rest),
    };
    Parts { scheme, authority, path, query, fragment }
}

/// What stands before and behind the first `delimiter`.
fn split_off(text: &str, delimiter: char) -> (&str, Option<&str>) {
    text.split_once(delimiter).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// User information, if there is any, and the rest of an authority. The last @
/// counts: whatever stands before it cannot pass for the host.
fn split_userinfo(authority: &str) -> (Option<&str>, &str) {
    authority.rsplit_once('@').map_or((None, authority), |(userinfo, host_port)| (Some(userinfo), host_port))
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

/// What goes into the request line for a path and query.
fn target(path: &str, query: Option<&str>) -> String {
    // One of two leading slashes is lost, one that is missing gets added.
    let path = if path.starts_with("//") { &path[1..] } else { path };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mark = if query.is_some() { "?" } else { "" };
    format!("{slash}{path}{mark}{}", query.unwrap_or_default()).replace(' ', "%20")
}

/// The parts of a url or of some of one, as they were written; those that are
/// absent are `None`. The path is without its first and last slash, `tail` is
/// what stands behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Location<'a> {
    /// The scheme.
    pub proto: Option<&'a str>,
    /// User name and password.
    pub userinfo: Option<&'a str>,
    /// Name or address, an IPv6 address without its brackets.
    pub host: Option<&'a str>,
    /// The digits of the port.
    pub port: Option<&'a str>,
    /// The folders.
    pub path: Option<&'a str>,
    /// The last segment of the path.
    pub tail: Option<&'a str>,
    /// Without its question mark.
    pub query: Option<&'a str>,
    /// Without its hash.
    pub fragment: Option<&'a str>,
}

impl<'a> Location<'a> {
    /// The names of the parts, in the order of a url.
    pub const NAMES: [&'static str; 8] =
        ["proto", "userinfo", "host", "port", "path", "tail", "query", "fragment"];

    /// Takes a url apart. `strict` refuses characters that RFC 3986 does not
    /// allow.
    ///
    /// # Errors
    /// `Could not parse URL "...": invalid authority`, or which part contains
    /// an invalid character.
    pub fn parse(url: &'a str, strict: bool) -> Result<Location<'a>> {
        let fault = |what: &str| Error::new(format!("Could not parse URL \"{url}\": {what}"));
        let parts = split(url);
        let mut location = Location {
            proto: parts.scheme,
            query: parts.query,
            fragment: parts.fragment,
            ..Location::default()
        };
        if let Some(authority) = parts.authority {
            let parsed = Authority::parse(authority).ok_or_else(|| fault("invalid authority"))?;
            location.userinfo = parsed.userinfo;
            location.host = Some(parsed.host);
            location.port = parsed.port;
        }
        match parts.path.strip_prefix('/') {
            Some(path) => {
                let (path, tail) = path.rsplit_once('/').unwrap_or(("", path));
                (location.path, location.tail) = (Some(path), Some(tail));
            }
            None if location.host.is_some() => (location.path, location.tail) = (Some(""), Some("")),
            None if parts.path.is_empty() => {}
            None => location.tail = Some(parts.path),
        }
        if strict {
            let part = location.invalid_part();
            part.map_or(Ok(()), |name| Err(fault(&format!("{name} contains invalid character"))))?;
        }
        Ok(location)
    }

    /// All parts, in the order of `NAMES`.
    pub fn parts(&self) -> [Option<&'a str>; 8] {
        [self.proto, self.userinfo, self.host, self.port, self.path, self.tail, self.query, self.fragment]
    }

    /// The location with these parts, in the order of `NAMES`.
    pub fn from_parts(parts: [Option<&'a str>; 8]) -> Location<'a> {
        let [proto, userinfo, host, port, path, tail, query, fragment] = parts;
        Location { proto, userinfo, host, port, path, tail, query, fragment }
    }

    fn invalid_part(&self) -> Option<&'static str> {
        let extra = |name: &str| match name {
            "userinfo" => ":",
            "path" => ":@/",
            "query" | "fragment" => ":@/?",
            "tail" => ":@",
            // The zone of an IPv6 address, or the address itself.
            "host" => ":",
            _ => "",
        };
        let fits = |name: &str, text: &str| {
            text.bytes().all(|byte| {
                byte.is_ascii_alphanumeric()
                    || b"-._~!$&'()*+,;=%".contains(&byte)
                    || extra(name).as_bytes().contains(&byte)
            })
        };
        let named = Location::NAMES.into_iter().zip(self.parts());
        named
            .filter_map(|(name, part)| Some((name, part?)))
            .find(|(name, text)| !fits(name, text))
            .map(|(n, _)| n)
    }

    /// The url with these parts.
    pub fn join(&self) -> String {
        let mut url = String::new();
        let mut push = |parts: &[&str]| parts.iter().for_each(|part| url.push_str(part));
        if let Some(proto) = self.proto {
            push(&[proto, ":"]);
        }
        if let Some(host) = self.host {
            push(&["//"]);
            if let Some(userinfo) = self.userinfo {
                push(&[userinfo, "@"]);
            }
            if host.contains(':') {
                push(&["[", host, "]"]);
            } else {
                push(&[host]);
            }
            if let Some(port) = self.port {
                push(&[":", port]);
            }
        }
        // What has a proto and no path is no hierarchy: mailto:foo@bar.
        if self.host.is_some() || self.path.is_some() || self.proto.is_none() {
            push(&["/"]);
        }
        if let Some(path) = self.path.filter(|path| !path.is_empty()) {
            push(&[path, "/"]);
        }
        push(&[self.tail.unwrap_or_default()]);
        if let Some(query) = self.query {
            push(&["?", query]);
        }
        if let Some(fragment) = self.fragment {
            push(&["#", fragment]);
        }
        url
    }
}

/// Completes a url from another one, as `ns_absoluteurl` does: simpler than
/// RFC 3986, `..` stays as it is (spec/support.md 6.4).
///
/// # Errors
/// A base without protocol or host; urls that cannot be parsed.
pub fn absolute(partial: &str, base: &str) -> Result<String> {
    let base = Location::parse(base, false)
        .ok()
        .filter(|base| base.proto.is_some() && base.host.is_some())
        .ok_or_else(|| Error::new("Could not parse base URL into protocol, host and path"))?;
    let given = split(partial);
    if given.scheme.is_some() {
        return Ok(partial.to_string());
    }
    let proto = base.proto.unwrap_or_default();
    if given.authority.is_some() {
        return Ok(format!("{proto}:{partial}"));
    }
    let root = Location { path: None, tail: None, query: None, fragment: None, ..base }.join();
    if partial.is_empty() {
        return Ok(root);
    }
    if let Some(path) = partial.strip_prefix('/') {
        return Ok(root + path);
    }
    let folder = Location { tail: None, query: None, fragment: None, ..base }.join();
    Ok(folder + partial)
}

/// The parts of `userinfo@host:port`.
struct Authority<'a> {
    userinfo: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Authority<'a> {
    /// `None` where brackets or the port are malformed. How large a port is
    /// does not matter; an empty one is none.
    fn parse(authority: &'a str) -> Option<Authority<'a>> {
        let (userinfo, host_port) = split_userinfo(authority);
        let (host, port) = split_port(host_port).ok()?;
        let host = match host.strip_prefix('[') {
            Some(address) => address.strip_suffix(']')?,
            None if host.contains(['[', ']']) => return None,
            None => host,
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        digits.then_some(Authority { userinfo, host, port: Some(port).filter(|port| !port.is_empty()) })
    }
}

/// Host and port of `host:port`; the host of an IPv6 address is without its
/// brackets. `strict` refuses characters that no host has.
///
/// # Errors
/// `Could not parse host and port "..."`.
pub fn host_and_port(text: &str, strict: bool) -> Result<(&str, Option<&str>)> {
    Authority::parse(text)
        .filter(|parsed| parsed.userinfo.is_none() && !parsed.host.is_empty())
        .filter(|parsed| !strict || !parsed.host.contains(|c| is_no_host_character(c) || is_control(c)))
        .map(|parsed| (parsed.host, parsed.port))
        .ok_or_else(|| Error::new(format!("Could not parse host and port \"{text}\"")))
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

    /// The parts that are there, as `name value` words.
    fn shown(url: &str) -> String {
        let location = Location::parse(url, false).expect(url);
        let named = Location::NAMES.into_iter().zip(location.parts());
        let words = named.filter_map(|(name, part)| {
            let part = part?;
            Some(format!("{name} {}", if part.is_empty() { "{}" } else { part }))
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn locations() {
        for (url, parts) in [
            ("ws://localhost:8080/echo/chat", "proto ws host localhost port 8080 path echo tail chat"),
            (
                "wss://example.com/a/b/c?x=1&y=2#frag",
                "proto wss host example.com path a/b tail c query x=1&y=2 fragment frag",
            ),
            ("ws://localhost", "proto ws host localhost path {} tail {}"),
            ("ws://localhost/", "proto ws host localhost path {} tail {}"),
            ("http://u:p@h:81/a/b", "proto http userinfo u:p host h port 81 path a tail b"),
            ("http://[::1]:8080/x", "proto http host ::1 port 8080 path {} tail x"),
            ("http://h/dir/", "proto http host h path dir tail {}"),
            ("http://h/dir//x", "proto http host h path dir/ tail x"),
            ("http://h?q#f", "proto http host h path {} tail {} query q fragment f"),
            ("http://h:99999/", "proto http host h port 99999 path {} tail {}"),
            ("//host/p/t", "host host path p tail t"),
            ("/foo/bar", "path foo tail bar"),
            ("foo/bar", "tail foo/bar"),
            ("", ""),
            ("mailto:foo@bar", "proto mailto tail foo@bar"),
            ("unix:/x|http://h/", "proto unix path x|http://h tail {}"),
            ("?q", "query q"),
        ] {
            assert_eq!(shown(url), parts, "{url}");
        }
    }

    #[test]
    fn locations_that_are_none() {
        for (url, strict, fault) in [
            ("http://host:abc/x", false, "invalid authority"),
            ("http://[::1/x", false, "invalid authority"),
            ("http://2001:db8::1/x", false, "invalid authority"),
            ("http://h/a b", true, "tail contains invalid character"),
            ("http://h/a\u{e4}/b", true, "path contains invalid character"),
            ("http://h/?a b", true, "query contains invalid character"),
            ("http://h|/", true, "host contains invalid character"),
        ] {
            let error = Location::parse(url, strict).expect_err(url);
            assert_eq!(error, Error::new(format!("Could not parse URL \"{url}\": {fault}")));
        }
        assert!(Location::parse("http://h/a%20b/c?d=e/f#g", true).is_ok());
    }

    #[test]
    fn locations_put_together_again() {
        for url in [
            "ws://localhost:8080/echo/chat",
            "wss://u:p@[::1]:81/a/b/c?x=1&y=2#frag",
            "http://h/",
            "http://h/dir//x",
            "//host/p/t",
            "/foo/bar",
            "mailto:foo@bar",
            "unix:/x|http://h/",
        ] {
            assert_eq!(Location::parse(url, false).expect(url).join(), url);
        }
    }

    #[test]
    fn urls_made_absolute() {
        for (partial, base, url) in [
            ("ftp://x/y", "http://h/a/b", "ftp://x/y"),
            ("/x", "http://h:81/a/b", "http://h:81/x"),
            ("x", "http://h/a/b", "http://h/a/x"),
            ("x?q#f", "http://u@[::1]:1/a/b?c#d", "http://u@[::1]:1/a/x?q#f"),
            ("//o/x", "https://h/a/b", "https://o/x"),
            ("../x", "http://h/a/b", "http://h/a/../x"),
            ("?q", "http://h/a/b", "http://h/a/?q"),
            ("#f", "http://h/a/b", "http://h/a/#f"),
            ("", "http://h/a/b", "http://h/"),
            ("x", "http://h", "http://h/x"),
        ] {
            assert_eq!(absolute(partial, base), Ok(url.to_string()), "{partial} {base}");
        }
        for base in ["", "/a/b", "mailto:x", "//h/x", "http://h:x/"] {
            let fault = Error::new("Could not parse base URL into protocol, host and path");
            assert_eq!(absolute("x", base), Err(fault));
        }
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host_and_port("h:80", false), Ok(("h", Some("80"))));
        assert_eq!(host_and_port("h", true), Ok(("h", None)));
        assert_eq!(host_and_port("[::1]:80", true), Ok(("::1", Some("80"))));
        assert_eq!(host_and_port("a b:80", false), Ok(("a b", Some("80"))));
        for (text, strict) in [("a:b", false), ("", false), ("u@h", false), ("::1", false), ("a b", true)] {
            let error = Error::new(format!("Could not parse host and port \"{text}\""));
            assert_eq!(host_and_port(text, strict), Err(error));
        }
    }
}
