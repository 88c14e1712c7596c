//! The processor's vectors: what each exception is called, and where interrupts begin.

pub(super) const DIVIDE: u8 = 0;
pub(super) const DEBUG: u8 = 1;
pub(super) const NMI: u8 = 2;
pub(super) const BREAKPOINT: u8 = 3;
pub(super) const OVERFLOW: u8 = 4;
pub(super) const BOUND: u8 = 5;
pub(super) const INVALID_INSTRUCTION: u8 = 6;
pub(super) const DOUBLE_FAULT: u8 = 8;
pub(super) const INVALID_TSS: u8 = 10;
pub(super) const SEGMENT_NOT_PRESENT: u8 = 11;
pub(super) const STACK: u8 = 12;
pub(super) const PROTECTION: u8 = 13;
pub(super) const PAGE_FAULT: u8 = 14;
pub(super) const X87: u8 = 16;
pub(super) const ALIGNMENT: u8 = 17;
pub(super) const MACHINE_CHECK: u8 = 18;
pub(super) const SIMD: u8 = 19;
/// First vector that is an interrupt's.
pub(super) const FIRST_INTERRUPT: u8 = 32;

/// What the manuals call it.
pub(super) fn name(vector: u8) -> &'static str {
    match vector {
        DIVIDE => "division error",
        DEBUG => "debug exception",
        NMI => "non-maskable interrupt",
        BREAKPOINT => "breakpoint",
        OVERFLOW => "overflow",
        BOUND => "bound range exceeded",
        INVALID_INSTRUCTION => "invalid instruction",
        DOUBLE_FAULT => "double fault",
        INVALID_TSS => "invalid TSS",
        SEGMENT_NOT_PRESENT => "segment not present",
        STACK => "stack fault",
        PROTECTION => "general protection fault",
        PAGE_FAULT => "page fault",
        X87 => "x87 error",
        ALIGNMENT => "misaligned access",
        MACHINE_CHECK => "machine check",
        SIMD => "SIMD error",
        _ => "unexpected exception",
    }
}
