//! Messages that the kernel sends by itself, to a task's notify port.
//!
//! Ids are Mach's (`mach/notify.h`). A notification is a [`Header`] with one of
//! these ids and a [`Notification`] as its inline bytes; its trailer carries
//! `FROM_KERNEL`, which no task can forge. Each is kept in what it is about until it is
//! received, and needs no memory of its own, so none is ever lost.
//!
//! [`Header`]: crate::message::Header

use crate::name::Name;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What has happened; the message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// The message that the kernel cached for this port has been taken by its receiver.
    MessageAccepted = 0o102,
    /// A send-once right was destroyed without a message through it; comes to the port itself.
    SendOnce = 0o107,
    /// The port behind this name died; the name is a dead name now. Unlike Mach 3
    /// it gains no reference: names have generations, so none is reused unseen.
    DeadName = 0o110,
}

impl Kind {
    /// The kind with this message id.
    #[must_use]
    pub const fn from_id(id: u32) -> Option<Kind> {
        match id {
            0o102 => Some(Kind::MessageAccepted),
            0o107 => Some(Kind::SendOnce),
            0o110 => Some(Kind::DeadName),
            _ => None,
        }
    }
}

/// The inline bytes of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Notification {
    /// The name it is about, in the name space of the task that is told; null
    /// where the task has let the name go meanwhile.
    pub name: Name,
    /// Always 0.
    pub reserved: u32,
}
