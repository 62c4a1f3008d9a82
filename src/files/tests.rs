//! Answers as a whole, over real files.

use super::settings::{Listing, Siblings};
use super::variant::Coding;
use super::*;
use crate::http::conditional::Conditions;
use crate::net::beneath::Links;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MODIFIED: u64 = 1_700_000_000;
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// A page directory; removed at the end.
struct Pages(PathBuf);

impl Pages {
    fn new(name: &str) -> Pages {
        let path = std::env::temp_dir().join(format!("files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Pages(path)
    }

    fn put(&self, name: &str, data: &[u8]) -> PathBuf {
        self.put_at(name, data, MODIFIED)
    }

    fn put_at(&self, name: &str, data: &[u8], modified: u64) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, data).unwrap();
        set_time(&path, modified);
        path
    }

    fn settings(&self) -> Settings {
        let siblings = Siblings { serve: false, refresh: false };
        Settings {
            cache: false,
            cache_max_size: 10 << 20,
            cache_max_entry: 8 << 10,
            gzip: siblings,
            brotli: siblings,
            check_modified_since: true,
            etag: false,
            pagedir: self.0.clone(),
            directory_file: Vec::new(),
            directory_proc: String::new(),
            directory_adp: String::new(),
            listing: Listing::None,
            hide_dot_files: true,
            serve_dot_files: true,
            links: Links::Beneath,
            types: Vec::new(),
        }
    }

