//! A box that can fail to be made: `Box::new` ends the program when memory is short,
//! and the kernel must not.

use alloc::alloc::alloc;
use alloc::boxed::Box;
use core::alloc::Layout;

/// Moves a value to the heap. `None`: out of memory; the value is dropped.
#[must_use]
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    const { assert!(size_of::<T>() > 0, "a value without size needs no box") };
    // SAFETY: the layout's size is not zero.
    let place = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    // SAFETY: the place is new and has the size and alignment of a `T`.
    unsafe { place.write(value) };
    // SAFETY: the place came from the global allocator with this layout and holds a value.
    Some(unsafe { Box::from_raw(place) })
}
