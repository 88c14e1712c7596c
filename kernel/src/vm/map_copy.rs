//! A detached piece of address space: Mach's `vm_map_copy`.
//!
//! [`MapCopy::take`] makes one of a task's range, at any alignment: a private object
//! that shares the whole pages and, for a page that is only partly inside, has a new
//! one with zeros around the bytes. It can be placed into a map, written over what a map
//! has, or discarded; until then its payer pays for it.
//!
//! Taking can fail, and has then changed nothing. Placing is reserved first, and cannot
//! fail after. Invariant: a copy is used up by placing, overwriting or discarding it.
//! Neighbours: `map`, `object`; `ipc::message` and `service::vm` use it.

use super::map::{End, Place, REGION_COST, Range, Region};
use super::object::Reach;
use super::{Map, ObjectId, Vm, fault, page_tree};
use crate::task::account::{AccountId, Accounts, Resource};
use portolan_abi::{PAGE_SIZE, Result};
use portolan_machine::{Access, Span, VirtAddr, pace};

const PAGE: u64 = PAGE_SIZE as u64;

/// Instructions that a region takes to be looked at, or a page to be written, apart from new frames.
const PER_REGION: u32 = 200;
const PER_PAGE: u32 = 1600;

/// Bytes that were copied out of a map and are in none yet.
#[must_use = "it is to be placed or discarded"]
#[derive(Debug)]
pub struct MapCopy {
    object: ObjectId,
    /// Its page with the first of them.
    start: u64,
    /// Where in that page they begin.
    skip: u64,
    size: u64,
}

