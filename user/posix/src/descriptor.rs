//! Descriptors: what a task has open, and what is done with it.
//!
//! An open object is a right to a memory object, with which the kernel does all that is here; no server
//! is asked. A copy of a task that `fork` makes has the same open. Invariant: a right allows what its
//! descriptor was opened for. Neighbours: `shared_memory` opens by name, `mapping` maps.

use crate::{Errno, Result, Wish};
use alloc::sync::Arc;
use alloc::vec::Vec;
use portolan::abi::PAGE_SIZE;
use portolan::abi::memory_object::{Mapper, ObjectInfo, SIZE_MAX, Seals};
use portolan::abi::message::SecurityToken;
use portolan::abi::vm::MapFlags;
use portolan::task::{Place, Terms};
use portolan::{Error, MemoryObject, Mutex, Protection, Task};

/// Names an open object of this task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor(pub i32);

/// The first descriptor: those below are a C program's console.
const FIRST: usize = 3;
/// Descriptors are below this (`OPEN_MAX`).
pub const OPEN_MAX: usize = 256;
/// What a block of [`Status::blocks`] has, in bytes.
pub const BLOCK: u64 = 512;

/// An open object.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) object: MemoryObject,
    pub(crate) access: Wish,
    pub(crate) mode: u32,
    pub(crate) owner: SecurityToken,
    pub(crate) id: u64,
}

/// What may stand in a place of the table.
enum Entry {
    Free,
    /// Somebody is about to open something.
    Reserved,
    Open(Arc<Open>),
}

/// The places from [`FIRST`] on.
static TABLE: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// A place in the table, the lowest that was free; dropped, it is free again.
pub(crate) struct Reservation(usize);

/// Takes the lowest place that is free.
///
/// # Errors
/// `DescriptorsFull`; `NoMemory`.
pub(crate) fn reserve() -> Result<Reservation> {
    let mut table = TABLE.lock();
    let place = match table.iter().position(|entry| matches!(entry, Entry::Free)) {
        Some(place) => place,
        None if FIRST + table.len() == OPEN_MAX => return Err(Errno::DescriptorsFull),
        None => {
            table.try_reserve(1).map_err(|_| Errno::NoMemory)?;
            table.push(Entry::Free);
            table.len() - 1
        }
    };
    table[place] = Entry::Reserved;
    Ok(Reservation(place))
}

impl Reservation {
    /// Puts an open object there.
    pub(crate) fn fill(self, open: Open) -> Descriptor {
        let place = self.0;
        core::mem::forget(self);
        TABLE.lock()[place] = Entry::Open(Arc::new(open));
        Descriptor((FIRST + place) as i32)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        TABLE.lock()[self.0] = Entry::Free;
    }
}

impl Descriptor {
    /// Its place in the table.
    fn place(self) -> Result<usize> {
        usize::try_from(self.0).ok().and_then(|number| number.checked_sub(FIRST)).ok_or(Errno::BadDescriptor)
    }

    /// What it names.
    pub(crate) fn open(self) -> Result<Arc<Open>> {
        match TABLE.lock().get(self.place()?) {
            Some(Entry::Open(open)) => Ok(Arc::clone(open)),
            _ => Err(Errno::BadDescriptor),
        }
    }
}

impl Open {
    fn info(&self) -> Result<ObjectInfo> {
        self.object.info().map_err(failed)
    }

    /// Makes it at least so large, and returns what it was.
    fn grow(&self, size: u64) -> Result<u64> {
        loop {
            let before = self.info()?.size;
            if before >= size {
                return Ok(before);
            }
            match self.object.change_size(before, size) {
                // Somebody else has been quicker.
                Err(Error::ValueDiffers) => {}
                changed => return changed.map(|()| before).map_err(failed),
            }
        }
    }
}

/// Closes a descriptor. What is mapped by it stays mapped.
///
/// # Errors
/// `BadDescriptor`.
pub fn close(descriptor: Descriptor) -> Result<()> {
    let place = descriptor.place()?;
    let mut table = TABLE.lock();
    let entry = table.get_mut(place).filter(|entry| matches!(entry, Entry::Open(_))).ok_or(Errno::BadDescriptor)?;
    let open = core::mem::replace(entry, Entry::Free);
    // Giving a right up is a call, for which nobody else need wait.
    drop(table);
    drop(open);
    Ok(())
}

/// Sets an object's size. What it grows by is zero, and has no memory yet (see [`posix_fallocate`]); what it
/// shrinks by is lost. It does not shrink below the end of a mapping that ended within it, so that nobody
/// loses a page that was there when it was mapped. (Linux shrinks, and lets them fault.)
///
/// # Errors
/// `BadDescriptor`. `Invalid`: negative, or not open for writing. `FileTooBig`: above [`SIZE_MAX`]. `Busy`: somebody maps
/// what would go. `Permission`: sealed against it. `NoSpace`.
pub fn ftruncate(descriptor: Descriptor, length: i64) -> Result<()> {
    let open = descriptor.open()?;
    let size = u64::try_from(length).map_err(|_| Errno::Invalid)?;
    match open.access {
        Wish::ReadWrite => open.object.set_size(size).map_err(failed),
        Wish::Read => Err(Errno::Invalid),
    }
}

