//! Memory as both sides speak of it: pages, protections, the user's half; and the routines on a
//! task's memory, which are behind the task's kernel port.
//!
//! Invariant: no mapping is ever both writable and executable, and neither the
//! first page nor the last page below the canonical hole is ever mapped (a
//! `syscall` there would return to a non-canonical address); and a task's memory consists of
//! [`REGIONS_MAX`] regions at most.

use crate::interface;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

interface! {
    base 3800;

    /// Maps `size` bytes of the memory object whose right is in the message, from
    /// `offset`, or fresh zero-filled memory if that is null, at `address`, or anywhere
    /// if `flags` ([`MapFlags`](crate::vm::MapFlags)) say so; or a copy of them as they are now, if
    /// flags say so. Flags may also allow it to reach beyond the object's end
    /// ([`BEYOND_END`](crate::vm::MapFlags::BEYOND_END)). `protection` ([`Protection`](crate::Protection) bits) can later be raised up to
    /// `maximum`, and to no more than the right allows; `inheritance` ([`Inheritance`](crate::vm::Inheritance)) is for child tasks.
    /// `size` is rounded up to whole pages. Pages come when they are touched.
    /// Returns the address. (Mach's `vm_map` and `vm_allocate`.)
    ///
    /// `InvalidArgument`: size 0, fresh memory of more than
    /// [`SIZE_MAX`](crate::memory_object::SIZE_MAX) bytes, address or offset not at a page, the object ends
    /// before `offset + size`, unknown bits, writable and executable at once (`maximum` may
    /// be both). `InvalidAddress`: outside user memory. `NoSpace`: the range is taken, or none
    /// is free. `ProtectionFailure`: `maximum` or the right allows less than
    /// `protection`; for a copy, the right does not allow reading. `InvalidCapability`:
    /// the right is not a memory object's. `ResourceShortage`.
    1 vm_map / VmMap (address: u64, size: u64, offset: u64, protection: u32, maximum: u32, inheritance: u32, flags: u32; object) -> (address: u64);

    /// Unmaps all pages in the range; what was not mapped is passed over. Frames that
    /// nobody can reach any more are free at once.
    ///
    /// `InvalidArgument`: size 0, or address not at a page. `InvalidAddress`.
    /// `ResourceShortage`: cutting a mapping in two needs memory that is not there.
    2 vm_deallocate / VmDeallocate (address: u64, size: u64) -> ();

    /// Sets the protection of all pages in the range, all of which must be mapped; or,
    /// if `set_maximum` is 1, what it can be raised to, and takes away what is above that.
    ///
    /// `InvalidArgument`, `InvalidAddress`: as above, or not all mapped, or `set_maximum`
    /// neither 0 nor 1. `ProtectionFailure`: more than the maximum so far. `ResourceShortage`.
    3 vm_protect / VmProtect (address: u64, size: u64, protection: u32, set_maximum: u32) -> ();

    /// Makes a memory object of `size` bytes, rounded up to whole pages, all zero;
    /// frames are charged to this task's account when pages are first touched.
    /// Returns a send right that allows everything.
    ///
    /// `InvalidArgument`: size 0 or above [`SIZE_MAX`](crate::memory_object::SIZE_MAX). `ResourceShortage`.
    4 memory_object_create / MemoryObjectCreate (size: u64) -> (; object);

    /// Makes a memory object whose pages a pager makes up when they are touched: a
    /// [`PageRequest`](crate::pager::PageRequest) then comes to the port whose send right is in the message,
    /// and calls the object `cookie`. Returns a send right that allows everything, and the pager's
    /// control right ([`pager`](crate::pager)).
    ///
    /// `InvalidArgument`: as for `memory_object_create`. `InvalidCapability`: not a send right to a
    /// port at which a task can receive. `ResourceShortage`.
    11 memory_object_create_paged / MemoryObjectCreatePaged (size: u64, cookie: u64; pager) -> (; object, control);

    /// Sets what a child task that inherits memory gets of all pages in the range, all of
    /// which must be mapped.
    ///
    /// `InvalidArgument`: size 0, address not at a page, no [`Inheritance`](crate::vm::Inheritance).
    /// `InvalidAddress`: as above, or not all mapped. `ResourceShortage`.
    5 vm_inherit / VmInherit (address: u64, size: u64, inheritance: u32, reserved: u32) -> ();

    /// The first region that ends after `address`. Each time asked with the end of the
    /// last one, it goes through the whole map. (Mach's `vm_region`.)
    ///
    /// `InvalidAddress`: there is none.
    6 vm_region / VmRegion (address: u64) -> (info: RegionInfo);

    /// Reads `size` bytes, at most [`INLINE_MAX`](crate::vm::INLINE_MAX), at any alignment, into
    /// the reply itself; the rest of `data` is zero.
    ///
    /// `InvalidArgument`: size 0, or larger. `InvalidAddress`: not all mapped. `ProtectionFailure`:
    /// not readable. `ResourceShortage`: no memory for a page that is not there yet. `MemoryError`,
    /// `MemoryFailure`: a page that its pager has refused, or will never supply.
    7 vm_peek / VmPeek (address: u64, size: u64) -> (data: [u8; INLINE_MAX]);

