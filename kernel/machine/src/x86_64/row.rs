//! Places in a row that never move: pages of the heap, each mapped where the one before ends.
//!
//! Each kind of place has one row, and that a window of the kernel's half to itself, for ever. Its pages come from the heap, so
//! that objects and all else share one memory, and so do the tables that map them.
//! Invariants: a page in a window was taken from the heap for good, and where the heap has it
//! nobody uses it any more; a window is mapped from its start on without a gap.
//! Neighbours: `kernel_half` makes the table that all windows hang on, `arena` knows what is in the places.

use super::address_space::kernel_half;
use super::kernel_half::VARIABLES;
use super::layout::{ARENAS, WINDOW_SIZE, WINDOWS};
use super::tables::{ADDRESS, ENTRIES, PRESENT, TOP, WRITABLE, index};
use crate::{Frame, PhysAddr, pace};
use alloc::alloc::alloc;
use arrayvec::ArrayVec;
use core::alloc::Layout;
use core::any::TypeId;
use core::marker::PhantomData;
use core::ptr::{NonNull, with_exposed_provenance_mut};
use core::sync::atomic::{Ordering, compiler_fence};
use portolan_abi::PAGE_SIZE;
use spin::mutex::TicketMutex;

/// Places that a row grows by, at least…
const STEP: usize = 64;
/// … and pages, at least: aligning them costs up to a page of the heap's, which is then little.
const STEP_PAGES: usize = 8;
/// Instructions that adding a page takes.
const PER_PAGE: u32 = 200;

/// What is in each window.
static KINDS: TicketMutex<ArrayVec<TypeId, WINDOWS>> = TicketMutex::new(ArrayVec::new_const());

/// Places for values, not written at first. What is in them is not dropped, and no memory comes back.
pub(crate) struct Row<S> {
    window: Window,
    places: PhantomData<*mut S>,
}

impl<S: 'static> Default for Row<S> {
    fn default() -> Self {
        Row { window: Window::of(TypeId::of::<S>()), places: PhantomData }
    }
}

impl<S> Row<S> {
    /// Whether there is no other row of such places.
    pub(crate) const IS_ONLY: bool = true;

    /// Pages that it grows by.
    const GROWTH: usize = {
        assert!(WINDOW_SIZE as usize / size_of::<S>() <= u32::MAX as usize, "32 bits count the places of a window");
        assert!(align_of::<S>() <= PAGE_SIZE, "a page begins where a place may");
        let pages = (STEP * size_of::<S>()).div_ceil(PAGE_SIZE);
        if pages > STEP_PAGES { pages } else { STEP_PAGES }
    };

    /// How many places there are.
    pub(crate) fn room(&self) -> usize {
        self.window.size() / size_of::<S>()
    }

    /// Where this place is.
    ///
    /// # Safety
    /// There is room for so many.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, index: u32) -> NonNull<S> {
        // SAFETY: as the caller promises.
        unsafe { self.window.base.cast::<S>().add(index as usize) }
    }

    /// Adds places. `None`: out of memory, or of the window.
    pub(crate) fn grow(&mut self) -> Option<()> {
        self.window.grow(Self::GROWTH)
    }

    /// Bytes of heap it holds.
    pub(crate) fn heap_size(&self) -> usize {
        self.window.size() + self.window.tables * PAGE_SIZE
    }
}

/// The window of one row.
struct Window {
    /// Where it begins.
    base: NonNull<u8>,
    pages: usize,
    tables: usize,
}

impl Window {
    /// The window for places of this kind.
    fn of(kind: TypeId) -> Window {
        let mut kinds = KINDS.lock();
        assert!(!kinds.contains(&kind), "a second row of places of one kind");
        let base = ARENAS + kinds.len() as u64 * WINDOW_SIZE;
        kinds.push(kind);
        let base = NonNull::new(with_exposed_provenance_mut(base as usize));
        Window { base: base.expect("no window is at address 0"), pages: 0, tables: 0 }
    }

    /// Bytes that are mapped.
    fn size(&self) -> usize {
        self.pages * PAGE_SIZE
    }

    /// Maps more pages at its end.
    #[cold]
    fn grow(&mut self, count: usize) -> Option<()> {
        if self.size() + count * PAGE_SIZE > WINDOW_SIZE as usize {
            return None;
        }
        let end = self.base.addr().get() + self.size();
        let pages = || (0..count).map(|page| (end + page * PAGE_SIZE) as u64);
        for page in pages() {
            self.table(page)?;
        }
        let first = take_pages(count)?;
        // Nothing below may fail: the tables are there.
        for (page, number) in pages().zip(first.0..) {
            set_entry(self.table(page)?, index(page, 0), Frame(number).start().0 | VARIABLES);
        }
        // The processor keeps nothing of an entry that was empty; the compiler is to keep the order.
        compiler_fence(Ordering::SeqCst);
        self.pages += count;
        pace(PER_PAGE * count as u32);
        Some(())
    }

    /// The table with the entry of a page; it and those above it are made if they are missing.
    fn table(&mut self, page: u64) -> Option<Frame> {
        let mut table = kernel_half().root();
        for level in (1..=TOP).rev() {
            let above = table;
            let entry = entry(above, index(page, level));
            if entry & PRESENT != 0 {
                table = PhysAddr(entry & ADDRESS).frame();
            } else {
                table = take_table()?;
                self.tables += 1;
                set_entry(above, index(page, level), table.start().0 | PRESENT | WRITABLE);
            }
        }
        Some(table)
    }
}

/// Takes pages in a row from the heap, for good. Returns the first one's frame.
fn take_pages(count: usize) -> Option<Frame> {
    let layout = Layout::from_size_align(count * PAGE_SIZE, PAGE_SIZE).ok()?;
    // SAFETY: the size is not zero.
    let pages = unsafe { alloc(layout) };
    (!pages.is_null()).then(|| kernel_half().frame(pages.expose_provenance() as u64))
}

/// Takes a page for a table, and clears it.
fn take_table() -> Option<Frame> {
    let table = take_pages(1)?;
    // SAFETY: the page is mapped there and has just been taken; zeros are entries.
    unsafe { place(table, 0).write_bytes(0, ENTRIES as usize) };
    Some(table)
}

/// An entry of one of the kernel's own tables.
pub(super) fn entry(table: Frame, index: u64) -> u64 {
    // SAFETY: a word of a table, which is mapped there; any bytes are a number.
    unsafe { place(table, index).read_volatile() }
}

/// Writes an entry, which was empty, of a table of the windows.
fn set_entry(table: Frame, index: u64, entry: u64) {
    // SAFETY: a word of a table, which is mapped there; only this file changes the tables of the
    // windows, so that no page that is in use goes or gets other rights.
    unsafe { place(table, index).write_volatile(entry) };
}

/// Where an entry of one of the kernel's own tables is.
fn place(table: Frame, index: u64) -> *mut u64 {
    assert!(index < ENTRIES, "a table has no entry {index}");
    let table: *mut u64 = with_exposed_provenance_mut(kernel_half().address(table) as usize);
    table.wrapping_add(index as usize)
}
