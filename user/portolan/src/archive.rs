//! The boot archive: the files that came with the kernel, programs among them.
//!
//! Invariant: the archive is never written; the rights to it that are handed out
//! allow reading only. Neighbour: `program` reads what is in the files.
#![expect(unsafe_code, reason = "the archive is lent out as plain bytes, which only its being constant allows")]

use crate::Result;
use crate::mapping::Mapping;
use crate::memory_object::MemoryObject;
use crate::task::Terms;
use alloc::string::String;
use core::mem::forget;
use core::ptr::with_exposed_provenance;
use portolan_abi::vm::Inheritance;
use portolan_abi::{Error, Protection};
use tar_no_std::{ArchiveEntry, TarArchiveRef};

/// The archive, mapped for as long as the task lives.
#[derive(Debug)]
pub struct Archive(TarArchiveRef<'static>);

impl Archive {
    /// Maps the first `size` bytes of the archive's memory object. Heirs share them, and pay nothing for them.
    ///
    /// # Errors
    /// `InvalidArgument`: the bytes are no archive. Those of [`Mapping::new`].
    pub fn map(object: &MemoryObject, size: u64) -> Result<Archive> {
        let terms = Terms { inheritance: Inheritance::Share, protection: Protection::READ, ..Terms::default() };
        let mapping = Mapping::on(object, size, terms)?;
        let first = with_exposed_provenance::<u8>(mapping.address() as usize);
        // SAFETY: the bytes are mapped, for ever by the next line, and constant.
        let bytes = unsafe { core::slice::from_raw_parts(first, size as usize) };
        forget(mapping);
        TarArchiveRef::new(bytes).map(Archive).map_err(|_| Error::InvalidArgument)
    }

    /// The files: names and bytes.
    pub fn files(&self) -> impl Iterator<Item = (String, &'static [u8])> + '_ {
        let named = |entry: ArchiveEntry<'static>| Some((entry.filename().as_str().ok()?.into(), entry.data()));
        self.0.entries().filter_map(named)
    }

    /// The file with this name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&'static [u8]> {
        let entry = self.0.entries().find(|entry| entry.filename().as_str() == Ok(name))?;
        Some(entry.data())
    }
}
