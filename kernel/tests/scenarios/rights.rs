//! Rights: how they are made, counted, moved in messages, and given up.

use crate::harness::{Mailbox, Message, System, Task, WhenFull, no_right};
use portolan_abi::message::{DESCRIPTORS_MAX, Descriptor, Options, received_size};
use portolan_abi::notification::Kind;
use portolan_abi::port::{self, UREFS_MAX};
use portolan_abi::{Capacity, Disposition, Error, Name, RightKind, task as routine};

/// User references of the send right under a name.
fn sends(task: &Task, name: Name) -> u32 {
    task.port_type(name).map_or(0, |kind| kind.send)
}

/// Sends one right from the mailbox's sender; what comes out at the other end.
fn pass(mailbox: &Mailbox, name: Name, disposition: Disposition) -> (Name, Option<RightKind>) {
    let message = Message::to(mailbox.to).right(name, disposition);
    assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Ok(()));
    mailbox.receive().done().expect("the message").right(0)
}

#[test]
fn make_send_makes_a_send_right_from_the_receive_right() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.sender.port(Capacity::DEFAULT);
    let (name, kind) = pass(&mailbox, port, Disposition::MakeSend);
    assert_eq!(kind, Some(RightKind::Send));
    let status = mailbox.sender.status(port);
    assert_eq!((status.send_rights, status.make_send_count), (1, 1));
    assert_eq!(sends(&mailbox.sender, port), 0);
    assert_eq!(mailbox.receiver.send(Message::to(name).text("back"), WhenFull::Wait).done(), Ok(()));
    assert_eq!(mailbox.sender.receive(port).done().expect("the message").text(), "back");
}

#[test]
fn copy_send_leaves_the_senders_right_alone() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (port, there) = (mailbox.sender.port(Capacity::DEFAULT), mailbox.system.task("there"));
    let name = mailbox.sender.give_send(&there, port);
    let copy = there.give(&mailbox.receiver, name, Disposition::CopySend);
    assert_eq!((sends(&there, name), sends(&mailbox.receiver, copy)), (1, 1));
    assert_eq!(mailbox.sender.status(port).send_rights, 2);
}

#[test]
fn move_send_takes_one_reference_from_the_sender() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (port, there) = (mailbox.sender.port(Capacity::DEFAULT), mailbox.system.task("there"));
    let name = mailbox.sender.give_send(&there, port);
    there.port_mod_refs(name, RightKind::Send, 1).expect("a second reference");
    there.give(&mailbox.receiver, name, Disposition::MoveSend);
    assert_eq!(sends(&there, name), 1);
    there.give(&mailbox.receiver, name, Disposition::MoveSend);
    assert_eq!(there.port_type(name), Err(Error::InvalidName));
    assert_eq!(mailbox.sender.status(port).send_rights, 1);
}

#[test]
fn a_send_right_for_a_known_port_arrives_under_the_known_name() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.sender.port(Capacity::DEFAULT);
    let (first, _) = pass(&mailbox, port, Disposition::MakeSend);
    let (second, _) = pass(&mailbox, port, Disposition::MakeSend);
    assert_eq!((second, sends(&mailbox.receiver, first)), (first, 2));
    let status = mailbox.sender.status(port);
    assert_eq!((status.send_rights, status.make_send_count), (1, 2));
    // Also where the receiver of the right is the receiver of the port.
    let (home, kind) = pass(&mailbox, mailbox.to, Disposition::CopySend);
    assert_eq!((home, kind), (mailbox.port, Some(RightKind::Send)));
    assert_eq!(sends(&mailbox.receiver, mailbox.port), 1);
}

#[test]
fn each_send_once_right_has_its_own_name() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.sender.port(Capacity::DEFAULT);
    let (first, kind) = pass(&mailbox, port, Disposition::MakeSendOnce);
    let (second, _) = pass(&mailbox, port, Disposition::MakeSendOnce);
    assert_eq!(kind, Some(RightKind::SendOnce));
    assert_ne!(first, second);
    assert_eq!(mailbox.sender.status(port).send_once_rights, 2);
    let (moved, kind) = {
        let gone = mailbox.receiver.give(&mailbox.sender, first, Disposition::MoveSendOnce);
        assert_eq!(mailbox.receiver.port_type(first), Err(Error::InvalidName));
        (gone, mailbox.sender.port_type(gone).expect("its type").send_once)
    };
    assert_ne!(moved, port);
    assert_eq!(kind, 1);
}

#[test]
fn a_send_once_right_sends_once() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let once = mailbox.receiver.give(&mailbox.sender, mailbox.port, Disposition::MakeSendOnce);
    let send = || mailbox.sender.send(Message::by(once, Disposition::MoveSendOnce).text("only"), WhenFull::Wait).done();
    assert_eq!(send(), Ok(()));
    assert_eq!(send(), Err(Error::SendInvalidPort));
    assert_eq!(mailbox.take_all(), ["only"]);
    assert_eq!(mailbox.receiver.status(mailbox.port).send_once_rights, 0);
}

#[test]
fn a_receive_right_moves_with_the_messages_in_its_queue() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let moved = mailbox.sender.port(Capacity::DEFAULT);
    let client = mailbox.system.task("client");
    let to_moved = mailbox.sender.give_send(&client, moved);
    client.send(Message::to(to_moved).text("before"), WhenFull::Wait);
    let (name, kind) = pass(&mailbox, moved, Disposition::MoveReceive);
    assert_eq!(kind, Some(RightKind::Receive));
    client.send(Message::to(to_moved).text("after"), WhenFull::Wait);
    for text in ["before", "after"] {
        assert_eq!(mailbox.receiver.receive(name).done().expect("a message").text(), text);
    }
    assert_eq!(mailbox.sender.receive(moved).done().expect_err("no right"), Error::ReceiveInvalidPort);
}

