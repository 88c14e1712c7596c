//! I/O ports: the processor's second address space, of 65,536 bytes, in which old devices are.
//!
//! Neighbour: the backend's `IoPorts` reads and writes them.

/// Ports in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoRange {
    first: u16,
    count: u32,
}

/// How much is read or written at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Word,
    /// 32 bits.
    Long,
}

impl Width {
    /// The width of so many bytes; `None` for none that the processor has.
    #[must_use]
    pub const fn of(bytes: u32) -> Option<Width> {
        match bytes {
            1 => Some(Width::Byte),
            2 => Some(Width::Word),
            4 => Some(Width::Long),
            _ => None,
        }
    }

    const fn bytes(self) -> u32 {
        match self {
            Width::Byte => 1,
            Width::Word => 2,
            Width::Long => 4,
        }
    }
}

impl IoRange {
    /// How many ports there are.
    pub const PORTS: u32 = 0x1_0000;
    /// The first serial line, which is the kernel's debug console.
    pub const CONSOLE: IoRange = IoRange { first: 0x3f8, count: 8 };
    /// What the machine itself stands on: the two interrupt controllers, what sets their
    /// triggers, and QEMU's debug exit. Nobody else may touch these.
    pub const OWN: [IoRange; 4] = [
        IoRange { first: 0x20, count: 2 },
        IoRange { first: 0xa0, count: 2 },
        IoRange { first: 0xf4, count: 4 },
        IoRange { first: 0x4d0, count: 2 },
    ];

    /// `count` ports from `first` on; `None` if there are none, or not so many.
    #[must_use]
    pub const fn new(first: u32, count: u32) -> Option<IoRange> {
        match first.checked_add(count) {
            Some(end) if count > 0 && end <= Self::PORTS => Some(IoRange { first: first as u16, count }),
            _ => None,
        }
    }

    /// The first port.
    #[must_use]
    pub const fn first(self) -> u32 {
        self.first as u32
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Their numbers.
    pub fn ports(self) -> impl Iterator<Item = u32> {
        self.first()..self.first() + self.count
    }

    /// The port `offset` after the first, if the range has all of what an access there touches.
    #[must_use]
    pub const fn at(self, offset: u32, width: Width) -> Option<u16> {
        match offset.checked_add(width.bytes()) {
            Some(end) if end <= self.count => Some(self.first + offset as u16),
            _ => None,
        }
    }

    /// Whether they have a port in common.
    #[must_use]
    pub const fn overlaps(self, other: IoRange) -> bool {
        self.first() < other.first() + other.count && other.first() < self.first() + self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_the_ports_do() {
        assert_eq!(IoRange::new(0xffff, 1).map(IoRange::first), Some(0xffff));
        assert!(IoRange::new(0, 0x1_0000).is_some());
        for (first, count) in [(0, 0), (0xffff, 2), (0x1_0000, 1), (u32::MAX, 1), (1, u32::MAX)] {
            assert_eq!(IoRange::new(first, count), None, "{first:#x}, {count:#x}");
        }
    }

    #[test]
    fn an_access_lies_within_the_range() {
        let range = IoRange::new(0xfff8, 8).expect("a range");
        assert_eq!(range.at(7, Width::Byte), Some(0xffff));
        assert_eq!((range.at(4, Width::Long), range.at(5, Width::Long)), (Some(0xfffc), None));
        assert_eq!((range.at(8, Width::Byte), range.at(u32::MAX, Width::Word)), (None, None));
    }

    #[test]
    fn ranges_overlap_where_they_share_a_port() {
        let range = |first, count| IoRange::new(first, count).expect("a range");
        assert!(range(0x3f0, 9).overlaps(IoRange::CONSOLE));
        assert!(!range(0x3f0, 8).overlaps(IoRange::CONSOLE) && !range(0x400, 8).overlaps(IoRange::CONSOLE));
    }
}
