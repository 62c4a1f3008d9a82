//! Small files in memory: a bounded table, least recently used ones leave first.
//!
//! An entry is good as long as the file's stamp is the one it was read with.
//! The time of change in it cannot be set by anybody, so that a file that was
//! overwritten and given its old time again is noticed, too. Whoever asks
//! compares; the table itself touches no file.

use crate::net::beneath::Stamp;
use parking_lot::Mutex;
use slab::Slab;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::Arc;

/// The one cache of the process.
pub static FILES: Mutex<Cache> = Mutex::new(Cache::new());

/// Bytes that an entry costs besides name and contents.
const OVERHEAD: u64 = 128;

/// No entry: the end of the list.
const NONE: usize = usize::MAX;

/// The table.
pub struct Cache {
    index: Option<HashMap<CString, usize>>,
    entries: Slab<Entry>,
    /// The entries form a list by use, from `newest` to `oldest`.
    newest: usize,
    oldest: usize,
    size: u64,
    counts: Counts,
}

struct Entry {
    name: CString,
    stamp: Stamp,
    data: Arc<[u8]>,
    newer: usize,
    older: usize,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Found, and still good.
    pub hits: u64,
    /// Not found.
    pub misses: u64,
    /// Removed since the file has become another.
    pub flushed: u64,
    /// Removed to make room.
    pub pruned: u64,
}

impl Cache {
    const fn new() -> Cache {
        let counts = Counts { hits: 0, misses: 0, flushed: 0, pruned: 0 };
        Cache { index: None, entries: Slab::new(), newest: NONE, oldest: NONE, size: 0, counts }
    }

    /// The contents kept for a name, and the stamp that the file had. It is
    /// the caller's to compare; see `used` and `remove`.
    pub fn find(&mut self, name: &CStr) -> Option<(Stamp, Arc<[u8]>)> {
        let Some(&at) = self.index.as_ref().and_then(|index| index.get(name)) else {
            self.counts.misses += 1;
            return None;
        };
        self.counts.hits += 1;
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
        let entry = &self.entries[at];
        Some((entry.stamp, Arc::clone(&entry.data)))
    }

    /// What `find` gave has turned out to be outdated.
    pub fn flush(&mut self, name: &CStr) {
        if self.remove(name) {
            self.counts.hits -= 1;
            self.counts.misses += 1;
            self.counts.flushed += 1;
        }
    }

    /// Keeps the contents of a file, unless they alone would be too much.
    pub fn insert(&mut self, name: CString, stamp: Stamp, data: Arc<[u8]>, max_size: u64) {
        self.remove(&name);
        let cost = cost(&name, &data);
        if cost > max_size {
            return;
        }
        self.shrink(max_size - cost);
        self.size += cost;
        let at = self.entries.insert(Entry { name: name.clone(), stamp, data, newer: NONE, older: NONE });
        self.index.get_or_insert_default().insert(name, at);
        self.link(at);
    }

    /// Removes old entries until no more than `size` bytes are left.
    pub fn shrink(&mut self, size: u64) {
        while self.size > size && self.oldest != NONE {
            let name = self.entries[self.oldest].name.clone();
            self.remove(&name);
            self.counts.pruned += 1;
        }
    }

    fn remove(&mut self, name: &CStr) -> bool {
        let Some(at) = self.index.as_mut().and_then(|index| index.remove(name)) else { return false };
        self.unlink(at);
        let entry = self.entries.remove(at);
        self.size -= cost(&entry.name, &entry.data);
        true
    }

