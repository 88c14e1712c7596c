//! Accounts: every task pays for what it makes, and one that is spent harms only itself.

use crate::harness::{Message, ORDINARY, System, Task, WhenFull, no_right};
use portolan_abi::interface::Routine;
use portolan_abi::message::Descriptor;
use portolan_abi::task::{self as routine, Limits};
use portolan_abi::vm::{self, Inheritance, MapFlags, Protection};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Result, RightKind, host, memory_object, port};

const COPY: u32 = Inheritance::Copy as u32;
const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;

fn map(task: &Task, address: u64, size: u64) -> Result<()> {
    let (protection, flags) = (Protection::READ_WRITE.bits(), MapFlags::empty().bits());
    vm::vm_map(&**task, task.task_self(), address, size, 0, protection, protection, COPY, flags, no_right()).map(|_| ())
}

/// Repeats it until it fails; how often it succeeded, and how it failed.
fn exhaust<T>(mut work: impl FnMut() -> Result<T>) -> (usize, Error) {
    for count in 0..100_000 {
        if let Err(error) = work() {
            return (count, error);
        }
    }
    panic!("nothing runs out");
}

#[test]
fn ports_end_with_the_limit_and_come_back_when_they_go() {
    let system = System::boot();
    let limits = Limits { ports: 12, ..ORDINARY };
    let task = system.task_with("task", limits).expect("a task");
    let left = limits.ports - task.info().used.ports;
    let mut ports: Vec<Name> = Vec::new();
    let (count, error) = exhaust(|| task.port_allocate(Capacity::DEFAULT).map(|port| ports.push(port)));
    assert_eq!((count as u64, error), (left, Error::ResourceShortage));
    assert_eq!(task.info().used.ports, limits.ports);
    task.port_deallocate(ports[0]).expect("one port");
    assert!(task.port_allocate(Capacity::DEFAULT).is_ok());
    assert_eq!(task.port_allocate(Capacity::DEFAULT), Err(Error::ResourceShortage));
    assert!(system.task("other").port_allocate(Capacity::DEFAULT).is_ok(), "others are not harmed");
}

#[test]
fn a_task_without_enough_for_itself_is_not_made() {
    let system = System::boot();
    let before = system.statistics();
    for limits in [
        Limits { ports: 0, ..ORDINARY },
        Limits { ports: 1, ..ORDINARY },
        Limits { frames: 0, ..ORDINARY },
        Limits { memory: 0, ..ORDINARY },
        Limits { memory: 64, ..ORDINARY },
        Limits::default(),
    ] {
        assert_eq!(system.empty_task("poor", limits), Err(Error::ResourceShortage), "{limits:?}");
    }
    assert_eq!(system.statistics(), before);
}

#[test]
fn a_childs_limits_come_out_of_its_parent_and_go_back_at_its_end() {
    let system = System::boot();
    let before = system.first().info().used;
    let child = system.task("child");
    let with_child = system.first().info().used;
    assert_eq!(with_child.ports - before.ports, ORDINARY.ports);
    assert!(with_child.memory - before.memory >= ORDINARY.memory);
    assert_eq!(child.info().limits, ORDINARY);
    child.terminate();
    let after = system.first().info().used;
    assert_eq!((after.ports, after.frames), (before.ports, before.frames));
}

#[test]
fn no_one_gives_a_child_more_than_it_has() {
    let system = System::boot();
    let parent = system.task("parent");
    let create = |limits| {
        let own = parent.task_self();
        routine::create(&*parent, own, [0; 32], limits, 0, 0, no_right()).map(|reply| reply.rights[0])
    };
    let (limits, used) = (parent.info().limits, parent.info().used);
    for greedy in [
        Limits { ports: limits.ports - used.ports + 1, memory: 100_000, frames: 20 },
        Limits { ports: 5, memory: limits.memory, frames: 20 },
        Limits { ports: 5, memory: 100_000, frames: limits.frames + 1 },
        Limits { ports: u64::MAX, memory: u64::MAX, frames: u64::MAX },
    ] {
        assert_eq!(create(greedy), Err(Error::ResourceShortage), "{greedy:?}");
    }
    let child = create(Limits { ports: 5, memory: 100_000, frames: 20 }).expect("a modest child");
    assert_eq!(routine::terminate(&*parent, child).map(|_| ()), Ok(()));
}

