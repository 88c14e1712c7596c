//! Ports and messages: what is sent is what arrives, in order, and named properly.

use crate::harness::{Mailbox, Message, System, WhenFull};
use portolan_abi::call::{Receive, Send};
use portolan_abi::message::{
    DESCRIPTORS_MAX, Descriptor, Header, MESSAGE_MAX, Options, Trailer, received_size, trailer_offset,
};
use portolan_abi::{Call, Capacity, Disposition, Error, Name, PAGE_SIZE, RightKind, host};

#[test]
fn a_new_port_is_empty_and_has_its_capacity() {
    let system = System::boot();
    let task = system.task("task");
    for capacity in [Capacity::Zero, Capacity::DEFAULT, Capacity::Bounded(Capacity::BOUNDED_MAX), Capacity::Unbounded] {
        let port = task.port(capacity);
        let status = task.status(port);
        assert_eq!(status.capacity, capacity.code());
        assert_eq!((status.messages, status.senders, status.receivers, status.cached), (0, 0, 0, 0));
        assert_eq!((status.send_rights, status.send_once_rights, status.make_send_count), (0, 0, 0));
        assert_eq!(task.port_type(port).expect("its type").receive, 1);
    }
}

#[test]
fn a_capacity_between_the_largest_bound_and_unbounded_is_refused() {
    let system = System::boot();
    let task = system.task("task");
    let names = task.info().names;
    let allocate = |code: u64| task.trap(portolan_abi::call::number::PORT_ALLOCATE, [code, 0, 0, 0, 0, 0]).done().0;
    assert_eq!(allocate(65_536), Err(Error::InvalidValue));
    assert_eq!(allocate(u64::from(u32::MAX) - 1), Err(Error::InvalidValue));
    assert_eq!(allocate(1 << 32), Err(Error::InvalidArgument));
    assert_eq!(task.info().names, names);
}

#[test]
fn a_message_arrives_as_it_was_sent() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let sent = Message::to(mailbox.to).id(77).text("hello");
    assert_eq!(mailbox.sender.send(sent, WhenFull::Wait).done(), Ok(()));
    let message = mailbox.receive().done().expect("the message");
    assert_eq!((message.header.id, message.text()), (77, "hello"));
    assert_eq!(message.header.local, mailbox.port);
    assert_eq!(message.header.remote, Name::NULL);
    assert_eq!(message.header.size as usize, Header::SIZE + 5);
    assert_eq!(message.header.bits, Header::bits_of(0, RightKind::Send as u8));
}

#[test]
fn the_smallest_message_is_a_header() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.sender.send(Message::to(mailbox.to), WhenFull::Wait).done().expect("a send");
    assert_eq!(mailbox.receive().done().expect("the message").body, b"");
}

#[test]
fn messages_come_in_the_order_they_were_sent() {
    let mailbox = Mailbox::new(Capacity::Bounded(9));
    let texts: Vec<String> = (0..9).map(|number| format!("number {number}")).collect();
    for text in &texts {
        assert_eq!(mailbox.send(text, WhenFull::Return).done(), Ok(()));
    }
    assert_eq!(mailbox.take_all(), texts);
}

#[test]
fn a_receive_that_comes_first_waits_for_the_message() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let receive = mailbox.receive();
    assert!(receive.waits());
    assert_eq!(mailbox.receiver.status(mailbox.port).receivers, 1);
    mailbox.send("at last", WhenFull::Wait);
    assert_eq!(receive.done().expect("the message").text(), "at last");
    assert_eq!((mailbox.messages(), mailbox.receiver.status(mailbox.port).receivers), (0, 0));
}

#[test]
fn receivers_are_served_in_the_order_they_came() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let second = mailbox.receiver.thread();
    let receives = [mailbox.receive(), second.receive(mailbox.port)];
    mailbox.send("one", WhenFull::Wait);
    assert!(!receives[0].waits() && receives[1].waits());
    mailbox.send("two", WhenFull::Wait);
    assert_eq!(receives.map(|receive| receive.done().expect("a message").text().to_owned()), ["one", "two"]);
}

