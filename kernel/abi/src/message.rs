//! A message as it lies in user memory.
//!
//! ```text
//! 0   Header            24 bytes
//! 24  Descriptor × n    24 bytes each
//!     inline bytes      up to `Header::size`
//!     Trailer           56 bytes, written by the kernel after a receive,
//!                       at the next multiple of 8
//! ```
//!
//! On send, `remote` is the destination and `local` the reply port. On receive
//! they are swapped: `remote` is the reply right, `local` the port the message
//! came to, and each disposition has become the kind of right that arrived.
//!
//! Invariant: the kernel reads header and descriptors once; what the sender
//! changes afterwards has no effect. Neighbours: `name`, `call`.

use crate::name::Name;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Largest message, header and descriptors included, in bytes.
pub const MESSAGE_MAX: usize = 65_536;
/// Most descriptors in one message.
pub const DESCRIPTORS_MAX: usize = 64;
/// Most rights in one message, those of arrays included: an array's names fill a page at most.
pub const RIGHTS_MAX: usize = crate::PAGE_SIZE / size_of::<Name>();
/// Alignment of a message buffer, in bytes.
pub const MESSAGE_ALIGN: usize = 8;

/// The first 24 bytes of every message, and the smallest message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Header {
    /// Bits 0–7: disposition of `remote`; bits 8–15: of `local` (0 if null). The rest is 0.
    pub bits: u32,
    /// Bytes from here to the end of the inline bytes.
    pub size: u32,
    /// The destination; after a receive, the reply right or null.
    pub remote: Name,
    /// The reply port or null; after a receive, the port the message came to.
    pub local: Name,
    /// What the message is; the programs' own affair.
    pub id: u32,
    /// Number of descriptors after the header.
    pub descriptors: u32,
}

impl Header {
    /// Its length in bytes.
    pub const SIZE: usize = size_of::<Header>();

    /// `bits` for these two dispositions; 0 stands for a null name.
    #[must_use]
    pub const fn bits_of(remote: u8, local: u8) -> u32 {
        remote as u32 | (local as u32) << 8
    }

    /// Disposition of `remote`.
    #[must_use]
    pub const fn remote_disposition(&self) -> u8 {
        self.bits as u8
    }

    /// Disposition of `local`.
    #[must_use]
    pub const fn local_disposition(&self) -> u8 {
        (self.bits >> 8) as u8
    }
}

/// What travels in a message besides its bytes: a right, a region of memory, or an array of rights.
///
/// A region arrives as a copy, at an address that the kernel chooses: the offset in the page is
/// the sender's, and the rest of its pages is zeros. The pages themselves are shared until one
/// side writes. Who receives it deallocates it. The sender pays for it while it waits.
///
/// An array of rights arrives as an array of names, one for each, in a page of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Descriptor {
    /// [`Descriptor::PORT`], [`Descriptor::MEMORY`] or [`Descriptor::PORTS`].
    pub kind: u8,
    /// On send a `Disposition`, on receive a `RightKind`; of an array, that of all its rights.
    /// 0 for memory.
    pub disposition: u8,
    /// [`Descriptor::MOVE`], for memory that is sent; else 0.
    pub flags: u16,
    /// The right: a name, or null, or (after a receive) dead. Else null.
    pub name: Name,
    /// Where the memory, or the array of names, is; 0 if there is none of it, and for a right.
    pub address: u64,
    /// How many bytes of memory, or rights in the array; 0 for a right.
    pub size: u64,
}

impl Descriptor {
    /// Its length in bytes.
    pub const SIZE: usize = size_of::<Descriptor>();
    /// `kind` of a right.
    pub const PORT: u8 = 0;
    /// `kind` of a region of memory.
    pub const MEMORY: u8 = 1;
    /// `kind` of an array of rights.
    pub const PORTS: u8 = 2;
    /// Flag: all pages of the region are deallocated when the message has been taken. Until
    /// then they stay, so a send that fails has changed nothing.
    pub const MOVE: u16 = 1;

    /// A right in a message.
    #[must_use]
    pub const fn port(name: Name, disposition: u8) -> Descriptor {
        Descriptor { kind: Self::PORT, disposition, flags: 0, name, address: 0, size: 0 }
    }

    /// A region of memory in a message; `flags`: [`Descriptor::MOVE`] or 0.
    #[must_use]
    pub const fn memory(address: u64, size: u64, flags: u16) -> Descriptor {
        Descriptor { kind: Self::MEMORY, disposition: 0, flags, name: Name::NULL, address, size }
    }

