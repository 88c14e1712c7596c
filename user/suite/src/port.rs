//! The routines for ports and names, on the case's own task.
//!
//! Neighbours: `message` sends and receives; `peer` does the same in another task.

use portolan::abi::message::Descriptor;
use portolan::abi::port::{self, NameType, Status};
use portolan::abi::{Capacity, Disposition, Name, Result, RightKind};
use portolan::interface::MsgRpc;
use portolan::trap;

/// A new port with a send right beside the receive right.
pub(crate) fn open(capacity: Capacity) -> Result<Name> {
    let name = trap::port_allocate(capacity)?;
    add_send(name)?;
    Ok(name)
}

/// Adds a send right to the port whose receive right this is, under the same name.
pub(crate) fn add_send(name: Name) -> Result<()> {
    let right = Descriptor::port(name, Disposition::MakeSend as u8);
    port::port_insert_right(&MsgRpc, trap::task_self(), Name::NULL, 0, right).map(drop)
}

pub(crate) fn status(name: Name) -> Result<Status> {
    Ok(port::port_status(&MsgRpc, trap::task_self(), name, 0)?.results.status)
}

pub(crate) fn kind(name: Name) -> Result<NameType> {
    Ok(port::port_type(&MsgRpc, trap::task_self(), name, 0)?.results.kind)
}

pub(crate) fn set_capacity(name: Name, capacity: Capacity) -> Result<()> {
    port::port_set_backlog(&MsgRpc, trap::task_self(), name, capacity.code()).map(drop)
}

pub(crate) fn mod_refs(name: Name, kind: RightKind, delta: i32) -> Result<()> {
    port::port_mod_refs(&MsgRpc, trap::task_self(), name, kind as u32, delta, 0).map(drop)
}

/// Gives up the receive right: the port dies.
pub(crate) fn destroy(name: Name) -> Result<()> {
    mod_refs(name, RightKind::Receive, -1)
}

/// Gives up one user reference.
pub(crate) fn deallocate(name: Name) -> Result<()> {
    trap::port_deallocate(name)
}
