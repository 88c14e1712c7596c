//! Named semaphores: `sem_open`, `sem_unlink`, and `sem_close` when one is dropped.
//!
//! A semaphore is a small object of shared memory, in names of its own, whose size nobody can change; the server
//! sets its value before anybody else sees it. Waiting and posting ask no server. Invariant: while a
//! task has a semaphore open it is mapped once, however often it is opened, and a child has it at the same place.
//! Neighbours: `shared_memory` for the names, `semaphore` for the word.

use crate::shared_memory::{self, O_CREAT, O_EXCL, O_RDWR, Space};
use crate::{Errno, ObjectName, Result, Semaphore, VALUE_MAX};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use portolan::abi::PAGE_SIZE;
use portolan::abi::vm::Inheritance;
use portolan::task::Terms;
use portolan::{Mapping, MemoryObject, Mutex};

/// A semaphore that is open. Dropped, it is closed (`sem_close`).
#[derive(Clone, Debug)]
pub struct NamedSemaphore(Arc<Mapped>);

#[derive(Debug)]
struct Mapped {
    /// The server's number of it.
    id: u64,
    memory: Mapping,
}

/// Those that are open, and perhaps some that were.
static OPEN: Mutex<Vec<Weak<Mapped>>> = Mutex::new(Vec::new());

impl NamedSemaphore {
    /// The semaphore, to wait for and to post.
    #[must_use]
    pub fn semaphore(&self) -> Semaphore<'_> {
        Semaphore::at(&self.0.memory.words()[0])
    }

    /// Where its word is: the same for all of this task that have it open.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.0.memory.address()
    }
}

/// Opens the semaphore of this name; with [`O_CREAT`] it is made with this value, and of `mode` what the umask leaves,
/// if there is none, and with [`O_EXCL`] there must be none. Whoever opens it must be allowed to read and write.
///
/// # Errors
/// Those of [`shm_open`](crate::shm_open), but for descriptors, of which it takes none; `Invalid`, too: other flags, or
/// [`O_CREAT`] and a value above [`VALUE_MAX`]. `NoMemory`.
pub fn sem_open(name: &[u8], flags: u32, mode: u32, value: u32) -> Result<NamedSemaphore> {
    let name = ObjectName::new(name)?;
    if flags & !(O_CREAT | O_EXCL) != 0 || flags & O_CREAT != 0 && value > VALUE_MAX {
        return Err(Errno::Invalid);
    }
    let (opened, object) = shared_memory::open(Space::Semaphores, name, flags | O_RDWR, mode, value)?;
    let mut open = OPEN.lock();
    open.retain(|mapped| mapped.strong_count() > 0);
    let known = open.iter().filter_map(Weak::upgrade).find(|mapped| mapped.id == opened.id);
    if let Some(known) = known {
        return Ok(NamedSemaphore(known));
    }
    open.try_reserve(1).map_err(|_| Errno::NoMemory)?;
    let mapped = Arc::new(Mapped { id: opened.id, memory: map(&object)? });
    open.push(Arc::downgrade(&mapped));
    Ok(NamedSemaphore(mapped))
}

/// Takes a semaphore's name away, at once. Who has it open keeps it; the name can stand for a new one.
///
/// # Errors
/// Those of [`shm_unlink`](crate::shm_unlink).
pub fn sem_unlink(name: &[u8]) -> Result<()> {
    shared_memory::unlink(Space::Semaphores, name)
}

fn map(object: &MemoryObject) -> Result<Mapping> {
    let terms = Terms { inheritance: Inheritance::Share, ..Terms::default() };
    Mapping::on(object, PAGE_SIZE as u64, terms).map_err(|_| Errno::NoMemory)
}
