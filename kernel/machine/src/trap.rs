//! Why user mode, or idling, came back to the kernel.
//!
//! Invariant: a trap is a return value; the machine never calls the kernel.

use crate::{Lines, VirtAddr};

/// What user code tried to do to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Fetch an instruction.
    Execute,
}

/// A processor exception other than a page fault, by its cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exception {
    /// Division by zero, or a quotient that does not fit (#DE).
    Divide,
    /// A debug exception or single step (#DB).
    Debug,
    /// A breakpoint instruction (#BP).
    Breakpoint,
    /// Overflow check (#OF).
    Overflow,
    /// Bound check (#BR).
    Bound,
    /// An instruction that does not exist or is not enabled (#UD).
    InvalidInstruction,
    /// A privileged instruction, a non-canonical address, a bad selector (#GP, #NP, #TS).
    Protection,
    /// A bad stack address (#SS).
    Stack,
    /// A floating-point error (#MF, #XM).
    FloatingPoint,
    /// A misaligned access while alignment is checked (#AC).
    Alignment,
    /// Any other vector.
    Other(u8),
}

/// Why `Cpu::run` or `Cpu::idle` returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// The thread asks for a call; number and arguments are in its context.
    Syscall,
    /// The thread touched a page that its pmap does not allow it.
    PageFault {
        /// The address it touched.
        address: VirtAddr,
        /// What it tried.
        access: Access,
    },
    /// The thread did something else that the processor refuses.
    Exception(Exception),
    /// The deadline has come.
    Timer,
    /// Devices on these lines want attention. The lines are masked until they are let in again.
    Interrupt(Lines),
    /// Somebody outside wants to know what the kernel is doing: a non-maskable interrupt.
    NonMaskable,
    /// An interrupt that needs nothing done: spurious, or only to end idling.
    Spurious,
}
