//! Message queues, kept by a server in a task of its own.

use crate::case::{Failure, Verdict};
use crate::clock::{Stopwatch, deadline};
use crate::peer::Peer;
use crate::protocol::{self, routine};
use crate::system::System;
use crate::{cases, holds, same};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use portolan::abi::interface::Routine;
use portolan::abi::message::SecurityToken;
use portolan::abi::task::Limits;
use portolan::abi::thread::State;
use portolan::bootstrap::routine::CheckIn;
use portolan::interface::MsgRpc;
use portolan::server::Served;
use portolan::thread::{JoinHandle, spawn, yield_now};
use portolan::{Capacity, Error, Message, Notice, ReceiveRight, Right, SendRight, Task, host, trap};
use portolan_posix::queue::{
    Access, Attributes, Blocking, Create, MESSAGES_MAX, PRIORITY_MAX, QueueName, SERVICE, SIZE_MAX, list,
    protocol as queue, server as find_server,
};
use portolan_posix::{Errno, MessageQueue, Result, Time};

cases!("posix_mq":
    the_highest_priority_comes_first,
    a_queue_is_what_it_was_made_for,
    what_cannot_be_opened_is_refused,
    attributes_that_no_queue_can_have_are_refused,
    a_queue_is_used_as_it_was_opened,
    a_message_that_does_not_fit_is_refused,
    a_priority_has_a_limit,
    nothing_waits_where_it_must_not,
    a_time_ends_a_wait,
    a_receiver_waits_for_a_message,
    senders_wait_for_places_in_their_order,
    a_receiver_that_dies_swallows_nothing,
    a_sender_that_dies_has_not_sent,
    an_unlinked_queue_lives_while_it_is_open,
    a_closed_queue_makes_room_for_another,
    a_server_has_room_for_so_much,
    an_arrival_is_told_once,
    an_arrival_at_a_receiver_is_not_told,
    a_mode_says_who_may_open,
    a_server_that_dies_is_told,
    a_server_that_cannot_pay_says_so,
    queues_are_listed,
    a_system_has_one_server,
    a_killed_server_comes_back_empty,
    nonsense_is_refused_and_the_server_goes_on,
    a_queue_is_a_bounded_buffer,
);

const SMALL: Attributes = Attributes { messages: 2, size: 16, ..Attributes::DEFAULT };
const MODE: u32 = 0o600;
/// What a server can spend: enough for all that it keeps.
const LIMITS: Limits = Limits { memory: 1 << 20, ports: 1024, frames: 3072 };
const PATIENCE_MS: u32 = 5000;

/// A server of a case's own.
struct Server {
    task: Task,
    right: SendRight,
    /// Its bootstrap port.
    _port: ReceiveRight,
}

impl Server {
    fn start() -> core::result::Result<Server, Failure> {
        Server::with_limits(LIMITS)
    }

    fn with_limits(limits: Limits) -> core::result::Result<Server, Failure> {
        let (port, service) = (ReceiveRight::allocate(Capacity::DEFAULT)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
        let right = service.make_send()?;
        let task = protocol::start_program("mq", "", limits, Right::MakeSend(&port))?;
        let mut asked = port.receive_within(PATIENCE_MS)?;
        same!(asked.id(), CheckIn::ID);
        asked.answer(CheckIn::answer(service))?;
        Ok(Server { task, right, _port: port })
    }

    fn open(&self, name: &[u8], access: Access, create: Create) -> Result<MessageQueue> {
        MessageQueue::open(&self.right, name, access, create, Blocking::Wait)
    }

    /// A new queue of two small messages.
    fn small(&self) -> core::result::Result<MessageQueue, Failure> {
        self.open(b"/small", Access::Both, Create::New(MODE, SMALL)).map_err(of)
    }
}

#[track_caller]
fn of(errno: Errno) -> Failure {
    Failure::new(&format!("{errno:?}"))
}

/// What is received next, into a buffer that is large enough.
fn next(queue: &MessageQueue) -> Result<(Vec<u8>, u32)> {
    let mut buffer = vec![0; SIZE_MAX as usize];
    let (length, priority) = queue.receive(&mut buffer)?;
    buffer.truncate(length);
    Ok((buffer, priority))
}

/// A thread that does this with a queue, and comes to wait for the server's answer.
fn waiting<T: Send + 'static>(
    queue: &Arc<MessageQueue>,
    act: impl FnOnce(&MessageQueue) -> T + Send + 'static,
) -> core::result::Result<JoinHandle<T>, Failure> {
    let queue = Arc::clone(queue);
    let thread = spawn(move || act(&queue))?;
    let end = deadline(5000);
    while thread.thread().info()?.state != State::Receiving as u32 {
        holds!(trap::clock_get() < end);
        yield_now();
    }
    // The server has the request before any that comes now.
    Ok(thread)
}

