//! The limit for `ns_proxy`: two processes that send each other bytes over a socket pair, and do nothing
//! else.
//!
//! `bench bare-ping REQUEST ANSWER SECONDS PAIRS` prints the microseconds of a round trip of so many bytes, by
//! the clock and of processor time in both processes (one pair), or the round trips a second and 0 (several
//! pairs, each with a thread here). It starts itself again as
//! `bench bare-pong REQUEST ANSWER` for the other side.

use std::env;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// Round trips between two looks at the clock.
const BATCH: u32 = 20;

fn number<T: std::str::FromStr>(arguments: &[String], index: usize) -> Result<T> {
    let text = arguments.get(index).ok_or("bare-ping REQUEST ANSWER SECONDS PAIRS")?;
    text.parse().map_err(|_| format!("not a number: {text}").into())
}

/// The side that asks.
pub fn ping(arguments: &[String]) -> Result<()> {
    let (request, answer) = (number(arguments, 0)?, number(arguments, 1)?);
    let time = Duration::from_secs_f64(number(arguments, 2)?);
    let pairs: usize = number(arguments, 3)?;
    let rates: Vec<Result<(f64, f64)>> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..pairs).map(|_| scope.spawn(move || rate(request, answer, time))).collect();
        all.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("a thread failed".into()))).collect()
    });
    let rates: Vec<(f64, f64)> = rates.into_iter().collect::<Result<_>>()?;
    match rates[..] {
        [(rate, used)] => println!("{} {used}", 1e6 / rate),
        _ => println!("{} 0", rates.iter().map(|(rate, _)| rate).sum::<f64>()),
    }
    Ok(())
}

/// Microseconds of processor time that the calling thread and another process have used so far.
fn processor_time(child: &Child) -> f64 {
    ["thread-self".to_string(), child.id().to_string()]
        .iter()
        .filter_map(|task| std::fs::read_to_string(format!("/proc/{task}/schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e3
}

/// Round trips a second with a process of its own, and microseconds of processor time for each.
fn rate(request: usize, answer: usize, time: Duration) -> Result<(f64, f64)> {
    let (mut line, theirs) = UnixStream::pair()?;
    let mut child = start(request, answer, theirs)?;
    let question = vec![b'?'; request];
    let mut reply = vec![0; answer];
    let mut round_trip = || -> Result<()> {
        line.write_all(&question)?;
        line.read_exact(&mut reply)?;
        Ok(())
    };
    for _ in 0..BATCH {
        round_trip()?;
    }
    let used = processor_time(&child);
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < time {
        for _ in 0..BATCH {
            round_trip()?;
        }
        count += BATCH;
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    let used = (processor_time(&child) - used) / f64::from(count);
    drop(line);
    child.wait()?;
    Ok((rate, used))
}

fn start(request: usize, answer: usize, line: UnixStream) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["bare-pong".to_string(), request.to_string(), answer.to_string()]);
    Ok(command.stdin(Stdio::from(OwnedFd::from(line))).spawn()?)
}

/// The side that answers, over its standard input.
pub fn pong(arguments: &[String]) -> Result<()> {
    let (request, answer) = (number(arguments, 0)?, number(arguments, 1)?);
    let mut line = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut question = vec![0; request];
    let reply = vec![b'!'; answer];
    while line.read_exact(&mut question).is_ok() {
        line.write_all(&reply)?;
    }
    Ok(())
}
