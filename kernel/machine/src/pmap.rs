//! A task's page tables.
//!
//! Four levels of 512 entries, the x86_64 format, on both machines. The user's half
//! belongs to the task, the kernel's half is the same in all. Tables above the
//! leaves allow everything; the leaf alone says what is allowed.
//! Invariants: no leaf is writable and executable; a change to a leaf is seen by the
//! processor before the call returns; a root that is gone is loaded nowhere.
//! Neighbours: `Memory` holds the tables, the backend flushes what it has cached.

use crate::backend::{self, Memory};
use crate::{Frame, PhysAddr, VirtAddr};
use portolan_abi::vm::{USER_END, USER_START};
use portolan_abi::{PAGE_SIZE, Protection};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const TABLE: u64 = PRESENT | WRITABLE | USER;

/// Entries of a table.
const ENTRIES: u64 = 512;
/// Entries of the top table that are the user's.
const USER_ENTRIES: u64 = ENTRIES / 2;
/// Level of the top table; the leaves are entries of level 0.
const TOP: u32 = 3;

/// The page tables of one address space.
#[derive(Debug)]
pub struct Pmap {
    root: Frame,
}

/// What a page is mapped to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The frame behind it.
    pub frame: Frame,
    /// What the user may do there.
    pub protection: Protection,
}

/// There was no frame for a table that a mapping needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoTable;

impl Pmap {
    /// An empty address space with this frame, whatever it holds, as its top table.
    #[must_use]
    pub fn new(memory: &mut Memory, root: Frame) -> Pmap {
        memory.zero(root);
        backend::share_kernel_half(memory, root);
        Pmap { root }
    }

    /// The frame of the top table, which names the address space to the processor.
    #[must_use]
    #[inline]
    pub fn root(&self) -> Frame {
        self.root
    }

    /// What the page at or around this address is mapped to; `None` outside the user's half.
    #[must_use]
    #[inline]
    pub fn lookup(&self, memory: &Memory, page: VirtAddr) -> Option<Mapping> {
        if page.0 >= USER_END {
            return None;
        }
        let mut table = self.root;
        for level in (1..=TOP).rev() {
            table = next(memory.read_u64(slot(table, page, level)))?;
        }
        mapping(memory.read_u64(slot(table, page, 0)))
    }

