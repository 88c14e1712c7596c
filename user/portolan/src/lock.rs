//! What a program with several threads needs: a lock, and a value set once.
//!
//! Waiting gives the processor away by a short sleep: its holder may be a thread
//! of lower priority, which a mere yield would never let run.

use crate::{heap, reply, trap};
use portolan_abi::Name;
use spin::relax::RelaxStrategy;

/// A lock around a value.
pub type Mutex<T> = spin::mutex::SpinMutex<T, Sleep>;

/// A value that is set once.
pub type Once<T> = spin::once::Once<T, Sleep>;

/// Whether some thread of this task holds a lock of this library: such a thread, stopped, may hold what every
/// other one needs, and must go on for a moment before it can be sent elsewhere.
#[must_use]
pub fn is_held() -> bool {
    heap::is_locked() || reply::is_locked()
}

/// Sleeps for a millisecond where a spin lock would spin.
pub struct Sleep;

impl RelaxStrategy for Sleep {
    fn relax() {
        // A sleep that was cut short just looks at the lock again.
        let _ = trap::thread_switch(Name::NULL, Some(1));
    }
}
