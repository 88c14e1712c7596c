//! `sys/mman.h`, and what is done with descriptors: POSIX's shared memory, kept by its server.
//!
//! Neighbours: `portolan_posix::shared_memory`; `unistd` for the console's descriptors, `queue` for those of
//! message queues.

use crate::errno::{self, Errno, value_or_errno, zero_or_errno};
use crate::time::TimeSpec;
use crate::{file, queue, unistd};
use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use core::mem::MaybeUninit;
use portolan::abi::PAGE_SIZE;
use portolan_posix::descriptor::{
    CLOSE_ON_EXEC, Status, descriptor_flags, set_descriptor_flags, set_status_flags, status_flags,
};
use portolan_posix::mapping::MAP_ANONYMOUS;
use portolan_posix::shared_memory::O_RDWR;
use portolan_posix::{self as posix, Descriptor};

#[unsafe(no_mangle)]
unsafe extern "C" fn shm_open(name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller passes a string.
    let name = unsafe { CStr::from_ptr(name) };
    value_or_errno(posix::shm_open(name.to_bytes(), flags as u32, mode).map(|Descriptor(number)| number))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn shm_unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller passes a string.
    let name = unsafe { CStr::from_ptr(name) };
    zero_or_errno(posix::shm_unlink(name.to_bytes()))
}

/// The console stays open, whatever is closed.
fn close_any(descriptor: c_int) -> Result<(), Errno> {
    if unistd::is_console(descriptor) {
        return Ok(());
    }
    posix::close(Descriptor(descriptor)).or_else(|_| queue::close(descriptor))
}

#[unsafe(no_mangle)]
extern "C" fn close(descriptor: c_int) -> c_int {
    zero_or_errno(close_any(descriptor))
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(descriptor: c_int, length: i64) -> c_int {
    zero_or_errno(match unistd::is_console(descriptor) {
        true => Err(Errno::Invalid),
        false => posix::ftruncate(Descriptor(descriptor), length),
    })
}

/// Returns the reason, and leaves `errno` alone.
#[unsafe(no_mangle)]
extern "C" fn posix_fallocate(descriptor: c_int, offset: i64, length: i64) -> c_int {
    errno::number(match unistd::is_console(descriptor) {
        true => Err(Errno::NotMappable),
        false => posix::posix_fallocate(Descriptor(descriptor), offset, length),
    })
}

/// `struct stat`.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Stat {
    device: u64,
    id: u64,
    links: u64,
    mode: u32,
    user: u32,
    group: u32,
    unused: u32,
    is_device: u64,
    size: i64,
    block_size: c_long,
    blocks: i64,
    /// Of reading, writing, changing; nobody notes them.
    times: [TimeSpec; 3],
    unused_too: [c_long; 3],
}

/// `S_IFCHR`, `S_IFREG`.
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;
/// Mode of the console.
const CONSOLE: u32 = CHARACTER_DEVICE | 0o620;

impl From<Status> for Stat {
    fn from(status: Status) -> Stat {
        Stat {
            id: status.id,
            links: 1,
            mode: REGULAR | status.mode,
            user: status.owner.user,
            group: status.owner.group,
            size: status.size as i64,
            block_size: PAGE_SIZE as c_long,
            blocks: status.blocks as i64,
            ..Stat::default()
        }
    }
}

/// What is known of what is open.
pub(crate) fn stat_of(descriptor: c_int) -> Result<Stat, Errno> {
    match unistd::is_console(descriptor) {
        true => Ok(Stat { links: 1, mode: CONSOLE, ..Stat::default() }),
        false => posix::fstat(Descriptor(descriptor)).map(Stat::from),
    }
}

#[unsafe(no_mangle)]
extern "C" fn fstat(descriptor: c_int, into: &mut MaybeUninit<Stat>) -> c_int {
    zero_or_errno(stat_of(descriptor).map(|stat| {
        into.write(stat);
    }))
}

/// What `fcntl` is asked.
mod command {
    use core::ffi::c_int;

    pub(super) const DUPLICATE: c_int = 0;
    pub(super) const GET_DESCRIPTOR_FLAGS: c_int = 1;
    pub(super) const SET_DESCRIPTOR_FLAGS: c_int = 2;
    pub(super) const GET_STATUS_FLAGS: c_int = 3;
    pub(super) const SET_STATUS_FLAGS: c_int = 4;
    pub(super) const DUPLICATE_CLOSE_ON_EXEC: c_int = 1030;
}

