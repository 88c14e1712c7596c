//! Tasks, through their kernel ports.
//!
//! Whoever holds a task's port can do all this to it. Neighbours: `program` starts
//! tasks from ELF files, `thread` has threads of one's own task, `mapping` its memory.

use crate::Result;
use crate::interface::{MsgRpc, MsgRpcWithin};
use crate::layout::{Address, addressed, write};
use crate::lock::Once;
use crate::memory::Memory;
use crate::memory_object::MemoryObject;
use crate::right::{Right, SendRight};
use crate::thread::Thread;
use crate::trap;
use alloc::vec::Vec;
use portolan_abi::interface::Routine;
use portolan_abi::message::{Descriptor, Options};
use portolan_abi::task::{CreateFlags, Limits, REGISTERED_PORTS, SpecialPort, THREADS_LISTED, TaskInfo, ThreadFlags};
use portolan_abi::vm::{self, INLINE_MAX, Inheritance, MapFlags, RegionInfo, Statistics};
use portolan_abi::{Disposition, Error, Name, Protection, RightKind, port, task};

/// A task, by a send right to its kernel port.
#[derive(Debug, PartialEq, Eq)]
pub struct Task(SendRight);

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Wherever there is room.
    Anywhere,
    /// At this address.
    At(u64),
}

