//! `ns_mutex`, `ns_cond`, `ns_rwlock`, `ns_critsec`, `ns_sema`: how threads wait
//! for each other (spec/support.md 4.5, 6.1).
//!
//! Handles are plain text and mean the same in all threads; a name that nobody
//! made means an object that is made now.

use crate::base::{log, Error, Result};
use crate::net::sys;
use crate::shared::cond::Cond;
use crate::shared::mutex::Lock;
use crate::shared::registry::Registry;
use crate::shared::rwlock::RwLock;
use crate::shared::sema::Sema;
use crate::shared::thread;
use crate::tcl::args::{word, Kind, Syntax, Word};
use crate::tcl::command::CommandProc;
use crate::tcl::evaluating::{pass_on, EvaluatingProc, Evaluation, Step};
use crate::tcl::{lifetime, subcommand, Interp, Obj, Outcome};
use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(super) const COMMANDS: &[(&str, CommandProc)] =
    &[("ns_cond", cond), ("ns_event", cond), ("ns_sema", sema)];

pub(super) const EVALUATING: &[(&str, EvaluatingProc)] =
    &[("ns_critsec", critsec), ("ns_mutex", mutex), ("ns_rwlock", rwlock)];

static MUTEXES: Registry<Lock> = Registry::new("ns:mutex:tcl");
static CRITSECS: Registry<Section> = Registry::new("ns:critsec:tcl");
static CONDS: Registry<Cond> = Registry::new("ns:condition:tcl");
static RWLOCKS: Registry<RwLock> = Registry::new("ns:rwlock:tcl");
static SEMAS: Registry<Sema> = Registry::new("ns:semaphore:tcl");

/// A lock that is told apart from a mutex of the same name.
struct Section(Arc<Lock>);

/// Has the locks that the calling thread still holds given back when it ends.
pub(super) fn settle() {
    thread_local!(static SETTLED: Cell<bool> = const { Cell::new(false) });
    if !SETTLED.replace(true) {
        lifetime::at_thread_exit(|| {
            let number = thread::release_all();
            // The first thread ends with the process: nobody will wait any more.
            let is_first = sys::thread_id() == i64::from(std::process::id());
            if number > 0 && !is_first {
                log::write(log::WARNING, &format!("locks still held by a thread that ends: {number}"));
            }
        });
    }
}

/// The object that a word names; the word remembers it.
fn named<T: Any + Send + Sync>(registry: &Registry<T>, name: &Obj, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
    name.cached::<T>().unwrap_or_else(|| {
        let object = registry.get(&name.text(), make);
        name.cache(Arc::clone(&object));
        object
    })
}

fn new_mutex() -> Arc<Lock> {
    Lock::new("mutex", false)
}

fn new_section() -> Arc<Section> {
    Arc::new(Section(Lock::new("critical section", true)))
}

/// What a subcommand of an evaluating command does.
type Run = fn(&Call) -> Evaluation;

struct Call<'a> {
    interp: Interp,
    name: &'a [Obj],
    args: &'a [Obj],
}

