//! Segments, the task state segment and the trap gates: what the processor looks up.
//!
//! Long mode needs few segments, in an order that `syscall` fixes. Every vector has a
//! gate, and every gate turns interrupts off; only breakpoint and overflow may be raised
//! by a user's instruction. Neighbours: `entry` has the code behind the gates.

use super::per_cpu::PerCpu;
use super::stacks::Event;
use super::{entry, vectors};
use ::x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use ::x86_64::instructions::tables::{lidt, load_tss};
use ::x86_64::structures::DescriptorTablePointer;
use ::x86_64::structures::gdt::{Descriptor, SegmentSelector};
use ::x86_64::{PrivilegeLevel, VirtAddr};
use core::arch::asm;
use core::cell::UnsafeCell;

/// The kernel's code segment. The order of all is the one that `syscall` and `sysret` want.
pub(super) const KERNEL_CODE: u16 = 0x08;
/// The kernel's data segment.
pub(super) const KERNEL_DATA: u16 = 0x10;
/// The user's data segment, with the user's privilege.
pub(super) const USER_DATA: u16 = 0x18 | 3;
/// The user's code segment, with the user's privilege.
pub(super) const USER_CODE: u16 = 0x20 | 3;

/// How many vectors there are.
const VECTORS: usize = 256;
/// A gate that is present and turns interrupts off.
const INTERRUPT_GATE: u64 = 0x8e00;
/// Privilege that a user's `int` instruction has.
const USER_MAY_RAISE: u64 = 0x6000;

/// A gate: 16 bytes, laid out by the processor's manual (vol. 3, 6.14.1).
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Gate([u64; 2]);

#[repr(C)]
struct Gates(UnsafeCell<[Gate; VECTORS]>);

// SAFETY: written by the first processor before any other one runs, then only read.
unsafe impl Sync for Gates {}

static GATES: Gates = Gates(UnsafeCell::new([Gate([0; 2]); VECTORS]));

impl Gate {
    fn new(vector: u8) -> Gate {
        let handler = entry::stub(vector);
        let stack = event_of(vector).map_or(0, |event| event as u64 + 1);
        let raise = if matches!(vector, vectors::BREAKPOINT | vectors::OVERFLOW) { USER_MAY_RAISE } else { 0 };
        let options = INTERRUPT_GATE | raise | stack;
        let low = (handler & 0xffff) | u64::from(KERNEL_CODE) << 16 | options << 32 | (handler >> 16 & 0xffff) << 48;
        Gate([low, handler >> 32])
    }
}

/// The event that a vector is, if it has a stack of its own.
pub(super) fn event_of(vector: u8) -> Option<Event> {
    match vector {
        vectors::NMI => Some(Event::Nmi),
        vectors::DOUBLE_FAULT => Some(Event::DoubleFault),
        vectors::MACHINE_CHECK => Some(Event::MachineCheck),
        vectors::DEBUG => Some(Event::Debug),
        _ => None,
    }
}

/// Makes the tables of this processor and loads them.
pub(super) fn load(cpu: &'static PerCpu) {
    load_segments(cpu);
    load_gates();
}

fn load_segments(cpu: &'static PerCpu) {
    // SAFETY: the processor does not use this TSS yet, so nothing else reads or writes it.
    let tss = unsafe { &mut *cpu.tss.get() };
    for event in Event::ALL {
        tss.interrupt_stack_table[event as usize] = VirtAddr::new(cpu.stacks().event_top(event));
    }
    // SAFETY: the processor does not use this table yet.
    let gdt = unsafe { &mut *cpu.gdt.get() };
    gdt.append(Descriptor::kernel_code_segment());
    gdt.append(Descriptor::kernel_data_segment());
    gdt.append(Descriptor::user_data_segment());
    gdt.append(Descriptor::user_code_segment());
    // SAFETY: the block is static.
    let tss = gdt.append(unsafe { Descriptor::tss_segment_unchecked(cpu.tss.get()) });
    // SAFETY: the table is static, complete, and never written again but by the
    // processor itself, which marks the TSS busy.
    unsafe { gdt.load_unsafe() };
    load_selectors(tss);
}

fn load_selectors(tss: SegmentSelector) {
    let [code, data] = [KERNEL_CODE, KERNEL_DATA].map(|s| SegmentSelector::new(s / 8, PrivilegeLevel::Ring0));
    // SAFETY: the new table's code segment is like the one in use.
    unsafe { CS::set_reg(code) };
    // SAFETY: a writable data segment of this privilege, as a stack needs.
    unsafe { SS::set_reg(data) };
    // SAFETY: in long mode the data segments' contents do not matter.
    unsafe { DS::set_reg(SegmentSelector::NULL) };
    // SAFETY: as for DS.
    unsafe { ES::set_reg(SegmentSelector::NULL) };
    // SAFETY: as for DS; nothing uses FS.
    unsafe { FS::set_reg(SegmentSelector::NULL) };
    // SAFETY: as for DS; the base is written right after.
    unsafe { GS::set_reg(SegmentSelector::NULL) };
    // SAFETY: the selector is of an available TSS that lives for ever.
    unsafe { load_tss(tss) };
    // A local table left by firmware, or the one of a reset, may be where a user can write.
    // SAFETY: a null selector: there is no local table, and nothing uses one.
    unsafe { asm!("lldt {:x}", in(reg) 0_u16, options(nomem, nostack, preserves_flags)) };
}

fn load_gates() {
    let gates: [Gate; VECTORS] = core::array::from_fn(|vector| Gate::new(vector as u8));
    // SAFETY: no processor uses the gates yet.
    unsafe { GATES.0.get().write(gates) };
    let table =
        DescriptorTablePointer { limit: size_of::<Gates>() as u16 - 1, base: VirtAddr::from_ptr(GATES.0.get()) };
    // SAFETY: the table is static and complete, and each gate leads to its stub.
    unsafe { lidt(&table) };
}