#[test]
fn messages_queue_while_the_receive_right_is_on_its_way() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let moved = mailbox.sender.port(Capacity::DEFAULT);
    let client = mailbox.system.task("client");
    let to_moved = mailbox.sender.give_send(&client, moved);
    mailbox.sender.send(Message::to(mailbox.to).right(moved, Disposition::MoveReceive), WhenFull::Wait);
    assert_eq!(client.send(Message::to(to_moved).text("meanwhile"), WhenFull::Return).done(), Ok(()));
    let (name, _) = mailbox.receive().done().expect("the message").right(0);
    assert_eq!(mailbox.receiver.receive(name).done().expect("the message").text(), "meanwhile");
}

#[test]
fn send_rights_stay_when_the_receive_right_moves() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let moved = mailbox.sender.port(Capacity::DEFAULT);
    let kept = mailbox.sender.give_send(&mailbox.sender, moved);
    assert_eq!(kept, moved);
    let (name, _) = pass(&mailbox, moved, Disposition::MoveReceive);
    let kind = mailbox.sender.port_type(moved).expect("its type");
    assert_eq!((kind.receive, kind.send), (0, 1));
    assert_eq!(mailbox.sender.send(Message::to(moved).text("still"), WhenFull::Wait).done(), Ok(()));
    assert_eq!(mailbox.receiver.receive(name).done().expect("the message").text(), "still");
}

#[test]
fn a_receiver_wakes_when_its_right_moves_away() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let moved = mailbox.sender.port(Capacity::DEFAULT);
    let waiting = mailbox.sender.thread().receive(moved);
    assert!(waiting.waits());
    pass(&mailbox, moved, Disposition::MoveReceive);
    assert_eq!(waiting.done().expect_err("the right has moved"), Error::ReceivePortDied);
}

#[test]
fn moving_the_receive_right_starts_its_counts_again() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let moved = mailbox.sender.port(Capacity::DEFAULT);
    mailbox.sender.give_send(&mailbox.sender, moved);
    mailbox.sender.send(Message::to(moved), WhenFull::Wait);
    mailbox.sender.receive(moved).done().expect("the message");
    let before = mailbox.sender.status(moved);
    assert_eq!((before.make_send_count, before.sequence), (1, 1));
    let (name, _) = pass(&mailbox, moved, Disposition::MoveReceive);
    let after = mailbox.receiver.status(name);
    assert_eq!((after.make_send_count, after.sequence, after.send_rights), (0, 0, 1));
}

#[test]
fn no_right_is_made_from_one_that_is_not_held() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (only_send, only_receive) = (mailbox.to, mailbox.sender.port(Capacity::DEFAULT));
    let refused = [
        (only_send, Disposition::MakeSend),
        (only_send, Disposition::MakeSendOnce),
        (only_send, Disposition::MoveReceive),
        (only_send, Disposition::MoveSendOnce),
        (only_receive, Disposition::CopySend),
        (only_receive, Disposition::MoveSend),
        (only_receive, Disposition::MoveSendOnce),
        (Name::new(900, 3), Disposition::CopySend),
    ];
    for (name, disposition) in refused {
        let message = Message::to(mailbox.to).right(name, disposition);
        let result = mailbox.sender.send(message, WhenFull::Wait).done();
        assert_eq!(result, Err(Error::SendInvalidRight), "{disposition:?} of {name:?}");
    }
    assert_eq!((mailbox.messages(), sends(&mailbox.sender, mailbox.to)), (0, 1));
}

#[test]
fn a_right_moves_once_even_if_a_message_names_it_twice() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.sender.port(Capacity::DEFAULT);
    mailbox.sender.give_send(&mailbox.sender, port);
    let twice = |first, second| {
        let message = Message::to(mailbox.to).right(port, first).right(port, second);
        mailbox.sender.send(message, WhenFull::Wait).done()
    };
    use Disposition::{CopySend, MakeSend, MoveReceive, MoveSend};
    for (first, second) in
        [(MoveSend, MoveSend), (MoveSend, CopySend), (MoveReceive, MoveReceive), (MoveReceive, MakeSend)]
    {
        assert_eq!(twice(first, second), Err(Error::SendInvalidRight), "{first:?}, {second:?}");
        let kind = mailbox.sender.port_type(port).expect("its type");
        assert_eq!((kind.receive, kind.send), (1, 1), "{first:?}, {second:?}");
        assert_eq!(mailbox.sender.status(port).send_rights, 1);
    }
    assert_eq!(twice(CopySend, MoveSend), Ok(()));
    let message = mailbox.receive().done().expect("the message");
    assert_eq!(message.right(0), message.right(1));
    assert_eq!(sends(&mailbox.receiver, message.right(0).0), 2);
}

