//! The door: a connection port, who comes in by it, and how a client knocks.
//!
//! ```text
//! client                                  server
//!   who serves there?  ──────────────▶      only if the client requires somebody: a message that brings nothing
//!              ◀──────────────  the door    sent by the server, as the kernel says
//!   ConnectionRequest  ──────────────▶      payload, terms, rights to the client's side
//!              ◀──────────────  ConnectionReply    payload, terms, rights to the server's side; or why not
//! ```
//!
//! Invariant: before a server has shown that it acts for whom the client requires, nothing of the client's has been sent
//! to it. Neighbours: `connection` is what is made here; `inbox` receives; `name` finds doors.

use crate::attributes::{Access, ImpersonationLevel, PortAttributes};
use crate::connection::{Asking, Connection, LastWord, Peer, Phase, PrivatePort};
use crate::header::{IDENTIFY, PortMessage, Terms, Type};
use crate::inbox::Inbox;
use crate::message::{Message, Received, compose, sized};
use crate::name;
use crate::status::{Result, Status};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use portolan::abi::message::SecurityToken;
use portolan::name_server::Registration;
use portolan::{Error, Mutex, ReceiveRight, Right, SendOnceRight, SendRight, Task, Wait};
use zerocopy::IntoBytes;

/// A connection port.
pub(crate) struct Door {
    port: PrivatePort,
    access: Access,
    /// Keeps its name.
    registration: Mutex<Option<Registration>>,
}

impl Door {
    pub(crate) fn new(port: ReceiveRight, access: Access) -> Door {
        Door { port: PrivatePort::new(port), access, registration: Mutex::new(None) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.port.is_alive()
    }

    pub(crate) fn allows(&self, token: SecurityToken) -> bool {
        self.access.allows(token)
    }

    /// A right to knock.
    pub(crate) fn right(&self) -> Result<SendRight> {
        let right = self.port.with(ReceiveRight::make_send);
        right.map_err(|error| if self.is_open() { error.into() } else { Status::PortDisconnected })
    }

    /// Gives the port this name, instead of the one that it had.
    pub(crate) fn register(&self, name: &str) -> Result<()> {
        let registration = name::register(name, &self.right()?)?;
        let before = self.registration.lock().replace(registration);
        drop(before);
        Ok(())
    }

    /// Lets nobody in any more. The name is free again.
    pub(crate) fn close(&self) -> Result<()> {
        if !self.port.kill() {
            return Err(Status::PortDisconnected);
        }
        let registration = self.registration.lock().take();
        drop(registration);
        Ok(())
    }

    /// Shows a client who serves here: by the kernel's word for who has sent this, and a right to this very port.
    pub(crate) fn identify(&self, asked: &mut Received) {
        let Right::SendOnce(reply) = asked.take_reply() else { return };
        // Whoever has stopped waiting need not be told.
        let _ = self.port.with(|port| reply.answer(compose(answer_header(0), &[], &[]).right(Right::MakeSend(port))));
    }
}

/// A right to the connection port of whoever answers for this one, if it is who is required. Asking shows it nothing.
pub(crate) fn identified(
    server: &SendRight,
    required: SecurityToken,
    limits: &PortAttributes,
    wait: Wait,
) -> Result<SendRight> {
    let answer = server.rpc_or(question(), wait).map_err(|failure| refused(failure.error))?;
    shown(Received::decode(answer, limits).ok_or(Status::ReplyMessageMismatch)?, required)
}

/// Who serves there?
fn question() -> portolan::Message<'static> {
    compose(PortMessage { kind: Type::ConnectionRequest as u16 | IDENTIFY, ..sized(0) }, &[], &[])
}

/// The connection port that the answer to that has brought.
fn shown(mut answer: Received, required: SecurityToken) -> Result<SendRight> {
    if answer.token() != required {
        return Err(Status::ServerSidMismatch);
    }
    match (answer.message_type(), answer.take_right(0)) {
        (Type::ConnectionReply, Right::Send(door)) => Ok(door),
        _ => Err(Status::ReplyMessageMismatch),
    }
}

