//! The kernel's heap: one region, taken at start.
//!
//! For objects that are made and thrown away, not for the path of a message. When it is
//! full an allocation fails; it never panics.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use linked_list_allocator::Heap;
use spin::mutex::TicketMutex;

/// Memory for the heap: mapped, writable, and nobody else's.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) start: *mut u8,
    pub(super) size: usize,
}

struct KernelHeap(TicketMutex<Heap>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(TicketMutex::new(Heap::empty()));

/// Gives the heap its memory. Before, every allocation fails.
pub(super) fn open(region: Region) {
    // SAFETY: the region is mapped, writable, and was made for this.
    unsafe { HEAP.0.lock().init(region.start, region.size) };
}

/// Bytes that are allocated.
#[must_use]
pub fn used() -> usize {
    HEAP.0.lock().used()
}

// SAFETY: the heap hands out each byte once, aligned as asked; the lock keeps it to one
// processor at a time.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some(memory) = NonNull::new(memory) else { return };
        // SAFETY: the caller got it from `alloc` with this layout.
        unsafe { self.0.lock().deallocate(memory, layout) };
    }
}
