//! Sending: to a waiting receiver, else into the queue, else the sender's choice.
//!
//! Invariant: a send that returns an error has changed nothing; one that blocks
//! holds its rights in the sender's name space until the message has gone.
//! Neighbours: `right` takes, `receive` delivers, `service` answers kernel ports.

use super::message::{self, CacheSlot, Carried, CarriedRight, Envelope, Message, MessageId, Source, Waiter};
use super::port::{Owner, Port, PortId, Ports, living};
use super::receive::{self, Delivery};
use super::right;
use super::space::{Right, Space};
use crate::kernel::Kernel;
use crate::service;
use crate::task::thread::{Completion, Receiving, Reply, Sending, State, Thread, ThreadId, Wait, deadline};
use crate::task::{AccountId, TaskId};
use crate::vm::Fault;
use crate::vm::copy::Window;
use portolan_abi::message::{DESCRIPTORS_MAX, Descriptor, Header, MESSAGE_ALIGN, MESSAGE_MAX, Options};
use portolan_abi::trace::Step;
use portolan_abi::{Capacity, Disposition, Error, Name, Result, call};
use portolan_machine::Access;

/// How a sending half went, if it did not fail.
pub enum Sent {
    /// The message has been taken.
    Done,
    /// The thread waits.
    Blocked,
    /// The kernel has answered, and the answer has been received.
    Answered(Completion),
}

/// Sends one message for a thread.
#[inline]
pub fn send(
    k: &mut Kernel,
    me: ThreadId,
    half: call::Send,
    then: Option<call::Receive>,
    options: Options,
) -> Result<Sent> {
    let task = k.threads[me].task;
    let mut window = Window::default();
    let mut envelope = Envelope::from_kernel(0, 0, 0);
    let sent = match read(k, me, task, half, then, &mut window, &mut envelope) {
        Ok(()) => pass_on(k, me, task, &mut envelope, &window, half, then, options),
        Err(error) => Err(error),
    };
    if sent.is_err() && !matches!(sent, Err(Error::SendWillNotify)) {
        give_back(k, task, &envelope);
    }
    sent
}

/// Reads the header and descriptors, once, and takes the rights they name. On failure
/// the envelope has those taken so far.
#[inline]
fn read(
    k: &mut Kernel,
    me: ThreadId,
    task: TaskId,
    half: call::Send,
    then: Option<call::Receive>,
    window: &mut Window,
    envelope: &mut Envelope,
) -> Result<()> {
    let size = half.size as usize;
    if size < Header::SIZE {
        return Err(Error::SendTooSmall);
    }
    if size > MESSAGE_MAX {
        return Err(Error::SendTooLarge);
    }
    if !half.address.is_multiple_of(MESSAGE_ALIGN as u64) {
        return Err(Error::SendInvalidMemory);
    }
    let number = k.next_number();
    let Kernel { vm, accounts, tasks, ports, threads, .. } = k;
    let sender = &mut tasks[task];
    window.open(vm, accounts, &mut sender.map, half.address, size, Access::Read).map_err(memory_error)?;
    let header: Header = window.read_value(&vm.memory, 0);
    let descriptors = header.descriptors as usize;
    if header.bits >> 16 != 0 {
        return Err(Error::SendInvalidHeader);
    }
    if descriptors > DESCRIPTORS_MAX {
        return Err(Error::SendTooLarge);
    }
    let thread = &mut threads[me];
    envelope.body_size = size.checked_sub(message::body_offset(descriptors)).ok_or(Error::SendTooSmall)?;
    envelope.number = number;
    envelope.cause = thread.handling;
    envelope.sender = sender.serial;
    envelope.id = header.id;
    envelope.destination = take_destination(&mut sender.space, ports, &header)?;
    envelope.reply = take_reply(&mut sender.space, ports, me, thread, &header, then)?;
    if descriptors > 0 {
        take_rights(k, task, envelope, window, descriptors)?;
    }
    Ok(())
}

