//! A file as it is now: opened, or found in the cache.

use super::cache::FILES;
use super::{Settings, Source};
use crate::net::beneath::{stamp, stamp_of, Stamp};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Files up to this many bytes are read when they are asked for, so that head
/// and contents go out together; larger ones are sent from the disk.
const READ_WHOLE: u64 = 32 << 10;

/// A file that was changed less than this many seconds ago is not kept: within
/// the resolution of its times it could change once more and look the same.
const SETTLED: i64 = 1;

/// What a name leads to.
pub enum Found {
    /// A regular file.
    File(Opened),
    /// A directory.
    Directory,
    /// Something that cannot be sent: a socket, a FIFO, a device.
    Other,
}

/// A regular file, held: whatever happens to its name, this is what is sent.
pub struct Opened {
    /// What it was when it was opened.
    pub stamp: Stamp,
    held: Held,
}

enum Held {
    Memory(Arc<[u8]>),
    /// The name under which the cache may have it, when it may.
    Disk(File, Option<CString>),
}

/// The bytes of a file.
#[derive(Debug, Clone)]
pub enum Contents {
    /// All of them.
    Memory(Arc<[u8]>),
    /// Where they are.
    Disk(Arc<File>),
}

/// Looks for `source` with `suffix` appended to its name; `now` is in seconds
/// since 1970.
///
/// # Errors
/// The operating system's: not there, not readable, leads out of the page
/// directory.
pub fn open(source: &Source, suffix: &str, settings: &Settings, now: i64) -> io::Result<Found> {
    let name = if settings.cache { Some(source.full_name(suffix)?) } else { None };
    if let Some(name) = &name {
        let kept = FILES.lock().find(name);
        if let Some((stamp, data)) = kept {
            if stamp_of(name).is_ok_and(|current| current == stamp) {
                return Ok(Found::File(Opened { stamp, held: Held::Memory(data) }));
            }
            FILES.lock().flush(name);
        }
    }
    let file = source.open(suffix)?;
    let stamp = stamp(&file)?;
    if stamp.is_directory() {
        return Ok(Found::Directory);
    }
    if !stamp.is_file() {
        return Ok(Found::Other);
    }
    let settled = stamp.changed.0 + SETTLED < now && stamp.size <= settings.cache_max_entry;
    Ok(Found::File(Opened { stamp, held: Held::Disk(file, name.filter(|_| settled)) }))
}

impl Opened {
    /// The bytes, and how many they are: fewer than was said when the file has
    /// shrunk meanwhile.
    ///
    /// # Errors
    /// The operating system's, from reading.
    pub fn contents(self, settings: &Settings) -> io::Result<(Contents, u64)> {
        match self.held {
            Held::Memory(data) => {
                let length = data.len() as u64;
                Ok((Contents::Memory(data), length))
            }
            Held::Disk(file, name) => {
                let most = if name.is_some() { READ_WHOLE.max(settings.cache_max_entry) } else { READ_WHOLE };
                if self.stamp.size > most {
                    return Ok((Contents::Disk(Arc::new(file)), self.stamp.size));
                }
                let data = read(&file, self.stamp.size)?;
                if let Some(name) = name {
                    // Only what did not change while it was read.
                    if data.len() as u64 == self.stamp.size && stamp(&file)? == self.stamp {
                        let data = Arc::clone(&data);
                        FILES.lock().insert(name, self.stamp, data, settings.cache_max_size);
                    }
                }
                let length = data.len() as u64;
                Ok((Contents::Memory(data), length))
            }
        }
    }
}

/// The first `size` bytes of a file, or as many as it has.
fn read(file: &File, size: u64) -> io::Result<Arc<[u8]>> {
    let mut data: Arc<[u8]> = std::iter::repeat_n(0, size as usize).collect();
    let place = Arc::get_mut(&mut data).expect("nobody else has it yet");
    let mut filled = 0;
    while filled < place.len() {
        match file.read_at(&mut place[filled..], filled as u64) {
            Ok(0) => return Ok(data[..filled].into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(data)
}
