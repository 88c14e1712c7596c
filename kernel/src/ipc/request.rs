//! Requests for notifications: dead name, send possible, no senders, port destroyed, unmapped.
//!
//! A request is its notification, made and paid for when it is asked for: a message in
//! no queue, whose destination is the right it will go through. So asking can fail, and
//! telling cannot. When what it waits for comes, the request is *fired*: it joins the
//! line of what is due. That is *posted* before any user code runs again, since who
//! fires may be in the middle of a delivery.
//!
//! Invariant: a message with a request is known to what it is about, and to nothing
//! else; a name has one request at most, a port one of each kind, a memory object any number.
//! Neighbours: `death`, `right`, `send`, `receive` and `clear` fire; `port`, `space` and `vm` remember.

use super::message::{self, Body, Carried, CarriedRight, Envelope, MESSAGE_COST, Message, MessageId, Source};
use super::port::{Holder, Owner, PortId, living};
use super::receive;
use super::space::Right;
use super::{right, send, set};
use crate::kernel::Kernel;
use crate::piece::{HEAP, Units};
use crate::task::TaskId;
use crate::task::account::{AccountId, Resource};
use crate::vm::ObjectId;
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::trace::Step;
use portolan_abi::{Error, Name, Result};
use portolan_machine::pace;
use zerocopy::IntoBytes;

/// Instructions that firing a request takes.
const PER_FIRE: u32 = 200;

/// What makes a message a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// What is to be told.
    pub about: About,
    /// Whether it goes to a notify port because nobody said where.
    pub by_default: bool,
}

/// What a request waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// The port behind a name dies; or takes a message, if the kind says so.
    Name(Holder),
    /// A port has no send rights, and at least so many have been made.
    NoSenders(PortId, u32),
    /// A port's receive right would be destroyed.
    Destroyed(PortId),
    /// Nobody maps the object.
    Unmapped(ObjectId),
}

/// Asks for a notification about a name; what was asked for before, if anything, gives back its right.
///
/// # Errors
/// As `port::port_request_notification` says; nothing has changed then, and the right is
/// still the caller's.
pub fn arm(
    k: &mut Kernel,
    payer: AccountId,
    task: TaskId,
    name: Name,
    kind: Kind,
    sync: u32,
    through: CarriedRight,
) -> Result<CarriedRight> {
    let slot = right::refresh(k, task, name)?;
    let about = subject(k, Holder { task, slot }, kind, sync)?;
    let (through, by_default) = destination(k, task, through)?;
    let Kernel { messages, accounts, .. } = k;
    messages.reserve()?;
    accounts.charge(payer, Resource::Memory, MESSAGE_COST)?;
    // Nothing below may fail.
    let previous = known(k, about).map_or(CarriedRight::Null, |previous| disarm(k, previous));
    if let (true, CarriedRight::SendOnce(port, _)) = (by_default, through) {
        k.ports[port].add_send_once();
    }
    let id = k.messages.insert(blank(kind, payer, through, Request { about, by_default }))?;
    remember(k, about, id);
    fire_if_so_already(k, about, id);
    Ok(previous)
}

/// Asks for word of room at a full port, on the task's notify port; once is enough.
///
/// # Errors
/// `SendNotifyInProgress`: something else about the name has been asked for. `SendInvalidRight`:
/// the name has no send right, or there is no notify port. `SendNoBuffer`.
pub fn arm_send_possible(k: &mut Kernel, task: TaskId, name: Name) -> Result<()> {
    let space = &k.tasks[task].space;
    let asked = space.slot(name).ok().and_then(|slot| space.entry(slot).request);
    match asked.map(|id| k.messages[id].envelope.id) {
        Some(kind) if kind == Kind::SendPossible as u32 => return Ok(()),
        Some(_) => return Err(Error::SendNotifyInProgress),
        None => {}
    }
    let payer = k.tasks[task].account;
    let armed = arm(k, payer, task, name, Kind::SendPossible, 1, CarriedRight::Null);
    armed.map(drop).map_err(|error| match error {
        Error::ResourceShortage => Error::SendNoBuffer,
        _ => Error::SendInvalidRight,
    })
}

