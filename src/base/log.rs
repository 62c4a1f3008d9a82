//! The system log: severities that can be switched on and off, and lines in
//! NaviServer's form written to stderr or a file.
//!
//! All of it is process wide and may be used from every thread. The
//! configuration decides on the target: parameter `systemlog` of section
//! `ns/parameters` names a file, `logusec` adds microseconds to the time.

use super::error::{Error, Result};
use super::{config, log_file};
use crate::net::sys;
use parking_lot::RwLock;
use std::cell::RefCell;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// One severity of the log, built in or made by a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Severity(usize);

/// Something a reader of the log may want to know.
pub const NOTICE: Severity = Severity(0);
/// Something odd that was dealt with.
pub const WARNING: Severity = Severity(1);
/// Something failed.
pub const ERROR: Severity = Severity(2);
/// Something after which going on makes no sense; always on.
pub const FATAL: Severity = Severity(3);
/// Something that cannot happen did.
pub const BUG: Severity = Severity(4);
/// Details for whoever looks for a fault.
pub const DEBUG: Severity = Severity(5);
/// Use of something that will go away.
pub const DEPRECATED: Severity = Severity(6);
/// Notes of developers to themselves.
pub const DEV: Severity = Severity(7);
/// Something that smells of an attack.
pub const SECURITY: Severity = Severity(8);
/// Details about HTTP drivers.
pub const DEBUG_DRIVER: Severity = Severity(9);
/// Details about responses sent in the background.
pub const DEBUG_WRITER: Severity = Severity(10);
/// Details about tasks in the background.
pub const DEBUG_TASK: Severity = Severity(11);
/// Details about HTTP requests.
pub const DEBUG_REQUEST: Severity = Severity(12);
/// Details about connection channels.
pub const DEBUG_CONNCHAN: Severity = Severity(13);

/// Names and initial states of the built-in severities; the position is the
/// number that `ns_log` accepts in place of a name.
const BUILTIN: [(&str, bool); 19] = [
    ("Notice", true),
    ("Warning", true),
    ("Error", true),
    ("Fatal", true),
    ("Bug", true),
    ("Debug", false),
    ("Deprecated", true),
    ("Dev", false),
    ("Security", true),
    ("Debug(ns:driver)", false),
    ("Debug(writer)", false),
    ("Debug(task)", false),
    ("Debug(request)", false),
    ("Debug(connchan)", false),
    ("Debug(urlspace)", false),
    ("Debug(access)", false),
    ("Debug(timeout)", false),
    ("Debug(nsset)", false),
    ("Debug(memory)", false),
];

/// How many of the built-in severities may also be spelled in lower case.
const PLAIN: usize = 9;

/// How many severities there can be, so that a script that makes up names
/// does not grow the process without bound.
const MAX_SEVERITIES: usize = 640;

/// The state of each severity, apart from the names: asking for it is all that
/// a disabled severity costs.
static ENABLED: [AtomicBool; MAX_SEVERITIES] = initial_states();

/// The names of the severities made later, numbered on from the built-in ones.
static ADDED: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// How many lines of each severity there have been.
static COUNTS: [AtomicU64; MAX_SEVERITIES] = [const { AtomicU64::new(0) }; MAX_SEVERITIES];

thread_local! {
    /// The calling thread's name, where it was given one.
    static THREAD_NAME: RefCell<Option<String>> = const { RefCell::new(None) };
}

const fn initial_states() -> [AtomicBool; MAX_SEVERITIES] {
    let mut states = [const { AtomicBool::new(false) }; MAX_SEVERITIES];
    let mut i = 0;
    while i < BUILTIN.len() {
        states[i] = AtomicBool::new(BUILTIN[i].1);
        i += 1;
    }
    states
}

/// Finds a severity by name or number. The plain ones go by the listed name
/// or all in lower case, `Debug(x)` and those made later by exact name only.
///
/// # Errors
///
/// `unknown severity: "x": should be one of: ...` with all names.
pub fn lookup(text: &str) -> Result<Severity> {
    find(text, &ADDED.read()).ok_or_else(|| {
        let mut message = format!("unknown severity: \"{text}\": should be one of: ");
        for name in names() {
            message.push_str(&name);
            message.push(' ');
        }
        Error::new(message)
    })
}

fn find(text: &str, added: &[String]) -> Option<Severity> {
    let plain = |name: &str| name.to_ascii_lowercase() == text;
    let builtin = |i: usize| text == BUILTIN[i].0 || (i < PLAIN && plain(BUILTIN[i].0));
    (0..BUILTIN.len())
        .find(|&i| builtin(i))
        .or_else(|| added.iter().position(|name| name == text).map(|i| BUILTIN.len() + i))
        .or_else(|| text.parse().ok().filter(|&i| i < BUILTIN.len() + added.len()))
        .map(Severity)
}

