//! The report: Markdown that reads well as plain text.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use super::measure::{cpu_ratio, ratio, summary, Measurement};
use super::plan::{self, Kind, Measure, Part, Scenario, Transport};
use super::Run;
use crate::stats::Summary;
use crate::sys;

const EXPLANATION: &str = "
The median over the rounds, and the smallest and largest in brackets. `of bare` is the ratio to bare mio in
the same round, slice by slice. `by CPU` is the same ratio by the servers' processor time for each request: it
does not suffer where others use the processors, but is too low for a server that waits by looking. CPU is the
share of one processor while it was measured: where the load generator's is near 100 % and the server's is not,
the server could do more than it was asked to; its CPU time for each request tells how much. Where neither is
near 100 % with 50 connections or more, others were using the processors.
";

const EXPLANATION_OF_BARE90: &str = "
The 9.0 interpreter comes with another OpenSSL than the others, and their speeds differ. So with TLS `of bare`
is for 9.0 the ratio to a bare mio with that OpenSSL. A ratio of 9.0 to tcl-tls has no such correction.
";

const EXPLANATION_OF_MEMORY: &str = "
Resident memory of the process; buffers in the kernel are not in it. The buffers of Tcl's own channels have
their default size here.
";

/// What the machine was like when the run began.
pub struct Conditions {
    load_average: String,
    stolen: u64,
    others: u64,
}

impl Conditions {
    /// As they are now.
    pub fn now() -> Conditions {
        Conditions {
            load_average: first_words("/proc/loadavg", 3),
            stolen: sys::stolen_ticks(),
            others: sys::others_ticks(),
        }
    }
}

/// The whole report on a finished run.
pub fn report(run: &Run, before: &Conditions, elapsed: Duration) -> String {
    let mut text = String::from("# Benchmarks of ns_connchan\n\n");
    text += &machine(run, before, elapsed);
    for part in &run.options.parts {
        text += &match part {
            Part::Echo => echo(run),
            Part::Accept => accept(run),
            Part::Tls => tls(run),
            Part::Handshake => handshake(run),
            Part::Idle => idle(run),
            Part::Memory => memory(run),
            Part::Ws => ws(run),
            Part::Broadcast => broadcast(run),
            Part::WsMemory => ws_memory(run),
            Part::Proxy => run.proxy.report(),
            Part::Support => support(run),
            Part::Http => http(run, false),
            Part::Https => http(run, true),
            Part::Files => files(run),
        };
    }
    text += &aims(run);
    if !run.failures.is_empty() {
        text += "\n## Did not run\n\n";
        for failure in &run.failures {
            let _ = writeln!(text, "- {}", failure.replace('\n', " "));
        }
    }
    text
}

