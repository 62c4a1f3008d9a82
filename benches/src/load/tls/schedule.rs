//! The key schedule of TLS 1.3 with SHA-256 (RFC 8446, section 7.1), on HMAC and HKDF (RFC 5869).

use openssl::sha::{sha256, Sha256};

/// A secret, or a hash of the transcript.
pub type Secret = [u8; 32];

const BLOCK: usize = 64;

/// HMAC with SHA-256. The key is at most a block long.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Secret {
    let mut pad = [0; BLOCK];
    pad[..key.len()].copy_from_slice(key);
    let mut inner = Sha256::new();
    inner.update(&pad.map(|byte| byte ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    outer.update(&pad.map(|byte| byte ^ 0x5c));
    outer.update(&inner.finish());
    outer.finish()
}

/// HKDF-Expand-Label, for outputs of at most one hash.
pub fn expand<const LENGTH: usize>(secret: &Secret, label: &str, context: &[u8]) -> [u8; LENGTH] {
    let label_length = (6 + label.len()) as u8;
    let head = [0, LENGTH as u8, label_length];
    let output = hmac(secret, &[&head, b"tls13 ", label.as_bytes(), &[context.len() as u8], context, &[1]]);
    std::array::from_fn(|index| output[index])
}

/// The secrets of the handshake, which follow from the shared secret of the key exchange.
pub struct Handshake {
    secret: Secret,
    /// Client's and server's traffic secret.
    pub client: Secret,
    pub server: Secret,
}

impl Handshake {
    /// `transcript` is the hash of the two hellos.
    pub fn new(shared: &[u8], transcript: &Secret) -> Handshake {
        let early = hmac(&[0; 32], &[&[0; 32]]);
        let secret = hmac(&next(&early), &[shared]);
        Handshake {
            client: expand(&secret, "c hs traffic", transcript),
            server: expand(&secret, "s hs traffic", transcript),
            secret,
        }
    }

    /// The traffic secrets of the application, client's and server's. `transcript` is the hash of all up to
    /// the server's Finished.
    pub fn application(&self, transcript: &Secret) -> (Secret, Secret) {
        let master = hmac(&next(&self.secret), &[&[0; 32]]);
        (expand(&master, "c ap traffic", transcript), expand(&master, "s ap traffic", transcript))
    }
}

/// What the next secret is extracted with.
fn next(secret: &Secret) -> Secret {
    expand(secret, "derived", &sha256(b""))
}

/// The content of a Finished message.
pub fn finished(traffic: &Secret, transcript: &Secret) -> Secret {
    hmac(&expand::<32>(traffic, "finished", b""), &[transcript])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Secret {
        std::array::from_fn(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
    }

    #[test]
    fn hmac_of_rfc_4231() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&hmac(b"Jefe", &[b"what do ya ", b"want for nothing?"])), expected);
    }

    #[test]
    fn the_secrets_of_rfc_8448() {
        let shared = bytes("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
        let secret = Handshake::new(&shared, &[0; 32]).secret;
        assert_eq!(hex(&secret), "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
        let master = hmac(&next(&secret), &[&[0; 32]]);
        assert_eq!(hex(&master), "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919");
    }

    #[test]
    fn the_keys_of_rfc_8448() {
        let traffic = bytes("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
        assert_eq!(hex(&expand::<16>(&traffic, "key", b"")), "3fce516009c21727d0f2e4e86ee403bc");
        assert_eq!(hex(&expand::<12>(&traffic, "iv", b"")), "5d313eb2671276ee13000b30");
    }
}
