//! Port sets: one place to receive from many ports.
//!
//! A set is a port that nobody can send to: threads wait in its line, and other ports of
//! its task are its members. Each member is in one of three lists: *ready*, with
//! something to receive; *hoping*, with nothing, but a request to hear of a receiver;
//! or *idle*. A receive takes from the first ready member and puts it last, so members
//! take turns and none is looked at in vain twice.
//!
//! Invariant: a member with something to receive is ready; while threads wait at a set none is.
//! A port is in one set at most, and its receive right is with the set's task.
//! Neighbours: `receive` takes from members, `send` and `death` say when something has come.

use super::port::{Owner, Port, PortId, Ports};
use super::receive;
use super::space::Right;
use crate::kernel::Kernel;
use crate::list::{Link, Linked, List};
use crate::task::TaskId;
use crate::task::thread::Completion;
use portolan_abi::{Capacity, Error, Name, Result};
use portolan_machine::pace;

/// The link for a set's lists of members.
pub struct InSet;

impl Linked<InSet> for Port {
    fn link(&mut self) -> &mut Link<Port> {
        &mut self.member
    }
    fn link_ref(&self) -> &Link<Port> {
        &self.member
    }
}

/// In which of a set's lists a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nothing to receive.
    Idle,
    /// Perhaps something to receive.
    Ready,
    /// Nothing to receive, but somebody wants to hear of a receiver.
    Hoping,
}

/// The members of a set.
#[derive(Default)]
pub struct Members {
    idle: List<Port, InSet>,
    ready: List<Port, InSet>,
    hoping: List<Port, InSet>,
}

impl Members {
    /// Those in one place.
    pub fn at(&self, place: Place) -> &List<Port, InSet> {
        match place {
            Place::Idle => &self.idle,
            Place::Ready => &self.ready,
            Place::Hoping => &self.hoping,
        }
    }

    fn at_mut(&mut self, place: Place) -> &mut List<Port, InSet> {
        match place {
            Place::Idle => &mut self.idle,
            Place::Ready => &mut self.ready,
            Place::Hoping => &mut self.hoping,
        }
    }

    /// All of them.
    pub fn iter<'a>(&self, ports: &'a Ports) -> impl Iterator<Item = PortId> + 'a {
        self.idle.iter(ports).chain(self.ready.iter(ports)).chain(self.hoping.iter(ports))
    }

    /// One of them.
    pub fn first(&self) -> Option<PortId> {
        self.idle.first().or(self.ready.first()).or(self.hoping.first())
    }
}

/// Makes a set under the name wanted; null leaves it to the kernel.
///
/// # Errors
/// `InvalidValue`, `NameExists`, `NoSpace`, `ResourceShortage`.
pub fn allocate(k: &mut Kernel, task: TaskId, wanted: Name) -> Result<Name> {
    let Kernel { tasks, accounts, .. } = k;
    let account = tasks[task].account;
    tasks[task].space.reserve_as(accounts, wanted)?;
    let set = super::create(k, Owner::Message, account, Capacity::Zero)?;
    // Nothing below may fail.
    let space = &mut k.tasks[task].space;
    let slot = space.insert_as(wanted, Right::Set(set));
    let name = space.name(slot);
    k.ports[set].owner = Owner::Set(task, name);
    Ok(name)
}

/// Puts a port into a set, out of the one it was in. Threads that wait at the port itself are told.
pub fn add(k: &mut Kernel, port: PortId, set: PortId) {
    leave(&mut k.ports, port);
    while let Some(thread) = k.ports[port].receivers.first() {
        pace(receive::PER_WAKE);
        receive::finish_waiting(k, thread, Completion::failure(Error::ReceivePortChanged));
    }
    k.ports[port].set = Some(set);
    insert(&mut k.ports, port, Place::Idle);
    receive::serve_set(k, port, set);
    settle(&mut k.ports, port);
}

/// Takes a port out of its set, if it is in one.
pub fn leave(ports: &mut Ports, port: PortId) {
    if ports[port].set.is_some() {
        remove(ports, port);
        ports[port].set = None;
    }
}

/// The member whose turn it is.
pub fn next(ports: &Ports, set: PortId) -> Option<PortId> {
    ports[set].members.at(Place::Ready).first()
}

/// Something has come to a port, which may be in a set.
#[inline]
pub fn note(ports: &mut Ports, port: PortId) {
    let Port { set, place, .. } = &ports[port];
    if set.is_some() && *place != Place::Ready {
        settle(ports, port);
    }
}

/// Puts a member last where it belongs.
pub fn settle(ports: &mut Ports, port: PortId) {
    let place = if ports[port].may_have_something() { Place::Ready } else { place_of_empty(&ports[port]) };
    put(ports, port, place);
}

/// A member in which nothing was found.
pub fn rest(ports: &mut Ports, port: PortId) {
    let place = place_of_empty(&ports[port]);
    put(ports, port, place);
}

/// The member that hopes for a receiver, and hopes no more.
pub fn take_hoping(ports: &mut Ports, set: PortId) -> Option<PortId> {
    let port = ports[set].members.at(Place::Hoping).first()?;
    put(ports, port, Place::Idle);
    Some(port)
}

fn place_of_empty(port: &Port) -> Place {
    if port.hopes.is_empty() { Place::Idle } else { Place::Hoping }
}

fn put(ports: &mut Ports, port: PortId, place: Place) {
    if ports[port].set.is_some() {
        remove(ports, port);
        insert(ports, port, place);
    }
}

fn insert(ports: &mut Ports, port: PortId, place: Place) {
    ports[port].place = place;
    change(ports, port, |list, ports| {
        list.push_back(ports, port);
    });
}

fn remove(ports: &mut Ports, port: PortId) {
    change(ports, port, |list, ports| list.remove(ports, port));
}

/// Changes the list in which a member is; the list is taken out of the ports meanwhile.
fn change(ports: &mut Ports, port: PortId, change: impl FnOnce(&mut List<Port, InSet>, &mut Ports)) {
    let Port { set: Some(set), place, .. } = ports[port] else { return };
    let mut list = core::mem::take(ports[set].members.at_mut(place));
    change(&mut list, ports);
    *ports[set].members.at_mut(place) = list;
}
