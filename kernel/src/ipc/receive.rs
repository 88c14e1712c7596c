//! Receiving: a notice, the oldest message, a waiting sender's message, or wait.
//!
//! A delivery is checked first: is the buffer large enough, can it be written, is
//! there room for the names. Then it is made, and cannot fail; so no right is ever
//! given to a task that is not told its name, and what cannot be received stays
//! where it was. Invariant: as `port` says.
//! Neighbours: `send`, `right`, `death` (whose notices are received here).

use super::death;
use super::message::{self, CacheSlot, CarriedRight, Envelope, Message, MessageId, Source};
use super::port::{Owner, PortId};
use super::{right, send};
use crate::kernel::{Kernel, Outcome};
use crate::task::TaskId;
use crate::task::thread::{Completion, Receiving, Reply, State, ThreadId, Wait, deadline};
use crate::vm::Fault;
use crate::vm::copy::Window;
use portolan_abi::message::{Descriptor, Header, MESSAGE_ALIGN, Options, Trailer, received_size, trailer_offset};
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::trace::Step;
use portolan_abi::{Error, Name, call};
use portolan_machine::Access;
use zerocopy::IntoBytes;

/// How a receiver that was given a message is made ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// Last among its equals.
    Queue,
    /// Next in line: the sender gives way to it.
    HandOff,
}

/// Who receives, from which port, and into which buffer.
#[derive(Clone, Copy)]
struct Receiver {
    thread: ThreadId,
    task: TaskId,
    port: PortId,
    half: call::Receive,
}

/// The receiving half of a thread's call.
#[inline(always)]
pub fn receive(k: &mut Kernel, me: ThreadId, half: call::Receive, options: Options) -> Outcome {
    let thread = &k.threads[me];
    if thread.reply == Reply::Lost {
        return Outcome::Done(Completion::failure(Error::ReceiveReplyLost));
    }
    let task = thread.task;
    let Ok(port) = right::receive_right(k, task, half.port) else {
        return Outcome::Done(Completion::failure(Error::ReceiveInvalidPort));
    };
    if !half.address.is_multiple_of(MESSAGE_ALIGN as u64) {
        return Outcome::Done(Completion::failure(Error::ReceiveInvalidMemory));
    }
    if has_something(k, port)
        && let Some(completion) = take_one(k, Receiver { thread: me, task, port, half })
    {
        return Outcome::Done(completion);
    }
    if options.contains(Options::RCV_TIMEOUT) && half.timeout == 0 {
        return Outcome::Done(Completion::failure(Error::ReceiveTimedOut));
    }
    k.threads[me].state = State::Waiting(Wait::Receive(Receiving { port: Some(port), half, options }));
    k.ports[port].receivers.push_back(&mut k.threads, me);
    if let Some(until) = deadline(k.now, options, Options::RCV_TIMEOUT, half.timeout) {
        k.timers.set(&mut k.threads, me, until);
    }
    Outcome::Blocked
}

/// Whether there may be something to receive.
#[inline]
fn has_something(k: &Kernel, port: PortId) -> bool {
    let port = &k.ports[port];
    !port.queue.is_empty() || !port.senders.is_empty() || port.notices.may_be_due()
}

/// Receives what is there. `None`: nothing is.
fn take_one(k: &mut Kernel, to: Receiver) -> Option<Completion> {
    if let Some(completion) = take_notice(k, to) {
        return Some(completion);
    }
    let port = &k.ports[to.port];
    if let Some(message) = port.queue.first() {
        return Some(take_queued(k, to, message));
    }
    let sender = port.senders.first()?;
    Some(take_waiting(k, to, sender))
}

