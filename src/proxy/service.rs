//! The other end of the line: a worker that takes requests and answers them.

use super::wire::{self, Malformed, Request, ANSWER_HEAD, REQUEST_HEAD};
use crate::net::process;
use crate::net::receive::{self, Body};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Taken from the line at once.
const FIRST: usize = 16 * 1024;

/// How long a script may go on after the parent process has ended.
const GRACE: Duration = Duration::from_secs(2);

/// How often the parent is looked for, once the line was closed.
const LOOK: Duration = Duration::from_millis(100);

/// The line to the process that sends requests.
pub struct Service {
    input: File,
    output: File,
    /// What was received and not yet used: from `used` on.
    bytes: Vec<u8>,
    used: usize,
    /// Whether requests are being served.
    serving: Arc<AtomicBool>,
}

fn malformed(_: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed request")
}

impl Service {
    /// Takes the line from `at`, or from standard input and output.
    pub fn take(at: Option<RawFd>) -> io::Result<Service> {
        let (input, output) = process::take_line(at)?;
        let bytes = <Vec<u8> as Body>::with_length(FIRST).ok_or(io::ErrorKind::OutOfMemory)?;
        let service = Service {
            input: input.into(),
            output: output.into(),
            bytes,
            used: 0,
            serving: Arc::new(AtomicBool::new(true)),
        };
        service.guard()?;
        Ok(service)
    }

    /// Ends this process when the other one has ended and a script does not
    /// come to its end. As long as the parent lives, that is its affair.
    fn guard(&self) -> io::Result<()> {
        let (fd, parent, serving) = (self.input.as_raw_fd(), process::parent_id(), Arc::clone(&self.serving));
        let run = move || {
            process::block_signals();
            process::await_hangup(fd);
            while process::parent_id() == parent {
                std::thread::sleep(LOOK);
            }
            std::thread::sleep(GRACE);
            if serving.load(Ordering::Acquire) {
                process::end_now(1);
            }
        };
        std::thread::Builder::new().name("nsproxy guard".into()).stack_size(64 * 1024).spawn(run)?;
        Ok(())
    }

