//! Routines behind a thread's kernel port, and what priorities are.
//!
//! Neighbour: `task`, whose `thread_create` makes threads.

use crate::interface;
use crate::name::Name;

/// The highest priority; 0 is the lowest. Among equals, threads take turns.
pub const PRIORITY_MAX: u32 = 31;
/// The priority of an ordinary thread.
pub const PRIORITY_DEFAULT: u32 = 16;
/// Most suspensions of one thread, or of one task, that are not yet resumed.
pub const SUSPENSIONS_MAX: u32 = 65_535;
/// How long a thread runs before an equal has its turn, in milliseconds.
pub const QUANTUM_MS: u32 = 10;

interface! {
    base 2200;

    /// Ends the thread. A thread that ends itself gets no reply. The task lives on
    /// without threads until it is terminated.
    1 terminate / Terminate () -> ();

    /// What the thread is and does.
    2 info / Info () -> (info: ThreadInfo);

    /// Sets the priority.
    ///
    /// `InvalidValue`: above [`PRIORITY_MAX`].
    3 set_priority / SetPriority (priority: u32, reserved: u32) -> ();

    /// Ends the thread's wait in a message call that has the option for it
    /// (`SEND_INTERRUPT`, `RCV_INTERRUPT`), or in a sleep; anything else goes on.
    4 abort / Abort () -> ();

    /// Stops the thread until it has been resumed as often. It does not run one more
    /// instruction. If it waits, it goes on waiting: a message that comes is its own, and
    /// a timeout ends its wait, but it runs only when it is resumed. The receiving half of
    /// a `msg_rpc` whose sending half had to wait begins then, too. A thread that suspends
    /// itself has its reply when it is resumed. (Mach's `thread_suspend`.)
    ///
    /// `Failure`: suspended [`SUSPENSIONS_MAX`] times already.
    5 suspend / Suspend () -> ();

    /// Undoes one [`suspend`]. A thread whose task is suspended stays stopped.
    ///
    /// `Failure`: the thread itself is not suspended.
    6 resume / Resume () -> ();
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum State {
    /// It runs or could run.
    Ready = 0,
    /// It waits for a place in a full mailbox.
    Sending = 1,
    /// It waits for a message.
    Receiving = 2,
    /// It sleeps.
    Sleeping = 3,
    /// It could run, but for its own or its task's suspension.
    Suspended = 4,
}

/// What [`info`] returns.
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
pub struct ThreadInfo {
    /// A [`State`]. One that waits and is suspended is said to wait.
    pub state: u32,
    /// Its priority.
    pub priority: u32,
    /// How often it has been suspended itself, and not resumed.
    pub suspensions: u32,
    /// What it sends to or receives from while it waits: its own task's name for the
    /// port. Null otherwise.
    pub port: Name,
}
