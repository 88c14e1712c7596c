//! Which frames are free, while the machine starts.
//!
//! Invariant: the ranges are in order, do not touch each other, and none is empty.
//! If there are more than fit, the smallest is given up: little memory is lost, none
//! is used twice. Neighbours: the front doors fill one, start-up takes from it.

use crate::boot_info::TAKEN_MAX;
use crate::{Frame, FrameRange};
use arrayvec::ArrayVec;
use portolan_abi::PAGE_SIZE;

/// Most ranges.
const RANGES_MAX: usize = TAKEN_MAX;

/// A set of frames, as ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryMap {
    ranges: ArrayVec<FrameRange, RANGES_MAX>,
}

/// The frames that lie wholly within these bytes.
pub(crate) fn frames_within(start: u64, end: u64) -> FrameRange {
    range(start.div_ceil(PAGE_SIZE as u64), end / PAGE_SIZE as u64)
}

/// The frames that share a byte with these.
pub(crate) fn frames_touching(start: u64, end: u64) -> FrameRange {
    range(start / PAGE_SIZE as u64, end.div_ceil(PAGE_SIZE as u64))
}

/// Frames by number; those past the last that has one are left out.
fn range(start: u64, end: u64) -> FrameRange {
    let frame = |number: u64| Frame(u32::try_from(number).unwrap_or(u32::MAX));
    FrameRange { start: frame(start), end: frame(end.max(start)) }
}

impl MemoryMap {
    /// The ranges, in order.
    pub(crate) fn ranges(&self) -> &[FrameRange] {
        &self.ranges
    }

    /// How many frames.
    pub(crate) fn len(&self) -> usize {
        self.ranges.iter().map(FrameRange::len).sum()
    }

    /// Adds frames; those it has already are added once.
    pub(crate) fn insert(&mut self, mut new: FrameRange) {
        if new.is_empty() {
            return;
        }
        self.ranges.retain(|old| {
            let apart = old.end < new.start || new.end < old.start;
            if !apart {
                new = FrameRange { start: old.start.min(new.start), end: old.end.max(new.end) };
            }
            apart
        });
        self.place(new);
    }

    /// Takes frames away, those of them that it has.
    pub(crate) fn remove(&mut self, gone: FrameRange) {
        if gone.is_empty() {
            return;
        }
        let old = core::mem::take(&mut self.ranges);
        for range in old {
            self.place(FrameRange { start: range.start, end: range.end.min(gone.start) });
            self.place(FrameRange { start: range.start.max(gone.end), end: range.end });
        }
    }

    /// Takes `count` frames in a row out of the map: the highest ones below `limit`
    /// that start at a multiple of `align`.
    pub(crate) fn take(&mut self, count: u32, align: u32, limit: Frame) -> Option<FrameRange> {
        let found = self.ranges.iter().rev().find_map(|range| {
            let start = range.end.min(limit).0.checked_sub(count)? / align * align;
            (start >= range.start.0).then_some(FrameRange { start: Frame(start), end: Frame(start + count) })
        })?;
        self.remove(found);
        Some(found)
    }

    /// Gives up the smallest ranges until at most `count` are left.
    pub(crate) fn keep_largest(&mut self, count: usize) {
        while self.ranges.len() > count {
            self.drop_smallest();
        }
    }

    /// Puts a range that touches no other in its place.
    fn place(&mut self, range: FrameRange) {
        if range.is_empty() {
            return;
        }
        if self.ranges.is_full() {
            self.drop_smallest();
        }
        let index = self.ranges.partition_point(|old| old.start < range.start);
        self.ranges.insert(index, range);
    }

    fn drop_smallest(&mut self) {
        let smallest = self.ranges.iter().enumerate().min_by_key(|(_, range)| range.len());
        if let Some((index, _)) = smallest {
            self.ranges.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(start: u32, end: u32) -> FrameRange {
        FrameRange { start: Frame(start), end: Frame(end) }
    }

    fn map(ranges: &[(u32, u32)]) -> MemoryMap {
        let mut map = MemoryMap::default();
        ranges.iter().for_each(|&(start, end)| map.insert(of(start, end)));
        map
    }

    fn is(map: &MemoryMap, ranges: &[(u32, u32)]) {
        let expected: Vec<_> = ranges.iter().map(|&(start, end)| of(start, end)).collect();
        assert_eq!(map.ranges(), expected);
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        is(&map(&[(10, 20), (30, 40), (20, 30)]), &[(10, 40)]);
        is(&map(&[(10, 20), (12, 14)]), &[(10, 20)]);
        is(&map(&[(12, 14), (30, 40), (10, 35)]), &[(10, 40)]);
        is(&map(&[(30, 40), (10, 20), (25, 25)]), &[(10, 20), (30, 40)]);
    }

    #[test]
    fn removing_splits_shortens_and_deletes() {
        let mut map = map(&[(10, 20), (30, 40), (50, 60)]);
        map.remove(of(12, 15));
        map.remove(of(18, 32));
        map.remove(of(45, 70));
        map.remove(of(33, 33));
        is(&map, &[(10, 12), (15, 18), (32, 40)]);
        assert_eq!(map.len(), 13);
    }

    #[test]
    fn taking_finds_the_highest_aligned_place_below_the_limit() {
        let mut map = map(&[(0, 100), (1000, 2000)]);
        assert_eq!(map.take(64, 64, Frame(1500)), Some(of(1408, 1472)));
        assert_eq!(map.take(64, 64, Frame(1000)), Some(of(0, 64)));
        assert_eq!(map.take(64, 64, Frame(1000)), None);
        assert_eq!(map.take(2001, 1, Frame(u32::MAX)), None);
        is(&map, &[(64, 100), (1000, 1408), (1472, 2000)]);
    }

    #[test]
    fn a_full_map_gives_up_the_smallest() {
        let mut map = MemoryMap::default();
        (0..RANGES_MAX as u32).for_each(|i| map.insert(of(i * 10, i * 10 + 5)));
        map.insert(of(100_000, 100_001));
        assert_eq!(map.ranges().len(), RANGES_MAX);
        map.insert(of(200_000, 200_009));
        assert!(!map.ranges().contains(&of(100_000, 100_001)), "the one frame had to go first");
        assert!(map.ranges().contains(&of(200_000, 200_009)));
        map.keep_largest(1);
        is(&map, &[(200_000, 200_009)]);
    }

    #[test]
    fn bytes_round_to_frames_inwards_or_outwards() {
        assert_eq!(frames_within(0x1001, 0x5fff), of(2, 5));
        assert_eq!(frames_touching(0x1001, 0x5001), of(1, 6));
        assert!(frames_within(0x1001, 0x1fff).is_empty());
        assert_eq!(frames_within(0x1000, u64::MAX), of(1, u32::MAX));
    }
}
