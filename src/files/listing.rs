//! A directory as a page: the body of a notice (spec/http.md 4.4).
//!
//! `simple` is a list of links. `fancy` is for people: names, times and sizes in
//! columns that can be sorted, on a wide screen and on a phone, by light and by
//! night. Without scripts it is the same page, sorted by name.
//!
//! Names come from whoever can write into the directory. They are escaped in
//! text and percent-encoded in links, and nothing of them is in the script.

use super::settings::Listing;
use crate::http::html::quote;
use crate::http::percent::encode_path;
use crate::net::beneath::{Entry, Stamp};
use crate::net::sys::local_time;
use std::fmt::Write;

/// What is shown.
pub struct Page<'a> {
    /// The url of the directory, decoded, with a slash at its end.
    pub url: &'a str,
    /// What stands before it in links, such as `http://host:port`.
    pub location: &'a str,
    /// Whether the directory is not the page directory itself.
    pub has_parent: bool,
    /// Whether names that begin with a dot are left out.
    pub hide_dot_files: bool,
}

impl Page<'_> {
    /// The page for what a directory holds.
    pub fn html(&self, style: Listing, mut entries: Vec<Entry>) -> String {
        entries.retain(|entry| !self.hide_dot_files || entry.name.first() != Some(&b'.'));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        match style {
            Listing::Fancy => self.fancy(&entries),
            _ => self.simple(&entries),
        }
    }

    fn simple(&self, entries: &[Entry]) -> String {
        let mut html = String::from("<style>pre { line-height: 1.6; overflow-wrap: anywhere; white-space: pre-wrap }</style>\n<pre>\n");
        if self.has_parent {
            html.push_str("<a href='..'>..</a>\n");
        }
        if !self.hide_dot_files {
            for name in ["./", "../"] {
                let _ = writeln!(html, "<a href=\"{}\">{name}</a>", self.link(name.as_bytes(), false));
            }
        }
        for entry in entries {
            let _ = writeln!(html, "<a href=\"{}\">{}</a>", self.link_to(entry), shown_name(entry));
        }
        html.push_str("</pre>");
        html
    }

    fn fancy(&self, entries: &[Entry]) -> String {
        let mut html = String::with_capacity(8192 + 400 * entries.len());
        html.push_str("<style>\n");
        html.push_str(include_str!("listing.css"));
        html.push_str("</style>\n<div class=\"directory-listing\">\n");
        html.push_str(HEADER);
        if self.has_parent {
            html.push_str(PARENT);
        }
        // People look for directories first.
        let (directories, files): (Vec<&Entry>, Vec<&Entry>) =
            entries.iter().partition(|entry| is_directory(entry));
        for entry in directories.into_iter().chain(files) {
            self.item(&mut html, entry);
        }
        html.push_str("</div>\n");
        let _ = writeln!(html, "<p class=\"summary\">{}</p>", summary(entries));
        html.push_str("<script>\n");
        html.push_str(include_str!("listing.js"));
        html.push_str("</script>");
        html
    }

    fn item(&self, html: &mut String, entry: &Entry) {
        let directory = is_directory(entry);
        let kind = if directory { " directory" } else { "" };
        let (time, seconds) = match &entry.stamp {
            Some(stamp) => (shown_time(stamp), stamp.modified.0),
            None => ("N/A".to_owned(), -1),
        };
        let (size, exact, bytes) = match &entry.stamp {
            Some(_) if directory => ("\u{2013}".to_owned(), String::new(), -1),
            Some(stamp) => {
                (shown_size(stamp.size), format!(" title=\"{}\"", exact_size(stamp.size)), stamp.size as i64)
            }
            None => ("N/A".to_owned(), String::new(), -1),
        };
        let _ = writeln!(
            html,
            "<div class=\"item{kind}\" role=\"row\">\
             <div class=\"item-name\" role=\"cell\"><a href=\"{}\"{exact}>{}</a></div>\
             <div class=\"date-modified\" role=\"cell\" data-value=\"{seconds}\">{time}</div>\
             <div class=\"size\" role=\"cell\" data-value=\"{bytes}\">{size}</div></div>",
            self.link_to(entry),
            shown_name(entry),
        );
    }

    fn link_to(&self, entry: &Entry) -> String {
        self.link(&entry.name, is_directory(entry))
    }

    /// The address of an entry, as the value of an attribute.
    fn link(&self, name: &[u8], directory: bool) -> String {
        let mut link = self.location.to_owned();
        encode_path(&mut link, self.url.as_bytes());
        encode_path(&mut link, name);
        if directory {
            link.push('/');
        }
        quote(&link)
    }
}

const HEADER: &str = "<div class=\"header\" role=\"row\">\
    <button type=\"button\" class=\"item-name\" data-key=\"name\">Item Name</button>\
    <button type=\"button\" class=\"date-modified\" data-key=\"date\">Date Modified</button>\
    <button type=\"button\" class=\"size\" data-key=\"size\">Size</button></div>\n";

const PARENT: &str = "<div class=\"item directory parent\" role=\"row\">\
    <div class=\"item-name\" role=\"cell\"><a href=\"..\">..</a></div>\
    <div class=\"date-modified\" role=\"cell\"></div><div class=\"size\" role=\"cell\"></div></div>\n";

fn is_directory(entry: &Entry) -> bool {
    entry.stamp.as_ref().is_some_and(Stamp::is_directory)
}

