//! Notifications that are asked for: each comes once, where it was said, and with nothing lost.

use crate::harness::{Mailbox, Message, Received, System, Task, WhenFull};
use portolan_abi::message::{Descriptor, Trailer};
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::port::{self, Status};
use portolan_abi::{Capacity, Disposition, Error, Name, Result, RightKind};
use zerocopy::FromBytes;

const ONE: Capacity = Capacity::Bounded(1);
const NULL: Descriptor = Descriptor::port(Name::NULL, Disposition::CopySend as u8);

/// A send-once right to one of the task's ports, for a request.
fn once(port: Name) -> Descriptor {
    Descriptor::port(port, Disposition::MakeSendOnce as u8)
}

/// Asks, and the right of what was asked for before.
fn ask(task: &Task, name: Name, kind: Kind, sync: u32, notify: Descriptor) -> Result<Name> {
    let asked = port::port_request_notification(&**task, task.task_self(), name, kind as u32, sync, 0, notify);
    asked.map(|reply| reply.rights[0])
}

fn cancel(task: &Task, name: Name, kind: Kind) -> Result<Name> {
    port::port_cancel_notification(&**task, task.task_self(), name, kind as u32).map(|reply| reply.rights[0])
}

fn set_backup(task: &Task, name: Name, backup: Descriptor) -> Result<Name> {
    port::port_set_backup(&**task, task.task_self(), name, 0, backup).map(|reply| reply.rights[0])
}

/// What a message says, which must be the kernel's.
fn read(message: &Received) -> (Kind, Name, u32) {
    assert_eq!((message.trailer.flags & Trailer::FROM_KERNEL, message.trailer.sender), (Trailer::FROM_KERNEL, 0));
    let body = Notification::read_from_bytes(&message.body).expect("a notification");
    (Kind::from_id(message.header.id).expect("a kind"), body.name, body.count)
}

/// The next notification at a port, if there is one.
fn told(task: &Task, port: Name) -> Option<(Kind, Name, u32)> {
    task.receive_now(port).done().ok().map(|message| read(&message))
}

#[test]
fn a_dead_name_is_told_where_it_was_said_and_only_there() {
    let mailbox = Mailbox::new(ONE);
    let sender = &mailbox.sender;
    let here = sender.port(ONE);
    assert_eq!(ask(sender, mailbox.to, Kind::DeadName, 0, once(here)), Ok(Name::NULL));
    assert_eq!(sender.status(here).send_once_rights, 1);
    mailbox.receiver.terminate();
    assert_eq!(told(sender, here), Some((Kind::DeadName, mailbox.to, 0)));
    assert_eq!((told(sender, here), told(sender, sender.notify())), (None, None));
    assert_eq!(sender.status(here).send_once_rights, 0);
}

#[test]
fn a_thread_that_waits_is_told_of_a_dead_name() {
    let mailbox = Mailbox::new(ONE);
    let sender = &mailbox.sender;
    let here = sender.port(ONE);
    ask(sender, mailbox.to, Kind::DeadName, 0, once(here)).expect("a request");
    let waiting = sender.thread().receive(here);
    mailbox.receiver.terminate();
    assert_eq!(read(&waiting.done().expect("a notification")), (Kind::DeadName, mailbox.to, 0));
}

#[test]
fn a_full_port_takes_what_was_asked_for() {
    let mailbox = Mailbox::new(ONE);
    let sender = &mailbox.sender;
    let here = sender.port(Capacity::Zero);
    ask(sender, mailbox.to, Kind::DeadName, 0, once(here)).expect("a request");
    mailbox.receiver.terminate();
    assert_eq!(sender.status(here).messages, 1);
    assert_eq!(told(sender, here), Some((Kind::DeadName, mailbox.to, 0)));
}

#[test]
fn a_dead_name_is_told_at_once_only_if_that_is_wanted() {
    let mailbox = Mailbox::new(ONE);
    let sender = &mailbox.sender;
    mailbox.receiver.terminate();
    while told(sender, sender.notify()).is_some() {}
    for kind in [Kind::DeadName, Kind::SendPossible] {
        assert_eq!(ask(sender, mailbox.to, kind, 0, NULL), Err(Error::InvalidArgument));
        assert_eq!(ask(sender, mailbox.to, kind, 1, NULL), Ok(Name::NULL));
        assert_eq!(told(sender, sender.notify()), Some((Kind::DeadName, mailbox.to, 0)));
    }
}

