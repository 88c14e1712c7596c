//! Special and registered ports, and the lists of a task's threads.

use crate::harness::{Message, ORDINARY, System, Task, WhenFull, no_right};
use portolan_abi::message::Descriptor;
use portolan_abi::notification::Kind;
use portolan_abi::task::{self as routine, SpecialPort, THREADS_LISTED};
use portolan_abi::thread;
use portolan_abi::{Capacity, Disposition, Error, Name, Result};

fn copy_of(name: Name) -> Descriptor {
    Descriptor::port(name, Disposition::CopySend as u8)
}

fn get(by: &Task, task: Name, which: SpecialPort) -> Name {
    routine::get_special_port(&**by, task, which as u32, 0).expect("a special port").rights[0]
}

fn set(by: &Task, task: Name, which: SpecialPort, right: Descriptor) -> Result<()> {
    routine::set_special_port(&**by, task, which as u32, 0, right).map(drop)
}

/// A task with a port of its own, and a send right to it.
fn with_port(system: &System) -> (Task, Name) {
    let task = system.task("task");
    let port = task.port(Capacity::DEFAULT);
    task.give_send(&task, port);
    (task, port)
}

#[test]
fn a_special_port_is_held_and_given_back() {
    let system = System::boot();
    let (task, port) = with_port(&system);
    let own = task.task_self();
    for which in [SpecialPort::Bootstrap, SpecialPort::Exception] {
        assert_eq!(get(&task, own, which), Name::NULL);
        assert_eq!(set(&task, own, which, copy_of(port)), Ok(()));
        assert_eq!(task.status(port).send_rights, 2);
        assert_eq!(get(&task, own, which), port);
        task.port_deallocate(port).expect("one reference");
        assert_eq!(set(&task, own, which, no_right()), Ok(()));
        assert_eq!((get(&task, own, which), task.status(port).send_rights), (Name::NULL, 1));
    }
    assert_eq!(get(&task, own, SpecialPort::Kernel), own);
    task.port_deallocate(own).expect("one reference");
}

#[test]
fn what_cannot_be_held_is_refused() {
    let system = System::boot();
    let (task, port) = with_port(&system);
    let own = task.task_self();
    for which in [0, 5, u32::MAX] {
        assert_eq!(routine::get_special_port(&*task, own, which, 0).map(drop), Err(Error::InvalidArgument));
        let set = routine::set_special_port(&*task, own, which, 0, copy_of(port)).map(drop);
        assert_eq!(set, Err(Error::InvalidArgument));
    }
    assert_eq!(set(&task, own, SpecialPort::Kernel, copy_of(port)), Err(Error::InvalidArgument));
    let once = Descriptor::port(port, Disposition::MakeSendOnce as u8);
    assert_eq!(set(&task, own, SpecialPort::Exception, once), Err(Error::InvalidCapability));
    assert_eq!(set(&task, own, SpecialPort::Notify, no_right()), Err(Error::InvalidCapability));
    assert_eq!(set(&task, own, SpecialPort::Notify, copy_of(own)), Err(Error::InvalidCapability));
    let other = system.task("other");
    let others = other.give(&task, other.notify(), Disposition::MakeSend);
    assert_eq!(set(&task, own, SpecialPort::Notify, copy_of(others)), Err(Error::InvalidCapability));
}

#[test]
fn a_special_port_that_dies_reads_as_dead() {
    let system = System::boot();
    let (task, port) = with_port(&system);
    let own = task.task_self();
    let [bootstrap, nothing] = [copy_of(port), no_right()];
    set(&task, own, SpecialPort::Bootstrap, bootstrap).expect("set");
    routine::ports_register(&*task, own, nothing, bootstrap, nothing, bootstrap).expect("registered");
    task.port_deallocate(port).expect("the send right");
    task.port_deallocate(port).expect("the receive right");
    assert_eq!(get(&task, own, SpecialPort::Bootstrap), Name::DEAD);
    let registered = routine::ports_lookup(&*task, own).expect("the registered ports").rights;
    assert_eq!(registered[..4], [Name::NULL, Name::DEAD, Name::NULL, Name::DEAD]);
}

#[test]
fn a_child_inherits() {
    let system = System::boot();
    let (task, port) = with_port(&system);
    let own = task.task_self();
    let (right, nothing) = (copy_of(port), no_right());
    set(&task, own, SpecialPort::Exception, right).expect("set");
    set(&task, own, SpecialPort::Bootstrap, right).expect("set");
    routine::ports_register(&*task, own, right, nothing, right, nothing).expect("registered");
    let limits = routine::Limits { memory: 100_000, ports: 10, frames: 10 };
    let child = routine::create(&*task, own, [b'c'; 32], limits, 0, 0, no_right()).expect("a child").rights[0];
    // One for the name, four held for each task.
    assert_eq!(task.status(port).send_rights, 1 + 2 * 4);
    assert_eq!(get(&task, child, SpecialPort::Exception), port);
    let registered = routine::ports_lookup(&*task, child).expect("the registered ports").rights;
    assert_eq!(registered[..4], [port, Name::NULL, port, Name::NULL]);
    let second = task.port(Capacity::DEFAULT);
    task.give_send(&task, second);
    let other = routine::create(&*task, own, [b'd'; 32], limits, 0, 0, copy_of(second)).expect("a child").rights[0];
    assert_eq!(get(&task, other, SpecialPort::Bootstrap), second);
    routine::terminate(&*task, child).expect("ended");
    routine::terminate(&*task, other).expect("ended");
    assert_eq!((task.status(port).send_rights, task.status(second).send_rights), (1 + 4, 1));
}