    /// Maps a page and returns what it was mapped to before. `table` yields frames,
    /// whatever they hold, for the tables that are missing; those stay until `destroy`.
    ///
    /// # Errors
    /// `NoTable` if `table` has none; then the page's mapping is unchanged.
    ///
    /// # Panics
    /// On an address that is no page of the user's, or a protection that is empty or
    /// breaks W^X: the caller checks those.
    pub fn enter(
        &mut self,
        memory: &mut Memory,
        page: VirtAddr,
        frame: Frame,
        protection: Protection,
        table: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<Option<Mapping>, NoTable> {
        assert!(is_user_page(page), "enter at {page:?}");
        let leaf = leaf(frame, protection);
        let slot = self.make_slot(memory, page, table)?;
        Ok(self.replace(memory, page, slot, leaf))
    }

    /// Unmaps a page and returns what it was mapped to.
    pub fn remove(&mut self, memory: &mut Memory, page: VirtAddr) -> Option<Mapping> {
        let slot = self.find_slot(memory, page)?;
        self.replace(memory, page, slot, 0)
    }

    /// Changes what may be done to a mapped page; `false` if it is not mapped.
    ///
    /// # Panics
    /// On a protection that is empty or breaks W^X.
    pub fn protect(&mut self, memory: &mut Memory, page: VirtAddr, protection: Protection) -> bool {
        let Some(slot) = self.find_slot(memory, page) else { return false };
        let Some(old) = mapping(memory.read_u64(slot)) else { return false };
        self.replace(memory, page, slot, leaf(old.frame, protection));
        true
    }

    /// Shows every mapping, in the order of the addresses.
    pub fn visit(&self, memory: &Memory, see: &mut dyn FnMut(VirtAddr, Mapping)) {
        visit_table(memory, self.root, TOP, 0, see);
    }

    /// Gives back the frame of every table, the root's included. What is still
    /// mapped is forgotten; its frames are the caller's to free.
    pub fn destroy(self, memory: &mut Memory, free: &mut dyn FnMut(Frame)) {
        backend::unload(memory, self.root);
        free_tables(memory, self.root, TOP, free);
    }

    /// Where the leaf of this page is, if all tables above it exist.
    fn find_slot(&self, memory: &Memory, page: VirtAddr) -> Option<PhysAddr> {
        if !is_user_page(page) {
            return None;
        }
        let mut table = self.root;
        for level in (1..=TOP).rev() {
            table = next(memory.read_u64(slot(table, page, level)))?;
        }
        Some(slot(table, page, 0))
    }

    /// Where the leaf of this page is; the tables above it are made where missing.
    fn make_slot(
        &self,
        memory: &mut Memory,
        page: VirtAddr,
        table: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<PhysAddr, NoTable> {
        let mut at = self.root;
        for level in (1..=TOP).rev() {
            let above = slot(at, page, level);
            at = match next(memory.read_u64(above)) {
                Some(frame) => frame,
                None => {
                    let frame = table().ok_or(NoTable)?;
                    memory.zero(frame);
                    memory.write_u64(above, frame.start().0 | TABLE);
                    frame
                }
            };
        }
        Ok(slot(at, page, 0))
    }

    /// Writes a leaf, flushes what the processor remembers of the old one, returns that.
    fn replace(&mut self, memory: &mut Memory, page: VirtAddr, slot: PhysAddr, leaf: u64) -> Option<Mapping> {
        let old = mapping(memory.read_u64(slot));
        memory.write_u64(slot, leaf);
        if old.is_some() {
            backend::flush(memory, self.root, page);
        }
        old
    }
}

/// Whether it is the first byte of a page that the user may have.
fn is_user_page(page: VirtAddr) -> bool {
    page.offset() == 0 && (USER_START..USER_END).contains(&page.0)
}

/// The place in `table`, of this level, of the entry for `page`.
#[inline]
fn slot(table: Frame, page: VirtAddr, level: u32) -> PhysAddr {
    let index = (page.0 >> (12 + 9 * level)) % ENTRIES;
    entry(table, index)
}

#[inline]
fn entry(table: Frame, index: u64) -> PhysAddr {
    table.start().plus(index as usize * size_of::<u64>())
}

/// The table that an entry above the leaves names.
#[inline]
fn next(entry: u64) -> Option<Frame> {
    (entry & PRESENT != 0).then(|| frame_of(entry))
}

#[inline]
fn frame_of(entry: u64) -> Frame {
    Frame(((entry & ADDRESS) / PAGE_SIZE as u64) as u32)
}

/// The leaf entry for a frame.
fn leaf(frame: Frame, protection: Protection) -> u64 {
    assert!(!protection.is_empty() && !protection.breaks_w_xor_x(), "a leaf with {protection:?}");
    let write = if protection.contains(Protection::WRITE) { WRITABLE } else { 0 };
    let no_execute = if protection.contains(Protection::EXECUTE) { 0 } else { NO_EXECUTE };
    frame.start().0 | PRESENT | USER | write | no_execute
}

/// What a leaf entry says.
#[inline]
fn mapping(leaf: u64) -> Option<Mapping> {
    if leaf & PRESENT == 0 {
        return None;
    }
    let mut protection = Protection::READ;
    protection.set(Protection::WRITE, leaf & WRITABLE != 0);
    protection.set(Protection::EXECUTE, leaf & NO_EXECUTE == 0);
    Some(Mapping { frame: frame_of(leaf), protection })
}

/// How many entries of a table of this level are the user's.
fn user_entries(level: u32) -> u64 {
    if level == TOP { USER_ENTRIES } else { ENTRIES }
}

fn visit_table(memory: &Memory, table: Frame, level: u32, base: u64, see: &mut dyn FnMut(VirtAddr, Mapping)) {
    for index in 0..user_entries(level) {
        let value = memory.read_u64(entry(table, index));
        let page = base + (index << (12 + 9 * level));
        if level > 0 {
            if let Some(below) = next(value) {
                visit_table(memory, below, level - 1, page, see);
            }
        } else if let Some(mapping) = mapping(value) {
            see(VirtAddr(page), mapping);
        }
    }
}

/// Frees a table of this level and the tables below it.
fn free_tables(memory: &Memory, table: Frame, level: u32, free: &mut dyn FnMut(Frame)) {
    if level > 0 {
        for index in 0..user_entries(level) {
            if let Some(below) = next(memory.read_u64(entry(table, index))) {
                free_tables(memory, below, level - 1, free);
            }
        }
    }
    free(table);
}