/// Asks to be told as soon as nobody maps an object.
///
/// # Errors
/// As `memory_object::notify_unmapped` says; the right is still the caller's then.
pub fn arm_unmapped(k: &mut Kernel, payer: AccountId, object: ObjectId, through: CarriedRight) -> Result<()> {
    require_receivable(k, through)?;
    let Kernel { messages, accounts, .. } = k;
    messages.reserve()?;
    accounts.charge(payer, Resource::Memory, MESSAGE_COST)?;
    // Nothing below may fail.
    let request = Request { about: About::Unmapped(object), by_default: false };
    let id = k.messages.insert(blank(Kind::Unmapped, payer, through, request))?;
    remember(k, request.about, id);
    fire_if_so_already(k, request.about, id);
    Ok(())
}

/// Tells one of those who wanted to know that nobody maps an object. With the last of them it may end.
pub fn tell_unmapped(k: &mut Kernel, object: ObjectId) -> Units {
    match k.vm.objects[object].watchers.first() {
        Some(request) => fire(k, request, Kind::Unmapped),
        None => k.vm.all_told(&mut k.accounts, object),
    }
    HEAP
}

/// Takes a request back, and returns the right it would have gone through, null if it
/// was the default.
///
/// # Errors
/// `InvalidName`, `InvalidRight` as for [`arm`].
pub fn cancel(k: &mut Kernel, task: TaskId, name: Name, kind: Kind) -> Result<CarriedRight> {
    let slot = right::refresh(k, task, name)?;
    let about = subject(k, Holder { task, slot }, kind, 1)?;
    Ok(known(k, about).map_or(CarriedRight::Null, |id| disarm(k, id)))
}

/// What a request for this kind of notification is about.
fn subject(k: &Kernel, holder: Holder, kind: Kind, sync: u32) -> Result<About> {
    match (kind, k.tasks[holder.task].space.entry(holder.slot).right) {
        (Kind::DeadName | Kind::SendPossible, Right::Dead(_)) if sync == 0 => Err(Error::InvalidArgument),
        (Kind::DeadName, Right::Port { .. } | Right::SendOnce { .. } | Right::Dead(_))
        | (Kind::SendPossible, Right::Port { sends: 1.., .. } | Right::Dead(_)) => Ok(About::Name(holder)),
        (Kind::NoSenders, Right::Port { port, receive: true, .. }) => Ok(About::NoSenders(port, sync)),
        (Kind::PortDestroyed, Right::Port { port, receive: true, .. }) => Ok(About::Destroyed(port)),
        (Kind::DeadName | Kind::SendPossible | Kind::NoSenders | Kind::PortDestroyed, _) => Err(Error::InvalidRight),
        (Kind::MessageAccepted | Kind::MessageDropped | Kind::SendOnce | Kind::PortDeleted | Kind::Unmapped, _) => {
            Err(Error::InvalidValue)
        }
    }
}

/// The right that a notification will go through; for null, one to the task's notify port, not yet counted.
fn destination(k: &Kernel, task: TaskId, through: CarriedRight) -> Result<(CarriedRight, bool)> {
    let (through, by_default) = match through {
        CarriedRight::Null => (CarriedRight::SendOnce(k.tasks[task].notify_port, None), true),
        through => (through, false),
    };
    require_receivable(k, through)?;
    Ok((through, by_default))
}

/// Sees that a task can receive what goes through a right.
fn require_receivable(k: &Kernel, through: CarriedRight) -> Result<()> {
    let port = match through {
        CarriedRight::SendOnce(port, _) | CarriedRight::Send(port) => living(&k.ports, port),
        CarriedRight::Null | CarriedRight::Dead(_) | CarriedRight::Receive(_) => None,
    };
    match port.map(|port| port.owner) {
        None | Some(Owner::Kernel(_)) => Err(Error::InvalidCapability),
        Some(_) => Ok(()),
    }
}

/// A notification of which only the kind is known.
fn blank(kind: Kind, payer: AccountId, through: CarriedRight, request: Request) -> Message {
    let mut envelope = Envelope::from_kernel(0, kind as u32, size_of::<Notification>());
    envelope.destination = Carried::from_kernel(through);
    Message { request: Some(request), ..Message::from_kernel(envelope, Notification::default().as_bytes(), payer) }
}

