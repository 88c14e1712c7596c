//! Receiving: messages as they arrive, and the loop of a server.
//!
//! Invariant: a right that a message brought is its receiver's from the moment it
//! is received: taken out of the [`Received`], or given up with it.
//! Neighbours: `send` is the other end, `notification` reads the kernel's messages.

use crate::Result;
use crate::layout::{Parts, parts};
use crate::memory::Memory;
use crate::message::{Message, ORDINARY, buffer};
use crate::right::{ReceiveRight, Right, SendOnceRight, SendRight};
use crate::send::WhenFull;
use crate::trap;
use alloc::vec::Vec;
use core::fmt;
use portolan_abi::message::{Descriptor, Options, SecurityToken, Trailer};
use portolan_abi::{Error, Name};
use zerocopy::FromBytes;

/// A message that has arrived.
#[must_use = "dropping a message gives up the rights in it"]
pub struct Received {
    buffer: Vec<u64>,
    reply: Right<'static>,
    /// One bit a descriptor: what it brought has been taken out.
    taken: u64,
}

impl Received {
    /// The message that the kernel has put into this buffer.
    pub(crate) fn new(buffer: Vec<u64>) -> Received {
        let mut received = Received { buffer, reply: Right::Null, taken: 0 };
        let header = received.parts().header;
        received.reply = Right::from_parts(header.remote, header.remote_disposition());
        received
    }

    fn parts(&self) -> Parts<'_> {
        parts(&self.buffer).expect("the kernel puts whole messages into buffers")
    }

    /// What it is: the id that its sender gave it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.parts().header.id
    }

    /// The inline bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.parts().bytes
    }

    /// The inline bytes as text.
    ///
    /// # Errors
    /// `BadArguments`: they are not UTF-8.
    pub fn text(&self) -> Result<&str> {
        core::str::from_utf8(self.bytes()).map_err(|_| Error::BadArguments)
    }

    /// The inline bytes as one value.
    ///
    /// # Errors
    /// `BadArguments`: they have another length.
    pub fn value<T: FromBytes>(&self) -> Result<T> {
        T::read_from_bytes(self.bytes()).map_err(|_| Error::BadArguments)
    }

    /// How many rights, arrays of rights and regions of memory it brought, taken ones included.
    #[must_use]
    pub fn rights(&self) -> usize {
        self.parts().descriptors.len()
    }

    /// Takes out a right. `Null` where there is none (any more).
    pub fn take_right(&mut self, index: usize) -> Right<'static> {
        self.take(index, Descriptor::PORT).map_or(Right::Null, |descriptor| Right::arrived(&descriptor))
    }

    /// Takes out a region of memory.
    ///
    /// # Errors
    /// `InvalidArgument`: there is none (any more) in this place.
    pub fn take_memory(&mut self, index: usize) -> Result<Memory> {
        let descriptor = self.take(index, Descriptor::MEMORY).ok_or(Error::InvalidArgument)?;
        Ok(Memory::arrived(&descriptor))
    }

    /// Takes out an array of rights.
    ///
    /// # Errors
    /// `InvalidArgument`: there is none (any more) in this place.
    pub fn take_rights(&mut self, index: usize) -> Result<Vec<Right<'static>>> {
        let array = self.take(index, Descriptor::PORTS).ok_or(Error::InvalidArgument)?;
        let names = Memory::arrived(&Descriptor { size: array.size * size_of::<Name>() as u64, ..array });
        let names = names.chunks_exact(size_of::<Name>()).filter_map(|name| Name::read_from_bytes(name).ok());
        Ok(names.map(|name| Right::from_parts(name, array.disposition)).collect())
    }

    /// A descriptor of this kind, once.
    fn take(&mut self, index: usize, kind: u8) -> Option<Descriptor> {
        let descriptor = *self.parts().descriptors.get(index)?;
        let bit = 1 << index;
        if descriptor.kind != kind || self.taken & bit != 0 {
            return None;
        }
        self.taken |= bit;
        Some(descriptor)
    }

    /// Takes out a right that must be a send right.
    ///
    /// # Errors
    /// `InvalidCapability`: it is none. What it was instead is given up.
    pub fn take_send(&mut self, index: usize) -> Result<SendRight> {
        self.take_right(index).try_into()
    }

    /// Takes out a right that must be a send-once right.
    ///
    /// # Errors
    /// As for [`Received::take_send`].
    pub fn take_send_once(&mut self, index: usize) -> Result<SendOnceRight> {
        self.take_right(index).try_into()
    }

    /// Takes out a right that must be a receive right.
    ///
    /// # Errors
    /// As for [`Received::take_send`].
    pub fn take_receive(&mut self, index: usize) -> Result<ReceiveRight> {
        self.take_right(index).try_into()
    }

    /// Takes out the right to answer, to do so later. `Null` if no answer is wanted.
    pub fn take_reply(&mut self) -> Right<'static> {
        core::mem::replace(&mut self.reply, Right::Null)
    }

    /// Answers. Never waits: a client that leaves no room for its answer does not get it.
    ///
    /// # Errors
    /// `SendInvalidPort`: the client is gone, or wants no answer. The other `Send…` errors.
    pub fn answer(&mut self, answer: Message<'_>) -> Result<()> {
        self.take_reply().answer(answer)
    }

    /// What the kernel says of it: sender, number, cause, position.
    #[must_use]
    pub fn trailer(&self) -> &Trailer {
        self.parts().trailer
    }

    /// The name of the port that it came to: of a set, which of its members.
    #[must_use]
    pub fn port(&self) -> Name {
        self.parts().header.local
    }

    /// The number that its receiver has set on that port, if it has one.
    #[must_use]
    pub fn payload(&self) -> Option<u64> {
        let trailer = self.trailer();
        (trailer.flags & Trailer::PAYLOAD != 0).then_some(trailer.payload)
    }

    /// Whether the kernel itself has sent it: a notice, an interrupt.
    #[must_use]
    pub fn is_from_kernel(&self) -> bool {
        self.trailer().flags & Trailer::FROM_KERNEL != 0
    }

    /// Who the sending task acts for.
    #[must_use]
    pub fn security(&self) -> SecurityToken {
        self.trailer().security
    }

    /// Identifies the sending task, for ever.
    #[must_use]
    pub fn sender(&self) -> u64 {
        self.trailer().sender
    }
}

