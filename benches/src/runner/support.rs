//! The part `support`: what single commands cost, by `benches/support.tcl`, which measures each beside its peer
//! in one interpreter. No server, no load generator.

use super::install::Install;
use super::plan::Kind;
use crate::stats::{ratios, Summary};
use crate::Result;

/// One command in one round.
struct Measured {
    kind: Kind,
    round: usize,
    name: String,
    micros: f64,
    peer: String,
    peer_micros: Option<f64>,
}

/// What the part has found so far.
#[derive(Default)]
pub struct Costs(Vec<Measured>);

/// A command in the report: the medians over the rounds.
pub struct Row {
    /// The interpreter.
    pub kind: Kind,
    /// The command.
    pub name: String,
    /// Microseconds a call.
    pub micros: Option<Summary>,
    /// What it is compared with.
    pub peer: String,
    /// Its microseconds.
    pub peer_micros: Option<Summary>,
    /// How many calls of the command take as long as one of the peer.
    pub ratio: Option<Summary>,
}

impl Costs {
    /// Measures everything once in the interpreter of that kind.
    pub fn measure(&mut self, install: &Install, kind: Kind, round: usize, milliseconds: u32) -> Result<()> {
        let output = install.run_script(kind, "benches/support.tcl", &milliseconds.to_string())?;
        for line in output.lines() {
            self.0.push(parse(line, kind, round).ok_or_else(|| format!("bad result {line}"))?);
        }
        Ok(())
    }

    /// The rows of the report, in the order in which they were measured.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for first in &self.0 {
            if rows.iter().any(|row| row.kind == first.kind && row.name == first.name) {
                continue;
            }
            let mut same: Vec<&Measured> = self.0.iter().collect();
            same.retain(|other| other.kind == first.kind && other.name == first.name);
            same.sort_by_key(|measured| measured.round);
            let ours: Vec<Option<f64>> = same.iter().map(|measured| Some(measured.micros)).collect();
            let peers: Vec<Option<f64>> = same.iter().map(|measured| measured.peer_micros).collect();
            let present = |values: &[Option<f64>]| values.iter().flatten().copied().collect::<Vec<_>>();
            rows.push(Row {
                kind: first.kind,
                name: first.name.clone(),
                micros: Summary::of(&present(&ours)),
                peer: first.peer.clone(),
                peer_micros: Summary::of(&present(&peers)),
                ratio: Summary::of(&ratios(&peers, &ours)),
            });
        }
        rows
    }
}

/// A line of the script: a Tcl list of four, of which the names may be in braces.
fn parse(line: &str, kind: Kind, round: usize) -> Option<Measured> {
    let (name, rest) = word(line)?;
    let (micros, rest) = word(rest)?;
    let (peer, rest) = word(rest)?;
    let (peer_micros, _) = word(rest)?;
    Some(Measured {
        kind,
        round,
        name: name.into(),
        micros: micros.parse().ok()?,
        peer: peer.into(),
        peer_micros: peer_micros.parse().ok(),
    })
}

fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    match text.strip_prefix('{') {
        Some(text) => text.split_once('}'),
        None if text.is_empty() => None,
        None => Some(text.split_once(' ').unwrap_or((text, ""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rows() {
        let mut costs = Costs::default();
        for (round, line) in [
            (0, "{ns_set get} 0.5 dict 0.25"),
            (0, "ns_parseurl 2.0 - -"),
            (1, "{ns_set get} 0.7 dict 0.7"),
            (1, "ns_parseurl 3.0 - -"),
        ] {
            costs.0.push(parse(line, Kind::Connchan86, round).unwrap());
        }
        let rows = costs.rows();
        assert_eq!((rows.len(), rows[0].name.as_str(), rows[0].peer.as_str()), (2, "ns_set get", "dict"));
        assert_eq!(rows[0].ratio.unwrap().median, 0.75);
        assert_eq!(rows[1].micros.unwrap().median, 2.5);
        assert!(rows[1].ratio.is_none() && parse("x y", Kind::Connchan86, 0).is_none());
    }
}
