//! Sending: to a waiting receiver, else into the queue, else the sender's choice.
//!
//! Invariant: a send that returns an error has changed nothing; one that blocks
//! holds its rights in the sender's name space until the message has gone.
//! Neighbours: `right` takes, `receive` delivers, `service` answers kernel ports.

use super::deadlock::{self, Want};
use super::message::{self, Carried, CarriedRight, Content, Enclosure, Envelope, Message, MessageId, Rights, Source};
use super::pager::{self, Then};
use super::policy::{self, Case, Fate, Full};
use super::port::{Carrier, Owner, Port, PortId, Ports, living};
use super::receive::{self, Delivery};
use super::space::{Right, Space};
use super::{cached, death, overflow, request, right, set};
use crate::kernel::{Kernel, Outcome};
use crate::service;
use crate::task::thread::{Completion, Receiving, Sending, State, ThreadId, Threads, Unfinished, Wait, deadline};
use crate::task::{AccountId, Accounts, Caller, Task, TaskId};
use crate::vm::copy::Window;
use crate::vm::fault::Absent;
use crate::vm::map::Range;
use crate::vm::{Fault, MapCopy, Vm};
use alloc::vec::Vec;
use portolan_abi::message::{DESCRIPTORS_MAX, Descriptor, Header, MESSAGE_ALIGN, MESSAGE_MAX, Options, RIGHTS_MAX};
use portolan_abi::trace::Step;
use portolan_abi::{AtFull, Capacity, Disposition, Error, Name, Result, call};
use portolan_machine::{Access, pace};

/// Instructions that a right takes to be taken, or to be gone or back, and memory.
const PER_RIGHT: u32 = 300;
const PER_ENCLOSURE: u32 = 2000;
/// Instructions that ending a sender's wait takes.
const PER_SENDER: u32 = 800;
/// Instructions that a step of a receive right's way takes.
const PER_STEP: u32 = 30;

/// How a sending half went, if it did not fail.
pub enum Sent {
    /// The message has been taken: by a thread of this task, if one had waited for it.
    Done(Option<TaskId>),
    /// The thread waits.
    Blocked,
    /// The kernel has answered, and the answer has been received.
    Answered(Completion),
}

impl Sent {
    /// How the call goes on; the task of the thread that has taken the message, if its sending half is over.
    fn outcome(sent: Result<Sent>) -> core::result::Result<Option<TaskId>, Outcome> {
        match sent? {
            Sent::Done(by) => Ok(by),
            Sent::Blocked => Err(Outcome::Blocked),
            Sent::Answered(completion) => Err(Outcome::Done(completion)),
        }
    }
}

/// Sends one message for a thread. `Ok`: that is done, by giving it to a thread of this task, if one
/// had waited for it; else how the call goes on.
#[inline(always)]
pub fn send(
    k: &mut Kernel,
    me: &Caller,
    half: &call::Send,
    then: &Option<call::Receive>,
    options: Options,
) -> core::result::Result<Option<TaskId>, Outcome> {
    let mut window = Window::default();
    let Kernel { vm, accounts, tasks, threads, ports, last_number, .. } = k;
    let task = &mut tasks[me.task];
    let header = match open(vm, accounts, task, half, &mut window) {
        Ok(header) => header,
        Err(NotOpen::Error(error)) => return Err(error.into()),
        Err(NotOpen::Absent(absent)) => return Sent::outcome(bring_in_message(k, me, absent, half, options)),
    };
    let descriptors = header.descriptors as usize;
    let body_size = (half.size as usize).checked_sub(message::body_offset(descriptors)).ok_or(Error::SendTooSmall)?;
    let mut envelope = Envelope {
        number: 0,
        cause: me.handling,
        sender: task.serial,
        security: task.security,
        id: header.id,
        destination: Carried::null(),
        reply: Carried::null(),
        rights: Rights::new(),
        enclosures: Vec::new(),
        descriptors: header.descriptors,
        body_size,
    };
    let (port, waiting) = take_destination(&mut task.space, ports, &header, &mut envelope.destination)?;
    *last_number += 1;
    envelope.number = *last_number;
    if header.local != Name::NULL {
        let taken = take_reply(&mut task.space, ports, threads, me, &header, then, &mut envelope.reply);
        if let Err(error) = taken {
            give_back(k, me.task, &mut envelope);
            return Err(error.into());
        }
    }
    if descriptors > 0 {
        match take_descriptors(k, me.task, port, &mut envelope, &window, descriptors) {
            Ok(()) => {}
            Err(NotOpen::Error(error)) => return Err(error.into()),
            Err(NotOpen::Absent(absent)) => return Sent::outcome(bring_in_message(k, me, absent, half, options)),
        }
    }
    let sent = pass_on(k, me, port, waiting, &mut envelope, &window, half, then, options);
    if descriptors == 0 {
        // Nothing is in it that would have to be dropped.
        core::mem::forget(envelope);
    }
    sent
}