#[test]
fn each_of_many_messages_goes_to_exactly_one_of_two_receivers() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let second = mailbox.receiver.thread();
    let mut numbers = Vec::new();
    for round in 0..50u32 {
        let receives = [mailbox.receive(), second.receive(mailbox.port)];
        for part in 0..2 {
            mailbox.sender.send(Message::to(mailbox.to).id(2 * round + part), WhenFull::Wait);
        }
        numbers.extend(receives.map(|receive| receive.done().expect("a message").header.id));
    }
    assert_eq!(numbers, (0..100).collect::<Vec<u32>>());
}

#[test]
fn a_task_can_send_to_itself() {
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(Capacity::DEFAULT);
    let message = Message::by(port, Disposition::MakeSend).text("to me");
    assert_eq!(task.send(message, WhenFull::Wait).done(), Ok(()));
    assert_eq!(task.receive(port).done().expect("the message").text(), "to me");
    assert_eq!(task.port_type(port).expect("its type").send, 0);
}

#[test]
fn a_name_means_nothing_in_another_task() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let mut port = one.port(Capacity::DEFAULT);
    while other.port_type(port).is_ok() {
        port = one.port(Capacity::DEFAULT);
    }
    assert_eq!(other.send(Message::to(port), WhenFull::Wait).done(), Err(Error::SendInvalidPort));
    assert_eq!(other.receive(port).done().expect_err("no right"), Error::ReceiveInvalidPort);
    assert_eq!(other.port_deallocate(port), Err(Error::InvalidName));
}

#[test]
fn an_old_name_never_means_a_new_port() {
    let system = System::boot();
    let task = system.task("task");
    let old = task.port(Capacity::DEFAULT);
    task.port_deallocate(old).expect("the end of the port");
    let mut reused = false;
    for _ in 0..100 {
        let new = task.port(Capacity::DEFAULT);
        reused |= new.index() == old.index();
        assert_ne!(new, old);
        assert_eq!(task.port_deallocate(old), Err(Error::InvalidName));
        task.port_deallocate(new).expect("the end of the port");
    }
    assert!(reused, "a slot is used again at some time");
}

#[test]
fn deallocating_twice_harms_no_one() {
    let system = System::boot();
    let task = system.task("task");
    let (port, stranger) = (task.port(Capacity::DEFAULT), task.port(Capacity::DEFAULT));
    assert_eq!(task.port_deallocate(port), Ok(()));
    assert_eq!(task.port_deallocate(port), Err(Error::InvalidName));
    assert_eq!(task.port_type(stranger).expect("its type").receive, 1);
}

#[test]
fn null_and_dead_are_no_names() {
    let system = System::boot();
    let task = system.task("task");
    for name in [Name::NULL, Name::DEAD] {
        assert_eq!(task.port_deallocate(name), Err(Error::InvalidName));
        assert_eq!(task.send(Message::to(name), WhenFull::Wait).done(), Err(Error::SendInvalidPort));
        assert_eq!(task.receive(name).done().expect_err("no right"), Error::ReceiveInvalidPort);
        assert_eq!(task.port_type(name), Err(Error::InvalidName));
    }
}

#[test]
fn a_send_right_does_not_receive() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    assert_eq!(mailbox.sender.receive(mailbox.to).done().expect_err("no right"), Error::ReceiveInvalidPort);
    assert_eq!(mailbox.sender.port_status(mailbox.to), Err(Error::NotReceiver));
    assert_eq!(mailbox.sender.port_set_backlog(mailbox.to, Capacity::Zero), Err(Error::NotReceiver));
}

#[test]
fn the_status_counts_messages_waiters_and_rights() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let waiting = mailbox.send("waits", WhenFull::Wait);
    let status = mailbox.receiver.status(mailbox.port);
    assert!(waiting.waits());
    assert_eq!((status.messages, status.senders, status.receivers), (1, 1, 0));
    assert_eq!(status.make_send_count, 1);
    mailbox.take_all();
    let status = mailbox.receiver.status(mailbox.port);
    assert_eq!((status.messages, status.senders, status.send_rights), (0, 0, 1));
    assert_eq!(waiting.done(), Ok(()));
}

