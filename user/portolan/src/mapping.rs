//! Memory that is mapped into this task, perhaps into others too.
//!
//! Another task may write it at any moment, so it is never lent out as plain
//! bytes: it is read and written by atomic words. Invariant: the range is mapped
//! with the protection noted here, by nothing else, until the [`Mapping`] is dropped.
#![expect(unsafe_code, reason = "an address becomes memory here")]

use crate::Result;
use crate::memory_object::MemoryObject;
use crate::task::{Place, Task};
use core::sync::atomic::{AtomicU64, Ordering};
use portolan_abi::{Error, PAGE_SIZE, Protection};

/// A mapped range; dropped, it is unmapped.
#[derive(Debug)]
pub struct Mapping {
    address: u64,
    size: u64,
    protection: Protection,
}

/// Bytes of the words that a mapping is read and written by.
const WORD: usize = size_of::<u64>();

impl Mapping {
    /// Maps the first `size` bytes of the object, or fresh memory, rounded up to whole pages.
    ///
    /// # Errors
    /// Those of [`Task::map`].
    pub fn new(object: Option<&MemoryObject>, size: u64, protection: Protection) -> Result<Mapping> {
        let size = size.checked_next_multiple_of(PAGE_SIZE as u64).ok_or(Error::InvalidArgument)?;
        let address = Task::this().map(object, size, protection, Place::Anywhere)?;
        Ok(Mapping { address, size, protection })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes: whole pages.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// The memory. Reading or writing it where its protection forbids that is a
    /// fault, which ends the task, as is touching a page for which there is no frame.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        let first = core::ptr::with_exposed_provenance::<AtomicU64>(self.address as usize);
        // SAFETY: the range is whole pages, mapped while `self` lives, at no Rust
        // object's place; whatever else writes it does so from outside this program
        // or by the same atomic words.
        unsafe { core::slice::from_raw_parts(first, self.size() / WORD) }
    }

    /// Reads bytes from `offset` on.
    ///
    /// # Errors
    /// `InvalidAddress`: they are not all inside. `ProtectionFailure`: not mapped for reading.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        self.check(offset, into.len(), !self.protection.is_empty())?;
        let words = self.words();
        for (at, byte) in (offset..).zip(into) {
            *byte = words[at / WORD].load(Ordering::Relaxed).to_le_bytes()[at % WORD];
        }
        Ok(())
    }

    /// Writes bytes from `offset` on. Their neighbours in the same word are kept, also
    /// if someone writes those meanwhile.
    ///
    /// # Errors
    /// `InvalidAddress`: they do not all fit. `ProtectionFailure`: not mapped for writing.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<()> {
        self.check(offset, from.len(), self.protection.contains(Protection::WRITE))?;
        let (start, whole) = from.split_at(from.len().min(offset.next_multiple_of(WORD) - offset));
        let mut words = whole.chunks_exact(WORD);
        self.write_part(offset, start);
        for (index, word) in ((offset + start.len()) / WORD..).zip(&mut words) {
            let word = u64::from_le_bytes(word.try_into().expect("chunks of a word"));
            self.words()[index].store(word, Ordering::Relaxed);
        }
        let end = words.remainder();
        self.write_part(offset + from.len() - end.len(), end);
        Ok(())
    }

    /// Writes bytes that lie in one word.
    fn write_part(&self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (mut mask, mut value) = ([0; WORD], [0; WORD]);
        let within = offset % WORD..offset % WORD + bytes.len();
        mask[within.clone()].fill(0xff);
        value[within].copy_from_slice(bytes);
        let (mask, value) = (u64::from_le_bytes(mask), u64::from_le_bytes(value));
        self.words()[offset / WORD]
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(word & !mask | value))
            .expect("the update is never refused");
    }

    /// Whether the range is inside, and the protection allows what is asked.
    fn check(&self, offset: usize, length: usize, allowed: bool) -> Result<()> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size() && allowed => Ok(()),
            Some(end) if end <= self.size() => Err(Error::ProtectionFailure),
            _ => Err(Error::InvalidAddress),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Only a shortage in cutting a mapping in two can fail, and this cuts none.
        let _ = Task::this().unmap(self.address, self.size);
    }
}
