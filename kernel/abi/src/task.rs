//! Routines behind a task's kernel port: the task itself and its threads.
//!
//! Whoever holds a send right to the port can do all of them to that task.
//! Names in arguments and results are names in that task's name space, not in
//! the caller's. Rights in requests and replies travel as descriptors.
//!
//! Neighbours: `port` and `vm` have the other routines behind the same port; `interface` for what
//! the macro makes.

use crate::interface;
use crate::name::Name;

interface! {
    base 2000;

    /// Ends the task: its threads, its rights, its memory. There is no undoing it.
    /// A task that ends itself gets no reply.
    1 terminate / Terminate () -> ();

    /// Makes a task with no thread, and with an empty address space, or one made of this
    /// task's as each region's inheritance says if `flags` ([`CreateFlags`](crate::task::CreateFlags))
    /// say so; the new account pays for every page that is copied. `name` is UTF-8 for
    /// messages, padded with zeros. `limits` are taken out of the account of the
    /// task asked, and go back to it at the new task's end. `bootstrap`, a send
    /// right or null, is put into the new task; its name there is `bootstrap_name`.
    /// Returns a send right to the new task's kernel port. (Mach's `task_create`.)
    ///
    /// `ResourceShortage`: the account has not that much left, or `limits` are too small for
    /// what the task is made with. `InvalidArgument`: unknown flags.
    2 create / Create (name: [u8; 32], limits: Limits, flags: u32, reserved: u32; bootstrap) -> (bootstrap_name: Name, reserved: u32; task);

    /// What the task has and uses.
    3 info / Info () -> (info: TaskInfo);

    /// Makes a thread that starts at `entry` with the stack pointer `stack` and
    /// `argument` in `rdi`; it is ready at once, or suspended once if `flags`
    /// ([`ThreadFlags`]) say so, as Mach makes all threads. Returns a send right to its
    /// kernel port.
    ///
    /// `InvalidAddress`: `entry` or `stack` is outside user memory.
    /// `InvalidValue`: `priority` is above [`PRIORITY_MAX`](crate::thread::PRIORITY_MAX).
    /// `InvalidArgument`: unknown flags.
    4 thread_create / ThreadCreate (entry: u64, stack: u64, argument: u64, priority: u32, flags: u32) -> (; thread);

    /// Stops all threads of the task, those to come included, until it has been resumed
    /// as often. What `suspend` of a thread says holds for each of them.
    ///
    /// `Failure`: suspended [`SUSPENSIONS_MAX`](crate::thread::SUSPENSIONS_MAX) times already.
    5 suspend / Suspend () -> ();

    /// Undoes one [`suspend`]. Threads that have been suspended themselves stay so.
    ///
    /// `Failure`: the task is not suspended.
    6 resume / Resume () -> ();
}

bitflags::bitflags! {
    /// How [`thread_create`] leaves the thread.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct ThreadFlags: u32 {
        /// Suspended once.
        const SUSPENDED = 1;
    }
}

bitflags::bitflags! {
    /// How [`create`] makes a task.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct CreateFlags: u32 {
        /// With memory inherited from the task that is asked, for a `fork`.
        const INHERIT = 1;
    }
}

/// What an account may spend.
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
pub struct Limits {
    /// Bytes of kernel memory: threads, names, queued messages, map entries.
    pub memory: u64,
    /// Ports.
    pub ports: u64,
    /// Frames: the pages of its memory, and the tables that map them.
    pub frames: u64,
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
pub struct TaskInfo {
    /// Identifies the task for ever; what trailers call the sender.
    pub id: u64,
    /// Threads.
    pub threads: u32,
    /// Names in use.
    pub names: u32,
    /// Map entries.
    pub regions: u32,
    /// How often it has been suspended and not resumed.
    pub suspensions: u32,
    /// What the account may spend.
    pub limits: Limits,
    /// What it has spent, children's limits included.
    pub used: Limits,
}
