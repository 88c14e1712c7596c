//! Messages that the kernel sends by itself: to a task's notify port, or where
//! [`port_request_notification`](crate::port::port_request_notification) says.
//!
//! Ids are Mach's (`mach/notify.h`). A notification is a [`Header`] with one of
//! these ids and a [`Notification`] as its inline bytes; its trailer carries
//! `FROM_KERNEL`, which no task can forge. What is not asked for is kept in what it is
//! about until it is received, and needs no memory; what is asked for has its memory from
//! that moment on. So none is ever lost.
//!
//! [`Header`]: crate::message::Header

use crate::name::Name;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What has happened; the message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// By request, instead of what was asked for: the name is no longer there, as its
    /// right was moved, used or given up.
    PortDeleted = 0o101,
    /// The message that the kernel cached for this port has been taken by its receiver.
    MessageAccepted = 0o102,
    /// The message that the kernel cached for this port has been dropped or replaced by
    /// another, as its receiver wants it when the port is full ([`AtFull`](crate::AtFull)).
    MessageDropped = 0o112,
    /// By request: the receive right in the message would have been destroyed.
    PortDestroyed = 0o105,
    /// By request: there are no send rights for the port; with its make-send count. A
    /// server that knows of more rights than that many may go on.
    NoSenders = 0o106,
    /// A send-once right was destroyed without a message through it; comes to the port itself.
    SendOnce = 0o107,
    /// The port behind this name died; the name is a dead name now. Unlike Mach 3
    /// it gains no reference: names have generations, so none is reused unseen. Comes to
    /// the notify port unasked, or where a request for this name says.
    DeadName = 0o110,
    /// By request: the port behind this name takes a message without a wait. (XNU's; it
    /// has the number 0102 there, which is another's here.)
    SendPossible = 0o111,
    /// By request ([`notify_unmapped`](crate::memory_object::notify_unmapped)): nobody maps the memory object.
    /// (Portolan's own.)
    Unmapped = 0o120,
}

impl Kind {
    /// The kind with this message id.
    #[must_use]
    pub const fn from_id(id: u32) -> Option<Kind> {
        match id {
            0o101 => Some(Kind::PortDeleted),
            0o105 => Some(Kind::PortDestroyed),
            0o106 => Some(Kind::NoSenders),
            0o111 => Some(Kind::SendPossible),
            0o102 => Some(Kind::MessageAccepted),
            0o112 => Some(Kind::MessageDropped),
            0o107 => Some(Kind::SendOnce),
            0o110 => Some(Kind::DeadName),
            0o120 => Some(Kind::Unmapped),
            _ => None,
        }
    }
}

/// The inline bytes of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Notification {
    /// The name it is about, in the task whose name it is; null where that task has let
    /// it go meanwhile, for a port while its receive right is in a message, and for a memory object.
    pub name: Name,
    /// Of `NoSenders` the make-send count, of `MessageAccepted` and `MessageDropped` the message's id; else 0.
    pub count: u32,
}
