//! `bench ?quick? ?key=value …?`: the runner, what `make bench` calls. See [`benches::runner`].
//!
//! As `bench bare-echo …`, `bench bare-http …`, `bench bare-ws …`, `bench bare-send …` and `bench load …` the same program is the servers
//! and the load generator of its own runs: `cargo run --bin bench` builds no other program. `bench openssl-version`
//! prints the version of OpenSSL that it runs with.

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("bare-echo") => benches::exit_code("bare-echo", benches::bare_echo::main(&arguments[1..])),
        Some("bare-http") => benches::exit_code("bare-http", benches::bare_http::main(&arguments[1..])),
        Some("bare-ws") => benches::exit_code("bare-ws", benches::bare_ws::main(&arguments[1..])),
        Some("bare-send") => benches::exit_code("bare-send", benches::bare_send::main(&arguments[1..])),
        Some("openssl-version") => {
            println!("{}", openssl::version::version());
            std::process::ExitCode::SUCCESS
        }
        Some("load") => benches::exit_code("load", benches::load::main(&arguments[1..])),
        _ => benches::exit_code("bench", benches::runner::main(&arguments)),
    }
}
