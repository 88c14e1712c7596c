//! Who serves there: connection ports by their names, and servers that have to say who they are.

use super::{
    ACCEPT, CONTEXT, LIST, NOW, PATIENCE, PATIENCE_MS, PEERS_NAME, RECEIVE_WITHIN, Result, SERVE_NAMED, connected,
    data, foreign_client, foreign_server, raw, status, text, until_waiting,
};
use crate::case::Verdict;
use crate::clock::Stopwatch;
use crate::host::host;
use crate::peer::Peer;
use crate::system::System;
use crate::{cases, holds, same};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use portolan::abi::Disposition;
use portolan::abi::message::SecurityToken;
use portolan::thread::{JoinHandle, sleep_ms, spawn};
use portolan::{Answer, Capacity, Error, ReceiveRight, Right, SendRight, Task, classic, name_server, server};
use portolan_alpc::{
    Access, Port, PortAttributes, PortMessage, Purpose, Refusal, Server, State, Status, Type, connections,
};

cases!("alpc_names":
    a_server_is_found_by_its_name,
    a_name_that_is_taken,
    a_name_that_nobody_has,
    what_cannot_be_a_name,
    a_client_waits_for_a_name,
    a_wait_for_a_name_ends_in_time,
    a_name_ends_with_its_port,
    a_name_ends_with_its_task,
    a_port_gets_another_name,
    a_name_server_that_dies,
    no_name_server,
    a_name_server_that_makes_no_sense,
    the_server_must_be_who_is_required,
    the_server_must_be_who_is_required_later,
    a_server_that_never_says_who_it_is,
    an_impostor_is_shown_nothing,
    an_impostor_that_passes_the_question_on,
    connections_are_listed,
    connections_are_not_for_everybody,
    ports_say_what_they_are_for,
);

fn anyone(name: &str) -> Result<Port, Status> {
    Port::create_named(name, PortAttributes::default(), Access::Anyone)
}

/// A thread that connects, and the status with which that ends.
fn connecting(server: Server<'static>, timeout: Option<u32>) -> Result<JoinHandle<Result<Port, Status>>> {
    Ok(spawn(move || {
        let connected = Port::connect(server, PortAttributes::default(), &text(b"hello"), None, timeout);
        connected.map(|(port, _)| port).map_err(|refusal: Refusal| refusal.status)
    })?)
}

/// Lets the next client in.
fn let_in(server: &Port) -> Result<Port> {
    let request = server.receive(PATIENCE)?;
    same!((request.message_type(), request.data()), (Type::ConnectionRequest, &b"hello"[..]));
    Ok(server.accept(request.message_id(), CONTEXT, &text(b"welcome"))?)
}

/// What comes of connecting where nobody lets anybody in.
fn failing(server: Server<'_>, timeout: Option<u32>) -> Option<Status> {
    let connected = Port::connect(server, PortAttributes::default(), &text(b""), None, timeout);
    connected.err().map(|refusal| refusal.status)
}

fn a_server_is_found_by_its_name() -> Verdict {
    let _system = System::start()?;
    let server = anyone("tea")?;
    let connects = connecting(Server::Named("tea"), PATIENCE)?;
    let side = let_in(&server)?;
    let client = connects.join()??;
    client.datagram(&text(b"there"))?;
    same!(data(side.receive(NOW)?), b"there");
    let later = Port::connect_later("tea", PortAttributes::default(), &text(b"hello"), None)?;
    let _side = let_in(&server)?;
    same!(later.receive(NOW)?.message_type(), Type::ConnectionReply);
    Ok(())
}

fn a_name_that_is_taken() -> Verdict {
    let _system = System::start()?;
    let _server = anyone("tea")?;
    same!(status(anyone("tea")), Some(Status::ObjectNameCollision));
    same!(status(anyone("echo")), Some(Status::ObjectNameCollision));
    Ok(())
}

