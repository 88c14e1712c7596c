//! Messages to the kernel: routines, what they refuse, and the host port.

use crate::harness::{Mailbox, Message, System, Task, WhenFull, no_right};
use portolan_abi::interface::{REPLY_OFFSET, ReplyHead, Routine};
use portolan_abi::message::{Descriptor, Trailer};
use portolan_abi::notification::Kind;
use portolan_abi::task as routine;
use portolan_abi::trace::{Event, Step};
use portolan_abi::{Capacity, Disposition, Error, Name, host, memory_object, port, thread, vm};
use portolan_machine::Exception;
use portolan_machine::sim::Exit;
use portolan_machine::sim::script::Action;
use std::collections::BTreeSet;
use zerocopy::{FromBytes, IntoBytes};

/// Sends a request as it is, and returns the code in its reply.
fn ask(task: &Task, to: Name, id: u32, body: &[u8], rights: &[Descriptor]) -> i32 {
    let reply = task.port(Capacity::DEFAULT);
    let mut message = Message::to(to).reply(reply, Disposition::MakeSendOnce).id(id).text(body);
    message.rights = rights.to_vec();
    let answer = task.rpc(message, reply).done().expect("a reply");
    assert_eq!(answer.header.id, id.wrapping_add(REPLY_OFFSET));
    assert_eq!(answer.trailer.flags, Trailer::FROM_KERNEL);
    let (head, _) = ReplyHead::read_from_prefix(&answer.body).expect("a head");
    task.port_deallocate(reply).expect("ours");
    head.code
}

#[test]
fn a_routine_that_does_not_exist_is_refused() {
    let system = System::boot();
    let task = system.task("task");
    let object = vm::memory_object_create(&*task, task.task_self(), 4096).expect("an object").rights[0];
    for port in [task.task_self(), task.thread_self(), object] {
        for id in [0, 1, 1999, 2000, 2099, 2500, 2699, 3200, 3299, 3899, 0x7fff_ffff, u32::MAX] {
            assert_eq!(ask(&task, port, id, &[], &[]), Error::BadId.code(), "{id}");
        }
    }
    // A routine of another kind of port does not exist here.
    assert_eq!(ask(&task, task.thread_self(), routine::Terminate::ID, &[], &[]), Error::BadId.code());
    assert_eq!(ask(&task, object, host::GetStatistics::ID, &[], &[]), Error::BadId.code());
}

#[test]
fn a_body_of_the_wrong_size_is_refused() {
    let system = System::boot();
    let task = system.task("task");
    for size in [0, 7, 9, 16, 200, 3000] {
        let code = ask(&task, task.task_self(), port::PortStatus::ID, &vec![0; size], &[]);
        assert_eq!(code, Error::BadArguments.code(), "{size} bytes");
    }
    assert_eq!(ask(&task, task.task_self(), routine::Info::ID, &[0], &[]), Error::BadArguments.code());
}

#[test]
fn the_wrong_number_of_rights_is_refused_and_the_rights_are_released() {
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(Capacity::DEFAULT);
    let right = Descriptor::port(port, Disposition::MakeSend as u8);
    for rights in [&[right][..], &[right; 5], &[no_right(); 64]] {
        assert_eq!(ask(&task, task.task_self(), routine::Info::ID, &[], rights), Error::BadArguments.code());
    }
    let arguments = port::arguments::PortInsertRight { name: Name::NULL, reserved: 0 };
    for rights in [&[][..], &[right, right]] {
        let code = ask(&task, task.task_self(), port::PortInsertRight::ID, arguments.as_bytes(), rights);
        assert_eq!(code, Error::BadArguments.code());
    }
    assert_eq!(task.status(port).send_rights, 0);
}

#[test]
fn a_receive_right_sent_to_the_kernel_by_mistake_dies() {
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(Capacity::DEFAULT);
    let right = Descriptor::port(port, Disposition::MoveReceive as u8);
    assert_eq!(ask(&task, task.task_self(), routine::Info::ID, &[], &[right]), Error::BadArguments.code());
    assert_eq!(task.port_type(port), Err(Error::InvalidName));
}

