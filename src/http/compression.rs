//! The content coding gzip (RFC 1952): whole bodies, and bodies that are made
//! while they are sent.
//!
//! The ten bytes of the header are written here and never vary: no name, no
//! time, "Unix". What is compressed twice is the same twice.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::cell::RefCell;

/// One member without name, time and comment, made under Unix.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// The least room that the compressor is given at a time.
const ROOM: usize = 4096;

/// A gzip member that grows.
pub struct Gzip {
    deflate: Compress,
    checksum: Crc,
    begun: bool,
}

impl Gzip {
    /// A member at a level of 1 (fast) to 9 (small); others count as the
    /// nearest of these.
    pub fn new(level: u32) -> Gzip {
        Gzip {
            deflate: Compress::new(Compression::new(level.clamp(1, 9)), false),
            checksum: Crc::new(),
            begun: false,
        }
    }

    /// Adds `data`, and appends to `out` whatever a receiver needs in order to
    /// have all of it.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        self.checksum.update(data);
        self.run(data, FlushCompress::Sync, out);
    }

    /// Adds the last `data`, and appends to `out` what is left, with the
    /// trailer. Nothing may be added after that.
    pub fn finish(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        self.checksum.update(data);
        self.run(data, FlushCompress::Finish, out);
        out.extend_from_slice(&self.checksum.sum().to_le_bytes());
        out.extend_from_slice(&self.checksum.amount().to_le_bytes());
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            out.extend_from_slice(&HEADER);
            self.begun = true;
        }
    }

    fn run(&mut self, mut data: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
        loop {
            // Also room for what the compressor has held back so far.
            out.reserve((data.len() / 2).max(ROOM));
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(data, out, flush);
            data = &data[(self.deflate.total_in() - before) as usize..];
            let done = match status {
                Ok(Status::StreamEnd) => true,
                // With room left over there is nothing more to come.
                Ok(_) if flush != FlushCompress::Finish => data.is_empty() && out.len() < out.capacity(),
                Ok(_) => false,
                // A compressor fails only when it is used after its end.
                Err(_) => true,
            };
            if done {
                return;
            }
        }
    }
}

/// `data` as one gzip member.
pub fn gzip(data: &[u8], level: u32) -> Vec<u8> {
    thread_local! {
        /// The compressor of the last call and its level: a quarter of a megabyte that need
        /// not be made anew each time.
        static KEPT: RefCell<Option<(u32, Compress)>> = const { RefCell::new(None) };
    }
    let mut gzip = match KEPT.take() {
        Some((kept, deflate)) if kept == level => Gzip { deflate, checksum: Crc::new(), begun: false },
        _ => Gzip::new(level),
    };
    let mut out = Vec::with_capacity(data.len() / 3 + 64);
    gzip.finish(data, &mut out);
    gzip.deflate.reset();
    KEPT.set(Some((level, gzip.deflate)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn plain(member: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        let mut decoder = GzDecoder::new(member);
        decoder.read_to_end(&mut data).expect("a whole gzip member");
        data
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let byte = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..length).map(byte).collect()
    }

    #[test]
    fn bodies_come_back() {
        for data in [Vec::new(), b"a".to_vec(), vec![b'x'; 1 << 20], noise(300_000)] {
            for level in [0, 1, 4, 9, 10] {
                let member = gzip(&data, level);
                assert_eq!(member[..10], HEADER);
                assert!(plain(&member) == data, "{} bytes at level {level}", data.len());
            }
        }
        assert!(gzip(&[b'x'; 10_000], 4).len() < 100);
    }

    #[test]
    fn a_stream_tells_all_that_was_given() {
        for size in [0, 1, 100, 8192, 100_000] {
            let (mut gzip, mut sent, mut given) = (Gzip::new(4), Vec::new(), Vec::new());
            for round in 0..4 {
                let data = if round % 2 == 0 { noise(size) } else { vec![b'z'; size] };
                given.extend_from_slice(&data);
                gzip.push(&data, &mut sent);
                // What has been sent so far can be read so far.
                let mut seen = vec![0; given.len()];
                GzDecoder::new(&sent[..]).read_exact(&mut seen).expect("all of it");
                assert!(seen == given);
            }
            gzip.finish(b"", &mut sent);
            assert!(plain(&sent) == given, "{size}");
        }
    }

    /// The sizes of the reference's chunks: header and data, then the trailer
    /// with the end of the data.
    #[test]
    fn sizes_of_a_streamed_letter() {
        let (mut gzip, mut first, mut second, mut last) = (Gzip::new(4), Vec::new(), Vec::new(), Vec::new());
        gzip.push(b"a", &mut first);
        gzip.push(b"b", &mut second);
        gzip.finish(b"", &mut last);
        assert_eq!((first.len(), second.len(), last.len()), (17, 7, 10));
    }
}
