//! Tasks: an address space, a name space, threads, and an account that pays.
//!
//! Every task is born with a kernel port, behind which the kernel does things to
//! it, and a notify port, on which it is told what happens to its rights.
//!
//! Invariant: what a task holds is released when it ends, whatever its threads
//! were waiting for. Neighbours: `thread`, `account`, `service::task`.

pub mod account;
pub mod exception;
pub mod registers;
pub mod special;
pub mod thread;
pub mod word;

pub use account::{AccountId, Accounts};
pub use thread::{Thread, ThreadId, Threads};

use crate::arena::{Arena, Id};
use crate::ipc::message::CarriedRight;
use crate::ipc::port::{Holder, KernelObject, Owner};
use crate::ipc::space::{Right, Space};
use crate::ipc::{self, PortId, death, pager, receive, right, send};
use crate::kernel::Kernel;
use crate::list::{Link, Linked, List};
use crate::piece::{HEAP, PIECE, Units};
use crate::report;
use crate::vm::Map;
use account::Resource;
use portolan_abi::message::SecurityToken;
use portolan_abi::thread::SUSPENSIONS_MAX;
use portolan_abi::vm::{USER_END, USER_START};
use portolan_abi::{Capacity, Error, Name, Result, RightKind};
use portolan_machine::{Context, VirtAddr, pace, try_box};
use special::SpecialPorts;
use thread::{OfTask, State, Suspension, Wait};

/// Names a task.
pub type TaskId = Id<Task>;

/// A task.
pub struct Task {
    /// Identifies it for ever; 0 is the kernel.
    pub serial: u64,
    /// The task that was asked for it, by its serial number; 0 for the first.
    pub parent: u64,
    /// For messages; not unique.
    pub name: TaskName,
    /// Who it acts for.
    pub security: SecurityToken,
    /// Who pays for what it makes.
    pub account: AccountId,
    /// Its address space.
    pub map: Map,
    /// Its names.
    pub space: Space,
    /// Its threads.
    pub threads: List<Thread, OfTask>,
    /// How often it has been suspended, and with it all its threads.
    pub suspensions: u32,
    /// The last search for a deadlock that found it.
    pub searched: u64,
    /// The port that stands for it.
    pub kernel_port: PortId,
    /// Its name for that port.
    pub self_name: Name,
    /// The port on which it is told what happens to its rights.
    pub notify_port: PortId,
    /// Its name for that port's receive right, null if another task has that.
    pub notify_name: Name,
    /// Send rights that the kernel holds for it.
    pub special: SpecialPorts,
    /// Once it has ended: the first slot of its name space that may be in use.
    pub slots_left: u32,
    /// Once it has ended: in the line of those that have.
    pub grave: Link<Task>,
}

/// The link for the lines of ended tasks.
pub struct InGrave;

impl Linked<InGrave> for Task {
    fn link(&mut self) -> &mut Link<Task> {
        &mut self.grave
    }
    fn link_ref(&self) -> &Link<Task> {
        &self.grave
    }
}

/// The thread that makes a call, and its task.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The thread.
    pub thread: ThreadId,
    /// Its task.
    pub task: TaskId,
    /// The number of the message that it received last.
    pub handling: u64,
}

/// A task's name, as its maker wrote it.
#[derive(Clone, Copy)]
pub struct TaskName(pub [u8; 32]);

impl TaskName {
    /// The name with this text, cut at 32 bytes.
    pub fn new(text: &str) -> TaskName {
        let mut name = [0; 32];
        for (to, from) in name.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        TaskName(name)
    }
}

impl core::fmt::Display for TaskName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        for byte in &self.0[..end] {
            let shown = if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
            write!(f, "{shown}")?;
        }
        Ok(())
    }
}

/// What a task costs its own account, apart from ports, names and pages.
pub const TASK_COST: u64 = Arena::<Task>::SLOT_SIZE as u64;
/// What a thread costs its task's account, apart from its port and name.
pub const THREAD_COST: u64 = (Threads::SLOT_SIZE + size_of::<Context>() + Context::HEAP_SIZE) as u64;

