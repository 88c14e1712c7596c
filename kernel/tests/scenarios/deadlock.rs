//! A wait that nobody would ever end is refused, with the chain of who waits for whom; one
//! that could end is not.
//!
//! The last test compares the kernel with a slow oracle that looks at everything there is.
//! Neighbour: `check`, by which the kernel knows where reply rights are after every step.

use crate::harness::{Message, Pending, Received, System, Task, Thread, WhenFull};
use crate::random::config;
use kernel::ipc::PortId;
use kernel::ipc::message::CarriedRight;
use kernel::ipc::port::Owner;
use kernel::ipc::space::Right;
use kernel::kernel::Kernel;
use kernel::task::thread::{State, Wait};
use kernel::task::{TaskId, ThreadId};
use portolan_abi::message::Options;
use portolan_abi::thread::{self, REFUSED_MAX, RefusedWait, Wanted};
use portolan_abi::trace::Step;
use portolan_abi::{Capacity, Disposition, Error, Name, Result, RightKind, host};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

const ONE: Capacity = Capacity::Bounded(1);
const MESSAGE: u32 = Wanted::Message as u32;
const PLACE: u32 = Wanted::Place as u32;

/// Some tasks in a ring: each has a port and can send to the next one's.
struct Ring {
    system: System,
    tasks: Vec<Member>,
}

/// Names are the task's own.
struct Member {
    task: Task,
    port: Name,
    next: Name,
    reply: Name,
}

impl Ring {
    fn new(count: usize, capacity: Capacity) -> Ring {
        let system = System::boot();
        let tasks: Vec<Task> = (0..count).map(|_| system.task("member")).collect();
        let ports: Vec<Name> = tasks.iter().map(|task| task.port(capacity)).collect();
        let nexts: Vec<Name> = (0..count)
            .map(|this| tasks[(this + 1) % count].give_send(&tasks[this], ports[(this + 1) % count]))
            .collect();
        let member = |((task, port), next): ((Task, Name), Name)| {
            let reply = task.port(Capacity::DEFAULT);
            Member { task, port, next, reply }
        };
        Ring { system, tasks: tasks.into_iter().zip(ports).zip(nexts).map(member).collect() }
    }

    fn ids(&self) -> Vec<u64> {
        self.tasks.iter().map(|member| member.task.info().id).collect()
    }
}

impl Member {
    /// Asks the next one, and waits for the answer.
    fn ask(&self) -> Pending<Result<Received>> {
        self.task.rpc(Message::to(self.next).reply(self.reply, Disposition::MakeSendOnce), self.reply)
    }

    fn send(&self) -> Pending<Result<()>> {
        self.task.send(Message::to(self.next), WhenFull::Wait)
    }

    fn receive(&self) -> Pending<Result<Received>> {
        self.task.receive(self.port)
    }
}

/// The chain of a thread's refused wait.
fn refusal(thread: &Thread) -> Result<Vec<RefusedWait>> {
    let results = thread::refusal(thread, thread.thread_self())?.results;
    Ok(results.waits[..results.count as usize].to_vec())
}

#[test]
fn a_receive_from_a_port_to_which_nobody_can_send_is_refused() {
    let ring = Ring::new(1, ONE);
    let Member { task, reply, .. } = &ring.tasks[0];
    assert_eq!(refusal(task), Err(Error::Failure));
    assert_eq!(task.receive(*reply).done().err(), Some(Error::ReceiveWouldDeadlock));
    let waits = refusal(task).expect("the chain");
    assert_eq!(waits.len(), 1);
    assert_eq!((waits[0].task, waits[0].name, waits[0].wanted), (ring.ids()[0], *reply, MESSAGE));
}

#[test]
fn a_send_to_the_own_full_mailbox_is_refused_and_the_message_stays() {
    let ring = Ring::new(1, ONE);
    let Member { task, next, port, .. } = &ring.tasks[0];
    let spare = task.port(ONE);
    ring.tasks[0].send().done().expect("room for one");
    let with_a_right = Message::to(*next).right(spare, Disposition::MoveReceive);
    assert_eq!(task.send(with_a_right, WhenFull::Wait).done(), Err(Error::SendWouldDeadlock));
    assert_eq!(task.status(spare).messages, 0);
    assert_eq!(refusal(task).expect("the chain")[0].wanted, PLACE);
    assert_eq!(task.status(*port).messages, 1);
}

