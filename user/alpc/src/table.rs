//! Things by an id that is never 0 and means nothing once they are gone.
//!
//! An id is a slot (16 bits) and its generation (15 bits): what is kept after its thing has gone finds
//! nothing until the slot has been used 32,767 times again. A place can be claimed before there is anything
//! to put into it, so that putting it in cannot fail. Neighbours: `inbox` keeps requests and connections here.

use crate::status::{Result, Status};
use alloc::vec::Vec;

const SLOT_BITS: u32 = 16;
const GENERATION_MAX: u16 = 0x7fff;

/// See the module's text.
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    /// Slots with nothing in them that nobody has claimed; there is room for all.
    free: Vec<u16>,
}

struct Slot<T> {
    generation: u16,
    value: Option<T>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Table<T> {
        Table { slots: Vec::new(), free: Vec::new() }
    }

    /// Claims a place: the id that what is put there will have.
    ///
    /// # Errors
    /// `InsufficientResources`.
    pub(crate) fn claim(&mut self) -> Result<u32> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let index = self.free.pop().expect("the table has just grown");
        Ok(id(index, self.slots[usize::from(index)].generation))
    }

    fn grow(&mut self) -> Result<()> {
        let index = u16::try_from(self.slots.len()).map_err(|_| Status::InsufficientResources)?;
        self.slots.try_reserve(1).map_err(|_| Status::InsufficientResources)?;
        let room = self.slots.capacity();
        self.free.try_reserve_exact(room).map_err(|_| Status::InsufficientResources)?;
        self.slots.push(Slot { generation: 1, value: None });
        self.free.push(index);
        Ok(())
    }

    /// Puts something into a claimed place.
    pub(crate) fn fill(&mut self, id: u32, value: T) {
        if let Some(slot) = self.slot(id) {
            slot.value = Some(value);
        }
    }

    /// Gives a claimed place back.
    pub(crate) fn release(&mut self, id: u32) {
        if self.slot(id).is_some_and(|slot| slot.value.is_none()) {
            self.vacate(id);
        }
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        let slot = self.slots.get(index(id))?;
        slot.value.as_ref().filter(|_| slot.generation == generation(id))
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.slot(id)?.value.as_mut()
    }

    /// Takes something out.
    pub(crate) fn take(&mut self, id: u32) -> Option<T> {
        let value = self.slot(id)?.value.take()?;
        self.vacate(id);
        Some(value)
    }

    /// All that is in it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| filled(at as u16, slot))
    }

    /// All that is in it from this place on, in the order of places.
    pub(crate) fn iter_from(&self, place: u32) -> impl Iterator<Item = (u32, &T)> {
        let slots = self.slots.iter().enumerate().skip(place as usize);
        slots.filter_map(|(at, slot)| slot.value.as_ref().map(|value| (at as u32, value)))
    }

    fn slot(&mut self, id: u32) -> Option<&mut Slot<T>> {
        self.slots.get_mut(index(id)).filter(|slot| slot.generation == generation(id))
    }

    /// The slot can be claimed again, under another id.
    fn vacate(&mut self, id: u32) {
        let slot = &mut self.slots[index(id)];
        slot.generation = if slot.generation == GENERATION_MAX { 1 } else { slot.generation + 1 };
        self.free.push(index(id) as u16);
    }
}

fn filled<T>(index: u16, slot: &Slot<T>) -> Option<(u32, &T)> {
    slot.value.as_ref().map(|value| (id(index, slot.generation), value))
}

const fn id(index: u16, generation: u16) -> u32 {
    (generation as u32) << SLOT_BITS | index as u32
}

const fn index(id: u32) -> usize {
    (id & ((1 << SLOT_BITS) - 1)) as usize
}

const fn generation(id: u32) -> u16 {
    (id >> SLOT_BITS) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_found_until_it_is_taken() {
        let mut table = Table::new();
        let (one, two) = (table.claim().expect("room"), table.claim().expect("room"));
        assert!(one != 0 && one != two);
        table.fill(one, 'a');
        assert_eq!((table.get(one), table.get(two)), (Some(&'a'), None));
        assert_eq!((table.take(two), table.take(one), table.take(one)), (None, Some('a'), None));
    }

    #[test]
    fn an_old_id_finds_nothing_new() {
        let mut table = Table::new();
        let old = table.claim().expect("room");
        table.fill(old, 1);
        table.take(old);
        let new = table.claim().expect("room");
        table.fill(new, 2);
        assert_ne!(old, new);
        assert_eq!(table.take(old), None);
        assert_eq!((table.get(old), table.get(new)), (None, Some(&2)));
    }

    #[test]
    fn a_claim_is_given_back_once_and_never_what_is_filled() {
        let mut table = Table::new();
        let claimed = table.claim().expect("room");
        table.release(claimed);
        table.release(claimed);
        let (one, two) = (table.claim().expect("room"), table.claim().expect("room"));
        assert_ne!(one, two);
        table.fill(one, 'x');
        table.release(one);
        assert_eq!(table.get(one), Some(&'x'));
    }

    #[test]
    fn places_are_gone_through_from_any_of_them_on() {
        let mut table = Table::new();
        for value in 0..4 {
            let id = table.claim().expect("room");
            table.fill(id, value);
        }
        let second = table.iter().nth(1).map(|(id, _)| id).expect("four");
        table.take(second);
        assert_eq!(table.iter_from(1).collect::<Vec<_>>(), [(2, &2), (3, &3)]);
        assert_eq!(table.iter_from(4).count(), 0);
    }

    #[test]
    fn generations_come_round_without_ever_being_0() {
        let mut table = Table::new();
        for _ in 0..70_000 {
            let id = table.claim().expect("room");
            assert!(generation(id) != 0 && id >> 31 == 0);
            table.release(id);
        }
        assert_eq!(table.iter().count(), 0_usize);
        let id = table.claim().expect("room");
        table.fill(id, ());
        assert_eq!(table.iter().map(|(id, ())| id).collect::<Vec<_>>(), [id]);
    }
}
