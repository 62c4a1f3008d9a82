//! The runner: starts the servers, has them measured over some rounds, and prints a report on stdout.
//!
//! ```text
//! bench ?quick? ?rounds=N? ?servers=bare,ns86,ns90,fe86,fe90? ?parts=echo,idle,accept,memory? ?root=DIR?
//! ```
//!
//! `quick` takes two short rounds instead of five. `servers` and `parts` restrict the run while one works on
//! something. `root` is the project's folder, where `examples` and `benches` are. The environment may name
//! the interpreters (`TCLSH86`, `TCLSH90`; else `tclsh8.6` and `tclsh9.0` on the PATH) and the folder of the
//! library (`TCLLIBPATH`; else the folder of this program, `target/release`).
//!
//! The exit status says whether everything ran, not whether the aims were met: 1 when a server did not start
//! or a measurement failed. An interpreter that is not there is said to be missing, and is no failure.
//!
//! * `install.rs` finds what there is to measure, `server.rs` starts and stops it;
//! * `plan.rs` says what is measured, and what the aims are;
//! * `measure.rs` calls the load generator and keeps its results, `report.rs` prints them.

mod install;
mod measure;
mod plan;
mod report;
mod server;

use std::time::Instant;

use crate::{sys, Result};
use install::Install;
use measure::{Findings, Measurement};
use plan::{Kind, Options, Part, Scenario};
use server::Server;

/// Connections that the load generator keeps in flight when accepting is measured.
const ACCEPTS_IN_FLIGHT: usize = 64;

/// Runs the benchmarks.
pub fn main(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    sys::raise_open_files(2 * plan::MOST_CONNECTIONS)?;
    let started = Instant::now();
    let conditions = report::Conditions::now();
    let install = Install::find(&options.root);
    let mut run =
        Run { findings: Findings::default(), kinds: Vec::new(), failures: Vec::new(), options, install };
    run.find_kinds();
    for round in 0..run.options.rounds {
        run.round(round);
    }
    print!("{}", report::report(&run, &conditions, started.elapsed()));
    match run.failures.len() {
        0 => Ok(()),
        number => Err(format!("{number} of the measurements did not run, see the report").into()),
    }
}

/// A run of the benchmarks: what it measures, and what it has found so far.
struct Run {
    options: Options,
    install: Install,
    /// The servers that can be measured.
    kinds: Vec<Kind>,
    findings: Findings,
    /// What did not run and why, each once.
    failures: Vec<String>,
}

impl Run {
    fn find_kinds(&mut self) {
        for kind in Kind::ALL {
            if self.options.kinds.contains(&kind) && self.install.has(kind) {
                match self.install.check(kind) {
                    Ok(()) => self.kinds.push(kind),
                    Err(error) => self.fail(format!("{kind}: {error}")),
                }
            }
        }
    }

