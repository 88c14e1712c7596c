//! Every result a call can have, with its number.
//!
//! One enum serves traps and kernel routines. Numbers of classic Mach codes are
//! Mach 2.5's (`mach/message.h`, `mach/kern_return.h`); those that Mach 3 or
//! Portolan added follow each range. 0 is success and is not in the enum.
//!
//! Invariant: a call that returns an error has changed nothing, unless the
//! error's text says otherwise.

/// The result of a call.
pub type Result<T> = core::result::Result<T, Error>;

macro_rules! errors {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $classic:literal;)*) => {
        /// Why a call did not succeed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum Error { $($(#[doc = $doc])* $name = $code,)* }

        impl Error {
            /// Every error, in the order of its definition.
            pub const ALL: &'static [Error] = &[$(Error::$name,)*];

            /// The error with this number; `None` for 0 and for unknown numbers.
            #[must_use]
            pub const fn from_code(code: i32) -> Option<Error> {
                match code { $($code => Some(Error::$name),)* _ => None }
            }

            /// The lines of its text, for documents.
            #[must_use]
            pub const fn lines(self) -> &'static [&'static str] {
                match self { $(Error::$name => &[$($doc),*],)* }
            }

            /// The name a Mach programmer knows it by.
            #[must_use]
            pub const fn classic_name(self) -> &'static str {
                match self { $(Error::$name => $classic,)* }
            }
        }
    };
}

