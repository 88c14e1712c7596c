//! Memory objects: pages that several tasks can map.
//!
//! A right to one can be sent in a message, also one with less permission.
//! Neighbour: `mapping`, an object as one's own task sees it.

use crate::Result;
use crate::interface::MsgRpc;
use crate::mapping::Mapping;
use crate::right::SendRight;
use crate::task::Task;
use portolan_abi::Protection;
use portolan_abi::memory_object::{self, ObjectInfo};

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

    /// Maps the whole object into this task.
    ///
    /// # Errors
    /// `ProtectionFailure`: the right allows less. `NoSpace`, `ResourceShortage`.
    pub fn map(&self, protection: Protection) -> Result<Mapping> {
        Mapping::new(Some(self), self.info()?.size, protection)
    }
}
