//! Which I/O ports have been given out.
//!
//! Invariant: a port is claimed while a kernel port stands for a range with it; no port is in
//! two. Neighbours: `service::host` claims, `ipc::death` gives back.

use alloc::boxed::Box;
use portolan_machine::{IoRange, try_box};

const WORD: u32 = u64::BITS;
const WORDS: usize = (IoRange::PORTS / WORD) as usize;

/// The ports that are claimed.
pub struct Claims {
    bits: Box<[u64; WORDS]>,
    count: u64,
}

impl Claims {
    /// None are; `None` without memory to remember them.
    pub fn new() -> Option<Claims> {
        Some(Claims { bits: try_box([0; WORDS])?, count: 0 })
    }

    /// Whether a port of the range is claimed.
    pub fn touch(&self, range: IoRange) -> bool {
        masks(range).any(|(word, mask)| self.bits[word] & mask != 0)
    }

    /// Claims a range of which nothing is claimed.
    pub fn claim(&mut self, range: IoRange) {
        masks(range).for_each(|(word, mask)| self.bits[word] |= mask);
        self.count += u64::from(range.count());
    }

    /// Gives a range back that was claimed.
    pub fn release(&mut self, range: IoRange) {
        masks(range).for_each(|(word, mask)| self.bits[word] &= !mask);
        self.count -= u64::from(range.count());
    }

    /// How many ports are claimed.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The words that have bits of a range, and which bits.
fn masks(range: IoRange) -> impl Iterator<Item = (usize, u64)> {
    let (first, last) = (range.first(), range.first() + range.count() - 1);
    (first / WORD..=last / WORD).map(move |word| {
        let from = first.max(word * WORD) % WORD;
        let to = last.min(word * WORD + WORD - 1) % WORD;
        ((word as usize), (u64::MAX << from) & (u64::MAX >> (WORD - 1 - to)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_ports_of_a_range_are_claimed() {
        let range = |first, count| IoRange::new(first, count).expect("a range");
        for (first, count) in [(0, 1), (63, 1), (63, 2), (64, 64), (60, 200), (0xffff, 1), (0x4d2, 0xfb2e)] {
            let mut claims = Claims::new().expect("memory");
            claims.claim(range(first, count));
            let claimed = |port: &u32| claims.touch(range(*port, 1));
            assert_eq!(
                (0..IoRange::PORTS).filter(claimed).collect::<std::vec::Vec<_>>(),
                (first..first + count).collect::<std::vec::Vec<_>>()
            );
            claims.release(range(first, count));
            assert!(!claims.touch(range(0, IoRange::PORTS)));
        }
    }
}
