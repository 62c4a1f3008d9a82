//! The receiving side of a connection, in the home of its channel: the opening
//! handshake, messages to scripts, keepalive, the orderly end.
//!
//! Everything that was received at once is decoded before the first script is
//! called, up to a limit; what it says waits in a queue. So the buffer that
//! all connections of a thread share is free again when scripts run.

use super::greeting::{accept, answered, is_upgrade, path, request, response, Accepted, Refusal};
use super::link::{Link, Receiver, State};
use super::settings::{header_fields, Settings, MAX_HEAD};
use crate::base::{log, Error, Result};
use crate::connchan::home::log_script_error;
use crate::connchan::native::{Native, Turn};
use crate::connchan::Channel;
use crate::http::head::{self, field, RequestHead};
use crate::reactor::{MAYBE_READABLE, READABLE, WRITABLE};
use crate::tcl::script::{Completion, Script};
use crate::tcl::{Interp, Obj};
use crate::websocket::{close, Event, Opcode, Role};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages and bytes that are decoded before scripts have their turn.
const MAX_QUEUE: (usize, usize) = (256, 1 << 20);

/// Receives of one turn that call no script, before other channels have theirs.
const RECEIVES: usize = 16;

/// Room in the queue that is kept when it is empty, in events.
const KEPT_QUEUE: usize = 16;

/// What a script is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Text,
    Binary,
    Pong,
    Drain,
    Close,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::Open, "open"),
    (Kind::Text, "text"),
    (Kind::Binary, "binary"),
    (Kind::Pong, "pong"),
    (Kind::Drain, "drain"),
    (Kind::Close, "close"),
];

thread_local! {
    /// The words for the kinds. Without a destructor: values of Tcl's cannot be
    /// given back when Tcl has gone.
    static WORDS: std::mem::ManuallyDrop<Vec<Obj>> =
        std::mem::ManuallyDrop::new(KINDS.iter().map(|(_, name)| Obj::from_str(name)).collect());
}

fn word(kind: Kind) -> Obj {
    WORDS.with(|words| words[kind as usize].clone())
}

/// How far the connection is, seen from here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A server waits for the request, a client for the answer.
    Greeting,
    /// A script decides about the request.
    Deciding,
    /// Messages come and go.
    Open,
    /// Our close frame is sent; the peer's is awaited.
    Closing,
    /// The peer's close frame has come, or something that is none of the
    /// protocol: to be answered when scripts have had what came before.
    Ending,
    /// All is said. What still comes in is not looked at; the peer closes, or
    /// has heard from us that we do.
    Lingering,
    /// Nothing is left but the last events.
    Over,
}

/// The script that runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    Event,
    Authorize,
    Http,
}

/// The scripts of a connection.
pub struct Scripts {
    /// Called with channel, event and data.
    pub event: Rc<Script>,
    /// Called with channel and request; whether to accept it.
    pub authorize: Option<Rc<Script>>,
    /// Called with channel and request that asks for something else; status,
    /// type and body of the answer.
    pub http: Option<Rc<Script>>,
}

