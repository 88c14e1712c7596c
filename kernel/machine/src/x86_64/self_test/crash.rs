//! What must end in a panic, by name: for boots of which the host expects just that.

use super::super::layout;
use crate::Arena;
use core::hint::black_box;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// Does what the name says. Returns only if it is not known, or did not crash.
pub(super) fn run(name: &str) -> bool {
    match name {
        "panic" => panic!("as was asked for"),
        "null" => write_to(0),
        "write-code" => write_to(layout::text().start.0),
        "write-constant" => write_to(layout::rodata().start.0),
        "read-low-memory" => _ = read_from(0x20_0000),
        "execute-data" => execute(layout::data().start.0),
        "execute-physical-map" => execute(layout::PHYSMAP + (1 << 20)),
        "stack-overflow" => _ = grow(1),
        "second-arena" => drop(black_box([Arena::<u8>::default(), Arena::default()])),
        "heap" => {
            let sizes: [usize; 1] = black_box([usize::MAX / 2]);
            drop(black_box(alloc::vec::Vec::<u8>::with_capacity(sizes[0])));
        }
        _ => {}
    }
    false
}

fn write_to(address: u64) {
    let byte = with_exposed_provenance_mut::<u8>(black_box(address) as usize);
    // SAFETY: none; it must fault.
    unsafe { byte.write_volatile(0) };
}

fn read_from(address: u64) -> u8 {
    let byte = with_exposed_provenance::<u8>(black_box(address) as usize);
    // SAFETY: none; it must fault.
    unsafe { byte.read_volatile() }
}

fn execute(address: u64) {
    // SAFETY: none; it must fault before the first instruction.
    unsafe { core::arch::asm!("call {}", in(reg) address, clobber_abi("C")) };
}

fn grow(depth: u64) -> u64 {
    let some = black_box([depth; 100]);
    if depth == u64::MAX { 0 } else { grow(depth + 1) + some[(depth % 100) as usize] }
}
