//! One request and its response, over a connection of its own.
//!
//! Sending and receiving go on at the same time: a server may answer before it
//! has read everything, and then stop reading. Who waits has a deadline: the
//! time for connecting, the idle time, and the time for all of it. While the
//! head of the response is awaited, a byte now and then does not count as
//! activity.

use super::sink::{Content, Output, Pieces, Sink};
use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::connchan::open::{connect_unlisted, Destination, TlsOptions};
use crate::connchan::{home, Channel};
use crate::http::head::{self, ResponseHead};
use crate::http::request::request_block;
use crate::http::response::{malformed, Body};
use crate::net::wait::{wait_any, Direction};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest head of a response.
const MAX_HEAD: usize = 64 << 10;

/// Heads that may come before the final one (`100 Continue` and the like).
const MAX_INTERIM: usize = 16;

/// What one receive takes, and one read of a file that is sent.
const PIECE: usize = 16 << 10;

/// What a request sends behind its head.
pub enum Payload {
    /// Nothing.
    None,
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of a file, from where it stands.
    File(File, u64),
}

impl Payload {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        match self {
            Payload::None => 0,
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::File(_, length) => *length,
        }
    }
}

/// How long a request may take, and how much may come.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For connecting, TLS handshake included.
    pub connect: TimeValue,
    /// Between two signs of life.
    pub idle: TimeValue,
    /// For everything.
    pub total: Option<TimeValue>,
    /// Bytes of content.
    pub content: Option<u64>,
}

/// A request.
pub struct Request {
    /// Method, in any case.
    pub method: String,
    /// Host name for the connection, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A unix socket in place of host and port.
    pub unix_socket: Option<String>,
    /// Settings when TLS is spoken.
    pub tls: Option<TlsOptions>,
    /// Target for the request line.
    pub target: String,
    /// All fields of the head.
    pub fields: Vec<(String, String)>,
    /// What follows the head.
    pub payload: Payload,
    /// Times and sizes.
    pub limits: Limits,
    /// Where the content of the response goes.
    pub output: Output,
    /// Whether content stays compressed.
    pub raw: bool,
}

/// What a request has led to so far.
#[derive(Debug, Default)]
pub struct Reply {
    /// The head of the response; status 0 while there is none.
    pub head: ResponseHead,
    /// The content, once it is over.
    pub content: Option<Content>,
    /// Time since the request was begun.
    pub time: Duration,
    /// Bytes sent and received, heads included.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes of content received.
    pub content_bytes: u64,
    /// It came in chunks.
    pub chunked: bool,
    /// It was decompressed.
    pub decompressed: bool,
}

/// A request that failed.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// What there was until then.
    pub reply: Reply,
}

/// Hears of the final head.
pub type Heads<'a> = &'a mut dyn FnMut(&ResponseHead) -> Result<()>;

/// What the caller hears meanwhile.
#[derive(Default)]
pub struct Hooks<'a> {
    /// The final head has come; an error ends the request.
    pub head: Option<Heads<'a>>,
    /// A piece of content, for `Output::Caller`.
    pub piece: Option<Pieces<'a>>,
    /// Readable when the request is to end at once.
    pub stop: Option<UnixStream>,
}

/// Makes a request, waiting for the end of the response.
///
/// # Errors
/// The connection cannot be made, is cut, or takes too long (errorCode
/// `NS_TIMEOUT`); the response breaks the rules (`NS_HTTP MALFORMED reason`).
pub fn exchange(request: Request, hooks: Hooks) -> std::result::Result<Reply, Box<Failed>> {
    let begun = Instant::now();
    let mut reply = Reply::default();
    let result = run(request, hooks, begun, &mut reply);
    reply.time = begun.elapsed();
    match result {
        Ok(()) => Ok(reply),
        Err(error) => Err(Box::new(Failed { error, reply })),
    }
}