    /// Waits for the next request. None when there will be no more.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
        }
        while self.bytes.len() - self.used < REQUEST_HEAD {
            if self.used > 0 {
                self.bytes.drain(..self.used);
                self.used = 0;
            }
            let filled = receive::read(&self.input, self.bytes.spare())?;
            if filled.is_empty() {
                return Ok(None);
            }
            self.bytes.accept(filled);
        }
        let head: [u8; REQUEST_HEAD] =
            self.bytes[self.used..][..REQUEST_HEAD].try_into().map_err(|_| malformed(Malformed))?;
        self.used += REQUEST_HEAD;
        Request::parse(&head).map(Some).map_err(malformed)
    }

    /// The next bytes of a request, if they are there already.
    pub fn peek(&self, length: usize) -> Option<&[u8]> {
        self.bytes[self.used..].get(..length)
    }

    /// Passes over bytes that `peek` has shown.
    pub fn skip(&mut self, length: usize) {
        self.used += length;
    }

    /// The next bytes of a request.
    pub fn take_bytes<B: Body>(&mut self, length: usize) -> io::Result<B> {
        let mut body = B::with_length(length).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut left = length;
        let there = (self.bytes.len() - self.used).min(left);
        let filled = receive::copy(&self.bytes[self.used..][..there], &mut body.spare()[..left]);
        self.used += there;
        left -= there;
        body.accept(filled);
        while left > 0 {
            let filled = receive::read(&self.input, &mut body.spare()[..left])?;
            if filled.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= filled.len();
            body.accept(filled);
        }
        Ok(body)
    }

    /// The words of a request that has come in words.
    pub fn take_words<B: Body>(&mut self, request: Request) -> io::Result<Vec<B>> {
        let count: Vec<u8> = self.take_bytes(4)?;
        let count: [u8; 4] = count.try_into().map_err(|_| malformed(Malformed))?;
        let length = wire::table_length(count).map_err(malformed)?;
        let mut table = count.to_vec();
        table.extend_from_slice(&self.take_bytes::<Vec<u8>>(length - 4)?);
        let lengths = wire::word_lengths(&table, request.length).map_err(malformed)?;
        lengths.into_iter().map(|length| self.take_bytes(length)).collect()
    }

    /// Answers a request. The texts are errorCode, errorInfo, and the result.
    pub fn answer(&mut self, code: i32, error: Option<(&[u8], &[u8])>, result: &[u8]) -> io::Result<()> {
        let (error_code, error_info) = error.unwrap_or_default();
        let with_nul = |text: &[u8]| if error.is_some() { text.len() + 1 } else { 0 };
        let answer = wire::Answer {
            code,
            error_code: with_nul(error_code),
            error_info: with_nul(error_info),
            result: result.len(),
        };
        let head: [u8; ANSWER_HEAD] =
            answer.head().map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()))?;
        let nul: &[u8] = if error.is_some() { b"\0" } else { b"" };
        let mut slices = [&head, error_code, nul, error_info, nul, result].map(IoSlice::new);
        let mut slices = &mut slices[..];
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match self.output.write_vectored(slices) {
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;

    fn service() -> (Service, socket2::Socket) {
        let (ours, theirs) = process::socket_pair().unwrap();
        let output = File::from(OwnedFd::from(theirs.try_clone().unwrap()));
        let service = Service {
            input: File::from(OwnedFd::from(theirs)),
            output,
            bytes: Vec::with_capacity(FIRST),
            used: 0,
            serving: Arc::new(AtomicBool::new(false)),
        };
        (service, ours)
    }

    fn send(line: &mut socket2::Socket, parts: &[&[u8]], in_words: bool) {
        let mut message = wire::request_head(parts, in_words).unwrap();
        parts.iter().for_each(|part| message.extend_from_slice(part));
        line.write_all(&message).unwrap();
    }

    #[test]
    fn requests_of_any_size() {
        let (mut service, line) = service();
        let large = vec![b'x'; 300_000];
        let mut sender = line.try_clone().unwrap();
        let copy = large.clone();
        let thread = std::thread::spawn(move || {
            for script in [&b"expr 1+1"[..], b"", &copy[..], b"last"] {
                send(&mut sender, &[script], false);
            }
        });
        for script in [&b"expr 1+1"[..], b"", &large[..], b"last"] {
            let request = service.request().unwrap().unwrap();
            assert_eq!(request, Request { length: script.len(), in_words: false });
            assert_eq!(service.take_bytes::<Vec<u8>>(request.length).unwrap(), script);
        }
        thread.join().unwrap();
        drop(line);
        assert!(service.request().unwrap().is_none());
    }

    #[test]
    fn commands_in_words() {
        let (mut service, mut line) = service();
        send(&mut line, &[b"string", b"length", b"\xc3\xa4"], true);
        let request = service.request().unwrap().unwrap();
        let words: Vec<Vec<u8>> = service.take_words(request).unwrap();
        assert_eq!(words, [&b"string"[..], b"length", b"\xc3\xa4"]);
    }

    #[test]
    fn nonsense_and_half_a_request() {
        let (mut service, mut line) = service();
        line.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        assert_eq!(service.request().unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (mut service, mut line) = self::service();
        send(&mut line, &[b"abc"], false);
        let request = service.request().unwrap().unwrap();
        drop(line);
        assert!(service.take_bytes::<Vec<u8>>(request.length + 1).is_err());
    }

    #[test]
    fn a_damaged_request_is_refused_or_ends_the_work() {
        let parts: [&[u8]; 3] = [b"set", b"x", b"a value"];
        let mut message = wire::request_head(&parts, true).unwrap();
        parts.iter().for_each(|part| message.extend_from_slice(part));
        for index in 0..message.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let (mut service, mut line) = service();
                let mut damaged = message.clone();
                damaged[index] = value;
                line.write_all(&damaged).unwrap();
                drop(line);
                let Ok(Some(request)) = service.request() else { continue };
                if request.in_words {
                    if let Ok(words) = service.take_words::<Vec<u8>>(request) {
                        assert!(words.concat().len() <= message.len());
                    }
                } else {
                    // The end comes before a script that was said to be longer.
                    let taken = service.take_bytes::<Vec<u8>>(request.length);
                    assert!(taken.is_err() || request.length <= message.len());
                }
            }
        }
    }

    #[test]
    fn an_answer_with_and_without_an_error() {
        let (mut service, mut line) = service();
        service.answer(0, None, b"2").unwrap();
        service.answer(1, Some((b"NONE", b"")), b"oops").unwrap();
        drop(service);
        let mut bytes = Vec::new();
        line.read_to_end(&mut bytes).unwrap();
        let (first, second) = bytes.split_at(ANSWER_HEAD + 1);
        let head = wire::Answer::parse(first[..ANSWER_HEAD].try_into().unwrap()).unwrap();
        assert_eq!(head, wire::Answer { code: 0, error_code: 0, error_info: 0, result: 1 });
        let head = wire::Answer::parse(second[..ANSWER_HEAD].try_into().unwrap()).unwrap();
        assert_eq!(head, wire::Answer { code: 1, error_code: 5, error_info: 1, result: 4 });
        assert_eq!(&second[ANSWER_HEAD..], b"NONE\0\0oops");
    }
}
