//! Names: chosen, changed, listed, given up; and rights put under them and taken from them by others.

use crate::harness::{Mailbox, Message, System, Task, WhenFull};
use portolan_abi::message::Descriptor;
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::port::{self, UREFS_MAX};
use portolan_abi::task::Limits;
use portolan_abi::{Capacity, Disposition, Error, Name, Result, RightKind};
use zerocopy::FromBytes;

const ONE: Capacity = Capacity::Bounded(1);
const CHOSEN: Name = Name::new(40, 9);

/// The task puts a right of its own under a name of its choice.
fn insert(task: &Task, wanted: Name, right: Name, how: Disposition) -> Result<Name> {
    let right = Descriptor::port(right, how as u8);
    port::port_insert_right(&**task, task.task_self(), wanted, 0, right).map(|reply| reply.results.name)
}

/// The first task takes a right out of another, and its name for it.
fn extract(system: &System, from: &Task, name: Name, how: Disposition) -> Result<Name> {
    port::port_extract_right(&**system.first(), from.kernel_port(), name, how as u32).map(|reply| reply.rights[0])
}

fn references(task: &Task, name: Name, kind: RightKind) -> Result<u32> {
    port::port_get_refs(&**task, task.task_self(), name, kind as u32).map(|reply| reply.results.references)
}

fn notice(task: &Task) -> Option<(Kind, Name)> {
    let message = task.receive_now(task.notify()).done().ok()?;
    let body = Notification::read_from_bytes(&message.body).expect("a notification");
    Some((Kind::from_id(message.header.id).expect("a kind"), body.name))
}

#[test]
fn a_port_is_made_under_the_name_that_was_chosen() {
    let system = System::boot();
    let task = system.task("task");
    assert_eq!(task.port_allocate_name(CHOSEN, RightKind::Receive, ONE), Ok(CHOSEN));
    assert_eq!(insert(&task, Name::NULL, CHOSEN, Disposition::MakeSend), Ok(CHOSEN));
    task.send(Message::to(CHOSEN).text("here"), WhenFull::Return).done().expect("a send");
    let message = task.receive_now(CHOSEN).done().expect("a message");
    assert_eq!((message.header.local, message.text()), (CHOSEN, "here"));
}

#[test]
fn a_null_name_leaves_the_choice_to_the_kernel() {
    let system = System::boot();
    let task = system.task("task");
    let one = task.port_allocate_name(Name::NULL, RightKind::Receive, ONE).expect("a port");
    let two = task.port_allocate_name(Name::NULL, RightKind::DeadName, Capacity::Zero).expect("a dead name");
    assert!(one.is_valid() && two.is_valid() && one != two);
    assert_eq!(references(&task, two, RightKind::DeadName), Ok(1));
}

#[test]
fn a_name_in_use_cannot_be_chosen_nor_another_with_its_slot() {
    let system = System::boot();
    let task = system.task("task");
    task.port_allocate_name(CHOSEN, RightKind::DeadName, Capacity::Zero).expect("a dead name");
    for taken in [CHOSEN, Name::new(CHOSEN.index(), 0), task.notify()] {
        assert_eq!(task.port_allocate_name(taken, RightKind::Receive, ONE), Err(Error::NameExists));
        assert_eq!(task.port_rename(CHOSEN, taken), Err(Error::NameExists));
    }
    assert_eq!(task.port_type(CHOSEN).expect("a dead name").dead, 1);
}

#[test]
fn what_cannot_be_a_name_is_refused() {
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(ONE);
    for wrong in [Name::DEAD, Name::new(0, 4), Name::new(Name::INDEX_MAX + 1, 0)] {
        assert_eq!(task.port_allocate_name(wrong, RightKind::Receive, ONE), Err(Error::InvalidValue));
        assert_eq!(task.port_rename(port, wrong), Err(Error::InvalidValue));
        assert_eq!(insert(&task, wrong, port, Disposition::MakeSendOnce), Err(Error::InvalidValue));
    }
    assert_eq!(task.port_rename(port, Name::NULL), Err(Error::InvalidValue));
    assert_eq!(task.port_allocate_name(CHOSEN, RightKind::Send, ONE), Err(Error::InvalidValue));
    assert_eq!(task.port_allocate_name(CHOSEN, RightKind::DeadName, ONE), Err(Error::InvalidValue));
    assert_eq!(task.status(port).send_once_rights, 0);
}

