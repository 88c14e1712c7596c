//! A processor, as the kernel sees it: run a thread, wait, tell the time.
//!
//! Invariants: interrupts are off except in `run`'s user mode, in `idle`, in `poll` and in `pace`;
//! `Trap::Timer` comes once for a deadline and never before it.
//! Neighbours: `entry` does the crossing, `apic` fires the deadline, `clock` tells time.

use super::clock::Clock;
use super::context::Context;
use super::entry::{self, Exit, Resume};
use super::interrupts::{self, Source};
use super::layout::USER_LIMIT;
use super::per_cpu::PerCpu;
use super::{address_space, apic, panic, vectors};
use crate::{Access, CpuId, Exception, Frame, Instant, Lines, Trap, VirtAddr};
use ::x86_64::instructions::interrupts::{disable, enable, enable_and_hlt};
use ::x86_64::instructions::nop;
use ::x86_64::registers::control::Cr2;
use ::x86_64::registers::model_specific::FsBase;
use core::marker::PhantomData;

/// Page fault error code: the access was a write.
const WRITE: u64 = 1 << 1;
/// Page fault error code: the access was made with a user's rights.
const USER: u64 = 1 << 2;
/// Page fault error code: an entry has a bit set that must not be.
const RESERVED: u64 = 1 << 3;
/// Page fault error code: the access was an instruction's fetch.
const FETCH: u64 = 1 << 4;

/// One processor: the one that the holder runs on.
pub struct Cpu {
    per_cpu: &'static PerCpu,
    clock: Clock,
    deadline: Option<Instant>,
    /// It cannot go to another processor.
    _stays: PhantomData<*const ()>,
}

