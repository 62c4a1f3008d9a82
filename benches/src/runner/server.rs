//! Starting and stopping the servers. A server is killed when its value is dropped, and the kernel kills it
//! when this process ends without dropping anything.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::install::Install;
use super::plan::{Kind, Transport};
use crate::{sys, Result};

/// How long a server may take to print `ready`.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How much of what a server writes to stderr is kept, counted from the end.
const KEPT_COMPLAINTS: usize = 1000;
/// A server counts as settled when it has used less than a tenth of this time.
const SETTLE_STEP: Duration = Duration::from_millis(20);
/// How long it is waited for.
const SETTLE_DEADLINE: Duration = Duration::from_secs(5);

/// A running server.
pub struct Server {
    /// What it is.
    pub kind: Kind,
    /// What it speaks.
    pub transport: Transport,
    /// The port on 127.0.0.1 where it listens.
    pub port: u16,
    child: Child,
    complaints: Arc<Mutex<String>>,
}

impl Server {
    /// Starts a server on a free port and waits until it is ready. `arguments` are those at the end.
    pub fn start(install: &Install, kind: Kind, transport: Transport, arguments: &[&str]) -> Result<Server> {
        let port = free_port()?;
        let mut command = install.command(kind, transport, port)?;
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::tie_to_us(&mut command, &install.server_cpus);
        let mut child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;

        let complaints = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (ready_sender, ready) = mpsc::channel();
        thread::spawn(move || stdout.map(|stdout| watch_stdout(stdout, &ready_sender)));
        let keep = Arc::clone(&complaints);
        let reader = thread::spawn(move || stderr.map(|stderr| keep_complaints(stderr, &keep)));

        let mut server = Server { kind, transport, port, child, complaints };
        match ready.recv_timeout(START_DEADLINE) {
            Ok(()) => Ok(server),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("not ready within {} s{}", START_DEADLINE.as_secs(), server.complaints()).into())
            }
            Err(RecvTimeoutError::Disconnected) => {
                server.stop();
                // With the process gone the rest of its stderr is read in no time.
                let _ = reader.join();
                Err(format!("it ended or closed its stdout without being ready{}", server.complaints())
                    .into())
            }
        }
    }

    /// Its name in the report.
    pub fn name(&self) -> &'static str {
        self.kind.name(self.transport)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it; does nothing the second time.
    pub fn stop(&mut self) {
        // Both fail only for a process that has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of what it wrote to stderr, to be appended to a message; empty when it wrote nothing.
    pub fn complaints(&self) -> String {
        let text = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if text.trim().is_empty() {
            String::new()
        } else {
            format!("; it wrote: {}", text.trim())
        }
    }

    /// Waits until it has finished its work, such as closing the connections of the last measurement, lest
    /// the next one has to share the processors with that.
    pub fn settle(&self) {
        let end = Instant::now() + SETTLE_DEADLINE;
        while let Ok(before) = sys::cpu_seconds(self.pid()) {
            thread::sleep(SETTLE_STEP);
            let used = sys::cpu_seconds(self.pid()).unwrap_or(before) - before;
            if used < SETTLE_STEP.as_secs_f64() / 10.0 || Instant::now() > end {
                break;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on now. Between now and the server's start somebody else might take it: then
/// the server says so and does not start.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Tells when the line `ready` comes, and goes on reading: a server must not block on a full pipe.
fn watch_stdout(stdout: ChildStdout, ready: &Sender<()>) {
    for line in BufReader::new(stdout).lines() {
        match line {
            // Nobody listens any more after the first time.
            Ok(line) if line.trim() == "ready" => drop(ready.send(())),
            Ok(_) => {}
            Err(_) => break,
        }
    }
}

fn keep_complaints(mut stderr: impl Read, complaints: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut buffer) {
        let mut text = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        let superfluous = text.len().saturating_sub(KEPT_COMPLAINTS);
        if let Some(start) = (superfluous..text.len()).find(|&index| text.is_char_boundary(index)) {
            text.drain(..start);
        }
    }
}
