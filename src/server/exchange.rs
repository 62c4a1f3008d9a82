//! An exchange: one request and the state of its response. Whoever works on it
//! owns it: the reactor that read the request, the queue, the thread that runs
//! the handler. `response` sends; here is what it sends from.

use super::connection::Connection;
use super::request::Request;
use crate::base::set::{Match, NsSet};
use crate::base::{Error, Result as BaseResult};
use crate::connchan::{Channel, Peer};
use crate::http::form::Form;
use crate::http::request_head::Fault;
use crate::http::target;
use socket2::Socket;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent.
    Open,
    /// The head and a part of the body.
    Streaming,
    /// Bytes of a script's own making, without a head of ours.
    Raw,
    /// All of it: the socket is the driver's again.
    Complete,
    /// The connection is a channel of scripts now.
    Detached,
    /// The socket is that of a Tcl channel now.
    Channel,
}

/// The head of a response that is sent piece by piece, as `ns_headers` has
/// prepared it.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// The `content-type` field, if any.
    pub content_type: Option<String>,
    /// The length that was promised.
    pub length: Option<u64>,
    /// The `vary` field, if any.
    pub vary: Option<String>,
    /// The `content-encoding` field, if any.
    pub coding: Option<&'static str>,
}

/// How an exchange has ended, for its connection.
#[derive(Debug)]
pub struct Outcome {
    /// How far the response has come.
    pub state: State,
    /// The connection is to be closed.
    pub close: bool,
    /// The response is incomplete.
    pub aborted: bool,
    /// Bytes that came behind the request and are still the connection's.
    pub early: Vec<u8>,
}

impl Outcome {
    /// That of an exchange which has got lost.
    pub fn broken() -> Outcome {
        Outcome { state: State::Complete, close: true, aborted: true, early: Vec::new() }
    }
}

/// Turns a piece of a body into what is sent; told whether it is the last.
pub type Transform = Box<dyn FnMut(&[u8], bool) -> Vec<u8> + Send>;

/// One request and its response.
pub struct Exchange {
    /// What was asked.
    pub request: Request,
    /// By whom.
    pub connection: Arc<Connection>,
    /// Counts the requests of the process.
    pub id: u64,
    /// When it was complete.
    pub start: SystemTime,
    /// The same, for spans of time.
    pub begun: Instant,
    /// The path by which a handler is looked up: decoded and normal.
    path: String,
    /// The query in force, when a redirect has changed it.
    query: Option<String>,
    /// The method in force, when a redirect has changed it.
    method: Option<&'static str>,
    /// Free text of `ns_conn clientdata`.
    pub client_data: String,
    /// Scripts of `ns_atclose`, the first to run last.
    pub at_close: Vec<String>,
    /// The status, 0 while none is set.
    status: u16,
    /// Fields that scripts have set, in their order.
    pub output: NsSet,
    /// They are those of `ns_respond -headers`, not of the set that scripts have.
    pub fixed_output: bool,
    /// `ns_conn encoding`.
    pub charset: Option<String>,
    /// `ns_conn keepalive`.
    pub keep_alive: Option<bool>,
    /// `ns_conn compress`.
    pub compress: Option<u32>,
    /// How far the response is.
    pub(super) state: State,
    /// What `ns_headers` has prepared.
    pub prepared: Option<Prepared>,
    /// Whether what is streamed goes in chunks.
    pub(super) chunked: bool,
    /// Bytes that are still missing of the promised length.
    pub(super) missing: Option<u64>,
    /// Bytes of the body that were sent, or handed over to be.
    pub(super) body_sent: u64,
    /// The connection is to be closed when all is sent.
    pub(super) close: bool,
    /// The response is incomplete and shall look so.
    pub(super) aborted: bool,
    /// Text is to be encoded by `ns_write`: after `ns_headers` with a type.
    pub encode_stream: bool,
    /// Internal redirects so far.
    pub redirects: u8,
    /// Bytes that came behind the request: for whoever gets the connection.
    pub(super) early: Vec<u8>,
    /// The connection knows how it has ended.
    pub(super) told: bool,
    /// Work that is done when a piece of the body is to be written: the place
    /// for a compressor. Gets the bytes, and whether they are the last.
    pub transform: Option<Transform>,
    /// Handles of `ns_conn headers` and `ns_conn outputheaders` in the
    /// interpreter that works on it.
    pub handles: [Option<String>; 2],
    /// That of `ns_conn form`.
    pub form_handle: Option<String>,
    /// All others.
    pub other_handles: Vec<String>,
    /// The form of the request, once it was asked for.
    pub form: Option<Arc<Form>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Exchange {
    /// An exchange for a request that has come in.
    ///
    /// # Errors
    /// 400 when its target cannot be decoded.
    pub fn new(request: Request, connection: Arc<Connection>) -> Result<Exchange, Fault> {
        let target = request.target();
        // Else the target is for a proxy (RFC 9112, sections 3.2.2 and 3.2.3).
        if !target.starts_with('/') && !target.contains("://") && request.method() != "CONNECT" {
            return Err(Fault::new(400, "request target is no path"));
        }
        let path = target::normalize(request.raw_path())?.into_owned();
        Ok(Exchange {
            request,
            connection,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            start: SystemTime::now(),
            begun: Instant::now(),
            path,
            query: None,
            method: None,
            client_data: String::new(),
            at_close: Vec::new(),
            status: 0,
            output: NsSet::new(None, true),
            fixed_output: false,
            charset: None,
            keep_alive: None,
            compress: None,
            state: State::Open,
            prepared: None,
            chunked: false,
            missing: None,
            body_sent: 0,
            close: false,
            aborted: false,
            encode_stream: false,
            redirects: 0,
            early: Vec::new(),
            told: false,
            transform: None,
            handles: [None, None],
            form_handle: None,
            other_handles: Vec::new(),
            form: None,
        })
    }

    /// How far the response is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether a response can still be given.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Streaming | State::Raw)
    }