    /// Makes an entry that is in no list the newest.
    fn link(&mut self, at: usize) {
        let before = std::mem::replace(&mut self.newest, at);
        self.entries[at].older = before;
        self.entries[at].newer = NONE;
        match self.entries.get_mut(before) {
            Some(entry) => entry.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: usize) {
        let (newer, older) = (self.entries[at].newer, self.entries[at].older);
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Bytes held, entries, and what has happened.
    pub fn stats(&self) -> (u64, usize, Counts) {
        (self.size, self.entries.len(), self.counts)
    }

    /// Begins counting anew.
    pub fn reset_counts(&mut self) {
        self.counts = Counts::default();
    }

    /// Name and bytes of each entry, those used last first.
    pub fn contents(&self) -> Vec<(String, usize)> {
        let mut contents = Vec::with_capacity(self.entries.len());
        let mut at = self.newest;
        while let Some(entry) = self.entries.get(at) {
            contents.push((entry.name.to_string_lossy().into_owned(), entry.data.len()));
            at = entry.older;
        }
        contents
    }
}

fn cost(name: &CStr, data: &[u8]) -> u64 {
    // The name is held twice.
    2 * name.count_bytes() as u64 + data.len() as u64 + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { device: 1, inode: 2, size: 3, modified: (4, 5), changed: (6, 7), mode: 8 };

    fn name(number: usize) -> CString {
        CString::new(format!("/f{number:03}")).unwrap()
    }

    fn put(cache: &mut Cache, number: usize, length: usize, max: u64) {
        cache.insert(name(number), STAMP, vec![number as u8; length].into(), max);
    }

    fn numbers(cache: &Cache) -> Vec<usize> {
        let number = |(name, _): &(String, usize)| name[2..].parse().unwrap();
        cache.contents().iter().map(number).collect()
    }

    #[test]
    fn what_was_put_is_found() {
        let mut cache = Cache::new();
        assert!(cache.find(&name(1)).is_none());
        put(&mut cache, 1, 10, 1000);
        let (stamp, data) = cache.find(&name(1)).unwrap();
        assert_eq!((stamp, &data[..]), (STAMP, &[1u8; 10][..]));
        put(&mut cache, 1, 20, 1000);
        assert_eq!(cache.find(&name(1)).unwrap().1.len(), 20);
        let (size, entries, counts) = cache.stats();
        assert_eq!((size, entries), (5 * 2 + 20 + OVERHEAD, 1));
        assert_eq!(counts, Counts { hits: 2, misses: 1, flushed: 0, pruned: 0 });
        cache.reset_counts();
        assert_eq!(cache.stats().2, Counts::default());
    }

    #[test]
    fn the_least_recently_used_leave_first() {
        let mut cache = Cache::new();
        let each = 5 * 2 + 62 + OVERHEAD;
        for number in 0..4 {
            put(&mut cache, number, 62, 3 * each);
        }
        assert_eq!(numbers(&cache), [3, 2, 1]);
        assert!(cache.find(&name(1)).is_some());
        put(&mut cache, 4, 62, 3 * each);
        assert_eq!(numbers(&cache), [4, 1, 3]);
        assert!(cache.find(&name(1)).is_some() && cache.find(&name(1)).is_some());
        assert_eq!(numbers(&cache), [1, 4, 3]);
        cache.shrink(each);
        assert_eq!(numbers(&cache), [1]);
        assert_eq!(cache.stats().2.pruned, 4);
        cache.shrink(0);
        assert_eq!(cache.stats().0, 0);
        assert!(numbers(&cache).is_empty());
        put(&mut cache, 9, 62, 3 * each);
        assert_eq!(numbers(&cache), [9]);
    }

    #[test]
    fn outdated_entries_go_and_count_as_missed() {
        let mut cache = Cache::new();
        put(&mut cache, 1, 10, 1000);
        put(&mut cache, 2, 10, 1000);
        assert!(cache.find(&name(1)).is_some());
        cache.flush(&name(1));
        cache.flush(&name(7));
        assert_eq!(cache.stats().2, Counts { hits: 0, misses: 1, flushed: 1, pruned: 0 });
        assert_eq!(numbers(&cache), [2]);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let mut cache = Cache::new();
        put(&mut cache, 1, 10, 1000);
        put(&mut cache, 2, 1000, 1000);
        assert_eq!(numbers(&cache), [1]);
        // The old contents are gone, too: they are outdated.
        put(&mut cache, 1, 1000, 1000);
        assert!(numbers(&cache).is_empty());
    }

    #[test]
    fn a_long_life_holds_together() {
        let mut cache = Cache::new();
        let mut state = 12_345_u64;
        for _ in 0..50_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (state >> 40) as usize % 50;
            match state >> 33 & 3 {
                0 => put(&mut cache, number, (state >> 50) as usize % 300, 4000),
                1 => cache.flush(&name(number)),
                _ => drop(cache.find(&name(number))),
            }
            let (size, entries, _) = cache.stats();
            let contents = cache.contents();
            assert_eq!(contents.len(), entries);
            assert!(size <= 4000);
            assert_eq!(size, contents.iter().map(|(_, length)| 10 + *length as u64 + OVERHEAD).sum::<u64>());
        }
    }
}
