//! Barriers: `pthread_barrier_t`, in memory that threads or tasks share.
//!
//! Layout, two words: how many threads make a round; and the round in the high half, who has come to it
//! in the low one. All zero is none: a barrier has to be made. Neighbour: `portolan::word` has the wait.

use crate::{Errno, Result};
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::word::{self, Deadline};

/// Words of a barrier.
pub const BARRIER_WORDS: usize = 2;

const ROUND: u64 = 1 << 32;

/// A barrier, in the words where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Barrier<'a> {
    count: &'a AtomicU64,
    arrived: &'a AtomicU64,
}

/// Who a thread was in its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// One of the others.
    Ordinary,
    /// The last, and the only one that is told so (`PTHREAD_BARRIER_SERIAL_THREAD`).
    Serial,
}

impl<'a> Barrier<'a> {
    /// The one that lies there; whoever maps the words may use it.
    #[must_use]
    pub const fn at(words: &'a [AtomicU64; BARRIER_WORDS]) -> Barrier<'a> {
        let [count, arrived] = words;
        Barrier { count, arrived }
    }

    /// Makes one there for so many threads (`pthread_barrier_init`).
    ///
    /// # Errors
    /// `Invalid`: for none.
    pub fn init(words: &'a [AtomicU64; BARRIER_WORDS], count: u32) -> Result<Barrier<'a>> {
        if count == 0 {
            return Err(Errno::Invalid);
        }
        let barrier = Barrier::at(words);
        barrier.arrived.store(0, Ordering::Relaxed);
        barrier.count.store(count.into(), Ordering::Release);
        Ok(barrier)
    }

    /// Waits until as many have come as make a round (`pthread_barrier_wait`).
    ///
    /// # Errors
    /// `Invalid`: there is no barrier.
    pub fn wait(self) -> Result<Arrival> {
        let count = self.count.load(Ordering::Acquire);
        if count == 0 {
            return Err(Errno::Invalid);
        }
        let come = |found: u64| if is_last(found, count) { next_round(found) } else { found + 1 };
        let before = self.arrived.update(Ordering::AcqRel, Ordering::Acquire, come);
        if is_last(before, count) {
            word::wake(self.arrived, u32::MAX);
            return Ok(Arrival::Serial);
        }
        loop {
            let found = self.arrived.load(Ordering::Acquire);
            if found / ROUND != before / ROUND {
                return Ok(Arrival::Ordinary);
            }
            word::again(word::wait(self.arrived, found, Deadline::NEVER)).map_err(|_| Errno::Fault)?;
        }
    }

    /// Sees that it can be given up (`pthread_barrier_destroy`).
    ///
    /// # Errors
    /// `Busy`: somebody waits.
    pub fn destroy(self) -> Result<()> {
        if self.arrived.load(Ordering::Relaxed).is_multiple_of(ROUND) { Ok(()) } else { Err(Errno::Busy) }
    }
}

/// Whether who comes now completes the round.
fn is_last(found: u64, count: u64) -> bool {
    (found + 1) % ROUND == count
}

fn next_round(found: u64) -> u64 {
    (found / ROUND * ROUND).wrapping_add(ROUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_for_one_opens_at_once() {
        let words = Default::default();
        assert_eq!(Barrier::at(&words).wait(), Err(Errno::Invalid));
        assert!(matches!(Barrier::init(&words, 0), Err(Errno::Invalid)));
        let barrier = Barrier::init(&words, 2).expect("for two");
        words[1].store(u64::from(u32::MAX) * ROUND + 1, Ordering::Relaxed);
        assert_eq!(barrier.destroy(), Err(Errno::Busy));
        assert!(is_last(u64::from(u32::MAX) * ROUND + 1, 2));
        assert_eq!(next_round(u64::from(u32::MAX) * ROUND + 1), 0, "rounds begin again");
    }
}
