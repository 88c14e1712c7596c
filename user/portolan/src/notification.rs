//! What the kernel tells a task on its notify port.
//!
//! Invariant: a [`Notice`] is the kernel's own word; a message that only looks
//! like one is none. Neighbour: `receive`.

use crate::lock::Once;
use crate::receive::Received;
use crate::right::ReceiveRight;
use crate::trap;
use portolan_abi::Name;
use portolan_abi::message::Trailer;
use portolan_abi::notification::{Kind, Notification};

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The message that was cached for the port has been taken by its receiver.
    MessageAccepted(Name),
    /// A send-once right to the port that this came to has been destroyed unused.
    SendOnce,
    /// The port behind the name has died; the name is a dead name now.
    DeadName(Name),
    /// As asked for: the port behind the name takes a message.
    SendPossible(Name),
    /// Instead of what was asked for: the name is no longer there.
    PortDeleted(Name),
    /// As asked for: nobody can send to the port; so many send rights have been made.
    NoSenders(Name, u32),
    /// As asked for: the port is in the message, by its receive right.
    PortDestroyed(Name),
}

/// The task's notify port.
pub fn port() -> &'static ReceiveRight {
    static PORT: Once<ReceiveRight> = Once::new();
    PORT.call_once(|| ReceiveRight::from_name(trap::task_notify()))
}

impl Received {
    /// The notice that this message is, if the kernel sent it as one.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        if self.trailer().flags & Trailer::FROM_KERNEL == 0 {
            return None;
        }
        let Notification { name: about, count } = self.value::<Notification>().ok()?;
        Some(match Kind::from_id(self.id())? {
            Kind::MessageAccepted => Notice::MessageAccepted(about),
            Kind::SendOnce => Notice::SendOnce,
            Kind::DeadName => Notice::DeadName(about),
            Kind::SendPossible => Notice::SendPossible(about),
            Kind::PortDeleted => Notice::PortDeleted(about),
            Kind::NoSenders => Notice::NoSenders(about, count),
            Kind::PortDestroyed => Notice::PortDestroyed(about),
        })
    }
}
