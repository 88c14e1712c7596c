//! A message to be sent: built part by part, holding the rights it will move.
//!
//! Invariant: a right in a message is the message's until it has been sent, and
//! the receiver's from then on; so is memory that it moves. One that is dropped unsent
//! gives them up.
//! Neighbours: `send` sends it, `receive` has its other end.

use crate::Result;
use crate::layout::{Address, addressed, size_of_message, write};
use crate::memory::Memory;
use crate::right::{Right, SendRight};
use alloc::vec::Vec;
use portolan_abi::message::{Descriptor, Header, received_size};
use portolan_abi::{Disposition, Error, Name};
use zerocopy::{Immutable, IntoBytes};

/// A message to be sent.
#[derive(Debug)]
#[must_use = "a message does nothing until it is sent"]
pub struct Message<'a> {
    id: u32,
    reply: Right<'a>,
    parts: Vec<Part<'a>>,
    bytes: Vec<u8>,
}

/// What takes a descriptor of a message.
#[derive(Debug)]
enum Part<'a> {
    Right(Right<'a>),
    /// Send rights, moved, and the array of their names.
    SendRights(Vec<SendRight>, Vec<Name>),
    /// A copy of some bytes.
    Copied(&'a [u8]),
    Moved(Memory),
}

impl Part<'_> {
    fn descriptor(&self) -> Descriptor {
        match self {
            Part::Right(right) => right.descriptor(),
            Part::SendRights(_, names) => Descriptor::ports(
                names.as_ptr().expose_provenance() as u64,
                names.len() as u64,
                Disposition::MoveSend as u8,
            ),
            Part::Copied(bytes) => Descriptor::memory(bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64, 0),
            Part::Moved(memory) => memory.descriptor(),
        }
    }

    /// The message has been sent: what was moved is the receiver's now.
    fn sent(self) {
        match self {
            Part::Right(right) => right.sent(),
            Part::SendRights(rights, _) => rights.into_iter().for_each(|right| Right::Send(right).sent()),
            Part::Copied(_) => {}
            Part::Moved(memory) => memory.sent(),
        }
    }
}

impl<'a> Message<'a> {
    /// An empty message; `id` says what it is.
    pub const fn new(id: u32) -> Message<'a> {
        Message { id, reply: Right::Null, parts: Vec::new(), bytes: Vec::new() }
    }

    /// Adds inline bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Message<'a> {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds the bytes of a value.
    pub fn value(self, value: impl IntoBytes + Immutable) -> Message<'a> {
        self.bytes(value.as_bytes())
    }

    /// Adds text.
    pub fn text(self, text: &str) -> Message<'a> {
        self.bytes(text.as_bytes())
    }

    /// Adds a right: an owned one is moved, a borrowed send right copied.
    pub fn right(mut self, right: impl Into<Right<'a>>) -> Message<'a> {
        self.parts.push(Part::Right(right.into()));
        self
    }

    /// Adds an array of send rights, moved. It arrives as one ([`Received::take_rights`](crate::Received::take_rights)).
    pub fn rights(mut self, rights: Vec<SendRight>) -> Message<'a> {
        let names = rights.iter().map(SendRight::name).collect();
        self.parts.push(Part::SendRights(rights, names));
        self
    }

    /// Adds a copy of bytes as they are when the message is sent, out of line: however many
    /// they are, no whole page is copied until one side writes it.
    pub fn memory(mut self, bytes: &'a [u8]) -> Message<'a> {
        self.parts.push(Part::Copied(bytes));
        self
    }

    /// Adds memory that moves to the receiver.
    pub fn moved_memory(mut self, memory: Memory) -> Message<'a> {
        self.parts.push(Part::Moved(memory));
        self
    }

    /// Sets where an answer is to go. (`rpc` does that itself.)
    pub fn reply_to(mut self, right: impl Into<Right<'a>>) -> Message<'a> {
        self.reply = right.into();
        self
    }

    /// What it is.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Bytes of buffer that it takes.
    pub(crate) fn size(&self) -> usize {
        size_of_message(self.parts.len(), self.bytes.len())
    }

    /// Where its answer is to go.
    pub(crate) fn reply(&self) -> Address {
        self.reply.address()
    }

    /// A buffer with the message in it, and room for an answer of at least `answer` bytes.
    pub(crate) fn encode(&self, to: Address, reply: Address, answer: usize) -> Result<Vec<u64>> {
        let mut buffer = buffer(self.size().max(answer))?;
        let descriptors: Vec<_> = self.parts.iter().map(Part::descriptor).collect();
        let header = Header { id: self.id, ..addressed(to, reply) };
        write(&mut buffer, header, &descriptors, &self.bytes);
        Ok(buffer)
    }

    /// It has been sent: what it moved is the receiver's now.
    pub(crate) fn sent(self) {
        self.reply.sent();
        self.parts.into_iter().for_each(Part::sent);
    }
}

/// A zeroed buffer of at least this many bytes.
pub(crate) fn buffer(bytes: usize) -> Result<Vec<u64>> {
    let words = bytes.div_ceil(size_of::<u64>());
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(words).map_err(|_| Error::ResourceShortage)?;
    buffer.resize(words, 0);
    Ok(buffer)
}

/// Bytes of buffer for a message of ordinary size, with its trailer.
pub(crate) const ORDINARY: usize = received_size(size_of_message(4, 512));

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromBytes;

    fn to(name: u32) -> Address {
        Address::new(Name(name), Disposition::CopySend)
    }

    #[test]
    fn a_built_message_lies_as_the_kernel_reads_it() {
        let message = Message::new(9).text("ab").value(0x0403_u16).right(Right::Null).reply_to(Right::Null);
        let buffer = message.encode(to(0x100001), message.reply(), 0).expect("memory");
        let bytes = buffer.as_bytes();
        let (header, rest) = Header::read_from_prefix(bytes).expect("a header");
        assert_eq!(
            header,
            Header { bits: 19, size: 52, remote: Name(0x100001), local: Name::NULL, id: 9, descriptors: 1 }
        );
        assert_eq!(Descriptor::read_from_prefix(rest).expect("a descriptor").0, Descriptor::port(Name::NULL, 19));
        assert_eq!(&bytes[48..52], b"ab\x03\x04");
    }

    #[test]
    fn a_buffer_has_room_for_the_answer() {
        let message = Message::new(0);
        assert_eq!(message.encode(to(1), Address::NONE, 100).expect("memory").len(), 13);
        assert_eq!(message.encode(to(1), Address::NONE, 0).expect("memory").len(), 3);
    }
}
