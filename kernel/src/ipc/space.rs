//! A task's name space: which name stands for which right.
//!
//! A table of entries, found by a name's slot and checked by the whole of it; and
//! a hash from ports to entries, grown one bucket at a time, so that a right for
//! a port the task knows arrives under the name it knows. Slots that came free are
//! used again oldest first, and only while at least [`SPARE`] others wait. A name that
//! its task chooses fixes slot and generation: the table grows to that slot, and when
//! the name is gone, generations go on from the later of the chosen and the slot's own.
//!
//! Invariant: an entry with a receive or send right is in the hash; one name per
//! port. An entry is vacant only if no waiting send holds a part of it.
//! Neighbours: `right` gives meaning to the entries.

use super::message::{MessageId, Waiter};
use super::port::{Holder, PortId};
use crate::arena::Chunked;
use crate::task::account::{AccountId, Accounts, Resource};
use portolan_abi::{Error, Generation, Name, Result};
use portolan_machine::pace;

/// What a name costs its task's account, with its bucket of the hash. Slots are paid for when the table grows,
/// and stay paid for until the task ends.
pub const NAME_COST: u64 = (size_of::<Entry>() + size_of::<u32>()) as u64;

/// Vacant slots to keep before one is used again: with the generations, a name
/// comes back after 64 × 4,096 others at the earliest.
const SPARE: u32 = 64;
const NONE: u32 = 0;
/// Instructions that adding a slot takes, and a step along a chain.
const PER_SLOT: u32 = 150;
const PER_STEP: u32 = 20;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Nothing; the next vacant slot.
    Vacant(u32),
    /// A receive right, send rights, or both, for one port.
    Port {
        /// The port.
        port: PortId,
        /// Whether the receive right is here.
        receive: bool,
        /// User references of the send right.
        sends: u32,
    },
    /// A send-once right.
    SendOnce {
        /// The port.
        port: PortId,
        /// The `msg_rpc` that waits for the message.
        waiter: Option<Waiter>,
    },
    /// A dead name, with its user references.
    Dead(u32),
    /// A port set.
    Set(PortId),
}

/// A slot of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name; of a vacant one, the next.
    name: Name,
    /// How far the generation moves on when the name goes.
    step: u32,
    /// References that messages waiting to be sent have taken and may give back.
    pub held: u32,
    /// The message of this task that the kernel caches for the port.
    pub cached: Option<MessageId>,
    /// The next in its bucket; of a vacant slot but the first, the vacant one before it.
    chain: u32,
    /// How sending through it behaves where a mailbox is full.
    pub behaves: Generation,
    /// What it stands for.
    pub right: Right,
    /// Among the names of its port, or, once dead, in the line of notices.
    pub next: Option<Holder>,
    /// Among the names of its port, or, once dead, in the line of notices.
    pub previous: Option<Holder>,
    /// The request for a notification about it.
    pub request: Option<MessageId>,
    /// Whether a dead-name notice is still to be received.
    pub notice: bool,
}

/// A name space.
pub struct Space {
    entries: Chunked<Entry>,
    first_vacant: u32,
    last_vacant: u32,
    vacant: u32,
    buckets: Chunked<u32>,
    account: AccountId,
    /// The first dead name that is to be told, and the last.
    pub notices: (Option<u32>, Option<u32>),
}

impl Space {
    /// An empty one, paid for by this account.
    pub fn new(account: AccountId) -> Space {
        Space {
            entries: Chunked::default(),
            first_vacant: NONE,
            last_vacant: NONE,
            vacant: 0,
            buckets: Chunked::default(),
            account,
            notices: (None, None),
        }
    }

    /// Names in use.
    pub fn len(&self) -> u32 {
        self.entries.len().saturating_sub(1) - self.vacant
    }

    /// Whether no name is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `count` rights can be inserted without growing.
    #[inline]
    pub fn has_room(&self, count: u32) -> bool {
        self.vacant >= count + SPARE
    }

    /// Makes sure that `count` rights can be inserted.
    #[inline]
    pub fn reserve(&mut self, accounts: &mut Accounts, count: u32) -> Result<()> {
        while !self.has_room(count) {
            if let Err(error) = self.grow(accounts) {
                // Better an early reuse than a refusal.
                return if self.vacant >= count { Ok(()) } else { Err(error) };
            }
        }
        Ok(())
    }

    fn grow(&mut self, accounts: &mut Accounts) -> Result<()> {
        if self.entries.len() > Name::INDEX_MAX {
            return Err(Error::NoSpace);
        }
        // Slot 0 is never used: it would be the null name.
        self.add_slots(accounts, if self.entries.is_empty() { 2 } else { 1 })
    }