/// The question, and what the client has to say is kept until it is answered.
pub(crate) fn question_before(
    inbox: &Inbox,
    connection: &Connection,
    message: &Message<'_>,
) -> Result<portolan::Message<'static>> {
    message.check(inbox.attributes.max_message_length)?;
    let mut data = Vec::new();
    data.try_reserve_exact(message.data.len()).map_err(|_| Status::InsufficientResources)?;
    data.extend_from_slice(message.data);
    if let Phase::Pending(asking) = &mut *connection.phase.lock() {
        asking.unsaid = Some(data);
    }
    Ok(question())
}

/// Why there is no connection.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub status: Status,
    /// What the server says to it, if it has refused.
    pub message: Option<Box<Received>>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal { status, message: None }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Status::from(error).into()
    }
}

/// A client's inbox, and its side of a connection that is not answered yet.
pub(crate) fn half_open(
    attributes: PortAttributes,
    required: Option<SecurityToken>,
) -> Result<(Arc<Inbox>, Arc<Connection>)> {
    let inbox = Inbox::new(attributes, None)?;
    let id = inbox.connections.lock().claim()?;
    let phase = Phase::Pending(Asking { required, unsaid: None });
    let connection = Arc::new(Connection::new(id, inbox.private_port(id)?, phase));
    inbox.connections.lock().fill(id, Arc::clone(&connection));
    Ok((Arc::new(inbox), connection))
}

/// A connection request: rights to this side's private port, and to its last word; the task, if the client lets the
/// server have it.
pub(crate) fn knock<'a>(
    inbox: &Inbox,
    connection: &Connection,
    message: &Message<'a>,
) -> Result<portolan::Message<'a>> {
    message.check(inbox.attributes.max_message_length)?;
    let terms = Terms::of(&inbox.attributes);
    let header = PortMessage { kind: Type::ConnectionRequest as u16, ..sized(message.data.len()) };
    let (to, last_word) = connection.own.with(|own| Ok::<_, Error>((own.make_send()?, own.make_send_once()?)))?;
    let process =
        if inbox.attributes.allow_open_process { Right::Send(Task::this().right().try_clone()?) } else { Right::Null };
    Ok(compose(header, message.data, terms.as_bytes()).right(to).right(last_word).right(process))
}

/// Why a connection request was not answered.
pub(crate) fn refused(error: Error) -> Status {
    match error {
        Error::SendInvalidPort => Status::ObjectNameNotFound,
        Error::ReceiveReplyLost => Status::PortConnectionRefused,
        error => error.into(),
    }
}

/// A client that waits to be let in.
pub(crate) struct Newcomer {
    reply: SendOnceRight,
    port: SendRight,
    last_word: SendOnceRight,
    process: Option<SendRight>,
    task: u64,
    pub(crate) token: SecurityToken,
    terms: Terms,
}

impl Newcomer {
    /// Who has sent this connection request, if it is one.
    pub(crate) fn of(received: &mut Received) -> Option<Newcomer> {
        let terms = received.terms()?;
        let (task, token) = (received.sender(), received.token());
        let (reply, port, last_word) = (received.take_reply(), received.take_right(0), received.take_right(1));
        let process = received.take_right(2).try_into().ok();
        let (Right::SendOnce(reply), Right::Send(port), Right::SendOnce(last_word)) = (reply, port, last_word) else {
            return None;
        };
        Some(Newcomer { reply, port, last_word, process, task, token, terms })
    }

    pub(crate) fn accept(self, inbox: &Inbox, id: u32, context: u64, message: &Message<'_>) -> Result<Arc<Connection>> {
        let own = inbox.private_port(id)?;
        let max_message_length = inbox.attributes.max_message_length.min(self.terms.max_message_length as usize);
        let terms = Terms::of(&inbox.attributes);
        let answer = compose(answer_header(message.data.len()), message.data, terms.as_bytes());
        let answer = answer.right(own.make_send()?).right(own.make_send_once()?);
        let peer = Peer {
            port: self.port,
            task: self.task,
            token: self.token,
            context,
            level: ImpersonationLevel::from_code(self.terms.level),
            process: self.process,
            max_message_length,
        };
        let phase = Phase::Open(Arc::new(peer), LastWord(self.last_word));
        let connection = Arc::new(Connection::new(id, own, phase));
        // The client may send before this call returns.
        inbox.connections.lock().fill(id, Arc::clone(&connection));
        self.reply.answer(answer).map_err(|failed| match failed.error {
            Error::SendInvalidPort => Status::RequestCanceled,
            error => error.into(),
        })?;
        Ok(connection)
    }

