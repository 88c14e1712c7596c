//! Receiving: a notice, the oldest message, a waiting sender's message, or wait.
//!
//! A delivery is checked first: is the buffer large enough, can it be written, is
//! there room for the names and for memory. Then it is made, and cannot fail; so no right is ever
//! given to a task that is not told its name, and what cannot be received stays
//! where it was. Invariant: as `port` says.
//! Neighbours: `send`, `right`, `death` (whose notices are received here).

use super::cached;
use super::deadlock::{self, Want};
use super::death;
use super::message::{self, CarriedRight, Content, Enclosure, Envelope, MessageId, Source};
use super::pager::Then;
use super::port::{Owner, Port, PortId};
use super::{pager, request, right, send, set};
use crate::kernel::{Kernel, Outcome};
use crate::sched::Scheduler;
use crate::sched::timer::Timers;
use crate::task::thread::{
    Completion, Ready, Receiving, Reply, State, Thread, ThreadId, Threads, Unfinished, Wait, deadline,
};
use crate::task::{Accounts, Caller, Task, TaskId, exception};
use crate::vm::copy::Window;
use crate::vm::fault::Absent;
use crate::vm::map::Place;
use crate::vm::map_copy::{Reserved, Terms};
use crate::vm::{Fault, MapCopy, Vm};
use portolan_abi::message::{Descriptor, Header, MESSAGE_ALIGN, Options, Trailer, received_size, trailer_offset};
use portolan_abi::notification::Kind;
use portolan_abi::trace::Step;
use portolan_abi::vm::Inheritance;
use portolan_abi::{Error, Name, Protection, call};
use portolan_machine::{Access, Instant, Memory, pace};
use zerocopy::IntoBytes;

/// Instructions that ending a thread's wait takes, and offering it something.
pub const PER_WAKE: u32 = 250;
const PER_OFFER: u32 = 600;
/// Instructions that putting a right into a task takes, and memory.
const PER_RIGHT: u32 = 300;
const PER_ENCLOSURE: u32 = 800;

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
    /// Where it stands in line: there, or at a set that has the port. `None`: it makes the call.
    line: Option<PortId>,
    half: call::Receive,
}

/// The receiving half of a thread's call. The sending half has just set a thread of `at_work` going.
#[inline(always)]
pub fn receive(
    k: &mut Kernel,
    me: &Caller,
    half: &call::Receive,
    options: Options,
    at_work: Option<TaskId>,
) -> Outcome {
    let Kernel { threads, tasks, ports, restarted, now, .. } = k;
    // What a thread has just taken is not lost yet.
    if at_work.is_none() && threads[me.thread].reply == Reply::Lost {
        return Outcome::Done(Completion::failure(Error::ReceiveReplyLost));
    }
    let Some(id) = tasks[me.task].space.receive_right(half.port) else {
        return receive_from_set(k, me, half, options);
    };
    let port = &mut ports[id];
    if port.set.is_some() {
        return Outcome::Done(Completion::failure(Error::ReceiveInSet));
    }
    if !half.address.is_multiple_of(MESSAGE_ALIGN as u64) {
        return Outcome::Done(Completion::failure(Error::ReceiveInvalidMemory));
    }
    // In the common case the wait is for a task that has just been set to work, and nobody asks more.
    let may_wait = !options.contains(Options::RCV_TIMEOUT) && deadlock::is_at_work(port, at_work);
    if port.may_have_something() {
        return take_or_wait(k, me, id, half, options, at_work);
    }
    if !may_wait || port.is_hoped_for() {
        return wait(k, me, id, half, options, at_work);
    }
    let waits = Waits { thread: me.thread, port: id, half, options };
    stand_in_line(threads, port, waits, *restarted, *now);
    Outcome::Blocked
}

