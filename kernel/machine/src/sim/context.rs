//! A thread's registers: those that the kernel can see.
//!
//! The program itself is a script; it is found by the address the thread was started
//! at, or at the one its instruction pointer has been set to since. Invariant: a thread that asked for something goes on only with an answer.

use super::script::Start;
use crate::{Unfit, VirtAddr, registers};
use core::fmt;
use portolan_abi::registers::{FIXED_FLAGS, FloatingPoint, Registers};

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
    registers: Registers,
    floating_point: FloatingPoint,
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
        let rflags = FIXED_FLAGS;
        let registers = Registers { rip: entry.0, rsp: stack.0, rdi: argument, rflags, ..Registers::default() };
        let floating_point = FloatingPoint { bytes: [0; 512] };
        let (number, arguments) = (0, [0; 6]);
        Some(Context { registers, floating_point, number, arguments, asked: Asked::Nothing, answer: None })
    }

    /// All its general registers; of a call in progress they show nothing.
    #[must_use]
    pub fn registers(&self) -> Registers {
        self.registers
    }

    /// Gives it these registers. It goes on with the script at the instruction pointer;
    /// if that is another one, what it asked for is forgotten.
    ///
    /// # Errors
    /// They are none that a thread may have; nothing has changed.
    pub fn set_registers(&mut self, registers: &Registers) -> Result<(), Unfit> {
        let registers = registers::checked(registers)?;
        if registers.rip != self.registers.rip {
            (self.asked, self.answer) = (Asked::Nothing, None);
        }
        self.registers = registers;
        Ok(())
    }

    /// Its floating-point and SSE registers.
    pub fn floating_point(&mut self) -> FloatingPoint {
        self.floating_point
    }

    /// Gives it these floating-point and SSE registers.
    ///
    /// # Errors
    /// `Flags`: MXCSR has one of its upper bits set; nothing has changed.
    pub fn set_floating_point(&mut self, state: &FloatingPoint) -> Result<(), Unfit> {
        if state.bytes[26..28] != [0; 2] {
            return Err(Unfit::Flags);
        }
        self.floating_point = *state;
        Ok(())
    }

    /// Number and arguments of the call it asks for.
    #[must_use]
    pub fn call(&self) -> (u64, [u64; 6]) {
        assert!(
            matches!(self.asked, Asked::Call | Asked::Turn),
            "the thread at {:?} asks for no call",
            self.instruction()
        );
        (self.number, self.arguments)
    }

    /// Answers the call.
    pub fn set_result(&mut self, code: i32, value: u64) {
        assert!(
            matches!(self.asked, Asked::Call | Asked::Turn),
            "the thread at {:?} asked for no call",
            self.instruction()
        );
        self.answer = Some((code, value));
    }

    /// Where it is.
    #[must_use]
    pub fn instruction(&self) -> VirtAddr {
        VirtAddr(self.registers.rip)
    }

    /// Its stack pointer.
    #[must_use]
    pub fn stack(&self) -> VirtAddr {
        VirtAddr(self.registers.rsp)
    }

    pub(super) fn start(&self) -> Start {
        Start { stack: self.stack(), argument: self.registers.rdi }
    }

    pub(super) fn ask(&mut self, asked: Asked, number: u64, arguments: [u64; 6]) {
        (self.asked, self.answer) = (asked, None);
        (self.number, self.arguments) = (number, arguments);
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "rip {:#018x}  rsp {:#018x}  rdi {:#018x}",
            self.registers.rip, self.registers.rsp, self.registers.rdi
        )?;
        writeln!(f, "{:?}: {:#x} {:x?}", self.asked, self.number, self.arguments)
    }
}
