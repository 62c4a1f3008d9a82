//! Received bytes to messages: one end of a connection, without the
//! connection.
//!
//! The caller keeps what was received and not yet used in a buffer of his own,
//! shows all of it to [`Decoder::decode`], drops as many bytes from its front as
//! the step says, and calls again until a step uses none; then more has to be
//! received, behind what is there. A frame that is whole and alone a message is
//! unmasked where it lies and lent out from there: nothing is copied. Of a frame
//! that is not yet whole, the decoder unmasks and checks what is there, once,
//! and remembers how far it got; hence these bytes have to be shown again as
//! they were left, wherever they are by then.

use super::close::{Close, Violation};
use super::extension::Params;
use super::frame::Opcode;
use super::header::{Header, Rules};
use super::inflate::Inflater;
use super::mask::apply_mask;
use super::utf8::Utf8;

/// Whose end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A server: what it receives is masked.
    Server,
    /// A client: what it receives is not masked.
    Client,
    /// Unknown: both are taken, and sent frames are not masked.
    Either,
}

/// The longest payload of a frame, unless configured otherwise: 16 MiB.
pub const DEFAULT_MAX_FRAME: usize = 16 << 20;

/// The longest message, all fragments together and inflated, unless configured
/// otherwise: 64 MiB.
pub const DEFAULT_MAX_MESSAGE: usize = 64 << 20;

/// Room for fragments and inflated data that is kept from message to message.
const KEPT_ROOM: usize = 512;

/// What a decoder accepts.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Whose end it is.
    pub role: Role,
    /// The longest payload of a frame.
    pub max_frame: usize,
    /// The longest message, all fragments together and inflated.
    pub max_message: usize,
    /// Whether text has to be UTF-8, as RFC 6455 wants it.
    pub check_utf8: bool,
}

impl Config {
    /// The defaults for the given end.
    pub fn new(role: Role) -> Config {
        Config { role, max_frame: DEFAULT_MAX_FRAME, max_message: DEFAULT_MAX_MESSAGE, check_utf8: true }
    }
}

/// What has come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message, valid UTF-8 unless the configuration does without.
    Text(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer closes. Nothing that comes behind it counts.
    Close(Close<'a>),
}

impl<'a> Event<'a> {
    /// The opcode of the message: of its first frame.
    pub fn opcode(&self) -> Opcode {
        match self {
            Event::Text(_) => Opcode::Text,
            Event::Binary(_) => Opcode::Binary,
            Event::Ping(_) => Opcode::Ping,
            Event::Pong(_) => Opcode::Pong,
            Event::Close(_) => Opcode::Close,
        }
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        match self {
            Event::Text(payload) | Event::Binary(payload) | Event::Ping(payload) | Event::Pong(payload) => {
                payload
            }
            Event::Close(close) => close.payload,
        }
    }
}

/// What one call has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes at the front of the input that are done with: a whole frame, or
    /// none while it is incomplete.
    pub used: usize,
    /// What the frame has completed. `None` beside `used` bytes means a
    /// fragment that others follow.
    pub event: Option<Event<'a>>,
}

/// A message whose last frame has not yet been decoded.
#[derive(Debug, Clone, Copy)]
struct Message {
    opcode: Opcode,
    compressed: bool,
    /// It has more than one frame.
    fragmented: bool,
}

/// Decodes one direction of a connection. See the module for how it is fed.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    /// Of the frame at the front of the input, once it is whole.
    header: Option<Header>,
    /// Payload bytes of that frame that are unmasked and checked.
    seen: usize,
    message: Option<Message>,
    /// Payload of earlier fragments; inflated payload.
    collected: Vec<u8>,
    /// `collected` was lent out by the last step and is over.
    lent: bool,
    utf8: Utf8,
    inflater: Option<Box<Inflater>>,
    failed: Option<Box<Violation>>,
}

impl Decoder {
    /// Without compression.
    pub fn new(config: Config) -> Decoder {
        Decoder {
            config,
            header: None,
            seen: 0,
            message: None,
            collected: Vec::new(),
            lent: false,
            utf8: Utf8::default(),
            inflater: None,
            failed: None,
        }
    }

    /// With the compression that was agreed on.
    pub fn with_compression(config: Config, params: &Params) -> Decoder {
        let (window_bits, takeover) = params.receiving(config.role);
        let inflater = Some(Box::new(Inflater::new(window_bits, takeover)));
        Decoder { inflater, ..Decoder::new(config) }
    }

    /// Bytes of the message under way that are collected: the fragments so
    /// far.
    pub fn collected(&self) -> usize {
        if self.lent {
            0
        } else {
            self.collected.len()
        }
    }

    /// Decodes the frame at the front of `input`, if it is whole.
    ///
    /// # Errors
    ///
    /// What the peer did wrong, as soon as it shows, and from then on at every
    /// call.
    #[inline]
    pub fn decode<'a>(&'a mut self, input: &'a mut [u8]) -> Result<Step<'a>, Violation> {
        let Some(header) = self.advance(input)? else {
            return Ok(Step { used: 0, event: None });
        };
        self.header = None;
        self.seen = 0;
        let used = header.total();
        let payload = &input[header.size..used];
        let event = match header.opcode {
            Opcode::Ping => Some(Event::Ping(payload)),
            Opcode::Pong => Some(Event::Pong(payload)),
            Opcode::Close => match Close::parse(payload) {
                Ok(close) => Some(Event::Close(close)),
                Err(violation) => return Err(self.fail(violation)),
            },
            Opcode::Continue | Opcode::Text | Opcode::Binary => self.data(&header, payload)?,
        };
        Ok(Step { used, event })
    }

