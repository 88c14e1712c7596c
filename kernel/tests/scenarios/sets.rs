//! Port sets: receiving from many ports in turn, and what becomes of members and sets. And what
//! a receiver sets on a port for itself.

use crate::harness::{Mailbox, Message, System, Task, WhenFull};
use portolan_abi::message::Trailer;
use portolan_abi::notification::Kind;
use portolan_abi::task::Limits;
use portolan_abi::{Capacity, Disposition, Error, Name, RightKind, message::Descriptor, port};

const ONE: Capacity = Capacity::Bounded(1);
const MANY: Capacity = Capacity::Unbounded;

/// A server with a set of ports, and a client that can send to each of them.
struct Scene {
    system: System,
    server: Task,
    client: Task,
    set: Name,
    ports: Vec<Name>,
    to: Vec<Name>,
}

impl Scene {
    fn new(capacities: &[Capacity]) -> Scene {
        let system = System::boot();
        let (server, client) = (system.task("server"), system.task("client"));
        let set = server.port_set();
        let ports: Vec<Name> = capacities.iter().map(|capacity| server.port(*capacity)).collect();
        let to = ports.iter().map(|port| server.give_send(&client, *port)).collect();
        for port in &ports {
            server.port_move_member(*port, set).expect("a member");
        }
        Scene { system, server, client, set, ports, to }
    }

    fn send(&self, number: usize, text: &str) {
        self.client.send(Message::to(self.to[number]).text(text), WhenFull::Return).done().expect("a send");
    }

    /// What the set gives now, and from which port.
    fn take(&self) -> Option<(usize, String)> {
        let message = self.server.receive_now(self.set).done().ok()?;
        let number = self.ports.iter().position(|port| *port == message.header.local).expect("a member");
        Some((number, message.text().to_owned()))
    }

    fn take_numbers(&self) -> Vec<usize> {
        std::iter::from_fn(|| self.take()).map(|(number, _)| number).collect()
    }
}

#[test]
fn a_set_gives_the_messages_of_its_members() {
    let scene = Scene::new(&[ONE, ONE]);
    assert_eq!(scene.take(), None);
    scene.send(1, "to the second");
    assert_eq!(scene.take(), Some((1, "to the second".to_owned())));
    scene.send(0, "to the first");
    assert_eq!(scene.take(), Some((0, "to the first".to_owned())));
    assert_eq!(scene.take(), None);
    assert_eq!(scene.server.status(scene.ports[0]).set, scene.set);
    assert_eq!(scene.server.port_type(scene.set).expect("a set").set, 1);
}

#[test]
fn members_take_turns() {
    let scene = Scene::new(&[MANY, MANY, MANY]);
    for _ in 0..3 {
        scene.send(0, "much");
    }
    scene.send(1, "little");
    scene.send(2, "more");
    scene.send(2, "more");
    assert_eq!(scene.take_numbers(), [0, 1, 2, 0, 2, 0]);
}

#[test]
fn a_busy_member_cannot_keep_a_quiet_one_waiting() {
    let scene = Scene::new(&[MANY, ONE]);
    scene.send(0, "busy");
    scene.send(0, "busy");
    for _ in 0..5 {
        assert_eq!(scene.take(), Some((0, "busy".to_owned())));
        scene.send(0, "busy");
    }
    scene.send(1, "quiet");
    assert!(scene.take_numbers()[..2].contains(&1));
}

#[test]
fn of_a_thousand_members_none_waits_for_a_busy_one() {
    const MEMBERS: usize = 1000;
    let system = System::boot();
    let limits = Limits { memory: 4 << 20, ports: 1100, frames: 400 };
    let server = system.task_with("server", limits).expect("a task");
    system.unchecked(|| {
        let set = server.port_set();
        let ports: Vec<Name> = (0..MEMBERS).map(|_| server.port(MANY)).collect();
        for port in &ports {
            server.port_move_member(*port, set).expect("a member");
        }
        let send = |port: Name| {
            let message = Message::by(port, Disposition::MakeSend);
            server.send(message, WhenFull::Return).done().expect("a send");
        };
        let take = || server.receive_now(set).done().expect("a message").header.local;
        let [busy, quiet @ ..] = &ports[..] else { panic!("no member") };
        (0..20).for_each(|_| send(*busy));
        for port in quiet {
            send(*port);
            send(*busy);
            assert!([take(), take()].contains(port), "member {port:?}");
        }
        assert!((0..20).all(|_| take() == *busy));
    });
}