#[test]
fn the_sequence_counts_what_left_the_port() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    for expected in 0..3 {
        assert_eq!(mailbox.receiver.status(mailbox.port).sequence, expected);
        mailbox.send("x", WhenFull::Wait);
        assert_eq!(mailbox.receive().done().expect("the message").trailer.sequence, expected);
    }
}

#[test]
fn the_trailer_tells_the_sender_and_numbers_every_message() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.send("one", WhenFull::Wait);
    mailbox.send("two", WhenFull::Wait);
    let trailers = [(); 2].map(|()| mailbox.receive().done().expect("a message").trailer);
    assert!(trailers.iter().all(|trailer| trailer.sender == mailbox.sender.info().id));
    assert!(trailers.iter().all(|trailer| trailer.flags & Trailer::FROM_KERNEL == 0 && trailer.payload == 0));
    assert!(trailers[0].number < trailers[1].number);
}

#[test]
fn the_trailer_names_the_message_that_caused_this_one() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let back = mailbox.sender.port(Capacity::DEFAULT);
    let to_sender = mailbox.sender.give_send(&mailbox.receiver, back);
    mailbox.send("question", WhenFull::Wait);
    let question = mailbox.receive().done().expect("the question");
    mailbox.receiver.send(Message::to(to_sender).text("answer"), WhenFull::Wait);
    let answer = mailbox.sender.receive(back).done().expect("the answer");
    assert_eq!(answer.trailer.cause, question.trailer.number);
}

#[test]
fn the_trailer_tells_the_security_token_that_only_the_host_sets() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (first, own) = (mailbox.system.first(), mailbox.sender.task_self());
    let token = || {
        assert_eq!(mailbox.send("who", WhenFull::Wait).done(), Ok(()));
        let Trailer { security, .. } = mailbox.receive().done().expect("the message").trailer;
        (security.user, security.group)
    };
    assert_eq!(token(), (0, 0), "the first task's");
    // The mark on a message is of the time when it was sent.
    mailbox.send("before", WhenFull::Wait).done().expect("a place");
    let known = mailbox.sender.give(first, own, Disposition::CopySend);
    let right = Descriptor::port(known, Disposition::CopySend as u8);
    let set = |port| host::set_security_token(&**first, port, 1000, 7, right).map(|_| ());
    assert_eq!(set(first.plain_host_port()), Err(Error::NoAccess));
    let other = Descriptor::port(first.host_port(), Disposition::CopySend as u8);
    let wrong = host::set_security_token(&**first, first.host_port(), 1, 1, other).map(|_| ());
    assert_eq!(wrong, Err(Error::InvalidCapability));
    assert_eq!(set(first.host_port()), Ok(()));
    let before = mailbox.receive().done().expect("the message").trailer.security;
    first.port_deallocate(known).expect("a second reference");
    assert_eq!((before.user, token()), (0, (1000, 7)));
    // A child is made with its parent's.
    let myself = Descriptor::port(first.kernel_port(), Disposition::CopySend as u8);
    host::set_security_token(&**first, first.host_port(), 5, 6, myself).expect("set");
    let child = mailbox.system.task("child");
    let to = mailbox.receiver.give_send(&child, mailbox.port);
    child.send(Message::to(to), WhenFull::Wait).done().expect("a place");
    let inherited = mailbox.receive().done().expect("the message").trailer.security;
    assert_eq!((inherited.user, inherited.group, token()), (5, 6, (1000, 7)));
}

#[test]
fn what_is_too_large_stays_queued_with_rcv_large_and_without() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.send("too long for a buffer of this size", WhenFull::Wait).done().expect("a place");
    for options in [Options::empty(), Options::RCV_LARGE] {
        let received = mailbox.receiver.receive_with(mailbox.port, options | Options::RCV_TIMEOUT, 0, 100);
        assert_eq!(received.done(), Err(Error::ReceiveTooLarge));
    }
    assert_eq!(mailbox.messages(), 1);
}

#[test]
fn a_trailer_in_the_body_is_only_bytes() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let forged = [0xff; Trailer::SIZE];
    mailbox.sender.send(Message::to(mailbox.to).text(forged), WhenFull::Wait);
    let message = mailbox.receive().done().expect("the message");
    assert_eq!(message.body, forged);
    assert_eq!((message.trailer.sender, message.trailer.flags), (mailbox.sender.info().id, 0));
}

