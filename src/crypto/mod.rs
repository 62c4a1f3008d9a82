//! Digests, authentication codes, signatures and random numbers, over OpenSSL
//! (`ns_crypto`, spec/support.md 4.6, 6.4). Nothing here knows of Tcl.
#![forbid(unsafe_code)]

use crate::base::{Error, Result};
use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use openssl::pkey::PKey;
use openssl::sign::{Signer, Verifier};

/// Digests that OpenSSL may have, for the text of an error.
const DIGESTS: [&str; 17] = [
    "blake2b512",
    "blake2s256",
    "md4",
    "md5",
    "md5-sha1",
    "ripemd160",
    "sha1",
    "sha224",
    "sha256",
    "sha3-224",
    "sha3-256",
    "sha3-384",
    "sha3-512",
    "sha384",
    "sha512",
    "sha512-224",
    "sha512-256",
];

fn failed(what: &str, errors: &ErrorStack) -> Error {
    let reason = errors.errors().first().and_then(|error| error.reason()).unwrap_or("unknown reason");
    Error::new(format!("{what}: {reason}"))
}

/// A digest by any name that OpenSSL knows it by.
///
/// # Errors
/// `Unknown value for digest "x", valid: ...`.
pub fn digest(name: &str) -> Result<MessageDigest> {
    let found = (!name.contains('\0')).then(|| MessageDigest::from_name(name)).flatten();
    // Some are known and switched off.
    found.filter(|digest| Hasher::new(*digest).is_ok()).ok_or_else(|| {
        let valid: Vec<&str> = DIGESTS
            .into_iter()
            .filter(|name| MessageDigest::from_name(name).is_some_and(|digest| Hasher::new(digest).is_ok()))
            .collect();
        Error::new(format!("Unknown value for digest \"{name}\", valid: {}", valid.join(" ")))
    })
}

/// A hash that bytes are added to.
#[derive(Clone)]
pub struct Md(Hasher);

impl Md {
    /// A hash of nothing yet.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn new(digest: MessageDigest) -> Result<Md> {
        Hasher::new(digest).map(Md).map_err(|e| failed("cannot hash", &e))
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.update(bytes).map_err(|e| failed("cannot hash", &e))
    }

    /// The hash of what was added so far.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn get(&self) -> Result<Vec<u8>> {
        let digest = self.0.clone().finish().map_err(|e| failed("cannot hash", &e))?;
        Ok(digest.to_vec())
    }
}

/// The hash of bytes.
///
/// # Errors
/// OpenSSL's.
pub fn md(digest: MessageDigest, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut md = Md::new(digest)?;
    md.add(bytes)?;
    md.get()
}

/// An authentication code that bytes are added to (RFC 2104).
#[derive(Clone)]
pub struct Hmac {
    inner: Md,
    outer: Md,
}

impl Hmac {
    /// The code of nothing yet.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn new(digest: MessageDigest, key: &[u8]) -> Result<Hmac> {
        let mut block = vec![0; digest.block_size().max(1)];
        let key = if key.len() > block.len() { md(digest, key)? } else { key.to_vec() };
        block[..key.len()].copy_from_slice(&key);
        let padded = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
        let (mut inner, mut outer) = (Md::new(digest)?, Md::new(digest)?);
        inner.add(&padded(0x36))?;
        outer.add(&padded(0x5c))?;
        Ok(Hmac { inner, outer })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.inner.add(bytes)
    }

    /// The code of what was added so far.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn get(&self) -> Result<Vec<u8>> {
        let mut outer = self.outer.clone();
        outer.add(&self.inner.get()?)?;
        outer.get()
    }
}

/// Signs bytes with the private key of a PEM text.
///
/// # Errors
/// A key that cannot be read or used.
pub fn sign(digest: MessageDigest, pem: &[u8], passphrase: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
    let bad = |e: ErrorStack| failed("cannot sign", &e);
    let key = PKey::private_key_from_pem_passphrase(pem, passphrase).map_err(bad)?;
    let mut signer = Signer::new(digest, &key).map_err(bad)?;
    signer.sign_oneshot_to_vec(bytes).map_err(bad)
}

