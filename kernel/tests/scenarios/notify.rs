//! Notifications: what the kernel tells a task by itself, and that none is lost or forged.

use crate::harness::{Mailbox, Message, System, Task, WhenFull};
use portolan_abi::message::{Header, Trailer};
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::{Capacity, Disposition, Error, Name, RightKind};
use zerocopy::FromBytes;

const ONE: Capacity = Capacity::Bounded(1);

/// All notices that wait at a task's notify port: what happened, and the name it is about.
fn notices(task: &Task) -> Vec<(Kind, Name)> {
    std::iter::from_fn(|| task.receive_now(task.notify()).done().ok())
        .map(|message| {
            assert_eq!(message.trailer.flags & Trailer::FROM_KERNEL, Trailer::FROM_KERNEL);
            assert_eq!(message.trailer.sender, 0);
            assert_eq!(message.header.bits, Header::bits_of(0, RightKind::SendOnce as u8));
            let body = Notification::read_from_bytes(&message.body).expect("a notification");
            (Kind::from_id(message.header.id).expect("a kind"), body.name)
        })
        .collect()
}

#[test]
fn every_task_has_a_notify_port_from_birth() {
    let system = System::boot();
    let task = system.task("task");
    let notify = task.notify();
    assert_eq!(task.notify(), notify);
    assert_eq!(task.port_type(notify).expect("its type").receive, 1);
    assert_eq!(notices(&task), []);
}

#[test]
fn the_holders_of_send_rights_are_told_that_the_port_died() {
    let mailbox = Mailbox::new(ONE);
    let other = mailbox.system.task("other");
    let others = mailbox.receiver.give_send(&other, mailbox.port);
    mailbox.receiver.port_deallocate(mailbox.port).expect("the end of the port");
    assert_eq!(notices(&mailbox.sender), [(Kind::DeadName, mailbox.to)]);
    assert_eq!(notices(&other), [(Kind::DeadName, others)]);
    assert_eq!(notices(&mailbox.receiver), []);
}

#[test]
fn a_dead_name_is_told_once_however_many_references_it_has() {
    let mailbox = Mailbox::new(ONE);
    mailbox.sender.port_mod_refs(mailbox.to, RightKind::Send, 9).expect("ten references");
    mailbox.receiver.terminate();
    assert_eq!(notices(&mailbox.sender), [(Kind::DeadName, mailbox.to)]);
    assert_eq!(mailbox.sender.port_type(mailbox.to).expect("a dead name").dead, 10);
}

#[test]
fn a_receiver_at_the_notify_port_is_woken_by_a_death() {
    let mailbox = Mailbox::new(ONE);
    let watch = mailbox.sender.receive(mailbox.sender.notify());
    assert!(watch.waits());
    mailbox.receiver.terminate();
    assert_eq!(watch.done().expect("a notice").header.id, Kind::DeadName as u32);
}

#[test]
fn hundreds_of_dead_names_are_all_told() {
    let system = System::boot();
    let limits = portolan_abi::task::Limits { memory: 2 << 20, ports: 400, frames: 100 };
    let holder = system.task_with("holder", limits).expect("a task");
    let owner = system.task_with("owner", limits).expect("a task");
    system.unchecked(|| {
        let mut names: Vec<(Kind, Name)> =
            (0..300).map(|_| (Kind::DeadName, owner.give_send(&holder, owner.port(ONE)))).collect();
        owner.terminate();
        let mut told = notices(&holder);
        names.sort_by_key(|(_, name)| *name);
        told.sort_by_key(|(_, name)| *name);
        assert_eq!(told, names);
    });
}

#[test]
fn a_full_notify_port_still_takes_notices() {
    let mailbox = Mailbox::full(ONE);
    let (sender, notify) = (&mailbox.sender, mailbox.sender.notify());
    sender.give_send(sender, notify);
    while sender.send(Message::to(notify).text("noise"), WhenFull::Return).done().is_ok() {}
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    mailbox.take_all();
    mailbox.receiver.terminate();
    let mut kinds = Vec::new();
    while let Ok(message) = sender.receive_now(notify).done() {
        kinds.extend(Kind::from_id(message.header.id).filter(|_| message.trailer.flags == Trailer::FROM_KERNEL));
    }
    kinds.sort_by_key(|kind| *kind as u32);
    assert_eq!(kinds, [Kind::MessageAccepted, Kind::DeadName]);
}

#[test]
fn a_forged_notice_has_not_the_kernels_mark() {
    let mailbox = Mailbox::new(ONE);
    let to_notify = mailbox.receiver.give_send(&mailbox.sender, mailbox.receiver.notify());
    for kind in [Kind::MessageAccepted, Kind::SendOnce, Kind::DeadName] {
        let forged = Message::to(to_notify).id(kind as u32).text([0; 8]);
        assert_eq!(mailbox.sender.send(forged, WhenFull::Wait).done(), Ok(()));
        let message = mailbox.receiver.receive_now(mailbox.receiver.notify()).done().expect("the forgery");
        assert_eq!((message.header.id, message.trailer.flags), (kind as u32, 0));
        assert_eq!(message.trailer.sender, mailbox.sender.info().id);
    }
}

