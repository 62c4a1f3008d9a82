//! Writes `pkgIndex.tcl` beside the library that cargo builds, so that the
//! target folder works in TCLLIBPATH, and refuses machines on which the one
//! layout of `tcl_sys` would be wrong.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=pkgIndex.tcl.in");
    println!("cargo:rerun-if-changed=tcl");
    let endian = env::var("CARGO_CFG_TARGET_ENDIAN").unwrap_or_default();
    let width = env::var("CARGO_CFG_TARGET_POINTER_WIDTH").unwrap_or_default();
    assert!(
        endian == "little" && width == "64",
        "ns_connchan needs a 64-bit little-endian machine: src/tcl_sys relies on it"
    );

    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets CARGO_PKG_VERSION");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // OUT_DIR is <target>/<profile>/build/<package>-<hash>/out.
    let profile = out.ancestors().nth(3).expect("OUT_DIR has the depth that cargo gives it");
    let template = fs::read_to_string("pkgIndex.tcl.in").expect("pkgIndex.tcl.in is readable");
    fs::write(profile.join("pkgIndex.tcl"), template.replace("@VERSION@", &version))
        .unwrap_or_else(|e| panic!("{}: {e}", profile.display()));
    copy_scripts(Path::new("tcl"), profile);
    // The same library under the name by which `load` finds `Nsproxy_Init`.
    let link = profile.join("libnsproxy.so");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink("libns_connchan.so", &link)
        .unwrap_or_else(|e| panic!("{}: {e}", link.display()));
}

/// Copies the Tcl scripts of the package beside the library.
fn copy_scripts(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "tcl") {
            fs::copy(&path, to.join(entry.file_name())).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}