    /// Adds vacant slots, all of which are paid for first.
    fn add_slots(&mut self, accounts: &mut Accounts, count: u32) -> Result<()> {
        accounts.charge(self.account, Resource::Memory, u64::from(count) * NAME_COST)?;
        for missing in (1..=count).rev() {
            if let Err(error) = self.add_slot() {
                accounts.credit(self.account, Resource::Memory, u64::from(missing) * NAME_COST);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Adds a vacant slot, and a bucket with it, so that chains stay short whatever comes.
    fn add_slot(&mut self) -> Result<()> {
        pace(PER_SLOT);
        if self.buckets.len() <= self.entries.len() {
            self.add_bucket()?;
        }
        let name = Name::new(self.entries.len(), 0);
        let slot = self.entries.push(Entry { name, chain: self.last_vacant, ..Entry::default() })?;
        if slot != NONE {
            self.add_vacant(slot);
        }
        Ok(())
    }

    /// Makes sure that a right can be inserted under a name that its task has chosen
    /// ([`Space::insert_as`]); null leaves the choice to the kernel. The slots up to the
    /// chosen one become vacant ones of the task's.
    ///
    /// # Errors
    /// `InvalidValue`: no right can have that name. `NameExists`: its slot is in use.
    /// `NoSpace`, `ResourceShortage`.
    pub fn reserve_as(&mut self, accounts: &mut Accounts, name: Name) -> Result<()> {
        if name == Name::NULL {
            return self.reserve(accounts, 1);
        }
        let slot = name.index();
        if slot == NONE || slot > Name::INDEX_MAX {
            return Err(Error::InvalidValue);
        }
        if slot < self.entries.len() {
            return match self.entries[slot].right {
                Right::Vacant(_) => Ok(()),
                _ => Err(Error::NameExists),
            };
        }
        self.add_slots(accounts, slot + 1 - self.entries.len())
    }

    /// Puts a slot behind the vacant ones; its entry says so.
    fn add_vacant(&mut self, slot: u32) {
        if self.vacant == 0 {
            self.first_vacant = slot;
        } else {
            self.entries[self.last_vacant].right = Right::Vacant(slot);
        }
        self.last_vacant = slot;
        self.vacant += 1;
    }

    /// Puts a right into the oldest vacant slot; there must be one ([`Space::reserve`]).
    #[inline]
    pub fn insert(&mut self, right: Right) -> u32 {
        let slot = self.fill_vacant(right).index();
        if let Right::Port { port, .. } = right {
            self.add_to_hash(port, slot);
        }
        slot
    }

    /// Puts a send-once right into the oldest vacant slot, as [`Space::insert`] does, and returns its name.
    #[inline(always)]
    pub fn insert_send_once(&mut self, port: PortId, waiter: Option<Waiter>) -> Name {
        self.fill_vacant(Right::SendOnce { port, waiter })
    }

    #[inline(always)]
    fn fill_vacant(&mut self, right: Right) -> Name {
        let slot = self.first_vacant;
        let entry = &mut self.entries[slot];
        let Right::Vacant(next) = entry.right else { panic!("a vacant slot is in use") };
        entry.right = right;
        self.first_vacant = next;
        self.vacant -= 1;
        entry.name
    }

    /// Puts a right under a chosen name, whose slot must be vacant ([`Space::reserve_as`]).
    pub fn insert_as(&mut self, name: Name, right: Right) -> u32 {
        if name == Name::NULL {
            return self.insert(right);
        }
        let slot = name.index();
        self.take_vacant(slot);
        let entry = &mut self.entries[slot];
        entry.step = step_after(name.generation(), entry.name.generation());
        entry.name = name;
        entry.right = right;
        if let Right::Port { port, .. } = right {
            self.add_to_hash(port, slot);
        }
        slot
    }

    /// Takes a slot out of the line of vacant ones.
    fn take_vacant(&mut self, slot: u32) {
        let Entry { chain: previous, right: Right::Vacant(next), .. } = self.entries[slot] else {
            panic!("a slot in use was chosen")
        };
        match slot == self.first_vacant {
            true => self.first_vacant = next,
            false => self.entries[previous].right = Right::Vacant(next),
        }
        match slot == self.last_vacant {
            true => self.last_vacant = previous,
            false => self.entries[next].chain = previous,
        }
        self.vacant -= 1;
    }

    /// Moves what a slot stands for to the slot of a chosen name ([`Space::reserve_as`]).
    /// Who knows the entry by its slot has to be told.
    pub fn rename(&mut self, slot: u32, name: Name) -> u32 {
        let moved = self.entries[slot];
        self.remove(slot);
        let to = self.insert_as(name, moved.right);
        let entry = &mut self.entries[to];
        *entry = Entry { name: entry.name, step: entry.step, chain: entry.chain, ..moved };
        to
    }

    /// Makes a slot vacant; its name finds nothing from now on.
    #[inline]
    pub fn remove(&mut self, slot: u32) {
        if let Right::Port { port, .. } = self.entries[slot].right {
            self.remove_from_hash(port, slot);
        }
        let last = self.last_vacant;
        let entry = &mut self.entries[slot];
        debug_assert_eq!(entry.held, 0, "a held name was removed");
        // What is above the largest generation is cut off.
        entry.name.0 = entry.name.0.wrapping_add(entry.step << Name::INDEX_BITS);
        entry.step = 1;
        entry.cached = None;
        entry.behaves = Generation::default();
        entry.request = None;
        entry.right = Right::Vacant(NONE);
        entry.chain = last;
        self.add_vacant(slot);
    }

    /// Turns an entry with a right into a dead name.
    pub fn make_dead(&mut self, slot: u32) {
        let Entry { right, held, .. } = self.entries[slot];
        let references = match right {
            Right::Port { port, sends, .. } => {
                self.remove_from_hash(port, slot);
                sends
            }
            // What a message that waits has taken may come back.
            Right::SendOnce { .. } => 1 - held,
            Right::Dead(_) | Right::Set(_) | Right::Vacant(_) => return,
        };
        self.entries[slot].right = Right::Dead(references);
    }

    /// The slot of a name that is in use.
    #[inline]
    pub fn slot(&self, name: Name) -> Result<u32> {
        let slot = name.index();
        match self.entries.get(slot) {
            Some(entry) if entry.name == name && entry.is_visible() => Ok(slot),
            _ => Err(Error::InvalidName),
        }
    }

    /// The entry of a name, also of one that means nothing because all of it is held.
    #[inline]
    pub fn named(&self, name: Name) -> Option<&Entry> {
        self.entries.get(name.index()).filter(|entry| entry.name == name)
    }

    /// The entry of a name, also of one that means nothing because all of it is held.
    #[inline]
    pub fn named_mut(&mut self, name: Name) -> Option<&mut Entry> {
        self.entries.get_mut(name.index()).filter(|entry| entry.name == name)
    }

    /// The port whose receive right a name is.
    #[inline]
    pub fn receive_right(&self, name: Name) -> Option<PortId> {
        match self.named(name)?.right {
            Right::Port { port, receive: true, .. } => Some(port),
            _ => None,
        }
    }

    /// The entry of a name that is in use.
    #[inline]
    pub fn lookup(&mut self, name: Name) -> Result<&mut Entry> {
        match self.entries.get_mut(name.index()) {
            Some(entry) if entry.name == name && entry.is_visible() => Ok(entry),
            _ => Err(Error::InvalidName),
        }
    }

    /// Its name.
    #[inline]
    pub fn name(&self, slot: u32) -> Name {
        self.entries[slot].name
    }

    /// The entry in a slot.
    #[inline]
    pub fn entry(&self, slot: u32) -> &Entry {
        &self.entries[slot]
    }

    /// The entry in a slot.
    #[inline]
    pub fn entry_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot]
    }

    /// The entry in a slot, if the table is that long.
    pub fn get(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot)
    }

