//! The runner: starts the servers, has them measured over some rounds, and prints a report on stdout.
//!
//! ```text
//! bench ?quick? ?rounds=N? ?servers=bare,bare90,ns86,ns90,fe86,fe90,py,th86,th90,nginx? ?root=DIR?
//!       ?parts=echo,accept,tls,handshake,idle,memory,ws,broadcast,wsmemory,http,https,files,proxy,support?
//! ```
//!
//! `quick` takes two short rounds instead of five. `servers` and `parts` restrict the run while one works on
//! something; in the parts `tls` and `handshake` all servers speak TLS, and `fe86` and `fe90` are tcl-tls
//! (`bare90` is there where the 9.0 interpreter comes with another OpenSSL);
//! in `ws` and `wsmemory` they speak WebSocket, `fe86` is tcllib's websocket and `py` is Python's; in `broadcast` they
//! send to many. The part `support` has no servers: it measures single commands in `ns86` and `ns90`.
//! `root` is the project's folder, where `examples` and `benches` are. The environment may name
//! the interpreters (`TCLSH86`, `TCLSH90`; else `tclsh8.6` and `tclsh9.0` on the PATH) and the folder of the
//! library (`TCLLIBPATH`; else the folder of this program, `target/release`).
//!
//! The exit status says whether everything ran, not whether the aims were met: 1 when a server did not start
//! or a measurement failed. An interpreter, a tcl-tls, a tcllib or a `websockets` that is not there is said to
//! be missing, and is no failure.
//!
//! * `install.rs` finds what there is to measure, `server.rs` starts and stops it;
//! * `plan.rs` says what is measured, and what the aims are;
//! * `measure.rs` calls the load generator and keeps its results, `report.rs` prints them;
//! * `support.rs` is the part `support`.

mod install;
mod measure;
mod pages;
mod plan;
mod proxy;
mod report;
mod server;
mod support;

use std::time::Instant;

use crate::{sys, Result};
use install::Install;
use measure::{Findings, Measurement};
use plan::{Kind, Options, Part, Scenario, Transport};
use server::Server;

/// Connections that the load generator keeps in flight when new ones are measured.
const CONNECTIONS_IN_FLIGHT: usize = 64;

/// Runs the benchmarks.
pub fn main(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    sys::raise_open_files(2 * plan::MOST_CONNECTIONS)?;
    let started = Instant::now();
    let conditions = report::Conditions::now();
    let mut install = Install::find(&options.root);
    if options.needs(Transport::Tls) || options.needs(Transport::Https) {
        install.prepare_tls()?;
    }
    if options.parts.contains(&Part::Files) {
        install.prepare_files()?;
    }
    if options.needs(Transport::WebSocket) || options.needs(Transport::Broadcast) {
        if let Some(error) = install.find_python().err().filter(|_| options.kinds.contains(&Kind::Python)) {
            eprintln!("bench: without Python's websockets: {error}");
        }
    }
    let mut run = Run {
        findings: Findings::default(),
        proxy: proxy::Proxy::default(),
        costs: support::Costs::default(),
        kinds: Vec::new(),
        tls_kinds: Vec::new(),
        ws_kinds: Vec::new(),
        broadcast_kinds: Vec::new(),
        http_kinds: Vec::new(),
        https_kinds: Vec::new(),
        once_kinds: Vec::new(),
        file_kinds: Vec::new(),
        failures: Vec::new(),
        options,
        install,
    };
    run.kinds = run.find_kinds(Transport::Plain);
    run.tls_kinds = run.find_kinds(Transport::Tls);
    run.ws_kinds = run.find_kinds(Transport::WebSocket);
    run.broadcast_kinds = run.find_kinds(Transport::Broadcast);
    run.http_kinds = run.find_kinds(Transport::Http);
    run.https_kinds = run.find_kinds(Transport::Https);
    run.once_kinds = run.find_kinds(Transport::HttpOnce);
    run.file_kinds = run.find_kinds(Part::Files.transport());
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
    /// Those that can be measured with TLS.
    tls_kinds: Vec<Kind>,
    /// Those that can be measured with WebSocket.
    ws_kinds: Vec<Kind>,
    /// Those that can send to many.
    broadcast_kinds: Vec<Kind>,
    /// Those that speak HTTP.
    http_kinds: Vec<Kind>,
    /// The same over TLS.
    https_kinds: Vec<Kind>,
    /// Those that speak HTTP on a connection for each request.
    once_kinds: Vec<Kind>,
    /// Those that can serve files.
    file_kinds: Vec<Kind>,
    findings: Findings,
    /// What the part `proxy` has found.
    proxy: proxy::Proxy,
    /// What the part `support` has found.
    costs: support::Costs,
    /// What did not run and why, each once.
    failures: Vec<String>,
}

