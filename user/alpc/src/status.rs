//! Why a call did not succeed: the status codes of Windows, by name and number.
//!
//! Invariant: a call that returns one has changed nothing, unless its text says otherwise.
//! Neighbours: every other module.

use core::fmt;
use portolan::Error;

/// The result of a call.
pub type Result<T, E = Status> = core::result::Result<T, E>;

macro_rules! statuses {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $windows:literal;)*) => {
        /// Why a call did not succeed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Status { $($(#[doc = $doc])* $name = $code,)* }

        impl Status {
            /// All of them.
            pub const ALL: &'static [Status] = &[$(Status::$name,)*];

            /// The name that a Windows programmer knows it by.
            #[must_use]
            pub const fn windows_name(self) -> &'static str {
                match self { $(Status::$name => $windows,)* }
            }
        }
    };
}

statuses! {
    /// The wait was ended by `thread_abort`, as it allowed
    /// ([`SendFlags::WAIT_ALERTABLE`](crate::SendFlags::WAIT_ALERTABLE)).
    Alerted = 0x0000_0101, "STATUS_ALERTED";
    /// Nothing came in time.
    Timeout = 0x0000_0102, "STATUS_TIMEOUT";
    /// It failed for a reason that Windows has no word for.
    Unsuccessful = 0xC000_0001, "STATUS_UNSUCCESSFUL";
    /// A handle to be sent is none.
    InvalidHandle = 0xC000_0008, "STATUS_INVALID_HANDLE";
    /// There is no request with this id that waits for a reply; a message of a type that is the library's own;
    /// flags or attributes that exclude each other.
    InvalidParameter = 0xC000_000D, "STATUS_INVALID_PARAMETER";
    /// The view is larger than its port allows, or not inside its section.
    InvalidViewSize = 0xC000_001F, "STATUS_INVALID_VIEW_SIZE";
    /// The connection port does not let this client in; or the client has not agreed.
    AccessDenied = 0xC000_0022, "STATUS_ACCESS_DENIED";
    /// The message is longer than the receiver said. It stays, and is received next.
    BufferTooSmall = 0xC000_0023, "STATUS_BUFFER_TOO_SMALL";
    /// The attributes of a port are out of range.
    InvalidPortAttributes = 0xC000_002E, "STATUS_INVALID_PORT_ATTRIBUTES";
    /// The message is longer than both ports allow, or longer than the reserve.
    PortMessageTooLong = 0xC000_002F, "STATUS_PORT_MESSAGE_TOO_LONG";
    /// It cannot be a name.
    ObjectNameInvalid = 0xC000_0033, "STATUS_OBJECT_NAME_INVALID";
    /// No server has this name, or it has gone.
    ObjectNameNotFound = 0xC000_0034, "STATUS_OBJECT_NAME_NOT_FOUND";
    /// Another server has this name.
    ObjectNameCollision = 0xC000_0035, "STATUS_OBJECT_NAME_COLLISION";
    /// There is no name server, or it has just died.
    ObjectPathNotFound = 0xC000_003A, "STATUS_OBJECT_PATH_NOT_FOUND";
    /// One of the two has disconnected, or ended.
    PortDisconnected = 0xC000_0037, "STATUS_PORT_DISCONNECTED";
    /// The section, or all of the port's together, would be larger than the port allows.
    SectionTooBig = 0xC000_0040, "STATUS_SECTION_TOO_BIG";
    /// The server has refused the connection, or ended before it answered.
    PortConnectionRefused = 0xC000_0041, "STATUS_PORT_CONNECTION_REFUSED";
    /// The call is for another kind of port.
    InvalidPortHandle = 0xC000_0042, "STATUS_INVALID_PORT_HANDLE";
    /// The other side's pool is full: it has to receive first. A sender never waits for that.
    QuotaExceeded = 0xC000_0044, "STATUS_QUOTA_EXCEEDED";
    /// Memory or names of this task are used up.
    InsufficientResources = 0xC000_009A, "STATUS_INSUFFICIENT_RESOURCES";
    /// The client has not agreed to be impersonated.
    BadImpersonationLevel = 0xC000_00A5, "STATUS_BAD_IMPERSONATION_LEVEL";
    /// The wait would have no end, and the kernel has refused it: whoever could end it waits in turn, for ever
    /// (`portolan::thread::Thread::refusal` tells who for whom). A request was sent by then; as nobody waits for it, it is
    /// passed over, or its reply is `RequestCanceled` to who has received it. A receive can be made again.
    PossibleDeadlock = 0xC000_0194, "STATUS_POSSIBLE_DEADLOCK";
    /// What came through the right to reply is no reply to this request.
    ReplyMessageMismatch = 0xC000_021F, "STATUS_REPLY_MESSAGE_MISMATCH";
    /// The request was received or queued, and there will be no reply: the server has disconnected or ended.
    LpcReplyLost = 0xC000_0253, "STATUS_LPC_REPLY_LOST";
    /// The server acts for somebody else than the client requires.
    ServerSidMismatch = 0xC000_02A0, "STATUS_SERVER_SID_MISMATCH";
    /// There is no reserve with this id.
    ObjectIdNotFound = 0xC000_02F0, "STATUS_OBJECTID_NOT_FOUND";
    /// Callbacks are nested too deeply.
    ImplementationLimit = 0xC000_042B, "STATUS_IMPLEMENTATION_LIMIT";
    /// The request was canceled by the other side.
    MessageLost = 0xC000_0701, "STATUS_MESSAGE_LOST";
    /// Whoever sent the request has stopped waiting for its reply. The request is gone.
    RequestCanceled = 0xC000_0703, "STATUS_REQUEST_CANCELED";
    /// The server has not yet answered the connection request.
    LpcRequestsNotAllowed = 0xC000_0707, "STATUS_LPC_REQUESTS_NOT_ALLOWED";
    /// The reserve is in use: by another thread, or by a reply that has not been received.
    ResourceInUse = 0xC000_0708, "STATUS_RESOURCE_IN_USE";
    /// More handles than a message takes.
    LpcHandleCountExceeded = 0xC000_0722, "STATUS_LPC_HANDLE_COUNT_EXCEEDED";
}

