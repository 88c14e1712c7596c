//! Memory and arrays of rights in messages: all of it arrives, or all of it stays.

use crate::harness::{Mailbox, Message, ORDINARY, Received, System, Task, WhenFull, no_right};
use portolan_abi::message::{Descriptor, RIGHTS_MAX};
use portolan_abi::task::Limits;
use portolan_abi::vm::{self, Inheritance, Statistics};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, RightKind};

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;
const FAR: u64 = 1 << 46;
const BOUNDED: Capacity = Capacity::Bounded(1);

fn map(task: &Task, address: u64, pages: u64) -> Result<()> {
    let usable = Protection::READ_WRITE.bits();
    let copy = Inheritance::Copy as u32;
    vm::vm_map(&**task, task.task_self(), address, pages * PAGE, 0, usable, usable, copy, 0, no_right()).map(|_| ())
}

fn unmap(task: &Task, address: u64, size: u64) {
    vm::vm_deallocate(&**task, task.task_self(), address, size).expect("unmapped");
}

fn is_mapped(task: &Task, address: u64) -> bool {
    let info = vm::vm_region(&**task, task.task_self(), address).map(|reply| reply.results.info);
    info.is_ok_and(|info| info.address <= address)
}

fn statistics(task: &Task) -> Statistics {
    vm::vm_statistics(&**task, task.task_self()).expect("figures").results.statistics
}

/// A mailbox whose sender has pages, each full of its number and one.
fn with_pages(capacity: Capacity, pages: u64) -> Mailbox {
    let mailbox = Mailbox::new(capacity);
    fill(&mailbox.sender, pages);
    mailbox
}

fn fill(task: &Task, pages: u64) {
    map(task, HERE, pages).expect("a mapping");
    for page in 0..pages {
        task.store(HERE + page * PAGE, &[page as u8 + 1; PAGE_SIZE]).done();
    }
}

fn memory(to: Name, address: u64, size: u64, flags: u16) -> Message {
    Message::to(to).descriptor(Descriptor::memory(address, size, flags))
}

/// Stores names and makes an array of them.
fn array(task: &Task, names: &[Name], how: Disposition) -> Descriptor {
    if !is_mapped(task, FAR) {
        map(task, FAR, 2).expect("a mapping");
    }
    let bytes: Vec<u8> = names.iter().flat_map(|name| name.0.to_le_bytes()).collect();
    // Across two pages, and at no word.
    let address = FAR + PAGE - 3;
    task.store(address, &bytes).done();
    Descriptor::ports(address, names.len() as u64, how as u8)
}

/// The names of an array that has arrived.
fn names(task: &Task, array: &Descriptor) -> Vec<Name> {
    assert_eq!((array.kind, array.flags, array.name), (Descriptor::PORTS, 0, Name::NULL));
    let bytes = task.load(array.address, array.size as usize * 4);
    bytes.chunks(4).map(|name| Name(u32::from_le_bytes(name.try_into().expect("four bytes")))).collect()
}

/// Whether a message's memory holds what the sender's pages had, with zeros around.
fn arrived(task: &Task, message: &Received, number: usize, offset: u64, size: u64) {
    let Descriptor { kind, disposition, flags, name, address, size: told } = message.rights[number];
    assert_eq!((kind, disposition, flags, name, told), (Descriptor::MEMORY, 0, 0, Name::NULL, size));
    assert_eq!(address % PAGE, offset % PAGE);
    let start = address - address % PAGE;
    let end = (address + size).next_multiple_of(PAGE);
    let bytes = task.load(start, (end - start) as usize);
    for (at, byte) in bytes.iter().enumerate() {
        let at = start + at as u64;
        let inside = (address..address + size).contains(&at);
        let expected = if inside { ((offset + at - address) / PAGE) as u8 + 1 } else { 0 };
        assert_eq!(*byte, expected, "{at:#x} of {address:#x} and {size:#x}");
    }
    unmap(task, start, end - start);
}

