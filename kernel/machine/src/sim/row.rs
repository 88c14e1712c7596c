//! Places in a row that never move: here in chunks of the host's heap.
//!
//! Addresses are not in a row, as a test does not have the page tables for it; all else is as on the
//! real machine. Invariant: a chunk stays where it is until the row is dropped.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

const CHUNK: usize = 64;

/// A chunk's places, of which the row's owner knows what is in them.
type Chunk<S> = Box<[UnsafeCell<MaybeUninit<S>>]>;

/// Places for values, not written at first. What is in them is not dropped.
pub(crate) struct Row<S> {
    chunks: Vec<Chunk<S>>,
}

impl<S> Default for Row<S> {
    fn default() -> Self {
        Row { chunks: Vec::new() }
    }
}

impl<S> Row<S> {
    /// Whether there is no other row of such places: here each machine that a test makes has its own.
    pub(crate) const IS_ONLY: bool = false;

    /// How many places there are.
    pub(crate) fn room(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// Where one of them is.
    ///
    /// # Safety
    /// There is room for so many; here that is looked at.
    pub(crate) unsafe fn at(&self, index: u32) -> NonNull<S> {
        NonNull::from(&self.chunks[index as usize / CHUNK][index as usize % CHUNK]).cast()
    }

    /// Adds some. `None`: out of memory.
    pub(crate) fn grow(&mut self) -> Option<()> {
        self.chunks.try_reserve(1).ok()?;
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(CHUNK).ok()?;
        chunk.resize_with(CHUNK, || UnsafeCell::new(MaybeUninit::uninit()));
        self.chunks.push(chunk.into_boxed_slice());
        Some(())
    }

    /// Bytes of heap it holds.
    pub(crate) fn heap_size(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk<S>>() + self.room() * size_of::<S>()
    }
}
