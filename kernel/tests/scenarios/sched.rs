//! Who runs when: priorities, turns, sleep, hand-off, and ending a wait.

use crate::harness::{Mailbox, Message, System, Task, Thread, WhenFull};
use portolan_abi::message::Options;
use portolan_abi::thread::{self, PRIORITY_DEFAULT, PRIORITY_MAX, QUANTUM_MS, State, ThreadInfo};
use portolan_abi::{Call, Capacity, Disposition, Error, Name};
use portolan_machine::sim::script::Action;

const ONE: Capacity = Capacity::Bounded(1);
const MS: u64 = 1_000_000;

fn send_action(thread: &Thread, to: Name, id: u32) -> Vec<Action> {
    thread.send_actions(Message::to(to).id(id), WhenFull::Wait)
}

/// The ids of all messages at a port.
fn ids(task: &Task, port: Name) -> Vec<u32> {
    std::iter::from_fn(|| task.receive_now(port).done().ok()).map(|message| message.header.id).collect()
}

fn info(system: &System, thread: &Thread, task: &Task) -> ThreadInfo {
    let own = thread_port(system, thread, task);
    let info = thread::info(&**system.first(), own).expect("its information").results.info;
    system.first().port_deallocate(own).expect("its port");
    info
}

/// The thread's kernel port, in the hands of the first task.
fn thread_port(system: &System, thread: &Thread, task: &Task) -> Name {
    task.give(system.first(), thread.known_self(), Disposition::CopySend)
}

#[test]
fn equals_take_turns_of_one_quantum() {
    let system = System::boot();
    let task = system.task("task");
    let threads = [task.thread(), task.thread()];
    let turn = u64::from(QUANTUM_MS) * MS;
    let start = system.now().0;
    // Each works one and a half turns: the one that begins ends its second turn half way.
    let ends = threads.each_ref().map(|thread| {
        thread.plan(vec![Action::Work(turn * 3 / 2)]);
        thread.plan_call(Call::ClockGet)
    });
    system.rest();
    let mut ends = ends.map(|end| end.done().1 - start);
    ends.sort();
    assert_eq!(ends, [turn * 5 / 2, turn * 3]);
}

#[test]
fn a_long_computation_does_not_keep_an_equal_from_running() {
    let system = System::boot();
    let task = system.task("task");
    let log = task.port(Capacity::Unbounded);
    task.give_send(&task, log);
    let (long, short) = (task.thread(), task.thread());
    long.plan(vec![Action::Work(100 * u64::from(QUANTUM_MS) * MS)]);
    long.plan(send_action(&long, log, 1));
    short.plan(send_action(&short, log, 2));
    system.rest();
    assert_eq!(ids(&task, log), [2, 1]);
}

/// All tasks that are there sleep for so long, so that less important threads run.
fn all_sleep(system: &System, tasks: &[&Task], ms: u32) {
    tasks.iter().for_each(|task| task.plan(vec![sleep_action(ms)]));
    system.first().plan(vec![sleep_action(ms)]);
    system.rest();
}

#[test]
fn the_more_important_runs_first() {
    let system = System::boot();
    let task = system.task("task");
    let log = task.port(Capacity::Unbounded);
    task.give_send(&task, log);
    for (number, priority) in [1, 30, 15].into_iter().enumerate() {
        let plan = |thread: &Thread| {
            let mut plan = vec![sleep_action(5), Action::Work(MS)];
            plan.extend(send_action(thread, log, number as u32));
            plan.push(sleep_action(1000));
            plan
        };
        task.thread_with_plan(priority, plan).expect("a thread");
    }
    all_sleep(&system, &[&task], 100);
    system.advance_ms(100);
    assert_eq!(ids(&task, log), [1, 2, 0]);
}

#[test]
fn waking_a_more_important_thread_interrupts_a_less_important_one() {
    let system = System::boot();
    let task = system.task("task");
    let log = task.port(Capacity::Unbounded);
    task.give_send(&task, log);
    let plan = |thread: &Thread, first: Action, id: u32| {
        let mut plan = vec![first];
        plan.extend(send_action(thread, log, id));
        plan.push(sleep_action(1000));
        plan
    };
    task.thread_with_plan(20, |thread| plan(thread, sleep_action(5), 1)).expect("a thread");
    task.thread_with_plan(10, |thread| plan(thread, Action::Work(50 * MS), 2)).expect("a thread");
    let start = system.now();
    all_sleep(&system, &[&task], 200);
    // The low one computed all the time but the instant in which the high one ran.
    assert_eq!(system.now().0 - start.0, 50 * MS);
    system.advance_ms(200);
    assert_eq!(ids(&task, log), [1, 2]);
}

