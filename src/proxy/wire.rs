//! What travels between the processes, version 1.1 and 1.2. Bytes in, bytes
//! out; numbers are big-endian.
//!
//! ```text
//! request   u32 length of the rest    u32 length of the script
//!           u16 major = 1   u16 minor    the script
//! answer    u32 length of the rest    u32 completion code
//!           u32 length of errorCode   u32 length of errorInfo   u32 length of the result
//!           the three texts
//! ```
//!
//! Minor version 1: the script is text in Tcl's internal UTF-8. An empty one
//! only asks whether somebody is there; the answer is sixteen bytes of zero
//! behind the length. In the lengths of errorCode and errorInfo a NUL behind
//! each is counted; 0 says that there is none.
//!
//! Minor version 2 is for workers that are known to be ours: the script is a
//! command in words, so that a large value needs not be quoted on this side
//! and parsed on the other: u32 number of words, u32 length of each, the
//! words.
//!
//! Each request is answered once, in order, before the next one is sent.

use std::fmt;

/// Bytes before the script of a request.
pub const REQUEST_HEAD: usize = 12;
/// Bytes before the texts of an answer.
pub const ANSWER_HEAD: usize = 20;

/// The major version of all requests.
const MAJOR: u16 = 1;
/// A script as text.
const TEXT: u16 = 1;
/// A script in words.
const WORDS: u16 = 2;

/// The most words that go as such.
pub const MAX_WORDS: usize = 64;

/// What is behind the length in a request, before the script.
const REQUEST_REST: usize = REQUEST_HEAD - 4;
/// What is behind the length in an answer, before the texts.
const ANSWER_REST: usize = ANSWER_HEAD - 4;

/// A message whose length does not fit 32 bits.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// A message that does not mean anything.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message cannot be longer than 4 GiB")
    }
}

