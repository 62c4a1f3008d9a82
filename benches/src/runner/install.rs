//! Finding what there is to measure: interpreters, scripts and the library.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::pages::Pages;
use super::plan::{Kind, Transport};
use crate::certificate::Files;
use crate::{sys, Result};

/// What was found on this machine.
pub struct Install {
    root: PathBuf,
    /// The interpreters, 8.6 and 9.0.
    tclsh86: Option<Tclsh>,
    tclsh90: Option<Tclsh>,
    /// The value of TCLLIBPATH for the interpreters, a Tcl list of folders.
    library_path: OsString,
    /// The processors of the servers and that of the load generator; empty where there is but one.
    pub server_cpus: Vec<usize>,
    pub load_cpus: Vec<usize>,
    /// A Python that has the package `websockets`; looked for when it is needed.
    python: Option<PathBuf>,
    /// nginx, where it is.
    nginx: Option<PathBuf>,
    /// What the servers of files serve; made when they are needed.
    pages: Option<Pages>,
    /// What the TLS servers show; made when they are needed.
    certificate: Option<Files>,
    /// The libraries of the 9.0 interpreter, where its OpenSSL is not ours.
    libraries90: Option<Libraries>,
}

/// Shared libraries other than the ones that programs get by default.
struct Libraries {
    /// The program that loads them.
    loader: PathBuf,
    /// Where they are.
    folder: PathBuf,
}

/// An interpreter that runs.
pub struct Tclsh {
    program: PathBuf,
    /// As `info patchlevel` says.
    pub version: String,
}

impl Install {
    /// Looks around; `root` is the project's folder.
    pub fn find(root: &Path) -> Install {
        let (server_cpus, load_cpus) = share_cpus(sys::allowed_cpus());
        Install {
            root: root.canonicalize().unwrap_or_else(|_| root.into()),
            tclsh86: Tclsh::find("TCLSH86", "tclsh8.6", "8.6."),
            tclsh90: Tclsh::find("TCLSH90", "tclsh9.0", "9."),
            library_path: library_path(),
            server_cpus,
            load_cpus,
            python: None,
            nginx: find_nginx(),
            pages: None,
            certificate: None,
            libraries90: None,
        }
    }

    /// Makes the files for the servers of such, and a certificate for https.
    pub fn prepare_files(&mut self) -> Result<()> {
        self.pages = Some(Pages::make()?);
        if self.certificate.is_none() {
            self.prepare_tls()?;
        }
        Ok(())
    }

