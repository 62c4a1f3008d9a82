//! Users and groups, by name or number, for processes that are started as
//! somebody else.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// Who a process is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: libc::uid_t,
    group: libc::gid_t,
    /// Supplementary groups: those of the user.
    groups: Box<[libc::gid_t]>,
}

/// Room for the strings of an entry of the user database.
const ENTRY: usize = 16 * 1024;

fn unknown(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such {what}: {name}"))
}

impl Identity {
    /// The user of that name or number, who must be in the user database;
    /// with a group of its own choice, or the user's.
    pub fn find(user: &str, group: Option<&str>) -> io::Result<Identity> {
        let (name, id, primary) = find_user(user)?;
        let group = group.map_or(Ok(primary), find_group)?;
        Ok(Identity { user: id, group, groups: groups_of(&name, group).into() })
    }

    /// Whether it is the one of this process already.
    pub fn is_own(&self) -> bool {
        // SAFETY: asks for four numbers.
        unsafe {
            libc::getuid() == self.user
                && libc::geteuid() == self.user
                && libc::getgid() == self.group
                && libc::getegid() == self.group
        }
    }

    /// Makes the calling process that of the identity. For a child between
    /// fork and exec: makes system calls only.
    pub(super) fn assume(&self) -> io::Result<()> {
        // The bare system calls change the calling thread, which is the only
        // one of such a child; those of the C library would look for others.
        let call = |code: libc::c_long| if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: pointer and length describe `groups`; the others take numbers.
        unsafe {
            call(libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()))?;
            call(libc::syscall(libc::SYS_setresgid, self.group, self.group, self.group))?;
            call(libc::syscall(libc::SYS_setresuid, self.user, self.user, self.user))
        }
    }
}

/// Name, number and primary group.
fn find_user(user: &str) -> io::Result<(CString, libc::uid_t, libc::gid_t)> {
    let name = CString::new(user)?;
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut strings = vec![0 as libc::c_char; ENTRY];
    let mut found = null_mut();
    // SAFETY: all pointers are to live objects of the sizes that are given.
    unsafe {
        libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), strings.as_mut_ptr(), ENTRY, &mut found);
    }
    if let (true, Ok(number)) = (found.is_null(), user.parse()) {
        // SAFETY: as above.
        unsafe {
            libc::getpwuid_r(number, entry.as_mut_ptr(), strings.as_mut_ptr(), ENTRY, &mut found);
        }
    }
    if found.is_null() {
        return Err(unknown("user", user));
    }
    // SAFETY: `found` points to `entry`, which was filled in; its name lies in
    // `strings`.
    unsafe {
        let entry = entry.assume_init();
        Ok((std::ffi::CStr::from_ptr(entry.pw_name).to_owned(), entry.pw_uid, entry.pw_gid))
    }
}

fn find_group(group: &str) -> io::Result<libc::gid_t> {
    let name = CString::new(group)?;
    let mut entry = MaybeUninit::<libc::group>::uninit();
    let mut strings = vec![0 as libc::c_char; ENTRY];
    let mut found = null_mut();
    // SAFETY: all pointers are to live objects of the sizes that are given.
    unsafe {
        libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), strings.as_mut_ptr(), ENTRY, &mut found);
    }
    if !found.is_null() {
        // SAFETY: `found` points to `entry`, which was filled in.
        return Ok(unsafe { entry.assume_init() }.gr_gid);
    }
    group.parse().map_err(|_| unknown("group", group))
}

fn groups_of(user: &CString, group: libc::gid_t) -> Vec<libc::gid_t> {
    let mut groups = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: pointer and count describe `groups`.
        let all = unsafe { libc::getgrouplist(user.as_ptr(), group, groups.as_mut_ptr(), &mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if all >= 0 || count <= groups.len() {
            groups.truncate(count);
            return groups;
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_number() {
        let root = Identity::find("root", None).unwrap();
        assert_eq!((root.user, root.group), (0, 0));
        assert_eq!(Identity::find("0", None).unwrap(), root);
        assert_eq!(Identity::find("root", Some("12345")).unwrap().group, 12345);
    }

    #[test]
    fn who_is_not_there_is_refused() {
        for (user, group) in [
            ("no-such-user", None),
            ("4000000000", None),
            ("", None),
            ("root", Some("no-such-group")),
            ("root", Some("")),
        ] {
            let error = Identity::find(user, group).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{user} {group:?}");
        }
    }
}
