//! Notifications that are asked for.

use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Message, NONE, Received, is_empty, receive, receive_now};
use crate::notice::{self, Notice};
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use portolan::abi::message::Descriptor;
use portolan::abi::notification::{Kind, Notification};
use portolan::abi::port as routine;
use portolan::abi::thread::State;
use portolan::abi::{Capacity, Disposition, Error, Name, RightKind};
use portolan::interface::MsgRpc;
use portolan::{classic, trap};
use zerocopy::FromBytes;

cases!("requests":
    a_dead_name_is_told_where_asked,
    a_dying_port_tells_each_who_asked,
    a_dead_name_can_be_told_at_once,
    a_name_that_is_used_up_is_told_as_deleted,
    a_watched_reply_right_dies_with_its_client,
    deduplicated_rights_have_one_request,
    no_senders_comes_with_the_count,
    no_senders_waits_for_rights_on_their_way,
    a_server_tells_a_new_client_from_no_client,
    no_senders_survives_a_move,
    a_port_goes_to_its_backup_with_its_messages,
    a_backup_that_is_gone_saves_nothing,
    a_port_is_saved_once,
    two_ports_that_would_save_each_other_leave_nothing,
    room_is_told_when_there_is_some,
    a_waiting_receiver_is_room,
    a_former_request_comes_back,
    a_request_taken_back_leaves_nothing,
    what_was_asked_for_cannot_be_forged,
    asking_for_what_there_is_not,
);

const DEFAULT: Capacity = Capacity::DEFAULT;

fn me() -> Name {
    trap::task_self()
}

/// Asks for what is to be told at the notify port.
fn ask(name: Name, kind: Kind, sync: u32) -> Result<Name, Error> {
    let null = Descriptor::port(Name::NULL, Disposition::CopySend as u8);
    let asked = routine::port_request_notification(&MsgRpc, me(), name, kind as u32, sync, 0, null);
    asked.map(|reply| reply.rights[0])
}

/// Asks for what is to be told at a port of this task.
fn ask_at(name: Name, kind: Kind, sync: u32, at: Name) -> Result<Name, Error> {
    classic::mach_port_request_notification(me(), name, kind, sync, at)
}

/// What a notification says.
fn read(message: &Received) -> Option<(Kind, Name, u32)> {
    let body = Notification::read_from_bytes(&message.body).ok()?;
    Kind::from_id(message.header.id).filter(|_| message.is_from_kernel()).map(|kind| (kind, body.name, body.count))
}

/// The next notification at a port.
fn told(at: Name) -> Result<Option<(Kind, Name, u32)>, Error> {
    receive(at).map(|message| read(&message))
}

fn a_dead_name_is_told_where_asked() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(DEFAULT)?;
    let at = trap::port_allocate(Capacity::Zero)?;
    ask_at(right, Kind::DeadName, 0, at)?;
    same!(port::status(at)?.send_once_rights, 1);
    peer.deallocate(there)?;
    same!(told(at)?, Some((Kind::DeadName, right, 0)));
    holds!(is_empty(at) && notice::none());
    Ok(())
}

fn a_dying_port_tells_each_who_asked() -> Verdict {
    let peer = Peer::start()?;
    let at = trap::port_allocate(DEFAULT)?;
    let mut rights = alloc::vec::Vec::new();
    for number in 0..20 {
        let (_, right) = peer.open(DEFAULT)?;
        if number % 2 == 0 {
            ask_at(right, Kind::DeadName, 0, at)?;
        }
        rights.push(right);
    }
    peer.terminate()?;
    let mut heard = alloc::vec::Vec::new();
    for _ in 0..10 {
        heard.extend(told(at)?);
    }
    for (number, right) in rights.iter().enumerate() {
        same!(heard.contains(&(Kind::DeadName, *right, 0)), number % 2 == 0);
    }
    // The others, and the peer's task, thread and control ports.
    for _ in 0..13 {
        let unasked = notice::next()?;
        holds!(!heard.contains(&(Kind::DeadName, unasked.name, 0)), unasked);
    }
    holds!(is_empty(at) && notice::none());
    Ok(())
}

