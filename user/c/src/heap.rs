//! `malloc` and its kin, on the task's heap.
//!
//! Invariant: before each block lies a [`Head`] that says how it was allocated. Neighbour: `portolan`'s heap.

use crate::errno::{self, Errno};
use alloc::alloc::{Layout, alloc, dealloc};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

/// Alignment that serves every C type.
const ALIGN: usize = 16;

/// What lies right before a block.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Head {
    /// Bytes that were asked for.
    size: usize,
    /// The block's alignment, at least [`ALIGN`].
    align: usize,
}

impl Head {
    /// Bytes from the start of the allocation to the block.
    fn offset(self) -> usize {
        self.align.max(size_of::<Head>())
    }

    fn layout(self) -> Option<Layout> {
        Layout::from_size_align(self.size.checked_add(self.offset())?, self.align).ok()
    }
}

fn allocate(size: usize, align: usize) -> *mut c_void {
    let head = Head { size, align };
    // SAFETY: the layout has room for a head at least.
    let start = head.layout().map_or(null_mut(), |layout| unsafe { alloc(layout) });
    if start.is_null() {
        errno::set(Errno::NoMemory);
        return null_mut();
    }
    let block = start.wrapping_add(head.offset());
    // SAFETY: the head's bytes lie right before the block, inside the allocation.
    unsafe { block.cast::<Head>().wrapping_sub(1).write(head) };
    block.cast()
}

/// What the block's head says.
///
/// # Safety
/// The block is one of [`allocate`]'s.
unsafe fn head(block: *mut c_void) -> Head {
    // SAFETY: the caller says that there is a head.
    unsafe { block.cast::<Head>().wrapping_sub(1).read() }
}

#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    allocate(size, ALIGN)
}

#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        errno::set(Errno::NoMemory);
        return null_mut();
    };
    let block = malloc(bytes);
    if !block.is_null() {
        // SAFETY: the block has so many bytes.
        unsafe { block.cast::<u8>().write_bytes(0, bytes) };
    }
    block
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    // SAFETY: the caller gives back what an allocation returned.
    let head = unsafe { head(block) };
    let layout = head.layout().expect("the block was allocated with this layout");
    let start = block.cast::<u8>().wrapping_sub(head.offset());
    // SAFETY: that is how `allocate` got it.
    unsafe { dealloc(start, layout) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
    if old.is_null() {
        return malloc(size);
    }
    let new = malloc(size);
    if new.is_null() {
        return new;
    }
    // SAFETY: the caller passes what an allocation returned.
    let kept = unsafe { head(old) }.size.min(size);
    // SAFETY: both blocks have so many bytes, and the new one is nobody else's.
    unsafe { new.cast::<u8>().copy_from_nonoverlapping(old.cast(), kept) };
    // SAFETY: as above.
    unsafe { free(old) };
    new
}

#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        errno::set(Errno::Invalid);
        return null_mut();
    }
    allocate(size, align.max(ALIGN))
}

#[unsafe(no_mangle)]
extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    aligned_alloc(align, size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(block: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<usize>() {
        return Errno::Invalid as c_int;
    }
    let allocated = allocate(size, align.max(ALIGN));
    if allocated.is_null() {
        return Errno::NoMemory as c_int;
    }
    // SAFETY: the caller passes where the result goes.
    unsafe { block.write(allocated) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    if block.is_null() {
        return 0;
    }
    // SAFETY: the caller passes what an allocation returned.
    unsafe { head(block) }.size
}

/// By this name musl's own functions allocate.
#[unsafe(no_mangle)]
extern "C" fn __libc_malloc(size: usize) -> *mut c_void {
    malloc(size)
}

/// See [`__libc_malloc`].
#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_free(block: *mut c_void) {
    // SAFETY: as for `free`.
    unsafe { free(block) }
}
