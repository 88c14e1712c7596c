//! Death: what happens when a port's receive right is gone.
//!
//! A port is *buried*: from then on nothing can be sent to it. It is *cleared away*
//! before any user code runs again: waiting threads are told, names turned into dead names,
//! and each task that held a send right told on its notify port, or as it asked. Its queued
//! messages are *doomed*: nobody sees them any more, and they are destroyed a little later. A port with a
//! backup is not buried: its receive right is sent there. Rights destroyed on the way may bury further ports;
//! those wait in line, so the kernel's stack does not grow with them.
//!
//! Invariant: when user code runs, no dead port exists. Notices are kept in the
//! names they are about, so telling needs no memory.
//! Neighbours: `clear` (which does this in pieces), `right`, `receive` (which receives the notices).

use super::message::{self, Enclosure, Envelope, MessageId, Rights};
use super::port::{Holder, InGraveyard, KernelObject, Owner, Port, PortId};
use super::space::Right;
use super::{cached, interrupt, pager, receive, request, right, send, set};
use crate::kernel::Kernel;
use crate::list::List;
use crate::piece::{HEAP, Units};
use crate::task::TaskId;
use crate::task::account::Resource;
use crate::task::thread::Completion;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use portolan_abi::interrupt::INTERRUPT;
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::pager::{PAGE_REQUEST, PageRequest};
use portolan_abi::trace::Step;
use portolan_abi::{Error, Name};
use portolan_machine::pace;
use zerocopy::{Immutable, IntoBytes};

/// The inline bytes of what the kernel says by itself.
pub type NoticeBody = ArrayVec<u8, { size_of::<PageRequest>() }>;

/// How many those will be.
pub fn notice_size(port: &Port) -> usize {
    let asks = port.notices.interrupts.is_none() && !port.pagers.asking.is_empty();
    if asks { size_of::<PageRequest>() } else { size_of::<Notification>() }
}

/// Instructions that destroying a right takes, apart from clearing away what it ends.
const PER_RIGHT: u32 = 300;

/// The ports that are to be cleared away.
pub type Graveyard = List<Port, InGraveyard>;

/// Ends a port.
pub fn bury(k: &mut Kernel, id: PortId) {
    let Kernel { ports, graveyard, clearing, vm, accounts, .. } = k;
    let Some(port) = ports.get_mut(id).filter(|port| port.is_alive()) else { return };
    if let Some(request) = port.destroyed {
        return request::save(k, request, id);
    }
    set::leave(ports, id);
    let port = &mut ports[id];
    let owner = core::mem::replace(&mut port.owner, Owner::Dead);
    graveyard.push_back(ports, id);
    clearing.added = true;
    match owner {
        Owner::Kernel(KernelObject::Memory(object, _)) => {
            vm.objects[object].ports -= 1;
            vm.release_object(accounts, object);
        }
        Owner::Kernel(KernelObject::Pager(id)) => pager::end(k, id),
        Owner::Kernel(KernelObject::Interrupt(line)) => interrupt::unbind(k, line),
        Owner::Kernel(KernelObject::IoPorts(range)) => k.release_io(range),
        _ => {}
    }
}

/// What a message brought that is destroyed, in its own order from the end.
#[derive(Default)]
pub struct Contents {
    /// Rights.
    pub rights: Rights,
    /// Memory.
    pub enclosures: Vec<Enclosure>,
}

impl Contents {
    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.rights.is_empty() && self.enclosures.is_empty()
    }
}

/// Clears one thing away of a dead port, and in the end the port.
pub fn clear_port(k: &mut Kernel, id: PortId) -> Units {
    let port = &k.ports[id];
    if let Some(thread) = port.senders.first() {
        send::fail(k, thread, Error::SendInvalidPort);
    } else if let Some(thread) = port.receivers.first() {
        receive::finish_waiting(k, thread, Completion::failure(Error::ReceivePortDied));
    } else if !port.queue.is_empty() {
        doom_queue(k, id);
    } else if let Some(pager) = port.pagers.first() {
        pager::lose_port(k, pager);
    } else if let Some(member) = port.members.first() {
        set::leave(&mut k.ports, member);
    } else if let Some(request) = port.hopes.first() {
        request::end_hope(k, id, request);
    } else if let Some(holder) = port.holders {
        make_dead(k, id, holder);
    } else {
        remove_port(k, id);
    }
    Units::ONE
}

/// All messages in a port's queue are to be destroyed.
fn doom_queue(k: &mut Kernel, id: PortId) {
    let Kernel { ports, messages, clearing, .. } = k;
    let port = &mut ports[id];
    clearing.doomed.append(messages, &mut port.queue);
    port.cached = 0;
}

fn remove_port(k: &mut Kernel, id: PortId) {
    k.graveyard.remove(&mut k.ports, id);
    interrupt::forget_port(k, id);
    if let Some(request) = k.ports[id].no_senders {
        request::discard(k, request);
    }
    let Some(port) = k.ports.remove(id) else { return };
    k.accounts.credit(port.account, Resource::Ports, 1);
    k.accounts.credit(port.account, Resource::Memory, super::port::PORT_COST);
}

