//! ALPC: connections, what goes over them, and their ends.
//!
//! Most cases have both sides in one task, where one thread can play both; where a task must die, or be a
//! stranger, it is a peer, whose hand plays a part ([`act`]).

use crate::case::{Failure, Verdict};
use crate::clock::deadline;
use crate::peer::Peer;
use crate::{cases, holds, same};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use portolan::abi::Disposition;
use portolan::abi::message::SecurityToken;
use portolan::abi::thread::State as Doing;
use portolan::thread::{JoinHandle, sleep_ms, spawn};
use portolan::trap::clock_get;
use portolan::{Capacity, Error, Mutex, Name, Protection, ReceiveRight, Right, SendRight, Task};
use portolan_alpc::section::GRANULARITY;
use portolan_alpc::{
    Access, CALLBACK_DEPTH_MAX, ImpersonationLevel, Message, MessageAttributes, Port, PortAttributes, PortMessage,
    Received, SendFlags, State, Status, Type,
};
use zerocopy::{FromBytes, IntoBytes};

pub(crate) mod names;
pub(crate) mod random;
pub(crate) mod waits;

cases!("alpc":
    a_client_is_accepted,
    a_refusal_says_why,
    who_may_not_connect_is_refused,
    a_connect_times_out,
    a_name_without_a_server,
    a_server_that_leaves_lets_nobody_in,
    a_pending_port_takes_no_requests,
    a_refused_port_stays_refused,
    an_id_that_is_no_connection_request,
    attributes_out_of_range,
    a_port_of_the_wrong_kind,
    a_client_disconnects,
    a_server_disconnects,
    waiting_threads_hear_of_the_end,
    a_client_dies,
    a_client_that_dies_is_heard_to_the_end,
    a_server_dies_with_a_request_in_hand,
    a_server_dies_while_its_client_receives,
    a_server_dies_with_a_connection_pending,
    datagrams_in_order,
    a_request_and_its_reply,
    asynchronous_requests,
    replies_out_of_order_and_from_another_thread,
    a_server_asks_its_client,
    all_clients_on_the_connection_port,
    one_client_on_its_private_port,
    another_clients_request_is_not_answered,
    an_id_is_answered_once,
    reply_and_receive_in_one,
    the_one_call_of_windows,
    flags_that_exclude_each_other,
    types_that_are_not_for_programs,
    a_message_too_long,
    large_messages,
    a_buffer_too_small,
    a_receive_times_out,
    a_request_times_out,
    a_full_pool,
    a_callback,
    callbacks_both_ways,
    callbacks_nest_so_deep,
    a_callback_within_an_asynchronous_request,
    a_callback_is_no_ordinary_request,
    a_callback_that_nobody_hears,
    a_canceled_request_is_lost,
    a_client_cancels,
    a_lost_reply,
    a_reply_to_another_request,
    a_handle,
    a_handle_that_is_none,
    many_handles,
    handles_that_are_too_many,
    handles_that_are_not_wanted,
    a_view,
    a_view_to_read,
    a_view_that_nobody_changes,
    sections_have_limits,
    views_have_limits,
    a_handle_and_a_view_together,
    a_reserve,
    a_reserve_is_in_use_until_its_reply_is_received,
    a_reserve_is_for_plain_replies,
    a_server_without_memory_answers,
    the_kernel_says_who_sends,
    impersonation_needs_consent,
    the_sender_is_opened_with_consent,
    a_request_says_who_sent_it,
    messages_as_bytes,
    a_third_task_cannot_send,
    nonsense_is_passed_over,
    many_threads_serve_many_clients,
    information,
);

const PATIENCE_MS: u32 = 5000;
const PATIENCE: Option<u32> = Some(PATIENCE_MS);
const NOW: Option<u32> = Some(0);

type Result<T, E = Failure> = core::result::Result<T, E>;

impl From<Status> for Failure {
    #[track_caller]
    fn from(status: Status) -> Failure {
        Failure::new(status.windows_name())
    }
}

impl From<portolan_alpc::Refusal> for Failure {
    #[track_caller]
    fn from(refusal: portolan_alpc::Refusal) -> Failure {
        Failure::from(refusal.status)
    }
}

/// A server and one client of its, in this task.
struct Pair {
    server: Arc<Port>,
    /// The server's side of the connection.
    side: Arc<Port>,
    client: Arc<Port>,
}

/// The number that servers here know their first client by.
const CONTEXT: u64 = 77;

impl Pair {
    fn new() -> Result<Pair> {
        Pair::with(PortAttributes::default(), PortAttributes::default())
    }

    fn with(server: PortAttributes, client: PortAttributes) -> Result<Pair> {
        let server = Port::create(server, Access::Anyone)?;
        let (client, side) = connected(&server, client, CONTEXT)?;
        Ok(Pair { server: Arc::new(server), side: Arc::new(side), client: Arc::new(client) })
    }

    /// Lets a thread ask, and receives what it asks.
    fn asked(&self, data: &'static [u8]) -> Result<(JoinHandle<Result<Heard, Status>>, u32)> {
        let asks = ask(&self.client, data)?;
        let request = self.server.receive(PATIENCE)?;
        same!((request.message_type(), request.data()), (Type::Request, data));
        Ok((asks, request.message_id()))
    }
}

/// A client of this server, and the server's side.
fn connected(server: &Port, attributes: PortAttributes, context: u64) -> Result<(Port, Port)> {
    let client = Port::connect_later(&server.right()?, attributes, &Message::new(b"hello"), None)?;
    let request = server.receive(PATIENCE)?;
    same!((request.message_type(), request.data()), (Type::ConnectionRequest, &b"hello"[..]));
    let side = server.accept(request.message_id(), context, &Message::new(b"welcome"))?;
    let answer = client.receive(PATIENCE)?;
    same!((answer.message_type(), answer.data()), (Type::ConnectionReply, &b"welcome"[..]));
    Ok((client, side))
}

/// What a thread got: its type, id and data.
type Heard = (Type, u32, Vec<u8>);

fn heard(received: Received) -> Heard {
    (received.message_type(), received.message_id(), received.data().to_vec())
}

/// A thread that sends a request and waits.
fn ask(client: &Arc<Port>, data: &'static [u8]) -> Result<JoinHandle<Result<Heard, Status>>> {
    let client = Arc::clone(client);
    Ok(spawn(move || client.request(&Message::new(data), PATIENCE).map(heard))?)
}

/// Waits until a thread waits for a message.
fn until_waiting<T>(thread: &JoinHandle<T>) -> Verdict {
    let deadline = deadline(PATIENCE_MS);
    while thread.thread().info()?.state != Doing::Receiving as u32 {
        holds!(clock_get() < deadline);
        portolan::thread::yield_now();
    }
    Ok(())
}

fn data(received: Received) -> Vec<u8> {
    received.data().to_vec()
}

fn reply(data: &[u8]) -> (Type, Vec<u8>) {
    (Type::Reply, data.to_vec())
}

fn of((kind, _, data): Heard) -> (Type, Vec<u8>) {
    (kind, data)
}

fn status<T>(result: Result<T, Status>) -> Option<Status> {
    result.err()
}

