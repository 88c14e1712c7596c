//! A task's address space: regions of addresses, each showing a part of an object.
//!
//! Invariant: regions are sorted, do not overlap, lie in user memory at page
//! boundaries, and none is writable and executable; the pmap maps only pages of
//! regions, with no more than the region's protection.
//! Neighbours: `fault` fills the pmap, `object` holds the pages.

use super::{ObjectId, Vm};
use crate::task::account::{AccountId, Accounts, Resource};
use alloc::vec::Vec;
use portolan_abi::vm::{ANYWHERE_START, USER_END, USER_START};
use portolan_abi::{Error, PAGE_SIZE, Protection, Result};
use portolan_machine::{Memory, Pmap, VirtAddr};

const PAGE: u64 = PAGE_SIZE as u64;

/// What a region costs its task's account.
pub const REGION_COST: u64 = size_of::<Region>() as u64;

/// Page-aligned addresses from `start` up to, not including, `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first.
    pub start: u64,
    /// The one after the last.
    pub end: u64,
}

impl Range {
    /// The pages that `size` bytes from `address` touch, if `address` is at a page.
    pub fn new(address: u64, size: u64) -> Result<Range> {
        if size == 0 || !address.is_multiple_of(PAGE) {
            return Err(Error::InvalidArgument);
        }
        let end = address.checked_add(size).and_then(|end| end.checked_next_multiple_of(PAGE));
        match end {
            Some(end) if address >= USER_START && end <= USER_END => Ok(Range { start: address, end }),
            _ => Err(Error::InvalidAddress),
        }
    }

    /// Its length in bytes.
    pub fn size(self) -> u64 {
        self.end - self.start
    }
}

/// A range that shows a part of an object.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// Where.
    pub range: Range,
    /// Which object.
    pub object: ObjectId,
    /// The byte of the object at the start.
    pub offset: u64,
    /// What may be done now.
    pub protection: Protection,
    /// What it may be raised to.
    pub maximum: Protection,
}

/// An address space.
pub struct Map {
    /// The page tables.
    pub pmap: Pmap,
    regions: Vec<Region>,
    account: AccountId,
    /// Frames of page tables, which the account has paid for.
    pub tables: u64,
}

/// Where a new region is to be.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// At this address.
    At(u64),
    /// Where there is room.
    Anywhere,
}

impl Map {
    /// An empty address space; its top page table is charged to `account`.
    pub fn new(vm: &mut Vm, accounts: &mut Accounts, account: AccountId) -> Result<Map> {
        accounts.charge(account, Resource::Frames, 1)?;
        let Some(root) = vm.frames.allocate() else {
            accounts.credit(account, Resource::Frames, 1);
            return Err(Error::ResourceShortage);
        };
        Ok(Map { pmap: Pmap::new(&mut vm.memory, root), regions: Vec::new(), account, tables: 1 })
    }

    /// Who pays for it.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The regions, in the order of their addresses.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The region that an address is in.
    pub fn region_at(&self, address: u64) -> Option<&Region> {
        let region = self.regions.get(self.first_ending_after(address))?;
        (region.range.start <= address).then_some(region)
    }

    /// Adds a region that shows `size` bytes of an object from `offset`, both at pages.
    pub fn map(&mut self, vm: &mut Vm, accounts: &mut Accounts, place: Place, size: u64, what: Showing) -> Result<u64> {
        let range = self.place(place, size)?;
        let end = what.offset.checked_add(range.size()).ok_or(Error::InvalidArgument)?;
        if !what.offset.is_multiple_of(PAGE) || end > vm.objects[what.object].size() {
            return Err(Error::InvalidArgument);
        }
        self.pay_for_regions(accounts, 1)?;
        // Nothing below may fail.
        let index = self.first_ending_after(range.start);
        let Showing { object, offset, protection, maximum } = what;
        self.regions.insert(index, Region { range, object, offset, protection, maximum });
        vm.objects[object].mappings += 1;
        Ok(range.start)
    }

    /// Removes all that is mapped in the range.
    pub fn unmap(&mut self, vm: &mut Vm, accounts: &mut Accounts, range: Range) -> Result<()> {
        self.cut_at_ends(vm, accounts, range)?;
        let first = self.first_ending_after(range.start);
        while let Some(region) = self.regions.get(first).copied() {
            if region.range.start >= range.end {
                break;
            }
            self.regions.remove(first);
            self.forget(vm, accounts, region);
        }
        Ok(())
    }

