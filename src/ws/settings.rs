//! What may be chosen for a connection, with its defaults.

use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::websocket::extension::Params;
use crate::websocket::{decoder, deflate, Config, Role};

/// Settings of a connection. All have defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whose end it is.
    pub role: Role,
    /// A server answers only requests for this path, if it is set: a pattern
    /// with `*` and `?`.
    pub path: Option<String>,
    /// Pages from which browsers may connect (header Origin): patterns. Without
    /// any: those of the same host. Who sends no Origin is no browser.
    pub origins: Vec<String>,
    /// Subprotocols: of a server those it speaks, the best first; of a client
    /// those it offers.
    pub protocols: Vec<String>,
    /// Compression to offer or accept, if any.
    pub compression: Option<Params>,
    /// Level of compression, 1 to 9.
    pub level: u8,
    /// Messages shorter than this are not compressed, in bytes.
    pub threshold: usize,
    /// Longest frame, in bytes.
    pub max_frame: usize,
    /// Longest message, all frames together and inflated, in bytes.
    pub max_message: usize,
    /// After so long without a word from the peer it is asked (ping); 0 never.
    pub ping: TimeValue,
    /// How long the peer may take to answer that.
    pub pong_wait: TimeValue,
    /// With more bytes than this waiting to be sent the connection counts as
    /// slow, and `drain` tells when they have gone.
    pub high_water: usize,
    /// With more than this it is dropped.
    pub max_pending: usize,
    /// How long the opening handshake may take.
    pub handshake_wait: TimeValue,
    /// How long the closing handshake may take.
    pub close_wait: TimeValue,
    /// Of a client: the request's host and target.
    pub host: String,
    /// Path and query of the request.
    pub target: String,
    /// Further header fields of the request or the answer.
    pub headers: Vec<(String, String)>,
}

/// Longest request head, in bytes.
pub const MAX_HEAD: usize = 16 << 10;

impl Settings {
    /// The defaults.
    pub fn new(role: Role) -> Settings {
        Settings {
            role,
            path: None,
            origins: Vec::new(),
            protocols: Vec::new(),
            compression: Some(Params::default()),
            level: deflate::DEFAULT_LEVEL,
            threshold: deflate::DEFAULT_THRESHOLD,
            max_frame: decoder::DEFAULT_MAX_FRAME,
            max_message: decoder::DEFAULT_MAX_MESSAGE,
            ping: TimeValue::from_secs(30),
            pong_wait: TimeValue::from_secs(20),
            high_water: 1 << 20,
            max_pending: 16 << 20,
            handshake_wait: TimeValue::from_secs(10),
            close_wait: TimeValue::from_secs(5),
            host: String::new(),
            target: "/".into(),
            headers: Vec::new(),
        }
    }

    /// Sets one of them by its name; `list` are the elements when the value is
    /// a list.
    ///
    /// # Errors
    /// A name that is unknown, a value that does not fit.
    pub fn set(&mut self, key: &str, value: &str, list: &[String]) -> Result<()> {
        let size = || {
            value.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(|| {
                Error::new(format!("expected positive integer for -{key} but got \"{value}\""))
            })
        };
        let time = || {
            TimeValue::parse(value)
                .ok()
                .filter(|t| !t.is_negative())
                .ok_or_else(|| Error::new(format!("expected time value but got \"{value}\"")))
        };
        match key {
            "path" => self.path = Some(value.to_owned()).filter(|p| !p.is_empty()),
            "origins" => self.origins = list.to_vec(),
            "protocols" => self.protocols = list.to_vec(),
            "compression" => self.compression = compression(value, list)?,
            "level" => {
                self.level = size()?.try_into().ok().filter(|l| *l <= 9).ok_or_else(|| {
                    Error::new(format!("expected integer from 1 to 9 for -level but got \"{value}\""))
                })?;
            }
            "threshold" => self.threshold = size()?,
            "maxframe" => self.max_frame = size()?,
            "maxmessage" => self.max_message = size()?,
            "ping" => self.ping = time()?,
            "pongwait" => self.pong_wait = time()?,
            "highwater" => self.high_water = size()?,
            "maxbuffer" => self.max_pending = size()?,
            "handshakewait" => self.handshake_wait = time()?,
            "closewait" => self.close_wait = time()?,
            "host" => self.host = value.to_owned(),
            "target" => self.target = value.to_owned(),
            "headers" => self.headers = header_fields(list)?,
            _ => return Err(Error::new(format!("unknown WebSocket setting \"{key}\""))),
        }
        Ok(())
    }

