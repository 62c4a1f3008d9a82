//! A worker: its process and the line to it. Sending and receiving, each with
//! a deadline for the whole message.

use super::settings::Settings;
use super::wire::{self, ANSWER_HEAD};
use crate::net::descriptor;
use crate::net::identity::Identity;
use crate::net::process::{self, Launch, Line, Process};
use crate::net::receive::{self, Body};
use crate::net::wait::{wait, Direction};
use parking_lot::Mutex;
use socket2::Socket;
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Blanks in the last argument of a worker: room for what `ps` shows.
const TITLE: usize = 99;

/// Where our own workers find their line.
pub const OWN_LINE: i32 = 3;

/// Bytes that may be under way to a worker; the system may grant less.
const SEND_BUFFER: usize = 4 << 20;

/// Taken from the line at first: most answers are complete with it, and of a
/// large one little has to be copied.
const FIRST: usize = 8 * 1024;

/// Our own program, for pools without another.
#[derive(Clone, Debug)]
pub struct OwnProgram {
    /// The interpreter.
    pub interpreter: OsString,
    /// The script that is the worker's main.
    pub script: OsString,
    /// Evaluated first of all.
    pub prelude: Vec<u8>,
}

/// A script on its way to a worker.
#[derive(Clone, Copy, Debug)]
pub enum Script<'a> {
    /// As text.
    Text(&'a [u8]),
    /// A command in words.
    Words(&'a [&'a [u8]]),
    /// A text, and the words of the command that it is.
    Command(&'a [u8], &'a [&'a [u8]]),
}

/// What a worker answered.
#[derive(Debug)]
pub struct Answer<B> {
    /// The completion code.
    pub code: i32,
    /// errorCode, if there is one; it may be empty.
    pub error_code: Option<Vec<u8>>,
    /// errorInfo, if there is one.
    pub error_info: Vec<u8>,
    /// The result.
    pub result: B,
}

/// Why a message was not sent.
#[derive(Debug)]
pub enum SendError {
    /// Nobody is at the other end, and nothing was sent.
    Gone,
    /// Something else, perhaps in the middle of the message.
    Failed(io::Error),
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// Nothing came by the deadline.
    Timeout,
    /// The worker is lost, or took too long for the rest of its answer.
    Lost,
    /// It means nothing.
    Malformed,
}

/// How long to wait for the first byte of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    /// As long as it takes. The reaper ends the wait when the process ends.
    Forever,
    /// Until then.
    Until(Instant),
}

impl Wait {
    /// For so long; not positive means forever.
    pub fn lasting(time: crate::base::time_value::TimeValue) -> Wait {
        if time.as_micros() <= 0 {
            return Wait::Forever;
        }
        match Instant::now().checked_add(time.as_duration().max(Duration::from_millis(1))) {
            Some(deadline) => Wait::Until(deadline),
            None => Wait::Forever,
        }
    }
}

/// What is to be found at the end of an idle line.
#[derive(PartialEq, Eq, Debug)]
enum Quiet {
    Yes,
    Closed,
    Noise,
}

/// A worker process.
#[derive(Debug)]
pub struct Worker {
    socket: Socket,
    process: Process,
    /// Whether it understands commands in words: it is one of ours.
    is_own: bool,
    /// The generation of the process that started it.
    generation: u32,
    ended: AtomicBool,
    runs: AtomicU32,
    /// Locked while the line is closed, so that this happens once.
    closed: Mutex<bool>,
}

