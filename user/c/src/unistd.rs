//! `unistd.h`: the console as descriptors 0 to 2, and who this is.

use crate::errno::{self, Errno};
use core::ffi::{c_int, c_long};
use portolan::{Task, console, print};

/// What is typed, and the console twice.
const INPUT: c_int = 0;
const OUTPUT: c_int = 1;
pub(crate) const ERRORS: c_int = 2;

/// Memory of a C program. Of length 0 it may be anywhere, and is nothing.
///
/// # Safety
/// So many bytes can be read from `start` on, and stay as they are while the result is used.
pub(crate) unsafe fn bytes<'a>(start: *const u8, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for it.
    unsafe { core::slice::from_raw_parts(start, length) }
}

/// Writes all of it to a descriptor.
pub(crate) fn write_all(descriptor: c_int, bytes: &[u8]) -> Result<(), Errno> {
    if !matches!(descriptor, OUTPUT | ERRORS) {
        return Err(Errno::BadDescriptor);
    }
    bytes.chunks(print::LINE_MAX).try_for_each(print::write).map_err(errno::of)
}

/// Reads what there is, at least a byte, from a descriptor; how much.
pub(crate) fn read_some(descriptor: c_int, into: &mut [u8]) -> Result<usize, Errno> {
    if descriptor != INPUT {
        return Err(Errno::BadDescriptor);
    }
    let console = console::this().ok_or(Errno::InputOutput)?;
    console.read_into(into).map_err(errno::of)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, start: *const u8, length: usize) -> isize {
    // SAFETY: the caller passes memory of this length.
    let bytes = unsafe { bytes(start, length) };
    match write_all(descriptor, bytes) {
        Ok(()) => length as isize,
        Err(errno) => errno::value_or_errno(Err(errno)),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn read(descriptor: c_int, into: *mut u8, length: usize) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller passes room of this length.
    let into = unsafe { core::slice::from_raw_parts_mut(into, length) };
    errno::value_or_errno(read_some(descriptor, into).map(|count| count as isize))
}

#[unsafe(no_mangle)]
extern "C" fn isatty(descriptor: c_int) -> c_int {
    let is_console = matches!(descriptor, INPUT | OUTPUT | ERRORS);
    if !is_console {
        errno::set(Errno::BadDescriptor);
    }
    is_console.into()
}

/// Ends the task at once. The status is what a parent sees of it in POSIX: 8 bits.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn _Exit(status: c_int) -> ! {
    portolan::exit((status & 0xff) as u32)
}

#[unsafe(no_mangle)]
extern "C" fn _exit(status: c_int) -> ! {
    _Exit(status)
}

/// What a shell says of a program that ended by SIGABRT.
const ABORTED: c_int = 134;

#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    _Exit(ABORTED)
}

/// The task's own number.
#[unsafe(no_mangle)]
extern "C" fn getpid() -> c_int {
    Task::this().info().map_or(0, |info| info.id as c_int)
}

/// `_SC_…` of Linux.
mod limit {
    use core::ffi::c_int;

    pub(super) const CLK_TCK: c_int = 2;
    pub(super) const PAGE_SIZE: c_int = 30;
    pub(super) const PROCESSORS_CONF: c_int = 83;
    pub(super) const PROCESSORS_ONLN: c_int = 84;
    pub(super) const VERSION: c_int = 29;
    pub(super) const MONOTONIC_CLOCK: c_int = 149;
    pub(super) const THREADS: c_int = 67;
    pub(super) const THREAD_KEYS_MAX: c_int = 74;
    pub(super) const THREAD_DESTRUCTOR_ITERATIONS: c_int = 73;
    pub(super) const THREAD_STACK_MIN: c_int = 75;
}

/// The version of POSIX that the constants and declarations are of.
const POSIX: c_long = 200_809;

#[unsafe(no_mangle)]
extern "C" fn sysconf(name: c_int) -> c_long {
    match name {
        limit::PAGE_SIZE => portolan::abi::PAGE_SIZE as c_long,
        limit::CLK_TCK => 100,
        limit::PROCESSORS_CONF | limit::PROCESSORS_ONLN => 1,
        limit::VERSION | limit::MONOTONIC_CLOCK | limit::THREADS => POSIX,
        limit::THREAD_KEYS_MAX => crate::thread::KEYS_MAX as c_long,
        limit::THREAD_DESTRUCTOR_ITERATIONS => crate::thread::DESTRUCTOR_ROUNDS as c_long,
        limit::THREAD_STACK_MIN => crate::thread::STACK_MIN as c_long,
        _ => errno::value_or_errno(Err(Errno::Invalid)),
    }
}

#[unsafe(no_mangle)]
extern "C" fn getpagesize() -> c_int {
    portolan::abi::PAGE_SIZE as c_int
}
