//! What the kernel tells a task: on its notify port, or, if asked to, on another.
//!
//! Whoever asks says where it is told by a [`Right`]: [`Right::MakeSendOnce`] of a port,
//! a [`SendOnceRight`] that it gives up, or [`Right::Null`] for the notify port. What was
//! asked for before is taken back, and its right returned. The reference of each is
//! [`port_request_notification`](port::port_request_notification).
//! Invariant: a [`Notice`] is the kernel's own word; a message that only looks
//! like one is none. Neighbours: `receive`, `right`.

use crate::interface::MsgRpc;
use crate::lock::Once;
use crate::receive::Received;
use crate::right::{ReceiveRight, Right, SendOnceRight, SendRight};
use crate::trap;
use crate::{Result, classic};
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::{Name, RightKind, port};

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The message that was cached for the port has been taken by its receiver.
    MessageAccepted(Name),
    /// The message that was cached for the port has been destroyed, as its receiver wants it when
    /// the port is full.
    MessageDropped(Name),
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
    /// As asked for: nobody maps the memory object.
    Unmapped,
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
        if !self.is_from_kernel() {
            return None;
        }
        let Notification { name: about, count } = self.value::<Notification>().ok()?;
        Some(match Kind::from_id(self.id())? {
            Kind::MessageAccepted => Notice::MessageAccepted(about),
            Kind::MessageDropped => Notice::MessageDropped(about),
            Kind::SendOnce => Notice::SendOnce,
            Kind::DeadName => Notice::DeadName(about),
            Kind::SendPossible => Notice::SendPossible(about),
            Kind::PortDeleted => Notice::PortDeleted(about),
            Kind::NoSenders => Notice::NoSenders(about, count),
            Kind::PortDestroyed => Notice::PortDestroyed(about),
            Kind::Unmapped => Notice::Unmapped,
        })
    }
}

impl SendRight {
    /// Asks to be told when the port dies; if it is dead, at once.
    ///
    /// # Errors
    /// `InvalidCapability`, `ResourceShortage`.
    pub fn request_dead_name(&self, to: Right<'_>) -> Result<Right<'static>> {
        request(self.name(), Kind::DeadName, 1, to)
    }

    /// Asks to be told when a message can be sent without a wait, or the port is dead.
    ///
    /// # Errors
    /// `InvalidCapability`, `ResourceShortage`.
    pub fn request_send_possible(&self, to: Right<'_>) -> Result<Right<'static>> {
        request(self.name(), Kind::SendPossible, 1, to)
    }
}

impl SendOnceRight {
    /// Asks to be told when the port dies; if it is dead, at once.
    ///
    /// # Errors
    /// `InvalidCapability`, `ResourceShortage`.
    pub fn request_dead_name(&self, to: Right<'_>) -> Result<Right<'static>> {
        request(self.name(), Kind::DeadName, 1, to)
    }
}

impl ReceiveRight {
    /// Asks to be told when nobody can send any more, and `sync` send rights or more have been made.
    ///
    /// # Errors
    /// `InvalidCapability`, `ResourceShortage`.
    pub fn request_no_senders(&self, sync: u32, to: Right<'_>) -> Result<Right<'static>> {
        request(self.name(), Kind::NoSenders, sync, to)
    }

    /// Asks to be sent the receive right instead of its being destroyed.
    ///
    /// # Errors
    /// `InvalidCapability`, `ResourceShortage`.
    pub fn request_port_destroyed(&self, to: Right<'_>) -> Result<Right<'static>> {
        request(self.name(), Kind::PortDestroyed, 0, to)
    }

    /// Sets the port that the receive right is sent to instead of its being destroyed.
    ///
    /// # Errors
    /// `InvalidCapability`: the backup is dead. `ResourceShortage`.
    pub fn set_backup(&self, backup: Option<&SendRight>) -> Result<Right<'static>> {
        let backup = backup.map_or(Name::NULL, SendRight::name);
        previous(classic::port_set_backup(trap::task_self(), self.name(), backup)?)
    }
}

/// Takes a request back. `Null` if there was none, or one for the notify port.
///
/// # Errors
/// `InvalidName`, `InvalidRight`, `InvalidValue`.
pub fn cancel(name: Name, kind: Kind) -> Result<Right<'static>> {
    previous(port::port_cancel_notification(&MsgRpc, trap::task_self(), name, kind as u32)?.rights[0])
}

fn request(name: Name, kind: Kind, sync: u32, to: Right<'_>) -> Result<Right<'static>> {
    let task = trap::task_self();
    let asked = port::port_request_notification(&MsgRpc, task, name, kind as u32, sync, 0, to.descriptor());
    let was_asked = asked?.rights[0];
    to.sent();
    previous(was_asked)
}

/// The right of the request that was there before: send-once, or send if it was a backup.
fn previous(name: Name) -> Result<Right<'static>> {
    if !name.is_valid() {
        return Ok(Right::from_parts(name, RightKind::SendOnce as u8));
    }
    let once = classic::port_type(trap::task_self(), name)?.send_once == 1;
    Ok(Right::from_parts(name, if once { RightKind::SendOnce } else { RightKind::Send } as u8))
}