#[test]
fn the_slots_up_to_a_chosen_name_are_paid_for_and_can_be_used() {
    let system = System::boot();
    let task = system.task_with("task", Limits { memory: 200_000, ports: 500, frames: 100 }).expect("a task");
    task.port(ONE);
    let before = task.info().used.memory;
    let far = Name::new(Name::INDEX_MAX, 1);
    assert_eq!(task.port_allocate_name(far, RightKind::Receive, ONE), Err(Error::ResourceShortage));
    assert_eq!(task.info().used.memory, before);
    let near = Name::new(600, 1);
    assert_eq!(task.port_allocate_name(near, RightKind::DeadName, Capacity::Zero), Ok(near));
    let after = task.info().used.memory;
    assert!(after > before + 500 * 40);
    for _ in 0..300 {
        task.port_allocate_name(Name::NULL, RightKind::DeadName, Capacity::Zero).expect("a vacant slot");
    }
    assert_eq!(task.info().used.memory, after);
}

#[test]
fn a_chosen_name_that_is_gone_means_nothing_and_can_be_chosen_again() {
    let system = System::boot();
    let task = system.task("task");
    for _ in 0..3 {
        task.port_allocate_name(CHOSEN, RightKind::Receive, ONE).expect("a port");
        task.port_deallocate(CHOSEN).expect("its end");
        assert_eq!(task.port_type(CHOSEN), Err(Error::InvalidName));
    }
    for _ in 0..200 {
        let name = task.port(ONE);
        assert_ne!(name, CHOSEN);
        task.port_deallocate(name).expect("its end");
    }
}

#[test]
fn rights_are_inserted_under_chosen_names() {
    let mailbox = Mailbox::new(ONE);
    let (task, port) = (&mailbox.receiver, mailbox.port);
    assert_eq!(insert(task, CHOSEN, port, Disposition::MakeSendOnce), Ok(CHOSEN));
    assert_eq!(insert(task, CHOSEN, port, Disposition::MakeSendOnce), Err(Error::NameExists));
    assert_eq!(insert(task, Name::new(41, 0), port, Disposition::MakeSend), Err(Error::RightExists));
    assert_eq!(insert(task, port, port, Disposition::MakeSend), Ok(port));
    assert_eq!((task.port_type(port).expect("a port").send, task.status(port).send_rights), (1, 2));
    let sender = &mailbox.sender;
    assert_eq!(insert(sender, Name::new(41, 0), mailbox.to, Disposition::CopySend), Err(Error::RightExists));
    for dead in [Name::NULL, Name::DEAD] {
        assert_eq!(insert(sender, Name::new(41, 0), dead, Disposition::CopySend), Err(Error::InvalidCapability));
    }
    task.send(Message::by(CHOSEN, Disposition::MoveSendOnce).text("once"), WhenFull::Wait).done().expect("a send");
    assert_eq!(mailbox.receive().done().expect("of the right that was refused").header.id, Kind::SendOnce as u32);
    assert_eq!(mailbox.take(), Ok("once".to_owned()));
}