#[test]
fn a_send_once_right_can_be_watched() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, sender) = (&mailbox.receiver, &mailbox.sender);
    let right = receiver.give(sender, mailbox.port, Disposition::MakeSendOnce);
    let used = receiver.give(sender, mailbox.port, Disposition::MakeSendOnce);
    let given_up = receiver.give(sender, mailbox.port, Disposition::MakeSendOnce);
    for name in [right, used, given_up] {
        ask(sender, name, Kind::DeadName, 0, NULL).expect("a request");
    }
    sender.send(Message::by(used, Disposition::MoveSendOnce), WhenFull::Wait).done().expect("a send");
    assert_eq!(told(sender, sender.notify()), Some((Kind::PortDeleted, used, 0)));
    sender.port_deallocate(given_up).expect("ours");
    assert_eq!(told(sender, sender.notify()), Some((Kind::PortDeleted, given_up, 0)));
    sender.port_deallocate(mailbox.to).expect("ours");
    receiver.port_deallocate(mailbox.port).expect("the end of the port");
    assert_eq!(told(sender, sender.notify()), Some((Kind::DeadName, right, 0)));
    assert_eq!(sender.port_type(right).expect("a dead name").dead, 1);
    assert_eq!(told(sender, sender.notify()), None);
}

#[test]
fn a_watched_send_once_right_that_could_not_be_sent_comes_back_dead_and_is_told() {
    let mailbox = Mailbox::full(ONE);
    let (system, sender) = (&mailbox.system, &mailbox.sender);
    let other = system.task("other");
    let right = other.give(sender, other.port(ONE), Disposition::MakeSendOnce);
    ask(sender, right, Kind::DeadName, 0, NULL).expect("a request");
    let message = Message::to(mailbox.to).right(right, Disposition::MoveSendOnce);
    let waiting = sender.thread().send(message, WhenFull::WaitMs(10));
    other.terminate();
    assert_eq!(told(sender, sender.notify()), None);
    system.advance_ms(10);
    assert_eq!(waiting.done(), Err(Error::SendTimedOut));
    assert_eq!(told(sender, sender.notify()), Some((Kind::DeadName, right, 0)));
}

#[test]
fn a_name_that_goes_otherwise_is_told_as_deleted() {
    let mailbox = Mailbox::new(Capacity::Unbounded);
    let sender = &mailbox.sender;
    ask(sender, mailbox.to, Kind::DeadName, 0, NULL).expect("a request");
    sender.port_deallocate(mailbox.to).expect("ours");
    assert_eq!(told(sender, sender.notify()), Some((Kind::PortDeleted, mailbox.to, 0)));
    let again = mailbox.receiver.give_send(sender, mailbox.port);
    ask(sender, again, Kind::DeadName, 0, NULL).expect("a request");
    sender.send(Message::by(again, Disposition::MoveSend), WhenFull::Wait).done().expect("a send");
    assert_eq!(told(sender, sender.notify()), Some((Kind::PortDeleted, again, 0)));
}

#[test]
fn requests_of_a_task_that_ends_are_told_as_deleted() {
    let mailbox = Mailbox::new(ONE);
    let sender = &mailbox.sender;
    let watcher = mailbox.system.task("watcher");
    let here = watcher.port(ONE);
    let door = sender.give(&watcher, sender.task_self(), Disposition::CopySend);
    let asked = port::port_request_notification(&*watcher, door, mailbox.to, Kind::DeadName as u32, 0, 0, once(here));
    asked.expect("a request about a name of another task");
    sender.terminate();
    assert_eq!(told(&watcher, here), Some((Kind::PortDeleted, mailbox.to, 0)));
    assert_eq!(watcher.status(here).send_once_rights, 0);
}

