//! Pagers: tasks that make up the pages of a memory object when somebody touches them.
//!
//! Who needs a page that is not there waits ([`Wait::Page`]) in the line of the object's
//! pager. What is to be asked is kept in those threads themselves: the message is made when it
//! is received, so it needs no memory. A page is asked for once while anybody waits for it.
//! When it is there, or will not come, its threads become ready, and what they were about is
//! begun again, or ended with an error, when their turn comes (`Unfinished`); so nothing
//! here happens in the middle of another's call.
//!
//! Invariant: a pager stands at the port it is told at exactly while threads wait: among those
//! that have to *ask* as long as the port's receiver has not been told of all their pages, else
//! among those that have *asked*. Its object lives as long as its control port does.
//! Neighbours: `vm::fault` finds pages absent, `receive` and `death` tell, `service::pager`
//! brings the answers. Reference: `abi::pager`.

use super::interrupt::receivable;
use super::message::CarriedRight;
use super::port::{KernelObject, Owner, Port, PortId, living};
use super::{receive, right};
use crate::arena::{Arena, Id};
use crate::kernel::Kernel;
use crate::list::{Link, Linked, List};
use crate::task::TaskId;
use crate::task::account::{AccountId, Resource};
use crate::task::exception::Cause;
use crate::task::thread::{Completion, InQueue, Receiving, State, Thread, ThreadId, Threads, Unfinished, Wait};
use crate::vm::copy::Window;
use crate::vm::fault::Absent;
use crate::vm::object::Supply;
use crate::vm::{Fault, ObjectId};
use portolan_abi::message::Options;
use portolan_abi::pager::PageRequest;
use portolan_abi::{Capacity, Error, PAGE_SIZE, Protection, Result};
use portolan_machine::{Access, Instant, VirtAddr, pace};

/// Names a pager.
pub type PagerId = Id<Pager>;

/// Who supplies the pages of one memory object.
pub struct Pager {
    /// The object.
    pub object: ObjectId,
    /// Where it is asked; the pager has a send right.
    pub told_to: PortId,
    /// What it calls the object.
    pub cookie: u64,
    /// Who pays for it.
    pub account: AccountId,
    /// Threads that wait for pages.
    pub waiting: List<Thread, InQueue>,
    /// Where it stands at its port.
    pub standing: Standing,
    link: Link<Pager>,
}

/// What a pager costs, apart from its control port.
pub const PAGER_COST: u64 = Arena::<Pager>::SLOT_SIZE as u64;

/// Instructions that looking at a thread that waits takes, and ending its wait.
const PER_LOOK: u32 = 20;
const PER_WAKE: u32 = 250;

/// Where a pager stands at the port it is told at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nowhere: nobody waits.
    Idle,
    /// Among those with pages that it has not been asked for.
    Asking,
    /// Among those that have been asked for all pages that are waited for.
    Asked,
}

/// The pagers that stand at a port.
#[derive(Default)]
pub struct Pagers {
    /// Those with something to ask.
    pub asking: List<Pager, AtPort>,
    /// Those whose answers are awaited.
    pub asked: List<Pager, AtPort>,
}

impl Pagers {
    /// One of them.
    pub fn first(&self) -> Option<PagerId> {
        self.asking.first().or(self.asked.first())
    }

    fn at(&mut self, standing: Standing) -> Option<&mut List<Pager, AtPort>> {
        match standing {
            Standing::Idle => None,
            Standing::Asking => Some(&mut self.asking),
            Standing::Asked => Some(&mut self.asked),
        }
    }
}

/// The link for the pagers at a port.
pub struct AtPort;

impl Linked<AtPort> for Pager {
    fn link(&mut self) -> &mut Link<Pager> {
        &mut self.link
    }
    fn link_ref(&self) -> &Link<Pager> {
        &self.link
    }
}

/// A wait for a page.
#[derive(Clone, Copy, Debug)]
pub struct PageWait {
    /// Who is to supply it.
    pub pager: PagerId,
    /// Which page of its object.
    pub page: u64,
    /// What is to be done to it.
    pub access: Access,
    /// Whether the pager has been asked for it.
    pub told: bool,
    /// What was being done.
    pub then: Then,
}

