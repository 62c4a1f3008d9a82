//! Calling the load generator, and keeping what it found.

use std::collections::HashMap;
use std::env;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::plan::{Kind, Options, Scenario, Transport};
use super::server::Server;
use crate::stats::{ratios, Summary};
use crate::{sys, Result};

/// No call of the load generator takes as long as this.
const LOAD_DEADLINE: Duration = Duration::from_secs(90);

/// One line of results of the load generator.
#[derive(Debug, Default)]
pub struct Measurement {
    values: HashMap<String, f64>,
    /// The rates of the slices, where there are slices; `None` for those that were set aside.
    slices: Vec<Option<f64>>,
}

/// All measurements of a run.
#[derive(Default)]
pub struct Findings(HashMap<(usize, Scenario, Kind), Measurement>);

/// Measures servers in turns, with the load generator on `cpus`: `mode` are the sub-mode of `load` and its
/// particular arguments. One measurement for each server, in their order.
pub fn compare(
    options: &Options,
    cpus: &[usize],
    mode: &[String],
    servers: &[Server],
) -> Result<Vec<Measurement>> {
    let join = |number: fn(&Server) -> String| servers.iter().map(number).collect::<Vec<_>>().join(",");
    let mut arguments = mode.to_vec();
    arguments.push(format!("port={}", join(|server| server.port.to_string())));
    arguments.push(format!("pid={}", join(|server| server.pid().to_string())));
    arguments.extend(options.durations().map(str::to_string));
    call(&arguments, cpus, servers.len())
}

/// Measures the memory that a server needs for so many idle connections.
pub fn memory(cpus: &[usize], server: &Server, conns: usize) -> Result<Measurement> {
    let (port, pid) = (server.port, server.pid());
    let mut arguments =
        vec!["idle".into(), format!("port={port}"), format!("pid={pid}"), format!("conns={conns}")];
    if server.transport == Transport::WebSocket {
        arguments.push("ws".into());
    }
    call(&arguments, cpus, 1)?.pop().ok_or_else(|| "no results".into())
}

/// Calls the load generator, on these processors; it prints so many lines.
fn call(arguments: &[String], cpus: &[usize], lines: usize) -> Result<Vec<Measurement>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("load").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::tie_to_us(&mut command, cpus);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // The receiver has gone when the deadline is over.
        let _ = sender.send((read_all(stdout), read_all(stderr)));
    });
    let received = receiver.recv_timeout(LOAD_DEADLINE);
    if received.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let (output, errors) =
        received.map_err(|_| format!("the load took over {} s", LOAD_DEADLINE.as_secs()))?;
    if !status.success() {
        return Err(errors.trim().to_string().into());
    }
    let measurements = output.lines().map(Measurement::parse).collect::<Result<Vec<_>>>()?;
    if measurements.len() == lines {
        Ok(measurements)
    } else {
        Err(format!("expected {lines} lines of results, got: {output}").into())
    }
}

/// Its outputs are short, so that reading one after the other blocks nobody.
fn read_all(stream: Option<impl Read>) -> String {
    let mut text = String::new();
    if let Some(mut stream) = stream {
        // What could be read is what there is to report.
        let _ = stream.read_to_string(&mut text);
    }
    text
}

impl Measurement {
    fn parse(line: &str) -> Result<Measurement> {
        let mut measurement = Measurement::default();
        let mut words = line.split_whitespace();
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            let number = |text: &str| text.parse::<f64>().map_err(|_| format!("bad result {key} {text}"));
            if key == "slices" {
                let slice = |text: &str| if text == "-" { Ok(None) } else { number(text).map(Some) };
                measurement.slices = value.split(',').map(slice).collect::<std::result::Result<_, _>>()?;
            } else {
                measurement.values.insert(key.to_string(), number(value)?);
            }
        }
        Ok(measurement)
    }

    /// A result by its key.
    pub fn get(&self, key: &str) -> Option<f64> {
        self.values.get(key).copied()
    }

    /// Requests, accepts or handshakes a second.
    pub fn rate(&self) -> Option<f64> {
        ["requests_per_second", "accepts_per_second", "handshakes_per_second", "deliveries_per_second"]
            .into_iter()
            .find_map(|key| self.get(key))
    }

    /// CPU seconds under one of the keys for each second of the measurement.
    pub fn cpu_share(&self, key: &str) -> Option<f64> {
        Some(self.get(key)? / self.get("seconds")?)
    }

    /// CPU time of the server for each request, in microseconds.
    pub fn server_cpu_per_request(&self) -> Option<f64> {
        Some(self.get("server_cpu_seconds")? / self.get("count")? * 1e6)
    }

    /// The rate as a ratio to another measurement's: the median over neighbouring slices; that of the whole
    /// where no two neighbours count.
    fn ratio_to(&self, other: &Measurement) -> Option<f64> {
        match Summary::of(&ratios(&self.slices, &other.slices)) {
            Some(summary) => Some(summary.median),
            None => Some(self.rate()? / other.rate()?).filter(|ratio| ratio.is_finite()),
        }
    }

    /// How many slices were set aside, and how many there were.
    pub fn set_aside(&self) -> (usize, usize) {
        (self.slices.iter().filter(|slice| slice.is_none()).count(), self.slices.len())
    }
}

