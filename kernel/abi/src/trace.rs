//! The events of the kernel's trace, as panics print and `host::trace` returns them.
//!
//! Every message has a number; each step of its way leaves one [`Event`] in the
//! ring of the processor it happened on. Invariant: events of one ring are in
//! the order of their time.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A step of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Step {
    /// A task began to send it.
    Send = 1,
    /// It was put into the port's queue.
    Queue = 2,
    /// The port is full and its sender waits.
    Block = 3,
    /// The port is full and the kernel keeps the message for its sender.
    Cache = 4,
    /// It went straight to a waiting receiver.
    Deliver = 5,
    /// A receiver took it out of the queue.
    Receive = 6,
    /// The kernel sent it as a notification.
    Notify = 7,
    /// It was destroyed: its port died.
    Die = 8,
    /// Its sender took it back before it was accepted.
    TakeBack = 9,
    /// It was destroyed because the port was full: its receiver wants it so, or the name that
    /// it was sent through behaves so ([`Generation`](crate::Generation)).
    Drop = 10,
    /// A wait would never have ended and was refused. One event for each wait of the chain,
    /// the refused one first; there is no message.
    Refuse = 11,
}

impl Step {
    /// The step with this number.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Step> {
        Some(match code {
            1 => Step::Send,
            2 => Step::Queue,
            3 => Step::Block,
            4 => Step::Cache,
            5 => Step::Deliver,
            6 => Step::Receive,
            7 => Step::Notify,
            8 => Step::Die,
            9 => Step::TakeBack,
            10 => Step::Drop,
            11 => Step::Refuse,
            _ => return None,
        })
    }
}

/// One step, 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds since start.
    pub time: u64,
    /// The message's number.
    pub message: u64,
    /// The port, by the kernel's own index.
    pub port: u32,
    /// The thread that acted, by the kernel's own index; `u32::MAX` for the kernel itself.
    pub thread: u32,
    /// A [`Step`].
    pub step: u16,
    /// The processor.
    pub cpu: u16,
    /// The message id.
    pub id: u32,
}
