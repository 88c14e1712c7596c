//! Servers and their names: the name server, and servers that die, come back, or do not.

use crate::case::{Failure, Verdict};
use crate::peer::Peer;
use crate::system::System;
use crate::{cases, holds, same};
use alloc::format;
use alloc::vec::Vec;
use portolan::abi::Disposition;
use portolan::abi::interface::Routine;
use portolan::interface::{MsgRpc, MsgRpcWithin};
use portolan::name_server::protocol::{WaitFor, arguments};
use portolan::name_server::{self, EACH_MAX, Entry, Registration};
use portolan::server::{Call, Held, Outcome, Unanswered};
use portolan::servers::{ServerInfo, State};
use portolan::service::ServiceName;
use portolan::thread::sleep_ms;
use portolan::{
    Capacity, Error, Message, Notice, PortSet, ReceiveRight, Result, Right, SendRight, Task, bootstrap, notification,
    thread,
};
use protocol::{Die, Echo, Hold};

cases!("services":
    a_registered_name_is_found,
    an_unknown_name_is_an_error,
    a_name_is_registered_once,
    what_cannot_be_a_name_is_refused,
    a_dead_right_is_not_registered,
    a_name_dies_with_its_port,
    a_name_dies_with_its_registration,
    a_name_dies_with_its_owner,
    a_registration_can_be_handed_on,
    who_waits_for_a_name_gets_it,
    a_wait_for_a_name_ends_in_time,
    a_task_has_so_many_names_and_waits,
    a_client_that_has_gone_waits_no_more,
    names_are_listed_in_order,
    a_declared_name_is_reserved,
    a_declared_service_answers,
    a_request_in_a_dead_servers_hand_is_lost,
    a_queued_request_waits_for_the_next_server,
    a_server_that_dies_too_often_is_given_up,
    a_server_that_is_not_started_again_leaves_a_dead_port,
    a_stopped_server_can_be_started,
    a_stopped_name_server_can_be_started,
    a_program_that_is_missing_is_given_up,
    a_killed_name_server_comes_back,
    orders_that_make_no_sense_are_refused,
    only_the_server_can_check_in,
);

const PATIENCE_MS: u32 = 5000;

/// The argument that makes this program a server of a case's system.
pub(crate) const ECHO: &str = "echo";

mod protocol {
    portolan::interface! {
        base 4500;

        /// The same number, and the server's task.
        1 echo / Echo (number: u64) -> (number: u64, task: u64);

        /// The server ends, with the request in its hand.
        2 die / Die () -> ();

        /// The request is held until the server ends.
        3 hold / Hold () -> ();
    }
}

struct Server {
    task: u64,
    held: Vec<Held<Hold>>,
}

/// The life of such a server. It serves all that it may check in for.
pub(crate) fn echo() -> Result<u32> {
    let all = PortSet::allocate()?;
    let ports: Vec<ReceiveRight> =
        ["echo", "second", "fragile"].iter().filter_map(|name| bootstrap::check_in(name).ok()).collect();
    ports.iter().try_for_each(|port| all.add(port))?;
    let mut server = Server { task: Task::this().info()?.id, held: Vec::new() };
    all.serve(|message| protocol::dispatch(&mut server, message))?;
    Ok(0)
}

impl protocol::Server for Server {
    fn echo(&mut self, _: &mut Call<'_, Echo>, number: u64) -> Outcome<Echo> {
        Ok((number, self.task))
    }

    fn die(&mut self, _: &mut Call<'_, Die>) -> Outcome<Die> {
        portolan::task::end()
    }

    fn hold(&mut self, call: &mut Call<'_, Hold>) -> Outcome<Hold> {
        self.held.push(call.hold());
        Err(Unanswered::Later)
    }
}

fn mailbox() -> Result<ReceiveRight> {
    ReceiveRight::allocate(Capacity::DEFAULT)
}

fn ask(server: &SendRight, number: u64) -> Result<u64> {
    let results = protocol::echo(&MsgRpcWithin(PATIENCE_MS), server.name(), number)?.results;
    if results.number == number { Ok(results.task) } else { Err(Error::Failure) }
}

fn die(server: &SendRight) -> Result<()> {
    protocol::die(&MsgRpcWithin(PATIENCE_MS), server.name()).map(drop)
}

