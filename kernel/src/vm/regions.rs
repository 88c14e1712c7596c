//! The regions of a map, in the order of their addresses.
//!
//! A list of short sorted runs. To find a region is two binary searches; to add or
//! remove one moves those of its run, and now and then a handle for each run. Each
//! run knows the largest gap within it, so that a search for free space looks into
//! the runs only that have room: a hundred thousand regions are three thousand words.
//!
//! Invariant: regions are sorted and do not overlap; no run is empty. Neighbour: `map`.

use super::map::{Range, Region};
use crate::arena::OutOfMemory;
use alloc::boxed::Box;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use portolan_abi::vm::REGIONS_MAX;
use portolan_machine::{pace, try_box};

/// Most regions of a run.
const RUN: usize = 32;
/// Instructions that passing over a run takes, and over its regions.
const PER_RUN: u32 = 10;
const PER_REGIONS: u32 = 10 * RUN as u32;

/// Regions in the order of their addresses.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "to add a run in the middle moves a handle for each behind it, and no more")]
pub struct Regions {
    runs: Vec<Box<Run>>,
    /// Empty runs, for insertions that have been promised.
    spare: Vec<Box<Run>>,
    len: usize,
}

/// Some regions with nothing but gaps between them.
struct Run {
    regions: ArrayVec<Region, RUN>,
    /// Bytes of the largest gap between two of them.
    gap: u64,
}

/// Where a region is, or would be.
#[derive(Clone, Copy)]
struct Position {
    run: usize,
    place: usize,
}

impl Run {
    fn new() -> Result<Box<Run>, OutOfMemory> {
        pace(PER_REGIONS);
        try_box(Run { regions: ArrayVec::new(), gap: 0 }).ok_or(OutOfMemory)
    }

    fn end(&self) -> u64 {
        self.regions.last().map_or(0, |last| last.range.end)
    }

    fn measure(&mut self) {
        let gaps = self.regions.windows(2).map(|pair| pair[1].range.start - pair[0].range.end);
        self.gap = gaps.max().unwrap_or(0);
    }
}

