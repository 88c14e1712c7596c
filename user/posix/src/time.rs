//! Times until which a call waits: `struct timespec`, on the machine's clock.
//!
//! Neighbours: every call whose name has `timed` in it.

use crate::{Errno, Result};
use portolan::word::Deadline;

const SECOND: u64 = 1_000_000_000;

/// A time since the machine's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds. Before 0 is the past.
    pub seconds: i64,
    /// And of the next, 0 to 999,999,999.
    pub nanoseconds: i64,
}

impl Time {
    /// So many ms from now.
    #[must_use]
    pub fn after_ms(ms: u64) -> Time {
        let at = Deadline::after_ms(ms).nanoseconds();
        Time { seconds: (at / SECOND) as i64, nanoseconds: (at % SECOND) as i64 }
    }

    /// The deadline that this is. A time that the clock never reaches is none.
    ///
    /// # Errors
    /// `Invalid`: the nanoseconds are less than none, or a second and more.
    pub fn deadline(self) -> Result<Deadline> {
        let nanoseconds = u64::try_from(self.nanoseconds).ok().filter(|part| *part < SECOND).ok_or(Errno::Invalid)?;
        let Ok(seconds) = u64::try_from(self.seconds) else { return Ok(Deadline::PAST) };
        let at = seconds.checked_mul(SECOND).and_then(|whole| whole.checked_add(nanoseconds));
        Ok(at.map_or(Deadline::NEVER, Deadline::at))
    }
}

/// The deadline of a call that may have none.
pub(crate) fn deadline(until: Option<Time>) -> Result<Deadline> {
    until.map_or(Ok(Deadline::NEVER), Time::deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_deadline_if_its_nanoseconds_are() {
        let deadline = |seconds, nanoseconds| Time { seconds, nanoseconds }.deadline();
        assert_eq!(deadline(2, 5), Ok(Deadline::at(2_000_000_005)));
        assert_eq!(deadline(0, 999_999_999), Ok(Deadline::at(999_999_999)));
        assert_eq!(deadline(-1, 0), Ok(Deadline::PAST));
        assert_eq!(deadline(i64::MAX, 0), Ok(Deadline::NEVER));
        for nanoseconds in [-1, 1_000_000_000, i64::MAX, i64::MIN] {
            assert_eq!(deadline(1, nanoseconds), Err(Errno::Invalid));
        }
    }
}
