//! Text values whose bytes arrive from elsewhere, in Tcl's own encoding: they
//! are received into the memory that the value will have.

use super::Obj;
use crate::net::receive::{Body, Filled};
use crate::tcl_sys as sys;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// The most bytes that a value of Tcl 8.6 can have.
const MAX_LENGTH_8: usize = i32::MAX as usize - 1;

/// Memory for a text value, being filled.
pub struct TextBuffer {
    /// `length + 1` bytes from Tcl's allocator.
    memory: NonNull<u8>,
    length: usize,
    filled: usize,
}

impl Body for TextBuffer {
    fn with_length(length: usize) -> Option<TextBuffer> {
        if sys::stubs().major == 8 && length > MAX_LENGTH_8 {
            return None;
        }
        // SAFETY: no preconditions; null when there is no memory.
        let memory = NonNull::new(unsafe { sys::Tcl_AttemptAlloc(length + 1) }.cast())?;
        Some(TextBuffer { memory, length, filled: 0 })
    }

    fn spare(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the bytes from `filled` to `length` are ours, and borrowed
        // with `self`.
        unsafe {
            let start = self.memory.as_ptr().add(self.filled);
            std::slice::from_raw_parts_mut(start.cast(), self.length - self.filled)
        }
    }

    fn accept(&mut self, filled: Filled) {
        let count = filled.at(self.spare().as_ptr().cast());
        self.filled += count;
    }
}

impl TextBuffer {
    /// The value.
    ///
    /// # Panics
    /// When the buffer is not full.
    pub fn into_obj(self) -> Obj {
        assert_eq!(self.filled, self.length, "a value that did not arrive whole");
        if self.length == 0 {
            return Obj::empty();
        }
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: a fresh value without a type, whose string is replaced by
        // memory of the right allocator that ends in NUL: Tcl frees it. The
        // length is stored as both versions read it.
        unsafe {
            this.memory.as_ptr().add(this.length).write(0);
            let obj = sys::Tcl_NewObj();
            (*obj).bytes = this.memory.as_ptr().cast();
            (*obj).length = this.length as isize;
            Obj::retain(obj)
        }
    }

    /// The bytes that have arrived.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many have been filled in.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.filled) }
    }
}

impl Drop for TextBuffer {
    fn drop(&mut self) {
        // SAFETY: memory from Tcl's allocator that no value has taken over.
        unsafe { sys::Tcl_Free(self.memory.as_ptr().cast()) }
    }
}