/// Opens the window on a message and reads its header, once.
#[inline(always)]
fn open(
    vm: &mut Vm,
    accounts: &mut Accounts,
    task: &mut Task,
    half: &call::Send,
    window: &mut Window,
) -> core::result::Result<Header, NotOpen> {
    let size = half.size as usize;
    if size < Header::SIZE {
        return Err(Error::SendTooSmall.into());
    }
    if size > MESSAGE_MAX {
        return Err(Error::SendTooLarge.into());
    }
    if !half.address.is_multiple_of(MESSAGE_ALIGN as u64) {
        return Err(Error::SendInvalidMemory.into());
    }
    window.open(vm, accounts, &mut task.map, half.address, size, Access::Read).map_err(memory_error)?;
    let header: Header = zerocopy::transmute!(window.read_words::<3>(&vm.memory, 0));
    if header.bits >> 16 != 0 {
        return Err(Error::SendInvalidHeader.into());
    }
    if header.descriptors as usize > DESCRIPTORS_MAX {
        return Err(Error::SendTooLarge.into());
    }
    Ok(header)
}

/// Why a message cannot be read.
enum NotOpen {
    Error(Error),
    Absent(Absent),
}

impl From<Error> for NotOpen {
    fn from(error: Error) -> NotOpen {
        NotOpen::Error(error)
    }
}

/// Where a call cannot begin anew, a page that its pager has not supplied yet is no memory.
impl From<NotOpen> for Error {
    fn from(why: NotOpen) -> Error {
        match why {
            NotOpen::Error(error) => error,
            NotOpen::Absent(_) => Error::SendInvalidMemory,
        }
    }
}

fn memory_error(fault: Fault) -> NotOpen {
    NotOpen::Error(match fault {
        Fault::Absent(absent) => return NotOpen::Absent(absent),
        Fault::Unmapped | Fault::Protection | Fault::BeyondEnd | Fault::Refused(_) => Error::SendInvalidMemory,
        Fault::Shortage => Error::SendNoBuffer,
    })
}

/// Waits for a page of the message, of which nothing is taken any more; then the call begins anew.
#[cold]
fn bring_in_message(k: &mut Kernel, me: &Caller, absent: Absent, half: &call::Send, options: Options) -> Result<Sent> {
    let then = Then::Send { options, began: k.began() };
    bring_in(k, me, absent, then, half, options).map_err(|_| Error::SendInvalidMemory)
}

/// Waits for a page that a request to the kernel needs, of which nothing has been done yet; then the call begins anew.
///
/// # Errors
/// `Refused`: nobody will bring it.
#[cold]
pub fn bring_in_for_request(
    k: &mut Kernel,
    me: &Caller,
    absent: Absent,
    envelope: &mut Envelope,
    half: &call::Send,
    options: Options,
) -> core::result::Result<Sent, Fault> {
    let then = Then::Ask { options, began: k.began() };
    let waits = bring_in(k, me, absent, then, half, options)?;
    give_back(k, me.task, envelope);
    Ok(waits)
}

fn bring_in(
    k: &mut Kernel,
    me: &Caller,
    absent: Absent,
    then: Then,
    half: &call::Send,
    options: Options,
) -> core::result::Result<Sent, Fault> {
    let until = deadline(k.began(), options, Options::SEND_TIMEOUT, half.timeout).filter(|_| half.timeout > 0);
    pager::wait(k, me.thread, absent, then, until)?;
    Ok(Sent::Blocked)
}

/// Takes the right the message goes through, to a port that lives, which is returned with the
/// thread that has waited there longest. A right that is copied or made for it needs no count.
#[inline(always)]
fn take_destination(
    space: &mut Space,
    ports: &mut Ports,
    header: &Header,
    taken: &mut Carried,
) -> Result<(PortId, Option<ThreadId>)> {
    let how = Disposition::from_code(header.remote_disposition());
    let how = how.filter(|how| *how != Disposition::MoveReceive).ok_or(Error::SendInvalidHeader)?;
    let name = header.remote;
    let entry = space.named_mut(name).ok_or(Error::SendInvalidPort)?;
    let reached = |ports: &Ports, id| match living(ports, id) {
        Some(port) => Ok((id, port.receivers.first())),
        None => Err(Error::SendInvalidPort),
    };
    match (entry.right, how) {
        (Right::Port { port, sends: 1.., .. }, Disposition::CopySend)
        | (Right::Port { port, receive: true, .. }, Disposition::MakeSend) => {
            let reached = reached(ports, port)?;
            (taken.right, taken.from) = (CarriedRight::Send(port), name);
            Ok(reached)
        }
        (Right::SendOnce { port, waiter }, Disposition::MoveSendOnce) if entry.held == 0 => {
            let reached = reached(ports, port)?;
            entry.held = 1;
            *taken = Carried { right: CarriedRight::SendOnce(port, waiter), from: name, how: Some(how) };
            Ok(reached)
        }
        (Right::Port { port, receive: true, .. }, Disposition::MakeSendOnce) => {
            let reached = reached(ports, port)?;
            (taken.right, taken.from) = (CarriedRight::SendOnce(port, None), name);
            Ok(reached)
        }
        (Right::Port { port, sends: 1.., .. }, Disposition::MoveSend) => {
            let reached = reached(ports, port)?;
            *taken = right::take(space, ports, name, how, None).map_err(|_| Error::SendInvalidPort)?;
            Ok(reached)
        }
        _ => Err(Error::SendInvalidPort),
    }
}

