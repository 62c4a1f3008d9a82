//! What is measured, how long, and which aims the figures are held against. No file, process or socket is
//! touched here.

use std::fmt;
use std::path::PathBuf;

use crate::args::Args;
use crate::Result;

/// Message sizes and numbers of connections of the echo measurements.
pub const ECHOES: [(usize, usize); 6] =
    [(64, 1), (64, 50), (64, 500), (16_384, 1), (16_384, 50), (16_384, 500)];
/// How many connections count when the memory of idle ones is measured.
pub const IDLE_IN_MEMORY: usize = 10_000;
/// The idle connections beside which 20 active ones are measured.
const IDLE_NUMBERS: [usize; 3] = [0, 1_000, 10_000];
/// The same for a server whose `select` ends at descriptor 1,024.
const IDLE_NUMBERS_OF_SELECT: [usize; 2] = [0, 900];
/// No measurement has more connections than this to all of its servers.
pub const MOST_CONNECTIONS: usize = 11_500;

/// The servers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The echo server of this package: mio without Tcl.
    Bare,
    /// `examples/echo.tcl` under 8.6.
    Connchan86,
    /// `examples/echo.tcl` under 9.0.
    Connchan90,
    /// `benches/fileevent-echo.tcl` under 8.6.
    Fileevent86,
    /// `benches/fileevent-echo.tcl` under 9.0.
    Fileevent90,
}

/// The groups of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Round trips.
    Echo,
    /// New connections.
    Accept,
    /// Round trips among idle connections.
    Idle,
    /// Memory of idle connections.
    Memory,
}

/// One line of the plan: what a server is put through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// Round trips of messages of `size` bytes on `conns` connections.
    Echo { size: usize, conns: usize },
    /// Round trips of 64 bytes on 20 connections among so many idle ones.
    Idle { idle: usize },
    /// Connections made, used once and closed.
    Accept,
    /// Resident memory for each of [`IDLE_IN_MEMORY`] connections.
    Memory,
}

/// How a run was asked for.
pub struct Options {
    /// How often everything is measured.
    pub rounds: usize,
    /// The servers that were asked for.
    pub kinds: Vec<Kind>,
    /// The parts that were asked for.
    pub parts: Vec<Part>,
    /// The folder of the project.
    pub root: PathBuf,
    /// Whether it is the short run.
    pub quick: bool,
}

/// What a figure is compared with.
#[derive(Clone, Copy)]
pub enum Measure {
    /// The ratio of the rates of two servers, or of one server in two scenarios.
    RatioTo(Scenario, Kind),
    /// The figure itself.
    Bytes,
}

/// Something that ns_connchan is meant to reach.
pub struct Aim {
    /// What is measured, in words.
    pub what: String,
    /// Where the figure is found.
    pub scenario: Scenario,
    /// The server that is meant to reach it.
    pub kind: Kind,
    /// What it is compared with.
    pub measure: Measure,
    /// The bound: the least for a ratio, the most for bytes.
    pub bound: f64,
}

impl Kind {
    /// All of them, in the order of the tables.
    pub const ALL: [Kind; 5] =
        [Kind::Bare, Kind::Connchan86, Kind::Connchan90, Kind::Fileevent86, Kind::Fileevent90];

    /// The name in the arguments.
    fn key(self) -> &'static str {
        match self {
            Kind::Bare => "bare",
            Kind::Connchan86 => "ns86",
            Kind::Connchan90 => "ns90",
            Kind::Fileevent86 => "fe86",
            Kind::Fileevent90 => "fe90",
        }
    }

    /// Whether it can hold this number of connections.
    pub fn takes(self, connections: usize) -> bool {
        self != Kind::Fileevent86 || connections < 1_000
    }

    /// The numbers of idle connections among which it is measured.
    pub fn idle_numbers(self) -> &'static [usize] {
        match self {
            Kind::Fileevent86 => &IDLE_NUMBERS_OF_SELECT,
            _ => &IDLE_NUMBERS,
        }
    }

    /// What its script is given after the port when memory is measured: Tcl's channels get buffers of the
    /// default size then, the larger ones are for speed.
    pub fn arguments_for_memory(self) -> &'static [&'static str] {
        match self {
            Kind::Fileevent86 | Kind::Fileevent90 => &["4096"],
            _ => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Bare => "bare mio",
            Kind::Connchan86 => "ns_connchan, Tcl 8.6",
            Kind::Connchan90 => "ns_connchan, Tcl 9.0",
            Kind::Fileevent86 => "fileevent, Tcl 8.6",
            Kind::Fileevent90 => "fileevent, Tcl 9.0",
        })
    }
}

impl Part {
    /// All of them, in the order in which they are measured.
    const ALL: [Part; 4] = [Part::Echo, Part::Accept, Part::Idle, Part::Memory];

    fn key(self) -> &'static str {
        match self {
            Part::Echo => "echo",
            Part::Accept => "accept",
            Part::Idle => "idle",
            Part::Memory => "memory",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scenario::Echo { size, conns } => write!(f, "echo of {size} bytes on {conns} connections"),
            Scenario::Idle { idle } => write!(f, "echo among {idle} idle connections"),
            Scenario::Accept => write!(f, "accepting"),
            Scenario::Memory => write!(f, "memory of idle connections"),
        }
    }
}

