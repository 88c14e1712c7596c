//! Exceptions as messages: whoever handles them decides, and nobody is left waiting.

use crate::harness::{MEMORY, Message, ORDINARY, Pending, Received, System, Task, Thread, WhenFull, no_right};
use portolan_abi::exception::{Action, IDS, Kind, Raise, arguments, code, results};
use portolan_abi::interface::{REPLY_OFFSET, ReplyHead, Routine};
use portolan_abi::message::{Descriptor, Trailer};
use portolan_abi::registers::Registers;
use portolan_abi::task::{self as routine, Limits, SpecialPort};
use portolan_abi::thread::{self, State};
use portolan_abi::vm::{self, MapFlags};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result};
use portolan_machine::Exception;
use portolan_machine::sim::script::{Action as Act, Outcome};
use zerocopy::{FromBytes, IntoBytes};

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;

/// A task whose exceptions go to a handler.
struct Stage {
    system: System,
    task: Task,
    /// A thread of it that may do what it must not.
    thread: Thread,
    handler: Task,
    /// Where the handler hears of it.
    port: Name,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(ORDINARY, Capacity::DEFAULT)
    }

    fn with(limits: Limits, capacity: Capacity) -> Stage {
        let system = System::boot();
        let task = system.task_with("task", limits).expect("a task");
        let handler = system.task("handler");
        let thread = task.thread();
        thread.thread_self();
        let port = handler.port(capacity);
        let stage = Stage { system, task, thread, handler, port };
        stage.set_task_port(stage.port);
        stage
    }

    /// Sets the task's exception port to one of the handler's.
    fn set_task_port(&self, port: Name) {
        let own = self.task.task_self();
        let right = self.handler.give_send(&self.task, port);
        let which = SpecialPort::Exception as u32;
        let moved = Descriptor::port(right, Disposition::MoveSend as u8);
        routine::set_special_port(&*self.task, own, which, 0, moved).expect("set");
    }

    /// Sets the thread's exception port to one of the handler's.
    fn set_thread_port(&self, port: Name) {
        let right = self.handler.give_send(&self.task, port);
        let which = thread::SpecialPort::Exception as u32;
        let moved = Descriptor::port(right, Disposition::MoveSend as u8);
        thread::set_special_port(&*self.task, self.thread.known_self(), which, 0, moved).expect("set");
    }

    fn divide(&self) -> Pending<Outcome> {
        self.thread.perform(vec![Act::Raise(Exception::Divide)])
    }

    fn hear(&self, port: Name) -> Result<Received> {
        self.handler.receive_now(port).done()
    }

    fn answer(&self, message: &Received, code: i32, action: u32, registers: Registers) -> Result<()> {
        let results = results::Raise { action, reserved: 0, registers };
        let body = [ReplyHead { code, reserved: 0 }.as_bytes(), results.as_bytes()].concat();
        self.answer_with(message, Raise::ID + REPLY_OFFSET, body)
    }

    fn answer_with(&self, message: &Received, id: u32, body: Vec<u8>) -> Result<()> {
        let reply = Message::by(message.reply_right(), Disposition::MoveSendOnce).id(id).text(body);
        self.handler.send(reply, WhenFull::Wait).done()
    }

    fn go_on(&self, message: &Received) -> Result<()> {
        self.answer(message, 0, Action::GoOn as u32, Registers::default())
    }

    /// Whether the task has ended, with its line on the console.
    #[track_caller]
    fn ends(&self, why: &str) {
        self.system.rest();
        assert!(!self.task.exists());
        let console = self.system.console();
        assert!(console.lines().any(|line| line.contains("task task") && line.contains(why)), "{console}");
    }
}

fn raised(message: &Received) -> arguments::Raise {
    assert_eq!((message.header.id, message.trailer.flags), (Raise::ID, Trailer::FROM_KERNEL));
    arguments::Raise::read_from_bytes(&message.body).expect("the arguments of raise")
}

#[test]
fn a_handler_is_told_everything_and_lets_the_thread_go_on() {
    let stage = Stage::new();
    let division = stage.divide();
    assert!(division.waits());
    let message = stage.hear(stage.port).expect("an exception");
    let raise = raised(&message);
    assert_eq!((raise.kind, raise.code, raise.address), (Kind::Arithmetic as u32, code::DIVIDE, 0));
    let (thread, task) = (message.right(0).0, message.right(1).0);
    let handler = &*stage.handler;
    let info = thread::info(handler, thread).expect("the thread").results.info;
    assert_eq!(info.state, State::Excepted as u32);
    assert_eq!(thread::get_state(handler, thread).expect("its registers").results.registers, raise.registers);
    assert_eq!(routine::info(handler, task).expect("the task").results.info.threads, 2);
    assert_eq!(stage.go_on(&message), Ok(()));
    assert_eq!(division.done(), Outcome::Done);
    assert!(IDS.contains(&message.header.id));
}