/// The port that a message through this right goes to.
pub fn port_of(carried: &Carried) -> Option<PortId> {
    match carried.right {
        CarriedRight::Send(port) | CarriedRight::SendOnce(port, _) => Some(port),
        _ => None,
    }
}

/// The reply right; one made for the `msg_rpc` that will wait for it is marked so.
#[inline(always)]
fn take_reply(
    space: &mut Space,
    ports: &mut Ports,
    threads: &mut Threads,
    me: &Caller,
    header: &Header,
    then: &Option<call::Receive>,
    taken: &mut Carried,
) -> Result<()> {
    let name = header.local;
    if header.local_disposition() == Disposition::MakeSendOnce as u8
        && let Some(port) = space.receive_right(name)
    {
        let waiter = match then {
            Some(half) if half.port == name => Some(threads[me.thread].await_reply(me.thread)),
            _ => None,
        };
        let right = right::make_send_once(ports, port, waiter);
        *taken = Carried { right, from: name, how: Some(Disposition::MakeSendOnce) };
        return Ok(());
    }
    *taken = take_other_reply(space, ports, header)?;
    Ok(())
}

#[inline(never)]
fn take_other_reply(space: &mut Space, ports: &mut Ports, header: &Header) -> Result<Carried> {
    let how = Disposition::from_code(header.local_disposition()).filter(|how| *how != Disposition::MoveReceive);
    let taken = how.map(|how| right::take(space, ports, header.local, how, None));
    taken.and_then(core::result::Result::ok).ok_or(Error::SendInvalidReply)
}

/// Takes the rights and the memory that descriptors name: all, or none.
#[inline(never)]
fn take_descriptors(
    k: &mut Kernel,
    task: TaskId,
    destination: PortId,
    envelope: &mut Envelope,
    window: &Window,
    count: usize,
) -> core::result::Result<(), NotOpen> {
    let taken = (0..count).try_for_each(|number| {
        let words = window.read_words::<3>(&k.vm.memory, message::body_offset(number));
        let descriptor: Descriptor = zerocopy::transmute!(words);
        match descriptor.kind {
            Descriptor::PORT => Ok(take_single(k, task, &descriptor, destination, envelope)?),
            Descriptor::MEMORY => take_memory(k, task, &descriptor, number, envelope),
            Descriptor::PORTS => take_array(k, task, &descriptor, destination, number, envelope),
            _ => Err(Error::SendInvalidType.into()),
        }
    });
    taken.inspect_err(|_| give_back(k, task, envelope))
}

fn take_single(
    k: &mut Kernel,
    task: TaskId,
    descriptor: &Descriptor,
    destination: PortId,
    envelope: &mut Envelope,
) -> Result<()> {
    if (descriptor.flags, descriptor.address, descriptor.size) != (0, 0, 0) {
        return Err(Error::SendInvalidType);
    }
    // A null name needs no disposition.
    let how = match descriptor.name {
        Name::NULL => Disposition::CopySend,
        _ => Disposition::from_code(descriptor.disposition).ok_or(Error::SendInvalidType)?,
    };
    take_right(k, task, descriptor.name, how, destination, envelope)
}

/// Copies a region of the sender's memory. The region itself stays until the message has gone.
fn take_memory(
    k: &mut Kernel,
    task: TaskId,
    descriptor: &Descriptor,
    number: usize,
    envelope: &mut Envelope,
) -> core::result::Result<(), NotOpen> {
    let Descriptor { disposition, flags, name, address, size, .. } = *descriptor;
    if flags & !Descriptor::MOVE != 0 || (disposition, name) != (0, Name::NULL) {
        return Err(Error::SendInvalidType.into());
    }
    pace(PER_ENCLOSURE);
    envelope.enclosures.try_reserve(1).map_err(|_| Error::SendNoBuffer)?;
    let (mut memory, mut moved) = (None, None);
    if size > 0 {
        let Kernel { tasks, vm, accounts, .. } = k;
        let map = &mut tasks[task].map;
        let pages = Range::around(address, size).map_err(region_error)?;
        if let Some(absent) = map.absent(vm, pages) {
            return Err(NotOpen::Absent(absent));
        }
        if flags & Descriptor::MOVE != 0 {
            map.cut_at_ends(vm, accounts, pages).map_err(region_error)?;
            moved = Some(pages);
        }
        memory = Some(MapCopy::take(vm, accounts, map, map.account(), address, size).map_err(region_error)?);
    }
    envelope.enclosures.push(Enclosure { descriptor: number, memory, content: Content::Bytes(moved) });
    Ok(())
}

