//! Storage for kernel objects: arenas that grow without moving what they hold.
//!
//! An object is named by an [`Id`], slot and generation, so an id kept after its object is
//! gone finds nothing. Slots lie in a row, each with a word that says by itself whether an id's
//! object is there: finding one is a multiplication and a comparison. Memory is never given
//! back: what an object left is kept for the next of its kind.
//!
//! Invariants: the first `written` slots have been, and no id is of another; the word of one that holds an object is that
//! object's id, and the word of a vacant one is no id's; all vacant ones are in a list. The compiler cannot
//! know that, so this is here and not in the kernel. Neighbour: the backend's `Row` has the memory.

use crate::backend::Row;
use crate::pace;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, offset_of};
use core::num::NonZeroU64;
use core::ops::{Index, IndexMut};
use core::ptr::NonNull;
use portolan_abi::Error;

/// The kernel's heap is exhausted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

impl From<OutOfMemory> for Error {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Error::ResourceShortage
    }
}

/// Names an object in an [`Arena`], for ever: the slot, and above it the slot's generation, which has
/// 31 bits and is not 0. It is one word, so that it takes one register, and one comparison.
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
        match self.word.checked_add(Self::GENERATION.get()) {
            Some(word) if word.get() & VACANT == 0 => Id { word, ..self },
            _ => Id::first(self.index()),
        }
    }

    /// The slot; distinct among living objects of the kind.
    #[must_use]
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

/// A place for an object.
pub(crate) struct Slot<T> {
    /// Of a slot that holds an object: its id. Else the next object's id, with [`VACANT`], and
    /// with the next vacant slot in place of the own number.
    word: u64,
    object: MaybeUninit<T>,
}

/// Set in the word of a vacant slot and in no id.
const VACANT: u64 = 1 << 63;
/// The end of the list of vacant slots; no slot has this number.
const END: u32 = u32::MAX;

/// The word of a slot that is vacant: what it will hold next, and the next one in the list.
fn vacant<T>(id: Id<T>, next: u32) -> u64 {
    VACANT | id.word.get() & !u64::from(u32::MAX) | u64::from(next)
}

/// The id of what a vacant slot with this word and number will hold.
fn awaited<T>(word: u64, index: u32) -> Id<T> {
    let word = word & !VACANT & !u64::from(u32::MAX) | u64::from(index);
    Id { word: NonZeroU64::new(word).expect("a slot that was written has a generation"), kind: PhantomData }
}

impl<T> Slot<T> {
    /// Where a slot's word is.
    #[inline(always)]
    fn word(slot: NonNull<Slot<T>>) -> NonNull<u64> {
        // SAFETY: it is in the slot.
        unsafe { slot.byte_add(offset_of!(Slot<T>, word)) }.cast()
    }

    /// Where a slot's object is, if it holds one.
    #[inline(always)]
    fn object(slot: NonNull<Slot<T>>) -> NonNull<T> {
        // SAFETY: it is in the slot.
        unsafe { slot.byte_add(offset_of!(Slot<T>, object)) }.cast()
    }
}

/// Objects of one kind.
pub struct Arena<T> {
    slots: Row<Slot<T>>,
    /// How many of them have been written.
    written: u32,
    /// The first vacant one.
    vacant: u32,
    live: u32,
}

// SAFETY: an arena owns its objects and the memory they are in, as a vector does.
unsafe impl<T: Send> Send for Arena<T> {}
// SAFETY: a shared arena gives shared references to its objects, and no other way to them.
unsafe impl<T: Sync> Sync for Arena<T> {}

impl<T: 'static> Default for Arena<T> {
    /// One without objects. On a real machine there is one of a kind.
    ///
    /// # Panics
    /// If there has been one.
    fn default() -> Self {
        Arena { slots: Row::default(), written: 0, vacant: END, live: 0 }
    }
}

