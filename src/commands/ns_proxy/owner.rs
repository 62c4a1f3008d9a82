//! Who owns handles: an interpreter, which has a command for each. Whatever
//! ends the command gives the handle back (spec/ns_proxy.md sections 7, 10).

use super::{end_as, fail, handles, time_of, wrong_args};
use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::connchan::{home, Channel};
use crate::proxy::worker::Answer;
use crate::proxy::{Handle, Pool, Problem};
use crate::server::attached::RESTS_COMMAND;
use crate::server::current;
use crate::tcl::object_command::{self, Target, Token};
use crate::tcl::{lifetime, Interp, Obj, Outcome};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// Whether a handle was ever got by a request: most servers have no workers, and
/// `request_over` is called for each request of theirs.
static IN_REQUESTS: AtomicBool = AtomicBool::new(false);

/// What an interpreter owns.
pub struct Owner {
    /// Its number; never 0, which is nobody's.
    pub id: u64,
    handles: RefCell<HashMap<String, Rc<Owned>>>,
    /// Given back, with commands that are still to be deleted.
    leftovers: RefCell<Vec<Rc<Owned>>>,
}

impl Default for Owner {
    fn default() -> Owner {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Owner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            handles: RefCell::default(),
            leftovers: RefCell::default(),
        }
    }
}

/// A handle that is owned.
pub struct Owned {
    /// The handle.
    pub handle: Arc<Handle>,
    owner: Weak<Owner>,
    interp: Interp,
    /// The request of the HTTP server that was being served when it was got.
    request: Option<u64>,
    token: Cell<Option<Token>>,
    released: Cell<bool>,
    /// What waits for its answer in the event loop.
    watch: RefCell<Option<Arc<Channel>>>,
}

impl Owner {
    /// That of an interpreter.
    pub fn of(interp: Interp) -> Rc<Owner> {
        lifetime::state(interp)
    }

    /// Takes over a handle, and makes its command. What was called so before
    /// is replaced.
    pub fn add(self: &Rc<Self>, interp: Interp, handle: Arc<Handle>) {
        let name = handle.name().to_owned();
        let request = current::with(|exchange| exchange.id);
        if request.is_some() {
            // A request sees what its own thread has done.
            IN_REQUESTS.store(true, Ordering::Relaxed);
        }
        let owned = Rc::new(Owned {
            handle,
            owner: Rc::downgrade(self),
            interp,
            request,
            token: Cell::new(None),
            released: Cell::new(false),
            watch: RefCell::new(None),
        });
        self.handles.borrow_mut().insert(name.clone(), Rc::clone(&owned));
        // In the global namespace, whatever the current one is.
        let command = Rc::new(Command(Rc::clone(&owned)));
        owned.token.set(object_command::create(interp, &format!("::{name}"), command));
    }

    /// The handle that a value names.
    pub fn find(&self, value: &Obj) -> Result<Rc<Owned>> {
        let name = value.text();
        self.handles.borrow().get(&*name).cloned().ok_or_else(|| missing(&name))
    }

    /// The same, when only the handle is wanted; it is remembered in the value.
    pub fn handle(&self, value: &Obj) -> Result<Arc<Handle>> {
        if let Some(known) = value.cached::<Handle>() {
            return if known.is_owned_by(self.id) { Ok(known) } else { Err(missing(&value.text())) };
        }
        let found = Arc::clone(&self.find(value)?.handle);
        value.cache(Arc::clone(&found));
        Ok(found)
    }

    /// Whether it owns a handle of that pool.
    pub fn owns_of(&self, pool: &Pool) -> bool {
        self.handles.borrow().values().any(|owned| std::ptr::eq(owned.handle.pool(), pool))
    }

    /// All that it owns.
    pub fn all(&self) -> Vec<Rc<Owned>> {
        self.handles.borrow().values().cloned().collect()
    }
}