impl Right<'static> {
    /// Answers through this right. Never waits: a client that leaves no room for its answer does
    /// not get it.
    pub(crate) fn answer(self, answer: Message<'_>) -> Result<()> {
        match self {
            Right::SendOnce(client) => Ok(client.send(answer)?),
            Right::Send(client) => Ok(client.send_or(answer, WhenFull::Return).map(drop)?),
            _ => Err(Error::SendInvalidPort),
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        for index in 0..self.rights() {
            drop(self.take_right(index));
            drop(self.take_memory(index));
            drop(self.take_rights(index));
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        f.debug_struct("Received")
            .field("header", parts.header)
            .field("descriptors", &parts.descriptors)
            .field("bytes", &parts.bytes.len())
            .field("trailer", parts.trailer)
            .finish()
    }
}

/// How long to wait for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wait {
    /// At most this many ms; `None`: as long as it takes.
    pub ms: Option<u32>,
    /// `thread_abort` ends the wait before, with `ReceiveInterrupted`. Else it goes on.
    pub abortable: bool,
}

impl Wait {
    /// The options that say so, and the timeout.
    #[must_use]
    pub const fn options(self) -> (Options, u32) {
        let timeout = match self.ms {
            Some(ms) => (Options::RCV_TIMEOUT, ms),
            None => (Options::empty(), 0),
        };
        match self.abortable {
            true => (timeout.0.union(Options::RCV_INTERRUPT), timeout.1),
            false => timeout,
        }
    }
}

impl From<Option<u32>> for Wait {
    fn from(ms: Option<u32>) -> Wait {
        Wait { ms, abortable: false }
    }
}

impl ReceiveRight {
    /// Receives the next message, and waits for it as long as it takes.
    ///
    /// # Errors
    /// The `Receive…` errors; `ResourceShortage` if there is no memory for the message, which stays queued.
    pub fn receive(&self) -> Result<Received> {
        ordinary(self.name(), Options::empty(), 0)
    }

    /// Receives the next message, and waits for it at most this many ms.
    ///
    /// # Errors
    /// Also `ReceiveTimedOut`.
    pub fn receive_within(&self, ms: u32) -> Result<Received> {
        self.receive_or(Some(ms).into())
    }

    /// Receives the next message, and waits for it as `wait` says.
    ///
    /// # Errors
    /// Also `ReceiveTimedOut`, `ReceiveInterrupted`.
    pub fn receive_or(&self, wait: Wait) -> Result<Received> {
        let (options, timeout) = wait.options();
        ordinary(self.name(), options, timeout)
    }

    /// Serves: receives requests, lets `handle` answer them, and sends each answer
    /// together with receiving the next request, in one trap. A client that has
    /// gone is passed over. Returns after [`Answer::Stop`].
    ///
    /// # Errors
    /// The `Receive…` errors, `ResourceShortage`.
    pub fn serve<'a>(&self, handle: impl FnMut(&mut Received) -> Answer<'a>) -> Result<()> {
        serve(self.name(), handle)
    }
}

/// Receives an ordinary message from a port or set.
pub(crate) fn ordinary(from: Name, options: Options, timeout: u32) -> Result<Received> {
    receive(from, ORDINARY, options, timeout)
}

/// Serves a port or set.
pub(crate) fn serve<'a>(from: Name, mut handle: impl FnMut(&mut Received) -> Answer<'a>) -> Result<()> {
    let mut request = ordinary(from, Options::empty(), 0)?;
    loop {
        let answer = handle(&mut request);
        let client = request.take_reply();
        // What the request brought and nobody took is given up before the server waits again.
        drop(request);
        request = match answer {
            Answer::Reply(answer) => answer_and_receive(client, answer, from)?,
            Answer::Nothing => {
                drop(client);
                ordinary(from, Options::empty(), 0)?
            }
            Answer::Stop => return Ok(()),
        };
    }
}

