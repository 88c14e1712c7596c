//! Sending: what to do when the mailbox is full, and what comes back when it fails.
//!
//! Invariant: a send that failed has lost nothing; the message, rights and all, is
//! in the [`Failure`]. Neighbours: `message` builds them, `receive` is the other end.

use crate::Result;
use crate::layout::Address;
use crate::message::{Message, ORDINARY};
use crate::receive::{Received, Wait, finish, was_sent};
use crate::reply::ReplyPort;
use crate::right::{Right, SendOnceRight, SendRight};
use crate::trap;
use alloc::vec::Vec;
use core::fmt;
use portolan_abi::message::Options;
use portolan_abi::{Disposition, Error, Name};

/// What a sender does when the mailbox is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Wait until there is a place.
    Wait,
    /// Wait at most this many ms.
    WaitMs(u32),
    /// Return at once.
    Return,
    /// Let the kernel cache the message, and be told on the notify port when it has been accepted.
    Cache,
    /// Wait this many ms, then cache.
    WaitMsThenCache(u32),
}

impl WhenFull {
    /// The options that say so, and the timeout.
    #[must_use]
    pub const fn options(self) -> (Options, u32) {
        match self {
            WhenFull::Wait => (Options::empty(), 0),
            WhenFull::WaitMs(ms) => (Options::SEND_TIMEOUT, ms),
            WhenFull::Return => (Options::SEND_TIMEOUT, 0),
            WhenFull::Cache => (Options::SEND_NOTIFY, 0),
            WhenFull::WaitMsThenCache(ms) => (Options::SEND_TIMEOUT.union(Options::SEND_NOTIFY), ms),
        }
    }
}

/// How a message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the mailbox, or its receiver has it.
    Sent,
    /// The mailbox is full: the kernel keeps the message and will announce its acceptance on the notify port.
    Cached,
}

/// Why a call failed, and the message if it is still the sender's.
pub struct Failure<'a> {
    /// Why.
    pub error: Error,
    /// The message, unless it had been sent before something else failed.
    pub message: Option<Message<'a>>,
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.message.is_some() { "not sent" } else { "sent" };
        write!(f, "{:?} ({whose})", self.error)
    }
}

/// Drops the message.
impl From<Failure<'_>> for Error {
    fn from(failure: Failure<'_>) -> Error {
        failure.error
    }
}

impl SendRight {
    /// Sends, and waits for a place as long as it takes.
    ///
    /// # Errors
    /// The `Send…` errors.
    pub fn send<'a>(&self, message: Message<'a>) -> Result<(), Failure<'a>> {
        self.send_or(message, WhenFull::Wait).map(drop)
    }

    /// Sends, or does what `when_full` says if the mailbox is full.
    ///
    /// # Errors
    /// The `Send…` errors: `SendTimedOut` where there was no place in time,
    /// `SendNotifyInProgress` where a cached message of this task is there already.
    pub fn send_or<'a>(&self, message: Message<'a>, when_full: WhenFull) -> Result<Taken, Failure<'a>> {
        send(Address::new(self.name(), Disposition::CopySend), message, when_full)
    }

    /// Sends a request and waits for its answer. If the server dies, or drops the
    /// right to answer, the wait ends with `ReceiveReplyLost`.
    ///
    /// # Errors
    /// The `Send…` and `Receive…` errors.
    pub fn rpc<'a>(&self, request: Message<'a>) -> Result<Received, Failure<'a>> {
        rpc(self.name(), request, Options::empty(), 0)
    }

    /// `rpc`, but waits for the answer as `wait` says, and as long for a place.
    ///
    /// # Errors
    /// Also `SendTimedOut`, `ReceiveTimedOut`, `SendInterrupted`, `ReceiveInterrupted`.
    pub fn rpc_or<'a>(&self, request: Message<'a>, wait: Wait) -> Result<Received, Failure<'a>> {
        let (mut options, ms) = wait.options();
        options.set(Options::SEND_TIMEOUT, wait.ms.is_some());
        options.set(Options::SEND_INTERRUPT, wait.abortable);
        rpc(self.name(), request, options, ms)
    }

    /// `rpc`, but waits at most this many ms for a place and then as many for the answer.
    ///
    /// # Errors
    /// Also `SendTimedOut` and `ReceiveTimedOut`.
    pub fn rpc_within<'a>(&self, request: Message<'a>, ms: u32) -> Result<Received, Failure<'a>> {
        self.rpc_or(request, Some(ms).into())
    }
}

impl SendOnceRight {
    /// Sends the one message. There is always a place for it. If that fails, the
    /// right is given up.
    ///
    /// # Errors
    /// `SendInvalidPort`: the port has died. The other `Send…` errors.
    pub fn send<'a>(self, message: Message<'a>) -> Result<(), Failure<'a>> {
        send(Address::new(self.name(), Disposition::MoveSendOnce), message, WhenFull::Return)?;
        let _ = self.into_name();
        Ok(())
    }
}

fn send(to: Address, message: Message<'_>, when_full: WhenFull) -> Result<Taken, Failure<'_>> {
    let (options, timeout) = when_full.options();
    let sent = message.encode(to, message.reply(), 0).and_then(|buffer| trap::msg_send(&buffer, options, timeout));
    let taken = match sent {
        Ok(()) => Taken::Sent,
        Err(Error::SendWillNotify) => Taken::Cached,
        Err(error) => return Err(Failure { error, message: Some(message) }),
    };
    message.sent();
    Ok(taken)
}

fn rpc(to: Name, request: Message<'_>, options: Options, timeout: u32) -> Result<Received, Failure<'_>> {
    // The answer comes to a port of this call's own.
    let request = request.reply_to(Right::Null);
    let (port, mut buffer) = match prepare(to, &request) {
        Ok(prepared) => prepared,
        Err(error) => return Err(Failure { error, message: Some(request) }),
    };
    let outcome = trap::msg_rpc(&mut buffer, port.name(), options, timeout, timeout);
    match outcome.0 {
        Err(error) if !was_sent(outcome.0) => return Err(Failure { error, message: Some(request) }),
        _ => request.sent(),
    }
    match finish(outcome, buffer, port.name(), options & Options::RECEIVE, timeout) {
        Ok(answer) => {
            port.give_back();
            Ok(answer)
        }
        Err(error) => Err(Failure { error, message: None }),
    }
}

/// A reply port, and a buffer with the request in it.
fn prepare(to: Name, request: &Message<'_>) -> Result<(ReplyPort, Vec<u64>)> {
    let port = ReplyPort::take()?;
    let buffer = request.encode(Address::new(to, Disposition::CopySend), port.address(), ORDINARY)?;
    Ok((port, buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_answers_are_the_five_combinations_of_options() {
        assert_eq!(WhenFull::Wait.options(), (Options::empty(), 0));
        assert_eq!(WhenFull::WaitMs(7).options(), (Options::SEND_TIMEOUT, 7));
        assert_eq!(WhenFull::Return.options(), (Options::SEND_TIMEOUT, 0));
        assert_eq!(WhenFull::Cache.options(), (Options::SEND_NOTIFY, 0));
        assert_eq!(WhenFull::WaitMsThenCache(7).options(), (Options::SEND_TIMEOUT | Options::SEND_NOTIFY, 7));
    }
}
