//! Addresses, frames and the processor's units, as types.
//!
//! Invariant: arithmetic on an address from user space is explicit; nothing here
//! adds to one silently. Neighbours: everything.

use portolan_abi::PAGE_SIZE;

/// A physical address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct PhysAddr(pub u64);

/// A virtual address, not yet known to be anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct VirtAddr(pub u64);

/// One page of physical memory, by number: its address divided by the page size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Frame(pub u32);

impl PhysAddr {
    /// The address `offset` bytes further.
    #[must_use]
    #[inline]
    pub const fn plus(self, offset: usize) -> PhysAddr {
        PhysAddr(self.0 + offset as u64)
    }

    /// The frame it is in.
    #[must_use]
    #[inline]
    pub const fn frame(self) -> Frame {
        Frame((self.0 / PAGE_SIZE as u64) as u32)
    }

    /// Its distance from its frame's first byte.
    #[must_use]
    #[inline]
    pub const fn offset(self) -> usize {
        self.0 as usize & (PAGE_SIZE - 1)
    }
}

impl VirtAddr {
    /// Its page's first byte.
    #[must_use]
    #[inline]
    pub const fn page(self) -> VirtAddr {
        VirtAddr(self.0 & !(PAGE_SIZE as u64 - 1))
    }

    /// Its distance from its page's first byte.
    #[must_use]
    #[inline]
    pub const fn offset(self) -> usize {
        self.0 as usize & (PAGE_SIZE - 1)
    }
}

impl Frame {
    /// The address of its first byte.
    #[must_use]
    #[inline]
    pub const fn start(self) -> PhysAddr {
        PhysAddr((self.0 as u64) * PAGE_SIZE as u64)
    }
}

/// Frames from `start` up to, not including, `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameRange {
    /// The first.
    pub start: Frame,
    /// The one after the last.
    pub end: Frame,
}

impl FrameRange {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.end.0 - self.start.0) as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end.0 <= self.start.0
    }
}

/// A processor, numbered from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CpuId(pub u16);

/// Nanoseconds since the machine started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(transparent)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `ms` milliseconds later; the end of time if that is past it.
    #[must_use]
    pub const fn plus_ms(self, ms: u32) -> Instant {
        Instant(self.0.saturating_add(ms as u64 * 1_000_000))
    }
}
