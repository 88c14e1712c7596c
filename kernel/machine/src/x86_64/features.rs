//! What the processor can do, and the control registers that say what it shall do.
//!
//! Invariant: the control registers hold exactly what is named here. Protection that the
//! processor has is on; without NX, which W^X needs, the kernel does not run. Extended
//! state (OSXSAVE), writable FS and GS bases (FSGSBASE) and user performance counters
//! (PCE) are off, and so are hardware breakpoints; user code may read the time stamp counter (TSD is off).

use super::Refusal;
use crate::Frame;
use ::x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use ::x86_64::registers::debug::{Dr7, Dr7Value};
use ::x86_64::registers::model_specific::{Efer, EferFlags};
use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use portolan_abi::PAGE_SIZE;

/// Paging and protection on, x87 and SSE present, writes to read-only pages refused in
/// the kernel too, alignment checked for users who ask.
const CR0: Cr0Flags = Cr0Flags::PAGING
    .union(Cr0Flags::ALIGNMENT_MASK)
    .union(Cr0Flags::WRITE_PROTECT)
    .union(Cr0Flags::NUMERIC_ERROR)
    .union(Cr0Flags::EXTENSION_TYPE)
    .union(Cr0Flags::MONITOR_COPROCESSOR)
    .union(Cr0Flags::PROTECTED_MODE_ENABLE);

/// What every processor that the kernel runs on has.
const CR4: Cr4Flags = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
    .union(Cr4Flags::MACHINE_CHECK_EXCEPTION)
    .union(Cr4Flags::PAGE_GLOBAL)
    .union(Cr4Flags::OSFXSR)
    .union(Cr4Flags::OSXMMEXCPT_ENABLE);

const EFER: EferFlags = EferFlags::SYSTEM_CALL_EXTENSIONS
    .union(EferFlags::LONG_MODE_ENABLE)
    .union(EferFlags::LONG_MODE_ACTIVE)
    .union(EferFlags::NO_EXECUTE_ENABLE);

/// Protection that some processors have, with the bit of CPUID leaf 7 that says so.
#[derive(Clone, Copy)]
pub(super) struct Protection {
    pub(super) name: &'static str,
    pub(super) enabled_by: Cr4Flags,
    present: fn(&CpuidResult) -> bool,
}

/// All of it.
pub(super) const PROTECTIONS: [Protection; 3] = [
    Protection {
        name: "SMEP",
        enabled_by: Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        present: |leaf| leaf.ebx & 1 << 7 != 0,
    },
    Protection {
        name: "SMAP",
        enabled_by: Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION,
        present: |leaf| leaf.ebx & 1 << 20 != 0,
    },
    Protection {
        name: "UMIP",
        enabled_by: Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION,
        present: |leaf| leaf.ecx & 1 << 2 != 0,
    },
];

impl Protection {
    /// Whether this processor has it.
    pub(super) fn is_present(&self) -> bool {
        __cpuid(0).eax >= 7 && (self.present)(&__cpuid_count(7, 0))
    }
}

/// Sets the control registers.
///
/// # Errors
/// If the processor lacks something that the kernel cannot do without.
pub(super) fn enable() -> Result<(), Refusal> {
    require()?;
    // SAFETY: all bits are supported; long mode is what this code runs in.
    unsafe { Efer::write(EFER) };
    // SAFETY: paging and protection stay on; caches are on.
    unsafe { Cr0::write_raw(CR0.bits()) };
    // SAFETY: all bits are supported, and paging stays as it is; the kernel neither runs
    // nor touches pages of users.
    unsafe { Cr4::write_raw(cr4().bits()) };
    // No breakpoint that a debugger before us may have set: one on data can be made to
    // fire at the kernel's first instruction.
    Dr7::write(Dr7Value::from_bits_truncate(0));
    Ok(())
}

/// What CR4 holds on this processor.
pub(super) fn cr4() -> Cr4Flags {
    let has = PROTECTIONS.iter().filter(|protection| protection.is_present());
    has.fold(CR4, |flags, protection| flags | protection.enabled_by)
}

/// What CR0 holds.
pub(super) fn cr0() -> Cr0Flags {
    CR0
}

fn require() -> Result<(), Refusal> {
    let basic = __cpuid(1).edx;
    let extended = __cpuid(0x8000_0001).edx;
    let needs = [
        (extended & 1 << 20 != 0, "the processor has no NX (no-execute pages)"),
        (extended & 1 << 11 != 0, "the processor has no SYSCALL"),
        (basic & 1 << 7 != 0, "the processor has no MCE (machine check exception)"),
        (basic & 1 << 9 != 0, "the processor has no local APIC"),
        (basic & 1 << 13 != 0, "the processor has no PGE (global pages)"),
        (basic & 1 << 24 != 0, "the processor has no FXSR (saving of floating-point state)"),
        (basic & 1 << 26 != 0, "the processor has no SSE2"),
        (!Cr4::read().contains(Cr4Flags::L5_PAGING), "the loader has left five-level paging on"),
    ];
    match needs.iter().find(|(is_so, _)| !is_so) {
        Some((_, why)) => Err(Refusal(why)),
        None => Ok(()),
    }
}

/// The first frame that the processor cannot address.
pub(super) fn physical_limit() -> Frame {
    const ADDRESS_SIZES: u32 = 0x8000_0008;
    let known = __cpuid(0x8000_0000).eax >= ADDRESS_SIZES;
    let bits = if known { __cpuid(ADDRESS_SIZES).eax & 0xff } else { 36 };
    Frame(u32::try_from((1_u64 << bits) / PAGE_SIZE as u64).unwrap_or(u32::MAX))
}