#[test]
fn memory_of_any_size_and_alignment_arrives_with_zeros_around_it() {
    let ranges = [(0, 8 * PAGE), (0, 1), (PAGE - 1, 2), (7, PAGE), (100, 3 * PAGE - 50), (2 * PAGE, PAGE + 9)];
    for capacity in [Capacity::Zero, BOUNDED] {
        let mailbox = with_pages(capacity, 8);
        for (offset, size) in ranges {
            for first in [false, true] {
                // Into the hands of one who waits, or by way of the queue or a waiting sender.
                let waiting = first.then(|| mailbox.receive());
                let message = memory(mailbox.to, HERE + offset, size, 0).text("and bytes");
                let sent = mailbox.sender.send(message, WhenFull::Wait);
                let message = waiting.unwrap_or_else(|| mailbox.receive()).done().expect("the message");
                assert_eq!((sent.done(), message.text()), (Ok(()), "and bytes"));
                arrived(&mailbox.receiver, &message, 0, offset, size);
            }
        }
        assert!((0..8).all(|page| mailbox.sender.load(HERE + page * PAGE, 1) == [page as u8 + 1]));
    }
}

#[test]
fn no_page_is_copied_until_one_side_writes() {
    let mailbox = with_pages(BOUNDED, 8);
    let (before, tables) = (statistics(&mailbox.sender), statistics(&mailbox.receiver).tables);
    mailbox.sender.send(memory(mailbox.to, HERE, 8 * PAGE, 0), WhenFull::Wait).done().expect("sent");
    mailbox.sender.store(HERE, b"later").done();
    let message = mailbox.receive().done().expect("the message");
    let address = message.rights[0].address;
    assert_eq!(mailbox.receiver.load(address, 2), [1, 1], "what it was when it was sent");
    assert_eq!(statistics(&mailbox.sender).copies, before.copies + 1);
    mailbox.receiver.store(address + PAGE, b"mine").done();
    assert_eq!(mailbox.sender.load(HERE + PAGE, 1), [2]);
    assert_eq!(statistics(&mailbox.sender).copies, before.copies + 2);
    unmap(&mailbox.receiver, address, 8 * PAGE);
    let tables = statistics(&mailbox.receiver).tables - tables;
    assert_eq!(statistics(&mailbox.sender).free_frames + tables, before.free_frames, "nothing else is left of it");
}

#[test]
fn several_regions_and_rights_keep_their_order() {
    let mailbox = with_pages(BOUNDED, 8);
    let port = mailbox.sender.port(Capacity::DEFAULT);
    let rights = array(&mailbox.sender, &[port, port], Disposition::MakeSend);
    let message = memory(mailbox.to, HERE + 5, 10, 0)
        .right(port, Disposition::MakeSendOnce)
        .descriptor(rights)
        .descriptor(Descriptor::memory(HERE, 0, Descriptor::MOVE))
        .descriptor(Descriptor::memory(HERE + PAGE, 2 * PAGE, 0))
        .right(port, Disposition::MakeSend);
    assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Ok(()));
    let message = mailbox.receive().done().expect("the message");
    assert_eq!(message.rights.len(), 6);
    assert_eq!(message.right(1).1, Some(RightKind::SendOnce));
    let sends = names(&mailbox.receiver, &message.rights[2]);
    assert_eq!(sends, [message.right(5).0; 2]);
    assert_eq!(message.rights[3], Descriptor::memory(0, 0, 0));
    let regions: Vec<u64> = [0, 2, 4].iter().map(|number| message.rights[*number].address / PAGE).collect();
    assert_eq!(regions, [regions[0], regions[0] + 1, regions[0] + 2], "side by side");
    arrived(&mailbox.receiver, &message, 0, 5, 10);
    arrived(&mailbox.receiver, &message, 4, PAGE, 2 * PAGE);
    assert_eq!(mailbox.receiver.port_type(sends[0]).map(|kind| kind.send), Ok(3));
}

