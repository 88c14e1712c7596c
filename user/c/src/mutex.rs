//! `pthread_mutex_t` and `pthread_cond_t`, which are words of `portolan_posix`.
//!
//! The structures are musl's, in which there is more room than is needed, and of which all zero is what the
//! static initialisers make. Neighbours: `rendezvous`; `thread` knows who the caller is.

use crate::cancel;
use crate::errno::{Errno, number};
use crate::thread;
use crate::time::{Clock, TimeSpec};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::word::Owner;
use portolan_posix::{CONDITION_WORDS, Condition, Kind, MUTEX_WORDS, Mutex, Robustness};

type MutexWords = [AtomicU64; MUTEX_WORDS];

/// `pthread_cond_t`.
#[repr(C)]
struct ConditionVariable {
    words: [AtomicU64; CONDITION_WORDS],
    /// The number of the clock that its times are of.
    clock: AtomicU64,
}

impl ConditionVariable {
    /// Waits as `wait` does. A thread that is cancelled meanwhile ends with the mutex locked, and takes no
    /// signal away from others.
    fn wait_or_end<'a>(
        &'a self,
        mutex: &'a MutexWords,
        wait: impl FnOnce(Condition<'a>, Mutex<'a>, Owner) -> Result<(), Errno>,
    ) -> c_int {
        let condition = Condition::at(&self.words);
        let ended = cancel::point(|| with(mutex, |mutex, me| wait(condition, mutex, me)));
        if thread::this().cancel.is_due() {
            condition.signal();
            cancel::test();
        }
        ended
    }
}

/// `pthread_condattr_t`: the clock, and above it whether the variable is shared, as musl's functions have it.
const SHARED: u32 = 1 << 31;

/// `pthread_mutexattr_t`: the kind in its lowest two bits, as musl's functions have it, and [`ROBUST`].
#[repr(C)]
struct Attributes(u32);

/// `PTHREAD_MUTEX_RECURSIVE`, `PTHREAD_MUTEX_ERRORCHECK`; else it is a normal one.
const KIND: u32 = 3;
const RECURSIVE: u32 = 1;
const ERROR_CHECK: u32 = 2;
const ROBUST: u32 = 4;

impl Attributes {
    fn kind(&self) -> Kind {
        match self.0 & KIND {
            RECURSIVE => Kind::Recursive,
            ERROR_CHECK => Kind::ErrorCheck,
            _ => Kind::Normal,
        }
    }

    fn robustness(&self) -> Robustness {
        if self.0 & ROBUST == 0 { Robustness::Stalled } else { Robustness::Robust }
    }
}

/// Does something with a mutex for the calling thread.
fn with<'a>(words: &'a MutexWords, act: impl FnOnce(Mutex<'a>, Owner) -> Result<(), Errno>) -> c_int {
    number(thread::this().owner().and_then(|me| act(Mutex::at(words), me)))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_init(words: &MutexWords, attributes: Option<&Attributes>) -> c_int {
    let attributes = attributes.unwrap_or(&Attributes(0));
    let _ = Mutex::init(words, attributes.kind(), attributes.robustness());
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_destroy(words: &MutexWords) -> c_int {
    number(Mutex::at(words).destroy())
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_lock(words: &MutexWords) -> c_int {
    with(words, Mutex::lock)
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_trylock(words: &MutexWords) -> c_int {
    with(words, Mutex::try_lock)
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_timedlock(words: &MutexWords, until: &TimeSpec) -> c_int {
    with(words, |mutex, me| mutex.timed_lock(me, (*until).into()))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_unlock(words: &MutexWords) -> c_int {
    with(words, Mutex::unlock)
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_consistent(words: &MutexWords) -> c_int {
    with(words, Mutex::consistent)
}

/// No mutex has a ceiling.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_getprioceiling(_words: &MutexWords, _ceiling: *mut c_int) -> c_int {
    Errno::Invalid as c_int
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_setprioceiling(_words: &MutexWords, _ceiling: c_int, _old: *mut c_int) -> c_int {
    Errno::Invalid as c_int
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_setrobust(attributes: &mut Attributes, robust: c_int) -> c_int {
    match robust {
        0 => attributes.0 &= !ROBUST,
        1 => attributes.0 |= ROBUST,
        _ => return Errno::Invalid as c_int,
    }
    0
}

/// `PTHREAD_PRIO_NONE`, `…_INHERIT`, `…_PROTECT`; only the first is there.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_setprotocol(_attributes: &mut Attributes, protocol: c_int) -> c_int {
    match protocol {
        0 => 0,
        1 | 2 => Errno::NotSupported as c_int,
        _ => Errno::Invalid as c_int,
    }
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cond_init(condition: &ConditionVariable, attributes: Option<&u32>) -> c_int {
    for word in &condition.words {
        word.store(0, Ordering::Relaxed);
    }
    condition.clock.store(attributes.map_or(0, |attributes| (attributes & !SHARED).into()), Ordering::Release);
    0
}

/// Nothing is left of one that nobody waits for.
#[unsafe(no_mangle)]
extern "C" fn pthread_cond_destroy(_condition: &ConditionVariable) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cond_wait(condition: &ConditionVariable, mutex: &MutexWords) -> c_int {
    condition.wait_or_end(mutex, |condition, mutex, me| condition.wait(mutex, me))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cond_timedwait(condition: &ConditionVariable, mutex: &MutexWords, until: &TimeSpec) -> c_int {
    let clock = Clock::numbered(condition.clock.load(Ordering::Relaxed) as c_int).unwrap_or(Clock::TimeOfDay);
    condition.wait_or_end(mutex, |condition, mutex, me| condition.timed_wait(mutex, me, clock.time(*until)))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cond_signal(condition: &ConditionVariable) -> c_int {
    Condition::at(&condition.words).signal();
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cond_broadcast(condition: &ConditionVariable) -> c_int {
    Condition::at(&condition.words).broadcast();
    0
}
