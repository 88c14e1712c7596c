//! Where things are in the kernel's half of every address space.
//!
//! | from | what | mapped as |
//! |---|---|---|
//! | `PHYSMAP` | the frames that start-up hands out, each at its physical address | writable |
//! | `PRIVATE` | the kernel's page tables and heap | writable |
//! | `ARENAS` | pages of the heap, each arena's in a row | writable |
//! | `APIC` | the local APIC's registers | writable, not cached |
//! | `IMAGE_OFFSET` | the kernel's image and stacks | as each section says |
//!
//! Nothing there is for the user, and only the image's code can be executed. The first
//! four have a top-level entry each; none is within another's.

use crate::{PhysAddr, VirtAddr};

/// Where physical memory begins.
pub(super) const PHYSMAP: u64 = 0xffff_8000_0000_0000;
/// Bytes of it: every frame has its place there.
pub(super) const PHYSMAP_SIZE: u64 = 1 << 44;
/// Where the kernel's tables and heap are.
pub(super) const PRIVATE: u64 = 0xffff_a000_0000_0000;
/// Where the arenas' windows are: as many as a top-level entry has room for.
pub(super) const ARENAS: u64 = 0xffff_a800_0000_0000;
/// Bytes of a window.
pub(super) const WINDOW_SIZE: u64 = 32 << 30;
/// How many there are.
pub(super) const WINDOWS: usize = ((1 << 39) / WINDOW_SIZE) as usize;
/// Where the local APIC's registers are.
pub(super) const APIC: u64 = 0xffff_b000_0000_0000;
/// What the image's addresses are above the physical ones it is linked to be loaded at.
pub(super) const IMAGE_OFFSET: u64 = 0xffff_ffff_8000_0000;
/// First address that is not the user's, canonical or not.
pub(super) const USER_LIMIT: u64 = 1 << 47;

/// A part of the image, with bounds from the linker script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// Its first byte.
    pub(super) start: VirtAddr,
    /// The byte after its last.
    pub(super) end: VirtAddr,
}

impl Section {
    /// Whether an address is in it.
    pub(super) fn contains(self, address: u64) -> bool {
        (self.start.0..self.end.0).contains(&address)
    }
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident, $start:ident, $end:ident) => {
        $(#[$doc])*
        pub(super) fn $name() -> Section {
            unsafe extern "C" {
                static $start: u8;
                static $end: u8;
            }
            Section { start: VirtAddr((&raw const $start).addr() as u64), end: VirtAddr((&raw const $end).addr() as u64) }
        }
    };
}

section!(
    /// The code.
    text, text_start, text_end
);
section!(
    /// The constants.
    rodata, rodata_start, rodata_end
);
section!(
    /// The variables, stacks included.
    data, data_start, data_end
);

/// Where the physical map has this address.
pub(super) fn physmap(address: PhysAddr) -> u64 {
    PHYSMAP + address.0
}
