//! Ends of ports, threads and tasks, at every moment, as those who stay behind see them.

use crate::bare::Bare;
use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Message, NONE, is_empty, receive, receive_now};
use crate::notice::{self, Notice, wait_for_death};
use crate::peer::Peer;
use crate::{asm, cases, holds, port, same, space};
use alloc::vec::Vec;
use portolan::abi::call::Call;
use portolan::abi::interface::Routine;
use portolan::abi::message::Options;
use portolan::abi::notification::Kind;
use portolan::abi::thread::State;
use portolan::abi::{Capacity, Disposition, Error, Name, Protection, RightKind, task};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("death":
    a_dead_port_leaves_a_dead_name,
    waiting_senders_are_told,
    a_waiting_receiver_is_told,
    queued_rights_are_released,
    a_whole_chain_of_queued_ports_is_released,
    a_server_that_never_received,
    a_server_with_the_request_in_hand,
    a_server_that_drops_the_reply_right,
    a_reply_right_on_its_way_dies_with_its_carrier,
    a_reply_may_come_from_a_third_task,
    a_chain_of_servers_falls,
    a_client_that_is_gone,
    a_client_that_is_gone_while_it_waits_to_send,
    a_task_ends_while_it_sends,
    a_task_ends_while_it_receives,
    a_task_ends_while_it_sleeps,
    a_task_ends_while_it_runs,
    a_task_ends_with_threads_in_every_state,
    a_task_ends_itself,
    a_task_ends_with_full_queues,
    a_thread_ends_in_every_state,
    a_thread_ends_itself,
    a_dead_task_answers_no_more,
    sending_to_a_dead_name,
    a_receive_right_in_a_dead_queue,
    a_dead_task_lets_go_of_shared_memory,
    the_death_of_a_port_is_told_once,
    a_blocked_message_returns_with_its_rights,
    many_clients_lose_one_server,
);

fn a_dead_port_leaves_a_dead_name() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    port::mod_refs(right, RightKind::Send, 2)?;
    peer.deallocate(there)?;
    same!(notice::next()?, Notice::dead(right));
    same!((port::kind(right)?.send, port::kind(right)?.dead), (0, 3));
    same!(Message::copy_to(right).send(), Err(Error::SendInvalidPort));
    for left in (0..3).rev() {
        port::deallocate(right)?;
        same!(port::kind(right).map(|kind| kind.dead).unwrap_or(0), left);
    }
    same!(port::kind(right), Err(Error::InvalidName));
    Ok(())
}

fn waiting_senders_are_told() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::Bounded(1))?;
    Message::copy_to(right).send_now()?;
    let mut senders = Vec::new();
    for timeout in [0, 3000, 0] {
        let hand = Hand::here()?;
        let options = if timeout == 0 { NONE } else { Options::SEND_TIMEOUT };
        let pending = hand.send(&Message::copy_to(right), options, timeout)?;
        hand.waits(&pending, State::Sending)?;
        senders.push(pending);
    }
    peer.deallocate(there)?;
    for pending in senders {
        same!(pending.finish()?.result, Err(Error::SendInvalidPort));
    }
    Ok(())
}

fn a_waiting_receiver_is_told() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let hands = [Hand::here()?, Hand::here()?];
    let mut receivers = Vec::new();
    for hand in &hands {
        let pending = hand.receive(port, NONE, 0)?;
        hand.waits(&pending, State::Receiving)?;
        receivers.push(pending);
    }
    port::destroy(port)?;
    for pending in receivers {
        same!(pending.finish()?.result, Err(Error::ReceivePortDied));
    }
    Ok(())
}

fn queued_rights_are_released() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let (port, once) = (port::open(Capacity::DEFAULT)?, trap::port_allocate(Capacity::DEFAULT)?);
    let message = Message::copy_to(right)
        .right(port, Disposition::CopySend)
        .right(once, Disposition::MakeSendOnce)
        .reply(port, Disposition::MakeSendOnce);
    message.send()?;
    same!((port::status(port)?.send_rights, port::status(port)?.send_once_rights), (2, 1));
    peer.deallocate(there)?;
    same!(Notice::of(&receive(once)?).map(|notice| notice.kind), Some(Kind::SendOnce));
    same!(Notice::of(&receive(port)?).map(|notice| notice.kind), Some(Kind::SendOnce));
    same!((port::status(port)?.send_rights, port::status(port)?.send_once_rights), (1, 0));
    Ok(())
}

