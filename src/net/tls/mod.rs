//! TLS over a non-blocking socket: handshake, reading, writing, closing, by
//! OpenSSL (the system's library).
//!
//! A `Session` never waits. What cannot go on says in which direction the
//! socket has to become ready first; whoever drives it (a waiting call, a
//! reactor) waits in its own way. `client` and `server` make sessions, from
//! settings that they check and cache; `failure` is what can go wrong.
//!
//! OpenSSL reads ahead: one receive may bring several records, of which a
//! read hands out one. So a socket that is not readable any more says nothing
//! about what is left; `may_have_more` does (spec/ns_connchan.md R-38).

mod client;
mod failure;
mod files;
mod server;

pub use client::{ClientSettings, Target};
pub use failure::Failure;
pub use server::{Server, ServerSettings};

use super::wait::Direction;
use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{
    ErrorCode, ShutdownState, Ssl, SslContextBuilder, SslMode, SslOptions, SslStream, SslVersion,
};
use socket2::Socket;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

extern "C" {
    /// SSL_has_pending(3), which the bindings lack.
    fn SSL_has_pending(ssl: *const openssl_sys::SSL) -> libc::c_int;
    /// SSL_free_buffers(3), which they lack too.
    fn SSL_free_buffers(ssl: *mut openssl_sys::SSL) -> libc::c_int;
}

/// SSL_clear_mode(3), a macro in C.
const SSL_CTRL_CLEAR_MODE: libc::c_int = 78;

/// How an attempt ended that did not succeed.
#[derive(Debug)]
pub enum Stop {
    /// The socket has to become ready in this direction first.
    Wait(Direction),
    /// The peer will send no more. `clean` when it said so (close_notify);
    /// else the connection was cut (RFC 8446, section 6.1).
    End {
        /// Whether a close_notify was received.
        clean: bool,
    },
    /// The connection is of no use any more.
    Failed(Failure),
}

/// What a script may want to know of an established session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// As OpenSSL names it: `TLSv1.3`.
    pub version: String,
    /// Cipher suite, by its standard name.
    pub cipher: String,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The application protocol that was agreed on (RFC 7301), or empty.
    pub alpn: String,
    /// Subject of the peer's certificate, in the form of RFC 2253, or empty.
    pub peer: String,
}

/// The socket as OpenSSL sees it.
struct Transport {
    socket: Arc<Socket>,
    /// The last receive left room: nothing more was there. Holds until the
    /// next step of the session.
    drained: bool,
    /// The last receive gave something, but less than it had room for.
    short: bool,
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match (&*self.socket).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.drained = count > 0 && count < buffer.len();
                    self.short = self.drained;
                    return Ok(count);
                }
                Err(error) => {
                    self.drained = error.kind() == io::ErrorKind::WouldBlock;
                    self.short = false;
                    return Err(error);
                }
            }
        }
    }
}

impl Write for Transport {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            match self.socket.send_with_flags(buffer, libc::MSG_NOSIGNAL) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One end of a TLS connection.
pub struct Session {
    stream: SslStream<Transport>,
    /// Reading has come to an end: by close_notify or an error that was told
    /// (true), or by a cut.
    ended: Option<bool>,
    /// An error that was met behind data and has still to be told.
    late: Option<Failure>,
    /// A fatal error has been met: no close_notify may be sent.
    failed: bool,
}

impl Session {
    /// A session whose handshake has still to be made; `ssl` knows its role.
    fn new(ssl: Ssl, socket: Arc<Socket>) -> Result<Session, ErrorStack> {
        let stream = SslStream::new(ssl, Transport { socket, drained: false, short: false })?;
        Ok(Session { stream, ended: None, late: None, failed: false })
    }

    /// The socket below.
    pub fn socket(&self) -> &Arc<Socket> {
        &self.stream.get_ref().socket
    }

    /// Its descriptor.
    pub fn fd(&self) -> RawFd {
        self.socket().as_raw_fd()
    }

