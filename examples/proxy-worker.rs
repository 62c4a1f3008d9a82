//! proxy-worker.rs -- a worker program for ns_proxy, in Rust, without Tcl: its
//! "scripts" are words that it turns round.
//!
//!     rustc proxy-worker.rs
//!
//!     ns_proxy configure pool -exec /path/to/proxy-worker
//!     set h [ns_proxy get pool]
//!     $h hello                        ;# olleh

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut head = [0; 12];
    // Length of the rest, length of the script, version 1.1. The end of the
    // input is the end of the work.
    while input.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let mut script = vec![0; length as usize];
        input.read_exact(&mut script)?;
        let script = String::from_utf8_lossy(&script);
        let answer = if script.contains(' ') {
            answer(1, "WORKER REFUSED", &format!("cannot do: {script}"))
        } else {
            // An empty script asks whether somebody is there.
            answer(0, "", &script.chars().rev().collect::<String>())
        };
        output.write_all(&answer)?;
        output.flush()?;
    }
    Ok(())
}

/// Completion code, errorCode, no errorInfo, result.
fn answer(code: u32, error_code: &str, result: &str) -> Vec<u8> {
    let error_code = if error_code.is_empty() { String::new() } else { format!("{error_code}\0") };
    let body = error_code.len() + result.len();
    let mut answer = Vec::new();
    for number in [16 + body as u32, code, error_code.len() as u32, 0, result.len() as u32] {
        answer.extend_from_slice(&number.to_be_bytes());
    }
    answer.extend_from_slice(error_code.as_bytes());
    answer.extend_from_slice(result.as_bytes());
    answer
}