fn text(data: &'static [u8]) -> Message<'static> {
    Message::new(data)
}

// Parts, for the hands of peers.

/// Keeps a port: it dies with its task only.
static PORTS: Mutex<Vec<Port>> = Mutex::new(Vec::new());

/// Connects to the server by the right with this name, and stays connected.
const CONNECT: u64 = 0;
/// Sends `arguments[1]` datagrams.
const DATAGRAMS: u64 = 1;
/// Sends a request and waits.
const REQUEST: u64 = 2;
/// Makes a connection port; returns the name of a right to it.
const SERVE: u64 = 3;
/// Accepts who asks.
const ACCEPT: u64 = 4;
/// Receives, and does nothing.
const RECEIVE: u64 = 5;
/// Sends a request and waits as long as it takes.
const REQUEST_FOREVER: u64 = 6;
/// Receives what is there, and does nothing.
const RECEIVE_NOW: u64 = 7;
/// Answers the next request.
const ANSWER: u64 = 8;
/// Receives within `arguments[1]` ms, and does nothing.
const RECEIVE_WITHIN: u64 = 9;
/// Makes a connection port with the name [`PEERS_NAME`] at the name server of this right.
const SERVE_NAMED: u64 = 10;
/// Asks for the connections of the server of this right; how many.
const LIST: u64 = 11;
/// Asks, or serves, with this seed, until it dies.
const PLAY_CLIENT: u64 = 12;
const PLAY_SERVER: u64 = 13;

const PEERS_NAME: &str = "a peer's";

/// What a peer's hand does; the status code, or what the part says.
pub(crate) fn act(part: u64, arguments: [u64; 6]) -> u64 {
    match play(part, arguments) {
        Ok(value) => value,
        Err(status) => u64::from(status.code()),
    }
}

fn play(part: u64, arguments: [u64; 6]) -> Result<u64, Status> {
    let mut ports = PORTS.lock();
    match part {
        CONNECT => {
            let right = SendRight::from_name(Name(arguments[0] as u32));
            let attributes = PortAttributes { allow_open_process: arguments[1] != 0, ..PortAttributes::default() };
            let (port, _) =
                Port::connect(&right, attributes, &text(b"hello"), None, PATIENCE).map_err(|refusal| refusal.status)?;
            ports.push(port);
        }
        DATAGRAMS => {
            for number in 0..arguments[1] {
                ports[0].datagram(&Message::new(&number.to_le_bytes()))?;
            }
        }
        REQUEST => drop(ports[0].request(&text(b"question"), PATIENCE)?),
        SERVE => {
            let port = Port::create(PortAttributes::default(), Access::Anyone)?;
            let right = port.right()?.into_name();
            ports.push(port);
            return Ok(u64::from(right.0));
        }
        ACCEPT => {
            let request = ports[0].receive(PATIENCE)?;
            let side = ports[0].accept(request.message_id(), 0, &text(b"welcome"))?;
            ports.push(side);
        }
        REQUEST_FOREVER => drop(ports[0].request(&text(b"question"), None)?),
        ANSWER => {
            let request = ports[0].receive(PATIENCE)?;
            ports[0].reply(request.message_id(), &text(b"answer"))?;
        }
        RECEIVE_NOW => drop(ports[0].receive(NOW)?),
        RECEIVE_WITHIN => drop(ports[0].receive(Some(arguments[1] as u32))?),
        SERVE_NAMED => {
            portolan::name_server::adopt(SendRight::from_name(Name(arguments[0] as u32)));
            ports.push(Port::create_named(PEERS_NAME, PortAttributes::default(), Access::Anyone)?);
        }
        PLAY_CLIENT => return random::play_client(&ports[0], arguments[0]),
        PLAY_SERVER => return random::play_server(&ports[0], arguments[0]),
        LIST => {
            let server = SendRight::from_name(Name(arguments[0] as u32));
            return Ok(portolan_alpc::connections(&server, PATIENCE)?.len() as u64);
        }
        _ => drop(ports[0].receive(PATIENCE)?),
    }
    Ok(0)
}

/// A peer that is connected to this server, and the server's side.
fn foreign_client(server: &Port, open: bool) -> Result<(Peer, Port)> {
    let peer = Peer::start()?;
    let right = server.right()?;
    let there = peer.give(right.name(), Disposition::CopySend)?;
    let connects = peer.hand.act(CONNECT, [u64::from(there.0), u64::from(open), 0, 0, 0, 0])?;
    let request = server.receive(PATIENCE)?;
    let side = server.accept(request.message_id(), CONTEXT, &text(b""))?;
    same!(connects.finish()?.value, 0);
    Ok((peer, side))
}

/// A peer that serves, and a right to its connection port.
fn foreign_server() -> Result<(Peer, SendRight)> {
    let peer = Peer::start()?;
    let there = peer.hand.act(SERVE, [0; 6])?.finish()?.value;
    let right = peer.take(Name(there as u32), Disposition::CopySend)?;
    Ok((peer, SendRight::from_name(right)))
}

/// A client in this task of a peer that serves.
fn client_of(peer: &Peer, right: &SendRight) -> Result<Port> {
    let accepts = peer.hand.act(ACCEPT, [0; 6])?;
    let (client, _) = Port::connect(right, PortAttributes::default(), &text(b"hello"), None, PATIENCE)?;
    same!(accepts.finish()?.value, 0);
    Ok(client)
}

// Connecting.

fn a_client_is_accepted() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let right = server.right()?;
    let connects = spawn(move || {
        let connected = Port::connect(&right, PortAttributes::default(), &text(b"hello"), None, PATIENCE);
        connected.map(|(port, answer)| (port, heard(answer))).map_err(|refusal| refusal.status)
    })?;
    let request = server.receive(PATIENCE)?;
    same!((request.message_type(), request.data()), (Type::ConnectionRequest, &b"hello"[..]));
    let side = server.accept(request.message_id(), CONTEXT, &text(b"welcome"))?;
    let (client, answer) = connects.join()??;
    same!((answer.0, &answer.2[..]), (Type::ConnectionReply, &b"welcome"[..]));
    same!((client.query_information().state, side.query_information().state), (State::Connected, State::Connected));
    client.datagram(&text(b"there"))?;
    side.datagram(&text(b"back"))?;
    let there = server.receive(PATIENCE)?;
    same!((there.data(), there.port_context()), (&b"there"[..], CONTEXT));
    same!(data(client.receive(PATIENCE)?), b"back");
    Ok(())
}

fn a_refusal_says_why() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let right = server.right()?;
    let connects = spawn(move || {
        let refusal = Port::connect(&right, PortAttributes::default(), &text(b"hello"), None, PATIENCE).err()?;
        Some((refusal.status, refusal.message.map(|message| heard(*message))))
    })?;
    let request = server.receive(PATIENCE)?;
    server.refuse(request.message_id(), &text(b"full house"))?;
    let Some((status, Some((kind, _, data)))) = connects.join()? else { return Err(Failure::new("no message")) };
    same!((status, kind, &data[..]), (Status::PortConnectionRefused, Type::ConnectionReply, &b"full house"[..]));
    same!(server.query_information().connections, 0);
    Ok(())
}

fn who_may_not_connect_is_refused() -> Verdict {
    for (access, allowed) in
        [(Access::Users(vec![99]), false), (Access::Groups(vec![]), false), (Access::Users(vec![0]), true)]
    {
        let server = Port::create(PortAttributes::default(), access)?;
        let client = Port::connect_later(&server.right()?, PortAttributes::default(), &text(b"let me in"), None)?;
        let request = server.receive(NOW);
        same!(request.is_ok(), allowed);
        if !allowed {
            same!(client.receive(PATIENCE)?.refusal(), Some(Status::AccessDenied));
            same!(client.query_information().state, State::Refused);
            let right = server.right()?;
            let connects = spawn(move || {
                Port::connect(&right, PortAttributes::default(), &text(b""), None, PATIENCE)
                    .map(drop)
                    .map_err(|refusal| refusal.status)
            })?;
            same!(status(server.receive(Some(100)).map(drop)), Some(Status::Timeout));
            same!(connects.join()?, Err(Status::AccessDenied));
        }
    }
    Ok(())
}

fn a_connect_times_out() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let right = server.right()?;
    let connects = spawn(move || {
        let refusal = Port::connect(&right, PortAttributes::default(), &text(b""), None, Some(20)).err();
        refusal.map(|refusal| refusal.status)
    })?;
    let request = server.receive(PATIENCE)?;
    same!(connects.join()?, Some(Status::Timeout));
    same!(status(server.accept(request.message_id(), 0, &text(b""))), Some(Status::RequestCanceled));
    same!(server.query_information().connections, 0);
    Ok(())
}

fn a_name_without_a_server() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let right = server.right()?;
    drop(server);
    let refusal = Port::connect(&right, PortAttributes::default(), &text(b""), None, None);
    same!(refusal.err().map(|refusal| refusal.status), Some(Status::ObjectNameNotFound));
    same!(
        status(Port::connect_later(&right, PortAttributes::default(), &text(b""), None)),
        Some(Status::ObjectNameNotFound)
    );
    Ok(())
}

fn a_server_that_leaves_lets_nobody_in() -> Verdict {
    for received in [false, true] {
        let server = Port::create(PortAttributes::default(), Access::Anyone)?;
        let right = server.right()?;
        let connects = spawn(move || {
            Port::connect(&right, PortAttributes::default(), &text(b""), None, PATIENCE)
                .err()
                .map(|refusal| refusal.status)
        })?;
        while received && server.query_information().pending == 0 {
            drop(server.receive(PATIENCE)?);
        }
        if !received {
            until_waiting(&connects)?;
        }
        drop(server);
        same!(connects.join()?, Some(Status::PortConnectionRefused));
    }
    Ok(())
}

fn a_pending_port_takes_no_requests() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let client = Port::connect_later(&server.right()?, PortAttributes::default(), &text(b""), None)?;
    same!(client.query_information().state, State::ConnectionPending);
    same!(status(client.request(&text(b""), None)), Some(Status::LpcRequestsNotAllowed));
    same!(status(client.request_later(&text(b""))), Some(Status::LpcRequestsNotAllowed));
    same!(status(client.datagram(&text(b""))), Some(Status::LpcRequestsNotAllowed));
    Ok(())
}

fn a_refused_port_stays_refused() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let client = Port::connect_later(&server.right()?, PortAttributes::default(), &text(b""), None)?;
    let request = server.receive(PATIENCE)?;
    server.refuse(request.message_id(), &text(b"no"))?;
    let answer = client.receive(PATIENCE)?;
    same!((answer.data(), answer.refusal()), (&b"no"[..], Some(Status::PortConnectionRefused)));
    same!(status(client.receive(None)), Some(Status::PortDisconnected));
    same!(status(client.request(&text(b""), None)), Some(Status::PortConnectionRefused));
    same!(status(client.datagram(&Message::new(&[0; 1000]))), Some(Status::PortConnectionRefused));
    Ok(())
}

fn an_id_that_is_no_connection_request() -> Verdict {
    let pair = Pair::new()?;
    let id = pair.client.request_later(&text(b"question"))?;
    let request = pair.server.receive(PATIENCE)?;
    for id in [0, 1, 12345, request.message_id()] {
        same!(status(pair.server.accept(id, 0, &text(b""))), Some(Status::InvalidParameter));
        same!(status(pair.server.refuse(id, &text(b""))), Some(Status::InvalidParameter));
    }
    pair.server.reply(request.message_id(), &text(b"answer"))?;
    same!(pair.client.receive(PATIENCE)?.message_id(), id);
    let _late = Port::connect_later(&pair.server.right()?, PortAttributes::default(), &text(b""), None)?;
    let request = pair.server.receive(PATIENCE)?;
    same!(status(pair.server.reply(request.message_id(), &text(b""))), Some(Status::InvalidParameter));
    Ok(())
}

fn attributes_out_of_range() -> Verdict {
    for (max_message_length, max_pool_usage) in [(39, 0x4000), (0xFFF0, 0x10_0000), (256, 255)] {
        let attributes = PortAttributes { max_message_length, max_pool_usage, ..PortAttributes::default() };
        same!(status(Port::create(attributes, Access::Anyone)), Some(Status::InvalidPortAttributes));
    }
    Ok(())
}

fn a_port_of_the_wrong_kind() -> Verdict {
    let pair = Pair::new()?;
    same!(status(pair.client.right()), Some(Status::InvalidPortHandle));
    same!(status(pair.side.right()), Some(Status::InvalidPortHandle));
    same!(status(pair.server.request(&text(b""), None)), Some(Status::InvalidPortHandle));
    same!(status(pair.server.datagram(&text(b""))), Some(Status::InvalidPortHandle));
    Ok(())
}

// Ends.

