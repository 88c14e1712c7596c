//! Waits that nobody would ever end are refused; those that could end are not.

use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Message, NONE, receive_now, receive_with};
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use portolan::abi::thread::{RefusedWait, State, Wanted};
use portolan::abi::{Capacity, Disposition, Error, Name};
use portolan::{Task, thread, trap};

cases!("deadlock":
    a_receive_that_nobody_can_end_is_refused,
    a_send_to_ones_own_full_mailbox_is_refused,
    a_request_to_oneself_is_refused_and_sent,
    two_tasks_that_wait_for_each_other,
    a_ring_of_full_mailboxes,
    another_thread_is_a_way_out,
    the_last_sender_leaves_and_the_next_wait_is_refused,
    no_chain_without_a_refusal,
);

/// The chain of this thread's refused wait.
fn chain() -> portolan::Result<alloc::vec::Vec<RefusedWait>> {
    thread::this()?.refusal()
}

fn a_receive_that_nobody_can_end_is_refused() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    trap::port_deallocate(port)?;
    same!(receive_with(port, NONE, 0).err(), Some(Error::ReceiveWouldDeadlock));
    let waits = chain()?;
    same!(waits.len(), 1);
    same!((waits[0].task, waits[0].name), (Task::this().info()?.id, port));
    same!(waits[0].wanted, Wanted::Message as u32);
    Ok(())
}

fn a_send_to_ones_own_full_mailbox_is_refused() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    Message::copy_to(port).send()?;
    let moved = trap::port_allocate(Capacity::DEFAULT)?;
    let message = Message::copy_to(port).right(moved, Disposition::MoveReceive);
    same!(message.send_with(NONE, 0), Err(Error::SendWouldDeadlock));
    same!(chain()?[0].wanted, Wanted::Place as u32);
    // The message has stayed here, with its right.
    same!(port::status(moved)?.messages, 0);
    trap::port_deallocate(moved)?;
    Ok(())
}

fn a_request_to_oneself_is_refused_and_sent() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let reply = trap::port_allocate(Capacity::DEFAULT)?;
    let request = Message::copy_to(port).reply(reply, Disposition::MakeSendOnce);
    same!(request.rpc_with(reply, NONE, 0, 0).err(), Some(Error::ReceiveWouldDeadlock));
    let request = receive_now(port)?;
    Message::to(request.header.remote, Disposition::MoveSendOnce).send()?;
    receive_now(reply)?;
    Ok(())
}

/// This task and a peer can send to each other: their names for the other one's port.
struct Pair {
    peer: Peer,
    /// The peer's port, there and here.
    there: (Name, Name),
    /// This task's port, and the peer's name for it.
    here: (Name, Name),
}

impl Pair {
    fn new() -> Result<Pair, crate::case::Failure> {
        let peer = Peer::start()?;
        let there = peer.open(Capacity::Bounded(1))?;
        let here = trap::port_allocate(Capacity::Bounded(1))?;
        let here_there = peer.give(here, Disposition::MakeSend)?;
        Ok(Pair { peer, there, here: (here, here_there) })
    }
}

fn two_tasks_that_wait_for_each_other() -> Verdict {
    let Pair { peer, there, here } = Pair::new()?;
    let waiting = peer.hand.receive(there.0, NONE, 0)?;
    peer.hand.waits(&waiting, State::Receiving)?;
    same!(receive_with(here.0, NONE, 0).err(), Some(Error::ReceiveWouldDeadlock));
    let tasks: alloc::vec::Vec<u64> = chain()?.iter().map(|wait| wait.task).collect();
    same!(tasks.len(), 2);
    same!(tasks[0], Task::this().info()?.id);
    Message::copy_to(there.1).send()?;
    waiting.finish()?.result?;
    Ok(())
}

fn a_ring_of_full_mailboxes() -> Verdict {
    let Pair { peer, there, here } = Pair::new()?;
    Message::copy_to(there.1).send()?;
    peer.hand.send(&Message::copy_to(here.1), NONE, 0)?.finish()?.result?;
    let blocked = peer.hand.send(&Message::copy_to(here.1), NONE, 0)?;
    peer.hand.waits(&blocked, State::Sending)?;
    same!(Message::copy_to(there.1).send_with(NONE, 0), Err(Error::SendWouldDeadlock));
    same!(chain()?.len(), 2);
    receive_now(here.0)?;
    blocked.finish()?.result?;
    Ok(())
}

fn another_thread_is_a_way_out() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    let waiting = hand.receive(port, NONE, 0)?;
    hand.waits(&waiting, State::Receiving)?;
    Message::copy_to(port).send()?;
    waiting.finish()?.result?;
    Ok(())
}

fn the_last_sender_leaves_and_the_next_wait_is_refused() -> Verdict {
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let peer = Peer::start()?;
    let to = peer.give(port, Disposition::MakeSend)?;
    peer.hand.send(&Message::copy_to(to), NONE, 0)?.finish()?.result?;
    receive_with(port, NONE, 0)?;
    peer.terminate()?;
    same!(receive_with(port, NONE, 0).err(), Some(Error::ReceiveWouldDeadlock));
    Ok(())
}

fn no_chain_without_a_refusal() -> Verdict {
    let hand = Hand::here()?;
    let other = thread::Thread::from_right(portolan::SendRight::from_name(hand.thread));
    let told = other.refusal();
    core::mem::forget(other);
    holds!(told == Err(Error::Failure));
    Ok(())
}
