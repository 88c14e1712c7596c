//! `pthread_mutex_t` and `pthread_cond_t`, which are words of `portolan_posix`.
//!
//! The structures are musl's, in which there is more room than is needed, and of which all zero is what the
//! static initialisers make. Neighbours: `rendezvous`; `thread` knows who the caller is.

use crate::errno::{Errno, number};
use crate::thread;
use crate::time::TimeSpec;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::word::Owner;
use portolan_posix::{CONDITION_WORDS, Condition, Kind, MUTEX_WORDS, Mutex, Robustness};

type MutexWords = [AtomicU64; MUTEX_WORDS];
type ConditionWords = [AtomicU64; CONDITION_WORDS];

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
extern "C" fn pthread_cond_init(words: &ConditionWords, _attributes: *const u32) -> c_int {
    for word in words {
        word.store(0, Ordering::Release);
    }
    0
}

/// Nothing is left of one that nobody waits for.
#[unsafe(no_mangle)]
extern "C" fn pthread_cond_destroy(_words: &ConditionWords) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cond_wait(words: &ConditionWords, mutex: &MutexWords) -> c_int {
    with(mutex, |mutex, me| Condition::at(words).wait(mutex, me))
}

/// There is one clock, whatever clock the condition was made with.
#[unsafe(no_mangle)]
extern "C" fn pthread_cond_timedwait(words: &ConditionWords, mutex: &MutexWords, until: &TimeSpec) -> c_int {
    with(mutex, |mutex, me| Condition::at(words).timed_wait(mutex, me, (*until).into()))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cond_signal(words: &ConditionWords) -> c_int {
    Condition::at(words).signal();
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cond_broadcast(words: &ConditionWords) -> c_int {
    Condition::at(words).broadcast();
    0
}
