//! Variables that all threads share: arrays of key and value, by name
//! (`nsv_*`, spec/support.md 4.4).
//!
//! Values are texts as their owner writes them: bytes that nobody here looks
//! into, or a number. Arrays are spread over shards by their name, each with a
//! lock of its own, so that threads with different arrays seldom meet. Every
//! function is one step for all others; the closures given to them run under
//! the lock and must not come back here.

use crate::base::{Error, Result};
use once_cell::sync::Lazy;
use parking_lot::{Mutex, MutexGuard};
use std::collections::hash_map::RandomState;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// As it was given.
    Text(Vec<u8>),
    /// The result of counting.
    Number(i64),
}

/// One array. Keys may come from peers, so they are hashed as the standard
/// library does it: in a way that cannot be foreseen.
pub type Array = HashMap<Box<[u8]>, Value>;

const SHARDS: usize = 32;

type Shard = Mutex<HashMap<Box<[u8]>, Array>>;

static ARRAYS: Lazy<[Shard; SHARDS]> = Lazy::new(Default::default);

/// Says which shard an array is in.
static HASHING: Lazy<RandomState> = Lazy::new(RandomState::new);

fn shard(array: &[u8]) -> MutexGuard<'static, HashMap<Box<[u8]>, Array>> {
    ARRAYS[HASHING.hash_one(array) as usize % SHARDS].lock()
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// The error about an array that does not exist.
pub fn no_such_array(array: &[u8]) -> Error {
    let name = lossy(array);
    Error::with_code(format!("no such array: {name}"), &["TCL", "LOOKUP", "NSV", "ARRAY", &name])
}

/// The error about a key that does not exist.
pub fn no_such_key(key: &[u8]) -> Error {
    let name = lossy(key);
    Error::with_code(format!("no such key: {name}"), &["TCL", "LOOKUP", "NSV", "KEY", &name])
}

/// Runs `use_it` on an array.
///
/// # Errors
/// There is no such array; what `use_it` returns.
pub fn with<T>(array: &[u8], use_it: impl FnOnce(&mut Array) -> Result<T>) -> Result<T> {
    match shard(array).get_mut(array) {
        Some(found) => use_it(found),
        None => Err(no_such_array(array)),
    }
}

/// Runs `use_it` on an array, which is made when it does not exist.
///
/// # Errors
/// What `use_it` returns.
pub fn with_made<T>(array: &[u8], use_it: impl FnOnce(&mut Array) -> Result<T>) -> Result<T> {
    let mut shard = shard(array);
    if let Some(found) = shard.get_mut(array) {
        return use_it(found);
    }
    use_it(shard.entry(array.into()).or_default())
}

/// Runs `use_it` on an array, if there is one.
pub fn with_any<T>(array: &[u8], use_it: impl FnOnce(Option<&Array>) -> T) -> T {
    use_it(shard(array).get(array))
}

/// Sets a value.
pub fn set(array: &[u8], key: &[u8], value: Value) {
    let mut shard = shard(array);
    match shard.get_mut(array) {
        Some(found) => put(found, key, value),
        None => put(shard.entry(array.into()).or_default(), key, value),
    }
}

/// Sets a value of an array at hand.
pub fn put(array: &mut Array, key: &[u8], value: Value) {
    match array.get_mut(key) {
        Some(old) => *old = value,
        None => {
            array.insert(key.into(), value);
        }
    }
}

/// Adds to a number, which begins as 0; the answer is the sum. `parse` reads
/// a value that is a text.
///
/// # Errors
/// `array variable is not an integer`; a sum that does not fit 64 bits.
pub fn incr(array: &[u8], key: &[u8], by: i64, parse: impl FnOnce(&[u8]) -> Option<i64>) -> Result<i64> {
    let mut shard = shard(array);
    let array = match shard.get_mut(array) {
        Some(found) => found,
        None => shard.entry(array.into()).or_default(),
    };
    let Some(value) = array.get_mut(key) else {
        array.insert(key.into(), Value::Number(by));
        return Ok(by);
    };
    let old = match value {
        Value::Number(number) => *number,
        Value::Text(text) => parse(text).ok_or_else(|| Error::new("array variable is not an integer"))?,
    };
    let sum = old.checked_add(by).ok_or_else(|| Error::new("integer value too large to represent"))?;
    *value = Value::Number(sum);
    Ok(sum)
}

