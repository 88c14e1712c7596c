//! Names and rights: what a name stands for, how often, and how rights travel.

use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Message, NONE, is_empty, receive, receive_now};
use crate::notice::{self, Notice};
use crate::peer::Peer;
use crate::random::Random;
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::message::{DESCRIPTORS_MAX, Descriptor, Header};
use portolan::abi::notification::Kind;
use portolan::abi::port::UREFS_MAX;
use portolan::abi::thread::State;
use portolan::abi::{Capacity, Disposition, Error, Name, RightKind, port as routine, task};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("rights":
    a_name_counts_its_send_rights,
    send_and_receive_share_a_name,
    each_send_once_right_has_its_own_name,
    a_send_once_right_sends_once,
    an_unused_send_once_right_tells_its_port,
    a_send_once_right_dies_with_its_message,
    a_send_once_right_dies_with_its_task,
    a_moved_send_right_is_gone,
    a_receive_right_moves_with_its_queue,
    a_receive_right_comes_home,
    a_moved_receive_right_ends_the_wait,
    only_the_receiver_makes_rights,
    only_a_sender_copies_rights,
    one_bad_right_keeps_all_at_home,
    a_right_is_moved_once_per_message,
    two_references_move_in_one_message,
    sixty_four_rights_travel_together,
    null_travels_as_null,
    a_dead_name_travels_as_dead,
    a_right_passes_three_tasks,
    an_old_name_means_nothing,
    names_are_not_reused_for_long,
    names_mean_nothing_in_another_task,
    wild_names_mean_nothing,
    deallocating_twice_fails,
    references_have_a_maximum,
    references_do_not_go_below_zero,
    a_name_can_be_chosen_if_it_is_vacant,
    a_known_port_keeps_its_name,
    the_type_tells_every_kind,
    a_send_right_does_not_receive,
    reply_rights_are_checked,
    a_port_in_its_own_queue_leaves_nothing,
    two_ports_in_each_others_queues_leave_nothing,
    a_failed_send_keeps_references,
);

fn a_name_counts_its_send_rights() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    for count in 1..5 {
        same!(port::kind(right)?.send, count);
        same!(peer.take(there, Disposition::MakeSend)?, right);
    }
    for count in (1..=5).rev() {
        same!(port::kind(right)?.send, count);
        port::deallocate(right)?;
    }
    same!(port::kind(right), Err(Error::InvalidName));
    Ok(())
}

fn send_and_receive_share_a_name() -> Verdict {
    let name = trap::port_allocate(Capacity::DEFAULT)?;
    same!((port::kind(name)?.receive, port::kind(name)?.send), (1, 0));
    Message::make_to(name).right(name, Disposition::MakeSend).send()?;
    same!(receive(name)?.right(0), name);
    same!((port::kind(name)?.receive, port::kind(name)?.send), (1, 1));
    // The send right goes first, the receive right last.
    port::deallocate(name)?;
    same!((port::kind(name)?.receive, port::kind(name)?.send), (1, 0));
    port::deallocate(name)?;
    same!(port::kind(name), Err(Error::InvalidName));
    Ok(())
}

/// `count` send-once rights to the port, here.
fn send_once_rights(port: Name, count: usize) -> Result<Vec<Name>, Error> {
    let mut message = Message::make_to(port);
    for _ in 0..count {
        message = message.right(port, Disposition::MakeSendOnce);
    }
    message.send()?;
    Ok(receive(port)?.rights.iter().map(|right| right.name).collect())
}

fn each_send_once_right_has_its_own_name() -> Verdict {
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let names = send_once_rights(port, 3)?;
    holds!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2] && !names.contains(&port), names);
    for name in names {
        let kind = port::kind(name)?;
        same!((kind.receive, kind.send, kind.send_once, kind.dead), (0, 0, 1, 0));
    }
    same!(port::status(port)?.send_once_rights, 3);
    Ok(())
}

fn a_send_once_right_sends_once() -> Verdict {
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let once = send_once_rights(port, 1)?[0];
    Message::once_to(once).id(3).send()?;
    same!(port::kind(once), Err(Error::InvalidName));
    same!(Message::once_to(once).send(), Err(Error::SendInvalidPort));
    same!(receive_now(port)?.header.id, 3);
    holds!(is_empty(port));
    same!(port::status(port)?.send_once_rights, 0);
    Ok(())
}