#[test]
fn a_message_may_cross_pages() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    for size in [1, 7, 8, 4000, PAGE_SIZE, PAGE_SIZE + 1, 3 * PAGE_SIZE + 5] {
        let body: Vec<u8> = (0..size).map(|index| index as u8 ^ (index >> 8) as u8).collect();
        let room = received_size(Header::SIZE + size) as u32;
        mailbox.sender.send(Message::to(mailbox.to).text(&body), WhenFull::Wait);
        let queued = mailbox.receiver.receive_with(mailbox.port, Options::empty(), 0, room).done();
        assert_eq!(queued.expect("the queued message").body, body);
        let waiting = mailbox.receiver.receive_with(mailbox.port, Options::empty(), 0, room);
        mailbox.sender.send(Message::to(mailbox.to).text(&body), WhenFull::Wait);
        assert_eq!(waiting.done().expect("the message handed over").body, body);
    }
}

#[test]
fn the_largest_message_passes_and_one_byte_more_does_not() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let body = |size: usize| Message::to(mailbox.to).text(vec![7; size - Header::SIZE]);
    let largest = mailbox.sender.send(body(MESSAGE_MAX), WhenFull::Wait);
    assert_eq!(largest.done(), Ok(()));
    let room = received_size(MESSAGE_MAX) as u32;
    let message = mailbox.receiver.receive_with(mailbox.port, Options::empty(), 0, room).done().expect("the message");
    assert_eq!(message.body.len(), MESSAGE_MAX - Header::SIZE);
    let larger = mailbox.sender.send(body(MESSAGE_MAX + 1), WhenFull::Wait);
    assert_eq!(larger.done(), Err(Error::SendTooLarge));
}

#[test]
fn a_message_smaller_than_its_parts_is_refused() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (address, _) = mailbox.sender.buffers();
    let header = Message::to(mailbox.to).bytes();
    mailbox.sender.store(address, &header);
    let send = |size: u32| {
        let send = Send { address, size, timeout: 0 };
        let call = Call::Message { send: Some(send), receive: None, options: Options::empty() };
        mailbox.sender.call(call).done().0
    };
    for size in [0, 1, Header::SIZE as u32 - 1] {
        assert_eq!(send(size), Err(Error::SendTooSmall));
    }
    // One descriptor is announced, and there is no room for it.
    let mut one_right = header.clone();
    one_right[20] = 1;
    mailbox.sender.store(address, &one_right);
    assert_eq!(send(Header::SIZE as u32), Err(Error::SendTooSmall));
    for count in [DESCRIPTORS_MAX as u32 + 1, u32::MAX, u32::MAX / 24] {
        one_right[20..24].copy_from_slice(&count.to_le_bytes());
        mailbox.sender.store(address, &one_right);
        let result = send(Header::SIZE as u32);
        assert!(matches!(result, Err(Error::SendTooLarge | Error::SendTooSmall)), "{count}: {result:?}");
    }
    assert_eq!(mailbox.messages(), 0);
}

#[test]
fn a_buffer_too_small_leaves_the_message_and_tells_its_size() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.send("twelve bytes", WhenFull::Wait);
    let needed = received_size(Header::SIZE + 12);
    let (_, address) = mailbox.receiver.buffers();
    for size in [0, Header::SIZE, Header::SIZE + 12, needed - 1] {
        let receive = Receive { address, size: size as u32, port: mailbox.port, timeout: 0 };
        let call = Call::Message { send: None, receive: Some(receive), options: Options::empty() };
        assert_eq!(mailbox.receiver.call(call).done(), (Err(Error::ReceiveTooLarge), needed as u64));
        assert_eq!(mailbox.messages(), 1);
    }
    let exact = mailbox.receiver.receive_with(mailbox.port, Options::empty(), 0, needed as u32);
    assert_eq!(exact.done().expect("the message").text(), "twelve bytes");
}

#[test]
fn a_waiting_receiver_with_a_small_buffer_leaves_the_message_for_another() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let other = mailbox.receiver.thread();
    let small = mailbox.receiver.receive_with(mailbox.port, Options::empty(), 0, Header::SIZE as u32);
    let large = other.receive(mailbox.port);
    mailbox.send("too long for it", WhenFull::Wait);
    assert_eq!(small.done().expect_err("too small"), Error::ReceiveTooLarge);
    assert_eq!(large.done().expect("the message").text(), "too long for it");
}