impl Options {
    /// Reads the arguments of `bench`.
    pub fn parse(arguments: &[String]) -> Result<Options> {
        let args = Args::parse(arguments, &["rounds", "servers", "parts", "root"], &["quick"])?;
        let quick = args.has("quick");
        let default_root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        Ok(Options {
            rounds: args.get("rounds")?.unwrap_or(if quick { 2 } else { 5 }).max(1),
            kinds: chosen(&args.list("servers")?, &Kind::ALL, Kind::key)?,
            parts: chosen(&args.list("parts")?, &Part::ALL, Part::key)?,
            root: args.get("root")?.unwrap_or_else(|| default_root.into()),
            quick,
        })
    }

    /// The arguments that tell the load generator how long to measure. A full run has 54 measurements a round
    /// that take these seconds and the warm-up, and up to twice as many seconds on a disturbed machine.
    pub fn durations(&self) -> [&'static str; 3] {
        if self.quick {
            ["seconds=0.25", "warmup=0.1", "passes=7"]
        } else {
            ["seconds=0.5", "warmup=0.2", "passes=20"]
        }
    }
}

/// Those of `all` whose names are given; all when none is.
fn chosen<T: Copy>(names: &[String], all: &[T], key: fn(T) -> &'static str) -> Result<Vec<T>> {
    let known: Vec<&str> = all.iter().map(|&one| key(one)).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("unknown name \"{name}\", known are {}", known.join(", ")).into());
    }
    Ok(all
        .iter()
        .copied()
        .filter(|&one| names.is_empty() || names.iter().any(|name| name == key(one)))
        .collect())
}

/// The aims, for both Tcls.
pub fn aims() -> Vec<Aim> {
    let mut aims = Vec::new();
    for kind in [Kind::Connchan86, Kind::Connchan90] {
        for (size, conns) in ECHOES.into_iter().filter(|&(_, conns)| conns > 1) {
            let scenario = Scenario::Echo { size, conns };
            let what = format!("{size} bytes, {conns} connections, of bare mio");
            aims.push(Aim {
                what,
                scenario,
                kind,
                measure: Measure::RatioTo(scenario, Kind::Bare),
                bound: 0.85,
            });
        }
        for (conns, bound) in [(50, 1.2), (500, 2.0)] {
            let scenario = Scenario::Echo { size: 64, conns };
            let what = format!("64 bytes, {conns} connections, of Tcl 8.6 fileevent");
            aims.push(Aim {
                what,
                scenario,
                kind,
                measure: Measure::RatioTo(scenario, Kind::Fileevent86),
                bound,
            });
        }
        let (without, with) = (Scenario::Idle { idle: 0 }, Scenario::Idle { idle: 10_000 });
        let what = "10,000 idle connections, of none".to_string();
        aims.push(Aim { what, scenario: with, kind, measure: Measure::RatioTo(without, kind), bound: 0.95 });
        let (what, scenario) = ("accepts, of bare mio".to_string(), Scenario::Accept);
        aims.push(Aim { what, scenario, kind, measure: Measure::RatioTo(scenario, Kind::Bare), bound: 0.8 });
        let (what, scenario) = ("bytes for an idle connection".to_string(), Scenario::Memory);
        aims.push(Aim { what, scenario, kind, measure: Measure::Bytes, bound: 1000.0 });
    }
    aims
}

impl Aim {
    /// Whether a figure reaches the aim.
    pub fn is_met_by(&self, figure: f64) -> bool {
        match self.measure {
            Measure::RatioTo(..) => figure >= self.bound,
            Measure::Bytes => figure <= self.bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_everything() {
        let options = Options::parse(&[]).unwrap();
        assert_eq!((options.rounds, options.kinds.len(), options.parts.len()), (5, 5, 4));
        assert!(!options.quick);
        assert_eq!(Options::parse(&["quick".into()]).unwrap().rounds, 2);
    }

    #[test]
    fn a_choice_keeps_the_order_of_the_tables() {
        let options = Options::parse(&["servers=fe86,bare".into(), "parts=idle".into()]).unwrap();
        assert_eq!(options.kinds, [Kind::Bare, Kind::Fileevent86]);
        assert_eq!(options.parts, [Part::Idle]);
        assert!(Options::parse(&["servers=fe87".into()]).is_err());
    }

    #[test]
    fn ratios_are_lower_bounds_and_bytes_upper_ones() {
        let aims = aims();
        assert_eq!(aims.len(), 2 * 9);
        let ratio = aims.iter().find(|aim| aim.bound == 0.85).unwrap();
        assert!(ratio.is_met_by(0.85) && !ratio.is_met_by(0.84));
        let bytes = aims.iter().find(|aim| aim.scenario == Scenario::Memory).unwrap();
        assert!(bytes.is_met_by(1000.0) && !bytes.is_met_by(1001.0));
    }

    #[test]
    fn select_is_not_asked_for_more_than_it_takes() {
        for kind in Kind::ALL {
            assert!(kind.idle_numbers().iter().all(|&idle| kind.takes(idle)));
        }
        assert!(!Kind::Fileevent86.takes(IDLE_IN_MEMORY));
    }
}
