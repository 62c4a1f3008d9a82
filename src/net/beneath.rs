//! Opening what lies beneath a directory, and nothing else.
//!
//! The kernel's openat2(2) does this in one call that nobody can race against.
//! Where it is missing (before Linux 5.6, or forbidden by a sandbox) the path is
//! walked name by name, each opened without following a link; links are read
//! and walked by the same rules. Also here, since they need the C library: the
//! other questions that static files ask of the file system.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::mem::{size_of, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What becomes of symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Followed while they stay beneath the directory: those that are absolute
    /// or climb above it lead nowhere.
    Beneath,
    /// Followed wherever they lead.
    Anywhere,
    /// Never followed.
    Nowhere,
}

/// Links that one path may pass, as the kernel's own limit.
const MAX_LINKS: usize = 40;

/// How often a path is tried that another process renames meanwhile.
const MAX_ATTEMPTS: usize = 4;

/// Set when the kernel has no openat2.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// What tells the contents of a file from those of others, and from its own at
/// another time; and what kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Time of the last modification: seconds since 1970, nanoseconds.
    pub modified: (i64, i64),
    /// Time of the last change of contents or attributes. Unlike the one of the
    /// modification it cannot be set.
    pub changed: (i64, i64),
    /// File type and permissions, as in `st_mode`.
    pub mode: u32,
}

impl Stamp {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    fn of(stat: &libc::stat) -> Stamp {
        Stamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.max(0) as u64,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode,
        }
    }
}

