//! `ns_set`: ordered sets of fields, by handle, for each interpreter
//! (spec/support.md 4.3).

use crate::base::set::{Match, NsSet, SetTable};
use crate::base::{log, Error, Result};
use crate::tcl::args::{bad_option, word, Kind, Opt, Syntax, MAX_INT};
use crate::tcl::{lifetime, Interp, Obj, Outcome};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The sets of an interpreter.
#[derive(Default)]
struct Sets {
    table: RefCell<SetTable>,
    /// The event at whose end those of it are freed.
    event: Cell<u64>,
}

/// Runs `use_it` on the set that `handle` names.
fn with<T>(interp: Interp, handle: &str, use_it: impl FnOnce(&mut NsSet) -> Result<T>) -> Result<T> {
    use_it(lifetime::state::<Sets>(interp).table.borrow_mut().lookup(handle)?)
}

/// Refuses what is not the handle of a set of this interpreter.
pub(super) fn check(interp: Interp, handle: &Obj) -> Result<()> {
    with(interp, &handle.text(), |_| Ok(()))
}

/// The fields of a set.
pub(super) fn fields(interp: Interp, handle: &str) -> Result<Vec<(String, String)>> {
    with(interp, handle, |set| Ok(set.fields().to_vec()))
}

/// Enters a set, and returns its handle. One that is made while a channel's
/// script is being called is freed when that returns (spec/support.md 2.5).
pub(super) fn create(interp: Interp, set: NsSet) -> Obj {
    let sets = lifetime::state::<Sets>(interp);
    let handle = match lifetime::current_event() {
        None => sets.table.borrow_mut().create(set),
        Some(event) => {
            if sets.event.replace(event) != event {
                let sets = Rc::clone(&sets);
                lifetime::at_event_end(move || sets.table.borrow_mut().end_event(event));
            }
            sets.table.borrow_mut().create_for_event(set, event)
        }
    };
    Obj::from_str(&handle)
}

/// Enters a set that the package owns, and returns its handle.
pub(super) fn create_owned(interp: Interp, set: NsSet) -> String {
    lifetime::state::<Sets>(interp).table.borrow_mut().create_static(set)
}

/// A copy of a set.
pub(super) fn snapshot(interp: Interp, handle: &str) -> Result<NsSet> {
    with(interp, handle, |set| Ok(set.clone()))
}

/// Removes a set that may be gone already.
pub(super) fn forget(interp: Interp, handle: &str) {
    let _ = lifetime::state::<Sets>(interp).table.borrow_mut().free(handle);
}

/// Removes all sets that scripts have made.
pub(super) fn forget_all(interp: Interp) {
    lifetime::state::<Sets>(interp).table.borrow_mut().cleanup();
}

/// Gives an owned set new contents, if there is one of the same name under that
/// handle.
pub(super) fn replace_owned(interp: Interp, handle: &str, set: &NsSet) -> bool {
    let replaced = with(interp, handle, |own| {
        let same = own.name() == set.name();
        if same {
            *own = set.clone();
        }
        Ok(same)
    });
    replaced.unwrap_or(false)
}

/// Runs `use_it` on the set of a handle.
pub(super) fn change<T>(
    interp: Interp,
    handle: &Obj,
    use_it: impl FnOnce(&mut NsSet) -> Result<T>,
) -> Result<T> {
    with(interp, &handle.text(), use_it)
}

type Subcommand = fn(&Call) -> Result<Obj>;

/// A subcommand being called.
struct Call<'a> {
    interp: Interp,
    /// The two words that name it.
    name: &'a [Obj],
    args: &'a [Obj],
    /// Whether its name begins with `i`: keys match without regard to case.
    ignore_case: bool,
}

const SUBCOMMANDS: &[(&str, Subcommand)] = &[
    ("array", array),
    ("cleanup", cleanup),
    ("copy", copy),
    ("cput", cput),
    ("create", new),
    ("delete", delete),
    ("delkey", delkey),
    ("find", find),
    ("format", format_set),
    ("free", free),
    ("get", get),
    ("icput", cput),
    ("idelkey", delkey),
    ("ifind", find),
    ("iget", get),
    ("imerge", merge),
    ("isnull", isnull),
    ("iunique", unique),
    ("iupdate", update),
    ("key", key),
    ("keys", keys),
    ("list", list),
    ("merge", merge),
    ("move", move_fields),
    ("name", name_of),
    ("new", new),
    ("print", print),
    ("put", put),
    ("size", size),
    ("split", split),
    ("stats", stats),
    ("truncate", truncate),
    ("unique", unique),
    ("update", update),
    ("value", value),
    ("values", values),
];