/// Waits until a condition holds.
fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Verdict {
    for _ in 0..PATIENCE_MS {
        if condition()? {
            return Ok(());
        }
        sleep_ms(1);
    }
    Err(Failure::new(&format!("never so: {what}")))
}

fn until_unknown(name: &str) -> Verdict {
    until("the name is gone", || match name_server::look_up(name) {
        Ok(_) => Ok(false),
        Err(Error::InvalidName) => Ok(true),
        Err(error) => Err(error),
    })
}

impl System {
    fn state(&self, name: &str) -> Result<Option<State>> {
        self.servers.info(name).map(|info| info.state())
    }

    /// A right to a declared service, by its name.
    fn server(&self, name: &str) -> Result<SendRight> {
        name_server::wait_for(name, PATIENCE_MS)
    }
}

fn a_registered_name_is_found() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let right = mine.make_send()?;
    let _registration = name_server::register("a name", &right)?;
    same!(name_server::look_up("a name")?.name(), right.name());
    same!(name_server::wait_for("a name", PATIENCE_MS)?.name(), right.name());
    Ok(())
}

fn an_unknown_name_is_an_error() -> Verdict {
    let _system = System::start()?;
    same!(name_server::look_up("nobody").err(), Some(Error::InvalidName));
    Ok(())
}

fn a_name_is_registered_once() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let right = mine.make_send()?;
    let first = name_server::register("mine", &right)?;
    same!(name_server::register("mine", &right).err(), Some(Error::NameExists));
    let second = name_server::register("mine, too", &right)?;
    drop(first);
    until_unknown("mine")?;
    same!(name_server::look_up("mine, too")?.name(), right.name());
    drop(second);
    until_unknown("mine, too")
}

fn what_cannot_be_a_name_is_refused() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let names = name_server::port()?.name();
    let right = Right::MakeSend(&mine).descriptor();
    let register = |name| name_server::protocol::register(&MsgRpc, names, name, right).err();
    same!(register(ServiceName::NONE), Some(Error::InvalidValue));
    same!(name_server::protocol::look_up(&MsgRpc, names, ServiceName::NONE).err(), Some(Error::InvalidValue));
    same!(name_server::protocol::wait_for(&MsgRpc, names, ServiceName::NONE).err(), Some(Error::InvalidValue));
    same!(name_server::look_up("a\tb").err(), Some(Error::InvalidValue));
    same!(mine.status()?.send_rights, 0);
    Ok(())
}

fn a_dead_right_is_not_registered() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let right = mine.make_send()?;
    drop(mine);
    same!(name_server::register("dead", &right).err(), Some(Error::InvalidCapability));
    let (names, name) = (name_server::port()?.name(), ServiceName::new("dead")?);
    let none = Right::Null.descriptor();
    same!(name_server::protocol::register(&MsgRpc, names, name, none).err(), Some(Error::InvalidCapability));
    let other = mailbox()?;
    let receive = Right::Receive(other);
    let moved = name_server::protocol::register(&MsgRpc, names, name, receive.descriptor());
    same!(moved.err(), Some(Error::InvalidCapability));
    core::mem::forget(receive);
    same!(name_server::look_up("dead").err(), Some(Error::InvalidName));
    Ok(())
}

fn a_name_dies_with_its_port() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let registration = name_server::register("short", &mine.make_send()?)?;
    let found = name_server::look_up("short")?;
    drop(mine);
    until_unknown("short")?;
    same!(found.try_clone().err(), Some(Error::InvalidRight));
    // The registration has gone with it, and the name is free.
    until("the registration is dead", || Ok(registration.right().try_clone().is_err()))?;
    let next = mailbox()?;
    let _registration = name_server::register("short", &next.make_send()?)?;
    Ok(())
}

fn a_name_dies_with_its_registration() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let registration = name_server::register("kept", &mine.make_send()?)?;
    let again = registration.right().try_clone()?;
    drop(registration);
    sleep_ms(5);
    drop(name_server::look_up("kept")?);
    drop(again);
    until_unknown("kept")?;
    // Nobody has a right to the port any more.
    until("the name server has let it go", || Ok(mine.status()?.send_rights == 0))
}