fn a_name_that_nobody_has() -> Verdict {
    let _system = System::start()?;
    same!(failing(Server::Named("tea"), None), Some(Status::ObjectNameNotFound));
    let later = Port::connect_later("tea", PortAttributes::default(), &text(b""), None);
    same!(status(later), Some(Status::ObjectNameNotFound));
    let later = Port::connect_later(Server::Awaited("tea"), PortAttributes::default(), &text(b""), None);
    same!(status(later), Some(Status::ObjectNameNotFound));
    same!(status(connections("tea", PATIENCE)), Some(Status::ObjectNameNotFound));
    Ok(())
}

fn what_cannot_be_a_name() -> Verdict {
    let _system = System::start()?;
    for name in ["", "a\nb", "a name of more than the sixty-four bytes that the name server has for one"] {
        same!(status(anyone(name)), Some(Status::ObjectNameInvalid));
        for server in [Server::Named(name), Server::Awaited(name)] {
            same!(failing(server, PATIENCE), Some(Status::ObjectNameInvalid));
        }
    }
    Ok(())
}

fn a_client_waits_for_a_name() -> Verdict {
    let _system = System::start()?;
    for timeout in [PATIENCE, None] {
        let connects = connecting(Server::Awaited("tea"), timeout)?;
        until_waiting(&connects)?;
        let server = anyone("tea")?;
        let _side = let_in(&server)?;
        let client = connects.join()??;
        same!(client.query_information().state, State::Connected);
        // One that is there already is not waited for.
        let connects = connecting(Server::Awaited("tea"), timeout)?;
        let _side = let_in(&server)?;
        drop(connects.join()??);
    }
    Ok(())
}

fn a_wait_for_a_name_ends_in_time() -> Verdict {
    let _system = System::start()?;
    let clock = Stopwatch::start();
    same!(failing(Server::Awaited("tea"), Some(30)), Some(Status::Timeout));
    clock.shows(30)?;
    // The name and the answer together take no longer.
    let connects = {
        let clock = Stopwatch::start();
        spawn(move || (failing(Server::Awaited("tea"), Some(60)), clock.shows(60)))?
    };
    sleep_ms(20);
    let _server = anyone("tea")?;
    let (ended, in_time) = connects.join()?;
    same!(ended, Some(Status::Timeout));
    in_time
}

fn a_name_ends_with_its_port() -> Verdict {
    let _system = System::start()?;
    let server = anyone("tea")?;
    server.disconnect()?;
    same!(failing(Server::Named("tea"), PATIENCE), Some(Status::ObjectNameNotFound));
    same!(status(server.register("coffee")), Some(Status::PortDisconnected));
    same!(
        (status(server.right()), server.query_information().state),
        (Some(Status::PortDisconnected), State::Disconnected)
    );
    drop(anyone("tea")?);
    drop(anyone("tea")?);
    same!(failing(Server::Named("tea"), PATIENCE), Some(Status::ObjectNameNotFound));
    Ok(())
}

fn a_name_ends_with_its_task() -> Verdict {
    let _system = System::start()?;
    let peer = Peer::start()?;
    let names = peer.give(name_server::port()?.name(), Disposition::CopySend)?;
    same!(peer.hand.act(SERVE_NAMED, [u64::from(names.0), 0, 0, 0, 0, 0])?.finish()?.value, 0);
    same!(status(anyone(PEERS_NAME)), Some(Status::ObjectNameCollision));
    let client = Port::connect_later(PEERS_NAME, PortAttributes::default(), &text(b"hello"), None)?;
    peer.terminate()?;
    same!(client.receive(PATIENCE)?.message_type(), Type::ConnectionReply);
    same!(client.query_information().state, State::Refused);
    same!(failing(Server::Named(PEERS_NAME), PATIENCE), Some(Status::ObjectNameNotFound));
    drop(anyone(PEERS_NAME)?);
    Ok(())
}

