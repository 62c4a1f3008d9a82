//! A WebSocket echo server on mio and tungstenite without Tcl: the limit for WebSocket connections.
//!
//! It waits by the loop of [`crate::bare_echo`], so that nothing is asked of the kernel in vain; answers are
//! collected in tungstenite's write buffer and sent once all that was received is answered. There is no
//! compression. `bare-ws PORT` prints `ready` once it listens on 127.0.0.1.

use std::io::{self, ErrorKind};

use tungstenite::handshake::server::{NoCallback, ServerHandshake};
use tungstenite::handshake::MidHandshake;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, WebSocket};

use crate::bare_echo::{listen, serve, Connection, Served, Socket, READ_SIZE};
use crate::Result;

/// tungstenite fills what is left of this with zeros before each read, so that its default of 128 KiB costs more
/// than the rest of a short message. The fastest of the sizes tried, from 1 to 128 KiB, for messages of 64 bytes as
/// for those of 16 KiB: a frame of these comes in one read.
const READ_BUFFER: usize = 17 << 10;

/// Runs the server; ends only with an error.
pub fn main(arguments: &[String]) -> Result<()> {
    let [port] = arguments else {
        return Err("usage: bare-ws PORT".into());
    };
    let listener = listen(port.parse().map_err(|_| format!("bad port \"{port}\""))?)?;
    crate::sys::raise_open_files(0)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    serve(listener, |socket| {
        Ok(Echo(State::Shaking(Some(ServerHandshake::start(socket, NoCallback, Some(config))))))
    })
}

struct Echo(State);

// Boxing the larger one would cost the smaller one its speed.
#[allow(clippy::large_enum_variant)]
enum State {
    /// The opening handshake; `None` for the moment in which it goes on.
    Shaking(Option<MidHandshake<ServerHandshake<Socket, NoCallback>>>),
    Open(WebSocket<Socket>),
}

impl Connection for Echo {
    fn socket(&mut self) -> &mut Socket {
        match &mut self.0 {
            State::Shaking(handshake) => {
                handshake.as_mut().expect("put back after each step").get_mut().get_mut()
            }
            State::Open(connection) => connection.get_mut(),
        }
    }

    fn serve(&mut self, _buffer: &mut [u8; READ_SIZE]) -> Served {
        if let State::Shaking(handshake) = &mut self.0 {
            match handshake.take().expect("put back after each step").handshake() {
                Ok(connection) => self.0 = State::Open(connection),
                Err(HandshakeError::Interrupted(rest)) => {
                    *handshake = Some(rest);
                    return Served::Waits;
                }
                Err(HandshakeError::Failure(_)) => return Served::Closed,
            }
        }
        match &mut self.0 {
            State::Open(connection) => echo(connection),
            State::Shaking(_) => Served::Waits,
        }
    }
}

/// Answers the messages that have come in.
fn echo(connection: &mut WebSocket<Socket>) -> Served {
    loop {
        let result = match connection.read() {
            Ok(message) if message.is_binary() || message.is_text() => connection.write(message),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {}
            Err(error) if waits(&error) => break,
            Err(_) => return Served::Closed,
        }
    }
    match connection.flush() {
        Ok(()) => Served::Waits,
        // What is left goes with the next event that says there is room.
        Err(error) if waits(&error) => Served::Waits,
        Err(_) => Served::Closed,
    }
}

fn waits(error: &Error) -> bool {
    matches!(error, Error::Io(error) if is_wait(error))
}

fn is_wait(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
