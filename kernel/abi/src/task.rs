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
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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
    /// A send right is its bootstrap port, too, any other right is put in and no more; a bootstrap port, if
    /// none was given, and its exception and registered ports it inherits from the task asked.
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
    /// `InvalidArgument`: unknown flags. `NoSpace`: the task can have no more names.
    /// `ResourceShortage`.
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

    /// Send rights to the task's threads, in the order in which they were made: the first
    /// eight with an id ([`ThreadInfo::id`](crate::thread::ThreadInfo)) above `after`.
    /// `count` is how many there are, the other rights are null; `last` is the id of the last,
    /// to go on after. With fewer than eight there are no more. A thread that lives all
    /// the while is listed exactly once. (Mach's `task_threads`, in parts.)
    ///
    /// `ResourceShortage`: the machine has no memory for the list.
    7 threads / Threads (after: u64) -> (last: u64, count: u32, reserved: u32;
        thread_0, thread_1, thread_2, thread_3, thread_4, thread_5, thread_6, thread_7);

    /// A send right to one of the task's special ports ([`SpecialPort`]); null if there is
    /// none, dead if it has died. (Mach's `task_get_special_port`.)
    ///
    /// `InvalidArgument`: there is no such special port.
    8 get_special_port / GetSpecialPort (which: u32, reserved: u32) -> (; port);

    /// Sets one of the task's special ports: the kernel holds this send right for it, in
    /// place of the one before; null means none. Threads and tasks that it makes later
    /// inherit it. (Mach's `task_set_special_port`.)
    ///
    /// [`SpecialPort::Notify`] takes no right into keeping: notices of the task's rights are
    /// received at that port from now on, whoever receives there; those not yet received, too.
    /// They speak of names in this task's name space. If that port dies, nobody is told
    /// what happens until another one is set.
    ///
    /// `InvalidArgument`: there is no such special port, or it is the kernel port, which
    /// cannot be another: unlike in Mach, who has a right to it speaks to the kernel.
    /// `InvalidCapability`: the right is neither a send right nor null; for
    /// [`SpecialPort::Notify`] it is null, or to a port that the kernel receives from or
    /// at which another task is told.
    9 set_special_port / SetSpecialPort (which: u32, reserved: u32; port) -> ();

    /// Sets the task's registered ports, four send rights or nulls, in place of those
    /// before. What they are for is the programs' own affair; tasks made by this one
    /// inherit them. (Mach's `mach_ports_register`.)
    ///
    /// `InvalidCapability`: one is neither a send right nor null.
    10 ports_register / PortsRegister (; port_0, port_1, port_2, port_3) -> ();

    /// Send rights to the task's registered ports, null where there is none, dead where it
    /// has died. (Mach's `mach_ports_lookup`.)
    ///
    /// `ResourceShortage`: the machine has no memory for the list.
    11 ports_lookup / PortsLookup () -> (; port_0, port_1, port_2, port_3);
}

/// How many ports can be registered with a task.
pub const REGISTERED_PORTS: usize = 4;
/// Most threads in one reply of [`threads`].
pub const THREADS_LISTED: usize = 8;

/// A special port of a task; numbers are Mach 2.5's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum SpecialPort {
    /// The port that stands for the task.
    Kernel = 1,
    /// Where it is told what becomes of its rights.
    Notify = 2,
    /// Where its threads' exceptions go, unless they have ports of their own; see `exception`.
    Exception = 3,
    /// Whom it asks first.
    Bootstrap = 4,
}

impl SpecialPort {
    /// The one with this number.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<SpecialPort> {
        match code {
            1 => Some(SpecialPort::Kernel),
            2 => Some(SpecialPort::Notify),
            3 => Some(SpecialPort::Exception),
            4 => Some(SpecialPort::Bootstrap),
            _ => None,
        }
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Limits {
    /// Bytes of kernel memory: threads, names, queued messages, map entries.
    pub memory: u64,
    /// Ports.
    pub ports: u64,
    /// Frames: the pages of its memory, and the tables that map them.
    pub frames: u64,
}

impl Limits {
    /// What is left of it when so much is gone: of each, 0 if that is more.
    #[must_use]
    pub const fn less(self, gone: Limits) -> Limits {
        Limits {
            memory: self.memory.saturating_sub(gone.memory),
            ports: self.ports.saturating_sub(gone.ports),
            frames: self.frames.saturating_sub(gone.frames),
        }
    }

    /// The same part of each.
    #[must_use]
    pub fn part(self, part: impl Fn(u64) -> u64) -> Limits {
        Limits { memory: part(self.memory), ports: part(self.ports), frames: part(self.frames) }
    }
}

/// What [`info`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct TaskInfo {
    /// Identifies the task for ever; what trailers call the sender.
    pub id: u64,
    /// The task that was asked for it and pays for it, by its id, also when that has ended; 0 for the first.
    pub parent: u64,
    /// The name that it was made with; several may have the same.
    pub name: [u8; 32],
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

impl TaskInfo {
    /// What the account can still spend.
    #[must_use]
    pub const fn left(&self) -> Limits {
        self.limits.less(self.used)
    }
}
