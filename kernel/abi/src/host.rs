//! Routines behind the two host ports, which stand for the machine.
//!
//! The **plain** one tells what the machine is, and any task may have it: a task is given it by
//! its starter, in its start-up block. The **privileged** one allows all routines, and the kernel
//! gives it to the first task only (Mach's `host_priv`). Through the plain port a routine that
//! needs the privileged one is refused with `NoAccess`. There is no port for the clock: whoever
//! runs can tell the time (`clock_get`) and sleep (`thread_switch`, a receive's timeout), so
//! there is nothing that a right could allow.
//!
//! Neighbours: `boot`, how a task learns the ports' names; `trace`.

use crate::interface;
use crate::name::Name;
use crate::trace::Event;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Events in one reply of [`trace`].
pub const TRACE_EVENTS: usize = 64;
/// Most processors that [`processors`] tells of.
pub const PROCESSORS_MAX: usize = 8;
/// The clock's step, in nanoseconds.
pub const CLOCK_RESOLUTION: u64 = 1;

interface! {
    base 2600;

    /// How much there is of everything that could leak. Equal numbers before and
    /// after a piece of work mean that it left nothing behind. Takes time in proportion
    /// to the number of tasks.
    ///
    /// `NoAccess`: through the plain port.
    1 statistics / GetStatistics () -> (statistics: Statistics);

    /// The events of processor `cpu` from number `from` on, at most [`TRACE_EVENTS`].
    /// Events are numbered from 0 since start; `first` is the number of the first
    /// one returned (later than `from` if that has been overwritten), `count` how many.
    ///
    /// `InvalidArgument`: no such processor. `NoAccess`: through the plain port.
    2 trace / Trace (from: u64, cpu: u32, reserved: u32) -> (first: u64, count: u64, events: [Event; TRACE_EVENTS]);

    /// Ends the machine: success if `code` is 0. Does not return.
    ///
    /// `NoAccess`: through the plain port.
    3 exit / Exit (code: u32, reserved: u32) -> ();

    /// What the machine and its kernel are. Through either port. (Mach's `host_info`.)
    4 info / Info () -> (info: HostInfo);

    /// The time in nanoseconds since the machine started, and the smallest step of the clock
    /// that can be told from none, as what `clock_get` returns. Through either port.
    5 time / Time () -> (now: u64, resolution: u64);

    /// The processors that are known: the first `count` of the list. Through either port.
    /// (Mach's `host_processors`.)
    6 processors / Processors () -> (count: u32, reserved: u32, list: [Processor; PROCESSORS_MAX]);

    /// Binds an interrupt line, 0 to 15, to the port whose send right is in the message, and lets
    /// it in. Returns the interrupt right ([`interrupt`](crate::interrupt)), which whoever asks
    /// pays for.
    ///
    /// `NoAccess`: through the plain port. `InvalidArgument`: no device can have this line.
    /// `NoSpace`: the line is bound. `InvalidCapability`: the right is no send right to a port
    /// that a task can receive from. `ResourceShortage`.
    7 interrupt_bind / InterruptBind (line: u32, reserved: u32; port) -> (; interrupt);

    /// Claims `count` I/O ports from `first` on. Returns a right to them
    /// ([`io_ports`](crate::io_ports)), which whoever asks pays for.
    ///
    /// `NoAccess`: through the plain port, or the kernel itself stands on one of them (interrupt
    /// controllers, debug exit). `InvalidArgument`: there are no such ports. `NoSpace`: one of
    /// them is claimed. `ResourceShortage`.
    8 io_claim / IoClaim (first: u32, count: u32) -> (; io_ports);

    /// Gives the task whose kernel port's send right is in the message another security token:
    /// what the trailers of its messages say from now on, and what its children are made with.
    ///
    /// `NoAccess`: through the plain port. `InvalidCapability`: the right is no send right to a
    /// task's kernel port.
    9 set_security_token / SetSecurityToken (user: u32, group: u32; task) -> ();

    /// Claims `size` bytes of physical address space from `address` on, rounded up to whole pages,
    /// where a device is and no memory. Returns a right to a memory object, which whoever asks pays for: it
    /// is mapped as others are, for reading and writing, and not cached. The claim ends with the object's last right
    /// and mapping. It is shared, and never copied: a copy of it, its inheritance as a copy, and a message from, to or with it are
    /// refused (`ProtectionFailure`, `SendInvalidMemory`, `ReceiveInvalidMemory`), since the kernel
    /// does not touch devices that are not its own.
    ///
    /// `NoAccess`: through the plain port; or a part of it is memory, whoever uses it, the
    /// interrupt controller's, or beyond what the processor can address. `InvalidArgument`:
    /// size 0, or address not at a page. `NoSpace`: a part of it is claimed. `ResourceShortage`.
    10 device_memory / DeviceMemory (address: u64, size: u64) -> (; object);

    /// Where the screen is that the loader has set up, and how it is laid out. Through either
    /// port; to claim it takes the privileged one.
    ///
    /// `Failure`: there is none. (QEMU's `-kernel` sets up none; the boot images have one.)
    11 framebuffer / GetFramebuffer () -> (framebuffer: Framebuffer);

