//! The name server: who knows which port a service's name stands for.
//!
//! A task finds a right to it in its start-up block, and its children inherit that. A name is
//! registered with a send right, and lives as long as the port does and as the [`Registration`], a
//! right that whoever registered it gets: dropped, moved elsewhere or lost with its task, it says
//! how long the name is owned. Services that the bootstrap server declares need no registration.
//!
//! If the name server dies, what it was asked ends with `ReceiveReplyLost`, and the one that is
//! started again serves the same port. It knows the declared services; the others' registrations
//! are dead names, of which their owners are told, and can be made again. Neighbours: `service`,
//! `bootstrap`; the server is `user/servers/names`. (Mach's `netname` and `bootstrap` servers.)

use crate::Result;
use crate::interface::{MsgRpc, MsgRpcWithin};
use crate::lock::Once;
use crate::right::{Right, SendRight};
use crate::service::ServiceName;
use crate::start::startup;
use alloc::vec::Vec;
use portolan_abi::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The service's own name.
pub const SERVICE: &str = "names";
/// Most names of one reply of [`list`](protocol::list).
pub const LISTED: usize = 16;
/// Most names that a task can have registered, and most that it can wait for.
pub const EACH_MAX: usize = 64;

/// The routines.
pub mod protocol {
    use super::{Entry, LISTED};
    use crate::service::ServiceName;

    crate::interface! {
        base 6200;

        /// A send right to the port that the name stands for.
        ///
        /// `InvalidName`: it stands for none. `InvalidValue`: it cannot be a name.
        1 look_up / LookUp (name: ServiceName) -> (; port: SendRight);

        /// The same, when the name stands for a port: now, or as soon as one is registered. Whoever does not
        /// want to wait for ever gives up its reply port.
        ///
        /// `InvalidValue`: it cannot be a name. `NoSpace`: this task waits for as many as it may.
        2 wait_for / WaitFor (name: ServiceName) -> (; port: SendRight);

        /// Registers a name for a port. It stands for it until the port dies, or there is no send
        /// right like the one that is returned. Who waits for it is answered.
        ///
        /// `NameExists`: the name is registered, or a declared service's. `InvalidValue`: it cannot be a name.
        /// `InvalidCapability`: the right is no send right to a port that lives. `NoSpace`: this task has
        /// registered as many as it may. `ResourceShortage`.
        3 register / Register (name: ServiceName; port: SendRight) -> (; registration: SendRight);

        /// The names after `after` in the order of their bytes: the first `count` entries. With fewer than
        /// `LISTED` there are no more. A name that stays all the while is listed exactly once.
        4 list / List (after: ServiceName) -> (count: u32, reserved: u32, entries: [Entry; LISTED]);
    }
}

/// What the bootstrap server tells the name server, through a right that it has been given for it.
pub mod declaration {
    use crate::service::ServiceName;

    crate::interface! {
        base 6250;

        /// From now on the name is a declared service's, at this port. If that dies the name stands for
        /// nothing, and stays reserved. Sent without a reply port.
        1 declare / Declare (name: ServiceName; service: SendRight) -> ();
    }
}

/// A name in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Entry {
    /// The name.
    pub name: ServiceName,
    /// The task that has registered it, as messages call their sender; 0 if it is a declared service's.
    pub owner: u64,
}

impl Entry {
    /// What an unused place of a list holds.
    pub const NONE: Entry = Entry { name: ServiceName::NONE, owner: 0 };
}

/// What keeps a registered name: dropped, the name is free again.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "dropping it gives up the name"]
pub struct Registration(SendRight);

impl Registration {
    /// The right: it can be moved to another task, which then keeps the name, and it dies with the
    /// name: with its port, or with the name server.
    pub fn right(&self) -> &SendRight {
        &self.0
    }

    /// The right, to be moved.
    pub fn into_right(self) -> SendRight {
        self.0
    }

    /// Keeps the name for as long as this task lives.
    pub fn keep(self) {
        let _ = self.0.into_name();
    }
}

static THIS: Once<SendRight> = Once::new();

/// The right to the name server.
///
/// # Errors
/// `InvalidCapability`: the task was started without one.
pub fn port() -> Result<&'static SendRight> {
    THIS.get().or_else(|| startup().names.as_ref()).ok_or(Error::InvalidCapability)
}

/// Makes this task ask another name server from now on. The first one counts.
pub fn adopt(names: SendRight) {
    THIS.call_once(|| names);
}

/// A send right to the port that the name stands for.
///
/// # Errors
/// Those of [`protocol::look_up`]; as all of these, `InvalidCapability`: the task was started without a name server,
/// `ReceiveReplyLost`: the name server has died with the request, `SendInvalidPort`: it will not be started again.
pub fn look_up(name: &str) -> Result<SendRight> {
    let reply = protocol::look_up(&MsgRpc, port()?.name(), ServiceName::new(name)?)?;
    Ok(SendRight::from_name(reply.rights[0]))
}

/// The same; waits at most this many ms until the name is registered.
///
/// # Errors
/// Those of [`protocol::wait_for`]; `ReceiveTimedOut`, and `SendTimedOut` where the name server has too much to do.
pub fn wait_for(name: &str, ms: u32) -> Result<SendRight> {
    let reply = protocol::wait_for(&MsgRpcWithin(ms), port()?.name(), ServiceName::new(name)?)?;
    Ok(SendRight::from_name(reply.rights[0]))
}

/// Registers a name for the port of this right, to be had by everyone.
///
/// # Errors
/// Those of [`protocol::register`].
pub fn register(name: &str, right: &SendRight) -> Result<Registration> {
    let right = Right::CopySend(right).descriptor();
    let reply = protocol::register(&MsgRpc, port()?.name(), ServiceName::new(name)?, right)?;
    Ok(Registration(SendRight::from_name(reply.rights[0])))
}

/// All names.
///
/// # Errors
/// Those of the call.
pub fn list() -> Result<Vec<Entry>> {
    let (mut all, mut after) = (Vec::new(), ServiceName::NONE);
    loop {
        let part = protocol::list(&MsgRpc, port()?.name(), after)?.results;
        let part = part.entries.get(..part.count as usize).ok_or(Error::Failure)?;
        all.extend_from_slice(part);
        match part.last() {
            Some(last) if part.len() == LISTED => after = last.name,
            _ => return Ok(all),
        }
    }
}