/// What the peer has said last, or done wrong.
struct Ending {
    /// For our close frame: a code unless the peer gave none, and a reason.
    answer: (Option<u16>, &'static str),
    /// For the script.
    code: u16,
    reason: String,
}

struct Inner {
    phase: Phase,
    queue: VecDeque<(Kind, Obj)>,
    queued_bytes: usize,
    /// How it ends.
    ending: Option<Box<Ending>>,
    /// When the phase began, or in the open phase when the peer was last heard.
    since: Instant,
    /// A ping is unanswered.
    pinged: bool,
    /// Our last byte is sent, and the peer knows.
    finished: bool,
    running: Running,
    /// Of a client: the key of the request.
    key: Option<Box<str>>,
    /// Of a server: what is being decided.
    pending: Option<Box<(Accepted, RequestHead)>>,
}

/// A connection in its home.
pub struct Talk {
    id: u64,
    handle: Obj,
    link: Arc<Link>,
    scripts: Scripts,
    inner: RefCell<Inner>,
}

/// The connection goes, in whatever way: nobody multicasts to it any more.
impl Drop for Talk {
    fn drop(&mut self) {
        self.link.over(self.id);
    }
}

impl Talk {
    /// A connection whose opening handshake is still to be made. `head` is the
    /// request when that has been read already.
    ///
    /// # Errors
    /// Of a client: its request cannot be made.
    pub fn new(
        channel: &Arc<Channel>,
        link: Arc<Link>,
        scripts: Scripts,
        head: Option<RequestHead>,
    ) -> Result<Talk> {
        let settings = Arc::clone(link.settings());
        link.settle();
        let handle = Obj::from_str(&channel.name());
        handle.cache(Arc::clone(channel));
        let mut inner = Inner {
            phase: Phase::Greeting,
            queue: VecDeque::new(),
            queued_bytes: 0,
            ending: None,
            since: Instant::now(),
            pinged: false,
            finished: false,
            running: Running::Event,
            key: None,
            pending: None,
        };
        if settings.role == Role::Client {
            let (key, bytes) = request(&settings)?;
            // Where there is no connection the script is told so by an event.
            let _ = channel.send_now(&bytes);
            inner.key = Some(key.into());
        }
        let talk = Talk { id: channel.id(), handle, link, scripts, inner: RefCell::new(inner) };
        if let Some(head) = head {
            let mut inner = talk.inner.borrow_mut();
            match accept(&head, talk.link.settings()) {
                Ok(accepted) => talk.welcome(channel, &mut inner, accepted, &head),
                Err(refusal) => talk.refuse(channel, &mut inner, &refusal),
            }
        }
        Ok(talk)
    }

    /// Whether a server with these settings accepts a request.
    pub fn would_accept(head: &RequestHead, settings: &Settings) -> bool {
        accept(head, settings).is_ok()
    }

    /// When to look at the time again.
    fn deadline(&self, inner: &Inner) -> Option<Instant> {
        let wait = match inner.phase {
            Phase::Greeting => self.link.settings().handshake_wait,
            Phase::Open if inner.pinged => self.link.settings().pong_wait,
            Phase::Open => self.link.settings().ping,
            Phase::Closing | Phase::Lingering => self.link.settings().close_wait,
            Phase::Deciding | Phase::Ending | Phase::Over => return None,
        };
        let wait: Duration = wait.as_duration();
        (!wait.is_zero()).then(|| inner.since + wait)
    }

    /// Looks whether somebody has closed the connection, in whatever thread.
    fn notice_close(&self, inner: &mut Inner) {
        match inner.phase {
            Phase::Open => {
                if let Some(reason) = self.link.dropped() {
                    self.lost(inner, reason);
                } else if self.link.state() == State::Closing {
                    inner.phase = Phase::Closing;
                    inner.since = Instant::now();
                    // Messages count no more; that it was open still does.
                    inner.queue.retain(|(kind, _)| *kind == Kind::Open);
                    inner.queued_bytes = 0;
                }
            }
            Phase::Greeting | Phase::Deciding if self.link.state() == State::Closing => {
                inner.pending = None;
                if self.link.settings().role == Role::Client {
                    self.lost(inner, "closed before it was open");
                } else {
                    inner.phase = Phase::Over;
                }
            }
            _ => {}
        }
    }

    /// A time has come.
    fn expire(&self, channel: &Channel, inner: &mut Inner, now: Instant) {
        match inner.phase {
            Phase::Open if !inner.pinged => {
                let _ = self.link.send_control(channel, Opcode::Ping, b"");
                inner.pinged = !self.link.settings().pong_wait.is_zero();
                inner.since = now;
            }
            Phase::Open => self.lost(inner, "no answer to ping"),
            Phase::Closing => self.lost(inner, "no answer to close"),
            Phase::Greeting if self.link.settings().role == Role::Client => {
                self.lost(inner, "no answer to the opening handshake");
            }
            _ => inner.phase = Phase::Over,
        }
    }

    /// The connection is gone without a closing handshake (RFC 6455 section
    /// 7.1.5: such a close has the code 1006).
    fn lost(&self, inner: &mut Inner, reason: &str) {
        self.tell_close(inner, close::ABNORMAL, reason);
        inner.phase = Phase::Over;
    }

    /// Queues the last event.
    fn tell_close(&self, inner: &mut Inner, code: u16, reason: &str) {
        let data = Obj::from_list(&[Obj::from_int(i64::from(code)), Obj::from_str(reason)]);
        inner.queue.push_back((Kind::Close, data));
        self.link.over(self.id);
    }