#[test]
fn a_thread_that_never_gives_way_does_not_stop_a_more_important_one() {
    let mailbox = Mailbox::new(ONE);
    let spin = |_: &Thread| vec![Action::Work(1000 * MS)];
    mailbox.sender.thread_with_plan(5, spin).expect("a thread");
    let start = mailbox.system.now();
    assert_eq!(mailbox.send("urgent", WhenFull::Wait).done(), Ok(()));
    assert_eq!(mailbox.take_all(), ["urgent"]);
    assert_eq!(mailbox.system.now(), start, "the spinner has not run");
}

#[test]
fn yield_gives_every_equal_a_turn() {
    let system = System::boot();
    let task = system.task("task");
    let log = task.port(Capacity::Unbounded);
    task.give_send(&task, log);
    let threads = [(); 3].map(|()| task.thread());
    for round in 0..3 {
        for (number, thread) in threads.iter().enumerate() {
            thread.plan(send_action(thread, log, 10 * round + number as u32));
            thread.plan(vec![yield_action(Name::NULL)]);
        }
    }
    system.rest();
    let order = ids(&task, log);
    let rounds: Vec<Vec<u32>> = order.chunks(3).map(|round| round.iter().map(|id| id % 10).collect()).collect();
    let mut all = rounds[0].clone();
    all.sort();
    assert_eq!((all, &rounds[1], &rounds[2]), (vec![0, 1, 2], &rounds[0], &rounds[0]));
}

#[test]
fn a_hint_hands_the_processor_to_the_thread_it_names() {
    let system = System::boot();
    let task = system.task("task");
    let log = task.port(Capacity::Unbounded);
    task.give_send(&task, log);
    let threads = [(); 4].map(|()| task.thread());
    let favourite = threads[3].thread_self();
    threads[0].plan(vec![yield_action(favourite)]);
    for (number, thread) in threads.iter().enumerate() {
        thread.plan(send_action(thread, log, number as u32));
    }
    system.rest();
    assert_eq!(ids(&task, log)[0], 3);
}

#[test]
fn a_hint_that_is_no_thread_is_refused() {
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(ONE);
    let switch = |hint| task.call(Call::ThreadSwitch { hint, sleep: None }).done().0;
    assert_eq!(switch(Name::new(300, 1)), Err(Error::InvalidName));
    let refused = switch(port);
    assert!(matches!(refused, Err(Error::InvalidArgument | Error::InvalidRight | Error::InvalidName)), "{refused:?}");
    assert_eq!(switch(task.thread_self()), Ok(()));
    assert_eq!(switch(Name::NULL), Ok(()));
}

#[test]
fn a_thread_tells_what_it_does() {
    let mailbox = Mailbox::full(ONE);
    let (system, task) = (&mailbox.system, &mailbox.sender);
    type Act = fn(&Mailbox, &Thread);
    let states: [(State, Act); 4] = [
        (State::Ready, |_, _| ()),
        (State::Sending, |mailbox, thread| drop(thread.send(Message::to(mailbox.to), WhenFull::Wait))),
        (State::Receiving, |mailbox, thread| drop(thread.receive(mailbox.sender.notify()))),
        (State::Sleeping, |_, thread| drop(thread.sleep(1000))),
    ];
    for (state, act) in states {
        let thread = task.thread();
        thread.thread_self();
        act(&mailbox, &thread);
        let info = info(system, &thread, task);
        assert_eq!((info.state, info.priority), (state as u32, PRIORITY_DEFAULT));
    }
}

#[test]
fn priorities_can_be_changed_within_bounds() {
    let system = System::boot();
    let task = system.task("task");
    let thread = task.thread();
    let port = thread.thread_self();
    assert_eq!(thread::set_priority(&*task, port, PRIORITY_MAX + 1, 0).map(|_| ()), Err(Error::InvalidValue));
    assert_eq!(info(&system, &thread, &task).priority, PRIORITY_DEFAULT);
    assert_eq!(thread::set_priority(&*task, port, 3, 0).map(|_| ()), Ok(()));
    assert_eq!(info(&system, &thread, &task).priority, 3);
    assert_eq!(task.thread_of_priority(PRIORITY_MAX + 1).err(), Some(Error::InvalidValue));
    let highest = task.thread_with_plan(PRIORITY_MAX, |_| vec![sleep_action(10)]);
    assert!(highest.is_ok());
}

