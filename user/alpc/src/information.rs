//! What a port tells of itself, and of its connections.
//!
//! A server's connections can be asked for from outside, through its connection port, by whoever acts for user 0: the
//! library answers while the server receives. Neighbours: `port`, `inbox`, whose tables are told of.

use crate::attributes::PortAttributes;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::header::{INFORM, PortMessage, Type};
use crate::inbox::Inbox;
use crate::message::{Received, compose, sized};
use crate::name::Server;
use crate::status::{Result, Status};
use alloc::sync::Arc;
use alloc::vec::Vec;
use portolan::abi::message::SecurityToken;
use portolan::{Error, Right};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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
    /// One of the two has disconnected, or ended; of a connection port, it lets nobody in any more.
    Disconnected,
}

/// What [`Port::query_information`](crate::Port::query_information) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Information {
    /// How far it has come.
    pub state: State,
    /// The longest message that can be sent, header included.
    pub max_message_length: usize,
    /// Bytes that may wait in this port for each sender.
    pub max_pool_usage: usize,
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

/// One of a server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ConnectionInformation {
    /// The client's task, as messages call their sender.
    pub peer: u64,
    /// Whom it acts for.
    pub token: SecurityToken,
    /// Its requests that were received and not answered.
    pub pending: u32,
    /// Requests to it, asynchronous ones, that are not answered.
    pub awaited: u32,
}

/// Most connections of one answer.
const LISTED: usize = 32;

/// The connections of another task's server, in no order. One that is there all the while is told of once.
///
/// # Errors
/// `AccessDenied`: this task does not act for user 0. Those of a name; `ObjectNameNotFound`, `LpcReplyLost`: there is no
/// server, or it has ended; `Timeout`: it does not receive.
pub fn connections<'a>(server: impl Into<Server<'a>>, timeout: Option<u32>) -> Result<Vec<ConnectionInformation>> {
    let clock = Clock::start(timeout.into());
    let server = server.into().find(timeout)?;
    let limits = PortAttributes { max_message_length: PortAttributes::MAX_MESSAGE_LENGTH, ..PortAttributes::default() };
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let header = PortMessage { kind: Type::ConnectionRequest as u16 | INFORM, message_id: from, ..sized(0) };
        let answer = server.rpc_or(compose(header, &[], &[]), clock.left());
        let answer = answer.map_err(|failure| match failure.error {
            Error::SendInvalidPort => Status::ObjectNameNotFound,
            error => error.into(),
        })?;
        let answer = Received::decode(answer, &limits).ok_or(Status::ReplyMessageMismatch)?;
        if answer.header.callback_id != 0 {
            return Err(Status::AccessDenied);
        }
        let part = answer.data().chunks_exact(size_of::<ConnectionInformation>());
        all.try_reserve(part.len()).map_err(|_| Status::InsufficientResources)?;
        all.extend(part.filter_map(|entry| ConnectionInformation::read_from_bytes(entry).ok()));
        // A server that goes round in a circle is believed no more.
        match answer.message_id() {
            next if next > from => from = next,
            _ => return Ok(all),
        }
    }
}

impl Inbox {
    /// The connections of this task's server.
    pub(crate) fn list(&self) -> Result<Vec<ConnectionInformation>> {
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            let (part, count, next) = self.part(from);
            all.try_reserve(count).map_err(|_| Status::InsufficientResources)?;
            all.extend_from_slice(&part[..count]);
            match next {
                0 => return Ok(all),
                next => from = next,
            }
        }
    }

    /// Tells who asks from outside.
    pub(crate) fn inform(&self, asked: &mut Received) {
        let Right::SendOnce(reply) = asked.take_reply() else { return };
        let ((part, count, next), status) = match asked.token().user {
            0 => (self.part(asked.header.message_id), 0),
            _ => (([ConnectionInformation::default(); LISTED], 0, 0), u64::from(Status::AccessDenied.code())),
        };
        let data = part[..count].as_bytes();
        let kind = Type::ConnectionReply as u16;
        let header = PortMessage { kind, message_id: next, callback_id: status, ..sized(data.len()) };
        // Whoever has stopped waiting need not be told.
        let _ = reply.answer(compose(header, data, &[]));
    }

    /// Connections from this place of the table on: how many, and where the next part begins, if there is one.
    fn part(&self, from: u32) -> ([ConnectionInformation; LISTED], usize, u32) {
        let mut part = [ConnectionInformation::default(); LISTED];
        let mut count = 0;
        for (place, connection) in self.connections.lock().iter_from(from) {
            let Some(entry) = part.get_mut(count) else { return (part, count, place) };
            if let Some(told) = self.told(connection) {
                *entry = told;
                count += 1;
            }
        }
        (part, count, 0)
    }

    fn told(&self, connection: &Arc<Connection>) -> Option<ConnectionInformation> {
        let peer = connection.peer().ok()?;
        let pending = self.pending.lock().iter().filter(|(_, pending)| pending.is_of(connection.id)).count() as u32;
        let awaited =
            self.awaited.lock().iter().filter(|(_, awaited)| awaited.connection == connection.id).count() as u32;
        Some(ConnectionInformation { peer: peer.task, token: peer.token, pending, awaited })
    }
}
