//! The one argument parser. A `Syntax` describes a command's options and
//! words; from it come parsing, conversion errors and the usage text, by the
//! rules of spec/ns_connchan.md section 1.
//!
//! In short: options come first and match exactly; an unknown `-word` is an
//! ordinary word; `--` ends options where the syntax has it; the last of a
//! repeated option wins; when exactly the required words are given they are
//! taken literally, unless the first is an option that takes a value.

use super::{Interp, Obj};
use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};

/// What an option or word is converted to.
#[derive(Clone, Copy)]
pub enum Kind {
    /// An option without a value.
    Flag,
    /// Any value.
    Any,
    /// A time, not negative.
    Time,
    /// A C int.
    Int,
    /// An integer from 0 on; the name stands in the error.
    Natural(&'static str),
    /// An integer of 64 bits between two bounds; the name stands in the error.
    Range(&'static str, i64, i64),
    /// An integer from 0 to 65535.
    Port,
    /// One of these words, exactly.
    OneOf(&'static [&'static str]),
    /// Any value that passes this check.
    Checked(fn(Interp, &Obj) -> Result<()>),
}

/// The largest C int: `MAX` in usage texts.
pub const MAX_INT: i64 = i32::MAX as i64;

/// An option: its name with the dash, and how its value reads in the usage
/// text (`value` becomes `/value/`).
pub struct Opt {
    /// Name with its dash.
    pub name: &'static str,
    /// Type of the value.
    pub kind: Kind,
    /// Name of the value in the usage text.
    pub label: &'static str,
}

impl Opt {
    /// An option without a value.
    pub const fn flag(name: &'static str) -> Opt {
        Opt { name, kind: Kind::Flag, label: "" }
    }

    /// An option with a value.
    pub const fn valued(name: &'static str, kind: Kind, label: &'static str) -> Opt {
        Opt { name, kind, label }
    }
}

/// A positional word.
pub struct Word {
    /// Name in the usage text, without slashes.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
}

/// A word of the given name and type.
pub const fn word(name: &'static str, kind: Kind) -> Word {
    Word { name, kind }
}

/// The syntax of a command with `O` options and at most `W` words.
pub struct Syntax<const O: usize, const W: usize> {
    /// Options in the order of the usage text.
    pub options: [Opt; O],
    /// Whether `--` ends the options.
    pub ends_options: bool,
    /// Positional words.
    pub words: [Word; W],
    /// How many of the words must be there.
    pub required: usize,
}

/// Words of any number behind the others: their name in the usage text, and
/// whether there must be one.
pub struct Rest {
    /// Name without slashes and dots.
    pub name: &'static str,
    /// Whether one is required.
    pub required: bool,
}

/// A converted option or word; each borrows the value that was given.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    /// The value itself; of a flag, the flag.
    pub obj: &'a Obj,
    number: i64,
}

impl Value<'_> {
    /// The value of `Kind::Int`, `Range`, `Port` or `OneOf` (an index).
    pub fn number(&self) -> i64 {
        self.number
    }

    /// The value of `Kind::Time`.
    pub fn time(&self) -> TimeValue {
        TimeValue::from_micros(self.number)
    }
}

/// A parsed command line.
pub struct Parsed<'a, const O: usize, const W: usize> {
    /// By index of the option; `None` when absent.
    pub options: [Option<Value<'a>>; O],
    /// By index of the word; the required ones are always there.
    pub words: [Option<Value<'a>>; W],
}

impl<'a, const O: usize, const W: usize> Parsed<'a, O, W> {
    /// The value of a word that the syntax requires.
    pub fn word(&self, index: usize) -> Value<'a> {
        self.words[index].expect("required words are there after parsing")
    }

    /// Whether a flag was given.
    pub fn has(&self, index: usize) -> bool {
        self.options[index].is_some()
    }

    /// The text of an option's value.
    pub fn text(&self, index: usize) -> Option<String> {
        self.options[index].map(|v| v.obj.text().into_owned())
    }

    /// The time given for an option.
    pub fn time(&self, index: usize) -> Option<TimeValue> {
        self.options[index].map(|v| v.time())
    }
}