    /// The entry of a name, also one that is only held.
    pub fn held_slot(&self, name: Name) -> Option<u32> {
        let slot = name.index();
        let entry = self.entries.get(slot)?;
        (entry.name == name && !matches!(entry.right, Right::Vacant(_))).then_some(slot)
    }

    /// The slot that names a port.
    #[inline]
    pub fn find(&self, port: PortId) -> Option<u32> {
        let mut slot = *self.buckets.get(self.bucket(port)?)?;
        while slot != NONE {
            let entry = &self.entries[slot];
            match entry.right {
                Right::Port { port: other, .. } if other == port => return Some(slot),
                _ => slot = entry.chain,
            }
            pace(PER_STEP);
        }
        None
    }

    /// How many slots there are, in use or not; the first is never in use.
    pub fn slots(&self) -> u32 {
        self.entries.len()
    }

    /// Every slot in use.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries
            .iter()
            .enumerate()
            .skip(1)
            .map(|(slot, entry)| (slot as u32, entry))
            .filter(|(_, entry)| !matches!(entry.right, Right::Vacant(_)))
    }

    /// Gives back a part of the table, in which no name is in use any more. False: there is
    /// nothing left of it.
    pub fn shrink(&mut self, accounts: &mut Accounts) -> bool {
        let Some(slots) = self.entries.pop_chunk() else { return self.buckets.pop_chunk().is_some() };
        accounts.credit(self.account, Resource::Memory, u64::from(slots) * NAME_COST);
        self.vacant = self.entries.len().saturating_sub(1);
        true
    }

    /// Gives back what the table has been charged.
    pub fn credit(&self, accounts: &mut Accounts) {
        accounts.credit(self.account, Resource::Memory, u64::from(self.entries.len()) * NAME_COST);
    }

    /// What the table has been charged.
    pub fn charged(&self) -> u64 {
        u64::from(self.entries.len()) * NAME_COST
    }

    /// The bucket of a port in a table whose size need not be a power of two: the
    /// higher half of the doubled table exists only as far as it has grown.
    #[inline]
    fn bucket(&self, port: PortId) -> Option<u32> {
        let count = self.buckets.len();
        let wide = count.checked_next_power_of_two().filter(|_| count > 0)? - 1;
        let bucket = port.index() & wide;
        Some(if bucket < count { bucket } else { bucket & (wide >> 1) })
    }

    fn add_to_hash(&mut self, port: PortId, slot: u32) {
        if let Some(bucket) = self.bucket(port) {
            self.entries[slot].chain = self.buckets[bucket];
            self.buckets[bucket] = slot;
        }
    }

    /// Adds one bucket to those there are, and moves to it what now belongs there.
    fn add_bucket(&mut self) -> Result<()> {
        let count = self.buckets.push(NONE)?;
        if count == 0 {
            return Ok(());
        }
        let split = count & ((count.next_power_of_two() >> u32::from(!count.is_power_of_two())) - 1);
        let mut slot = core::mem::replace(&mut self.buckets[split], NONE);
        while slot != NONE {
            pace(PER_STEP);
            let Entry { chain, right, .. } = self.entries[slot];
            if let Right::Port { port, .. } = right
                && let Some(bucket) = self.bucket(port)
            {
                self.entries[slot].chain = self.buckets[bucket];
                self.buckets[bucket] = slot;
            }
            slot = chain;
        }
        Ok(())
    }

    fn remove_from_hash(&mut self, port: PortId, slot: u32) {
        let Some(bucket) = self.bucket(port) else { return };
        let after = self.entries[slot].chain;
        let mut current = self.buckets[bucket];
        if current == slot {
            self.buckets[bucket] = after;
            return;
        }
        while current != NONE {
            let chain = self.entries[current].chain;
            if chain == slot {
                self.entries[current].chain = after;
                return;
            }
            pace(PER_STEP);
            current = chain;
        }
    }
}

