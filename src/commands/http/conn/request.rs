//! `ns_conn` about the request: its line, its fields, who asks.

use super::{check_socket, number, text, Call};
use crate::base::set::NsSet;
use crate::base::{Error, Result};
use crate::commands::http::with_exchange;
use crate::commands::ns_set;
use crate::http::target;
use crate::server::exchange::{Exchange, State};
use crate::tcl::args::{word, Kind, Syntax};
use crate::tcl::Obj;

pub(super) fn method(call: &Call) -> Result<Obj> {
    call.plain(|e| text(e.method()))
}

pub(super) fn request(call: &Call) -> Result<Obj> {
    call.plain(|e| text(&e.request.line()))
}

pub(super) fn target(call: &Call) -> Result<Obj> {
    call.plain(|e| text(e.request.target()))
}

pub(super) fn version(call: &Call) -> Result<Obj> {
    call.plain(|e| text(if e.request.minor_version() == 0 { "1.0" } else { "1.1" }))
}

pub(super) fn url(call: &Call) -> Result<Obj> {
    call.plain(|e| text(e.path()))
}

pub(super) fn query(call: &Call) -> Result<Obj> {
    call.plain(|e| text(e.query()))
}

pub(super) fn fragment(call: &Call) -> Result<Obj> {
    call.plain(|_| Obj::empty())
}

pub(super) fn urlc(call: &Call) -> Result<Obj> {
    call.plain(|e| number(target::components(e.raw_path()).len() as i64))
}

pub(super) fn urlv(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("idx[0,MAX]", Kind::Range("idx", 0, i64::MAX))],
        required: 0,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        let parts = target::components(e.raw_path());
        match parsed.words[0] {
            None => Ok(Obj::from_list(&parts.iter().map(|p| text(p)).collect::<Vec<_>>())),
            Some(index) => {
                let index = index.number();
                let part = usize::try_from(index).ok().and_then(|i| parts.get(i));
                part.map(|p| text(p))
                    .ok_or_else(|| Error::new(format!("provided index {index} exceeds length of urlv")))
            }
        }
    })
}

pub(super) fn urldict(call: &Call) -> Result<Obj> {
    call.plain(|e| {
        let path = e.raw_path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (path, tail) = path.rsplit_once('/').unwrap_or(("", path));
        let mut pairs = vec![("path", text(path)), ("tail", text(tail))];
        if !e.query().is_empty() {
            pairs.push(("query", text(e.query())));
        }
        Obj::from_pairs(pairs)
    })
}

pub(super) fn headers(call: &Call) -> Result<Obj> {
    let known = call.plain(|e| e.handles[0].as_deref().map_or_else(Obj::empty, text))?;
    if !known.raw_text().is_empty() {
        return Ok(known);
    }
    let set = with_exchange(|e| {
        let mut set = NsSet::new(Some("request headers".to_owned()), true);
        for (name, value) in e.request.fields() {
            set.put(name, &value);
        }
        Ok(set)
    })?;
    let handle = ns_set::create_owned(call.interp, set);
    with_exchange(|e| {
        e.handles[0] = Some(handle.clone());
        Ok(text(&handle))
    })
}

pub(super) fn header_length(call: &Call) -> Result<Obj> {
    call.plain(|e| number(if e.state() == State::Complete { 0 } else { e.request.head_length() as i64 }))
}

pub(super) fn host(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("default", Kind::Any)], required: 0 };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        let host = e.request.field("host").map(|h| target::host_and_port(&h).0.to_owned());
        let default = || parsed.words[0].map(|v| v.obj.clone()).unwrap_or_else(Obj::empty);
        Ok(host.map_or_else(default, |h| text(&h)))
    })
}

pub(super) fn port(call: &Call) -> Result<Obj> {
    super::NOTHING.parse(call.interp, call.name, call.args)?;
    with_exchange(|e| {
        check_socket(e)?;
        let port = match e.request.field("host") {
            None => 0,
            Some(host) => target::host_and_port(&host).1.unwrap_or(e.connection.driver.place.port),
        };
        Ok(number(i64::from(port)))
    })
}

/// User and password of the `Authorization` field.
fn credentials(exchange: &Exchange) -> (String, String, String) {
    let field = exchange.request.field("authorization").unwrap_or_default();
    let (scheme, rest) = field.split_once(' ').unwrap_or((&field, ""));
    let rest = rest.trim();
    if !scheme.eq_ignore_ascii_case("basic") {
        return (scheme.to_owned(), String::new(), rest.to_owned());
    }
    let decoded = openssl::base64::decode_block(rest).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded).into_owned();
    let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
    ("Basic".to_owned(), user.to_owned(), password.to_owned())
}

pub(super) fn auth(call: &Call) -> Result<Obj> {
    let (scheme, user, rest) = with_exchange(|e| {
        super::NOTHING.parse(call.interp, call.name, call.args)?;
        Ok(credentials(e))
    })?;
    let mut set = NsSet::new(Some("auth".to_owned()), true);
    match scheme.as_str() {
        "" => {}
        "Basic" => {
            set.put("AuthMethod", "Basic");
            set.put("Username", &user);
            set.put("Password", &rest);
        }
        other => {
            set.put("AuthMethod", other);
            set.put("Token", &rest);
        }
    }
    let handle = ns_set::create_owned(call.interp, set);
    with_exchange(|e| {
        e.other_handles.push(handle.clone());
        Ok(text(&handle))
    })
}

pub(super) fn auth_user(call: &Call) -> Result<Obj> {
    call.plain(|e| text(&credentials(e).1))
}

pub(super) fn auth_password(call: &Call) -> Result<Obj> {
    call.plain(|e| {
        let (scheme, _, password) = credentials(e);
        text(if scheme == "Basic" { &password } else { "" })
    })
}
