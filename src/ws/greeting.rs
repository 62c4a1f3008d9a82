//! The opening handshake over HTTP, both ends (RFC 6455, section 4). Bytes in,
//! bytes out.

use super::settings::{matches, Settings};
use crate::base::{Error, Result};
use crate::http::head::{field, RequestHead, ResponseHead};
use crate::websocket::extension::{accept_offer, check_answer as check_extensions, offer, Params};
use crate::websocket::handshake::{answer, check_answer, check_request, new_key, Upgrade};

/// A request that may be accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The head of the answer.
    pub answer: String,
    /// The subprotocol, if one was agreed on.
    pub protocol: Option<String>,
    /// The compression, if any.
    pub compression: Option<Params>,
}

/// Why a request is refused: status and reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status code of HTTP.
    pub status: u16,
    /// What is wrong, for the body of the answer.
    pub reason: String,
}

/// Whether a request asks for WebSocket at all.
pub fn is_upgrade(head: &RequestHead) -> bool {
    field(&head.fields, "Upgrade")
        .is_some_and(|v| v.split(',').any(|word| word.trim().eq_ignore_ascii_case("websocket")))
}

/// The path of a request, without its query.
pub fn path(head: &RequestHead) -> &str {
    head.target.split_once('?').map_or(head.target.as_str(), |(path, _)| path)
}

/// Judges a request.
pub fn accept(head: &RequestHead, settings: &Settings) -> std::result::Result<Accepted, Refusal> {
    let upgrade = check_request(&head.method, head.version, &head.fields)
        .map_err(|r| Refusal { status: r.status, reason: r.reason })?;
    if settings.path.as_ref().is_some_and(|pattern| !matches(pattern, path(head))) {
        return Err(Refusal { status: 404, reason: format!("there is no WebSocket at {}", path(head)) });
    }
    check_origin(&upgrade, head, settings)?;
    let protocol = settings.protocols.iter().find(|p| upgrade.protocols.contains(p)).cloned();
    let agreed = match &settings.compression {
        Some(wish) => accept_offer(&upgrade.extensions, wish)
            .map_err(|error| Refusal { status: 400, reason: error.message })?,
        None => None,
    };
    let answer = answer(
        &upgrade,
        protocol.as_deref(),
        agreed.as_ref().map(|(_, value)| value.as_str()),
        &settings.headers,
    );
    Ok(Accepted { answer, protocol, compression: agreed.map(|(params, _)| params) })
}

/// A browser tells from which page it comes; a page of somebody else's has no
/// business here unless it was invited (RFC 6455, section 10.2).
fn check_origin(
    upgrade: &Upgrade,
    head: &RequestHead,
    settings: &Settings,
) -> std::result::Result<(), Refusal> {
    let Some(origin) = &upgrade.origin else { return Ok(()) };
    let invited = if settings.origins.is_empty() {
        let host = field(&head.fields, "Host").unwrap_or_default();
        origin.split_once("://").is_some_and(|(_, page)| page.eq_ignore_ascii_case(host))
    } else {
        settings.origins.iter().any(|pattern| matches(pattern, origin))
    };
    if invited {
        Ok(())
    } else {
        Err(Refusal { status: 403, reason: format!("pages of {origin} may not connect") })
    }
}

/// The name of a status code, as far as they occur here.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        500.. => "Internal Server Error",
        _ => "Error",
    }
}

