//! Mutexes: `pthread_mutex_t`, of all kinds, in memory that threads or tasks share.
//!
//! Layout, four words; all zero is an ordinary mutex that is free:
//!
//! | word | holds |
//! |---|---|
//! | 0 | the owner's number; [`MARK`] if somebody may wait; 0 if it is free |
//! | 1 | [`Kind`] in its low two bits, and 4 if it is robust |
//! | 2 | how often a recursive one has been locked again |
//! | 3 | what the death of an owner has left (`State`) |
//!
//! A free mutex is taken, and one that nobody waits for let go, by one atomic instruction. An owner
//! is registered nowhere: who waits for a robust mutex tells the kernel the owner that it has seen, and
//! hears of its end. Since all who wait have seen the same owner, they are all woken when it lets go, and
//! look again; of an ordinary mutex one is woken, and takes it with the mark.
//!
//! Invariant: words 1 to 3 are changed by the owner only. Neighbours: `condition`; `portolan::word` has the wait.

use crate::time::deadline;
use crate::{Errno, Result, Time};
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::Error;
use portolan::abi::word::OWNER;
use portolan::word::{self, Deadline, MARK, Owner};

/// Words of a mutex.
pub const MUTEX_WORDS: usize = 4;

/// What becomes of a thread that locks what it has locked (`PTHREAD_MUTEX_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It waits for itself.
    Normal = 0,
    /// It is told (`Deadlock`).
    ErrorCheck = 1,
    /// It has to unlock it once more.
    Recursive = 2,
}

/// What becomes of a mutex whose owner ends (`PTHREAD_MUTEX_STALLED`, `PTHREAD_MUTEX_ROBUST`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Robustness {
    /// It stays locked for ever.
    Stalled = 0,
    /// The next who locks it is told (`OwnerDead`).
    Robust = 4,
}

/// What the death of an owner has left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Consistent = 0,
    /// The present owner has been told, and has not said that all is well again.
    Inconsistent = 1,
    /// It never did, and nobody can lock the mutex any more.
    NotRecoverable = 2,
}

/// A mutex, in the words where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Mutex<'a> {
    lock: &'a AtomicU64,
    attributes: &'a AtomicU64,
    again: &'a AtomicU64,
    state: &'a AtomicU64,
}

