//! Routines behind the host port, which the kernel gives to the first task only.
//!
//! Neighbour: `boot`, how the first task learns the port's name; `trace`.

use crate::interface;
use crate::trace::Event;

/// Events in one reply of [`trace`].
pub const TRACE_EVENTS: usize = 64;

interface! {
    base 2600;

    /// How much there is of everything that could leak. Equal numbers before and
    /// after a piece of work mean that it left nothing behind.
    1 statistics / GetStatistics () -> (statistics: Statistics);

    /// The events of processor `cpu` from number `from` on, at most [`TRACE_EVENTS`].
    /// Events are numbered from 0 since start; `first` is the number of the first
    /// one returned (later than `from` if that has been overwritten), `count` how many.
    ///
    /// `InvalidArgument`: no such processor.
    2 trace / Trace (from: u64, cpu: u32, reserved: u32) -> (first: u64, count: u64, events: [Event; TRACE_EVENTS]);

    /// Ends the machine: success if `code` is 0. Does not return.
    3 exit / Exit (code: u32, reserved: u32) -> ();
}

/// What [`statistics`] returns.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    zerocopy::IntoBytes,
    zerocopy::FromBytes,
    zerocopy::KnownLayout,
    zerocopy::Immutable,
)]
#[repr(C)]
pub struct Statistics {
    /// Frames that belong to no one.
    pub free_frames: u64,
    /// All frames.
    pub total_frames: u64,
    /// Bytes of the kernel's heap in use.
    pub heap: u64,
    /// Tasks.
    pub tasks: u64,
    /// Threads.
    pub threads: u64,
    /// Ports.
    pub ports: u64,
    /// Messages in queues, and of blocked senders.
    pub messages: u64,
    /// Memory objects, those without a port included.
    pub memory_objects: u64,
    /// Accounts.
    pub accounts: u64,
}
