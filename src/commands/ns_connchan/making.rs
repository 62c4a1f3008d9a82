//! The subcommands that make channels: connect, listen, open.

use crate::base::{Error, Result};
use crate::commands::{ns_set, server};
use crate::connchan::open::{self as opening, TlsOptions};
use crate::connchan::{home, Channel};
use crate::net::tls::ClientSettings;
use crate::tcl::args::{word, Kind, Opt, Parsed, Syntax, Value};
use crate::tcl::{Interp, Obj, Outcome};
use std::os::fd::RawFd;
use std::sync::Arc;

/// Sets the handle of a fresh channel as the result.
fn give(interp: Interp, channel: Arc<Channel>) -> Outcome {
    let handle = Obj::from_str(&channel.name());
    handle.cache(channel);
    interp.set_result(&handle);
    Ok(())
}

fn text(value: &Value) -> String {
    value.obj.text().into_owned()
}

/// The TLS options, by the indexes of -cafile, -capath, -cert, -key, -hostname
/// and -insecure.
fn tls_options<const O: usize, const W: usize>(parsed: &Parsed<O, W>, at: [usize; 6]) -> TlsOptions {
    TlsOptions {
        settings: ClientSettings {
            ca_file: parsed.text(at[0]),
            ca_path: parsed.text(at[1]),
            certificate: parsed.text(at[2]),
            key: parsed.text(at[3]),
            insecure: parsed.has(at[5]),
            alpn: Vec::new(),
        },
        hostname: parsed.text(at[4]),
    }
}

pub(super) fn connect(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<8, 2> = Syntax {
        options: [
            Opt::valued("-cafile", Kind::Any, "value"),
            Opt::valued("-capath", Kind::Any, "value"),
            Opt::valued("-cert", Kind::Any, "value"),
            Opt::valued("-key", Kind::Any, "value"),
            Opt::valued("-hostname", Kind::Any, "value"),
            Opt::flag("-insecure"),
            Opt::valued("-timeout", Kind::Time, "time"),
            Opt::flag("-tls"),
        ],
        ends_options: true,
        words: [word("host", Kind::Any), word("port", Kind::Port)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let with_tls = parsed.has(7);
    for (option, spelling) in [(5, "-insecure"), (0, "-caFile"), (1, "-caPath"), (2, "-cert"), (3, "-key")] {
        if !with_tls && parsed.has(option) {
            return Err(
                Error::new(format!("parameter '{spelling}' only allowed on HTTPS connections")).into()
            );
        }
    }
    let port = parsed.word(1).number() as u16;
    let timeout = parsed.time(6).unwrap_or(opening::DEFAULT_TIMEOUT);
    let tls = with_tls.then(|| tls_options(&parsed, [0, 1, 2, 3, 4, 5]));
    give(interp, opening::connect(&text(&parsed.word(0)), port, tls, timeout)?)
}

pub(super) fn open(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<12, 1> = Syntax {
        options: [
            Opt::valued("-cafile", Kind::Any, "value"),
            Opt::valued("-capath", Kind::Any, "value"),
            Opt::valued("-cert", Kind::Any, "value"),
            Opt::valued("-key", Kind::Any, "value"),
            Opt::valued("-driver", Kind::Any, "value"),
            Opt::valued("-headers", Kind::Checked(ns_set::check), "setId"),
            Opt::valued("-hostname", Kind::Any, "value"),
            Opt::flag("-insecure"),
            Opt::valued("-method", Kind::Any, "value"),
            Opt::valued("-timeout", Kind::Time, "time"),
            Opt::valued("-unix_socket", Kind::Any, "value"),
            Opt::valued("-version", Kind::Any, "value"),
        ],
        ends_options: true,
        words: [word("url", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let headers = match parsed.options[5] {
        Some(set) => ns_set::fields(interp, &set.obj.text())?,
        None => Vec::new(),
    };
    let (driver, unix_socket) = (parsed.text(4), parsed.text(10));
    let request = opening::Request {
        url: &text(&parsed.word(0)),
        method: &parsed.text(8).unwrap_or_else(|| "GET".into()),
        version: &parsed.text(11).unwrap_or_else(|| "1.0".into()),
        headers: &headers,
        driver: driver.as_deref(),
        unix_socket: unix_socket.as_deref(),
        tls: tls_options(&parsed, [0, 1, 2, 3, 6, 7]),
        timeout: parsed.time(9).unwrap_or(opening::DEFAULT_TIMEOUT),
    };
    give(interp, opening::open(request)?)
}

pub(super) fn listen(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 3> = Syntax {
        options: [
            Opt::valued("-driver", Kind::Any, "value"),
            Opt::valued("-server", Kind::Checked(server::check), "server"),
            Opt::flag("-bind"),
        ],
        ends_options: true,
        words: [word("address", Kind::Any), word("port", Kind::Port), word("script", Kind::Any)],
        required: 3,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let port = parsed.word(1).number() as u16;
    let channel = opening::listen(&text(&parsed.word(0)), port, parsed.has(2), parsed.text(0).as_deref())?;
    match describe(interp, &channel, parsed.word(2).obj) {
        Ok(result) => {
            interp.set_result(&result);
            Ok(())
        }
        Err(error) => {
            home::close(&channel);
            Err(error.into())
        }
    }
}

/// Starts accepting; the dict that `listen` returns.
fn describe(interp: Interp, channel: &Arc<Channel>, script: &Obj) -> Result<Obj> {
    home::listen(interp, channel, script)?;
    let (address, fd) = channel.listening_at().ok_or_else(|| Channel::missing(&channel.name()))?;
    let handle = Obj::from_str(&channel.name());
    handle.cache(Arc::clone(channel));
    let fd: RawFd = fd;
    Ok(Obj::from_pairs([
        ("channel", handle),
        ("port", Obj::from_int(i64::from(address.port()))),
        ("sock", Obj::from_int(i64::from(fd))),
        ("address", Obj::from_str(&address.ip().to_string())),
    ]))
}
