//! A thread's registers and floating-point state.
//!
//! Invariant: what is here is the thread's own while it does not run, but for the
//! floating-point state, which may still be in the processor (see `fpu`).
//! Neighbours: `entry` loads and stores the registers by their offsets.

use super::entry::Resume;
use super::fpu::{FpuArea, FpuState};
use crate::VirtAddr;
use core::fmt;

/// Interrupts on, and the bit that is always set.
const INITIAL_FLAGS: u64 = 1 << 9 | 1 << 1;

/// The general registers of a thread, as `entry` stores them.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Registers {
    pub(super) rax: u64,
    pub(super) rbx: u64,
    pub(super) rcx: u64,
    pub(super) rdx: u64,
    pub(super) rsi: u64,
    pub(super) rdi: u64,
    pub(super) rbp: u64,
    pub(super) rsp: u64,
    pub(super) r8: u64,
    pub(super) r9: u64,
    pub(super) r10: u64,
    pub(super) r11: u64,
    pub(super) r12: u64,
    pub(super) r13: u64,
    pub(super) r14: u64,
    pub(super) r15: u64,
    pub(super) rip: u64,
    pub(super) rflags: u64,
    pub(super) resume: Resume,
}

/// A thread's user registers and floating-point state.
#[derive(Debug)]
pub struct Context {
    pub(super) registers: Registers,
    pub(super) fpu: FpuArea,
}

impl Context {
    /// Bytes of heap it holds besides itself.
    pub const HEAP_SIZE: usize = size_of::<FpuState>();

    /// The registers of a thread that starts at `entry` with this stack pointer and its
    /// argument in `rdi`; all others are zero. `None`: out of memory.
    #[must_use]
    pub fn new(entry: VirtAddr, stack: VirtAddr, argument: u64) -> Option<Context> {
        let registers = Registers {
            rip: entry.0,
            rsp: stack.0,
            rdi: argument,
            rflags: INITIAL_FLAGS,
            resume: Resume::Iret,
            ..Registers::default()
        };
        Some(Context { registers, fpu: FpuArea::new()? })
    }

    /// Number and arguments of the call it asks for.
    #[must_use]
    #[inline]
    pub fn call(&self) -> (u64, [u64; 6]) {
        let r = &self.registers;
        (r.rax, [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9])
    }

    /// Answers the call: `rax` is the code, `rdx` the value.
    #[inline]
    pub fn set_result(&mut self, code: i32, value: u64) {
        self.registers.rax = i64::from(code).cast_unsigned();
        self.registers.rdx = value;
    }

    /// The instruction it will go on with, or that it failed at.
    #[must_use]
    pub fn instruction(&self) -> VirtAddr {
        VirtAddr(self.registers.rip)
    }

    /// Its stack pointer.
    #[must_use]
    pub fn stack(&self) -> VirtAddr {
        VirtAddr(self.registers.rsp)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.registers;
        writeln!(f, "rip {:016x}  rsp {:016x}  rbp {:016x}  flags {:08x}", r.rip, r.rsp, r.rbp, r.rflags)?;
        writeln!(f, "rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}", r.rax, r.rbx, r.rcx, r.rdx)?;
        writeln!(f, "rsi {:016x}  rdi {:016x}  r8  {:016x}  r9  {:016x}", r.rsi, r.rdi, r.r8, r.r9)?;
        writeln!(f, "r10 {:016x}  r11 {:016x}  r12 {:016x}  r13 {:016x}", r.r10, r.r11, r.r12, r.r13)?;
        write!(f, "r14 {:016x}  r15 {:016x}", r.r14, r.r15)
    }
}