#[test]
fn a_thread_waits_at_a_set_for_any_member() {
    let scene = Scene::new(&[ONE, Capacity::Zero]);
    for number in [1, 0, 1] {
        let waiting = scene.server.thread().receive(scene.set);
        assert!(waiting.waits());
        scene.send(number, "here");
        let message = waiting.done().expect("a message");
        assert_eq!((message.header.local, message.text()), (scene.ports[number], "here"));
    }
}

#[test]
fn threads_at_a_set_are_served_in_the_order_of_their_coming() {
    let scene = Scene::new(&[ONE, ONE]);
    let threads = [(); 3].map(|()| scene.server.thread());
    let waiting = threads.each_ref().map(|thread| thread.receive(scene.set));
    for (number, text) in [(0, "first"), (1, "second"), (0, "third")] {
        scene.send(number, text);
    }
    for (message, text) in waiting.iter().zip(["first", "second", "third"]) {
        assert_eq!(message.done().expect("a message").text(), text);
    }
}

#[test]
fn a_rendezvous_works_through_a_set() {
    let scene = Scene::new(&[Capacity::Zero]);
    let sending = scene.client.thread().send(Message::to(scene.to[0]).text("patient"), WhenFull::Wait);
    assert!(sending.waits());
    assert_eq!(scene.take(), Some((0, "patient".to_owned())));
    assert_eq!(sending.done(), Ok(()));
    let refused = scene.client.send(Message::to(scene.to[0]), WhenFull::Return);
    assert_eq!(refused.done(), Err(Error::SendTimedOut));
}

#[test]
fn an_rpc_is_served_through_a_set() {
    let scene = Scene::new(&[Capacity::Zero, ONE]);
    let reply = scene.client.port(ONE);
    let server = scene.server.thread();
    let request = server.receive(scene.set);
    let call = scene.client.rpc(Message::to(scene.to[1]).reply(reply, Disposition::MakeSendOnce).text("?"), reply);
    let request = request.done().expect("a request");
    let answer = Message::by(request.reply_right(), Disposition::MoveSendOnce).text("!");
    let next = server.rpc(answer, scene.set);
    assert_eq!(call.done().expect("an answer").text(), "!");
    scene.send(0, "next");
    assert_eq!(next.done().expect("the next request").header.local, scene.ports[0]);
}

#[test]
fn a_member_is_not_received_from_directly() {
    let scene = Scene::new(&[ONE]);
    scene.send(0, "here");
    assert_eq!(scene.server.receive_now(scene.ports[0]).done().err(), Some(Error::ReceiveInSet));
    scene.server.port_move_member(scene.ports[0], Name::NULL).expect("out of the set");
    assert_eq!(scene.server.receive_now(scene.ports[0]).done().expect("a message").text(), "here");
    assert_eq!(scene.server.port_move_member(scene.ports[0], Name::NULL), Err(Error::NotInSet));
    assert_eq!(scene.take(), None);
}

#[test]
fn a_kernels_reply_does_not_get_past_a_set() {
    let scene = Scene::new(&[ONE]);
    let server = &scene.server;
    let request = Message::to(server.task_self()).reply(scene.ports[0], Disposition::MakeSendOnce);
    let request = request.id(<portolan_abi::task::Info as portolan_abi::interface::Routine>::ID);
    assert_eq!(server.rpc(request, scene.ports[0]).done().err(), Some(Error::ReceiveInSet));
    let reply = server.receive_now(scene.set).done().expect("the reply");
    assert_eq!(reply.header.local, scene.ports[0]);
}

#[test]
fn a_thread_that_waits_at_a_port_is_told_that_it_joins_a_set() {
    let scene = Scene::new(&[ONE]);
    let port = scene.server.port(ONE);
    let to = scene.server.give_send(scene.system.first(), port);
    let waiting = scene.server.receive(port);
    scene.server.port_move_member(port, scene.set).expect("a member");
    assert_eq!(waiting.done().err(), Some(Error::ReceivePortChanged));
    scene.system.give_up_later(to);
}

