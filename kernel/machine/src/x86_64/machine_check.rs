//! What the processor has recorded about errors of its own, for a panic to show.

use ::x86_64::registers::model_specific::Msr;
use core::arch::x86_64::__cpuid;
use core::fmt;

/// Capabilities; the low byte is the number of banks.
const CAPABILITIES: u32 = 0x179;
/// The first bank's status; each bank has four registers.
const FIRST_STATUS: u32 = 0x401;
const REGISTERS: u32 = 4;
/// The bank's record is valid.
const VALID: u64 = 1 << 63;

/// Shows every bank that has recorded an error.
pub(super) fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
    for bank in 0..banks() {
        let status = read(FIRST_STATUS + bank * REGISTERS);
        if status & VALID != 0 {
            writeln!(out, "machine check bank {bank}: status {status:016x}")?;
        }
    }
    Ok(())
}

fn banks() -> u32 {
    const HAS_BANKS: u32 = 1 << 14;
    if __cpuid(1).edx & HAS_BANKS == 0 {
        return 0;
    }
    (read(CAPABILITIES) & 0xff) as u32
}

fn read(register: u32) -> u64 {
    // SAFETY: a register that exists if the processor has banks; reading changes nothing.
    unsafe { Msr::new(register).read() }
}