#[test]
fn moved_memory_is_the_senders_until_the_message_has_gone() {
    let mailbox = with_pages(BOUNDED, 8);
    let moving = |offset, size| memory(mailbox.to, HERE + offset, size, Descriptor::MOVE);
    assert_eq!(mailbox.sender.send(moving(PAGE + 5, 10), WhenFull::Wait).done(), Ok(()));
    assert!(is_mapped(&mailbox.sender, HERE) && !is_mapped(&mailbox.sender, HERE + PAGE), "the whole page is gone");
    // The mailbox is full: who turns back keeps all, who waits loses it when the message is taken.
    let all = moving(2 * PAGE, 4 * PAGE);
    assert_eq!(mailbox.sender.send(all.clone(), WhenFull::Return).done(), Err(Error::SendTimedOut));
    let other = mailbox.sender.thread();
    let waiting = other.send(all, WhenFull::Wait);
    mailbox.sender.store(HERE + 2 * PAGE, b"too late").done();
    assert!(waiting.waits() && is_mapped(&mailbox.sender, HERE + 5 * PAGE));
    arrived(&mailbox.receiver, &mailbox.receive().done().expect("the first"), 0, PAGE + 5, 10);
    assert_eq!(waiting.done(), Ok(()));
    assert!(!is_mapped(&mailbox.sender, HERE + 2 * PAGE) && is_mapped(&mailbox.sender, HERE + 6 * PAGE));
    arrived(&mailbox.receiver, &mailbox.receive().done().expect("the second"), 0, 2 * PAGE, 4 * PAGE);
    // Cached, it has gone at once.
    mailbox.send("fills", WhenFull::Wait).done().expect("a place");
    assert_eq!(mailbox.sender.send(moving(7 * PAGE, PAGE), WhenFull::Cache).done(), Err(Error::SendWillNotify));
    assert!(!is_mapped(&mailbox.sender, HERE + 7 * PAGE));
    assert_eq!(mailbox.take(), Ok("fills".to_owned()));
    arrived(&mailbox.receiver, &mailbox.receive().done().expect("the third"), 0, 7 * PAGE, PAGE);
}

#[test]
fn a_message_can_move_the_memory_that_it_lies_in() {
    for queued in [false, true] {
        let mailbox = Mailbox::new(BOUNDED);
        let waiting = (!queued).then(|| mailbox.receive());
        let other = mailbox.sender.thread();
        let (buffer, _) = other.buffers();
        let pages = buffer - buffer % PAGE;
        let sent = other.send(memory(mailbox.to, pages + 1, PAGE, Descriptor::MOVE).text("inside"), WhenFull::Wait);
        let message = waiting.unwrap_or_else(|| mailbox.receive()).done().expect("the message");
        assert_eq!((sent.result(), message.text()), (Some(Ok(())), "inside"));
        assert!(!is_mapped(&mailbox.sender, buffer));
    }
}

#[test]
fn a_task_sends_memory_to_itself() {
    let mailbox = Mailbox::new(BOUNDED);
    fill(&mailbox.receiver, 4);
    let to = mailbox.receiver.give_send(&mailbox.receiver, mailbox.port);
    let other = mailbox.receiver.thread();
    for queued in [false, true] {
        let waiting = (!queued).then(|| mailbox.receive());
        let from = 2 * PAGE * u64::from(queued);
        let sent = other.send(memory(to, HERE + from, 2 * PAGE, Descriptor::MOVE), WhenFull::Wait);
        let message = waiting.unwrap_or_else(|| mailbox.receive()).done().expect("the message");
        assert_eq!(sent.done(), Ok(()));
        arrived(&mailbox.receiver, &message, 0, from, 2 * PAGE);
    }
    assert!(!is_mapped(&mailbox.receiver, HERE));
}

#[test]
fn what_is_no_memory_of_the_sender_is_refused_and_nothing_moves() {
    let mailbox = with_pages(BOUNDED, 8);
    unmap(&mailbox.sender, HERE + 4 * PAGE, PAGE);
    let before = mailbox.sender.info();
    let bad = [
        (HERE + 8 * PAGE, 1),
        (HERE + 3 * PAGE, 2 * PAGE),
        (HERE, u64::MAX),
        (u64::MAX, 1),
        (u64::MAX - 4, u64::MAX),
        (1 << 63, PAGE),
        (0, 1),
    ];
    for (address, size) in bad {
        for flags in [0, Descriptor::MOVE] {
            let message = memory(mailbox.to, HERE, 2 * PAGE, Descriptor::MOVE)
                .descriptor(Descriptor::memory(address, size, flags));
            let sent = mailbox.sender.send(message, WhenFull::Wait).done();
            assert_eq!(sent, Err(Error::SendInvalidMemory), "{address:#x} {size:#x}");
        }
    }
    let good = Descriptor::memory(HERE, PAGE, 0);
    let odd = [
        Descriptor { flags: 2, ..good },
        Descriptor { disposition: 17, ..good },
        Descriptor { name: mailbox.to, ..good },
        Descriptor { kind: 3, ..good },
        Descriptor { kind: Descriptor::PORTS, disposition: 0, ..good },
        Descriptor { kind: Descriptor::PORTS, disposition: 19, flags: 1, size: 1, ..good },
    ];
    for descriptor in odd {
        let message = memory(mailbox.to, HERE, PAGE, Descriptor::MOVE).descriptor(descriptor);
        assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Err(Error::SendInvalidType), "{descriptor:?}");
    }
    assert_eq!((mailbox.messages(), mailbox.sender.load(HERE, 1)), (0, vec![1]));
    let after = mailbox.sender.info();
    assert_eq!(before.used.frames, after.used.frames);
}