/// Receives what is there, or waits.
#[inline(never)]
fn take_or_wait(
    k: &mut Kernel,
    me: &Caller,
    id: PortId,
    half: &call::Receive,
    options: Options,
    at_work: Option<TaskId>,
) -> Outcome {
    match take_one(k, Receiver { thread: me.thread, task: me.task, port: id, line: None, half: *half }) {
        Some(taken) => end(k, me, taken, half, options),
        None => wait(k, me, id, half, options, at_work),
    }
}

/// Waits at a port, if the call may wait and not in vain.
#[inline(never)]
fn wait(
    k: &mut Kernel,
    me: &Caller,
    id: PortId,
    half: &call::Receive,
    options: Options,
    at_work: Option<TaskId>,
) -> Outcome {
    if options.contains(Options::RCV_TIMEOUT) && half.timeout == 0 {
        return Outcome::Done(Completion::failure(Error::ReceiveTimedOut));
    }
    if !options.intersects(Options::RCV_TIMEOUT.union(Options::RCV_INTERRUPT))
        && deadlock::is_certain(k, me, Want::Message(id), at_work)
    {
        return Outcome::Done(Completion::failure(Error::ReceiveWouldDeadlock));
    }
    wait_at(k, me, id, half, options);
    if k.ports[id].is_hoped_for() {
        request::fulfil_hopes(k, id);
    }
    Outcome::Blocked
}

/// The thread waits at a port or set, until its deadline if it has one.
fn wait_at(k: &mut Kernel, me: &Caller, id: PortId, half: &call::Receive, options: Options) {
    let began = k.began();
    let Kernel { threads, ports, timers, restarted, now, .. } = k;
    let waits = Waits { thread: me.thread, port: id, half, options };
    stand_in_line(threads, &mut ports[id], waits, *restarted, *now);
    if let Some(until) = deadline(began, options, Options::RCV_TIMEOUT, half.timeout) {
        timers.set(threads, me.thread, until);
    }
}

/// Who is to wait, where, for what.
struct Waits<'a> {
    thread: ThreadId,
    port: PortId,
    half: &'a call::Receive,
    options: Options,
}

/// The thread waits in the line of a port or set, for ever.
#[inline(always)]
fn stand_in_line(threads: &mut Threads, port: &mut Port, waits: Waits, restarted: Option<Instant>, now: Instant) {
    let thread = match restarted {
        None => port.receivers.push_back(threads, waits.thread),
        // It was its turn when it lacked a page.
        Some(_) => port.receivers.push_front(threads, waits.thread),
    };
    let Waits { port, half, options, .. } = waits;
    let receiving = Receiving { port: Some(port), half: *half, options, began: Some(restarted.unwrap_or(now)) };
    thread.state = State::Waiting(Wait::Receive(receiving));
}

/// Ends a receive that has found something, unless its buffer lacks a page: then it waits for that.
#[inline(always)]
fn end(
    k: &mut Kernel,
    me: &Caller,
    taken: Result<Completion, Absent>,
    half: &call::Receive,
    options: Options,
) -> Outcome {
    match taken {
        Ok(completion) => Outcome::Done(completion),
        Err(absent) => bring_in(k, me, absent, half, options),
    }
}

#[cold]
fn bring_in(k: &mut Kernel, me: &Caller, absent: Absent, half: &call::Receive, options: Options) -> Outcome {
    let began = k.began();
    let until = deadline(began, options, Options::RCV_TIMEOUT, half.timeout).filter(|_| half.timeout > 0);
    let receiving = Receiving { port: None, half: *half, options, began: Some(began) };
    match pager::wait(k, me.thread, absent, Then::Receive(receiving), until) {
        Ok(()) => Outcome::Blocked,
        Err(_) => Outcome::Done(Completion::failure(Error::ReceiveInvalidMemory)),
    }
}

