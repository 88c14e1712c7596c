//! Ports: Windows' calls, one for one, and each kind of message by a call of its own.
//!
//! A [`Port`] is a connection port, or one side of a connection. It may be used by many threads at once. Dropped, it
//! disconnects. Neighbours: `inbox`, `connection` and `conversation` do the work.

use crate::attributes::{Access, ImpersonationLevel, PortAttributes};
use crate::connection::{Connection, LastWord, Peer, Phase, PrivatePort};
use crate::conversation::Pending;
use crate::header::{PortMessage, Terms, Type};
use crate::inbox::{Inbox, Role, Where};
use crate::message::{Message, Received, compose, sized};
use crate::section::Section;
use crate::status::{Result, Status};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use portolan::abi::message::SecurityToken;
use portolan::{Error, ReceiveRight, Right, SendOnceRight, SendRight, Task, Wait};
use zerocopy::IntoBytes;

/// A connection port, or one side of a connection.
#[must_use = "dropping a port disconnects"]
pub struct Port {
    inbox: Arc<Inbox>,
    end: End,
}

enum End {
    /// A connection port.
    Door(PrivatePort),
    Side(Arc<Connection>),
}

bitflags::bitflags! {
    /// How [`Port::send_wait_receive`] sends; numbers are Windows'.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct SendFlags: u32 {
        /// The message answers the request that it names ([`Message::to`]).
        const REPLY_MESSAGE = 0x1;
        /// A datagram: it is never answered.
        const RELEASE_MESSAGE = 0x1_0000;
        /// Wait for the reply in this call. Within the request that the message names, it is a callback; with
        /// `REPLY_MESSAGE`, it answers a callback and waits for the reply to the request in which that came.
        const SYNC_REQUEST = 0x2_0000;
        /// `thread_abort` ends the wait, with `Alerted`. Else it goes on.
        const WAIT_ALERTABLE = 0x20_0000;
    }
}

/// What [`Port::send_wait_receive`] has done.
#[derive(Debug, Default)]
pub struct Done {
    /// The id of the asynchronous request that was sent; else 0.
    pub message_id: u32,
    /// What was received.
    pub received: Option<Received>,
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

/// How far a port's connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is a connection port.
    Listening,
    /// The server has not answered.
    ConnectionPending,
    /// Messages can be sent.
    Connected,
    /// The server has refused.
    Refused,
    /// One of the two has disconnected, or ended.
    Disconnected,
}

/// What [`Port::query_information`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Information {
    /// How far it has come.
    pub state: State,
    /// The longest message that can be sent, header included.
    pub max_message_length: usize,
    /// The other side's task and whom it acts for; 0 without a connection.
    pub peer: u64,
    /// See [`peer`](Self::peer).
    pub token: SecurityToken,
    /// The number that this side gave the connection.
    pub port_context: u64,
    /// Requests received and not answered, connection requests included, of all connections of this port's server.
    pub pending: usize,
    /// Asynchronous requests sent and not answered.
    pub awaited: usize,
    /// Connections of the server.
    pub connections: usize,
}

impl Port {
    /// Makes a connection port (`NtAlpcCreatePort`). Clients reach it by a right ([`Port::right`]).
    ///
    /// # Errors
    /// `InvalidPortAttributes`, `InsufficientResources`.
    pub fn create(attributes: PortAttributes, access: Access) -> Result<Port> {
        let inbox = Inbox::new(attributes, Role::Server(access))?;
        let door = inbox.port()?;
        inbox.set.with(|set| set.add(&door))?;
        Ok(Port { inbox: Arc::new(inbox), end: End::Door(PrivatePort::new(door)) })
    }

    /// A right to the connection port, by which a client can ask for a connection.
    ///
    /// # Errors
    /// `InvalidPortHandle`: it is none. `InsufficientResources`.
    pub fn right(&self) -> Result<SendRight> {
        let End::Door(door) = &self.end else { return Err(Status::InvalidPortHandle) };
        Ok(door.with(ReceiveRight::make_send)?)
    }

