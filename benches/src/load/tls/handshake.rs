//! The handshake of the lean client: ClientHello, the server's flight, Finished (RFC 8446, section 4).

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;
use openssl::derive::Deriver;
use openssl::pkey::{Id, PKey, Private};
use openssl::sha::Sha256;

use super::record::{self, Keys, Kind, ENCRYPTED, HEADER};
use super::schedule::{self, Secret};
use super::TlsWire;
use crate::Result;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const FINISHED: u8 = 20;
const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];
const TLS_AES_128_GCM_SHA256: [u8; 2] = [0x13, 0x01];
const X25519: [u8; 2] = [0x00, 0x1d];
const TLS_1_3: [u8; 2] = [0x03, 0x04];
/// What the server's flight may take; a larger one is an error.
const MOST_FLIGHT: usize = 65_536;

/// What all connections have in common: the key share, and with it the ClientHello.
pub struct Identity {
    key: PKey<Private>,
    hello: Vec<u8>,
}

/// A connection whose ClientHello was sent.
pub struct Hello {
    stream: TcpStream,
    /// The hash of the transcript so far.
    transcript: Sha256,
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl Identity {
    /// With a new key.
    pub fn new() -> Result<Identity> {
        let key = PKey::generate_x25519()?;
        let hello = client_hello(&key.raw_public_key()?);
        Ok(Identity { key, hello })
    }

    fn shared_secret(&self, share: &[u8]) -> Result<Vec<u8>> {
        let share = PKey::public_key_from_raw_bytes(share, Id::X25519)?;
        let mut deriver = Deriver::new(&self.key)?;
        deriver.set_peer(&share)?;
        Ok(deriver.derive_to_vec()?)
    }
}

/// A ClientHello with one of everything. The session number is there for middleboxes, and is what makes the
/// server send ChangeCipherSpec, as with an ordinary client.
fn client_hello(share: &[u8]) -> Vec<u8> {
    let extensions = [
        extension(43, &[&[2], &TLS_1_3[..]].concat()),
        extension(10, &[&[0, 2], &X25519[..]].concat()),
        extension(51, &[&[0, 36], &X25519[..], &[0, 32], share].concat()),
        // ecdsa_secp256r1_sha256 and rsa_pss_rsae_sha256.
        extension(13, &[0, 4, 0x04, 0x03, 0x08, 0x04]),
        // Without a mode of using tickets the server would send none.
        extension(45, &[1, 1]),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[0x5a; 32],
        &[32],
        &[0xa5; 32],
        &[0, 2],
        &TLS_AES_128_GCM_SHA256,
        &[1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    message(CLIENT_HELLO, &body)
}

fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = (body.len() as u32).to_be_bytes();
    [&[kind, high, middle, low], body].concat()
}

impl Hello {
    /// Sends the ClientHello.
    pub fn send(identity: &Identity, mut stream: TcpStream) -> Result<Hello> {
        let hello = &identity.hello;
        let record = [&[Kind::Handshake as u8, 3, 1], &(hello.len() as u16).to_be_bytes()[..], hello];
        stream.write_all(&record.concat())?;
        let mut transcript = Sha256::new();
        transcript.update(hello);
        Ok(Hello { stream, transcript })
    }

    /// Waits for the server's flight, and answers it, in one piece with a first message (unless that is empty).
    pub fn finish(mut self, identity: &Identity, first: &[u8]) -> Result<TlsWire> {
        let mut flight = Flight { bytes: Vec::with_capacity(4096), taken: 0 };
        let record = flight.next(&mut self.stream)?;
        let share = key_share(plain_handshake(record)?)?;
        self.transcript.update(&record[HEADER..]);
        let secrets =
            schedule::Handshake::new(&identity.shared_secret(&share)?, &self.transcript.clone().finish());

        let mut receiving = Keys::for_receiving(&secrets.server)?;
        let mut messages = Vec::new();
        while !ends_with_finished(&messages) {
            let record = flight.next(&mut self.stream)?;
            if record[0] != ENCRYPTED {
                if *record == CHANGE_CIPHER_SPEC {
                    continue;
                }
                return Err(refusal(record).into());
            }
            match receiving.open(record)? {
                (Kind::Handshake, place) => messages.extend_from_slice(&record[place]),
                _ => return Err("the server refused the handshake".into()),
            }
        }
        self.transcript.update(&messages);
        let transcript: Secret = self.transcript.finish();

        let (client, server) = secrets.application(&transcript);
        let finished = message(FINISHED, &schedule::finished(&secrets.client, &transcript));
        let mut answer = CHANGE_CIPHER_SPEC.to_vec();
        Keys::for_sending(&secrets.client)?.seal(Kind::Handshake, &finished, &mut answer)?;
        let mut sending = Keys::for_sending(&client)?;
        if !first.is_empty() {
            sending.seal(Kind::Data, first, &mut answer)?;
        }
        self.stream.write_all(&answer)?;
        let rest = flight.bytes.split_off(flight.taken);
        Ok(TlsWire::new(self.stream, sending, Keys::for_receiving(&server)?, rest))
    }
}

/// What the server sent, of which the front was taken.
struct Flight {
    bytes: Vec<u8>,
    taken: usize,
}

impl Flight {
    /// The next record; waits for it.
    fn next(&mut self, stream: &mut TcpStream) -> Result<&mut [u8]> {
        loop {
            if let Some(length) = record::length(&self.bytes[self.taken..]) {
                let record = self.taken..self.taken + length;
                self.taken = record.end;
                return Ok(&mut self.bytes[record]);
            }
            if self.bytes.len() >= MOST_FLIGHT {
                return Err("the server's handshake is too long".into());
            }
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer) {
                Ok(0) => return Err("the server closed a connection in the handshake".into()),
                Ok(length) => self.bytes.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("handshake: {error}").into()),
            }
        }
    }
}

