//! An HTTP responder on mio and httparse without Tcl: the limit for the HTTP server. What a server with handlers
//! loses against it is the price of the handlers, and of what such a server has to look after.
//!
//! It waits by the loop of [`crate::bare_echo`]; requests have no bodies, `/hello` and `/big` are all that it knows.
//! `bare-http PORT ?CERT KEY?` prints `ready` once it listens on 127.0.0.1.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::LazyLock;

use crate::bare_echo::{listen, send_some, serve, tls, Connection, Served, Socket, Stream, READ_SIZE};
use crate::Result;

/// The body of `/hello`.
pub(crate) const HELLO: &[u8] = b"Hello World!";
/// The length of the body of `/big`.
pub(crate) const BIG: usize = 1 << 20;

/// Runs the server; ends only with an error.
pub fn main(arguments: &[String]) -> Result<()> {
    let (port, certificate) = match arguments {
        [port] => (port, None),
        [port, certificate, key] => (port, Some((certificate, key))),
        _ => return Err("usage: bare-http PORT ?CERT KEY?".into()),
    };
    let listener = listen(port.parse().map_err(|_| format!("bad port \"{port}\""))?)?;
    crate::sys::raise_open_files(0)?;
    match certificate {
        None => serve(listener, |socket| Ok(Responder::new(socket))),
        Some((certificate, key)) => {
            let wrap = tls::wrapper(certificate.as_ref(), key.as_ref())?;
            serve(listener, |socket: Socket| Ok(Responder::new(wrap(socket)?)))
        }
    }
}

/// A complete response, as servers of more worth send it.
fn response(content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: keep-alive\r\n\
         date: Thu, 01 Jan 1970 00:00:00 GMT\r\nserver: bare\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

static HELLO_RESPONSE: LazyLock<Vec<u8>> = LazyLock::new(|| response("text/plain; charset=utf-8", HELLO));
static BIG_RESPONSE: LazyLock<Vec<u8>> =
    LazyLock::new(|| response("application/octet-stream", &vec![b'x'; BIG]));

/// A connection whose requests are answered.
struct Responder<S> {
    stream: S,
    /// The beginning of a request of which the rest has not come yet.
    begun: Vec<u8>,
    /// What the peer has not taken yet, of responses in their order.
    unsent: VecDeque<&'static [u8]>,
}

impl<S: Stream> Responder<S> {
    fn new(stream: S) -> Responder<S> {
        Responder { stream, begun: Vec::new(), unsent: VecDeque::new() }
    }

    /// Answers the complete requests of `bytes`; how much of it they were. `None` for what is no request.
    fn answer(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut fields);
            match request.parse(&bytes[taken..]) {
                Ok(httparse::Status::Complete(length)) => taken += length,
                Ok(httparse::Status::Partial) => break,
                Err(_) => return None,
            }
            match request.path {
                Some("/hello") => self.unsent.push_back(&HELLO_RESPONSE),
                Some("/big") => self.unsent.push_back(&BIG_RESPONSE),
                _ => return None,
            }
            self.send_kept().ok()?;
        }
        Some(taken)
    }

    fn send_kept(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.unsent.front_mut() {
            let sent = send_some(&mut self.stream, bytes)?;
            *bytes = &bytes[sent..];
            if !bytes.is_empty() {
                break;
            }
            self.unsent.pop_front();
        }
        Ok(())
    }
}

impl<S: Stream> Connection for Responder<S> {
    fn socket(&mut self) -> &mut Socket {
        self.stream.socket()
    }

    /// Sends what was kept, then makes one read and answers what came.
    fn serve(&mut self, buffer: &mut [u8; READ_SIZE]) -> Served {
        if !self.unsent.is_empty() && self.send_kept().is_err() {
            return Served::Closed;
        }
        if !self.unsent.is_empty() {
            return Served::Waits;
        }
        let length = match self.stream.read(buffer) {
            Ok(0) => {
                self.stream.say_goodbye();
                return Served::Closed;
            }
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::Waits,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Served::HasMore,
            Err(_) => return Served::Closed,
        };
        let answered = if self.begun.is_empty() {
            let taken = self.answer(&buffer[..length]);
            taken.inspect(|&taken| self.begun.extend_from_slice(&buffer[taken..length]))
        } else {
            self.begun.extend_from_slice(&buffer[..length]);
            let begun = std::mem::take(&mut self.begun);
            let taken = self.answer(&begun);
            taken.inspect(|&taken| self.begun.extend_from_slice(&begun[taken..]))
        };
        match answered {
            None => Served::Closed,
            Some(_) if self.unsent.is_empty() && self.stream.socket().is_readable() => Served::HasMore,
            Some(_) if self.unsent.is_empty() && self.stream.holds_more() => Served::HasMore,
            Some(_) => Served::Waits,
        }
    }
}
