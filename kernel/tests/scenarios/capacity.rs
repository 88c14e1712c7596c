//! The three capacities, and the five answers to a full mailbox.

use crate::harness::{Mailbox, Message, ORDINARY, System, WhenFull};
use portolan_abi::message::{Header, Options};
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::task::Limits;
use portolan_abi::{Capacity, Disposition, Error, RightKind};
use zerocopy::FromBytes;

const ONE: Capacity = Capacity::Bounded(1);

/// Takes the notice that a cached message was accepted; the name it is about.
fn accepted(mailbox: &Mailbox) -> portolan_abi::Result<portolan_abi::Name> {
    let notice = mailbox.sender.receive_now(mailbox.sender.notify()).done()?;
    assert_eq!(notice.header.id, Kind::MessageAccepted as u32);
    Ok(Notification::read_from_bytes(&notice.body).expect("a notification").name)
}

// While there is room, the five policies are the same.

#[test]
fn a_free_place_is_taken_under_every_policy() {
    for policy in WhenFull::ALL {
        let mailbox = Mailbox::new(ONE);
        assert_eq!(mailbox.send("fits", policy).done(), Ok(()), "{policy:?}");
        assert_eq!(mailbox.take_all(), ["fits"]);
    }
}

#[test]
fn a_waiting_receiver_is_the_free_place_of_a_rendezvous_under_every_policy() {
    for policy in WhenFull::ALL {
        let mailbox = Mailbox::new(Capacity::Zero);
        let receive = mailbox.receive();
        assert_eq!(mailbox.send("meets", policy).done(), Ok(()), "{policy:?}");
        assert_eq!(receive.done().expect("the message").text(), "meets");
    }
}

#[test]
fn an_unbounded_mailbox_is_never_full_under_every_policy() {
    let mailbox = Mailbox::new(Capacity::Unbounded);
    for _ in 0..20 {
        for policy in WhenFull::ALL {
            assert_eq!(mailbox.send("one more", policy).done(), Ok(()), "{policy:?}");
        }
    }
    assert_eq!(mailbox.messages(), 100);
}

// Wait for ever.

#[test]
fn wait_on_a_full_mailbox_lasts_until_a_message_is_taken() {
    let mailbox = Mailbox::full(ONE);
    let send = mailbox.send("late", WhenFull::Wait);
    mailbox.system.jump_ms(1_000_000);
    assert!(send.waits());
    assert_eq!(mailbox.take(), Ok("filling".into()));
    assert_eq!(send.done(), Ok(()));
    assert_eq!(mailbox.take_all(), ["late"]);
}

#[test]
fn wait_on_a_rendezvous_lasts_until_a_receiver_comes() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let send = mailbox.send("early", WhenFull::Wait);
    assert!(send.waits());
    assert_eq!((mailbox.messages(), mailbox.receiver.status(mailbox.port).senders), (0, 1));
    assert_eq!(mailbox.receive().done().expect("the message").text(), "early");
    assert_eq!(send.done(), Ok(()));
}

// Wait at most n ms.

#[test]
fn wait_n_ms_on_a_full_mailbox_ends_after_n_ms_and_the_message_is_not_sent() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = Mailbox::full(capacity);
        let send = mailbox.send("never", WhenFull::WaitMs(10));
        mailbox.system.advance_ms(9);
        assert!(send.waits());
        mailbox.system.advance_ms(1);
        assert_eq!(send.done(), Err(Error::SendTimedOut));
        assert!(!mailbox.take_all().contains(&"never".to_owned()));
    }
}

#[test]
fn wait_n_ms_succeeds_if_a_place_is_free_in_time() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = Mailbox::full(capacity);
        let send = mailbox.send("in time", WhenFull::WaitMs(10));
        mailbox.system.advance_ms(9);
        mailbox.take().expect("a message");
        assert_eq!(send.done(), Ok(()));
    }
}

// Return at once.

#[test]
fn return_on_a_full_mailbox_is_at_once_and_the_message_is_not_sent() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = Mailbox::full(capacity);
        let before = mailbox.messages();
        assert_eq!(mailbox.send("never", WhenFull::Return).done(), Err(Error::SendTimedOut));
        assert_eq!((mailbox.messages(), mailbox.receiver.status(mailbox.port).senders), (before, 0));
    }
}

// Let the kernel cache it.