    /// Answers the peer's last word, and tells the script.
    fn end(&self, channel: &Channel, inner: &mut Inner) {
        if let Some(ending) = inner.ending.take() {
            let Ending { answer, code, reason } = *ending;
            let _ = self.link.close(channel, answer.0, answer.1);
            self.tell_close(inner, code, &reason);
        }
        self.linger(inner);
    }

    /// Turns to the time after the last frame.
    fn linger(&self, inner: &mut Inner) {
        inner.phase = Phase::Lingering;
        inner.since = Instant::now();
        // A client waits for the server to close (RFC 6455 section 7.1.1).
        inner.finished = self.link.settings().role == Role::Client;
    }

    /// Receives, and makes something of it. `None` when there is more to do;
    /// else the end of the turn.
    fn receive(
        &self,
        channel: &Arc<Channel>,
        inner: &mut Inner,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Turn> {
        let mut receiver = self.link.receiver();
        // Scripts had to have their turn before all of it was decoded.
        if !receiver.inbox.is_empty() && inner.phase != Phase::Greeting {
            self.decode_inbox(channel, inner, &mut receiver);
            if !inner.queue.is_empty() || inner.phase == Phase::Ending {
                return None;
            }
        }
        if channel.readiness.get() & (READABLE | MAYBE_READABLE) == 0 {
            // There will be an edge.
            return Some(Turn::Rest(self.deadline(inner)));
        }
        let count = match channel.receive_now(buffer) {
            Ok(None) => return Some(Turn::Rest(self.deadline(inner))),
            Ok(Some(0)) => {
                drop(receiver);
                self.ended(inner, "connection closed");
                return None;
            }
            Ok(Some(count)) => count,
            Err(error) => {
                drop(receiver);
                self.ended(inner, &error.message);
                return None;
            }
        };
        if inner.phase == Phase::Greeting {
            receiver.inbox.extend_from_slice(&buffer[..count]);
            return self.greet(channel, inner, &mut receiver);
        }
        if matches!(inner.phase, Phase::Open) {
            inner.since = now;
            inner.pinged = false;
        }
        if receiver.inbox.is_empty() {
            let used = self.decode(channel, inner, &mut receiver, &mut buffer[..count]);
            if used < count {
                receiver.inbox.extend_from_slice(&buffer[used..count]);
            }
        } else {
            receiver.inbox.extend_from_slice(&buffer[..count]);
            self.decode_inbox(channel, inner, &mut receiver);
        }
        receiver.decoder.release();
        None
    }

    /// Decodes what was received earlier.
    fn decode_inbox(&self, channel: &Channel, inner: &mut Inner, receiver: &mut Receiver) {
        let mut inbox = std::mem::take(&mut receiver.inbox);
        let used = self.decode(channel, inner, receiver, &mut inbox);
        if used < inbox.len() {
            inbox.drain(..used);
            receiver.inbox = inbox;
        }
    }

    /// The peer has closed, or the connection has broken.
    fn ended(&self, inner: &mut Inner, reason: &str) {
        match inner.phase {
            Phase::Open | Phase::Closing => self.lost(inner, reason),
            Phase::Greeting if self.link.settings().role == Role::Client => self.lost(inner, reason),
            _ => inner.phase = Phase::Over,
        }
    }

    /// Decodes frames into the queue; the number of bytes that are done with.
    fn decode(
        &self,
        channel: &Channel,
        inner: &mut Inner,
        receiver: &mut Receiver,
        input: &mut [u8],
    ) -> usize {
        let mut used = 0;
        while used < input.len() && inner.queue.len() < MAX_QUEUE.0 && inner.queued_bytes < MAX_QUEUE.1 {
            let step = match receiver.decoder.decode(&mut input[used..]) {
                Ok(step) if step.used == 0 => break,
                Ok(step) => step,
                Err(violation) => {
                    // Said to the peer, and to the script.
                    inner.ending = Some(Box::new(Ending {
                        answer: (Some(violation.code), violation.reason),
                        code: violation.code,
                        reason: violation.reason.to_owned(),
                    }));
                    inner.phase = Phase::Ending;
                    return input.len();
                }
            };
            used += step.used;
            let (kind, data) = match step.event {
                None => continue,
                Some(Event::Text(payload)) => match std::str::from_utf8(payload) {
                    Ok(text) => (Kind::Text, Obj::from_str(text)),
                    Err(_) => continue, // the decoder has checked it
                },
                Some(Event::Binary(payload)) => (Kind::Binary, Obj::from_bytes(payload)),
                Some(Event::Ping(payload)) => {
                    let _ = self.link.send_control(channel, Opcode::Pong, payload);
                    continue;
                }
                // That of a keepalive has no payload, and was heard already.
                Some(Event::Pong([])) => continue,
                Some(Event::Pong(payload)) => (Kind::Pong, Obj::from_bytes(payload)),
                Some(Event::Close(sent)) => {
                    inner.ending = Some(Box::new(Ending {
                        answer: (sent.code(), ""),
                        code: sent.code().unwrap_or(close::NO_STATUS),
                        reason: sent.reason().to_owned(),
                    }));
                    inner.phase = Phase::Ending;
                    return input.len();
                }
            };
            // After our own close frame messages count no more.
            if inner.phase == Phase::Open {
                inner.queued_bytes += step.event.map_or(0, |event| event.payload().len());
                inner.queue.push_back((kind, data));
            }
        }
        used
    }

    /// A head has come in, perhaps whole.
    fn greet(&self, channel: &Arc<Channel>, inner: &mut Inner, receiver: &mut Receiver) -> Option<Turn> {
        let too_long = receiver.inbox.len() > MAX_HEAD;
        if self.link.settings().role == Role::Client {
            match head::response(&receiver.inbox) {
                Ok(Some((head, used))) => {
                    receiver.inbox.drain(..used);
                    let key = inner.key.take().unwrap_or_default();
                    match answered(&head, &key, self.link.settings()) {
                        Ok((protocol, compression)) => {
                            self.begin(inner, compression.as_ref(), receiver);
                            let data =
                                opened(channel, protocol.as_deref(), compression.is_some(), &head.fields);
                            inner.queue.push_back((Kind::Open, data));
                        }
                        Err(error) => self.lost(inner, &error.message),
                    }
                    return None;
                }
                Ok(None) if !too_long => return Some(Turn::Rest(self.deadline(inner))),
                Ok(None) => self.lost(inner, "the answer to the opening handshake is too long"),
                Err(error) => self.lost(inner, &error.message),
            }
            return None;
        }
        match head::request(&receiver.inbox) {
            Ok(Some((head, used))) => {
                receiver.inbox.drain(..used);
                self.judge(channel, inner, receiver, head);
                None
            }
            Ok(None) if !too_long => Some(Turn::Rest(self.deadline(inner))),
            Ok(None) => {
                self.refuse(
                    channel,
                    inner,
                    &Refusal { status: 431, reason: "request head is too long".into() },
                );
                None
            }
            Err(error) => {
                self.refuse(channel, inner, &Refusal { status: 400, reason: error.message });
                None
            }
        }
    }

    fn judge(&self, channel: &Arc<Channel>, inner: &mut Inner, receiver: &mut Receiver, head: RequestHead) {
        if self.scripts.http.is_some() && !is_upgrade(&head) {
            inner.running = Running::Http;
            inner.phase = Phase::Deciding;
            let accepted = Accepted { answer: String::new(), protocol: None, compression: None };
            inner.pending = Some(Box::new((accepted, head)));
            return;
        }
        match accept(&head, self.link.settings()) {
            Ok(accepted) if self.scripts.authorize.is_some() => {
                inner.running = Running::Authorize;
                inner.phase = Phase::Deciding;
                inner.pending = Some(Box::new((accepted, head)));
            }
            Ok(accepted) => {
                self.begin(inner, accepted.compression.as_ref(), receiver);
                self.answer(channel, inner, &accepted, &head);
            }
            Err(refusal) => self.refuse(channel, inner, &refusal),
        }
    }

    /// Accepts from outside of `receive`, where the receiver is not held.
    fn welcome(&self, channel: &Arc<Channel>, inner: &mut Inner, accepted: Accepted, head: &RequestHead) {
        self.begin(inner, accepted.compression.as_ref(), &mut self.link.receiver());
        self.answer(channel, inner, &accepted, head);
    }

    /// From here on frames are spoken.
    fn begin(
        &self,
        inner: &mut Inner,
        compression: Option<&crate::websocket::extension::Params>,
        receiver: &mut Receiver,
    ) {
        self.link.open(compression, receiver);
        inner.phase = Phase::Open;
        inner.since = Instant::now();
    }

    fn answer(&self, channel: &Arc<Channel>, inner: &mut Inner, accepted: &Accepted, head: &RequestHead) {
        let _ = channel.send_now(accepted.answer.as_bytes());
        let mut data = request_dict(channel, head);
        data.push(("protocol", Obj::from_str(accepted.protocol.as_deref().unwrap_or_default())));
        data.push(("compression", Obj::from_int(i64::from(accepted.compression.is_some()))));
        inner.queue.push_back((Kind::Open, Obj::from_pairs(data)));
    }

    fn refuse(&self, channel: &Channel, inner: &mut Inner, refusal: &Refusal) {
        let body = format!("{}\n", refusal.reason);
        let bytes = response(refusal.status, "text/plain; charset=utf-8", &[], body.as_bytes(), false);
        let _ = channel.send_now(&bytes);
        self.linger(inner);
    }

    /// Reads away what comes after the end.
    fn discard(&self, channel: &Channel, inner: &mut Inner, buffer: &mut [u8]) -> Turn {
        if !inner.finished && channel.finish_sending() {
            inner.finished = true;
        }
        for _ in 0..RECEIVES {
            match channel.receive_now(buffer) {
                Ok(None) => return Turn::Rest(self.deadline(inner)),
                Ok(Some(0)) | Err(_) => return Turn::Close,
                Ok(Some(_)) => {}
            }
        }
        self.rest_unread(channel, inner)
    }

    /// Lets other channels have their turn, with more to read.
    fn rest_unread(&self, channel: &Channel, inner: &Inner) -> Turn {
        channel.readiness.set(MAYBE_READABLE);
        Turn::Rest(self.deadline(inner))
    }

    /// The script that decides about a request.
    fn ask(&self, channel: &Arc<Channel>, inner: &Inner, words: &mut Vec<Obj>) -> Option<Turn> {
        let (_, head) = &**inner.pending.as_ref()?;
        let script = match inner.running {
            Running::Http => self.scripts.http.as_ref(),
            _ => self.scripts.authorize.as_ref(),
        };
        words.extend([self.handle.clone(), Obj::from_pairs(request_dict(channel, head))]);
        Some(Turn::Call(Rc::clone(script?)))
    }

    /// Sends what a script has returned as the answer: status, type, body and
    /// perhaps more header fields. The body is sent as UTF-8 unless it is bytes.
    fn respond(&self, channel: &Channel, inner: &mut Inner, result: &Obj) {
        let head_only = inner.pending.take().is_some_and(|p| p.1.method == "HEAD");
        let bytes = scripted_response(result, head_only).unwrap_or_else(|error| {
            let (name, reason) = (channel.name(), error.message);
            log::write(log::ERROR, &format!("{name}: script returned a bad answer: {reason}"));
            response(500, "text/plain", &[], b"internal error\n", head_only)
        });
        let _ = channel.send_now(&bytes);
        self.linger(inner);
    }
}

impl Native for Talk {
    fn turn(&self, channel: &Arc<Channel>, buffer: &mut [u8], words: &mut Vec<Obj>, now: Instant) -> Turn {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if channel.readiness.get() & WRITABLE != 0 {
            channel.readiness.clear(WRITABLE);
            if self.link.flush(channel) && inner.phase == Phase::Open {
                inner.queue.push_back((Kind::Drain, Obj::empty()));
            }
        }
        if self.link.is_disturbed() {
            self.notice_close(inner);
        }
        if let Some(at) = self.deadline(inner) {
            if at <= now {
                self.expire(channel, inner, now);
            }
        }
        let mut receives = 0;
        loop {
            if let Some((kind, data)) = inner.queue.pop_front() {
                if inner.queue.is_empty() {
                    inner.queued_bytes = 0;
                    if inner.queue.capacity() > KEPT_QUEUE {
                        inner.queue = VecDeque::new();
                    }
                }
                inner.running = Running::Event;
                words.extend([self.handle.clone(), word(kind), data]);
                return Turn::Call(Rc::clone(&self.scripts.event));
            }
            match inner.phase {
                Phase::Over => return Turn::Close,
                Phase::Ending => self.end(channel, inner),
                Phase::Lingering => return self.discard(channel, inner, buffer),
                Phase::Deciding => match self.ask(channel, inner, words) {
                    Some(turn) => return turn,
                    None => inner.phase = Phase::Over,
                },
                Phase::Greeting | Phase::Open | Phase::Closing => {
                    receives += 1;
                    if receives > RECEIVES {
                        return self.rest_unread(channel, inner);
                    }
                    if let Some(turn) = self.receive(channel, inner, buffer, now) {
                        return turn;
                    }
                }
            }
        }
    }

