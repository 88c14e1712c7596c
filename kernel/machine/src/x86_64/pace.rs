//! Letting interrupts in, in the middle of the kernel's work.
//!
//! Invariant: `handle_from_kernel` (`entry`) does nothing but note what came. Neighbour: `cpu`,
//! which tells of it.

use super::per_cpu::PerCpu;
use ::x86_64::instructions::interrupts::{disable, enable};
use ::x86_64::instructions::nop;

/// Counts instructions of the kernel's, about; returns how many since interrupts were let in here.
#[inline]
pub(crate) fn count(instructions: u32) -> u32 {
    let worked = &PerCpu::current().worked;
    worked.set(worked.get().saturating_add(instructions));
    worked.get()
}

/// Lets in what has come, if anything may come.
#[cold]
pub(crate) fn let_in() {
    let cpu = PerCpu::current();
    cpu.worked.set(0);
    if cpu.lets_in.get() {
        enable();
        // The instruction after `sti` still runs without interrupts.
        nop();
        disable();
    }
}
