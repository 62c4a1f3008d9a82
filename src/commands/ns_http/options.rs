//! The options of `ns_http run` and `queue`, and the request they make.

use crate::base::memory_size;
use crate::base::time_value::TimeValue;
use crate::base::{Error, Result};
use crate::client::exchange::Payload;
use crate::client::{Limits, Output, Request};
use crate::commands::{ns_connchan, ns_set};
use crate::connchan::open::TlsOptions;
use crate::http::url::Url;
use crate::net::tls::ClientSettings;
use crate::tcl::args::{word, Kind, Opt, Parsed, Syntax};
use crate::tcl::{evaluating, Interp, Obj};
use std::fs::File;
use std::path::PathBuf;

/// How long a request may be idle when `-timeout` is not given.
const DEFAULT_TIMEOUT: TimeValue = TimeValue::from_secs(5);

/// What a request says of itself when the script does not.
const USER_AGENT: &str = concat!("ns_connchan/", env!("CARGO_PKG_VERSION"));

/// Fields that are made here, whatever the script gives.
const OWN_FIELDS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// A request as a script asked for it.
pub(super) struct Asked {
    /// What to do.
    pub request: Request,
    /// The URL as given.
    pub url: String,
    /// How to tell of the end.
    pub report: Report,
    /// `-response_header_callback`.
    pub header_callback: Option<Obj>,
    /// `-done_callback`.
    pub done_callback: Option<Obj>,
}

/// What the result shall look like.
#[derive(Clone)]
pub(super) struct Report {
    /// `-binary`: the content is bytes, whatever its type.
    pub binary: bool,
    /// `-partialresults`: what there is when a request fails.
    pub partial: bool,
    /// The name of the channel that the content goes to.
    pub channel: Option<String>,
    /// That channel is one of Tcl's.
    pub to_tcl_channel: bool,
}

const OPTIONS: usize = 28;
const BINARY: usize = 0;
const BODY: usize = 1;
const BODY_CHAN: usize = 2;
const BODY_FILE: usize = 3;
const BODY_SIZE: usize = 4;
const CONNECT_TIMEOUT: usize = 8;
const DONE_CALLBACK: usize = 10;
const EXPIRE: usize = 11;
const HEADERS: usize = 12;
const KEEP_HOST: usize = 16;
const MAX_RESPONSE: usize = 18;
const METHOD: usize = 19;
const OUTPUT_CHAN: usize = 20;
const OUTPUT_FILE: usize = 21;
const PARTIAL: usize = 22;
const RAW: usize = 23;
const HEADER_CALLBACK: usize = 24;
const SPOOL_SIZE: usize = 25;
const TIMEOUT: usize = 26;
const UNIX_SOCKET: usize = 27;

const SYNTAX: Syntax<OPTIONS, 1> = Syntax {
    options: [
        Opt::flag("-binary"),
        Opt::valued("-body", Kind::Any, "value"),
        Opt::valued("-body_chan", Kind::Any, "value"),
        Opt::valued("-body_file", Kind::Any, "value"),
        Opt::valued("-body_size", Kind::Natural("-body_size"), "integer[0,MAX]"),
        Opt::valued("-cafile", Kind::Any, "value"),
        Opt::valued("-capath", Kind::Any, "value"),
        Opt::valued("-cert", Kind::Any, "value"),
        Opt::valued("-connecttimeout", Kind::Time, "time"),
        Opt::flag("-decompress"),
        Opt::valued("-done_callback", Kind::Any, "value"),
        Opt::valued("-expire", Kind::Time, "time"),
        Opt::valued("-headers", Kind::Checked(ns_set::check), "setId"),
        Opt::valued("-hostname", Kind::Any, "value"),
        Opt::flag("-insecure"),
        Opt::valued("-keepalive", Kind::Time, "time"),
        Opt::flag("-keep_host_header"),
        Opt::valued("-key", Kind::Any, "value"),
        Opt::valued("-maxresponse", Kind::Checked(check_size), "memory-size"),
        Opt::valued("-method", Kind::Any, "value"),
        Opt::valued("-outputchan", Kind::Any, "value"),
        Opt::valued("-outputfile", Kind::Any, "value"),
        Opt::flag("-partialresults"),
        Opt::flag("-raw"),
        Opt::valued("-response_header_callback", Kind::Any, "value"),
        Opt::valued("-spoolsize", Kind::Checked(check_size), "memory-size"),
        Opt::valued("-timeout", Kind::Time, "time"),
        Opt::valued("-unix_socket", Kind::Any, "value"),
    ],
    ends_options: true,
    words: [word("url", Kind::Any)],
    required: 1,
};

