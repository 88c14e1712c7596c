//! Port sets: receiving from many ports, and what becomes of members and sets.

use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Message, NONE, is_empty, receive, receive_now};
use crate::notice;
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::message::{Options, Trailer};
use portolan::abi::thread::State;
use portolan::abi::{Capacity, Disposition, Error, Name};
use portolan::{Answer, PortSet, ReceiveRight, classic, trap};

cases!("sets":
    a_set_tells_which_member,
    members_take_turns,
    a_waiting_thread_gets_from_any_member,
    a_rendezvous_through_a_set,
    a_member_is_not_received_from_directly,
    joining_tells_who_waits_at_the_port,
    joining_gives_what_is_there,
    a_member_that_dies_leaves,
    a_member_that_moves_leaves,
    a_set_that_ends_lets_go,
    a_member_moves_between_sets,
    all_members_are_listed,
    a_set_is_no_port,
    a_buffer_too_small_for_a_member,
    notices_through_a_set,
    a_server_of_many_objects,
    a_payload_says_which_object,
    many_threads_at_one_set,
);

fn me() -> Name {
    trap::task_self()
}

/// A set, and ports of this capacity in it, with send rights beside.
fn set_of<const COUNT: usize>(capacity: Capacity) -> Result<(Name, [Name; COUNT]), Error> {
    let set = classic::port_set_allocate(me())?;
    let mut ports = [Name::NULL; COUNT];
    for port in &mut ports {
        *port = port::open(capacity)?;
        classic::port_set_add(me(), *port, set)?;
    }
    Ok((set, ports))
}

fn a_set_tells_which_member() -> Verdict {
    let (set, ports) = set_of::<3>(Capacity::DEFAULT)?;
    holds!(is_empty(set));
    for number in [2, 0, 1] {
        Message::copy_to(ports[number]).id(number as u32).send_now()?;
        let message = receive_now(set)?;
        same!((message.header.id, message.header.local), (number as u32, ports[number]));
    }
    holds!(is_empty(set));
    same!((port::kind(set)?.set, port::kind(set)?.receive), (1, 0));
    same!(port::status(ports[0])?.set, set);
    Ok(())
}

fn members_take_turns() -> Verdict {
    let (set, ports) = set_of::<3>(Capacity::Unbounded)?;
    for id in [0, 0, 0, 1, 2, 2] {
        Message::copy_to(ports[id as usize]).id(id).send_now()?;
    }
    for id in [0, 1, 2, 0, 2, 0] {
        same!(receive_now(set)?.header.id, id);
    }
    Ok(())
}