/// Subcommands whose `i` only announces that case does not matter.
const CASELESS: &[&str] = &["icput", "idelkey", "ifind", "iget", "imerge", "iunique", "iupdate"];

/// The command `ns_set`.
pub(super) fn command(interp: Interp, words: &[Obj]) -> Outcome {
    let names = || SUBCOMMANDS.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let Some(subcommand) = words.get(1) else {
        return Err(Error::usage(&format!("{} {} ?/arg .../", words[0].text(), names().join("|"))).into());
    };
    let Some((name, run)) = SUBCOMMANDS.iter().find(|(name, _)| name.as_bytes() == subcommand.raw_text())
    else {
        let prefix = format!("{}: ", words[0].text());
        return Err(bad_option(&prefix, "subcommand", &subcommand.text(), &names()).into());
    };
    let call = Call { interp, name: &words[..2], args: &words[2..], ignore_case: CASELESS.contains(name) };
    interp.set_result(&run(&call)?);
    Ok(())
}

const SET: crate::tcl::args::Word = word("setId", Kind::Checked(check));
const KEY: crate::tcl::args::Word = word("key", Kind::Any);
const NOCASE: Opt = Opt::flag("-nocase");

/// The syntax `setId` and nothing else.
const ONE_SET: Syntax<0, 1> = Syntax { options: [], ends_options: false, words: [SET], required: 1 };
const TWO_SETS: Syntax<1, 2> = Syntax {
    options: [NOCASE],
    ends_options: true,
    words: [word("setId1", Kind::Checked(check)), word("setId2", Kind::Checked(check))],
    required: 2,
};
const BY_KEY: Syntax<1, 2> = Syntax { options: [NOCASE], ends_options: true, words: [SET, KEY], required: 2 };
const BY_KEY_AND_VALUE: Syntax<1, 3> = Syntax {
    options: [NOCASE],
    ends_options: true,
    words: [SET, KEY, word("value", Kind::Any)],
    required: 3,
};
const BY_INDEX: Syntax<0, 2> = Syntax {
    options: [],
    ends_options: false,
    words: [SET, word("fieldNumber[0,MAX]", Kind::Natural("fieldNumber"))],
    required: 2,
};
const NO_ARGS: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };

impl Call<'_> {
    fn matching(&self, nocase: bool) -> Match {
        if self.ignore_case || nocase {
            Match::IgnoreCase
        } else {
            Match::Exact
        }
    }

    /// Parses `setId` and runs `use_it` on the set.
    fn on_set<T>(&self, use_it: impl FnOnce(&mut NsSet) -> Result<T>) -> Result<T> {
        let parsed = ONE_SET.parse(self.interp, self.name, self.args)?;
        with(self.interp, &parsed.word(0).obj.text(), use_it)
    }

    /// Parses `setId key`.
    fn on_key<T>(&self, use_it: impl FnOnce(&mut NsSet, &str, Match) -> T) -> Result<T> {
        let parsed = BY_KEY.parse(self.interp, self.name, self.args)?;
        let key = parsed.word(1).obj.text();
        let how = self.matching(parsed.has(0));
        with(self.interp, &parsed.word(0).obj.text(), |set| Ok(use_it(set, &key, how)))
    }

    /// Parses `setId key value`.
    fn on_pair(&self, use_it: impl FnOnce(&mut NsSet, &str, Match, &str) -> usize) -> Result<Obj> {
        let parsed = BY_KEY_AND_VALUE.parse(self.interp, self.name, self.args)?;
        let (key, value) = (parsed.word(1).obj.text(), parsed.word(2).obj.text());
        let how = self.matching(parsed.has(0));
        with(self.interp, &parsed.word(0).obj.text(), |set| Ok(index(use_it(set, &key, how, &value))))
    }

    /// Parses `setId fieldNumber`.
    fn on_index<T>(&self, use_it: impl FnOnce(&mut NsSet, usize) -> Result<T>) -> Result<T> {
        let parsed = BY_INDEX.parse(self.interp, self.name, self.args)?;
        let index = parsed.word(1).number() as usize;
        with(self.interp, &parsed.word(0).obj.text(), |set| use_it(set, index))
    }

    /// Parses `setId ?pattern?`; what `pick` finds by it, as a list.
    fn by_pattern(&self, pick: impl FnOnce(&NsSet, &dyn Fn(&str) -> bool) -> Vec<Obj>) -> Result<Obj> {
        const SYNTAX: Syntax<0, 2> = Syntax {
            options: [],
            ends_options: false,
            words: [SET, word("pattern", Kind::Any)],
            required: 1,
        };
        let parsed = SYNTAX.parse(self.interp, self.name, self.args)?;
        let pattern = parsed.words[1].map(|v| v.obj);
        let matches = |text: &str| pattern.is_none_or(|p| p.matches_as_pattern(text));
        with(self.interp, &parsed.word(0).obj.text(), |set| Ok(Obj::from_list(&pick(set, &matches))))
    }
}

