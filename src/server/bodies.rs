//! Complete responses by the kind of their body: text, and bytes of a script's
//! own (spec/http.md 3.2). Compression and ranges come in here.

use super::exchange::Exchange;
use super::response::Payload;

impl Exchange {
    /// Sends encoded text. `content_type` names its charset.
    pub fn respond_text(&mut self, status: u16, content_type: &str, body: &[u8]) -> bool {
        self.respond(status, &[("content-type", content_type)], Payload::Bytes(body))
    }

    /// Sends bytes.
    pub fn respond_data(&mut self, status: u16, content_type: &str, body: &[u8]) -> bool {
        let fields = [("content-type", content_type), ("accept-ranges", "bytes")];
        self.respond(status, &fields, Payload::Bytes(body))
    }
}
