//! A broadcast without Tcl: the limit for `ws::multicast`. It makes the frame once and hands it to every
//! receiver by send(2), one after the other; there is nothing else to it.
//!
//! `bare-send PORT` prints `ready` once it listens on 127.0.0.1. A WebSocket that asks for `/room` receives;
//! each message that comes on one that asks for `/control` goes to all receivers.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket};

use crate::Result;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

type Room = Arc<Mutex<Vec<TcpStream>>>;

/// Runs the server; ends only with an error.
pub fn main(arguments: &[String]) -> Result<()> {
    let [port] = arguments else {
        return Err("usage: bare-send PORT".into());
    };
    let port: u16 = port.parse().map_err(|_| format!("bad port \"{port}\""))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    crate::sys::raise_open_files(0)?;
    println!("ready");
    io::stdout().flush()?;
    let room = Room::default();
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // Who does not manage to connect is not served; the load generator notices.
        let Ok((connection, path)) = shake_hands(stream) else { continue };
        match path.as_str() {
            "/room" => {
                let receiver = connection.get_ref().try_clone()?;
                room.lock().unwrap_or_else(PoisonError::into_inner).push(receiver);
            }
            _ => {
                let room = Arc::clone(&room);
                std::thread::spawn(move || broadcast(connection, &room));
            }
        }
    }
}

fn shake_hands(stream: TcpStream) -> Result<(WebSocket<TcpStream>, String)> {
    let mut path = String::new();
    // The type of the error is tungstenite's.
    #[allow(clippy::result_large_err)]
    let note_path = |request: &Request, response: Response| {
        path = request.uri().path().to_string();
        Ok(response)
    };
    let connection = tungstenite::accept_hdr(stream, note_path).map_err(|error| error.to_string())?;
    Ok((connection, path))
}

/// Sends to all what comes, until the connection ends.
fn broadcast(mut connection: WebSocket<TcpStream>, room: &Room) {
    while let Ok(message) = connection.read() {
        let Message::Text(text) = message else { continue };
        let Ok(length @ 0..=125) = u8::try_from(text.len()) else { continue };
        let frame = [&[0x81, length], text.as_bytes()].concat();
        let mut receivers = room.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.retain_mut(|receiver| receiver.write_all(&frame).is_ok());
    }
}
