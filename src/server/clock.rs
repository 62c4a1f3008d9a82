//! The `date` field: made once a second in each thread.

use crate::http::date;
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends the present time as an HTTP date: `Sun, 22 Nov 2026 00:56:38 GMT`.
pub fn push_date(out: &mut Vec<u8>) {
    thread_local!(static CACHE: RefCell<(u64, [u8; date::LENGTH])> = const { RefCell::new((u64::MAX, [0; date::LENGTH])) });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    CACHE.with_borrow_mut(|(second, text)| {
        if *second != now {
            *second = now;
            *text = date::format(now as i64);
        }
        out.extend_from_slice(text);
    });
}
