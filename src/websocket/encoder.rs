//! Whole messages on their way out, as one end of a connection has to send
//! them: masked by a client, compressed when that was agreed on.

use super::deflate::Deflater;
use super::extension::Params;
use super::frame::{encode, random_key, Head, Opcode};
use super::header::{MAX_CONTROL, MAX_HEADER};
use super::mask::apply_mask;
use super::{close, Role};
use crate::base::{Error, Result};

/// Makes the frames of one direction of a connection.
#[derive(Debug)]
pub struct Encoder {
    masked: bool,
    compression: Option<Box<Compression>>,
}

#[derive(Debug)]
struct Compression {
    deflater: Deflater,
    threshold: usize,
}

impl Encoder {
    /// For the given end of a connection, without compression. Only a client
    /// masks.
    pub fn new(role: Role) -> Encoder {
        Encoder { masked: role == Role::Client, compression: None }
    }

    /// With the compression that was agreed on, for messages of `threshold`
    /// bytes or more; `level` is zlib's, 1 to 9.
    pub fn with_compression(role: Role, params: &Params, level: u8, threshold: usize) -> Encoder {
        let (window_bits, takeover) = params.sending(role);
        let deflater = Deflater::new(window_bits, takeover, level);
        let compression = Some(Box::new(Compression { deflater, threshold: threshold.max(1) }));
        Encoder { compression, ..Encoder::new(role) }
    }

    /// Appends a message in one frame to `out`. `opcode` is that of a text or
    /// a binary message.
    ///
    /// # Errors
    ///
    /// When no mask key can be had, or compressing fails. `out` is as before
    /// then.
    pub fn message(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let key = self.key()?;
        match &mut self.compression {
            Some(compression) if payload.len() >= compression.threshold => {
                compression.message(opcode, key, payload, out)
            }
            _ => {
                encode(true, opcode, key, payload, out);
                Ok(())
            }
        }
    }

    /// The header of a message that goes out as it is: neither masked nor
    /// compressed. `None` when its payload would be changed.
    pub fn plain_message(&self, opcode: Opcode, payload: &[u8]) -> Option<Head> {
        let compressed = self.compression.as_ref().is_some_and(|c| payload.len() >= c.threshold);
        (!self.masked && !compressed).then(|| Head::new(true, false, opcode, None, payload.len()))
    }

    /// Appends a ping or a pong.
    ///
    /// # Errors
    ///
    /// When the payload is longer than control frames may be.
    pub fn control(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if payload.len() > MAX_CONTROL {
            return Err(Error::new("payload of a control frame is longer than 125 bytes"));
        }
        encode(true, opcode, self.key()?, payload, out);
        Ok(())
    }

    /// Appends a close frame, with a code and a reason of up to 123 bytes, or
    /// with neither.
    ///
    /// # Errors
    ///
    /// For a code that may not be sent, and a reason that is too long.
    pub fn close(&mut self, code: Option<u16>, reason: &str, out: &mut Vec<u8>) -> Result<()> {
        let Some(code) = code else {
            return self.control(Opcode::Close, &[], out);
        };
        if !close::may_be_sent(code) {
            return Err(Error::with_code(format!("invalid close code \"{code}\""), &["WEBSOCKET", "CODE"]));
        }
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.control(Opcode::Close, &payload, out)
    }

    fn key(&self) -> Result<Option<[u8; 4]>> {
        self.masked.then(random_key).transpose()
    }
}

impl Compression {
    fn message(
        &mut self,
        opcode: Opcode,
        key: Option<[u8; 4]>,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        // The header depends on the length that comes out: room for the
        // longest is left, and what was too much closed up.
        let start = out.len();
        out.resize(start + MAX_HEADER, 0);
        if let Err(error) = self.deflater.deflate(payload, out) {
            out.truncate(start);
            return Err(error);
        }
        let length = out.len() - start - MAX_HEADER;
        if length >= payload.len() && !self.deflater.takes_over() {
            out.truncate(start);
            encode(true, opcode, key, payload, out);
            return Ok(());
        }
        let head = Head::new(true, true, opcode, key, length);
        let head = head.as_bytes();
        let body = start + head.len();
        out[start..body].copy_from_slice(head);
        out.copy_within(start + MAX_HEADER.., body);
        out.truncate(body + length);
        if let Some(key) = key {
            apply_mask(key, 0, &mut out[body..]);
        }
        Ok(())
    }
}
