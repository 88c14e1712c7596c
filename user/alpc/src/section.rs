//! Sections: memory that a port's owner shares with the other side, view by view.
//!
//! A [`View`] is a part of a section, mapped here; in a message ([`Message::view`](crate::Message::view)) it is a
//! right to the memory object, with offset and size. Invariant: a section is no smaller than any of its views;
//! what a receiver cannot map as the sender says is no view.
//! Neighbours: `message` carries them; `attributes` has the limits.

use crate::attributes::PortAttributes;
use crate::status::{Result, Status};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::abi::PAGE_SIZE;
use portolan::abi::vm::MapFlags;
use portolan::task::Terms;
use portolan::{Mapping, MemoryObject, Protection};

/// Sections are as large as a multiple of this, in bytes.
pub const GRANULARITY: u64 = 0x1_0000;

/// Memory to be shared. Dropped, it counts no more against its port's limit; views of it stay.
#[derive(Debug)]
#[must_use = "a section is of use by its views"]
pub struct Section {
    object: MemoryObject,
    size: u64,
    asked: u64,
    max_view_size: u64,
    total: Arc<AtomicU64>,
}

impl Section {
    /// One of `size` bytes, rounded up to the granularity. The limits go by what is asked for.
    pub(crate) fn create(size: u64, limits: &PortAttributes, total: &Arc<AtomicU64>) -> Result<Section> {
        if size == 0 {
            return Err(Status::InvalidParameter);
        }
        if size > limits.max_section_size {
            return Err(Status::SectionTooBig);
        }
        let add = |sum: u64| sum.checked_add(size).filter(|sum| *sum <= limits.max_total_section_size);
        total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| Status::SectionTooBig)?;
        let rounded = size.next_multiple_of(GRANULARITY);
        let object = MemoryObject::create(rounded).inspect_err(|_| {
            total.fetch_sub(size, Ordering::Relaxed);
        })?;
        let max_view_size = limits.max_view_size;
        Ok(Section { object, size: rounded, asked: size, max_view_size, total: Arc::clone(total) })
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Maps a part of it, from a page's beginning on, for reading and writing; whoever is sent the view may do what
    /// `receiver` says.
    ///
    /// # Errors
    /// `InvalidViewSize`: empty, not inside, not at a page, or larger than the port allows. `InsufficientResources`.
    pub fn view(&self, offset: u64, size: u64, receiver: Protection) -> Result<View> {
        check(offset, size, self.size, self.max_view_size)?;
        let object = self.object.derive(receiver)?;
        let mapping = Mapping::on(&self.object, size, Terms { offset, ..Terms::default() })?;
        Ok(View { mapping, object, offset, size })
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.total.fetch_sub(self.asked, Ordering::Relaxed);
    }
}

/// A part of a section, mapped here. Dropped, it is unmapped.
#[derive(Debug)]
#[must_use = "dropping a view unmaps it"]
pub struct View {
    mapping: Mapping,
    /// With as much permission as the receiver of the view is to have.
    object: MemoryObject,
    offset: u64,
    size: u64,
}

impl View {
    /// The view that a message tells of. `copied`: its bytes as they are now, whatever the sender writes later.
    pub(crate) fn arrived(object: MemoryObject, offset: u64, size: u64, max: u64, copied: bool) -> Result<View> {
        let info = object.info()?;
        check(offset, size, info.size, max)?;
        let allowed = Protection::from_bits_truncate(info.protection) & Protection::READ_WRITE;
        let (protection, flags) = match copied {
            true => (Protection::READ_WRITE, MapFlags::COPY),
            false => (allowed, MapFlags::empty()),
        };
        let mapping = Mapping::on(&object, size, Terms { offset, protection, flags, ..Terms::default() })?;
        Ok(View { mapping, object, offset, size })
    }

    /// The memory.
    #[must_use]
    pub fn memory(&self) -> &Mapping {
        &self.mapping
    }

    /// Where it begins in its section.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn object(&self) -> &MemoryObject {
        &self.object
    }
}

/// Whether a view of a section of `whole` bytes is one.
fn check(offset: u64, size: u64, whole: u64, max: u64) -> Result<()> {
    let inside = offset.checked_add(size).is_some_and(|end| end <= whole);
    let good = size > 0 && size <= max && inside && offset.is_multiple_of(PAGE_SIZE as u64);
    if good { Ok(()) } else { Err(Status::InvalidViewSize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_inside_its_section_at_a_page_and_not_too_large() {
        assert_eq!(check(0x1000, 0x1000, 0x2000, 0x1000), Ok(()));
        for (offset, size) in [(0, 0), (0, 0x1001), (0x1000, 0x1001), (0x800, 1), (!0xfff, 0x1000)] {
            assert_eq!(check(offset, size, 0x2000, 0x1000), Err(Status::InvalidViewSize));
        }
    }
}
