//! Files: the one directory that there is, `/tmp`, and reading and writing what is open.
//!
//! A file is an object of shared memory in names of its own, kept by the same server: it lies in memory, and ends with
//! its name and the last that has it open or mapped. So all that can be done with a descriptor of shared memory can be
//! done with a file's, and the other way round. A name without a slash is of `/tmp`, too, as that is where every
//! program is. Nobody notes when a file was read or written.
//!
//! Numbers are those of Linux. Neighbours: `descriptor`, what is open; `shared_memory`, the server; `mapping`.

use crate::descriptor::{self, CLOSE_ON_EXEC, Descriptor, Open, Status, failed};
use crate::shared_memory::{
    self, O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, Space, protocol::results,
};
use crate::{Errno, ObjectName, Result, Wish};
use core::sync::atomic::Ordering;
use portolan::abi::PAGE_SIZE;
use portolan::abi::memory_object::SIZE_MAX;
use portolan::task::Terms;
use portolan::{Error, Mapping, Protection};

/// Of [`open`]: for writing alone.
pub const O_WRONLY: u32 = 1;

/// The directory.
const DIRECTORY: &[u8] = b"/tmp";
/// Bytes of the longest path, with the zero at its end (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;

/// From where [`lseek`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The first byte.
    Start,
    /// Where the descriptor is.
    Here,
    /// Behind the last byte.
    End,
}

/// The name in a path.
fn name(path: &[u8]) -> Result<ObjectName> {
    if path.len() >= PATH_MAX {
        return Err(Errno::NameTooLong);
    }
    let name = match path.strip_prefix(DIRECTORY) {
        _ if !path.is_empty() && is_slashes(path) => return Err(Errno::IsDirectory),
        Some(rest) if is_slashes(rest) => return Err(Errno::IsDirectory),
        Some(rest) if rest.starts_with(b"/") => rest,
        _ if path.starts_with(b"/") => return Err(Errno::NoEntry),
        _ => path,
    };
    ObjectName::new(name).map_err(|errno| match (errno, name.rsplit(|byte| *byte == b'/').next()) {
        (Errno::Invalid, Some(b"." | b"..")) => Errno::IsDirectory,
        (Errno::Invalid, _) => Errno::NoEntry,
        (other, _) => other,
    })
}

fn is_slashes(path: &[u8]) -> bool {
    path.iter().all(|byte| *byte == b'/')
}

/// Opens the file at a path; its descriptor is the lowest that is free. A new file is empty, the caller its owner, and
/// of `mode` it has what the umask leaves. To open for writing alone takes leave to read, too.
///
/// # Errors
/// `NoEntry`: there is none, and none is to be made; or no directory where it would be. `IsDirectory`: it is one: none can
/// be opened. `NameTooLong`. `Invalid`: unknown access. Else as for [`shm_open`](crate::shm_open).
pub fn open(path: &[u8], flags: u32, mode: u32) -> Result<Descriptor> {
    let name = name(path)?;
    let access = match flags & O_ACCMODE {
        O_RDONLY => Wish::Read,
        O_WRONLY | O_RDWR => Wish::ReadWrite,
        _ => return Err(Errno::Invalid),
    };
    let place = descriptor::reserve()?;
    let asked = if access == Wish::Read { O_RDONLY } else { O_RDWR };
    let asked = asked | flags & (O_CREAT | O_EXCL | O_TRUNC);
    let (opened, object) = shared_memory::open(Space::Files, name, asked, mode, 0)?;
    let results::OpenObject { mode, owner, id, .. } = opened;
    let known = Status { mode, owner, id, ..Status::default() };
    let of_descriptor = if flags & O_CLOEXEC == 0 { 0 } else { CLOSE_ON_EXEC };
    Ok(place.fill(Open::new(object, access, flags, known), of_descriptor))
}

/// Takes a file's name away, at once. Who has it open or mapped keeps it.
///
/// # Errors
/// `NoEntry`, `NameTooLong`, `IsDirectory`. `Access`: it is another user's. `InputOutput`.
pub fn unlink(path: &[u8]) -> Result<()> {
    shared_memory::unlink_name(Space::Files, name(path)?)
}

impl Open {
    /// Sees that it was opened for reading.
    pub(crate) fn require_read(&self) -> Result<()> {
        match self.flags.load(Ordering::Relaxed) & O_ACCMODE {
            O_WRONLY => Err(Errno::BadDescriptor),
            _ => Ok(()),
        }
    }

    fn require_write(&self) -> Result<()> {
        match self.access {
            Wish::ReadWrite => Ok(()),
            Wish::Read => Err(Errno::BadDescriptor),
        }
    }

    fn appends(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & O_APPEND != 0
    }

