//! Dict operations on values, for commands that work on dicts of their own.
//!
//! A `Dict` is an unshared value: what it was made from is never changed.

use super::Obj;
use crate::base::{Error, Result};
use crate::tcl_sys as sys;
use std::ptr::null_mut;

/// A dict that may be changed.
pub struct Dict(Obj);

/// Dicts within dicts that a path may lead through: each takes some of the stack,
/// here and wherever Tcl makes text of it.
const MAX_DEPTH: usize = 1000;

fn check_depth(path: &[Obj]) -> Result<()> {
    if path.len() > MAX_DEPTH {
        return Err(Error::new(format!("too many nested dictionaries (at most {MAX_DEPTH})")));
    }
    Ok(())
}

impl Dict {
    /// The dict that a text stands for, as `raw_text` gave it; `None` is an
    /// empty one.
    ///
    /// # Errors
    /// A text that is no dict, with Tcl's words.
    pub fn from_raw(text: Option<&[u8]>) -> Result<Dict> {
        let dict = Dict(Obj::from_raw_text(text.unwrap_or_default()));
        dict.size()?;
        Ok(dict)
    }

    /// A dict with the entries of a value.
    ///
    /// # Errors
    /// As for `from_raw`.
    pub fn of(value: &Obj) -> Result<Dict> {
        Dict::from_raw(Some(value.raw_text()))
    }

    /// The number of entries.
    ///
    /// # Errors
    /// A value that is no dict.
    pub fn size(&self) -> Result<usize> {
        let mut size = 0isize;
        // SAFETY: a live value; without an interpreter no message is left.
        let status = unsafe { sys::Tcl_DictObjSize(null_mut(), self.0.as_ptr(), &mut size) };
        if status == sys::TCL_OK {
            return Ok(size as usize);
        }
        match self.0.elements() {
            Some(_) => Err(Error::with_code("missing value to go with key", &["TCL", "VALUE", "DICTIONARY"])),
            None => Err(Error::with_code(
                format!("expected dict but got \"{}\"", self.0.text()),
                &["TCL", "VALUE", "DICTIONARY"],
            )),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Obj) -> Option<Obj> {
        let mut value = null_mut();
        // SAFETY: live values, the first of them a dict (checked when it was
        // made); null when there is no such key.
        unsafe {
            sys::Tcl_DictObjGet(null_mut(), self.0.as_ptr(), key.as_ptr(), &mut value);
            (!value.is_null()).then(|| Obj::retain(value))
        }
    }

    /// The value at the end of a path of keys. `Ok(None)` where a key does not
    /// exist.
    ///
    /// # Errors
    /// A value on the way that is no dict.
    pub fn get_path(&self, path: &[Obj]) -> Result<Option<Obj>> {
        let mut current = self.0.clone();
        for key in path {
            match Dict::of(&current)?.get(key) {
                Some(value) => current = value,
                None => return Ok(None),
            }
        }
        Ok(Some(current))
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: &Obj, value: &Obj) {
        // SAFETY: live values, the first an unshared dict whose text is
        // dropped by the change.
        unsafe { sys::Tcl_DictObjPut(null_mut(), self.0.as_ptr(), key.as_ptr(), value.as_ptr()) };
    }

    /// Sets the value at the end of a path, making dicts on the way.
    ///
    /// # Errors
    /// A value on the way that is no dict; a path that is too long.
    pub fn set_path(&mut self, path: &[Obj], value: &Obj) -> Result<()> {
        check_depth(path)?;
        match path {
            [] => {}
            [key] => self.set(key, value),
            [key, rest @ ..] => {
                let inner = self.get(key);
                let mut inner = Dict::from_raw(inner.as_ref().map(Obj::raw_text))?;
                inner.set_path(rest, value)?;
                self.set(key, &inner.0);
            }
        }
        Ok(())
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, key: &Obj) {
        // SAFETY: as in `set`.
        unsafe { sys::Tcl_DictObjRemove(null_mut(), self.0.as_ptr(), key.as_ptr()) };
    }

    /// Removes what a path of keys leads to, if it is there.
    ///
    /// # Errors
    /// As for `set_path`.
    pub fn remove_path(&mut self, path: &[Obj]) -> Result<()> {
        check_depth(path)?;
        match path {
            [] => {}
            [key] => self.remove(key),
            [key, rest @ ..] => {
                if let Some(value) = self.get(key) {
                    let mut inner = Dict::of(&value)?;
                    inner.remove_path(rest)?;
                    self.set(key, &inner.0);
                }
            }
        }
        Ok(())
    }

    /// Keys and values in turn.
    pub fn entries(&self) -> Vec<(Obj, Obj)> {
        let flat = self.0.elements().unwrap_or_default();
        flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    /// The dict as a value.
    pub fn into_obj(self) -> Obj {
        self.0
    }
}
