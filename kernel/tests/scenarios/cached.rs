//! The cached message in its sender's hand: looked at, replaced, taken back; and whose it is.

use crate::harness::{Mailbox, Message, Task, Thread, WhenFull, no_right};
use portolan_abi::message::{Descriptor, Header, Options};
use portolan_abi::notification::{Kind, Notification};
use portolan_abi::port::{port_cached, port_cached_replace, port_cached_take_back};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, vm};
use zerocopy::FromBytes;

const ONE: Capacity = Capacity::Bounded(1);
const ROOM: u32 = 4096;

/// Number, size and id of the cached message.
fn look(task: &Task, name: Name, thread: Name) -> Result<(u64, u32, u32)> {
    let reply = port_cached(&**task, task.task_self(), name, thread)?.results;
    Ok((reply.number, reply.size, reply.id))
}

/// Where a test has messages of its own: in the last part of a buffer for sending.
fn place(task: &Task) -> u64 {
    task.buffers().0 + 0x800
}

fn take_back(task: &Task, name: Name, thread: Name) -> Result<(Header, Vec<Descriptor>, Vec<u8>)> {
    let place = place(task);
    let reply = port_cached_take_back(&**task, task.task_self(), name, thread, place, ROOM, 0)?;
    Ok(read(task, place, reply.results.size))
}

fn read(task: &Task, place: u64, size: u32) -> (Header, Vec<Descriptor>, Vec<u8>) {
    let bytes = task.load(place, size as usize);
    let (header, mut rest) = Header::read_from_prefix(&bytes).expect("a header");
    let mut rights = Vec::new();
    for _ in 0..header.descriptors {
        let (right, after) = Descriptor::read_from_prefix(rest).expect("a descriptor");
        rights.push(right);
        rest = after;
    }
    (header, rights, rest.to_vec())
}

fn replace(task: &Task, name: Name, message: &Message) -> Result<(Header, Vec<Descriptor>, Vec<u8>)> {
    let (place, bytes) = (place(task), message.bytes());
    task.store(place, &bytes).done();
    let size = bytes.len() as u32;
    let reply = port_cached_replace(&**task, task.task_self(), name, Name::NULL, place, size, ROOM, place)?;
    Ok(read(task, place, reply.results.size))
}

fn notice(task: &Task) -> Result<(u32, Notification)> {
    let notice = task.receive_now(task.notify()).done()?;
    Ok((notice.header.id, Notification::read_from_bytes(&notice.body).expect("a notification")))
}

fn cache(thread: &Thread, message: Message) -> Result<()> {
    thread.send(message, WhenFull::Cache).done()
}

fn cache_of_thread(thread: &Thread, message: Message) -> Result<()> {
    thread.send_with(message, Options::SEND_NOTIFY | Options::SEND_NOTIFY_THREAD, 0).done()
}

#[test]
fn a_cached_message_can_be_looked_at_until_it_is_accepted() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    assert_eq!(look(sender, to, Name::NULL), Err(Error::Failure));
    assert_eq!(cache(sender, Message::to(to).id(7).text("cached")), Err(Error::SendWillNotify));
    let (number, size, id) = look(sender, to, Name::NULL).expect("the cached message");
    assert_eq!((size, id), (30, 7));
    mailbox.take().expect("the one before");
    assert!(look(sender, to, Name::NULL).is_ok());
    let accepted = mailbox.receiver.receive_now(mailbox.port).done().expect("the cached message");
    assert_eq!(accepted.trailer.number, number);
    assert_eq!(look(sender, to, Name::NULL), Err(Error::Failure));
    assert_eq!(notice(sender), Ok((Kind::MessageAccepted as u32, Notification { name: to, count: 7 })));
}

#[test]
fn a_cached_message_taken_back_is_whole_and_is_not_announced() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let (gift, once) = (sender.port(ONE), sender.port(ONE));
    let message = Message::to(to)
        .id(9)
        .text("mine")
        .reply(once, Disposition::MakeSendOnce)
        .right(gift, Disposition::MoveReceive)
        .right(once, Disposition::MakeSend);
    assert_eq!(cache(sender, message.clone()), Err(Error::SendWillNotify));
    assert_eq!(sender.port_type(gift).map(|_| ()), Err(Error::InvalidName));
    let (header, rights, body) = take_back(sender, to, Name::NULL).expect("the message");
    let size = message.bytes().len() as u32;
    assert_eq!(header, Header { size, descriptors: 2, ..message.header });
    assert_eq!((rights, body), (message.rights, message.body));
    assert_eq!(sender.port_type(gift).expect("ours again").receive, 1);
    let status = sender.status(once);
    assert_eq!((status.send_rights, status.send_once_rights, status.make_send_count), (0, 0, 0));
    let status = mailbox.receiver.status(mailbox.port);
    assert_eq!((status.messages, status.cached), (1, 0));
    assert_eq!(mailbox.take_all(), ["filling"]);
    assert_eq!(notice(sender), Err(Error::ReceiveTimedOut));
    assert_eq!(take_back(sender, to, Name::NULL).map(|_| ()), Err(Error::Failure));
}

