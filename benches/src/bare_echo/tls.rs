//! TLS for the bare echo, as fast as OpenSSL allows: records are read ahead (one receive brings all that is
//! there), the buffers stay with the connection, a request is one `SSL_read` and one `SSL_write`, and no
//! system call is made that must fail. Sessions and tickets are as OpenSSL has them by default.

use std::io;
use std::path::Path;

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslMode, SslStream};

use super::socket::Socket;
use super::Stream;
use crate::{sys, Result};

/// Loads the certificate and its key, and returns what makes TLS streams of sockets.
pub fn wrapper(certificate: &Path, key: &Path) -> Result<impl Fn(Socket) -> io::Result<SslStream<Socket>>> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_certificate_chain_file(certificate)?;
    context.set_private_key_file(key, SslFiletype::PEM)?;
    context.set_read_ahead(true);
    // What is kept for a slow peer moves in memory before it is tried again.
    context.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER);
    let context = context.build();
    Ok(move |socket| {
        let mut ssl = Ssl::new(&context)?;
        // The first reads make the handshake.
        ssl.set_accept_state();
        Ok(SslStream::new(ssl, socket)?)
    })
}

impl Stream for SslStream<Socket> {
    fn socket(&mut self) -> &mut Socket {
        self.get_mut()
    }

    fn holds_more(&self) -> bool {
        sys::tls_has_pending(self.ssl())
    }

    fn say_goodbye(&mut self) {
        // A peer that is gone does not hear it, and needs not to.
        let _ = self.shutdown();
    }
}
