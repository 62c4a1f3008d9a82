//! What a driver is configured with: read once, when it is started, from the
//! section of its module (`ns/module/nssock`, `ns/module/nsssl`) and that of
//! the server (`ns/server/NAME`). Names and defaults are the reference's
//! (spec/http.md 5.1); what is added here says so.

use crate::base::time_value::TimeValue;
use crate::base::{config, list};
use crate::http::charset::usual_name;
use crate::http::request_head::{is_token, Limits};
use std::path::PathBuf;
use std::time::Duration;

/// The settings of a driver.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits of a request's head: `maxline` (8 kB), `maxheaders` (128), and
    /// `maxhead` (64 kB, of our own), the head as a whole.
    pub head: Limits,
    /// `maxinput` (1 MB): bytes that a request's body may have.
    pub max_input: u64,
    /// `readahead` (16 kB): a body up to this size is kept in memory, a larger
    /// one in a file.
    pub read_ahead: usize,
    /// `maxupload` (0, off): a body above this size is kept in a file with a
    /// name, which `ns_conn contentfile` tells.
    pub max_upload: u64,
    /// `uploadpath` (the system's directory for temporary files).
    pub upload_path: PathBuf,
    /// `recvwait` (30 s): for a head in all, and for each piece of a body.
    pub receive_wait: Duration,
    /// `sendwait` (30 s): how long a peer may take nothing of a response.
    pub send_wait: Duration,
    /// `closewait` (2 s): how long a peer may go on sending after the end.
    pub close_wait: Duration,
    /// `keepwait` (5 s): how long a connection is kept without a request.
    pub keep_wait: Duration,
    /// `keepalivemaxuploadsize` (0, off): after a larger request body the
    /// connection is closed.
    pub keep_max_upload: u64,
    /// `keepalivemaxdownloadsize` (0, off): likewise for responses.
    pub keep_max_download: u64,
    /// `maxqueuesize` (1024): requests that may wait for a connection thread.
    pub max_queue: usize,
    /// `maxconnections` of our own (0, no limit): connections at a time.
    pub max_connections: usize,
    /// `maxsendqueue` of our own (64 MB): bytes of a response that may wait
    /// for a slow peer in memory.
    pub max_send_queue: u64,
    /// `extraheaders` of the server, then of the driver: added to each
    /// response that has no field of that name.
    pub extra_headers: Vec<(String, String)>,
    /// The `server` field; none with `stealthmode`.
    pub server_header: Option<String>,
    /// `realm` (the server's name): for 401 pages.
    pub realm: String,
    /// `noticedetail` (true): error pages name the server.
    pub notice_detail: bool,
    /// `errorminsize` (514): error pages are filled up to this size.
    pub error_min_size: usize,
    /// `outputcharset` (utf-8): of text responses.
    pub output_charset: String,
    /// `compressenable` (false).
    pub compress_enable: bool,
    /// `compresslevel` (4).
    pub compress_level: u32,
    /// `compressminsize` (512).
    pub compress_min_size: usize,
    /// `checkmodifiedsince` (true).
    pub check_modified_since: bool,
    /// `ns/parameters rejectalreadyclosedconn` (true).
    pub reject_closed: bool,
    /// `redirects`: pages to be run in place of the built-in ones. An empty name is none.
    pub redirects: Vec<(u16, String)>,
    /// `hostname` of the driver: for `ns_conn location`.
    pub host_name: Option<String>,
    /// `retryafter` (5 s): told with a 503 for a full queue.
    pub retry_after: u64,
}

/// Name and version under which responses are sent: what clients and programs
/// of the reference know.
pub const SERVER: &str = "NaviServer/5.2.0a";

