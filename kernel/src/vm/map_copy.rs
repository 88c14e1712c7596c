//! A detached piece of address space: Mach's `vm_map_copy`.
//!
//! [`MapCopy::take`] makes one of a task's range, at any alignment: a private object
//! with the frames of the whole pages and, for a page that is only partly inside, a new
//! one with zeros around the bytes. It can be placed into a map, written over what a map
//! has, or discarded; until then its payer pays for it.
//!
//! Taking can fail, and has then changed nothing. Placing is reserved first, and cannot
//! fail after. Invariant: a copy is used up by placing, overwriting or discarding it.
//! Neighbours: `map`, `object`; `service::vm` uses it.

use super::map::{Place, REGION_COST, Range, Region};
use super::object::Reach;
use super::{Map, ObjectId, Vm, fault};
use crate::task::account::{AccountId, Accounts, Resource};
use portolan_abi::{PAGE_SIZE, Result};
use portolan_machine::{Access, PhysAddr, VirtAddr};

const PAGE: u64 = PAGE_SIZE as u64;

/// Bytes that were copied out of a map and are in none yet.
#[must_use = "it is to be placed or discarded"]
#[derive(Debug)]
pub struct MapCopy {
    object: ObjectId,
    /// Where in the object's first page the bytes begin.
    skip: u64,
    size: u64,
}

/// A place in a map that a copy has been promised, and all that it needs there.
#[must_use = "what it needs has been paid for"]
#[derive(Debug)]
pub struct Reserved(Range);

impl MapCopy {
    /// Copies `size` bytes from `address`, all of which must be mapped and readable.
    ///
    /// # Errors
    /// `InvalidArgument`: size 0. `InvalidAddress`, `ProtectionFailure`, `ResourceShortage`.
    pub fn take(
        vm: &mut Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        payer: AccountId,
        address: u64,
        size: u64,
    ) -> Result<MapCopy> {
        let pages = Range::around(address, size)?;
        map.require_access(pages, Access::Read)?;
        let object = vm.create_object(accounts, payer, pages.size() / PAGE, Reach::Private)?;
        let bytes = Range { start: address, end: address + size };
        let filled = fill(vm, accounts, map, object, pages, bytes);
        filled.inspect_err(|_| vm.release_object(accounts, object))?;
        // Nothing below may fail.
        map.limit_pages(vm, pages, |mapping| mapping.protection);
        vm.objects[object].detached = true;
        Ok(MapCopy { object, skip: address - pages.start, size })
    }