fn a_waiting_thread_gets_from_any_member() -> Verdict {
    let (set, ports) = set_of::<2>(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    for port in ports {
        let pending = hand.receive(set, NONE, 0)?;
        hand.waits(&pending, State::Receiving)?;
        Message::copy_to(port).id(1).send_now()?;
        same!(pending.finish()?.received()?.header.local, port);
    }
    Ok(())
}

fn a_rendezvous_through_a_set() -> Verdict {
    let (set, [port]) = set_of::<1>(Capacity::Zero)?;
    same!(Message::copy_to(port).send_now(), Err(Error::SendTimedOut));
    let hand = Hand::here()?;
    let pending = hand.send(&Message::copy_to(port).id(1), NONE, 0)?;
    hand.waits(&pending, State::Sending)?;
    same!(receive_now(set)?.header.id, 1);
    pending.finish()?.result?;
    let pending = hand.receive(set, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    Message::copy_to(port).id(2).send_now()?;
    same!(pending.finish()?.received()?.header.id, 2);
    Ok(())
}

fn a_member_is_not_received_from_directly() -> Verdict {
    let (_, [port]) = set_of::<1>(Capacity::DEFAULT)?;
    Message::copy_to(port).id(1).send_now()?;
    same!(receive_now(port).err(), Some(Error::ReceiveInSet));
    classic::port_set_remove(me(), port)?;
    same!(receive_now(port)?.header.id, 1);
    same!(classic::port_set_remove(me(), port), Err(Error::NotInSet));
    Ok(())
}

fn joining_tells_who_waits_at_the_port() -> Verdict {
    let (set, []) = set_of::<0>(Capacity::DEFAULT)?;
    let port = port::open(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    let pending = hand.receive(port, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    classic::port_set_add(me(), port, set)?;
    same!(pending.finish()?.received().err(), Some(Error::ReceivePortChanged));
    Ok(())
}

fn joining_gives_what_is_there() -> Verdict {
    let (set, []) = set_of::<0>(Capacity::DEFAULT)?;
    let port = port::open(Capacity::DEFAULT)?;
    Message::copy_to(port).id(1).send_now()?;
    let hand = Hand::here()?;
    let pending = hand.receive(set, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    classic::port_set_add(me(), port, set)?;
    same!(pending.finish()?.received()?.header.id, 1);
    Ok(())
}

fn a_member_that_dies_leaves() -> Verdict {
    let (set, [one, two]) = set_of::<2>(Capacity::DEFAULT)?;
    Message::copy_to(one).id(1).send_now()?;
    port::destroy(one)?;
    same!(classic::port_set_status(me(), set)?, [two]);
    holds!(is_empty(set));
    Message::copy_to(two).id(2).send_now()?;
    same!(receive_now(set)?.header.id, 2);
    Ok(())
}

fn a_member_that_moves_leaves() -> Verdict {
    let peer = Peer::start()?;
    let (set, [port]) = set_of::<1>(Capacity::DEFAULT)?;
    Message::copy_to(port).id(1).send_now()?;
    let there = peer.give(port, Disposition::MoveReceive)?;
    same!(classic::port_set_status(me(), set)?, []);
    holds!(is_empty(set));
    same!(peer.hand.receive(there, NONE, 0)?.finish()?.received()?.header.id, 1);
    Ok(())
}

fn a_set_that_ends_lets_go() -> Verdict {
    let (set, [port]) = set_of::<1>(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    let pending = hand.receive(set, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    classic::port_set_deallocate(me(), set)?;
    same!(pending.finish()?.received().err(), Some(Error::ReceivePortDied));
    same!(port::kind(set).err(), Some(Error::InvalidName));
    Message::copy_to(port).id(1).send_now()?;
    same!(receive_now(port)?.header.id, 1);
    Ok(())
}

fn a_member_moves_between_sets() -> Verdict {
    let (one, [port]) = set_of::<1>(Capacity::DEFAULT)?;
    let (two, []) = set_of::<0>(Capacity::DEFAULT)?;
    Message::copy_to(port).id(1).send_now()?;
    classic::port_set_add(me(), port, two)?;
    same!((classic::port_set_status(me(), one)?, classic::port_set_status(me(), two)?), (Vec::new(), [port].to_vec()));
    holds!(is_empty(one));
    same!(receive_now(two)?.header.id, 1);
    Ok(())
}

fn all_members_are_listed() -> Verdict {
    let (set, ports) = set_of::<150>(Capacity::DEFAULT)?;
    let members = classic::port_set_status(me(), set)?;
    same!(members.len(), ports.len());
    holds!(ports.iter().all(|port| members.contains(port)));
    Ok(())
}

fn a_set_is_no_port() -> Verdict {
    let (set, [port]) = set_of::<1>(Capacity::DEFAULT)?;
    for how in [Disposition::CopySend, Disposition::MakeSend, Disposition::MoveSendOnce] {
        same!(Message::to(set, how).send_now(), Err(Error::SendInvalidPort));
    }
    let message = Message::copy_to(port).right(set, Disposition::MoveReceive);
    same!(message.send_now(), Err(Error::SendInvalidRight));
    same!(port::status(set).err(), Some(Error::NotReceiver));
    same!(classic::port_set_add(me(), set, set), Err(Error::NotReceiver));
    same!(classic::port_set_add(me(), port, port), Err(Error::InvalidRight));
    Ok(())
}

fn a_buffer_too_small_for_a_member() -> Verdict {
    let (set, [one, two]) = set_of::<2>(Capacity::DEFAULT)?;
    Message::copy_to(one).id(1).body(&[7; 11_000]).send_now()?;
    Message::copy_to(two).id(2).send_now()?;
    same!(receive_now(set).err(), Some(Error::ReceiveTooLarge));
    same!(port::status(one)?.messages, 1);
    classic::port_set_remove(me(), one)?;
    same!(receive_now(set)?.header.id, 2);
    Ok(())
}

fn notices_through_a_set() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let (set, []) = set_of::<0>(Capacity::DEFAULT)?;
    classic::port_set_add(me(), trap::task_notify(), set)?;
    peer.deallocate(there)?;
    let message = receive(set)?;
    same!(notice::Notice::of(&message), Some(notice::Notice::dead(right)));
    same!(message.header.local, trap::task_notify());
    Ok(())
}

/// A server with an object behind each of its ports, by the library.
fn a_server_of_many_objects() -> Verdict {
    let set = PortSet::allocate()?;
    let mut objects = Vec::new();
    for number in 0..4_u64 {
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        port.set_payload(number)?;
        set.add(&port)?;
        objects.push(port);
    }
    same!(set.members()?.len(), 4);
    let hand = Hand::here()?;
    for (number, object) in objects.iter().enumerate() {
        let inbox = trap::port_allocate(Capacity::DEFAULT)?;
        let request = Message::make_to(object.name()).reply(inbox, Disposition::MakeSendOnce).id(40);
        let call = hand.send(&request, NONE, 0)?;
        set.serve(|request| {
            let reply = portolan::Message::new(41).value(request.payload().unwrap_or(99));
            // It goes by itself, so that serving can end; its client waits for it.
            let _ = request.answer(reply);
            Answer::Stop
        })?;
        call.finish()?.result?;
        let reply = receive(inbox)?;
        same!((reply.header.id, reply.body.as_slice()), (41, &(number as u64).to_le_bytes()[..]));
    }
    PortSet::remove(&objects[0])?;
    drop(set);
    same!(port::status(objects[1].name())?.set, Name::NULL);
    Ok(())
}

fn a_payload_says_which_object() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let read =
        |port| receive_now(port).map(|message| (message.trailer.flags & Trailer::PAYLOAD, message.trailer.payload));
    Message::copy_to(port).send_now()?;
    same!(read(port)?, (0, 0));
    // Also for what was there before it was set.
    Message::copy_to(port).send_now()?;
    classic::mach_port_set_protected_payload(me(), port, 0xfeed_f00d_dead_beef)?;
    same!(read(port)?, (Trailer::PAYLOAD, 0xfeed_f00d_dead_beef));
    classic::mach_port_clear_protected_payload(me(), port)?;
    Message::copy_to(port).send_now()?;
    same!(read(port)?, (0, 0));
    same!(classic::mach_port_set_protected_payload(me(), Name(999), 1), Err(Error::InvalidName));
    Ok(())
}

fn many_threads_at_one_set() -> Verdict {
    let (set, ports) = set_of::<4>(Capacity::Bounded(1))?;
    let mut hands = Vec::new();
    for _ in 0..6 {
        hands.push(Hand::here()?);
    }
    let mut pending = Vec::new();
    for hand in &hands {
        let one = hand.receive(set, Options::empty(), 0)?;
        hand.waits(&one, State::Receiving)?;
        pending.push(one);
    }
    for id in 0..6 {
        Message::copy_to(ports[id as usize % 4]).id(id).send_now()?;
    }
    for (id, one) in pending.into_iter().enumerate() {
        same!(one.finish()?.received()?.header.id, id as u32);
    }
    holds!(is_empty(set));
    Ok(())
}
