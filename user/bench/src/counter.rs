//! The counter of instructions, and the marks of what is counted.
//!
//! On a machine that QEMU runs with `-icount shift=0` the time-stamp counter
//! advances by one an instruction, of the kernel and of user programs alike. That
//! is checked by [`is_exact`] and holds as long as the processor never idles.
//! The only `unsafe` of this program. Neighbour: `gauge`.
#![expect(unsafe_code, reason = "the counter and the marks are instructions")]

use core::arch::asm;
use core::arch::x86_64::_rdtsc;

/// Instructions since power-on.
pub(crate) fn now() -> u64 {
    // SAFETY: reading the counter has no effect.
    unsafe { _rdtsc() }
}

/// Marks where a region begins and ends, for an observer outside of the machine
/// that breaks the count down by kind.
///
/// A mark is a no-operation of 7 bytes, `0f 1f 80` and a number: [`BEGIN`] or
/// [`END`], plus the region's own.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    pub(crate) number: u32,
    begin: fn(),
    end: fn(),
}

const BEGIN: u32 = 0x5eed_0000;
const END: u32 = 0x5eed_8000;

impl Region {
    pub(crate) const fn new<const NUMBER: u32>() -> Region {
        const { assert!(NUMBER < 512, "the observer knows as many regions") };
        Region { number: NUMBER, begin: begin::<NUMBER>, end: end::<NUMBER> }
    }

    /// The instructions that this work takes.
    pub(crate) fn count<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        (self.begin)();
        let start = now();
        let result = work();
        let count = now() - start;
        (self.end)();
        (result, count)
    }
}

fn begin<const NUMBER: u32>() {
    // SAFETY: the instruction does nothing.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x80", ".long {}", const BEGIN + NUMBER) }
}

fn end<const NUMBER: u32>() {
    // SAFETY: the instruction does nothing.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x80", ".long {}", const END + NUMBER) }
}

/// Turns of the loop that tells whether instructions are counted, and what reading the counter may add.
const TURNS: u64 = 1000;
const SLACK: u64 = 10;

/// Whether a loop of a known number of instructions counts as that many.
pub(crate) fn is_exact() -> bool {
    let start = now();
    // SAFETY: the loop ends, and touches nothing but its register.
    unsafe { asm!("2:", "dec {turns}", "jnz 2b", turns = inout(reg) TURNS => _, options(nomem, nostack)) };
    let count = now() - start;
    (2 * TURNS..=2 * TURNS + SLACK).contains(&count)
}