fn an_unused_send_once_right_tells_its_port() -> Verdict {
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    port::deallocate(send_once_rights(port, 1)?[0])?;
    let notice = receive_now(port)?;
    same!(Notice::of(&notice).map(|notice| notice.kind), Some(Kind::SendOnce));
    same!(notice.header.local, port);
    holds!(is_empty(port));
    Ok(())
}

fn a_send_once_right_dies_with_its_message() -> Verdict {
    let (port, other) = (trap::port_allocate(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    Message::copy_to(other).right(port, Disposition::MakeSendOnce).reply(port, Disposition::MakeSendOnce).send()?;
    same!(port::status(port)?.send_once_rights, 2);
    port::destroy(other)?;
    for _ in 0..2 {
        same!(Notice::of(&receive_now(port)?).map(|notice| notice.kind), Some(Kind::SendOnce));
    }
    holds!(is_empty(port));
    Ok(())
}

fn a_send_once_right_dies_with_its_task() -> Verdict {
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let peer = Peer::start()?;
    peer.give(port, Disposition::MakeSendOnce)?;
    peer.terminate()?;
    same!(Notice::of(&receive(port)?).map(|notice| notice.kind), Some(Kind::SendOnce));
    holds!(is_empty(port));
    Ok(())
}

fn a_moved_send_right_is_gone() -> Verdict {
    let peer = Peer::start()?;
    let (_, right) = peer.open(Capacity::DEFAULT)?;
    let other = port::open(Capacity::DEFAULT)?;
    port::mod_refs(right, RightKind::Send, 1)?;
    Message::copy_to(other).right(right, Disposition::MoveSend).send()?;
    same!(port::kind(right)?.send, 1);
    Message::copy_to(other).right(right, Disposition::MoveSend).send()?;
    same!(port::kind(right), Err(Error::InvalidName));
    same!(Message::copy_to(right).send(), Err(Error::SendInvalidPort));
    let back = receive_now(other)?.right(0);
    same!(receive_now(other)?.right(0), back);
    same!(port::kind(back)?.send, 2);
    Ok(())
}

fn a_receive_right_moves_with_its_queue() -> Verdict {
    let peer = Peer::start()?;
    let (inbox_there, inbox) = peer.open(Capacity::DEFAULT)?;
    let port = port::open(Capacity::DEFAULT)?;
    for id in 1..4 {
        Message::copy_to(port).id(id).send()?;
    }
    Message::copy_to(inbox).right(port, Disposition::MoveReceive).send()?;
    same!((port::kind(port)?.receive, port::kind(port)?.send), (0, 1));
    same!(receive_now(port).map(drop), Err(Error::ReceiveInvalidPort));
    same!(port::status(port), Err(Error::NotReceiver));
    // What is sent while the right is on its way waits with the rest.
    Message::copy_to(port).id(4).send()?;
    let message = peer.hand.receive(inbox_there, NONE, 0)?.finish()?.received()?;
    let moved = message.right(0);
    same!(message.rights[0].disposition, RightKind::Receive as u8);
    for id in 1..5 {
        same!(peer.hand.receive(moved, NONE, 0)?.finish()?.received()?.header.id, id);
    }
    Message::copy_to(port).id(5).send()?;
    same!(peer.hand.receive(moved, NONE, 0)?.finish()?.received()?.header.id, 5);
    Ok(())
}

fn a_receive_right_comes_home() -> Verdict {
    let (port, carrier) = (port::open(Capacity::Bounded(3))?, port::open(Capacity::DEFAULT)?);
    Message::copy_to(carrier).right(port, Disposition::MoveReceive).send()?;
    same!(receive_now(port).map(drop), Err(Error::ReceiveInvalidPort));
    same!(receive(carrier)?.right(0), port);
    same!((port::kind(port)?.receive, port::kind(port)?.send), (1, 1));
    same!(port::status(port)?.capacity, 3);
    Ok(())
}

fn a_moved_receive_right_ends_the_wait() -> Verdict {
    let (port, carrier) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    let hand = Hand::here()?;
    let pending = hand.receive(port, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    Message::copy_to(carrier).right(port, Disposition::MoveReceive).send()?;
    same!(pending.finish()?.result, Err(Error::ReceivePortDied));
    Ok(())
}

fn only_the_receiver_makes_rights() -> Verdict {
    let peer = Peer::start()?;
    let (_, right) = peer.open(Capacity::DEFAULT)?;
    let carrier = port::open(Capacity::DEFAULT)?;
    for disposition in [Disposition::MakeSend, Disposition::MakeSendOnce, Disposition::MoveReceive] {
        let result = Message::copy_to(carrier).right(right, disposition).send();
        same!(result, Err(Error::SendInvalidRight));
        // As a destination, a receive right makes no sense at all.
        let moved = disposition == Disposition::MoveReceive;
        let error = if moved { Error::SendInvalidHeader } else { Error::SendInvalidPort };
        same!(Message::to(right, disposition).send(), Err(error));
    }
    same!(port::kind(right)?.send, 1);
    holds!(is_empty(carrier));
    Ok(())
}

fn only_a_sender_copies_rights() -> Verdict {
    let (port, carrier) = (trap::port_allocate(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    for disposition in [Disposition::CopySend, Disposition::MoveSend, Disposition::MoveSendOnce] {
        let result = Message::copy_to(carrier).right(port, disposition).send();
        same!(result, Err(Error::SendInvalidRight));
        same!(Message::to(port, disposition).send(), Err(Error::SendInvalidPort));
    }
    holds!(is_empty(carrier) && is_empty(port));
    Ok(())
}

fn one_bad_right_keeps_all_at_home() -> Verdict {
    let carrier = port::open(Capacity::DEFAULT)?;
    let (receive_right, send_right) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    for bad in 0..6 {
        let once = send_once_rights(receive_right, 1)?[0];
        let good = [
            Descriptor::port(receive_right, Disposition::MoveReceive as u8),
            Descriptor::port(send_right, Disposition::MoveSend as u8),
            Descriptor::port(once, Disposition::MoveSendOnce as u8),
            Descriptor::port(send_right, Disposition::MakeSend as u8),
            Descriptor::port(receive_right, Disposition::CopySend as u8),
        ];
        let mut message = Message::copy_to(carrier).reply(send_right, Disposition::MakeSendOnce);
        message.rights = good.to_vec();
        message.rights.insert(bad, Descriptor::port(Name(0x00f0_0777), Disposition::CopySend as u8));
        let before = (port::status(receive_right)?, port::status(send_right)?);
        same!(message.send(), Err(Error::SendInvalidRight));
        same!((port::status(receive_right)?, port::status(send_right)?), before);
        same!(port::kind(once)?.send_once, 1);
        same!((port::kind(send_right)?.receive, port::kind(send_right)?.send), (1, 1));
        holds!(is_empty(carrier), bad);
        Message::once_to(once).send()?;
        receive(receive_right)?;
    }
    Ok(())
}

fn a_right_is_moved_once_per_message() -> Verdict {
    let (port, carrier) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    let once = send_once_rights(port, 1)?[0];
    for (name, disposition) in
        [(port, Disposition::MoveSend), (port, Disposition::MoveReceive), (once, Disposition::MoveSendOnce)]
    {
        let message = Message::copy_to(carrier).right(name, disposition).right(name, disposition);
        same!(message.send(), Err(Error::SendInvalidRight));
    }
    same!((port::kind(port)?.receive, port::kind(port)?.send, port::kind(once)?.send_once), (1, 1, 1));
    // The destination takes a reference as well.
    let message = Message::to(port, Disposition::MoveSend).right(port, Disposition::MoveSend);
    same!(message.send(), Err(Error::SendInvalidRight));
    same!(port::kind(port)?.send, 1);
    holds!(is_empty(port) && is_empty(carrier));
    Ok(())
}

fn two_references_move_in_one_message() -> Verdict {
    let (port, carrier) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    port::mod_refs(port, RightKind::Send, 1)?;
    let message = Message::copy_to(carrier).right(port, Disposition::MoveSend).right(port, Disposition::MoveSend);
    message.send()?;
    same!((port::kind(port)?.receive, port::kind(port)?.send), (1, 0));
    let message = receive(carrier)?;
    same!((message.right(0), message.right(1)), (port, port));
    same!(port::kind(port)?.send, 2);
    Ok(())
}

fn sixty_four_rights_travel_together() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let mut ports = Vec::new();
    let mut message = Message::copy_to(right).body(b"sixty-four");
    for _ in 0..DESCRIPTORS_MAX {
        let port = trap::port_allocate(Capacity::DEFAULT)?;
        message = message.right(port, Disposition::MakeSend);
        ports.push(port);
    }
    message.send()?;
    let arrived = peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
    same!((arrived.rights.len(), arrived.body.as_slice()), (DESCRIPTORS_MAX, b"sixty-four".as_slice()));
    for (index, port) in ports.iter().enumerate() {
        let through = Message::copy_to(arrived.right(index)).id(index as u32);
        peer.hand.send(&through, NONE, 0)?.finish()?.result?;
        same!(receive_now(*port)?.header.id, index as u32);
    }
    message = message.right(ports[0], Disposition::MakeSend);
    same!(message.send(), Err(Error::SendTooLarge));
    Ok(())
}

fn null_travels_as_null() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let message = Message::copy_to(port).right(Name::NULL, Disposition::MoveSend).right(port, Disposition::CopySend);
    message.send()?;
    let message = receive(port)?;
    same!((message.right(0), message.right(1)), (Name::NULL, port));
    Ok(())
}

fn a_dead_name_travels_as_dead() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let carrier = port::open(Capacity::DEFAULT)?;
    // One right dies on its way, one is dead when it sets out.
    Message::copy_to(carrier).right(right, Disposition::CopySend).send()?;
    peer.deallocate(there)?;
    same!(notice::next()?, Notice::dead(right));
    same!(receive(carrier)?.right(0), Name::DEAD);
    Message::copy_to(carrier).right(right, Disposition::CopySend).send()?;
    same!(receive(carrier)?.right(0), Name::DEAD);
    same!(port::kind(right)?.dead, 1);
    Message::copy_to(carrier).right(right, Disposition::MoveSend).send()?;
    same!(receive(carrier)?.right(0), Name::DEAD);
    same!(port::kind(right), Err(Error::InvalidName));
    Ok(())
}

fn a_right_passes_three_tasks() -> Verdict {
    let (first, second) = (Peer::start()?, Peer::start()?);
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let in_first = first.give(port, Disposition::MakeSend)?;
    let here = first.take(in_first, Disposition::MoveSend)?;
    same!(here, port);
    same!(first.port_type(in_first), Err(Error::InvalidName));
    let in_second = second.give(here, Disposition::MoveSend)?;
    same!(port::kind(port)?.send, 0);
    second.hand.send(&Message::copy_to(in_second).id(6), NONE, 0)?.finish()?.result?;
    same!(receive(port)?.header.id, 6);
    same!(port::status(port)?.send_rights, 1);
    Ok(())
}

fn an_old_name_means_nothing() -> Verdict {
    let old = trap::port_allocate(Capacity::DEFAULT)?;
    port::deallocate(old)?;
    let mut names = Vec::new();
    for _ in 0..2000 {
        let name = trap::port_allocate(Capacity::DEFAULT)?;
        holds!(name != old);
        names.push(name);
    }
    holds!(names.iter().any(|name| name.index() == old.index()), old);
    same!(port::kind(old), Err(Error::InvalidName));
    same!(Message::make_to(old).send(), Err(Error::SendInvalidPort));
    Ok(())
}

fn names_are_not_reused_for_long() -> Verdict {
    let mut seen: Vec<Name> = Vec::new();
    for _ in 0..1500 {
        let name = trap::port_allocate(Capacity::DEFAULT)?;
        seen.push(name);
        port::deallocate(name)?;
    }
    seen.sort_unstable();
    holds!(seen.windows(2).all(|pair| pair[0] != pair[1]));
    Ok(())
}

fn names_mean_nothing_in_another_task() -> Verdict {
    let peer = Peer::start()?;
    let mut last = Name::NULL;
    for _ in 0..100 {
        last = peer.port(Capacity::DEFAULT)?;
    }
    same!(peer.port_type(last)?.receive, 1);
    same!(port::kind(last), Err(Error::InvalidName));
    same!(Message::make_to(last).send(), Err(Error::SendInvalidPort));
    same!(trap::port_deallocate(last), Err(Error::InvalidName));
    same!(peer.port_type(last)?.receive, 1);
    Ok(())
}

fn wild_names_mean_nothing() -> Verdict {
    let mut random = Random::new(0x5eed_0002);
    let mut wild = [Name::NULL, Name::DEAD, Name(0xfff0_0000), Name(0x000f_ffff), Name(0xfffe_ffff)].to_vec();
    // Indices far above those that the task uses.
    wild.extend((0..3000).map(|_| Name(random.next() as u32 | 0x000f_0000)));
    for name in wild {
        same!(trap::port_deallocate(name), Err(Error::InvalidName));
        same!(Message::copy_to(name).send_now(), Err(Error::SendInvalidPort));
        same!(receive_now(name).map(drop), Err(Error::ReceiveInvalidPort));
    }
    for name in [Name::NULL, Name(0x00ff_1234)] {
        same!(port::kind(name), Err(Error::InvalidName));
        same!(port::status(name), Err(Error::InvalidName));
        same!(port::set_capacity(name, Capacity::Zero), Err(Error::InvalidName));
        same!(port::mod_refs(name, RightKind::Send, 1), Err(Error::InvalidName));
    }
    Ok(())
}

fn deallocating_twice_fails() -> Verdict {
    let (port, other) = (trap::port_allocate(Capacity::DEFAULT)?, trap::port_allocate(Capacity::DEFAULT)?);
    port::deallocate(port)?;
    same!(trap::port_deallocate(port), Err(Error::InvalidName));
    same!(port::kind(other)?.receive, 1);
    Ok(())
}

fn references_have_a_maximum() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    port::mod_refs(port, RightKind::Send, UREFS_MAX as i32 - 1)?;
    same!(port::kind(port)?.send, UREFS_MAX);
    same!(port::mod_refs(port, RightKind::Send, 1), Err(Error::UrefsOverflow));
    same!(port::mod_refs(port, RightKind::Send, i32::MAX), Err(Error::UrefsOverflow));
    same!(port::add_send(port), Err(Error::UrefsOverflow));
    // By message: nothing overflows, whatever the kernel does with the message.
    Message::copy_to(port).right(port, Disposition::CopySend).send()?;
    let _ = receive_now(port);
    same!(port::kind(port)?.send, UREFS_MAX);
    port::mod_refs(port, RightKind::Send, -(UREFS_MAX as i32))?;
    same!(port::kind(port)?.send, 0);
    Ok(())
}

fn references_do_not_go_below_zero() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    same!(port::mod_refs(port, RightKind::Send, -2), Err(Error::InvalidValue));
    same!(port::mod_refs(port, RightKind::Send, i32::MIN), Err(Error::InvalidValue));
    same!(port::mod_refs(port, RightKind::Receive, 1), Err(Error::InvalidValue));
    same!(port::mod_refs(port, RightKind::Receive, -2), Err(Error::InvalidValue));
    same!(port::mod_refs(port, RightKind::SendOnce, -1), Err(Error::InvalidRight));
    same!(port::mod_refs(port, RightKind::DeadName, -1), Err(Error::InvalidRight));
    let unknown = routine::port_mod_refs(&MsgRpc, trap::task_self(), port, 99, -1, 0).map(drop);
    same!(unknown, Err(Error::InvalidValue));
    same!((port::kind(port)?.receive, port::kind(port)?.send), (1, 1));
    Ok(())
}