/// The receiving half of a call that names a port set: from the member whose turn it is.
#[inline(never)]
fn receive_from_set(k: &mut Kernel, me: &Caller, half: &call::Receive, options: Options) -> Outcome {
    let Ok(set) = right::port_set(k, me.task, half.port) else {
        return Outcome::Done(Completion::failure(Error::ReceiveInvalidPort));
    };
    if !half.address.is_multiple_of(MESSAGE_ALIGN as u64) {
        return Outcome::Done(Completion::failure(Error::ReceiveInvalidMemory));
    }
    while let Some(port) = set::next(&k.ports, set) {
        let Some(taken) = take_one(k, Receiver { thread: me.thread, task: me.task, port, line: None, half: *half })
        else {
            pace(PER_WAKE);
            set::rest(&mut k.ports, port);
            continue;
        };
        // What could not be received stays first.
        if taken.is_ok_and(|completion| completion.result.is_ok()) {
            set::settle(&mut k.ports, port);
        }
        return end(k, me, taken, half, options);
    }
    if options.contains(Options::RCV_TIMEOUT) && half.timeout == 0 {
        return Outcome::Done(Completion::failure(Error::ReceiveTimedOut));
    }
    wait_at(k, me, set, half, options);
    while let Some(port) = set::take_hoping(&mut k.ports, set) {
        pace(PER_WAKE);
        request::fulfil_hopes(k, port);
    }
    Outcome::Blocked
}

/// Gives what there is at a port that has just joined a set to the threads that wait there.
pub fn serve_set(k: &mut Kernel, port: PortId, set: PortId) {
    while has_something(k, port)
        && let Some(thread) = k.ports[set].receivers.first()
        && let Some(to) = waiting_receiver(k, thread, port)
    {
        pace(PER_OFFER);
        // Out of the line first: taking may have the kernel tell something there.
        let mut receiving = None;
        abandon(k, thread, |thread| {
            receiving = thread.receiving();
            thread.state = State::Running;
        });
        let Some(taken) = take_one(k, to) else { continue };
        let Kernel { threads, scheduler, .. } = k;
        match (taken, receiving) {
            (Err(absent), Some(receiving)) => {
                threads[thread].unfinished = Some(Unfinished::BringIn(absent, receiving));
            }
            (Err(_), None) => {}
            (Ok(completion), _) => threads[thread].complete(completion),
        }
        scheduler.make_ready(threads, thread);
    }
    if !k.ports[set].receivers.is_empty() {
        request::fulfil_hopes(k, port);
    }
}

/// Whether there is something to receive.
fn has_something(k: &Kernel, id: PortId) -> bool {
    let port = &k.ports[id];
    !port.queue.is_empty() || !port.senders.is_empty() || has_notice(k, id)
}

/// Whether a port takes a message without a wait.
pub fn takes_one(k: &Kernel, port: PortId) -> bool {
    k.ports[port].has_room() || first_receiver(k, port).is_some()
}

/// The thread that has waited longest at a port, or else at the set that it is in.
fn first_receiver(k: &Kernel, port: PortId) -> Option<ThreadId> {
    k.ports[port].receivers.first().or_else(|| first_at_set(k, port))
}

/// The thread that has waited longest at the set that a port is in.
pub fn first_at_set(k: &Kernel, port: PortId) -> Option<ThreadId> {
    k.ports[k.ports[port].set?].receivers.first()
}

/// Receives what is there. `None`: nothing is.
#[inline(never)]
fn take_one(k: &mut Kernel, to: Receiver) -> Option<Result<Completion, Absent>> {
    if let Some(taken) = take_notice(k, to) {
        return Some(taken);
    }
    let port = &k.ports[to.port];
    if let Some(message) = port.queue.first() {
        return Some(take_queued(k, to, message));
    }
    let sender = port.senders.first()?;
    Some(take_waiting(k, to, sender))
}

