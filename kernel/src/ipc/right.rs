//! Rights: taken from names into messages, given back, and put under names.
//!
//! A right is *taken* when a message that carries it is about to be sent. If the
//! send is put off, the name keeps a hold for it, so that *giving back* cannot
//! fail and the name comes back the same; when the message has gone, the hold is
//! *let go*. A right is *inserted* where it arrives, *discarded* where it cannot.
//!
//! Invariant: `send_rights` of a port counts one for each name with send rights and
//! one for each in a message, `send_once_rights` likewise.
//! Neighbours: `space` stores, `message` carries, `death` reacts to the last right.

use super::cached;
use super::death;
use super::message::{Carried, CarriedRight, Waiter};
use super::port::{Carrier, Holder, KernelObject, Owner, PortId, Ports, living};
use super::space::{Entry, Right, Space};
use super::{receive, request, send, set};
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::thread::{Completion, Reply};
use portolan_abi::port::{NameType, UREFS_MAX};
use portolan_abi::{Disposition, Error, Name, Result, RightKind};
use portolan_machine::pace;

/// Takes a right out of a name space, as the disposition says.
/// On failure nothing has changed.
///
/// # Errors
/// `InvalidName`, or `InvalidRight` if the name stands for something else.
pub fn take(
    space: &mut Space,
    ports: &mut Ports,
    name: Name,
    how: Disposition,
    waiter: Option<Waiter>,
) -> Result<Carried> {
    let entry = space.lookup(name)?;
    if how != Disposition::MoveSendOnce {
        see_death(entry, ports);
    }
    let moved = Carried { right: CarriedRight::Null, from: name, how: Some(how) };
    let right = match (&mut entry.right, how) {
        (Right::Port { port, receive: true, .. }, Disposition::MakeSendOnce) => make_send_once(ports, *port, waiter),
        (Right::Port { port, receive: true, .. }, Disposition::MakeSend) => {
            let made = &mut ports[*port];
            made.send_rights += 1;
            made.make_send_count = made.make_send_count.wrapping_add(1);
            CarriedRight::Send(*port)
        }
        (Right::Port { port, receive, .. }, Disposition::MoveReceive) if *receive => {
            *receive = false;
            entry.held += 1;
            CarriedRight::Receive(*port)
        }
        (Right::Port { port, sends: 1.., .. }, Disposition::CopySend) => {
            let port = *port;
            match ports.get_mut(port).filter(|port| port.is_alive()) {
                Some(copied) => {
                    copied.send_rights += 1;
                    CarriedRight::Send(port)
                }
                None => CarriedRight::Dead(RightKind::Send),
            }
        }
        (Right::Port { port, sends: sends @ 1.., .. }, Disposition::MoveSend) => {
            *sends -= 1;
            entry.held += 1;
            if *sends > 0
                && let Some(port) = ports.get_mut(*port)
            {
                port.send_rights += 1;
            }
            CarriedRight::Send(*port)
        }
        (Right::SendOnce { port, waiter }, Disposition::MoveSendOnce) => {
            entry.held = 1;
            CarriedRight::SendOnce(*port, *waiter)
        }
        (Right::Dead(_), Disposition::CopySend) => CarriedRight::Dead(RightKind::Send),
        (Right::Dead(references), Disposition::MoveSend | Disposition::MoveSendOnce) => {
            *references -= 1;
            entry.held += 1;
            CarriedRight::Dead(how.arrives_as())
        }
        _ => return Err(Error::InvalidRight),
    };
    Ok(Carried { right, ..moved })
}

/// A new send-once right for a port whose receive right the maker has.
#[inline(always)]
pub fn make_send_once(ports: &mut Ports, port: PortId, waiter: Option<Waiter>) -> CarriedRight {
    ports[port].add_send_once();
    CarriedRight::SendOnce(port, waiter)
}

/// A send-once right to a port is here now, if the port is still there.
pub fn carry(ports: &mut Ports, port: PortId, carrier: Carrier) {
    if let Some(port) = ports.get_mut(port) {
        port.carry(carrier);
    }
}

