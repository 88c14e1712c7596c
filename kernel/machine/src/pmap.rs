//! A task's page tables.
//!
//! Four levels of 512 entries, the x86_64 format, on both machines. The user's half
//! belongs to the task, the kernel's half is the same in all. Tables above the
//! leaves allow everything; the leaf alone says what is allowed.
//! Invariants: no leaf is writable and executable; a change to a leaf is seen by the
//! processor before the call returns, and `recent` agrees with the tables; a root that is gone
//! is loaded nowhere.
//! Neighbours: `Memory` holds the tables, the backend flushes what it has cached.

use crate::backend::{self, Memory};
use crate::{Access, Frame, PhysAddr, Span, VirtAddr, pace};
use portolan_abi::vm::{USER_END, USER_START};
use portolan_abi::{PAGE_SIZE, Protection};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Neither read from a cache nor kept in one: the frame is a device's.
const DEVICE: u64 = 1 << 3 | 1 << 4;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const TABLE: u64 = PRESENT | WRITABLE | USER;

/// Entries of a table.
const ENTRIES: u64 = 512;
/// Entries of the top table that are the user's.
const USER_ENTRIES: u64 = ENTRIES / 2;
/// Bytes that a table of leaves maps.
const TABLE_SPAN: u64 = ENTRIES * PAGE_SIZE as u64;
/// Leaves that are looked at together, and the bytes that they map.
const ROW: usize = 8;
const ROW_SPAN: u64 = (ROW * PAGE_SIZE) as u64;
/// Most pages that the processor is told of one by one when they change.
const FLUSHED_SINGLY: u64 = 32;
/// Instructions that looking at an entry takes, and finding the table that has it.
const PER_LEAF: u32 = 48;
const PER_WALK: u32 = 40;
/// Level of the top table; the leaves are entries of level 0.
const TOP: u32 = 3;

/// The page tables of one address space.
#[derive(Debug)]
pub struct Pmap {
    root: Frame,
    recent: [[Recent; WAYS]; ACCESSES],
}

/// Kinds of access.
const ACCESSES: usize = Access::Execute as usize + 1;

/// Pages remembered for each kind of access: neighbours, such as a buffer's, each have a place.
const WAYS: usize = 2;

/// The page last translated for an access, and its frame. A buffer that is used again and
/// again, as most message buffers are, is so found without a walk.
#[derive(Clone, Copy, Debug)]
struct Recent {
    page: VirtAddr,
    frame: Frame,
    /// Bytes of it that can be used: all, or none.
    room: u32,
}

impl Recent {
    /// None: no page begins there, and there is no room in it.
    const NONE: Recent = Recent { page: VirtAddr(u64::MAX), frame: Frame(0), room: 0 };
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
        Pmap { root, recent: [[Recent::NONE; WAYS]; ACCESSES] }
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

    /// The frame behind this address, if its page is mapped and allows the access: what
    /// the processor itself would find. A device's is none: the kernel never touches it.
    #[must_use]
    #[inline]
    pub fn translate(&mut self, memory: &Memory, address: VirtAddr, access: Access) -> Option<Frame> {
        let Recent { page, frame, .. } = self.recent[access as usize][way(address)];
        if page == address.page() { Some(frame) } else { self.walk(memory, address.page(), access) }
    }

    /// What is behind this many bytes from this address on, if all are in one page, and that was
    /// translated for such an access a short while ago.
    #[must_use]
    #[inline(always)]
    pub fn recent(&self, address: VirtAddr, size: usize, access: Access) -> Option<Span> {
        let Recent { page, frame, room } = self.recent[access as usize][way(address)];
        Span::prefix(frame, room as usize).part(address.0.wrapping_sub(page.0) as usize, size)
    }

    #[inline(never)]
    fn walk(&mut self, memory: &Memory, page: VirtAddr, access: Access) -> Option<Frame> {
        let leaf = memory.read_u64(self.find_slot(memory, page)?);
        let (asked, wanted) = match access {
            Access::Read => (PRESENT | DEVICE, PRESENT),
            Access::Write => (PRESENT | DEVICE | WRITABLE, PRESENT | WRITABLE),
            Access::Execute => (PRESENT | DEVICE | NO_EXECUTE, PRESENT),
        };
        if leaf & asked != wanted {
            return None;
        }
        let frame = frame_of(leaf);
        self.recent[access as usize][way(page)] = Recent { page, frame, room: PAGE_SIZE as u32 };
        Some(frame)
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
        self.enter_leaf(memory, page, leaf(frame, protection), table)
    }

