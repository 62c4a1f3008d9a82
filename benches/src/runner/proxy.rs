//! The part `proxy`: round trips to worker processes, beside a bare exchange over a socket pair (the limit) and
//! `thread::send`. Times are taken by `benches/proxy.tcl` itself; there is no server and no load generator.

use std::env;
use std::fmt::Write;
use std::process::Command;

use super::install::Install;
use crate::stats::{ratios, Summary};
use crate::{sys, Result};

/// What is measured: its name in the table, the word for `proxy.tcl`, the arguments of `bare-ping` between
/// which the time stands (request, answer, pairs), the figure that is wanted, and what that is.
const ROWS: [Row; 6] = [
    Row {
        name: "expr 1+1, all on one processor",
        word: "roundtrip",
        bare: Some(["20", "21", "1"]),
        is_tied: true,
        aim: Aim::Ratio(1.5),
    },
    Row {
        name: "expr 1+1, anywhere",
        word: "roundtrip",
        bare: Some(["20", "21", "1"]),
        is_tied: false,
        aim: Aim::Ratio(1.5),
    },
    Row {
        name: "expr 1+1 by thread::send, anywhere",
        word: "thread",
        bare: None,
        is_tied: false,
        aim: Aim::None,
    },
    Row {
        name: "1 MB argument",
        word: "argument",
        bare: Some(["1000000", "21", "1"]),
        is_tied: false,
        aim: Aim::Micros(600.0),
    },
    Row {
        name: "1 MB result",
        word: "result",
        bare: Some(["20", "1000000", "1"]),
        is_tied: false,
        aim: Aim::Micros(600.0),
    },
    Row {
        name: "start, use, clear away",
        word: "start",
        bare: None,
        is_tied: false,
        aim: Aim::Micros(15_000.0),
    },
];

/// Evaluations a second of 8 workers from 8 threads.
const PARALLEL: Row = Row {
    name: "8 workers from 8 threads",
    word: "parallel",
    bare: Some(["20", "21", "8"]),
    is_tied: false,
    aim: Aim::None,
};

struct Row {
    name: &'static str,
    word: &'static str,
    bare: Option<[&'static str; 3]>,
    /// Whether all processes are on the same processor, where no wake-up of another one is measured.
    is_tied: bool,
    aim: Aim,
}

enum Aim {
    None,
    /// At most so many times the bare one.
    Ratio(f64),
    /// At most so many microseconds.
    Micros(f64),
}

/// What a program has measured: by the clock, and the processor time if that is known.
type Figure = (f64, f64);

/// The figures of a row, one for each round.
#[derive(Default)]
struct Figures {
    bare: Vec<Option<Figure>>,
    tcl: [Vec<Option<Figure>>; 2],
}

/// One of the two numbers of each round.
fn column(list: &[Option<Figure>], by_processor: bool) -> Vec<Option<f64>> {
    let pick = |(clock, processor): Figure| if by_processor { processor } else { clock };
    list.iter().map(|figure| figure.map(pick).filter(|number| *number > 0.0)).collect()
}

/// What was measured so far.
#[derive(Default)]
pub struct Proxy {
    rows: Vec<Figures>,
}

impl Proxy {
    /// Measures everything once. Returns what did not run.
    pub fn round(&mut self, install: &Install, seconds: &str) -> Vec<String> {
        let mut failures = Vec::new();
        let mut keep = |result: Result<Figure>, what: String| match result {
            Ok(figure) => Some(figure),
            Err(error) => {
                failures.push(format!("{what}: {error}"));
                None
            }
        };
        self.rows.resize_with(ROWS.len() + 1, Figures::default);
        for (row, figures) in ROWS.iter().chain([&PARALLEL]).zip(&mut self.rows) {
            let bare = row.bare.and_then(|[request, answer, pairs]| {
                let mut command = Command::new(env::current_exe().ok()?);
                tie(&mut command, row, install);
                let figure = ask(command.arg("bare-ping").args([request, answer, seconds, pairs]));
                keep(figure, format!("bare-ping for {}", row.name))
            });
            figures.bare.push(bare);
            for (command, list) in install.tclsh_commands().into_iter().zip(&mut figures.tcl) {
                let figure = command.and_then(|mut command| {
                    tie(&mut command, row, install);
                    let script = install.bench_script("proxy.tcl");
                    let output = ask(command.arg(script).args([row.word, seconds]));
                    keep(output, format!("proxy.tcl {}", row.word))
                });
                list.push(figure);
            }
        }
        failures
    }

