//! Interrupts as messages, and the routines behind an interrupt's port.
//!
//! Whoever holds the privileged host port binds a line to a port ([`interrupt_bind`]) and gets
//! an interrupt right for it. When the device on the line interrupts, the kernel masks the line
//! and a message with the id [`INTERRUPT`] and an [`Arrived`] as its inline bytes comes to that
//! port; its trailer carries `FROM_KERNEL`. Interrupts that come before it has been received are
//! counted in it. It is kept in the binding, so it cannot be lost and takes no memory, and it gets
//! past a full queue. [`acknowledge`] lets the line in again.
//!
//! The binding ends, and the line is masked, when the last interrupt right does. While the port
//! that it was bound to is dead the line stays masked.
//!
//! Neighbour: `host`. (Mach 3's device interface does the like with `device_intr_register` in
//! its later versions.)
//!
//! [`interrupt_bind`]: crate::host::interrupt_bind

use crate::interface;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

interface! {
    base 2800;

    /// Lets the line in again. What it has signalled meanwhile comes at once.
    1 acknowledge / Acknowledge () -> ();

    /// The line, and how often it has interrupted since it was bound.
    2 info / Info () -> (info: InterruptInfo);
}

/// The id of the message that an interrupt is.
pub const INTERRUPT: u32 = 2899;

/// The inline bytes of the message that an interrupt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Arrived {
    /// The line.
    pub line: u32,
    /// Interrupts since the last such message was received.
    pub count: u32,
}

/// What [`info`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct InterruptInfo {
    /// The line.
    pub line: u32,
    /// Interrupts that no received message has told of yet.
    pub pending: u32,
    /// All interrupts since the line was bound.
    pub total: u64,
}
