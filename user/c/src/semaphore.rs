//! `semaphore.h`: `sem_t` without a name, which is a word of `portolan_posix`.
//!
//! Its header is `include/semaphore.h`, as musl's `sem_t` need not lie where a word can. Neighbour: `mutex`.

use crate::errno::{Errno, zero_or_errno};
use crate::time::TimeSpec;
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicU64;
use portolan_posix::Semaphore;

/// It can be shared in any case, if its memory is.
#[unsafe(no_mangle)]
extern "C" fn sem_init(word: &AtomicU64, _shared: c_int, value: u32) -> c_int {
    zero_or_errno(Semaphore::init(word, value).map(drop))
}

/// Nothing is left of one that nobody waits for.
#[unsafe(no_mangle)]
extern "C" fn sem_destroy(_word: &AtomicU64) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn sem_wait(word: &AtomicU64) -> c_int {
    zero_or_errno(Semaphore::at(word).wait())
}

#[unsafe(no_mangle)]
extern "C" fn sem_trywait(word: &AtomicU64) -> c_int {
    zero_or_errno(Semaphore::at(word).try_wait())
}

#[unsafe(no_mangle)]
extern "C" fn sem_timedwait(word: &AtomicU64, until: &TimeSpec) -> c_int {
    zero_or_errno(Semaphore::at(word).timed_wait((*until).into()))
}

#[unsafe(no_mangle)]
extern "C" fn sem_post(word: &AtomicU64) -> c_int {
    zero_or_errno(Semaphore::at(word).post())
}

#[unsafe(no_mangle)]
extern "C" fn sem_getvalue(word: &AtomicU64, value: &mut MaybeUninit<c_int>) -> c_int {
    value.write(Semaphore::at(word).value() as c_int);
    zero_or_errno(Ok::<(), Errno>(()))
}
