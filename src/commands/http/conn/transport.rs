//! `ns_conn` about the connection and the response.

use super::{check_open, check_socket, number, text, Call, NOTHING};
use crate::base::set::NsSet;
use crate::base::time_value::system_time_dotted;
use crate::base::{config, Error, Result};
use crate::commands::http::{charset, with_exchange};
use crate::commands::ns_set;
use crate::server::current;
use crate::server::exchange::{Exchange, State};
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::Obj;
use std::net::IpAddr;
use std::time::UNIX_EPOCH;

pub(super) fn id(call: &Call) -> Result<Obj> {
    call.plain(|e| Obj::from_count(e.id))
}

pub(super) fn flags(call: &Call) -> Result<Obj> {
    call.plain(|_| number(0))
}

pub(super) fn pool(call: &Call) -> Result<Obj> {
    call.plain(|_| Obj::empty())
}

pub(super) fn server(call: &Call) -> Result<Obj> {
    call.plain(|_| text(&config::server_name()))
}

pub(super) fn driver(call: &Call) -> Result<Obj> {
    call.plain(|e| text(e.connection.driver.name))
}

pub(super) fn protocol(call: &Call) -> Result<Obj> {
    call.plain(|e| text(e.connection.driver.protocol))
}

pub(super) fn location(call: &Call) -> Result<Obj> {
    call.plain(|e| text(&e.connection.driver.location()))
}

pub(super) fn privacy(call: &Call) -> Result<Obj> {
    // Sec-GPC: 1, or the older DNT: 1.
    call.plain(|e| {
        let asked = |name: &str| e.request.field(name).as_deref() == Some("1");
        number(i64::from(asked("sec-gpc") || asked("dnt")))
    })
}

pub(super) fn timeout(call: &Call) -> Result<Obj> {
    call.plain(|_| number(0))
}

pub(super) fn rate_limit(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("limit[-1,MAX]", Kind::Range("limit", -1, i64::MAX))],
        required: 0,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|_| Ok(parsed.words[0].map_or_else(|| number(-1), |v| v.obj.clone())))
}

pub(super) fn is_connected(call: &Call) -> Result<Obj> {
    NOTHING.parse(call.interp, call.name, call.args)?;
    let connected = current::with(|e| !matches!(e.state(), State::Complete | State::Detached));
    Ok(number(i64::from(connected.unwrap_or(false))))
}

pub(super) fn client_data(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("value", Kind::Any)], required: 0 };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        if let Some(value) = parsed.words[0] {
            e.client_data = value.obj.text().into_owned();
        }
        Ok(text(&e.client_data))
    })
}

pub(super) fn close(call: &Call) -> Result<Obj> {
    NOTHING.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        check_open(e)?;
        if e.state() != State::Channel {
            crate::commands::http::sync(call.interp, e);
            e.close_now();
        }
        Ok(Obj::empty())
    })
}

pub(super) fn compress(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("level[0,9]", Kind::Range("level", 0, 9))],
        required: 0,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        if let Some(level) = parsed.words[0] {
            e.compress = Some(level.number() as u32);
        }
        Ok(number(i64::from(e.compress_level())))
    })
}

pub(super) fn content_sent_length(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("value[0,MAX]", Kind::Range("value", 0, i64::MAX))],
        required: 0,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        check_open(e)?;
        if let Some(value) = parsed.words[0] {
            e.set_body_sent(value.number() as u64);
        }
        Ok(Obj::from_count(e.body_sent()))
    })
}

pub(super) fn current_addr(call: &Call) -> Result<Obj> {
    call.on_socket(|e| match e.state() {
        State::Channel => Obj::empty(),
        _ => e.connection.addresses().0.map_or_else(Obj::empty, |a| text(&a.ip().to_canonical().to_string())),
    })
}

pub(super) fn current_port(call: &Call) -> Result<Obj> {
    call.on_socket(|e| match e.state() {
        State::Channel => number(0),
        _ => number(e.connection.addresses().0.map_or(0, |a| i64::from(a.port()))),
    })
}

/// Whether an address is one of the public network.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()),
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}

pub(super) fn details(call: &Call) -> Result<Obj> {
    call.on_socket(|e| {
        let peer = e.peer();
        let local = e.connection.addresses().0.map(|a| a.ip().to_canonical().to_string());
        let kind = match peer {
            Some(IpAddr::V4(_)) => "IPv4",
            Some(IpAddr::V6(_)) => "IPv6",
            None => "unix",
        };
        let mut pairs = vec![
            ("proxied", number(0)),
            ("currentaddr", text(&local.unwrap_or_default())),
            ("public", number(i64::from(peer.is_some_and(is_public)))),
            ("trusted", number(0)),
            ("inany", number(0)),
            ("type", text(kind)),
            ("flags", text("CONFIGURED")),
        ];
        if let Some(tls) = e.connection.channel.tls_info() {
            pairs.extend([
                ("sslversion", text(&tls.version)),
                ("cipher", text(&tls.cipher)),
                ("servername", text(e.request.field("host").as_deref().unwrap_or_default())),
            ]);
        }
        Obj::from_pairs(pairs)
    })
}

pub(super) fn client_cert(call: &Call) -> Result<Obj> {
    call.on_open(|e| e.connection.channel.tls_info().map_or_else(Obj::empty, |tls| text(&tls.peer)))
}

