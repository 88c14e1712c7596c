//! Read-write locks: `pthread_rwlock_t`, in memory that threads or tasks share.
//!
//! Layout, one word. Its low half is how many read, or [`WRITER`]; its high half how many threads are about to wait
//! or do; all zero is a lock that is free. Who reads lets others read, also before one who waits to write, so that
//! a thread may read as often as it likes. Invariant: as for a semaphore, who finds it taken changes the
//! word before it waits on it, and who frees it does so before it looks for waiters. A thread that is ended in
//! its wait stays counted, which costs later unlocks a call and nothing else.
//! Neighbours: `semaphore`; `portolan::word` has the wait.

use crate::time::deadline;
use crate::{Errno, Result, Time};
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::Error;
use portolan::word;

const HOLDERS: u64 = u32::MAX as u64;
const WRITER: u64 = HOLDERS;
/// Most threads that read at once.
const READERS_MAX: u64 = WRITER - 1;
const WAITER: u64 = 1 << 32;

/// How a thread has the lock, or wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// With others.
    Read,
    /// Alone.
    Write,
}

/// A read-write lock, in the word where it lies.
#[derive(Clone, Copy, Debug)]
pub struct ReadWriteLock<'a>(&'a AtomicU64);

impl<'a> ReadWriteLock<'a> {
    /// The one that lies there; whoever maps the word may use it.
    #[must_use]
    pub const fn at(word: &'a AtomicU64) -> ReadWriteLock<'a> {
        ReadWriteLock(word)
    }

    /// Makes one there (`pthread_rwlock_init`).
    #[must_use]
    pub fn init(word: &'a AtomicU64) -> ReadWriteLock<'a> {
        word.store(0, Ordering::Release);
        ReadWriteLock(word)
    }

    /// Takes it, and waits as long as others have it (`pthread_rwlock_rdlock`, `…wrlock`).
    ///
    /// # Errors
    /// `Again`: as many read as can be counted.
    pub fn lock(self, hold: Hold) -> Result<()> {
        self.lock_until(hold, None)
    }

    /// The same, until a time at most (`pthread_rwlock_timedrdlock`, `…timedwrlock`), which is looked at only if
    /// there is a wait.
    ///
    /// # Errors
    /// Also `TimedOut`, and `Invalid`: it is no time.
    pub fn timed_lock(self, hold: Hold, until: Time) -> Result<()> {
        self.lock_until(hold, Some(until))
    }

    /// Takes it if that can be done at once (`pthread_rwlock_tryrdlock`, `…trywrlock`).
    ///
    /// # Errors
    /// `Busy`; `Again` as above.
    pub fn try_lock(self, hold: Hold) -> Result<()> {
        self.take(hold, 0)
    }

    /// Lets it go (`pthread_rwlock_unlock`).
    ///
    /// # Errors
    /// `Permission`: nobody has it.
    pub fn unlock(self) -> Result<()> {
        let lower = |word: u64| match word & HOLDERS {
            0 => None,
            WRITER => Some(word - WRITER),
            _ => Some(word - 1),
        };
        let before = self.0.fetch_update(Ordering::Release, Ordering::Relaxed, lower).map_err(|_| Errno::Permission)?;
        let is_free = matches!(before & HOLDERS, 1 | WRITER);
        if is_free && before >= WAITER {
            word::wake(self.0, u32::MAX);
        }
        Ok(())
    }

    /// Sees that it can be given up (`pthread_rwlock_destroy`).
    ///
    /// # Errors
    /// `Busy`: somebody has it.
    pub fn destroy(self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) & HOLDERS == 0 { Ok(()) } else { Err(Errno::Busy) }
    }

    fn lock_until(self, hold: Hold, until: Option<Time>) -> Result<()> {
        match self.take(hold, 0) {
            Err(Errno::Busy) => {}
            done => return done,
        }
        let deadline = deadline(until)?;
        self.0.fetch_add(WAITER, Ordering::Relaxed);
        loop {
            let found = self.0.load(Ordering::Relaxed);
            let missed = match self.take(hold, WAITER) {
                Ok(()) => return Ok(()),
                Err(Errno::Busy) => match word::again(word::wait(self.0, found, deadline)) {
                    Ok(()) => continue,
                    Err(Error::TimedOut) => Errno::TimedOut,
                    Err(_) => Errno::Fault,
                },
                Err(errno) => errno,
            };
            self.0.fetch_sub(WAITER, Ordering::Relaxed);
            return Err(missed);
        }
    }

    /// Takes it, and the thread's own part as a waiter, if it is free for that.
    fn take(self, hold: Hold, waiter: u64) -> Result<()> {
        let take = |word: u64| match (hold, word & HOLDERS) {
            (Hold::Read, 0..READERS_MAX) => Some(word - waiter + 1),
            (Hold::Write, 0) => Some(word - waiter + WRITER),
            _ => None,
        };
        self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).map(drop).map_err(|word| {
            match (hold, word & HOLDERS) {
                (Hold::Read, READERS_MAX) => Errno::Again,
                _ => Errno::Busy,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // On the host a trap is a panic: what passes here makes none.

    #[test]
    fn many_read_or_one_writes() {
        let word = AtomicU64::new(0);
        let lock = ReadWriteLock::at(&word);
        assert_eq!((lock.lock(Hold::Read), lock.lock(Hold::Read)), (Ok(()), Ok(())));
        assert_eq!((lock.try_lock(Hold::Write), lock.destroy()), (Err(Errno::Busy), Err(Errno::Busy)));
        assert_eq!((lock.unlock(), lock.unlock(), lock.unlock()), (Ok(()), Ok(()), Err(Errno::Permission)));
        assert_eq!(lock.lock(Hold::Write), Ok(()));
        assert_eq!((lock.try_lock(Hold::Read), lock.try_lock(Hold::Write)), (Err(Errno::Busy), Err(Errno::Busy)));
        assert_eq!((lock.unlock(), lock.destroy()), (Ok(()), Ok(())));
    }

    #[test]
    fn readers_are_counted_to_a_limit() {
        let word = AtomicU64::new(READERS_MAX);
        assert_eq!(ReadWriteLock::at(&word).try_lock(Hold::Read), Err(Errno::Again));
        assert_eq!(ReadWriteLock::at(&word).lock(Hold::Read), Err(Errno::Again));
    }

    #[test]
    fn a_time_that_is_not_needed_is_not_looked_at() {
        let word = AtomicU64::new(0);
        let nonsense = Time { seconds: 0, nanoseconds: -1 };
        assert_eq!(ReadWriteLock::at(&word).timed_lock(Hold::Write, nonsense), Ok(()));
        assert_eq!(ReadWriteLock::at(&word).timed_lock(Hold::Read, nonsense), Err(Errno::Invalid));
    }
}