#[test]
fn a_tree_of_tasks_cannot_outgrow_its_root() {
    let system = System::boot();
    let root = system.task("root");
    // Each generation is half of the one before: the tree ends, whatever its shape.
    let mut limits = Limits { ports: ORDINARY.ports / 2, memory: ORDINARY.memory / 2, frames: ORDINARY.frames / 2 };
    let mut children = Vec::new();
    let mut parent = root.task_self();
    while let Ok(reply) = routine::create(&*root, parent, [0; 32], limits, 0, 0, no_right()) {
        parent = reply.rights[0];
        children.push(parent);
        limits = Limits { ports: limits.ports / 2, memory: limits.memory / 2, frames: limits.frames / 2 };
    }
    assert!((1..10).contains(&children.len()));
    for child in children {
        routine::terminate(&*root, child).expect("the end of it");
    }
}

#[test]
fn frames_end_with_the_limit_and_only_the_spender_suffers() {
    let system = System::boot();
    let (poor, other) =
        (system.task_with("poor", Limits { frames: 40, ..ORDINARY }).expect("a task"), system.task("other"));
    map(&poor, HERE, 100 * PAGE).expect("address space is free");
    let mut page = 0;
    let died = loop {
        let touch = poor.store(HERE + page * PAGE, b"mine");
        if touch.waits() {
            break page;
        }
        page += 1;
        assert!(page < 100, "more pages than the account has");
    };
    assert!((20..40).contains(&died), "{died} of 40 frames");
    assert_eq!(system.first().port_type(poor.kernel_port()).expect("its name").dead, 1);
    assert!(system.console().contains("poor"), "the console tells who");
    map(&other, HERE, 100 * PAGE).expect("a mapping");
    (0..100).for_each(|page| drop(other.store(HERE + page * PAGE, b"fine").done()));
}

#[test]
fn a_call_into_memory_that_cannot_be_had_is_an_error_not_a_death() {
    let system = System::boot();
    let limits = Limits { frames: 40, ..ORDINARY };
    let task = system.task_with("task", limits).expect("a task");
    let port = task.port(Capacity::DEFAULT);
    task.give_send(&task, port);
    task.send(Message::to(port).text("kept"), WhenFull::Wait).done().expect("a send");
    map(&task, HERE, 100 * PAGE).expect("a mapping");
    let left = limits.frames - task.info().used.frames;
    // All but what the page tables of the new range need.
    (0..left).map_while(|page| (task.info().used.frames < limits.frames).then_some(page)).for_each(|page| {
        task.store(HERE + page * PAGE, b"x").done();
    });
    assert_eq!(task.info().used.frames, limits.frames);
    let (address, size) = (HERE + 90 * PAGE, 256);
    let receive = portolan_abi::call::Receive { address, size, port, timeout: 0 };
    let call = portolan_abi::Call::Message { send: None, receive: Some(receive), options: Default::default() };
    let (result, _) = task.call(call).done();
    assert!(
        matches!(result, Err(Error::ReceiveInvalidMemory | Error::ResourceShortage | Error::ReceiveNoSpace)),
        "{result:?}"
    );
    assert_eq!(task.receive(port).done().expect("the message").text(), "kept");
}

/// A way to spend kernel memory.
type Spend = fn(&Task) -> Result<()>;

const SPENDERS: [(&str, Spend); 8] = [
    ("threads", |task| {
        let stack = crate::harness::MEMORY + PAGE;
        routine::thread_create(&**task, task.task_self(), 0x7000_0000, stack, 0, 0, 0)
            .map(|reply| task.port_deallocate(reply.rights[0]).expect("its port"))
    }),
    ("map entries", |task| {
        let free = HERE + 2 * PAGE * u64::from(task.info().regions);
        map(task, free, PAGE)
    }),
    ("ports", |task| task.port_allocate(Capacity::DEFAULT).map(|_| ())),
    ("memory objects", |task| vm::memory_object_create(&**task, task.task_self(), PAGE).map(|_| ())),
    ("port sets", |task| task.port_allocate_name(Name::NULL, RightKind::PortSet, Capacity::Zero).map(|_| ())),
    ("dead names", |task| task.port_allocate_name(Name::NULL, RightKind::DeadName, Capacity::Zero).map(|_| ())),
    ("messages", |task| {
        task.port_set_backlog(task.notify(), Capacity::Unbounded)?;
        let message = Message::by(task.notify(), Disposition::MakeSend).text([7; 100]);
        let sent = task.send(message.right(task.task_self(), Disposition::CopySend), WhenFull::Return).done();
        sent.map_err(|error| if error == Error::SendNoBuffer { Error::ResourceShortage } else { error })
    }),
    ("tasks", |task| {
        let limits = Limits { memory: 2000, ports: 2, frames: 1 };
        routine::create(&**task, task.task_self(), [0; 32], limits, 0, 0, no_right()).map(|_| ())
    }),
];