fn machine(run: &Run, before: &Conditions, elapsed: Duration) -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let mut versions = Vec::new();
    for (name, tclsh) in run.install.interpreters() {
        versions.push(match tclsh {
            Some(tclsh) => format!("Tcl {}", tclsh.version),
            None => format!("Tcl {name} is missing and left out"),
        });
    }
    let library =
        [Kind::Connchan86, Kind::Connchan90].into_iter().find_map(|k| run.install.connchan_version(k).ok());
    versions.push(library.map_or("no ns_connchan".into(), |version| format!("ns_connchan {version}")));
    if run.options.needs(Transport::Tls) || run.options.needs(Transport::Https) {
        let tcl_tls = [Kind::Fileevent86, Kind::Fileevent90]
            .into_iter()
            .find_map(|kind| run.install.tcl_tls_version(kind));
        versions.push(tcl_tls.map_or("no tcl-tls".into(), |version| format!("tcl-tls {version}")));
        versions.extend(run.install.openssl_versions());
    }

    if run.options.needs(Transport::WebSocket) || run.options.needs(Transport::Broadcast) {
        let tcllib = run.install.tcllib_version();
        versions.push(tcllib.map_or("no tcllib".into(), |version| format!("tcllib websocket {version}")));
        let python = run.install.websockets_version();
        versions.push(
            python.map_or("no Python websockets".into(), |version| format!("Python websockets {version}")),
        );
    }

    if run.options.parts.contains(&Part::Files) {
        let nginx = run.install.nginx_version();
        versions.push(nginx.map_or("no nginx".into(), |version| format!("nginx {version}")));
    }
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    let date =
        date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string()).unwrap_or_default();
    let seconds = elapsed.as_secs_f64();
    let percent = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds / cpus as f64;
    let slices = run.findings.all().map(Measurement::set_aside);
    let (aside, slices) = slices.fold((0, 0), |(a, n), (aside, number)| (a + aside, n + number));
    let mut text = format!(
        "{date}; Linux {} on {}; {cpus} x {}; {}.\n",
        first_words("/proc/sys/kernel/osrelease", 1),
        std::env::consts::ARCH,
        model.trim_start_matches([' ', '\t', ':']),
        versions.join(", "),
    );
    let _ = writeln!(
        text,
        "{} rounds, {seconds:.0} s; load average at the start {}.\n\
         Of the processors' time the hypervisor took {:.1} %, other processes and interrupts {:.1} %;\n\
         {aside} of {slices} slices were set aside for the former.",
        run.options.rounds,
        before.load_average,
        percent(sys::stolen_ticks(), before.stolen),
        percent(sys::others_ticks(), before.others),
    );
    if let [cpu] = run.install.load_cpus[..] {
        let _ = writeln!(text, "The load generator ran on processor {cpu}, the servers on the others.");
    }
    text += EXPLANATION;
    if run.tls_kinds.contains(&Kind::Bare90) || run.https_kinds.contains(&Kind::Bare90) {
        text += EXPLANATION_OF_BARE90;
    }
    text
}

fn echo(run: &Run) -> String {
    let of = |size, conns| Scenario::Echo { size, conns };
    echo_tables(run, "Echo", &plan::ECHOES, of, &run.kinds)
}

fn tls(run: &Run) -> String {
    let of = |size, conns| Scenario::TlsEcho { size, conns };
    echo_tables(run, "TLS: echo", &plan::TLS_ECHOES, of, &run.tls_kinds)
}

/// A table for each size among these sizes and numbers of connections.
fn echo_tables(
    run: &Run,
    title: &str,
    echoes: &[(usize, usize)],
    scenario: impl Fn(usize, usize) -> Scenario,
    kinds: &[Kind],
) -> String {
    let mut text = String::new();
    for size in [64, 16_384] {
        let _ = write!(text, "\n## {title} of {} bytes\n\n", thousands(size as f64));
        let mut table = Table::new(&RATE_HEADERS);
        table.rename(0, "connections");
        for &(_, conns) in echoes.iter().filter(|&&(of_size, _)| of_size == size) {
            for &kind in kinds {
                let label = thousands(conns as f64);
                rate_row(run, &mut table, &label, scenario(size, conns), kind, Kind::Bare);
            }
        }
        text += &table.text();
    }
    text
}

fn accept(run: &Run) -> String {
    let table = new_connections(run, "accepts/s", Scenario::Accept, &run.kinds);
    format!("\n## New connections: connect, one byte there and back, reset\n\n{table}")
}

fn handshake(run: &Run) -> String {
    let table = new_connections(run, "handshakes/s", Scenario::Handshake, &run.tls_kinds);
    format!(
        "\n## TLS: new connections: full handshake, 64 bytes there and back, close_notify, reset\n\n{table}"
    )
}

fn new_connections(run: &Run, rate: &str, scenario: Scenario, kinds: &[Kind]) -> String {
    let mut table = Table::new(&RATE_HEADERS);
    table.rename(0, "in flight");
    table.rename(2, rate);
    for &kind in kinds {
        let in_flight = super::CONNECTIONS_IN_FLIGHT.to_string();
        rate_row(run, &mut table, &in_flight, scenario, kind, Kind::Bare);
    }
    table.text()
}

