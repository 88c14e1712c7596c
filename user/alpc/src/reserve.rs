//! Resource reserves: room for a reply that is taken when memory is there, to be used when it is not.
//!
//! A reply by a reserve takes nothing from the heap; and to who waits for it, it takes nothing from the kernel
//! either, which copies it straight into the waiting thread's buffer. One that has to be queued brings a send-once
//! right to the reserve's own port. While that right is there the reply has not been received, and the reserve is in use.
//! Invariant: a reserve is in one thread's hand at most, and has one reply on its way. Neighbour: `conversation`
//! replies by them.

use crate::header::PortMessage;
use crate::message::Message;
use crate::status::{Result, Status};
use crate::table::Table;
use alloc::vec::Vec;
use portolan::abi::message::Header;
use portolan::{Capacity, ReceiveRight};

/// Most bytes of data of a reserve.
pub const RESERVE_MAX: usize = 0xFFD7;

/// The reserves of a port; of one in a thread's hand there is only the place.
pub(crate) struct Reserves(Table<Option<Reserve>>);

/// A reserve.
pub(crate) struct Reserve {
    pub(crate) buffer: Vec<u64>,
    /// A right to it is on its way with a reply.
    pub(crate) flight: ReceiveRight,
}

impl Reserves {
    pub(crate) const fn new() -> Reserves {
        Reserves(Table::new())
    }

    /// Makes one for a message with this much data.
    ///
    /// # Errors
    /// `InvalidParameter`: more than [`RESERVE_MAX`]. `InsufficientResources`.
    pub(crate) fn create(&mut self, data: usize) -> Result<u32> {
        if data > RESERVE_MAX {
            return Err(Status::InvalidParameter);
        }
        let words = room(data);
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(words).map_err(|_| Status::InsufficientResources)?;
        buffer.resize(words, 0);
        let flight = ReceiveRight::allocate(Capacity::Zero)?;
        let id = self.0.claim()?;
        self.0.fill(id, Some(Reserve { buffer, flight }));
        Ok(id)
    }

    /// Gives one up. A reply on its way stays so.
    ///
    /// # Errors
    /// `ObjectIdNotFound`; `ResourceInUse`.
    pub(crate) fn delete(&mut self, id: u32) -> Result<()> {
        self.held(id)?;
        self.0.take(id);
        Ok(())
    }

    /// Takes one, to send this message.
    ///
    /// # Errors
    /// `ObjectIdNotFound`; `ResourceInUse`. `InvalidParameter`: the message has more than data.
    /// `PortMessageTooLong`: it is longer than the reserve.
    pub(crate) fn take(&mut self, id: u32, message: &Message<'_>) -> Result<Reserve> {
        let held = self.held(id)?;
        if !message.is_plain() {
            return Err(Status::InvalidParameter);
        }
        let Some(reserve) = held else { return Err(Status::ResourceInUse) };
        if room(message.data.len()) > reserve.buffer.len() {
            return Err(Status::PortMessageTooLong);
        }
        if reserve.flight.status()?.send_once_rights > 0 {
            return Err(Status::ResourceInUse);
        }
        held.take().ok_or(Status::ResourceInUse)
    }

    /// Puts one back.
    pub(crate) fn give_back(&mut self, id: u32, reserve: Reserve) {
        if let Some(held) = self.0.get_mut(id) {
            *held = Some(reserve);
        }
    }

    fn held(&mut self, id: u32) -> Result<&mut Option<Reserve>> {
        match self.0.get_mut(id) {
            None => Err(Status::ObjectIdNotFound),
            Some(None) => Err(Status::ResourceInUse),
            Some(held) => Ok(held),
        }
    }
}

/// Words of buffer for a message with this much data.
const fn room(data: usize) -> usize {
    (Header::SIZE + PortMessage::SIZE + data).div_ceil(size_of::<u64>())
}