/// A place in a map that copies have been promised, side by side, and all that they need
/// there: where the next one is to be.
#[must_use = "what they need has been paid for"]
#[derive(Debug)]
pub struct Reserved(u64);

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
        let bytes = Range { start: address, end: address + size };
        let start = best_start(vm, map, pages);
        let object = vm.create_object(accounts, payer, start + pages.size() / PAGE, Reach::Private)?;
        let filled = fill(vm, accounts, map, object, start, pages, bytes);
        filled.inspect_err(|_| vm.undo_copy(accounts, object))?;
        // Nothing below may fail.
        map.keep_from_writing(vm, pages);
        vm.objects[object].detached = true;
        Ok(MapCopy { object, start, skip: address - pages.start, size })
    }

    /// A page of zeros, of which `size` bytes will count.
    ///
    /// # Errors
    /// `ResourceShortage`.
    pub fn of_zeros(vm: &mut Vm, accounts: &mut Accounts, payer: AccountId, size: usize) -> Result<MapCopy> {
        let object = vm.create_object(accounts, payer, 1, Reach::Private)?;
        let filled = vm.object_page(accounts, object, 0, Access::Write);
        filled.inspect_err(|_| vm.undo_copy(accounts, object))?;
        vm.objects[object].detached = true;
        Ok(MapCopy { object, start: 0, skip: 0, size: size as u64 })
    }

    /// Writes into the one page of [`of_zeros`](MapCopy::of_zeros).
    pub fn write(&self, vm: &mut Vm, offset: usize, bytes: &[u8]) {
        if let Some(frame) = vm.frame(self.object, 0) {
            vm.memory.write(frame.span(offset, bytes.len()), bytes);
        }
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes of pages it has them in.
    fn span(&self) -> u64 {
        (self.skip + self.size).next_multiple_of(PAGE)
    }

    /// The object that holds them.
    pub fn object(&self) -> ObjectId {
        self.object
    }

    /// Reserves all that placing these copies needs, at the cost of the map's account, which
    /// pays for their pages from then on.
    ///
    /// # Errors
    /// `InvalidArgument`, `InvalidAddress`: no place for pages. `NoSpace`, `ResourceShortage`.
    pub fn reserve<'a>(
        copies: impl Iterator<Item = &'a MapCopy> + Clone,
        vm: &Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        place: Place,
    ) -> Result<Reserved> {
        let range = map.find_place(place, copies.clone().map(MapCopy::span).sum())?;
        let count = copies.clone().count();
        map.pay_for_regions(accounts, count)?;
        for (number, copy) in copies.clone().enumerate() {
            if let Err(error) = vm.charge_again(accounts, copy.object, map.account()) {
                copies.take(number).for_each(|copy| vm.credit_again(accounts, copy.object, map.account()));
                accounts.credit(map.account(), Resource::Memory, count as u64 * REGION_COST);
                return Err(error);
            }
        }
        Ok(Reserved(range.start))
    }

    /// Places it where there is a reservation, in a map to which nothing has been added since;
    /// returns the address of its first byte.
    pub fn place(
        self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        Reserved(start): &mut Reserved,
        how: Terms,
    ) -> u64 {
        vm.change_payer(accounts, self.object, map.account());
        let Terms { protection, maximum, inheritance } = how;
        let object = &mut vm.objects[self.object];
        object.detached = false;
        object.mappings += 1;
        let range = Range { start: *start, end: *start + self.span() };
        *start = range.end;
        let (object, offset, end) = (self.object, self.start * PAGE, End::Behind);
        map.regions.insert(Region { range, object, offset, protection, maximum, inheritance, end });
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
        if whole && map.regions.touching(pages).all(private) {
            return self.exchange(vm, accounts, map, pages);
        }
        for page in (pages.start..pages.end).step_by(PAGE_SIZE) {
            pace(PER_PAGE);
            fault::resolve(vm, accounts, map, VirtAddr(page), Access::Write)?;
        }
        // Nothing below may fail.
        self.write_bytes(vm, map, address);
        Ok(())
    }

    /// Lets the regions of a range show the copy in place of what they do, at their map's cost.
    fn exchange(&self, vm: &mut Vm, accounts: &mut Accounts, map: &mut Map, pages: Range) -> Result<()> {
        let payer = map.account();
        vm.charge_again(accounts, self.object, payer)?;
        let cut = map.cut_at_ends(vm, accounts, pages);
        cut.inspect_err(|_| vm.credit_again(accounts, self.object, payer))?;
        // Nothing below may fail.
        vm.change_payer(accounts, self.object, payer);
        let mut next = pages;
        while let Some(region) = map.regions.first_mut(next) {
            next.start = region.range.end;
            let before = *region;
            (region.object, region.offset) = (self.object, self.start * PAGE + (before.range.start - pages.start));
            vm.objects[self.object].mappings += 1;
            map.leave(vm, accounts, &before);
        }
        Ok(())
    }

    /// Writes the bytes into pages that are there and can be written.
    fn write_bytes(&self, vm: &mut Vm, map: &mut Map, address: u64) {
        let mut done = 0;
        while done < self.size {
            pace(PER_PAGE);
            let (from, to) = (self.skip + done, address + done);
            let size = (PAGE - from % PAGE).min(PAGE - to % PAGE).min(self.size - done);
            let source = vm.frame(self.object, self.start + from / PAGE);
            let target = map.pmap.lookup(&vm.memory, VirtAddr(to).page()).expect("the page is there").frame;
            let target = target.span((to % PAGE) as usize, size as usize);
            match source {
                Some(frame) => vm.memory.copy(frame.span((from % PAGE) as usize, size as usize), target),
                None => write_zeros(vm, target),
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

/// Which page of a new object is to be the first of these of a map, so that most nodes are as
/// they are in what the largest region shows of its object.
fn best_start(vm: &Vm, map: &Map, pages: Range) -> u64 {
    let private = |region: &&Region| vm.objects[region.object].reach == Reach::Private;
    let size = |region: &&Region| {
        pace(PER_REGION);
        region.range.within(pages).size()
    };
    let Some(region) = map.regions.touching(pages).filter(private).max_by_key(size) else { return 0 };
    let shown = region.range.within(pages);
    let before = (shown.start - pages.start) / PAGE;
    page_tree::best_start(region.pages(shown).start.wrapping_sub(before), shown.size() / PAGE)
}

/// Fills a new object, from page `start` on, with these bytes of a map.
fn fill(
    vm: &mut Vm,
    accounts: &mut Accounts,
    map: &Map,
    object: ObjectId,
    start: u64,
    pages: Range,
    bytes: Range,
) -> Result<()> {
    let whole = Range { start: bytes.start.next_multiple_of(PAGE), end: bytes.end - bytes.end % PAGE };
    let there = |address: u64| start + (address - pages.start) / PAGE;
    for region in map.regions.touching(pages) {
        pace(PER_REGION);
        let inside = region.range.within(whole);
        if inside.start < inside.end {
            vm.copy_pages(accounts, region.object, region.pages(inside), object, there(inside.start))?;
        }
    }
    for page in edges(pages, bytes) {
        let Some(region) = map.region_at(page) else { continue };
        let part = Range { start: page, end: page + PAGE }.within(bytes);
        let source = (region.object, region.pages(region.range).start + (page - region.range.start) / PAGE);
        let within = (part.start - page) as usize..(part.end - page) as usize;
        vm.copy_part(accounts, source, within, (object, there(page)))?;
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

fn write_zeros(vm: &mut Vm, target: Span) {
    const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
    vm.memory.write(target, &ZEROS[..target.size()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::vm::map::Showing;
    use crate::vm::page_tree::Nodes;
    use crate::vm::{Counters, Frames};
    use portolan_abi::task::Limits;
    use portolan_abi::vm::Inheritance;
    use portolan_abi::{Error, Protection};
    use portolan_machine::Machine;
    use portolan_machine::sim::Hardware;
    use std::vec;
    use std::vec::Vec;

    const HERE: u64 = 0x5000_0000;
    const TERMS: Terms =
        Terms { protection: Protection::READ_WRITE, maximum: Protection::all(), inheritance: Inheritance::Copy };

    /// Memory, and two maps with accounts of their own.
    struct Bench {
        vm: Vm,
        accounts: Accounts,
        maps: [Option<Map>; 2],
        free: u64,
    }

    impl Bench {
        fn new(frames: u64) -> Bench {
            let hardware = Hardware { frames: 512, archive: Vec::new(), command_line: "" };
            let (Machine { memory, .. }, boot, _) = hardware.power_on();
            let frames_of = Frames::new(&boot.memory).unwrap();
            let free = frames_of.available();
            let mut vm = Vm {
                memory,
                frames: frames_of,
                objects: Arena::default(),
                dead: Default::default(),
                unmapped: Default::default(),
                nodes: Nodes::default(),
                taken: Default::default(),
                counters: Counters::default(),
            };
            let mut accounts = Accounts::default();
            let limits = Limits { memory: 100_000, ports: 0, frames };
            let maps = [(); 2].map(|()| {
                let account = accounts.create_root(limits).unwrap();
                Some(Map::new(&mut vm, &mut accounts, account).unwrap())
            });
            Bench { vm, accounts, maps, free }
        }

        /// Does something with a map.
        fn with<T>(&mut self, which: usize, act: impl FnOnce(&mut Vm, &mut Accounts, &mut Map) -> T) -> T {
            act(&mut self.vm, &mut self.accounts, self.maps[which].as_mut().unwrap())
        }

        fn map(&mut self, which: usize, pages: u64) {
            self.with(which, |vm, accounts, map| {
                let object = vm.create_object(accounts, map.account(), pages, Reach::Private).unwrap();
                let Terms { protection, maximum, inheritance } = TERMS;
                let what = Showing { object, offset: 0, protection, maximum, inheritance, end: End::Behind };
                map.map(vm, accounts, Place::At(HERE), pages * PAGE, what).unwrap();
            });
        }

        fn write(&mut self, which: usize, address: u64, byte: u8) {
            self.with(which, |vm, accounts, map| {
                let frame = fault::resolve(vm, accounts, map, VirtAddr(address), Access::Write).unwrap();
                vm.memory.write(frame.span((address % PAGE) as usize, 1), &[byte]);
            });
        }

        fn read(&mut self, which: usize, address: u64) -> u8 {
            self.with(which, |vm, accounts, map| {
                let frame = fault::resolve(vm, accounts, map, VirtAddr(address), Access::Read).unwrap();
                let mut byte = [0];
                vm.memory.read(frame.span((address % PAGE) as usize, 1), &mut byte);
                byte[0]
            })
        }

        fn take(&mut self, which: usize, address: u64, size: u64) -> Result<MapCopy> {
            self.with(which, |vm, accounts, map| MapCopy::take(vm, accounts, map, map.account(), address, size))
        }

        fn place(&mut self, which: usize, copy: MapCopy) -> u64 {
            self.with(which, |vm, accounts, map| {
                let mut reserved = reserve(&copy, vm, accounts, map, Place::Anywhere).unwrap();
                copy.place(vm, accounts, map, &mut reserved, TERMS)
            })
        }

        fn end(&mut self, which: usize) {
            self.maps[which].take().unwrap().destroy(&mut self.vm, &mut self.accounts);
        }

        fn used(&self) -> Vec<Limits> {
            self.accounts.iter().map(|(_, _, _, used)| used).collect()
        }
    }

    fn reserve(copy: &MapCopy, vm: &Vm, accounts: &mut Accounts, map: &mut Map, place: Place) -> Result<Reserved> {
        MapCopy::reserve(core::iter::once(copy), vm, accounts, map, place)
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            if std::thread::panicking() {
                return;
            }
            for map in &mut self.maps {
                map.take().into_iter().for_each(|map| map.destroy(&mut self.vm, &mut self.accounts));
            }
            assert_eq!((self.vm.frames.available(), self.vm.objects.len()), (self.free, 0), "something is left");
            assert_eq!(self.used(), vec![Limits::default(); 2]);
        }
    }

    #[test]
    fn a_copy_in_flight_keeps_its_bytes_whatever_becomes_of_the_source() {
        let mut bench = Bench::new(100);
        bench.map(0, 4);
        (0..4).for_each(|page| bench.write(0, HERE + page * PAGE, page as u8 + 1));
        let copy = bench.take(0, HERE, 4 * PAGE).unwrap();
        assert_eq!(bench.vm.counters.copies, 0);
        bench.write(0, HERE, 99);
        bench.end(0);
        let address = bench.place(1, copy);
        assert_eq!([0, 1, 2, 3].map(|page| bench.read(1, address + page * PAGE)), [1, 2, 3, 4]);
        bench.write(1, address + PAGE, 50);
        assert_eq!(bench.vm.counters.copies, 1, "the one that the source wrote");
    }

    #[test]
    fn around_an_unaligned_copy_there_are_zeros() {
        let mut bench = Bench::new(100);
        bench.map(0, 4);
        (0..4 * PAGE).step_by(64).for_each(|at| bench.write(0, HERE + at, 0xaa));
        for (skip, size) in [(64, 64), (64, PAGE), (128, 3 * PAGE - 64), (0, PAGE + 64), (PAGE - 64, 128)] {
            let copy = bench.take(0, HERE + skip, size).unwrap();
            let address = bench.place(1, copy);
            assert_eq!(address % PAGE, skip % PAGE);
            let pages = Range::around(address, size).unwrap();
            for at in (pages.start..pages.end).step_by(64) {
                let inside = (address..address + size).contains(&at);
                assert_eq!(bench.read(1, at), if inside { 0xaa } else { 0 }, "{skip} {size} {at:#x}");
            }
            bench.with(1, |vm, accounts, map| map.unmap(vm, accounts, pages)).unwrap();
        }
    }

    #[test]
    fn several_are_placed_side_by_side_or_none_is_reserved() {
        let mut bench = Bench::new(60);
        bench.map(0, 4);
        (0..4).for_each(|page| bench.write(0, HERE + page * PAGE, page as u8 + 1));
        let copies = [(0, 8), (PAGE, 2 * PAGE), (3 * PAGE + 8, 8)];
        let copies = copies.map(|(at, size)| bench.take(0, HERE + at, size).unwrap());
        let before = bench.used();
        // The last page cannot be paid for.
        let spent = Limits { frames: 60 - 1 - 3, ..Limits::default() };
        bench.with(1, |vm, accounts, map| {
            accounts.charge(map.account(), Resource::Frames, spent.frames).unwrap();
            let reserved = MapCopy::reserve(copies.iter(), vm, accounts, map, Place::Anywhere);
            assert!(matches!(reserved, Err(Error::ResourceShortage)));
            accounts.credit(map.account(), Resource::Frames, spent.frames);
        });
        assert_eq!(bench.used(), before);
        let addresses: Vec<u64> = bench.with(1, |vm, accounts, map| {
            let mut reserved = MapCopy::reserve(copies.iter(), vm, accounts, map, Place::Anywhere).unwrap();
            copies.into_iter().map(|copy| copy.place(vm, accounts, map, &mut reserved, TERMS)).collect()
        });
        assert_eq!(addresses.iter().map(|at| at - addresses[0]).collect::<Vec<_>>(), [0, PAGE, 3 * PAGE + 8]);
        assert_eq!([0, 1, 2].map(|page| bench.read(1, addresses[0] + page * PAGE)), [1, 2, 3]);
    }

    #[test]
    fn the_receiver_pays_from_the_placing_on_and_can_refuse() {
        let mut bench = Bench::new(30);
        bench.map(0, 10);
        (0..10).for_each(|page| bench.write(0, HERE + page * PAGE, 1));
        let before = bench.used();
        let copy = bench.take(0, HERE, 10 * PAGE).unwrap();
        let flying = bench.used();
        assert_eq!((flying[0].frames, flying[1]), (before[0].frames + 10, before[1]));
        bench.with(1, |vm, accounts, map| {
            let taken = reserve(&copy, vm, accounts, map, Place::At(HERE + 1));
            assert!(matches!(taken, Err(Error::InvalidArgument)));
        });
        assert_eq!(bench.used(), flying);
        bench.place(1, copy);
        let after = bench.used();
        assert_eq!((after[0], after[1].frames), (before[0], before[1].frames + 10));
        bench.map(1, 15);
        (0..15).for_each(|page| bench.write(1, HERE + page * PAGE, 1));
        let copy = bench.take(0, HERE, 10 * PAGE).unwrap();
        let full = bench.used();
        bench.with(1, |vm, accounts, map| {
            assert!(matches!(reserve(&copy, vm, accounts, map, Place::Anywhere), Err(Error::ResourceShortage)));
        });
        assert_eq!(bench.used(), full);
        bench.with(0, |vm, accounts, _| copy.discard(vm, accounts));
    }

    #[test]
    fn a_copy_that_cannot_be_taken_changes_nothing() {
        let mut bench = Bench::new(24);
        bench.map(0, 16);
        (0..16).for_each(|page| bench.write(0, HERE + page * PAGE, page as u8));
        let before = bench.used();
        assert!(matches!(bench.take(0, HERE, 16 * PAGE), Err(Error::ResourceShortage)));
        assert!(matches!(bench.take(0, HERE, 17 * PAGE), Err(Error::InvalidAddress)));
        assert!(matches!(bench.take(0, HERE, 0), Err(Error::InvalidArgument)));
        assert!(matches!(bench.take(0, HERE + 8, u64::MAX), Err(Error::InvalidAddress)));
        assert_eq!(bench.used(), before);
        bench.write(0, HERE, 1);
        assert_eq!(bench.vm.counters.copies, 0);
    }
}
