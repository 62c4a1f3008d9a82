//! Benchmarks of ns_connchan: what it reaches of the speed that is possible, and how it compares with
//! `fileevent`.
//!
//! Three programs come out of this package, thin shells over the modules here:
//!
//! * `bare-echo` ([`bare_echo`]): an echo server on mio without Tcl, the limit that ns_connchan is measured
//!   against;
//! * `load` ([`load`]): the load generator, one measurement a call, one line of results;
//! * `bench` ([`runner`]): starts the servers, calls the load generator over several rounds and prints a
//!   report. It is what `make bench` runs. It starts itself again as `bare-echo` and as `load`, so that one
//!   build holds all three.
//!
//! The scripts that are compared are `examples/echo.tcl` (ns_connchan) and `benches/fileevent-echo.tcl`
//! (Tcl's own sockets). All traffic stays on the loopback device. CPU time and memory are read from `/proc`,
//! which makes the programs specific to Linux.

pub mod args;
pub mod bare_echo;
pub mod bare_http;
pub mod bare_send;
pub mod bare_ws;
pub mod certificate;
pub mod load;
pub mod runner;
pub mod stats;
pub mod sys;

/// What the functions here return: these are command line programs, whose errors are texts for a person.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Ends a program as its result says: an error becomes one line on stderr and the exit status 1.
pub fn exit_code(program: &str, result: Result<()>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