#[test]
fn a_bad_access_is_repaired_and_tried_again() {
    let stage = Stage::new();
    let store = stage.thread.store(HERE + 5, b"x");
    let message = stage.hear(stage.port).expect("an exception");
    let raise = raised(&message);
    let seen = (raise.kind, raise.code, raise.address, raise.access);
    let expected =
        (Kind::BadAccess as u32, Error::InvalidAddress as u32, HERE + 5, u64::from(Protection::WRITE.bits()));
    assert_eq!(seen, expected);
    let (task, flags) = (message.right(1).0, MapFlags::empty().bits());
    let read_write = Protection::READ_WRITE.bits();
    vm::vm_map(&*stage.handler, task, HERE, PAGE, 0, read_write, read_write, 0, flags, no_right()).expect("repaired");
    assert_eq!(stage.go_on(&message), Ok(()));
    assert_eq!(store.done(), Outcome::Done);
    assert_eq!(stage.task.load(HERE + 5, 1), b"x");
    // A page that only has not come yet is nobody's affair.
    stage.thread.store(MEMORY + 15 * 0x4_0000 + 77, b"y").done();
    assert_eq!(stage.hear(stage.port).map(drop), Err(Error::ReceiveTimedOut));
}

#[test]
fn the_thread_goes_on_with_the_registers_in_the_reply() {
    let stage = Stage::new();
    let log = stage.task.port(Capacity::Unbounded);
    stage.task.give_send(&stage.task, log);
    let other = stage.task.thread();
    let own = other.thread_self();
    let there = thread::get_state(&*stage.task, own).expect("its registers").results.registers.rip;
    thread::suspend(&*stage.task, own).expect("suspended");
    other.plan(other.send_actions(Message::to(log).id(5), WhenFull::Wait));
    stage.divide();
    let message = stage.hear(stage.port).expect("an exception");
    let registers = Registers { rip: there, ..raised(&message).registers };
    assert_eq!(stage.answer(&message, 0, Action::GoOnWith as u32, registers), Ok(()));
    assert_eq!(stage.task.receive_now(log).done().expect("its word").header.id, 5);
}

#[test]
fn the_thread_is_asked_before_the_task() {
    let stage = Stage::new();
    let second = stage.handler.port(Capacity::DEFAULT);
    stage.set_thread_port(second);
    let division = stage.divide();
    assert_eq!(stage.hear(stage.port).map(drop), Err(Error::ReceiveTimedOut));
    let message = stage.hear(second).expect("the thread's port");
    let refused = Error::Failure as i32;
    assert_eq!(stage.answer(&message, refused, 0, Registers::default()), Ok(()));
    let message = stage.hear(stage.port).expect("then the task's");
    assert_eq!(stage.go_on(&message), Ok(()));
    assert_eq!(division.done(), Outcome::Done);
}

#[test]
fn what_nobody_handles_ends_the_task() {
    let stage = Stage::new();
    stage.divide();
    let message = stage.hear(stage.port).expect("an exception");
    assert_eq!(stage.answer(&message, Error::Failure as i32, 0, Registers::default()), Ok(()));
    stage.ends("division by zero");
}

#[test]
fn garbage_is_no_reply_and_ends_the_task() {
    type Garbage = fn(&Stage, &Received) -> Result<()>;
    let garbage: [Garbage; 6] = [
        |stage, message| stage.answer_with(message, Raise::ID + REPLY_OFFSET, vec![]),
        |stage, message| stage.answer_with(message, Raise::ID + REPLY_OFFSET, vec![0; 600]),
        |stage, message| stage.answer_with(message, Raise::ID, vec![0; 168]),
        |stage, message| stage.answer_with(message, thread::Terminate::ID, vec![]),
        |stage, message| stage.answer(message, 0, 2, Registers::default()),
        |stage, message| stage.answer(message, 0, 1, Registers { rip: 1 << 47, ..Registers::default() }),
    ];
    for garbage in garbage {
        let stage = Stage::new();
        stage.divide();
        let message = stage.hear(stage.port).expect("an exception");
        assert_eq!(garbage(&stage, &message), Ok(()));
        stage.ends("division by zero");
    }
}

#[test]
fn a_reply_right_that_is_destroyed_is_no_reply() {
    let stage = Stage::new();
    stage.divide();
    let message = stage.hear(stage.port).expect("an exception");
    stage.handler.port_deallocate(message.reply_right()).expect("given up");
    stage.ends("division by zero");
}

#[test]
fn a_handlers_death_is_no_reply() {
    for received in [false, true] {
        let stage = Stage::new();
        stage.divide();
        if received {
            stage.hear(stage.port).expect("an exception");
        }
        stage.handler.terminate();
        stage.ends("division by zero");
    }
}