fn a_name_dies_with_its_owner() -> Verdict {
    let (_system, mine, peer) = (System::start()?, mailbox()?, Peer::start()?);
    let registration = name_server::register("owned", &mine.make_send()?)?;
    peer.give(registration.right().name(), Disposition::CopySend)?;
    drop(registration);
    sleep_ms(5);
    drop(name_server::look_up("owned")?);
    peer.terminate()?;
    until_unknown("owned")
}

fn a_registration_can_be_handed_on() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let right = mine.make_send()?;
    let registration = name_server::register("moved", &right)?.into_right();
    right.send(Message::new(1).right(registration))?;
    sleep_ms(5);
    drop(name_server::look_up("moved")?);
    let registration = mine.receive()?.take_send(0)?;
    drop(name_server::look_up("moved")?);
    drop(registration);
    until_unknown("moved")
}

fn who_waits_for_a_name_gets_it() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let right = mine.make_send()?;
    let waiting: Vec<_> = (0..2)
        .map(|_| thread::spawn(|| name_server::wait_for("later", PATIENCE_MS).map(SendRight::into_name)))
        .collect::<Result<_>>()?;
    sleep_ms(10);
    let _registration = name_server::register("later", &right)?;
    for waiting in waiting {
        let found = SendRight::from_name(waiting.join()??);
        same!(found.name(), right.name());
    }
    Ok(())
}

fn a_wait_for_a_name_ends_in_time() -> Verdict {
    let _system = System::start()?;
    same!(name_server::wait_for("never", 0).err(), Some(Error::ReceiveTimedOut));
    same!(name_server::wait_for("never", 20).err(), Some(Error::ReceiveTimedOut));
    Ok(())
}

fn a_task_has_so_many_names_and_waits() -> Verdict {
    let (_system, mine, replies) = (System::start()?, mailbox()?, ReceiveRight::allocate(Capacity::Unbounded)?);
    let right = mine.make_send()?;
    let mut registered: Vec<Registration> =
        (0..EACH_MAX).map(|number| name_server::register(&format!("n{number}"), &right)).collect::<Result<_>>()?;
    same!(name_server::register("one more", &right).err(), Some(Error::NoSpace));
    drop(registered.pop());
    until_unknown(&format!("n{}", EACH_MAX - 1))?;
    let _one_more = name_server::register("one more", &right)?;
    for _ in 0..EACH_MAX {
        let wait = arguments::WaitFor { name: ServiceName::new("never")? };
        let request = Message::new(WaitFor::ID).value(wait).reply_to(Right::MakeSendOnce(&replies));
        name_server::port()?.send(request)?;
    }
    same!(name_server::wait_for("never", PATIENCE_MS).err(), Some(Error::NoSpace));
    drop(replies);
    until("the waits have gone", || match name_server::wait_for("never", 1).err() {
        Some(Error::NoSpace) => Ok(false),
        Some(Error::ReceiveTimedOut) => Ok(true),
        other => Err(other.unwrap_or(Error::Failure)),
    })
}

fn a_client_that_has_gone_waits_no_more() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    // As many as a task may have: if one were kept, the others would be refused.
    for _ in 0..2 * EACH_MAX {
        same!(name_server::wait_for("never", 1).err(), Some(Error::ReceiveTimedOut));
    }
    let _registration = name_server::register("never", &mine.make_send()?)?;
    drop(name_server::look_up("never")?);
    Ok(())
}

fn names_are_listed_in_order() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let right = mine.make_send()?;
    let declared: Vec<Entry> = name_server::list()?;
    // Those of `broken` and of the console that is left out have no port.
    let texts: Vec<&str> = declared.iter().filter_map(|entry| entry.name.text().ok()).collect();
    same!(texts, ["clock", "echo", "fragile", "loader", "mq", "names", "second", "shm"]);
    holds!(declared.iter().all(|entry| entry.owner == 0));
    let _kept: Vec<Registration> =
        (10..50).rev().map(|number| name_server::register(&format!("x{number}"), &right)).collect::<Result<_>>()?;
    let listed = name_server::list()?;
    same!(listed.len(), 48);
    holds!(listed.is_sorted_by_key(|entry| entry.name));
    let me = Task::this().info()?.id;
    same!(listed.iter().filter(|entry| entry.owner == me).count(), 40);
    Ok(())
}

