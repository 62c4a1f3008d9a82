//! Topics: one message to many. Connections of all threads may be in one; the
//! frame is made once.

use super::link::Link;
use crate::base::Result;
use crate::connchan::Channel;
use crate::websocket::{encode, Opcode, Role};
use once_cell::sync::Lazy;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A topic's connections, in the order of their handles.
type Members = BTreeMap<u64, (Arc<Channel>, Arc<Link>)>;

static TOPICS: Lazy<RwLock<HashMap<Arc<str>, Members>>> = Lazy::new(Default::default);

/// Enters a connection. False when it is in already.
///
/// # Errors
/// The channel is no WebSocket, or is closing.
pub fn join(channel: &Arc<Channel>, topic: &str) -> Result<bool> {
    let link = Link::of(channel)?;
    let mut topics = TOPICS.write();
    // `leave_all` takes this lock after the state has been changed: whoever is
    // found open here is heard of there.
    let mut own = link.topics.lock();
    link.check_joins(channel)?;
    let name = topics.get_key_value(topic).map_or_else(|| Arc::from(topic), |(name, _)| Arc::clone(name));
    let members = topics.entry(Arc::clone(&name)).or_default();
    let is_new = members.insert(channel.id(), (Arc::clone(channel), Arc::clone(&link))).is_none();
    if is_new {
        own.push(name);
    }
    Ok(is_new)
}

/// Takes a connection out. False when it was not in.
pub fn leave(id: u64, link: &Link, topic: &str) -> bool {
    link.topics.lock().retain(|own| **own != *topic);
    remove(&mut TOPICS.write(), id, topic)
}

/// Takes a connection out of all topics.
pub(super) fn leave_all(id: u64, link: &Link) {
    let own = std::mem::take(&mut *link.topics.lock());
    if !own.is_empty() {
        let mut topics = TOPICS.write();
        for topic in own {
            remove(&mut topics, id, &topic);
        }
    }
}

fn remove(topics: &mut HashMap<Arc<str>, Members>, id: u64, topic: &str) -> bool {
    let Some(members) = topics.get_mut(topic) else { return false };
    let was_in = members.remove(&id).is_some();
    if members.is_empty() {
        topics.remove(topic);
    }
    was_in
}

/// The channels in a topic.
pub fn members(topic: &str) -> Vec<Arc<Channel>> {
    let topics = TOPICS.read();
    let members = topics.get(topic).into_iter().flatten().map(|(_, (channel, _))| channel);
    members.filter(|channel| !channel.is_closed()).cloned().collect()
}

/// The names of all topics that have members.
pub fn names() -> Vec<Arc<str>> {
    TOPICS.read().keys().cloned().collect()
}

/// Sends a message to every member but `exclude`; the number of members that
/// it was handed to. Who is closing or has failed is passed over, and leaves
/// when its home notices.
pub fn multicast(topic: &str, exclude: Option<u64>, opcode: Opcode, payload: &[u8]) -> usize {
    let mut frame = Vec::new();
    encode(true, opcode, None, payload, &mut frame);
    // Taken out first: sending may wake a home that wants to leave.
    let receivers: Vec<(Arc<Channel>, Arc<Link>)> = {
        let topics = TOPICS.read();
        let members = topics.get(topic).into_iter().flatten();
        members.filter(|(id, _)| Some(**id) != exclude).map(|(_, member)| member.clone()).collect()
    };
    let mut count = 0;
    for (channel, link) in &receivers {
        // What a client sends is masked, each with a key of its own.
        let sent = match link.settings().role {
            Role::Client => link.post(channel, opcode, payload).map(drop),
            _ => link.send_frame(channel, &frame),
        };
        if sent.is_ok() {
            count += 1;
        } else if channel.is_closed() {
            // A waiting client's channel has no home that would notice.
            link.over(channel.id());
        }
    }
    count
}
