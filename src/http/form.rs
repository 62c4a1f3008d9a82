//! Forms: queries, bodies of type `application/x-www-form-urlencoded` and
//! `multipart/form-data` (RFC 7578).

use super::percent::{decode, Part};
use memchr::memmem;

/// Fields that a form may have, so that no request costs too much.
pub const MAX_FIELDS: usize = 10_000;

/// A field that is a file: where its bytes are in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its field.
    pub field: String,
    /// The name that the peer gives it.
    pub name: String,
    /// Where it begins in the body.
    pub offset: usize,
    /// Its length.
    pub length: usize,
    /// The fields of its part.
    pub headers: Vec<(String, String)>,
}

/// A form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Names and values, in their order; of a file the value is its name.
    pub fields: Vec<(String, String)>,
    /// The files.
    pub files: Vec<File>,
}

fn component(text: &str) -> String {
    String::from_utf8_lossy(&decode(Part::Query, text)).into_owned()
}

impl Form {
    /// Adds what is in a query.
    pub fn add_query(&mut self, query: &str) {
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            if self.fields.len() >= MAX_FIELDS {
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.fields.push((component(name), component(value)));
        }
    }

    /// Adds what is in a body of parts. What is malformed ends it.
    pub fn add_multipart(&mut self, body: &[u8], boundary: &str) {
        let delimiter = format!("--{boundary}");
        let mut starts = memmem::find_iter(body, delimiter.as_bytes())
            .filter(|at| *at == 0 || body[..*at].ends_with(b"\n"))
            .collect::<Vec<_>>();
        starts.truncate(MAX_FIELDS);
        for pair in starts.windows(2) {
            let from = pair[0] + delimiter.len();
            let part = &body[from..pair[1]];
            let Some(part_start) = part.iter().position(|b| *b == b'\n').map(|i| i + 1) else { continue };
            let (head, blank) = match memmem::find(&part[part_start..], b"\r\n\r\n") {
                Some(at) => (&part[part_start..part_start + at], part_start + at + 4),
                None => continue,
            };
            let content = &part[blank..];
            let content = content.strip_suffix(b"\r\n").or(content.strip_suffix(b"\n")).unwrap_or(content);
            let headers: Vec<(String, String)> = String::from_utf8_lossy(head)
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let disposition =
                headers.iter().find(|(n, _)| n == "content-disposition").map(|(_, v)| v.as_str());
            let Some(name) = disposition.and_then(|d| parameter(d, "name")) else { continue };
            match disposition.and_then(|d| parameter(d, "filename")) {
                Some(file) => {
                    self.fields.push((name.clone(), file.clone()));
                    let (offset, length) = (from + blank, content.len());
                    self.files.push(File { field: name, name: file, offset, length, headers });
                }
                None => self.fields.push((name, String::from_utf8_lossy(content).into_owned())),
            }
        }
    }
}

/// A parameter of a header's value, in quotes or not.
pub fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        rest = rest.trim_start();
        let (key, after) = rest.split_once('=')?;
        let (found, tail) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let mut text = String::new();
                let mut chars = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((at, c)) = chars.next() {
                    match c {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        // Browsers send file names with plain backslashes.
                        '\\' if matches!(quoted[at + 1..].chars().next(), Some('"' | '\\')) => {
                            text.extend(chars.next().map(|(_, c)| c));
                        }
                        c => text.push(c),
                    }
                }
                (text, &quoted[end..])
            }
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(found);
        }
        rest = tail.trim_start().strip_prefix(';')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let mut form = Form::default();
        form.add_query("a=1&b=x+y%20z&a=%C3%A4&c&=d");
        let fields: Vec<_> = form.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(fields, [("a", "1"), ("b", "x y z"), ("a", "ä"), ("c", ""), ("", "d")]);
    }

    #[test]
    fn parts() {
        let body = b"--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\n--X\r\n\
            Content-Disposition: form-data; name=\"f\"; filename=\"x \\\"y\\\".txt\"\r\nContent-Type: text/plain\r\n\r\n\
            line --X\r\nend\r\n--X--\r\n";
        let mut form = Form::default();
        form.add_multipart(body, "X");
        assert_eq!(form.fields[0], ("a".to_owned(), "hello".to_owned()));
        let file = &form.files[0];
        assert_eq!((file.field.as_str(), file.name.as_str()), ("f", "x \"y\".txt"));
        assert_eq!(&body[file.offset..file.offset + file.length], b"line --X\r\nend");
        assert_eq!(file.headers[1], ("content-type".to_owned(), "text/plain".to_owned()));
        form.add_multipart(b"--X\r\n\r\n--X", "X");
        form.add_multipart(b"", "");
    }

    #[test]
    fn parameters() {
        assert_eq!(parameter("multipart/form-data; boundary=abc", "boundary").as_deref(), Some("abc"));
        assert_eq!(parameter("a; x=\"1;2\"; y=3", "y").as_deref(), Some("3"));
        assert_eq!(parameter("a", "y"), None);
    }
}