/// A request of the HTTP server is over: what was got while it was served, and
/// not given back, is given back, as in the reference, which never keeps it
/// beyond that. Not so what `nsproxy::callback` waits for, which is of later.
pub fn request_over(interp: Interp, request: u64) {
    // A deleted one has given back everything, and nothing may be kept for it.
    if !IN_REQUESTS.load(Ordering::Relaxed) || interp.is_deleted() {
        return;
    }
    let owner = Owner::of(interp);
    for owned in owner.all() {
        if owned.request == Some(request) && owned.watch.borrow().is_none() {
            // Nobody is there who could be told of errors.
            let _ = owned.leave();
            owner.leftovers.borrow_mut().push(owned);
        }
    }
    if !owner.leftovers.borrow().is_empty() {
        // Not now: scripts that trace their deletion must not run between those of requests.
        let saved = interp.result();
        interp.call(&["::after", "0", RESTS_COMMAND].map(Obj::from_str));
        interp.set_result(&saved);
    }
}

/// Deletes the commands of what `request_over` has given back.
pub fn delete_leftovers(interp: Interp) {
    for owned in Owner::of(interp).leftovers.take() {
        owned.delete_command();
    }
}

fn missing(name: &str) -> Error {
    Error::new(format!("no such proxyId: {name}"))
}

impl Owned {
    /// Gives the handle back, after the pool's reinit script if the worker is
    /// idle. An error of that script is the outcome; the handle is given back
    /// in any case.
    pub fn release(&self) -> Outcome {
        match self.give_back() {
            Ok(Some(answer)) if !matches!(answer.code, 0 | 2) => {
                let result = Obj::from_raw_text(&answer.result);
                end_as(self.interp, 1, answer.error_code.as_deref(), &answer.error_info, &result)
            }
            Ok(_) => Ok(()),
            Err(problem) => Err(fail(self.interp, problem)),
        }
    }

    /// Gives the handle back, and leaves the interpreter's result, errorCode and
    /// errorInfo alone. What became of the reinit script, if there was one.
    pub fn give_back(&self) -> std::result::Result<Option<Answer<Vec<u8>>>, Problem> {
        let answer = self.leave();
        self.delete_command();
        answer
    }

    /// The same, but the command stays, and says that there is no such handle.
    fn leave(&self) -> std::result::Result<Option<Answer<Vec<u8>>>, Problem> {
        if self.released.replace(true) {
            return Ok(None);
        }
        self.unwatch();
        let answer = self.handle.reinitialize();
        if let Some(owner) = self.owner.upgrade() {
            owner.handles.borrow_mut().remove(self.handle.name());
        }
        self.handle.release();
        answer
    }

    fn delete_command(&self) {
        if let Some(token) = self.token.take() {
            object_command::delete(self.interp, token);
        }
    }

    /// Sets what waits for the answer, in place of what did so before.
    pub fn watch(&self, channel: Option<Arc<Channel>>) {
        let before = self.watch.replace(channel);
        if let Some(channel) = before {
            home::close(&channel);
        }
    }

    /// Nothing waits for the answer any more.
    pub fn unwatch(&self) {
        self.watch(None);
    }

    /// What waited has been told; it closes itself.
    pub fn forget_watch(&self, channel: &Arc<Channel>) {
        let mut watch = self.watch.borrow_mut();
        if watch.as_ref().is_some_and(|w| Arc::ptr_eq(w, channel)) {
            *watch = None;
        }
    }
}

/// The command of a handle.
struct Command(Rc<Owned>);

impl Target for Command {
    /// `HANDLE script ?timeout?`
    fn call(&self, interp: Interp, words: &[Obj]) -> Outcome {
        let timeout = words.get(2).map(time_of).transpose()?.unwrap_or(TimeValue::ZERO);
        let (2..=3, Some(script)) = (words.len(), words.get(1)) else {
            return Err(wrong_args(&words[..1], "/script/ ?/timeout/?"));
        };
        if self.0.released.get() {
            return Err(missing(self.0.handle.name()).into());
        }
        handles::evaluate(interp, &self.0.handle, script, timeout)
    }

    fn deleted(&self) {
        self.0.token.set(None);
        // Nobody can be told of errors here: the command that deletes this one
        // ends as it does anyway.
        let _ = self.0.give_back();
    }
}
