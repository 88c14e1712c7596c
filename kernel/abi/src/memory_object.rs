//! Routines behind the port of a memory object.
//!
//! A send right to such a port is the right to map the object with the protection
//! that the port stands for. The object lives as long as a right to one of its
//! ports or a mapping of it does.
//!
//! Neighbour: `task`, whose `memory_object_create` and `vm_map` make and use them.

use crate::interface;

/// Largest memory object, in bytes.
pub const SIZE_MAX: u64 = 1 << 40;

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
}

/// What [`info`] returns.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    zerocopy::IntoBytes,
    zerocopy::FromBytes,
    zerocopy::KnownLayout,
    zerocopy::Immutable,
)]
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
}
