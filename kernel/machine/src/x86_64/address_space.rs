//! Which address space is loaded, and the half that all of them share.
//!
//! Invariants: the top-level entries that lead to the kernel's half do not change once it is
//! adopted, so they can be copied into every address space; what a processor's block
//! says is loaded is loaded. Neighbours: `kernel_half` makes the half, `row` adds to it, `pmap` makes the users'.

use super::layout::{APIC, ARENAS, IMAGE_OFFSET, PHYSMAP, PRIVATE};
use super::memory::Memory;
use super::per_cpu::PerCpu;
use super::tables::{TOP, Tables, index, slot};
use crate::{Frame, FrameRange, PhysAddr, VirtAddr};
use ::x86_64::instructions::tlb;
use ::x86_64::registers::control::{Cr3, Cr3Flags};
use ::x86_64::structures::paging::PhysFrame;
use spin::Once;

/// The top-level entries that the kernel's half has.
const TOP_ENTRIES: [u64; 5] =
    [index(PHYSMAP, TOP), index(PRIVATE, TOP), index(ARENAS, TOP), index(APIC, TOP), index(IMAGE_OFFSET, TOP)];

/// The kernel's half.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelHalf {
    /// The frames with its tables and the heap, mapped in a row from `PRIVATE`. The first
    /// one is the top table of an address space with nothing else.
    pub(super) private: FrameRange,
    /// What `TOP_ENTRIES` hold.
    entries: [u64; TOP_ENTRIES.len()],
}

static KERNEL_HALF: Once<KernelHalf> = Once::new();

impl KernelHalf {
    /// The half that these tables, in the first of the private frames, describe.
    pub(super) fn new(private: FrameRange, tables: &Tables) -> KernelHalf {
        KernelHalf { private, entries: TOP_ENTRIES.map(|index| tables.top_entry(index)) }
    }

    /// The address space with nothing but it.
    pub(super) fn root(&self) -> Frame {
        self.private.start
    }

    /// Where a private frame is mapped.
    ///
    /// # Panics
    /// If it is none.
    pub(super) fn address(&self, frame: Frame) -> u64 {
        assert!((self.private.start..self.private.end).contains(&frame), "{frame:?} is not the kernel's own");
        PRIVATE + (frame.start().0 - self.private.start.start().0)
    }

    /// The private frame that is mapped there.
    pub(super) fn frame(&self, address: u64) -> Frame {
        self.private.start.start().plus((address - PRIVATE) as usize).frame()
    }
}

/// The kernel's half.
pub(super) fn kernel_half() -> &'static KernelHalf {
    KERNEL_HALF.get().expect("the kernel's half is made before it is used")
}

/// Loads the kernel's half, for good.
pub(super) fn adopt(cpu: &PerCpu, half: KernelHalf) {
    load(cpu, KERNEL_HALF.call_once(|| half).root());
}

/// The top table in use.
pub(super) fn loaded() -> Frame {
    PhysAddr(Cr3::read().0.start_address().as_u64()).frame()
}

/// Makes an address space the processor's, if it is not.
#[inline]
pub(super) fn load(cpu: &PerCpu, root: Frame) {
    if cpu.root.get() != root {
        cpu.root.set(root);
        let table = PhysFrame::containing_address(::x86_64::PhysAddr::new(root.start().0));
        // SAFETY: every address space has the kernel's half, where all that is in use is.
        unsafe { Cr3::write(table, Cr3Flags::empty()) };
    }
}

/// Gives an empty top table the kernel's half.
pub(crate) fn share_kernel_half(memory: &mut Memory, root: Frame) {
    for (index, entry) in TOP_ENTRIES.into_iter().zip(kernel_half().entries) {
        memory.write_u64(slot(root, index), entry);
    }
}

/// Forgets a translation, if the address space it was in is loaded.
pub(crate) fn flush(_memory: &mut Memory, root: Frame, page: VirtAddr) {
    if PerCpu::current().root.get() == root {
        tlb::flush(::x86_64::VirtAddr::new(page.0));
    }
}

/// Forgets all translations of the user's half, if the address space is loaded.
pub(crate) fn flush_all(_memory: &mut Memory, root: Frame) {
    if PerCpu::current().root.get() == root {
        tlb::flush_all();
    }
}

/// Leaves an address space whose tables are about to go.
pub(crate) fn unload(_memory: &mut Memory, root: Frame) {
    let cpu = PerCpu::current();
    if cpu.root.get() == root {
        load(cpu, kernel_half().root());
    }
}