errors! {
    /// An address is outside user memory, or a range wraps.
    InvalidAddress = 1, "KERN_INVALID_ADDRESS";
    /// The memory exists, but not with the access asked for.
    ProtectionFailure = 2, "KERN_PROTECTION_FAILURE";
    /// No free range of that size, or the range asked for is in use.
    NoSpace = 3, "KERN_NO_SPACE";
    /// An argument has no meaning for this call.
    InvalidArgument = 4, "KERN_INVALID_ARGUMENT";
    /// The call is well formed but cannot be done to this object.
    Failure = 5, "KERN_FAILURE";
    /// The account that pays is spent, or the machine's memory is.
    ResourceShortage = 6, "KERN_RESOURCE_SHORTAGE";
    /// The task does not hold the receive right that the call needs.
    NotReceiver = 7, "KERN_NOT_RECEIVER";
    /// The right does not allow this access.
    NoAccess = 8, "KERN_NO_ACCESS";
    /// A page's pager is gone: the page will never be there.
    MemoryFailure = 9, "KERN_MEMORY_FAILURE";
    /// A page's pager has refused it, or is the caller's own task.
    MemoryError = 10, "KERN_MEMORY_ERROR";
    /// The port is in no set.
    NotInSet = 12, "KERN_NOT_IN_SET";
    /// The name, or another with the same slot, is in use already.
    NameExists = 13, "KERN_NAME_EXISTS";
    /// The wait was ended by `thread_abort`.
    Aborted = 14, "KERN_ABORTED";
    /// The task has no right under this name.
    InvalidName = 15, "KERN_INVALID_NAME";
    /// The task is gone.
    InvalidTask = 16, "KERN_INVALID_TASK";
    /// The name stands for another kind of right.
    InvalidRight = 17, "KERN_INVALID_RIGHT";
    /// A value is out of range.
    InvalidValue = 18, "KERN_INVALID_VALUE";
    /// The user-reference count of a right would pass its maximum.
    UrefsOverflow = 19, "KERN_UREFS_OVERFLOW";
    /// A right in a message to the kernel is not the kind that the routine takes.
    InvalidCapability = 20, "KERN_INVALID_CAPABILITY";
    /// The task knows the port by another name.
    RightExists = 21, "KERN_RIGHT_EXISTS";
    /// The thread that owns the word has died, with the word its own.
    OwnerDead = 39, "KERN_LOCK_UNSTABLE";
    /// There is no trap with this number.
    InvalidCall = 40, "KERN_INVALID_CALL";
    /// The page lies beyond the end of its memory object.
    BeyondEnd = 41, "KERN_BEYOND_END";
    /// A mapping needs what would be taken away.
    InUse = 42, "KERN_IN_USE";
    /// The deadline has come.
    TimedOut = 49, "KERN_OPERATION_TIMED_OUT";
    /// The word, or the size, is not what was expected.
    ValueDiffers = 60, "KERN_VALUE_DIFFERS";
    /// There is no routine with this message id behind this port.
    BadId = -303, "MIG_BAD_ID";
    /// The body of a message to the kernel has not the size, or not the number
    /// of rights, that its routine takes.
    BadArguments = -304, "MIG_BAD_ARGUMENTS";

    /// The send buffer is not readable memory of the task, or what a descriptor points to is not.
    SendInvalidMemory = -101, "SEND_INVALID_MEMORY";
    /// The destination is no send or send-once right, or its port is dead, also
    /// when it dies while the sender waits.
    SendInvalidPort = -102, "SEND_INVALID_PORT";
    /// The mailbox was full and stayed full until the deadline.
    SendTimedOut = -103, "SEND_TIMED_OUT";
    /// The mailbox was full: the kernel has cached the message and will announce
    /// on the notify port that it has been accepted. The message has been taken.
    SendWillNotify = -105, "SEND_WILL_NOTIFY";
    /// The mailbox is full and holds a cached message of this task already.
    SendNotifyInProgress = -106, "SEND_NOTIFY_IN_PROGRESS";
    /// The wait was ended by `thread_abort`.
    SendInterrupted = -108, "SEND_INTERRUPTED";
    /// The message is larger than `MESSAGE_MAX`, or has more than `DESCRIPTORS_MAX`
    /// descriptors or `RIGHTS_MAX` rights.
    SendTooLarge = -109, "SEND_MSG_TOO_LARGE";
    /// The message is smaller than its header and descriptors.
    SendTooSmall = -110, "SEND_MSG_TOO_SMALL";
    /// The account that pays for queued bytes and for memory on its way is spent.
    SendNoBuffer = -111, "SEND_NO_BUFFER";
    /// A descriptor names a right that the task has not, or has not enough of.
    SendInvalidRight = -112, "SEND_INVALID_RIGHT";
    /// The reply right cannot be had as the header says.
    SendInvalidReply = -113, "SEND_INVALID_REPLY";
    /// Bits of the header that have no meaning are set.
    SendInvalidHeader = -114, "SEND_INVALID_HEADER";
    /// A descriptor has an unknown type or meaningless bits.
    SendInvalidType = -115, "SEND_INVALID_TYPE";
    /// Unknown or contradicting option bits.
    SendInvalidOptions = -116, "SEND_INVALID_OPTIONS";
    /// The mailbox is full, and its receiver takes no more then.
    SendPortFull = -117, "SEND_PORT_FULL";
    /// The mailbox is full, and whoever could take from it waits in its turn, for ever: so would
    /// this send ([`thread::refusal`](crate::thread::refusal) tells who waits for whom).
    SendWouldDeadlock = -118, "SEND_WOULD_DEADLOCK";

    /// The receive buffer is not writable memory of the task. The message stays queued.
    ReceiveInvalidMemory = -201, "RCV_INVALID_MEMORY";
    /// The name is no receive right and no port set.
    ReceiveInvalidPort = -202, "RCV_INVALID_PORT";
    /// No message came before the deadline.
    ReceiveTimedOut = -203, "RCV_TIMED_OUT";
    /// The buffer is too small: the message stays queued, its size is returned.
    ReceiveTooLarge = -204, "RCV_TOO_LARGE";
    /// The task has no room for the names or the memory that the message brings, or cannot
    /// pay for it. It stays queued.
    ReceiveNoSpace = -205, "RCV_NOT_ENOUGH_MEMORY";
    /// The wait was ended by `thread_abort`.
    ReceiveInterrupted = -207, "RCV_INTERRUPTED";
    /// The port was put into a set during the wait.
    ReceivePortChanged = -208, "RCV_PORT_CHANGE";
    /// The reply right of this `msg_rpc` is gone: no reply will ever come.
    ReceiveReplyLost = -209, "RCV_REPLY_LOST";
    /// Unknown or contradicting option bits.
    ReceiveInvalidOptions = -210, "RCV_INVALID_OPTIONS";
    /// The port died, or its receive right moved away, during the wait.
    ReceivePortDied = -211, "RCV_PORT_DIED";
    /// The port is in a set: its messages are received from there only.
    ReceiveInSet = -212, "RCV_IN_SET";
    /// Nothing is there, and nobody is left who could ever send it: whoever could waits in its
    /// turn, for ever. What a `msg_rpc` was to send has been sent.
    ReceiveWouldDeadlock = -213, "RCV_WOULD_DEADLOCK";
}

impl Error {
    /// Its number, as it stands in the result register and in replies.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }
}

/// The number of a result: 0, or the error's.
#[must_use]
pub const fn code_of<T>(result: &Result<T>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.code(),
    }
}

/// The result that a number stands for. An unknown number reads as
/// [`Error::Failure`], so that a program built for an older kernel still sees a failure.
#[inline]
pub const fn result_of(code: i32) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(failure_of(code)) }
}

#[cold]
const fn failure_of(code: i32) -> Error {
    match Error::from_code(code) {
        Some(error) => error,
        None => Error::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_own_number_and_comes_back_from_it() {
        for (index, error) in Error::ALL.iter().enumerate() {
            assert_eq!(Error::from_code(error.code()), Some(*error));
            assert!(Error::ALL[..index].iter().all(|other| other.code() != error.code()));
        }
    }

    #[test]
    fn numbers_that_mean_nothing_read_as_failure() {
        assert_eq!(result_of(0), Ok(()));
        assert_eq!(result_of(-103), Err(Error::SendTimedOut));
        assert_eq!(result_of(i32::MIN), Err(Error::Failure));
    }
}
