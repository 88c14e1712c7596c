//! Requests with somebody waiting: asked, answered, and called back within.
//!
//! Who asks waits in one `msg_rpc` for whatever comes through the send-once right of its request: the reply, or a
//! *callback*, a request within the request, by which the answering side asks for something first. The answer to a
//! callback brings a new right to answer the request, and its sender waits again. So calls nest, in both directions,
//! over the two threads that began; each wait is a plain one for a message through a send-once right, which is what
//! the kernel needs to see to tell who waits for whom, and that the right is lost.
//!
//! Invariant: a [`Question`] without a right is one with a callback out; it gets its new right with the answer to
//! that, or is gone. Neighbours: `inbox` keeps the questions.

use crate::attributes::ImpersonationLevel;
use crate::connection::{Connection, Peer};
use crate::door::Newcomer;
use crate::header::{CONTINUATION_REQUIRED, PortMessage, Type, mach_id};
use crate::inbox::{AnsweredOr, Inbox, Where};
use crate::message::{Impersonation, Message, Received, compose, sized};
use crate::status::{Result, Status};
use alloc::sync::Arc;
use portolan::{Error, Right, SendOnceRight, Task, Unanswered, Wait};
use zerocopy::IntoBytes;

/// How deep callbacks may be nested.
pub const CALLBACK_DEPTH_MAX: u32 = 8;

/// What waits for an answer.
pub(crate) enum Pending {
    /// Somebody who wants to connect.
    Newcomer(Newcomer),
    Request(Question),
}

/// A request that was received and not answered.
pub(crate) struct Question {
    reply: Option<SendOnceRight>,
    /// Its id on the other side.
    theirs: u32,
    connection: u32,
    depth: u32,
    origin: Origin,
    /// Its sender waits in a call.
    waits: bool,
    /// What its sender lets this side do in its name.
    agreed: ImpersonationLevel,
}

/// How a request came, and so what follows its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// Like any message: nothing follows.
    Queue,
    /// As a callback at the port of an asynchronous request: its answer follows there.
    Awaited(u32),
    /// As a callback to a thread that waits: it waits again, for the reply to its request `awaits`. That was made
    /// within the question `within`, if it was a callback itself.
    Wait { awaits: u32, within: Option<u32> },
}

impl Pending {
    pub(crate) fn is_of(&self, connection: u32) -> bool {
        matches!(self, Pending::Request(question) if question.connection == connection)
    }

    pub(crate) fn is_request(&self, connection: u32, theirs: u32) -> bool {
        matches!(self, Pending::Request(question) if question.connection == connection && question.theirs == theirs)
    }
}

impl Question {
    /// The question that a message is, unless it is nested too deeply.
    pub(crate) fn new(reply: SendOnceRight, connection: u32, received: &Received, origin: Origin) -> Option<Question> {
        let PortMessage { message_id: theirs, callback_id, .. } = received.header;
        let depth = u32::try_from(callback_id).ok().filter(|depth| *depth <= CALLBACK_DEPTH_MAX)?;
        let (waits, agreed) = (received.header.kind & CONTINUATION_REQUIRED != 0, received.agreed());
        Some(Question { reply: Some(reply), theirs, connection, depth, origin, waits, agreed })
    }

    /// Tells who asked that there will be no reply.
    pub(crate) fn cancel(self) {
        let header = PortMessage { kind: Type::Canceled as u16, message_id: self.theirs, ..sized(0) };
        if let Some(reply) = self.reply {
            // Whoever has stopped waiting need not be told.
            let _ = reply.answer(compose(header, &[], &[]));
        }
    }
}

/// A question to be answered: taken out of its place for as long as that takes.
struct Taken {
    id: u32,
    reply: SendOnceRight,
    theirs: u32,
    depth: u32,
    origin: Origin,
    waits: bool,
}

impl Inbox {
    /// Sends a request and waits for its reply, or for a callback.
    pub(crate) fn request(&self, connection: &Connection, message: &Message<'_>, wait: Wait) -> Result<Received> {
        let peer = connection.peer()?;
        message.check(peer.max_message_length)?;
        let (id, level) = (self.request_id(), self.security.lock().level(message)?);
        let header = continued(message.header(Type::Request, id, 0));
        let request = message.encode(header, level)?;
        let place = self.pending.lock().claim()?;
        let arrived = peer.port.rpc_or(request, wait).map_err(|failure| failure.error);
        self.conclude(connection.id, &peer, arrived, place, Origin::Wait { awaits: id, within: None })
    }

    /// Answers a request that came like any message.
    pub(crate) fn reply(&self, connection: Option<&Connection>, id: u32, message: &Message<'_>) -> Result<()> {
        let taken = self.take(connection, id, message, is_queued)?;
        let header = message.header(Type::Reply, taken.theirs, 0);
        if let Some(reserve) = message.reserve {
            return self.reply_by(reserve, taken, header, message);
        }
        match self.answer(&taken, header, message) {
            Ok(answer) => self.settle(id, taken.reply.answer(answer)),
            Err(status) => Err(self.put_back(taken, status)),
        }
    }