fn memory_error(fault: Fault) -> Error {
    match fault {
        Fault::Unmapped | Fault::Protection => Error::SendInvalidMemory,
        Fault::Shortage => Error::SendNoBuffer,
    }
}

/// The right the message goes through, to a port that lives. One that is copied or made
/// for it needs no count.
#[inline]
fn take_destination(space: &mut Space, ports: &mut Ports, header: &Header) -> Result<Carried> {
    let how = Disposition::from_code(header.remote_disposition()).ok_or(Error::SendInvalidHeader)?;
    if how == Disposition::MoveReceive {
        return Err(Error::SendInvalidHeader);
    }
    let right = space.right(header.remote).map_err(|_| Error::SendInvalidPort)?;
    let port = match (right, how) {
        (Right::Port { port, sends: 1.., .. }, Disposition::CopySend | Disposition::MoveSend)
        | (Right::Port { port, receive: true, .. }, Disposition::MakeSend | Disposition::MakeSendOnce)
        | (Right::SendOnce { port, .. }, Disposition::MoveSendOnce) => port,
        _ => return Err(Error::SendInvalidPort),
    };
    living(ports, port).ok_or(Error::SendInvalidPort)?;
    match how {
        Disposition::MoveSend | Disposition::MoveSendOnce => {
            right::take(space, ports, header.remote, how, None).map_err(|_| Error::SendInvalidPort)
        }
        _ => Ok(Carried { right: CarriedRight::Send(port), from: header.remote, how: None }),
    }
}

fn port_of(carried: &Carried) -> Option<PortId> {
    match carried.right {
        CarriedRight::Send(port) | CarriedRight::SendOnce(port, _) => Some(port),
        _ => None,
    }
}

/// The reply right; one made for the `msg_rpc` that will wait for it is marked so.
#[inline]
fn take_reply(
    space: &mut Space,
    ports: &mut Ports,
    me: ThreadId,
    thread: &mut Thread,
    header: &Header,
    then: Option<call::Receive>,
) -> Result<Carried> {
    if header.local == Name::NULL {
        return Ok(Carried::NULL);
    }
    let how = Disposition::from_code(header.local_disposition()).ok_or(Error::SendInvalidReply)?;
    if how == Disposition::MoveReceive {
        return Err(Error::SendInvalidReply);
    }
    let mut waiter = None;
    if how == Disposition::MakeSendOnce && then.is_some_and(|half| half.port == header.local) {
        thread.rpc_serial = thread.rpc_serial.wrapping_add(1);
        thread.reply = Reply::Awaited(thread.rpc_serial);
        waiter = Some(Waiter { thread: me, serial: thread.rpc_serial });
    }
    right::take(space, ports, header.local, how, waiter).map_err(|_| Error::SendInvalidReply)
}

fn take_rights(k: &mut Kernel, task: TaskId, envelope: &mut Envelope, window: &Window, count: usize) -> Result<()> {
    envelope.rights.try_reserve(count).map_err(|_| Error::SendNoBuffer)?;
    for number in 0..count {
        let descriptor: Descriptor = window.read_value(&k.vm.memory, message::body_offset(number));
        let carried = take_right(k, task, &descriptor, port_of(&envelope.destination))?;
        envelope.rights.push(carried);
    }
    Ok(())
}

