//! A lean TLS 1.3 client (RFC 8446), so that the load generator costs less than the servers that it measures.
//!
//! A client made of OpenSSL needs as much processor time for a request as the fastest server, and more for a
//! handshake. This one takes its primitives from OpenSSL and leaves out what a load generator can do without:
//! - the certificate and its signature are read and not verified;
//! - its own key share is the same for all connections (the server's is not, so no two have the same secrets);
//! - records are decrypted only where their content is looked at ([`Wire::receive`]).
//!
//! What the server sees is an ordinary client: a full handshake with X25519 and TLS_AES_128_GCM_SHA256, in the
//! form that passes old middleboxes, as OpenSSL's own; tickets are accepted (and forgotten), a close is
//! announced.

mod handshake;
mod record;
mod schedule;

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use super::connect::{Received, Wire};
use crate::Result;
pub use handshake::{Hello, Identity};
use record::{Keys, Kind, OVERHEAD};

/// A TLS connection after the handshake.
pub struct TlsWire {
    stream: TcpStream,
    sending: Keys,
    receiving: Keys,
    /// The record that is being sent, and how much of it the socket has taken. Empty when there is none.
    record: Vec<u8>,
    sent: usize,
    /// The beginning of a record of which the rest has not come yet.
    rest: Vec<u8>,
}

/// Makes the whole handshake on a blocking socket.
pub fn connect(identity: &Identity, stream: TcpStream) -> Result<TlsWire> {
    Hello::send(identity, stream)?.finish(identity, &[])
}

impl TlsWire {
    fn new(stream: TcpStream, sending: Keys, receiving: Keys, rest: Vec<u8>) -> TlsWire {
        TlsWire { stream, sending, receiving, record: Vec::new(), sent: 0, rest }
    }

    /// Announces that nothing comes any more.
    pub fn say_goodbye(&mut self) -> Result<()> {
        const CLOSE_NOTIFY: [u8; 2] = [1, 0];
        self.record.clear();
        self.sending.seal(Kind::Alert, &CLOSE_NOTIFY, &mut self.record)?;
        Ok(self.stream.write_all(&self.record)?)
    }

    /// Takes the records in `buffer` apart, and moves their application data to its front. Returns the length
    /// of that and how much of the buffer was taken.
    fn take_records(&mut self, buffer: &mut [u8], content: bool) -> Result<(usize, usize)> {
        let (mut data, mut taken) = (0, 0);
        while let Some(length) = record::length(&buffer[taken..]) {
            let record = taken..taken + length;
            taken = record.end;
            if content {
                let (kind, plain) = self.receiving.open(&mut buffer[record.clone()])?;
                match kind {
                    Kind::Data => {
                        let start = record.start + plain.start;
                        buffer.copy_within(start..start + plain.len(), data);
                        data += plain.len();
                    }
                    // Tickets.
                    Kind::Handshake => {}
                    Kind::Alert => return Err("the server closed a connection".into()),
                }
            } else {
                self.receiving.skip();
                data += length.checked_sub(OVERHEAD).ok_or("the server sent too short a record")?;
            }
        }
        Ok((data, taken))
    }
}

impl Wire for TlsWire {
    const LOOKS_AT_ALL: bool = false;

    fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Would-block means: once more with the same bytes.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(record::MOST)];
        if self.record.is_empty() {
            self.sending.seal(Kind::Data, bytes, &mut self.record).map_err(io::Error::other)?;
        }
        while self.sent < self.record.len() {
            self.sent += self.stream.write(&self.record[self.sent..])?;
        }
        self.record.clear();
        self.sent = 0;
        Ok(bytes.len())
    }

    fn receive(&mut self, buffer: &mut [u8], content: bool) -> io::Result<Received> {
        let kept = self.rest.len();
        let length = self.stream.read(&mut buffer[kept..])?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let more = kept + length == buffer.len();
        buffer[..kept].copy_from_slice(&self.rest);
        self.rest.clear();
        let there = &mut buffer[..kept + length];
        let (data, taken) = self.take_records(there, content).map_err(io::Error::other)?;
        self.rest.extend_from_slice(&there[taken..]);
        Ok(Received { length: data, more })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread::{self, JoinHandle};

    use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream};

    use super::*;
    use crate::certificate::Certificate;

    /// Passes what is sent on in small pieces.
    struct Pieces(std::net::TcpStream, usize);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(&bytes[..bytes.len().min(self.1)])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// OpenSSL echoes what one connection sends, and tells whether that was closed as it should be.
    fn echo_server(piece: usize) -> (TcpStream, JoinHandle<io::Result<usize>>) {
        let certificate = Certificate::make().unwrap();
        let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
        context.set_certificate(&certificate.x509).unwrap();
        context.set_private_key(&certificate.private_key).unwrap();
        let context = context.build();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            let socket = listener.accept()?.0;
            socket.set_nodelay(true)?;
            let mut stream = SslStream::new(Ssl::new(&context)?, Pieces(socket, piece))?;
            stream.accept().map_err(io::Error::other)?;
            let mut buffer = [0; 5000];
            let mut echoed = 0;
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok(echoed),
                    length => {
                        stream.write_all(&buffer[..length])?;
                        echoed += length;
                    }
                }
            }
        });
        client.set_nodelay(true).unwrap();
        (TcpStream::from_std(client), server)
    }

    fn receive(wire: &mut TlsWire, length: usize, content: bool) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let mut got = Vec::new();
        while got.len() < length {
            let received = wire.receive(&mut buffer, content).unwrap();
            got.extend_from_slice(&buffer[..received.length]);
        }
        got
    }

    #[test]
    fn openssl_understands_us() {
        for piece in [1, 7, 100_000] {
            let (socket, server) = echo_server(piece);
            let identity = Identity::new().unwrap();
            let mut wire = connect(&identity, socket).unwrap();
            let mut total = 0;
            for size in [1, 64, 5_000, 16_384] {
                let message: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
                assert_eq!(wire.send(&message).unwrap(), size);
                assert_eq!(receive(&mut wire, size, true), message);
                // What is not looked at is counted, and what follows can be read.
                assert_eq!(wire.send(&message).unwrap(), size);
                assert_eq!(receive(&mut wire, size, false).len(), size);
                total += 2 * size;
            }
            wire.say_goodbye().unwrap();
            assert_eq!(server.join().unwrap().unwrap(), total);
        }
    }

    #[test]
    fn a_first_message_goes_with_the_handshake() {
        let (socket, server) = echo_server(100_000);
        let identity = Identity::new().unwrap();
        let mut wire = Hello::send(&identity, socket).unwrap().finish(&identity, b"first").unwrap();
        assert_eq!(receive(&mut wire, 5, true), b"first");
        wire.say_goodbye().unwrap();
        assert_eq!(server.join().unwrap().unwrap(), 5);
    }

    #[test]
    fn an_end_without_goodbye_is_seen_by_the_server() {
        let (socket, server) = echo_server(100_000);
        let wire = connect(&Identity::new().unwrap(), socket).unwrap();
        drop(wire);
        assert!(server.join().unwrap().is_err());
    }
}
