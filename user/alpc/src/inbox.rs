//! Where a port's messages come: its own, its connections', the replies to its asynchronous requests.
//!
//! One Mach port set for them all; the payload of each port in it says what it is. What arrives is looked at
//! once, here: what is the library's own business is done, what is nonsense or comes from a third task is given up,
//! and the rest becomes a [`Received`]. Any number of threads may receive at once.
//!
//! Invariant: a request that was received and not answered is in `pending`, with the only right to answer it; a
//! place for it is claimed before it is received. An asynchronous request that was sent and not answered is in
//! `awaited`, with the port where its one answer, or the kernel's word that there will be none, comes.
//! Neighbours: `door` and `connection`, whose ports these are; `conversation` for requests with someone waiting.

use crate::attributes::{Access, PortAttributes};
use crate::clock::Clock;
use crate::connection::{Connection, Peer, Phase};
use crate::conversation::{Origin, Pending, Question};
use crate::door::{self, Door, Newcomer};
use crate::header::{IDENTIFY, INFORM, PortMessage, Type};
use crate::message::{Message, Received, compose, sized};
use crate::purpose::Purpose;
use crate::reserve::Reserves;
use crate::security::SecurityContexts;
use crate::status::{Result, Status};
use crate::table::Table;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use portolan::{AtFull, Capacity, Error, Mutex, Name, Notice, PortSet, ReceiveRight, Right, SendOnceRight, Task, Wait};

/// See the module's text.
pub(crate) struct Inbox {
    pub(crate) set: Set,
    pub(crate) attributes: PortAttributes,
    pub(crate) role: Role,
    /// This task, as the kernel tells it to others.
    me: u64,
    pub(crate) pending: Mutex<Table<Pending>>,
    pub(crate) awaited: Mutex<Table<Awaited>>,
    pub(crate) connections: Mutex<Table<Arc<Connection>>>,
    /// To be received before anything else.
    kept: Mutex<VecDeque<Received>>,
    requests: AtomicU32,
    pub(crate) sections: Arc<AtomicU64>,
    pub(crate) reserves: Mutex<Reserves>,
    pub(crate) security: Mutex<SecurityContexts>,
}

/// Whose inbox it is.
pub(crate) enum Role {
    /// A server's, whose clients may be these.
    Server(Door),
    /// A client's, which has one connection.
    Client,
}

/// An asynchronous request without its answer.
pub(crate) struct Awaited {
    pub(crate) port: ReceiveRight,
    context: u64,
    pub(crate) connection: u32,
}

/// From where to receive.
#[derive(Clone, Copy)]
pub(crate) enum Where<'a> {
    /// All that comes.
    All,
    /// The private port of one connection.
    Only(&'a Connection),
}

impl<'a> Where<'a> {
    /// Of one connection, or of all.
    pub(crate) fn of(connection: Option<&'a Connection>) -> Where<'a> {
        connection.map_or(Where::All, Where::Only)
    }
}

impl Inbox {
    /// A client's; or a server's with a connection port, which lets these in.
    pub(crate) fn new(attributes: PortAttributes, access: Option<Access>) -> Result<Inbox> {
        attributes.check()?;
        let set = PortSet::allocate()?;
        let role = match access {
            None => Role::Client,
            Some(access) => {
                let port = mailbox(&attributes, Purpose::Door)?;
                set.add(&port)?;
                Role::Server(Door::new(port, access))
            }
        };
        Ok(Inbox {
            set: Set::new(set),
            attributes,
            role,
            me: Task::this().info()?.id,
            pending: Mutex::new(Table::new()),
            awaited: Mutex::new(Table::new()),
            connections: Mutex::new(Table::new()),
            kept: Mutex::new(VecDeque::new()),
            requests: AtomicU32::new(0),
            sections: Arc::new(AtomicU64::new(0)),
            reserves: Mutex::new(Reserves::new()),
            security: Mutex::new(SecurityContexts::new()),
        })
    }

    /// A private port for the connection with this id.
    pub(crate) fn private_port(&self, connection: u32) -> Result<ReceiveRight> {
        let port = mailbox(&self.attributes, Purpose::Connection(connection))?;
        self.set.with(|set| set.add(&port))?;
        Ok(port)
    }

