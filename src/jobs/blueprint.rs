//! What a new thread knows: the definitions of the interpreter that asked for
//! it, as a script, and what `ns_eval` has told everybody since.
//!
//! The script is made by `tcl/blueprint.tcl`; it has namespaces with their
//! procs, variables, ensembles and imports, aliases, packages, and what nsf and
//! nx have defined (spec/support.md 2.5). Global variables are not in it.

use crate::base::{Error, Result};
use crate::tcl::{evaluating, Interp, Obj};
use crate::threads::{Setup, Worker};
use parking_lot::Mutex;
use std::sync::Arc;

/// The script of the last interpreter that made a thread.
static LAST: Mutex<Option<Arc<str>>> = Mutex::new(None);

/// How the last thread began.
static SETUP: Mutex<Option<Setup>> = Mutex::new(None);

/// What all threads are to evaluate, and whether the interpreter that they come
/// from has done so: then it is in the blueprint.
static REPLAYS: Mutex<Vec<(Arc<str>, bool)>> = Mutex::new(Vec::new());

/// Has a command of `file`, one of the package's scripts, evaluated: sourced
/// first, unless the interpreter knows it.
///
/// # Errors
/// The file was not found, or the command's.
pub fn call_script(interp: Interp, file: &str, words: &[Obj]) -> Result<Obj> {
    const FIND: &str = "if {[namespace which -command [lindex $words 0]] eq {}} {\n\
        foreach loaded [info loaded] {\n\
        if {[string equal -nocase [lindex $loaded 1] ns_connchan]} {\n\
        uplevel #0 [list source [file join [file dirname [lindex $loaded 0]] $file]]\n\
        break}}}\n\
        uplevel #0 $words";
    let word = Obj::from_str;
    let lambda = Obj::from_list(&[word("file words"), word(FIND)]);
    let all = [word("::apply"), lambda, word(file), Obj::from_list(words)];
    evaluating::call(interp, &all)
}

/// The script that makes an interpreter know what this one knows. Threads of
/// the library's own pass on what they were made from.
///
/// # Errors
/// Something cannot be written down.
pub fn of(interp: Interp) -> Result<Arc<str>> {
    if Worker::current().is_some() {
        if let Some(last) = LAST.lock().clone() {
            return Ok(last);
        }
    }
    let script = call_script(interp, "blueprint.tcl", &[Obj::from_str("::ns_connchan::blueprint")])?;
    let script: Arc<str> = script.text().into();
    LAST.lock().replace(Arc::clone(&script));
    Ok(script)
}

/// How a thread called `name` begins that `interp` asks for.
///
/// # Errors
/// As for `of`.
pub fn setup(interp: Interp, name: &str) -> Result<Setup> {
    super::open_office(interp)?;
    let mut init = of(interp)?.to_string();
    for (script, _) in REPLAYS.lock().iter().filter(|(_, in_blueprint)| !in_blueprint) {
        init.push('\n');
        init.push_str(script);
    }
    let setup = Setup::new(interp, name, init);
    SETUP.lock().replace(setup.clone());
    Ok(setup)
}

/// How a thread called `name` begins that has to do without an interpreter to
/// ask: as the last one. `None` when there was none.
pub fn setup_again(name: &str) -> Option<Setup> {
    let kept = SETUP.lock().clone();
    kept.map(|setup| Setup { name: name.into(), ..setup })
}

/// How many replays there are: what a new thread need not be told.
pub fn replays() -> usize {
    REPLAYS.lock().len()
}

/// The replays from number `from` on, as one script.
pub fn replays_since(from: usize) -> Option<(String, usize)> {
    let replays = REPLAYS.lock();
    if replays.len() <= from {
        return None;
    }
    let scripts: Vec<&str> = replays[from..].iter().map(|(script, _)| &**script).collect();
    Some((scripts.join("\n"), replays.len()))
}

/// Has all threads evaluate a script before their next work; `in_blueprint` says
/// whether the interpreter that they come from has done so.
///
/// # Errors
/// There are too many already.
pub fn replay(script: &str, in_blueprint: bool) -> Result<()> {
    /// More are no definitions, but something that grows for ever.
    const MOST: usize = 10_000;
    let mut replays = REPLAYS.lock();
    if replays.len() >= MOST {
        return Err(Error::new("too many scripts were given to ns_eval"));
    }
    replays.push((script.into(), in_blueprint));
    Ok(())
}