#[test]
fn a_new_request_takes_the_old_ones_place_and_gives_its_right_back() {
    let mailbox = Mailbox::new(ONE);
    let sender = &mailbox.sender;
    let (first, second) = (sender.port(ONE), sender.port(ONE));
    assert_eq!(ask(sender, mailbox.to, Kind::DeadName, 0, once(first)), Ok(Name::NULL));
    let back = ask(sender, mailbox.to, Kind::SendPossible, 0, once(second)).expect("the first one's right");
    assert_eq!(sender.port_type(back).expect("a right").send_once, 1);
    sender.port_deallocate(back).expect("ours");
    assert_eq!(told(sender, first), Some((Kind::SendOnce, Name::NULL, 0)));
    // There was room.
    assert_eq!(told(sender, second), Some((Kind::SendPossible, mailbox.to, 0)));
    let used = sender.info().used.memory;
    assert_eq!(ask(sender, mailbox.to, Kind::DeadName, 0, NULL), Ok(Name::NULL));
    assert!(sender.info().used.memory > used);
    assert_eq!(cancel(sender, mailbox.to, Kind::DeadName), Ok(Name::NULL));
    assert_eq!(cancel(sender, mailbox.to, Kind::DeadName), Ok(Name::NULL));
    assert_eq!(sender.info().used.memory, used);
    mailbox.receiver.terminate();
    assert_eq!(told(sender, sender.notify()), Some((Kind::DeadName, mailbox.to, 0)));
    assert_eq!(told(sender, sender.notify()), None);
}

#[test]
fn what_cannot_be_asked_is_refused_and_changes_nothing() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, sender) = (&mailbox.receiver, &mailbox.sender);
    let here = sender.port(ONE);
    for kind in [Kind::MessageAccepted, Kind::SendOnce, Kind::PortDeleted] {
        assert_eq!(ask(sender, mailbox.to, kind, 0, NULL), Err(Error::InvalidValue));
    }
    for kind in [Kind::NoSenders, Kind::PortDestroyed] {
        assert_eq!(ask(sender, mailbox.to, kind, 0, NULL), Err(Error::InvalidRight));
    }
    assert_eq!(ask(receiver, mailbox.port, Kind::SendPossible, 0, NULL), Err(Error::InvalidRight));
    assert_eq!(ask(sender, Name::new(900, 1), Kind::DeadName, 0, NULL), Err(Error::InvalidName));
    let send = Descriptor::port(here, Disposition::MakeSend as u8);
    let dead = Descriptor::port(Name::DEAD, Disposition::MoveSendOnce as u8);
    for wrong in [send, dead] {
        assert_eq!(ask(sender, mailbox.to, Kind::DeadName, 0, wrong), Err(Error::InvalidCapability));
    }
    sender.port_deallocate(sender.notify()).expect("ours to give up");
    assert_eq!(ask(sender, mailbox.to, Kind::DeadName, 0, NULL), Err(Error::InvalidCapability));
    assert_eq!(receiver.status(mailbox.port).requests, 0);
}

#[test]
fn no_senders_is_told_when_the_last_send_right_goes() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    let second = mailbox.system.task("second");
    receiver.give_send(&second, port);
    ask(receiver, port, Kind::NoSenders, 2, once(port)).expect("a request");
    assert_eq!(receiver.status(port).requests, Status::NO_SENDERS);
    mailbox.sender.port_deallocate(mailbox.to).expect("ours");
    assert_eq!(told(receiver, port), None);
    second.terminate();
    assert_eq!(told(receiver, port), Some((Kind::NoSenders, port, 2)));
    assert_eq!((told(receiver, port), receiver.status(port).requests), (None, 0));
}

#[test]
fn no_senders_waits_for_as_many_rights_as_it_knows_of() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, sender, port) = (&mailbox.receiver, &mailbox.sender, mailbox.port);
    ask(receiver, port, Kind::NoSenders, 2, NULL).expect("a request");
    sender.port_deallocate(mailbox.to).expect("ours");
    assert_eq!(told(receiver, receiver.notify()), None);
    let again = receiver.give_send(sender, port);
    assert_eq!(told(receiver, receiver.notify()), None);
    sender.port_deallocate(again).expect("ours");
    assert_eq!(told(receiver, receiver.notify()), Some((Kind::NoSenders, port, 2)));
    // Nobody is there, and has been twice: that is told at once.
    ask(receiver, port, Kind::NoSenders, 2, NULL).expect("a request");
    assert_eq!(told(receiver, receiver.notify()), Some((Kind::NoSenders, port, 2)));
    ask(receiver, port, Kind::NoSenders, 3, NULL).expect("a request");
    assert_eq!(told(receiver, receiver.notify()), None);
    port::port_set_mscount(&**receiver, receiver.task_self(), port, 5).expect("a receive right");
    assert_eq!(told(receiver, receiver.notify()), Some((Kind::NoSenders, port, 5)));
}

