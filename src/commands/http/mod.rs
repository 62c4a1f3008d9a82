//! The commands of the HTTP server: what handlers say, and how they are
//! registered. Behaviour: spec/http.md.

mod adp;
mod charset;
mod conn;
mod files;
mod query;
mod register;
mod respond;
mod serve;
mod status;
mod write;
mod writer;

use crate::base::{Error, Result};
use crate::commands::ns_set;
use crate::server::attached::{run_rests, Hooks, RESTS_COMMAND};
use crate::server::current;
use crate::server::exchange::{Exchange, State};
use crate::tcl::command::CommandProc;
use crate::tcl::{Interp, Obj};

pub(super) use serve::detach;

/// Every command of this family.
pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("_ns_dirlist", files::dirlist),
    ("ns_adp_append", adp::ns_adp_append),
    ("ns_adp_puts", adp::ns_adp_puts),
    ("ns_atclose", register::ns_atclose),
    ("ns_conn", conn::command),
    ("ns_connsendfp", files::ns_connsendfp),
    ("ns_getform", query::ns_getform),
    ("ns_headers", write::ns_headers),
    ("ns_internalredirect", status::ns_internalredirect),
    ("ns_queryexists", query::ns_queryexists),
    ("ns_queryget", query::ns_queryget),
    ("ns_querygetall", query::ns_querygetall),
    ("ns_register_adp", register::ns_register_adp),
    ("ns_register_fastpath", register::ns_register_fastpath),
    ("ns_register_filter", register::ns_register_filter),
    ("ns_register_proc", register::ns_register_proc),
    ("ns_register_trace", register::ns_register_trace),
    ("ns_respond", respond::ns_respond),
    ("ns_return", respond::ns_return),
    ("ns_returnadminnotice", status::ns_returnnotice),
    ("ns_returnbadrequest", status::ns_returnbadrequest),
    ("ns_returnerror", status::ns_returnerror),
    ("ns_returnfile", files::ns_returnfile),
    ("ns_returnforbidden", status::ns_returnforbidden),
    ("ns_returnfp", files::ns_returnfp),
    ("ns_returnmoved", status::ns_returnmoved),
    ("ns_returnnotfound", status::ns_returnnotfound),
    ("ns_returnnotice", status::ns_returnnotice),
    ("ns_returnok", status::ns_returnok),
    ("ns_returnredirect", status::ns_returnredirect),
    ("ns_returnunauthorized", status::ns_returnunauthorized),
    ("ns_returnunavailable", status::ns_returnunavailable),
    ("ns_serve", serve::ns_serve),
    ("ns_shortcut_filter", register::ns_shortcut_filter),
    ("ns_startcontent", write::ns_startcontent),
    ("ns_unregister_op", register::ns_unregister_op),
    ("ns_unregister_proc", register::ns_unregister_op),
    ("ns_url2file", files::ns_url2file),
    ("ns_write", write::ns_write),
    ("ns_writefp", files::ns_writefp),
    (RESTS_COMMAND, |interp, _| {
        run_rests(interp);
        Ok(())
    }),
    ("ns_writer", writer::command),
    ("::ns_connchan::adp", adp::adp),
    ("::ns_connchan::fastpath", files::fastpath),
];

/// What the server calls between scripts.
pub(super) const HOOKS: Hooks = Hooks { sync, cleanup };

/// The same in connection threads, where nothing outlives a request.
pub(super) const THREAD_HOOKS: Hooks = Hooks { sync, cleanup: cleanup_thread };

/// Takes over the fields that scripts have put into `ns_conn outputheaders`.
fn sync(interp: Interp, exchange: &mut Exchange) {
    if let Some(handle) = exchange.handles[1].as_ref().filter(|_| !exchange.fixed_output) {
        if let Ok(set) = ns_set::snapshot(interp, handle) {
            exchange.output = set;
        }
    }
}

/// Frees the sets of a request.
fn cleanup(interp: Interp, exchange: &mut Exchange) {
    let own = exchange.handles.iter_mut().filter_map(Option::take).chain(exchange.other_handles.drain(..));
    for handle in own {
        ns_set::forget(interp, &handle);
    }
}

/// Frees all sets of the thread.
fn cleanup_thread(interp: Interp, exchange: &mut Exchange) {
    cleanup(interp, exchange);
    ns_set::forget_all(interp);
}

/// Runs `work` with the request that the running script is about.
///
/// # Errors
/// `no connection`.
pub(super) fn with_exchange<T>(work: impl FnOnce(&mut Exchange) -> Result<T>) -> Result<T> {
    current::with(work).unwrap_or_else(|| Err(Error::new("no connection")))
}

/// The answer to a command that needs a connection which was given away.
pub(super) fn detached() -> Error {
    Error::new("connection socket is detached")
}

/// What becomes of a command that wants to send.
pub(super) enum Sender {
    /// It can.
    Ready,
    /// Its result is 0: the socket is that of a Tcl channel.
    Refused,
    /// Nothing happens, and its result is empty (`rejectalreadyclosedconn`).
    Ignored,
}

/// Whether a response can be sent (spec/http.md 2.2); the fields that scripts
/// have prepared are then up to date.
///
/// # Errors
/// `no connection`, `connection socket is detached`.
pub(super) fn sender(interp: Interp) -> Result<Sender> {
    with_exchange(|exchange| match exchange.state() {
        State::Open | State::Streaming | State::Raw => {
            sync(interp, exchange);
            Ok(Sender::Ready)
        }
        State::Channel => Ok(Sender::Refused),
        State::Complete | State::Detached if exchange.connection.driver.settings.reject_closed => {
            Err(detached())
        }
        State::Complete | State::Detached => Ok(Sender::Ignored),
    })
}

/// Whether the response may begin; else the command's result is set, and nothing
/// is to be done.
///
/// # Errors
/// As those of `sender`.
pub(super) fn may_send(interp: Interp) -> Result<bool> {
    let sender = sender(interp)?;
    if let Sender::Refused = sender {
        interp.set_result(&Obj::from_int(0));
    }
    Ok(matches!(sender, Sender::Ready))
}

/// Sends by `work` and sets the command's result: 1, or 0 when that failed.
pub(super) fn send(interp: Interp, work: impl FnOnce(&mut Exchange) -> bool) -> Result<()> {
    let sent = match sender(interp)? {
        Sender::Ready => with_exchange(|exchange| Ok(work(exchange)))?,
        Sender::Refused => false,
        Sender::Ignored => return Ok(()),
    };
    interp.set_result(&Obj::from_int(i64::from(sent)));
    Ok(())
}