/// Where a request is remembered, if it is the only one there.
fn place(k: &mut Kernel, about: About) -> Option<&mut Option<MessageId>> {
    match about {
        About::Name(holder) => Some(&mut k.tasks.get_mut(holder.task)?.space.entry_mut(holder.slot).request),
        About::NoSenders(port, _) => Some(&mut k.ports.get_mut(port)?.no_senders),
        About::Destroyed(port) => Some(&mut k.ports.get_mut(port)?.destroyed),
        About::Unmapped(_) => None,
    }
}

fn known(k: &mut Kernel, about: About) -> Option<MessageId> {
    place(k, about).and_then(|place| *place)
}

fn remember(k: &mut Kernel, about: About, id: MessageId) {
    if let Some(place) = place(k, about) {
        *place = Some(id);
    }
    if let About::Unmapped(object) = about {
        k.vm.objects[object].watchers.push_back(&mut k.messages, id);
    }
    let About::Name(holder) = about else { return };
    let kind = k.messages[id].envelope.id;
    match k.tasks[holder.task].space.entry(holder.slot).right {
        // Only such send-once rights are known to their port.
        Right::SendOnce { port, .. } => right::add_holder(k, port, holder),
        Right::Port { port, .. } if kind == Kind::SendPossible as u32 => {
            let Kernel { ports, messages, .. } = k;
            ports[port].hopes.push_back(messages, id);
            set::note(ports, port);
        }
        _ => {}
    }
}

/// Takes a request out of where it is remembered.
fn forget(k: &mut Kernel, id: MessageId) {
    let Some(Request { about, .. }) = k.messages[id].request.take() else { return };
    if let About::Name(holder) = about
        && let Some(task) = k.tasks.get(holder.task)
    {
        match task.space.entry(holder.slot).right {
            Right::SendOnce { .. } => right::unlink(k, holder),
            Right::Port { port, .. } if k.messages[id].envelope.id == Kind::SendPossible as u32 => {
                let Kernel { ports, messages, .. } = k;
                ports[port].hopes.remove(messages, id);
            }
            _ => {}
        }
    }
    if let About::Unmapped(object) = about {
        k.vm.objects[object].watchers.remove(&mut k.messages, id);
    }
    if let Some(place) = place(k, about) {
        *place = None;
    }
}

/// Ends a request that was not fired, and gives back the right it would have gone through.
fn disarm(k: &mut Kernel, id: MessageId) -> CarriedRight {
    let by_default = k.messages[id].request.is_some_and(|request| request.by_default);
    forget(k, id);
    let through = k.messages[id].envelope.destination.right;
    let Kernel { vm, accounts, messages, .. } = k;
    message::free(vm, accounts, messages, id);
    match through {
        CarriedRight::SendOnce(port, _) if by_default => {
            right::use_send_once(k, port);
            CarriedRight::Null
        }
        _ => through,
    }
}

/// Ends a request about a port that has died: nobody can be told what was asked for, but
/// a send-once right still tells its own port.
pub fn discard(k: &mut Kernel, id: MessageId) {
    let through = disarm(k, id);
    right::discard(k, through);
}

/// What was asked for may be so already.
fn fire_if_so_already(k: &mut Kernel, about: About, id: MessageId) {
    match about {
        About::NoSenders(port, _) => check_senders(k, port),
        About::Destroyed(_) => {}
        About::Unmapped(object) => {
            k.vm.note_unmapped(object);
            k.clearing.added |= !k.vm.unmapped.is_empty();
        }
        About::Name(holder) => match k.tasks[holder.task].space.entry(holder.slot).right {
            Right::Dead(_) => fire(k, id, Kind::DeadName),
            Right::Port { port, .. } if receive::takes_one(k, port) => fulfil_hopes(k, port),
            _ => {}
        },
    }
}

/// Tells that a port has no senders, if that is so and somebody asked.
pub fn check_senders(k: &mut Kernel, id: PortId) {
    let Some(port) = living(&k.ports, id) else { return };
    let Some(request) = port.no_senders else { return };
    let count = port.make_send_count;
    let Some(Request { about: About::NoSenders(_, sync), .. }) = k.messages[request].request else { return };
    if port.send_rights == 0 && count >= sync {
        fire_with(k, request, Kind::NoSenders, count);
    }
}