fn take_queued(k: &mut Kernel, to: Receiver, id: MessageId) -> Result<Completion, Absent> {
    let mut window = Window::default();
    let room = match check_kept(k, &to, id, &mut window) {
        Ok(room) => room,
        Err(refusal) => return refusal.ended(),
    };
    // Nothing below may fail.
    let Kernel { ports, messages, .. } = k;
    ports[to.port].queue.remove(messages, id);
    let Some(mut message) = k.messages.remove(id) else { return Ok(Completion::failure(Error::Failure)) };
    k.trace(Step::Receive, &message.envelope, to.port, Some(to.thread));
    let completion = make(k, &to, &mut message.envelope, Source::Kept(&message.body), &window, room);
    match message.cached_for {
        None => message::release(&mut k.vm, &mut k.accounts, &message),
        Some(slot) => {
            k.ports[to.port].cached -= 1;
            cached::tell(k, slot, &message, Kind::MessageAccepted, message.envelope.id);
        }
    }
    send::admit(k, to.port);
    Ok(completion)
}

fn take_waiting(k: &mut Kernel, to: Receiver, sender: ThreadId) -> Result<Completion, Absent> {
    let State::Waiting(Wait::Send(sending)) = &k.threads[sender].state else {
        return Ok(Completion::failure(Error::Failure));
    };
    let id = sending.message;
    let mut window = Window::default();
    let room = match check_kept(k, &to, id, &mut window) {
        Ok(room) => room,
        Err(refusal) => return refusal.ended(),
    };
    // Nothing below may fail.
    let Some((mut message, task)) = send::take_from_waiting(k, sender) else {
        return Ok(Completion::failure(Error::Failure));
    };
    k.trace(Step::Deliver, &message.envelope, to.port, Some(to.thread));
    let completion = make(k, &to, &mut message.envelope, Source::Kept(&message.body), &window, room);
    send::unmap_moved(k, task, &message.envelope.enclosures);
    message::release(&mut k.vm, &mut k.accounts, &message);
    Ok(completion)
}

/// Does what [`deliver`] does, where it need not be done in line.
#[inline(never)]
pub fn offer(
    k: &mut Kernel,
    port: PortId,
    thread: ThreadId,
    envelope: &mut Envelope,
    source: Source<'_>,
    from: Option<TaskId>,
    delivery: Delivery,
) -> Option<TaskId> {
    deliver(k, port, thread, envelope, source, from, delivery)
}

/// Gives a message to a thread that waits, and returns its task. `from` is the task whose name
/// space the rights come from. `None`: it cannot take it, has been told so, and waits no more.
#[inline(always)]
pub fn deliver(
    k: &mut Kernel,
    port: PortId,
    thread: ThreadId,
    envelope: &mut Envelope,
    source: Source<'_>,
    from: Option<TaskId>,
    delivery: Delivery,
) -> Option<TaskId> {
    let Some(to) = waiting_receiver(k, thread, port) else { panic!("a thread in line for messages waits for none") };
    let line = to.line.expect("who waits for a message stands in a line");
    let mut window = Window::default();
    let room = match check_envelope(k, &to, envelope, &mut window) {
        Ok(room) => room,
        Err(refusal) => {
            pace(PER_OFFER);
            turn_away(k, thread, refusal);
            return None;
        }
    };
    // Nothing below may fail.
    if let Some(task) = from {
        send::let_go(k, task, envelope);
    }
    k.trace(Step::Deliver, envelope, port, Some(thread));
    let reply = bring(k, &to, envelope, source, &window, room);
    let Kernel { vm, threads, ports, timers, scheduler, .. } = k;
    let here = &mut ports[port];
    let completion = describe(&mut vm.memory, here, envelope, reply, &window);
    let line = if line == port { here } else { &mut ports[line] };
    let ready = leave_line(threads, line, timers, thread, |waiting| {
        waiting.handling = envelope.number;
        waiting.complete(completion);
        waiting.become_ready(thread)
    });
    put_in_line(scheduler, threads, ready, delivery);
    if let Some(task) = from
        && envelope.descriptors > 0
    {
        send::unmap_moved(k, task, &envelope.enclosures);
    }
    Some(to.task)
}

/// A thread that waited cannot take what there is: it is told so, or brings in a page of its
/// buffer and tries again.
#[cold]
fn turn_away(k: &mut Kernel, thread: ThreadId, refusal: Refusal) {
    match refusal {
        Refusal::Ends(completion) => finish_waiting(k, thread, completion),
        Refusal::Absent(absent) => send_for(k, thread, absent),
    }
}

