//! Arguments of the form `key=value`, and single words, as the programs of this package take them.
//!
//! Each program names the keys it knows when it parses, so that a misspelt one is an error and not a default.

use std::str::FromStr;

use crate::Result;

/// The parsed arguments of one program.
#[derive(Debug, Default)]
pub struct Args {
    pairs: Vec<(String, String)>,
    words: Vec<String>,
}

impl Args {
    /// Parses `arguments`; `keys` are the allowed keys, `words` the allowed words without a value.
    pub fn parse(arguments: &[String], keys: &[&str], words: &[&str]) -> Result<Self> {
        let mut parsed = Args::default();
        for argument in arguments {
            match argument.split_once('=') {
                Some((key, value)) if keys.contains(&key) => parsed.pairs.push((key.into(), value.into())),
                None if words.contains(&argument.as_str()) => parsed.words.push(argument.clone()),
                _ => {
                    let known: Vec<String> = keys
                        .iter()
                        .map(|key| format!("{key}=…"))
                        .chain(words.iter().map(|w| w.to_string()))
                        .collect();
                    return Err(
                        format!("unknown argument \"{argument}\", known are {}", known.join(" ")).into()
                    );
                }
            }
        }
        Ok(parsed)
    }

    /// Whether the word was given.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|given| given == word)
    }

    /// The value of a key, when it was given. The last one counts.
    pub fn get<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        match self.pairs.iter().rev().find(|(given, _)| given == key) {
            None => Ok(None),
            Some((_, value)) => match value.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(format!("bad value in {key}={value}").into()),
            },
        }
    }

    /// The value of a key that must be given.
    pub fn require<T: FromStr>(&self, key: &str) -> Result<T> {
        self.get(key)?.ok_or_else(|| format!("{key}=… is missing").into())
    }

    /// The values of a key that takes a list with commas; empty when the key was not given.
    pub fn list<T: FromStr>(&self, key: &str) -> Result<Vec<T>> {
        let Some(list) = self.get::<String>(key)? else { return Ok(Vec::new()) };
        let bad = |value| format!("bad value \"{value}\" in {key}={list}").into();
        list.split(',').map(|value| value.parse().map_err(|_| bad(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    #[test]
    fn keys_and_words() {
        let args =
            Args::parse(&strings(&["port=80", "quick", "port=81"]), &["port", "size"], &["quick"]).unwrap();
        assert_eq!(args.require::<u16>("port").unwrap(), 81);
        assert_eq!(args.get::<usize>("size").unwrap(), None);
        assert!(args.has("quick"));
        assert!(args.require::<usize>("size").is_err());
    }

    #[test]
    fn unknown_and_malformed() {
        assert!(Args::parse(&strings(&["sise=1"]), &["size"], &[]).is_err());
        assert!(Args::parse(&strings(&["slow"]), &["size"], &["quick"]).is_err());
        let args = Args::parse(&strings(&["size=big"]), &["size"], &[]).unwrap();
        assert!(args.get::<usize>("size").is_err());
    }

    #[test]
    fn lists() {
        let args = Args::parse(&strings(&["servers=bare,ns86"]), &["servers", "parts"], &[]).unwrap();
        assert_eq!(args.list::<String>("servers").unwrap(), ["bare", "ns86"]);
        assert!(args.list::<String>("parts").unwrap().is_empty());
        assert!(args.list::<u16>("servers").is_err());
    }
}