/// Undoes [`take`]: the name is as it was, but for what others did meanwhile.
pub fn give_back(k: &mut Kernel, task: TaskId, carried: Carried) {
    let Some(how) = carried.how else { return };
    let Kernel { tasks, ports, .. } = k;
    match (how, carried.right) {
        (Disposition::MakeSendOnce, CarriedRight::SendOnce(port, _)) => {
            if let Some(port) = ports.get_mut(port) {
                port.send_once_rights -= 1;
            }
        }
        (Disposition::MakeSend, CarriedRight::Send(id)) => {
            // If the receive right has moved meanwhile, the count has begun anew; also if it is back.
            if let Some(port) = ports.get_mut(id).filter(|port| port.owner == Owner::Task(task, carried.from)) {
                port.make_send_count = port.make_send_count.saturating_sub(1);
            }
            drop_send_right(k, id);
        }
        (Disposition::CopySend, CarriedRight::Send(port)) => drop_send_right(k, port),
        (Disposition::MoveReceive | Disposition::MoveSend | Disposition::MoveSendOnce, _) => {
            let space = &mut tasks[task].space;
            let Some(slot) = space.held_slot(carried.from) else { return };
            let entry = space.entry_mut(slot);
            entry.held -= 1;
            match (&mut entry.right, how) {
                (Right::Port { port, receive, .. }, Disposition::MoveReceive) => {
                    *receive = true;
                    ports[*port].toward = None;
                }
                (Right::Port { port, sends, .. }, Disposition::MoveSend) => {
                    let known = *sends > 0;
                    *sends = (*sends + 1).min(UREFS_MAX);
                    if known && let Some(port) = ports.get_mut(*port) {
                        port.send_rights -= 1;
                    }
                }
                (Right::Dead(references), Disposition::MoveSend | Disposition::MoveSendOnce) => {
                    // Its port died while the message had the last reference: nobody could be told.
                    let tells = matches!(carried.right, CarriedRight::Send(_)) || entry.request.is_some();
                    let untold = *references == 0 && tells;
                    *references = (*references + 1).min(UREFS_MAX);
                    if untold && !entry.notice {
                        death::tell(k, Holder { task, slot });
                    }
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// Makes [`take`] final: the message has gone and the name has lost the right.
pub fn let_go(k: &mut Kernel, task: TaskId, carried: Carried) {
    match carried.how {
        Some(Disposition::MoveReceive) => {
            if let CarriedRight::Receive(port) = carried.right {
                leave_receiver(k, port);
            }
            release_hold(k, task, carried.from);
        }
        Some(Disposition::MoveSend | Disposition::MoveSendOnce) => release_hold(k, task, carried.from),
        _ => {}
    }
}

/// Makes the taking of a send-once right, to a port that lives, final.
#[inline(always)]
pub fn let_go_send_once(k: &mut Kernel, task: TaskId, name: Name) {
    let space = &mut k.tasks[task].space;
    let slot = name.index();
    if let Some(entry) = space.named_mut(name) {
        entry.held = 0;
        match entry.request {
            None => space.remove(slot),
            Some(_) => remove(k, Holder { task, slot }),
        }
    }
}

fn release_hold(k: &mut Kernel, task: TaskId, name: Name) {
    let space = &mut k.tasks[task].space;
    let Some(slot) = space.held_slot(name) else { return };
    let entry = space.entry_mut(slot);
    entry.held -= 1;
    if let Right::SendOnce { port, .. } = entry.right {
        carry(&mut k.ports, port, Carrier::OnItsWay);
        remove(k, Holder { task, slot });
    } else {
        clean(k, task, slot);
    }
}

/// The receive right has left its task: its threads wait there no more.
pub fn leave_receiver(k: &mut Kernel, port: PortId) {
    k.ports[port].owner = Owner::Message;
    set::leave(&mut k.ports, port);
    while let Some(thread) = k.ports[port].receivers.first() {
        pace(receive::PER_WAKE);
        receive::finish_waiting(k, thread, Completion::failure(Error::ReceivePortDied));
    }
}

/// Removes an entry of which nothing is left.
pub fn clean(k: &mut Kernel, task: TaskId, slot: u32) {
    if k.tasks[task].space.entry(slot).is_spent() {
        remove(k, Holder { task, slot });
    }
}

/// Removes a name. What knows it by the name is told.
pub fn remove(k: &mut Kernel, holder: Holder) {
    if let Some(request) = k.tasks[holder.task].space.entry(holder.slot).request {
        request::name_deleted(k, request);
    }
    unlink(k, holder);
    let space = &mut k.tasks[holder.task].space;
    if let Some(message) = space.entry(holder.slot).cached {
        cached::rename(&mut k.messages, message, Name::NULL);
    }
    space.remove(holder.slot);
}

/// Puts a right into a task's name space, which has room for it, and returns its
/// name: the known one for a known port. A right to a dead port becomes
/// [`Name::DEAD`]; user references beyond the maximum are absorbed.
#[inline(always)]
pub fn insert(k: &mut Kernel, task: TaskId, right: CarriedRight) -> Name {
    match right {
        CarriedRight::Null => Name::NULL,
        CarriedRight::Dead(_) => Name::DEAD,
        CarriedRight::SendOnce(port, waiter) => insert_send_once(k, task, port, waiter),
        CarriedRight::Send(port) => insert_send(k, task, port),
        CarriedRight::Receive(port) => insert_receive(k, task, port),
    }
}

#[inline(always)]
fn insert_send_once(k: &mut Kernel, task: TaskId, port: PortId, waiter: Option<Waiter>) -> Name {
    let Some(living) = k.ports.get_mut(port).filter(|port| port.is_alive()) else { return Name::DEAD };
    living.carry(Carrier::Task(task));
    k.tasks[task].space.insert_send_once(port, waiter)
}

#[inline(never)]
fn insert_send(k: &mut Kernel, task: TaskId, port: PortId) -> Name {
    if living(&k.ports, port).is_none() {
        drop_send_right(k, port);
        return Name::DEAD;
    }
    let slot = slot_for(k, task, port);
    let Kernel { tasks, ports, .. } = k;
    let space = &mut tasks[task].space;
    if let Right::Port { sends, .. } = &mut space.entry_mut(slot).right {
        if *sends > 0 {
            ports[port].send_rights -= 1;
        }
        *sends = (*sends + 1).min(UREFS_MAX);
    }
    space.name(slot)
}

#[inline(never)]
fn insert_receive(k: &mut Kernel, task: TaskId, port: PortId) -> Name {
    if living(&k.ports, port).is_none() {
        return Name::DEAD;
    }
    let slot = slot_for(k, task, port);
    let Kernel { tasks, ports, .. } = k;
    let space = &mut tasks[task].space;
    if let Right::Port { receive, .. } = &mut space.entry_mut(slot).right {
        *receive = true;
    }
    let name = space.name(slot);
    let port = &mut ports[port];
    port.owner = Owner::Task(task, name);
    port.toward = None;
    port.make_send_count = 0;
    port.sequence = 0;
    port.payload = None;
    name
}

/// The slot that names a port in a task, made if there is none.
fn slot_for(k: &mut Kernel, task: TaskId, port: PortId) -> u32 {
    let space = &mut k.tasks[task].space;
    if let Some(slot) = space.find(port) {
        return slot;
    }
    name_port(k, task, port, Name::NULL)
}

/// Names a port that the task does not know; the name, vacant or null for any, has been
/// reserved. A right has to follow.
pub fn name_port(k: &mut Kernel, task: TaskId, port: PortId, wanted: Name) -> u32 {
    let slot = k.tasks[task].space.insert_as(wanted, Right::Port { port, receive: false, sends: 0 });
    add_holder(k, port, Holder { task, slot });
    slot
}

/// Puts an entry into its port's list of names.
pub fn add_holder(k: &mut Kernel, port: PortId, holder: Holder) {
    let first = k.ports[port].holders.replace(holder);
    let entry = k.tasks[holder.task].space.entry_mut(holder.slot);
    entry.next = first;
    entry.previous = None;
    if let Some(first) = first {
        k.tasks[first.task].space.entry_mut(first.slot).previous = Some(holder);
    }
}

/// Takes an entry out of its port's list of names, or out of its task's line of notices.
pub fn unlink(k: &mut Kernel, holder: Holder) {
    let space = &mut k.tasks[holder.task].space;
    let entry = *space.entry(holder.slot);
    if entry.notice {
        death::withdraw_notice(k, holder);
        return;
    }
    let Some(port) = entry.listed_at() else { return };
    match entry.previous {
        Some(previous) => k.tasks[previous.task].space.entry_mut(previous.slot).next = entry.next,
        None => {
            if let Some(port) = k.ports.get_mut(port) {
                port.holders = entry.next;
            }
        }
    }
    if let Some(next) = entry.next {
        k.tasks[next.task].space.entry_mut(next.slot).previous = entry.previous;
    }
}

/// One more send right to a port, or what is left of one if it has died.
pub fn copy_send(ports: &mut Ports, id: PortId) -> CarriedRight {
    match ports.get_mut(id).filter(|port| port.is_alive()) {
        Some(port) => {
            port.send_rights += 1;
            CarriedRight::Send(id)
        }
        None => CarriedRight::Dead(RightKind::Send),
    }
}

/// Destroys a right that no name stands for.
pub fn discard(k: &mut Kernel, right: CarriedRight) {
    match right {
        CarriedRight::Null | CarriedRight::Dead(_) => {}
        CarriedRight::Send(port) => drop_send_right(k, port),
        CarriedRight::Receive(port) => death::bury(k, port),
        CarriedRight::SendOnce(port, waiter) => discard_send_once(k, port, waiter),
    }
}

/// One send right fewer; the last one may end what the kernel keeps behind the port.
pub fn drop_send_right(k: &mut Kernel, id: PortId) {
    let Some(port) = k.ports.get_mut(id) else { return };
    port.send_rights -= 1;
    if port.send_rights == 0 {
        lose_senders(k, id);
    }
}

/// A port's last send right has gone.
fn lose_senders(k: &mut Kernel, id: PortId) {
    let port = &k.ports[id];
    if let Owner::Kernel(object) = port.owner
        && object.ends_with_its_rights()
    {
        death::bury(k, id);
    } else if port.no_senders.is_some() {
        request::check_senders(k, id);
    }
}

/// A send-once right was used: its message has been sent.
#[inline]
pub fn use_send_once(k: &mut Kernel, id: PortId) {
    if let Some(port) = k.ports.get_mut(id) {
        port.send_once_rights -= 1;
    }
}

/// A send-once right yields exactly one message: if not one through it, then a
/// notice of its loss, or the exact error for the `msg_rpc` that waits for it.
fn discard_send_once(k: &mut Kernel, id: PortId, waiter: Option<Waiter>) {
    let Some(port) = k.ports.get_mut(id) else { return };
    port.send_once_rights -= 1;
    if !port.is_alive() {
        return;
    }
    if let Some(Waiter { thread, serial }) = waiter
        && let Some(waiting) = k.threads.get_mut(thread)
        && waiting.reply == Reply::Awaited(serial)
    {
        waiting.reply = Reply::Lost;
        receive::lose_reply(k, thread);
        return;
    }
    if matches!(port.owner, Owner::Kernel(_)) {
        // The right to reply to an exception that was ended by other means.
        return;
    }
    port.notices.send_once = port.notices.send_once.saturating_add(1);
    receive::offer_notice(k, id);
}

/// Gives up one reference of what a name stands for: of the send right or dead
/// name, else the send-once right, else the receive right.
///
/// # Errors
/// `InvalidName`.
pub fn deallocate(k: &mut Kernel, task: TaskId, name: Name) -> Result<()> {
    let space = &k.tasks[task].space;
    let kind = match space.entry(space.slot(name)?).right {
        Right::Port { sends: 1.., .. } => RightKind::Send,
        Right::Port { .. } => RightKind::Receive,
        Right::SendOnce { .. } => RightKind::SendOnce,
        Right::Set(_) => RightKind::PortSet,
        Right::Dead(_) | Right::Vacant(_) => RightKind::DeadName,
    };
    modify_references(k, task, name, kind, -1)
}

/// Changes the user references of one kind of right under a name.
///
/// # Errors
/// `InvalidName`; `InvalidRight`: there is none of that kind; `InvalidValue`: fewer
/// than zero would be left, or more than one of a kind that is not counted;
/// `UrefsOverflow`.
pub fn modify_references(k: &mut Kernel, task: TaskId, name: Name, kind: RightKind, delta: i32) -> Result<()> {
    let space = &mut k.tasks[task].space;
    let slot = space.slot(name)?;
    let entry = space.entry_mut(slot);
    match (&mut entry.right, kind) {
        (Right::Port { port, sends: sends @ 1.., .. }, RightKind::Send) => {
            let port = *port;
            *sends = changed(*sends, delta)?;
            if *sends == 0 {
                drop_send_right(k, port);
                clean(k, task, slot);
            }
        }
        (Right::Dead(references @ 1..), RightKind::DeadName) => {
            *references = changed(*references, delta)?;
            clean(k, task, slot);
        }
        (Right::Port { port, receive, .. }, RightKind::Receive) if *receive => {
            if !only_one(delta)? {
                return Ok(());
            }
            *receive = false;
            let port = *port;
            clean(k, task, slot);
            death::bury(k, port);
        }
        (Right::Set(set), RightKind::PortSet) => {
            if !only_one(delta)? {
                return Ok(());
            }
            let set = *set;
            remove(k, Holder { task, slot });
            death::bury(k, set);
        }
        (Right::SendOnce { port, waiter }, RightKind::SendOnce) => {
            if !only_one(delta)? {
                return Ok(());
            }
            let (port, waiter) = (*port, *waiter);
            remove(k, Holder { task, slot });
            discard_send_once(k, port, waiter);
        }
        _ => return Err(Error::InvalidRight),
    }
    Ok(())
}

fn changed(references: u32, delta: i32) -> Result<u32> {
    match references.checked_add_signed(delta) {
        None => Err(Error::InvalidValue),
        Some(count) if count > UREFS_MAX => Err(Error::UrefsOverflow),
        Some(count) => Ok(count),
    }
}

/// Whether a right that is not counted goes; `InvalidValue` if it cannot change so.
fn only_one(delta: i32) -> Result<bool> {
    match delta {
        -1 => Ok(true),
        0 => Ok(false),
        _ => Err(Error::InvalidValue),
    }
}

/// The slot of a name, which has become a dead name if its port has died. A port
/// tells the names it knows; a send-once right is found dead when it is looked at.
pub fn refresh(k: &mut Kernel, task: TaskId, name: Name) -> Result<u32> {
    let space = &mut k.tasks[task].space;
    let slot = space.slot(name)?;
    see_death(space.entry_mut(slot), &k.ports);
    Ok(slot)
}

/// A send-once right to a dead port is a dead name.
#[inline]
fn see_death(entry: &mut Entry, ports: &Ports) {
    if let Right::SendOnce { port, .. } = entry.right
        && living(ports, port).is_none()
    {
        entry.right = Right::Dead(1);
    }
}

/// What a name stands for.
pub fn describe(k: &mut Kernel, task: TaskId, name: Name) -> Result<NameType> {
    let slot = refresh(k, task, name)?;
    let base = NameType { name, ..NameType::default() };
    Ok(match k.tasks[task].space.entry(slot).right {
        Right::Port { receive, sends, .. } => NameType { receive: receive.into(), send: sends, ..base },
        Right::SendOnce { .. } => NameType { send_once: 1, ..base },
        Right::Dead(references) => NameType { dead: references, ..base },
        Right::Set(_) => NameType { set: 1, ..base },
        Right::Vacant(_) => base,
    })
}

/// The port, or set, that a name is for.
///
/// # Errors
/// `InvalidName`; `InvalidRight`: the name is a dead one.
pub fn port(k: &mut Kernel, task: TaskId, name: Name) -> Result<PortId> {
    let slot = refresh(k, task, name)?;
    match k.tasks[task].space.entry(slot).right {
        Right::Port { port, .. } | Right::SendOnce { port, .. } | Right::Set(port) => Ok(port),
        Right::Dead(_) | Right::Vacant(_) => Err(Error::InvalidRight),
    }
}

/// The port whose receive right a name is.
///
/// # Errors
/// `InvalidName`, `NotReceiver`.
pub fn receive_right(k: &Kernel, task: TaskId, name: Name) -> Result<PortId> {
    let space = &k.tasks[task].space;
    space.slot(name)?;
    space.receive_right(name).ok_or(Error::NotReceiver)
}

/// The user references of one kind of right under a name; 0 if there is none.
///
/// # Errors
/// `InvalidName`.
pub fn references(k: &mut Kernel, task: TaskId, name: Name, kind: RightKind) -> Result<u32> {
    let named = describe(k, task, name)?;
    Ok(match kind {
        RightKind::Receive => named.receive,
        RightKind::Send => named.send,
        RightKind::SendOnce => named.send_once,
        RightKind::DeadName => named.dead,
        RightKind::PortSet => named.set,
    })
}

/// Puts a dead name under the name wanted; null leaves it to the kernel.
///
/// # Errors
/// `InvalidValue`, `NameExists`, `NoSpace`, `ResourceShortage`.
pub fn allocate_dead_name(k: &mut Kernel, task: TaskId, wanted: Name) -> Result<Name> {
    let Kernel { tasks, accounts, .. } = k;
    let space = &mut tasks[task].space;
    space.reserve_as(accounts, wanted)?;
    let slot = space.insert_as(wanted, Right::Dead(1));
    Ok(space.name(slot))
}

/// Gives up all that a name stands for.
///
/// # Errors
/// `InvalidName`.
pub fn destroy(k: &mut Kernel, task: TaskId, name: Name) -> Result<()> {
    let slot = k.tasks[task].space.slot(name)?;
    let entry = k.tasks[task].space.entry_mut(slot);
    let right = entry.right;
    match &mut entry.right {
        Right::Port { receive, sends, .. } => (*receive, *sends) = (false, 0),
        Right::Dead(references) => *references = 0,
        Right::SendOnce { .. } | Right::Set(_) | Right::Vacant(_) => {}
    }
    match right {
        // One that is seen is not held.
        Right::SendOnce { .. } | Right::Set(_) => remove(k, Holder { task, slot }),
        _ => clean(k, task, slot),
    }
    release(k, right);
    Ok(())
}

/// Destroys what a name stood for.
pub fn release(k: &mut Kernel, right: Right) {
    match right {
        Right::Vacant(_) | Right::Dead(_) => {}
        Right::SendOnce { port, waiter } => discard(k, CarriedRight::SendOnce(port, waiter)),
        Right::Set(set) => death::bury(k, set),
        Right::Port { port, receive, sends } => {
            if receive {
                discard(k, CarriedRight::Receive(port));
            }
            if sends > 0 {
                discard(k, CarriedRight::Send(port));
            }
        }
    }
}

/// Takes a right out of a task for good, to be sent to `to`.
///
/// # Errors
/// `InvalidName`; `InvalidRight`: the name stands for something else, or its receive
/// right could never be received there.
pub fn extract(k: &mut Kernel, task: TaskId, name: Name, how: Disposition, to: Option<PortId>) -> Result<CarriedRight> {
    refresh(k, task, name)?;
    let Kernel { tasks, ports, .. } = k;
    let carried = take(&mut tasks[task].space, ports, name, how, None)?;
    if let (CarriedRight::Receive(port), Some(to)) = (carried.right, to) {
        if send::leads_to(k, to, port) {
            give_back(k, task, carried);
            return Err(Error::InvalidRight);
        }
        k.ports[port].toward = Some(to);
    }
    let_go(k, task, carried);
    Ok(carried.right)
}

/// The port set that a name is.
///
/// # Errors
/// `InvalidName`, `InvalidRight`.
pub fn port_set(k: &Kernel, task: TaskId, name: Name) -> Result<PortId> {
    let space = &k.tasks[task].space;
    match space.entry(space.slot(name)?).right {
        Right::Set(set) => Ok(set),
        _ => Err(Error::InvalidRight),
    }
}

/// Puts a right from a message under a name that the caller may choose; null leaves it
/// to the kernel.
///
/// # Errors
/// As `port::port_insert_right` says; the right is then still the caller's.
pub fn insert_as(k: &mut Kernel, task: TaskId, carried: CarriedRight, wanted: Name) -> Result<Name> {
    let known = match carried {
        CarriedRight::Send(port) | CarriedRight::Receive(port) => k.tasks[task].space.find(port),
        _ => None,
    };
    if let (CarriedRight::Send(_), Some(slot)) = (carried, known)
        && let Right::Port { sends: UREFS_MAX.., .. } = k.tasks[task].space.entry(slot).right
    {
        return Err(Error::UrefsOverflow);
    }
    if wanted != Name::NULL && !is_living(k, carried) {
        return Err(Error::InvalidCapability);
    }
    let Kernel { tasks, accounts, .. } = k;
    let space = &mut tasks[task].space;
    match known {
        Some(slot) if wanted == Name::NULL || space.name(slot) == wanted => {}
        Some(_) => return Err(Error::RightExists),
        None => space.reserve_as(accounts, wanted)?,
    }
    // Nothing below may fail.
    match (carried, known) {
        (CarriedRight::SendOnce(port, waiter), _) if wanted != Name::NULL => {
            space.insert_as(wanted, Right::SendOnce { port, waiter });
            carry(&mut k.ports, port, Carrier::Task(task));
            return Ok(wanted);
        }
        (CarriedRight::Send(port) | CarriedRight::Receive(port), None) if wanted != Name::NULL => {
            name_port(k, task, port, wanted);
        }
        _ => {}
    }
    Ok(insert(k, task, carried))
}

/// Whether a right in a message is one, to a port that lives.
fn is_living(k: &Kernel, carried: CarriedRight) -> bool {
    match carried {
        CarriedRight::Null | CarriedRight::Dead(_) => false,
        CarriedRight::Send(port) | CarriedRight::Receive(port) | CarriedRight::SendOnce(port, _) => {
            living(&k.ports, port).is_some()
        }
    }
}

/// Gives what a name stands for another name, which must be vacant.
///
/// # Errors
/// `InvalidName`; `InvalidValue`: no right can have the new name; `NameExists`: its
/// slot is in use; `Failure`: a message with a right from the old name waits to be sent;
/// `ResourceShortage`.
pub fn rename(k: &mut Kernel, task: TaskId, old: Name, new: Name) -> Result<()> {
    let Kernel { tasks, accounts, messages, .. } = k;
    let space = &mut tasks[task].space;
    let slot = space.slot(old)?;
    if new == Name::NULL {
        return Err(Error::InvalidValue);
    }
    if space.entry(slot).held > 0 {
        return Err(Error::Failure);
    }
    space.reserve_as(accounts, new)?;
    // Nothing below may fail.
    let renamed = Holder { task, slot: space.rename(slot, new) };
    let entry = *space.entry(renamed.slot);
    if let Some(message) = entry.cached {
        cached::rename(messages, message, new);
    }
    relink(k, renamed);
    if let Some(request) = entry.request {
        request::moved(k, request, renamed);
    }
    if let Right::Port { port, .. } | Right::Set(port) = entry.right {
        rename_port(k, task, port, old, new);
    }
    Ok(())
}

/// Whoever remembers a port's name in a task learns the new one.
fn rename_port(k: &mut Kernel, task: TaskId, port: PortId, old: Name, new: Name) {
    let Kernel { tasks, threads, ports, .. } = k;
    let task_names = &mut tasks[task];
    let remembered = match &mut ports[port].owner {
        Owner::Task(receiver, name) if *receiver == task => {
            if task_names.notify_port == port {
                task_names.notify_name = new;
            }
            name
        }
        Owner::Set(_, name) => name,
        Owner::Kernel(KernelObject::Task(own)) if *own == task => &mut task_names.self_name,
        Owner::Kernel(KernelObject::Thread(thread)) if threads[*thread].task == task => &mut threads[*thread].self_name,
        _ => return,
    };
    if *remembered == old {
        *remembered = new;
    }
}

/// Tells the neighbours of an entry that has moved, in its port's list of names or its
/// task's line of notices, where it is now.
fn relink(k: &mut Kernel, holder: Holder) {
    let entry = *k.tasks[holder.task].space.entry(holder.slot);
    let neighbour = |k: &mut Kernel, other: Holder, forward: bool| {
        let entry = k.tasks[other.task].space.entry_mut(other.slot);
        *(if forward { &mut entry.next } else { &mut entry.previous }) = Some(holder);
    };
    match entry.previous {
        Some(previous) => neighbour(k, previous, true),
        None if entry.notice => k.tasks[holder.task].space.notices.0 = Some(holder.slot),
        None => {
            if let Some(port) = entry.listed_at() {
                k.ports[port].holders = Some(holder);
            }
        }
    }
    match entry.next {
        Some(next) => neighbour(k, next, false),
        None if entry.notice => k.tasks[holder.task].space.notices.1 = Some(holder.slot),
        None => {}
    }
}