#[test]
fn what_a_new_member_has_goes_to_threads_that_wait_at_the_set() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let server = &mailbox.receiver;
    let set = server.port_set();
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    let sending = mailbox.sender.thread().send(Message::to(mailbox.to).text("blocked"), WhenFull::Wait);
    let threads = [(); 3].map(|()| server.thread());
    let waiting = threads.each_ref().map(|thread| thread.receive(set));
    server.port_move_member(mailbox.port, set).expect("a member");
    assert_eq!(waiting[0].done().expect("a message").text(), "cached");
    assert_eq!(waiting[1].done().expect("a message").text(), "blocked");
    assert_eq!(sending.done(), Ok(()));
    assert!(waiting[2].waits());
}

#[test]
fn a_buffer_that_is_too_small_leaves_the_message_first() {
    let scene = Scene::new(&[ONE, ONE]);
    scene.send(0, &"long ".repeat(20));
    scene.send(1, "short");
    let small = scene.server.receive_with(scene.set, portolan_abi::message::Options::empty(), 0, 90);
    assert_eq!(small.done().err(), Some(Error::ReceiveTooLarge));
    assert_eq!(scene.take_numbers(), [0, 1]);
    let waiting = scene.server.receive_with(scene.set, portolan_abi::message::Options::empty(), 0, 90);
    assert!(waiting.waits());
    scene.send(0, &"long ".repeat(20));
    assert_eq!(waiting.done().err(), Some(Error::ReceiveTooLarge));
    assert_eq!(scene.take_numbers(), [0]);
}

#[test]
fn a_receive_from_a_set_times_out_and_can_be_aborted() {
    let scene = Scene::new(&[ONE]);
    let waiting = scene.server.receive_within(scene.set, 10);
    scene.system.advance_ms(10);
    assert_eq!(waiting.done().err(), Some(Error::ReceiveTimedOut));
    scene.send(0, "later");
    assert_eq!(scene.take_numbers(), [0]);
}

#[test]
fn a_port_moves_from_one_set_to_another() {
    let scene = Scene::new(&[ONE, ONE]);
    let (server, other) = (&scene.server, scene.server.port_set());
    scene.send(0, "queued");
    server.port_move_member(scene.ports[0], other).expect("another set");
    assert_eq!(server.port_set_members(scene.set), Ok(vec![scene.ports[1]]));
    assert_eq!(server.port_set_members(other), Ok(vec![scene.ports[0]]));
    assert_eq!(scene.take(), None);
    assert_eq!(server.receive_now(other).done().expect("a message").text(), "queued");
}

#[test]
fn what_is_no_member_or_no_set_is_refused() {
    let scene = Scene::new(&[ONE]);
    let (server, client) = (&scene.server, &scene.client);
    let port = server.port(ONE);
    assert_eq!(server.port_move_member(port, port), Err(Error::InvalidRight));
    assert_eq!(server.port_move_member(scene.set, scene.set), Err(Error::NotReceiver));
    assert_eq!(client.port_move_member(scene.to[0], Name::NULL), Err(Error::NotReceiver));
    assert_eq!(server.port_move_member(port, Name::new(800, 2)), Err(Error::InvalidName));
    assert_eq!(server.port_set_members(port), Err(Error::InvalidRight));
    assert_eq!(server.port_status(scene.set).err(), Some(Error::NotReceiver));
    // A set cannot be sent to, nor sent.
    for how in [Disposition::MakeSend, Disposition::CopySend, Disposition::MoveSendOnce] {
        let sent = server.send(Message::by(scene.set, how), WhenFull::Return);
        assert_eq!(sent.done(), Err(Error::SendInvalidPort));
    }
    let to = server.give_send(server, port);
    let message = Message::to(to).right(scene.set, Disposition::MoveReceive);
    assert_eq!(server.send(message, WhenFull::Return).done(), Err(Error::SendInvalidRight));
}

#[test]
fn the_members_of_a_large_set_are_all_listed() {
    let scene = Scene::new(&[]);
    let mut ports: Vec<Name> = (0..150).map(|_| scene.server.port(ONE)).collect();
    ports.iter().for_each(|port| scene.server.port_move_member(*port, scene.set).expect("a member"));
    let mut members = scene.server.port_set_members(scene.set).expect("a set");
    members.sort();
    ports.sort();
    assert_eq!(members, ports);
}

