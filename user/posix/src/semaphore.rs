//! Semaphores: `sem_init` and what follows, in memory that threads or tasks share.
//!
//! Layout: one word. Its low half is the value, its high half how many threads are about to wait or do;
//! all zero is a semaphore of value 0. Invariant: who finds the value 0 changes the word before it waits on
//! it, and who raises the value does so before it looks for waiters; so neither misses the other.
//! A thread that is ended in its wait stays counted, which costs later posts a call and nothing else.
//! Neighbours: `portolan::word` has the wait.

use crate::time::deadline;
use crate::{Errno, Result, Time};
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::Error;
use portolan::word::{self, Deadline};

/// The largest value (`SEM_VALUE_MAX`).
pub const VALUE_MAX: u32 = i32::MAX as u32;

const VALUE: u64 = u32::MAX as u64;
const WAITER: u64 = 1 << 32;

/// A semaphore, in the word where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Semaphore<'a>(&'a AtomicU64);

impl<'a> Semaphore<'a> {
    /// The one that lies there; whoever maps the word may use it.
    #[must_use]
    pub const fn at(word: &'a AtomicU64) -> Semaphore<'a> {
        Semaphore(word)
    }

    /// Makes one there (`sem_init`).
    ///
    /// # Errors
    /// `Invalid`: the value is above [`VALUE_MAX`].
    pub fn init(word: &'a AtomicU64, value: u32) -> Result<Semaphore<'a>> {
        if value > VALUE_MAX {
            return Err(Errno::Invalid);
        }
        word.store(value.into(), Ordering::Release);
        Ok(Semaphore(word))
    }

    /// Takes one from the value, and waits until there is one (`sem_wait`).
    ///
    /// # Errors
    /// `Interrupted`: the thread was aborted.
    pub fn wait(self) -> Result<()> {
        self.wait_until(None)
    }

    /// The same, until a time at most (`sem_timedwait`), which is looked at only if there is a wait.
    ///
    /// # Errors
    /// Also `TimedOut`, and `Invalid`: it is no time.
    pub fn timed_wait(self, until: Time) -> Result<()> {
        self.wait_until(Some(until))
    }

    /// Takes one if there is one (`sem_trywait`).
    ///
    /// # Errors
    /// `Again`: there is none.
    pub fn try_wait(self) -> Result<()> {
        if self.take(1) { Ok(()) } else { Err(Errno::Again) }
    }

    /// Adds one, and wakes who waits for it (`sem_post`).
    ///
    /// # Errors
    /// `Overflow`: the value is [`VALUE_MAX`].
    pub fn post(self) -> Result<()> {
        let raise = |word: u64| (word & VALUE < VALUE_MAX.into()).then_some(word + 1);
        let before = self.0.fetch_update(Ordering::Release, Ordering::Relaxed, raise).map_err(|_| Errno::Overflow)?;
        if before >= WAITER {
            word::wake(self.0, 1);
        }
        Ok(())
    }

    /// The value (`sem_getvalue`); 0 while somebody waits.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0.load(Ordering::Relaxed) as u32
    }

    fn wait_until(self, until: Option<Time>) -> Result<()> {
        if self.take(1) {
            return Ok(());
        }
        let deadline = deadline(until)?;
        self.0.fetch_add(WAITER, Ordering::Relaxed);
        let taken = self.take_or_wait(deadline);
        if taken.is_err() {
            self.0.fetch_sub(WAITER, Ordering::Relaxed);
        }
        taken
    }

    /// Takes one, and the thread's own part as a waiter.
    fn take_or_wait(self, deadline: Deadline) -> Result<()> {
        while !self.take(1 + WAITER) {
            let found = self.0.load(Ordering::Relaxed);
            if found & VALUE > 0 {
                continue;
            }
            match word::wait(self.0, found, deadline) {
                Ok(()) | Err(Error::ValueDiffers) => {}
                Err(Error::TimedOut) => return Err(Errno::TimedOut),
                Err(Error::Aborted) => return Err(Errno::Interrupted),
                Err(_) => return Err(Errno::Fault),
            }
        }
        Ok(())
    }

    /// Takes so much, if the value is not 0.
    fn take(self, amount: u64) -> bool {
        let lower = |word: u64| (word & VALUE > 0).then(|| word - amount);
        self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, lower).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // On the host a trap is a panic: what passes here makes none.

    #[test]
    fn a_semaphore_that_need_not_wait_makes_no_trap() {
        let word = AtomicU64::new(0);
        let semaphore = Semaphore::init(&word, 2).expect("a value");
        assert_eq!((semaphore.wait(), semaphore.try_wait(), semaphore.try_wait()), (Ok(()), Ok(()), Err(Errno::Again)));
        assert_eq!((semaphore.post(), semaphore.value()), (Ok(()), 1));
        let nonsense = Time { seconds: 0, nanoseconds: -1 };
        assert_eq!(semaphore.timed_wait(nonsense), Ok(()), "a time that is not needed is not looked at");
        assert_eq!(semaphore.timed_wait(nonsense), Err(Errno::Invalid));
    }

    #[test]
    fn zeros_are_a_semaphore_and_its_value_has_a_limit() {
        let word = AtomicU64::new(0);
        assert_eq!(Semaphore::at(&word).try_wait(), Err(Errno::Again));
        assert!(matches!(Semaphore::init(&word, VALUE_MAX + 1), Err(Errno::Invalid)));
        let semaphore = Semaphore::init(&word, VALUE_MAX).expect("the largest");
        assert_eq!((semaphore.post(), semaphore.value()), (Err(Errno::Overflow), VALUE_MAX));
    }
}
