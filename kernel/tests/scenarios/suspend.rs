//! Suspension: a thread that is stopped runs not one instruction, and loses nothing.

use crate::harness::{Mailbox, Message, System, Task, Thread, WhenFull};
use portolan_abi::interface::Routine;
use portolan_abi::thread::{self, SUSPENSIONS_MAX, State, ThreadInfo};
use portolan_abi::{Call, Capacity, Disposition, Error, Name, Result, task as routine};
use portolan_machine::sim::script::Action;

const MS: u64 = 1_000_000;

/// A task with a port on which its threads say that they have run, and one thread beside its main one.
struct Stage {
    system: System,
    task: Task,
    log: Name,
    thread: Thread,
    /// The thread's kernel port, in the hands of the first task.
    port: Name,
}

impl Stage {
    fn new() -> Stage {
        let system = System::boot();
        let task = system.task("task");
        let log = task.port(Capacity::Unbounded);
        task.give_send(&task, log);
        let thread = task.thread();
        let own = thread.thread_self();
        let port = system.give_up_later(task.give(system.first(), own, Disposition::CopySend));
        Stage { system, task, log, thread, port }
    }

    fn suspend(&self) -> Result<()> {
        thread::suspend(&**self.system.first(), self.port).map(drop)
    }

    fn resume(&self) -> Result<()> {
        thread::resume(&**self.system.first(), self.port).map(drop)
    }

    fn info(&self) -> ThreadInfo {
        thread::info(&**self.system.first(), self.port).expect("its information").results.info
    }

    /// The thread is to say that it has run.
    fn plan(&self, id: u32) {
        self.thread.plan(says(&self.thread, self.log, id));
    }

    /// Who has said so, after everybody had time.
    fn said(&self) -> Vec<u32> {
        self.system.rest();
        let left = std::iter::from_fn(|| self.task.receive_now(self.log).done().ok());
        left.map(|message| message.header.id).collect()
    }
}

fn says(thread: &Thread, log: Name, id: u32) -> Vec<Action> {
    thread.send_actions(Message::to(log).id(id), WhenFull::Wait)
}

#[test]
fn a_suspended_thread_does_not_run_until_it_is_resumed_as_often() {
    let stage = Stage::new();
    assert_eq!((stage.suspend(), stage.suspend()), (Ok(()), Ok(())));
    assert_eq!((stage.info().state, stage.info().suspensions), (State::Suspended as u32, 2));
    stage.plan(1);
    assert!(stage.said().is_empty());
    assert_eq!(stage.resume(), Ok(()));
    assert!(stage.said().is_empty());
    assert_eq!(stage.resume(), Ok(()));
    assert_eq!(stage.said(), [1]);
    assert_eq!((stage.info().state, stage.info().suspensions), (State::Ready as u32, 0));
}

#[test]
fn a_computation_is_stopped_in_its_middle_and_goes_on() {
    let stage = Stage::new();
    stage.thread.plan(vec![Action::Work(300 * MS)]);
    stage.plan(1);
    // Both are ready: the first task's request comes in one of the other's turns.
    assert_eq!(stage.suspend(), Ok(()));
    assert!(!stage.thread.is_free(), "it is still at work");
    let stopped = stage.system.now();
    assert!(stage.said().is_empty());
    assert_eq!(stage.system.now(), stopped, "nobody computed");
    assert_eq!(stage.resume(), Ok(()));
    assert_eq!(stage.said(), [1]);
}

#[test]
fn suspensions_have_a_maximum_and_a_minimum() {
    let stage = Stage::new();
    assert_eq!(stage.resume(), Err(Error::Failure));
    stage.system.unchecked(|| {
        for _ in 0..SUSPENSIONS_MAX {
            assert_eq!(stage.suspend(), Ok(()));
        }
    });
    assert_eq!(stage.suspend(), Err(Error::Failure));
    assert_eq!(stage.info().suspensions, SUSPENSIONS_MAX);
    assert_eq!(stage.resume(), Ok(()));
    assert_eq!(stage.suspend(), Ok(()));
}

