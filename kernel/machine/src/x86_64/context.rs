//! A thread's registers and floating-point state.
//!
//! Invariant: what is here is the thread's own while it does not run, but for the
//! floating-point state, which may still be in the processor (see `fpu`).
//! Neighbours: `entry` loads and stores the registers by their offsets.

use super::entry::Resume;
use super::fpu::{FpuArea, FpuState};
use crate::{Unfit, VirtAddr, registers};
use core::fmt;
use portolan_abi::registers::{FloatingPoint, Registers as UserRegisters};

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
    pub(super) fs_base: u64,
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

    /// All its general registers. After a system call `rcx` and `r11` are what that made of them.
    #[must_use]
    pub fn registers(&self) -> UserRegisters {
        let r = &self.registers;
        let (rcx, r11) = match r.resume {
            Resume::Sysret => (r.rip, r.rflags),
            Resume::Iret => (r.rcx, r.r11),
        };
        UserRegisters {
            rax: r.rax,
            rbx: r.rbx,
            rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            rbp: r.rbp,
            rsp: r.rsp,
            r8: r.r8,
            r9: r.r9,
            r10: r.r10,
            r11,
            r12: r.r12,
            r13: r.r13,
            r14: r.r14,
            r15: r.r15,
            rip: r.rip,
            rflags: r.rflags,
            fs_base: r.fs_base,
        }
    }

    /// Gives it these registers. It goes back to user mode by `iret`, which loads all.
    ///
    /// # Errors
    /// They are none that a thread may have; nothing has changed.
    pub fn set_registers(&mut self, registers: &UserRegisters) -> Result<(), Unfit> {
        let r = registers::checked(registers)?;
        self.registers = Registers {
            rax: r.rax,
            rbx: r.rbx,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            rbp: r.rbp,
            rsp: r.rsp,
            r8: r.r8,
            r9: r.r9,
            r10: r.r10,
            r11: r.r11,
            r12: r.r12,
            r13: r.r13,
            r14: r.r14,
            r15: r.r15,
            rip: r.rip,
            rflags: r.rflags,
            resume: Resume::Iret,
            fs_base: r.fs_base,
        };
        // The base of FS is loaded together with the floating-point state.
        self.fpu.unload();
        Ok(())
    }

    /// Its floating-point and SSE registers.
    pub fn floating_point(&mut self) -> FloatingPoint {
        self.fpu.read()
    }

    /// Gives it these floating-point and SSE registers.
    ///
    /// # Errors
    /// `Flags`: MXCSR has a bit set that this processor does not have; nothing has changed.
    pub fn set_floating_point(&mut self, state: &FloatingPoint) -> Result<(), Unfit> {
        self.fpu.write(state)
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