fn run(mut request: Request, mut hooks: Hooks, begun: Instant, reply: &mut Reply) -> Result<()> {
    let block = request_block(&request.method, &request.target, "1.1", &request.fields)?;
    let mut sink = Sink::new(request.output.clone(), request.limits.content, hooks.piece.take())?;
    let total = request.limits.total;
    let connect = total.map_or(request.limits.connect, |total| total.min(request.limits.connect));
    let destination = match &request.unix_socket {
        Some(path) => Destination::Unix(path, &request.host),
        None => Destination::Host(&request.host, request.port),
    };
    let channel = connect_unlisted(&destination, request.tls.take(), connect)?;
    let mut exchange = Exchange {
        channel: Connection(channel),
        begun,
        end: total.map(|total| begun + total.as_duration()),
        idle: request.limits.idle.as_duration(),
        active: Instant::now(),
        stop: hooks.stop.take(),
        sending: Sending { head: Some(block), payload: request.payload },
        send_error: None,
        reply,
    };
    let outcome = exchange.converse(&request.method, request.raw, &mut hooks, &mut sink);
    let count = sink.count();
    reply.content_bytes = count;
    reply.content = Some(sink.into_content());
    if let (Err(_), Some(Content::File(path)), Output::Memory(_)) =
        (&outcome, &reply.content, &request.output)
    {
        // A file of our own making that nobody will hear of.
        let _ = std::fs::remove_file(path);
        reply.content = None;
    }
    outcome
}

/// A channel that is closed in the end, whatever happens.
struct Connection(Arc<Channel>);

impl Drop for Connection {
    fn drop(&mut self) {
        home::close(&self.0);
    }
}

/// What is still to be sent.
struct Sending {
    /// The head, until it has been handed out.
    head: Option<Vec<u8>>,
    payload: Payload,
}

struct Exchange<'a> {
    channel: Connection,
    begun: Instant,
    end: Option<Instant>,
    idle: Duration,
    active: Instant,
    stop: Option<UnixStream>,
    sending: Sending,
    /// Why no more could be sent: told when no response comes, either.
    send_error: Option<Error>,
    reply: &'a mut Reply,
}