fn region_error(error: Error) -> Error {
    match error {
        Error::ResourceShortage => Error::SendNoBuffer,
        _ => Error::SendInvalidMemory,
    }
}

/// Takes the rights of an array, and a page for the names that they will have.
fn take_array(
    k: &mut Kernel,
    task: TaskId,
    descriptor: &Descriptor,
    destination: PortId,
    number: usize,
    envelope: &mut Envelope,
) -> core::result::Result<(), NotOpen> {
    if (descriptor.flags, descriptor.name) != (0, Name::NULL) {
        return Err(Error::SendInvalidType.into());
    }
    let how = Disposition::from_code(descriptor.disposition).ok_or(Error::SendInvalidType)?;
    let count = usize::try_from(descriptor.size).ok().filter(|count| *count <= RIGHTS_MAX);
    let count = count.ok_or(Error::SendTooLarge)?;
    pace(PER_ENCLOSURE);
    envelope.enclosures.try_reserve(1).map_err(|_| Error::SendNoBuffer)?;
    envelope.rights.try_reserve(count).map_err(|_| Error::SendNoBuffer)?;
    let content = Content::Rights(0, how.arrives_as());
    envelope.enclosures.push(Enclosure { descriptor: number, memory: None, content });
    if count == 0 {
        return Ok(());
    }
    let Kernel { tasks, vm, accounts, .. } = k;
    let map = &mut tasks[task].map;
    let size = count * size_of::<Name>();
    let mut names = Window::default();
    names.open(vm, accounts, map, descriptor.address, size, Access::Read).map_err(memory_error)?;
    let page = MapCopy::of_zeros(vm, accounts, map.account(), size).map_err(region_error)?;
    let array = envelope.enclosures.len() - 1;
    envelope.enclosures[array].memory = Some(page);
    for place in 0..count {
        let mut name = [0; size_of::<Name>()];
        names.read(&k.vm.memory, place * size_of::<Name>(), &mut name);
        take_right(k, task, Name(u32::from_le_bytes(name)), how, destination, envelope)?;
        envelope.enclosures[array].content = Content::Rights(place + 1, how.arrives_as());
    }
    Ok(())
}

/// Takes one right into a message.
fn take_right(
    k: &mut Kernel,
    task: TaskId,
    name: Name,
    how: Disposition,
    destination: PortId,
    envelope: &mut Envelope,
) -> Result<()> {
    pace(PER_RIGHT);
    if envelope.rights.len() == RIGHTS_MAX {
        return Err(Error::SendTooLarge);
    }
    envelope.rights.try_reserve(1).map_err(|_| Error::SendNoBuffer)?;
    let carried = match name {
        Name::NULL => Carried::null(),
        Name::DEAD => Carried::from_kernel(CarriedRight::Dead(how.arrives_as())),
        _ => take_living(k, task, name, how, destination)?,
    };
    envelope.rights.push(carried);
    Ok(())
}

fn take_living(k: &mut Kernel, task: TaskId, name: Name, how: Disposition, destination: PortId) -> Result<Carried> {
    let Kernel { tasks, ports, .. } = k;
    let carried = right::take(&mut tasks[task].space, ports, name, how, None).map_err(|_| Error::SendInvalidRight)?;
    if let CarriedRight::Receive(port) = carried.right {
        if leads_to(k, destination, port) {
            right::give_back(k, task, carried);
            return Err(Error::SendInvalidRight);
        }
        k.ports[port].toward = Some(destination);
    }
    Ok(carried)
}

/// Whether messages to `from` would end up behind the receive right of `port`: then
/// that right, sent there, could never be received.
pub fn leads_to(k: &Kernel, from: PortId, port: PortId) -> bool {
    let mut next = Some(from);
    while let Some(id) = next {
        pace(PER_STEP);
        if id == port {
            return true;
        }
        next = k.ports.get(id).and_then(|port| port.toward);
    }
    false
}

#[inline(always)]
fn pass_on(
    k: &mut Kernel,
    me: &Caller,
    id: PortId,
    mut waiting: Option<ThreadId>,
    envelope: &mut Envelope,
    window: &Window,
    half: &call::Send,
    then: &Option<call::Receive>,
    options: Options,
) -> core::result::Result<Option<TaskId>, Outcome> {
    k.trace(Step::Send, envelope, id, Some(me.thread));
    while let Some(thread) = waiting {
        let taker =
            receive::deliver(k, id, thread, envelope, Source::Sender(window), Some(me.task), delivery(then, options));
        if taker.is_some() {
            return Ok(taker);
        }
        waiting = k.ports[id].receivers.first();
    }
    Sent::outcome(match k.ports[id].owner {
        Owner::Kernel(object) => service::serve(k, me, object, envelope, window, half, then, options),
        _ => leave(k, me, id, envelope, Source::Sender(window), half, then, options),
    })
}

