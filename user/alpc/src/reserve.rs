//! Resource reserves: room for a reply that is taken when memory is there, to be used when it is not.
//!
//! A reply by a reserve takes nothing from the heap; and to who waits for it, it takes nothing from the kernel
//! either, which copies it straight into the waiting thread's buffer.
//! Invariant: a reserve is in one thread's hand at most. Neighbour: `conversation` replies by them.

use crate::header::PortMessage;
use crate::message::Message;
use crate::status::{Result, Status};
use crate::table::Table;
use alloc::vec::Vec;
use portolan::abi::message::Header;

/// Most bytes of data of a reserve.
pub const RESERVE_MAX: usize = 0xFFD7;

/// The reserves of a port; of one in use there is only the place.
pub(crate) struct Reserves(Table<Option<Vec<u64>>>);

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
        let id = self.0.claim()?;
        self.0.fill(id, Some(buffer));
        Ok(id)
    }

    /// Gives one up.
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
    pub(crate) fn take(&mut self, id: u32, message: &Message<'_>) -> Result<Vec<u64>> {
        let held = self.held(id)?;
        if !message.is_plain() {
            return Err(Status::InvalidParameter);
        }
        if room(message.data.len()) > held.as_ref().map_or(0, Vec::len) {
            return Err(Status::PortMessageTooLong);
        }
        held.take().ok_or(Status::ResourceInUse)
    }

    /// Puts one back.
    pub(crate) fn give_back(&mut self, id: u32, buffer: Vec<u64>) {
        if let Some(held) = self.0.get_mut(id) {
            *held = Some(buffer);
        }
    }

    fn held(&mut self, id: u32) -> Result<&mut Option<Vec<u64>>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_in_one_hand_at_most() {
        let mut reserves = Reserves::new();
        let id = reserves.create(16).expect("memory");
        let message = Message::new(&[0; 16]);
        let held = reserves.take(id, &message).expect("a reserve");
        assert_eq!(reserves.take(id, &message).err(), Some(Status::ResourceInUse));
        assert_eq!(reserves.delete(id), Err(Status::ResourceInUse));
        reserves.give_back(id, held);
        assert!(reserves.take(id, &message).is_ok());
    }

    #[test]
    fn what_is_not_there_or_does_not_fit_is_refused() {
        let mut reserves = Reserves::new();
        let id = reserves.create(16).expect("memory");
        assert_eq!(reserves.take(id, &Message::new(&[0; 17])).err(), Some(Status::PortMessageTooLong));
        assert_eq!(reserves.create(RESERVE_MAX + 1), Err(Status::InvalidParameter));
        assert_eq!(reserves.delete(id), Ok(()));
        assert_eq!(reserves.delete(id), Err(Status::ObjectIdNotFound));
        assert_eq!(reserves.take(id, &Message::new(&[])).err(), Some(Status::ObjectIdNotFound));
    }
}