/// What a thread that waits for a page was doing.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// It touched this address.
    Touch(VirtAddr),
    /// It was sending what is in the page.
    Send {
        /// Options of the call.
        options: Options,
        /// When the call began.
        began: Instant,
    },
    /// It was asking the kernel for something that needs the page.
    Ask {
        /// Options of the call.
        options: Options,
        /// When the call began.
        began: Instant,
    },
    /// It was receiving.
    Receive(Receiving),
    /// It was about to wait on a word in this page.
    Wait {
        /// When the call began.
        began: Instant,
    },
}

/// Makes the pager of an object, and returns its control right. The send right that was
/// carried becomes the pager's.
///
/// # Errors
/// `InvalidCapability`: not a send right to a port at which a task receives. `ResourceShortage`.
/// The right is then still the caller's.
pub fn create(
    k: &mut Kernel,
    payer: AccountId,
    object: ObjectId,
    carried: CarriedRight,
    cookie: u64,
) -> Result<CarriedRight> {
    let told_to = receivable(k, carried).ok_or(Error::InvalidCapability)?;
    k.pagers.reserve()?;
    k.accounts.charge(payer, Resource::Memory, PAGER_COST)?;
    let made = super::create(k, Owner::Message, payer, Capacity::DEFAULT);
    let port = made.inspect_err(|_| k.accounts.credit(payer, Resource::Memory, PAGER_COST))?;
    // Nothing below may fail.
    let id = k.pagers.insert(Pager {
        object,
        told_to,
        cookie,
        account: payer,
        waiting: List::default(),
        standing: Standing::Idle,
        link: Link::default(),
    })?;
    let control = &mut k.ports[port];
    (control.owner, control.send_rights) = (Owner::Kernel(KernelObject::Pager(id)), 1);
    let object = &mut k.vm.objects[object];
    object.supply = Supply::Pager(id);
    object.ports += 1;
    Ok(CarriedRight::Send(port))
}

/// Ends a pager: its control port has died. Pages that are not there never will be.
pub fn end(k: &mut Kernel, id: PagerId) {
    end_waits(k, id, None, Err(Error::MemoryFailure));
    let Some(pager) = k.pagers.remove(id) else { return };
    k.accounts.credit(pager.account, Resource::Memory, PAGER_COST);
    let Kernel { vm, accounts, .. } = k;
    let object = &mut vm.objects[pager.object];
    object.supply = Supply::Nobody;
    object.ports -= 1;
    vm.release_object(accounts, pager.object);
    right::drop_send_right(k, pager.told_to);
}

/// Nobody will be asked at the port where a pager stands, which has died: all waits end.
pub fn lose_port(k: &mut Kernel, id: PagerId) {
    end_waits(k, id, None, Err(Error::MemoryFailure));
}

/// Lets a thread wait for a page, until a deadline if it has one, and has the pager asked for it.
///
/// # Errors
/// `Refused`: there is no pager any more, or the thread's own task is it.
pub fn wait(
    k: &mut Kernel,
    thread: ThreadId,
    absent: Absent,
    then: Then,
    until: Option<Instant>,
) -> core::result::Result<(), Fault> {
    let gone = Fault::Refused(Error::MemoryFailure);
    let Supply::Pager(pager) = k.vm.objects[absent.object].supply else { return Err(gone) };
    let told_to = k.pagers[pager].told_to;
    let port = living(&k.ports, told_to).ok_or(gone)?;
    if matches!(port.owner, Owner::Task(task, _) if task == k.threads[thread].task) {
        return Err(Fault::Refused(Error::MemoryError));
    }
    // Nothing below may fail.
    let Kernel { pagers, threads, timers, .. } = k;
    let Absent { page, access, .. } = absent;
    let waiting = &mut pagers[pager].waiting;
    let told = waiting.iter(threads).filter_map(|other| of(threads, other)).any(|wait| wait.page == page && wait.told);
    threads[thread].state = State::Waiting(Wait::Page(PageWait { pager, page, access, told, then }));
    waiting.push_back(threads, thread);
    if let Some(until) = until {
        timers.set(threads, thread, until);
    }
    settle(k, pager);
    receive::offer_notice(k, told_to);
    Ok(())
}