    /// The section of the report.
    pub fn report(&self) -> String {
        let mut text = String::from(
            "\n## Worker processes (ns_proxy)\n\nMicroseconds for each, the median over the rounds, and the \
             smallest and largest in brackets. `of bare` is the time in terms of a bare exchange of as many bytes \
             over a socket pair between two processes, in the same round. `CPU` is the processor time for each in \
             all processes, which does not suffer where others use the processors, and `by CPU` its ratio.\n\n\
             | | bare | CPU | Tcl 8.6 | of bare | CPU | by CPU | Tcl 9.0 | of bare | CPU | by CPU | aim |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for (row, figures) in ROWS.iter().zip(&self.rows) {
            let met = |list: &[Option<Figure>]| -> Option<bool> {
                match row.aim {
                    Aim::None => None,
                    Aim::Ratio(most) => Some(ratio(list, &figures.bare, false)?.median <= most),
                    Aim::Micros(most) => Some(summary(list, false)?.median <= most),
                }
            };
            let aim = match row.aim {
                Aim::None => String::new(),
                Aim::Ratio(most) => format!("<= {most} of bare"),
                Aim::Micros(most) => format!("<= {most:.0}"),
            };
            let verdicts: Vec<&str> = figures
                .tcl
                .iter()
                .filter_map(|list| met(list))
                .map(|met| if met { "met" } else { "not met" })
                .collect();
            let aim = if verdicts.is_empty() { aim } else { format!("{aim}: {}", verdicts.join(", ")) };
            let _ = writeln!(text, "| {} | {} {aim} |", row.name, cells(figures, true));
        }
        text += "\nEvaluations of `expr 1+1` a second:\n\n| | bare | Tcl 8.6 | of bare | Tcl 9.0 | of bare |\n|---|---|---|---|---|---|\n";
        if let Some(figures) = self.rows.get(ROWS.len()) {
            let _ = writeln!(text, "| {} | {}", PARALLEL.name, cells(figures, false));
        }
        text
    }
}

/// Bare, and for each Tcl the figure and its ratio.
fn cells(figures: &Figures, with_processor: bool) -> String {
    let mut text = format!("{} |", shown(summary(&figures.bare, false), 1));
    if with_processor {
        let _ = write!(text, " {} |", shown(summary(&figures.bare, true), 1));
    }
    for list in &figures.tcl {
        for by_processor in [false, true].into_iter().filter(|by_processor| with_processor || !by_processor) {
            let ratio = ratio(list, &figures.bare, by_processor);
            let _ = write!(text, " {} | {} |", shown(summary(list, by_processor), 1), shown(ratio, 2));
        }
    }
    text
}

fn ratio(list: &[Option<Figure>], bare: &[Option<Figure>], by_processor: bool) -> Option<Summary> {
    Summary::of(&ratios(&column(list, by_processor), &column(bare, by_processor)))
}

fn summary(list: &[Option<Figure>], by_processor: bool) -> Option<Summary> {
    Summary::of(&column(list, by_processor).into_iter().flatten().collect::<Vec<_>>())
}

fn shown(summary: Option<Summary>, digits: usize) -> String {
    match summary {
        Some(Summary { median, min, max }) => format!("{median:.digits$} ({min:.digits$} - {max:.digits$})"),
        None => "-".into(),
    }
}

/// Lets a program end with this one, and run on one processor if its row wants that.
fn tie(command: &mut Command, row: &Row, install: &Install) {
    let cpus = install.server_cpus.first().copied().filter(|_| row.is_tied);
    sys::tie_to_us(command, cpus.as_slice());
}

/// The two numbers that a program prints.
fn ask(command: &mut Command) -> Result<Figure> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_string().into());
    }
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [clock, processor] => Ok((clock, processor)),
        _ => Err(format!("no two numbers: {text}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_a_line_for_each_figure() {
        let mut proxy = Proxy::default();
        proxy.rows.resize_with(ROWS.len() + 1, Figures::default);
        proxy.rows[0] = Figures {
            bare: vec![Some((10.0, 5.0))],
            tcl: [vec![Some((12.0, 6.0))], vec![Some((20.0, 0.0))]],
        };
        let report = proxy.report();
        let line =
            "| expr 1+1, all on one processor | 10.0 (10.0 - 10.0) | 5.0 (5.0 - 5.0) | 12.0 (12.0 - 12.0) | \
                    1.20 (1.20 - 1.20) | 6.0 (6.0 - 6.0) | 1.20 (1.20 - 1.20) | 20.0 (20.0 - 20.0) | ";
        assert!(report.contains(line), "{report}");
        assert!(report.contains("<= 1.5 of bare: met, not met |"));
        assert_eq!(report.lines().filter(|line| line.starts_with("| ")).count(), ROWS.len() + 3);
    }
}
