//! Bytes from a peer, in one piece and cut: no panic, limits kept, and the same
//! events either way. The first byte of the input chooses the settings, the
//! second the size of the pieces.
#![no_main]

use fuzz::websocket::extension::Params;
use fuzz::websocket::{Config, Decoder, Opcode, Role};
use libfuzzer_sys::fuzz_target;

const MAX_MESSAGE: usize = 100_000;

type Result = (Vec<(Opcode, Vec<u8>)>, bool);

fn decode(decoder: &mut Decoder, bytes: &[u8], piece: usize) -> Result {
    let (mut events, mut buffer) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            let ready = decoder.is_ready(&mut buffer);
            let Ok(step) = decoder.decode(&mut buffer) else {
                assert!(ready && decoder.decode(&mut []).is_err());
                return (events, true);
            };
            let used = step.used;
            assert!(used <= before && ready == (used > 0));
            if let Some(event) = step.event {
                assert!(event.payload().len() <= MAX_MESSAGE && used > 0);
                if event.opcode() == Opcode::Text {
                    assert!(std::str::from_utf8(event.payload()).is_ok());
                }
                events.push((event.opcode(), event.payload().to_vec()));
            }
            if used == 0 {
                break;
            }
            buffer.drain(..used);
            assert!(decoder.collected() <= MAX_MESSAGE);
        }
    }
    (events, false)
}

fuzz_target!(|input: &[u8]| {
    let [settings, size, bytes @ ..] = input else {
        return;
    };
    let role = [Role::Server, Role::Client, Role::Either, Role::Either][usize::from(settings & 3)];
    let config = Config { max_frame: 80_000, max_message: MAX_MESSAGE, ..Config::new(role) };
    let params = Params { client_no_context_takeover: settings & 8 != 0, ..Params::default() };
    let decoder = || match settings & 4 {
        0 => Decoder::new(config),
        _ => Decoder::with_compression(config, &params),
    };
    let whole = decode(&mut decoder(), bytes, usize::MAX);
    let cut = decode(&mut decoder(), bytes, usize::from(*size) + 1);
    assert!(whole == cut);
});
