//! Child processes: starting a program with one socket as its line to us,
//! hearing of its end, signals. And what a worker does to its own process:
//! moving that line away from standard input and output, and the text that
//! `ps` shows.
//!
//! Programs are started by posix_spawn(3), so that the size of this process
//! does not matter; only a change of user needs a fork.

use super::descriptor;
use super::identity::Identity;
use socket2::{Domain, Socket, Type};
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};

/// Where the child finds its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// At this descriptor; standard input is /dev/null, standard output goes
    /// where standard error goes.
    At(RawFd),
    /// As its standard input and output.
    Standard,
}

impl Line {
    /// The first descriptor that a child has no use for.
    fn first_free(self) -> RawFd {
        match self {
            Line::At(fd) => fd.max(2) + 1,
            Line::Standard => 3,
        }
    }
}

/// What is to be started.
pub struct Launch<'a> {
    /// The program's file; PATH is not searched.
    pub program: &'a OsStr,
    /// All arguments, that of the program's name included.
    pub arguments: &'a [CString],
    /// The whole environment as `KEY=value`; `None` for that of this process.
    pub environment: Option<&'a [CString]>,
    /// Under which user it runs, when not under that of this process.
    pub identity: Option<&'a Identity>,
    /// Where it finds its line.
    pub line: Line,
}

/// A child of this process. It has to be waited for (`Process::ended`) until
/// it has ended, or it stays a zombie.
#[derive(Debug)]
pub struct Process {
    pid: libc::pid_t,
    /// Readable when the process has ended; `None` on a kernel before 5.3.
    handle: Option<OwnedFd>,
}

/// Two connected stream sockets, both close-on-exec from the beginning.
pub fn socket_pair() -> io::Result<(Socket, Socket)> {
    Socket::pair(Domain::UNIX, Type::STREAM, None)
}

/// Enlarges what a local socket keeps of what was sent and not yet received:
/// fewer turns for a large message. The system may grant less.
pub fn set_send_buffer(socket: &Socket, bytes: usize) {
    let size = bytes.min(libc::c_int::MAX as usize) as libc::c_int;
    // SAFETY: passes an int by pointer and size.
    let forced = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if forced != 0 {
        // Only the privileged may exceed the system's limit.
        let _ = socket.set_send_buffer_size(bytes);
    }
}

/// Starts a program whose end of the line is `line`.
pub fn spawn(launch: &Launch, line: &Socket) -> io::Result<Process> {
    let pid = match launch.identity {
        None => spawn_here(launch, line.as_raw_fd())?,
        Some(identity) => spawn_as(launch, line, identity)?,
    };
    // SAFETY: asks for a descriptor of a child that nobody has waited for yet.
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: a fresh descriptor, close-on-exec as all of its kind.
    let handle = (handle >= 0).then(|| unsafe { OwnedFd::from_raw_fd(handle as RawFd) });
    Ok(Process { pid, handle: handle.map(descriptor::settle) })
}

fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code))
    }
}

/// The settings of posix_spawn, freed when dropped.
struct Attributes(libc::posix_spawnattr_t);
struct Actions(libc::posix_spawn_file_actions_t);

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised when it was made.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised when it was made.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

/// Pointers to the strings, ended by a null.
fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    strings.iter().map(|s| s.as_ptr().cast_mut()).chain([null_mut()]).collect()
}

fn spawn_here(launch: &Launch, line: RawFd) -> io::Result<libc::pid_t> {
    let program = CString::new(launch.program.as_bytes())?;
    let arguments = pointers(launch.arguments);
    let environment = launch.environment.map(pointers);
    // SAFETY: a structure of C, filled in by the init function.
    let mut attributes = Attributes(unsafe { std::mem::zeroed() });
    // SAFETY: as above.
    let mut actions = Actions(unsafe { std::mem::zeroed() });
    let mut pid = 0;
    // SAFETY: all pointers are to live objects; the strings end in NUL and the
    // arrays in null; the environment of the process is read by the kernel, as
    // by every exec.
    unsafe {
        check(libc::posix_spawnattr_init(&mut attributes.0))?;
        check(libc::posix_spawn_file_actions_init(&mut actions.0))?;
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        check(libc::posix_spawnattr_setsigmask(&mut attributes.0, &set))?;
        libc::sigfillset(&mut set);
        check(libc::posix_spawnattr_setsigdefault(&mut attributes.0, &set))?;
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        check(libc::posix_spawnattr_setflags(&mut attributes.0, flags as libc::c_short))?;
        let actions_ptr = &raw mut actions.0;
        match launch.line {
            Line::Standard => {
                check(libc::posix_spawn_file_actions_adddup2(actions_ptr, line, 0))?;
                // 0 is the line by now, and `line` may have been 0 or 1.
                check(libc::posix_spawn_file_actions_adddup2(actions_ptr, 0, 1))?;
            }
            Line::At(fd) => {
                check(libc::posix_spawn_file_actions_adddup2(actions_ptr, line, fd))?;
                check(libc::posix_spawn_file_actions_addopen(
                    actions_ptr,
                    0,
                    c"/dev/null".as_ptr(),
                    libc::O_RDONLY,
                    0,
                ))?;
                // Without a standard error there is nowhere to print to.
                if libc::fcntl(2, libc::F_GETFD) >= 0 {
                    check(libc::posix_spawn_file_actions_adddup2(actions_ptr, 2, 1))?;
                }
            }
        }
        if let Some(close_from) = close_from() {
            check(close_from(actions_ptr, launch.line.first_free()))?;
        }
        let environment = environment.as_ref().map_or(environ.cast_const(), |e| e.as_ptr());
        check(libc::posix_spawn(
            &mut pid,
            program.as_ptr(),
            actions_ptr,
            &attributes.0,
            arguments.as_ptr(),
            environment,
        ))?;
    }
    Ok(pid)
}