/// A name as text of a page; directories have a slash at their end. Bytes that
/// are no UTF-8 are shown as the replacement character.
fn shown_name(entry: &Entry) -> String {
    let mut name = quote(&String::from_utf8_lossy(&entry.name));
    if is_directory(entry) {
        name.push('/');
    }
    name
}

/// The time of the last modification, in the process's time zone.
fn shown_time(stamp: &Stamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, _) = local_time(stamp.modified.0);
    let month = MONTHS.get(month as usize).unwrap_or(&"???");
    format!("{day:02}-{month}-{year:04} {hour:02}:{minute:02}")
}

/// A size with two digits or more: `512 B`, `1.5 kB`, `23 MB`. Units count by
/// 1,000, as in file managers.
pub fn shown_size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64;
    for unit in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        size /= 1000.0;
        // What would be rounded to 1000 belongs to the next unit.
        if size < 9.95 {
            return format!("{size:.1} {unit}");
        }
        if size < 999.5 || unit == "EB" {
            return format!("{size:.0} {unit}");
        }
    }
    unreachable!("the last unit takes every size")
}

/// All digits, in groups of three.
fn exact_size(bytes: u64) -> String {
    let digits = bytes.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    let plural = if bytes == 1 { "" } else { "s" };
    format!("{text} byte{plural}")
}

fn summary(entries: &[Entry]) -> String {
    let counted = |number: usize, one: &str, more: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{number} {more}")),
    };
    let directories = entries.iter().filter(|entry| is_directory(entry)).count();
    let files = entries.len() - directories;
    let bytes: u64 = entries
        .iter()
        .filter(|e| !is_directory(e))
        .filter_map(|e| e.stamp.as_ref())
        .map(|stamp| stamp.size)
        .sum();
    let total = (files > 0).then(|| shown_size(bytes));
    let parts: Vec<String> =
        [counted(directories, "directory", "directories"), counted(files, "file", "files"), total]
            .into_iter()
            .flatten()
            .collect();
    if parts.is_empty() {
        "This directory is empty.".to_owned()
    } else {
        parts.join(" \u{b7} ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, size: u64, directory: bool) -> Entry {
        let kind = if directory { libc::S_IFDIR } else { libc::S_IFREG };
        let stamp = Stamp {
            device: 1,
            inode: 1,
            size,
            modified: (1_700_000_000, 0),
            changed: (0, 0),
            mode: kind | 0o644,
        };
        Entry { name: name.as_bytes().to_vec(), stamp: Some(stamp) }
    }

    fn page<'a>() -> Page<'a> {
        Page { url: "/d 1/", location: "http://h:80", has_parent: true, hide_dot_files: true }
    }

    #[test]
    fn the_simple_list() {
        let entries = vec![entry("sub", 0, true), entry("a b&c.txt", 3, false), entry(".hidden", 1, false)];
        let html = page().html(Listing::Simple, entries);
        let list = &html[html.find("<pre>").unwrap()..];
        assert_eq!(
            list,
            "<pre>\n<a href='..'>..</a>\n\
             <a href=\"http://h:80/d%201/a%20b&amp;c.txt\">a b&amp;c.txt</a>\n\
             <a href=\"http://h:80/d%201/sub/\">sub/</a>\n</pre>"
        );
    }

    #[test]
    fn dot_files_are_shown_where_that_is_wanted() {
        let shown = Page { hide_dot_files: false, has_parent: false, ..page() };
        let html = shown.html(Listing::Simple, vec![entry(".hidden", 1, false)]);
        for text in [">.hidden</a>", ">./</a>", ">../</a>"] {
            assert!(html.contains(text), "{html}");
        }
        assert!(!html.contains("href='..'"));
    }

    #[test]
    fn names_are_neither_markup_nor_script() {
        let evil = "\"><script>alert('1')</script>&amp;</a>";
        for style in [Listing::Simple, Listing::Fancy] {
            let html = page().html(style, vec![entry(evil, 1, false)]);
            assert!(
                html.contains("&#34;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;&lt;/a&gt;")
            );
            assert!(html.contains("/%22%3e%3cscript%3ealert(&#39;1&#39;)%3c/script%3e&amp;amp%3b%3c/a%3e\""));
            assert!(!html.contains("<script>alert"));
        }
    }

    #[test]
    fn names_that_are_no_utf8_keep_their_address() {
        let entry = Entry { name: b"\xff\xe4.txt".to_vec(), stamp: None };
        let html = page().html(Listing::Fancy, vec![entry]);
        assert!(html.contains("/%ff%e4.txt\">\u{fffd}\u{fffd}.txt</a>"), "{html}");
        assert!(html.contains(">N/A</div>"));
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1536, "1.5 kB"),
            (9949, "9.9 kB"),
            (9950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (5_368_709_120, "5.4 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(shown_size(bytes), shown, "{bytes}");
        }
        assert_eq!(exact_size(1), "1 byte");
        assert_eq!(exact_size(1_234_567), "1,234,567 bytes");
        assert_eq!(exact_size(123), "123 bytes");
    }

    #[test]
    fn the_summary() {
        assert_eq!(summary(&[]), "This directory is empty.");
        let entries = [entry("d", 0, true), entry("a", 1500, false), entry("b", 500, false)];
        assert_eq!(summary(&entries), "1 directory \u{b7} 2 files \u{b7} 2.0 kB");
        assert_eq!(summary(&entries[..1]), "1 directory");
    }
}
