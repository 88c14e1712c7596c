//! Free frames.
//!
//! Frames that were never used are taken off the ranges found at start; frames
//! that came back are kept in a list through a table of links. Both take
//! constant time.
//!
//! Invariant: a frame is free at most once. Who owns a frame that is not free is
//! its owner's business. Neighbours: `object`, `map`, `ipc::message`.

use crate::arena::OutOfMemory;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use portolan_machine::{Frame, FrameRange};

/// Most ranges that a machine's memory can be in.
const RANGES: usize = 32;
const END: u32 = u32::MAX;
const TAKEN: u32 = u32::MAX - 1;

/// All frames that the kernel manages.
pub struct Frames {
    fresh: ArrayVec<FrameRange, RANGES>,
    base: u32,
    links: Vec<u32>,
    returned: u32,
    free: u64,
    total: u64,
}

impl Frames {
    /// Takes over these ranges.
    pub fn new(ranges: &[FrameRange]) -> Result<Frames, OutOfMemory> {
        let fresh: ArrayVec<FrameRange, RANGES> =
            ranges.iter().copied().filter(|r| !r.is_empty()).take(RANGES).collect();
        let base = fresh.iter().map(|range| range.start.0).min().unwrap_or(0);
        let end = fresh.iter().map(|range| range.end.0).max().unwrap_or(0);
        let mut links = Vec::new();
        links.try_reserve_exact((end - base) as usize).map_err(|_| OutOfMemory)?;
        links.resize((end - base) as usize, TAKEN);
        let total = fresh.iter().map(|range| range.len() as u64).sum();
        Ok(Frames { fresh, base, links, returned: END, free: total, total })
    }

    /// Takes a frame, with whatever bytes it holds.
    pub fn allocate(&mut self) -> Option<Frame> {
        let frame = self.take_returned().or_else(|| self.take_fresh())?;
        self.free -= 1;
        Some(frame)
    }

    fn take_returned(&mut self) -> Option<Frame> {
        let link = self.links.get_mut(self.returned as usize)?;
        let frame = Frame(self.base + self.returned);
        self.returned = core::mem::replace(link, TAKEN);
        Some(frame)
    }

    fn take_fresh(&mut self) -> Option<Frame> {
        let range = self.fresh.last_mut()?;
        let frame = range.start;
        range.start = Frame(frame.0 + 1);
        if range.is_empty() {
            self.fresh.pop();
        }
        Some(frame)
    }

    /// Gives a frame back.
    pub fn free(&mut self, frame: Frame) {
        let index = frame.0 - self.base;
        let link = &mut self.links[index as usize];
        assert_eq!(*link, TAKEN, "frame {frame:?} freed twice");
        *link = self.returned;
        self.returned = index;
        self.free += 1;
    }

    /// How many are free.
    pub fn available(&self) -> u64 {
        self.free
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Frames {
        let range = |start, end| FrameRange { start: Frame(start), end: Frame(end) };
        Frames::new(&[range(10, 13), range(20, 21)]).unwrap()
    }

    #[test]
    fn every_frame_is_handed_out_once() {
        let mut frames = frames();
        let mut seen: std::vec::Vec<_> = core::iter::from_fn(|| frames.allocate()).collect();
        seen.sort();
        assert_eq!(seen, [Frame(10), Frame(11), Frame(12), Frame(20)]);
        assert_eq!(frames.available(), 0);
        frames.free(Frame(12));
        frames.free(Frame(10));
        assert_eq!((frames.allocate(), frames.allocate(), frames.allocate()), (Some(Frame(10)), Some(Frame(12)), None));
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn freeing_twice_is_a_kernel_bug() {
        let mut frames = frames();
        let frame = frames.allocate().unwrap();
        frames.free(frame);
        frames.free(frame);
    }
}