impl<'a> Mutex<'a> {
    /// The one that lies there; whoever maps the words may use it.
    #[must_use]
    pub const fn at(words: &'a [AtomicU64; MUTEX_WORDS]) -> Mutex<'a> {
        let [lock, attributes, again, state] = words;
        Mutex { lock, attributes, again, state }
    }

    /// Makes one there (`pthread_mutex_init`).
    #[must_use]
    pub fn init(words: &'a [AtomicU64; MUTEX_WORDS], kind: Kind, robustness: Robustness) -> Mutex<'a> {
        let mutex = Mutex::at(words);
        mutex.attributes.store(kind as u64 | robustness as u64, Ordering::Relaxed);
        mutex.again.store(0, Ordering::Relaxed);
        mutex.set_state(State::Consistent);
        mutex.lock.store(0, Ordering::Release);
        mutex
    }

    /// Locks it, and waits as long as another has it (`pthread_mutex_lock`).
    ///
    /// # Errors
    /// `OwnerDead`: it is locked, and an owner has died with it: see [`Mutex::consistent`].
    /// `NotRecoverable`: nobody has said so. `Deadlock`: the thread has it ([`Kind::ErrorCheck`]). `Again`: it has
    /// it as often as can be counted.
    pub fn lock(self, me: Owner) -> Result<()> {
        self.lock_until(me, None)
    }

    /// The same, until a time at most (`pthread_mutex_timedlock`), which is looked at only if there is a wait.
    ///
    /// # Errors
    /// Also `TimedOut`, and `Invalid`: it is no time.
    pub fn timed_lock(self, me: Owner, until: Time) -> Result<()> {
        self.lock_until(me, Some(until))
    }

    /// Locks it if nobody has it (`pthread_mutex_trylock`). For a robust one that somebody has, this asks the
    /// kernel whether he lives.
    ///
    /// # Errors
    /// `Busy`: somebody has it, and be it this thread, unless it is recursive. As for [`Mutex::lock`] else.
    pub fn try_lock(self, me: Owner) -> Result<()> {
        if self.take(me, 0) {
            return self.taken();
        }
        match self.kind() {
            Kind::Recursive if self.is_owner(me) => self.lock_again(),
            _ if self.robustness() == Robustness::Stalled || self.is_owner(me) => Err(Errno::Busy),
            _ => {
                let found = self.lock.load(Ordering::Relaxed);
                match word::wait_owned(self.lock, found, Deadline::PAST) {
                    Err(Error::OwnerDead) if self.take_over(found, me) => self.inherited(),
                    _ => Err(Errno::Busy),
                }
            }
        }
    }

    /// Lets it go (`pthread_mutex_unlock`). What POSIX leaves open for an ordinary mutex: anyone may unlock
    /// one whose owner has ended, as programs do, which would else be locked for ever.
    ///
    /// # Errors
    /// `Permission`: the thread has not got it, whatever kind of mutex it is.
    pub fn unlock(self, me: Owner) -> Result<()> {
        if !self.is_owner(me) && !self.is_left_behind() {
            return Err(Errno::Permission);
        }
        match self.again.load(Ordering::Relaxed) {
            0 => self.let_go(),
            times => self.again.store(times - 1, Ordering::Relaxed),
        }
        Ok(())
    }

    /// Says that what a dead owner has left behind is in order again (`pthread_mutex_consistent`).
    /// A thread that was told `OwnerDead` and unlocks the mutex without this makes it useless for ever.
    ///
    /// # Errors
    /// `Invalid`: the mutex is not robust, or in order, or not this thread's.
    pub fn consistent(self, me: Owner) -> Result<()> {
        if !self.is_owner(me) || self.state() != State::Inconsistent {
            return Err(Errno::Invalid);
        }
        self.set_state(State::Consistent);
        Ok(())
    }

    /// Sees that it can be given up (`pthread_mutex_destroy`).
    ///
    /// # Errors
    /// `Busy`: somebody has it.
    pub fn destroy(self) -> Result<()> {
        if self.lock.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(Errno::Busy) }
    }

    /// Whether this thread has it.
    #[must_use]
    pub fn is_owner(self, me: Owner) -> bool {
        self.lock.load(Ordering::Relaxed) & OWNER == me.number()
    }

    /// Whether it is an ordinary one that has been locked by a thread that has ended.
    fn is_left_behind(self) -> bool {
        let found = self.lock.load(Ordering::Relaxed);
        found & OWNER != 0
            && self.attributes.load(Ordering::Relaxed) == 0
            && word::wait_owned(self.lock, found, Deadline::PAST) == Err(Error::OwnerDead)
    }

    /// Lets it go however often it is locked, and says how often it was locked again.
    pub(crate) fn unlock_wholly(self) -> u64 {
        let times = self.again.swap(0, Ordering::Relaxed);
        self.let_go();
        times
    }

    /// Locks it as often as it was before [`Mutex::unlock_wholly`].
    pub(crate) fn lock_wholly(self, me: Owner, times: u64) -> Result<()> {
        let locked = self.lock(me);
        if matches!(locked, Ok(()) | Err(Errno::OwnerDead)) {
            self.again.store(times, Ordering::Relaxed);
        }
        locked
    }

    fn lock_until(self, me: Owner, until: Option<Time>) -> Result<()> {
        if self.take(me, 0) {
            return self.taken();
        }
        match self.kind() {
            Kind::ErrorCheck if self.is_owner(me) => Err(Errno::Deadlock),
            Kind::Recursive if self.is_owner(me) => self.lock_again(),
            _ => self.wait_and_take(me, deadline(until)?),
        }
    }

    #[cold]
    fn wait_and_take(self, me: Owner, deadline: Deadline) -> Result<()> {
        let mut mark = 0;
        loop {
            if self.take(me, mark) {
                return self.taken();
            }
            let Some(found) = self.mark() else { continue };
            match word::again(self.wait(found, deadline)) {
                Ok(()) => {}
                Err(Error::OwnerDead) if self.take_over(found, me) => return self.inherited(),
                Err(Error::OwnerDead) => {}
                Err(Error::TimedOut) => return Err(Errno::TimedOut),
                Err(_) => return Err(Errno::Fault),
            }
            if self.robustness() == Robustness::Stalled {
                // Others may still wait, and only one is woken.
                mark = MARK;
            }
        }
    }

    /// Says in the lock that somebody waits. `None`: it is free.
    fn mark(self) -> Option<u64> {
        let marked = |found: u64| (found != 0).then_some(found | MARK);
        self.lock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, marked).ok().map(|found| found | MARK)
    }

    fn wait(self, found: u64, deadline: Deadline) -> portolan::Result<()> {
        match self.robustness() {
            Robustness::Stalled => word::wait(self.lock, found, deadline),
            Robustness::Robust => word::wait_owned(self.lock, found, deadline),
        }
    }

