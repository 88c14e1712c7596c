//! What is left of a wait that has been interrupted by something that was not for its caller.
//!
//! Invariant: the waits of one call together take no longer than its caller has said.
//! Neighbours: `inbox` and `port`, which wait.

use portolan::Wait;
use portolan::thread::now_ms;

/// A wait that has begun. The clock is looked at only when what is left of it is asked for twice.
pub(crate) struct Clock {
    wait: Wait,
    started: u64,
}

impl Clock {
    pub(crate) fn start(wait: Wait) -> Clock {
        Clock { wait, started: if wait.ms.is_some_and(|ms| ms > 0) { now_ms() } else { 0 } }
    }

    /// How much is left.
    pub(crate) fn left(&self) -> Wait {
        let passed = |ms: u32| u64::from(ms).saturating_sub(now_ms() - self.started) as u32;
        Wait { ms: self.wait.ms.map(|ms| if ms > 0 { passed(ms) } else { 0 }), ..self.wait }
    }
}