    /// Answers by a reserve, which is in use until the answer has been received: by one who waits, at once.
    fn reply_by(&self, reserve: u32, taken: Taken, header: PortMessage, message: &Message<'_>) -> Result<()> {
        let held = match taken.origin {
            Origin::Queue => self.reserves.lock().take(reserve, message),
            // It has to bring a right.
            _ => Err(Status::InvalidParameter),
        };
        let mut held = match held {
            Ok(held) => held,
            Err(status) => return Err(self.put_back(taken, status)),
        };
        let until = if taken.waits { Right::Null } else { Right::MakeSendOnce(&held.flight) };
        let bytes = [header.as_bytes(), message.data];
        let outcome = taken.reply.answer_in(&mut held.buffer, mach_id(Type::Reply), until, &bytes);
        self.reserves.lock().give_back(reserve, held);
        self.settle(taken.id, outcome)
    }

    /// Answers a request that came like any message, and receives the next in the same trap.
    pub(crate) fn reply_and_receive(
        &self,
        connection: Option<&Connection>,
        id: u32,
        message: &Message<'_>,
        room: usize,
        wait: Wait,
    ) -> Result<Received> {
        let at = Where::of(connection);
        if message.reserve.is_some() {
            self.reply(connection, id, message)?;
            return self.receive(at, room, wait);
        }
        let taken = self.take(connection, id, message, is_queued)?;
        let header = message.header(Type::Reply, taken.theirs, 0);
        let answer = match self.answer(&taken, header, message) {
            Ok(answer) => answer,
            Err(status) => return Err(self.put_back(taken, status)),
        };
        match self.answer_and_receive(at, taken.reply, answer, room, wait) {
            Err(AnsweredOr::Not(failed)) => self.settle(id, Err(failed)).and(Err(Status::Unsuccessful)),
            Err(AnsweredOr::Then(status)) => {
                self.forget(id);
                Err(status)
            }
            Ok(received) => {
                self.forget(id);
                Ok(received)
            }
        }
    }

    /// Asks, within a request that is not answered yet, who waits for its answer.
    pub(crate) fn callback(
        &self,
        connection: Option<&Connection>,
        id: u32,
        message: &Message<'_>,
        wait: Wait,
    ) -> Result<Received> {
        let taken = self.take(connection, id, message, |_| true)?;
        if taken.depth >= CALLBACK_DEPTH_MAX {
            return Err(self.put_back(taken, Status::ImplementationLimit));
        }
        let awaits = self.request_id();
        let header = continued(message.header(Type::Request, awaits, taken.depth + 1));
        self.converse(taken, header, message, wait, Origin::Wait { awaits, within: Some(id) })
    }

    /// Answers a callback, and waits again for the reply to the request in which it came, or the next callback.
    pub(crate) fn reply_and_wait(&self, id: u32, message: &Message<'_>, wait: Wait) -> Result<Received> {
        let taken = self.take(None, id, message, |origin| matches!(origin, Origin::Wait { .. }))?;
        let header = continued(message.header(Type::Reply, taken.theirs, 0));
        let origin = taken.origin;
        self.converse(taken, header, message, wait, origin)
    }

    /// Sends through the right of a question, and waits for what comes through the new one.
    fn converse(
        &self,
        taken: Taken,
        header: PortMessage,
        message: &Message<'_>,
        wait: Wait,
        follows: Origin,
    ) -> Result<Received> {
        let prepared = self.security.lock().level(message).and_then(|level| {
            let (connection, peer) = self.peer_of(taken.id)?;
            Ok((connection, peer, message.encode(header, level)?, self.pending.lock().claim()?))
        });
        let (connection, peer, message, place) = match prepared {
            Ok(prepared) => prepared,
            Err(status) => return Err(self.put_back(taken, status)),
        };
        let Taken { id, reply, .. } = taken;
        let arrived = match reply.rpc(message, wait) {
            Err(Unanswered { error, right: Some(right) }) => {
                self.pending.lock().release(place);
                return Err(self.failed(id, right, error));
            }
            arrived => arrived.map_err(|failed| failed.error),
        };
        if header.message_type() == Some(Type::Reply) {
            self.forget(id);
        }
        self.conclude(connection, &peer, arrived, place, follows)
    }