/// Whether a signature of bytes is that of a PEM text's public key, or of the
/// one that belongs to its private key.
///
/// # Errors
/// A key that cannot be read or used.
pub fn verify(
    digest: MessageDigest,
    pem: &[u8],
    passphrase: &[u8],
    signature: &[u8],
    bytes: &[u8],
) -> Result<bool> {
    let bad = |e: ErrorStack| failed("cannot verify", &e);
    let public = match PKey::public_key_from_pem(pem) {
        Ok(key) => key,
        Err(_) => {
            let private = PKey::private_key_from_pem_passphrase(pem, passphrase).map_err(bad)?;
            let public = private.public_key_to_pem().map_err(bad)?;
            PKey::public_key_from_pem(&public).map_err(bad)?
        }
    };
    let mut verifier = Verifier::new(digest, &public).map_err(bad)?;
    // A signature that is no signature at all is an error in OpenSSL's eyes.
    Ok(verifier.verify_oneshot(signature, bytes).unwrap_or(false))
}

/// Random bytes, fit for keys.
///
/// # Errors
/// OpenSSL's.
pub fn random_bytes(number: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; number];
    openssl::rand::rand_bytes(&mut bytes).map_err(|e| failed("no random bytes", &e))?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4).
///
/// # Errors
/// OpenSSL's.
pub fn uuid() -> Result<String> {
    let mut bytes = random_bytes(16)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

/// Bytes as hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn md_hex(name: &str, text: &str) -> String {
        hex(&md(digest(name).unwrap(), text.as_bytes()).unwrap())
    }

    #[test]
    fn digests_by_any_name() {
        assert_eq!(md_hex("md5", "hello"), "5d41402abc4b2a76b9719d911017c592");
        for name in ["sha1", "SHA1", "sha-1"] {
            assert_eq!(md_hex(name, "hello"), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "{name}");
        }
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert!(["sha256", "SHA2-256"].iter().all(|name| md_hex(name, "hello") == sha256));
        for name in ["bogus", "", "sha1\0"] {
            let message = digest(name).err().expect(name).message;
            assert!(
                message.starts_with(&format!("Unknown value for digest \"{name}\", valid: ")),
                "{message}"
            );
            assert!(message.contains(" sha256 "), "{message}");
        }
    }

    #[test]
    fn hmac_as_in_rfc_4231() {
        let code = |key: &[u8], text: &[u8]| {
            let mut hmac = Hmac::new(digest("sha256").unwrap(), key).unwrap();
            let (a, b) = text.split_at(text.len() / 2);
            hmac.add(a).unwrap();
            hmac.get().unwrap();
            hmac.add(b).unwrap();
            hex(&hmac.get().unwrap())
        };
        assert_eq!(
            code(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            code(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn signatures() {
        let sha256 = digest("sha256").unwrap();
        let key = PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
        let (private, public) = (key.private_key_to_pem_pkcs8().unwrap(), key.public_key_to_pem().unwrap());
        let signature = sign(sha256, &private, b"", b"text").unwrap();
        for pem in [&private, &public] {
            assert_eq!(verify(sha256, pem, b"", &signature, b"text"), Ok(true));
            assert_eq!(verify(sha256, pem, b"", &signature, b"other"), Ok(false));
            assert_eq!(verify(sha256, pem, b"", b"x", b"text"), Ok(false));
        }
        assert!(sign(sha256, &public, b"", b"text").is_err());
        assert!(verify(sha256, b"no key", b"", &signature, b"text").is_err());
    }

    #[test]
    fn uuids() {
        let one = uuid().unwrap();
        assert_eq!((one.len(), &one[14..15], one.matches('-').count()), (36, "4", 4));
        assert!("89ab".contains(&one[19..20]) && one != uuid().unwrap());
    }
}