/// Has a thread that waited bring in a page of its buffer, when its turn comes: here that might
/// have another wait for a page, and so on. It will be first in its line again.
fn send_for(k: &mut Kernel, thread: ThreadId, absent: Absent) {
    finish(k, thread, Delivery::Queue, |thread| {
        thread.unfinished = thread.receiving().map(|receiving| Unfinished::BringIn(absent, receiving));
    });
}

/// Brings in a page of a receive's buffer, if it is still not there, and receives.
pub fn receive_after(k: &mut Kernel, me: &Caller, absent: Absent, receiving: &Receiving) -> Outcome {
    let Receiving { half, options, .. } = receiving;
    match k.vm.objects.get(absent.object).is_some() && k.vm.frame(absent.object, absent.page).is_none() {
        true => bring_in(k, me, absent, half, *options),
        false => receive(k, me, half, *options, None),
    }
}

/// Gives a message of the kernel's, or one that it has kept, to a thread that waits for one.
#[inline(never)]
pub fn offer_kept(k: &mut Kernel, port: PortId, envelope: &mut Envelope, source: Source<'_>) -> bool {
    while let Some(first) = first_receiver(k, port) {
        if offer(k, port, first, envelope, source, None, Delivery::Queue).is_some() {
            return true;
        }
    }
    false
}

#[inline(always)]
fn waiting_receiver(k: &Kernel, id: ThreadId, port: PortId) -> Option<Receiver> {
    let thread = &k.threads[id];
    match &thread.state {
        State::Waiting(Wait::Receive(receiving)) => {
            Some(Receiver { thread: id, task: thread.task, port, line: receiving.port, half: receiving.half })
        }
        _ => None,
    }
}

/// Whether a receiver can take this message: its buffer, its name space, and its map, where
/// room is reserved if the message brings memory.
#[inline(always)]
fn check_envelope(
    k: &mut Kernel,
    to: &Receiver,
    envelope: &Envelope,
    window: &mut Window,
) -> Result<Option<Reserved>, Refusal> {
    check(k, to, envelope.size(), window)?;
    if envelope.descriptors == 0 {
        return Ok(None);
    }
    let Kernel { vm, accounts, tasks, .. } = k;
    reserve(vm, accounts, &mut tasks[to.task], envelope)
}

/// Whether a receiver can take a message that waits.
fn check_kept(k: &mut Kernel, to: &Receiver, id: MessageId, window: &mut Window) -> Result<Option<Reserved>, Refusal> {
    check(k, to, k.messages[id].envelope.size(), window)?;
    let Kernel { vm, accounts, tasks, messages, .. } = k;
    reserve(vm, accounts, &mut tasks[to.task], &messages[id].envelope)
}

/// Reserves room for the names and the memory that a message's descriptors bring.
#[inline(never)]
fn reserve(
    vm: &Vm,
    accounts: &mut Accounts,
    task: &mut Task,
    envelope: &Envelope,
) -> Result<Option<Reserved>, Refusal> {
    let no_space = |_| Refusal::Ends(Completion::failure(Error::ReceiveNoSpace));
    let names = envelope.rights.len() as u32 + 1;
    task.space.reserve(accounts, names).map_err(no_space)?;
    let copies = message::copies(&envelope.enclosures);
    if copies.clone().next().is_none() {
        return Ok(None);
    }
    MapCopy::reserve(copies, vm, accounts, &mut task.map, Place::Anywhere).map(Some).map_err(no_space)
}