fn a_port_gets_another_name() -> Verdict {
    let _system = System::start()?;
    let server = anyone("tea")?;
    let taken = anyone("taken")?;
    same!(status(server.register("taken")), Some(Status::ObjectNameCollision));
    server.register("coffee")?;
    same!(failing(Server::Named("tea"), PATIENCE), Some(Status::ObjectNameNotFound));
    let client = Port::connect_later("coffee", PortAttributes::default(), &text(b"hello"), None)?;
    let side = let_in(&server)?;
    same!(client.receive(NOW)?.message_type(), Type::ConnectionReply);
    same!(
        (status(client.register("x")), status(side.register("x"))),
        (Some(Status::InvalidPortHandle), Some(Status::InvalidPortHandle))
    );
    drop(taken);
    server.register("taken")?;
    Ok(())
}

fn a_name_server_that_dies() -> Verdict {
    let system = System::start()?;
    let server = anyone("tea")?;
    let waits = connecting(Server::Awaited("coffee"), None)?;
    until_waiting(&waits)?;
    system.servers.kill("names")?;
    same!(waits.join()?.err(), Some(Status::ObjectPathNotFound));
    // The next one knows nothing of the name, and can be told.
    same!(failing(Server::Named("tea"), PATIENCE), Some(Status::ObjectNameNotFound));
    server.register("tea")?;
    let connects = connecting(Server::Named("tea"), PATIENCE)?;
    let _side = let_in(&server)?;
    drop(connects.join()??);
    // The first registration's end was told.
    drop(portolan::notification::port().receive_within(PATIENCE_MS)?);
    Ok(())
}

fn no_name_server() -> Verdict {
    same!(status(anyone("tea")), Some(Status::ObjectPathNotFound));
    same!(failing(Server::Named("tea"), PATIENCE), Some(Status::ObjectPathNotFound));
    Ok(())
}

fn a_name_server_that_makes_no_sense() -> Verdict {
    let names = ReceiveRight::allocate(Capacity::DEFAULT)?;
    name_server::adopt(names.make_send()?);
    let serves = spawn(move || {
        names.serve(|message| match message.id() {
            1 => Answer::Stop,
            _ => server::refuse(message, Error::Failure),
        })
    })?;
    same!(status(anyone("tea")), Some(Status::Unsuccessful));
    same!(failing(Server::Named("tea"), PATIENCE), Some(Status::Unsuccessful));
    name_server::port()?.send(portolan::Message::new(1))?;
    serves.join()??;
    same!(status(anyone("tea")), Some(Status::ObjectPathNotFound));
    Ok(())
}

// Who serves.

fn user(user: u32) -> SecurityToken {
    SecurityToken { user, group: 0 }
}

/// Makes a peer act for another user.
fn act_for(peer: &Peer, user: SecurityToken) -> Verdict {
    let host = SendRight::from_name(host()?);
    let task = ManuallyDrop::new(Task::from_right(SendRight::from_name(peer.task)));
    Ok(portolan::host::set_security_token(&host, &task, user)?)
}

/// A thread that connects where somebody of this user has to serve.
fn requiring(server: SendRight, user: SecurityToken) -> Result<JoinHandle<Result<Port, Status>>> {
    Ok(spawn(move || {
        let connected = Port::connect(&server, PortAttributes::default(), &text(b"secret"), Some(user), PATIENCE);
        connected.map(|(port, _)| port).map_err(|refusal: Refusal| refusal.status)
    })?)
}

fn the_server_must_be_who_is_required() -> Verdict {
    let (peer, right) = foreign_server()?;
    act_for(&peer, user(7))?;
    // The program that serves does not even hear of a client that wants somebody else.
    let receives = peer.hand.act(RECEIVE_WITHIN, [0, 100, 0, 0, 0, 0])?;
    same!(requiring(right.try_clone()?, user(0))?.join()?.err(), Some(Status::ServerSidMismatch));
    same!(receives.finish()?.value, u64::from(Status::Timeout.code()));
    let accepts = peer.hand.act(ACCEPT, [0; 6])?;
    let client = requiring(right, user(7))?.join()??;
    same!(accepts.finish()?.value, 0);
    same!(client.query_information().token, user(7));
    Ok(())
}

