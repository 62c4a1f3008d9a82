//! `ns_proxy`: the ensemble, and what its subcommands share.
//!
//! `configure` has the options of pools, `query` what only looks at pools (and
//! stops what they run), `handles` getting, using and giving back handles,
//! `owner` who owns them, `later` waiting in the event loop, `serve` the
//! worker's side. Behaviour: spec/ns_proxy.md.

mod configure;
mod handles;
mod later;
mod owner;
mod query;
mod serve;

pub use owner::{delete_leftovers, request_over};
pub use serve::main;

use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::net::sys;
use crate::proxy::worker::{Answer, OwnProgram};
use crate::proxy::{time, Problem};
use crate::tcl::command::CommandProc;
use crate::tcl::text_buffer::TextBuffer;
use crate::tcl::{subcommand, Failure, Interp, Obj, Outcome};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The commands of the package: the one of its name, and what is beyond the
/// reference.
pub const COMMANDS: &[(&str, CommandProc)] =
    &[("ns_proxy", command), ("::nsproxy::callback", later::callback), ("::nsproxy::serve", serve::serve)];

/// A subcommand: interpreter, the two words that name it, and its arguments.
type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Outcome;

const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("active", query::active),
    ("cleanup", handles::cleanup),
    ("clear", query::clear),
    ("configure", configure::configure),
    ("eval", handles::eval),
    ("free", query::free),
    ("get", handles::get),
    ("handles", handles::handles),
    ("pids", query::pids),
    ("ping", handles::ping),
    ("pools", query::pools),
    ("put", handles::put),
    ("recv", handles::recv),
    ("release", handles::put),
    ("send", handles::send),
    ("stats", query::stats),
    ("stop", query::stop),
    ("wait", handles::wait),
    ("workers", query::workers),
];

/// The script that is the main of our own workers; it lies beside the library.
const WORKER: &str = "nsproxy-worker.tcl";

/// The command `ns_proxy`.
pub fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let found = subcommand::prefix(words, SUBCOMMANDS)?;
    (found.entry)(interp, &found.name, &words[2..])
}

/// The usage error of a subcommand; `usage` is what follows its name.
#[cold]
fn wrong_args(name: &[Obj], usage: &str) -> Failure {
    let name: Vec<_> = name.iter().map(Obj::text).collect();
    Error::usage(format!("{} {usage}", name.join(" ")).trim_end()).into()
}

/// A time as `ns_proxy` takes it.
fn time_of(value: &Obj) -> Result<TimeValue> {
    time::parse(&value.text())
}

/// The Tcl error that a problem becomes.
#[cold]
fn fail(interp: Interp, problem: Problem) -> Failure {
    if problem.message.is_none() && problem.info.is_none() {
        return problem.error.into();
    }
    let message = match &problem.message {
        Some(message) => Obj::from_raw_text(message),
        None => Obj::from_str(&problem.error.message),
    };
    let info = problem.info.as_deref().map(Obj::from_raw_text);
    interp.set_foreign_error(&message, &Interp::code_of(&problem.error), info.as_ref());
    Failure::Code(crate::tcl_sys::TCL_ERROR)
}

/// Ends a command as a script in a worker has ended.
fn deliver(interp: Interp, answer: Answer<TextBuffer>) -> Outcome {
    end_as(interp, answer.code, answer.error_code.as_deref(), &answer.error_info, &answer.result.into_obj())
}

fn end_as(interp: Interp, code: i32, error_code: Option<&[u8]>, error_info: &[u8], result: &Obj) -> Outcome {
    match code {
        0 => {
            interp.set_result(result);
            Ok(())
        }
        1 => {
            let error_code = error_code.unwrap_or(b"NONE");
            let info = (!error_info.is_empty()).then(|| Obj::from_raw_text(error_info));
            interp.set_foreign_error(result, &Obj::from_raw_text(error_code), info.as_ref());
            Err(Failure::Code(code))
        }
        other => {
            interp.set_result(result);
            Err(Failure::Code(other))
        }
    }
}

/// How to start a worker that is this same interpreter, with what it needs to
/// find the same packages. A Tk shell would show a window: the plain one beside
/// it is taken.
fn own_program(interp: Interp) -> OwnProgram {
    const ASK: &str = r#"::apply {{} {
        set shell [info nameofexecutable]
        if {[string match wish* [file tail $shell]]} {
            set plain [file join [file dirname $shell] tclsh[string range [file tail $shell] 4 end]]
            if {[file executable $plain]} {
                set shell $plain
            }
        }
        set prelude ""
        if {[info exists ::auto_path]} {
            append prelude [list set ::auto_path $::auto_path] \n
        }
        if {![catch {::tcl::tm::path list} paths]} {
            append prelude "::tcl::tm::path remove {*}\[::tcl::tm::path list]\n"
            append prelude [list ::tcl::tm::path add {*}[lreverse $paths]] \n
        }
        list $shell $prelude
    }}"#;
    let code = interp.eval_here(&Obj::from_str(ASK));
    let answer = if code == 0 { interp.result().elements() } else { None };
    interp.reset_result();
    let element = |index: usize| {
        answer.as_ref().and_then(|a| a.get(index)).map(|e| e.raw_text().to_vec()).unwrap_or_default()
    };
    let folder = sys::library_file().and_then(|f| f.parent().map(std::path::Path::to_path_buf));
    OwnProgram {
        interpreter: OsString::from_vec(element(0)),
        script: folder.unwrap_or_default().join(WORKER).into_os_string(),
        prelude: element(1),
    }
}