#[test]
fn a_send_that_can_be_aborted_waits_for_that() {
    let ring = Ring::new(1, ONE);
    let Member { task, next, port, .. } = &ring.tasks[0];
    ring.tasks[0].send().done().expect("room for one");
    let own = task.give(ring.system.first(), task.thread_self(), Disposition::CopySend);
    let sent = task.send_with(Message::to(*next), Options::SEND_INTERRUPT, 0);
    assert!(sent.waits());
    portolan_abi::thread::abort(&**ring.system.first(), ring.system.give_up_later(own)).expect("aborted");
    assert_eq!((sent.done(), task.status(*port).messages), (Err(Error::SendInterrupted), 1));
}

#[test]
fn two_that_ask_each_other_are_told() {
    let ring = Ring::new(2, ONE);
    let [a, b] = &ring.tasks[..] else { panic!("two") };
    let first = a.ask();
    assert!(first.waits());
    assert_eq!(b.ask().done().err(), Some(Error::ReceiveWouldDeadlock));
    assert!(first.waits());
    let chain: Vec<_> = refusal(&b.task).expect("the chain").iter().map(|wait| (wait.task, wait.wanted)).collect();
    let [id_a, id_b] = ring.ids()[..] else { panic!("two") };
    assert_eq!(chain, [(id_b, MESSAGE), (id_a, MESSAGE)]);
    // The request has been sent; b can answer the other one, and gets its own answer yet.
    let request = b.receive().done().expect("the request of a");
    b.task.send(Message::by(request.reply_right(), Disposition::MoveSendOnce), WhenFull::Wait).done().expect("a reply");
    assert!(first.done().is_ok());
    let request = a.receive().done().expect("the request of b");
    a.task.send(Message::by(request.reply_right(), Disposition::MoveSendOnce), WhenFull::Wait).done().expect("a reply");
    assert!(b.task.receive(b.reply).done().is_ok());
}

#[test]
fn a_ring_of_requests_is_refused_where_it_closes() {
    for (count, closes) in [(3, true), (REFUSED_MAX, true), (REFUSED_MAX + 1, false)] {
        let ring = Ring::new(count, Capacity::Unbounded);
        let (last, others) = ring.tasks.split_last().expect("members");
        let asked: Vec<_> = others.iter().map(Member::ask).collect();
        assert!(asked.iter().all(Pending::waits));
        let closing = last.ask();
        match closes {
            true => {
                assert_eq!(closing.done().err(), Some(Error::ReceiveWouldDeadlock), "{count} tasks");
                assert_eq!(refusal(&last.task).expect("the chain").len(), count);
            }
            // Longer chains than can be told are not refused.
            false => assert!(closing.waits()),
        }
    }
}

#[test]
fn a_ring_of_full_mailboxes_is_refused_where_it_closes() {
    let ring = Ring::new(4, ONE);
    ring.tasks.iter().for_each(|member| member.send().done().expect("room for one"));
    let blocked: Vec<_> = ring.tasks[..3].iter().map(Member::send).collect();
    assert!(blocked.iter().all(Pending::waits));
    assert_eq!(ring.tasks[3].send().done(), Err(Error::SendWouldDeadlock));
    let chain: Vec<u64> = refusal(&ring.tasks[3].task).expect("the chain").iter().map(|wait| wait.task).collect();
    let ids = ring.ids();
    assert_eq!(chain, [ids[3], ids[0], ids[1], ids[2]]);
}

#[test]
fn a_meeting_that_each_side_waits_for_is_refused() {
    let ring = Ring::new(2, Capacity::Zero);
    let first = ring.tasks[0].send();
    assert!(first.waits());
    assert_eq!(ring.tasks[1].send().done(), Err(Error::SendWouldDeadlock));
    ring.tasks[1].receive().done().expect("the first one's message");
    assert_eq!(first.done(), Ok(()));
}

