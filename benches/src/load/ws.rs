//! WebSocket as the load generator speaks it: an opening handshake, and frames that were made before the
//! time counts.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

use super::connect::{Received, Wire};
use crate::Result;

/// Any key will do: it tells a server that it is not spoken to by mistake, and nothing else.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Masking is work whatever the key is, but not where it is all zeros and somebody looks.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// More than any answer to a handshake.
const MAX_HEAD: usize = 8192;

/// What a message is.
#[derive(Clone, Copy, PartialEq)]
pub enum Opcode {
    Text = 1,
    Binary = 2,
}

/// A WebSocket after its handshake.
pub struct Stream(TcpStream);

impl Wire for Stream {
    const LOOKS_AT_ALL: bool = true;
    /// The message `?`, masked by zeros.
    const GREETING: &'static [u8] = b"\x82\x81\0\0\0\0?";
    const WELCOME: &'static [u8] = b"\x82\x01?";

    fn socket(&mut self) -> &mut TcpStream {
        &mut self.0
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8], content: bool) -> io::Result<Received> {
        self.0.receive(buffer, content)
    }
}

/// Makes the opening handshake on a connected, blocking socket. No extension is offered.
pub fn connect(mut socket: TcpStream, path: &str) -> Result<Stream> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // What follows the head belongs to somebody else, but no server sends without being asked.
        let mut piece = [0; 1024];
        match socket.read(&mut piece).map_err(|error| format!("waiting for the handshake: {error}"))? {
            0 => return Err("the server closed a connection in its handshake".into()),
            length => head.extend_from_slice(&piece[..length]),
        }
        if head.len() > MAX_HEAD {
            return Err("the answer to the handshake does not end".into());
        }
    }
    if is_accepted(&String::from_utf8_lossy(&head)) {
        Ok(Stream(socket))
    } else {
        Err(format!("the server refused: {}", String::from_utf8_lossy(&head)).into())
    }
}

fn is_accepted(head: &str) -> bool {
    let wanted = derive_accept_key(KEY.as_bytes());
    let field = |line: &str| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("Sec-WebSocket-Accept") && value.trim() == wanted
        })
    };
    head.starts_with("HTTP/1.1 101 ") && head.lines().any(field)
}

/// A whole message as a server wants it: masked.
pub fn masked_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len());
    frame[1] |= 0x80;
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A whole message as a server sends it.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len());
    frame.extend_from_slice(payload);
    frame
}

fn header(opcode: Opcode, length: usize) -> Vec<u8> {
    let mut header = vec![0x80 | opcode as u8];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => header.push(length),
        (_, Ok(length)) => {
            header.push(126);
            header.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::Role;
    use tungstenite::{Message, WebSocket};

    /// What tungstenite makes of some bytes.
    fn understood(role: Role, bytes: Vec<u8>) -> Message {
        WebSocket::from_raw_socket(io::Cursor::new(bytes), role, None).read().unwrap()
    }

    #[test]
    fn frames_of_all_lengths_are_understood() {
        for length in [0, 1, 125, 126, 16_384, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|index| (index % 127) as u8).collect();
            let text = String::from_utf8(payload.clone()).unwrap();
            let sent = understood(Role::Server, masked_frame(Opcode::Binary, &payload));
            assert_eq!(sent, Message::binary(payload.clone()));
            let sent = understood(Role::Server, masked_frame(Opcode::Text, &payload));
            assert_eq!(sent, Message::text(text));
            let answer = understood(Role::Client, frame(Opcode::Binary, &payload));
            assert_eq!(answer, Message::binary(payload));
        }
    }

    #[test]
    fn greetings_are_frames() {
        assert_eq!(understood(Role::Server, Stream::GREETING.into()), Message::binary("?"));
        assert_eq!(Stream::WELCOME, frame(Opcode::Binary, b"?"));
    }

    #[test]
    fn only_the_right_answer_is_accepted() {
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert!(is_accepted(head));
        assert!(!is_accepted(&head.replace("xOo=", "xOO=")));
        assert!(!is_accepted(&head.replace("101", "200")));
    }
}
