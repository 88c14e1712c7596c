//! Reply ports: where the answer to a request comes back.
//!
//! A port that has had its answer is as good as new, so a few are kept for the
//! next requests. Invariant: a port in [`POOL`] has no message and no right to it
//! in anyone's hand. One whose answer may still come is never kept: its late answer
//! would pass for that of the next request.

use crate::Result;
use crate::layout::Address;
use crate::lock::Mutex;
use crate::trap;
use portolan_abi::{Capacity, Disposition, Name};

/// Reply ports kept for later.
const KEPT: usize = 8;

static POOL: Mutex<Pool> = Mutex::new(Pool { names: [Name::NULL; KEPT], count: 0 });

struct Pool {
    names: [Name; KEPT],
    count: usize,
}

impl Pool {
    fn take(&mut self) -> Option<Name> {
        self.count = self.count.checked_sub(1)?;
        Some(self.names[self.count])
    }

    fn keep(&mut self, name: Name) -> bool {
        let room = self.count < KEPT;
        if room {
            self.names[self.count] = name;
            self.count += 1;
        }
        room
    }
}

/// Whether a thread is about to take one or to give one back.
pub(crate) fn is_locked() -> bool {
    POOL.is_locked()
}

/// Gives up all that are kept: in a task that has inherited their names, and not the ports.
pub(crate) fn forget() {
    while let Some(name) = { POOL.lock().take() } {
        drop(ReplyPort(name));
    }
}

/// A port for one answer. Dropped, it dies, and with it whatever would still come.
pub(crate) struct ReplyPort(Name);

impl ReplyPort {
    /// One from the pool, or a new one.
    ///
    /// # Errors
    /// Those of `port_allocate`.
    pub(crate) fn take() -> Result<ReplyPort> {
        let kept = POOL.lock().take();
        kept.map_or_else(|| trap::port_allocate(Capacity::Bounded(1)), Ok).map(ReplyPort)
    }

    /// Its receive right.
    #[must_use]
    pub(crate) fn name(&self) -> Name {
        self.0
    }

    /// A send-once right to it, as a header asks for one.
    #[must_use]
    pub(crate) fn address(&self) -> Address {
        Address::new(self.0, Disposition::MakeSendOnce)
    }

    /// Back to the pool: the answer has come, or the request was never sent.
    pub(crate) fn give_back(self) {
        if POOL.lock().keep(self.0) {
            core::mem::forget(self);
        }
    }
}

impl Drop for ReplyPort {
    fn drop(&mut self) {
        // It is a receive right with no send right beside it, so this ends the port.
        let _ = trap::port_deallocate(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_gives_back_what_it_keeps_and_no_more() {
        let mut pool = Pool { names: [Name::NULL; KEPT], count: 0 };
        assert_eq!(pool.take(), None);
        for index in 0..KEPT as u32 {
            assert!(pool.keep(Name::new(index, 1)));
        }
        assert!(!pool.keep(Name::new(99, 1)));
        assert_eq!(pool.take(), Some(Name::new(KEPT as u32 - 1, 1)));
        assert!(pool.keep(Name::new(7, 2)));
    }
}
