//! The subcommands with which a script gets handles, has scripts evaluated,
//! and gives handles back.

use super::owner::Owner;
use super::{deliver, fail, own_program, time_of, wrong_args};
use crate::base::time_value::TimeValue;
use crate::base::{log, Error};
use crate::proxy::fault::shortened;
use crate::proxy::wire::MAX_WORDS;
use crate::proxy::worker::{Answer, Script};
use crate::proxy::{pool, split, Fault, Handle, Problem};
use crate::tcl::text_buffer::TextBuffer;
use crate::tcl::{Interp, Obj, Outcome};
use std::sync::Arc;
use std::time::Instant;

/// From this size on it is worth a look whether a text is a single command.
const LARGE: usize = 16 * 1024;

/// Calls `use_it` with a script as it is to be sent: a list that was never text
/// goes in words, if the worker takes that, so that large values in it need not
/// be quoted here and parsed there; so does a large text that is but one
/// command in literal words.
fn with_script<T>(handle: &Handle, script: &Obj, use_it: impl FnOnce(Script) -> T) -> T {
    if script.is_pure_list() && handle.takes_words() {
        if let Some(words) = script.elements().filter(|w| (1..=MAX_WORDS).contains(&w.len())) {
            let words: Vec<&[u8]> = words.iter().map(Obj::raw_text).collect();
            return use_it(Script::Words(&words));
        }
    }
    let text = script.raw_text();
    if text.len() >= LARGE && handle.takes_words() {
        if let Some(words) = split::command(text, MAX_WORDS) {
            return use_it(Script::Command(text, &words));
        }
    }
    use_it(Script::Text(text))
}

/// Evaluates a script in a worker and ends as it does.
pub fn evaluate(interp: Interp, handle: &Arc<Handle>, script: &Obj, timeout: TimeValue) -> Outcome {
    let least = handle.pool().settings().logminduration.as_micros();
    let begun = (least > 0).then(Instant::now);
    let own = || own_program(interp);
    let answer: Result<Answer<TextBuffer>, Problem> =
        with_script(handle, script, |script| handle.evaluate(script, timeout, &own));
    if let Some(elapsed) = begun.map(|begun| begun.elapsed().as_micros() as i64).filter(|e| *e >= least) {
        let (pool, script) = (handle.pool().name(), script.text());
        let elapsed = TimeValue::from_micros(elapsed).dotted();
        let script = shortened(&script);
        log::write(log::NOTICE, &format!("nsproxy {pool} duration {elapsed} secs: '{script}'"));
    }
    deliver(interp, answer.map_err(|problem| fail(interp, problem))?)
}