fn a_whole_chain_of_queued_ports_is_released() -> Verdict {
    // Each port lies in the queue of the next; the end of the last ends them all, without end of stack.
    let end = trap::port_allocate(Capacity::DEFAULT)?;
    let mut inner = port::open(Capacity::DEFAULT)?;
    Message::copy_to(inner).right(end, Disposition::MakeSendOnce).send()?;
    for _ in 0..500 {
        let outer = port::open(Capacity::DEFAULT)?;
        Message::copy_to(outer).right(inner, Disposition::MoveReceive).send()?;
        port::deallocate(inner)?;
        inner = outer;
    }
    port::destroy(inner)?;
    same!(Notice::of(&receive(end)?).map(|notice| notice.kind), Some(Kind::SendOnce));
    Ok(())
}

/// A hand that has sent a request to `right` and waits for the reply.
fn client(right: Name) -> Result<(Hand, crate::hand::Pending), crate::case::Failure> {
    let (hand, reply) = (Hand::here()?, trap::port_allocate(Capacity::Bounded(1))?);
    let pending = hand.rpc(&Message::copy_to(right).reply(reply, Disposition::MakeSendOnce), reply)?;
    hand.waits(&pending, State::Receiving)?;
    Ok((hand, pending))
}

fn a_server_that_never_received() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let (_, pending) = client(right)?;
    peer.deallocate(there)?;
    same!(pending.finish()?.result, Err(Error::ReceiveReplyLost));
    Ok(())
}

fn a_server_with_the_request_in_hand() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let (_, pending) = client(right)?;
    peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
    holds!(!pending.is_done()?);
    peer.terminate()?;
    same!(pending.finish()?.result, Err(Error::ReceiveReplyLost));
    Ok(())
}

fn a_server_that_drops_the_reply_right() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let (_, pending) = client(right)?;
    let request = peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
    peer.deallocate(request.header.remote)?;
    same!(pending.finish()?.result, Err(Error::ReceiveReplyLost));
    Ok(())
}

fn a_reply_right_on_its_way_dies_with_its_carrier() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let (_, pending) = client(right)?;
    let request = peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
    let carrier = port::open(Capacity::DEFAULT)?;
    let to_carrier = peer.give(carrier, Disposition::MakeSend)?;
    let pass_on = Message::copy_to(to_carrier).right(request.header.remote, Disposition::MoveSendOnce);
    peer.hand.send(&pass_on, NONE, 0)?.finish()?.result?;
    peer.terminate()?;
    trap::thread_switch(Name::NULL, Some(5))?;
    holds!(!pending.is_done()?);
    port::destroy(carrier)?;
    same!(pending.finish()?.result, Err(Error::ReceiveReplyLost));
    Ok(())
}

fn a_reply_may_come_from_a_third_task() -> Verdict {
    let (first, third) = (Peer::start()?, Peer::start()?);
    let (there, right) = first.open(Capacity::DEFAULT)?;
    let (third_there, to_third) = third.open(Capacity::DEFAULT)?;
    let (_, pending) = client(right)?;
    let request = first.hand.receive(there, NONE, 0)?.finish()?.received()?;
    let outlet = first.give(to_third, Disposition::CopySend)?;
    let pass_on = Message::copy_to(outlet).right(request.header.remote, Disposition::MoveSendOnce);
    first.hand.send(&pass_on, NONE, 0)?.finish()?.result?;
    first.terminate()?;
    let passed = third.hand.receive(third_there, NONE, 0)?.finish()?.received()?;
    third.hand.send(&Message::once_to(passed.right(0)).id(33), NONE, 0)?.finish()?.result?;
    same!(pending.finish()?.received()?.header.id, 33);
    Ok(())
}

