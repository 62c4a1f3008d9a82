//! Complete responses by the kind of their body: text, which may be compressed,
//! and bytes of a script's own, of which there are ranges (spec/http.md 3.2,
//! 3.12, 3.14).

use super::exchange::Exchange;
use super::fastpath::{now, Fields};
use super::response::Payload;
use crate::base::set::Match;
use crate::http::accept_encoding::Accepted;
use crate::http::compression::{gzip, Gzip};
use crate::http::conditional::{range_counts, Validators};
use crate::http::date;
use crate::http::range::{self, Selection};
use std::borrow::Cow;

/// What is done about compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// Nothing, and it does not depend on the request.
    None,
    /// Nothing, but for another request it would be done.
    Refused,
    /// gzip at this level.
    Gzip(u32),
}

impl Exchange {
    /// Sends encoded text. `content_type` names its charset.
    pub fn respond_text(&mut self, status: u16, content_type: &str, body: &[u8]) -> bool {
        self.respond_text_with(status, &[("content-type", content_type)], body)
    }

    /// The same, with all fields of the command.
    pub fn respond_text_with(&mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) -> bool {
        let content_type =
            fields.iter().find(|(name, _)| *name == "content-type").map_or("", |field| field.1);
        let compression = match self.compression(content_type) {
            _ if body.len() < self.connection.driver.settings.compress_min_size => Compression::None,
            compression => compression,
        };
        if compression == Compression::None || self.has_begun() {
            return self.respond(status, fields, Payload::Bytes(body));
        }
        let vary =
            self.merged_vary("accept-encoding").unwrap_or(Cow::Borrowed("accept-encoding")).into_owned();
        let mut fields = fields.to_vec();
        fields.push(("vary", &vary));
        if let Compression::Gzip(level) = compression {
            let compressed = gzip(body, level);
            // Where nothing is gained the text goes out as it is.
            if compressed.len() < body.len() {
                fields.push(("content-encoding", "gzip"));
                return self.respond(status, &fields, Payload::Bytes(&compressed));
            }
        }
        self.respond(status, &fields, Payload::Bytes(body))
    }

    /// Sends bytes, or the ranges of them that are asked for.
    pub fn respond_data(&mut self, status: u16, content_type: &str, body: &[u8]) -> bool {
        self.set_status(status);
        let length = body.len() as u64;
        let whole = [("content-type", content_type), ("accept-ranges", "bytes")];
        match self.selection(length) {
            Selection::Whole => self.respond(status, &whole, Payload::Bytes(body)),
            Selection::Part(part) => {
                let of = range::content_range(&part, length);
                let fields = [whole[0], whole[1], ("content-range", &of)];
                let bytes = &body[part.start as usize..part.end as usize];
                self.respond(206, &fields, Payload::Bytes(bytes))
            }
            Selection::Parts(parts) => {
                let boundary = range::boundary();
                let mut pieces = Vec::with_capacity(parts.len() + 1);
                for (index, part) in parts.iter().enumerate() {
                    let mut piece = range::part_head(index, &boundary, content_type, part, length);
                    piece.extend_from_slice(&body[part.start as usize..part.end as usize]);
                    pieces.push(piece);
                }
                pieces.push(range::part_end(&boundary));
                let bytes = pieces.concat();
                let multipart = range::multipart_type(&boundary);
                let fields = [("content-type", multipart.as_str()), whole[1]];
                self.respond(206, &fields, Payload::Bytes(&bytes))
            }
            Selection::Unsatisfiable => {
                let of = range::unsatisfied(length);
                self.respond(416, &[whole[1], ("content-range", &of)], Payload::Bytes(&[]));
                false // as in the reference: what was to be sent was not
            }
        }
    }