impl Regions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them. Passing over them is counted as work.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        self.runs.iter().inspect(|_| pace(PER_REGIONS)).flat_map(|run| &run.regions)
    }

    /// The region that an address is in.
    #[inline]
    pub fn at(&self, address: u64) -> Option<&Region> {
        self.next(address).filter(|region| region.range.start <= address)
    }

    /// The first that ends after an address.
    #[inline]
    pub fn next(&self, address: u64) -> Option<&Region> {
        let Position { run, place } = self.position(address);
        self.runs.get(run)?.regions.get(place)
    }

    /// Those that end after an address.
    fn from(&self, address: u64) -> impl Iterator<Item = &Region> {
        let Position { run, place } = self.position(address);
        let first = self.runs.get(run).map_or(&[][..], |run| &run.regions[place..]);
        first.iter().chain(self.runs.iter().skip(run + 1).flat_map(|run| &run.regions))
    }

    /// Those that touch a range.
    pub fn touching(&self, range: Range) -> impl Iterator<Item = &Region> {
        self.from(range.start).take_while(move |region| region.range.start < range.end)
    }

    /// The first that touches a range, to be changed in all but where it is.
    pub fn first_mut(&mut self, range: Range) -> Option<&mut Region> {
        let Position { run, place } = self.position(range.start);
        let region = self.runs.get_mut(run)?.regions.get_mut(place)?;
        (region.range.start < range.end).then_some(region)
    }

    /// Makes sure that so many can be added; not beyond [`REGIONS_MAX`].
    pub fn reserve(&mut self, count: usize) -> Result<(), OutOfMemory> {
        if self.len + count > REGIONS_MAX {
            return Err(OutOfMemory);
        }
        self.runs.try_reserve(count).map_err(|_| OutOfMemory)?;
        self.spare.try_reserve(count).map_err(|_| OutOfMemory)?;
        while self.spare.len() < count {
            self.spare.push(Run::new()?);
        }
        Ok(())
    }

    /// Adds a region that overlaps none, for which there is a reservation.
    pub fn insert(&mut self, region: Region) {
        let Position { run, place } = self.make_place(region.range.start);
        let run = &mut self.runs[run];
        run.regions.insert(place, region);
        run.measure();
        self.len += 1;
    }

    /// The place for a region that starts there, in a run that is not full.
    fn make_place(&mut self, start: u64) -> Position {
        let Position { mut run, mut place } = self.position(start);
        if run == self.runs.len() {
            // Behind all others: so that regions made in order fill their runs, no run is split.
            if self.runs.last().is_none_or(|last| last.regions.len() == RUN) {
                self.add_run(run);
            }
            run = self.runs.len() - 1;
            return Position { run, place: self.runs[run].regions.len() };
        }
        if self.runs[run].regions.len() == RUN {
            self.add_run(run + 1);
            let (lower, upper) = self.runs.split_at_mut(run + 1);
            let (lower, upper) = (&mut lower[run], &mut upper[0]);
            upper.regions.extend(lower.regions.drain(RUN / 2..));
            lower.measure();
            upper.measure();
            if place > RUN / 2 {
                (run, place) = (run + 1, place - RUN / 2);
            }
        }
        Position { run, place }
    }

    fn add_run(&mut self, at: usize) {
        let run = self.spare.pop().expect("a reservation");
        self.runs.insert(at, run);
    }

    /// Takes the first that touches a range out.
    pub fn remove_first(&mut self, range: Range) -> Option<Region> {
        let Position { run, place } = self.position(range.start);
        let found = self.runs.get(run)?.regions.get(place)?;
        if found.range.start >= range.end {
            return None;
        }
        let region = self.runs[run].regions.remove(place);
        self.len -= 1;
        self.tidy(run);
        Some(region)
    }

    /// Lets the first that touches a range begin at `start`, which is inside it.
    pub fn trim(&mut self, range: Range, start: u64) {
        let Position { run, place } = self.position(range.start);
        let run = &mut self.runs[run];
        let region = &mut run.regions[place];
        region.offset += start - region.range.start;
        region.range.start = start;
        run.measure();
    }

    /// Takes the last one out.
    pub fn pop(&mut self) -> Option<Region> {
        let last = self.runs.last_mut()?;
        let region = last.regions.pop();
        last.measure();
        if last.regions.is_empty() {
            self.runs.pop();
        }
        self.len -= usize::from(region.is_some());
        region
    }

    /// After a removal: no run stays empty, and two that would half fill one become one.
    fn tidy(&mut self, run: usize) {
        if self.runs[run].regions.is_empty() {
            self.runs.remove(run);
            return;
        }
        let next = self.runs.get(run + 1).map_or(RUN, |next| next.regions.len());
        if self.runs[run].regions.len() + next <= RUN / 2 {
            let next = self.runs.remove(run + 1);
            self.runs[run].regions.extend(next.regions);
        }
        self.runs[run].measure();
    }

    /// Cuts the region that crosses an address in two there, which needs a reservation for one.
    pub fn cut(&mut self, at: u64) {
        let Position { run, place } = self.position(at);
        let lower = &mut self.runs[run].regions[place];
        let mut upper = *lower;
        upper.offset += at - upper.range.start;
        upper.range.start = at;
        lower.range.end = at;
        self.insert(upper);
    }

    /// The lowest free range of this size at or after its start.
    pub fn find_free(&self, wanted: Range) -> u64 {
        let size = wanted.size();
        let Position { run: first, place } = self.position(wanted.start);
        let mut start = wanted.start;
        for (number, run) in self.runs.iter().enumerate().skip(first) {
            pace(PER_RUN);
            let regions = if number == first { &run.regions[place..] } else { &run.regions[..] };
            if run.gap < size && regions.first().is_none_or(|region| region.range.start < start + size) {
                start = run.end();
                continue;
            }
            pace(PER_REGIONS);
            for region in regions {
                if region.range.start >= start + size {
                    return start;
                }
                start = region.range.end;
            }
        }
        start
    }

    /// Whether runs are as they should be, for `check`.
    pub fn is_consistent(&self) -> bool {
        let gap = |run: &Run| run.regions.windows(2).map(|pair| pair[1].range.start - pair[0].range.end).max();
        let run_holds = |run: &Run| (1..=RUN).contains(&run.regions.len()) && run.gap == gap(run).unwrap_or(0);
        self.runs.iter().all(|run| run_holds(run)) && self.iter().count() == self.len
    }

    /// Of the first region that ends after an address.
    #[inline]
    fn position(&self, address: u64) -> Position {
        let run = self.runs.partition_point(|run| run.end() <= address);
        let place =
            self.runs.get(run).map_or(0, |run| run.regions.partition_point(|region| region.range.end <= address));
        Position { run, place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Accounts;
    use crate::vm::map::End;
    use crate::vm::object::Reach;
    use crate::vm::{Frames, Vm};
    use portolan_abi::Protection;
    use portolan_abi::task::Limits;
    use portolan_abi::vm::Inheritance;
    use portolan_machine::sim::Hardware;
    use std::vec::Vec;

    /// Regions that all show the same object, of pages `start..end`, beside a plain list.
    struct Bench {
        regions: Regions,
        plain: Vec<(u64, u64)>,
        template: Region,
    }

    impl Bench {
        fn new() -> Bench {
            let hardware = Hardware { frames: 8, archive: Vec::new(), command_line: "" };
            let (machine, boot, _) = hardware.power_on();
            let frames = Frames::new(&boot.memory).unwrap();
            let (objects, nodes, dead, unmapped, taken, counters) = Default::default();
            let mut vm = Vm { memory: machine.memory, frames, objects, nodes, dead, unmapped, taken, counters };
            let mut accounts = Accounts::default();
            let account = accounts.create_root(Limits { memory: 10_000, ports: 0, frames: 0 }).unwrap();
            let object = vm.create_object(&mut accounts, account, 1, Reach::Shared).unwrap();
            let (protection, maximum) = (Protection::READ, Protection::READ);
            let range = Range { start: 0, end: 0 };
            let inheritance = Inheritance::Copy;
            let end = End::Behind;
            let template = Region { range, object, offset: 0, protection, maximum, inheritance, end };
            Bench { regions: Regions::default(), plain: Vec::new(), template }
        }

        fn insert(&mut self, start: u64, end: u64) {
            self.regions.reserve(1).unwrap();
            self.regions.insert(Region { range: Range { start, end }, offset: start, ..self.template });
            let place = self.plain.partition_point(|(other, _)| *other < start);
            self.plain.insert(place, (start, end));
            self.check();
        }

        fn remove(&mut self, start: u64, end: u64) {
            while let Some(removed) = self.regions.remove_first(Range { start, end }) {
                let place = self.plain.iter().position(|(other, _)| *other == removed.range.start).unwrap();
                assert_eq!(self.plain.remove(place), (removed.range.start, removed.range.end));
            }
            assert!(!self.plain.iter().any(|(from, to)| *from < end && start < *to));
            self.check();
        }

        fn check(&self) {
            assert!(self.regions.is_consistent() && self.regions.len() == self.plain.len());
            assert!(
                self.regions.iter().map(|region| (region.range.start, region.range.end)).eq(self.plain.iter().copied())
            );
        }

        /// The lowest free range, found the slow way.
        fn free(&self, from: u64, size: u64) -> u64 {
            let ends = self.plain.iter().map(|(_, end)| *end).filter(|end| *end >= from);
            let fits = |at: &u64| !self.plain.iter().any(|(start, end)| *start < at + size && *at < *end);
            core::iter::once(from).chain(ends).filter(fits).min().unwrap()
        }
    }

    /// Numbers without order, the same every time.
    fn numbers() -> impl FnMut(u64) -> u64 {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        }
    }

    #[test]
    fn whatever_is_added_cut_and_removed_is_as_in_a_plain_list() {
        let mut bench = Bench::new();
        let mut number = numbers();
        for round in 0..4000 {
            // Many are added in the first half, and removed in the second.
            let (start, size) = (number(6000), 1 + number(4));
            if number(4) > u64::from(round > 2000) * 2 {
                let at = bench.free(start, size);
                assert_eq!(bench.regions.find_free(Range { start, end: start + size }), at);
                bench.insert(at, at + size);
            } else {
                bench.remove(start, start + size * 8);
            }
            if let Some(region) = bench.regions.at(start).copied().filter(|region| region.range.start < start) {
                bench.regions.reserve(1).unwrap();
                bench.regions.cut(start);
                let place = bench.plain.iter().position(|(other, _)| *other == region.range.start).unwrap();
                bench.plain[place].1 = start;
                bench.plain.insert(place + 1, (start, region.range.end));
                bench.check();
                assert_eq!(bench.regions.at(start).unwrap().offset, start, "the offset grows with the address");
            }
        }
        bench.remove(0, u64::MAX);
        assert!(bench.regions.is_empty());
    }

    #[test]
    fn a_hundred_thousand_are_found_at_once() {
        let mut bench = Bench::new();
        for place in 0..100_000 {
            bench.regions.reserve(1).unwrap();
            // Backwards and forwards in turn.
            let start = if place % 2 == 0 { 1_000_000 + place * 3 } else { 1_000_000 - place * 3 };
            bench.regions.insert(Region { range: Range { start, end: start + 2 }, ..bench.template });
        }
        assert!(bench.regions.is_consistent());
        assert!(bench.regions.runs.len() < 100_000 / (RUN / 2) + 2, "runs are at least half full");
        let free = bench.regions.find_free(Range { start: 1_000_000, end: 1_000_003 });
        assert!(bench.regions.at(free).is_none());
        assert_eq!(free, 1_000_000 + 2);
    }

    #[test]
    fn there_are_so_many_at_most() {
        let mut bench = Bench::new();
        for number in 0..REGIONS_MAX as u64 {
            bench.regions.reserve(1).unwrap();
            let range = Range { start: 2 * number, end: 2 * number + 1 };
            bench.regions.insert(Region { range, ..bench.template });
        }
        assert_eq!((bench.regions.len(), bench.regions.reserve(1)), (REGIONS_MAX, Err(OutOfMemory)));
        bench.regions.remove_first(Range { start: 0, end: 1 });
        bench.regions.reserve(1).unwrap();
    }
}
