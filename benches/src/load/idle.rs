//! `load idle`: the resident memory that the server needs for each idle connection with a callback.
//!
//! A first tenth of the connections is opened, and stays open, before the measurement: what a server
//! allocates once does not count. Each connection exchanges a byte with the server, so that its callback is
//! known to be there.
//!
//! With the word `ws` the connections speak WebSocket.

use mio::net::TcpStream;

use super::connect::{Connector, Greet, Wire, PER_SOURCE};
use super::ws;
use super::Results;
use crate::args::Args;
use crate::{sys, Result};

pub fn main(arguments: &[String]) -> Result<Vec<Results>> {
    let args = Args::parse(arguments, &["port", "conns", "pid", "per_source"], &["ws"])?;
    if args.has("ws") {
        measure(&args, |socket| ws::connect(socket, "/"))
    } else {
        measure(&args, Ok)
    }
}

fn measure<S: Wire>(args: &Args, wrap: impl Fn(TcpStream) -> Result<S>) -> Result<Vec<Results>> {
    let port = args.require("port")?;
    let conns: usize = args.require("conns")?;
    let pid: u32 = args.require("pid")?;

    let first = conns / 10;
    let possible = sys::connections_possible(first + conns, Some(pid))?;
    let counted = possible.saturating_sub(first);
    if counted == 0 {
        return Err(format!("the limit of open files allows for {possible} connections only").into());
    }
    let mut connector = Connector::new(port, args.get("per_source")?.unwrap_or(PER_SOURCE), wrap);
    let _first = connector.open(first, Greet::Each)?;
    let before = sys::resident_bytes(pid)?;
    let _counted = connector.open(counted, Greet::Each)?;
    let after = sys::resident_bytes(pid)?;

    let mut results = Results::default();
    results.add("bytes_per_idle", (after as f64 - before as f64) / counted as f64);
    results.add_number("resident_before", before as usize);
    results.add_number("resident_after", after as usize);
    if counted < conns {
        results.add_number("conns_reduced", counted);
    }
    Ok(vec![results])
}