fn the_highest_priority_comes_first() -> Verdict {
    let server = Server::start()?;
    let queue = server.open(b"/q", Access::Both, Create::New(MODE, Attributes::DEFAULT)).map_err(of)?;
    for (text, priority) in [("a", 1), ("b", 9), ("c", 1), ("d", 9), ("", 0), ("e", PRIORITY_MAX - 1)] {
        same!(queue.send(text.as_bytes(), priority), Ok(()));
    }
    for (text, priority) in [("e", PRIORITY_MAX - 1), ("b", 9), ("d", 9), ("a", 1), ("c", 1), ("", 0)] {
        same!(next(&queue), Ok((text.as_bytes().to_vec(), priority)));
    }
    Ok(())
}

fn a_queue_is_what_it_was_made_for() -> Verdict {
    let server = Server::start()?;
    let queue = server.small()?;
    same!(queue.attributes(), Ok(SMALL));
    same!(queue.send(b"x", 0), Ok(()));
    same!(queue.attributes(), Ok(Attributes { current: 1, ..SMALL }));
    // Who opens it again gets the queue that is there, whatever he would have made.
    let again = server.open(b"/small", Access::Receive, Create::IfAbsent(0, Attributes::DEFAULT)).map_err(of)?;
    same!(again.attributes(), Ok(Attributes { current: 1, ..SMALL }));
    same!(next(&again), Ok((b"x".to_vec(), 0)));
    let usual = server.open(b"/usual", Access::Both, Create::IfAbsent(MODE, Attributes::DEFAULT)).map_err(of)?;
    same!(usual.attributes(), Ok(Attributes { flags: 0, messages: 10, size: 8192, current: 0 }));
    Ok(())
}

fn what_cannot_be_opened_is_refused() -> Verdict {
    let server = Server::start()?;
    let open = |name: &[u8], create| server.open(name, Access::Both, create).map(drop);
    same!(open(b"/none", Create::No), Err(Errno::NoEntry));
    let _queue = server.small()?;
    same!(open(b"/small", Create::New(MODE, SMALL)), Err(Errno::Exists));
    let long = [b"/".as_slice(), &[b'n'; 256]].concat();
    for (name, why) in [
        (b"small".as_slice(), Errno::Invalid),
        (b"", Errno::Invalid),
        (b"/", Errno::NoEntry),
        (b"/a/b", Errno::Access),
        (&long, Errno::NameTooLong),
    ] {
        same!(open(name, Create::IfAbsent(MODE, SMALL)), Err(why));
        same!(MessageQueue::unlink(&server.right, name), Err(why));
    }
    same!(open(&long[..256], Create::New(MODE, SMALL)), Ok(()));
    same!(MessageQueue::unlink(&server.right, b"/none"), Err(Errno::NoEntry));
    Ok(())
}

fn attributes_that_no_queue_can_have_are_refused() -> Verdict {
    let server = Server::start()?;
    for (messages, size) in
        [(0, 8), (-1, 8), (8, 0), (8, -1), (MESSAGES_MAX + 1, 8), (8, SIZE_MAX + 1), (i64::MAX, i64::MAX)]
    {
        let attributes = Attributes { messages, size, ..Attributes::DEFAULT };
        let opened = server.open(b"/q", Access::Both, Create::IfAbsent(MODE, attributes));
        same!(opened.err(), Some(Errno::Invalid));
    }
    same!(server.open(b"/q", Access::Both, Create::No).err(), Some(Errno::NoEntry));
    Ok(())
}

