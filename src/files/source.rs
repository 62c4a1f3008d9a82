//! Where a file is looked for: beneath the page directory, by the rules for
//! links, or wherever a script says.

use crate::net::beneath::{self, c_string, Links, Root, Stamp};
use parking_lot::Mutex;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// A file's name, and how far it may reach.
#[derive(Debug, Clone)]
pub struct Source {
    /// The directory that must not be left, and the part of the name below it.
    beneath: Option<(Arc<Root>, Links, Vec<u8>)>,
    /// The whole name.
    full: Vec<u8>,
}

impl Source {
    /// What a script names: any file.
    pub fn anywhere(path: &Path) -> Source {
        Source { beneath: None, full: path.as_os_str().as_bytes().to_vec() }
    }

    /// What a url means: `path` is decoded and normal, and begins with a slash;
    /// slashes at its end mean nothing.
    ///
    /// # Errors
    /// The operating system's: the page directory is not there.
    pub fn page(pagedir: &Path, path: &str, links: Links) -> io::Result<Source> {
        let relative = path.trim_matches('/').as_bytes();
        let mut full = pagedir.as_os_str().as_bytes().to_vec();
        if !relative.is_empty() {
            full.push(b'/');
            full.extend_from_slice(relative);
        }
        Ok(Source { beneath: Some((root(pagedir)?, links, relative.to_vec())), full })
    }

    /// The whole name, `suffix` appended.
    pub fn full_name(&self, suffix: &str) -> io::Result<CString> {
        if suffix.is_empty() {
            return c_string(&self.full);
        }
        c_string(&[&self.full, suffix.as_bytes()].concat())
    }

    /// The whole name as text, for messages and scripts.
    pub fn text(&self, suffix: &str) -> String {
        String::from_utf8_lossy(&self.full).into_owned() + suffix
    }

    /// The stamp of the regular file under this very name, if there is one, without opening it.
    /// Whether it may be read is not known by that, nor whether it is beneath the page directory:
    /// that is, when a file beside it could be opened.
    pub fn look(&self) -> Option<Stamp> {
        let stamp = match &self.beneath {
            None => beneath::stamp_of(&self.full_name("").ok()?),
            Some((root, _, path)) => root.look(path),
        };
        stamp.ok().filter(Stamp::is_file)
    }

    /// Opens it, `suffix` appended to its name. Never waits.
    ///
    /// # Errors
    /// The operating system's; see [`Root::file`].
    pub fn open(&self, suffix: &str) -> io::Result<File> {
        match &self.beneath {
            None => beneath::open(&self.full_name(suffix)?),
            Some((root, links, path)) if suffix.is_empty() => root.file(path, *links),
            Some((root, links, path)) => root.file(&[path, suffix.as_bytes()].concat(), *links),
        }
    }

    /// The entries of the directory that it is; see [`Root::entries`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn entries(&self) -> io::Result<Vec<beneath::Entry>> {
        match &self.beneath {
            Some((root, links, path)) => root.entries(path, *links),
            None => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
        }
    }

    /// A file in the directory that this one is.
    pub fn child(&self, name: &str) -> Source {
        let joined = |path: &[u8]| match path {
            [] => name.as_bytes().to_vec(),
            path => [path, b"/", name.as_bytes()].concat(),
        };
        let beneath =
            self.beneath.as_ref().map(|(root, links, path)| (Arc::clone(root), *links, joined(path)));
        Source { beneath, full: joined(&self.full) }
    }
}

/// The page directory, opened. It is kept open, and opened anew when its name
/// leads to another one, as it does after a link was switched to a new version.
fn root(pagedir: &Path) -> io::Result<Arc<Root>> {
    static KEPT: Mutex<Vec<(CString, Arc<Root>)>> = Mutex::new(Vec::new());
    /// Servers of a process that have page directories of their own are few.
    const MOST: usize = 32;

    let name = c_string(pagedir.as_os_str().as_bytes())?;
    let kept = KEPT.lock().iter().find(|(path, _)| *path == name).map(|(_, root)| Arc::clone(root));
    if let Some(root) = kept {
        if root.is_at(&name) {
            return Ok(root);
        }
    }
    let root = Arc::new(Root::open(pagedir)?);
    let mut kept = KEPT.lock();
    kept.retain(|(path, _)| *path != name);
    if kept.len() >= MOST {
        kept.remove(0);
    }
    kept.push((name, Arc::clone(&root)));
    Ok(root)
}