/// A sender that will wait itself, or says so, gives way to its receiver.
#[inline(always)]
fn delivery(then: &Option<call::Receive>, options: Options) -> Delivery {
    let gives_way = then.is_some() || options.contains(Options::SEND_SWITCH);
    if gives_way { Delivery::HandOff } else { Delivery::Queue }
}

/// Leaves a message that no one can take now: in the queue, or, if that is full, as `policy` decides.
#[inline(never)]
fn leave(
    k: &mut Kernel,
    me: &Caller,
    port: PortId,
    envelope: &mut Envelope,
    source: Source<'_>,
    half: &call::Send,
    then: &Option<call::Receive>,
    options: Options,
) -> Result<Sent> {
    let task = me.task;
    while let Some(waiting) = receive::first_at_set(k, port) {
        let taker = receive::offer(k, port, waiting, envelope, source, Some(task), delivery(then, options));
        if taker.is_some() {
            return Ok(Sent::Done(taker));
        }
    }
    let timeout = options.contains(Options::SEND_TIMEOUT).then_some(half.timeout);
    let case = case(k, task, port, envelope, options, timeout);
    let left = leave_by(k, me, port, envelope, source, &case, then);
    if let Err(error) = left
        && error != Error::SendWillNotify
    {
        match policy::fate(case.generation, error) {
            Fate::GiveBack => give_back(k, task, envelope),
            Fate::Destroy | Fate::DestroyAsSent => destroy(k, task, envelope),
        }
    }
    left
}

/// What there is to know for the decision.
fn case(k: &Kernel, task: TaskId, id: PortId, envelope: &Envelope, options: Options, timeout: Option<u32>) -> Case {
    let port = &k.ports[id];
    Case {
        send_once: matches!(envelope.destination.right, CarriedRight::SendOnce(..)),
        room: port.has_room(),
        holds_none: port.capacity == Capacity::Zero,
        at_full: port.at_full,
        same_id: port.at_full == AtFull::Replace && !port.has_room() && overflow::same_id(k, id, envelope.id).is_some(),
        options,
        timeout,
        generation: k.tasks[task]
            .space
            .named(envelope.destination.from)
            .map_or_else(Default::default, |entry| entry.behaves),
    }
}

fn leave_by(
    k: &mut Kernel,
    me: &Caller,
    port: PortId,
    envelope: &mut Envelope,
    source: Source<'_>,
    case: &Case,
    then: &Option<call::Receive>,
) -> Result<Sent> {
    let (task, options, through) = (me.task, case.options, envelope.destination.from);
    match policy::decide(case) {
        Full::TimeOut => return Err(Error::SendTimedOut),
        Full::Refuse => {
            k.ports[port].overflows.refused += 1;
            return Err(Error::SendPortFull);
        }
        Full::ArmSendPossible => {
            request::arm_send_possible(k, task, through)?;
            return Err(Error::SendTimedOut);
        }
        Full::DropNewest => {
            k.ports[port].overflows.dropped_newest += 1;
            k.trace(Step::Drop, envelope, port, None);
            destroy(k, task, envelope);
        }
        Full::Cache => {
            let slot = slot_of(me.thread, options);
            cached::check(k, task, slot, port)?;
            let id = keep(k, task, envelope, source)?;
            cached::cache(k, task, slot, port, id);
            return Err(Error::SendWillNotify);
        }
        Full::Wait if case.timeout.is_none() && is_stuck(k, me, port, options) => return Err(Error::SendWouldDeadlock),
        Full::Wait => {
            let message = keep(k, task, envelope, source)?;
            let until = deadline(k.began(), options, Options::SEND_TIMEOUT, case.timeout.unwrap_or(0));
            let sending = Sending { port, message, options, then: *then, generation: case.generation };
            wait(k, me.thread, sending, until);
            return Ok(Sent::Blocked);
        }
        Full::Queue => {
            let id = keep(k, task, envelope, source)?;
            leave_sender(k, task, id);
            enqueue(k, port, id, Step::Queue);
        }
        Full::DropOldest => {
            let id = keep(k, task, envelope, source)?;
            leave_sender(k, task, id);
            overflow::drop_oldest(k, port, id);
        }
        Full::Replace => {
            let id = keep(k, task, envelope, source)?;
            leave_sender(k, task, id);
            overflow::replace(k, port, id);
        }
    }
    Ok(Sent::Done(None))
}

/// Whether a wait for a place would never end.
fn is_stuck(k: &mut Kernel, me: &Caller, port: PortId, options: Options) -> bool {
    !options.contains(Options::SEND_INTERRUPT) && deadlock::is_certain(k, me, Want::Place(port), None)
}