fn a_chain_of_servers_falls() -> Verdict {
    let (middle, last) = (Peer::start()?, Peer::start()?);
    let (middle_there, to_middle) = middle.open(Capacity::DEFAULT)?;
    let (last_there, to_last) = last.open(Capacity::DEFAULT)?;
    let (_, pending) = client(to_middle)?;
    middle.hand.receive(middle_there, NONE, 0)?.finish()?.received()?;
    let (outlet, reply) = (middle.give(to_last, Disposition::CopySend)?, middle.port(Capacity::Bounded(1))?);
    let asks = middle.hand.rpc(&Message::copy_to(outlet).reply(reply, Disposition::MakeSendOnce), reply)?;
    last.hand.receive(last_there, NONE, 0)?.finish()?.received()?;
    last.terminate()?;
    same!(asks.finish()?.result, Err(Error::ReceiveReplyLost));
    holds!(!pending.is_done()?);
    middle.terminate()?;
    same!(pending.finish()?.result, Err(Error::ReceiveReplyLost));
    Ok(())
}

fn a_client_that_is_gone() -> Verdict {
    let peer = Peer::start()?;
    let service = port::open(Capacity::DEFAULT)?;
    let (there, reply) = (peer.give(service, Disposition::MakeSend)?, peer.port(Capacity::Bounded(1))?);
    let _asks = peer.hand.rpc(&Message::copy_to(there).reply(reply, Disposition::MakeSendOnce), reply)?;
    let request = receive(service)?;
    same!(port::kind(request.header.remote)?.send_once, 1);
    peer.terminate()?;
    let answer = Message::once_to(request.header.remote).id(1);
    same!(answer.send(), Err(Error::SendInvalidPort));
    same!(port::kind(request.header.remote)?.dead, 1);
    // The server serves on: its reply-and-wait tells it, and the next request is there.
    Message::copy_to(service).id(2).send()?;
    same!(receive(service)?.header.id, 2);
    Ok(())
}

fn a_client_that_is_gone_while_it_waits_to_send() -> Verdict {
    let peer = Peer::start()?;
    let service = port::open(Capacity::Bounded(1))?;
    let there = peer.give(service, Disposition::MakeSend)?;
    Message::copy_to(service).id(1).send_now()?;
    let reply = peer.port(Capacity::Bounded(1))?;
    let asks = peer.hand.rpc(&Message::copy_to(there).id(2).reply(reply, Disposition::MakeSendOnce), reply)?;
    peer.hand.waits(&asks, State::Sending)?;
    peer.terminate()?;
    holds!(asks.end()?.is_none());
    same!(receive(service)?.header.id, 1);
    holds!(is_empty(service));
    same!(port::status(service)?.senders, 0);
    Ok(())
}

fn a_task_ends_while_it_sends() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::Zero)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    let carried = peer.port(Capacity::DEFAULT)?;
    let message = Message::copy_to(there).right(carried, Disposition::MoveReceive).body(&[1; 3000]);
    let pending = peer.hand.send(&message, NONE, 0)?;
    peer.hand.waits(&pending, State::Sending)?;
    peer.terminate()?;
    holds!(pending.end()?.is_none());
    holds!(is_empty(port));
    same!((port::status(port)?.senders, port::status(port)?.send_rights), (0, 1));
    Ok(())
}

fn a_task_ends_while_it_receives() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let pending = peer.hand.receive(there, Options::RCV_TIMEOUT, 3000)?;
    peer.hand.waits(&pending, State::Receiving)?;
    peer.terminate()?;
    holds!(pending.end()?.is_none());
    wait_for_death(right)?;
    same!(Message::copy_to(right).send(), Err(Error::SendInvalidPort));
    Ok(())
}

fn a_task_ends_while_it_sleeps() -> Verdict {
    let peer = Peer::start()?;
    let pending = peer.hand.start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(100_000) })?;
    peer.hand.waits(&pending, State::Sleeping)?;
    peer.terminate()?;
    holds!(pending.end()?.is_none());
    wait_for_death(peer.task)?;
    Ok(())
}

fn a_task_ends_while_it_runs() -> Verdict {
    let bare = Bare::start(&[asm::started(), asm::spin()])?;
    while bare.word(0) != 1 {
        trap::thread_switch(Name::NULL, None)?;
    }
    task::terminate(&MsgRpc, bare.task)?;
    wait_for_death(bare.task)?;
    Ok(())
}

