//! A full mailbox as its receiver wants it, and as each generation of Mach has it.

use crate::harness::{Mailbox, Message, Task, WhenFull};
use portolan_abi::message::Options;
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::port::{port_set_full, port_set_generation};
use portolan_abi::{AtFull, Capacity, Disposition, Error, Generation, Name, Result, RightKind};
use zerocopy::FromBytes;

const ONE: Capacity = Capacity::Bounded(1);

fn set_full(mailbox: &Mailbox, answer: AtFull) {
    let receiver = &mailbox.receiver;
    port_set_full(&**receiver, receiver.task_self(), mailbox.port, answer.code()).expect("a receive right");
}

fn set_generation(task: &Task, name: Name, generation: Generation) -> Result<()> {
    port_set_generation(&**task, task.task_self(), name, generation as u32).map(|_| ())
}

/// A full mailbox whose receiver wants this.
fn full(capacity: Capacity, answer: AtFull) -> Mailbox {
    let mailbox = Mailbox::full(capacity);
    set_full(&mailbox, answer);
    mailbox
}

/// Refused, dropped oldest, dropped newest, replaced.
fn overflows(mailbox: &Mailbox) -> [u64; 4] {
    let status = mailbox.receiver.status(mailbox.port);
    [status.refused, status.dropped_oldest, status.dropped_newest, status.replaced]
}

fn notice(task: &Task) -> Result<(u32, Notification)> {
    let notice = task.receive_now(task.notify()).done()?;
    Ok((notice.header.id, Notification::read_from_bytes(&notice.body).expect("a notification")))
}

/// A message with a receive right, and the name of that.
fn with_gift(mailbox: &Mailbox) -> (Message, Name) {
    let gift = mailbox.sender.port(ONE);
    (Message::to(mailbox.to).text("sent").right(gift, Disposition::MoveReceive), gift)
}

fn is_ours(task: &Task, name: Name) -> bool {
    task.port_type(name).is_ok_and(|kind| kind.receive == 1)
}

// The receiver's answers.

#[test]
fn a_mailbox_that_refuses_gives_everything_back_whatever_its_sender_says() {
    for capacity in [ONE, Capacity::Zero] {
        let mailbox = full(capacity, AtFull::Refuse);
        for (count, policy) in WhenFull::ALL.into_iter().enumerate() {
            let (message, gift) = with_gift(&mailbox);
            assert_eq!(mailbox.sender.send(message, policy).done(), Err(Error::SendPortFull), "{policy:?}");
            assert!(is_ours(&mailbox.sender, gift));
            assert_eq!(overflows(&mailbox), [count as u64 + 1, 0, 0, 0]);
        }
    }
}

#[test]
fn a_mailbox_that_drops_the_oldest_has_the_youngest() {
    let mailbox = full(Capacity::Bounded(2), AtFull::DropOldest);
    for policy in WhenFull::ALL {
        assert_eq!(mailbox.send("young", policy).done(), Ok(()), "{policy:?}");
    }
    assert_eq!(overflows(&mailbox), [0, 5, 0, 0]);
    assert_eq!(mailbox.take_all(), ["young", "young"]);
}

#[test]
fn a_mailbox_that_drops_the_newest_has_the_oldest_and_its_sender_goes_on() {
    for policy in WhenFull::ALL {
        let mailbox = full(ONE, AtFull::DropNewest);
        let (message, gift) = with_gift(&mailbox);
        assert_eq!(mailbox.sender.send(message, policy).done(), Ok(()), "{policy:?}");
        assert!(!is_ours(&mailbox.sender, gift));
        assert_eq!(overflows(&mailbox), [0, 0, 1, 0]);
        assert_eq!(mailbox.take_all(), ["filling"]);
    }
}

#[test]
fn a_rendezvous_has_no_place_for_the_oldest_or_the_newest() {
    let mailbox = full(Capacity::Zero, AtFull::DropOldest);
    assert_eq!(mailbox.send("dropped", WhenFull::Wait).done(), Ok(()));
    assert_eq!(overflows(&mailbox), [0, 0, 1, 0]);
    let receive = mailbox.receive();
    assert_eq!(mailbox.send("met", WhenFull::Wait).done(), Ok(()));
    assert_eq!(receive.done().expect("the message").text(), "met");
}

#[test]
fn a_message_takes_the_place_of_the_one_with_its_id() {
    let mailbox = Mailbox::new(Capacity::Bounded(3));
    set_full(&mailbox, AtFull::Replace);
    let send =
        |id: u32, text: &str, policy| mailbox.sender.send(Message::to(mailbox.to).id(id).text(text), policy).done();
    for id in [1, 2, 3] {
        assert_eq!(send(id, &format!("old {id}"), WhenFull::Wait), Ok(()));
    }
    assert_eq!(send(2, "new 2", WhenFull::Wait), Ok(()));
    assert_eq!(send(4, "new 4", WhenFull::Return), Err(Error::SendTimedOut));
    assert_eq!(overflows(&mailbox), [0, 0, 0, 1]);
    assert_eq!(mailbox.take_all(), ["old 1", "new 2", "old 3"]);
}

