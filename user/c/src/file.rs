//! `fcntl.h`, `unistd.h`: files, and reading and writing what is open.
//!
//! Neighbours: `portolan_posix::file`; `unistd` for the console's descriptors, `shared_memory` for what else is done
//! with descriptors.

use crate::errno::{Errno, value_or_errno, zero_or_errno};
use crate::shared_memory::{Stat, stat_of};
use crate::unistd::{self, bytes, bytes_mut};
use core::ffi::{CStr, c_char, c_int, c_uint};
use core::mem::MaybeUninit;
use portolan_posix::file::{self, O_WRONLY, Whence};
use portolan_posix::shared_memory::{O_CREAT, O_RDONLY, O_RDWR, O_TRUNC};
use portolan_posix::{Descriptor, close};

/// The path that a program passes.
///
/// # Safety
/// It is a string.
unsafe fn path<'a>(path: *const c_char) -> &'a [u8] {
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(path) }.to_bytes()
}

/// Its last argument is passed only with `O_CREAT`. In C it is a variable one, which the machine's calling
/// convention passes as it does others.
#[unsafe(no_mangle)]
unsafe extern "C" fn open(name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller passes a string.
    let name = unsafe { path(name) };
    value_or_errno(file::open(name, flags as u32, mode).map(|Descriptor(number)| number))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat(name: *const c_char, mode: c_uint) -> c_int {
    // SAFETY: as there.
    unsafe { open(name, (O_WRONLY | O_CREAT | O_TRUNC) as c_int, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller passes a string.
    zero_or_errno(file::unlink(unsafe { path(name) }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn remove(name: *const c_char) -> c_int {
    // SAFETY: as there.
    unsafe { unlink(name) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, start: *const u8, length: usize) -> isize {
    // SAFETY: the caller passes memory of this length.
    let bytes = unsafe { bytes(start, length) };
    let written = match unistd::is_console(descriptor) {
        true => unistd::write_all(descriptor, bytes).map(|()| length),
        false => file::write(Descriptor(descriptor), bytes),
    };
    value_or_errno(written.map(|count| count as isize))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn read(descriptor: c_int, into: *mut u8, length: usize) -> isize {
    // SAFETY: the caller passes room of this length.
    let into = unsafe { bytes_mut(into, length) };
    let count = match unistd::is_console(descriptor) {
        true if length == 0 => Ok(0),
        true => unistd::read_some(descriptor, into),
        false => file::read(Descriptor(descriptor), into),
    };
    value_or_errno(count.map(|count| count as isize))
}

/// The console has no places to go to.
fn with_places(descriptor: c_int) -> Result<Descriptor, Errno> {
    if unistd::is_console(descriptor) { Err(Errno::IllegalSeek) } else { Ok(Descriptor(descriptor)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(descriptor: c_int, start: *const u8, length: usize, offset: i64) -> isize {
    // SAFETY: the caller passes memory of this length.
    let bytes = unsafe { bytes(start, length) };
    let written = with_places(descriptor).and_then(|descriptor| file::pwrite(descriptor, bytes, offset));
    value_or_errno(written.map(|count| count as isize))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pread(descriptor: c_int, into: *mut u8, length: usize, offset: i64) -> isize {
    // SAFETY: the caller passes room of this length.
    let into = unsafe { bytes_mut(into, length) };
    let count = with_places(descriptor).and_then(|descriptor| file::pread(descriptor, into, offset));
    value_or_errno(count.map(|count| count as isize))
}

/// `SEEK_SET`, `SEEK_CUR`, `SEEK_END`.
fn whence(code: c_int) -> Result<Whence, Errno> {
    match code {
        0 => Ok(Whence::Start),
        1 => Ok(Whence::Here),
        2 => Ok(Whence::End),
        _ => Err(Errno::Invalid),
    }
}

#[unsafe(no_mangle)]
extern "C" fn lseek(descriptor: c_int, offset: i64, code: c_int) -> i64 {
    let found = with_places(descriptor).and_then(|descriptor| file::lseek(descriptor, offset, whence(code)?));
    value_or_errno(found)
}

/// It can be asked of a file only by opening it, which takes leave to read it.
#[unsafe(no_mangle)]
unsafe extern "C" fn stat(name: *const c_char, into: &mut MaybeUninit<Stat>) -> c_int {
    // SAFETY: the caller passes a string.
    let name = unsafe { path(name) };
    zero_or_errno(file::open(name, O_RDONLY, 0).and_then(|descriptor| {
        let status = stat_of(descriptor.0);
        close(descriptor)?;
        into.write(status?);
        Ok(())
    }))
}

/// No name is a link.
#[unsafe(no_mangle)]
unsafe extern "C" fn lstat(name: *const c_char, into: &mut MaybeUninit<Stat>) -> c_int {
    // SAFETY: as there.
    unsafe { stat(name, into) }
}

/// `R_OK`, `W_OK`, `X_OK`; `F_OK` is none of them. No file can be run.
mod wish {
    use core::ffi::c_int;

    pub(super) const RUN: c_int = 1;
    pub(super) const WRITE: c_int = 2;
    pub(super) const ALL: c_int = 7;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn access(name: *const c_char, wanted: c_int) -> c_int {
    // SAFETY: the caller passes a string.
    let name = unsafe { path(name) };
    let flags = if wanted & wish::WRITE == 0 { O_RDONLY } else { O_RDWR };
    zero_or_errno(match wanted {
        _ if wanted & !wish::ALL != 0 => Err(Errno::Invalid),
        _ => file::open(name, flags, 0).and_then(close).and(match wanted & wish::RUN {
            0 => Ok(()),
            _ => Err(Errno::Access),
        }),
    })
}

/// What is written is there at once.
#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: c_int) -> c_int {
    zero_or_errno(match unistd::is_console(descriptor) {
        true => Err(Errno::Invalid),
        false => portolan_posix::fstat(Descriptor(descriptor)).map(drop),
    })
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    fsync(descriptor)
}

/// The console's descriptors have no others.
fn more_of(descriptor: c_int) -> Result<Descriptor, Errno> {
    if unistd::is_console(descriptor) { Err(Errno::NotSupported) } else { Ok(Descriptor(descriptor)) }
}

/// Another descriptor of what one is of, from `least` on.
pub(crate) fn another(descriptor: c_int, least: c_int) -> Result<c_int, Errno> {
    portolan_posix::dup(more_of(descriptor)?, least).map(|Descriptor(number)| number)
}

#[unsafe(no_mangle)]
extern "C" fn dup(descriptor: c_int) -> c_int {
    value_or_errno(another(descriptor, 0))
}

#[unsafe(no_mangle)]
extern "C" fn dup2(descriptor: c_int, wanted: c_int) -> c_int {
    if descriptor == wanted && unistd::is_console(descriptor) {
        return wanted;
    }
    let made = more_of(descriptor).and_then(|descriptor| portolan_posix::dup2(descriptor, Descriptor(wanted)));
    value_or_errno(made.map(|Descriptor(number)| number))
}
