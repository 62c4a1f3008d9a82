//! UTF-8, checked as it arrives: in pieces cut anywhere, and refused at the
//! first byte that no valid text can have there.

/// What a check remembers between two pieces: an unfinished character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utf8 {
    /// Bytes that are still to come.
    missing: u8,
    /// The range of the next one. Only the second byte of a character may have
    /// one that is narrower than 80..BF (overlong forms, surrogates, beyond
    /// U+10FFFF).
    lowest: u8,
    highest: u8,
}

/// The bytes are no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid;

impl Default for Utf8 {
    fn default() -> Utf8 {
        Utf8 { missing: 0, lowest: 0x80, highest: 0xbf }
    }
}

impl Utf8 {
    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// When a byte in it cannot follow those before.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Invalid> {
        let mut piece = piece;
        while self.missing > 0 {
            let Some((byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            self.step(*byte)?;
            piece = rest;
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => Ok(()),
            // Not an end in the midst of a character.
            Err(error) if error.error_len().is_some() => Err(Invalid),
            Err(error) => piece[error.valid_up_to()..].iter().try_for_each(|byte| self.step(*byte)),
        }
    }

    /// Whether the text may end here: not within a character.
    pub fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// One byte, by table 3-7 of the Unicode standard.
    fn step(&mut self, byte: u8) -> Result<(), Invalid> {
        if self.missing > 0 {
            if !(self.lowest..=self.highest).contains(&byte) {
                return Err(Invalid);
            }
            *self = Utf8 { missing: self.missing - 1, ..Utf8::default() };
            return Ok(());
        }
        let (missing, lowest, highest) = match byte {
            0x00..=0x7f => (0, 0x80, 0xbf),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return Err(Invalid),
        };
        *self = Utf8 { missing, lowest, highest };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index of the first byte that makes `text` impossible.
    fn fails_at(text: &[u8]) -> Option<usize> {
        (0..text.len())
            .find(|end| std::str::from_utf8(&text[..=*end]).is_err_and(|error| error.error_len().is_some()))
    }

    #[test]
    fn every_cut_gives_the_same_verdict() {
        let texts: [&[u8]; 12] = [
            "Grüße, κόσμε, 日本, 😀".as_bytes(),
            b"",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80\x65",
            b"a\xc0\xaf",
            b"a\xe0\x9f\xbf",
            b"a\xed\xa0\x80b",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x88\x80\x80\x80",
            b"\xff",
            b"\x80",
            b"abc\xe2\x82",
            "\u{ffff}\u{10ffff}\u{d7ff}\u{e000}\0".as_bytes(),
        ];
        for text in texts {
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let mut check = Utf8::default();
                    let pieces = [&text[..first], &text[first..second], &text[second..]];
                    let verdict = pieces.iter().try_for_each(|piece| check.push(piece));
                    assert_eq!(verdict.is_err(), fails_at(text).is_some(), "{text:x?}");
                    if verdict.is_ok() {
                        assert_eq!(check.is_whole(), std::str::from_utf8(text).is_ok(), "{text:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn all_short_sequences_fail_at_the_first_impossible_byte() {
        for first in 0x7e..=0xff_u8 {
            for second in [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff] {
                for third in [0x00, 0x7f, 0x80, 0xbf, 0xc0] {
                    let text = [first, second, third, 0x80];
                    let mut check = Utf8::default();
                    let failed = text.iter().position(|byte| check.push(&[*byte]).is_err());
                    assert_eq!(failed, fails_at(&text), "{text:x?}");
                }
            }
        }
    }

    #[test]
    fn an_impossible_second_byte_is_found_at_the_end_of_a_piece() {
        let mut check = Utf8::default();
        check.push(&[b'x'; 200]).expect("ASCII");
        assert_eq!(check.push(b"\xf4\x90"), Err(Invalid));
    }
}
