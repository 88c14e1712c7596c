//! `unistd.h`: the console as descriptors 0 to 2, who this is, and limits.

use crate::errno::{self, Errno};
use core::ffi::{c_char, c_int, c_long, c_uint};
use portolan::{console, print};
use portolan_posix::Descriptor;

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

/// Room of a C program, which is nothing if its length is 0.
///
/// # Safety
/// So many bytes can be read and written from `start` on, by nobody else while the result is used.
pub(crate) unsafe fn bytes_mut<'a>(start: *mut u8, length: usize) -> &'a mut [u8] {
    if length == 0 {
        return &mut [];
    }
    // SAFETY: the caller vouches for it.
    unsafe { core::slice::from_raw_parts_mut(start, length) }
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

/// Whether it is one of the console's three.
pub(crate) fn is_console(descriptor: c_int) -> bool {
    matches!(descriptor, INPUT | OUTPUT | ERRORS)
}

#[unsafe(no_mangle)]
extern "C" fn isatty(descriptor: c_int) -> c_int {
    let is_console = is_console(descriptor);
    if !is_console {
        let is_open = portolan_posix::fstat(Descriptor(descriptor)).is_ok();
        errno::set(if is_open { Errno::NoTerminal } else { Errno::BadDescriptor });
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

/// Who this is, which every program can be told; -1 if there is no memory for the answer.
fn identity(number: Result<u32, Errno>) -> c_uint {
    number.unwrap_or(c_uint::MAX)
}

#[unsafe(no_mangle)]
extern "C" fn getuid() -> c_uint {
    identity(portolan_posix::getuid())
}

#[unsafe(no_mangle)]
extern "C" fn geteuid() -> c_uint {
    identity(portolan_posix::geteuid())
}

#[unsafe(no_mangle)]
extern "C" fn getgid() -> c_uint {
    identity(portolan_posix::getgid())
}

#[unsafe(no_mangle)]
extern "C" fn getegid() -> c_uint {
    identity(portolan_posix::getegid())
}

#[unsafe(no_mangle)]
extern "C" fn umask(mask: c_uint) -> c_uint {
    portolan_posix::umask(mask)
}

/// `_SC_…` of Linux.
mod limit {
    use core::ffi::c_int;

    pub(super) const OPEN_MAX: c_int = 4;
    pub(super) const SEMAPHORES: c_int = 21;
    pub(super) const SHARED_MEMORY_OBJECTS: c_int = 22;
    pub(super) const MESSAGE_PASSING: c_int = 20;
    pub(super) const SYNCHRONIZED_IO: c_int = 14;
    pub(super) const FSYNC: c_int = 15;
    pub(super) const MAPPED_FILES: c_int = 16;
    pub(super) const MEMLOCK: c_int = 17;
    pub(super) const MEMLOCK_RANGE: c_int = 18;
    pub(super) const MEMORY_PROTECTION: c_int = 19;
    pub(super) const TIMEOUTS: c_int = 164;
    pub(super) const BARRIERS: c_int = 133;
    pub(super) const MQ_OPEN_MAX: c_int = 27;
    pub(super) const MQ_PRIO_MAX: c_int = 28;
    pub(super) const SEM_NSEMS_MAX: c_int = 32;
    pub(super) const SEM_VALUE_MAX: c_int = 33;
    pub(super) const CLK_TCK: c_int = 2;
    pub(super) const PAGE_SIZE: c_int = 30;
    pub(super) const PROCESSORS_CONF: c_int = 83;
    pub(super) const PROCESSORS_ONLN: c_int = 84;
    pub(super) const VERSION: c_int = 29;
    pub(super) const MONOTONIC_CLOCK: c_int = 149;
    pub(super) const THREADS: c_int = 67;
    pub(super) const THREADS_MAX: c_int = 76;
    pub(super) const THREAD_SAFE_FUNCTIONS: c_int = 68;
    pub(super) const THREAD_STACK_ADDRESS: c_int = 77;
    pub(super) const THREAD_STACK_SIZE: c_int = 78;
    pub(super) const THREAD_PROCESS_SHARED: c_int = 82;
    pub(super) const CLOCK_SELECTION: c_int = 137;
    pub(super) const READER_WRITER_LOCKS: c_int = 153;
    pub(super) const SPIN_LOCKS: c_int = 154;
    pub(super) const REALTIME_SIGNALS: c_int = 9;
    pub(super) const RTSIG_MAX: c_int = 31;
    pub(super) const SIGQUEUE_MAX: c_int = 34;
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
        limit::VERSION | limit::MONOTONIC_CLOCK | limit::THREADS | limit::TIMEOUTS | limit::BARRIERS => POSIX,
        limit::THREAD_SAFE_FUNCTIONS | limit::THREAD_STACK_ADDRESS | limit::THREAD_STACK_SIZE => POSIX,
        limit::THREAD_PROCESS_SHARED | limit::CLOCK_SELECTION | limit::REALTIME_SIGNALS => POSIX,
        limit::READER_WRITER_LOCKS | limit::SPIN_LOCKS => POSIX,
        limit::RTSIG_MAX => crate::signal::QUEUED_KINDS,
        limit::SIGQUEUE_MAX => crate::signal::PENDING_MAX as c_long,
        limit::SEMAPHORES | limit::SHARED_MEMORY_OBJECTS | limit::MESSAGE_PASSING => POSIX,
        limit::MAPPED_FILES | limit::MEMORY_PROTECTION | limit::MEMLOCK | limit::MEMLOCK_RANGE => POSIX,
        limit::FSYNC | limit::SYNCHRONIZED_IO => POSIX,
        limit::OPEN_MAX => portolan_posix::descriptor::OPEN_MAX as c_long,
        limit::MQ_OPEN_MAX => crate::queue::OPEN_MAX as c_long,
        limit::MQ_PRIO_MAX => portolan_posix::queue::PRIORITY_MAX.into(),
        limit::SEM_VALUE_MAX => portolan_posix::VALUE_MAX.into(),
        // As many as there is memory for.
        limit::SEM_NSEMS_MAX | limit::THREADS_MAX => -1,
        limit::THREAD_KEYS_MAX => crate::thread::KEYS_MAX as c_long,
        limit::THREAD_DESTRUCTOR_ITERATIONS => crate::thread::DESTRUCTOR_ROUNDS as c_long,
        limit::THREAD_STACK_MIN => crate::thread::STACK_MIN as c_long,
        _ => errno::value_or_errno(Err(Errno::Invalid)),
    }
}

/// `_PC_…` of Linux.
mod path_limit {
    use core::ffi::c_int;

    pub(super) const LINK_MAX: c_int = 0;
    pub(super) const NAME_MAX: c_int = 3;
    pub(super) const PATH_MAX: c_int = 4;
    pub(super) const NO_TRUNC: c_int = 7;
}

/// The same for all paths; -1 without a reason is no limit.
#[unsafe(no_mangle)]
extern "C" fn pathconf(_path: *const c_char, name: c_int) -> c_long {
    match name {
        path_limit::LINK_MAX | path_limit::NO_TRUNC => 1,
        path_limit::NAME_MAX => portolan_posix::NAME_MAX as c_long,
        path_limit::PATH_MAX => portolan_posix::file::PATH_MAX as c_long,
        _ => errno::value_or_errno(Err(Errno::Invalid)),
    }
}

#[unsafe(no_mangle)]
extern "C" fn fpathconf(_descriptor: c_int, name: c_int) -> c_long {
    pathconf(core::ptr::null(), name)
}

/// A task cannot take another user: nobody else may set one, and who may does it with a right, not a number.
fn require_own(own: Result<u32, Errno>, wanted: c_uint) -> Result<(), Errno> {
    if own? == wanted { Ok(()) } else { Err(Errno::Permission) }
}

#[unsafe(no_mangle)]
extern "C" fn setuid(user: c_uint) -> c_int {
    errno::zero_or_errno(require_own(portolan_posix::getuid(), user))
}

#[unsafe(no_mangle)]
extern "C" fn seteuid(user: c_uint) -> c_int {
    setuid(user)
}

#[unsafe(no_mangle)]
extern "C" fn setgid(group: c_uint) -> c_int {
    errno::zero_or_errno(require_own(portolan_posix::getgid(), group))
}

#[unsafe(no_mangle)]
extern "C" fn setegid(group: c_uint) -> c_int {
    setgid(group)
}

#[unsafe(no_mangle)]
extern "C" fn getpagesize() -> c_int {
    portolan::abi::PAGE_SIZE as c_int
}