#[test]
fn one_bad_right_among_five_leaves_all_five_where_they_were() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let ports = [(); 5].map(|()| mailbox.sender.port(Capacity::DEFAULT));
    for bad in 0..5 {
        let mut message = Message::to(mailbox.to);
        for (number, port) in ports.iter().enumerate() {
            let disposition = if number == bad { Disposition::MoveSend } else { Disposition::MoveReceive };
            message = message.right(*port, disposition);
        }
        let result = mailbox.sender.send(message, WhenFull::Wait).done();
        assert_eq!(result, Err(Error::SendInvalidRight), "number {bad} is bad");
        assert!(ports.iter().all(|port| mailbox.sender.status(*port).send_rights == 0));
    }
    assert_eq!(mailbox.messages(), 0);
}

#[test]
fn the_null_right_travels_as_null() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let message = Message::to(mailbox.to).descriptor(no_right());
    assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Ok(()));
    assert_eq!(mailbox.receive().done().expect("the message").right(0), (Name::NULL, None));
}

#[test]
fn a_right_whose_port_dies_on_the_way_arrives_dead() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    for disposition in [Disposition::MakeSend, Disposition::MakeSendOnce] {
        let port = mailbox.sender.port(Capacity::DEFAULT);
        mailbox.sender.send(Message::to(mailbox.to).right(port, disposition), WhenFull::Wait);
        mailbox.sender.port_deallocate(port).expect("the end of the port");
        let names = mailbox.receiver.info().names;
        assert_eq!(mailbox.receive().done().expect("the message").right(0).0, Name::DEAD, "{disposition:?}");
        assert_eq!(mailbox.receiver.info().names, names);
    }
}

#[test]
fn a_dead_name_can_be_passed_on_and_arrives_dead() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.receiver.port(Capacity::DEFAULT);
    let name = mailbox.receiver.give_send(&mailbox.sender, port);
    mailbox.receiver.port_deallocate(port).expect("the end of the port");
    assert_eq!(pass(&mailbox, name, Disposition::CopySend).0, Name::DEAD);
    assert_eq!(pass(&mailbox, Name::DEAD, Disposition::CopySend).0, Name::DEAD);
    assert_eq!(mailbox.sender.port_type(name).expect("a dead name").dead, 1);
    assert_eq!(pass(&mailbox, name, Disposition::MoveSend).0, Name::DEAD);
    assert_eq!(mailbox.sender.port_type(name), Err(Error::InvalidName));
}

#[test]
fn sixty_four_rights_travel_in_one_message_and_no_more() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let ports: Vec<Name> = (0..=DESCRIPTORS_MAX).map(|_| mailbox.sender.port(Capacity::DEFAULT)).collect();
    let message = |count: usize| {
        let empty = Message::to(mailbox.to);
        ports[..count].iter().fold(empty, |message, port| message.right(*port, Disposition::MakeSend))
    };
    let over = mailbox.sender.send(message(DESCRIPTORS_MAX + 1), WhenFull::Wait);
    assert_eq!(over.done(), Err(Error::SendTooLarge));
    let full = mailbox.sender.send(message(DESCRIPTORS_MAX), WhenFull::Wait);
    assert_eq!(full.done(), Ok(()));
    let room = received_size(message(DESCRIPTORS_MAX).bytes().len()) as u32;
    let arrived = mailbox.receiver.receive_with(mailbox.port, Options::empty(), 0, room).done().expect("the message");
    let mut names: Vec<Name> = arrived.rights.iter().map(|right| right.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), DESCRIPTORS_MAX);
    assert!(ports[..DESCRIPTORS_MAX].iter().all(|port| mailbox.sender.status(*port).send_rights == 1));
}

#[test]
fn unknown_descriptors_are_refused() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let good = Descriptor::port(mailbox.to, Disposition::CopySend as u8);
    let bad = [
        Descriptor { kind: 1, ..good },
        Descriptor { kind: 255, ..good },
        Descriptor { flags: 1, ..good },
        Descriptor { address: 8, ..good },
        Descriptor { size: 1, ..good },
        Descriptor { disposition: 0, ..good },
        Descriptor { disposition: 22, ..good },
        Descriptor { disposition: 255, ..good },
    ];
    for descriptor in bad {
        let message = Message::to(mailbox.to).descriptor(good).descriptor(descriptor);
        assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Err(Error::SendInvalidType), "{descriptor:?}");
    }
    assert_eq!((mailbox.messages(), mailbox.receiver.status(mailbox.port).send_rights), (0, 1));
}

#[test]
fn user_references_have_a_maximum() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let add = |delta| mailbox.sender.port_mod_refs(mailbox.to, RightKind::Send, delta);
    assert_eq!(add(UREFS_MAX as i32 - 1), Ok(()));
    assert_eq!(add(1), Err(Error::UrefsOverflow));
    assert_eq!(add(i32::MAX), Err(Error::UrefsOverflow));
    assert_eq!(sends(&mailbox.sender, mailbox.to), UREFS_MAX);
    assert_eq!(add(-(UREFS_MAX as i32)), Ok(()));
    assert_eq!(mailbox.sender.port_type(mailbox.to), Err(Error::InvalidName));
    assert_eq!(mailbox.receiver.status(mailbox.port).send_rights, 0);
}

