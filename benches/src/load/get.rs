//! `load get`: HTTP requests a second, and how long each takes, over some connections that are kept.
//!
//! Each connection asks for the same path, waits until as many bytes came as `content-length` has promised, and
//! repeats. A response that has another status than 200, or no length, fails the measurement; so does one that is
//! missing at the end of a slice. With `bytes` the figures count pieces of 64 KiB rather than responses: of large
//! files only a few are complete within a slice. `accept=gzip` asks for that coding. With `tls` it is https.

use mio::net::TcpStream;

use super::connect::{Connector, Greet, Wire, PER_SOURCE};
use super::rounds::{Exchange, Rounds};
use super::slices::Plan;
use super::tls;
use super::Results;
use crate::args::Args;
use crate::Result;

/// What is counted with `bytes`.
const PIECE: u64 = 64 << 10;
/// No head is longer.
const MAX_HEAD: usize = 8 << 10;

pub fn main(arguments: &[String]) -> Result<Vec<Results>> {
    let keys = [&Plan::KEYS[..], &["conns", "path", "accept"]].concat();
    let args = Args::parse(arguments, &keys, &["tls", "bytes"])?;
    let plan = Plan::from_args(&args)?;
    let conns: usize = args.require("conns")?;
    let path: String = args.require("path")?;
    let accept = match args.get::<String>("accept")? {
        Some(coding) => format!("Accept-Encoding: {coding}\r\n"),
        None => String::new(),
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n").into_bytes();
    let measured = if args.has("tls") {
        let identity = tls::Identity::new()?;
        measure(&plan, conns, &request, args.has("bytes"), |socket| tls::connect(&identity, socket))?
    } else {
        measure(&plan, conns, &request, args.has("bytes"), Ok)?
    };
    Ok(measured.into_iter().map(|measured| measured.results("requests_per_second")).collect())
}

fn measure<S: Wire>(
    plan: &Plan,
    conns: usize,
    request: &[u8],
    count_bytes: bool,
    wrap: impl Fn(TcpStream) -> Result<S>,
) -> Result<Vec<super::slices::Measured>> {
    let mut loads = Vec::new();
    for &port in &plan.ports {
        let streams = Connector::new(port, PER_SOURCE, &wrap).open(conns, Greet::None)?;
        let request = Request { head: request.to_vec(), count_bytes, bytes: 0 };
        loads.push(Rounds::new(request, streams)?);
    }
    plan.run(&mut loads)
}

/// A request, and what its responses have brought.
struct Request {
    head: Vec<u8>,
    count_bytes: bool,
    /// Bytes of bodies in this run.
    bytes: u64,
}

/// How much of a response has come.
enum Progress {
    /// These bytes of its head.
    Head(Vec<u8>),
    /// So many bytes of its body are missing.
    Body(u64),
}

impl Exchange for Request {
    /// Of a large response one gulp at a time, so that the end of a slice is heard in time.
    const READ_SIZE: usize = 256 << 10;
    const ANSWERS: &'static str = "responses";
    type Place = Progress;

    fn place(&self, _: usize) -> Progress {
        Progress::Head(Vec::new())
    }

    fn begin_run(&mut self, _counting: bool) {
        self.bytes = 0;
    }

    fn begin(&self, progress: &mut Progress) {
        *progress = Progress::Head(Vec::new());
    }

    fn request(&self, _: &Progress) -> &[u8] {
        &self.head
    }

    fn looks(&self, progress: &Progress) -> bool {
        matches!(progress, Progress::Head(_))
    }

    fn take(&mut self, progress: &mut Progress, mut data: &[u8], _seen: bool) -> Result<bool> {
        if let Progress::Head(head) = progress {
            let before = head.len();
            head.extend_from_slice(&data[..data.len().min(MAX_HEAD)]);
            let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
                if head.len() >= MAX_HEAD {
                    return Err("the head of a response does not end".into());
                }
                return Ok(false);
            };
            data = &data[end - before..];
            *progress = Progress::Body(promised(&head[..end])?);
        }
        let Progress::Body(missing) = progress else { return Ok(false) };
        *missing = missing.checked_sub(data.len() as u64).ok_or("the server sent more than it promised")?;
        self.bytes += data.len() as u64;
        Ok(*missing == 0)
    }

    fn count(&self, responses: usize) -> usize {
        if self.count_bytes {
            (self.bytes / PIECE) as usize
        } else {
            responses
        }
    }
}

/// The length that a head promises.
fn promised(head: &[u8]) -> Result<u64> {
    let head = std::str::from_utf8(head)?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(format!("not what was asked for: {}", head.lines().next().unwrap_or_default()).into());
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    Ok(length.ok_or("a response without content-length")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::promised;

    #[test]
    fn heads() {
        assert_eq!(promised(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").unwrap(), 12);
        assert!(promised(b"HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\n\r\n").is_err());
        assert!(promised(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
