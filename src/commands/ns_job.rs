//! `ns_job` (spec/support.md 4.15).

use crate::base::time_value::{system_time_dotted, TimeValue};
use crate::jobs::crew;
use crate::jobs::queue::{self, queues, Job, Request, State, DEFAULT_THREADS};
use crate::tcl::args::{word, Kind, Opt, Syntax, MAX_INT};
use crate::tcl::command::CommandProc;
use crate::tcl::{subcommand, Interp, Obj, Outcome};
use std::time::SystemTime;

/// The commands of this file.
pub(super) const COMMANDS: &[(&str, CommandProc)] = &[("ns_job", command)];

type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Outcome;

const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("cancel", cancel),
    ("configure", configure),
    ("create", create),
    ("delete", delete),
    ("exists", exists),
    ("genid", genid),
    ("joblist", joblist),
    ("jobs", jobs),
    ("queue", queue),
    ("queuelist", queuelist),
    ("queues", queue_names),
    ("threadlist", threadlist),
    ("wait", wait),
    ("waitany", waitany),
];

/// The command `ns_job`.
fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let run = subcommand::exact(words, SUBCOMMANDS)?;
    run(interp, &words[..2], &words[2..])
}

const QUEUE: crate::tcl::args::Word = word("queueId", Kind::Any);
const JOB: crate::tcl::args::Word = word("jobId", Kind::Any);
const NOTHING: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
const OF_QUEUE: Syntax<0, 1> = Syntax { options: [], ends_options: false, words: [QUEUE], required: 1 };
const OF_JOB: Syntax<0, 2> = Syntax { options: [], ends_options: false, words: [QUEUE, JOB], required: 2 };

fn text(value: &Obj) -> String {
    value.text().into_owned()
}

