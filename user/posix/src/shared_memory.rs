//! Shared memory by name: `shm_open`, `shm_unlink`, and a list of what there is.
//!
//! A server (`user/servers/shm`) knows which memory object a name stands for, and who may open it: it
//! is asked when one is opened, unlinked or listed, and for nothing else. What it gives is a right to
//! the object, and with that everything else is done, so that contents and open descriptors outlive the
//! server. One that is started again knows no names; a call that it does not answer is `InputOutput`.
//!
//! Numbers are those of Linux. Neighbours: `descriptor`, what is open; `mapping`; `object_name`, `mode`.

use crate::descriptor::{self, CLOSE_ON_EXEC, Descriptor, Open, Status};
use crate::identity::created_mode;
use crate::{Errno, ObjectName, Result, Wish};
use alloc::vec::Vec;
use portolan::abi::message::SecurityToken;
use portolan::interface::MsgRpc;
use portolan::{Error, MemoryObject, SendRight, name_server};
use protocol::results;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the server is called.
pub const SERVICE: &str = "shm";

/// Of [`shm_open`]: for reading alone.
pub const O_RDONLY: u32 = 0;
/// Of [`shm_open`]: for reading and writing.
pub const O_RDWR: u32 = 2;
/// Of a file: every write goes to its end.
pub const O_APPEND: u32 = 0o2000;
/// Of [`shm_open`]: an object is made if there is none of this name.
pub const O_CREAT: u32 = 0o100;
/// Of [`shm_open`], with [`O_CREAT`]: there must be none of this name.
pub const O_EXCL: u32 = 0o200;
/// Of [`shm_open`]: its size becomes 0.
pub const O_TRUNC: u32 = 0o1000;
/// Of [`shm_open`], without a meaning here: no call on an object waits, and no name is a link.
pub const O_NONBLOCK: u32 = 0o4000;
/// See [`O_NONBLOCK`].
pub const O_NOFOLLOW: u32 = 0o400_000;
/// Of [`shm_open`], without a meaning here: there is no `exec` that could hand on a descriptor.
pub const O_CLOEXEC: u32 = 0o2_000_000;

/// The bits that say what it is opened for.
pub(crate) const O_ACCMODE: u32 = 3;

/// Most entries of one reply of [`list`](protocol::list).
pub const LISTED: usize = 8;

/// What client and server say to each other.
pub mod protocol {
    use super::{Entry, LISTED};
    use crate::ObjectName;
    use portolan::abi::message::SecurityToken;

    portolan::interface! {
        base 7400;

        /// Opens an object of a [`Space`](super::Space), and makes it before that if the flags say so: as in `shm_open`,
        /// with a mode from which the umask has been taken out. Gives a right to the object that allows what it is
        /// opened for, its mode, its owner, and a number that no other object of the server's has. A new semaphore has
        /// this value. `errno` is 0 or a POSIX error number.
        1 open / OpenObject (name: ObjectName, space: u32, flags: u32, mode: u32, value: u32)
            -> (errno: i32, mode: u32, owner: SecurityToken, id: u64; object);

        /// Takes an object's name away. `errno` is 0 or a POSIX error number.
        2 unlink / Unlink (name: ObjectName, space: u32, reserved: u32) -> (errno: i32, reserved: u32);

        /// The objects of a space whose names are after `after` in the order of their bytes: the first `count`
        /// entries. With fewer than [`LISTED`](super::LISTED) there are no more.
        3 list / List (after: ObjectName, space: u32, reserved: u32)
            -> (count: u32, reserved: u32, entries: [Entry; LISTED]);
    }
}

/// The names of what: one name may stand for an object of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Space {
    /// Of shared memory.
    Memory = 0,
    /// Of semaphores.
    Semaphores = 1,
    /// Of files.
    Files = 2,
}

impl Space {
    /// The one with this code.
    ///
    /// # Errors
    /// `Invalid`: there is none.
    pub fn from_code(code: u32) -> Result<Space> {
        match code {
            0 => Ok(Space::Memory),
            1 => Ok(Space::Semaphores),
            2 => Ok(Space::Files),
            _ => Err(Errno::Invalid),
        }
    }
}

/// An object with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Entry {
    /// Its name.
    pub name: ObjectName,
    /// A number that no other object of this server's has.
    pub id: u64,
    /// Bytes.
    pub size: u64,
    /// Who made it.
    pub owner: SecurityToken,
    /// Its permission bits.
    pub mode: u32,
    /// How often it is mapped, in all tasks ([`mappers`](crate::descriptor::mappers) tells which).
    pub mappings: u32,
}

impl Entry {
    /// What an unused place of a list holds.
    pub const NONE: Entry = Entry {
        name: ObjectName::NONE,
        id: 0,
        size: 0,
        owner: SecurityToken { user: 0, group: 0 },
        mode: 0,
        mappings: 0,
    };
}

