//! What is measured, how long, and which aims the figures are held against. No file, process or socket is
//! touched here.

use std::fmt;
use std::path::PathBuf;

use crate::args::Args;
use crate::Result;

/// Message sizes and numbers of connections of the echo measurements.
pub const ECHOES: [(usize, usize); 6] =
    [(64, 1), (64, 50), (64, 500), (16_384, 1), (16_384, 50), (16_384, 500)];
/// The same for TLS.
pub const TLS_ECHOES: [(usize, usize); 2] = [(64, 50), (16_384, 50)];
/// Sizes of the WebSocket echo measurements, and whether the messages are text. Binary ones are the rule: they
/// are what Tcl 8.6 and 9.0 treat alike, and text of this size costs about the same.
pub const WS_ECHOES: [(usize, bool); 3] = [(64, false), (64, true), (16_384, false)];
/// Connections of the WebSocket echo measurements.
pub const WS_CONNECTIONS: usize = 50;
/// What is asked of HTTP servers: whether it is the response of 1 MiB, and on how many connections.
pub const HTTP: [(bool, usize); 4] = [(false, 1), (false, 50), (false, 500), (true, 10)];
/// The same over TLS.
pub const HTTPS: [(bool, usize); 2] = [(false, 50), (true, 10)];
/// Numbers of receivers of the broadcast measurements.
pub const RECEIVERS: [usize; 2] = [1_000, 5_000];
/// The size of the messages of a broadcast.
pub const BROADCAST_SIZE: usize = 100;
/// How many connections count when the memory of idle ones is measured.
pub const IDLE_IN_MEMORY: usize = 10_000;
/// The idle connections beside which 20 active ones are measured.
const IDLE_NUMBERS: [usize; 3] = [0, 1_000, 10_000];
/// The same for a server whose `select` ends at descriptor 1,024.
const IDLE_NUMBERS_OF_SELECT: [usize; 2] = [0, 900];
/// No measurement has more connections than this to all of its servers.
pub const MOST_CONNECTIONS: usize = 11_500;

/// The files that are asked for: a name in words, the path, connections, and whether pieces of 64 KiB count rather
/// than responses.
pub const FILES: [(&str, &str, usize, bool); 4] = [
    ("1 KiB", "/1k.bin", 50, false),
    ("100 KiB", "/100k.bin", 50, false),
    ("100 MiB", "/100m.bin", 2, true),
    ("gzip_static", "/page.html", 50, false),
];

/// Whether one of them is small enough to be kept in memory by a server that does so.
pub fn is_kept_in_memory(path: &str) -> bool {
    matches!(path, "/1k.bin" | "/page.html")
}

/// The servers of files: https or not, with or without small files in memory.
pub const FILE_SERVERS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// The servers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A server of this package without Tcl: mio, with OpenSSL or tungstenite; for broadcasts a loop of send(2).
    Bare,
    /// The same with the OpenSSL of the 9.0 interpreter, where that is not the one of this program; for TLS only.
    Bare90,
    /// `examples/echo.tcl`, `examples/tls-echo.tcl`, `examples/ws-echo.tcl` or `benches/ws-broadcast.tcl` under 8.6.
    Connchan86,
    /// The same under 9.0.
    Connchan90,
    /// `benches/fileevent-echo.tcl` or, with tcl-tls, `benches/tls-fileevent-echo.tcl` under 8.6; of
    /// WebSocket servers `benches/tcllib-ws-echo.tcl`.
    Fileevent86,
    /// The same under 9.0.
    Fileevent90,
    /// `benches/websockets-peer.py`, WebSocket only.
    Python,
    /// The HTTP server under 8.6 with its handlers in two connection threads.
    Threads86,
    /// The same under 9.0.
    Threads90,
    /// nginx with one worker, HTTP only.
    Nginx,
}

/// What the connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Plain,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP.
    WebSocket,
    /// The same, to servers that send what they get to many.
    Broadcast,
    /// HTTP over TCP.
    Http,
    /// HTTP over TLS.
    Https,
    /// HTTP over TCP, a connection for each request.
    HttpOnce,
    /// HTTP or https, to servers of files, with or without small files in memory.
    Files { tls: bool, cache: bool },
}