#[test]
fn a_send_right_in_a_message_is_a_sender() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, sender) = (&mailbox.receiver, &mailbox.sender);
    let port = sender.port(ONE);
    sender.send(Message::to(mailbox.to).right(port, Disposition::MakeSend), WhenFull::Wait).done().expect("a send");
    ask(sender, port, Kind::NoSenders, 1, once(port)).expect("a request");
    assert_eq!(told(sender, port), None);
    receiver.port_deallocate(mailbox.port).expect("the end of the port, and of the message");
    assert_eq!(told(sender, port), Some((Kind::NoSenders, port, 1)));
}

#[test]
fn the_last_right_used_to_send_tells_the_server_after_its_message() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, sender, port) = (&mailbox.receiver, &mailbox.sender, mailbox.port);
    ask(receiver, port, Kind::NoSenders, 1, once(port)).expect("a request");
    let waiting = receiver.receive(port);
    let message = Message::by(mailbox.to, Disposition::MoveSend).text("last");
    sender.send(message, WhenFull::Wait).done().expect("a send");
    assert_eq!(waiting.done().expect("the message").text(), "last");
    assert_eq!(told(receiver, port), Some((Kind::NoSenders, port, 1)));
}

#[test]
fn a_request_stays_with_the_port_when_it_moves() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, sender) = (&mailbox.receiver, &mailbox.sender);
    let watcher = receiver.port(ONE);
    ask(receiver, mailbox.port, Kind::NoSenders, 0, once(watcher)).expect("a request");
    let moved = receiver.give(sender, mailbox.port, Disposition::MoveReceive);
    assert_eq!(sender.status(moved).requests, Status::NO_SENDERS);
    sender.port_mod_refs(moved, RightKind::Send, -1).expect("ours");
    assert_eq!(told(receiver, watcher), Some((Kind::NoSenders, moved, 0)));
}

#[test]
fn the_request_of_a_port_that_dies_tells_its_send_once_right() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    let watcher = receiver.port(ONE);
    ask(receiver, port, Kind::NoSenders, 0, once(watcher)).expect("a request");
    receiver.port_deallocate(port).expect("the end of the port");
    assert_eq!(told(receiver, watcher), Some((Kind::SendOnce, Name::NULL, 0)));
    let quiet = receiver.port(ONE);
    ask(receiver, quiet, Kind::NoSenders, 5, NULL).expect("a request");
    receiver.port_deallocate(quiet).expect("the end of the port");
    assert_eq!(told(receiver, receiver.notify()), None);
}

#[test]
fn a_port_that_would_die_comes_to_who_asked_with_its_messages() {
    let mailbox = Mailbox::full(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    let keeper = mailbox.system.task("keeper");
    let here = keeper.port(ONE);
    let right = keeper.give(receiver, here, Disposition::MakeSendOnce);
    let right = Descriptor::port(right, Disposition::MoveSendOnce as u8);
    ask(receiver, port, Kind::PortDestroyed, 0, right).expect("a request");
    let waiting = receiver.thread().receive(receiver.port(ONE));
    receiver.terminate();
    drop(waiting);
    let message = keeper.receive_now(here).done().expect("a notification");
    assert_eq!(read(&message), (Kind::PortDestroyed, port, 0));
    let (saved, kind) = message.right(0);
    assert_eq!(kind, Some(RightKind::Receive));
    assert_eq!(keeper.receive_now(saved).done().expect("what was queued").text(), "filling");
    assert_eq!(mailbox.send("to the keeper", WhenFull::Return).done(), Ok(()));
    // It is saved once.
    keeper.port_deallocate(saved).expect("its end");
    assert_eq!(mailbox.sender.port_type(mailbox.to).expect("a dead name").dead, 1);
}

#[test]
fn a_port_that_is_saved_lets_its_receivers_go_and_keeps_its_senders() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    ask(receiver, port, Kind::PortDestroyed, 0, NULL).expect("a request");
    let waiting = receiver.thread().receive(port);
    receiver.port_deallocate(port).expect("the last right");
    assert_eq!(waiting.done().err(), Some(Error::ReceivePortDied));
    let sending = mailbox.send("patience", WhenFull::Wait);
    assert!(sending.waits());
    let message = receiver.receive_now(receiver.notify()).done().expect("a notification");
    let (saved, _) = message.right(0);
    assert_eq!(receiver.receive_now(saved).done().expect("a message").text(), "patience");
    assert_eq!(sending.done(), Ok(()));
}