    /// Says why not.
    pub(crate) fn refuse(self, status: Status, why: &[u8]) {
        let header = PortMessage { callback_id: u64::from(status.code()), ..answer_header(why.len()) };
        // A client that has stopped waiting need not be told.
        let _ = self.reply.answer(compose(header, why, &[]));
    }
}

/// The header of an answer to a connection request.
fn answer_header(data: usize) -> PortMessage {
    PortMessage { kind: Type::ConnectionReply as u16, ..sized(data) }
}

/// A client that does not wait for the answer has got it: to the question, or to its connection request.
pub(crate) fn connected(connection: &Connection, received: Received, inbox: &Inbox) -> Option<Received> {
    let Asking { required, unsaid } = match &mut *connection.phase.lock() {
        Phase::Pending(asking) => Asking { unsaid: asking.unsaid.take(), ..*asking },
        _ => return None,
    };
    let outcome = match (required, unsaid) {
        (Some(required), Some(data)) => introduce(connection, received, required, &data, inbox).map(|()| None),
        _ => establish(connection, received, inbox).map(Some),
    };
    outcome.unwrap_or_else(|refusal| Some(turned_away(connection, refusal, inbox)))
}

/// The server has shown who it is, and hears the rest.
fn introduce(
    connection: &Connection,
    answer: Received,
    required: SecurityToken,
    data: &[u8],
    inbox: &Inbox,
) -> Result<(), Refusal> {
    let door = shown(answer, required)?;
    let to = connection.own.with(ReceiveRight::make_send_once)?;
    let request = knock(inbox, connection, &Message::new(data))?.reply_to(to);
    Ok(door.send(request).map_err(|failure| refused(failure.error))?)
}

/// There will be no connection. What the client is told.
pub(crate) fn turned_away(connection: &Connection, refusal: Refusal, inbox: &Inbox) -> Received {
    connection.end(Phase::Refused);
    inbox.wind_up();
    let mut told = refusal.message.map_or_else(|| Received::told(Type::ConnectionReply, 0, None), |message| *message);
    told.header.callback_id = u64::from(refusal.status.code());
    told
}

/// Takes the answer to a connection request: the connection is open, unless it is refused, or the answer is somebody's
/// who is not wanted.
pub(crate) fn establish(connection: &Connection, mut received: Received, inbox: &Inbox) -> Result<Received, Refusal> {
    let mut phase = connection.phase.lock();
    let required = match (&*phase, received.message_type()) {
        (Phase::Pending(asking), Type::ConnectionReply) => asking.required,
        _ => return Err(Status::ReplyMessageMismatch.into()),
    };
    if required.is_some_and(|required| required != received.token()) {
        return Err(Status::ServerSidMismatch.into());
    }
    let terms = received.terms();
    let (port, last_word) = (received.take_right(0), received.take_right(1));
    let (0, Some(terms), Right::Send(port), Right::SendOnce(last_word)) =
        (received.header.callback_id, terms, port, last_word)
    else {
        let status = match received.header.callback_id == u64::from(Status::AccessDenied.code()) {
            true => Status::AccessDenied,
            false => Status::PortConnectionRefused,
        };
        return Err(Refusal { status, message: Some(Box::new(received)) });
    };
    let peer = Arc::new(Peer {
        port,
        task: received.sender(),
        token: received.token(),
        context: 0,
        level: ImpersonationLevel::from_code(terms.level),
        process: None,
        max_message_length: inbox.attributes.max_message_length.min(terms.max_message_length as usize),
    });
    received.peer = Some(Arc::clone(&peer));
    *phase = Phase::Open(peer, LastWord(last_word));
    Ok(received)
}
