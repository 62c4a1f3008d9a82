//! Pages with scripts in them: `ns_register_adp`, `ns_adp_append`,
//! `ns_adp_puts` (spec/support.md 4.12, 4.13).
//!
//! A page is registered as a handler like any other, whose script is
//! `::ns_connchan::adp FILE`. Each interpreter keeps the pages that it has
//! shown, taken apart and compiled, until their files change.

use super::respond::{connection_charset, return_text};
use super::status::return_status;
use super::{charset, send, with_exchange};
use crate::base::{log, Error, Result};
use crate::files::Settings;
use crate::net::beneath::{self, Stamp};
use crate::server::current;
use crate::server::exchange::State;
use crate::server::fastpath::now;
use crate::server::pipeline;
use crate::server::scripts::InInterp;
use crate::tcl::args::{word, Kind, Opt, Syntax};
use crate::tcl::command::create;
use crate::tcl::script::completion;
use crate::tcl::{lifetime, Interp, Obj, Outcome};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A part of a page.
enum Part {
    /// Goes out as it is.
    Text(String),
    /// Is evaluated; the line of the file that it begins in counts from 1.
    Script { script: Obj, line: usize },
}

/// A page, taken apart.
type Page = Rc<[Part]>;

/// Pages kept by an interpreter: more are read anew each time.
const MOST_KEPT: usize = 1000;

/// Seconds after which a file that changes again gets another time for sure.
const SETTLED: i64 = 2;

/// What an interpreter knows of pages.
#[derive(Default)]
struct Pages {
    /// By their files.
    kept: RefCell<HashMap<PathBuf, (Stamp, Page)>>,
    /// Output of those that are being shown, with the numbers of their exchanges:
    /// a script may enter the event loop, where another page is shown.
    running: RefCell<Vec<(u64, String)>>,
}

/// Takes a page apart. A `<%` without its `%>` is text.
fn split(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut rest, mut line) = (page, 1);
    while let Some((text, behind)) = rest.split_once("<%") {
        let Some((inside, after)) = behind.split_once("%>") else { break };
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        line += lines(text);
        let script = match inside.strip_prefix('=') {
            Some(words) => Obj::from_str(&format!("ns_adp_append {words}")),
            None => Obj::from_str(inside),
        };
        parts.push(Part::Script { script, line });
        line += lines(inside);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    parts
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

impl Pages {
    /// The page in a file.
    fn read(&self, file: &Path) -> io::Result<Page> {
        let name = CString::new(file.to_string_lossy().as_bytes())?;
        // Does not wait for a writer where the name is that of a pipe.
        let mut opened = beneath::open(&name)?;
        let stamp = beneath::stamp(&opened)?;
        if let Some((known, parts)) = self.kept.borrow().get(file) {
            if *known == stamp {
                return Ok(Rc::clone(parts));
            }
        }
        if !opened.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes)?;
        let parts: Page = split(&String::from_utf8_lossy(&bytes)).into();
        let mut kept = self.kept.borrow_mut();
        kept.remove(file);
        if stamp.changed.0 + SETTLED < now() && kept.len() < MOST_KEPT {
            kept.insert(file.to_owned(), (stamp, Rc::clone(&parts)));
        }
        Ok(parts)
    }

    /// Adds to the output of the page that the running script is in.
    fn append(&self, text: &str) -> Result<()> {
        let id = current::with(|exchange| exchange.id);
        match self.running.borrow_mut().last_mut() {
            Some((own, output)) if Some(*own) == id => output.push_str(text),
            _ => return Err(Error::new("no active adp")),
        }
        Ok(())
    }
}

