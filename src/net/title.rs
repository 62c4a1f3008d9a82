//! The text that `ps` shows of this process: the last of its arguments can be
//! overwritten.

use std::sync::Mutex;

/// An argument of this process that serves as a board.
pub struct Title {
    start: usize,
    length: usize,
}

/// What stands behind a text that was cut.
const CUT: &[u8] = b" ...}";

/// There is one such argument, and one who writes it.
static WRITING: Mutex<()> = Mutex::new(());

impl Title {
    /// The last argument, if it consists of at least `least` blanks.
    pub fn find(least: usize) -> Option<Title> {
        // Where the kernel says that the arguments are: fields 48 and 49,
        // counted behind the name, which may contain anything but ends in `)`.
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let (start, end): (usize, usize) = (fields.get(45)?.parse().ok()?, fields.get(46)?.parse().ok()?);
        let arguments = std::fs::read("/proc/self/cmdline").ok()?;
        if end.checked_sub(start)? != arguments.len() {
            return None;
        }
        let body = arguments.strip_suffix(b"\0")?;
        let offset = body.iter().rposition(|b| *b == 0)? + 1;
        let last = &body[offset..];
        (last.len() >= least && last.iter().all(|b| *b == b' '))
            .then_some(Title { start: start + offset, length: last.len() })
    }

    /// Shows `{text}`, cut to the room that there is, at the boundary of a
    /// character.
    pub fn show(&self, text: &[u8]) {
        self.write(&fit(text, self.length));
    }

    /// Shows nothing.
    pub fn clear(&self) {
        self.write(&[]);
    }

    fn write(&self, text: &[u8]) {
        let _writing = WRITING.lock();
        // SAFETY: the bytes lie in the arguments of the process, which are
        // mapped and writable for as long as it lives; nobody holds a
        // reference to them.
        unsafe {
            let start = self.start as *mut u8;
            let shown = text.len().min(self.length);
            std::ptr::copy_nonoverlapping(text.as_ptr(), start, shown);
            std::ptr::write_bytes(start.add(shown), b' ', self.length - shown);
        }
    }
}

/// `{text}`, or as much of it as there is room for. Line ends become blanks.
fn fit(text: &[u8], room: usize) -> Vec<u8> {
    let mut shown = vec![b'{'];
    if text.len() + 2 <= room {
        shown.extend_from_slice(text);
        shown.push(b'}');
    } else {
        let mut end = room.saturating_sub(CUT.len() + 1).min(text.len());
        while end > 0 && text[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        shown.extend_from_slice(&text[..end]);
        shown.extend_from_slice(CUT);
    }
    for byte in &mut shown {
        if matches!(*byte, b'\n' | b'\r' | b'\t' | 0) {
            *byte = b' ';
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_whole_or_cut_at_a_character() {
        assert_eq!(fit(b"expr 1+1", 99), b"{expr 1+1}");
        assert_eq!(fit(b"12345678", 10), b"{12345678}");
        assert_eq!(fit(b"123456789", 10), b"{1234 ...}");
        assert_eq!(fit("123ää678".as_bytes(), 10), b"{123 ...}".to_vec());
        assert_eq!(fit(b"a\nb\tc", 99), b"{a b c}");
    }

    #[test]
    fn arguments_that_are_no_board_are_left_alone() {
        assert!(Title::find(20).is_none());
    }
}
