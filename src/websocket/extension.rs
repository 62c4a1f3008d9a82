//! Agreeing on compression: the header `Sec-WebSocket-Extensions` with
//! permessage-deflate (RFC 7692, section 7.1; RFC 6455, section 9.1).

use super::Role;
use crate::base::{Error, Result};
use std::fmt::Write;

const NAME: &str = "permessage-deflate";

/// What both ends have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// The server starts every message afresh.
    pub server_no_context_takeover: bool,
    /// The client starts every message afresh.
    pub client_no_context_takeover: bool,
    /// The window of the server's compressor, 8 to 15 bits.
    pub server_max_window_bits: u8,
    /// The window of the client's compressor, 8 to 15 bits.
    pub client_max_window_bits: u8,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }
}

impl Params {
    /// Window bits and context takeover of what this end sends.
    pub fn sending(&self, role: Role) -> (u8, bool) {
        match role {
            Role::Client => (self.client_max_window_bits, !self.client_no_context_takeover),
            Role::Server | Role::Either => (self.server_max_window_bits, !self.server_no_context_takeover),
        }
    }

    /// Window bits and context takeover of what this end receives.
    pub fn receiving(&self, role: Role) -> (u8, bool) {
        match role {
            Role::Client => self.sending(Role::Server),
            Role::Server | Role::Either => self.sending(Role::Client),
        }
    }
}

/// One extension with its parameters, as the header has it.
#[derive(Debug, PartialEq, Eq)]
struct Extension {
    name: String,
    params: Vec<(String, Option<String>)>,
}