#[test]
fn a_cached_message_whose_port_dies_is_announced_as_dead_not_as_accepted() {
    let mailbox = Mailbox::full(ONE);
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    mailbox.receiver.port_deallocate(mailbox.port).expect("the end of the port");
    assert_eq!(notices(&mailbox.sender), [(Kind::DeadName, mailbox.to)]);
}

#[test]
fn an_accepted_notice_comes_even_if_the_name_has_been_let_go() {
    let mailbox = Mailbox::full(ONE);
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    mailbox.sender.port_deallocate(mailbox.to).expect("ours to let go");
    mailbox.take_all();
    assert_eq!(notices(&mailbox.sender), [(Kind::MessageAccepted, Name::NULL)]);
}

#[test]
fn a_name_that_is_let_go_before_the_death_is_not_told() {
    let mailbox = Mailbox::new(ONE);
    mailbox.sender.port_deallocate(mailbox.to).expect("ours to let go");
    mailbox.receiver.terminate();
    assert_eq!(notices(&mailbox.sender), []);
}

#[test]
fn a_dead_name_that_is_let_go_unseen_is_no_longer_told() {
    let mailbox = Mailbox::new(ONE);
    mailbox.receiver.terminate();
    mailbox.sender.port_deallocate(mailbox.to).expect("a dead name");
    let told = notices(&mailbox.sender);
    // Whether or not the notice had been made: it never names a name that means something else.
    assert!(told.is_empty() || told == [(Kind::DeadName, Name::NULL)], "{told:?}");
}

#[test]
fn a_send_once_notice_comes_to_the_port_itself() {
    let mailbox = Mailbox::new(ONE);
    let once = mailbox.receiver.give(&mailbox.sender, mailbox.port, Disposition::MakeSendOnce);
    let waiting = mailbox.receive();
    mailbox.sender.port_deallocate(once).expect("ours to drop");
    let notice = waiting.done().expect("a notice");
    assert_eq!((notice.header.id, notice.header.local), (Kind::SendOnce as u32, mailbox.port));
    assert_eq!(notice.trailer.flags, Trailer::FROM_KERNEL);
    assert_eq!(notices(&mailbox.receiver), []);
}

#[test]
fn a_task_may_do_without_its_notify_port() {
    let mailbox = Mailbox::full(ONE);
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    mailbox.sender.port_deallocate(mailbox.sender.notify()).expect("ours to give up");
    mailbox.take_all();
    mailbox.receiver.terminate();
    assert_eq!(mailbox.sender.port_type(mailbox.to).expect("a dead name").dead, 1);
}

#[test]
fn notices_go_where_the_notify_port_went() {
    let mailbox = Mailbox::new(ONE);
    let watcher = mailbox.system.task("watcher");
    let moved = mailbox.sender.give(&watcher, mailbox.sender.notify(), Disposition::MoveReceive);
    mailbox.receiver.terminate();
    let notice = watcher.receive_now(moved).done().expect("a notice");
    assert_eq!(notice.header.id, Kind::DeadName as u32);
}

#[test]
fn a_right_that_comes_back_from_an_unsent_message_as_a_dead_name_is_told() {
    let mailbox = Mailbox::full(ONE);
    let other = mailbox.system.task("other");
    let dying = other.port(ONE);
    let name = other.give_send(&mailbox.sender, dying);
    let message = Message::to(mailbox.to).right(name, Disposition::MoveSend);
    let waiting = mailbox.sender.thread().send(message, WhenFull::WaitMs(10));
    other.terminate();
    mailbox.system.advance_ms(10);
    assert_eq!(waiting.done(), Err(Error::SendTimedOut));
    assert_eq!(mailbox.sender.port_type(name).expect("a dead name").dead, 1);
    assert_eq!(notices(&mailbox.sender), [(Kind::DeadName, name)]);
}

#[test]
fn a_dead_name_that_comes_back_from_a_failed_send_is_not_told_again() {
    let mailbox = Mailbox::full(ONE);
    let other = mailbox.system.task("other");
    let dead = other.give_send(&mailbox.sender, other.port(ONE));
    other.terminate();
    assert_eq!(notices(&mailbox.sender), [(Kind::DeadName, dead)]);
    let message = Message::to(mailbox.to).right(dead, Disposition::MoveSend);
    assert_eq!(mailbox.sender.send(message, WhenFull::Return).done(), Err(Error::SendTimedOut));
    assert_eq!(mailbox.sender.port_type(dead).expect("a dead name").dead, 1);
    assert_eq!(notices(&mailbox.sender), []);
}

#[test]
fn a_right_that_died_in_a_waiting_message_is_told_when_it_comes_back() {
    let mailbox = Mailbox::full(ONE);
    let other = mailbox.system.task("other");
    let right = other.give_send(&mailbox.sender, other.port(ONE));
    let message = Message::to(mailbox.to).right(right, Disposition::MoveSend);
    let send = mailbox.sender.thread().send(message, WhenFull::WaitMs(10));
    other.terminate();
    assert_eq!(notices(&mailbox.sender), []);
    mailbox.system.advance_ms(10);
    assert_eq!(send.done(), Err(Error::SendTimedOut));
    assert_eq!(notices(&mailbox.sender), [(Kind::DeadName, right)]);
}