/// Whether lines of this severity are written.
#[inline]
pub fn enabled(severity: Severity) -> bool {
    ENABLED[severity.0].load(Ordering::Relaxed)
}

/// Switches a severity on or off; the answer is its former state. `FATAL`
/// stays on.
pub fn set_enabled(severity: Severity, on: bool) -> bool {
    ENABLED[severity.0].swap(on || severity == FATAL, Ordering::Relaxed)
}

/// Switches the severity called `name` on or off, as [`set_enabled`] does. One
/// that does not exist is made, and was off before.
///
/// # Errors
///
/// When there are too many severities already.
pub fn set_state(name: &str, on: bool) -> Result<bool> {
    let mut added = ADDED.write();
    let severity = match find(name, &added) {
        Some(severity) => severity,
        None if BUILTIN.len() + added.len() == MAX_SEVERITIES => {
            let message = format!("cannot make severity \"{name}\": there are {MAX_SEVERITIES} already");
            return Err(Error::new(message));
        }
        None => {
            added.push(name.to_string());
            Severity(BUILTIN.len() + added.len() - 1)
        }
    };
    Ok(set_enabled(severity, on))
}

/// The names of all severities, in the order of their numbers.
pub fn names() -> Vec<String> {
    let added = ADDED.read();
    BUILTIN.iter().map(|(name, _)| name.to_string()).chain(added.iter().cloned()).collect()
}

/// The name of a severity.
pub fn name_of(severity: Severity) -> String {
    match BUILTIN.get(severity.0) {
        Some((name, _)) => name.to_string(),
        None => ADDED.read()[severity.0 - BUILTIN.len()].clone(),
    }
}

/// Names the calling thread in the log.
pub fn set_thread_name(name: &str) {
    THREAD_NAME.with(|own| *own.borrow_mut() = Some(name.to_string()));
}

/// The calling thread's name in the log: what [`set_thread_name`] gave it, else
/// `-main-` for the process's first thread and `-thread:ID-` for others.
pub fn thread_name() -> String {
    // A thread may still log while its thread-local values are being dropped.
    let given = THREAD_NAME.try_with(|own| own.borrow().clone()).ok().flatten();
    given.unwrap_or_else(|| match sys::thread_id() {
        id if id == i64::from(process::id()) => "-main-".to_string(),
        id => format!("-thread:{id:x}-"),
    })
}

/// Name and number of lines of each severity, in the order of their numbers.
pub fn counts() -> Vec<(String, u64)> {
    names().into_iter().zip(&COUNTS).map(|(name, count)| (name, count.load(Ordering::Relaxed))).collect()
}

/// Writes one line, unless the severity is disabled. Line breaks within `text`
/// are kept. Where it goes is for `log_file` to say.
pub fn write(severity: Severity, text: &str) {
    if !enabled(severity) {
        return;
    }
    let with_usec = config::get_bool("ns/parameters", "logusec", false);
    let line = format_line(&name_of(severity), SystemTime::now(), with_usec, text);
    COUNTS[severity.0].fetch_add(1, Ordering::Relaxed);
    log_file::write(line);
}