/// Destroys a message that was not kept, as if it had been sent; nothing of it is left to
/// give back.
fn destroy(k: &mut Kernel, task: TaskId, envelope: &mut Envelope) {
    let mut gone = core::mem::replace(envelope, Envelope::from_kernel(0, 0, 0));
    let_go(k, task, &gone);
    unmap_moved(k, task, &gone.enclosures);
    death::discard_contents(k, &mut gone);
}

/// Sets the receiver's answer to a full port; senders that wait are answered so.
pub fn set_full(k: &mut Kernel, port: PortId, answer: AtFull) {
    k.ports[port].at_full = answer;
    let holds_none = k.ports[port].capacity == Capacity::Zero;
    while let Some(thread) = k.ports[port].senders.first() {
        pace(PER_SENDER);
        match answer {
            AtFull::Sender | AtFull::Replace => return,
            AtFull::Refuse => {
                k.ports[port].overflows.refused += 1;
                fail(k, thread, Error::SendPortFull);
                continue;
            }
            AtFull::DropOldest | AtFull::DropNewest => {}
        }
        let Some((sending, task)) = stop_waiting(k, thread) else { return };
        leave_sender(k, task, sending.message);
        if answer == AtFull::DropOldest && !holds_none {
            overflow::drop_oldest(k, port, sending.message);
        } else {
            k.ports[port].overflows.dropped_newest += 1;
            overflow::destroy(k, port, sending.message);
        }
        go_on(k, thread, &sending);
    }
}

/// The thread whose slot a cached message takes; `None`: its task's.
fn slot_of(thread: ThreadId, options: Options) -> Option<ThreadId> {
    options.contains(Options::SEND_NOTIFY_THREAD).then_some(thread)
}

/// Keeps a message of a task's that is to go through a right that it names, as if a send
/// waited: its rights are held.
///
/// # Errors
/// The `Send…` errors; nothing has changed then.
pub fn keep_for(
    k: &mut Kernel,
    task: TaskId,
    name: Name,
    through: CarriedRight,
    half: &call::Send,
) -> Result<MessageId> {
    let mut window = Window::default();
    let Kernel { vm, accounts, tasks, .. } = k;
    let header = open(vm, accounts, &mut tasks[task], half, &mut window)?;
    let descriptors = header.descriptors as usize;
    let body_size = (half.size as usize).checked_sub(message::body_offset(descriptors)).ok_or(Error::SendTooSmall)?;
    let destination = Carried { right: through, from: name, how: None };
    let port = port_of(&destination).filter(|_| header.remote == name).ok_or(Error::SendInvalidPort)?;
    let mut envelope = Envelope { destination, ..Envelope::from_kernel(k.next_number(), header.id, body_size) };
    (envelope.sender, envelope.security) = (k.tasks[task].serial, k.tasks[task].security);
    envelope.descriptors = header.descriptors;
    if header.local != Name::NULL {
        let Kernel { tasks, ports, .. } = k;
        match take_other_reply(&mut tasks[task].space, ports, &header) {
            Ok(reply) => envelope.reply = reply,
            Err(error) => {
                give_back(k, task, &mut envelope);
                return Err(error);
            }
        }
    }
    if descriptors > 0 {
        take_descriptors(k, task, port, &mut envelope, &window, descriptors)?;
    }
    let kept = keep(k, task, &mut envelope, Source::Sender(&window));
    kept.inspect_err(|_| give_back(k, task, &mut envelope))
}

fn keep(k: &mut Kernel, task: TaskId, envelope: &mut Envelope, source: Source<'_>) -> Result<MessageId> {
    let Kernel { vm, accounts, messages, tasks, .. } = k;
    message::keep(vm, accounts, messages, tasks[task].account, envelope, source).map_err(|_| Error::SendNoBuffer)
}

fn wait(k: &mut Kernel, me: ThreadId, sending: Sending, until: Option<portolan_machine::Instant>) {
    let port = sending.port;
    k.trace_message(Step::Block, sending.message, port, Some(me));
    k.threads[me].state = State::Waiting(Wait::Send(sending));
    k.ports[port].senders.push_back(&mut k.threads, me);
    set::note(&mut k.ports, port);
    if let Some(until) = until {
        k.timers.set(&mut k.threads, me, until);
    }
}

/// The message's rights leave the sender's name space for good, and its memory the map.
pub fn leave_sender(k: &mut Kernel, task: TaskId, id: MessageId) {
    if !k.messages[id].envelope.costs_its_sender() {
        return;
    }
    let envelope = core::mem::replace(&mut k.messages[id].envelope, Envelope::from_kernel(0, 0, 0));
    let_go(k, task, &envelope);
    unmap_moved(k, task, &envelope.enclosures);
    k.messages[id].envelope = envelope;
}

/// Makes the sender's loss of a message's rights final, and uses up the right it
/// went through.
#[inline(always)]
pub fn let_go(k: &mut Kernel, task: TaskId, envelope: &Envelope) {
    hand_over(k, task, envelope);
    use_destination(k, &envelope.destination);
}