/// The groups of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Round trips.
    Echo,
    /// New connections.
    Accept,
    /// Round trips over TLS.
    Tls,
    /// New TLS connections.
    Handshake,
    /// Round trips among idle connections.
    Idle,
    /// Memory of idle connections.
    Memory,
    /// Round trips of WebSocket messages.
    Ws,
    /// WebSocket messages to many.
    Broadcast,
    /// Memory of idle WebSocket connections.
    WsMemory,
    /// Worker processes.
    Proxy,
    /// What single commands cost.
    Support,
    /// HTTP requests.
    Http,
    /// HTTP requests over TLS.
    Https,
    /// Files over HTTP and https.
    Files,
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
    /// As `Echo`, over TLS.
    TlsEcho { size: usize, conns: usize },
    /// TLS connections made by a full handshake, used once and closed.
    Handshake,
    /// Resident memory for each of [`IDLE_IN_MEMORY`] connections.
    Memory,
    /// Round trips of WebSocket messages, binary or text.
    WsEcho { size: usize, text: bool },
    /// Messages from one to so many WebSocket connections.
    Broadcast { receivers: usize },
    /// As `Memory`, of WebSocket connections, if the server takes so many.
    WsMemory,
    /// HTTP requests for a short text or 1 MiB.
    Http { big: bool, conns: usize },
    /// The same over TLS.
    Https { big: bool, conns: usize },
    /// HTTP requests for a short text, each on a connection of its own.
    HttpOnce,
    /// One of [`FILES`], by its number.
    File { file: usize, tls: bool, cache: bool },
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
    /// The same, or so many a second.
    RatioOrRate(Scenario, Kind, f64),
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
    pub const ALL: [Kind; 10] = [
        Kind::Bare,
        Kind::Bare90,
        Kind::Connchan86,
        Kind::Connchan90,
        Kind::Fileevent86,
        Kind::Fileevent90,
        Kind::Python,
        Kind::Threads86,
        Kind::Threads90,
        Kind::Nginx,
    ];

    /// The name in the arguments.
    fn key(self) -> &'static str {
        match self {
            Kind::Bare => "bare",
            Kind::Bare90 => "bare90",
            Kind::Connchan86 => "ns86",
            Kind::Connchan90 => "ns90",
            Kind::Fileevent86 => "fe86",
            Kind::Fileevent90 => "fe90",
            Kind::Python => "py",
            Kind::Threads86 => "th86",
            Kind::Threads90 => "th90",
            Kind::Nginx => "nginx",
        }
    }

    /// The name in the report.
    pub fn name(self, transport: Transport) -> &'static str {
        match (self, transport) {
            (Kind::Bare, Transport::Plain) => "bare mio",
            (Kind::Bare, Transport::Tls) => "bare mio, OpenSSL",
            (Kind::Bare, Transport::WebSocket) => "bare mio, tungstenite",
            (Kind::Bare, Transport::Broadcast) => "bare send(2)",
            (Kind::Bare, Transport::Http | Transport::HttpOnce) => "bare mio, httparse",
            (Kind::Bare, Transport::Https) => "bare mio, httparse, OpenSSL",
            (Kind::Bare, Transport::Files { .. }) => "no bare server",
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::Files { .. }) => "no such server",
            (Kind::Bare90, _) => "bare mio, 9.0's OpenSSL",
            (Kind::Connchan86, _) => "ns_connchan, Tcl 8.6",
            (Kind::Connchan90, _) => "ns_connchan, Tcl 9.0",
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::HttpOnce) => "tcllib's httpd, Tcl 8.6",
            (Kind::Threads86, _) => "-threads 2, Tcl 8.6",
            (Kind::Threads90, _) => "-threads 2, Tcl 9.0",
            (Kind::Nginx, _) => "nginx",
            (Kind::Fileevent86, Transport::Plain | Transport::Http | Transport::Https) => {
                "fileevent, Tcl 8.6"
            }
            (Kind::Fileevent86, Transport::Tls) => "tcl-tls, Tcl 8.6",
            (Kind::Fileevent90, Transport::Plain | Transport::Http | Transport::Https) => {
                "fileevent, Tcl 9.0"
            }
            (Kind::Fileevent90, Transport::Tls) => "tcl-tls, Tcl 9.0",
            (Kind::Fileevent86, Transport::WebSocket | Transport::Broadcast) => "tcllib, Tcl 8.6",
            (Kind::Fileevent90, Transport::WebSocket | Transport::Broadcast) => "tcllib, Tcl 9.0",
            (Kind::Python, _) => "Python websockets",
        }
    }

    /// Whether it can hold this number of connections.
    pub fn takes(self, connections: usize) -> bool {
        match self {
            Kind::Fileevent86 => connections < 1_000,
            // It could, but takes its time.
            Kind::Python => connections <= 2_000,
            _ => true,
        }
    }

    /// How many WebSocket connections count when their memory is measured.
    pub fn ws_idle_in_memory(self) -> usize {
        match self {
            Kind::Fileevent86 => 800,
            Kind::Python => 1_500,
            _ => IDLE_IN_MEMORY,
        }
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

impl Part {
    /// All of them, in the order in which they are measured.
    const ALL: [Part; 14] = [
        Part::Echo,
        Part::Accept,
        Part::Tls,
        Part::Handshake,
        Part::Idle,
        Part::Memory,
        Part::Ws,
        Part::Broadcast,
        Part::WsMemory,
        Part::Proxy,
        Part::Support,
        Part::Http,
        Part::Https,
        Part::Files,
    ];

    fn key(self) -> &'static str {
        match self {
            Part::Echo => "echo",
            Part::Accept => "accept",
            Part::Tls => "tls",
            Part::Handshake => "handshake",
            Part::Idle => "idle",
            Part::Memory => "memory",
            Part::Ws => "ws",
            Part::Broadcast => "broadcast",
            Part::WsMemory => "wsmemory",
            Part::Proxy => "proxy",
            Part::Support => "support",
            Part::Http => "http",
            Part::Https => "https",
            Part::Files => "files",
        }
    }

    /// What its servers speak, if it has any.
    pub fn transport(self) -> Transport {
        match self {
            Part::Tls | Part::Handshake => Transport::Tls,
            Part::Ws | Part::WsMemory => Transport::WebSocket,
            Part::Broadcast => Transport::Broadcast,
            Part::Echo | Part::Accept | Part::Idle | Part::Memory | Part::Proxy | Part::Support => {
                Transport::Plain
            }
            Part::Http => Transport::Http,
            Part::Https => Transport::Https,
            Part::Files => Transport::Files { tls: false, cache: false },
        }
    }
}