    fn finished(&self, channel: &Arc<Channel>, interp: Interp, completion: Completion, _code: i32) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let failed = matches!(completion, Completion::Error(_));
        if let Completion::Error(message) = &completion {
            log_script_error(interp, message, "websocket proc");
        }
        match (inner.running, completion) {
            // It has closed the connection that it was asked about.
            (Running::Http | Running::Authorize, _) if self.link.state() == State::Closing => {
                inner.pending = None;
                inner.phase = Phase::Over;
            }
            (Running::Event, _) => {
                if failed {
                    let _ = self.link.close(channel, Some(close::INTERNAL_ERROR), "internal error");
                }
            }
            (Running::Http, Completion::Ok(result)) => self.respond(channel, inner, &result),
            (Running::Authorize, Completion::Ok(result)) => {
                let Some(pending) = inner.pending.take() else { return };
                if result.boolean() == Some(true) {
                    self.welcome(channel, inner, pending.0, &pending.1);
                } else if result.elements().is_some_and(|elements| elements.len() > 1) {
                    inner.pending = Some(pending);
                    self.respond(channel, inner, &result);
                } else {
                    let reason = "not allowed".to_owned();
                    self.refuse(channel, inner, &Refusal { status: 403, reason });
                }
            }
            (Running::Http | Running::Authorize, Completion::Error(_)) => {
                inner.pending = None;
                let reason = "internal error".to_owned();
                self.refuse(channel, inner, &Refusal { status: 500, reason });
            }
        }
    }