/// `::ns_connchan::adp file`: shows a page.
pub(super) fn adp(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> =
        Syntax { options: [], ends_options: false, words: [word("file", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    Ok(show(interp, &parsed.word(0).obj.text())?)
}

/// Shows the page in `file`, which is beneath the page directory unless its name
/// is absolute, as the response. Without such a file it is that for 404.
pub(super) fn show(interp: Interp, file: &str) -> Result<()> {
    let (id, root) =
        with_exchange(|exchange| Ok((exchange.id, exchange.connection.driver.page_dir.clone())))?;
    let path = root.unwrap_or_else(|| Settings::current().pagedir.clone()).join(file);
    let pages = lifetime::state::<Pages>(interp);
    let parts = match pages.read(&path) {
        Ok(parts) => parts,
        Err(error) => {
            log::write(log::WARNING, &format!("cannot read adp file \"{}\": {error}", path.display()));
            return return_status(interp, 404);
        }
    };
    offer_ad_host(interp);
    let _preserved = interp.preserve();
    pages.running.borrow_mut().push((id, String::new()));
    for part in &*parts {
        match part {
            Part::Text(text) => {
                pages.running.borrow_mut().last_mut().map_or((), |(_, out)| out.push_str(text))
            }
            Part::Script { script, line } => evaluate(interp, script, *line, &path),
        }
        if interp.is_deleted() {
            break;
        }
    }
    let (_, output) = pages.running.borrow_mut().pop().unwrap_or_default();
    if interp.is_deleted() {
        return Ok(());
    }
    interp.reset_result();
    finish(interp, &output)
}

/// Evaluates a script of a page. An error is logged, and the page goes on.
fn evaluate(interp: Interp, script: &Obj, line: usize, path: &Path) {
    let code = interp.eval_global(script);
    if code == 0 || interp.is_deleted() {
        return;
    }
    let inner = interp.return_options(code);
    let inner = inner.chunks_exact(2).find(|pair| pair[0].is_word("-errorline"));
    let inner = inner.and_then(|pair| pair[1].small_int()).map_or(1, |number| number.max(1) as usize);
    let ended = InInterp::new(interp, code, completion(interp, code));
    if pipeline::Ended::code(&ended) != pipeline::Code::Ok {
        let trace = pipeline::failure_text(&ended);
        let (line, path) = (line + inner - 1, path.display());
        let message = format!("{trace}\n    at line {line} of adp file \"{path}\"");
        current::with(|exchange| pipeline::log_error(exchange, &message));
    }
    interp.reset_result();
}

/// Sends the output, unless a script of the page has answered by itself: behind
/// what it has begun to send.
fn finish(interp: Interp, output: &str) -> Result<()> {
    let output = Obj::from_str(output);
    let state = with_exchange(|exchange| Ok((exchange.state(), exchange.prepared.is_some())))?;
    match state {
        (State::Open, false) => return_text(interp, 200, "text/html", &output, None),
        (State::Open | State::Streaming | State::Raw, _) => {
            let name = current::with(|exchange| connection_charset(exchange)).flatten();
            let bytes = charset::encode(interp, name.as_deref().unwrap_or("utf-8"), &output);
            send(interp, |exchange| exchange.stream(&bytes))
        }
        _ => Ok(()),
    }
}

/// `ns_adp_append string ...`: adds text to the page.
pub(super) fn ns_adp_append(interp: Interp, words: &[Obj]) -> Outcome {
    let [name, texts @ ..] = words else { return Ok(()) };
    if texts.is_empty() {
        return Err(Error::usage(&format!("{} /string .../", name.text())).into());
    }
    let pages = lifetime::state::<Pages>(interp);
    for text in texts {
        pages.append(&text.text())?;
    }
    Ok(())
}

/// `ns_adp_puts ?-nonewline? string`: adds a line.
pub(super) fn ns_adp_puts(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [Opt::flag("-nonewline")],
        ends_options: true,
        words: [word("string", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let pages = lifetime::state::<Pages>(interp);
    pages.append(&parsed.word(0).obj.text())?;
    if !parsed.has(0) {
        pages.append("\n")?;
    }
    Ok(())
}

/// Pages written for OpenACS ask for the name of their host by a command of its
/// own: there is one where nobody has made it.
fn offer_ad_host(interp: Interp) {
    if interp.call(&["::namespace", "which", "-command", "::ad_host"].map(Obj::from_str)) == 0
        && interp.result().raw_text().is_empty()
    {
        create(interp, "::ad_host", ad_host);
    }
    interp.reset_result();
}

/// `ad_host`: the host in `ns_conn location`.
fn ad_host(interp: Interp, words: &[Obj]) -> Outcome {
    const NOTHING: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    NOTHING.parse(interp, &words[..1], &words[1..])?;
    let location = with_exchange(|exchange| Ok(exchange.connection.driver.location()))?;
    let authority = location.split_once("://").map_or(&*location, |(_, authority)| authority);
    interp.set_result(&Obj::from_str(host_of(authority)));
    Ok(())
}

/// What stands before the port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn hosts() {
        for (authority, host) in
            [("a.b:80", "a.b"), ("a.b", "a.b"), ("[::1]:8080", "[::1]"), ("[::1]", "[::1]"), ("", "")]
        {
            assert_eq!(host_of(authority), host);
        }
    }
}