fn create(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 2> = Syntax {
        options: [Opt::valued("-desc", Kind::Any, "value")],
        ends_options: false,
        words: [QUEUE, word("maxthreads[1,MAX]", Kind::Range("maxthreads", 1, MAX_INT))],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let queue = parsed.word(0).obj;
    let most = parsed.words[1].map_or(DEFAULT_THREADS, |value| value.number() as usize);
    queues().create(&queue.text(), &parsed.text(0).unwrap_or_default(), most)?;
    interp.set_result(queue);
    Ok(())
}

fn queue(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 2> = Syntax {
        options: [Opt::flag("-detached"), Opt::flag("-head"), Opt::valued("-jobid", Kind::Any, "value")],
        ends_options: false,
        words: [QUEUE, word("script", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let id = parsed.text(2);
    let request = Request {
        queue: &parsed.word(0).obj.text(),
        script: &parsed.word(1).obj.text(),
        id: id.as_deref(),
        detached: parsed.has(0),
        at_head: parsed.has(1),
    };
    let id = queue::post(interp, &request)?;
    interp.set_result(&Obj::from_str(&id));
    Ok(())
}

const TIMEOUT: Opt = Opt::valued("-timeout", Kind::Time, "time");

fn wait(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 2> =
        Syntax { options: [TIMEOUT], ends_options: false, words: [QUEUE, JOB], required: 2 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let timeout = parsed.time(0).map(TimeValue::as_duration);
    match queue::wait(&parsed.word(0).obj.text(), &parsed.word(1).obj.text(), timeout)? {
        Ok(value) => {
            interp.set_result(&value.to_obj());
            Ok(())
        }
        Err(mut error) => {
            let call: Vec<Obj> = name.iter().chain(args).cloned().collect();
            error.info += &format!("\n    invoked from within\n\"{}\"", Obj::from_list(&call).text());
            Err(interp.raise(&error))
        }
    }
}

fn waitany(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> =
        Syntax { options: [TIMEOUT], ends_options: false, words: [QUEUE], required: 1 };
    let parsed = SYNTAX.parse(interp, name, args)?;
    queue::wait_any(&parsed.word(0).obj.text(), parsed.time(0).map(TimeValue::as_duration))?;
    Ok(())
}

fn cancel(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let parsed = OF_JOB.parse(interp, name, args)?;
    let running = queue::cancel(&parsed.word(0).obj.text(), &parsed.word(1).obj.text())?;
    interp.set_result(&Obj::from_int(i64::from(running)));
    Ok(())
}

fn delete(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let parsed = OF_QUEUE.parse(interp, name, args)?;
    Ok(queues().delete(&parsed.word(0).obj.text())?)
}

fn exists(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let parsed = OF_JOB.parse(interp, name, args)?;
    let id = text(parsed.word(1).obj);
    let found = queues().queue(&parsed.word(0).obj.text())?.jobs.iter().any(|job| job.id == id);
    interp.set_result(&Obj::from_int(i64::from(found)));
    Ok(())
}

fn jobs(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let parsed = OF_QUEUE.parse(interp, name, args)?;
    let mut all = queues();
    let ids = all.queue(&parsed.word(0).obj.text())?.jobs.iter().map(|job| Obj::from_str(&job.id));
    interp.set_result(&Obj::from_list(&ids.collect::<Vec<_>>()));
    Ok(())
}

fn joblist(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    let parsed = OF_QUEUE.parse(interp, name, args)?;
    let mut all = queues();
    let jobs = all.queue(&parsed.word(0).obj.text())?.jobs.iter().map(describe);
    interp.set_result(&Obj::from_list(&jobs.collect::<Vec<_>>()));
    Ok(())
}

fn describe(job: &Job) -> Obj {
    let word = Obj::from_str;
    let since = |from: Option<SystemTime>| from.map(system_time_dotted).unwrap_or_default();
    let (results, code) = match &job.outcome {
        Some(Ok(value)) => (value.to_obj(), "TCL_OK"),
        Some(Err(error)) => (word(&error.message), "TCL_ERROR"),
        None => (Obj::empty(), "TCL_OK"),
    };
    let begun = job.started.unwrap_or(job.queued);
    let until = job.ended.unwrap_or_else(SystemTime::now);
    let time = until.duration_since(begun).unwrap_or_default();
    let state = match job.state {
        State::Scheduled => "scheduled",
        State::Running => "running",
        State::Done => "done",
    };
    let requested = match (job.cancelled, job.awaited) {
        (true, _) => "cancel",
        (false, true) => "wait",
        (false, false) => "none",
    };
    Obj::from_pairs([
        ("id", word(&job.id)),
        ("state", word(state)),
        ("results", results),
        ("script", word(&job.script)),
        ("code", word(code)),
        ("type", word(if job.detached { "detached" } else { "nondetached" })),
        ("req", word(requested)),
        ("thread", word(&job.thread)),
        ("time", Obj::from_int(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))),
        ("starttime", word(&since(Some(begun)))),
        ("endtime", word(&since(job.ended))),
    ])
}

fn queue_names(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    let names: Vec<Obj> = queues().list.iter().map(|queue| Obj::from_str(&queue.name)).collect();
    interp.set_result(&Obj::from_list(&names));
    Ok(())
}

fn queuelist(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    let all = queues();
    let lists = all.list.iter().map(|queue| {
        Obj::from_pairs([
            ("name", Obj::from_str(&queue.name)),
            ("desc", Obj::from_str(&queue.description)),
            ("maxthreads", Obj::from_count(queue.max_threads as u64)),
            ("numrunning", Obj::from_count(queue.running as u64)),
            ("req", Obj::from_str(if queue.deleted { "delete" } else { "" })),
        ])
    });
    interp.set_result(&Obj::from_list(&lists.collect::<Vec<_>>()));
    Ok(())
}

fn threadlist(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    let all = queues();
    let (threads, idle) = all.threads();
    interp.set_result(&Obj::from_pairs([
        ("maxthreads", Obj::from_count(all.most_at_once() as u64)),
        ("numthreads", Obj::from_count(threads as u64)),
        ("numidle", Obj::from_count(idle as u64)),
        ("req", Obj::empty()),
    ]));
    Ok(())
}

fn genid(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    NOTHING.parse(interp, name, args)?;
    interp.set_result(&Obj::from_str(&queues().generate_name()));
    Ok(())
}

fn configure(interp: Interp, name: &[Obj], args: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<3, 0> = Syntax {
        options: [
            Opt::valued("-jobsperthread", Kind::Range("-jobsperthread", 0, MAX_INT), "integer[0,MAX]"),
            Opt::valued("-logminduration", Kind::Time, "time"),
            TIMEOUT,
        ],
        ends_options: false,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let mut all = queues();
    let settings = &mut all.settings;
    if let Some(jobs) = parsed.options[0] {
        settings.jobs_per_thread = jobs.number() as usize;
    }
    settings.log_min_duration = parsed.time(1).unwrap_or(settings.log_min_duration);
    settings.timeout = parsed.time(2).unwrap_or(settings.timeout);
    let settings = *settings;
    crew::dismiss(&mut all);
    interp.set_result(&Obj::from_pairs([
        ("jobsperthread", Obj::from_count(settings.jobs_per_thread as u64)),
        ("timeout", Obj::from_str(&settings.timeout.dotted())),
        ("logminduration", Obj::from_str(&settings.log_min_duration.dotted())),
    ]));
    Ok(())
}