/// The one message of an unencrypted record.
fn plain_handshake(record: &[u8]) -> Result<&[u8]> {
    if record[0] == Kind::Handshake as u8 {
        Ok(&record[HEADER..])
    } else {
        Err(refusal(record).into())
    }
}

/// What is wrong with a record that was not expected.
fn refusal(record: &[u8]) -> String {
    match record {
        [21, _, _, _, _, _, alert] => format!("the server refused the handshake with alert {alert}"),
        _ => format!("the server sent a record of type {} in the handshake", record[0]),
    }
}

/// The server's key share, when the ServerHello is the expected one.
fn key_share(hello: &[u8]) -> Result<[u8; 32]> {
    let malformed = || "the server sent a malformed hello";
    let mut reader = Reader(hello);
    let kind = reader.take(4).ok_or_else(malformed)?[0];
    if kind != SERVER_HELLO {
        return Err("the server did not begin with its hello".into());
    }
    // Version and random; the session's number; cipher suite; compression.
    reader.take(2 + 32).ok_or_else(malformed)?;
    reader.block(1).ok_or_else(malformed)?;
    if reader.take(2) != Some(&TLS_AES_128_GCM_SHA256) {
        return Err("the server chose a cipher suite that was not offered".into());
    }
    reader.take(1).ok_or_else(malformed)?;
    let mut extensions = Reader(reader.block(2).ok_or_else(malformed)?);
    while let Some(number) = extensions.take(2) {
        let content = extensions.block(2).ok_or_else(malformed)?;
        // A request to try again holds a group alone, which is shorter.
        if number == [0, 51] && content.len() == 36 && content[..2] == X25519 {
            return Ok(content[4..].try_into()?);
        }
    }
    Err("the server sent no key share for X25519 (not TLS 1.3?)".into())
}

/// Whether these complete messages end with Finished.
fn ends_with_finished(messages: &[u8]) -> bool {
    let mut reader = Reader(messages);
    while let Some(kind) = reader.take(1) {
        let kind = kind[0];
        if reader.block(3).is_none() {
            return false;
        }
        if kind == FINISHED {
            return true;
        }
    }
    false
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    /// Takes what stands behind its length, which has so many bytes.
    fn block(&mut self, length_bytes: usize) -> Option<&'a [u8]> {
        let length = self.take(length_bytes)?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_flight() {
        let certificate = message(11, &[0; 300]);
        let finished = message(FINISHED, &[0; 32]);
        let all = [&certificate[..], &finished].concat();
        assert!(!ends_with_finished(&[]));
        assert!(!ends_with_finished(&certificate));
        assert!(!ends_with_finished(&all[..all.len() - 1]));
        assert!(ends_with_finished(&all));
    }

    #[test]
    fn server_hellos() {
        let hello = |suite: [u8; 2], extensions: &[u8]| {
            let length = (extensions.len() as u16).to_be_bytes();
            let body = [&[3, 3][..], &[0; 32], &[0], &suite, &[0], &length, extensions].concat();
            message(SERVER_HELLO, &body)
        };
        let share = extension(51, &[&X25519[..], &[0, 32], &[8; 32]].concat());
        let both = [extension(43, &TLS_1_3), share].concat();
        assert_eq!(key_share(&hello(TLS_AES_128_GCM_SHA256, &both)).unwrap(), [8; 32]);
        assert!(key_share(&hello([0x13, 0x02], &both)).is_err());
        assert!(key_share(&hello(TLS_AES_128_GCM_SHA256, &extension(43, &TLS_1_3))).is_err());
        assert!(key_share(&[SERVER_HELLO, 0, 0]).is_err());
    }
}