    /// Goes on with the handshake. `Ok` when it is done.
    pub fn handshake(&mut self) -> Result<(), Stop> {
        loop {
            self.stream.get_mut().drained = false;
            // What others have left in this thread's error queue is not ours.
            drop(ErrorStack::get());
            match self.stream.do_handshake() {
                Ok(()) => return Ok(()),
                Err(error) => match self.sort(error) {
                    Stop::Wait(Direction::Readable) if self.stream.get_ref().short => {}
                    stop => return Err(stop),
                },
            }
        }
    }

    /// Readies the session for a read or peek. The socket need not be asked while a
    /// decrypted record is at hand, unless there was `news` of it, which will not come
    /// again. (Part of a record inside OpenSSL is no reason not to ask: the rest is
    /// what has come.)
    fn look_again(&mut self, news: bool) {
        if news || self.stream.ssl().pending() == 0 {
            self.stream.get_mut().drained = false;
            // What others have left in this thread's error queue is not ours.
            drop(ErrorStack::get());
        }
    }

    /// Reads what is there into `buffer`, from several records as long as it
    /// takes no waiting; at least one byte. What comes after data, be it the
    /// end or an error, is met by the next call. `news`: the socket has become
    /// readable since the last call of this or `peek`.
    pub fn read(&mut self, buffer: &mut [u8], news: bool) -> Result<usize, Stop> {
        if let Some(failure) = self.late.take() {
            return Err(Stop::Failed(failure));
        }
        if let Some(clean) = self.ended {
            return Err(Stop::End { clean });
        }
        self.look_again(news);
        let mut count = 0;
        while count < buffer.len() {
            match self.stream.ssl_read(&mut buffer[count..]) {
                Ok(received) => count += received,
                Err(error) => match self.sort(error) {
                    Stop::Failed(failure) if count > 0 => {
                        self.late = Some(failure);
                        break;
                    }
                    _ if count > 0 => break,
                    stop => return Err(stop),
                },
            }
            if !self.may_have_more() {
                break;
            }
        }
        Ok(count)
    }

    /// Whether a read would give something, be it the end or an error: decrypts
    /// the next record where that is still to be done. Else the direction in
    /// which the socket has to become ready first. `news` as for `read`.
    pub fn peek(&mut self, news: bool) -> Result<(), Direction> {
        if self.late.is_some() || self.ended.is_some() {
            return Ok(());
        }
        loop {
            self.look_again(news);
            return match self.stream.ssl_peek(&mut [0]) {
                Ok(_) => Ok(()),
                Err(error) => match self.sort(error) {
                    // What was received held no data; the end may be behind it.
                    Stop::Wait(Direction::Readable) if self.stream.get_ref().short => continue,
                    Stop::Wait(direction) => Err(direction),
                    Stop::End { .. } => Ok(()),
                    Stop::Failed(failure) => {
                        self.late = Some(failure);
                        Ok(())
                    }
                },
            };
        }
    }

    /// Whether there may be something to read although the socket reports no
    /// news: bytes inside OpenSSL, an end, or a receive that filled its buffer.
    pub fn may_have_more(&self) -> bool {
        self.ended.is_some() || !self.stream.get_ref().drained || self.has_pending()
    }

    fn has_pending(&self) -> bool {
        // SAFETY: a live SSL of this session; the function only looks.
        unsafe { SSL_has_pending(self.stream.ssl().as_ptr()) != 0 }
    }

    /// Writes one record at most. After `Stop::Wait` the next call must begin
    /// with the same bytes and offer at least as many.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, Stop> {
        if self.failed {
            return Err(Stop::Failed(Failure::Os(libc::EPIPE)));
        }
        drop(ErrorStack::get());
        match self.stream.ssl_write(data) {
            Ok(count) => Ok(count),
            Err(error) => Err(match self.sort(error) {
                Stop::End { .. } => Stop::Failed(Failure::Os(libc::EPIPE)),
                stop => stop,
            }),
        }
    }