impl<'a> Call<'a> {
    fn of(interp: Interp, words: &'a [Obj]) -> Call<'a> {
        Call { interp, name: &words[..2], args: &words[2..] }
    }

    /// Parses one word, the handle.
    fn handle(&self, label: &'static str) -> Result<&'a Obj> {
        let syntax: Syntax<0, 1> =
            Syntax { options: [], ends_options: false, words: [word(label, Kind::Any)], required: 1 };
        Ok(syntax.parse(self.interp, self.name, self.args)?.word(0).obj)
    }

    /// Parses a handle and a script.
    fn handle_and_script(&self, label: &'static str) -> Result<(&'a Obj, Obj)> {
        let syntax: Syntax<0, 2> = Syntax {
            options: [],
            ends_options: false,
            words: [word(label, Kind::Any), word("script", Kind::Any)],
            required: 2,
        };
        let parsed = syntax.parse(self.interp, self.name, self.args)?;
        Ok((parsed.word(0).obj, parsed.word(1).obj.clone()))
    }

    /// Parses no word, or one of that kind.
    fn optional(&self, label: Word) -> Result<Option<i64>> {
        let syntax: Syntax<0, 1> = Syntax { options: [], ends_options: false, words: [label], required: 0 };
        Ok(syntax.parse(self.interp, self.name, self.args)?.words[0].map(|v| v.number()))
    }

    fn done(&self, result: &Obj) -> Evaluation {
        self.interp.set_result(result);
        Ok(Step::Done)
    }
}

fn truth(value: bool) -> Obj {
    Obj::from_int(i64::from(value))
}

/// `ns_mutex create|destroy|eval|lock|trylock|unlock`.
fn mutex(interp: Interp, words: &[Obj]) -> Evaluation {
    const ID: &str = "mutexId";
    const SUBCOMMANDS: &[(&str, Run)] = &[
        ("create", |call| {
            // The name is a label for statistics, which are not kept.
            call.optional(word("name", Kind::Any))?;
            call.done(&Obj::from_str(&MUTEXES.create(new_mutex())))
        }),
        ("destroy", |call| {
            MUTEXES.forget(&call.handle(ID)?.text(), Lock::is_idle);
            Ok(Step::Done)
        }),
        ("eval", |call| {
            let (handle, script) = call.handle_and_script(ID)?;
            locked(named(&MUTEXES, handle, new_mutex), script)
        }),
        ("lock", |call| {
            named(&MUTEXES, call.handle(ID)?, new_mutex).lock()?;
            Ok(Step::Done)
        }),
        ("trylock", |call| {
            let got = named(&MUTEXES, call.handle(ID)?, new_mutex).try_lock();
            call.done(&Obj::from_int(if got { 0 } else { -1 }))
        }),
        ("unlock", |call| {
            named(&MUTEXES, call.handle(ID)?, new_mutex).unlock()?;
            Ok(Step::Done)
        }),
    ];
    subcommand::exact(words, SUBCOMMANDS)?(&Call::of(interp, words))
}

/// Evaluates a script with a lock held.
fn locked(lock: Arc<Lock>, script: Obj) -> Evaluation {
    lock.lock()?;
    Ok(Step::Eval(
        script,
        Box::new(move |_, code| {
            // The script may have given it back itself.
            if lock.is_own() {
                lock.unlock()?;
            }
            pass_on(code)
        }),
    ))
}

/// `ns_critsec create|destroy|enter|eval|leave`.
fn critsec(interp: Interp, words: &[Obj]) -> Evaluation {
    const ID: &str = "csid";
    const SUBCOMMANDS: &[(&str, Run)] = &[
        ("create", |call| {
            call.nothing()?;
            call.done(&Obj::from_str(&CRITSECS.create(new_section())))
        }),
        ("destroy", |call| {
            CRITSECS.forget(&call.handle(ID)?.text(), |section| section.0.is_idle());
            Ok(Step::Done)
        }),
        ("enter", |call| {
            named(&CRITSECS, call.handle(ID)?, new_section).0.lock()?;
            Ok(Step::Done)
        }),
        ("eval", |call| {
            let (handle, script) = call.handle_and_script(ID)?;
            locked(Arc::clone(&named(&CRITSECS, handle, new_section).0), script)
        }),
        ("leave", |call| {
            named(&CRITSECS, call.handle(ID)?, new_section).0.unlock()?;
            Ok(Step::Done)
        }),
    ];
    subcommand::exact(words, SUBCOMMANDS)?(&Call::of(interp, words))
}

impl Call<'_> {
    /// Parses a command line without words.
    fn nothing(&self) -> Result<()> {
        const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
        SYNTAX.parse(self.interp, self.name, self.args).map(|_| ())
    }
}

/// `ns_rwlock create|destroy|readeval|readlock|readunlock|unlock|writeeval|writelock|writeunlock`.
fn rwlock(interp: Interp, words: &[Obj]) -> Evaluation {
    const ID: &str = "rwlockid";
    const UNLOCK: Run = |call| {
        named(&RWLOCKS, call.handle(ID)?, RwLock::new).unlock()?;
        Ok(Step::Done)
    };
    const SUBCOMMANDS: &[(&str, Run)] = &[
        ("create", |call| {
            call.nothing()?;
            call.done(&Obj::from_str(&RWLOCKS.create(RwLock::new())))
        }),
        ("destroy", |call| {
            RWLOCKS.forget(&call.handle(ID)?.text(), RwLock::is_idle);
            Ok(Step::Done)
        }),
        ("readeval", |call| {
            let (handle, script) = call.handle_and_script(ID)?;
            let lock = named(&RWLOCKS, handle, RwLock::new);
            lock.read_lock()?;
            Ok(unlocked_after(lock, script))
        }),
        ("readlock", |call| {
            named(&RWLOCKS, call.handle(ID)?, RwLock::new).read_lock()?;
            Ok(Step::Done)
        }),
        ("readunlock", UNLOCK),
        ("unlock", UNLOCK),
        ("writeeval", |call| {
            let (handle, script) = call.handle_and_script(ID)?;
            let lock = named(&RWLOCKS, handle, RwLock::new);
            lock.write_lock()?;
            Ok(unlocked_after(lock, script))
        }),
        ("writelock", |call| {
            named(&RWLOCKS, call.handle(ID)?, RwLock::new).write_lock()?;
            Ok(Step::Done)
        }),
        ("writeunlock", UNLOCK),
    ];
    subcommand::exact(words, SUBCOMMANDS)?(&Call::of(interp, words))
}

fn unlocked_after(lock: Arc<RwLock>, script: Obj) -> Step {
    Step::Eval(
        script,
        Box::new(move |_, code| {
            if lock.is_own() {
                lock.unlock()?;
            }
            pass_on(code)
        }),
    )
}

/// `ns_cond abswait|broadcast|create|destroy|set|signal|wait`.
fn cond(interp: Interp, words: &[Obj]) -> Outcome {
    const ID: &str = "condId";
    type Subcommand = fn(&Call) -> Result<Option<Obj>>;
    const SIGNAL: Subcommand = |call| {
        named(&CONDS, call.handle(ID)?, Cond::new).signal();
        Ok(None)
    };
    const SUBCOMMANDS: &[(&str, Subcommand)] = &[
        ("abswait", |call| {
            wait(call, "epoch", |time| {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                time.saturating_sub(now)
            })
        }),
        ("broadcast", |call| {
            named(&CONDS, call.handle(ID)?, Cond::new).broadcast();
            Ok(None)
        }),
        ("create", |call| {
            call.nothing()?;
            Ok(Some(Obj::from_str(&CONDS.create(Cond::new()))))
        }),
        ("destroy", |call| {
            CONDS.forget(&call.handle(ID)?.text(), Cond::is_idle);
            Ok(None)
        }),
        ("set", SIGNAL),
        ("signal", SIGNAL),
        ("wait", |call| wait(call, "timeout", |time| time)),
    ];
    let result = subcommand::exact(words, SUBCOMMANDS)?(&Call::of(interp, words))?;
    if let Some(result) = result {
        interp.set_result(&result);
    }
    Ok(())
}

/// Waits for a condition; `remaining` makes of the time that was given how long
/// to wait. No time, or none at all, is for ever.
fn wait(call: &Call, label: &'static str, remaining: fn(Duration) -> Duration) -> Result<Option<Obj>> {
    let syntax: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [word("condId", Kind::Any), word("mutexId", Kind::Any), word(label, Kind::Time)],
        required: 2,
    };
    let parsed = syntax.parse(call.interp, call.name, call.args)?;
    let cond = named(&CONDS, parsed.word(0).obj, Cond::new);
    let mutex = named(&MUTEXES, parsed.word(1).obj, new_mutex);
    let time = parsed.words[2].map(|v| v.time()).filter(|time| !time.is_zero());
    // A time beyond what the clock can count is for ever, too.
    let deadline = time.and_then(|time| Instant::now().checked_add(remaining(time.as_duration())));
    Ok(Some(truth(cond.wait(&mutex, deadline)?)))
}

