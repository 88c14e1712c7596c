//! The one lock around the kernel's state.
//!
//! A ticket lock: processors get it in the order in which they asked. Interrupts
//! are off in the kernel, so a holder is never interrupted by one who waits.
//! Invariant: the state is reached with the lock held, or after a panic, when no
//! other kernel code will ever run; [`Stopped`] is the proof of that.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use spin::mutex::{TicketMutex, TicketMutexGuard};

/// A value that one processor at a time may use.
pub struct KernelLock<T> {
    ticket: TicketMutex<()>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one processor at a time: by the holder of the
// ticket, or, all others being stopped, by the one that panicked.
unsafe impl<T: Send> Sync for KernelLock<T> {}

/// Proof that the machine has panicked: every other processor is stopped, and this
/// one will never go back to what it was doing. Only the panic path has one.
pub struct Stopped {
    pub(crate) _private: (),
}

/// The lock, held.
pub struct KernelGuard<'a, T> {
    value: &'a mut T,
    _ticket: TicketMutexGuard<'a, ()>,
}

impl<T> KernelLock<T> {
    /// A free lock.
    #[must_use]
    pub const fn new(value: T) -> KernelLock<T> {
        KernelLock { ticket: TicketMutex::new(()), value: UnsafeCell::new(value) }
    }

    /// Waits for its turn. Taking it twice on one processor waits for ever.
    #[inline]
    pub fn lock(&self) -> KernelGuard<'_, T> {
        let ticket = self.ticket.lock();
        // SAFETY: the ticket is held, so nobody else has a reference to the value.
        let value = unsafe { &mut *self.value.get() };
        KernelGuard { value, _ticket: ticket }
    }

    /// The value, whether or not somebody holds the lock: to report a panic that may
    /// have happened with the lock held. What is found may be half changed.
    pub fn seize<'a>(&'a self, _proof: &'a mut Stopped) -> &'a mut T {
        // SAFETY: no code that had a reference will run again, so none is live; the
        // proof, of which there is one, is borrowed for as long as this one lives.
        unsafe { &mut *self.value.get() }
    }
}

impl<T> Deref for KernelGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> DerefMut for KernelGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_do_not_overlap() {
        static LOCK: KernelLock<(u32, u32)> = KernelLock::new((0, 0));
        let add = || {
            for _ in 0..1000 {
                let mut pair = LOCK.lock();
                pair.0 += 1;
                std::thread::yield_now();
                pair.1 = pair.0;
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(add);
            scope.spawn(add);
        });
        assert_eq!(*LOCK.lock(), (2000, 2000));
    }

    #[test]
    fn a_panic_reaches_the_value_through_a_held_lock() {
        let lock = KernelLock::new(5);
        core::mem::forget(lock.lock());
        assert_eq!(*lock.seize(&mut Stopped { _private: () }), 5);
    }
}