    /// The version of nginx.
    pub fn nginx_version(&self) -> Option<String> {
        let output = Command::new(self.nginx.as_ref()?).arg("-v").output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr);
        Some(text.trim().rsplit('/').next()?.to_string())
    }

    /// Sees to a Python with its `websockets`, in a folder of its own beside that of this program.
    pub fn find_python(&mut self) -> Result<()> {
        let program = env::current_exe()?;
        let target = program.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        let folder = target.join("bench-python");
        let python = folder.join("bin/python");
        let check = ["-c", "import websockets.asyncio.server"];
        if run(&python, check).is_err() {
            run("python3".as_ref(), ["-m".as_ref(), "venv".as_ref(), folder.as_os_str()])?;
            run(&python, ["-m", "pip", "install", "--quiet", "websockets"])?;
            run(&python, check)?;
        }
        self.python = Some(python);
        Ok(())
    }

    /// The version of that `websockets`.
    pub fn websockets_version(&self) -> Option<String> {
        let script = "import websockets; print(websockets.__version__)";
        let output = Command::new(self.python.as_ref()?).args(["-c", script]).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    }

    /// The version of tcllib's websocket, when 8.6 has it.
    pub fn tcllib_version(&self) -> Option<String> {
        ask(&self.tclsh86.as_ref()?.program, None, "puts [package require websocket]").ok()
    }

    /// Makes a certificate for the TLS servers, and looks which OpenSSL they have.
    pub fn prepare_tls(&mut self) -> Result<()> {
        self.certificate = Some(Files::make()?);
        self.libraries90 = self.other_libraries(Kind::Connchan90);
        Ok(())
    }

    /// The libraries of an interpreter that has another OpenSSL than this program. A comparison of the two
    /// would say more about OpenSSL than about anything else: their speeds differ by half.
    fn other_libraries(&self, kind: Kind) -> Option<Libraries> {
        const MAPS: &str = "package require ns_connchan; puts [read [open /proc/self/maps]]";
        let theirs = ask(&self.tclsh(kind)?.program, Some(&self.library_path), MAPS).ok()?;
        let ours = fs::read_to_string("/proc/self/maps").ok()?;
        let crypto = mapped(&theirs, "libcrypto.so")?;
        if mapped(&ours, "libcrypto.so")? == crypto {
            return None;
        }
        let loader = mapped(&theirs, "ld-linux")?.into();
        Some(Libraries { loader, folder: Path::new(crypto).parent()?.into() })
    }

    /// The version of OpenSSL that this program has, and that of the 9.0 interpreter where it is another.
    pub fn openssl_versions(&self) -> Vec<String> {
        let mut versions = vec![short_version(openssl::version::version())];
        if let Some(mut command) = self.bare(Kind::Bare90) {
            if let Ok(output) = command.arg("openssl-version").output() {
                let version = short_version(&String::from_utf8_lossy(&output.stdout));
                versions.push(format!("{version} of Tcl 9.0"));
            }
        }
        versions
    }

    /// This program, as the bare echo of this kind runs it.
    fn bare(&self, kind: Kind) -> Option<Command> {
        let program = env::current_exe().ok()?;
        if kind == Kind::Bare {
            return Some(Command::new(program));
        }
        let Libraries { loader, folder } = self.libraries90.as_ref()?;
        let mut command = Command::new(loader);
        command.arg("--library-path").arg(folder).arg(program);
        Some(command)
    }

    /// Whether the interpreter and the package of others that this server needs are there.
    pub fn has(&self, kind: Kind, transport: Transport) -> bool {
        match (kind, transport) {
            (
                Kind::Nginx,
                Transport::Files { .. } | Transport::Http | Transport::Https | Transport::HttpOnce,
            ) => self.nginx.is_some(),
            (Kind::Nginx, _) => false,
            (Kind::Connchan86 | Kind::Connchan90, Transport::Files { .. }) => self.tclsh(kind).is_some(),
            (_, Transport::Files { .. }) => false,
            (Kind::Bare, transport) => transport != Transport::HttpOnce,
            (Kind::Bare90, _) => {
                matches!(transport, Transport::Tls | Transport::Https) && self.libraries90.is_some()
            }
            (Kind::Python, Transport::WebSocket | Transport::Broadcast) => self.python.is_some(),
            (Kind::Python, _) => false,
            (Kind::Threads86 | Kind::Threads90, transport) => {
                matches!(transport, Transport::Http | Transport::Https | Transport::HttpOnce)
                    && self.tclsh(kind).is_some()
            }
            (Kind::Fileevent86, Transport::HttpOnce) => self.has_httpd(),
            (Kind::Fileevent90, Transport::HttpOnce) => false,
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::Https) => false,
            (Kind::Fileevent86, Transport::WebSocket) => self.tcllib_version().is_some(),
            (Kind::Fileevent90, Transport::WebSocket) => false,
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::Broadcast) => false,
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::Tls) => self.tcl_tls_version(kind).is_some(),
            _ => self.tclsh(kind).is_some(),
        }
    }

    /// Whether 8.6 has tcllib's httpd.
    fn has_httpd(&self) -> bool {
        self.tclsh86.as_ref().is_some_and(|t| ask(&t.program, None, "puts [package require httpd]").is_ok())
    }

    fn tclsh(&self, kind: Kind) -> Option<&Tclsh> {
        match kind {
            Kind::Bare | Kind::Bare90 | Kind::Python | Kind::Nginx => None,
            Kind::Connchan86 | Kind::Fileevent86 | Kind::Threads86 => self.tclsh86.as_ref(),
            Kind::Connchan90 | Kind::Fileevent90 | Kind::Threads90 => self.tclsh90.as_ref(),
        }
    }

    /// What runs a script that needs the library, for 8.6 and for 9.0.
    pub fn tclsh_commands(&self) -> [Option<Command>; 2] {
        [self.tclsh86.as_ref(), self.tclsh90.as_ref()].map(|tclsh| {
            let mut command = Command::new(&tclsh?.program);
            command.env("TCLLIBPATH", &self.library_path);
            Some(command)
        })
    }

    /// The file of a script in the folder `benches`.
    pub fn bench_script(&self, name: &str) -> PathBuf {
        self.root.join("benches").join(name)
    }

    /// Both versions and what was found of them.
    pub fn interpreters(&self) -> [(&'static str, Option<&Tclsh>); 2] {
        [("8.6", self.tclsh86.as_ref()), ("9.0", self.tclsh90.as_ref())]
    }

    /// Whether the server's script and library are there, with the reason when they are not.
    pub fn check(&self, kind: Kind, transport: Transport) -> Result<()> {
        if matches!(kind, Kind::Connchan86 | Kind::Connchan90) {
            self.connchan_version(kind)?;
        }
        match self.script(kind, transport) {
            Some(script) if !script.is_file() => Err(format!("{} is missing", script.display()).into()),
            _ => Ok(()),
        }
    }

    /// The version of the library as an interpreter sees it.
    pub fn connchan_version(&self, kind: Kind) -> Result<String> {
        let tclsh = self.tclsh(kind).ok_or("no interpreter")?;
        ask(&tclsh.program, Some(&self.library_path), "puts [package require ns_connchan]")
    }

    /// The version of tcl-tls, when this interpreter has it.
    pub fn tcl_tls_version(&self, kind: Kind) -> Option<String> {
        ask(&self.tclsh(kind)?.program, None, "puts [package require tls]").ok()
    }

    fn script(&self, kind: Kind, transport: Transport) -> Option<PathBuf> {
        let script = match (kind, transport) {
            (Kind::Bare | Kind::Bare90, _) | (Kind::Nginx, Transport::Files { .. }) => return None,
            (_, Transport::Files { .. }) => "benches/files.tcl",
            (Kind::Python, _) => "benches/websockets-peer.py",
            (Kind::Nginx, _) => "benches/nginx-hello",
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::HttpOnce) => "benches/tcllib-httpd.tcl",
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::Http | Transport::Https) => {
                "benches/fileevent-http.tcl"
            }
            (_, Transport::Http | Transport::Https | Transport::HttpOnce)
            | (Kind::Threads86 | Kind::Threads90, _) => "benches/http-hello.tcl",
            (Kind::Connchan86 | Kind::Connchan90, Transport::WebSocket) => "examples/ws-echo.tcl",
            (Kind::Connchan86 | Kind::Connchan90, Transport::Broadcast) => "benches/ws-broadcast.tcl",
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::WebSocket | Transport::Broadcast) => {
                "benches/tcllib-ws-echo.tcl"
            }
            (Kind::Connchan86 | Kind::Connchan90, Transport::Plain) => "examples/echo.tcl",
            (Kind::Connchan86 | Kind::Connchan90, Transport::Tls) => "examples/tls-echo.tcl",
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::Plain) => "benches/fileevent-echo.tcl",
            (Kind::Fileevent86 | Kind::Fileevent90, Transport::Tls) => "benches/tls-fileevent-echo.tcl",
        };
        Some(self.root.join(script))
    }

    /// What a script of the project prints in an interpreter.
    pub fn run_script(&self, kind: Kind, script: &str, argument: &str) -> Result<String> {
        let tclsh = self.tclsh(kind).ok_or("no interpreter")?;
        let mut command = Command::new(&tclsh.program);
        command.arg(self.root.join(script)).arg(argument).env("TCLLIBPATH", &self.library_path);
        sys::tie_to_us(&mut command, &self.server_cpus);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_string().into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command that starts a server on this port.
    pub fn command(&self, kind: Kind, transport: Transport, port: u16) -> Result<Command> {
        if let Transport::Files { tls, cache } = transport {
            return self.files_command(kind, port, tls, cache);
        }
        let mut command = match (self.tclsh(kind), self.script(kind, transport)) {
            (Some(tclsh), Some(script)) => {
                let mut command = Command::new(&tclsh.program);
                command.arg(script).env("TCLLIBPATH", &self.library_path);
                command
            }
            (None, Some(script)) if kind == Kind::Nginx => Command::new(script),
            (None, Some(script)) => {
                let mut command = Command::new(self.python.as_ref().ok_or("no interpreter")?);
                command.arg(script);
                command
            }
            _ => {
                let mut command = self.bare(kind).ok_or("no such libraries")?;
                command.arg(match transport {
                    Transport::Plain | Transport::Tls => "bare-echo",
                    Transport::Http | Transport::Https | Transport::HttpOnce => "bare-http",
                    Transport::WebSocket => "bare-ws",
                    Transport::Broadcast | Transport::Files { .. } => "bare-send",
                });
                command
            }
        };
        command.arg(port.to_string());
        if matches!(transport, Transport::Tls | Transport::Https) {
            command.args(self.certificate.as_ref().ok_or("no certificate")?.paths());
        }
        if matches!(kind, Kind::Threads86 | Kind::Threads90) {
            command.arg("2");
        }
        Ok(command)
    }
}