impl<T> Arena<T> {
    /// Bytes that one object takes here.
    pub const SLOT_SIZE: usize = size_of::<Slot<T>>();

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.live
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many slots have been in use so far, vacant ones included.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.written
    }

    /// Makes sure that the next object can be stored.
    ///
    /// # Errors
    /// If there is no memory for it.
    #[inline(always)]
    pub fn reserve(&mut self) -> Result<(), OutOfMemory> {
        if self.vacant == END { self.add() } else { Ok(()) }
    }

    /// Adds a slot, which is vacant, when no other is.
    #[cold]
    fn add(&mut self) -> Result<(), OutOfMemory> {
        let index = self.written;
        if index == END {
            return Err(OutOfMemory);
        }
        if index as usize == self.slots.room() {
            self.slots.grow().ok_or(OutOfMemory)?;
        }
        // SAFETY: there is room for it.
        let slot = unsafe { self.slots.at(index) };
        // SAFETY: the slot is there, and not in use.
        unsafe { Slot::word(slot).write(vacant(Id::<T>::first(index), END)) };
        self.vacant = index;
        self.written += 1;
        Ok(())
    }

    /// Stores an object.
    ///
    /// # Errors
    /// If there is no memory for it; it is dropped.
    pub fn insert(&mut self, object: T) -> Result<Id<T>, OutOfMemory> {
        self.reserve()?;
        let index = self.vacant;
        let slot = self.slot(index).ok_or(OutOfMemory)?;
        // SAFETY: the slot has been written.
        let word = unsafe { Slot::word(slot).read() };
        let id = awaited(word, index);
        // SAFETY: the slot is there, and holds nothing that were to be dropped.
        unsafe { Slot::object(slot).write(object) };
        // SAFETY: the slot is there; now it holds the object.
        unsafe { Slot::word(slot).write(id.word.get()) };
        self.vacant = word as u32;
        self.live += 1;
        Ok(id)
    }

    /// Takes an object out; its id finds nothing from now on.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let slot = self.find(id)?;
        // SAFETY: the slot is there; it loses its object.
        unsafe { Slot::word(slot).write(vacant(id.next(), self.vacant)) };
        self.vacant = id.index();
        self.live -= 1;
        // SAFETY: the object was there, and is found no more.
        Some(unsafe { Slot::object(slot).read() })
    }

    /// The object, if it still exists.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        let slot = self.find(id)?;
        // SAFETY: the object is there, and nobody changes it while the arena is shared.
        Some(unsafe { Slot::object(slot).as_ref() })
    }

    /// The object, if it still exists.
    #[must_use]
    #[inline(always)]
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let slot = self.find(id)?;
        // SAFETY: the object is there, and nobody else reaches it while the arena is borrowed.
        Some(unsafe { Slot::object(slot).as_mut() })
    }

    /// The slot that holds this object.
    #[inline(always)]
    fn find(&self, id: Id<T>) -> Option<NonNull<Slot<T>>> {
        let slot = match Row::<Slot<T>>::IS_ONLY {
            // SAFETY: the id is of this arena, as there is no other, and so the slot is there.
            true => unsafe { self.slots.at(id.index()) },
            false => self.slot(id.index())?,
        };
        // SAFETY: the slot has been written.
        (unsafe { Slot::word(slot).read() } == id.word.get()).then_some(slot)
    }

    /// The slot with this number, if there is one.
    fn slot(&self, index: u32) -> Option<NonNull<Slot<T>>> {
        // SAFETY: the first `written` slots have been.
        (index < self.written).then(|| unsafe { self.slots.at(index) })
    }

    /// The slot with this number, and the id of the object in it, if there is one.
    fn occupied(&self, index: u32) -> Option<(Id<T>, NonNull<Slot<T>>)> {
        let slot = self.slot(index)?;
        // SAFETY: the slot has been written.
        let word = Some(unsafe { Slot::word(slot).read() }).filter(|word| word & VACANT == 0)?;
        Some((Id { word: NonZeroU64::new(word)?, kind: PhantomData }, slot))
    }

    /// The object in this slot, if there is one.
    #[must_use]
    pub fn at(&self, index: u32) -> Option<(Id<T>, &T)> {
        let (id, slot) = self.occupied(index)?;
        // SAFETY: the object is there, and nobody changes it while the arena is shared.
        Some((id, unsafe { Slot::object(slot).as_ref() }))
    }

    /// All objects, in no particular order. Passing over them is counted as work.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.indices().filter_map(|index| self.at(index))
    }

    /// All objects, in no particular order. Passing over them is counted as work.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let arena: &Self = self;
        let occupied = arena.indices().filter_map(|index| arena.occupied(index));
        // SAFETY: the object is there; each comes once, and nobody else reaches it while the arena
        // is borrowed.
        occupied.map(|(_, slot)| unsafe { Slot::object(slot).as_mut() })
    }

    /// The numbers of all slots. Passing over them is counted as work.
    fn indices(&self) -> impl Iterator<Item = u32> + use<T> {
        (0..self.written).inspect(|index| {
            if index.is_multiple_of(COUNTED_TOGETHER) {
                pace(PER_SLOT * COUNTED_TOGETHER);
            }
        })
    }

    /// Bytes of heap that hold no object.
    #[must_use]
    pub fn spare(&self) -> usize {
        self.slots.heap_size() - self.live as usize * Self::SLOT_SIZE
    }
}

/// Slots whose passing is counted together, and the instructions that passing one takes.
const COUNTED_TOGETHER: u32 = 64;
const PER_SLOT: u32 = 8;