fn a_client_disconnects() -> Verdict {
    let pair = Pair::new()?;
    pair.client.datagram(&text(b"last"))?;
    let _asked = pair.client.request_later(&text(b"never answered"))?;
    same!(data(pair.server.receive(PATIENCE)?), b"last");
    let request = pair.server.receive(PATIENCE)?;
    pair.client.disconnect()?;
    same!(status(pair.client.disconnect()), Some(Status::PortDisconnected));
    same!(status(pair.client.datagram(&text(b""))), Some(Status::PortDisconnected));
    same!(status(pair.client.receive(None)), Some(Status::PortDisconnected));
    same!(status(pair.server.reply(request.message_id(), &text(b""))), Some(Status::RequestCanceled));
    let news = pair.server.receive(PATIENCE)?;
    same!((news.message_type(), news.port_context()), (Type::PortClosed, CONTEXT));
    same!(status(pair.side.request(&text(b""), None)), Some(Status::PortDisconnected));
    same!(status(pair.server.receive(NOW)), Some(Status::Timeout));
    same!(pair.server.query_information().connections, 0);
    Ok(())
}

fn a_server_disconnects() -> Verdict {
    let pair = Pair::new()?;
    pair.side.datagram(&text(b"last"))?;
    let id = pair.client.request_later(&text(b"never answered"))?;
    let (waits, _) = pair.asked_after(id)?;
    pair.side.disconnect()?;
    same!(waits.join()?, Err(Status::LpcReplyLost));
    same!(status(pair.side.disconnect()), Some(Status::PortDisconnected));
    same!(status(pair.side.receive(None)), Some(Status::PortDisconnected));
    let mut kinds = Vec::new();
    while let Ok(news) = pair.client.receive(PATIENCE) {
        kinds.push(news.message_type());
        holds!(news.message_type() != Type::LostReply || news.message_id() == id);
    }
    holds!(kinds.contains(&Type::Datagram) && kinds.contains(&Type::PortClosed), kinds);
    same!(kinds.iter().filter(|kind| **kind == Type::LostReply).count(), 1);
    same!(kinds.len(), 3);
    same!(status(pair.client.request(&text(b""), None)), Some(Status::PortDisconnected));
    // The connection port lets the next one in.
    connected(&pair.server, PortAttributes::default(), 0).map(drop)?;
    Ok(())
}

impl Pair {
    /// A request that the server has received, and whose client has stopped waiting.
    fn given_up(&self) -> Result<portolan_alpc::Received> {
        let client = Arc::clone(&self.client);
        let asks = spawn(move || status(client.request(&text(b"short of time"), Some(10))))?;
        let request = self.server.receive(PATIENCE)?;
        same!(asks.join()?, Some(Status::Timeout));
        Ok(request)
    }

    /// As [`asked`](Pair::asked), when another request has been sent before.
    fn asked_after(&self, _id: u32) -> Result<(JoinHandle<Result<Heard, Status>>, u32)> {
        same!(self.server.receive(PATIENCE)?.message_type(), Type::Request);
        self.asked(b"question")
    }
}

fn waiting_threads_hear_of_the_end() -> Verdict {
    let pair = Pair::new()?;
    let wait = |port: &Arc<Port>| {
        let port = Arc::clone(port);
        spawn(move || port.receive(None).map(heard).map(|heard| heard.0))
    };
    let (clients, sides) = ([wait(&pair.client)?, wait(&pair.client)?], [wait(&pair.side)?, wait(&pair.side)?]);
    for waits in clients.iter() {
        until_waiting(waits)?;
    }
    for waits in sides.iter() {
        until_waiting(waits)?;
    }
    pair.side.disconnect()?;
    let mut ends = Vec::new();
    for waits in clients {
        ends.push(waits.join()?);
    }
    for waits in sides {
        same!(waits.join()?, Err(Status::PortDisconnected));
    }
    holds!(ends.contains(&Ok(Type::PortClosed)) && ends.contains(&Err(Status::PortDisconnected)), ends);
    Ok(())
}

fn a_client_dies() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let (peer, side) = foreign_client(&server, false)?;
    let _asks = peer.hand.act(REQUEST, [0; 6])?;
    let request = server.receive(PATIENCE)?;
    peer.terminate()?;
    let news = server.receive(PATIENCE)?;
    same!((news.message_type(), news.port_context()), (Type::ClientDied, CONTEXT));
    same!(news.sender(), request.sender());
    same!(status(server.reply(request.message_id(), &text(b""))), Some(Status::InvalidParameter));
    same!(status(side.datagram(&text(b""))), Some(Status::PortDisconnected));
    same!((server.query_information().connections, server.query_information().pending), (0, 0));
    Ok(())
}

fn a_client_that_dies_is_heard_to_the_end() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let (peer, _side) = foreign_client(&server, false)?;
    same!(peer.hand.act(DATAGRAMS, [0, 20, 0, 0, 0, 0])?.finish()?.value, 0);
    peer.terminate()?;
    for number in 0..20_u64 {
        same!(data(server.receive(PATIENCE)?), number.to_le_bytes());
    }
    same!(server.receive(PATIENCE)?.message_type(), Type::ClientDied);
    Ok(())
}

fn a_server_dies_with_a_request_in_hand() -> Verdict {
    let (peer, right) = foreign_server()?;
    let client = Arc::new(client_of(&peer, &right)?);
    let receives = peer.hand.act(RECEIVE, [0; 6])?;
    let asks = ask(&client, b"question")?;
    same!(receives.finish()?.value, 0);
    peer.terminate()?;
    same!(asks.join()?, Err(Status::LpcReplyLost));
    same!(client.receive(PATIENCE)?.message_type(), Type::PortClosed);
    same!(status(client.request(&text(b""), None)), Some(Status::PortDisconnected));
    Ok(())
}

fn a_server_dies_while_its_client_receives() -> Verdict {
    let (peer, right) = foreign_server()?;
    let client = Arc::new(client_of(&peer, &right)?);
    let id = client.request_later(&text(b"question"))?;
    let receives = {
        let client = Arc::clone(&client);
        spawn(move || client.receive(PATIENCE).map(heard))?
    };
    until_waiting(&receives)?;
    peer.terminate()?;
    let mut kinds = vec![receives.join()??];
    while let Ok(news) = client.receive(PATIENCE) {
        kinds.push(heard(news));
    }
    kinds.sort_by_key(|heard| heard.0 as u16);
    same!(kinds, [(Type::LostReply, id, vec![]), (Type::PortClosed, 0, vec![])]);
    Ok(())
}

fn a_server_dies_with_a_connection_pending() -> Verdict {
    let (peer, right) = foreign_server()?;
    let client = Port::connect_later(&right, PortAttributes::default(), &text(b""), None)?;
    peer.terminate()?;
    let answer = client.receive(PATIENCE)?;
    same!((answer.message_type(), answer.data()), (Type::ConnectionReply, &b""[..]));
    same!(client.query_information().state, State::Refused);
    Ok(())
}

// Messages.

fn datagrams_in_order() -> Verdict {
    let pair = Pair::new()?;
    for number in 0..50_u32 {
        pair.client.datagram(&Message::new(&number.to_le_bytes()))?;
    }
    let mut last = None;
    for number in 0..50_u32 {
        let message = pair.server.receive(NOW)?;
        same!((message.message_type(), message.data()), (Type::Datagram, &number.to_le_bytes()[..]));
        same!(
            (message.message_id(), status(pair.server.reply(message.message_id(), &text(b"")))),
            (0, Some(Status::InvalidParameter))
        );
        holds!(last.is_none_or(|last| last < message.sequence()));
        last = Some(message.sequence());
    }
    Ok(())
}

fn a_request_and_its_reply() -> Verdict {
    let pair = Pair::new()?;
    for _ in 0..100 {
        let (asks, id) = pair.asked(b"question")?;
        pair.server.reply(id, &text(b"answer"))?;
        same!(of(asks.join()??), reply(b"answer"));
    }
    same!(pair.server.query_information().pending, 0);
    Ok(())
}

fn asynchronous_requests() -> Verdict {
    let pair = Pair::new()?;
    let mut ids = Vec::new();
    for number in 0..10_u64 {
        ids.push(pair.client.request_later(&Message::new(&number.to_le_bytes()).context(1000 + number))?);
    }
    same!((pair.client.query_information().awaited, ids.iter().all(|id| *id != 0)), (10, true));
    for _ in 0..10 {
        let request = pair.server.receive(NOW)?;
        pair.server.reply(request.message_id(), &Message::new(request.data()))?;
    }
    for _ in 0..10 {
        let answer = pair.client.receive(NOW)?;
        let number = u64::read_from_bytes(answer.data()).unwrap_or_default();
        same!(answer.message_type(), Type::Reply);
        same!((answer.message_id(), answer.message_context()), (ids[number as usize], 1000 + number));
    }
    same!(pair.client.query_information().awaited, 0);
    Ok(())
}

fn replies_out_of_order_and_from_another_thread() -> Verdict {
    let pair = Pair::new()?;
    let (first, first_id) = pair.asked(b"first")?;
    let (second, second_id) = pair.asked(b"second")?;
    let server = Arc::clone(&pair.server);
    spawn(move || server.reply(second_id, &text(b"to second")))?.join()??;
    same!(of(second.join()??), reply(b"to second"));
    pair.side.reply(first_id, &text(b"to first"))?;
    same!(of(first.join()??), reply(b"to first"));
    Ok(())
}

fn a_server_asks_its_client() -> Verdict {
    let pair = Pair::new()?;
    let asks = ask(&pair.side, b"who are you")?;
    let request = pair.client.receive(PATIENCE)?;
    same!((request.message_type(), request.data()), (Type::Request, &b"who are you"[..]));
    pair.client.reply(request.message_id(), &text(b"me"))?;
    same!(of(asks.join()??), reply(b"me"));
    let id = pair.side.request_later(&text(b"and later?"))?;
    let request = pair.client.receive(PATIENCE)?;
    pair.client.reply(request.message_id(), &text(b"still me"))?;
    let answer = pair.server.receive(PATIENCE)?;
    same!((answer.message_id(), answer.data(), answer.port_context()), (id, &b"still me"[..], CONTEXT));
    Ok(())
}

