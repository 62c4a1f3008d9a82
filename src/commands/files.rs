//! Commands about static files that need no request: `ns_guesstype`,
//! `ns_gzipfile`, `ns_brotlifile`, `ns_fastpath_cache_stats`, `ns_url2file`
//! (spec/http.md 3.15, 3.16, 4.2).

use crate::base::{config, log, Error, Result};
use crate::files::{cache, media, Settings};
use crate::net::beneath::stamp;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::command::CommandProc;
use crate::tcl::{Failure, Interp, Obj, Outcome};
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// The commands.
pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("ns_brotlifile", ns_brotlifile),
    ("ns_fastpath_cache_stats", ns_fastpath_cache_stats),
    ("ns_guesstype", ns_guesstype),
    ("ns_gzipfile", ns_gzipfile),
];

/// `ns_guesstype filename`: the media type that its name suggests.
fn ns_guesstype(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("filename", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let settings = Settings::current();
    interp.set_result(&Obj::from_str(media::type_of(&settings, &parsed.word(0).obj.text())));
    Ok(())
}

/// `ns_fastpath_cache_stats ?-contents? ?-reset?`: what the cache holds.
fn ns_fastpath_cache_stats(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<2, 0> = Syntax {
        options: [Opt::flag("-contents"), Opt::flag("-reset")],
        ends_options: false,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let settings = Settings::current();
    if !settings.cache {
        return Ok(());
    }
    let mut cache = cache::FILES.lock();
    if parsed.has(0) {
        let pairs: Vec<Obj> = cache
            .contents()
            .iter()
            .flat_map(|(name, size)| {
                let entry = [Obj::from_count(*size as u64), Obj::from_int(0)];
                [Obj::from_str(name), Obj::from_list(&entry)]
            })
            .collect();
        interp.set_result(&Obj::from_list(&pairs));
    } else {
        let (size, entries, counts) = cache.stats();
        let asked = counts.hits + counts.misses;
        let rate = if asked == 0 { 0.0 } else { 100.0 * counts.hits as f64 / asked as f64 };
        let zero = || Obj::from_int(0);
        interp.set_result(&Obj::from_pairs([
            ("maxsize", Obj::from_count(settings.cache_max_size)),
            ("size", Obj::from_count(size)),
            ("entries", Obj::from_count(entries as u64)),
            ("flushed", Obj::from_count(counts.flushed)),
            ("hits", Obj::from_count(counts.hits)),
            ("missed", Obj::from_count(counts.misses)),
            ("hitrate", Obj::from_str(&format!("{rate:.2}"))),
            ("expired", zero()),
            ("pruned", Obj::from_count(counts.pruned)),
            ("commit", zero()),
            ("rollback", zero()),
            ("saved", Obj::from_str("0.000000")),
        ]));
    }
    if parsed.has(1) {
        cache.reset_counts();
    }
    Ok(())
}

/// `ns_gzipfile source target`: compresses a file by `gzip_cmd`.
fn ns_gzipfile(interp: Interp, words: &[Obj]) -> Outcome {
    let (source, target) = source_and_target(interp, words)?;
    let gzip = configured("gzip_cmd")?.ok_or_else(|| missing("gzip_cmd"))?;
    let minifier = match Path::new(&source).extension().and_then(|extension| extension.to_str()) {
        Some("css") => configured("minify_css_cmd")?,
        Some("js") => configured("minify_js_cmd")?,
        _ => None,
    };
    if let Some(mut pipe) = minifier {
        // The minifier reads the file: redirections belong to the pipe as a whole.
        pipe.push(Obj::from_str("|"));
        pipe.extend(gzip.iter().cloned());
        match compress(interp, pipe, &source, &target) {
            Ok(()) => return Ok(()),
            Err(_) => {
                let warning = format!("minify returned error: {}", interp.result().text());
                log::write(log::WARNING, &warning);
                interp.reset_result();
            }
        }
    }
    compress(interp, gzip, &source, &target)
}

/// `ns_brotlifile source target`: compresses a file by `brotli_cmd`.
fn ns_brotlifile(interp: Interp, words: &[Obj]) -> Outcome {
    let (source, target) = source_and_target(interp, words)?;
    let brotli = configured("brotli_cmd")?.ok_or_else(|| missing("brotli_cmd"))?;
    compress(interp, brotli, &source, &target)
}

fn source_and_target(interp: Interp, words: &[Obj]) -> Result<(String, String)> {
    let [_, source, target] = words else {
        return Err(Error::usage(&format!("{} source target", words[0].text())));
    };
    let _ = interp;
    Ok((source.text().into_owned(), target.text().into_owned()))
}

fn missing(parameter: &str) -> Error {
    Error::new(format!("no ns/fastpath {parameter} configured"))
}

/// The words of a configured command; `None` when there is none.
fn configured(parameter: &str) -> Result<Option<Vec<Obj>>> {
    let text = config::get("ns/fastpath", parameter).unwrap_or_default();
    let words = Obj::from_str(&text).elements();
    let words = words.ok_or_else(|| Error::new(format!("{parameter} is not a list: {text}")))?;
    Ok(Some(words).filter(|words| !words.is_empty()))
}

/// Runs a pipe of commands from `source` into a file beside `target`, which then
/// takes its place: at no time is there half a target. It gets the time of the
/// source as it was before, so that a change during the run shows.
fn compress(interp: Interp, pipe: Vec<Obj>, source: &str, target: &str) -> Outcome {
    let before = File::open(source).and_then(|file| stamp(&file)).ok();
    let beside = Beside::new(target);
    let mut words = vec![Obj::from_str("::exec")];
    words.extend(pipe);
    words.extend(["<", source, ">", &beside.0.to_string_lossy()].map(Obj::from_str));
    match interp.eval_here(&Obj::from_list(&words)) {
        0 => {}
        code => return Err(Failure::Code(code)),
    }
    interp.reset_result();
    let replaced = || -> std::io::Result<()> {
        let made = File::options().write(true).open(&beside.0)?;
        if let Some(stamp) = before {
            let (seconds, nanoseconds) = stamp.modified;
            let since = Duration::new(seconds.max(0) as u64, nanoseconds as u32);
            made.set_times(FileTimes::new().set_modified(UNIX_EPOCH + since))?;
        }
        if let Ok(old) = fs::metadata(target) {
            made.set_permissions(old.permissions())?;
        }
        fs::rename(&beside.0, target)
    };
    replaced().map_err(|error| {
        let reason = crate::base::errno::message(error.raw_os_error().unwrap_or_default());
        Error::new(format!("couldn't write file \"{target}\": {reason}")).into()
    })
}

/// The name of a file beside another one, removed unless it has been renamed.
struct Beside(PathBuf);

impl Beside {
    fn new(target: &str) -> Beside {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let target = Path::new(target);
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // Hidden: it stands in the page directory for a while.
        Beside(target.with_file_name(format!(".{name}.{}-{number}.new", std::process::id())))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
