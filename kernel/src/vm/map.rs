//! A task's address space: regions of addresses, each showing a part of an object.
//!
//! Invariant: regions are sorted, do not overlap, lie in user memory at page
//! boundaries, and none is writable and executable; the pmap maps only pages of
//! regions, with no more than the region's protection, and writable only where the
//! frame is its object's alone.
//! Neighbours: `regions` keeps them in order, `fault` fills the pmap, `object` holds the
//! pages, `map_copy` takes copies of ranges.

use super::fault::{Absent, allows};
use super::object::Reach;
use super::regions::Regions;
use super::{MemoryObject, ObjectId, Vm};
use crate::piece::{HEAP, Units};
use crate::task::account::{AccountId, Accounts, Resource};
use portolan_abi::vm::{ANYWHERE_START, Inheritance, USER_END, USER_START};
use portolan_abi::{Error, PAGE_SIZE, Protection, Result};
use portolan_machine::{Access, Pmap, VirtAddr, pace};

const PAGE: u64 = PAGE_SIZE as u64;

/// Pages that are unmapped and freed at once.
const PART: usize = 16;

/// What it takes to end a region whose object stays.
const POP: Units = Units(2);

/// Instructions that looking at a region takes, changing it, and what its object takes besides.
const PER_LOOK: u32 = 20;
const PER_CHANGE: u32 = 250;
const PER_OBJECT: u32 = 1500;

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

    /// The pages that `size` bytes from `address` touch, wherever that is.
    pub fn around(address: u64, size: u64) -> Result<Range> {
        let end = address.checked_add(size).ok_or(Error::InvalidAddress)?;
        if size == 0 {
            return Err(Error::InvalidArgument);
        }
        let start = address - address % PAGE;
        Range::new(start, end - start)
    }

    /// Its length in bytes.
    pub fn size(self) -> u64 {
        self.end - self.start
    }

    /// The part of it that lies in another.
    pub(super) fn within(self, other: Range) -> Range {
        Range { start: self.start.max(other.start), end: self.end.min(other.end) }
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
    /// What a child gets of it.
    pub inheritance: Inheritance,
    /// Where its object may end.
    pub end: End,
}

/// Where the object that a region shows may end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Not before the region does: the object cannot shrink below that.
    Behind,
    /// Anywhere: the region's pages behind that are not there.
    Anywhere,
}

impl Region {
    /// The pages of its object that a range inside it shows.
    pub(super) fn pages(&self, range: Range) -> core::ops::Range<u64> {
        let first = (self.offset + (range.start - self.range.start)) / PAGE;
        first..first + range.size() / PAGE
    }

    /// Where its object's first page is, or would be: the same for every region of a
    /// private object, as all of them were cut from one.
    fn base(&self) -> u64 {
        self.range.start.wrapping_sub(self.offset)
    }
}