fn a_declared_name_is_reserved() -> Verdict {
    let (system, mine) = (System::start()?, mailbox()?);
    let right = mine.make_send()?;
    same!(name_server::register("echo", &right).err(), Some(Error::NameExists));
    drop(system.server("fragile")?);
    system.servers.stop("fragile")?;
    until_unknown("fragile")?;
    same!(name_server::register("fragile", &right).err(), Some(Error::NameExists));
    Ok(())
}

fn a_declared_service_answers() -> Verdict {
    let system = System::start()?;
    let (echo, second) = (name_server::look_up("echo")?, name_server::look_up("second")?);
    let task = ask(&echo, 7)?;
    same!(ask(&second, 8)?, task);
    let info = system.servers.info("echo")?;
    same!((info.task, info.state(), info.restarts), (task, Some(State::Running), 0));
    Ok(())
}

fn a_request_in_a_dead_servers_hand_is_lost() -> Verdict {
    let (system, replies) = (System::start()?, mailbox()?);
    let echo = name_server::look_up("echo")?;
    let first = ask(&echo, 1)?;
    echo.send(Message::new(Hold::ID).reply_to(Right::MakeSendOnce(&replies)))?;
    same!(die(&echo), Err(Error::ReceiveReplyLost));
    same!(replies.receive_within(PATIENCE_MS)?.notice(), Some(Notice::SendOnce));
    // The same right reaches the one that has taken its place.
    let next = ask(&echo, 2)?;
    holds!(next != first, next, first);
    same!(system.servers.info("echo")?.restarts, 1);
    Ok(())
}

fn a_queued_request_waits_for_the_next_server() -> Verdict {
    let (_system, replies) = (System::start()?, mailbox()?);
    let echo = name_server::look_up("echo")?;
    let first = ask(&echo, 1)?;
    echo.send(Message::new(Die::ID))?;
    let number = protocol::arguments::Echo { number: 5 };
    echo.send(Message::new(Echo::ID).value(number).reply_to(Right::MakeSendOnce(&replies)))?;
    let answer = replies.receive_within(PATIENCE_MS)?;
    let [_, number, task] = answer.value::<[u64; 3]>()?;
    same!(number, 5);
    holds!(task != first, task);
    Ok(())
}

fn a_server_that_dies_too_often_is_given_up() -> Verdict {
    let system = System::start()?;
    let echo = name_server::look_up("echo")?;
    for _ in 0..3 {
        ask(&echo, 1)?;
        same!(die(&echo), Err(Error::ReceiveReplyLost));
    }
    until("it is given up", || Ok(system.state("echo")? == Some(State::GivenUp)))?;
    same!(ask(&echo, 1).err(), Some(Error::SendInvalidPort));
    until_unknown("echo")?;
    until_unknown("second")?;
    // Who looks after it starts it again: a new port, under the old name.
    system.servers.start("echo")?;
    ask(&system.server("echo")?, 2)?;
    Ok(())
}

fn a_server_that_is_not_started_again_leaves_a_dead_port() -> Verdict {
    let (system, mine) = (System::start()?, mailbox()?);
    let fragile = name_server::look_up("fragile")?;
    ask(&fragile, 1)?;
    fragile.request_dead_name(Right::MakeSendOnce(&mine))?;
    same!(die(&fragile), Err(Error::ReceiveReplyLost));
    same!(mine.receive_within(PATIENCE_MS)?.notice(), Some(Notice::DeadName(fragile.name())));
    same!(system.state("fragile")?, Some(State::GivenUp));
    Ok(())
}

fn a_stopped_server_can_be_started() -> Verdict {
    let system = System::start()?;
    let (echo, replies) = (name_server::look_up("echo")?, mailbox()?);
    ask(&echo, 1)?;
    echo.send(Message::new(Hold::ID).reply_to(Right::MakeSendOnce(&replies)))?;
    system.servers.stop("echo")?;
    same!(system.state("echo")?, Some(State::Stopped));
    same!(replies.receive_within(PATIENCE_MS)?.notice(), Some(Notice::SendOnce));
    same!(ask(&echo, 2).err(), Some(Error::SendInvalidPort));
    until_unknown("echo")?;
    let waiting = thread::spawn(|| name_server::wait_for("echo", PATIENCE_MS).map(SendRight::into_name))?;
    sleep_ms(5);
    system.servers.start("echo")?;
    let again = SendRight::from_name(waiting.join()??);
    ask(&again, 3)?;
    same!(system.servers.info("echo")?.restarts, 0);
    Ok(())
}