impl Run {
    fn find_kinds(&mut self, transport: Transport) -> Vec<Kind> {
        let mut kinds = Vec::new();
        let part_of = if transport == Transport::HttpOnce { Transport::Http } else { transport };
        if !self.options.needs(part_of) {
            return kinds;
        }
        for kind in Kind::ALL {
            if self.options.kinds.contains(&kind) && self.install.has(kind, transport) {
                match self.install.check(kind, transport) {
                    Ok(()) => kinds.push(kind),
                    Err(error) => self.fail(format!("{}: {error}", kind.name(transport))),
                }
            }
        }
        kinds
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
        let of = |part| parts.contains(&part);
        let mut plain = Vec::new();
        if of(Part::Echo) || of(Part::Accept) {
            plain = self.start_all(round, Transport::Plain);
        }
        let mut tls = Vec::new();
        if of(Part::Tls) || of(Part::Handshake) {
            tls = self.start_all(round, Transport::Tls);
        }
        for part in parts {
            match part {
                Part::Echo => {
                    for (size, conns) in plan::ECHOES {
                        self.progress(round, format_args!("echo, {size} bytes, {conns} connections"));
                        let mode = ["echo".into(), format!("size={size}"), format!("conns={conns}")];
                        self.compare(round, Scenario::Echo { size, conns }, &mode, &mut plain);
                    }
                }
                Part::Accept => {
                    self.progress(round, "accepting");
                    let mode = ["accept".into(), format!("parallel={CONNECTIONS_IN_FLIGHT}")];
                    self.compare(round, Scenario::Accept, &mode, &mut plain);
                }
                Part::Tls => {
                    for (size, conns) in plan::TLS_ECHOES {
                        self.progress(round, format_args!("TLS, {size} bytes, {conns} connections"));
                        let mode =
                            ["echo".into(), "tls".into(), format!("size={size}"), format!("conns={conns}")];
                        self.compare(round, Scenario::TlsEcho { size, conns }, &mode, &mut tls);
                    }
                }
                Part::Handshake => {
                    self.progress(round, "TLS handshakes");
                    let mode = ["handshake".into(), format!("parallel={CONNECTIONS_IN_FLIGHT}")];
                    self.compare(round, Scenario::Handshake, &mode, &mut tls);
                }
                Part::Idle => {
                    for kind in in_order_of_round(&self.kinds, round) {
                        let name = kind.name(Transport::Plain);
                        self.progress(round, format_args!("{name} among idle connections"));
                        self.compare_idle(round, kind);
                    }
                }
                Part::Memory => {
                    for kind in in_order_of_round(&self.kinds, round) {
                        if kind.takes(plan::IDLE_IN_MEMORY) {
                            self.progress(round, format_args!("memory of {}", kind.name(Transport::Plain)));
                            self.measure_memory(round, kind);
                        }
                    }
                }
                Part::Ws => self.compare_ws(round),
                Part::Broadcast => self.compare_broadcast(round),
                Part::Proxy => {
                    self.progress(round, "worker processes");
                    let seconds = if self.options.quick { "0.3" } else { "1" };
                    for failure in self.proxy.round(&self.install, seconds) {
                        self.fail(failure);
                    }
                }
                Part::Support => self.measure_support(round),
                Part::Http => {
                    self.compare_http(round, Transport::Http);
                    self.compare_http_once(round);
                }
                Part::Https => self.compare_http(round, Transport::Https),
                Part::Files => self.compare_files(round),
                Part::WsMemory => {
                    for kind in in_order_of_round(&self.ws_kinds, round) {
                        let name = kind.name(Transport::WebSocket);
                        self.progress(round, format_args!("WebSocket memory of {name}"));
                        self.measure_ws_memory(round, kind);
                    }
                }
            }
        }
    }