    /// Asks for a connection and waits for the answer (`NtAlpcConnectPort` with `SYNC_REQUEST`), for `timeout` ms at
    /// most, or as long as it takes. Returns the port and the server's message. `required`: who the server must act for;
    /// the message is sent before that is known.
    ///
    /// # Errors
    /// `ObjectNameNotFound`: the connection port is gone. `PortConnectionRefused`, with the server's message, or without
    /// where it has ended; `AccessDenied`. `ServerSidMismatch`; `Timeout`; those of a request.
    pub fn connect(
        server: &SendRight,
        attributes: PortAttributes,
        message: &Message<'_>,
        required: Option<SecurityToken>,
        timeout: Option<u32>,
    ) -> Result<(Port, Received), Refusal> {
        let (inbox, connection) = half_open(attributes)?;
        let request = knock(&inbox, &connection, message)?;
        let answer = server.rpc_or(request, timeout.into()).map_err(|failure| refused(failure.error))?;
        let port = Port { inbox, end: End::Side(connection) };
        let received = Received::decode(answer, &port.inbox.attributes).ok_or(Status::ReplyMessageMismatch)?;
        if required.is_some_and(|required| required != received.token()) {
            return Err(Status::ServerSidMismatch.into());
        }
        let received = establish(port.side()?, received, &port.inbox)?;
        Ok((port, received))
    }

    /// Asks for a connection, and returns a port in the state `ConnectionPending` (`NtAlpcConnectPort` without
    /// `SYNC_REQUEST`). The answer is received there, with the type [`Type::ConnectionReply`].
    ///
    /// # Errors
    /// `ObjectNameNotFound`, and those of a datagram.
    pub fn connect_later(server: &SendRight, attributes: PortAttributes, message: &Message<'_>) -> Result<Port> {
        let (inbox, connection) = half_open(attributes)?;
        let to = connection.own.with(ReceiveRight::make_send_once)?;
        let request = knock(&inbox, &connection, message)?.reply_to(to);
        server.send(request).map_err(|failure| refused(failure.error))?;
        Ok(Port { inbox, end: End::Side(connection) })
    }

    /// Accepts the connection request with this id (`NtAlpcAcceptConnectPort`); `context` comes with every message of
    /// this client. Returns the server's side. If it fails for another reason than the id, the client is refused.
    ///
    /// # Errors
    /// `InvalidParameter`: there is no such request. `PortMessageTooLong`. `RequestCanceled`: the client has stopped waiting.
    /// `InsufficientResources`.
    pub fn accept(&self, message_id: u32, context: u64, message: &Message<'_>) -> Result<Port> {
        message.check(self.inbox.attributes.max_message_length)?;
        let newcomer = self.newcomer(message_id)?;
        let id = self.inbox.connections.lock().claim()?;
        let made = newcomer.accept(&self.inbox, id, context, message);
        if made.is_err() {
            let mut connections = self.inbox.connections.lock();
            drop(connections.take(id));
            connections.release(id);
        }
        Ok(Port { inbox: Arc::clone(&self.inbox), end: End::Side(made?) })
    }

    /// Refuses the connection request with this id, and says why (`NtAlpcAcceptConnectPort`, not accepting).
    ///
    /// # Errors
    /// `InvalidParameter`: there is no such request. `PortMessageTooLong`.
    pub fn refuse(&self, message_id: u32, message: &Message<'_>) -> Result<()> {
        message.check(self.inbox.attributes.max_message_length)?;
        self.newcomer(message_id)?.refuse(Status::PortConnectionRefused, message.data);
        Ok(())
    }

    fn newcomer(&self, message_id: u32) -> Result<Newcomer> {
        let mut pending = self.inbox.pending.lock();
        match pending.get(message_id) {
            Some(Pending::Newcomer(_)) => {}
            _ => return Err(Status::InvalidParameter),
        }
        match pending.take(message_id) {
            Some(Pending::Newcomer(newcomer)) => Ok(newcomer),
            _ => Err(Status::InvalidParameter),
        }
    }

