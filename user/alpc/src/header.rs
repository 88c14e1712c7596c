//! What every message begins with: Windows' `PORT_MESSAGE`, and what the library puts behind it.
//!
//! ```text
//! 0   PortMessage      40 bytes, laid out as on 64-bit Windows
//! 40  data             data_length bytes; longer than INLINE_MAX they are out of line instead
//!     Attributes       24 bytes at data_info_offset, if that is not 0; of a connection, Terms
//! ```
//!
//! Invariant: what a received header says of the sender (`process`) is the kernel's word, not the sender's; its id
//! is the receiver's own. Neighbours: `message` reads and writes all this.

use crate::attributes::PortAttributes;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first 40 bytes of every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PortMessage {
    /// Bytes of data.
    pub data_length: u16,
    /// Bytes of header and data.
    pub total_length: u16,
    /// A [`Type`], and flags ([`CONTINUATION_REQUIRED`], [`NO_IMPERSONATE`]).
    pub kind: u16,
    /// Where the attributes begin; 0 if there are none.
    pub data_info_offset: u16,
    /// The sending task, as the kernel tells it.
    pub process: u64,
    /// Always 0: the kernel says which task has sent a message, not which of its threads.
    pub thread: u64,
    /// Names the request among all that the receiver has not answered.
    pub message_id: u32,
    /// Always 0.
    pub reserved: u32,
    /// Of a callback, how deep it is nested; of a connection's answer, its status; else 0.
    pub callback_id: u64,
}

impl PortMessage {
    /// Its length in bytes.
    pub const SIZE: usize = size_of::<PortMessage>();

    /// What it is.
    #[must_use]
    pub fn message_type(&self) -> Option<Type> {
        Type::from_code(self.kind & TYPE_MASK)
    }
}

/// The part of [`PortMessage::kind`] that is a [`Type`].
pub const TYPE_MASK: u16 = 0xff;
/// Flag of [`PortMessage::kind`]: a reply is expected.
pub const CONTINUATION_REQUIRED: u16 = 0x2000;
/// Flag of [`PortMessage::kind`]: the receiver must not act for the sender of this one.
pub const NO_IMPERSONATE: u16 = 0x4000;

/// Flag of a connection request that brings nothing: whoever serves there is to show who it is.
pub(crate) const IDENTIFY: u16 = 0x0100;
/// Flag of a connection request that brings nothing: the server is to tell of its connections, from `message_id` on.
pub(crate) const INFORM: u16 = 0x0200;

/// What a message is; numbers are those of `LPC_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Type {
    /// None of ALPC's: it came to a port of the program's own ([`Port::join`](crate::Port::join)).
    Mach = 0,
    /// Wants a reply: an ordinary request, or, as the answer to one's own request, a callback.
    Request = 1,
    /// Answers a request.
    Reply = 2,
    /// Wants no reply.
    Datagram = 3,
    /// To who sent an asynchronous request: there will be no reply.
    LostReply = 4,
    /// The other side has disconnected; to a client also, its server has ended.
    PortClosed = 5,
    /// To a server: the client has ended without disconnecting.
    ClientDied = 6,
    /// A client wants to connect.
    ConnectionRequest = 10,
    /// The server's answer to that.
    ConnectionReply = 11,
    /// A request has been canceled.
    Canceled = 12,
}

impl Type {
    /// The type with this number.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Type> {
        Some(match code {
            0 => Type::Mach,
            1 => Type::Request,
            2 => Type::Reply,
            3 => Type::Datagram,
            4 => Type::LostReply,
            5 => Type::PortClosed,
            6 => Type::ClientDied,
            10 => Type::ConnectionRequest,
            11 => Type::ConnectionReply,
            12 => Type::Canceled,
            _ => return None,
        })
    }
}

/// What rides along with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Attributes {
    /// [`MessageAttributes`]: its security, view and handles.
    pub(crate) valid: u32,
    /// Of a security attribute, its level; in the other half, how many handles.
    pub(crate) level: u16,
    pub(crate) handles: u16,
    /// Of a view, where it is in its section, and how long.
    pub(crate) view_offset: u64,
    pub(crate) view_size: u64,
}

bitflags::bitflags! {
    /// What can ride along with a message; numbers are those of `ALPC_MESSAGE_…_ATTRIBUTE`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MessageAttributes: u32 {
        /// The sender's consent to act for it, for this message.
        const SECURITY = 0x8000_0000;
        /// A section view.
        const VIEW = 0x4000_0000;
        /// The receiver's own numbers for connection and request, and the message's place in the order.
        const CONTEXT = 0x2000_0000;
        /// Handles.
        const HANDLE = 0x1000_0000;
        /// Who sent it.
        const TOKEN = 0x0800_0000;
    }
}

/// What the two sides of a connection tell each other of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Terms {
    /// The longest message, header included.
    pub(crate) max_message_length: u32,
    /// An `ImpersonationLevel`.
    pub(crate) level: u32,
}

impl Terms {
    /// Those of a port.
    pub(crate) fn of(port: &PortAttributes) -> Terms {
        let level = u32::from(port.impersonation as u16);
        Terms { max_message_length: port.max_message_length as u32, level }
    }
}

/// Most bytes of data that travel inline. More are out of line: whole pages, which are shared until one side writes.
pub(crate) const INLINE_MAX: usize = 32 * 1024;

/// The id of the Mach message that carries a message of this type: for the trace.
pub(crate) const fn mach_id(kind: Type) -> u32 {
    0x414c_5000 | kind as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn the_layout_is_the_documented_one() {
        assert_eq!((PortMessage::SIZE, size_of::<Attributes>(), size_of::<Terms>()), (40, 24, 8));
        assert_eq!(offset_of!(PortMessage, kind), 4);
        assert_eq!((offset_of!(PortMessage, process), offset_of!(PortMessage, message_id)), (8, 24));
        assert_eq!(offset_of!(PortMessage, callback_id), 32);
    }

    #[test]
    fn flags_are_no_part_of_the_type() {
        let header = PortMessage { kind: Type::Request as u16 | CONTINUATION_REQUIRED, ..PortMessage::default() };
        assert_eq!(header.message_type(), Some(Type::Request));
        assert_eq!(Type::from_code(7), None);
        for code in 0..=255 {
            assert!(Type::from_code(code).is_none_or(|kind| kind as u16 == code));
        }
    }
}