impl Worker {
    /// Starts the process of a worker. It has not answered yet.
    pub fn spawn(pool: &str, handle: &str, settings: &Settings, own: &OwnProgram) -> io::Result<Worker> {
        let generation = process::generation();
        let identity = identity_of(pool)?;
        let (ours, theirs) = descriptor::retry_at_limit(process::socket_pair)?;
        let ours = descriptor::settle(ours);
        process::set_send_buffer(&ours, SEND_BUFFER);
        process::set_send_buffer(&theirs, SEND_BUFFER);
        let is_own = settings.exec.is_empty();
        let program = if is_own { own.interpreter.as_os_str() } else { OsStr::new(&settings.exec) };
        let mut arguments = vec![program];
        if is_own {
            arguments.push(&own.script);
        }
        let blanks = " ".repeat(TITLE);
        arguments.extend([OsStr::new(pool), OsStr::new(handle), OsStr::new(&blanks)]);
        let arguments: Vec<CString> =
            arguments.into_iter().map(|a| CString::new(a.as_bytes())).collect::<Result<_, _>>()?;
        let environment = settings.environment();
        let launch = Launch {
            program,
            arguments: &arguments,
            environment: environment.as_deref(),
            identity: identity.as_ref(),
            line: if is_own { Line::At(OWN_LINE) } else { Line::Standard },
        };
        let process = process::spawn(&launch, &theirs)?;
        Ok(Worker {
            socket: ours,
            process,
            is_own,
            generation,
            ended: AtomicBool::new(false),
            runs: AtomicU32::new(0),
            closed: Mutex::new(false),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.id()
    }

    /// Its process.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// Its line, to be watched for an answer.
    pub fn line(&self) -> &Socket {
        &self.socket
    }

    /// Scripts that were sent to it.
    pub fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Counts a script.
    pub fn count_run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it understands commands in words.
    pub fn takes_words(&self) -> bool {
        self.is_own
    }

    /// Whether it belongs to a process of which this one is a fork.
    pub fn is_foreign(&self) -> bool {
        self.generation != process::generation()
    }

    /// The process has ended, or its line is to be cut. Whoever waits for it
    /// hears the end of what was received.
    pub(super) fn close(&self) {
        let mut closed = self.closed.lock();
        if !*closed && !self.is_foreign() {
            *closed = true;
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
    }

    pub(super) fn mark_ended(&self) {
        self.ended.store(true, Ordering::Release);
        self.close();
    }

    /// Whether a script can be sent: the process lives, and its line is open
    /// and quiet.
    pub fn is_ready(&self) -> bool {
        !self.is_foreign() && !self.ended.load(Ordering::Acquire) && self.quiet() == Quiet::Yes
    }

    fn quiet(&self) -> Quiet {
        let mut byte = [MaybeUninit::uninit()];
        match self.socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
            Ok(0) => Quiet::Closed,
            Ok(_) => Quiet::Noise,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Quiet::Yes,
            Err(_) => Quiet::Closed,
        }
    }

    /// Sends a script. `limit` is for all of it.
    pub fn send(&self, script: Script, limit: Duration) -> Result<(), SendError> {
        let (parts, in_words) = match &script {
            Script::Text(text) => (std::slice::from_ref(text), false),
            Script::Words(words) | Script::Command(_, words) => (*words, true),
        };
        let head = wire::request_head(parts, in_words)
            .map_err(|e| SendError::Failed(io::Error::new(io::ErrorKind::InvalidInput, e.to_string())))?;
        let mut slices: [IoSlice; wire::MAX_WORDS + 1] = [IoSlice::new(&[]); wire::MAX_WORDS + 1];
        slices[0] = IoSlice::new(&head);
        for (slice, part) in slices[1..].iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        let mut slices = &mut slices[..=parts.len()];
        IoSlice::advance_slices(&mut slices, 0);
        let mut deadline = None;
        let mut begun = false;
        while !slices.is_empty() {
            match self.socket.send_vectored_with_flags(slices, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
                Ok(sent) => {
                    begun = true;
                    IoSlice::advance_slices(&mut slices, sent);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        let deadline = *deadline.get_or_insert_with(|| until(limit));
                        if !wait(self.socket.as_raw_fd(), Direction::Writable, deadline)
                            .map_err(SendError::Failed)?
                        {
                            return Err(SendError::Failed(io::ErrorKind::TimedOut.into()));
                        }
                    }
                    _ if !begun => return Err(SendError::Gone),
                    _ => return Err(SendError::Failed(error)),
                },
            }
        }
        Ok(())
    }

    /// Waits for an answer, or for the end of the worker. False when there is
    /// neither in time.
    pub fn await_answer(&self, until: Wait) -> bool {
        let deadline = match until {
            Wait::Forever => None,
            Wait::Until(deadline) => Some(deadline),
        };
        wait(self.socket.as_raw_fd(), Direction::Readable, deadline).unwrap_or(true)
    }

    /// Receives an answer. `limit` is for what comes behind its first byte.
    pub fn receive<B: Body>(&self, first: Wait, limit: Duration) -> Result<Answer<B>, ReceiveError> {
        let mut bytes = <Vec<u8> as Body>::with_length(FIRST).ok_or(ReceiveError::Lost)?;
        let mut line = Incoming { socket: &self.socket, limit, deadline: None };
        let filled = match first {
            Wait::Forever => receive::read(&self.socket, bytes.spare()).map_err(|_| ReceiveError::Lost)?,
            Wait::Until(deadline) => {
                match wait(self.socket.as_raw_fd(), Direction::Readable, Some(deadline)) {
                    Ok(false) => return Err(ReceiveError::Timeout),
                    Ok(true) => line.more(bytes.spare())?,
                    Err(_) => return Err(ReceiveError::Lost),
                }
            }
        };
        if filled.is_empty() {
            return Err(ReceiveError::Lost);
        }
        bytes.accept(filled);
        while bytes.len() < ANSWER_HEAD {
            let filled = line.more(bytes.spare())?;
            bytes.accept(filled);
        }
        let (head, mut rest) = bytes.split_at(ANSWER_HEAD);
        let head: &[u8; ANSWER_HEAD] = head.try_into().map_err(|_| ReceiveError::Malformed)?;
        let answer = wire::Answer::parse(head).map_err(|_| ReceiveError::Malformed)?;
        if rest.len() > answer.body() {
            return Err(ReceiveError::Malformed);
        }
        let error_code = match answer.error_code {
            0 => None,
            length => Some(line.text(length, &mut rest)?),
        };
        let error_info = line.text(answer.error_info, &mut rest)?;
        let result = line.body(answer.result, &mut rest)?;
        Ok(Answer { code: answer.code, error_code, error_info, result })
    }
}

fn until(limit: Duration) -> Option<Instant> {
    if limit.is_zero() {
        None
    } else {
        Instant::now().checked_add(limit)
    }
}

/// What follows the first bytes of an answer.
struct Incoming<'a> {
    socket: &'a Socket,
    limit: Duration,
    deadline: Option<Option<Instant>>,
}