fn a_queue_is_used_as_it_was_opened() -> Verdict {
    let server = Server::start()?;
    let _both = server.small()?;
    let reader = server.open(b"/small", Access::Receive, Create::No).map_err(of)?;
    let writer = server.open(b"/small", Access::Send, Create::No).map_err(of)?;
    same!(reader.send(b"x", 0), Err(Errno::BadDescriptor));
    same!(next(&writer), Err(Errno::BadDescriptor));
    same!((writer.send(b"x", 0), next(&reader)), (Ok(()), Ok((b"x".to_vec(), 0))));
    Ok(())
}

fn a_message_that_does_not_fit_is_refused() -> Verdict {
    let server = Server::start()?;
    let queue = server.small()?;
    same!(queue.send(&[1; 17], 0), Err(Errno::MessageSize));
    same!(queue.send(&[1; SIZE_MAX as usize + 1], 0), Err(Errno::MessageSize));
    same!(queue.send(&[1; 16], 0), Ok(()));
    // The buffer has to have room for any message, not only for this one.
    same!(queue.receive(&mut [0; 15]), Err(Errno::MessageSize));
    let mut buffer = [0; 16];
    same!((queue.receive(&mut buffer), buffer), (Ok((16, 0)), [1; 16]));
    Ok(())
}

fn a_priority_has_a_limit() -> Verdict {
    let server = Server::start()?;
    let queue = server.small()?;
    same!(queue.send(b"x", PRIORITY_MAX), Err(Errno::Invalid));
    same!(queue.send(b"x", u32::MAX), Err(Errno::Invalid));
    same!(queue.attributes(), Ok(SMALL));
    Ok(())
}

fn nothing_waits_where_it_must_not() -> Verdict {
    let server = Server::start()?;
    let queue = server.small()?;
    let nonblock = i64::from(queue::NONBLOCK);
    same!(queue.set_flags(nonblock), Ok(SMALL));
    same!(next(&queue), Err(Errno::Again));
    same!((queue.send(b"1", 0), queue.send(b"2", 0), queue.send(b"3", 0)), (Ok(()), Ok(()), Err(Errno::Again)));
    let full = Attributes { flags: nonblock, current: 2, ..SMALL };
    same!(queue.attributes(), Ok(full));
    for flags in [1, -1, i64::MAX] {
        same!(queue.set_flags(flags), Err(Errno::Invalid));
    }
    // The flag is one of the opening, not of the queue.
    let other = server.open(b"/small", Access::Both, Create::No).map_err(of)?;
    same!(other.attributes(), Ok(Attributes { flags: 0, ..full }));
    same!(queue.set_flags(0), Ok(full));
    let right = &server.right;
    let opened = MessageQueue::open(right, b"/small", Access::Send, Create::No, Blocking::Return).map_err(of)?;
    same!(opened.send(b"3", 0), Err(Errno::Again));
    Ok(())
}

fn a_time_ends_a_wait() -> Verdict {
    let server = Server::start()?;
    let queue = server.small()?;
    let (none, past) = (Time { seconds: 0, nanoseconds: -1 }, Time { seconds: -1, nanoseconds: 0 });
    let mut buffer = [0; 16];
    let watch = Stopwatch::start();
    same!(queue.timed_receive(&mut buffer, Time::after_ms(40)), Err(Errno::TimedOut));
    watch.shows(38)?;
    same!(queue.timed_receive(&mut buffer, past), Err(Errno::TimedOut));
    same!(queue.timed_receive(&mut buffer, none), Err(Errno::Invalid));
    // Who need not wait is not asked for the time.
    same!((queue.timed_send(b"1", 0, none), queue.timed_send(b"2", 0, past)), (Ok(()), Ok(())));
    let watch = Stopwatch::start();
    same!(queue.timed_send(b"3", 0, Time::after_ms(40)), Err(Errno::TimedOut));
    watch.shows(38)?;
    same!(queue.timed_send(b"3", 0, none), Err(Errno::Invalid));
    same!(queue.timed_receive(&mut buffer, none), Ok((1, 0)));
    same!(queue.attributes().map(|attributes| attributes.current), Ok(1));
    Ok(())
}

