//! Ports, through their receive rights: made, asked, changed, and rights made from them.
//!
//! Neighbours: `send` and `receive` for the messages; `right` for ownership.

use crate::Result;
use crate::interface::MsgRpc;
use crate::right::{ReceiveRight, Right, SendOnceRight, SendRight};
use crate::trap;
use portolan_abi::port::{self, Status};
use portolan_abi::{AtFull, Capacity, Generation, Name};

impl SendRight {
    /// Lets this right behave, where a mailbox is full, as in one generation of Mach. In Mach 2.5 a
    /// message that is not sent is destroyed: what [`Failure`](crate::Failure) then gives back
    /// has no rights any more.
    ///
    /// # Errors
    /// Those of the call.
    pub fn set_generation(&self, generation: Generation) -> Result<()> {
        port::port_set_generation(&MsgRpc, trap::task_self(), self.name(), generation as u32).map(drop)
    }
}

impl ReceiveRight {
    /// A new port that holds this many messages.
    ///
    /// # Errors
    /// Those of `port_allocate`.
    pub fn allocate(capacity: Capacity) -> Result<ReceiveRight> {
        trap::port_allocate(capacity).map(ReceiveRight::from_name)
    }

    /// A send right to the port, for this task. (In a message, use [`Right::MakeSend`].)
    ///
    /// # Errors
    /// `UrefsOverflow`, `ResourceShortage`.
    pub fn make_send(&self) -> Result<SendRight> {
        self.make(&Right::MakeSend(self)).map(SendRight::from_name)
    }

    /// A send-once right to the port, for this task. (In a message, use [`Right::MakeSendOnce`].)
    ///
    /// # Errors
    /// `NoSpace`, `ResourceShortage`.
    pub fn make_send_once(&self) -> Result<SendOnceRight> {
        self.make(&Right::MakeSendOnce(self)).map(SendOnceRight::from_name)
    }

    fn make(&self, right: &Right<'_>) -> Result<Name> {
        let reply = port::port_insert_right(&MsgRpc, trap::task_self(), Name::NULL, 0, right.descriptor())?;
        Ok(reply.results.name)
    }

    /// Capacity, messages, waiters and rights.
    ///
    /// # Errors
    /// Those of the call; the right itself is always good.
    pub fn status(&self) -> Result<Status> {
        Ok(port::port_status(&MsgRpc, trap::task_self(), self.name(), 0)?.results.status)
    }

    /// Sets a number that each message from the port will carry ([`Received::payload`](crate::Received::payload)).
    ///
    /// # Errors
    /// Those of the call.
    pub fn set_payload(&self, payload: u64) -> Result<()> {
        port::port_set_protected_payload(&MsgRpc, trap::task_self(), self.name(), 0, payload).map(drop)
    }

    /// Sets what happens to a message for which there is no place, whatever its sender says.
    ///
    /// # Errors
    /// Those of the call.
    pub fn set_full(&self, answer: AtFull) -> Result<()> {
        port::port_set_full(&MsgRpc, trap::task_self(), self.name(), answer.code()).map(drop)
    }

    /// Changes the capacity; senders that now have a place go on.
    ///
    /// # Errors
    /// `InvalidValue` for a bound above [`Capacity::BOUNDED_MAX`].
    pub fn set_capacity(&self, capacity: Capacity) -> Result<()> {
        port::port_set_backlog(&MsgRpc, trap::task_self(), self.name(), capacity.code()).map(drop)
    }
}
