//! What every other room uses and what uses none of them: errors, errno
//! texts, time values, sizes, lists, base64, the log, the configuration table and ordered header
//! sets. Nothing here knows of Tcl or of sockets.

pub mod base64;
pub mod config;
pub mod errno;
pub mod error;
pub mod list;
pub mod log;
pub mod log_file;
pub mod memory_size;
pub mod path;
pub mod rare_vec;
pub mod set;
pub mod time_value;

pub use error::{Error, Result};
