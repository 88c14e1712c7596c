//! `errno`: why a POSIX call failed.
//!
//! The numbers are those of Linux on x86-64, which programs see. Neighbours: every module
//! returns these, and the C face stores them.

/// An error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// `EPERM`: the caller may not do this.
    Permission = 1,
    /// `ENOENT`: there is nothing of this name.
    NoEntry = 2,
    /// `ESRCH`: there is no such task or thread.
    NoProcess = 3,
    /// `EINTR`: the call was aborted.
    Interrupted = 4,
    /// `EIO`: the server that was asked has died.
    InputOutput = 5,
    /// `ENXIO`: the range is not valid for the object.
    NoDevice = 6,
    /// `EBADF`: no such descriptor, or not open for this.
    BadDescriptor = 9,
    /// `ECHILD`: there is no such child.
    NoChild = 10,
    /// `EAGAIN`: not now.
    Again = 11,
    /// `ENOMEM`: memory, or an account, is spent.
    NoMemory = 12,
    /// `EACCES`: the mode does not allow it.
    Access = 13,
    /// `EFAULT`: a bad address.
    Fault = 14,
    /// `EBUSY`: in use.
    Busy = 16,
    /// `EEXIST`: the name is taken.
    Exists = 17,
    /// `ENODEV`: the object cannot be mapped.
    NotMappable = 19,
    /// `EISDIR`: it is a directory.
    IsDirectory = 21,
    /// `EINVAL`: an argument makes no sense.
    Invalid = 22,
    /// `ENFILE`: the server holds too many objects.
    TablesFull = 23,
    /// `EMFILE`: the task has too many descriptors.
    DescriptorsFull = 24,
    /// `ENOTTY`: it is no terminal.
    NoTerminal = 25,
    /// `EFBIG`: the size is beyond the limit.
    FileTooBig = 27,
    /// `ENOSPC`: no memory for the object.
    NoSpace = 28,
    /// `ESPIPE`: what is open has no places to go to.
    IllegalSeek = 29,
    /// `ERANGE`: the result does not fit.
    Range = 34,
    /// `EDEADLK`: the wait would never end.
    Deadlock = 35,
    /// `ENAMETOOLONG`: the name has more than 255 bytes.
    NameTooLong = 36,
    /// `ENOSYS`: not there.
    NoSystem = 38,
    /// `EOVERFLOW`: a sum does not fit.
    Overflow = 75,
    /// `EMSGSIZE`: the message is too long, or the buffer too small.
    MessageSize = 90,
    /// `ENOTSUP`: the combination is not supported.
    NotSupported = 95,
    /// `ETIMEDOUT`: the time has passed.
    TimedOut = 110,
    /// `EOWNERDEAD`: the owner of the mutex died with it.
    OwnerDead = 130,
    /// `ENOTRECOVERABLE`: the mutex was left inconsistent.
    NotRecoverable = 131,
}

impl Errno {
    /// Every one.
    pub const ALL: &'static [Errno] = &[
        Errno::Permission,
        Errno::NoEntry,
        Errno::NoProcess,
        Errno::Interrupted,
        Errno::InputOutput,
        Errno::NoDevice,
        Errno::BadDescriptor,
        Errno::NoChild,
        Errno::Again,
        Errno::NoMemory,
        Errno::Access,
        Errno::Fault,
        Errno::Busy,
        Errno::Exists,
        Errno::NotMappable,
        Errno::IsDirectory,
        Errno::Invalid,
        Errno::TablesFull,
        Errno::DescriptorsFull,
        Errno::NoTerminal,
        Errno::FileTooBig,
        Errno::NoSpace,
        Errno::IllegalSeek,
        Errno::Range,
        Errno::Deadlock,
        Errno::NameTooLong,
        Errno::NoSystem,
        Errno::Overflow,
        Errno::MessageSize,
        Errno::NotSupported,
        Errno::TimedOut,
        Errno::OwnerDead,
        Errno::NotRecoverable,
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The result that a number stands for in a server's answer: 0 is success, and a number that is
    /// none reads as `InputOutput`.
    ///
    /// # Errors
    /// The one with this number.
    pub fn check(number: i32) -> Result<()> {
        if number == 0 {
            return Ok(());
        }
        Err(Errno::ALL.iter().copied().find(|errno| errno.number() == number).unwrap_or(Errno::InputOutput))
    }
}

/// The result of a POSIX call.
pub type Result<T, E = Errno> = core::result::Result<T, E>;
