//! Descriptors: what a task has open, and what is done with it.
//!
//! An open object is a right to a memory object, with which the kernel does all that is here; no server
//! is asked. A copy of a task that `fork` makes has the same open. Invariant: a right allows what its
//! descriptor was opened for. Neighbours: `shared_memory` and `file` open by name, `mapping` maps.

use crate::shared_memory::{O_ACCMODE, O_APPEND, O_NONBLOCK, O_RDONLY, O_RDWR};
use crate::{Errno, Result, Wish};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
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
    /// What the right allows.
    pub(crate) access: Wish,
    /// What it was opened for, and what [`set_status_flags`] sets.
    pub(crate) flags: AtomicU32,
    /// Where it is read and written next.
    pub(crate) position: Mutex<u64>,
    /// What does not change of its status.
    known: Status,
}

/// Of a descriptor: it would not outlive `exec`, which there is not (`FD_CLOEXEC`).
pub const CLOSE_ON_EXEC: u32 = 1;

/// What may stand in a place of the table.
enum Entry {
    Free,
    /// Somebody is about to open something.
    Reserved,
    /// What is open, perhaps by other descriptors too, and this one's flags.
    Open(Arc<Open>, u32),
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
    reserve_from(0)
}

/// Takes the lowest place that is free, of those from `least` on.
fn reserve_from(least: usize) -> Result<Reservation> {
    let mut table = TABLE.lock();
    let free = (least..table.len()).find(|place| matches!(table[*place], Entry::Free));
    let place = free.unwrap_or(least.max(table.len()));
    extend(&mut table, place)?;
    table[place] = Entry::Reserved;
    Ok(Reservation(place))
}

/// Makes the table so long that it has this place.
fn extend(table: &mut Vec<Entry>, place: usize) -> Result<()> {
    if FIRST + place >= OPEN_MAX {
        return Err(Errno::DescriptorsFull);
    }
    let missing = (place + 1).saturating_sub(table.len());
    table.try_reserve(missing).map_err(|_| Errno::NoMemory)?;
    table.extend(core::iter::repeat_with(|| Entry::Free).take(missing));
    Ok(())
}

impl Reservation {
    /// Puts an open object there; the descriptor has these flags.
    pub(crate) fn fill(self, open: Open, flags: u32) -> Descriptor {
        self.share(Arc::new(open), flags)
    }

    fn share(self, open: Arc<Open>, flags: u32) -> Descriptor {
        let place = self.0;
        core::mem::forget(self);
        TABLE.lock()[place] = Entry::Open(open, flags);
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
            Some(Entry::Open(open, _)) => Ok(Arc::clone(open)),
            _ => Err(Errno::BadDescriptor),
        }
    }
}

impl Open {
    /// An object that is open: by these flags of `open`, and with what is known of it.
    pub(crate) fn new(object: MemoryObject, access: Wish, flags: u32, known: Status) -> Open {
        let flags = AtomicU32::new(flags & (O_ACCMODE | SETTABLE));
        Open { object, access, flags, position: Mutex::new(0), known }
    }

    /// Sees that a range has memory, and grows to its end; if there is not enough the size is as before.
    pub(crate) fn allocate(&self, start: u64, end: u64) -> Result<()> {
        let before = self.grow(end)?;
        self.object.reserve(start..end).map_err(|error| {
            if before < end {
                // If somebody else has set another size meanwhile, that one stays.
                let _ = self.object.change_size(end, before);
            }
            failed(error)
        })
    }

    pub(crate) fn info(&self) -> Result<ObjectInfo> {
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
    let entry = table.get_mut(place).filter(|entry| matches!(entry, Entry::Open(..))).ok_or(Errno::BadDescriptor)?;
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
    open.allocate(start, end)
}

/// Another descriptor of what one is of, the lowest that is free from `least` on. They share flags and position.
///
/// # Errors
/// `BadDescriptor`. `Invalid`: `least` is negative, or no descriptor can be so high. `DescriptorsFull`, `NoMemory`.
pub fn dup(descriptor: Descriptor, least: i32) -> Result<Descriptor> {
    let open = descriptor.open()?;
    let least = usize::try_from(least).ok().filter(|least| *least < OPEN_MAX).ok_or(Errno::Invalid)?;
    Ok(reserve_from(least.saturating_sub(FIRST))?.share(open, 0))
}

/// Makes `wanted` a descriptor of what another is of, and closes what it was before.
///
/// # Errors
/// `BadDescriptor`: also if `wanted` is too high. `NotSupported`: it is the console's. `Busy`: another thread
/// is about to open something there. `NoMemory`.
pub fn dup2(descriptor: Descriptor, wanted: Descriptor) -> Result<Descriptor> {
    let open = descriptor.open()?;
    if (0..FIRST as i32).contains(&wanted.0) {
        return Err(Errno::NotSupported);
    }
    let place = wanted.place()?;
    if descriptor == wanted {
        return Ok(wanted);
    }
    let mut table = TABLE.lock();
    extend(&mut table, place).map_err(|errno| match errno {
        Errno::DescriptorsFull => Errno::BadDescriptor,
        other => other,
    })?;
    if matches!(table[place], Entry::Reserved) {
        return Err(Errno::Busy);
    }
    let closed = core::mem::replace(&mut table[place], Entry::Open(open, 0));
    drop(table);
    drop(closed);
    Ok(wanted)
}

/// What a descriptor was opened for, and the flags that can be set (`F_GETFL`).
///
/// # Errors
/// `BadDescriptor`.
pub fn status_flags(descriptor: Descriptor) -> Result<u32> {
    Ok(descriptor.open()?.flags.load(Ordering::Relaxed))
}

/// The flags that can be set; the second has no meaning here, where no call waits.
const SETTABLE: u32 = O_APPEND | O_NONBLOCK;

/// Sets those flags that can be set, and passes over the others (`F_SETFL`).
///
/// # Errors
/// `BadDescriptor`.
pub fn set_status_flags(descriptor: Descriptor, flags: u32) -> Result<()> {
    let open = descriptor.open()?;
    let kept = open.flags.load(Ordering::Relaxed) & O_ACCMODE;
    open.flags.store(kept | flags & SETTABLE, Ordering::Relaxed);
    Ok(())
}

/// The descriptor's own flags (`F_GETFD`).
///
/// # Errors
/// `BadDescriptor`.
pub fn descriptor_flags(descriptor: Descriptor) -> Result<u32> {
    match TABLE.lock().get(descriptor.place()?) {
        Some(Entry::Open(_, flags)) => Ok(*flags),
        _ => Err(Errno::BadDescriptor),
    }
}

/// Sets the descriptor's own flags (`F_SETFD`).
///
/// # Errors
/// `BadDescriptor`.
pub fn set_descriptor_flags(descriptor: Descriptor, new: u32) -> Result<()> {
    match TABLE.lock().get_mut(descriptor.place()?) {
        Some(Entry::Open(_, flags)) => {
            *flags = new & CLOSE_ON_EXEC;
            Ok(())
        }
        _ => Err(Errno::BadDescriptor),
    }
}

/// What is known of an open object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
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
    Ok(Status { size, blocks, ..open.known })
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
    let flags = if access == Wish::ReadWrite { O_RDWR } else { O_RDONLY };
    Ok(place.fill(Open::new(object, access, flags, Status::default()), CLOSE_ON_EXEC))
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
pub(crate) fn failed(error: Error) -> Errno {
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
