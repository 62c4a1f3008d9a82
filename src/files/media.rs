//! The media type of a file: what the configuration says, else the table.

use super::Settings;
use crate::http::media_type::{extension, of_extension, UNKNOWN};

/// The section of the configuration: parameters `.ext`, `noextension` and
/// `default`.
pub const SECTION: &str = "ns/mimetypes";

/// The type of the file called `path`.
pub fn type_of<'a>(settings: &'a Settings, path: &str) -> &'a str {
    let configured = |key: &str| {
        let found = settings.types.iter().find(|(own, _)| own.eq_ignore_ascii_case(key));
        found.map(|(_, media_type)| media_type.as_str())
    };
    let known = match extension(path) {
        None => configured("noextension"),
        Some(extension) => configured(extension).or_else(|| of_extension(extension)),
    };
    known.or_else(|| configured("default")).unwrap_or(UNKNOWN)
}