impl<const O: usize, const W: usize> Syntax<O, W> {
    /// Parses `args`, the words after `command` (the words that name the
    /// command, as typed).
    pub fn parse<'a>(&self, interp: Interp, command: &[Obj], args: &'a [Obj]) -> Result<Parsed<'a, O, W>> {
        let literal = args.len() == self.required && !self.begins_with_value(args);
        match self.front(interp, args, literal)? {
            Some((parsed, [])) => Ok(parsed),
            _ => Err(self.wrong_args(command)),
        }
    }

    /// Parses a command line that may end in words of any number, which are
    /// returned as they are.
    pub fn parse_with_rest<'a>(
        &self,
        interp: Interp,
        command: &[Obj],
        args: &'a [Obj],
        rest: &Rest,
    ) -> Result<(Parsed<'a, O, W>, &'a [Obj])> {
        match self.front(interp, args, false)? {
            Some((parsed, words)) if !(rest.required && words.is_empty()) => Ok((parsed, words)),
            _ => {
                let name = rest.name;
                let words = if rest.required { format!(" /{name} .../") } else { format!(" ?/{name} .../?") };
                Err(Error::usage(&(self.usage(&joined(command)) + &words)))
            }
        }
    }

    /// Parses options and words from the front, and returns what is behind
    /// them; `None` when words are missing.
    #[allow(clippy::type_complexity)]
    fn front<'a>(
        &self,
        interp: Interp,
        args: &'a [Obj],
        literal: bool,
    ) -> Result<Option<(Parsed<'a, O, W>, &'a [Obj])>> {
        let mut parsed = Parsed { options: [None; O], words: [None; W] };
        let mut rest = args;
        while let (false, Some((first, tail))) = (literal, rest.split_first()) {
            if self.ends_options && text_of(first, tail) == Some(b"--") {
                rest = tail;
                break;
            }
            let Some(index) = self.find(first, tail) else { break };
            let option = &self.options[index];
            if matches!(option.kind, Kind::Flag) {
                parsed.options[index] = Some(Value { obj: first, number: 1 });
                rest = tail;
            } else {
                let Some((value, tail)) = tail.split_first() else {
                    return Err(Error::new(format!("missing argument to {}", option.name)));
                };
                parsed.options[index] = Some(convert(interp, option.kind, value, "")?);
                rest = tail;
            }
        }
        for (index, word) in self.words.iter().enumerate() {
            match rest.split_first() {
                Some((value, tail)) => {
                    let mark = if index < self.required { "" } else { "?" };
                    parsed.words[index] = Some(convert(interp, word.kind, value, mark)?);
                    rest = tail;
                }
                None if index < self.required => return Ok(None),
                None => break,
            }
        }
        Ok(Some((parsed, rest)))
    }

    /// Whether the first word is an option that takes a value.
    fn begins_with_value(&self, args: &[Obj]) -> bool {
        let Some((first, tail)) = args.split_first() else { return false };
        let valued = |o: &Opt| !matches!(o.kind, Kind::Flag);
        self.options.iter().any(valued) && self.find(first, tail).is_some_and(|i| valued(&self.options[i]))
    }

    /// The option that `word` names, which `tail` follows.
    fn find(&self, word: &Obj, tail: &[Obj]) -> Option<usize> {
        let text = text_of(word, tail)?;
        // Most words are no options: their first byte tells.
        text.first().filter(|b| **b == b'-')?;
        self.options.iter().position(|o| o.name.as_bytes() == text)
    }

    /// The `wrong # args` error.
    #[cold]
    pub fn wrong_args(&self, command: &[Obj]) -> Error {
        Error::usage(&self.usage(&joined(command)))
    }

    /// The usage text of the command called `name`, which may be empty.
    pub fn usage(&self, name: &str) -> String {
        let mut text = String::new();
        for option in &self.options {
            let value = match option.kind {
                Kind::Flag => String::new(),
                Kind::OneOf(words) => format!(" {}", words.join("|")),
                _ => format!(" /{}/", option.label),
            };
            text.push_str(&format!(" ?{}{value}?", option.name));
        }
        if self.ends_options {
            text.push_str(" ?--?");
        }
        for (index, word) in self.words.iter().enumerate() {
            let (open, close) = if index < self.required { (" /", "/") } else { (" ?/", "/?") };
            text.push_str(&format!("{open}{}{close}", word.name));
        }
        if name.is_empty() {
            return text.trim_start().to_owned();
        }
        name.to_owned() + &text
    }
}