/// What a thread waits for, if that is a page.
fn of(threads: &Threads, thread: ThreadId) -> Option<&PageWait> {
    pace(PER_LOOK);
    match &threads[thread].state {
        State::Waiting(Wait::Page(wait)) => Some(wait),
        _ => None,
    }
}

/// Puts a pager where it belongs.
fn settle(k: &mut Kernel, id: PagerId) {
    let Kernel { pagers, threads, ports, .. } = k;
    let Pager { waiting, standing: before, told_to, .. } = &pagers[id];
    let untold = |thread| of(threads, thread).is_some_and(|wait| !wait.told);
    let standing = match (waiting.is_empty(), waiting.iter(threads).any(untold)) {
        (true, _) => Standing::Idle,
        (false, true) => Standing::Asking,
        (false, false) => Standing::Asked,
    };
    let (before, told_to) = (*before, *told_to);
    if standing == before {
        return;
    }
    // While anybody waits the port is there, if only to be cleared away.
    let Port { pagers: at_port, .. } = &mut ports[told_to];
    if let Some(list) = at_port.at(before) {
        list.remove(pagers, id);
    }
    if let Some(list) = at_port.at(standing) {
        list.push_back(pagers, id);
    }
    pagers[id].standing = standing;
}

/// Takes the next question that a port's receiver is to be asked.
pub fn take(k: &mut Kernel, port: PortId) -> Option<PageRequest> {
    let id = k.ports[port].pagers.asking.first()?;
    let Kernel { pagers, threads, .. } = k;
    let waiting = &pagers[id].waiting;
    let page = waiting.iter(threads).filter_map(|thread| of(threads, thread)).find(|wait| !wait.told)?.page;
    let mut wanted = Protection::READ;
    let mut next = waiting.first();
    while let Some(thread) = next {
        pace(PER_LOOK);
        next = waiting.after(threads, thread);
        if let State::Waiting(Wait::Page(wait)) = &mut threads[thread].state
            && wait.page == page
        {
            wait.told = true;
            wanted |= protection(wait.access);
        }
    }
    let object = pagers[id].cookie;
    settle(k, id);
    let (offset, size) = (page * PAGE_SIZE as u64, PAGE_SIZE as u64);
    Some(PageRequest { object, offset, size, access: wanted.bits(), reserved: 0 })
}

fn protection(access: Access) -> Protection {
    match access {
        Access::Read => Protection::READ,
        Access::Write => Protection::WRITE,
        Access::Execute => Protection::EXECUTE,
    }
}

/// Supplies a page with a copy of a page's worth of a task's memory.
///
/// # Errors
/// As `abi::pager::supply` says.
pub fn supply(k: &mut Kernel, id: PagerId, offset: u64, from: TaskId, address: u64) -> Result<()> {
    let page = page_at(k, id, offset)?;
    let object = k.pagers[id].object;
    if k.vm.frame(object, page).is_some() {
        return Err(Error::Failure);
    }
    let Kernel { vm, accounts, tasks, .. } = k;
    let mut window = Window::default();
    window.open(vm, accounts, &mut tasks[from].map, address, PAGE_SIZE, Access::Read)?;
    vm.supply(accounts, object, page, &window)?;
    end_waits(k, id, Some(page), Ok(()));
    Ok(())
}

/// Ends the waits for a page with an error. It is not remembered: who touches the page next
/// asks again.
///
/// # Errors
/// As `abi::pager::refuse` says.
pub fn refuse(k: &mut Kernel, id: PagerId, offset: u64, code: i32) -> Result<()> {
    let page = page_at(k, id, offset)?;
    let error = Error::from_code(code).filter(|error| error.code() > 0).ok_or(Error::InvalidArgument)?;
    end_waits(k, id, Some(page), Err(error));
    Ok(())
}

fn page_at(k: &Kernel, id: PagerId, offset: u64) -> Result<u64> {
    let inside = offset.is_multiple_of(PAGE_SIZE as u64) && offset < k.vm.objects[k.pagers[id].object].size();
    if inside { Ok(offset / PAGE_SIZE as u64) } else { Err(Error::InvalidArgument) }
}

