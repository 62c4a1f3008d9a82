//! The table of request handlers, one for the process: which script answers
//! which method and path (spec/http.md 1.3).
//!
//! A pattern is a directory and perhaps a filter, its last component when that
//! has a `*`. The handler whose directory is deepest wins; in one directory a
//! filter wins over the plain entry, and the narrower filter over the others.
//! Reading is for every request, changes are rare: whoever looks something up
//! holds the table as it was.

use super::constraints::Constraints;
use super::request::Request;
use crate::base::log;
use crate::http::target;
use parking_lot::RwLock;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

/// What answers a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// A script, with its arguments appended.
    Script {
        /// Names it in every thread's cache of compiled scripts.
        id: u32,
        /// All of it.
        text: String,
        /// Without the arguments, for messages.
        name: String,
    },
    /// Files beneath the page directory.
    Fastpath,
}

/// An entry: what answers, and for which requests.
#[derive(Debug, Clone)]
struct Entry {
    constraints: Constraints,
    action: Arc<Action>,
}

/// Entries for one pattern, those with most constraints first.
#[derive(Debug, Clone, Default)]
struct Entries(Vec<Entry>);

impl Entries {
    fn put(&mut self, entry: Entry) {
        self.0.retain(|own| own.constraints != entry.constraints);
        self.0.push(entry);
        self.0.sort_by_key(|own| Reverse(own.constraints.len()));
    }

    /// Takes out those with constraints, or the one without.
    fn remove(&mut self, with_constraints: bool) {
        self.0.retain(|own| own.constraints.is_empty() == with_constraints);
    }

    fn find(&self, request: &Request, peer: Option<IpAddr>) -> Option<&Arc<Action>> {
        self.0.iter().find(|e| e.constraints.hold(request, peer)).map(|e| &e.action)
    }
}

/// A last component with `*`.
#[derive(Debug, Clone)]
struct Filter {
    pattern: String,
    /// For this directory and all beneath it.
    inherited: Entries,
    /// For this directory only.
    here: Entries,
}

/// A directory.
#[derive(Debug, Clone, Default)]
struct Node {
    /// By name, in order.
    children: Vec<(String, Node)>,
    /// For the path itself and all beneath it.
    inherited: Entries,
    /// For the path itself.
    here: Entries,
    /// The narrowest first.
    filters: Vec<Filter>,
}

impl Node {
    fn child(&self, name: &str) -> Option<&Node> {
        let index = self.children.binary_search_by(|(own, _)| own.as_str().cmp(name)).ok()?;
        Some(&self.children[index].1)
    }

    fn child_mut(&mut self, name: &str) -> &mut Node {
        let index = match self.children.binary_search_by(|(own, _)| own.as_str().cmp(name)) {
            Ok(index) => index,
            Err(index) => {
                self.children.insert(index, (name.to_owned(), Node::default()));
                index
            }
        };
        &mut self.children[index].1
    }

    /// The entries for a pattern.
    fn entries(&mut self, pattern: &Pattern) -> &mut Entries {
        let node = pattern.directory.iter().fold(self, |node, name| node.child_mut(name));
        let Some(filter) = pattern.filter else {
            return if pattern.inherit { &mut node.inherited } else { &mut node.here };
        };
        let index = match node.filters.iter().position(|own| own.pattern == filter) {
            Some(index) => index,
            None => {
                let wider = |own: &Filter| narrowness(&own.pattern) < narrowness(filter);
                let index = node.filters.iter().position(wider).unwrap_or(node.filters.len());
                let (inherited, here) = Default::default();
                node.filters.insert(index, Filter { pattern: filter.to_owned(), inherited, here });
                index
            }
        };
        let found = &mut node.filters[index];
        if pattern.inherit {
            &mut found.inherited
        } else {
            &mut found.here
        }
    }

    fn find(&self, path: &str, request: &Request, peer: Option<IpAddr>) -> Option<&Arc<Action>> {
        let last = target::parts(path).last();
        let mut parts = target::parts(path);
        let mut node = self;
        let mut best = None;
        loop {
            let next = parts.next();
            let found = match next {
                None => node.here.find(request, peer),
                Some(_) => {
                    let is_last = parts.clone().next().is_none();
                    node.filters.iter().find_map(|filter| {
                        let matches = last.is_some_and(|last| glob(&filter.pattern, last));
                        let here = || if is_last { filter.here.find(request, peer) } else { None };
                        matches.then(|| here().or_else(|| filter.inherited.find(request, peer))).flatten()
                    })
                }
            };
            best = found.or_else(|| node.inherited.find(request, peer)).or(best);
            match next.and_then(|part| node.child(part)) {
                Some(child) => node = child,
                None => return best,
            }
        }
    }
}

/// A registered URL, taken apart.
struct Pattern<'a> {
    directory: Vec<&'a str>,
    filter: Option<&'a str>,
    inherit: bool,
}

