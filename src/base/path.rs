//! Paths made plain.

/// A path from the root without empty segments, `.` and `..`; what would lead
/// above the root stays there.
pub fn normalize(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn paths() {
        for (path, normal) in [
            ("", "/"),
            ("/", "/"),
            ("a//b/./c", "/a/b/c"),
            ("/a/../b/", "/b"),
            ("../../etc", "/etc"),
            ("/a/b/../../../c", "/c"),
            ("...", "/..."),
        ] {
            assert_eq!(normalize(path), normal, "{path}");
        }
    }
}
