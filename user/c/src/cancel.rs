//! Cancelling a thread: another asks it to end, and it ends where it allows that.
//!
//! A thread that waits at a [`point`] is stopped, as for a signal, until its wait has ended; then it ends itself. One that
//! may be cancelled anywhere ends where it was stopped. Neighbours: `signal`, whose listener stops it; `thread`.

use crate::errno::Errno;
use crate::signal::{self, listener};
use crate::thread::{self, Block, this};
use core::ffi::{c_int, c_void};
use core::ptr::without_provenance_mut;
use core::sync::atomic::{AtomicBool, Ordering};

/// `PTHREAD_CANCELED`.
const CANCELED: usize = usize::MAX;

/// What a thread has of its own.
pub(crate) struct Own {
    requested: AtomicBool,
    disabled: AtomicBool,
    asynchronous: AtomicBool,
    at_point: AtomicBool,
}

impl Own {
    pub(crate) fn new() -> Own {
        let [requested, disabled, asynchronous, at_point] = [const { AtomicBool::new(false) }; 4];
        Own { requested, disabled, asynchronous, at_point }
    }

    /// Whether it is to end at the next point.
    pub(crate) fn is_due(&self) -> bool {
        self.requested.load(Ordering::Acquire) && !self.disabled.load(Ordering::Relaxed)
    }

    fn is_due_anywhere(&self) -> bool {
        self.is_due() && self.asynchronous.load(Ordering::Relaxed)
    }

    /// Whether it is to be stopped, so as to end.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_due() && (self.at_point.load(Ordering::Relaxed) || self.asynchronous.load(Ordering::Relaxed))
    }

    /// It ends: nobody need ask any more.
    pub(crate) fn end(&self) {
        self.disabled.store(true, Ordering::Relaxed);
    }
}

/// Does what a thread may be cancelled in: before it begins, and if the call ends early because of that, after it, by
/// [`test`].
pub(crate) fn point<T>(call: impl FnOnce() -> T) -> T {
    test();
    let at_point = &this().cancel.at_point;
    let before = at_point.swap(true, Ordering::Relaxed);
    let result = call();
    at_point.store(before, Ordering::Relaxed);
    result
}

/// Ends the calling thread if it is to end.
pub(crate) fn test() {
    if this().cancel.is_due() {
        end();
    }
}

/// Ends the calling thread if it is to end wherever it is.
pub(crate) fn act_if_asynchronous() {
    if this().cancel.is_due_anywhere() {
        end();
    }
}

fn end() -> ! {
    thread::leave(without_provenance_mut::<c_void>(CANCELED))
}

fn cancel(thread: *const Block) -> Result<(), Errno> {
    let block = thread::find(thread).ok_or(Errno::NoProcess)?;
    listener::start()?;
    block.cancel.requested.store(true, Ordering::Release);
    if core::ptr::eq(block, this()) {
        act_if_asynchronous();
    } else {
        signal::stop_those_wanted();
    }
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn pthread_cancel(thread: *const Block) -> c_int {
    crate::errno::number(cancel(thread))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_testcancel() {
    test();
}

/// Sets one of the two, and says what it was: `PTHREAD_CANCEL_DISABLE` and `PTHREAD_CANCEL_ASYNCHRONOUS` are 1, their
/// opposites 0.
fn set(which: &AtomicBool, value: c_int, old: Option<&mut c_int>) -> c_int {
    if !matches!(value, 0 | 1) {
        return Errno::Invalid as c_int;
    }
    let before = which.swap(value == 1, Ordering::Relaxed);
    if let Some(old) = old {
        *old = before.into();
    }
    act_if_asynchronous();
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_setcancelstate(state: c_int, old: Option<&mut c_int>) -> c_int {
    set(&this().cancel.disabled, state, old)
}

#[unsafe(no_mangle)]
extern "C" fn pthread_setcanceltype(kind: c_int, old: Option<&mut c_int>) -> c_int {
    set(&this().cancel.asynchronous, kind, old)
}
