//! Requests that are answered later, or when their time has come.
//!
//! Neighbours: `queue` keeps them in line, `lib` answers.

use portolan::{Message, Received, Right};
use portolan_posix::queue::protocol::{RECEIVE, ReceiveHead, SEND, SendHead, TakenHead};
use portolan_posix::{Errno, Result};
use zerocopy::{FromBytes, IntoBytes};

/// A request of somebody who waits.
pub(crate) struct Waiting {
    /// Through which open queue it came.
    pub(crate) opening: usize,
    /// Until when it waits, in ns of the machine's clock.
    pub(crate) deadline: u64,
    /// The request, with the message if there is one to send.
    pub(crate) request: Received,
}

/// The bytes of the message in a request to send.
pub(crate) fn message_of(request: &Received) -> &[u8] {
    request.bytes().get(size_of::<SendHead>()..).unwrap_or_default()
}

impl Waiting {
    /// The number that the client has given the wait; 0 is none.
    pub(crate) fn number(&self) -> u64 {
        let bytes = self.request.bytes();
        match self.request.id() {
            SEND => SendHead::read_from_prefix(bytes).map_or(0, |(head, _)| head.wait),
            _ => ReceiveHead::read_from_prefix(bytes).map_or(0, |(head, _)| head.wait),
        }
    }
}

/// Answers a request to send or to receive. False: who asked is gone.
pub(crate) fn answer(request: &mut Received, result: Result<(u32, &[u8])>) -> bool {
    let id = if request.id() == SEND { SEND } else { RECEIVE };
    let (errno, priority, bytes) = match result {
        Ok((priority, bytes)) => (0, priority, bytes),
        Err(errno) => (errno.number(), 0, &[][..]),
    };
    request.answer(Message::new(id + ANSWER).bytes(TakenHead { errno, priority }.as_bytes()).bytes(bytes)).is_ok()
}

/// Fails a request.
pub(crate) fn refuse(request: &mut Received, errno: Errno) {
    // Who is gone needs no answer.
    let _ = answer(request, Err(errno));
}

const ANSWER: u32 = portolan::abi::interface::REPLY_OFFSET;

/// The right to be told through, of a request to be told. `Err`: it is none.
pub(crate) fn told(right: Right<'static>) -> Result<Option<portolan::SendOnceRight>> {
    match right {
        Right::Null => Ok(None),
        Right::SendOnce(to) => Ok(Some(to)),
        _ => Err(Errno::Invalid),
    }
}