    fn farewell(&self, channel: &Arc<Channel>) {
        let _ = self.link.close(channel, Some(close::GOING_AWAY), "");
    }
}

/// The bytes of an answer that a script has returned.
fn scripted_response(result: &Obj, head_only: bool) -> Result<Vec<u8>> {
    let elements = result.elements().unwrap_or_default();
    let [status, content_type, body, more @ ..] = elements.as_slice() else {
        return Err(Error::new("expected a list of status, content type, body and perhaps headers"));
    };
    let fields: Vec<String> = match more {
        [] => Vec::new(),
        [fields] => {
            fields.elements().unwrap_or_default().iter().map(|element| element.text().into_owned()).collect()
        }
        _ => return Err(Error::new("expected at most four elements")),
    };
    let fields = header_fields(&fields)?;
    let number = status.int().ok().and_then(|s| u16::try_from(s).ok()).filter(|s| (200..600).contains(s));
    let number = number.ok_or_else(|| {
        Error::new(format!("expected a status from 200 to 599 but got \"{}\"", status.text()))
    })?;
    let text;
    let body = if body.is_pure_bytes() {
        body.bytes()?
    } else {
        text = body.text();
        text.as_bytes()
    };
    Ok(response(number, &content_type.text(), &fields, body, head_only))
}

/// A request as scripts see it.
fn request_dict(channel: &Channel, head: &RequestHead) -> Vec<(&'static str, Obj)> {
    let text = Obj::from_str;
    vec![
        ("method", text(&head.method)),
        ("path", text(path(head))),
        ("query", text(head.target.split_once('?').map_or("", |(_, query)| query))),
        ("host", text(field(&head.fields, "Host").unwrap_or_default())),
        ("peer", text(&channel.status().peer)),
        ("headers", fields(&head.fields)),
    ]
}

/// What a client is told when its connection is open.
fn opened(channel: &Channel, protocol: Option<&str>, compression: bool, head: &[(String, String)]) -> Obj {
    Obj::from_pairs([
        ("protocol", Obj::from_str(protocol.unwrap_or_default())),
        ("compression", Obj::from_int(i64::from(compression))),
        ("peer", Obj::from_str(&channel.status().peer)),
        ("headers", fields(head)),
    ])
}

fn fields(fields: &[(String, String)]) -> Obj {
    let words: Vec<Obj> =
        fields.iter().flat_map(|(name, value)| [Obj::from_str(name), Obj::from_str(value)]).collect();
    Obj::from_list(&words)
}
