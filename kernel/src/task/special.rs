//! Special ports: send rights that the kernel holds for a task or a thread.
//!
//! They are how a task knows whom to ask first (bootstrap, registered ports) and who
//! looks after its faults (exception). A new task inherits those of the task that was
//! asked to make it. The notify port is different: see `Task::notify_port`.
//!
//! Invariant: each port here that lives counts one send right for it.
//! Neighbours: `service::task` and `service::thread` set them, `exception` uses them.

use super::TaskId;
use crate::ipc::message::CarriedRight;
use crate::ipc::port::{Owner, PortId, living};
use crate::ipc::{receive, right};
use crate::kernel::Kernel;
use portolan_abi::task::REGISTERED_PORTS;
use portolan_abi::{Error, Name, Result};

/// A send right that is held, also when its port has died; or none.
pub type Held = Option<PortId>;

/// Those of a task.
#[derive(Clone, Copy, Default, Debug)]
pub struct SpecialPorts {
    /// Whom to ask first.
    pub bootstrap: Held,
    /// Who hears of faults.
    pub exception: Held,
    /// Whatever was registered.
    pub registered: [Held; REGISTERED_PORTS],
}

impl SpecialPorts {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = PortId> {
        [self.bootstrap, self.exception].into_iter().chain(self.registered).flatten()
    }
}

/// Another right like one that is held: dead if its port has died, null if there is none.
pub fn copy(k: &mut Kernel, held: Held) -> CarriedRight {
    held.map_or(CarriedRight::Null, |port| right::copy_send(&mut k.ports, port))
}

/// What a right from a message is, to be held.
///
/// # Errors
/// `InvalidCapability`: it is neither a send right nor null.
pub fn holdable(right: CarriedRight) -> Result<Held> {
    match right {
        CarriedRight::Send(port) => Ok(Some(port)),
        CarriedRight::Null => Ok(None),
        _ => Err(Error::InvalidCapability),
    }
}

/// Gives up a right that was held.
pub fn release(k: &mut Kernel, held: Held) {
    if let Some(port) = held {
        right::drop_send_right(k, port);
    }
}

/// Gives a new task the ports of the one that was asked to make it, and its own
/// bootstrap port if one came with the request.
pub fn inherit(k: &mut Kernel, from: TaskId, to: TaskId, bootstrap: CarriedRight) {
    let mut special = k.tasks[from].special;
    if let CarriedRight::Send(port) = bootstrap {
        special.bootstrap = Some(port);
    }
    for port in special.iter() {
        // One that has died is held as it is: it counts for nothing.
        let _ = right::copy_send(&mut k.ports, port);
    }
    k.tasks[to].special = special;
}

/// Has a task told of its rights at another port from now on. What it has not been told
/// yet, it is told there.
///
/// # Errors
/// `InvalidCapability`: no port at which anyone receives, or another task's notify port.
pub fn set_notify_port(k: &mut Kernel, task: TaskId, right: CarriedRight) -> Result<()> {
    let CarriedRight::Send(port) = right else { return Err(Error::InvalidCapability) };
    let new = living(&k.ports, port).ok_or(Error::InvalidCapability)?;
    let others = new.notices.dead_names_of.is_some_and(|told| told != task && k.tasks.get(told).is_some());
    let name = match new.owner {
        Owner::Task(receiver, name) if receiver == task => name,
        Owner::Task(..) | Owner::Message => Name::NULL,
        Owner::Set(..) | Owner::Kernel(_) | Owner::Dead => return Err(Error::InvalidCapability),
    };
    if others {
        return Err(Error::InvalidCapability);
    }
    if let Some(old) = k.ports.get_mut(k.tasks[task].notify_port) {
        old.notices.dead_names_of = None;
    }
    k.ports[port].notices.dead_names_of = Some(task);
    let told = &mut k.tasks[task];
    (told.notify_port, told.notify_name) = (port, name);
    receive::offer_notice(k, port);
    Ok(())
}