impl Settings {
    /// Reads the settings of the driver whose section is `section`.
    pub fn read(section: &str) -> Settings {
        let server = format!("ns/server/{}", config::server_name());
        let size = |key: &str, default: u64| config::get_size(section, key, default);
        let time = |key: &str, default: i64| {
            config::get_time(section, key, TimeValue::from_secs(default)).as_duration()
        };
        let flag = |key: &str, default: bool| config::get_bool(&server, key, default);
        let number = |key: &str, default: i64| config::get_int(section, key, default).max(0);
        let text = |section: &str, key: &str| config::get(section, key).filter(|v| !v.is_empty());
        let extra_headers = [text(&server, "extraheaders"), text(section, "extraheaders")];
        let extra_headers = extra_fields(extra_headers.into_iter().flatten());
        let redirects = config::pairs(&format!("{server}/redirects")).unwrap_or_default();
        let read_ahead = size("readahead", size("bufsize", 16 << 10));
        Settings {
            head: Limits {
                line: size("maxline", 8 << 10).max(256) as usize,
                fields: number("maxheaders", 128).max(1) as usize,
                head: size("maxhead", 64 << 10).max(1024) as usize,
            },
            max_input: size("maxinput", 1 << 20),
            read_ahead: read_ahead.max(1024) as usize,
            max_upload: size("maxupload", 0),
            upload_path: text(section, "uploadpath").map_or_else(std::env::temp_dir, PathBuf::from),
            receive_wait: time("recvwait", 30),
            send_wait: time("sendwait", 30),
            close_wait: time("closewait", 2),
            keep_wait: time("keepwait", 5),
            keep_max_upload: size("keepalivemaxuploadsize", 0),
            keep_max_download: size("keepalivemaxdownloadsize", 0),
            max_queue: number("maxqueuesize", 1024).max(1) as usize,
            max_connections: number("maxconnections", 0) as usize,
            max_send_queue: size("maxsendqueue", 64 << 20).max(64 << 10),
            extra_headers,
            server_header: (!flag("stealthmode", false)).then(|| SERVER.to_owned()),
            realm: text(&server, "realm").unwrap_or_else(config::server_name),
            notice_detail: flag("noticedetail", true),
            error_min_size: config::get_int(&server, "errorminsize", 514).clamp(0, 65536) as usize,
            output_charset: text(&server, "outputcharset")
                .or_else(|| text("ns/parameters", "outputcharset"))
                .map_or_else(|| "utf-8".to_owned(), |name| usual_name(&name)),
            compress_enable: flag("compressenable", false),
            compress_level: config::get_int(&server, "compresslevel", 4).clamp(1, 9) as u32,
            compress_min_size: config::get_size(&server, "compressminsize", 512) as usize,
            check_modified_since: flag("checkmodifiedsince", true),
            reject_closed: config::get_bool("ns/parameters", "rejectalreadyclosedconn", true),
            redirects: redirects
                .into_iter()
                .filter(|(_, url)| !url.is_empty())
                .filter_map(|(code, url)| code.trim().parse().ok().map(|code| (code, url)))
                .collect(),
            host_name: text(section, "hostname"),
            retry_after: config::get_time(&server, "retryafter", TimeValue::from_secs(5))
                .as_duration()
                .as_secs(),
        }
    }
}

/// The fields of flat lists of names and values, the first of each name, in lower case as all
/// names are. What says how a response is framed, and when it was made, is the server's alone.
fn extra_fields(lists: impl Iterator<Item = String>) -> Vec<(String, String)> {
    const OWN: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];
    let mut fields: Vec<(String, String)> = Vec::new();
    for list in lists {
        for pair in list::elements(&list).chunks_exact(2) {
            let name = pair[0].to_ascii_lowercase();
            let is_there = OWN.contains(&name.as_str()) || fields.iter().any(|(own, _)| *own == name);
            if is_token(name.as_bytes()) && !is_there {
                fields.push((name, pair[1].clone()));
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_configuration() {
        let fields = |lists: &[&str]| extra_fields(lists.iter().map(|list| (*list).to_owned()));
        assert_eq!(
            fields(&["x-a 1  X-B {a b} Date x", "x-b 2 Content-Length 3 {bad name} 4 c \"d e\" rest"]),
            [("x-a", "1"), ("x-b", "a b"), ("c", "d e")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert!(fields(&[]).is_empty());
    }
}