    /// Moves `size` bytes from `address`: [`take`](MapCopy::take), after which all pages of
    /// the range are unmapped. A private object that is mapped there as a whole, and
    /// nowhere else, is moved as it is; else the range is paid for twice for a moment.
    ///
    /// # Errors
    /// As for `take`; a region may then have been cut in two.
    pub fn take_away(
        vm: &mut Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        payer: AccountId,
        address: u64,
        size: u64,
    ) -> Result<MapCopy> {
        let pages = Range::around(address, size)?;
        map.require_access(pages, Access::Read)?;
        if pages == (Range { start: address, end: address + size })
            && let Some(object) = whole_object(vm, map, payer, pages)
        {
            vm.objects[object].detached = true;
            map.unmap(vm, accounts, pages)?;
            return Ok(MapCopy { object, skip: 0, size });
        }
        map.cut_at_ends(vm, accounts, pages)?;
        let copy = MapCopy::take(vm, accounts, map, payer, address, size)?;
        // This cannot fail: there is nothing to cut.
        map.unmap(vm, accounts, pages)?;
        Ok(copy)
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The object that holds them.
    pub fn object(&self) -> ObjectId {
        self.object
    }

    /// Reserves all that placing the copy needs, at the cost of the map's account, which
    /// pays for the pages from then on.
    ///
    /// # Errors
    /// `InvalidArgument`, `InvalidAddress`: no place for pages. `NoSpace`, `ResourceShortage`.
    pub fn reserve(&self, vm: &Vm, accounts: &mut Accounts, map: &mut Map, place: Place) -> Result<Reserved> {
        let range = map.find_place(place, vm.objects[self.object].size())?;
        map.pay_for_regions(accounts, 1)?;
        let taken_over = vm.charge_again(accounts, self.object, map.account());
        taken_over.inspect_err(|_| accounts.credit(map.account(), Resource::Memory, REGION_COST))?;
        Ok(Reserved(range))
    }

    /// Gives back what was reserved for placing it.
    pub fn cancel(&self, vm: &Vm, accounts: &mut Accounts, map: &Map, _: Reserved) {
        vm.credit_again(accounts, self.object, map.account());
        accounts.credit(map.account(), Resource::Memory, REGION_COST);
    }

    /// Places it where there is a reservation, in a map that has not changed since; returns
    /// the address of its first byte.
    pub fn place(
        self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        Reserved(range): Reserved,
        how: Terms,
    ) -> u64 {
        vm.change_payer(accounts, self.object, map.account());
        let Terms { protection, maximum, inheritance } = how;
        map.regions.insert(Region { range, object: self.object, offset: 0, protection, maximum, inheritance });
        let object = &mut vm.objects[self.object];
        object.detached = false;
        object.mappings += 1;
        range.start + self.skip
    }

    /// Writes it over the bytes from `address`, all of which must be mapped and writable.
    /// Whole pages of private memory get the copy's frames, all else its bytes.
    ///
    /// # Errors
    /// `InvalidAddress`, `ProtectionFailure`, `ResourceShortage`; nothing is then changed.
    /// The copy is used up all the same.
    pub fn overwrite(self, vm: &mut Vm, accounts: &mut Accounts, map: &mut Map, address: u64) -> Result<()> {
        let written = self.write_over(vm, accounts, map, address);
        self.discard(vm, accounts);
        written
    }

    fn write_over(&self, vm: &mut Vm, accounts: &mut Accounts, map: &mut Map, address: u64) -> Result<()> {
        let pages = Range::around(address, self.size)?;
        map.require_access(pages, Access::Write)?;
        let whole = self.skip == 0 && pages == (Range { start: address, end: address + self.size });
        let private = |region: &Region| vm.objects[region.object].reach == Reach::Private;
        if whole && vm.objects[self.object].account() == map.account() && map.regions.touching(pages).all(private) {
            return self.exchange(vm, accounts, map, pages);
        }
        for page in (pages.start..pages.end).step_by(PAGE_SIZE) {
            fault::resolve(vm, accounts, map, VirtAddr(page), Access::Write)?;
        }
        // Nothing below may fail.
        self.write_bytes(vm, map, address);
        Ok(())
    }

    /// Lets the regions of a range show the copy in place of what they do.
    fn exchange(&self, vm: &mut Vm, accounts: &mut Accounts, map: &mut Map, pages: Range) -> Result<()> {
        map.cut_at_ends(vm, accounts, pages)?;
        // Nothing below may fail.
        let mut next = pages;
        while let Some(region) = map.regions.first_mut(next) {
            next.start = region.range.end;
            let before = *region;
            (region.object, region.offset) = (self.object, before.range.start - pages.start);
            vm.objects[self.object].mappings += 1;
            map.leave(vm, accounts, &before);
        }
        Ok(())
    }

    /// Writes the bytes into pages that are there and can be written.
    fn write_bytes(&self, vm: &mut Vm, map: &mut Map, address: u64) {
        let mut done = 0;
        while done < self.size {
            let (from, to) = (self.skip + done, address + done);
            let size = (PAGE - from % PAGE).min(PAGE - to % PAGE).min(self.size - done);
            let source = vm.objects[self.object].frame(from / PAGE);
            let target = map.pmap.lookup(&vm.memory, VirtAddr(to).page()).expect("the page is there").frame;
            let target = target.start().plus((to % PAGE) as usize);
            match source {
                Some(frame) => vm.memory.copy(frame.start().plus((from % PAGE) as usize), target, size as usize),
                None => write_zeros(vm, target, size as usize),
            }
            done += size;
        }
    }

    /// Lets it go.
    pub fn discard(self, vm: &mut Vm, accounts: &mut Accounts) {
        vm.objects[self.object].detached = false;
        vm.release_object(accounts, self.object);
    }
}

/// How a copy that is placed may be used.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What may be done at first.
    pub protection: portolan_abi::Protection,
    /// What it may be raised to.
    pub maximum: portolan_abi::Protection,
    /// What a child gets of it.
    pub inheritance: portolan_abi::vm::Inheritance,
}

/// The private object that is mapped at this range, as a whole and nowhere else.
fn whole_object(vm: &Vm, map: &Map, payer: AccountId, range: Range) -> Option<ObjectId> {
    let region = map.region_at(range.start).filter(|region| region.range == range)?;
    let object = &vm.objects[region.object];
    let whole = object.reach == Reach::Private && object.mappings == 1 && object.size() == range.size();
    (whole && object.account() == payer).then_some(region.object)
}

/// Fills a new object with these bytes of a map.
fn fill(vm: &mut Vm, accounts: &mut Accounts, map: &Map, object: ObjectId, pages: Range, bytes: Range) -> Result<()> {
    let whole = Range { start: bytes.start.next_multiple_of(PAGE), end: bytes.end - bytes.end % PAGE };
    for region in map.regions.touching(pages) {
        let inside = region.range.within(whole);
        if inside.start < inside.end {
            let at = (inside.start - pages.start) / PAGE;
            vm.copy_pages(accounts, region.object, region.pages(inside), object, at)?;
        }
    }
    for page in edges(pages, bytes) {
        let Some(region) = map.region_at(page) else { continue };
        let part = Range { start: page, end: page + PAGE }.within(bytes);
        let source = (region.object, region.pages(region.range).start + (page - region.range.start) / PAGE);
        let within = (part.start - page) as usize..(part.end - page) as usize;
        vm.copy_part(accounts, source, within, (object, (page - pages.start) / PAGE))?;
    }
    Ok(())
}

/// The pages that are only partly inside.
fn edges(pages: Range, bytes: Range) -> impl Iterator<Item = u64> {
    let last = pages.end - PAGE;
    let first_cut = bytes.start > pages.start || (last == pages.start && bytes.end < pages.end);
    let last_cut = last > pages.start && bytes.end < pages.end;
    first_cut.then_some(pages.start).into_iter().chain(last_cut.then_some(last))
}

fn write_zeros(vm: &mut Vm, at: PhysAddr, size: usize) {
    const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
    vm.memory.write(at, &ZEROS[..size]);
}
