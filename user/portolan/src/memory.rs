//! Memory that is this task's alone, and travels in messages: to be filled and sent, or
//! as it has come.
//!
//! Whole pages are never copied on the way: the other side has the same ones, until one
//! of both writes. Invariant: the pages around the bytes are mapped for reading and writing,
//! at no other Rust object's place, until the [`Memory`] is dropped.
//! Neighbours: `message` sends it, `receive` brings it; `mapping` is memory that others see.
#![expect(unsafe_code, reason = "an address becomes memory here")]

use crate::Result;
use crate::task::{Place, Task};
use core::fmt;
use core::ops::{Deref, DerefMut};
use portolan_abi::message::Descriptor;
use portolan_abi::{PAGE_SIZE, Protection};

/// Bytes in pages of their own; dropped, they are unmapped.
pub struct Memory {
    address: usize,
    size: usize,
}

impl Memory {
    /// `size` bytes of zeros.
    ///
    /// # Errors
    /// `NoSpace`, `ResourceShortage`.
    pub fn zeroed(size: usize) -> Result<Memory> {
        let address = match size {
            0 => 0,
            _ => Task::this().map(None, size as u64, Protection::READ_WRITE, Place::Anywhere)?,
        };
        Ok(Memory { address: address as usize, size })
    }

    /// Takes over the region that a descriptor of a received message tells of.
    pub(crate) fn arrived(descriptor: &Descriptor) -> Memory {
        Memory { address: descriptor.address as usize, size: descriptor.size as usize }
    }

    /// As it stands in a message that moves it.
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::memory(self.address as u64, self.size as u64, Descriptor::MOVE)
    }

    /// The message has been sent: it is the receiver's now.
    pub(crate) fn sent(self) {
        core::mem::forget(self);
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.size == 0 {
            return &[];
        }
        // SAFETY: the bytes are mapped while `self` lives, and nothing else writes them.
        unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(self.address), self.size) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.size == 0 {
            return &mut [];
        }
        // SAFETY: the bytes are mapped while `self` lives, and `self` is the only way to them.
        unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(self.address), self.size) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.size > 0 {
            let skip = self.address % PAGE_SIZE;
            // Only a shortage in cutting a mapping in two can fail, and this cuts none.
            let _ = Task::this().unmap((self.address - skip) as u64, (skip + self.size) as u64);
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} bytes at {:#x})", self.size, self.address)
    }
}
