//! Ordered header sets, and the table of handles under which an interpreter
//! knows them: the data behind `ns_set`.
//!
//! A set is a list of key/value fields in which a key may occur more than once,
//! such as the headers of an HTTP message. Parsing of commands, glob patterns
//! and results are left to the callers.

use super::error::{Error, Result};
use std::collections::BTreeSet;

/// How a key is compared with those of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// As the set does it: byte for byte, or without regard to case in a set
    /// that was made so.
    Exact,
    /// Without regard to the case of ASCII letters: `iget`, `-nocase`.
    IgnoreCase,
}

/// An ordered multimap with an optional name.
///
/// A set made with `nocase` keeps its keys in lower case and lowers each key
/// it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NsSet {
    name: Option<String>,
    nocase: bool,
    fields: Vec<(String, String)>,
}

impl NsSet {
    /// An empty set.
    pub fn new(name: Option<String>, nocase: bool) -> NsSet {
        NsSet { name, nocase, fields: Vec::new() }
    }

    /// A set from the words of `ns_set create`: keys and values in turn, and
    /// before them the name when the number of words is odd.
    pub fn from_words<S: AsRef<str>>(words: &[S], nocase: bool) -> NsSet {
        let (name, pairs) = words.split_at(words.len() % 2);
        let mut set = NsSet::new(name.first().map(|name| name.as_ref().to_string()), nocase);
        for pair in pairs.chunks_exact(2) {
            set.put(pair[0].as_ref(), pair[1].as_ref());
        }
        set
    }

    /// The name, if the set has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether the set disregards the case of keys.
    pub fn is_nocase(&self) -> bool {
        self.nocase
    }

    /// The number of fields.
    pub fn size(&self) -> usize {
        self.fields.len()
    }

    /// All fields in order.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The spelling under which this set keeps `key`.
    fn stored_key(&self, key: &str) -> String {
        if self.nocase {
            key.to_ascii_lowercase()
        } else {
            key.to_string()
        }
    }