fn a_dead_name_can_be_told_at_once() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(DEFAULT)?;
    peer.deallocate(there)?;
    same!(notice::next()?, Notice::dead(right));
    same!(ask(right, Kind::DeadName, 0), Err(Error::InvalidArgument));
    same!(ask(right, Kind::DeadName, 1), Ok(Name::NULL));
    same!(notice::now()?, Notice::dead(right));
    Ok(())
}

fn a_name_that_is_used_up_is_told_as_deleted() -> Verdict {
    let peer = Peer::start()?;
    for (number, how) in [Disposition::MoveSend, Disposition::CopySend].into_iter().enumerate() {
        let (_, right) = peer.open(DEFAULT)?;
        ask(right, Kind::DeadName, 0)?;
        Message::to(right, how).send()?;
        if number == 1 {
            holds!(notice::none());
            port::deallocate(right)?;
        }
        same!(notice::now()?, Notice { kind: Kind::PortDeleted, name: right });
    }
    Ok(())
}

/// A server learns that its client has gone, by the one right it has to it.
fn a_watched_reply_right_dies_with_its_client() -> Verdict {
    let peer = Peer::start()?;
    let reply = peer.port(DEFAULT)?;
    let once = classic::mach_port_extract_right(peer.task, reply, Disposition::MakeSendOnce)?;
    ask(once, Kind::DeadName, 0)?;
    holds!(notice::none());
    peer.deallocate(reply)?;
    same!(notice::next()?, Notice::dead(once));
    same!(port::kind(once)?.dead, 1);
    Ok(())
}

fn deduplicated_rights_have_one_request() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(DEFAULT)?;
    same!(peer.take(there, Disposition::MakeSend)?, right);
    let (one, two) = (trap::port_allocate(DEFAULT)?, trap::port_allocate(DEFAULT)?);
    same!(ask_at(right, Kind::DeadName, 0, one)?, Name::NULL);
    let former = ask_at(right, Kind::DeadName, 0, two)?;
    same!(port::kind(former)?.send_once, 1);
    port::deallocate(former)?;
    same!(told(one)?, Some((Kind::SendOnce, Name::NULL, 0)));
    port::deallocate(right)?;
    holds!(is_empty(two));
    peer.deallocate(there)?;
    same!(told(two)?, Some((Kind::DeadName, right, 0)));
    same!(port::kind(right)?.dead, 1);
    Ok(())
}

fn no_senders_comes_with_the_count() -> Verdict {
    let peer = Peer::start()?;
    let port = trap::port_allocate(DEFAULT)?;
    ask_at(port, Kind::NoSenders, 1, port)?;
    for count in 1..4 {
        let there = peer.give(port, Disposition::MakeSend)?;
        holds!(is_empty(port));
        peer.deallocate(there)?;
        same!(told(port)?, Some((Kind::NoSenders, port, count)));
        ask_at(port, Kind::NoSenders, count + 1, port)?;
    }
    holds!(is_empty(port));
    Ok(())
}

fn no_senders_waits_for_rights_on_their_way() -> Verdict {
    let (port, mail) = (trap::port_allocate(DEFAULT)?, port::open(DEFAULT)?);
    Message::copy_to(mail).right(port, Disposition::MakeSend).send()?;
    ask(port, Kind::NoSenders, 1)?;
    holds!(notice::none());
    same!(receive_now(mail)?.right(0), port);
    holds!(notice::none());
    port::mod_refs(port, RightKind::Send, -1)?;
    let message = receive_now(trap::task_notify())?;
    same!(read(&message), Some((Kind::NoSenders, port, 1)));
    Ok(())
}

