//! What a request for a file gets: status, fields and bytes (spec/http.md 3.7,
//! 3.13, 3.14, 4.2, 4.3, with the corrections of section 6).

use super::open::{open, Contents, Found, Opened};
use super::variant::{choose, Coding};
use super::{Settings, Source};
use crate::http::conditional::{range_counts, Conditions, Validators, Verdict};
use crate::http::date;
use crate::http::range::{self, Selection};
use crate::net::beneath::Stamp;
use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// What matters of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The status that whoever answers has in mind. Ranges and conditions are
    /// for 200 only.
    pub status: u16,
    /// Whether the method is HEAD: ranges are for GET only, and no contents
    /// are read.
    pub head: bool,
    /// Whether the method is GET.
    pub get: bool,
    /// Whether the request is of HTTP/1.1.
    pub modern: bool,
    /// `Range`.
    pub range: Option<&'a str>,
    /// `If-Range`.
    pub if_range: Option<&'a str>,
    /// The fields that make it conditional.
    pub conditions: Conditions<'a>,
    /// `Accept-Encoding`; several fields joined by commas.
    pub accept_encoding: Option<&'a str>,
    /// The time, in seconds since 1970.
    pub now: i64,
    /// Whether an outdated sibling may be made anew first.
    pub may_refresh: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// There is no such file, or it cannot be had: 404.
    Missing,
    /// It is a directory.
    Directory,
    /// The sibling of this coding is to be made anew first.
    Refresh(Coding),
}

/// The answer. Making one for a whole file that is in memory takes no memory.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The status to send.
    pub status: u16,
    /// `Last-Modified`.
    modified: [u8; date::LENGTH],
    etag: Option<String>,
    vary: bool,
    coding: Option<Coding>,
    /// `Content-Type`; none where nothing is sent of the file.
    media_type: Option<Cow<'a, str>>,
    content_range: Option<String>,
    /// The length of the body as it would be for GET.
    pub length: u64,
    /// The bytes; none for HEAD.
    pub body: Body,
}

/// The most fields that an answer has.
pub const MOST_FIELDS: usize = 7;

impl<'a> Answer<'a> {
    /// Puts the fields in the order of the reference at the front of `place`, and says how
    /// many they are. `Content-Length` is not among them: whoever sends knows it.
    pub fn fields<'f>(&'f self, place: &mut [(&'f str, &'f str); MOST_FIELDS]) -> usize {
        let modified = std::str::from_utf8(&self.modified).unwrap_or_default();
        let all = [
            ("last-modified", Some(modified)),
            ("etag", self.etag.as_deref()),
            ("vary", self.vary.then_some("accept-encoding")),
            ("content-encoding", self.coding.map(Coding::name)),
            ("content-type", self.media_type.as_deref()),
            ("accept-ranges", (!matches!(self.status, 304 | 412)).then_some("bytes")),
            ("content-range", self.content_range.as_deref()),
        ];
        let mut count = 0;
        for (name, value) in all {
            if let Some(value) = value {
                place[count] = (name, value);
                count += 1;
            }
        }
        count
    }

    /// The bytes, when they are in memory and in one piece.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self.body.as_slice() {
            [] => Some(&[]),
            [Piece::Shared(data, range)] => Some(&data[range.clone()]),
            _ => None,
        }
    }
}

/// The bytes of a body, in order.
pub type Body = Vec<Piece>;

/// Some of the bytes of a body.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes that belong to the response alone.
    Own(Vec<u8>),
    /// Part of what others may send as well.
    Shared(Arc<[u8]>, Range<usize>),
    /// Part of a file. When it turns out to have become shorter, nothing can
    /// make the response whole: the connection has to end.
    File(Arc<File>, Range<u64>),
}

impl Piece {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Piece::Own(bytes) => bytes.len() as u64,
            Piece::Shared(_, range) => range.len() as u64,
            Piece::File(_, range) => range.end - range.start,
        }
    }
}