#[test]
fn a_port_whose_keeper_is_gone_dies() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    let here = receiver.port(ONE);
    ask(receiver, port, Kind::PortDestroyed, 0, once(here)).expect("a request");
    receiver.port_deallocate(here).expect("the keeper's end");
    receiver.port_deallocate(port).expect("the port's end");
    assert_eq!(mailbox.sender.port_type(mailbox.to).expect("a dead name").dead, 1);
}

#[test]
fn a_port_is_not_saved_where_nobody_could_receive_it() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    ask(receiver, port, Kind::PortDestroyed, 0, once(port)).expect("a request");
    receiver.port_deallocate(port).expect("the port's end");
    assert_eq!(mailbox.sender.port_type(mailbox.to).expect("a dead name").dead, 1);
    // Two that would save each other.
    let (one, two) = (receiver.port(ONE), receiver.port(ONE));
    ask(receiver, one, Kind::PortDestroyed, 0, once(two)).expect("a request");
    ask(receiver, two, Kind::PortDestroyed, 0, once(one)).expect("a request");
    receiver.terminate();
}

#[test]
fn a_backup_gets_the_ports_of_a_task_that_ends() {
    let mailbox = Mailbox::full(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    let keeper = mailbox.system.task("keeper");
    let backup = keeper.port(ONE);
    let right = keeper.give_send(receiver, backup);
    let copied = Descriptor::port(right, Disposition::CopySend as u8);
    assert_eq!(set_backup(receiver, port, copied), Ok(Name::NULL));
    assert_eq!(receiver.status(port).requests, Status::PORT_DESTROYED);
    assert_eq!(set_backup(receiver, port, copied), Ok(right));
    assert_eq!((receiver.port_type(right).expect("a right").send, keeper.status(backup).send_rights), (2, 2));
    receiver.terminate();
    assert_eq!(keeper.status(backup).send_rights, 0);
    let message = keeper.receive_now(backup).done().expect("a notification");
    assert_eq!(read(&message), (Kind::PortDestroyed, port, 0));
    let (saved, _) = message.right(0);
    assert_eq!(keeper.receive_now(saved).done().expect("what was queued").text(), "filling");
    assert_eq!(keeper.status(saved).requests, 0);
}

#[test]
fn a_backup_can_be_taken_away() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    let backup = receiver.port(ONE);
    let right = Descriptor::port(backup, Disposition::MakeSend as u8);
    assert_eq!(set_backup(receiver, port, right), Ok(Name::NULL));
    assert_eq!(set_backup(receiver, port, once(backup)), Err(Error::InvalidCapability));
    assert_eq!(told(receiver, backup), Some((Kind::SendOnce, Name::NULL, 0)));
    assert_eq!(set_backup(receiver, port, NULL), Ok(backup));
    receiver.port_deallocate(port).expect("the port's end");
    assert_eq!(mailbox.sender.port_type(mailbox.to).expect("a dead name").dead, 1);
    assert_eq!(told(receiver, backup), None);
    assert_eq!(set_backup(&mailbox.sender, mailbox.to, NULL), Err(Error::InvalidRight));
}

