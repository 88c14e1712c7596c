//! What the kernel says on the case's own notify port.
//!
//! Neighbours: `notify` and `death`, whose cases expect these.

use crate::message::{PATIENCE, Received, receive_within};
use portolan::abi::notification::{Kind, Notification};
use portolan::abi::{Error, Name, Result};
use portolan::trap;
use zerocopy::FromBytes;

/// A notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) kind: Kind,
    pub(crate) name: Name,
}

impl Notice {
    /// The notification in a message, if it is one from the kernel.
    pub(crate) fn of(message: &Received) -> Option<Notice> {
        let kind = Kind::from_id(message.header.id)?;
        let body = Notification::read_from_bytes(&message.body).ok()?;
        let counts = matches!(kind, Kind::MessageAccepted | Kind::MessageDropped);
        (message.is_from_kernel() && (counts || body.count == 0)).then_some(Notice { kind, name: body.name })
    }

    pub(crate) fn accepted(name: Name) -> Notice {
        Notice { kind: Kind::MessageAccepted, name }
    }

    pub(crate) fn dead(name: Name) -> Notice {
        Notice { kind: Kind::DeadName, name }
    }
}

/// The next notice.
pub(crate) fn next() -> Result<Notice> {
    within(PATIENCE)
}

/// The notice that is there now; `ReceiveTimedOut` if there is none.
pub(crate) fn now() -> Result<Notice> {
    within(0)
}

fn within(timeout: u32) -> Result<Notice> {
    Notice::of(&receive_within(trap::task_notify(), timeout)?).ok_or(Error::Failure)
}

/// Whether no notice is there.
pub(crate) fn none() -> bool {
    now() == Err(Error::ReceiveTimedOut)
}

/// Waits until the notify port tells that the port behind `name` has died; drops what else it tells.
pub(crate) fn wait_for_death(name: Name) -> Result<()> {
    while next()? != Notice::dead(name) {}
    Ok(())
}