#[test]
fn a_dropped_request_ends_its_rpc() {
    for answer in [AtFull::DropNewest, AtFull::DropOldest] {
        let mailbox = full(ONE, answer);
        let port = mailbox.sender.port(ONE);
        let request = Message::to(mailbox.to).reply(port, Disposition::MakeSendOnce);
        let rpc = mailbox.sender.rpc(request, port);
        if answer == AtFull::DropOldest {
            assert!(rpc.waits());
            let other = mailbox.sender.thread();
            assert_eq!(other.send(Message::to(mailbox.to), WhenFull::Return).done(), Ok(()));
        }
        assert_eq!(rpc.done().expect_err("no reply"), Error::ReceiveReplyLost);
    }
}

#[test]
fn rights_in_a_dropped_message_are_destroyed() {
    let mailbox = full(ONE, AtFull::DropOldest);
    let watched = mailbox.sender.port(ONE);
    let (message, gift) = with_gift(&mailbox);
    let message = message.right(watched, Disposition::MakeSendOnce);
    let heir = mailbox.sender.give(&mailbox.receiver, gift, Disposition::MakeSend);
    assert_eq!(mailbox.sender.send(message, WhenFull::Wait).done(), Ok(()));
    assert_eq!(mailbox.send("youngest", WhenFull::Wait).done(), Ok(()));
    assert_eq!(mailbox.receiver.port_type(heir).expect("a dead name").dead, 1);
    let lost = mailbox.sender.receive_now(watched).done().expect("a notice");
    assert_eq!(lost.header.id, Kind::SendOnce as u32);
}

#[test]
fn a_cached_message_that_is_dropped_is_told_and_frees_its_slot() {
    for answer in [AtFull::DropOldest, AtFull::Replace] {
        let mailbox = Mailbox::full(ONE);
        let cached = Message::to(mailbox.to).id(5).text("cached");
        assert_eq!(mailbox.sender.send(cached.clone(), WhenFull::Cache).done(), Err(Error::SendWillNotify));
        mailbox.take().expect("the one before");
        set_full(&mailbox, answer);
        assert_eq!(mailbox.sender.send(cached.clone().text("newer"), WhenFull::Return).done(), Ok(()));
        let dropped = Notification { name: mailbox.to, count: 5 };
        assert_eq!(notice(&mailbox.sender), Ok((Kind::MessageDropped as u32, dropped)), "{answer:?}");
        assert_eq!(mailbox.receiver.status(mailbox.port).cached, 0);
        set_full(&mailbox, AtFull::Sender);
        assert_eq!(mailbox.sender.send(cached, WhenFull::Cache).done(), Err(Error::SendWillNotify));
    }
}

#[test]
fn senders_that_wait_are_answered_as_if_they_came_now() {
    let results: [(AtFull, Result<()>, &[&str]); 3] = [
        (AtFull::Refuse, Err(Error::SendPortFull), &["filling"]),
        (AtFull::DropNewest, Ok(()), &["filling"]),
        (AtFull::DropOldest, Ok(()), &["second"]),
    ];
    for (answer, result, left) in results {
        let mailbox = Mailbox::full(ONE);
        let other = mailbox.sender.thread();
        let waiting = [
            mailbox.send("first", WhenFull::Wait),
            other.send(Message::to(mailbox.to).text("second"), WhenFull::WaitMs(50)),
        ];
        set_full(&mailbox, answer);
        assert_eq!(waiting.map(|send| send.done()), [result, result], "{answer:?}");
        assert_eq!(mailbox.take_all(), left);
    }
}

#[test]
fn what_comes_through_a_send_once_right_is_taken_whatever_the_answer() {
    for answer in AtFull::ALL {
        let mailbox = full(ONE, answer);
        let once = mailbox.receiver.give(&mailbox.sender, mailbox.port, Disposition::MakeSendOnce);
        let message = Message::by(once, Disposition::MoveSendOnce).text("forced");
        assert_eq!(mailbox.sender.send(message, WhenFull::Return).done(), Ok(()));
        assert_eq!(mailbox.take_all(), ["filling", "forced"]);
    }
}

#[test]
fn an_answer_or_a_generation_that_is_none_changes_nothing() {
    let mailbox = Mailbox::full(ONE);
    let (receiver, sender) = (&mailbox.receiver, &mailbox.sender);
    let set = |task: &Task, name, code| port_set_full(&**task, task.task_self(), name, code).map(|_| ());
    assert_eq!(set(receiver, mailbox.port, 5), Err(Error::InvalidValue));
    assert_eq!(set(sender, mailbox.to, 1), Err(Error::NotReceiver));
    assert_eq!(receiver.status(mailbox.port).at_full, 0);
    let set = |name, code| port_set_generation(&**sender, sender.task_self(), name, code).map(|_| ());
    assert_eq!(set(mailbox.to, 4), Err(Error::InvalidValue));
    assert_eq!(set(sender.port(ONE), 1), Err(Error::InvalidRight));
    assert_eq!(set(Name(77), 1), Err(Error::InvalidName));
}

