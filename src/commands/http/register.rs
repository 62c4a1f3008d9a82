//! Registration of handlers, filters and traces (spec/http.md section 1).

use super::with_exchange;
use crate::base::{Error, Result};
use crate::commands::server;
use crate::server::constraints::Constraints;
use crate::server::filters::{self, Filter, When};
use crate::server::handlers::{self, new_id, Action};
use crate::tcl::args::{bad_option, Opt};
use crate::tcl::{Interp, Obj, Outcome};
use std::cell::Cell;

thread_local! {
    /// The thread is one of several with the same init script.
    static INITIALIZING: Cell<bool> = const { Cell::new(false) };
}

/// From now on, in this thread, what is registered twice is registered once: its
/// init script is that of other threads, too.
pub(super) fn begin_initializing() {
    INITIALIZING.set(true);
}

/// A command line with options in front and any number of words behind.
struct Line<'a> {
    options: Vec<Option<&'a Obj>>,
    words: &'a [Obj],
}

/// Parses options, then at least `required` words; `usage` is the usage text
/// behind the command's name.
fn parse<'a>(words: &'a [Obj], options: &[Opt], required: usize, usage: &str) -> Result<Line<'a>> {
    let wrong = || Error::usage(&format!("{} {usage}", words[0].text()));
    let mut found = vec![None; options.len()];
    let mut rest = &words[1..];
    while let Some((first, tail)) = rest.split_first() {
        if first.is_word("--") {
            rest = tail;
            break;
        }
        let Some(index) = options.iter().position(|o| first.is_word(o.name)) else { break };
        if options[index].label.is_empty() {
            found[index] = Some(first);
            rest = tail;
        } else {
            let missing = || Error::new(format!("missing argument to {}", options[index].name));
            let (value, tail) = tail.split_first().ok_or_else(missing)?;
            found[index] = Some(value);
            rest = tail;
        }
    }
    if rest.len() < required {
        return Err(wrong());
    }
    Ok(Line { options: found, words: rest })
}

const CONSTRAINTS: Opt = Opt::valued("-constraints", crate::tcl::args::Kind::Any, "constraints");

fn constraints(value: Option<&Obj>) -> Result<Constraints> {
    let Some(value) = value else { return Ok(Constraints::default()) };
    let malformed = || Error::new("constraints must be a list of pairs of header field and pattern");
    let words: Vec<String> =
        value.elements().ok_or_else(malformed)?.iter().map(|e| e.text().into_owned()).collect();
    Constraints::parse(&words)
}

/// A script with words appended, as properly quoted elements.
fn with_words(script: &Obj, words: &[Obj]) -> String {
    if words.is_empty() {
        return script.text().into_owned();
    }
    format!("{} {}", script.text(), Obj::from_list(words).text())
}

/// `ns_register_proc ?options? method url script ?arg ...?`.
pub(super) fn ns_register_proc(_: Interp, words: &[Obj]) -> Outcome {
    let usage = "?-constraints /constraints/? ?-noinherit? ?--? /method/ /url/ /script/ ?/arg .../?";
    let line = parse(words, &[CONSTRAINTS, Opt::flag("-noinherit")], 3, usage)?;
    let [method, url, script, args @ ..] = line.words else { unreachable!("three words are there") };
    let action =
        Action::Script { id: new_id(), text: with_words(script, args), name: script.text().into_owned() };
    let constraints = constraints(line.options[0])?;
    handlers::register(&method.text(), &url.text(), line.options[1].is_none(), constraints, action);
    Ok(())
}

/// `ns_atclose script ?arg ...?`: runs when the response of the current request
/// is complete, the last registered first.
pub(super) fn ns_atclose(_: Interp, words: &[Obj]) -> Outcome {
    let [_, script, args @ ..] = words else {
        return Err(Error::usage(&format!("{} /script/ ?/arg .../?", words[0].text())).into());
    };
    with_exchange(|exchange| {
        if !exchange.is_open() {
            return Err(Error::new("connection already closed"));
        }
        exchange.at_close.push(with_words(script, args));
        Ok(())
    })?;
    Ok(())
}

/// `ns_register_adp ?options? method url file`: a page with scripts in it.
pub(super) fn ns_register_adp(_: Interp, words: &[Obj]) -> Outcome {
    let usage = "?-constraints /constraints/? ?-noinherit? ?--? /method/ /url/ /file/";
    let line = parse(words, &[CONSTRAINTS, Opt::flag("-noinherit")], 3, usage)?;
    let [method, url, file] = line.words else {
        return Err(Error::usage(&format!("{} {usage}", words[0].text())).into());
    };
    let text = with_words(&Obj::from_str("::ns_connchan::adp"), std::slice::from_ref(file));
    let action = Action::Script { id: new_id(), name: text.clone(), text };
    let constraints = constraints(line.options[0])?;
    handlers::register(&method.text(), &url.text(), line.options[1].is_none(), constraints, action);
    Ok(())
}

