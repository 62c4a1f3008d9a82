//! As much of `http` as a server reads requests with.

#[path = "../../src/http/chunked.rs"]
pub mod chunked;
#[path = "../../src/http/form.rs"]
pub mod form;
#[path = "../../src/http/percent.rs"]
pub mod percent;
#[path = "../../src/http/request_head.rs"]
pub mod request_head;
#[path = "../../src/http/target.rs"]
pub mod target;