impl Scenario {
    /// The part that it belongs to.
    pub fn part(self) -> Part {
        match self {
            Scenario::Echo { .. } => Part::Echo,
            Scenario::Accept => Part::Accept,
            Scenario::TlsEcho { .. } => Part::Tls,
            Scenario::Handshake => Part::Handshake,
            Scenario::Idle { .. } => Part::Idle,
            Scenario::Memory => Part::Memory,
            Scenario::WsEcho { .. } => Part::Ws,
            Scenario::Broadcast { .. } => Part::Broadcast,
            Scenario::WsMemory => Part::WsMemory,
            Scenario::Http { .. } | Scenario::HttpOnce => Part::Http,
            Scenario::Https { .. } => Part::Https,
            Scenario::File { .. } => Part::Files,
        }
    }

    /// What the connections speak.
    pub fn transport(self) -> Transport {
        match self {
            Scenario::File { tls, cache, .. } => Transport::Files { tls, cache },
            Scenario::HttpOnce => Transport::HttpOnce,
            _ => self.part().transport(),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scenario::Echo { size, conns } => write!(f, "echo of {size} bytes on {conns} connections"),
            Scenario::Idle { idle } => write!(f, "echo among {idle} idle connections"),
            Scenario::Accept => write!(f, "accepting"),
            Scenario::TlsEcho { size, conns } => {
                write!(f, "echo of {size} bytes on {conns} TLS connections")
            }
            Scenario::Handshake => write!(f, "TLS handshakes"),
            Scenario::Memory => write!(f, "memory of idle connections"),
            Scenario::WsEcho { size, text } => {
                write!(f, "echo of {size} bytes of {} over WebSocket", if *text { "text" } else { "data" })
            }
            Scenario::Broadcast { receivers } => write!(f, "broadcast to {receivers}"),
            Scenario::Http { big, conns } => {
                write!(f, "HTTP, {} on {conns} connections", body_name(*big))
            }
            Scenario::Https { big, conns } => {
                write!(f, "HTTPS, {} on {conns} connections", body_name(*big))
            }
            Scenario::HttpOnce => write!(f, "HTTP, a connection for each request"),
            Scenario::WsMemory => write!(f, "memory of idle WebSocket connections"),
            Scenario::File { file, tls, cache } => {
                let (protocol, cached) =
                    (if *tls { "https" } else { "http" }, if *cache { ", cached" } else { "" });
                write!(f, "{} over {protocol}{cached}", FILES[*file].0)
            }
        }
    }
}

