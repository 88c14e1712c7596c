//! Names of rights, and the kinds of right they stand for.
//!
//! A name is a 32-bit value with meaning in one task only. It packs a slot
//! index and the slot's generation, so that a name kept after its right is gone
//! finds nothing. A generation comes round after 4,096 uses of a slot, and slots
//! are reused oldest first.
//!
//! Invariant: no right is ever named [`Name::NULL`] or [`Name::DEAD`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The name of a right in one task's name space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Name(pub u32);

impl Name {
    /// No right.
    pub const NULL: Name = Name(0);
    /// A right whose port died before it arrived.
    pub const DEAD: Name = Name(u32::MAX);

    /// Bits of a name that are the slot index.
    pub const INDEX_BITS: u32 = 20;
    /// Largest slot index in use; the one above it is kept for [`Name::DEAD`].
    pub const INDEX_MAX: u32 = (1 << Self::INDEX_BITS) - 2;
    /// Largest generation.
    pub const GENERATION_MAX: u32 = (1 << (32 - Self::INDEX_BITS)) - 1;

    /// The name of a slot in a generation.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Name {
        Name((generation << Self::INDEX_BITS) | (index & ((1 << Self::INDEX_BITS) - 1)))
    }

    /// The slot.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0 & ((1 << Self::INDEX_BITS) - 1)
    }

    /// The generation of the slot.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.0 >> Self::INDEX_BITS
    }

    /// Whether it can name a right at all: neither null nor dead.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 != Self::NULL.0 && self.0 != Self::DEAD.0
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Name::NULL => f.write_str("null"),
            Name::DEAD => f.write_str("dead"),
            name => write!(f, "{}.{}", name.index(), name.generation()),
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RightKind {
    /// The one right to take messages from the port.
    Receive = 16,
    /// A right to send; counted.
    Send = 17,
    /// A right to send one message; each has a name of its own.
    SendOnce = 18,
    /// The right to a port that is gone; keeps the name from being reused.
    DeadName = 22,
    /// A port set of the task; it cannot be sent.
    PortSet = 23,
}

impl RightKind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<RightKind> {
        match code {
            16 => Some(RightKind::Receive),
            17 => Some(RightKind::Send),
            18 => Some(RightKind::SendOnce),
            22 => Some(RightKind::DeadName),
            23 => Some(RightKind::PortSet),
            _ => None,
        }
    }
}

/// How a right gets into a message. Numbers are Mach 3's `MACH_MSG_TYPE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Disposition {
    /// The receive right leaves the sender; send rights under the name stay.
    MoveReceive = 16,
    /// One user reference of a send right leaves the sender.
    MoveSend = 17,
    /// A send-once right leaves the sender.
    MoveSendOnce = 18,
    /// A send right is copied.
    CopySend = 19,
    /// A send right is made from the receive right.
    MakeSend = 20,
    /// A send-once right is made from the receive right.
    MakeSendOnce = 21,
}

impl Disposition {
    /// The disposition with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Disposition> {
        match code {
            16 => Some(Disposition::MoveReceive),
            17 => Some(Disposition::MoveSend),
            18 => Some(Disposition::MoveSendOnce),
            19 => Some(Disposition::CopySend),
            20 => Some(Disposition::MakeSend),
            21 => Some(Disposition::MakeSendOnce),
            _ => None,
        }
    }

    /// The kind of right that arrives.
    #[must_use]
    pub const fn arrives_as(self) -> RightKind {
        match self {
            Disposition::MoveReceive => RightKind::Receive,
            Disposition::MoveSend | Disposition::CopySend | Disposition::MakeSend => RightKind::Send,
            Disposition::MoveSendOnce | Disposition::MakeSendOnce => RightKind::SendOnce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_index_and_generation() {
        let name = Name::new(Name::INDEX_MAX, Name::GENERATION_MAX);
        assert_eq!((name.index(), name.generation()), (Name::INDEX_MAX, Name::GENERATION_MAX));
        assert!(name.is_valid());
    }

    #[test]
    fn dispositions_arrive_as_one_of_three_kinds() {
        for code in 0..=255 {
            if let Some(disposition) = Disposition::from_code(code) {
                assert_eq!(disposition as u8, code);
                assert!(matches!(disposition.arrives_as() as u8, 16..=18));
            }
        }
    }
}