impl<'a> Pattern<'a> {
    fn parse(url: &'a str, inherit: bool) -> Pattern<'a> {
        let mut directory: Vec<&str> = target::parts(url).collect();
        let filter = match directory.last() {
            Some(last) if last.contains('*') => directory.pop().filter(|last| *last != "*"),
            _ => None,
        };
        Pattern { directory, filter, inherit }
    }
}

/// Of two patterns of which one matches all that the other does, the other's is
/// greater: it has more literal characters, or as many and fewer stars.
fn narrowness(pattern: &str) -> (usize, Reverse<usize>) {
    let stars = pattern.bytes().filter(|b| *b == b'*').count();
    (pattern.len() - stars, Reverse(stars))
}

/// Whether `text` matches `pattern`, in which only `*` has a meaning.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((part, after)) = rest.split_once('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
        rest = after;
    }
    text.ends_with(rest)
}

/// Handlers by method.
type Table = BTreeMap<String, Node>;

static TABLE: RwLock<Option<Arc<Table>>> = RwLock::new(None);

static NEXT_ID: AtomicU32 = AtomicU32::new(0);

/// A number for a script.
pub fn new_id() -> u32 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// What is there before anything is registered: files for GET, HEAD and POST
/// (spec/http.md 1.4).
fn initial() -> Table {
    let fastpath = Arc::new(Action::Fastpath);
    let mut table = Table::new();
    for method in ["GET", "HEAD", "POST"] {
        let entry = Entry { constraints: Constraints::default(), action: Arc::clone(&fastpath) };
        table.entry(method.to_owned()).or_default().inherited.put(entry);
    }
    table
}

fn table() -> Arc<Table> {
    if let Some(table) = &*TABLE.read() {
        return Arc::clone(table);
    }
    Arc::clone(TABLE.write().get_or_insert_with(|| Arc::new(initial())))
}

fn change(change: impl FnOnce(&mut Table)) {
    let mut slot = TABLE.write();
    // Copied only while a request is being looked up elsewhere.
    change(Arc::make_mut(slot.get_or_insert_with(|| Arc::new(initial()))));
}

/// Registers what answers `method` at `url`. A URL with a query or fragment is
/// refused by an entry in the log only, as in the reference.
pub fn register(method: &str, url: &str, inherit: bool, constraints: Constraints, action: Action) {
    if url.contains(['?', '#']) {
        log::write(
            log::ERROR,
            &format!(
                "register request handler: invalid URL path {url}: \
                 request path contains query and/or fragment, which is not allowed"
            ),
        );
        return;
    }
    let entry = Entry { constraints, action: Arc::new(action) };
    change(|table| {
        table.entry(method.to_owned()).or_default().entries(&Pattern::parse(url, inherit)).put(entry);
    });
}

/// Takes out what is registered under the pattern: the entry without
/// constraints, or all those with (`constrained`). With `recurse` everything
/// beneath goes too.
pub fn unregister(method: &str, url: &str, inherit: bool, constrained: bool, recurse: bool) {
    change(|table| {
        let Some(root) = table.get_mut(method) else { return };
        let pattern = Pattern::parse(url, inherit);
        if recurse {
            let node = pattern.directory.iter().fold(root, |node, name| node.child_mut(name));
            *node = Node::default();
        } else {
            root.entries(&pattern).remove(constrained);
        }
    });
}

/// What answers a request for `path`, which is normal.
pub fn find(method: &str, request: &Request, path: &str, peer: Option<IpAddr>) -> Option<Arc<Action>> {
    table().get(method)?.find(path, request, peer).cloned()
}

/// The methods that are answered at `path`, for the `Allow` field.
pub fn methods(request: &Request, path: &str, peer: Option<IpAddr>) -> Vec<String> {
    let table = table();
    table.iter().filter(|(_, n)| n.find(path, request, peer).is_some()).map(|(m, _)| m.clone()).collect()
}

