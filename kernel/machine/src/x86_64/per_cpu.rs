//! What each processor has of its own, reached through the GS register.
//!
//! In the kernel GS points to the processor's block, in user mode it does not; every
//! entry from user mode swaps it in, every way back swaps it out. The assembler code of
//! `entry` uses the first fields by their offsets.
//! Invariant: a block is used by its own processor only.

use super::context::Registers;
use super::fpu::FpuState;
use super::stacks::{self, Stacks};
use super::{descriptors, entry};
use crate::{CpuId, Frame, Lines};
use ::x86_64::VirtAddr;
use ::x86_64::registers::model_specific::{GsBase, KernelGsBase};
use ::x86_64::structures::gdt::GlobalDescriptorTable;
use ::x86_64::structures::tss::TaskStateSegment;
use core::cell::{Cell, UnsafeCell};
use core::num::NonZeroU64;
use core::ptr;

/// Most processors. One is started so far; all that is per processor is made for this many.
pub(super) const CPUS_MAX: usize = 1;

/// What a processor has of its own.
#[repr(C)]
pub(super) struct PerCpu {
    /// This block's address, to get from GS to a reference.
    itself: Cell<*const PerCpu>,
    /// Where the registers of the running thread go when it traps.
    pub(super) registers: Cell<*mut Registers>,
    /// A word for the first instructions of a trap, when no register is free.
    pub(super) scratch: Cell<u64>,
    /// Puts the stack pointer in the TSS at a multiple of 8.
    _align: u32,
    /// Its first stack pointer is the kernel's while a thread runs.
    pub(super) tss: UnsafeCell<TaskStateSegment>,
    /// The segments, with this processor's TSS.
    pub(super) gdt: UnsafeCell<GlobalDescriptorTable>,
    /// The address space that is loaded.
    pub(super) root: Cell<Frame>,
    /// Whose floating-point state is in the processor.
    pub(super) fpu_owner: Cell<*mut FpuState>,
    /// Where FS begins, unless user code has loaded a selector: then at 0.
    pub(super) fs_base: Cell<u64>,
    /// Whether interrupts may be let in during the kernel's work: once the machine is made, until a panic.
    pub(super) lets_in: Cell<bool>,
    /// Whether an interrupt has come in the kernel that it has not been told of.
    pub(super) came: Cell<bool>,
    /// Whether the timer was one.
    pub(super) timer: Cell<bool>,
    /// The devices that were.
    pub(super) lines: Cell<Lines>,
    /// Instructions of the kernel's, about, since it last let interrupts in during long work.
    pub(super) worked: Cell<u32>,
    /// When, by the time stamp counter, the non-maskable interrupt came that it has not been told of.
    pub(super) demanded: Cell<Option<NonZeroU64>>,
    /// Whether it waits for an interrupt.
    pub(super) idle: Cell<bool>,
    /// Interrupts that nobody asked for.
    pub(super) spurious: Cell<u64>,
    /// The registers of the kernel's fault, for the panic it leads to.
    pub(super) fault: Cell<*const entry::Fault>,
    /// Its number.
    pub(super) id: CpuId,
}

// SAFETY: a block is used by its own processor only, so its cells are never shared.
unsafe impl Sync for PerCpu {}

static PER_CPU: [PerCpu; CPUS_MAX] = [PerCpu::new(0)];

/// Makes the first processor's block current: segments, trap gates, stacks, GS.
pub(super) fn start_first() -> &'static PerCpu {
    let block = &PER_CPU[0];
    block.itself.set(block);
    block.stacks().plant_canary();
    descriptors::load(block);
    // Loading selectors has cleared GS; from now on it is this block.
    GsBase::write(VirtAddr::from_ptr(block));
    KernelGsBase::write(VirtAddr::zero());
    block
}

impl PerCpu {
    const fn new(id: u16) -> PerCpu {
        PerCpu {
            itself: Cell::new(ptr::null()),
            registers: Cell::new(ptr::null_mut()),
            scratch: Cell::new(0),
            _align: 0,
            tss: UnsafeCell::new(TaskStateSegment::new()),
            gdt: UnsafeCell::new(GlobalDescriptorTable::new()),
            root: Cell::new(Frame(0)),
            fpu_owner: Cell::new(ptr::null_mut()),
            fs_base: Cell::new(0),
            lets_in: Cell::new(false),
            came: Cell::new(false),
            timer: Cell::new(false),
            lines: Cell::new(Lines::NONE),
            worked: Cell::new(0),
            demanded: Cell::new(None),
            idle: Cell::new(false),
            spurious: Cell::new(0),
            fault: Cell::new(ptr::null()),
            id: CpuId(id),
        }
    }

    /// The block of the processor this runs on.
    #[inline]
    pub(super) fn current() -> &'static PerCpu {
        let block: *const PerCpu;
        // SAFETY: in the kernel GS is the current block, whose first field is its address.
        unsafe {
            core::arch::asm!("mov {}, gs:[0]", out(reg) block, options(nostack, preserves_flags, readonly, pure));
        }
        // SAFETY: the address is that of a static.
        unsafe { &*block }
    }

    /// One interrupt more that nobody asked for.
    pub(super) fn count_spurious(&self) {
        self.spurious.set(self.spurious.get() + 1);
    }

    /// Its stacks.
    pub(super) fn stacks(&self) -> &'static Stacks {
        stacks::of(self.id.0.into())
    }
}
