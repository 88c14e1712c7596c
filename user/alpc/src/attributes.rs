//! What a port is made with: Windows' `ALPC_PORT_ATTRIBUTES`, and who may connect.
//!
//! Neighbours: `port`, which they are given to; `section` and `message` have the limits checked.

use crate::header::PortMessage;
use crate::status::{Result, Status};
use alloc::vec::Vec;
use portolan::Capacity;
use portolan::abi::message::SecurityToken;

/// Limits and consents of a port, with Windows' defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortAttributes {
    /// Longest message that comes or goes, header included: [`MAX_MESSAGE_LENGTH`](Self::MAX_MESSAGE_LENGTH) at most.
    pub max_message_length: usize,
    /// Bytes that may wait in the port for each sender. As long messages may come, so many have room in it that
    /// they could all be of the greatest length; one more is refused, so its sender never waits.
    pub max_pool_usage: usize,
    /// Bytes of one section, and of all that the port makes.
    pub max_section_size: u64,
    /// See [`max_section_size`](Self::max_section_size).
    pub max_total_section_size: u64,
    /// Bytes of one view, made or received.
    pub max_view_size: u64,
    /// What the other side may do in this task's name.
    pub impersonation: ImpersonationLevel,
    /// `ALLOW_DUP_OBJECT`: handles in messages are taken in. Else they are given up as they come.
    pub allow_handles: bool,
    /// The server may have this task's kernel port ([`Received::open_sender_process`](crate::Received::open_sender_process)).
    pub allow_open_process: bool,
}

impl Default for PortAttributes {
    fn default() -> PortAttributes {
        PortAttributes {
            max_message_length: 256,
            max_pool_usage: 0x4000,
            max_section_size: 0x4000,
            max_total_section_size: 0x2_0000,
            max_view_size: 0x4000,
            impersonation: ImpersonationLevel::Anonymous,
            allow_handles: false,
            allow_open_process: false,
        }
    }
}

impl PortAttributes {
    /// The longest message that can be allowed.
    pub const MAX_MESSAGE_LENGTH: usize = 0xFFEF;

    pub(crate) fn check(&self) -> Result<()> {
        let sane = (PortMessage::SIZE..=Self::MAX_MESSAGE_LENGTH).contains(&self.max_message_length)
            && self.max_pool_usage >= self.max_message_length;
        if sane { Ok(()) } else { Err(Status::InvalidPortAttributes) }
    }

    /// How many messages fit into the pool, whatever their length.
    pub(crate) fn capacity(&self) -> Capacity {
        let messages = (self.max_pool_usage / self.max_message_length).min(Capacity::BOUNDED_MAX as usize);
        Capacity::Bounded(messages as u32)
    }
}

/// What a client lets its server do in its name; Windows' levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u16)]
pub enum ImpersonationLevel {
    /// Nothing. (Who the client is the kernel says in any case.)
    #[default]
    Anonymous = 0,
    /// Ask who it is.
    Identification = 1,
    /// Act for it.
    Impersonation = 2,
    /// Act for it also towards others.
    Delegation = 3,
}

impl ImpersonationLevel {
    /// The level with this number; what is unknown allows nothing.
    #[must_use]
    pub const fn from_code(code: u32) -> ImpersonationLevel {
        match code {
            1 => ImpersonationLevel::Identification,
            2 => ImpersonationLevel::Impersonation,
            3 => ImpersonationLevel::Delegation,
            _ => ImpersonationLevel::Anonymous,
        }
    }
}

/// Who may connect. The kernel says who asks.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Anyone,
    /// Who acts for one of these users.
    Users(Vec<u32>),
    /// Who acts for one of these groups.
    Groups(Vec<u32>),
}

impl Access {
    pub(crate) fn allows(&self, token: SecurityToken) -> bool {
        match self {
            Access::Anyone => true,
            Access::Users(users) => users.contains(&token.user),
            Access::Groups(groups) => groups.contains(&token.group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_windows() {
        let attributes = PortAttributes::default();
        assert_eq!((attributes.check(), attributes.capacity()), (Ok(()), Capacity::Bounded(64)));
    }

    #[test]
    fn lengths_out_of_range_are_refused() {
        let with = |max_message_length, max_pool_usage| {
            PortAttributes { max_message_length, max_pool_usage, ..PortAttributes::default() }.check()
        };
        assert_eq!((with(40, 40), with(0xFFEF, 0x1_0000)), (Ok(()), Ok(())));
        for (length, pool) in [(39, 4096), (0xFFF0, 0x10_0000), (256, 255), (0, 0)] {
            assert_eq!(with(length, pool), Err(Status::InvalidPortAttributes));
        }
    }

    #[test]
    fn access_goes_by_the_token() {
        let token = SecurityToken { user: 7, group: 8 };
        assert!(Access::Anyone.allows(token) && Access::Users([1, 7].into()).allows(token));
        assert!(Access::Groups([8].into()).allows(token));
        assert!(!Access::Users([8].into()).allows(token) && !Access::Groups([].into()).allows(token));
    }
}
