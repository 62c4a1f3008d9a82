//! Compressed siblings: `page.html.br` and `page.html.gz` beside `page.html`
//! (spec/http.md 4.3).

use super::open::{open, Found, Opened};
use super::settings::Siblings;
use super::{refresh, Asked, Settings, Source, Stop};
use crate::base::log;
use crate::http::accept_encoding::Accepted;
use crate::net::beneath::{c_string, stamp_of, Stamp};

/// A content coding that siblings may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `br`.
    Brotli,
    /// `gzip`.
    Gzip,
}

impl Coding {
    /// As it stands in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// What a sibling's name ends in.
    pub fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Gzip => ".gz",
        }
    }

    /// The command that makes a sibling anew, `source target` appended.
    pub fn command(self) -> &'static str {
        match self {
            Coding::Brotli => "::ns_brotlifile",
            Coding::Gzip => "::ns_gzipfile",
        }
    }

    fn settings(self, settings: &Settings) -> Siblings {
        match self {
            Coding::Brotli => settings.brotli,
            Coding::Gzip => settings.gzip,
        }
    }

    fn quality(self, accepted: Accepted) -> u16 {
        match self {
            Coding::Brotli => accepted.brotli,
            Coding::Gzip => accepted.gzip,
        }
    }
}

/// What was chosen.
#[derive(Default)]
pub struct Choice {
    /// Whether the choice depends on `Accept-Encoding`.
    pub vary: bool,
    /// The sibling to send; else the file itself.
    pub sibling: Option<(Coding, Opened)>,
}

/// Chooses among a file, whose stamp is `plain`, and its siblings: the one that
/// the client likes best, brotli before gzip when it does not care. A request
/// for a range gets the file itself, since the range is one of its bytes.
///
/// # Errors
/// `Stop::Refresh` when a sibling should be made anew first.
pub fn choose(source: &Source, plain: &Stamp, asked: &Asked, settings: &Settings) -> Result<Choice, Stop> {
    let mut choice = Choice::default();
    if !settings.brotli.serve && !settings.gzip.serve {
        return Ok(choice);
    }
    let accepted = match asked.accept_encoding {
        Some(value) if asked.range.is_none() => Accepted::parse(value, asked.modern),
        _ => Accepted::default(),
    };
    let mut codings = [Coding::Brotli, Coding::Gzip];
    codings.sort_by_key(|coding| std::cmp::Reverse(coding.quality(accepted)));
    for coding in codings {
        let wanted = coding.settings(settings);
        if !wanted.serve {
            continue;
        }
        if choice.sibling.is_some() || coding.quality(accepted) == 0 {
            choice.vary = choice.vary || exists(source, coding);
            continue;
        }
        let Ok(Found::File(opened)) = open(source, coding.suffix(), settings, asked.now) else { continue };
        choice.vary = true;
        if is_current(&opened.stamp, plain) {
            choice.sibling = Some((coding, opened));
        } else if wanted.refresh && asked.may_refresh && refresh::is_due(&source.text(coding.suffix())) {
            return Err(Stop::Refresh(coding));
        } else if refresh::complain(&source.text(coding.suffix())) {
            let (name, file) = (coding.name(), source.text(coding.suffix()));
            let warning = format!("{name}: the {name} file {file} is older than the uncompressed file");
            log::write(log::WARNING, &warning);
        }
    }
    Ok(choice)
}

fn exists(source: &Source, coding: Coding) -> bool {
    source.full_name(coding.suffix()).and_then(|name| stamp_of(&name)).is_ok_and(|stamp| stamp.is_file())
}

/// Whether a sibling is not older than its file. A time without a fraction was
/// most likely copied by a program that knows seconds only.
pub fn is_current(sibling: &Stamp, plain: &Stamp) -> bool {
    if sibling.modified.1 == 0 {
        sibling.modified.0 >= plain.modified.0
    } else {
        sibling.modified >= plain.modified
    }
}

/// The same, by names: whether making a sibling anew has helped.
pub fn is_up_to_date(source: &str, target: &str) -> bool {
    let stamp = |path: &str| stamp_of(&c_string(path.as_bytes())?);
    match (stamp(source), stamp(target)) {
        (Ok(plain), Ok(sibling)) => is_current(&sibling, &plain),
        _ => false,
    }
}