fn a_receiver_waits_for_a_message() -> Verdict {
    let server = Server::start()?;
    let queue = Arc::new(server.small()?);
    let first = waiting(&queue, next)?;
    let second = waiting(&queue, next)?;
    same!((queue.send(b"one", 3), queue.send(b"two", 5)), (Ok(()), Ok(())));
    same!((first.join()?, second.join()?), (Ok((b"one".to_vec(), 3)), Ok((b"two".to_vec(), 5))));
    same!(queue.attributes().map(|attributes| attributes.current), Ok(0));
    Ok(())
}

fn senders_wait_for_places_in_their_order() -> Verdict {
    let server = Server::start()?;
    let queue = Arc::new(server.small()?);
    same!((queue.send(b"1", 0), queue.send(b"2", 0)), (Ok(()), Ok(())));
    let third = waiting(&queue, |queue| queue.send(b"3", 0))?;
    let fourth = waiting(&queue, |queue| queue.send(b"4", 0))?;
    for text in [b"1", b"2", b"3", b"4"] {
        same!(next(&queue), Ok((text.to_vec(), 0)));
    }
    same!((third.join()?, fourth.join()?), (Ok(()), Ok(())));
    Ok(())
}

fn a_receiver_that_dies_swallows_nothing() -> Verdict {
    let server = Server::start()?;
    let queue = Arc::new(server.small()?);
    // Somebody in another task, whose reply port dies with it.
    let reader = Client::reads(&server)?;
    reader.end()?;
    let second = waiting(&queue, next)?;
    same!(queue.send(b"x", 1), Ok(()));
    same!(second.join()?, Ok((b"x".to_vec(), 1)));
    Ok(())
}

/// A task that asks for something and waits.
struct Client {
    peer: Peer,
}

impl Client {
    fn reads(server: &Server) -> core::result::Result<Client, Failure> {
        let queue = server.open(b"/small", Access::Receive, Create::No).map_err(of)?;
        let head = queue::ReceiveHead { deadline: u64::MAX, room: 16, invalid_time: 0, wait: 0 };
        Client::asks(queue, queue::RECEIVE, zerocopy::IntoBytes::as_bytes(&head))
    }

    fn asks(queue: MessageQueue, id: u32, body: &[u8]) -> core::result::Result<Client, Failure> {
        use portolan::abi::Disposition;
        let peer = Peer::start()?;
        let theirs = peer.give(queue.right().name(), Disposition::CopySend)?;
        drop(queue);
        let reply = peer.port(Capacity::DEFAULT)?;
        let request =
            crate::message::Message::copy_to(theirs).id(id).reply(reply, Disposition::MakeSendOnce).body(body);
        let pending = peer.hand.rpc(&request, reply)?;
        peer.hand.waits(&pending, State::Receiving)?;
        Ok(Client { peer })
    }

    fn end(&self) -> portolan::Result<()> {
        self.peer.terminate()
    }
}

fn a_sender_that_dies_has_not_sent() -> Verdict {
    let server = Server::start()?;
    let queue = server.small()?;
    same!((queue.send(b"1", 0), queue.send(b"2", 0)), (Ok(()), Ok(())));
    let theirs = server.open(b"/small", Access::Send, Create::No).map_err(of)?;
    let head = queue::SendHead { deadline: u64::MAX, priority: 7, invalid_time: 0, wait: 0 };
    let sender = Client::asks(theirs, queue::SEND, &[zerocopy::IntoBytes::as_bytes(&head), b"3"].concat())?;
    sender.end()?;
    for text in [b"1", b"2"] {
        same!(next(&queue), Ok((text.to_vec(), 0)));
    }
    same!(queue.attributes(), Ok(SMALL));
    Ok(())
}

fn an_unlinked_queue_lives_while_it_is_open() -> Verdict {
    let server = Server::start()?;
    let old = server.small()?;
    same!(old.send(b"old", 0), Ok(()));
    same!(MessageQueue::unlink(&server.right, b"/small"), Ok(()));
    same!(MessageQueue::unlink(&server.right, b"/small"), Err(Errno::NoEntry));
    same!(server.open(b"/small", Access::Both, Create::No).err(), Some(Errno::NoEntry));
    let new = server.small()?;
    same!(new.attributes(), Ok(SMALL));
    same!(next(&old), Ok((b"old".to_vec(), 0)));
    // A queue with a name stays, open or not.
    same!(new.send(b"new", 0), Ok(()));
    drop((old, new));
    let again = server.open(b"/small", Access::Both, Create::No).map_err(of)?;
    same!(next(&again), Ok((b"new".to_vec(), 0)));
    Ok(())
}