#[test]
fn a_raised_priority_counts_at_once() {
    let system = System::boot();
    let task = system.task("task");
    let log = task.port(Capacity::Unbounded);
    task.give_send(&task, log);
    let threads = [0, 1].map(|id| {
        let plan = |thread: &Thread| {
            let (number, arguments) = Call::ThreadSelf.encode();
            let mut plan = vec![Action::Call(number, arguments), sleep_action(5)];
            plan.extend(send_action(thread, log, id));
            plan.push(sleep_action(1000));
            plan
        };
        task.thread_with_plan(2, plan).expect("a thread")
    });
    all_sleep(&system, &[&task], 2);
    system.advance_ms(2);
    let second = Name(threads[1].outcome_of_call(0) as u32);
    thread::set_priority(&*task, second, 10, 0).expect("a higher priority");
    all_sleep(&system, &[&task], 20);
    system.advance_ms(50);
    assert_eq!(ids(&task, log), [1, 0]);
}

#[test]
fn abort_ends_a_wait_that_allows_it() {
    let mailbox = Mailbox::full(ONE);
    let task = &mailbox.sender;
    let thread = task.thread();
    let port = thread.thread_self();
    let abort = || thread::abort(&**task, port).map(|_| ());
    let sleep = thread.sleep(1000);
    assert_eq!(abort(), Ok(()));
    assert_eq!(sleep.done(), Err(Error::Aborted));
    let receive = thread.receive_with(task.notify(), Options::RCV_INTERRUPT, 0, 1024);
    assert_eq!(abort(), Ok(()));
    assert_eq!(receive.done().expect_err("ended"), Error::ReceiveInterrupted);
    let gift = task.port(ONE);
    let message = Message::to(mailbox.to).right(gift, Disposition::MoveReceive);
    let send = thread.send_with(message, Options::SEND_INTERRUPT, 0);
    assert!(send.waits());
    assert_eq!(abort(), Ok(()));
    assert_eq!(send.done(), Err(Error::SendInterrupted));
    assert_eq!(task.port_type(gift).expect("ours again").receive, 1);
    assert_eq!(mailbox.receiver.status(mailbox.port).senders, 0);
}

#[test]
fn abort_leaves_other_waits_alone() {
    let mailbox = Mailbox::full(ONE);
    let task = &mailbox.sender;
    let thread = task.thread();
    let port = thread.thread_self();
    let send = thread.send(Message::to(mailbox.to).text("stubborn"), WhenFull::Wait);
    assert_eq!(thread::abort(&**task, port).map(|_| ()), Ok(()));
    assert!(send.waits());
    assert_eq!(mailbox.take_all(), ["filling", "stubborn"]);
    let receive = thread.receive_within(task.notify(), 10);
    assert_eq!(thread::abort(&**task, port).map(|_| ()), Ok(()));
    mailbox.system.advance_ms(9);
    assert!(receive.waits());
    mailbox.system.advance_ms(1);
    assert_eq!(receive.done().expect_err("empty"), Error::ReceiveTimedOut);
}

#[test]
fn threads_of_one_task_share_its_memory_and_names() {
    let system = System::boot();
    let task = system.task("task");
    let thread = task.thread();
    task.store(crate::harness::MEMORY, b"shared").done();
    assert_eq!(thread.load(crate::harness::MEMORY, 6), b"shared");
    let port = thread.port(ONE);
    assert_eq!(task.port_deallocate(port), Ok(()));
    assert_eq!(thread.port_deallocate(port), Err(Error::InvalidName));
    assert_ne!(task.thread_self(), thread.thread_self());
    assert_eq!(task.task_self(), thread.task_self());
}

fn sleep_action(ms: u32) -> Action {
    let (number, arguments) = Call::ThreadSwitch { hint: Name::NULL, sleep: Some(ms) }.encode();
    Action::Call(number, arguments)
}

fn yield_action(hint: Name) -> Action {
    let (number, arguments) = Call::ThreadSwitch { hint, sleep: None }.encode();
    Action::Call(number, arguments)
}
