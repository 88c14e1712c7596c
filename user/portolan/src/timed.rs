//! Servers that have something to do when its time comes: their loop.
//!
//! Invariant: the loop waits no longer than until the first thing is due, and not less than a ms too short, so that
//! it does not run in circles. Neighbours: `receive` has the loop of servers that only answer; `clock` has alarms for who has no
//! loop of its own.

use crate::Result;
use crate::port_set::PortSet;
use crate::receive::Received;
use crate::trap::clock_get;
use core::ops::ControlFlow;
use portolan_abi::Error;

const MILLISECOND: u64 = 1_000_000;

/// Such a server.
pub trait Timed {
    /// All ports that it receives from.
    fn ports(&self) -> &PortSet;

    /// Does what is due when the machine's clock shows this, in nanoseconds; when the next thing is.
    fn elapse(&mut self, now: u64) -> Option<u64>;

    /// Does what a message asks for, or serves no more.
    fn hear(&mut self, message: Received) -> ControlFlow<()>;
}

/// Serves until the server says that it does no more.
///
/// # Errors
/// The `Receive…` errors, `ResourceShortage`.
pub fn serve(server: &mut impl Timed) -> Result<()> {
    loop {
        let now = clock_get();
        let received = match server.elapse(now) {
            Some(due) => server.ports().receive_within(ms_until(due, now)),
            None => server.ports().receive(),
        };
        match received {
            Ok(message) => {
                if server.hear(message).is_break() {
                    return Ok(());
                }
            }
            Err(Error::ReceiveTimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whole ms until a time, both in nanoseconds; not too few.
#[must_use]
pub fn ms_until(due: u64, now: u64) -> u32 {
    u32::try_from(due.saturating_sub(now).div_ceil(MILLISECOND)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_not_met_too_early() {
        assert_eq!((ms_until(5, 9), ms_until(1_000_001, 0), ms_until(u64::MAX, 0)), (0, 2, u32::MAX));
        for (passed, left) in [(0, 40), (1, 40), (999_999, 40), (1_000_000, 39), (39_999_999, 1), (40_000_000, 0)] {
            assert_eq!(ms_until(40_000_000, passed), left, "{passed}");
        }
        assert_eq!((ms_until(1_000_000, u64::MAX), ms_until(u64::from(u32::MAX) * 1_000_000, 0)), (0, u32::MAX));
    }
}
