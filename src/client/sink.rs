//! Where the content of a response goes: memory, a file, a connection channel,
//! or whoever asked for each piece; decompressed on the way unless it is wanted
//! as it came.

use crate::base::{config, Error, Result};
use crate::connchan::Channel;
use crate::http::response::malformed;
use flate2::write::{GzDecoder, ZlibDecoder};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The most that is kept in memory when nothing else was asked for.
pub const MAX_IN_MEMORY: u64 = 256 << 20;

/// Where the content shall go.
#[derive(Clone)]
pub enum Output {
    /// Into memory; into a new file when there is more of it than this.
    Memory(Option<u64>),
    /// Into the file of this name.
    File(PathBuf),
    /// To the peer of a channel.
    Channel(Arc<Channel>),
    /// To whoever called, piece by piece.
    Caller,
}

/// Hears of each piece of content.
pub type Pieces<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// What has become of the content.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// It is here.
    Bytes(Vec<u8>),
    /// It is in this file.
    File(PathBuf),
}

enum Decoder {
    Gzip(Box<GzDecoder<Vec<u8>>>),
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
}

/// Content being taken in.
pub struct Sink<'a> {
    output: Output,
    pieces: Option<Pieces<'a>>,
    memory: Vec<u8>,
    file: Option<(File, PathBuf)>,
    decoder: Option<Decoder>,
    /// The most that is taken.
    most: Option<u64>,
    /// Bytes so far, as they came and after decompression.
    raw: u64,
    count: u64,
}

impl<'a> Sink<'a> {
    /// Opens what has to be opened.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(output: Output, most: Option<u64>, pieces: Option<Pieces<'a>>) -> Result<Sink<'a>> {
        let file = match &output {
            Output::File(path) => {
                let file = File::create(path).map_err(|e| cannot("open", path, &e))?;
                Some((file, path.clone()))
            }
            // Everything goes into a file, if there is anything.
            _ => None,
        };
        Ok(Sink { output, pieces, memory: Vec::new(), file, decoder: None, most, raw: 0, count: 0 })
    }

    /// Has the content decompressed, by the coding that the peer has named.
    /// False when the coding is unknown: then it stays as it is.
    pub fn decode(&mut self, coding: &str) -> bool {
        self.decoder = match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Decoder::Gzip(Box::new(GzDecoder::new(Vec::new())))),
            "deflate" => Some(Decoder::Zlib(Box::new(ZlibDecoder::new(Vec::new())))),
            _ => return false,
        };
        true
    }

    /// Bytes taken so far, after decompression.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes a piece of content; a channel's peer must have taken it by
    /// `deadline`.
    ///
    /// # Errors
    /// It cannot be decompressed, there is too much of it, or it cannot be
    /// handed on.
    pub fn take(&mut self, piece: &[u8], deadline: Instant) -> Result<()> {
        self.raw += piece.len() as u64;
        let Some(decoder) = &mut self.decoder else { return self.put(piece, deadline) };
        let plain = match decoder {
            Decoder::Gzip(gzip) => gzip.write_all(piece).map(|()| std::mem::take(gzip.get_mut())),
            Decoder::Zlib(zlib) => zlib.write_all(piece).map(|()| std::mem::take(zlib.get_mut())),
        };
        let plain = plain.map_err(|e| malformed(&format!("cannot be decompressed: {e}")))?;
        self.put(&plain, deadline)
    }

    fn put(&mut self, piece: &[u8], deadline: Instant) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.count += piece.len() as u64;
        if self.most.is_some_and(|most| self.count > most) {
            return Err(too_large());
        }
        match &self.output {
            Output::Channel(channel) => {
                channel.send_now(piece)?;
                if !channel.flush_until(deadline)? {
                    return Err(Error::timeout(format!("timeout writing to channel {}", channel.name())));
                }
                Ok(())
            }
            Output::Caller => match &mut self.pieces {
                Some(pieces) => pieces(piece),
                None => Ok(()),
            },
            Output::Memory(spool) if self.file.is_none() => {
                if spool.is_some_and(|most| self.count > most) {
                    self.spool()?;
                    return self.write(piece);
                }
                if self.count > MAX_IN_MEMORY {
                    return Err(too_large());
                }
                self.memory.extend_from_slice(piece);
                Ok(())
            }
            Output::Memory(_) | Output::File(_) => self.write(piece),
        }
    }

    /// Goes on in a file of its own, readable by its owner alone, under a name
    /// that nobody can guess.
    fn spool(&mut self) -> Result<()> {
        let folder = config::temp_dir();
        let mut suffix = [0; 8];
        openssl::rand::rand_bytes(&mut suffix).map_err(|e| Error::new(e.to_string()))?;
        let suffix: String = suffix.iter().map(|b| format!("{b:02x}")).collect();
        let path = folder.join(format!("http.{suffix}"));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        self.file = Some((file.map_err(|e| cannot("open", &path, &e))?, path));
        let kept = std::mem::take(&mut self.memory);
        self.write(&kept)
    }

    fn write(&mut self, piece: &[u8]) -> Result<()> {
        match &mut self.file {
            Some((file, path)) => file.write_all(piece).map_err(|e| cannot("write", path, &e)),
            None => Ok(()),
        }
    }

    /// Everything has been taken: the end of compressed data is checked.
    ///
    /// # Errors
    /// Compressed data ends early, or has been damaged.
    pub fn finish(&mut self, deadline: Instant) -> Result<()> {
        let plain = match self.decoder.take() {
            // No content at all is no compressed content, either.
            None => return Ok(()),
            Some(_) if self.raw == 0 => return Ok(()),
            Some(Decoder::Gzip(gzip)) => gzip.finish(),
            Some(Decoder::Zlib(zlib)) => zlib.finish(),
        };
        let plain = plain.map_err(|e| malformed(&format!("cannot be decompressed: {e}")))?;
        self.put(&plain, deadline)
    }

    /// What has become of it.
    pub fn into_content(self) -> Content {
        match self.file {
            Some((_, path)) => Content::File(path),
            None => Content::Bytes(self.memory),
        }
    }
}