#[test]
fn a_tasks_suspensions_have_a_minimum() {
    let system = System::boot();
    let task = system.task("task");
    let port = system.give_up_later(task.give(system.first(), task.task_self(), Disposition::CopySend));
    assert_eq!(routine::resume(&**system.first(), port).map(drop), Err(Error::Failure));
    for count in 1..=3 {
        assert_eq!(routine::suspend(&**system.first(), port).map(drop), Ok(()));
        let info = routine::info(&**system.first(), port).expect("its information").results.info;
        assert_eq!(info.suspensions, count);
    }
}

#[test]
fn a_message_that_comes_meanwhile_is_kept_for_the_thread() {
    let stage = Stage::new();
    let receiving = stage.thread.receive(stage.log);
    assert_eq!((stage.info().state, stage.info().port), (State::Receiving as u32, stage.log));
    assert_eq!(stage.suspend(), Ok(()));
    assert_eq!(stage.info().state, State::Receiving as u32);
    stage.task.send(Message::to(stage.log).id(7), WhenFull::Wait).done().expect("a send");
    assert!(receiving.waits());
    assert_eq!(stage.info().state, State::Suspended as u32);
    stage.task.send(Message::to(stage.log).id(8), WhenFull::Wait).done().expect("a send");
    assert_eq!(stage.said(), [8]);
    assert_eq!(stage.resume(), Ok(()));
    assert_eq!(receiving.done().expect("the first one").header.id, 7);
}

#[test]
fn a_place_that_comes_free_is_taken_meanwhile() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let (system, sender) = (&mailbox.system, &mailbox.sender);
    let thread = sender.thread();
    let port = system.give_up_later(sender.give(system.first(), thread.thread_self(), Disposition::CopySend));
    let sending = thread.send(Message::to(mailbox.to).text("second"), WhenFull::Wait);
    thread::suspend(&**system.first(), port).expect("suspended");
    assert_eq!(thread::info(&**system.first(), port).expect("info").results.info.port, mailbox.to);
    assert_eq!(mailbox.take_all(), ["filling", "second"]);
    assert!(sending.waits());
    thread::resume(&**system.first(), port).expect("resumed");
    assert_eq!(sending.done(), Ok(()));
}

#[test]
fn a_timeout_ends_the_wait_but_not_the_suspension() {
    let stage = Stage::new();
    let receiving = stage.thread.receive_within(stage.log, 10);
    assert_eq!(stage.suspend(), Ok(()));
    stage.system.advance_ms(20);
    assert!(receiving.waits());
    assert_eq!(stage.info().state, State::Suspended as u32);
    assert_eq!(stage.resume(), Ok(()));
    assert_eq!(receiving.done().expect_err("nothing came"), Error::ReceiveTimedOut);
    let sleeping = stage.thread.sleep(10);
    assert_eq!(stage.suspend(), Ok(()));
    stage.system.advance_ms(20);
    assert!(sleeping.waits());
    assert_eq!(stage.resume(), Ok(()));
    assert_eq!(sleeping.done(), Ok(()));
}

#[test]
fn a_rpc_whose_request_is_taken_meanwhile_receives_when_it_is_resumed() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let (system, sender) = (&mailbox.system, &mailbox.sender);
    let thread = sender.thread();
    let port = system.give_up_later(sender.give(system.first(), thread.thread_self(), Disposition::CopySend));
    let answers = sender.port(Capacity::DEFAULT);
    let request = Message::to(mailbox.to).reply(answers, Disposition::MakeSendOnce);
    let calling = thread.rpc(request, answers);
    thread::suspend(&**system.first(), port).expect("suspended");
    mailbox.receiver.receive_now(mailbox.port).done().expect("the filling");
    let request = mailbox.receiver.receive_now(mailbox.port).done().expect("the request");
    let reply = Message::by(request.reply_right(), Disposition::MoveSendOnce).id(5);
    mailbox.receiver.send(reply, WhenFull::Wait).done().expect("the reply");
    assert!(calling.waits());
    thread::resume(&**system.first(), port).expect("resumed");
    assert_eq!(calling.done().expect("the reply").header.id, 5);
}

