//! Time as the kernel's clock tells it: deadlines, and how long something took.
//!
//! A case may ask for no less than the kernel promises, and for little more than
//! "not late": the machine below may stand still for a while at any time.

use crate::case::{Failure, Verdict};
use alloc::format;
use portolan::trap;

/// Nanoseconds in a millisecond.
const MS: u64 = 1_000_000;
/// How late an end of waiting may come, in ms.
const LATE: u64 = 1000;

/// The time `ms` from now.
pub(crate) fn deadline(ms: u32) -> u64 {
    trap::clock_get() + u64::from(ms) * MS
}

/// Tells how long something took.
pub(crate) struct Stopwatch {
    started: u64,
}

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch { started: trap::clock_get() }
    }

    /// Nanoseconds so far.
    pub(crate) fn time(&self) -> u64 {
        trap::clock_get() - self.started
    }

    /// Fails unless a wait of so many ms has just ended: not before, and not late.
    #[track_caller]
    pub(crate) fn shows(&self, ms: u32) -> Verdict {
        let (time, least) = (self.time(), u64::from(ms) * MS);
        if time < least || time > least + LATE * MS {
            return Err(Failure::new(&format!("a wait of {ms} ms took {time} ns")));
        }
        Ok(())
    }
}