#[test]
fn a_sender_that_cannot_pay_for_its_flight_keeps_all() {
    let mailbox = Mailbox::new(BOUNDED);
    let poor = mailbox.system.task_with("poor", Limits { frames: 52, ..ORDINARY }).expect("a task");
    let to = mailbox.receiver.give_send(&poor, mailbox.port);
    fill(&poor, 20);
    let sent = |size, flags| poor.send(memory(to, HERE, size, flags), WhenFull::Return).done();
    assert_eq!(sent(10 * PAGE, 0), Ok(()));
    assert_eq!(sent(20 * PAGE, 0), Err(Error::SendNoBuffer));
    assert_eq!(sent(20 * PAGE, Descriptor::MOVE), Err(Error::SendNoBuffer));
    assert_eq!(poor.load(HERE + 19 * PAGE, 1), [20]);
    let message = mailbox.receive().done().expect("the message");
    arrived(&mailbox.receiver, &message, 0, 0, 10 * PAGE);
    // Now the receiver pays.
    assert_eq!(sent(20 * PAGE, Descriptor::MOVE), Ok(()));
    arrived(&mailbox.receiver, &mailbox.receive().done().expect("the message"), 0, 0, 20 * PAGE);
}

#[test]
fn what_its_receiver_cannot_pay_for_stays_queued() {
    let mailbox = with_pages(BOUNDED, 20);
    let poor = mailbox.system.task_with("poor", Limits { frames: 34, ..ORDINARY }).expect("a task");
    let port = poor.port(BOUNDED);
    let to = poor.give_send(&mailbox.sender, port);
    fill(&poor, 10);
    let waiting = poor.receive(port);
    let message = memory(to, HERE, PAGE, 0).descriptor(Descriptor::memory(HERE, 20 * PAGE, Descriptor::MOVE));
    assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Ok(()));
    assert_eq!(waiting.done(), Err(Error::ReceiveNoSpace));
    let before = poor.info();
    assert_eq!(poor.receive(port).done(), Err(Error::ReceiveNoSpace));
    assert_eq!((poor.status(port).messages, poor.info().used.frames), (1, before.used.frames));
    unmap(&poor, HERE, 10 * PAGE);
    let message = poor.receive(port).done().expect("the message");
    arrived(&poor, &message, 0, 0, PAGE);
    arrived(&poor, &message, 1, 0, 20 * PAGE);
}

#[test]
fn a_message_that_nobody_receives_gives_back_what_it_carries() {
    let system = System::boot();
    let (receiver, sender) = (system.task("receiver"), system.task("sender"));
    let port = receiver.port(Capacity::Bounded(2));
    let to = receiver.give_send(&sender, port);
    fill(&sender, 8);
    let kept = sender.port(Capacity::DEFAULT);
    let rights = array(&sender, &[kept; 3], Disposition::MakeSend);
    let frames = statistics(&sender).free_frames;
    for _ in 0..2 {
        let message = memory(to, HERE, 8 * PAGE, 0).descriptor(rights);
        assert_eq!(sender.send(message, WhenFull::Wait).done(), Ok(()));
    }
    assert_eq!((statistics(&sender).free_frames, sender.status(kept).send_rights), (frames - 2, 6));
    let other = sender.thread();
    let waiting = other.send(memory(to, HERE, 8 * PAGE, Descriptor::MOVE).descriptor(rights), WhenFull::Wait);
    assert!(waiting.waits());
    receiver.port_deallocate(port).expect("its own");
    assert_eq!(waiting.done(), Err(Error::SendInvalidPort));
    assert_eq!((sender.status(kept).send_rights, sender.load(HERE, 1)), (0, vec![1]));
}

