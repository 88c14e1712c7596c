//! Port sets: one place to receive from many ports.
//!
//! A port that is in a set keeps its receive right, and its messages come through the
//! set only. [`Received::port`] tells which port a message came to, [`Received::payload`]
//! what the port is to its receiver. Neighbours: `port`, `receive`.

use crate::Result;
use crate::interface::MsgRpc;
use crate::receive::{self, Answer, Received, Wait};
use crate::right::{ReceiveRight, modify};
use crate::trap;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use portolan_abi::message::Options;
use portolan_abi::{Name, RightKind, port};

/// A port set. Dropped, it lets its members go.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "dropping a set dissolves it"]
pub struct PortSet(Name);

impl PortSet {
    /// A set without members.
    ///
    /// # Errors
    /// `NoSpace`, `ResourceShortage`.
    pub fn allocate() -> Result<PortSet> {
        let kind = RightKind::PortSet as u32;
        let made = port::port_allocate_name(&MsgRpc, trap::task_self(), Name::NULL, kind, 0, 0)?;
        Ok(PortSet(made.results.name))
    }

    /// Takes over the set that the task has under `name`.
    pub const fn from_name(name: Name) -> PortSet {
        PortSet(name)
    }

    /// Its name in this task.
    #[must_use]
    pub const fn name(&self) -> Name {
        self.0
    }

    /// Leaves the set to the caller: nothing dissolves it any more.
    #[must_use]
    pub fn into_name(self) -> Name {
        ManuallyDrop::new(self).0
    }

    /// Puts a port into the set, out of the one it was in.
    ///
    /// # Errors
    /// Those of the call; the rights themselves are always good.
    pub fn add(&self, port: &ReceiveRight) -> Result<()> {
        port::port_move_member(&MsgRpc, trap::task_self(), port.name(), self.0).map(drop)
    }

    /// Takes a port out of the set that it is in.
    ///
    /// # Errors
    /// `NotInSet`: it is in none.
    pub fn remove(port: &ReceiveRight) -> Result<()> {
        port::port_move_member(&MsgRpc, trap::task_self(), port.name(), Name::NULL).map(drop)
    }

    /// The names of the members.
    ///
    /// # Errors
    /// Those of the call.
    pub fn members(&self) -> Result<Vec<Name>> {
        crate::classic::port_set_status(trap::task_self(), self.0)
    }

    /// Receives the next message from any member, and waits for it as long as it takes.
    ///
    /// # Errors
    /// As for [`ReceiveRight::receive`].
    pub fn receive(&self) -> Result<Received> {
        receive::ordinary(self.0, Options::empty(), 0)
    }

    /// Receives the next message from any member, and waits for it at most this many ms.
    ///
    /// # Errors
    /// Also `ReceiveTimedOut`.
    pub fn receive_within(&self, ms: u32) -> Result<Received> {
        self.receive_or(Some(ms).into())
    }

    /// Receives the next message from any member, and waits for it as `wait` says.
    ///
    /// # Errors
    /// Also `ReceiveTimedOut`, `ReceiveInterrupted`.
    pub fn receive_or(&self, wait: Wait) -> Result<Received> {
        let (options, timeout) = wait.options();
        receive::ordinary(self.0, options, timeout)
    }

    /// Serves all members, as [`ReceiveRight::serve`] serves one port.
    ///
    /// # Errors
    /// The `Receive…` errors, `ResourceShortage`.
    pub fn serve<'a>(&self, handle: impl FnMut(&mut Received) -> Answer<'a>) -> Result<()> {
        receive::serve(self.0, handle)
    }
}

impl Drop for PortSet {
    fn drop(&mut self) {
        let _ = modify(self.0, RightKind::PortSet, -1);
    }
}
