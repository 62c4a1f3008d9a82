//! Compressed messages: what comes in is inflated, in one piece and cut, within
//! the limit; and taken as a message, it comes back from deflating and
//! inflating. The first byte chooses the settings.
#![no_main]

use fuzz::websocket::deflate::Deflater;
use fuzz::websocket::inflate::Inflater;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 50_000;

fuzz_target!(|input: &[u8]| {
    let [settings, bytes @ ..] = input else {
        return;
    };
    let (bits, takeover, level) = (8 + settings % 8, settings & 8 != 0, 1 + settings / 16 % 9);

    let run = |size: usize| {
        let (mut inflater, mut out) = (Inflater::new(bits, takeover), Vec::new());
        let result = bytes
            .chunks(size)
            .try_for_each(|piece| inflater.inflate(piece, false, &mut out, LIMIT))
            .and_then(|()| inflater.inflate(&[], true, &mut out, LIMIT));
        assert!(result.is_err() || out.len() <= LIMIT);
        assert!(out.capacity() <= 3 * LIMIT);
        result.is_ok().then_some(out)
    };
    assert!(run(usize::MAX) == run(1 + usize::from(*settings)));

    if bytes.is_empty() || bytes.len() > LIMIT {
        return;
    }
    let (mut deflater, mut inflater) = (Deflater::new(bits, takeover, level), Inflater::new(bits, takeover));
    for _ in 0..2 {
        let (mut deflated, mut out) = (Vec::new(), Vec::new());
        assert!(deflater.deflate(bytes, &mut deflated).is_ok());
        assert!(inflater.inflate(&deflated, true, &mut out, LIMIT).is_ok());
        assert!(out == bytes);
    }
});