#[test]
fn receivers_that_wait_for_each_other_are_told() {
    let ring = Ring::new(2, ONE);
    let waiting = ring.tasks[0].receive();
    assert!(waiting.waits());
    assert_eq!(ring.tasks[1].receive().done().err(), Some(Error::ReceiveWouldDeadlock));
}

#[test]
fn the_chain_is_in_the_trace() {
    let ring = Ring::new(2, ONE);
    let _waiting = ring.tasks[0].ask();
    ring.tasks[1].ask();
    let first = ring.system.first();
    let trace = host::trace(&**first, first.host_port(), 0, 0, 0).expect("the trace").results;
    let refused: Vec<_> = trace.events.iter().filter(|event| event.step == Step::Refuse as u16).collect();
    let ports: Vec<u32> = refusal(&ring.tasks[1].task).expect("the chain").iter().map(|wait| wait.port).collect();
    assert_eq!(refused.iter().map(|event| event.port).collect::<Vec<_>>(), ports);
}

#[test]
fn the_chain_is_kept_until_the_next_refusal() {
    let ring = Ring::new(2, ONE);
    for member in &ring.tasks {
        assert_eq!(member.task.receive(member.reply).done().err(), Some(Error::ReceiveWouldDeadlock));
    }
    assert_eq!(refusal(&ring.tasks[0].task), Err(Error::Failure));
    assert_eq!(refusal(&ring.tasks[1].task).map(|waits| waits.len()), Ok(1));
}

/// Something that makes a wait possible to end.
type Hope = fn(&Ring) -> Option<Pending<Result<Received>>>;

#[test]
fn a_wait_that_could_end_is_not_refused() {
    let hopes: [(&str, Hope); 10] = [
        ("a deadline", |ring| Some(ring.tasks[0].task.receive_within(ring.tasks[0].port, 1000))),
        ("a wait that can be aborted", |ring| {
            let Member { task, port, .. } = &ring.tasks[0];
            Some(task.receive_with(*port, Options::RCV_INTERRUPT, 0, 100))
        }),
        ("a port set", |ring| {
            let Member { task, port, .. } = &ring.tasks[0];
            let set = task.port_set();
            task.port_move_member(*port, set).expect("a member");
            Some(task.receive(set))
        }),
        ("the notify port", |ring| Some(ring.tasks[0].task.receive(ring.tasks[0].task.notify()))),
        ("a thread at work", |_| None),
        ("a thread asleep", |ring| {
            ring.tasks[0].task.sleep(1000);
            None
        }),
        ("another thread", |ring| {
            ring.tasks[0].task.thread();
            Some(ring.tasks[0].receive())
        }),
        ("a task without threads", |ring| {
            let limits = crate::harness::ORDINARY;
            let empty = ring.system.empty_task("empty", limits).expect("a task");
            let Member { task, port, .. } = &ring.tasks[1];
            let to = task.give_send(ring.system.first(), *port);
            let right = portolan_abi::message::Descriptor::port(to, Disposition::MoveSend as u8);
            let first = ring.system.first();
            portolan_abi::port::port_insert_right(&**first, empty, Name::NULL, 0, right).expect("the right");
            Some(ring.tasks[0].receive())
        }),
        ("a right on its way", |ring| {
            let [a, b] = &ring.tasks[..] else { panic!("two") };
            a.task.send(Message::to(a.task.task_self()), WhenFull::Wait);
            let other = b.task.port(ONE);
            let to = b.task.give_send(&a.task, other);
            a.task.send(Message::to(to).right(a.next, Disposition::CopySend), WhenFull::Wait).done().expect("sent");
            Some(a.receive())
        }),
        ("two reply rights", |ring| {
            let [a, b] = &ring.tasks[..] else { panic!("two") };
            for _ in 0..2 {
                let request = Message::to(b.next).reply(b.port, Disposition::MakeSendOnce);
                b.task.send(request, WhenFull::Return).done().expect("sent");
            }
            a.task.receive(a.port).done().expect("one");
            a.task.receive(a.port).done().expect("the other");
            Some(a.receive())
        }),
    ];
    for (what, prepare) in hopes {
        let ring = Ring::new(2, Capacity::Bounded(3));
        let waiting = prepare(&ring);
        assert!(waiting.is_none_or(|waiting| waiting.waits()), "{what}: the first one waits");
        let second = ring.tasks[1].receive();
        assert!(second.waits(), "{what}: {:?}", second.result().map(|received| received.err()));
    }
}