/// Ends the waits for a page, or all.
fn end_waits(k: &mut Kernel, id: PagerId, page: Option<u64>, result: Result<()>) {
    let mut next = k.pagers[id].waiting.first();
    while let Some(thread) = next {
        next = k.pagers[id].waiting.after(&k.threads, thread);
        let concerned = of(&k.threads, thread).is_some_and(|wait| page.is_none_or(|page| wait.page == page));
        if concerned && let Some(wait) = stop_waiting(k, thread) {
            pace(PER_WAKE);
            finish(&mut k.threads[thread], &wait, result);
            k.scheduler.make_ready(&mut k.threads, thread);
        }
    }
    settle(k, id);
}

/// What a thread does next: it begins again, or is told why not.
fn finish(thread: &mut Thread, wait: &PageWait, result: Result<()>) {
    let unfinished = match (wait.then, result) {
        (Then::Touch(_), Ok(())) => return,
        (Then::Touch(address), Err(error)) => {
            Unfinished::Fault(Cause::Memory { address, access: wait.access, fault: Fault::Refused(error) })
        }
        (Then::Send { began, .. } | Then::Wait { began }, Ok(())) => Unfinished::Call { began, refused: None },
        (Then::Ask { began, .. }, result) => Unfinished::Call { began, refused: result.err() },
        (Then::Send { .. }, Err(_)) => return thread.complete(Completion::failure(Error::SendInvalidMemory)),
        (Then::Wait { .. }, Err(error)) => return thread.complete(Completion::failure(error)),
        (Then::Receive(receiving), Ok(())) => Unfinished::Receive(receiving),
        (Then::Receive(_), Err(_)) => return thread.complete(Completion::failure(Error::ReceiveInvalidMemory)),
    };
    thread.unfinished = Some(unfinished);
}

/// Takes a thread out of its pager's line.
fn stop_waiting(k: &mut Kernel, thread: ThreadId) -> Option<PageWait> {
    let wait = *of(&k.threads, thread)?;
    let Kernel { pagers, threads, timers, .. } = k;
    timers.clear(threads, thread);
    pagers[wait.pager].waiting.remove(threads, thread);
    threads[thread].state = State::Running;
    Some(wait)
}

/// A waiting thread ends.
pub fn abandon(k: &mut Kernel, thread: ThreadId) {
    if let Some(wait) = stop_waiting(k, thread) {
        settle(k, wait.pager);
    }
}

/// A thread's deadline has come before its page.
pub fn time_out(k: &mut Kernel, thread: ThreadId) {
    let Some(wait) = stop_waiting(k, thread) else { return };
    settle(k, wait.pager);
    match wait.then {
        Then::Touch(_) => {}
        Then::Send { .. } | Then::Ask { .. } => {
            k.threads[thread].complete(Completion::failure(Error::SendTimedOut));
        }
        Then::Receive(_) => k.threads[thread].complete(Completion::failure(Error::ReceiveTimedOut)),
        Then::Wait { .. } => k.threads[thread].complete(Completion::failure(Error::TimedOut)),
    }
    k.scheduler.make_ready(&mut k.threads, thread);
}

/// `thread_abort`: a call ends if it says so, and a touch is made again, unless the thread's
/// registers are changed first.
pub fn abort(k: &mut Kernel, thread: ThreadId) {
    let Some(then) = of(&k.threads, thread).map(|wait| wait.then) else { return };
    let ended = match then {
        Then::Touch(_) => None,
        Then::Send { options, .. } | Then::Ask { options, .. } if options.contains(Options::SEND_INTERRUPT) => {
            Some(Error::SendInterrupted)
        }
        Then::Receive(receiving) if receiving.options.contains(Options::RCV_INTERRUPT) => {
            Some(Error::ReceiveInterrupted)
        }
        Then::Wait { .. } => Some(Error::Aborted),
        _ => return,
    };
    abandon(k, thread);
    if let Some(error) = ended {
        k.threads[thread].complete(Completion::failure(error));
    }
    k.scheduler.make_ready(&mut k.threads, thread);
}
