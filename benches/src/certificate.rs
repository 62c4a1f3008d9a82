//! The certificate of the TLS servers: self-signed, ECDSA with P-256, made anew for each run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509Name, X509};

use crate::Result;

/// A certificate and its key.
pub struct Certificate {
    /// For the name `localhost`.
    pub x509: X509,
    /// What it was signed with.
    pub private_key: PKey<Private>,
}

/// A certificate and its key as PEM files, which are gone when this is dropped.
pub struct Files {
    folder: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// A new one.
    pub fn make() -> Result<Certificate> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let private_key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut name = X509Name::builder()?;
        name.append_entry_by_text("CN", "localhost")?;
        let name = name.build();
        let mut serial = BigNum::new()?;
        serial.rand(64, MsbOption::ONE, false)?;
        let serial = serial.to_asn1_integer()?;
        let (begin, end) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(2)?);

        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_not_before(&begin)?;
        builder.set_not_after(&end)?;
        builder.set_pubkey(&private_key)?;
        let names =
            SubjectAlternativeName::new().dns("localhost").build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
        builder.sign(&private_key, MessageDigest::sha256())?;
        Ok(Certificate { x509: builder.build(), private_key })
    }
}

impl Files {
    /// A new certificate, in a folder of its own among the temporary ones.
    pub fn make() -> Result<Files> {
        let Certificate { x509, private_key } = Certificate::make()?;
        // The number of a process is given again, perhaps to one after a run that left its folder behind.
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let name = format!("ns_connchan-bench-{}-{since}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let failed = |error| format!("{}: {error}", folder.display());
        fs::create_dir(&folder).map_err(failed)?;
        let files = Files { certificate: folder.join("cert.pem"), key: folder.join("key.pem"), folder };
        fs::write(&files.certificate, x509.to_pem()?)?;
        fs::write(&files.key, private_key.private_key_to_pem_pkcs8()?)?;
        Ok(files)
    }

    /// The certificate and the key, as arguments of a server.
    pub fn paths(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed is left to those who clean up temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_belong_together_and_go() {
        let files = Files::make().unwrap();
        let [certificate, key] = files.paths().map(|path| fs::read(path).unwrap());
        let certificate = X509::from_pem(&certificate).unwrap();
        let key = PKey::private_key_from_pem(&key).unwrap();
        assert!(certificate.public_key().unwrap().public_eq(&key));
        assert!(certificate.verify(&key).unwrap());
        let folder = files.folder.clone();
        drop(files);
        assert!(!folder.exists());
    }
}
