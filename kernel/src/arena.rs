//! Storage for kernel objects: arenas that grow without moving what they hold.
//!
//! An object is named by an [`Id`], slot and generation, so an id kept after its
//! object is gone finds nothing. Memory comes in chunks that are never moved and
//! never given back: what an object left is kept for the next of its kind.
//!
//! Invariant: a slot is live or in the list of vacant ones. This file knows nothing
//! of what it stores.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU64;
use core::ops::{Index, IndexMut};
use portolan_machine::pace;

/// The kernel's heap is exhausted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

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

    /// All elements, in order. Passing over them is counted as work.
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let chunks = self.chunks.iter_mut().inspect(|_| pace(PER_CHUNK));
        chunks.flat_map(|chunk| chunk.iter_mut()).take(self.len as usize)
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

/// Names an object in an [`Arena`], for ever: the slot, and above it the slot's generation, which is
/// not 0. It is one word, so that it takes one register, and one comparison.
pub struct Id<T> {
    word: NonZeroU64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    const GENERATION: NonZeroU64 = NonZeroU64::new(1 << 32).unwrap();

    /// The first object of a slot.
    fn first(index: u32) -> Id<T> {
        Id { word: Self::GENERATION | u64::from(index), kind: PhantomData }
    }

    /// The object after this one in the same slot.
    fn next(self) -> Id<T> {
        self.word.checked_add(Self::GENERATION.get()).map_or(Self::first(self.index()), |word| Id { word, ..self })
    }

    /// The slot; distinct among living objects of the kind.
    #[inline(always)]
    pub fn index(self) -> u32 {
        self.word.get() as u32
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.index(), self.word).cmp(&(other.index(), other.word))
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.index())
    }
}

struct Slot<T> {
    /// Of the object that is here, or the next one.
    id: Id<T>,
    content: Content<T>,
}

impl<T> Slot<T> {
    fn vacant(index: u32) -> Self {
        Slot { id: Id::first(index), content: Content::Vacant { next: None } }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot::vacant(0)
    }
}

enum Content<T> {
    Vacant { next: Option<u32> },
    Live(T),
}

/// Objects of one kind.
pub struct Arena<T> {
    slots: Chunked<Slot<T>>,
    vacant: Option<u32>,
    live: u32,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { slots: Chunked::default(), vacant: None, live: 0 }
    }
}

impl<T> Arena<T> {
    /// Bytes that one object takes here.
    pub const SLOT_SIZE: usize = size_of::<Slot<T>>();

    /// How many objects there are.
    pub fn len(&self) -> u32 {
        self.live
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many slots there are, vacant ones included.
    pub fn slots(&self) -> u32 {
        self.slots.len()
    }

    /// Makes sure that the next object can be stored.
    #[inline(always)]
    pub fn reserve(&mut self) -> Result<(), OutOfMemory> {
        if self.vacant.is_none() {
            self.vacant = Some(self.slots.push(Slot::vacant(self.slots.len()))?);
        }
        Ok(())
    }

    /// Stores an object.
    pub fn insert(&mut self, value: T) -> Result<Id<T>, OutOfMemory> {
        self.reserve()?;
        let index = self.vacant.ok_or(OutOfMemory)?;
        let slot = &mut self.slots[index];
        let Content::Vacant { next } = slot.content else { panic!("the vacant list holds a live slot") };
        self.vacant = next;
        slot.content = Content::Live(value);
        self.live += 1;
        Ok(slot.id)
    }

    /// Takes an object out; its id finds nothing from now on.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        self.get(id)?;
        let slot = &mut self.slots[id.index()];
        slot.id = id.next();
        let content = core::mem::replace(&mut slot.content, Content::Vacant { next: self.vacant });
        self.vacant = Some(id.index());
        self.live -= 1;
        match content {
            Content::Live(value) => Some(value),
            Content::Vacant { .. } => None,
        }
    }

    /// The object, if it still exists.
    #[inline(always)]
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        match self.slots.get(id.index()) {
            Some(Slot { id: own, content: Content::Live(value) }) if *own == id => Some(value),
            _ => None,
        }
    }

    /// The object, if it still exists.
    #[inline(always)]
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        match self.slots.get_mut(id.index()) {
            Some(Slot { id: own, content: Content::Live(value) }) if *own == id => Some(value),
            _ => None,
        }
    }

    /// The object in this slot, if there is one.
    pub fn at(&self, index: u32) -> Option<(Id<T>, &T)> {
        match self.slots.get(index)? {
            Slot { id, content: Content::Live(value) } => Some((*id, value)),
            Slot { content: Content::Vacant { .. }, .. } => None,
        }
    }

    /// All objects, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().filter_map(|slot| match &slot.content {
            Content::Live(value) => Some((slot.id, value)),
            Content::Vacant { .. } => None,
        })
    }

    /// All objects, in no particular order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match &mut slot.content {
            Content::Live(value) => Some(value),
            Content::Vacant { .. } => None,
        })
    }

    /// Bytes of heap that hold no object.
    pub fn spare(&self) -> usize {
        self.slots.heap_size() - self.live as usize * Self::SLOT_SIZE
    }
}

/// For ids that the kernel itself keeps current: a stale one is a kernel bug.
impl<T> Index<Id<T>> for Arena<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, id: Id<T>) -> &T {
        self.get(id).expect("the object lives")
    }
}

impl<T> IndexMut<Id<T>> for Arena<T> {
    #[inline(always)]
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        self.get_mut(id).expect("the object lives")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut arena = Arena::default();
        let old = arena.insert('a').unwrap();
        assert_eq!(arena.remove(old), Some('a'));
        let new = arena.insert('b').unwrap();
        assert_eq!(new.index(), old.index());
        assert_eq!((arena.get(old), arena.get(new)), (None, Some(&'b')));
        assert_eq!(arena.remove(old), None);
    }

    #[test]
    fn objects_do_not_move_when_the_arena_grows() {
        let mut arena = Arena::default();
        let first = arena.insert(0u32).unwrap();
        let before: *const u32 = &arena[first];
        for value in 1..1000 {
            arena.insert(value).unwrap();
        }
        assert_eq!(before, &arena[first] as *const u32);
        assert_eq!(arena.iter().map(|(_, value)| *value).sum::<u32>(), 999 * 1000 / 2);
    }
}
