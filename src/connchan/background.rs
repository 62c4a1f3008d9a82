//! The background: one thread without an interpreter, started when first
//! needed, that makes connections while interpreters do something else or
//! nothing (spec/async-connect.md).
//!
//! It holds a channel while there is something to do for it: connecting, and
//! afterwards sending what was written meanwhile. Everything it does to a
//! channel it does under the channel's own lock, without waiting.

use super::channel::Channel;
use super::connecting::Advance;
use crate::base::{log, Error, Result};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The token of the waker; channels have their number.
const WAKER: Token = Token(usize::MAX);

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// What other threads ask of the background.
enum Order {
    Connect(Arc<Channel>),
    /// The channel of that number was closed.
    Forget(u64),
    Stop,
}

struct Background {
    orders: Arc<Orders>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Orders {
    waker: Waker,
    list: Mutex<Vec<Order>>,
}

impl Orders {
    fn send(&self, order: Order) {
        self.list.lock().push(order);
        let _ = self.waker.wake();
    }
}

static BACKGROUND: OnceCell<Background> = OnceCell::new();

fn start() -> Result<Background> {
    let failed = |e: std::io::Error| Error::new(format!("cannot connect in the background: {e}"));
    let poll = Poll::new().map_err(failed)?;
    let waker = Waker::new(poll.registry(), WAKER).map_err(failed)?;
    let orders = Arc::new(Orders { waker, list: Mutex::default() });
    let worker = Worker { poll, orders: Arc::clone(&orders), tasks: HashMap::new(), alarms: BTreeSet::new() };
    let thread = std::thread::Builder::new()
        .name("-connect-".to_owned())
        .spawn(move || worker.run())
        .map_err(failed)?;
    Ok(Background { orders, thread: Mutex::new(Some(thread)) })
}

/// Has the connection of a channel made in the background.
///
/// # Errors
/// No descriptor or thread is left for it.
pub(super) fn connect(channel: &Arc<Channel>) -> Result<()> {
    let background = BACKGROUND.get_or_try_init(start)?;
    channel.set_in_background(true);
    background.orders.send(Order::Connect(Arc::clone(channel)));
    Ok(())
}

/// A channel was closed that may still be connecting.
pub(super) fn forget(id: u64) {
    if let Some(background) = BACKGROUND.get() {
        background.orders.send(Order::Forget(id));
    }
}

/// Ends the thread, before the process does: what is being connected stays as
/// it is.
pub fn stop() {
    if let Some(background) = BACKGROUND.get() {
        background.orders.send(Order::Stop);
        let thread = background.thread.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// A channel in the hands of the background.
struct Task {
    channel: Arc<Channel>,
    /// Descriptors in the poll set, with the number of their attempt.
    watched: Vec<(u64, RawFd)>,
    alarm: Option<Instant>,
    stage: Stage,
}

/// How far a task has come.
#[derive(PartialEq, Eq)]
enum Stage {
    Connecting,
    /// Connected; what was kept is still to be sent.
    Connected,
    /// The socket is waited for, to send more.
    Sending,
}

struct Worker {
    poll: Poll,
    orders: Arc<Orders>,
    tasks: HashMap<u64, Task>,
    alarms: BTreeSet<(Instant, u64)>,
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let wait = self.alarms.first().map(|(at, _)| at.saturating_duration_since(Instant::now()));
            // Rounded up, so that a deadline has passed when the wait ends.
            let wait = wait.map(|w| w + Duration::from_millis(1));
            if let Err(error) = self.poll.poll(&mut events, wait) {
                if error.kind() != std::io::ErrorKind::Interrupted {
                    log::write(log::ERROR, &format!("connchan: cannot wait for connections: {error}"));
                    return;
                }
                continue;
            }
            let mut due: Vec<u64> =
                events.iter().filter(|e| e.token() != WAKER).map(|e| e.token().0 as u64).collect();
            let orders = std::mem::take(&mut *self.orders.list.lock());
            for order in orders {
                match order {
                    Order::Connect(channel) => {
                        let id = channel.id();
                        let task =
                            Task { channel, watched: Vec::new(), alarm: None, stage: Stage::Connecting };
                        self.tasks.insert(id, task);
                        due.push(id);
                    }
                    Order::Forget(id) => self.forget(id),
                    Order::Stop => return,
                }
            }
            let now = Instant::now();
            while let Some((at, id)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
                self.alarms.remove(&(at, id));
                due.push(id);
            }
            due.sort_unstable();
            due.dedup();
            for id in due {
                // One that goes wrong shall not end the others.
                if catch_unwind(AssertUnwindSafe(|| self.serve(id, now))).is_err() {
                    log::write(log::BUG, &format!("connchan conn{id}: panic while connecting"));
                    if let Some(task) = self.tasks.get(&id) {
                        task.channel.give_up("internal error while connecting");
                    }
                    self.forget(id);
                }
            }
        }
    }

    fn serve(&mut self, id: u64, now: Instant) {
        let Worker { poll, tasks, alarms, .. } = self;
        let Some(task) = tasks.get_mut(&id) else { return };
        if task.stage == Stage::Connecting {
            let watched = &mut task.watched;
            let advance = task.channel.advance(now, |fds| watch_all(poll, id, watched, fds));
            if let Some(old) = task.alarm.take() {
                alarms.remove(&(old, id));
            }
            match advance {
                Advance::Pending(alarm) => {
                    task.alarm = Some(alarm);
                    alarms.insert((alarm, id));
                    return;
                }
                Advance::Over => return self.forget(id),
                Advance::Failed => {
                    task.channel.tell_home();
                    return self.forget(id);
                }
                Advance::Connected => {
                    task.stage = Stage::Connected;
                    task.channel.tell_home();
                }
            }
        }
        // The socket cannot be closed while it is held here.
        let Some(socket) = task.channel.flush_kept() else { return self.forget(id) };
        if task.stage == Stage::Connected {
            // Registered anew it reports the room that there is already.
            watch(poll, id, socket.as_raw_fd());
            task.watched = vec![(0, socket.as_raw_fd())];
            task.stage = Stage::Sending;
        }
    }

    fn forget(&mut self, id: u64) {
        let Some(task) = self.tasks.remove(&id) else { return };
        if let Some(alarm) = task.alarm {
            self.alarms.remove(&(alarm, id));
        }
        task.channel.set_in_background(false);
        // A connection that lives on is no business of ours any more. Closed
        // descriptors are out of the poll set already.
        let open = task.channel.fd();
        for (_, fd) in task.watched.iter().filter(|(_, fd)| open == Some(*fd)) {
            let _ = self.poll.registry().deregister(&mut SourceFd(fd));
        }
    }
}

/// Brings the poll set up to date while a connection is being made: its
/// descriptors are now `fds`. Those that are not among them any more were
/// closed, which has taken them out of the set.
fn watch_all(poll: &Poll, id: u64, watched: &mut Vec<(u64, RawFd)>, fds: Vec<(u64, RawFd)>) {
    for (serial, fd) in &fds {
        // A descriptor's number may have been another's before.
        if !watched.contains(&(*serial, *fd)) {
            watch(poll, id, *fd);
        }
    }
    *watched = fds;
}

/// Registers a descriptor; one that is registered already reports its
/// readiness once more.
fn watch(poll: &Poll, id: u64, fd: RawFd) {
    let both = Interest::READABLE | Interest::WRITABLE;
    let mut source = SourceFd(&fd);
    let token = Token(id as usize);
    let result = match poll.registry().register(&mut source, token, both) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            poll.registry().reregister(&mut source, token, both)
        }
        result => result,
    };
    if let Err(error) = result {
        log::write(log::ERROR, &format!("connchan conn{id}: cannot wait for the connection: {error}"));
    }
}
