//! Cached messages and the notices of their acceptance.

use crate::case::Verdict;
use crate::clock::Stopwatch;
use crate::hand::Hand;
use crate::message::{Message, NONE, is_empty, receive, receive_now};
use crate::notice::{self, Notice};
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::call::Call;
use portolan::abi::message::Options;
use portolan::abi::notification::Kind;
use portolan::abi::thread::State;
use portolan::abi::{Capacity, Disposition, Error, Name, RightKind};
use portolan::trap;

cases!("notify":
    cmu_send_notify_test,
    a_cached_message_keeps_its_place,
    a_second_cached_message_is_returned,
    another_thread_shares_the_slot,
    another_task_has_its_own_slot,
    another_port_has_its_own_slot,
    acceptance_frees_the_slot,
    room_makes_it_an_ordinary_send,
    wait_then_cache,
    wait_then_find_room,
    a_dead_port_accepts_nothing,
    a_cached_message_ends_an_rpc,
    a_sender_without_its_name_is_told_all_the_same,
    a_sender_that_is_gone_leaves_its_message,
    notices_are_not_lost,
    a_notice_cannot_be_forged,
    the_notify_port_is_the_tasks_own,
    waiting_and_cached_messages_all_arrive,
    cached_and_zero_capacity_deliver_in_order,
    a_notice_for_each_dead_name,
    a_deallocated_name_gets_no_notice,
);

const CACHE: Options = Options::SEND_NOTIFY;

fn cache(port: Name, id: u32) -> Result<(), Error> {
    Message::copy_to(port).id(id).send_with(CACHE, 0)
}

/// As CMU's test of the same name: a limit of zero, one cached message, one notice.
fn cmu_send_notify_test() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    same!(cache(port, 1), Err(Error::SendWillNotify));
    let status = port::status(port)?;
    same!((status.capacity, status.messages, status.cached), (0, 1, 1));
    holds!(notice::none());
    same!(receive_now(port)?.header.id, 1);
    same!(notice::now()?, Notice::accepted(port));
    holds!(notice::none());
    let status = port::status(port)?;
    same!((status.messages, status.cached), (0, 0));
    Ok(())
}

fn a_cached_message_keeps_its_place() -> Verdict {
    let port = port::open(Capacity::Bounded(2))?;
    Message::copy_to(port).id(0).send_now()?;
    Message::copy_to(port).id(1).send_now()?;
    same!(cache(port, 2), Err(Error::SendWillNotify));
    same!(port::status(port)?.messages, 3);
    for id in 0..2 {
        same!(receive_now(port)?.header.id, id);
        holds!(notice::none());
    }
    same!(receive_now(port)?.header.id, 2);
    same!(notice::now()?, Notice::accepted(port));
    Ok(())
}

fn a_second_cached_message_is_returned() -> Verdict {
    let (port, right) = (port::open(Capacity::Zero)?, port::open(Capacity::DEFAULT)?);
    same!(cache(port, 1), Err(Error::SendWillNotify));
    let second = Message::copy_to(port).id(2).right(right, Disposition::MoveReceive);
    same!(second.send_with(CACHE, 0), Err(Error::SendNotifyInProgress));
    same!((port::kind(right)?.receive, port::kind(right)?.send), (1, 1));
    same!(port::status(port)?.messages, 1);
    same!(receive_now(port)?.header.id, 1);
    holds!(is_empty(port));
    Ok(())
}

fn another_thread_shares_the_slot() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    let hand = Hand::here()?;
    same!(hand.send(&Message::copy_to(port).id(1), CACHE, 0)?.finish()?.result, Err(Error::SendWillNotify));
    same!(cache(port, 2), Err(Error::SendNotifyInProgress));
    Ok(())
}

fn another_task_has_its_own_slot() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::Zero)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    same!(cache(port, 1), Err(Error::SendWillNotify));
    let other = peer.hand.send(&Message::copy_to(there).id(2), CACHE, 0)?;
    same!(other.finish()?.result, Err(Error::SendWillNotify));
    same!(port::status(port)?.cached, 2);
    same!(receive_now(port)?.header.id, 1);
    same!(notice::now()?, Notice::accepted(port));
    same!(receive_now(port)?.header.id, 2);
    holds!(notice::none());
    // The notice is in the peer's words, on the peer's notify port.
    let notify = peer.hand.call(Call::TaskNotify)?.value()?;
    let told = peer.hand.receive(Name(notify as u32), NONE, 0)?.finish()?.received()?;
    same!(Notice::of(&told), Some(Notice::accepted(there)));
    Ok(())
}