fn a_task_ends_with_threads_in_every_state() -> Verdict {
    let peer = Peer::start()?;
    let (_, full) = peer.open(Capacity::Zero)?;
    let there = peer.give(full, Disposition::CopySend)?;
    let empty = peer.port(Capacity::DEFAULT)?;
    let hands: Vec<Hand> = (0..3).map(|_| peer.another_hand(crate::hand::ROOM)).collect::<Result<_, _>>()?;
    let sends = hands[0].send(&Message::copy_to(there), NONE, 0)?;
    let receives = hands[1].receive(empty, NONE, 0)?;
    let sleeps = hands[2].start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(50_000) })?;
    hands[0].waits(&sends, State::Sending)?;
    hands[1].waits(&receives, State::Receiving)?;
    hands[2].waits(&sleeps, State::Sleeping)?;
    // One that runs, in the middle of everything.
    let spins = space::code_object(asm::spin())?;
    space::map_into(peer.task, spins, 0x5000_0000, Protection::READ_EXECUTE)?;
    task::thread_create(&MsgRpc, peer.task, 0x5000_0000, 0x5000_0000, 0, 16, 0)?;
    same!(task::info(&MsgRpc, peer.task)?.results.info.threads, 5);
    trap::thread_switch(Name::NULL, Some(5))?;
    peer.terminate()?;
    for pending in [sends, receives, sleeps] {
        holds!(pending.end()?.is_none());
    }
    Ok(())
}

fn a_task_ends_itself() -> Verdict {
    let peer = Peer::start()?;
    let me = peer.hand.call(Call::TaskSelf)?.value()?;
    let ends = Message::copy_to(Name(me as u32)).id(task::Terminate::ID);
    holds!(peer.hand.send(&ends, NONE, 0)?.end()?.is_none());
    wait_for_death(peer.task)?;
    Ok(())
}

fn a_task_ends_with_full_queues() -> Verdict {
    let peer = Peer::start()?;
    let mine = port::open(Capacity::DEFAULT)?;
    let mut rights = Vec::new();
    for _ in 0..20 {
        let (_, right) = peer.open(Capacity::Unbounded)?;
        for _ in 0..10 {
            Message::copy_to(right).right(mine, Disposition::CopySend).body(&[9; 200]).send_now()?;
        }
        rights.push(right);
    }
    same!(port::status(mine)?.send_rights, 201);
    peer.terminate()?;
    wait_for_death(peer.task)?;
    for right in rights {
        same!(port::kind(right)?.dead, 1);
    }
    same!(port::status(mine)?.send_rights, 1);
    Ok(())
}

fn a_thread_ends_in_every_state() -> Verdict {
    let (full, empty) = (port::open(Capacity::Zero)?, port::open(Capacity::DEFAULT)?);
    let hands = [Hand::here()?, Hand::here()?, Hand::here()?];
    let sends = hands[0].send(&Message::copy_to(full), NONE, 0)?;
    let receives = hands[1].receive(empty, NONE, 0)?;
    let sleeps = hands[2].start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(50_000) })?;
    hands[0].waits(&sends, State::Sending)?;
    hands[1].waits(&receives, State::Receiving)?;
    hands[2].waits(&sleeps, State::Sleeping)?;
    let before = portolan::task::Task::this().info()?.threads;
    for hand in &hands {
        hand.terminate()?;
        same!(hand.terminate(), Err(Error::SendInvalidPort));
    }
    for pending in [sends, receives, sleeps] {
        // The reply right is the task's, not the thread's: it waits on.
        holds!(!pending.is_done()?);
    }
    same!(portolan::task::Task::this().info()?.threads, before - 3);
    same!((port::status(full)?.senders, port::status(empty)?.receivers), (0, 0));
    Message::copy_to(empty).id(1).send_now()?;
    same!(receive_now(empty)?.header.id, 1);
    Ok(())
}

fn a_thread_ends_itself() -> Verdict {
    let hand = Hand::here()?;
    let me = hand.call(Call::ThreadSelf)?.value()?;
    same!(Name(me as u32), hand.thread);
    let before = portolan::task::Task::this().info()?.threads;
    let ends = Message::copy_to(hand.thread).id(portolan::abi::thread::Terminate::ID);
    hand.send(&ends, NONE, 0)?;
    wait_for_death(hand.thread)?;
    same!(portolan::task::Task::this().info()?.threads, before - 1);
    Ok(())
}