/// What it holds is dropped; whether the memory comes back is the row's matter.
impl<T> Drop for Arena<T> {
    fn drop(&mut self) {
        for index in 0..self.written {
            drop(self.occupied(index).and_then(|(id, _)| self.remove(id)));
        }
    }
}

/// For ids that the kernel itself keeps current: a stale one is a kernel bug.
impl<T> Index<Id<T>> for Arena<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, id: Id<T>) -> &T {
        match self.get(id) {
            Some(value) => value,
            None => gone(id.index()),
        }
    }
}

impl<T> IndexMut<Id<T>> for Arena<T> {
    #[inline(always)]
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        match self.get_mut(id) {
            Some(value) => value,
            None => gone(id.index()),
        }
    }
}

#[cold]
#[inline(never)]
fn gone(index: u32) -> ! {
    panic!("object #{index} is no more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::heap::{self, Fail, in_kernel};
    use std::rc::Rc;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut arena = Arena::default();
        let old = arena.insert('a').unwrap();
        assert_eq!(arena.remove(old), Some('a'));
        let new = arena.insert('b').unwrap();
        assert_eq!(new.index(), old.index());
        assert_eq!((arena.get(old), arena.get(new)), (None, Some(&'b')));
        assert_eq!(arena.get_mut(old), None);
        assert_eq!(arena.remove(old), None);
    }

    #[test]
    fn a_vacant_slot_holds_nothing() {
        let mut arena = Arena::default();
        let ids: Vec<Id<u64>> = (0..3).map(|value| arena.insert(value).unwrap()).collect();
        assert_eq!(arena.remove(ids[1]), Some(1));
        arena.reserve().unwrap();
        assert_eq!((arena.at(1), arena.at(3), arena.at(u32::MAX)), (None, None, None));
        assert_eq!(arena.get(ids[1].next()), None, "an id that is yet to be handed out");
        arena.iter_mut().for_each(|value| *value += 10);
        assert_eq!(arena.iter().map(|(id, value)| (id.index(), *value)).collect::<Vec<_>>(), [(0, 10), (2, 12)]);
        assert_eq!((arena.len(), arena.slots()), (2, 3));
    }

    #[test]
    fn an_id_of_another_arena_finds_nothing_that_is_not_there() {
        let mut full = Arena::default();
        let ids: Vec<Id<u8>> = (0..200).map(|value| full.insert(value).unwrap()).collect();
        let empty = Arena::<u8>::default();
        assert!(ids.iter().all(|id| empty.get(*id).is_none()));
    }

    #[test]
    fn generations_begin_again_and_are_never_0() {
        let last = Id::<u8> { word: NonZeroU64::new(!VACANT).unwrap(), kind: PhantomData };
        assert!(last.next() == Id::first(u32::MAX));
        assert_eq!(size_of::<Option<Id<u8>>>(), size_of::<u64>());
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

    #[test]
    fn growth_without_memory_is_an_error_and_changes_nothing() {
        let mut arena = Arena::default();
        heap::fail(Fail::From(0));
        assert_eq!(in_kernel(|| arena.insert(1)).err(), Some(OutOfMemory));
        heap::fail(Fail::Never);
        assert_eq!((arena.len(), arena.slots(), arena.at(0)), (0, 0, None));
        let id = arena.insert(2).unwrap();
        assert_eq!(arena[id], 2);
    }

    #[test]
    fn what_is_spare_is_what_holds_no_object() {
        let before = heap::used();
        let mut arena = in_kernel(Arena::<[u64; 3]>::default);
        let ids: Vec<_> = (0..100).map(|value| in_kernel(|| arena.insert([value; 3])).unwrap()).collect();
        assert_eq!(heap::used() - before, arena.spare() + 100 * Arena::<[u64; 3]>::SLOT_SIZE);
        ids.iter().for_each(|id| assert!(arena.remove(*id).is_some()));
        assert_eq!(heap::used() - before, arena.spare());
        in_kernel(|| drop(arena));
        assert_eq!(heap::used(), before);
    }

    #[test]
    fn what_it_holds_is_dropped_once() {
        let thing = Rc::new(());
        let mut arena = Arena::default();
        let ids: Vec<_> = (0..100).map(|_| arena.insert(Rc::clone(&thing)).unwrap()).collect();
        drop(arena.remove(ids[50]));
        assert_eq!(Rc::strong_count(&thing), 100);
        drop(arena);
        assert_eq!(Rc::strong_count(&thing), 1);
    }

    #[test]
    #[should_panic(expected = "object #0 is no more")]
    fn a_stale_id_that_was_to_be_current_is_a_bug() {
        let mut arena = Arena::default();
        let id = arena.insert(()).unwrap();
        arena.remove(id);
        assert_eq!(arena[id], ());
    }
}
