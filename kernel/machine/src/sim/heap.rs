//! The kernel's heap on the host: the host's own, with the kernel's share counted.
//!
//! Tests allocate too, so bytes are counted only inside [`in_kernel`], and the
//! machine's own bookkeeping steps out of it again. Inside, an allocation can be made
//! to fail, to see what the kernel does then.
//! Invariant: the counts are the host thread's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static FAIL: Cell<Fail> = const { Cell::new(Fail::Never) };
}

/// Which of the kernel's allocations fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fail {
    /// None.
    Never,
    /// The one after this many more, and only that.
    Once(u32),
    /// All after this many more.
    From(u32),
}

/// Bytes of the heap that the kernel has in use.
#[must_use]
pub fn used() -> usize {
    usize::try_from(USED.get()).unwrap_or(0)
}

/// Does `work` as the kernel: its allocations are counted, and fail as told.
pub fn in_kernel<T>(work: impl FnOnce() -> T) -> T {
    counting(true, work)
}

/// Does `work` as something other than the kernel, from within it.
pub(super) fn outside_kernel<T>(work: impl FnOnce() -> T) -> T {
    counting(false, work)
}

/// Chooses which of the kernel's allocations fail from now on.
pub fn fail(which: Fail) {
    FAIL.set(which);
}

/// What [`fail`] chose, counted down: `Never` once a [`Fail::Once`] has failed.
#[must_use]
pub fn failing() -> Fail {
    FAIL.get()
}

fn counting<T>(on: bool, work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            COUNTING.set(self.0);
        }
    }
    let _restore = Restore(COUNTING.replace(on));
    work()
}

/// Whether this allocation is one that is to fail.
fn fails() -> bool {
    let (next, fails) = match FAIL.get() {
        _ if !COUNTING.get() => return false,
        Fail::Never => (Fail::Never, false),
        Fail::Once(0) => (Fail::Never, true),
        Fail::Once(n) => (Fail::Once(n - 1), false),
        Fail::From(0) => (Fail::From(0), true),
        Fail::From(n) => (Fail::From(n - 1), false),
    };
    FAIL.set(next);
    fails
}

fn count(bytes: isize) {
    if COUNTING.get() {
        USED.set(USED.get() + bytes);
    }
}

/// The host's allocator, counting.
struct Counted;

#[global_allocator]
static HEAP: Counted = Counted;

// SAFETY: every block comes from and goes back to `System`, with the layout given;
// the counting allocates nothing and cannot panic.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return core::ptr::null_mut();
        }
        // SAFETY: the caller's promise about the layout is passed on.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            count(layout.size() as isize);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise: the block is from `alloc`, hence from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return core::ptr::null_mut();
        }
        // SAFETY: the caller's promise about block, layout and size is passed on.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            count(size as isize - layout.size() as isize);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_bytes_are_counted() {
        let before = used();
        let outside = vec![0u8; 100];
        assert_eq!(used(), before);
        let inside = in_kernel(|| vec![0u8; 100]);
        assert_eq!(used(), before + 100);
        in_kernel(|| drop(inside));
        assert_eq!(used(), before);
        drop(outside);
    }

    #[test]
    fn the_chosen_allocation_fails_and_no_other() {
        let try_one = || in_kernel(|| Vec::<u8>::new().try_reserve_exact(8).is_ok());
        fail(Fail::Once(1));
        assert_eq!([try_one(), try_one(), try_one()], [true, false, true]);
        fail(Fail::From(1));
        assert_eq!([try_one(), try_one(), try_one()], [true, false, false]);
        fail(Fail::Never);
        assert!(try_one());
    }
}