fn control(descriptor: c_int, what: c_int, argument: c_int) -> Result<c_int, Errno> {
    if unistd::is_console(descriptor) {
        return control_console(what);
    }
    let flags = argument as u32;
    let open = Descriptor(descriptor);
    match what {
        command::DUPLICATE => file::another(descriptor, argument),
        command::DUPLICATE_CLOSE_ON_EXEC => {
            let made = file::another(descriptor, argument)?;
            set_descriptor_flags(Descriptor(made), CLOSE_ON_EXEC).map(|()| made)
        }
        command::GET_DESCRIPTOR_FLAGS => descriptor_flags(open).map(|flags| flags as c_int),
        command::SET_DESCRIPTOR_FLAGS => set_descriptor_flags(open, flags).map(|()| 0),
        command::GET_STATUS_FLAGS => status_flags(open).map(|flags| flags as c_int),
        command::SET_STATUS_FLAGS => set_status_flags(open, flags).map(|()| 0),
        _ => posix::fstat(open).and(Err(Errno::Invalid)),
    }
}

/// The console is open for reading and writing, and has no flags.
fn control_console(what: c_int) -> Result<c_int, Errno> {
    match what {
        command::GET_DESCRIPTOR_FLAGS | command::SET_DESCRIPTOR_FLAGS | command::SET_STATUS_FLAGS => Ok(0),
        command::GET_STATUS_FLAGS => Ok(O_RDWR as c_int),
        command::DUPLICATE | command::DUPLICATE_CLOSE_ON_EXEC => Err(Errno::NotSupported),
        _ => Err(Errno::Invalid),
    }
}

/// In C what follows the command is a variable argument, which the machine's calling convention passes as it
/// does others.
#[unsafe(no_mangle)]
extern "C" fn fcntl(descriptor: c_int, what: c_int, argument: c_int) -> c_int {
    value_or_errno(control(descriptor, what, argument))
}

/// `MAP_FAILED`.
const FAILED: usize = usize::MAX;

fn address_or_errno(mapped: Result<u64, Errno>) -> *mut c_void {
    let address = mapped.map_or_else(
        |errno| {
            errno::set(errno);
            FAILED
        },
        |address| address as usize,
    );
    core::ptr::with_exposed_provenance_mut(address)
}

#[unsafe(no_mangle)]
extern "C" fn mmap(
    address: u64,
    length: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> *mut c_void {
    let (protection, flags) = (protection as u32, flags as u32);
    if unistd::is_console(descriptor) && flags & MAP_ANONYMOUS == 0 {
        return address_or_errno(Err(Errno::NotMappable));
    }
    address_or_errno(posix::mmap(address, length as u64, protection, flags, descriptor, offset))
}

#[unsafe(no_mangle)]
extern "C" fn munmap(address: u64, length: usize) -> c_int {
    zero_or_errno(posix::munmap(address, length as u64))
}

#[unsafe(no_mangle)]
extern "C" fn mprotect(address: u64, length: usize, protection: c_int) -> c_int {
    zero_or_errno(posix::mprotect(address, length as u64, protection as u32))
}

#[unsafe(no_mangle)]
extern "C" fn msync(address: u64, length: usize, flags: c_int) -> c_int {
    zero_or_errno(posix::msync(address, length as u64, flags as u32))
}

/// No page that has come is ever taken away: it is enough that all are mapped.
fn lock(address: u64, length: usize) -> Result<(), Errno> {
    let skipped = address % PAGE_SIZE as u64;
    match length as u64 {
        0 => Ok(()),
        length => posix::msync(address - skipped, length.checked_add(skipped).ok_or(Errno::NoMemory)?, 0),
    }
}

#[unsafe(no_mangle)]
extern "C" fn mlock(address: u64, length: usize) -> c_int {
    zero_or_errno(lock(address, length))
}

#[unsafe(no_mangle)]
extern "C" fn munlock(address: u64, length: usize) -> c_int {
    zero_or_errno(lock(address, length))
}

/// `MCL_CURRENT`, `MCL_FUTURE`.
const ALL_NOW: c_int = 1;
const ALL_LATER: c_int = 2;

#[unsafe(no_mangle)]
extern "C" fn mlockall(flags: c_int) -> c_int {
    let known = flags != 0 && flags & !(ALL_NOW | ALL_LATER) == 0;
    zero_or_errno(if known { Ok(()) } else { Err(Errno::Invalid) })
}

#[unsafe(no_mangle)]
extern "C" fn munlockall() -> c_int {
    0
}
