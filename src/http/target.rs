//! Request targets: path and query, decoding, and the normal form of a path by
//! which requests find their handlers (spec/http.md 2.3).

use super::percent::{self, Part};
use super::request_head::Fault;
use std::borrow::Cow;

/// Path and query of a target in origin form; both as sent.
pub fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// Decodes percent-escapes; a `%` that begins none stays.
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    Cow::Owned(percent::decode(Part::Path, text))
}

/// The decoded components of a path as sent, not normalised: of `/a//x/` they
/// are `a`, the empty one and `x`.
pub fn components(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Vec::new();
    }
    path.split('/').map(|part| String::from_utf8_lossy(&decode(part)).into_owned()).collect()
}

/// Decodes a path, then collapses `//`, `.` and `..`, never above the root. A
/// trailing slash is kept.
///
/// # Errors
/// 400 when what was decoded is no UTF-8, has a NUL, or hides `..` behind a
/// backslash.
pub fn normalize(path: &str) -> Result<Cow<'_, str>, Fault> {
    if is_normal(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = match decode(path) {
        Cow::Borrowed(_) => Cow::Borrowed(path),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(_) => return Err(Fault::new(400, "path is no UTF-8")),
        },
    };
    resolve(&decoded).map(Cow::Owned)
}

/// The same for a path that is decoded already.
///
/// # Errors
/// As those of `normalize`.
pub fn resolve(decoded: &str) -> Result<String, Fault> {
    if decoded.contains('\0') {
        return Err(Fault::new(400, "NUL in the path"));
    }
    if decoded.contains('\\') && decoded.split(['/', '\\']).any(|part| part == "..") {
        return Err(Fault::new(400, "backslash in the path"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    let mut out = String::with_capacity(decoded.len() + 1);
    for part in &parts {
        out.push('/');
        out.push_str(part);
    }
    let last = decoded.rsplit('/').next().unwrap_or_default();
    if out.is_empty() || matches!(last, "" | "." | "..") {
        out.push('/');
    }
    Ok(out)
}

/// Whether a path plainly needs no work.
fn is_normal(path: &[u8]) -> bool {
    let mut before = 0;
    for byte in path {
        match byte {
            b'%' | b'\\' => return false,
            b'/' | b'.' if before == b'/' => return false,
            _ => {}
        }
        before = *byte;
    }
    path.first() == Some(&b'/')
}

/// The components of a normal path.
pub fn parts(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.split('/').filter(|part| !part.is_empty())
}

/// Splits the value of a `Host` field: the host without brackets, and the port.
pub fn host_and_port(host: &str) -> (&str, Option<u16>) {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').unwrap_or((rest, ""));
        return (address, rest.strip_prefix(':').and_then(|p| p.parse().ok()));
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, port.parse().ok()),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b.c", "/a/b.c"),
            ("//p1", "/p1"),
            ("/./p1", "/p1"),
            ("/p1/../p1", "/p1"),
            ("/../../x", "/x"),
            ("/a/", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/c1/x/y%20z", "/c1/x/y z"),
            ("/a%2fb", "/a/b"),
            ("/d/%2e%2e/x", "/x"),
            ("/a%zz", "/a%zz"),
            ("/a+b", "/a+b"),
            ("/%c3%a4", "/ä"),
            ("/a..b", "/a..b"),
        ] {
            assert_eq!(normalize(path).unwrap(), normal, "{path}");
        }
        for path in ["/%ff", "/%00", "/..\\x", "/..%5cx", "/a%c3"] {
            assert_eq!(normalize(path).unwrap_err().status, 400, "{path}");
        }
        assert_eq!(resolve("/a%2f/.//../b%20/").unwrap(), "/b%20/");
        assert!(resolve("/\0").is_err() && resolve("/..\\x").is_err());
    }

    #[test]
    fn components_keep_what_was_sent() {
        assert_eq!(components("/uq//x//"), ["uq", "", "x", ""]);
        assert_eq!(components("/eval/x%20y/z"), ["eval", "x y", "z"]);
        assert!(components("/").is_empty());
    }

    #[test]
    fn hosts() {
        assert_eq!(host_and_port("localhost:9320"), ("localhost", Some(9320)));
        assert_eq!(host_and_port("[::1]:99"), ("::1", Some(99)));
        assert_eq!(host_and_port("[::1]"), ("::1", None));
        assert_eq!(host_and_port("h"), ("h", None));
        assert_eq!(host_and_port(""), ("", None));
    }
}