/// What an object is opened for by these flags.
///
/// # Errors
/// `Invalid`: neither [`O_RDONLY`] nor [`O_RDWR`], or unknown bits.
pub fn wish(flags: u32) -> Result<Wish> {
    const KNOWN: u32 = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
    match flags & O_ACCMODE {
        _ if flags & !KNOWN != 0 => Err(Errno::Invalid),
        O_RDONLY => Ok(Wish::Read),
        O_RDWR => Ok(Wish::ReadWrite),
        _ => Err(Errno::Invalid),
    }
}

/// Opens the object of this name; its descriptor is the lowest that is free. A new one has size 0, the caller for
/// its owner, and of `mode` the nine permission bits that the umask leaves; whoever makes it may
/// open it for anything.
///
/// # Errors
/// `Invalid`: no name, or flags that make no sense. `NameTooLong`. `NoEntry`: there is none, and none is to be made.
/// `Exists`: there is one, and a new one was to be made. `Access`: its mode does not allow it, or not [`O_TRUNC`].
/// `DescriptorsFull`. `TablesFull`: the server holds as many objects as it can. `NoSpace`: it has no memory for one.
/// Of [`O_TRUNC`] alone `Busy` and `Permission`, as for [`ftruncate`](crate::ftruncate). `InputOutput`: no server answers.
pub fn shm_open(name: &[u8], flags: u32, mode: u32) -> Result<Descriptor> {
    let name = ObjectName::new(name)?;
    let access = wish(flags)?;
    let place = descriptor::reserve()?;
    let (opened, object) = open(Space::Memory, name, flags, mode, 0)?;
    let results::OpenObject { mode, owner, id, .. } = opened;
    Ok(place.fill(Open::new(object, access, flags, Status { mode, owner, id, ..Status::default() }), CLOSE_ON_EXEC))
}

/// Takes an object's name away, at once. What has it open or mapped keeps it; the name can stand for a new one.
///
/// # Errors
/// `Invalid`, `NameTooLong`: no name. `NoEntry`: there is none. `Access`: it is another user's. `InputOutput`.
pub fn shm_unlink(name: &[u8]) -> Result<()> {
    unlink(Space::Memory, name)
}

/// All objects of a space, in the order of their names.
///
/// # Errors
/// `InputOutput`.
pub fn list(space: Space) -> Result<Vec<Entry>> {
    let server = server()?;
    let (mut all, mut after) = (Vec::new(), ObjectName::NONE);
    loop {
        let part = protocol::list(&MsgRpc, server.name(), after, space as u32, 0).map_err(unanswered)?.results;
        let entries = part.entries.get(..part.count as usize).ok_or(Errno::InputOutput)?;
        all.extend_from_slice(entries);
        match entries.last() {
            Some(last) if entries.len() == LISTED => after = last.name,
            _ => return Ok(all),
        }
    }
}

/// Asks the server to open an object; what it says, and a right to it.
pub(crate) fn open(
    space: Space,
    name: ObjectName,
    flags: u32,
    mode: u32,
    value: u32,
) -> Result<(results::OpenObject, MemoryObject)> {
    let (server, mode) = (server()?, created_mode(mode));
    let opened = protocol::open(&MsgRpc, server.name(), name, space as u32, flags, mode, value).map_err(unanswered)?;
    Errno::check(opened.results.errno)?;
    Ok((opened.results, MemoryObject::from_right(SendRight::from_name(opened.rights[0]))))
}

/// Asks the server to take a name away.
pub(crate) fn unlink(space: Space, name: &[u8]) -> Result<()> {
    unlink_name(space, ObjectName::new(name)?)
}

/// The same, of a name that is one.
pub(crate) fn unlink_name(space: Space, name: ObjectName) -> Result<()> {
    let server = server()?;
    let reply = protocol::unlink(&MsgRpc, server.name(), name, space as u32, 0).map_err(unanswered)?;
    Errno::check(reply.results.errno)
}

/// The server. It is looked up each time: the one that was there before may have been given up.
fn server() -> Result<SendRight> {
    name_server::look_up(SERVICE).map_err(unanswered)
}

/// What it means that the server has not answered.
fn unanswered(error: Error) -> Errno {
    match error {
        Error::ResourceShortage | Error::SendNoBuffer | Error::ReceiveNoSpace => Errno::NoMemory,
        _ => Errno::InputOutput,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_opened_for_reading_or_for_both() {
        assert_eq!(wish(O_RDONLY | O_CREAT | O_EXCL), Ok(Wish::Read));
        assert_eq!(wish(O_RDWR | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), Ok(Wish::ReadWrite));
        for flags in [1, 3, 0o20, u32::MAX] {
            assert_eq!(wish(flags), Err(Errno::Invalid), "{flags:o}");
        }
    }
}