fn take_right(k: &mut Kernel, task: TaskId, descriptor: &Descriptor, destination: Option<PortId>) -> Result<Carried> {
    let plain =
        descriptor.kind == Descriptor::PORT && (descriptor.flags, descriptor.address, descriptor.size) == (0, 0, 0);
    if !plain {
        return Err(Error::SendInvalidType);
    }
    if descriptor.name == Name::NULL {
        return Ok(Carried::NULL);
    }
    let how = Disposition::from_code(descriptor.disposition).ok_or(Error::SendInvalidType)?;
    if descriptor.name == Name::DEAD {
        return Ok(Carried::from_kernel(CarriedRight::Dead(how.arrives_as())));
    }
    let Kernel { tasks, ports, .. } = k;
    let carried =
        right::take(&mut tasks[task].space, ports, descriptor.name, how, None).map_err(|_| Error::SendInvalidRight)?;
    if let (CarriedRight::Receive(port), Some(destination)) = (carried.right, destination) {
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
fn leads_to(k: &Kernel, from: PortId, port: PortId) -> bool {
    let mut next = Some(from);
    while let Some(id) = next {
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
    me: ThreadId,
    task: TaskId,
    envelope: &mut Envelope,
    window: &Window,
    half: call::Send,
    then: Option<call::Receive>,
    options: Options,
) -> Result<Sent> {
    let port = port_of(&envelope.destination).ok_or(Error::SendInvalidPort)?;
    k.trace(Step::Send, envelope, port, Some(me));
    if let Owner::Kernel(object) = k.ports[port].owner {
        return service::serve(k, me, object, envelope, window, then);
    }
    let source = Source::Sender(window);
    let delivery =
        if then.is_some() || options.contains(Options::SEND_SWITCH) { Delivery::HandOff } else { Delivery::Queue };
    if receive::offer(k, port, envelope, source, Some(task), delivery) {
        return Ok(Sent::Done);
    }
    let must_take = matches!(envelope.destination.right, CarriedRight::SendOnce(..));
    if must_take || k.ports[port].has_room() {
        let id = keep(k, task, envelope, source)?;
        leave_sender(k, task, id);
        enqueue(k, port, id, Step::Queue);
        return Ok(Sent::Done);
    }
    let at_once = options.contains(Options::SEND_TIMEOUT) && half.timeout == 0;
    if options.contains(Options::SEND_NOTIFY) && (at_once || !options.contains(Options::SEND_TIMEOUT)) {
        check_cache(k, task, envelope.destination.from)?;
        let id = keep(k, task, envelope, source)?;
        cache(k, task, port, id);
        return Err(Error::SendWillNotify);
    }
    if at_once {
        return Err(Error::SendTimedOut);
    }
    let message = keep(k, task, envelope, source)?;
    let until = deadline(k.now, options, Options::SEND_TIMEOUT, half.timeout);
    wait(k, me, Sending { port, message, options, then }, until);
    Ok(Sent::Blocked)
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
    if let Some(until) = until {
        k.timers.set(&mut k.threads, me, until);
    }
}

/// The message's rights leave the sender's name space for good.
fn leave_sender(k: &mut Kernel, task: TaskId, id: MessageId) {
    let envelope = core::mem::replace(&mut k.messages[id].envelope, Envelope::from_kernel(0, 0, 0));
    let_go(k, task, &envelope);
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
#[inline]
pub fn hand_over(k: &mut Kernel, task: TaskId, envelope: &Envelope) {
    match envelope.destination.how {
        None => {}
        Some(Disposition::MoveSendOnce) => right::let_go_send_once(k, task, envelope.destination.from),
        Some(_) => right::let_go(k, task, envelope.destination),
    }
    right::let_go(k, task, envelope.reply);
    for carried in &envelope.rights {
        right::let_go(k, task, *carried);
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

/// Undoes the taking of all rights of a message that was not sent.
fn give_back(k: &mut Kernel, task: TaskId, envelope: &Envelope) {
    right::give_back(k, task, envelope.destination);
    right::give_back(k, task, envelope.reply);
    for carried in &envelope.rights {
        right::give_back(k, task, *carried);
    }
}

/// Puts a kept message into the queue of a port at which no one can take it now.
pub fn enqueue(k: &mut Kernel, port: PortId, id: MessageId, step: Step) {
    k.trace_message(step, id, port, None);
    let Kernel { ports, messages, .. } = k;
    ports[port].enqueue(messages, id);
}

/// Whether the kernel may cache a message of this task for the port it knows as `name`.
fn check_cache(k: &Kernel, task: TaskId, name: Name) -> Result<()> {
    let space = &k.tasks[task].space;
    match space.held_slot(name) {
        Some(slot) if space.entry(slot).caching => Err(Error::SendNotifyInProgress),
        _ => Ok(()),
    }
}

/// Queues a message above the capacity and marks that its sender waits for the notice.
fn cache(k: &mut Kernel, task: TaskId, port: PortId, id: MessageId) {
    let name = k.messages[id].envelope.destination.from;
    let space = &mut k.tasks[task].space;
    if let Some(slot) = space.held_slot(name) {
        space.entry_mut(slot).caching = true;
    }
    leave_sender(k, task, id);
    k.messages[id].cached_for = Some(CacheSlot { task, name });
    k.ports[port].cached += 1;
    enqueue(k, port, id, Step::Cache);
}

/// Lets waiting senders in while there is room, in the order in which they came.
pub fn admit(k: &mut Kernel, port: PortId) {
    while k.ports[port].has_room()
        && let Some(thread) = k.ports[port].senders.first()
    {
        if let Some((sending, task)) = stop_waiting(k, thread) {
            leave_sender(k, task, sending.message);
            enqueue(k, port, sending.message, Step::Queue);
            go_on(k, thread, &sending);
        }
    }
}

/// Takes the message of the sender that has waited longest, for a receiver that is
/// ready to take it. The sender goes on.
pub fn take_from_waiting(k: &mut Kernel, thread: ThreadId) -> Option<Message> {
    let (sending, task) = stop_waiting(k, thread)?;
    leave_sender(k, task, sending.message);
    let message = k.messages.remove(sending.message);
    go_on(k, thread, &sending);
    message
}

/// A sender whose message has gone: it is ready, or has still to receive.
fn go_on(k: &mut Kernel, thread: ThreadId, sending: &Sending) {
    match sending.then {
        Some(half) => {
            k.threads[thread].unfinished = Some(Receiving { port: None, half, options: sending.options });
        }
        None => k.threads[thread].complete(Completion::success(0)),
    }
    k.scheduler.make_ready(&mut k.threads, thread);
}

/// Ends a thread's wait for a place without success; the message is its own again.
pub fn fail(k: &mut Kernel, thread: ThreadId, error: Error) {
    if let Some((sending, task)) = stop_waiting(k, thread) {
        return_message(k, task, sending.message);
        finish(k, thread, error);
    }
}

/// A thread's deadline has come while it waits for a place: it gives up, or lets the
/// kernel cache the message if it said so.
pub fn time_out(k: &mut Kernel, thread: ThreadId) {
    let Some((sending, task)) = stop_waiting(k, thread) else { return };
    let name = k.messages[sending.message].envelope.destination.from;
    let cached = if sending.options.contains(Options::SEND_NOTIFY) {
        check_cache(k, task, name)
    } else {
        Err(Error::SendTimedOut)
    };
    match cached {
        Ok(()) => {
            cache(k, task, sending.port, sending.message);
            finish(k, thread, Error::SendWillNotify);
        }
        Err(error) => {
            return_message(k, task, sending.message);
            finish(k, thread, error);
        }
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

fn return_message(k: &mut Kernel, task: TaskId, id: MessageId) {
    let envelope = core::mem::replace(&mut k.messages[id].envelope, Envelope::from_kernel(0, 0, 0));
    give_back(k, task, &envelope);
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
            for carried in core::mem::take(&mut envelope.rights) {
                right::discard(k, carried.right);
            }
            right::discard(k, through);
        }
    }
}

fn take_from_kernel(k: &mut Kernel, port: PortId, envelope: &mut Envelope, body: &[u8], account: AccountId) -> bool {
    let source = Source::Kernel(body);
    if receive::offer(k, port, envelope, source, None, Delivery::Queue) {
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
