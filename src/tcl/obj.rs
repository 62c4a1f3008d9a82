//! `Obj`: an owned reference to a `Tcl_Obj`.
//!
//! Cloning takes a reference, dropping gives it back. `&[Obj]` has the layout
//! of C's `Tcl_Obj *const objv[]`, so a command's words are borrowed in place.
//!
//! Also here: what strings and bytes mean on both sides. Tcl keeps text in a
//! UTF-8 of its own (NUL as C0 80, in 8.6 characters above U+FFFF as two
//! surrogates); everything outside this file uses proper UTF-8.

use crate::base::{Error, Result};
use crate::tcl_sys as sys;
use libc::{c_int, c_void};
use std::any::Any;
use std::borrow::Cow;
use std::ptr::{null, null_mut, NonNull};
use std::sync::Arc;

/// An owned reference to a Tcl value. Stays in the thread that made it.
#[repr(transparent)]
pub struct Obj(NonNull<sys::Tcl_Obj>);

/// Takes a reference. The count is the first field, an `int` in 8.6 and a
/// `Tcl_Size` in 9.0; its low half counts in both, since no value has two
/// thousand million references.
///
/// # Safety
/// `obj` is a live value of this thread.
unsafe fn increment(obj: *mut sys::Tcl_Obj) {
    // SAFETY: promised by the caller.
    unsafe { *obj.cast::<i32>() += 1 }
}

impl Clone for Obj {
    fn clone(&self) -> Obj {
        // SAFETY: a live value of this thread.
        unsafe { increment(self.as_ptr()) };
        Obj(self.0)
    }
}

impl Drop for Obj {
    fn drop(&mut self) {
        // SAFETY: gives back the reference that this handle owns; the last one
        // frees the value.
        unsafe {
            let count = self.as_ptr().cast::<i32>();
            *count -= 1;
            if *count <= 0 {
                sys::TclFreeObj(self.as_ptr());
            }
        }
    }
}

impl Obj {
    /// Takes a reference of its own to a value that C lends.
    ///
    /// # Safety
    /// `ptr` is a live value of this thread, or a fresh one without references.
    pub(super) unsafe fn retain(ptr: *mut sys::Tcl_Obj) -> Obj {
        let ptr = NonNull::new(ptr).expect("Tcl never hands out null values here");
        // SAFETY: promised by the caller.
        unsafe { increment(ptr.as_ptr()) };
        Obj(ptr)
    }

    /// Borrows C's `objv` as a slice.
    ///
    /// # Safety
    /// `objv` points at `objc` live values of this thread for the lifetime `'a`.
    pub(super) unsafe fn slice<'a>(objc: usize, objv: *const *mut sys::Tcl_Obj) -> &'a [Obj] {
        if objc == 0 {
            return &[];
        }
        // SAFETY: `Obj` is a transparent non-null pointer; the caller promises the rest.
        unsafe { std::slice::from_raw_parts(objv.cast::<Obj>(), objc) }
    }

    pub(super) fn as_ptr(&self) -> *mut sys::Tcl_Obj {
        self.0.as_ptr()
    }

    /// The empty value.
    pub fn empty() -> Obj {
        Obj::from_str("")
    }

    /// A text value.
    #[allow(clippy::should_implement_trait)]
    pub fn from_str(text: &str) -> Obj {
        let internal = to_internal(text);
        // SAFETY: pointer and length belong to `internal`; Tcl copies.
        unsafe { Obj::retain(sys::Tcl_NewStringObj(internal.as_ptr().cast(), internal.len() as isize)) }
    }

    /// A text value from what `raw_text` gave, here or in another process.
    pub fn from_raw_text(text: &[u8]) -> Obj {
        // SAFETY: pointer and length belong to `text`; Tcl copies.
        unsafe { Obj::retain(sys::Tcl_NewStringObj(text.as_ptr().cast(), text.len() as isize)) }
    }

    /// A byte array.
    pub fn from_bytes(bytes: &[u8]) -> Obj {
        // SAFETY: pointer and length belong to `bytes`; Tcl copies.
        unsafe { Obj::retain(sys::Tcl_NewByteArrayObj(bytes.as_ptr(), bytes.len() as isize)) }
    }

    /// An integer.
    pub fn from_int(value: i64) -> Obj {
        // SAFETY: no preconditions.
        unsafe { Obj::retain(sys::Tcl_NewWideIntObj(value)) }
    }

    /// A floating point number.
    pub fn from_float(value: f64) -> Obj {
        // SAFETY: no preconditions.
        unsafe { Obj::retain(sys::Tcl_NewDoubleObj(value)) }
    }

    /// An integer from a counter; values above `i64::MAX` cannot be reached.
    pub fn from_count(value: u64) -> Obj {
        Obj::from_int(value.min(i64::MAX as u64) as i64)
    }

