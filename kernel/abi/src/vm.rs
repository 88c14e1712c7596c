//! Memory as both sides speak of it: pages, protections, the user's half.
//!
//! Invariant: no mapping is ever both writable and executable, and neither the
//! first page nor the last page below the canonical hole is ever mapped (a
//! `syscall` there would return to a non-canonical address).

/// Bytes of a page.
pub const PAGE_SIZE: usize = 4096;
/// Lowest address that can be mapped.
pub const USER_START: u64 = 0x1000;
/// First address above what can be mapped.
pub const USER_END: u64 = 0x7fff_ffff_f000;
/// Where the kernel starts to look for a free range.
pub const ANYWHERE_START: u64 = 0x1_0000_0000;

bitflags::bitflags! {
    /// What may be done to a page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct Protection: u32 {
        /// Reading.
        const READ = 1;
        /// Writing; implies reading on this machine.
        const WRITE = 2;
        /// Executing; implies reading on this machine.
        const EXECUTE = 4;
    }
}

impl Protection {
    /// Reading and writing.
    pub const READ_WRITE: Protection = Protection::READ.union(Protection::WRITE);
    /// Reading and executing.
    pub const READ_EXECUTE: Protection = Protection::READ.union(Protection::EXECUTE);

    /// What this machine makes of it: whoever may write or execute may read. The kernel
    /// grants and shows protections in this form only.
    #[must_use]
    pub const fn with_implied(self) -> Protection {
        if self.is_empty() { self } else { self.union(Protection::READ) }
    }

    /// Whether it is writable and executable at once, which is refused everywhere.
    #[must_use]
    pub const fn breaks_w_xor_x(self) -> bool {
        self.contains(Protection::WRITE) && self.contains(Protection::EXECUTE)
    }
}

bitflags::bitflags! {
    /// How `vm_map` chooses the address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MapFlags: u32 {
        /// Anywhere; the address given is ignored.
        const ANYWHERE = 1;
    }
}
