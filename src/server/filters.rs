//! Filters and traces: scripts that run before and after the handler
//! (spec/http.md 1.5). One list for the process, in the order of registration.

use super::constraints::Constraints;
use super::handlers::new_id;
use super::pattern;
use super::request::Request;
use parking_lot::RwLock;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// When a filter runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before authorization.
    Preauth,
    /// After it, before the handler.
    Postauth,
    /// After the response.
    Trace,
    /// The same, but as `ns_register_trace` has it: no reason is told.
    VoidTrace,
}

impl When {
    /// The word that a filter is told.
    pub fn word(self) -> &'static str {
        match self {
            When::Preauth => "preauth",
            When::Postauth => "postauth",
            When::Trace | When::VoidTrace => "trace",
        }
    }
}

/// A filter.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    /// Names its script in every thread's cache.
    pub id: u32,
    /// When it runs.
    pub when: When,
    method: String,
    url: String,
    constraints: Constraints,
    /// The script with the reason and its arguments; none of a shortcut.
    pub script: Option<String>,
    /// The script without arguments, for messages.
    pub name: String,
}

impl Filter {
    /// A filter. Method and URL are patterns of `string match`.
    pub fn new(
        when: When,
        method: &str,
        url: &str,
        constraints: Constraints,
        script: Option<String>,
        name: &str,
    ) -> Filter {
        let (method, url, name) = (method.to_owned(), url.to_owned(), name.to_owned());
        Filter { id: new_id(), when, method, url, constraints, script, name }
    }

    fn applies(&self, when: When, request: &Request, path: &str, peer: Option<IpAddr>) -> bool {
        self.when == when
            && pattern::matches(&self.method, request.method())
            && pattern::matches(&self.url, path)
            && self.constraints.hold(request, peer)
    }

    fn is_same(&self, other: &Filter) -> bool {
        let key =
            |f: &Filter| (f.when, f.method.clone(), f.url.clone(), f.constraints.clone(), f.script.clone());
        key(self) == key(other)
    }
}

static FILTERS: RwLock<Vec<Arc<Filter>>> = RwLock::new(Vec::new());

/// Whether there is any: most programs have none.
static ANY: AtomicBool = AtomicBool::new(false);

/// Adds a filter at the end, or in front of all others. With `once`, not when
/// the same one is there already: init scripts run in every thread.
pub fn register(filter: Filter, first: bool, once: bool) {
    let mut filters = FILTERS.write();
    if once && filters.iter().any(|own| own.is_same(&filter)) {
        return;
    }
    let index = if first { 0 } else { filters.len() };
    filters.insert(index, Arc::new(filter));
    ANY.store(true, Ordering::Release);
}

/// Whether any filter is registered.
pub fn any() -> bool {
    ANY.load(Ordering::Acquire)
}

/// The filters that apply to a request, in order.
pub fn select(when: When, request: &Request, path: &str, peer: Option<IpAddr>) -> Vec<Arc<Filter>> {
    if !any() {
        return Vec::new();
    }
    FILTERS.read().iter().filter(|f| f.applies(when, request, path, peer)).cloned().collect()
}

/// All filters: reason, method, URL, script.
pub fn all() -> Vec<[String; 4]> {
    let filters = FILTERS.read();
    let row = |f: &Arc<Filter>| {
        [f.when.word().to_owned(), f.method.clone(), f.url.clone(), f.script.clone().unwrap_or_default()]
    };
    filters.iter().map(row).collect()
}