/// What make-send counts are for: a notice about the last client that comes when there is
/// a new one must not end the service.
fn a_server_tells_a_new_client_from_no_client() -> Verdict {
    let peer = Peer::start()?;
    let port = trap::port_allocate(DEFAULT)?;
    ask_at(port, Kind::NoSenders, 1, port)?;
    let first = peer.give(port, Disposition::MakeSend)?;
    peer.deallocate(first)?;
    let second = peer.give(port, Disposition::MakeSend)?;
    let made = 2;
    let Some((Kind::NoSenders, _, count)) = told(port)? else { return Err(Error::Failure.into()) };
    holds!(count < made, count);
    ask_at(port, Kind::NoSenders, made, port)?;
    holds!(is_empty(port));
    peer.deallocate(second)?;
    same!(told(port)?, Some((Kind::NoSenders, port, made)));
    Ok(())
}

fn no_senders_survives_a_move() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(DEFAULT)?;
    let at = trap::port_allocate(DEFAULT)?;
    ask_at(port, Kind::NoSenders, 0, at)?;
    let there = peer.give(port, Disposition::MoveReceive)?;
    holds!(is_empty(at));
    port::deallocate(port)?;
    same!(told(at)?, Some((Kind::NoSenders, there, 0)));
    Ok(())
}

fn a_port_goes_to_its_backup_with_its_messages() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(DEFAULT)?;
    let backup = port::open(DEFAULT)?;
    let its = peer.give(backup, Disposition::MakeSend)?;
    // Set by who holds the task's port: the backup is a right of the caller's.
    same!(classic::port_set_backup(peer.task, there, backup)?, Name::NULL);
    same!(classic::port_status(peer.task, there)?.requests, routine::Status::PORT_DESTROYED);
    Message::copy_to(right).id(1).send()?;
    Message::copy_to(right).id(2).send()?;
    peer.terminate()?;
    let message = receive(backup)?;
    same!(read(&message), Some((Kind::PortDestroyed, there, 0)));
    let saved = message.right(0);
    same!(saved, right);
    Message::copy_to(right).id(3).send()?;
    for id in 1..4 {
        same!(receive_now(saved)?.header.id, id);
    }
    same!(port::status(backup)?.send_rights, 1);
    same!(port::status(saved)?.requests, 0);
    holds!(its.is_valid());
    Ok(())
}

fn a_backup_that_is_gone_saves_nothing() -> Verdict {
    let (port, backup) = (port::open(DEFAULT)?, port::open(DEFAULT)?);
    same!(classic::port_set_backup(me(), port, backup)?, Name::NULL);
    port::destroy(backup)?;
    same!(notice::next()?, Notice::dead(backup));
    port::destroy(port)?;
    same!(notice::next()?, Notice::dead(port));
    Ok(())
}

fn a_port_is_saved_once() -> Verdict {
    let (port, backup) = (port::open(DEFAULT)?, port::open(DEFAULT)?);
    classic::port_set_backup(me(), port, backup)?;
    port::destroy(port)?;
    let saved = receive_now(backup)?.right(0);
    same!(saved, port);
    port::destroy(saved)?;
    same!(notice::next()?, Notice::dead(port));
    holds!(is_empty(backup));
    Ok(())
}

fn two_ports_that_would_save_each_other_leave_nothing() -> Verdict {
    let peer = Peer::start()?;
    let (one, two) = (peer.open(DEFAULT)?, peer.open(DEFAULT)?);
    same!(classic::port_set_backup(peer.task, one.0, two.1)?, Name::NULL);
    same!(classic::port_set_backup(peer.task, two.0, one.1)?, Name::NULL);
    peer.terminate()?;
    notice::wait_for_death(one.1)?;
    same!(port::kind(two.1)?.dead, 1);
    Ok(())
}