fn the_server_must_be_who_is_required_later() -> Verdict {
    let (peer, right) = foreign_server()?;
    act_for(&peer, user(7))?;
    let later = |user| Port::connect_later(&right, PortAttributes::default(), &text(b"secret"), Some(user));
    let receives = peer.hand.act(RECEIVE_WITHIN, [0, 100, 0, 0, 0, 0])?;
    let client = later(user(0))?;
    let answer = client.receive(PATIENCE)?;
    same!((answer.message_type(), answer.refusal()), (Type::ConnectionReply, Some(Status::ServerSidMismatch)));
    same!((client.query_information().state, answer.data()), (State::Refused, &b""[..]));
    same!(receives.finish()?.value, u64::from(Status::Timeout.code()));
    let accepts = peer.hand.act(ACCEPT, [0; 6])?;
    let client = later(user(7))?;
    same!(client.query_information().state, State::ConnectionPending);
    let answer = client.receive(PATIENCE)?;
    same!((answer.data(), answer.refusal()), (&b"welcome"[..], None));
    same!((accepts.finish()?.value, client.query_information().token), (0, user(7)));
    // One that shows nothing, and one that ends.
    let silent = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let client = Port::connect_later(&silent.make_send()?, PortAttributes::default(), &text(b"secret"), Some(user(0)))?;
    let mut question = silent.receive_within(PATIENCE_MS)?;
    shows_nothing(&question)?;
    question.answer(raw(Type::ConnectionReply as u16, b"", &[]))?;
    same!(client.receive(PATIENCE)?.refusal(), Some(Status::ReplyMessageMismatch));
    let client = later(user(7))?;
    peer.terminate()?;
    same!(client.receive(PATIENCE)?.refusal(), Some(Status::PortConnectionRefused));
    Ok(())
}

fn a_server_that_never_says_who_it_is() -> Verdict {
    let silent = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let right = silent.make_send()?;
    let connects = spawn(move || {
        let clock = Stopwatch::start();
        let connected = Port::connect(&right, PortAttributes::default(), &text(b"secret"), Some(user(0)), Some(30));
        (connected.err().map(|refusal| refusal.status), clock.shows(30))
    })?;
    let (ended, in_time) = connects.join()?;
    same!(ended, Some(Status::Timeout));
    in_time?;
    // One that ends, one that answers something else, and one that only says the question again.
    let connects = requiring(silent.make_send()?, user(0))?;
    drop((silent.receive()?, silent.receive()?));
    same!(connects.join()?.err(), Some(Status::PortConnectionRefused));
    let connects = requiring(silent.make_send()?, user(0))?;
    silent.receive()?.answer(raw(Type::ConnectionReply as u16, b"", &[]))?;
    same!(connects.join()?.err(), Some(Status::ReplyMessageMismatch));
    let connects = requiring(silent.make_send()?, user(0))?;
    let mut question = silent.receive()?;
    let header: PortMessage = question.value()?;
    question.answer(portolan::Message::new(0).value(header).right(Right::MakeSend(&silent)))?;
    same!(connects.join()?.err(), Some(Status::ReplyMessageMismatch));
    Ok(())
}

/// Fails unless this is a question that shows nothing of who asks.
fn shows_nothing(question: &portolan::Received) -> Verdict {
    same!((question.rights(), question.bytes().len()), (0, PortMessage::SIZE));
    let header: PortMessage = question.value()?;
    same!((header.data_length, header.message_id, header.callback_id), (0, 0, 0));
    Ok(())
}

fn an_impostor_is_shown_nothing() -> Verdict {
    let impostor = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let connects = requiring(impostor.make_send()?, user(7))?;
    let mut question = impostor.receive_within(PATIENCE_MS)?;
    shows_nothing(&question)?;
    let answer = raw(Type::ConnectionReply as u16, b"", &[]).right(Right::MakeSend(&impostor));
    question.answer(answer)?;
    same!(connects.join()?.err(), Some(Status::ServerSidMismatch));
    same!((impostor.status()?.send_rights, impostor.status()?.messages), (0, 0));
    Ok(())
}