/// Whether a receiver's buffer can take a message of this size, and its name space the reply
/// right; opens the window on the buffer.
#[inline(always)]
fn check(k: &mut Kernel, to: &Receiver, size: usize, window: &mut Window) -> Result<(), Refusal> {
    let needed = received_size(size);
    if (to.half.size as usize) < needed {
        return Err(Refusal::Ends(Completion { result: Err(Error::ReceiveTooLarge), value: needed as u64 }));
    }
    let Kernel { vm, accounts, tasks, .. } = k;
    let task = &mut tasks[to.task];
    window.open(vm, accounts, &mut task.map, to.half.address, needed, Access::Write).map_err(|fault| {
        Refusal::Ends(Completion::failure(match fault {
            Fault::Absent(absent) => return Refusal::Absent(absent),
            Fault::Unmapped | Fault::Protection | Fault::BeyondEnd | Fault::Refused(_) => Error::ReceiveInvalidMemory,
            Fault::Shortage => Error::ReceiveNoSpace,
        }))
    })?;
    task.space.reserve(accounts, 1).map_err(|_| Refusal::Ends(Completion::failure(Error::ReceiveNoSpace)))
}

/// Why a receiver cannot take a message.
enum Refusal {
    /// Its call ends.
    Ends(Completion),
    /// It has to bring in a page of its buffer.
    Absent(Absent),
}

impl Refusal {
    /// How a receive ends that has met it.
    fn ended(self) -> Result<Completion, Absent> {
        match self {
            Refusal::Ends(completion) => Ok(completion),
            Refusal::Absent(absent) => Err(absent),
        }
    }
}

/// Makes a delivery that has been checked to the thread that makes this call.
#[inline(never)]
fn make(
    k: &mut Kernel,
    to: &Receiver,
    envelope: &mut Envelope,
    source: Source<'_>,
    window: &Window,
    room: Option<Reserved>,
) -> Completion {
    let reply = bring(k, to, envelope, source, window, room);
    k.threads[to.thread].handling = envelope.number;
    let Kernel { vm, ports, .. } = k;
    describe(&mut vm.memory, &mut ports[to.port], envelope, reply, window)
}

/// Brings bytes, then rights and memory, into a receiver's hands. Returns its name for the reply right.
#[inline(always)]
fn bring(
    k: &mut Kernel,
    to: &Receiver,
    envelope: &mut Envelope,
    source: Source<'_>,
    window: &Window,
    room: Option<Reserved>,
) -> Name {
    let offset = envelope.body_offset();
    message::copy_body(&mut k.vm.memory, source, offset, envelope.body_size, window, offset);
    let reply = right::insert(k, to.task, envelope.reply.right);
    if envelope.descriptors > 0 {
        insert_contents(k, to.task, envelope, window, room);
    }
    reply
}

/// Says in a receiver's buffer what has come, and through which port.
#[inline(always)]
fn describe(memory: &mut Memory, port: &mut Port, envelope: &Envelope, reply: Name, window: &Window) -> Completion {
    let size = envelope.size();
    let sequence = port.next_sequence();
    let port = &*port;
    let header = || Header {
        bits: Header::bits_of(envelope.reply.right.kind_code(), envelope.destination.right.kind_code()),
        size: size as u32,
        remote: reply,
        local: port.name(),
        id: envelope.id,
        descriptors: envelope.descriptors,
    };
    let trailer = || Trailer {
        sequence,
        number: envelope.number,
        cause: envelope.cause,
        sender: envelope.sender,
        flags: if envelope.sender == 0 { Trailer::FROM_KERNEL } else { 0 }
            | if port.payload.is_some() { Trailer::PAYLOAD } else { 0 },
        size: Trailer::SIZE as u32,
        payload: port.payload.unwrap_or(0),
        security: envelope.security,
    };
    let end = trailer_offset(size);
    window.write_value(memory, 0, header);
    if size < end {
        window.write(memory, size, &[0; MESSAGE_ALIGN][..end - size]);
    }
    window.write_value(memory, end, trailer);
    Completion::success(size as u64)
}

