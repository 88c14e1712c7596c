//! `pthread_barrier_t` and `pthread_rwlock_t`, which are words of `portolan_posix`.
//!
//! Neighbour: `mutex`.

use crate::errno::number;
use crate::time::TimeSpec;
use core::ffi::c_int;
use core::sync::atomic::AtomicU64;
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

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_init(word: &AtomicU64, _attributes: *const u32) -> c_int {
    let _ = ReadWriteLock::init(word);
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_destroy(word: &AtomicU64) -> c_int {
    number(ReadWriteLock::at(word).destroy())
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_rdlock(word: &AtomicU64) -> c_int {
    number(ReadWriteLock::at(word).lock(Hold::Read))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_wrlock(word: &AtomicU64) -> c_int {
    number(ReadWriteLock::at(word).lock(Hold::Write))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_tryrdlock(word: &AtomicU64) -> c_int {
    number(ReadWriteLock::at(word).try_lock(Hold::Read))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_trywrlock(word: &AtomicU64) -> c_int {
    number(ReadWriteLock::at(word).try_lock(Hold::Write))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_timedrdlock(word: &AtomicU64, until: &TimeSpec) -> c_int {
    number(ReadWriteLock::at(word).timed_lock(Hold::Read, (*until).into()))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_timedwrlock(word: &AtomicU64, until: &TimeSpec) -> c_int {
    number(ReadWriteLock::at(word).timed_lock(Hold::Write, (*until).into()))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_unlock(word: &AtomicU64) -> c_int {
    number(ReadWriteLock::at(word).unlock())
}
