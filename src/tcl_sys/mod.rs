//! The Tcl C API as this library uses it: types, constants and a table of
//! stub functions that is valid for Tcl 8.6 and 9.0 alike.
//!
//! No logic and no policy live here. Everything is `unsafe` and named as in
//! Tcl's headers; the only user of this module is `tcl`, the safe layer.
//!
//! How one binary serves two Tcls: the library never links libtcl. The
//! interpreter that loads it carries a pointer to the table of stubs, whose
//! slots keep their numbers for ever. Where 8.6 has `int` and 9.0 `Tcl_Size`
//! we pass a sign-extended `isize` (the callee looks at the half it knows)
//! and hand out pointers to zeroed `isize`s (8.6 fills the low half). Both
//! are right on 64-bit little-endian machines, the only ones `build.rs`
//! admits.

#![allow(non_camel_case_types, non_snake_case, missing_docs)]

#[cfg(test)]
mod slots_test;
mod stubs;
mod types;

pub use stubs::*;
pub use types::*;
