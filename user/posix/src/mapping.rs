//! Mappings: `mmap`, `munmap`, `mprotect`, `msync`.
//!
//! All are calls of the kernel's alone. A shared mapping that ends within its object keeps its pages, as the object
//! then cannot shrink below that end; one that reaches beyond it faults there with
//! [`BeyondEnd`](portolan::Error::BeyondEnd), Unix's `SIGBUS`. A private mapping is a copy of what the object
//! holds when it is mapped. What a child gets is as in POSIX: the same memory if it is shared, a copy if it is
//! private.
//!
//! Numbers are those of Linux. Neighbour: `descriptor`, what is mapped.

use crate::descriptor::{Descriptor, Open};
use crate::{Errno, Result, Wish};
use portolan::abi::PAGE_SIZE;
use portolan::abi::memory_object::{SIZE_MAX, Seals};
use portolan::abi::vm::{Inheritance, MapFlags, USER_END};
use portolan::task::{Place, Terms};
use portolan::{Error, Mapping, Protection, Task};

/// Nothing.
pub const PROT_NONE: u32 = 0;
/// Reading.
pub const PROT_READ: u32 = 1;
/// Writing, and with it reading.
pub const PROT_WRITE: u32 = 2;
/// Running, and with it reading.
pub const PROT_EXEC: u32 = 4;

/// Who maps the same sees what is written.
pub const MAP_SHARED: u32 = 1;
/// A copy of one's own.
pub const MAP_PRIVATE: u32 = 2;
/// As [`MAP_SHARED`]; flags that are not known are refused, which they are for all.
pub const MAP_SHARED_VALIDATE: u32 = 3;
/// At the address, in the place of what is there.
pub const MAP_FIXED: u32 = 0x10;
/// Fresh memory, and no descriptor's.
pub const MAP_ANONYMOUS: u32 = 0x20;
/// Without a meaning here: nothing is reserved for a shared mapping, and all for a private one.
pub const MAP_NORESERVE: u32 = 0x4000;
/// Without a meaning here: pages come when they are touched.
pub const MAP_POPULATE: u32 = 0x8000;
/// Without a meaning here: no page that has come is taken away, so each is locked.
pub const MAP_LOCKED: u32 = 0x2000;
/// Without a meaning here.
pub const MAP_STACK: u32 = 0x2_0000;
/// At the address, if nothing is there.
pub const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;

/// The bits that say who sees what is written.
const MAP_TYPE: u32 = 0xf;

/// Of [`msync`]: soon.
pub const MS_ASYNC: u32 = 1;
/// Of [`msync`]: other mappings shall show it.
pub const MS_INVALIDATE: u32 = 2;
/// Of [`msync`]: now.
pub const MS_SYNC: u32 = 4;

const PAGE: u64 = PAGE_SIZE as u64;

/// Who sees what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Shared,
    Private,
}

/// Where a mapping goes.
#[derive(Clone, Copy)]
enum Where {
    /// Anywhere; if it can be, at this page.
    Near(u64),
    /// In the place of what is there.
    Instead(u64),
    /// Where nothing may be.
    Free(u64),
}

/// Maps `length` bytes of an open object from byte `offset` on, or fresh memory, and returns the address.
/// The length is rounded up to pages. Beyond the object's end a page can be mapped, but not touched.
///
/// What [`MAP_FIXED`] replaces is gone if there is then no memory for the new mapping, as POSIX allows, or if
/// another thread of the task takes the place in between (`NoMemory`).
///
/// # Errors
/// `Invalid`: length 0; address (if it counts) or offset not at a page; neither shared nor private; unknown bits.
/// `NotSupported`: flags that Linux knows and this does not have; to be written and run at once.
/// `BadDescriptor`. `Access`: shared and to be written, and the descriptor is for reading alone; or it is for writing alone. `Permission`: the
/// same, and the object is sealed against it. `NotMappable`: the descriptor's right is to no memory object.
/// `Overflow`: the end is no offset. `NoDevice`: the end is beyond what an object can be. `Exists`: something is
/// there ([`MAP_FIXED_NOREPLACE`]). `NoMemory`: no memory, no room, or a place outside the task's part.
pub fn mmap(address: u64, length: u64, protection: u32, flags: u32, descriptor: i32, offset: i64) -> Result<u64> {
    let (place, sharing) = (place(address, flags)?, sharing(flags)?);
    let (size, protection) = (whole_pages(length)?, usable(protection)?);
    let offset = u64::try_from(offset).ok().filter(|offset| offset.is_multiple_of(PAGE)).ok_or(Errno::Invalid)?;
    if flags & MAP_ANONYMOUS != 0 {
        let terms = Terms { protection, inheritance: inheritance(sharing), ..Terms::default() };
        return map_at(place, size, |place| Task::this().map_on(None, size, place, terms).map_err(refused));
    }
    let open = Descriptor(descriptor).open()?;
    let terms = terms(&open, offset, size, protection, sharing)?;
    let map = |place, terms| Task::this().map_on(Some(&open.object), size, place, terms);
    map_at(place, size, |place| {
        at_any_end(terms, |terms| map(place, terms)).map_err(|error| refused_of(&open, protection, error))
    })
}

