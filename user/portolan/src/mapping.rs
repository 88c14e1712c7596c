//! Memory that is mapped into this task, perhaps into others too.
//!
//! Another task may write it at any moment, so it is never lent out as plain
//! bytes: it is read and written by atomic words. Invariant: the range is mapped
//! with the protection noted here, by nothing else, until the [`Mapping`] is dropped.
#![expect(unsafe_code, reason = "an address becomes memory here")]

use crate::Result;
use crate::memory_object::MemoryObject;
use crate::task::{Place, Task, Terms};
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

    /// Maps `size` bytes of the object, rounded up to whole pages, on these terms.
    ///
    /// # Errors
    /// Those of [`Task::map_on`].
    pub fn on(object: &MemoryObject, size: u64, terms: Terms) -> Result<Mapping> {
        let size = size.checked_next_multiple_of(PAGE_SIZE as u64).ok_or(Error::InvalidArgument)?;
        let address = Task::this().map_on(Some(object), size, Place::Anywhere, terms)?;
        Ok(Mapping { address, size, protection: terms.protection })
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
        load(self.words(), offset, into);
        Ok(())
    }

    /// Writes bytes from `offset` on. Their neighbours in the same word are kept, also
    /// if someone writes those meanwhile.
    ///
    /// # Errors
    /// `InvalidAddress`: they do not all fit. `ProtectionFailure`: not mapped for writing.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<()> {
        self.check(offset, from.len(), self.protection.contains(Protection::WRITE))?;
        store(self.words(), offset, from);
        Ok(())
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

/// Reads bytes that begin at `offset` in the words.
fn load(words: &[AtomicU64], offset: usize, into: &mut [u8]) {
    for (at, byte) in (offset..).zip(into) {
        *byte = words[at / WORD].load(Ordering::Relaxed).to_le_bytes()[at % WORD];
    }
}

/// Writes bytes that begin at `offset` in the words: whole words at once.
fn store(words: &[AtomicU64], offset: usize, from: &[u8]) {
    let (start, rest) = from.split_at(from.len().min(offset.next_multiple_of(WORD) - offset));
    store_part(words, offset, start);
    let mut whole = rest.chunks_exact(WORD);
    for (index, bytes) in ((offset + start.len()) / WORD..).zip(&mut whole) {
        let word = u64::from_le_bytes(bytes.try_into().expect("chunks of a word"));
        words[index].store(word, Ordering::Relaxed);
    }
    let end = whole.remainder();
    store_part(words, offset + from.len() - end.len(), end);
}

/// Writes bytes that lie in one word.
fn store_part(words: &[AtomicU64], offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let (mut mask, mut value) = ([0; WORD], [0; WORD]);
    let within = offset % WORD..offset % WORD + bytes.len();
    mask[within.clone()].fill(0xff);
    value[within].copy_from_slice(bytes);
    let (mask, value) = (u64::from_le_bytes(mask), u64::from_le_bytes(value));
    words[offset / WORD].update(Ordering::Relaxed, Ordering::Relaxed, |word| word & !mask | value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_written_anywhere_are_read_back_and_their_neighbours_kept() {
        let from: Vec<u8> = (1..=24).collect();
        for offset in 0..WORD {
            for length in 0..=from.len() {
                let words: [AtomicU64; 4] = core::array::from_fn(|_| AtomicU64::new(u64::MAX));
                store(&words, offset, &from[..length]);
                let mut all = [0; 4 * WORD];
                load(&words, 0, &mut all);
                assert_eq!(&all[offset..offset + length], &from[..length]);
                assert!(all[..offset].iter().chain(&all[offset + length..]).all(|byte| *byte == 0xff));
            }
        }
    }

    #[test]
    fn what_is_not_inside_or_not_allowed_is_refused() {
        let mapping = core::mem::ManuallyDrop::new(Mapping { address: 0, size: 4096, protection: Protection::READ });
        assert_eq!(mapping.read(4090, &mut [0; 7]), Err(Error::InvalidAddress));
        assert_eq!(mapping.read(usize::MAX, &mut [0; 7]), Err(Error::InvalidAddress));
        assert_eq!(mapping.write(0, &[1]), Err(Error::ProtectionFailure));
    }
}