#[test]
fn a_request_without_a_reply_port_is_carried_out_in_silence() {
    let system = System::boot();
    let task = system.task("task");
    let ports = system.statistics().ports;
    let arguments = port::arguments::PortAllocate { capacity: 3, reserved: 0 };
    let message = Message::to(task.task_self()).id(port::PortAllocate::ID).text(arguments.as_bytes());
    assert_eq!(task.send(message, WhenFull::Wait).done(), Ok(()));
    assert_eq!(system.statistics().ports, ports + 1);
}

#[test]
fn a_request_whose_reply_port_is_dead_is_carried_out_in_silence() {
    let system = System::boot();
    let (task, other) = (system.task("task"), system.task("other"));
    let port = other.port(Capacity::DEFAULT);
    let dead = other.give_send(&task, port);
    other.port_deallocate(port).expect("the end of the port");
    let ports = system.statistics().ports;
    let arguments = port::arguments::PortAllocate { capacity: 3, reserved: 0 };
    let message = Message::to(task.task_self()).reply(dead, Disposition::CopySend).id(port::PortAllocate::ID);
    let sent = task.send(message.text(arguments.as_bytes()), WhenFull::Wait).done();
    assert_eq!((sent, system.statistics().ports), (Ok(()), ports + 1));
}

#[test]
fn a_reply_through_a_send_right_keeps_to_no_capacity() {
    let system = System::boot();
    let task = system.task("task");
    let reply = task.port(Capacity::Zero);
    for _ in 0..3 {
        let message = Message::to(task.task_self()).reply(reply, Disposition::MakeSend).id(routine::Info::ID);
        assert_eq!(task.send(message, WhenFull::Wait).done(), Ok(()));
    }
    assert_eq!(task.status(reply).messages, 3);
}

#[test]
fn the_kernel_ports_of_a_dead_task_are_dead_names() {
    let system = System::boot();
    let (task, other) = (system.task("task"), system.task("other"));
    let thread = task.thread_self();
    let theirs = task.give(&other, task.task_self(), Disposition::CopySend);
    let threads = task.give(&other, thread, Disposition::CopySend);
    task.terminate();
    for name in [theirs, threads] {
        assert_eq!(other.port_type(name).expect("a dead name").dead, 1);
    }
    assert_eq!(routine::info(&*other, theirs).map(|_| ()), Err(Error::SendInvalidPort));
    assert_eq!(thread::info(&*other, threads).map(|_| ()), Err(Error::SendInvalidPort));
}

#[test]
fn whoever_holds_the_kernel_port_acts_for_the_task() {
    let system = System::boot();
    let (task, master) = (system.task("task"), system.task("master"));
    let port = task.give(&master, task.task_self(), Disposition::CopySend);
    let name = port::port_allocate(&*master, port, Capacity::Bounded(2).code(), 0).expect("a port").results.name;
    assert_eq!(task.status(name).capacity, 2);
    assert_eq!(port::port_deallocate(&*master, port, name, 0).map(|_| ()), Ok(()));
    assert_eq!(task.port_type(name), Err(Error::InvalidName));
    assert_eq!(port::port_deallocate(&*master, port, name, 0).map(|_| ()), Err(Error::InvalidName));
    assert_eq!(routine::terminate(&*master, port).map(|_| ()), Ok(()));
    assert_eq!(system.first().port_type(task.kernel_port()).expect("its name").dead, 1);
}

#[test]
fn a_task_can_drop_its_own_ports_and_only_it_suffers() {
    let system = System::boot();
    let (task, other) = (system.task("task"), system.task("other"));
    let own = task.task_self();
    while task.port_deallocate(own).is_ok() {}
    task.port_deallocate(task.notify()).expect("ours");
    assert!(task.port(Capacity::DEFAULT).is_valid());
    assert!(other.port(Capacity::DEFAULT).is_valid());
    assert_eq!(task.info().threads, 1);
}

