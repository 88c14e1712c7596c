//! Letting interrupts in during work that is long and must be done in one go.
//!
//! Whoever does such work says as it goes along how much it has done, and once that is much the
//! machine lets interrupts in for a moment. What comes is noted, and no more: the next
//! `Cpu::run`, `idle` or `poll` tells of it, before any user code runs. So nobody sees the work
//! half done, and to whoever does it nothing but time has passed.
//!
//! Invariant: interrupts are off before and after. Neighbours: the backend lets them in; `Pmap` and
//! the kernel's long loops call.

use crate::backend;

/// After so many instructions, about, interrupts are let in.
const STRETCH: u32 = 10_000;

/// Says that about so many instructions have been run since the last word. Whoever says it once in a
/// few thousand has interrupts let in often enough.
#[inline]
pub fn pace(instructions: u32) {
    if backend::pace::count(instructions) >= STRETCH {
        backend::pace::let_in();
    }
}