    /// Sends, or receives, or both (`NtAlpcSendWaitReceivePort`). What is sent is an asynchronous request, unless the
    /// flags say otherwise. `room`: receive then a message with so much data at most; a synchronous request receives its
    /// reply. `timeout` is for the wait, in ms.
    ///
    /// # Errors
    /// `InvalidParameter`: flags that exclude each other, or without a message. Those of the calls below.
    pub fn send_wait_receive(
        &self,
        flags: SendFlags,
        message: Option<&Message<'_>>,
        room: Option<usize>,
        timeout: Option<u32>,
    ) -> Result<Done> {
        let wait = Wait { ms: timeout, abortable: flags.contains(SendFlags::WAIT_ALERTABLE) };
        let flags = flags - SendFlags::WAIT_ALERTABLE;
        let Some(message) = message else {
            let (true, Some(room)) = (flags.is_empty(), room) else { return Err(Status::InvalidParameter) };
            return self.inbox.receive(self.place(), room, wait).map(Done::received);
        };
        let (side, id) = (self.side().ok().map(|side| &**side), message.message_id);
        match Send::of(flags, id).ok_or(Status::InvalidParameter)? {
            Send::Request => self.inbox.request(self.side()?, message, wait).map(Done::received),
            Send::Callback => self.inbox.callback(side, id, message, wait).map(Done::received),
            Send::ReplyAndWait => self.inbox.reply_and_wait(id, message, wait).map(Done::received),
            Send::Reply => match room {
                Some(room) => self.inbox.reply_and_receive(side, id, message, room, wait).map(Done::received),
                None => self.reply(id, message).map(|()| Done::default()),
            },
            Send::Datagram => self.datagram(message).and_then(|()| self.then_receive(0, room, wait)),
            Send::RequestLater => self.request_later(message).and_then(|id| self.then_receive(id, room, wait)),
        }
    }

    fn then_receive(&self, message_id: u32, room: Option<usize>, wait: Wait) -> Result<Done> {
        let received = room.map(|room| self.inbox.receive(self.place(), room, wait)).transpose()?;
        Ok(Done { message_id, received })
    }

    /// Sends a request and waits for its reply. What comes may also be a callback ([`Type::Request`]), to be answered
    /// by [`reply_and_wait`](Self::reply_and_wait).
    ///
    /// # Errors
    /// In this order: `InvalidPortHandle`: it is a connection port. `PortConnectionRefused`, `LpcRequestsNotAllowed`,
    /// `PortDisconnected`: the connection is in another state. `InvalidParameter`, `PortMessageTooLong`,
    /// `LpcHandleCountExceeded`: the message. `QuotaExceeded`: the other side's pool is full. `Timeout`; `LpcReplyLost`;
    /// `MessageLost`: it was canceled. `InsufficientResources`.
    pub fn request(&self, message: &Message<'_>, timeout: Option<u32>) -> Result<Received> {
        self.inbox.request(self.side()?, message, timeout.into())
    }

    /// Sends a request whose reply is received later, by its id, which is returned.
    ///
    /// # Errors
    /// As for [`request`](Self::request), but for the wait.
    pub fn request_later(&self, message: &Message<'_>) -> Result<u32> {
        self.inbox.request_later(self.side()?, message)
    }

    /// Sends a message that is never answered.
    ///
    /// # Errors
    /// As for [`request`](Self::request), but for the wait.
    pub fn datagram(&self, message: &Message<'_>) -> Result<()> {
        let peer = self.side()?.peer()?;
        message.check(peer.max_message_length)?;
        let level = self.inbox.security.lock().level(message)?;
        let datagram = message.encode(message.header(Type::Datagram, 0, 0), level)?;
        Ok(peer.port.send(datagram)?)
    }

    /// Receives the next message: at a connection port and at a client's port all that comes; at a server's side of a
    /// connection what that client sends, which meanwhile comes nowhere else. Waits for `timeout` ms at most, or as long
    /// as it takes.
    ///
    /// # Errors
    /// `Timeout`; `PortDisconnected`: nothing can come any more. `InsufficientResources`.
    pub fn receive(&self, timeout: Option<u32>) -> Result<Received> {
        self.receive_at_most(usize::MAX, timeout)
    }

    /// As [`receive`](Self::receive), a message with so much data at most.
    ///
    /// # Errors
    /// Also `BufferTooSmall`: the next one has more ([`next_length`](Self::next_length)), and stays.
    pub fn receive_at_most(&self, room: usize, timeout: Option<u32>) -> Result<Received> {
        self.inbox.receive(self.place(), room, timeout.into())
    }

