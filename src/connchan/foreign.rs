//! Channels in a reactor that is no home: one in a thread without interpreters,
//! whose connections no script knows (`ns_serve -threads`).

use super::channel::{here, Channel, Place};
use crate::base::Result;
use crate::reactor::{Key, Mailbox};
use std::sync::Arc;

/// The channel is at home in the reactor of the calling thread, under `key`.
///
/// # Errors
/// It is closed.
pub fn settle(channel: &Channel, mailbox: &Arc<Mailbox>, key: Key) -> Result<()> {
    channel.change_callback(|callback| {
        callback.place = Some(Place { mailbox: Arc::clone(mailbox), key, thread: here() });
        Ok(())
    })
}

/// It is so no longer, unless it has found another home already.
pub fn leave(channel: &Channel, mailbox: &Arc<Mailbox>) {
    let _ = channel.change_callback(|callback| {
        if callback.place.as_ref().is_some_and(|place| Arc::ptr_eq(&place.mailbox, mailbox)) {
            callback.place = None;
        }
        Ok(())
    });
}

/// Closes a channel whose entry the caller removes.
pub fn close(channel: &Channel) {
    channel.close();
}
