//! The end of ports, threads and tasks, whatever they are in the middle of.

use crate::harness::{Mailbox, Message, System, WhenFull};
use portolan_abi::interface::Routine;
use portolan_abi::{Capacity, Disposition, Error, Name, RightKind, task as routine, thread};

const ONE: Capacity = Capacity::Bounded(1);

#[test]
fn a_send_right_to_a_dead_port_is_a_dead_name() {
    let mailbox = Mailbox::new(ONE);
    mailbox.sender.port_mod_refs(mailbox.to, RightKind::Send, 2).expect("three references");
    mailbox.receiver.port_deallocate(mailbox.port).expect("the end of the port");
    let kind = mailbox.sender.port_type(mailbox.to).expect("its type");
    assert_eq!((kind.send, kind.dead), (0, 3));
    assert_eq!(mailbox.send("into nothing", WhenFull::Wait).done(), Err(Error::SendInvalidPort));
    for _ in 0..3 {
        assert_eq!(mailbox.sender.port_deallocate(mailbox.to), Ok(()));
    }
    assert_eq!(mailbox.sender.port_deallocate(mailbox.to), Err(Error::InvalidName));
}

#[test]
fn senders_that_wait_are_woken_with_an_error_and_keep_their_rights() {
    let mailbox = Mailbox::full(ONE);
    let threads = [(); 4].map(|()| mailbox.sender.thread());
    let sends = threads.each_ref().map(|thread| {
        let gift = mailbox.sender.port(ONE);
        let message = Message::to(mailbox.to).right(gift, Disposition::MoveReceive);
        (thread.send(message, WhenFull::Wait), gift)
    });
    assert!(sends.iter().all(|(send, _)| send.waits()));
    mailbox.receiver.port_deallocate(mailbox.port).expect("the end of the port");
    for (send, gift) in sends {
        assert_eq!(send.done(), Err(Error::SendInvalidPort));
        assert_eq!(mailbox.sender.port_type(gift).expect("ours again").receive, 1);
    }
}

#[test]
fn a_sender_that_wanted_to_be_cached_later_is_woken_too() {
    let mailbox = Mailbox::full(ONE);
    let send = mailbox.send("patient", WhenFull::WaitMsThenCache(10));
    mailbox.receiver.port_deallocate(mailbox.port).expect("the end of the port");
    assert_eq!(send.done(), Err(Error::SendInvalidPort));
    mailbox.system.advance_ms(20);
}

#[test]
fn receivers_that_wait_are_woken_with_an_error() {
    let mailbox = Mailbox::new(ONE);
    let threads = [(); 3].map(|()| mailbox.receiver.thread());
    let receives = threads.each_ref().map(|thread| thread.receive(mailbox.port));
    mailbox.receiver.port_deallocate(mailbox.port).expect("the end of the port");
    for receive in receives {
        assert_eq!(receive.done().expect_err("no port"), Error::ReceivePortDied);
    }
}

#[test]
fn the_messages_of_a_dead_port_are_released_with_the_rights_inside() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let port = mailbox.sender.port(ONE);
    let dying = mailbox.sender.port(ONE);
    let to_dying = mailbox.sender.give_send(&mailbox.receiver, dying);
    let message = Message::to(mailbox.to).right(port, Disposition::MakeSend).right(dying, Disposition::MoveReceive);
    mailbox.sender.send(message, WhenFull::Wait).done().expect("a send");
    assert_eq!(mailbox.sender.status(port).send_rights, 1);
    mailbox.receiver.port_deallocate(mailbox.port).expect("the end of the port");
    assert_eq!(mailbox.sender.status(port).send_rights, 0);
    assert_eq!(mailbox.receiver.port_type(to_dying).expect("a dead name").dead, 1);
}

#[test]
fn a_long_chain_of_ports_in_ports_ends_with_the_outermost() {
    let system = System::boot();
    let limits = routine::Limits { memory: 4 << 20, ports: 600, frames: 100 };
    let task = system.task_with("task", limits).expect("a task");
    let other = system.task("other");
    system.unchecked(|| {
        let mut inner = task.port(ONE);
        let innermost = task.give_send(&other, inner);
        for _ in 0..500 {
            let outer = task.port(ONE);
            task.give_send(&task, outer);
            let message = Message::by(outer, Disposition::MoveSend).right(inner, Disposition::MoveReceive);
            task.send(message, WhenFull::Wait).done().expect("a deeper port");
            inner = outer;
        }
        assert_eq!(other.port_type(innermost).expect("alive").send, 1);
        task.port_deallocate(inner).expect("the end of all");
        assert_eq!(other.port_type(innermost).expect("dead").dead, 1);
    });
}

