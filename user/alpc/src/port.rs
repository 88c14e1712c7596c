//! Ports: Windows' calls, one for one, and each kind of message by a call of its own.
//!
//! A [`Port`] is a connection port, or one side of a connection. It may be used by many threads at once. Dropped, it
//! disconnects. Neighbours: `inbox`, `connection` and `conversation` do the work.

use crate::attributes::{Access, ImpersonationLevel, PortAttributes};
use crate::clock::Clock;
use crate::connection::{Connection, Phase};
use crate::conversation::Pending;
use crate::door::{self, Door, Newcomer, Refusal};
use crate::header::{PortMessage, Type};
use crate::inbox::{Inbox, Role, Where};
use crate::information::{ConnectionInformation, Information, State};
use crate::message::{Impersonation, Message, Received, compose, sized};
use crate::name::Server;
use crate::section::Section;
use crate::status::{Result, Status};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use portolan::abi::message::SecurityToken;
use portolan::{ReceiveRight, SendRight, Task, Wait};

/// A connection port, or one side of a connection.
#[must_use = "dropping a port disconnects"]
pub struct Port {
    inbox: Arc<Inbox>,
    end: End,
}

enum End {
    /// A connection port: its inbox's door.
    Door,
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

impl Port {
    /// Makes a connection port (`NtAlpcCreatePort`). Clients reach it by a right ([`Port::right`]), or by a name
    /// ([`Port::register`]).
    ///
    /// # Errors
    /// `InvalidPortAttributes`, `InsufficientResources`.
    pub fn create(attributes: PortAttributes, access: Access) -> Result<Port> {
        Ok(Port { inbox: Arc::new(Inbox::new(attributes, Some(access))?), end: End::Door })
    }

    /// Makes a connection port that clients find by this name.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`register`](Self::register).
    pub fn create_named(name: &str, attributes: PortAttributes, access: Access) -> Result<Port> {
        let port = Port::create(attributes, access)?;
        port.register(name)?;
        Ok(port)
    }

    /// Gives a connection port this name, instead of the one that it had. The port has it until it lets nobody in any
    /// more, or its task ends. If the name server dies, the name is gone with it, of which this task is told
    /// (`portolan::notification`); the one that takes its place can be told again.
    ///
    /// # Errors
    /// `ObjectNameCollision`: another port has it. `ObjectNameInvalid`: it cannot be a name. `ObjectPathNotFound`: there
    /// is no name server, or it has just died. `InvalidPortHandle`: it is no connection port; `PortDisconnected`: not
    /// any more. `InsufficientResources`.
    pub fn register(&self, name: &str) -> Result<()> {
        self.door()?.register(name)
    }

    /// A right to the connection port, by which a client can ask for a connection.
    ///
    /// # Errors
    /// `InvalidPortHandle`: it is none. `PortDisconnected`: not any more. `InsufficientResources`.
    pub fn right(&self) -> Result<SendRight> {
        self.door()?.right()
    }

    /// Asks for a connection and waits for the answer (`NtAlpcConnectPort` with `SYNC_REQUEST`), for `timeout` ms at
    /// most, or as long as it takes. Returns the port and the server's message. `required`: who the server must act for.
    /// It then has to show that first, and one that does not gets nothing of this client's.
    ///
    /// # Errors
    /// `ObjectNameNotFound`: nobody has the name, or the connection port is gone. `ObjectNameInvalid`,
    /// `ObjectPathNotFound`: as for [`register`](Self::register). `PortConnectionRefused`, with the server's message, or
    /// without where it has ended; `AccessDenied`. `ServerSidMismatch`; `Timeout`; those of a request.
    pub fn connect<'s>(
        server: impl Into<Server<'s>>,
        attributes: PortAttributes,
        message: &Message<'_>,
        required: Option<SecurityToken>,
        timeout: Option<u32>,
    ) -> Result<(Port, Received), Refusal> {
        let clock = Clock::start(timeout.into());
        let (inbox, connection) = door::half_open(attributes, required)?;
        let mut server = server.into().find(timeout)?;
        if let Some(required) = required {
            server = door::identified(&server, required, &inbox.attributes, clock.left())?;
        }
        let request = door::knock(&inbox, &connection, message)?;
        let answer = server.rpc_or(request, clock.left()).map_err(|failure| door::refused(failure.error))?;
        let port = Port { inbox, end: End::Side(connection) };
        let received = Received::decode(answer, &port.inbox.attributes).ok_or(Status::ReplyMessageMismatch)?;
        let received = door::establish(port.side()?, received, &port.inbox)?;
        Ok((port, received))
    }

