//! Conditions on header fields and the peer's address under which a handler or
//! filter applies (`-constraints`, spec/http.md 1.3).

use super::pattern;
use super::request::Request;
use crate::base::{Error, Result};
use std::net::IpAddr;

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    /// A field of this name has a value that matches the pattern, in the sense
    /// of `string match`.
    Field(String, String),
    /// The peer's address, in so many leading bits.
    Peer(IpAddr, u8),
}

/// Conditions that have to hold all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints(Vec<Condition>);

impl Constraints {
    /// Reads names and values in turn; the name `x-ns-ip` stands for the peer's
    /// address, its value being `address` or `address/bits`.
    ///
    /// # Errors
    /// A value without a name, or an address that is none.
    pub fn parse(words: &[String]) -> Result<Constraints> {
        if words.len() % 2 != 0 {
            return Err(Error::new("constraints must be a list of pairs of header field and pattern"));
        }
        let mut all = Vec::with_capacity(words.len() / 2);
        for pair in words.chunks_exact(2) {
            let (name, value) = (&pair[0], &pair[1]);
            all.push(if name.eq_ignore_ascii_case("x-ns-ip") {
                let invalid = || Error::new(format!("invalid address or mask \"{value}\" specified"));
                let (address, bits) = parse_network(value).ok_or_else(invalid)?;
                Condition::Peer(address, bits)
            } else {
                Condition::Field(name.to_ascii_lowercase(), value.clone())
            });
        }
        all.sort_unstable();
        Ok(Constraints(all))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they hold for a request.
    pub fn hold(&self, request: &Request, peer: Option<IpAddr>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Field(name, pattern) => {
                request.field(name).is_some_and(|value| pattern::matches(pattern, &value))
            }
            Condition::Peer(network, bits) => peer.is_some_and(|peer| is_within(peer, *network, *bits)),
        })
    }
}

/// `10.0.0.0/8`, `::1`, `10.0.0.0/255.0.0.0`.
fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, mask) = text.split_once('/').map_or((text, None), |(a, m)| (a, Some(m)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match mask {
        None => most,
        Some(mask) => match mask.parse::<u8>() {
            Ok(bits) => bits,
            Err(_) => match mask.parse::<IpAddr>().ok()? {
                IpAddr::V4(mask) => u32::from(mask).leading_ones() as u8,
                IpAddr::V6(mask) => u128::from(mask).leading_ones() as u8,
            },
        },
    };
    (bits <= most).then_some((address, bits))
}

fn is_within(peer: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (peer, network) {
        (IpAddr::V4(peer), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            u32::from(peer) & mask == u32::from(network) & mask
        }
        (IpAddr::V6(peer), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            u128::from(peer) & mask == u128::from(network) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(peer: &str, network: &str) -> bool {
        let (address, bits) = parse_network(network).unwrap();
        is_within(peer.parse().unwrap(), address, bits)
    }

    #[test]
    fn networks() {
        assert!(within("10.1.2.3", "10.0.0.0/8") && !within("11.1.2.3", "10.0.0.0/8"));
        assert!(within("10.1.2.3", "10.1.0.0/255.255.0.0") && within("1.2.3.4", "0.0.0.0/0"));
        assert!(within("::1", "::1") && !within("::2", "::1") && !within("127.0.0.1", "::1"));
        assert_eq!(parse_network("10.0.0.0/33"), None);
        assert_eq!(parse_network("x"), None);
    }

    #[test]
    fn pairs() {
        let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert!(Constraints::parse(&words(&["host"])).is_err());
        assert!(Constraints::parse(&words(&["x-ns-ip", "foo"])).is_err());
        assert_eq!(Constraints::parse(&words(&["Host", "a*", "x-ns-ip", "::1"])).unwrap().len(), 2);
        assert!(Constraints::default().hold(&Request::default(), None));
    }
}
