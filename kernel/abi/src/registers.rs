//! A thread's registers, as `thread::get_state` shows and `thread::set_state` sets them.
//!
//! Neighbours: `thread` has the routines, `exception` sends registers in messages, the
//! machine loads and stores them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The general registers of a thread of x86-64, and what belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "each is the register of the same name")]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    /// The next instruction; set, it must be below [`USER_END`](crate::vm::USER_END).
    pub rip: u64,
    /// The flags; set, all but [`USER_FLAGS`] and [`FIXED_FLAGS`] must be 0.
    pub rflags: u64,
    /// Where the FS segment begins: the thread's own storage. Set, it must be below
    /// [`USER_END`](crate::vm::USER_END).
    pub fs_base: u64,
}

/// Flags that a thread may have set or not: carry, parity, adjust, zero, sign, trap
/// (single step), direction, overflow, nested task, resume, alignment check, id.
pub const USER_FLAGS: u64 =
    1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | TRAP_FLAG | 1 << 10 | 1 << 11 | 1 << 14 | 1 << 16 | 1 << 18 | 1 << 21;
/// Flags that every thread has set, whatever is asked: interrupts on, and bit 1.
pub const FIXED_FLAGS: u64 = 1 << 1 | 1 << 9;
/// The flag that makes the processor stop after each instruction, with a breakpoint exception.
pub const TRAP_FLAG: u64 = 1 << 8;

/// Floating-point and SSE registers, in the layout of the FXSAVE instruction (Intel's
/// manual, vol. 1, 10.5.1). Bytes 24–27 are MXCSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct FloatingPoint {
    /// The 512 bytes.
    pub bytes: [u8; 512],
}