// Generations.

#[test]
fn who_has_the_message_after_a_send_that_timed_out() {
    for generation in Generation::ALL {
        for policy in [WhenFull::Return, WhenFull::WaitMs(10)] {
            let mailbox = Mailbox::full(ONE);
            set_generation(&mailbox.sender, mailbox.to, generation).expect("a send right");
            let (message, gift) = with_gift(&mailbox);
            let send = mailbox.sender.send(message, policy);
            mailbox.system.advance_ms(10);
            assert_eq!(send.done(), Err(Error::SendTimedOut), "{generation:?}");
            assert_eq!(is_ours(&mailbox.sender, gift), generation != Generation::Mach25, "{generation:?} {policy:?}");
            assert_eq!(mailbox.take_all(), ["filling"]);
        }
    }
}

#[test]
fn who_has_the_message_if_the_port_dies_during_the_wait() {
    for generation in Generation::ALL {
        let mailbox = Mailbox::full(ONE);
        set_generation(&mailbox.sender, mailbox.to, generation).expect("a send right");
        let (message, gift) = with_gift(&mailbox);
        let send = mailbox.sender.send(message, WhenFull::Wait);
        mailbox.receiver.port_mod_refs(mailbox.port, RightKind::Receive, -1).expect("its end");
        let (result, ours) = match generation {
            Generation::Portolan => (Err(Error::SendInvalidPort), true),
            Generation::Mach25 => (Err(Error::SendInvalidPort), false),
            Generation::Mach3 | Generation::Xnu => (Ok(()), false),
        };
        assert_eq!((send.done(), is_ours(&mailbox.sender, gift)), (result, ours), "{generation:?}");
    }
}

#[test]
fn a_second_cached_message_is_destroyed_by_the_oldest_generation_only() {
    for generation in [Generation::Portolan, Generation::Mach25, Generation::Mach3] {
        let mailbox = Mailbox::full(ONE);
        set_generation(&mailbox.sender, mailbox.to, generation).expect("a send right");
        assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
        let (message, gift) = with_gift(&mailbox);
        assert_eq!(mailbox.sender.send(message, WhenFull::Cache).done(), Err(Error::SendNotifyInProgress));
        assert_eq!(is_ours(&mailbox.sender, gift), generation != Generation::Mach25, "{generation:?}");
    }
}

#[test]
fn the_youngest_generation_tells_of_room_instead_of_caching() {
    for ms in [0, 10] {
        let mailbox = Mailbox::full(ONE);
        set_generation(&mailbox.sender, mailbox.to, Generation::Xnu).expect("a send right");
        let options = Options::SEND_TIMEOUT | Options::SEND_NOTIFY;
        for _ in 0..2 {
            let send = mailbox.sender.send_with(Message::to(mailbox.to), options, ms);
            mailbox.system.advance_ms(10);
            assert_eq!(send.done(), Err(Error::SendTimedOut));
        }
        assert_eq!(notice(&mailbox.sender), Err(Error::ReceiveTimedOut));
        assert_eq!(mailbox.take_all(), ["filling"]);
        let possible = Notification { name: mailbox.to, count: 0 };
        assert_eq!(notice(&mailbox.sender), Ok((Kind::SendPossible as u32, possible)));
        assert_eq!(notice(&mailbox.sender), Err(Error::ReceiveTimedOut));
    }
    let mailbox = Mailbox::full(ONE);
    set_generation(&mailbox.sender, mailbox.to, Generation::Xnu).expect("a send right");
    let send = mailbox.sender.send_with(Message::to(mailbox.to), Options::SEND_NOTIFY, 0);
    assert!(send.waits());
    mailbox.take().expect("the one before");
    assert_eq!(send.done(), Ok(()));
}

#[test]
fn a_generation_goes_with_its_name_and_not_with_the_right() {
    let mailbox = Mailbox::full(ONE);
    let sender = &mailbox.sender;
    set_generation(sender, mailbox.to, Generation::Mach25).expect("a send right");
    let other = mailbox.system.task("other");
    let copy = sender.give(&other, mailbox.to, Disposition::CopySend);
    let gift = other.port(ONE);
    let message = Message::to(copy).right(gift, Disposition::MoveReceive);
    assert_eq!(other.send(message, WhenFull::Return).done(), Err(Error::SendTimedOut));
    assert!(is_ours(&other, gift));
    sender.port_deallocate(mailbox.to).expect("the name");
    let again = mailbox.receiver.give_send(sender, mailbox.port);
    let gift = sender.port(ONE);
    let message = Message::to(again).right(gift, Disposition::MoveReceive);
    assert_eq!(sender.send(message, WhenFull::Return).done(), Err(Error::SendTimedOut));
    assert!(is_ours(sender, gift));
}
