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

/// What a command line looks like: options in front, words behind.
struct Form {
    options: &'static [Opt],
    /// Whether `--` ends the options.
    ends_options: bool,
    /// How many words there have to be.
    required: usize,
    /// Whether any number may follow them.
    more: bool,
    /// The usage text behind the command's name.
    usage: &'static str,
}

/// A command line, parsed.
struct Line<'a> {
    options: Vec<Option<&'a Obj>>,
    words: &'a [Obj],
}

impl Form {
    /// Parses options, and counts the words behind them. As by `tcl::args`: exactly the
    /// required words are all taken literally, unless the first is an option with a
    /// value; and `first` converts the first of them before they are counted.
    fn parse<'a>(&self, words: &'a [Obj], first: impl Fn(&Obj) -> Result<()>) -> Result<Line<'a>> {
        let mut found = vec![None; self.options.len()];
        let mut rest = &words[1..];
        let option = |word: &Obj| self.options.iter().position(|o| word.is_word(o.name));
        let has_value = |index: usize| !self.options[index].label.is_empty();
        let literal = rest.len() == self.required && !rest.first().and_then(option).is_some_and(has_value);
        while let (false, Some((word, tail))) = (literal, rest.split_first()) {
            if self.ends_options && word.is_word("--") {
                rest = tail;
                break;
            }
            let Some(index) = option(word) else { break };
            if has_value(index) {
                let missing = || Error::new(format!("missing argument to {}", self.options[index].name));
                let (value, tail) = tail.split_first().ok_or_else(missing)?;
                found[index] = Some(value);
                rest = tail;
            } else {
                found[index] = Some(word);
                rest = tail;
            }
        }
        if let Some(word) = rest.first() {
            first(word)?;
        }
        if rest.len() < self.required || (rest.len() > self.required && !self.more) {
            return Err(Error::usage(&format!("{} {}", words[0].text(), self.usage)));
        }
        Ok(Line { options: found, words: rest })
    }
}

/// Of a first word that may be anything.
fn any(_: &Obj) -> Result<()> {
    Ok(())
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
    const FORM: Form = Form {
        options: &[CONSTRAINTS, Opt::flag("-noinherit")],
        ends_options: true,
        required: 3,
        more: true,
        usage: "?-constraints /constraints/? ?-noinherit? ?--? /method/ /url/ /script/ ?/arg .../?",
    };
    let line = FORM.parse(words, any)?;
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
    const FORM: Form = Form {
        options: &[CONSTRAINTS, Opt::flag("-noinherit")],
        ends_options: true,
        required: 3,
        more: false,
        usage: "?-constraints /constraints/? ?-noinherit? ?--? /method/ /url/ /file/",
    };
    let line = FORM.parse(words, any)?;
    let [method, url, file] = line.words else { unreachable!("three words are there") };
    let text = with_words(&Obj::from_str("::ns_connchan::adp"), std::slice::from_ref(file));
    let action = Action::Script { id: new_id(), name: text.clone(), text };
    let constraints = constraints(line.options[0])?;
    handlers::register(&method.text(), &url.text(), line.options[1].is_none(), constraints, action);
    Ok(())
}

/// `ns_register_fastpath ?options? method url`.
pub(super) fn ns_register_fastpath(_: Interp, words: &[Obj]) -> Outcome {
    const FORM: Form = Form {
        options: &[CONSTRAINTS, Opt::flag("-noinherit")],
        ends_options: true,
        required: 2,
        more: false,
        usage: "?-constraints /constraints/? ?-noinherit? ?--? /method/ /url/",
    };
    let line = FORM.parse(words, any)?;
    let [method, url] = line.words else { unreachable!("two words are there") };
    let constraints = constraints(line.options[0])?;
    handlers::register(&method.text(), &url.text(), line.options[1].is_none(), constraints, Action::Fastpath);
    Ok(())
}

/// `ns_unregister_op ?options? method url`.
pub(super) fn ns_unregister_op(interp: Interp, words: &[Obj]) -> Outcome {
    const FORM: Form = Form {
        options: &[
            Opt::flag("-allconstraints"),
            Opt::flag("-noinherit"),
            Opt::flag("-recurse"),
            Opt::valued("-server", crate::tcl::args::Kind::Any, "server"),
        ],
        ends_options: true,
        required: 2,
        more: false,
        usage: "?-allconstraints? ?-noinherit? ?-recurse? ?-server /server/? ?--? /method/ /url/",
    };
    let line = FORM.parse(words, any)?;
    let [method, url] = line.words else { unreachable!("two words are there") };
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
    const FORM: Form = Form {
        options: &[CONSTRAINTS, Opt::flag("-first")],
        ends_options: true,
        required: 4,
        more: true,
        usage: "?-constraints /constraints/? ?-first? ?--? preauth|postauth|trace \
                /method/ /urlpattern/ /script/ ?/arg .../?",
    };
    let line = FORM.parse(words, |word| when(word).map(drop))?;
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
    const FORM: Form = Form {
        options: &[CONSTRAINTS],
        ends_options: false,
        required: 3,
        more: true,
        usage: "?-constraints /constraints/? /method/ /urlpattern/ /script/ ?/arg .../?",
    };
    let line = FORM.parse(words, any)?;
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
    const FORM: Form = Form {
        options: &[CONSTRAINTS],
        ends_options: false,
        required: 3,
        more: false,
        usage: "?-constraints /constraints/? preauth|postauth|trace /method/ /urlpattern/",
    };
    let line = FORM.parse(words, |word| when(word).map(drop))?;
    let [stage, method, url] = line.words else { unreachable!("three words are there") };
    let constraints = constraints(line.options[0])?;
    let filter =
        Filter::new(when(stage)?, &method.text(), &url.text(), constraints, None, "ns_shortcut_filter");
    register(filter, false);
    Ok(())
}
