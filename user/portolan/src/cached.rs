//! The message that the kernel caches, in its sender's hand: looked at, replaced, taken back.
//!
//! Invariant: what the message has moved is the [`TakenBack`]'s again, to be taken out or given up
//! with it; what it had copied or made is no more, and the right that was copied is whose it was.
//! Neighbours: `send` has the kernel cache a message, `notification` tells when it is accepted.

use crate::Result;
use crate::interface::MsgRpc;
use crate::layout::{Address, Content, content};
use crate::memory::Memory;
use crate::message::{Message, buffer};
use crate::right::{ReceiveRight, Right, SendOnceRight, SendRight};
use crate::send::Failure;
use crate::trap;
use alloc::vec::Vec;
use portolan_abi::message::Descriptor;
use portolan_abi::port::{self, results::PortCached};
use portolan_abi::{Disposition, Error, Name};
use zerocopy::FromBytes;

impl SendRight {
    /// The message that the kernel caches for the port, of this task or of this thread of its.
    ///
    /// # Errors
    /// `Failure`: there is none, or it has been accepted.
    pub fn cached(&self, thread: Option<&SendRight>) -> Result<PortCached> {
        Ok(port::port_cached(&MsgRpc, trap::task_self(), self.name(), name_of(thread))?.results)
    }

    /// Takes the cached message back.
    ///
    /// # Errors
    /// Those of [`port_cached_take_back`](port::port_cached_take_back).
    pub fn take_back(&self, thread: Option<&SendRight>) -> Result<TakenBack> {
        let (mut old, room) = self.room(thread)?;
        let (task, address) = (trap::task_self(), old.as_mut_ptr().expose_provenance() as u64);
        port::port_cached_take_back(&MsgRpc, task, self.name(), name_of(thread), address, room, 0)?;
        Ok(TakenBack::new(old))
    }

    /// Puts a message in the place of the cached one, and takes that back. The new one is announced when it
    /// is accepted.
    ///
    /// # Errors
    /// Those of [`port_cached_replace`](port::port_cached_replace); then nothing has changed.
    pub fn replace_cached<'a>(
        &self,
        thread: Option<&SendRight>,
        message: Message<'a>,
    ) -> Result<TakenBack, Failure<'a>> {
        match self.replace_by(thread, &message) {
            Ok(old) => {
                message.sent();
                Ok(old)
            }
            Err(error) => Err(Failure { error, message: Some(message) }),
        }
    }

    fn replace_by(&self, thread: Option<&SendRight>, message: &Message<'_>) -> Result<TakenBack> {
        let new = message.encode(Address::new(self.name(), Disposition::CopySend), message.reply(), 0)?;
        let (mut old, room) = self.room(thread)?;
        let (task, address) = (trap::task_self(), old.as_mut_ptr().expose_provenance() as u64);
        let (from, size) = (new.as_ptr().expose_provenance() as u64, message.size() as u32);
        port::port_cached_replace(&MsgRpc, task, self.name(), name_of(thread), from, size, room, address)?;
        Ok(TakenBack::new(old))
    }

    /// A buffer for the cached message, and its bytes.
    fn room(&self, thread: Option<&SendRight>) -> Result<(Vec<u64>, u32)> {
        let room = self.cached(thread)?.size;
        Ok((buffer(room as usize)?, room))
    }
}

fn name_of(thread: Option<&SendRight>) -> Name {
    thread.map_or(Name::NULL, SendRight::name)
}

/// A message that its sender has taken back.
#[derive(Debug)]
#[must_use = "dropping it gives up what it had moved"]
pub struct TakenBack {
    buffer: Vec<u64>,
    reply: Right<'static>,
    /// One bit a descriptor: what it had moved has been taken out.
    taken: u64,
}

impl TakenBack {
    /// The message that the kernel has put into this buffer.
    fn new(buffer: Vec<u64>) -> TakenBack {
        let mut back = TakenBack { buffer, reply: Right::Null, taken: 0 };
        let header = back.content().header;
        back.reply = moved(header.local, header.local_disposition());
        back
    }

    fn content(&self) -> Content<'_> {
        content(&self.buffer).expect("the kernel puts whole messages into buffers")
    }

    /// The id that it was sent with.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.content().header.id
    }

    /// Its inline bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.content().bytes
    }

    /// How many rights, arrays of rights and regions of memory it had, taken ones included.
    #[must_use]
    pub fn rights(&self) -> usize {
        self.content().descriptors.len()
    }

    /// Takes out a right that it had moved. `Null` where there is none (any more).
    pub fn take_right(&mut self, index: usize) -> Right<'static> {
        let right = self.take(index, Descriptor::PORT);
        right.map_or(Right::Null, |descriptor| moved(descriptor.name, descriptor.disposition))
    }

    /// Takes out an array of rights that it had moved.
    ///
    /// # Errors
    /// `InvalidArgument`: there is none (any more) in this place.
    pub fn take_rights(&mut self, index: usize) -> Result<Vec<Right<'static>>> {
        let array = self.take(index, Descriptor::PORTS).ok_or(Error::InvalidArgument)?;
        let names = Memory::arrived(&Descriptor { size: array.size * size_of::<Name>() as u64, ..array });
        let names = names.chunks_exact(size_of::<Name>()).filter_map(|name| Name::read_from_bytes(name).ok());
        Ok(names.map(|name| moved(name, array.disposition)).collect())
    }

    /// Takes out a region of memory, as it was when it was sent.
    ///
    /// # Errors
    /// `InvalidArgument`: there is none (any more) in this place.
    pub fn take_memory(&mut self, index: usize) -> Result<Memory> {
        let descriptor = self.take(index, Descriptor::MEMORY).ok_or(Error::InvalidArgument)?;
        Ok(Memory::arrived(&descriptor))
    }

    /// Takes out the right to answer, if it had moved one.
    pub fn take_reply(&mut self) -> Right<'static> {
        core::mem::replace(&mut self.reply, Right::Null)
    }

    /// A descriptor of this kind, once.
    fn take(&mut self, index: usize, kind: u8) -> Option<Descriptor> {
        let descriptor = *self.content().descriptors.get(index)?;
        let bit = 1 << index;
        if descriptor.kind != kind || self.taken & bit != 0 {
            return None;
        }
        self.taken |= bit;
        Some(descriptor)
    }
}

impl Drop for TakenBack {
    fn drop(&mut self) {
        for index in 0..self.rights() {
            drop(self.take_right(index));
            drop(self.take_memory(index));
            drop(self.take_rights(index));
        }
    }
}

/// The right that this disposition moves; `Null` for one that it copies or makes.
fn moved(name: Name, disposition: u8) -> Right<'static> {
    match (name, Disposition::from_code(disposition)) {
        (Name::NULL, _) => Right::Null,
        (Name::DEAD, _) => Right::Dead,
        (_, Some(Disposition::MoveSend)) => Right::Send(SendRight::from_name(name)),
        (_, Some(Disposition::MoveSendOnce)) => Right::SendOnce(SendOnceRight::from_name(name)),
        (_, Some(Disposition::MoveReceive)) => Right::Receive(ReceiveRight::from_name(name)),
        _ => Right::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_moved_comes_back() {
        for (disposition, owned) in [
            (Disposition::MoveSend, true),
            (Disposition::MoveReceive, true),
            (Disposition::MoveSendOnce, true),
            (Disposition::CopySend, false),
            (Disposition::MakeSend, false),
            (Disposition::MakeSendOnce, false),
        ] {
            let right = moved(Name(5), disposition as u8);
            assert_eq!(!matches!(right, Right::Null), owned, "{disposition:?}");
            right.sent();
        }
    }
}