/// How far a slot's generation moves on after a chosen one, when `own` was next: to whichever
/// is later, so that no name is dealt out again that a task may remember from before. Of
/// two generations on a ring the later is the one that is less than half the ring ahead.
fn step_after(chosen: u32, own: u32) -> u32 {
    const RING: u32 = Name::GENERATION_MAX + 1;
    let ahead = own.wrapping_sub(chosen) % RING;
    if (1..=RING / 2).contains(&ahead) { ahead } else { 1 }
}

impl Default for Entry {
    fn default() -> Self {
        Entry {
            name: Name::NULL,
            step: 1,
            held: 0,
            cached: None,
            behaves: Generation::default(),
            chain: NONE,
            right: Right::Vacant(NONE),
            next: None,
            previous: None,
            request: None,
            notice: false,
        }
    }
}

impl Entry {
    /// Whether its name means anything to the task: not if all of it is held.
    #[inline]
    fn is_visible(&self) -> bool {
        match self.right {
            Right::Vacant(_) => false,
            Right::Port { receive, sends, .. } => receive || sends > 0,
            Right::SendOnce { .. } => self.held == 0,
            Right::Dead(references) => references > 0,
            Right::Set(_) => true,
        }
    }

    /// The port in whose list of names it is: of a send-once right, only if somebody wants
    /// to hear of the port's death.
    pub fn listed_at(&self) -> Option<PortId> {
        match self.right {
            Right::Port { port, .. } => Some(port),
            Right::SendOnce { port, .. } => self.request.map(|_| port),
            Right::Dead(_) | Right::Set(_) | Right::Vacant(_) => None,
        }
    }

    /// Whether nothing is left of it.
    pub fn is_spent(&self) -> bool {
        self.cached.is_none() && self.is_let_go()
    }

