//! `bare-echo PORT ?CERT KEY?`: the echo server without Tcl. See [`benches::bare_echo`].

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    benches::exit_code("bare-echo", benches::bare_echo::main(&arguments))
}