/// Makes the sender's loss of a message's rights final: they are the kernel's now, the
/// one that the message went through among them.
#[inline(always)]
pub fn hand_over(k: &mut Kernel, task: TaskId, envelope: &Envelope) {
    match envelope.destination.how {
        None => {}
        Some(Disposition::MoveSendOnce) => right::let_go_send_once(k, task, envelope.destination.from),
        Some(_) => right::let_go(k, task, envelope.destination),
    }
    if envelope.reply.is_moved() {
        right::let_go(k, task, envelope.reply);
    }
    if envelope.descriptors > 0 {
        for carried in &envelope.rights {
            pace(PER_RIGHT);
            right::let_go(k, task, *carried);
        }
    }
}

/// Uses up the right that a message went through, if that was moved.
#[inline(always)]
pub fn use_destination(k: &mut Kernel, destination: &Carried) {
    match (destination.how, destination.right) {
        (Some(Disposition::MoveSend), CarriedRight::Send(port)) => right::drop_send_right(k, port),
        (Some(_), CarriedRight::SendOnce(port, _)) => right::use_send_once(k, port),
        _ => {}
    }
}

/// Deallocates what the sender of a message wanted to lose. To be done last: its buffer, or
/// its receiver's, may lie there. The range was cut when it was taken; if another thread has
/// mapped something across its ends since, and that cannot be cut, it stays.
pub fn unmap_moved(k: &mut Kernel, task: TaskId, enclosures: &[Enclosure]) {
    let Kernel { tasks, vm, accounts, .. } = k;
    for enclosure in enclosures {
        if let Content::Bytes(Some(pages)) = enclosure.content {
            let _ = tasks[task].map.unmap(vm, accounts, pages);
        }
    }
    k.clearing.added |= !k.vm.unmapped.is_empty();
}

/// Undoes the taking of all rights and memory of a message that was not sent.
#[cold]
fn give_back(k: &mut Kernel, task: TaskId, envelope: &mut Envelope) {
    message::discard_memory(&mut k.vm, &mut k.accounts, &mut envelope.enclosures);
    right::give_back(k, task, envelope.destination);
    right::give_back(k, task, envelope.reply);
    for carried in &envelope.rights {
        pace(PER_RIGHT);
        right::give_back(k, task, *carried);
    }
}

/// Puts a kept message into the queue of a port at which no one can take it now.
pub fn enqueue(k: &mut Kernel, port: PortId, id: MessageId, step: Step) {
    k.trace_message(step, id, port, None);
    let Kernel { ports, messages, .. } = k;
    messages[id].envelope.carry(ports, Carrier::Queue(port));
    ports[port].enqueue(messages, id);
    set::note(ports, port);
}

/// Lets waiting senders in while there is room, in the order in which they came.
pub fn admit(k: &mut Kernel, port: PortId) {
    while k.ports[port].has_room()
        && let Some(thread) = k.ports[port].senders.first()
    {
        pace(PER_SENDER);
        if let Some((sending, task)) = stop_waiting(k, thread) {
            leave_sender(k, task, sending.message);
            enqueue(k, port, sending.message, Step::Queue);
            go_on(k, thread, &sending);
        }
    }
    if k.ports[port].has_room() && !k.ports[port].hopes.is_empty() {
        request::fulfil_hopes(k, port);
    }
}

/// Takes the message of the sender that has waited longest, for a receiver that is
/// ready to take it, with the task whose memory it may have moved. The sender goes on.
pub fn take_from_waiting(k: &mut Kernel, thread: ThreadId) -> Option<(Message, TaskId)> {
    let (sending, task) = stop_waiting(k, thread)?;
    let message = k.messages.remove(sending.message)?;
    let_go(k, task, &message.envelope);
    go_on(k, thread, &sending);
    Some((message, task))
}

/// A sender whose message has gone: it is ready, or has still to receive.
fn go_on(k: &mut Kernel, thread: ThreadId, sending: &Sending) {
    match sending.then {
        Some(half) => {
            let receiving = Receiving { port: None, half, options: sending.options, began: None };
            k.threads[thread].unfinished = Some(Unfinished::Receive(receiving));
        }
        None => k.threads[thread].complete(Completion::success(0)),
    }
    k.scheduler.make_ready(&mut k.threads, thread);
}

/// Ends a thread's wait for a place without success; the message is its own again, or has
/// another fate.
pub fn fail(k: &mut Kernel, thread: ThreadId, error: Error) {
    if let Some((sending, task)) = stop_waiting(k, thread) {
        give_up(k, thread, task, &sending, error);
    }
}