/// Puts what a message's descriptors bring into its receiver's hands, and says where it is.
#[inline(never)]
fn insert_contents(k: &mut Kernel, task: TaskId, envelope: &mut Envelope, window: &Window, mut room: Option<Reserved>) {
    let Envelope { rights, enclosures, descriptors, .. } = envelope;
    let mut rights = rights.iter().map(|carried| carried.right);
    let mut enclosures = enclosures.iter_mut().peekable();
    for number in 0..*descriptors as usize {
        pace(PER_RIGHT);
        let descriptor = match enclosures.next_if(|enclosure| enclosure.descriptor == number) {
            Some(enclosure) => unpack(k, task, enclosure, &mut rights, &mut room),
            None => {
                let right = rights.next().unwrap_or(CarriedRight::Null);
                Descriptor::port(right::insert(k, task, right), right.kind_code())
            }
        };
        window.write_value(&mut k.vm.memory, message::body_offset(number), || descriptor);
    }
}

/// Names the rights of an array; places memory.
fn unpack(
    k: &mut Kernel,
    task: TaskId,
    enclosure: &mut Enclosure,
    rights: &mut impl Iterator<Item = CarriedRight>,
    room: &mut Option<Reserved>,
) -> Descriptor {
    pace(PER_ENCLOSURE);
    let memory = enclosure.memory.take();
    let size = memory.as_ref().map_or(0, MapCopy::size);
    if let (Content::Rights(count, _), Some(page)) = (&enclosure.content, &memory) {
        for (place, right) in rights.take(*count).enumerate() {
            pace(PER_RIGHT);
            let name = right::insert(k, task, right);
            page.write(&mut k.vm, place * size_of::<Name>(), name.as_bytes());
        }
    }
    let address = match (memory, room) {
        (Some(memory), Some(room)) => {
            let Kernel { vm, accounts, tasks, .. } = k;
            memory.place(vm, accounts, &mut tasks[task].map, room, OUT_OF_LINE)
        }
        _ => 0,
    };
    match enclosure.content {
        Content::Bytes(_) => Descriptor::memory(address, size, 0),
        Content::Rights(count, kind) => Descriptor::ports(address, count as u64, kind as u8),
    }
}

/// What may be done with memory that a message has brought.
pub const OUT_OF_LINE: Terms =
    Terms { protection: Protection::READ_WRITE, maximum: Protection::all(), inheritance: Inheritance::Copy };

/// Answers the caller of a kernel routine in the same trap, if its reply is what it
/// would receive next. `None`: the reply must be sent the long way.
pub fn answer(
    k: &mut Kernel,
    me: &Caller,
    through: CarriedRight,
    envelope: &mut Envelope,
    body: &[u8],
    then: &call::Receive,
) -> Option<Completion> {
    let CarriedRight::SendOnce(port, Some(waiter)) = through else { return None };
    let Port { queue, receivers, set, .. } = &k.ports[port];
    let idle = queue.is_empty() && receivers.is_empty() && set.is_none() && !has_notice(k, port);
    let mine = waiter.thread == me.thread && k.ports[port].owner == Owner::Task(me.task, then.port);
    if !idle || !mine || !then.address.is_multiple_of(MESSAGE_ALIGN as u64) {
        return None;
    }
    let to = Receiver { thread: me.thread, task: me.task, port, line: None, half: *then };
    let mut window = Window::default();
    let room = check_envelope(k, &to, envelope, &mut window).ok()?;
    // Nothing below may fail.
    envelope.destination.right = through;
    k.trace(Step::Deliver, envelope, port, Some(me.thread));
    let completion = make(k, &to, envelope, Source::Kernel(body), &window, room);
    right::use_send_once(k, port);
    Some(completion)
}

/// Ends a thread's wait for a message.
pub fn finish_waiting(k: &mut Kernel, thread: ThreadId, completion: Completion) {
    finish(k, thread, Delivery::Queue, |thread| thread.complete(completion));
}

/// Wakes a thread whose wait for a message has ended; `end` sees it.
fn finish(k: &mut Kernel, id: ThreadId, delivery: Delivery, end: impl FnOnce(&mut Thread)) {
    let mut ready = None;
    abandon(k, id, |thread| {
        end(thread);
        ready = thread.become_ready(id);
    });
    put_in_line(&mut k.scheduler, &mut k.threads, ready, delivery);
}