#[test]
fn registered_ports_replace_each_other_or_stay() {
    let system = System::boot();
    let (task, port) = with_port(&system);
    let own = task.task_self();
    let (right, nothing) = (copy_of(port), no_right());
    for _ in 0..3 {
        routine::ports_register(&*task, own, right, right, right, right).expect("registered");
        assert_eq!(task.status(port).send_rights, 5);
    }
    let once = Descriptor::port(port, Disposition::MakeSendOnce as u8);
    let refused = routine::ports_register(&*task, own, nothing, nothing, nothing, once).map(drop);
    assert_eq!((refused, task.status(port).send_rights), (Err(Error::InvalidCapability), 5));
}

#[test]
fn a_thread_has_an_exception_port_of_its_own() {
    let system = System::boot();
    let (task, port) = with_port(&system);
    let thread = task.thread();
    let own = thread.thread_self();
    let which = thread::SpecialPort::Exception as u32;
    let get = |which| thread::get_special_port(&*task, own, which, 0).map(|reply| reply.rights[0]);
    assert_eq!((get(1), get(which), get(2)), (Ok(own), Ok(Name::NULL), Err(Error::InvalidArgument)));
    let set = |which, right| thread::set_special_port(&*task, own, which, 0, right).map(drop);
    assert_eq!(set(1, copy_of(port)), Err(Error::InvalidArgument));
    assert_eq!((set(which, copy_of(port)), get(which)), (Ok(()), Ok(port)));
    assert_eq!(task.status(port).send_rights, 2);
    thread::terminate(&*task, own).expect("ended");
    assert_eq!(task.status(port).send_rights, 1);
}

#[test]
fn notices_go_to_the_notify_port_that_is_set_the_old_ones_too() {
    let system = System::boot();
    let (task, port) = with_port(&system);
    let server = system.task("server");
    let doomed = [(); 2].map(|()| server.port(Capacity::DEFAULT));
    let names = doomed.map(|doomed| server.give_send(&task, doomed));
    server.port_deallocate(doomed[0]).expect("the first dies");
    let own = task.task_self();
    assert_eq!(set(&task, own, SpecialPort::Notify, copy_of(port)), Ok(()));
    assert_eq!((task.notify(), get(&task, own, SpecialPort::Notify)), (port, port));
    server.port_deallocate(doomed[1]).expect("the second dies");
    for name in names {
        let notice = task.receive_now(port).done().expect("a notice");
        assert_eq!((notice.header.id, &notice.body[..4]), (Kind::DeadName as u32, &name.0.to_le_bytes()[..]));
    }
    assert_eq!(task.receive_now(port).done().map(drop), Err(Error::ReceiveTimedOut));
}

#[test]
fn notices_can_be_received_by_another_task() {
    let system = System::boot();
    let (task, watcher, server) = (system.task("task"), system.task("watcher"), system.task("server"));
    let port = watcher.port(Capacity::DEFAULT);
    let to = watcher.give_send(&task, port);
    assert_eq!(set(&task, task.task_self(), SpecialPort::Notify, copy_of(to)), Ok(()));
    assert_eq!(task.notify(), Name::NULL);
    let watching = watcher.receive(port);
    let doomed = server.port(Capacity::DEFAULT);
    let name = server.give_send(&task, doomed);
    server.port_deallocate(doomed).expect("it dies");
    assert_eq!(watching.done().expect("a notice").body[..4], name.0.to_le_bytes());
    watcher.port_deallocate(port).expect("the notify port dies");
    let gone = task.port(Capacity::DEFAULT);
    task.give_send(&task, gone);
    assert_eq!(task.port_deallocate(gone), Ok(()));
    assert_eq!(get(&task, task.task_self(), SpecialPort::Notify), Name::DEAD);
}

#[test]
fn all_threads_are_listed_once() {
    let system = System::boot();
    let task = system.empty_task("many", ORDINARY).expect("a task");
    let first = &**system.first();
    let make = || routine::thread_create(first, task, 0x7000_0000, 0x7000_0000, 0, 16, 1).expect("a thread").rights[0];
    let made: Vec<Name> = (0..THREADS_LISTED * 2 + 3).map(|_| system.give_up_later(make())).collect();
    let mut listed = Vec::new();
    let (mut after, mut count) = (0, THREADS_LISTED);
    while count == THREADS_LISTED {
        let reply = routine::threads(first, task, after).expect("threads");
        (after, count) = (reply.results.last, reply.results.count as usize);
        for name in &reply.rights[..count] {
            listed.push(system.give_up_later(*name));
        }
        assert!(reply.rights[count..].iter().all(|name| *name == Name::NULL));
        // One that was listed ends: the others are listed all the same.
        thread::terminate(first, reply.rights[0]).expect("ended");
    }
    assert_eq!(listed, made);
    let empty = routine::threads(first, task, u64::MAX).expect("threads");
    assert_eq!((empty.results.last, empty.results.count), (u64::MAX, 0));
    let ids: Vec<u64> =
        made.iter().filter_map(|name| thread::info(first, *name).ok()).map(|reply| reply.results.info.id).collect();
    assert!(ids.is_sorted() && ids.len() == made.len() - 3);
}

#[test]
fn a_list_that_nobody_waits_for_is_queued_like_any_message() {
    use portolan_abi::interface::Routine;
    let system = System::boot();
    let (task, _) = with_port(&system);
    let replies = task.port(Capacity::DEFAULT);
    let request = Message::to(task.task_self()).reply(replies, Disposition::MakeSendOnce).id(routine::Threads::ID);
    task.send(request.text([0; 8]), WhenFull::Wait).done().expect("a request");
    assert_eq!(task.receive_now(replies).done().expect("the list").rights.len(), THREADS_LISTED);
}
