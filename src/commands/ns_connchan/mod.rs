//! `ns_connchan`: the ensemble, and the subcommands that concern one channel.
//!
//! `making` has those that make channels (connect, listen, open), `query`
//! those that only look (exists, list, status, debug), `frames` what
//! concerns WebSocket: read -websocket and wsencode.
//! Behaviour: spec/ns_connchan.md.

mod frames;
mod making;
mod query;

use super::{http, server};
use crate::base::{log, Error, Result};
use crate::connchan::channel::READ_SIZE;
use crate::connchan::{home, table, Channel, Condition};
use crate::server::driver::Driver;
use crate::tcl::args::{bad_option, word, Kind, Opt, Syntax};
use crate::tcl::{Interp, Obj, Outcome};
use crate::ws::link::Link;
use std::cell::RefCell;
use std::sync::Arc;

/// A subcommand: interpreter, the two words that name it, and its arguments.
type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Outcome;

/// Subcommands in the order of the `must be` list; the usage text has its own.
const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("callback", callback),
    ("connect", making::connect),
    ("close", close),
    ("debug", query::debug),
    ("detach", detach),
    ("exists", query::exists),
    ("list", query::list),
    ("listen", making::listen),
    ("open", making::open),
    ("read", read),
    ("status", query::status),
    ("write", write),
    ("wsencode", frames::wsencode),
];

/// The command `ns_connchan`.
pub fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let (Some(command), Some(subcommand)) = (words.first(), words.get(1)) else {
        return Err(usage(words).into());
    };
    let given = subcommand.raw_text();
    match SUBCOMMANDS.iter().find(|(name, _)| name.as_bytes() == given) {
        Some((_, run)) => run(interp, &words[..2], &words[2..]),
        None => {
            let names: Vec<&str> = SUBCOMMANDS.iter().map(|(name, _)| *name).collect();
            Err(bad_option(&format!("{}: ", command.text()), "subcommand", &subcommand.text(), &names).into())
        }
    }
}

/// The closing question mark is missing in the reference, too.
fn usage(words: &[Obj]) -> Error {
    let names: Vec<&str> = SUBCOMMANDS.iter().map(|(name, _)| *name).collect();
    let command = words.first().map(|w| w.text().into_owned()).unwrap_or_default();
    Error::usage(&format!("{command} {} ?/arg .../", names.join("|")))
}

/// Finds the channel that a value names, and remembers it in the value.
pub(super) fn channel(handle: &Obj) -> Result<Arc<Channel>> {
    let missing = || Channel::missing(&handle.text());
    if let Some(known) = handle.cached::<Channel>() {
        return if known.is_closed() { Err(missing()) } else { Ok(known) };
    }
    let found = table::find(&handle.text()).ok_or_else(missing)?;
    handle.cache(Arc::clone(&found));
    Ok(found)
}

/// The same, for what a script does with the channel's bytes: those of a
/// WebSocket are the package's alone.
fn byte_channel(handle: &Obj) -> Result<Arc<Channel>> {
    let channel = channel(handle)?;
    if channel.companion::<Link>().is_some() {
        let reason = "is a WebSocket: use the commands of the package ws";
        let message = format!("channel \"{}\" {reason}", channel.name());
        return Err(Error::with_code(message, &["WEBSOCKET", "STATE", reason]));
    }
    Ok(channel)
}

fn callback(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 3> = Syntax {
        options: [
            Opt::valued("-timeout", Kind::Time, "time"),
            Opt::valued("-receivetimeout", Kind::Time, "time"),
            Opt::valued("-sendtimeout", Kind::Time, "time"),
        ],
        ends_options: false,
        words: [word("channel", Kind::Any), word("command", Kind::Any), word("when", Kind::Any)],
        required: 3,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let channel = byte_channel(parsed.word(0).obj)?;
    let condition = Condition::parse(&parsed.word(2).obj.text())?;
    let timeout = parsed.time(0).map(|t| t.as_duration());
    home::register(interp, &channel, parsed.word(1).obj, condition, timeout)?;
    channel.set_timeouts(parsed.time(1), parsed.time(2));
    Ok(())
}

fn close(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::valued("-server", Kind::Checked(server::check), "server")],
        ends_options: false,
        words: [word("channel", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let channel = channel(parsed.word(0).obj)?;
    home::close(&channel);
    if let Some(driver) = channel.companion_ref::<Driver>() {
        // Its thread will hear of the close; who closed may count on it at once.
        driver.stop();
    }
    Ok(())
}

/// The connection of a request becomes a channel of scripts.
fn detach(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, name, args)?;
    http::detach(interp)
}

fn read(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::flag("-websocket")],
        ends_options: false,
        words: [word("channel", Kind::Any)],
        required: 1,
    };
    thread_local! {
        /// Where received bytes arrive before they become a Tcl value; none
        /// of it is kept between calls.
        static BUFFER: RefCell<Box<[u8; READ_SIZE + 1]>> = RefCell::new(Box::new([0; READ_SIZE + 1]));
    }
    let parsed = SYNTAX.parse(interp, name, args)?;
    let channel = byte_channel(parsed.word(0).obj)?;
    BUFFER.with_borrow_mut(|buffer| -> Outcome {
        if parsed.has(0) {
            return frames::read(interp, &channel, buffer);
        }
        interp.set_result(&Obj::from_bytes(channel.read(buffer, home::in_callback())?));
        Ok(())
    })
}

fn write(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 2> = Syntax {
        options: [Opt::flag("-buffered")],
        ends_options: false,
        words: [word("channel", Kind::Any), word("message", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let channel = byte_channel(parsed.word(0).obj)?;
    if parsed.has(0) {
        log::write(
            log::DEPRECATED,
            "ns_connchan write: '-buffered' option is deprecated; activated by default",
        );
    }
    let sent = channel.write(parsed.word(1).obj.bytes()?)?;
    interp.set_result(&Obj::from_count(sent));
    Ok(())
}
