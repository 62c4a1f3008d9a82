//! Requests in the background: each in a thread without an interpreter, a
//! limited number at a time; the others wait for their turn.

use super::exchange::{cancelled, exchange, Failed, Hooks, Reply, Request};
use crate::base::{Error, Result};
use crate::http::head::ResponseHead;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

/// Requests at a time.
const MAX_RUNNING: usize = 64;

/// The stack of a thread that makes requests.
const STACK: usize = 512 << 10;

/// How a request has ended.
pub type Outcome = std::result::Result<Reply, Box<Failed>>;

/// Is asked when the head has come, in the request's thread.
pub type HeadHook = Box<dyn FnMut(&ResponseHead) -> Result<()> + Send>;

/// A request in the background.
pub struct Task {
    /// Its URL, as given.
    pub url: String,
    /// Bytes that it sends behind its head.
    pub request_bytes: u64,
    ended: Mutex<End>,
    changed: Condvar,
    cancelled: AtomicBool,
    /// Written to when the request is to end at once.
    stop: Mutex<Option<UnixStream>>,
}

#[derive(Default)]
struct End {
    outcome: Option<Outcome>,
    /// Called at the end, in place of keeping the outcome.
    then: Option<Box<dyn FnOnce(Outcome) + Send>>,
    over: bool,
    failed: bool,
}

/// What is asked of the threads.
struct Work {
    task: Arc<Task>,
    request: Request,
    head: Option<HeadHook>,
    stop: Option<UnixStream>,
}

#[derive(Default)]
struct Pool {
    waiting: VecDeque<Work>,
    running: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { waiting: VecDeque::new(), running: 0 });

impl Task {
    /// Begins a request. `head` is asked about the response's head, and `then`
    /// gets the outcome; without it the outcome is kept for `wait`.
    ///
    /// # Errors
    /// There are no descriptors or threads left.
    pub fn start(
        url: &str,
        request: Request,
        head: Option<HeadHook>,
        then: Option<Box<dyn FnOnce(Outcome) + Send>>,
    ) -> Result<Arc<Task>> {
        let failed = |e: std::io::Error| Error::new(format!("cannot start the request: {e}"));
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let task = Arc::new(Task {
            url: url.to_owned(),
            request_bytes: request.payload.size(),
            ended: Mutex::new(End { then, ..End::default() }),
            changed: Condvar::new(),
            cancelled: AtomicBool::new(false),
            stop: Mutex::new(Some(ours)),
        });
        let work = Work { task: Arc::clone(&task), request, head, stop: Some(theirs) };
        let mut pool = POOL.lock();
        if pool.running >= MAX_RUNNING {
            pool.waiting.push_back(work);
            return Ok(task);
        }
        let thread = std::thread::Builder::new().name("-ns_http-".into()).stack_size(STACK);
        thread.spawn(move || serve(work)).map_err(failed)?;
        pool.running += 1;
        Ok(task)
    }

    /// Waits for the end, at most until `deadline`; false when that was not
    /// enough.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut ended = self.ended.lock();
        while !ended.over {
            match deadline {
                None => self.changed.wait(&mut ended),
                Some(deadline) if self.changed.wait_until(&mut ended, deadline).timed_out() => {
                    return ended.over;
                }
                Some(_) => {}
            }
        }
        true
    }

    /// Takes the outcome, once.
    pub fn take(&self) -> Option<Outcome> {
        self.ended.lock().outcome.take()
    }

    /// Ends it, if it is not over; whoever waits for it hears that.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        // Dropped: the other end becomes readable.
        self.stop.lock().take();
        self.end(Err(Box::new(Failed { error: cancelled(), reply: Reply::default() })));
    }

    /// `running`, `done` or `error`.
    pub fn state(&self) -> &'static str {
        let ended = self.ended.lock();
        match (ended.over, ended.failed) {
            (false, _) => "running",
            (true, false) => "done",
            (true, true) => "error",
        }
    }

    /// Bytes sent and received, and bytes of content, of a request that is over.
    pub fn bytes(&self) -> (u64, u64, u64) {
        let reply = |reply: &Reply| (reply.sent, reply.received, reply.content_bytes);
        match &self.ended.lock().outcome {
            Some(Ok(done)) => reply(done),
            Some(Err(failed)) => reply(&failed.reply),
            None => (0, 0, 0),
        }
    }

    fn end(&self, outcome: Outcome) {
        let mut ended = self.ended.lock();
        if ended.over {
            return;
        }
        ended.over = true;
        ended.failed = outcome.is_err();
        match ended.then.take() {
            None => ended.outcome = Some(outcome),
            Some(then) => {
                drop(ended);
                then(outcome);
            }
        }
        self.changed.notify_all();
    }
}

/// What a thread does until nothing is left.
fn serve(mut work: Work) {
    loop {
        if !work.task.cancelled.load(Ordering::Acquire) {
            let task = Arc::clone(&work.task);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut head = work.head.take();
                let mut asked = |h: &ResponseHead| head.as_mut().map_or(Ok(()), |hook| hook(h));
                exchange(work.request, Hooks { head: Some(&mut asked), piece: None, stop: work.stop.take() })
            }));
            task.end(outcome.unwrap_or_else(|_| {
                let error = Error::with_code("internal error in ns_http", &["NS_CONNCHAN", "PANIC"]);
                Err(Box::new(Failed { error, reply: Reply::default() }))
            }));
        }
        let mut pool = POOL.lock();
        match pool.waiting.pop_front() {
            Some(next) => work = next,
            None => {
                pool.running -= 1;
                return;
            }
        }
    }
}