/// A response, in words.
pub fn body_name(big: bool) -> &'static str {
    if big {
        "1 MiB"
    } else {
        "12 bytes"
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

    /// Whether a part that was asked for needs servers that speak this.
    pub fn needs(&self, transport: Transport) -> bool {
        self.parts.iter().any(|part| *part != Part::Proxy && transport == part.transport())
    }

    /// The arguments that tell the load generator how long to measure. A full run has 66 measurements a round
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
    [Kind::Connchan86, Kind::Connchan90].into_iter().flat_map(aims_of).collect()
}

fn aims_of(kind: Kind) -> Vec<Aim> {
    let mut aims = Vec::new();
    let mut ratio = |what: String, scenario, peer, bound| {
        aims.push(Aim { what, scenario, kind, measure: Measure::RatioTo(scenario, peer), bound });
    };
    for (size, conns) in ECHOES.into_iter().filter(|&(_, conns)| conns > 1) {
        let scenario = Scenario::Echo { size, conns };
        ratio(format!("{size} bytes, {conns} connections, of bare mio"), scenario, Kind::Bare, 0.85);
    }
    for (conns, bound) in [(50, 1.2), (500, 2.0)] {
        let scenario = Scenario::Echo { size: 64, conns };
        let what = format!("64 bytes, {conns} connections, of Tcl 8.6 fileevent");
        ratio(what, scenario, Kind::Fileevent86, bound);
    }
    ratio("accepts, of bare mio".into(), Scenario::Accept, Kind::Bare, 0.8);
    for ((size, conns), bound_of_tcl_tls) in TLS_ECHOES.into_iter().zip([1.3, 2.0]) {
        let scenario = Scenario::TlsEcho { size, conns };
        ratio(format!("TLS, {size} bytes, of bare mio with OpenSSL"), scenario, Kind::Bare, 0.85);
        ratio(format!("TLS, {size} bytes, of tcl-tls"), scenario, Kind::Fileevent86, bound_of_tcl_tls);
    }
    ratio("TLS handshakes, of bare mio with OpenSSL".into(), Scenario::Handshake, Kind::Bare, 0.9);
    for (big, conns) in HTTP {
        let scenario = Scenario::Http { big, conns };
        let what = format!("HTTP, {}, {conns} connections, of bare httparse", body_name(big));
        ratio(what, scenario, Kind::Bare, 0.5);
    }
    ratio("HTTP, new connections, of tcllib's httpd".into(), Scenario::HttpOnce, Kind::Fileevent86, 3.0);
    for (big, conns) in HTTPS {
        let scenario = Scenario::Https { big, conns };
        let what = format!("HTTPS, {}, {conns} connections, of bare httparse", body_name(big));
        ratio(what, scenario, Kind::Bare, 0.5);
    }
    let (without, with) = (Scenario::Idle { idle: 0 }, Scenario::Idle { idle: 10_000 });
    let what = "10,000 idle connections, of none".to_string();
    aims.push(Aim { what, scenario: with, kind, measure: Measure::RatioTo(without, kind), bound: 0.95 });
    let what = "bytes for an idle connection".to_string();
    aims.push(Aim { what, scenario: Scenario::Memory, kind, measure: Measure::Bytes, bound: 1000.0 });
    for (size, text) in WS_ECHOES {
        let scenario = Scenario::WsEcho { size, text };
        let what =
            format!("WebSocket, {size} bytes{}, of bare tungstenite", if text { " of text" } else { "" });
        aims.push(Aim { what, scenario, kind, measure: Measure::RatioTo(scenario, Kind::Bare), bound: 1.0 });
    }
    for receivers in RECEIVERS {
        let scenario = Scenario::Broadcast { receivers };
        let what = format!("broadcast to {receivers}, of bare send(2)");
        let measure = Measure::RatioOrRate(scenario, Kind::Bare, 500_000.0);
        aims.push(Aim { what, scenario, kind, measure, bound: 0.7 });
    }
    for (file, (what, path, ..)) in FILES.into_iter().enumerate() {
        for (tls, cache) in FILE_SERVERS {
            if cache && !is_kept_in_memory(path) {
                continue;
            }
            let scenario = Scenario::File { file, tls, cache };
            let bound = if what == "100 MiB" { 0.9 } else { 1.0 };
            let measure = Measure::RatioTo(scenario, Kind::Nginx);
            aims.push(Aim { what: format!("{scenario}, of nginx"), scenario, kind, measure, bound });
        }
    }
    let what = "bytes for an idle WebSocket".to_string();
    aims.push(Aim { what, scenario: Scenario::WsMemory, kind, measure: Measure::Bytes, bound: 1536.0 });
    aims
}

