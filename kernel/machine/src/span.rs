//! Bytes of one frame: what the kernel reads, writes and copies.
//!
//! Invariant: a span lies within its frame. So the backends' memory need not check again where
//! it is, only how long. Neighbours: the backend's `Memory` has the bytes.

use crate::{Frame, PhysAddr};
use portolan_abi::PAGE_SIZE;

/// Bytes of one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    at: PhysAddr,
    size: usize,
}

impl Frame {
    /// `size` bytes of it from `offset` on.
    ///
    /// # Panics
    /// If it has not so many.
    #[must_use]
    #[inline(always)]
    pub fn span(self, offset: usize, size: usize) -> Span {
        match self.whole().part(offset, size) {
            Some(span) => span,
            None => outside(self, offset, size),
        }
    }

    /// All its bytes.
    #[must_use]
    #[inline]
    pub const fn whole(self) -> Span {
        Span::prefix(self, PAGE_SIZE)
    }
}

#[cold]
fn outside(frame: Frame, offset: usize, size: usize) -> ! {
    panic!("{size} bytes at {offset} of {frame:?} are not in it")
}

impl Span {
    /// No bytes.
    pub const EMPTY: Span = Span { at: PhysAddr(0), size: 0 };

    /// The first bytes of a frame, as many as a page has at most.
    #[inline(always)]
    pub(crate) const fn prefix(frame: Frame, size: usize) -> Span {
        debug_assert!(size <= PAGE_SIZE, "a frame has no more bytes than a page");
        Span { at: frame.start(), size }
    }

    /// Where it begins.
    #[must_use]
    #[inline]
    pub const fn start(self) -> PhysAddr {
        self.at
    }

    /// Where it ends.
    #[must_use]
    #[inline]
    pub const fn end(self) -> PhysAddr {
        self.at.plus(self.size)
    }

    /// Its length in bytes.
    #[must_use]
    #[inline]
    pub const fn size(self) -> usize {
        self.size
    }

    /// `size` bytes of it from `offset` on, if it has so many.
    #[must_use]
    #[inline(always)]
    pub const fn part(self, offset: usize, size: usize) -> Option<Span> {
        if offset > self.size || size > self.size - offset {
            return None;
        }
        Some(Span { at: self.at.plus(offset), size })
    }

    /// What it has from `offset` on, at most `most` bytes.
    #[must_use]
    #[inline]
    pub const fn from(self, offset: usize, most: usize) -> Span {
        let left = self.size.saturating_sub(offset);
        Span { at: self.at.plus(self.size - left), size: if left < most { left } else { most } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame(u32::MAX);

    #[test]
    fn a_part_lies_within_the_whole() {
        let span = FRAME.span(100, 200);
        assert_eq!((span.start(), span.size()), (FRAME.start().plus(100), 200));
        assert_eq!(span.part(150, 50), Some(FRAME.span(250, 50)));
        for (offset, size) in [(150, 51), (201, 0), (usize::MAX, 2), (1, usize::MAX)] {
            assert_eq!(span.part(offset, size), None, "{offset}, {size}");
        }
    }

    #[test]
    fn what_is_left_ends_where_the_span_does() {
        let span = FRAME.span(100, 200);
        assert_eq!(span.from(50, 30), FRAME.span(150, 30));
        assert_eq!(span.from(50, 300), FRAME.span(150, 150));
        assert_eq!((span.from(200, 9).size(), span.from(usize::MAX, 9).size()), (0, 0));
    }

    #[test]
    #[should_panic(expected = "are not in it")]
    fn a_span_beyond_its_frame_is_a_bug() {
        let _ = FRAME.span(PAGE_SIZE, 1);
    }
}
