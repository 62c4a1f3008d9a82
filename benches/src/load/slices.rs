//! Letting servers take turns under load, in slices of time, and measuring each slice.
//!
//! On a shared machine the speed changes by a factor of two from one second to the next. Servers that are
//! measured one after the other, a second each, then differ by chance. In turns of a twentieth of a second
//! they share the good and the bad times, and the ratio of two neighbouring slices says more than that of two
//! long measurements.
//!
//! A virtual machine has worse: times when the hypervisor runs somebody else on its processors. The kernel
//! counts that time, and a slice in which it counted some says little about the server. Such slices are set
//! aside and replaced by further ones, as far as the number of passes allows. Where too few were left in
//! peace, those that lost least count.

use std::time::{Duration, Instant};

use super::Results;
use crate::args::Args;
use crate::stats::{percentile, Summary};
use crate::{sys, Result};

/// Traffic with one server.
pub trait Target {
    /// Starts the traffic.
    fn begin(&mut self) -> Result<()>;
    /// Keeps it going until `end`. `counting` is false while the server warms up.
    fn run(&mut self, end: Instant, counting: bool) -> Result<Work>;
    /// Stops sending and waits for the outstanding answers.
    fn finish(&mut self) -> Result<()>;
}

/// What was done in a run.
pub struct Work {
    pub count: usize,
    /// Nanoseconds that each of it took, where that is of interest.
    pub latencies: Vec<u64>,
}

/// How long the traffic takes, and which processes the servers are.
pub struct Plan {
    pub ports: Vec<u16>,
    /// One for each port, or none.
    pids: Vec<u32>,
    slices: usize,
    /// How many slices there may be with those that are set aside.
    passes: usize,
    slice: Duration,
    warmup: Duration,
}

/// The slices of one server.
pub struct Measured {
    port: u16,
    slices: Vec<Slice>,
    /// A slice counts when no more than this was stolen.
    tolerated: u64,
}

struct Slice {
    /// For how long the hypervisor had taken processors away in the meantime, in hundredths of a second.
    stolen: u64,
    seconds: f64,
    work: Work,
    load_cpu: f64,
    server_cpu: Option<f64>,
}

impl Plan {
    /// The keys that `from_args` understands.
    pub const KEYS: [&str; 6] = ["port", "pid", "seconds", "warmup", "slice", "passes"];

    pub fn from_args(args: &Args) -> Result<Plan> {
        let ports = args.list("port")?;
        let pids = args.list("pid")?;
        if ports.is_empty() || !(pids.is_empty() || pids.len() == ports.len()) {
            return Err("port=… must be given, and pid=… for all ports or none".into());
        }
        let seconds: f64 = args.require("seconds")?;
        let slice: f64 = args.get("slice")?.unwrap_or(0.05);
        let slices = (seconds / slice).round().max(1.0) as usize;
        Ok(Plan {
            ports,
            pids,
            slices,
            passes: args.get("passes")?.unwrap_or(2 * slices).max(slices),
            slice: Duration::try_from_secs_f64(slice)?,
            warmup: Duration::try_from_secs_f64(args.get("warmup")?.unwrap_or(0.3))?,
        })
    }

    /// The process of the server with this number.
    pub fn pid(&self, number: usize) -> Option<u32> {
        self.pids.get(number).copied()
    }

    /// Warms all targets up, then measures them in turns. `targets` are in the order of the ports.
    pub fn run(&self, targets: &mut [impl Target]) -> Result<Vec<Measured>> {
        let mut measured: Vec<Measured> =
            self.ports.iter().map(|&port| Measured { port, slices: Vec::new(), tolerated: 0 }).collect();
        for (number, target) in targets.iter_mut().enumerate() {
            self.warm_up(target).map_err(|error| self.name_server(number, error))?;
        }
        for pass in 0..self.passes {
            for step in 0..targets.len() {
                // Back and forth, so that none is always the first or always after the same other one.
                let number = if pass % 2 == 0 { step } else { targets.len() - 1 - step };
                let slice = self.measure(&mut targets[number], self.pid(number));
                measured[number].slices.push(slice.map_err(|error| self.name_server(number, error))?);
            }
            if measured.iter().all(|measured| measured.counted().count() >= self.slices) {
                break;
            }
        }
        for measured in &mut measured {
            measured.tolerate_for(self.slices.div_ceil(3));
        }
        Ok(measured)
    }

    fn warm_up(&self, target: &mut impl Target) -> Result<()> {
        target.begin()?;
        target.run(Instant::now() + self.warmup, false)?;
        target.finish()
    }