/// Every script with its method, for listings: method, URL, script.
pub fn all() -> Vec<(String, String, String)> {
    fn walk(node: &Node, method: &str, path: &str, out: &mut Vec<(String, String, String)>) {
        let here = if path.is_empty() { "/" } else { path };
        let mut add = |url: &str, entries: &Entries| {
            for entry in &entries.0 {
                if let Action::Script { text, .. } = &*entry.action {
                    out.push((method.to_owned(), url.to_owned(), text.clone()));
                }
            }
        };
        add(here, &node.here);
        add(here, &node.inherited);
        for filter in &node.filters {
            add(&format!("{path}/{}", filter.pattern), &filter.here);
            add(&format!("{path}/{}", filter.pattern), &filter.inherited);
        }
        for (name, child) in &node.children {
            walk(child, method, &format!("{path}/{name}"), out);
        }
    }
    let mut out = Vec::new();
    for (method, root) in &*table() {
        walk(root, method, "", &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Action {
        Action::Script { id: 0, text: text.to_owned(), name: text.to_owned() }
    }

    fn tree(entries: &[(&str, bool, &str)]) -> Node {
        let mut root = Node::default();
        for (url, inherit, text) in entries {
            let entry = Entry { constraints: Constraints::default(), action: Arc::new(script(text)) };
            root.entries(&Pattern::parse(url, *inherit)).put(entry);
        }
        root
    }

    fn look(root: &Node, path: &str) -> String {
        match root.find(path, &Request::default(), None).map(|a| &**a) {
            Some(Action::Script { text, .. }) => text.clone(),
            _ => "-".to_owned(),
        }
    }

    #[test]
    fn the_matching_table() {
        let root = tree(&[
            ("/p1", true, "1"),
            ("p2/", false, "2"),
            ("/p4/*.php", true, "4"),
            ("/p5*", true, "5"),
            ("/p6/*/z", true, "6"),
            ("/t/*", true, "t"),
        ]);
        for (path, found) in [
            ("/p1", "1"),
            ("/p1/", "1"),
            ("/p1/x", "1"),
            ("/p1/x/y.html", "1"),
            ("/p1x", "-"),
            ("/P1", "-"),
            ("/p2", "2"),
            ("/p2/", "2"),
            ("/p2/x", "-"),
            ("/p4/a.php", "4"),
            ("/p4/x/y/a.php", "4"),
            ("/p4/a.html", "-"),
            ("/a.php", "-"),
            ("/p4/a.php/b", "-"),
            ("/p5", "5"),
            ("/p5x", "5"),
            ("/x/p5", "5"),
            ("/p5/x", "-"),
            ("/p6/*/z", "6"),
            ("/p6/a/z", "-"),
            ("/t", "t"),
            ("/t/x", "t"),
            ("/", "-"),
        ] {
            assert_eq!(look(&root, path), found, "{path}");
        }
    }

    #[test]
    fn the_deepest_directory_wins() {
        let root = tree(&[("/p7", true, "A"), ("/p7/x", true, "B"), ("/p7/*.html", true, "C")]);
        for (path, found) in [
            ("/p7/a", "A"),
            ("/p7/x", "B"),
            ("/p7/x/q", "B"),
            ("/p7/x.html", "C"),
            ("/p7/x/q.html", "B"),
            ("/p7/a/x", "A"),
        ] {
            assert_eq!(look(&root, path), found, "{path}");
        }
        let root = tree(&[("/w/*.html", true, "A"), ("/w/y.html", true, "B")]);
        assert_eq!(look(&root, "/w/y.html"), "B");
        let root = tree(&[("/*.foo", true, "R"), ("/v", true, "V")]);
        assert_eq!(look(&root, "/v/a.foo"), "V");
        let root = tree(&[("/o", false, "E"), ("/o", true, "I")]);
        assert_eq!([look(&root, "/o"), look(&root, "/o/"), look(&root, "/o/x")], ["E", "E", "I"]);
        let root = tree(&[
            ("/f/x*", true, "1"),
            ("/f/xy*", true, "2"),
            ("/f/*.c", true, "3"),
            ("/f/*.b.c", true, "4"),
            ("/f/*k*", true, "5"),
            ("/f/k*", true, "6"),
        ]);
        assert_eq!([look(&root, "/f/xyz"), look(&root, "/f/xa"), look(&root, "/f/a.b.c")], ["2", "1", "4"]);
        assert_eq!([look(&root, "/f/ka"), look(&root, "/f/ak")], ["6", "5"]);
        let root = tree(&[("/", true, "R"), ("/n/*.x", false, "N")]);
        assert_eq!([look(&root, "/n/a.x"), look(&root, "/n/b/a.x"), look(&root, "/")], ["N", "R", "R"]);
    }

    #[test]
    fn stars() {
        assert!(glob("*.html", "a.html") && !glob("*.html", "a.htm"));
        assert!(glob("a*b*c", "aXbYc") && !glob("a*b*c", "aXc"));
        assert!(glob("[ab]*", "[ab]c") && !glob("[ab]*", "a"));
        assert!(!glob("ab*ba", "aba"));
    }

    #[test]
    fn entries_are_replaced_and_removed() {
        register("TEST", "/u?x=1", true, Constraints::default(), script("no"));
        register("TEST", "/u", true, Constraints::default(), script("1"));
        register("TEST", "/u", true, Constraints::default(), script("2"));
        register("TEST", "/u", false, Constraints::default(), script("3"));
        let texts = |_: ()| -> Vec<String> {
            all().into_iter().filter(|(m, ..)| m == "TEST").map(|(.., text)| text).collect()
        };
        assert_eq!(texts(()), ["3", "2"]);
        unregister("TEST", "u/", false, false, false);
        assert_eq!(texts(()), ["2"]);
        register("TEST", "/u/v/*.x", true, Constraints::default(), script("4"));
        unregister("TEST", "/u", true, false, true);
        assert!(texts(()).is_empty());
        unregister("TEST", "/nothing", true, false, false);
    }
}
