//! Where log lines go: the file that the configuration names, or stderr; what a
//! thread holds back; rolling the file.

use super::config;
use crate::net::sys;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The file that lines go to, once one was asked for.
static LOG_FILE: Mutex<Option<LogFile>> = Mutex::new(None);

/// Bytes that a thread may hold back; when there are more they are written.
const MAX_HELD: usize = 16 << 20;

/// How many rolled files are kept unless `logmaxbackup` says otherwise.
const DEFAULT_BACKUPS: i64 = 10;

/// The log file in use. One that could not be opened is remembered too, so
/// that it is not tried again for every line.
struct LogFile {
    path: String,
    file: Option<File>,
}

/// The configured file, if there is one.
pub fn path() -> Option<String> {
    config::get("ns/parameters", "systemlog").filter(|path| !path.is_empty())
}

/// Writes one line in one write, unless the thread holds its lines back. A log
/// that cannot be written to is no reason to fail: then the line is lost.
pub fn write(line: String) {
    // A thread may still log while its thread-local values are being dropped.
    let line = HELD.try_with(|held| held.borrow_mut().keep(line)).unwrap_or(None);
    if let Some(line) = line {
        write_through(&line);
    }
}

fn write_through(text: &str) {
    let written = match path() {
        Some(path) => write_to_file(&path, text.as_bytes()),
        None => false,
    };
    if !written {
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Appends `line` to the file in one write; false when that did not work.
pub(super) fn write_to_file(path: &str, line: &[u8]) -> bool {
    let mut current = LOG_FILE.lock();
    let log = match current.take() {
        Some(log) if log.path == path => log,
        _ => LogFile {
            path: path.to_string(),
            file: OpenOptions::new().append(true).create(true).open(path).ok(),
        },
    };
    let log = current.insert(log);
    log.file.as_mut().is_some_and(|file| file.write_all(line).is_ok())
}

/// The lines that a thread holds back.
#[derive(Default)]
struct Held {
    holding: bool,
    lines: Vec<String>,
    bytes: usize,
}

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

impl Held {
    /// Takes a line, or gives back what is to be written.
    fn keep(&mut self, line: String) -> Option<String> {
        if !self.holding {
            return Some(line);
        }
        self.bytes += line.len();
        self.lines.push(line);
        (self.bytes > MAX_HELD).then(|| self.take())
    }

    fn take(&mut self) -> String {
        self.bytes = 0;
        std::mem::take(&mut self.lines).concat()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A thread has ended: its lines are not lost.
        if !self.lines.is_empty() {
            write_through(&self.take());
        }
    }
}

/// Holds back the lines of this thread from now on.
pub fn hold() {
    HELD.with_borrow_mut(|held| held.holding = true);
}

/// How many lines are held back.
pub fn held_count() -> usize {
    HELD.with_borrow(|held| held.lines.len())
}

/// The lines that are held back.
pub fn peek() -> String {
    HELD.with_borrow(|held| held.lines.concat())
}

/// The lines that were held back, and are not any more.
pub fn take() -> String {
    HELD.with_borrow_mut(Held::take)
}

/// Drops the lines that are held back but the first `keep`.
pub fn truncate(keep: usize) {
    HELD.with_borrow_mut(|held| {
        held.lines.truncate(keep);
        held.bytes = held.lines.iter().map(String::len).sum();
    });
}

/// Writes the lines that are held back.
pub fn flush() {
    let text = take();
    if !text.is_empty() {
        write_through(&text);
    }
}

/// Writes them and holds back none any more.
pub fn release() {
    HELD.with_borrow_mut(|held| held.holding = false);
    flush();
}

/// Rolls the log file: it gets another name, and the next line begins a new
/// one. The name is that of the file with the time behind it, by the strftime
/// format of parameter `logrollfmt`; without one a number, `000` for the newest
/// of the `logmaxbackup` that are kept. Nothing happens without a file.
///
/// # Errors
/// The system's.
pub fn roll() -> io::Result<()> {
    let Some(path) = path() else { return Ok(()) };
    let mut current = LOG_FILE.lock();
    if !Path::new(&path).exists() {
        *current = None;
        return Ok(());
    }
    let format = config::get("ns/parameters", "logrollfmt").filter(|format| !format.is_empty());
    match format.and_then(|format| time_suffix(&format)) {
        Some(suffix) => {
            // A second roll within the format's unit must not overwrite the first.
            let mut to = format!("{path}.{suffix}");
            for number in 1.. {
                if !Path::new(&to).exists() {
                    break;
                }
                to = format!("{path}.{suffix}.{number}");
            }
            fs::rename(&path, to)?;
        }
        None => {
            let backups = config::get_int("ns/parameters", "logmaxbackup", DEFAULT_BACKUPS).clamp(1, 1000);
            let numbered = |number: i64| format!("{path}.{number:03}");
            for number in (0..backups - 1).rev() {
                if Path::new(&numbered(number)).exists() {
                    fs::rename(numbered(number), numbered(number + 1))?;
                }
            }
            fs::rename(&path, numbered(0))?;
        }
    }
    *current = None;
    Ok(())
}

fn time_suffix(format: &str) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let text = sys::format_local_time(now.try_into().unwrap_or(i64::MAX), format)?;
    // A slash would lead into another folder.
    Some(String::from_utf8_lossy(&text).replace('/', "-")).filter(|text| !text.is_empty())
}

/// The lines of a file that contain a text, in order.
///
/// # Errors
/// The system's.
pub fn grep(path: &str, text: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if line.contains(text) {
            found.push(line.into_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_is_reported_to_the_caller() {
        assert!(!write_to_file("/nonexistent/directory/log", b"lost\n"));
        assert!(!write_to_file("/nonexistent/directory/log", b"lost\n"));
    }

    #[test]
    fn lines_are_held_and_dropped() {
        hold();
        for line in ["a\n", "b\n", "c\n"] {
            write(line.to_owned());
        }
        assert_eq!((held_count(), peek().as_str()), (3, "a\nb\nc\n"));
        truncate(2);
        assert_eq!((take().as_str(), held_count()), ("a\nb\n", 0));
        release();
    }
}
