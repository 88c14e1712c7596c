//! The size of a memory object after it was made: growing, shrinking, and frames in advance.
//!
//! Invariant: no page behind an object's end has a frame or is in a pmap, and the bytes
//! between its end and the end of its last page are zero whenever they come to be inside.
//! So whatever comes into an object is zero. Only objects of zeros can change: those of a
//! pager are as large as the pager thinks. Neighbours: `object`, `map`; `service::memory_object`,
//! which knows all maps.

use super::map::{self, End, Region};
use super::object::{Backing, Supply, pay};
use super::{Fault, Map, ObjectId, Vm};
use crate::task::account::Accounts;
use core::ops::Range;
use portolan_abi::memory_object::Seals;
use portolan_abi::{Error, PAGE_SIZE, Protection, Result};
use portolan_machine::{Access, pace};

/// Instructions that looking at a region takes, and giving a page a frame, apart from zeroing it.
const PER_REGION: u32 = 120;
const PER_PAGE: u32 = 400;

impl Vm {
    /// Sees that an object may have this size, as far as it can say itself.
    pub fn check_size(&self, id: ObjectId, size: u64) -> Result<()> {
        let object = &self.objects[id];
        if !matches!(object.backing, Backing::Zero(_)) || object.supply != Supply::Zeros {
            return Err(Error::Failure);
        }
        let against = if size < object.size { Seals::SHRINK } else { Seals::GROW };
        if size != object.size && object.seals.contains(against) { Err(Error::NoAccess) } else { Ok(()) }
    }

    /// Makes an object that may have this size so large.
    pub fn grow(&mut self, accounts: &mut Accounts, id: ObjectId, size: u64) -> Result<()> {
        let object = &mut self.objects[id];
        let account = object.account();
        let Backing::Zero(tree) = &mut object.backing else { return Err(Error::Failure) };
        let pages = size.div_ceil(PAGE_SIZE as u64);
        let growth = tree.growth_of_room(pages);
        pay(accounts, account, growth)?;
        object.paid = object.paid + growth;
        if tree.make_room(&mut self.nodes, pages).is_err() {
            // Nodes that were made stay, and stay paid for, until the object goes.
            self.settle(accounts, id);
            return Err(Error::ResourceShortage);
        }
        // Nothing below may fail.
        self.clear_tail(id);
        self.objects[id].size = size;
        Ok(())
    }

    /// Makes an object that may have this size so small. No pmap has a page behind it any more.
    pub fn shrink(&mut self, accounts: &mut Accounts, id: ObjectId, size: u64) {
        self.free_pages(accounts, id, size.div_ceil(PAGE_SIZE as u64)..u64::MAX);
        self.objects[id].size = size;
        self.clear_tail(id);
    }

    /// Zeros what of an object's last page lies behind its end.
    fn clear_tail(&mut self, id: ObjectId) {
        const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
        let object = &self.objects[id];
        let within = (object.size % PAGE_SIZE as u64) as usize;
        if within != 0
            && let Some(frame) = self.frame(id, object.page_count() - 1)
        {
            self.memory.write(frame.span(within, PAGE_SIZE - within), &ZEROS[within..]);
        }
    }

    /// Gives these pages of an object frames. On failure some may have got theirs.
    pub fn reserve_pages(
        &mut self,
        accounts: &mut Accounts,
        id: ObjectId,
        pages: Range<u64>,
    ) -> core::result::Result<(), Fault> {
        for page in pages {
            pace(PER_PAGE);
            self.object_page(accounts, id, page, Access::Read)?;
        }
        Ok(())
    }
}

impl Map {
    /// Whether a region needs an object to have pages from this one on.
    pub fn needs_pages(&self, object: ObjectId, from: u64) -> bool {
        let shows = |region: &&Region| region.object == object && region.end == End::Behind;
        self.regions.iter().filter(shows).any(|region| region.pages(region.range).end > from)
    }

    /// Whether a region may write to an object, or could be raised to.
    pub fn may_write(&self, object: ObjectId) -> bool {
        self.regions.iter().any(|region| region.object == object && region.maximum.contains(Protection::WRITE))
    }

    /// Bytes of address space that show an object.
    pub fn shown(&self, object: ObjectId) -> u64 {
        self.regions.iter().filter(|region| region.object == object).map(|region| region.range.size()).sum()
    }

    /// Takes what shows an object's pages from this one on out of the pmap.
    pub fn forget_pages(&mut self, vm: &mut Vm, object: ObjectId, from: u64) {
        let mut next = 0;
        while let Some(region) = self.regions.next(next).copied() {
            pace(PER_REGION);
            next = region.range.end;
            let pages = region.pages(region.range);
            if region.object == object && pages.end > from {
                let kept = from.saturating_sub(pages.start) * PAGE_SIZE as u64;
                let gone = map::Range { start: region.range.start + kept, end: region.range.end };
                self.limit_pages(vm, gone, Protection::empty());
            }
        }
    }
}