#[test]
fn a_reply_right_that_moves_on_is_followed() {
    let ring = Ring::new(3, ONE);
    let [a, b, c] = &ring.tasks[..] else { panic!("three") };
    // The request of a ends up with c, which waits for a.
    let asked = a.ask();
    let request = b.receive().done().expect("the request");
    let on = Message::to(b.next).right(request.reply_right(), Disposition::MoveSendOnce);
    b.task.send(on, WhenFull::Wait).done().expect("sent on");
    // It lies in the queue of c, who can act.
    let waiting = b.receive();
    assert!(waiting.waits());
    let held = c.receive().done().expect("the request, sent on");
    assert_eq!(c.ask().done().err(), Some(Error::ReceiveWouldDeadlock));
    let reply = Message::by(held.right(0).0, Disposition::MoveSendOnce);
    c.task.send(reply, WhenFull::Wait).done().expect("a reply");
    assert!(asked.done().is_ok());
}

#[test]
fn a_reply_right_that_comes_back_is_where_it_was() {
    let ring = Ring::new(2, ONE);
    let [a, b] = &ring.tasks[..] else { panic!("two") };
    let asked = a.ask();
    let request = b.receive().done().expect("the request");
    b.send().done().expect("the mailbox of a is full now");
    let on = Message::to(b.next).right(request.reply_right(), Disposition::MoveSendOnce);
    assert_eq!(b.task.send(on, WhenFull::Wait).done(), Err(Error::SendWouldDeadlock));
    assert_eq!(b.receive().done().err(), Some(Error::ReceiveWouldDeadlock));
    let reply = Message::by(request.reply_right(), Disposition::MoveSendOnce);
    b.task.send(reply, WhenFull::Wait).done().expect("a reply");
    assert!(asked.done().is_ok());
}

#[test]
fn a_mailbox_on_its_way_is_followed_to_whoever_gets_it() {
    let ring = Ring::new(2, ONE);
    let [a, b] = &ring.tasks[..] else { panic!("two") };
    // A port of b's, full, travels to a, whose own mailbox it lies in.
    let port = b.task.port(ONE);
    let to = b.task.give_send(&a.task, port);
    a.task.send(Message::to(to), WhenFull::Wait).done().expect("room for one");
    b.task.send(Message::to(b.next).right(port, Disposition::MoveReceive), WhenFull::Wait).done().expect("sent");
    assert_eq!(a.task.send(Message::to(to), WhenFull::Wait).done(), Err(Error::SendWouldDeadlock));
    assert_eq!(refusal(&a.task).expect("the chain")[0].name, to);
}

#[test]
fn power_over_a_task_does_not_hide_that_it_is_stuck() {
    let ring = Ring::new(2, ONE);
    let [a, b] = &ring.tasks[..] else { panic!("two") };
    // Each holds the other's kernel port, and the first task both.
    a.task.give(&b.task, a.task.task_self(), Disposition::CopySend);
    b.task.give(&a.task, b.task.task_self(), Disposition::CopySend);
    let waiting = a.receive();
    assert!(waiting.waits());
    assert_eq!(b.receive().done().err(), Some(Error::ReceiveWouldDeadlock));
}

#[test]
fn a_search_that_takes_too_many_steps_gives_up_and_the_wait_begins() {
    let ring = Ring::new(1, ONE);
    let Member { task, port, .. } = &ring.tasks[0];
    let others: Vec<Task> = (0..40).map(|_| ring.system.task("other")).collect();
    let mut waiting = Vec::new();
    for other in &others {
        let own = other.port(ONE);
        task.give_send(other, *port);
        let to = other.give_send(task, own);
        assert_ne!(to, Name::NULL);
        waiting.push(other.receive(own));
    }
    // More tasks wait for this one than can be told.
    assert!(waiting.iter().all(Pending::waits));
    assert!(task.receive(*port).waits());
}

