//! What is left of a wait that has been interrupted by something that was not for its caller.
//!
//! Invariant: the waits of one call together take as long as its caller has said, and less than a ms longer.
//! Neighbours: `inbox` and `port`, which wait.

use portolan::Wait;
use portolan::trap::clock_get;

const NS_PER_MS: u64 = 1_000_000;

/// A wait that has begun. The clock is looked at only when what is left of it is asked for twice.
pub(crate) struct Clock {
    wait: Wait,
    /// In nanoseconds.
    started: u64,
}

impl Clock {
    pub(crate) fn start(wait: Wait) -> Clock {
        Clock { wait, started: if wait.ms.is_some_and(|ms| ms > 0) { clock_get() } else { 0 } }
    }

    /// How much is left.
    pub(crate) fn left(&self) -> Wait {
        let left = |ms: u32| if ms > 0 { left_of(ms, clock_get() - self.started) } else { 0 };
        Wait { ms: self.wait.ms.map(left), ..self.wait }
    }
}

/// What is left of so many ms when so many nanoseconds are over: whole ms, not too few.
fn left_of(ms: u32, passed: u64) -> u32 {
    u64::from(ms).saturating_sub(passed / NS_PER_MS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_goes_on_is_not_too_short() {
        for (passed, left) in [(0, 40), (1, 40), (999_999, 40), (1_000_000, 39), (39_999_999, 1), (40_000_000, 0)] {
            assert_eq!(left_of(40, passed), left, "{passed}");
        }
        assert_eq!((left_of(1, u64::MAX), left_of(u32::MAX, 0)), (0, u32::MAX));
    }
}