#[test]
fn a_receive_right_is_inserted_under_a_chosen_name_with_its_messages() {
    let mailbox = Mailbox::full(ONE);
    let (from, to) = (&mailbox.receiver, &mailbox.sender);
    let right = Descriptor::port(mailbox.port, Disposition::MoveReceive as u8);
    let door = from.give(from, from.task_self(), Disposition::CopySend);
    let to_port = to.give(from, to.task_self(), Disposition::CopySend);
    // The receiver knows the port by its send right already.
    let refused = port::port_insert_right(&**from, to_port, CHOSEN, 0, right).map(|_| ());
    assert_eq!(refused, Err(Error::RightExists));
    // What an interface refuses is destroyed: the port has died with its message.
    assert_eq!(to.port_type(mailbox.to).expect("a dead name").dead, 1);
    let other = from.port(ONE);
    from.send(Message::by(other, Disposition::MakeSend).text("queued"), WhenFull::Wait).done().expect("a send");
    let right = Descriptor::port(other, Disposition::MoveReceive as u8);
    let moved = port::port_insert_right(&**from, to_port, CHOSEN, 0, right).map(|reply| reply.results.name);
    assert_eq!(moved, Ok(CHOSEN));
    assert_eq!(to.receive_now(CHOSEN).done().expect("the message").text(), "queued");
    from.port_deallocate(door).expect("ours");
}

#[test]
fn a_full_send_right_takes_no_more() {
    let mailbox = Mailbox::new(ONE);
    mailbox.sender.port_mod_refs(mailbox.to, RightKind::Send, UREFS_MAX as i32 - 1).expect("as many as can be");
    assert_eq!(insert(&mailbox.sender, mailbox.to, mailbox.to, Disposition::CopySend), Err(Error::UrefsOverflow));
    assert_eq!(references(&mailbox.sender, mailbox.to, RightKind::Send), Ok(UREFS_MAX));
}

#[test]
fn a_renamed_right_is_found_under_its_new_name_only() {
    let mailbox = Mailbox::new(Capacity::Unbounded);
    mailbox.sender.port_rename(mailbox.to, CHOSEN).expect("a new name");
    assert_eq!(mailbox.sender.port_type(mailbox.to), Err(Error::InvalidName));
    let sent = mailbox.sender.send(Message::to(CHOSEN).text("new"), WhenFull::Return).done();
    assert_eq!((sent, mailbox.take()), (Ok(()), Ok("new".to_owned())));
    // A right for a port that is known arrives under the name it has now.
    assert_eq!(mailbox.receiver.give_send(&mailbox.sender, mailbox.port), CHOSEN);
    mailbox.receiver.terminate();
    assert_eq!(notice(&mailbox.sender), Some((Kind::DeadName, CHOSEN)));
}

#[test]
fn a_port_is_renamed_under_a_thread_that_waits_at_it() {
    let mailbox = Mailbox::new(ONE);
    let waiting = mailbox.receive();
    mailbox.receiver.port_rename(mailbox.port, CHOSEN).expect("a new name");
    mailbox.send("late", WhenFull::Wait).done().expect("a send");
    let message = waiting.done().expect("the message");
    assert_eq!((message.header.local, message.text()), (CHOSEN, "late"));
    assert_eq!(mailbox.take(), Err(Error::ReceiveInvalidPort));
    assert_eq!(mailbox.receiver.receive_now(CHOSEN).done().err(), Some(Error::ReceiveTimedOut));
}

#[test]
fn notices_that_wait_tell_the_new_name() {
    let mailbox = Mailbox::new(ONE);
    let sender = &mailbox.sender;
    let before = mailbox.receiver.give_send(sender, mailbox.receiver.port(ONE));
    let after = mailbox.receiver.give_send(sender, mailbox.receiver.port(ONE));
    mailbox.receiver.terminate();
    for (number, old) in [before, mailbox.to, after].into_iter().enumerate() {
        sender.port_rename(old, Name::new(50 + number as u32, 1)).expect("a new name");
    }
    let mut told: Vec<Name> = std::iter::from_fn(|| notice(sender)).map(|(_, name)| name).collect();
    told.sort();
    assert_eq!(told, [Name::new(50, 1), Name::new(51, 1), Name::new(52, 1)]);
}

