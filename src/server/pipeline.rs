//! The way of a request: filters, handler, response, what `ns_atclose` has asked
//! for, traces (spec/http.md 1.5).
//!
//! A state machine that names the next script and hears how it ended; who
//! evaluates scripts, and where, is not its concern.

use super::exchange::{Exchange, Outcome, State};
use super::fastpath::{self, Attempt};
use super::filters::{self, Filter, When};
use super::handlers::{self, Action};
use crate::base::log;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// The script that serves files: a command of the package.
pub const FASTPATH: &str = "::ns_connchan::fastpath";

/// Redirects to pages for errors and `ns_internalredirect`s of one request.
pub const MAX_REDIRECTS: u8 = 3;

/// A script to be evaluated at global level.
#[derive(Debug, Clone)]
pub enum Run {
    /// A handler.
    Handler(Arc<Action>),
    /// A filter or trace.
    Filter(Arc<Filter>),
    /// A script of `ns_atclose`.
    Closing(Arc<str>),
}

impl Run {
    /// Names the script in a thread's cache; none of the script for files, and
    /// of one that runs once.
    pub fn id(&self) -> Option<u32> {
        match self {
            Run::Handler(action) => match &**action {
                Action::Script { id, .. } => Some(*id),
                Action::Fastpath => None,
            },
            Run::Filter(filter) => Some(filter.id),
            Run::Closing(_) => None,
        }
    }

    /// The script.
    pub fn text(&self) -> &str {
        match self {
            Run::Handler(action) => match &**action {
                Action::Script { text, .. } => text,
                Action::Fastpath => FASTPATH,
            },
            Run::Filter(filter) => filter.script.as_deref().unwrap_or_default(),
            Run::Closing(script) => script,
        }
    }

    /// The script as it was registered, for messages.
    pub fn name(&self) -> &str {
        match self {
            Run::Handler(action) => match &**action {
                Action::Script { name, .. } => name,
                Action::Fastpath => FASTPATH,
            },
            Run::Filter(filter) => &filter.name,
            Run::Closing(script) => script,
        }
    }
}

/// A completion code of Tcl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// TCL_OK, or TCL_RETURN, which a script ends with that returns.
    Ok,
    /// TCL_ERROR.
    Error,
    /// TCL_BREAK.
    Break,
    /// TCL_CONTINUE.
    Continue,
    /// Any other.
    Other(i32),
}

/// How a script has ended.
pub trait Ended {
    /// The completion code.
    fn code(&self) -> Code;
    /// Its result: of an error the message.
    fn result(&self) -> String;
    /// The stack trace of an error.
    fn trace(&self) -> String;
    /// The first word of the error's code.
    fn error_class(&self) -> String;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preauth,
    Postauth,
    Handler,
    /// The handler runs.
    Handling,
    /// The response is due.
    Respond,
    /// It is complete.
    Closing,
    Trace,
    VoidTrace,
    Over,
}

/// The way of one request.
#[derive(Debug)]
pub struct Pipeline {
    stage: Stage,
    /// The filters of the stage that have still to run, the next one last.
    filters: Vec<Arc<Filter>>,
    /// They were selected.
    selected: bool,
}

impl Default for Pipeline {
    fn default() -> Pipeline {
        Pipeline { stage: Stage::Preauth, filters: Vec::new(), selected: false }
    }
}

/// What a filter's end means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Next,
    Break,
    Return,
    Failed,
}

impl Pipeline {
    /// The next script. `None` when the exchange is over: then its response is
    /// complete, or the connection given away.
    pub fn next(&mut self, exchange: &mut Exchange) -> Option<Run> {
        loop {
            match self.stage {
                Stage::Preauth if !filters::any() || is_forward(exchange) => self.stage = Stage::Handler,
                Stage::Preauth => match self.filter(exchange, When::Preauth, Stage::Postauth) {
                    Some(run) => return Some(run),
                    None => continue,
                },
                Stage::Postauth => match self.filter(exchange, When::Postauth, Stage::Handler) {
                    Some(run) => return Some(run),
                    None => continue,
                },
                Stage::Handler => match self.handler(exchange) {
                    Some(run) => return Some(run),
                    None => self.stage = Stage::Respond,
                },
                // Its end was not heard: there is nothing to wait for.
                Stage::Handling => self.stage = Stage::Respond,
                Stage::Respond => {
                    respond(exchange);
                    self.stage = Stage::Closing;
                }
                // A connection that was given away is not closed here.
                Stage::Closing => match exchange.at_close.pop() {
                    Some(script) if exchange.state() == State::Complete => {
                        return Some(Run::Closing(script.into()));
                    }
                    Some(_) => continue,
                    None => self.stage = if filters::any() { Stage::Trace } else { Stage::Over },
                },
                Stage::Trace => match self.filter(exchange, When::Trace, Stage::VoidTrace) {
                    Some(run) => return Some(run),
                    None => continue,
                },
                Stage::VoidTrace => match self.filter(exchange, When::VoidTrace, Stage::Over) {
                    Some(run) => return Some(run),
                    None => continue,
                },
                Stage::Over => return None,
            }
        }
    }

