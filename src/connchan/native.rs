//! Protocols that are spoken here rather than by a script.
//!
//! A `Native` takes the place of a callback: the home calls it when its channel
//! has news, it reads and writes by itself, and says which script to call with
//! what it has understood. One that is registered is in force until the channel
//! is closed.

use super::channel::Channel;
use crate::tcl::script::{Completion, Script};
use crate::tcl::{Interp, Obj};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// What a protocol wants next.
pub enum Turn {
    /// Call this script, with the words that were left in `words` appended.
    Call(Rc<Script>),
    /// Nothing, until there is news; or until this time.
    Rest(Option<Instant>),
    /// Close the channel.
    Close,
}

/// A protocol on one channel. All calls come from the channel's home, one at a
/// time; but a script that `turn` named may enter the event loop, and then
/// `turn` is not called before that script has ended.
pub trait Native {
    /// Goes on: there may be something to read, room to write, a time that has
    /// come, or a script that has ended. Must not wait. `buffer` is at its
    /// disposal during the call; `now` is the time, give or take the few
    /// milliseconds of a slice.
    fn turn(&self, channel: &Arc<Channel>, buffer: &mut [u8], words: &mut Vec<Obj>, now: Instant) -> Turn;

    /// The script that `turn` named has ended, with this completion code of Tcl.
    fn finished(&self, channel: &Arc<Channel>, interp: Interp, completion: Completion, code: i32);

    /// The process ends, or the interpreter: a last word to the peer.
    fn farewell(&self, channel: &Arc<Channel>);
}
