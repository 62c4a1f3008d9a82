//! The timetable: scripts that run once, at intervals, daily or weekly, in the
//! event loop of the interpreter that scheduled them (spec/support.md 6.2).
//!
//! Entries are numbered for the whole process, and may be paused, resumed or
//! removed from any thread. One whose interpreter has gone is gone, too.

use crate::base::{log, Result};
use crate::connchan::desk::{Desk, Letter, Ticket};
use crate::connchan::home;
use crate::net::sys;
use crate::tcl::script::{Completion, Script};
use crate::tcl::{Interp, Obj};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once, after this time.
    After(Duration),
    /// Again and again, this time from one begin to the next.
    Every(Duration),
    /// At a time of the day, on every day or on one of the week (0 is Sunday).
    Daily {
        /// Day of the week.
        day: Option<u8>,
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
    },
}

/// A script and the words appended to it, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The script, or the begin of a command.
    pub script: String,
    /// Words behind it.
    pub args: Vec<String>,
}

impl Words {
    /// The call in an interpreter.
    pub fn call(&self) -> (Rc<Script>, Vec<Obj>) {
        let script = Rc::new(Script::new(&Obj::from_str(&self.script)));
        (script, self.args.iter().map(|arg| Obj::from_str(arg)).collect())
    }

    /// One script that does the same.
    pub fn joined(&self) -> String {
        if self.args.is_empty() {
            return self.script.clone();
        }
        let args: Vec<Obj> = self.args.iter().map(|arg| Obj::from_str(arg)).collect();
        format!("{} {}", self.script, Obj::from_list(&args).text())
    }
}

/// Runs a script elsewhere: in a thread of its own.
pub type Spawn = fn(Interp, &Words) -> Result<()>;

struct Entry {
    desk: Desk,
    when: When,
    once: bool,
    /// For `-thread`: who runs it.
    spawn: Option<Spawn>,
    words: Words,
    ticket: Option<Ticket>,
    /// When the next run is due; that of a paused entry is past.
    due: Instant,
    paused: bool,
    /// Wall times, for listings.
    queued: Option<SystemTime>,
    started: Option<SystemTime>,
    ended: Option<SystemTime>,
}

/// What is known of an entry.
pub struct Listed {
    /// Its number.
    pub id: u64,
    /// `once`, `thread`, `daily`, `weekly`, `paused`.
    pub flags: Vec<&'static str>,
    /// Seconds between runs; 0 for those at times of the day.
    pub interval: Duration,
    /// When it is to run next.
    pub next: SystemTime,
    /// When it was last due, began, and ended.
    pub last: [Option<SystemTime>; 3],
    /// Its script.
    pub script: String,
}

#[derive(Default)]
struct Table {
    serial: u64,
    entries: BTreeMap<u64, Entry>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { serial: 0, entries: BTreeMap::new() });

/// Enters a script; its number.
///
/// # Errors
/// The interpreter is being deleted.
pub fn add(desk: Desk, when: When, once: bool, spawn: Option<Spawn>, words: Words) -> Result<u64> {
    let mut table = TABLE.lock();
    let id = table.serial;
    table.serial += 1;
    let due = next(when, Instant::now());
    let entry = Entry {
        desk,
        when,
        once: once || matches!(when, When::After(_)),
        spawn,
        words,
        ticket: None,
        due,
        paused: false,
        queued: None,
        started: None,
        ended: None,
    };
    table.entries.insert(id, entry);
    table.entries.retain(|_, entry| !entry.desk.is_closed());
    post(&mut table, id)?;
    Ok(id)
}

/// Removes an entry; false when there is none of that number. One that is
/// running goes on to its end.
pub fn remove(id: u64) -> bool {
    let removed = TABLE.lock().entries.remove(&id);
    let Some(entry) = removed else { return false };
    if let Some(ticket) = entry.ticket {
        entry.desk.take_back(ticket);
    }
    !entry.desk.is_closed()
}

/// Keeps an entry from running; false when there is none, or it is paused.
pub fn pause(id: u64) -> bool {
    let mut table = TABLE.lock();
    let Some(entry) = table.entries.get_mut(&id).filter(|e| !e.paused && !e.desk.is_closed()) else {
        return false;
    };
    entry.paused = true;
    if let Some(ticket) = entry.ticket.take() {
        entry.desk.take_back(ticket);
    }
    true
}