    fn take(self, me: Owner, mark: u64) -> bool {
        self.lock.compare_exchange(0, me.number() | mark, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes it from a dead owner.
    fn take_over(self, found: u64, me: Owner) -> bool {
        self.lock.compare_exchange(found, me.number() | found & MARK, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// It was free.
    fn taken(self) -> Result<()> {
        if self.state() == State::NotRecoverable {
            self.let_go();
            return Err(Errno::NotRecoverable);
        }
        Ok(())
    }

    /// It was a dead owner's, who may have been about to let it go.
    fn inherited(self) -> Result<()> {
        self.taken()?;
        self.again.store(0, Ordering::Relaxed);
        self.set_state(State::Inconsistent);
        Err(Errno::OwnerDead)
    }

    fn lock_again(self) -> Result<()> {
        let times = self.again.load(Ordering::Relaxed);
        if times >= u32::MAX.into() {
            return Err(Errno::Again);
        }
        self.again.store(times + 1, Ordering::Relaxed);
        Ok(())
    }

    fn let_go(self) {
        if self.state() == State::Inconsistent {
            self.set_state(State::NotRecoverable);
        }
        let robustness = self.robustness();
        if self.lock.swap(0, Ordering::Release) & MARK != 0 {
            let count = if robustness == Robustness::Robust { u32::MAX } else { 1 };
            word::wake(self.lock, count);
        }
    }

    fn kind(self) -> Kind {
        match self.attributes.load(Ordering::Relaxed) & 3 {
            1 => Kind::ErrorCheck,
            2 => Kind::Recursive,
            _ => Kind::Normal,
        }
    }

    fn robustness(self) -> Robustness {
        let robust = self.attributes.load(Ordering::Relaxed) & Robustness::Robust as u64 != 0;
        if robust { Robustness::Robust } else { Robustness::Stalled }
    }

    fn state(self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Consistent,
            1 => State::Inconsistent,
            _ => State::NotRecoverable,
        }
    }

    fn set_state(self, state: State) {
        self.state.store(state as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // On the host a trap is a panic: what passes here makes none.

    const ME: u64 = 77;

    fn words() -> [AtomicU64; MUTEX_WORDS] {
        Default::default()
    }

    #[test]
    fn a_mutex_that_nobody_else_wants_makes_no_trap() {
        let me = Owner::from_number(ME);
        for kind in [Kind::Normal, Kind::ErrorCheck, Kind::Recursive] {
            for robustness in [Robustness::Stalled, Robustness::Robust] {
                let words = words();
                let mutex = Mutex::init(&words, kind, robustness);
                for _ in 0..3 {
                    assert_eq!((mutex.lock(me), mutex.is_owner(me), mutex.unlock(me)), (Ok(()), true, Ok(())));
                    assert_eq!((mutex.try_lock(me), mutex.destroy()), (Ok(()), Err(Errno::Busy)));
                    assert_eq!((mutex.unlock(me), mutex.destroy()), (Ok(()), Ok(())));
                }
            }
        }
    }

    #[test]
    fn zeros_are_an_ordinary_mutex() {
        let (words, me) = (words(), Owner::from_number(ME));
        let mutex = Mutex::at(&words);
        assert_eq!((mutex.lock(me), mutex.try_lock(me)), (Ok(()), Err(Errno::Busy)));
        assert_eq!((mutex.unlock(me), mutex.unlock(me)), (Ok(()), Err(Errno::Permission)));
    }

    #[test]
    fn who_locks_again_is_told_or_counted() {
        let (words, me) = (words(), Owner::from_number(ME));
        let checked = Mutex::init(&words, Kind::ErrorCheck, Robustness::Stalled);
        assert_eq!(
            (checked.lock(me), checked.lock(me), checked.try_lock(me)),
            (Ok(()), Err(Errno::Deadlock), Err(Errno::Busy))
        );
        assert_eq!(checked.unlock(Owner::from_number(ME + 1)), Err(Errno::Permission));
        let recursive = Mutex::init(&words, Kind::Recursive, Robustness::Robust);
        assert_eq!((recursive.lock(me), recursive.lock(me), recursive.try_lock(me)), (Ok(()), Ok(()), Ok(())));
        for _ in 0..3 {
            assert!(recursive.is_owner(me));
            assert_eq!(recursive.unlock(me), Ok(()));
        }
        assert_eq!(recursive.unlock(me), Err(Errno::Permission));
        assert_eq!(recursive.lock(me), Ok(()));
        words[2].store(u32::MAX.into(), Ordering::Relaxed);
        assert_eq!(recursive.lock(me), Err(Errno::Again));
    }

    #[test]
    fn only_what_a_death_left_can_be_made_consistent() {
        let (words, me) = (words(), Owner::from_number(ME));
        let mutex = Mutex::init(&words, Kind::Normal, Robustness::Robust);
        assert_eq!(mutex.consistent(me), Err(Errno::Invalid));
        assert_eq!((mutex.lock(me), mutex.consistent(me)), (Ok(()), Err(Errno::Invalid)));
        words[3].store(State::Inconsistent as u64, Ordering::Relaxed);
        assert_eq!((mutex.consistent(Owner::from_number(1)), mutex.consistent(me)), (Err(Errno::Invalid), Ok(())));
        words[3].store(State::Inconsistent as u64, Ordering::Relaxed);
        assert_eq!((mutex.unlock(me), mutex.lock(me)), (Ok(()), Err(Errno::NotRecoverable)));
        assert_eq!(mutex.try_lock(me), Err(Errno::NotRecoverable));
    }

    #[test]
    fn a_time_that_is_not_needed_is_not_looked_at() {
        let (words, me) = (words(), Owner::from_number(ME));
        let nonsense = Time { seconds: 0, nanoseconds: -1 };
        assert_eq!(Mutex::at(&words).timed_lock(me, nonsense), Ok(()));
        assert_eq!(Mutex::at(&words).timed_lock(Owner::from_number(1), nonsense), Err(Errno::Invalid));
    }
}