    /// Send rights to the kernel ports of up to eight tasks, and the tasks' ids ([`TaskInfo::id`](crate::task::TaskInfo)),
    /// from this place of the kernel's on. `count` is how many there are, the other rights are null; `next` is the place to
    /// go on from, or 0 if there is nothing beyond: a part with fewer than eight, or none, need not be the last. A task that lives
    /// all the while is listed exactly once, in no order. Takes bounded time, whatever there is. (Mach's `processor_set_tasks`, in
    /// parts.)
    ///
    /// `NoAccess`: through the plain port. `ResourceShortage`: the machine has no memory for the list.
    12 tasks / Tasks (first: u32, reserved: u32) -> (next: u32, count: u32, ids: [u64; TASKS_LISTED];
        task_0, task_1, task_2, task_3, task_4, task_5, task_6, task_7);

    /// Which port the name is for, in the task whose kernel port's send right is in the message, and
    /// what the kernel does behind it. (Mach's `mach_port_kernel_object`.)
    ///
    /// `NoAccess`: through the plain port. `InvalidCapability`: the right is no send right to a task's
    /// kernel port. `InvalidName`. `InvalidRight`: the name is a dead one.
    13 port_object / GetPortObject (name: Name, reserved: u32; task) -> (object: PortObject);
}

/// Most tasks in one reply of [`tasks`].
pub const TASKS_LISTED: usize = 8;

/// What a port is to the kernel, as [`port_object`] tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PortObject {
    /// The port, by the kernel's own index, as the trace has it.
    pub port: u32,
    /// An [`ObjectKind`].
    pub kind: u32,
    /// A task's or thread's id, as its `info` has it; an interrupt's line, the first of some I/O ports;
    /// else 0.
    pub id: u64,
    /// The object, by the kernel's own index among those of its kind, as the trace has threads; 0 if it has none.
    pub index: u32,
    /// Always 0.
    pub reserved: u32,
}

/// What there is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ObjectKind {
    /// A queue, and whoever receives from it.
    Queue = 0,
    /// A port set.
    Set = 1,
    /// A task.
    Task = 2,
    /// A thread.
    Thread = 3,
    /// A memory object.
    Memory = 4,
    /// A memory object's pager, as the kernel hears it.
    Pager = 5,
    /// The machine, to be asked what it is.
    Host = 6,
    /// The machine, to be asked anything.
    HostPrivileged = 7,
    /// An interrupt.
    Interrupt = 8,
    /// A range of I/O ports.
    IoPorts = 9,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [ObjectKind; 10] = [
        ObjectKind::Queue,
        ObjectKind::Set,
        ObjectKind::Task,
        ObjectKind::Thread,
        ObjectKind::Memory,
        ObjectKind::Pager,
        ObjectKind::Host,
        ObjectKind::HostPrivileged,
        ObjectKind::Interrupt,
        ObjectKind::IoPorts,
    ];

    /// The one with this number.
    #[must_use]
    pub fn from_code(code: u32) -> Option<ObjectKind> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == code)
    }
}

/// A linear framebuffer, as [`framebuffer`] tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Framebuffer {
    /// The physical address of its first byte, not always at a page.
    pub address: u64,
    /// Visible pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Pixels from one line's start to the next one's.
    pub stride: u32,
    /// Bytes of a pixel.
    pub bytes_per_pixel: u32,
    /// A [`PixelFormat`]'s number.
    pub format: u32,
    /// Always 0.
    pub reserved: u32,
}

/// What a pixel's bytes mean, in the order of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PixelFormat {
    /// Red, green, blue.
    Rgb = 0,
    /// Blue, green, red.
    Bgr = 1,
    /// One byte of grey.
    Grey = 2,
    /// Something else.
    Unknown = 3,
}

/// What [`statistics`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
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
    /// Names in use, in all tasks.
    pub names: u64,
    /// Map entries, in all tasks.
    pub regions: u64,
    /// Deadlines that are set.
    pub deadlines: u64,
    /// Interrupt lines that are bound.
    pub interrupts: u64,
    /// I/O ports that are claimed.
    pub io_ports: u64,
}

/// What [`info`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct HostInfo {
    /// The kernel's name: ASCII, padded with zeros.
    pub name: [u8; 16],
    /// Its version, as `name`.
    pub version: [u8; 16],
    /// Bytes of memory that was there to be given out when the kernel had started.
    pub memory: u64,
    /// Bytes of a page.
    pub page_size: u32,
    /// Processors that run threads.
    pub processors: u32,
    /// How the kernel was loaded: a [`Door`].
    pub door: u32,
    /// Always 0.
    pub reserved: u32,
}

/// By which door the kernel came into the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Door {
    /// PVH: QEMU's `-kernel`.
    Pvh = 1,
    /// A disk image, by BIOS or UEFI.
    Firmware = 2,
    /// None: the machine is simulated.
    Simulation = 3,
}

/// A processor, as [`processors`] tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Processor {
    /// Its number, as in [`trace`].
    pub number: u32,
    /// 1: it runs threads. No other state is known.
    pub running: u32,
}
