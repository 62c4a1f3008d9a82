//! The files that the servers of files serve, and what nginx is told about them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::Result;

/// The folder, which is gone when this is dropped.
pub struct Pages {
    folder: PathBuf,
}

impl Pages {
    /// Makes the files: 1 KiB, 100 KiB and 100 MiB that cannot be compressed, and a page with its compressed sibling.
    pub fn make() -> Result<Pages> {
        let folder = std::env::temp_dir().join(format!("ns_connchan-bench-{}", std::process::id()));
        let pages = Pages { folder: folder.clone() };
        fs::create_dir_all(folder.join("pages"))?;
        let mut state = 1_u64;
        let mut noise = |length: usize| -> Vec<u8> {
            let byte = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            });
            byte.take(length).collect()
        };
        let block = noise(1 << 20);
        pages.put("1k.bin", &[&block[..1024]])?;
        pages.put("100k.bin", &[&block[..100 << 10]])?;
        pages.put("100m.bin", &vec![&block[..]; 100])?;
        pages.put("page.html", &vec![&b"<p>The quick brown fox jumps over the lazy dog.</p>\n"[..]; 2000])?;
        pages.put("page.html.gz", &[&block[..20 << 10]])?;
        Ok(pages)
    }

    fn put(&self, name: &str, parts: &[&[u8]]) -> Result<()> {
        let mut file = File::create(self.folder().join(name))?;
        for part in parts {
            file.write_all(part)?;
        }
        // Files that have just been changed are not kept in memory.
        let then = SystemTime::now() - Duration::from_secs(3600);
        Ok(file.set_modified(then)?)
    }

    /// Where they are.
    pub fn folder(&self) -> PathBuf {
        self.folder.join("pages")
    }

    /// An nginx with one worker that serves them on a port; with the certificate and key of https.
    pub fn nginx(&self, program: &Path, port: u16, tls: Option<[&Path; 2]>) -> Result<Command> {
        let work = self.folder.join(format!("nginx-{port}"));
        fs::create_dir_all(&work)?;
        let tls_words = if tls.is_some() { " ssl" } else { "" };
        let certificate = tls.map_or(String::new(), |[certificate, key]| {
            let (certificate, key) = (certificate.display(), key.display());
            format!("ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;")
        });
        let (pages, work_text) = (self.folder(), work.display());
        let settings = format!(
            "daemon off; master_process off; worker_processes 1; pid {work_text}/pid; error_log {work_text}/error.log;
             events {{worker_connections 4096;}}
             http {{
                 access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; gzip_static on; gzip_vary on;
                 client_body_temp_path {work_text}/body; proxy_temp_path {work_text}/proxy;
                 fastcgi_temp_path {work_text}/fastcgi; uwsgi_temp_path {work_text}/uwsgi; scgi_temp_path {work_text}/scgi;
                 {certificate}
                 server {{listen 127.0.0.1:{port}{tls_words}; root {};}}
             }}",
            pages.display()
        );
        let file = work.join("nginx.conf");
        fs::write(&file, settings)?;
        // It does not say when it listens: the kernel's table does. The process keeps its number.
        let script = format!(
            "(until grep -q ':{port:04X} 00000000:0000 0A' /proc/net/tcp; do sleep 0.02; done; echo ready) & \
             exec \"$0\" -c \"$1\" -e \"$2\" -p \"$3\""
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(program).arg(&file).arg(work.join("error.log")).arg(&work);
        Ok(command)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // Left over, they are in nobody's way for long.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
