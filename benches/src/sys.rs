//! What the benchmarks ask of the operating system: limits of descriptors, CPU time and memory of a process,
//! and the tying of child processes to their parent; and one question to OpenSSL.
//!
//! Everything read from `/proc` is an error where there is none; the `unsafe` calls of the package are all in
//! here.

use std::fs;
use std::io;
use std::process::Command;

use foreign_types::ForeignTypeRef;
use openssl::ssl::SslRef;

use crate::Result;

/// Descriptors that a process of ours needs beside its connections.
const SPARE_DESCRIPTORS: usize = 64;

/// Raises the soft limit of open files to the hard one, and the hard one to `wanted` where we may. Returns
/// the soft limit that now holds.
pub fn raise_open_files(wanted: usize) -> io::Result<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that the call may write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let wanted = (wanted + SPARE_DESCRIPTORS) as libc::rlim_t;
    if wanted > limit.rlim_max {
        let higher = libc::rlimit { rlim_cur: wanted, rlim_max: wanted };
        // SAFETY: `higher` is a valid rlimit that the call only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &higher) } == 0 {
            return Ok(wanted as usize);
        }
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit that the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// How many of `wanted` connections this process, and the server `pid`, can hold open at once.
pub fn connections_possible(wanted: usize, pid: Option<u32>) -> Result<usize> {
    let mut files = raise_open_files(wanted)?;
    if let Some(pid) = pid {
        files = files.min(open_files_limit(pid)?);
    }
    Ok(wanted.min(files.saturating_sub(SPARE_DESCRIPTORS)))
}

/// The soft limit of open files of a process.
fn open_files_limit(pid: u32) -> Result<usize> {
    let limits = read_proc(pid, "limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft {
        Some("unlimited") => Ok(usize::MAX),
        Some(number) => Ok(number.parse()?),
        None => Err(format!("no limit of open files in /proc/{pid}/limits").into()),
    }
}

/// CPU time, of user and system and all threads together, that a process has used so far, in seconds.
///
/// The process's CPU clock counts nanoseconds; `/proc/PID/stat` counts hundredths of a second, too coarse for
/// the short slices in which servers are compared.
#[cfg(target_os = "linux")]
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write only to the variable that they are given.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) != 0
            || libc::clock_gettime(clock, &mut time) != 0
    };
    if failed {
        return Err(format!("no CPU clock of process {pid}: it is gone").into());
    }
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// Elsewhere there is no such clock.
#[cfg(not(target_os = "linux"))]
pub fn cpu_seconds(_pid: u32) -> Result<f64> {
    Err("CPU times are measured on Linux only".into())
}

/// Time that the hypervisor has taken from this machine's processors since it started, in hundredths of a
/// second. On a machine that is not a virtual one it stays 0.
pub fn stolen_ticks() -> u64 {
    cpu_ticks().get(7).copied().unwrap_or(0)
}

/// Time that the processors have worked for processes other than this one and those of its children that have
/// ended, in hundredths of a second. Interrupts count as others' unless the kernel counts them as ours.
pub fn others_ticks() -> u64 {
    let not_idle = |(index, ticks): (usize, u64)| if matches!(index, 0..=2 | 5..=6) { ticks } else { 0 };
    let all: u64 = cpu_ticks().into_iter().enumerate().map(not_idle).sum();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may itself hold blanks. The first field behind it is the third
    // of the file, of which the 14th to 17th are user and system time, our own and our children's.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ours: u64 = fields.skip(11).take(4).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    all.saturating_sub(ours)
}

/// What all processors did, from `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, …
fn cpu_ticks() -> Vec<u64> {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let all_cpus = stat.lines().next().unwrap_or_default();
    all_cpus.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect()
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = read_proc(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kb| kb.trim().parse::<u64>().ok());
    Ok(kilobytes.ok_or_else(|| format!("no VmRSS in /proc/{pid}/status"))? * 1024)
}

fn read_proc(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(|error| format!("{path}: {error}").into())
}

/// Lets the command's process be killed when this one ends, in whatever way: a benchmark that was itself
/// killed must not leave servers behind. It runs on these processors only, unless the list is empty.
#[cfg(target_os = "linux")]
pub fn tie_to_us(command: &mut Command, cpus: &[usize]) {
    use std::os::unix::process::CommandExt;

    let parent = std::process::id();
    // SAFETY: an all-zero cpu_set_t is a valid, empty set, and CPU_SET ignores numbers beyond its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cpus.iter().for_each(|&cpu| libc::CPU_SET(cpu, &mut set));
        set
    };
    let bind = !cpus.is_empty();
    let setup = move || {
        // SAFETY: prctl with PR_SET_PDEATHSIG takes one number, getppid nothing, and sched_setaffinity only
        // reads the set, within its size. All three may be called after fork.
        let well = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) == 0
                && libc::getppid() as u32 == parent
                && (!bind || libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) == 0)
        };
        if well {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure only makes system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(setup) };
}

/// Elsewhere children are ended by `Drop` alone, and run where they like.
#[cfg(not(target_os = "linux"))]
pub fn tie_to_us(_command: &mut Command, _cpus: &[usize]) {}

/// The processors that this process may run on, in order.
#[cfg(target_os = "linux")]
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is a valid, empty set; the calls touch only it, within its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Vec::new();
        }
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
    }
}

/// Elsewhere there is no choice of processors.
#[cfg(not(target_os = "linux"))]
pub fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

extern "C" {
    /// From `openssl/ssl.h`; the crate has only `SSL_pending`, which does not know of records read ahead.
    fn SSL_has_pending(ssl: *const openssl_sys::SSL) -> libc::c_int;
}

/// Whether OpenSSL holds received bytes of this connection, be it the beginning of a record.
pub fn tls_has_pending(ssl: &SslRef) -> bool {
    // SAFETY: the pointer is valid as long as the reference; the function only looks.
    unsafe { SSL_has_pending(ssl.as_ptr()) != 0 }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_limits_memory_and_cpu_time() {
        let pid = std::process::id();
        assert!(raise_open_files(100).unwrap() > 0);
        assert!(open_files_limit(pid).unwrap() > 0);
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(cpu_seconds(pid).unwrap() > 0.0);
    }

    #[test]
    fn children_run_where_they_are_told() {
        let last = *allowed_cpus().last().unwrap();
        let mut command = Command::new("grep");
        command.args(["Cpus_allowed_list", "/proc/self/status"]);
        tie_to_us(&mut command, &[last]);
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(output.split_whitespace().last(), Some(last.to_string().as_str()));
    }

    #[test]
    fn more_connections_than_possible_are_reduced() {
        assert_eq!(connections_possible(10, Some(std::process::id())).unwrap(), 10);
        let wanted = 1 << 40;
        assert!(connections_possible(wanted, None).unwrap() < wanted);
    }
}