/// Makes a task that pays from `account`, which is its own; its memory is empty, or
/// inherited from another.
///
/// # Errors
/// `ResourceShortage`; the account is then still the caller's to close.
pub fn create(
    k: &mut Kernel,
    name: TaskName,
    security: SecurityToken,
    account: AccountId,
    heir_of: Option<TaskId>,
) -> Result<TaskId> {
    k.tasks.reserve()?;
    k.accounts.charge(account, Resource::Memory, TASK_COST)?;
    let made = create_ports(k, account).and_then(|(kernel_port, notify_port)| match make_spaces(k, account, heir_of) {
        Ok((map, space)) => Ok((kernel_port, notify_port, map, space)),
        Err(error) => {
            death::bury(k, kernel_port);
            death::bury(k, notify_port);
            Err(error)
        }
    });
    let (kernel_port, notify_port, map, space) = made.inspect_err(|_| {
        k.accounts.credit(account, Resource::Memory, TASK_COST);
    })?;
    // Nothing below may fail: the slot is reserved, and the space has room.
    let serial = k.next_task_serial();
    let task = Task {
        serial,
        parent: 0,
        name,
        security,
        account,
        map,
        space,
        threads: List::default(),
        suspensions: 0,
        searched: 0,
        kernel_port,
        self_name: Name::NULL,
        notify_port,
        notify_name: Name::NULL,
        special: SpecialPorts::default(),
        slots_left: 0,
        grave: Link::default(),
    };
    let id = k.tasks.insert(task)?;
    k.ports[kernel_port].owner = Owner::Kernel(KernelObject::Task(id));
    k.ports[notify_port].notices.dead_names_of = Some(id);
    k.ports[kernel_port].send_rights += 1;
    let self_name = right::insert(k, id, CarriedRight::Send(kernel_port));
    let notify_name = right::insert(k, id, CarriedRight::Receive(notify_port));
    let task = &mut k.tasks[id];
    (task.self_name, task.notify_name) = (self_name, notify_name);
    Ok(id)
}

fn create_ports(k: &mut Kernel, account: AccountId) -> Result<(PortId, PortId)> {
    let kernel_port = ipc::create(k, Owner::Message, account, Capacity::DEFAULT)?;
    match ipc::create(k, Owner::Message, account, Capacity::DEFAULT) {
        Ok(notify_port) => Ok((kernel_port, notify_port)),
        Err(error) => {
            death::bury(k, kernel_port);
            Err(error)
        }
    }
}

/// Names that a new task has room for: those of its two ports, and of a right from its maker.
const FIRST_NAMES: u32 = 3;

fn make_spaces(k: &mut Kernel, account: AccountId, heir_of: Option<TaskId>) -> Result<(Map, Space)> {
    let Kernel { vm, accounts, tasks, .. } = k;
    let mut space = Space::new(account);
    let map = space.reserve(accounts, FIRST_NAMES).and_then(|()| match heir_of {
        Some(parent) => tasks[parent].map.fork(vm, accounts, account),
        None => Map::new(vm, accounts, account),
    });
    match map {
        Ok(map) => Ok((map, space)),
        Err(error) => {
            space.credit(accounts);
            Err(error)
        }
    }
}

/// Where and how a new thread starts.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Its first instruction.
    pub entry: u64,
    /// Its stack pointer.
    pub stack: u64,
    /// What it finds in `rdi`.
    pub argument: u64,
    /// Its priority.
    pub priority: u8,
    /// How often it is suspended.
    pub suspensions: u32,
}

/// Makes a thread and lets it run, unless it or its task is suspended.
///
/// # Errors
/// `InvalidAddress`, `ResourceShortage`, `NoSpace`.
pub fn create_thread(k: &mut Kernel, task: TaskId, start: Start) -> Result<ThreadId> {
    let Start { entry, stack, argument, priority, suspensions } = start;
    let mapped = |address: &u64| (USER_START..USER_END).contains(address);
    if !mapped(&entry) || stack > USER_END {
        return Err(Error::InvalidAddress);
    }
    let Kernel { tasks, accounts, threads, timers, .. } = k;
    let account = tasks[task].account;
    tasks[task].space.reserve(accounts, 1)?;
    threads.reserve()?;
    timers.reserve()?;
    if let Err(spent) = accounts.charge(account, Resource::Memory, THREAD_COST) {
        timers.release();
        return Err(spent.into());
    }
    let made = Context::new(VirtAddr(entry), VirtAddr(stack), argument)
        .and_then(try_box)
        .ok_or(Error::ResourceShortage)
        .and_then(|context| Ok((context, ipc::create(k, Owner::Message, account, Capacity::DEFAULT)?)));
    let (context, port) = match made {
        Ok(made) => made,
        Err(error) => {
            k.timers.release();
            k.accounts.credit(account, Resource::Memory, THREAD_COST);
            return Err(error);
        }
    };
    // Nothing below may fail.
    let root = k.tasks[task].map.pmap.root();
    let id = k.threads.insert(Thread::new(task, root, context, priority, port))?;
    k.ports[port].owner = Owner::Kernel(KernelObject::Thread(id));
    k.ports[port].send_rights += 1;
    k.threads[id].self_name = right::insert(k, task, CarriedRight::Send(port));
    let serial = k.next_thread_serial();
    let Kernel { tasks, threads, scheduler, .. } = k;
    let task = &mut tasks[task];
    threads[id].serial = serial;
    threads[id].suspension = Suspension { count: suspensions, of_task: task.suspensions > 0 };
    task.threads.push_back(threads, id);
    scheduler.make_ready(threads, id);
    Ok(id)
}