#[test]
fn references_cannot_fall_below_zero_or_change_kind() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    assert_eq!(sender.port_mod_refs(to, RightKind::Send, -2), Err(Error::InvalidValue));
    assert_eq!(sender.port_mod_refs(to, RightKind::Send, i32::MIN), Err(Error::InvalidValue));
    assert_eq!(sender.port_mod_refs(to, RightKind::Receive, -1), Err(Error::InvalidRight));
    assert_eq!(sender.port_mod_refs(to, RightKind::DeadName, 1), Err(Error::InvalidRight));
    assert_eq!(sender.port_mod_refs(Name::new(77, 7), RightKind::Send, 1), Err(Error::InvalidName));
    let receiver = &mailbox.receiver;
    assert_eq!(receiver.port_mod_refs(mailbox.port, RightKind::Receive, 1), Err(Error::InvalidValue));
    assert_eq!(receiver.port_mod_refs(mailbox.port, RightKind::Receive, -2), Err(Error::InvalidValue));
    let unknown = port::port_mod_refs(&**mailbox.system.first(), sender.kernel_port(), to, 99, 1, 0);
    assert_eq!(unknown.map(|_| ()), Err(Error::InvalidValue));
    assert_eq!(sends(sender, to), 1);
}

#[test]
fn deallocate_takes_send_references_before_the_receive_right() {
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(Capacity::DEFAULT);
    task.give_send(&task, port);
    task.give_send(&task, port);
    for expected in [(1, 2), (1, 1), (1, 0)] {
        let kind = task.port_type(port).expect("its type");
        assert_eq!((kind.receive, kind.send), expected);
        task.port_deallocate(port).expect("one right");
    }
    assert_eq!(task.port_type(port), Err(Error::InvalidName));
}

#[test]
fn a_send_once_right_that_is_dropped_tells_its_port() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let once = mailbox.receiver.give(&mailbox.sender, mailbox.port, Disposition::MakeSendOnce);
    assert_eq!(mailbox.sender.port_deallocate(once), Ok(()));
    let notice = mailbox.receiver.receive_now(mailbox.port).done().expect("a notice");
    assert_eq!(notice.header.id, Kind::SendOnce as u32);
    assert_eq!(mailbox.take(), Err(Error::ReceiveTimedOut));
}

#[test]
fn every_way_to_lose_a_send_once_right_gives_exactly_one_notice() {
    let mailbox = Mailbox::new(Capacity::Bounded(9));
    let holder = mailbox.system.task("holder");
    // One is held by a task that dies, one lies in the queue of a port that dies with it.
    mailbox.receiver.give(&holder, mailbox.port, Disposition::MakeSendOnce);
    let inner = holder.port(Capacity::DEFAULT);
    let to_inner = holder.give_send(&mailbox.receiver, inner);
    let message = Message::to(to_inner).right(mailbox.port, Disposition::MakeSendOnce);
    mailbox.receiver.send(message, WhenFull::Wait).done().expect("a send");
    assert_eq!(mailbox.receiver.status(mailbox.port).send_once_rights, 2);
    holder.terminate();
    let mut notices = 0;
    while let Ok(notice) = mailbox.receiver.receive_now(mailbox.port).done() {
        assert_eq!(notice.header.id, Kind::SendOnce as u32);
        notices += 1;
    }
    assert_eq!(notices, 2);
}

#[test]
fn the_reply_right_arrives_as_the_header_says() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.sender.port(Capacity::DEFAULT);
    mailbox.sender.give_send(&mailbox.sender, port);
    let cases = [
        (Disposition::MakeSend, RightKind::Send),
        (Disposition::MakeSendOnce, RightKind::SendOnce),
        (Disposition::CopySend, RightKind::Send),
        (Disposition::MoveSend, RightKind::Send),
    ];
    for (disposition, kind) in cases {
        let message = Message::to(mailbox.to).reply(port, disposition);
        mailbox.sender.send(message, WhenFull::Wait).done().expect("a send");
        let arrived = mailbox.receive().done().expect("the message");
        assert_eq!(arrived.header.remote_disposition(), kind as u8, "{disposition:?}");
        let expected = mailbox.receiver.port_type(arrived.reply_right()).expect("its type");
        assert_eq!(expected.send_once == 1, kind == RightKind::SendOnce);
    }
    assert_eq!(sends(&mailbox.sender, port), 0);
}

#[test]
fn a_bad_reply_right_is_refused() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.sender.port(Capacity::DEFAULT);
    let cases = [
        (port, Disposition::CopySend),
        (port, Disposition::MoveSendOnce),
        (mailbox.to, Disposition::MakeSendOnce),
        (Name::new(500, 5), Disposition::MakeSend),
        (port, Disposition::MoveReceive),
    ];
    for (reply, disposition) in cases {
        let message = Message::to(mailbox.to).reply(reply, disposition);
        let result = mailbox.sender.send(message, WhenFull::Wait).done();
        assert_eq!(result, Err(Error::SendInvalidReply), "{disposition:?} of {reply:?}");
    }
    assert_eq!((mailbox.messages(), mailbox.sender.status(port).send_once_rights), (0, 0));
}

#[test]
fn the_destination_must_be_a_right_to_send() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.sender.port(Capacity::DEFAULT);
    let cases = [
        (port, Disposition::CopySend),
        (port, Disposition::MoveSendOnce),
        (mailbox.to, Disposition::MoveSendOnce),
        (mailbox.to, Disposition::MakeSend),
    ];
    for (name, disposition) in cases {
        let result = mailbox.sender.send(Message::by(name, disposition), WhenFull::Wait).done();
        assert_eq!(result, Err(Error::SendInvalidPort), "{disposition:?} of {name:?}");
    }
}

#[test]
fn moving_the_destination_right_gives_it_up_with_the_message() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let last = Message::by(mailbox.to, Disposition::MoveSend).text("last");
    assert_eq!(mailbox.sender.send(last, WhenFull::Wait).done(), Ok(()));
    assert_eq!(mailbox.sender.port_type(mailbox.to), Err(Error::InvalidName));
    assert_eq!(mailbox.take_all(), ["last"]);
    assert_eq!(mailbox.receiver.status(mailbox.port).send_rights, 0);
}

