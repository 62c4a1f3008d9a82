//! Percent-encoding of paths (RFC 3986, section 2.1).

/// Appends a path, or part of one: what may stand in a path as it is stays, other bytes
/// are encoded in lower case, as the reference does. Slashes are kept.
pub fn encode_path(out: &mut String, path: &[u8]) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_is_encoded() {
        let mut out = String::from("http://h");
        encode_path(&mut out, "/a b/ä?#%\"<>;[]\\&'~".as_bytes());
        assert_eq!(out, "http://h/a%20b/%c3%a4%3f%23%25%22%3c%3e%3b%5b%5d%5c&'~");
    }
}