/// Puts a thread where it waits for its turn, if it may run.
#[inline(always)]
fn put_in_line(scheduler: &mut Scheduler, threads: &mut Threads, ready: Option<Ready>, delivery: Delivery) {
    match (ready, delivery) {
        (Some(ready), Delivery::Queue) => scheduler.queue(threads, ready),
        (Some(ready), Delivery::HandOff) => scheduler.hand_off(threads, ready),
        (None, _) => {}
    }
}

/// Takes a thread out of the line of receivers in which it stands, if it does, and of the
/// deadlines; `end` sees it as it leaves, and says what it does then.
pub fn abandon(k: &mut Kernel, id: ThreadId, end: impl FnOnce(&mut Thread)) {
    let Kernel { threads, ports, timers, .. } = k;
    match threads[id].line() {
        Some(line) => leave_line(threads, &mut ports[line], timers, id, end),
        None => {
            end(&mut threads[id]);
            timers.clear(threads, id);
        }
    }
}

/// Takes a thread out of this line of receivers, and of the deadlines.
#[inline(always)]
fn leave_line<T>(
    threads: &mut Threads,
    line: &mut Port,
    timers: &mut Timers,
    id: ThreadId,
    end: impl FnOnce(&mut Thread) -> T,
) -> T {
    let thread = &mut threads[id];
    let (link, timed) = (core::mem::take(&mut thread.queue), thread.timer.is_some());
    let ended = end(thread);
    line.receivers.close_gap(threads, link);
    if timed {
        timers.clear(threads, id);
    }
    ended
}

/// The reply that a thread waits for, or will wait for, is lost.
pub fn lose_reply(k: &mut Kernel, thread: ThreadId) {
    match k.threads[thread].state {
        State::Waiting(Wait::Receive(_)) => {
            finish_waiting(k, thread, Completion::failure(Error::ReceiveReplyLost));
        }
        State::Waiting(Wait::Exception(_)) => exception::lose(k, thread),
        _ => {}
    }
}

/// Whether the kernel has something to say to a port's receiver.
fn has_notice(k: &Kernel, port: PortId) -> bool {
    let notices = &k.ports[port].notices;
    notices.send_once > 0
        || notices.interrupts.is_some()
        || !k.ports[port].pagers.asking.is_empty()
        || notices.dead_names_of.and_then(|task| k.tasks.get(task)).is_some_and(|task| task.space.notices.0.is_some())
}

/// Receives the first thing that the kernel has to say there.
fn take_notice(k: &mut Kernel, to: Receiver) -> Option<Result<Completion, Absent>> {
    if !has_notice(k, to.port) {
        return None;
    }
    let mut window = Window::default();
    let size = Header::SIZE + death::notice_size(&k.ports[to.port]);
    if let Err(refusal) = check(k, &to, size, &mut window) {
        return Some(refusal.ended());
    }
    // Nothing below may fail.
    let (id, body) = death::next_notice(k, to.port)?;
    let mut envelope = Envelope::from_kernel(k.next_number(), id, body.len());
    envelope.destination.right = CarriedRight::SendOnce(to.port, None);
    k.trace(Step::Notify, &envelope, to.port, Some(to.thread));
    Some(Ok(make(k, &to, &mut envelope, Source::Kernel(&body), &window, None)))
}

/// Gives notices to waiting receivers, as far as there are both.
pub fn offer_notice(k: &mut Kernel, port: PortId) {
    while let Some(thread) = first_receiver(k, port) {
        let Some(to) = waiting_receiver(k, thread, port) else { return };
        pace(PER_OFFER);
        match take_notice(k, to) {
            Some(Ok(completion)) => finish_waiting(k, thread, completion),
            Some(Err(absent)) => send_for(k, thread, absent),
            None => return,
        }
    }
    set::note(&mut k.ports, port);
}