/// `ns_register_fastpath ?options? method url`.
pub(super) fn ns_register_fastpath(_: Interp, words: &[Obj]) -> Outcome {
    let usage = "?-constraints /constraints/? ?-noinherit? ?--? /method/ /url/";
    let line = parse(words, &[CONSTRAINTS, Opt::flag("-noinherit")], 2, usage)?;
    let [method, url] = line.words else {
        return Err(Error::usage(&format!("{} {usage}", words[0].text())).into());
    };
    let constraints = constraints(line.options[0])?;
    handlers::register(&method.text(), &url.text(), line.options[1].is_none(), constraints, Action::Fastpath);
    Ok(())
}

/// `ns_unregister_op ?options? method url`.
pub(super) fn ns_unregister_op(interp: Interp, words: &[Obj]) -> Outcome {
    let usage = "?-allconstraints? ?-noinherit? ?-recurse? ?-server /server/? ?--? /method/ /url/";
    let options = [
        Opt::flag("-allconstraints"),
        Opt::flag("-noinherit"),
        Opt::flag("-recurse"),
        Opt::valued("-server", crate::tcl::args::Kind::Any, "server"),
    ];
    let line = parse(words, &options, 2, usage)?;
    let [method, url] = line.words else {
        return Err(Error::usage(&format!("{} {usage}", words[0].text())).into());
    };
    if let Some(name) = line.options[3] {
        server::check(interp, name)?;
    }
    let has = |index: usize| line.options[index].is_some();
    handlers::unregister(&method.text(), &url.text(), !has(1), has(0), has(2));
    Ok(())
}

/// The stage of a filter, by name.
fn when(word: &Obj) -> Result<When> {
    match &*word.text() {
        "preauth" => Ok(When::Preauth),
        "postauth" => Ok(When::Postauth),
        "trace" => Ok(When::Trace),
        other => Err(bad_option("", "option", other, &["preauth", "postauth", "trace"])),
    }
}

fn register(filter: Filter, first: bool) {
    filters::register(filter, first, INITIALIZING.get());
}

/// `ns_register_filter ?options? when method urlpattern script ?arg ...?`.
pub(super) fn ns_register_filter(_: Interp, words: &[Obj]) -> Outcome {
    let usage = "?-constraints /constraints/? ?-first? ?--? preauth|postauth|trace \
                 /method/ /urlpattern/ /script/ ?/arg .../?";
    let line = parse(words, &[CONSTRAINTS, Opt::flag("-first")], 4, usage)?;
    let [stage, method, url, script, args @ ..] = line.words else { unreachable!("four words are there") };
    let when = when(stage)?;
    let mut all = vec![Obj::from_str(when.word())];
    all.extend_from_slice(args);
    let text = with_words(script, &all);
    let constraints = constraints(line.options[0])?;
    let filter = Filter::new(when, &method.text(), &url.text(), constraints, Some(text), &script.text());
    register(filter, line.options[1].is_some());
    Ok(())
}

/// `ns_register_trace ?options? method urlpattern script ?arg ...?`.
pub(super) fn ns_register_trace(_: Interp, words: &[Obj]) -> Outcome {
    let usage = "?-constraints /constraints/? /method/ /urlpattern/ /script/ ?/arg .../?";
    let line = parse(words, &[CONSTRAINTS], 3, usage)?;
    let [method, url, script, args @ ..] = line.words else { unreachable!("three words are there") };
    let constraints = constraints(line.options[0])?;
    let text = with_words(script, args);
    let filter =
        Filter::new(When::VoidTrace, &method.text(), &url.text(), constraints, Some(text), &script.text());
    register(filter, false);
    Ok(())
}

/// `ns_shortcut_filter ?options? when method urlpattern`: the filters behind it
/// do not run for what matches.
pub(super) fn ns_shortcut_filter(_: Interp, words: &[Obj]) -> Outcome {
    let usage = "?-constraints /constraints/? preauth|postauth|trace /method/ /urlpattern/";
    let line = parse(words, &[CONSTRAINTS], 3, usage)?;
    let [stage, method, url] = line.words else {
        return Err(Error::usage(&format!("{} {usage}", words[0].text())).into());
    };
    let constraints = constraints(line.options[0])?;
    let filter =
        Filter::new(when(stage)?, &method.text(), &url.text(), constraints, None, "ns_shortcut_filter");
    register(filter, false);
    Ok(())
}