fn a_name_can_be_chosen_if_it_is_vacant() -> Verdict {
    let peer = Peer::start()?;
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let names = task::info(&MsgRpc, peer.task)?.results.info.names;
    let insert = |wish| {
        let right = Descriptor::port(port, Disposition::MakeSend as u8);
        routine::port_insert_right(&MsgRpc, peer.task, wish, 0, right).map(|reply| reply.results.name)
    };
    same!(insert(Name::new(1, 7)), Err(Error::NameExists));
    same!(insert(Name::DEAD), Err(Error::InvalidValue));
    same!(port::status(port)?.send_rights, 0);
    same!(insert(Name::new(500, 3)), Ok(Name::new(500, 3)));
    same!(insert(Name::new(501, 3)), Err(Error::RightExists));
    same!(peer.port_type(Name::new(500, 3))?.send, 1);
    same!(task::info(&MsgRpc, peer.task)?.results.info.names, names + 1);
    Ok(())
}

fn a_known_port_keeps_its_name() -> Verdict {
    let peer = Peer::start()?;
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let name = peer.give(port, Disposition::MakeSend)?;
    same!(peer.give(port, Disposition::MakeSend)?, name);
    same!(peer.port_type(name)?.send, 2);
    // The receive right joins them.
    let moved = Descriptor::port(port, Disposition::MoveReceive as u8);
    let arrived = routine::port_insert_right(&MsgRpc, peer.task, Name::NULL, 0, moved)?.results.name;
    same!(arrived, name);
    same!((peer.port_type(name)?.receive, peer.port_type(name)?.send), (1, 2));
    Ok(())
}

