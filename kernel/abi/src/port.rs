//! Ports as user programs see them: capacity and status.
//!
//! Neighbours: `task` has the routines that use these; the kernel's `ipc::port`
//! is the thing itself.

use crate::error::{Error, Result};
use crate::name::Name;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many messages a port holds before it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capacity {
    /// Rendezvous: a waiting receiver is the one free place.
    Zero,
    /// At most this many messages, 1 to [`Capacity::BOUNDED_MAX`].
    Bounded(u32),
    /// As many as the senders' accounts pay for.
    Unbounded,
}

impl Capacity {
    /// Mach's default queue length (`PORT_BACKLOG_DEFAULT`).
    pub const DEFAULT: Capacity = Capacity::Bounded(5);
    /// The largest bound.
    pub const BOUNDED_MAX: u32 = 65_535;
    const UNBOUNDED_CODE: u32 = u32::MAX;

    /// As it stands in a register or a message.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Capacity::Zero => 0,
            Capacity::Bounded(limit) => limit,
            Capacity::Unbounded => Self::UNBOUNDED_CODE,
        }
    }

    /// The capacity that a number stands for; [`Error::InvalidValue`] between
    /// [`Capacity::BOUNDED_MAX`] and the code for unbounded.
    pub const fn from_code(code: u32) -> Result<Capacity> {
        match code {
            0 => Ok(Capacity::Zero),
            1..=Self::BOUNDED_MAX => Ok(Capacity::Bounded(code)),
            Self::UNBOUNDED_CODE => Ok(Capacity::Unbounded),
            _ => Err(Error::InvalidValue),
        }
    }
}

/// What `port_status` tells of a port; whoever holds its receive right may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Status {
    /// [`Capacity::code`].
    pub capacity: u32,
    /// Messages in the queue, cached and forced ones included.
    pub messages: u32,
    /// Of these, messages cached above the capacity.
    pub cached: u32,
    /// Threads waiting to send.
    pub senders: u32,
    /// Threads waiting to receive.
    pub receivers: u32,
    /// Send rights that exist, in name spaces and in messages.
    pub send_rights: u32,
    /// Send-once rights that exist.
    pub send_once_rights: u32,
    /// Send rights ever made from the receive right since it last moved.
    pub make_send_count: u32,
    /// The sequence number that the next message received will carry.
    pub sequence: u64,
}

/// What `port_type` tells of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct NameType {
    /// The name asked for.
    pub name: Name,
    /// 1 if it stands for the receive right.
    pub receive: u32,
    /// User references of the send right; 0 if there is none.
    pub send: u32,
    /// 1 if it stands for a send-once right.
    pub send_once: u32,
    /// User references of the dead name; 0 if the port lives.
    pub dead: u32,
    /// Always 0.
    pub reserved: u32,
}

/// User references that one name can have at most (Mach's `MACH_PORT_UREFS_MAX`).
pub const UREFS_MAX: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_survive_the_register() {
        for capacity in [Capacity::Zero, Capacity::Bounded(1), Capacity::Bounded(65_535), Capacity::Unbounded] {
            assert_eq!(Capacity::from_code(capacity.code()), Ok(capacity));
        }
        assert_eq!(Capacity::from_code(65_536), Err(Error::InvalidValue));
        assert_eq!(Capacity::from_code(u32::MAX - 1), Err(Error::InvalidValue));
    }
}