/// Answers a request for `source`, which is of type `media_type`.
///
/// # Errors
/// Whatever keeps it from being answered so.
pub fn answer<'a>(
    source: &Source,
    media_type: &'a str,
    asked: &Asked,
    settings: &Settings,
) -> Result<Answer<'a>, Stop> {
    // Where a sibling is likely to be sent, the file itself need not be opened.
    let by_coding = asked.accept_encoding.is_some() && asked.range.is_none();
    let seen = if by_coding && (settings.gzip.serve || settings.brotli.serve) { source.look() } else { None };
    let (stamp, plain) = match seen {
        Some(stamp) => (stamp, None),
        None => {
            let plain = open_plain(source, asked, settings)?;
            (plain.stamp, Some(plain))
        }
    };
    let choice = choose(source, &stamp, asked, settings)?;
    let (coding, opened, modified) = match (choice.sibling, plain) {
        (Some((coding, sibling)), _) => (Some(coding), sibling, stamp.modified.0),
        (None, Some(plain)) => (None, plain, stamp.modified.0),
        (None, None) => {
            let plain = open_plain(source, asked, settings)?;
            let modified = plain.stamp.modified.0;
            (None, plain, modified)
        }
    };
    let compared = settings.etag || asked.if_range.is_some() || !asked.conditions.is_empty();
    let etag = if compared { entity_tag(&opened.stamp, coding) } else { String::new() };
    let validators = Validators { modified, etag: &etag };
    let counts = asked.get && asked.status == 200 && range_counts(asked.if_range, validators, asked.now);
    let verdict = verdict(asked, validators, settings);
    // Until more is known: an answer without a body.
    let mut answer = Answer {
        status: asked.status,
        modified: date::format(modified),
        etag: settings.etag.then_some(etag),
        vary: choice.vary,
        coding: None,
        media_type: None,
        content_range: None,
        length: 0,
        body: Body::new(),
    };
    if verdict != Verdict::Perform {
        answer.status = if verdict == Verdict::NotModified { 304 } else { 412 };
        return Ok(answer);
    }
    answer.coding = coding;
    // HEAD needs no contents, and gets no range (section 6.3).
    if asked.head {
        answer.media_type = Some(Cow::Borrowed(media_type));
        answer.length = opened.stamp.size;
        return Ok(answer);
    }
    let (contents, length) = opened.contents(settings).map_err(|_| Stop::Missing)?;
    match asked.range.filter(|_| counts).map_or(Selection::Whole, |value| range::select(value, length)) {
        Selection::Whole => {
            answer.media_type = Some(Cow::Borrowed(media_type));
            answer.length = length;
            answer.body = contents.pieces(0..length);
        }
        Selection::Part(part) => {
            answer.status = 206;
            answer.media_type = Some(Cow::Borrowed(media_type));
            answer.content_range = Some(range::content_range(&part, length));
            answer.length = part.end - part.start;
            answer.body = contents.pieces(part);
        }
        Selection::Parts(parts) => {
            let boundary = range::boundary();
            answer.status = 206;
            answer.body = multipart(&parts, &boundary, media_type, length, &contents);
            answer.length = answer.body.iter().map(Piece::length).sum();
            answer.media_type = Some(Cow::Owned(range::multipart_type(&boundary)));
        }
        Selection::Unsatisfiable => {
            // No type: it would be one of nothing (section 6.13).
            answer.status = 416;
            answer.content_range = Some(range::unsatisfied(length));
        }
    }
    Ok(answer)
}

/// Opens the file itself.
fn open_plain(source: &Source, asked: &Asked, settings: &Settings) -> Result<Opened, Stop> {
    match open(source, "", settings, asked.now) {
        Ok(Found::File(opened)) => Ok(opened),
        Ok(Found::Directory) => Err(Stop::Directory),
        Ok(Found::Other) | Err(_) => Err(Stop::Missing),
    }
}

/// Conditions are for what would succeed (RFC 9110, section 13.2.1).
fn verdict(asked: &Asked, validators: Validators, settings: &Settings) -> Verdict {
    if asked.status != 200 || asked.conditions.is_empty() {
        return Verdict::Perform;
    }
    let mut conditions = asked.conditions;
    if !settings.check_modified_since {
        conditions.if_modified_since = None;
    }
    conditions.evaluate(validators, asked.get || asked.head, asked.now)
}

/// Tells this version of a file from others, and codings from each other.
fn entity_tag(stamp: &Stamp, coding: Option<Coding>) -> String {
    let (seconds, nanoseconds) = stamp.modified;
    let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let coding = coding.map_or("", Coding::suffix).trim_start_matches('.');
    let dash = if coding.is_empty() { "" } else { "-" };
    format!("\"{nanoseconds:x}-{:x}{dash}{coding}\"", stamp.size)
}

fn multipart(
    parts: &[Range<u64>],
    boundary: &str,
    media_type: &str,
    length: u64,
    contents: &Contents,
) -> Body {
    let mut body = Body::with_capacity(2 * parts.len() + 1);
    for (index, part) in parts.iter().enumerate() {
        body.push(Piece::Own(range::part_head(index, boundary, media_type, part, length)));
        body.extend(contents.pieces(part.clone()));
    }
    body.push(Piece::Own(range::part_end(boundary)));
    body
}

impl Contents {
    fn pieces(&self, range: Range<u64>) -> Body {
        if range.is_empty() {
            return Body::new();
        }
        vec![match self {
            Contents::Memory(data) => {
                Piece::Shared(Arc::clone(data), range.start as usize..range.end as usize)
            }
            Contents::Disk(file) => Piece::File(Arc::clone(file), range),
        }]
    }
}