    /// Sets the protection of the range, all of which must be mapped.
    pub fn protect(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        range: Range,
        protection: Protection,
    ) -> Result<()> {
        let mut next = range.start;
        for region in self.touching(range) {
            if region.range.start > next {
                return Err(Error::InvalidAddress);
            }
            if !region.maximum.contains(protection) {
                return Err(Error::ProtectionFailure);
            }
            next = region.range.end;
        }
        if next < range.end {
            return Err(Error::InvalidAddress);
        }
        self.cut_at_ends(vm, accounts, range)?;
        // Nothing below may fail.
        let first = self.first_ending_after(range.start);
        for region in self.regions[first..].iter_mut().take_while(|region| region.range.start < range.end) {
            region.protection = protection;
        }
        self.each_mapped(vm, range, |pmap, memory, page| {
            if protection.is_empty() {
                pmap.remove(memory, page);
            } else {
                pmap.protect(memory, page, protection);
            }
        });
        Ok(())
    }

    /// Ends the address space.
    pub fn destroy(mut self, vm: &mut Vm, accounts: &mut Accounts) {
        while let Some(region) = self.regions.pop() {
            self.forget(vm, accounts, region);
        }
        let Vm { memory, frames, .. } = vm;
        self.pmap.destroy(memory, &mut |frame| frames.free(frame));
        accounts.credit(self.account, Resource::Frames, self.tables);
    }

    fn forget(&mut self, vm: &mut Vm, accounts: &mut Accounts, region: Region) {
        self.each_mapped(vm, region.range, |pmap, memory, page| {
            pmap.remove(memory, page);
        });
        accounts.credit(self.account, Resource::Memory, REGION_COST);
        vm.objects[region.object].mappings -= 1;
        vm.release_object(accounts, region.object);
    }

    /// Acts on the pages of a range that the pmap has, however large the range.
    fn each_mapped(&mut self, vm: &mut Vm, range: Range, mut act: impl FnMut(&mut Pmap, &mut Memory, VirtAddr)) {
        let mut next = range.start;
        while let Some(page) = self.pmap.next_mapped(&vm.memory, VirtAddr(next), VirtAddr(range.end)) {
            act(&mut self.pmap, &mut vm.memory, page);
            next = page.0 + PAGE;
        }
    }

    fn place(&self, place: Place, size: u64) -> Result<Range> {
        match place {
            Place::At(address) => {
                let range = Range::new(address, size)?;
                if self.touching(range).next().is_some() { Err(Error::NoSpace) } else { Ok(range) }
            }
            Place::Anywhere => self.find_free(Range::new(ANYWHERE_START, size).map_err(|error| match error {
                Error::InvalidAddress => Error::NoSpace,
                other => other,
            })?),
        }
    }

    /// The first free range of that size, at or after the wanted one.
    fn find_free(&self, wanted: Range) -> Result<Range> {
        let mut start = wanted.start;
        for region in &self.regions[self.first_ending_after(start)..] {
            if region.range.start >= start + wanted.size() {
                break;
            }
            start = region.range.end;
        }
        Range::new(start, wanted.size()).map_err(|_| Error::NoSpace)
    }

    /// Cuts regions so that none crosses an end of the range.
    fn cut_at_ends(&mut self, vm: &mut Vm, accounts: &mut Accounts, range: Range) -> Result<()> {
        let cuts = [range.start, range.end].into_iter().filter(|at| self.crosses(*at)).count();
        self.pay_for_regions(accounts, cuts)?;
        // Nothing below may fail.
        for at in [range.start, range.end] {
            if self.crosses(at) {
                self.cut(vm, at);
            }
        }
        Ok(())
    }

    fn crosses(&self, at: u64) -> bool {
        self.region_at(at).is_some_and(|region| region.range.start < at)
    }

    fn cut(&mut self, vm: &mut Vm, at: u64) {
        let index = self.first_ending_after(at);
        let mut upper = self.regions[index];
        upper.offset += at - upper.range.start;
        upper.range.start = at;
        self.regions[index].range.end = at;
        self.regions.insert(index + 1, upper);
        vm.objects[upper.object].mappings += 1;
    }

    fn pay_for_regions(&mut self, accounts: &mut Accounts, count: usize) -> Result<()> {
        self.regions.try_reserve(count).map_err(|_| Error::ResourceShortage)?;
        accounts.charge(self.account, Resource::Memory, count as u64 * REGION_COST)?;
        Ok(())
    }

    fn touching(&self, range: Range) -> impl Iterator<Item = &Region> {
        let first = self.first_ending_after(range.start);
        self.regions[first..].iter().take_while(move |region| region.range.start < range.end)
    }

    fn first_ending_after(&self, address: u64) -> usize {
        self.regions.partition_point(|region| region.range.end <= address)
    }
}

/// What a new region shows.
#[derive(Clone, Copy, Debug)]
pub struct Showing {
    /// Which object.
    pub object: ObjectId,
    /// From which byte.
    pub offset: u64,
    /// What may be done at first.
    pub protection: Protection,
    /// What it may be raised to.
    pub maximum: Protection,
}