/// Suspends a thread once more.
///
/// # Errors
/// `Failure`: as often as it can be.
pub fn suspend_thread(k: &mut Kernel, id: ThreadId) -> Result<()> {
    let Kernel { threads, scheduler, .. } = k;
    let count = &mut threads[id].suspension.count;
    *count = one_more(*count)?;
    scheduler.suspend(threads, id);
    Ok(())
}

/// Undoes one suspension of a thread.
///
/// # Errors
/// `Failure`: there is none.
pub fn resume_thread(k: &mut Kernel, id: ThreadId) -> Result<()> {
    let Kernel { threads, scheduler, .. } = k;
    let count = &mut threads[id].suspension.count;
    *count = one_less(*count)?;
    scheduler.resume(threads, id);
    Ok(())
}

/// Suspends a task once more: the first time, all its threads stop.
///
/// # Errors
/// `Failure`: as often as it can be.
pub fn suspend(k: &mut Kernel, id: TaskId) -> Result<()> {
    let task = &mut k.tasks[id];
    task.suspensions = one_more(task.suspensions)?;
    if task.suspensions == 1 {
        set_suspended(k, id, true);
    }
    Ok(())
}

/// Undoes one suspension of a task: after the last one its threads go on.
///
/// # Errors
/// `Failure`: there is none.
pub fn resume(k: &mut Kernel, id: TaskId) -> Result<()> {
    let task = &mut k.tasks[id];
    task.suspensions = one_less(task.suspensions)?;
    if task.suspensions == 0 {
        set_suspended(k, id, false);
    }
    Ok(())
}

/// Instructions that stopping a thread takes, or letting it go on.
const PER_THREAD: u32 = 100;

fn set_suspended(k: &mut Kernel, id: TaskId, suspended: bool) {
    let Kernel { tasks, threads, scheduler, .. } = k;
    let list = &tasks[id].threads;
    let mut next = list.first();
    while let Some(id) = next {
        pace(PER_THREAD);
        next = list.after(threads, id);
        threads[id].suspension.of_task = suspended;
        if suspended {
            scheduler.suspend(threads, id);
        } else {
            scheduler.resume(threads, id);
        }
    }
}

fn one_more(suspensions: u32) -> Result<u32> {
    if suspensions < SUSPENSIONS_MAX { Ok(suspensions + 1) } else { Err(Error::Failure) }
}

fn one_less(suspensions: u32) -> Result<u32> {
    suspensions.checked_sub(1).ok_or(Error::Failure)
}

/// Ends a thread, whatever it does.
pub fn terminate_thread(k: &mut Kernel, id: ThreadId) {
    let Some(thread) = k.threads.get(id) else { return };
    let (task, port, name, exception) = (thread.task, thread.kernel_port, thread.self_name, thread.exception);
    leave(k, id);
    word::owner_ends(k, id);
    special::release(k, exception);
    // The name the thread was given for itself goes with it, if it is still that.
    if k.tasks[task].space.find(port).is_some_and(|slot| k.tasks[task].space.name(slot) == name) {
        let _ = right::modify_references(k, task, name, RightKind::Send, -1);
    }
    death::bury(k, port);
    let Kernel { tasks, threads, timers, accounts, .. } = k;
    tasks[task].threads.remove(threads, id);
    threads.remove(id);
    timers.release();
    accounts.credit(tasks[task].account, Resource::Memory, THREAD_COST);
}

/// Takes a thread out of wherever it waits.
fn leave(k: &mut Kernel, id: ThreadId) {
    match &k.threads[id].state {
        State::Running | State::Suspended => {}
        State::Ready => k.scheduler.remove(&mut k.threads, id),
        State::Waiting(Wait::Send(_)) => send::abandon(k, id),
        State::Waiting(Wait::Receive(_)) => receive::abandon(k, id, |thread| thread.state = State::Running),
        State::Waiting(Wait::Sleep) => k.timers.clear(&mut k.threads, id),
        State::Waiting(Wait::Exception(_)) => exception::abandon(k, id),
        State::Waiting(Wait::Page(_)) => pager::abandon(k, id),
        State::Waiting(Wait::Word(_)) => word::abandon(k, id),
    }
}