    /// An array of this many rights in a message, whose names are at `address`.
    #[must_use]
    pub const fn ports(address: u64, count: u64, disposition: u8) -> Descriptor {
        Descriptor { kind: Self::PORTS, disposition, flags: 0, name: Name::NULL, address, size: count }
    }
}

/// What the kernel says of a message, after its bytes; no sender can write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Trailer {
    /// Position in the order in which messages left this port.
    pub sequence: u64,
    /// The message's number, as in the trace; no two messages have the same.
    pub number: u64,
    /// The number of the message that its sender had received last, or 0.
    pub cause: u64,
    /// Identifies the sending task for ever; 0 for the kernel.
    pub sender: u64,
    /// [`Trailer::FROM_KERNEL`], [`Trailer::PAYLOAD`].
    pub flags: u32,
    /// Length of the trailer in bytes.
    pub size: u32,
    /// What its receiver has set on the port for itself
    /// ([`port_set_protected_payload`](crate::port::port_set_protected_payload)); else 0.
    pub payload: u64,
    /// The sending task's security token; 0 and 0 for the kernel, whose messages have
    /// [`Trailer::FROM_KERNEL`].
    pub security: SecurityToken,
}

/// Who a task acts for, as far as its receivers care: the kernel passes it on and asks nothing
/// of it. A task has its maker's, the first one 0 and 0; only the privileged host port sets
/// another ([`host::set_security_token`](crate::host::set_security_token)). (Mach 3's
/// `security_token_t`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SecurityToken {
    /// A user.
    pub user: u32,
    /// A group.
    pub group: u32,
}

impl Trailer {
    /// Its length in bytes.
    pub const SIZE: usize = size_of::<Trailer>();
    /// Flag: the kernel made this message (a notification, or a routine's reply).
    pub const FROM_KERNEL: u32 = 1;
    /// Flag: the port has a payload.
    pub const PAYLOAD: u32 = 2;
}

/// Where the trailer of a message of `size` bytes lies in the receive buffer.
#[must_use]
pub const fn trailer_offset(size: usize) -> usize {
    (size + MESSAGE_ALIGN - 1) & !(MESSAGE_ALIGN - 1)
}

/// Bytes of buffer that receiving a message of `size` bytes takes.
#[must_use]
pub const fn received_size(size: usize) -> usize {
    trailer_offset(size) + Trailer::SIZE
}

bitflags::bitflags! {
    /// Options of `msg_send`, `msg_receive` and `msg_rpc`; numbers are Mach 2.5's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Options: u32 {
        /// Wait at most the send timeout while the mailbox is full; 0 ms means not at all.
        const SEND_TIMEOUT = 0x1;
        /// When the mailbox is full (after the timeout, if one is given too) let the
        /// kernel cache the message and announce its acceptance on the notify port.
        const SEND_NOTIFY = 0x2;
        /// `thread_abort` ends the wait; otherwise it goes on with its deadline.
        const SEND_INTERRUPT = 0x4;
        /// Hand the processor to the receiver; `msg_rpc` always does.
        const SEND_SWITCH = 0x20;
        /// With `SEND_NOTIFY`: each thread has a place of its own for a cached message at each
        /// port. Else all threads of a task share one. (The textbook's rule; the other is Mach's.)
        const SEND_NOTIFY_THREAD = 0x40;
        /// Wait at most the receive timeout; 0 ms means not at all.
        const RCV_TIMEOUT = 0x100;
        /// `thread_abort` ends the wait; otherwise it goes on with its deadline.
        const RCV_INTERRUPT = 0x400;
        /// A message that is too large for the buffer stays queued. It always does; Mach 3
        /// destroys it without this option.
        const RCV_LARGE = 0x1000;

        /// All that concern the sending half.
        const SEND = 0x1 | 0x2 | 0x4 | 0x20 | 0x40;
        /// All that concern the receiving half.
        const RECEIVE = 0x100 | 0x400 | 0x1000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        assert_eq!((Header::SIZE, Descriptor::SIZE, Trailer::SIZE), (24, 24, 56));
        assert_eq!(trailer_offset(24), 24);
        assert_eq!(trailer_offset(25), 32);
        assert_eq!(received_size(25), 88);
    }

    #[test]
    fn dispositions_share_the_bits() {
        let header = Header { bits: Header::bits_of(19, 21), ..Header::default() };
        assert_eq!((header.remote_disposition(), header.local_disposition()), (19, 21));
    }
}