fn all_clients_on_the_connection_port() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let mut pairs = Vec::new();
    for context in 0..20 {
        pairs.push(connected(&server, PortAttributes::default(), context)?);
    }
    for (client, _) in &pairs {
        client.request_later(&text(b"question"))?;
    }
    let mut contexts = Vec::new();
    for _ in 0..20 {
        let request = server.receive(NOW)?;
        contexts.push(request.port_context());
        server.reply(request.message_id(), &Message::new(&request.port_context().to_le_bytes()))?;
    }
    contexts.sort_unstable();
    same!(contexts, (0..20).collect::<Vec<u64>>());
    for (context, (client, _)) in (0..20_u64).zip(&pairs) {
        same!(data(client.receive(NOW)?), context.to_le_bytes());
    }
    Ok(())
}

fn one_client_on_its_private_port() -> Verdict {
    let pair = Pair::new()?;
    let (other, _other_side) = connected(&pair.server, PortAttributes::default(), 2)?;
    other.datagram(&text(b"of another"))?;
    pair.client.datagram(&text(b"one"))?;
    same!(data(pair.side.receive(NOW)?), b"one");
    same!(status(pair.side.receive(Some(5))), Some(Status::Timeout));
    // A thread that waits there gets what comes; another at the connection port gets the rest.
    let side = Arc::clone(&pair.side);
    let waits = spawn(move || side.receive(PATIENCE).map(heard))?;
    until_waiting(&waits)?;
    pair.client.datagram(&text(b"two"))?;
    same!(waits.join()??.2, b"two");
    same!(data(pair.server.receive(NOW)?), b"of another");
    pair.client.datagram(&text(b"three"))?;
    same!(data(pair.server.receive(NOW)?), b"three");
    Ok(())
}

fn another_clients_request_is_not_answered() -> Verdict {
    let pair = Pair::new()?;
    let (_other, other_side) = connected(&pair.server, PortAttributes::default(), 2)?;
    let (asks, id) = pair.asked(b"question")?;
    same!(status(other_side.reply(id, &text(b"wrong"))), Some(Status::InvalidParameter));
    pair.side.reply(id, &text(b"right"))?;
    same!(of(asks.join()??), reply(b"right"));
    Ok(())
}

fn an_id_is_answered_once() -> Verdict {
    let pair = Pair::new()?;
    let (asks, id) = pair.asked(b"question")?;
    for wrong in [0, id + 1, id | 1 << 31, id + (1 << 16)] {
        same!(status(pair.server.reply(wrong, &text(b""))), Some(Status::InvalidParameter));
    }
    pair.server.reply(id, &text(b"answer"))?;
    same!(status(pair.server.reply(id, &text(b"again"))), Some(Status::InvalidParameter));
    same!(of(asks.join()??), reply(b"answer"));
    Ok(())
}

fn reply_and_receive_in_one() -> Verdict {
    let pair = Pair::new()?;
    let server = Arc::clone(&pair.server);
    let serves = spawn(move || -> Result<(), Status> {
        let mut request = server.receive(PATIENCE)?;
        while request.message_type() == Type::Request {
            let doubled = [request.data(), request.data()].concat();
            request = server.reply_and_receive(request.message_id(), &Message::new(&doubled), PATIENCE)?;
        }
        Ok(())
    })?;
    for _ in 0..100 {
        same!(data(pair.client.request(&text(b"ab"), PATIENCE)?), b"abab");
    }
    pair.client.datagram(&text(b"stop"))?;
    serves.join()??;
    // To nobody: that is an error, and there is no wait.
    let id = pair.client.request_later(&text(b"x"))?;
    let request = pair.server.receive(NOW)?;
    same!(status(pair.server.reply_and_receive(0, &text(b""), None)), Some(Status::InvalidParameter));
    same!(status(pair.server.reply_and_receive(request.message_id(), &text(b"y"), NOW)), Some(Status::Timeout));
    same!(pair.client.receive(NOW)?.message_id(), id);
    Ok(())
}

fn the_one_call_of_windows() -> Verdict {
    let pair = Pair::new()?;
    let none = SendFlags::empty();
    let sent = pair.client.send_wait_receive(none, Some(&text(b"question")), None, None)?;
    holds!(sent.message_id != 0 && sent.received.is_none());
    let request = pair.server.send_wait_receive(none, None, Some(100), NOW)?.received.ok_or(Status::Timeout)?;
    let answer = text(b"answer").to(request.message_id());
    let both = pair.server.send_wait_receive(SendFlags::REPLY_MESSAGE, Some(&answer), Some(100), NOW);
    same!(both.err(), Some(Status::Timeout));
    let datagram = Some(text(b"datagram"));
    let got = pair.client.send_wait_receive(SendFlags::RELEASE_MESSAGE, datagram.as_ref(), Some(100), NOW)?;
    same!(got.received.map(|received| received.message_id()), Some(sent.message_id));
    same!(data(pair.server.receive(NOW)?), b"datagram");
    let client = Arc::clone(&pair.client);
    let asks = spawn(move || {
        let done = client.send_wait_receive(SendFlags::SYNC_REQUEST, Some(&text(b"sync")), None, PATIENCE);
        done.map(|done| done.received.map(heard))
    })?;
    let request = pair.server.receive(PATIENCE)?;
    let answer = text(b"answer").to(request.message_id());
    pair.server.send_wait_receive(SendFlags::REPLY_MESSAGE, Some(&answer), None, None)?;
    same!(asks.join()??.map(of), Some(reply(b"answer")));
    Ok(())
}

fn flags_that_exclude_each_other() -> Verdict {
    let pair = Pair::new()?;
    let (reply, sync, release) = (SendFlags::REPLY_MESSAGE, SendFlags::SYNC_REQUEST, SendFlags::RELEASE_MESSAGE);
    for flags in [sync | release, reply | release, reply, reply | sync] {
        let done = pair.client.send_wait_receive(flags, Some(&text(b"")), None, NOW);
        same!(done.err(), Some(Status::InvalidParameter));
    }
    same!(pair.client.send_wait_receive(sync, None, Some(1), NOW).err(), Some(Status::InvalidParameter));
    same!(pair.client.send_wait_receive(SendFlags::empty(), None, None, NOW).err(), Some(Status::InvalidParameter));
    same!(status(pair.server.receive(NOW)), Some(Status::Timeout));
    Ok(())
}

fn types_that_are_not_for_programs() -> Verdict {
    let pair = Pair::new()?;
    for kind in
        [Type::Reply, Type::LostReply, Type::PortClosed, Type::ClientDied, Type::ConnectionReply, Type::Canceled]
    {
        same!(status(pair.client.datagram(&text(b"").typed(kind))), Some(Status::InvalidParameter));
        same!(status(pair.client.request(&text(b"").typed(kind), None)), Some(Status::InvalidParameter));
    }
    pair.client.datagram(&text(b"").typed(Type::Datagram)).map_err(Failure::from)
}

fn a_message_too_long() -> Verdict {
    let long = PortAttributes { max_message_length: 1000, ..PortAttributes::default() };
    let pair = Pair::with(PortAttributes::default(), long)?;
    same!(pair.client.query_information().max_message_length, 256);
    pair.client.datagram(&Message::new(&[1; 216]))?;
    for port in [&pair.client, &pair.side] {
        same!(status(port.datagram(&Message::new(&[1; 217]))), Some(Status::PortMessageTooLong));
        same!(status(port.request(&Message::new(&[1; 217]), None)), Some(Status::PortMessageTooLong));
    }
    let (asks, id) = {
        same!(pair.server.receive(NOW)?.data().len(), 216);
        pair.asked(b"question")?
    };
    same!(status(pair.server.reply(id, &Message::new(&[1; 217]))), Some(Status::PortMessageTooLong));
    pair.server.reply(id, &text(b"short"))?;
    same!(of(asks.join()??), reply(b"short"));
    Ok(())
}

fn large_messages() -> Verdict {
    let most = PortAttributes::MAX_MESSAGE_LENGTH;
    let large = PortAttributes { max_message_length: most, max_pool_usage: 1 << 20, ..PortAttributes::default() };
    let pair = Pair::with(large, large)?;
    for size in [32 * 1024, 32 * 1024 + 1, most - PortMessage::SIZE] {
        let data: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
        let id = pair.client.request_later(&Message::new(&data))?;
        let request = pair.server.receive(NOW)?;
        holds!(request.data() == data, size);
        pair.server.reply(request.message_id(), &Message::new(request.data()))?;
        let answer = pair.client.receive(NOW)?;
        same!(answer.message_id(), id);
        holds!(answer.data() == data, size);
    }
    let data = vec![0; most - PortMessage::SIZE + 1];
    same!(status(pair.client.datagram(&Message::new(&data))), Some(Status::PortMessageTooLong));
    Ok(())
}

fn a_buffer_too_small() -> Verdict {
    let pair = Pair::new()?;
    let id = pair.client.request_later(&Message::new(&[3; 100]))?;
    pair.client.datagram(&text(b"next"))?;
    for _ in 0..2 {
        same!(status(pair.server.receive_at_most(99, PATIENCE)), Some(Status::BufferTooSmall));
        same!(pair.server.next_length(), Some(100));
    }
    let request = pair.server.receive_at_most(100, PATIENCE)?;
    same!((request.data(), pair.server.next_length()), (&[3; 100][..], None));
    pair.server.reply(request.message_id(), &text(b""))?;
    same!(pair.client.receive(NOW)?.message_id(), id);
    same!(data(pair.server.receive_at_most(4, NOW)?), b"next");
    Ok(())
}

fn a_receive_times_out() -> Verdict {
    let pair = Pair::new()?;
    for port in [&pair.server, &pair.side, &pair.client] {
        same!(status(port.receive(NOW)), Some(Status::Timeout));
        let before = portolan::thread::now_ms();
        same!(status(port.receive(Some(20))), Some(Status::Timeout));
        holds!(portolan::thread::now_ms() - before >= 19);
    }
    Ok(())
}