impl Findings {
    /// Keeps a measurement.
    pub fn add(&mut self, round: usize, scenario: Scenario, kind: Kind, measurement: Measurement) {
        self.0.insert((round, scenario, kind), measurement);
    }

    /// The measurement of a round, when there is one.
    pub fn get(&self, round: usize, scenario: Scenario, kind: Kind) -> Option<&Measurement> {
        self.0.get(&(round, scenario, kind))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Measurement> {
        self.0.values()
    }
}

/// The summary of a figure over the rounds.
pub fn summary(
    rounds: &[Option<&Measurement>],
    figure: impl Fn(&Measurement) -> Option<f64>,
) -> Option<Summary> {
    let values: Vec<f64> = rounds.iter().flatten().filter_map(|measurement| figure(measurement)).collect();
    Summary::of(&values)
}

/// The summary of the ratios of two rates, each pair from the same round.
pub fn ratio(a: &[Option<&Measurement>], b: &[Option<&Measurement>]) -> Option<Summary> {
    let pairs = a.iter().zip(b).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
    Summary::of(&pairs.filter_map(|(a, b)| a.ratio_to(b)).collect::<Vec<f64>>())
}

/// The same by the processor time that the servers needed for each request.
pub fn cpu_ratio(a: &[Option<&Measurement>], b: &[Option<&Measurement>]) -> Option<Summary> {
    let each = |rounds: &[Option<&Measurement>]| {
        rounds.iter().map(|m| m.and_then(Measurement::server_cpu_per_request)).collect::<Vec<_>>()
    };
    // Who needs half the time has twice the rate.
    Summary::of(&ratios(&each(b), &each(a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_results() {
        let line = "port 7 requests_per_second 200.5 count 100 seconds 0.5 server_cpu_seconds 0.25 \
                    slices 190.0,-,210.0";
        let measurement = Measurement::parse(line).unwrap();
        assert_eq!(measurement.rate(), Some(200.5));
        assert_eq!(measurement.cpu_share("server_cpu_seconds"), Some(0.5));
        assert_eq!(measurement.server_cpu_per_request(), Some(2500.0));
        assert_eq!(measurement.set_aside(), (1, 3));
        assert_eq!(measurement.get("latency_p50_us"), None);
        assert!(Measurement::parse("count many").is_err());
    }

    #[test]
    fn ratios_go_by_neighbouring_slices() {
        let a = Measurement::parse("accepts_per_second 9 slices 8,-,4,9").unwrap();
        let b = Measurement::parse("accepts_per_second 10 slices 10,5,5,-").unwrap();
        assert_eq!(a.ratio_to(&b), Some(0.8));
        let c = Measurement::parse("accepts_per_second 18 slices -,18,-,-").unwrap();
        assert_eq!(a.ratio_to(&c), Some(0.5));
    }

    #[test]
    fn less_processor_time_is_a_higher_ratio() {
        let a = Measurement::parse("count 100 server_cpu_seconds 0.5").unwrap();
        let b = Measurement::parse("count 50 server_cpu_seconds 0.2").unwrap();
        assert!((cpu_ratio(&[Some(&a)], &[Some(&b)]).unwrap().median - 0.8).abs() < 1e-9);
        assert!(cpu_ratio(&[Some(&a)], &[None]).is_none());
    }

    #[test]
    fn summaries_leave_out_rounds_that_did_not_run() {
        let a = Measurement::parse("requests_per_second 10").unwrap();
        let b = Measurement::parse("requests_per_second 20").unwrap();
        let rounds = [Some(&a), None, Some(&b)];
        assert_eq!(summary(&rounds, Measurement::rate).unwrap().median, 15.0);
        assert_eq!(ratio(&rounds, &[Some(&b), Some(&b), None]).unwrap().median, 0.5);
        assert!(summary(&rounds, |m| m.get("other")).is_none());
    }
}