    /// What has come to a thread that waits: the reply, or a callback.
    fn conclude(
        &self,
        connection: u32,
        peer: &Arc<Peer>,
        arrived: portolan::Result<portolan::Received>,
        place: u32,
        waits: Origin,
    ) -> Result<Received> {
        let Origin::Wait { awaits, within } = waits else { return Err(Status::InvalidParameter) };
        let mut place = Some(place);
        let concluded = arrived.map_err(Status::from).and_then(|arrived| {
            let mut received = Received::decode(arrived, &self.attributes).ok_or(Status::ReplyMessageMismatch)?;
            received.peer = Some(Arc::clone(peer));
            match received.message_type() {
                Type::Reply if received.message_id() == awaits => Ok(received),
                Type::Request => {
                    self.asked(connection, received, waits, &mut place).ok_or(Status::ReplyMessageMismatch)
                }
                Type::Canceled => Err(Status::MessageLost),
                _ => Err(Status::ReplyMessageMismatch),
            }
        });
        if let Some(place) = place {
            self.pending.lock().release(place);
        }
        match (concluded, within) {
            (Ok(mut received), Some(within)) if received.message_type() == Type::Reply => {
                self.go_on(within, received.take_reply());
                Ok(received)
            }
            (Err(status), Some(within)) => {
                self.forget(within);
                Err(status)
            }
            (concluded, _) => concluded,
        }
    }

    /// A question goes on with the right that the answer to its callback has brought; without one it is gone.
    fn go_on(&self, id: u32, right: Right<'static>) {
        match right {
            Right::SendOnce(right) => self.give_right(id, right),
            _ => self.forget(id),
        }
    }

    // Questions in their places.

    /// Takes the right of a question, which then has none until it is settled.
    fn take(
        &self,
        connection: Option<&Connection>,
        id: u32,
        message: &Message<'_>,
        fits: impl Fn(Origin) -> bool,
    ) -> Result<Taken> {
        if let Some(connection) = connection {
            connection.peer()?;
        }
        let (_, peer) = self.peer_of(id)?;
        message.check(peer.max_message_length)?;
        let mut pending = self.pending.lock();
        match pending.get_mut(id) {
            Some(Pending::Request(question))
                if connection.is_none_or(|connection| connection.id == question.connection)
                    && fits(question.origin) =>
            {
                let Question { theirs, depth, origin, waits, .. } = *question;
                let reply = question.reply.take().ok_or(Status::InvalidParameter)?;
                Ok(Taken { id, reply, theirs, depth, origin, waits })
            }
            _ => Err(Status::InvalidParameter),
        }
    }

    /// The connection of a question.
    fn peer_of(&self, id: u32) -> Result<(u32, Arc<Peer>)> {
        let connection = match self.pending.lock().get(id) {
            Some(Pending::Request(question)) => question.connection,
            _ => return Err(Status::InvalidParameter),
        };
        let connections = self.connections.lock();
        let peer = connections.get(connection).ok_or(Status::PortDisconnected)?.peer()?;
        Ok((connection, peer))
    }

    /// Acts for the sender of a question.
    pub(crate) fn impersonate(&self, id: u32) -> Result<Impersonation> {
        let agreed = match self.pending.lock().get(id) {
            Some(Pending::Request(question)) => question.agreed,
            _ => return Err(Status::InvalidParameter),
        };
        Impersonation::of(self.peer_of(id)?.1.token, agreed)
    }

    /// The task that has sent a question.
    pub(crate) fn sender_process(&self, id: u32) -> Result<Task> {
        self.peer_of(id)?.1.open_process()
    }

    /// The answer to a question as a message; that to a callback brings the right to answer what it came in.
    fn answer<'a>(&self, taken: &Taken, header: PortMessage, message: &Message<'a>) -> Result<portolan::Message<'a>> {
        let level = self.security.lock().level(message)?;
        let answer = message.encode(header, level)?;
        let Origin::Awaited(id) = taken.origin else { return Ok(answer) };
        let awaited = self.awaited.lock();
        let port = &awaited.get(id).ok_or(Status::InvalidParameter)?.port;
        Ok(answer.reply_to(port.make_send_once()?))
    }

    fn put_back(&self, taken: Taken, status: Status) -> Status {
        self.give_right(taken.id, taken.reply);
        status
    }

    fn give_right(&self, id: u32, right: SendOnceRight) {
        if let Some(Pending::Request(question)) = self.pending.lock().get_mut(id) {
            question.reply = Some(right);
        }
    }

    fn forget(&self, id: u32) {
        drop(self.pending.lock().take(id));
    }

    /// A question was answered, or could not be.
    fn settle(&self, id: u32, outcome: Result<(), Unanswered>) -> Result<()> {
        match outcome {
            Ok(()) => {
                self.forget(id);
                Ok(())
            }
            Err(Unanswered { error, right: Some(right) }) => Err(self.failed(id, right, error)),
            Err(Unanswered { error, right: None }) => Err(error.into()),
        }
    }

    /// Nothing went through the right. If nobody waits there any more, the question is gone; else it is as before.
    fn failed(&self, id: u32, right: SendOnceRight, error: Error) -> Status {
        if error == Error::SendInvalidPort {
            self.forget(id);
            return Status::RequestCanceled;
        }
        self.give_right(id, right);
        error.into()
    }
}

fn is_queued(origin: Origin) -> bool {
    !matches!(origin, Origin::Wait { .. })
}

/// The header of a message whose sender waits.
fn continued(header: PortMessage) -> PortMessage {
    PortMessage { kind: header.kind | CONTINUATION_REQUIRED, ..header }
}