#[test]
fn nothing_beyond_message_and_trailer_is_written_to_the_buffer() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (_, address) = mailbox.receiver.buffers();
    mailbox.receiver.store(address, &[0xee; 256]);
    mailbox.send("abc", WhenFull::Wait);
    mailbox.receive().done().expect("the message");
    let buffer = mailbox.receiver.load(address, 256);
    let size = received_size(Header::SIZE + 3);
    assert!(buffer[size..].iter().all(|byte| *byte == 0xee));
}

#[test]
fn the_bytes_before_the_trailer_are_zero() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (_, address) = mailbox.receiver.buffers();
    for length in 0..=24 {
        for waits in [false, true] {
            mailbox.receiver.store(address, &[0xee; 256]);
            let waiting = waits.then(|| mailbox.receive());
            mailbox.send(&"x".repeat(length), WhenFull::Wait);
            waiting.unwrap_or_else(|| mailbox.receive()).done().expect("the message");
            let end = Header::SIZE + length;
            let gap = mailbox.receiver.load(address + end as u64, trailer_offset(end) - end);
            assert!(gap.iter().all(|byte| *byte == 0), "{length}: {gap:x?}");
        }
    }
}

#[test]
fn a_buffer_of_any_size_too_small_gets_nothing() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (_, address) = mailbox.receiver.buffers();
    let right = mailbox.sender.port(Capacity::DEFAULT);
    let message = Message::to(mailbox.to).text("abc").right(right, Disposition::MakeSend);
    let needed = received_size(message.bytes().len());
    mailbox.sender.send(message, WhenFull::Wait).done().expect("sent");
    mailbox.receiver.store(address, &[0xee; 256]);
    for size in 0..needed {
        let receive = Receive { address, size: size as u32, port: mailbox.port, timeout: 0 };
        let call = Call::Message { send: None, receive: Some(receive), options: Options::RCV_TIMEOUT };
        assert_eq!(mailbox.receiver.call(call).done(), (Err(Error::ReceiveTooLarge), needed as u64), "{size}");
    }
    assert_eq!(mailbox.receiver.load(address, 256), [0xee; 256]);
    let received = mailbox.receiver.receive_with(mailbox.port, Options::empty(), 0, needed as u32);
    assert_eq!(received.done().expect("it fits").text(), "abc");
}

#[test]
fn one_buffer_serves_both_halves_of_a_call() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (address, _) = mailbox.receiver.buffers();
    let message = Message::by(mailbox.port, Disposition::MakeSend).text("round");
    let bytes = message.bytes();
    mailbox.receiver.store(address, &bytes);
    let send = Send { address, size: bytes.len() as u32, timeout: 0 };
    let receive = Receive { address, size: 256, port: mailbox.port, timeout: 0 };
    let call = Call::Message { send: Some(send), receive: Some(receive), options: Options::empty() };
    assert_eq!(mailbox.receiver.call(call).done(), (Ok(()), bytes.len() as u64));
    let received = crate::harness::Received::read(&mailbox.receiver.load(address, 256));
    assert_eq!(received.text(), "round");
}

#[test]
fn ten_thousand_messages_leave_nothing_behind() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.send("touches the buffers", WhenFull::Wait);
    mailbox.take().expect("the message");
    let used = mailbox.sender.info().used;
    mailbox.system.unchecked(|| {
        for number in 0..10_000 {
            mailbox.sender.send(Message::to(mailbox.to).id(number), WhenFull::Return).done().expect("a send");
            assert_eq!(mailbox.receive().done().expect("a message").header.id, number);
        }
    });
    assert_eq!(mailbox.sender.info().used, used);
}

