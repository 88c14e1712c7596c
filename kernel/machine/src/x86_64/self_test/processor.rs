//! The processor's registers and tables.

use super::super::descriptors::{self, KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA};
use super::super::per_cpu::PerCpu;
use super::super::stacks::Event;
use super::super::vectors::{BREAKPOINT, OVERFLOW};
use super::super::{features, layout};
use super::{Bench, Verdict, check, tests};
use ::x86_64::instructions::interrupts;
use ::x86_64::instructions::tables::sidt;
use ::x86_64::registers::control::{Cr0, Cr4, Cr4Flags};
use ::x86_64::registers::debug::{Dr7, Dr7Flags};
use ::x86_64::registers::model_specific::{Efer, EferFlags, FsBase, GsBase, KernelGsBase, LStar, SFMask, Star};
use ::x86_64::registers::rflags::{self, RFlags};

tests![
    control_registers_are_exact,
    protection_that_exists_is_on,
    system_calls_mask_dangerous_flags,
    system_calls_use_the_right_segments,
    gs_is_the_processors_block,
    every_vector_has_a_gate,
    events_have_stacks_of_their_own,
    interrupts_are_off_in_the_kernel,
    canary_of_the_stack_lives,
];

fn control_registers_are_exact(_: &mut Bench) -> Verdict {
    check(Cr0::read_raw() == features::cr0().bits(), "CR0 is not what was set")?;
    check(Cr4::read_raw() == features::cr4().bits(), "CR4 is not what was set")?;
    let off =
        Cr4Flags::OSXSAVE | Cr4Flags::FSGSBASE | Cr4Flags::PERFORMANCE_MONITOR_COUNTER | Cr4Flags::TIMESTAMP_DISABLE;
    check(!Cr4::read().intersects(off), "CR4 has something on that must be off")?;
    let breakpoints = Dr7Flags::all() - Dr7Flags::RESTRICTED_TRANSACTIONAL_MEMORY;
    check(!Dr7::read().flags().intersects(breakpoints), "a hardware breakpoint is on")?;
    check(
        Efer::read().contains(EferFlags::NO_EXECUTE_ENABLE | EferFlags::SYSTEM_CALL_EXTENSIONS),
        "EFER lacks NXE or SCE",
    )
}

fn protection_that_exists_is_on(_: &mut Bench) -> Verdict {
    for protection in features::PROTECTIONS {
        check(Cr4::read().contains(protection.enabled_by) == protection.is_present(), protection.name)?;
    }
    Ok(())
}

fn system_calls_mask_dangerous_flags(_: &mut Bench) -> Verdict {
    let all = RFlags::INTERRUPT_FLAG
        | RFlags::TRAP_FLAG
        | RFlags::DIRECTION_FLAG
        | RFlags::NESTED_TASK
        | RFlags::ALIGNMENT_CHECK
        | RFlags::IOPL_LOW
        | RFlags::IOPL_HIGH
        | RFlags::RESUME_FLAG;
    check(SFMask::read() == all, "SFMASK is not exact")
}

fn system_calls_use_the_right_segments(_: &mut Bench) -> Verdict {
    let (sysret, syscall) = Star::read_raw();
    let ours = (KERNEL_CODE, KERNEL_DATA, USER_DATA, USER_CODE);
    check((syscall, syscall + 8, sysret + 8, sysret + 16) == ours, "STAR is not exact")?;
    check(layout::text().contains(LStar::read().as_u64()), "LSTAR is not in the code")
}

fn gs_is_the_processors_block(_: &mut Bench) -> Verdict {
    let block: *const PerCpu = PerCpu::current();
    check(GsBase::read().as_u64() == block.addr() as u64, "GS is another")?;
    check(KernelGsBase::read().is_null(), "the user's GS base is not 0")?;
    check(FsBase::read().is_null(), "the FS base is not 0")
}

fn every_vector_has_a_gate(_: &mut Bench) -> Verdict {
    for vector in 0..=255 {
        let (low, high) = gate(vector);
        let handler = (low & 0xffff) | (low >> 48) << 16 | high << 32;
        check(layout::text().contains(handler), "a gate leads out of the code")?;
        check(low >> 40 & 0x9f == 0x8e, "a gate is not a present interrupt gate")?;
        let user = low >> 45 & 3 == 3;
        check(user == matches!(vector, BREAKPOINT | OVERFLOW), "a user may raise the wrong vectors")?;
    }
    Ok(())
}

fn events_have_stacks_of_their_own(_: &mut Bench) -> Verdict {
    for vector in 0..=255 {
        let stack = (gate(vector).0 >> 32 & 7) as usize;
        let expected = descriptors::event_of(vector).map_or(0, |event| event as usize + 1);
        check(stack == expected, "a gate has the wrong stack")?;
    }
    check([1, 2, 8, 18].iter().all(|&vector| gate(vector).0 >> 32 & 7 != 0), "an event has none")?;
    let stacks = PerCpu::current().stacks();
    let tops = Event::ALL.map(|event| stacks.event_top(event));
    check((1..tops.len()).all(|i| !tops[..i].contains(&tops[i])), "two events share one")
}

fn interrupts_are_off_in_the_kernel(_: &mut Bench) -> Verdict {
    check(!interrupts::are_enabled(), "they are on")?;
    check(!rflags::read().intersects(RFlags::DIRECTION_FLAG | RFlags::ALIGNMENT_CHECK), "a user's flag is set")
}

fn canary_of_the_stack_lives(_: &mut Bench) -> Verdict {
    check(PerCpu::current().stacks().canary_lives(), "it is dead")
}

/// The two words of a vector's gate, as the processor has them.
fn gate(vector: u8) -> (u64, u64) {
    let table = sidt().base.as_ptr::<(u64, u64)>();
    let gate = table.wrapping_add(vector.into());
    // SAFETY: the table has 256 gates of two words.
    unsafe { gate.read() }
}
