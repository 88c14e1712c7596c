//! Routines behind the port of a memory object.
//!
//! A send right to such a port is the right to map the object with the protection
//! that the port stands for. The object lives as long as a right to one of its
//! ports or a mapping of it does.
//!
//! An object's size can be changed, and it can be sealed against that and against writing, by
//! whoever has a right that allows writing. Nobody is surprised by it: a mapping that does not
//! say that it bears it ([`BEYOND_END`](crate::vm::MapFlags::BEYOND_END)) keeps its pages.
//!
//! Neighbour: `task`, whose `memory_object_create` and `vm_map` make and use them.

use crate::interface;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Largest memory object, in bytes.
pub const SIZE_MAX: u64 = 1 << 40;
/// Most bytes that [`reserve`] takes at once.
pub const RESERVE_MAX: u64 = 1 << 20;
/// Most tasks in one reply of [`mappers`].
pub const MAPPERS_LISTED: usize = 8;

interface! {
    base 2400;

    /// Size in bytes, pages that have a frame, mappings, and the protection that
    /// this right allows.
    1 info / Info () -> (info: ObjectInfo);

    /// Returns a right to the same object that allows only this protection. Who asks
    /// pays for it.
    ///
    /// `ProtectionFailure`: it is not a part of what this right allows.
    /// `InvalidArgument`: unknown bits, or none. `ResourceShortage`.
    2 derive / Derive (protection: u32, reserved: u32) -> (; object);

    /// Sets the object's size in bytes, which may be 0 and need not be whole pages. What it grows by
    /// is zero. What it shrinks by is lost, frames are free at once, and who has
    /// it mapped finds no page there; the rest of the last page becomes zero. (Unix's `ftruncate`.)
    ///
    /// `ProtectionFailure`: the right does not allow writing. `InvalidArgument`: above [`SIZE_MAX`].
    /// `NoAccess`: sealed against it. `InUse`: it is to shrink, and a mapping that must not reach
    /// beyond its end shows what would go. `Failure`: its pages are a pager's, or the kernel's
    /// own. `ResourceShortage`: to the account of who made it.
    3 set_size / SetSize (size: u64) -> ();

    /// Gives frames to all pages that these bytes are in, at most [`RESERVE_MAX`] bytes in one call,
    /// so that touching them needs none later: to the account of who made the object.
    ///
    /// `ProtectionFailure`: the right does not allow writing. `InvalidArgument`: no bytes, too many,
    /// or not all in the object. `MemoryError`, `MemoryFailure`: as the page's pager says.
    /// `ResourceShortage`: some of the pages may have got theirs.
    4 reserve / Reserve (offset: u64, size: u64) -> ();

    /// Seals the object ([`Seals`]), beside the seals it has. There is no breaking one.
    ///
    /// `ProtectionFailure`: the right does not allow writing. `InvalidArgument`: unknown bits.
    /// `InUse`: it is to be sealed against writing, and a mapping may write, or could be raised to.
    5 seal / Seal (seals: u32, reserved: u32) -> ();

    /// The tasks that map it, with an id ([`TaskInfo::id`](crate::task::TaskInfo)) above `after`, in
    /// the order of their ids. `count` is how many are listed; with fewer than [`MAPPERS_LISTED`]
    /// there are no more. Takes time with the tasks and mappings of the machine.
    6 mappers / Mappers (after: u64) -> (count: u64, list: [Mapper; MAPPERS_LISTED]);

    /// Sets the object's size as [`set_size`] does, but only if it is `from` now. Who has looked at the size and
    /// wants another for that reason undoes nothing that somebody else has done meanwhile.
    ///
    /// As for `set_size`; and `ValueDiffers`: it has another size.
    7 change_size / ChangeSize (from: u64, to: u64) -> ();

    /// Asks to be told once through the send-once right `notify` ([`Unmapped`](crate::notification::Kind::Unmapped))
    /// as soon as nobody maps the object: at once, if nobody does now. Each who asks is told, also if
    /// the object ends with that. The caller pays for the message until it has been received.
    ///
    /// `InvalidCapability`: `notify` is no send-once right to a port that lives. `ResourceShortage`.
    8 notify_unmapped / NotifyUnmapped (; notify) -> ();
}

/// What [`info`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ObjectInfo {
    /// Bytes.
    pub size: u64,
    /// Pages that have been touched.
    pub resident: u64,
    /// Mappings of it, in all tasks.
    pub mappings: u32,
    /// [`Protection`](crate::Protection) bits.
    pub protection: u32,
    /// [`Seals`] bits.
    pub seals: u32,
    /// Always 0.
    pub reserved: u32,
}

/// A task that maps an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Mapper {
    /// Its id.
    pub task: u64,
    /// Bytes of its address space that show the object.
    pub size: u64,
}

bitflags::bitflags! {
    /// What can never be done to an object again.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Seals: u32 {
        /// It does not become smaller.
        const SHRINK = 1;
        /// It does not become larger.
        const GROW = 2;
        /// Nobody maps it for writing, whatever the right allows.
        const WRITE = 4;
    }
}