/// Maps the first `length` bytes of an open object, shared, as memory that a Rust program can use.
///
/// # Errors
/// Those of [`mmap`].
pub fn map_shared(descriptor: Descriptor, length: u64, protection: u32) -> Result<Mapping> {
    let (size, protection) = (whole_pages(length)?, usable(protection)?);
    let open = descriptor.open()?;
    let terms = terms(&open, 0, size, protection, Sharing::Shared)?;
    let mapped = at_any_end(terms, |terms| Mapping::on(&open.object, size, terms));
    mapped.map_err(|error| refused_of(&open, protection, error))
}

/// Unmaps a range; what is not mapped is passed over.
///
/// # Errors
/// `Invalid`: length 0, address not at a page, not in the task's part of memory. `NoMemory`: cutting a mapping in
/// two needs memory that is not there.
pub fn munmap(address: u64, length: u64) -> Result<()> {
    let size = whole_pages(length).map_err(|_| Errno::Invalid)?;
    Task::this().unmap(address, size).map_err(|error| match error {
        Error::ResourceShortage => Errno::NoMemory,
        _ => Errno::Invalid,
    })
}

/// Sets what may be done to the pages of a range, which must all be mapped.
///
/// # Errors
/// `Invalid`: address not at a page, unknown bits. `NotSupported`: to be written and run at once. `Access`: more than the
/// descriptor was opened for, or than a seal leaves. `NoMemory`: not all mapped, or no memory to cut a mapping in two.
pub fn mprotect(address: u64, length: u64, protection: u32) -> Result<()> {
    let protection = usable(protection)?;
    let Some(size) = range(address, length)? else { return Ok(()) };
    Task::this().protect(address, size, protection).map_err(refused)
}

/// Does nothing to a range that is all mapped: memory that is shared is the same for all at once.
///
/// # Errors
/// `Invalid`: address not at a page, unknown flags, or [`MS_SYNC`] and [`MS_ASYNC`] together. `NoMemory`: not all mapped.
pub fn msync(address: u64, length: u64, flags: u32) -> Result<()> {
    let both = MS_ASYNC | MS_SYNC;
    if flags & !(both | MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::Invalid);
    }
    let Some(size) = range(address, length)? else { return Ok(()) };
    let (mut at, end) = (address, address.checked_add(size).ok_or(Errno::NoMemory)?);
    while at < end {
        let region = Task::this().region(at).map_err(|_| Errno::NoMemory)?;
        if region.address > at {
            return Err(Errno::NoMemory);
        }
        at = region.address + region.size;
    }
    Ok(())
}

/// Whole pages for so many bytes.
fn whole_pages(length: u64) -> Result<u64> {
    match length {
        0 => Err(Errno::Invalid),
        _ => length.checked_next_multiple_of(PAGE).ok_or(Errno::NoMemory),
    }
}

/// The size of a range of pages; `None` if it is empty.
fn range(address: u64, length: u64) -> Result<Option<u64>> {
    match address.is_multiple_of(PAGE) {
        false => Err(Errno::Invalid),
        true if length == 0 => Ok(None),
        true => whole_pages(length).map(Some),
    }
}

