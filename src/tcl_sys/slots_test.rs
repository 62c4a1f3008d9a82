//! The slot numbers of `tcl_sys` against Tcl's own headers, wherever those are
//! installed (package tcl8.6-dev, tcl9.0-dev; TCL_INCLUDES names further
//! folders, separated by colons).

use super::SLOTS;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Names that changed between the versions: ours is the newer one.
const RENAMED_SINCE_8: &[(&str, &str)] = &[("Tcl_GetParent", "Tcl_GetMaster")];

/// Function name to slot number, from the struct of `tclDecls.h`: lines such
/// as `int (*tcl_Eval) (Tcl_Interp *interp, ...); /* 129 */`.
fn declared(header: &str) -> HashMap<String, usize> {
    let mut slots = HashMap::new();
    for line in header.lines() {
        let Some((_, rest)) = line.split_once("(*") else { continue };
        let (Some((name, _)), Some((_, number))) = (rest.split_once(')'), rest.rsplit_once("/* ")) else {
            continue;
        };
        if let Ok(number) = number.trim_end_matches("*/").trim().parse() {
            // Slots are named tcl_Eval or tclFreeObj, functions Tcl_Eval and TclFreeObj.
            let name = name.strip_prefix("tcl").map_or_else(|| name.to_owned(), |tail| format!("Tcl{tail}"));
            slots.insert(name, number);
        }
    }
    slots
}

fn headers() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        ["/usr/include/tcl8.6", "/usr/include/tcl9.0", "/usr/local/include"].map(PathBuf::from).into();
    if let Ok(more) = std::env::var("TCL_INCLUDES") {
        folders.extend(more.split(':').filter(|f| !f.is_empty()).map(PathBuf::from));
    }
    folders.into_iter().map(|f| f.join("tclDecls.h")).filter(|f| f.is_file()).collect()
}

/// 8 or 9, from the `tcl.h` beside the declarations.
fn major_of(declarations: &Path) -> u32 {
    let tcl_h =
        std::fs::read_to_string(declarations.with_file_name("tcl.h")).expect("tcl.h lies beside tclDecls.h");
    // 9.0's header can be compiled as 8 and tests for it: the last define counts.
    let defines =
        tcl_h.lines().filter_map(|l| l.trim_start().strip_prefix('#')?.trim_start().strip_prefix("define"));
    let mut majors =
        defines.filter_map(|l| l.trim_start().strip_prefix("TCL_MAJOR_VERSION")?.trim().parse().ok());
    majors.next_back().expect("tcl.h defines TCL_MAJOR_VERSION")
}

#[test]
fn slots_have_the_numbers_of_the_headers() {
    let headers = headers();
    if headers.is_empty() {
        println!("no tclDecls.h found: nothing compared");
    }
    for path in headers {
        let major = major_of(&path);
        let slots = declared(&std::fs::read_to_string(&path).expect("the header is readable"));
        assert!(slots.len() > 600, "{}: only {} slots understood", path.display(), slots.len());
        for (name, in8, in9) in SLOTS {
            let wanted = if major == 8 { in8 } else { in9 };
            let old = RENAMED_SINCE_8.iter().find(|(new, _)| major == 8 && new == name).map(|(_, old)| *old);
            let Some(wanted) = wanted else { continue };
            assert_eq!(slots.get(old.unwrap_or(name)), Some(wanted), "{name} in {}", path.display());
        }
    }
}