impl Cpu {
    pub(super) fn new(per_cpu: &'static PerCpu, clock: Clock) -> Cpu {
        per_cpu.lets_in.set(true);
        Cpu { per_cpu, clock, deadline: None, _stays: PhantomData }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> CpuId {
        self.per_cpu.id
    }

    /// Runs a thread in the address space whose top table is `root` until it traps; not at all, if an
    /// interrupt has come in the kernel that is to be told of.
    #[inline]
    pub fn run(&mut self, context: &mut Context, root: Frame) -> Trap {
        if self.per_cpu.came.get() {
            return self.came();
        }
        let registers = &mut context.registers;
        if registers.resume == Resume::Iret && !is_canonical(registers.rip) {
            // `iret` would fault in the kernel; the thread is to blame.
            return Trap::Exception(Exception::Protection);
        }
        address_space::load(self.per_cpu, root);
        if context.fpu.load(self.per_cpu) {
            load_fs_base(self.per_cpu, registers.fs_base);
        }
        // SAFETY: every root that a Pmap made shares the kernel's half; the registers are
        // borrowed exclusively; the instruction pointer was checked above for `iret`, and
        // for `sysret` nothing but `enter` has written it.
        let exit = unsafe { entry::enter(&raw mut *registers) };
        debug_assert!(self.per_cpu.stacks().canary_lives(), "the kernel's stack was full");
        if exit.vector == entry::SYSCALL {
            registers.resume = Resume::Sysret;
            return Trap::Syscall;
        }
        registers.resume = Resume::Iret;
        let at = registers.rip;
        self.trap(exit, at)
    }

    /// Waits, interrupts on, for the deadline or another interrupt.
    pub fn idle(&mut self) -> Trap {
        if !self.per_cpu.came.get() {
            self.per_cpu.idle.set(true);
            enable_and_hlt();
            disable();
            self.per_cpu.idle.set(false);
        }
        self.came()
    }

    /// Lets interrupts in that have come meanwhile, and says what came; `Spurious` if nothing did.
    pub fn poll(&mut self) -> Trap {
        enable();
        // The instruction after `sti` still runs without interrupts.
        nop();
        disable();
        self.came()
    }

    /// What came while interrupts were on in the kernel.
    #[inline(never)]
    fn came(&mut self) -> Trap {
        if self.per_cpu.demanded.take().is_some() {
            // Whatever else came is the next trap.
            return Trap::NonMaskable;
        }
        self.per_cpu.came.set(false);
        let (timer, lines) = (self.per_cpu.timer.take(), self.per_cpu.lines.take());
        match (timer, lines) {
            (false, Lines::NONE) => Trap::Spurious,
            (true, Lines::NONE) => self.timer_fired(),
            (timer, lines) => {
                if timer {
                    // The deadline may have come, too: that is the next trap.
                    self.arm();
                }
                Trap::Interrupt(lines)
            }
        }
    }

    /// The time.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Asks for `Trap::Timer` at this time, instead of any other; if it is past, at once.
    pub fn set_deadline(&mut self, at: Option<Instant>) {
        self.deadline = at;
        self.arm();
    }

    /// Starts or stops the timer. A deadline too far for it makes it fire early, and again.
    fn arm(&self) {
        let ticks = self.deadline.map(|at| self.clock.ticks_until(at));
        apic::start_timer(ticks);
    }

    /// What a trap from user mode, other than a system call, is to the kernel; `at` is the
    /// thread's next instruction.
    #[inline(never)]
    fn trap(&mut self, exit: Exit, at: u64) -> Trap {
        let vector = exit.vector as u8;
        match vector {
            vectors::PAGE_FAULT => page_fault(exit.error),
            vectors::NMI => Trap::NonMaskable,
            vectors::DOUBLE_FAULT | vectors::MACHINE_CHECK => panic::from_user(vector, at),
            vectors::FIRST_INTERRUPT.. => match interrupts::take(vector) {
                Source::Timer => self.timer_fired(),
                Source::Device(line) => Trap::Interrupt(Lines::NONE.with(line)),
                Source::Nobody => {
                    self.per_cpu.count_spurious();
                    Trap::Spurious
                }
            },
            _ => Trap::Exception(exception(vector)),
        }
    }

    /// What the timer's interrupt is to the kernel.
    fn timer_fired(&mut self) -> Trap {
        match self.deadline {
            Some(at) if self.now() >= at => {
                self.deadline = None;
                Trap::Timer
            }
            // Too early, or for a deadline that was changed.
            Some(_) => {
                self.arm();
                Trap::Spurious
            }
            None => Trap::Spurious,
        }
    }
}

/// Lets FS begin where the thread's storage does. What a thread before made of FS, by
/// loading a selector, goes with it: only base 0 may be left as it is, which every selector has.
#[inline]
fn load_fs_base(cpu: &PerCpu, base: u64) {
    if base | cpu.fs_base.get() != 0 {
        cpu.fs_base.set(base);
        FsBase::write(::x86_64::VirtAddr::new(base));
    }
}

/// Whether the processor accepts it as an address.
fn is_canonical(address: u64) -> bool {
    address < USER_LIMIT || address >= USER_LIMIT.wrapping_neg()
}

fn page_fault(error: u64) -> Trap {
    assert!(error & RESERVED == 0, "a page table entry has reserved bits set");
    if error & USER == 0 {
        // An instruction that reaches memory with the kernel's rights; mapping the page would not help. On a
        // processor, one that needs a descriptor; in QEMU, `iretq`, whose stack SMAP then forbids.
        return Trap::Exception(Exception::Protection);
    }
    let access = match error {
        _ if error & FETCH != 0 => Access::Execute,
        _ if error & WRITE != 0 => Access::Write,
        _ => Access::Read,
    };
    Trap::PageFault { address: VirtAddr(Cr2::read_raw()), access }
}

fn exception(vector: u8) -> Exception {
    match vector {
        vectors::DIVIDE => Exception::Divide,
        vectors::DEBUG => Exception::Debug,
        vectors::BREAKPOINT => Exception::Breakpoint,
        vectors::OVERFLOW => Exception::Overflow,
        vectors::BOUND => Exception::Bound,
        vectors::INVALID_INSTRUCTION => Exception::InvalidInstruction,
        vectors::INVALID_TSS | vectors::SEGMENT_NOT_PRESENT | vectors::PROTECTION => Exception::Protection,
        vectors::STACK => Exception::Stack,
        vectors::X87 | vectors::SIMD => Exception::FloatingPoint,
        vectors::ALIGNMENT => Exception::Alignment,
        other => Exception::Other(other),
    }
}