/// An address space.
pub struct Map {
    /// The page tables.
    pub pmap: Pmap,
    pub(super) regions: Regions,
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
        Ok(Map { pmap: Pmap::new(&mut vm.memory, root), regions: Regions::default(), account, tables: 1 })
    }

    /// Who pays for it.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The regions.
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// The region that an address is in.
    #[inline]
    pub fn region_at(&self, address: u64) -> Option<&Region> {
        self.regions.at(address)
    }

    /// Adds a region that shows `size` bytes of an object from `offset`, both at pages.
    pub fn map(&mut self, vm: &mut Vm, accounts: &mut Accounts, place: Place, size: u64, what: Showing) -> Result<u64> {
        let range = self.find_place(place, size)?;
        let end = what.offset.checked_add(range.size()).ok_or(Error::InvalidArgument)?;
        let fits = end.div_ceil(PAGE) <= vm.objects[what.object].page_count();
        if !what.offset.is_multiple_of(PAGE) || (what.end == End::Behind && !fits) {
            return Err(Error::InvalidArgument);
        }
        self.pay_for_regions(accounts, 1)?;
        // Nothing below may fail.
        let Showing { object, offset, protection, maximum, inheritance, end } = what;
        self.regions.insert(Region { range, object, offset, protection, maximum, inheritance, end });
        vm.objects[object].mappings += 1;
        Ok(range.start)
    }

    /// Removes all that is mapped in the range.
    pub fn unmap(&mut self, vm: &mut Vm, accounts: &mut Accounts, range: Range) -> Result<()> {
        self.cut_at_ends(vm, accounts, range)?;
        // Nothing below may fail.
        while let Some(region) = self.regions.remove_first(range) {
            accounts.credit(self.account, Resource::Memory, REGION_COST);
            self.leave(vm, accounts, &region);
        }
        Ok(())
    }

    /// Removes a region, or the first pages of a large one, from a range at whose ends none is
    /// crossed ([`Map::cut_at_ends`]). False: nothing is mapped there.
    pub fn unmap_some(&mut self, vm: &mut Vm, accounts: &mut Accounts, range: Range) -> bool {
        let Some(region) = self.regions.touching(range).next().copied() else { return false };
        let end = self.end_of_part(vm, &region);
        if end < region.range.end {
            let part = Region { range: Range { end, ..region.range }, ..region };
            self.regions.trim(range, end);
            self.limit_pages(vm, part.range, Protection::empty());
            if vm.objects[part.object].reach == Reach::Private {
                vm.free_pages(accounts, part.object, part.pages(part.range));
            }
        } else if let Some(region) = self.regions.remove_first(range) {
            accounts.credit(self.account, Resource::Memory, REGION_COST);
            self.leave(vm, accounts, &region);
        }
        true
    }

    /// Where the first part of a region ends that has [`PART`] pages to be unmapped or freed.
    fn end_of_part(&self, vm: &Vm, region: &Region) -> u64 {
        let mut part = region.range;
        for _ in 0..PART {
            let mapped = self.pmap.next_mapped(&vm.memory, VirtAddr(part.start), VirtAddr(part.end));
            // With its only mapping the object goes, which has pieces of its own.
            let held = match &vm.objects[region.object] {
                MemoryObject { reach: Reach::Private, mappings: 2.., .. } => {
                    vm.next_page(region.object, region.pages(part))
                }
                _ => None,
            };
            let held = held.map(|(page, _)| region.base().wrapping_add(page * PAGE));
            let Some(first) = mapped.map(|page| page.0).into_iter().chain(held).min() else { return part.end };
            part.start = first + PAGE;
        }
        part.start
    }

    /// Sets the protection of the range, all of which must be mapped.
    pub fn protect(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        range: Range,
        protection: Protection,
    ) -> Result<()> {
        self.require(range, |region| region.maximum.contains(protection))?;
        self.cut_at_ends(vm, accounts, range)?;
        // Nothing below may fail.
        self.each_region(range, |region| region.protection = protection);
        // What is allowed in addition is found out when it is first done.
        self.limit_pages(vm, range, protection);
        Ok(())
    }

    /// Sets what the protection of the range, all of which must be mapped, can be raised
    /// to, and takes away what is above that.
    pub fn set_maximum(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        range: Range,
        maximum: Protection,
    ) -> Result<()> {
        self.require(range, |region| region.maximum.contains(maximum))?;
        self.cut_at_ends(vm, accounts, range)?;
        // Nothing below may fail.
        self.each_region(range, |region| {
            region.maximum = maximum;
            region.protection = region.protection.intersection(maximum);
        });
        self.limit_pages(vm, range, maximum);
        Ok(())
    }

    /// Sets what children get of the range, all of which must be mapped.
    pub fn inherit(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        range: Range,
        inheritance: Inheritance,
    ) -> Result<()> {
        self.require(range, |_| true)?;
        self.cut_at_ends(vm, accounts, range)?;
        // Nothing below may fail.
        self.each_region(range, |region| region.inheritance = inheritance);
        Ok(())
    }

    /// Sees that all of a range is mapped and allows an access.
    pub fn require_access(&self, range: Range, access: Access) -> Result<()> {
        self.require(range, |region| allows(region.protection, access))
    }

    /// Sees that all of a range is mapped, by regions that will do.
    fn require(&self, range: Range, will_do: impl Fn(&Region) -> bool) -> Result<()> {
        let mut next = range.start;
        for region in self.regions.touching(range) {
            pace(PER_LOOK);
            if region.range.start > next {
                return Err(Error::InvalidAddress);
            }
            if !will_do(region) {
                return Err(Error::ProtectionFailure);
            }
            next = region.range.end;
        }
        if next < range.end { Err(Error::InvalidAddress) } else { Ok(()) }
    }

    /// Changes every region of a range at whose ends none is crossed.
    pub(super) fn each_region(&mut self, range: Range, mut change: impl FnMut(&mut Region)) {
        let mut next = range;
        while let Some(region) = self.regions.first_mut(next) {
            pace(PER_CHANGE);
            change(region);
            next.start = region.range.end;
        }
    }

    /// The first page that a range shows and that its pager has yet to supply.
    pub fn absent(&self, vm: &Vm, range: Range) -> Option<Absent> {
        self.regions.touching(range).find_map(|region| {
            pace(PER_LOOK);
            vm.absent(region.object, region.pages(region.range.within(range)))
        })
    }

    /// The first page that a child would get a copy of and that its pager has yet to supply.
    pub fn absent_to_heir(&self, vm: &Vm) -> Option<Absent> {
        let mut copied = self.regions.iter().filter(|region| region.inheritance == Inheritance::Copy);
        copied.find_map(|region| {
            pace(PER_LOOK);
            vm.absent(region.object, region.pages(region.range))
        })
    }

    /// An address space for a child, which pays from `account`, made of this one as each
    /// region's inheritance says.
    pub fn fork(&mut self, vm: &mut Vm, accounts: &mut Accounts, account: AccountId) -> Result<Map> {
        let mut child = Map::new(vm, accounts, account)?;
        match self.bequeath(vm, accounts, &mut child) {
            Ok(()) => Ok(child),
            Err(error) => {
                child.destroy(vm, accounts);
                Err(error)
            }
        }
    }

    fn bequeath(&mut self, vm: &mut Vm, accounts: &mut Accounts, child: &mut Map) -> Result<()> {
        let mut next = 0;
        while let Some(region) = self.regions.next(next).copied() {
            pace(PER_OBJECT);
            next = region.range.end;
            let (object, offset) = match region.inheritance {
                Inheritance::None => continue,
                Inheritance::Share => {
                    self.make_shared(vm, &region)?;
                    (region.object, region.offset)
                }
                Inheritance::Copy => self.copy_region(vm, accounts, child.account, &region)?,
            };
            let Region { range, protection, maximum, inheritance, end, .. } = region;
            let what = Showing { object, offset, protection, maximum, inheritance, end };
            let mapped = child.map(vm, accounts, Place::At(range.start), range.size(), what);
            mapped.inspect_err(|_| vm.release_object(accounts, object))?;
        }
        Ok(())
    }

    /// A new object, paid for by `payer`, with what a region shows now, and from which byte on.
    fn copy_region(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        payer: AccountId,
        region: &Region,
    ) -> Result<(ObjectId, u64)> {
        let pages = region.pages(region.range);
        let (copy, start) = vm.copy_object(accounts, payer, region.object, pages)?;
        self.keep_from_writing(vm, region.range);
        Ok((copy, start * PAGE))
    }

    /// Lets the object of a region be mapped elsewhere, too. On failure some of its pages
    /// may have got frames of their own, which nobody sees.
    fn make_shared(&mut self, vm: &mut Vm, region: &Region) -> Result<()> {
        if vm.objects[region.object].reach == Reach::Shared {
            return Ok(());
        }
        let mut next = 0;
        while let Some(page) = vm.unshare_next(region.object, next)? {
            self.pmap.remove(&mut vm.memory, VirtAddr(region.base().wrapping_add(page * PAGE)));
            next = page + 1;
        }
        vm.objects[region.object].reach = Reach::Shared;
        Ok(())
    }

    /// Takes one page table of an address space out that nobody uses any more. False: only the
    /// top one is left, and nothing is mapped.
    pub fn take_table(&mut self, vm: &mut Vm, accounts: &mut Accounts) -> bool {
        // Looking for one means looking through the top one.
        let below = if self.tables > 1 { self.pmap.take_table(&mut vm.memory) } else { None };
        let Some(table) = below else { return false };
        vm.frames.free(table);
        self.tables -= 1;
        accounts.credit(self.account, Resource::Frames, 1);
        true
    }

    /// Takes one region of an address space out that has no page tables any more. `None`: there
    /// is none. Of a private object the last region takes all pages with it.
    pub fn take_region(&mut self, vm: &mut Vm, accounts: &mut Accounts) -> Option<Units> {
        let region = self.regions.pop()?;
        accounts.credit(self.account, Resource::Memory, REGION_COST);
        let taken = if vm.drop_mapping(region.object) == 0 { HEAP } else { POP };
        vm.release_object(accounts, region.object);
        Some(taken)
    }

    /// Ends the address space.
    pub fn destroy(mut self, vm: &mut Vm, accounts: &mut Accounts) {
        let all = Range { start: 0, end: USER_END };
        while let Some(region) = self.regions.remove_first(all) {
            accounts.credit(self.account, Resource::Memory, REGION_COST);
            self.leave(vm, accounts, &region);
        }
        let Vm { memory, frames, .. } = vm;
        self.pmap.destroy(memory, &mut |frame| frames.free(frame));
        accounts.credit(self.account, Resource::Frames, self.tables);
    }

    /// Ends what a region that is no more, or will show another object, has of its object.
    pub(super) fn leave(&mut self, vm: &mut Vm, accounts: &mut Accounts, region: &Region) {
        pace(PER_OBJECT);
        self.limit_pages(vm, region.range, Protection::empty());
        let left = vm.drop_mapping(region.object);
        if left > 0 && vm.objects[region.object].reach == Reach::Private {
            // Nothing else can reach these pages.
            vm.free_pages(accounts, region.object, region.pages(region.range));
        }
        vm.release_object(accounts, region.object);
    }

    /// Lets nobody write to the pages of a range that the pmap has, before who does is looked at.
    pub(super) fn keep_from_writing(&mut self, vm: &mut Vm, range: Range) {
        self.limit_pages(vm, range, Protection::READ_EXECUTE);
    }

    /// Lets the pages of a range that the pmap has allow no more than this. However large the
    /// range, it costs what is mapped.
    pub(super) fn limit_pages(&mut self, vm: &mut Vm, range: Range, allowed: Protection) {
        self.pmap.limit(&mut vm.memory, VirtAddr(range.start), VirtAddr(range.end), allowed);
    }

    /// Where a new region can be.
    pub(super) fn find_place(&self, place: Place, size: u64) -> Result<Range> {
        match place {
            Place::At(address) => {
                let range = Range::new(address, size)?;
                if self.regions.touching(range).next().is_some() { Err(Error::NoSpace) } else { Ok(range) }
            }
            Place::Anywhere => self.find_free(Range::new(ANYWHERE_START, size).map_err(|error| match error {
                Error::InvalidAddress => Error::NoSpace,
                other => other,
            })?),
        }
    }

    /// The first free range of that size, at or after the wanted one.
    fn find_free(&self, wanted: Range) -> Result<Range> {
        Range::new(self.regions.find_free(wanted), wanted.size()).map_err(|_| Error::NoSpace)
    }

    /// Cuts regions so that none crosses an end of the range: then unmapping it cannot fail.
    pub fn cut_at_ends(&mut self, vm: &mut Vm, accounts: &mut Accounts, range: Range) -> Result<()> {
        let cuts = [range.start, range.end].into_iter().filter(|at| self.crosses(*at)).count();
        self.pay_for_regions(accounts, cuts)?;
        // Nothing below may fail.
        for at in [range.start, range.end] {
            if let Some(region) = self.region_at(at).filter(|region| region.range.start < at) {
                vm.objects[region.object].mappings += 1;
                self.regions.cut(at);
            }
        }
        Ok(())
    }

    fn crosses(&self, at: u64) -> bool {
        self.region_at(at).is_some_and(|region| region.range.start < at)
    }

    pub(super) fn pay_for_regions(&mut self, accounts: &mut Accounts, count: usize) -> Result<()> {
        self.regions.reserve(count)?;
        accounts.charge(self.account, Resource::Memory, count as u64 * REGION_COST)?;
        Ok(())
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
    /// What a child gets of it.
    pub inheritance: Inheritance,
    /// Where the object may end.
    pub end: End,
}