impl Task {
    /// The task that asks.
    pub fn this() -> &'static Task {
        static THIS: Once<Task> = Once::new();
        THIS.call_once(|| Task(SendRight::from_name(trap::task_self())))
    }

    /// The task whose kernel port this right is to.
    #[must_use]
    pub fn from_right(right: SendRight) -> Task {
        Task(right)
    }

    /// The same for a right that may be to anything, from someone who is not trusted. A port that is not
    /// the kernel's is not waited for: the kernel answers within the call.
    ///
    /// # Errors
    /// `InvalidCapability`: it is no task's kernel port, or the task has ended.
    pub fn from_stranger(right: SendRight) -> Result<Task> {
        task::info(&MsgRpcWithin(0), right.name()).map_err(|_| Error::InvalidCapability)?;
        Ok(Task(right))
    }

    /// The right.
    pub fn right(&self) -> &SendRight {
        &self.0
    }

    fn port(&self) -> Name {
        self.0.name()
    }

    /// Makes an empty task, whose limits come out of this one's account. `bootstrap`
    /// is put into it, under the name that is returned.
    ///
    /// # Errors
    /// `InvalidValue`: the name is longer than 32 bytes. `ResourceShortage`.
    pub fn create(&self, name: &str, limits: Limits, bootstrap: Right<'_>) -> Result<(Task, Name)> {
        self.create_with(name, limits, CreateFlags::empty(), bootstrap)
    }

    /// Makes a task with no thread and with memory inherited from this one, as each region
    /// says: half of a `fork`. The rest is as for [`create`](Task::create).
    ///
    /// # Errors
    /// Those of `create`; `ResourceShortage`, too, if the limits are too small for the memory.
    pub fn create_heir(&self, name: &str, limits: Limits, bootstrap: Right<'_>) -> Result<(Task, Name)> {
        self.create_with(name, limits, CreateFlags::INHERIT, bootstrap)
    }

    fn create_with(
        &self,
        name: &str,
        limits: Limits,
        flags: CreateFlags,
        bootstrap: Right<'_>,
    ) -> Result<(Task, Name)> {
        let mut padded = [0; 32];
        padded.get_mut(..name.len()).ok_or(Error::InvalidValue)?.copy_from_slice(name.as_bytes());
        let created = task::create(&MsgRpc, self.port(), padded, limits, flags.bits(), 0, bootstrap.descriptor())?;
        bootstrap.sent();
        Ok((Task(SendRight::from_name(created.rights[0])), created.results.bootstrap_name))
    }

    /// Ends the task.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended already.
    pub fn terminate(&self) -> Result<()> {
        task::terminate(&MsgRpc, self.port()).map(drop)
    }

    /// Stops all its threads, until it has been resumed as often.
    ///
    /// # Errors
    /// `Failure`: it has been suspended as often as it can be.
    pub fn suspend(&self) -> Result<()> {
        task::suspend(&MsgRpc, self.port()).map(drop)
    }

    /// Its threads.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended. `ResourceShortage`.
    pub fn threads(&self) -> Result<Vec<Thread>> {
        let (mut threads, mut after) = (Vec::new(), 0);
        loop {
            let part = task::threads(&MsgRpc, self.port(), after)?;
            let count = (part.results.count as usize).min(THREADS_LISTED);
            threads.extend(part.rights[..count].iter().map(|name| Thread::from_right(SendRight::from_name(*name))));
            if count < THREADS_LISTED {
                return Ok(threads);
            }
            after = part.results.last;
        }
    }

    /// One of its special ports: [`Right::Null`] if there is none, [`Right::Dead`] if it has died.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended.
    pub fn special_port(&self, which: SpecialPort) -> Result<Right<'static>> {
        let port = task::get_special_port(&MsgRpc, self.port(), which as u32, 0)?.rights[0];
        Ok(Right::from_parts(port, RightKind::Send as u8))
    }

    /// Sets one of its special ports.
    ///
    /// # Errors
    /// Those of [`set_special_port`](task::set_special_port).
    pub fn set_special_port(&self, which: SpecialPort, right: Right<'_>) -> Result<()> {
        task::set_special_port(&MsgRpc, self.port(), which as u32, 0, right.descriptor())?;
        right.sent();
        Ok(())
    }

    /// Sets all its registered ports.
    ///
    /// # Errors
    /// `InvalidCapability`: one is neither a send right nor null.
    pub fn register_ports(&self, rights: [Right<'_>; REGISTERED_PORTS]) -> Result<()> {
        let [a, b, c, d] = rights.each_ref().map(Right::descriptor);
        task::ports_register(&MsgRpc, self.port(), a, b, c, d)?;
        rights.into_iter().for_each(Right::sent);
        Ok(())
    }

    /// Its registered ports.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended. `ResourceShortage`.
    pub fn registered_ports(&self) -> Result<[Right<'static>; REGISTERED_PORTS]> {
        let names = task::ports_lookup(&MsgRpc, self.port())?.rights;
        Ok(core::array::from_fn(|number| Right::from_parts(names[number], RightKind::Send as u8)))
    }

    /// Undoes one suspension.
    ///
    /// # Errors
    /// `Failure`: it is not suspended.
    pub fn resume(&self) -> Result<()> {
        task::resume(&MsgRpc, self.port()).map(drop)
    }

    /// What it has and uses.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended.
    pub fn info(&self) -> Result<TaskInfo> {
        Ok(task::info(&MsgRpc, self.port())?.results.info)
    }

    /// Gives the task a send right of one's own; its name there.
    ///
    /// # Errors
    /// `NoSpace`, `UrefsOverflow`, `ResourceShortage`.
    pub fn insert_send(&self, right: &SendRight) -> Result<Name> {
        let right = Right::CopySend(right).descriptor();
        Ok(port::port_insert_right(&MsgRpc, self.port(), Name::NULL, 0, right)?.results.name)
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// `InvalidAddress`, `InvalidValue`, `ResourceShortage`.
    pub fn thread_create(&self, entry: u64, stack: u64, argument: u64, priority: u32) -> Result<Thread> {
        self.make_thread(entry, stack, argument, priority, ThreadFlags::empty())
    }

    /// Makes a thread that is suspended once: it starts when it is resumed.
    ///
    /// # Errors
    /// As for [`Task::thread_create`].
    pub fn thread_create_suspended(&self, entry: u64, stack: u64, argument: u64, priority: u32) -> Result<Thread> {
        self.make_thread(entry, stack, argument, priority, ThreadFlags::SUSPENDED)
    }

    fn make_thread(&self, entry: u64, stack: u64, argument: u64, priority: u32, flags: ThreadFlags) -> Result<Thread> {
        let created = task::thread_create(&MsgRpc, self.port(), entry, stack, argument, priority, flags.bits())?;
        Ok(Thread::from_right(SendRight::from_name(created.rights[0])))
    }

    /// A memory object whose pages this task's account pays for.
    ///
    /// # Errors
    /// `InvalidArgument`, `ResourceShortage`.
    pub fn memory_object(&self, size: u64) -> Result<MemoryObject> {
        let created = vm::memory_object_create(&MsgRpc, self.port(), size)?;
        Ok(MemoryObject::from_right(SendRight::from_name(created.rights[0])))
    }

    /// Maps `size` bytes of the object from its start, or fresh memory, into the task; returns the address.
    ///
    /// # Errors
    /// Those of [`vm_map`](vm::vm_map).
    pub fn map(&self, object: Option<&MemoryObject>, size: u64, protection: Protection, place: Place) -> Result<u64> {
        self.map_on(object, size, place, Terms { protection, ..Terms::default() })
    }

    /// As [`map`](Task::map), with everything said.
    ///
    /// # Errors
    /// Those of [`vm_map`](vm::vm_map).
    pub fn map_on(&self, object: Option<&MemoryObject>, size: u64, place: Place, terms: Terms) -> Result<u64> {
        let right = object.map_or(Right::Null, |object| Right::CopySend(object.right()));
        let Terms { offset, protection, maximum, inheritance, mut flags } = terms;
        flags.set(MapFlags::ANYWHERE, place == Place::Anywhere);
        let address = match place {
            Place::Anywhere => 0,
            Place::At(address) => address,
        };
        let (protection, maximum, inheritance) = (protection.bits(), maximum.bits(), inheritance as u32);
        let (port, flags, right) = (self.port(), flags.bits(), right.descriptor());
        let mapped = vm::vm_map(&MsgRpc, port, address, size, offset, protection, maximum, inheritance, flags, right)?;
        Ok(mapped.results.address)
    }

    /// Unmaps a range.
    ///
    /// # Errors
    /// `InvalidArgument`, `InvalidAddress`, `ResourceShortage`.
    pub fn unmap(&self, address: u64, size: u64) -> Result<()> {
        vm::vm_deallocate(&MsgRpc, self.port(), address, size).map(drop)
    }

    /// Sets the protection of a range.
    ///
    /// # Errors
    /// `InvalidArgument`, `InvalidAddress`, `ProtectionFailure`, `ResourceShortage`.
    pub fn protect(&self, address: u64, size: u64, protection: Protection) -> Result<()> {
        vm::vm_protect(&MsgRpc, self.port(), address, size, protection.bits(), 0).map(drop)
    }

    /// Sets what the protection of a range can be raised to, and takes away what is above that.
    ///
    /// # Errors
    /// Those of [`protect`](Task::protect).
    pub fn set_maximum(&self, address: u64, size: u64, maximum: Protection) -> Result<()> {
        vm::vm_protect(&MsgRpc, self.port(), address, size, maximum.bits(), 1).map(drop)
    }

    /// Sets what child tasks get of a range.
    ///
    /// # Errors
    /// `InvalidArgument`, `InvalidAddress`, `ResourceShortage`.
    pub fn inherit(&self, address: u64, size: u64, inheritance: Inheritance) -> Result<()> {
        vm::vm_inherit(&MsgRpc, self.port(), address, size, inheritance as u32, 0).map(drop)
    }

    /// The first region that ends after an address.
    ///
    /// # Errors
    /// `InvalidAddress`: there is none.
    pub fn region(&self, address: u64) -> Result<RegionInfo> {
        Ok(vm::vm_region(&MsgRpc, self.port(), address)?.results.info)
    }

    /// Fills `into` from the task's memory: a few bytes with the reply itself, more out of line.
    ///
    /// # Errors
    /// `InvalidAddress`, `ProtectionFailure`, `ResourceShortage`.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<()> {
        let size = into.len() as u64;
        if into.len() > INLINE_MAX {
            let region = vm::vm_read(&MsgRpc, self.port(), address, size)?.memory;
            into.copy_from_slice(&Memory::arrived(&Descriptor::memory(region.address, region.size, 0)));
        } else if size > 0 {
            into.copy_from_slice(&vm::vm_peek(&MsgRpc, self.port(), address, size)?.results.data[..into.len()]);
        }
        Ok(())
    }

    /// Writes to the task's memory, all of `from` or nothing.
    ///
    /// # Errors
    /// `InvalidAddress`, `ProtectionFailure`, `ResourceShortage`.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<()> {
        if from.len() > INLINE_MAX {
            let region = Descriptor::memory(from.as_ptr().addr() as u64, from.len() as u64, 0);
            vm::vm_write(&MsgRpc, self.port(), address, region)?;
        } else if !from.is_empty() {
            let mut data = [0; INLINE_MAX];
            data[..from.len()].copy_from_slice(from);
            vm::vm_poke(&MsgRpc, self.port(), address, from.len() as u64, data)?;
        }
        Ok(())
    }

    /// Copies a range of the task's memory over another.
    ///
    /// # Errors
    /// Those of [`vm_copy`](vm::vm_copy).
    pub fn copy(&self, source: u64, size: u64, target: u64) -> Result<()> {
        vm::vm_copy(&MsgRpc, self.port(), source, size, target).map(drop)
    }

    /// Figures of its memory, and of the machine's.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended.
    pub fn memory_statistics(&self) -> Result<Statistics> {
        Ok(vm::vm_statistics(&MsgRpc, self.port())?.results.statistics)
    }
}