    /// A test for keys equal to `key`.
    fn matcher<'a>(&self, key: &'a str, how: Match) -> impl Fn(&str) -> bool + 'a {
        // The keys of a nocase set are lower case, so comparing without regard
        // to case is the same as lowering `key` first.
        let exact = how == Match::Exact && !self.nocase;
        move |own| if exact { own == key } else { own.eq_ignore_ascii_case(key) }
    }

    /// Appends a field; the answer is its index.
    pub fn put(&mut self, key: &str, value: &str) -> usize {
        self.push(self.stored_key(key), value.to_string())
    }

    fn push(&mut self, stored_key: String, value: String) -> usize {
        self.fields.push((stored_key, value));
        self.fields.len() - 1
    }

    /// The index of the first field with this key.
    pub fn find(&self, key: &str, how: Match) -> Option<usize> {
        let matches = self.matcher(key, how);
        self.fields.iter().position(|(own, _)| matches(own))
    }

    /// The value of the first field with this key.
    pub fn get(&self, key: &str, how: Match) -> Option<&str> {
        self.find(key, how).map(|index| self.fields[index].1.as_str())
    }

    /// The values of all fields with this key.
    pub fn all(&self, key: &str, how: Match) -> Vec<&str> {
        let matches = self.matcher(key, how);
        self.fields.iter().filter(|(own, _)| matches(own)).map(|(_, value)| value.as_str()).collect()
    }

    /// Gives the first field with this key a new value, or appends one; the
    /// answer is its index. With [`Match::IgnoreCase`] the key takes the new
    /// spelling if the first letters differ.
    pub fn update(&mut self, key: &str, how: Match, value: &str) -> usize {
        let Some(index) = self.find(key, how) else {
            return self.put(key, value);
        };
        let stored_key = self.stored_key(key);
        let field = &mut self.fields[index];
        // Only what ignores case can meet another first letter. Header names
        // differ as `Host` and `host` do: their first letter tells the style.
        if field.0.chars().next() != stored_key.chars().next() {
            field.0 = stored_key;
        }
        field.1 = value.to_string();
        index
    }

    /// Adds text to the end of a field's value, where there is such a field.
    pub fn extend_value(&mut self, index: usize, text: &str) {
        if let Some((_, value)) = self.fields.get_mut(index) {
            value.push_str(text);
        }
    }

    /// Appends a field unless there is one with this key; the answer is the
    /// index of the new or the existing one.
    pub fn cput(&mut self, key: &str, how: Match, value: &str) -> usize {
        self.find(key, how).unwrap_or_else(|| self.put(key, value))
    }

    /// Removes the first field with this key; the answer is whether there was
    /// one.
    pub fn delkey(&mut self, key: &str, how: Match) -> bool {
        self.find(key, how).map(|index| self.fields.remove(index)).is_some()
    }

    /// Whether at most one field has this key.
    pub fn unique(&self, key: &str, how: Match) -> bool {
        let matches = self.matcher(key, how);
        self.fields.iter().filter(|(own, _)| matches(own)).nth(1).is_none()
    }

    /// Accepts the indices of fields and the one behind the last.
    fn check_index(&self, subcommand: &str, index: usize) -> Result<()> {
        if index > self.fields.len() {
            let message = format!("ns_set {subcommand}: index must be maximal the number of elements");
            return Err(Error::new(message));
        }
        Ok(())
    }

    /// The key of a field; `None` for the index behind the last one.
    ///
    /// # Errors
    ///
    /// `ns_set key: index must be maximal the number of elements`, and likewise
    /// for all that take an index.
    pub fn key(&self, index: usize) -> Result<Option<&str>> {
        self.check_index("key", index)?;
        Ok(self.fields.get(index).map(|(key, _)| key.as_str()))
    }

    /// The value of a field; `None` for the index behind the last one.
    ///
    /// # Errors
    ///
    /// As for [`NsSet::key`].
    pub fn value(&self, index: usize) -> Result<Option<&str>> {
        self.check_index("value", index)?;
        Ok(self.fields.get(index).map(|(_, value)| value.as_str()))
    }

    /// Whether a field has no value, which holds for the index behind the last
    /// one only.
    ///
    /// # Errors
    ///
    /// As for [`NsSet::key`].
    pub fn isnull(&self, index: usize) -> Result<bool> {
        self.check_index("isnull", index)?;
        Ok(index == self.fields.len())
    }

    /// Removes a field by its index; the one behind the last removes nothing.
    ///
    /// # Errors
    ///
    /// As for [`NsSet::key`].
    pub fn delete(&mut self, index: usize) -> Result<()> {
        self.check_index("delete", index)?;
        if index < self.fields.len() {
            self.fields.remove(index);
        }
        Ok(())
    }

    /// Keeps the first `count` fields.
    ///
    /// # Errors
    ///
    /// As for [`NsSet::key`].
    pub fn truncate(&mut self, count: usize) -> Result<()> {
        self.check_index("truncate", count)?;
        self.fields.truncate(count);
        Ok(())
    }

    /// Appends the fields of `other` whose key this set does not have yet.
    pub fn merge(&mut self, other: &NsSet, how: Match) {
        for (key, value) in &other.fields {
            self.cput(key, how, value);
        }
    }

    /// Empties the set; the answer is what it held.
    pub fn take_fields(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.fields)
    }

    /// Appends fields, as [`NsSet::put`] does each.
    pub fn append(&mut self, fields: Vec<(String, String)>) {
        self.fields.reserve(fields.len());
        for (mut key, value) in fields {
            if self.nocase {
                key.make_ascii_lowercase();
            }
            self.push(key, value);
        }
    }

    /// Sorts the fields into one set for each prefix that their keys have before
    /// `separator`. The new sets are named by the prefix and hold the keys
    /// without it; keys without a separator go to the set with an empty name.
    pub fn split(&self, separator: char) -> Vec<NsSet> {
        let mut parts: Vec<NsSet> = Vec::new();
        for (key, value) in &self.fields {
            let (prefix, rest) = key.split_once(separator).unwrap_or(("", key));
            let index = parts.iter().position(|part| part.name() == Some(prefix)).unwrap_or_else(|| {
                parts.push(NsSet::new(Some(prefix.to_string()), self.nocase));
                parts.len() - 1
            });
            parts[index].put(rest, value);
        }
        parts
    }

    /// The keys that `matches` accepts, in order.
    pub fn keys(&self, matches: &dyn Fn(&str) -> bool) -> Vec<&str> {
        self.fields.iter().map(|(key, _)| key.as_str()).filter(|key| matches(key)).collect()
    }

    /// The values that `matches` accepts, in order.
    pub fn values(&self, matches: &dyn Fn(&str) -> bool) -> Vec<&str> {
        self.fields.iter().map(|(_, value)| value.as_str()).filter(|value| matches(value)).collect()
    }

    /// The set as text: a line `name:` if it has a name (and `noname` is off),
    /// then a line for each field of `lead`, key, `separator` and value.
    pub fn format(&self, noname: bool, lead: &str, separator: &str) -> String {
        let mut text = String::new();
        if let Some(name) = self.name().filter(|_| !noname) {
            text.push_str(name);
            text.push_str(":\n");
        }
        for (key, value) in &self.fields {
            for part in [lead, key, separator, value, "\n"] {
                text.push_str(part);
            }
        }
        text
    }
}

