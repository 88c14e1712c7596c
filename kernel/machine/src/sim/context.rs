//! A thread's registers: those that the kernel can see.
//!
//! The program itself is a script; it is found by the address the thread was started
//! at. Invariant: a thread that asked for something goes on only with an answer.

use super::script::Start;
use crate::VirtAddr;
use core::fmt;

/// What the thread did last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// Nothing that wants an answer.
    Nothing,
    /// The call that its script says.
    Call,
    /// To let others run, for want of a script.
    Turn,
    /// Nothing, but the processor refused to go on.
    Exception,
}

/// A thread's user registers.
#[derive(Debug)]
pub struct Context {
    entry: VirtAddr,
    stack: VirtAddr,
    argument: u64,
    number: u64,
    arguments: [u64; 6],
    pub(super) asked: Asked,
    pub(super) answer: Option<(i32, u64)>,
}

impl Context {
    /// Bytes of heap it holds besides itself.
    pub const HEAP_SIZE: usize = 0;

    /// The registers of a thread that starts at `entry`. Always `Some` here: nothing is allocated.
    #[must_use]
    pub fn new(entry: VirtAddr, stack: VirtAddr, argument: u64) -> Option<Context> {
        Some(Context { entry, stack, argument, number: 0, arguments: [0; 6], asked: Asked::Nothing, answer: None })
    }

    /// Number and arguments of the call it asks for.
    #[must_use]
    pub fn call(&self) -> (u64, [u64; 6]) {
        assert!(matches!(self.asked, Asked::Call | Asked::Turn), "the thread at {:?} asks for no call", self.entry);
        (self.number, self.arguments)
    }

    /// Answers the call.
    pub fn set_result(&mut self, code: i32, value: u64) {
        assert!(matches!(self.asked, Asked::Call | Asked::Turn), "the thread at {:?} asked for no call", self.entry);
        self.answer = Some((code, value));
    }

    /// Where it is.
    #[must_use]
    pub fn instruction(&self) -> VirtAddr {
        self.entry
    }

    /// Its stack pointer.
    #[must_use]
    pub fn stack(&self) -> VirtAddr {
        self.stack
    }

    pub(super) fn start(&self) -> Start {
        Start { stack: self.stack, argument: self.argument }
    }

    pub(super) fn ask(&mut self, asked: Asked, number: u64, arguments: [u64; 6]) {
        (self.asked, self.answer) = (asked, None);
        (self.number, self.arguments) = (number, arguments);
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rip {:#018x}  rsp {:#018x}  rdi {:#018x}", self.entry.0, self.stack.0, self.argument)?;
        writeln!(f, "{:?}: {:#x} {:x?}", self.asked, self.number, self.arguments)
    }
}