    /// Lets a port of the program's own join this one, in its port set: a thread that receives here gets what comes there,
    /// too, as [`Type::Mach`] with this key as its context ([`Received::into_mach`]). It leaves by dying, or by
    /// [`PortSet::remove`](portolan::PortSet::remove).
    ///
    /// # Errors
    /// `PortDisconnected`: a client's, which is over.
    pub fn join(&self, port: &ReceiveRight, key: u32) -> Result<()> {
        self.inbox.join(port, key)
    }

    /// Bytes of data of the message that was too long for the last receive.
    #[must_use]
    pub fn next_length(&self) -> Option<usize> {
        self.inbox.kept_length(self.place())
    }

    /// Replies to the request with this id, of any client at a connection port. Any thread may, in any order.
    ///
    /// # Errors
    /// `InvalidParameter`: no such request waits for a reply; or it is a callback to a thread that waits, see
    /// [`reply_and_wait`](Self::reply_and_wait). `RequestCanceled`: the sender has stopped waiting; the request is gone. The errors
    /// of the state, the message and of its reserve (`ObjectIdNotFound`, `ResourceInUse`); `InsufficientResources`: it can
    /// be tried again.
    pub fn reply(&self, message_id: u32, message: &Message<'_>) -> Result<()> {
        self.inbox.reply(self.side().ok().map(|side| &**side), message_id, message)
    }

    /// Replies, and receives the next message, in one trap.
    ///
    /// # Errors
    /// Those of [`reply`](Self::reply), and then nothing was waited for; those of [`receive`](Self::receive).
    pub fn reply_and_receive(&self, message_id: u32, message: &Message<'_>, timeout: Option<u32>) -> Result<Received> {
        let side = self.side().ok().map(|side| &**side);
        self.inbox.reply_and_receive(side, message_id, message, usize::MAX, timeout.into())
    }

    /// Calls back: within the request with this id, asks its sender, who waits. What comes is the reply, or in turn a callback.
    /// If it fails after it was sent, the request is gone, as the right to answer it is.
    ///
    /// # Errors
    /// `ImplementationLimit`: nested deeper than [`CALLBACK_DEPTH_MAX`](crate::CALLBACK_DEPTH_MAX). Those of
    /// [`reply`](Self::reply) and of [`request`](Self::request).
    pub fn callback(&self, message_id: u32, message: &Message<'_>, timeout: Option<u32>) -> Result<Received> {
        self.inbox.callback(self.side().ok().map(|side| &**side), message_id, message, timeout.into())
    }

    /// Answers the callback with this id, and waits on for the reply to the request within which it came.
    ///
    /// # Errors
    /// As for [`callback`](Self::callback).
    pub fn reply_and_wait(&self, message_id: u32, message: &Message<'_>, timeout: Option<u32>) -> Result<Received> {
        self.inbox.reply_and_wait(message_id, message, timeout.into())
    }

    /// Cancels a request (`NtAlpcCancelMessage`). One that was received here: its sender is told, by `MessageLost` if it
    /// waits. One that was sent from here, asynchronously: the other side is asked to; what then comes is its answer or
    /// a [`Type::Canceled`]. (Windows returns `STATUS_PENDING`.)
    ///
    /// # Errors
    /// `InvalidParameter`: there is no such request. Those of a datagram.
    pub fn cancel(&self, message_id: u32) -> Result<()> {
        if let Some(question) = self.take_question(message_id) {
            question.cancel();
            return Ok(());
        }
        if self.inbox.awaited.lock().get(message_id).is_none() {
            return Err(Status::InvalidParameter);
        }
        let peer = self.side()?.peer()?;
        let header = PortMessage { kind: Type::Canceled as u16, message_id, ..sized(0) };
        Ok(peer.port.send(compose(header, &[], &[]))?)
    }

    fn take_question(&self, message_id: u32) -> Option<crate::conversation::Question> {
        let mut pending = self.inbox.pending.lock();
        match pending.get(message_id)? {
            Pending::Newcomer(_) => None,
            Pending::Request(_) => match pending.take(message_id) {
                Some(Pending::Request(question)) => Some(question),
                _ => None,
            },
        }
    }

    /// Disconnects (`NtAlpcDisconnectPort`): the other side is told, requests received from it get no reply, and
    /// threads that wait at this port are woken. A connection port lets nobody in any more; its connections stay.
    ///
    /// # Errors
    /// `PortDisconnected`: it is already.
    pub fn disconnect(&self) -> Result<()> {
        match &self.end {
            End::Side(connection) => self.inbox.disconnect(connection),
            End::Door(door) => {
                if !door.kill() {
                    return Err(Status::PortDisconnected);
                }
                self.inbox.turn_away();
                Ok(())
            }
        }
    }