    fn answer(&self, path: &str, asked: &Asked, settings: &Settings) -> Result<Answer<'static>, Stop> {
        answer(&self.source(path), "text/plain", asked, settings)
    }

    fn source(&self, path: &str) -> Source {
        Source::page(&self.0, path, Links::Beneath).unwrap()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set_time(path: &Path, modified: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(modified);
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn get<'a>() -> Asked<'a> {
    Asked { status: 200, get: true, modern: true, now: now(), may_refresh: true, ..Asked::default() }
}

/// The bytes that would be sent.
fn bytes(answer: &Answer) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in &answer.body {
        match piece {
            Piece::Own(data) => all.extend_from_slice(data),
            Piece::Shared(data, range) => all.extend_from_slice(&data[range.clone()]),
            Piece::File(file, range) => {
                let mut data = vec![0; (range.end - range.start) as usize];
                file.read_exact_at(&mut data, range.start).unwrap();
                all.extend_from_slice(&data);
            }
        }
    }
    all
}

fn head(answer: &Answer) -> String {
    let mut fields = [("", ""); answer::MOST_FIELDS];
    let count = answer.fields(&mut fields);
    let mut lines: Vec<String> =
        fields[..count].iter().map(|(name, value)| format!("{name}: {value}")).collect();
    lines.push(format!("content-length: {}", answer.length));
    format!("{} {}", answer.status, lines.join("|"))
}

fn field(answer: &Answer, wanted: &str) -> Option<String> {
    let mut fields = [("", ""); answer::MOST_FIELDS];
    let count = answer.fields(&mut fields);
    fields[..count].iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
}

#[test]
fn media_types() {
    let pages = Pages::new("types");
    let mut settings = pages.settings();
    for (path, expected) in [("/a/b.HTML", "text/html"), ("b.mediatest", "*/*"), ("x.", "*/*"), ("x", "*/*")]
    {
        assert_eq!(media::type_of(&settings, path), expected);
    }
    settings.types =
        [(".mediatest", "text/x-test"), (".html", "x/y"), ("default", "d/d"), ("noextension", "n/n")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .to_vec();
    for (path, expected) in [
        ("/a/b.HTML", "x/y"),
        ("b.MediaTest", "text/x-test"),
        ("x.", "d/d"),
        ("x", "n/n"),
        ("x.css", "text/css"),
    ] {
        assert_eq!(media::type_of(&settings, path), expected);
    }
}

#[test]
fn a_file() {
    let pages = Pages::new("plain");
    pages.put("ten.txt", b"0123456789");
    for path in ["/ten.txt", "/ten.txt/", "/ten.txt//"] {
        let answer = pages.answer(path, &get(), &pages.settings()).unwrap();
        assert_eq!(
            head(&answer),
            format!(
                "200 last-modified: {DATE}|content-type: text/plain|accept-ranges: bytes|content-length: 10"
            )
        );
        assert_eq!((bytes(&answer).as_slice(), answer.length), (&b"0123456789"[..], 10));
    }
    let asked = Asked { get: false, head: true, range: Some("bytes=0-1"), ..get() };
    let answer = pages.answer("/ten.txt", &asked, &pages.settings()).unwrap();
    assert_eq!((answer.status, answer.length, answer.body.len()), (200, 10, 0));
    assert!(head(&answer).ends_with("|content-type: text/plain|accept-ranges: bytes|content-length: 10"));
}

#[test]
fn what_is_no_file() {
    let pages = Pages::new("none");
    fs::create_dir(pages.0.join("d")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", pages.0.join("out")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(pages.0.join("socket")).unwrap();
    for (path, stop) in [
        ("/", Stop::Directory),
        ("/d", Stop::Directory),
        ("/x", Stop::Missing),
        ("/out", Stop::Missing),
        ("/socket", Stop::Missing),
        ("/../../../../etc/passwd", Stop::Missing),
    ] {
        assert_eq!(pages.answer(path, &get(), &pages.settings()).unwrap_err(), stop, "{path}");
    }
    assert!(Source::page(&pages.0.join("missing"), "/", Links::Beneath).is_err());
    let anywhere = Source::anywhere(&pages.0.join("d"));
    assert_eq!(answer(&anywhere, "text/plain", &get(), &pages.settings()).unwrap_err(), Stop::Directory);
}

#[test]
fn one_range_and_several() {
    let pages = Pages::new("ranges");
    pages.put("ten.txt", b"0123456789");
    let ask =
        |range| pages.answer("/ten.txt", &Asked { range: Some(range), ..get() }, &pages.settings()).unwrap();
    let part = ask("bytes=2-4");
    assert_eq!(
        head(&part),
        format!("206 last-modified: {DATE}|content-type: text/plain|accept-ranges: bytes|content-range: bytes 2-4/10|content-length: 3")
    );
    assert_eq!(bytes(&part), b"234");
    let none = ask("bytes=10-");
    assert_eq!(
        head(&none),
        format!("416 last-modified: {DATE}|accept-ranges: bytes|content-range: bytes */10|content-length: 0")
    );
    assert!(none.body.is_empty());
    let parts = ask("bytes=0-1,5-6");
    let (before, rest) =
        head(&parts).split_once("boundary=").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let boundary = rest.split('|').next().unwrap().to_owned();
    assert_eq!(before, format!("206 last-modified: {DATE}|content-type: multipart/byteranges; "));
    let text = String::from_utf8(bytes(&parts)).unwrap();
    assert_eq!(text.len() as u64, parts.length);
    let expected = ["0-1/10\r\n\r\n01", "5-6/10\r\n\r\n56"]
        .map(|part| format!("--{boundary}\r\ncontent-type: text/plain\r\ncontent-range: bytes {part}\r\n"))
        .concat();
    assert_eq!(text, format!("{expected}--{boundary}--\r\n"));
    assert_ne!(head(&ask("bytes=0-1,5-6")), head(&parts));
    for other in [Asked { get: false, ..get() }, Asked { status: 404, ..get() }] {
        let asked = Asked { range: Some("bytes=0-1"), ..other };
        let answer = pages.answer("/ten.txt", &asked, &pages.settings()).unwrap();
        assert_eq!((answer.status, answer.length), (other.status, 10));
    }
}

/// Any range of any file is the slice: empty, small, read whole, and sent from
/// the disk; cached or not.
#[test]
fn any_range_of_any_file_is_the_slice() {
    let pages = Pages::new("slices");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit.max(1)
    };
    for length in [0, 1, 10, 4096, 32 << 10, (32 << 10) + 1, 200_000] {
        let data: Vec<u8> = (0..length).map(|_| below(256) as u8).collect();
        let name = format!("f{length}");
        let path = pages.put(&name, &data);
        for round in 0..120 {
            let settings = Settings { cache: round % 2 == 0, cache_max_entry: 64 << 10, ..pages.settings() };
            // As if it had been there for a while.
            let asked = Asked { now: now() + 10, ..get() };
            let (from, to) = (below(length + 5), below(length + 5));
            let (value, expected) = match below(4) {
                0 if from <= to => (format!("bytes={from}-{to}"), from..(to + 1).min(length)),
                1 => (format!("bytes={from}-"), from..length),
                2 if from > 0 => (format!("bytes=-{from}"), length.saturating_sub(from)..length),
                _ => (String::new(), 0..length),
            };
            let answer = pages.answer(&name, &Asked { range: Some(&value), ..asked }, &settings).unwrap();
            if value.is_empty() || (length == 0 && value.starts_with("bytes=-")) {
                assert_eq!((answer.status, answer.length), (200, length));
                assert!(bytes(&answer) == data);
            } else if expected.start >= length {
                assert_eq!((answer.status, answer.length), (416, 0), "{value} of {length}");
            } else {
                assert_eq!(answer.status, 206, "{value} of {length}");
                assert!(
                    bytes(&answer) == data[expected.start as usize..expected.end as usize],
                    "{value} of {length}"
                );
                let shown = format!("content-range: bytes {}-{}/{length}|", expected.start, expected.end - 1);
                assert!(head(&answer).contains(&shown), "{value} of {length}");
            }
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn conditions() {
    let pages = Pages::new("conditions");
    pages.put("ten.txt", b"0123456789");
    let ask = |conditions, asked: Asked| {
        let asked = Asked { conditions, ..asked };
        pages.answer("/ten.txt", &asked, &pages.settings()).unwrap()
    };
    let since = Conditions { if_modified_since: Some(DATE), ..Conditions::default() };
    let answer = ask(since, get());
    assert_eq!(head(&answer), format!("304 last-modified: {DATE}|content-length: 0"));
    assert!(answer.body.is_empty());
    assert_eq!(ask(since, Asked { range: Some("bytes=0-1"), ..get() }).status, 304);
    assert_eq!(ask(since, Asked { get: false, head: true, ..get() }).status, 304);
    assert_eq!(ask(since, Asked { get: false, ..get() }).status, 200);
    assert_eq!(ask(since, Asked { status: 404, ..get() }).status, 404);
    let unmodified =
        Conditions { if_unmodified_since: Some("Tue, 14 Nov 2023 22:13:19 GMT"), ..Conditions::default() };
    assert_eq!(head(&ask(unmodified, get())), format!("412 last-modified: {DATE}|content-length: 0"));
    let settings = Settings { check_modified_since: false, ..pages.settings() };
    let answer = pages.answer("/ten.txt", &Asked { conditions: since, ..get() }, &settings).unwrap();
    assert_eq!(answer.status, 200);
    for (if_range, status) in [(DATE, 206), ("Tue, 14 Nov 2023 22:13:21 GMT", 200), ("\"x\"", 200)] {
        let asked = Asked { range: Some("bytes=0-1"), if_range: Some(if_range), ..get() };
        assert_eq!(pages.answer("/ten.txt", &asked, &pages.settings()).unwrap().status, status, "{if_range}");
    }
}

#[test]
fn entity_tags() {
    let pages = Pages::new("etag");
    pages.put("ten.txt", b"0123456789");
    let settings = Settings { etag: true, ..pages.settings() };
    let tag = |asked: &Asked| {
        let answer = pages.answer("/ten.txt", asked, &settings).unwrap();
        (answer.status, field(&answer, "etag").unwrap())
    };
    let (_, first) = tag(&get());
    let known = Conditions { if_none_match: Some(&first), ..Conditions::default() };
    assert_eq!(tag(&Asked { conditions: known, ..get() }), (304, first.clone()));
    let part = Asked { range: Some("bytes=0-1"), if_range: Some(&first), ..get() };
    assert_eq!(tag(&part).0, 206);
    pages.put_at("ten.txt", b"9876543210", MODIFIED + 1);
    assert_ne!(tag(&get()).1, first);
    assert_eq!(tag(&Asked { conditions: known, ..get() }).0, 200);
    assert_eq!(tag(&part).0, 200);
}

fn variants(pages: &Pages, refresh: bool) -> Settings {
    let siblings = Siblings { serve: true, refresh };
    Settings { gzip: siblings, brotli: siblings, ..pages.settings() }
}

#[test]
fn siblings() {
    let pages = Pages::new("siblings");
    pages.put("p", b"plain");
    let settings = variants(&pages, false);
    let ask = |accept_encoding, asked: Asked| {
        let answer = pages.answer("/p", &Asked { accept_encoding, ..asked }, &settings).unwrap();
        (head(&answer).replace(&format!("last-modified: {DATE}|"), ""), bytes(&answer))
    };
    let plain = |vary: &str| {
        let head = format!("200 {vary}content-type: text/plain|accept-ranges: bytes|content-length: 5");
        (head, b"plain".to_vec())
    };
    assert_eq!(ask(Some("gzip, br"), get()), plain(""));
    pages.put_at("p.gz", b"small", MODIFIED + 1);
    assert_eq!(ask(None, get()), plain("vary: accept-encoding|"));
    assert_eq!(ask(Some("br"), get()), plain("vary: accept-encoding|"));
    assert_eq!(ask(Some("gzip;q=0"), get()), plain("vary: accept-encoding|"));
    let gzip = "vary: accept-encoding|content-encoding: gzip|content-type: text/plain|accept-ranges: bytes|content-length: 5";
    assert_eq!(ask(Some("gzip, br"), get()), (format!("200 {gzip}"), b"small".to_vec()));
    let head_only = Asked { get: false, head: true, ..get() };
    assert_eq!(ask(Some("gzip"), head_only), (format!("200 {gzip}"), Vec::new()));
    pages.put_at("p.br", b"tiny", MODIFIED);
    assert_eq!(ask(Some("gzip, br"), get()).1, b"tiny");
    assert_eq!(ask(Some("gzip;q=0.9, br;q=0.8"), get()).1, b"small");
    assert_eq!(ask(Some("*"), get()).1, b"tiny");
    assert_eq!(ask(Some("*"), Asked { modern: false, ..get() }).1, b"plain");
    let part = ask(Some("gzip, br"), Asked { range: Some("bytes=0-1"), ..get() });
    assert_eq!(part.1, b"pl");
    assert!(part.0.starts_with("206 vary: accept-encoding|content-type"), "{}", part.0);
    // Compared with the file, not with its sibling.
    let since = Conditions { if_modified_since: Some(DATE), ..Conditions::default() };
    let unchanged = ask(Some("gzip"), Asked { conditions: since, ..get() });
    assert_eq!(unchanged.0, "304 vary: accept-encoding|content-length: 0");
    // The tags of variants differ.
    let settings = Settings { etag: true, ..settings.clone() };
    let tag = |accept_encoding| {
        let answer = pages.answer("/p", &Asked { accept_encoding, ..get() }, &settings).unwrap();
        field(&answer, "etag").unwrap()
    };
    assert_ne!(tag(Some("gzip")), tag(Some("br")));
    assert_ne!(tag(Some("gzip")), tag(None));
}

#[test]
fn siblings_lead_nowhere_else_either() {
    let pages = Pages::new("siblings-out");
    let outside = Pages::new("siblings-outside");
    for name in ["p", "p.gz", "q"] {
        outside.put(name, b"secret");
    }
    pages.put("q.gz", b"inside");
    pages.put("r", b"plain");
    std::os::unix::fs::symlink(&outside.0, pages.0.join("d")).unwrap();
    std::os::unix::fs::symlink(outside.0.join("q"), pages.0.join("q")).unwrap();
    std::os::unix::fs::symlink(outside.0.join("p.gz"), pages.0.join("r.gz")).unwrap();
    let asked = Asked { accept_encoding: Some("gzip"), ..get() };
    let settings = variants(&pages, true);
    for path in ["/d/p", "/d/q", "/q", "/d/p.gz"] {
        assert_eq!(pages.answer(path, &asked, &settings).unwrap_err(), Stop::Missing, "{path}");
    }
    assert_eq!(bytes(&pages.answer("/r", &asked, &settings).unwrap()), b"plain");
    // A file that is a link within the pages is one all the same.
    std::os::unix::fs::symlink("r", pages.0.join("s")).unwrap();
    pages.put("s.gz", b"small");
    assert_eq!(bytes(&pages.answer("/s", &asked, &settings).unwrap()), b"small");
}

#[test]
fn stale_siblings() {
    let pages = Pages::new("stale");
    pages.put("p", b"plain");
    pages.put_at("p.gz", b"small", MODIFIED - 1);
    let asked = Asked { accept_encoding: Some("gzip"), ..get() };
    let answer = pages.answer("/p", &asked, &variants(&pages, false)).unwrap();
    assert!(head(&answer).contains("|vary: accept-encoding|content-type"));
    assert_eq!(bytes(&answer), b"plain");
    let settings = variants(&pages, true);
    assert_eq!(pages.answer("/p", &asked, &settings).unwrap_err(), Stop::Refresh(Coding::Gzip));
    let target = pages.source("/p").text(".gz");
    let turn = refresh::begin(&target).unwrap();
    // Somebody is at it: nobody waits.
    assert_eq!(bytes(&pages.answer("/p", &asked, &settings).unwrap()), b"plain");
    pages.put_at("p.gz", b"small", MODIFIED);
    turn.done();
    assert_eq!(bytes(&pages.answer("/p", &asked, &settings).unwrap()), b"small");
    let without = Asked { may_refresh: false, ..asked };
    pages.put_at("p.gz", b"small", MODIFIED - 1);
    assert_eq!(bytes(&pages.answer("/p", &without, &settings).unwrap()), b"plain");
}

#[test]
fn the_cache_never_tells_old_news() {
    let pages = Pages::new("cache");
    let settings = Settings { cache: true, ..pages.settings() };
    let kept = |path: &str| {
        let name = pages.source(path).text("");
        cache::FILES.lock().contents().iter().any(|(own, _)| *own == name)
    };
    let ask =
        |after: i64| bytes(&pages.answer("/a", &Asked { now: now() + after, ..get() }, &settings).unwrap());
    pages.put("a", b"one");
    assert_eq!(ask(0), b"one");
    assert!(!kept("/a"), "a file that has just been changed");
    assert_eq!(ask(10), b"one");
    assert!(kept("/a"));
    assert_eq!(ask(10), b"one");
    // The same size, the same time: the time of change tells.
    pages.put("a", b"two");
    assert_eq!(ask(10), b"two");
    // Another file in its place, with all times of the old one that can be set.
    pages.put("b", b"six");
    fs::rename(pages.0.join("b"), pages.0.join("a")).unwrap();
    assert_eq!(ask(10), b"six");
    fs::remove_file(pages.0.join("a")).unwrap();
    assert_eq!(pages.answer("/a", &get(), &settings).unwrap_err(), Stop::Missing);
    assert!(!kept("/a"));
    pages.put("a", &[b'x'; 8193]);
    assert_eq!(ask(10).len(), 8193);
    assert!(!kept("/a"), "a file that is too large");
}

#[test]
fn a_file_stays_what_it_was_when_it_was_opened() {
    let pages = Pages::new("replaced");
    let old = vec![b'o'; 100_000];
    pages.put("a", &old);
    let answer = pages.answer("/a", &get(), &pages.settings()).unwrap();
    pages.put("b", &vec![b'n'; 100_000]);
    fs::rename(pages.0.join("b"), pages.0.join("a")).unwrap();
    assert!(bytes(&answer) == old);
    fs::remove_file(pages.0.join("a")).unwrap();
    assert!(bytes(&answer) == old);
}

#[test]
fn sizes_beyond_four_gigabytes() {
    let pages = Pages::new("sparse");
    let length = (5 << 30) + 3;
    let file = File::create(pages.0.join("large")).unwrap();
    file.set_len(length).unwrap();
    file.write_all_at(b"end", length - 3).unwrap();
    let answer = pages.answer("/large", &get(), &pages.settings()).unwrap();
    assert_eq!((answer.length, answer.body.len()), (length, 1));
    let asked = Asked { range: Some("bytes=-3"), ..get() };
    let answer = pages.answer("/large", &asked, &pages.settings()).unwrap();
    assert!(head(&answer).contains(&format!("bytes {}-{}/{length}", length - 3, length - 1)));
    assert_eq!(bytes(&answer), b"end");
}