impl Install {
    /// The command of a server of files.
    fn files_command(&self, kind: Kind, port: u16, tls: bool, cache: bool) -> Result<Command> {
        let pages = self.pages.as_ref().ok_or("no files")?;
        let certificate = self.certificate.as_ref().filter(|_| tls).map(Files::paths);
        if kind == Kind::Nginx {
            return pages.nginx(self.nginx.as_ref().ok_or("no nginx")?, port, certificate);
        }
        let tclsh = self.tclsh(kind).ok_or("no interpreter")?;
        let script = self.script(kind, Transport::Files { tls, cache }).ok_or("no script")?;
        let mut command = Command::new(&tclsh.program);
        command.arg(script).env("TCLLIBPATH", &self.library_path).arg(port.to_string());
        command.arg(pages.folder()).arg(cache.to_string());
        command.args(certificate.into_iter().flatten());
        Ok(command)
    }
}

fn find_nginx() -> Option<PathBuf> {
    let names = ["nginx", "/usr/sbin/nginx"];
    names.into_iter().find(|name| Command::new(name).arg("-v").output().is_ok()).map(PathBuf::from)
}

impl Tclsh {
    /// The interpreter that the environment variable names, or the one of this name on the PATH; only when it
    /// runs and has the version.
    fn find(variable: &str, name: &str, version_prefix: &str) -> Option<Tclsh> {
        let program =
            PathBuf::from(env::var_os(variable).filter(|value| !value.is_empty()).unwrap_or(name.into()));
        let version = ask(&program, None, "puts [info patchlevel]").ok()?;
        version.starts_with(version_prefix).then_some(Tclsh { program, version })
    }
}