/// The stamp of an open file.
pub fn stamp(file: &impl AsRawFd) -> io::Result<Stamp> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: an open descriptor, and room for the answer.
    check(unsafe { libc::fstat(file.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: fstat has filled it in.
    Ok(Stamp::of(unsafe { stat.assume_init_ref() }))
}

/// The stamp of what a path leads to, through links.
pub fn stamp_of(path: &CStr) -> io::Result<Stamp> {
    stamp_at(libc::AT_FDCWD, path, 0)
}

fn stamp_at(directory: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<Stamp> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: a string that ends in NUL, and room for the answer.
    check(unsafe { libc::fstatat(directory, path.as_ptr(), stat.as_mut_ptr(), flags) })?;
    // SAFETY: fstatat has filled it in.
    Ok(Stamp::of(unsafe { stat.assume_init_ref() }))
}

/// Opens a file for reading by its name, whatever it is, without waiting: a
/// FIFO without a writer, say.
pub fn open(path: &CStr) -> io::Result<File> {
    open_at(libc::AT_FDCWD, path, READING).map(File::from)
}

const READING: libc::c_int = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;

/// A directory beneath which files are opened.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    stamp: Stamp,
}

impl Root {
    /// Opens a directory.
    ///
    /// # Errors
    /// The operating system's: there is no such directory, or it is none.
    pub fn open(path: &Path) -> io::Result<Root> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let directory = open_at(libc::AT_FDCWD, &c_string(path.as_os_str().as_bytes())?, flags)?;
        let stamp = stamp(&directory)?;
        Ok(Root { directory, stamp })
    }

    /// Whether `path` still leads to this directory, rather than to one that
    /// has taken its place.
    pub fn is_at(&self, path: &CStr) -> bool {
        stamp_of(path).is_ok_and(|now| (now.device, now.inode) == (self.stamp.device, self.stamp.inode))
    }

    /// The stamp of what stands under a name, not of what that may link to. Directories on the
    /// way are followed wherever they lead: this tells of a file, and gives nobody access to it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn look(&self, path: &[u8]) -> io::Result<Stamp> {
        stamp_at(self.directory.as_raw_fd(), &c_string(path)?, libc::AT_SYMLINK_NOFOLLOW)
    }

    /// Opens for reading what `path` leads to from here: names separated by
    /// slashes; empty for the directory itself. Never waits.
    ///
    /// # Errors
    /// The operating system's; `EXDEV` for a path or link that leads out,
    /// `ELOOP` for one that is not to be followed, `EINVAL` for a NUL.
    pub fn file(&self, path: &[u8], links: Links) -> io::Result<File> {
        let path = c_string(if path.is_empty() { b"." } else { path })?;
        if links == Links::Anywhere {
            // Not by names that climb, all the same.
            refuse_climbing(path.to_bytes())?;
            return open_at(self.directory.as_raw_fd(), &path, READING).map(File::from);
        }
        for _ in 0..MAX_ATTEMPTS {
            if NO_OPENAT2.load(Ordering::Relaxed) {
                break;
            }
            match self.openat2(&path, links) {
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOSYS | libc::EPERM | libc::E2BIG) => {
                        NO_OPENAT2.store(true, Ordering::Relaxed);
                    }
                    // Something was renamed on the way.
                    Some(libc::EAGAIN) => {}
                    _ => return Err(error),
                },
                opened => return opened,
            }
        }
        self.walk(path.to_bytes(), links)
    }

    fn openat2(&self, path: &CStr, links: Links) -> io::Result<File> {
        // SAFETY: a struct of numbers, for which zero means "nothing special".
        let mut how: libc::open_how = unsafe { MaybeUninit::zeroed().assume_init() };
        how.flags = READING as u64;
        how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
        if links == Links::Nowhere {
            how.resolve |= libc::RESOLVE_NO_SYMLINKS;
        }
        // SAFETY: an open directory, a string that ends in NUL, and a struct of
        // the size told.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                self.directory.as_raw_fd(),
                path.as_ptr(),
                &how as *const libc::open_how,
                size_of::<libc::open_how>(),
            )
        };
        owned(fd as RawFd).map(File::from)
    }

    /// The same by hand.
    fn walk(&self, path: &[u8], links: Links) -> io::Result<File> {
        // Where the walk stands: the directories entered so far.
        let mut entered: Vec<OwnedFd> = Vec::new();
        let mut ahead: Vec<Vec<u8>> = Vec::new();
        push_names(&mut ahead, path)?;
        let mut passed = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                entered.pop().ok_or_else(leads_out)?;
                continue;
            }
            let here = entered.last().map_or(self.directory.as_raw_fd(), AsRawFd::as_raw_fd);
            let name = c_string(&name)?;
            let found = open_at(here, &name, libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC)?;
            let kind = stamp(&found)?;
            if kind.mode & libc::S_IFMT == libc::S_IFLNK {
                passed += 1;
                if links == Links::Nowhere || passed > MAX_LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                push_names(&mut ahead, &read_link(&found)?)?;
            } else if ahead.is_empty() && !kind.is_directory() {
                let file = open_at(here, &name, READING | libc::O_NOFOLLOW)?;
                // What was looked at is what was opened.
                let opened = stamp(&file)?;
                if (opened.device, opened.inode) != (kind.device, kind.inode) {
                    return Err(io::Error::from_raw_os_error(libc::EAGAIN));
                }
                return Ok(File::from(file));
            } else if kind.is_directory() {
                entered.push(found);
            } else {
                return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
            }
        }
        let here = entered.last().map_or(self.directory.as_raw_fd(), AsRawFd::as_raw_fd);
        open_at(here, c".", READING | libc::O_DIRECTORY).map(File::from)
    }
}

/// Puts the names of a path on top of those that are ahead; the first one ends
/// on top. `.` and empty names say nothing.
fn push_names(ahead: &mut Vec<Vec<u8>>, path: &[u8]) -> io::Result<()> {
    if path.first() == Some(&b'/') {
        return Err(leads_out());
    }
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    ahead.extend(names.rev().map(<[u8]>::to_vec));
    Ok(())
}

fn refuse_climbing(path: &[u8]) -> io::Result<()> {
    let climbs = path.first() == Some(&b'/') || path.split(|&byte| byte == b'/').any(|name| name == b"..");
    if climbs {
        Err(leads_out())
    } else {
        Ok(())
    }
}

fn leads_out() -> io::Error {
    io::Error::from_raw_os_error(libc::EXDEV)
}