fn a_stopped_name_server_can_be_started() -> Verdict {
    let system = System::start()?;
    system.servers.stop("names")?;
    // Its port may be back with the bootstrap server, or not yet.
    let gone = [Error::SendInvalidPort, Error::ReceiveReplyLost];
    holds!(name_server::look_up("echo").is_err_and(|error| gone.contains(&error)));
    // Meanwhile there is nobody to tell of a new service.
    system.servers.stop("echo")?;
    system.servers.start("echo")?;
    system.servers.start("names")?;
    let names = system.servers.service(name_server::SERVICE)?;
    let name = ServiceName::new("echo")?;
    let found = name_server::protocol::look_up(&MsgRpcWithin(PATIENCE_MS), names.name(), name)?.rights[0];
    ask(&SendRight::from_name(found), 1)?;
    Ok(())
}

fn a_program_that_is_missing_is_given_up() -> Verdict {
    let system = System::start()?;
    same!(system.state("broken")?, Some(State::GivenUp));
    same!(name_server::look_up("broken").err(), Some(Error::InvalidName));
    same!(system.servers.start("broken").err(), Some(Error::InvalidName));
    Ok(())
}

fn a_killed_name_server_comes_back() -> Verdict {
    let (system, mine) = (System::start()?, mailbox()?);
    let right = mine.make_send()?;
    let registration = name_server::register("mine", &right)?;
    let waiting = thread::spawn(|| name_server::wait_for("never", PATIENCE_MS).map(drop))?;
    sleep_ms(10);
    let before = system.servers.info("names")?.task;
    system.servers.kill("names")?;
    same!(waiting.join()?, Err(Error::ReceiveReplyLost));
    // The same right reaches the next one, which knows what is declared.
    ask(&name_server::look_up("echo")?, 1)?;
    let info = system.servers.info("names")?;
    holds!(info.task != before, info.task);
    // What tasks have registered is gone, and they are told.
    same!(name_server::look_up("mine").err(), Some(Error::InvalidName));
    same!(
        notification::port().receive_within(PATIENCE_MS)?.notice(),
        Some(Notice::DeadName(registration.right().name()))
    );
    let _again = name_server::register("mine", &right)?;
    same!(name_server::look_up("mine")?.name(), right.name());
    Ok(())
}

fn orders_that_make_no_sense_are_refused() -> Verdict {
    let system = System::start()?;
    let servers = &system.servers;
    same!(servers.start("nobody").err(), Some(Error::InvalidName));
    same!(servers.kill("nobody").err(), Some(Error::InvalidName));
    same!(servers.start("echo").err(), Some(Error::Failure));
    same!(servers.kill("broken").err(), Some(Error::Failure));
    same!(servers.stop("broken").err(), Some(Error::Failure));
    same!(servers.service("nobody").err(), Some(Error::InvalidName));
    let names: Vec<ServiceName> = servers.list()?.iter().map(|info: &ServerInfo| info.name).collect();
    same!(
        names,
        ["names", "clock", "loader", "mq", "shm", "echo", "fragile", "broken"]
            .map(|name| ServiceName::new(name).expect("a name"))
    );
    Ok(())
}

fn only_the_server_can_check_in() -> Verdict {
    let _system = System::start()?;
    let names = name_server::port()?;
    // The name server's port understands the name server's routines only.
    let refused = bootstrap::routine::check_in(&MsgRpc, names.name(), ServiceName::new("echo")?);
    same!(refused.err(), Some(Error::BadId));
    let declared = Right::CopySend(names).descriptor();
    let refused = name_server::declaration::declare(&MsgRpc, names.name(), ServiceName::new("echo")?, declared);
    same!(refused.err(), Some(Error::BadId));
    Ok(())
}