#[test]
fn a_task_may_die_while_its_thread_waits_for_anything() {
    type Wait = fn(&Mailbox);
    let waits: [(&str, Wait); 6] = [
        ("a place", |mailbox| drop(mailbox.send("late", WhenFull::Wait))),
        ("a place, for some time", |mailbox| drop(mailbox.send("late", WhenFull::WaitMsThenCache(50)))),
        ("a message", |mailbox| drop(mailbox.sender.receive(mailbox.sender.notify()))),
        ("a message, for some time", |mailbox| drop(mailbox.sender.receive_within(mailbox.sender.notify(), 50))),
        ("time", |mailbox| drop(mailbox.sender.sleep(50))),
        ("nothing", |_| ()),
    ];
    for (what, wait) in waits {
        let mailbox = Mailbox::full(ONE);
        wait(&mailbox);
        mailbox.sender.terminate();
        assert_eq!(mailbox.take_all(), ["filling"], "waiting for {what}");
        mailbox.system.advance_ms(100);
    }
}

#[test]
fn a_task_may_die_in_both_halves_of_an_rpc() {
    for capacity in [Capacity::Zero, ONE] {
        let mailbox = Mailbox::new(capacity);
        let reply = mailbox.sender.port(ONE);
        let gift = mailbox.sender.port(ONE);
        let message =
            Message::to(mailbox.to).reply(reply, Disposition::MakeSendOnce).right(gift, Disposition::MoveReceive);
        assert!(mailbox.sender.rpc(message, reply).waits());
        mailbox.sender.terminate();
        let arrived = mailbox.receiver.receive_now(mailbox.port).done();
        // Sent, its right is alive; not sent, it is gone.
        match capacity {
            Capacity::Zero => assert_eq!(arrived.expect_err("not sent"), Error::ReceiveTimedOut),
            _ => {
                let arrived = arrived.expect("the request");
                assert_eq!(arrived.reply_right(), Name::DEAD);
                assert_eq!(mailbox.receiver.port_type(arrived.right(0).0).expect("ours now").receive, 1);
            }
        }
    }
}

#[test]
fn what_a_dead_task_sent_is_still_received() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.send("testament", WhenFull::Wait);
    assert_eq!(mailbox.send("second", WhenFull::Cache).done(), Ok(()));
    mailbox.sender.terminate();
    assert_eq!(mailbox.take_all(), ["testament", "second"]);
}

#[test]
fn what_a_dead_task_had_cached_is_still_received_and_no_one_is_told() {
    let mailbox = Mailbox::full(ONE);
    assert_eq!(mailbox.send("cached", WhenFull::Cache).done(), Err(Error::SendWillNotify));
    mailbox.sender.terminate();
    assert_eq!(mailbox.take_all(), ["filling", "cached"]);
}

#[test]
fn a_dead_task_leaves_its_place_in_the_line() {
    let mailbox = Mailbox::full(ONE);
    let other = mailbox.system.task("other");
    let others = mailbox.receiver.give_send(&other, mailbox.port);
    let first = mailbox.send("first", WhenFull::Wait);
    let second = other.send(Message::to(others).text("second"), WhenFull::Wait);
    mailbox.sender.terminate();
    assert_eq!(mailbox.take_all(), ["filling", "second"]);
    assert_eq!((first.waits(), second.done()), (true, Ok(())));
}

#[test]
fn a_task_that_receives_may_die_with_others_waiting_to_send_to_it() {
    let mailbox = Mailbox::full(ONE);
    let send = mailbox.send("late", WhenFull::Wait);
    mailbox.receiver.terminate();
    assert_eq!(send.done(), Err(Error::SendInvalidPort));
    assert_eq!(mailbox.sender.port_type(mailbox.to).expect("a dead name").dead, 1);
}

