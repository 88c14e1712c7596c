//! An object with a name: its memory, its owner, its mode; opening it.
//!
//! Of each object there are two rights, one for writing and one not, and who opens it gets a copy of one: so
//! however often it is opened, it costs this task the same. Neighbour: `main`.

use crate::Request;
use crate::purse::Purse;
use portolan::abi::PAGE_SIZE;
use portolan::abi::memory_object::{ObjectInfo, Seals};
use portolan::abi::message::SecurityToken;
use portolan::trap::clock_get;
use portolan::{Error, MemoryObject, Protection, Right};
use portolan_posix::shared_memory::protocol::results::OpenObject as Opened;
use portolan_posix::shared_memory::{Entry, O_TRUNC, Space};
use portolan_posix::{Errno, Mode, ObjectName, Result, Semaphore, Wish};

pub(crate) struct Object {
    /// The right that allows everything.
    writable: MemoryObject,
    read_only: MemoryObject,
    pub(crate) owner: SecurityToken,
    mode: Mode,
    id: u64,
}

/// Numbers of objects. They begin with the time, so that those of a server that is started again are others.
pub(crate) struct Ids(u64);

impl Ids {
    pub(crate) fn begin() -> Ids {
        Ids(clock_get())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl Object {
    /// A new one of size 0, or a semaphore, which nobody can change the size of.
    ///
    /// # Errors
    /// `NoSpace`: no memory for it. `Invalid`: a semaphore has no such value.
    pub(crate) fn create(purse: &Purse, space: Space, id: u64, request: &Request) -> Result<Object> {
        let writable = match space {
            Space::Memory | Space::Files => empty(purse).map_err(|_| Errno::NoSpace)?,
            Space::Semaphores => semaphore(purse, request.value)?,
        };
        let read_only = writable.derive(Protection::READ_EXECUTE).map_err(|_| Errno::NoSpace)?;
        Ok(Object { writable, read_only, owner: request.asker, mode: Mode::new(request.mode, 0), id })
    }

    /// Sees that the asker may open it so, and truncates it if that is wanted.
    pub(crate) fn require(&self, wish: Wish, request: &Request) -> Result<()> {
        let truncates = request.flags & O_TRUNC != 0;
        // Who may write may read, too: so it is one question.
        let wish = if truncates { Wish::ReadWrite } else { wish };
        if !self.mode.allows(wish, self.owner, request.asker) {
            return Err(Errno::Access);
        }
        if truncates { self.truncate() } else { Ok(()) }
    }

    fn truncate(&self) -> Result<()> {
        self.writable.set_size(0).map_err(|error| match error {
            Error::InUse => Errno::Busy,
            Error::NoAccess => Errno::Permission,
            _ => Errno::NoSpace,
        })
    }

    /// What a client is told, and a right.
    pub(crate) fn open(&self, wish: Wish) -> Result<(Opened, Right<'static>)> {
        let object = match wish {
            Wish::Read => &self.read_only,
            Wish::ReadWrite => &self.writable,
        };
        let right = object.right().try_clone().map_err(|_| Errno::NoSpace)?;
        let Object { owner, mode, id, .. } = *self;
        Ok((Opened { errno: 0, mode: mode.bits(), owner, id }, right.into()))
    }

    pub(crate) fn entry(&self, name: ObjectName) -> Entry {
        let ObjectInfo { size, mappings, .. } = self.writable.info().unwrap_or_default();
        Entry { name, id: self.id, size, owner: self.owner, mode: self.mode.bits(), mappings }
    }
}

fn empty(purse: &Purse) -> portolan::Result<MemoryObject> {
    let object = purse.object()?;
    object.set_size(0)?;
    Ok(object)
}

fn semaphore(purse: &Purse, value: u32) -> Result<MemoryObject> {
    let make = || {
        let object = purse.object()?;
        object.reserve(0..PAGE_SIZE as u64)?;
        object.seal(Seals::SHRINK | Seals::GROW)?;
        let memory = object.map(Protection::READ_WRITE)?;
        Ok((object, memory))
    };
    let (object, memory) = make().map_err(|_: Error| Errno::NoSpace)?;
    Semaphore::init(&memory.words()[0], value)?;
    Ok(object)
}
