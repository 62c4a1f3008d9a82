//! `nsproxy::serve`: the worker's side. Takes requests, evaluates them at the
//! top level of this interpreter, and answers, until there are no more.

use super::wrong_args;
use crate::base::Error;
use crate::net::title::Title;
use crate::proxy::service::Service;
use crate::proxy::wire::Request;
use crate::tcl::text_buffer::TextBuffer;
use crate::tcl::{Interp, Obj, Outcome};
use std::io;

/// The least number of blanks in the last argument that are written over.
const LEAST_TITLE: usize = 90;

/// Scripts up to this size are remembered, so that the same one need not be
/// compiled again.
const SMALL: usize = 2048;
/// How many.
const REMEMBERED: usize = 16;

/// `nsproxy::serve ?descriptor?`
pub fn serve(interp: Interp, words: &[Obj]) -> Outcome {
    let at = match words {
        [_] => None,
        [_, descriptor] => Some(descriptor.int()?),
        _ => return Err(wrong_args(&words[..1], "?/descriptor/?")),
    };
    main(interp, at).map_err(|e| Error::new(format!("could not serve requests: {e}")).into())
}

/// Serves requests that come from descriptor `at`, or from standard input.
pub fn main(interp: Interp, at: Option<i32>) -> io::Result<()> {
    let mut service = Service::take(at)?;
    let title = Title::find(LEAST_TITLE);
    let mut scripts = Scripts::default();
    while let Some(request) = service.request()? {
        let script = match scripts.take(&mut service, request) {
            Ok(script) => script,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        };
        let Some(script) = script else {
            service.answer(0, None, b"")?;
            continue;
        };
        if let Some(title) = &title {
            match &script {
                Incoming::Text(script) => title.show(script.raw_text()),
                Incoming::Words(_, shown) => title.show(shown),
            }
        }
        let ended = match &script {
            Incoming::Text(script) | Incoming::Words(script, _) => interp.evaluate_alone(script),
        };
        if let Some(title) = &title {
            title.clear();
        }
        let error = (ended.error_code.as_ref()).zip(ended.error_info.as_ref());
        let error = error.map(|(code, info)| (code.raw_text(), info.raw_text()));
        match service.answer(ended.code, error, ended.result.raw_text()) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                let message = e.to_string();
                service.answer(1, Some((b"NONE", message.as_bytes())), message.as_bytes())?;
            }
            // Nobody wants the answer any more.
            Err(_) => break,
        }
    }
    Ok(())
}

/// A script that has arrived.
enum Incoming {
    Text(Obj),
    /// As a list, and the beginning of it as `ps` is to show it.
    Words(Obj, Vec<u8>),
}

/// The small scripts that came last, with what Tcl has compiled of them.
#[derive(Default)]
struct Scripts {
    known: Vec<Obj>,
    next: usize,
}

impl Scripts {
    /// The script of a request; none when it is empty.
    fn take(&mut self, service: &mut Service, request: Request) -> io::Result<Option<Incoming>> {
        if request.length == 0 {
            return Ok(None);
        }
        if request.in_words {
            let words: Vec<TextBuffer> = service.take_words(request)?;
            let shown: Vec<&[u8]> =
                words.iter().map(|word| &word.bytes()[..word.bytes().len().min(SMALL)]).collect();
            let shown = shown.join(&b' ');
            let words: Vec<Obj> = words.into_iter().map(TextBuffer::into_obj).collect();
            return Ok(Some(Incoming::Words(Obj::from_list(&words), shown)));
        }
        if request.length <= SMALL {
            if let Some(text) = service.peek(request.length) {
                let script = self.known(text);
                service.skip(request.length);
                return Ok(Some(Incoming::Text(script)));
            }
        }
        let script: TextBuffer = service.take_bytes(request.length)?;
        Ok(Some(Incoming::Text(script.into_obj())))
    }

    fn known(&mut self, text: &[u8]) -> Obj {
        if let Some(known) = self.known.iter().find(|known| known.raw_text() == text) {
            return known.clone();
        }
        let script = Obj::from_raw_text(text);
        if self.known.len() < REMEMBERED {
            self.known.push(script.clone());
        } else {
            self.known[self.next] = script.clone();
            self.next = (self.next + 1) % REMEMBERED;
        }
        script
    }
}
