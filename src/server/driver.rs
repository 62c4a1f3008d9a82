//! A driver: a listening socket with its settings, and the connections that
//! came in by it.

use super::connection::Connection;
use super::settings::Settings;
use crate::connchan::Channel;
use crate::threads::Pool;
use parking_lot::Mutex;
use slab::Slab;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// Where a driver listens.
#[derive(Debug, Clone)]
pub struct Place {
    /// The address, as text; the path of a unix socket.
    pub address: String,
    /// The port, 0 of a unix socket.
    pub port: u16,
    /// The file of a unix socket, to be removed at the end.
    pub socket_file: Option<PathBuf>,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Requests given to handlers.
    pub requests: AtomicU64,
    /// Requests that were answered without a handler: malformed, or too large.
    pub errors: AtomicU64,
    /// Requests that had to be refused since the queue was full.
    pub dropped: AtomicU64,
}

/// A driver.
pub struct Driver {
    /// The name of its module: `nssock`, `nsssl`.
    pub name: &'static str,
    /// `http` or `https`.
    pub protocol: &'static str,
    /// The section with its settings.
    pub section: String,
    /// The settings.
    pub settings: Settings,
    /// Where files are served from (`ns_serve -pagedir`), in place of what is
    /// configured.
    pub page_dir: Option<PathBuf>,
    /// Where it listens.
    pub place: Place,
    /// What it has done.
    pub statistics: Statistics,
    /// Requests are answered in connection threads.
    remote: bool,
    /// No new connections or requests: what is in progress is finished.
    stopping: AtomicBool,
    connections: Mutex<Slab<Weak<Connection>>>,
    /// The connection threads.
    pool: OnceLock<Pool>,
    count: AtomicUsize,
}

impl Driver {
    /// A driver that listens at `place`, with the settings of `section`.
    pub fn new(
        name: &'static str,
        protocol: &'static str,
        section: String,
        place: Place,
        page_dir: Option<PathBuf>,
        remote: bool,
    ) -> Driver {
        let settings = Settings::read(&section);
        Driver {
            name,
            protocol,
            section,
            settings,
            page_dir,
            place,
            statistics: Statistics::default(),
            remote,
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
            pool: OnceLock::new(),
            count: AtomicUsize::new(0),
        }
    }

    /// Its URL, without a path; the port is left out when it is the protocol's
    /// own.
    pub fn location(&self) -> String {
        let host = match &self.settings.host_name {
            Some(name) => name.as_str(),
            None => match self.place.address.as_str() {
                "0.0.0.0" => "127.0.0.1",
                "::" => "::1",
                other => other,
            },
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match (self.protocol, self.place.port) {
            ("http", 80) | ("https", 443) | (_, 0) => format!("{}://{host}", self.protocol),
            (protocol, port) => format!("{protocol}://{host}:{port}"),
        }
    }

    /// Takes in a connection; `None` when there are too many.
    pub(super) fn enter(self: &Arc<Driver>, channel: &Arc<Channel>) -> Option<Arc<Connection>> {
        let most = self.settings.max_connections;
        if most > 0 && self.count() >= most {
            return None;
        }
        self.statistics.accepted.fetch_add(1, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(Arc::clone(channel), Arc::clone(self)));
        let index = self.connections.lock().insert(Arc::downgrade(&connection));
        connection.index.store(index, Ordering::Relaxed);
        Some(connection)
    }

    /// A connection is gone, or is the driver's no longer.
    pub(super) fn leave(&self, connection: &Connection) {
        let index = connection.index.swap(usize::MAX, Ordering::AcqRel);
        if index != usize::MAX {
            self.connections.lock().try_remove(index);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Notes the connection threads.
    pub fn set_pool(&self, pool: Pool) {
        let _ = self.pool.set(pool);
    }

    /// The connection threads, if there are any.
    pub fn pool(&self) -> Option<&Pool> {
        self.pool.get()
    }

    /// Whether requests are answered in connection threads.
    pub fn is_remote(&self) -> bool {
        self.remote
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether it is about to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Begins the end: connections that wait for a request are closed, others
    /// when theirs is answered.
    pub fn stop(&self) {
        if self.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(file) = &self.place.socket_file {
            let _ = std::fs::remove_file(file);
        }
        let connections: Vec<_> = self.connections.lock().iter().filter_map(|(_, c)| c.upgrade()).collect();
        for connection in connections {
            if !connection.is_given_away() {
                connection.channel.nudge_home();
            }
        }
    }
}