/// How memory is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The byte of the object to begin with.
    pub offset: u64,
    /// What may be done at first.
    pub protection: Protection,
    /// What it may be raised to, as far as the right allows.
    pub maximum: Protection,
    /// What a child task gets.
    pub inheritance: Inheritance,
    /// Whether it is a copy of the object's bytes as they are now, and whether it may reach beyond its
    /// end. Where it goes is the [`Place`]'s to say.
    pub flags: MapFlags,
}

impl Default for Terms {
    /// The object itself from its start, to be read and written.
    fn default() -> Terms {
        let (protection, maximum) = (Protection::READ_WRITE, Protection::all());
        Terms { offset: 0, protection, maximum, inheritance: Inheritance::Copy, flags: MapFlags::empty() }
    }
}

/// Ends the calling task.
pub fn end() -> ! {
    finish::<task::Terminate>(trap::task_self())
}

/// Asks the kernel port of the caller's own task or thread for its end. There is
/// nobody left to get a reply, so no reply port is taken.
pub(crate) fn finish<R: Routine>(port: Name) -> ! {
    let mut request = [0; 3];
    let header = addressed(Address::new(port, Disposition::CopySend), Address::NONE);
    write(&mut request, portolan_abi::message::Header { id: R::ID, ..header }, &[], &[]);
    loop {
        let _ = trap::msg_send(&request, Options::empty(), 0);
    }
}