#[test]
fn cache_on_a_full_mailbox_takes_the_message_and_announces_its_acceptance() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = Mailbox::full(capacity);
        let before = mailbox.messages();
        assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
        let status = mailbox.receiver.status(mailbox.port);
        assert_eq!((status.messages, status.cached, status.senders), (before + 1, 1, 0));
        assert_eq!(accepted(&mailbox), Err(Error::ReceiveTimedOut));
        assert_eq!(mailbox.take_all().last().map(String::as_str), Some("cached"));
        assert_eq!(accepted(&mailbox), Ok(mailbox.to));
        assert_eq!(accepted(&mailbox), Err(Error::ReceiveTimedOut));
    }
}

#[test]
fn the_notice_comes_when_the_cached_message_is_taken_not_when_a_place_is_free() {
    let mailbox = Mailbox::full(Capacity::Bounded(2));
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    mailbox.take().expect("the first");
    mailbox.take().expect("the second");
    assert_eq!(accepted(&mailbox), Err(Error::ReceiveTimedOut));
    assert_eq!(mailbox.take(), Ok("cached".into()));
    assert_eq!(accepted(&mailbox), Ok(mailbox.to));
}

#[test]
fn a_second_cached_message_is_refused_and_stays_with_its_sender() {
    let mailbox = Mailbox::full(ONE);
    let gift = mailbox.sender.port(Capacity::DEFAULT);
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    let second = Message::to(mailbox.to).text("second").right(gift, Disposition::MoveReceive);
    let from_other_thread = mailbox.sender.thread();
    for thread in [&*mailbox.sender, &from_other_thread] {
        let refused = thread.send(second.clone(), WhenFull::Cache);
        assert_eq!(refused.done(), Err(Error::SendNotifyInProgress));
    }
    assert_eq!(mailbox.sender.port_type(gift).expect("still ours").receive, 1);
    assert_eq!(mailbox.take_all(), ["filling", "cached"]);
}

#[test]
fn the_slot_is_free_again_once_the_cached_message_is_taken() {
    let mailbox = Mailbox::full(ONE);
    for round in 0..3 {
        assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify), "round {round}");
        mailbox.take().expect("the one before");
        mailbox.take().expect("the cached one");
        assert_eq!(accepted(&mailbox), Ok(mailbox.to));
        assert_eq!(mailbox.send("filling", WhenFull::Return).done(), Ok(()));
    }
}

#[test]
fn every_task_has_its_own_slot_at_every_port() {
    let mailbox = Mailbox::full(ONE);
    let other = mailbox.system.task("other");
    let others = mailbox.receiver.give_send(&other, mailbox.port);
    assert_eq!(mailbox.send("mine", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    assert_eq!(other.send(Message::to(others), WhenFull::Cache).done(), Err(Error::SendWillNotify));
    let second_port = mailbox.receiver.port(Capacity::Zero);
    let to_second = mailbox.receiver.give_send(&mailbox.sender, second_port);
    let there = mailbox.sender.send(Message::to(to_second), WhenFull::Cache);
    assert_eq!(there.done(), Err(Error::SendWillNotify));
    assert_eq!(mailbox.receiver.status(mailbox.port).cached, 2);
}

#[test]
fn the_conformance_case_of_the_original_rendezvous_with_send_notify() {
    // Capacity 0, a cached send: one message is there; taking it brings the notice.
    let mailbox = Mailbox::new(Capacity::Zero);
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    assert_eq!(mailbox.messages(), 1);
    assert_eq!(mailbox.take(), Ok("cached".into()));
    assert_eq!(accepted(&mailbox), Ok(mailbox.to));
    assert_eq!(mailbox.messages(), 0);
}

// Wait n ms, then cache.

#[test]
fn wait_then_cache_caches_after_n_ms() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = Mailbox::full(capacity);
        let send = mailbox.send("patient", WhenFull::WaitMsThenCache(10));
        mailbox.system.advance_ms(9);
        assert!(send.waits());
        assert_eq!(mailbox.receiver.status(mailbox.port).cached, 0);
        mailbox.system.advance_ms(1);
        assert_eq!(send.done(), Err(Error::SendWillNotify));
        assert_eq!(mailbox.receiver.status(mailbox.port).cached, 1);
        assert_eq!(mailbox.take_all().last().map(String::as_str), Some("patient"));
        assert_eq!(accepted(&mailbox), Ok(mailbox.to));
    }
}