    /// A list of the given elements.
    pub fn from_list(elements: &[Obj]) -> Obj {
        // SAFETY: `&[Obj]` has the layout of objv; Tcl takes references of its own.
        unsafe { Obj::retain(sys::Tcl_NewListObj(elements.len() as isize, elements.as_ptr().cast())) }
    }

    /// A dict with the given pairs, in their order.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, Obj)>) -> Obj {
        // SAFETY: a fresh, unshared dict; put takes references of its own.
        unsafe {
            let dict = Obj::retain(sys::Tcl_NewDictObj());
            for (key, value) in pairs {
                let key = Obj::from_str(key);
                sys::Tcl_DictObjPut(null_mut(), dict.as_ptr(), key.as_ptr(), value.as_ptr());
            }
            dict
        }
    }

    /// As `from_pairs`, with keys that other dicts have as well.
    pub fn from_shared_pairs<'a>(pairs: impl IntoIterator<Item = (&'a Obj, Obj)>) -> Obj {
        // SAFETY: a fresh, unshared dict; put takes references of its own.
        unsafe {
            let dict = Obj::retain(sys::Tcl_NewDictObj());
            for (key, value) in pairs {
                sys::Tcl_DictObjPut(null_mut(), dict.as_ptr(), key.as_ptr(), value.as_ptr());
            }
            dict
        }
    }

    /// The string representation in Tcl's own encoding: the same as UTF-8 for
    /// whatever can be compared with a word of ours.
    pub fn raw_text(&self) -> &[u8] {
        let mut length = 0isize;
        // SAFETY: a live value; the representation stays while it is borrowed
        // and not converted, and nothing converts through `&self`'s text.
        unsafe {
            let bytes = sys::Tcl_GetStringFromObj(self.as_ptr(), &mut length);
            std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize)
        }
    }

    /// The text. What is no valid Unicode (lone surrogates) becomes U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        let bytes = self.raw_text();
        match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(from_internal(bytes)),
        }
    }

    /// Whether the text equals `other`, an ASCII word.
    pub fn is_word(&self, other: &str) -> bool {
        self.raw_text() == other.as_bytes()
    }

    /// Whether the value is a byte array that has never been used as text:
    /// the rule by which `wsencode` tells bytes from text
    /// (spec/ns_connchan.md 5.3).
    pub fn is_pure_bytes(&self) -> bool {
        thread_local! {
            static BYTE_ARRAY: *const sys::Tcl_ObjType = {
                let sample = Obj::from_bytes(b"");
                // SAFETY: a live value.
                unsafe { (*sample.as_ptr()).typePtr }
            };
        }
        // SAFETY: a live value.
        let (text, kind) = unsafe { ((*self.as_ptr()).bytes, (*self.as_ptr()).typePtr) };
        text.is_null() && BYTE_ARRAY.with(|t| *t == kind)
    }

    /// The value as bytes. Characters above U+00FF lose their high bits under
    /// Tcl 8.6; under 9.0 they are an error, as everywhere in Tcl 9.
    pub fn bytes(&self) -> Result<&[u8]> {
        let mut length = 0isize;
        // SAFETY: a live value; Tcl's pointer stays valid while the value is
        // borrowed and not converted to another type.
        unsafe {
            let bytes = if sys::stubs().major == 8 {
                sys::Tcl_GetByteArrayFromObj(self.as_ptr(), &mut length)
            } else {
                sys::Tcl_GetBytesFromObj(null_mut(), self.as_ptr(), &mut length)
            };
            if bytes.is_null() {
                return Err(self.not_bytes());
            }
            if length == 0 {
                return Ok(&[]);
            }
            Ok(std::slice::from_raw_parts(bytes, length as usize))
        }
    }

    /// The error of Tcl 9 for a value that is no byte sequence.
    #[cold]
    fn not_bytes(&self) -> Error {
        let text = self.text();
        let (index, bad) = text.chars().enumerate().find(|(_, c)| *c > '\u{ff}').unwrap_or((0, '\u{fffd}'));
        Error::with_code(
            format!("expected byte sequence but character {index} was '{bad}' (U+{:06X})", bad as u32),
            &["TCL", "VALUE", "BYTES"],
        )
    }

    /// A Tcl integer in the range of a C int.
    ///
    /// Errors have Tcl's words and the errorCodes of spec/ns_connchan.md 1.4.
    pub fn int(&self) -> Result<i32> {
        let mut wide = 0i64;
        // SAFETY: a live value; without an interpreter no message is left.
        let status = unsafe { sys::Tcl_GetWideIntFromObj(null_mut(), self.as_ptr(), &mut wide) };
        if status == sys::TCL_OK {
            if let Ok(int) = i32::try_from(wide) {
                return Ok(int);
            }
        } else if !self.looks_like_big_integer() {
            return Err(Error::with_code(
                format!("expected integer but got \"{}\"", self.text()),
                &["TCL", "VALUE", "INTEGER"],
            ));
        }
        const TOO_LARGE: &str = "integer value too large to represent";
        Err(Error::with_code(TOO_LARGE, &["ARITH", "IOVERFLOW", TOO_LARGE]))
    }

    /// A Tcl integer of 64 bits; errors as those of `int`.
    pub fn wide(&self) -> Result<i64> {
        let mut wide = 0i64;
        // SAFETY: a live value; without an interpreter no message is left.
        let status = unsafe { sys::Tcl_GetWideIntFromObj(null_mut(), self.as_ptr(), &mut wide) };
        if status == sys::TCL_OK {
            return Ok(wide);
        }
        // Too large for the one is too large for the other.
        Err(self.int().err().unwrap_or_else(|| Error::new("integer value too large to represent")))
    }

    /// An integer that only its size keeps out of 64 bits.
    #[cold]
    fn looks_like_big_integer(&self) -> bool {
        let text = self.text();
        let digits = text.trim().trim_start_matches(['+', '-']).to_ascii_lowercase();
        let (digits, radix) = match digits.split_at_checked(2) {
            Some(("0x", rest)) => (rest, 16),
            Some(("0o", rest)) => (rest, 8),
            Some(("0b", rest)) => (rest, 2),
            _ => (digits.as_str(), 10),
        };
        // No shorter one is too large.
        digits.len() >= 16 && digits.chars().all(|c| c.is_digit(radix))
    }

    /// A callback's result: any integer that fits a C int, or `None`.
    pub fn small_int(&self) -> Option<i32> {
        let mut value: c_int = 0;
        // SAFETY: a live value; without an interpreter no message is left.
        let status = unsafe { sys::Tcl_GetIntFromObj(null_mut(), self.as_ptr(), &mut value) };
        (status == sys::TCL_OK).then_some(value)
    }

    /// A Tcl boolean, or `None`.
    pub fn boolean(&self) -> Option<bool> {
        let mut value: c_int = 0;
        // SAFETY: a live value; without an interpreter no message is left.
        let status = unsafe { sys::Tcl_GetBooleanFromObj(null_mut(), self.as_ptr(), &mut value) };
        (status == sys::TCL_OK).then_some(value != 0)
    }

    /// The elements when the value is a proper list.
    pub fn elements(&self) -> Option<Vec<Obj>> {
        let mut count = 0isize;
        let mut elements: *mut *mut sys::Tcl_Obj = null_mut();
        // SAFETY: a live value; the elements are referenced before anything
        // else can change the list.
        unsafe {
            let status = sys::Tcl_ListObjGetElements(null_mut(), self.as_ptr(), &mut count, &mut elements);
            (status == sys::TCL_OK).then(|| Obj::slice(count as usize, elements).to_vec())
        }
    }

    /// Whether `text` matches the value as a pattern of `string match`.
    pub fn matches_as_pattern(&self, text: &str) -> bool {
        self.is_pattern_of(&Obj::from_str(text))
    }

    /// Whether `subject` matches the value as a pattern of `string match`.
    pub fn is_pattern_of(&self, subject: &Obj) -> bool {
        // SAFETY: two live values, whose strings end in NUL.
        unsafe {
            let mut length = 0isize;
            let pattern = sys::Tcl_GetStringFromObj(self.as_ptr(), &mut length);
            let subject = sys::Tcl_GetStringFromObj(subject.as_ptr(), &mut length);
            sys::Tcl_StringCaseMatch(subject, pattern, 0) != 0
        }
    }

    /// Whether the value is a list that was never text, so that its words
    /// cannot mean anything else when evaluated.
    pub fn is_pure_list(&self) -> bool {
        thread_local! {
            static LIST: *const sys::Tcl_ObjType = {
                let sample = Obj::from_list(&[Obj::empty()]);
                // SAFETY: a live value.
                unsafe { (*sample.as_ptr()).typePtr }
            };
        }
        // SAFETY: a live value.
        let (text, kind) = unsafe { ((*self.as_ptr()).bytes, (*self.as_ptr()).typePtr) };
        text.is_null() && LIST.with(|t| *t == kind)
    }

    /// The Rust object that an earlier `cache` left in this value.
    pub fn cached<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        // SAFETY: a live value; when its type is ours, the two words hold an
        // `Arc<dyn Any>`, of which a reference of its own is taken.
        let target = unsafe {
            let obj = &*self.as_ptr();
            if !std::ptr::eq(obj.typePtr, &HANDLE_TYPE) {
                return None;
            }
            let target: *const (dyn Any + Send + Sync) = std::mem::transmute(obj.internalRep);
            Arc::increment_strong_count(target);
            Arc::from_raw(target)
        };
        target.downcast().ok()
    }

    /// Remembers the Rust object that this value names, so that the next use
    /// needs no look-up. The text stays as it is.
    pub fn cache<T: Any + Send + Sync>(&self, target: Arc<T>) {
        self.raw_text();
        let target: Arc<dyn Any + Send + Sync> = target;
        // SAFETY: a live value whose string representation exists, so the
        // internal one may be replaced; the words are taken back in `free`.
        unsafe {
            let obj = &mut *self.as_ptr();
            if let Some(free) = obj.typePtr.as_ref().and_then(|t| t.freeIntRepProc) {
                free(self.as_ptr());
            }
            obj.internalRep = std::mem::transmute::<*const (dyn Any + Send + Sync), [*mut c_void; 2]>(
                Arc::into_raw(target),
            );
            obj.typePtr = &HANDLE_TYPE;
        }
    }
}

