//! One request as it was received: its head, and its body in memory or in a
//! file (spec/http.md 5.2).

use super::settings::Settings;
use crate::base::log;
use crate::http::request_head::{Fault, Field, Head};
use crate::http::target;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The body of a request.
#[derive(Debug, Default)]
pub struct Body {
    /// What is in memory: all of it, unless there is a file.
    memory: Vec<u8>,
    file: Option<File>,
    /// The file's name, when it has kept one.
    path: Option<PathBuf>,
    length: u64,
}

impl Body {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The name of its file, if it has one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// A part of it. What lies beyond the end is missing in the result.
    pub fn part(&self, offset: u64, length: u64) -> io::Result<Cow<'_, [u8]>> {
        let start = offset.min(self.length);
        let count = length.min(self.length - start);
        match &self.file {
            None => Ok(Cow::Borrowed(&self.memory[start as usize..(start + count) as usize])),
            Some(file) => {
                let mut bytes = vec![0; count as usize];
                file.read_exact_at(&mut bytes, start)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// All of it.
    pub fn all(&self) -> io::Result<Cow<'_, [u8]>> {
        self.part(0, self.length)
    }

    /// Adds what was received.
    ///
    /// # Errors
    /// 413 beyond `maxinput`; 500 when the file cannot be written.
    pub(super) fn push(&mut self, bytes: &[u8], settings: &Settings) -> Result<(), Fault> {
        let length = self.length + bytes.len() as u64;
        if length > settings.max_input {
            return Err(TOO_LARGE);
        }
        self.length = length;
        if self.file.is_none() && length <= settings.read_ahead as u64 {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        self.spool(bytes, settings).map_err(|error| {
            log::write(log::ERROR, &format!("cannot keep the body of a request: {error}"));
            Fault::new(500, "cannot keep the body")
        })
    }

    fn spool(&mut self, bytes: &[u8], settings: &Settings) -> io::Result<()> {
        if self.file.is_none() {
            let mut random = [0; 9];
            openssl::rand::rand_bytes(&mut random).map_err(io::Error::other)?;
            let random: String = random.iter().map(|b| format!("{b:02x}")).collect();
            let path = settings.upload_path.join(format!("ns_upload-{random}"));
            let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            self.file = Some(file);
            self.path = Some(path);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&std::mem::take(&mut self.memory))?;
        file.write_all(bytes)
    }

    /// All has been received: a file keeps its name only when it is larger than
    /// `maxupload`, so that nothing is left behind whatever happens.
    pub(super) fn complete(&mut self, settings: &Settings) {
        let keeps_name = settings.max_upload > 0 && self.length > settings.max_upload;
        if !keeps_name {
            self.remove_file();
        }
    }

    fn remove_file(&mut self) {
        if let Some(path) = self.path.take() {
            // A script may have moved it.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.remove_file();
    }
}

/// The answer to a body that is larger than `maxinput`.
pub const TOO_LARGE: Fault = Fault::new(413, "request body is too large");

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    /// The head as received, into which the spans of `head` point.
    pub(super) raw: Vec<u8>,
    /// Its parts.
    pub(super) head: Head,
    /// The body.
    pub body: Body,
}

impl Request {
    /// The method.
    pub fn method(&self) -> &str {
        self.head.method.text(&self.raw)
    }

    /// The request line.
    pub fn line(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.head.line.of(&self.raw))
    }

    /// The target, as sent.
    pub fn target(&self) -> &str {
        self.head.target.text(&self.raw)
    }

    /// The path of the target, as sent.
    pub fn raw_path(&self) -> &str {
        target::split(self.target()).0
    }

    /// What follows the `?` in the target, as sent.
    pub fn query(&self) -> &str {
        target::split(self.target()).1
    }

    /// Of HTTP/1.x the x: 0 or 1.
    pub fn minor_version(&self) -> u8 {
        self.head.minor
    }

    /// Bytes of the head, as received.
    pub fn head_length(&self) -> usize {
        self.raw.len()
    }

    /// The fields: names as sent, values as text.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let text = |field: &Field| String::from_utf8_lossy(field.value.of(&self.raw));
        self.head.fields.iter().map(move |field| (field.name.text(&self.raw), text(field)))
    }

    /// The value of the first field of that name, in any case.
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        let is_it = |field: &&Field| field.name.of(&self.raw).eq_ignore_ascii_case(name.as_bytes());
        let found = self.head.fields.iter().find(is_it)?;
        Some(String::from_utf8_lossy(found.value.of(&self.raw)))
    }

    /// Whether the peer wants the connection to be closed, or kept.
    pub(super) fn connection_tokens(&self) -> (bool, bool) {
        (self.head.close, self.head.keep_alive)
    }
}