fn idle(run: &Run) -> String {
    let mut table = Table::new(&RATE_HEADERS);
    table.rename(0, "idle");
    table.rename(3, "of none");
    for kind in &run.kinds {
        for &idle in kind.idle_numbers() {
            let rounds = run.measurements(Scenario::Idle { idle }, *kind);
            let label = match summary(&rounds, |m| m.get("conns_reduced")) {
                Some(reduced) => format!("reduced to {}", thousands(reduced.median - 20.0)),
                None => thousands(idle as f64),
            };
            rate_row(run, &mut table, &label, Scenario::Idle { idle }, *kind, *kind);
        }
    }
    format!("\n## Echo of 64 bytes on 20 connections among idle ones\n\n{}", table.text())
}

fn memory(run: &Run) -> String {
    let mut table = Table::new(&["server", "bytes for each", "connections"]);
    for kind in run.kinds.iter().filter(|kind| kind.takes(plan::IDLE_IN_MEMORY)) {
        let rounds = run.measurements(Scenario::Memory, *kind);
        let bytes = summary(&rounds, |m| m.get("bytes_per_idle"));
        let reduced = summary(&rounds, |m| m.get("conns_reduced"));
        let conns = reduced.map_or(plan::IDLE_IN_MEMORY as f64, |reduced| reduced.median);
        table.row(&[kind.name(Transport::Plain).into(), with_range(bytes, thousands), thousands(conns)]);
    }
    format!("\n## Memory of idle connections with a callback\n{EXPLANATION_OF_MEMORY}\n{}", table.text())
}

fn ws(run: &Run) -> String {
    let mut table = Table::new(&RATE_HEADERS);
    table.rename(0, "message");
    for (size, text) in plan::WS_ECHOES {
        for &kind in &run.ws_kinds {
            let label = format!("{} bytes{}", thousands(size as f64), if text { " of text" } else { "" });
            rate_row(run, &mut table, &label, Scenario::WsEcho { size, text }, kind, Kind::Bare);
        }
    }
    format!("\n## WebSocket: echo on {} connections\n\n{}", plan::WS_CONNECTIONS, table.text())
}

fn broadcast(run: &Run) -> String {
    let mut table = Table::new(&RATE_HEADERS);
    table.rename(0, "receivers");
    table.rename(2, "deliveries/s");
    for receivers in plan::RECEIVERS {
        for &kind in run.broadcast_kinds.iter().filter(|kind| kind.takes(receivers)) {
            let scenario = Scenario::Broadcast { receivers };
            let rounds = run.measurements(scenario, kind);
            let label = match summary(&rounds, |m| m.get("conns_reduced")) {
                Some(reduced) => format!("reduced to {}", thousands(reduced.median)),
                None => thousands(receivers as f64),
            };
            rate_row(run, &mut table, &label, scenario, kind, Kind::Bare);
        }
    }
    format!("\n## WebSocket: broadcast of {} bytes\n\n{}", plan::BROADCAST_SIZE, table.text())
}

fn http(run: &Run, tls: bool) -> String {
    let mut table = Table::new(&RATE_HEADERS);
    table.rename(0, "body, connections");
    let (all, kinds): (&[_], _) =
        if tls { (&plan::HTTPS, &run.https_kinds) } else { (&plan::HTTP, &run.http_kinds) };
    for &(big, conns) in all {
        for &kind in kinds {
            let scenario = if tls { Scenario::Https { big, conns } } else { Scenario::Http { big, conns } };
            let label = format!("{}, {conns}", plan::body_name(big));
            rate_row(run, &mut table, &label, scenario, kind, Kind::Bare);
        }
    }
    let title = if tls { "HTTPS" } else { "HTTP" };
    let mut text = format!("\n## {title}: requests on connections that are kept\n\n{}", table.text());
    if !tls {
        let mut table = Table::new(&RATE_HEADERS);
        table.rename(0, "in flight");
        table.rename(3, "of tcllib");
        for &kind in &run.once_kinds {
            let in_flight = super::CONNECTIONS_IN_FLIGHT.to_string();
            rate_row(run, &mut table, &in_flight, Scenario::HttpOnce, kind, Kind::Fileevent86);
        }
        let _ = write!(text, "\n## HTTP: a connection for each request\n\n{}", table.text());
    }
    text
}

