//! A client without an event loop: opening and receiving by waiting.

use super::greeting::{answered, request};
use super::link::{Link, Receiver};
use super::settings::{Settings, MAX_HEAD};
use crate::base::{Error, Result};
use crate::connchan::Channel;
use crate::http::head;
use crate::websocket::{close, Event, Opcode};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

thread_local! {
    /// Where bytes are received; none of it is kept between calls.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; (64 << 10) + 1].into_boxed_slice());
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Text, or binary.
    pub is_text: bool,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Makes the opening handshake over a channel that is connected, or on its
/// way; the subprotocol that was agreed on.
///
/// # Errors
/// The server's answer is none, or a refusal; it takes too long.
pub fn open(channel: &Channel, settings: Arc<Settings>, deadline: Instant) -> Result<Option<String>> {
    let link = Link::attach(channel, Arc::clone(&settings))?;
    let (key, bytes) = request(&settings)?;
    channel.send_now(&bytes)?;
    let mut receiver = link.receiver();
    loop {
        if let Some((head, used)) = head::response(&receiver.inbox)? {
            receiver.inbox.drain(..used);
            let (protocol, compression) = answered(&head, &key, &settings)?;
            link.open(compression.as_ref(), &mut receiver);
            return Ok(protocol);
        }
        if receiver.inbox.len() > MAX_HEAD {
            return Err(failed("the answer to the opening handshake is too long"));
        }
        let received = BUFFER.with_borrow_mut(|buffer| {
            let count = channel.receive_until(buffer, deadline)?;
            receiver.inbox.extend_from_slice(&buffer[..count.unwrap_or(0)]);
            Ok::<_, Error>(count)
        })?;
        match received {
            None => return Err(Error::timeout("timeout in the WebSocket handshake")),
            Some(0) => return Err(failed("connection closed")),
            Some(_) => {}
        }
    }
}

fn failed(reason: &str) -> Error {
    Error::with_code(format!("WebSocket handshake failed: {reason}"), &["WEBSOCKET", "HANDSHAKE", reason])
}

/// Waits for the next message. Pings are answered meanwhile.
///
/// # Errors
/// The connection is closed (errorCode `WEBSOCKET CLOSE code reason`, the code
/// being 1006 when it was cut), or nothing comes until the deadline. A home
/// receives for it.
pub fn receive(channel: &Channel, deadline: Instant) -> Result<Message> {
    let link = Link::of(channel)?;
    if link.is_homed() {
        let reason = "has a callback, which is told what comes";
        return Err(Error::with_code(
            format!("channel \"{}\" {reason}", channel.name()),
            &["WEBSOCKET", "STATE", reason],
        ));
    }
    let timeout =
        || Error::timeout(format!("channel \"{}\": timeout while waiting for a message", channel.name()));
    let mut receiver = link.receiver_until(deadline).ok_or_else(timeout)?;
    let receiver = &mut *receiver;
    if let Some(ended) = &receiver.ended {
        return Err(closed(channel, ended.0, &ended.1));
    }
    loop {
        match decode(channel, &link, receiver) {
            Found::Message(message) => return Ok(message),
            Found::End(code, reason) => return Err(end(channel, receiver, code, &reason)),
            Found::Nothing => {}
        }
        // What an earlier call has left: a pong, a message of a multicast.
        let _ = channel.send_now(&[]);
        let received = BUFFER.with_borrow_mut(|buffer| {
            let count = channel.receive_until(buffer, deadline)?;
            receiver.inbox.extend_from_slice(&buffer[..count.unwrap_or(0)]);
            Ok::<_, Error>(count)
        });
        match received {
            Ok(None) => return Err(timeout()),
            Ok(Some(0)) => return Err(end(channel, receiver, close::ABNORMAL, "connection closed")),
            Ok(Some(_)) => {}
            Err(error) => return Err(end(channel, receiver, close::ABNORMAL, &error.message)),
        }
    }
}

/// Closes the connection and waits for the peer to do so as well, as long as
/// the settings say. Messages that come meanwhile count no more.
///
/// # Errors
/// A code that may not be sent, a reason that is too long.
pub fn finish(channel: &Channel, code: Option<u16>, reason: &str) -> Result<()> {
    let link = Link::of(channel)?;
    link.close(channel, code, reason)?;
    let deadline = Instant::now() + link.settings().close_wait.as_duration();
    let _ = channel.flush_until(deadline);
    while receive(channel, deadline).is_ok() {}
    Ok(())
}

/// What a waiting client has found in what it has received.
enum Found {
    Message(Message),
    End(u16, String),
    Nothing,
}

fn decode(channel: &Channel, link: &Link, receiver: &mut Receiver) -> Found {
    let mut used = 0;
    let mut found = Found::Nothing;
    while matches!(found, Found::Nothing) && used < receiver.inbox.len() {
        let step = match receiver.decoder.decode(&mut receiver.inbox[used..]) {
            Ok(step) if step.used == 0 => break,
            Ok(step) => step,
            Err(violation) => {
                let _ = link.close(channel, Some(violation.code), violation.reason);
                found = Found::End(violation.code, violation.reason.to_owned());
                break;
            }
        };
        used += step.used;
        match step.event {
            Some(Event::Text(payload)) => {
                found = Found::Message(Message { is_text: true, payload: payload.to_vec() });
            }
            Some(Event::Binary(payload)) => {
                found = Found::Message(Message { is_text: false, payload: payload.to_vec() });
            }
            Some(Event::Ping(payload)) => {
                let _ = link.send_control(channel, Opcode::Pong, payload);
            }
            Some(Event::Close(sent)) => {
                let _ = link.close(channel, sent.code(), "");
                found = Found::End(sent.code().unwrap_or(close::NO_STATUS), sent.reason().to_owned());
            }
            Some(Event::Pong(_)) | None => {}
        }
    }
    receiver.inbox.drain(..used);
    found
}

/// Remembers how it ended; the error that says so.
fn end(channel: &Channel, receiver: &mut Receiver, code: u16, reason: &str) -> Error {
    receiver.ended = Some(Box::new((code, reason.to_owned())));
    closed(channel, code, reason)
}

fn closed(channel: &Channel, code: u16, reason: &str) -> Error {
    let colon = if reason.is_empty() { "" } else { ": " };
    Error::with_code(
        format!("channel \"{}\" is closed with code {code}{colon}{reason}", channel.name()),
        &["WEBSOCKET", "CLOSE", &code.to_string(), reason],
    )
}