    /// Maps so many bytes from `at` on; they begin at this byte of the mapping.
    fn window(&self, at: u64, length: usize, protection: Protection) -> portolan::Result<(Mapping, usize)> {
        let skip = at % PAGE_SIZE as u64;
        let terms = Terms { offset: at - skip, protection, ..Terms::default() };
        Ok((Mapping::on(&self.object, skip + length as u64, terms)?, skip as usize))
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<usize> {
        loop {
            let left = usize::try_from(self.info()?.size.saturating_sub(at)).unwrap_or(usize::MAX);
            let count = into.len().min(left);
            if count == 0 {
                return Ok(0);
            }
            match self.window(at, count, Protection::READ) {
                Ok((window, skip)) => return window.read(skip, &mut into[..count]).map(|()| count).map_err(failed),
                // It has shrunk since it was asked for its size.
                Err(Error::InvalidArgument) => {}
                Err(_) => return Err(Errno::NoMemory),
            }
        }
    }

    fn write_at(&self, at: u64, from: &[u8]) -> Result<usize> {
        if from.is_empty() {
            return Ok(0);
        }
        let end = at.checked_add(from.len() as u64).filter(|end| *end <= SIZE_MAX).ok_or(Errno::FileTooBig)?;
        loop {
            self.allocate(at, end)?;
            match self.window(at, from.len(), Protection::READ_WRITE) {
                Ok((window, skip)) => return window.write(skip, from).map(|()| from.len()).map_err(failed),
                // It has shrunk since it was made large enough.
                Err(Error::InvalidArgument) => {}
                Err(Error::ProtectionFailure) => return Err(Errno::Permission),
                Err(_) => return Err(Errno::NoMemory),
            }
        }
    }
}

/// Reads what there is, as far as there is room, and goes on behind it; how much.
///
/// # Errors
/// `BadDescriptor`: also if it is not open for reading. `NoMemory`.
pub fn read(descriptor: Descriptor, into: &mut [u8]) -> Result<usize> {
    let open = descriptor.open()?;
    open.require_read()?;
    let mut position = open.position.lock();
    let count = open.read_at(*position, into)?;
    *position += count as u64;
    Ok(count)
}

/// Writes all of it, and goes on behind it; how much. The object grows if it ends before.
///
/// # Errors
/// `BadDescriptor`: also if it is not open for writing. `FileTooBig`, `NoSpace`, `NoMemory`. `Permission`: sealed against it.
pub fn write(descriptor: Descriptor, from: &[u8]) -> Result<usize> {
    let open = descriptor.open()?;
    open.require_write()?;
    let mut position = open.position.lock();
    let at = if open.appends() { open.info()?.size } else { *position };
    let count = open.write_at(at, from)?;
    *position = at + count as u64;
    Ok(count)
}

/// Reads from byte `offset` on, as [`read`] does, and stays where it is.
///
/// # Errors
/// Those of `read`. `Invalid`: the offset is negative.
pub fn pread(descriptor: Descriptor, into: &mut [u8], offset: i64) -> Result<usize> {
    let open = descriptor.open()?;
    open.require_read()?;
    open.read_at(u64::try_from(offset).map_err(|_| Errno::Invalid)?, into)
}

/// Writes from byte `offset` on, as [`write`] does, and stays where it is.
///
/// # Errors
/// Those of `write`. `Invalid`: the offset is negative.
pub fn pwrite(descriptor: Descriptor, from: &[u8], offset: i64) -> Result<usize> {
    let open = descriptor.open()?;
    open.require_write()?;
    open.write_at(u64::try_from(offset).map_err(|_| Errno::Invalid)?, from)
}

/// Sets where a descriptor is read and written next, and returns it.
///
/// # Errors
/// `BadDescriptor`. `Invalid`: before the first byte. `Overflow`: beyond all offsets.
pub fn lseek(descriptor: Descriptor, offset: i64, whence: Whence) -> Result<i64> {
    let open = descriptor.open()?;
    let mut position = open.position.lock();
    let base = match whence {
        Whence::Start => 0,
        Whence::Here => *position,
        Whence::End => open.info()?.size,
    };
    let wanted = i64::try_from(base).ok().and_then(|base| base.checked_add(offset)).ok_or(Errno::Overflow)?;
    *position = u64::try_from(wanted).map_err(|_| Errno::Invalid)?;
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_the_one_directory() {
        let name = |path: &[u8]| name(path).map(|name| name.bytes().map(<[u8]>::to_vec));
        assert_eq!(name(b"/tmp/a"), Ok(Some(b"a".to_vec())));
        assert_eq!(name(b"/tmp//a"), Ok(Some(b"a".to_vec())));
        assert_eq!(name(b"a"), Ok(Some(b"a".to_vec())));
        for path in [&b"/tmp"[..], b"/tmp/", b"/", b".", b"..", b"/tmp/."] {
            assert_eq!(name(path), Err(Errno::IsDirectory), "{}", path.escape_ascii());
        }
        for path in [&b""[..], b"/a", b"/tmpa", b"/tmp/a/b", b"a/b", b"/etc/passwd"] {
            assert_eq!(name(path), Err(Errno::NoEntry), "{}", path.escape_ascii());
        }
        assert_eq!(name(&[b'a'; 256]), Err(Errno::NameTooLong));
    }
}