    fn go_to(&mut self, stage: Stage) {
        self.stage = stage;
        self.filters.clear();
        self.selected = false;
    }

    fn filter(&mut self, exchange: &Exchange, when: When, then: Stage) -> Option<Run> {
        if !self.selected {
            self.filters = filters::select(when, &exchange.request, exchange.path(), exchange.peer());
            self.filters.reverse();
            self.selected = true;
        }
        match self.filters.pop() {
            Some(filter) if filter.script.is_some() => Some(Run::Filter(filter)),
            // A shortcut: the rest of the stage is passed over.
            Some(_) | None => {
                self.go_to(then);
                None
            }
        }
    }

    fn handler(&mut self, exchange: &mut Exchange) -> Option<Run> {
        if !exchange.is_open() {
            return None; // a filter has answered
        }
        self.stage = Stage::Handling;
        let count = |exchange: &Exchange| {
            exchange.connection.driver.statistics.requests.fetch_add(1, Ordering::Relaxed);
        };
        loop {
            match find(exchange) {
                // Files need a script only now and then.
                Ok(action) if fastpath::is_fastpath(&action) => match fastpath::attempt(exchange) {
                    Attempt::Answered => {
                        count(exchange);
                        return None;
                    }
                    Attempt::Turned => {}
                    Attempt::Script => {
                        count(exchange);
                        return Some(Run::Handler(action));
                    }
                },
                Ok(action) => {
                    count(exchange);
                    return Some(Run::Handler(action));
                }
                Err(status) => return self.page(exchange, status),
            }
        }
    }

    /// Sends the page for a status, or names the handler that is configured for
    /// it (`redirects`).
    fn page(&mut self, exchange: &mut Exchange, status: u16) -> Option<Run> {
        if let Some(action) = configured_page(exchange, status) {
            self.stage = Stage::Handling;
            return Some(Run::Handler(action));
        }
        respond_status(exchange, status);
        None
    }

    /// The script that `next` named has ended.
    pub fn finished(&mut self, exchange: &mut Exchange, run: &Run, ended: &dyn Ended) {
        match (self.stage, run) {
            (_, Run::Closing(_)) => {
                if ended.code() != Code::Ok {
                    log_failure(exchange, "ns:tclatclose", run.name(), "at close", &failure_text(ended));
                }
            }
            (Stage::Handling, _) => {
                self.stage = Stage::Respond;
                if ended.code() != Code::Ok {
                    handler_failed(exchange, run, ended);
                }
            }
            (stage, Run::Filter(filter)) => {
                let verdict = judge(filter, exchange, ended);
                let is_trace = matches!(stage, Stage::Trace | Stage::VoidTrace);
                match (verdict, stage) {
                    (Verdict::Next, _) => {}
                    (Verdict::Failed, Stage::Trace | Stage::VoidTrace) => {}
                    (Verdict::Break, Stage::Preauth) => self.go_to(Stage::Postauth),
                    (Verdict::Break, Stage::Postauth) => self.go_to(Stage::Handler),
                    (Verdict::Break | Verdict::Return, Stage::Trace) => self.go_to(Stage::VoidTrace),
                    (Verdict::Break | Verdict::Return, _) if is_trace => {}
                    (Verdict::Failed, _) => {
                        log::write(
                            log::ERROR,
                            &format!(
                                "internal error (HTTP status 500) (after {} filter, return code -1)",
                                if stage == Stage::Preauth { "pre_auth" } else { "post_auth" }
                            ),
                        );
                        if exchange.state() == State::Open {
                            exchange.respond_status(500);
                        } else if exchange.is_open() {
                            exchange.abort();
                        }
                        self.go_to(Stage::Respond);
                    }
                    _ => self.go_to(Stage::Respond),
                }
            }
            (_, Run::Handler(_)) => self.stage = Stage::Respond,
        }
    }
}

/// Whether the request is for a proxy (RFC 9112, sections 3.2.2 and 3.2.3).
fn is_forward(exchange: &Exchange) -> bool {
    !exchange.request.target().starts_with('/')
}

/// Answers a request for a file where it was read, unless that takes a script or a filter
/// wants to see it: what its connection has to know then.
pub fn answer_at_once(exchange: &mut Exchange) -> Option<Outcome> {
    if filters::any() {
        return None;
    }
    // Whoever asks hears of it here, not by a message.
    exchange.told = true;
    while find(exchange).is_ok_and(|action| fastpath::is_fastpath(&action)) {
        match fastpath::attempt(exchange) {
            Attempt::Answered => {
                exchange.connection.driver.statistics.requests.fetch_add(1, Ordering::Relaxed);
                return Some(exchange.outcome());
            }
            Attempt::Turned => {}
            Attempt::Script => break,
        }
    }
    exchange.told = false;
    None
}