#[test]
fn room_is_told_when_a_message_has_been_taken() {
    let mailbox = Mailbox::full(ONE);
    let sender = &mailbox.sender;
    ask(sender, mailbox.to, Kind::SendPossible, 0, NULL).expect("a request");
    assert_eq!(told(sender, sender.notify()), None);
    // Who waits for the place has it first.
    let waiting = sender.thread().send(Message::to(mailbox.to).text("second"), WhenFull::Wait);
    assert_eq!(mailbox.take(), Ok("filling".to_owned()));
    assert_eq!(waiting.done(), Ok(()));
    assert_eq!(told(sender, sender.notify()), None);
    mailbox.take().expect("the second");
    assert_eq!(told(sender, sender.notify()), Some((Kind::SendPossible, mailbox.to, 0)));
    assert_eq!(mailbox.send("third", WhenFull::Return).done(), Ok(()));
    ask(sender, mailbox.to, Kind::SendPossible, 0, NULL).expect("a request");
    mailbox.receiver.port_set_backlog(mailbox.port, Capacity::Bounded(2)).expect("more room");
    assert_eq!(told(sender, sender.notify()), Some((Kind::SendPossible, mailbox.to, 0)));
}

#[test]
fn a_receiver_is_the_room_of_a_rendezvous() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let sender = &mailbox.sender;
    ask(sender, mailbox.to, Kind::SendPossible, 0, NULL).expect("a request");
    assert_eq!(told(sender, sender.notify()), None);
    let waiting = mailbox.receive();
    assert_eq!(told(sender, sender.notify()), Some((Kind::SendPossible, mailbox.to, 0)));
    ask(sender, mailbox.to, Kind::SendPossible, 0, NULL).expect("a request");
    assert_eq!(told(sender, sender.notify()), Some((Kind::SendPossible, mailbox.to, 0)));
    assert_eq!(mailbox.send("met", WhenFull::Return).done(), Ok(()));
    assert_eq!(waiting.done().expect("the message").text(), "met");
}

#[test]
fn who_hoped_for_room_is_told_of_the_death() {
    let mailbox = Mailbox::full(ONE);
    let sender = &mailbox.sender;
    ask(sender, mailbox.to, Kind::SendPossible, 0, NULL).expect("a request");
    mailbox.receiver.terminate();
    assert_eq!(told(sender, sender.notify()), Some((Kind::DeadName, mailbox.to, 0)));
    assert_eq!(told(sender, sender.notify()), None);
}

#[test]
fn requests_follow_a_name_that_changes() {
    let mailbox = Mailbox::full(ONE);
    let (receiver, sender) = (&mailbox.receiver, &mailbox.sender);
    let right = receiver.give(sender, mailbox.port, Disposition::MakeSendOnce);
    let (send, once) = (Name::new(30, 3), Name::new(31, 3));
    ask(sender, mailbox.to, Kind::SendPossible, 0, NULL).expect("a request");
    ask(sender, right, Kind::DeadName, 0, NULL).expect("a request");
    ask(receiver, mailbox.port, Kind::NoSenders, 0, NULL).expect("a request");
    sender.port_rename(mailbox.to, send).expect("a new name");
    sender.port_rename(right, once).expect("a new name");
    receiver.port_rename(mailbox.port, once).expect("a new name");
    receiver.receive_now(once).done().expect("the message");
    assert_eq!(told(sender, sender.notify()), Some((Kind::SendPossible, send, 0)));
    sender.port_deallocate(send).expect("ours");
    assert_eq!(told(receiver, receiver.notify()), Some((Kind::NoSenders, once, 1)));
    receiver.terminate();
    assert_eq!(told(sender, sender.notify()), Some((Kind::DeadName, once, 0)));
}

#[test]
fn a_spent_account_cannot_ask_but_is_told() {
    let system = System::boot();
    let task = system.task_with("task", portolan_abi::task::Limits { memory: 40_000, ports: 100, frames: 100 });
    let task = task.expect("a task");
    let port = task.port(ONE);
    ask(&task, port, Kind::NoSenders, 1, NULL).expect("a request");
    let right = task.give_send(&task, port);
    // Each of these costs a message.
    let mut asked = 0;
    let refused = loop {
        let other = match task.port_allocate(ONE) {
            Ok(other) => other,
            Err(error) => break error,
        };
        if let Err(error) = ask(&task, other, Kind::NoSenders, 1, NULL) {
            break error;
        }
        asked += 1;
    };
    assert!(asked > 0 && refused == Error::ResourceShortage, "{asked}, {refused:?}");
    task.port_mod_refs(right, RightKind::Send, -1).expect("ours");
    assert_eq!(told(&task, task.notify()), Some((Kind::NoSenders, port, 1)));
}
