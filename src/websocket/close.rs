//! Why connections end: close frames, and violations of the protocol with the
//! code that the peer is to be told (RFC 6455, section 7.4).

use std::fmt;

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// A server goes down, or a browser leaves the page.
pub const GOING_AWAY: u16 = 1001;
/// The peer has broken the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The peer has sent a kind of data that is not taken.
pub const UNSUPPORTED_DATA: u16 = 1003;
/// A close frame without a code was received. Never sent.
pub const NO_STATUS: u16 = 1005;
/// The connection ended without a close frame. Never sent.
pub const ABNORMAL: u16 = 1006;
/// Data do not fit their kind, such as text that is no UTF-8.
pub const INVALID_DATA: u16 = 1007;
/// A message breaks a rule of the application.
pub const POLICY_VIOLATION: u16 = 1008;
/// A message is too big.
pub const TOO_BIG: u16 = 1009;
/// Something unexpected went wrong here.
pub const INTERNAL_ERROR: u16 = 1011;

/// What a peer did wrong: the close code to send, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// 1002, 1007 or 1009.
    pub code: u16,
    /// What is wrong, fit for the reason of a close frame.
    pub reason: &'static str,
}

impl Violation {
    /// A breach of the protocol.
    pub const fn protocol(reason: &'static str) -> Violation {
        Violation { code: PROTOCOL_ERROR, reason }
    }

    /// Text that is no UTF-8, or data that do not inflate.
    pub const fn data(reason: &'static str) -> Violation {
        Violation { code: INVALID_DATA, reason }
    }

    /// Something is larger than a limit.
    pub const fn too_big(reason: &'static str) -> Violation {
        Violation { code: TOO_BIG, reason }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Violation {}

/// A close frame that was received and is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close<'a> {
    /// The payload as it came: code and reason, or nothing.
    pub payload: &'a [u8],
}

impl<'a> Close<'a> {
    /// Checks the payload of a close frame.
    ///
    /// # Errors
    ///
    /// A payload of one byte, a code that may not be sent, a reason that is no
    /// UTF-8.
    pub fn parse(payload: &'a [u8]) -> Result<Close<'a>, Violation> {
        match payload {
            [] => {}
            [_] => return Err(Violation::protocol("close frame with a payload of one byte")),
            [high, low, reason @ ..] => {
                if !may_be_sent(u16::from_be_bytes([*high, *low])) {
                    return Err(Violation::protocol("invalid close code"));
                }
                if std::str::from_utf8(reason).is_err() {
                    return Err(Violation::data("close reason is no valid UTF-8"));
                }
            }
        }
        Ok(Close { payload })
    }

    /// The code, if there is one.
    pub fn code(&self) -> Option<u16> {
        match self.payload {
            [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        }
    }

    /// The reason, empty when none is given.
    pub fn reason(&self) -> &'a str {
        self.payload.get(2..).and_then(|reason| std::str::from_utf8(reason).ok()).unwrap_or_default()
    }
}

/// Whether a close frame may carry this code: those that are defined for it,
/// those of libraries and frameworks (3000 to 3999), and private ones (4000 to
/// 4999).
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            let payload = [&u16::to_be_bytes(code)[..], b"bye"].concat();
            let close = Close::parse(&payload).expect("a valid code");
            assert_eq!((close.code(), close.reason()), (Some(code), "bye"));
        }
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(Close::parse(&u16::to_be_bytes(code)), Err(Violation::protocol("invalid close code")));
        }
    }

    #[test]
    fn payloads() {
        let close = Close::parse(b"").expect("no payload is in order");
        assert_eq!((close.code(), close.reason()), (None, ""));
        assert_eq!(Close::parse(b"\x03").map_err(|v| v.code), Err(PROTOCOL_ERROR));
        assert_eq!(Close::parse(b"\x03\xe8\xff").map_err(|v| v.code), Err(INVALID_DATA));
        assert_eq!(Close::parse(b"\x03\xe8\xe2\x82").map_err(|v| v.code), Err(INVALID_DATA));
    }
}