fn answer_and_receive(client: Right<'_>, answer: Message<'_>, from: Name) -> Result<Received> {
    let mut buffer = answer.encode(client.address(), answer.reply(), ORDINARY)?;
    // The answer waits for no room (a send-once right needs none): a server waits for no client.
    let outcome = trap::msg_rpc(&mut buffer, from, Options::SEND_TIMEOUT, 0, 0);
    if was_sent(outcome.0) {
        client.sent();
        answer.sent();
        finish(outcome, buffer, from, Options::empty(), 0)
    } else {
        // The client is gone, or wanted no answer.
        drop((client, answer));
        ordinary(from, Options::empty(), 0)
    }
}

/// What a server does with a request.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Answers it, and goes on.
    Reply(Message<'a>),
    /// Goes on. The request got no answer, or has it already.
    Nothing,
    /// Serves no more.
    Stop,
}

impl<'a> From<Message<'a>> for Answer<'a> {
    fn from(message: Message<'a>) -> Answer<'a> {
        Answer::Reply(message)
    }
}

/// Whether the sending half of a call that did both had been done.
pub(crate) fn was_sent(result: Result<()>) -> bool {
    result.is_ok() || result.is_err_and(|error| matches!(error.code(), -299..=-200))
}

/// The message that a call of both halves brought; with a larger buffer if it needs one.
pub(crate) fn finish(
    outcome: (Result<()>, usize),
    buffer: Vec<u64>,
    port: Name,
    options: Options,
    timeout: u32,
) -> Result<Received> {
    match outcome {
        (Err(Error::ReceiveTooLarge), needed) => receive(port, needed, options, timeout),
        (result, _) => result.map(|()| Received::new(buffer)),
    }
}

/// Receives into a buffer of `size` bytes, or a larger one if the message needs it.
pub(crate) fn receive(port: Name, mut size: usize, options: Options, timeout: u32) -> Result<Received> {
    loop {
        let mut buffer = buffer(size)?;
        match trap::msg_receive(&mut buffer, port, options, timeout) {
            // It stays queued. Each turn has a larger buffer, so there are few.
            (Err(Error::ReceiveTooLarge), needed) if needed > size => size = needed,
            (result, _) => return result.map(|()| Received::new(buffer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Address, addressed, write};
    use portolan_abi::message::{Header, received_size};

    fn arrived(descriptors: &[Descriptor], bytes: &[u8]) -> Received {
        let size = crate::layout::size_of_message(descriptors.len(), bytes.len());
        let mut buffer = buffer(received_size(size)).expect("memory");
        write(&mut buffer, Header { id: 3, ..addressed(Address::NONE, Address::NONE) }, descriptors, bytes);
        Received::new(buffer)
    }

    #[test]
    fn a_message_has_gone_unless_the_sending_half_failed() {
        assert!(was_sent(Ok(())));
        for error in Error::ALL {
            let of_receive = error.classic_name().starts_with("RCV_");
            assert_eq!(was_sent(Err(*error)), of_receive, "{error:?}");
        }
    }

    #[test]
    fn a_wait_is_its_options() {
        assert_eq!(Wait::default().options(), (Options::empty(), 0));
        assert_eq!(Wait::from(Some(0)).options(), (Options::RCV_TIMEOUT, 0));
        let both = Wait { ms: Some(7), abortable: true };
        assert_eq!(both.options(), (Options::RCV_TIMEOUT | Options::RCV_INTERRUPT, 7));
    }

    #[test]
    fn bytes_are_read_as_text_or_as_a_value_of_their_length() {
        let message = arrived(&[], b"abcd");
        assert_eq!((message.id(), message.text()), (3, Ok("abcd")));
        assert_eq!(message.value::<u32>(), Ok(u32::from_le_bytes(*b"abcd")));
        assert_eq!(message.value::<u64>(), Err(Error::BadArguments));
        assert_eq!(arrived(&[], &[0xff]).text(), Err(Error::BadArguments));
    }

    #[test]
    fn a_right_is_taken_once() {
        let mut message = arrived(&[Descriptor::port(Name(8), 17)], &[]);
        assert_eq!(message.rights(), 1);
        let Right::Send(right) = message.take_right(0) else { panic!("a send right") };
        assert_eq!(right.into_name(), Name(8));
        assert!(matches!(message.take_right(0), Right::Null));
        assert!(matches!(message.take_right(1), Right::Null));
    }

    #[test]
    fn no_right_in_a_message_is_no_send_right() {
        let mut message = arrived(&[Descriptor::default()], &[]);
        assert_eq!(message.take_send(0).err(), Some(Error::InvalidCapability));
    }
}
