//! Condition variables: `pthread_cond_t`, in memory that threads or tasks share.
//!
//! Layout, two words; all zero is one that nobody waits for: how often it has been signalled, and how
//! many threads are about to wait or do. Who waits reads the first before it lets the mutex go, so a signal in
//! between is not missed. A thread that is ended in its wait stays counted, which costs later signals a call.
//! Neighbours: `mutex`; `portolan::word` has the wait.

use crate::time::deadline;
use crate::{Errno, Mutex, Result, Time};
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::Error;
use portolan::word::{self, Deadline, Owner};

/// Words of a condition variable.
pub const CONDITION_WORDS: usize = 2;

/// A condition variable, in the words where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    signals: &'a AtomicU64,
    waiters: &'a AtomicU64,
}

impl<'a> Condition<'a> {
    /// The one that lies there; whoever maps the words may use it.
    #[must_use]
    pub const fn at(words: &'a [AtomicU64; CONDITION_WORDS]) -> Condition<'a> {
        let [signals, waiters] = words;
        Condition { signals, waiters }
    }

    /// Lets the mutex go, waits to be signalled, and locks it again (`pthread_cond_wait`). It
    /// may return without a signal.
    ///
    /// # Errors
    /// `Permission`: the thread has not got the mutex. Those of [`Mutex::lock`], after the wait.
    pub fn wait(self, mutex: Mutex<'_>, me: Owner) -> Result<()> {
        self.wait_until(mutex, me, Deadline::NEVER)
    }

    /// The same, until a time at most (`pthread_cond_timedwait`).
    ///
    /// # Errors
    /// Also `TimedOut`, with the mutex locked, and `Invalid`: it is no time.
    pub fn timed_wait(self, mutex: Mutex<'_>, me: Owner, until: Time) -> Result<()> {
        self.wait_until(mutex, me, deadline(Some(until))?)
    }

    /// Wakes one that waits, if any does (`pthread_cond_signal`).
    pub fn signal(self) {
        self.wake(1);
    }

    /// Wakes all that wait (`pthread_cond_broadcast`).
    pub fn broadcast(self) {
        self.wake(u32::MAX);
    }

    fn wake(self, count: u32) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            self.signals.fetch_add(1, Ordering::SeqCst);
            word::wake(self.signals, count);
        }
    }

    fn wait_until(self, mutex: Mutex<'_>, me: Owner, deadline: Deadline) -> Result<()> {
        if !mutex.is_owner(me) {
            return Err(Errno::Permission);
        }
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let signals = self.signals.load(Ordering::SeqCst);
        let times = mutex.unlock_wholly();
        let ended = word::again(word::wait(self.signals, signals, deadline));
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        mutex.lock_wholly(me, times)?;
        match ended {
            Ok(()) => Ok(()),
            Err(Error::TimedOut) => Err(Errno::TimedOut),
            Err(_) => Err(Errno::Fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutex::MUTEX_WORDS;

    #[test]
    fn a_signal_that_nobody_waits_for_makes_no_trap() {
        let words = Default::default();
        let condition = Condition::at(&words);
        condition.signal();
        condition.broadcast();
    }

    #[test]
    fn a_wait_without_the_mutex_or_for_no_time_is_refused() {
        let (words, lock): (_, [AtomicU64; MUTEX_WORDS]) = Default::default();
        let (condition, mutex, me) = (Condition::at(&words), Mutex::at(&lock), Owner::from_number(5));
        assert_eq!(condition.wait(mutex, me), Err(Errno::Permission));
        let nonsense = Time { seconds: 0, nanoseconds: 1_000_000_000 };
        assert_eq!((mutex.lock(me), condition.timed_wait(mutex, me, nonsense)), (Ok(()), Err(Errno::Invalid)));
        assert!(mutex.is_owner(me));
    }
}
