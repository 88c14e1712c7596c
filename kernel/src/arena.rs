//! Storage for kernel objects, that grows without moving what it holds: arenas, and vectors
//! in chunks for what needs no ids.
//!
//! Arenas are the machine's, which has their pages lie in a row. Invariant: no element ever
//! moves. This file knows nothing of what it stores.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};
use portolan_machine::pace;
pub use portolan_machine::{Arena, Id, OutOfMemory};

const CHUNK_BITS: u32 = 6;
const CHUNK: usize = 1 << CHUNK_BITS;
/// Instructions that passing over a chunk takes.
const PER_CHUNK: u32 = 8 << CHUNK_BITS;

/// A vector that grows by chunks, so that no element ever moves.
pub struct Chunked<T> {
    chunks: Vec<Box<[T; CHUNK]>>,
    len: u32,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Chunked { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Default> Chunked<T> {
    /// Adds an element at the end and returns its index.
    pub fn push(&mut self, value: T) -> Result<u32, OutOfMemory> {
        let index = self.len;
        let chunk = (index >> CHUNK_BITS) as usize;
        if chunk == self.chunks.len() {
            self.chunks.try_reserve(1).map_err(|_| OutOfMemory)?;
            self.chunks.push(empty_chunk()?);
        }
        self.len = index.checked_add(1).ok_or(OutOfMemory)?;
        self[index] = value;
        Ok(index)
    }

    /// Removes the elements of the last chunk and gives its memory back. Returns how many
    /// they were; `None` if there is no chunk.
    pub fn pop_chunk(&mut self) -> Option<u32> {
        self.chunks.pop()?;
        let left = self.len.min((self.chunks.len() * CHUNK) as u32);
        Some(core::mem::replace(&mut self.len, left) - left)
    }

    /// Removes the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let last = self.len;
        Some(core::mem::take(&mut self[last]))
    }
}

fn empty_chunk<T: Default>() -> Result<Box<[T; CHUNK]>, OutOfMemory> {
    let mut elements = Vec::new();
    elements.try_reserve_exact(CHUNK).map_err(|_| OutOfMemory)?;
    elements.resize_with(CHUNK, T::default);
    elements.into_boxed_slice().try_into().map_err(|_| OutOfMemory)
}

impl<T> Chunked<T> {
    /// How many elements there are.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element at this index; past the end, perhaps a default one.
    #[inline(always)]
    pub fn get(&self, index: u32) -> Option<&T> {
        Some(&self.chunks.get((index >> CHUNK_BITS) as usize)?[index as usize % CHUNK])
    }

    /// The element at this index; past the end, perhaps a default one.
    #[inline(always)]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        Some(&mut self.chunks.get_mut((index >> CHUNK_BITS) as usize)?[index as usize % CHUNK])
    }

    /// All elements, in order. Passing over them is counted as work.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let chunks = self.chunks.iter().inspect(|_| pace(PER_CHUNK));
        chunks.flat_map(|chunk| chunk.iter()).take(self.len as usize)
    }

    /// Exchanges two elements.
    pub fn swap(&mut self, a: u32, b: u32)
    where
        T: Copy,
    {
        let (first, second) = (self[a], self[b]);
        self[a] = second;
        self[b] = first;
    }

    /// Bytes of heap it holds.
    pub fn heap_size(&self) -> usize {
        self.chunks.capacity() * size_of::<Box<[T; CHUNK]>>() + self.chunks.len() * size_of::<[T; CHUNK]>()
    }
}

impl<T> Index<u32> for Chunked<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, index: u32) -> &T {
        &self.chunks[(index >> CHUNK_BITS) as usize][index as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Chunked<T> {
    #[inline(always)]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.chunks[(index >> CHUNK_BITS) as usize][index as usize % CHUNK]
    }
}