fn take_queued(k: &mut Kernel, to: Receiver, id: MessageId) -> Completion {
    let mut window = Window::default();
    let Message { envelope, .. } = &k.messages[id];
    let (size, rights) = (envelope.size(), envelope.rights.len());
    if let Err(completion) = check(k, &to, size, rights, &mut window) {
        return completion;
    }
    // Nothing below may fail.
    let Kernel { ports, messages, .. } = k;
    ports[to.port].queue.remove(messages, id);
    let Some(message) = k.messages.remove(id) else { return Completion::failure(Error::Failure) };
    k.trace(Step::Receive, &message.envelope, to.port, Some(to.thread));
    let completion = make(k, &to, &message.envelope, Source::Kept(&message.body), &window);
    match message.cached_for {
        None => message::release(&mut k.vm, &mut k.accounts, &message),
        Some(slot) => {
            k.ports[to.port].cached -= 1;
            tell_accepted(k, slot, &message);
        }
    }
    send::admit(k, to.port);
    completion
}

fn take_waiting(k: &mut Kernel, to: Receiver, sender: ThreadId) -> Completion {
    let State::Waiting(Wait::Send(sending)) = &k.threads[sender].state else {
        return Completion::failure(Error::Failure);
    };
    let envelope = &k.messages[sending.message].envelope;
    let (size, rights) = (envelope.size(), envelope.rights.len());
    let mut window = Window::default();
    if let Err(completion) = check(k, &to, size, rights, &mut window) {
        return completion;
    }
    // Nothing below may fail.
    let Some(message) = send::take_from_waiting(k, sender) else { return Completion::failure(Error::Failure) };
    k.trace(Step::Deliver, &message.envelope, to.port, Some(to.thread));
    let completion = make(k, &to, &message.envelope, Source::Kept(&message.body), &window);
    message::release(&mut k.vm, &mut k.accounts, &message);
    completion
}

/// Gives a message to the thread that has waited longest and can take it. Threads
/// whose buffers cannot take it are told so, and the next is tried. `from` is the
/// task whose name space the rights come from.
#[inline(always)]
pub fn offer(
    k: &mut Kernel,
    port: PortId,
    envelope: &mut Envelope,
    source: Source<'_>,
    from: Option<TaskId>,
    delivery: Delivery,
) -> bool {
    let mut window = Window::default();
    while let Some(thread) = k.ports[port].receivers.first() {
        let Some(to) = waiting_receiver(k, thread, port) else { return false };
        match check(k, &to, envelope.size(), envelope.rights.len(), &mut window) {
            Err(completion) => finish_waiting(k, thread, completion),
            Ok(()) => {
                if let Some(task) = from {
                    send::let_go(k, task, envelope);
                }
                k.trace(Step::Deliver, envelope, port, Some(thread));
                let completion = make(k, &to, envelope, source, &window);
                finish(k, thread, completion, delivery);
                return true;
            }
        }
    }
    false
}

#[inline(always)]
fn waiting_receiver(k: &Kernel, id: ThreadId, port: PortId) -> Option<Receiver> {
    let thread = &k.threads[id];
    match &thread.state {
        State::Waiting(Wait::Receive(receiving)) => {
            Some(Receiver { thread: id, task: thread.task, port, half: receiving.half })
        }
        _ => None,
    }
}

/// Whether a receiver's buffer and name space can take a message of this size with
/// this many rights; opens the window on the buffer.
#[inline(always)]
fn check(k: &mut Kernel, to: &Receiver, size: usize, rights: usize, window: &mut Window) -> Result<(), Completion> {
    let needed = received_size(size);
    if (to.half.size as usize) < needed {
        return Err(Completion { result: Err(Error::ReceiveTooLarge), value: needed as u64 });
    }
    let Kernel { vm, accounts, tasks, .. } = k;
    let task = &mut tasks[to.task];
    window.open(vm, accounts, &mut task.map, to.half.address, needed, Access::Write).map_err(|fault| {
        Completion::failure(match fault {
            Fault::Unmapped | Fault::Protection => Error::ReceiveInvalidMemory,
            Fault::Shortage => Error::ReceiveNoSpace,
        })
    })?;
    let names = rights as u32 + 1;
    task.space.reserve(accounts, names).map_err(|_| Completion::failure(Error::ReceiveNoSpace))
}