fn an_impostor_that_passes_the_question_on() -> Verdict {
    let (peer, right) = foreign_server()?;
    act_for(&peer, user(7))?;
    let impostor = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let connects = requiring(impostor.make_send()?, user(7))?;
    let mut question = impostor.receive_within(PATIENCE_MS)?;
    let accepts = peer.hand.act(ACCEPT, [0; 6])?;
    let header: PortMessage = question.value()?;
    right.send(portolan::Message::new(question.id()).value(header).reply_to(question.take_reply()))?;
    // The client is with the server that it wanted, and the impostor has heard no more.
    let client = connects.join()??;
    same!((accepts.finish()?.value, client.query_information().token), (0, user(7)));
    same!(impostor.receive_within(0).err(), Some(Error::ReceiveTimedOut));
    Ok(())
}

// Who is connected.

fn connections_are_listed() -> Verdict {
    const MANY: u64 = 70;
    let server = Arc::new(Port::create(PortAttributes::default(), Access::Anyone)?);
    let mut pairs = Vec::new();
    for context in 0..MANY {
        pairs.push(connected(&server, PortAttributes::default(), context)?);
    }
    drop(pairs.remove(3));
    pairs[50].0.request_later(&text(b"question"))?;
    let _request = server.receive(NOW)?;
    pairs[60].1.request_later(&text(b"question"))?;
    let mine = server.connections()?;
    same!(mine.len() as u64, MANY - 1);
    let me = Task::this().info()?.id;
    holds!(mine.iter().all(|connection| (connection.peer, connection.token) == (me, user(0))));
    same!(
        mine.iter()
            .map(|connection| (connection.pending, connection.awaited))
            .fold((0, 0), |sum, each| { (sum.0 + each.0, sum.1 + each.1) }),
        (1, 1)
    );
    // As another task hears it.
    let right = server.right()?;
    let asks = spawn(move || connections(&right, PATIENCE))?;
    while asks.thread().info().is_ok() {
        same!(status(server.receive(Some(5)).map(drop)), Some(Status::Timeout));
    }
    same!(asks.join()??, mine);
    Ok(())
}

fn connections_are_not_for_everybody() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let (peer, _side) = foreign_client(&server, false)?;
    act_for(&peer, user(7))?;
    let right = server.right()?;
    let there = peer.give(right.name(), Disposition::CopySend)?;
    let asks = peer.hand.act(LIST, [u64::from(there.0), 0, 0, 0, 0, 0])?;
    same!(status(server.receive(Some(50))), Some(Status::Timeout));
    same!(asks.finish()?.value, u64::from(Status::AccessDenied.code()));
    // Nobody receives; nobody is there.
    same!(status(connections(&right, Some(20))), Some(Status::Timeout));
    drop(server);
    same!(status(connections(&right, PATIENCE)), Some(Status::ObjectNameNotFound));
    Ok(())
}

/// The purposes of this task's ports, as whoever may ask for their status sees them.
fn purposes() -> Result<Vec<Purpose>> {
    let task = Task::this().right().name();
    let mut purposes = Vec::new();
    for named in classic::port_names(task)?.iter().filter(|named| named.receive == 1) {
        purposes.extend(Purpose::of(classic::port_status(task, named.name)?.payload));
    }
    Ok(purposes)
}

fn ports_say_what_they_are_for() -> Verdict {
    same!(purposes()?, []);
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    same!(purposes()?, [Purpose::Door]);
    let (client, side) = connected(&server, PortAttributes::default(), CONTEXT)?;
    client.request_later(&text(b"question"))?;
    let own = ReceiveRight::allocate(Capacity::DEFAULT)?;
    server.join(&own, 77)?;
    let now = purposes()?;
    same!(now.iter().filter(|purpose| matches!(purpose, Purpose::Connection(_))).count(), 2);
    same!(now.iter().filter(|purpose| matches!(purpose, Purpose::Answer(_))).count(), 1);
    holds!(now.contains(&Purpose::Joined(77)) && now.len() == 5, now);
    drop((client, side, server));
    same!(purposes()?, [Purpose::Joined(77)]);
    Ok(())
}
