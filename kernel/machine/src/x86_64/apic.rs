//! The processor's local interrupt controller: its timer, and the end of interrupts.
//!
//! Used by its memory-mapped registers (xAPIC), which every PC has; they are mapped at
//! `layout::APIC`, uncached. The timer fires once. Let in are the line for non-maskable
//! interrupts, and the one on which the old controllers speak for the devices. Neighbours: `clock` measures the timer's speed.

use super::{Refusal, layout};
use crate::PhysAddr;
use ::x86_64::registers::model_specific::{ApicBase, ApicBaseFlags};
use core::ptr::{NonNull, without_provenance_mut};
use volatile::VolatilePtr;

/// Vector of the timer.
pub(super) const TIMER: u8 = 0x40;
/// Vector of the controller's own errors.
const ERROR: u8 = 0x41;
/// Vector of an interrupt that went away before it was taken.
const SPURIOUS: u8 = 0xff;

/// Bit of a local vector that keeps it quiet.
const MASKED: u32 = 1 << 16;
/// Delivery mode of the line for non-maskable interrupts.
const AS_NMI: u32 = 4 << 8;
/// Delivery mode of the line on which an old controller says the vector itself.
const AS_EXTERNAL: u32 = 7 << 8;
/// Software enable, in the register of the spurious vector.
const ENABLED: u32 = 1 << 8;
/// Divides the timer's clock by 16: a second and more fits in 32 bits on all machines.
const DIVIDE_BY_16: u32 = 0b0011;

/// A register, by its distance from the first one.
#[derive(Clone, Copy)]
enum Register {
    TaskPriority = 0x80,
    EndOfInterrupt = 0xb0,
    SpuriousVector = 0xf0,
    /// Those of the vectors from 0x40 to 0x5f that wait to be taken.
    Requests2 = 0x220,
    ErrorStatus = 0x280,
    Timer = 0x320,
    ThermalSensor = 0x330,
    PerformanceCounter = 0x340,
    Line0 = 0x350,
    Line1 = 0x360,
    Error = 0x370,
    InitialCount = 0x380,
    CurrentCount = 0x390,
    DivideConfiguration = 0x3e0,
}

/// The physical address of the registers.
///
/// # Errors
/// If they cannot be reached in memory.
pub(super) fn address() -> Result<PhysAddr, Refusal> {
    let (frame, flags) = ApicBase::read();
    if flags.contains(ApicBaseFlags::X2APIC_ENABLE) {
        return Err(Refusal("the firmware has left the local APIC in x2APIC mode, which is not supported"));
    }
    Ok(PhysAddr(frame.start_address().as_u64()))
}

/// Turns the controller on, with the timer stopped.
pub(super) fn enable() {
    let (frame, flags) = ApicBase::read();
    // SAFETY: the address stays as it is and is mapped as a device.
    unsafe { ApicBase::write(frame, flags | ApicBaseFlags::LAPIC_ENABLE) };
    write(Register::TaskPriority, 0);
    write(Register::Line0, AS_EXTERNAL);
    write(Register::Line1, AS_NMI);
    write(Register::ThermalSensor, MASKED);
    write(Register::PerformanceCounter, MASKED);
    write(Register::Error, ERROR.into());
    write(Register::ErrorStatus, 0);
    write(Register::DivideConfiguration, DIVIDE_BY_16);
    write(Register::Timer, TIMER.into());
    start_timer(None);
    write(Register::SpuriousVector, ENABLED | u32::from(SPURIOUS));
}

/// Lets the timer fire once after this many of its ticks; `None`, or zero, stops it.
pub(super) fn start_timer(ticks: Option<u32>) {
    write(Register::InitialCount, ticks.unwrap_or(0));
}

/// The timer's ticks that are left.
pub(super) fn timer_ticks() -> u32 {
    read(Register::CurrentCount)
}

/// Whether the timer's interrupt waits to be taken.
pub(super) fn timer_is_pending() -> bool {
    const BIT: u32 = 1 << (TIMER % 32);
    const { assert!(TIMER / 32 == 2) };
    read(Register::Requests2) & BIT != 0
}

/// Tells the controller that this interrupt has been taken.
pub(super) fn acknowledge(vector: u8) {
    if vector == ERROR {
        write(Register::ErrorStatus, 0);
    }
    // The controller does not wait for an answer to a spurious interrupt; answering would
    // end another one.
    if vector != SPURIOUS {
        write(Register::EndOfInterrupt, 0);
    }
}

fn read(register: Register) -> u32 {
    at(register).read()
}

fn write(register: Register, value: u32) {
    at(register).write(value);
}

fn at(register: Register) -> VolatilePtr<'static, u32> {
    let address = without_provenance_mut((layout::APIC + register as u64) as usize);
    // SAFETY: the address is not null.
    let pointer = unsafe { NonNull::new_unchecked(address) };
    // SAFETY: a device register of 32 bits, mapped for ever, that only its own processor reaches.
    unsafe { VolatilePtr::new(pointer) }
}