#[test]
fn kernel_memory_ends_with_the_limit_whatever_it_is_spent_on() {
    for (what, spend) in SPENDERS {
        let system = System::boot();
        let limits = Limits { memory: 64 << 10, ports: 10_000, ..ORDINARY };
        let task = system.task_with("task", limits).expect("a task");
        let (count, error) = system.unchecked(|| exhaust(|| spend(&task)));
        assert_eq!(error, Error::ResourceShortage, "{what}");
        assert!(count > 10, "{count} {what}");
        let used = task.info().used;
        assert!(used.memory <= limits.memory, "{what}: {used:?}");
        assert_eq!(spend(&task), Err(Error::ResourceShortage), "{what}: again");
        assert_eq!(task.info().used, used, "{what}: a refusal costs nothing");
        system.unchecked(|| end_children(&system));
    }
}

#[test]
fn sixteen_tasks_that_spend_all_they_have_on_everything_hurt_no_other() {
    let system = System::boot();
    let (left, limits) = (system.task("bystander"), Limits { memory: 64 << 10, ports: 100, frames: 80 });
    let greedy: Vec<Task> = (0..16).map(|_| system.task_with("greedy", limits).expect("a task")).collect();
    let before = left.info().used;
    system.unchecked(|| {
        let mut spent = vec![false; greedy.len() * SPENDERS.len()];
        while spent.iter().any(|spent| !spent) {
            for (number, spent) in spent.iter_mut().enumerate().filter(|(_, spent)| !**spent) {
                let (what, spend) = SPENDERS[number % SPENDERS.len()];
                match spend(&greedy[number / SPENDERS.len()]) {
                    Ok(()) => {}
                    Err(Error::ResourceShortage | Error::SendNoBuffer | Error::ReceiveReplyLost) => *spent = true,
                    Err(error) => panic!("{what}: {error:?}"),
                }
            }
        }
    });
    assert_eq!(left.info().used, before);
    let port = left.port(Capacity::DEFAULT);
    left.send(Message::by(port, Disposition::MakeSend).text("as ever"), WhenFull::Return).done().expect("a send");
    assert_eq!(left.receive_now(port).done().expect("a message").text(), "as ever");
    assert!(map(&left, HERE, PAGE).is_ok());
    system.unchecked(|| end_children(&system));
}

/// Ends the tasks that tasks have made.
fn end_children(system: &System) {
    let (first, mut place) = (system.first(), 0);
    loop {
        let listed = host::tasks(&**first, first.host_port(), place, 0).expect("tasks");
        for port in &listed.rights[..listed.results.count as usize] {
            let info = routine::info(&**first, *port).expect("a task").results.info;
            if info.name == [0; 32] {
                routine::terminate(&**first, *port).expect("its end");
            }
            first.port_deallocate(*port).expect("a right");
        }
        place = listed.results.next;
        if place == 0 {
            return;
        }
    }
}

#[test]
fn the_sender_pays_for_what_waits_and_is_paid_back_when_it_is_received() {
    let system = System::boot();
    let (receiver, sender) = (system.task("receiver"), system.task("sender"));
    let port = receiver.port(Capacity::Bounded(50));
    let to = receiver.give_send(&sender, port);
    sender.send(Message::to(to).text([0; 3000]), WhenFull::Wait);
    receiver.receive_with(port, Default::default(), 0, 4000).done().expect("a message");
    let (before, others) = (sender.info().used, receiver.info().used);
    for _ in 0..10 {
        sender.send(Message::to(to).text([0; 3000]), WhenFull::Wait).done().expect("a send");
    }
    let during = sender.info().used;
    assert!(during.memory > before.memory && during.frames == before.frames + 10, "{during:?} {before:?}");
    assert_eq!(receiver.info().used, others);
    for _ in 0..10 {
        receiver.receive_with(port, Default::default(), 0, 4000).done().expect("a message");
    }
    assert_eq!(sender.info().used, before);
}