/// Makes a delivery that has been checked: bytes, then rights, then what describes them.
#[inline(always)]
fn make(k: &mut Kernel, to: &Receiver, envelope: &Envelope, source: Source<'_>, window: &Window) -> Completion {
    let count = envelope.rights.len();
    let offset = message::body_offset(count);
    message::copy_body(&mut k.vm.memory, source, offset, envelope.body_size, window, offset);
    let reply = right::insert(k, to.task, envelope.reply.right);
    for (number, carried) in envelope.rights.iter().enumerate() {
        let name = right::insert(k, to.task, carried.right);
        let descriptor = Descriptor::port(name, carried.right.kind_code());
        window.write_value(&mut k.vm.memory, message::body_offset(number), &descriptor);
    }
    let size = offset + envelope.body_size;
    let header = Header {
        bits: Header::bits_of(envelope.reply.right.kind_code(), envelope.destination.right.kind_code()),
        size: size as u32,
        remote: reply,
        local: to.half.port,
        id: envelope.id,
        descriptors: count as u32,
    };
    let Kernel { vm, ports, threads, .. } = k;
    let port = &mut ports[to.port];
    let trailer = Trailer {
        sequence: port.sequence,
        number: envelope.number,
        cause: envelope.cause,
        sender: envelope.sender,
        flags: if envelope.sender == 0 { Trailer::FROM_KERNEL } else { 0 },
        size: Trailer::SIZE as u32,
        reserved: 0,
    };
    port.sequence += 1;
    threads[to.thread].handling = envelope.number;
    window.write_value(&mut vm.memory, 0, &header);
    let end = trailer_offset(size);
    if size < end {
        window.write(&mut vm.memory, size, &[0; MESSAGE_ALIGN][..end - size]);
    }
    window.write_value(&mut vm.memory, end, &trailer);
    Completion::success(size as u64)
}

/// Answers the caller of a kernel routine in the same trap, if its reply is what it
/// would receive next. `None`: the reply must be sent the long way.
pub fn answer(
    k: &mut Kernel,
    me: ThreadId,
    through: CarriedRight,
    envelope: &mut Envelope,
    body: &[u8],
    then: call::Receive,
) -> Option<Completion> {
    let CarriedRight::SendOnce(port, Some(waiter)) = through else { return None };
    let idle = k.ports[port].queue.is_empty() && k.ports[port].receivers.is_empty() && !has_notice(k, port);
    let mine = waiter.thread == me && k.ports[port].owner == Owner::Task(k.threads[me].task, then.port);
    if !idle || !mine || !then.address.is_multiple_of(MESSAGE_ALIGN as u64) {
        return None;
    }
    let to = Receiver { thread: me, task: k.threads[me].task, port, half: then };
    let mut window = Window::default();
    check(k, &to, envelope.size(), envelope.rights.len(), &mut window).ok()?;
    // Nothing below may fail.
    envelope.destination.right = through;
    k.trace(Step::Deliver, envelope, port, Some(me));
    let completion = make(k, &to, envelope, Source::Kernel(body), &window);
    right::use_send_once(k, port);
    Some(completion)
}

/// Ends a thread's wait for a message.
pub fn finish_waiting(k: &mut Kernel, thread: ThreadId, completion: Completion) {
    finish(k, thread, completion, Delivery::Queue);
}

#[inline(always)]
fn finish(k: &mut Kernel, thread: ThreadId, completion: Completion, delivery: Delivery) {
    abandon(k, thread);
    let Kernel { threads, scheduler, .. } = k;
    threads[thread].complete(completion);
    match delivery {
        Delivery::Queue => scheduler.make_ready(threads, thread),
        Delivery::HandOff => scheduler.hand_off(threads, thread),
    }
}

