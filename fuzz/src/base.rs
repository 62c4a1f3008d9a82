//! As much of `base` as the codec uses.

#[path = "../../src/base/errno.rs"]
pub mod errno;
#[path = "../../src/base/error.rs"]
pub mod error;

pub use error::{Error, Result};
