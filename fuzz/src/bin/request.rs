//! A stream of requests, as a server gets it: the same ones are read from it in
//! one piece and cut, and nothing in them could end a line or leave the root.
//! The first byte chooses the size of the pieces.
#![no_main]

use fuzz::http::chunked::Decoder;
use fuzz::http::form::{parameter, Form};
use fuzz::http::request_head::{parse, End, Framing, Limits};
use fuzz::http::target;
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { line: 300, fields: 20, head: 2000 };
const MAX_BODY: usize = 5000;

/// A request: method, target, fields, body.
type Request = (String, String, Vec<(String, Vec<u8>)>, Vec<u8>);

/// What a stream held: requests, and the status of the fault that ended it.
type Read = (Vec<Request>, Option<u16>);

/// Reads all requests, arriving in pieces of `size`.
fn read(input: &[u8], size: usize) -> Read {
    let (mut requests, mut arrived, mut start, mut end) = (Vec::new(), 0, 0, End::default());
    'next: loop {
        // The head.
        let length = loop {
            match end.find(&input[start..arrived], &LIMITS) {
                Err(fault) => return (requests, Some(fault.status)),
                Ok(Some(length)) => break length,
                Ok(None) if arrived == input.len() => return (requests, None),
                Ok(None) => arrived = (arrived + size).min(input.len()),
            }
        };
        end = End::default();
        let mut bytes = input[start..start + length].to_vec();
        let head = match parse(&mut bytes, &LIMITS, Vec::new()) {
            Ok(head) => head,
            Err(fault) => return (requests, Some(fault.status)),
        };
        start += length;
        let field = |f: &fuzz::http::request_head::Field| {
            (f.name.text(&bytes).to_owned(), f.value.of(&bytes).to_vec())
        };
        let fields: Vec<_> = head.fields.iter().map(field).collect();
        let (method, target) = (head.method.text(&bytes).to_owned(), head.target.text(&bytes).to_owned());
        check(&method, &target, &fields);
        // The body.
        let mut body = Vec::new();
        match head.framing {
            Framing::None => {}
            Framing::Length(length) => {
                let Some(length) = usize::try_from(length).ok().filter(|l| *l <= MAX_BODY) else {
                    return (requests, Some(413));
                };
                if input.len() - start < length {
                    return (requests, None);
                }
                body.extend_from_slice(&input[start..start + length]);
                start += length;
            }
            Framing::Chunked => {
                let mut decoder = Decoder::default();
                while !decoder.is_done() {
                    if start == input.len() {
                        return (requests, None);
                    }
                    arrived = arrived.max(start + 1);
                    let used = decoder.decode(&input[start..arrived], |data| {
                        body.extend_from_slice(data);
                        Ok(())
                    });
                    match used {
                        Ok(used) => start += used,
                        Err(fault) => return (requests, Some(fault.status)),
                    }
                    arrived = (arrived + size).min(input.len());
                }
            }
        }
        arrived = arrived.max(start);
        requests.push((method, target, fields, body));
        if requests.len() > 1000 {
            break 'next (requests, None);
        }
    }
}

/// What has to hold of every request that is let in.
fn check(method: &str, raw: &str, fields: &[(String, Vec<u8>)]) {
    assert!(!method.is_empty() && method.bytes().all(|b| b.is_ascii_graphic()));
    assert!(!raw.bytes().any(|b| b < b' '));
    for (name, value) in fields {
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
        assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        if let Ok(text) = std::str::from_utf8(value) {
            parameter(text, "boundary");
            target::host_and_port(text);
        }
    }
    let (path, query) = target::split(raw);
    target::components(path);
    if let Ok(normal) = target::normalize(path) {
        assert!(normal.starts_with('/') && !normal.contains('\0'));
        assert!(target::parts(&normal).all(|part| part != ".." && part != "."));
    }
    let mut form = Form::default();
    form.add_query(query);
}

fuzz_target!(|input: &[u8]| {
    let [size, bytes @ ..] = input else {
        return;
    };
    let whole = read(bytes, usize::MAX / 2);
    let cut = read(bytes, 1 + usize::from(*size));
    assert!(whole == cut, "{whole:?}\n{cut:?}");
    let mut form = Form::default();
    form.add_multipart(bytes, "B");
    assert!(form.files.iter().all(|file| file.offset + file.length <= bytes.len()));
});