#[test]
fn bits_of_the_header_that_mean_nothing_are_refused() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    for bits in [1 << 16, 1 << 31, 0xffff_0000] {
        let mut message = Message::to(mailbox.to);
        message.header.bits |= bits;
        let result = mailbox.sender.send(message, WhenFull::Wait).done();
        assert_eq!(result, Err(Error::SendInvalidHeader), "{bits:#x}");
    }
    for disposition in [0, 15, 22, 255] {
        let mut message = Message::to(mailbox.to);
        message.header.bits = disposition;
        let result = mailbox.sender.send(message, WhenFull::Wait).done();
        assert!(matches!(result, Err(Error::SendInvalidHeader | Error::SendInvalidPort)), "{disposition}: {result:?}");
    }
    assert_eq!(mailbox.messages(), 0);
}

#[test]
fn a_message_that_is_not_sent_gives_every_right_back() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let receive = sender.port(Capacity::DEFAULT);
    let once = mailbox.receiver.give(sender, mailbox.port, Disposition::MakeSendOnce);
    let other = mailbox.receiver.port(Capacity::DEFAULT);
    let send = mailbox.receiver.give_send(sender, other);
    let message = || {
        Message::by(to, Disposition::MoveSend)
            .reply(receive, Disposition::MakeSendOnce)
            .right(send, Disposition::MoveSend)
            .right(once, Disposition::MoveSendOnce)
            .right(receive, Disposition::MoveReceive)
    };
    let names = sender.info().names;
    for policy in [WhenFull::Return, WhenFull::WaitMs(10)] {
        let pending = sender.send(message(), policy);
        mailbox.system.advance_ms(10);
        assert_eq!(pending.done(), Err(Error::SendTimedOut));
        assert_eq!((sends(sender, to), sends(sender, send)), (1, 1));
        assert_eq!(sender.port_type(once).expect("still ours").send_once, 1);
        assert_eq!(sender.status(receive).send_once_rights, 0);
        assert_eq!(sender.info().names, names);
    }
    mailbox.take().expect("the first message");
    assert_eq!(sender.send(message(), WhenFull::Return).done(), Ok(()));
    assert_eq!(sender.info().names, names - 4);
}

#[test]
fn what_a_waiting_send_holds_is_out_of_reach_until_it_ends() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let gift = mailbox.sender.port(Capacity::DEFAULT);
    let waiting = mailbox.sender.thread();
    let message = Message::to(mailbox.to).right(gift, Disposition::MoveReceive);
    let send = waiting.send(message, WhenFull::WaitMs(10));
    assert_eq!(mailbox.sender.receive_now(gift).done().expect_err("on its way"), Error::ReceiveInvalidPort);
    assert_eq!(mailbox.sender.port_deallocate(gift), Err(Error::InvalidName));
    mailbox.system.advance_ms(10);
    assert_eq!(send.done(), Err(Error::SendTimedOut));
    assert_eq!(mailbox.sender.port_type(gift).expect("ours again").receive, 1);
}

#[test]
fn a_port_cannot_be_sent_into_its_own_queue() {
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(Capacity::DEFAULT);
    task.give_send(&task, port);
    let message = Message::to(port).right(port, Disposition::MoveReceive);
    assert_eq!(task.send(message, WhenFull::Wait).done(), Err(Error::SendInvalidRight));
    let kind = task.port_type(port).expect("its type");
    assert_eq!((kind.receive, kind.send), (1, 1));
}

#[test]
fn two_ports_cannot_be_sent_into_each_others_queues() {
    let system = System::boot();
    let task = system.task("task");
    let ports = [(); 3].map(|()| task.port(Capacity::DEFAULT));
    ports.iter().for_each(|port| assert_eq!(task.give_send(&task, *port), *port));
    let put = |inner: usize, outer: usize| {
        let message = Message::to(ports[outer]).right(ports[inner], Disposition::MoveReceive);
        task.send(message, WhenFull::Wait).done()
    };
    assert_eq!(put(0, 1), Ok(()));
    assert_eq!(put(1, 2), Ok(()));
    assert_eq!(put(2, 0), Err(Error::SendInvalidRight));
    assert_eq!(task.port_type(ports[2]).expect("its type").receive, 1);
    // Taking the last one apart ends all that is in it.
    task.port_deallocate(ports[2]).expect("the send right");
    task.port_deallocate(ports[2]).expect("the receive right");
    assert!(ports.iter().all(|port| task.port_type(*port).is_err() || task.port_type(*port).unwrap().dead > 0));
}

#[test]
fn port_insert_right_gives_a_right_to_another_task() {
    let system = System::boot();
    let (giver, taker) = (system.task("giver"), system.task("taker"));
    let port = giver.port(Capacity::DEFAULT);
    let first = giver.give_send(&taker, port);
    assert_eq!(giver.give_send(&taker, port), first);
    assert_eq!(sends(&taker, first), 2);
    let once = giver.give(&taker, port, Disposition::MakeSendOnce);
    assert_eq!(taker.port_type(once).expect("its type").send_once, 1);
    let received = giver.give(&taker, port, Disposition::MoveReceive);
    assert_eq!(received, first);
    let kind = taker.port_type(first).expect("its type");
    assert_eq!((kind.receive, kind.send), (1, 2));
}