/// Where an open symbolic link leads.
fn read_link(link: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut target = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: an open descriptor, the empty string, and a buffer of the length told.
    let length =
        unsafe { libc::readlinkat(link.as_raw_fd(), c"".as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    target.truncate(length as usize);
    Ok(target)
}

fn open_at(directory: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: a string that ends in NUL; without O_CREAT no mode is read.
    owned(unsafe { libc::openat(directory, path.as_ptr(), flags) })
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A path as the system takes it. A NUL would end it before its end.
pub fn c_string(path: &[u8]) -> io::Result<CString> {
    CString::new(path).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// A name in a directory, and what it leads to.
pub struct Entry {
    /// The name, as the directory has it.
    pub name: Vec<u8>,
    /// What it leads to; `None` when that cannot be found out.
    pub stamp: Option<Stamp>,
}

impl Root {
    /// What is in the directory that `path` leads to, without `.` and `..`, in
    /// no order. A link that is not to be followed is left out, since nothing
    /// could be had by it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn entries(&self, path: &[u8], links: Links) -> io::Result<Vec<Entry>> {
        let directory = self.file(path, links)?;
        let by_number = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(by_number)? {
            let name: Vec<u8> = AsRef::<OsStr>::as_ref(&entry?.file_name()).as_bytes().to_vec();
            let found = stamp_at(directory.as_raw_fd(), &c_string(&name)?, libc::AT_SYMLINK_NOFOLLOW);
            let stamp = match found {
                Ok(stamp) if stamp.mode & libc::S_IFMT == libc::S_IFLNK => {
                    match self.linked(path, &name, links) {
                        Some(stamp) => Some(stamp),
                        None => continue,
                    }
                }
                // Gone again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found.ok(),
            };
            entries.push(Entry { name, stamp });
        }
        Ok(entries)
    }

    fn linked(&self, path: &[u8], name: &[u8], links: Links) -> Option<Stamp> {
        let whole = [path, name].join(&b'/');
        let whole = whole.strip_prefix(b"/").unwrap_or(&whole);
        stamp(&self.file(whole, links).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    /// A directory with the files that the tests ask for; removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let path = std::env::temp_dir().join(format!("beneath-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(path.join("pages/d/e")).unwrap();
            for (file, text) in
                [("secret", "secret"), ("pages/a", "a"), ("pages/d/b", "b"), ("pages/d/e/c", "c")]
            {
                std::fs::write(path.join(file), text).unwrap();
            }
            for (target, link) in [
                ("a", "pages/same"),
                ("d/b", "pages/down"),
                ("../a", "pages/d/up"),
                ("../../secret", "pages/d/out"),
                ("../../pages/a", "pages/d/out-and-in"),
                ("..", "pages/parent"),
                ("d", "pages/dir"),
                ("e/../../d/./e", "pages/d/winding"),
                ("loop", "pages/loop"),
                ("missing", "pages/dangling"),
                ("same", "pages/twice"),
            ] {
                symlink(target, path.join(link)).unwrap();
            }
            symlink(path.join("secret"), path.join("pages/absolute")).unwrap();
            symlink(path.join("pages/a"), path.join("pages/absolute-inside")).unwrap();
            Tree(path)
        }

        fn root(&self) -> Root {
            Root::open(&self.0.join("pages")).unwrap()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// What both ways of opening say: the contents, `/` for a directory, or the error.
    fn look(root: &Root, path: &str, links: Links) -> String {
        let shown = |opened: io::Result<File>| match opened {
            Ok(file) if stamp(&file).unwrap().is_directory() => "/".to_owned(),
            Ok(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            }
            Err(error) => crate::base::errno::name(error.raw_os_error().unwrap()),
        };
        let one = shown(root.file(path.as_bytes(), links));
        if links != Links::Anywhere {
            assert_eq!(shown(root.walk(path.as_bytes(), links)), one, "{path}");
        }
        one
    }

    #[test]
    fn nothing_leads_out() {
        let tree = Tree::new("out");
        let root = tree.root();
        for (path, expected) in [
            ("a", "a"),
            ("d/b", "b"),
            ("d/e/c", "c"),
            ("d//e/./c", "c"),
            ("", "/"),
            ("d", "/"),
            ("d/", "/"),
            ("d/../a", "a"),
            ("x", "ENOENT"),
            ("a/b", "ENOTDIR"),
            ("..", "EXDEV"),
            ("../secret", "EXDEV"),
            ("d/../../secret", "EXDEV"),
            ("d/../../pages/a", "EXDEV"),
            ("/etc/passwd", "EXDEV"),
            ("/", "EXDEV"),
            ("same", "a"),
            ("twice", "a"),
            ("down", "b"),
            ("d/up", "a"),
            ("dir/b", "b"),
            ("dir/e/c", "c"),
            ("d/winding/c", "c"),
            ("d/out", "EXDEV"),
            ("d/out-and-in", "EXDEV"),
            ("parent", "EXDEV"),
            ("parent/secret", "EXDEV"),
            ("absolute", "EXDEV"),
            ("absolute-inside", "EXDEV"),
            ("loop", "ELOOP"),
            ("dangling", "ENOENT"),
        ] {
            assert_eq!(look(&root, path, Links::Beneath), expected, "{path}");
        }
    }

    #[test]
    fn links_to_nowhere() {
        let tree = Tree::new("nowhere");
        let root = tree.root();
        for (path, expected) in [
            ("a", "a"),
            ("d/e/c", "c"),
            ("same", "ELOOP"),
            ("dir/b", "ELOOP"),
            ("d/out", "ELOOP"),
            ("absolute", "ELOOP"),
            ("../secret", "EXDEV"),
        ] {
            assert_eq!(look(&root, path, Links::Nowhere), expected, "{path}");
        }
    }

    #[test]
    fn links_to_anywhere() {
        let tree = Tree::new("anywhere");
        let root = tree.root();
        for (path, expected) in [
            ("a", "a"),
            ("d/out", "secret"),
            ("absolute", "secret"),
            ("parent/secret", "secret"),
            ("../secret", "EXDEV"),
            ("d/../../secret", "EXDEV"),
            ("/etc/passwd", "EXDEV"),
        ] {
            assert_eq!(look(&root, path, Links::Anywhere), expected, "{path}");
        }
    }

    #[test]
    fn names_with_nul_are_refused() {
        let tree = Tree::new("nul");
        for links in [Links::Beneath, Links::Anywhere, Links::Nowhere] {
            let error = tree.root().file(b"a\0b", links).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn a_fifo_does_not_stop_anybody() {
        let tree = Tree::new("fifo");
        let made = std::process::Command::new("mkfifo").arg(tree.0.join("pages/fifo")).status();
        assert!(made.is_ok_and(|status| status.success()));
        let root = tree.root();
        for file in [
            root.file(b"fifo", Links::Beneath),
            root.walk(b"fifo", Links::Beneath),
            open(&c_string(tree.0.join("pages/fifo").as_os_str().as_bytes()).unwrap()),
        ] {
            let stamp = stamp(&file.unwrap()).unwrap();
            assert!(!stamp.is_file() && !stamp.is_directory());
        }
    }

    #[test]
    fn a_root_that_was_replaced_is_noticed() {
        let tree = Tree::new("replaced");
        let (root, path) = (tree.root(), c_string(tree.0.join("pages").as_os_str().as_bytes()).unwrap());
        assert!(root.is_at(&path));
        std::fs::rename(tree.0.join("pages"), tree.0.join("old")).unwrap();
        assert!(!root.is_at(&path));
        std::fs::create_dir(tree.0.join("pages")).unwrap();
        assert!(!root.is_at(&path));
        // Whoever has it still has the old one.
        assert_eq!(look(&root, "a", Links::Beneath), "a");
        assert!(Root::open(&tree.0.join("old/a")).is_err());
    }

    #[test]
    fn entries_are_those_that_can_be_had() {
        let tree = Tree::new("entries");
        let root = tree.root();
        let names = |path: &str, links| {
            let mut names: Vec<String> = root
                .entries(path.as_bytes(), links)
                .unwrap()
                .into_iter()
                .map(|entry| {
                    let kind = if entry.stamp.unwrap().is_directory() { "/" } else { "" };
                    String::from_utf8(entry.name).unwrap() + kind
                })
                .collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(names("", Links::Beneath), "a d/ dir/ down same twice");
        assert_eq!(names("", Links::Nowhere), "a d/");
        assert_eq!(names("d", Links::Beneath), "b e/ up winding/");
        assert_eq!(names("d", Links::Anywhere), "b e/ out out-and-in up winding/");
        assert!(root.entries(b"a", Links::Beneath).is_err());
    }
}