pub(super) fn sock(call: &Call) -> Result<Obj> {
    call.on_socket(|e| match e.state() {
        State::Channel => number(-1),
        _ => number(e.connection.channel.fd().map_or(-1, i64::from)),
    })
}

pub(super) fn keep_alive(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("value[0,1]", Kind::Range("value", 0, 1))],
        required: 0,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        check_socket(e)?;
        if e.state() == State::Channel {
            return Ok(number(0));
        }
        if let Some(value) = parsed.words[0] {
            e.keep_alive = Some(value.number() == 1);
        }
        Ok(number(e.keep_alive.map_or(-1, i64::from)))
    })
}

pub(super) fn status(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("code[100,599]", Kind::Range("code", 100, 599))],
        required: 0,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        if let Some(code) = parsed.words[0] {
            check_socket(e)?;
            e.set_status(code.number() as u16);
            return Ok(code.obj.clone());
        }
        Ok(number(i64::from(e.status())))
    })
}

pub(super) fn start(call: &Call) -> Result<Obj> {
    call.plain(|e| {
        let dotted = system_time_dotted(e.start);
        let micros = e.start.duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_micros());
        let seconds = dotted.split('.').next().unwrap_or_default();
        text(&format!("{seconds}:{micros}"))
    })
}

pub(super) fn partial_times(call: &Call) -> Result<Obj> {
    call.plain(|e| {
        let run = format!("{:.6}", e.begun.elapsed().as_secs_f64());
        Obj::from_pairs([
            ("accepttime", text("0.000000")),
            ("queuetime", text("0.000000")),
            ("filtertime", text("0.000000")),
            ("runtime", text(&run)),
        ])
    })
}

pub(super) fn output_headers(call: &Call) -> Result<Obj> {
    let known = call.plain(|e| e.handles[1].as_deref().map_or_else(Obj::empty, text))?;
    if !known.raw_text().is_empty() {
        return Ok(known);
    }
    let fields = with_exchange(|e| Ok(e.output.fields().to_vec()))?;
    let mut set = NsSet::new(Some("response headers".to_owned()), true);
    set.append(fields);
    let handle = ns_set::create_owned(call.interp, set);
    with_exchange(|e| {
        e.handles[1] = Some(handle.clone());
        Ok(text(&handle))
    })
}

pub(super) fn encoding(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("encoding", Kind::Any)], required: 0 };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let wanted = parsed.words[0].map(|v| v.obj.text());
    if let Some(name) = wanted.as_deref().filter(|name| !charset::is_known(call.interp, name)) {
        with_exchange(|_| Ok(()))?;
        return Err(Error::new(format!("no such encoding: {name}")));
    }
    with_exchange(|e| {
        if let Some(name) = &wanted {
            e.charset = Some(charset::charset_name(name));
        }
        Ok(text(e.charset()))
    })
}

pub(super) fn url_encoding(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("encoding", Kind::Any)], required: 0 };
    SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|_| Ok(text("utf-8")))
}

pub(super) fn peer_addr(call: &Call) -> Result<Obj> {
    const SOURCES: &[&str] = &["configured", "direct", "forwarded"];
    const SYNTAX: Syntax<1, 0> = Syntax {
        options: [Opt::valued("-source", Kind::OneOf(SOURCES), "value")],
        ends_options: false,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        Ok(text(&match parsed.options[0].map(|v| v.number()) {
            Some(2) => forwarded(e),
            _ => e.connection.peer_text(),
        }))
    })
}

/// The first address of `X-Forwarded-For`.
fn forwarded(exchange: &Exchange) -> String {
    let field = exchange.request.field("x-forwarded-for").unwrap_or_default();
    let first = field.split(',').next().unwrap_or_default().trim();
    first.parse::<IpAddr>().map(|ip| ip.to_string()).unwrap_or_default()
}

pub(super) fn peer_port(call: &Call) -> Result<Obj> {
    call.plain(|e| number(e.connection.addresses().1.map_or(0, |a| i64::from(a.port()))))
}

/// Whether a content coding is acceptable (RFC 9110, section 12.5.3).
fn accepts(exchange: &Exchange, coding: &str) -> bool {
    let Some(field) = exchange.request.field("accept-encoding") else { return false };
    let mut star = false;
    for part in field.split(',') {
        let mut words = part.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let refused = words.filter_map(|w| w.strip_prefix("q=")).any(|q| q.trim().parse() == Ok(0.0));
        if name.eq_ignore_ascii_case(coding) {
            return !refused;
        }
        star |= name == "*" && !refused;
    }
    star
}

pub(super) fn accepted_compression(call: &Call) -> Result<Obj> {
    call.plain(|e| {
        let known = [("br", "brotli"), ("gzip", "gzip")];
        let names: Vec<Obj> =
            known.iter().filter(|(coding, _)| accepts(e, coding)).map(|(_, name)| text(name)).collect();
        Obj::from_list(&names)
    })
}

pub(super) fn zip_accepted(call: &Call) -> Result<Obj> {
    call.plain(|e| number(i64::from(accepts(e, "gzip"))))
}

pub(super) fn channel(call: &Call) -> Result<Obj> {
    NOTHING.parse(call.interp, call.name, call.args)?;
    let (socket, early) = with_exchange(|e| {
        check_open(e)?;
        if e.state() == State::Channel {
            return Err(Error::new("no socket for connection"));
        }
        crate::commands::http::sync(call.interp, e);
        e.give_socket()
    })?;
    crate::tcl::channel::from_socket(call.interp, socket, &early)
}
