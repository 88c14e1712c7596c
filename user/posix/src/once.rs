//! Something done once: `pthread_once_t`, in memory that threads or tasks share.
//!
//! Layout, one word: 0 if it has not been begun; while it is done, the number of the thread that does it,
//! and [`MARK`] if somebody may wait; and `MARK` alone when it has been done. A thread that ends in the
//! middle has not done it, and the next one does. Neighbour: `portolan::word` has the wait.

use crate::{Errno, Result};
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::Error;
use portolan::abi::word::OWNER;
use portolan::word::{self, Deadline, MARK, Owner};

const DONE: u64 = MARK;

/// Something done once, by the word where that is noted.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a>(&'a AtomicU64);

impl<'a> Once<'a> {
    /// What is noted there; whoever maps the word may use it.
    #[must_use]
    pub const fn at(word: &'a AtomicU64) -> Once<'a> {
        Once(word)
    }

    /// Does it, unless it has been done; when this returns, it has (`pthread_once`).
    ///
    /// # Errors
    /// `Deadlock`: this thread is in the middle of it.
    pub fn call(self, me: Owner, act: impl FnOnce()) -> Result<()> {
        loop {
            match self.0.load(Ordering::Acquire) {
                DONE => return Ok(()),
                0 if self.begin(0, me) => break,
                0 => {}
                found if found & OWNER == me.number() => return Err(Errno::Deadlock),
                found if self.wait(found)? && self.begin(found | MARK, me) => break,
                _ => {}
            }
        }
        act();
        if self.0.swap(DONE, Ordering::AcqRel) & MARK != 0 {
            word::wake(self.0, u32::MAX);
        }
        Ok(())
    }

    fn begin(self, found: u64, me: Owner) -> bool {
        let mine = me.number() | found & MARK;
        self.0.compare_exchange(found, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Waits while another does it. True: he has died.
    fn wait(self, found: u64) -> Result<bool> {
        let marked = found | MARK;
        if found != marked && self.0.compare_exchange(found, marked, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Ok(false);
        }
        match word::again(word::wait_owned(self.0, marked, Deadline::NEVER)) {
            Ok(()) => Ok(false),
            Err(Error::OwnerDead) => Ok(true),
            Err(_) => Err(Errno::Fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_once_and_without_a_trap() {
        let (word, me, mut times) = (AtomicU64::new(0), Owner::from_number(3), 0);
        for _ in 0..3 {
            assert_eq!(Once::at(&word).call(me, || times += 1), Ok(()));
        }
        assert_eq!(times, 1);
    }

    #[test]
    fn who_is_in_the_middle_of_it_is_told() {
        let (word, me) = (AtomicU64::new(0), Owner::from_number(3));
        let once = Once::at(&word);
        assert_eq!(once.call(me, || assert_eq!(once.call(me, || ()), Err(Errno::Deadlock))), Ok(()));
    }
}
