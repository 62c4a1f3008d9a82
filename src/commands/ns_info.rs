//! `ns_info`, `ns_server`, `ns_accesslog` (spec/support.md 4.10, 4.18, 6.7):
//! what programs ask about the server they run in.

use crate::base::time_value::system_time_dotted;
use crate::base::{config, log, Error};
use crate::jobs::timetable;
use crate::net::sys;
use crate::tcl::args::{bad_option, word, Kind, Opt, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{evaluating, subcommand, Interp, Obj, Outcome};
use once_cell::sync::Lazy;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The commands of this file.
pub(super) const COMMANDS: &[(&str, CommandProc)] =
    &[("ns_accesslog", ns_accesslog), ("ns_info", ns_info), ("ns_server", ns_server)];

/// What programs compare with: that they run in a NaviServer of this version
/// or later.
const VERSION: &str = "5.2";
const PATCH_LEVEL: &str = "5.2.0a";

/// When the package was loaded.
static BOOT: Lazy<(SystemTime, Instant)> = Lazy::new(|| (SystemTime::now(), Instant::now()));

/// Notes the time of the start, unless that has happened.
pub(super) fn booted() {
    Lazy::force(&BOOT);
}

type Question = fn(Interp) -> Result<Obj, Error>;

const QUESTIONS: &[(&str, Question)] = &[
    ("address", |_| Ok(text(&address()))),
    ("argv", |interp| Ok(interp.global(c"argv").unwrap_or_else(Obj::empty))),
    ("argv0", |interp| Ok(interp.global(c"argv0").unwrap_or_else(Obj::empty))),
    ("bindir", |interp| Ok(text(parent(&program(interp)?)))),
    ("boottime", |_| Ok(Obj::from_count(seconds(BOOT.0)))),
    ("builddate", |_| Ok(Obj::empty())),
    ("buildinfo", buildinfo),
    ("callbacks", nothing),
    ("config", |_| Ok(Obj::empty())),
    ("home", |_| Ok(text(&home()))),
    ("hostname", |_| Ok(text(&sys::host_name()))),
    ("ipv6", |_| Ok(Obj::from_int(1))),
    ("locks", nothing),
    ("log", |_| Ok(text(&setting("ns/parameters", "systemlog", "STDERR")))),
    ("logdir", |_| Ok(text(&log_folder()))),
    ("major", |_| Ok(text(VERSION.split('.').next().unwrap_or_default()))),
    ("meminfo", nothing),
    ("mimetypes", nothing),
    ("minor", |_| Ok(text(VERSION.split('.').nth(1).unwrap_or_default()))),
    ("name", |_| Ok(text("NaviServer"))),
    ("nsd", |interp| Ok(text(&program(interp)?))),
    ("pagedir", |_| Ok(text(&page_folder()))),
    ("pageroot", |_| Ok(text(&page_folder()))),
    ("patchlevel", |_| Ok(text(PATCH_LEVEL))),
    ("pid", |_| Ok(Obj::from_int(i64::from(std::process::id())))),
    ("platform", |_| Ok(text("linux"))),
    ("pools", nothing),
    ("scheduled", scheduled),
    ("server", |_| Ok(text(&config::server_name()))),
    ("servers", |_| Ok(Obj::from_list(&[text(&config::server_name())]))),
    ("shutdownpending", |_| Ok(Obj::from_int(i64::from(crate::threads::is_exiting())))),
    ("sockcallbacks", nothing),
    ("ssl", |_| Ok(Obj::from_int(1))),
    ("started", |_| Ok(Obj::from_int(1))),
    ("tag", |_| Ok(text(concat!("ns_connchan ", env!("CARGO_PKG_VERSION"))))),
    ("tcllib", |_| Ok(text(&format!("{}/tcl", home())))),
    ("threads", threads),
    ("uptime", |_| Ok(Obj::from_count(BOOT.1.elapsed().as_secs()))),
    ("version", |_| Ok(text(VERSION))),
    ("winnt", |_| Ok(Obj::from_int(0))),
];

/// The command `ns_info`.
fn ns_info(interp: Interp, words: &[Obj]) -> Outcome {
    if words.len() != 2 {
        return Err(Error::usage(&format!("{} /subcommand/", words[0].text())).into());
    }
    let answer = subcommand::prefix(words, QUESTIONS)?.entry;
    interp.set_result(&answer(interp)?);
    Ok(())
}

fn text(value: &str) -> Obj {
    Obj::from_str(value)
}

fn setting(section: &str, key: &str, default: &str) -> String {
    config::get(section, key).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
}

/// The home directory: parameter `home` of `ns/parameters`, else where the
/// process runs.
pub(super) fn home() -> String {
    let here = || std::env::current_dir().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    config::get("ns/parameters", "home").filter(|home| !home.is_empty()).unwrap_or_else(here)
}

fn log_folder() -> String {
    let log = setting("ns/parameters", "systemlog", "");
    let folder = parent(&log).to_owned();
    setting("ns/parameters", "logdir", if folder.is_empty() { "." } else { &folder })
}

/// Where pages are.
fn page_folder() -> String {
    let server = config::server_name();
    let configured = setting(&format!("ns/server/{server}/fastpath"), "pagedir", "pages");
    if configured.starts_with('/') {
        return configured;
    }
    format!("{}/{configured}", home())
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn program(interp: Interp) -> Result<String, Error> {
    let result = evaluating::call(interp, &[text("::info"), text("nameofexecutable")])?;
    Ok(result.text().into_owned())
}

fn address() -> String {
    let host = sys::host_name();
    let found = crate::net::address::resolve(&host, 0).ok();
    found
        .and_then(|all| all.first().map(|address| address.ip().to_string()))
        .unwrap_or_else(|| "127.0.0.1".into())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn nothing(_interp: Interp) -> Result<Obj, Error> {
    Ok(Obj::empty())
}

fn buildinfo(interp: Interp) -> Result<Obj, Error> {
    let patch = interp.global(c"tcl_patchLevel").unwrap_or_else(Obj::empty);
    Ok(Obj::from_pairs([
        ("compiler", text("rustc")),
        ("assertions", Obj::from_int(0)),
        ("system_malloc", Obj::from_int(1)),
        ("with_deprecated", Obj::from_int(1)),
        ("tcl", patch),
    ]))
}

/// What is scheduled: id, flags, interval, times, script.
fn scheduled(_interp: Interp) -> Result<Obj, Error> {
    let entries: Vec<Obj> = timetable::list()
        .into_iter()
        .map(|entry| {
            let time = |time: Option<SystemTime>| text(&time.map(system_time_dotted).unwrap_or_default());
            let [queued, started, ended] = entry.last;
            Obj::from_list(&[
                Obj::from_count(entry.id),
                Obj::from_list(&entry.flags.iter().map(|flag| text(flag)).collect::<Vec<_>>()),
                Obj::from_count(entry.interval.as_secs()),
                time(Some(entry.next)),
                time(queued),
                time(started),
                time(ended),
                text("ns:tclsched"),
                text(&entry.script),
            ])
        })
        .collect();
    Ok(Obj::from_list(&entries))
}

/// The threads of the process: name, parent, id, flags, time of the begin,
/// procedure and argument, as far as they are known.
fn threads(_interp: Interp) -> Result<Obj, Error> {
    let boot = Obj::from_count(seconds(BOOT.0));
    let own = Obj::from_list(&[
        text(&log::thread_name()),
        Obj::empty(),
        text(&format!("{:x}", sys::thread_id())),
        Obj::from_int(0),
        boot,
        text("p:0x0"),
        text("a:0x0"),
    ]);
    let mut all = vec![own];
    let here = crate::threads::Worker::current();
    for worker in crate::threads::workers().iter().filter(|worker| here.as_ref() != Some(worker)) {
        all.push(Obj::from_list(&[
            text(worker.name()),
            text("-main-"),
            Obj::empty(),
            Obj::from_int(0),
            Obj::empty(),
            text("ns:tclthread"),
            Obj::empty(),
        ]));
    }
    Ok(Obj::from_list(&all))
}

/// The questions that `ns_server` answers itself.
const SERVER: &[(&str, Question)] = &[
    ("active", nothing),
    ("all", nothing),
    ("connections", |_| Ok(Obj::from_int(0))),
    ("filters", nothing),
    ("hosts", nothing),
    ("keepalive", |_| Ok(Obj::from_int(0))),
    ("logdir", |_| Ok(text(&log_folder()))),
    ("map", nothing),
    ("mapped", nothing),
    ("maxthreads", |_| Ok(Obj::from_int(0))),
    ("minthreads", |_| Ok(Obj::from_int(0))),
    ("modules", |_| Ok(modules())),
    ("pagedir", |_| Ok(text(&page_folder()))),
    ("pools", |_| Ok(Obj::from_list(&[Obj::empty()]))),
    ("queued", nothing),
    ("requestprocs", nothing),
    ("serverdir", |_| Ok(text(&setting("ns/parameters", "serverdir", &home())))),
    ("stats", |_| Ok(stats())),
    ("tcllib", |_| Ok(text(&tcl_library()))),
    ("threads", |_| Ok(thread_counts())),
    ("traces", nothing),
    ("unmap", nothing),
    ("url2file", nothing),
    ("vhostenabled", |_| Ok(Obj::from_int(0))),
    ("waiting", |_| Ok(Obj::from_int(0))),
];

/// The command `ns_server`: the server is the one of the process.
fn ns_server(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 2> = Syntax {
        options: [
            Opt::valued("-server", Kind::Checked(super::server::check), "server"),
            Opt::valued("-pool", Kind::Any, "value"),
        ],
        ends_options: true,
        words: [word("subcommand", Kind::Any), word("arg", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let given = parsed.word(0).obj.text();
    let names: Vec<&str> = SERVER.iter().map(|(name, _)| *name).collect();
    let found = SERVER.iter().find(|(name, _)| *name == given);
    let (name, answer) = found.ok_or_else(|| bad_option("", "option", &given, &names))?;
    if let (&"url2file", Some(url)) = (name, parsed.words[1]) {
        let path = format!("{}/{}", page_folder(), url.obj.text().trim_start_matches('/'));
        interp.set_result(&text(&path));
        return Ok(());
    }
    interp.set_result(&answer(interp)?);
    Ok(())
}

fn modules() -> Obj {
    let section = format!("ns/server/{}/modules", config::server_name());
    let pairs = config::pairs(&section).unwrap_or_default();
    Obj::from_list(&pairs.iter().map(|(name, _)| text(name)).collect::<Vec<_>>())
}

fn tcl_library() -> String {
    let server = config::server_name();
    let default = format!("{}/servers/{server}/modules/tcl", home());
    setting(&format!("ns/server/{server}/tcl"), "library", &default)
}

fn thread_counts() -> Obj {
    let zero = || Obj::from_int(0);
    let keys = ["min", "max", "current", "idle", "stopping"];
    Obj::from_pairs(keys.map(|key| (key, zero())))
}

fn stats() -> Obj {
    let keys = [
        "requests",
        "spools",
        "queued",
        "dropped",
        "sent",
        "connthreads",
        "accepttime",
        "queuetime",
        "filtertime",
        "runtime",
        "tracetime",
    ];
    Obj::from_pairs(keys.map(|key| (key, Obj::from_int(0))))
}

/// The settings of the access log: section `ns/server/SERVER/module/nslog`.
const ACCESS_LOG: &[(&str, (&str, &str))] = &[
    ("rollfmt", ("rollfmt", "")),
    ("maxbackup", ("maxbackup", "100")),
    ("maxbuffer", ("maxbuffer", "0")),
    ("extendedheaders", ("extendedheaders", "")),
    ("flags", ("flags", "")),
    ("file", ("file", "")),
    ("roll", ("", "")),
];

/// `ns_accesslog`: no access log is written; its settings are those configured.
fn ns_accesslog(interp: Interp, words: &[Obj]) -> Outcome {
    let found = subcommand::prefix(words, ACCESS_LOG)?;
    let (key, default) = found.entry;
    if words.len() > 3 {
        return Err(
            Error::usage(&format!("{} {} ?/value/?", found.name[0].text(), found.name[1].text())).into()
        );
    }
    let section = format!("ns/server/{}/module/nslog", config::server_name());
    if let Some(value) = words.get(2) {
        if !key.is_empty() {
            config::update(&section, key, &value.text());
        }
    }
    interp.set_result(&text(&setting(&section, key, default)));
    Ok(())
}
