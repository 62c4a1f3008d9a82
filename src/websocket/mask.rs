//! Masking (RFC 6455, section 5.3): every payload byte XOR a key of four.

/// Bytes that one turn of the main loop takes: as many as the compiler makes a
/// few vector operations of, without alignment.
const BLOCK: usize = 64;

/// Masks `data`, or unmasks it, which is the same. `data` begins `offset` bytes
/// into the payload, so that a payload can be treated piece by piece.
pub fn apply_mask(key: [u8; 4], offset: usize, data: &mut [u8]) {
    let mut key = key;
    key.rotate_left(offset % 4);
    let word = u32::from_ne_bytes(key);
    let mut blocks = data.chunks_exact_mut(BLOCK);
    for block in &mut blocks {
        mask_words(word, block);
    }
    // The blocks and words before it are whole keys long: the rest begins at
    // the key's first byte again.
    let rest = blocks.into_remainder();
    let whole = rest.len() & !3;
    let (words, bytes) = rest.split_at_mut(whole);
    mask_words(word, words);
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[inline(always)]
fn mask_words(key: u32, data: &mut [u8]) {
    for chunk in data.chunks_exact_mut(4) {
        let word = u32::from_ne_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) ^ key;
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x6e, 0x28, 0x83, 0x16];

    /// What masking means, byte by byte.
    fn naive_mask(key: [u8; 4], offset: usize, data: &[u8]) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ key[(offset + i) % 4]).collect()
    }

    #[test]
    fn masking_agrees_with_the_naive_loop() {
        let data: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(37)).collect();
        for length in 0..=data.len() {
            for offset in 0..=5 {
                // A start within the vector tries unaligned slices as well.
                for start in 0..=length.min(9) {
                    let mut masked = data[start..length].to_vec();
                    apply_mask(KEY, offset, &mut masked);
                    assert_eq!(masked, naive_mask(KEY, offset, &data[start..length]));

                    let mut in_place = data.clone();
                    apply_mask(KEY, offset, &mut in_place[start..length]);
                    assert_eq!(in_place[start..length], masked);
                }
            }
        }
    }

    #[test]
    fn masking_piece_by_piece_is_masking_at_once() {
        let data: Vec<u8> = (0..=255).collect();
        for cut in 0..=data.len() {
            let mut pieces = data.clone();
            let (first, second) = pieces.split_at_mut(cut);
            apply_mask(KEY, 0, first);
            apply_mask(KEY, cut, second);
            assert_eq!(pieces, naive_mask(KEY, 0, &data));
        }
        let mut data = b"abc".to_vec();
        apply_mask(KEY, usize::MAX, &mut data);
        assert_eq!(data, naive_mask(KEY, 3, b"abc"));
    }
}