/// A parameter list of permessage-deflate that is in order. `None` for what was
/// not given.
#[derive(Debug, Default, Clone, Copy)]
struct Given {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)`: without a value, which an offer may do.
    client_max_window_bits: Option<Option<u8>>,
}

/// Answers a client: the parameters for the first offer that can be accepted
/// and the value of the header to send back; `None` to do without. `wish` has
/// what this server wants beyond the offer: smaller windows, no takeover.
///
/// # Errors
///
/// When the header is malformed, which is a bad request.
pub fn accept_offer(header: &str, wish: &Params) -> Result<Option<(Params, String)>> {
    for extension in parse(header)? {
        if extension.name != NAME {
            continue;
        }
        // What is unknown, doubled or out of range makes an offer that is
        // declined; the next may be better.
        let Ok(given) = Given::read(&extension) else {
            continue;
        };
        let client_limit = match given.client_max_window_bits {
            // Only a client that says so can limit its window.
            None => 15,
            Some(limit) => limit.unwrap_or(15).min(wish.client_max_window_bits),
        };
        let params = Params {
            server_no_context_takeover: given.server_no_context_takeover || wish.server_no_context_takeover,
            client_no_context_takeover: given.client_no_context_takeover || wish.client_no_context_takeover,
            server_max_window_bits: given
                .server_max_window_bits
                .unwrap_or(15)
                .min(wish.server_max_window_bits),
            client_max_window_bits: client_limit,
        };
        let mut answer = NAME.to_string();
        params.write_takeover(&mut answer);
        if given.server_max_window_bits.is_some() || params.server_max_window_bits < 15 {
            let _ = write!(answer, "; server_max_window_bits={}", params.server_max_window_bits);
        }
        if given.client_max_window_bits.is_some() && params.client_max_window_bits < 15 {
            let _ = write!(answer, "; client_max_window_bits={}", params.client_max_window_bits);
        }
        return Ok(Some((params, answer)));
    }
    Ok(None)
}

/// The value of the header with which a client offers compression. The server
/// may limit the client's window.
pub fn offer(wish: &Params) -> String {
    let mut offer = NAME.to_string();
    wish.write_takeover(&mut offer);
    if wish.server_max_window_bits < 15 {
        let _ = write!(offer, "; server_max_window_bits={}", wish.server_max_window_bits);
    }
    offer.push_str("; client_max_window_bits");
    if wish.client_max_window_bits < 15 {
        let _ = write!(offer, "={}", wish.client_max_window_bits);
    }
    offer
}

/// Checks a server's answer against what [`offer`] has offered; `offered` is
/// `None` when nothing was. The parameters agreed on, `None` for no compression.
///
/// # Errors
///
/// Whatever the server may not answer: the connection has to be given up.
pub fn check_answer(header: &str, offered: Option<&Params>) -> Result<Option<Params>> {
    let bad = |what: String| Error::new(format!("bad answer to the offered extensions: {what}"));
    let extensions = parse(header)?;
    let (first, offered) = match (extensions.as_slice(), offered) {
        ([], _) => return Ok(None),
        ([first], Some(offered)) if first.name == NAME => (first, offered),
        ([_, second, ..], Some(_)) if second.name == NAME => {
            return Err(bad(format!("\"{NAME}\" more than once")))
        }
        ([.., other], _) => return Err(bad(format!("\"{}\" was not offered", other.name))),
    };
    let given = Given::read(first).map_err(|fault| bad(fault.message))?;
    if offered.server_no_context_takeover && !given.server_no_context_takeover {
        return Err(bad("server_no_context_takeover is missing".into()));
    }
    let server_bits = given.server_max_window_bits.unwrap_or(15);
    if server_bits > offered.server_max_window_bits {
        return Err(bad("server_max_window_bits is larger than offered, or missing".into()));
    }
    let client_bits = match given.client_max_window_bits {
        // The client may stay below on its own.
        None => offered.client_max_window_bits,
        Some(Some(bits)) if bits <= offered.client_max_window_bits => bits,
        Some(Some(_)) => return Err(bad("client_max_window_bits is larger than offered".into())),
        Some(None) => return Err(bad("client_max_window_bits needs a value".into())),
    };
    Ok(Some(Params {
        server_no_context_takeover: given.server_no_context_takeover,
        client_no_context_takeover: given.client_no_context_takeover || offered.client_no_context_takeover,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits,
    }))
}

impl Params {
    fn write_takeover(&self, out: &mut String) {
        if self.server_no_context_takeover {
            out.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            out.push_str("; client_no_context_takeover");
        }
    }
}

impl Given {
    fn read(extension: &Extension) -> Result<Given> {
        let mut given = Given::default();
        for (index, (name, value)) in extension.params.iter().enumerate() {
            let fault = |what: &str| Err(Error::new(format!("{name} {what}")));
            if extension.params[..index].iter().any(|(earlier, _)| earlier == name) {
                return fault("is given more than once");
            }
            match (name.as_str(), value.as_deref()) {
                ("server_no_context_takeover", None) => given.server_no_context_takeover = true,
                ("client_no_context_takeover", None) => given.client_no_context_takeover = true,
                ("server_no_context_takeover" | "client_no_context_takeover", Some(_)) => {
                    return fault("takes no value")
                }
                ("server_max_window_bits", Some(value)) => match window_bits(value) {
                    None => return fault("is not between 8 and 15"),
                    bits => given.server_max_window_bits = bits,
                },
                ("server_max_window_bits", None) => return fault("needs a value"),
                ("client_max_window_bits", None) => given.client_max_window_bits = Some(None),
                ("client_max_window_bits", Some(value)) => match window_bits(value) {
                    None => return fault("is not between 8 and 15"),
                    bits => given.client_max_window_bits = Some(bits),
                },
                _ => return fault("is unknown"),
            }
        }
        Ok(given)
    }
}

/// A decimal from 8 to 15 without a leading zero.
fn window_bits(text: &str) -> Option<u8> {
    match text {
        "8" => Some(8),
        "9" => Some(9),
        _ if text.len() == 2 && text.starts_with('1') => text.parse().ok().filter(|bits| *bits <= 15),
        _ => None,
    }
}

/// Takes the value of the header apart. Several headers of the name are to be
/// joined by commas.
fn parse(header: &str) -> Result<Vec<Extension>> {
    let malformed = || Error::new(format!("malformed Sec-WebSocket-Extensions header \"{header}\""));
    let mut rest = header;
    let mut extensions = Vec::new();
    loop {
        rest = blank(rest);
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind; // an empty element
            continue;
        }
        if rest.is_empty() {
            return Ok(extensions);
        }
        let mut extension = Extension { name: token(&mut rest).ok_or_else(malformed)?, params: Vec::new() };
        loop {
            rest = blank(rest);
            let Some(behind) = rest.strip_prefix(';') else {
                break;
            };
            rest = blank(behind);
            let name = token(&mut rest).ok_or_else(malformed)?;
            rest = blank(rest);
            let value = match rest.strip_prefix('=') {
                None => None,
                Some(behind) => {
                    rest = blank(behind);
                    Some(quoted(&mut rest).or_else(|| token(&mut rest)).ok_or_else(malformed)?)
                }
            };
            extension.params.push((name, value));
        }
        if !(rest.is_empty() || rest.starts_with(',')) {
            return Err(malformed());
        }
        extensions.push(extension);
    }
}

fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

fn token(rest: &mut &str) -> Option<String> {
    let end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
    let (token, behind) = rest.split_at(end);
    *rest = behind;
    (!token.is_empty()).then(|| token.to_ascii_lowercase())
}

/// A quoted value, which must be a token once its quotes are off.
fn quoted(rest: &mut &str) -> Option<String> {
    let inside = rest.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => {
                *rest = &inside[index + 1..];
                return (!value.is_empty()).then_some(value);
            }
            '\\' => value.push(chars.next().map(|(_, c)| c).filter(|c| is_token(*c))?),
            c if is_token(c) => value.push(c),
            _ => return None,
        }
    }
    None
}

/// A character of a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Params = Params {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };

    fn answer(header: &str, wish: Params) -> Option<String> {
        accept_offer(header, &wish).expect("well-formed").map(|(_, answer)| answer)
    }

    #[test]
    fn offers_that_are_accepted() {
        for (offer, expected) in [
            ("permessage-deflate", "permessage-deflate"),
            ("Permessage-Deflate ; client_max_window_bits", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"),
            ("permessage-deflate; server_max_window_bits=\"9\"", "permessage-deflate; server_max_window_bits=9"),
            ("permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ),
            ("x-unknown; a=\"b\", permessage-deflate", "permessage-deflate"),
            // The first is no valid offer, the second is.
            (
                "permessage-deflate; server_max_window_bits=16, permessage-deflate; server_max_window_bits=12",
                "permessage-deflate; server_max_window_bits=12",
            ),
            (", ,permessage-deflate,", "permessage-deflate"),
        ] {
            assert_eq!(answer(offer, ANY).as_deref(), Some(expected), "{offer}");
        }
    }

    #[test]
    fn offers_that_are_declined() {
        for offer in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=1x",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=100",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(answer(offer, ANY), None, "{offer}");
        }
    }

    #[test]
    fn malformed_headers() {
        for header in [
            "permessage-deflate;",
            "a b",
            "a; b=",
            "a; b=\"c",
            "a; b=\"c d\"",
            "a; =b",
            "a=b",
            "\u{e4}",
            "a; b=\"\"",
        ] {
            assert!(accept_offer(header, &ANY).is_err(), "{header}");
        }
    }

    #[test]
    fn a_server_may_want_less_than_is_offered() {
        let wish = Params {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: 10,
            client_max_window_bits: 11,
        };
        assert_eq!(
            answer("permessage-deflate; client_max_window_bits", wish).as_deref(),
            Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11")
        );
        // The client has not said that it can limit its window.
        let (params, answer) = accept_offer("permessage-deflate", &wish).expect("fine").expect("accepted");
        assert!(!answer.contains("client_max_window_bits"));
        assert_eq!(params.client_max_window_bits, 15);
    }

    #[test]
    fn client_and_server_agree() {
        for server_bits in 8..=15 {
            for client_bits in 8..=15 {
                for flags in 0..16 {
                    let wish = |a, b| Params {
                        server_no_context_takeover: flags & a != 0,
                        client_no_context_takeover: flags & b != 0,
                        server_max_window_bits: server_bits,
                        client_max_window_bits: client_bits,
                    };
                    let client = wish(1, 2);
                    let server =
                        Params { server_max_window_bits: 12, client_max_window_bits: 12, ..wish(4, 8) };
                    let (params, answer) =
                        accept_offer(&offer(&client), &server).expect("well-formed").expect("accepted");
                    assert_eq!(check_answer(&answer, Some(&client)), Ok(Some(params)), "{answer}");
                }
            }
        }
    }

    #[test]
    fn answers_that_a_client_refuses() {
        let plain = ANY;
        let limited = Params { server_max_window_bits: 10, client_max_window_bits: 10, ..ANY };
        let fresh = Params { server_no_context_takeover: true, ..ANY };
        for (header, offered, words) in [
            ("permessage-deflate", None, "was not offered"),
            ("x-other", Some(&plain), "was not offered"),
            ("permessage-deflate, x-other", Some(&plain), "was not offered"),
            ("permessage-deflate, permessage-deflate", Some(&plain), "more than once"),
            ("permessage-deflate; unknown", Some(&plain), "unknown"),
            ("permessage-deflate; client_max_window_bits", Some(&plain), "needs a value"),
            ("permessage-deflate; server_max_window_bits=16", Some(&plain), "between 8 and 15"),
            ("permessage-deflate", Some(&limited), "server_max_window_bits"),
            ("permessage-deflate; server_max_window_bits=11", Some(&limited), "larger than offered"),
            (
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=11",
                Some(&limited),
                "client_max_window_bits is larger",
            ),
            ("permessage-deflate", Some(&fresh), "server_no_context_takeover is missing"),
            ("permessage-deflate;", Some(&plain), "malformed"),
        ] {
            let error = check_answer(header, offered).expect_err(header);
            assert!(error.message.contains(words), "{header}: {error}");
        }
        assert_eq!(check_answer("", Some(&plain)), Ok(None));
    }
}