impl Exchange<'_> {
    fn converse(&mut self, method: &str, raw: bool, hooks: &mut Hooks, sink: &mut Sink) -> Result<()> {
        let mut inbox = Vec::new();
        self.reply.head = self.receive_head(&mut inbox)?;
        if let Some(hook) = &mut hooks.head {
            hook(&self.reply.head)?;
            self.active = Instant::now();
        }
        let mut body = Body::new(method, &self.reply.head)?;
        self.reply.chunked = body.is_chunked();
        let coding = head::field(&self.reply.head.fields, "content-encoding").filter(|_| !raw);
        self.reply.decompressed = coding.is_some_and(|coding| sink.decode(coding));
        let mut buffer = vec![0; PIECE + 1];
        loop {
            let mut input = inbox.as_slice();
            while let Some(piece) = body.next(&mut input)? {
                sink.take(piece, self.deadline())?;
                self.active = Instant::now();
            }
            inbox.clear();
            if body.is_complete() {
                break;
            }
            match self.receive(&mut buffer, self.active)? {
                0 => {
                    if self.channel.0.status().receive_error == "TRUNCATED" {
                        return Err(malformed("connection was cut"));
                    }
                    body.end()?;
                    break;
                }
                count => {
                    self.active = Instant::now();
                    inbox.extend_from_slice(&buffer[..count]);
                }
            }
        }
        sink.finish(self.deadline())
    }

    /// The final head; what came behind it stays in `inbox`.
    fn receive_head(&mut self, inbox: &mut Vec<u8>) -> Result<ResponseHead> {
        let mut buffer = vec![0; PIECE + 1];
        let mut interim = 0;
        loop {
            let parsed = head::response(inbox);
            let parsed = parsed.map_err(|e| {
                malformed(e.message.strip_prefix("malformed response: ").unwrap_or(&e.message))
            })?;
            if let Some((head, used)) = parsed {
                inbox.drain(..used);
                if head.status >= 200 || head.status == 101 {
                    return Ok(head);
                }
                interim += 1;
                if interim > MAX_INTERIM {
                    return Err(malformed("too many interim responses"));
                }
                continue;
            }
            if inbox.len() > MAX_HEAD {
                return Err(malformed("its head is too long"));
            }
            // Only what is sent counts as activity here.
            match self.receive(&mut buffer, self.active)? {
                0 => {
                    let none = inbox.is_empty();
                    return Err(self.send_error.take().unwrap_or_else(|| {
                        if none {
                            Error::posix("connection closed without a response", libc::ECONNRESET)
                        } else {
                            malformed("connection closed within its head")
                        }
                    }));
                }
                count => inbox.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Receives something, sending meanwhile what there is to be sent.
    fn receive(&mut self, buffer: &mut [u8], since: Instant) -> Result<usize> {
        let mut since = since;
        loop {
            let (sent, room) = self.send();
            if sent {
                since = Instant::now();
                self.active = since;
            }
            match self.channel.0.receive_now(buffer) {
                Ok(None) => {}
                Ok(Some(count)) => {
                    self.reply.received += count as u64;
                    return Ok(count);
                }
                Err(error) => return Err(self.send_error.take().unwrap_or(error)),
            }
            let idle = since + self.idle;
            let until = self.end.map_or(idle, |end| end.min(idle));
            let Some(fd) = self.channel.0.fd() else { return Err(cancelled()) };
            let mut fds = vec![(fd, Direction::Readable)];
            if let Some(direction) = room {
                fds.push((fd, direction));
            }
            let stop: Option<RawFd> = self.stop.as_ref().map(AsRawFd::as_raw_fd);
            fds.extend(stop.map(|fd| (fd, Direction::Readable)));
            let ready = wait_any(&fds, Some(until)).map_err(|e| Error::new(e.to_string()))?;
            // Asked of the clock: a peer that drips always has something.
            if !ready || Instant::now() >= until {
                return Err(self.timed_out());
            }
            if stop.is_some_and(crate::net::wait::is_readable) {
                return Err(cancelled());
            }
        }
    }

    /// Sends what goes out without waiting: whether anything did, and what to
    /// wait for when there is more.
    fn send(&mut self) -> (bool, Option<Direction>) {
        let mut any = false;
        let mut fresh = Vec::new();
        while self.send_error.is_none() {
            match self.channel.0.send_now(&fresh) {
                Ok((count, room)) => {
                    any |= count > 0;
                    self.reply.sent += count;
                    if let Some(room) = room {
                        // What the channel keeps has to go first.
                        return (any, Some(room.direction));
                    }
                }
                Err(error) => self.fail_sending(error),
            }
            match self.sending.next() {
                Ok(Some(piece)) => fresh = piece,
                Ok(None) => break,
                Err(error) => self.fail_sending(error),
            }
        }
        (any, None)
    }

    /// A server that does not read on may have answered all the same.
    fn fail_sending(&mut self, error: Error) {
        let told = error.message.split_once("send operation failed: ").map(|(_, reason)| reason.to_owned());
        self.send_error = Some(Error { message: told.unwrap_or(error.message), code: error.code });
    }

    /// Until when the present step may last.
    fn deadline(&self) -> Instant {
        let idle = Instant::now() + self.idle;
        self.end.map_or(idle, |end| end.min(idle))
    }

    fn timed_out(&self) -> Error {
        Error::timeout(format!("http request timeout after {:.6}s", self.begun.elapsed().as_secs_f64()))
    }
}

/// The error of a request that was ended from outside.
pub fn cancelled() -> Error {
    Error::with_code("http request cancelled", &["NS_HTTP", "CANCELLED"])
}

impl Sending {
    /// The next piece to send, if there is one.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        match std::mem::replace(&mut self.payload, Payload::None) {
            Payload::None | Payload::File(_, 0) => Ok(None),
            Payload::Bytes(bytes) => Ok(Some(bytes)),
            Payload::File(mut file, left) => {
                let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
                let count = file.read(&mut piece).map_err(|e| Error::new(e.to_string()))?;
                if count == 0 {
                    return Err(Error::new("the file with the request's body is shorter than it was"));
                }
                piece.truncate(count);
                self.payload = Payload::File(file, left - count as u64);
                Ok(Some(piece))
            }
        }
    }
}