fn index(index: usize) -> Obj {
    Obj::from_count(index as u64)
}

fn truth(value: bool) -> Obj {
    Obj::from_int(i64::from(value))
}

fn text(value: &str) -> Obj {
    Obj::from_str(value)
}

fn texts(values: Vec<&str>) -> Vec<Obj> {
    values.into_iter().map(Obj::from_str).collect()
}

fn new(call: &Call) -> Result<Obj> {
    // Any number of words: not a case for `Syntax`.
    let (nocase, words) = match call.args {
        [first, rest @ ..] if first.is_word("-nocase") => (true, rest),
        words => (false, words),
    };
    let words = match words {
        [first, rest @ ..] if first.is_word("--") => rest,
        words => words,
    };
    let words: Vec<_> = words.iter().map(Obj::text).collect();
    Ok(create(call.interp, NsSet::from_words(&words, nocase)))
}

fn put(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 3> =
        Syntax { options: [], ends_options: false, words: [SET, KEY, word("value", Kind::Any)], required: 3 };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let (key, value) = (parsed.word(1).obj.text(), parsed.word(2).obj.text());
    with(call.interp, &parsed.word(0).obj.text(), |set| Ok(index(set.put(&key, &value))))
}

fn get(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<2, 3> = Syntax {
        options: [Opt::flag("-all"), NOCASE],
        ends_options: true,
        words: [SET, KEY, word("default", Kind::Any)],
        required: 2,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let (all, how) = (parsed.has(0), call.matching(parsed.has(1)));
    let key = parsed.word(1).obj.text();
    let found = with(call.interp, &parsed.word(0).obj.text(), |set| {
        if !all {
            return Ok(set.get(&key, how).map(text));
        }
        let values = set.all(&key, how);
        Ok((!values.is_empty()).then(|| Obj::from_list(&texts(values))))
    })?;
    Ok(found.or_else(|| parsed.words[2].map(|v| v.obj.clone())).unwrap_or_else(Obj::empty))
}

fn find(call: &Call) -> Result<Obj> {
    let found = call.on_key(|set, key, how| set.find(key, how))?;
    Ok(found.map_or_else(|| Obj::from_int(-1), index))
}

fn delkey(call: &Call) -> Result<Obj> {
    Ok(truth(call.on_key(|set, key, how| set.delkey(key, how))?))
}

fn unique(call: &Call) -> Result<Obj> {
    Ok(truth(call.on_key(|set, key, how| set.unique(key, how))?))
}

fn update(call: &Call) -> Result<Obj> {
    call.on_pair(|set, key, how, value| set.update(key, how, value))
}

fn cput(call: &Call) -> Result<Obj> {
    call.on_pair(|set, key, how, value| set.cput(key, how, value))
}

fn delete(call: &Call) -> Result<Obj> {
    call.on_index(|set, index| set.delete(index)).map(|()| Obj::empty())
}

fn truncate(call: &Call) -> Result<Obj> {
    call.on_index(|set, count| set.truncate(count)).map(|()| Obj::empty())
}

fn key(call: &Call) -> Result<Obj> {
    call.on_index(|set, index| Ok(text(set.key(index)?.unwrap_or_default())))
}

fn value(call: &Call) -> Result<Obj> {
    call.on_index(|set, index| Ok(text(set.value(index)?.unwrap_or_default())))
}

fn isnull(call: &Call) -> Result<Obj> {
    call.on_index(|set, index| Ok(truth(set.isnull(index)?)))
}

fn keys(call: &Call) -> Result<Obj> {
    call.by_pattern(|set, matches| texts(set.keys(matches)))
}

fn values(call: &Call) -> Result<Obj> {
    call.by_pattern(|set, matches| texts(set.values(matches)))
}

fn array(call: &Call) -> Result<Obj> {
    call.on_set(|set| {
        let flat: Vec<Obj> = set.fields().iter().flat_map(|(key, value)| [text(key), text(value)]).collect();
        Ok(Obj::from_list(&flat))
    })
}

fn format_set(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<3, 1> = Syntax {
        options: [
            Opt::flag("-noname"),
            Opt::valued("-lead", Kind::Any, "value"),
            Opt::valued("-separator", Kind::Any, "value"),
        ],
        ends_options: true,
        words: [SET],
        required: 1,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let lead = parsed.text(1).unwrap_or_else(|| "  ".into());
    let separator = parsed.text(2).unwrap_or_else(|| ": ".into());
    with(call.interp, &parsed.word(0).obj.text(), |set| {
        Ok(text(&set.format(parsed.has(0), &lead, &separator)))
    })
}

fn size(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 3> = Syntax {
        options: [],
        ends_options: false,
        words: [
            SET,
            word("nrElements[0,MAX]", Kind::Natural("nrElements")),
            // Space to be set aside: of no use here, but checked.
            word("bufferSize[200,MAX]", Kind::Range("bufferSize", 200, MAX_INT)),
        ],
        required: 1,
    };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let wanted = parsed.words[1].map(|v| v.number() as usize);
    with(call.interp, &parsed.word(0).obj.text(), |set| {
        if let Some(wanted) = wanted.filter(|n| *n < set.size()) {
            set.truncate(wanted)?;
        }
        Ok(index(set.size()))
    })
}

fn name_of(call: &Call) -> Result<Obj> {
    call.on_set(|set| Ok(text(set.name().unwrap_or_default())))
}

fn copy(call: &Call) -> Result<Obj> {
    let copied = call.on_set(|set| Ok(set.clone()))?;
    Ok(create(call.interp, copied))
}

fn merge(call: &Call) -> Result<Obj> {
    let parsed = TWO_SETS.parse(call.interp, call.name, call.args)?;
    let (to, from) = (parsed.word(0).obj, parsed.word(1).obj);
    let how = call.matching(parsed.has(0));
    lifetime::state::<Sets>(call.interp).table.borrow_mut().merge(&to.text(), &from.text(), how)?;
    Ok(if how == Match::Exact { to.clone() } else { Obj::empty() })
}

fn move_fields(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 2> =
        Syntax { options: [], ends_options: false, words: TWO_SETS.words, required: 2 };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let (to, from) = (parsed.word(0).obj, parsed.word(1).obj);
    lifetime::state::<Sets>(call.interp).table.borrow_mut().move_fields(&to.text(), &from.text())?;
    Ok(to.clone())
}

fn split(call: &Call) -> Result<Obj> {
    const SYNTAX: Syntax<0, 2> =
        Syntax { options: [], ends_options: false, words: [SET, word("splitChar", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(call.interp, call.name, call.args)?;
    let separator = parsed.words[1].and_then(|v| v.obj.text().chars().next()).unwrap_or('.');
    let parts = with(call.interp, &parsed.word(0).obj.text(), |set| Ok(set.split(separator)))?;
    let handles: Vec<Obj> = parts.into_iter().map(|part| create(call.interp, part)).collect();
    Ok(Obj::from_list(&handles))
}

fn free(call: &Call) -> Result<Obj> {
    let parsed = ONE_SET.parse(call.interp, call.name, call.args)?;
    lifetime::state::<Sets>(call.interp).table.borrow_mut().free(&parsed.word(0).obj.text())?;
    Ok(Obj::empty())
}

fn cleanup(call: &Call) -> Result<Obj> {
    NO_ARGS.parse(call.interp, call.name, call.args)?;
    lifetime::state::<Sets>(call.interp).table.borrow_mut().cleanup();
    Ok(Obj::empty())
}

fn list(call: &Call) -> Result<Obj> {
    NO_ARGS.parse(call.interp, call.name, call.args)?;
    let handles = lifetime::state::<Sets>(call.interp).table.borrow().list();
    Ok(Obj::from_list(&handles.iter().map(|h| text(h)).collect::<Vec<_>>()))
}

fn stats(call: &Call) -> Result<Obj> {
    NO_ARGS.parse(call.interp, call.name, call.args)?;
    let sets = lifetime::state::<Sets>(call.interp);
    let handles = sets.table.borrow().list();
    let mut pairs = Vec::new();
    for (letter, names) in [
        ('d', ["nr_dynamic", "size_dynamic", "allocated_dynamic"]),
        ('t', ["nr_static", "size_static", "allocated_static"]),
    ] {
        let own: Vec<&String> = handles.iter().filter(|h| h.starts_with(letter)).collect();
        let mut fields = 0;
        for handle in &own {
            fields += with(call.interp, handle, |set| Ok(set.size()))?;
        }
        pairs.extend([(names[0], index(own.len())), (names[1], index(fields)), (names[2], index(fields))]);
    }
    Ok(Obj::from_pairs(pairs))
}

fn print(call: &Call) -> Result<Obj> {
    let formatted = call.on_set(|set| Ok(set.format(false, "  ", ": ")))?;
    log::write(log::NOTICE, &formatted);
    Ok(Obj::empty())
}