fn a_request_times_out() -> Verdict {
    let pair = Pair::new()?;
    let request = pair.given_up()?;
    same!(status(pair.server.reply(request.message_id(), &text(b""))), Some(Status::RequestCanceled));
    same!(status(pair.server.reply(request.message_id(), &text(b""))), Some(Status::InvalidParameter));
    // One that nobody has received by then is passed over.
    same!(status(pair.client.request(&text(b"question"), Some(10))), Some(Status::Timeout));
    same!(status(pair.server.receive(NOW)), Some(Status::Timeout));
    let (asks, id) = pair.asked(b"another")?;
    pair.server.reply(id, &text(b"answer"))?;
    same!(of(asks.join()??), reply(b"answer"));
    Ok(())
}

fn a_full_pool() -> Verdict {
    let small = PortAttributes { max_pool_usage: 1024, ..PortAttributes::default() };
    let pair = Pair::with(small, PortAttributes::default())?;
    for _ in 0..4 {
        pair.client.datagram(&text(b"x"))?;
    }
    same!(status(pair.client.datagram(&text(b"x"))), Some(Status::QuotaExceeded));
    same!(status(pair.client.request(&text(b"x"), None)), Some(Status::QuotaExceeded));
    same!(status(pair.client.request_later(&text(b"x"))), Some(Status::QuotaExceeded));
    same!(pair.client.query_information().awaited, 0);
    // Neither another client nor the end of this one is kept out.
    let (other, _side) = connected_behind(&pair)?;
    other.datagram(&text(b"y"))?;
    pair.client.disconnect()?;
    let mut kinds = Vec::new();
    while let Ok(message) = pair.server.receive(NOW) {
        kinds.push(message.message_type());
    }
    same!(kinds.iter().filter(|kind| **kind == Type::PortClosed).count(), 1);
    same!(kinds.len(), 6);
    Ok(())
}

/// Another client, while messages of the first wait: they are received later.
fn connected_behind(pair: &Pair) -> Result<(Port, Port)> {
    let client = Port::connect_later(&pair.server.right()?, PortAttributes::default(), &text(b""), None)?;
    let mut behind = 0;
    loop {
        let message = pair.server.receive(PATIENCE)?;
        if message.message_type() == Type::ConnectionRequest {
            let side = pair.server.accept(message.message_id(), 2, &text(b""))?;
            drop(client.receive(PATIENCE)?);
            for _ in 0..behind {
                pair.client.datagram(&text(b"x"))?;
            }
            return Ok((client, side));
        }
        behind += 1;
    }
}

// Callbacks.

fn a_callback() -> Verdict {
    let pair = Pair::new()?;
    let client = Arc::clone(&pair.client);
    let asks = spawn(move || -> Result<Heard, Status> {
        let callback = client.request(&text(b"open"), PATIENCE)?;
        if (callback.message_type(), callback.data()) != (Type::Request, &b"which?"[..]) {
            return Err(Status::Unsuccessful);
        }
        let again = client.reply_and_wait(callback.message_id(), &text(b"this one"), PATIENCE)?;
        if (again.message_type(), again.data()) != (Type::Request, &b"sure?"[..]) {
            return Err(Status::Unsuccessful);
        }
        client.reply_and_wait(again.message_id(), &text(b"yes"), PATIENCE).map(heard)
    })?;
    let request = pair.server.receive(PATIENCE)?;
    same!(data(pair.server.callback(request.message_id(), &text(b"which?"), PATIENCE)?), b"this one");
    same!(data(pair.side.callback(request.message_id(), &text(b"sure?"), PATIENCE)?), b"yes");
    pair.server.reply(request.message_id(), &text(b"opened"))?;
    same!(of(asks.join()??), reply(b"opened"));
    same!((pair.server.query_information().pending, pair.client.query_information().pending), (0, 0));
    Ok(())
}

fn callbacks_both_ways() -> Verdict {
    // The client asks; the server calls back; within that the client calls back, too.
    let pair = Pair::new()?;
    let client = Arc::clone(&pair.client);
    let asks = spawn(move || -> Result<(Vec<u8>, Heard), Status> {
        let callback = client.request(&text(b"1"), PATIENCE)?;
        let inner = client.callback(callback.message_id(), &text(b"3"), PATIENCE)?;
        let got = inner.data().to_vec();
        let last = client.reply_and_wait(callback.message_id(), &text(b"5"), PATIENCE)?;
        Ok((got, heard(last)))
    })?;
    let request = pair.server.receive(PATIENCE)?;
    let inner = pair.server.callback(request.message_id(), &text(b"2"), PATIENCE)?;
    same!((inner.message_type(), inner.data()), (Type::Request, &b"3"[..]));
    let answer = pair.server.reply_and_wait(inner.message_id(), &text(b"4"), PATIENCE)?;
    same!((answer.message_type(), answer.data()), (Type::Reply, &b"5"[..]));
    pair.server.reply(request.message_id(), &text(b"6"))?;
    let (inner, last) = asks.join()??;
    same!((&inner[..], of(last)), (&b"4"[..], reply(b"6")));
    Ok(())
}

/// Calls back as deep as it goes, from either side; the depth that was reached.
fn dig(port: &Port, question: u32, depth: u32) -> Result<u32, Status> {
    match port.callback(question, &text(b"deeper"), PATIENCE) {
        Err(Status::ImplementationLimit) => Ok(depth),
        Err(status) => Err(status),
        Ok(inner) if inner.message_type() == Type::Request => {
            let reached = dig(port, inner.message_id(), depth + 2)?;
            port.reply_and_wait(inner.message_id(), &text(b"back"), PATIENCE).map(drop)?;
            Ok(reached)
        }
        Ok(_) => Ok(depth + 1),
    }
}

fn callbacks_nest_so_deep() -> Verdict {
    let pair = Pair::new()?;
    let client = Arc::clone(&pair.client);
    let asks = spawn(move || -> Result<(u32, Heard), Status> {
        let callback = client.request(&text(b"dig"), PATIENCE)?;
        let reached = dig(&client, callback.message_id(), 1)?;
        let last = client.reply_and_wait(callback.message_id(), &text(b"back"), PATIENCE)?;
        Ok((reached, heard(last)))
    })?;
    let request = pair.server.receive(PATIENCE)?;
    let reached = dig(&pair.server, request.message_id(), 0)?;
    pair.server.reply(request.message_id(), &text(b"done"))?;
    let (theirs, last) = asks.join()??;
    same!((reached.max(theirs), of(last)), (CALLBACK_DEPTH_MAX, reply(b"done")));
    Ok(())
}

fn a_callback_within_an_asynchronous_request() -> Verdict {
    let pair = Pair::new()?;
    let id = pair.client.request_later(&text(b"open").context(5))?;
    let request = pair.server.receive(NOW)?;
    let (server, asked) = (Arc::clone(&pair.server), request.message_id());
    let calls = spawn(move || server.callback(asked, &text(b"which?"), PATIENCE).map(heard))?;
    let callback = pair.client.receive(PATIENCE)?;
    same!((callback.message_type(), callback.data(), callback.message_context()), (Type::Request, &b"which?"[..], 5));
    pair.client.reply(callback.message_id(), &text(b"this one"))?;
    same!(of(calls.join()??), reply(b"this one"));
    pair.server.reply(asked, &text(b"opened"))?;
    let answer = pair.client.receive(PATIENCE)?;
    same!((answer.message_id(), answer.data()), (id, &b"opened"[..]));
    Ok(())
}

fn a_callback_is_no_ordinary_request() -> Verdict {
    let pair = Pair::new()?;
    let client = Arc::clone(&pair.client);
    let asks = spawn(move || -> Result<(Option<Status>, Heard), Status> {
        let callback = client.request(&text(b"open"), PATIENCE)?;
        let refused = client.reply(callback.message_id(), &text(b"")).err();
        Ok((refused, heard(client.reply_and_wait(callback.message_id(), &text(b"yes"), PATIENCE)?)))
    })?;
    let request = pair.server.receive(PATIENCE)?;
    same!(status(pair.server.reply_and_wait(request.message_id(), &text(b""), NOW)), Some(Status::InvalidParameter));
    same!(data(pair.server.callback(request.message_id(), &text(b"?"), PATIENCE)?), b"yes");
    pair.server.reply(request.message_id(), &text(b"opened"))?;
    let (refused, last) = asks.join()??;
    same!((refused, of(last)), (Some(Status::InvalidParameter), reply(b"opened")));
    Ok(())
}

fn a_callback_that_nobody_hears() -> Verdict {
    let pair = Pair::new()?;
    let request = pair.given_up()?;
    same!(status(pair.server.callback(request.message_id(), &text(b"?"), PATIENCE)), Some(Status::RequestCanceled));
    // One that takes too long to answer takes the request with it.
    let client = Arc::clone(&pair.client);
    let asks = spawn(move || -> Result<Heard, Status> {
        let callback = client.request(&text(b"slow"), PATIENCE)?;
        sleep_ms(40);
        client.reply_and_wait(callback.message_id(), &text(b"late"), PATIENCE).map(heard)
    })?;
    let request = pair.server.receive(PATIENCE)?;
    same!(status(pair.server.callback(request.message_id(), &text(b"?"), Some(10))), Some(Status::Timeout));
    same!(status(pair.server.reply(request.message_id(), &text(b""))), Some(Status::InvalidParameter));
    same!(asks.join()?, Err(Status::RequestCanceled));
    Ok(())
}

// Canceling.

fn a_canceled_request_is_lost() -> Verdict {
    let pair = Pair::new()?;
    let (asks, id) = pair.asked(b"question")?;
    same!(status(pair.server.cancel(id + 1)), Some(Status::InvalidParameter));
    pair.server.cancel(id)?;
    same!(asks.join()?, Err(Status::MessageLost));
    same!(status(pair.server.reply(id, &text(b""))), Some(Status::InvalidParameter));
    Ok(())
}