fn a_closed_queue_makes_room_for_another() -> Verdict {
    let server = Server::start()?;
    let large = Attributes { messages: 64, size: SIZE_MAX, ..Attributes::DEFAULT };
    for _ in 0..20 {
        let queue = server.open(b"/q", Access::Both, Create::New(MODE, large)).map_err(of)?;
        same!(MessageQueue::unlink(&server.right, b"/q"), Ok(()));
        same!(queue.send(b"x", 0), Ok(()));
    }
    for _ in 0..300 {
        drop(server.open(b"/r", Access::Both, Create::IfAbsent(MODE, SMALL)).map_err(of)?);
    }
    Ok(())
}

fn a_server_has_room_for_so_much() -> Verdict {
    let server = Server::start()?;
    let mut queues = Vec::new();
    let full = loop {
        let name = format!("/{}", queues.len());
        match server.open(name.as_bytes(), Access::Both, Create::New(MODE, SMALL)) {
            Ok(queue) => queues.push(queue),
            Err(errno) => break errno,
        }
        holds!(queues.len() < 1000);
    };
    same!(full, Errno::TablesFull);
    queues.clear();
    for number in 0..64 {
        same!(MessageQueue::unlink(&server.right, format!("/{number}").as_bytes()), Ok(()));
    }
    let largest = Attributes { messages: MESSAGES_MAX, size: SIZE_MAX, ..Attributes::DEFAULT };
    let refused = (0..3).find_map(|number| {
        let name = format!("/large{number}");
        server.open(name.as_bytes(), Access::Both, Create::New(MODE, largest)).err()
    });
    same!(refused, Some(Errno::NoSpace));
    // What failed has left nothing behind.
    same!(MessageQueue::unlink(&server.right, b"/large0"), Ok(()));
    server.small()?;
    Ok(())
}

fn an_arrival_is_told_once() -> Verdict {
    let server = Server::start()?;
    let queue = server.small()?;
    let told = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let once = || told.make_send_once().map(Some);
    same!(queue.notify(once()?), Ok(()));
    same!(queue.notify(once()?), Err(Errno::Busy));
    // The right that was refused is gone unused, and says so.
    same!(told.receive_within(1000)?.notice(), Some(Notice::SendOnce));
    same!(queue.send(b"1", 0), Ok(()));
    same!(told.receive_within(1000)?.id(), queue::ARRIVED);
    same!((next(&queue).map(drop), queue.send(b"2", 0)), (Ok(()), Ok(())));
    same!(told.receive_within(20).err(), Some(Error::ReceiveTimedOut));
    // Not for one that comes to others.
    same!((queue.notify(once()?), queue.send(b"3", 0)), (Ok(()), Ok(())));
    same!(told.receive_within(20).err(), Some(Error::ReceiveTimedOut));
    // Taken back by who asked, and by nobody else.
    let other = server.open(b"/small", Access::Both, Create::No).map_err(of)?;
    same!((other.notify(None), other.notify(once()?)), (Ok(()), Err(Errno::Busy)));
    same!(told.receive_within(1000)?.notice(), Some(Notice::SendOnce));
    same!(queue.notify(None), Ok(()));
    same!(told.receive_within(1000)?.notice(), Some(Notice::SendOnce));
    same!(other.notify(once()?), Ok(()));
    // Closing takes it back as well.
    drop(other);
    same!(told.receive_within(1000)?.notice(), Some(Notice::SendOnce));
    same!(queue.notify(once()?), Ok(()));
    Ok(())
}

fn an_arrival_at_a_receiver_is_not_told() -> Verdict {
    let server = Server::start()?;
    let queue = Arc::new(server.small()?);
    let told = ReceiveRight::allocate(Capacity::DEFAULT)?;
    same!(queue.notify(Some(told.make_send_once()?)), Ok(()));
    let reader = waiting(&queue, next)?;
    same!((queue.send(b"1", 0), reader.join()?), (Ok(()), Ok((b"1".to_vec(), 0))));
    same!(told.receive_within(20).err(), Some(Error::ReceiveTimedOut));
    same!(queue.send(b"2", 0), Ok(()));
    same!(told.receive_within(1000)?.id(), queue::ARRIVED);
    Ok(())
}

