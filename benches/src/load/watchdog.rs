//! Ends the process when no connection was answered for a while: `accept` and `handshake` read without a
//! timeout, since setting one would cost a system call for each connection.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::connect::PATIENCE;

/// How many connections were answered so far.
static ANSWERED: AtomicUsize = AtomicUsize::new(0);

/// Starts watching, for the rest of the process's life.
pub fn start() {
    std::thread::spawn(watch);
}

/// Tells that a connection was answered.
pub fn answered() {
    ANSWERED.fetch_add(1, Ordering::Relaxed);
}

fn watch() {
    let mut before = ANSWERED.load(Ordering::Relaxed);
    loop {
        std::thread::sleep(PATIENCE);
        let now = ANSWERED.load(Ordering::Relaxed);
        if now == before {
            eprintln!("load: the server answered nobody for {} s", PATIENCE.as_secs());
            std::process::exit(1);
        }
        before = now;
    }
}
