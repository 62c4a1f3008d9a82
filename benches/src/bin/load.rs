//! `load echo|accept|handshake|idle key=value …`: the load generator. See [`benches::load`].

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    benches::exit_code("load", benches::load::main(&arguments))
}