fn a_client_cancels() -> Verdict {
    let pair = Pair::new()?;
    let (first, second) =
        (pair.client.request_later(&text(b"one"))?, pair.client.request_later(&text(b"two").context(9))?);
    let (one, two) = (pair.server.receive(NOW)?, pair.server.receive(NOW)?);
    pair.client.cancel(second)?;
    let news = pair.server.receive(NOW)?;
    same!((news.message_type(), news.message_id()), (Type::Canceled, two.message_id()));
    same!(status(pair.server.reply(two.message_id(), &text(b""))), Some(Status::InvalidParameter));
    let lost = pair.client.receive(NOW)?;
    same!((lost.message_type(), lost.message_id(), lost.message_context()), (Type::Canceled, second, 9));
    same!(status(pair.client.cancel(second)), Some(Status::InvalidParameter));
    // Too late: the answer is on its way.
    pair.server.reply(one.message_id(), &text(b"answer"))?;
    pair.client.cancel(first)?;
    same!(status(pair.server.receive(NOW)), Some(Status::Timeout));
    same!(data(pair.client.receive(NOW)?), b"answer");
    Ok(())
}

fn a_lost_reply() -> Verdict {
    let (peer, right) = foreign_server()?;
    let client = client_of(&peer, &right)?;
    let id = client.request_later(&text(b"question").context(4))?;
    same!(peer.hand.act(RECEIVE, [0; 6])?.finish()?.value, 0);
    same!(status(client.receive(NOW)), Some(Status::Timeout));
    peer.terminate()?;
    let mut lost = 0;
    while let Ok(news) = client.receive(PATIENCE) {
        if news.message_type() == Type::LostReply {
            same!((news.message_id(), news.message_context()), (id, 4));
            lost += 1;
        }
    }
    same!((lost, client.query_information().awaited), (1, 0));
    Ok(())
}

fn a_reply_to_another_request() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let stranger = Stranger::connect(&server)?;
    // Another id, another type, and what is no message at all.
    let wrong =
        [raw(Type::Reply as u16, b"answer", &[]), raw(Type::Datagram as u16, b"", &[]), portolan::Message::new(3)];
    for answer in wrong {
        let asks = ask(&stranger.side, b"question")?;
        stranger.own.receive_within(PATIENCE_MS)?.answer(answer)?;
        same!(asks.join()?, Err(Status::ReplyMessageMismatch));
    }
    Ok(())
}

// Handles, views, reserves.

fn taking() -> PortAttributes {
    PortAttributes { allow_handles: true, ..PortAttributes::default() }
}

fn a_handle() -> Verdict {
    let pair = Pair::with(taking(), taking())?;
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let right = port.make_send()?;
    pair.client.datagram(&text(b"take this").handle(&right))?;
    let mut message = pair.server.receive(NOW)?;
    same!(message.handles(), 1);
    same!(status(message.take_handles()), Some(Status::InvalidParameter));
    let taken = message.take_handle()?;
    same!(status(message.take_handle()), Some(Status::InvalidParameter));
    taken.send(portolan::Message::new(6))?;
    same!(port.receive_within(0)?.id(), 6);
    // And back, in a reply.
    pair.client.request_later(&text(b"give it back"))?;
    let request = pair.server.receive(NOW)?;
    pair.server.reply(request.message_id(), &text(b"here").handle(&taken))?;
    same!(pair.client.receive(NOW)?.take_handle()?.name(), right.name());
    Ok(())
}

fn a_handle_that_is_none() -> Verdict {
    let pair = Pair::with(taking(), taking())?;
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let good = port.make_send()?;
    let bad =
        core::mem::ManuallyDrop::new([SendRight::from_name(Name::new(9000, 1)), SendRight::from_name(good.name())]);
    same!(status(pair.client.datagram(&text(b"").handle(&bad[0]))), Some(Status::InvalidHandle));
    same!(status(pair.client.request(&text(b"").handles(&*bad), None)), Some(Status::InvalidHandle));
    same!(status(pair.client.request_later(&text(b"").handles(&*bad))), Some(Status::InvalidHandle));
    same!((port.status()?.send_rights, pair.client.query_information().awaited), (1, 0));
    same!(status(pair.server.receive(NOW)), Some(Status::Timeout));
    Ok(())
}

fn many_handles() -> Verdict {
    let pair = Pair::with(taking(), taking())?;
    let mut ports = Vec::new();
    let mut rights = Vec::new();
    for _ in 0..512 {
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        rights.push(port.make_send()?);
        ports.push(port);
    }
    pair.client.datagram(&text(b"all").handles(&rights))?;
    let mut message = pair.server.receive(NOW)?;
    same!((message.handles(), status(message.take_handle())), (512, Some(Status::InvalidParameter)));
    let taken = message.take_handles()?;
    holds!(taken.iter().zip(&rights).all(|(taken, right)| taken.name() == right.name()));
    same!((taken.len(), status(message.take_handles())), (512, Some(Status::InvalidParameter)));
    Ok(())
}

fn handles_that_are_too_many() -> Verdict {
    let pair = Pair::with(taking(), taking())?;
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let rights: Vec<SendRight> = (0..513).map(|_| port.make_send()).collect::<Result<_, Error>>()?;
    same!(status(pair.client.datagram(&text(b"").handles(&rights))), Some(Status::LpcHandleCountExceeded));
    same!(status(pair.client.datagram(&text(b"").handles(&rights[..1]))), Some(Status::InvalidParameter));
    same!(status(pair.client.datagram(&text(b"").handles(&[]))), Some(Status::InvalidParameter));
    pair.client.datagram(&text(b"").handles(&rights[..512]))?;
    same!(pair.server.receive(NOW)?.take_handles()?.len(), 512);
    Ok(())
}

fn handles_that_are_not_wanted() -> Verdict {
    let pair = Pair::new()?;
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let right = port.make_send()?;
    pair.client.datagram(&text(b"take this").handle(&right))?;
    let mut message = pair.server.receive(NOW)?;
    same!((message.data(), message.handles()), (&b"take this"[..], 0));
    same!(status(message.take_handle()), Some(Status::InvalidParameter));
    drop(message);
    drop(right);
    same!(port.status()?.send_rights, 0);
    Ok(())
}

fn a_view() -> Verdict {
    let pair = Pair::new()?;
    let section = pair.client.create_section(0x3000)?;
    same!(section.size(), GRANULARITY);
    let view = section.view(0x1000, 0x2000, Protection::READ_WRITE)?;
    view.memory().write(5, b"large data")?;
    pair.client.request_later(&text(b"look").view(&view))?;
    let mut request = pair.server.receive(NOW)?;
    let seen = request.take_view()?;
    same!((seen.offset(), seen.size()), (0x1000, 0x2000));
    let mut bytes = [0; 10];
    seen.memory().read(5, &mut bytes)?;
    same!(&bytes, b"large data");
    seen.memory().write(5, b"LARGE")?;
    view.memory().read(5, &mut bytes)?;
    same!(&bytes, b"LARGE data");
    same!(status(request.take_view()), Some(Status::InvalidParameter));
    Ok(())
}

fn a_view_to_read() -> Verdict {
    let pair = Pair::new()?;
    let section = pair.client.create_section(0x1000)?;
    let view = section.view(0, 0x1000, Protection::READ)?;
    pair.client.datagram(&text(b"look").view(&view))?;
    let seen = pair.server.receive(NOW)?.take_view()?;
    same!(seen.memory().write(0, b"x"), Err(Error::ProtectionFailure));
    let raised = Task::this().protect(seen.memory().address(), 0x1000, Protection::READ_WRITE);
    same!(raised, Err(Error::ProtectionFailure));
    same!(status(pair.server.receive(NOW)), Some(Status::Timeout));
    Ok(())
}

fn a_view_that_nobody_changes() -> Verdict {
    let pair = Pair::new()?;
    let section = pair.client.create_section(0x1000)?;
    let view = section.view(0, 0x1000, Protection::READ)?;
    view.memory().write(0, b"checked")?;
    pair.client.datagram(&text(b"look").view(&view))?;
    let seen = pair.server.receive(NOW)?.take_view_secure()?;
    view.memory().write(0, b"changed")?;
    let mut bytes = [0; 7];
    seen.memory().read(0, &mut bytes)?;
    same!(&bytes, b"checked");
    Ok(())
}

fn sections_have_limits() -> Verdict {
    let pair = Pair::new()?;
    same!(status(pair.client.create_section(0)), Some(Status::InvalidParameter));
    same!(status(pair.client.create_section(0x4001)), Some(Status::SectionTooBig));
    let mut sections = Vec::new();
    for _ in 0..8 {
        sections.push(pair.client.create_section(0x4000)?);
    }
    same!(status(pair.client.create_section(1)), Some(Status::SectionTooBig));
    sections.pop();
    sections.push(pair.client.create_section(0x4000)?);
    Ok(())
}

fn views_have_limits() -> Verdict {
    let large = PortAttributes { max_section_size: 0x1_0000, max_view_size: 0x1_0000, ..PortAttributes::default() };
    let pair = Pair::with(PortAttributes::default(), large)?;
    let section = pair.client.create_section(0x1_0000)?;
    for (offset, size) in [(0, 0), (0x800, 0x1000), (0xF000, 0x2000), (0, 0x1_1000), (u64::MAX, 1)] {
        same!(status(section.view(offset, size, Protection::READ)), Some(Status::InvalidViewSize));
    }
    // The receiver's limit is its own.
    let view = section.view(0, 0x8000, Protection::READ)?;
    pair.client.datagram(&text(b"look").view(&view))?;
    same!(status(pair.server.receive(NOW)?.take_view()), Some(Status::InvalidViewSize));
    Ok(())
}

