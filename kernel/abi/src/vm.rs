//! Memory as both sides speak of it: pages, protections, the user's half; and the routines on a
//! task's memory, which are behind the task's kernel port.
//!
//! Invariant: no mapping is ever both writable and executable, and neither the
//! first page nor the last page below the canonical hole is ever mapped (a
//! `syscall` there would return to a non-canonical address).

use crate::interface;

interface! {
    base 3800;

    /// Maps `size` bytes of the memory object whose right is in the message, from
    /// `offset`, or fresh zero-filled memory if that is null, with this protection
    /// ([`Protection`](crate::Protection) bits), at `address`, or anywhere if `flags` ([`MapFlags`](crate::vm::MapFlags)) say so.
    /// `size` is rounded up to whole pages. Pages come when they are touched.
    /// Returns the address.
    ///
    /// `InvalidArgument`: size 0, address or offset not at a page, the object ends
    /// before `offset + size`, unknown bits, writable and executable at once.
    /// `InvalidAddress`: outside user memory. `NoSpace`: the range is taken, or none
    /// is free. `ProtectionFailure`: the right allows less. `InvalidCapability`:
    /// the right is not a memory object's. `ResourceShortage`.
    1 vm_map / VmMap (address: u64, size: u64, offset: u64, protection: u32, flags: u32; object) -> (address: u64);

    /// Unmaps all pages in the range; what was not mapped is passed over.
    ///
    /// `InvalidArgument`: size 0, or address not at a page. `InvalidAddress`.
    /// `ResourceShortage`: cutting a mapping in two needs memory that is not there.
    2 vm_deallocate / VmDeallocate (address: u64, size: u64) -> ();

    /// Sets the protection of all pages in the range, all of which must be mapped.
    ///
    /// `InvalidArgument`, `InvalidAddress`: as above, or not all mapped.
    /// `ProtectionFailure`: more than the right allowed. `ResourceShortage`.
    3 vm_protect / VmProtect (address: u64, size: u64, protection: u32, reserved: u32) -> ();

    /// Makes a memory object of `size` bytes, rounded up to whole pages, all zero;
    /// frames are charged to this task's account when pages are first touched.
    /// Returns a send right that allows everything.
    ///
    /// `InvalidArgument`: size 0 or above [`SIZE_MAX`](crate::memory_object::SIZE_MAX). `ResourceShortage`.
    4 memory_object_create / MemoryObjectCreate (size: u64) -> (; object);
}

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
