//! The Tcl commands, one file a command or family: they parse arguments, call
//! the rooms below and shape the result. No protocol logic lives here.

mod bytes;
mod config;
mod crypto;
mod files;
mod http;
mod locks;
mod messages;
mod ns_connchan;
mod ns_eval;
mod ns_http;
mod ns_info;
mod ns_job;
mod ns_lifecycle;
mod ns_log;
pub mod ns_proxy;
mod ns_schedule;
mod ns_set;
mod ns_socks;
mod ns_thread;
mod nsv;
mod nsv_dict;
mod parseargs;
mod server;
mod system;
mod text;
mod time;
mod urls;
mod ws;

use crate::base::Error;
use crate::connchan::{background, home};
use crate::jobs::{
    self,
    lifecycle::{self, Moment},
};
use crate::net::descriptor;
use crate::proxy;
use crate::tcl::args::{word, Kind, Syntax};
use crate::tcl::command::{create, CommandProc};
use crate::tcl::evaluating::{self, EvaluatingProc};
use crate::tcl::event_source::{tcl_uses_select, SELECT_LIMIT};
use crate::tcl::{lifetime, refusal, Failure, Interp, Obj, Outcome};
use crate::threads;
use once_cell::sync::OnceCell;
use std::cell::Cell;

/// Commands by their names in the global namespace.
const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_connchan", ns_connchan::command),
    ("ns_set", ns_set::command),
    ("ns_socks", ns_socks::command),
    ("::ns_connchan::family", family),
];

/// Those of the families.
const FAMILIES: &[&[(&str, CommandProc)]] = &[
    COMMANDS,
    config::COMMANDS,
    crypto::COMMANDS,
    files::COMMANDS,
    http::COMMANDS,
    locks::COMMANDS,
    messages::COMMANDS,
    ns_eval::COMMANDS,
    ns_http::COMMANDS,
    ns_info::COMMANDS,
    ns_job::COMMANDS,
    ns_lifecycle::COMMANDS,
    ns_log::COMMANDS,
    ns_proxy::COMMANDS,
    ns_schedule::COMMANDS,
    ns_thread::COMMANDS,
    nsv::COMMANDS,
    parseargs::COMMANDS,
    system::COMMANDS,
    text::COMMANDS,
    time::COMMANDS,
    urls::COMMANDS,
];

/// Those that evaluate a script.
const EVALUATING: &[&[(&str, EvaluatingProc)]] =
    &[config::EVALUATING, locks::EVALUATING, ns_eval::EVALUATING, ns_lifecycle::EVALUATING];

/// Whether an interpreter has the whole package, or only a part of it.
#[derive(Default)]
struct Complete(Cell<bool>);

/// Whether every command of the package is in this interpreter.
pub fn is_complete(interp: Interp) -> bool {
    lifetime::state::<Complete>(interp).0.get()
}

/// What every part of the package needs, once a process and once a thread.
fn prepare(interp: Interp) -> Outcome {
    static ONCE: OnceCell<()> = OnceCell::new();
    ONCE.get_or_init(|| {
        ns_info::booted();
        if tcl_uses_select() {
            descriptor::keep_free_below(SELECT_LIMIT);
        }
        threads::set_hooks(install, home::shutdown);
        if threads::is_first_thread() {
            lifetime::at_thread_exit(threads::give_way_to_exit);
        }
        lifetime::at_process_exit(|| {
            lifecycle::run(Moment::Shutdown);
            threads::end_all();
            home::shutdown();
            threads::finish_all();
            background::stop();
            proxy::shutdown();
            lifecycle::run(Moment::Exit);
        });
    });
    if !lifetime::is_attached(interp) {
        home::settle(interp)?;
    }
    locks::settle();
    Ok(())
}

fn provide(interp: Interp, package: &str) -> Outcome {
    match interp.provide(package, env!("CARGO_PKG_VERSION")) {
        0 => Ok(()),
        code => Err(Failure::Code(code)),
    }
}

/// Puts the package into an interpreter.
pub fn install(interp: Interp) -> Outcome {
    prepare(interp)?;
    for (name, proc_) in FAMILIES.iter().copied().flatten() {
        create(interp, name, *proc_);
    }
    for (name, proc_) in EVALUATING.iter().copied().flatten() {
        evaluating::create(interp, name, *proc_);
    }
    jobs::loaded(interp)?;
    lifetime::state::<Complete>(interp).0.set(true);
    provide(interp, "nsproxy")?;
    provide(interp, "ns_connchan")
}

/// Puts `ns_proxy` alone into an interpreter. Tcl loads a library under one
/// name only: the rest can be had by `ns_connchan::complete`.
pub fn install_nsproxy(interp: Interp) -> Outcome {
    prepare(interp)?;
    for (name, proc_) in ns_proxy::COMMANDS {
        create(interp, name, *proc_);
    }
    create(interp, "::ns_connchan::complete", complete);
    provide(interp, "nsproxy")
}

/// The worker's side of `ns_proxy` in a program that embeds Tcl.
pub fn worker_main(interp: Interp) -> Outcome {
    install(interp)?;
    ns_proxy::main(interp, None).map_err(|e| Error::new(format!("could not serve requests: {e}")).into())
}

/// `ns_connchan::complete`: adds what is not there yet.
fn complete(interp: Interp, _words: &[Obj]) -> Outcome {
    install(interp)
}

/// `ns_connchan::family name`: makes the commands of a family that a script of
/// the package completes. Tcl loads a library under one name only.
fn family(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("name", Kind::OneOf(&["ws"]))], required: 1 };
    SYNTAX.parse(interp, &words[..1], &words[1..])?;
    for (name, proc_) in ws::COMMANDS {
        create(interp, name, *proc_);
    }
    Ok(())
}

/// Answers a safe interpreter.
pub fn refuse_safe(_interp: Interp) -> Outcome {
    Err(refusal("ns_connchan is not available in a safe interpreter: it gives scripts the network and files"))
}
