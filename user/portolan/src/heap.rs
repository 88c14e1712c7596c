//! The task's heap: what `alloc` allocates from.
//!
//! It grows by mapping fresh memory at its end, and never shrinks. A page gets its
//! frame only when it is touched, and where there is none left that is a fault; so
//! the heap grows only if the task's account has the frames now, and else the
//! allocation fails. Invariant: the heap is the `mapped` bytes from [`START`] on.
#![expect(unsafe_code, reason = "an allocator deals in raw memory")]

use crate::lock::Mutex;
use crate::task::{Place, Task};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut, with_exposed_provenance_mut};
use linked_list_allocator::Heap;
use portolan_abi::{PAGE_SIZE, Protection};

/// Where the heap begins: far above what `vm_map` hands out by itself.
const START: u64 = 0x1000_0000_0000;
/// Bytes that the heap grows by at least. It doubles as long as it can, so it is few mappings.
const GROWTH_MIN: usize = 16 * PAGE_SIZE;
/// Frames that the page tables of the heap's new pages may take, and a few for the stack.
const FRAMES_BESIDE: u64 = 8;
/// What the allocator may need beside an allocation's own bytes.
const OVERHEAD: usize = 64;

#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: TaskHeap = TaskHeap(Mutex::new(Grown { heap: Heap::empty(), mapped: 0 }));

struct TaskHeap(Mutex<Grown>);

/// Whether a thread is allocating or giving back.
pub(crate) fn is_locked() -> bool {
    HEAP.0.is_locked()
}

struct Grown {
    heap: Heap,
    mapped: usize,
}

// SAFETY: memory comes from `Heap`, which hands out what it owns once until it comes
// back; the lock makes that hold among threads.
unsafe impl GlobalAlloc for TaskHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some(memory) = NonNull::new(memory) else { return };
        // SAFETY: the caller gives back what `alloc` handed out, with the same layout.
        unsafe { self.0.lock().heap.deallocate(memory, layout) }
    }
}

impl Grown {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.heap.allocate_first_fit(layout).ok().or_else(|| {
            self.grow(layout)?;
            self.heap.allocate_first_fit(layout).ok()
        })
    }

    /// Maps memory enough for this allocation, and as much again as there is, if that can be had.
    fn grow(&mut self, layout: Layout) -> Option<()> {
        let needed = layout.size().checked_add(layout.align() + OVERHEAD)?.checked_next_multiple_of(PAGE_SIZE)?;
        let wanted = needed.max(GROWTH_MIN).max(self.mapped);
        self.map(wanted).or_else(|| self.map(needed))
    }

    fn map(&mut self, size: usize) -> Option<()> {
        if Task::this().info().ok()?.left().frames < (size / PAGE_SIZE) as u64 + FRAMES_BESIDE {
            return None;
        }
        let place = START + self.mapped as u64;
        Task::this().map(None, size as u64, Protection::READ_WRITE, Place::At(place)).ok()?;
        if self.mapped == 0 {
            // SAFETY: the memory has just been mapped for the heap, and is never unmapped.
            unsafe { self.heap.init(with_exposed_provenance_mut(START as usize), size) };
        } else {
            // SAFETY: the memory has just been mapped, right behind what the heap has.
            unsafe { self.heap.extend(size) };
        }
        self.mapped += size;
        Some(())
    }
}
