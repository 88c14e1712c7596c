//! Interrupts as messages: bound, told, counted, acknowledged, unbound.

use crate::harness::{Message, Received, System, Task, WhenFull};
use portolan_abi::interrupt::{self, Arrived, INTERRUPT};
use portolan_abi::message::{Descriptor, Trailer};
use portolan_abi::{Capacity, Disposition, Error, Name, Result, RightKind, host};
use zerocopy::FromBytes;

/// Binds a line to a port of the first task's.
fn bind(first: &Task, line: u32, port: Name) -> Result<Name> {
    bind_to(first, line, Descriptor::port(port, Disposition::MakeSend as u8))
}

fn bind_to(first: &Task, line: u32, right: Descriptor) -> Result<Name> {
    host::interrupt_bind(&**first, first.host_port(), line, 0, right).map(|reply| reply.rights[0])
}

fn acknowledge(task: &Task, interrupt: Name) {
    interrupt::acknowledge(&**task, interrupt).expect("the line is bound");
}

#[track_caller]
fn arrived(message: Result<Received>) -> Arrived {
    let message = message.expect("a message");
    assert_eq!((message.header.id, message.trailer.flags), (INTERRUPT, Trailer::FROM_KERNEL));
    Arrived::read_from_bytes(&message.body).expect("an interrupt")
}

#[test]
fn an_interrupt_is_a_message() {
    let system = System::boot();
    let first = system.first();
    let port = first.port(Capacity::Bounded(1));
    assert!(!system.lets_in(4));
    let right = bind(first, 4, port).expect("bound");
    assert!(system.lets_in(4));
    assert_eq!(first.receive_now(port).done().map(drop), Err(Error::ReceiveTimedOut));
    system.interrupt(4);
    assert!(!system.lets_in(4), "masked until it is acknowledged");
    assert_eq!(arrived(first.receive_now(port).done()), Arrived { line: 4, count: 1 });
    assert_eq!(first.receive_now(port).done().map(drop), Err(Error::ReceiveTimedOut));
    acknowledge(first, right);
    assert!(system.lets_in(4));
    let info = interrupt::info(&**first, right).expect("information").results.info;
    assert_eq!((info.line, info.pending, info.total), (4, 0, 1));
    first.port_deallocate(right).expect("ours");
    first.port_deallocate(port).expect("ours");
}

#[test]
fn whoever_waits_for_it_is_woken() {
    let system = System::boot();
    let (first, task) = (system.first(), system.task("driver"));
    let port = task.port(Capacity::Zero);
    let to = task.give_send(first, port);
    let right = bind_to(first, 0, Descriptor::port(to, Disposition::MoveSend as u8)).expect("bound");
    let driver = task.thread();
    let waiting = driver.receive(port);
    assert!(waiting.waits());
    system.interrupt(0);
    assert_eq!(arrived(waiting.done()), Arrived { line: 0, count: 1 });
    // It interrupts somebody who computes, too.
    acknowledge(first, right);
    let waiting = driver.receive(port);
    system.interrupt(0);
    task.work_ms(1).done();
    assert_eq!(arrived(waiting.done()), Arrived { line: 0, count: 1 });
    first.port_deallocate(right).expect("ours");
}

#[test]
fn interrupts_that_nobody_received_are_counted_in_one_message() {
    let system = System::boot();
    let first = system.first();
    let port = first.port(Capacity::Bounded(1));
    let right = bind(first, 9, port).expect("bound");
    for _ in 0..5 {
        system.interrupt(9);
        // Pulled while it is masked: that waits, and only once.
        system.interrupt(9);
        acknowledge(first, right);
        acknowledge(first, right);
    }
    assert_eq!(arrived(first.receive_now(port).done()), Arrived { line: 9, count: 10 });
    assert_eq!(first.receive_now(port).done().map(drop), Err(Error::ReceiveTimedOut));
    first.port_deallocate(right).expect("ours");
    first.port_deallocate(port).expect("ours");
}

#[test]
fn an_interrupt_gets_past_a_full_queue() {
    let system = System::boot();
    let first = system.first();
    let port = first.port(Capacity::Bounded(1));
    let right = bind(first, 3, port).expect("bound");
    let message = Message::by(port, Disposition::MakeSend).id(7);
    first.send(message, WhenFull::Wait).done().expect("a send");
    system.interrupt(3);
    assert_eq!(arrived(first.receive_now(port).done()).line, 3);
    assert_eq!(first.receive_now(port).done().expect("the message").header.id, 7);
    first.port_deallocate(right).expect("ours");
    first.port_deallocate(port).expect("ours");
}

#[test]
fn lines_at_one_port_are_told_in_their_order() {
    let system = System::boot();
    let first = system.first();
    let port = first.port(Capacity::DEFAULT);
    let lines = [12, 1, 15, 8];
    let rights = lines.map(|line| bind(first, line, port).expect("bound"));
    lines.iter().for_each(|line| system.interrupt(*line));
    // One from the middle goes.
    first.port_deallocate(rights[1]).expect("ours");
    assert!(!system.lets_in(1));
    for line in [12, 15, 8] {
        assert_eq!(arrived(first.receive_now(port).done()), Arrived { line, count: 1 });
    }
    assert_eq!(first.receive_now(port).done().map(drop), Err(Error::ReceiveTimedOut));
    for right in [rights[0], rights[2], rights[3]] {
        first.port_deallocate(right).expect("ours");
    }
    first.port_deallocate(port).expect("ours");
}