#[test]
fn wait_then_cache_is_a_plain_send_if_a_place_is_free_in_time() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = Mailbox::full(capacity);
        let send = mailbox.send("patient", WhenFull::WaitMsThenCache(10));
        mailbox.system.advance_ms(5);
        mailbox.take().expect("a message");
        assert_eq!(send.done(), Ok(()));
        mailbox.system.advance_ms(100);
        mailbox.take_all();
        assert_eq!(accepted(&mailbox), Err(Error::ReceiveTimedOut));
    }
}

#[test]
fn wait_then_cache_meets_a_slot_in_use_after_its_wait() {
    let mailbox = Mailbox::full(ONE);
    assert_eq!(mailbox.send("first", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    let second = mailbox.send("second", WhenFull::WaitMsThenCache(10));
    mailbox.system.advance_ms(10);
    assert_eq!(second.done(), Err(Error::SendNotifyInProgress));
    assert_eq!(mailbox.take_all(), ["filling", "first"]);
}

// Places and those who wait for them.

#[test]
fn a_bounded_mailbox_takes_exactly_its_number() {
    for places in [1, 2, 5, 16] {
        let mailbox = Mailbox::full(Capacity::Bounded(places));
        assert_eq!(mailbox.messages(), places);
        assert_eq!(mailbox.send("over", WhenFull::Return).done(), Err(Error::SendTimedOut));
    }
}

#[test]
fn two_waiting_receivers_are_two_places_of_a_rendezvous() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let second = mailbox.receiver.thread();
    let receives = [mailbox.receive(), second.receive(mailbox.port)];
    let sends = ["one", "two", "three"].map(|text| mailbox.send(text, WhenFull::Return).done());
    assert_eq!(sends, [Ok(()), Ok(()), Err(Error::SendTimedOut)]);
    assert_eq!(receives.map(|receive| receive.done().expect("a message").text().to_owned()), ["one", "two"]);
}

#[test]
fn waiting_senders_are_served_in_the_order_they_came() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = Mailbox::full(capacity);
        let threads: Vec<_> = (0..5).map(|_| mailbox.sender.thread()).collect();
        let sends: Vec<_> = (0u8..5)
            .map(|number| {
                let message = Message::to(mailbox.to).text([b'a' + number]);
                threads[usize::from(number)].send(message, WhenFull::Wait)
            })
            .collect();
        assert!(sends.iter().all(|send| send.waits()));
        let mut texts = mailbox.take_all();
        texts.retain(|text| text != "filling");
        assert_eq!(texts, ["a", "b", "c", "d", "e"]);
        assert!(sends.iter().all(|send| send.done() == Ok(())));
    }
}

#[test]
fn a_freed_place_is_handed_to_who_waits_and_cannot_be_snatched() {
    let mailbox = Mailbox::full(ONE);
    let newcomer = mailbox.sender.thread();
    let waiting = mailbox.send("waited", WhenFull::Wait);
    mailbox.take().expect("the first");
    let snatch = newcomer.send(Message::to(mailbox.to).text("snatched"), WhenFull::Return);
    assert_eq!(snatch.done(), Err(Error::SendTimedOut));
    assert_eq!(waiting.done(), Ok(()));
    assert_eq!(mailbox.take_all(), ["waited"]);
}

#[test]
fn one_place_lets_in_one_sender() {
    let mailbox = Mailbox::full(ONE);
    let second = mailbox.sender.thread();
    let sends = [mailbox.send("one", WhenFull::Wait), second.send(Message::to(mailbox.to), WhenFull::Wait)];
    mailbox.take().expect("the first");
    assert!(!sends[0].waits() && sends[1].waits());
    assert_eq!(mailbox.messages(), 1);
}

#[test]
fn a_cached_message_takes_no_place_from_those_who_wait() {
    let mailbox = Mailbox::full(ONE);
    let patient = mailbox.sender.thread();
    let waiting = patient.send(Message::to(mailbox.to).text("waited"), WhenFull::Wait);
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    let mut texts = mailbox.take_all();
    texts.sort();
    assert_eq!(texts, ["cached", "filling", "waited"]);
    assert_eq!(waiting.done(), Ok(()));
    assert_eq!(accepted(&mailbox), Ok(mailbox.to));
}

