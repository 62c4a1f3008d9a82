//! The configuration: sections of key/value pairs, process wide.
//!
//! A script fills it through `ns_section` and `ns_param` before it starts
//! anything; commands and the rest of the library read it. Section names and
//! keys are found without regard to case, keep the spelling and order in which
//! they came, and a key may occur more than once.

use super::log;
use super::memory_size;
use super::time_value::TimeValue;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Everything configured so far.
static SECTIONS: RwLock<Vec<Section>> = RwLock::new(Vec::new());

/// Counts the changes.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Section and key of malformed values that were already complained about.
static REPORTED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

struct Section {
    name: String,
    pairs: Vec<(String, String)>,
}

impl Section {
    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a String> {
        self.pairs.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }
}

fn find<'a>(sections: &'a [Section], name: &str) -> Option<&'a Section> {
    sections.iter().find(|section| section.name.eq_ignore_ascii_case(name))
}

/// The section called `name`, made at the end when there is none.
fn find_or_add<'a>(sections: &'a mut Vec<Section>, name: &str) -> &'a mut Section {
    let found = sections.iter().position(|section| section.name.eq_ignore_ascii_case(name));
    let index = found.unwrap_or(sections.len());
    if found.is_none() {
        sections.push(Section { name: name.to_string(), pairs: Vec::new() });
    }
    &mut sections[index]
}

/// A number that grows with each change of the configuration. Whoever keeps
/// settings that were read reads them again when it is another; it is to be
/// asked for before reading. Never 0.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// To be called after a change, under the lock.
fn changed() {
    GENERATION.fetch_add(1, Ordering::Release);
}

/// Name of the one virtual server of the process: parameter `server` of
/// `ns/parameters`.
pub fn server_name() -> String {
    get("ns/parameters", "server").unwrap_or_else(|| "default".to_owned())
}

/// Where temporary files go: parameter `tmpdir` of `ns/parameters`, else the
/// system's directory for them.
pub fn temp_dir() -> PathBuf {
    get("ns/parameters", "tmpdir").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Makes a section, unless it exists.
pub fn add_section(name: &str) {
    find_or_add(&mut SECTIONS.write(), name);
}

/// Adds a pair at the end of a section, which is made when it does not exist.
/// An earlier pair of the same key stays, and stays the one that [`get`] finds.
pub fn add(section: &str, key: &str, value: &str) {
    let pair = (key.to_string(), value.to_string());
    let mut sections = SECTIONS.write();
    find_or_add(&mut sections, section).pairs.push(pair);
    changed();
}

/// Gives the first pair of this key a new value, or adds one.
pub fn update(section: &str, key: &str, value: &str) {
    let mut sections = SECTIONS.write();
    let pairs = &mut find_or_add(&mut sections, section).pairs;
    match pairs.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(key)) {
        Some((_, old)) => *old = value.to_string(),
        None => pairs.push((key.to_string(), value.to_string())),
    }
    changed();
}

/// The first value of a key.
pub fn get(section: &str, key: &str) -> Option<String> {
    find(&SECTIONS.read(), section)?.values(key).next().cloned()
}

/// All values of a key, in the order in which they came.
pub fn all(section: &str, key: &str) -> Vec<String> {
    find(&SECTIONS.read(), section).map(|found| found.values(key).cloned().collect()).unwrap_or_default()
}

/// The names of all sections, in the order in which they were made.
pub fn sections() -> Vec<String> {
    SECTIONS.read().iter().map(|section| section.name.clone()).collect()
}

/// The pairs of a section in order; `None` when there is no such section.
pub fn pairs(section: &str) -> Option<Vec<(String, String)>> {
    find(&SECTIONS.read(), section).map(|found| found.pairs.clone())
}

/// Adds all pairs of section `from` to section `to`, which is made when it does
/// not exist. False when there is no section `from`.
pub fn copy_section(from: &str, to: &str) -> bool {
    let mut sections = SECTIONS.write();
    let Some(copied) = find(&sections, from).map(|found| found.pairs.clone()) else {
        return false;
    };
    find_or_add(&mut sections, to).pairs.extend(copied);
    changed();
    true
}

/// The first value of a key as a truth value (`1 true yes on`, `0 false no off`,
/// in any case). The default stands in for a missing and for a malformed one.
pub fn get_bool(section: &str, key: &str, default: bool) -> bool {
    let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    };
    read(section, key, default, "boolean value", parse)
}

/// The first value of a key as a decimal integer. The default stands in for a
/// missing and for a malformed one.
pub fn get_int(section: &str, key: &str, default: i64) -> i64 {
    read(section, key, default, "integer", |text| text.trim().parse().ok())
}

/// The first value of a key as a time value. The default stands in for a
/// missing and for a malformed one.
pub fn get_time(section: &str, key: &str, default: TimeValue) -> TimeValue {
    read(section, key, default, "time value", |text| TimeValue::parse(text).ok())
}

