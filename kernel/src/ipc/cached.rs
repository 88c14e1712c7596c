//! The cached message: in the queue above the capacity, and in a slot of its sender's until
//! it is accepted. Meanwhile the sender can look at it, replace it, or take it back.
//!
//! A task has one slot for each name, or each of its threads has, as the send says. The
//! messages in the slots of one name are a chain that begins in the name's entry; they are
//! few, and only a sender goes through it. The entry stays, if need be invisible, as long as
//! there is a chain. Invariant: a cached message is in the chain of the name that it says,
//! if any, and no other in that chain has its slot. Neighbours: `send` caches, `receive` accepts, `right` renames.

use super::message::{self, Carried, CarriedRight, Content, Enclosure, Envelope, Message, MessageId, Messages, Source};
use super::port::{PortId, living};
use super::receive;
use super::{right, send};
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::thread::ThreadId;
use crate::vm::MapCopy;
use crate::vm::copy::Window;
use crate::vm::map::Place;
use crate::vm::map_copy::Reserved;
use portolan_abi::message::{Descriptor, Header, MESSAGE_ALIGN};
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::trace::Step;
use portolan_abi::{Disposition, Error, Name, Result, RightKind, call};
use portolan_machine::{Access, pace};
use zerocopy::IntoBytes;

/// Instructions that looking at a message in a chain takes, and putting a right or memory back.
const PER_LOOK: u32 = 20;
const PER_RIGHT: u32 = 500;
const PER_ENCLOSURE: u32 = 800;

/// Whose cached message it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheSlot {
    /// The task.
    pub task: TaskId,
    /// Its name for the port; null once the task has let it go.
    pub name: Name,
    /// The thread, if each has a slot of its own.
    pub thread: Option<ThreadId>,
    /// The next in the chain.
    pub next: Option<MessageId>,
    /// The one before it in the chain.
    pub previous: Option<MessageId>,
}

/// Memory of a task in which a whole message lies, or has room.
#[derive(Clone, Copy)]
pub struct Buffer {
    /// Where.
    pub address: u64,
    /// How many bytes.
    pub size: u32,
}

/// The message in a slot, of those in a chain.
fn find(messages: &Messages, first: Option<MessageId>, thread: Option<ThreadId>) -> Option<MessageId> {
    let mut next = first;
    while let Some(id) = next {
        pace(PER_LOOK);
        let slot = messages[id].cached_for?;
        if slot.thread == thread {
            return Some(id);
        }
        next = slot.next;
    }
    None
}

/// The message in a slot.
///
/// # Errors
/// `InvalidName`; `Failure`: there is none, or it has been accepted.
pub fn look(k: &Kernel, task: TaskId, name: Name, thread: Option<ThreadId>) -> Result<MessageId> {
    let space = &k.tasks[task].space;
    let first = space.entry(space.slot(name)?).cached;
    find(&k.messages, first, thread).ok_or(Error::Failure)
}

/// Whether a slot is free.
///
/// # Errors
/// `SendNotifyInProgress`.
pub fn check(k: &Kernel, task: TaskId, thread: Option<ThreadId>, port: PortId) -> Result<()> {
    let space = &k.tasks[task].space;
    let first = space.find(port).and_then(|slot| space.entry(slot).cached);
    match find(&k.messages, first, thread) {
        Some(_) => Err(Error::SendNotifyInProgress),
        None => Ok(()),
    }
}

/// Queues a message above the capacity, in a slot that is free. The slot keeps the task's
/// name for the port, also when the message takes the last right under it.
pub fn cache(k: &mut Kernel, task: TaskId, thread: Option<ThreadId>, port: PortId, id: MessageId) {
    let Kernel { tasks, messages, .. } = k;
    let space = &mut tasks[task].space;
    let (name, next) = match space.find(port) {
        Some(slot) => (space.name(slot), space.entry_mut(slot).cached.replace(id)),
        // A sender that waited may have let the name go meanwhile.
        None => (Name::NULL, None),
    };
    messages[id].cached_for = Some(CacheSlot { task, name, thread, next, previous: None });
    if let Some(next) = next.and_then(|next| messages[next].cached_for.as_mut()) {
        next.previous = Some(id);
    }
    send::leave_sender(k, task, id);
    k.ports[port].cached += 1;
    send::enqueue(k, port, id, Step::Cache);
}

/// The task knows the port of the messages in a chain by another name; null: by none.
pub fn rename(messages: &mut Messages, first: MessageId, name: Name) {
    let mut next = Some(first);
    while let Some(slot) = next.and_then(|id| messages[id].cached_for.as_mut()) {
        pace(PER_LOOK);
        slot.name = name;
        next = slot.next;
    }
}

