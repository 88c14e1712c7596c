//! Routines behind a thread's kernel port, and what priorities are.
//!
//! Neighbour: `task`, whose `thread_create` makes threads.

use crate::interface;
use crate::name::Name;
use crate::registers::{FloatingPoint, Registers};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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
    /// (`SEND_INTERRUPT`, `RCV_INTERRUPT`), in a sleep, on a word, or for the reply to its exception
    /// message: then it tries its instruction again. Anything else goes on.
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

    /// The thread's registers: those it goes on with, or, in a call, those it made the
    /// call with. To be of use they should stand still: suspend the thread first.
    /// (Mach's `thread_get_state`, flavor `x86_THREAD_STATE64`.)
    7 get_state / GetState () -> (registers: Registers);

    /// Gives the thread registers; it goes on with all of them.
    ///
    /// `Failure`: the thread is not stopped: it must be suspended and not in the middle of
    /// a call (`abort` may end that), or wait for the reply to its exception message. Its
    /// call's results would else be written over what is set. `InvalidAddress`: `rip` or
    /// `fs_base` is not user memory. `InvalidArgument`: flags that are not the thread's to change.
    8 set_state / SetState (registers: Registers) -> ();

    /// The thread's floating-point and SSE registers.
    9 get_floating_point / GetFloatingPoint () -> (state: FloatingPoint);

    /// Gives the thread floating-point and SSE registers.
    ///
    /// `Failure`: as for [`set_state`]. `InvalidArgument`: MXCSR has a bit set that the processor has not.
    10 set_floating_point / SetFloatingPoint (state: FloatingPoint) -> ();

    /// A send right to one of the thread's special ports ([`SpecialPort`]); null if there is
    /// none, dead if it has died. (Mach's `thread_get_special_port`.)
    ///
    /// `InvalidArgument`: there is no such special port.
    11 get_special_port / GetSpecialPort (which: u32, reserved: u32) -> (; port);

    /// Sets one of the thread's special ports: the kernel holds this send right for it, in
    /// place of the one before; null means none. (Mach's `thread_set_special_port`.)
    ///
    /// `InvalidArgument`: there is no such special port, or it is the kernel port.
    /// `InvalidCapability`: the right is neither a send right nor null.
    12 set_special_port / SetSpecialPort (which: u32, reserved: u32; port) -> ();

    /// Why the thread's last wait was refused (`SEND_WOULD_DEADLOCK`, `RCV_WOULD_DEADLOCK`): the
    /// first `count` waits, its own first; each other one is of a thread that would have had to
    /// end one before it. It is kept until a wait of another thread is refused.
    ///
    /// `Failure`: none of its waits has been refused, or another thread's since.
    13 refusal / Refusal () -> (count: u32, reserved: u32, waits: [RefusedWait; REFUSED_MAX]);
}

/// Most waits of one refusal; a wait that could be ended through more of them is not refused.
pub const REFUSED_MAX: usize = 32;

/// A wait among those that nobody will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct RefusedWait {
    /// The task whose thread waits, as its `info` has it.
    pub task: u64,
    /// The thread, as its `info` has it.
    pub thread: u64,
    /// The task's name for the port; null if it has none by now.
    pub name: Name,
    /// The port, by the kernel's own index, as the trace has it.
    pub port: u32,
    /// What it waits for there: a [`Wanted`].
    pub wanted: u32,
    /// 0.
    pub reserved: u32,
}

/// What a thread waits for at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Wanted {
    /// A message.
    Message = 1,
    /// A place for its own.
    Place = 2,
}

impl Wanted {
    /// The one with this number.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Wanted> {
        match code {
            1 => Some(Wanted::Message),
            2 => Some(Wanted::Place),
            _ => None,
        }
    }
}

/// A special port of a thread; numbers are Mach's. (Its number 2, the reply port, has no
/// meaning here: each message names the port for its reply.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum SpecialPort {
    /// The port that stands for the thread.
    Kernel = 1,
    /// Where its exceptions go, before its task's exception port; see `exception`.
    Exception = 3,
}

impl SpecialPort {
    /// The one with this number.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<SpecialPort> {
        match code {
            1 => Some(SpecialPort::Kernel),
            3 => Some(SpecialPort::Exception),
            _ => None,
        }
    }
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
    /// It waits for the reply to its exception message.
    Excepted = 5,
    /// It waits for a pager to supply a page.
    Paging = 6,
    /// It waits on a word of memory.
    AtWord = 7,
}

/// What [`info`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ThreadInfo {
    /// Identifies the thread for ever; threads made later have higher ones.
    pub id: u64,
    /// A [`State`]. One that waits and is suspended is said to wait.
    pub state: u32,
    /// Its priority.
    pub priority: u32,
    /// How often it has been suspended itself, and not resumed.
    pub suspensions: u32,
    /// What it sends to or receives from while it waits: its own task's name for the
    /// port. Null otherwise.
    pub port: Name,
    /// The number that stands for the thread in words that it owns ([`word`](crate::word)). No other
    /// thread ever has it.
    pub owner: u64,
}
