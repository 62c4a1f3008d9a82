//! Addresses: looking up names, and how a peer is shown.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// Looks up `host` (a name, or a numeric address without brackets), in the
/// order of the system's resolver. Blocks the calling thread only.
///
/// The error's text is the resolver's own ("Name or service not known").
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(resolver_error)?.collect();
    let mut unique: Vec<SocketAddr> = Vec::with_capacity(found.len());
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    if unique.is_empty() {
        return Err(io::Error::other("no address associated with the name"));
    }
    Ok(unique)
}

/// Takes away what the standard library puts before the resolver's text.
fn resolver_error(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() {
        return error;
    }
    let text = error.to_string();
    let own = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    io::Error::new(error.kind(), own.to_owned())
}

/// RFC 8305 section 4: families alternate, beginning with that of the first
/// address; the order within a family stays.
pub fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let first_is_v6 = first.is_ipv6();
    let (a, b): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|x| x.is_ipv6() == first_is_v6);
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    let mut mixed = Vec::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return mixed,
            (x, y) => mixed.extend(x.into_iter().chain(y)),
        }
    }
}

/// An IPv4 address that arrived at a dual-stack socket as plain IPv4.
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|a| SocketAddr::new(a.parse().unwrap(), 80)).collect()
    }

    #[test]
    fn numeric_addresses_need_no_resolver() {
        assert_eq!(resolve("127.0.0.1", 80).unwrap(), addresses(&["127.0.0.1"]));
        assert_eq!(resolve("::1", 80).unwrap(), addresses(&["::1"]));
    }

    #[test]
    fn unknown_names_give_the_resolvers_text() {
        let text = resolve("no-such-host.invalid", 80).unwrap_err().to_string();
        assert!(!text.contains("failed to lookup"), "{text}");
        assert!(resolve("", 80).is_err());
    }

    #[test]
    fn families_alternate() {
        let given = addresses(&["::1", "::2", "::3", "1.1.1.1"]);
        assert_eq!(interleave(given), addresses(&["::1", "1.1.1.1", "::2", "::3"]));
        let given = addresses(&["1.1.1.1", "2.2.2.2", "::1"]);
        assert_eq!(interleave(given), addresses(&["1.1.1.1", "::1", "2.2.2.2"]));
        assert!(interleave(Vec::new()).is_empty());
    }
}