/// The internal representation `cache` sets: an `Arc<dyn Any + Send + Sync>`
/// taken apart into its two words.
static HANDLE_TYPE: sys::Tcl_ObjType = sys::Tcl_ObjType {
    name: c"ns_handle".as_ptr(),
    freeIntRepProc: Some(free_handle),
    dupIntRepProc: Some(dup_handle),
    updateStringProc: None,
    setFromAnyProc: None,
    version: 0,
};

unsafe extern "C" fn free_handle(obj: *mut sys::Tcl_Obj) {
    // SAFETY: Tcl calls this for a value of HANDLE_TYPE, once; dropping an
    // object that scripts name by handle runs no Tcl code and does not panic.
    unsafe {
        let target: *const (dyn Any + Send + Sync) = std::mem::transmute((*obj).internalRep);
        (*obj).typePtr = null();
        drop(Arc::from_raw(target));
    }
}

unsafe extern "C" fn dup_handle(src: *mut sys::Tcl_Obj, dup: *mut sys::Tcl_Obj) {
    // SAFETY: Tcl calls this for a source of HANDLE_TYPE and a fresh copy.
    unsafe {
        let target: *const (dyn Any + Send + Sync) = std::mem::transmute((*src).internalRep);
        Arc::increment_strong_count(target);
        (*dup).internalRep = (*src).internalRep;
        (*dup).typePtr = &HANDLE_TYPE;
    }
}

