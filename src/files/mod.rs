//! Static files: which file a path means, what of it a request gets, and the
//! bytes. Knows of no socket and no script: an `Answer` says what to send.
//!
//! In reading order: `settings` (the configuration), `source` (a name beneath
//! the page directory, or anywhere), `cache` (small files in memory), `open` (a
//! file as it is now, from the cache or from the disk), `variant` (its
//! compressed siblings), `refresh` (when those are made anew), `answer` (status,
//! fields and pieces), `listing` (directories as pages), `media` (types).
//!
//! Nothing is ever mapped into memory. A mapped file that another process
//! truncates kills whoever touches the lost pages (SIGBUS), and a handler for
//! that would be the whole process's. sendfile(2) sends the same pages of the
//! page cache without a copy, and at the end of a shrunk file it simply has no
//! more; so parameter `mmap` is accepted and changes nothing.
#![forbid(unsafe_code)]

pub mod answer;
pub mod cache;
pub mod listing;
pub mod media;
pub mod open;
pub mod refresh;
pub mod settings;
pub mod source;
pub mod variant;

pub use answer::{answer, Answer, Asked, Body, Piece, Stop};
pub use settings::Settings;
pub use source::Source;

#[cfg(test)]
mod tests;