#[test]
fn a_name_is_not_dealt_out_twice() {
    let system = System::boot();
    let limits = portolan_abi::task::Limits { memory: 4 << 20, ports: 3000, frames: 100 };
    let task = system.task_with("task", limits).expect("a task");
    system.unchecked(|| {
        let mut names: Vec<Name> = (0..2500).map(|_| task.port(Capacity::Zero)).collect();
        for name in names.iter().step_by(2) {
            task.port_deallocate(*name).expect("ours");
        }
        names.extend((0..1250).map(|_| task.port(Capacity::Zero)));
        let total = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), total);
    });
}

#[test]
fn a_reference_that_was_not_sent_joins_those_that_stayed() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let (sender, other) = (&mailbox.sender, mailbox.receiver.port(Capacity::DEFAULT));
    let name = mailbox.receiver.give_send(sender, other);
    sender.port_mod_refs(name, RightKind::Send, 2).expect("three references");
    let message = Message::to(mailbox.to).right(name, Disposition::MoveSend).right(name, Disposition::MoveSend);
    let waiting = sender.thread().send(message, WhenFull::WaitMs(10));
    assert_eq!((sends(sender, name), mailbox.receiver.status(other).send_rights), (1, 3));
    mailbox.system.advance_ms(10);
    assert_eq!(waiting.done(), Err(Error::SendTimedOut));
    assert_eq!((sends(sender, name), mailbox.receiver.status(other).send_rights), (3, 1));
}

#[test]
fn a_reference_that_was_not_sent_comes_back_even_if_the_rest_is_gone() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let (sender, other) = (&mailbox.sender, mailbox.receiver.port(Capacity::DEFAULT));
    let name = mailbox.receiver.give_send(sender, other);
    sender.port_mod_refs(name, RightKind::Send, 1).expect("two references");
    let message = Message::to(mailbox.to).right(name, Disposition::MoveSend);
    let waiting = sender.thread().send(message, WhenFull::WaitMs(10));
    assert_eq!(sender.port_deallocate(name), Ok(()));
    assert_eq!(sender.port_type(name), Err(Error::InvalidName));
    mailbox.system.advance_ms(10);
    assert_eq!(waiting.done(), Err(Error::SendTimedOut));
    assert_eq!((sends(sender, name), mailbox.receiver.status(other).send_rights), (1, 1));
}

#[test]
fn a_change_of_references_by_nothing_changes_nothing() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let once = mailbox.receiver.give(&mailbox.sender, mailbox.port, Disposition::MakeSendOnce);
    assert_eq!(mailbox.sender.port_mod_refs(mailbox.to, RightKind::Send, 0), Ok(()));
    assert_eq!(mailbox.sender.port_mod_refs(once, RightKind::SendOnce, 0), Ok(()));
    assert_eq!(mailbox.receiver.port_mod_refs(mailbox.port, RightKind::Receive, 0), Ok(()));
    assert_eq!(mailbox.sender.port_mod_refs(once, RightKind::SendOnce, 1), Err(Error::InvalidValue));
    let status = mailbox.receiver.status(mailbox.port);
    assert_eq!((status.send_rights, status.send_once_rights), (1, 1));
    assert_eq!(mailbox.sender.port_mod_refs(once, RightKind::SendOnce, -1), Ok(()));
    assert_eq!(mailbox.sender.port_type(once), Err(Error::InvalidName));
}

#[test]
fn a_right_that_would_overflow_its_name_is_refused_or_absorbed() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    sender.port_mod_refs(to, RightKind::Send, UREFS_MAX as i32 - 1).expect("as many as can be");
    // By request: refused, and the right is released.
    let right = Descriptor::port(to, Disposition::CopySend as u8);
    let own = sender.task_self();
    let refused = port::port_insert_right(&**sender, own, Name::NULL, 0, right);
    assert_eq!(refused.map(|_| ()), Err(Error::UrefsOverflow));
    // In a message: it arrives, and the count stays.
    let back = sender.port(Capacity::DEFAULT);
    let to_back = sender.give_send(&mailbox.receiver, back);
    let message = Message::to(to_back).right(mailbox.port, Disposition::MakeSend);
    mailbox.receiver.send(message, WhenFull::Wait).done().expect("a send");
    assert_eq!(sender.receive_now(back).done().expect("the message").right(0).0, to);
    assert_eq!(sends(sender, to), UREFS_MAX);
    assert_eq!(mailbox.receiver.status(mailbox.port).send_rights, 1);
}

#[test]
fn a_name_space_holds_a_million_names_and_then_says_so() {
    let system = System::boot();
    let limits = routine::Limits { memory: 1 << 30, ports: 10, frames: 200 };
    let task = system.task_with("task", limits).expect("a task");
    let (port, many) = (task.port(Capacity::DEFAULT), task.port(Capacity::DEFAULT));
    task.give_send(&task, port);
    let rights = (0..DESCRIPTORS_MAX).map(|_| Descriptor::port(many, Disposition::MakeSendOnce as u8));
    let message = Message { rights: rights.collect(), ..Message::to(port) };
    let room = received_size(message.bytes().len()) as u32;
    system.unchecked(|| {
        let rounds = (Name::INDEX_MAX as usize).div_ceil(DESCRIPTORS_MAX);
        for round in 0..=rounds {
            task.send(message.clone(), WhenFull::Wait).done().expect("a send");
            match task.receive_with(port, Options::empty(), 0, room).done() {
                Ok(_) => assert!(round < rounds, "more names than there can be"),
                Err(error) => {
                    assert_eq!((error, round + 1 >= rounds), (Error::ReceiveNoSpace, true), "round {round}");
                    break;
                }
            }
        }
        let one = Message::to(port).right(many, Disposition::MakeSendOnce);
        task.send(one, WhenFull::Wait).done().expect("a send");
        system.end_tasks();
    });
}