    /// What the decoder accepts.
    pub fn decoder(&self) -> Config {
        Config { max_frame: self.max_frame, max_message: self.max_message, ..Config::new(self.role) }
    }
}

/// Header fields from a list of names and values.
///
/// # Errors
/// An odd number of words, or a field that would break the head.
pub fn header_fields(list: &[String]) -> Result<Vec<(String, String)>> {
    if list.len() % 2 != 0 {
        return Err(Error::new("expected a list of header names and values"));
    }
    list.chunks_exact(2).map(|pair| header(&pair[0], &pair[1])).collect()
}

/// A field that cannot become two.
fn header(name: &str, value: &str) -> Result<(String, String)> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Error::new(format!("invalid header name \"{}\"", name.escape_debug())));
    }
    if value.contains(['\r', '\n', '\0']) {
        return Err(Error::new(format!("invalid value of header \"{name}\"")));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// A boolean, or a list of what permessage-deflate shall be asked for.
fn compression(value: &str, list: &[String]) -> Result<Option<Params>> {
    match value.to_ascii_lowercase().as_str() {
        "0" | "false" | "no" | "off" => return Ok(None),
        "1" | "true" | "yes" | "on" => return Ok(Some(Params::default())),
        _ => {}
    }
    let wrong = || {
        Error::new(format!(
            "expected boolean value or a list of server_no_context_takeover, client_no_context_takeover, \
             server_max_window_bits=N, client_max_window_bits=N but got \"{value}\""
        ))
    };
    let mut params = Params::default();
    for word in list {
        let bits = |text: &str| text.parse::<u8>().ok().filter(|b| (9..=15).contains(b)).ok_or_else(wrong);
        match word.split_once('=') {
            None if word == "server_no_context_takeover" => params.server_no_context_takeover = true,
            None if word == "client_no_context_takeover" => params.client_no_context_takeover = true,
            Some(("server_max_window_bits", n)) => params.server_max_window_bits = bits(n)?,
            Some(("client_max_window_bits", n)) => params.client_max_window_bits = bits(n)?,
            _ => return Err(wrong()),
        }
    }
    Ok(Some(params))
}

/// Whether `text` fits a pattern in which `*` stands for anything and `?` for
/// one character.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut pi, mut ti, mut star) = (0, 0, None);
    while ti < t.len() {
        if p.get(pi).is_some_and(|c| *c == '?' || *c == t[ti]) && p[pi] != '*' {
            (pi, ti) = (pi + 1, ti + 1);
        } else if p.get(pi) == Some(&'*') {
            star = Some((pi, ti));
            pi += 1;
        } else if let Some((sp, st)) = star {
            (pi, ti, star) = (sp + 1, st + 1, Some((sp, st + 1)));
        } else {
            return false;
        }
    }
    p[pi..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [("*", ""), ("/a*", "/abc"), ("*b*d", "abcbd"), ("a?c", "abc"), ("", "")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("/a", "/ab"), ("a?c", "ac"), ("*x", "abc"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let mut settings = Settings::new(Role::Server);
        assert!(settings.set("maxframe", "0", &[]).is_err());
        assert!(settings.set("ping", "-1", &[]).is_err());
        assert!(settings.set("foo", "1", &[]).is_err());
        assert!(settings.set("headers", "", &["A".into(), "b\r\nC: d".into()]).is_err());
        let words = ["server_no_context_takeover".to_owned(), "client_max_window_bits=10".to_owned()];
        settings.set("compression", "x", &words).unwrap();
        assert_eq!(settings.compression.unwrap().client_max_window_bits, 10);
        settings.set("compression", "off", &["off".to_owned()]).unwrap();
        assert_eq!(settings.compression, None);
    }
}