fn a_mode_says_who_may_open() -> Verdict {
    let server = Server::start()?;
    let host = SendRight::from_name(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0]);
    let become_user = |user, group| host::set_security_token(&host, Task::this(), SecurityToken { user, group });
    let opened = |access| server.open(b"/q", access, Create::No).map(drop);
    become_user(5, 50)?;
    drop(server.open(b"/q", Access::Both, Create::New(0o640, SMALL)).map_err(of)?);
    same!((opened(Access::Both), opened(Access::Receive)), (Ok(()), Ok(())));
    become_user(6, 50)?;
    same!((opened(Access::Receive), opened(Access::Send)), (Ok(()), Err(Errno::Access)));
    same!(opened(Access::Both), Err(Errno::Access));
    same!(MessageQueue::unlink(&server.right, b"/q"), Err(Errno::Access));
    become_user(6, 60)?;
    same!((opened(Access::Receive), opened(Access::Send)), (Err(Errno::Access), Err(Errno::Access)));
    become_user(0, 0)?;
    same!((opened(Access::Both), MessageQueue::unlink(&server.right, b"/q")), (Ok(()), Ok(())));
    Ok(())
}

fn a_server_that_dies_is_told() -> Verdict {
    let server = Server::start()?;
    let queue = Arc::new(server.small()?);
    let reader = waiting(&queue, next)?;
    server.task.terminate()?;
    same!(reader.join()?, Err(Errno::InputOutput));
    same!((queue.send(b"x", 0), next(&queue)), (Err(Errno::InputOutput), Err(Errno::InputOutput)));
    same!((queue.attributes(), queue.notify(None)), (Err(Errno::InputOutput), Err(Errno::InputOutput)));
    same!(server.open(b"/small", Access::Both, Create::No).err(), Some(Errno::InputOutput));
    same!(MessageQueue::unlink(&server.right, b"/small"), Err(Errno::InputOutput));
    Ok(())
}

fn a_server_that_cannot_pay_says_so() -> Verdict {
    // Room for those who may wait, and for little more.
    let server = Server::with_limits(Limits { frames: 960, ..LIMITS })?;
    let large = Attributes { messages: 64, size: SIZE_MAX, ..Attributes::DEFAULT };
    same!(server.open(b"/large", Access::Both, Create::New(MODE, large)).err(), Some(Errno::NoSpace));
    same!(server.open(b"/large", Access::Both, Create::No).err(), Some(Errno::NoEntry));
    let mut queues = Vec::new();
    let usual = Attributes { messages: 8, size: SIZE_MAX, ..Attributes::DEFAULT };
    let full = loop {
        let name = format!("/{}", queues.len());
        match server.open(name.as_bytes(), Access::Both, Create::New(MODE, usual)) {
            Ok(queue) => queues.push(Arc::new(queue)),
            Err(errno) => break errno,
        }
    };
    same!(full, Errno::NoSpace);
    // What was promised can be kept, all of it at once.
    let text = [7; SIZE_MAX as usize];
    holds!(!queues.is_empty());
    for queue in &queues {
        for _ in 0..usual.messages {
            same!(queue.send(&text, 0), Ok(()));
        }
    }
    let waits = (0..16).map(|_| waiting(&queues[0], move |queue| queue.send(&text, 0)));
    let waits = waits.collect::<core::result::Result<Vec<_>, Failure>>()?;
    for _ in 0..usual.messages + 16 {
        same!(next(&queues[0]).map(|(bytes, _)| bytes.len()), Ok(text.len()));
    }
    for wait in waits {
        same!(wait.join()?, Ok(()));
    }
    Ok(())
}