impl Incoming<'_> {
    /// At least one more byte.
    fn more(&mut self, spare: &mut [MaybeUninit<u8>]) -> Result<receive::Filled, ReceiveError> {
        loop {
            match receive::receive(self.socket, spare) {
                Ok(filled) if filled.is_empty() => return Err(ReceiveError::Lost),
                Ok(filled) => return Ok(filled),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let deadline = *self.deadline.get_or_insert_with(|| until(self.limit));
                    if !matches!(wait(self.socket.as_raw_fd(), Direction::Readable, deadline), Ok(true)) {
                        return Err(ReceiveError::Lost);
                    }
                }
                Err(_) => return Err(ReceiveError::Lost),
            }
        }
    }

    /// So many bytes: first those that are there.
    fn body<B: Body>(&mut self, length: usize, there: &mut &[u8]) -> Result<B, ReceiveError> {
        let mut body = B::with_length(length).ok_or(ReceiveError::Malformed)?;
        let mut left = length;
        let (now, later) = there.split_at(left.min(there.len()));
        *there = later;
        let filled = receive::copy(now, &mut body.spare()[..left]);
        left -= filled.len();
        body.accept(filled);
        while left > 0 {
            let filled = self.more(&mut body.spare()[..left])?;
            left -= filled.len();
            body.accept(filled);
        }
        Ok(body)
    }

    /// The same for a text that may end in a NUL, which is cut off.
    fn text(&mut self, length: usize, there: &mut &[u8]) -> Result<Vec<u8>, ReceiveError> {
        let mut text: Vec<u8> = self.body(length, there)?;
        if let Some(end) = text.iter().position(|b| *b == 0) {
            text.truncate(end);
        }
        Ok(text)
    }
}