// The oracle.

/// What a member of the ring does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Ask,
    Send,
    Receive,
    Reply,
    PassOn,
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn the_kernel_refuses_just_what_the_oracle_says(
        capacity in prop::sample::select(vec![Capacity::Zero, ONE, Capacity::Bounded(2)]),
        acts in vec((0..4_usize, prop::sample::select(vec![Act::Ask, Act::Send, Act::Receive, Act::Reply, Act::PassOn])), 1..80),
    ) {
        let mut play = Play::new(capacity);
        acts.into_iter().for_each(|(who, act)| play.perform(who, act));
    }
}

/// Tasks that can all send to each other, do one thing after the other, and wait without a deadline.
struct Play {
    ring: Ring,
    doing: Vec<Option<Pending<Result<Received>>>>,
    sending: Vec<Option<Pending<Result<()>>>>,
    /// Reply rights that each has received.
    replies: Vec<Vec<Name>>,
}

impl Play {
    fn new(capacity: Capacity) -> Play {
        let ring = Ring::new(4, capacity);
        let none = || (0..4).map(|_| None).collect();
        Play { ring, doing: none(), sending: (0..4).map(|_| None).collect(), replies: vec![Vec::new(); 4] }
    }

    fn perform(&mut self, who: usize, act: Act) {
        let Member { task, next, .. } = &self.ring.tasks[who];
        if !task.is_free() {
            return;
        }
        match (act, self.replies[who].pop()) {
            (Act::Reply, Some(reply)) => {
                let message = Message::by(reply, Disposition::MoveSendOnce);
                self.sending[who] = Some(task.send(message, WhenFull::Wait));
            }
            (Act::PassOn, Some(reply)) => {
                let message = Message::to(*next).right(reply, Disposition::MoveSendOnce);
                self.sending[who] = Some(task.send(message, WhenFull::Wait));
            }
            (Act::Reply | Act::PassOn, None) => return,
            (act, kept) => {
                self.replies[who].extend(kept);
                match act {
                    Act::Ask => {
                        // A port of its own for each reply: what is left of an old one says nothing.
                        self.ring.tasks[who].reply = task.port(Capacity::DEFAULT);
                        self.doing[who] = Some(self.ring.tasks[who].ask());
                    }
                    Act::Send => self.sending[who] = Some(self.ring.tasks[who].send()),
                    _ => self.doing[who] = Some(self.ring.tasks[who].receive()),
                }
            }
        }
        self.learn();
        self.compare(who);
    }

    /// What has ended since.
    fn learn(&mut self) {
        for who in 0..self.ring.tasks.len() {
            if let Some(result) = self.doing[who].as_ref().and_then(Pending::result) {
                self.doing[who] = None;
                match result {
                    Ok(message) => {
                        let rights = message.rights.iter().map(|right| right.name).chain([message.reply_right()]);
                        self.replies[who].extend(rights.filter(|name| name.is_valid()));
                    }
                    Err(error) => self.refused(who, error),
                }
            }
            if let Some(result) = self.sending[who].as_ref().and_then(Pending::result) {
                self.sending[who] = None;
                if let Err(error) = result {
                    self.refused(who, error);
                }
            }
        }
    }

    /// A call that was refused: with its wait in place, nobody could go on.
    fn refused(&self, who: usize, error: Error) {
        match error {
            Error::ReceiveWouldDeadlock | Error::SendWouldDeadlock => {}
            Error::SendInvalidPort | Error::ReceiveReplyLost => return,
            error => panic!("{error:?}"),
        }
        let wait = refusal(&self.ring.tasks[who].task).expect("the chain")[0];
        let stuck = self.ring.system.inspect(|k| {
            let (me, _) = thread_of(k, wait.task);
            let port = k.ports.iter().find(|(id, _)| id.index() == wait.port).map(|(id, _)| id).expect("the port");
            !live(k, Some((me, port, wait.wanted == MESSAGE))).contains(&me)
        });
        assert!(stuck, "a wait that could have ended was refused");
    }