    /// Maps a page to a device's, as [`enter`](Pmap::enter) does to memory.
    ///
    /// # Errors
    /// As for `enter`.
    ///
    /// # Panics
    /// As `enter` does.
    pub fn enter_device(
        &mut self,
        memory: &mut Memory,
        page: VirtAddr,
        frame: Frame,
        protection: Protection,
        table: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<Option<Mapping>, NoTable> {
        self.enter_leaf(memory, page, leaf(frame, protection) | DEVICE, table)
    }

    fn enter_leaf(
        &mut self,
        memory: &mut Memory,
        page: VirtAddr,
        leaf: u64,
        table: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<Option<Mapping>, NoTable> {
        assert!(is_user_page(page), "enter at {page:?}");
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

    /// Takes from all mappings from `start` on, below `end`, what is not in `allowed`; if that is
    /// empty, they go. A table that is missing costs nothing, one that is there a pass over it.
    pub fn limit(&mut self, memory: &mut Memory, start: VirtAddr, end: VirtAddr, allowed: Protection) {
        let excess = if allowed.contains(Protection::EXECUTE) { WRITABLE } else { PRESENT };
        let mut changed: Option<(VirtAddr, VirtAddr)> = None;
        let mut next = start.page();
        while let Some((from, table)) = self.next_leaves(memory, next, end) {
            let to = VirtAddr(((from.0 | (TABLE_SPAN - 1)) + 1).min(end.0));
            pace((to.0 - from.0) as u32 / PAGE_SIZE as u32 * PER_LEAF);
            next = from;
            while next < to {
                let slot = slot(table, next, 0);
                if next.0.is_multiple_of(ROW_SPAN) && to.0 - next.0 >= ROW_SPAN && row_has_none(memory, slot, excess) {
                    next.0 += ROW_SPAN;
                    continue;
                }
                let old = memory.read_u64(slot);
                let new = limited(old, allowed);
                if new != old {
                    memory.write_u64(slot, new);
                    changed = Some((changed.map_or(next, |(first, _)| first), next));
                }
                next.0 += PAGE_SIZE as u64;
            }
        }
        if let Some((first, last)) = changed {
            self.forget_all(memory, first, last);
        }
    }

    /// The first page from `page` on, below `end`, that has a place for its leaf, and the table
    /// with that. Where a table is missing, all that it would map is passed over at once.
    fn next_leaves(&self, memory: &Memory, page: VirtAddr, end: VirtAddr) -> Option<(VirtAddr, Frame)> {
        let mut at = page;
        while at < end {
            match self.leaves(memory, at) {
                Ok(table) => return Some((at, table)),
                Err(level) => {
                    pace(PER_WALK);
                    let span = 1 << (12 + 9 * level);
                    at = VirtAddr((at.0 & !(span - 1)).checked_add(span)?);
                }
            }
        }
        None
    }

    /// The first mapped page from `page` on, below `end`. Where a table is missing, all
    /// that it would map is passed over at once.
    #[must_use]
    pub fn next_mapped(&self, memory: &Memory, page: VirtAddr, end: VirtAddr) -> Option<VirtAddr> {
        let mut at = page.page();
        while at < end {
            pace(PER_WALK);
            let level = match self.leaves(memory, at) {
                Ok(table) if mapping(memory.read_u64(slot(table, at, 0))).is_some() => return Some(at),
                Ok(_) => 0,
                Err(level) => level,
            };
            let span = 1 << (12 + 9 * level);
            at = VirtAddr((at.0 & !(span - 1)).checked_add(span)?);
        }
        None
    }

    /// The table with the leaf of this page, or the level of the entry that is missing.
    fn leaves(&self, memory: &Memory, page: VirtAddr) -> Result<Frame, u32> {
        let mut table = self.root;
        for level in (1..=TOP).rev() {
            table = next(memory.read_u64(slot(table, page, level))).ok_or(level)?;
        }
        Ok(table)
    }

    /// What was translated of these pages, the last one included, holds no longer.
    fn forget_all(&mut self, memory: &mut Memory, first: VirtAddr, last: VirtAddr) {
        for recent in self.recent.iter_mut().flatten().filter(|recent| (first..=last).contains(&recent.page)) {
            *recent = Recent::NONE;
        }
        if last.0 - first.0 >= FLUSHED_SINGLY * PAGE_SIZE as u64 {
            return backend::flush_all(memory, self.root);
        }
        for page in (first.0..=last.0).step_by(PAGE_SIZE) {
            backend::flush(memory, self.root, VirtAddr(page));
        }
    }

    /// Shows every mapping, in the order of the addresses.
    pub fn visit(&self, memory: &Memory, see: &mut dyn FnMut(VirtAddr, Mapping)) {
        visit_table(memory, self.root, TOP, 0, see);
    }

    /// Takes out one table with nothing but leaves below it, or with nothing at all, and gives
    /// back its frame; `None` if only the root is left. What was mapped there is forgotten;
    /// the processor leaves this address space.
    pub fn take_table(&mut self, memory: &mut Memory) -> Option<Frame> {
        backend::unload(memory, self.root);
        let (mut table, mut above) = (self.root, None);
        for level in (1..=TOP).rev() {
            let mut entries = (0..user_entries(level)).map(|index| entry(table, index));
            let Some((place, below)) = entries.find_map(|at| Some((at, next(memory.read_u64(at))?))) else { break };
            (table, above) = (below, Some(place));
        }
        memory.write_u64(above?, 0);
        self.recent = [[Recent::NONE; WAYS]; ACCESSES];
        Some(table)
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

    /// What was translated of this page holds no longer.
    fn forget(&mut self, page: VirtAddr) {
        for recent in self.recent.iter_mut().flatten().filter(|recent| recent.page == page) {
            *recent = Recent::NONE;
        }
    }

    /// Writes a leaf, flushes what the processor remembers of the old one, returns that.
    fn replace(&mut self, memory: &mut Memory, page: VirtAddr, slot: PhysAddr, leaf: u64) -> Option<Mapping> {
        let old = mapping(memory.read_u64(slot));
        memory.write_u64(slot, leaf);
        if old.is_some() {
            self.forget(page);
            backend::flush(memory, self.root, page);
        }
        old
    }
}

/// Whether it is the first byte of a page that the user may have.
fn is_user_page(page: VirtAddr) -> bool {
    page.offset() == 0 && (USER_START..USER_END).contains(&page.0)
}

/// Where a page's translation is remembered.
#[inline]
fn way(address: VirtAddr) -> usize {
    (address.0 / PAGE_SIZE as u64) as usize % WAYS
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
    PhysAddr(entry & ADDRESS).frame()
}

/// The leaf entry for a frame.
fn leaf(frame: Frame, protection: Protection) -> u64 {
    assert!(!protection.is_empty() && !protection.breaks_w_xor_x(), "a leaf with {protection:?}");
    let write = if protection.contains(Protection::WRITE) { WRITABLE } else { 0 };
    let no_execute = if protection.contains(Protection::EXECUTE) { 0 } else { NO_EXECUTE };
    frame.start().0 | PRESENT | USER | write | no_execute
}

/// Whether no leaf of a row has any of these bits.
#[inline]
fn row_has_none(memory: &Memory, row: PhysAddr, bits: u64) -> bool {
    let row = row.frame().span(row.offset(), ROW * size_of::<u64>());
    memory.read_words::<ROW>(row).into_iter().fold(0, |all, leaf| all | leaf) & bits == 0
}

/// What is left of a leaf entry that may not allow more than this.
#[inline]
fn limited(leaf: u64, allowed: Protection) -> u64 {
    if leaf & PRESENT == 0 || allowed.is_empty() {
        return 0;
    }
    let write = if allowed.contains(Protection::WRITE) { 0 } else { WRITABLE };
    let no_execute = if allowed.contains(Protection::EXECUTE) { 0 } else { NO_EXECUTE };
    leaf & !write | no_execute
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
    pace(ENTRIES as u32 * PER_LEAF);
    free(table);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;
    use crate::sim::Hardware;

    /// A page in the second half of a table's span, so that all four indices differ.
    const PAGE: VirtAddr = VirtAddr(0x1234_5678_9000);
    const READ_WRITE: Protection = Protection::READ_WRITE;

    struct Bench {
        memory: Memory,
        frames: Vec<Frame>,
        pmap: Pmap,
    }

    impl Bench {
        fn new() -> Bench {
            let hardware = Hardware { frames: 64, archive: Vec::new(), command_line: "" };
            let (Machine { mut memory, .. }, boot, _) = hardware.power_on();
            let ranges = boot.memory.iter();
            let mut frames: Vec<Frame> = ranges.flat_map(|range| (range.start.0..range.end.0).map(Frame)).collect();
            let pmap = Pmap::new(&mut memory, frames.pop().expect("a frame"));
            Bench { memory, frames, pmap }
        }

        fn enter(&mut self, page: VirtAddr, frame: u32, protection: Protection) -> Result<Option<Mapping>, NoTable> {
            self.pmap.enter(&mut self.memory, page, Frame(frame), protection, &mut || self.frames.pop())
        }

        fn lookup(&self, page: VirtAddr) -> Option<Mapping> {
            self.pmap.lookup(&self.memory, page)
        }
    }

    fn to(frame: u32, protection: Protection) -> Option<Mapping> {
        Some(Mapping { frame: Frame(frame), protection })
    }

    #[test]
    fn what_is_entered_is_found_with_its_rights() {
        let mut bench = Bench::new();
        for protection in [Protection::READ, READ_WRITE, Protection::READ_EXECUTE] {
            bench.enter(PAGE, 7, protection).expect("tables");
            assert_eq!(bench.lookup(PAGE), to(7, protection));
            assert_eq!(bench.lookup(VirtAddr(PAGE.0 + 4095)), to(7, protection), "any address of the page");
        }
        assert_eq!(bench.lookup(VirtAddr(PAGE.0 + 4096)), None);
        assert_eq!(bench.lookup(VirtAddr(PAGE.0 - 1)), None);
    }

    #[test]
    fn every_frame_and_the_outermost_pages_have_a_place() {
        let mut bench = Bench::new();
        for (page, frame) in [(USER_START, u32::MAX), (USER_END - PAGE_SIZE as u64, 1 << 31)] {
            bench.enter(VirtAddr(page), frame, READ_WRITE).expect("tables");
            assert_eq!(bench.lookup(VirtAddr(page)), to(frame, READ_WRITE));
        }
        assert_eq!(bench.lookup(VirtAddr(USER_END)), None);
        assert_eq!(bench.lookup(VirtAddr(u64::MAX)), None);
        assert_eq!(bench.lookup(VirtAddr(0)), None);
    }

    #[test]
    fn what_was_there_before_is_told() {
        let mut bench = Bench::new();
        assert_eq!(bench.enter(PAGE, 7, Protection::READ), Ok(None));
        assert_eq!(bench.enter(PAGE, 8, READ_WRITE), Ok(to(7, Protection::READ)));
        assert_eq!(bench.pmap.remove(&mut bench.memory, PAGE), to(8, READ_WRITE));
        assert_eq!(bench.pmap.remove(&mut bench.memory, PAGE), None);
        assert!(!bench.pmap.protect(&mut bench.memory, PAGE, Protection::READ), "nothing is mapped");
    }

    #[test]
    fn protection_changes_and_the_frame_stays() {
        let mut bench = Bench::new();
        bench.enter(PAGE, 7, READ_WRITE).expect("tables");
        assert!(bench.pmap.protect(&mut bench.memory, PAGE, Protection::READ_EXECUTE));
        assert_eq!(bench.lookup(PAGE), to(7, Protection::READ_EXECUTE));
    }

    #[test]
    fn without_a_table_nothing_is_mapped_and_none_is_lost() {
        for tables in 0..3 {
            let mut bench = Bench::new();
            let rest = bench.frames.split_off(tables);
            assert_eq!(bench.enter(PAGE, 7, READ_WRITE), Err(NoTable));
            assert_eq!(bench.lookup(PAGE), None);
            bench.frames = rest;
            assert_eq!(bench.enter(PAGE, 7, READ_WRITE), Ok(None), "the tables made before are used");
            assert_eq!(bench.frames.len(), 60, "three tables and the root, however they were made");
        }
    }

    #[test]
    fn a_translation_is_the_present_one_whatever_was_asked_before() {
        let mut bench = Bench::new();
        let translate = |bench: &mut Bench, page, access| bench.pmap.translate(&bench.memory, page, access);
        let next = VirtAddr(PAGE.0 + PAGE_SIZE as u64);
        for page in [PAGE, next] {
            assert_eq!(translate(&mut bench, page, Access::Read), None);
            bench.enter(page, 7, READ_WRITE).expect("tables");
            assert_eq!(translate(&mut bench, page, Access::Write), Some(Frame(7)));
            assert_eq!(translate(&mut bench, VirtAddr(page.0 + 5), Access::Read), Some(Frame(7)));
            assert_eq!(translate(&mut bench, page, Access::Execute), None);
        }
        bench.enter(PAGE, 8, READ_WRITE).expect("tables");
        assert_eq!(translate(&mut bench, PAGE, Access::Read), Some(Frame(8)), "another frame");
        bench.pmap.protect(&mut bench.memory, PAGE, Protection::READ);
        assert_eq!(translate(&mut bench, PAGE, Access::Write), None, "less is allowed");
        assert_eq!(translate(&mut bench, PAGE, Access::Read), Some(Frame(8)));
        bench.pmap.remove(&mut bench.memory, PAGE);
        assert_eq!(translate(&mut bench, PAGE, Access::Read), None, "nothing is there");
        assert_eq!(translate(&mut bench, next, Access::Read), Some(Frame(7)), "the neighbour's stays");
        assert_eq!(translate(&mut bench, VirtAddr(u64::MAX), Access::Read), None);
    }

    #[test]
    fn what_was_translated_is_found_again_if_it_lies_in_the_page() {
        let mut bench = Bench::new();
        bench.enter(PAGE, 9, READ_WRITE).unwrap();
        let found = |bench: &Bench, address: u64, size| bench.pmap.recent(VirtAddr(address), size, Access::Write);
        assert_eq!(found(&bench, PAGE.0, 1), None, "nothing was translated");
        assert_eq!(bench.pmap.translate(&bench.memory, PAGE, Access::Write), Some(Frame(9)));
        assert_eq!(found(&bench, PAGE.0, PAGE_SIZE), Some(Frame(9).whole()));
        assert_eq!(found(&bench, PAGE.0 + 4000, 96), Some(Frame(9).span(4000, 96)));
        let two_pages = 2 * PAGE_SIZE as u64;
        for (address, size) in [
            (PAGE.0, PAGE_SIZE + 1),
            (PAGE.0 + 4000, 97),
            (PAGE.0 + two_pages, 1),
            (PAGE.0 - two_pages, 1),
            (PAGE.0 - 1, 2),
            (u64::MAX, 1),
            (PAGE.0, usize::MAX),
        ] {
            assert_eq!(found(&bench, address, size), None, "{address:#x}, {size}");
        }
    }

    #[test]
    fn a_devices_page_is_the_users_alone() {
        let mut bench = Bench::new();
        let entered =
            bench.pmap.enter_device(&mut bench.memory, PAGE, Frame(9), READ_WRITE, &mut || bench.frames.pop());
        assert_eq!((entered, bench.lookup(PAGE)), (Ok(None), to(9, READ_WRITE)));
        for access in [Access::Read, Access::Write, Access::Execute] {
            assert_eq!(bench.pmap.translate(&bench.memory, PAGE, access), None);
        }
        bench.pmap.limit(&mut bench.memory, PAGE, VirtAddr(PAGE.0 + 1), Protection::READ);
        assert_eq!((bench.lookup(PAGE), bench.pmap.recent(PAGE, 1, Access::Read)), (to(9, Protection::READ), None));
        assert_eq!(bench.pmap.translate(&bench.memory, PAGE, Access::Read), None, "it stays a device's");
    }

    #[test]
    fn destroying_gives_every_table_back_once() {
        let mut bench = Bench::new();
        let pages = [USER_START, 0x4000_0000, 0x80_0000_0000, 0x80_0000_1000, USER_END - PAGE_SIZE as u64];
        pages.iter().for_each(|&page| assert_eq!(bench.enter(VirtAddr(page), 7, Protection::READ), Ok(None)));
        assert!(bench.frames.len() < 63);
        let Bench { mut memory, mut frames, pmap } = bench;
        pmap.destroy(&mut memory, &mut |frame| frames.push(frame));
        frames.sort();
        frames.dedup();
        assert_eq!(frames.len(), 64);
    }

    #[test]
    fn tables_can_be_taken_out_one_by_one() {
        let mut bench = Bench::new();
        let pages = [USER_START, 0x4000_0000, 0x80_0000_0000, 0x80_0000_1000, USER_END - PAGE_SIZE as u64];
        pages.iter().for_each(|&page| assert_eq!(bench.enter(VirtAddr(page), 7, Protection::READ), Ok(None)));
        let mut mapped = pages.len();
        while let Some(frame) = bench.pmap.take_table(&mut bench.memory) {
            bench.frames.push(frame);
            let mut left = 0;
            bench.pmap.visit(&bench.memory, &mut |_, _| left += 1);
            assert!(left <= mapped, "a table came back that was still used");
            mapped = left;
        }
        assert_eq!((mapped, bench.pmap.take_table(&mut bench.memory)), (0, None));
        let Bench { mut memory, mut frames, pmap } = bench;
        pmap.destroy(&mut memory, &mut |frame| frames.push(frame));
        frames.sort();
        frames.dedup();
        assert_eq!(frames.len(), 64);
    }

    #[test]
    fn visiting_shows_all_mappings_in_order() {
        let mut bench = Bench::new();
        let pages = [USER_START, 0x4000_0000, 0x80_0000_0000, USER_END - PAGE_SIZE as u64];
        pages.iter().rev().for_each(|&page| assert_eq!(bench.enter(VirtAddr(page), 9, READ_WRITE), Ok(None)));
        let mut seen = Vec::new();
        bench.pmap.visit(&bench.memory, &mut |page, mapping| seen.push((page.0, mapping)));
        assert_eq!(seen.iter().map(|(page, _)| *page).collect::<Vec<_>>(), pages);
        assert!(seen.iter().all(|(_, mapping)| Some(*mapping) == to(9, READ_WRITE)));
    }

    #[test]
    fn a_limit_takes_away_and_gives_nothing() {
        let page = PAGE_SIZE as u64;
        // Two tables side by side, one far away, and more pages than are flushed singly.
        let pages: Vec<u64> = (0..600).map(|number| 0x4000_0000 + number * page).chain([0x80_0000_0000]).collect();
        let mut bench = Bench::new();
        let limit = |bench: &mut Bench, start, end, allowed| {
            bench.pmap.limit(&mut bench.memory, VirtAddr(start), VirtAddr(end), allowed);
        };
        for protection in [READ_WRITE, Protection::READ_EXECUTE] {
            for (number, at) in pages.iter().enumerate() {
                bench.enter(VirtAddr(*at), number as u32, protection).expect("tables");
            }
            limit(&mut bench, pages[1], pages[599], Protection::READ);
            for (number, at) in pages.iter().enumerate() {
                let left = if (1..599).contains(&number) { Protection::READ } else { protection };
                assert_eq!(bench.lookup(VirtAddr(*at)), to(number as u32, left), "{number}");
            }
            limit(&mut bench, USER_START, USER_END, Protection::all());
            assert_eq!(bench.lookup(VirtAddr(pages[1])), to(1, Protection::READ), "nothing is given");
        }
        let translate = |bench: &mut Bench, page| bench.pmap.translate(&bench.memory, VirtAddr(page), Access::Read);
        assert_eq!(translate(&mut bench, pages[5]), Some(Frame(5)));
        limit(&mut bench, pages[2], USER_END, Protection::empty());
        assert_eq!(translate(&mut bench, pages[5]), None);
        let mut left = Vec::new();
        bench.pmap.visit(&bench.memory, &mut |at, _| left.push(at.0));
        assert_eq!(left, pages[..2]);
    }

    #[test]
    #[should_panic(expected = "enter at")]
    fn the_null_page_cannot_be_mapped() {
        let _ = Bench::new().enter(VirtAddr(0), 7, READ_WRITE);
    }

    #[test]
    #[should_panic(expected = "enter at")]
    fn the_last_page_below_the_hole_cannot_be_mapped() {
        let _ = Bench::new().enter(VirtAddr(USER_END), 7, READ_WRITE);
    }

    #[test]
    #[should_panic(expected = "a leaf with")]
    fn a_page_cannot_be_writable_and_executable() {
        let _ = Bench::new().enter(PAGE, 7, Protection::all());
    }
}