    /// Whether the task has let it go, and no message of its can bring it back.
    pub fn is_let_go(&self) -> bool {
        self.held == 0 && !self.is_visible()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use portolan_abi::task::Limits;

    #[test]
    fn a_thousand_ports_are_found_by_name_and_by_port() {
        let mut accounts = Accounts::default();
        let limits = Limits { memory: u64::MAX, ports: 0, frames: 0 };
        let account = accounts.create_root(limits).unwrap();
        let mut space = Space::new(account);
        let mut ids = Arena::<super::super::port::Port>::default();
        let ports: std::vec::Vec<PortId> = (0..1000)
            .map(|_| {
                let port = super::super::port::Port::new(
                    super::super::port::Owner::Message,
                    account,
                    portolan_abi::Capacity::Zero,
                );
                ids.insert(port).unwrap()
            })
            .collect();
        let names: std::vec::Vec<Name> = ports
            .iter()
            .map(|port| {
                space.reserve(&mut accounts, 1).unwrap();
                let slot = space.insert(Right::Port { port: *port, receive: false, sends: 1 });
                space.name(slot)
            })
            .collect();
        for (port, name) in ports.iter().zip(&names) {
            assert_eq!(space.find(*port), space.slot(*name).ok());
        }
        for name in names.iter().step_by(2) {
            let slot = space.slot(*name).unwrap();
            space.remove(slot);
        }
        for (number, (port, name)) in ports.iter().zip(&names).enumerate() {
            assert_eq!(space.find(*port).is_some(), number % 2 == 1);
            assert_eq!(space.slot(*name).is_ok(), number % 2 == 1);
        }
        assert_eq!(space.len(), 500);
    }

    fn space() -> (Accounts, Space) {
        let mut accounts = Accounts::default();
        let limits = Limits { memory: 1000 * NAME_COST, ports: 0, frames: 0 };
        let account = accounts.create_root(limits).unwrap();
        (accounts, Space::new(account))
    }

    #[test]
    fn a_chosen_name_is_the_one_that_was_chosen_and_is_not_dealt_out_again_soon() {
        let (mut accounts, mut space) = space();
        for name in [Name::new(70, 5), Name::new(3, 0), Name::new(300, Name::GENERATION_MAX), Name::new(1, 1)] {
            space.reserve_as(&mut accounts, name).unwrap();
            let slot = space.insert_as(name, Right::Dead(1));
            assert_eq!((space.name(slot), space.slot(name)), (name, Ok(slot)));
            assert_eq!(space.reserve_as(&mut accounts, name), Err(Error::NameExists));
            space.remove(slot);
            assert_eq!(space.slot(name), Err(Error::InvalidName));
        }
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..300 * 2000 {
            space.reserve(&mut accounts, 1).unwrap();
            let slot = space.insert(Right::Dead(1));
            assert!(seen.insert(space.name(slot)), "{:?} comes again", space.name(slot));
            assert!(![Name::new(70, 5), Name::new(3, 0)].contains(&space.name(slot)));
            space.remove(slot);
        }
    }

    #[test]
    fn generations_go_on_from_the_later_one() {
        assert_eq!(step_after(5, 5), 1);
        assert_eq!(step_after(5, 9), 4);
        assert_eq!(step_after(9, 5), 1);
        assert_eq!(step_after(Name::GENERATION_MAX, 2), 3);
        assert_eq!(step_after(2, Name::GENERATION_MAX), 1);
    }

    #[test]
    fn slots_taken_from_the_middle_leave_the_line_whole() {
        let (mut accounts, mut space) = space();
        space.reserve(&mut accounts, 10).unwrap();
        let count = space.vacant;
        for slot in [5, 1, count, 2, count - 1] {
            space.reserve_as(&mut accounts, Name::new(slot, 7)).unwrap();
            space.insert_as(Name::new(slot, 7), Right::Dead(1));
        }
        let rest: std::collections::BTreeSet<u32> = (5..count).map(|_| space.insert(Right::Dead(1))).collect();
        assert_eq!((rest.len() as u32, space.vacant, space.len()), (count - 5, 0, count));
    }

    #[test]
    fn a_name_too_far_away_costs_nothing() {
        let (mut accounts, mut space) = space();
        space.reserve(&mut accounts, 1).unwrap();
        let charged = space.charged();
        let far = Name::new(Name::INDEX_MAX, 0);
        assert_eq!(space.reserve_as(&mut accounts, far), Err(Error::ResourceShortage));
        for name in [Name::DEAD, Name::new(0, 1), Name::new(Name::INDEX_MAX + 1, 3)] {
            assert_eq!(space.reserve_as(&mut accounts, name), Err(Error::InvalidValue));
        }
        assert_eq!(space.charged(), charged);
    }
}