#[test]
fn a_child_gets_the_bootstrap_right_it_is_given() {
    let system = System::boot();
    let first = system.first();
    let port = first.port(Capacity::DEFAULT);
    let right = Descriptor::port(port, Disposition::MakeSend as u8);
    let limits = crate::harness::ORDINARY;
    let reply = routine::create(&**first, first.kernel_port(), [0; 32], limits, 0, 0, right).expect("a task");
    let (child, name) = (reply.rights[0], reply.results.bootstrap_name);
    let kind = port::port_type(&**first, child, name, 0).expect("its type").results.kind;
    assert_eq!(kind.send, 1);
    // One under the name, one that the kernel holds as the child's bootstrap port.
    assert_eq!(first.status(port).send_rights, 2);
    routine::terminate(&**first, child).expect("the end of it");
    assert_eq!(first.status(port).send_rights, 0);
    first.port_deallocate(child).expect("a dead name");
    first.port_deallocate(port).expect("ours");
}

#[test]
fn a_bad_name_text_is_refused_or_shown_harmlessly() {
    let system = System::boot();
    let first = system.first();
    let limits = crate::harness::ORDINARY;
    for name in [[0xff; 32], [b'x'; 32], *b"line\nbreak\x1b[31m\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
        match routine::create(&**first, first.kernel_port(), name, limits, 0, 0, no_right()) {
            Ok(reply) => {
                routine::terminate(&**first, reply.rights[0]).expect("the end of it");
                first.port_deallocate(reply.rights[0]).expect("a dead name");
            }
            Err(error) => assert_eq!(error, Error::InvalidArgument),
        }
    }
    while first.receive_now(first.notify()).done().is_ok() {}
}

#[test]
fn statistics_count_what_there_is() {
    let system = System::boot();
    let before = system.statistics();
    let task = system.task("task");
    let thread = task.thread();
    let port = task.port(Capacity::DEFAULT);
    task.give_send(&task, port);
    thread.send(Message::to(port), WhenFull::Wait);
    let object = vm::memory_object_create(&*task, task.task_self(), 4096).expect("an object").rights[0];
    memory_object::derive(&*task, object, 1, 0).expect("a derived right");
    let after = system.statistics();
    assert_eq!(after.tasks, before.tasks + 1);
    assert_eq!(after.threads, before.threads + 2);
    assert_eq!(after.messages, before.messages + 1);
    assert_eq!(after.accounts, before.accounts + 1);
    // The task's, two threads', the notify port, two of replies, one, and two of the object.
    assert!(after.ports >= before.ports + 8);
    assert!(after.memory_objects > before.memory_objects);
    assert_eq!(after.total_frames, before.total_frames);
    assert!(after.free_frames < before.free_frames);
}

#[test]
fn the_trace_tells_a_messages_way() {
    let mailbox = Mailbox::new(Capacity::Bounded(1));
    let (system, sender) = (&mailbox.system, &mailbox.sender);
    let send = |id, when_full| sender.send(Message::to(mailbox.to).id(id), when_full);
    let waiting = mailbox.receive();
    send(4710, WhenFull::Wait).done().expect("a send");
    waiting.done().expect("the message handed over");
    send(4711, WhenFull::Wait).done().expect("a send");
    send(4712, WhenFull::Cache).done().expect_err("cached");
    let blocked = send(4713, WhenFull::Wait);
    mailbox.take().expect("the first");
    mailbox.take().expect("the cached one");
    assert_eq!(blocked.done(), Ok(()));
    sender.thread().send(Message::to(mailbox.to).id(4714), WhenFull::Wait);
    mailbox.receiver.port_set_backlog(mailbox.port, Capacity::Zero).expect("a rendezvous");
    mailbox.take().expect("the blocked one");
    mailbox.take().expect("the one at the rendezvous");
    send(4715, WhenFull::Return).done().expect_err("full");
    send(4716, WhenFull::Cache).done().expect_err("cached");
    mailbox.receiver.port_deallocate(mailbox.port).expect("the end of the port");
    while sender.receive_now(sender.notify()).done().is_ok() {}
    let all = whole_trace(system);
    let steps = |id: u32| -> Vec<Step> {
        all.iter().filter(|event| event.id == id).map(|event| Step::from_code(event.step).expect("a step")).collect()
    };
    assert_eq!(steps(4710), [Step::Send, Step::Deliver]);
    assert_eq!(steps(4711), [Step::Send, Step::Queue, Step::Receive]);
    assert_eq!(steps(4712), [Step::Send, Step::Cache, Step::Receive]);
    assert_eq!(steps(4713), [Step::Send, Step::Block, Step::Queue, Step::Receive]);
    assert_eq!(steps(4714), [Step::Send, Step::Block, Step::Deliver]);
    assert_eq!(steps(4715), [Step::Send]);
    assert_eq!(steps(4716), [Step::Send, Step::Cache, Step::Die]);
    assert_eq!(steps(Kind::MessageAccepted as u32), [Step::Notify, Step::Receive]);
    assert_eq!(steps(Kind::DeadName as u32), [Step::Notify]);
    let of_one_message =
        |id: u32| -> BTreeSet<u64> { all.iter().filter(|event| event.id == id).map(|event| event.message).collect() };
    assert!((4710..4717).all(|id| of_one_message(id).len() == 1), "a message keeps its number");
    assert!(all.windows(2).all(|pair| pair[0].time <= pair[1].time));
    let first = system.first();
    let elsewhere = host::trace(&**first, first.host_port(), 0, 99, 0);
    assert_eq!(elsewhere.map(|_| ()), Err(Error::InvalidArgument));
}

