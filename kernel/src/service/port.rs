//! Routines on a task's ports and names, behind its kernel port. Reference: `abi::port`.

use super::Answer;
use crate::ipc::cached::{self, Buffer};
use crate::ipc::message::{CarriedRight, Rights};
use crate::ipc::port::{KernelObject, Owner};
use crate::ipc::space::Right;
use crate::ipc::{self, PortId, request, right, send, set};
use crate::kernel::Kernel;
use crate::task::{AccountId, TaskId, ThreadId};
use portolan_abi::notification::Kind;
use portolan_abi::port::{MEMBERS_MAX, NAMES_MAX, NameType, Request, Status, arguments, results};
use portolan_abi::{AtFull, Capacity, Disposition, Error, Generation, Name, Result, RightKind};
use portolan_machine::pace;

pub(super) fn handle(
    k: &mut Kernel,
    target: TaskId,
    payer: AccountId,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::PortStatus(request) => {
            let port = right::receive_right(k, target, request.name)?;
            answer.results(&results::PortStatus { status: status(k, port) });
        }
        Request::PortSetBacklog(request) => {
            let port = right::receive_right(k, target, request.name)?;
            ipc::set_capacity(k, port, Capacity::from_code(request.capacity)?);
        }
        Request::PortInsertRight(request) => insert_right(k, target, request.name, rights, answer)?,
        Request::PortType(request) => {
            let kind = right::describe(k, target, request.name)?;
            answer.results(&results::PortType { kind });
        }
        Request::PortModRefs(request) => modify_references(k, target, &request)?,
        Request::PortAllocate(request) => {
            let name = ipc::allocate(k, target, Name::NULL, Capacity::from_code(request.capacity)?)?;
            answer.results(&results::PortAllocate { name, reserved: 0 });
        }
        Request::PortDeallocate(request) => right::deallocate(k, target, request.name)?,
        Request::PortAllocateName(request) => {
            let name = allocate_name(k, target, &request)?;
            answer.results(&results::PortAllocateName { name, reserved: 0 });
        }
        Request::PortDestroy(request) => right::destroy(k, target, request.name)?,
        Request::PortGetRefs(request) => {
            let references = right::references(k, target, request.name, kind(request.kind)?)?;
            answer.results(&results::PortGetRefs { references, reserved: 0 });
        }
        Request::PortNames(request) => answer.results(&names(k, target, request.first)),
        Request::PortRename(request) => right::rename(k, target, request.old, request.new)?,
        Request::PortExtractRight(request) => {
            let how = u8::try_from(request.disposition).ok().and_then(Disposition::from_code);
            answer.right(right::extract(k, target, request.name, how.ok_or(Error::InvalidValue)?, answer.to)?);
        }
        Request::PortSetSeqno(request) => {
            let port = right::receive_right(k, target, request.name)?;
            k.ports[port].sequence = request.sequence;
        }
        Request::PortSetMscount(request) => {
            let port = right::receive_right(k, target, request.name)?;
            k.ports[port].make_send_count = request.count;
            request::check_senders(k, port);
        }
        Request::PortRequestNotification(wanted) => {
            let kind = Kind::from_id(wanted.kind).ok_or(Error::InvalidValue)?;
            let notify = ask_through(rights, |right| matches!(right, CarriedRight::SendOnce(..)))?;
            answer.right(request::arm(k, payer, target, wanted.name, kind, wanted.sync, notify)?);
            rights.clear();
        }
        Request::PortCancelNotification(wanted) => {
            let kind = Kind::from_id(wanted.kind).ok_or(Error::InvalidValue)?;
            answer.right(request::cancel(k, target, wanted.name, kind)?);
        }
        Request::PortSetBackup(wanted) => {
            let backup = ask_through(rights, |right| matches!(right, CarriedRight::Send(_)))?;
            answer.right(match backup {
                CarriedRight::Null => request::cancel(k, target, wanted.name, Kind::PortDestroyed)?,
                _ => request::arm(k, payer, target, wanted.name, Kind::PortDestroyed, 0, backup)?,
            });
            rights.clear();
        }
        Request::PortMoveMember(request) => move_member(k, target, request.member, request.set)?,
        Request::PortGetSetStatus(request) => {
            let set = right::port_set(k, target, request.set)?;
            answer.results(&members(k, target, set, request.first));
        }
        Request::PortSetProtectedPayload(request) => {
            let port = right::receive_right(k, target, request.name)?;
            k.ports[port].payload = Some(request.payload);
        }
        Request::PortClearProtectedPayload(request) => {
            let port = right::receive_right(k, target, request.name)?;
            k.ports[port].payload = None;
        }
        Request::PortSetFull(request) => {
            let port = right::receive_right(k, target, request.name)?;
            send::set_full(k, port, AtFull::from_code(request.answer)?);
        }
        Request::PortSetGeneration(request) => set_generation(k, target, &request)?,
        Request::PortCached(request) => {
            let thread = slot_of(k, target, request.thread)?;
            let message = cached::look(k, target, request.name, thread)?;
            let envelope = &k.messages[message].envelope;
            let (number, size, id) = (envelope.number, envelope.size() as u32, envelope.id);
            answer.results(&results::PortCached { number, size, id });
        }
        Request::PortCachedTakeBack(request) => {
            let thread = slot_of(k, target, request.thread)?;
            let to = Buffer { address: request.address, size: request.room };
            let size = cached::take_back(k, target, request.name, thread, to)?;
            answer.results(&results::PortCachedTakeBack { size, reserved: 0 });
        }
        Request::PortCachedReplace(request) => {
            let thread = slot_of(k, target, request.thread)?;
            let from = Buffer { address: request.address, size: request.size };
            let to = Buffer { address: request.old, size: request.room };
            let size = cached::replace(k, target, request.name, thread, from, to)?;
            answer.results(&results::PortCachedReplace { size, reserved: 0 });
        }
    }
    Ok(())
}

