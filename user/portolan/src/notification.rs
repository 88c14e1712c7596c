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
        let about = self.value::<Notification>().ok()?.name;
        Some(match Kind::from_id(self.id())? {
            Kind::MessageAccepted => Notice::MessageAccepted(about),
            Kind::SendOnce => Notice::SendOnce,
            Kind::DeadName => Notice::DeadName(about),
        })
    }
}