/// Sees that a range of an object has memory, so that touching it needs none later; the object grows if it ends
/// before. If there is not enough its size is as before.
///
/// # Errors
/// `BadDescriptor`, also if not open for writing. `Invalid`: offset negative, or length not positive. `FileTooBig`: the end is
/// above [`SIZE_MAX`]. `NoSpace`. `Permission`: it would have to grow, and is sealed against that.
pub fn posix_fallocate(descriptor: Descriptor, offset: i64, length: i64) -> Result<()> {
    let open = descriptor.open()?;
    if open.access == Wish::Read {
        return Err(Errno::BadDescriptor);
    }
    let start = u64::try_from(offset).map_err(|_| Errno::Invalid)?;
    let size = u64::try_from(length).ok().filter(|size| *size > 0).ok_or(Errno::Invalid)?;
    let end = start.checked_add(size).filter(|end| *end <= SIZE_MAX).ok_or(Errno::FileTooBig)?;
    let before = open.grow(end)?;
    open.object.reserve(start..end).map_err(|error| {
        if before < end {
            // If somebody else has set another size meanwhile, that one stays.
            let _ = open.object.change_size(end, before);
        }
        failed(error)
    })
}

/// What is known of an open object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// A number that no other object of the same server has; 0 if it came without a name.
    pub id: u64,
    /// Bytes.
    pub size: u64,
    /// Blocks of [`BLOCK`] bytes that have memory.
    pub blocks: u64,
    /// The permission bits; 0 if it came without a name.
    pub mode: u32,
    /// Who made it; user and group 0 if it came without a name.
    pub owner: SecurityToken,
}

/// What is known of an open object.
///
/// # Errors
/// `BadDescriptor`.
pub fn fstat(descriptor: Descriptor) -> Result<Status> {
    let open = descriptor.open()?;
    let ObjectInfo { size, resident, .. } = open.info()?;
    let blocks = resident * (PAGE_SIZE as u64 / BLOCK);
    Ok(Status { id: open.id, size, blocks, mode: open.mode, owner: open.owner })
}

/// Seals an object for ever, beside the seals it has.
///
/// # Errors
/// `BadDescriptor`. `Permission`: not open for writing. `Busy`: it is to be sealed against writing, and a shared
/// mapping may write or could be made to.
pub fn seal(descriptor: Descriptor, seals: Seals) -> Result<()> {
    let open = descriptor.open()?;
    match open.access {
        Wish::ReadWrite => open.object.seal(seals).map_err(failed),
        Wish::Read => Err(Errno::Permission),
    }
}

/// The seals of an object.
///
/// # Errors
/// `BadDescriptor`.
pub fn seals(descriptor: Descriptor) -> Result<Seals> {
    Ok(Seals::from_bits_truncate(descriptor.open()?.info()?.seals))
}

/// The tasks that map an object, in the order of their ids.
///
/// # Errors
/// `BadDescriptor`.
pub fn mappers(descriptor: Descriptor) -> Result<Vec<Mapper>> {
    descriptor.open()?.object.mappers().map_err(failed)
}

/// The right that a descriptor is, to be sent to another task: with it the object needs no name.
///
/// # Errors
/// `BadDescriptor`, `NoMemory`.
pub fn object(descriptor: Descriptor) -> Result<MemoryObject> {
    let right = descriptor.open()?.object.right().try_clone().map_err(|_| Errno::NoMemory)?;
    Ok(MemoryObject::from_right(right))
}

/// A descriptor of an object by a right that has come, or been made. It is open for what the right allows.
///
/// # Errors
/// `NotMappable`: the right is to something else. `DescriptorsFull`, `NoMemory`.
pub fn adopt(object: MemoryObject) -> Result<Descriptor> {
    let place = reserve()?;
    require_memory(&object)?;
    let allowed = Protection::from_bits_truncate(object.info().map_err(failed)?.protection);
    let access = if allowed.contains(Protection::WRITE) { Wish::ReadWrite } else { Wish::Read };
    Ok(place.fill(Open { object, access, mode: 0, owner: SecurityToken::default(), id: 0 }))
}

/// Sees that a right is to a memory object. The kernel says so when it maps; another task, if it were its port,
/// could let whoever asks wait for ever.
fn require_memory(object: &MemoryObject) -> Result<()> {
    let terms = Terms { protection: Protection::empty(), flags: MapFlags::BEYOND_END, ..Terms::default() };
    let mapped = Task::this().map_on(Some(object), PAGE_SIZE as u64, Place::Anywhere, terms);
    let address = mapped.map_err(|error| match error {
        Error::InvalidCapability => Errno::NotMappable,
        _ => Errno::NoMemory,
    })?;
    Task::this().unmap(address, PAGE_SIZE as u64).map_err(|_| Errno::NoMemory)
}

/// What a call on an object has failed for, to be said of its descriptor.
fn failed(error: Error) -> Errno {
    match error {
        Error::InvalidArgument => Errno::FileTooBig,
        Error::InUse => Errno::Busy,
        Error::NoAccess => Errno::Permission,
        Error::ProtectionFailure | Error::Failure => Errno::Invalid,
        Error::ResourceShortage => Errno::NoSpace,
        Error::SendNoBuffer => Errno::NoMemory,
        _ => Errno::InputOutput,
    }
}