fn another_port_has_its_own_slot() -> Verdict {
    let (one, two) = (port::open(Capacity::Zero)?, port::open(Capacity::Zero)?);
    same!(cache(one, 1), Err(Error::SendWillNotify));
    same!(cache(two, 2), Err(Error::SendWillNotify));
    receive_now(two)?;
    same!(notice::now()?, Notice::accepted(two));
    receive_now(one)?;
    same!(notice::now()?, Notice::accepted(one));
    Ok(())
}

fn acceptance_frees_the_slot() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    for id in 0..10 {
        same!(cache(port, id), Err(Error::SendWillNotify));
        same!(receive_now(port)?.header.id, id);
        same!(notice::now()?, Notice::accepted(port));
    }
    Ok(())
}

fn room_makes_it_an_ordinary_send() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    same!(cache(port, 1), Ok(()));
    same!(port::status(port)?.cached, 0);
    same!(receive_now(port)?.header.id, 1);
    holds!(notice::none());
    let rendezvous = port::open(Capacity::Zero)?;
    let hand = Hand::here()?;
    let pending = hand.receive(rendezvous, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    same!(cache(rendezvous, 2), Ok(()));
    same!(pending.finish()?.received()?.header.id, 2);
    holds!(notice::none());
    Ok(())
}

fn wait_then_cache() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    let watch = Stopwatch::start();
    let result = Message::copy_to(port).id(1).send_with(CACHE | Options::SEND_TIMEOUT, 20);
    same!(result, Err(Error::SendWillNotify));
    watch.shows(20)?;
    same!(receive_now(port)?.header.id, 1);
    same!(notice::now()?, Notice::accepted(port));
    Ok(())
}

fn wait_then_find_room() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    Message::copy_to(port).id(0).send_now()?;
    let hand = Hand::here()?;
    let pending = hand.send(&Message::copy_to(port).id(1), CACHE | Options::SEND_TIMEOUT, 2000)?;
    hand.waits(&pending, State::Sending)?;
    same!(receive_now(port)?.header.id, 0);
    same!(pending.finish()?.result, Ok(()));
    same!(port::status(port)?.cached, 0);
    same!(receive_now(port)?.header.id, 1);
    holds!(notice::none());
    Ok(())
}

fn a_dead_port_accepts_nothing() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::Zero)?;
    let carried = port::open(Capacity::DEFAULT)?;
    let message = Message::copy_to(right).right(carried, Disposition::CopySend);
    same!(message.send_with(CACHE, 0), Err(Error::SendWillNotify));
    same!(port::status(carried)?.send_rights, 2);
    peer.deallocate(there)?;
    same!(notice::next()?, Notice::dead(right));
    holds!(notice::none());
    same!(port::status(carried)?.send_rights, 1);
    Ok(())
}

fn a_cached_message_ends_an_rpc() -> Verdict {
    let (port, inbox) = (port::open(Capacity::Zero)?, port::open(Capacity::DEFAULT)?);
    Message::copy_to(inbox).id(7).send()?;
    let result = Message::copy_to(port).id(1).rpc_with(inbox, CACHE | Options::RCV_TIMEOUT, 0, 1000);
    same!(result.map(|message| message.header.id), Err(Error::SendWillNotify));
    same!(receive_now(inbox)?.header.id, 7);
    same!(receive_now(port)?.header.id, 1);
    Ok(())
}

fn a_sender_without_its_name_is_told_all_the_same() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::Zero)?;
    same!(cache(right, 1), Err(Error::SendWillNotify));
    port::deallocate(right)?;
    same!(peer.hand.receive(there, NONE, 0)?.finish()?.received()?.header.id, 1);
    same!(notice::next()?, Notice::accepted(Name::NULL));
    Ok(())
}

fn a_sender_that_is_gone_leaves_its_message() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::Zero)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    let message = Message::copy_to(there).id(5).body(b"last words");
    same!(peer.hand.send(&message, CACHE, 0)?.finish()?.result, Err(Error::SendWillNotify));
    peer.terminate()?;
    let left = receive(port)?;
    same!((left.header.id, left.body.as_slice()), (5, b"last words".as_slice()));
    holds!(is_empty(port));
    same!(port::status(port)?.cached, 0);
    Ok(())
}