/// Closes every descriptor from a number on, in the child.
type CloseFrom = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, libc::c_int) -> libc::c_int;

/// The function of the C library that adds such an action: of glibc since 2.34,
/// of others not at all. Without it a child inherits what is not close-on-exec,
/// as every child does.
fn close_from() -> Option<CloseFrom> {
    static FOUND: OnceLock<Option<CloseFrom>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: looks up a function, which has this type wherever it exists.
        unsafe {
            let found = libc::dlsym(libc::RTLD_DEFAULT, c"posix_spawn_file_actions_addclosefrom_np".as_ptr());
            (!found.is_null()).then(|| std::mem::transmute::<*mut libc::c_void, CloseFrom>(found))
        }
    })
}

extern "C" {
    /// The environment of the process, as every C program has it.
    static environ: *mut *mut libc::c_char;
}

/// Starts a program as another user: groups first, then the group, then the
/// user, all before the program is there.
fn spawn_as(launch: &Launch, line: &Socket, identity: &Identity) -> io::Result<libc::pid_t> {
    let text = |s: &CString| OsStr::from_bytes(s.as_bytes()).to_owned();
    let mut command = Command::new(launch.program);
    if let Some((name, arguments)) = launch.arguments.split_first() {
        command.arg0(text(name)).args(arguments.iter().map(text));
    }
    if let Some(environment) = launch.environment {
        command.env_clear();
        for pair in environment {
            let bytes = pair.as_bytes();
            let (key, value) = bytes.split_at(bytes.iter().position(|b| *b == b'=').unwrap_or(bytes.len()));
            command.env(OsStr::from_bytes(key), OsStr::from_bytes(value.get(1..).unwrap_or_default()));
        }
    }
    let duplicate = || line.try_clone().map(OwnedFd::from);
    match launch.line {
        Line::Standard => {
            command.stdin(Stdio::from(duplicate()?)).stdout(Stdio::from(duplicate()?));
        }
        Line::At(_) => {
            command.stdin(Stdio::null());
        }
    }
    let (fd, place, identity) = (line.as_raw_fd(), launch.line, identity.clone());
    // SAFETY: between fork and exec only system calls are made; nothing is
    // allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            if let Line::At(at) = place {
                if libc::dup2(fd, at) < 0 {
                    return Err(io::Error::last_os_error());
                }
                libc::dup2(2, 1);
            }
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigprocmask(libc::SIG_SETMASK, &set, null_mut());
            let first = place.first_free() as libc::c_uint;
            // Fails on a kernel before 5.11: then the child inherits more.
            libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            for signal in 1..32 {
                libc::signal(signal, libc::SIG_DFL);
            }
            identity.assume()
        });
    }
    // The process is waited for by its number; the handle of the standard
    // library has no descriptors left in it.
    Ok(command.spawn()?.id() as libc::pid_t)
}

impl Process {
    /// The process id.
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// A descriptor that becomes readable when the process has ended.
    pub fn handle(&self) -> Option<RawFd> {
        self.handle.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether the process has ended: how, if that is known. To be asked until
    /// it has, and not again.
    pub fn ended(&self) -> Option<Option<ExitStatus>> {
        let mut status = 0;
        loop {
            // SAFETY: waits for a child of ours without blocking.
            match unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) } {
                0 => return None,
                n if n > 0 => return Some(Some(ExitStatus::from_raw(status))),
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // Somebody else has waited for it, or SIGCHLD is ignored.
                _ => return Some(None),
            }
        }
    }

    /// Sends a signal to the process, if it has not ended.
    pub fn signal(&self, signal: i32) {
        match &self.handle {
            // SAFETY: a descriptor of ours; null asks for the usual details.
            Some(handle) => unsafe {
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    handle.as_raw_fd(),
                    signal,
                    null::<libc::siginfo_t>(),
                    0,
                );
            },
            // SAFETY: a child that was not waited for keeps its number.
            None if self.pid > 0 => unsafe {
                libc::kill(self.pid, signal);
            },
            None => {}
        }
    }
}