/// A thread's deadline has come while it waits for a place. The receiver's answer was asked
/// when it came.
pub fn time_out(k: &mut Kernel, thread: ThreadId) {
    let Some((sending, task)) = stop_waiting(k, thread) else { return };
    if living(&k.ports, sending.port).is_none() {
        return give_up(k, thread, task, &sending, Error::SendInvalidPort);
    }
    let envelope = &k.messages[sending.message].envelope;
    let name = envelope.destination.from;
    let case = Case { at_full: AtFull::Sender, ..case(k, task, sending.port, envelope, sending.options, Some(0)) };
    let slot = slot_of(thread, sending.options);
    let ended = match policy::decide(&Case { room: false, generation: sending.generation, ..case }) {
        Full::Cache => cached::check(k, task, slot, sending.port),
        Full::ArmSendPossible => request::arm_send_possible(k, task, name).and(Err(Error::SendTimedOut)),
        _ => Err(Error::SendTimedOut),
    };
    match ended {
        Ok(()) => {
            cached::cache(k, task, slot, sending.port, sending.message);
            finish(k, thread, Error::SendWillNotify);
        }
        Err(error) => give_up(k, thread, task, &sending, error),
    }
}

/// A wait for a place has ended without one.
fn give_up(k: &mut Kernel, thread: ThreadId, task: TaskId, sending: &Sending, error: Error) {
    let fate = policy::fate(sending.generation, error);
    match fate {
        Fate::GiveBack => return_message(k, task, sending.message),
        Fate::Destroy | Fate::DestroyAsSent => {
            leave_sender(k, task, sending.message);
            overflow::destroy(k, sending.port, sending.message);
        }
    }
    match fate {
        Fate::GiveBack | Fate::Destroy => finish(k, thread, error),
        Fate::DestroyAsSent => go_on(k, thread, sending),
    }
}

fn finish(k: &mut Kernel, thread: ThreadId, error: Error) {
    k.threads[thread].complete(Completion::failure(error));
    k.scheduler.make_ready(&mut k.threads, thread);
}

/// Takes a thread out of its port's line of senders.
fn stop_waiting(k: &mut Kernel, thread: ThreadId) -> Option<(Sending, TaskId)> {
    let waiting = &mut k.threads[thread];
    let task = waiting.task;
    match core::mem::replace(&mut waiting.state, State::Running) {
        State::Waiting(Wait::Send(sending)) => {
            k.timers.clear(&mut k.threads, thread);
            k.ports[sending.port].senders.remove(&mut k.threads, thread);
            Some((sending, task))
        }
        other => {
            waiting.state = other;
            None
        }
    }
}

/// A waiting thread ends: its message goes back and is forgotten.
pub fn abandon(k: &mut Kernel, thread: ThreadId) {
    if let Some((sending, task)) = stop_waiting(k, thread) {
        return_message(k, task, sending.message);
    }
}

/// A message that waited is its sender's again.
pub fn return_message(k: &mut Kernel, task: TaskId, id: MessageId) {
    let mut envelope = core::mem::replace(&mut k.messages[id].envelope, Envelope::from_kernel(0, 0, 0));
    give_back(k, task, &mut envelope);
    let Kernel { vm, accounts, messages, .. } = k;
    message::free(vm, accounts, messages, id);
}

/// Sends a message of the kernel's own through a right that it holds. It is taken
/// whatever the capacity, and `account` pays for it while it waits. If it cannot be
/// kept, or is for a port of the kernel's, the right is discarded, and whoever waits is
/// told that.
pub fn send_from_kernel(
    k: &mut Kernel,
    through: CarriedRight,
    envelope: &mut Envelope,
    body: &[u8],
    account: AccountId,
) {
    let carried = Carried::from_kernel(through);
    envelope.destination = carried;
    let receivable = |port: &Port| !matches!(port.owner, Owner::Kernel(_));
    let port = port_of(&carried).filter(|port| living(&k.ports, *port).is_some_and(receivable));
    let taken = match port {
        Some(port) => take_from_kernel(k, port, envelope, body, account),
        None => false,
    };
    match (taken, through) {
        (true, CarriedRight::SendOnce(port, _)) => right::use_send_once(k, port),
        (true, _) => right::discard(k, through),
        (false, _) => {
            death::discard_contents(k, envelope);
            right::discard(k, through);
        }
    }
}

/// Gives a message of the kernel's own to a port at which a task receives, whatever its
/// capacity; `account` pays while it waits. False: it cannot be kept, and has its rights still.
pub fn take_from_kernel(
    k: &mut Kernel,
    port: PortId,
    envelope: &mut Envelope,
    body: &[u8],
    account: AccountId,
) -> bool {
    let source = Source::Kernel(body);
    if receive::offer_kept(k, port, envelope, source) {
        return true;
    }
    let Kernel { vm, accounts, messages, .. } = k;
    match message::keep(vm, accounts, messages, account, envelope, source) {
        Ok(id) => {
            enqueue(k, port, id, Step::Queue);
            true
        }
        Err(_) => false,
    }
}

/// What a port of this capacity holds at most, but for forced messages.
pub fn limit(capacity: Capacity) -> Option<u32> {
    match capacity {
        Capacity::Zero => Some(0),
        Capacity::Bounded(limit) => Some(limit),
        Capacity::Unbounded => None,
    }
}
