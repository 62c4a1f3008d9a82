//! Records of TLS 1.3 under AES-128-GCM (RFC 8446, section 5).

use std::ops::Range;

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;

use super::schedule::{expand, Secret};
use crate::Result;

/// The header in front of each record.
pub const HEADER: usize = 5;
/// What stands behind the content: its type, and the tag.
const TRAILER: usize = 1 + TAG;
const TAG: usize = 16;
/// What a record is longer than its content.
pub const OVERHEAD: usize = HEADER + TRAILER;
/// The most content of a record.
pub const MOST: usize = 16_384;
/// The outer type of all encrypted records.
pub const ENCRYPTED: u8 = 23;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Alert = 21,
    Handshake = 22,
    Data = 23,
}

/// The keys of one direction.
pub struct Keys {
    context: CipherCtx,
    iv: [u8; 12],
    /// The number of the next record.
    sequence: u64,
}

/// The length of the record at the front, header included, when all of it is there.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    let length = HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
    (bytes.len() >= length).then_some(length)
}

impl Keys {
    /// For sending, by a traffic secret.
    pub fn for_sending(traffic: &Secret) -> Result<Keys> {
        let mut context = CipherCtx::new()?;
        context.encrypt_init(Some(Cipher::aes_128_gcm()), Some(&expand::<16>(traffic, "key", b"")), None)?;
        Ok(Keys { context, iv: expand(traffic, "iv", b""), sequence: 0 })
    }

    /// For receiving, by a traffic secret.
    pub fn for_receiving(traffic: &Secret) -> Result<Keys> {
        let mut context = CipherCtx::new()?;
        context.decrypt_init(Some(Cipher::aes_128_gcm()), Some(&expand::<16>(traffic, "key", b"")), None)?;
        Ok(Keys { context, iv: expand(traffic, "iv", b""), sequence: 0 })
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }

    /// Appends a record to `out`.
    pub fn seal(&mut self, kind: Kind, content: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let [high, low] = ((content.len() + TRAILER) as u16).to_be_bytes();
        let header = [ENCRYPTED, 3, 3, high, low];
        let start = out.len() + HEADER;
        let end = start + content.len() + 1;
        out.extend_from_slice(&header);
        out.resize(end + TAG, 0);
        let nonce = self.nonce();
        self.context.encrypt_init(None, None, Some(&nonce))?;
        self.context.cipher_update(&header, None)?;
        let length = self.context.cipher_update(content, Some(&mut out[start..]))?;
        self.context.cipher_update(&[kind as u8], Some(&mut out[start + length..]))?;
        self.context.cipher_final(&mut out[end..])?;
        self.context.tag(&mut out[end..])?;
        self.sequence += 1;
        Ok(())
    }

    /// Decrypts a record in place. Returns what it holds and where in it that stands.
    pub fn open(&mut self, record: &mut [u8]) -> Result<(Kind, Range<usize>)> {
        if record.len() < OVERHEAD || record[0] != ENCRYPTED {
            return Err("the server sent a malformed record".into());
        }
        let (header, body) = record.split_at_mut(HEADER);
        let (content, tag) = body.split_at_mut(body.len() - TAG);
        let nonce = self.nonce();
        self.context.decrypt_init(None, None, Some(&nonce))?;
        self.context.cipher_update(header, None)?;
        self.context.cipher_update_inplace(content, content.len())?;
        self.context.set_tag(tag)?;
        self.context.cipher_final(&mut []).map_err(|_| "the server sent a forged record")?;
        self.sequence += 1;
        let end = content.iter().rposition(|&byte| byte != 0).ok_or("the server sent a record of nothing")?;
        let kind = match content[end] {
            21 => Kind::Alert,
            22 => Kind::Handshake,
            23 => Kind::Data,
            other => return Err(format!("the server sent a record of type {other}").into()),
        };
        Ok((kind, HEADER..HEADER + end))
    }

    /// Passes over a record that is not looked at.
    pub fn skip(&mut self) {
        self.sequence += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened() {
        let secret = [7; 32];
        let (mut sending, mut receiving) =
            (Keys::for_sending(&secret).unwrap(), Keys::for_receiving(&secret).unwrap());
        let mut records = Vec::new();
        for size in [0, 1, 64, MOST] {
            records.clear();
            sending.seal(Kind::Data, &vec![9; size], &mut records).unwrap();
            assert_eq!(length(&records), Some(size + OVERHEAD));
            assert_eq!(length(&records[..records.len() - 1]), None);
            let (kind, place) = receiving.open(&mut records).unwrap();
            assert_eq!((kind, place.len()), (Kind::Data, size));
            assert!(records[place].iter().all(|&byte| byte == 9));
        }
        records.clear();
        sending.seal(Kind::Alert, &[1, 0], &mut records).unwrap();
        sending.seal(Kind::Data, b"x", &mut records).unwrap();
        receiving.skip();
        let first = length(&records).unwrap();
        assert_eq!(receiving.open(&mut records[first..]).unwrap().0, Kind::Data);
        records.clear();
        sending.seal(Kind::Data, b"x", &mut records).unwrap();
        records[HEADER] ^= 1;
        assert!(receiving.open(&mut records).is_err());
    }
}