/// `ns_sema create|destroy|release|wait`.
fn sema(interp: Interp, words: &[Obj]) -> Outcome {
    const ID: &str = "handle";
    type Subcommand = fn(&Call) -> Result<Option<Obj>>;
    const COUNT: Word = word("count", Kind::Natural("count"));
    const SUBCOMMANDS: &[(&str, Subcommand)] = &[
        ("create", |call| {
            let count = call.optional(COUNT)?.unwrap_or(0);
            Ok(Some(Obj::from_str(&SEMAS.create(Sema::new(count.unsigned_abs())))))
        }),
        ("destroy", |call| {
            SEMAS.forget(&call.handle(ID)?.text(), Sema::is_idle);
            Ok(None)
        }),
        ("release", |call| {
            const SYNTAX: Syntax<0, 2> =
                Syntax { options: [], ends_options: false, words: [word(ID, Kind::Any), COUNT], required: 1 };
            let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
            let by = parsed.words[1].map_or(1, |v| v.number().unsigned_abs());
            made(parsed.word(0).obj)?.release(by);
            Ok(None)
        }),
        ("wait", |call| {
            made(call.handle(ID)?)?.wait();
            Ok(None)
        }),
    ];
    let result = subcommand::exact(words, SUBCOMMANDS)?(&Call::of(interp, words))?;
    if let Some(result) = result {
        interp.set_result(&result);
    }
    Ok(())
}

/// The semaphore of that handle. None is made for an unknown one: who waited
/// for it would wait for ever.
///
/// # Errors
/// There is none.
fn made(handle: &Obj) -> Result<Arc<Sema>> {
    let sema = handle.cached::<Sema>().or_else(|| {
        let sema = SEMAS.find(&handle.text())?;
        handle.cache(Arc::clone(&sema));
        Some(sema)
    });
    sema.ok_or_else(|| Error::new(format!("invalid address \"{}\"", handle.text())))
}