// Changing the capacity.

#[test]
fn a_raised_capacity_lets_in_as_many_as_now_have_a_place() {
    let mailbox = Mailbox::full(ONE);
    let threads: Vec<_> = (0..4).map(|_| mailbox.sender.thread()).collect();
    let sends: Vec<_> = threads.iter().map(|thread| thread.send(Message::to(mailbox.to), WhenFull::Wait)).collect();
    mailbox.receiver.port_set_backlog(mailbox.port, Capacity::Bounded(3)).expect("a larger mailbox");
    assert_eq!(sends.iter().map(|send| send.waits()).collect::<Vec<_>>(), [false, false, true, true]);
    mailbox.receiver.port_set_backlog(mailbox.port, Capacity::Unbounded).expect("an unbounded mailbox");
    assert!(sends.iter().all(|send| send.done() == Ok(())));
    assert_eq!(mailbox.messages(), 5);
}

#[test]
fn a_lowered_capacity_removes_nothing_and_is_full_until_it_has_drained() {
    let mailbox = Mailbox::full(Capacity::Bounded(3));
    mailbox.receiver.port_set_backlog(mailbox.port, ONE).expect("a smaller mailbox");
    assert_eq!(mailbox.messages(), 3);
    for _ in 0..3 {
        assert_eq!(mailbox.send("over", WhenFull::Return).done(), Err(Error::SendTimedOut));
        assert_eq!(mailbox.take(), Ok("filling".into()));
    }
    assert_eq!(mailbox.send("fits", WhenFull::Return).done(), Ok(()));
}

#[test]
fn a_mailbox_can_become_a_rendezvous_and_back() {
    let mailbox = Mailbox::full(ONE);
    mailbox.receiver.port_set_backlog(mailbox.port, Capacity::Zero).expect("a rendezvous");
    let waiting = mailbox.send("waits", WhenFull::Wait);
    assert_eq!(mailbox.take(), Ok("filling".into()));
    assert!(waiting.waits());
    mailbox.receiver.port_set_backlog(mailbox.port, ONE).expect("a mailbox");
    assert_eq!(waiting.done(), Ok(()));
    assert_eq!(mailbox.take_all(), ["waits"]);
}

#[test]
fn a_capacity_out_of_range_is_refused_and_nothing_changes() {
    let mailbox = Mailbox::full(ONE);
    let set = |code| {
        let first = mailbox.system.first();
        portolan_abi::port::port_set_backlog(&**first, mailbox.receiver.kernel_port(), mailbox.port, code).map(|_| ())
    };
    assert_eq!(set(65_536), Err(Error::InvalidValue));
    assert_eq!(set(u32::MAX - 1), Err(Error::InvalidValue));
    assert_eq!(mailbox.receiver.status(mailbox.port).capacity, 1);
}

// What no capacity holds back.

#[test]
fn a_message_through_a_send_once_right_is_never_held_back() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = Mailbox::full(capacity);
        let before = mailbox.messages();
        let once = mailbox.receiver.give(&mailbox.sender, mailbox.port, Disposition::MakeSendOnce);
        let message = Message::by(once, Disposition::MoveSendOnce).text("forced");
        assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Ok(()));
        assert_eq!(mailbox.messages(), before + 1);
        assert_eq!(mailbox.take_all().last().map(String::as_str), Some("forced"));
    }
}

// Who pays for what waits in an unbounded mailbox.