#[test]
fn what_cannot_be_bound_is_refused() {
    let system = System::boot();
    let (first, task) = (system.first(), system.task("task"));
    let port = first.port(Capacity::DEFAULT);
    for line in [2, 16, u32::MAX] {
        assert_eq!(bind(first, line, port), Err(Error::InvalidArgument), "{line}");
    }
    let right = bind(first, 5, port).expect("bound");
    assert_eq!(bind(first, 5, port), Err(Error::NoSpace));
    let none = Descriptor::port(Name::NULL, Disposition::CopySend as u8);
    assert_eq!(bind_to(first, 6, none), Err(Error::InvalidCapability));
    let once = Descriptor::port(port, Disposition::MakeSendOnce as u8);
    assert_eq!(bind_to(first, 6, once), Err(Error::InvalidCapability));
    assert_eq!(first.receive_now(port).done().expect("a lost right").header.id, 0o107);
    let kernel = Descriptor::port(first.kernel_port(), Disposition::CopySend as u8);
    assert_eq!(bind_to(first, 6, kernel), Err(Error::InvalidCapability));
    let plain = first.give(&task, first.plain_host_port(), Disposition::CopySend);
    let mailbox = task.port(Capacity::DEFAULT);
    let make = Descriptor::port(mailbox, Disposition::MakeSend as u8);
    assert_eq!(host::interrupt_bind(&*task, plain, 6, 0, make).map(drop), Err(Error::NoAccess));
    assert_eq!(system.statistics().interrupts, 1);
    first.port_deallocate(right).expect("ours");
    first.port_deallocate(port).expect("ours");
}

#[test]
fn the_last_interrupt_right_unbinds() {
    let system = System::boot();
    let (first, driver) = (system.first(), system.task("driver"));
    let port = first.port(Capacity::DEFAULT);
    let right = bind(first, 4, port).expect("bound");
    let theirs = first.give(&driver, right, Disposition::MoveSend);
    acknowledge(&driver, theirs);
    assert_eq!(first.status(port).send_rights, 1);
    system.interrupt(4);
    driver.terminate();
    assert_eq!((system.lets_in(4), system.statistics().interrupts), (false, 0));
    assert_eq!(first.status(port).send_rights, 0);
    assert_eq!(first.receive_now(port).done().map(drop), Err(Error::ReceiveTimedOut), "what was not told is gone");
    let again = bind(first, 4, port).expect("bound");
    first.port_deallocate(again).expect("ours");
    first.port_deallocate(port).expect("ours");
}

#[test]
fn a_line_whose_port_has_died_stays_masked() {
    let system = System::boot();
    let first = system.first();
    let port = first.port(Capacity::DEFAULT);
    let [right, other] = [10, 11].map(|line| bind(first, line, port).expect("bound"));
    [10, 11].iter().for_each(|line| system.interrupt(*line));
    first.port_mod_refs(port, RightKind::Receive, -1).expect("the port's end");
    acknowledge(first, right);
    assert!(system.lets_in(10));
    system.interrupt(10);
    assert!(!system.lets_in(10));
    let info = interrupt::info(&**first, right).expect("information").results.info;
    assert_eq!((info.pending, info.total), (0, 2));
    [right, other].iter().for_each(|right| first.port_deallocate(*right).expect("ours"));
}

#[test]
fn interrupts_follow_a_receive_right() {
    let system = System::boot();
    let (first, driver) = (system.first(), system.task("driver"));
    let port = first.port(Capacity::DEFAULT);
    let right = bind(first, 4, port).expect("bound");
    system.interrupt(4);
    let theirs = first.give(&driver, port, Disposition::MoveReceive);
    assert_eq!(arrived(driver.receive_now(theirs).done()), Arrived { line: 4, count: 1 });
    first.port_deallocate(right).expect("ours");
}

#[test]
fn a_buffer_too_small_leaves_the_interrupt() {
    let system = System::boot();
    let first = system.first();
    let port = first.port(Capacity::DEFAULT);
    let right = bind(first, 4, port).expect("bound");
    system.interrupt(4);
    let options = portolan_abi::message::Options::RCV_TIMEOUT;
    assert_eq!(first.receive_with(port, options, 0, 40).done().map(drop), Err(Error::ReceiveTooLarge));
    assert_eq!(arrived(first.receive_now(port).done()), Arrived { line: 4, count: 1 });
    first.port_deallocate(right).expect("ours");
    first.port_deallocate(port).expect("ours");
}

#[test]
fn an_interrupt_that_nobody_has_bound_changes_nothing() {
    let system = System::boot();
    let before = system.statistics();
    system.interrupt(7);
    assert_eq!(system.statistics(), before);
}

#[test]
fn a_non_maskable_interrupt_is_answered_once_a_second_and_changes_nothing() {
    let system = System::boot();
    let task = system.task("waiter");
    let waiting = task.thread().receive(task.port(Capacity::DEFAULT));
    assert!(waiting.waits());
    let before = system.statistics();
    let answers = || system.console().matches("has asked for its state").count();
    (0..10).for_each(|_| system.interrupt_non_maskable());
    assert_eq!((answers(), system.console().contains("waits to receive from port")), (1, true));
    system.advance_ms(999);
    system.interrupt_non_maskable();
    assert_eq!(answers(), 1);
    system.advance_ms(1);
    system.interrupt_non_maskable();
    assert_eq!(answers(), 2);
    assert_eq!(system.statistics(), before);
    assert!(waiting.waits());
}