/// The sets of one interpreter under their handles: `d0`, `d1` and so on for
/// those that scripts make, `t0`, `t1` for those that something else owns, such
/// as a request its headers.
#[derive(Debug, Default)]
pub struct SetTable {
    dynamic: Slots,
    owned: Slots,
    /// The event for which the set of each number was made; 0 for none.
    event_of: Vec<u64>,
    /// Event and number, in the order in which they were made.
    made_for_events: Vec<(u64, usize)>,
}

impl SetTable {
    /// An empty table.
    pub fn new() -> SetTable {
        SetTable::default()
    }

    /// Enters a set under a `d` handle.
    pub fn create(&mut self, set: NsSet) -> String {
        let index = self.dynamic.insert(set);
        if let Some(event) = self.event_of.get_mut(index) {
            *event = 0;
        }
        format!("d{index}")
    }

    /// The same for a set that lives no longer than an event, by the event's
    /// number.
    pub fn create_for_event(&mut self, set: NsSet, event: u64) -> String {
        let index = self.dynamic.insert(set);
        if self.event_of.len() <= index {
            self.event_of.resize(index + 1, 0);
        }
        // A number that is used again in the same event is noted already.
        if self.event_of[index] != event {
            self.event_of[index] = event;
            self.made_for_events.push((event, index));
        }
        format!("d{index}")
    }

    /// Removes the sets that were made for an event.
    pub fn end_event(&mut self, event: u64) {
        while let Some((_, index)) = self.made_for_events.last().copied().filter(|(own, _)| *own >= event) {
            self.made_for_events.pop();
            // By now the number may be that of a set from elsewhere.
            if self.event_of.get(index).is_some_and(|own| *own >= event) {
                self.dynamic.remove(index);
            }
        }
    }

    /// Enters a set under a `t` handle, which [`SetTable::cleanup`] spares.
    pub fn create_static(&mut self, set: NsSet) -> String {
        format!("t{}", self.owned.insert(set))
    }

    /// The set behind a handle.
    ///
    /// # Errors
    ///
    /// `no such set: 'x'`.
    pub fn lookup(&mut self, handle: &str) -> Result<&mut NsSet> {
        self.locate(handle).and_then(|(slots, index)| slots.get_mut(index)).ok_or_else(|| no_such_set(handle))
    }

    /// Removes a set, of either kind; the handle is free for another one then.
    ///
    /// # Errors
    ///
    /// As for [`SetTable::lookup`].
    pub fn free(&mut self, handle: &str) -> Result<NsSet> {
        self.locate(handle).and_then(|(slots, index)| slots.remove(index)).ok_or_else(|| no_such_set(handle))
    }

    /// Appends the fields of set `from` to set `to` and empties `from`. Nothing
    /// changes when both are the same.
    ///
    /// # Errors
    ///
    /// As for [`SetTable::lookup`]; then nothing has changed.
    pub fn move_fields(&mut self, to: &str, from: &str) -> Result<()> {
        self.lookup(to)?;
        let fields = self.lookup(from)?.take_fields();
        self.lookup(to)?.append(fields);
        Ok(())
    }