#[test]
fn an_unbounded_mailbox_holds_what_the_sender_can_pay_for() {
    let system = System::boot();
    let receiver = system.task("receiver");
    let poor = system.task_with("poor", Limits { frames: 50, ..ORDINARY }).expect("a task");
    let port = receiver.port(Capacity::Unbounded);
    let to = receiver.give_send(&poor, port);
    let gift = poor.port(Capacity::DEFAULT);
    let message = || Message::to(to).text([1; 900]);
    let mut sent = 0;
    let refused = loop {
        match poor.send(message(), WhenFull::Wait).done() {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Error::SendNoBuffer);
    assert!((10..50).contains(&sent), "{sent} messages of a page in 50 frames");
    let with_right = message().right(gift, Disposition::MoveReceive);
    assert_eq!(poor.send(with_right, WhenFull::Wait).done(), Err(Error::SendNoBuffer));
    assert_eq!(poor.port_type(gift).expect("still ours").receive, 1);
    // Another sender is not harmed, and a message taken is paid back.
    let rich = system.task("rich");
    let richs = receiver.give_send(&rich, port);
    assert_eq!(rich.send(Message::to(richs), WhenFull::Wait).done(), Ok(()));
    receiver.receive(port).done().expect("the first message");
    assert_eq!(poor.send(message(), WhenFull::Wait).done(), Ok(()));
}

#[test]
fn a_receiver_with_a_small_buffer_leaves_a_waiting_sender_waiting() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let send = mailbox.send("does not fit", WhenFull::Wait);
    let small = mailbox.receiver.receive_with(mailbox.port, Options::empty(), 0, 80);
    assert_eq!(small.done().expect_err("too small"), Error::ReceiveTooLarge);
    assert!(send.waits());
    assert_eq!(mailbox.take(), Ok("does not fit".into()));
    assert_eq!(send.done(), Ok(()));
}

#[test]
fn a_handed_over_processor_goes_to_the_receiver_at_once() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let bystander = mailbox.sender.thread();
    let log = mailbox.receiver.port(Capacity::Unbounded);
    mailbox.receiver.give_send(&mailbox.receiver, log);
    let bystanders = mailbox.receiver.give_send(&mailbox.sender, log);
    let receive = mailbox.receive();
    mailbox.receiver.plan(mailbox.receiver.send_actions(Message::to(log).id(1), WhenFull::Wait));
    mailbox.sender.plan(mailbox.sender.send_with_actions(Message::to(mailbox.to), Options::SEND_SWITCH));
    mailbox.sender.plan(mailbox.sender.send_actions(Message::to(bystanders).id(2), WhenFull::Wait));
    mailbox.system.rest();
    assert!(!receive.waits());
    let order = [(); 2].map(|()| mailbox.receiver.receive_now(log).done().expect("an event").header.id);
    assert_eq!(order, [1, 2]);
    assert!(bystander.is_free());
}

// Rights that are used up, or let go, by the message that found the mailbox full.

#[test]
fn a_message_through_a_right_made_once_is_always_taken_and_says_so() {
    let mailbox = Mailbox::full(ONE);
    let message = Message::by(mailbox.port, Disposition::MakeSendOnce).text("forced");
    assert_eq!(mailbox.receiver.send(message, WhenFull::Return).done(), Ok(()));
    assert_eq!(mailbox.messages(), 2);
    assert_eq!(mailbox.take(), Ok("filling".into()));
    let forced = mailbox.receiver.receive_now(mailbox.port).done().expect("the message");
    assert_eq!(forced.header.bits, Header::bits_of(0, RightKind::SendOnce as u8));
    assert_eq!(mailbox.receiver.status(mailbox.port).send_once_rights, 0);
}

#[test]
fn a_task_has_one_message_cached_at_a_port_also_when_the_first_took_its_last_right() {
    let mailbox = Mailbox::full(ONE);
    let last = Message::by(mailbox.to, Disposition::MoveSend).text("the last right");
    assert_eq!(mailbox.sender.send(last, WhenFull::Cache).done(), Err(Error::SendWillNotify));
    assert_eq!(mailbox.sender.port_type(mailbox.to), Err(Error::InvalidName));
    let again = mailbox.receiver.give_send(&mailbox.sender, mailbox.port);
    let second = || mailbox.sender.send(Message::to(again).text("second"), WhenFull::Cache).done();
    assert_eq!(second(), Err(Error::SendNotifyInProgress));
    assert_eq!(mailbox.take_all(), ["filling", "the last right"]);
    assert_eq!(accepted(&mailbox), Ok(again));
    assert_eq!(second(), Ok(()));
}

#[test]
fn the_notice_for_a_cached_message_names_no_name_that_was_let_go() {
    let mailbox = Mailbox::full(ONE);
    let last = Message::by(mailbox.to, Disposition::MoveSend).text("the last right");
    let names = mailbox.sender.info().names;
    assert_eq!(mailbox.sender.send(last, WhenFull::Cache).done(), Err(Error::SendWillNotify));
    assert_eq!(mailbox.take_all(), ["filling", "the last right"]);
    assert_eq!(accepted(&mailbox), Ok(portolan_abi::Name::NULL));
    assert_eq!(mailbox.sender.info().names, names - 1);
}