// What a send that failed gives back.

#[test]
fn a_send_once_right_is_a_dead_name_from_the_death_on_whether_looked_at_or_not() {
    for looked_at in [false, true] {
        let mailbox = Mailbox::new(Capacity::Unbounded);
        let other = mailbox.system.task("other");
        let once = other.give(&mailbox.sender, other.port(Capacity::Zero), Disposition::MakeSendOnce);
        other.terminate();
        if looked_at {
            assert_eq!(mailbox.sender.port_type(once).expect("a name").dead, 1);
        }
        let message = Message::to(mailbox.to).right(once, Disposition::CopySend).right(once, Disposition::MoveSend);
        assert_eq!(mailbox.sender.send(message, WhenFull::Return).done(), Ok(()), "looked at: {looked_at}");
        let message = mailbox.receiver.receive_now(mailbox.port).done().expect("the message");
        assert_eq!(message.right(0), (Name::DEAD, Some(RightKind::Send)));
        assert_eq!(message.right(1), (Name::DEAD, Some(RightKind::Send)));
        assert_eq!(mailbox.sender.port_type(once), Err(Error::InvalidName));
    }
}

#[test]
fn references_that_come_back_do_not_pass_the_maximum() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let right = mailbox.receiver.give_send(&mailbox.sender, mailbox.receiver.port(Capacity::Zero));
    mailbox.sender.port_mod_refs(right, RightKind::Send, UREFS_MAX as i32 - 1).expect("as many as there can be");
    let message = Message::to(mailbox.to).right(right, Disposition::MoveSend);
    let send = mailbox.sender.thread().send(message, WhenFull::WaitMs(10));
    mailbox.sender.port_mod_refs(right, RightKind::Send, 1).expect("one has gone");
    mailbox.system.advance_ms(10);
    assert_eq!(send.done(), Err(Error::SendTimedOut));
    assert_eq!(mailbox.sender.port_type(right).expect("a send right").send, UREFS_MAX);
}

#[test]
fn rights_made_for_a_message_that_failed_count_only_where_they_were_made() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let (sender, receiver) = (&mailbox.sender, &mailbox.receiver);
    let port = sender.port(Capacity::DEFAULT);
    let message = Message::to(mailbox.to).right(port, Disposition::MakeSend);
    let send = sender.thread().send(message, WhenFull::WaitMs(10));
    assert_eq!(sender.status(port).make_send_count, 1);
    let moved = sender.give(receiver, port, Disposition::MoveReceive);
    receiver.give_send(sender, moved);
    mailbox.system.advance_ms(10);
    assert_eq!(send.done(), Err(Error::SendTimedOut));
    assert_eq!(receiver.status(moved).make_send_count, 1);
}

#[test]
fn a_right_made_for_a_message_that_failed_does_not_count_below_nothing() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let sender = &mailbox.sender;
    let (port, way) = (sender.port(Capacity::DEFAULT), sender.port(Capacity::DEFAULT));
    sender.give_send(sender, port);
    let message = Message::to(mailbox.to).right(port, Disposition::MakeSend);
    let send = sender.thread().send(message, WhenFull::WaitMs(10));
    assert_eq!(sender.status(port).make_send_count, 2);
    // It goes and comes back, under its name: the count begins anew.
    let moving = Message::by(way, Disposition::MakeSend).right(port, Disposition::MoveReceive);
    sender.send(moving, WhenFull::Return).done().expect("on its way");
    assert_eq!(sender.receive(way).done().expect("back").right(0), (port, Some(RightKind::Receive)));
    assert_eq!(sender.status(port).make_send_count, 0);
    mailbox.system.advance_ms(10);
    assert_eq!((send.done(), sender.status(port).make_send_count), (Err(Error::SendTimedOut), 0));
}

/// What of a right a task has under one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Has {
    receive: bool,
    sends: u32,
}

impl Has {
    /// What is left once a message has taken this; `None`: it cannot.
    fn after(self, how: Disposition) -> Option<Has> {
        let Has { receive, sends } = self;
        match how {
            Disposition::MakeSend | Disposition::MakeSendOnce => receive.then_some(self),
            Disposition::MoveReceive => receive.then_some(Has { receive: false, sends }),
            Disposition::CopySend => (sends > 0).then_some(self),
            Disposition::MoveSend => Some(Has { receive, sends: sends.checked_sub(1)? }),
            Disposition::MoveSendOnce => None,
        }
    }
}

/// A name with this, of a port to which someone else can send, too.
fn name_with(mailbox: &Mailbox, has: Has) -> Name {
    let Mailbox { sender, receiver, .. } = mailbox;
    let owner = if has.receive { sender } else { receiver };
    let port = owner.port(Capacity::DEFAULT);
    let names: Vec<Name> = (0..has.sends).map(|_| owner.give_send(sender, port)).collect();
    names.first().copied().unwrap_or(port)
}

fn has(task: &Task, name: Name) -> Has {
    task.port_type(name)
        .map_or(Has { receive: false, sends: 0 }, |kind| Has { receive: kind.receive > 0, sends: kind.send })
}