/// The serial number of the first task.
const FIRST_SERIAL: u64 = 1;

/// Ends a task: nobody can reach it any more. Its threads go before any user code runs again,
/// its names and its memory after them (`clear`).
pub fn terminate(k: &mut Kernel, id: TaskId) {
    let Some(task) = k.tasks.get_mut(id).filter(|task| !task.has_ended()) else { return };
    task.slots_left = FIRST_SLOT;
    let (port, special) = (task.kernel_port, core::mem::take(&mut task.special));
    death::bury(k, port);
    for port in special.iter() {
        right::drop_send_right(k, port);
    }
    k.clearing.killed.push_back(&mut k.tasks, id);
    k.clearing.added = true;
}

/// The first slot of a name space that is ever in use.
const FIRST_SLOT: u32 = 1;

impl Task {
    /// Whether it is only to be cleared away.
    pub fn has_ended(&self) -> bool {
        self.slots_left >= FIRST_SLOT
    }
}

/// Ends a thread of a task that has ended; after the last one the rest of the task is next.
pub fn end_next_thread(k: &mut Kernel, id: TaskId) -> Units {
    match k.tasks[id].threads.first() {
        Some(thread) => {
            k.clearing.priority = k.clearing.priority.max(k.threads[thread].priority);
            terminate_thread(k, thread);
        }
        None => {
            k.clearing.killed.remove(&mut k.tasks, id);
            k.clearing.ended.push_back(&mut k.tasks, id);
        }
    }
    HEAP
}

/// What it takes to find a page table that can go: three tables may be looked through.
const TABLE: Units = PIECE;
/// Vacant slots that are passed over in a unit.
const VACANT: u32 = 32;

/// Takes one thing from a task that has ended and has no threads: a name, then a part of the
/// name space's table, a page table, a region, and in the end the task. Without the first
/// task nothing can be started or stopped any more, so its end is the machine's, and a failure.
pub fn take_apart(k: &mut Kernel, id: TaskId) -> Units {
    let Kernel { tasks, vm, accounts, .. } = k;
    let task = &mut tasks[id];
    if let Some(right) = task.next_right() {
        let slot = task.slots_left;
        right::remove(k, Holder { task: id, slot });
        right::release(k, right);
        return Units::ONE;
    }
    if task.slots_left < task.space.slots() {
        return Units::ONE;
    }
    if task.serial == FIRST_SERIAL {
        report::first_task_ended(k);
        portolan_machine::exit(false);
    }
    if task.map.take_table(vm, accounts) {
        return TABLE;
    }
    if let Some(taken) = task.map.take_region(vm, accounts) {
        return taken;
    }
    if !task.space.shrink(accounts) {
        remove(k, id);
    }
    HEAP
}

/// Ends a task of which nothing is left.
fn remove(k: &mut Kernel, id: TaskId) {
    let Kernel { tasks, clearing, vm, accounts, .. } = k;
    clearing.ended.remove(tasks, id);
    let Some(task) = tasks.remove(id) else { return };
    task.map.destroy(vm, accounts);
    accounts.credit(task.account, Resource::Memory, TASK_COST);
    accounts.close(task.account);
}

impl Task {
    /// What the next name stands for that is in use, of some that are looked at.
    fn next_right(&mut self) -> Option<Right> {
        for _ in 0..VACANT {
            match self.space.get(self.slots_left)?.right {
                Right::Vacant(_) => self.slots_left += 1,
                right => return Some(right),
            }
        }
        None
    }
}

/// The name of a right that a task keeps to itself, made again if it gave it up.
///
/// # Errors
/// `ResourceShortage`, `NoSpace`.
#[inline]
pub fn own_name(k: &mut Kernel, task: TaskId, known: Name, port: PortId) -> Result<Name> {
    let space = &k.tasks[task].space;
    if let Ok(slot) = space.slot(known)
        && matches!(space.entry(slot).right, Right::Port { port: named, sends: 1.., .. } if named == port)
    {
        return Ok(known);
    }
    let Kernel { tasks, accounts, ports, .. } = k;
    tasks[task].space.reserve(accounts, 1)?;
    ports[port].send_rights += 1;
    Ok(right::insert(k, task, CarriedRight::Send(port)))
}