    /// Takes a port of the program's own in.
    pub(crate) fn join(&self, port: &ReceiveRight, key: u32) -> Result<()> {
        port.set_payload(Purpose::Joined(key).payload())?;
        self.set.with(|set| set.add(port)).map_err(|_| Status::PortDisconnected)
    }

    /// An id for a request whose sender waits. Tables have no such ids.
    pub(crate) fn request_id(&self) -> u32 {
        1 << 31 | self.requests.fetch_add(1, Ordering::Relaxed)
    }

    // Receiving.

    /// The next message, which must be no longer than `room` bytes of data.
    ///
    /// # Errors
    /// `Timeout`, `PortDisconnected`, `BufferTooSmall`, `InsufficientResources`.
    pub(crate) fn receive(&self, at: Where<'_>, room: usize, wait: Wait) -> Result<Received> {
        let clock = Clock::start(wait);
        loop {
            if let Some(kept) = self.take_kept(at) {
                return self.fit(kept, room);
            }
            let mut place = Some(self.pending.lock().claim()?);
            let arrived = self.wait(at, clock.left());
            let received = self.open(arrived, &mut place);
            self.release(place);
            match received {
                Ok(Some(received)) => return self.fit(received, room),
                Ok(None) => {}
                // Another thread may have seen the connection end, and left something.
                Err(_) if self.has_kept(at) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait(&self, at: Where<'_>, wait: Wait) -> portolan::Result<portolan::Received> {
        match at {
            Where::All => self.set.with(|set| set.receive_or(wait)),
            Where::Only(connection) => self.listen(connection, wait),
        }
    }

    /// Receives at a private port itself, which for as long is not in the set.
    fn listen(&self, connection: &Connection, wait: Wait) -> portolan::Result<portolan::Received> {
        {
            let mut listeners = connection.listeners.lock();
            if *listeners == 0 {
                // Once it is closed there is nothing to take out.
                connection.own.with(PortSet::remove).map_err(|_| Error::ReceivePortDied)?;
            }
            *listeners += 1;
        }
        let arrived = connection.own.with(|port| port.receive_or(wait));
        let mut listeners = connection.listeners.lock();
        *listeners -= 1;
        if *listeners == 0 {
            // It fails only when the port has been ended.
            let _ = connection.own.with(|port| self.set.with(|set| set.add(port)));
        }
        arrived
    }

    /// A message that was longer than its receiver said is kept for the next.
    fn fit(&self, received: Received, room: usize) -> Result<Received> {
        if received.data().len() <= room {
            return Ok(received);
        }
        self.kept.lock().push_front(received);
        Err(Status::BufferTooSmall)
    }

    /// Bytes of data of the message that is received next, if it has been kept.
    pub(crate) fn kept_length(&self, at: Where<'_>) -> Option<usize> {
        self.kept.lock().iter().find(|kept| is_from(kept, at)).map(|kept| kept.data().len())
    }

    fn has_kept(&self, at: Where<'_>) -> bool {
        self.kept.lock().iter().any(|kept| is_from(kept, at))
    }

    fn take_kept(&self, at: Where<'_>) -> Option<Received> {
        let mut kept = self.kept.lock();
        let place = kept.iter().position(|kept| is_from(kept, at))?;
        kept.remove(place)
    }

    /// Answers, and receives in the same trap.
    pub(crate) fn answer_and_receive(
        &self,
        at: Where<'_>,
        right: SendOnceRight,
        answer: portolan::Message<'_>,
        room: usize,
        wait: Wait,
    ) -> Result<Received, AnsweredOr> {
        if matches!(at, Where::Only(_)) || self.has_kept(at) {
            right.answer(answer).map_err(AnsweredOr::Not)?;
            return self.receive(at, room, wait).map_err(AnsweredOr::Then);
        }
        let Ok(place) = self.pending.lock().claim() else {
            let failed = portolan::Unanswered { error: Error::ResourceShortage, right: Some(right) };
            return Err(AnsweredOr::Not(failed));
        };
        let clock = Clock::start(wait);
        let mut place = Some(place);
        let arrived = match self.set.with(|set| set.answer_and_receive(right, answer, wait)) {
            Err(failed) if failed.right.is_some() => {
                self.release(place);
                return Err(AnsweredOr::Not(failed));
            }
            arrived => arrived.map_err(|failed| failed.error),
        };
        let received = self.open(arrived, &mut place);
        self.release(place);
        match received {
            Ok(Some(received)) => self.fit(received, room),
            Ok(None) => self.receive(at, room, clock.left()),
            Err(_) if self.has_kept(at) => self.receive(at, room, Some(0).into()),
            Err(error) => Err(error.into()),
        }
        .map_err(AnsweredOr::Then)
    }

    fn release(&self, place: Option<u32>) {
        if let Some(place) = place {
            self.pending.lock().release(place);
        }
    }

    /// What an arrived message means; `None` where that is nobody's business but the library's.
    fn open(
        &self,
        arrived: portolan::Result<portolan::Received>,
        place: &mut Option<u32>,
    ) -> portolan::Result<Option<Received>> {
        let arrived = arrived?;
        Ok(match arrived.payload().and_then(Purpose::of) {
            None => None,
            Some(Purpose::Joined(key)) => Some(Received::joined(arrived, key)),
            Some(Purpose::Door) => self.knock(arrived, place),
            Some(Purpose::Connection(id)) => {
                let connection = self.connections.lock().get(id).cloned();
                connection.and_then(|connection| self.hear(&connection, arrived, place))
            }
            Some(Purpose::Answer(id)) => self.answered(id, arrived, place),
        })
    }

    /// At the connection port: somebody wants to connect.
    fn knock(&self, arrived: portolan::Received, place: &mut Option<u32>) -> Option<Received> {
        if arrived.is_from_kernel() {
            return None;
        }
        let Role::Server(door) = &self.role else { return None };
        let mut received = Received::decode(arrived, &self.attributes)?;
        if received.message_type() != Type::ConnectionRequest {
            return None;
        }
        if received.header.kind & IDENTIFY != 0 {
            door.identify(&mut received);
            return None;
        }
        if received.header.kind & INFORM != 0 {
            self.inform(&mut received);
            return None;
        }
        let newcomer = Newcomer::of(&mut received)?;
        if !door.allows(newcomer.token) {
            newcomer.refuse(Status::AccessDenied, &[]);
            return None;
        }
        let id = place.take()?;
        self.pending.lock().fill(id, Pending::Newcomer(newcomer));
        received.header.message_id = id;
        Some(received)
    }

    /// At a private port.
    fn hear(
        &self,
        connection: &Arc<Connection>,
        arrived: portolan::Received,
        place: &mut Option<u32>,
    ) -> Option<Received> {
        if arrived.notice() == Some(Notice::SendOnce) {
            // The other side's last word is lost: it has ended. The kernel's notice overtakes what it said before,
            // so the news is queued behind that.
            return self.note_end(connection);
        }
        let mut received = Received::decode(arrived, &self.attributes)?;
        let kind = received.message_type();
        if kind == Type::ClientDied && received.sender() == self.me {
            return self.ended(connection);
        }
        if kind == Type::ConnectionReply {
            return door::connected(connection, received, self);
        }
        let peer = connection.peer().ok()?;
        if received.sender() != peer.task {
            return None;
        }
        received.peer = Some(Arc::clone(&peer));
        match kind {
            Type::Datagram => Some(received),
            Type::Request => self.asked(connection.id, received, Origin::Queue, place),
            Type::Canceled => self.canceled(connection.id, received.message_id(), peer),
            Type::PortClosed => self.closed(connection, Type::PortClosed),
            _ => None,
        }
    }

    /// A request: to be answered.
    pub(crate) fn asked(
        &self,
        connection: u32,
        mut received: Received,
        origin: Origin,
        place: &mut Option<u32>,
    ) -> Option<Received> {
        let Right::SendOnce(reply) = received.take_reply() else { return None };
        let question = Question::new(reply, connection, &received, origin)?;
        let id = place.take()?;
        self.pending.lock().fill(id, Pending::Request(question));
        received.header.message_id = id;
        Some(received)
    }

    /// The other side wants no answer any more. It is told so where it would have come.
    fn canceled(&self, connection: u32, theirs: u32, peer: Arc<Peer>) -> Option<Received> {
        let mut pending = self.pending.lock();
        let (id, _) = pending.iter().find(|(_, pending)| pending.is_request(connection, theirs))?;
        let question = pending.take(id);
        drop(pending);
        if let Some(Pending::Request(question)) = question {
            question.cancel();
        }
        Some(Received::told(Type::Canceled, id, Some(peer)))
    }

    /// At the port of an asynchronous request.
    fn answered(&self, id: u32, arrived: portolan::Received, place: &mut Option<u32>) -> Option<Received> {
        let (context, connection) = {
            let awaited = self.awaited.lock();
            let awaited = awaited.get(id)?;
            (awaited.context, awaited.connection)
        };
        let peer = self.connections.lock().get(connection).and_then(|connection| connection.peer().ok());
        let received = Received::decode(arrived, &self.attributes);
        let mut received = match received {
            Some(mut received) if received.message_type() == Type::Request => {
                // A callback. The answer to it brings the right to answer the request, to the same port.
                received.peer = peer;
                received.context = context;
                return self.asked(connection, received, Origin::Awaited(id), place);
            }
            Some(received) if matches!(received.message_type(), Type::Reply | Type::Canceled) => received,
            _ => Received::told(Type::LostReply, id, None),
        };
        received.header.message_id = id;
        received.peer = peer;
        received.context = context;
        self.awaited.lock().take(id);
        Some(received)
    }

    // The end of a connection.

    /// Queues the news that the other side has ended behind what it has said.
    fn note_end(&self, connection: &Arc<Connection>) -> Option<Received> {
        let header = PortMessage { kind: Type::ClientDied as u16, ..sized(0) };
        let sent = connection.own.with(ReceiveRight::make_send_once);
        let sent = sent.and_then(|to| Ok(to.send(compose(header, &[], &[]))?));
        // Without memory for that it is heard now.
        if sent.is_err() { self.ended(connection) } else { None }
    }

    fn ended(&self, connection: &Arc<Connection>) -> Option<Received> {
        if matches!(&*connection.phase.lock(), Phase::Pending(_)) {
            return Some(door::turned_away(connection, Status::PortConnectionRefused.into(), self));
        }
        match self.role {
            Role::Server(_) => self.closed(connection, Type::ClientDied),
            Role::Client => self.closed(connection, Type::PortClosed),
        }
    }

    /// The other side is gone: this one is closed, too. The news, once.
    fn closed(&self, connection: &Arc<Connection>, news: Type) -> Option<Received> {
        let Phase::Open(peer, _) = self.close(connection) else { return None };
        let news = Received::told(news, 0, Some(peer));
        if matches!(self.role, Role::Client) {
            self.wind_up();
        }
        Some(news)
    }

    /// This side disconnects.
    pub(crate) fn disconnect(&self, connection: &Arc<Connection>) -> Result<()> {
        let Phase::Open(_, last_word) = self.close(connection) else { return Err(Status::PortDisconnected) };
        last_word.say();
        let forgotten: Vec<_> = {
            let mut awaited = self.awaited.lock();
            let ids: Vec<u32> =
                awaited.iter().filter(|(_, awaited)| awaited.connection == connection.id).map(|(id, _)| id).collect();
            ids.into_iter().filter_map(|id| awaited.take(id)).collect()
        };
        drop(forgotten);
        if matches!(self.role, Role::Client) {
            self.set.kill();
        }
        Ok(())
    }

    /// The connection port is gone: who waits to be let in is not.
    pub(crate) fn turn_away(&self) {
        let newcomers = self.take_pending(|pending| matches!(pending, Pending::Newcomer(_)));
        drop(newcomers);
    }

    fn take_pending(&self, which: impl Fn(&Pending) -> bool) -> Vec<Pending> {
        let mut pending = self.pending.lock();
        let ids: Vec<u32> = pending.iter().filter(|(_, pending)| which(pending)).map(|(id, _)| id).collect();
        ids.into_iter().filter_map(|id| pending.take(id)).collect()
    }

    /// Ends this side, and what was asked on it; what it was before.
    fn close(&self, connection: &Arc<Connection>) -> Phase {
        let before = connection.end(Phase::Closed);
        self.connections.lock().take(connection.id);
        let unanswered = self.take_pending(|pending| pending.is_of(connection.id));
        // Whoever waits for an answer is told that there will be none.
        drop(unanswered);
        before
    }

    /// A client's connection is over: what has come is kept to be received, each request without an answer is said
    /// to have none, and threads that wait are told.
    pub(crate) fn wind_up(&self) {
        let mut place = None;
        while let Ok(received) = self.open(self.set.with(|set| set.receive_within(0)), &mut place) {
            self.kept.lock().extend(received);
        }
        let mut awaited = self.awaited.lock();
        let ids: Vec<u32> = awaited.iter().map(|(id, _)| id).collect();
        for id in ids {
            let mut lost = Received::told(Type::LostReply, id, None);
            lost.context = awaited.take(id).map_or(0, |awaited| awaited.context);
            self.kept.lock().push_back(lost);
        }
        self.set.kill();
    }

    // Asynchronous requests.

    /// Sends a request whose answer is received like any message; its id.
    pub(crate) fn request_later(&self, connection: &Connection, message: &Message<'_>) -> Result<u32> {
        let peer = connection.peer()?;
        message.check(peer.max_message_length)?;
        let level = self.security.lock().level(message)?;
        let port = ReceiveRight::allocate(Capacity::Bounded(1))?;
        let id = self.awaited.lock().claim()?;
        let sent = self.await_at(&port, id).and_then(|reply| {
            let request = message.encode(message.header(Type::Request, id, 0), level)?.reply_to(reply);
            // It may be answered before the send returns.
            let awaited = Awaited { port, context: message.context, connection: connection.id };
            self.awaited.lock().fill(id, awaited);
            peer.port.send(request).map_err(Status::from)
        });
        if sent.is_err() {
            let mut awaited = self.awaited.lock();
            drop(awaited.take(id));
            awaited.release(id);
        }
        sent.map(|()| id)
    }

    fn await_at(&self, port: &ReceiveRight, id: u32) -> Result<SendOnceRight> {
        port.set_payload(Purpose::Answer(id).payload())?;
        self.set.with(|set| set.add(port))?;
        Ok(port.make_send_once()?)
    }
}

/// Why an answer that was to be followed by a receive did not work.
pub(crate) enum AnsweredOr {
    /// The answer did not go.
    Not(portolan::Unanswered),
    /// It went; nothing was received.
    Then(Status),
}

/// A port of such a capacity that never lets a sender wait.
fn mailbox(attributes: &PortAttributes, purpose: Purpose) -> Result<ReceiveRight> {
    let port = ReceiveRight::allocate(attributes.capacity())?;
    port.set_payload(purpose.payload())?;
    port.set_full(AtFull::Refuse)?;
    Ok(port)
}

fn is_from(kept: &Received, at: Where<'_>) -> bool {
    match at {
        Where::All => true,
        Where::Only(connection) => {
            let open = connection.peer();
            open.is_ok_and(|peer| kept.peer.as_ref().is_some_and(|of| Arc::ptr_eq(of, &peer)))
        }
    }
}

/// A port set that can be ended while threads wait at it; see [`PrivatePort`](crate::connection::PrivatePort).
pub(crate) struct Set {
    name: Name,
    alive: AtomicBool,
}

impl Set {
    fn new(set: PortSet) -> Set {
        Set { name: set.into_name(), alive: AtomicBool::new(true) }
    }

    pub(crate) fn with<T>(&self, use_it: impl FnOnce(&PortSet) -> T) -> T {
        use_it(&ManuallyDrop::new(PortSet::from_name(self.name)))
    }

    fn kill(&self) {
        if self.alive.swap(false, Ordering::AcqRel) {
            drop(PortSet::from_name(self.name));
        }
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.kill();
    }
}