#[test]
fn moved_rights_come_back_to_the_names_they_came_from() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let others = mailbox.receiver.port(ONE);
    let send = mailbox.receiver.give_send(sender, others);
    let once = mailbox.receiver.give(sender, others, Disposition::MakeSendOnce);
    let message = Message::to(to).right(send, Disposition::MoveSend).right(once, Disposition::MoveSendOnce);
    assert_eq!(cache(sender, message.clone()), Err(Error::SendWillNotify));
    let (_, rights, _) = take_back(sender, to, Name::NULL).expect("the message");
    assert_eq!(rights, message.rights);
    assert_eq!(sender.port_type(send).expect("ours again").send, 1);
    assert_eq!(sender.port_type(once).expect("ours again").send_once, 1);
    let status = mailbox.receiver.status(others);
    assert_eq!((status.send_rights, status.send_once_rights), (1, 1));
}

#[test]
fn a_right_that_died_meanwhile_comes_back_dead() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let others = mailbox.receiver.port(ONE);
    let send = mailbox.receiver.give_send(sender, others);
    assert_eq!(cache(sender, Message::to(to).right(send, Disposition::MoveSend)), Err(Error::SendWillNotify));
    mailbox.receiver.port_mod_refs(others, portolan_abi::RightKind::Receive, -1).expect("its end");
    let (_, rights, _) = take_back(sender, to, Name::NULL).expect("the message");
    assert_eq!(rights[0].name, Name::DEAD);
}

#[test]
fn taking_a_message_back_makes_room() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    assert_eq!(cache(sender, Message::to(to).text("cached")), Err(Error::SendWillNotify));
    mailbox.take().expect("the one before");
    let second = sender.thread();
    let waiting = second.send(Message::to(to).text("waits"), WhenFull::Wait);
    assert!(waiting.waits());
    take_back(sender, to, Name::NULL).expect("the message");
    assert_eq!(waiting.done(), Ok(()));
    assert_eq!(mailbox.take_all(), ["waits"]);
}

#[test]
fn a_cached_message_taken_back_needs_room_and_memory() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    assert_eq!(cache(sender, Message::to(to).text("cached")), Err(Error::SendWillNotify));
    let within =
        |place, room| port_cached_take_back(&**sender, sender.task_self(), to, Name::NULL, place, room, 0).map(|_| ());
    assert_eq!(within(place(sender), 29), Err(Error::NoSpace));
    assert_eq!(within(place(sender) + 4, 30), Err(Error::InvalidAddress));
    assert_eq!(within(0x7000_0000_0000, 30), Err(Error::InvalidAddress));
    let other = port_cached_take_back(&**sender, sender.task_self(), to, to, place(sender), ROOM, 0).map(|_| ());
    assert_eq!(other, Err(Error::InvalidRight));
    assert_eq!(mailbox.take_all(), ["filling", "cached"]);
}

#[test]
fn a_cached_message_is_replaced_in_its_place() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let (first, second) = (sender.port(ONE), sender.port(ONE));
    let old = Message::to(to).id(1).text("old").right(first, Disposition::MoveReceive);
    let new = Message::to(to).id(2).text("new").right(second, Disposition::MoveReceive);
    assert_eq!(cache(sender, old.clone()), Err(Error::SendWillNotify));
    let (header, rights, body) = replace(sender, to, &new).expect("the old message");
    assert_eq!((header.id, rights, body), (1, old.rights, old.body));
    assert_eq!(sender.port_type(first).expect("ours again").receive, 1);
    assert_eq!(sender.port_type(second).map(|_| ()), Err(Error::InvalidName));
    assert_eq!(mailbox.receiver.status(mailbox.port).cached, 1);
    assert_eq!(mailbox.take_all(), ["filling", "new"]);
    assert_eq!(notice(sender), Ok((Kind::MessageAccepted as u32, Notification { name: to, count: 2 })));
}