    /// Makes a section (`NtAlpcCreatePortSection`).
    ///
    /// # Errors
    /// `InvalidParameter`: of 0 bytes. `SectionTooBig`; `InsufficientResources`.
    pub fn create_section(&self, size: u64) -> Result<Section> {
        Section::create(size, &self.inbox.attributes, &self.inbox.sections)
    }

    /// Takes a reserve (`NtAlpcCreateResourceReserve`) for replies with so much data; its id.
    ///
    /// # Errors
    /// `InvalidParameter`: more than [`RESERVE_MAX`](crate::reserve::RESERVE_MAX). `InsufficientResources`.
    pub fn create_resource_reserve(&self, size: usize) -> Result<u32> {
        self.inbox.reserves.lock().create(size)
    }

    /// Gives a reserve up.
    ///
    /// # Errors
    /// `ObjectIdNotFound`; `ResourceInUse`.
    pub fn delete_resource_reserve(&self, id: u32) -> Result<()> {
        self.inbox.reserves.lock().delete(id)
    }

    /// Makes a security context (`NtAlpcCreateSecurityContext`), to be named in messages; its id.
    ///
    /// # Errors
    /// `InsufficientResources`.
    pub fn create_security_context(&self, level: ImpersonationLevel) -> Result<u32> {
        self.inbox.security.lock().create(level)
    }

    /// Ends a security context.
    ///
    /// # Errors
    /// `InvalidParameter`: there is none.
    pub fn delete_security_context(&self, id: u32) -> Result<()> {
        self.inbox.security.lock().delete(id)
    }

    /// What the port is and has (`NtAlpcQueryInformation`).
    #[must_use]
    pub fn query_information(&self) -> Information {
        let (state, peer) = match &self.end {
            End::Door(_) => (State::Listening, None),
            End::Side(connection) => match &*connection.phase.lock() {
                Phase::Pending => (State::ConnectionPending, None),
                Phase::Open(peer, _) => (State::Connected, Some(Arc::clone(peer))),
                Phase::Refused => (State::Refused, None),
                Phase::Closed => (State::Disconnected, None),
            },
        };
        let own = self.inbox.attributes.max_message_length;
        Information {
            state,
            max_message_length: peer.as_ref().map_or(own, |peer| peer.max_message_length),
            peer: peer.as_ref().map_or(0, |peer| peer.task),
            token: peer.as_ref().map(|peer| peer.token).unwrap_or_default(),
            port_context: peer.as_ref().map_or(0, |peer| peer.context),
            pending: self.inbox.pending.lock().iter().count(),
            awaited: self.inbox.awaited.lock().iter().count(),
            connections: self.inbox.connections.lock().iter().count(),
        }
    }

    fn side(&self) -> Result<&Arc<Connection>> {
        match &self.end {
            End::Side(connection) => Ok(connection),
            End::Door(_) => Err(Status::InvalidPortHandle),
        }
    }

    /// Where this port's messages come: a client's with all that is in its inbox.
    fn place(&self) -> Where<'_> {
        match (&self.end, &self.inbox.role) {
            (End::Side(connection), Role::Server(_)) => Where::Only(connection),
            _ => Where::All,
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // It may have been disconnected.
        let _ = self.disconnect();
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({:?})", self.query_information())
    }
}

impl Done {
    fn received(received: Received) -> Done {
        Done { message_id: 0, received: Some(received) }
    }
}

/// What a send is, as its flags say.
#[derive(Debug, PartialEq, Eq)]
enum Send {
    Request,
    RequestLater,
    Datagram,
    Reply,
    Callback,
    ReplyAndWait,
}

impl Send {
    /// `None`: the flags exclude each other. A reply names a request.
    fn of(flags: SendFlags, to: u32) -> Option<Send> {
        const REPLY: SendFlags = SendFlags::REPLY_MESSAGE;
        const SYNC: SendFlags = SendFlags::SYNC_REQUEST;
        const BOTH: SendFlags = REPLY.union(SYNC);
        match (flags, to) {
            (SYNC, 0) => Some(Send::Request),
            (SYNC, _) => Some(Send::Callback),
            (BOTH, 1..) => Some(Send::ReplyAndWait),
            (REPLY, 1..) => Some(Send::Reply),
            (SendFlags::RELEASE_MESSAGE, 0) => Some(Send::Datagram),
            (flags, 0) if flags.is_empty() => Some(Send::RequestLater),
            _ => None,
        }
    }
}

