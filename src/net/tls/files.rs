//! Certificates and keys in PEM files, and what a file looked like when it was
//! read, so that a changed one is noticed.

use super::failure::{first_line, system_line};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::x509::{X509NameEntryRef, X509Ref, X509};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Identity, size and time of a file. Differs when the file was written anew
/// or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Stamp(Option<(u64, u64, u64, i64, i64, i64, i64)>);

impl Stamp {
    /// The stamp of what is at `path` now; one of its own when nothing is.
    pub(super) fn of(path: &str) -> Stamp {
        Stamp(
            fs::metadata(path)
                .ok()
                .map(|m| (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec())),
        )
    }
}

/// The larger of what a PEM file may be, in bytes: a bundle of all public
/// certificate authorities has about 250,000.
const MAX_FILE: u64 = 16 << 20;

fn read(path: &str) -> Result<Vec<u8>, String> {
    let os = |e: std::io::Error| system_line(e.raw_os_error().unwrap_or(libc::EIO));
    if fs::metadata(path).map_err(os)?.len() > MAX_FILE {
        return Err(system_line(libc::EFBIG));
    }
    fs::read(path).map_err(os)
}

/// The certificates of a file, in their order; at least one. The error is a
/// line as OpenSSL writes it.
pub(super) fn certificates(path: &str) -> Result<Vec<X509>, String> {
    let found = X509::stack_from_pem(&read(path)?).map_err(|e| first_line(&e))?;
    if found.is_empty() {
        return Err("error:0480006C:PEM routines::no start line".to_owned());
    }
    Ok(found)
}

/// The private key of a file. An encrypted one is an error: there is nobody to
/// ask for the passphrase.
pub(super) fn key(path: &str) -> Result<PKey<Private>, String> {
    let mut asked = false;
    let read_key = PKey::private_key_from_pem_callback(&read(path)?, |_| {
        asked = true;
        Err(ErrorStack::get())
    });
    match read_key {
        Ok(key) => Ok(key),
        Err(_) if asked => {
            Err("error:0480006A:PEM routines::bad password read (the key is encrypted)".to_owned())
        }
        Err(stack) => Err(first_line(&stack)),
    }
}

/// Puts a certificate with its chain, and its key, into a context. Without a
/// file of its own the key is in that of the certificate. Returns the
/// certificate itself. The error is a message for the script
/// (spec/ns_connchan.md 7.4).
pub(super) fn identity(
    builder: &mut SslContextBuilder,
    certificate: &str,
    key_file: Option<&str>,
    chain: Option<&str>,
) -> Result<X509, String> {
    let wrong = |tail: String| format!("certificate '{certificate}' load error: {tail}");
    let mut all = certificates(certificate).map_err(wrong)?.into_iter();
    let leaf = all.next().ok_or_else(|| wrong(String::new()))?;
    builder.set_certificate(&leaf).map_err(|e| wrong(first_line(&e)))?;
    let more = match chain {
        Some(file) => {
            certificates(file).map_err(|tail| format!("certificate chain '{file}' load error: {tail}"))?
        }
        None => Vec::new(),
    };
    for issuer in all.chain(more) {
        builder.add_extra_chain_cert(issuer).map_err(|e| wrong(first_line(&e)))?;
    }
    let file = key_file.unwrap_or(certificate);
    let wrong = |tail: String| format!("private key '{file}' load error: {tail}");
    let private = key(file).map_err(wrong)?;
    builder.set_private_key(&private).map_err(|e| wrong(first_line(&e)))?;
    builder.check_private_key().map_err(|e| wrong(first_line(&e)))?;
    Ok(leaf)
}

/// Adds what is trusted: certificates in a file, and in a hashed directory.
/// The misspelling is the reference's.
pub(super) fn trust(
    builder: &mut SslContextBuilder,
    file: Option<&str>,
    directory: Option<&str>,
) -> Result<(), String> {
    if file.is_none() && directory.is_none() {
        return Ok(());
    }
    let wrong = |tail: String| {
        format!(
            "cannot load cerfificates from CAfile {} and CApath {}: {tail}",
            file.unwrap_or_default(),
            directory.unwrap_or_default()
        )
    };
    // Read here as well: OpenSSL takes a directory or an empty file for
    // nothing, and says so of a missing directory never.
    if let Some(file) = file {
        certificates(file).map_err(wrong)?;
    }
    if let Some(directory) = directory {
        fs::read_dir(directory).map_err(|e| wrong(system_line(e.raw_os_error().unwrap_or(libc::EIO))))?;
    }
    builder
        .load_verify_locations(file.map(str::as_ref), directory.map(str::as_ref))
        .map_err(|e| wrong(first_line(&e)))
}

/// The host names that a certificate is for, in lower case: its alternative
/// names or, where it has none, its common name.
pub(super) fn host_names(certificate: &X509Ref) -> Vec<String> {
    let mut names: Vec<String> = certificate
        .subject_alt_names()
        .iter()
        .flatten()
        .filter_map(|name| name.dnsname().map(str::to_ascii_lowercase))
        .collect();
    if names.is_empty() {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        names.extend(common.filter_map(|e| e.data().to_string().ok()).map(|name| name.to_ascii_lowercase()));
    }
    names
}

/// The subject of a certificate in the form of RFC 2253: the last part first.
pub(super) fn subject(certificate: &X509Ref) -> String {
    let mut parts: Vec<String> = certificate.subject_name().entries().map(part).collect();
    parts.reverse();
    parts.join(",")
}

fn part(entry: &X509NameEntryRef) -> String {
    let name = entry.object().nid().short_name().map_or_else(|_| entry.object().to_string(), str::to_owned);
    let value = entry.data().to_string().unwrap_or_default();
    format!("{name}={}", escaped(&value))
}

/// RFC 2253, section 2.4: special characters get a backslash; control
/// characters, which a peer might put there, two hexadecimal digits as well.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        if c.is_control() {
            let mut bytes = [0; 4];
            text.extend(c.encode_utf8(&mut bytes).bytes().map(|b| format!("\\{b:02X}")));
            continue;
        }
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        let at_edge = index == 0 && matches!(c, ' ' | '#') || index == last && c == ' ';
        if special || at_edge {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_cannot_be_faked_by_their_values() {
        assert_eq!(escaped("a,CN=b"), "a\\,CN=b");
        assert_eq!(escaped(" #x "), "\\ #x\\ ");
        assert_eq!(escaped("#x"), "\\#x");
        assert_eq!(escaped("a\nb"), "a\\0Ab");
        assert_eq!(escaped(""), "");
    }

    #[test]
    fn missing_files_are_told_as_openssl_does() {
        let tail = "error:80000002:system library::No such file or directory";
        assert_eq!(certificates("/nonexistent/x").err().as_deref(), Some(tail));
        assert_eq!(key("/nonexistent/x").err().as_deref(), Some(tail));
    }
}
