//! Which bytes a value stands for where data is hashed, encoded or written
//! (spec/support.md 2.4), and how they are shown.

use crate::base::base64::{self, Alphabet};
use crate::base::Result;
use crate::crypto;
use crate::tcl::args::{Kind, Opt};
use crate::tcl::Obj;
use std::borrow::Cow;

/// A byte array is its bytes; anything else is UTF-8, or with `-binary` the low
/// byte of each character.
pub(super) fn input(value: &Obj, binary: bool) -> Result<Cow<'_, [u8]>> {
    if binary || value.is_pure_bytes() {
        return value.bytes().map(Cow::Borrowed);
    }
    Ok(match value.text() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// The option `-encoding` of the `ns_crypto` family.
pub(super) const ENCODING: Opt =
    Opt::valued("-encoding", Kind::OneOf(&["hex", "base64url", "base64", "binary"]), "");

/// Bytes by the number of one of the words of `ENCODING`; hexadecimal without.
pub(super) fn encoded(bytes: &[u8], encoding: Option<i64>) -> Obj {
    match encoding {
        None | Some(0) => Obj::from_str(&crypto::hex(bytes)),
        Some(1) => Obj::from_str(&base64::encode(Alphabet::Url, bytes)),
        Some(2) => Obj::from_str(&base64::encode(Alphabet::Standard, bytes)),
        Some(_) => Obj::from_bytes(bytes),
    }
}
