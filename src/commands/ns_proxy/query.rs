//! The subcommands that look at pools, and those that end what runs in them.
//! They work on any pool, whoever owns its handles.

use super::wrong_args;
use crate::base::time_value::system_time_dotted;
use crate::proxy::handle::Kept;
use crate::proxy::{pool, time, Pool};
use crate::tcl::{Interp, Obj, Outcome};

/// The arguments `pool ?proxyId?`.
fn pool_and_handle(
    name: &[Obj],
    args: &[Obj],
) -> Result<(&'static Pool, Option<String>), crate::tcl::Failure> {
    match args {
        [pool] => Ok((pool::named(&pool.text()), None)),
        [pool, handle] => Ok((pool::named(&pool.text()), Some(handle.text().into_owned()))),
        _ => Err(wrong_args(name, "/pool/ ?/proxyId/?")),
    }
}

/// The argument `pool`.
fn pool_of(name: &[Obj], args: &[Obj]) -> Result<&'static Pool, crate::tcl::Failure> {
    let [pool] = args else { return Err(wrong_args(name, "/pool/")) };
    Ok(pool::named(&pool.text()))
}

fn list(interp: Interp, elements: impl IntoIterator<Item = Obj>) -> Outcome {
    let elements: Vec<Obj> = elements.into_iter().collect();
    interp.set_result(&Obj::from_list(&elements));
    Ok(())
}

/// `ns_proxy active pool ?proxyId?`
pub fn active(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let (pool, only) = pool_and_handle(name, args)?;
    let active = pool.active();
    let chosen = active.iter().filter(|(handle, _)| only.as_ref().is_none_or(|name| name == handle.name()));
    list(
        interp,
        chosen.filter_map(|(handle, view)| {
            let (started, script) = view.active.as_ref()?;
            let script = match script {
                Kept::Text(text) => Obj::from_raw_text(text),
                Kept::Words(words) => {
                    Obj::from_list(&words.iter().map(|w| Obj::from_raw_text(w)).collect::<Vec<_>>())
                }
            };
            Some(Obj::from_pairs([
                ("handle", Obj::from_str(handle.name())),
                ("slave", Obj::from_int(view.pid.into())),
                ("start", Obj::from_str(&system_time_dotted(*started))),
                ("script", script),
            ]))
        }),
    )
}

/// `ns_proxy clear pool ?proxyId?`
pub fn clear(_interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let (pool, only) = pool_and_handle(name, args)?;
    pool.clear(only.as_deref());
    Ok(())
}

/// `ns_proxy stop pool ?proxyId?`
pub fn stop(_interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let (pool, only) = pool_and_handle(name, args)?;
    pool.stop(only.as_deref());
    Ok(())
}

/// `ns_proxy free pool`
pub fn free(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let pool = pool_of(name, args)?;
    list(interp, pool.free().iter().map(|handle| Obj::from_str(handle.name())))
}

/// `ns_proxy pids ?-details? pool`
pub fn pids(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let (pool, details) = match args {
        [flag, pool] if flag.is_word("-details") => (pool, true),
        // A pool may be called so: the reference takes a flag for what it is only
        // where there is one word more than are needed.
        [pool] => (pool, false),
        _ => return Err(wrong_args(name, "?-details? /pool/")),
    };
    let handles = pool::named(&pool.text()).all();
    let views = handles.iter().map(|handle| (handle, handle.view())).filter(|(_, view)| view.pid > 0);
    list(
        interp,
        views.map(|(handle, view)| {
            let pid = Obj::from_int(view.pid.into());
            if !details {
                return pid;
            }
            Obj::from_pairs([
                ("pid", pid),
                ("id", Obj::from_str(handle.name())),
                ("runs", Obj::from_int(view.runs.into())),
            ])
        }),
    )
}

/// `ns_proxy pools`
pub fn pools(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    if !args.is_empty() {
        return Err(wrong_args(name, ""));
    }
    list(interp, pool::names().into_iter().map(Obj::from_str))
}

/// `ns_proxy stats pool`
pub fn stats(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let stats = pool_of(name, args)?.stats();
    interp.set_result(&Obj::from_pairs([
        ("proxies", Obj::from_count(stats.proxies)),
        ("waiting", Obj::from_count(stats.waiting as u64)),
        ("maxworkers", Obj::from_int(stats.maxworkers.into())),
        ("free", Obj::from_count(stats.free as u64)),
        ("used", Obj::from_count(stats.used as u64)),
        ("requests", Obj::from_count(stats.requests)),
        ("processes", Obj::from_count(stats.processes as u64)),
        ("runtime", Obj::from_str(&time::decimal_seconds(stats.runtime))),
    ]));
    Ok(())
}

/// `ns_proxy workers pool`
pub fn workers(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let handles = pool_of(name, args)?.all();
    list(
        interp,
        handles.iter().map(|handle| {
            let view = handle.view();
            Obj::from_pairs([
                ("id", Obj::from_str(handle.name())),
                ("pid", Obj::from_int(view.pid.into())),
                ("created", Obj::from_int(view.created.into())),
                ("runs", Obj::from_int(view.runs.into())),
                ("state", Obj::from_str(view.state.word())),
            ])
        }),
    )
}