fn move_member(k: &mut Kernel, target: TaskId, member: Name, set: Name) -> Result<()> {
    let port = right::receive_right(k, target, member)?;
    if set != Name::NULL {
        let set = right::port_set(k, target, set)?;
        set::add(k, port, set);
    } else if k.ports[port].set.is_some() {
        set::leave(&mut k.ports, port);
    } else {
        return Err(Error::NotInSet);
    }
    Ok(())
}

fn set_generation(k: &mut Kernel, target: TaskId, request: &arguments::PortSetGeneration) -> Result<()> {
    let generation = Generation::from_code(request.generation)?;
    let entry = k.tasks[target].space.lookup(request.name)?;
    match entry.right {
        Right::Port { sends: 1.., .. } => entry.behaves = generation,
        _ => return Err(Error::InvalidRight),
    }
    Ok(())
}

/// The thread whose cached message is meant; `None`: the task's.
fn slot_of(k: &Kernel, target: TaskId, thread: Name) -> Result<Option<ThreadId>> {
    if thread == Name::NULL {
        return Ok(None);
    }
    let space = &k.tasks[target].space;
    let Right::Port { port, sends: 1.., .. } = space.entry(space.slot(thread)?).right else {
        return Err(Error::InvalidRight);
    };
    match k.ports[port].owner {
        Owner::Kernel(KernelObject::Thread(thread)) => Ok(Some(thread)),
        _ => Err(Error::InvalidRight),
    }
}

/// The right that a notification is to go through: null, or one that is `fit`.
pub(super) fn ask_through(rights: &Rights, fit: impl Fn(CarriedRight) -> bool) -> Result<CarriedRight> {
    match rights.last().map_or(CarriedRight::Null, |carried| carried.right) {
        CarriedRight::Null => Ok(CarriedRight::Null),
        right if fit(right) => Ok(right),
        _ => Err(Error::InvalidCapability),
    }
}

fn kind(code: u32) -> Result<RightKind> {
    u8::try_from(code).ok().and_then(RightKind::from_code).ok_or(Error::InvalidValue)
}

