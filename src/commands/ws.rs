//! The commands that the package `ws` is made of; the rest of it is
//! `tcl/ws.tcl`. See docs/ws.n.

use super::ns_connchan::channel;
use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::connchan::native::Native;
use crate::connchan::{home, Channel};
use crate::http::head::RequestHead;
use crate::tcl::args::{word, Kind, Opt, Parsed, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::script::Script;
use crate::tcl::{Interp, Obj, Outcome};
use crate::websocket::{Opcode, Role};
use crate::ws::link::Link;
use crate::ws::settings::Settings;
use crate::ws::talk::{Scripts, Talk};
use crate::ws::{client, topics};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Every command, by its full name. Those in capitals are for `ws.tcl` alone.
pub const COMMANDS: &[(&str, CommandProc)] = &[
    ("::ws::send", send),
    ("::ws::ping", ping),
    ("::ws::close", close),
    ("::ws::subscribe", subscribe),
    ("::ws::unsubscribe", unsubscribe),
    ("::ws::subscribers", subscribers),
    ("::ws::topics", topic_names),
    ("::ws::multicast", multicast),
    ("::ws::Attach", attach),
    ("::ws::Settings", check_settings),
    ("::ws::client::Handshake", client_handshake),
    ("::ws::client::Receive", client_receive),
    ("::ws::client::Finish", client_finish),
];

/// Text as UTF-8, or bytes as they are.
fn send_as(opcode: Opcode, message: &Obj, send: impl FnOnce(&[u8]) -> Result<usize>) -> Result<usize> {
    if opcode == Opcode::Binary {
        send(message.bytes()?)
    } else {
        send(message.text().as_bytes())
    }
}

fn opcode(binary: bool) -> Opcode {
    if binary {
        Opcode::Binary
    } else {
        Opcode::Text
    }
}

/// `ws::send ?-text? ?-binary? channel message`: the length of the frame.
fn send(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 2> = Syntax {
        options: [Opt::flag("-text"), Opt::flag("-binary")],
        ends_options: true,
        words: [word("channel", Kind::Any), word("message", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let channel = channel(parsed.word(0).obj)?;
    let link = Link::on(&channel)?;
    let opcode = opcode(parsed.has(1));
    let sent = send_as(opcode, parsed.word(1).obj, |bytes| link.send(&channel, opcode, bytes))?;
    interp.set_result(&Obj::from_count(sent as u64));
    Ok(())
}

/// `ws::ping channel ?data?`
fn ping(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("channel", Kind::Any), word("data", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let channel = channel(parsed.word(0).obj)?;
    let data = parsed.words[1].map_or(Ok(&b""[..]), |v| v.obj.bytes())?;
    let sent = Link::of(&channel)?.send_control(&channel, Opcode::Ping, data)?;
    interp.set_result(&Obj::from_count(sent as u64));
    Ok(())
}

/// `ws::close channel ?code? ?reason?`: whether it was open.
fn close(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [word("channel", Kind::Any), word("code", Kind::Int), word("reason", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let channel = channel(parsed.word(0).obj)?;
    let (code, reason) = code_and_reason(&parsed)?;
    let was_open = Link::of(&channel)?.close(&channel, Some(code), &reason)?;
    interp.set_result(&Obj::from_int(i64::from(was_open)));
    Ok(())
}

/// The words `?code? ?reason?` behind a channel.
fn code_and_reason<'a>(parsed: &'a Parsed<'a, 0, 3>) -> Result<(u16, std::borrow::Cow<'a, str>)> {
    let code = match parsed.words[1] {
        None => crate::websocket::close::NORMAL,
        Some(given) => u16::try_from(given.number()).map_err(|_| {
            Error::with_code(format!("invalid close code \"{}\"", given.number()), &["WEBSOCKET", "CODE"])
        })?,
    };
    Ok((code, parsed.words[2].map(|v| v.obj.text()).unwrap_or_default()))
}

/// `ws::subscribe channel topic`: whether it is new to it.
fn subscribe(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("channel", Kind::Any), word("topic", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let is_new = topics::join(&channel(parsed.word(0).obj)?, &parsed.word(1).obj.text())?;
    interp.set_result(&Obj::from_int(i64::from(is_new)));
    Ok(())
}

/// `ws::unsubscribe channel topic`: whether it was in it.
fn unsubscribe(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("channel", Kind::Any), word("topic", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let channel = channel(parsed.word(0).obj)?;
    let was_in = topics::leave(channel.id(), &*Link::of(&channel)?, &parsed.word(1).obj.text());
    interp.set_result(&Obj::from_int(i64::from(was_in)));
    Ok(())
}

/// `ws::subscribers topic`: the channels.
fn subscribers(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("topic", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let members = topics::members(&parsed.word(0).obj.text());
    let handles: Vec<Obj> = members.iter().map(|channel| Obj::from_str(&channel.name())).collect();
    interp.set_result(&Obj::from_list(&handles));
    Ok(())
}

/// `ws::topics`: those that have subscribers.
fn topic_names(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let names: Vec<Obj> = topics::names().iter().map(|name| Obj::from_str(name)).collect();
    interp.set_result(&Obj::from_list(&names));
    Ok(())
}

/// `ws::multicast ?-binary? ?-exclude channel? topic message`: the number of
/// receivers.
fn multicast(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 2> = Syntax {
        options: [Opt::flag("-text"), Opt::flag("-binary"), Opt::valued("-exclude", Kind::Any, "channel")],
        ends_options: true,
        words: [word("topic", Kind::Any), word("message", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let opcode = opcode(parsed.has(1));
    // Whoever is to be left out may be gone.
    let exclude = parsed.options[2].and_then(|v| channel(v.obj).ok()).map(|channel| channel.id());
    let topic = parsed.word(0).obj.text();
    let count =
        send_as(opcode, parsed.word(1).obj, |bytes| Ok(topics::multicast(&topic, exclude, opcode, bytes)))?;
    interp.set_result(&Obj::from_count(count as u64));
    Ok(())
}

/// The settings that a dictionary stands for; remembered in the value.
fn settings(value: &Obj) -> Result<Arc<Settings>> {
    if let Some(known) = value.cached::<Settings>() {
        return Ok(known);
    }
    let pairs = value.elements().filter(|e| e.len() % 2 == 0);
    let pairs = pairs.ok_or_else(|| Error::new("expected a dictionary of WebSocket settings"))?;
    let is_client = pairs.chunks_exact(2).any(|p| p[0].is_word("role") && p[1].is_word("client"));
    let mut settings = Settings::new(if is_client { Role::Client } else { Role::Server });
    for pair in pairs.chunks_exact(2).filter(|p| !p[0].is_word("role")) {
        let list: Vec<String> =
            pair[1].elements().unwrap_or_default().iter().map(|e| e.text().into_owned()).collect();
        settings.set(&pair[0].text(), &pair[1].text(), &list)?;
    }
    let settings = Arc::new(settings);
    value.cache(Arc::clone(&settings));
    Ok(settings)
}

/// `ws::Settings dict`: checks it.
fn check_settings(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("settings", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    settings(parsed.word(0).obj)?;
    Ok(())
}

/// `ws::Attach channel settings callback ?authorize? ?http? ?request? ?stays?`:
/// makes a WebSocket of a channel. `request` is method, target, version and
/// header fields, when these have been read already. With `stays`, anything, the
/// callback runs in the calling thread. Whether it was not refused.
fn attach(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 7> = Syntax {
        options: [],
        ends_options: false,
        words: [
            word("channel", Kind::Any),
            word("settings", Kind::Any),
            word("callback", Kind::Any),
            word("authorize", Kind::Any),
            word("http", Kind::Any),
            word("request", Kind::Any),
            word("stays", Kind::Any),
        ],
        required: 3,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let channel = channel(parsed.word(0).obj)?;
    let callback = parsed.word(2).obj;
    let given = |index: usize| parsed.words[index].map(|v| v.obj).filter(|obj| !obj.text().is_empty());
    let head = given(5).map(request_head).transpose()?;
    if channel.listening_at().is_some() {
        return Err(Error::new(format!("channel \"{}\" is listening", channel.name())).into());
    }
    let settings = settings(parsed.word(1).obj)?;
    let is_accepted = head.as_ref().is_none_or(|head| Talk::would_accept(head, &settings));
    let link = Link::attach(&channel, settings)?;
    let text = |obj: &Obj| obj.text().into_owned();
    let texts = [Some(callback), given(3), given(4)].map(|obj| obj.map(text));
    // Where that is not here, the scripts go as text.
    let there = (head.clone(), Arc::clone(&link));
    let make = Box::new(move |channel: &Arc<Channel>| -> Result<Rc<dyn Native>> {
        let [event, authorize, http] = texts.map(|text| text.map(|text| script(&Obj::from_str(&text))));
        let event = event.unwrap_or_else(|| script(&Obj::empty()));
        Ok(Rc::new(Talk::new(channel, there.1, Scripts { event, authorize, http }, there.0)?))
    });
    let stays = given(6).is_some();
    if stays || home::assign_native(&channel, callback, make)?.is_some() {
        let scripts =
            Scripts { event: script(callback), authorize: given(3).map(script), http: given(4).map(script) };
        home::register_native(
            interp,
            &channel,
            callback,
            Rc::new(Talk::new(&channel, link, scripts, head)?),
        )?;
    }
    interp.set_result(&Obj::from_int(i64::from(is_accepted)));
    Ok(())
}

fn script(obj: &Obj) -> Rc<Script> {
    Rc::new(Script::new(obj))
}

fn request_head(value: &Obj) -> Result<RequestHead> {
    let wrong = || Error::new("expected method, target, HTTP version and header fields");
    let parts = value.elements().filter(|e| e.len() == 4).ok_or_else(wrong)?;
    let fields = parts[3].elements().filter(|e| e.len() % 2 == 0).ok_or_else(wrong)?;
    Ok(RequestHead {
        method: parts[0].text().into_owned(),
        target: parts[1].text().into_owned(),
        version: if parts[2].is_word("1.0") { "1.0" } else { "1.1" },
        fields: fields
            .chunks_exact(2)
            .map(|pair| (pair[0].text().into_owned(), pair[1].text().into_owned()))
            .collect(),
    })
}

/// `ws::client::Handshake -timeout t channel settings`: makes the opening
/// handshake by waiting; the subprotocol.
fn client_handshake(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 2> = Syntax {
        options: [Opt::valued("-timeout", Kind::Time, "time")],
        ends_options: false,
        words: [word("channel", Kind::Any), word("settings", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let settings = settings(parsed.word(1).obj)?;
    let wait = parsed.time(0).unwrap_or(settings.handshake_wait);
    let channel = channel(parsed.word(0).obj)?;
    let protocol = client::open(&channel, settings, Instant::now() + wait.as_duration())?;
    interp.set_result(&Obj::from_str(&protocol.unwrap_or_default()));
    Ok(())
}

/// `ws::client::Receive ?-timeout time? channel`: type and payload of the next
/// message.
fn client_receive(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::valued("-timeout", Kind::Time, "time")],
        ends_options: false,
        words: [word("channel", Kind::Any)],
        required: 1,
    };
    const WAIT: TimeValue = TimeValue::from_secs(30);
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let channel = channel(parsed.word(0).obj)?;
    let wait = parsed.time(0).unwrap_or(WAIT);
    let message = client::receive(&channel, Instant::now() + wait.as_duration())?;
    let payload = match std::str::from_utf8(&message.payload) {
        Ok(text) if message.is_text => Obj::from_str(text),
        _ => Obj::from_bytes(&message.payload),
    };
    let kind = Obj::from_str(if message.is_text { "text" } else { "binary" });
    interp.set_result(&Obj::from_list(&[kind, payload]));
    Ok(())
}

/// `ws::client::Finish channel ?code? ?reason?`: closes the connection of a
/// waiting client, and waits for the peer to close it as well.
fn client_finish(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [word("channel", Kind::Any), word("code", Kind::Int), word("reason", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let channel = channel(parsed.word(0).obj)?;
    let (code, reason) = code_and_reason(&parsed)?;
    client::finish(&channel, Some(code), &reason)?;
    Ok(())
}