/// The first value of a key as a memory size in bytes (`8KB`, `1MB`). The
/// default stands in for a missing and for a malformed one.
pub fn get_size(section: &str, key: &str, default: u64) -> u64 {
    read(section, key, default, "memory size", |text| memory_size::parse(text).ok())
}

/// What the typed readers share. The log gets a warning about a malformed value
/// once, whoever asks for it how often.
fn read<T>(section: &str, key: &str, default: T, kind: &str, parse: impl Fn(&str) -> Option<T>) -> T {
    let Some(text) = get(section, key) else {
        return default;
    };
    parse(&text).unwrap_or_else(|| {
        // Noted before it is logged: the log itself reads the configuration.
        if first_report(section, key) {
            let warning =
                format!("config section {section}, parameter {key}: expected {kind} but got \"{text}\"");
            log::write(log::WARNING, &warning);
        }
        default
    })
}

fn first_report(section: &str, key: &str) -> bool {
    let place = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
    REPORTED.lock().insert(place)
}

#[cfg(test)]
mod tests {
    //! The table is process wide, so that each test has sections of its own.
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        add("test/Case", "Port", "80");
        assert_eq!(get("TEST/case", "pORT"), Some("80".to_string()));
        assert_eq!(pairs("test/case"), Some(vec![("Port".to_string(), "80".to_string())]));
        assert!(sections().contains(&"test/Case".to_string()));
    }

    #[test]
    fn the_first_of_several_values_wins_and_all_are_kept() {
        for target in ["a", "b", "c"] {
            add("test/many", "target", target);
        }
        assert_eq!(get("test/many", "target"), Some("a".to_string()));
        assert_eq!(all("test/many", "TARGET"), ["a", "b", "c"]);
        update("test/many", "Target", "z");
        update("test/many", "other", "y");
        assert_eq!(all("test/many", "target"), ["z", "b", "c"]);
        assert_eq!(get("test/many", "other"), Some("y".to_string()));
    }

    #[test]
    fn missing_sections_and_keys() {
        add_section("test/empty");
        assert_eq!(pairs("test/empty"), Some(Vec::new()));
        assert_eq!(pairs("test/missing"), None);
        assert_eq!(get("test/empty", "x"), None);
        assert_eq!(get("test/missing", "x"), None);
        assert!(all("test/missing", "x").is_empty());
    }

    #[test]
    fn sections_keep_their_order_and_repeat_nothing() {
        for name in ["test/order/b", "test/order/a", "TEST/order/b"] {
            add_section(name);
        }
        let names: Vec<_> =
            sections().into_iter().filter(|name| name.to_ascii_lowercase().contains("/order/")).collect();
        assert_eq!(names, ["test/order/b", "test/order/a"]);
    }

    #[test]
    fn copying_adds_to_what_is_there() {
        add("test/from", "a", "1");
        add("test/from", "b", "2");
        add("test/to", "a", "0");
        assert!(copy_section("Test/From", "test/to"));
        assert_eq!(all("test/to", "a"), ["0", "1"]);
        assert_eq!(get("test/to", "b"), Some("2".to_string()));
        assert!(!copy_section("test/nowhere", "test/to"));
    }

    #[test]
    fn typed_readers() {
        add("test/typed", "on", "Yes");
        add("test/typed", "off", "0");
        add("test/typed", "number", "-42");
        add("test/typed", "wait", "250ms");
        add("test/typed", "size", "8KB");
        assert!(get_bool("test/typed", "on", false));
        assert!(!get_bool("test/typed", "off", true));
        assert_eq!(get_int("test/typed", "number", 1), -42);
        assert_eq!(get_time("test/typed", "wait", TimeValue::ZERO), TimeValue::from_millis(250));
        assert_eq!(get_size("test/typed", "size", 1), 8192);
        assert_eq!(get_size("test/typed", "missing", 1), 1);
    }

    #[test]
    fn typed_readers_fall_back_to_the_default() {
        add("test/bad", "flag", "42");
        add("test/bad", "number", "4x");
        add("test/bad", "wait", "soon");
        // The tests of the log look at the warnings; this one stays quiet.
        for key in ["flag", "number", "wait"] {
            assert!(first_report("test/bad", key));
        }
        assert!(get_bool("test/bad", "flag", true));
        assert_eq!(get_int("test/bad", "number", 7), 7);
        assert_eq!(get_time("test/bad", "wait", TimeValue::from_secs(1)), TimeValue::from_secs(1));
        assert_eq!(get_int("test/bad", "missing", 8), 8);
    }

    #[test]
    fn changes_are_counted() {
        let changed_by = |change: &dyn Fn()| {
            let before = generation();
            change();
            generation() > before
        };
        assert!(changed_by(&|| add("test/counted", "a", "1")));
        assert!(changed_by(&|| update("test/counted", "a", "2")));
        assert!(changed_by(&|| assert!(copy_section("test/counted", "test/counted/copy"))));
    }

    #[test]
    fn a_malformed_value_is_reported_once() {
        assert!(first_report("test/report", "key"));
        assert!(!first_report("TEST/report", "Key"));
        assert!(first_report("test/report", "other"));
    }
}