/// Tells all who wanted to know that a port takes a message.
#[cold]
pub fn fulfil_hopes(k: &mut Kernel, port: PortId) {
    while let Some(request) = k.ports[port].hopes.first() {
        pace(PER_FIRE);
        fire(k, request, Kind::SendPossible);
    }
}

/// Who hoped for room at a port that has died will hear of its death instead.
pub fn end_hope(k: &mut Kernel, port: PortId, id: MessageId) {
    let Kernel { ports, messages, .. } = k;
    ports[port].hopes.remove(messages, id);
    messages[id].envelope.id = Kind::DeadName as u32;
}

/// A name with a request goes for another reason than the one asked about.
pub fn name_deleted(k: &mut Kernel, id: MessageId) {
    fire(k, id, Kind::PortDeleted);
}

/// A name with a request has become a dead name.
pub fn name_died(k: &mut Kernel, id: MessageId) {
    fire(k, id, Kind::DeadName);
}

/// A port's receive right, instead of being destroyed, goes where its backup is.
pub fn save(k: &mut Kernel, id: MessageId, port: PortId) {
    fire(k, id, Kind::PortDestroyed);
    right::leave_receiver(k, port);
    k.messages[id].envelope.enclose(CarriedRight::Receive(port));
}

/// The entry of a name with a request is elsewhere now.
pub fn moved(k: &mut Kernel, id: MessageId, holder: Holder) {
    if let Some(request) = &mut k.messages[id].request {
        request.about = About::Name(holder);
    }
}

fn fire(k: &mut Kernel, id: MessageId, kind: Kind) {
    fire_with(k, id, kind, 0);
}

fn fire_with(k: &mut Kernel, id: MessageId, kind: Kind, count: u32) {
    let about = k.messages[id].request.map(|request| request.about);
    let name = match about {
        Some(About::Name(holder)) => k.tasks[holder.task].space.name(holder.slot),
        Some(About::NoSenders(port, _) | About::Destroyed(port)) => k.ports[port].name(),
        Some(About::Unmapped(_)) | None => Name::NULL,
    };
    forget(k, id);
    let number = k.next_number();
    let message = &mut k.messages[id];
    message.envelope.number = number;
    message.envelope.id = kind as u32;
    message.body = Body::Inline(Notification { name, count }.as_bytes().iter().copied().collect());
    let Kernel { messages, due, clearing, .. } = k;
    due.push_back(messages, id);
    clearing.added = true;
}

/// Sends a notification that was due.
pub fn post(k: &mut Kernel, id: MessageId) -> Units {
    if let Some(message) = k.messages.remove(id) {
        send_out(k, message);
    }
    Units::ONE
}

fn send_out(k: &mut Kernel, mut message: Message) {
    let through = message.envelope.destination.right;
    let port = receiver_of(k, &message);
    match port {
        Some(port) => deliver(k, port, message),
        None => {
            let rights = core::mem::take(&mut message.envelope.rights);
            message::release(&mut k.vm, &mut k.accounts, &message);
            rights.iter().for_each(|carried| right::discard(k, carried.right));
        }
    }
    match (port, through) {
        (Some(port), CarriedRight::SendOnce(..)) => right::use_send_once(k, port),
        _ => right::discard(k, through),
    }
}

/// The port that can take a notification: it lives, and what the message carries can be
/// received there.
fn receiver_of(k: &Kernel, message: &Message) -> Option<PortId> {
    let port = send::port_of(&message.envelope.destination)?;
    let receivable = !matches!(living(&k.ports, port)?.owner, Owner::Kernel(_));
    let lost =
        |carried: &Carried| matches!(carried.right, CarriedRight::Receive(moved) if send::leads_to(k, port, moved));
    (receivable && !message.envelope.rights.iter().any(lost)).then_some(port)
}

fn deliver(k: &mut Kernel, port: PortId, mut message: Message) {
    if let Some(CarriedRight::Receive(moved)) = message.envelope.rights.first().map(|carried| carried.right) {
        k.ports[moved].toward = Some(port);
    }
    let Message { envelope, body, .. } = &mut message;
    if receive::offer_kept(k, port, envelope, Source::Kept(body)) {
        message::release(&mut k.vm, &mut k.accounts, &message);
    } else {
        let id = k.messages.insert(message).expect("the place that it left is vacant");
        send::enqueue(k, port, id, Step::Notify);
    }
}
