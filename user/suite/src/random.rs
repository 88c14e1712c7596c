//! Numbers that look random and are the same in every run.

/// A generator (xorshift with multiplication, Marsaglia 2003 and Vigna 2014).
pub(crate) struct Random(u64);

impl Random {
    /// The generator with this seed, which is not 0.
    pub(crate) const fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
