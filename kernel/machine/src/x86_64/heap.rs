//! The kernel's heap: one region, taken at start.
//!
//! For objects that are made and thrown away, not for the path of a message. When it is
//! full an allocation fails; it never panics. Invariant: taking and giving back memory take
//! a bounded number of instructions, whatever holes there are: the free blocks are in lists by
//! size class (two-level segregated fit; Masmano et al., "TLSF", ECRTS 2004).

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use rlsf::Tlsf;
use spin::mutex::TicketMutex;

/// Memory for the heap: mapped, writable, and nobody else's.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) start: *mut u8,
    pub(super) size: usize,
}

/// Classes by power of two, and how many each is divided into: blocks up to 8 GiB.
type Blocks = Tlsf<'static, u32, u32, 28, 32>;

struct Heap {
    blocks: Blocks,
    used: usize,
}

struct KernelHeap(TicketMutex<Heap>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(TicketMutex::new(Heap { blocks: Blocks::new(), used: 0 }));

/// Gives the heap its memory. Before, every allocation fails.
pub(super) fn open(region: Region) {
    let Some(start) = NonNull::new(region.start) else { return };
    let memory = NonNull::slice_from_raw_parts(start, region.size);
    // SAFETY: the region is mapped, writable, and was made for this.
    unsafe { HEAP.0.lock().blocks.insert_free_block_ptr(memory) };
}

/// Bytes that are allocated.
#[must_use]
pub fn used() -> usize {
    HEAP.0.lock().used
}

// SAFETY: the heap hands out each byte once, aligned as asked; the lock keeps it to one
// processor at a time.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.0.lock();
        let Some(memory) = heap.blocks.allocate(layout) else { return ptr::null_mut() };
        heap.used += layout.size();
        memory.as_ptr()
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some(memory) = NonNull::new(memory) else { return };
        let mut heap = self.0.lock();
        heap.used -= layout.size();
        // SAFETY: the caller got it from `alloc` with this layout.
        unsafe { heap.blocks.deallocate(memory, layout.align()) };
    }
}