/// Frees the slot of a message that is cached no more. Returns the name to say of it; null
/// if the task has let that go.
fn free(k: &mut Kernel, slot: CacheSlot) -> Name {
    if let Some(next) = slot.next.and_then(|id| k.messages[id].cached_for.as_mut()) {
        next.previous = slot.previous;
    }
    if let Some(previous) = slot.previous.and_then(|id| k.messages[id].cached_for.as_mut()) {
        previous.next = slot.next;
    }
    let Some(task) = k.tasks.get_mut(slot.task) else { return Name::NULL };
    let Some(held) = task.space.held_slot(slot.name) else { return Name::NULL };
    let entry = task.space.entry_mut(held);
    if slot.previous.is_none() {
        entry.cached = slot.next;
    }
    let name = if entry.is_let_go() { Name::NULL } else { slot.name };
    right::clean(k, slot.task, held);
    name
}

/// Tells a task what became of the message that the kernel cached for it, which has left its
/// queue. Nobody may be waiting for the notice: then it is kept in that message's place, at
/// its cost, so that it can always be kept.
pub fn tell(k: &mut Kernel, slot: CacheSlot, left: &Message, kind: Kind, id: u32) {
    message::release_body(&mut k.vm, &mut k.accounts, left);
    let name = free(k, slot);
    let notify = k.tasks.get(slot.task).map(|task| task.notify_port);
    let Some(port) = notify.filter(|port| living(&k.ports, *port).is_some()) else {
        message::release_place(&mut k.accounts, left);
        return;
    };
    let notification = Notification { name, count: id };
    let mut envelope = Envelope::from_kernel(k.next_number(), kind as u32, size_of::<Notification>());
    envelope.destination.right = CarriedRight::SendOnce(port, None);
    let source = Source::Kernel(notification.as_bytes());
    if receive::offer_kept(k, port, &mut envelope, source) {
        message::release_place(&mut k.accounts, left);
        return;
    }
    let id = message::keep_in_place(&mut k.messages, left, envelope, notification.as_bytes());
    send::enqueue(k, port, id, Step::Notify);
}

/// Takes the message in a slot out of the queue and writes it into the task's memory, as it
/// could be sent again. Returns its size.
///
/// # Errors
/// As `port::port_cached_take_back` says; nothing has changed then.
pub fn take_back(k: &mut Kernel, task: TaskId, name: Name, thread: Option<ThreadId>, to: Buffer) -> Result<u32> {
    let id = look(k, task, name, thread)?;
    let (window, room) = open_for(k, task, id, to)?;
    // Nothing below may fail.
    let port = send::port_of(&k.messages[id].envelope.destination).ok_or(Error::Failure)?;
    k.trace_message(Step::TakeBack, id, port, None);
    let Kernel { ports, messages, .. } = k;
    ports[port].queue.remove(messages, id);
    ports[port].cached -= 1;
    let mut message = k.messages.remove(id).ok_or(Error::Failure)?;
    if let Some(slot) = message.cached_for {
        free(k, slot);
    }
    let size = restore(k, task, name, &mut message, &window, room);
    message::release(&mut k.vm, &mut k.accounts, &message);
    send::admit(k, port);
    Ok(size)
}

/// Puts another message in the place of the one in a slot, which is taken back. Returns the
/// size of that.
///
/// # Errors
/// As `port::port_cached_replace` says; nothing has changed then.
pub fn replace(
    k: &mut Kernel,
    task: TaskId,
    name: Name,
    thread: Option<ThreadId>,
    from: Buffer,
    to: Buffer,
) -> Result<u32> {
    let id = look(k, task, name, thread)?;
    let destination = k.messages[id].envelope.destination.right;
    let half = call::Send { address: from.address, size: from.size, timeout: 0 };
    let new = send::keep_for(k, task, name, destination, &half)?;
    let (window, room) = match open_for(k, task, id, to) {
        Ok(opened) => opened,
        Err(error) => {
            send::return_message(k, task, new);
            return Err(error);
        }
    };
    // Nothing below may fail.
    let Some(new) = k.messages.remove(new) else { return Err(Error::Failure) };
    send::let_go(k, task, &new.envelope);
    let place = &mut k.messages[id];
    let (queue, cached_for) = (core::mem::take(&mut place.queue), place.cached_for);
    let mut old = core::mem::replace(place, Message { queue, cached_for, ..new });
    if let Some(port) = send::port_of(&k.messages[id].envelope.destination) {
        k.trace_message(Step::Cache, id, port, None);
    }
    let size = restore(k, task, name, &mut old, &window, room);
    message::release(&mut k.vm, &mut k.accounts, &old);
    // Last, as the buffer may lie there.
    let enclosures = core::mem::take(&mut k.messages[id].envelope.enclosures);
    send::unmap_moved(k, task, &enclosures);
    k.messages[id].envelope.enclosures = enclosures;
    Ok(size)
}