/// A whole response after which the connection is closed.
pub fn response(
    status: u16,
    content_type: &str,
    fields: &[(String, String)],
    body: &[u8],
    head_only: bool,
) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason_phrase(status));
    if status == 426 {
        head.push_str("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    }
    if status == 405 {
        head.push_str("Allow: GET\r\n");
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let content_type = content_type.replace(['\r', '\n'], " ");
    head.push_str(&format!(
        "Content-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    ));
    let mut bytes = head.into_bytes();
    if !head_only {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// A client's request: the key and the bytes.
///
/// # Errors
/// No random numbers can be had; a host or target that would break the head.
pub fn request(settings: &Settings) -> Result<(String, Vec<u8>)> {
    let bad = |text: &str| text.contains(|c: char| c.is_ascii_control() || c == ' ');
    if settings.host.is_empty() || bad(&settings.host) || bad(&settings.target) {
        return Err(Error::new(format!(
            "invalid host \"{}\" or target \"{}\"",
            settings.host.escape_debug(),
            settings.target.escape_debug()
        )));
    }
    let key = new_key()?;
    let mut head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
        settings.target, settings.host
    );
    if !settings.protocols.is_empty() {
        let list = settings.protocols.join(", ");
        if bad(&list.replace(", ", "")) {
            return Err(Error::new(format!("invalid subprotocol in \"{}\"", list.escape_debug())));
        }
        head.push_str(&format!("Sec-WebSocket-Protocol: {list}\r\n"));
    }
    if let Some(wish) = &settings.compression {
        head.push_str(&format!("Sec-WebSocket-Extensions: {}\r\n", offer(wish)));
    }
    for (name, value) in &settings.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    Ok((key, head.into_bytes()))
}

/// Judges the answer to a request with `key`: subprotocol and compression.
///
/// # Errors
/// It is no WebSocket connection, or not what was asked for.
pub fn answered(
    head: &ResponseHead,
    key: &str,
    settings: &Settings,
) -> Result<(Option<String>, Option<Params>)> {
    let offered: Vec<&str> = settings.protocols.iter().map(String::as_str).collect();
    let status = head.status.to_string();
    let wrong = |error: Error| Error::with_code(error.message, &["WEBSOCKET", "HANDSHAKE", &status]);
    if let (300..=399, Some(url)) = (head.status, field(&head.fields, "Location")) {
        return Err(wrong(Error::new(format!("WebSocket handshake failed: the server redirects to {url}"))));
    }
    let accepted = check_answer(head.status, &head.fields, key, &offered).map_err(wrong)?;
    let compression = check_extensions(&accepted.extensions, settings.compression.as_ref()).map_err(wrong)?;
    Ok((accepted.protocol, compression))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head;
    use crate::websocket::Role;

    fn head_of(extra: &str) -> RequestHead {
        let text = format!(
            "GET /chat?x HTTP/1.1\r\nHost: h:80\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
        );
        head::request(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn pages_of_other_hosts_are_refused() {
        let mut settings = Settings::new(Role::Server);
        assert!(accept(&head_of(""), &settings).is_ok());
        assert!(accept(&head_of("Origin: http://h:80\r\n"), &settings).is_ok());
        let refusal = accept(&head_of("Origin: http://evil\r\n"), &settings).unwrap_err();
        assert_eq!(refusal.status, 403);
        settings.origins = vec!["http://*.example".into()];
        assert!(accept(&head_of("Origin: http://a.example\r\n"), &settings).is_ok());
        assert!(accept(&head_of("Origin: http://h:80\r\n"), &settings).is_err());
    }

    #[test]
    fn both_ends_agree() {
        let mut settings = Settings::new(Role::Client);
        settings.host = "h".into();
        settings.protocols = vec!["b".into(), "a".into()];
        let (key, bytes) = request(&settings).unwrap();
        let (head, _) = head::request(&bytes).unwrap().unwrap();
        let mut server = Settings::new(Role::Server);
        server.protocols = vec!["a".into(), "b".into()];
        let accepted = accept(&head, &server).unwrap();
        assert_eq!(accepted.protocol.as_deref(), Some("a"));
        let (answer, _) = head::response(accepted.answer.as_bytes()).unwrap().unwrap();
        let (protocol, compression) = answered(&answer, &key, &settings).unwrap();
        assert_eq!(protocol.as_deref(), Some("a"));
        assert!(compression.is_some() && accepted.compression.is_some());
    }

    #[test]
    fn paths_and_methods() {
        let mut settings = Settings::new(Role::Server);
        settings.path = Some("/other".into());
        assert_eq!(accept(&head_of(""), &settings).unwrap_err().status, 404);
        settings.path = Some("/ch*".into());
        assert!(accept(&head_of(""), &settings).is_ok());
        let bytes = response(426, "text/plain", &[], b"x", false);
        assert!(String::from_utf8(bytes).unwrap().contains("Sec-WebSocket-Version: 13"));
    }
}