/// Whom the workers of a pool are to run as: `name:user:group`, the last or the
/// last two left out. A user of its own is none.
fn identity_of(pool: &str) -> io::Result<Option<Identity>> {
    let mut parts = pool.splitn(3, ':').skip(1);
    let Some(user) = parts.next() else { return Ok(None) };
    let identity = Identity::find(user, parts.next().filter(|group| !group.is_empty()))?;
    Ok(Some(identity).filter(|identity| !identity.is_own()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// A worker whose other end is a socket of the test.
    fn worker() -> (Worker, Socket) {
        let (ours, theirs) = process::socket_pair().unwrap();
        let arguments = [c"true".to_owned()];
        let launch = Launch {
            program: OsStr::new("/bin/true"),
            arguments: &arguments,
            environment: None,
            identity: None,
            line: Line::Standard,
        };
        let process = process::spawn(&launch, &theirs).unwrap();
        while process.ended().is_none() {
            std::thread::yield_now();
        }
        let worker = Worker {
            socket: ours,
            process,
            is_own: true,
            generation: process::generation(),
            ended: AtomicBool::new(false),
            runs: AtomicU32::new(0),
            closed: Mutex::new(false),
        };
        (worker, theirs)
    }

    fn soon() -> Wait {
        Wait::Until(Instant::now() + Duration::from_secs(20))
    }

    fn answer(code: i32, error_code: &[u8], error_info: &[u8], result: &[u8]) -> Vec<u8> {
        let head = wire::Answer {
            code,
            error_code: error_code.len(),
            error_info: error_info.len(),
            result: result.len(),
        };
        [&head.head().unwrap()[..], error_code, error_info, result].concat()
    }

    fn receive(worker: &Worker) -> Result<Answer<Vec<u8>>, ReceiveError> {
        worker.receive(soon(), Duration::from_secs(20))
    }

    #[test]
    fn a_script_goes_out_whole() {
        let (worker, mut peer) = worker();
        worker.send(Script::Words(&[b"a", b"", b"bc"]), Duration::from_secs(1)).unwrap();
        let mut head = [0; wire::REQUEST_HEAD];
        peer.read_exact(&mut head).unwrap();
        let request = wire::Request::parse(&head).unwrap();
        let mut script = vec![0; request.length];
        peer.read_exact(&mut script).unwrap();
        assert_eq!(wire::word_lengths(&script[..16], request.length), Ok(vec![1, 0, 2]));
        assert_eq!(&script[16..], b"abc");
    }

    #[test]
    fn sending_ends_by_its_limit() {
        let (worker, _peer) = worker();
        let large = vec![b'x'; 64 << 20];
        let error = worker.send(Script::Text(&large), Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, SendError::Failed(e) if e.kind() == io::ErrorKind::TimedOut));
    }

    #[test]
    fn nobody_there() {
        let (worker, peer) = worker();
        assert!(worker.is_ready());
        drop(peer);
        // A process that another test starts at this moment has it for as long as it takes to
        // become another program.
        let deadline = Instant::now() + Duration::from_secs(20);
        while worker.is_ready() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!worker.is_ready());
        assert!(matches!(worker.send(Script::Text(b"x"), Duration::ZERO), Err(SendError::Gone)));
        assert_eq!(receive(&worker).unwrap_err(), ReceiveError::Lost);
    }

    #[test]
    fn an_answer_in_any_pieces() {
        let message = answer(1, b"A B\0", b"info\0", &vec![b'r'; 20_000]);
        for piece in [1, 7, 19, 20, 21, 8192, 30_000] {
            let (worker, mut peer) = worker();
            let pieces: Vec<Vec<u8>> = message.chunks(piece).map(<[u8]>::to_vec).collect();
            let sender = std::thread::spawn(move || {
                pieces.iter().for_each(|piece| peer.write_all(piece).unwrap());
                peer
            });
            let answer = receive(&worker).unwrap();
            assert_eq!(
                (answer.code, answer.error_code.as_deref(), &answer.error_info[..]),
                (1, Some(&b"A B"[..]), &b"info"[..])
            );
            assert_eq!(answer.result, vec![b'r'; 20_000]);
            let _peer = sender.join().unwrap();
            assert!(worker.is_ready());
        }
    }

    #[test]
    fn answers_that_mean_nothing() {
        let short = answer(0, b"", b"", b"abc");
        let mut too_much = short.clone();
        too_much.push(b'!');
        let mut huge = short.clone();
        huge[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        for garbage in [b"hello, this is no answer".to_vec(), too_much, huge, vec![0; 20]] {
            let (worker, mut peer) = worker();
            peer.write_all(&garbage).unwrap();
            assert_eq!(receive(&worker).unwrap_err(), ReceiveError::Malformed);
        }
    }

    #[test]
    fn a_damaged_answer_is_refused_or_has_the_lengths_that_it_tells() {
        let message = answer(1, b"A B\0", b"info\0", b"result");
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..400 {
            let mut damaged = message.clone();
            for _ in 0..3 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let index = random as usize % damaged.len();
                damaged[index] = (random >> 32) as u8;
            }
            damaged.truncate(damaged.len() - (random >> 40) as usize % 4);
            let (worker, mut peer) = worker();
            peer.write_all(&damaged).unwrap();
            drop(peer);
            if let Ok(answer) = receive(&worker) {
                let texts = answer.error_code.map_or(0, |code| code.len())
                    + answer.error_info.len()
                    + answer.result.len();
                assert!(texts <= damaged.len() - ANSWER_HEAD, "{damaged:?}");
            }
        }
    }

    #[test]
    fn answers_that_do_not_come_whole() {
        let (worker, mut peer) = worker();
        let nothing = worker.receive::<Vec<u8>>(Wait::Until(Instant::now()), Duration::ZERO);
        assert_eq!(nothing.unwrap_err(), ReceiveError::Timeout);
        let message = answer(0, b"", b"", b"abc");
        peer.write_all(&message[..21]).unwrap();
        let late = worker.receive::<Vec<u8>>(soon(), Duration::from_millis(20));
        assert_eq!(late.unwrap_err(), ReceiveError::Lost);
        peer.write_all(&message[..21]).unwrap();
        drop(peer);
        assert_eq!(receive(&worker).unwrap_err(), ReceiveError::Lost);
    }

    #[test]
    fn noise_on_an_idle_line_is_noticed() {
        let (worker, mut peer) = worker();
        peer.write_all(b"x").unwrap();
        assert!(!worker.is_ready());
    }

    #[test]
    fn users_in_the_name_of_a_pool() {
        assert_eq!(identity_of("pool").unwrap(), None);
        assert!(identity_of("pool:").is_err());
        assert!(identity_of("a::b").is_err());
        assert!(identity_of("pool:no-such-user").is_err());
    }
}