fn queues_are_listed() -> Verdict {
    let server = Server::start()?;
    same!(list(&server.right), Ok(Vec::new()));
    let mut all = Vec::new();
    for number in (0..20).rev() {
        all.push(server.open(format!("/{number:02}").as_bytes(), Access::Both, Create::New(0o640, SMALL)).map_err(of)?);
    }
    // The last that was made is the first of the list.
    let first = Arc::new(all.pop().ok_or(Failure::new("there are twenty"))?);
    same!((first.send(b"1", 0), first.send(b"2", 0)), (Ok(()), Ok(())));
    let waits = waiting(&first, |queue| queue.send(b"3", 0))?;
    same!(MessageQueue::unlink(&server.right, b"/07"), Ok(()));
    let listed = list(&server.right).map_err(of)?;
    let names: Vec<_> = listed.iter().map(|entry| entry.name.bytes().to_vec()).collect();
    let expected = (0..20).filter(|number| *number != 7).map(|number| format!("{number:02}").into_bytes());
    same!(names, expected.collect::<Vec<_>>());
    same!((listed[0].attributes.current, listed[0].senders, listed[0].receivers), (2, 1, 0));
    for entry in &listed[1..] {
        same!((entry.attributes, entry.senders, entry.openings), (SMALL, 0, 1));
        same!((entry.mode, entry.owner), (0o640, listed[0].owner));
    }
    same!(next(&first).map(|(bytes, _)| bytes), Ok(vec![b'1']));
    same!(waits.join()?, Ok(()));
    Ok(())
}

fn a_system_has_one_server() -> Verdict {
    same!(find_server().err(), Some(Errno::NoSystem));
    let _system = System::start()?;
    let open =
        || MessageQueue::open(&find_server()?, b"/q", Access::Both, Create::IfAbsent(MODE, SMALL), Blocking::Wait);
    let (mine, again) = (open().map_err(of)?, open().map_err(of)?);
    same!((mine.send(b"x", 3), next(&again)), (Ok(()), Ok((b"x".to_vec(), 3))));
    Ok(())
}

fn a_killed_server_comes_back_empty() -> Verdict {
    let system = System::start()?;
    let server = find_server().map_err(of)?;
    let open = |create| MessageQueue::open(&server, b"/q", Access::Both, create, Blocking::Wait);
    let queue = Arc::new(open(Create::New(MODE, SMALL)).map_err(of)?);
    let reader = waiting(&queue, next)?;
    system.servers.kill(SERVICE)?;
    same!(reader.join()?, Err(Errno::InputOutput));
    same!(queue.send(b"x", 0), Err(Errno::InputOutput));
    // The same right reaches the next one.
    same!(open(Create::No).err(), Some(Errno::NoEntry));
    let queue = open(Create::New(MODE, SMALL)).map_err(of)?;
    same!((queue.send(b"y", 0), next(&queue)), (Ok(()), Ok((b"y".to_vec(), 0))));
    system.servers.stop(SERVICE)?;
    same!(open(Create::No).err(), Some(Errno::InputOutput));
    Ok(())
}

fn nonsense_is_refused_and_the_server_goes_on() -> Verdict {
    let server = Server::start()?;
    let queue = server.small()?;
    for to in [&server.right, queue.right()] {
        for id in [0, 7201, 7202, 7204, 7205, 7206, queue::SEND, queue::RECEIVE, queue::ARRIVED, u32::MAX - 200] {
            for size in [0, 1, 15, 17, 4000] {
                let request = Message::new(id).bytes(&vec![0xff; size]);
                let answer = to.rpc_within(request, 5000).map_err(|failure| failure.error)?;
                holds!(answer.bytes().len() >= 8 && answer.bytes()[..4] != [0; 4], id, size);
            }
        }
    }
    // A name that no client of this library would send.
    let reply = queue::open(&MsgRpc, server.right.name(), QueueName([b'/'; 256]), u32::MAX, 0, 1, 1)?;
    same!(reply.results.errno, Errno::Invalid.number());
    same!((queue.attributes(), queue.send(b"x", 0)), (Ok(SMALL), Ok(())));
    Ok(())
}

fn a_queue_is_a_bounded_buffer() -> Verdict {
    const ITEMS: u64 = 500;
    let server = Server::start()?;
    let queue = Arc::new(server.small()?);
    let theirs = Arc::clone(&queue);
    let producer = spawn(move || (0..ITEMS).try_for_each(|item| theirs.send(&item.to_le_bytes(), 0)))?;
    for item in 0..ITEMS {
        same!(next(&queue), Ok((item.to_le_bytes().to_vec(), 0)));
    }
    same!(producer.join()?, Ok(()));
    Ok(())
}
