//! Model tests: the files of the library that hold what threads share without
//! a mutex, compiled here against loom's atomics, so that loom can try every
//! order of events (and what the memory model allows beyond) instead of the few
//! that a run happens to have.
//!
//! `cargo test -p models`, part of `make test`. A model is small: two or three
//! threads, each with the few steps that matter, and what must hold afterwards.

#![allow(dead_code)]

/// `src/connchan/claim.rs`.
#[cfg(test)]
mod connchan {
    mod sync {
        pub use loom::sync::atomic::{AtomicU8, Ordering};
    }

    #[path = "../../../src/connchan/claim.rs"]
    mod claim;

    mod registration;
    mod turns;
}

/// `src/reactor/readiness.rs`.
#[cfg(test)]
mod reactor {
    mod sync {
        pub use loom::sync::atomic::{AtomicBool, AtomicU8, Ordering};
    }

    #[path = "../../../src/reactor/readiness.rs"]
    mod readiness;

    mod edges;
}