fn too_large() -> Error {
    Error::with_code("response is too large", &["NS_HTTP", "TOOLARGE"])
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    let code = error.raw_os_error().unwrap_or(libc::EIO);
    let reason = crate::base::errno::message(code);
    Error::posix(format!("couldn't {what} \"{}\": {reason}", path.display()), code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn memory_has_limits() {
        let mut sink = Sink::new(Output::Memory(None), Some(5), None).unwrap();
        sink.take(b"hello", soon()).unwrap();
        assert!(sink.take(b"!", soon()).is_err());
        assert_eq!(sink.into_content(), Content::Bytes(b"hello".to_vec()));
    }

    #[test]
    fn what_is_too_much_for_memory_goes_into_a_file() {
        let mut sink = Sink::new(Output::Memory(Some(5)), None, None).unwrap();
        sink.take(b"hello", soon()).unwrap();
        sink.take(b" world", soon()).unwrap();
        let Content::File(path) = sink.into_content() else { panic!("in memory") };
        assert_eq!(std::fs::read(&path).unwrap(), b"hello world");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn compressed_content_is_checked_to_its_end() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"hello hello hello").unwrap();
        let packed = encoder.finish().unwrap();
        for size in [1, 7, packed.len()] {
            let mut sink = Sink::new(Output::Memory(None), None, None).unwrap();
            assert!(sink.decode("gzip"));
            packed.chunks(size).for_each(|part| sink.take(part, soon()).unwrap());
            sink.finish(soon()).unwrap();
            assert_eq!(sink.into_content(), Content::Bytes(b"hello hello hello".to_vec()));
        }
        let mut sink = Sink::new(Output::Memory(None), None, None).unwrap();
        assert!(sink.decode("GZIP") && !sink.decode("br"));
        sink.decode("gzip");
        sink.take(&packed[..packed.len() - 3], soon()).unwrap();
        assert!(sink.finish(soon()).is_err());
    }
}
