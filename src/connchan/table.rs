//! The table of open channels, one for the process.
//!
//! Handles are `conn<N>`, N counting up from 0 and never reused
//! (spec/ns_connchan.md section 0). A look-up yields an owned reference, so a
//! channel that another thread closes meanwhile stays valid until its last
//! user lets go.

use super::channel::Channel;
use once_cell::sync::Lazy;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

static OPEN: Lazy<RwLock<HashMap<u64, Arc<Channel>>>> = Lazy::new(Default::default);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The number of a new channel.
pub(super) fn next_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn insert(channel: &Arc<Channel>) {
    OPEN.write().insert(channel.id(), Arc::clone(channel));
}

pub(super) fn remove(id: u64) {
    OPEN.write().remove(&id);
}

/// Finds an open channel by its handle.
pub fn find(handle: &str) -> Option<Arc<Channel>> {
    let digits = handle.strip_prefix("conn")?;
    let canonical = digits == "0" || !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if !canonical {
        return None;
    }
    OPEN.read().get(&digits.parse().ok()?).cloned()
}

/// All open channels, oldest first.
pub fn all() -> Vec<Arc<Channel>> {
    let mut channels: Vec<_> = OPEN.read().values().cloned().collect();
    channels.sort_unstable_by_key(|c| c.id());
    channels
}