/// The text of a word that may be an option, which `tail` follows. Bytes stay
/// bytes: looking at them as text would make them text for whoever asks later
/// (`Obj::is_pure_bytes`). As the last word they are data, whatever they are.
fn text_of<'a>(word: &'a Obj, tail: &[Obj]) -> Option<&'a [u8]> {
    if !word.is_pure_bytes() {
        Some(word.raw_text())
    } else if tail.is_empty() {
        None
    } else {
        word.bytes().ok()
    }
}

fn joined(command: &[Obj]) -> String {
    command.iter().map(Obj::text).collect::<Vec<_>>().join(" ")
}

/// Converts an option's value or a word. `mark` stands before its name in errors
/// about ranges: for a word that may be missing the reference shows a `?`.
fn convert<'a>(interp: Interp, kind: Kind, obj: &'a Obj, mark: &str) -> Result<Value<'a>> {
    let number = match kind {
        Kind::Flag | Kind::Any => 0,
        Kind::Time => {
            let text = obj.text();
            let time = TimeValue::parse(&text)?;
            if time.is_negative() {
                return Err(Error::new(format!("expected time value but got \"{text}\"")));
            }
            time.as_micros()
        }
        Kind::Int => i64::from(obj.int()?),
        Kind::Natural(name) => {
            let number = obj.int()?;
            if number < 0 {
                return Err(Error::new(format!(
                    "expected integer in range [0,MAX] for '{mark}{name}', but got {number}"
                )));
            }
            i64::from(number)
        }
        Kind::Range(name, least, most) => {
            let number = obj.wide()?;
            if !(least..=most).contains(&number) {
                let bound = |bound: i64| match bound {
                    i64::MAX | MAX_INT => "MAX".to_owned(),
                    bound => bound.to_string(),
                };
                let (least, most) = (bound(least), bound(most));
                return Err(Error::new(format!(
                    "expected integer in range [{least},{most}] for '{mark}{name}', but got {number}"
                )));
            }
            number
        }
        Kind::Port => {
            let port = obj.int()?;
            if !(0..=65535).contains(&port) {
                return Err(Error::new(format!("value {port} out of range (0..65535)")));
            }
            i64::from(port)
        }
        Kind::OneOf(words) => {
            let index = words.iter().position(|w| obj.is_word(w));
            index.ok_or_else(|| bad_option("", "option", &obj.text(), words))? as i64
        }
        Kind::Checked(check) => {
            check(interp, obj)?;
            0
        }
    };
    Ok(Value { obj, number })
}

/// `bad option "x": must be a, b, or c`, with what was expected (`option`,
/// `subcommand`) and whatever stands before it. There is a comma before the
/// `or` also of two alternatives, as in the reference.
#[cold]
pub fn bad_option(prefix: &str, what: &str, given: &str, words: &[&str]) -> Error {
    let list = match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [most @ .., last] => format!("{}, or {last}", most.join(", ")),
    };
    Error::new(format!("{prefix}bad {what} \"{given}\": must be {list}"))
}