fn number(bytes: &[u8], index: usize) -> u32 {
    let at = index * 4;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn short(length: usize) -> Result<u32, TooLong> {
    u32::try_from(length).map_err(|_| TooLong)
}

/// What stands before a script of this length, or a command of these words.
pub fn request_head(script: &[&[u8]], in_words: bool) -> Result<Vec<u8>, TooLong> {
    let mut table = Vec::new();
    if in_words {
        table.extend_from_slice(&short(script.len())?.to_be_bytes());
        for word in script {
            table.extend_from_slice(&short(word.len())?.to_be_bytes());
        }
    }
    let length = script.iter().map(|part| part.len()).sum::<usize>() + table.len();
    let mut head = Vec::with_capacity(REQUEST_HEAD + table.len());
    head.extend_from_slice(&short(length + REQUEST_REST)?.to_be_bytes());
    head.extend_from_slice(&short(length)?.to_be_bytes());
    head.extend_from_slice(&MAJOR.to_be_bytes());
    head.extend_from_slice(&(if in_words { WORDS } else { TEXT }).to_be_bytes());
    head.extend_from_slice(&table);
    Ok(head)
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Request {
    /// Bytes of the script.
    pub length: usize,
    /// Whether it is in words.
    pub in_words: bool,
}

impl Request {
    /// Reads the head of a request.
    pub fn parse(head: &[u8; REQUEST_HEAD]) -> Result<Request, Malformed> {
        let (total, length) = (number(head, 0) as usize, number(head, 1) as usize);
        let major = u16::from_be_bytes([head[8], head[9]]);
        let minor = u16::from_be_bytes([head[10], head[11]]);
        if major != MAJOR || !matches!(minor, TEXT | WORDS) || total != length + REQUEST_REST {
            return Err(Malformed);
        }
        Ok(Request { length, in_words: minor == WORDS })
    }
}

/// Bytes of the table before the words, from its first four.
pub fn table_length(count: [u8; 4]) -> Result<usize, Malformed> {
    match u32::from_be_bytes(count) as usize {
        count if count <= MAX_WORDS => Ok(4 * (count + 1)),
        _ => Err(Malformed),
    }
}

/// The lengths of the words of a command, from the table before them; they
/// make up the rest of a script of `length` bytes.
pub fn word_lengths(table: &[u8], length: usize) -> Result<Vec<usize>, Malformed> {
    let lengths: Vec<usize> = (1..table.len() / 4).map(|index| number(table, index) as usize).collect();
    if table.len() + lengths.iter().sum::<usize>() == length {
        Ok(lengths)
    } else {
        Err(Malformed)
    }
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Answer {
    /// The completion code.
    pub code: i32,
    /// Bytes of errorCode, its NUL included.
    pub error_code: usize,
    /// Bytes of errorInfo, its NUL included.
    pub error_info: usize,
    /// Bytes of the result.
    pub result: usize,
}

impl Answer {
    /// Reads the head of an answer.
    pub fn parse(head: &[u8; ANSWER_HEAD]) -> Result<Answer, Malformed> {
        let answer = Answer {
            code: number(head, 1) as i32,
            error_code: number(head, 2) as usize,
            error_info: number(head, 3) as usize,
            result: number(head, 4) as usize,
        };
        if answer.body() + ANSWER_REST == number(head, 0) as usize {
            Ok(answer)
        } else {
            Err(Malformed)
        }
    }

    /// Bytes behind the head.
    pub fn body(&self) -> usize {
        self.error_code + self.error_info + self.result
    }

    /// The head for texts of these lengths.
    pub fn head(&self) -> Result<[u8; ANSWER_HEAD], TooLong> {
        let mut head = [0; ANSWER_HEAD];
        let numbers = [
            short(self.body() + ANSWER_REST)?,
            self.code as u32,
            short(self.error_code)?,
            short(self.error_info)?,
            short(self.result)?,
        ];
        for (place, number) in head.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_request(head: &[u8]) -> Result<Request, Malformed> {
        Request::parse(head[..REQUEST_HEAD].try_into().unwrap())
    }

    #[test]
    fn a_script_as_text() {
        let head = request_head(&[b"expr 1+1"], false).unwrap();
        assert_eq!(head, [0, 0, 0, 16, 0, 0, 0, 8, 0, 1, 0, 1]);
        assert_eq!(parse_request(&head), Ok(Request { length: 8, in_words: false }));
        assert_eq!(request_head(&[b""], false).unwrap(), [0, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0, 1]);
    }

    #[test]
    fn a_command_in_words() {
        let parts: [&[u8]; 3] = [b"string", b"", b"a b"];
        let mut message = request_head(&parts, true).unwrap();
        for part in parts {
            message.extend_from_slice(part);
        }
        let request = parse_request(&message).unwrap();
        assert!(request.in_words);
        assert_eq!(message.len(), REQUEST_HEAD + request.length);
        let table = table_length([0, 0, 0, 3]).unwrap();
        let script = &message[REQUEST_HEAD..];
        assert_eq!(script[..4], [0, 0, 0, 3]);
        assert_eq!(word_lengths(&script[..table], request.length), Ok(vec![6, 0, 3]));
        assert_eq!(&script[table..], b"stringa b");
    }

    #[test]
    fn malformed_requests_are_refused() {
        let good = request_head(&[b"abc"], false).unwrap();
        for (index, byte) in [(3, 0), (7, 4), (9, 2), (9, 0), (11, 3), (11, 0)] {
            let mut bad = good.clone();
            bad[index] = byte;
            assert_eq!(parse_request(&bad), Err(Malformed), "{index}");
        }
        assert_eq!(table_length([0, 0, 0, 65]), Err(Malformed));
        assert_eq!(table_length([0xff; 4]), Err(Malformed));
        assert_eq!(table_length([0; 4]), Ok(4));
        assert_eq!(word_lengths(&[0, 0, 0, 0], 4), Ok(vec![]));
        assert_eq!(word_lengths(&[0, 0, 0, 1, 0, 0, 0, 4], 11), Err(Malformed));
        assert_eq!(word_lengths(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], 11), Err(Malformed));
    }

    #[test]
    fn answers() {
        let answer = Answer { code: 1, error_code: 5, error_info: 0, result: 3 };
        let head = answer.head().unwrap();
        assert_eq!(head, [0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(Answer::parse(&head), Ok(answer));
        let mut zero = [0; ANSWER_HEAD];
        assert_eq!(Answer::parse(&zero), Err(Malformed));
        zero[3] = 16;
        assert_eq!(Answer::parse(&zero), Ok(Answer { code: 0, error_code: 0, error_info: 0, result: 0 }));
        assert_eq!(Answer::parse(&[0xff; ANSWER_HEAD]), Err(Malformed));
        assert_eq!(Answer::parse(b"HTTP/1.1 200 OK\r\nContent"[..20].try_into().unwrap()), Err(Malformed));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let answer = Answer { code: 0, error_code: 0, error_info: 0, result: u32::MAX as usize };
        assert_eq!(answer.head(), Err(TooLong));
    }
}
