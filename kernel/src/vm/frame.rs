//! Frames: which are free, and how many hold one that is not.
//!
//! Frames that were never used are taken off the ranges found at start; frames
//! that came back are kept in a list. A table has a word for each frame: the next
//! in that list, or how many hold it. Everything takes constant time.
//!
//! Invariant: a frame is free, or held as often as it was allocated and shared and
//! not freed. Only private memory objects share frames. What the machine keeps for
//! itself (the boot archive) has foreign frames: everybody's, never free, never
//! written. Neighbours: `object`, `map`, `ipc::message`.

use crate::arena::OutOfMemory;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use portolan_machine::{Frame, FrameRange};

/// Most ranges that a machine's memory can be in.
const RANGES: usize = 32;

/// All frames that the kernel manages.
pub struct Frames {
    fresh: ArrayVec<FrameRange, RANGES>,
    base: u32,
    uses: Vec<Use>,
    returned: Option<u32>,
    free: u64,
    total: u64,
    refused: u64,
}

/// What a frame is used for, in a word.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Use(u32);

impl Use {
    /// This bit says that the rest is how many hold the frame, else it is a link.
    const HELD: u32 = 1 << 31;
    /// It is the last in the list.
    const END: Use = Use(Use::HELD - 1);
    /// It has not been taken off its range.
    const FRESH: Use = Use(Use::HELD - 2);
    /// It is not the kernel's to give.
    const FOREIGN: Use = Use(Use::HELD - 3);
    /// One holds it.
    const ONCE: Use = Use(Use::HELD | 1);

    fn link(next: Option<u32>) -> Use {
        next.map_or(Use::END, Use)
    }

    fn next(self) -> Option<u32> {
        (self != Use::END).then_some(self.0)
    }

    fn holders(self) -> u32 {
        if self.0 & Use::HELD == 0 { 0 } else { self.0 & !Use::HELD }
    }
}

impl Frames {
    /// Takes over these ranges.
    pub fn new(ranges: &[FrameRange]) -> Result<Frames, OutOfMemory> {
        let fresh: ArrayVec<FrameRange, RANGES> =
            ranges.iter().copied().filter(|r| !r.is_empty()).take(RANGES).collect();
        let base = fresh.iter().map(|range| range.start.0).min().unwrap_or(0);
        let end = fresh.iter().map(|range| range.end.0).max().unwrap_or(0);
        let count = (end - base) as usize;
        if count > Use::FOREIGN.0 as usize {
            return Err(OutOfMemory);
        }
        let mut uses = Vec::new();
        uses.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
        uses.resize(count, Use::FOREIGN);
        for range in &fresh {
            uses[(range.start.0 - base) as usize..(range.end.0 - base) as usize].fill(Use::FRESH);
        }
        let total = fresh.iter().map(|range| range.len() as u64).sum();
        Ok(Frames { fresh, base, uses, returned: None, free: total, total, refused: 0 })
    }

    /// Takes a frame, with whatever bytes it holds, for one to hold.
    pub fn allocate(&mut self) -> Option<Frame> {
        let Some(frame) = self.take_returned().or_else(|| self.take_fresh()) else {
            self.refused += 1;
            return None;
        };
        self.uses[(frame.0 - self.base) as usize] = Use::ONCE;
        self.free -= 1;
        Some(frame)
    }

    fn take_returned(&mut self) -> Option<Frame> {
        let index = self.returned?;
        self.returned = self.uses[index as usize].next();
        Some(Frame(self.base + index))
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

    /// One more holds a frame.
    pub fn share(&mut self, frame: Frame) {
        if let Some(held) = self.held(frame) {
            assert!(held.holders() > 0, "frame {frame:?} shared while free");
            // It cannot overflow: a holder is a place in a node of objects' trees, of 8 bytes.
            held.0 += 1;
        }
    }

    /// One that held a frame does so no longer; when the last does, it is free.
    pub fn free(&mut self, frame: Frame) {
        let (base, returned) = (self.base, self.returned);
        let Some(held) = self.held(frame) else { return };
        assert!(held.holders() > 0, "frame {frame:?} freed twice");
        if *held != Use::ONCE {
            held.0 -= 1;
            return;
        }
        *held = Use::link(returned);
        self.returned = Some(frame.0 - base);
        self.free += 1;
    }

    /// Whether more than one may hold a frame, so that nobody may write to it.
    #[inline]
    pub fn is_shared(&self, frame: Frame) -> bool {
        self.holders(frame) != Some(1)
    }

    /// How many hold a frame; `None` for a foreign one.
    pub fn holders(&self, frame: Frame) -> Option<u32> {
        let held = self.uses.get(frame.0.checked_sub(self.base)? as usize)?;
        (*held != Use::FOREIGN).then(|| held.holders())
    }

    fn held(&mut self, frame: Frame) -> Option<&mut Use> {
        let held = self.uses.get_mut(frame.0.checked_sub(self.base)? as usize)?;
        (*held != Use::FOREIGN).then_some(held)
    }

    /// How many are free.
    pub fn available(&self) -> u64 {
        self.free
    }

    /// How often one was wanted when none was free.
    pub fn refused(&self) -> u64 {
        self.refused
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
    fn a_shared_frame_is_free_when_the_last_has_let_go() {
        let mut frames = frames();
        let frame = frames.allocate().unwrap();
        assert!(!frames.is_shared(frame));
        frames.share(frame);
        frames.share(frame);
        assert_eq!((frames.holders(frame), frames.available()), (Some(3), 3));
        frames.free(frame);
        frames.free(frame);
        assert!(!frames.is_shared(frame));
        frames.free(frame);
        assert_eq!((frames.holders(frame), frames.available()), (Some(0), 4));
    }

    #[test]
    fn foreign_frames_are_everybodys_and_never_free() {
        let mut frames = frames();
        for foreign in [Frame(0), Frame(15), Frame(21), Frame(u32::MAX)] {
            frames.share(foreign);
            frames.free(foreign);
            frames.free(foreign);
            assert!(frames.is_shared(foreign) && frames.holders(foreign).is_none());
        }
        assert_eq!(frames.available(), 4);
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn freeing_what_was_never_taken_is_a_kernel_bug() {
        frames().free(Frame(11));
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