// Connecting.

/// A client's inbox, and its side of a connection that is not answered yet.
fn half_open(attributes: PortAttributes) -> Result<(Arc<Inbox>, Arc<Connection>)> {
    let inbox = Inbox::new(attributes, Role::Client)?;
    let id = inbox.connections.lock().claim()?;
    let connection = Arc::new(Connection::new(id, inbox.private_port(id)?, Phase::Pending));
    inbox.connections.lock().fill(id, Arc::clone(&connection));
    Ok((Arc::new(inbox), connection))
}

/// A connection request: rights to this side's private port, and to its last word; the task, if the client lets the
/// server have it.
fn knock<'a>(inbox: &Inbox, connection: &Connection, message: &Message<'a>) -> Result<portolan::Message<'a>> {
    message.check(inbox.attributes.max_message_length)?;
    let PortAttributes { max_message_length, impersonation, allow_open_process, .. } = inbox.attributes;
    let terms = Terms { max_message_length: max_message_length as u32, level: u32::from(impersonation as u16) };
    let header = PortMessage { kind: Type::ConnectionRequest as u16, ..sized(message.data.len()) };
    let (to, last_word) = connection.own.with(|own| Ok::<_, Error>((own.make_send()?, own.make_send_once()?)))?;
    let process = if allow_open_process { Right::Send(Task::this().right().try_clone()?) } else { Right::Null };
    Ok(compose(header, message.data, terms.as_bytes()).right(to).right(last_word).right(process))
}

/// Why a connection request was not answered.
fn refused(error: Error) -> Status {
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

    fn accept(self, inbox: &Inbox, id: u32, context: u64, message: &Message<'_>) -> Result<Arc<Connection>> {
        let own = inbox.private_port(id)?;
        let max_message_length = inbox.attributes.max_message_length.min(self.terms.max_message_length as usize);
        let PortAttributes { max_message_length: own_max, impersonation, .. } = inbox.attributes;
        let terms = Terms { max_message_length: own_max as u32, level: u32::from(impersonation as u16) };
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

/// A client's connection request has been answered: asynchronously.
pub(crate) fn connected(connection: &Connection, received: Received, inbox: &Inbox) -> Option<Received> {
    match establish(connection, received, inbox) {
        Ok(received) => Some(received),
        Err(refusal) => refusal.message.map(|message| *message),
    }
}

/// Takes the answer to a connection request: the connection is open, or refused.
fn establish(connection: &Connection, mut received: Received, inbox: &Inbox) -> Result<Received, Refusal> {
    let mut phase = connection.phase.lock();
    if !matches!(*phase, Phase::Pending) || received.message_type() != Type::ConnectionReply {
        return Err(Status::ReplyMessageMismatch.into());
    }
    let terms = received.terms();
    let (port, last_word) = (received.take_right(0), received.take_right(1));
    let (0, Some(terms), Right::Send(port), Right::SendOnce(last_word)) =
        (received.header.callback_id, terms, port, last_word)
    else {
        *phase = Phase::Refused;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_is_sent() {
        let (reply, sync, release) = (SendFlags::REPLY_MESSAGE, SendFlags::SYNC_REQUEST, SendFlags::RELEASE_MESSAGE);
        assert_eq!(Send::of(SendFlags::empty(), 0), Some(Send::RequestLater));
        assert_eq!((Send::of(sync, 0), Send::of(sync, 5)), (Some(Send::Request), Some(Send::Callback)));
        assert_eq!((Send::of(reply, 5), Send::of(reply | sync, 5)), (Some(Send::Reply), Some(Send::ReplyAndWait)));
        assert_eq!(Send::of(release, 0), Some(Send::Datagram));
        for (flags, to) in [(reply, 0), (reply | sync, 0), (release | sync, 0), (release | reply, 5), (release, 5)] {
            assert_eq!(Send::of(flags, to), None);
        }
    }
}