/// A protection that a page may have.
fn usable(bits: u32) -> Result<Protection> {
    let protection = Protection::from_bits(bits).ok_or(Errno::Invalid)?;
    if protection.breaks_w_xor_x() { Err(Errno::NotSupported) } else { Ok(protection) }
}

fn sharing(flags: u32) -> Result<Sharing> {
    const KNOWN: u32 = MAP_TYPE
        | MAP_FIXED
        | MAP_ANONYMOUS
        | MAP_NORESERVE
        | MAP_POPULATE
        | MAP_LOCKED
        | MAP_STACK
        | MAP_FIXED_NOREPLACE;
    match flags & MAP_TYPE {
        _ if flags & !KNOWN != 0 => Err(Errno::NotSupported),
        MAP_SHARED | MAP_SHARED_VALIDATE => Ok(Sharing::Shared),
        MAP_PRIVATE => Ok(Sharing::Private),
        _ => Err(Errno::Invalid),
    }
}

fn place(address: u64, flags: u32) -> Result<Where> {
    match flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) {
        0 => Ok(Where::Near(address - address % PAGE)),
        _ if !address.is_multiple_of(PAGE) => Err(Errno::Invalid),
        MAP_FIXED => Ok(Where::Instead(address)),
        _ => Ok(Where::Free(address)),
    }
}

fn inheritance(sharing: Sharing) -> Inheritance {
    match sharing {
        Sharing::Shared => Inheritance::Share,
        Sharing::Private => Inheritance::Copy,
    }
}

/// How a part of an open object is mapped, if it was opened for that.
fn terms(open: &Open, offset: u64, size: u64, protection: Protection, sharing: Sharing) -> Result<Terms> {
    if size > USER_END {
        return Err(Errno::NoMemory);
    }
    open.require_read().map_err(|_| Errno::Access)?;
    let end = offset.checked_add(size).filter(|end| i64::try_from(*end).is_ok()).ok_or(Errno::Overflow)?;
    if end > SIZE_MAX {
        return Err(Errno::NoDevice);
    }
    let writes = sharing == Sharing::Shared && protection.contains(Protection::WRITE);
    if writes && open.access == Wish::Read {
        return Err(Errno::Access);
    }
    let flags = if sharing == Sharing::Private { MapFlags::COPY } else { MapFlags::empty() };
    Ok(Terms { offset, protection, inheritance: inheritance(sharing), flags, ..Terms::default() })
}

/// Maps so that the object keeps the pages; or, if it has not got them all, as it is.
fn at_any_end<T>(terms: Terms, map: impl Fn(Terms) -> portolan::Result<T>) -> portolan::Result<T> {
    match map(terms) {
        Err(Error::InvalidArgument) => map(Terms { flags: terms.flags | MapFlags::BEYOND_END, ..terms }),
        mapped => mapped,
    }
}

/// Maps where it is wanted.
fn map_at(wanted: Where, size: u64, map: impl Fn(Place) -> Result<u64>) -> Result<u64> {
    let mapped = match wanted {
        Where::Near(0) => map(Place::Anywhere),
        Where::Near(address) => map(Place::At(address)).or_else(|_| map(Place::Anywhere)),
        Where::Free(address) => return map(Place::At(address)),
        Where::Instead(address) => match map(Place::At(address)) {
            // All else about it has been found good.
            Err(Errno::Exists) => munmap(address, size).and_then(|()| map(Place::At(address))),
            mapped => mapped,
        },
    };
    mapped.map_err(|errno| if errno == Errno::Exists { Errno::NoMemory } else { errno })
}

/// Why a part of an open object was not mapped.
fn refused_of(open: &Open, protection: Protection, error: Error) -> Errno {
    let sealed = || open.object.info().is_ok_and(|info| info.seals & Seals::WRITE.bits() != 0);
    match error {
        Error::ProtectionFailure if protection.contains(Protection::WRITE) && sealed() => Errno::Permission,
        error => refused(error),
    }
}

/// Why memory was not mapped or protected.
fn refused(error: Error) -> Errno {
    match error {
        Error::NoSpace => Errno::Exists,
        Error::ProtectionFailure => Errno::Access,
        Error::InvalidCapability => Errno::NotMappable,
        _ => Errno::NoMemory,
    }
}