fn ws_memory(run: &Run) -> String {
    let mut table = Table::new(&["server", "bytes for each", "connections"]);
    for kind in &run.ws_kinds {
        let rounds = run.measurements(Scenario::WsMemory, *kind);
        let bytes = summary(&rounds, |m| m.get("bytes_per_idle"));
        let reduced = summary(&rounds, |m| m.get("conns_reduced"));
        let conns = reduced.map_or(kind.ws_idle_in_memory() as f64, |reduced| reduced.median);
        table.row(&[kind.name(Transport::WebSocket).into(), with_range(bytes, thousands), thousands(conns)]);
    }
    format!("\n## Memory of idle WebSocket connections, without compression\n\n{}", table.text())
}

fn support(run: &Run) -> String {
    let mut table = Table::new(&["interpreter", "command", "µs a call", "peer", "its µs", "times as fast"]);
    for row in run.costs.rows() {
        table.row(&[
            row.kind.name(Transport::Plain).into(),
            row.name,
            with_range(row.micros, three_digits),
            row.peer,
            with_range(row.peer_micros, three_digits),
            with_range(row.ratio, two_digits),
        ]);
    }
    format!("\n## Single commands, beside what else does the same\n\n{}", table.text())
}

fn files(run: &Run) -> String {
    let mut table = Table::new(&RATE_HEADERS);
    table.rename(0, "file");
    table.rename(2, "responses/s (100 MiB: pieces of 64 KiB)");
    table.rename(3, "of nginx");
    for (file, (_, path, ..)) in plan::FILES.iter().enumerate() {
        for (tls, cache) in plan::FILE_SERVERS {
            if cache && !plan::is_kept_in_memory(path) {
                continue;
            }
            let scenario = Scenario::File { file, tls, cache };
            for &kind in &run.file_kinds {
                rate_row(run, &mut table, &scenario.to_string(), scenario, kind, Kind::Nginx);
            }
        }
    }
    format!("\n## Files, against nginx with one worker\n\n{}", table.text())
}

fn aims(run: &Run) -> String {
    let mut table = Table::new(&["server", "aim", "wanted", "measured", "result"]);
    let (mut met, mut measured) = (0, 0);
    let mut aims = plan::aims();
    aims.retain(|aim| run.options.parts.contains(&aim.scenario.part()));
    for aim in &aims {
        let rounds = run.measurements(aim.scenario, aim.kind);
        let (found, wanted, format): (_, _, fn(f64) -> String) = match aim.measure {
            Measure::RatioTo(scenario, kind) => (
                ratio(
                    &rounds,
                    &run.measurements(scenario, run.measure_of(aim.kind, kind, scenario.transport())),
                ),
                format!(">= {:.2}", aim.bound),
                two_digits,
            ),
            Measure::RatioOrRate(scenario, kind, enough) => (
                ratio(&rounds, &run.measurements(scenario, kind)),
                format!(">= {:.2} or {}/s", aim.bound, thousands(enough)),
                two_digits,
            ),
            Measure::Bytes => (
                summary(&rounds, |m| m.get("bytes_per_idle")),
                format!("<= {}", thousands(aim.bound)),
                thousands,
            ),
        };
        let result = match found {
            None => "not measured",
            Some(found) => {
                measured += 1;
                let rate = summary(&rounds, Measurement::rate).map_or(0.0, |summary| summary.median);
                let is_met = aim.is_met_by(found.median, rate);
                met += usize::from(is_met);
                ["not met", "met"][usize::from(is_met)]
            }
        };
        table.row(&[
            aim.kind.name(aim.scenario.transport()).into(),
            aim.what.clone(),
            wanted,
            with_range(found, format),
            result.into(),
        ]);
    }
    format!(
        "\n## Aims\n\n{}\n{met} of {} met, {} not measured.\n",
        table.text(),
        aims.len(),
        aims.len() - measured
    )
}