    fn measure(&self, target: &mut impl Target, pid: Option<u32>) -> Result<Slice> {
        let stolen = sys::stolen_ticks();
        target.begin()?;
        // The traffic has to get going first, and the caches still hold the previous server's data.
        target.run(Instant::now() + self.slice / 5, false)?;
        let load_before = sys::cpu_seconds(std::process::id())?;
        let server_before = pid.map(sys::cpu_seconds).transpose()?;
        let started = Instant::now();
        let work = target.run(started + self.slice, true)?;
        let seconds = started.elapsed().as_secs_f64();
        let load_cpu = sys::cpu_seconds(std::process::id())? - load_before;
        let server_after = pid.map(sys::cpu_seconds).transpose()?;
        let server_cpu = server_after.zip(server_before).map(|(after, before)| after - before);
        target.finish()?;
        Ok(Slice { stolen: sys::stolen_ticks().saturating_sub(stolen), seconds, work, load_cpu, server_cpu })
    }

    fn name_server(&self, number: usize, error: impl std::fmt::Display) -> String {
        format!("port {}: {error}", self.ports[number])
    }
}

impl Measured {
    fn counts(&self, slice: &Slice) -> bool {
        slice.stolen <= self.tolerated
    }

    fn counted(&self) -> impl Iterator<Item = &Slice> {
        self.slices.iter().filter(|slice| self.counts(slice))
    }

    /// Tolerates as much as it takes for this number of slices to count.
    fn tolerate_for(&mut self, number: usize) {
        let mut stolen: Vec<u64> = self.slices.iter().map(|slice| slice.stolen).collect();
        stolen.sort_unstable();
        self.tolerated = stolen.get(number - 1).or(stolen.last()).copied().unwrap_or(0);
    }

    /// The results that all modes share; `rate` is the key of the rate.
    pub fn results(&self, rate: &str) -> Results {
        let rate_of = |slice: &Slice| slice.work.count as f64 / slice.seconds;
        let counted: Vec<&Slice> = self.counted().collect();
        let rates: Vec<f64> = self.counted().map(rate_of).collect();
        let mut latencies: Vec<u64> =
            counted.iter().flat_map(|slice| &slice.work.latencies).copied().collect();

        let mut results = Results::default();
        results.add_number("port", usize::from(self.port));
        results.add(rate, Summary::of(&rates).map_or(0.0, |summary| summary.median));
        results.add_number("count", counted.iter().map(|slice| slice.work.count).sum());
        results.add("seconds", counted.iter().map(|slice| slice.seconds).sum());
        results.add("load_cpu_seconds", counted.iter().map(|slice| slice.load_cpu).sum());
        if let Some(server_cpu) = counted.iter().map(|slice| slice.server_cpu).sum() {
            results.add("server_cpu_seconds", server_cpu);
        }
        if !latencies.is_empty() {
            results.add("latency_p50_us", percentile(&mut latencies, 50.0) as f64 / 1000.0);
            results.add("latency_p99_us", percentile(&mut latencies, 99.0) as f64 / 1000.0);
        }
        results
            .add_list("slices", self.slices.iter().map(|slice| self.counts(slice).then(|| rate_of(slice))));
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(count: usize, stolen: u64) -> Slice {
        let work = Work { count, latencies: vec![count as u64 * 1000] };
        Slice { stolen, seconds: 0.5, work, load_cpu: 0.25, server_cpu: None }
    }

    #[test]
    fn disturbed_slices_count_nowhere() {
        let slices = vec![slice(10, 0), slice(1, 1), slice(20, 0), slice(30, 0)];
        let mut measured = Measured { port: 7, slices, tolerated: 0 };
        measured.tolerate_for(2);
        let line = measured.results("rate").0.join(" ");
        assert_eq!(
            line,
            "port 7 rate 40.000 count 60 seconds 1.500 load_cpu_seconds 0.750 \
             latency_p50_us 20.000 latency_p99_us 30.000 slices 20.0,-,40.0,60.0"
        );
    }

    #[test]
    fn the_least_disturbed_count_where_there_are_no_others() {
        let slices = vec![slice(1, 5), slice(2, 2), slice(3, 4), slice(4, 2)];
        let mut measured = Measured { port: 7, slices, tolerated: 0 };
        for (number, counting) in [(1, 2), (2, 2), (3, 3), (9, 4)] {
            measured.tolerate_for(number);
            assert_eq!(measured.counted().count(), counting);
        }
    }

    #[test]
    fn plans() {
        let parse = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
            Plan::from_args(&Args::parse(&words, &Plan::KEYS, &[]).unwrap())
        };
        let plan = parse(&["port=1,2", "pid=3,4", "seconds=0.5"]).unwrap();
        assert_eq!((plan.slices, plan.passes), (10, 20));
        assert_eq!(plan.pid(1), Some(4));
        assert!(parse(&["port=1,2", "pid=3", "seconds=0.5"]).is_err());
        assert!(parse(&["seconds=0.5"]).is_err());
    }
}