    fn fail(&mut self, failure: String) {
        eprintln!("bench: {failure}");
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    fn progress(&self, round: usize, what: impl std::fmt::Display) {
        eprintln!("round {} of {}: {what}", round + 1, self.options.rounds);
    }

    /// Measures everything once. Each round has servers of its own.
    fn round(&mut self, round: usize) {
        let parts = self.options.parts.clone();
        let mut servers: Vec<Server> = Vec::new();
        if parts.contains(&Part::Echo) || parts.contains(&Part::Accept) {
            for kind in self.kinds_of_round(round) {
                servers.extend(self.start(kind, &[]));
            }
        }
        for part in parts {
            match part {
                Part::Echo => {
                    for (size, conns) in plan::ECHOES {
                        self.progress(round, format_args!("echo, {size} bytes, {conns} connections"));
                        let mode = ["echo".into(), format!("size={size}"), format!("conns={conns}")];
                        self.compare(round, Scenario::Echo { size, conns }, &mode, &mut servers);
                    }
                }
                Part::Accept => {
                    self.progress(round, "accepting");
                    let mode = ["accept".into(), format!("parallel={ACCEPTS_IN_FLIGHT}")];
                    self.compare(round, Scenario::Accept, &mode, &mut servers);
                }
                Part::Idle => {
                    for kind in self.kinds_of_round(round) {
                        self.progress(round, format_args!("{kind} among idle connections"));
                        self.compare_idle(round, kind);
                    }
                }
                Part::Memory => {
                    for kind in self.kinds_of_round(round) {
                        if kind.takes(plan::IDLE_IN_MEMORY) {
                            self.progress(round, format_args!("memory of {kind}"));
                            self.measure_memory(round, kind);
                        }
                    }
                }
            }
        }
    }

    /// The servers in the order of this round: back and forth, as chance should not depend on it.
    fn kinds_of_round(&self, round: usize) -> Vec<Kind> {
        let mut kinds = self.kinds.clone();
        if round % 2 == 1 {
            kinds.reverse();
        }
        kinds
    }

    fn start(&mut self, kind: Kind, arguments: &[&str]) -> Option<Server> {
        match Server::start(&self.install, kind, arguments) {
            Ok(server) => Some(server),
            Err(error) => {
                self.fail(format!("{kind} did not start: {error}"));
                None
            }
        }
    }

    /// Measures all servers in one call of the load generator, which lets them take turns. When that fails,
    /// it is said so in any case, and each is measured alone: it was the fault of one of them, and the others
    /// have done nothing wrong.
    fn compare(&mut self, round: usize, scenario: Scenario, mode: &[String], servers: &mut [Server]) {
        for server in servers.iter_mut() {
            if server.is_alive() {
                continue;
            }
            if let Some(again) = self.start(server.kind, &[]) {
                *server = again;
            }
        }
        if servers.is_empty() {
            return;
        }
        match measure::compare(&self.options, &self.install.load_cpus, mode, servers) {
            Ok(measurements) => {
                for (server, measurement) in servers.iter().zip(measurements) {
                    self.findings.add(round, scenario, server.kind, measurement);
                }
            }
            Err(error) if servers.len() == 1 => self.fail_server(scenario, &mut servers[0], &*error),
            Err(error) => {
                let mut failure = format!("{scenario}, all servers in turns: {error}");
                for server in servers.iter_mut() {
                    let state = if server.is_alive() { "" } else { " (has ended)" };
                    failure +=
                        &format!("; port {}: {}{state}{}", server.port, server.kind, server.complaints());
                }
                self.fail(failure);
                for index in 0..servers.len() {
                    self.compare(round, scenario, mode, &mut servers[index..=index]);
                }
            }
        }
        for server in servers {
            server.settle();
        }
    }

    fn fail_server(&mut self, scenario: Scenario, server: &mut Server, error: &dyn std::fmt::Display) {
        self.fail(format!("{}, {scenario}: {error}{}", server.kind, server.complaints()));
        // What failed once may be stuck: the next measurement gets a new one.
        server.stop();
    }

    /// Measures one kind of server with different numbers of idle connections: one server for each number,
    /// all at the same time, since it is these that are compared.
    fn compare_idle(&mut self, round: usize, kind: Kind) {
        let numbers = kind.idle_numbers();
        let mut servers: Vec<Server> = Vec::new();
        for _ in numbers {
            servers.extend(self.start(kind, &[]));
        }
        if servers.len() < numbers.len() {
            return;
        }
        let list: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let mode = ["echo".into(), "size=64".into(), "conns=20".into(), format!("idle={}", list.join(","))];
        match measure::compare(&self.options, &self.install.load_cpus, &mode, &servers) {
            Ok(measurements) => {
                for (&idle, measurement) in numbers.iter().zip(measurements) {
                    self.findings.add(round, Scenario::Idle { idle }, kind, measurement);
                }
            }
            Err(error) => {
                let scenario = Scenario::Idle { idle: *numbers.last().unwrap_or(&0) };
                let dead = servers.iter_mut().position(|server| !server.is_alive()).unwrap_or(0);
                self.fail_server(scenario, &mut servers[dead], &*error);
            }
        }
    }

    fn measure_memory(&mut self, round: usize, kind: Kind) {
        let Some(mut server) = self.start(kind, kind.arguments_for_memory()) else { return };
        match measure::memory(&self.install.load_cpus, &server, plan::IDLE_IN_MEMORY) {
            Ok(measurement) => self.findings.add(round, Scenario::Memory, kind, measurement),
            Err(error) => self.fail_server(Scenario::Memory, &mut server, &*error),
        }
    }

    /// The measurements of one figure, one for each round.
    fn measurements(&self, scenario: Scenario, kind: Kind) -> Vec<Option<&Measurement>> {
        (0..self.options.rounds).map(|round| self.findings.get(round, scenario, kind)).collect()
    }
}
