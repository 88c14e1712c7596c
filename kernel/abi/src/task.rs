//! Routines behind a task's kernel port.
//!
//! Whoever holds a send right to the port can do all of them to that task.
//! Names in arguments and results are names in that task's name space, not in
//! the caller's. Rights in requests and replies travel as descriptors.
//!
//! Neighbours: `thread`, `memory_object`; `interface` for what the macro makes.

use crate::interface;
use crate::name::Name;
use crate::port::{NameType, Status};

interface! {
    base 2000;

    /// Ends the task: its threads, its rights, its memory. There is no undoing it.
    /// A task that ends itself gets no reply.
    1 terminate / Terminate () -> ();

    /// Makes a task with an empty address space and no thread. `name` is UTF-8 for
    /// messages, padded with zeros. `limits` are taken out of the account of the
    /// task asked, and go back to it at the new task's end. `bootstrap`, a send
    /// right or null, is put into the new task; its name there is `bootstrap_name`.
    /// Returns a send right to the new task's kernel port. (Mach's `task_create`.)
    ///
    /// `ResourceShortage`: the account has not that much left.
    2 create / Create (name: [u8; 32], limits: Limits; bootstrap) -> (bootstrap_name: Name, reserved: u32; task);

    /// What the task has and uses.
    3 info / Info () -> (info: TaskInfo);

    /// Makes a thread that starts at `entry` with the stack pointer `stack` and
    /// `argument` in `rdi`; it is ready at once. Returns a send right to its kernel port.
    ///
    /// `InvalidAddress`: `entry` or `stack` is outside user memory.
    /// `InvalidValue`: `priority` is above [`PRIORITY_MAX`](crate::thread::PRIORITY_MAX).
    4 thread_create / ThreadCreate (entry: u64, stack: u64, argument: u64, priority: u32, reserved: u32) -> (; thread);

    /// Capacity, messages, waiters and rights of the port whose receive right `name` is.
    ///
    /// `InvalidName`; `NotReceiver`: the name is not a receive right.
    5 port_status / PortStatus (name: Name, reserved: u32) -> (status: Status);

    /// Sets the port's capacity (a [`Capacity::code`](crate::Capacity::code)) and lets in as many
    /// waiting senders as now have a place. Lowering it removes nothing: the port is
    /// full until it has drained. (Mach 2.5's `port_set_backlog`.)
    ///
    /// `InvalidName`, `NotReceiver`, `InvalidValue`.
    6 port_set_backlog / PortSetBacklog (name: Name, capacity: u32) -> ();

    /// Gives the task the right in the message and returns its name. `name` must be
    /// null: the kernel deals out names, with their generations. A send right for a
    /// port the task knows merges with it.
    ///
    /// `InvalidArgument`: `name` is not null. `NoSpace`, `UrefsOverflow`, `ResourceShortage`.
    7 port_insert_right / PortInsertRight (name: Name, reserved: u32; right) -> (name: Name, reserved: u32);

    /// What the name stands for, with its user references.
    ///
    /// `InvalidName`.
    8 port_type / PortType (name: Name, reserved: u32) -> (kind: NameType);

    /// Adds `delta` to the user references of the right of this `kind`
    /// ([`RightKind`](crate::RightKind)) under the name. A receive or send-once right has one,
    /// so only -1 is legal there, and ends it.
    ///
    /// `InvalidName`, `InvalidRight`: no right of that kind there. `InvalidValue`:
    /// fewer than zero would be left, or the kind is unknown. `UrefsOverflow`.
    9 port_mod_refs / PortModRefs (name: Name, kind: u32, delta: i32, reserved: u32) -> ();

    /// `port_allocate` for this task.
    ///
    /// `InvalidValue`, `NoSpace`, `ResourceShortage`.
    10 port_allocate / PortAllocate (capacity: u32, reserved: u32) -> (name: Name, reserved: u32);

    /// `port_deallocate` for this task.
    ///
    /// `InvalidName`.
    11 port_deallocate / PortDeallocate (name: Name, reserved: u32) -> ();

    /// Maps `size` bytes of the memory object whose right is in the message, from
    /// `offset`, or fresh zero-filled memory if that is null, with this protection
    /// ([`Protection`](crate::Protection) bits), at `address`, or anywhere if `flags` ([`MapFlags`](crate::vm::MapFlags)) say so.
    /// `size` is rounded up to whole pages. Pages come when they are touched.
    /// Returns the address.
    ///
    /// `InvalidArgument`: size 0, address or offset not at a page, the object ends
    /// before `offset + size`, unknown bits, writable and executable at once.
    /// `InvalidAddress`: outside user memory. `NoSpace`: the range is taken, or none
    /// is free. `ProtectionFailure`: the right allows less. `InvalidCapability`:
    /// the right is not a memory object's. `ResourceShortage`.
    12 vm_map / VmMap (address: u64, size: u64, offset: u64, protection: u32, flags: u32; object) -> (address: u64);

    /// Unmaps all pages in the range; what was not mapped is passed over.
    ///
    /// `InvalidArgument`: size 0, or address not at a page. `InvalidAddress`.
    /// `ResourceShortage`: cutting a mapping in two needs memory that is not there.
    13 vm_deallocate / VmDeallocate (address: u64, size: u64) -> ();

    /// Sets the protection of all pages in the range, all of which must be mapped.
    ///
    /// `InvalidArgument`, `InvalidAddress`: as above, or not all mapped.
    /// `ProtectionFailure`: more than the right allowed. `ResourceShortage`.
    14 vm_protect / VmProtect (address: u64, size: u64, protection: u32, reserved: u32) -> ();

    /// Makes a memory object of `size` bytes, rounded up to whole pages, all zero;
    /// frames are charged to this task's account when pages are first touched.
    /// Returns a send right that allows everything.
    ///
    /// `InvalidArgument`: size 0 or above [`SIZE_MAX`](crate::memory_object::SIZE_MAX). `ResourceShortage`.
    15 memory_object_create / MemoryObjectCreate (size: u64) -> (; object);
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
    /// Always 0.
    pub reserved: u32,
    /// What the account may spend.
    pub limits: Limits,
    /// What it has spent, children's limits included.
    pub used: Limits,
}