    /// Whether `decode` has something to say about this input without more
    /// being received: a whole frame, or a violation. Unmasks and checks what
    /// is there, as `decode` does.
    pub fn is_ready(&mut self, input: &mut [u8]) -> bool {
        !matches!(self.advance(input), Ok(None))
    }

    /// Gives back memory that the last event was lent from. Worth a call when
    /// nothing more is to be decoded for now; the next `decode` does it by
    /// itself.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.lent) {
            if self.collected.capacity() > KEPT_ROOM {
                self.collected = Vec::new();
            } else {
                self.collected.clear();
            }
        }
    }

    #[cold]
    fn fail(&mut self, violation: Violation) -> Violation {
        self.failed = Some(Box::new(violation));
        self.header = None;
        self.collected = Vec::new();
        self.inflater = None;
        violation
    }

    /// Reads the header, and treats what has come of the payload. The header
    /// when the frame is whole.
    #[inline]
    fn advance(&mut self, input: &mut [u8]) -> Result<Option<Header>, Violation> {
        let header = match self.header {
            Some(header) => header,
            None => match self.next_header(input)? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        let end = header.total().min(input.len());
        if let Some(fresh @ [_, ..]) = input.get_mut(header.size + self.seen..end) {
            if let Some(key) = header.mask {
                apply_mask(key, self.seen, fresh);
            }
            self.seen += fresh.len();
            if !header.opcode.is_control() {
                self.check(fresh).map_err(|violation| self.fail(violation))?;
            }
        }
        Ok((input.len() >= header.total()).then_some(header))
    }

    fn next_header(&mut self, input: &[u8]) -> Result<Option<Header>, Violation> {
        if let Some(violation) = self.failed.as_deref().copied() {
            return Err(violation);
        }
        if self.lent {
            self.release();
        }
        let rules = Rules {
            masked: match self.config.role {
                Role::Server => Some(true),
                Role::Client => Some(false),
                Role::Either => None,
            },
            compressed: self.inflater.is_some(),
            in_message: self.message.is_some(),
            max_payload: self.config.max_frame as u64,
        };
        let header = Header::parse(input, &rules).map_err(|violation| self.fail(violation))?;
        let Some(header) = header else {
            return Ok(None);
        };
        match header.opcode {
            Opcode::Text | Opcode::Binary => {
                let Header { opcode, compressed, fin, .. } = header;
                self.message = Some(Message { opcode, compressed, fragmented: !fin });
            }
            _ => {}
        }
        // Of a compressed message counts what it inflates to.
        let grows = !header.opcode.is_control() && self.message.is_some_and(|message| !message.compressed);
        if grows && header.length > self.config.max_message.saturating_sub(self.collected.len()) {
            return Err(self.fail(Violation::too_big("message is too big")));
        }
        self.header = Some(header);
        Ok(Some(header))
    }

    /// Unmasked payload of a data frame: inflated if it is compressed, and
    /// checked if it is text.
    #[inline]
    fn check(&mut self, fresh: &[u8]) -> Result<(), Violation> {
        let Some(message) = self.message else {
            return Ok(());
        };
        if message.compressed {
            return self.inflate(fresh, false, message.opcode);
        }
        if message.opcode == Opcode::Text && self.config.check_utf8 {
            return self.utf8.push(fresh).map_err(|_| NO_UTF8);
        }
        Ok(())
    }

    fn inflate(&mut self, piece: &[u8], last: bool, opcode: Opcode) -> Result<(), Violation> {
        let Some(inflater) = &mut self.inflater else {
            return Ok(());
        };
        let start = self.collected.len();
        inflater.inflate(piece, last, &mut self.collected, self.config.max_message)?;
        if opcode == Opcode::Text && self.config.check_utf8 {
            self.utf8.push(&self.collected[start..]).map_err(|_| NO_UTF8)?;
        }
        Ok(())
    }

    /// A whole data frame, which `advance` has treated.
    #[inline]
    fn data<'a>(&'a mut self, header: &Header, payload: &'a [u8]) -> Result<Option<Event<'a>>, Violation> {
        let Some(message) = self.message else {
            return Ok(None);
        };
        if !header.fin {
            if !message.compressed {
                self.collected.extend_from_slice(payload);
            }
            return Ok(None);
        }
        self.message = None;
        if message.compressed {
            self.inflate(&[], true, message.opcode).map_err(|violation| self.fail(violation))?;
        }
        // A character that has begun would have to end here.
        if !self.utf8.is_whole() {
            return Err(self.fail(NO_UTF8));
        }
        let whole = if message.compressed || message.fragmented {
            if !message.compressed {
                self.collected.extend_from_slice(payload);
            }
            self.lent = true;
            &self.collected[..]
        } else {
            payload
        };
        Ok(Some(match message.opcode {
            Opcode::Text => Event::Text(whole),
            _ => Event::Binary(whole),
        }))
    }
}

const NO_UTF8: Violation = Violation::data("text is no valid UTF-8");