    /// Asks for a connection, and returns a port in the state `ConnectionPending` (`NtAlpcConnectPort` without
    /// `SYNC_REQUEST`). The answer is received there, with the type [`Type::ConnectionReply`], and if there is no connection
    /// it says why ([`Received::refusal`]). A name is not waited for. A server that is `required` shows who it is while
    /// this port receives.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect), but for the answer.
    pub fn connect_later<'s>(
        server: impl Into<Server<'s>>,
        attributes: PortAttributes,
        message: &Message<'_>,
        required: Option<SecurityToken>,
    ) -> Result<Port> {
        let (inbox, connection) = door::half_open(attributes, required)?;
        let server = match server.into() {
            Server::Awaited(name) => Server::Named(name),
            server => server,
        };
        let server = server.find(None)?;
        let to = connection.own.with(ReceiveRight::make_send_once)?;
        let request = match required {
            None => door::knock(&inbox, &connection, message)?,
            Some(_) => door::question_before(&inbox, &connection, message)?,
        };
        let request = request.reply_to(to);
        server.send(request).map_err(|failure| door::refused(failure.error))?;
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
            End::Door => {
                self.door()?.close()?;
                self.inbox.turn_away();
                Ok(())
            }
        }
    }

    /// Acts for the sender of a request that is not answered yet (`NtAlpcImpersonateClientOfPort`), as
    /// [`Received::impersonate`] does with the message itself.
    ///
    /// # Errors
    /// `InvalidParameter`: there is no such request. `BadImpersonationLevel`.
    pub fn impersonate_client(&self, message_id: u32) -> Result<Impersonation> {
        self.inbox.impersonate(message_id)
    }

    /// The task that has sent a request that is not answered yet (`NtAlpcOpenSenderProcess`), as
    /// [`Received::open_sender_process`] does with the message itself.
    ///
    /// # Errors
    /// `InvalidParameter`: there is no such request. `AccessDenied`.
    pub fn open_sender_process(&self, message_id: u32) -> Result<Task> {
        self.inbox.sender_process(message_id)
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
            End::Door if self.door().is_ok_and(Door::is_open) => (State::Listening, None),
            End::Door => (State::Disconnected, None),
            End::Side(connection) => match &*connection.phase.lock() {
                Phase::Pending(_) => (State::ConnectionPending, None),
                Phase::Open(peer, _) => (State::Connected, Some(Arc::clone(peer))),
                Phase::Refused => (State::Refused, None),
                Phase::Closed => (State::Disconnected, None),
            },
        };
        let own = self.inbox.attributes.max_message_length;
        Information {
            state,
            max_message_length: peer.as_ref().map_or(own, |peer| peer.max_message_length),
            max_pool_usage: self.inbox.attributes.max_pool_usage,
            peer: peer.as_ref().map_or(0, |peer| peer.task),
            token: peer.as_ref().map(|peer| peer.token).unwrap_or_default(),
            port_context: peer.as_ref().map_or(0, |peer| peer.context),
            pending: self.inbox.pending.lock().iter().count(),
            awaited: self.inbox.awaited.lock().iter().count(),
            connections: self.inbox.connections.lock().iter().count(),
        }
    }

    /// The connections of this port's server.
    ///
    /// # Errors
    /// `InsufficientResources`.
    pub fn connections(&self) -> Result<Vec<ConnectionInformation>> {
        self.inbox.list()
    }

    fn door(&self) -> Result<&Door> {
        match (&self.end, &self.inbox.role) {
            (End::Door, Role::Server(door)) => Ok(door),
            _ => Err(Status::InvalidPortHandle),
        }
    }

    fn side(&self) -> Result<&Arc<Connection>> {
        match &self.end {
            End::Side(connection) => Ok(connection),
            End::Door => Err(Status::InvalidPortHandle),
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
