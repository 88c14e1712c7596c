//! A thread's registers, seen and set from outside.

use crate::harness::{Mailbox, Message, System, Task, Thread, WhenFull};
use portolan_abi::registers::{FIXED_FLAGS, FloatingPoint, Registers, TRAP_FLAG};
use portolan_abi::vm::USER_END;
use portolan_abi::{Capacity, Disposition, Error, Name, Result, thread};

/// Another thread of the task, and its kernel port in the hands of the first task.
fn watched(system: &System, task: &Task) -> (Thread, Name) {
    let thread = task.thread();
    let own = thread.thread_self();
    let port = system.give_up_later(task.give(system.first(), own, Disposition::CopySend));
    (thread, port)
}

fn suspend(system: &System, thread: Name) {
    thread::suspend(&**system.first(), thread).expect("suspended");
}

fn resume(system: &System, thread: Name) {
    thread::resume(&**system.first(), thread).expect("resumed");
}

fn get(system: &System, thread: Name) -> Registers {
    thread::get_state(&**system.first(), thread).expect("its registers").results.registers
}

fn set(system: &System, thread: Name, registers: Registers) -> Result<()> {
    thread::set_state(&**system.first(), thread, registers).map(drop)
}

#[test]
fn registers_that_are_set_are_seen_with_the_fixed_flags() {
    let system = System::boot();
    let task = system.task("task");
    let (_, port) = watched(&system, &task);
    suspend(&system, port);
    let old = get(&system, port);
    assert_eq!((old.rflags, old.fs_base), (FIXED_FLAGS, 0));
    let new = Registers { rax: 1, r15: u64::MAX, rsp: 1 << 63, fs_base: USER_END - 1, rflags: TRAP_FLAG, ..old };
    assert_eq!(set(&system, port, new), Ok(()));
    assert_eq!(get(&system, port), Registers { rflags: TRAP_FLAG | FIXED_FLAGS, ..new });
}

#[test]
fn a_thread_goes_on_where_it_is_sent() {
    let system = System::boot();
    let task = system.task("task");
    let log = task.port(Capacity::Unbounded);
    task.give_send(&task, log);
    let (_, port) = watched(&system, &task);
    let (other, other_port) = watched(&system, &task);
    suspend(&system, port);
    suspend(&system, other_port);
    other.plan(other.send_actions(Message::to(log).id(5), WhenFull::Wait));
    let there = get(&system, other_port).rip;
    let registers = Registers { rip: there, ..get(&system, port) };
    assert_eq!(set(&system, port, registers), Ok(()));
    resume(&system, port);
    system.rest();
    assert_eq!(task.receive_now(log).done().expect("its word").header.id, 5);
}

#[test]
fn registers_that_could_hurt_are_refused() {
    let system = System::boot();
    let task = system.task("task");
    let (_, port) = watched(&system, &task);
    suspend(&system, port);
    let old = get(&system, port);
    for bad in [USER_END, 1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
        assert_eq!(set(&system, port, Registers { rip: bad, ..old }), Err(Error::InvalidAddress));
        assert_eq!(set(&system, port, Registers { fs_base: bad, ..old }), Err(Error::InvalidAddress));
    }
    // IOPL, VM, and a reserved bit.
    for bad in [1 << 12, 1 << 13, 1 << 17, 1 << 3] {
        assert_eq!(set(&system, port, Registers { rflags: bad, ..old }), Err(Error::InvalidArgument));
    }
    assert_eq!(get(&system, port), old);
}

#[test]
fn only_a_thread_that_is_stopped_outside_of_a_call_can_be_set() {
    let system = System::boot();
    let task = system.task("task");
    let (thread, port) = watched(&system, &task);
    let registers = get(&system, port);
    assert_eq!(set(&system, port, registers), Err(Error::Failure));
    let sleep = thread.sleep(10);
    suspend(&system, port);
    assert_eq!(set(&system, port, registers), Err(Error::Failure));
    system.advance_ms(20);
    assert_eq!(set(&system, port, registers), Ok(()));
    resume(&system, port);
    assert_eq!(sleep.done(), Ok(()));
    let own = system.first().thread_self();
    let mine = get(&system, own);
    assert_eq!(set(&system, own, mine), Err(Error::Failure));
}

#[test]
fn a_call_whose_second_half_is_still_to_come_is_not_over() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let Mailbox { system, sender, .. } = &mailbox;
    let (thread, port) = watched(system, sender);
    let registers = get(system, port);
    let answers = sender.port(Capacity::DEFAULT);
    let calling = thread.rpc(Message::to(mailbox.to).reply(answers, Disposition::MakeSendOnce), answers);
    suspend(system, port);
    // Its request has gone; it would receive if it could run.
    assert_eq!((mailbox.take().as_deref(), mailbox.messages()), (Ok("filling"), 1));
    assert_eq!(set(system, port, registers), Err(Error::Failure));
    resume(system, port);
    assert!(calling.waits());
}

#[test]
fn floating_point_registers_come_back_as_they_were_set() {
    let system = System::boot();
    let task = system.task("task");
    let (_, port) = watched(&system, &task);
    let first = &**system.first();
    suspend(&system, port);
    let mut state = FloatingPoint { bytes: [7; 512] };
    let set = |state| thread::set_floating_point(first, port, state).map(drop);
    assert_eq!(set(state), Err(Error::InvalidArgument));
    state.bytes[26..28].fill(0);
    assert_eq!(set(state), Ok(()));
    let seen = thread::get_floating_point(first, port).expect("its state").results.state;
    assert_eq!(seen, state);
    resume(&system, port);
    assert_eq!(set(state), Err(Error::Failure));
}