impl Aim {
    /// Whether a figure, and the rate behind it, reach the aim.
    pub fn is_met_by(&self, figure: f64, rate: f64) -> bool {
        match self.measure {
            Measure::RatioTo(..) => figure >= self.bound,
            Measure::RatioOrRate(_, _, enough) => figure >= self.bound || rate >= enough,
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
        assert_eq!((options.rounds, options.kinds.len(), options.parts.len()), (5, 10, 14));
        assert!(!options.quick);
        assert_eq!(Options::parse(&["quick".into()]).unwrap().rounds, 2);
    }

    #[test]
    fn a_choice_keeps_the_order_of_the_tables() {
        let options = Options::parse(&["servers=fe86,bare".into(), "parts=idle".into()]).unwrap();
        assert_eq!(options.kinds, [Kind::Bare, Kind::Fileevent86]);
        assert_eq!(options.parts, [Part::Idle]);
        assert!(Options::parse(&["servers=fe87".into()]).is_err());
        assert!(options.needs(Transport::Plain) && !options.needs(Transport::Tls));
        let options = Options::parse(&["parts=handshake,tls".into()]).unwrap();
        assert_eq!(options.parts, [Part::Tls, Part::Handshake]);
        assert!(!options.needs(Transport::Plain) && options.needs(Transport::Tls));
    }

    #[test]
    fn ratios_are_lower_bounds_and_bytes_upper_ones() {
        let aims = aims();
        assert_eq!(aims.len(), 2 * 37);
        let ratio = aims.iter().find(|aim| aim.bound == 0.85).unwrap();
        assert!(ratio.is_met_by(0.85, 0.0) && !ratio.is_met_by(0.84, 1e9));
        let bytes = aims.iter().find(|aim| aim.scenario == Scenario::Memory).unwrap();
        assert!(bytes.is_met_by(1000.0, 0.0) && !bytes.is_met_by(1001.0, 0.0));
        let either = aims.iter().find(|aim| aim.bound == 0.7).unwrap();
        assert!(
            either.is_met_by(0.7, 0.0) && either.is_met_by(0.1, 500_000.0) && !either.is_met_by(0.6, 4e5)
        );
    }

    #[test]
    fn every_aim_compares_servers_of_one_transport() {
        for aim in aims() {
            if let Measure::RatioTo(scenario, kind) | Measure::RatioOrRate(scenario, kind, _) = aim.measure {
                assert_eq!(scenario.transport(), aim.scenario.transport());
                assert!(scenario == aim.scenario || kind == aim.kind);
            }
        }
    }

    #[test]
    fn select_is_not_asked_for_more_than_it_takes() {
        for kind in Kind::ALL {
            assert!(kind.takes(kind.ws_idle_in_memory() * 11 / 10));
            if matches!(kind, Kind::Python | Kind::Threads86 | Kind::Threads90 | Kind::Nginx) {
                continue;
            }
            assert!(kind.idle_numbers().iter().all(|&idle| kind.takes(idle)));
        }
        assert!(!Kind::Fileevent86.takes(IDLE_IN_MEMORY));
    }
}