const RATE_HEADERS: [&str; 9] =
    ["", "server", "requests/s", "of bare", "by CPU", "p50 µs", "p99 µs", "server CPU (each)", "load CPU"];

/// One server in one scenario; the ratio is that to `base`, or in the idle scenarios to the server itself
/// among none.
fn rate_row(run: &Run, table: &mut Table, label: &str, scenario: Scenario, kind: Kind, base: Kind) {
    let rounds = run.measurements(scenario, kind);
    let base_scenario =
        if let Scenario::Idle { .. } = scenario { Scenario::Idle { idle: 0 } } else { scenario };
    let base = run.measure_of(kind, base, scenario.transport());
    let base_rounds = run.measurements(base_scenario, base);
    let of_base = ratio(&rounds, &base_rounds);
    let by_cpu = cpu_ratio(&rounds, &base_rounds);
    let median = |figure: &dyn Fn(&Measurement) -> Option<f64>, format: fn(f64) -> String| {
        summary(&rounds, figure).map_or("-".into(), |summary| format(summary.median))
    };
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let server = median(&|m| m.cpu_share("server_cpu_seconds"), percent);
    let each = median(&Measurement::server_cpu_per_request, |micros| format!("{micros:.2} µs"));
    table.row(&[
        label.to_string(),
        kind.name(scenario.transport()).into(),
        with_range(summary(&rounds, Measurement::rate), thousands),
        with_range(of_base, two_digits),
        by_cpu.map_or("-".into(), |summary| two_digits(summary.median)),
        median(&|m| m.get("latency_p50_us"), thousands),
        median(&|m| m.get("latency_p99_us"), thousands),
        format!("{server} ({each})"),
        median(&|m| m.cpu_share("load_cpu_seconds"), percent),
    ]);
}

/// A table of texts; the columns get as wide as their widest cell.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(headers: &[&str]) -> Table {
        Table { rows: vec![headers.iter().map(|header| header.to_string()).collect()] }
    }

    fn rename(&mut self, column: usize, header: &str) {
        self.rows[0][column] = header.to_string();
    }

    fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.to_vec());
    }

    fn text(&self) -> String {
        let length = |cell: &String| cell.chars().count();
        let columns = 0..self.rows[0].len();
        let widths: Vec<usize> = columns
            .map(|column| self.rows.iter().map(|row| length(&row[column])).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!(" {cell:width$} |"));
            let _ = writeln!(text, "|{}", cells.collect::<String>());
            if number == 0 {
                let dashes = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2)));
                let _ = writeln!(text, "|{}", dashes.collect::<String>());
            }
        }
        text
    }
}

/// `median (min - max)`.
fn with_range(summary: Option<Summary>, format: fn(f64) -> String) -> String {
    match summary {
        Some(Summary { median, min, max }) => {
            format!("{} ({} - {})", format(median), format(min), format(max))
        }
        None => "-".into(),
    }
}

fn two_digits(value: f64) -> String {
    format!("{value:.2}")
}

fn three_digits(value: f64) -> String {
    format!("{value:.3}")
}

/// A whole number with commas.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 {
        text.insert(0, '-');
    }
    text
}

fn first_words(file: &str, number: usize) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().take(number).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(thousands(0.0), "0");
        assert_eq!(thousands(999.4), "999");
        assert_eq!(thousands(1000.0), "1,000");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(-1234.0), "-1,234");
        assert_eq!(thousands(-0.2), "0");
    }

    #[test]
    fn ranges() {
        assert_eq!(with_range(None, thousands), "-");
        assert_eq!(with_range(Summary::of(&[1.0, 3.0, 2.0]), two_digits), "2.00 (1.00 - 3.00)");
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new(&["a", "bb"]);
        table.row(&["long".into(), "µ".into()]);
        assert_eq!(table.text(), "| a    | bb |\n|------|----|\n| long | µ  |\n");
    }
}
