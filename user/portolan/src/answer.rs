//! Answers through send-once rights that must not be lost: one that fails leaves the right.
//!
//! [`SendOnceRight::send`] gives the right up whatever happens, which is all that most servers want.
//! Here the right comes back in [`Unanswered`] unless the answer has gone, so that a server short of memory
//! can answer again, and an answer can itself be a question, which is waited for.
//! Neighbours: `send`, `receive`, `reply` for the port of such a question.

use crate::Result;
use crate::layout::{Address, addressed};
use crate::message::{Message, ORDINARY};
use crate::port_set::PortSet;
use crate::receive::{Received, Wait, finish, was_sent};
use crate::reply::ReplyPort;
use crate::right::{Right, SendOnceRight};
use crate::trap;
use portolan_abi::message::{Header, Options};
use portolan_abi::{Disposition, Error};
use zerocopy::IntoBytes;

/// Why an answer did not go, or what came after it did not come.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub error: Error,
    /// The right, unless the answer has gone through it.
    pub right: Option<SendOnceRight>,
}

impl SendOnceRight {
    fn address(&self) -> Address {
        Address::new(self.name(), Disposition::MoveSendOnce)
    }

    /// Sends the one message.
    ///
    /// # Errors
    /// The `Send…` errors, with the right.
    pub fn answer(self, message: Message<'_>) -> Result<(), Unanswered> {
        let sent = message
            .encode(self.address(), message.reply(), 0)
            .and_then(|buffer| trap::msg_send(&buffer, Options::SEND_TIMEOUT, 0));
        self.gone(sent)?;
        message.sent();
        Ok(())
    }

    /// Sends the one message, of these bytes and with this right to answer it, laid out in `buffer`: nothing comes from
    /// the heap.
    ///
    /// # Errors
    /// `NoSpace`: the buffer is too small. The `Send…` errors. The right comes with each.
    pub fn answer_in(self, buffer: &mut [u64], id: u32, reply: Right<'_>, bytes: &[&[u8]]) -> Result<(), Unanswered> {
        let sent = lay_out(buffer, Header { id, ..addressed(self.address(), reply.address()) }, bytes)
            .and_then(|()| trap::msg_send(buffer, Options::SEND_TIMEOUT, 0));
        self.gone(sent)?;
        reply.sent();
        Ok(())
    }

    /// Sends the one message, and waits for what is sent through the send-once right that it brings. If that
    /// right is lost, `ReceiveReplyLost`.
    ///
    /// # Errors
    /// The `Send…` errors, with the right; the `Receive…` errors.
    pub fn rpc(self, message: Message<'_>, wait: Wait) -> Result<Received, Unanswered> {
        let prepared = ReplyPort::take()
            .and_then(|port| message.encode(self.address(), port.address(), ORDINARY).map(|buffer| (port, buffer)));
        let (port, mut buffer) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err(Unanswered { error, right: Some(self) }),
        };
        let (options, ms) = wait.options();
        let outcome = trap::msg_rpc(&mut buffer, port.name(), options, 0, ms);
        self.gone(if was_sent(outcome.0) { Ok(()) } else { outcome.0 })?;
        message.sent();
        let answer =
            finish(outcome, buffer, port.name(), options, ms).map_err(|error| Unanswered { error, right: None })?;
        port.give_back();
        Ok(answer)
    }

    /// The right has been used if the message was sent.
    fn gone(self, sent: Result<()>) -> Result<(), Unanswered> {
        match sent {
            Ok(()) => {
                let _ = self.into_name();
                Ok(())
            }
            Err(error) => Err(Unanswered { error, right: Some(self) }),
        }
    }
}

impl PortSet {
    /// Answers, and in the same trap waits for the next message.
    ///
    /// # Errors
    /// The `Send…` errors, with the right, and nothing was waited for; the `Receive…` errors.
    pub fn answer_and_receive(
        &self,
        client: SendOnceRight,
        answer: Message<'_>,
        wait: Wait,
    ) -> Result<Received, Unanswered> {
        let mut buffer = match answer.encode(client.address(), answer.reply(), ORDINARY) {
            Ok(buffer) => buffer,
            Err(error) => return Err(Unanswered { error, right: Some(client) }),
        };
        let (options, ms) = wait.options();
        let outcome = trap::msg_rpc(&mut buffer, self.name(), options, 0, ms);
        client.gone(if was_sent(outcome.0) { Ok(()) } else { outcome.0 })?;
        answer.sent();
        finish(outcome, buffer, self.name(), options, ms).map_err(|error| Unanswered { error, right: None })
    }
}

fn lay_out(buffer: &mut [u64], header: Header, bytes: &[&[u8]]) -> Result<()> {
    let size = Header::SIZE + bytes.iter().map(|part| part.len()).sum::<usize>();
    let to = buffer.as_mut_bytes().get_mut(..size).ok_or(Error::NoSpace)?;
    let (head, mut rest) = to.split_at_mut(Header::SIZE);
    head.copy_from_slice(Header { size: size as u32, ..header }.as_bytes());
    for part in bytes {
        let (place, after) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_abi::Name;

    #[test]
    fn parts_lie_one_after_the_other_behind_the_header() {
        let mut buffer = [0; 4];
        let to = Address::new(Name(7), Disposition::MoveSendOnce);
        lay_out(&mut buffer, Header { id: 9, ..addressed(to, Address::NONE) }, &[b"ab", b"cde"]).expect("room");
        assert_eq!(&buffer.as_bytes()[..8], [18, 0, 0, 0, 29, 0, 0, 0]);
        assert_eq!(&buffer.as_bytes()[24..29], b"abcde");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let to = Address::new(Name(7), Disposition::MoveSendOnce);
        assert_eq!(lay_out(&mut [0; 3], addressed(to, Address::NONE), &[b"a"]), Err(Error::NoSpace));
    }
}
