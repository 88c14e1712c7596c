//! A message to be sent: built part by part, holding the rights it will move.
//!
//! Invariant: a right in a message is the message's until it has been sent, and
//! the receiver's from then on. One that is dropped unsent gives its rights up.
//! Neighbours: `send` sends it, `receive` has its other end.

use crate::Result;
use crate::layout::{Address, addressed, size_of_message, write};
use crate::right::Right;
use alloc::vec::Vec;
use portolan_abi::Error;
use portolan_abi::message::{Header, received_size};
use zerocopy::{Immutable, IntoBytes};

/// A message to be sent.
#[derive(Debug)]
#[must_use = "a message does nothing until it is sent"]
pub struct Message<'a> {
    id: u32,
    reply: Right<'a>,
    rights: Vec<Right<'a>>,
    bytes: Vec<u8>,
}

impl<'a> Message<'a> {
    /// An empty message; `id` says what it is.
    pub const fn new(id: u32) -> Message<'a> {
        Message { id, reply: Right::Null, rights: Vec::new(), bytes: Vec::new() }
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
        self.rights.push(right.into());
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
    fn size(&self) -> usize {
        size_of_message(self.rights.len(), self.bytes.len())
    }

    /// Where its answer is to go.
    pub(crate) fn reply(&self) -> Address {
        self.reply.address()
    }

    /// A buffer with the message in it, and room for an answer of at least `answer` bytes.
    pub(crate) fn encode(&self, to: Address, reply: Address, answer: usize) -> Result<Vec<u64>> {
        let mut buffer = buffer(self.size().max(answer))?;
        let descriptors: Vec<_> = self.rights.iter().map(Right::descriptor).collect();
        let header = Header { id: self.id, ..addressed(to, reply) };
        write(&mut buffer, header, &descriptors, &self.bytes);
        Ok(buffer)
    }

    /// It has been sent: what it moved is the receiver's now.
    pub(crate) fn sent(self) {
        self.reply.sent();
        self.rights.into_iter().for_each(Right::sent);
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
    use portolan_abi::message::Descriptor;
    use portolan_abi::{Disposition, Name};
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