    /// Whether something of the response was sent.
    pub fn has_begun(&self) -> bool {
        matches!(self.state, State::Streaming | State::Raw)
    }

    /// Whether the request was for the head only.
    pub fn is_head(&self) -> bool {
        self.request.method() == "HEAD"
    }

    /// The method in force.
    pub fn method(&self) -> &str {
        self.method.unwrap_or_else(|| self.request.method())
    }

    /// The path in force: decoded and normal.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path in force, as it was sent where that is so.
    pub fn raw_path(&self) -> &str {
        if self.redirects == 0 {
            self.request.raw_path()
        } else {
            &self.path
        }
    }

    /// The query in force.
    pub fn query(&self) -> &str {
        self.query.as_deref().unwrap_or_else(|| self.request.query())
    }

    /// Turns to another path, for `ns_internalredirect` and the pages that are
    /// configured for errors. `method` is put in force when there is one.
    ///
    /// # Errors
    /// 400 when the location cannot be decoded.
    pub fn redirect(&mut self, location: &str, method: Option<&'static str>) -> Result<(), Fault> {
        let (path, query) = target::split(location);
        let rooted = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        self.path = target::normalize(&rooted)?.into_owned();
        if location.contains('?') {
            self.query = Some(query.to_owned());
        }
        self.method = method.or(self.method);
        self.redirects += 1;
        Ok(())
    }

    /// The status that is set; 200 when none is.
    pub fn status(&self) -> u16 {
        if self.status == 0 {
            200
        } else {
            self.status
        }
    }

    /// Sets the status. 200 never replaces another one: so pages that are run
    /// for an error keep its status (spec/http.md 3.1).
    pub fn set_status(&mut self, status: u16) {
        if status != 200 {
            self.status = status;
        }
    }

    /// The address of the client.
    pub fn peer(&self) -> Option<IpAddr> {
        self.connection.peer()
    }

    /// The charset of text in the response.
    pub fn charset(&self) -> &str {
        self.charset.as_deref().unwrap_or(&self.connection.driver.settings.output_charset)
    }

    /// A field that scripts have set.
    pub fn output_field(&self, name: &str) -> Option<&str> {
        self.output.get(name, Match::IgnoreCase)
    }

    /// Drops all fields that scripts have set, and what was prepared.
    pub fn drop_output(&mut self) {
        self.output.take_fields();
        self.prepared = None;
    }