    /// One that waits now could go on.
    fn compare(&self, who: usize) {
        let id = self.ring.tasks[who].task.info().id;
        self.ring.system.inspect(|k| {
            let (me, waits) = thread_of(k, id);
            assert!(!waits || live(k, None).contains(&me), "a wait that cannot end was not refused");
        });
    }
}

fn thread_of(k: &Kernel, task: u64) -> (ThreadId, bool) {
    let found = k.threads.iter().find(|(_, thread)| k.tasks[thread.task].serial == task);
    let (id, thread) = found.expect("the only thread of the task");
    (id, matches!(thread.state, State::Waiting(_)))
}

/// All threads that may go on, if one of them waited at that port for a message, or else a place.
fn live(k: &Kernel, waits: Option<(ThreadId, PortId, bool)>) -> BTreeSet<ThreadId> {
    let mut live = BTreeSet::new();
    loop {
        let before = live.len();
        for (id, thread) in k.threads.iter() {
            let wait = match &thread.state {
                _ if waits.is_some_and(|(me, ..)| me == id) => waits.map(|(_, port, message)| (port, message)),
                State::Waiting(Wait::Receive(receiving)) => receiving.port.map(|port| (port, true)),
                State::Waiting(Wait::Send(sending)) => Some((sending.port, false)),
                _ => None,
            };
            let goes_on = match wait {
                None => true,
                Some((port, true)) => senders(k, port).iter().any(|task| acts(k, &live, *task)),
                Some((port, false)) => receiver(k, port).is_none_or(|task| acts(k, &live, task)),
            };
            if goes_on {
                live.insert(id);
            }
        }
        if live.len() == before {
            return live;
        }
    }
}

fn acts(k: &Kernel, live: &BTreeSet<ThreadId>, task: TaskId) -> bool {
    live.iter().any(|thread| k.threads[*thread].task == task)
}

fn receiver(k: &Kernel, port: PortId) -> Option<TaskId> {
    match k.ports[port].owner {
        Owner::Task(task, _) => Some(task),
        _ => None,
    }
}

/// Every task that has a right to send to a port, or may make or receive one.
fn senders(k: &Kernel, wanted: PortId) -> BTreeSet<TaskId> {
    let mut found = BTreeSet::new();
    for (id, task) in k.tasks.iter() {
        let has = |right: Right| match right {
            Right::Port { port, .. } | Right::SendOnce { port, .. } => port == wanted,
            _ => false,
        };
        if task.space.iter().any(|(_, entry)| has(entry.right)) {
            found.insert(id);
        }
    }
    for (id, port) in k.ports.iter() {
        for message in port.queue.iter(&k.messages) {
            let envelope = &k.messages[message].envelope;
            let mut rights = envelope.rights.iter().chain([&envelope.reply]);
            let has = |right: CarriedRight| matches!(right, CarriedRight::Send(port) | CarriedRight::SendOnce(port, _) if port == wanted);
            if rights.any(|carried| has(carried.right)) {
                found.extend(receiver(k, id));
            }
        }
    }
    found
}

#[test]
fn a_refused_send_gives_a_moved_right_back_under_every_kind() {
    let ring = Ring::new(1, ONE);
    let Member { task, next, .. } = &ring.tasks[0];
    ring.tasks[0].send().done().expect("room for one");
    let before = task.port_names();
    let spare = task.port(ONE);
    let message = Message::to(*next).reply(spare, Disposition::MakeSendOnce).right(spare, Disposition::MakeSend);
    assert_eq!(task.send(message, WhenFull::Wait).done(), Err(Error::SendWouldDeadlock));
    assert_eq!((task.status(spare).send_rights, task.status(spare).send_once_rights), (0, 0));
    task.port_mod_refs(spare, RightKind::Receive, -1).expect("the port");
    assert_eq!(task.port_names().len(), before.len());
}