    /// Says goodbye (close_notify), without waiting for the peer's. Not after
    /// an error, nor when `complete` is false: then the peer shall see that
    /// something is missing.
    pub fn close(&mut self, complete: bool) {
        if complete && !self.failed && self.stream.ssl().is_init_finished() {
            drop(ErrorStack::get());
            let _ = self.stream.shutdown();
            drop(ErrorStack::get());
        }
    }

    /// Drops what was received and not read, up to a limit: the session is of
    /// no use afterwards. The kernel resets a connection that is closed with
    /// bytes unread, such as the tickets of TLS 1.3, and what it has still to
    /// send is lost.
    pub fn discard_unread(&mut self) {
        const TIMES: usize = 64;
        let mut unread = [0; 16384];
        for _ in 0..TIMES {
            match (&**self.socket()).read(&mut unread) {
                Ok(count) if count > 0 => {}
                _ => break,
            }
        }
    }

    /// Whether OpenSSL keeps its buffers when nothing is in them, as for a connection
    /// in use, or gives them back (34 KB), as at first.
    pub fn keep_buffers(&mut self, keep: bool) {
        let mode = openssl_sys::SSL_MODE_RELEASE_BUFFERS;
        let (set, none) = (openssl_sys::SSL_CTRL_MODE, std::ptr::null_mut());
        let ssl = self.stream.ssl().as_ptr();
        // SAFETY: a live SSL of this session. The commands change its mode and take no
        // pointer; buffers that hold something are not freed.
        unsafe {
            if keep {
                openssl_sys::SSL_ctrl(ssl, SSL_CTRL_CLEAR_MODE, mode, none);
                // From OpenSSL 3.2 on a record layer keeps a copy, which only this renews.
                openssl_sys::SSL_ctrl(ssl, set, 0, none);
            } else {
                openssl_sys::SSL_ctrl(ssl, set, mode, none);
                SSL_free_buffers(ssl);
            }
        }
    }

    /// What is known of the peer and the connection.
    pub fn info(&self) -> Info {
        let ssl = self.stream.ssl();
        let cipher = ssl.current_cipher();
        Info {
            version: ssl.version_str().to_owned(),
            cipher: cipher
                .map(|c| c.standard_name().unwrap_or_else(|| c.name()).to_owned())
                .unwrap_or_default(),
            resumed: ssl.session_reused(),
            alpn: String::from_utf8_lossy(ssl.selected_alpn_protocol().unwrap_or_default()).into_owned(),
            peer: ssl.peer_certificate().map(|c| files::subject(&c)).unwrap_or_default(),
        }
    }

    /// Translates OpenSSL's answer, and remembers what is final in it.
    fn sort(&mut self, error: openssl::ssl::Error) -> Stop {
        match error.code() {
            ErrorCode::WANT_READ => return Stop::Wait(Direction::Readable),
            ErrorCode::WANT_WRITE => return Stop::Wait(Direction::Writable),
            ErrorCode::ZERO_RETURN => {
                self.ended = Some(true);
                return Stop::End { clean: true };
            }
            _ => {}
        }
        if failure::is_truncation(&error) && self.stream.ssl().is_init_finished() {
            // A FIN without close_notify. Writing may still work.
            let clean = self.stream.get_shutdown().contains(ShutdownState::RECEIVED);
            self.ended = Some(clean);
            return Stop::End { clean };
        }
        self.failed = true;
        let failure = Failure::of(error, self.stream.ssl());
        self.ended = Some(true);
        Stop::Failed(failure)
    }
}

/// What all contexts have in common, of clients and servers.
fn common(builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS
            | SslMode::AUTO_RETRY,
    );
    builder.set_read_ahead(true);
    builder.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::NO_COMPRESSION);
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))
}

/// Protocol names as RFC 7301 has them on the wire: each with its length.
fn alpn_wire(names: &[String]) -> Vec<u8> {
    let mut wire = Vec::new();
    for name in names.iter().filter(|n| (1..=255).contains(&n.len())) {
        wire.push(name.len() as u8);
        wire.extend_from_slice(name.as_bytes());
    }
    wire
}