    /// Bytes of the body that were sent, or handed over to be.
    pub fn body_sent(&self) -> u64 {
        self.body_sent
    }

    /// Sets what `body_sent` tells.
    pub fn set_body_sent(&mut self, count: u64) {
        self.body_sent = count;
    }

    /// The level at which text is compressed, 0 for not.
    pub fn compress_level(&self) -> u32 {
        let settings = &self.connection.driver.settings;
        let configured = if settings.compress_enable { settings.compress_level } else { 0 };
        self.compress.unwrap_or(configured)
    }

    /// Ends the response as it is (`ns_conn close`).
    pub fn close_now(&mut self) {
        if self.state == State::Open && self.prepared.is_none() {
            // Nothing was said, and nothing will be.
            self.close = true;
            self.state = State::Complete;
            self.tell();
        } else {
            self.finish();
        }
    }

    /// Gives the socket away, as a descriptor of its own, behind what was
    /// prepared of the head; whoever has it sends the rest and closes it. With it
    /// comes what was received behind the request.
    ///
    /// # Errors
    /// Of TLS the socket alone is of no use; or what was sent still waits.
    pub fn give_socket(&mut self) -> BaseResult<(Socket, Vec<u8>)> {
        let plain = self.connection.channel.plain_socket();
        let socket = plain.ok_or_else(|| Error::new("no plain socket: use ns_connchan detach"))?;
        if self.prepared.is_some() && self.state == State::Open {
            self.keep_alive = Some(self.prepared.as_ref().is_some_and(|p| p.length.is_some()));
            self.start_stream();
        }
        if self.connection.has_output() {
            let until = Instant::now() + self.connection.driver.settings.send_wait;
            if !self.connection.channel.flush_until(until)? {
                return Err(Error::new("what was sent still waits"));
            }
        }
        let own = socket.try_clone().map_err(|e| Error::new(format!("cannot duplicate the socket: {e}")))?;
        // The driver's thread closes its end as soon as it hears of this, and would shut the connection
        // down for whoever still holds the socket.
        drop(socket);
        self.connection.give_away();
        self.state = State::Channel;
        let early = std::mem::take(&mut self.early);
        self.tell();
        Ok((own, early))
    }

    /// Whether the connection is closed behind the response.
    pub fn closes(&self) -> bool {
        self.close
    }

    /// Whether the connection is at an end without a complete response.
    pub fn is_aborted(&self) -> bool {
        self.aborted
    }

    /// What its connection has to know of it.
    pub fn outcome(&mut self) -> Outcome {
        self.told = true;
        Outcome {
            state: self.state,
            close: self.close,
            aborted: self.aborted || self.is_open(),
            early: std::mem::take(&mut self.early),
        }
    }

    /// The same of one that was detached.
    pub fn outcome_detached(&self) -> Outcome {
        Outcome { state: State::Detached, close: false, aborted: false, early: Vec::new() }
    }

    /// Tells the connection's reactor, in another thread, that it is its own
    /// again: once, as soon as the response is complete.
    pub(super) fn tell(&mut self) {
        if self.connection.is_remote() && !self.told {
            let outcome = self.outcome();
            self.connection.answered(outcome);
        }
    }

    /// Takes out the request of an exchange that is over.
    pub fn take_request(&mut self) -> Request {
        std::mem::take(&mut self.request)
    }

    /// What is sent from now on is of the script's own making, head and all.
    pub fn start_raw(&mut self) {
        if self.state == State::Open {
            self.state = State::Streaming;
            self.prepared = None;
            self.close = true;
            self.encode_stream = true;
        }
    }

    /// Gives the connection to scripts; its channel has a name from now on.
    pub fn detach(&mut self) -> Arc<Channel> {
        self.state = State::Detached;
        self.connection.give_away();
        let channel = Arc::clone(&self.connection.channel);
        let peer = self.peer().map_or(Peer::Unknown, Peer::Ip);
        let early = std::mem::take(&mut self.early);
        channel.detach(self.start, self.client_data.clone(), peer, early);
        self.tell();
        channel
    }
}

/// Whatever has become of whoever worked on it, its connection hears of the end.
impl Drop for Exchange {
    fn drop(&mut self) {
        self.tell();
    }
}