#[test]
fn a_dead_exception_port_is_none() {
    let stage = Stage::new();
    stage.handler.port_deallocate(stage.port).expect("it dies");
    stage.divide();
    stage.ends("division by zero");
}

#[test]
fn a_port_of_the_kernels_is_no_handler() {
    let stage = Stage::new();
    let own = stage.task.task_self();
    let right = Descriptor::port(own, Disposition::CopySend as u8);
    routine::set_special_port(&*stage.task, own, SpecialPort::Exception as u32, 0, right).expect("set");
    stage.divide();
    stage.ends("division by zero");
}

#[test]
fn a_full_port_takes_exceptions_too() {
    let stage = Stage::with(ORDINARY, Capacity::Zero);
    let division = stage.divide();
    let message = stage.hear(stage.port).expect("an exception");
    assert_eq!(stage.go_on(&message), Ok(()));
    assert_eq!(division.done(), Outcome::Done);
}

#[test]
fn a_task_that_cannot_pay_for_its_message_ends() {
    let stage = Stage::new();
    let own = stage.task.task_self();
    let mut room = 0;
    while vm::vm_map(&*stage.task, own, HERE + room, PAGE, 0, 3, 3, 0, 0, no_right()).is_ok()
        && stage.task.store(HERE + room, b"x").result().is_some()
    {
        room += PAGE;
    }
    // The last page was one too many, or it was the mapping: in both cases nothing hangs.
    stage.divide();
    stage.system.rest();
    while let Ok(message) = stage.hear(stage.port) {
        let _ = stage.answer(&message, Error::Failure as i32, 0, Registers::default());
    }
    assert!(!stage.task.exists());
}

#[test]
fn an_aborted_exception_is_tried_again_and_a_late_reply_does_nothing() {
    let stage = Stage::new();
    let store = stage.thread.store(HERE, b"x");
    let old = stage.hear(stage.port).expect("an exception");
    let thread = old.right(0).0;
    assert_eq!(thread::abort(&*stage.handler, thread).map(drop), Ok(()));
    let new = stage.hear(stage.port).expect("the same again");
    assert_eq!(raised(&new).address, HERE);
    assert_eq!(stage.go_on(&old), Ok(()));
    stage.system.rest();
    assert!(store.waits());
    let info = thread::info(&*stage.handler, thread).expect("the thread").results.info;
    assert_eq!(info.state, State::Excepted as u32);
    assert_eq!(stage.hear(stage.port).err(), Some(Error::ReceiveTimedOut), "it did not try a third time");
    stage.answer(&new, Error::Failure as i32, 0, Registers::default()).expect("a reply");
    stage.ends("nothing is mapped there");
}

#[test]
fn an_ended_threads_exception_is_over() {
    let stage = Stage::new();
    stage.divide();
    let message = stage.hear(stage.port).expect("an exception");
    thread::terminate(&*stage.handler, message.right(0).0).expect("ended");
    assert_eq!(stage.go_on(&message), Err(Error::SendInvalidPort));
    assert!(stage.task.exists());
}

#[test]
fn a_suspended_thread_goes_on_when_it_is_resumed_too() {
    let stage = Stage::new();
    let division = stage.divide();
    let message = stage.hear(stage.port).expect("an exception");
    let thread = message.right(0).0;
    thread::suspend(&*stage.handler, thread).expect("suspended");
    assert_eq!(stage.go_on(&message), Ok(()));
    assert!(division.waits());
    thread::resume(&*stage.handler, thread).expect("resumed");
    stage.system.rest();
    assert_eq!(division.done(), Outcome::Done);
}

#[test]
fn a_chain_of_tasks_that_handle_each_other_ends_one_after_the_other() {
    let system = System::boot();
    let tasks: Vec<Task> = (0..6).map(|_| system.task("link")).collect();
    let ports: Vec<Name> = tasks.iter().map(|task| task.port(Capacity::DEFAULT)).collect();
    for (number, task) in tasks.iter().enumerate() {
        let next = (number + 1) % tasks.len();
        let right = tasks[next].give_send(task, ports[next]);
        let right = Descriptor::port(right, Disposition::MoveSend as u8);
        let which = SpecialPort::Exception as u32;
        routine::set_special_port(&**task, task.task_self(), which, 0, right).expect("set");
    }
    // Each waits for the next one, in a ring.
    for task in &tasks {
        task.perform(vec![Act::Raise(Exception::InvalidInstruction)]);
    }
    system.rest();
    assert!(tasks.iter().all(Task::exists));
    // When one ends, nobody is left to handle the others.
    tasks[0].terminate();
    system.rest();
    assert!(tasks.iter().all(|task| !task.exists()));
}