    /// Appends the fields of set `from` to set `to` whose key that does not have.
    ///
    /// # Errors
    ///
    /// As for [`SetTable::lookup`].
    pub fn merge(&mut self, to: &str, from: &str, how: Match) -> Result<()> {
        self.lookup(to)?;
        let source = self.lookup(from)?.clone();
        self.lookup(to)?.merge(&source, how);
        Ok(())
    }

    /// Removes all sets with a `d` handle.
    pub fn cleanup(&mut self) {
        self.dynamic = Slots::default();
        self.event_of.clear();
        self.made_for_events.clear();
    }

    /// All handles.
    pub fn list(&self) -> Vec<String> {
        let dynamic = self.dynamic.used().map(|index| format!("d{index}"));
        let owned = self.owned.used().map(|index| format!("t{index}"));
        dynamic.chain(owned).collect()
    }

    /// The kind and number that a handle stands for, if it is spelled as one.
    fn locate(&mut self, handle: &str) -> Option<(&mut Slots, usize)> {
        let number = handle.get(1..)?;
        // Only one spelling of a number: not d00, d+1.
        let plain = number.bytes().all(|digit| digit.is_ascii_digit());
        if !plain || (number.len() > 1 && number.starts_with('0')) {
            return None;
        }
        let index: usize = number.parse().ok()?;
        match handle.as_bytes()[0] {
            b'd' => Some((&mut self.dynamic, index)),
            b't' => Some((&mut self.owned, index)),
            _ => None,
        }
    }
}

fn no_such_set(handle: &str) -> Error {
    Error::new(format!("no such set: '{handle}'"))
}

/// Sets by number; the lowest free number is taken first.
#[derive(Debug, Default)]
struct Slots {
    sets: Vec<Option<NsSet>>,
    free: BTreeSet<usize>,
}