fn a_dead_task_answers_no_more() -> Verdict {
    let peer = Peer::start()?;
    peer.terminate()?;
    wait_for_death(peer.task)?;
    same!(peer.terminate(), Err(Error::SendInvalidPort));
    same!(peer.port(Capacity::DEFAULT), Err(Error::SendInvalidPort));
    same!(peer.hand.info().map(drop), Err(Error::SendInvalidPort));
    same!(port::kind(peer.task)?.dead > 0, true);
    Ok(())
}

fn sending_to_a_dead_name() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let mine = port::open(Capacity::DEFAULT)?;
    peer.deallocate(there)?;
    for disposition in [Disposition::CopySend, Disposition::MoveSend] {
        let message = Message::to(right, disposition).right(mine, Disposition::MoveReceive);
        same!(message.send(), Err(Error::SendInvalidPort));
        same!(message.rpc(mine).map(drop), Err(Error::SendInvalidPort));
    }
    same!((port::kind(right)?.dead, port::kind(mine)?.receive), (1, 1));
    same!(receive_now(right).map(drop), Err(Error::ReceiveInvalidPort));
    Ok(())
}

fn a_receive_right_in_a_dead_queue() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let mine = port::open(Capacity::DEFAULT)?;
    Message::copy_to(mine).id(1).send()?;
    Message::copy_to(right).right(mine, Disposition::MoveReceive).send()?;
    peer.deallocate(there)?;
    let mut told = [notice::next()?.name, notice::next()?.name];
    told.sort_unstable();
    let mut both = [right, mine];
    both.sort_unstable();
    same!(told, both);
    same!(port::kind(mine)?.dead, 1);
    Ok(())
}

fn a_dead_task_lets_go_of_shared_memory() -> Verdict {
    let peer = Peer::start()?;
    let object = space::object(8 * space::PAGE)?;
    let here = space::map(object, Protection::READ_WRITE)?;
    peer.give(object, Disposition::CopySend)?;
    space::map_into(peer.task, object, 0x7000_0000, Protection::READ_WRITE)?;
    peer.hand.store(0x7000_0000, 77)?.finish()?;
    same!(space::object_info(object)?.mappings, 2);
    peer.terminate()?;
    wait_for_death(peer.task)?;
    same!(space::object_info(object)?.mappings, 1);
    same!(asm::load(here), 77);
    Ok(())
}

fn the_death_of_a_port_is_told_once() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    peer.take(there, Disposition::MakeSend)?;
    peer.take(there, Disposition::MakeSend)?;
    same!(port::kind(right)?.send, 3);
    peer.deallocate(there)?;
    same!(notice::next()?, Notice::dead(right));
    holds!(notice::none());
    Ok(())
}

fn a_blocked_message_returns_with_its_rights() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::Zero)?;
    let (mine, once_port) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    Message::copy_to(once_port).right(once_port, Disposition::MakeSendOnce).send()?;
    let once = receive_now(once_port)?.right(0);
    let hand = Hand::here()?;
    let message = Message::copy_to(right)
        .right(mine, Disposition::MoveReceive)
        .right(mine, Disposition::MoveSend)
        .right(once, Disposition::MoveSendOnce);
    let pending = hand.send(&message, NONE, 0)?;
    hand.waits(&pending, State::Sending)?;
    peer.deallocate(there)?;
    same!(pending.finish()?.result, Err(Error::SendInvalidPort));
    same!((port::kind(mine)?.receive, port::kind(mine)?.send), (1, 1));
    same!(port::status(once_port)?.send_once_rights, 1);
    Message::once_to(once).id(5).send()?;
    same!(receive_now(once_port)?.header.id, 5);
    Ok(())
}

fn many_clients_lose_one_server() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::Bounded(3))?;
    let mut clients = Vec::new();
    for number in 0..8 {
        let (hand, reply) = (Hand::here()?, trap::port_allocate(Capacity::Bounded(1))?);
        let pending = hand.rpc(&Message::copy_to(right).reply(reply, Disposition::MakeSendOnce), reply)?;
        // One is being served, three are queued, the others wait to send.
        let state = if number < 4 { State::Receiving } else { State::Sending };
        hand.waits(&pending, state)?;
        if number == 0 {
            peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
        }
        clients.push(pending);
    }
    peer.terminate()?;
    for (number, pending) in clients.into_iter().enumerate() {
        let lost = if number < 4 { Error::ReceiveReplyLost } else { Error::SendInvalidPort };
        same!(pending.finish()?.result, Err(lost));
    }
    Ok(())
}