/// Destroys a doomed message. What it brought is next.
pub fn destroy(k: &mut Kernel, id: MessageId) -> Units {
    if let Some(port) = send::port_of(&k.messages[id].envelope.destination) {
        k.trace_message(Step::Die, id, port, None);
    }
    let mut envelope = core::mem::replace(&mut k.messages[id].envelope, Envelope::from_kernel(0, 0, 0));
    let Kernel { vm, accounts, messages, clearing, .. } = k;
    message::free(vm, accounts, messages, id);
    envelope.rights.reverse();
    clearing.contents = Contents { rights: envelope.rights, enclosures: envelope.enclosures };
    right::discard(k, envelope.reply.right);
    HEAP
}

/// Destroys one of the rights that a message brought, or one piece of memory.
pub fn destroy_contents(k: &mut Kernel) -> Units {
    let Contents { rights, enclosures } = &mut k.clearing.contents;
    let (right, enclosure) = (rights.pop(), if rights.is_empty() { enclosures.pop() } else { None });
    if k.clearing.contents.is_empty() {
        k.clearing.contents = Contents::default();
    }
    if let Some(carried) = right {
        right::discard(k, carried.right);
    }
    match enclosure.and_then(|enclosure| enclosure.memory) {
        Some(memory) => {
            memory.discard(&mut k.vm, &mut k.accounts);
            HEAP
        }
        None => Units::ONE,
    }
}

/// Destroys the reply right and all that descriptors bring.
pub fn discard_contents(k: &mut Kernel, envelope: &mut Envelope) {
    right::discard(k, envelope.reply.right);
    discard_rights(k, core::mem::take(&mut envelope.rights));
    message::discard_memory(&mut k.vm, &mut k.accounts, &mut envelope.enclosures);
}

/// Destroys rights that a message brought.
pub fn discard_rights(k: &mut Kernel, rights: Rights) {
    for carried in rights {
        pace(PER_RIGHT);
        right::discard(k, carried.right);
    }
}

/// Turns the first name of a dead port into a dead name, and has its task told.
fn make_dead(k: &mut Kernel, port: PortId, holder: Holder) {
    let space = &mut k.tasks[holder.task].space;
    let entry = space.entry_mut(holder.slot);
    if let Some(message) = entry.cached.take() {
        cached::rename(&mut k.messages, message, Name::NULL);
    }
    let next = entry.next.take();
    space.make_dead(holder.slot);
    k.ports[port].holders = next;
    if let Some(next) = next {
        k.tasks[next.task].space.entry_mut(next.slot).previous = None;
    }
    let entry = k.tasks[holder.task].space.entry(holder.slot);
    if entry.is_spent() {
        right::remove(k, holder);
    } else if matches!(entry.right, Right::Dead(1..)) {
        tell(k, holder);
    }
}

/// Tells of a dead name: as somebody has asked, else on its task's notify port.
pub fn tell(k: &mut Kernel, holder: Holder) {
    match k.tasks[holder.task].space.entry(holder.slot).request {
        Some(request) => request::name_died(k, request),
        None => add_notice(k, holder),
    }
}

/// Puts a dead name last in its task's line of notices.
fn add_notice(k: &mut Kernel, holder: Holder) {
    let task = &mut k.tasks[holder.task];
    let notify = task.notify_port;
    if super::port::living(&k.ports, notify).is_none() {
        return;
    }
    let last = task.space.notices.1.replace(holder.slot);
    let entry = task.space.entry_mut(holder.slot);
    entry.notice = true;
    entry.next = None;
    entry.previous = last.map(|slot| Holder { slot, ..holder });
    match last {
        Some(last) => task.space.entry_mut(last).next = Some(holder),
        None => task.space.notices.0 = Some(holder.slot),
    }
    receive::offer_notice(k, notify);
}

/// Takes a dead name out of its task's line of notices.
pub fn withdraw_notice(k: &mut Kernel, holder: Holder) {
    let space = &mut k.tasks[holder.task].space;
    let entry = space.entry_mut(holder.slot);
    let (next, previous) = (entry.next.take(), entry.previous.take());
    entry.notice = false;
    match previous {
        Some(previous) => space.entry_mut(previous.slot).next = next,
        None => space.notices.0 = next.map(|next| next.slot),
    }
    match next {
        Some(next) => space.entry_mut(next.slot).previous = previous,
        None => space.notices.1 = previous.map(|previous| previous.slot),
    }
}

/// Takes the next thing that the kernel has to say to the receiver of a port: its message's
/// id and body. An interrupt comes first: a device waits for it.
pub fn next_notice(k: &mut Kernel, port: PortId) -> Option<(u32, NoticeBody)> {
    let told = |kind: Kind, name| (kind as u32, body(&Notification { name, count: 0 }));
    if let Some(arrived) = interrupt::take(k, port) {
        return Some((INTERRUPT, body(&arrived)));
    }
    if let Some(request) = pager::take(k, port) {
        return Some((PAGE_REQUEST, body(&request)));
    }
    let notices = &mut k.ports[port].notices;
    if notices.send_once > 0 {
        notices.send_once -= 1;
        return Some(told(Kind::SendOnce, Name::NULL));
    }
    let task: TaskId = notices.dead_names_of?;
    let space = &k.tasks.get(task)?.space;
    let slot = space.notices.0?;
    let name = space.name(slot);
    withdraw_notice(k, Holder { task, slot });
    Some(told(Kind::DeadName, name))
}

fn body<T: IntoBytes + Immutable>(notice: &T) -> NoticeBody {
    notice.as_bytes().iter().copied().take(size_of::<PageRequest>()).collect()
}