/// Sees that a cached message can go back to its sender: opens the window on the buffer, and
/// reserves room for what it brings out of line.
fn open_for(k: &mut Kernel, task: TaskId, id: MessageId, to: Buffer) -> Result<(Window, Option<Reserved>)> {
    let envelope = &k.messages[id].envelope;
    let (size, rights) = (envelope.size(), envelope.rights.len() as u32);
    if (to.size as usize) < size {
        return Err(Error::NoSpace);
    }
    if !to.address.is_multiple_of(MESSAGE_ALIGN as u64) {
        return Err(Error::InvalidAddress);
    }
    let mut window = Window::default();
    let Kernel { vm, accounts, tasks, messages, .. } = k;
    let task = &mut tasks[task];
    window.open(vm, accounts, &mut task.map, to.address, size, Access::Write)?;
    task.space.reserve(accounts, rights + 1)?;
    let copies = message::copies(&messages[id].envelope.enclosures);
    if copies.clone().next().is_none() {
        return Ok((window, None));
    }
    let room = MapCopy::reserve(copies, vm, accounts, &mut task.map, Place::Anywhere)?;
    Ok((window, Some(room)))
}

/// Writes a message as its sender could send it again, and puts its rights and memory back.
fn restore(
    k: &mut Kernel,
    task: TaskId,
    name: Name,
    message: &mut Message,
    window: &Window,
    mut room: Option<Reserved>,
) -> u32 {
    let Message { envelope, body, .. } = message;
    let count = envelope.descriptors as usize;
    let offset = message::body_offset(count);
    message::copy_body(&mut k.vm.memory, Source::Kept(body), offset, envelope.body_size, window, offset);
    let mut rights = envelope.rights.iter();
    let mut enclosures = envelope.enclosures.iter_mut().peekable();
    for number in 0..count {
        let descriptor = match enclosures.next_if(|enclosure| enclosure.descriptor == number) {
            Some(enclosure) => restore_enclosure(k, task, enclosure, &mut rights, &mut room),
            None => rights.next().map_or(Descriptor::default(), |carried| restore_right(k, task, carried)),
        };
        window.write(&mut k.vm.memory, message::body_offset(number), descriptor.as_bytes());
    }
    let reply = restore_right(k, task, &envelope.reply);
    if envelope.destination.is_moved()
        && let Some(port) = send::port_of(&envelope.destination)
    {
        // The reference that it was sent through is made anew.
        k.ports[port].send_rights += 1;
        right::insert(k, task, CarriedRight::Send(port));
    }
    let size = offset + envelope.body_size;
    let header = Header {
        bits: Header::bits_of(Disposition::CopySend as u8, reply.disposition),
        size: size as u32,
        remote: name,
        local: reply.name,
        id: envelope.id,
        descriptors: envelope.descriptors,
    };
    window.write(&mut k.vm.memory, 0, header.as_bytes());
    header.size
}

/// Places memory, and the names of an array, in the task's map anew: what was there may be gone,
/// or have changed since.
fn restore_enclosure<'a>(
    k: &mut Kernel,
    task: TaskId,
    enclosure: &mut Enclosure,
    rights: &mut impl Iterator<Item = &'a Carried>,
    room: &mut Option<Reserved>,
) -> Descriptor {
    pace(PER_ENCLOSURE);
    let memory = enclosure.memory.take();
    let size = memory.as_ref().map_or(0, MapCopy::size);
    let mut how = None;
    if let (Content::Rights(count, _), Some(page)) = (&enclosure.content, &memory) {
        for (place, carried) in rights.take(*count).enumerate() {
            how = how.or(carried.how);
            let name = restore_right(k, task, carried).name;
            page.write(&mut k.vm, place * size_of::<Name>(), name.as_bytes());
        }
    }
    let address = match (memory, room) {
        (Some(memory), Some(room)) => {
            let Kernel { vm, accounts, tasks, .. } = k;
            memory.place(vm, accounts, &mut tasks[task].map, room, receive::OUT_OF_LINE)
        }
        _ => 0,
    };
    match enclosure.content {
        Content::Bytes(_) => Descriptor::memory(address, size, Descriptor::MOVE),
        Content::Rights(count, kind) => Descriptor::ports(address, count as u64, how.unwrap_or(moving(kind)) as u8),
    }
}

/// How a right of a kind is moved: for an array in which no right is left, or none was.
fn moving(kind: RightKind) -> Disposition {
    match kind {
        RightKind::Receive => Disposition::MoveReceive,
        RightKind::SendOnce => Disposition::MoveSendOnce,
        RightKind::Send | RightKind::PortSet | RightKind::DeadName => Disposition::MoveSend,
    }
}

/// Puts a right back that a message has taken: under its old name, if that is vacant and the
/// task does not know the port by another. One that was copied or made is no more.
fn restore_right(k: &mut Kernel, task: TaskId, carried: &Carried) -> Descriptor {
    pace(PER_RIGHT);
    let Some(how) = carried.how else {
        let dead = matches!(carried.right, CarriedRight::Dead(_));
        return if dead { Descriptor::port(Name::DEAD, Disposition::CopySend as u8) } else { Descriptor::default() };
    };
    let name = if carried.is_moved() {
        right::insert_as(k, task, carried.right, carried.from).unwrap_or_else(|_| right::insert(k, task, carried.right))
    } else {
        right::give_back(k, task, *carried);
        carried.from
    };
    Descriptor::port(name, how as u8)
}
