//! `semaphore.h`: `sem_t`, which is a word of `portolan_posix`, in the program's memory or with a name.
//!
//! Invariant: [`OPEN`] has a named semaphore as often as it has been opened and not closed. Its header is `include/semaphore.h`, as musl's `sem_t` need not lie where a word can. Neighbour: `mutex`.

use crate::errno::{self, Errno, zero_or_errno};
use crate::signal;
use crate::time::TimeSpec;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_uint};
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicU64;
use portolan::Mutex;
use portolan_posix::{self as posix, NamedSemaphore, Semaphore};

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
    zero_or_errno(signal::restarting(|| Semaphore::at(word).wait()))
}

#[unsafe(no_mangle)]
extern "C" fn sem_trywait(word: &AtomicU64) -> c_int {
    zero_or_errno(Semaphore::at(word).try_wait())
}

#[unsafe(no_mangle)]
extern "C" fn sem_timedwait(word: &AtomicU64, until: &TimeSpec) -> c_int {
    zero_or_errno(signal::restarting(|| Semaphore::at(word).timed_wait((*until).into())))
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

static OPEN: Mutex<Vec<NamedSemaphore>> = Mutex::new(Vec::new());

/// `SEM_FAILED` is null. The last two arguments are passed only with `O_CREAT`; in C they are variable ones,
/// which the machine's calling convention passes as it does others.
#[unsafe(no_mangle)]
unsafe extern "C" fn sem_open(name: *const c_char, flags: c_int, mode: c_uint, value: c_uint) -> *const AtomicU64 {
    // SAFETY: the caller passes a string.
    let name = unsafe { CStr::from_ptr(name) };
    let address = match posix::sem_open(name.to_bytes(), flags as u32, mode, value) {
        Ok(semaphore) => {
            let address = semaphore.address();
            OPEN.lock().push(semaphore);
            address
        }
        Err(errno) => {
            errno::set(errno);
            0
        }
    };
    core::ptr::with_exposed_provenance(address as usize)
}

fn close(address: u64) -> Result<(), Errno> {
    let mut open = OPEN.lock();
    let place = open.iter().position(|semaphore| semaphore.address() == address).ok_or(Errno::Invalid)?;
    let closed = open.swap_remove(place);
    // Unmapping is a call, for which nobody else need wait.
    drop(open);
    drop(closed);
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn sem_close(word: *const AtomicU64) -> c_int {
    zero_or_errno(close(word.addr() as u64))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sem_unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller passes a string.
    let name = unsafe { CStr::from_ptr(name) };
    zero_or_errno(posix::sem_unlink(name.to_bytes()))
}