fn allocate_name(k: &mut Kernel, target: TaskId, request: &arguments::PortAllocateName) -> Result<Name> {
    let capacity = Capacity::from_code(request.capacity)?;
    match (kind(request.kind)?, capacity) {
        (RightKind::Receive, _) => ipc::allocate(k, target, request.name, capacity),
        (RightKind::PortSet, Capacity::Zero) => set::allocate(k, target, request.name),
        (RightKind::DeadName, Capacity::Zero) => right::allocate_dead_name(k, target, request.name),
        _ => Err(Error::InvalidValue),
    }
}

/// Slots that one request looks at, at most.
const SLOTS_MAX: u32 = 1024;
/// Instructions that looking at one takes.
const PER_SLOT: u32 = 80;

/// What the names in slots from `first` on stand for, as many as one reply takes.
fn names(k: &mut Kernel, target: TaskId, first: u32) -> results::PortNames {
    let (mut names, mut count) = ([NameType::default(); NAMES_MAX], 0);
    let next = each_name(k, target, first, |k, name| {
        let Ok(named) = right::describe(k, target, name) else { return true };
        let room = count < NAMES_MAX;
        if room {
            names[count] = named;
            count += 1;
        }
        room
    });
    results::PortNames { next, count: count as u32, names }
}

/// The members of a set in slots from `first` on, as many as one reply takes.
fn members(k: &mut Kernel, target: TaskId, set: PortId, first: u32) -> results::PortGetSetStatus {
    let (mut members, mut count) = ([Name::NULL; MEMBERS_MAX], 0);
    let next = each_name(k, target, first, |k, name| {
        let member = right::receive_right(k, target, name).is_ok_and(|port| k.ports[port].set == Some(set));
        if member && count == MEMBERS_MAX {
            return false;
        }
        if member {
            members[count] = name;
            count += 1;
        }
        true
    });
    results::PortGetSetStatus { next, count: count as u32, members }
}

/// Looks at the names in slots from `first` on, not too many, while `look` has room for
/// more. Returns the slot to go on with, 0 after the last.
fn each_name(k: &mut Kernel, target: TaskId, first: u32, mut look: impl FnMut(&mut Kernel, Name) -> bool) -> u32 {
    let slots = k.tasks[target].space.slots();
    let end = slots.min(first.saturating_add(SLOTS_MAX));
    for slot in first.max(1)..end {
        pace(PER_SLOT);
        let name = k.tasks[target].space.name(slot);
        if !look(k, name) {
            return slot;
        }
    }
    if end < slots { end } else { 0 }
}

fn status(k: &Kernel, id: ipc::PortId) -> Status {
    let port = &k.ports[id];
    Status {
        capacity: port.capacity.code(),
        messages: port.queue.len(),
        cached: port.cached,
        senders: port.senders.len(),
        receivers: port.receivers.len(),
        send_rights: port.send_rights,
        send_once_rights: port.send_once_rights,
        make_send_count: port.make_send_count,
        sequence: port.sequence,
        requests: u32::from(port.no_senders.is_some()) * Status::NO_SENDERS
            + u32::from(port.destroyed.is_some()) * Status::PORT_DESTROYED,
        set: port.set.map_or(Name::NULL, |set| k.ports[set].name()),
        payload: port.payload.unwrap_or(0),
        refused: port.overflows.refused,
        dropped_oldest: port.overflows.dropped_oldest,
        dropped_newest: port.overflows.dropped_newest,
        replaced: port.overflows.replaced,
        at_full: port.at_full.code(),
        reserved: 0,
    }
}

fn insert_right(k: &mut Kernel, target: TaskId, wanted: Name, rights: &mut Rights, answer: &mut Answer) -> Result<()> {
    let carried = rights.last().map_or(CarriedRight::Null, |carried| carried.right);
    let name = right::insert_as(k, target, carried, wanted)?;
    rights.pop();
    answer.results(&results::PortInsertRight { name, reserved: 0 });
    Ok(())
}

fn modify_references(k: &mut Kernel, target: TaskId, request: &arguments::PortModRefs) -> Result<()> {
    let kind = kind(request.kind)?;
    right::refresh(k, target, request.name)?;
    right::modify_references(k, target, request.name, kind, request.delta)
}
