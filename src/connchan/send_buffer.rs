//! Bytes that a write call could not send yet.

/// A queue of bytes: taken from the front, added at the end. Gives its memory
/// back when it runs empty.
#[derive(Debug, Default)]
pub struct SendBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl SendBuffer {
    /// What is still to be sent.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Number of bytes still to be sent.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        // Moves the rest to the front when that at least halves the space, so
        // that every byte is moved a bounded number of times.
        if self.start > 0
            && self.start >= self.bytes.len() / 2
            && bytes.len() > self.bytes.capacity() - self.bytes.len()
        {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops `count` bytes that were sent.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.bytes.len());
        if self.start >= self.bytes.len() {
            self.clear();
        }
    }

    /// Drops everything, and the memory.
    pub fn clear(&mut self) {
        *self = SendBuffer::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_across_any_pattern_of_pushes_and_sends() {
        let mut buffer = SendBuffer::default();
        let (mut pushed, mut sent) = (0u32, 0u32);
        let mut seed = 1u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let amount = (seed >> 16) as usize % 97;
            if seed & 0x8000 != 0 {
                let bytes: Vec<u8> = (0..amount).map(|i| (pushed as usize + i) as u8).collect();
                buffer.push(&bytes);
                pushed += amount as u32;
            } else {
                let amount = amount.min(buffer.len());
                assert!(buffer.pending()[..amount]
                    .iter()
                    .enumerate()
                    .all(|(i, b)| *b == (sent as usize + i) as u8));
                buffer.consume(amount);
                sent += amount as u32;
            }
            assert_eq!(buffer.len(), (pushed - sent) as usize);
        }
        buffer.consume(buffer.len());
        assert!(buffer.is_empty());
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
