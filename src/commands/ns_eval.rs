//! `ns_eval`, `ns_ictl`, `ns_library`, `ns_moduleload` (spec/support.md 6.6,
//! 6.7): what concerns the definitions of all threads.

use crate::base::{config, Error};
use crate::connchan::{desk, home};
use crate::jobs::{self, blueprint};
use crate::tcl::args::{bad_option, word, Kind, Opt, Rest, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::evaluating::{pass_on, EvaluatingProc, Step};
use crate::tcl::script::{Completion, Script};
use crate::tcl::{subcommand, Failure, Interp, Obj, Outcome};
use crate::threads::Worker;
use parking_lot::Mutex;
use std::rc::Rc;

/// The commands of this file.
pub(super) const COMMANDS: &[(&str, CommandProc)] =
    &[("ns_ictl", ns_ictl), ("ns_library", ns_library), ("ns_moduleload", ns_moduleload)];

/// Those that evaluate a script.
pub(super) const EVALUATING: &[(&str, EvaluatingProc)] = &[("ns_eval", ns_eval)];

/// `ns_eval ?-sync? ?-pending? script ?arg ...?`: evaluates here; if that went
/// well, all threads of the library evaluate it, too, before their next work.
fn ns_eval(interp: Interp, words: &[Obj]) -> Result<Step, Failure> {
    const SYNTAX: Syntax<2, 0> = Syntax {
        options: [Opt::flag("-sync"), Opt::flag("-pending")],
        ends_options: false,
        words: [],
        required: 0,
    };
    const ARGS: Rest = Rest { name: "arg", required: false };
    let (parsed, rest) = SYNTAX.parse_with_rest(interp, &words[..1], &words[1..], &ARGS)?;
    if rest.is_empty() {
        if parsed.has(1) {
            // Threads take what is new before each work: nothing is pending.
            return Ok(Step::Done);
        }
        return Err(Error::usage(&format!("{} ?-sync? ?-pending? /script/ ?/args/?", words[0].text())).into());
    }
    let script = match rest {
        [script] => script.clone(),
        words => Obj::from_list(words),
    };
    let text = script.text().into_owned();
    Ok(Step::Eval(
        script,
        Box::new(move |_, code| {
            pass_on(code)?;
            let elsewhere = Worker::current().is_some();
            blueprint::replay(&text, !elsewhere)?;
            if elsewhere {
                tell_office(text);
            }
            Ok(())
        }),
    ))
}

/// The interpreter that threads come from has to know it, too.
fn tell_office(script: String) {
    jobs::ask_office_to_call(desk::Letter {
        make: Box::new(move |_| Some((Rc::new(Script::new(&Obj::from_str(&script))), Vec::new()))),
        done: Box::new(|interp, completion| {
            if let Completion::Error(message) = completion {
                home::log_script_error(interp, &message, "ns_eval");
            }
        }),
    });
}

/// Scripts kept for `ns_ictl trace`: moment and script.
static TRACES: Mutex<Vec<(&'static str, String)>> = Mutex::new(Vec::new());

/// Modules noted by `ns_ictl addmodule`.
static MODULES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Moments in the life of an interpreter. Here an interpreter is made once a
/// thread, so that none of them comes again; the scripts are kept and listed.
const MOMENTS: &[&str] = &["create", "delete", "allocate", "deallocate", "getconn", "freeconn", "idle"];

type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Outcome;

const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("addmodule", addmodule),
    ("cleanup", cleanup),
    ("epoch", epoch),
    ("get", get),
    ("getmodules", getmodules),
    ("gettraces", gettraces),
    ("markfordelete", nothing),
    ("runtraces", runtraces),
    ("save", save),
    ("trace", trace),
    ("update", nothing),
];

const NOTHING: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };

/// The command `ns_ictl`.
fn ns_ictl(interp: Interp, words: &[Obj]) -> Outcome {
    let run = subcommand::exact(words, SUBCOMMANDS)?;
    run(interp, &words[..2], &words[2..])
}