#[test]
fn a_cached_message_is_accepted_under_the_new_name() {
    let mailbox = Mailbox::full(ONE);
    let sender = &mailbox.sender;
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    sender.port_rename(mailbox.to, CHOSEN).expect("a new name");
    let second = sender.send(Message::to(CHOSEN), WhenFull::Cache);
    assert_eq!(second.done(), Err(Error::SendNotifyInProgress));
    mailbox.take_all();
    assert_eq!(notice(sender), Some((Kind::MessageAccepted, CHOSEN)));
}

#[test]
fn a_cached_message_is_not_taken_for_one_to_a_later_port_of_the_same_name() {
    let mailbox = Mailbox::full(ONE);
    let sender = &mailbox.sender;
    sender.port_rename(mailbox.to, CHOSEN).expect("a new name");
    assert_eq!(sender.send(Message::to(CHOSEN), WhenFull::Cache).done(), Err(Error::SendWillNotify));
    sender.port_deallocate(CHOSEN).expect("ours");
    let allocate = || sender.port_allocate_name(CHOSEN, RightKind::Receive, Capacity::Zero);
    assert_eq!(allocate().map(drop), Err(Error::NameExists), "the message keeps it");
    mailbox.take_all();
    assert_eq!(notice(sender), Some((Kind::MessageAccepted, Name::NULL)));
    allocate().expect("a port");
    insert(sender, CHOSEN, CHOSEN, Disposition::MakeSend).expect("a send right");
    assert_eq!(sender.send(Message::to(CHOSEN), WhenFull::Cache).done(), Err(Error::SendWillNotify));
    sender.receive_now(CHOSEN).done().expect("the second");
    assert_eq!(notice(sender), Some((Kind::MessageAccepted, CHOSEN)));
}

#[test]
fn a_name_whose_right_waits_to_be_sent_keeps_its_name() {
    let mailbox = Mailbox::full(ONE);
    let sender = &mailbox.sender;
    let port = sender.port(ONE);
    let sending = sender.thread().send(Message::to(mailbox.to).right(port, Disposition::MoveReceive), WhenFull::Wait);
    assert!(sending.waits());
    assert_eq!(sender.port_rename(port, CHOSEN), Err(Error::InvalidName));
    let send = mailbox.to;
    let moved = sender.thread().send(Message::by(send, Disposition::MoveSend), WhenFull::WaitMs(5));
    assert!(moved.waits());
    mailbox.receiver.give_send(sender, mailbox.port);
    assert_eq!(sender.port_rename(send, CHOSEN), Err(Error::Failure));
    mailbox.system.advance_ms(5);
    assert_eq!(sender.port_rename(send, CHOSEN), Ok(()));
}

#[test]
fn the_tasks_own_ports_are_known_by_their_new_names() {
    let system = System::boot();
    let task = system.task("task");
    for (number, name) in [task.task_self(), task.notify(), task.thread_self()].into_iter().enumerate() {
        task.port_rename(name, Name::new(60 + number as u32, 3)).expect("a new name");
    }
    let own = [task.task_self(), task.notify(), task.thread_self()];
    assert_eq!(own, [Name::new(60, 3), Name::new(61, 3), Name::new(62, 3)]);
    assert_eq!(task.info().names, 3);
}

#[test]
fn a_thread_that_ends_takes_no_name_that_means_something_else() {
    let system = System::boot();
    let task = system.task("task");
    let thread = task.thread();
    let name = thread.thread_self();
    let door = extract(&system, &task, name, Disposition::CopySend).expect("a send right");
    task.port_deallocate(name).expect("its own name");
    task.port_allocate_name(name, RightKind::Receive, ONE).expect("the slot is vacant");
    insert(&task, name, name, Disposition::MakeSend).expect("a send right");
    portolan_abi::thread::terminate(&**system.first(), door).expect("its end");
    assert_eq!(task.port_type(name).expect("the port").send, 1);
    system.first().port_deallocate(door).expect("a dead name");
}