fn notices_are_not_lost() -> Verdict {
    port::set_capacity(trap::task_notify(), Capacity::Bounded(1))?;
    let mut ports = Vec::new();
    for id in 0..60 {
        let port = port::open(Capacity::Zero)?;
        same!(cache(port, id), Err(Error::SendWillNotify));
        ports.push(port);
    }
    for port in &ports {
        receive_now(*port)?;
    }
    same!(port::status(trap::task_notify())?.messages, 60);
    for port in &ports {
        same!(notice::now()?, Notice::accepted(*port));
    }
    holds!(notice::none());
    Ok(())
}

fn a_notice_cannot_be_forged() -> Verdict {
    let body = [1, 0, 0, 0, 0, 0, 0, 0];
    for kind in [Kind::MessageAccepted, Kind::DeadName, Kind::SendOnce] {
        Message::make_to(trap::task_notify()).id(kind as u32).body(&body).send()?;
        let message = receive_now(trap::task_notify())?;
        same!((message.header.id, message.is_from_kernel()), (kind as u32, false));
        holds!(message.trailer.sender != 0);
    }
    Ok(())
}

fn the_notify_port_is_the_tasks_own() -> Verdict {
    let notify = trap::task_notify();
    same!(trap::task_notify(), notify);
    same!((port::kind(notify)?.receive, port::kind(notify)?.send), (1, 0));
    let peer = Peer::start()?;
    let there = peer.give(notify, Disposition::MakeSend)?;
    peer.hand.send(&Message::copy_to(there).id(77), NONE, 0)?.finish()?.result?;
    same!(receive(notify)?.header.id, 77);
    Ok(())
}

fn waiting_and_cached_messages_all_arrive() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    Message::copy_to(port).id(0).send_now()?;
    let hand = Hand::here()?;
    let pending = hand.send(&Message::copy_to(port).id(1), NONE, 0)?;
    hand.waits(&pending, State::Sending)?;
    same!(cache(port, 2), Err(Error::SendWillNotify));
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(receive(port)?.header.id);
    }
    same!(pending.finish()?.result, Ok(()));
    ids.sort_unstable();
    same!(ids, [0, 1, 2]);
    same!(notice::now()?, Notice::accepted(port));
    Ok(())
}

fn cached_and_zero_capacity_deliver_in_order() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::Zero)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    same!(cache(port, 0), Err(Error::SendWillNotify));
    let other = peer.hand.send(&Message::copy_to(there).id(1), CACHE, 0)?;
    same!(other.finish()?.result, Err(Error::SendWillNotify));
    let hand = Hand::here()?;
    let last = hand.send(&Message::copy_to(port).id(2), NONE, 0)?;
    hand.waits(&last, State::Sending)?;
    for id in 0..3 {
        same!(receive_now(port)?.header.id, id);
    }
    same!(last.finish()?.result, Ok(()));
    Ok(())
}

fn a_notice_for_each_dead_name() -> Verdict {
    let peer = Peer::start()?;
    let mut rights = Vec::new();
    for _ in 0..20 {
        rights.push(peer.open(Capacity::DEFAULT)?.1);
    }
    port::mod_refs(rights[0], RightKind::Send, 5)?;
    peer.terminate()?;
    let mut told = Vec::new();
    // The peer's task, thread and control ports die too.
    while told.len() < 23 {
        let notice = notice::next()?;
        same!(notice.kind, Kind::DeadName);
        told.push(notice.name);
    }
    holds!(notice::none());
    for right in rights {
        same!(told.iter().filter(|name| **name == right).count(), 1);
    }
    Ok(())
}

fn a_deallocated_name_gets_no_notice() -> Verdict {
    let peer = Peer::start()?;
    let (kept_there, kept) = peer.open(Capacity::DEFAULT)?;
    let (gone_there, gone) = peer.open(Capacity::DEFAULT)?;
    port::deallocate(gone)?;
    peer.deallocate(gone_there)?;
    peer.deallocate(kept_there)?;
    same!(notice::next()?, Notice::dead(kept));
    holds!(notice::none());
    Ok(())
}