fn a_handle_and_a_view_together() -> Verdict {
    let most = PortAttributes {
        max_message_length: 0xF000,
        max_pool_usage: 1 << 20,
        allow_handles: true,
        ..PortAttributes::default()
    };
    let pair = Pair::with(most, most)?;
    let section = pair.client.create_section(0x1000)?;
    let view = section.view(0, 0x1000, Protection::READ)?;
    view.memory().write(0, b"v")?;
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let rights = [port.make_send()?, port.make_send()?];
    let context = pair.client.create_security_context(ImpersonationLevel::Impersonation)?;
    for data in [&[1; 100][..], &[2; 40_000]] {
        for many in [false, true] {
            let message = Message::new(data).view(&view).security(context);
            let message = if many { message.handles(&rights) } else { message.handle(&rights[0]) };
            pair.client.datagram(&message)?;
            let mut arrived = pair.server.receive(NOW)?;
            holds!(arrived.data() == data);
            let mut byte = [0];
            arrived.take_view()?.memory().read(0, &mut byte)?;
            same!(&byte, b"v");
            same!(
                if many { arrived.take_handles()?.len() } else { arrived.take_handle().map(|_| 1)? },
                1 + usize::from(many)
            );
            same!(arrived.impersonate()?.level, ImpersonationLevel::Impersonation);
        }
    }
    Ok(())
}

fn a_reserve() -> Verdict {
    let pair = Pair::new()?;
    let reserve = pair.server.create_resource_reserve(16)?;
    same!(status(pair.server.create_resource_reserve(0xFFD8)), Some(Status::InvalidParameter));
    let (asks, id) = pair.asked(b"question")?;
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let right = port.make_send()?;
    same!(status(pair.server.reply(id, &text(b"").reserve(reserve + 1))), Some(Status::ObjectIdNotFound));
    same!(status(pair.server.reply(id, &Message::new(&[1; 17]).reserve(reserve))), Some(Status::PortMessageTooLong));
    same!(status(pair.server.reply(id, &text(b"").handle(&right).reserve(reserve))), Some(Status::InvalidParameter));
    pair.server.reply(id, &Message::new(&[1; 16]).reserve(reserve))?;
    same!(of(asks.join()??), reply(&[1; 16]));
    let (asks, id) = pair.asked(b"again")?;
    let next = pair.server.reply_and_receive(id, &text(b"and again").reserve(reserve), NOW);
    same!((status(next), of(asks.join()??)), (Some(Status::Timeout), reply(b"and again")));
    pair.server.delete_resource_reserve(reserve)?;
    same!(status(pair.server.delete_resource_reserve(reserve)), Some(Status::ObjectIdNotFound));
    Ok(())
}

fn a_reserve_is_in_use_until_its_reply_is_received() -> Verdict {
    let pair = Pair::new()?;
    let reserve = pair.server.create_resource_reserve(16)?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        pair.client.request_later(&text(b"question"))?;
        ids.push(pair.server.receive(NOW)?.message_id());
    }
    let by_reserve = |id: u32| pair.server.reply(id, &text(b"answer").reserve(reserve));
    by_reserve(ids[0])?;
    same!(by_reserve(ids[1]), Err(Status::ResourceInUse));
    // It is as long in use as the client has the reply in its hands.
    let answer = pair.client.receive(NOW)?;
    same!((answer.data(), by_reserve(ids[1])), (&b"answer"[..], Err(Status::ResourceInUse)));
    drop(answer);
    by_reserve(ids[1])?;
    // A client that never receives takes it away from nobody for good.
    same!(by_reserve(ids[2]), Err(Status::ResourceInUse));
    pair.server.delete_resource_reserve(reserve)?;
    let another = pair.server.create_resource_reserve(16)?;
    pair.server.reply(ids[2], &text(b"last").reserve(another))?;
    same!(data(pair.client.receive(NOW)?), b"answer");
    same!(data(pair.client.receive(NOW)?), b"last");
    // To who waits there is nothing on its way.
    for _ in 0..3 {
        let (asks, id) = pair.asked(b"question")?;
        pair.server.reply(id, &text(b"answer").reserve(another))?;
        same!(of(asks.join()??), reply(b"answer"));
    }
    Ok(())
}

fn a_reserve_is_for_plain_replies() -> Verdict {
    // The answer to a callback brings the right to answer what it came in.
    let pair = Pair::new()?;
    let reserve = pair.client.create_resource_reserve(16)?;
    let id = pair.client.request_later(&text(b"open"))?;
    let asked = pair.server.receive(NOW)?.message_id();
    let server = Arc::clone(&pair.server);
    let calls = spawn(move || server.callback(asked, &text(b"which?"), PATIENCE).map(heard))?;
    let callback = pair.client.receive(PATIENCE)?.message_id();
    same!(status(pair.client.reply(callback, &text(b"this").reserve(reserve))), Some(Status::InvalidParameter));
    pair.client.reply(callback, &text(b"this"))?;
    same!(of(calls.join()??), reply(b"this"));
    pair.server.reply(asked, &text(b"opened"))?;
    same!(pair.client.receive(NOW)?.message_id(), id);
    Ok(())
}

fn a_server_without_memory_answers() -> Verdict {
    let pair = Pair::new()?;
    let reserve = pair.server.create_resource_reserve(16)?;
    let (asks, id) = pair.asked(b"question")?;
    // All of the account goes, kernel memory and heap.
    let mut hoard: Vec<Name> = Vec::new();
    holds!(hoard.try_reserve_exact(20_000).is_ok());
    // Its pages are there before the memory goes that they would take.
    hoard.resize(20_000, Name::NULL);
    hoard.clear();
    let mut heap: Vec<Vec<u8>> = Vec::new();
    holds!(heap.try_reserve_exact(4096).is_ok());
    heap.resize_with(4096, Vec::new);
    heap.clear();
    for size in [1 << 16, 1 << 12, 1 << 8, 1 << 5] {
        while heap.len() < heap.capacity() {
            let mut block: Vec<u8> = Vec::new();
            if block.try_reserve_exact(size).is_err() {
                break;
            }
            heap.push(block);
        }
    }
    while let Ok(name) = portolan::trap::port_allocate(Capacity::DEFAULT) {
        hoard.push(name);
    }
    let more = status(pair.client.request_later(&text(b"more")));
    let answered = pair.server.reply(id, &text(b"even so").reserve(reserve));
    drop(heap);
    hoard.into_iter().try_for_each(portolan::trap::port_deallocate)?;
    same!((more, answered), (Some(Status::InsufficientResources), Ok(())));
    same!(of(asks.join()??), reply(b"even so"));
    Ok(())
}

// Who it is.

fn the_kernel_says_who_sends() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let (peer, side) = foreign_client(&server, false)?;
    same!(peer.hand.act(DATAGRAMS, [0, 1, 0, 0, 0, 0])?.finish()?.value, 0);
    let message = server.receive(PATIENCE)?;
    let id = Task::from_right(SendRight::from_name(peer.task)).info()?.id;
    same!((message.sender(), message.header().process, side.query_information().peer), (id, id, id));
    same!(message.token(), SecurityToken::default());
    Ok(())
}

fn impersonation_needs_consent() -> Verdict {
    let pair = Pair::new()?;
    pair.client.datagram(&text(b"not allowed"))?;
    same!(status(pair.server.receive(NOW)?.impersonate()), Some(Status::BadImpersonationLevel));
    // For one message.
    let asked = pair.client.create_security_context(ImpersonationLevel::Identification)?;
    let acted = pair.client.create_security_context(ImpersonationLevel::Delegation)?;
    pair.client.datagram(&text(b"who").security(asked))?;
    pair.client.datagram(&text(b"act").security(acted))?;
    same!(status(pair.server.receive(NOW)?.impersonate()), Some(Status::BadImpersonationLevel));
    let impersonation = pair.server.receive(NOW)?.impersonate()?;
    same!((impersonation.token, impersonation.level), (SecurityToken::default(), ImpersonationLevel::Delegation));
    pair.client.delete_security_context(acted)?;
    same!(status(pair.client.delete_security_context(acted)), Some(Status::InvalidParameter));
    same!(status(pair.client.datagram(&text(b"act").security(acted))), Some(Status::InvalidParameter));
    // For the connection, but for one message.
    let consents = PortAttributes { impersonation: ImpersonationLevel::Impersonation, ..PortAttributes::default() };
    let pair = Pair::with(PortAttributes::default(), consents)?;
    pair.client.datagram(&text(b"act"))?;
    pair.client.datagram(&text(b"not now").no_impersonate())?;
    same!(pair.server.receive(NOW)?.impersonate()?.level, ImpersonationLevel::Impersonation);
    same!(status(pair.server.receive(NOW)?.impersonate()), Some(Status::BadImpersonationLevel));
    // The server has not agreed to anything.
    pair.side.datagram(&text(b"back"))?;
    same!(status(pair.client.receive(NOW)?.impersonate()), Some(Status::BadImpersonationLevel));
    Ok(())
}

fn the_sender_is_opened_with_consent() -> Verdict {
    for consents in [false, true] {
        let server = Port::create(PortAttributes::default(), Access::Anyone)?;
        let (peer, _side) = foreign_client(&server, consents)?;
        same!(peer.hand.act(DATAGRAMS, [0, 1, 0, 0, 0, 0])?.finish()?.value, 0);
        let message = server.receive(PATIENCE)?;
        match message.open_sender_process() {
            Ok(task) if consents => same!(task.info()?.id, message.sender()),
            opened => same!((consents, status(opened.map(drop))), (false, Some(Status::AccessDenied))),
        }
    }
    Ok(())
}

fn a_request_says_who_sent_it() -> Verdict {
    for consents in [false, true] {
        let server = Port::create(PortAttributes::default(), Access::Anyone)?;
        let (peer, _side) = foreign_client(&server, consents)?;
        let asks = peer.hand.act(REQUEST, [0; 6])?;
        let request = server.receive(PATIENCE)?;
        let id = request.message_id();
        same!(status(server.impersonate_client(id)), Some(Status::BadImpersonationLevel));
        match server.open_sender_process(id) {
            Ok(task) if consents => same!(task.info()?.id, request.sender()),
            opened => same!((consents, status(opened.map(drop))), (false, Some(Status::AccessDenied))),
        }
        server.reply(id, &text(b""))?;
        same!(asks.finish()?.value, 0);
        same!(status(server.impersonate_client(id)), Some(Status::InvalidParameter));
        same!(status(server.open_sender_process(id).map(drop)), Some(Status::InvalidParameter));
    }
    let consents = PortAttributes { impersonation: ImpersonationLevel::Impersonation, ..PortAttributes::default() };
    let pair = Pair::with(PortAttributes::default(), consents)?;
    pair.client.request_later(&text(b"act"))?;
    pair.client.request_later(&text(b"not now").no_impersonate())?;
    let (one, two) = (pair.server.receive(NOW)?.message_id(), pair.server.receive(NOW)?.message_id());
    same!(pair.server.impersonate_client(one)?.level, ImpersonationLevel::Impersonation);
    same!(status(pair.server.impersonate_client(two)), Some(Status::BadImpersonationLevel));
    Ok(())
}