#[test]
fn what_a_task_has_sent_is_received_after_its_end() {
    let mailbox = with_pages(Capacity::Bounded(1), 4);
    mailbox.sender.send(memory(mailbox.to, HERE, 4 * PAGE, 0), WhenFull::Wait).done().expect("sent");
    let other = mailbox.sender.thread();
    assert!(other.send(memory(mailbox.to, HERE, 4 * PAGE, Descriptor::MOVE), WhenFull::Wait).waits());
    mailbox.sender.terminate();
    arrived(&mailbox.receiver, &mailbox.receive().done().expect("the message"), 0, 0, 4 * PAGE);
    assert_eq!(mailbox.take(), Err(Error::ReceiveTimedOut), "the one that was not sent");
}

#[test]
fn a_port_of_the_kernels_refuses_memory_that_its_routine_does_not_take() {
    let mailbox = with_pages(BOUNDED, 2);
    let own = mailbox.sender.task_self();
    let rights = array(&mailbox.sender, &[own], Disposition::CopySend);
    let frames = statistics(&mailbox.sender).free_frames;
    for descriptor in [Descriptor::memory(HERE, PAGE, 0), rights] {
        let refused = vm::vm_map(&*mailbox.sender, own, HERE, PAGE, 0, 0, 0, 1, 1, descriptor).map(|_| ());
        assert_eq!(refused, Err(Error::BadArguments));
    }
    assert_eq!(statistics(&mailbox.sender).free_frames, frames);
}

#[test]
fn an_array_of_rights_arrives_as_an_array_of_names() {
    let mailbox = Mailbox::new(BOUNDED);
    let ports: Vec<Name> = (0..3).map(|_| mailbox.sender.port(Capacity::DEFAULT)).collect();
    let mixed = [ports[0], Name::NULL, ports[1], Name::DEAD, ports[0]];
    let send = |names: &[Name], how| {
        let message = Message::to(mailbox.to).descriptor(array(&mailbox.sender, names, how));
        mailbox.sender.send(message, WhenFull::Return).done()
    };
    let receive = || mailbox.receive().done().expect("the message").rights[0];
    assert_eq!(send(&mixed, Disposition::MakeSend), Ok(()));
    let sends = receive();
    assert_eq!(sends.disposition, RightKind::Send as u8);
    let sends = names(&mailbox.receiver, &sends);
    assert_eq!((sends[1], sends[3], sends[4]), (Name::NULL, Name::DEAD, sends[0]));
    assert_eq!(mailbox.receiver.port_type(sends[0]).map(|kind| kind.send), Ok(2));
    assert_eq!(mailbox.receiver.send(Message::to(sends[2]).text("2"), WhenFull::Return).done(), Ok(()));
    assert_eq!(mailbox.sender.receive(ports[1]).done().expect("the message").text(), "2");
    assert_eq!(send(&[ports[2]; 3], Disposition::MakeSendOnce), Ok(()));
    let onces = receive();
    assert_eq!(onces.disposition, RightKind::SendOnce as u8);
    let mut onces = names(&mailbox.receiver, &onces);
    onces.dedup();
    assert_eq!((onces.len(), mailbox.sender.status(ports[2]).send_once_rights), (3, 3));
    assert_eq!(send(&[], Disposition::MakeSend), Ok(()));
    assert_eq!(receive(), Descriptor::ports(0, 0, RightKind::Send as u8));
    // Receive rights, whose messages come with them.
    assert_eq!(send(&ports, Disposition::MoveReceive), Ok(()));
    let received = names(&mailbox.receiver, &receive());
    assert_eq!(received[0], sends[0], "one name a port");
    assert!(ports.iter().all(|port| mailbox.sender.port_status(*port).is_err()));
    assert!(received.iter().all(|port| mailbox.receiver.status(*port).messages == 0));
}

#[test]
fn of_an_array_all_rights_move_or_none() {
    let mailbox = Mailbox::new(BOUNDED);
    let (one, two) = (mailbox.sender.port(Capacity::DEFAULT), mailbox.sender.port(Capacity::DEFAULT));
    let cases = [
        (vec![one, two, mailbox.to], Disposition::MoveReceive),
        (vec![one, one], Disposition::MoveReceive),
        (vec![mailbox.to, mailbox.to], Disposition::MoveSend),
        (vec![one, Name::new(77, 1)], Disposition::MakeSend),
    ];
    for (rights, how) in cases {
        let message = Message::to(mailbox.to).descriptor(array(&mailbox.sender, &rights, how));
        let sent = mailbox.sender.send(message, WhenFull::Wait).done();
        assert_eq!(sent, Err(Error::SendInvalidRight), "{rights:?} {how:?}");
    }
    for name in [one, two] {
        let status = mailbox.sender.status(name);
        assert_eq!((status.send_rights, mailbox.sender.port_type(name).map(|kind| kind.receive)), (0, Ok(1)));
    }
    assert_eq!(mailbox.sender.port_type(mailbox.to).map(|kind| kind.send), Ok(1));
    let bad = Descriptor::ports(FAR + 5 * PAGE, 1, Disposition::MakeSend as u8);
    let sent = mailbox.sender.send(Message::to(mailbox.to).descriptor(bad), WhenFull::Wait).done();
    assert_eq!(sent, Err(Error::SendInvalidMemory));
}