#[test]
fn destroying_a_name_ends_all_that_it_stands_for() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, sender) = (&mailbox.receiver, &mailbox.sender);
    let destroy = |task: &Task, name| port::port_destroy(&**task, task.task_self(), name, 0).map(|_| ());
    let once = receiver.give(sender, mailbox.port, Disposition::MakeSendOnce);
    assert_eq!(destroy(sender, once), Ok(()));
    let told = receiver.receive_now(mailbox.port).done().expect("a notice");
    assert_eq!(told.header.id, Kind::SendOnce as u32);
    sender.port_mod_refs(mailbox.to, RightKind::Send, 7).expect("references");
    assert_eq!(destroy(sender, mailbox.to), Ok(()));
    assert_eq!((sender.port_type(mailbox.to), receiver.status(mailbox.port).send_rights), (Err(Error::InvalidName), 0));
    let again = receiver.give_send(sender, mailbox.port);
    receiver.give_send(receiver, mailbox.port);
    assert_eq!(destroy(receiver, mailbox.port), Ok(()));
    assert_eq!(receiver.port_type(mailbox.port), Err(Error::InvalidName));
    assert_eq!(sender.port_type(again).expect("a dead name").dead, 1);
    assert_eq!(destroy(sender, again), Ok(()));
    assert_eq!(destroy(sender, again), Err(Error::InvalidName));
    assert_eq!(notice(sender), None);
}

#[test]
fn references_are_told_for_each_kind() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    receiver.give_send(receiver, port);
    receiver.port_mod_refs(port, RightKind::Send, 4).expect("references");
    let counts = |task: &Task, name| {
        [RightKind::Receive, RightKind::Send, RightKind::SendOnce, RightKind::DeadName]
            .map(|kind| references(task, name, kind))
    };
    assert_eq!(counts(receiver, port), [Ok(1), Ok(5), Ok(0), Ok(0)]);
    let once = receiver.give(&mailbox.sender, port, Disposition::MakeSendOnce);
    assert_eq!(counts(&mailbox.sender, once), [Ok(0), Ok(0), Ok(1), Ok(0)]);
    receiver.terminate();
    assert_eq!(counts(&mailbox.sender, once), [Ok(0), Ok(0), Ok(0), Ok(1)]);
    let unknown = port::port_get_refs(&*mailbox.sender, mailbox.sender.task_self(), once, 3).map(|_| ());
    assert_eq!(unknown, Err(Error::InvalidValue));
}

#[test]
fn all_names_are_listed_once_with_what_they_stand_for() {
    let mailbox = Mailbox::new(ONE);
    let task = &mailbox.sender;
    let known = task.port_names().len();
    let mut made: Vec<Name> = (0..100).map(|_| task.port(ONE)).collect();
    let far = Name::new(3000, 2);
    made.push(task.port_allocate_name(far, RightKind::DeadName, Capacity::Zero).expect("a dead name"));
    let names = task.port_names();
    assert_eq!(names.len(), known + made.len());
    for name in made {
        assert_eq!(names.iter().filter(|one| one.name == name).count(), 1);
    }
    assert!(names.iter().any(|one| (one.name, one.send) == (mailbox.to, 1)));
    assert!(names.iter().any(|one| (one.name, one.dead) == (far, 1)));
    assert!(names.iter().any(|one| (one.name, one.receive) == (task.notify(), 1)));
}

