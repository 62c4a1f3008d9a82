//! Which TLS connections keep OpenSSL's buffers, 34 KB each: those of a home that
//! were served most recently, as many as `KEPT`. The others give theirs back
//! after every record, so that ten thousand idle connections cost nothing, and
//! allocate them anew for the next.
//!
//! Nothing else depends on it: a connection that is forgotten here works as well.

use super::channel::Channel;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// How many connections of a home keep their buffers: some 4 MB.
const KEPT: usize = 128;

/// The connections of a home that keep their buffers, the oldest first.
#[derive(Default)]
pub(super) struct Warm(VecDeque<Weak<Channel>>);

impl Warm {
    /// A TLS connection is about to be served.
    pub(super) fn serve(&mut self, channel: &Arc<Channel>) {
        if !channel.keep_buffers(true) {
            return;
        }
        if self.0.len() >= KEPT {
            if let Some(oldest) = self.0.pop_front().and_then(|oldest| oldest.upgrade()) {
                oldest.keep_buffers(false);
            }
        }
        self.0.push_back(Arc::downgrade(channel));
    }
}