#[test]
fn a_thread_may_end_in_every_kind_of_wait_and_its_task_goes_on() {
    let waits: [fn(&Mailbox, &crate::harness::Thread); 4] = [
        |mailbox, thread| drop(thread.send(Message::to(mailbox.to), WhenFull::Wait)),
        |mailbox, thread| drop(thread.receive(mailbox.sender.notify())),
        |mailbox, thread| drop(thread.receive_within(mailbox.sender.notify(), 50)),
        |_, thread| drop(thread.sleep(50)),
    ];
    for wait in waits {
        let mailbox = Mailbox::full(ONE);
        let thread = mailbox.sender.thread();
        let port = thread.thread_self();
        wait(&mailbox, &thread);
        assert!(!thread.is_free());
        thread::terminate(&*mailbox.sender, port).expect("the end of the thread");
        mailbox.system.advance_ms(100);
        assert!(!thread.is_free(), "it never comes back");
        assert_eq!(mailbox.sender.info().threads, 1);
        assert_eq!(mailbox.take_all(), ["filling"]);
    }
}

#[test]
fn a_thread_that_ends_itself_gets_no_reply() {
    let system = System::boot();
    let task = system.task("task");
    let thread = task.thread();
    let (port, reply) = (thread.thread_self(), task.port(ONE));
    let request = Message::to(port).reply(reply, Disposition::MakeSendOnce).id(thread::Terminate::ID);
    let rpc = thread.rpc(request, reply);
    assert!(rpc.waits());
    assert_eq!(task.info().threads, 1);
    assert_eq!(task.port_type(port), Err(Error::InvalidName), "its own name for itself went with it");
}

#[test]
fn a_task_that_ends_itself_is_gone() {
    let system = System::boot();
    let task = system.task("task");
    let reply = task.port(ONE);
    let request = Message::to(task.task_self()).reply(reply, Disposition::MakeSendOnce).id(routine::Terminate::ID);
    let rpc = task.rpc(request, reply);
    assert!(rpc.waits());
    let first = system.first();
    assert_eq!(first.port_type(task.kernel_port()).expect("a dead name").dead, 1);
    let result = routine::info(&**first, task.kernel_port());
    assert_eq!(result.map(|_| ()), Err(Error::SendInvalidPort));
}

#[test]
fn a_task_without_threads_lives_until_it_is_terminated() {
    let mailbox = Mailbox::new(ONE);
    let port = mailbox.receiver.thread_self();
    let helper = mailbox.receiver.thread();
    let own = helper.thread_self();
    thread::terminate(&helper, port).expect("the end of the main thread");
    let reply = helper.port(ONE);
    let request = Message::to(own).reply(reply, Disposition::MakeSendOnce).id(thread::Terminate::ID);
    helper.rpc(request, reply);
    assert_eq!(mailbox.receiver.info().threads, 0);
    assert_eq!(mailbox.send("to no one", WhenFull::Return).done(), Ok(()));
    let thread = mailbox.receiver.thread();
    assert_eq!(thread.receive(mailbox.port).done().expect("the message").text(), "to no one");
}

#[test]
fn a_hundred_tasks_come_and_go_without_a_trace() {
    let system = System::boot();
    let before = system.statistics();
    for _ in 0..100 {
        let task = system.task("mayfly");
        let port = task.port(ONE);
        task.give_send(&task, port);
        task.send(Message::to(port).text("to myself"), WhenFull::Wait);
        system.end_tasks();
    }
    assert_eq!(system.statistics(), before);
}

#[test]
fn five_thousand_tasks_cost_no_more_than_the_first() {
    let system = System::boot();
    let cycle = || {
        drop(system.task("mayfly"));
        system.end_tasks();
    };
    system.unchecked(|| {
        (0..100).for_each(|_| cycle());
        let before = (system.statistics(), system.first().info().used);
        // More than a name has generations, and than a slot is let lie.
        (0..5000).for_each(|_| cycle());
        assert_eq!((system.statistics(), system.first().info().used), before);
    });
}

#[test]
fn tasks_that_hold_each_others_ports_leave_nothing() {
    let system = System::boot();
    let tasks = ["a", "b", "c"].map(|name| system.task(name));
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2)] {
        let port = tasks[from].port(ONE);
        let name = tasks[from].give_send(&tasks[to], port);
        let inner = tasks[to].port(ONE);
        let message = Message::to(name).right(inner, Disposition::MoveReceive);
        tasks[to].send(message, WhenFull::Wait).done().expect("a send");
    }
    tasks[1].terminate();
    tasks[0].terminate();
    tasks[2].terminate();
}