#[test]
fn rights_are_extracted_by_every_disposition() {
    let mailbox = Mailbox::new(ONE);
    let (system, receiver, port) = (&mailbox.system, &mailbox.receiver, mailbox.port);
    let first = system.first();
    let made = extract(system, receiver, port, Disposition::MakeSend).expect("a send right");
    assert_eq!(extract(system, &mailbox.sender, mailbox.to, Disposition::CopySend), Ok(made));
    assert_eq!(extract(system, &mailbox.sender, mailbox.to, Disposition::MoveSend), Ok(made));
    assert_eq!(mailbox.sender.port_type(mailbox.to), Err(Error::InvalidName));
    assert_eq!((first.port_type(made).expect("a right").send, receiver.status(port).send_rights), (3, 1));
    let once = extract(system, receiver, port, Disposition::MakeSendOnce).expect("a send-once right");
    let there = first.give(&mailbox.sender, once, Disposition::MoveSendOnce);
    let once = extract(system, &mailbox.sender, there, Disposition::MoveSendOnce).expect("the same right");
    first.send(Message::by(once, Disposition::MoveSendOnce).text("queued"), WhenFull::Wait).done().expect("a send");
    let waiting = receiver.thread().receive(receiver.port(ONE));
    assert_eq!(extract(system, receiver, port, Disposition::MoveReceive), Ok(made));
    assert_eq!(first.receive_now(made).done().expect("the message").text(), "queued");
    assert!(waiting.waits());
    assert_eq!(receiver.port_type(port), Err(Error::InvalidName));
    first.port_mod_refs(made, RightKind::Receive, -1).expect("the end");
    assert_eq!(extract(system, first, made, Disposition::CopySend), Ok(Name::DEAD));
    first.port_mod_refs(made, RightKind::DeadName, -3).expect("a dead name");
    while first.receive_now(first.notify()).done().is_ok() {}
}

#[test]
fn what_cannot_be_extracted_stays() {
    let mailbox = Mailbox::new(ONE);
    let (system, sender) = (&mailbox.system, &mailbox.sender);
    for how in [Disposition::MakeSend, Disposition::MoveReceive, Disposition::MoveSendOnce] {
        assert_eq!(extract(system, sender, mailbox.to, how), Err(Error::InvalidRight));
    }
    let unknown = port::port_extract_right(&**sender, sender.task_self(), mailbox.to, 5).map(|_| ());
    assert_eq!(unknown, Err(Error::InvalidValue));
    // A port's receive right in a reply to that very port would never be received.
    let request = Message::to(sender.task_self()).reply(sender.port(ONE), Disposition::MakeSendOnce);
    let reply = request.header.local;
    let arguments = port::arguments::PortExtractRight { name: reply, disposition: Disposition::MoveReceive as u32 };
    let request = request
        .id(<port::PortExtractRight as portolan_abi::interface::Routine>::ID)
        .text(zerocopy::IntoBytes::as_bytes(&arguments));
    let answer = sender.rpc(request, reply).done().expect("a refusal");
    assert_eq!(answer.body[..4], Error::InvalidRight.code().to_le_bytes());
    assert_eq!(sender.port_type(reply).expect("still ours").receive, 1);
}

#[test]
fn sequence_number_and_make_send_count_can_be_set() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    port::port_set_seqno(&**receiver, receiver.task_self(), port, 0, 1 << 40).expect("a receive right");
    port::port_set_mscount(&**receiver, receiver.task_self(), port, 77).expect("a receive right");
    assert_eq!(receiver.status(port).make_send_count, 77);
    mailbox.send("numbered", WhenFull::Wait).done().expect("a send");
    assert_eq!(mailbox.receive().done().expect("a message").trailer.sequence, 1 << 40);
    assert_eq!(receiver.status(port).sequence, (1 << 40) + 1);
    let sender = &mailbox.sender;
    let refused = port::port_set_seqno(&**sender, sender.task_self(), mailbox.to, 0, 1).map(|_| ());
    assert_eq!(refused, Err(Error::NotReceiver));
}

#[test]
fn sequence_number_and_make_send_count_go_on_from_zero_after_their_last() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    port::port_set_seqno(&**receiver, receiver.task_self(), port, 0, u64::MAX).expect("a receive right");
    for sequence in [u64::MAX, 0] {
        mailbox.send("numbered", WhenFull::Wait).done().expect("a send");
        assert_eq!(mailbox.receive().done().expect("a message").trailer.sequence, sequence);
    }
    port::port_set_mscount(&**receiver, receiver.task_self(), port, u32::MAX).expect("a receive right");
    receiver.give_send(&mailbox.sender, port);
    assert_eq!((receiver.status(port).make_send_count, receiver.status(port).sequence), (0, 1));
}
