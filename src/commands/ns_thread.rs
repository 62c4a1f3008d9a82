//! `ns_thread` (spec/support.md 4.17).

use crate::base::log;
use crate::jobs::strand;
use crate::net::sys;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{subcommand, Interp, Obj, Outcome};

/// The commands of this file.
pub(super) const COMMANDS: &[(&str, CommandProc)] = &[("ns_thread", command)];

type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Outcome;

/// Some have an old name as well.
const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("begin", begin),
    ("begindetached", begin_detached),
    ("create", create),
    ("get", handle),
    ("getid", id),
    ("handle", handle),
    ("id", id),
    ("join", wait),
    ("name", name),
    ("stackinfo", stackinfo),
    ("wait", wait),
    ("yield", give_way),
];

const NOTHING: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };

/// The command `ns_thread`.
fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let run = subcommand::exact(words, SUBCOMMANDS)?;
    run(interp, &words[..2], &words[2..])
}

fn start(interp: Interp, name: &str, script: &Obj, detached: bool) -> Outcome {
    if let Some(handle) = strand::create(interp, name, &script.text(), detached)? {
        interp.set_result(&Obj::from_str(&handle));
    } else {
        interp.reset_result();
    }
    Ok(())
}

fn create(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 1> = Syntax {
        options: [Opt::flag("-detached"), Opt::valued("-name", Kind::Any, "value")],
        ends_options: true,
        words: [word("script", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    start(interp, &parsed.text(1).unwrap_or_default(), parsed.word(0).obj, parsed.has(0))
}

const NAMED: Syntax<1, 1> = Syntax {
    options: [Opt::valued("-name", Kind::Any, "value")],
    ends_options: true,
    words: [word("script", Kind::Any)],
    required: 1,
};

fn begin(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let parsed = NAMED.parse(interp, name, args)?;
    start(interp, &parsed.text(0).unwrap_or_default(), parsed.word(0).obj, false)
}

fn begin_detached(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let parsed = NAMED.parse(interp, name, args)?;
    start(interp, &parsed.text(0).unwrap_or_default(), parsed.word(0).obj, true)
}

fn wait(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("threadid", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let result = match strand::wait(&parsed.word(0).obj.text())? {
        Ok(value) => value.to_obj(),
        // No error is raised, as in the reference.
        Err(error) => Obj::from_str(&error.info),
    };
    interp.set_result(&result);
    Ok(())
}

fn handle(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    interp.set_result(&Obj::from_str(&strand::own_handle()));
    Ok(())
}

fn id(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    interp.set_result(&Obj::from_str(&format!("{:x}", sys::thread_id())));
    Ok(())
}

fn name(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("name", Kind::Any)], required: 0 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    if let Some(name) = parsed.words[0] {
        log::set_thread_name(&name.obj.text());
    }
    interp.set_result(&Obj::from_str(&log::thread_name()));
    Ok(())
}

/// The reference shows addresses of the stack; there is nothing to learn from.
fn stackinfo(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    Ok(())
}

fn give_way(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    std::thread::yield_now();
    Ok(())
}
