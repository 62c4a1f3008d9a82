//! `ns_conn` about the body of the request, and the form in it.

use super::{check_open, number, text, Call, NOTHING};
use crate::base::set::{Match, NsSet};
use crate::base::{Error, Result};
use crate::commands::http::{charset, with_exchange};
use crate::commands::ns_set;
use crate::http::form::{parameter, Form};
use crate::server::exchange::{Exchange, State};
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::{channel, Interp, Obj};
use std::sync::Arc;

/// A body of a form is looked at up to this size.
const MAX_FORM: u64 = 64 << 20;

fn unreadable(error: std::io::Error) -> Error {
    Error::new(format!("cannot read the content: {error}"))
}

/// The charset that the request names for its body.
fn request_charset(exchange: &Exchange) -> String {
    let content_type = exchange.request.field("content-type").unwrap_or_default();
    charset::of_type(&content_type).unwrap_or("utf-8").to_owned()
}

/// Characters of text from `offset` on, at most `length`.
fn characters(text: &str, offset: u64, length: u64) -> &str {
    let at = |text: &str, count: u64| {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        text.char_indices().nth(count).map_or(text.len(), |(i, _)| i)
    };
    let rest = &text[at(text, offset)..];
    &rest[..at(rest, length)]
}

pub(super) fn content(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<1, 2> = Syntax {
        options: [Opt::flag("-binary")],
        ends_options: false,
        words: [
            word("offset[0,MAX]", Kind::Range("offset", 0, i64::MAX)),
            word("length[1,MAX]", Kind::Range("length", 1, i64::MAX)),
        ],
        required: 0,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let offset = parsed.words[0].map_or(0, |v| v.number() as u64);
    let length = parsed.words[1].map(|v| v.number() as u64);
    let (bytes, name) = with_exchange(|e| {
        if matches!(e.state(), State::Complete | State::Detached) {
            return Err(Error::new("connection already closed, can't get content"));
        }
        let available = e.request.body.len();
        if offset > 0 && offset >= available {
            return Err(Error::new("offset exceeds available content length"));
        }
        if let Some(length) = length.filter(|l| *l > available - offset) {
            return Err(Error::new(format!(
                "offset ({offset}) + length ({length}) exceeds available content length ({available})"
            )));
        }
        let bytes = e.request.body.all().map_err(unreadable)?.into_owned();
        Ok((bytes, request_charset(e)))
    })?;
    if parsed.has(0) {
        let from = offset as usize;
        let count = length.map_or(bytes.len() - from, |l| l as usize);
        return Ok(Obj::from_bytes(&bytes[from..from + count]));
    }
    let all = charset::decode(call.interp, &name, &bytes);
    if offset == 0 && length.is_none() {
        return Ok(all);
    }
    Ok(text(characters(&all.text(), offset, length.unwrap_or(u64::MAX))))
}

pub(super) fn content_file(call: &Call) -> Result<Obj> {
    call.plain(|e| e.request.body.path().map_or_else(Obj::empty, |p| text(&p.to_string_lossy())))
}

pub(super) fn content_length(call: &Call) -> Result<Obj> {
    call.plain(|e| Obj::from_count(e.request.body.len()))
}

pub(super) fn content_type(call: &Call) -> Result<Obj> {
    call.on_open(|e| {
        let raw = e.request.field("content-type").unwrap_or_default();
        let essence = raw.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut pairs = vec![("raw", text(&raw)), ("type", text(&essence))];
        if let Some(name) = parameter(&raw, "charset") {
            pairs.push(("charset", text(&name)));
        }
        if let Some(boundary) = parameter(&raw, "boundary") {
            pairs.push(("boundary", text(&boundary)));
        }
        if let Some((_, suffix)) = essence.rsplit_once('+') {
            pairs.push(("suffix", text(suffix)));
        }
        Obj::from_pairs(pairs)
    })
}

pub(super) fn copy(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [
            word("offset[0,MAX]", Kind::Range("offset", 0, i64::MAX)),
            word("length[0,MAX]", Kind::Range("length", 0, i64::MAX)),
            word("channelId", Kind::Any),
        ],
        required: 3,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let (offset, length) = (parsed.word(0).number() as u64, parsed.word(1).number() as u64);
    let target = channel::find(call.interp, parsed.word(2).obj, channel::Mode::Write)?;
    let bytes = with_exchange(|e| {
        check_open(e)?;
        if offset > e.request.body.len() {
            return Err(Error::new("offset is larger than request length"));
        }
        if length > e.request.body.len() - offset {
            return Err(Error::new("length is larger than request length minus offset"));
        }
        Ok(e.request.body.part(offset, length).map_err(unreadable)?.into_owned())
    })?;
    target.write(&bytes)?;
    Ok(Obj::empty())
}

/// The form of the request: its query, and its body if that is one.
pub(in crate::commands::http) fn form_of(exchange: &mut Exchange) -> Arc<Form> {
    if let Some(form) = &exchange.form {
        return Arc::clone(form);
    }
    let mut form = Form::default();
    let content_type = exchange.request.field("content-type").unwrap_or_default().into_owned();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_form = matches!(essence.as_str(), "application/x-www-form-urlencoded" | "multipart/form-data");
    if is_form && exchange.request.body.len() <= MAX_FORM {
        if let Ok(body) = exchange.request.body.all() {
            match (essence.as_str(), parameter(&content_type, "boundary")) {
                ("multipart/form-data", Some(boundary)) => form.add_multipart(&body, &boundary),
                ("multipart/form-data", None) => {}
                _ => form.add_query(&String::from_utf8_lossy(&body)),
            }
        }
    }
    form.add_query(exchange.query());
    let form = Arc::new(form);
    exchange.form = Some(Arc::clone(&form));
    form
}

pub(super) fn form(call: &Call) -> Result<Obj> {
    NOTHING.parse(call.interp, call.name, call.args)?;
    form_handle(call.interp)
}

/// The handle of a set with the fields of the form.
pub(in crate::commands::http) fn form_handle(interp: Interp) -> Result<Obj> {
    let form = with_exchange(|e| Ok(form_of(e)))?;
    if let Some(handle) = with_exchange(|e| Ok(e.form_handle.clone()))? {
        return Ok(text(&handle));
    }
    let mut set = NsSet::new(Some("form".to_owned()), false);
    set.append(form.fields.clone());
    let handle = ns_set::create_owned(interp, set);
    with_exchange(|e| {
        e.other_handles.push(handle.clone());
        e.form_handle = Some(handle.clone());
        Ok(text(&handle))
    })
}

pub(super) fn files(call: &Call) -> Result<Obj> {
    NOTHING.parse(call.interp, call.name, call.args)?;
    let form = with_exchange(|e| Ok(form_of(e)))?;
    let mut names: Vec<&str> = Vec::new();
    for file in &form.files {
        if !names.contains(&file.field.as_str()) {
            names.push(&file.field);
        }
    }
    Ok(Obj::from_list(&names.into_iter().map(text).collect::<Vec<_>>()))
}

fn of_file(call: &Call, value: impl Fn(&crate::http::form::File) -> Obj) -> Result<Obj> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("file", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let form = with_exchange(|e| Ok(form_of(e)))?;
    let name = parsed.word(0).obj.text();
    let values: Vec<Obj> = form.files.iter().filter(|f| f.field == *name).map(value).collect();
    match values.is_empty() {
        true => Err(Error::new(format!("no such file: {name}"))),
        false => Ok(Obj::from_list(&values)),
    }
}

pub(super) fn file_length(call: &Call) -> Result<Obj> {
    of_file(call, |file| number(file.length as i64))
}

pub(super) fn file_offset(call: &Call) -> Result<Obj> {
    of_file(call, |file| number(file.offset as i64))
}

pub(super) fn file_headers(call: &Call) -> Result<Obj> {
    let sets = of_file(call, |file| {
        let mut set = NsSet::new(Some("file headers".to_owned()), true);
        file.headers.iter().for_each(|(name, value)| {
            set.update(name, Match::IgnoreCase, value);
        });
        text(&ns_set::create_owned(call.interp, set))
    })?;
    let handles: Vec<String> =
        sets.elements().unwrap_or_default().iter().map(|h| h.text().into_owned()).collect();
    with_exchange(|e| {
        e.other_handles.extend(handles);
        Ok(sets)
    })
}