/// Takes a thread out of its port's line of receivers, and of the deadlines.
#[inline(always)]
pub fn abandon(k: &mut Kernel, id: ThreadId) {
    let Kernel { threads, ports, timers, .. } = k;
    let thread = &mut threads[id];
    let timed = thread.timer.is_some();
    if let State::Waiting(Wait::Receive(Receiving { port: Some(port), .. })) = thread.state {
        thread.state = State::Running;
        ports[port].receivers.remove(threads, id);
    }
    if timed {
        timers.clear(threads, id);
    }
}

/// The reply that a thread waits for, or will wait for, is lost.
pub fn lose_reply(k: &mut Kernel, thread: ThreadId) {
    if matches!(k.threads[thread].state, State::Waiting(Wait::Receive(_))) {
        finish_waiting(k, thread, Completion::failure(Error::ReceiveReplyLost));
    }
}

/// Tells a task that the message the kernel cached for it has been taken. Nobody may be
/// waiting for the notice: then it is kept in that message's place, at its cost, so that
/// it can always be kept.
fn tell_accepted(k: &mut Kernel, slot: CacheSlot, accepted: &Message) {
    message::release_body(&mut k.vm, &mut k.accounts, accepted);
    let Some((port, name)) = free_cache_slot(k, slot) else {
        message::release_place(&mut k.accounts, accepted);
        return;
    };
    let notification = Notification { name, reserved: 0 };
    let mut envelope = Envelope::from_kernel(k.next_number(), Kind::MessageAccepted as u32, size_of::<Notification>());
    envelope.destination.right = CarriedRight::SendOnce(port, None);
    let source = Source::Kernel(notification.as_bytes());
    if offer(k, port, &mut envelope, source, None, Delivery::Queue) {
        message::release_place(&mut k.accounts, accepted);
        return;
    }
    let id = message::keep_in_place(&mut k.messages, accepted, envelope, notification.as_bytes());
    send::enqueue(k, port, id, Step::Notify);
}

/// Lets a task have another message cached; where that is to be announced, and the name
/// to say, null if the task has let it go. `None`: there is nobody to tell.
fn free_cache_slot(k: &mut Kernel, slot: CacheSlot) -> Option<(PortId, Name)> {
    let task = k.tasks.get_mut(slot.task)?;
    let name = match task.space.held_slot(slot.name) {
        Some(held) => {
            task.space.entry_mut(held).caching = false;
            slot.name
        }
        None => Name::NULL,
    };
    let port = task.notify_port;
    super::port::living(&k.ports, port).map(|_| (port, name))
}

/// Whether the kernel has something to say to a port's receiver.
fn has_notice(k: &Kernel, port: PortId) -> bool {
    let notices = &k.ports[port].notices;
    notices.send_once > 0
        || notices.dead_names_of.and_then(|task| k.tasks.get(task)).is_some_and(|task| task.space.notices.0.is_some())
}

/// Receives the first thing that the kernel has to say there.
fn take_notice(k: &mut Kernel, to: Receiver) -> Option<Completion> {
    if !has_notice(k, to.port) {
        return None;
    }
    let mut window = Window::default();
    let size = Header::SIZE + size_of::<Notification>();
    if let Err(completion) = check(k, &to, size, 0, &mut window) {
        return Some(completion);
    }
    // Nothing below may fail.
    let (kind, name) = death::next_notice(k, to.port)?;
    let mut envelope = Envelope::from_kernel(k.next_number(), kind as u32, size_of::<Notification>());
    envelope.destination.right = CarriedRight::SendOnce(to.port, None);
    k.trace(Step::Notify, &envelope, to.port, Some(to.thread));
    let body = Notification { name, reserved: 0 };
    Some(make(k, &to, &envelope, Source::Kernel(body.as_bytes()), &window))
}

/// Gives notices to waiting receivers, as far as there are both.
pub fn offer_notice(k: &mut Kernel, port: PortId) {
    while let Some(thread) = k.ports[port].receivers.first() {
        let Some(to) = waiting_receiver(k, thread, port) else { return };
        match take_notice(k, to) {
            Some(completion) => finish_waiting(k, thread, completion),
            None => return,
        }
    }
}
