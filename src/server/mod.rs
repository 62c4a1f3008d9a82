//! The HTTP server: drivers and their connections, requests, the table of
//! handlers, filters, responses.
//!
//! `driver` listens; `attached` serves its connections in the reactor of an
//! event loop. A connection's bytes become a `request` by `reader`; an
//! `exchange` is a request and the state of its response, which `response` and
//! `pages` send by the `connection`; `pipeline` says which script comes next
//! (`handlers`, `filters`), `current` which exchange a script is about.

pub mod attached;
pub mod bodies;
pub mod clock;
pub mod connection;
pub mod constraints;
pub mod current;
pub mod driver;
pub mod exchange;
pub mod filters;
pub mod handlers;
pub mod machine;
pub mod pages;
pub mod pattern;
pub mod pipeline;
pub mod pool;
pub mod reader;
pub mod remote;
pub mod request;
pub mod response;
pub mod scripts;
pub mod settings;