impl Status {
    /// Its number.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The status with this number.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Status> {
        Self::ALL.iter().copied().find(|status| status.code() == code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.windows_name())
    }
}

/// What Portolan's errors mean for a message between connected ports.
impl From<Error> for Status {
    fn from(error: Error) -> Status {
        match error {
            Error::SendInvalidPort | Error::ReceivePortDied | Error::ReceiveInvalidPort => Status::PortDisconnected,
            Error::SendPortFull => Status::QuotaExceeded,
            Error::SendWouldDeadlock | Error::ReceiveWouldDeadlock => Status::PossibleDeadlock,
            Error::SendTimedOut | Error::ReceiveTimedOut => Status::Timeout,
            Error::ReceiveReplyLost => Status::LpcReplyLost,
            Error::SendInvalidRight | Error::InvalidRight => Status::InvalidHandle,
            Error::SendTooLarge => Status::PortMessageTooLong,
            Error::SendInterrupted | Error::ReceiveInterrupted | Error::Aborted => Status::Alerted,
            Error::NoSpace
            | Error::ResourceShortage
            | Error::UrefsOverflow
            | Error::SendNoBuffer
            | Error::ReceiveNoSpace => Status::InsufficientResources,
            _ => Status::Unsuccessful,
        }
    }
}

impl From<portolan::Failure<'_>> for Status {
    fn from(failure: portolan::Failure<'_>) -> Status {
        failure.error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_found_by_its_number() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status.code()), Some(*status));
            assert!(status.windows_name().starts_with("STATUS_"));
        }
        assert_eq!(Status::from_code(0), None);
    }

    #[test]
    fn an_error_that_windows_does_not_know_is_said_to_be_one() {
        assert_eq!(Status::from(Error::BadId), Status::Unsuccessful);
    }
}
