//! Exceptions as messages: what a thread did that the processor refuses, told to a port.
//!
//! The kernel sends [`raise`] to the thread's exception port; without one, or if that
//! does not handle it, to its task's. The thread waits meanwhile. The message comes from
//! the kernel (its trailer says so), is taken whatever the port's capacity, and waits at
//! the cost of the task that made it; there is at most one for each thread. Its reply
//! goes by a send-once right to the kernel and decides:
//!
//! | what happens to the reply | what becomes of the thread |
//! |---|---|
//! | code 0 | it goes on, as [`Action`] says |
//! | another code, or a message that is no reply to `raise` | not handled |
//! | the right is destroyed unused, also with its holder or the port | not handled |
//! | the message cannot be queued: no port, no memory | not handled |
//!
//! Not handled at the thread's port means the task's is asked; not handled there, the task
//! ends with a line on the console. `thread_abort` ends the wait: the thread tries its
//! instruction again, and a reply that comes later does nothing. A handler that never
//! replies leaves the thread waiting, one that waits for itself, too.
//!
//! Where `rip` points: at the instruction that failed, which going on tries again; but
//! after a breakpoint instruction (`int3`) behind it, and after a single step
//! ([`TRAP_FLAG`](crate::registers::TRAP_FLAG), which stays set) at the next one.
//! Page faults that the kernel can resolve are no exceptions.
//!
//! Kinds and codes are Mach's (`mach/exception.h`, `mach/i386/exception.h`;
//! `exception_raise`). Neighbours: `task` and `thread` set the ports.

use crate::interface;
use crate::registers::Registers;

interface! {
    base 3600;

    /// A thread has raised an exception: its [`Kind`], a code of that kind, for
    /// [`Kind::BadAccess`] the address and what was tried there
    /// ([`Protection`](crate::Protection) bits), and its registers; with send rights to
    /// the thread and to its task. The reply says how to go on: an [`Action`], and for
    /// [`Action::GoOnWith`] the registers, which must be such as
    /// [`set_state`](crate::thread::set_state) takes.
    1 raise / Raise (kind: u32, code: u32, address: u64, access: u64, registers: Registers; thread, task)
        -> (action: u32, reserved: u32, registers: Registers);
}

/// What kind of exception it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// Memory that is not there, or not for this. The code is the number of an
    /// [`Error`](crate::Error): `InvalidAddress`, `ProtectionFailure`, `ResourceShortage`, `BeyondEnd`
    /// (Unix's bus error: the page was mapped, and its memory object has no such page);
    /// or one of [`code`].
    BadAccess = 1,
    /// An instruction that does not exist, or not for user code.
    BadInstruction = 2,
    /// Arithmetic without a result.
    Arithmetic = 3,
    /// A check by an instruction made for it.
    Software = 5,
    /// A breakpoint, or a single step.
    Breakpoint = 6,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Kind> {
        match code {
            1 => Some(Kind::BadAccess),
            2 => Some(Kind::BadInstruction),
            3 => Some(Kind::Arithmetic),
            5 => Some(Kind::Software),
            6 => Some(Kind::Breakpoint),
            _ => None,
        }
    }
}

/// Codes, for each kind.
pub mod code {
    /// `BadAccess`: a bad stack address.
    pub const STACK: u32 = 12;
    /// `BadAccess`: a non-canonical address, a bad selector, or a privileged instruction:
    /// the processor does not say which.
    pub const PROTECTION: u32 = 13;
    /// `BadAccess`: a misaligned address.
    pub const ALIGNMENT: u32 = 17;
    /// `BadInstruction`: it does not exist.
    pub const INVALID: u32 = 1;
    /// `BadInstruction`: another vector, whose number is added.
    pub const VECTOR: u32 = 0x100;
    /// `Arithmetic`: division by zero, or a quotient that does not fit.
    pub const DIVIDE: u32 = 1;
    /// `Arithmetic`: a floating-point error.
    pub const FLOATING_POINT: u32 = 5;
    /// `Software`: an overflow check.
    pub const OVERFLOW: u32 = 2;
    /// `Software`: a bound check.
    pub const BOUND: u32 = 7;
    /// `Breakpoint`: a single step.
    pub const STEP: u32 = 1;
    /// `Breakpoint`: the instruction.
    pub const BREAKPOINT: u32 = 2;
}

/// How the thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Action {
    /// With the registers it has: those sent, unless `set_state` has set others.
    GoOn = 0,
    /// With the registers in the reply.
    GoOnWith = 1,
}

impl Action {
    /// The action with this number.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Action> {
        match code {
            0 => Some(Action::GoOn),
            1 => Some(Action::GoOnWith),
            _ => None,
        }
    }
}