#[test]
fn a_set_that_ends_lets_its_members_and_its_threads_go() {
    for end in [0, 1, 2] {
        let scene = Scene::new(&[ONE, ONE]);
        let server = &scene.server;
        let waiting = server.thread().receive(scene.set);
        match end {
            0 => server.port_deallocate(scene.set).expect("a set"),
            1 => server.port_mod_refs(scene.set, RightKind::PortSet, -1).expect("a set"),
            _ => port::port_destroy(&**server, server.task_self(), scene.set, 0).map(|_| ()).expect("a set"),
        }
        assert_eq!(waiting.done().err(), Some(Error::ReceivePortDied));
        assert_eq!(server.port_type(scene.set), Err(Error::InvalidName));
        scene.send(0, "alone");
        assert_eq!(server.receive_now(scene.ports[0]).done().expect("a message").text(), "alone");
        assert_eq!(server.status(scene.ports[1]).set, Name::NULL);
    }
}

#[test]
fn a_member_that_dies_leaves_the_set() {
    let scene = Scene::new(&[ONE, ONE]);
    let waiting = scene.server.thread().receive(scene.set);
    scene.server.port_deallocate(scene.ports[0]).expect("the end of a member");
    assert!(waiting.waits());
    scene.send(1, "still");
    assert_eq!(waiting.done().expect("a message").text(), "still");
    scene.send(1, "queued");
    scene.server.port_deallocate(scene.ports[1]).expect("the end of a member");
    assert_eq!(scene.server.port_set_members(scene.set), Ok(vec![]));
    assert_eq!(scene.server.receive_now(scene.set).done().err(), Some(Error::ReceiveTimedOut));
}

#[test]
fn a_member_that_is_sent_away_leaves_the_set_with_its_messages() {
    let scene = Scene::new(&[ONE, ONE]);
    scene.send(0, "queued");
    let moved = scene.server.give(&scene.client, scene.ports[0], Disposition::MoveReceive);
    assert_eq!(scene.take(), None);
    assert_eq!(scene.client.receive_now(moved).done().expect("a message").text(), "queued");
    assert_eq!(scene.server.port_set_members(scene.set), Ok(vec![scene.ports[1]]));
}

#[test]
fn a_member_whose_way_out_is_blocked_stays_a_member() {
    let scene = Scene::new(&[ONE, ONE]);
    let full = scene.client.port(Capacity::Zero);
    let to = scene.client.give_send(&scene.server, full);
    let message = Message::to(to).right(scene.ports[0], Disposition::MoveReceive);
    let sending = scene.server.thread().send(message, WhenFull::WaitMs(10));
    assert!(sending.waits());
    scene.system.advance_ms(10);
    assert_eq!(sending.done(), Err(Error::SendTimedOut));
    scene.send(0, "here");
    assert_eq!(scene.take(), Some((0, "here".to_owned())));
}

#[test]
fn notices_come_through_a_set() {
    let scene = Scene::new(&[ONE]);
    let client = &scene.client;
    let set = client.port_set();
    let waiting = client.thread().receive(set);
    client.port_move_member(client.notify(), set).expect("a member");
    assert!(waiting.waits());
    scene.server.terminate();
    let notice = waiting.done().expect("a notice");
    assert_eq!((notice.header.id, notice.header.local), (Kind::DeadName as u32, client.notify()));
    let mine = client.port(ONE);
    client.port_move_member(mine, set).expect("a member");
    let once = client.give(client, mine, Disposition::MakeSendOnce);
    client.port_deallocate(once).expect("ours");
    let notice = client.receive_now(set).done().expect("a notice");
    assert_eq!((notice.header.id, notice.header.local), (Kind::SendOnce as u32, mine));
    assert_eq!(client.receive_now(set).done().err(), Some(Error::ReceiveTimedOut));
}

#[test]
fn an_accepted_message_is_told_at_the_same_set() {
    // The thread that takes the message is the one that waits where its acceptance is told.
    let system = System::boot();
    let task = system.task("task");
    let (set, port) = (task.port_set(), task.port(Capacity::Zero));
    task.give_send(&task, port);
    assert_eq!(task.send(Message::to(port).text("cached"), WhenFull::Cache).done(), Err(Error::SendWillNotify));
    task.port_move_member(task.notify(), set).expect("a member");
    let waiting = [task.thread(), task.thread()].map(|thread| thread.receive(set));
    task.port_move_member(port, set).expect("a member");
    assert_eq!(waiting[0].done().expect("the message").text(), "cached");
    assert_eq!(waiting[1].done().expect("the notice").header.id, Kind::MessageAccepted as u32);
}