/// Proper UTF-8 to Tcl's own. Borrows when there is nothing to change.
fn to_internal(text: &str) -> Cow<'_, [u8]> {
    let split_pairs = sys::stubs().major == 8;
    let plain = |b: u8| b != 0 && !(split_pairs && b >= 0xf0);
    if text.bytes().all(plain) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\0' => out.extend_from_slice(&[0xc0, 0x80]),
            c if split_pairs && c > '\u{ffff}' => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let u = u32::from(*unit);
                    out.extend_from_slice(&[
                        0xe0 | (u >> 12) as u8,
                        0x80 | (u >> 6 & 0x3f) as u8,
                        0x80 | (u & 0x3f) as u8,
                    ]);
                }
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(out)
}

/// Tcl's own UTF-8 to the proper one: C0 80 is NUL, two surrogates are one
/// character, anything else that is invalid becomes U+FFFD.
fn from_internal(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (valid, bad) = match std::str::from_utf8(rest) {
            Ok(all) => (all, &rest[rest.len()..]),
            Err(e) => {
                let (head, tail) = rest.split_at(e.valid_up_to());
                (std::str::from_utf8(head).unwrap_or_default(), tail)
            }
        };
        out.push_str(valid);
        rest = match bad {
            [] => &[],
            [0xc0, 0x80, tail @ ..] => {
                out.push('\0');
                tail
            }
            [0xed, a @ 0xa0..=0xaf, b, 0xed, c @ 0xb0..=0xbf, d, tail @ ..] => {
                let high = (u32::from(a & 0x0f) << 6 | u32::from(b & 0x3f)) << 10;
                let low = u32::from(c & 0x0f) << 6 | u32::from(d & 0x3f);
                out.push(char::from_u32(0x10000 + high + low).unwrap_or('\u{fffd}'));
                tail
            }
            [0xed, 0xa0..=0xbf, _, tail @ ..] => {
                out.push('\u{fffd}');
                tail
            }
            [_, tail @ ..] => {
                out.push('\u{fffd}');
                tail
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::from_internal;

    #[test]
    fn tcl_text_becomes_proper_utf8() {
        assert_eq!(from_internal(b"a\xc0\x80b"), "a\0b");
        assert_eq!(from_internal(b"\xed\xa0\xbd\xed\xb8\x80!"), "\u{1f600}!");
        assert_eq!(from_internal(b"x\xed\xa0\xbdy"), "x\u{fffd}y");
        assert_eq!(from_internal(b"\xff\xc3"), "\u{fffd}\u{fffd}");
        assert_eq!(from_internal("ä€".as_bytes()), "ä€");
    }
}
