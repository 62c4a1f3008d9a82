//! Media types by file name, as the reference guesses them (spec/http.md 3.15).

/// What an unknown extension stands for.
pub const UNKNOWN: &str = "*/*";

/// The extension of a file name in a path, with its dot: from the last dot
/// after the last slash on.
pub fn extension(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').map(|dot| &name[dot..])
}

/// The type of a built-in extension (with its dot, in any case).
pub fn of_extension(extension: &str) -> Option<&'static str> {
    let name = extension.strip_prefix('.')?;
    let mut folded = [0u8; 16];
    let folded = folded.get_mut(..name.len())?;
    folded.copy_from_slice(name.as_bytes());
    folded.make_ascii_lowercase();
    let index = TYPES.binary_search_by(|(known, _)| known.as_bytes().cmp(folded)).ok()?;
    Some(TYPES[index].1)
}

/// Extensions in alphabetical order. Where the reference's word differs from
/// the registered one it is the reference's, but for types that browsers refuse
/// to use under another name (wasm, webmanifest) and YAML.
const TYPES: &[(&str, &str)] = &[
    ("3g2", "video/3gpp2"),
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("adp", "text/html"),
    ("aif", "audio/aiff"),
    ("aiff", "audio/aiff"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("asc", "text/plain"),
    ("atom", "application/atom+xml"),
    ("au", "audio/basic"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bin", "application/x-macbinary"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain"),
    ("cc", "text/plain"),
    ("cer", "application/pkix-cert"),
    ("class", "application/java-vm"),
    ("conf", "text/plain"),
    ("cpp", "text/plain"),
    ("crl", "application/pkix-crl"),
    ("crt", "application/x-x509-ca-cert"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("deb", "application/vnd.debian.binary-package"),
    ("def", "text/plain"),
    ("der", "application/x-x509-ca-cert"),
    ("diff", "text/plain"),
    ("djvu", "image/vnd.djvu"),
    ("doc", "application/msword"),
    ("docm", "application/vnd.ms-word.document.macroEnabled.12"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("dot", "application/msword"),
    ("dotx", "application/vnd.openxmlformats-officedocument.wordprocessingml.template"),
    ("dtd", "application/xml-dtd"),
    ("dvi", "application/x-dvi"),
    ("dwg", "image/vnd.dwg"),
    ("dxf", "image/vnd.dxf"),
    ("eml", "message/rfc822"),
    ("eps", "application/postscript"),
    ("epub", "application/epub+zip"),
    ("es", "application/ecmascript"),
    ("exe", "application/vnd.microsoft.portable-executable"),
    ("f4v", "video/mp4"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("gpx", "application/gpx+xml"),
    ("gz", "application/gzip"),
    ("h", "text/plain"),
    ("h264", "video/H264"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("hpp", "text/plain"),
    ("htc", "text/x-component"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ical", "text/calendar"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar"),
    ("jar", "application/java-archive"),
    ("java", "text/plain"),
    ("jpe", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("key", "application/vnd.apple.keynote"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("latex", "application/x-latex"),
    ("log", "text/plain"),
    ("m1v", "video/mpeg"),
    ("m2v", "video/mpeg"),
    ("m3u", "audio/x-mpegurl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/x-m4v"),
    ("map", "application/x-navimap"),
    ("markdown", "text/markdown"),
    ("mathml", "application/mathml+xml"),
    ("md", "text/markdown"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript"),
    ("mkv", "video/x-matroska"),
    ("mml", "application/mathml+xml"),
    ("mov", "video/quicktime"),
    ("mp2", "audio/mpeg"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpe", "video/mpeg"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("mpga", "audio/mpeg"),
    ("odg", "application/vnd.oasis.opendocument.graphics"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("ogx", "application/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("p12", "application/x-pkcs12"),
    ("p7c", "application/pkcs7-mime"),
    ("p7m", "application/pkcs7-mime"),
    ("p7s", "application/pkcs7-signature"),
    ("pbm", "image/x-portable-bitmap"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-x509-ca-cert"),
    ("pgm", "image/x-portable-graymap"),
    ("pgp", "application/pgp-encrypted"),
    ("png", "image/png"),
    ("pnm", "image/x-portable-anymap"),
    ("pot", "application/vnd.ms-powerpoint"),
    ("ppm", "image/x-portable-pixmap"),
    ("pps", "application/vnd.ms-powerpoint"),
    ("ppsx", "application/vnd.openxmlformats-officedocument.presentationml.slideshow"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("ps", "application/postscript"),
    ("py", "text/x-script.python"),
    ("qt", "video/quicktime"),
    ("rar", "application/vnd.rar"),
    ("rdf", "application/rdf+xml"),
    ("rng", "application/xml"),
    ("rss", "application/rss+xml"),
    ("rtf", "text/rtf"),
    ("rtx", "text/richtext"),
    ("sgm", "text/sgml"),
    ("sgml", "text/sgml"),
    ("sh", "application/x-sh"),
    ("sig", "application/pgp-signature"),
    ("snd", "audio/basic"),
    ("sql", "application/sql"),
    ("srt", "text/plain"),
    ("step", "model/step"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("svgz", "image/svg+xml"),
    ("swf", "application/vnd.adobe.flash.movie"),
    ("tar", "application/x-tar"),
    ("tcl", "text/plain"),
    ("tex", "application/x-tex"),
    ("text", "text/plain"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("torrent", "application/x-bittorrent"),
    ("ts", "video/MP2T"),
    ("tsv", "text/tab-separated-values"),
    ("ttf", "font/ttf"),
    ("ttl", "text/turtle"),
    ("txt", "text/plain"),
    ("vcard", "text/vcard"),
    ("vcf", "text/vcard"),
    ("vtt", "text/vtt"),
    ("wasm", "application/wasm"),
    ("wav", "audio/l16"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("wmv", "video/x-ms-wmv"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xbm", "image/x-xbitmap"),
    ("xht", "application/xhtml+xml"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsm", "application/vnd.ms-excel.sheet.macroEnabled.12"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "text/xml"),
    ("xpm", "image/x-xpixmap"),
    ("xsd", "text/xml"),
    ("xsl", "text/xml"),
    ("xslt", "application/xslt+xml"),
    ("xul", "application/vnd.mozilla.xul+xml"),
    ("xwd", "image/x-xwindowdump"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("z", "application/x-compress"),
    ("zip", "application/zip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_searched() {
        let mut sorted: Vec<_> = TYPES.to_vec();
        sorted.sort();
        assert!(TYPES.windows(2).all(|pair| pair[0].0 < pair[1].0), "{sorted:?}");
        for (name, media_type) in TYPES {
            assert_eq!(of_extension(&format!(".{}", name.to_uppercase())), Some(*media_type));
        }
    }

    #[test]
    fn extensions() {
        for (path, expected) in [
            ("a.txt", Some(".txt")),
            ("/x.y/a.tar.GZ", Some(".GZ")),
            ("/x.y/a", None),
            ("x.", Some(".")),
            (".profile", Some(".profile")),
            ("", None),
        ] {
            assert_eq!(extension(path), expected, "{path}");
        }
    }

    #[test]
    fn unknown_ones() {
        for name in [".", ".br", ".xz", ".eot", ".toml", ".iso", "txt", ".averyveryverylongone", ".ä"] {
            assert_eq!(of_extension(name), None, "{name}");
        }
    }
}