#[test]
fn a_page_of_rights_travels_in_one_message_and_no_more() {
    let mailbox = Mailbox::new(BOUNDED);
    let rich = Limits { memory: 2 << 20, ..ORDINARY };
    let (rich, other) = (mailbox.system.task_with("rich", rich), mailbox.system.task_with("other", rich));
    let (rich, other) = (rich.expect("a task"), other.expect("a task"));
    let port = other.port(BOUNDED);
    let (to, own) = (other.give_send(&rich, port), rich.port(BOUNDED));
    let half = array(&rich, &[own; RIGHTS_MAX / 2], Disposition::MakeSendOnce);
    let send = |message: Message| rich.send(message, WhenFull::Return).done();
    let two = Message::to(to).descriptor(half).descriptor(half);
    assert_eq!(send(two.clone().right(Name::NULL, Disposition::CopySend)), Err(Error::SendTooLarge));
    for size in [RIGHTS_MAX as u64 + 1, 1 << 32, u64::MAX] {
        let over = Descriptor { size, ..half };
        assert_eq!(send(Message::to(to).descriptor(over)), Err(Error::SendTooLarge));
    }
    assert_eq!(rich.status(own).send_once_rights, 0);
    assert_eq!(send(two), Ok(()));
    assert_eq!(rich.status(own).send_once_rights, RIGHTS_MAX as u32);
    let message = other.receive(port).done().expect("the message");
    let mut all: Vec<Name> = message.rights.iter().flat_map(|rights| names(&other, rights)).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), RIGHTS_MAX);
}

#[test]
fn receive_rights_in_a_ring_of_three_are_refused() {
    for in_array in [false, true] {
        let system = System::boot();
        let task = system.task("task");
        let ports: Vec<Name> = (0..3).map(|_| task.port(BOUNDED)).collect();
        let into = |port: Name, moved: Name| {
            let message = Message::by(port, Disposition::MakeSend);
            let message = match in_array {
                false => message.right(moved, Disposition::MoveReceive),
                true => message.descriptor(array(&task, &[Name::NULL, moved], Disposition::MoveReceive)),
            };
            task.send(message, WhenFull::Return).done()
        };
        // A right to each, to send with when the receive right is on its way.
        let to_first = task.give_send(&task, ports[0]);
        assert_eq!(into(ports[1], ports[0]), Ok(()));
        assert_eq!(into(ports[2], ports[1]), Ok(()));
        let closing = match in_array {
            false => Message::to(to_first).right(ports[2], Disposition::MoveReceive),
            true => Message::to(to_first).descriptor(array(&task, &[ports[2]], Disposition::MoveReceive)),
        };
        assert_eq!(task.send(closing, WhenFull::Return).done(), Err(Error::SendInvalidRight));
        // They come out again in their order.
        let next = |port| {
            let arrived = task.receive(port).done().expect("the message").rights[0];
            if in_array { names(&task, &arrived)[1] } else { arrived.name }
        };
        let second = next(ports[2]);
        assert_eq!(next(second), to_first);
    }
}

#[test]
fn rights_in_an_array_that_die_on_the_way_arrive_dead() {
    let mailbox = Mailbox::new(BOUNDED);
    let ports: Vec<Name> = (0..2).map(|_| mailbox.sender.port(Capacity::DEFAULT)).collect();
    let message = Message::to(mailbox.to).descriptor(array(&mailbox.sender, &ports, Disposition::MakeSend));
    assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Ok(()));
    mailbox.sender.port_deallocate(ports[0]).expect("its own");
    let arrived = names(&mailbox.receiver, &mailbox.receive().done().expect("the message").rights[0]);
    assert_eq!(arrived[0], Name::DEAD);
    assert!(mailbox.receiver.port_type(arrived[1]).is_ok());
}
