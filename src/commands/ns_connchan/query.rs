//! The subcommands that only look: debug, exists, list, status.

use super::channel;
use crate::base::time_value::system_time_dotted;
use crate::commands::server;
use crate::connchan::table;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::script::first_word;
use crate::tcl::{Interp, Obj, Outcome};

pub(super) fn debug(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("channel", Kind::Any), word("level", Kind::Int)],
        required: 1,
    };
    const ASK: i32 = -1;
    let parsed = SYNTAX.parse(interp, name, args)?;
    let channel = channel(parsed.word(0).obj)?;
    let level = parsed.words[1].map_or(ASK, |v| v.number() as i32);
    interp.set_result(&Obj::from_int(i64::from(channel.debug(level))));
    Ok(())
}

pub(super) fn exists(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("channel", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    interp.set_result(&Obj::from_int(i64::from(channel(parsed.word(0).obj).is_ok())));
    Ok(())
}

pub(super) fn list(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 0> = Syntax {
        options: [Opt::valued("-server", Kind::Checked(server::check), "server")],
        ends_options: false,
        words: [],
        required: 0,
    };
    SYNTAX.parse(interp, name, args)?;
    let rows: Vec<Obj> = table::all()
        .iter()
        .map(|channel| {
            let status = channel.status();
            let (script, condition) = status.callback.unwrap_or_default();
            Obj::from_list(&[
                Obj::from_str(&channel.name()),
                Obj::from_str(status.thread),
                Obj::from_str(&system_time_dotted(status.started)),
                Obj::from_str(status.driver),
                Obj::from_str(&status.peer),
                Obj::from_count(status.sent),
                Obj::from_count(status.received),
                Obj::from_str(&status.client_data),
                Obj::from_str(&first_word(&Obj::from_str(&script))),
                Obj::from_str(&condition),
            ])
        })
        .collect();
    interp.set_result(&Obj::from_list(&rows));
    Ok(())
}

pub(super) fn status(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::valued("-server", Kind::Checked(server::check), "server")],
        ends_options: false,
        words: [word("channel", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let channel = channel(parsed.word(0).obj)?;
    let status = channel.status();
    let mut pairs = vec![
        ("start", Obj::from_str(&system_time_dotted(status.started))),
        ("driver", Obj::from_str(status.driver)),
        ("peer", Obj::from_str(&status.peer)),
        ("sent", Obj::from_count(status.sent)),
        ("received", Obj::from_count(status.received)),
        ("framebuffer", Obj::from_count(status.frame_buffer as u64)),
        ("sendbuffer", Obj::from_count(status.send_buffer as u64)),
        ("fragments", Obj::from_count(status.fragments as u64)),
        ("senderror", Obj::from_str(&status.send_error)),
        ("recverror", Obj::from_str(&status.receive_error)),
    ];
    if let Some((script, condition)) = status.callback {
        pairs.push(("callback", Obj::from_str(&script)));
        pairs.push(("condition", Obj::from_str(&condition)));
    }
    pairs.push(("connecting", Obj::from_int(i64::from(status.connecting))));
    let (error, code) = status.error.map(|e| (e.message, e.code)).unwrap_or_default();
    let code: Vec<Obj> = code.iter().map(|word| Obj::from_str(word)).collect();
    pairs.push(("error", Obj::from_str(&error)));
    pairs.push(("errorcode", Obj::from_list(&code)));
    if let Some(tls) = channel.tls_info() {
        pairs.push(("tlsversion", Obj::from_str(&tls.version)));
        pairs.push(("tlscipher", Obj::from_str(&tls.cipher)));
        pairs.push(("tlsresumed", Obj::from_int(i64::from(tls.resumed))));
        pairs.push(("alpn", Obj::from_str(&tls.alpn)));
        pairs.push(("tlspeer", Obj::from_str(&tls.peer)));
    }
    interp.set_result(&Obj::from_pairs(pairs));
    Ok(())
}
