//! Letting interrupts in, in the middle of the kernel's work: here it is counted how often.
//!
//! What a test has made happen stays until the processor looks, as it does before it runs a thread.
//! Invariant: the counts are the host thread's own.

use std::cell::Cell;

thread_local! {
    static WORKED: Cell<u32> = const { Cell::new(0) };
    static TIMES: Cell<u64> = const { Cell::new(0) };
}

/// Counts instructions of the kernel's, about; returns how many since interrupts were let in here.
pub(crate) fn count(instructions: u32) -> u32 {
    WORKED.set(WORKED.get().saturating_add(instructions));
    WORKED.get()
}

/// Lets in what has come.
pub(crate) fn let_in() {
    WORKED.set(0);
    TIMES.set(TIMES.get() + 1);
}

/// How often the kernel has let interrupts in during its work, on this host thread.
#[must_use]
pub fn times() -> u64 {
    TIMES.get()
}