/// `[22/Nov/2026:01:00:15][PID.THREADID][THREADNAME] Notice: text`, local time.
fn format_line(severity: &str, now: SystemTime, with_usec: bool, text: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day, hour, min, sec) =
        sys::local_time(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
    let month = usize::try_from(month).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"???");
    let usec = if with_usec { format!(".{:06}", since_epoch.subsec_micros()) } else { String::new() };
    format!(
        "[{day:02}/{month}/{year}:{hour:02}:{min:02}:{sec:02}{usec}][{}.{:x}][{}] {severity}: {text}\n",
        process::id(),
        sys::thread_id(),
        thread_name(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn names_begin_with_the_built_in_severities() {
        let names = names();
        let plain = ["Notice", "Warning", "Error", "Fatal", "Bug", "Debug", "Deprecated", "Dev", "Security"];
        assert_eq!(names[..PLAIN], plain);
        assert_eq!(names[PLAIN], "Debug(ns:driver)");
        assert_eq!(names[BUILTIN.len() - 1], "Debug(memory)");
    }

    #[test]
    fn constants_are_the_severities_of_their_names() {
        for (severity, name) in [
            (NOTICE, "Notice"),
            (WARNING, "Warning"),
            (ERROR, "Error"),
            (FATAL, "Fatal"),
            (BUG, "Bug"),
            (DEBUG, "Debug"),
            (DEPRECATED, "Deprecated"),
            (DEV, "Dev"),
            (SECURITY, "Security"),
            (DEBUG_DRIVER, "Debug(ns:driver)"),
            (DEBUG_WRITER, "Debug(writer)"),
            (DEBUG_TASK, "Debug(task)"),
            (DEBUG_REQUEST, "Debug(request)"),
            (DEBUG_CONNCHAN, "Debug(connchan)"),
        ] {
            assert_eq!(lookup(name), Ok(severity));
            assert_eq!(name_of(severity), name);
        }
    }

    #[test]
    fn spelling_of_severities() {
        assert_eq!(lookup("notice"), Ok(NOTICE));
        assert_eq!(lookup("2"), Ok(ERROR));
        for text in ["NOTICE", "nOtice", "debug(connchan)", "info", "", "-1", "640", "Debug(never made)"] {
            let message = lookup(text).expect_err(text).message;
            let start = format!("unknown severity: \"{text}\": should be one of: Notice Warning Error ");
            assert!(message.starts_with(&start) && message.ends_with(' '), "{message}");
        }
    }

    #[test]
    fn initial_states_are_those_of_the_reference() {
        for severity in [NOTICE, WARNING, ERROR, FATAL, BUG, DEPRECATED, SECURITY] {
            assert!(enabled(severity));
        }
        for severity in [DEV, DEBUG_TASK, DEBUG_REQUEST] {
            assert!(!enabled(severity));
        }
    }

    #[test]
    fn states_can_be_changed_except_that_of_fatal() {
        assert!(!set_enabled(DEBUG_DRIVER, true));
        assert!(enabled(DEBUG_DRIVER));
        assert!(set_enabled(DEBUG_DRIVER, false));
        assert!(!enabled(DEBUG_DRIVER));
        assert!(set_enabled(FATAL, false));
        assert!(enabled(FATAL));
    }

    #[test]
    fn naming_an_unknown_severity_makes_it() {
        assert_eq!(set_state("Debug(log test)", false), Ok(false));
        assert_eq!(set_state("Debug(log test)", true), Ok(false));
        assert_eq!(set_state("Debug(log test)", true), Ok(true));
        let severity = lookup("Debug(log test)").expect("just made");
        assert!(enabled(severity) && severity.0 >= BUILTIN.len());
        assert!(lookup("debug(log test)").is_err());
        assert!(names().contains(&"Debug(log test)".to_string()));
        assert_eq!(lookup(&severity.0.to_string()), Ok(severity));
    }

    #[test]
    fn a_line_has_the_form_of_the_reference() {
        let now = UNIX_EPOCH + Duration::from_micros(1_795_309_096_000_042);
        let (pid, tid) = (process::id(), sys::thread_id());
        let line = format_line("Notice", now, false, "one\ntwo");
        let (time, rest) = line.split_once(']').expect("a time in brackets");
        assert_eq!(rest, format!("[{pid}.{tid:x}][-thread:{tid:x}-] Notice: one\ntwo\n"));
        assert!(time.contains("/Nov/2026:") && time.len() == "[22/Nov/2026:01:00:15".len(), "{time}");

        let line = format_line("Notice", now, true, "");
        assert!(line.contains(".000042][") && line.ends_with("] Notice: \n"), "{line}");
    }

    #[test]
    fn a_thread_name_belongs_to_its_thread() {
        let named = thread::spawn(|| {
            set_thread_name("-socks-");
            thread_name()
        });
        assert_eq!(named.join().expect("the thread only asks its name"), "-socks-");
        assert!(thread_name().starts_with("-thread:"));
    }

    #[test]
    fn the_configuration_decides_on_the_target() {
        let path = std::env::temp_dir().join(format!("ns_connchan-log-{}", process::id()));
        fs::write(&path, "before\n").expect("the temporary directory is writable");
        let name = path.to_str().expect("the temporary directory has a plain name");
        config::update("ns/parameters", "systemlog", name);
        config::update("ns/parameters", "logusec", "true");

        write(NOTICE, "the log test's notice");
        write(DEBUG_WRITER, "the log test's debug line");
        config::add("test/log", "number", "4x");
        assert_eq!(config::get_int("test/log", "number", 1), 1);
        assert_eq!(config::get_int("test/log", "number", 2), 2);

        config::update("ns/parameters", "systemlog", "");
        config::update("ns/parameters", "logusec", "false");
        let text = fs::read_to_string(&path).expect("the file exists");
        fs::remove_file(&path).expect("the file exists");
        assert!(text.starts_with("before\n["), "{text}");
        assert_eq!(text.matches("] Notice: the log test's notice\n").count(), 1, "{text}");
        assert!(!text.contains("debug line"), "{text}");
        let warning =
            "] Warning: config section test/log, parameter number: expected integer but got \"4x\"\n";
        assert_eq!(text.matches(warning).count(), 1, "{text}");
    }
}