#[test]
fn a_suspended_task_stands_still_with_all_its_threads_and_new_ones() {
    let stage = Stage::new();
    let port = stage.system.give_up_later(stage.task.give(
        stage.system.first(),
        stage.task.task_self(),
        Disposition::CopySend,
    ));
    let first = &**stage.system.first();
    routine::suspend(first, port).expect("suspended");
    assert_eq!(stage.suspend(), Ok(()));
    stage.plan(1);
    stage.task.plan(says(&stage.task, stage.log, 2));
    stage.system.rest();
    assert_eq!(stage.system.queued(), 0);
    let new = stage.system.give_up_later(
        routine::thread_create(first, port, 0x7000_0000, 0x7000_0000, 0, 16, 0).expect("a thread").rights[0],
    );
    let info = thread::info(first, new).expect("its information").results.info;
    assert_eq!((info.state, info.suspensions), (State::Suspended as u32, 0));
    thread::terminate(first, new).expect("ended");
    routine::resume(first, port).expect("resumed");
    assert_eq!(stage.said(), [2]);
    assert_eq!(stage.info().state, State::Suspended as u32);
    assert_eq!(stage.resume(), Ok(()));
    assert_eq!(stage.said(), [1]);
}

#[test]
fn a_thread_that_suspends_itself_has_its_reply_when_it_is_resumed() {
    let stage = Stage::new();
    let own = stage.thread.known_self();
    let replies = stage.thread.port(Capacity::DEFAULT);
    let request = Message::to(own).reply(replies, Disposition::MakeSendOnce).id(thread::Suspend::ID);
    let asking = stage.thread.rpc(request, replies);
    assert!(asking.waits());
    assert_eq!(stage.info().state, State::Suspended as u32);
    assert_eq!(stage.resume(), Ok(()));
    assert_eq!(asking.done().expect("the reply").body[..4], [0; 4]);
}

#[test]
fn a_thread_can_be_made_suspended() {
    let stage = Stage::new();
    let first = &**stage.system.first();
    let port = stage.system.give_up_later(stage.task.give(
        stage.system.first(),
        stage.task.task_self(),
        Disposition::CopySend,
    ));
    let make = |flags| routine::thread_create(first, port, 0x7000_0000, 0x7000_0000, 0, 16, flags);
    for flags in [2, 3, u32::MAX] {
        assert_eq!(make(flags).map(drop), Err(Error::InvalidArgument));
    }
    let new = make(routine::ThreadFlags::SUSPENDED.bits()).expect("a thread").rights[0];
    stage.system.give_up_later(new);
    let info = thread::info(first, new).expect("its information").results.info;
    assert_eq!((info.state, info.suspensions), (State::Suspended as u32, 1));
    assert_eq!(thread::resume(first, new).map(drop), Ok(()));
    assert_eq!(thread::info(first, new).expect("its information").results.info.state, State::Ready as u32);
}

#[test]
fn a_hint_does_not_wake_a_suspended_thread() {
    let stage = Stage::new();
    let own = stage.thread.known_self();
    stage.plan(1);
    assert_eq!(stage.suspend(), Ok(()));
    stage.said();
    stage.plan(2);
    let (result, _) = stage.task.call(Call::ThreadSwitch { hint: own, sleep: None }).done();
    assert_eq!((result, stage.said()), (Ok(()), vec![]));
}

#[test]
fn a_suspended_thread_ends_with_its_task() {
    let system = System::boot();
    let child = system.empty_task("child", crate::harness::ORDINARY).expect("a task");
    let first = &**system.first();
    routine::suspend(first, child).expect("suspended");
    let thread = system.give_up_later(
        routine::thread_create(first, child, 0x7000_0000, 0x7000_0000, 0, 16, 1).expect("a thread").rights[0],
    );
    assert_eq!(thread::abort(first, thread).map(drop), Ok(()));
    assert_eq!(thread::set_priority(first, thread, 3, 0).map(drop), Ok(()));
    routine::terminate(first, child).expect("ended");
    assert_eq!(thread::resume(first, thread).map(drop), Err(Error::SendInvalidPort));
}