    /// Writes the first `size` bytes of `data`, at any alignment: all of them or none.
    ///
    /// As for `vm_peek`; `ProtectionFailure`: not writable.
    8 vm_poke / VmPoke (address: u64, size: u64, data: [u8; INLINE_MAX]) -> ();

    /// Reads `size` bytes, at any alignment: a copy of them comes out of line with the reply, and
    /// is the receiver's. Of whole pages no bytes are copied, as for `vm_copy`. (Mach's `vm_read`.)
    ///
    /// `InvalidArgument`: size 0. `InvalidAddress`: not all mapped. `ProtectionFailure`: not
    /// readable. `ResourceShortage`: the caller's account pays for the copy until it is received.
    12 vm_read / VmRead (address: u64, size: u64) -> ([data]);

    /// Writes the memory that comes with the request over that at `address`, at any alignment:
    /// all of it or nothing. Of whole pages that are written over private memory no bytes are
    /// copied. (Mach's `vm_write`.)
    ///
    /// `InvalidArgument`: no bytes. `InvalidAddress`: not all mapped. `ProtectionFailure`: not
    /// writable. `ResourceShortage`: this task's account pays for the new pages before what was
    /// there is given back. `BadArguments`: no memory came.
    13 vm_write / VmWrite (address: u64 [data]) -> ();

    /// Copies `size` bytes from `source` over those at `target`, both of this task, of any
    /// alignment, and as if at one moment if they overlap. Of whole pages from private
    /// memory (which no right stands for and no other task inherited) no bytes are copied before one of the two is
    /// written. (Mach's `vm_copy`.)
    ///
    /// `InvalidArgument`: size 0. `InvalidAddress`: not all mapped. `ProtectionFailure`:
    /// the source not readable, or the target not writable. `ResourceShortage`: the
    /// account pays for the copy before what was there is given back. The target is
    /// then as before.
    9 vm_copy / VmCopy (source: u64, size: u64, target: u64) -> ();

    /// Figures of the task's map, and of the machine's memory. (Mach's `vm_statistics`.)
    10 vm_statistics / VmStatistics () -> (statistics: Statistics);
}

/// Most bytes that `vm_peek` and `vm_poke` carry.
pub const INLINE_MAX: usize = 64;
/// Most regions that a task's memory can consist of: what would make more gets `ResourceShortage`.
pub const REGIONS_MAX: usize = 1 << 17;

/// What a child task gets of its parent's region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Inheritance {
    /// The same memory: each sees what the other writes.
    Share = 0,
    /// A copy, from the moment the child is made.
    #[default]
    Copy = 1,
    /// Nothing.
    None = 2,
}

impl Inheritance {
    /// The one with this code.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Inheritance> {
        match code {
            0 => Some(Inheritance::Share),
            1 => Some(Inheritance::Copy),
            2 => Some(Inheritance::None),
            _ => None,
        }
    }
}

/// What [`vm_region`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct RegionInfo {
    /// Its first byte.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// The byte of its memory object that it begins with.
    pub offset: u64,
    /// Bytes of that object.
    pub object_size: u64,
    /// Pages of that object that have a frame.
    pub object_resident: u64,
    /// Regions, in all tasks, that show a part of it.
    pub object_mappings: u32,
    /// 1 if others may see it: a right has stood for it, or a child inherited it shared.
    pub shared: u32,
    /// [`Protection`] bits now.
    pub protection: u32,
    /// Those it can be raised to.
    pub maximum: u32,
    /// An [`Inheritance`].
    pub inheritance: u32,
    /// Always 0.
    pub reserved: u32,
}

/// What [`vm_statistics`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Statistics {
    /// Bytes that the task's regions cover.
    pub virtual_size: u64,
    /// Its regions.
    pub regions: u64,
    /// Frames of its page tables.
    pub tables: u64,
    /// Pages of the machine that were filled with zeros when touched, since start.
    pub zero_fills: u64,
    /// Pages of the machine whose bytes were copied, since start: written while shared,
    /// or copied from memory that others can see.
    pub copies: u64,
    /// Frames of the machine that are free.
    pub free_frames: u64,
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
    /// How `vm_map` chooses the address, and what it maps.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MapFlags: u32 {
        /// Anywhere; the address given is ignored.
        const ANYWHERE = 1;
        /// A copy of the object's pages, private to the task.
        const COPY = 2;
        /// The mapping may reach beyond the object's end, now or when the object has shrunk: to touch a
        /// page there is an exception with code [`BeyondEnd`](crate::Error::BeyondEnd). An object never
        /// shrinks below the end of a mapping without this flag.
        const BEYOND_END = 4;
    }
}
