//! The locks that musl's functions take: around its own tables, and around a stream.
//!
//! Musl's own are futexes; these sleep a while where they find the lock taken, as `portolan`'s do.
//! Invariant: a lock's word is 0, or says who holds it.

use crate::stdio::File;
use crate::thread;
use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering};
use portolan::thread::sleep_ms;

fn acquire(word: &AtomicI32, holder: c_int) {
    while word.compare_exchange(0, holder, Ordering::Acquire, Ordering::Relaxed).is_err() {
        sleep_ms(1);
    }
}

fn release(word: &AtomicI32) {
    word.store(0, Ordering::Release);
}

/// Musl's lock around a table of its own.
#[unsafe(no_mangle)]
extern "C" fn __lock(word: &AtomicI32) {
    acquire(word, 1);
}

#[unsafe(no_mangle)]
extern "C" fn __unlock(word: &AtomicI32) {
    release(word);
}

/// Locks a stream; 0 if this thread had it already, and must not unlock it.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn __lockfile(file: &File) -> c_int {
    let holder = thread::this().tid();
    if file.lock.load(Ordering::Relaxed) == holder {
        return 0;
    }
    acquire(&file.lock, holder);
    1
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn __unlockfile(file: &File) {
    release(&file.lock);
}

#[unsafe(no_mangle)]
extern "C" fn flockfile(file: &File) {
    if __lockfile(file) == 0 {
        file.locked_again.fetch_add(1, Ordering::Relaxed);
    }
}

#[unsafe(no_mangle)]
extern "C" fn ftrylockfile(file: &File) -> c_int {
    let holder = thread::this().tid();
    match file.lock.compare_exchange(0, holder, Ordering::Acquire, Ordering::Relaxed) {
        Ok(_) => 0,
        Err(other) if other == holder => {
            file.locked_again.fetch_add(1, Ordering::Relaxed);
            0
        }
        Err(_) => -1,
    }
}

#[unsafe(no_mangle)]
extern "C" fn funlockfile(file: &File) {
    match file.locked_again.load(Ordering::Relaxed) {
        0 => __unlockfile(file),
        times => file.locked_again.store(times - 1, Ordering::Relaxed),
    }
}
