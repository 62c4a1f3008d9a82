//! The result of a request as a script gets it: a dict, or an error.

use super::options::Report;
use crate::base::set::NsSet;
use crate::base::{Error, Result};
use crate::client::exchange::Reply;
use crate::client::sink::Content;
use crate::client::task::Outcome;
use crate::commands::ns_set;
use crate::http::charset;
use crate::http::head::{self, ResponseHead};
use crate::tcl::{evaluating, Interp, Obj};
use std::time::Duration;

/// The dict of a response; of a failed request its error, which with
/// `-partialresults` has a dict in place of the message.
pub(super) fn result(interp: Interp, outcome: Outcome, report: &Report) -> Result<Obj> {
    match outcome {
        Ok(reply) => {
            if report.to_tcl_channel {
                if let Some(Content::Bytes(bytes)) = &reply.content {
                    // Of a request in the background: no other thread may
                    // write to a channel of Tcl's.
                    let channel = Obj::from_str(report.channel.as_deref().unwrap_or_default());
                    super::with_binary_channel(interp, &channel, |_| put(interp, report, bytes))?;
                }
            }
            Ok(Obj::from_pairs(pairs(interp, reply, report)))
        }
        Err(failed) if report.partial => {
            let state = if failed.error.code.first().is_some_and(|word| word == "NS_TIMEOUT") {
                "NS_TIMEOUT"
            } else {
                "NS_ERROR"
            };
            let mut pairs = pairs(interp, failed.reply, report);
            pairs.push(("error", Obj::from_str(&failed.error.message)));
            pairs.push(("state", Obj::from_str(state)));
            let message = Obj::from_pairs(pairs).text().into_owned();
            Err(Error { message, code: failed.error.code })
        }
        Err(failed) => Err(failed.error),
    }
}

fn pairs(interp: Interp, reply: Reply, report: &Report) -> Vec<(&'static str, Obj)> {
    let flags: Vec<&str> = [
        (report.binary, "BINARY"),
        (reply.chunked, "CHUNKED"),
        (reply.decompressed, "DECOMPRESS"),
        (report.partial, "PARTIAL"),
    ]
    .iter()
    .filter_map(|(on, name)| on.then_some(*name))
    .collect();
    let mut pairs = vec![
        ("status", Obj::from_int(i64::from(reply.head.status))),
        ("time", Obj::from_str(&printed(reply.time))),
        ("headers", headers(interp, &reply.head)),
    ];
    match (&report.channel, reply.content) {
        (Some(name), _) => pairs.push(("outputchan", Obj::from_str(name))),
        (None, Some(Content::File(path))) => pairs.push(("file", Obj::from_str(&path.to_string_lossy()))),
        (None, Some(Content::Bytes(bytes))) => {
            pairs.push(("body", body(interp, &reply.head, &bytes, report)))
        }
        (None, None) => pairs.push(("body", Obj::empty())),
    }
    pairs.push(("flags", Obj::from_str(&flags.join("|"))));
    pairs
}

/// The header fields as a set of the interpreter.
pub(super) fn headers(interp: Interp, head: &ResponseHead) -> Obj {
    let mut set = NsSet::new(Some("headers".into()), true);
    head.fields.iter().for_each(|(name, value)| {
        set.put(name, value);
    });
    ns_set::create(interp, set)
}

/// Content as bytes, or as the text that its type says it is.
fn body(interp: Interp, head: &ResponseHead, bytes: &[u8], report: &Report) -> Obj {
    let kind = head::field(&head.fields, "content-type").unwrap_or_default();
    match charset::encoding_of_type(kind).filter(|encoding| *encoding != "binary" && !report.binary) {
        None => Obj::from_bytes(bytes),
        Some("utf-8" | "ascii") => {
            std::str::from_utf8(bytes).map_or_else(|_| Obj::from_bytes(bytes), Obj::from_str)
        }
        Some(encoding) => {
            let word = Obj::from_str;
            let words = [word("::encoding"), word("convertfrom"), word(encoding), Obj::from_bytes(bytes)];
            evaluating::call(interp, &words).unwrap_or_else(|_| Obj::from_bytes(bytes))
        }
    }
}

/// Seconds, and microseconds behind a colon.
fn printed(time: Duration) -> String {
    match time.subsec_micros() {
        0 => time.as_secs().to_string(),
        micros => format!("{}:{micros}", time.as_secs()),
    }
}

/// Writes a piece of content to the script's Tcl channel.
pub(super) fn put(interp: Interp, report: &Report, bytes: &[u8]) -> Result<()> {
    let word = Obj::from_str;
    let channel = word(report.channel.as_deref().unwrap_or_default());
    evaluating::call(interp, &[word("::puts"), word("-nonewline"), channel, Obj::from_bytes(bytes)]).map(drop)
}
