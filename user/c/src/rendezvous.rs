//! `pthread_barrier_t` and `pthread_rwlock_t`, which are words of `portolan_posix`.
//!
//! Neighbour: `mutex`.

use crate::errno::{Errno, number};
use crate::thread;
use crate::time::TimeSpec;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use portolan_posix::{Arrival, BARRIER_WORDS, Barrier, Hold, ReadWriteLock};

type BarrierWords = [AtomicU64; BARRIER_WORDS];

/// `PTHREAD_BARRIER_SERIAL_THREAD`.
const SERIAL: c_int = -1;

#[unsafe(no_mangle)]
extern "C" fn pthread_barrier_init(words: &BarrierWords, _attributes: *const u32, count: u32) -> c_int {
    number(Barrier::init(words, count).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_barrier_destroy(words: &BarrierWords) -> c_int {
    number(Barrier::at(words).destroy())
}

#[unsafe(no_mangle)]
extern "C" fn pthread_barrier_wait(words: &BarrierWords) -> c_int {
    match Barrier::at(words).wait() {
        Ok(Arrival::Serial) => SERIAL,
        Ok(Arrival::Ordinary) => 0,
        Err(errno) => errno as c_int,
    }
}

/// `pthread_rwlock_t`.
#[repr(C)]
struct ReadWrite {
    word: AtomicU64,
    /// Who writes, as mutexes name their owners; 0 if nobody does.
    writer: AtomicU64,
}

impl ReadWrite {
    fn lock(&self) -> ReadWriteLock<'_> {
        ReadWriteLock::at(&self.word)
    }

    /// Takes it as `take` does.
    fn take(&self, hold: Hold, take: impl FnOnce(ReadWriteLock<'_>) -> Result<(), Errno>) -> c_int {
        number(thread::this().owner().and_then(|me| {
            take(self.lock())?;
            if hold == Hold::Write {
                self.writer.store(me.number(), Ordering::Relaxed);
            }
            Ok(())
        }))
    }

    /// Takes it however long that takes. Who writes, and would wait for himself for ever, is told.
    fn wait(&self, hold: Hold) -> c_int {
        let writer = self.writer.load(Ordering::Relaxed);
        self.take(hold, |lock| {
            let is_own = writer != 0 && thread::this().owner()?.number() == writer;
            if is_own { Err(Errno::Deadlock) } else { lock.lock(hold) }
        })
    }
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_init(lock: &ReadWrite, _attributes: *const u32) -> c_int {
    lock.writer.store(0, Ordering::Relaxed);
    let _ = ReadWriteLock::init(&lock.word);
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_destroy(lock: &ReadWrite) -> c_int {
    number(lock.lock().destroy())
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_rdlock(lock: &ReadWrite) -> c_int {
    lock.wait(Hold::Read)
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_wrlock(lock: &ReadWrite) -> c_int {
    lock.wait(Hold::Write)
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_tryrdlock(lock: &ReadWrite) -> c_int {
    lock.take(Hold::Read, |lock| lock.try_lock(Hold::Read))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_trywrlock(lock: &ReadWrite) -> c_int {
    lock.take(Hold::Write, |lock| lock.try_lock(Hold::Write))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_timedrdlock(lock: &ReadWrite, until: &TimeSpec) -> c_int {
    lock.take(Hold::Read, |lock| lock.timed_lock(Hold::Read, (*until).into()))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_timedwrlock(lock: &ReadWrite, until: &TimeSpec) -> c_int {
    lock.take(Hold::Write, |lock| lock.timed_lock(Hold::Write, (*until).into()))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_unlock(lock: &ReadWrite) -> c_int {
    number(thread::this().owner().and_then(|me| {
        // Before it is free, when the next who writes puts himself there.
        let _ = lock.writer.compare_exchange(me.number(), 0, Ordering::Relaxed, Ordering::Relaxed);
        lock.lock().unlock()
    }))
}