fn the_type_tells_every_kind() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let once = send_once_rights(port::open(Capacity::DEFAULT)?, 1)?[0];
    let kind = port::kind(right)?;
    same!((kind.name, kind.receive, kind.send, kind.send_once, kind.dead, kind.set), (right, 0, 1, 0, 0, 0));
    same!(port::kind(once)?.send_once, 1);
    port::mod_refs(right, RightKind::Send, 2)?;
    peer.deallocate(there)?;
    let kind = port::kind(right)?;
    same!((kind.receive, kind.send, kind.send_once, kind.dead), (0, 0, 0, 3));
    same!(port::kind(Name::NULL), Err(Error::InvalidName));
    Ok(())
}

fn a_send_right_does_not_receive() -> Verdict {
    let peer = Peer::start()?;
    let (_, right) = peer.open(Capacity::DEFAULT)?;
    same!(receive_now(right).map(drop), Err(Error::ReceiveInvalidPort));
    same!(port::status(right), Err(Error::NotReceiver));
    same!(port::set_capacity(right, Capacity::Zero), Err(Error::NotReceiver));
    same!(port::mod_refs(right, RightKind::Receive, -1), Err(Error::InvalidRight));
    Ok(())
}

fn reply_rights_are_checked() -> Verdict {
    let peer = Peer::start()?;
    let (_, right) = peer.open(Capacity::DEFAULT)?;
    let port = port::open(Capacity::DEFAULT)?;
    for (name, disposition) in [
        (right, Disposition::MakeSendOnce),
        (right, Disposition::MakeSend),
        (right, Disposition::MoveSendOnce),
        (Name(0x00f0_0777), Disposition::CopySend),
        (trap::port_allocate(Capacity::DEFAULT)?, Disposition::CopySend),
    ] {
        same!(Message::copy_to(port).reply(name, disposition).send(), Err(Error::SendInvalidReply));
    }
    let mut wrong = Message::copy_to(port).reply(right, Disposition::CopySend);
    wrong.header.bits = Header::bits_of(Disposition::CopySend as u8, 99);
    holds!(wrong.send().is_err());
    holds!(is_empty(port));
    same!(port::kind(right)?.send, 1);
    Message::copy_to(port).reply(right, Disposition::MoveSend).send()?;
    same!(port::kind(right), Err(Error::InvalidName));
    let back = receive(port)?.header.remote;
    same!(port::kind(back)?.send, 1);
    Ok(())
}