fn list(words: &[String]) -> Obj {
    Obj::from_list(&words.iter().map(|word| Obj::from_str(word)).collect::<Vec<_>>())
}

fn addmodule(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("module", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let module = parsed.word(0).obj.text().into_owned();
    let mut modules = MODULES.lock();
    if !modules.contains(&module) {
        modules.push(module);
    }
    interp.set_result(&list(&modules));
    Ok(())
}

fn getmodules(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    interp.set_result(&list(&MODULES.lock()));
    Ok(())
}

fn cleanup(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    super::ns_set::forget_all(interp);
    Ok(())
}

fn epoch(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    interp.set_result(&Obj::from_int(0));
    Ok(())
}

/// The script that a new thread would begin with.
fn get(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    interp.set_result(&Obj::from_str(&blueprint::of(interp)?));
    Ok(())
}

/// As if `ns_eval` had evaluated the script: threads are told.
fn save(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("script", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    Ok(blueprint::replay(&parsed.word(0).obj.text(), false)?)
}

fn nothing(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    Ok(())
}

fn moment(value: &Obj) -> Result<&'static str, Error> {
    let text = value.text();
    MOMENTS
        .iter()
        .find(|moment| ***moment == *text)
        .copied()
        .ok_or_else(|| bad_option("", "when", &text, MOMENTS))
}

fn trace(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("when", Kind::Any), word("script", Kind::Any)],
        required: 2,
    };
    const ARGS: Rest = Rest { name: "arg", required: false };
    let (parsed, rest) = SYNTAX.parse_with_rest(interp, name, args, &ARGS)?;
    let when = moment(parsed.word(0).obj)?;
    let script = parsed.word(1).obj.text();
    let script = if rest.is_empty() {
        script.into_owned()
    } else {
        format!("{script} {}", Obj::from_list(rest).text())
    };
    TRACES.lock().push((when, script));
    Ok(())
}

fn gettraces(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let scripts = traces(interp, name, args)?;
    interp.set_result(&list(&scripts));
    Ok(())
}

fn runtraces(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    for script in traces(interp, name, args)? {
        let completion = crate::tcl::script::completion(interp, interp.eval_global(&Obj::from_str(&script)));
        if let Completion::Error(message) = completion {
            home::log_script_error(interp, &message, "interpreter trace");
        }
    }
    interp.reset_result();
    Ok(())
}

fn traces(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Vec<String>, Error> {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("when", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let when = moment(parsed.word(0).obj)?;
    Ok(TRACES.lock().iter().filter(|(own, _)| *own == when).map(|(_, script)| script.clone()).collect())
}

/// `ns_library shared|private ?module?`: where Tcl files of modules are.
fn ns_library(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 2> = Syntax {
        options: [],
        ends_options: false,
        words: [word("kind", Kind::OneOf(&["private", "shared"])), word("module", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let server = config::server_name();
    let home = super::ns_info::home();
    let configured = |section: &str, key: &str| config::get(section, key).filter(|path| !path.is_empty());
    let mut path = if parsed.word(0).number() == 0 {
        let section = format!("ns/server/{server}/tcl");
        configured(&section, "library").unwrap_or_else(|| format!("{home}/servers/{server}/modules/tcl"))
    } else {
        configured("ns/parameters", "tcllibrary").unwrap_or_else(|| format!("{home}/tcl"))
    };
    if let Some(module) = parsed.words[1] {
        path = format!("{path}/{}", module.obj.text());
    }
    interp.set_result(&Obj::from_str(&path));
    Ok(())
}

/// `ns_moduleload name file`: there are no binary modules here.
fn ns_moduleload(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 2> = Syntax {
        options: [Opt::flag("-global"), Opt::valued("-init", Kind::Any, "value")],
        ends_options: true,
        words: [word("module", Kind::Any), word("file", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let message =
        format!("could not load binary module \"{}\": there are none here", parsed.word(0).obj.text());
    Err(Error::with_code(message, &["NS_CONNCHAN", "MODULE"]).into())
}