fn check_size(_interp: Interp, value: &Obj) -> Result<()> {
    memory_size::parse(&value.text()).map(drop)
}

type Options<'a> = Parsed<'a, OPTIONS, 1>;

/// Parses the words behind the subcommand and makes a request of them.
pub(super) fn parse(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Asked> {
    let parsed = SYNTAX.parse(interp, name, args)?;
    let given = parsed.word(0).obj.text().into_owned();
    let url = parse_url(&given)?;
    let https = url.scheme.eq_ignore_ascii_case("https");
    let size = |index: usize| -> Result<Option<u64>> {
        let size = parsed.options[index].map(|value| memory_size::parse(&value.obj.text())).transpose()?;
        Ok(size)
    };
    let payload = payload(interp, &parsed)?;
    let method = parsed.text(METHOD).unwrap_or_else(|| "GET".into());
    let fields = fields(interp, &parsed, &url, https, &method, &payload)?;
    let timeout = parsed.time(TIMEOUT).filter(|t| !t.is_zero()).unwrap_or(DEFAULT_TIMEOUT);
    let connect = parsed.time(CONNECT_TIMEOUT).filter(|t| !t.is_zero()).unwrap_or(timeout);
    let limits = Limits {
        connect,
        idle: timeout,
        total: parsed.time(EXPIRE).filter(|t| !t.is_zero()),
        content: size(MAX_RESPONSE)?.filter(|most| *most > 0),
    };
    let channel = parsed.text(OUTPUT_CHAN).filter(|name| !name.is_empty());
    let (output, to_tcl_channel) = match (parsed.options[OUTPUT_CHAN], parsed.text(OUTPUT_FILE)) {
        (Some(_), Some(_)) => {
            return Err(Error::new("options -outputchan and -outputfile exclude each other"))
        }
        (None, Some(path)) => (Output::File(PathBuf::from(path)), false),
        (Some(value), None) if channel.is_some() => match ns_connchan::channel(value.obj) {
            Ok(channel) => (Output::Channel(channel), false),
            Err(missing) => {
                check_tcl_channel(interp, value.obj).map_err(|_| missing)?;
                (Output::Caller, true)
            }
        },
        _ => (Output::Memory(size(SPOOL_SIZE)?), false),
    };
    let tls = https.then(|| TlsOptions {
        settings: ClientSettings {
            ca_file: parsed.text(5),
            ca_path: parsed.text(6),
            certificate: parsed.text(7),
            key: parsed.text(17),
            insecure: parsed.has(14),
            alpn: Vec::new(),
        },
        hostname: parsed.text(13),
    });
    let request = Request {
        method,
        host: url.host,
        port: url.port.unwrap_or(if https { 443 } else { 80 }),
        unix_socket: parsed.text(UNIX_SOCKET).filter(|path| !path.is_empty()),
        tls,
        target: url.target,
        fields,
        payload,
        limits,
        output,
        raw: parsed.has(RAW),
    };
    let callback =
        |index: usize| parsed.options[index].map(|v| v.obj.clone()).filter(|v| !v.raw_text().is_empty());
    Ok(Asked {
        request,
        url: given,
        report: Report { binary: parsed.has(BINARY), partial: parsed.has(PARTIAL), channel, to_tcl_channel },
        header_callback: callback(HEADER_CALLBACK),
        done_callback: callback(DONE_CALLBACK),
    })
}

fn parse_url(given: &str) -> Result<Url> {
    let invalid = || Error::new(format!("invalid URL \"{given}\": invalid scheme"));
    if !given.contains("://") {
        return Err(invalid());
    }
    let url = Url::parse_absolute(given)?;
    if url.scheme.eq_ignore_ascii_case("http") || url.scheme.eq_ignore_ascii_case("https") {
        Ok(url)
    } else {
        Err(invalid())
    }
}

/// The head's fields: those of the script in lower case, then what is added.
fn fields(
    interp: Interp,
    parsed: &Options,
    url: &Url,
    https: bool,
    method: &str,
    payload: &Payload,
) -> Result<Vec<(String, String)>> {
    let given = match parsed.options[HEADERS] {
        Some(set) => ns_set::fields(interp, &set.obj.text())?,
        None => Vec::new(),
    };
    let keeps_host = parsed.has(KEEP_HOST) && given.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let mut fields: Vec<(String, String)> = given
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| !OWN_FIELDS.contains(&name.as_str()) && (keeps_host || name != "host"))
        .collect();
    let names_itself = fields.iter().any(|(name, _)| name == "user-agent");
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
    if !names_itself {
        add("user-agent", USER_AGENT.to_owned());
    }
    add("connection", "close".to_owned());
    if !keeps_host {
        add("host", authority(url, https));
    }
    let expects_body = ["POST", "PUT", "PATCH"].iter().any(|m| method.eq_ignore_ascii_case(m));
    if !matches!(payload, Payload::None) || expects_body {
        add("content-length", payload.size().to_string());
    }
    Ok(fields)
}