#[test]
fn a_receiver_at_a_set_is_room_for_who_hopes() {
    let scene = Scene::new(&[Capacity::Zero, ONE]);
    let client = &scene.client;
    let null = Descriptor::port(Name::NULL, Disposition::CopySend as u8);
    let ask = || {
        let kind = Kind::SendPossible as u32;
        port::port_request_notification(&**client, client.task_self(), scene.to[0], kind, 0, 0, null).expect("asked");
    };
    let told = || client.receive_now(client.notify()).done().map(|message| message.header.id).ok();
    ask();
    assert_eq!((scene.take(), told()), (None, None));
    let waiting = scene.server.receive(scene.set);
    assert_eq!(told(), Some(Kind::SendPossible as u32));
    ask();
    assert_eq!(told(), Some(Kind::SendPossible as u32));
    scene.send(0, "met");
    assert_eq!(waiting.done().expect("a message").text(), "met");
    ask();
    // It hopes on when it has had a message meanwhile.
    let sending = client.thread().send(Message::to(scene.to[0]), WhenFull::Wait);
    assert_eq!(scene.take_numbers(), [0]);
    assert_eq!((sending.done(), told()), (Ok(()), None));
    let waiting = scene.server.receive(scene.set);
    assert_eq!(told(), Some(Kind::SendPossible as u32));
    scene.send(1, "end");
    waiting.done().expect("a message");
}

#[test]
fn sets_and_members_can_be_renamed() {
    let scene = Scene::new(&[ONE]);
    let (set, member) = (Name::new(20, 3), Name::new(21, 3));
    let waiting = scene.server.thread().receive(scene.set);
    scene.server.port_rename(scene.set, set).expect("a new name");
    scene.server.port_rename(scene.ports[0], member).expect("a new name");
    scene.send(0, "here");
    assert_eq!(waiting.done().expect("a message").header.local, member);
    assert_eq!(scene.server.port_set_members(set), Ok(vec![member]));
    assert_eq!(scene.server.status(member).set, set);
}

#[test]
fn a_task_ends_with_its_sets() {
    let scene = Scene::new(&[ONE, Capacity::Zero]);
    let sending = scene.client.thread().send(Message::to(scene.to[1]), WhenFull::Wait);
    scene.send(0, "queued");
    scene.server.terminate();
    assert_eq!(sending.done(), Err(Error::SendInvalidPort));
}

#[test]
fn a_payload_comes_with_each_message_until_it_is_cleared_or_the_port_moves() {
    let mailbox = Mailbox::new(ONE);
    let (receiver, port) = (&mailbox.receiver, mailbox.port);
    let payload = |task: &Task, port| {
        let message = task.receive_now(port).done().expect("a message");
        (message.trailer.flags & Trailer::PAYLOAD != 0).then_some(message.trailer.payload)
    };
    let set = |number| {
        port::port_set_protected_payload(&**receiver, receiver.task_self(), port, 0, number).expect("a payload");
    };
    let send = || mailbox.send("message", WhenFull::Return).done().expect("a send");
    set(u64::MAX);
    send();
    assert_eq!((receiver.status(port).payload, payload(receiver, port)), (u64::MAX, Some(u64::MAX)));
    set(0);
    send();
    assert_eq!(payload(receiver, port), Some(0));
    port::port_clear_protected_payload(&**receiver, receiver.task_self(), port, 0).expect("none");
    send();
    assert_eq!(payload(receiver, port), None);
    set(5);
    send();
    let moved = receiver.give(&mailbox.sender, port, Disposition::MoveReceive);
    assert_eq!(payload(&mailbox.sender, moved), None);
    let sender = &mailbox.sender;
    let refused = port::port_set_protected_payload(&**receiver, receiver.task_self(), port, 0, 5).map(|_| ());
    assert_eq!(refused, Err(Error::InvalidName));
    let to = sender.give_send(receiver, moved);
    let refused = port::port_set_protected_payload(&**receiver, receiver.task_self(), to, 0, 5).map(|_| ());
    assert_eq!(refused, Err(Error::NotReceiver));
}