/// As a C program has them: a header and data in one buffer, which is used again for the reply.
fn messages_as_bytes() -> Verdict {
    let pair = Pair::with(taking(), taking())?;
    let none = SendFlags::empty();
    let mut buffer = [0_u8; 64];
    let header = PortMessage { data_length: 8, total_length: 48, ..PortMessage::default() };
    buffer[..40].copy_from_slice(header.as_bytes());
    buffer[40..48].copy_from_slice(b"question");
    let sent = pair.client.send_wait_receive(none, Some(&Message::parse(&buffer)?), None, None)?.message_id;

    let got = pair.server.send_wait_receive(none, None, Some(buffer.len() - PortMessage::SIZE), NOW)?;
    let request = got.received.ok_or(Status::Timeout)?;
    same!(request.write_to(&mut buffer)?, 48);
    same!(request.write_to(&mut [0; 47]), Err(Status::BufferTooSmall));
    same!(request.attributes(), MessageAttributes::CONTEXT | MessageAttributes::TOKEN);
    let header = PortMessage::read_from_prefix(&buffer).map(|(header, _)| header).unwrap_or_default();
    same!((header.message_type(), header.data_length, header.total_length), (Some(Type::Request), 8, 48));
    same!((header.process, header.message_id), (Task::this().info()?.id, request.message_id()));

    buffer[40..48].copy_from_slice(b"answered");
    pair.server.send_wait_receive(SendFlags::REPLY_MESSAGE, Some(&Message::parse(&buffer)?), None, None)?;
    let answer = pair.client.receive(NOW)?;
    same!((answer.message_id(), answer.data()), (sent, &b"answered"[..]));

    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let right = port.make_send()?;
    pair.client.datagram(&text(b"take this").handle(&right))?;
    holds!(pair.server.receive(NOW)?.attributes().contains(MessageAttributes::HANDLE));
    Ok(())
}

/// What a client says that speaks to the connection port by itself: the rights that the server gives it.
struct Stranger {
    own: ReceiveRight,
    to_server: SendRight,
    _last_word: portolan::SendOnceRight,
    side: Arc<Port>,
}

/// A message as the library would send it, with any type.
fn raw(kind: u16, data: &[u8], tail: &[u8]) -> portolan::Message<'static> {
    let header = PortMessage {
        kind,
        data_length: data.len() as u16,
        total_length: (PortMessage::SIZE + data.len()) as u16,
        data_info_offset: if tail.is_empty() { 0 } else { (PortMessage::SIZE + data.len()) as u16 },
        message_id: 1,
        ..PortMessage::default()
    };
    portolan::Message::new(0).value(header).bytes(data).bytes(tail)
}

impl Stranger {
    fn connect(server: &Port) -> Result<Stranger> {
        let (own, answers) = (ReceiveRight::allocate(Capacity::DEFAULT)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
        let request = raw(Type::ConnectionRequest as u16, b"", [256_u32, 0].as_bytes());
        let request = request.right(Right::MakeSend(&own)).right(own.make_send_once()?).right(Right::Null);
        server.right()?.send(request.reply_to(answers.make_send_once()?))?;
        let request = server.receive(PATIENCE)?;
        let side = server.accept(request.message_id(), CONTEXT, &text(b""))?;
        let mut answer = answers.receive_within(0)?;
        let (to_server, last_word) = (answer.take_send(0)?, answer.take_send_once(1)?);
        Ok(Stranger { own, to_server, _last_word: last_word, side: Arc::new(side) })
    }
}

fn a_third_task_cannot_send() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let stranger = Stranger::connect(&server)?;
    stranger.to_server.send(raw(Type::Datagram as u16, b"mine", &[]))?;
    same!(data(server.receive(NOW)?), b"mine");
    // A right that the client passes on is of no use.
    let peer = Peer::start()?;
    let there = peer.give(stranger.to_server.name(), Disposition::CopySend)?;
    let header = PortMessage { kind: Type::Datagram as u16, total_length: 40, ..PortMessage::default() };
    let message = crate::message::Message::copy_to(there).body(header.as_bytes());
    peer.hand.send(&message, crate::message::NONE, 0)?.finish()?.result?;
    same!(status(server.receive(NOW)), Some(Status::Timeout));
    let reply = peer.port(Capacity::Bounded(1))?;
    let header = PortMessage { kind: Type::Request as u16, ..header };
    let request =
        crate::message::Message::copy_to(there).reply(reply, Disposition::MakeSendOnce).body(header.as_bytes());
    let asks = peer.hand.rpc(&request, reply)?;
    same!(status(server.receive(Some(20))), Some(Status::Timeout));
    same!(asks.finish()?.result, Err(Error::ReceiveReplyLost));
    Ok(())
}

fn nonsense_is_passed_over() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let stranger = Stranger::connect(&server)?;
    let door = server.right()?;
    let port = ReceiveRight::allocate(Capacity::Unbounded)?;
    for to in [&door, &stranger.to_server] {
        for size in [0, 1, 39, 40, 41, 300] {
            to.send(portolan::Message::new(9).bytes(&vec![0xff; size]))?;
            to.send(portolan::Message::new(9).bytes(&vec![0; size]).right(Right::MakeSend(&port)))?;
        }
        // Too long for the port; data that is not there; attributes that are not; a request that wants no answer; a
        // reply to nothing; the end, as only the kernel tells it.
        to.send(raw(Type::Datagram as u16, &[7; 250], &[]))?;
        let header = PortMessage { kind: Type::Datagram as u16, data_length: 100, ..PortMessage::default() };
        to.send(portolan::Message::new(9).value(header))?;
        for kind in [Type::Request, Type::Reply, Type::LostReply, Type::ConnectionReply, Type::Canceled] {
            to.send(raw(kind as u16, b"data", &[]).reply_to(&door))?;
            same!(status(server.receive(NOW).map(heard)), Some(Status::Timeout));
        }
        to.send(raw(Type::ConnectionRequest as u16, b"", &[1, 2, 3]).right(Right::MakeSend(&port)))?;
        to.send(
            raw(Type::ConnectionRequest as u16, b"", &[0; 8])
                .right(Right::MakeSend(&port))
                .reply_to(Right::MakeSendOnce(&port)),
        )?;
        same!(status(server.receive(NOW).map(heard)), Some(Status::Timeout));
    }
    // Attributes that promise what is not there.
    let attributes = [[0xff_u8; 24], [0xf0; 24]];
    for attributes in &attributes {
        stranger.to_server.send(raw(Type::Datagram as u16, b"data", attributes))?;
        let mut message = server.receive(NOW)?;
        same!(message.data(), b"data");
        holds!(message.take_view().is_err() && message.take_handle().is_err() && message.take_handles().is_err());
    }
    same!(port.status()?.send_rights, 0);
    same!(stranger.own.receive_within(0).err(), Some(Error::ReceiveTimedOut));
    Ok(())
}

fn many_threads_serve_many_clients() -> Verdict {
    const CLIENTS: u64 = 4;
    const REQUESTS: u64 = 50;
    let server = Arc::new(Port::create(PortAttributes::default(), Access::Anyone)?);
    let mut pairs = Vec::new();
    for context in 0..CLIENTS {
        let (client, side) = connected(&server, PortAttributes::default(), context)?;
        pairs.push((Arc::new(client), side));
    }
    let serve = |server: Arc<Port>| {
        spawn(move || -> Result<u64, Status> {
            let (mut served, mut message) = (0, server.receive(PATIENCE)?);
            while message.message_type() == Type::Request {
                served += 1;
                let answer = [message.data(), &message.port_context().to_le_bytes()].concat();
                message = server.reply_and_receive(message.message_id(), &Message::new(&answer), PATIENCE)?;
            }
            Ok(served)
        })
    };
    let servers = [serve(Arc::clone(&server))?, serve(Arc::clone(&server))?, serve(Arc::clone(&server))?];
    let mut clients = Vec::new();
    for (context, (client, _)) in (0..CLIENTS).zip(&pairs) {
        let client = Arc::clone(client);
        clients.push(spawn(move || -> Result<bool, Status> {
            for number in 0..REQUESTS {
                let answer = client.request(&Message::new(&number.to_le_bytes()), PATIENCE)?;
                if answer.data() != [number.to_le_bytes(), context.to_le_bytes()].concat() {
                    return Ok(false);
                }
            }
            Ok(true)
        })?);
    }
    for client in clients {
        holds!(client.join()??);
    }
    for _ in &servers {
        pairs[0].0.datagram(&text(b"stop"))?;
    }
    let mut served = 0;
    for server in servers {
        served += server.join()??;
    }
    same!(served, CLIENTS * REQUESTS);
    Ok(())
}

fn information() -> Verdict {
    let pair = Pair::new()?;
    let me = Task::this().info()?.id;
    let (server, side, client) =
        (pair.server.query_information(), pair.side.query_information(), pair.client.query_information());
    same!((server.state, side.state, client.state), (State::Listening, State::Connected, State::Connected));
    same!((server.peer, side.peer, client.peer), (0, me, me));
    same!((side.port_context, client.port_context), (CONTEXT, 0));
    same!((server.connections, server.pending), (1, 0));
    pair.client.request_later(&text(b""))?;
    let _request = pair.server.receive(NOW)?;
    same!((pair.server.query_information().pending, pair.client.query_information().awaited), (1, 1));
    pair.client.disconnect()?;
    same!(pair.client.query_information().state, State::Disconnected);
    Ok(())
}
