//! The parameters of `ns/fastpath` and `ns/server/S/fastpath` (spec/http.md
//! 4.1), read once a change of the configuration.

use super::media;
use crate::base::{config, list};
use crate::net::beneath::Links;
use parking_lot::RwLock;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a directory without an index file is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Not at all: 404.
    None,
    /// A list of links.
    Simple,
    /// A page with sizes and dates that can be sorted.
    Fancy,
}

/// Everything configured, at one time.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether small files are kept in memory.
    pub cache: bool,
    /// Bytes that the cache may hold.
    pub cache_max_size: u64,
    /// Bytes of the largest file that it takes.
    pub cache_max_entry: u64,
    /// The `.gz` siblings.
    pub gzip: Siblings,
    /// The `.br` siblings.
    pub brotli: Siblings,
    /// Whether `If-Modified-Since` is heard.
    pub check_modified_since: bool,
    /// Whether entity tags are sent.
    pub etag: bool,
    /// The page directory, absolute unless the process's own directory is gone.
    pub pagedir: PathBuf,
    /// Names of index files.
    pub directory_file: Vec<String>,
    /// The procedure that answers for a directory without index file.
    pub directory_proc: String,
    /// The ADP page that answers in its place.
    pub directory_adp: String,
    /// What that procedure shows, when it is ours.
    pub listing: Listing,
    /// Whether it leaves out what begins with a dot.
    pub hide_dot_files: bool,
    /// Whether such files are served to those who know their names.
    pub serve_dot_files: bool,
    /// What becomes of symbolic links in the page directory.
    pub links: Links,
    /// Media types by extension, those configured.
    pub types: Vec<(String, String)>,
}

/// What is done with siblings of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Siblings {
    /// Whether they are looked for.
    pub serve: bool,
    /// Whether stale ones are made anew.
    pub refresh: bool,
}

const GLOBAL: &str = "ns/fastpath";

impl Settings {
    /// The settings as they are now.
    pub fn current() -> Arc<Settings> {
        static KEPT: RwLock<Option<(u64, Arc<Settings>)>> = RwLock::new(None);
        let generation = config::generation();
        if let Some((read_at, settings)) = KEPT.read().as_ref() {
            if *read_at == generation {
                return Arc::clone(settings);
            }
        }
        let settings = Arc::new(Settings::read());
        *KEPT.write() = Some((generation, Arc::clone(&settings)));
        settings
    }

    fn read() -> Settings {
        let server = format!("ns/server/{}", config::server_name());
        let own = format!("{server}/fastpath");
        let text = |key: &str| config::get(&own, key).unwrap_or_default();
        let siblings = |name: &str| Siblings {
            serve: config::get_bool(GLOBAL, &format!("{name}_static"), false),
            refresh: config::get_bool(GLOBAL, &format!("{name}_refresh"), false),
        };
        let directory_file = match config::get(&own, "directoryfile") {
            Some(names) => list::elements(&names),
            None => list::elements("index.adp index.tcl index.html index.htm"),
        };
        Settings {
            cache: config::get_bool(GLOBAL, "cache", false),
            cache_max_size: config::get_size(GLOBAL, "cachemaxsize", 10 << 20).max(1024),
            cache_max_entry: config::get_size(GLOBAL, "cachemaxentry", 8 << 10).max(8),
            gzip: siblings("gzip"),
            brotli: siblings("brotli"),
            check_modified_since: config::get_bool(&server, "checkmodifiedsince", true),
            etag: config::get_bool(GLOBAL, "etag", false),
            pagedir: absolute(&config::get(&own, "pagedir").unwrap_or_else(|| "pages".to_owned())),
            directory_file,
            directory_proc: config::get(&own, "directoryproc").unwrap_or_else(|| "_ns_dirlist".to_owned()),
            directory_adp: text("directoryadp"),
            listing: match text("directorylisting").as_str() {
                "simple" => Listing::Simple,
                "fancy" => Listing::Fancy,
                _ => Listing::None,
            },
            hide_dot_files: config::get_bool(&own, "hidedotfiles", true),
            serve_dot_files: config::get_bool(&own, "servedotfiles", true),
            links: match text("symlinks").as_str() {
                "anywhere" => Links::Anywhere,
                "nowhere" => Links::Nowhere,
                _ => Links::Beneath,
            },
            types: config::pairs(media::SECTION).unwrap_or_default(),
        }
    }
}

/// A path as configured: relative ones are below the server directory, which is
/// parameter `home` of `ns/parameters`, or else the process's directory.
pub fn absolute(path: &str) -> PathBuf {
    let home = config::get("ns/parameters", "home").map(PathBuf::from);
    let home = home.or_else(|| std::env::current_dir().ok()).unwrap_or_default();
    home.join(Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_the_server_directory() {
        assert_eq!(absolute("/x/y"), PathBuf::from("/x/y"));
        assert!(absolute("pages").is_absolute());
    }
}