/// All events that the ring still has.
fn whole_trace(system: &System) -> Vec<Event> {
    let first = system.first();
    let (mut all, mut next) = (Vec::new(), 0);
    loop {
        let results = host::trace(&**first, first.host_port(), next, 0, 0).expect("the trace").results;
        next = results.first + results.count;
        all.extend_from_slice(&results.events[..results.count as usize]);
        // Asking leaves events too: stop where less than a full reply came.
        if (results.count as usize) < host::TRACE_EVENTS {
            return all;
        }
    }
}

#[test]
fn only_the_first_task_has_the_host_port() {
    let system = System::boot();
    let task = system.task("task");
    assert_eq!(task.host_port(), Name::NULL);
    let guesses = (0..200).map(|index| Name::new(index, 0));
    for name in guesses {
        let kind = task.port_type(name);
        if kind.is_ok_and(|kind| kind.send > 0) {
            assert!(host::statistics(&*task, name).is_err(), "{name:?}");
        }
    }
}

#[test]
fn the_plain_host_port_tells_and_does_nothing_else() {
    let system = System::boot();
    let (first, task) = (system.first(), system.task("task"));
    let plain = first.give(&task, first.plain_host_port(), Disposition::CopySend);
    let info = host::info(&*task, plain).expect("information").results.info;
    assert_eq!((info.page_size, info.processors, info.door), (4096, 1, host::Door::Simulation as u32));
    assert_eq!(info.memory, system.statistics().total_frames * 4096);
    assert_eq!(&info.name, b"Portolan\0\0\0\0\0\0\0\0");
    system.advance_ms(7);
    let time = host::time(&*task, plain).expect("the time").results;
    assert_eq!(time, host::results::Time { now: system.now().0, resolution: 1 });
    let processors = host::processors(&*task, plain).expect("processors").results;
    assert_eq!((processors.count, processors.list[0], processors.list[1]), {
        (1, host::Processor { number: 0, running: 1 }, host::Processor::default())
    });
    assert_eq!(host::statistics(&*task, plain).map(drop), Err(Error::NoAccess));
    assert_eq!(host::trace(&*task, plain, 0, 0, 0).map(drop), Err(Error::NoAccess));
    assert_eq!(host::exit(&*task, plain, 0, 0).map(drop), Err(Error::NoAccess));
    assert_eq!(host::tasks(&*task, plain, 0, 0).map(drop), Err(Error::NoAccess));
    let own = Descriptor::port(task.task_self(), Disposition::CopySend as u8);
    assert_eq!(host::port_object(&*task, plain, plain, 0, own).map(drop), Err(Error::NoAccess));
    assert_eq!(system.exit(), None);
    assert_eq!(host::info(&**first, first.host_port()).expect("through the other, too").results.info, info);
}

/// A part of the list of tasks: their ids and names, and where the next part begins.
fn tasks_from(system: &System, place: u32) -> (Vec<(u64, String)>, u32) {
    let first = &**system.first();
    let reply = host::tasks(first, system.first().host_port(), place, 0).expect("tasks");
    let (there, null) = reply.rights.split_at(reply.results.count as usize);
    assert!(null.iter().all(|name| *name == Name::NULL));
    let told = |name: &Name| routine::info(first, system.give_up_later(*name)).expect("a task's port").results.info;
    let listed: Vec<_> = there.iter().map(told).map(|info| (info.id, text(&info.name))).collect();
    assert!(listed.iter().map(|(id, _)| id).eq(&reply.results.ids[..there.len()]));
    (listed, reply.results.next)
}