fn room_is_told_when_there_is_some() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    ask(port, Kind::SendPossible, 0)?;
    same!(notice::now()?, Notice { kind: Kind::SendPossible, name: port });
    Message::copy_to(port).id(1).send_now()?;
    ask(port, Kind::SendPossible, 0)?;
    let hand = Hand::here()?;
    let pending = hand.send(&Message::copy_to(port).id(2), NONE, 0)?;
    hand.waits(&pending, State::Sending)?;
    same!(receive_now(port)?.header.id, 1);
    pending.finish()?.result?;
    // The place was the waiting sender's.
    holds!(notice::none());
    same!(receive_now(port)?.header.id, 2);
    same!(notice::now()?, Notice { kind: Kind::SendPossible, name: port });
    Ok(())
}

fn a_waiting_receiver_is_room() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    ask(port, Kind::SendPossible, 0)?;
    holds!(notice::none());
    let hand = Hand::here()?;
    let pending = hand.receive(port, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    same!(notice::now()?, Notice { kind: Kind::SendPossible, name: port });
    Message::copy_to(port).id(3).send_now()?;
    same!(pending.finish()?.received()?.header.id, 3);
    Ok(())
}

fn a_former_request_comes_back() -> Verdict {
    let peer = Peer::start()?;
    let (_, right) = peer.open(DEFAULT)?;
    let at = trap::port_allocate(DEFAULT)?;
    same!(ask_at(right, Kind::DeadName, 0, at)?, Name::NULL);
    let former = ask(right, Kind::DeadName, 0)?;
    same!(port::kind(former)?.send_once, 1);
    Message::once_to(former).id(9).send()?;
    same!(receive_now(at)?.header.id, 9);
    same!(ask(right, Kind::DeadName, 0)?, Name::NULL);
    Ok(())
}

fn a_request_taken_back_leaves_nothing() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(DEFAULT)?;
    let at = trap::port_allocate(DEFAULT)?;
    let used = portolan::Task::this().info()?.used.memory;
    ask_at(right, Kind::DeadName, 0, at)?;
    let cancelled = portolan::notification::cancel(right, Kind::DeadName)?;
    holds!(matches!(cancelled, portolan::Right::SendOnce(_)));
    drop(cancelled);
    same!(told(at)?, Some((Kind::SendOnce, Name::NULL, 0)));
    holds!(portolan::Task::this().info()?.used.memory <= used + 8192);
    peer.deallocate(there)?;
    same!(notice::next()?, Notice::dead(right));
    holds!(is_empty(at));
    Ok(())
}

fn what_was_asked_for_cannot_be_forged() -> Verdict {
    let port = port::open(DEFAULT)?;
    for kind in [Kind::NoSenders, Kind::PortDestroyed, Kind::PortDeleted, Kind::SendPossible] {
        Message::copy_to(port).id(kind as u32).body(&[0; 8]).send()?;
        let message = receive_now(port)?;
        same!((read(&message), message.is_from_kernel()), (None, false));
    }
    Ok(())
}

fn asking_for_what_there_is_not() -> Verdict {
    let peer = Peer::start()?;
    let (_, right) = peer.open(DEFAULT)?;
    let port = port::open(DEFAULT)?;
    same!(ask(right, Kind::NoSenders, 0), Err(Error::InvalidRight));
    same!(ask(right, Kind::PortDestroyed, 0), Err(Error::InvalidRight));
    same!(ask(right, Kind::MessageAccepted, 0), Err(Error::InvalidValue));
    same!(ask(Name(4242), Kind::DeadName, 0), Err(Error::InvalidName));
    let send = Descriptor::port(port, Disposition::MakeSend as u8);
    let asked = routine::port_request_notification(&MsgRpc, me(), right, Kind::DeadName as u32, 0, 0, send);
    same!(asked.map(drop), Err(Error::InvalidCapability));
    let unknown = routine::port_request_notification(&MsgRpc, me(), right, 5, 0, 0, send).map(drop);
    same!(unknown, Err(Error::InvalidValue));
    same!(port::status(port)?.send_rights, 1);
    Ok(())
}
