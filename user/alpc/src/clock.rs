//! What is left of a wait that has been interrupted by something that was not for its caller.
//!
//! Invariant: the waits of one call together take as long as its caller has said, and less than a ms longer.
//! Neighbours: `inbox` and `port`, which wait.

use portolan::Wait;
use portolan::timed::ms_until;
use portolan::trap::clock_get;
use portolan::word::Deadline;

/// A wait that has begun. The clock is looked at only when what is left of it is asked for twice.
pub(crate) struct Clock {
    wait: Wait,
    /// When it ends, if it takes any time.
    due: Option<u64>,
}

impl Clock {
    pub(crate) fn start(wait: Wait) -> Clock {
        let due = wait.ms.filter(|ms| *ms > 0).map(|ms| Deadline::after_ms(ms.into()).nanoseconds());
        Clock { wait, due }
    }

    /// How much is left.
    pub(crate) fn left(&self) -> Wait {
        let ms = self.due.map_or(self.wait.ms, |due| Some(ms_until(due, clock_get())));
        Wait { ms, ..self.wait }
    }
}