/// Counts the forks on the way to this process: what was made in another
/// generation belongs to a parent.
pub fn generation() -> u32 {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // SAFETY: registers a function that touches one atomic number.
        unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
    });
    GENERATION.load(Ordering::Acquire)
}

static GENERATION: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
}

/// Keeps signals away from the calling thread, so that others take them.
pub fn block_signals() {
    // SAFETY: a structure of C that sigfillset fills in.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, null_mut());
    }
}

/// The process id of the parent.
pub fn parent_id() -> i32 {
    // SAFETY: asks for a number and cannot fail.
    unsafe { libc::getppid() }
}

/// Ends this process at once: nothing is flushed, no handler runs.
pub fn end_now(status: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(status) }
}

/// Waits until the other end of `fd` is closed, whatever data arrives
/// meanwhile. Returns early on errors.
pub fn await_hangup(fd: RawFd) {
    // POLLHUP of a pipe and POLLRDHUP of a socket are not masked by data.
    let mut polled = libc::pollfd { fd, events: libc::POLLRDHUP, revents: 0 };
    loop {
        // SAFETY: one valid pollfd.
        let ready = unsafe { libc::poll(&mut polled, 1, -1) };
        if ready > 0 || ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// Takes a worker's line out of its standard input and output (or from the
/// one descriptor where it is): requests are read from the first of the two
/// descriptors, answers go to the second. Then standard input is /dev/null and
/// standard output goes to standard error. All of it is close-on-exec.
pub fn take_line(at: Option<RawFd>) -> io::Result<(OwnedFd, OwnedFd)> {
    let take = |fd: RawFd| {
        // SAFETY: duplicates a descriptor to a number that is free.
        match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) } {
            n if n >= 0 => {
                // SAFETY: fresh, nobody else's.
                Ok(unsafe { OwnedFd::from_raw_fd(n) })
            }
            _ => Err(io::Error::last_os_error()),
        }
    };
    if let Some(at) = at {
        let pair = (take(at)?, take(at)?);
        // SAFETY: the caller's number of a descriptor that is ours to move.
        unsafe { libc::close(at) };
        return Ok(pair);
    }
    let pair = (take(0)?, take(1)?);
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: dup2 replaces the two descriptors; both numbers stay open, so
    // whoever uses them keeps doing so.
    unsafe {
        libc::dup2(null.as_raw_fd(), 0);
        if libc::dup2(2, 1) < 0 {
            libc::dup2(null.as_raw_fd(), 1);
        }
    }
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::time::{Duration, Instant};

    fn c(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    fn start(script: &str, line: Line) -> (Process, Socket) {
        let (ours, theirs) = socket_pair().unwrap();
        let arguments = [c("sh"), c("-c"), c(script)];
        let launch = Launch {
            program: OsStr::new("/bin/sh"),
            arguments: &arguments,
            environment: None,
            identity: None,
            line,
        };
        (spawn(&launch, &theirs).unwrap(), ours)
    }

    fn end_of(process: &Process) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = process.ended() {
                return status.unwrap();
            }
            assert!(Instant::now() < deadline, "the process does not end");
            if let Some(handle) = process.handle() {
                let _ =
                    super::super::wait::wait(handle, super::super::wait::Direction::Readable, Some(deadline));
            }
        }
    }

    #[test]
    fn a_program_speaks_over_its_standard_input_and_output() {
        let (process, mut line) = start("read word; echo got $word; exit 7", Line::Standard);
        line.write_all(b"hello\n").unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "got hello\n");
        assert_eq!(end_of(&process).code(), Some(7));
    }

    #[test]
    fn a_program_speaks_over_a_descriptor() {
        let (process, mut line) = start("read word <&5; echo got $word >&5; cat", Line::At(5));
        line.write_all(b"hello\n").unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "got hello\n");
        // cat has found /dev/null at its standard input.
        assert_eq!(end_of(&process).code(), Some(0));
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let (_ours, theirs) = socket_pair().unwrap();
        for (program, kind) in [
            ("/no/such/program", io::ErrorKind::NotFound),
            ("/etc/passwd", io::ErrorKind::PermissionDenied),
            ("/", io::ErrorKind::PermissionDenied),
        ] {
            let arguments = [c(program)];
            let launch = Launch {
                program: OsStr::new(program),
                arguments: &arguments,
                environment: None,
                identity: None,
                line: Line::Standard,
            };
            assert_eq!(spawn(&launch, &theirs).unwrap_err().kind(), kind, "{program}");
        }
    }

    #[test]
    fn a_signal_ends_it() {
        let (process, _line) = start("exec sleep 60", Line::Standard);
        assert!(process.ended().is_none());
        process.signal(libc::SIGKILL);
        assert_eq!(end_of(&process).signal(), Some(libc::SIGKILL));
    }
}