fn a_port_in_its_own_queue_leaves_nothing() -> Verdict {
    for capacity in [Capacity::DEFAULT, Capacity::Unbounded, Capacity::Bounded(1)] {
        let port = port::open(capacity)?;
        // Whether the kernel refuses it or destroys it, nothing may be left: the runner looks.
        match Message::copy_to(port).right(port, Disposition::MoveReceive).send_now() {
            Ok(()) => same!(port::kind(port)?.receive, 0),
            Err(_) => same!(port::kind(port)?.receive, 1),
        }
        port::deallocate(port)?;
    }
    Ok(())
}

fn two_ports_in_each_others_queues_leave_nothing() -> Verdict {
    for _ in 0..10 {
        let (one, two) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
        Message::copy_to(one).right(two, Disposition::MoveReceive).send()?;
        if Message::copy_to(two).right(one, Disposition::MoveReceive).send().is_ok() {
            same!((port::kind(one)?.receive, port::kind(two)?.receive), (0, 0));
        }
    }
    Ok(())
}

fn a_failed_send_keeps_references() -> Verdict {
    let (full, port) = (port::open(Capacity::Bounded(1))?, port::open(Capacity::DEFAULT)?);
    Message::copy_to(full).send()?;
    let once = send_once_rights(port, 1)?[0];
    let message = Message::to(full, Disposition::CopySend)
        .reply(port, Disposition::MakeSendOnce)
        .right(port, Disposition::MoveReceive)
        .right(once, Disposition::MoveSendOnce)
        .right(port, Disposition::MoveSend);
    let before = port::status(port)?;
    for timeout in [0, 5] {
        let result = message.send_with(portolan::abi::message::Options::SEND_TIMEOUT, timeout);
        same!(result, Err(Error::SendTimedOut));
        same!(port::status(port)?, before);
        same!((port::kind(port)?.receive, port::kind(port)?.send), (1, 1));
        same!(port::kind(once)?.send_once, 1);
    }
    same!(port::status(full)?.messages, 1);
    Ok(())
}