/// Host and port for the field `host`: the port where it is not the usual one.
fn authority(url: &Url, https: bool) -> String {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    match url.port {
        Some(port) if port != if https { 443 } else { 80 } => format!("{host}:{port}"),
        _ => host,
    }
}

/// What is sent behind the head.
fn payload(interp: Interp, parsed: &Options) -> Result<Payload> {
    let given = [BODY, BODY_CHAN, BODY_FILE].iter().filter(|i| parsed.options[**i].is_some()).count();
    if given > 1 {
        return Err(Error::new("only one of -body, -body_chan, and -body_file can be used"));
    }
    let size = parsed.options[BODY_SIZE].map(|v| v.number() as u64);
    if let Some(body) = parsed.options[BODY] {
        return Ok(Payload::Bytes(content(body.obj, parsed.has(BINARY))?));
    }
    if let Some(path) = parsed.text(BODY_FILE) {
        let failed = |e: std::io::Error| {
            let code = e.raw_os_error().unwrap_or(libc::EIO);
            Error::posix(format!("couldn't open \"{path}\": {}", crate::base::errno::message(code)), code)
        };
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        return Ok(Payload::File(file, size.map_or(length, |size| size.min(length))));
    }
    if let Some(channel) = parsed.options[BODY_CHAN] {
        let bytes = read_tcl_channel(interp, channel.obj, size)?;
        return Ok(Payload::Bytes(bytes));
    }
    Ok(Payload::None)
}

/// Bytes as they are, text as UTF-8 unless it is to be taken as bytes.
fn content(value: &Obj, binary: bool) -> Result<Vec<u8>> {
    if binary || value.is_pure_bytes() {
        return Ok(value.bytes()?.to_vec());
    }
    Ok(value.text().into_owned().into_bytes())
}

fn check_tcl_channel(interp: Interp, channel: &Obj) -> Result<()> {
    let words = [Obj::from_str("::chan"), Obj::from_str("configure"), channel.clone()];
    evaluating::call(interp, &words).map(drop)
}

fn read_tcl_channel(interp: Interp, channel: &Obj, size: Option<u64>) -> Result<Vec<u8>> {
    let word = Obj::from_str;
    let mut read = vec![word("::chan"), word("read"), channel.clone()];
    read.extend(size.map(Obj::from_count));
    let result = super::with_binary_channel(interp, channel, |interp| evaluating::call(interp, &read))?;
    Ok(result.bytes()?.to_vec())
}