    /// The part of `length` bytes that is asked for: by GET, of a response with
    /// status 200, and when `If-Range` names the version that the script says
    /// this is.
    fn selection(&self, length: u64) -> Selection {
        if self.status() != 200 || self.method() != "GET" || self.is_head() || self.has_begun() {
            return Selection::Whole;
        }
        let fields = Fields::of(self);
        let Some(value) = fields.range() else { return Selection::Whole };
        let now = now();
        let modified = self.output_field("last-modified").and_then(|text| date::parse(text, now));
        let current = Validators {
            modified: modified.unwrap_or(i64::MIN),
            etag: self.output_field("etag").unwrap_or_default(),
        };
        if range_counts(fields.if_range(), current, now) {
            range::select(value, length)
        } else {
            Selection::Whole
        }
    }

    /// What is to be done about a text of this type.
    pub(super) fn compression(&self, content_type: &str) -> Compression {
        let level = self.compress_level();
        if level == 0 || is_compressed(content_type) || self.output_field("content-encoding").is_some() {
            return Compression::None;
        }
        let fields = Fields::of(self);
        let modern = self.request.minor_version() > 0;
        let accepted = match fields.accept_encoding() {
            // Ranges are of the text as it is.
            Some(value) if fields.range().is_none() => Accepted::parse(value, modern),
            _ => Accepted::default(),
        };
        if accepted.gzip > 0 {
            Compression::Gzip(level)
        } else {
            Compression::Refused
        }
    }

    /// What `vary` has to say when the response depends on `field` as well, if
    /// the script has set it.
    pub(super) fn merged_vary(&self, field: &str) -> Option<Cow<'static, str>> {
        let set = self.output.all("vary", Match::IgnoreCase);
        if set.is_empty() {
            return None;
        }
        let value = set.join(", ");
        let is_there =
            value.split(',').map(str::trim).any(|name| name == "*" || name.eq_ignore_ascii_case(field));
        Some(Cow::Owned(if is_there { value } else { format!("{value}, {field}") }))
    }

    /// Begins to compress what will be streamed, when that is wanted, and notes the fields that
    /// say so. Not when a length was promised: that would be another one.
    pub(super) fn begin_compression(&mut self) {
        let Some(prepared) = &self.prepared else { return };
        if prepared.length.is_some() || !self.encode_stream || self.transform.is_some() {
            return;
        }
        let content_type = prepared.content_type.as_deref().or(self.output_field("content-type"));
        let compression = self.compression(content_type.unwrap_or_default());
        if compression == Compression::None {
            return;
        }
        let vary = self.merged_vary("accept-encoding").unwrap_or(Cow::Borrowed("accept-encoding"));
        if let Some(prepared) = &mut self.prepared {
            prepared.vary = Some(vary.into_owned());
            prepared.coding = matches!(compression, Compression::Gzip(_)).then_some("gzip");
        }
        let Compression::Gzip(level) = compression else { return };
        let mut gzip = Gzip::new(level);
        self.transform = Some(Box::new(move |data, last| {
            let mut out = Vec::new();
            if last {
                gzip.finish(data, &mut out);
            } else if !data.is_empty() {
                gzip.push(data, &mut out);
            }
            out
        }));
    }
}

/// Whether what is of this type is compressed already.
fn is_compressed(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "image/svg+xml" || kind == "image/bmp" || kind == "image/x-icon" {
        return false;
    }
    let family = kind.split('/').next().unwrap_or_default();
    matches!(family, "image" | "audio" | "video")
        || matches!(
            kind.as_str(),
            "application/gzip"
                | "application/zip"
                | "application/x-7z-compressed"
                | "application/x-bzip2"
                | "application/vnd.rar"
                | "font/woff"
                | "font/woff2"
        )
}

#[cfg(test)]
mod tests {
    use super::is_compressed;

    #[test]
    fn types_that_are_compressed_already() {
        for (content_type, expected) in [
            ("text/html; charset=utf-8", false),
            ("application/json", false),
            ("image/svg+xml; charset=utf-8", false),
            ("Image/PNG", true),
            ("video/mp4", true),
            ("application/zip", true),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(is_compressed(content_type), expected, "{content_type}");
        }
    }
}