#[test]
fn a_replacement_that_cannot_be_made_changes_nothing() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let gift = sender.port(ONE);
    let new = Message::to(to).text("new").right(gift, Disposition::MoveReceive);
    assert_eq!(replace(sender, to, &new).map(|_| ()), Err(Error::Failure));
    assert_eq!(cache(sender, Message::to(to).text("cached")), Err(Error::SendWillNotify));
    assert_eq!(replace(sender, to, &Message::to(gift)).map(|_| ()), Err(Error::SendInvalidPort));
    let bad = Message::to(to).right(gift, Disposition::MoveReceive).right(Name(9), Disposition::CopySend);
    assert_eq!(replace(sender, to, &bad).map(|_| ()), Err(Error::SendInvalidRight));
    let place = place(sender);
    sender.store(place, &new.bytes()).done();
    let size = new.bytes().len() as u32;
    let small = port_cached_replace(&**sender, sender.task_self(), to, Name::NULL, place, size, 8, place).map(|_| ());
    assert_eq!(small, Err(Error::NoSpace));
    assert_eq!(sender.port_type(gift).expect("still ours").receive, 1);
    assert_eq!(mailbox.take_all(), ["filling", "cached"]);
}

#[test]
fn each_thread_has_a_slot_of_its_own_if_it_says_so() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let other = sender.thread();
    let (mine, its) = (sender.thread_self(), other.thread_self());
    assert_eq!(cache(sender, Message::to(to).id(1)), Err(Error::SendWillNotify));
    assert_eq!(cache_of_thread(sender, Message::to(to).id(2)), Err(Error::SendWillNotify));
    assert_eq!(cache_of_thread(&other, Message::to(to).id(3)), Err(Error::SendWillNotify));
    for (thread, message) in [(&**sender, 2), (&other, 3)] {
        assert_eq!(cache_of_thread(thread, Message::to(to).id(message)), Err(Error::SendNotifyInProgress));
        assert_eq!(cache(thread, Message::to(to)), Err(Error::SendNotifyInProgress));
    }
    let ids = [Name::NULL, mine, its].map(|thread| look(sender, to, thread).expect("a cached message").2);
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(take_back(sender, to, mine).expect("the second").0.id, 2);
    assert_eq!(mailbox.take_all().len(), 3);
    let ids = [(); 2].map(|()| notice(sender).expect("a notice").1.count);
    assert_eq!(ids, [1, 3]);
}

#[test]
fn cached_messages_of_a_name_that_goes_stay_and_say_no_name() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    assert_eq!(cache(sender, Message::to(to).id(1)), Err(Error::SendWillNotify));
    assert_eq!(cache_of_thread(sender, Message::to(to).id(2)), Err(Error::SendWillNotify));
    sender.port_deallocate(to).expect("the name");
    assert_eq!(look(sender, to, Name::NULL), Err(Error::InvalidName));
    assert_eq!(mailbox.take_all().len(), 3);
    let told = [(); 2].map(|()| notice(sender).expect("a notice").1);
    assert_eq!(told.map(|notice| (notice.name, notice.count)), [(Name::NULL, 1), (Name::NULL, 2)]);
}

const HERE: u64 = 0x5000_0000;
const PAGE: u64 = PAGE_SIZE as u64;

fn map(task: &Task, address: u64, pages: u64, mark: u8) {
    let (own, usable) = (task.task_self(), Protection::READ_WRITE.bits());
    vm::vm_map(&**task, own, address, pages * PAGE, 0, usable, usable, 1, 0, no_right()).expect("a mapping");
    (0..pages).for_each(|page| drop(task.store(address + page * PAGE, &[mark, page as u8]).done()));
}

fn unmap(task: &Task, region: &Descriptor) {
    let end = (region.address + region.size).next_multiple_of(PAGE);
    let start = region.address - region.address % PAGE;
    vm::vm_deallocate(&**task, task.task_self(), start, end - start).expect("unmapped");
}

/// A message with a moved region, a copied one, an array of two rights, a right and an empty region.
fn laden(mailbox: &Mailbox, mark: u8) -> (Message, [Name; 3]) {
    let sender = &mailbox.sender;
    map(sender, HERE, 20, mark);
    map(sender, HERE + 100 * PAGE, 3, mark + 1);
    let ports = [(); 3].map(|()| sender.port(ONE));
    let names: Vec<u8> = ports[..2].iter().flat_map(|name| name.0.to_le_bytes()).collect();
    sender.store(place(sender) + 0x400, &names).done();
    let message = Message::to(mailbox.to)
        .text("laden")
        .descriptor(Descriptor::memory(HERE + 5, 20 * PAGE - 5, Descriptor::MOVE))
        .descriptor(Descriptor::ports(place(sender) + 0x400, 2, Disposition::MoveReceive as u8))
        .right(ports[2], Disposition::MoveReceive)
        .descriptor(Descriptor::memory(HERE + 100 * PAGE, 2 * PAGE, 0))
        .descriptor(Descriptor::memory(0, 0, 0));
    (message, ports)
}