/// The names of all tasks, in the order in which they were made, and how many parts they came in.
fn task_names(system: &System, mut between: impl FnMut()) -> (Vec<String>, usize) {
    let (mut listed, mut next, mut parts) = (Vec::new(), 0, 0);
    while parts == 0 || next != 0 {
        let (part, then) = tasks_from(system, next);
        assert!(then == 0 || then > next);
        listed.extend(part);
        (next, parts) = (then, parts + 1);
        between();
    }
    listed.sort();
    (listed.into_iter().map(|(_, name)| name).collect(), parts)
}

#[test]
fn all_tasks_are_listed_once() {
    let system = System::boot();
    let made: Vec<Task> =
        (0..host::TASKS_LISTED * 2 + 3).map(|number| system.task(&format!("task {number}"))).collect();
    let mut expected: Vec<String> = (0..made.len()).map(|number| format!("task {number}")).collect();
    expected.insert(0, "first".into());
    // One that was listed ends: the others are listed all the same.
    let mut ends = Some(&made[0]);
    let (names, parts) = task_names(&system, || ends.take().into_iter().for_each(|task| task.terminate()));
    assert_eq!((names, parts), (expected.clone(), 3));
    // Whoever has ended is listed no more.
    expected.remove(1);
    assert_eq!(task_names(&system, || ()).0, expected);
    for beyond in [1000, u32::MAX] {
        assert_eq!(tasks_from(&system, beyond), (Vec::new(), 0));
    }
}

#[test]
fn a_list_of_tasks_passes_over_those_that_have_ended() {
    let system = System::boot();
    let made: Vec<Task> = (0..40).map(|number| system.task(&format!("task {number}"))).collect();
    made[..39].iter().for_each(Task::terminate);
    let (names, parts) = task_names(&system, || ());
    assert_eq!(names, ["first", "task 39"]);
    // No part looks at more than so many places.
    assert_eq!(parts, 2);
}

/// What a padded text says.
fn text(padded: &[u8]) -> String {
    String::from_utf8(padded.iter().copied().take_while(|byte| *byte != 0).collect()).expect("text")
}

#[test]
fn a_name_tells_its_port_and_what_is_behind_it() {
    use host::ObjectKind::{Host, HostPrivileged, IoPorts, Memory, Queue, Set, Task as OfTask, Thread};
    let system = System::boot();
    let (first, task, other) = (system.first(), system.task("task"), system.task("other"));
    let ask = |of: &Task, name| {
        let of = Descriptor::port(of.kernel_port(), Disposition::CopySend as u8);
        Ok(host::port_object(&**first, first.host_port(), name, 0, of)?.results.object)
    };
    let kind = |of, name| ask(of, name).map(|object: host::PortObject| (object.kind, object.id));

    let port = task.port(Capacity::DEFAULT);
    let theirs = task.give_send(&other, port);
    let (here, there) = (ask(&task, port).expect("a port"), ask(&other, theirs).expect("the same port"));
    assert_eq!((here, here.kind), (there, Queue as u32));
    assert_ne!(ask(&task, task.port(Capacity::DEFAULT)).expect("another port").port, here.port);

    let set_kind = portolan_abi::RightKind::PortSet as u32;
    let set = port::port_allocate_name(&*task, task.task_self(), Name::NULL, set_kind, 0, 0).expect("a set");
    assert_eq!(kind(&task, set.results.name), Ok((Set as u32, 0)));
    assert_eq!(kind(&task, task.task_self()), Ok((OfTask as u32, task.info().id)));
    let thread = thread::info(&*task, task.thread_self()).expect("a thread").results.info;
    assert_eq!(kind(&task, task.thread_self()), Ok((Thread as u32, thread.id)));
    let object = vm::memory_object_create(&*task, task.task_self(), 4096).expect("an object").rights[0];
    let less = memory_object::derive(&*task, object, 1, 0).expect("another right").rights[0];
    let (all, less) = (ask(&task, object).expect("a port"), ask(&task, less).expect("a port"));
    assert_eq!((all.kind, less.kind, all.index), (Memory as u32, Memory as u32, less.index));
    assert_ne!(all.port, less.port);
    assert_eq!(kind(first, first.host_port()), Ok((HostPrivileged as u32, 0)));
    assert_eq!(kind(first, first.plain_host_port()), Ok((Host as u32, 0)));
    let claimed = host::io_claim(&**first, first.host_port(), 0x1f0, 8).expect("I/O ports").rights[0];
    assert_eq!(kind(first, system.give_up_later(claimed)), Ok((IoPorts as u32, 0x1f0)));

    task.port_deallocate(port).expect("its end");
    assert_eq!(ask(&other, theirs), Err(Error::InvalidRight));
    assert_eq!(ask(&task, port), Err(Error::InvalidName));
    let no_task = Descriptor::port(first.host_port(), Disposition::CopySend as u8);
    let wrong = host::port_object(&**first, first.host_port(), first.kernel_port(), 0, no_task);
    assert_eq!(wrong.map(drop), Err(Error::InvalidCapability));
}