    /// Starts one of each kind.
    fn start_all(&mut self, round: usize, transport: Transport) -> Vec<Server> {
        let kinds = match transport {
            Transport::Plain => &self.kinds,
            Transport::Tls => &self.tls_kinds,
            Transport::WebSocket => &self.ws_kinds,
            Transport::Broadcast => &self.broadcast_kinds,
            Transport::Http => &self.http_kinds,
            Transport::Https => &self.https_kinds,
            Transport::HttpOnce => &self.once_kinds,
            Transport::Files { .. } => &self.file_kinds,
        };
        let kinds = in_order_of_round(kinds, round);
        kinds.into_iter().filter_map(|kind| self.start(kind, transport, &[])).collect()
    }

    fn start(&mut self, kind: Kind, transport: Transport, arguments: &[&str]) -> Option<Server> {
        match Server::start(&self.install, kind, transport, arguments) {
            Ok(server) => Some(server),
            Err(error) => {
                self.fail(format!("{} did not start: {error}", kind.name(transport)));
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
            if let Some(again) = self.start(server.kind, server.transport, &[]) {
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
                        &format!("; port {}: {}{state}{}", server.port, server.name(), server.complaints());
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
        self.fail(format!("{}, {scenario}: {error}{}", server.name(), server.complaints()));
        // What failed once may be stuck: the next measurement gets a new one.
        server.stop();
    }

    /// Measures one kind of server with different numbers of idle connections: one server for each number,
    /// all at the same time, since it is these that are compared.
    fn compare_idle(&mut self, round: usize, kind: Kind) {
        let numbers = kind.idle_numbers();
        let mut servers: Vec<Server> = Vec::new();
        for _ in numbers {
            servers.extend(self.start(kind, Transport::Plain, &[]));
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
        let Some(mut server) = self.start(kind, Transport::Plain, kind.arguments_for_memory()) else {
            return;
        };
        match measure::memory(&self.install.load_cpus, &server, plan::IDLE_IN_MEMORY) {
            Ok(measurement) => self.findings.add(round, Scenario::Memory, kind, measurement),
            Err(error) => self.fail_server(Scenario::Memory, &mut server, &*error),
        }
    }

    fn compare_ws(&mut self, round: usize) {
        let mut servers = self.start_all(round, Transport::WebSocket);
        for (size, text) in plan::WS_ECHOES {
            let scenario = Scenario::WsEcho { size, text };
            self.progress(round, scenario);
            let protocol = if text { "wstext" } else { "ws" };
            let conns = format!("conns={}", plan::WS_CONNECTIONS);
            let mode = ["echo".into(), protocol.into(), format!("size={size}"), conns];
            self.compare(round, scenario, &mode, &mut servers);
        }
    }

    fn compare_http(&mut self, round: usize, transport: Transport) {
        let mut servers = self.start_all(round, transport);
        let tls = transport == Transport::Https;
        let all: &[(bool, usize)] = if tls { &plan::HTTPS } else { &plan::HTTP };
        for &(big, conns) in all {
            let scenario = if tls { Scenario::Https { big, conns } } else { Scenario::Http { big, conns } };
            self.progress(round, scenario);
            let path = if big { "path=/big" } else { "path=/hello" };
            let mut mode = vec!["get".into(), path.into(), format!("conns={conns}")];
            if tls {
                mode.push("tls".into());
            }
            self.compare(round, scenario, &mode, &mut servers);
        }
    }

    fn compare_http_once(&mut self, round: usize) {
        self.progress(round, Scenario::HttpOnce);
        let mut servers = self.start_all(round, Transport::HttpOnce);
        let parallel = format!("parallel={CONNECTIONS_IN_FLIGHT}");
        let mode = ["accept".into(), "path=/hello".into(), parallel];
        self.compare(round, Scenario::HttpOnce, &mode, &mut servers);
    }

    fn compare_broadcast(&mut self, round: usize) {
        for receivers in plan::RECEIVERS {
            let scenario = Scenario::Broadcast { receivers };
            self.progress(round, scenario);
            let mut servers = self.start_all(round, Transport::Broadcast);
            servers.retain(|server| server.kind.takes(receivers));
            let size = format!("size={}", plan::BROADCAST_SIZE);
            let mode = ["broadcast".into(), size, format!("receivers={receivers}")];
            self.compare(round, scenario, &mode, &mut servers);
        }
    }

    fn compare_files(&mut self, round: usize) {
        for (tls, cache) in plan::FILE_SERVERS {
            let mut servers = self.start_all(round, Transport::Files { tls, cache });
            for (file, (_, path, conns, bytes)) in plan::FILES.into_iter().enumerate() {
                if cache && !plan::is_kept_in_memory(path) {
                    continue;
                }
                let scenario = Scenario::File { file, tls, cache };
                self.progress(round, scenario);
                let mut mode = vec!["get".to_owned(), format!("path={path}"), format!("conns={conns}")];
                mode.extend(tls.then(|| "tls".to_owned()));
                mode.extend(bytes.then(|| "bytes".to_owned()));
                mode.extend((path == "/page.html").then(|| "accept=gzip".to_owned()));
                self.compare(round, scenario, &mode, &mut servers);
            }
        }
    }

    fn measure_ws_memory(&mut self, round: usize, kind: Kind) {
        let Some(mut server) = self.start(kind, Transport::WebSocket, &[]) else { return };
        match measure::memory(&self.install.load_cpus, &server, kind.ws_idle_in_memory()) {
            Ok(measurement) => self.findings.add(round, Scenario::WsMemory, kind, measurement),
            Err(error) => self.fail_server(Scenario::WsMemory, &mut server, &*error),
        }
    }

    fn measure_support(&mut self, round: usize) {
        let kinds = [Kind::Connchan86, Kind::Connchan90];
        let kinds: Vec<Kind> = kinds.into_iter().filter(|kind| self.options.kinds.contains(kind)).collect();
        for kind in in_order_of_round(&kinds, round) {
            if !self.install.has(kind, Transport::Plain) {
                continue;
            }
            let name = kind.name(Transport::Plain);
            self.progress(round, format_args!("commands of {name}"));
            let milliseconds = if self.options.quick { 60 } else { 250 };
            if let Err(error) = self.costs.measure(&self.install, kind, round, milliseconds) {
                self.fail(format!("{name}, commands: {error}"));
            }
        }
    }

    /// The one that stands for another as the measure of `kind`: of TLS servers the bare one with the same
    /// OpenSSL.
    fn measure_of(&self, kind: Kind, base: Kind, transport: Transport) -> Kind {
        match (kind, base, transport) {
            (Kind::Bare90 | Kind::Connchan90 | Kind::Fileevent90, Kind::Bare, Transport::Tls)
                if self.tls_kinds.contains(&Kind::Bare90) =>
            {
                Kind::Bare90
            }
            (Kind::Bare90 | Kind::Connchan90 | Kind::Threads90, Kind::Bare, Transport::Https)
                if self.https_kinds.contains(&Kind::Bare90) =>
            {
                Kind::Bare90
            }
            _ => base,
        }
    }

    /// The measurements of one figure, one for each round.
    fn measurements(&self, scenario: Scenario, kind: Kind) -> Vec<Option<&Measurement>> {
        (0..self.options.rounds).map(|round| self.findings.get(round, scenario, kind)).collect()
    }
}

/// Back and forth from round to round, as chance should not depend on the order.
fn in_order_of_round(kinds: &[Kind], round: usize) -> Vec<Kind> {
    let mut kinds = kinds.to_vec();
    if round % 2 == 1 {
        kinds.reverse();
    }
    kinds
}
