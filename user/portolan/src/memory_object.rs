//! Memory objects: pages that several tasks can map.
//!
//! A right to one can be sent in a message, also one with less permission.
//! Neighbour: `mapping`, an object as one's own task sees it.

use crate::Result;
use crate::interface::MsgRpc;
use crate::mapping::Mapping;
use crate::right::{Right, SendRight};
use crate::task::Task;
use alloc::vec::Vec;
use core::ops::Range;
use portolan_abi::Protection;
use portolan_abi::memory_object::{self, MAPPERS_LISTED, Mapper, ObjectInfo, RESERVE_MAX, Seals};

/// A memory object, by a send right that allows to map it with some protection.
#[derive(Debug, PartialEq, Eq)]
pub struct MemoryObject(SendRight);

impl MemoryObject {
    /// A new one of `size` bytes, rounded up to whole pages, all zero.
    ///
    /// # Errors
    /// `InvalidArgument`: 0 or too large. `ResourceShortage`.
    pub fn create(size: u64) -> Result<MemoryObject> {
        Task::this().memory_object(size)
    }

    /// The object that this right is to.
    #[must_use]
    pub fn from_right(right: SendRight) -> MemoryObject {
        MemoryObject(right)
    }

    /// The right, to be copied into a message.
    pub fn right(&self) -> &SendRight {
        &self.0
    }

    /// The right, to be moved.
    pub fn into_right(self) -> SendRight {
        self.0
    }

    /// Size, pages in use, mappings, and what this right allows.
    ///
    /// # Errors
    /// Those of the call.
    pub fn info(&self) -> Result<ObjectInfo> {
        Ok(memory_object::info(&MsgRpc, self.0.name())?.results.info)
    }

    /// A right to the same object that allows only this.
    ///
    /// # Errors
    /// `ProtectionFailure`: this right does not allow it itself. `InvalidArgument`, `ResourceShortage`.
    pub fn derive(&self, protection: Protection) -> Result<MemoryObject> {
        let derived = memory_object::derive(&MsgRpc, self.0.name(), protection.bits(), 0)?;
        Ok(MemoryObject(SendRight::from_name(derived.rights[0])))
    }

    /// Sets its size in bytes. What it grows by is zero.
    ///
    /// # Errors
    /// `ProtectionFailure`: the right does not allow writing. `InvalidArgument`: too large.
    /// `NoAccess`: sealed. `InUse`: it would shrink below the end of a mapping that did not agree.
    /// `Failure`: its pages are a pager's. `ResourceShortage`.
    pub fn set_size(&self, size: u64) -> Result<()> {
        memory_object::set_size(&MsgRpc, self.0.name(), size).map(drop)
    }

    /// Sets its size as [`set_size`](MemoryObject::set_size) does, but only if it is `from` now.
    ///
    /// # Errors
    /// Those of `set_size`; `ValueDiffers`: it has another.
    pub fn change_size(&self, from: u64, to: u64) -> Result<()> {
        memory_object::change_size(&MsgRpc, self.0.name(), from, to).map(drop)
    }

    /// Gives all pages that these bytes are in frames, so that touching them needs none later.
    ///
    /// # Errors
    /// Those of [`reserve`](memory_object::reserve); some pages may then have got theirs.
    pub fn reserve(&self, bytes: Range<u64>) -> Result<()> {
        let mut offset = bytes.start;
        while offset < bytes.end {
            let size = (bytes.end - offset).min(RESERVE_MAX);
            memory_object::reserve(&MsgRpc, self.0.name(), offset, size)?;
            offset += size;
        }
        Ok(())
    }

    /// Seals it, for ever.
    ///
    /// # Errors
    /// `ProtectionFailure`: the right does not allow writing. `InUse`: somebody may write to it.
    pub fn seal(&self, seals: Seals) -> Result<()> {
        memory_object::seal(&MsgRpc, self.0.name(), seals.bits(), 0).map(drop)
    }

    /// The tasks that map it, in the order of their ids.
    ///
    /// # Errors
    /// Those of the call.
    pub fn mappers(&self) -> Result<Vec<Mapper>> {
        let mut all: Vec<Mapper> = Vec::new();
        loop {
            let after = all.last().map_or(0, |mapper| mapper.task);
            let part = memory_object::mappers(&MsgRpc, self.0.name(), after)?.results;
            let count = (part.count as usize).min(MAPPERS_LISTED);
            all.extend_from_slice(&part.list[..count]);
            if count < MAPPERS_LISTED {
                return Ok(all);
            }
        }
    }

    /// Asks to be told ([`Notice::Unmapped`](crate::Notice::Unmapped)) as soon as nobody maps it, in any task.
    ///
    /// # Errors
    /// `InvalidCapability`: not a right that can be told through. `ResourceShortage`.
    pub fn request_unmapped(&self, to: Right<'_>) -> Result<()> {
        memory_object::notify_unmapped(&MsgRpc, self.0.name(), to.descriptor())?;
        to.sent();
        Ok(())
    }

    /// Maps the whole object into this task.
    ///
    /// # Errors
    /// `ProtectionFailure`: the right allows less. `NoSpace`, `ResourceShortage`.
    pub fn map(&self, protection: Protection) -> Result<Mapping> {
        Mapping::new(Some(self), self.info()?.size, protection)
    }
}