/// Whether it is all there again.
fn is_laden(sender: &Task, descriptors: &[Descriptor], ports: [Name; 3], mark: u8) {
    let [moved, array, right, copied, empty] = descriptors else { panic!("{descriptors:?}") };
    assert_eq!((moved.size, moved.address % PAGE, moved.flags), (20 * PAGE - 5, 5, Descriptor::MOVE));
    assert_eq!((copied.size, copied.flags, empty.size), (2 * PAGE, Descriptor::MOVE, 0));
    assert_eq!((array.size, array.disposition), (2, Disposition::MoveReceive as u8));
    let names = sender.load(array.address, 8);
    assert_eq!(names, ports[..2].iter().flat_map(|name| name.0.to_le_bytes()).collect::<Vec<_>>());
    assert_eq!(right.name, ports[2]);
    assert!(ports.iter().all(|port| sender.port_type(*port).expect("ours again").receive == 1));
    assert_eq!(sender.load(moved.address + PAGE - 5, 2), [mark, 1]);
    assert_eq!(sender.load(moved.address + 19 * PAGE - 5, 2), [mark, 19]);
    assert_eq!(sender.load(copied.address + PAGE, 2), [mark + 1, 1]);
}

#[test]
fn memory_and_arrays_come_back_in_a_place_of_their_own() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let (message, ports) = laden(&mailbox, 10);
    assert_eq!(cache(sender, message), Err(Error::SendWillNotify));
    sender.store(HERE + 100 * PAGE, &[99]).done();
    let (_, descriptors, body) = take_back(sender, to, Name::NULL).expect("the message");
    assert_eq!(body, b"laden");
    is_laden(sender, &descriptors, ports, 10);
    assert_eq!(sender.load(descriptors[3].address, 1), [11], "as it was when it was sent");
    // And as it is now, it can be sent again.
    let again = Message::to(to).text("laden");
    let again = descriptors.iter().fold(again, |message, descriptor| message.descriptor(*descriptor));
    assert_eq!(cache(sender, again), Err(Error::SendWillNotify));
    let (_, descriptors, _) = take_back(sender, to, Name::NULL).expect("the message");
    is_laden(sender, &descriptors, ports, 10);
    [0, 1, 3].iter().for_each(|number| unmap(sender, &page_of(&descriptors[*number])));
}

/// The memory that a descriptor tells of, in bytes.
fn page_of(descriptor: &Descriptor) -> Descriptor {
    let of_names = descriptor.size == 2;
    Descriptor::memory(descriptor.address, if of_names { PAGE } else { descriptor.size }, 0)
}

#[test]
fn a_message_with_memory_is_replaced_by_another_whose_memory_the_buffer_lies_in() {
    let mailbox = Mailbox::full(ONE);
    let (sender, to) = (&mailbox.sender, mailbox.to);
    let (message, ports) = laden(&mailbox, 20);
    assert_eq!(cache(sender, message), Err(Error::SendWillNotify));
    map(sender, HERE + 200 * PAGE, 4, 7);
    let new = Message::to(to).id(2).descriptor(Descriptor::memory(HERE + 200 * PAGE, 4 * PAGE, Descriptor::MOVE));
    let (place, bytes) = (place(sender), new.bytes());
    sender.store(place, &bytes).done();
    let size = bytes.len() as u32;
    // The old one is written where nobody sees it; its memory and rights are there all the same.
    let old = HERE + 202 * PAGE;
    port_cached_replace(&**sender, sender.task_self(), to, Name::NULL, place, size, ROOM, old).expect("replaced");
    assert!(ports.iter().all(|port| sender.port_type(*port).expect("ours again").receive == 1));
    mailbox.take().expect("the one before");
    let arrived = mailbox.receiver.receive_now(mailbox.port).done().expect("the new one");
    let region = arrived.rights[0];
    assert_eq!((arrived.header.id, region.size), (2, 4 * PAGE));
    assert_eq!(mailbox.receiver.load(region.address + 2 * PAGE, 2), [7, 2], "as it was sent");
}