const DISPOSITIONS: [Disposition; 6] = [
    Disposition::MoveReceive,
    Disposition::MoveSend,
    Disposition::MoveSendOnce,
    Disposition::CopySend,
    Disposition::MakeSend,
    Disposition::MakeSendOnce,
];

/// A message takes rights in the order of its header and descriptors, and what one has taken the next
/// does not find; if one is not there, all are back.
#[test]
fn rights_under_one_name_are_taken_one_after_the_other() {
    let before_all = [true, false].into_iter().flat_map(|receive| (0..3).map(move |sends| Has { receive, sends }));
    let replies: Vec<Option<Disposition>> = DISPOSITIONS.into_iter().map(Some).chain([None]).collect();
    for before in before_all.filter(|has| has.receive || has.sends > 0) {
        for reply in &replies {
            let mailbox = Mailbox::new(Capacity::Unbounded);
            mailbox.system.unchecked(|| {
                for pair in DISPOSITIONS.into_iter().flat_map(|one| DISPOSITIONS.map(|other| [one, other])) {
                    let name = name_with(&mailbox, before);
                    let mut message = Message::to(mailbox.to).right(name, pair[0]).right(name, pair[1]);
                    if let Some(how) = *reply {
                        message = message.reply(name, how);
                    }
                    let replied = match *reply {
                        None => Some(before),
                        Some(Disposition::MoveReceive) => None,
                        Some(how) => before.after(how),
                    };
                    let after = replied.and_then(|left| left.after(pair[0])?.after(pair[1]));
                    let expected = match (replied, after) {
                        (None, _) => Err(Error::SendInvalidReply),
                        (_, None) => Err(Error::SendInvalidRight),
                        _ => Ok(()),
                    };
                    let sent = mailbox.sender.send(message, WhenFull::Return).done();
                    assert_eq!(sent, expected, "{before:?}, {reply:?}, {pair:?}");
                    assert_eq!(has(&mailbox.sender, name), after.unwrap_or(before), "{before:?}, {reply:?}, {pair:?}");
                    if before.receive && after.is_none() {
                        let status = mailbox.sender.status(name);
                        let made = (status.send_rights, status.send_once_rights, status.make_send_count);
                        assert_eq!(made, (before.sends.min(1), 0, before.sends), "{reply:?}, {pair:?}");
                    }
                    if let Ok(received) = mailbox.receiver.receive_now(mailbox.port).done() {
                        let kinds = [0, 1].map(|number| received.right(number).1);
                        assert_eq!(kinds, pair.map(|how| Some(how.arrives_as())));
                    }
                }
            });
        }
    }
}

/// The right that a message goes through is taken first.
#[test]
fn a_name_can_be_destination_reply_and_freight_at_once() {
    let mailbox = Mailbox::new(Capacity::Unbounded);
    let task = &mailbox.sender;
    for sends in 0..3 {
        let before = Has { receive: true, sends };
        for to in DISPOSITIONS {
            for pair in DISPOSITIONS.into_iter().flat_map(|one| DISPOSITIONS.map(|other| [one, other])) {
                let name = name_with(&mailbox, before);
                let message = Message::by(name, to).reply(name, pair[0]).right(name, pair[1]);
                let sent = task.send(message, WhenFull::Return).done();
                let through = before.after(to);
                let replied =
                    through.filter(|_| pair[0] != Disposition::MoveReceive).and_then(|left| left.after(pair[0]));
                // Its receive right would lie in its own queue.
                let after =
                    replied.filter(|_| pair[1] != Disposition::MoveReceive).and_then(|left| left.after(pair[1]));
                let expected = match (through, replied, after) {
                    _ if to == Disposition::MoveReceive => Err(Error::SendInvalidHeader),
                    (None, ..) => Err(Error::SendInvalidPort),
                    (_, None, _) => Err(Error::SendInvalidReply),
                    (.., None) => Err(Error::SendInvalidRight),
                    _ => Ok(()),
                };
                assert_eq!(sent, expected, "{before:?}, {to:?}, {pair:?}");
                let left = if sent.is_ok() { after.expect("sent") } else { before };
                assert_eq!(has(task, name), left, "{before:?}, {to:?}, {pair:?}");
                port::port_destroy(&**task, task.task_self(), name, 0).expect("its end");
            }
        }
    }
}

#[test]
fn a_ring_of_a_thousand_ports_is_refused_where_it_closes() {
    let system = System::boot();
    let limits = routine::Limits { memory: 8 << 20, ports: 1_100, frames: 100 };
    let task = system.task_with("task", limits).expect("a task");
    system.unchecked(|| {
        let ports: Vec<Name> = (0..1_000).map(|_| task.port(Capacity::Bounded(1))).collect();
        for pair in ports.windows(2) {
            let inner = Message::by(pair[1], Disposition::MakeSend).right(pair[0], Disposition::MoveReceive);
            assert_eq!(task.give_send(&task, pair[0]), pair[0]);
            task.send(inner, WhenFull::Return).done().expect("a deeper port");
        }
        let closing = Message::to(ports[0]).right(ports[999], Disposition::MoveReceive);
        assert_eq!(task.send(closing, WhenFull::Return).done(), Err(Error::SendInvalidRight));
        assert_eq!(has(&task, ports[999]), Has { receive: true, sends: 0 });
        task.port_deallocate(ports[999]).expect("the end of all");
        assert_eq!(task.port_type(ports[0]).expect("a dead name").dead, 1);
    });
}