/// `ns_proxy get pool ?-handles n? ?-timeout time?`
pub fn get(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const USAGE: &str = "?-handles /integer/? ?-timeout /time/?";
    let (pool_name, options) = match args {
        [pool, options @ ..] if options.len() % 2 == 0 => (pool, options),
        _ => return Err(wrong_args(name, &format!("/pool/ {USAGE}"))),
    };
    let pool = pool::named(&pool_name.text());
    let owner = Owner::of(interp);
    if owner.owns_of(pool) {
        return Err(fail(interp, Fault::Deadlock.allocating(pool.name())));
    }
    let (mut count, mut timeout) = (1, None);
    for option in options.chunks(2) {
        match option {
            [key, value] if key.is_word("-handles") || key.is_word("-handle") => {
                count = value.int()?;
                if count < 1 {
                    return Err(Error::new(format!(
                        "expected integer in range [1,MAX] for '-handles', but got {count}"
                    ))
                    .into());
                }
            }
            [key, value] if key.is_word("-timeout") => timeout = Some(time_of(value)?),
            _ => {
                let usage = format!("{} {USAGE}", pool_name.text());
                return Err(wrong_args(name, &usage));
            }
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let handles = pool.allocate(count, timeout, owner.id).map_err(|p| fail(interp, p))?;
    let own = || own_program(interp);
    if let Err(problem) = make_ready(&handles, &own) {
        handles.iter().for_each(Handle::release);
        return Err(fail(interp, problem));
    }
    let names: Vec<Obj> = handles.iter().map(|handle| Obj::from_str(handle.name())).collect();
    for handle in handles {
        owner.add(interp, handle);
    }
    interp.set_result(&Obj::from_list(&names));
    Ok(())
}

/// Gives each handle a worker that is ready. New processes start all at the
/// same time, and so do their init scripts. After a failure no worker is left
/// that was not initialised.
fn make_ready(handles: &[Arc<Handle>], own: crate::proxy::handle::Own) -> Result<(), Problem> {
    let mut unready = Vec::new();
    let outcome = start_all(handles, own, &mut unready);
    if outcome.is_err() {
        unready.into_iter().for_each(Handle::discard);
    }
    outcome
}

/// The steps of starting, each for all handles; those that are not through stay
/// in `unready`.
fn start_all<'a>(
    handles: &'a [Arc<Handle>],
    own: crate::proxy::handle::Own,
    unready: &mut Vec<&'a Handle>,
) -> Result<(), Problem> {
    for handle in handles {
        if handle.begin(own)? {
            unready.push(handle);
        }
    }
    for handle in unready.iter() {
        handle.greet(own)?;
    }
    let mut with_init = Vec::new();
    for handle in unready.iter() {
        if handle.begin_init()? {
            with_init.push(*handle);
        }
    }
    *unready = with_init;
    while let Some(handle) = unready.first() {
        handle.end_init()?;
        unready.remove(0);
    }
    Ok(())
}

/// `ns_proxy eval proxyId script ?timeout?`
pub fn eval(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let [id, script, timeout @ ..] = args else {
        return Err(wrong_args(name, "/proxyId/ /script/ ?/timeout/?"));
    };
    if timeout.len() > 1 {
        return Err(wrong_args(name, "/proxyId/ /script/ ?/timeout/?"));
    }
    let handle = Owner::of(interp).handle(id)?;
    let timeout = timeout.first().map(time_of).transpose()?.unwrap_or(TimeValue::ZERO);
    evaluate(interp, &handle, script, timeout)
}

/// `ns_proxy send proxyId script`
pub fn send(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let [id, script] = args else { return Err(wrong_args(name, "/proxyId/ /script/")) };
    let handle = Owner::of(interp).handle(id)?;
    let own = || own_program(interp);
    with_script(&handle, script, |script| handle.send(script, &own)).map_err(|p| fail(interp, p))
}

/// `ns_proxy wait proxyId ?timeout?`
pub fn wait(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let (id, timeout) = match args {
        [id] => (id, None),
        [id, timeout] => (id, Some(timeout)),
        _ => return Err(wrong_args(name, "/proxyId/ ?/timeout/?")),
    };
    let handle = Owner::of(interp).handle(id)?;
    let timeout = timeout.map(time_of).transpose()?.unwrap_or(TimeValue::ZERO);
    handle.wait(timeout).map_err(|problem| fail(interp, problem))
}

/// `ns_proxy recv proxyId`
pub fn recv(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let [id] = args else { return Err(wrong_args(name, "/proxyId/")) };
    let owned = Owner::of(interp).find(id)?;
    let answer = owned.handle.receive().map_err(|problem| fail(interp, problem))?;
    owned.unwatch();
    deliver(interp, answer)
}

/// `ns_proxy ping proxyId`
pub fn ping(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let [id] = args else { return Err(wrong_args(name, "/proxyId/")) };
    let handle = Owner::of(interp).handle(id)?;
    let own = || own_program(interp);
    handle.ping(&own).map_err(|problem| fail(interp, problem))
}

/// `ns_proxy put proxyId`, `ns_proxy release proxyId`
pub fn put(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let [id] = args else { return Err(wrong_args(name, "/proxyId/")) };
    let owned = Owner::of(interp).find(id)?;
    owned.release()?;
    interp.reset_result();
    Ok(())
}

/// `ns_proxy cleanup`
pub fn cleanup(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    if !args.is_empty() {
        return Err(wrong_args(name, ""));
    }
    for owned in Owner::of(interp).all() {
        // Its errors concern nobody here.
        let _ = owned.give_back();
    }
    interp.reset_result();
    Ok(())
}

/// `ns_proxy handles ?pool?`
pub fn handles(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let only = match args {
        [] => None,
        [pool] => Some(pool::named(&pool.text())),
        _ => return Err(wrong_args(name, "?/pool/?")),
    };
    let owned = Owner::of(interp).all();
    let of_pool = owned.iter().filter(|o| only.is_none_or(|pool| std::ptr::eq(pool, o.handle.pool())));
    let names: Vec<Obj> = of_pool.map(|owned| Obj::from_str(owned.handle.name())).collect();
    interp.set_result(&Obj::from_list(&names));
    Ok(())
}