/// Lets a paused entry run again, one interval from now.
pub fn resume(id: u64) -> bool {
    let mut table = TABLE.lock();
    let Some(entry) = table.entries.get_mut(&id).filter(|e| e.paused && !e.desk.is_closed()) else {
        return false;
    };
    entry.paused = false;
    entry.due = next(entry.when, Instant::now());
    post(&mut table, id).is_ok()
}

/// All entries.
pub fn list() -> Vec<Listed> {
    let (now, wall) = (Instant::now(), SystemTime::now());
    let table = TABLE.lock();
    let entries = table.entries.iter().filter(|(_, entry)| !entry.desk.is_closed());
    entries
        .map(|(id, entry)| {
            let mut flags = Vec::new();
            let mut flag = |on: bool, name| on.then(|| flags.push(name));
            flag(entry.once, "once");
            flag(entry.spawn.is_some(), "thread");
            flag(matches!(entry.when, When::Daily { day: None, .. }), "daily");
            flag(matches!(entry.when, When::Daily { day: Some(_), .. }), "weekly");
            flag(entry.paused, "paused");
            Listed {
                id: *id,
                flags,
                interval: match entry.when {
                    When::After(span) | When::Every(span) => span,
                    When::Daily { .. } => Duration::ZERO,
                },
                next: wall + entry.due.saturating_duration_since(now),
                last: [entry.queued, entry.started, entry.ended],
                script: entry.words.joined(),
            }
        })
        .collect()
}

/// The next time at which something is due after `from`.
fn next(when: When, from: Instant) -> Instant {
    match when {
        When::After(span) | When::Every(span) => {
            // Some times are further away than a clock can tell.
            from.checked_add(span).unwrap_or_else(|| from + Duration::from_secs(1 << 32))
        }
        When::Daily { day, hour, minute } => {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
            let at = sys::next_local_time(seconds, day, hour, minute);
            let span = Duration::from_secs(u64::try_from(at - seconds).unwrap_or(0));
            from + span.saturating_sub(Duration::from_nanos(u64::from(wall.subsec_nanos())))
        }
    }
}

/// Leaves a letter for an entry's next run.
fn post(table: &mut Table, id: u64) -> Result<()> {
    let Some(entry) = table.entries.get_mut(&id) else { return Ok(()) };
    let letter = Letter {
        make: Box::new(move |interp| begin(interp, id)),
        done: Box::new(move |interp, completion| finish(interp, id, completion)),
    };
    let posted = entry.desk.post_at(entry.due, letter);
    match posted {
        Ok(ticket) => {
            entry.ticket = Some(ticket);
            Ok(())
        }
        Err(error) => {
            table.entries.remove(&id);
            Err(error)
        }
    }
}

/// An entry is due: what to call here, if anything.
fn begin(interp: Interp, id: u64) -> Option<(Rc<Script>, Vec<Obj>)> {
    let mut table = TABLE.lock();
    let entry = table.entries.get_mut(&id).filter(|entry| !entry.paused)?;
    entry.ticket = None;
    let now = SystemTime::now();
    (entry.queued, entry.started) = (Some(now), Some(now));
    let words = entry.words.clone();
    let Some(spawn) = entry.spawn else {
        drop(table);
        return Some(words.call());
    };
    drop(table);
    if let Err(error) = spawn(interp, &words) {
        log::write(log::ERROR, &format!("cannot start a thread for a scheduled script: {error}"));
    }
    again(id);
    None
}

fn finish(interp: Interp, id: u64, completion: Completion) {
    if let Completion::Error(message) = completion {
        home::log_script_error(interp, &message, "scheduled proc");
    }
    again(id);
}

/// Sets the time for the next run, or removes what runs once.
fn again(id: u64) {
    let mut table = TABLE.lock();
    let Some(entry) = table.entries.get_mut(&id) else { return };
    entry.ended = Some(SystemTime::now());
    if entry.once {
        table.entries.remove(&id);
        return;
    }
    let now = Instant::now();
    let planned = next(entry.when, entry.due);
    // What was missed is not made up for.
    entry.due = match entry.when {
        When::Every(_) if planned > now => planned,
        _ => next(entry.when, now),
    };
    if !entry.paused {
        // Fails only when the interpreter is going.
        let _ = post(&mut table, id);
    }
}
