//! A walk through the tables of the kernel's half, to see what is mapped there.

use super::super::address_space::kernel_half;
use super::super::row::entry;
use super::super::tables::{ADDRESS, ENTRIES, LARGE, PRESENT, TOP};
use crate::{Frame, PhysAddr};

/// A page of 4 KiB, 2 MiB or 1 GiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) physical: u64,
    /// The flags of its entry; the tables above it allow everything.
    pub(super) flags: u64,
}

impl Page {
    /// Whether an address is in it.
    pub(super) fn contains(&self, address: u64) -> bool {
        // The last page of all ends at 0.
        self.address <= address && address - self.address < self.size
    }
}

/// Shows every page that is mapped, in the order of the addresses.
pub(super) fn pages(see: &mut dyn FnMut(Page)) {
    visit(kernel_half().root(), TOP, 0, see);
}

/// An entry of the top table.
pub(super) fn top_entry(index: u64) -> u64 {
    entry(kernel_half().root(), index)
}

fn visit(table: Frame, level: u32, base: u64, see: &mut dyn FnMut(Page)) {
    for index in 0..ENTRIES {
        let entry = entry(table, index);
        let address = canonical(base | index << (12 + 9 * level));
        if entry & PRESENT == 0 {
            continue;
        }
        if level == 0 || entry & LARGE != 0 {
            let size = 1 << (12 + 9 * level);
            see(Page { address, size, physical: entry & ADDRESS & !(size - 1), flags: entry & !ADDRESS });
        } else {
            visit(PhysAddr(entry & ADDRESS).frame(), level - 1, address, see);
        }
    }
}

/// The address with its highest bit, 47, in all bits above.
fn canonical(address: u64) -> u64 {
    ((address.cast_signed() << 16) >> 16).cast_unsigned()
}
