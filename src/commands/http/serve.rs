//! `ns_serve`, and `ns_connchan detach`.

use super::{detached, register, sender, with_exchange, Sender, HOOKS, THREAD_HOOKS};
use crate::base::{config, Error, Result};
use crate::connchan::channel::Listening as ListeningEndpoint;
use crate::connchan::driver::Driver as Kind_;
use crate::connchan::{home, table, Channel, Endpoint, Peer};
use crate::net::listen::Listener;
use crate::net::tls::{Server, ServerSettings};
use crate::server::attached::Listening;
use crate::server::driver::{Driver, Place};
use crate::server::pool::{is_connection_thread, Queue};
use crate::server::{remote, scripts};
use crate::tcl::args::{Kind, Opt, Parsed, Syntax};
use crate::tcl::{lifetime, Failure, Interp, Obj, Outcome};
use crate::threads::{Counts, Pool, Setup};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The indexes of the options.
const ADDRESS: usize = 0;
const CERT: usize = 1;
const DRIVER: usize = 2;
const INIT: usize = 3;
const KEY: usize = 4;
const PAGE_DIR: usize = 5;
const PORT: usize = 6;
const STATISTICS: usize = 7;
const THREADS: usize = 8;
const TLS: usize = 9;

/// `ns_serve ?options?`: starts a driver.
pub(super) fn ns_serve(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<10, 0> = Syntax {
        options: [
            Opt::valued("-address", Kind::Any, "value"),
            Opt::valued("-cert", Kind::Any, "value"),
            Opt::valued("-driver", Kind::Any, "value"),
            Opt::valued("-init", Kind::Any, "script"),
            Opt::valued("-key", Kind::Any, "value"),
            Opt::valued("-pagedir", Kind::Any, "value"),
            Opt::valued("-port", Kind::Port, "port"),
            Opt::valued("-statistics", Kind::Any, "channel"),
            Opt::valued("-threads", Kind::Range("-threads", 0, 1000), "integer[0,1000]"),
            Opt::flag("-tls"),
        ],
        ends_options: false,
        words: [],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    if let Some(channel) = parsed.options[STATISTICS] {
        interp.set_result(&statistics(&channel.obj.text())?);
        return Ok(());
    }
    let threads = parsed.options[THREADS].map_or(0, |v| v.number());
    if threads == 0 && parsed.options[INIT].is_some() {
        return Err(Error::new("-init is for connection threads: give -threads, too").into());
    }
    let kind = kind(&parsed)?;
    let (channel, place) = listen(&parsed, kind)?;
    let protocol = if kind.is_tls() { "https" } else { "http" };
    let page_dir = parsed.text(PAGE_DIR).map(PathBuf::from);
    let driver = Arc::new(Driver::new(kind.name(), protocol, kind.section(), place, page_dir, threads > 0));
    channel.set_companion(Arc::clone(&driver) as Arc<dyn std::any::Any + Send + Sync>);
    let started = if threads == 0 {
        let listening = Listening::new(Arc::clone(&driver), interp, HOOKS);
        home::register_native(interp, &channel, &Obj::from_str("ns_serve"), Rc::new(listening))
            .map_err(Failure::from)
    } else {
        let init = parsed.text(INIT).unwrap_or_default();
        start_threads(interp, threads as usize, &init, &driver, &channel)
    };
    if let Err(failure) = started {
        home::close(&channel);
        return Err(failure);
    }
    let handle = Obj::from_str(&channel.name());
    handle.cache(channel);
    interp.set_result(&Obj::from_pairs([
        ("channel", handle),
        ("url", Obj::from_str(&driver.location())),
        ("address", Obj::from_str(&driver.place.address)),
        ("port", Obj::from_int(i64::from(driver.place.port))),
        ("driver", Obj::from_str(driver.name)),
    ]));
    Ok(())
}

/// What a driver has done, and is doing.
fn statistics(handle: &str) -> Result<Obj> {
    let channel = table::find(handle).ok_or_else(|| Channel::missing(handle))?;
    let Some(driver) = channel.companion::<Driver>() else {
        return Err(Error::new(format!("channel \"{handle}\" is not one of ns_serve")));
    };
    let count = |counter: &AtomicU64| Obj::from_count(counter.load(Ordering::Relaxed));
    let size = |size: usize| Obj::from_count(size as u64);
    let threads = driver.pool().map(Pool::counts);
    let of_threads = |value: fn(Counts) -> usize| size(threads.map_or(0, value));
    Ok(Obj::from_pairs([
        ("connections", size(driver.count())),
        ("accepted", count(&driver.statistics.accepted)),
        ("requests", count(&driver.statistics.requests)),
        ("errors", count(&driver.statistics.errors)),
        ("dropped", count(&driver.statistics.dropped)),
        ("threads", of_threads(|c| c.threads)),
        ("idle", of_threads(|c| c.idle)),
        ("waiting", of_threads(|c| c.waiting)),
    ]))
}

/// Starts connection threads, then the thread of the driver.
fn start_threads(
    interp: Interp,
    threads: usize,
    init: &str,
    driver: &Arc<Driver>,
    channel: &Arc<Channel>,
) -> Outcome {
    let pool = Pool::new();
    let server = config::server_name();
    for number in 0..threads {
        let mut setup = Setup::new(interp, format!("-conn:{server}:{number}-"), init);
        setup.prepare = Some(Arc::new(|interp| {
            lifetime::on_delete(interp, scripts::forget);
            register::begin_initializing();
            Ok(())
        }));
        if let Err(error) = pool.add(setup) {
            pool.end();
            return Err(interp.raise(&error));
        }
    }
    let queue = Queue::new(pool.clone(), driver.settings.max_queue, THREAD_HOOKS);
    if let Err(error) = remote::start(Arc::clone(driver), Arc::clone(channel), Box::new(queue)) {
        pool.end();
        return Err(error.into());
    }
    driver.set_pool(pool);
    Ok(())
}

/// Plain or TLS, and under which name.
fn kind(parsed: &Parsed<10, 0>) -> Result<Kind_> {
    let tls = parsed.has(TLS) || parsed.has(CERT);
    match parsed.text(DRIVER) {
        None if tls => Ok(Kind_::TLS),
        None => Ok(Kind_::PLAIN),
        Some(name) => match Kind_::find(&name) {
            Some(kind) if tls && !kind.is_tls() => {
                Err(Error::new(format!("driver \"{name}\" does not speak TLS")))
            }
            Some(kind) => Ok(kind),
            None => Err(Error::new(format!("no driver \"{name}\" is configured"))),
        },
    }
}

/// The listening channel, and where it listens.
fn listen(parsed: &Parsed<10, 0>, kind: Kind_) -> Result<(Arc<Channel>, Place)> {
    let section = kind.section();
    let configured = |key: &str| config::get(&section, key).filter(|v| !v.is_empty());
    let address = parsed.text(ADDRESS).or_else(|| configured("address"));
    let address = address.unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = match parsed.options[PORT] {
        Some(port) => port.number() as u16,
        None => config::get_int(&section, "port", 0).clamp(0, 65535) as u16,
    };
    let tls = if kind.is_tls() {
        let own = parsed.text(CERT).map(|certificate| (certificate, parsed.text(KEY)));
        Some(Server::new(ServerSettings::with_certificate(&section, own)?)?)
    } else {
        None
    };
    let failed = |reason: String, port: u16| {
        Error::with_code(format!("cannot listen on {address} port {port}: {reason}"), &["NS_SERVE", "LISTEN"])
    };
    let text = |error: std::io::Error| {
        error.raw_os_error().map_or_else(|| error.to_string(), crate::base::errno::message)
    };
    let unix = address.strip_prefix("unix:").or_else(|| address.starts_with('/').then_some(address.as_str()));
    let (listener, place) = match unix {
        Some(path) => {
            let listener = Listener::unix(path.as_ref()).map_err(|e| {
                Error::with_code(format!("cannot listen on {path}: {}", text(e)), &["NS_SERVE", "LISTEN"])
            })?;
            let place = Place { address: path.to_owned(), port: 0, socket_file: Some(PathBuf::from(path)) };
            (listener, place)
        }
        None => {
            let host = address.trim_start_matches('[').trim_end_matches(']');
            let listener = Listener::open(host, port, true).map_err(|e| failed(text(e), port))?;
            let bound = listener.address;
            (listener, Place { address: bound.ip().to_string(), port: bound.port(), socket_file: None })
        }
    };
    let endpoint = Endpoint::Listener(Arc::new(ListeningEndpoint { listener, tls }));
    Ok((Channel::create(endpoint, kind, Peer::Listening), place))
}

/// `ns_connchan detach`: the connection of the present request becomes a
/// channel.
pub(in crate::commands) fn detach(interp: Interp) -> Outcome {
    if !crate::server::current::is_some() {
        return Err(Error::new("no current connection").into());
    }
    match sender(interp) {
        Ok(Sender::Ready) => {}
        Ok(Sender::Refused | Sender::Ignored) => return Err(detached().into()),
        Err(error) => return Err(error.into()),
    }
    let channel = with_exchange(|exchange| Ok(exchange.detach()))?;
    let handle = Obj::from_str(&channel.name());
    handle.cache(channel);
    interp.set_result(&handle);
    Ok(())
}

/// Bytes of a response that may wait for its peer before a connection thread
/// waits, too.
const HIGH_WATER: u64 = 1 << 20;

/// In a connection thread: waits until less of the response waits for the peer.
pub(super) fn wait_for_room() {
    if !is_connection_thread() {
        return;
    }
    let Some(connection) = crate::server::current::with(|e| Arc::clone(&e.connection)) else { return };
    // The driver's thread sends, and gives up on a peer that does not read.
    let patience = connection.driver.settings.send_wait + Duration::from_secs(5);
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let waiting = connection.waiting();
        if waiting <= HIGH_WATER {
            return;
        }
        if waiting < least {
            (least, since) = (waiting, Instant::now());
        } else if since.elapsed() > patience {
            return connection.give_up();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
