//! Owned rights: a value for each right the task holds, given up when it is dropped.
//!
//! [`SendRight`], [`SendOnceRight`] and [`ReceiveRight`] each own one right, or
//! one user reference of a send right, under a [`Name`]. [`Right`] is a right as a
//! message carries it. Invariant: what one of these values owns, no other does.
//! Neighbours: `port`, `send` and `receive` have what can be done with them.

use crate::Result;
use crate::interface::MsgRpc;
use crate::layout::Address;
use crate::trap;
use core::fmt;
use core::mem::{ManuallyDrop, forget};
use portolan_abi::message::Descriptor;
use portolan_abi::{Disposition, Error, Name, RightKind, port};

macro_rules! owned_right {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(PartialEq, Eq)]
        #[must_use = "dropping a right gives it up"]
        pub struct $type(Name);

        impl $type {
            /// Takes over the right of this kind that the task holds under `name`.
            pub const fn from_name(name: Name) -> $type {
                $type(name)
            }

            /// Its name in this task.
            #[must_use]
            pub const fn name(&self) -> Name {
                self.0
            }

            /// Leaves the right to the caller: nothing gives it up any more.
            #[must_use]
            pub fn into_name(self) -> Name {
                ManuallyDrop::new(self).0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:?})"), self.0)
            }
        }
    };
}

owned_right! {
    /// The right to send to a port: one of the user references under its name. It
    /// stays one when the port has died; sending then fails.
    SendRight
}

owned_right! {
    /// The right to send one message. Dropped unused, it tells the receiver so.
    SendOnceRight
}

owned_right! {
    /// The right to receive from a port. Dropped, it takes the port with it: whoever
    /// could send to it is told.
    ReceiveRight
}

impl SendRight {
    /// One more user reference.
    ///
    /// # Errors
    /// `InvalidRight` where the port has died, `UrefsOverflow`.
    pub fn try_clone(&self) -> Result<SendRight> {
        modify(self.0, RightKind::Send, 1).map(|()| SendRight(self.0))
    }
}

// Nothing more can be done where a right cannot be given up: its name meant
// something else already.

impl Drop for SendRight {
    fn drop(&mut self) {
        let _ = trap::port_deallocate(self.0);
    }
}

impl Drop for SendOnceRight {
    fn drop(&mut self) {
        let _ = trap::port_deallocate(self.0);
    }
}

impl Drop for ReceiveRight {
    /// Not by `port_deallocate`, which would take a send right under the same name first.
    fn drop(&mut self) {
        let _ = modify(self.0, RightKind::Receive, -1);
    }
}

pub(crate) fn modify(name: Name, kind: RightKind, delta: i32) -> Result<()> {
    port::port_mod_refs(&MsgRpc, trap::task_self(), name, kind as u32, delta, 0).map(drop)
}

/// A right as a message carries it: moved out of the sender, or copied or made
/// from one that the sender keeps.
#[derive(Debug)]
pub enum Right<'a> {
    /// No right.
    Null,
    /// A right whose port died on the way.
    Dead,
    /// A send right, moved.
    Send(SendRight),
    /// A send-once right, moved.
    SendOnce(SendOnceRight),
    /// A receive right, moved.
    Receive(ReceiveRight),
    /// A copy of a send right.
    CopySend(&'a SendRight),
    /// A send right to the port.
    MakeSend(&'a ReceiveRight),
    /// A send-once right to the port.
    MakeSendOnce(&'a ReceiveRight),
}

impl Right<'_> {
    /// As it stands in a header.
    pub(crate) fn address(&self) -> Address {
        match self {
            Right::Null => Address::NONE,
            Right::Dead => Address { name: Name::DEAD, disposition: 0 },
            Right::Send(right) => Address::new(right.0, Disposition::MoveSend),
            Right::SendOnce(right) => Address::new(right.0, Disposition::MoveSendOnce),
            Right::Receive(right) => Address::new(right.0, Disposition::MoveReceive),
            Right::CopySend(right) => Address::new(right.0, Disposition::CopySend),
            Right::MakeSend(right) => Address::new(right.0, Disposition::MakeSend),
            Right::MakeSendOnce(right) => Address::new(right.0, Disposition::MakeSendOnce),
        }
    }

    /// As a descriptor of a message to be sent. It owns nothing.
    pub fn descriptor(&self) -> Descriptor {
        match self.address() {
            // A descriptor always says how; for no right, any way will do.
            Address { name, disposition: 0 } => Descriptor::port(name, Disposition::CopySend as u8),
            Address { name, disposition } => Descriptor::port(name, disposition),
        }
    }

    /// The message has been sent: what was moved is the receiver's now.
    pub(crate) fn sent(self) {
        forget(self);
    }
}

impl Right<'static> {
    /// Takes over the right that a descriptor of a received message names.
    #[must_use = "dropping a right gives it up"]
    pub fn arrived(descriptor: &Descriptor) -> Right<'static> {
        Right::from_parts(descriptor.name, descriptor.disposition)
    }

    pub(crate) fn from_parts(name: Name, kind: u8) -> Right<'static> {
        match (name, RightKind::from_code(kind)) {
            (Name::NULL, _) | (_, None | Some(RightKind::PortSet)) => Right::Null,
            (Name::DEAD, _) => Right::Dead,
            (_, Some(RightKind::Send | RightKind::DeadName)) => Right::Send(SendRight(name)),
            (_, Some(RightKind::SendOnce)) => Right::SendOnce(SendOnceRight(name)),
            (_, Some(RightKind::Receive)) => Right::Receive(ReceiveRight(name)),
        }
    }
}

impl From<SendRight> for Right<'_> {
    fn from(right: SendRight) -> Self {
        Right::Send(right)
    }
}

impl From<SendOnceRight> for Right<'_> {
    fn from(right: SendOnceRight) -> Self {
        Right::SendOnce(right)
    }
}

impl From<ReceiveRight> for Right<'_> {
    fn from(right: ReceiveRight) -> Self {
        Right::Receive(right)
    }
}

impl<'a> From<&'a SendRight> for Right<'a> {
    fn from(right: &'a SendRight) -> Self {
        Right::CopySend(right)
    }
}

macro_rules! only_kind {
    ($($variant:ident: $type:ident),*) => {$(
        impl TryFrom<Right<'static>> for $type {
            type Error = Error;

            /// `InvalidCapability`: it is of another kind, and is given up.
            fn try_from(right: Right<'static>) -> Result<$type> {
                match right {
                    Right::$variant(right) => Ok(right),
                    _ => Err(Error::InvalidCapability),
                }
            }
        }
    )*};
}

only_kind!(Send: SendRight, SendOnce: SendOnceRight, Receive: ReceiveRight);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_travels_with_its_disposition_and_arrives_as_its_kind() {
        let sent = Right::from(SendOnceRight(Name(7)));
        assert_eq!(sent.descriptor(), Descriptor::port(Name(7), 18));
        sent.sent();

        let arrived = Right::arrived(&Descriptor::port(Name(9), 16));
        assert!(matches!(&arrived, Right::Receive(right) if right.name() == Name(9)));
        arrived.sent();
    }

    #[test]
    fn null_and_dead_own_nothing() {
        assert!(matches!(Right::from_parts(Name::NULL, 17), Right::Null));
        assert!(matches!(Right::from_parts(Name::DEAD, 17), Right::Dead));
        assert_eq!(Right::Null.descriptor(), Descriptor::port(Name::NULL, 19));
    }
}
