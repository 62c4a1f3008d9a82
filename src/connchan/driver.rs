//! Drivers: whether connections are plain or TLS, and under which name they
//! are listed and configured (spec/ns_connchan.md 2.6, 7.2).
//!
//! `nssock` and `nsssl` are always there. Further names are those of modules in
//! the configuration, as in the reference: a parameter of the section
//! `ns/modules` (or `ns/server/NAME/modules`) whose value is the module's file,
//! `nsssl` or `/path/nsssl.so`. Each has settings of its own.

use crate::base::config;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::Path;

/// The driver of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Driver {
    name: &'static str,
    tls: bool,
}

impl Driver {
    /// Plain sockets.
    pub const PLAIN: Driver = Driver { name: "nssock", tls: false };
    /// TLS.
    pub const TLS: Driver = Driver { name: "nsssl", tls: true };

    /// The driver of that name.
    pub fn find(name: &str) -> Option<Driver> {
        [Driver::PLAIN, Driver::TLS].into_iter().find(|d| d.name == name).or_else(|| {
            let file = ["ns/modules".to_owned(), format!("ns/server/{}/modules", config::server_name())]
                .iter()
                .find_map(|section| config::get(section, name))?;
            let module = Path::new(&file).file_stem()?.to_str()?;
            let kind = [Driver::PLAIN, Driver::TLS].into_iter().find(|d| d.name == module)?;
            Some(Driver { name: intern(name), ..kind })
        })
    }

    /// The driver for a URL's scheme; `name` must be one of that kind.
    pub fn for_scheme(scheme: &str, name: Option<&str>) -> Option<Driver> {
        let usual = match scheme {
            "http" => Driver::PLAIN,
            "https" => Driver::TLS,
            _ => return None,
        };
        match name {
            Some(name) => Driver::find(name).filter(|d| d.tls == usual.tls),
            None => Some(usual),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Whether it speaks TLS.
    pub fn is_tls(self) -> bool {
        self.tls
    }

    /// The section with its settings: that of the server, if there is one.
    pub fn section(self) -> String {
        let of_server = format!("ns/server/{}/module/{}", config::server_name(), self.name);
        if config::pairs(&of_server).is_some() {
            of_server
        } else {
            format!("ns/module/{}", self.name)
        }
    }
}

/// Keeps one copy of each name for ever. Names come from the configuration, so
/// they are few.
fn intern(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock();
    match names.get(name) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
            names.insert(kept);
            kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_that_are_always_there() {
        assert_eq!(Driver::find("nssock"), Some(Driver::PLAIN));
        assert_eq!(Driver::for_scheme("https", None), Some(Driver::TLS));
        assert_eq!(Driver::for_scheme("https", Some("nssock")), None);
        assert_eq!(Driver::for_scheme("ftp", None), None);
        assert_eq!(Driver::find("foo"), None);
        assert_eq!(Driver::TLS.section(), "ns/module/nsssl");
    }

    #[test]
    fn configured_names() {
        config::add("ns/modules", "test_ssl", "/usr/lib/nsssl.so");
        config::add("ns/modules", "test_other", "nslog.so");
        let driver = Driver::find("test_ssl").unwrap();
        assert!(driver.is_tls());
        assert_eq!(driver.name(), "test_ssl");
        assert_eq!(driver.section(), "ns/module/test_ssl");
        assert!(std::ptr::eq(driver.name(), Driver::find("test_ssl").unwrap().name()));
        assert_eq!(Driver::find("test_other"), None);
    }
}