/// Replaces an array's contents, which is made when it does not exist.
pub fn reset(array: &[u8], pairs: Vec<(&[u8], Value)>) {
    let mut fresh = Array::default();
    pairs.into_iter().for_each(|(key, value)| put(&mut fresh, key, value));
    let old = {
        let mut shard = shard(array);
        match shard.get_mut(array) {
            Some(found) => std::mem::replace(found, fresh),
            None => shard.insert(array.into(), fresh).unwrap_or_default(),
        }
    };
    // Freed without the lock.
    drop(old);
}

/// Removes an array; the answer is whether there was one.
pub fn remove(array: &[u8]) -> bool {
    let removed = shard(array).remove(array);
    removed.is_some()
}

/// The names of all arrays that `wanted` accepts.
pub fn names(mut wanted: impl FnMut(&[u8]) -> bool) -> Vec<Box<[u8]>> {
    // `wanted` is asked without a lock: it may be slow.
    let mut names: Vec<Box<[u8]>> = Vec::new();
    for shard in &*ARRAYS {
        names.extend(shard.lock().keys().cloned());
    }
    names.retain(|name| wanted(name));
    names
}

#[cfg(test)]
mod tests {
    //! The arrays are process wide, so that each test has some of its own.
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.as_bytes().into())
    }

    fn parse(text: &[u8]) -> Option<i64> {
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    #[test]
    fn arrays_and_keys() {
        assert_eq!(with(b"test/a", |_| Ok(())), Err(no_such_array(b"test/a")));
        set(b"test/a", b"k", text("1"));
        set(b"test/a", b"k", text("2"));
        assert_eq!(with(b"test/a", |array| Ok(array.get(&b"k"[..]).cloned())), Ok(Some(text("2"))));
        assert!(names(|name| name == b"test/a").len() == 1);
        reset(b"test/a", vec![(b"x", text("1")), (b"x", text("3"))]);
        assert_eq!(with_any(b"test/a", |array| array.map(HashMap::len)), Some(1));
        assert!(remove(b"test/a") && !remove(b"test/a"));
        assert_eq!(no_such_key(b"k").code, ["TCL", "LOOKUP", "NSV", "KEY", "k"]);
    }

    #[test]
    fn counting() {
        assert_eq!(incr(b"test/c", b"k", 5, parse), Ok(5));
        assert_eq!(incr(b"test/c", b"k", -7, parse), Ok(-2));
        set(b"test/c", b"k", text("40"));
        assert_eq!(incr(b"test/c", b"k", 2, parse), Ok(42));
        set(b"test/c", b"k", text("x"));
        assert!(incr(b"test/c", b"k", 1, parse).is_err());
        set(b"test/c", b"k", Value::Number(i64::MAX));
        assert!(incr(b"test/c", b"k", 1, parse).is_err());
    }

    #[test]
    fn threads_count_together() {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    for i in 0..10_000u32 {
                        incr(b"test/t", &i.to_le_bytes()[..1], 1, parse).unwrap();
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let sum = with(b"test/t", |array| {
            Ok(array.values().map(|v| if let Value::Number(n) = v { *n } else { 0 }).sum::<i64>())
        });
        assert_eq!(sum, Ok(40_000));
    }

    #[test]
    fn keys_are_spread() {
        let mut seen = std::collections::HashSet::new();
        for i in 0..10_000 {
            seen.insert(HASHING.hash_one(format!("key{i}").as_bytes()) % 16_384);
        }
        // So many places that many keys take on average, and some less.
        assert!(seen.len() > 7_000, "{}", seen.len());
    }
}
