//! The regions of a map, in the order of their addresses.
//!
//! A list of short sorted runs. To find a region is two binary searches; to add or
//! remove one moves those of its run, and now and then a handle for each run. Each
//! run knows the largest gap within it, so that a search for free space looks into
//! the runs only that have room: a hundred thousand regions are three thousand words.
//!
//! Invariant: regions are sorted and do not overlap; no run is empty; no run is
//! longer than its capacity, so that it never moves. Neighbour: `map`.

use super::map::{Range, Region};
use crate::arena::OutOfMemory;
use alloc::vec::Vec;

/// Most regions of a run.
const RUN: usize = 32;

/// Regions in the order of their addresses.
#[derive(Default)]
pub struct Regions {
    runs: Vec<Run>,
    /// Empty runs, for insertions that have been promised.
    spare: Vec<Run>,
    len: usize,
}

/// Some regions with nothing but gaps between them.
struct Run {
    regions: Vec<Region>,
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
    fn new() -> Result<Run, OutOfMemory> {
        let mut regions = Vec::new();
        regions.try_reserve_exact(RUN).map_err(|_| OutOfMemory)?;
        Ok(Run { regions, gap: 0 })
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

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        self.runs.iter().flat_map(|run| &run.regions)
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

    /// Makes sure that so many can be added.
    pub fn reserve(&mut self, count: usize) -> Result<(), OutOfMemory> {
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
            let regions = if number == first { &run.regions[place..] } else { &run.regions[..] };
            if run.gap < size && regions.first().is_none_or(|region| region.range.start < start + size) {
                start = run.end();
                continue;
            }
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
        self.runs.iter().all(run_holds) && self.iter().count() == self.len
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
