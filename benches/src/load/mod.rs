//! The load generator: single threaded, one measurement a call, one line of `key value` results on stdout.
//!
//! ```text
//! load echo      port=P conns=N size=S seconds=T ?tls|ws|wstext? ?idle=I? ?warmup=W? ?slice=L? ?passes=M? ?pid=PID?
//! load accept    port=P parallel=K seconds=T ?path=/F? ?warmup=W? ?slice=L? ?passes=M? ?pid=PID?
//! load get       port=P conns=N path=/F seconds=T ?tls? ?bytes? ?accept=C? ?warmup=W? ?slice=L? ?passes=M? ?pid=PID?
//! load handshake port=P parallel=K seconds=T ?warmup=W? ?slice=L? ?passes=M? ?pid=PID?
//! load broadcast port=P receivers=N size=S seconds=T ?warmup=W? ?slice=L? ?passes=M? ?pid=PID?
//! load idle      port=P conns=N pid=PID ?ws?
//! ```
//!
//! The server on 127.0.0.1, port P, must send back what it receives; for `broadcast` and `get` see there. With `pid`, the server's CPU time is
//! measured too: a figure where the load generator was busy all the time and the server was not speaks of the
//! load generator.
//!
//! `echo`, `accept`, `get` and `handshake` compare servers: `port`, `pid` and `idle` may be lists with commas, and then there is
//! one line for each server. They measure in slices of L seconds, T seconds in all; `slices` of the results
//! are the rates of the slices, and `requests_per_second`, `accepts_per_second` and `handshakes_per_second` are
//! their median. How the slices are interleaved, and what happens when the hypervisor takes processors away meanwhile, is told in
//! `slices.rs`.
//!
//! `per_source=M` (default 25000) is the number of connections from one of the source addresses 127.0.0.1,
//! 127.0.0.2, …; a lower one serves tests. Where the limit of open files does not suffice for the
//! connections, there are fewer, and the results say `conns_reduced N`.

mod accept;
mod broadcast;
mod connect;
mod echo;
mod get;
mod handshake;
mod idle;
mod rounds;
mod slices;
mod tls;
mod watchdog;
mod ws;

use crate::Result;

/// Runs the sub-mode that the first argument names.
pub fn main(arguments: &[String]) -> Result<()> {
    let lines = match arguments.split_first() {
        Some((mode, rest)) if mode == "echo" => echo::main(rest),
        Some((mode, rest)) if mode == "accept" => accept::main(rest),
        Some((mode, rest)) if mode == "get" => get::main(rest),
        Some((mode, rest)) if mode == "handshake" => handshake::main(rest),
        Some((mode, rest)) if mode == "broadcast" => broadcast::main(rest),
        Some((mode, rest)) if mode == "idle" => idle::main(rest),
        _ => Err("usage: load echo|accept|get|handshake|broadcast|idle key=value …".into()),
    }?;
    for results in lines {
        println!("{}", results.0.join(" "));
    }
    Ok(())
}

/// One line of results, in the order in which they were added.
#[derive(Default)]
struct Results(Vec<String>);

impl Results {
    fn add(&mut self, key: &str, value: f64) {
        self.0.push(format!("{key} {value:.3}"));
    }

    fn add_number(&mut self, key: &str, value: usize) {
        self.0.push(format!("{key} {value}"));
    }

    /// Adds a list; what was not measured is a dash in it.
    fn add_list(&mut self, key: &str, values: impl Iterator<Item = Option<f64>>) {
        let values: Vec<String> =
            values.map(|value| value.map_or("-".into(), |v| format!("{v:.1}"))).collect();
        self.0.push(format!("{key} {}", values.join(",")));
    }
}
