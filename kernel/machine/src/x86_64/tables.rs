//! Page tables as the processor reads them, for the kernel's own use at start.
//!
//! Four levels; an entry of the lowest maps 4 KiB, one above it may map 2 MiB. Tables are
//! reached through the physical map, which the front doors have set up for all memory
//! below 4 GiB. Neighbours: `kernel_half` says what to map; `pmap` is the users' half.

use super::memory::Memory;
use crate::{Frame, FrameRange, PhysAddr};
use portolan_abi::PAGE_SIZE;

pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITABLE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
pub(super) const WRITE_THROUGH: u64 = 1 << 3;
pub(super) const UNCACHED: u64 = 1 << 4;
/// The entry is a page, though its level is not the lowest.
pub(super) const LARGE: u64 = 1 << 7;
/// The processor keeps the translation when another root is loaded.
pub(super) const GLOBAL: u64 = 1 << 8;
pub(super) const NO_EXECUTE: u64 = 1 << 63;
/// The part of an entry that is a physical address.
pub(super) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Entries of a table.
pub(super) const ENTRIES: u64 = 512;
/// Level of the top table; the lowest is 0.
pub(super) const TOP: u32 = 3;
/// Pages of a large page.
pub(super) const LARGE_PAGES: u32 = 512;

/// Tables being made, in frames of which the first ones are used up one after the other.
pub(super) struct Tables {
    frames: FrameRange,
    count: u32,
}

impl Tables {
    /// An empty address space: its top table is the first frame.
    pub(super) fn new(frames: FrameRange) -> Tables {
        let mut tables = Tables { frames, count: 0 };
        tables.add();
        tables
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// An entry of the top table.
    pub(super) fn top_entry(&self, index: u64) -> u64 {
        Memory::new().read_u64(slot(self.frames.start, index))
    }

    /// Maps frames in a row, by large pages where they fit.
    pub(super) fn map(&mut self, mut at: u64, frames: FrameRange, flags: u64) {
        let mut next = frames.start;
        while next < frames.end {
            let pages = if is_large(at, next, frames.end) {
                self.map_at(at, 1, next, flags | LARGE);
                LARGE_PAGES
            } else {
                self.map_page(at, next, flags);
                1
            };
            next.0 += pages;
            at += u64::from(pages) * PAGE_SIZE as u64;
        }
    }

    /// Maps one page.
    pub(super) fn map_page(&mut self, at: u64, frame: Frame, flags: u64) {
        self.map_at(at, 0, frame, flags);
    }

    /// Makes the table of a top-level entry, for what is mapped later.
    pub(super) fn open(&mut self, at: u64) {
        self.table(at, TOP - 1);
    }

    /// Writes the entry of this level for an address, making the tables above it.
    fn map_at(&mut self, at: u64, level: u32, frame: Frame, flags: u64) {
        let slot = slot(self.table(at, level), index(at, level));
        let mut memory = Memory::new();
        assert!(memory.read_u64(slot) == 0, "{at:#x} is mapped twice");
        memory.write_u64(slot, frame.start().0 | flags);
    }

    /// The table of this level for an address; it and those above it are made if they are missing.
    fn table(&mut self, at: u64, level: u32) -> Frame {
        let mut memory = Memory::new();
        let mut table = self.frames.start;
        for above in (level + 1..=TOP).rev() {
            let slot = slot(table, index(at, above));
            table = match memory.read_u64(slot) {
                0 => {
                    let below = self.add();
                    memory.write_u64(slot, below.start().0 | PRESENT | WRITABLE);
                    below
                }
                entry => PhysAddr(entry & ADDRESS).frame(),
            };
        }
        table
    }

    /// One more table, empty.
    fn add(&mut self) -> Frame {
        let table = Frame(self.frames.start.0 + self.count);
        assert!(table < self.frames.end, "the kernel's tables fill its memory");
        self.count += 1;
        Memory::new().zero(table);
        table
    }
}

/// Whether a large page can be mapped at `at`, to frames from `start`.
fn is_large(at: u64, start: Frame, end: Frame) -> bool {
    let aligned = at.is_multiple_of(u64::from(LARGE_PAGES) * PAGE_SIZE as u64) && start.0.is_multiple_of(LARGE_PAGES);
    aligned && end.0 - start.0 >= LARGE_PAGES
}

/// The number of the entry for an address in a table of this level.
pub(super) const fn index(address: u64, level: u32) -> u64 {
    (address >> (12 + 9 * level)) % ENTRIES
}

/// Where an entry of a table is.
pub(super) fn slot(table: Frame, index: u64) -> PhysAddr {
    table.start().plus(index as usize * size_of::<u64>())
}

/// Where the tables below `root` map an address to.
pub(super) fn translate(root: Frame, address: u64) -> Option<PhysAddr> {
    let mut table = root;
    for level in (0..=TOP).rev() {
        let entry = Memory::new().read_u64(slot(table, index(address, level)));
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 0 || entry & LARGE != 0 {
            let within = (1 << (12 + 9 * level)) - 1;
            return Some(PhysAddr((entry & ADDRESS & !within) + (address & within)));
        }
        table = PhysAddr(entry & ADDRESS).frame();
    }
    None
}