impl Slots {
    fn insert(&mut self, set: NsSet) -> usize {
        match self.free.pop_first() {
            Some(index) => {
                self.sets[index] = Some(set);
                index
            }
            None => {
                self.sets.push(Some(set));
                self.sets.len() - 1
            }
        }
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut NsSet> {
        self.sets.get_mut(index)?.as_mut()
    }

    fn remove(&mut self, index: usize) -> Option<NsSet> {
        let set = self.sets.get_mut(index)?.take()?;
        self.free.insert(index);
        Some(set)
    }

    fn used(&self) -> impl Iterator<Item = usize> + '_ {
        self.sets.iter().enumerate().filter(|(_, set)| set.is_some()).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::Match::{Exact, IgnoreCase};
    use super::*;

    fn set(words: &[&str]) -> NsSet {
        NsSet::from_words(words, false)
    }

    fn nocase(words: &[&str]) -> NsSet {
        NsSet::from_words(words, true)
    }

    /// The fields of a set as `key=value` words.
    fn flat(set: &NsSet) -> String {
        set.fields().iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_to_create_from() {
        assert_eq!(set(&[]).name(), None);
        assert_eq!((set(&["a", "b"]).name(), flat(&set(&["a", "b"])).as_str()), (None, "a=b"));
        let named = set(&["n", "a", "1", "a", "2"]);
        assert_eq!((named.name(), flat(&named).as_str(), named.size()), (Some("n"), "a=1 a=2", 2));
    }

    #[test]
    fn reading() {
        let set = set(&["A", "1", "b", "2", "a", "3"]);
        assert_eq!(set.get("a", Exact), Some("3"));
        assert_eq!(set.get("a", IgnoreCase), Some("1"));
        assert_eq!(set.get("x", IgnoreCase), None);
        assert_eq!(set.all("a", IgnoreCase), ["1", "3"]);
        assert_eq!(set.all("a", Exact), ["3"]);
        assert!(set.all("x", Exact).is_empty());
        assert_eq!((set.find("B", Exact), set.find("B", IgnoreCase)), (None, Some(1)));
        assert!(set.unique("a", Exact) && !set.unique("a", IgnoreCase) && set.unique("x", Exact));
        assert_eq!(set.keys(&|key| key != "b"), ["A", "a"]);
        assert_eq!(set.values(&|value| value > "1"), ["2", "3"]);
    }

    #[test]
    fn put_always_appends() {
        let mut set = set(&["a", "1"]);
        assert_eq!(set.put("a", "2"), 1);
        assert_eq!(flat(&set), "a=1 a=2");
    }

    #[test]
    fn update_replaces_the_first_or_appends() {
        let mut set = set(&["Host", "x", "Accept", "y", "Host", "z"]);
        assert_eq!(set.update("Host", Exact, "1"), 0);
        assert_eq!(set.update("host", IgnoreCase, "2"), 0);
        assert_eq!(set.update("aCCEPT", IgnoreCase, "3"), 1);
        assert_eq!(set.update("Accept", Exact, "4"), 3);
        assert_eq!(set.update("New", IgnoreCase, "5"), 4);
        assert_eq!(flat(&set), "host=2 aCCEPT=3 Host=z Accept=4 New=5");
    }

    #[test]
    fn update_keeps_a_spelling_with_the_same_first_letter() {
        let mut set = set(&["Content-Type", "x"]);
        assert_eq!(set.update("Content-type", IgnoreCase, "y"), 0);
        assert_eq!(flat(&set), "Content-Type=y");
    }

    #[test]
    fn cput_appends_only_what_is_absent() {
        let mut set = set(&["a", "1"]);
        assert_eq!(set.cput("a", Exact, "2"), 0);
        assert_eq!(set.cput("A", IgnoreCase, "2"), 0);
        assert_eq!(set.cput("A", Exact, "2"), 1);
        assert_eq!(flat(&set), "a=1 A=2");
    }

    #[test]
    fn delkey_removes_the_first() {
        let mut set = set(&["a", "1", "A", "2", "a", "3"]);
        assert!(set.delkey("A", Exact));
        assert!(set.delkey("A", IgnoreCase));
        assert!(!set.delkey("x", Exact));
        assert_eq!(flat(&set), "a=3");
    }

    #[test]
    fn indices() {
        let mut set = set(&["a", "", "b", "2"]);
        assert_eq!((set.key(1), set.key(2)), (Ok(Some("b")), Ok(None)));
        assert_eq!((set.value(0), set.value(2)), (Ok(Some("")), Ok(None)));
        assert_eq!((set.isnull(0), set.isnull(2)), (Ok(false), Ok(true)));
        assert_eq!(set.delete(2), Ok(()));
        assert_eq!(set.truncate(2), Ok(()));
        assert_eq!(set.size(), 2);
        let too_large =
            |name: &str| Error::new(format!("ns_set {name}: index must be maximal the number of elements"));
        assert_eq!(set.key(3), Err(too_large("key")));
        assert_eq!(set.value(3), Err(too_large("value")));
        assert_eq!(set.isnull(3), Err(too_large("isnull")));
        assert_eq!(set.delete(3), Err(too_large("delete")));
        assert_eq!(set.truncate(3), Err(too_large("truncate")));
        assert_eq!(set.delete(0), Ok(()));
        assert_eq!(flat(&set), "b=2");
        assert_eq!(set.truncate(0), Ok(()));
        assert_eq!(set.size(), 0);
    }

    #[test]
    fn a_nocase_set_lowers_its_keys() {
        let mut set = nocase(&["Connection", "Close", "TE", "x"]);
        assert_eq!(flat(&set), "connection=Close te=x");
        assert_eq!(set.get("CONNECTION", Exact), Some("Close"));
        assert_eq!(set.get("Connection", IgnoreCase), Some("Close"));
        assert_eq!(set.find("Te", Exact), Some(1));
        assert_eq!(set.update("TE", IgnoreCase, "y"), 1);
        assert_eq!(set.cput("Te", Exact, "z"), 1);
        assert_eq!(set.update("X-New", Exact, "1"), 2);
        assert!(set.delkey("te", Exact));
        set.merge(&NsSet::from_words(&["X-new", "2", "Via", "3"], false), Exact);
        set.append(vec![("Via".to_string(), "4".to_string())]);
        assert_eq!(flat(&set), "connection=Close x-new=1 via=3 via=4");
        assert!(!set.unique("VIA", Exact));
        assert!(set.clone().is_nocase());
    }

    #[test]
    fn merge_adds_absent_keys() {
        let mut to = set(&["a", "1"]);
        let from = set(&["A", "2", "b", "3", "b", "4"]);
        to.merge(&from, IgnoreCase);
        assert_eq!(flat(&to), "a=1 b=3");
        to.merge(&from, Exact);
        assert_eq!(flat(&to), "a=1 b=3 A=2");
    }

    #[test]
    fn split_by_prefix() {
        let parts = set(&["a.x", "1", "b.y.z", "2", "plain", "3", "a.w", "4"]).split('.');
        let shown: Vec<_> = parts.iter().map(|part| (part.name().unwrap_or("?"), flat(part))).collect();
        assert_eq!(
            shown,
            [("a", "x=1 w=4".to_string()), ("b", "y.z=2".to_string()), ("", "plain=3".to_string())]
        );
    }

    #[test]
    fn format_as_text() {
        let named = set(&["n", "a", "1", "b", "2"]);
        assert_eq!(named.format(false, "  ", ": "), "n:\n  a: 1\n  b: 2\n");
        assert_eq!(named.format(true, "", "="), "a=1\nb=2\n");
        assert_eq!(set(&["a", "1"]).format(false, "  ", ": "), "  a: 1\n");
        assert_eq!(set(&[""]).format(false, "  ", ": "), ":\n");
    }

    #[test]
    fn handles_take_the_lowest_free_number() {
        let mut table = SetTable::new();
        for handle in ["d0", "d1", "d2"] {
            assert_eq!(table.create(NsSet::default()), handle);
        }
        assert_eq!(table.create_static(set(&["headers"])), "t0");
        assert!(table.free("d1").is_ok() && table.free("d0").is_ok());
        assert_eq!(table.list(), ["d2", "t0"]);
        assert_eq!(table.create(set(&["again"])), "d0");
        assert_eq!(table.lookup("d0").map(|set| set.name().is_some()), Ok(true));
        assert_eq!(table.create(NsSet::default()), "d1");
        table.cleanup();
        assert_eq!(table.list(), ["t0"]);
        assert_eq!(table.create(NsSet::default()), "d0");
        assert_eq!(table.free("t0").map(|set| set.name() == Some("headers")), Ok(true));
    }

    #[test]
    fn sets_that_live_as_long_as_an_event() {
        let mut table = SetTable::new();
        let mine = table.create(set(&["mine"]));
        let first = table.create_for_event(NsSet::default(), 7);
        let freed = table.create_for_event(NsSet::default(), 7);
        assert!(table.free(&freed).is_ok());
        // The number comes to a set that stays, another one to an inner event.
        assert_eq!(table.create(set(&["later"])), freed);
        let inner = table.create_for_event(NsSet::default(), 8);
        table.end_event(8);
        assert!(table.lookup(&inner).is_err() && table.lookup(&first).is_ok());
        assert_eq!(table.create_for_event(NsSet::default(), 7), inner);
        table.end_event(7);
        assert_eq!(table.list(), [mine, freed]);
        assert!(table.made_for_events.is_empty());
    }

    #[test]
    fn unknown_handles() {
        let mut table = SetTable::new();
        table.create(NsSet::default());
        for handle in ["", "d", "d1", "d00", "d+0", "t0", "x0", "foo", "ü0", "d99999999999999999999"] {
            let error = Error::new(format!("no such set: '{handle}'"));
            assert_eq!(table.lookup(handle).err(), Some(error.clone()));
            assert_eq!(table.free(handle).err(), Some(error));
        }
    }

    #[test]
    fn moving_and_merging_between_handles() {
        let mut table = SetTable::new();
        let to = table.create(set(&["a", "1"]));
        let from = table.create(set(&["a", "2", "b", "3"]));
        assert_eq!(table.merge(&to, &from, Exact), Ok(()));
        assert_eq!(table.lookup(&to).map(|set| flat(set)), Ok("a=1 b=3".to_string()));
        assert_eq!(table.move_fields(&to, &from), Ok(()));
        assert_eq!(table.lookup(&to).map(|set| flat(set)), Ok("a=1 b=3 a=2 b=3".to_string()));
        assert_eq!(table.lookup(&from).map(|set| set.size()), Ok(0));
        assert_eq!(table.move_fields(&to, &to), Ok(()));
        assert_eq!(table.lookup(&to).map(|set| set.size()), Ok(4));
        assert!(table.move_fields("d7", &to).is_err());
        assert_eq!(table.lookup(&to).map(|set| set.size()), Ok(4));
    }
}