/// What answers the exchange, or the status when there is nothing.
///
/// # Errors
/// 404 for what asks for a proxy, 405 when nothing answers the method.
pub fn find(exchange: &Exchange) -> Result<Arc<Action>, u16> {
    if is_forward(exchange) && exchange.redirects == 0 {
        return Err(404);
    }
    let method = exchange.method();
    handlers::find(method, &exchange.request, exchange.path(), exchange.peer()).ok_or(405)
}

/// The handler that is configured for a status, when there is one; the exchange
/// is turned to it.
pub fn configured_page(exchange: &mut Exchange, status: u16) -> Option<Arc<Action>> {
    let redirects = &exchange.connection.driver.settings.redirects;
    let url = redirects.iter().find(|(code, _)| *code == status).map(|(_, url)| url.clone())?;
    if exchange.redirects >= MAX_REDIRECTS {
        log::write(
            log::ERROR,
            &format!("return: failed to redirect '{status}': exceeded recursion limit of {MAX_REDIRECTS}"),
        );
        return None;
    }
    exchange.set_status(status);
    if matches!(status, 500 | 503) {
        exchange.drop_output();
    }
    exchange.redirect(&url, (status >= 400).then_some("GET")).ok()?;
    find(exchange).ok()
}

/// Sends the built-in page.
fn respond_status(exchange: &mut Exchange, status: u16) {
    if status == 405 {
        let peer = exchange.peer();
        let mut methods = handlers::methods(&exchange.request, exchange.path(), peer);
        methods.sort_unstable();
        let (title, message) = super::pages::text(status);
        exchange.respond_page(status, title, message, &[("allow", &methods.join(", "))]);
    } else {
        exchange.respond_status(status);
    }
}

/// The handler is through: ends what it has begun.
fn respond(exchange: &mut Exchange) {
    match exchange.state() {
        State::Open if exchange.prepared.is_none() => {
            let line = exchange.request.line().into_owned();
            log::write(log::ERROR, &format!("request handler has sent no response: {line}"));
            exchange.respond_status(500);
        }
        State::Open | State::Streaming | State::Raw => {
            exchange.finish();
        }
        State::Complete | State::Detached | State::Channel => {}
    }
}

/// What an error is logged as.
fn log_failure(exchange: &Exchange, kind: &str, name: &str, context: &str, trace: &str) {
    let message = format!("{trace}\n    while executing callback\n{kind} {name}\n    (context: {context})");
    log_error(exchange, &message);
}

/// Logs an error of a script, and whose request it was about.
pub fn log_error(exchange: &Exchange, message: &str) {
    log::write(
        log::ERROR,
        &format!(
            "{} {}, PeerAddress: {}\n{message}",
            exchange.request.method(),
            exchange.request.target(),
            exchange.connection.peer_text()
        ),
    );
}

/// The message for a completion code that is no success.
pub fn failure_text(ended: &dyn Ended) -> String {
    match ended.code() {
        Code::Ok | Code::Error => ended.trace(),
        Code::Break => "invoked \"break\" outside of a loop".to_owned(),
        Code::Continue => "invoked \"continue\" outside of a loop".to_owned(),
        Code::Other(code) => format!("command returned bad code: {code}"),
    }
}

/// A handler has failed: the log hears of it, and the peer unless it has its
/// answer already.
pub fn handler_failed(exchange: &mut Exchange, run: &Run, ended: &dyn Ended) {
    log_failure(exchange, "ns:tclrequest", run.name(), "request proc", &failure_text(ended));
    match exchange.state() {
        State::Open => {
            let is_timeout = ended.code() == Code::Error && ended.error_class() == "NS_TIMEOUT";
            let status = if is_timeout { 503 } else { 500 };
            exchange.drop_output();
            exchange.respond_status(status);
        }
        // The page would become a part of what was begun.
        State::Streaming | State::Raw => exchange.abort(),
        State::Complete | State::Detached | State::Channel => {}
    }
}

/// What a filter's completion code and result mean.
fn judge(filter: &Filter, exchange: &Exchange, ended: &dyn Ended) -> Verdict {
    match ended.code() {
        Code::Continue => Verdict::Next,
        Code::Break => Verdict::Break,
        Code::Ok if filter.when == When::VoidTrace => Verdict::Next,
        Code::Ok => match ended.result().as_str() {
            "filter_ok" => Verdict::Next,
            "filter_break" => Verdict::Break,
            "filter_return" | "" => Verdict::Return,
            other => {
                let name = &filter.name;
                log::write(log::ERROR, &format!("ns:tclfilter: {name} returns invalid result: {other}"));
                Verdict::Failed
            }
        },
        Code::Error | Code::Other(_) => {
            log_failure(exchange, "ns:tclfilter", &filter.name, "filter", &failure_text(ended));
            Verdict::Failed
        }
    }
}