/// The load generator gets the last processor for itself, the servers the others. Left to itself, the kernel
/// puts both now on one and now on two processors, and the figures are then of two kinds that cannot be
/// compared.
fn share_cpus(mut cpus: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
    match cpus.pop() {
        Some(last) if !cpus.is_empty() => (cpus, vec![last]),
        _ => (Vec::new(), Vec::new()),
    }
}

/// TCLLIBPATH as it is, or the folder of this program, where cargo puts the library and its index.
fn library_path() -> OsString {
    if let Some(path) = env::var_os("TCLLIBPATH").filter(|path| !path.is_empty()) {
        return path;
    }
    let program = env::current_exe().unwrap_or_default();
    let folder = program.parent().unwrap_or(Path::new("."));
    format!("{{{}}}", folder.display()).into()
}

/// Runs a program to its end; what it wrote to stderr is the error.
fn run(program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.trim().lines().last().unwrap_or("it failed").to_string().into())
}

/// The file of this name, in what `/proc` says about the memory of a process.
fn mapped<'a>(maps: &'a str, name: &str) -> Option<&'a str> {
    let is_it = |path: &&str| path.rsplit('/').next().is_some_and(|file| file.starts_with(name));
    maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(is_it)
}

/// `OpenSSL 3.0.19` of a longer text.
fn short_version(version: &str) -> String {
    version.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// What a script prints.
fn ask(tclsh: &Path, library_path: Option<&OsString>, script: &str) -> Result<String> {
    let mut command = Command::new(tclsh);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(path) = library_path {
        command.env("TCLLIBPATH", path);
    }
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", tclsh.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        std::io::Write::write_all(&mut stdin, script.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_string();
    if line.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_string().into());
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_in_memory() {
        let maps = "7f00-7f01 r--p 00000000 08:01 77  /usr/lib/libcrypto.so.3\n\
                    7f02-7f03 rw-p 00000000 00:00 0\n\
                    7f04-7f05 r--p 00000000 08:01 78  /lib/ld-linux-x86-64.so.2\n";
        assert_eq!(mapped(maps, "libcrypto.so"), Some("/usr/lib/libcrypto.so.3"));
        assert_eq!(mapped(maps, "ld-linux"), Some("/lib/ld-linux-x86-64.so.2"));
        assert_eq!(mapped(maps, "libssl.so"), None);
    }

    #[test]
    fn processors_are_shared_where_there_are_two() {
        assert_eq!(share_cpus(vec![0, 1, 3]), (vec![0, 1], vec![3]));
        assert_eq!(share_cpus(vec![5]), (vec![], vec![]));
        assert_eq!(share_cpus(vec![]), (vec![], vec![]));
    }
}