#[test]
fn statistics_count_names_regions_and_deadlines() {
    let system = System::boot();
    let (task, other) = (system.task("task"), system.task("other"));
    let reply = task.task_self();
    let before = system.statistics();
    let port = task.port(Capacity::DEFAULT);
    let waiting = other.thread();
    let sleep = waiting.sleep(1000);
    let now = system.statistics();
    // Another thread has a name for itself.
    assert_eq!((now.names, now.deadlines), (before.names + 2, before.deadlines + 1));
    let (protection, flags) = (3, vm::MapFlags::ANYWHERE.bits());
    let inheritance = vm::Inheritance::Copy as u32;
    vm::vm_map(&*task, reply, 0, 4096, 0, protection, protection, inheritance, flags, no_right()).expect("memory");
    task.port_deallocate(port).expect("the port's end");
    let now = system.statistics();
    assert_eq!(now.regions, before.regions + 1);
    system.advance_ms(1000);
    assert_eq!((sleep.done(), system.statistics().deadlines), (Ok(()), before.deadlines));
}

#[test]
fn the_host_port_ends_the_machine() {
    for code in [0, 1, 77] {
        let system = System::boot();
        let first = system.first();
        let arguments = host::arguments::Exit { code, reserved: 0 };
        let message = Message::to(first.host_port()).id(host::Exit::ID).text(arguments.as_bytes());
        first.send(message, WhenFull::Wait);
        assert_eq!(system.exit(), Some(Exit { success: code == 0 }));
    }
}

#[test]
fn the_machine_ends_when_the_first_task_does() {
    let ends: [fn(&System); 2] = [
        |system| drop(system.first().perform(vec![Action::Raise(Exception::Divide)])),
        |system| {
            let first = system.first();
            let request = Message::to(first.kernel_port()).id(routine::Terminate::ID);
            first.send(request, WhenFull::Wait);
        },
    ];
    for end in ends {
        let system = System::boot();
        let _task = system.task("left behind");
        end(&system);
        assert_eq!(system.exit(), Some(Exit { success: false }));
        assert!(system.console().contains("first"), "{}", system.console());
    }
}

#[test]
fn a_right_in_a_reply_that_reaches_nobody_is_released() {
    let system = System::boot();
    let (task, other) = (system.task("task"), system.task("other"));
    let port = other.port(Capacity::DEFAULT);
    let dead = other.give_send(&task, port);
    other.port_deallocate(port).expect("the end of the port");
    let before = system.statistics();
    let body = vm::arguments::MemoryObjectCreate { size: 4096 };
    let request = || Message::to(task.task_self()).id(vm::MemoryObjectCreate::ID).text(body.as_bytes());
    assert_eq!(task.send(request(), WhenFull::Wait).done(), Ok(()));
    let to_dead = request().reply(dead, Disposition::CopySend);
    assert_eq!(task.send(to_dead, WhenFull::Wait).done(), Ok(()));
    let to_kernel = request().reply(task.thread_self(), Disposition::CopySend);
    assert_eq!(task.send(to_kernel, WhenFull::Wait).done(), Ok(()));
    let after = system.statistics();
    assert_eq!((after.memory_objects, after.ports), (before.memory_objects, before.ports));
}
