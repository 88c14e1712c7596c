//! `errno`: where a C function leaves the reason of a failure. Each thread has its own.
//!
//! Neighbour: `thread`, in whose block it lies.

use crate::thread;
use core::ffi::c_int;
use portolan::Error;
pub(crate) use portolan_posix::Errno;

/// What a C function returns: the value, or -1 and the reason in `errno`.
pub(crate) fn value_or_errno<T: From<i8>>(result: Result<T, Errno>) -> T {
    result.unwrap_or_else(|errno| {
        set(errno);
        T::from(-1)
    })
}

/// What a C function that has nothing to return returns: 0, or -1 and the reason in `errno`.
pub(crate) fn zero_or_errno(result: Result<(), Errno>) -> c_int {
    value_or_errno(result.map(|()| 0))
}

/// What a function of `pthread.h` returns: 0, or the reason.
pub(crate) fn number(result: Result<(), Errno>) -> c_int {
    result.map_or_else(|errno| errno as c_int, |()| 0)
}

pub(crate) fn set(errno: Errno) {
    thread::this().errno.store(errno as c_int, core::sync::atomic::Ordering::Relaxed);
}

/// The reason that comes nearest to the kernel's.
pub(crate) fn of(error: Error) -> Errno {
    match error {
        Error::ResourceShortage | Error::NoSpace | Error::SendNoBuffer => Errno::NoMemory,
        Error::InvalidArgument | Error::InvalidValue => Errno::Invalid,
        Error::InvalidAddress => Errno::Fault,
        Error::ProtectionFailure | Error::NoAccess => Errno::Access,
        Error::Aborted | Error::SendInterrupted | Error::ReceiveInterrupted => Errno::Interrupted,
        Error::SendTimedOut | Error::ReceiveTimedOut => Errno::TimedOut,
        _ => Errno::InputOutput,
    }
}