#[test]
fn a_header_and_its_rights_may_cross_a_page() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let page = mailbox.sender.buffers().0 + 4 * PAGE_SIZE as u64;
    let ports = [(); 3].map(|()| mailbox.sender.port(Capacity::DEFAULT));
    let empty = Message::to(mailbox.to).id(5).text("tail");
    let message = ports.iter().fold(empty, |message, port| message.right(*port, Disposition::MakeSend)).bytes();
    for before in (8..=message.len() as u64).step_by(8) {
        let address = page - before;
        mailbox.sender.store(address, &message).done();
        let send = Send { address, size: message.len() as u32, timeout: 0 };
        let call = Call::Message { send: Some(send), receive: None, options: Options::empty() };
        assert_eq!(mailbox.sender.call(call).done().0, Ok(()), "{before} bytes before the page");
        let arrived = mailbox.receive().done().expect("the message");
        assert_eq!((arrived.header.id, arrived.rights.len(), arrived.text()), (5, 3, "tail"));
    }
}

#[test]
fn a_message_may_arrive_across_a_page() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let page = mailbox.receiver.buffers().1 + 4 * PAGE_SIZE as u64;
    let port = mailbox.sender.port(Capacity::DEFAULT);
    let message = Message::to(mailbox.to).right(port, Disposition::MakeSend).text("0123456789abc");
    let size = received_size(message.bytes().len());
    for before in (8..=size as u64).step_by(8) {
        let address = page - before;
        mailbox.sender.send(message.clone(), WhenFull::Wait).done().expect("a send");
        let receive = Receive { address, size: size as u32, port: mailbox.port, timeout: 0 };
        let call = Call::Message { send: None, receive: Some(receive), options: Options::empty() };
        assert_eq!(mailbox.receiver.call(call).done().0, Ok(()));
        let arrived = crate::harness::Received::read(&mailbox.receiver.load(address, size));
        assert_eq!(arrived.text(), "0123456789abc", "{before} bytes before the page");
    }
}

#[test]
fn overlapping_buffers_harm_no_one_else() {
    // One thread sends from memory that another one, of the same task, receives into.
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(Capacity::DEFAULT);
    task.give_send(&task, port);
    let (from, _) = task.buffers();
    for offset in [0, 8, 24, 64, 4088] {
        let thread = task.thread();
        let receive = Receive { address: from + offset, size: 6000, port, timeout: 0 };
        let call = Call::Message { send: None, receive: Some(receive), options: Options::empty() };
        let waiting = thread.call(call);
        assert_eq!(task.send(Message::to(port).text([3; 5000]), WhenFull::Wait).done(), Ok(()));
        assert_eq!(waiting.done(), (Ok(()), 5024));
        let header = crate::harness::Received::read(&task.load(from + offset, 6000)).header;
        assert_eq!((header.size, header.local), (5024, port));
    }
}

#[test]
fn an_old_name_is_good_for_nothing() {
    let system = System::boot();
    let task = system.task("task");
    let old = task.port(Capacity::DEFAULT);
    task.give_send(&task, old);
    task.port_deallocate(old).expect("the send right");
    task.port_deallocate(old).expect("the end of the port");
    // Until a new port has both rights under a name in the same slot.
    let new = std::iter::repeat_with(|| task.port(Capacity::DEFAULT)).take(150).find(|new| new.index() == old.index());
    let new = new.expect("the slot is used again");
    task.give_send(&task, new);
    assert_eq!(task.send(Message::to(old), WhenFull::Wait).done(), Err(Error::SendInvalidPort));
    assert_eq!(task.receive_now(old).done().expect_err("no right"), Error::ReceiveInvalidPort);
    let carried = Message::to(new).right(old, Disposition::MakeSend);
    assert_eq!(task.send(carried, WhenFull::Wait).done(), Err(Error::SendInvalidRight));
    let replied = Message::to(new).reply(old, Disposition::MakeSendOnce);
    assert_eq!(task.send(replied, WhenFull::Wait).done(), Err(Error::SendInvalidReply));
    assert_eq!(task.call(Call::ThreadSwitch { hint: old, sleep: None }).done().0, Err(Error::InvalidName));
    assert_eq!((task.port_type(old), task.port_status(old)), (Err(Error::InvalidName), Err(Error::InvalidName)));
    assert_eq!(task.port_mod_refs(old, RightKind::Send, 1), Err(Error::InvalidName));
    assert_eq!(task.port_set_backlog(old, Capacity::Zero), Err(Error::InvalidName));
    assert_eq!(task.status(new).messages, 0);
}