#[test]
fn what_a_dead_task_queued_is_paid_for_until_it_is_received() {
    let system = System::boot();
    let (receiver, sender) = (system.task("receiver"), system.task("sender"));
    let port = receiver.port(Capacity::DEFAULT);
    let to = receiver.give_send(&sender, port);
    let before = system.first().info().used.ports;
    let accounts = system.statistics().accounts;
    sender.send(Message::to(to).text("last words"), WhenFull::Wait);
    sender.terminate();
    assert_eq!(system.statistics().accounts, accounts, "the account stays open");
    assert_eq!(receiver.receive(port).done().expect("the message").text(), "last words");
    assert_eq!(system.statistics().accounts, accounts - 1);
    assert_eq!(system.first().info().used.ports, before - ORDINARY.ports);
}

#[test]
fn a_receiver_without_room_for_names_leaves_the_message_in_the_queue() {
    let system = System::boot();
    let poor = system.task_with("poor", Limits { memory: 48 << 10, ports: 2000, frames: 100 }).expect("a task");
    let rich = system.task("rich");
    let port = poor.port(Capacity::DEFAULT);
    let to = poor.give_send(&rich, port);
    poor.receive_now(port).done().expect_err("empty");
    let (_, error) = system.unchecked(|| exhaust(|| poor.port_allocate(Capacity::Zero)));
    assert_eq!(error, Error::ResourceShortage);
    let rights: Vec<Name> = (0..64).map(|_| rich.port(Capacity::Zero)).collect();
    let mut sent = 0;
    // Slots that are kept vacant may take some; then no message comes in any more.
    let refused = loop {
        let empty = Message::to(to);
        let message =
            rights.iter().take(8).fold(empty, |message, right| message.right(*right, Disposition::MakeSendOnce));
        rich.send(message, WhenFull::Return).done().expect("a send");
        sent += 1;
        match poor.receive_now(port).done() {
            Ok(_) => assert!(sent < 100),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Error::ReceiveNoSpace);
    assert_eq!(poor.status(port).messages, 1);
    assert_eq!(poor.receive_now(port).done().expect_err("still no room"), Error::ReceiveNoSpace);
}

#[test]
fn an_accepted_notice_is_kept_even_if_its_account_is_spent_meanwhile() {
    let system = System::boot();
    let receiver = system.task("receiver");
    let limits = Limits { memory: 32 << 10, frames: 60, ..ORDINARY };
    let poor = system.task_with("poor", limits).expect("a task");
    let port = receiver.port(Capacity::Zero);
    let to = receiver.give_send(&poor, port);
    let notify = poor.notify();
    // A receiver of notices waits with a buffer on two pages, neither there yet.
    for page in 0..3 {
        map(&poor, HERE + page * PAGE, PAGE).expect("a mapping");
    }
    poor.load(HERE, 1);
    let (address, size) = (HERE + 2 * PAGE - 40, 80);
    let receive = portolan_abi::call::Receive { address, size, port: notify, timeout: 0 };
    let call = portolan_abi::Call::Message { send: None, receive: Some(receive), options: Default::default() };
    let waiting = poor.thread().call(call);
    assert!(waiting.waits());
    // The kernel caches a message; then only one frame and a little memory are left.
    assert_eq!(poor.send(Message::to(to), WhenFull::Cache).done(), Err(Error::SendWillNotify));
    let spare = HERE + 512 * PAGE;
    map(&poor, spare, 64 * PAGE).expect("a mapping");
    for page in 0..64 {
        if poor.info().used.frames < limits.frames - 1 {
            poor.load(spare + page * PAGE, 1);
        }
    }
    let mut entry = HERE + 1024 * PAGE;
    while limits.memory - poor.info().used.memory > 300 {
        let protection = Protection::READ.bits();
        let own = poor.task_self();
        entry += 2 * PAGE;
        if vm::vm_map(&*poor, own, entry, PAGE, 0, protection, protection, COPY, 0, no_right()).is_err() {
            break;
        }
    }
    // Accepting it must not need what the account no longer has.
    receiver.receive_now(port).done().expect("the cached message");
    let told = match waiting.result() {
        Some((result, _)) => result.is_ok() || poor.receive_now(notify).done().is_ok(),
        None => false,
    };
    assert!(told, "the notice has come, to one or the other");
}

#[test]
fn whatever_a_new_task_is_given_it_is_made_whole_or_not_at_all() {
    let system = System::boot();
    let first = system.first();
    let port = first.port(Capacity::DEFAULT);
    let mut made = 0;
    for memory in (0..9000).step_by(24) {
        let before = system.statistics();
        let right = Descriptor::port(port, Disposition::MakeSend as u8);
        let limits = Limits { memory, ..ORDINARY };
        match routine::create(&**first, first.kernel_port(), [0; 32], limits, 0, 0, right) {
            Ok(reply) => {
                made += 1;
                let kind = port::port_type(&**first, reply.rights[0], reply.results.bootstrap_name, 0);
                assert_eq!(kind.expect("its type").results.kind.send, 1, "with {memory} bytes");
                routine::terminate(&**first, reply.rights[0]).expect("the end of it");
                first.port_deallocate(reply.rights[0]).expect("a dead name");
                while first.receive_now(first.notify()).done().is_ok() {}
            }
            Err(error) => assert_eq!(error, Error::ResourceShortage, "with {memory} bytes"),
        }
        assert_eq!(first.status(port).send_rights, 0);
        assert_eq!(system.statistics(), before, "with {memory} bytes");
    }
    assert!(made > 10);
    first.port_deallocate(port).expect("ours");
}

#[test]
fn the_kernels_replies_cannot_be_turned_against_who_never_asked() {
    let system = System::boot();
    let (victim, attacker) = (system.task("victim"), system.task("attacker"));
    let port = victim.port(Capacity::Bounded(1));
    let to_port = victim.give_send(&attacker, port);
    let object = vm::memory_object_create(&*victim, victim.task_self(), PAGE).expect("an object").rights[0];
    let to_object = victim.give(&attacker, object, Disposition::CopySend);
    let used = victim.info().used;
    let messages = system.statistics().messages;
    for reply in [to_port, to_object] {
        for _ in 0..20 {
            let own = attacker.task_self();
            let request = Message::to(own).reply(reply, Disposition::CopySend).id(routine::Info::ID);
            // It may be refused or carried out; it may not cost another task anything.
            let _ = attacker.send(request, WhenFull::Return).done();
        }
        assert_eq!(victim.info().used, used);
    }
    // No message stays where nobody can ever receive it.
    while victim.receive_now(port).done().is_ok() {}
    assert_eq!(system.statistics().messages, messages);
}

#[test]
fn a_right_that_is_derived_costs_the_one_who_asks() {
    let system = System::boot();
    let (maker, reader) = (system.task("maker"), system.task("reader"));
    let object = vm::memory_object_create(&*maker, maker.task_self(), PAGE).expect("an object").rights[0];
    let shared = maker.give(&reader, object, Disposition::CopySend);
    let used = maker.info().used;
    let (count, error) = exhaust(|| memory_object::derive(&*reader, shared, Protection::READ.bits(), 0));
    assert_eq!(error, Error::ResourceShortage);
    assert!(count > 10);
    assert_eq!(maker.info().used, used);
}

#[test]
fn a_reply_that_cannot_be_paid_for_is_lost_and_nothing_with_it() {
    let system = System::boot();
    let task = system.task_with("task", Limits { memory: 32 << 10, ..ORDINARY }).expect("a task");
    let port = task.port(Capacity::Unbounded);
    task.give_send(&task, port);
    let reply = task.port(Capacity::DEFAULT);
    let (_, error) = exhaust(|| task.send(Message::to(port), WhenFull::Wait).done());
    assert_eq!(error, Error::SendNoBuffer);
    let request = Message::to(task.task_self()).reply(reply, Disposition::MakeSendOnce).id(routine::Info::ID);
    assert_eq!(task.send(request, WhenFull::Wait).done(), Ok(()));
    let notice = task.receive_now(reply).done().expect("the reply right is lost, and that is told");
    assert_eq!(notice.header.id, portolan_abi::notification::Kind::SendOnce as u32);
    // What is answered at once needs no memory to wait in.
    assert_eq!(routine::info(&*task, task.task_self()).map(|_| ()), Ok(()));
}
